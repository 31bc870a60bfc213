package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	neturl "net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
)

// Random rows of every table of the log are changed, removed or doubled past the
// triggers, one at a time, and put back afterwards: the
// examination or the audit finds each.
func TestNoMutationOfARowGoesUnnoticed(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	a.rows()
	events := journaltest.Events(101, 600)
	a.fill(events[:500])
	a.must(a.Tally(ctx))
	a.fill(events[500:])
	checkpoint := a.Desk.Checkpoint(a.Journal).Note
	clean := func() []string {
		findings, err := a.Examine(ctx)
		a.must(err)
		var out []string
		for _, f := range findings {
			out = append(out, f.String())
		}
		for _, f := range a.Audit(a.Journal, checkpoint).Recount.Findings {
			out = append(out, f.String())
		}
		return out
	}
	if found := clean(); found != nil {
		t.Fatalf("the honest journal: %v", found)
	}
	_, err := a.pool.Exec(ctx, `ALTER TABLE journal_entry DISABLE TRIGGER USER; ALTER TABLE journal_entry_0 DISABLE TRIGGER USER; ALTER TABLE journal_tile DISABLE TRIGGER USER;
		CREATE TABLE b_entry AS TABLE journal_entry; CREATE TABLE b_tile AS TABLE journal_tile; CREATE TABLE b_edge AS TABLE journal_edge;
		CREATE TABLE b_total AS TABLE journal_tally; CREATE TABLE b_reference AS TABLE journal_reference; CREATE TABLE b_counter AS TABLE journal_counter; CREATE TABLE b_term AS TABLE journal_term`)
	a.must(err)
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	texts := []string{"kind", "message", "message_id", "original", "sender", "recipient", "service", "version", "outcome", "incident", "certificate", "channel", "reference"}
	mutation := func() string {
		i := r.IntN(600)
		switch r.IntN(13) {
		case 0, 1, 2:
			return fmt.Sprintf("UPDATE journal_entry SET %s = %s || 'x' WHERE idx = %d", texts[r.IntN(len(texts))], "left("+texts[r.IntN(len(texts))]+", 3)", i)
		case 3:
			return fmt.Sprintf("UPDATE journal_entry SET leaf = set_byte(leaf, %d, get_byte(leaf, %d) # %d) WHERE idx = %d", r.IntN(200), 7, 1+r.IntN(255), i)
		case 4:
			return fmt.Sprintf("UPDATE journal_entry SET logged = logged + interval '%d ms' WHERE idx = %d", 1+r.IntN(1e6), i)
		case 5:
			return fmt.Sprintf("DELETE FROM journal_entry WHERE idx = %d", i)
		case 6:
			table := []string{"journal_tile", "journal_edge"}[r.IntN(2)]
			return fmt.Sprintf("UPDATE %s SET data = set_byte(data, %d, get_byte(data, %d) # %d) WHERE level = 0", table, 40, 40, 1+r.IntN(255))
		case 7:
			return fmt.Sprintf("UPDATE journal_tally SET entries = entries + %d WHERE ctid = (SELECT ctid FROM journal_tally OFFSET %d LIMIT 1)", 1+r.IntN(3), r.IntN(50))
		case 8:
			return fmt.Sprintf("UPDATE journal_tally SET %s = %[1]s + %d WHERE ctid = (SELECT ctid FROM journal_tally OFFSET %d LIMIT 1)", []string{"first", "last"}[r.IntN(2)], 1+r.IntN(3), r.IntN(50))
		case 11:
			return fmt.Sprintf("UPDATE journal_entry SET test = NOT test WHERE idx = %d", i)
		case 12:
			return fmt.Sprintf("DELETE FROM journal_reference WHERE ctid = (SELECT ctid FROM journal_reference OFFSET %d LIMIT 1)", r.IntN(5))
		case 9:
			return fmt.Sprintf("DELETE FROM journal_term WHERE ctid = (SELECT ctid FROM journal_term OFFSET %d LIMIT 1)", r.IntN(40))
		}
		return fmt.Sprintf("UPDATE journal_counter SET sent = sent + %d WHERE party = (SELECT party FROM journal_counter ORDER BY party OFFSET %d LIMIT 1)", 1+r.IntN(3), r.IntN(20))
	}
	n := 120
	if testing.Short() {
		n = 30
	}
	for range n {
		sql := mutation()
		tag, err := a.pool.Exec(ctx, sql)
		a.must(err)
		var same bool
		a.must(a.pool.QueryRow(ctx, `SELECT NOT EXISTS (TABLE journal_entry EXCEPT TABLE b_entry) AND (SELECT count(*) FROM journal_entry) = 600
			AND NOT EXISTS (TABLE journal_tile EXCEPT TABLE b_tile) AND NOT EXISTS (TABLE journal_edge EXCEPT TABLE b_edge)
			AND NOT EXISTS (TABLE journal_tally EXCEPT TABLE b_total) AND NOT EXISTS (TABLE b_reference EXCEPT TABLE journal_reference) AND NOT EXISTS (TABLE b_term EXCEPT TABLE journal_term) AND NOT EXISTS (TABLE journal_counter EXCEPT TABLE b_counter)`).Scan(&same))
		if found := clean(); (found == nil) != same {
			t.Errorf("%s (%d rows): found %v, changed nothing: %v", sql, tag.RowsAffected(), found, same)
		}
		_, err = a.pool.Exec(ctx, `TRUNCATE journal_entry, journal_tile, journal_edge, journal_tally, journal_reference, journal_counter, journal_term; INSERT INTO journal_entry TABLE b_entry; INSERT INTO journal_tile TABLE b_tile;
			INSERT INTO journal_edge TABLE b_edge; INSERT INTO journal_tally TABLE b_total; INSERT INTO journal_reference TABLE b_reference; INSERT INTO journal_counter TABLE b_counter;
			INSERT INTO journal_term TABLE b_term`)
		a.must(err)
	}
	if found := clean(); found != nil {
		t.Fatalf("after all was undone: %v", found)
	}
}

