package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
)

// names translates queues and root elements to their numbers. A number never
// changes, so what was once learned stays true, as long as the server does not lose its
// last commits: a standby that nobody waited for, once promoted, may lack their rows, or
// give their numbers to others. So what writes by a number proves it in its statement
// (queuesGone), a poll hands nothing out that is another's (answer), and the sweep looks
// for the rest.
type names struct {
	queues sync.Map // adapter.Queue -> int32
	queue  sync.Map // int32 -> adapter.Queue
	roots  sync.Map // adapter.QName -> int32
	root   sync.Map // int32 -> adapter.QName

	texts sync.Map // adapter.Queue -> string: it alone, as recipientsText has it

	kindIDs sync.Map // kind -> int64
	kinds   sync.Map // int64 -> *kind
}

// forget has all numbers looked up again.
func (n *names) forget() {
	for _, m := range []*sync.Map{&n.queues, &n.queue, &n.roots, &n.root, &n.kindIDs, &n.kinds} {
		m.Clear()
	}
}

// queueID gives a queue's number, making one if make is set, else 0 when it
// has none.
func (n *names) queueID(ctx context.Context, pool *sessions, q adapter.Queue, make bool) (int32, error) {
	if id, ok := n.queues.Load(q); ok {
		return id.(int32), nil
	}
	id, err := number(ctx, pool, make,
		"SELECT id FROM queue_name WHERE system = $1 AND kind = $2 AND node = $3",
		"INSERT INTO queue_name (system, kind, node) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
		string(q.System), string(q.Kind), q.Node)
	if err == nil && id != 0 {
		n.queues.Store(q, id)
		n.queue.Store(id, q)
	}
	return id, err
}

// recipientsText is a list of recipients as the column has it: JSON. Nearly all messages have
// one, a queue of which there are as many as there are systems: its text is made once.
func (n *names) recipientsText(to []adapter.Queue) (string, error) {
	alone := len(to) == 1 && to[0].Node == ""
	if alone {
		if text, ok := n.texts.Load(to[0]); ok {
			return text.(string), nil
		}
	}
	list := make([]recipient, len(to))
	for i, q := range to {
		list[i] = recipient(q)
	}
	text, err := json.Marshal(list)
	if err == nil && alone {
		n.texts.Store(to[0], string(text))
	}
	return string(text), err
}

// rootID does the same for a root element; the zero name is number 0.
func (n *names) rootID(ctx context.Context, pool *sessions, root adapter.QName, make bool) (int32, error) {
	if root == (adapter.QName{}) {
		return 0, nil
	}
	if id, ok := n.roots.Load(root); ok {
		return id.(int32), nil
	}
	id, err := number(ctx, pool, make,
		"SELECT id FROM root_name WHERE space = $1 AND local = $2",
		"INSERT INTO root_name (space, local) VALUES ($1, $2) ON CONFLICT DO NOTHING",
		root.Space, root.Local)
	if err == nil && id != 0 {
		n.roots.Store(root, id)
		n.root.Store(id, root)
	}
	return id, err
}

// queuesGone is SQL that says whether the database lacks one of the queues of two arrays,
// each there once: their numbers, and what numberedQueue says of them.
func queuesGone(ids, are int) string {
	return fmt.Sprintf(`(SELECT count(*) FROM queue_name WHERE id = ANY ($%[1]d::int[]) AND id || ' ' || system || ' ' || kind || ' ' || node = ANY ($%[2]d::text[])) <> coalesce(cardinality($%[1]d), 0)`, ids, are)
}

// rootsGone is the same of root elements.
func rootsGone(ids, are int) string {
	return fmt.Sprintf(`(SELECT count(*) FROM root_name WHERE id = ANY ($%[1]d::int[]) AND id || ' ' || space || ' ' || local = ANY ($%[2]d::text[])) <> coalesce(cardinality($%[1]d), 0)`, ids, are)
}

