package postgres

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/alarms"
	"mezhved/adapter/journal"
	"mezhved/adapter/terms"
)

var alarmsWork = work{"alarms", "true"} // no release of before does it

var _ alarms.Store = (*Store)(nil)

// ExpandAlarms is alarms.Store.ExpandAlarms.
func (s *Store) ExpandAlarms(ctx context.Context, max int, expand func([]journal.Event) []alarms.Alarm) (n int, err error) {
	err = s.ledWork(ctx, alarmsWork, "EXISTS (SELECT FROM alarm_event)", func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, "SELECT id, event::text FROM alarm_event ORDER BY id LIMIT $1", max)
		var ids []int64
		var events []journal.Event
		var id int64
		var text string
		_, err := pgx.ForEachRow(rows, []any{&id, &text}, func() error {
			e, err := journal.ParseRow([]byte(text))
			if err != nil {
				return fmt.Errorf("event %d: %w", id, err)
			}
			ids, events = append(ids, id), append(events, e)
			return nil
		})
		if n = len(ids); err != nil || n == 0 {
			return err
		}
		batch := &pgx.Batch{}
		for _, a := range expand(events) {
			row, err := a.Event.Row()
			if err != nil {
				return err
			}
			batch.Queue(`INSERT INTO alarm (rule, way, target, event, message, stage, escalated, since, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)`,
				a.Rule, a.Way, a.Target, string(row), [16]byte(a.Message), stageNumber(a.Stage), a.Escalated, a.At)
		}
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "DELETE FROM alarm_event WHERE id = ANY ($1)", ids)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("making alarms of events: %w", err)
	}
	return n, nil
}

// ledWork does something in a transaction of the leader of a work, if there is anything
// to do, which the SQL waits tells.
func (s *Store) ledWork(ctx context.Context, w work, waits string, do func(pgx.Tx) error) error {
	epoch, err := s.lead(ctx, w, waits)
	if err != nil || epoch == 0 {
		return err
	}
	return s.ended(ctx, w, epoch, do)
}

// lead claims a work if there is anything to do; epoch 0 says that there is not.
func (s *Store) lead(ctx context.Context, w work, waits string) (epoch int64, err error) {
	var some bool
	if err := s.polls.QueryRow(ctx, "SELECT "+waits).Scan(&some); err != nil || !some {
		return 0, err
	}
	var got claimed
	batch := &pgx.Batch{}
	s.leads.claim(batch, w, "true", &got)
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		return 0, err
	}
	if got.epoch == 0 {
		s.leads.refused(ctx, w, got, 0)
		return 0, adapter.ErrShardTaken
	}
	s.leads.moved(w)
	return got.epoch, nil
}

// ended does something and ends the term, in one transaction; when that is not
// committed the term is let go of apart.
func (s *Store) ended(ctx context.Context, w work, epoch int64, do func(pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, s.works, func(tx pgx.Tx) error {
		if err := do(tx); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, releaseSQL, s.leads.proof(w, epoch)...)
		if err == nil && tag.RowsAffected() == 0 {
			err = &DeposedError{w.name, epoch}
		}
		return err
	})
	if err != nil {
		s.leads.release(w, epoch)
	}
	return err
}

const alarmColumns = "a.id, a.rule, a.way, a.target, a.event::text, a.message, a.stage, a.escalated, a.at, a.attempts, a.problem, a.dead"

func scanAlarm(row pgx.CollectableRow, more ...any) (a alarms.Alarm, err error) {
	var id [16]byte
	var stage int
	var text string
	err = row.Scan(append([]any{&a.ID, &a.Rule, &a.Way, &a.Target, &text, &id, &stage, &a.Escalated, &a.At, &a.Attempts, &a.Problem, &a.Dead}, more...)...)
	if err != nil {
		return a, err
	}
	a.Message, a.Stage, a.At = uuid.UUID(id), terms.Stages[stage], a.At.UTC()
	a.Event, err = journal.ParseRow([]byte(text))
	return a, err
}

