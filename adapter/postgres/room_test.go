package postgres

import (
	"bytes"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
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
				f.Send(room(statementRoom(args)))
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
