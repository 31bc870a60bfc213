package postgres

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Total is how many entries have the same day, service or outcome: whatever
// Totals was asked to group by; other fields are empty.
type Total struct {
	Day     string // 2026-03-02, UTC
	Kind    string
	Sender  string
	Service string
	Version string
	Outcome string
	Channel string
	Test    string // "true" or "false"
	Entries int64
}

// groupable are the columns by which Totals groups.
var groupable = []string{"day", "kind", "sender", "service", "version", "outcome", "channel", "test"}

// groupedBy are their places among the columns that totals selects.
const groupedBy = "1, 2, 3, 4, 5, 6, 7, 8"

// Count is the exact number of entries that the query asks for.
func (j *Journal) Count(ctx context.Context, q Query) (int64, error) {
	totals, err := j.Totals(ctx, q)
	if err != nil || len(totals) == 0 {
		return 0, err
	}
	return totals[0].Entries, nil
}

// Totals counts the entries that the query asks for, grouped by any of day,
// kind, sender, service, version, outcome, channel, test, in that order. Whole days come from
// the daily totals, the rest from what stretches of the log come to, and its ends are counted;
// all of it is exact, and read from one
// snapshot. Entries that retention has taken stay counted in whole days.
func (j *Journal) Totals(ctx context.Context, q Query, by ...string) ([]Total, error) {
	for _, column := range by {
		if !slices.Contains(groupable, column) {
			return nil, fmt.Errorf("totals by %q: it can be one of %s", column, strings.Join(groupable, ", "))
		}
	}
	var out []Total
	err := pgx.BeginTxFunc(ctx, j.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		grouped, err := j.totals(ctx, tx, &q, by)
		out = slices.SortedFunc(maps.Values(grouped), compareTotals)
		return err
	})
	return out, err
}

// compareTotals is the order of Totals.
func compareTotals(a, b Total) int {
	return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Sender, b.Sender), cmp.Compare(a.Service, b.Service),
		cmp.Compare(a.Version, b.Version), cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Test, b.Test))
}

// grouping adds up what is counted, by the columns that were asked for.
type grouping struct {
	by   map[string]bool
	sums map[Total]Total // by itself without a number
}

func (g *grouping) add(t Total) {
	if t.Entries == 0 {
		return
	}
	k := t
	k.Entries = 0
	t.Entries += g.sums[k].Entries
	g.sums[k] = t
}

// addDay adds entries of a combination.
func (g *grouping) addDay(day string, c *combination, n int64) {
	t := Total{Entries: n}
	for _, v := range []struct {
		name, value string
		into        *string
	}{{"day", day, &t.Day}, {"kind", c.kind, &t.Kind}, {"sender", c.sender, &t.Sender}, {"service", c.service, &t.Service}, {"version", c.version, &t.Version},
		{"outcome", c.outcome, &t.Outcome}, {"channel", c.channel, &t.Channel}, {"test", strconv.FormatBool(c.test), &t.Test}} {
		if g.by[v.name] {
			*v.into = v.value
		}
	}
	g.add(t)
}

const oneDay = 24 * time.Hour

// dayText is a day of the totals as we write it; a cast to text would follow the
// database's datestyle.
const dayText = "to_char(day, 'YYYY-MM-DD')"

// totals counts by group over up to three parts, the days that the time covers wholly
// and the pieces before and after them. Of the pieces, rows are counted in the same
// statement as the days, and blocks by what was put down of them, or their columns.
func (j *Journal) totals(ctx context.Context, db querier, q *Query, by []string) (map[Total]Total, error) {
	named, err := j.named(ctx, db, q)
	if err != nil {
		return nil, err
	}
	out := &grouping{by: map[string]bool{}, sums: map[Total]Total{}}
	for _, column := range by {
		out.by[column] = true
	}
	w := &where{}
	var parts []string
	counted := func(from, to int64) error {
		if from >= to {
			return nil
		}
		piece := &where{args: w.args}
		q.entries(named, from, to, piece)
		source, _ := q.source(from, to, piece)
		w.args = piece.args
		parts = append(parts, "SELECT "+columns(by, "to_char(logged AT TIME ZONE 'UTC', 'YYYY-MM-DD')")+", count(*) AS n FROM "+source+" WHERE "+piece.sql()+" GROUP BY "+groupedBy)
		if q.narrow() {
			return inBlocks(ctx, db, q, named, from, to, func(row Row) bool {
				c := combinationOf(&row.Leaf)
				out.addDay(row.Leaf.Logged.UTC().Format(time.DateOnly), &c, 1)
				return true
			})
		}
		return countWithin(ctx, db, q, from, to, func(k *dayCombination, n int64) { out.addDay(k.day, &k.combination, n) })
	}
	from, to, err := j.bounds(ctx, db, q)
	if err != nil {
		return nil, err
	}
	first, last := q.From.UTC().Truncate(oneDay), q.To.UTC().Truncate(oneDay)
	if first.Before(q.From) {
		first = first.Add(oneDay)
	}
	var newest pgxTime
	var tallied int64
	if err := db.QueryRow(ctx, "SELECT coalesce(logged, '-infinity'), tallied FROM journal_head").Scan(&newest, &tallied); err != nil {
		return nil, err
	}
	if q.To.IsZero() || q.To.After(time.Time(newest)) {
		last = time.Time(newest).Truncate(oneDay).Add(oneDay) // today is whole: it has no more than its total yet
	}
	if q.narrow() || !first.Before(last) {
		err = counted(from, to)
	} else {
		days := &where{args: w.args}
		days.add("day >= ?", first.Format(time.DateOnly))
		days.add("day < ?", last.Format(time.DateOnly))
		q.dimensions(days)
		w.args = days.args
		parts = append(parts, "SELECT "+columns(by, dayText)+", sum(entries) AS n FROM journal_tally WHERE "+days.sql()+" GROUP BY "+groupedBy)
		var head, tail int64
		if head, tail, err = j.bounds(ctx, db, &Query{From: first, To: last}); err == nil {
			err = counted(from, min(head, to))
		}
		if err == nil { // what the totals do not know yet, and what is beyond the last whole day
			err = counted(max(min(tail, max(head, tallied)), from), to)
		}
	}
	if err != nil || len(parts) == 0 {
		return out.sums, err
	}
	rows, _ := db.Query(ctx, "SELECT "+strings.Join(groupable, ", ")+", sum(n)::bigint FROM ("+strings.Join(parts, " UNION ALL ")+") t GROUP BY "+groupedBy, w.args...)
	var t Total
	_, err = pgx.ForEachRow(rows, []any{&t.Day, &t.Kind, &t.Sender, &t.Service, &t.Version, &t.Outcome, &t.Channel, &t.Test, &t.Entries}, func() error {
		out.add(t)
		return nil
	})
	return out.sums, err
}

// columns selects what is grouped by; the rest is empty.
func columns(by []string, day string) string {
	var out []string
	for _, name := range groupable {
		expression := "''"
		if slices.Contains(by, name) {
			expression = name
			switch name {
			case "day":
				expression = day
			case "test":
				expression = "CASE WHEN test THEN 'true' ELSE 'false' END"
			}
		}
		out = append(out, expression+" AS "+name)
	}
	return strings.Join(out, ", ")
}
