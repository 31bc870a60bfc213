package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/terms"
)

var termsWork = work{"terms", "true"} // no release of before does it

// FollowTerms is adapter.Store.FollowTerms. A round is one transaction: what the log
// says, what has to be told, the events, and how far the log was read. Whoever was
// deposed commits nothing of it, and the next leader does the same round again.
func (s *Store) FollowTerms(ctx context.Context, now time.Time, max int, rules adapter.TermRules) (done adapter.TermsDone, err error) {
	var waits bool
	err = s.polls.QueryRow(ctx, `SELECT coalesce((SELECT size FROM journal_head) > (SELECT next FROM open_term_mark), false)
		OR EXISTS (SELECT FROM open_term WHERE next <= $1)`, now).Scan(&waits)
	if err != nil || !waits {
		return done, err
	}
	epoch, err := s.lead(ctx, termsWork, "true")
	if err != nil || epoch == 0 {
		return done, err
	}
	err = s.ended(ctx, termsWork, epoch, func(tx pgx.Tx) error {
		r := termRound{tx: tx, store: s, rules: rules, now: now, grace: s.opts.TermGrace}
		if err := r.read(ctx, max); err != nil {
			return err
		}
		if err := r.tell(ctx, max); err != nil {
			return err
		}
		done = r.done
		return r.record(ctx)
	})
	if err != nil {
		return adapter.TermsDone{}, fmt.Errorf("following terms: %w", err)
	}
	return done, nil
}

// termRound is one round over the open terms.
type termRound struct {
	tx     pgx.Tx
	store  *Store
	rules  adapter.TermRules
	now    time.Time
	grace  time.Duration
	upTo   time.Time // what happened until then has been read
	events []journal.Event
	done   adapter.TermsDone
}

// termColumns are those of scanTerm.
const termColumns = "message, stage, due, next, told, later, message_id, direction, sender, recipient, service, version, accepted"

func scanTerm(row pgx.CollectableRow) (t adapter.OpenTerm, err error) {
	var id [16]byte
	var stage int
	var due, next *time.Time
	var later string
	err = row.Scan(&id, &stage, &due, &next, &t.Told, &later, &t.MessageID, &t.Direction, &t.Sender, &t.Recipient, &t.Service, &t.Version, &t.Accepted)
	if err != nil {
		return t, err
	}
	t.Message, t.Stage, t.Accepted = id, terms.Stages[stage], t.Accepted.UTC()
	if due != nil {
		t.Due = due.UTC()
	}
	if next != nil {
		t.Next = next.UTC()
	}
	t.Later, err = terms.ParseLater(later)
	return t, err
}

func stageNumber(s terms.Stage) int { return slices.Index(terms.Stages, s) }

// read brings the open terms up to the log. What opens and is reached within one
// round, as most is, never becomes a row.
func (r *termRound) read(ctx context.Context, max int) error {
	var from int64
	var since time.Time
	if err := r.tx.QueryRow(ctx, "SELECT next, since FROM open_term_mark FOR UPDATE").Scan(&from, &since); err != nil {
		return err
	}
	// The oldest pending row first: what is committed after this look is later.
	r.upTo = r.now
	// And the log's tree with it: what has left the one by this look is in the other. There
	// may be no log yet.
	var pending *time.Time
	var tree tlog.Tree
	if err := r.tx.QueryRow(ctx, "SELECT (SELECT at FROM journal_pending ORDER BY id LIMIT 1), coalesce((SELECT size FROM journal_head), 0), (SELECT root FROM journal_head)").Scan(&pending, &tree.N, (*rootColumn)(&tree.Hash)); err != nil {
		return err
	}
	if pending != nil && pending.Before(r.upTo) {
		r.upTo = *pending
	}
	entries, err := r.store.logFrom(ctx, r.tx, from, max, tree)
	if err != nil {
		return err
	}
	if r.done.Read = len(entries); r.done.Read == 0 {
		return nil
	}
	w := newTermWrites(r, since)
	var l journal.Leaf
	for i := range entries {
		e := &entries[i]
		r.done.More = r.done.Read == max && i == max-1
		if !r.done.More && !slices.Contains(adapter.TermKinds, journal.Kind(e.Kind)) {
			continue
		}
		if l, err = journal.ParseTold(e.Leaf); err != nil {
			return fmt.Errorf("entry %d: %w", e.Index, err)
		}
		if r.done.More && l.Logged.Before(r.upTo) {
			r.upTo = l.Logged
		}
		if slices.Contains(adapter.TermKinds, l.Kind) {
			w.step(r.rules.Step(&l))
		}
	}
	if err := w.write(ctx); err != nil {
		return err
	}
	_, err = r.tx.Exec(ctx, "UPDATE open_term_mark SET next = $1", entries[len(entries)-1].Index+1)
	return err
}

