package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// A poll is one transaction of two statements. The first one finds the next row and
// leases it. Then the caller makes its answer, and the second one writes the events,
// which commit to poll and answer, and keeps these. What is handed out is what was
// committed to, and a crash before the commit leaves the message where it was.
//
// "s" has VIP requests first and then everything else. Each has its own
// low-water mark ($8, $9), below which only dead rows can be. A row that another poll
// is taking is skipped. Rows are locked as they are asked for, and no more of them are than
// there are polls, $7. They are leased until $6.
//
// That a lease ran out is told by the second statement when the sweep has not been
// quicker.
var (
	// leaseLanes takes from lanes in their turn, from each as many as it says, until all
	// polls have something. The arrays $10 to $13 are the turns; what VIP lanes there are
	// comes first. Where none is known, VIP requests are taken as they come: $9 is how many.
	leaseLanes = leaseFirst("", leaseFree+` AND prio = 0 AND seq >= $8 ORDER BY seq LIMIT $9 FOR UPDATE SKIP LOCKED`, `
		SELECT l.* FROM unnest($10::text[], $11::int[], $12::bigint[], $13::int[]) t(lane, prio, mark, most), LATERAL (`+
		leaseFree+` AND `+laneOf+` = t.lane AND prio::int = t.prio AND seq >= t.mark ORDER BY seq LIMIT t.most FOR UPDATE SKIP LOCKED) l`)

	// leaseAny takes what comes first, whatever lane it is in.
	leaseAny = leaseFirst("", leaseFree+` AND prio = 0 AND seq >= $8 ORDER BY seq LIMIT $7 FOR UPDATE SKIP LOCKED`,
		leaseFree+` AND prio = 1 AND seq >= $9 ORDER BY seq LIMIT $7 FOR UPDATE SKIP LOCKED`)

	// With a selector of one root the index on the root is read. $10 is its number.
	leaseRoot = leaseFirst("", leaseFree+` AND root = ($10::int[])[1] AND prio = 0 AND seq >= $8 ORDER BY seq LIMIT $7 FOR UPDATE SKIP LOCKED`,
		leaseFree+` AND root = ($10::int[])[1] AND prio = 1 AND seq >= $9 ORDER BY seq LIMIT $7 FOR UPDATE SKIP LOCKED`)

	// With several roots the index is read once per root, from its own mark ($8, $9: arrays), and of the rows found the best
	// are locked, and no others: a row that is locked and not taken would be passed over by
	// another poll, which then had a later one of the same lane. 256 is how many of a root
	// other polls may be taking at the time.
	leaseRoots = leaseFirst(`c AS MATERIALIZED (
	SELECT l.* FROM unnest($10::int[], $8::bigint[], $9::bigint[]) r(root, vip, mark), LATERAL (
		(`+leaseFree+` AND root = r.root AND prio = 0 AND seq >= r.vip ORDER BY seq LIMIT $7 + 256)
		UNION ALL
		(`+leaseFree+` AND root = r.root AND prio = 1 AND seq >= r.mark ORDER BY seq LIMIT $7 + 256)) l
), `, `
		SELECT q.queue, q.prio, q.seq, q.message_id, q.attempts, q.returned, q.visible_at
		FROM (SELECT * FROM c ORDER BY prio, seq OFFSET 0) c, queue q WHERE `+rowIs("c")+` AND q.visible_at <= $5
		ORDER BY c.prio, c.seq LIMIT $7 FOR UPDATE OF q SKIP LOCKED`)

	// The second statement. $2 are the events of answers that were made, each behind that
	// of the lease before it if that had run out. $3 to $8 are parallel arrays with a row
	// per answer of which something is kept. The rows of the queue are locked.
	leaseTell = `
WITH e AS (
	` + waitInPlaceSQL("$2::bytea[]") + `
)
INSERT INTO receipt (message, attempt, codec, dictionary, size, body, queue, step)
` + rowsOf("$3::uuid[], $4::int[], $5::smallint[], $6::int[], $7::int[], $8::bytea[]") + `, $1::int, 1`

	// What no answer could be made for was not delivered: it has no event and its
	// attempt does not count, and it steps aside until the time in $4.
	leaseAside = `
UPDATE queue q SET attempts = q.attempts - 1, visible_at = f.until
FROM unnest($2::smallint[], $3::bigint[], $4::timestamptz[]) AS f(prio, seq, until), ` + rowAt("$1::int, f.prio, f.seq") + ` WHERE ` + rowIs("k")
)

