package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/papers"
	"mezhved/signing"
)

type receiptsCommand struct {
	logFlags
	Bus []string `required:"" placeholder:"FILE" type:"existingfile" help:"The bus's certificate, from somebody whom you trust; several in a file, or several files, when it has had several."`
	anchorFlags
	Mirror   string   `required:"" placeholder:"DIR" type:"existingdir" help:"The log: a mirror, or any copy in the layout of c2sp.org/tlog-tiles."`
	Evidence []string `placeholder:"FILE" type:"existingfile" help:"Bundles of evidence: they open which envelopes the entries commit to, and what was kept as sent is held against that. May be repeated."`
	Proofs   string   `placeholder:"DIR" type:"path" help:"Write a proof of each broken promise into a folder of this one."`
	Dir      string   `arg:"" type:"existingdir" help:"The receipts: what mezhved send --keep has kept, or the bodies of the bus's answers as any client has written them down."`
}

// Help tells what the answers mean.
func (receiptsCommand) Help() string {
	return fmt.Sprintf(`What the bus signs is a promise that its journal says so too: that a message was accepted, or handed out. The mirror is verified
whole, so an entry that is not found there is not there. A receipt is due %s after the time that it states: a log that was signed later and
lacks its entry, has it late or says something else there is caught, and the receipt with the log's checkpoint proves it (--proofs).
Exit code 0: the log verifies and every receipt that is due has its entry; 1: not; 2: the call cannot be carried out.

Example:
  mezhved-audit receipts --policy policy.txt --bus bus.pem --mirror ./mirror --proofs ./proofs ./receipts`, journal.ReceiptDue)
}

// readCertificates reads PEM files.
func readCertificates(paths []string) (list []*signing.Certificate, err error) {
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errUnusable, err)
		}
		certs, err := signing.ParsePEMCertificates(b)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errUnusable, path, err)
		}
		list = append(list, certs...)
	}
	return list, nil
}

// Run implements the command.
func (c *receiptsCommand) Run(s *streams) error {
	anchors, err := c.read()
	if err != nil {
		return err
	}
	bus := &papers.Bus{Roots: anchors.Roots, Intermediates: anchors.Intermediates}
	if bus.Certificates, err = readCertificates(c.Bus); err != nil {
		return err
	}
	folder, err := papers.ReadReceipts(c.Dir, bus)
	if err != nil {
		return err
	}
	for _, path := range c.Evidence {
		e, err := openBundle(path, c.Policy)
		if err != nil {
			return err
		}
		folder.Evidence = append(folder.Evidence, e)
	}
	log, err := c.open(c.Mirror)
	if err != nil {
		return err
	}
	defer log.unlock()
	r, err := folder.Hold(context.Background(), log, log.policy, log.checkpoint, log.known)
	if err != nil {
		return err
	}
	checkpoint := r.Log.Checkpoint
	s.say("log        %s, %d entries, root %s%s\n", checkpoint.Origin, checkpoint.Tree.N, checkpoint.Tree.Hash, signedAt(checkpoint))
	for i := range r.Held {
		if err := c.tell(s, r, &r.Held[i], log.policy); err != nil {
			return err
		}
	}
	for _, u := range r.Unproven {
		s.say("NOT PROVED  %s is not the bus's word: %v\n", u.File, u.Err)
	}
	for _, u := range r.Unlike {
		s.say("UNLIKE      %s: entry %d commits to an envelope of SHA-256 %s, and %s, which was kept as sent, is of %s\n", u.MessageID, u.Index, u.Logged, u.File, u.Digest)
	}
	if r.Unopened > 0 {
		s.say("note: %d envelopes that were kept as sent could not be held against their entries: name evidence of their exchanges with --evidence\n", r.Unopened)
	}
	if r.Hidden > 0 {
		s.say("note: %d folders whose names begin with a dot were passed by\n", r.Hidden)
	}
	for _, sender := range slices.Sorted(maps.Keys(r.Unreceipted)) {
		s.say("note: the log has %d accepted messages of %s without a receipt here: were they sent by somebody else in its name, or their receipts not kept?\n", r.Unreceipted[sender], sender)
	}
	remembered(s, log.memory.Damaged)
	for _, fork := range log.memory.Forks {
		forked(s, fork)
	}
	for _, f := range r.Log.Recount.Findings {
		s.say("FINDING: %s\n", f)
	}
	broken := r.Count(papers.Missing) + r.Count(papers.Late) + r.Count(papers.Altered) + r.Count(papers.Ahead) + r.Count(papers.Undated)
	s.say("receipts   %d kept, %d not due yet, %d broken (%d missing, %d late, %d altered, %d ahead, %d undated); %d not proved, %d other files\n",
		r.Count(papers.Kept), r.Count(papers.Due), broken, r.Count(papers.Missing), r.Count(papers.Late), r.Count(papers.Altered), r.Count(papers.Ahead), r.Count(papers.Undated), len(r.Unproven), r.Others)
	s.say("envelopes  %d as their entries commit to them, %d unlike, %d not compared\n", r.Compared, len(r.Unlike), r.Unopened)
	switch damaged := len(log.memory.Damaged) + len(log.memory.Forks); {
	case broken > 0:
		fmt.Fprintln(s.out, "NOT VERIFIED: the log has not kept what was promised")
	case len(r.Unlike) > 0:
		fmt.Fprintln(s.out, "NOT VERIFIED: the log commits to other envelopes than those that were kept as sent; the evidence has what was signed")
	case !r.Log.OK() || damaged > 0:
		fmt.Fprintln(s.out, "NOT VERIFIED: the log itself does not hold")
	case len(r.Unproven) > 0:
		fmt.Fprintln(s.out, "NOT VERIFIED: of some receipts it was not proved that they are the bus's; is its certificate of that time in --bus?")
	case len(r.Held) == 0:
		fmt.Fprintln(s.out, "NOT VERIFIED: there is no receipt")
	default:
		fmt.Fprintln(s.out, "VERIFIED: every receipt that is due has its entry")
		return nil
	}
	return errFindings
}

