package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/journal"
	"mezhved/adapter/subject"
)

// Query is an auditor's question. Empty fields do not restrict. Times are those
// at which the journal logged the entries, which is within a second of the event
// unless the journal was stopped.
type Query struct {
	From, To         time.Time // From inclusive, To exclusive
	Kind             journal.Kind
	Sender           string
	Recipient        string // the provider, for requests
	Service, Version string
	Outcome          string
	ID               string // our id, the sender's MessageID, the MessageID answered, or an incident: the whole exchange
	Certificate      string // hex SHA-256
	Incident         string
	Channel          string
	Reference        string                  // all that happened to the messages whose ReferenceMessageID it is
	Tests            Tests                   // what to do with test traffic
	Values           []journal.PersonalField // of committed fields, in any spelling, each of them; found while they are not erased

	Descending bool  // newest first
	After      int64 // the last index of the page before; with HasAfter
	HasAfter   bool
	Limit      int // of a page; 0 means 50
}

// Tests says what a question is to do with the entries of messages that are marked
// TestMessage.
type Tests string

// The ways to treat tests.
const (
	TestsToo  Tests = "" // as everything else: a journal that keeps silent of something unasked would be none
	NoTests   Tests = "no"
	TestsOnly Tests = "only"
)

// Row is one entry as the auditor sees it.
type Row struct {
	Index int64
	Leaf  journal.Leaf
	Bytes []byte
}

// where is a query as SQL: conditions over journal_entry e.
type where struct {
	conditions []string
	args       []any
}

func (w *where) add(condition string, args ...any) {
	for _, a := range args {
		w.args = append(w.args, a)
		condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(w.args)), 1)
	}
	w.conditions = append(w.conditions, condition)
}

func (w *where) sql() string {
	if len(w.conditions) == 0 {
		return "true"
	}
	return strings.Join(w.conditions, " AND ")
}

// narrow says whether the query is answered by few rows, whatever the size of
// the journal; others are counted from the daily totals.
func (q *Query) narrow() bool {
	return q.ID != "" || q.Incident != "" || q.Certificate != "" || q.Reference != "" || len(q.Values) > 0
}

// dimensions adds the conditions on columns that journal_tally has, too.
func (q *Query) dimensions(w *where) {
	for _, c := range []struct{ column, value string }{{"kind", string(q.Kind)}, {"sender", q.Sender}, {"recipient", q.Recipient},
		{"service", q.Service}, {"version", q.Version}, {"outcome", q.Outcome}, {"channel", q.Channel}} {
		if c.value == "" {
			continue
		}
		w.add(c.column+" = ?", c.value)
	}
	switch q.Tests {
	case NoTests:
		w.add("NOT test")
	case TestsOnly:
		w.add("test")
	}
}

// terms are the query's conditions that journal_term has, too.
func (q *Query) terms() []term {
	c := combination{kind: string(q.Kind), sender: q.Sender, recipient: q.Recipient, service: q.Service, outcome: q.Outcome, channel: q.Channel, test: q.Tests == TestsOnly}
	all := c.terms(0)
	return slices.DeleteFunc(all[:], func(t term) bool { return t.value == "" })
}

// source is what to select from for the query's entries within the indexes from
// and to: the whole table, or stretch by stretch those in which every one of the
// query's values stands somewhere. order sorts what is selected, without
// reading more than it must.
func (q *Query) source(from, to int64, w *where) (source, order string) {
	down := ""
	if q.Descending {
		down = " DESC"
	}
	terms := q.terms()
	if q.narrow() || len(terms) == 0 || from >= to {
		return "journal_entry", "idx" + down
	}
	var chunks []string
	c := &where{args: w.args}
	for _, t := range terms {
		c.conditions = nil
		c.add("dim = ?", t.dim)
		c.add("value = ?", t.value)
		c.add("chunk >= ?", from/chunkSize)
		c.add("chunk <= ?", (to-1)/chunkSize)
		chunks = append(chunks, "SELECT chunk FROM journal_term WHERE "+c.sql())
	}
	w.args = c.args
	return fmt.Sprintf(`(%s) c CROSS JOIN LATERAL (SELECT * FROM journal_entry WHERE idx >= c.chunk * %d AND idx < c.chunk * %[2]d + %[2]d) e`,
		strings.Join(chunks, " INTERSECT "), chunkSize), "chunk" + down + ", idx" + down
}

