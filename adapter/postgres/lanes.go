package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// A queue has a lane for each service of whose messages some wait there. Polls take from
// the lanes in turn, the one that was served least recently first, so that a million
// messages of one service stand before none of another. Within a lane the order of the
// queue holds, VIP requests first; and those go first over all lanes, as the protocol
// has it. A poll with a selector reads the rows of its root elements alone, and these have
// low-water marks as lanes have.
//
// What a node knows of lanes is a hint of where to look, and whose turn it is: a row that
// no known lane has is found all the same, by the first poll that finds nothing in these,
// and within a look at the queue while they are full.
type lanes struct {
	mu      sync.Mutex
	queue   map[int32]*queueLanes
	settled settled
}

// laneOf is the lane of a row, as the index queue_lane has it.
const laneOf = `(coalesce(facts->>'service', '') COLLATE "C")`

// queueLanes is what this node knows of a queue that it polls.
type queueLanes struct {
	mark [2]int64 // by prio: below it only dead rows can be
	lane map[string]*lane
	root map[int32]*rooted // that polls have asked for

	turns int64 // how often a lane was served
	looks int64 // the number of the last look

	advanced, explored time.Time // when the last look of the kind began; by the machine's clock: this is about load, not about messages
	took               time.Duration
	looking            bool
	far                bool // a poll has found its row far beyond its mark
}

// lane is one service's in a queue. What has two values is by prio.
type lane struct {
	name   string
	mark   [2]int64
	live   [2]bool  // rows stand there, or did at the last look
	noted  [2]int64 // the look before which rows were last known to have come
	served [2]int64 // the turn in which it was
}

// rooted is what is known of a queue's rows of a root element.
type rooted struct {
	mark   [2]int64  // by prio
	polled time.Time // when it was last asked for
}

// Low-water marks are where in the index a poll begins; without them every poll would
// step over what has been acknowledged since the last vacuum, and over all of it while
// somebody's transaction keeps the vacuum off.
const (
	// markAge is how long marks are used before they are moved on, from where they are.
	markAge = time.Second
	// exploreAge is how long until lanes that this node has not heard of are looked for and
	// marks are read from the beginning of the queue. It is the longest that a message
	// committed behind a mark can wait; an exploration that takes long comes more rarely.
	exploreAge = 5 * time.Second
	// markSlack is how far a mark stays behind the first row, for rows whose
	// number is lower but whose commit comes later, as long as there may be such (settled).
	markSlack = 1000
	// markFar is how far behind its mark a row is that the marks are moved on for at once,
	// unless they have been within farAge: very many lives have ended at the same time, and
	// each poll until then would step over all of these.
	markFar = 10 * markSlack
	farAge  = 100 * time.Millisecond
	// rootAge is how long a root element that nobody asks for any more is looked for.
	rootAge = 5 * time.Minute
)

// turn is a lane from which a poll is to take at most some rows.
type turn struct {
	lane *lane
	prio int
	mark int64
	most int
}

// begin gives where polls of a queue begin, of which there are n: the marks of the queue
// itself and the lanes in their turn. Of VIP requests no lane is given while none is
// known to have any; and none at all where nobody has to wait for his turn, since then
// the order of the queue is that of its one lane.
func (l *lanes) begin(queue int32, n int) (mark [2]int64, turns []turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.queue[queue]
	if q == nil {
		return mark, nil
	}
	share := false
	for prio := range 2 {
		var live []*lane
		for _, one := range q.lane {
			if one.live[prio] {
				live = append(live, one)
			}
		}
		share = share || len(live) > 1
		slices.SortFunc(live, func(a, b *lane) int {
			return cmp.Or(cmp.Compare(a.served[prio], b.served[prio]), cmp.Compare(a.name, b.name))
		})
		for _, one := range live {
			turns = append(turns, turn{one, prio, one.mark[prio], (n + len(live) - 1) / len(live)})
		}
	}
	if !share {
		turns = nil
	}
	return q.mark, turns
}

