package clerk

import (
	"context"
	"fmt"
	"strings"

	"mezhved/adapter/journal"

	"github.com/google/uuid"
)

// recent remembers the latest entries of the messages that are on their way, so
// that the database is asked only for those that have rested. What it knows is
// true; what it does not know says nothing. The older half is forgotten when the
// younger is full.
//
// The ids of messages are UUIDs. What a message is called otherwise is not remembered.
type recent struct{ young, old map[uuid.UUID]Latest }

const recentHalf = 32_768 // messages

func (r *recent) get(id uuid.UUID) (Latest, bool) {
	if latest, ok := r.young[id]; ok {
		return latest, true
	}
	latest, ok := r.old[id]
	return latest, ok
}

func (r *recent) put(id uuid.UUID, latest Latest) {
	if r.young == nil || len(r.young) >= recentHalf {
		r.old, r.young = r.young, make(map[uuid.UUID]Latest, recentHalf)
	}
	r.young[id] = latest
}

// batchMemory is what a batch begins with and goes on from: the latest entries of its
// messages and the counters of its parties. Some are remembered, the others are read; and
// what it comes to is remembered when the batch is known to be committed.
type batchMemory struct {
	messages map[messageName]*Latest
	latest   []Latest // all of these: no more than its rows
	unread   []string // messages
	parties  map[string]*journal.Counter
	uncount  []string // parties
}

// messageName is what a message is called: an id, or else a text.
type messageName struct {
	id   uuid.UUID
	text string
}

func nameOf(message string) messageName {
	if id, ok := journal.SpelledID(message); ok {
		return messageName{id: id}
	}
	return messageName{text: message}
}

// counted are the counters that an entry is counted by; nil: it does not name that party.
type counted struct{ sender, recipient *journal.Counter }

// mostCounters is of how many parties the counters are remembered.
const mostCounters = 10_000

// begin forgets the batch before; the next one has so many rows.
func (s *Sequencer) begin(rows int) {
	s.from = batchMemory{messages: make(map[messageName]*Latest, rows/2), latest: make([]Latest, 0, rows), parties: map[string]*journal.Counter{}}
}

// chain is the latest entry of a leaf's message, of which there may be none.
func (s *Sequencer) chain(l *journal.Leaf) *Latest {
	if l.Message == "" {
		return nil
	}
	name := nameOf(l.Message)
	latest := s.from.messages[name]
	if latest != nil {
		return latest
	}
	s.from.latest = append(s.from.latest, Latest{Index: journal.NoEntry})
	latest = &s.from.latest[len(s.from.latest)-1]
	s.from.messages[name] = latest
	// An accepted or refused message has no earlier entry; looking for one would be the
	// dearest statement of the batch.
	if chained(l) {
		known, ok := s.recent.get(name.id)
		if ok && name.text == "" {
			*latest = known
		} else {
			s.from.unread = append(s.from.unread, l.Message)
		}
	}
	return latest
}

// chained says whether a leaf names the previous entry of its message.
func chained(l *journal.Leaf) bool {
	return l.Message != "" && !l.Kind.Begins()
}

// counter is that of a party.
func (s *Sequencer) counter(party string) *journal.Counter {
	if party == "" {
		return nil
	}
	c := s.from.parties[party]
	if c == nil {
		known, ok := s.counters[party]
		c = &known
		s.from.parties[party] = c
		if !ok {
			s.from.uncount = append(s.from.uncount, party)
		}
	}
	return c
}

// read reads what is not remembered.
func (s *Sequencer) read(ctx context.Context, tx Tx) error {
	if len(s.from.uncount) > 0 {
		have, err := tx.Counters(ctx, s.from.uncount)
		if err != nil {
			return fmt.Errorf("read counters: %w", err)
		}
		for party, c := range have {
			*s.from.parties[party] = c
		}
	}
	if len(s.from.unread) > 0 {
		found, err := tx.Last(ctx, s.from.unread)
		if err != nil {
			return fmt.Errorf("find the messages' last entries: %w", err)
		}
		for message, latest := range found {
			*s.from.messages[nameOf(message)] = latest
		}
	}
	return nil
}

// counted gives the counters as the batch leaves them.
func (m *batchMemory) counted() map[string]journal.Counter {
	counters := make(map[string]journal.Counter, len(m.parties))
	for party, c := range m.parties {
		counters[party] = *c
	}
	return counters
}

// remember keeps what a batch that was committed has come to.
func (s *Sequencer) remember() {
	for name, latest := range s.from.messages {
		if name.text == "" {
			s.recent.put(name.id, *latest)
		}
	}
	if s.counters == nil || len(s.counters) > mostCounters {
		s.counters = map[string]journal.Counter{}
	}
	for party, c := range s.from.parties {
		s.counters[strings.Clone(party)] = *c
	}
	s.from = batchMemory{}
}