// leaseFree gives rows of the queue $4 that may be handed out at the time $5.
const leaseFree = `
		SELECT queue, prio, seq, message_id, attempts, returned, visible_at FROM queue
		WHERE queue = $4 AND visible_at <= $5 AND (eol IS NULL OR eol > $5)`

// leaseFirst leases the first rows that selects give, one after the other, behind other parts of the
// statement, and notes the polls as new, $1 to $3 (useRows). For one that is not, all is undone. It
// may wait for another node that notes the same; so they are noted before any row is asked for,
// since others would pass over what it holds meanwhile.
func leaseFirst(before string, selects ...string) string {
	return `
WITH u AS (
	` + usesNewSQL + ` RETURNING 1
), ` + before + `s AS MATERIALIZED (
	SELECT * FROM (SELECT * FROM (` + strings.Join(selects, `) a
	UNION ALL SELECT * FROM (`) + `) b) r WHERE (SELECT count(*) FROM u) >= 0 LIMIT $7
)
UPDATE queue q SET visible_at = $6, attempts = q.attempts + 1, returned = q.attempts FROM s WHERE ` + rowIs("s") + `
RETURNING q.message, q.prio, q.seq, q.attempts, ` + laneOf + `, CASE WHEN s.attempts > s.returned THEN s.visible_at END`
}

// lease is one poll on its way to the database.
type lease struct {
	ctx   context.Context
	poll  adapter.Poll
	roots []int32       // of the selector
	offer chan leased   // what was found for it, while nothing is committed; to a caller that is there
	made  chan handed   // of capacity 1: what the caller made of it
	some  chan struct{} // of capacity 1, of all with which it shares a transaction, if there are any: one has made its own
	done  chan leased   // of capacity 1: the outcome
}

func newLease(ctx context.Context, p adapter.Poll) *lease {
	return &lease{ctx: ctx, poll: p, offer: make(chan leased), made: make(chan handed, 1), done: make(chan leased, 1)}
}

// leased is the row that was found for a poll; attempt is 0 when there was none.
type leased struct {
	id      [16]byte
	prio    int16
	seq     int64
	attempt int
	lane    string
	ranOut  *time.Time // when the lease before this one did, unless that has been told
	err     error
}

// handed is what is committed with a delivery.
type handed struct {
	event   []byte // for waitSQL
	ranOut  []byte // another before it, of a lease that had run out; nil: there is none
	facts   *journal.Event
	receipt packed // without bytes: nothing is kept
	err     error
}

// answerTime is how long a caller may take for its answer. Alone, it has its row locked
// meanwhile; others of its transaction do not wait for it (answersTogether). An answer of tens of megabytes on a
// busy machine takes seconds; PostgreSQL ends an idle transaction after thirty.
const answerTime = 25 * time.Second

// leaseLine is what polls wait in together: a queue, and the selector. So a party has no
// more transactions open at once than it has selectors and queues, however much it polls.
type leaseLine struct {
	queue int32
	roots string
}

