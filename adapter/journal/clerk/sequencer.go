package clerk

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"mezhved/adapter/journal"

	"github.com/google/uuid"
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
	Tick      time.Duration // pause when there is nothing to do; 0 means 100 ms
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
	room      []byte                     // for the leaves' bytes of a batch; the next one's are written over them
	leaves    []journal.Leaf             // and for the leaves
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

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Run sequences and publishes until ctx ends, then takes up what is left and
// publishes a last checkpoint. It returns nil when ctx ended, and never
// otherwise: every failure is tried again, and told by Writable meanwhile.
func (s *Sequencer) Run(ctx context.Context) error {
	tick := or(s.Tick, 100*time.Millisecond)
	defer func() { s.Book.Resign(s.term) }()
	var told string // the last error logged, and when: a database that is away would fill the disk with lines
	var toldAt time.Time
	for ctx.Err() == nil {
		// A connection that hangs must not hang the log: the next turn gets another.
		bounded, cancel := context.WithTimeout(ctx, 30*time.Second)
		more, err := s.turn(bounded, false)
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
		case <-time.After(tick):
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
	case s.Now().Sub(s.failing) >= or(s.Yield, 3*time.Second):
		s.Log.Warn("journal: this node cannot do the work and gives the lead up for a while", "error", cmp.Or(err, s.signErr))
		s.Book.Resign(s.term)
		s.term, s.failing, s.aside = 0, time.Time{}, s.Now().Add(or(s.Aside, 30*time.Second))
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
	case silent > or(s.Patience, 900*time.Millisecond):
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
	leader := "no node with the log's key is at work"
	if st.Leader != "" {
		leader += fmt.Sprintf(" (node %s led last)", st.Leader)
	}
	switch waits := st.At.Sub(s.unsigned); {
	case st.Stopped != "":
		return &StoppedError{st.Stopped}
	case st.Waits > or(s.Alone, 30*time.Second):
		return fmt.Errorf("an event has waited for its place for %s: %s", st.Waits.Round(time.Second), leader)
	case !s.unsigned.IsZero() && waits > or(s.Unsigned, 15*time.Second) && s.signErr != nil:
		return fmt.Errorf("no checkpoint has been signed for %s: %w", waits.Round(time.Second), s.signErr)
	case !s.unsigned.IsZero() && waits > or(s.Unsigned, 15*time.Second):
		return fmt.Errorf("no checkpoint has been signed for %s: %s", waits.Round(time.Second), leader)
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
	batch := or(s.Batch, 8192)
	return min(batch, or(s.fewer, batch))
}

// adjust halves batches for as long as steps with events fail: on a machine that is too
// busy, the book may give a transaction up before its batch is made (in PostgreSQL after
// five seconds of silence), and would do so with that batch for ever. What succeeds
// doubles them.
func (s *Sequencer) adjust(err error) {
	batch := or(s.Batch, 8192)
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
		closing := head.Tree.N > 0 && s.Now().Truncate(or(s.Period, time.Hour)).After(head.PeriodStart)
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
		for _, e := range b.Entries {
			s.recent.put(e.Leaf.Message, Latest{e.Index, e.Leaf.Test})
		}
		if s.counters == nil || len(s.counters) > mostCounters {
			s.counters = map[string]journal.Counter{}
		}
		for party, c := range b.Counters {
			s.counters[strings.Clone(party)] = c
		}
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

// place makes the batch: leaves, indexes, counters, tiles, the new head.
func (s *Sequencer) place(ctx context.Context, tx Tx, head Head, edge *journal.Edge, rows []Pending, closing bool) (*Batch, error) {
	b := &Batch{Was: head, Vault: s.Vault, Counters: map[string]journal.Counter{}}
	now := s.Now().UTC().Truncate(time.Millisecond) // after the rows were read, however long they took: none happened later
	if now.Before(head.Logged) {
		s.tellAhead(head.Logged.Sub(now))
		now = head.Logged // a clock that went back must not make the log go back
	}
	first := firstIndex(head, closing)
	if s.leaves = s.leaves[:0]; cap(s.leaves) < len(rows) || cap(s.leaves) > mostLeaves {
		s.leaves = make([]journal.Leaf, 0, len(rows))
	}
	leaves := s.leaves[:len(rows)]
	clear(leaves)
	b.Entries = make([]Entry, 0, len(rows)+1)
	b.Open = make([]Opened, 0, len(rows))
	last := make(map[string]Latest, len(rows)/2)
	begun := make(map[string]bool, len(rows)/2) // in this batch
	var parties, messages []string
	var open []journal.Opening
	seeds, index := seeds{}, first
	salts := func(o *journal.Opening) error {
		o.Salt = seeds.get(index, o.Class).Salt(index, o.Field)
		return nil
	}
	for i, row := range rows {
		l := &leaves[i]
		var err error
		if open, err = s.leaf(l, open[:0], row, now, salts); err != nil {
			return nil, err
		}
		for _, o := range open {
			b.Open = append(b.Open, Opened{o, index, seeds.get(index, o.Class)})
		}
		index++
		parties = s.unknown(parties, b.Counters, l.Sender)
		parties = s.unknown(parties, b.Counters, l.Recipient)
		// An accepted or refused message has no earlier entry; looking for one
		// would be the dearest statement of the batch.
		if !chained(l) {
			begun[l.Message] = true
			continue
		}
		if begun[l.Message] {
			continue
		}
		if latest, ok := s.recent.get(l.Message); ok {
			last[l.Message] = latest
			continue
		}
		messages = append(messages, l.Message)
	}
	var all map[string]journal.Counter
	if closing {
		var err error
		if all, err = tx.Counters(ctx, nil); err != nil {
			return nil, fmt.Errorf("read all counters: %w", err)
		}
	}
	if len(parties) > 0 {
		have, err := tx.Counters(ctx, parties)
		if err != nil {
			return nil, fmt.Errorf("read counters: %w", err)
		}
		for party, c := range have {
			b.Counters[party] = c
		}
	}
	if len(messages) > 0 {
		found, err := tx.Last(ctx, messages)
		if err != nil {
			return nil, fmt.Errorf("find the messages' last entries: %w", err)
		}
		maps.Copy(last, found)
	}

	next := head
	next.Totals = map[journal.Kind]int64{}
	for k, n := range head.Totals {
		next.Totals[k] = n
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
		s.room = l.Append(s.room)
		bytes := s.room[begin:len(s.room):len(s.room)]
		b.Entries = append(b.Entries, Entry{edge.Size(), l, bytes})
		edge.Append(tlog.RecordHash(bytes))
		next.Totals[l.Kind]++
	}
	if closing {
		to := edge.Size()
		closed := &journal.Leaf{Event: journal.Event{Kind: journal.KindPeriodClose, Time: now}, Prev: journal.NoEntry, Period: &journal.Period{
			From: head.PeriodFrom, To: to, Totals: head.Totals, Parties: int64(len(all)), Counters: journal.CountersDigest(all)}}
		next.PeriodFrom, next.PeriodStart, next.Totals = to, now, map[journal.Kind]int64{}
		put(closed)
	}
	for i := range leaves {
		l, index := &leaves[i], edge.Size()
		if prev, ok := last[l.Message]; ok && chained(l) {
			// Whoever tells of a test need not know that it is one.
			l.Prev, l.Test = prev.Index, l.Test || prev.Test
		}
		if l.Message != "" {
			last[l.Message] = Latest{index, l.Test}
		}
		if l.Sender != "" {
			c := b.Counters[l.Sender]
			c.Sent++
			b.Counters[l.Sender], l.SenderSeq = c, c.Sent
		}
		if l.Recipient != "" {
			c := b.Counters[l.Recipient]
			c.Received++
			b.Counters[l.Recipient], l.RecipientSeq = c, c.Received
		}
		put(l)
	}
	next.Logged = now
	next.Tree = tlog.Tree{N: edge.Size(), Hash: edge.Root()}
	b.Head, b.Tiles = next, edge.Take()
	return b, nil
}

// firstIndex is that of the first event's entry.
func firstIndex(head Head, closing bool) int64 {
	if closing {
		return head.Tree.N + 1
	}
	return head.Tree.N
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
	list []seedOf
}

type seedOf struct {
	class string
	seed  *journal.Seed
}

func (s *seeds) get(index int64, class string) *journal.Seed {
	if tile := index / journal.TileWidth; tile != s.tile {
		s.tile, s.list = tile, s.list[:0]
	}
	for i := range s.list {
		if s.list[i].class == class {
			return s.list[i].seed
		}
	}
	seed := &journal.Seed{}
	rand.Read(seed[:])
	s.list = append(s.list, seedOf{class, seed})
	return seed
}

// leaf turns a row into a leaf, one way or the other, and appends its openings to open.
func (s *Sequencer) leaf(l *journal.Leaf, open []journal.Opening, row Pending, now time.Time, salts journal.Salts) ([]journal.Opening, error) {
	var err error
	if l.Event, err = journal.ParseRow(row.Event); err == nil {
		err = s.openPending(&l.Event)
	}
	if lacks := (interface{ Lacks() string })(nil); errors.As(err, &lacks) {
		return nil, err // it can be expressed, by who has the key: it waits
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

// openPending opens the values of an event that waited sealed.
func (s *Sequencer) openPending(e *journal.Event) error {
	for i := 0; i < len(e.Personal); i++ {
		p := &e.Personal[i]
		class, ok := strings.CutPrefix(p.Class, journal.PendingClass)
		if !ok {
			continue
		}
		value, err := s.Vault.OpenPending(e.Sealer(), p.Field, p.Value)
		if err != nil {
			return fmt.Errorf("open the value of field %s of %s: %w", p.Field, e.Sealer(), err)
		}
		if p.Class == journal.PendingTogether {
			values, err := journal.UnpackPersonal([]byte(value))
			if err != nil {
				return fmt.Errorf("open the values of %s: %w", e.Sealer(), err)
			}
			e.Personal = slices.Replace(e.Personal, i, i+1, values...)
			i += len(values) - 1
			continue
		}
		p.Value, p.Class = value, class
	}
	return nil
}

// recent remembers the latest entries of the messages that are on their way, so
// that the database is asked only for those that have rested. What it knows is
// true; what it does not know says nothing. The older half is forgotten when the
// younger is full.
//
// The ids of messages are UUIDs. What a message is called otherwise is not remembered.
type recent struct{ young, old map[uuid.UUID]Latest }

const (
	recentHalf   = 32_768 // messages
	mostCounters = 10_000 // parties
)

// What a batch was written in is kept for the next one, up to so many bytes and leaves.
const (
	mostRoom   = 8 << 20
	mostLeaves = 8192
)

func (r *recent) get(message string) (Latest, bool) {
	id, ok := journal.SpelledID(message)
	if !ok {
		return Latest{}, false
	}
	if latest, ok := r.young[id]; ok {
		return latest, true
	}
	latest, ok := r.old[id]
	return latest, ok
}

func (r *recent) put(message string, latest Latest) {
	id, ok := journal.SpelledID(message)
	if !ok {
		return
	}
	if r.young == nil || len(r.young) >= recentHalf {
		r.old, r.young = r.young, make(map[uuid.UUID]Latest, recentHalf)
	}
	r.young[id] = latest
}

// unknown puts the counter of a party into counters, as far as it is remembered,
// and lists those that have to be read.
func (s *Sequencer) unknown(list []string, counters map[string]journal.Counter, name string) []string {
	if name == "" {
		return list
	}
	if _, ok := counters[name]; ok {
		return list
	}
	c, ok := s.counters[name]
	counters[name] = c
	if !ok {
		list = append(list, name)
	}
	return list
}

// chained says whether a leaf names the previous entry of its message.
func chained(l *journal.Leaf) bool {
	return l.Message != "" && !l.Kind.Begins()
}

// Reopen continues a log whose old signer refuses, or whose key is given up,
// under the origin and key of signer. It appends a key-changed entry that says
// where the old log ended (old, as its signer or its last published checkpoint
// has it), raises the epoch and lifts the stop. A log that is already of that
// origin is left alone, and stays stopped when it was (StoppedError).
func Reopen(ctx context.Context, book Book, signer Signer, old tlog.Tree, now time.Time) error {
	return book.Sequence(ctx, 0, func(tx Tx) error {
		head, err := tx.Head(ctx)
		switch {
		case err != nil:
			return err
		case head.Origin == signer.Origin() && head.Stopped != "":
			return &StoppedError{head.Stopped}
		case head.Origin == signer.Origin():
			return nil
		}
		edge, err := journal.LoadEdge(ctx, head.Tree, tx)
		if err != nil {
			return err
		}
		now = now.UTC().Truncate(time.Millisecond)
		if now.Before(head.Logged) {
			now = head.Logged
		}
		l := &journal.Leaf{Event: journal.Event{Kind: journal.KindKeyChanged, Time: now, Log: &journal.LogChange{
			Origin: signer.Origin(), Key: signer.Key(), OldOrigin: head.Origin, OldSize: old.N, OldRoot: rootText(old.Hash)}},
			Prev: journal.NoEntry, Logged: now}
		bytes := l.Append(nil)
		if len(bytes) > journal.MaxLeaf {
			return fmt.Errorf("the new origin %q is too long", signer.Origin())
		}
		next := head
		next.Totals = map[journal.Kind]int64{journal.KindKeyChanged: head.Totals[journal.KindKeyChanged] + 1}
		for k, n := range head.Totals {
			if k != journal.KindKeyChanged {
				next.Totals[k] = n
			}
		}
		if head.Tree.N == 0 {
			next.PeriodStart = now
		}
		edge.Append(tlog.RecordHash(bytes))
		next.Origin, next.Epoch, next.Stopped, next.Logged = signer.Origin(), head.Epoch+1, "", now
		next.Tree = tlog.Tree{N: edge.Size(), Hash: edge.Root()}
		return tx.Write(ctx, &Batch{Was: head, Head: next, Entries: []Entry{{head.Tree.N, l, bytes}}, Tiles: edge.Take()})
	})
}

// publish has the head signed when it has grown and Publish has passed, or when
// Heartbeat has, or when now is set and it has grown.
func (s *Sequencer) publish(ctx context.Context, now bool) error {
	tick := or(s.Tick, 100*time.Millisecond)
	since := s.Now().Sub(s.published)
	if !now && since < or(s.Publish, time.Second-2*tick) {
		return nil
	}
	head, err := s.Book.Head(ctx)
	if err != nil {
		return fmt.Errorf("read the head: %w", err)
	}
	grown := head.Tree != s.signed
	if s.published.IsZero() {
		grown = true // after a start, find out what the signer remembers
	}
	if !grown && (now || since < or(s.Heartbeat, 10*time.Minute)) {
		return nil
	}
	signed, err := s.sign(ctx)
	if errors.Is(err, ErrSignedMeanwhile) {
		return nil // the next turn begins again
	}
	back := (*RollbackError)(nil)
	if errors.As(err, &back) {
		if stop := s.Book.Stop(ctx, back.Error()); stop != nil {
			s.Log.Error("journal: stop the log", "error", stop)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signErr = err; err == nil {
		s.published, s.signed = s.Now(), signed
		s.status.Signed, s.status.SignedAt = signed.N, s.published
		s.standing.Signed, s.unsigned = signed.N, time.Time{}
	}
	return err
}

func (s *Sequencer) sign(ctx context.Context) (tlog.Tree, error) {
	// Last before the head: a head read earlier may be older than what another
	// node has had signed in between, and would look like a rollback.
	last, err := s.Signer.Last(ctx)
	if err != nil {
		return last, fmt.Errorf("ask the signer: %w", err)
	}
	head, err := s.Book.Head(ctx)
	if err != nil {
		return last, fmt.Errorf("read the head: %w", err)
	}
	if head.Origin != s.Signer.Origin() {
		return last, fmt.Errorf("the log goes on as %s, this node signs for %s", head.Origin, s.Signer.Origin())
	}
	var proof []journal.Hash
	if last.N < head.Tree.N {
		if proof, err = journal.NewProver(ctx, head.Tree, s.Book).Consistency(last.N); err != nil {
			return last, fmt.Errorf("prove that %d entries continue %d: %w", head.Tree.N, last.N, err)
		}
	}
	note, err := s.Signer.Sign(ctx, last, head.Tree, proof)
	if err != nil {
		return last, err
	}
	policy, err := journal.LogPolicy(s.Signer.Key())
	if err != nil {
		return last, err
	}
	c, err := policy.Open(note)
	if err != nil {
		return last, fmt.Errorf("the signer's own signature: %w", err)
	}
	if err := s.Book.SaveCheckpoint(ctx, c); err != nil {
		return last, fmt.Errorf("save checkpoint %d: %w", c.Tree.N, err)
	}
	return c.Tree, nil
}
