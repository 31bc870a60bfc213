package postgres

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// gates say what this node may write that nodes of the release before cannot read. Each
// is closed until a week after its migration (release_gate), and then open for good.
type gates struct {
	packedEvents  atomic.Bool // events that wait are packed
	partsBehind   atomic.Bool // the parts of a message stand behind its body
	replyToBehind atomic.Bool // its reply address, too
	openings      atomic.Bool // values behind commitments are shortened, their fields are numbers
	together      atomic.Bool // values behind commitments are sealed together
	tightReceipts atomic.Bool // receipts are woven tight
	wovenBodies   atomic.Bool // bodies are woven, with parts and reply address
	kinds         atomic.Bool // what many messages say alike stands once
	packedLeaves  atomic.Bool // leaves of blocks are packed by columns
	timedKeys     atomic.Bool // keys of blocks have the times of MessageIDs in them
	madeTiles     atomic.Bool // tiles of level 0 are made of the leaves in blocks, and not kept
	pressed       atomic.Bool // bodies and receipts are woven in the round form, and pressed
	shortFacts    atomic.Bool // rows of the queue do not repeat what their messages say
	sharedPending atomic.Bool // values that wait are sealed with a key for all of a second
}

func (g *gates) byName() map[string]*atomic.Bool {
	return map[string]*atomic.Bool{"packed events": &g.packedEvents, "parts behind bodies": &g.partsBehind, "short openings": &g.openings,
		"openings together": &g.together, "tight receipts": &g.tightReceipts, "reply addresses behind bodies": &g.replyToBehind,
		"woven bodies": &g.wovenBodies, "made tiles": &g.madeTiles, "kinds of messages": &g.kinds,
		"packed leaves": &g.packedLeaves, "timed keys": &g.timedKeys, "short facts": &g.shortFacts, "pressed": &g.pressed,
		"shared pending keys": &g.sharedPending}
}

// gateAge is how long a gate is believed to be closed.
const gateAge = 30 * time.Second

// openGates finds out what has begun.
func (s *Store) openGates(ctx context.Context) error {
	// A node of before that leads the journal all the same would take a packed event for
	// nothing: from the first block on it is kept from that (migration 00090).
	rows, _ := s.pool.Query(ctx, `SELECT name FROM release_gate WHERE since <= now()
		AND (name <> 'packed events' OR since = '-infinity' OR EXISTS (SELECT FROM journal_head WHERE blocks IS NOT NULL))`)
	begun, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("asking what nodes of the release before can read: %w", err)
	}
	known := s.gates.byName()
	for _, name := range begun {
		if gate := known[name]; gate != nil {
			gate.Store(true)
		}
	}
	if s.gates.openings.Load() && s.opts.Vault != nil {
		s.opts.Vault.Shorten()
	}
	return nil
}

// sweepGates does so again while one is closed.
func (s *Store) sweepGates(ctx context.Context, now time.Time) error {
	closed := false
	for _, gate := range s.gates.byName() {
		closed = closed || !gate.Load()
	}
	if d := now.Sub(s.sweeps.gates); !closed || d >= 0 && d < gateAge {
		return nil
	}
	s.sweeps.gates = now
	return s.openGates(ctx)
}
