package postgres

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/alarms"
	"mezhved/adapter/journal"
	"mezhved/adapter/lifecycle/probe"
)

var probeWork = work{"probe", "true"} // no release of before does it

var _ probe.Store = (*Store)(nil)

// LeadProbes is probe.Store.LeadProbes.
func (s *Store) LeadProbes(ctx context.Context, do func(context.Context, probe.Term) error) error {
	epoch, err := s.lead(ctx, probeWork, "true")
	if err != nil {
		return err
	}
	kept, stop := s.leads.keep(ctx, probeWork, epoch)
	err = do(kept, &probeTerm{s, epoch})
	stop()
	s.leads.release(probeWork, epoch)
	return cmp.Or(deposed(kept), err)
}

type probeTerm struct {
	s     *Store
	epoch int64
}

// led does something in a transaction that proves the term.
func (t *probeTerm) led(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, t.s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, proofSQL, t.s.leads.proof(probeWork, t.epoch)...)
		if err == nil && tag.RowsAffected() == 0 {
			err = &DeposedError{probeWork.name, t.epoch}
		}
		if err != nil {
			return err
		}
		return do(tx)
	})
}

const probeColumns = "service, version, kind, next, message_id, sent, due, at, since, problem, provider, detail, took_ms"

// Save is probe.Term.Save.
func (t *probeTerm) Save(ctx context.Context, states []probe.State, results []probe.Result) error {
	err := t.led(ctx, func(tx pgx.Tx) error {
		for i := range states {
			if err := saveProbe(ctx, tx, &states[i]); err != nil {
				return err
			}
		}
		batch := &pgx.Batch{}
		for _, r := range results {
			batch.Queue(`INSERT INTO probe_result (service, version, kind, at, problem, provider, detail, took_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
				r.Service, r.Version, string(r.Kind), r.At, string(r.Problem), string(r.Provider), r.Detail, r.Took.Milliseconds())
		}
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return fmt.Errorf("keeping what came of probes: %w", err)
	}
	return nil
}

// saveProbe writes a state and, when it has another colour than before, the event that
// alarms are made of.
func saveProbe(ctx context.Context, tx pgx.Tx, p *probe.State) error {
	before := probe.State{}
	var at *time.Time
	err := tx.QueryRow(ctx, "SELECT at, problem FROM probe WHERE service = $1 AND version = $2 AND kind = $3", p.Service, p.Version, string(p.Kind)).Scan(&at, &before.Problem)
	if err != nil && err != pgx.ErrNoRows {
		return err
	}
	before.At = timeOf0(at)
	_, err = tx.Exec(ctx, `INSERT INTO probe (`+probeColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (service, version, kind) DO UPDATE SET next = excluded.next, message_id = excluded.message_id, sent = excluded.sent, due = excluded.due,
			at = excluded.at, since = excluded.since, problem = excluded.problem, provider = excluded.provider, detail = excluded.detail, took_ms = excluded.took_ms`,
		p.Service, p.Version, string(p.Kind), p.Next, string(p.MessageID), timeOrNull(p.Sent), timeOrNull(p.Due), timeOrNull(p.At), timeOrNull(p.Since),
		string(p.Problem), string(p.Provider), p.Detail, p.Took.Milliseconds())
	if err != nil || p.Red() == before.Red() {
		return err
	}
	ev := journal.Event{Kind: alarms.ProbeGreen, Time: p.At, Service: p.Service, Version: p.Version, Operation: string(p.Kind), Recipient: string(p.Provider)}
	if p.Red() {
		ev.Kind, ev.Outcome, ev.Rule = alarms.ProbeRed, string(p.Problem), p.Detail
	}
	encoded, err := encodeEvents([]journal.Event{ev})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO alarm_event (event) VALUES ($1::json)", encoded[0])
	return err
}

// Forget is probe.Term.Forget.
func (t *probeTerm) Forget(ctx context.Context, but []probe.Key) error {
	var services, versions, kinds []string
	for _, k := range but {
		services, versions, kinds = append(services, k.Service), append(versions, k.Version), append(kinds, string(k.Kind))
	}
	err := t.led(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM probe WHERE (service, version, kind) NOT IN (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]))`, services, versions, kinds)
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting probes: %w", err)
	}
	return nil
}

// Probes is probe.Store.Probes.
func (s *Store) Probes(ctx context.Context) ([]probe.State, error) {
	rows, _ := s.pool.Query(ctx, "SELECT "+probeColumns+" FROM probe ORDER BY service, version, kind DESC")
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p probe.State, err error) {
		var sent, due, at, since *time.Time
		var took int64
		err = row.Scan(&p.Service, &p.Version, &p.Kind, &p.Next, &p.MessageID, &sent, &due, &at, &since, &p.Problem, &p.Provider, &p.Detail, &took)
		p.Next, p.Sent, p.Due, p.At, p.Since, p.Took = p.Next.UTC(), timeOf0(sent), timeOf0(due), timeOf0(at), timeOf0(since), time.Duration(took)*time.Millisecond
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading probes: %w", err)
	}
	return list, nil
}

// timeOf0 is a time that may be null, which is the zero time then.
func timeOf0(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// ProbeHistory is probe.Store.ProbeHistory.
func (s *Store) ProbeHistory(ctx context.Context, service, version string, from time.Time, limit int) ([]probe.Result, error) {
	var most *int
	if limit > 0 {
		most = &limit
	}
	rows, _ := s.pool.Query(ctx, `SELECT service, version, kind, at, problem, provider, detail, took_ms FROM probe_result
		WHERE at >= $1 AND ($2 = '' OR service = $2 AND version = $3) ORDER BY at DESC, id DESC LIMIT $4`, from, service, version, most)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r probe.Result, err error) {
		var took int64
		err = row.Scan(&r.Service, &r.Version, &r.Kind, &r.At, &r.Problem, &r.Provider, &r.Detail, &took)
		r.At, r.Took = r.At.UTC(), time.Duration(took)*time.Millisecond
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading what came of probes: %w", err)
	}
	return list, nil
}

// NotePolls is probe.Store.NotePolls.
func (s *Store) NotePolls(ctx context.Context, polls map[adapter.PollOf]time.Time) error {
	var parties, services []string
	var at []time.Time
	for of, t := range polls {
		parties, services, at = append(parties, string(of.Party)), append(services, of.Service), append(at, t)
	}
	_, err := s.pool.Exec(ctx, `INSERT INTO party_poll SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[]) u(party, service, at) ORDER BY 1, 2
		ON CONFLICT (party, service) DO UPDATE SET at = greatest(party_poll.at, excluded.at)`, parties, services, at)
	if err != nil {
		return fmt.Errorf("noting who has polled: %w", err)
	}
	return nil
}

// LastPolls is probe.Store.LastPolls.
func (s *Store) LastPolls(ctx context.Context) (map[adapter.PollOf]time.Time, error) {
	rows, _ := s.pool.Query(ctx, "SELECT party, service, at FROM party_poll")
	out := map[adapter.PollOf]time.Time{}
	var of adapter.PollOf
	var at time.Time
	_, err := pgx.ForEachRow(rows, []any{&of.Party, &of.Service, &at}, func() error {
		out[of] = at.UTC()
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading who has polled: %w", err)
	}
	return out, nil
}

// OldestRequest is probe.Store.OldestRequest. It goes by the index alone, however deep
// the queue is. What is handed out and not acknowledged waits for nobody but its reader.
func (s *Store) OldestRequest(ctx context.Context, to adapter.Mnemonic, roots []adapter.QName) (time.Time, error) {
	var spaces, locals []string
	for _, r := range roots {
		spaces, locals = append(spaces, r.Space), append(locals, r.Local)
	}
	rows, _ := s.pool.Query(ctx, `SELECT q.message FROM queue_name n, root_name r, unnest($2::text[], $3::text[]) u(space, local), generate_series(0, 1) p(prio),
		LATERAL (SELECT message FROM queue WHERE queue = n.id AND root = r.id AND prio = p.prio AND attempts = returned ORDER BY seq LIMIT 1) q
		WHERE n.system = $1 AND n.kind = $4 AND r.space = u.space AND r.local = u.local`, string(to), spaces, locals, string(adapter.QueueRequests))
	var oldest time.Time
	var id [16]byte
	_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
		if at := timeOf(id); oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
		return nil
	})
	if err != nil {
		return oldest, fmt.Errorf("looking for the oldest request of %s: %w", to, err)
	}
	return oldest, nil
}

// sweepProbes forgets what came of probes long ago, and parties that have not polled for long.
func (s *Store) sweepProbes(ctx context.Context, now time.Time) error {
	_, err := s.pool.Exec(ctx, `WITH p AS (DELETE FROM party_poll WHERE at < $2) DELETE FROM probe_result WHERE at < $1`, now.AddDate(0, 0, -31), now.AddDate(0, 0, -90))
	if err != nil {
		return fmt.Errorf("forgetting probes: %w", err)
	}
	return nil
}