type termKey struct {
	message uuid.UUID
	stage   terms.Stage
}

// termWrites gathers what a stretch of the log changes.
type termWrites struct {
	r        *termRound
	since    time.Time
	accepted map[uuid.UUID]bool // messages that begin here: rounds before have left no row of them
	order    []termKey
	open     map[termKey]*adapter.OpenTerm
	status   map[adapter.MessageID]termKey // of the open ones
	reached  []termKey                     // rows of rounds before, and when each was reached
	at       []time.Time
	lost     []bool
	words    []adapter.MessageID // requests of rounds before that were heard of
	wordsAt  []time.Time
	taken    []uuid.UUID // messages of rounds before that were delivered
	takenAt  []time.Time
}

func newTermWrites(r *termRound, since time.Time) *termWrites {
	return &termWrites{r: r, since: since, accepted: map[uuid.UUID]bool{}, open: map[termKey]*adapter.OpenTerm{}, status: map[adapter.MessageID]termKey{}}
}

func (w *termWrites) step(s adapter.TermStep) {
	if s.Accepted != uuid.Nil {
		w.accepted[s.Accepted] = true
	}
	for i := range s.Open {
		t := &s.Open[i]
		key := termKey{t.Message, t.Stage}
		if w.open[key] == nil {
			w.order = append(w.order, key)
		}
		w.open[key] = t
		if t.Stage == terms.StageStatus {
			w.status[t.MessageID] = key
		}
	}
	x := s.Reached
	if x.Request != "" {
		if key, ok := w.status[x.Request]; ok && w.open[key] != nil {
			w.reach(key, x.At, false)
		} else {
			w.words, w.wordsAt = append(w.words, x.Request), append(w.wordsAt, x.At)
		}
		return
	}
	for _, stage := range x.Stages {
		w.reach(termKey{x.Message, stage}, x.At, x.Lost)
	}
	if !x.Taken {
		return
	}
	if !w.accepted[x.Message] {
		w.taken, w.takenAt = append(w.taken, x.Message), append(w.takenAt, x.At)
	}
	for _, stage := range terms.Stages {
		if t := w.open[termKey{x.Message, stage}]; t != nil && !t.Later.IsZero() {
			w.r.rules.Begin(t, x.At)
		}
	}
}

func (w *termWrites) reach(key termKey, at time.Time, lost bool) {
	if t := w.open[key]; t != nil {
		delete(w.open, key)
		w.late(t, at, lost)
		return
	}
	if w.accepted[key.message] { // it has no such term, or has reached the stage already
		return
	}
	w.reached, w.at, w.lost = append(w.reached, key), append(w.at, at), append(w.lost, lost)
}

// late tells of a stage that was reached too late, or ended unreached, before anybody
// told so.
func (w *termWrites) late(t *adapter.OpenTerm, at time.Time, lost bool) {
	if !t.Due.IsZero() && at.After(t.Due) && t.Told < adapter.ToldOverdue && at.After(w.since) {
		w.r.add(t, journal.KindOverdue, !lost)
	}
}

func (w *termWrites) write(ctx context.Context) error {
	if len(w.reached) > 0 {
		if err := w.close(ctx, `DELETE FROM open_term o USING (SELECT DISTINCT ON (message, stage) * FROM unnest($1::uuid[], $2::smallint[], $3::timestamptz[], $4::bool[]) u(message, stage, at, lost) ORDER BY 1, 2, 3, 4) u
		WHERE o.message = u.message AND o.stage = u.stage RETURNING u.at, u.lost, `, uuids(w.reached), stages(w.reached), w.at, w.lost); err != nil {
			return err
		}
	}
	if len(w.words) > 0 {
		ids := make([]string, len(w.words))
		for i, id := range w.words {
			ids[i] = string(id)
		}
		if err := w.close(ctx, `DELETE FROM open_term o USING (SELECT id, min(at) AS at FROM unnest($1::text[], $2::timestamptz[]) u(id, at) GROUP BY 1) u
		WHERE o.stage = 2 AND o.message_id = u.id RETURNING u.at, false, `, ids, w.wordsAt); err != nil {
			return err
		}
	}
	if err := w.begin(ctx); err != nil {
		return err
	}
	return w.insert(ctx)
}