// SendAlarms is alarms.Store.SendAlarms. No transaction is open while mails go. A crash
// in between has them told again, and the entry is written once.
func (s *Store) SendAlarms(ctx context.Context, now time.Time, max int, send func(context.Context, []alarms.Pending) (alarms.Sent, error)) (n int, err error) {
	var some bool
	if err := s.polls.QueryRow(ctx, "SELECT EXISTS (SELECT FROM alarm WHERE at <= $1 AND NOT dead)", now).Scan(&some); err != nil || !some {
		return 0, err
	}
	epoch, err := s.lead(ctx, alarmsWork, "true")
	if err != nil || epoch == 0 {
		return 0, err
	}
	// Of those that are due, whole groups: a digest is one mail, however many there are.
	rows, _ := s.pool.Query(ctx, `WITH due AS (
		SELECT id, min(attempts) OVER w > 0 AS tried, min(at) OVER w AS first, rule, way, target FROM alarm WHERE at <= $1 AND NOT dead
		WINDOW w AS (PARTITION BY rule, way, target)
		ORDER BY 2, 3, rule, way, target, id LIMIT $2)
		SELECT `+alarmColumns+`, EXISTS (SELECT FROM alarm_mute m WHERE m.rule = a.rule AND m.until > $1),
			(a.escalated OR a.event->>'kind' = 'due-soon') AND NOT EXISTS (SELECT FROM open_term o WHERE o.message = a.message AND o.stage = a.stage)
		FROM due JOIN alarm a USING (id) ORDER BY due.tried, due.first, a.rule, a.way, a.target, a.id`, now, max)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p alarms.Pending, err error) {
		p.Alarm, err = scanAlarm(row, &p.Muted, &p.Reached)
		return p, err
	})
	if err != nil || len(list) == 0 {
		s.leads.release(alarmsWork, epoch)
		return 0, err
	}
	kept, stop := s.leads.keep(ctx, alarmsWork, epoch)
	sent, err := send(kept, list)
	stop()
	if err != nil {
		s.leads.release(alarmsWork, epoch)
		return 0, cmp.Or(deposed(kept), err)
	}
	// What was told is to be remembered even when the node is told to stop meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.StatementTimeout)
	defer cancel()
	err = s.ended(ctx, alarmsWork, epoch, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM alarm WHERE id = ANY ($1)", sent.Done); err != nil {
			return err
		}
		for _, a := range sent.Again {
			if _, err := tx.Exec(ctx, "UPDATE alarm SET at = $2, attempts = $3, problem = $4, dead = $5 WHERE id = $1", a.ID, a.At, a.Attempts, a.Problem, a.Dead); err != nil {
				return err
			}
		}
		return s.gates.record(ctx, tx, sent.Events...)
	})
	if err != nil {
		return 0, fmt.Errorf("remembering what was told: %w", err)
	}
	return len(list), nil
}

// AlarmsStanding is alarms.Store.AlarmsStanding.
func (s *Store) AlarmsStanding(ctx context.Context, now time.Time) (dead int, oldest time.Time, err error) {
	var at *time.Time
	err = s.polls.QueryRow(ctx, "SELECT (SELECT count(*) FROM alarm WHERE dead), (SELECT since FROM alarm WHERE NOT dead AND since <= $1 ORDER BY since LIMIT 1)", now).Scan(&dead, &at)
	if err != nil {
		return 0, oldest, fmt.Errorf("looking at alarms: %w", err)
	}
	if at != nil {
		oldest = at.UTC()
	}
	return dead, oldest, nil
}

// DeadAlarms are alarms that could not be told, the latest first.
func (s *Store) DeadAlarms(ctx context.Context, limit int) ([]alarms.Alarm, error) {
	rows, _ := s.pool.Query(ctx, "SELECT "+alarmColumns+" FROM alarm a WHERE dead ORDER BY at DESC LIMIT $1", limit)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (alarms.Alarm, error) { return scanAlarm(row) })
	if err != nil {
		return nil, fmt.Errorf("looking for dead alarms: %w", err)
	}
	return list, nil
}

// RetryAlarms has dead alarms tried again, and commits the event that says who wants it.
func (s *Store) RetryAlarms(ctx context.Context, now time.Time, ev journal.Event) (n int, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "UPDATE alarm SET dead = false, attempts = 0, at = $1, since = $1 WHERE dead", now)
		if n = int(tag.RowsAffected()); err != nil || n == 0 {
			return err
		}
		return s.gates.record(ctx, tx, ev)
	})
	if err != nil {
		return 0, fmt.Errorf("trying dead alarms again: %w", err)
	}
	return n, nil
}

// Mute is a rule that tells nobody until a time.
type Mute struct {
	Rule   string    `json:"rule"`
	Until  time.Time `json:"until"`
	Ground string    `json:"ground"`
}

// MuteAlarms has a rule tell nobody until a time, and commits the event that says so; a
// time that has passed ends an earlier order.
func (s *Store) MuteAlarms(ctx context.Context, m Mute, ev journal.Event) error {
	encoded, err := encodeEvents([]journal.Event{ev})
	if err != nil {
		return err
	}
	_, err = s.pool.Exec(ctx, s.gates.sql(`WITH m AS (
	INSERT INTO alarm_mute (rule, until, ground) VALUES ($2, $3, $4) ON CONFLICT (rule) DO UPDATE SET until = excluded.until, ground = excluded.ground
) `+recordSQL), encoded, m.Rule, m.Until, m.Ground)
	if err != nil {
		return fmt.Errorf("muting alarms: %w", err)
	}
	return nil
}

// Mutes are the rules that tell nobody now.
func (s *Store) Mutes(ctx context.Context, now time.Time) ([]Mute, error) {
	rows, _ := s.pool.Query(ctx, "SELECT rule, until, ground FROM alarm_mute WHERE until > $1 ORDER BY rule", now)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Mute])
	if err != nil {
		return nil, fmt.Errorf("looking for muted alarms: %w", err)
	}
	return list, nil
}

// sweepAlarms forgets dead alarms, and events that no node has made alarms of, because
// none has rules.
func (s *Store) sweepAlarms(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, `WITH e AS (DELETE FROM alarm_event WHERE at < now() - interval '7 days')
		DELETE FROM alarm WHERE dead AND at < now() - interval '90 days'`)
	if err != nil {
		return fmt.Errorf("forgetting alarms: %w", err)
	}
	return nil
}
