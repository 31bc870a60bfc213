package clerk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"mezhved/adapter/journal"

	"golang.org/x/mod/sumdb/tlog"
)

// What a batch was written in is kept for the next one, up to so many bytes, leaves and
// openings, of which an entry has some two.
const (
	mostRoom   = 8 << 20
	mostLeaves = 8192
	mostOpened = 4 * mostLeaves
)

// place makes the batch: leaves, indexes, counters, tiles, the new head.
func (s *Sequencer) place(ctx context.Context, tx Tx, head Head, edge *journal.Edge, rows []Pending, closing bool) (*Batch, error) {
	b := &Batch{Was: head, Vault: s.Vault}
	now := s.Now().UTC().Truncate(time.Millisecond) // after the rows were read, however long they took: none happened later
	if now.Before(head.Logged) {
		s.tellAhead(head.Logged.Sub(now))
		now = head.Logged // a clock that went back must not make the log go back
	}
	if cap(s.leaves) < len(rows) || cap(s.leaves) > mostLeaves {
		s.leaves = make([]journal.Leaf, 0, max(len(rows), min(len(rows)*5/4, mostLeaves))) // the next batch may be a little larger
	}
	s.leaves = s.leaves[:len(rows)]
	leaves := s.leaves
	b.Entries = make([]Entry, 0, len(rows)+1)
	chains := make([]*Latest, len(rows)) // of each row's message; nil: of none
	counters := make([]counted, len(rows))
	s.begin(len(rows))
	var open []journal.Opening
	seeds, index := seeds{}, firstIndex(head, closing)
	salts := func(o *journal.Opening) error {
		o.Salt = seeds.get(index, o.Class).salts.Salt(index, o.Field)
		return nil
	}
	for i, row := range rows {
		l := &leaves[i]
		var err error
		if open, err = s.leaf(l, open[:0], row, now, salts); err != nil {
			return nil, err
		}
		for _, o := range open {
			s.opened = append(s.opened, Opened{o, index, &seeds.get(index, o.Class).seed})
		}
		index++
		chains[i] = s.chain(l)
		counters[i] = counted{s.counter(l.Sender), s.counter(l.Recipient)}
	}
	b.Open = s.opened
	var all map[string]journal.Counter
	if closing {
		var err error
		if all, err = tx.Counters(ctx, nil); err != nil {
			return nil, fmt.Errorf("read all counters: %w", err)
		}
	}
	if err := s.read(ctx, tx); err != nil {
		return nil, err
	}

	next := head
	next.Totals = maps.Clone(head.Totals)
	if next.Totals == nil {
		next.Totals = map[journal.Kind]int64{}
	}
	if head.Tree.N == 0 {
		next.PeriodStart = now
	}
	if s.room = s.room[:0]; cap(s.room) > mostRoom {
		s.room = nil
	}
	put := func(l *journal.Leaf) {
		l.Logged = now
		begin := len(s.room)
		var hash journal.Hash
		s.room, hash = l.AppendHashed(s.room)
		b.Entries = append(b.Entries, Entry{edge.Size(), l, s.room[begin+1 : len(s.room) : len(s.room)]})
		edge.Append(hash)
	}
	if closing {
		put(next.close(edge.Size(), now, all))
		next.Totals[journal.KindPeriodClose]++
	}
	var kinds [journal.KindNumbers]int64
	for i := range leaves {
		l := &leaves[i]
		if latest := chains[i]; latest != nil {
			if chained(l) {
				// Whoever tells of a test need not know that it is one.
				l.Prev, l.Test = latest.Index, l.Test || latest.Test
			}
			*latest = Latest{edge.Size(), l.Test}
		}
		if c := counters[i].sender; c != nil {
			c.Sent++
			l.SenderSeq = c.Sent
		}
		if c := counters[i].recipient; c != nil {
			c.Received++
			l.RecipientSeq = c.Received
		}
		put(l)
		kinds[l.Kind.Number()]++
	}
	for number, n := range kinds {
		if n > 0 {
			next.Totals[journal.KindNumber(number).Kind()] += n
		}
	}
	next.Logged = now
	next.Tree = tlog.Tree{N: edge.Size(), Hash: edge.Root()}
	b.Head, b.Tiles, b.Counters = next, edge.Take(), s.from.counted()
	return b, nil
}