// numbersGone is SQL that says whether the database lacks one of the kinds of messages, the
// queues or the root elements of five arrays.
func numbersGone(kinds, queues, queueIs, roots, rootIs int) string {
	return fmt.Sprintf("(SELECT count(*) FROM message_kind WHERE id = ANY ($%[1]d::bigint[])) <> coalesce(cardinality($%[1]d), 0) OR ", kinds) +
		queuesGone(queues, queueIs) + " OR " + rootsGone(roots, rootIs)
}

func numberedQueue(id int32, q adapter.Queue) string {
	return strconv.Itoa(int(id)) + " " + string(q.System) + " " + string(q.Kind) + " " + q.Node
}

func numberedRoot(id int32, root adapter.QName) string {
	return strconv.Itoa(int(id)) + " " + root.Space + " " + root.Local
}

var errNumbersGone = errors.New("the database loses names of queues, root elements or kinds of messages as soon as they are noted")

// namesLost has what the database has lost looked up again. tries says how often that
// was so for the same work: once it will do.
func (s *Store) namesLost(tries int) error {
	if tries == 3 {
		return errNumbersGone
	}
	s.log.Warn("the database has lost names that were noted: they are noted again")
	s.names.forget()
	return nil
}

// sweepNames looks whether the numbers of queues and root elements that this node
// remembers are those of the database: one that only hands out and reads writes by none.
func (s *Store) sweepNames(ctx context.Context, now time.Time) error {
	if d := now.Sub(s.sweeps.names); d >= 0 && d < countFold {
		return nil
	}
	var named numbered // of thousands of parties, each once: none is looked for among the others
	s.names.queues.Range(func(q, id any) bool {
		named.queues, named.queueIs = append(named.queues, id.(int32)), append(named.queueIs, numberedQueue(id.(int32), q.(adapter.Queue)))
		return true
	})
	s.names.roots.Range(func(root, id any) bool {
		named.roots, named.rootIs = append(named.roots, id.(int32)), append(named.rootIs, numberedRoot(id.(int32), root.(adapter.QName)))
		return true
	})
	var gone bool
	err := s.pool.QueryRow(ctx, "SELECT "+queuesGone(1, 2)+" OR "+rootsGone(3, 4), named.queues, named.queueIs, named.roots, named.rootIs).Scan(&gone)
	switch {
	case err != nil:
		return fmt.Errorf("looking for the names of queues and root elements: %w", err)
	case gone:
		return s.namesLost(0)
	}
	s.sweeps.names = now
	return nil
}

func number(ctx context.Context, pool *sessions, make bool, find, insert string, args ...any) (id int32, err error) {
	err = pool.QueryRow(ctx, find, args...).Scan(&id)
	if !errors.Is(err, pgx.ErrNoRows) {
		return id, err
	}
	if !make {
		return 0, nil
	}
	if _, err := pool.Exec(ctx, insert, args...); err != nil {
		return 0, err
	}
	return id, pool.QueryRow(ctx, find, args...).Scan(&id)
}

// queueOf and rootOf translate back.
func (n *names) queueOf(ctx context.Context, pool *sessions, id int32) (adapter.Queue, error) {
	if q, ok := n.queue.Load(id); ok {
		return q.(adapter.Queue), nil
	}
	var q adapter.Queue
	err := pool.QueryRow(ctx, "SELECT system, kind, node FROM queue_name WHERE id = $1", id).Scan(&q.System, &q.Kind, &q.Node)
	if err == nil {
		n.queues.Store(q, id)
		n.queue.Store(id, q)
	}
	return q, err
}

func (n *names) rootOf(ctx context.Context, pool *sessions, id int32) (adapter.QName, error) {
	if id == 0 {
		return adapter.QName{}, nil
	}
	if r, ok := n.root.Load(id); ok {
		return r.(adapter.QName), nil
	}
	var r adapter.QName
	err := pool.QueryRow(ctx, "SELECT space, local FROM root_name WHERE id = $1", id).Scan(&r.Space, &r.Local)
	if err == nil {
		n.roots.Store(r, id)
		n.root.Store(id, r)
	}
	return r, err
}
