package postgres_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/postgres"
)

// The sweep finds leases that ran out, in whatever order they were taken, without reading
// what waits behind them.
func TestTheSweepReadsWhatIsOut(t *testing.T) {
	straightAndPooled(t, func(t *testing.T, w *world) {
		const many, out = 8_000, 30
		vip := func(m *adapter.Message) { m.VIP = true }
		w.put(w.of("egrn", 1)...)
		if err := postgres.Deepen(t.Context(), w.Store, "RRTR01", 0, many); err != nil {
			t.Fatal(err)
		}
		w.put(w.of("passport", 2, vip)...)
		w.put(w.of("passport", 300)...)
		root := adapter.QName{Space: "urn:x:passport", Local: "Other"}
		others := w.of("passport", 3)
		for _, m := range others {
			m.Root = root
		}
		w.put(others...)
		until := w.now.Add(time.Minute)
		for i := range out {
			p := adapter.Poll{For: time.Minute}
			if i >= out-3 {
				p.Roots = []adapter.QName{root} // behind 300 of its lane
			}
			if d := w.lease(p); d == nil {
				t.Fatal("poll", i)
			}
		}
		w.exec("VACUUM ANALYZE queue")
		w.query(func(c *pgx.Conn) error {
			ctx := context.Background()
			if _, err := c.Exec(ctx, "BEGIN; "+postgres.ByIndexSQL); err != nil {
				return err
			}
			rows, _ := c.Query(ctx, "EXPLAIN (ANALYZE, BUFFERS, TIMING off, SUMMARY off) "+strings.NewReplacer("$1", "'"+until.Add(time.Second).Format(time.RFC3339Nano)+"'", "$2", "500").Replace(postgres.RanOutSQL), pgx.QueryExecModeSimpleProtocol)
			plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return err
			}
			read, here := 0, 0 // rows, and how often they were read in the step at hand
			for _, line := range plan {
				if _, actual, ok := strings.Cut(line, "(actual rows="); ok {
					var n int
					if _, err := fmt.Sscanf(actual, "%d loops=%d", &n, &here); err != nil {
						return err
					}
					if strings.Contains(line, " on queue ") {
						read += n * here
					}
				}
				if _, removed, ok := strings.Cut(line, "Rows Removed by Filter: "); ok {
					n, err := strconv.Atoi(removed)
					if err != nil {
						return err
					}
					read += n * here
				}
			}
			if most := 8 * (out + 4*64); read < out || read > most || strings.Contains(strings.Join(plan, ""), "Seq Scan") {
				t.Errorf("%d rows were read for %d that are out, of %d; want %d at most\n%s", read, out, many, most, strings.Join(plan, "\n"))
			}
			_, err = c.Exec(ctx, "ROLLBACK")
			return err
		})
		if swept, err := w.Sweep(t.Context(), until.Add(time.Second)); err != nil || swept.Returned != out {
			t.Errorf("%d leases returned, want %d; %v", swept.Returned, out, err)
		}
	})
}
