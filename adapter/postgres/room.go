package postgres

import (
	"context"
	"reflect"
	"sync"
	"unsafe"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

// roomy makes room for a statement in what the driver writes to the server, before it
// does. The driver lets that grow argument by argument, by a quarter each time, and has
// it copied as often: of a batch of accepts several times what the batch is. It is a
// tracer because a tracer hears of a statement and its arguments before anything is
// encoded, on whatever way it comes, and when it has ended: the driver keeps no large
// room for the next statement, so it is lent what others have left.
type roomy struct{}

// TraceQueryStart is pgx.QueryTracer's.
func (roomy) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	makeRoom(conn, statementRoom(data.Args))
	return ctx
}

// TraceQueryEnd is pgx.QueryTracer's.
func (roomy) TraceQueryEnd(_ context.Context, conn *pgx.Conn, _ pgx.TraceQueryEndData) {
	takeBack(conn)
}

// TraceBatchStart is pgx.BatchTracer's.
func (roomy) TraceBatchStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	bytes := 0
	for _, q := range data.Batch.QueuedQueries {
		bytes += statementRoom(q.Arguments)
	}
	makeRoom(conn, bytes)
	return ctx
}

// TraceBatchQuery is pgx.BatchTracer's.
func (roomy) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd is pgx.BatchTracer's.
func (roomy) TraceBatchEnd(_ context.Context, conn *pgx.Conn, _ pgx.TraceBatchEndData) {
	takeBack(conn)
}

// driverRoom is what the driver has anyway.
const driverRoom = 1 << 10

func makeRoom(conn *pgx.Conn, bytes int) {
	if bytes > driverRoom && !conn.PgConn().IsClosed() {
		conn.PgConn().Frontend().Send(room{bytes, lentTo(conn)})
	}
}

// room is a message to the server of no bytes: all that comes of it is that there is room
// for so many of those that follow.
type room struct {
	bytes int
	lent  *lent
}

// Frontend is pgproto3.FrontendMessage's.
func (room) Frontend() {}

// Decode is pgproto3.Message's.
func (room) Decode([]byte) error { return nil }

// Encode is pgproto3.Message's.
func (r room) Encode(to []byte) ([]byte, error) {
	if cap(to)-len(to) >= r.bytes {
		return to, nil
	}
	return append(r.lent.buffer(len(to)+r.bytes), to...), nil
}

var _, _ pgproto3.FrontendMessage = room{}, (*lent)(nil)

// lent are the buffers that a connection's statements stand in, their arguments and what is
// written to the server, from their encoding until they have ended. Then they are for
// whoever comes next. Nil: none are lent, each is made anew.
type lent struct{ buffers []*[]byte }

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// Of buffers: the smallest that is worth while, and the largest that is kept.
const (
	leastLent = 16 << 10
	mostLent  = 512 << 10
)

const lentKey = "mezhved.lent"

// lend has a connection lent buffers. It must have a tracer that takes them back.
func lend(conn *pgx.Conn) *lent {
	l := &lent{}
	conn.PgConn().CustomData()[lentKey] = l
	return l
}

func lentTo(conn *pgx.Conn) *lent {
	l, _ := conn.PgConn().CustomData()[lentKey].(*lent)
	return l
}

// buffer is an empty one of so many bytes at least.
func (l *lent) buffer(bytes int) []byte {
	if l == nil || bytes > mostLent {
		return make([]byte, 0, bytes)
	}
	b := buffers.Get().(*[]byte)
	if cap(*b) < bytes {
		*b = make([]byte, 0, max(bytes, leastLent))
	}
	l.buffers = append(l.buffers, b)
	return (*b)[:0]
}

// takeBack takes back what a connection is lent. Of one that broke off nothing comes back: the
// driver may still write with it, beside, to say that it leaves.
func takeBack(conn *pgx.Conn) {
	if l := lentTo(conn); l != nil && conn.PgConn().IsClosed() {
		l.buffers = nil
	} else {
		l.takeBack(conn.PgConn().Frontend())
	}
}

// takeBack takes all back when a statement has ended. Of its arguments the driver then
// looks at nothing any more; what it writes with it has replaced, unless that was little,
// so it is made to: l is a message to the server of no bytes, too.
func (l *lent) takeBack(driver *pgproto3.Frontend) {
	if l == nil || len(l.buffers) == 0 {
		return
	}
	driver.Send(l)
	for i, b := range l.buffers {
		buffers.Put(b)
		l.buffers[i] = nil
	}
	l.buffers = l.buffers[:0]
}

// Frontend is pgproto3.FrontendMessage's.
func (*lent) Frontend() {}

// Decode is pgproto3.Message's.
func (*lent) Decode([]byte) error { return nil }

// Encode is pgproto3.Message's. It gives the driver a buffer that is not lent.
func (l *lent) Encode(to []byte) ([]byte, error) {
	for _, b := range l.buffers {
		if unsafe.SliceData(*b) == unsafe.SliceData(to) {
			return append(make([]byte, 0, max(driverRoom, len(to))), to...), nil
		}
	}
	return to, nil
}

// statementRoom is about how many bytes a statement that is prepared takes on its way.
func statementRoom(args []any) int {
	bytes := 128 // its name, and what is asked beside
	for _, arg := range args {
		bytes += 8 + argumentRoom(arg)
	}
	return bytes
}

// argumentRoom is how many bytes an argument takes, or some more.
func argumentRoom(arg any) int {
	const header = 20 // of an array
	switch v := arg.(type) {
	case []byte:
		return len(v)
	case string:
		return len(v)
	}
	if list := reflect.ValueOf(arg); list.Kind() == reflect.Slice {
		return header + arrayRoom(arg, list.Len())
	}
	return 16
}
