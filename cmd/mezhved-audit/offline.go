package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/papers"
	"mezhved/cmd/mezhved-audit/verdict"
	"mezhved/signing"
)

type verifyCommand struct {
	Bundle verifyBundleCommand `cmd:"" default:"withargs" help:"Verify an evidence bundle."`
	Log    verifyLogCommand    `cmd:"" help:"Verify a whole log: every entry, tile, counter and total, and the checkpoints of earlier visits."`
}

type verifyBundleCommand struct {
	Policy string `placeholder:"FILE" type:"existingfile" help:"The policy that you trust. Without it the bundle is only checked against itself."`
	anchorFlags
	TSA    []string `name:"tsa" placeholder:"FILE" type:"existingfile" help:"Certificates (PEM) of the time-stamping authorities that you trust; may be repeated."`
	Bus    []string `placeholder:"FILE" type:"existingfile" help:"The bus's certificates (PEM), from somebody whom you trust: no other's signature in its answers is its own. Without any that is not looked at. May be repeated."`
	Bundle string   `arg:"" type:"existingfile" help:"The bundle, a zip file."`
}

// anchorFlags say whose certificates are believed.
type anchorFlags struct {
	Anchors []string `placeholder:"FILE" type:"existingfile" help:"Certificates (PEM) of the authorities that you trust: those of the signatures must lead to one of them. Without any, signatures are proved and their paths are not looked at. May be repeated."`
	Issuers []string `placeholder:"FILE" type:"existingfile" help:"Certificates between the anchors and those of the signatures; may be repeated."`
}

func (f *anchorFlags) read() (a papers.Anchors, err error) {
	if a.Roots, err = readCertificates(f.Anchors); err != nil {
		return a, err
	}
	a.Intermediates, err = readCertificates(f.Issuers)
	return a, err
}

// openBundle verifies the bundle in a file.
func openBundle(path, policyPath string) (*audit.Evidence, error) {
	var policy *journal.Policy
	if policyPath != "" {
		var err error
		if policy, err = readPolicy(policyPath); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	e, err := audit.VerifyBundle(f, info.Size(), policy)
	if err != nil {
		return nil, fmt.Errorf("%s is NOT verified: %w", path, err)
	}
	return e, nil
}

// readPolicy reads a policy. One that cannot be used says nothing about the
// evidence: its error is errUnusable.
func readPolicy(path string) (*journal.Policy, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnusable, err)
	}
	policy, err := journal.ParsePolicy(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUnusable, path, err)
	}
	return policy, nil
}

// readPolicies reads the policy and those of earlier visits.
func readPolicies(path string, earlierPaths []string) (policy *journal.Policy, earlier []*journal.Policy, err error) {
	if policy, err = readPolicy(path); err != nil {
		return nil, nil, err
	}
	for _, path := range earlierPaths {
		p, err := readPolicy(path)
		if err != nil {
			return nil, nil, err
		}
		earlier = append(earlier, p)
	}
	return policy, earlier, nil
}

// Run implements the command.
func (c *verifyBundleCommand) Run(s *streams) error {
	e, err := openBundle(c.Bundle, c.Policy)
	if err != nil {
		return err
	}
	anchors, err := c.read()
	if err != nil {
		return err
	}
	if anchors.Bus, err = readCertificates(c.Bus); err != nil {
		return err
	}
	tsa, err := readCertificates(c.TSA)
	if err != nil {
		return err
	}
	v, err := verdict.Reach(e, &anchors, tsa)
	if err != nil {
		return err
	}
	v.Tell(s.out, c.Bundle, c.Policy)
	if v.Bad > 0 {
		return errFindings
	}
	return nil
}

func signedAt(c *journal.Checkpoint) string {
	if c.Signed.IsZero() {
		return ""
	}
	return " (signed " + c.Signed.Format(time.RFC3339) + ")"
}

// logFlags say under what a log is read.
type logFlags struct {
	Policy        string   `required:"" placeholder:"FILE" type:"existingfile" help:"The policy that you trust."`
	EarlierPolicy []string `placeholder:"FILE" type:"existingfile" help:"A policy that you had at earlier visits, for the checkpoints taken under it; may be repeated."`
	Known         []string `placeholder:"FILE" type:"existingfile" help:"Checkpoints that you saw earlier; those of the mirror's own visits are used in any case."`
}

