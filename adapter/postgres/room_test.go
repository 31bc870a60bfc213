package postgres

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"mezhved/adapter/embedded"
)

// With room made for it a statement of many arguments is written without growing again.
func TestRoomIsMadeOnce(t *testing.T) {
	f := pgproto3.NewFrontend(bytes.NewReader(nil), io.Discard)
	bind := &pgproto3.Bind{PreparedStatement: "stmt_0123456789"}
	var args []any
	for range 20 {
		p := make([]byte, 2000)
		bind.Parameters, args = append(bind.Parameters, p), append(args, p)
	}
	writes := func(make bool) float64 {
		return testing.AllocsPerRun(100, func() {
			if make {
				f.Send(room{statementRoom(args), nil})
			}
			f.SendBind(bind)
			if err := f.Flush(); err != nil {
				t.Fatal(err)
			}
		})
	}
	if with, without := writes(true), writes(false); with > 3 || without <= with { // the room, its number, and the small one after it
		t.Errorf("%v allocations with room, %v without", with, without)
	}
}

// seen is a message of no bytes that sees what the driver writes next ones into.
type seen struct{ to []byte }

func (*seen) Frontend()           {}
func (*seen) Decode([]byte) error { return nil }
func (s *seen) Encode(to []byte) ([]byte, error) {
	s.to = to
	return to, nil
}

// What is lent to a connection is its own until the statement has ended, and nothing that it
// writes afterwards stands there, however little the statement was.
func TestNothingIsWrittenIntoWhatWasTakenBack(t *testing.T) {
	for _, size := range []int{10, 5000} {
		f, l, s := pgproto3.NewFrontend(bytes.NewReader(nil), io.Discard), &lent{}, &seen{}
		f.Send(room{6000, l})
		f.SendBind(&pgproto3.Bind{Parameters: [][]byte{make([]byte, size)}})
		f.Send(s)
		if len(l.buffers) != 1 || unsafe.SliceData(s.to) != unsafe.SliceData(*l.buffers[0]) {
			t.Fatalf("%d bytes are not written into what is lent", size)
		}
		if err := f.Flush(); err != nil {
			t.Fatal(err)
		}
		lent := unsafe.SliceData(*l.buffers[0])
		l.takeBack(f)
		if f.Send(s); unsafe.SliceData(s.to) == lent || len(l.buffers) != 0 {
			t.Errorf("after %d bytes the driver goes on writing into what was taken back", size)
		}
	}
}

// Of a connection that broke off nothing is taken back for others: the driver says beside that
// it leaves, and may write that there.
func TestWhatABrokenConnectionIsLentIsNoOthers(t *testing.T) {
	pool, err := openSessions(t.Context(), Options{URL: embedded.Test(t, func(context.Context, string) error { return nil }), Connections: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	c, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	l, text := lentTo(c.Conn()), fmt.Sprintf("%05000d", 1)
	if _, err := c.Exec(t.Context(), "SELECT $1::text", text); err != nil || len(l.buffers) != 0 || cap(l.buffers) == 0 {
		t.Fatalf("%v: %d of %d are not taken back", err, len(l.buffers), cap(l.buffers))
	}
	if _, err := c.Exec(t.Context(), "SELECT pg_terminate_backend(pg_backend_pid()), $1::text", text); err == nil || !c.Conn().IsClosed() {
		t.Fatalf("%v: the connection has not broken off", err)
	}
	if cap(l.buffers) != 0 {
		t.Error("what a connection was lent that broke off is taken back")
	}
}

// Statements of all sizes at once, alone, in batches and copied, arrive as they were made.
func TestLentBuffersAreNotShared(t *testing.T) {
	pool, err := openSessions(t.Context(), Options{URL: embedded.Test(t, func(context.Context, string) error { return nil }), Connections: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var callers sync.WaitGroup
	for n := range 4 {
		callers.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(n)))
			texts := func() (list []string, flags []bool) {
				for range random.IntN(80) {
					list = append(list, fmt.Sprintf("%d %0*d", n, random.IntN(300), random.IntN(1000)))
					flags = append(flags, random.IntN(2) == 0)
				}
				return list, flags
			}
			for range 200 {
				list, flags := texts()
				var got []string
				var gotFlags []bool
				if err := pool.QueryRow(t.Context(), "SELECT $1::text[], $2::bool[]", list, flags).Scan(&got, &gotFlags); err != nil || !slices.Equal(got, list) || !slices.Equal(gotFlags, flags) {
					t.Errorf("%v: %d texts and %d flags have become others", err, len(list), len(flags))
					return
				}
				batch := &pgx.Batch{}
				want := 0
				for range random.IntN(4) {
					list, _ := texts()
					batch.Queue("SELECT $1::text[]", list).QueryRow(func(row pgx.Row) error {
						var got []string
						if err := row.Scan(&got); err != nil || !slices.Equal(got, list) {
							return fmt.Errorf("%w: %d texts of a batch have become others", err, len(list))
						}
						want--
						return nil
					})
					want++
				}
				if err := pool.SendBatch(t.Context(), batch).Close(); err != nil || want != 0 {
					t.Errorf("%v, %d statements without an answer", err, want)
					return
				}
			}
		})
	}
	callers.Wait()
}