// entries is the query over journal_entry within the indexes from and to.
func (j *Journal) entries(ctx context.Context, db querier, q *Query, from, to int64, w *where) error {
	q.dimensions(w)
	w.add("idx >= ?", from)
	w.add("idx < ?", to)
	if q.Certificate != "" {
		w.add("certificate = ? AND certificate <> ''", strings.ToLower(q.Certificate))
	}
	if q.Incident != "" {
		w.add("incident = ? AND incident <> ''", q.Incident)
	}
	if q.Reference != "" {
		if err := chain(ctx, db, q.Reference, w); err != nil {
			return err
		}
	}
	if q.ID != "" {
		if err := exchange(ctx, db, q.ID, w); err != nil {
			return err
		}
	}
	for _, v := range q.Values {
		messages, indexes, err := j.committed(ctx, db, v)
		if err != nil {
			return err
		}
		w.add("(idx = ANY (?) OR message <> '' AND message = ANY (?))", indexes, messages)
	}
	return nil
}

// exchange restricts w to the entries of every message that id names: by our
// id, by the sender's MessageID, as the request that it answers, or by incident.
func exchange(ctx context.Context, db querier, id string, w *where) error {
	rows, _ := db.Query(ctx, `
SELECT idx, message FROM journal_entry WHERE message_id = $1 AND kind IN ('accepted', 'refused') AND message_id <> ''
UNION ALL SELECT idx, message FROM journal_entry WHERE original = $1 AND kind IN ('accepted', 'refused') AND original <> ''
UNION ALL SELECT idx, message FROM journal_entry WHERE incident = $1 AND incident <> ''`, id)
	messages, indexes, err := entriesOf(rows)
	if err != nil {
		return fmt.Errorf("find the messages of an id: %w", err)
	}
	w.add("(idx = ANY (?) OR message <> '' AND message = ANY (?))", indexes, append(messages, id))
	return nil
}

// chain restricts w to the entries of the messages that name reference as the one
// that their chain began with.
func chain(ctx context.Context, db querier, reference string, w *where) error {
	rows, _ := db.Query(ctx, "SELECT r.idx, e.message FROM journal_reference r JOIN journal_entry e ON e.idx = r.idx WHERE r.reference = $1", reference)
	messages, indexes, err := entriesOf(rows)
	if err != nil {
		return fmt.Errorf("find the messages of a chain: %w", err)
	}
	w.add("(idx = ANY (?) OR message <> '' AND message = ANY (?))", indexes, messages)
	return nil
}

// entriesOf collects indexes and messages; not every entry is of a message.
func entriesOf(rows pgx.Rows) (messages []string, indexes []int64, err error) {
	var index int64
	var message string
	_, err = pgx.ForEachRow(rows, []any{&index, &message}, func() error {
		indexes = append(indexes, index)
		if message != "" {
			messages = append(messages, message)
		}
		return nil
	})
	return messages, indexes, err
}

// ErrNoVault says that this node has not the keys of the values behind the
// entries' commitments: ask the node that has.
var ErrNoVault = errors.New("this node has not the keys of the journal's values")

// tokens are the search tokens of a value of the fields, however it is spelled.
func (j *Journal) tokens(value string, fields ...string) ([][]byte, error) {
	if j.vault == nil {
		return nil, ErrNoVault
	}
	var out [][]byte
	for _, spelling := range subject.Spellings(value) {
		for _, field := range fields {
			blind, err := j.vault.Blind(field, spelling)
			if err != nil {
				return nil, err
			}
			out = append(out, blind)
		}
	}
	return out, nil
}

// committed finds the entries that commit to a value, and their messages.
func (j *Journal) committed(ctx context.Context, db querier, p journal.PersonalField) (messages []string, indexes []int64, err error) {
	tokens, err := j.tokens(p.Value, p.Field)
	if err != nil {
		return nil, nil, err
	}
	rows, _ := db.Query(ctx, `SELECT e.idx, e.message FROM journal_open o JOIN journal_entry e ON e.idx = o.idx WHERE o.blind = ANY ($1) AND o.blind <> ''`, tokens)
	if messages, indexes, err = entriesOf(rows); err != nil {
		return nil, nil, fmt.Errorf("find the entries that commit to a value: %w", err)
	}
	return messages, indexes, nil
}