// openedLog is a log in a directory that nobody changes meanwhile.
type openedLog struct {
	audit.DirSource
	policy     *journal.Policy
	checkpoint []byte
	known      []*journal.Checkpoint
	memory     *audit.Memory
	unlock     func()
}

func (c *logFlags) open(dir string) (_ *openedLog, err error) {
	log := &openedLog{DirSource: audit.DirSource{FS: os.DirFS(dir)}}
	var earlier []*journal.Policy
	if log.policy, earlier, err = readPolicies(c.Policy, c.EarlierPolicy); err != nil {
		return nil, err
	}
	if log.unlock, err = audit.LockMirrorForReading(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			log.unlock()
		}
	}()
	if log.checkpoint, err = os.ReadFile(filepath.Join(dir, "checkpoint")); err != nil {
		return nil, err
	}
	if log.memory, err = audit.Remember(dir, log.policy, earlier...); err != nil {
		return nil, err
	}
	log.known = log.memory.Known
	for _, s := range log.memory.Stamps {
		log.known = append(log.known, s.Checkpoint)
	}
	for _, path := range c.Known {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		k, err := log.policy.Open(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		log.known = append(log.known, k)
	}
	return log, nil
}

type verifyLogCommand struct {
	logFlags
	TSA []string `name:"tsa" placeholder:"FILE" type:"existingfile" help:"Certificates (PEM) of the time-stamping authorities that you trust; may be repeated."`
	Dir string   `arg:"" type:"existingdir" help:"The log: a mirror, or any copy in the layout of c2sp.org/tlog-tiles."`
}

// Run implements the command.
func (c *verifyLogCommand) Run(s *streams) error {
	log, err := c.open(c.Dir)
	if err != nil {
		return err
	}
	defer log.unlock()
	memory := log.memory
	begin := time.Now()
	rep, err := audit.VerifyLog(context.Background(), log, log.policy, log.checkpoint, log.known)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	r := rep.Recount
	s.say("log        %s, %d entries, root %s\n", rep.Checkpoint.Origin, rep.Checkpoint.Tree.N, rep.Checkpoint.Tree.Hash)
	s.say("from       %s to %s\n", r.First.Format(time.RFC3339), r.Logged.Format(time.RFC3339))
	s.say("checked    %d entries, %d tiles, %d earlier checkpoints in %s (%.0f entries/s)\n", r.Size, rep.Tiles, rep.Known, took.Round(time.Millisecond), float64(r.Size)/took.Seconds())
	recounted(s, r)
	remembered(s, memory.Damaged)
	for _, fork := range memory.Forks {
		forked(s, fork)
	}
	bad, err := c.stamps(s, memory.Stamps)
	if err != nil {
		return err
	}
	findings := r.Found + int64(len(memory.Damaged)+len(memory.Forks)+bad)
	if findings == 0 {
		fmt.Fprintln(s.out, "VERIFIED: 0 missing, 0 changed")
		return nil
	}
	for _, f := range r.Findings {
		s.say("FINDING: %s\n", f)
	}
	s.say("NOT VERIFIED: %d findings\n", findings)
	return errFindings
}

// stamps proves the time stamps of a mirror and says how many prove nothing.
func (c *verifyLogCommand) stamps(s *streams, stamps []audit.Stamp) (bad int, err error) {
	anchors, err := readCertificates(c.TSA)
	if err != nil {
		return 0, err
	}
	var first, last *signing.Timestamp
	for i := range stamps {
		ts, err := papers.Timestamp(&stamps[i], anchors)
		if err != nil {
			s.say("FINDING: the time stamp over the first %d entries proves nothing: %v\n", stamps[i].Checkpoint.Tree.N, err)
			bad++
			continue
		}
		if first == nil {
			first = ts
		}
		last = ts
	}
	if last != nil {
		whose := ""
		if len(anchors) == 0 {
			whose = "; whose they are was not looked at (--tsa)"
		}
		s.say("time       %d time stamps, from %s to %s, the last by %s: the first %d entries were there then%s\n", len(stamps)-bad, first.Time().Format(time.RFC3339),
			last.Time().Format(time.RFC3339), last.Certificate().Subject(), stamps[len(stamps)-1].Checkpoint.Tree.N, whose)
	}
	return bad, nil
}