// beginRoots gives where polls that ask for root elements begin, by prio and root.
func (l *lanes) beginRoots(queue int32, roots []int32) (marks [2][]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.of(queue)
	for _, r := range roots {
		mark := q.mark
		if one := q.root[r]; one != nil {
			mark = one.mark
		}
		for prio := range 2 {
			marks[prio] = append(marks[prio], mark[prio])
		}
	}
	return marks
}

// served notes the lane of a row that was handed out, and where the row was: to a poll
// that asked for root elements, if any are given.
func (l *lanes) served(queue int32, roots []int32, name string, prio int16, seq int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.of(queue)
	q.turns++
	one := q.note(name, prio)
	one.served[prio] = q.turns
	mark := one.mark[prio]
	if len(roots) > 0 {
		mark = q.mark[prio]
	}
	for _, r := range roots { // which of them it is of is not told
		if one := q.root[r]; one != nil {
			mark = max(mark, one.mark[prio])
		}
	}
	q.far = q.far || seq > mark+markSlack+markFar
}

// came notes that a row has come into a lane, where the queue is polled here.
func (l *lanes) came(queue int32, name string, prio int16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if q := l.queue[queue]; q != nil {
		q.note(name, prio)
	}
}

// of is what is known of a queue. Call it with mu held.
func (l *lanes) of(queue int32) *queueLanes {
	q := l.queue[queue]
	if q == nil {
		if l.queue == nil {
			l.queue = map[int32]*queueLanes{}
		}
		q = &queueLanes{lane: map[string]*lane{}, root: map[int32]*rooted{}}
		l.queue[queue] = q
	}
	return q
}

// note makes a lane known. One that was not has rows that are no older than the queue's.
func (q *queueLanes) note(name string, prio int16) *lane {
	one := q.lane[name]
	if one == nil {
		one = &lane{name: name, mark: q.mark}
		q.lane[name] = one
	}
	one.mark[prio] = max(one.mark[prio], q.mark[prio])
	one.live[prio], one.noted[prio] = true, q.looks
	return one
}

// ask notes that root elements are asked for, and says whether one is for the first time.
// Its rows stand no further in front than the queue's.
func (q *queueLanes) ask(roots []int32) (unknown bool) {
	for _, r := range roots {
		if q.root[r] == nil {
			q.root[r], unknown = &rooted{mark: q.mark}, true
		}
		q.root[r].polled = time.Now()
	}
	return unknown
}

// look has a queue looked at when what is known of it, or of the root elements that are
// asked for, is old. The first poll waits for it, and so does one that would step over very
// many rows; the others go on meanwhile.
func (s *Store) look(ctx context.Context, queue int32, roots []int32, now time.Time) error {
	s.lanes.mu.Lock()
	q := s.lanes.of(queue)
	urgent := q.ask(roots) || q.far && time.Since(q.advanced) > farAge
	wait := q.explored.IsZero() || urgent
	explore := time.Since(q.explored) > max(exploreAge, 20*q.took)
	if q.looking || !explore && !urgent && time.Since(q.advanced) <= markAge {
		s.lanes.mu.Unlock()
		return nil
	}
	began := time.Now()
	q.looks++
	q.looking, q.advanced, q.far = true, began, false
	number := q.looks
	s.lanes.mu.Unlock()
	work := func(ctx context.Context) error {
		err := s.settle(ctx)
		var seen []head
		if err == nil {
			seen, err = s.lookAt(ctx, queue, now, explore)
		}
		s.lanes.mu.Lock()
		defer s.lanes.mu.Unlock()
		q.looking = false
		if err != nil {
			return fmt.Errorf("looking at the head of queue %d: %w", queue, err)
		}
		if explore {
			q.explored, q.took = began, time.Since(began)
		}
		q.saw(seen, number, explore, &s.lanes.settled)
		return nil
	}
	if wait {
		return work(ctx)
	}
	s.leases.working.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.opts.StatementTimeout)
		defer cancel()
		if err := work(ctx); err != nil {
			s.log.Warn("the marks of a queue could not be moved on; until they are, polls of it step over what has gone", "error", err)
		}
	})
	return nil
}