// Mention is an entry that commits to a value, and under which names.
type Mention struct {
	Row
	Fields []string
}

// Sought are the search tokens of a person in entries that tell of readings: see
// EraseOrder.
func (j *Journal) Sought(p journal.PersonalField) ([][]byte, error) {
	return j.tokens(p.Value, subject.Sought(p.Field))
}

// Mentions are the entries that commit to a value, however it is spelled, messages
// and readings by which it was asked for (subject.Sought), and that were logged
// within the time, in the order of the log; a zero time does not restrict. What was
// erased is not among them; to erase all of them is to forget the person.
func (j *Journal) Mentions(ctx context.Context, p journal.PersonalField, from, to time.Time) ([]Mention, error) {
	tokens, err := j.tokens(p.Value, p.Field, subject.Sought(p.Field))
	if err != nil {
		return nil, err
	}
	first, last, err := j.bounds(ctx, j.pool, &Query{From: from, To: to})
	if err != nil {
		return nil, err
	}
	rows, _ := j.pool.Query(ctx, `SELECT e.idx, e.leaf, o.fields FROM (
		SELECT idx, array_agg(field ORDER BY field) AS fields FROM journal_open WHERE blind = ANY ($1) AND blind <> '' AND idx >= $2 AND idx < $3 GROUP BY idx) o
		JOIN journal_entry e ON e.idx = o.idx ORDER BY e.idx`, tokens, first, last)
	out, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (m Mention, err error) {
		if err = r.Scan(&m.Index, &m.Bytes, &m.Fields); err != nil {
			return m, err
		}
		if m.Leaf, err = journal.ParseLeaf(m.Bytes); err != nil {
			return m, &journal.BrokenError{What: fmt.Sprintf("entry %d: %v", m.Index, err)}
		}
		return m, nil
	})
	if err != nil {
		return nil, fmt.Errorf("find the entries that commit to a value: %w", err)
	}
	return out, nil
}

// bounds gives the indexes of the entries logged in the query's time: from the
// first at or after From up to the first at or after To. logged never goes back,
// so a binary search over the primary key finds them without an index on time.
func (j *Journal) bounds(ctx context.Context, db querier, q *Query) (from, to int64, err error) {
	var dropped, size int64
	if err := db.QueryRow(ctx, "SELECT dropped, size FROM journal_head").Scan(&dropped, &size); err != nil {
		return 0, 0, err
	}
	from, to = dropped, size
	if !q.From.IsZero() {
		if from, err = firstAt(ctx, db, q.From, dropped, size); err != nil {
			return 0, 0, err
		}
	}
	if !q.To.IsZero() {
		if to, err = firstAt(ctx, db, q.To, from, size); err != nil {
			return 0, 0, err
		}
	}
	return from, max(from, to), nil
}