// remembered prints what a mirror's memory has lost.
func remembered(s *streams, damaged []string) {
	for _, what := range damaged {
		s.say("FINDING: %s\n", what)
	}
}

// forked prints two checkpoints that contradict each other.
func forked(s *streams, fork *audit.ForkError) {
	s.say("CHANGED: %v\n\nCheckpoint of the last visit:\n%s\nCheckpoint now:\n%s\n", fork, fork.Before.Note, fork.Now.Note)
}

// recounted prints the bookkeeping of a log.
func recounted(s *streams, r *audit.Recount) {
	s.say("recounted  %d parties, %d periods closed, %d entries logged more than a minute late\n", len(r.Counters), r.Closes, r.Late)
	kinds := []string{}
	for k, n := range r.Kinds() {
		kinds = append(kinds, fmt.Sprintf("%s %d", k, n))
	}
	slices.Sort(kinds)
	s.say("           %s\n", strings.Join(kinds, ", "))
}

type reportCommand struct {
	Bundle reportBundleCommand `cmd:"" default:"withargs" help:"Verify a bundle and print what it proves, as a page to read and print."`
	Log    reportLogCommand    `cmd:"" help:"Make a report of figures from a mirror: the same that the gateway gives."`
}

type reportBundleCommand struct {
	Policy string `placeholder:"FILE" type:"existingfile" help:"The policy that you trust."`
	Lang   string `default:"ru" enum:"ru,en" help:"Language: ru or en."`
	Bundle string `arg:"" type:"existingfile" help:"The bundle, a zip file."`
}

// Run implements the command.
func (c *reportBundleCommand) Run(s *streams) error {
	e, err := openBundle(c.Bundle, c.Policy)
	if err != nil {
		return err
	}
	if !e.Pinned {
		fmt.Fprintln(s.err, "mezhved-audit: without --policy the bundle is only checked against itself")
	}
	page, err := e.Printed(c.Lang)
	if err != nil {
		return err
	}
	_, err = s.out.Write(page)
	return err
}

type proofsCommand struct {
	Policy string `placeholder:"FILE" type:"existingfile" help:"The policy that you trust."`
	Bundle string `arg:"" type:"existingfile" help:"The bundle, a zip file."`
	Dir    string `arg:"" type:"path" help:"Folder for N.json, entry N as it stands in the log, and N.tlog-proof (https://c2sp.org/tlog-proof)."`
}

// Run implements the command.
func (c *proofsCommand) Run(s *streams) error {
	e, err := openBundle(c.Bundle, c.Policy)
	if err != nil {
		return err
	}
	if !e.Pinned {
		fmt.Fprintln(s.err, "mezhved-audit: without --policy the bundle is only checked against itself")
	}
	proofs, err := e.Proofs()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return err
	}
	leaves := map[int64][]byte{e.Export.Index: e.Export.Bytes}
	for _, x := range e.Entries {
		leaves[x.Index] = x.Bytes
	}
	for index, proof := range proofs {
		name := filepath.Join(c.Dir, strconv.FormatInt(index, 10))
		if err := os.WriteFile(name+".json", leaves[index], 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(name+".tlog-proof", proof, 0o644); err != nil {
			return err
		}
	}
	s.say("%d entries and their proofs are in %s\n", len(leaves), c.Dir)
	return nil
}

type keygenCommand struct {
	MLDSA bool   `name:"ml-dsa" help:"Make an ML-DSA-44 key, for a log's second signature."`
	Name  string `arg:"" help:"Name of the key: a log's origin, or a witness's name, like a URL without scheme."`
	Out   string `arg:"" type:"path" help:"File for the secret key; must not exist."`
}

// Run implements the command.
func (c *keygenCommand) Run(s *streams) error {
	make := journal.NewKey
	if c.MLDSA {
		make = journal.NewMLDSAKey
	}
	secret, public, err := make(c.Name)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(c.Out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(f, secret); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	s.say("%s\n", public)
	return nil
}
