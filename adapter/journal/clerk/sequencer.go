package clerk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"mezhved/adapter/journal"

	"golang.org/x/mod/sumdb/tlog"
)

// Sequencer gives committed events their place in the log and has the log's
// head signed. Every node runs one; Book.Look lets one of them lead at a time,
// each of its batches proves that it still does, and the locked head row keeps
// two that work at once from forking the log.
//
// A leader that cannot place or sign for a while gives the lead up and lets the
// others go first: one whose disk is full must not keep the lead from one that can
// sign. A node without the log's key has a Sequencer without Signer and Vault: it
// never leads. All of them tell by Writable when nobody does the work.
//
// Set the fields before Run and leave them.
type Sequencer struct {
	Book   Book
	Signer Signer
	Vault  Vault
	Now    func() time.Time // one clock on all nodes: the database's
	Steady func() error     // why Now cannot be relied on; nil: it always can
	Keys   func() error     // which key values are to be sealed with and this node lacks; nil: it has them all
	Log    *slog.Logger

	Batch     int           // events in one step; 0 means 8192
	Tick      time.Duration // pause when there is nothing to do, and at most two of them; 0 means 100 ms
	Publish   time.Duration // least time between checkpoints of a growing log; 0 means 1 s less two ticks
	Heartbeat time.Duration // a checkpoint even when the log does not grow; 0 means 10 min
	Period    time.Duration // between period-close entries; 0 means 1 h
	Patience  time.Duration // a silence of the database after which the journal counts as unwritable; 0 means 900 ms
	Alone     time.Duration // how long an event may wait for its place before the journal counts as unwritable; 0 means 30 s
	Unsigned  time.Duration // how long entries may wait for a checkpoint before the journal counts as unwritable; 0 means 15 s
	Yield     time.Duration // how long a leader may fail before it gives the lead up; 0 means 3 s
	Aside     time.Duration // and for how long it then lets others go first; 0 means 30 s

	edge      *journal.Edge              // of the tree that this sequencer committed last
	recent    recent                     // entries under that edge
	counters  map[string]journal.Counter // of some parties, as they are with that edge
	from      batchMemory                // what the batch at hand goes on from
	room      []byte                     // for the leaves' bytes of a batch; the next one's are written over them
	leaves    []journal.Leaf             // and for the leaves, of which there are none between batches
	events    journal.EventRoom          // and for the events that they are made of
	opened    []Opened                   // and for their openings, likewise
	published time.Time
	signed    tlog.Tree
	ahead     time.Time // it was said that the log's time is ahead of the clock
	term      int64     // under which this node leads; 0: it does not
	failing   time.Time // the leader's work has been failing since; zero when it is done
	aside     time.Time // others go first until then
	more      bool      // the last step left others waiting
	fewer     int       // events in one step since one has failed; 0: as many as in Batch

	mu       sync.Mutex
	status   Status    // without Err
	contact  time.Time // the database answered last
	lookErr  error     // of the last look at the log
	standing Standing  // what it told
	unsigned time.Time // by the book's clock: since when entries wait for a checkpoint and it does not move
	signErr  error     // why this node could not sign; nil when it could
}

// StoppedError says that the log was stopped and why. Only reopening it under a
// new origin goes on.
type StoppedError struct{ Why string }

func (e *StoppedError) Error() string { return "the journal was stopped: " + e.Why }