// Lease is adapter.Store.Lease. Polls of one queue that come at the same time, and those
// with the same selector, are served by one transaction.
func (s *Store) Lease(ctx context.Context, p adapter.Poll) (*adapter.Delivery, error) {
	queue, err := s.names.queueID(ctx, s.pool, p.Queue, false)
	if err != nil {
		return nil, err
	}
	if queue == 0 { // nothing has ever been put into it
		return nil, s.used(ctx, p.Use)
	}
	l := newLease(ctx, p)
	in := leaseLine{queue: queue}
	if len(p.Roots) > 0 {
		if l.roots, err = s.rootIDs(ctx, p.Roots); err != nil {
			return nil, err
		}
		if len(l.roots) == 0 {
			return nil, s.used(ctx, p.Use)
		}
		in.roots = fmt.Sprint(l.roots)
	}
	s.leases.join(in, l)
	d, err := s.await(l, queue)
	// Its key has gone, and the erasure is about to take it out of the queue; or it is another's.
	if errors.Is(err, errContentErased) || errors.Is(err, errOthersQueue) {
		return s.Lease(ctx, p)
	}
	if err != nil {
		return nil, fmt.Errorf("leasing %s of %s: %w", p.Queue.Kind, p.Queue.System, err)
	}
	return d, nil
}

// await is a caller's part of a poll: it makes the answer when a message has been
// found, and has the message when that is committed.
func (s *Store) await(l *lease, queue int32) (*adapter.Delivery, error) {
	var out leased
	select {
	case out = <-l.done: // nothing found, or trouble
		return nil, out.err
	case <-l.ctx.Done():
		return nil, l.ctx.Err()
	case out = <-l.offer:
	}
	d, told, err := s.answer(l, queue, out)
	if err != nil {
		return nil, err
	}
	select {
	case end := <-l.done:
		err = end.err
	case <-l.ctx.Done():
		err = l.ctx.Err() // if it was leased, it comes back when the lease runs out
	}
	if err != nil {
		return nil, err
	}
	m := d.Message
	s.handed.put(l.poll.Queue.System, m.MessageID, acked{queue: queue, prio: out.prio, seq: out.seq, attempt: out.attempt, message: out.id, service: m.Service, direction: m.Direction, facts: told})
	return d, nil
}

// answer reads the message and has its answer made. Whatever happens, the
// transaction that waits for it hears of it.
func (s *Store) answer(l *lease, queue int32, found leased) (d *adapter.Delivery, told *journal.Event, err error) {
	a := handed{err: errors.New("making the answer broke off")} // should it panic
	defer func() {
		l.made <- a
		select {
		case l.some <- struct{}{}:
		default:
		}
	}()
	m, err := s.load(l.ctx, found.id, true)
	if err == nil && m.Erased != nil {
		err = errContentErased
	}
	if err == nil && !slices.Contains(m.Recipients, l.poll.Queue) {
		err = s.othersQueue(l, queue)
	}
	if err == nil {
		d = &adapter.Delivery{Message: m, Attempt: found.attempt, Until: l.poll.Now.Add(l.poll.For)}
		a = s.told(l, queue, d, found.ranOut)
		err = a.err
	}
	a.err = err
	return d, a.facts, err
}

var errOthersQueue = errors.New("the database has another queue by the number that was remembered")

// othersQueue says whether a poll has found what is another's, because the server has lost
// the number of its queue and has given it away.
func (s *Store) othersQueue(l *lease, queue int32) error {
	s.names.forget()
	now, err := s.names.queueID(l.ctx, s.pool, l.poll.Queue, false)
	if err != nil || now == queue {
		return err
	}
	return errors.Join(errOthersQueue, s.namesLost(0))
}

// told is what is committed with a delivery: its event, behind that of the lease before
// it if that ran out, and, where an answer is made, what is kept of poll and answer.
func (s *Store) told(l *lease, queue int32, d *adapter.Delivery, ranOut *time.Time) (a handed) {
	ev := &l.poll.Event // of this lease alone
	if l.poll.Answer != nil {
		var out []byte
		if out, a.err = l.poll.Answer(d); a.err != nil {
			return a
		}
		ev.Personal = append(slices.Clip(ev.Personal), journal.Receipt{Poll: digestOf(l.poll.Envelope), Answer: digestOf(out)}.Field())
		if a.receipt, a.err = s.weaveDelivery(d.Message, queue, d.Attempt, l.poll.Envelope, out); a.err != nil {
			return a
		}
	}
	arrived := arrivedOf(d.Message, 0, nil, len(d.Message.Body))
	arrived.event.Recipient = string(l.poll.Queue.System)
	*ev = stamped(*ev, journal.KindDelivered, l.poll.Now)
	ev.Complete(&arrived.event)
	if ev.Attempt = d.Attempt; l.poll.Wire != "" && arrived.wire != "" && l.poll.Wire != arrived.wire {
		ev.Outcome = adapter.OutcomeRewrapped
	}
	var err error
	if a.event, _, err = s.waitingIn(waitingRoom(1), ev); err == nil && ranOut != nil {
		before := s.returned(arrived.event, *ranOut, d.Attempt-1)
		a.ranOut, _, err = s.waitingIn(waitingRoom(1), &before)
	}
	if err != nil {
		return handed{err: err}
	}
	a.facts = &arrived.event
	return a
}

