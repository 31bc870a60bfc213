package journal

import "context"

// Facts is what a recount takes from a leaf, for comparing it with the Leaf.
type Facts struct {
	Kind                          Kind
	Sender, Recipient, Message    string
	Time, Logged                  int64
	Prev, SenderSeq, RecipientSeq int64
	Period                        *Period
	Hash                          Hash
}

// FactsReader reads leaves one after another, as a bundle does.
type FactsReader struct {
	form form
	last counted
}

func (r *FactsReader) Read(leaf []byte) (Facts, error) {
	c := &r.last
	c.countable(leaf, &r.form)
	if c.err != nil {
		return Facts{Hash: r.form.hash()}, c.err
	}
	return Facts{kindByNumber[c.kind], string(c.sender), string(c.recipient), string(c.message), c.time, c.logged,
		c.prev, c.senderSeq, c.recipientSeq, c.period, r.form.hash()}, nil
}

// Lift takes the members of the leaf out of the personal values of a row.
func (e *Event) Lift() { e.lift() }

// Chains is the table of messages, by their ids.
type Chains struct{ c *chains }

func NewChains() Chains { return Chains{newChains()} }

func (c Chains) Follow(message string, index int64) int64 {
	return c.c.follow(keyOf([]byte(message)), index)
}

// UUIDKey is the key of a message whose id is a UUID in lower case.
func UUIDKey(message string) (key [2]uint64, uuid bool) { return uuidKey([]byte(message)) }

// Break calls f before each change of the mirror's folder; an error from it ends
// the run as a kill would, when f goes on to give one.
func (m *Mirror) Break(f func(operation string) error) { m.breaks = f }

// Turn is one pass of the loop.
func (s *Sequencer) Turn(ctx context.Context) error {
	_, err := s.turn(ctx, true)
	return err
}

// Resign ends the sequencer's term.
func (s *Sequencer) Resign() {
	s.Book.Resign(s.term)
	s.term = 0
}