// forget lets the texts of a batch go, which are parts of larger ones, and the values that
// its entries commit to: the room that is kept for the next batch would keep them all.
func (s *Sequencer) forget() {
	for i := range s.leaves {
		commit := s.leaves[i].Commit
		clear(commit)
		s.leaves[i] = journal.Leaf{Commit: commit[:0]}
	}
	clear(s.opened)
	if s.leaves, s.opened = s.leaves[:0], s.opened[:0]; cap(s.opened) > mostOpened {
		s.opened = nil
	}
}

// tellAhead says that the log's time is ahead of the clock: entries are logged at
// the log's time until the clock has come up to it.
func (s *Sequencer) tellAhead(by time.Duration) {
	if by < journal.LateAfter || !s.ahead.IsZero() && s.Now().Sub(s.ahead).Abs() < 10*time.Minute {
		return
	}
	s.ahead = s.Now()
	s.Log.Warn("journal: the log's time is ahead of the clock, which was set back or was wrong before; entries bear the log's time until the clock comes up to it", "ahead", by.Round(time.Second))
}

// seeds are those of a tile's entries, by class. Entries come in their order: those of
// tiles before are not asked for again.
type seeds struct {
	tile int64
	list []*seedOf
}

type seedOf struct {
	class string
	seed  journal.Seed
	salts *journal.Salter
}

func (s *seeds) get(index int64, class string) *seedOf {
	if tile := index / journal.TileWidth; tile != s.tile {
		s.tile, s.list = tile, s.list[:0]
	}
	for _, of := range s.list {
		if of.class == class {
			return of
		}
	}
	of := &seedOf{class: class}
	rand.Read(of.seed[:])
	of.salts = of.seed.Salter()
	s.list = append(s.list, of)
	return of
}

// leaf turns a row into a leaf, one way or the other, and appends its openings to open.
func (s *Sequencer) leaf(l *journal.Leaf, open []journal.Opening, row Pending, now time.Time, salts journal.Salts) ([]journal.Opening, error) {
	var err error
	if err = s.events.Parse(&l.Event, row.Event); err == nil {
		err = s.openPending(&l.Event)
	}
	if waitsForKey(err) {
		return nil, err // it can be expressed, by who has the key
	}
	if err == nil {
		if open, err = l.Take(open, salts); err == nil {
			return open, nil
		}
	}
	s.Log.Error("journal: a row cannot be expressed and is committed to whole; a node of another version, or our bug", "row", row.ID, "error", err)
	var whole []journal.Opening
	*l, whole, err = journal.UnknownLeaf(row.Event, now, salts)
	return append(open, whole...), err
}

// waitsForKey says whether an error of the vault is that it lacks a key (Vault.OpenPending).
func waitsForKey(err error) bool {
	var lacks interface{ Lacks() string }
	return err != nil && errors.As(err, &lacks)
}

// openPending opens the values of an event that waited sealed.
func (s *Sequencer) openPending(e *journal.Event) error {
	for i := 0; i < len(e.Personal); i++ {
		p := &e.Personal[i]
		class, ok := strings.CutPrefix(p.Class, journal.PendingClass)
		if !ok {
			continue
		}
		var plain []byte
		var value string
		var err error
		if p.Class == journal.PendingShared {
			plain, err = s.Vault.OpenWaiting(e.Sealer(), p.Value)
		} else if value, err = s.Vault.OpenPending(e.Sealer(), p.Field, p.Value); p.Class == journal.PendingTogether {
			plain = []byte(value)
		}
		if err != nil {
			return fmt.Errorf("open the value of field %s of %s: %w", p.Field, e.Sealer(), err)
		}
		if plain == nil {
			p.Value, p.Class = value, class
			continue
		}
		n, err := s.events.Open(e, i, plain)
		if err != nil {
			return fmt.Errorf("open the values of %s: %w", e.Sealer(), err)
		}
		i += n - 1
	}
	return nil
}