// returned is the event of a lease that ran out.
func (s *Store) returned(facts journal.Event, at time.Time, attempt int) journal.Event {
	e := stamped(journal.Event{Node: s.opts.Node, Time: at.UTC().Truncate(time.Millisecond)}, journal.KindReturned, at)
	e.Attempt = attempt
	return completed(e, facts)
}

// used notes a use by itself.
func (s *Store) used(ctx context.Context, u adapter.Use) error {
	if u == (adapter.Use{}) {
		return nil
	}
	first, err := s.FirstUse(ctx, u)
	if err == nil && first != u.Operation {
		err = &adapter.UsedError{First: first}
	}
	return err
}

// lease carries out polls of one queue and selector and tells each its outcome.
func (s *Store) lease(in leaseLine, batch []*lease) {
	queue := in.queue
	// Whose caller has gone must not be given a message.
	live := make([]*lease, 0, len(batch))
	for _, l := range batch {
		if err := l.ctx.Err(); err != nil {
			l.done <- leased{err: err}
			continue
		}
		live = append(live, l)
	}
	if len(live) == 0 {
		return
	}
	waiting, err := s.leaseRows(queue, live, s.usual.uses.expected())
	if isCode(err, uniqueViolation) { // and nothing was done
		s.usual.uses.failed()
		waiting, err = s.leaseRows(queue, live, false)
	}
	if isCode(err, divisionByZero) {
		// One of them came as something else before, and nothing was done. Each is
		// asked about, and whose use holds goes on.
		held := live[:0]
		for _, l := range live {
			if err := s.used(l.ctx, l.poll.Use); err != nil {
				l.done <- leased{err: err}
				continue
			}
			l.poll.Use = adapter.Use{}
			held = append(held, l)
		}
		if waiting, err = nil, nil; len(held) > 0 {
			waiting, err = s.leaseRows(queue, held, false)
		}
	}
	for _, l := range waiting {
		l.done <- leased{err: err}
	}
}

// leaseRows runs the transaction, which notes uses as new or holds them against what is noted.
// It gives the polls that have not heard yet how theirs ended.
func (s *Store) leaseRows(queue int32, batch []*lease, areNew bool) (waiting []*lease, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.StatementTimeout+answerTime)
	defer cancel()
	now := batch[0].poll.Now
	var uses []adapter.Use
	until := now
	for _, l := range batch {
		if l.poll.Now.After(now) {
			now = l.poll.Now
		}
		if end := l.poll.Now.Add(l.poll.For); end.After(until) {
			until = end
		}
		if l.poll.Use != (adapter.Use{}) {
			uses = append(uses, l.poll.Use)
		}
	}
	if err := s.look(ctx, queue, batch[0].roots, now); err != nil {
		return batch, err
	}
	found := make([]leased, len(batch))
	tx, err := s.take(ctx, &taking{queue: queue, now: now, until: until, roots: batch[0].roots, areNew: areNew, uses: uses, found: found})
	if err != nil {
		return batch, err
	}
	defer tx.end()
	t := newTelling(queue)
	var some chan struct{}
	if len(batch) > 1 {
		some = make(chan struct{}, 1)
	}
	making, of := make([]*lease, 0, len(batch)), found[:0] // what each of them makes its answer of
	for i, l := range batch {
		if found[i].attempt == 0 {
			l.done <- leased{}
			continue
		}
		l.some = some
		select {
		case l.offer <- found[i]:
			making, of = append(making, l), append(of, found[i])
		case <-l.ctx.Done(): // nothing was handed out, and the next one may have it at once
			l.done <- leased{err: l.ctx.Err()}
			t.aside(found[i], now)
		}
	}
	if len(making)+len(t.asideSeqs) == 0 {
		if len(uses) > 0 {
			err = tx.commit(ctx, nil) // its table is not logged: this waits for no disk
		}
		return nil, err
	}
	late, stop := context.WithTimeout(ctx, answerTime)
	defer stop()
	var slow []int // places in making
	for i, a := range heard(late, making, some) {
		switch {
		case a == nil: // nobody may have it until then, and it is not delivered yet
			t.aside(of[i], until)
			slow = append(slow, i)
		case a.err != nil: // its caller knows, or is told as soon as it asks
			t.aside(of[i], until)
		default:
			t.tell(of[i], *a)
			waiting = append(waiting, making[i])
		}
	}
	if err = s.tellRanOut(ctx, t); err == nil {
		err = tx.commit(ctx, t.batch(&s.gates))
	}
	by, _ := late.Deadline()
	for _, i := range slow {
		if l := making[i]; err != nil {
			l.done <- leased{err: err}
		} else {
			s.leases.working.Go(func() { s.deliverLate(queue, l, of[i], until, by) })
		}
	}
	return waiting, err
}

