package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/vault"
)

// ContentRetention ends content when its time is over: once a day by class (the
// requests of a service, its answers, refused calls), all that came before that day.
// What is still on its way is spared, and ends with a later pass. Keys first; then
// bytes, some at a time; then one entry of the journal tells of the class and day.
// When all content of a day has ended, and rowsLonger has passed, the rows of its
// messages go as well.
type ContentRetention struct {
	Store    *Store
	Services func() []string                                         // that there are now
	For      func(service string, request bool) (keep time.Duration) // also of services that there were; 0: for ever
	Refused  time.Duration                                           // bytes of refused calls; 0: for ever
	Ground   string                                                  // the legal ground, as the journal will show it
	Now      func() time.Time
	Log      *slog.Logger
	Every    time.Duration // between passes; 0 means 10 minutes
}

// ended is a class that a line of the register ends.
type ended struct {
	service string
	request bool // else what answers it
	refused bool // calls
}

func endedBy(e vault.Erasure) ended {
	return ended{service: e.Service, request: strings.HasSuffix(e.Class, ".request"), refused: e.Class == ClassRefused}
}

func (k ended) direction() adapter.Direction {
	if k.request {
		return adapter.DirRequest
	}
	return adapter.DirResponse
}

func (k ended) class() string {
	if k.refused {
		return ClassRefused
	}
	return adapter.ContentClass(k.service, k.direction())
}

func (k ended) directions() []string {
	if k.request {
		return []string{string(adapter.DirRequest), string(adapter.DirBroadcast)}
	}
	return []string{string(adapter.DirResponse), string(adapter.DirRejection), string(adapter.DirStatus), string(adapter.DirAsync)}
}

// rowsLonger is how much longer than its content a message's row is kept: a late
// answer finds its request by it.
const rowsLonger = 90 * 24 * time.Hour

// mostSpared is how many messages of a class may be spared one by one: each costs a
// few kilobytes in the vault. When more wait, content from the first of them on is
// kept until they have gone.
const mostSpared = 500

