package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
)

// A time that begins and ends within days is counted by what stretches come to: of the
// entries themselves only those at its two ends are read, however many are between.
func TestPartsOfDaysAreCountedByStretches(t *testing.T) {
	const every = 512
	defer postgres.TallyEvery(every)()
	ctx := context.Background()
	a := openArchive(t)
	events := journaltest.Events(71, 8000)
	for i := range events { // in three days
		events[i].Time = journaltest.Start.Add(time.Duration(i) * 30 * time.Second)
	}
	for i := 0; i < len(events); i += 100 {
		a.Clock.Move(events[i].Time.Sub(a.Clock.Now()))
		a.fill(events[i : i+100])
	}
	want := func(from, to time.Time) (byKind map[string]int64) {
		byKind = map[string]int64{}
		for _, row := range a.everything() {
			if l := row.Leaf; !l.Logged.Before(from) && l.Logged.Before(to) {
				byKind[string(l.Kind)]++
			}
		}
		return byKind
	}
	var asked blocksAsked
	j, _ := a.node(t, &asked)
	day := journaltest.Start.Truncate(24 * time.Hour)
	for _, of := range [][2]time.Time{
		{day.Add(11 * time.Hour), day.Add(20 * time.Hour)}, // within a day
		{day.Add(21 * time.Hour), day.Add(45 * time.Hour)}, // a day in Moscow
		{day.Add(9 * time.Hour), day.Add(70 * time.Hour)},
	} {
		asked.entries = 0
		totals, err := j.Totals(ctx, postgres.Query{From: of[0], To: of[1]}, "kind")
		a.must(err)
		by := want(of[0], of[1])
		for _, total := range totals {
			if total.Entries != by[total.Kind] {
				t.Errorf("from %s to %s %d are %s, want %d", of[0], of[1], total.Entries, total.Kind, by[total.Kind])
			}
			delete(by, total.Kind)
		}
		if len(by) > 0 {
			t.Errorf("from %s to %s none are %v", of[0], of[1], by)
		}
		if asked.entries > 4*every {
			t.Errorf("from %s to %s %d entries were read, want those of the ends", of[0], of[1], asked.entries)
		}
	}
}

// blocksAsked adds up how many entries the questions to blocks are about.
type blocksAsked struct{ entries int64 }

func (a *blocksAsked) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	if strings.HasPrefix(d.SQL, "SELECT first, entries, columns, NULL AS leaves FROM journal_block") {
		a.entries += d.Args[1].(int64) - d.Args[0].(int64)
	}
	return ctx
}

func (*blocksAsked) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// What is put down of a stretch is examined: whoever changes it is found out, and a recount
// makes it anew.
func TestWhatStretchesComeToIsExamined(t *testing.T) {
	defer postgres.TallyEvery(300)()
	ctx := context.Background()
	a := openArchive(t)
	events := journaltest.Events(72, 2000)
	for i := 0; i < len(events); i += 100 {
		a.fill(events[i : i+100])
	}
	examined := func() (found []string) {
		findings, err := a.Examine(ctx)
		a.must(err)
		for _, f := range findings {
			found = append(found, f.String())
		}
		return found
	}
	var rows int
	a.must(a.pool.QueryRow(ctx, "SELECT count(*) FROM journal_sum").Scan(&rows))
	if found := examined(); rows < 5 || found != nil {
		t.Fatalf("%d stretches, and of an honest log it is found: %v", rows, found)
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for range 30 {
		sql := []string{
			"UPDATE journal_sum SET entries = entries + %d WHERE first = (SELECT first FROM journal_sum ORDER BY first OFFSET %d LIMIT 1)",
			"UPDATE journal_sum SET first = first + %d WHERE first = (SELECT first FROM journal_sum ORDER BY first OFFSET %d LIMIT 1)",
			"UPDATE journal_sum s SET sums = o.sums FROM (SELECT sums FROM journal_sum ORDER BY first DESC LIMIT %d) o WHERE first = (SELECT first FROM journal_sum ORDER BY first OFFSET %d LIMIT 1) AND s.sums <> o.sums",
		}[r.IntN(3)]
		sql = fmt.Sprintf(sql, 1+r.IntN(3), r.IntN(rows-1))
		tag, err := a.pool.Exec(ctx, sql)
		a.must(err)
		if found := examined(); found == nil && tag.RowsAffected() > 0 {
			t.Errorf("%s: nothing is found", sql)
		}
		a.must(a.Recount(ctx))
		if found := examined(); found != nil {
			t.Fatalf("%s: after a recount it is found: %v", sql, found)
		}
		a.must(a.pool.QueryRow(ctx, "SELECT count(*) FROM journal_sum").Scan(&rows))
	}
	if rows < 5 {
		t.Errorf("a recount makes %d stretches", rows)
	}
}

// A damaged row is told and not counted.
func TestADamagedSumIsTold(t *testing.T) {
	defer postgres.TallyEvery(300)()
	ctx := context.Background()
	a := openArchive(t)
	a.fill(journaltest.Events(73, 700))
	_, err := a.pool.Exec(ctx, `UPDATE journal_sum SET sums = '\x00'`)
	a.must(err)
	first := a.everything()[0].Leaf.Logged
	_, err = a.Totals(ctx, postgres.Query{From: first.Add(-time.Second), To: first.Add(23 * time.Hour)}, "kind")
	var broken *journal.BrokenError
	if !errors.As(err, &broken) {
		t.Errorf("a count ends with %v, want that it says what is damaged", err)
	}
}