// answersTogether is how long the polls of one transaction wait for the slowest answer
// when one of them has its own. Answers are made in milliseconds, but for those of many
// megabytes.
const answersTogether = 100 * time.Millisecond

// heard gives what callers make: all of it, or what there is when one has waited for the
// others for long enough; nil where nothing is there yet. some says that one has made its own.
func heard(late context.Context, making []*lease, some <-chan struct{}) []*handed {
	out := make([]*handed, len(making))
	if len(making) == 1 {
		a := making[0].heard(late)
		out[0] = &a
		return out
	}
	var enough <-chan time.Time
	for i, l := range making {
		for out[i] == nil {
			select {
			case a := <-l.made:
				out[i] = &a
			case <-some:
			case <-enough:
				return append(out[:i], there(making[i:])...)
			case <-late.Done(): // what they have made until now still counts
				return append(out[:i], there(making[i:])...)
			}
			if enough == nil {
				enough = time.After(answersTogether)
			}
		}
	}
	return out
}

// there gives what callers have made until now.
func there(making []*lease) []*handed {
	out := make([]*handed, len(making))
	for i, l := range making {
		select {
		case a := <-l.made:
			out[i] = &a
		default:
		}
	}
	return out
}

// A message whose answer was not there when the others of its transaction went out was
// put aside until the end of its lease. It is delivered by this, when it stands so still.
var leaseLate = `
UPDATE queue q SET attempts = attempts + 1, returned = attempts
FROM ` + rowAt("$1::int, $2::smallint, $3::bigint") + ` WHERE ` + rowIs("k") + ` AND q.visible_at = $4 AND q.attempts = $5 RETURNING 1`

// deliverLate waits for an answer, until by, and commits the delivery by itself. A crash before
// that leaves the message where it stands, and it comes when the lease would have run
// out.
func (s *Store) deliverLate(queue int32, l *lease, found leased, until, by time.Time) {
	late, stop := context.WithDeadline(context.Background(), by)
	defer stop()
	a := l.heard(late)
	if a.err != nil {
		return // its caller knows, or is told by heard
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.StatementTimeout)
	defer cancel()
	l.done <- leased{err: s.commitLate(ctx, queue, found, until, a)}
}

func (s *Store) commitLate(ctx context.Context, queue int32, found leased, until time.Time, a handed) error {
	stands := false
	a.ranOut = nil // it was told when the message was put aside
	again := &pgx.Batch{}
	again.Queue(leaseLate, queue, found.prio, found.seq, until, found.attempt-1).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			stands = true
		}
		return rows.Err()
	})
	tx, err := s.polls.open(ctx, again)
	if err != nil {
		return err
	}
	defer tx.end()
	if !stands {
		return errors.New("the message has left its queue while its answer was made")
	}
	t := newTelling(queue)
	t.tell(found, a)
	return tx.commit(ctx, t.batch(&s.gates))
}