// settled is up to which number of a row none is on its way any more: whoever drew one has
// committed or given up. Up to there a mark needs no slack, and that is where what has ended
// stands, of which a poll would read a thousand each time.
//
// Numbers that were drawn until a moment are settled when all transactions have ended that
// had begun to write by a later one. One that draws its first number just then and has not
// written yet is not among them; its row is found by the next exploration.
type settled struct {
	upto   int64
	drawn  int64 // numbers until a moment
	begun  int64 // the first transaction that had not begun to write by a later one; 0: none is waited for
	looked time.Time
}

const (
	drawnSQL = "SELECT last_value FROM queue_seq_seq"
	// What a snapshot ends with has begun, where nothing behind it has ended: the first that
	// has not is as much later as it is old.
	begunSQL = "SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint + age(pg_snapshot_xmax(s)::xid) FROM pg_current_snapshot() s"
)

// settle moves settled on.
func (s *Store) settle(ctx context.Context) error {
	s.lanes.mu.Lock()
	now := &s.lanes.settled
	if time.Since(now.looked) < markAge {
		s.lanes.mu.Unlock()
		return nil
	}
	now.looked = time.Now()
	s.lanes.mu.Unlock()
	var drawn, running, next int64
	b := &pgx.Batch{} // each statement has a snapshot of its own
	b.Queue(drawnSQL).QueryRow(func(r pgx.Row) error { return r.Scan(&drawn) })
	b.Queue(begunSQL).QueryRow(func(r pgx.Row) error { return r.Scan(&running, &next) })
	if err := s.polls.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("how far the numbers of the queue have come: %w", err)
	}
	s.lanes.mu.Lock()
	defer s.lanes.mu.Unlock()
	now.saw(drawn, running, next)
	return nil
}

// saw takes up what numbers have been drawn, and then which the oldest transaction is that
// writes and which comes next.
func (s *settled) saw(drawn, running, next int64) {
	if drawn < s.drawn { // the server has lost its last commits
		s.upto, s.begun = 0, 0
	}
	if s.begun != 0 && running >= s.begun {
		s.upto, s.begun = s.drawn, 0
	}
	if s.begun == 0 {
		s.drawn, s.begun = drawn, next
	}
}

// mark is where polls begin whose first row has a number.
func (s *settled) mark(seq int64) int64 { return max(seq-markSlack, min(seq, s.upto)) }

// head is the first row of a lane that is there and whose life has not ended, leased or
// not: many may end at once, and no poll reads past them while the sweep takes them out.
// Of a queue, or of a root element of which all have ended, it is the last one.
type head struct {
	lane *string // nil: of the queue itself, or of a root element
	root *int32
	prio int16
	seq  int64
}

// lookAt reads heads: of the queue, the lanes that are known and the root elements that are
// asked for from their marks on, or of all lanes that there are from the beginning.
func (s *Store) lookAt(ctx context.Context, queue int32, now time.Time, explore bool) (seen []head, err error) {
	var names []string
	var prios []int32
	var marks []int64
	var mark [2]int64
	var roots, rootPrios []int32
	var rootMarks []int64
	s.lanes.mu.Lock()
	for r, one := range s.lanes.of(queue).root {
		for prio := range 2 {
			from := one.mark[prio]
			if explore {
				from = 0
			}
			roots, rootPrios, rootMarks = append(roots, r), append(rootPrios, int32(prio)), append(rootMarks, from)
		}
	}
	s.lanes.mu.Unlock()
	if explore {
		rows, _ := s.polls.Query(ctx, lanesSQL, queue)
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, err
		}
		for _, name := range found {
			names, prios, marks = append(names, name, name), append(prios, 0, 1), append(marks, 0, 0)
		}
	} else {
		s.lanes.mu.Lock()
		q := s.lanes.of(queue)
		mark = q.mark
		for name, one := range q.lane {
			for prio := range 2 {
				if one.live[prio] {
					names, prios, marks = append(names, name), append(prios, int32(prio)), append(marks, one.mark[prio])
				}
			}
		}
		s.lanes.mu.Unlock()
	}
	rows, _ := s.polls.Query(ctx, headsSQL, queue, now, mark[0], mark[1], names, prios, marks, roots, rootPrios, rootMarks)
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (h head, err error) {
		err = r.Scan(&h.lane, &h.root, &h.prio, &h.seq)
		return h, err
	})
}

