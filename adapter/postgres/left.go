package postgres

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
)

// leftQueues remembers of which queues of a shard this node's relay could not bring the bus
// their messages: their topic is not there, or nobody leads its partition. Any number of
// those may stand at the head of the outbox, and what is behind them for other queues is not
// to wait: they are read past for a while, and then tried with a few messages beside a batch
// of the others, so that they cannot fill one batch after the other, each of which takes as
// long as the bus is given to come to itself. A queue is passed over as a whole, so it keeps
// its order. When the bus takes it again its backlog goes in the same way, beside what comes for others.
//
// Nor is a batch to walk over a million of such rows: before the row from there is none of
// another queue, and before the row first of such a queue there is none of that. Both are
// where an earlier batch has read its first rows, but no further than the numbers of rows whose transactions had
// ended by then (settled): one that is committed later can only come behind. Each of
// those who write to the outbox has written something else in the same transaction before, so
// none draws a number while it has not begun to write. Rows never change, and what has
// gone comes back only with a crash of the server that loses the relay's last commit: the session that was there
// when from was found is there no more then, and the shard is read from its beginning.
//
// While a transaction anywhere in the cluster has written and does not end, first cannot follow
// the rows, and those of other queues may fill what is looked through from there (leftWindow).
// Such a queue is far: it is looked for through all that waits, by one walk a batch for all of
// these. Were it read as any other then, it would fill batches again as often as it is due.
type leftQueues struct {
	mu    sync.Mutex
	of    map[int32]*leftQueue
	began time.Time // where times to try again are counted from
	taken bool      // something, since the last time that something was left

	from    int64
	settled settled
	session session
	gone    int // queues that are left no more: what was read before says nothing about from
}

type leftQueue struct {
	wait  time.Duration
	next  time.Time
	taken int64 // batches of which the bus had taken something when it was left
	first int64
	back  bool // the bus takes its messages again
	far   bool // none of its rows stood in the window from first
}

// session tells one session of the server from all others, of this server's life or another one.
type session struct {
	pid   int32
	began time.Time
}

const (
	leastLeft = time.Second
	mostLeft  = 32 * time.Second // a multiple of all that are shorter

	// leftPart is the part of a batch, one of so many, that is for what was left before.
	leftPart = 5
	// leftWindow is within how many rows from its first one those of such a queue are looked for.
	leftWindow = 1000
)

// leftDrawnSQL and leftLookSQL come before a batch is read, each with a snapshot of its own, and
// before its transaction writes: age() counts up to its own transaction where it has one, and
// not up to the next that is to begin.
const (
	leftDrawnSQL = "SELECT last_value FROM outbox_seq_seq"
	leftLookSQL  = `SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint + age(pg_snapshot_xmax(s)::xid),
	EXISTS ` + sessionSQL + `, pg_backend_pid(), (SELECT backend_start FROM pg_stat_get_activity(pg_backend_pid())) FROM pg_current_snapshot() s`
	sessionSQL = "(SELECT FROM pg_stat_get_activity($1::int) WHERE backend_start = $2::timestamptz)"
)

// reading is how a batch is read past queues.
type reading struct {
	sql  string
	args []any
	due  map[int32]int // and how many rows of each are asked for
	far  map[int32]bool
	most int // rows of all that are far
	max  int
	gone int

	drawn, running, next int64
	same                 bool // the server has had no crash
	session              session
}

// read says how a batch of a shard is to be read.
func (l *leftQueues) read(now time.Time, shard, max int) *reading {
	l.mu.Lock()
	defer l.mu.Unlock()
	var past, due []int32
	for queue, q := range l.of {
		if now.Sub(q.next) > time.Minute {
			l.forget(queue) // another node has relayed what there was
			continue
		}
		if past = append(past, queue); !q.next.After(now) {
			due = append(due, queue)
		}
	}
	if len(past) == 0 {
		return &reading{sql: outboxSQL, args: []any{shard, max}}
	}
	r := &reading{sql: outboxPastSQL, max: max, gone: l.gone}
	few := 0
	if len(due) > 0 {
		few = (max + leftPart - 1) / leftPart
	}
	slices.SortFunc(due, func(a, b int32) int {
		return cmp.Or(l.of[a].next.Compare(l.of[b].next), cmp.Compare(a, b))
	})
	due = due[:min(len(due), few)]
	back := 0
	for _, queue := range due {
		if l.of[queue].back {
			back++
		}
	}
	r.due, r.far = map[int32]int{}, map[int32]bool{}
	var near, most, far []int32
	var firsts []int64
	farFirst := int64(math.MaxInt64)
	for _, queue := range due {
		q := l.of[queue]
		n := few / len(due)
		if q.back {
			n = (max + back - 1) / back // the batch has room for what others leave of it
		}
		r.due[queue] = n
		if r.far[queue] = q.far; q.far {
			far, farFirst, r.most = append(far, queue), min(farFirst, q.first), r.most+n
			continue
		}
		near, firsts, most = append(near, queue), append(firsts, q.first), append(most, int32(n))
	}
	r.session = l.session
	r.args = []any{l.session.pid, l.session.began, shard, max - few, past, l.from, near, firsts, most, max, far, farFirst, r.most}
	return r
}

