package postgres_test

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
	"mezhved/adapter/reports"
)

// Of a log that has grown nodes make a standing, once, and a report from there is the
// report from entry 0.
func TestReportsBeginWhereTheLogStands(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	events := journaltest.Events(91, 1500)
	a.fill(events)
	size := a.Desk.Checkpoint(a.Journal).Tree.N
	a.must(postgres.BeginStanding(ctx, a.pool, 1024))
	other, _ := a.node(t, nil)
	var both sync.WaitGroup
	for _, j := range []*postgres.Journal{a.Journal, other} {
		both.Go(func() {
			_, err := j.Stand(ctx, nil, j, size, nil)
			a.must(err)
		})
	}
	both.Wait()
	var n, last int64
	a.must(a.pool.QueryRow(ctx, "SELECT count(*), max(entries) FROM journal_standing").Scan(&n, &last))
	if n != 2 || last != 1024 {
		t.Fatalf("%d standings, the last behind %d entries", n, last)
	}
	if made, err := a.Stand(ctx, nil, a.Journal, size, nil); made || err != nil {
		t.Errorf("too early one more was made: %t, %v", made, err)
	}
	s, kept, err := a.Standing(ctx, reports.Rules(nil), size, events[len(events)-1].Time)
	if err != nil || s == nil || s.Entries != 1024 {
		t.Fatalf("reports of the last days begin at %+v, %d, %v", s, len(kept), err)
	}
	for _, kind := range reports.Kinds {
		from := s.Latest.Add(time.Millisecond)
		q := reports.Question{Kind: kind, Period: reports.Period{From: from, To: from.Add(72 * time.Hour)}, Tests: reports.With}
		var texts [2][]byte
		for i, standings := range []reports.Standings{nil, a.Journal} {
			r, err := reports.Make(ctx, q, a.Journal, reports.Log{Origin: journaltest.Origin, Size: size}, standings, nil)
			a.must(err)
			texts[i], err = r.JSON()
			a.must(err)
		}
		if !bytes.Equal(texts[0], texts[1]) {
			t.Errorf("%s: from entry 0\n%s\nand from a standing\n%s", kind, texts[0], texts[1])
		}
	}
	if s, _, err := a.Standing(ctx, reports.Rules(nil), 1023, s.Latest.Add(time.Hour)); err != nil || s.Entries != 0 {
		t.Errorf("a report of fewer entries begins at %+v, %v", s, err)
	}
}

// With the entries that go to the archive go the standings in front of them, but for what
// those that are left need: who begins behind one needs what ends behind it.
func TestStandingsGoWithTheirEntries(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	for _, c := range []struct {
		due  []int64 // of standings behind 100, 200 ... entries, whose latest are 1000, 2000 ...
		left []int64
	}{
		{[]int64{1500, 2500, 3500, 4500}, []int64{300, 400}},
		{[]int64{2500, 0, 0, 0}, []int64{300, 400}},
		{[]int64{1500, 3500, 0, 0}, []int64{200, 300, 400}},
		{[]int64{3500, 0, 0, 0}, []int64{100, 200, 300, 400}},
		{[]int64{0, 0, 0, 9500}, []int64{300, 400}},
	} {
		_, err := a.pool.Exec(ctx, "DELETE FROM journal_standing")
		a.must(err)
		for i, due := range c.due {
			_, err := a.pool.Exec(ctx, "INSERT INTO journal_standing (rules, entries, next, latest, last_due, open, kept) VALUES ('r', $1, 0, $2, $3, '', '')", 100*(i+1), 1000*(i+1), due)
			a.must(err)
		}
		_, err = a.pool.Exec(ctx, postgres.DropStandings, 350)
		a.must(err)
		rows, err := a.pool.Query(ctx, "SELECT entries FROM journal_standing ORDER BY 1")
		a.must(err)
		left, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if a.must(err); !slices.Equal(left, c.left) {
			t.Errorf("with terms up to %v there are left %v, want %v", c.due, left, c.left)
		}
	}
}