const (
	// lanesSQL steps from lane to lane of a queue.
	lanesSQL = `
WITH RECURSIVE l AS (
	(SELECT ` + laneOf + ` AS name FROM queue WHERE queue = $1 ORDER BY ` + laneOf + ` LIMIT 1)
	UNION ALL
	SELECT (SELECT ` + laneOf + ` FROM queue WHERE queue = $1 AND ` + laneOf + ` > l.name ORDER BY ` + laneOf + ` LIMIT 1) FROM l WHERE l.name IS NOT NULL
)
SELECT name FROM l WHERE name IS NOT NULL`

	// Without the OFFSET 0 each head would be looked for twice.
	headsSQL = `
SELECT NULL, NULL::int, m.prio, h.seq FROM (VALUES (0::smallint, $3::bigint), (1::smallint, $4::bigint)) m(prio, mark), LATERAL (SELECT coalesce(
	(SELECT seq FROM queue WHERE queue = $1 AND prio = m.prio AND seq >= m.mark AND (eol IS NULL OR eol > $2) ORDER BY seq LIMIT 1),
	(SELECT seq FROM queue WHERE queue = $1 AND prio = m.prio AND seq >= m.mark ORDER BY seq DESC LIMIT 1)) AS seq OFFSET 0) h WHERE h.seq IS NOT NULL
UNION ALL
SELECT t.lane, NULL, t.prio::smallint, h.seq FROM unnest($5::text[], $6::int[], $7::bigint[]) t(lane, prio, mark), LATERAL (
	SELECT seq FROM queue WHERE queue = $1 AND ` + laneOf + ` = t.lane AND prio::int = t.prio AND seq >= t.mark AND (eol IS NULL OR eol > $2) ORDER BY seq LIMIT 1) h
UNION ALL
SELECT NULL, t.root, t.prio::smallint, h.seq FROM unnest($8::int[], $9::int[], $10::bigint[]) t(root, prio, mark), LATERAL (SELECT coalesce(
	(SELECT seq FROM queue WHERE queue = $1 AND root = t.root AND prio = t.prio::smallint AND seq >= t.mark AND (eol IS NULL OR eol > $2) ORDER BY seq LIMIT 1),
	(SELECT seq FROM queue WHERE queue = $1 AND root = t.root AND prio = t.prio::smallint AND seq >= t.mark ORDER BY seq DESC LIMIT 1)) AS seq OFFSET 0) h WHERE h.seq IS NOT NULL`
)

// saw takes up what a look of a number has seen. A lane in which it saw nothing is dead,
// unless something came there since it began. An empty queue keeps its marks: new rows
// have higher numbers.
func (q *queueLanes) saw(seen []head, number int64, explored bool, settled *settled) {
	for _, one := range q.lane {
		for prio := range 2 {
			one.live[prio] = one.noted[prio] >= number
		}
	}
	for _, h := range seen {
		mark := settled.mark(h.seq)
		if h.root != nil {
			if one := q.root[*h.root]; one != nil {
				one.mark[h.prio] = mark
			}
			continue
		}
		if h.lane == nil {
			q.mark[h.prio] = mark
			continue
		}
		one := q.lane[*h.lane]
		if one == nil {
			one = &lane{name: *h.lane}
			q.lane[one.name] = one
		}
		one.live[h.prio], one.mark[h.prio] = true, mark
	}
	if explored {
		for name, one := range q.lane {
			if one.live == [2]bool{} {
				delete(q.lane, name)
			}
		}
		for r, one := range q.root {
			if time.Since(one.polled) > rootAge {
				delete(q.root, r)
			}
		}
	}
}
