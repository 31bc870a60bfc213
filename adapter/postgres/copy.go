package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// copied are rows in the binary form of COPY, written straight into one buffer.
// The driver's own CopyFrom asks the server for the columns' types each time and
// makes a value of each column first, which costs more than the rest of a row.
// Who writes a row here must know the columns' types and their order.
type copied struct {
	b    []byte
	rows int64
}

const copySignature = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"

func newCopied(room int) *copied {
	return &copied{b: append(make([]byte, 0, room+64), copySignature...)}
}

// row begins a row.
func (c *copied) row(columns int) {
	c.b = binary.BigEndian.AppendUint16(c.b, uint16(columns))
	c.rows++
}

func (c *copied) text(s string) {
	c.b = append(binary.BigEndian.AppendUint32(c.b, uint32(len(s))), s...)
}

func (c *copied) bytea(p []byte) {
	c.b = append(binary.BigEndian.AppendUint32(c.b, uint32(len(p))), p...)
}

func (c *copied) bigint(n int64) {
	c.b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(c.b, 8), uint64(n))
}

func (c *copied) bool(v bool) {
	one := byte(0)
	if v {
		one = 1
	}
	c.b = append(binary.BigEndian.AppendUint32(c.b, 1), one)
}

// postgresEpoch is where PostgreSQL's time begins.
var postgresEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (c *copied) timestamptz(t time.Time) { c.bigint(t.UnixMicro() - postgresEpoch.UnixMicro()) }

// into runs the COPY, within tx. A tracer is told of it as of the driver's own.
func (c *copied) into(ctx context.Context, tx pgx.Tx, table string, columns []string) (err error) {
	if t, ok := tx.Conn().Config().Tracer.(pgx.CopyFromTracer); ok {
		ctx = t.TraceCopyFromStart(ctx, tx.Conn(), pgx.TraceCopyFromStartData{TableName: pgx.Identifier{table}, ColumnNames: columns})
		defer func() { t.TraceCopyFromEnd(ctx, tx.Conn(), pgx.TraceCopyFromEndData{Err: err}) }()
	}
	c.b = append(c.b, 0xff, 0xff)
	tag, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(c.b), fmt.Sprintf("COPY %s (%s) FROM STDIN BINARY", table, strings.Join(columns, ", ")))
	if err == nil && tag.RowsAffected() != c.rows {
		err = fmt.Errorf("%d rows of %s were written, want %d", tag.RowsAffected(), table, c.rows)
	}
	return err
}