// taking is what polls of one queue want, and what was found for them.
type taking struct {
	queue  int32
	now    time.Time
	until  time.Time // of all of them
	roots  []int32
	areNew bool          // as far as is known, uses are
	uses   []adapter.Use // to be noted

	rootMarks [2][]int64 // where the rows of each root begin, by prio

	found []leased // a place per poll, of which the first are filled, in the order of the queue
	n     int      // how many
}

// take finds rows and leases them, in a transaction that is open then: by the lanes, as
// long as one that gave all that was asked of it may have more; and what none of them has
// as it comes. Nearly always that is one statement.
func (s *Store) take(ctx context.Context, t *taking) (*transaction, error) {
	var mark [2]int64
	var turns []turn
	if len(t.roots) == 0 {
		mark, turns = s.lanes.begin(t.queue, len(t.found))
	} else {
		t.rootMarks = s.lanes.beginRoots(t.queue, t.roots)
	}
	first := &pgx.Batch{} // whose use does not hold is given nothing
	if len(t.uses) > 0 && !t.areNew {
		first.Queue(usesHoldSQL, useArguments(t.uses)...)
		t.uses = nil
	}
	by := t.ask(first, mark, turns)
	tx, err := s.polls.open(ctx, first)
	if err != nil {
		return nil, err
	}
	for len(turns) > 0 && t.n < len(t.found) {
		turns = slices.DeleteFunc(turns, func(one turn) bool { return by[laneAt{one.lane.name, int16(one.prio)}] < one.most })
		for i := range turns {
			turns[i].most = len(t.found) - t.n
		}
		next := &pgx.Batch{}
		by = t.ask(next, mark, turns)
		if err := tx.send(ctx, next); err != nil {
			tx.end()
			return nil, err
		}
	}
	slices.SortFunc(t.found[:t.n], func(a, b leased) int { return cmp.Or(cmp.Compare(a.prio, b.prio), cmp.Compare(a.seq, b.seq)) })
	for i := range t.n {
		s.lanes.served(t.queue, t.roots, t.found[i].lane, t.found[i].prio, t.found[i].seq)
	}
	return tx, nil
}

// laneAt is a lane of VIP requests, or of everything else.
type laneAt struct {
	name string
	prio int16
}

// ask puts the statement for the polls that have nothing yet into a batch, and counts
// what each lane gave.
func (t *taking) ask(b *pgx.Batch, mark [2]int64, turns []turn) (by map[laneAt]int) {
	by = map[laneAt]int{}
	polls := len(t.found) - t.n
	sql, args := leaseAny, append(useArguments(t.uses), t.queue, t.now, t.until, polls, mark[0], mark[1])
	t.uses = nil
	switch {
	case len(t.roots) == 1:
		sql, args = leaseRoot, append(args[:7], t.rootMarks[0][0], t.rootMarks[1][0], t.roots)
	case len(t.roots) > 1:
		sql, args = leaseRoots, append(args[:7], t.rootMarks[0], t.rootMarks[1], t.roots)
	case len(turns) > 0:
		vip := polls
		var names []string
		var prios, most []int32
		var marks []int64
		for _, one := range turns {
			if one.prio == 0 {
				vip = 0
			}
			names, prios, marks, most = append(names, one.lane.name), append(prios, int32(one.prio)), append(marks, one.mark), append(most, int32(one.most))
		}
		args[8] = vip
		sql, args = leaseLanes, append(args, names, prios, marks, most)
	}
	b.Queue(sql, args...).Query(func(rows pgx.Rows) error {
		var out leased
		_, err := pgx.ForEachRow(rows, []any{&out.id, &out.prio, &out.seq, &out.attempt, &out.lane, &out.ranOut}, func() error {
			t.found[t.n] = out
			t.n++
			by[laneAt{out.lane, out.prio}]++
			return nil
		})
		return err
	})
	return by
}

