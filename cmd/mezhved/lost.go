package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/console"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/journal/papers"
	"mezhved/adapter/kafka"
	"mezhved/adapter/losses"
	"mezhved/adapter/postgres"
	"mezhved/adapter/registry"
)

// evidenceFlags name what others have kept.
type evidenceFlags struct {
	Mirror     []string `placeholder:"DIR" type:"existingdir" help:"A mirror of the log, an auditor's for example: it is verified whole. May be repeated."`
	Checkpoint []string `placeholder:"FILE" type:"existingfile" help:"A checkpoint that somebody has kept, a witness for example. May be repeated."`
	Receipts   []string `placeholder:"DIR" type:"existingdir" help:"The bus's signed answers as a party has kept them (mezhved send --keep, or bodies written down by any client). May be repeated."`
	Bus        []string `placeholder:"FILE" type:"existingfile" help:"Certificates that the bus has signed receipts with; default: signature.certificate."`
	Policy     string   `placeholder:"FILE" type:"existingfile" help:"Whose signatures make a checkpoint; default: journal.policy, or the log's own key."`
	NoBus      bool     `name:"no-bus" help:"Do not look at the topics on the bus: it is gone, too."`
}

// policy is by what mirrors and checkpoints are believed. A log that goes on under a
// new name needs the old one's: --policy.
func (f *evidenceFlags) policy(config adapter.Config) (*journal.Policy, error) {
	if file := cmp.Or(f.Policy, config.Journal.Policy); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, usage(err)
		}
		p, err := journal.ParsePolicy(text)
		if err != nil {
			return nil, usage(fmt.Errorf("%s: %w", file, err))
		}
		return p, nil
	}
	vkey, err := logKey(config, "")
	if err != nil {
		return nil, err
	}
	if vkey == "" {
		return nil, usage(errors.New("by what a checkpoint is believed is not said: --policy, or journal.key in the configuration"))
	}
	return journal.LogPolicy(vkey)
}

// logKey is the log's verifier key: from a file, or the configuration's own; empty when
// there is none.
func logKey(config adapter.Config, file string) (string, error) {
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", usage(err)
		}
		return strings.TrimSpace(string(text)), nil
	}
	if config.Journal.Key == "" {
		return "", nil
	}
	skey, err := os.ReadFile(config.Journal.Key)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", usage(err)
	}
	_, vkey, err := journal.KeyOf(strings.TrimSpace(string(skey)))
	if err != nil {
		return "", usage(fmt.Errorf("%s: %w", config.Journal.Key, err))
	}
	return vkey, nil
}