// ofBefore takes from events what an older gateway does not tell.
func ofBefore(events []journal.Event) []journal.Event {
	for i := range events {
		events[i].Channel, events[i].Reference, events[i].Test = "", "", false
	}
	return events
}

// A log that an older gateway has written is found by its terms and counted by
// its totals after the change, and again after a step back and forth.
func TestAnOldLogGetsTermsAndTotals(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	a.rows()
	events := ofBefore(journaltest.Events(103, 2600))
	a.fill(events[:1500])
	a.Clock.Move(40 * time.Hour)
	a.fill(events[1500:2500])
	a.must(a.Tally(ctx))
	a.fill(events[2500:]) // the totals are behind when the database goes back
	before, err := a.Totals(ctx, postgres.Query{}, "day", "sender")
	a.must(err)
	a.must(postgres.MigrateTo(ctx, a.url, 21))
	var old int64
	a.must(a.pool.QueryRow(ctx, "SELECT sum(entries) FROM journal_total").Scan(&old))
	var size int64
	a.must(a.pool.QueryRow(ctx, "SELECT size FROM journal_head").Scan(&size))
	if old != size {
		t.Errorf("the older gateway's totals count %d entries of %d", old, size)
	}
	a.must(postgres.Migrate(ctx, a.url))
	findings, err := a.Examine(ctx)
	if err != nil || findings != nil {
		t.Errorf("after the change: %v, %v", findings, err)
	}
	after, err := a.Totals(ctx, postgres.Query{}, "day", "sender")
	if err != nil || !slices.Equal(before, after) {
		t.Errorf("totals %v, %v; want %v", after, err, before)
	}
	q := postgres.Query{Sender: "MUNI07", Kind: journal.KindDelivered, Limit: 1000}
	rows, err := a.Search(ctx, q)
	a.must(err)
	if n, err := a.Count(ctx, q); err != nil || n == 0 || int64(len(rows)) != n {
		t.Errorf("%d entries found, %d counted, %v", len(rows), n, err)
	}
	a.fill(journaltest.Events(104, 100)) // and it goes on
	if findings, err := a.Examine(ctx); err != nil || findings != nil {
		t.Errorf("later: %v, %v", findings, err)
	}
}

