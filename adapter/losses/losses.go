// Package losses is the room of one question: what do others prove to have happened
// that this gateway does not have? A database that was restored from a backup, or a
// standby that was promoted before it had everything, has lost what came last, and does
// not know what that was. Others do: parties have receipts that the bus has signed,
// auditors have mirrors of the log, the bus has the log's topic and the records of
// messages. Each is read here, proved as far as it can be, and held against what the
// database has; what remains is told by MessageID, with whom to ask to send it again.
//
// Who may enter: cmd/mezhved. The room reads and never writes.
//
// # What proves what
//
//	receipt   the bus's own signature: a message was accepted, or handed out
//	mirror    a signed checkpoint: all entries below it, whole and in order
//	topic     the log's topic: entries as the log had them. Who can write to the bus can
//	          put false ones there, so they are told as what they are
//	bus       a record of a message, under the seal of the gateways
//
// A receipt or a record may be of a message that the log never came to hold: it was
// committed, promised and lost before it had its place.
package losses

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/papers"
)

// By is what proves something.
type By string

// What may.
const (
	Receipt By = "receipt"
	Mirror  By = "mirror"
	Topic   By = "topic"
	Bus     By = "bus"
)

// Message is one that somebody proves to have been accepted.
type Message struct {
	MessageID string    `json:"messageId"`
	Sender    string    `json:"sender"` // whom to ask to send it again
	Recipient string    `json:"recipient,omitempty"`
	Direction string    `json:"direction,omitempty"`
	Service   string    `json:"service,omitempty"`
	Version   string    `json:"version,omitempty"`
	Original  string    `json:"original,omitempty"` // the request that it answers
	At        time.Time `json:"at,omitzero"`        // when it was accepted, as far as the proof says
	By        []By      `json:"by"`
}

// Step is something that happened to a message that is here, and that this gateway does
// not know of: it will happen again.
type Step struct {
	MessageID string       `json:"messageId"`
	Recipient string       `json:"recipient"`
	Kind      journal.Kind `json:"kind"` // delivered, acknowledged
	At        time.Time    `json:"at"`
	By        []By         `json:"by"`
}

// Evidence is what was read of others.
type Evidence struct {
	Checkpoints []*journal.Checkpoint // that the log has signed, proved under the policy
	Size        int64                 // the log had so many entries at least
	Sources     []string              // what was read, for the reader

	// Have gives an entry that is here; nil: none is looked for. What is here and says the
	// same is no evidence of a loss.
	Have func(index int64) (leaf []byte, ok bool)

	accepted map[string]*Message
	steps    map[string]*Step
	erased   []journal.Leaf
	records  []Message // of the bus, not yet held against what is here
	known    int       // of the bus, and here
}

// New is evidence of nothing.
func New() *Evidence {
	return &Evidence{accepted: map[string]*Message{}, steps: map[string]*Step{}}
}

func (e *Evidence) saw(format string, args ...any) {
	e.Sources = append(e.Sources, fmt.Sprintf(format, args...))
}

func add(list []By, by By) []By {
	if !slices.Contains(list, by) {
		list = append(list, by)
	}
	return list
}

func (e *Evidence) message(m Message, by By) {
	had := e.accepted[m.MessageID]
	if had == nil {
		had = &m
		e.accepted[m.MessageID] = had
	}
	had.Sender, had.Recipient, had.Direction = cmp.Or(had.Sender, m.Sender), cmp.Or(had.Recipient, m.Recipient), cmp.Or(had.Direction, m.Direction)
	had.Service, had.Version, had.Original = cmp.Or(had.Service, m.Service), cmp.Or(had.Version, m.Version), cmp.Or(had.Original, m.Original)
	if had.At.IsZero() {
		had.At = m.At
	}
	had.By = add(had.By, by)
}

func (e *Evidence) step(s Step, by By) {
	key := s.MessageID + "\n" + s.Recipient + "\n" + string(s.Kind)
	if e.steps[key] == nil {
		e.steps[key] = &s
	}
	e.steps[key].By = add(e.steps[key].By, by)
}

// Entry takes in an entry of the log from the given index on; what came before is here.
func (e *Evidence) Entry(from, index int64, leaf []byte, by By) error {
	if index >= e.Size {
		e.Size = index + 1
	}
	if index < from {
		return nil
	}
	if e.Have != nil {
		if here, ok := e.Have(index); ok && bytes.Equal(here, leaf) {
			return nil
		}
	}
	l, err := journal.ParseLeaf(leaf)
	if err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	switch l.Kind {
	case journal.KindAccepted:
		if l.MessageID != "" {
			e.message(Message{MessageID: l.MessageID, Sender: l.Sender, Recipient: l.Recipient, Direction: l.Direction, Service: l.Service, Version: l.Version, Original: l.Original, At: l.Time}, by)
		}
	case journal.KindDelivered, journal.KindAcknowledged:
		if l.MessageID != "" {
			e.step(Step{MessageID: l.MessageID, Recipient: l.Recipient, Kind: l.Kind, At: l.Time}, by)
		}
	case journal.KindErased:
		e.erased = append(e.erased, l)
	}
	return nil
}

