package postgres

import (
	"context"
	"errors"
	"sync"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
)

// names translates queues and root elements to their numbers. A number never
// changes, so what was once learned stays true, as long as the server does not lose its
// last commits; the statement of an accept looks.
type names struct {
	queues sync.Map // adapter.Queue -> int32
	queue  sync.Map // int32 -> adapter.Queue
	roots  sync.Map // adapter.QName -> int32
	root   sync.Map // int32 -> adapter.QName

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