// Run sequences and publishes until ctx ends, then takes up what is left and
// publishes a last checkpoint. It returns nil when ctx ended, and never
// otherwise: every failure is tried again, and told by Writable meanwhile.
func (s *Sequencer) Run(ctx context.Context) error {
	tick := cmp.Or(s.Tick, 100*time.Millisecond)
	defer func() { s.Book.Resign(s.term) }()
	var told string // the last error logged, and when: a database that is away would fill the disk with lines
	var toldAt time.Time
	for ctx.Err() == nil {
		// A connection that hangs must not hang the log: the next turn gets another.
		bounded, cancel := context.WithTimeout(ctx, 30*time.Second)
		began := time.Now()
		more, err := s.turn(bounded, false)
		took := time.Since(began)
		cancel()
		switch {
		case err == nil && told != "":
			s.Log.Info("journal: at work again")
			told = ""
		case err != nil && ctx.Err() == nil && (err.Error() != told || s.Now().Sub(toldAt) > 10*time.Second):
			s.Log.Error("journal: step", "error", err)
			told, toldAt = err.Error(), s.Now()
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(rest(tick, took)):
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	for {
		more, err := s.turn(last, true)
		if err != nil {
			s.Log.Warn("journal: last checkpoint", "error", err)
			return nil
		}
		if !more {
			return nil
		}
	}
}

// rest is how long the loop rests after a turn that took so long: a tick, and when the
// machine is so busy that the work is more than a tenth of the time, up to two. Then there
// is enough to do for one batch, and what two cost by themselves is paid once.
func rest(tick, took time.Duration) time.Duration { return min(max(tick, 9*took), 2*tick) }

// turn is one pass of the loop; more says that events are waiting for the next one. now
// says that it may be the last.
func (s *Sequencer) turn(ctx context.Context, now bool) (more bool, err error) {
	soon, cancel := context.WithTimeout(ctx, lookPatience) // of connections that are dead the next one may not be
	st, err := s.Book.Look(soon, Claim{Term: s.term, Want: s.Signer != nil, Behind: s.Now().Before(s.aside)})
	cancel()
	s.looked(st, err)
	if err != nil {
		return false, fmt.Errorf("look how the log stands: %w", err)
	}
	if s.term = st.Term; s.term == 0 {
		s.failing = time.Time{}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.signErr = nil
		return false, s.undone()
	}
	_, err = s.step(ctx, now)
	if err == nil {
		err = s.publish(ctx, now)
	}
	if s.yields(err); err != nil {
		return false, err
	}
	return s.more, nil
}

// lookPatience is how long one look at the log may take.
const lookPatience = 4 * time.Second

// looked takes up how the log stands.
func (s *Sequencer) looked(st Standing, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lookErr = err; err != nil {
		return
	}
	s.contact = s.Now()
	s.status.Leads = st.Term != 0
	switch {
	case st.Size <= st.Signed:
		s.unsigned = time.Time{}
	case s.unsigned.IsZero(), st.Signed != s.standing.Signed:
		s.unsigned = st.At
	}
	s.standing = st
}

// yields gives the lead up when the leader's work has been failing for Yield.
func (s *Sequencer) yields(err error) {
	switch {
	case err == nil && s.signErr == nil, ctxEnded(err):
		s.failing = time.Time{}
	case errors.Is(err, journal.ErrDeposed):
		s.term, s.failing = 0, time.Time{}
	case s.failing.IsZero():
		s.failing = s.Now()
	case s.Now().Sub(s.failing) >= cmp.Or(s.Yield, 3*time.Second):
		s.Log.Warn("journal: this node cannot do the work and gives the lead up for a while", "error", cmp.Or(err, s.signErr))
		s.Book.Resign(s.term)
		s.term, s.failing, s.aside = 0, time.Time{}, s.Now().Add(cmp.Or(s.Aside, 30*time.Second))
	}
}

func ctxEnded(err error) bool { return errors.Is(err, context.Canceled) }

func (s *Sequencer) touched() {
	s.mu.Lock()
	s.contact = s.Now()
	s.mu.Unlock()
}

// Writable says why nothing may be accepted now, or nil: the database has been
// silent for Patience, the log was stopped, nobody places events or signs the
// log, this node or another, or this node lacks a key that what it accepts is sealed
// with. That this node fails otherwise while another does the work is
// no reason. Ask it before each accept; it costs a lock.
func (s *Sequencer) Writable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.undone()
	if s.Keys != nil && err == nil {
		err = s.Keys()
	}
	if back := (*RollbackError)(nil); errors.As(s.signErr, &back) {
		err = s.signErr // the log is about to be stopped for everyone
	}
	silent := s.Now().Sub(s.contact)
	switch {
	case s.lookErr != nil:
		err = s.lookErr
	case s.contact.IsZero():
		err = errors.New("the sequencer has not reached the database yet")
	case silent > cmp.Or(s.Patience, 900*time.Millisecond):
		err = fmt.Errorf("the database has not answered for %s", silent.Round(time.Millisecond))
	}
	if err != nil {
		return fmt.Errorf("journal is not writable: %w", err)
	}
	return nil
}

// undone says, by what was last seen of the log, which work nobody does. The
// caller holds mu.
func (s *Sequencer) undone() error {
	st := &s.standing
	leader := func() string {
		leader := "no node with the log's key is at work"
		if st.Leader != "" {
			leader += fmt.Sprintf(" (node %s led last)", st.Leader)
		}
		return leader
	}
	switch waits := st.At.Sub(s.unsigned); {
	case st.Stopped != "":
		return &StoppedError{st.Stopped}
	case st.Waits > cmp.Or(s.Alone, 30*time.Second):
		return fmt.Errorf("an event has waited for its place for %s: %s", st.Waits.Round(time.Second), leader())
	case !s.unsigned.IsZero() && waits > cmp.Or(s.Unsigned, 15*time.Second) && s.signErr != nil:
		return fmt.Errorf("no checkpoint has been signed for %s: %w", waits.Round(time.Second), s.signErr)
	case !s.unsigned.IsZero() && waits > cmp.Or(s.Unsigned, 15*time.Second):
		return fmt.Errorf("no checkpoint has been signed for %s: %s", waits.Round(time.Second), leader())
	}
	return nil
}

// Status is what an operator should see of a Sequencer.
type Status struct {
	Leads    bool      // this node sequences and signs
	Size     int64     // entries at this node's last step as the leader
	Signed   int64     // entries under the last checkpoint that this node had signed
	SignedAt time.Time // when that was
	Err      error     // what Writable says
}

// Status tells how the sequencer is doing. Safe for concurrent use.
func (s *Sequencer) Status() Status {
	err := s.Writable()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	st.Err = err
	return st
}

// Step takes up one batch and says how many events it took. When it returns an
// error the batch may have been committed or not; the next Step finds out from
// the head. Rows leave journal_pending in the transaction that gives them their
// places, so none is lost and none comes twice.
func (s *Sequencer) Step(ctx context.Context) (int, error) { return s.step(ctx, true) }

// batch is how many events the next step takes.
func (s *Sequencer) batch() int {
	batch := cmp.Or(s.Batch, 8192)
	return min(batch, cmp.Or(s.fewer, batch))
}

// adjust halves batches for as long as steps with events fail: on a machine that is too
// busy, the book may give a transaction up before its batch is made (in PostgreSQL after
// five seconds of silence), and would do so with that batch for ever. What succeeds
// doubles them.
func (s *Sequencer) adjust(err error) {
	batch := cmp.Or(s.Batch, 8192)
	if err != nil {
		s.fewer = max(s.batch()/2, min(batch, leastBatch))
	} else if s.fewer *= 2; s.fewer >= batch {
		s.fewer = 0
	}
}

const leastBatch = journal.TileWidth

// step is Step; unless all is set, the book may leave some of the batch to the next turn.
func (s *Sequencer) step(ctx context.Context, all bool) (int, error) {
	edge := s.edge
	s.edge = nil // kept only when the commit is known to have happened
	taken, more := 0, false
	defer s.forget()
	var b *Batch
	err := s.Book.Sequence(ctx, s.term, func(tx Tx) error {
		s.touched()
		head, err := tx.Head(ctx)
		if err != nil {
			return fmt.Errorf("lock the head: %w", err)
		}
		if head.Stopped != "" {
			return &StoppedError{head.Stopped}
		}
		if head.Origin != s.Signer.Origin() {
			return fmt.Errorf("the log goes on as %s (epoch %d), this node signs for %s: give it the new key and signer state", head.Origin, head.Epoch, s.Signer.Origin())
		}
		// The log's time never goes back, so a wrong one stays: for as long as the
		// clock is ahead, no entry would say when it was logged.
		if s.Steady != nil {
			if err := s.Steady(); err != nil {
				return fmt.Errorf("tell the time: %w", err)
			}
		}
		closing := s.closing(head)
		first := int64(journal.NoEntry)
		if !all {
			first = firstIndex(head, closing)
		}
		rows, left, err := tx.Pending(ctx, s.batch(), first)
		if err != nil {
			return fmt.Errorf("read pending rows: %w", err)
		}
		s.touched()
		taken, more = len(rows), left
		if taken == 0 && !closing {
			return nil
		}
		if edge == nil || edge.Size() != head.Tree.N || edge.Root() != head.Tree.Hash {
			s.recent, s.counters = recent{}, nil // of a log that went another way
			if edge, err = journal.LoadEdge(ctx, head.Tree, tx); err != nil {
				return err
			}
		}
		b, err = s.place(ctx, tx, head, edge, rows, closing)
		if err != nil {
			return err
		}
		s.touched()
		if err := tx.Write(ctx, b); err != nil {
			return fmt.Errorf("write %d entries: %w", len(b.Entries), err)
		}
		s.touched()
		return nil
	})
	if taken > 0 {
		s.adjust(err)
	}
	if err != nil {
		return 0, err
	}
	s.edge, s.more = edge, more
	if b != nil {
		s.remember()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if edge != nil {
		s.status.Size, s.standing.Size = edge.Size(), edge.Size()
	}
	if !more {
		s.standing.Waits = 0
	}
	if s.standing.Size > s.standing.Signed && s.unsigned.IsZero() {
		s.unsigned = s.standing.At
	}
	return taken, nil
}