// tell prints one receipt, and keeps the proof of a promise that was broken.
func (c *receiptsCommand) tell(s *streams, r *papers.Report, h *papers.Held, policy *journal.Policy) error {
	word := string(h.Promises)
	at := h.At.UTC().Format("2006-01-02 15:04:05.000")
	due := h.At.Add(journal.ReceiptDue).UTC().Format(time.RFC3339)
	signed := r.Log.Checkpoint.Signed.UTC().Format(time.RFC3339)
	switch h.Verdict {
	case papers.Kept:
		s.say("kept        %s %s %s: entry %d, logged %s later\n", h.MessageID, word, at, h.Index, h.Logged.Sub(h.At).Round(time.Millisecond))
	case papers.Due:
		s.say("not due     %s %s %s: no entry; the log as it is here was signed %s, and the promise is due %s. Bring the mirror up to date then\n", h.MessageID, word, at, signed, due)
	case papers.Missing:
		s.say("MISSING     %s %s %s: the bus promised its entry (%s), it was due %s, and the log of %d entries that was signed %s lacks it; entries %d to %d were logged meanwhile\n",
			h.MessageID, word, at, h.File, due, r.Log.Checkpoint.Tree.N, signed, h.From, h.To-1)
	case papers.Late:
		s.say("LATE        %s %s %s: entry %d was logged %s, due was %s\n", h.MessageID, word, at, h.Index, h.Logged.UTC().Format(time.RFC3339), due)
	case papers.Altered:
		s.say("ALTERED     %s %s %s: entry %d: %s (%s)\n", h.MessageID, word, at, h.Index, h.What, h.File)
	case papers.Ahead:
		s.say("AHEAD       %s %s %s: no entry, and the bus dated its promise to a time that has not come, so that it would not be due before %s (%s)\n", h.MessageID, word, at, due, h.File)
	case papers.Undated:
		s.say("UNDATED     %s %s %s: no entry, and the log's checkpoint does not say when it was signed: no promise would ever come due by it (%s)\n", h.MessageID, word, at, h.File)
	}
	if c.Proofs == "" || !h.Verdict.Provable() {
		return nil
	}
	dir, err := r.WriteHole(c.Proofs, c.Dir, *h, policy)
	if err != nil {
		return fmt.Errorf("keep the proof: %w", err)
	}
	s.say("            proof in %s\n", dir)
	return nil
}