// firstAt is the first entry of [low, high) that was logged at or after t, or
// high.
func firstAt(ctx context.Context, db querier, t time.Time, low, high int64) (int64, error) {
	for low < high {
		middle := low + (high-low)/2
		var logged time.Time
		if err := db.QueryRow(ctx, "SELECT logged FROM journal_entry WHERE idx = $1", middle).Scan(&logged); err != nil {
			return 0, fmt.Errorf("time of entry %d: %w", middle, err)
		}
		if logged.Before(t) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}

// Search gives one page of the entries that the query asks for, in the order of
// the log. The next page has After set to the last Index of this one.
func (j *Journal) Search(ctx context.Context, q Query) ([]Row, error) {
	from, to, err := j.bounds(ctx, j.pool, &q)
	if err != nil {
		return nil, err
	}
	return j.page(ctx, &q, from, to)
}

// page reads one page. What the daily totals can tell is asked of them first: on
// which days there is anything, and between which entries. Without that, a
// question after what is not there would read everything.
func (j *Journal) page(ctx context.Context, q *Query, from, to int64) ([]Row, error) {
	if q.HasAfter {
		if q.Descending {
			to = min(to, q.After)
		} else {
			from = max(from, q.After+1)
		}
	}
	limit := q.Limit
	if limit == 0 {
		limit = 50
	}
	if q.narrow() || len(q.terms()) == 0 {
		return j.stretch(ctx, q, from, to, limit)
	}
	var tallied int64
	if err := j.pool.QueryRow(ctx, "SELECT tallied FROM journal_head").Scan(&tallied); err != nil {
		return nil, err
	}
	var out []Row
	for len(out) < limit && from < to {
		days, err := j.days(ctx, q, from, to, tallied)
		if err != nil || len(days) == 0 {
			return out, err
		}
		for _, day := range days {
			rows, err := j.stretch(ctx, q, day.from, day.to, limit-len(out))
			if err != nil {
				return nil, err
			}
			if out = append(out, rows...); len(out) == limit {
				return out, nil
			}
		}
		if last := days[len(days)-1]; q.Descending {
			to = last.from
		} else {
			from = last.to
		}
	}
	return out, nil
}

// stretch reads the first limit of the query's entries from from up to to.
func (j *Journal) stretch(ctx context.Context, q *Query, from, to int64, limit int) ([]Row, error) {
	w := &where{}
	if err := j.entries(ctx, j.pool, q, from, to, w); err != nil {
		return nil, err
	}
	source, order := q.source(from, to, w)
	rows, _ := j.pool.Query(ctx, fmt.Sprintf("SELECT idx, leaf FROM %s WHERE %s ORDER BY %s LIMIT %d", source, w.sql(), order, limit), w.args...)
	return pgx.CollectRows(rows, readRow)
}

// span is a run of entries: from inclusive, to exclusive.
type span struct{ from, to int64 }

// daysAtOnce is for how many days the totals are asked at a time.
const daysAtOnce = 32

// days gives the next days, in the query's order, on which an entry that it asks
// for may stand between from and to, each cut to where that can be. The entries
// from tallied on, of which the totals do not speak, stand for one more day.
func (j *Journal) days(ctx context.Context, q *Query, from, to, tallied int64) ([]span, error) {
	late := span{max(from, tallied), to}
	if late.from < late.to && (q.Descending || late.from == from) {
		return []span{late}, nil
	}
	edge := from
	if q.Descending {
		edge = to - 1
	}
	var logged time.Time
	if err := j.pool.QueryRow(ctx, "SELECT logged FROM journal_entry WHERE idx = $1", edge).Scan(&logged); err != nil {
		return nil, fmt.Errorf("time of entry %d: %w", edge, err)
	}
	w, order := &where{}, "day"
	if q.Descending {
		w.add("day <= ?", logged.UTC().Format(time.DateOnly))
		order = "day DESC"
	} else {
		w.add("day >= ?", logged.UTC().Format(time.DateOnly))
	}
	// The totals may have been brought further than tallied meanwhile.
	w.add("last >= ?", from)
	w.add("first < ?", min(to, tallied))
	q.dimensions(w)
	rows, _ := j.pool.Query(ctx, fmt.Sprintf("SELECT min(first), max(last) + 1 FROM journal_tally WHERE %s GROUP BY day ORDER BY %s LIMIT %d", w.sql(), order, daysAtOnce), w.args...)
	out, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (s span, err error) {
		err = r.Scan(&s.from, &s.to)
		return span{max(s.from, from), min(s.to, to, tallied)}, err
	})
	if err != nil {
		return nil, fmt.Errorf("days of a search: %w", err)
	}
	if len(out) < daysAtOnce && late.from < late.to {
		out = append(out, late)
	}
	return out, nil
}

func readRow(r pgx.CollectableRow) (Row, error) {
	var row Row
	if err := r.Scan(&row.Index, &row.Bytes); err != nil {
		return row, err
	}
	var err error
	if row.Leaf, err = journal.ParseLeaf(row.Bytes); err != nil {
		// A person must see this, not an empty page.
		return row, &journal.BrokenError{What: fmt.Sprintf("entry %d: %v", row.Index, err)}
	}
	return row, nil
}