// Run carries the retention out until ctx ends. A pass that fails is logged and
// tried again with the next.
func (r *ContentRetention) Run(ctx context.Context) error {
	every := r.Every
	if every == 0 {
		every = 10 * time.Minute
	}
	for {
		if err := r.Once(ctx); err != nil && ctx.Err() == nil {
			r.Log.Error("retention of content", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// Once is one pass: first what a crash or a restored backup has left to do, then
// what today ends. Doing it again does nothing more.
func (r *ContentRetention) Once(ctx context.Context) error {
	again, err := r.Store.Reerase(ctx, nil, false, "")
	if err != nil {
		return err
	}
	if again.Lines > 0 {
		r.Log.Warn("erasures were done again that the vault or the database had forgotten or not finished", "erasures", again.Lines, "content", again.Content)
	}
	now := r.Now().UTC()
	longest, ever := time.Duration(0), false
	var all []error
	end := func(k ended, keep time.Duration) {
		n, err := r.Store.endContent(ctx, k, now, keep, r.Ground)
		if n > 0 {
			r.Log.Info("content has ended", "class", k.class(), "items", n)
		}
		all = append(all, err)
	}
	services, err := r.services(ctx)
	if err != nil {
		return err
	}
	for _, service := range services {
		for _, request := range []bool{true, false} {
			keep := r.For(service, request)
			if longest, ever = max(longest, keep), ever || keep == 0; keep > 0 {
				end(ended{service: service, request: request}, keep)
			}
		}
	}
	if r.Refused > 0 {
		end(ended{refused: true}, r.Refused)
	}
	all = append(all, r.Store.endPending(ctx, now, r.Ground), r.Store.endProposals(ctx, now))
	if !ever && longest > 0 && errors.Join(all...) == nil {
		r.Store.keep.Store(int64(longest + rowsLonger))
	} else {
		r.Store.keep.Store(0)
	}
	return errors.Join(all...)
}

// loggedServices are the services of which the journal tells: a loose scan of its key.
const loggedServices = `WITH RECURSIVE s AS (
	(SELECT value FROM journal_term WHERE dim = 'service' ORDER BY value LIMIT 1)
	UNION ALL
	SELECT (SELECT t.value FROM journal_term t WHERE t.dim = 'service' AND t.value > s.value ORDER BY t.value LIMIT 1) FROM s WHERE s.value IS NOT NULL
)
SELECT value FROM s WHERE value IS NOT NULL`

// services are those that there are, those of which the journal tells, and those of
// which the vault has keys: content outlives its service.
func (r *ContentRetention) services(ctx context.Context) ([]string, error) {
	rows, _ := r.Store.pool.Query(ctx, loggedServices)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("listing the services: %w", err)
	}
	list = append(list, r.Services()...)
	for _, class := range r.Store.opts.Vault.Classes() {
		name, ok := strings.CutSuffix(class, ".request")
		if !ok {
			name, ok = strings.CutSuffix(class, ".response")
		}
		// A class that is no service's name is the digest of one (adapter.ContentClass).
		if ok && adapter.ContentClass(name, adapter.DirRequest) == name+".request" {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// endContent ends the content of a class that came before a day, and says of how
// many items the bytes went.
func (s *Store) endContent(ctx context.Context, k ended, now time.Time, keep time.Duration, ground string) (int, error) {
	before := now.Add(-keep).Truncate(24 * time.Hour)
	var last *time.Time
	var told bool
	err := s.pool.QueryRow(ctx, "SELECT before, told FROM content_erasure WHERE class = $1 ORDER BY before DESC LIMIT 1", k.class()).Scan(&last, &told)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, err
	}
	if last != nil && told && !last.Before(before) {
		return 0, nil // today's is done
	}
	spared, before, err := s.spared(ctx, k, before)
	if err != nil || last != nil && told && !last.Before(before) {
		return 0, err
	}
	e := vault.Erasure{ID: retentionID(k.class(), before), At: now.Truncate(time.Millisecond), Ground: ground, Class: k.class(), Service: k.service, Before: before, Spared: spared}
	if err := s.opts.Vault.Erase(e); err != nil {
		return 0, err
	}
	if _, err := carryOut(ctx, s.pool, s.opts.Vault, &s.gates, []vault.Erasure{e}, "", ""); err != nil {
		return 0, err
	}
	if err := s.endTreeMarks(ctx, e); err != nil {
		return 0, err
	}
	return s.wipe(ctx, e)
}

// endTreeMarks removes the marks of trees of which an erasure has left nothing.
func (s *Store) endTreeMarks(ctx context.Context, e vault.Erasure) error {
	return endMarks(ctx, s.pool, e.Class, treeFile, e.Before.AddDate(0, 0, -vault.LongestMonth))
}

// endPending ends the keys of values that have long had their place in the journal;
// not of those whose events still wait for one.
func (s *Store) endPending(ctx context.Context, now time.Time, ground string) error {
	before := now.Add(-2 * 24 * time.Hour).Truncate(24 * time.Hour)
	var oldest, last *time.Time
	if err := s.pool.QueryRow(ctx, "SELECT (SELECT min(at) FROM journal_pending), (SELECT max(before) FROM content_erasure WHERE class = $1)", vault.ClassPending).Scan(&oldest, &last); err != nil {
		return err
	}
	if oldest != nil && oldest.Before(before) {
		before = oldest.UTC().Truncate(24 * time.Hour)
	}
	if last != nil && !last.Before(before) {
		return nil
	}
	e := vault.Erasure{ID: retentionID(vault.ClassPending, before), At: now.Truncate(time.Millisecond), Ground: ground, Class: vault.ClassPending, Before: before}
	if err := s.opts.Vault.Erase(e); err != nil {
		return err
	}
	if _, err := carryOut(ctx, s.pool, s.opts.Vault, &s.gates, []vault.Erasure{e}, "", ""); err != nil {
		return err
	}
	return s.endTreeMarks(ctx, e)
}

// retentionID is the same at all nodes and tries, so that one day of a class ends
// once.
func retentionID(class string, before time.Time) string {
	sum := sha256.Sum256([]byte("mezhved retention\n" + class + "\n" + before.Format(time.RFC3339)))
	id := uuid.UUID(sum[:16])
	id[6], id[8] = id[6]&0x0F|0x80, id[8]&0x3F|0x80 // version 8
	return id.String()
}

// spared are the messages of a class that came before a time and are still on their
// way; when there are too many, the time is that of the first of them.
func (s *Store) spared(ctx context.Context, k ended, before time.Time) ([]vault.ID, time.Time, error) {
	if k.refused {
		return nil, before, nil
	}
	rows, _ := s.pool.Query(ctx, `SELECT id FROM `+kindsOf+` m WHERE id < $1 AND service = $2 AND direction = ANY ($3) AND id IN (`+waitingSQL+`) ORDER BY id LIMIT $4`,
		pgx.QueryExecModeCacheDescribe, [16]byte(floor(before)), k.service, k.directions(), mostSpared+1)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		return nil, before, fmt.Errorf("looking for messages that still wait: %w", err)
	}
	if len(ids) > mostSpared {
		return nil, timeOf(ids[0]).Truncate(24 * time.Hour), nil
	}
	spared := make([]vault.ID, len(ids))
	for i, id := range ids {
		spared[i] = id
	}
	return spared, before, nil
}

// wipe removes the bytes of a class that has ended, some at a time, and when it is
// through tells the journal how many items that were. A crash leaves the rest to the
// next call; what was counted is in the database.
func (s *Store) wipe(ctx context.Context, e vault.Erasure) (total int, err error) {
	if e.Class == vault.ClassPending {
		return 0, nil // has no rows of its own
	}
	id, err := uuid.Parse(e.ID)
	if err != nil {
		return 0, err
	}
	var last [16]byte
	for n := sweepRows; n == sweepRows; total += n {
		if err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			if endedBy(e).refused {
				n, err = wipeRefusals(ctx, tx, e)
			} else {
				n, err = wipeMessages(ctx, tx, e, &last)
			}
			if err == nil && n > 0 {
				_, err = tx.Exec(ctx, "UPDATE content_erasure SET wiped = wiped + $2, told = false WHERE id = $1", [16]byte(id), n)
			}
			return err
		}); err != nil {
			return total, fmt.Errorf("removing content that has ended: %w", err)
		}
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var wiped int
		err := tx.QueryRow(ctx, `UPDATE content_erasure e SET told = true, wiped = 0 FROM (SELECT wiped FROM content_erasure WHERE id = $1 AND NOT told FOR UPDATE) w
			WHERE id = $1 RETURNING w.wiped`, [16]byte(id)).Scan(&wiped)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && wiped == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		ev := journal.Event{Kind: journal.KindErased, Time: e.At, Service: e.Service, Count: wiped,
			Fields: []string{FieldContent}, Ground: e.Ground + " (before " + e.Before.Format(time.DateOnly) + ")"}
		if k := endedBy(e); k.refused {
			ev.Fields = append(ev.Fields, ClassRefused)
		} else {
			ev.Direction = string(k.direction())
		}
		return s.gates.record(ctx, tx, ev)
	})
	if err != nil {
		return total, fmt.Errorf("telling the journal of content that has ended: %w", err)
	}
	return total, nil
}

// wipeMessages goes on behind the last id.
func wipeMessages(ctx context.Context, tx pgx.Tx, e vault.Erasure, last *[16]byte) (int, error) {
	spared := make([][16]byte, len(e.Spared))
	for i, id := range e.Spared {
		spared[i] = id
	}
	k := endedBy(e)
	rows, _ := tx.Query(ctx, `SELECT id FROM `+kindsOf+` m WHERE id > $1 AND id < $2 AND codec <> 4 AND service = $3 AND direction = ANY ($4) AND id <> ALL ($5) ORDER BY id LIMIT $6`,
		pgx.QueryExecModeCacheDescribe, *last, [16]byte(floor(e.Before)), k.service, k.directions(), spared, sweepRows)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	*last = ids[len(ids)-1]
	for _, sql := range []string{
		"UPDATE message SET codec = 4, dictionary = 0, body = '', digest = '' WHERE id = ANY ($1)",
		"UPDATE attachment SET codec = 4, dictionary = 0, content = '' WHERE message = ANY ($1)",
		"DELETE FROM receipt WHERE message = ANY ($1)",
	} {
		if _, err := tx.Exec(ctx, sql, pgx.QueryExecModeCacheDescribe, ids); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}

func wipeRefusals(ctx context.Context, tx pgx.Tx, e vault.Erasure) (int, error) {
	tag, err := tx.Exec(ctx, "DELETE FROM refusal WHERE incident IN (SELECT incident FROM refusal WHERE at < $1 ORDER BY at LIMIT $2)", e.Before, sweepRows)
	return int(tag.RowsAffected()), err
}
