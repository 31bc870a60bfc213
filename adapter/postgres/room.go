package postgres

import (
	"context"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

// roomy makes room for a statement in what the driver writes to the server, before it
// does. The driver lets that grow argument by argument, by a quarter each time, and has
// it copied as often: of a batch of accepts several times what the batch is. It is a
// tracer because a tracer hears of a statement and its arguments before anything is
// encoded, on whatever way it comes. The driver gives the room back after each round trip.
type roomy struct{}

// TraceQueryStart is pgx.QueryTracer's.
func (roomy) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	makeRoom(conn, statementRoom(data.Args))
	return ctx
}

// TraceQueryEnd is pgx.QueryTracer's.
func (roomy) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

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
func (roomy) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// driverRoom is what the driver has anyway.
const driverRoom = 1 << 10

func makeRoom(conn *pgx.Conn, bytes int) {
	if bytes > driverRoom {
		conn.PgConn().Frontend().Send(room(bytes))
	}
}

// room is a message to the server of no bytes: all that comes of it is that there is room
// for so many of those that follow.
type room int

// Frontend is pgproto3.FrontendMessage's.
func (room) Frontend() {}

// Decode is pgproto3.Message's.
func (room) Decode([]byte) error { return nil }

// Encode is pgproto3.Message's.
func (r room) Encode(to []byte) ([]byte, error) { return slices.Grow(to, int(r)), nil }

var _ pgproto3.FrontendMessage = room(0)

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