// look has a batch look for what saw takes over. It comes first.
func (r *reading) look(b *pgx.Batch) {
	if r.due == nil {
		return
	}
	b.Queue(leftDrawnSQL).QueryRow(func(row pgx.Row) error { return row.Scan(&r.drawn) })
	b.Queue(leftLookSQL, r.session.pid, r.session.began).QueryRow(func(row pgx.Row) error {
		return row.Scan(&r.running, &r.next, &r.same, &r.session.pid, &r.session.began)
	})
}

// queue has it read.
func (r *reading) queue(b *pgx.Batch, rows *[]outboxRow) {
	b.Queue(r.sql, r.args...).Query(func(found pgx.Rows) (err error) {
		*rows, err = pgx.CollectRows(found, scanOutboxRow)
		return err
	})
}

// saw takes over which rows were there.
func (l *leftQueues) saw(r *reading, rows []outboxRow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.due == nil || l.gone != r.gone {
		return
	}
	if !r.same {
		l.from, l.settled = 0, settled{}
		for _, q := range l.of {
			q.first = 0
		}
	}
	l.session = r.session
	l.settled.saw(r.drawn, r.running, r.next)
	from := l.settled.upto + 1
	firsts := map[int32]int64{}
	far := 0
	for i := range rows {
		queue := rows[i].queue
		if !rows[i].again {
			from = min(from, rows[i].seq)
			continue
		}
		if _, ok := firsts[queue]; !ok {
			firsts[queue] = rows[i].seq
		}
		if r.far[queue] {
			far++
		}
	}
	l.from = max(l.from, from)
	for queue := range r.due {
		q, first := l.of[queue], firsts[queue]
		switch {
		case q == nil:
		case first > 0:
			q.first = max(q.first, min(first, l.settled.upto+1))
			q.far = r.far[queue] && q.first < first
		case len(rows) >= r.max, r.far[queue] && far >= r.most: // there was no room for it
		case !r.far[queue]:
			q.far = true
		default: // another node has relayed all
			l.forget(queue)
		}
	}
}

// forget has a queue read as any other. Call it with mu held.
func (l *leftQueues) forget(queue int32) {
	l.from = min(l.from, l.of[queue].first)
	l.gone++
	if delete(l.of, queue); len(l.of) == 0 {
		l.from, l.settled = 0, settled{}
	}
}

// learn takes over what became of a batch. While the bus takes nothing at all, nobody
// waits longer for it than the first time: when it comes back it is to be found out soon.
// taken counts the batches of all shards of which the bus has taken something, this one too.
// It gives the queues that are apart, which were left once more after the bus had taken
// something of whichever queue, and of each the row in which it was left.
func (l *leftQueues) learn(now time.Time, r *reading, out []adapter.Outgoing, rows []outboxRow, taken int64) (apart map[int32]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var left map[int32]int64
	away := !l.taken
	for i := range out {
		switch {
		case !out[i].Left:
			l.taken = true
			continue
		case left == nil:
			left = map[int32]int64{}
		}
		if _, ok := left[rows[i].queue]; !ok {
			left[rows[i].queue] = rows[i].seq
		}
	}
	if l.took(now, r, out, rows, left) && away && left == nil {
		for queue := range l.of { // the bus was away and is back
			l.forget(queue)
		}
	}
	for queue, seq := range left {
		if q := l.of[queue]; q != nil && q.taken < taken {
			if apart == nil {
				apart = map[int32]int64{}
			}
			apart[queue] = seq
		}
		l.again(queue, now, rows).taken = taken
	}
	l.taken = l.taken && left == nil
	return apart
}

// took notes the queues that were left before and of which the bus has taken all that was tried, if
// there are any: where there may be more of one, this goes on beside the others.
func (l *leftQueues) took(now time.Time, r *reading, out []adapter.Outgoing, rows []outboxRow, left map[int32]int64) (any bool) {
	if len(l.of) == 0 {
		return false
	}
	tried := map[int32]int{}
	for i := range rows {
		tried[rows[i].queue]++
	}
	for i := range out {
		queue := rows[i].queue
		q := l.of[queue]
		if _, ok := left[queue]; ok || q == nil {
			continue
		}
		any = true
		if n, ok := r.due[queue]; ok && (tried[queue] >= n || r.far[queue] || len(rows) >= r.max || len(out) < len(rows)) {
			q.back, q.wait, q.next = true, leastLeft, now
			continue
		}
		l.forget(queue)
	}
	return any
}

// again says when a queue is to be tried again: about when its wait is over, at a multiple of
// it, so that many are tried together. Each time costs the batch a second or more.
func (l *leftQueues) again(queue int32, now time.Time, rows []outboxRow) *leftQueue {
	q := l.of[queue]
	switch {
	case q == nil:
		if l.of == nil {
			l.of = map[int32]*leftQueue{}
		}
		if len(l.of) == 0 {
			l.began = now
		}
		i := slices.IndexFunc(rows, func(r outboxRow) bool { return r.queue == queue })
		q = &leftQueue{wait: leastLeft, first: min(rows[i].seq, l.settled.upto+1)}
		l.of[queue] = q
	case l.taken:
		q.wait = min(2*q.wait, mostLeft)
	}
	q.back = false
	q.next = l.began.Add((now.Sub(l.began) + q.wait).Round(q.wait))
	return q
}