// What an older gateway has counted is counted on, and what it goes on to count
// beside this one is nobody else's business.
func TestTotalsOfARunningUpgrade(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	a.rows()
	events := journaltest.Events(105, 900)
	ofBefore(events[:600])
	a.fill(events[:400])
	const older = `INSERT INTO journal_total AS t (day, kind, sender, recipient, service, version, outcome, entries, first, last)
		SELECT (logged AT TIME ZONE 'UTC')::date, kind, sender, recipient, service, version, outcome, count(*), min(idx), max(idx)
		FROM journal_entry WHERE idx >= (SELECT rolled FROM journal_head) GROUP BY 1, 2, 3, 4, 5, 6, 7
		ON CONFLICT (day, kind, sender, recipient, service, version, outcome) DO UPDATE SET entries = t.entries + excluded.entries, last = excluded.last;
		UPDATE journal_head SET rolled = size`
	a.must(postgres.MigrateTo(ctx, a.url, 64))
	_, err := a.pool.Exec(ctx, older+`; DROP TABLE journal_tally, journal_reference; ALTER TABLE journal_head DROP COLUMN tallied;
		ALTER TABLE journal_entry DROP COLUMN channel, DROP COLUMN reference, DROP COLUMN test`)
	a.must(err)
	a.must(postgres.Migrate(ctx, a.url))
	check := func(want int64) {
		t.Helper()
		if findings, err := a.Examine(ctx); err != nil || findings != nil {
			t.Errorf("%v, %v", findings, err)
		}
		if n, err := a.Count(ctx, postgres.Query{From: journaltest.Start.AddDate(0, 0, -1)}); err != nil || n != want {
			t.Errorf("%d entries are counted, %v, want %d", n, err, want)
		}
	}
	check(400)
	a.fill(events[400:600])
	_, err = a.pool.Exec(ctx, older)
	a.must(err)
	check(600)
	a.must(a.Tally(ctx))
	a.fill(events[600:])
	a.must(a.Tally(ctx))
	check(900)
	if n, err := a.Count(ctx, postgres.Query{Tests: postgres.TestsOnly}); err != nil || n == 0 || n > 300 {
		t.Errorf("%d entries of tests are counted, %v", n, err)
	}
}

// How the database writes dates is its owner's business: days are days for all of
// that, in totals, in the examination and in the queries of the desk.
func TestDatesOfTheDatabase(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	a.fill(journaltest.Events(7, 300))
	a.must(a.Tally(ctx))
	want, err := a.Totals(ctx, postgres.Query{}, "day")
	a.must(err)
	var name string
	a.must(a.pool.QueryRow(ctx, "SELECT current_database()").Scan(&name))
	url := a.url
	for _, style := range []string{"SQL, DMY", "German", "Postgres, MDY"} {
		_, err = a.pool.Exec(ctx, fmt.Sprintf("ALTER DATABASE %q SET datestyle = '%s'; ALTER DATABASE %q SET intervalstyle = 'iso_8601'", name, style, name))
		a.must(err)
		// The session's own setting, as when a pooler hands out one that is not ours.
		a.url = url + "&datestyle=" + neturl.PathEscape(style)
		if !strings.Contains(url, "?") {
			a.url = strings.Replace(a.url, "&", "?", 1)
		}
		j, pool := a.node(t, nil)
		var in string
		a.must(pool.QueryRow(ctx, "SELECT ('2026-02-03'::date)::text").Scan(&in))
		if in == "2026-02-03" {
			t.Fatalf("the style %s is not in force", style)
		}
		findings, err := j.Examine(ctx)
		if err != nil || findings != nil {
			t.Errorf("%s: the examination finds %v %v", style, findings, err)
		}
		got, err := j.Totals(ctx, postgres.Query{}, "day")
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: totals %v, want %v (%v)", style, got, want, err)
		}
		from := time.Date(2026, 3, 2, 9, 5, 0, 0, time.UTC)
		n, err := j.Count(ctx, postgres.Query{From: from})
		a.must(err)
		if m, err := a.Count(ctx, postgres.Query{From: from}); err != nil || n != m {
			t.Errorf("%s: %d entries from %s on, want %d (%v)", style, n, from, m, err)
		}
	}
}