// close runs a DELETE that gives when each row was reached, whether it was lost, and the row.
func (w *termWrites) close(ctx context.Context, sql string, args ...any) error {
	rows, _ := w.r.tx.Query(ctx, sql+"o."+strings.ReplaceAll(termColumns, ", ", ", o."), args...)
	type closed struct {
		adapter.OpenTerm
		at   time.Time
		lost bool
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c closed, err error) {
		c.OpenTerm, err = scanTerm(behind{row, []any{&c.at, &c.lost}})
		return c, err
	})
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b closed) int { return a.at.Compare(b.at) })
	for i := range list {
		w.late(&list[i].OpenTerm, list[i].at, list[i].lost)
	}
	return nil
}

// behind is a row whose first columns are read apart.
type behind struct {
	pgx.CollectableRow
	first []any
}

// Scan reads the first columns and then the others.
func (b behind) Scan(dest ...any) error {
	return b.CollectableRow.Scan(append(b.first, dest...)...)
}

// begin counts what waits for a delivery that has happened.
func (w *termWrites) begin(ctx context.Context) error {
	if len(w.taken) == 0 {
		return nil
	}
	at := map[uuid.UUID]time.Time{}
	ids := make([][16]byte, len(w.taken))
	for i, id := range w.taken {
		ids[i] = id
		if _, ok := at[id]; !ok {
			at[id] = w.takenAt[i]
		}
	}
	rows, _ := w.r.tx.Query(ctx, "SELECT "+termColumns+" FROM open_term WHERE message = ANY ($1::uuid[]) AND later <> ''", ids)
	list, err := pgx.CollectRows(rows, scanTerm)
	if err != nil {
		return err
	}
	for i := range list {
		t := &list[i]
		w.r.rules.Begin(t, at[t.Message])
		if _, err := w.r.tx.Exec(ctx, "UPDATE open_term SET due = $3, next = $4, later = '' WHERE message = $1 AND stage = $2",
			[16]byte(t.Message), stageNumber(t.Stage), timeOrNull(t.Due), timeOrNull(t.Next)); err != nil {
			return err
		}
	}
	return nil
}

func (w *termWrites) insert(ctx context.Context) error {
	left := make([]*adapter.OpenTerm, 0, len(w.open))
	for _, key := range w.order {
		if t := w.open[key]; t != nil {
			left = append(left, t)
		}
	}
	if len(left) == 0 {
		return nil
	}
	row := make([]any, strings.Count(termColumns, ",")+1) // one after the other: each is written when it is given
	text := func(column int, is string) {
		if row[column] != any(is) { // most say what the one before says
			row[column] = is
		}
	}
	rows := pgx.CopyFromFunc(func() ([]any, error) {
		if len(left) == 0 {
			return nil, nil
		}
		t := left[0]
		left = left[1:]
		row[0], row[1], row[2], row[3], row[4] = [16]byte(t.Message), stageNumber(t.Stage), timeOrNull(t.Due), timeOrNull(t.Next), int(t.Told)
		for i, is := range [...]string{t.Later.String(), string(t.MessageID), string(t.Direction), string(t.Sender), string(t.Recipient), t.Service, t.Version} {
			text(5+i, is)
		}
		row[12] = t.Accepted
		return row, nil
	})
	_, err := w.r.tx.CopyFrom(ctx, pgx.Identifier{"open_term"}, strings.Split(termColumns, ", "), rows)
	return err
}

func uuids(keys []termKey) [][16]byte {
	out := make([][16]byte, len(keys))
	for i, k := range keys {
		out[i] = k.message
	}
	return out
}

func stages(keys []termKey) []int16 {
	out := make([]int16, len(keys))
	for i, k := range keys {
		out[i] = int16(stageNumber(k.stage))
	}
	return out
}

// mostTold is of how many terms a round tells at most: its events are written in one statement.
const mostTold = 4096

// tell takes the terms of which it is time to tell, by the index alone, and marks
// them with what it tells.
func (r *termRound) tell(ctx context.Context, max int) error {
	max = min(max, mostTold)
	rows, _ := r.tx.Query(ctx, "SELECT "+termColumns+" FROM open_term WHERE next <= $1 ORDER BY next LIMIT $2 FOR UPDATE", r.upTo.Add(-r.grace), max)
	list, err := pgx.CollectRows(rows, scanTerm)
	if err != nil || len(list) == 0 {
		return err
	}
	r.done.More = r.done.More || len(list) == max
	keys := make([]termKey, len(list))
	next, told := make([]*time.Time, len(list)), make([]int16, len(list))
	for i := range list {
		t := &list[i]
		keys[i], told[i] = termKey{t.Message, t.Stage}, int16(adapter.ToldOverdue)
		if past := !t.Due.After(r.upTo.Add(-r.grace)); past {
			r.add(t, journal.KindOverdue, false)
			continue
		}
		r.add(t, journal.KindDueSoon, false)
		told[i], next[i] = int16(adapter.ToldSoon), &t.Due
	}
	_, err = r.tx.Exec(ctx, `UPDATE open_term o SET next = u.next, told = u.told
		FROM unnest($1::uuid[], $2::smallint[], $3::timestamptz[], $4::smallint[]) u(message, stage, next, told) WHERE o.message = u.message AND o.stage = u.stage`,
		uuids(keys), stages(keys), next, told)
	return err
}