// Each calls f for every entry that the query asks for, however many, in the
// order of the log; Limit and After do not apply. It reads page by page, so that
// no transaction stays open while a slow reader takes its time.
func (j *Journal) Each(ctx context.Context, q Query, f func(Row) error) error {
	from, to, err := j.bounds(ctx, j.pool, &q)
	if err != nil {
		return err
	}
	q.Limit, q.HasAfter = 2000, false
	for {
		rows, err := j.page(ctx, &q, from, to)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := f(row); err != nil {
				return err
			}
		}
		if len(rows) < q.Limit {
			return nil
		}
		q.After, q.HasAfter = rows[len(rows)-1].Index, true
	}
}

// Trace gives every entry of an exchange in the order of the log: id is our id,
// a MessageID (its replies come too), or an incident.
func (j *Journal) Trace(ctx context.Context, id string) ([]Row, error) {
	if id == "" {
		return nil, errors.New("trace what? give a message id or an incident")
	}
	var out []Row
	err := j.Each(ctx, Query{ID: id}, func(r Row) error {
		out = append(out, r)
		return nil
	})
	return out, err
}

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

// groupedBy are the places of groupable among the columns that Totals selects.
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
// the daily totals, the rest is counted; both are exact, and read from one
// snapshot. Entries that retention has taken stay counted in whole days.
func (j *Journal) Totals(ctx context.Context, q Query, by ...string) ([]Total, error) {
	for _, column := range by {
		if !slices.Contains(groupable, column) {
			return nil, fmt.Errorf("totals by %q: it can be one of %s", column, strings.Join(groupable, ", "))
		}
	}
	var out []Total
	err := pgx.BeginTxFunc(ctx, j.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		sql, args, err := j.totals(ctx, tx, &q, by)
		if err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, sql, args...)
		out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (t Total, err error) {
			err = r.Scan(&t.Day, &t.Kind, &t.Sender, &t.Service, &t.Version, &t.Outcome, &t.Channel, &t.Test, &t.Entries)
			return t, err
		})
		return err
	})
	return out, err
}

const oneDay = 24 * time.Hour

// dayText is a day of the totals as we write it; a cast to text would follow the
// database's datestyle.
const dayText = "to_char(day, 'YYYY-MM-DD')"

// totals writes the statement: counts by group over up to three parts, the days
// that the time covers wholly and the pieces before and after them.
func (j *Journal) totals(ctx context.Context, db querier, q *Query, by []string) (string, []any, error) {
	w := &where{}
	var parts []string
	counted := func(from, to int64) error {
		if from >= to {
			return nil
		}
		piece := &where{args: w.args}
		if err := j.entries(ctx, db, q, from, to, piece); err != nil {
			return err
		}
		source, _ := q.source(from, to, piece)
		w.args = piece.args
		parts = append(parts, "SELECT "+columns(by, "to_char(logged AT TIME ZONE 'UTC', 'YYYY-MM-DD')")+", count(*) AS n FROM "+source+" WHERE "+piece.sql()+" GROUP BY "+groupedBy)
		return nil
	}
	from, to, err := j.bounds(ctx, db, q)
	if err != nil {
		return "", nil, err
	}
	first, last := q.From.UTC().Truncate(oneDay), q.To.UTC().Truncate(oneDay)
	if first.Before(q.From) {
		first = first.Add(oneDay)
	}
	var newest pgxTime
	var tallied int64
	if err := db.QueryRow(ctx, "SELECT coalesce(logged, '-infinity'), tallied FROM journal_head").Scan(&newest, &tallied); err != nil {
		return "", nil, err
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
	if err != nil {
		return "", nil, err
	}
	if len(parts) == 0 {
		parts = []string{"SELECT '' AS day, '' AS kind, '' AS sender, '' AS service, '' AS version, '' AS outcome, '' AS channel, '' AS test, 0 AS n WHERE false"}
	}
	return "SELECT " + strings.Join(groupable, ", ") + ", sum(n)::bigint FROM (" + strings.Join(parts, " UNION ALL ") +
		") t GROUP BY " + groupedBy + " HAVING sum(n) > 0 ORDER BY " + groupedBy, w.args, nil
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