// heard waits for what the caller makes, until it is too late.
func (l *lease) heard(late context.Context) handed {
	select {
	case a := <-l.made:
		return a
	case <-late.Done():
	}
	select {
	case a := <-l.made: // it was in time, and others were not
		return a
	default:
	}
	err := fmt.Errorf("the answer was not made within %s", answerTime)
	l.done <- leased{err: err}
	return handed{err: err}
}

// telling are the arrays of leaseTell and leaseAside.
type telling struct {
	queue        int32
	events       [][]byte
	messages     [][16]byte
	attempts     []int32
	codecs       []int16
	dictionaries []int32
	sizes        []int32
	bodies       [][]byte

	asidePrios []int16
	asideSeqs  []int64
	untils     []time.Time
	ranOut     []leased // of them, those whose lease before had run out
}

func newTelling(queue int32) *telling { return &telling{queue: queue} }

// tell adds a delivery.
func (t *telling) tell(found leased, a handed) {
	if a.ranOut != nil {
		t.add(found, a.ranOut, packed{})
	}
	t.add(found, a.event, a.receipt)
}

// add adds an event, and what is kept with it.
func (t *telling) add(found leased, event []byte, kept packed) {
	if t.events = append(t.events, event); kept.bytes == nil {
		return
	}
	t.messages, t.attempts = append(t.messages, found.id), append(t.attempts, int32(found.attempt))
	t.codecs, t.dictionaries, t.sizes, t.bodies = append(t.codecs, kept.codec), append(t.dictionaries, kept.dictionary), append(t.sizes, kept.size), append(t.bodies, kept.bytes)
}

// aside adds a message that was not handed out.
func (t *telling) aside(found leased, until time.Time) {
	t.asidePrios, t.asideSeqs, t.untils = append(t.asidePrios, found.prio), append(t.asideSeqs, found.seq), append(t.untils, until)
	if found.ranOut != nil {
		t.ranOut = append(t.ranOut, found)
	}
}

// tellRanOut adds the events of leases that had run out, of messages that were put aside.
func (s *Store) tellRanOut(ctx context.Context, t *telling) error {
	rows := make([]standing, len(t.ranOut))
	for i, found := range t.ranOut {
		rows[i] = standing{message: found.id, queue: t.queue}
	}
	facts, err := s.factsOf(ctx, rows)
	if err != nil {
		return err
	}
	for i, found := range t.ranOut {
		event, err := s.waiting(s.returned(facts[i], *found.ranOut, found.attempt-1))
		if err != nil {
			return err
		}
		t.add(found, event[0], packed{})
	}
	return nil
}

func (t *telling) batch(g *gates) *pgx.Batch {
	b := &pgx.Batch{}
	if len(t.events) > 0 {
		b.Queue(g.sql(leaseTell), t.queue, t.events, t.messages, t.attempts, t.codecs, t.dictionaries, t.sizes, t.bodies)
	}
	if len(t.asideSeqs) > 0 {
		b.Queue(leaseAside, t.queue, t.asidePrios, t.asideSeqs, t.untils)
	}
	return b
}

// rootIDs gives the numbers of those roots that any message has had.
func (s *Store) rootIDs(ctx context.Context, roots []adapter.QName) ([]int32, error) {
	var ids []int32
	for _, r := range roots {
		id, err := s.names.rootID(ctx, s.pool, r, false)
		if err != nil {
			return nil, err
		}
		if id != 0 {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// stamp encodes an event that the database completes with the facts of its
// message.
func (s *Store) stamp(e journal.Event, kind journal.Kind, now time.Time) (string, error) {
	encoded, err := encodeEvents([]journal.Event{stamped(e, kind, now)})
	if err != nil {
		return "", err
	}
	return encoded[0], nil
}

// stamped is an event of a kind, of now unless it says when.
func stamped(e journal.Event, kind journal.Kind, now time.Time) journal.Event {
	e.Kind = kind
	if e.Time.IsZero() {
		e.Time = now.UTC().Truncate(time.Millisecond)
	}
	return e
}
