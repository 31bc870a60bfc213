package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/journal"
	"mezhved/adapter/reports"
	"mezhved/adapter/terms"
)

var standingWork = work{"standing", "true"} // no release of before does it

var _ reports.Standings = (*Journal)(nil)

// standingColumns are read by scanStanding.
const standingColumns = "entries, next, rules, latest, last_due, open, kept"

func scanStanding(row pgx.CollectableRow) (s *reports.Standing, err error) {
	s = &reports.Standing{}
	var latest, lastDue int64
	if err := row.Scan(&s.Entries, &s.Next, &s.Rules, &latest, &lastDue, &s.Open, &s.Kept); err != nil {
		return nil, err
	}
	s.Latest, s.LastDue = time.UnixMilli(latest).UTC(), time.UnixMilli(lastDue).UTC()
	var broken [2]error
	s.Open, broken[0] = unsqueezed(s.Open)
	s.Kept, broken[1] = unsqueezed(s.Kept)
	return s, errors.Join(broken[:]...)
}

// Standing is reports.Standings.Standing.
func (j *Journal) Standing(ctx context.Context, rules string, entries int64, before time.Time) (s *reports.Standing, kept [][]byte, err error) {
	rows, _ := j.pool.Query(ctx, "SELECT "+standingColumns+" FROM journal_standing WHERE rules = $1 AND entries <= $2 AND latest < $3 ORDER BY entries DESC LIMIT 1", rules, entries, before.UnixMilli())
	s, err = pgx.CollectExactlyOneRow(rows, scanStanding)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil, nil
	}
	if err == nil {
		rows, _ = j.pool.Query(ctx, "SELECT kept FROM journal_standing WHERE rules = $1 AND entries <= $2 AND last_due >= $3 ORDER BY entries", rules, s.Entries, before.UnixMilli())
		kept, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (b []byte, err error) {
			if err = row.Scan(&b); err == nil {
				b, err = unsqueezed(b)
			}
			return b, err
		})
	}
	if err != nil {
		return nil, nil, fmt.Errorf("where reports can begin: %w", err)
	}
	return s, kept, nil
}

// Stand makes the next standing of a log of which size entries are under a checkpoint, when
// there are enough of them. One node does it at a time; what two make at once is the same.
func (j *Journal) Stand(ctx context.Context, c *terms.Calendar, source journal.TileSource, size int64, hold func(bytes int) error) (made bool, err error) {
	rules := reports.Rules(c)
	var next int64
	err = j.pool.QueryRow(ctx, "SELECT coalesce((SELECT next FROM journal_standing WHERE rules = $1 ORDER BY entries DESC LIMIT 1), $2)", rules, reports.StandingEntries).Scan(&next)
	if err != nil || size < next {
		return false, err
	}
	var got claimed
	batch := &pgx.Batch{}
	j.leads.claim(batch, standingWork, "true", &got)
	if err := j.pool.SendBatch(ctx, batch).Close(); err != nil {
		return false, err
	}
	if got.epoch == 0 {
		j.leads.refused(ctx, standingWork, got, 0)
		return false, nil
	}
	j.leads.moved(standingWork)
	kept, stop := j.leads.keep(ctx, standingWork, got.epoch)
	err = j.stand(kept, c, rules, source, size, hold)
	stop()
	j.leads.release(standingWork, got.epoch)
	return err == nil, err
}

func (j *Journal) stand(ctx context.Context, c *terms.Calendar, rules string, source journal.TileSource, size int64, hold func(bytes int) error) error {
	rows, _ := j.pool.Query(ctx, "SELECT "+standingColumns+" FROM journal_standing WHERE rules = $1 ORDER BY entries DESC LIMIT 1", rules)
	last, err := pgx.CollectExactlyOneRow(rows, scanStanding)
	if errors.Is(err, pgx.ErrNoRows) {
		last, err = nil, nil
	}
	if err != nil || last != nil && last.Next > size { // another node was quicker
		return err
	}
	s, err := reports.Stand(ctx, c, last, source, hold)
	if err != nil {
		return fmt.Errorf("what reports need of the log: %w", err)
	}
	return pgx.BeginFunc(ctx, j.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO journal_standing ("+standingColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
			s.Entries, s.Next, s.Rules, s.Latest.UnixMilli(), s.LastDue.UnixMilli(), squeezed(s.Open), squeezed(s.Kept))
		if err == nil {
			_, err = tx.Exec(ctx, "DELETE FROM journal_standing WHERE rules <> $1 AND made < now() - interval '31 days'", rules)
		}
		return err
	})
}

// dropStandings lets go of standings in front of an entry, as far as none that is left needs
// what they have kept: a report that begins with one of these has a period behind its Latest.
const dropStandings = `WITH s AS (
	SELECT rules, entries, latest, max(last_due) OVER (PARTITION BY rules ORDER BY entries ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS due FROM journal_standing
), least AS (
	SELECT rules, max(entries) AS entries FROM s WHERE entries <= $1 AND due <= latest GROUP BY rules
)
DELETE FROM journal_standing d USING least WHERE d.rules = least.rules AND d.entries < least.entries`
