package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
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

// wants says the same of a combination.
func (q *Query) wants(c *combination) bool {
	for _, v := range []struct{ asked, is string }{{string(q.Kind), c.kind}, {q.Sender, c.sender}, {q.Recipient, c.recipient},
		{q.Service, c.service}, {q.Version, c.version}, {q.Outcome, c.outcome}, {q.Channel, c.channel}} {
		if v.asked != "" && v.asked != v.is {
			return false
		}
	}
	return q.Tests == TestsToo || c.test == (q.Tests == TestsOnly)
}

// terms are the query's conditions that journal_term has, too.
func (q *Query) terms() []term {
	c := combination{kind: string(q.Kind), sender: q.Sender, recipient: q.Recipient, service: q.Service, outcome: q.Outcome, channel: q.Channel, test: q.Tests == TestsOnly}
	all := c.terms(0)
	return slices.DeleteFunc(all[:], func(t term) bool { return t.value == "" })
}

// chunks is the query for the stretches within the indexes from and to in which every
// one of the query's values stands somewhere; empty when it names none.
func (q *Query) chunks(from, to int64, w *where) string {
	terms := q.terms()
	if q.narrow() || len(terms) == 0 || from >= to {
		return ""
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
	return strings.Join(chunks, " INTERSECT ")
}

// source is what to select rows from for the query's entries within the indexes from
// and to: the whole table, or stretch by stretch. order sorts what is selected, without
// reading more than it must.
func (q *Query) source(from, to int64, w *where) (source, order string) {
	down := q.down()
	chunks := q.chunks(from, to, w)
	if chunks == "" {
		return "journal_entry", "idx" + down
	}
	return fmt.Sprintf(`(%s) c CROSS JOIN LATERAL (SELECT * FROM journal_entry WHERE idx >= c.chunk * %d AND idx < c.chunk * %[2]d + %[2]d) e`,
		chunks, chunkSize), "chunk" + down + ", idx" + down
}

// down is the query's order in SQL.
func (q *Query) down() string {
	if q.Descending {
		return " DESC"
	}
	return ""
}

// entries is the query over journal_entry within the indexes from and to. Of all that
// is in named an entry must have something.
func (q *Query) entries(named []sought, from, to int64, w *where) {
	q.dimensions(w)
	w.add("idx >= ?", from)
	w.add("idx < ?", to)
	for i := range named {
		switch n := &named[i]; {
		case len(n.certificates) > 0:
			w.add("certificate = ANY (?) AND certificate <> ''", n.certificates)
		case len(n.incidents) > 0:
			w.add("incident = ANY (?) AND incident <> ''", n.incidents)
		default:
			w.add("(idx = ANY (?) OR message <> '' AND message = ANY (?))", n.indexes, n.messages)
		}
	}
}

// named is what makes the query narrow: sets of entries that are found by ids and
// values. The query's are in all of them.
func (j *Journal) named(ctx context.Context, db querier, q *Query) (out []sought, err error) {
	if q.Certificate != "" {
		out = append(out, sought{certificates: []string{strings.ToLower(q.Certificate)}})
	}
	if q.Incident != "" {
		out = append(out, sought{incidents: []string{q.Incident}})
	}
	if q.Reference != "" {
		s, err := chain(ctx, db, q.Reference)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if q.ID != "" {
		s, err := exchange(ctx, db, q.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	for _, v := range q.Values {
		s, err := j.committed(ctx, db, v)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	// The one of the fewest entries first: it is what they are looked for by.
	slices.SortStableFunc(out, func(a, b sought) int {
		return cmp.Compare(len(a.certificates), len(b.certificates))
	})
	return out, nil
}

// exchange are the entries of every message that id names: by our id, by the sender's
// MessageID, as the request that it answers, or by incident.
func exchange(ctx context.Context, db querier, id string) (sought, error) {
	list := []string{id}
	s, err := messagesOf(ctx, db, sought{messageIDs: list, originals: list, incidents: list})
	if err != nil {
		return s, fmt.Errorf("find the messages of an id: %w", err)
	}
	s.messages = append(s.messages, id)
	return s, nil
}

// chain are the entries of the messages that name reference as the one that their
// chain began with.
func chain(ctx context.Context, db querier, reference string) (sought, error) {
	rows, _ := db.Query(ctx, "SELECT idx FROM journal_reference WHERE reference = $1", reference)
	indexes, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	var s sought
	if err == nil {
		s, err = messagesOf(ctx, db, sought{indexes: indexes})
	}
	if err != nil {
		return s, fmt.Errorf("find the messages of a chain: %w", err)
	}
	return s, nil
}

// messagesOf are the entries that are sought, and all others of their messages; not
// every entry is of a message.
func messagesOf(ctx context.Context, db querier, s sought) (out sought, err error) {
	rows, err := find(ctx, db, s)
	for i := range rows {
		out.indexes = append(out.indexes, rows[i].Index)
		if m := rows[i].Leaf.Message; m != "" {
			out.messages = append(out.messages, m)
		}
	}
	slices.Sort(out.messages)
	out.messages = slices.Compact(out.messages)
	return out, err
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
			blind, err := j.vault.Blind(nil, field, spelling)
			if err != nil {
				return nil, err
			}
			out = append(out, blind)
		}
	}
	return out, nil
}

// committed finds the entries that commit to a value, and their messages.
func (j *Journal) committed(ctx context.Context, db querier, p journal.PersonalField) (s sought, err error) {
	tokens, err := j.tokens(p.Value, p.Field)
	if err != nil {
		return s, err
	}
	fields, err := committing(ctx, db, j.vault, tokens, 0, math.MaxInt64)
	if err == nil {
		s, err = messagesOf(ctx, db, sought{indexes: slices.Collect(maps.Keys(fields))})
	}
	if err != nil {
		return s, fmt.Errorf("find the entries that commit to a value: %w", err)
	}
	return s, nil
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

// Findable refuses (ErrVault) to look for what is to be erased by values with a vault that
// lacks a key of entries that may commit to them: Search and Mentions do not see those, and
// who is not found would be told as forgotten.
func (j *Journal) Findable(ctx context.Context, values ...journal.PersonalField) error {
	var all [][]byte
	for _, p := range values {
		tokens, err := j.tokens(p.Value, p.Field, subject.Sought(p.Field))
		if err != nil {
			return err
		}
		all = append(all, tokens...)
	}
	if len(all) == 0 {
		return nil
	}
	return keysThere(ctx, j.pool, j.vault, "tokens && $1", openingTokens(all))
}

// Unopened is what a search cannot see, for this node's vault lacks the keys of it.
type Unopened struct {
	Entries int      `json:"entries"` // with a value that was asked for, at least: what they are cannot be seen
	Keys    []string `json:"keys"`
}

// And is both.
func (u *Unopened) And(o *Unopened) *Unopened {
	if u == nil || o == nil {
		return cmp.Or(u, o)
	}
	both := &Unopened{Entries: u.Entries + o.Entries, Keys: slices.Concat(u.Keys, o.Keys)}
	slices.Sort(both.Keys)
	both.Keys = slices.Compact(both.Keys)
	return both
}

// Unopened tells what Search, or Mentions where readings says so, passes over that may
// commit to one of the values, because its key is not in the vault, or another is in its
// place; nil when nothing is.
func (j *Journal) Unopened(ctx context.Context, readings bool, values ...journal.PersonalField) (*Unopened, error) {
	var all [][]byte
	for _, p := range values {
		fields := []string{p.Field}
		if readings {
			fields = append(fields, subject.Sought(p.Field))
		}
		tokens, err := j.tokens(p.Value, fields...)
		if err != nil {
			return nil, err
		}
		all = append(all, tokens...)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return j.unopened(ctx, "(SELECT count(*) FROM unnest(tokens) t WHERE t = ANY ($1))", "tokens && $1", openingTokens(all))
}

// UnopenedAt tells whether values behind an entry may be there that Openings passes over.
func (j *Journal) UnopenedAt(ctx context.Context, index int64) (*Unopened, error) {
	out, err := j.unopened(ctx, "1", "block = $1 AND first <= $2", index/blockSize*blockSize, index)
	if out != nil {
		out.Entries = 1
	}
	return out, err
}

func (j *Journal) unopened(ctx context.Context, entries, condition string, args ...any) (*Unopened, error) {
	if j.vault == nil {
		return nil, ErrNoVault
	}
	rows, _ := j.pool.Query(ctx, "SELECT key, sum("+entries+")::int FROM journal_opening WHERE "+condition+needsKey+" GROUP BY key ORDER BY key", args...)
	type of struct {
		Key string
		N   int
	}
	keys, err := pgx.CollectRows(rows, pgx.RowToStructByPos[of])
	if err != nil {
		return nil, fmt.Errorf("looking for the keys of values: %w", err)
	}
	out := &Unopened{}
	for _, k := range keys {
		there, err := j.vault.Opens(k.Key)
		if err != nil {
			return nil, err
		}
		if !there {
			out.Entries, out.Keys = out.Entries+k.N, append(out.Keys, k.Key)
		}
	}
	if len(out.Keys) == 0 {
		return nil, nil
	}
	return out, nil
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
	fields, err := committing(ctx, j.pool, j.vault, tokens, first, last)
	var found []Row
	if err == nil {
		found, err = find(ctx, j.pool, sought{indexes: slices.Collect(maps.Keys(fields))})
	}
	if err != nil {
		return nil, fmt.Errorf("find the entries that commit to a value: %w", err)
	}
	out := make([]Mention, len(found))
	for i, row := range found {
		out[i] = Mention{row, fields[row.Index]}
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

// firstAt is the first entry of [low, high) that was logged at or after t, or high. The
// search halves in the database: one statement, however long the log.
func firstAt(ctx context.Context, db querier, t time.Time, low, high int64) (first int64, err error) {
	var unknown *int64 // an entry that has no time
	err = db.QueryRow(ctx, `WITH RECURSIVE half (low, high, unknown) AS (
	SELECT $2::bigint, $3::bigint, NULL::bigint
UNION ALL
	SELECT CASE WHEN logged < $1 THEN middle + 1 ELSE low END, CASE WHEN logged < $1 THEN high ELSE middle END, CASE WHEN logged IS NULL THEN middle END
	FROM half, LATERAL (SELECT low + (high - low) / 2 AS middle) m, LATERAL (SELECT journal_logged(middle) AS logged OFFSET 0) l WHERE low < high AND unknown IS NULL
)
SELECT low, unknown FROM half ORDER BY high - low, unknown NULLS LAST LIMIT 1`, t, low, high).Scan(&first, &unknown)
	if err == nil && unknown != nil {
		err = fmt.Errorf("time of entry %d: %w", *unknown, fs.ErrNotExist)
	}
	if err != nil {
		return 0, fmt.Errorf("find the first entry since %s: %w", t.UTC().Format(time.RFC3339), err)
	}
	return first, nil
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
	for most := daysAtFirst; len(out) < limit && from < to; most = min(4*most, daysAtOnce) {
		days, err := j.days(ctx, q, from, to, tallied, most)
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

// stretch reads the first limit of the query's entries from from up to to. Rows are
// in front of blocks.
func (j *Journal) stretch(ctx context.Context, q *Query, from, to int64, limit int) (out []Row, err error) {
	named, err := j.named(ctx, j.pool, q)
	if err != nil {
		return nil, err
	}
	parts := []func(int) error{
		func(limit int) error {
			w := &where{}
			q.entries(named, from, to, w)
			source, order := q.source(from, to, w)
			rows, _ := j.pool.Query(ctx, fmt.Sprintf("SELECT idx, leaf FROM %s WHERE %s ORDER BY %s LIMIT %d", source, w.sql(), order, limit), w.args...)
			list, err := pgx.CollectRows(rows, readRow)
			out = append(out, list...)
			return err
		},
		func(limit int) error {
			return inBlocks(ctx, j.pool, q, named, from, to, func(row Row) bool {
				out = append(out, row)
				limit--
				return limit > 0
			})
		},
	}
	if q.Descending {
		slices.Reverse(parts)
	}
	for _, part := range parts {
		if err := part(limit - len(out)); err != nil {
			return nil, err
		}
		if len(out) >= limit {
			break
		}
	}
	return out, nil
}

// span is a run of entries: from inclusive, to exclusive.
type span struct{ from, to int64 }

// For how many days the totals are asked at a time: for more and more. A page is mostly
// full with the first, and the other days' totals need not be read for it.
const (
	daysAtFirst = 1
	daysAtOnce  = 32
)

// days gives the next days, most at once, in the query's order, on which an entry that it asks
// for may stand between from and to, each cut to where that can be. The entries
// from tallied on, of which the totals do not speak, stand for one more day.
func (j *Journal) days(ctx context.Context, q *Query, from, to, tallied int64, most int) ([]span, error) {
	late := span{max(from, tallied), to}
	if late.from < late.to && (q.Descending || late.from == from) {
		return []span{late}, nil
	}
	edge := from
	if q.Descending {
		edge = to - 1
	}
	logged, err := loggedAt(ctx, j.pool, edge)
	if err != nil {
		return nil, err
	}
	w, order := &where{}, "day"
	if q.Descending {
		w.add("day <= ?", logged.UTC().Format(time.DateOnly))
		order = "day DESC"
	} else {
		w.add("day >= ?", logged.UTC().Format(time.DateOnly))
	}
	// The other end of the time, so that not every day that is kept is read.
	if q.Descending && !q.From.IsZero() {
		w.add("day >= ?", q.From.UTC().Format(time.DateOnly))
	}
	if !q.Descending && !q.To.IsZero() {
		w.add("day <= ?", q.To.UTC().Format(time.DateOnly))
	}
	// The totals may have been brought further than tallied meanwhile.
	w.add("last >= ?", from)
	w.add("first < ?", min(to, tallied))
	q.dimensions(w)
	rows, _ := j.pool.Query(ctx, fmt.Sprintf("SELECT min(first), max(last) + 1 FROM journal_tally WHERE %s GROUP BY day ORDER BY %s LIMIT %d", w.sql(), order, most), w.args...)
	out, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (s span, err error) {
		err = r.Scan(&s.from, &s.to)
		return span{max(s.from, from), min(s.to, to, tallied)}, err
	})
	if err != nil {
		return nil, fmt.Errorf("days of a search: %w", err)
	}
	if len(out) < most && late.from < late.to {
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