// gather reads all evidence of what came from an entry on.
func (f *evidenceFlags) gather(ctx context.Context, config adapter.Config, store *postgres.Store, book *postgres.Journal, from int64) (*losses.Evidence, error) {
	e := losses.New()
	head, err := book.Head(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	asked := time.Now()
	e.Have = func(index int64) ([]byte, bool) {
		if index >= head.Tree.N && time.Since(asked) > time.Second { // a gateway may be at work
			asked = time.Now()
			if h, err := book.Head(ctx); err == nil {
				head = h
			}
		}
		if index >= head.Tree.N {
			return nil, false
		}
		row, err := book.Entry(ctx, index)
		return row.Bytes, err == nil
	}
	if len(f.Mirror)+len(f.Checkpoint) > 0 {
		policy, err := f.policy(config)
		if err != nil {
			return nil, err
		}
		for _, dir := range f.Mirror {
			if err := e.ReadMirror(ctx, dir, policy, from); err != nil {
				return nil, no(err)
			}
		}
		for _, file := range f.Checkpoint {
			if err := e.ReadCheckpoint(file, policy); err != nil {
				return nil, no(err)
			}
		}
	}
	if len(f.Receipts) > 0 {
		bus := &papers.Bus{}
		names := f.Bus
		if len(names) == 0 && config.Signature.Certificate != "" {
			names = []string{config.Signature.Certificate}
		}
		if bus.Certificates, err = readCertificates(names); err != nil {
			return nil, usage(err)
		}
		for _, dir := range f.Receipts {
			if err := e.ReadReceipts(dir, bus); err != nil {
				return nil, usage(err)
			}
		}
	}
	switch {
	case f.NoBus:
		e.Saw("bus: not looked at")
	case config.Kafka.Private != "":
		e.Saw("bus: in-process, it is not looked at")
	default:
		if err := readBus(ctx, config, store, book, from, e); err != nil {
			return nil, unavailable(fmt.Errorf("the topics on the bus, which may prove what is lost, cannot be read; say --no-bus when they are gone: %w", err))
		}
	}
	return e, nil
}

// readBus takes in the log's topic, and the records of messages from where the intake has
// last put something into a queue. What a relay has put there itself is among them.
func readBus(ctx context.Context, config adapter.Config, store *postgres.Store, book *postgres.Journal, from int64, e *losses.Evidence) error {
	b, err := openKafka(config.Kafka, time.Now, slog.Default())
	if err != nil {
		return err
	}
	defer b.Close()
	bounded, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := b.Health(bounded); err != nil {
		return err
	}
	entries, strange := 0, 0
	err = b.Read(ctx, config.Kafka.LogTopic(), nil, func(_ adapter.Partition, r adapter.Record) error {
		index, ok := adapter.LogIndex(&r)
		if !ok || e.Entry(from, index, r.Value, losses.Topic) != nil {
			strange++
			return nil
		}
		entries++
		return nil
	})
	if err != nil {
		return err
	}
	e.Saw(fmt.Sprintf("topic %s: %d entries, %d records that are none", config.Kafka.LogTopic(), entries, strange))
	records, topics := 0, map[string]bool{}
	err = eachRecord(ctx, config, store, b, func(topic string, _ [][]byte, _ *adapter.Record, h map[string]string) error {
		records++
		topics[topic] = true
		return e.Record(ctx, losses.Message{MessageID: h["message-id"], Sender: h["sender"], Recipient: h["recipient"], Direction: h["direction"], Service: h["service"], Version: h["service-version"], Original: h["original"]}, book)
	})
	e.Saw(fmt.Sprintf("bus: %d records of messages in %d topics", records, len(topics)))
	return err
}

// eachRecord reads the records of messages from where the intake has last put something
// into a queue: those that a gateway has sealed, with what stands in their headers. The
// intake notes nothing of what relays have put into queues.
func eachRecord(ctx context.Context, config adapter.Config, store *postgres.Store, b *kafka.Broker, each func(topic string, seals [][]byte, r *adapter.Record, headers map[string]string) error) error {
	replies, err := config.LoadReplyKeys()
	if err != nil {
		return err
	}
	seals, err := config.LoadSealKeys(replies)
	if err != nil {
		return err
	}
	offsets, err := store.ReadOffsets(ctx)
	if err != nil {
		return err
	}
	registry, found := registry.Open(config.Services, config.Parties, time.Now)
	if registry == nil {
		return fmt.Errorf("services and parties:\n%w", found.Errors())
	}
	_, topics := config.Kafka.Topics(registry.Catalog())
	for _, topic := range topics {
		err := b.Read(ctx, topic, offsets, func(_ adapter.Partition, r adapter.Record) error {
			h, err := adapter.SealedHeaders(seals, topic, &r)
			if err != nil {
				return nil // no gateway has written it
			}
			return each(topic, seals, &r, h)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// saveLost writes down what the bus still has of messages that are lost, a file for each:
// what their senders signed, with the signature. It gives the files' names, and why others
// have none.
func saveLost(ctx context.Context, config adapter.Config, store *postgres.Store, lost []losses.Message, dir string) (saved, not []string, err error) {
	r := rescue{dir: dir, wanted: map[string]string{}}
	for _, m := range lost {
		if slices.Contains(m.By, losses.Bus) {
			r.wanted[m.MessageID] = "the bus has it no more"
		}
	}
	if len(r.wanted) == 0 {
		return nil, nil, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, usage(err)
	}
	b, err := openKafka(config.Kafka, time.Now, slog.Default())
	if err != nil {
		return nil, nil, usage(err)
	}
	defer b.Close()
	err = eachRecord(ctx, config, store, b, func(topic string, seals [][]byte, record *adapter.Record, h map[string]string) error {
		return r.try(h["message-id"], func() ([]byte, error) { return adapter.RecordValue(ctx, store, seals, topic, record) })
	})
	var told *exitError
	if err != nil && !errors.As(err, &told) {
		err = unavailable(err)
	}
	return r.saved, r.not(), err
}

// rescue is what is written down of lost messages. A record may stand on the bus more than
// once, and went to several recipients, perhaps; one copy that opens is enough.
type rescue struct {
	dir    string
	wanted map[string]string // by MessageID: why it is not written down yet
	saved  []string
}

// try writes down what a copy of a message carries.
func (r *rescue) try(id string, value func() ([]byte, error)) error {
	if r.wanted[id] == "" { // it is here, or written down
		return nil
	}
	text, err := value()
	switch {
	case err != nil:
		r.wanted[id] = err.Error()
		return nil
	case len(text) == 0:
		r.wanted[id] = "it was too large for the bus, which has its headers alone"
		return nil
	}
	name := filepath.Join(r.dir, url.PathEscape(id)+".xml")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		return usage(err)
	}
	r.saved = append(r.saved, name)
	delete(r.wanted, id)
	return nil
}

// not are those that are not written down, and why.
func (r *rescue) not() (list []string) {
	for _, id := range slices.Sorted(maps.Keys(r.wanted)) {
		list = append(list, id+": "+r.wanted[id])
	}
	return list
}

// journalLostCmd says what others prove and this database does not have.
type journalLostCmd struct {
	Config string `required:"" short:"c" placeholder:"FILE" type:"existingfile" help:"The gateway's configuration."`
	evidenceFlags
	From int64  `default:"-1" placeholder:"NUMBER" help:"Entry from which on the log is not that of the evidence any more; default: what was signed last here."`
	Save string `placeholder:"DIR" help:"Write down what the bus still has of lost messages: for each one what its sender signed, in the clear."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (journalLostCmd) Help() string {
	return `After a standby was promoted that was not waited for, or a backup was restored: what has this database lost? Read are the signer's
memory, the topics on the bus, and what auditors and parties have kept. Messages that were accepted and are not here are told by their
MessageID, with whom to ask to send them again under the same one. What was on its way to its queue stands on the bus, under a key in the
vault: --save writes it down for those who have to know now what was asked. Gateways may run meanwhile.
Exit code 0: nothing is proved that is not here; 1: something is.

Examples:
  mezhved journal lost --config /etc/mezhved/mezhved.yaml
  mezhved journal lost --config /etc/mezhved/mezhved.yaml --mirror /mnt/auditor/mirror --receipts /mnt/muni01/receipts
  mezhved journal lost --config /etc/mezhved/mezhved.yaml --save lost`
}

func (c *journalLostCmd) Run(ctx context.Context, out *stdio) (err error) {
	config, err := adapter.LoadConfig(c.Config)
	if err != nil {
		return usage(err)
	}
	store, book, stop, err := openBook(ctx, out, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	head, err := book.Head(ctx)
	if err != nil {
		return unavailable(err)
	}
	from := c.From
	if from < 0 {
		if from, err = divergence(ctx, book, head); err != nil {
			return unavailable(err)
		}
	}
	e, err := c.gather(ctx, config, store, book, from)
	if err != nil {
		return err
	}
	said := lostSaid{Sources: e.Sources, Evidence: e.Size, Signed: signedHere(config)}
	if head, err = book.Head(ctx); err != nil { // after all that it is held against: it only grows
		return unavailable(err)
	}
	report, err := e.Against(ctx, book)
	if err != nil {
		return unavailable(err)
	}
	said.Entries, said.Stopped, said.Report = head.Tree.N, head.Stopped, *report
	if c.Save != "" {
		if said.Saved, said.NotSaved, err = saveLost(ctx, config, store, report.Lost, c.Save); err != nil {
			return err
		}
	}
	if c.JSON {
		err = printJSON(out.out, said)
	} else {
		said.print(out.out)
	}
	if err == nil && said.gone() {
		err = no(errSaid)
	}
	return err
}

// divergence is the entry from which on another copy of the log may be another one than
// this: where the log was last reopened, or what is under no signature yet.
func divergence(ctx context.Context, book *postgres.Journal, head clerk.Head) (int64, error) {
	from := head.Tree.N
	if c, err := book.Checkpoint(ctx); err == nil {
		from = min(from, c.Tree.N)
	}
	rows, err := book.Search(ctx, postgres.Query{Kind: journal.KindKeyChanged, Descending: true, Limit: 1})
	if err == nil && len(rows) == 1 {
		from = min(from, rows[0].Index)
	}
	return from, err
}

// signedHere is how many entries this node's signer remembers to have signed; -1: it
// remembers nothing, or is none.
func signedHere(config adapter.Config) int64 {
	if config.Journal.State == "" {
		return -1
	}
	text, err := os.ReadFile(config.Journal.State)
	var st journal.LastSigned
	if err == nil {
		err = json.Unmarshal(text, &st)
	}
	if err != nil {
		return -1
	}
	return st.Size
}

// lostSaid is what is said about losses.
type lostSaid struct {
	Entries  int64    `json:"entries"`           // of the log here
	Signed   int64    `json:"signed"`            // that this node's signer remembers; -1: none
	Evidence int64    `json:"evidence"`          // that the evidence knows of
	Stopped  string   `json:"stopped,omitempty"` // why nothing is accepted
	Sources  []string `json:"sources"`
	Saved    []string `json:"saved,omitempty"`    // files with what the bus still had of lost messages
	NotSaved []string `json:"notSaved,omitempty"` // of which lost messages it had nothing, and why
	losses.Report
}

func (s *lostSaid) gone() bool {
	return len(s.Lost) > 0 || s.Signed > s.Entries || s.Evidence > s.Entries || s.Stopped != ""
}

func (s *lostSaid) print(w io.Writer) {
	see := console.Visible
	for _, from := range s.Sources {
		fmt.Fprintf(w, "read       %s\n", see(from))
	}
	fmt.Fprintf(w, "journal    %d entries here\n", s.Entries)
	if s.Signed > s.Entries {
		fmt.Fprintf(w, "SIGNED     %d entries, says this node's signer (journal.state): %d of them are gone, and it signs nothing any more\n", s.Signed, s.Signed-s.Entries)
	}
	if s.Evidence > s.Entries {
		fmt.Fprintf(w, "KNOWN      %d entries, says what others have: %d of them are not here\n", s.Evidence, s.Evidence-s.Entries)
	}
	if s.Stopped != "" {
		fmt.Fprintf(w, "STOPPED    nothing is accepted: %s\n", see(s.Stopped))
	}
	if len(s.Lost) > 0 {
		fmt.Fprintf(w, "\nLOST: %d messages were accepted and are not here. Ask their senders to send them again, under the same MessageID:\n\n", len(s.Lost))
		rows := [][]string{{"SENDER", "MESSAGE", "ACCEPTED", "TO", "SERVICE", "ANSWERS", "PROVED BY"}}
		for _, m := range s.Lost {
			at := "-"
			if !m.At.IsZero() {
				at = m.At.UTC().Format("2006-01-02T15:04:05.000Z")
			}
			by := make([]string, len(m.By))
			for i := range m.By {
				by[i] = string(m.By[i])
			}
			rows = append(rows, []string{see(m.Sender), see(m.MessageID), at, see(m.Recipient), see(strings.TrimSpace(m.Service + " " + m.Version)), see(m.Original), strings.Join(by, ", ")})
		}
		table(w, rows)
	}
	if len(s.Saved)+len(s.NotSaved) > 0 {
		fmt.Fprintf(w, "\nSAVED: what %d of them say, as their senders signed it, is written down:\n\n", len(s.Saved))
		for _, name := range s.Saved {
			fmt.Fprintf(w, "  %s\n", see(name))
		}
		for _, why := range s.NotSaved {
			fmt.Fprintf(w, "  not %s\n", see(why))
		}
	}
	if len(s.Again) > 0 {
		fmt.Fprintf(w, "\n%d deliveries and acknowledgements of messages that are here are not known here any more: those messages come again to their recipients,\nwho know them by their MessageIDs (--json lists them)\n", len(s.Again))
	}
	if !s.gone() {
		fmt.Fprintln(w, "\nNothing is proved that is not here: "+strconv.Itoa(s.Known)+" messages of the evidence are.")
	}
}