func (r *termRound) add(t *adapter.OpenTerm, kind journal.Kind, reached bool) {
	r.events = append(r.events, r.rules.Tell(t, kind, reached))
	of := &r.done.Soon
	if kind == journal.KindOverdue {
		of = &r.done.Overdue
	}
	if *of == nil {
		*of = map[terms.Stage]int{}
	}
	(*of)[t.Stage]++
}

// record commits the events to the journal, and to those who are to be told.
func (r *termRound) record(ctx context.Context) error {
	if len(r.events) == 0 {
		return nil
	}
	encoded, err := encodeEvents(r.events)
	if err != nil {
		return err
	}
	_, err = r.tx.Exec(ctx, r.store.gates.sql(`WITH a AS (
	INSERT INTO alarm_event (event) SELECT e::json FROM unnest($1::text[]) WITH ORDINALITY AS t (e, n) ORDER BY n
) `+recordSQL), encoded)
	return err
}

// OpenTerms is adapter.Store.OpenTerms.
func (s *Store) OpenTerms(ctx context.Context, q adapter.TermQuestion) ([]adapter.OpenTerm, error) {
	var w where
	w.add("due IS NOT NULL")
	if !q.DueBefore.IsZero() {
		w.add("due < ?", q.DueBefore)
	}
	if !q.DueFrom.IsZero() {
		w.add("due >= ?", q.DueFrom)
	}
	if q.Sender != "" {
		w.add("sender = ?", string(q.Sender))
	}
	if q.Recipient != "" {
		w.add("recipient = ?", string(q.Recipient))
	}
	if q.Service != "" {
		w.add("service = ?", q.Service)
	}
	if q.Stage != "" {
		w.add("stage = ?", stageNumber(q.Stage))
	}
	if !q.AfterDue.IsZero() {
		w.add("(due, message, stage) > (?, ?, ?)", q.AfterDue, [16]byte(q.AfterMessage), stageNumber(q.AfterStage))
	}
	limit := q.Limit
	orDefault(&limit, 50)
	rows, _ := s.pool.Query(ctx, fmt.Sprintf("SELECT %s FROM open_term WHERE %s ORDER BY due, message, stage LIMIT %d", termColumns, w.sql(), limit), w.args...)
	list, err := pgx.CollectRows(rows, scanTerm)
	if err != nil {
		return nil, fmt.Errorf("looking for open terms: %w", err)
	}
	return list, nil
}

// TermCounts is adapter.Store.TermCounts.
func (s *Store) TermCounts(ctx context.Context, now, until time.Time, of adapter.TermQuestion) ([]adapter.TermCount, error) {
	rows, _ := s.pool.Query(ctx, `SELECT CASE stage WHEN 0 THEN '' ELSE recipient END, service, stage, count(*) FILTER (WHERE due < $1), count(*) FILTER (WHERE due >= $1)
		FROM open_term WHERE due < greatest($1, $2) AND ($3 = '' OR sender = $3) AND ($4 = '' OR recipient = $4) AND ($5 = '' OR service = $5) AND ($6 < 0 OR stage = $6)
		GROUP BY 1, 2, 3 ORDER BY 4 DESC, 5 DESC, 1, 2, 3`, now, until, string(of.Sender), string(of.Recipient), of.Service, slices.Index(terms.Stages, of.Stage))
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c adapter.TermCount, err error) {
		var stage int
		err = row.Scan(&c.Party, &c.Service, &stage, &c.Late, &c.Today)
		if err == nil {
			c.Stage = terms.Stages[stage]
		}
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("counting open terms: %w", err)
	}
	return list, nil
}

// sweepTerms forgets the open terms of messages that are kept no longer.
func (s *Store) sweepTerms(ctx context.Context, now time.Time) error {
	keep := s.keeps()
	if keep <= 0 {
		return nil
	}
	_, err := s.pool.Exec(ctx, "DELETE FROM open_term WHERE due < $1 AND accepted < $1", now.Add(-keep))
	if err != nil {
		return fmt.Errorf("forgetting open terms: %w", err)
	}
	return nil
}