// ReadMirror verifies a mirror whole and takes in what it has from an entry on.
func (e *Evidence) ReadMirror(ctx context.Context, dir string, policy *journal.Policy, from int64) error {
	unlock, err := audit.LockMirrorForReading(dir)
	if err != nil {
		return err
	}
	defer unlock()
	memory, err := audit.Remember(dir, policy)
	if err != nil {
		return err
	}
	last := memory.Last()
	if last == nil {
		return fmt.Errorf("%s: no checkpoint in it is signed under the policy: %w", dir, fs.ErrNotExist)
	}
	var bad error
	rep, err := audit.ReadLog(ctx, audit.DirSource{FS: os.DirFS(dir)}, policy, last.Note, memory.Known, func(index int64, leaf []byte, _ *journal.Facts) {
		bad = errors.Join(bad, e.Entry(from, index, leaf, Mirror))
	})
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if bad != nil {
		return fmt.Errorf("%s: %w", dir, bad)
	}
	if !rep.OK() {
		return fmt.Errorf("%s: %d findings, such as: %s; what it has proves nothing", dir, rep.Recount.Found, rep.Recount.Findings[0])
	}
	e.Checkpoints = append(e.Checkpoints, memory.Known...)
	e.saw("mirror %s: %d entries, verified", dir, last.Tree.N)
	return nil
}

// ReadCheckpoint takes in a checkpoint that somebody has kept: a witness, another mirror.
func (e *Evidence) ReadCheckpoint(file string, policy *journal.Policy) error {
	note, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	c, err := policy.Open(note)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	e.Checkpoints = append(e.Checkpoints, c)
	e.Size = max(e.Size, c.Tree.N)
	e.saw("checkpoint %s: %d entries were signed", file, c.Tree.N)
	return nil
}

// ReadReceipts takes in the bus's signed answers that parties have kept.
func (e *Evidence) ReadReceipts(dir string, bus *papers.Bus) error {
	folder, err := papers.ReadReceipts(dir, bus)
	if err != nil {
		return err
	}
	for i := range folder.Receipts {
		r := &folder.Receipts[i]
		switch r.Promises {
		case journal.KindAccepted:
			e.message(Message{MessageID: r.MessageID, Sender: r.Sender, Recipient: r.Recipient, At: r.At}, Receipt)
		case journal.KindDelivered:
			e.step(Step{MessageID: r.MessageID, Recipient: r.Recipient, Kind: journal.KindDelivered, At: r.At}, Receipt)
		}
	}
	e.saw("receipts %s: %d proved, %d not proved, %d other files", dir, len(folder.Receipts), len(folder.Unproven), folder.Others)
	return nil
}

// mostRecords is how many records are held against what is here at once.
const mostRecords = 1000

// Record takes in a record of a message on the bus, proved by its seal. The bus has those of
// a week and more, and nearly all of their messages are here: of these nothing is kept.
func (e *Evidence) Record(ctx context.Context, m Message, here Here) error {
	if e.records = append(e.records, m); len(e.records) < mostRecords {
		return nil
	}
	return e.sift(ctx, here)
}

// sift keeps of the records those whose messages are not here.
func (e *Evidence) sift(ctx context.Context, here Here) error {
	ids := make([]string, len(e.records))
	for i := range e.records {
		ids[i] = e.records[i].MessageID
	}
	slices.Sort(ids)
	found, err := here.Accepted(ctx, slices.Compact(ids))
	if err != nil {
		return err
	}
	for _, m := range e.records {
		if e.accepted[m.MessageID] == nil && found[m.MessageID] {
			e.known++
			continue
		}
		e.message(m, Bus)
	}
	clear(e.records)
	e.records = e.records[:0]
	return nil
}

// Saw notes for the reader what else was read.
func (e *Evidence) Saw(what string) { e.Sources = append(e.Sources, what) }

// Erasures are the entries that tell of single erasures, of content or of values: what
// they name is to be erased here too.
func (e *Evidence) Erasures() []journal.Leaf { return e.erased }

// Latest is the largest checkpoint that the evidence has; nil when it has none.
func (e *Evidence) Latest() *journal.Checkpoint {
	if len(e.Checkpoints) == 0 {
		return nil
	}
	return slices.MaxFunc(e.Checkpoints, func(a, b *journal.Checkpoint) int { return cmp.Compare(a.Tree.N, b.Tree.N) })
}

// Here is what the gateway has.
type Here interface {
	// Accepted tells which of the MessageIDs were accepted here.
	Accepted(ctx context.Context, ids []string) (map[string]bool, error)
}

// Report is what is not here.
type Report struct {
	Lost  []Message `json:"lost"`  // accepted, and not here: ask their senders
	Again []Step    `json:"again"` // happened to what is here, and will happen again
	Known int       `json:"known"` // proofs of messages that are here: a record on the bus is one, and all else together that tells of a message
}

// Against holds the evidence against what is here.
func (e *Evidence) Against(ctx context.Context, here Here) (*Report, error) {
	if err := e.sift(ctx, here); err != nil {
		return nil, err
	}
	r := &Report{Lost: []Message{}, Again: []Step{}, Known: e.known}
	ids := map[string]bool{}
	for id := range e.accepted {
		ids[id] = true
	}
	for _, s := range e.steps {
		ids[s.MessageID] = true
	}
	known := map[string]bool{}
	for list := range slices.Chunk(slices.Sorted(maps.Keys(ids)), 1000) {
		found, err := here.Accepted(ctx, list)
		if err != nil {
			return nil, err
		}
		maps.Copy(known, found)
	}
	for id, m := range e.accepted {
		if known[id] {
			r.Known++
			continue
		}
		r.Lost = append(r.Lost, *m)
	}
	for _, s := range e.steps {
		if known[s.MessageID] && !slices.Equal(s.By, []By{Receipt}) { // when a receipt is of, nobody knows by itself
			r.Again = append(r.Again, *s)
		}
	}
	slices.SortFunc(r.Lost, func(a, b Message) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.MessageID, b.MessageID)) })
	slices.SortFunc(r.Again, func(a, b Step) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.MessageID, b.MessageID)) })
	return r, nil
}
