package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
)

// Proposal is an order to erase, content or the values behind an entry, that waits for another operator.
type Proposal struct {
	ID        string    `json:"id"`
	At        time.Time `json:"at"`
	By        string    `json:"by"`
	Ground    string    `json:"ground"`
	Messages  []string  `json:"messages,omitempty"`
	Incidents []string  `json:"incidents,omitempty"`
	Target    *int64    `json:"target,omitempty"` // the entry whose values it is
	Fields    []string  `json:"fields,omitempty"`
}

// proposalLife is how long a proposal waits; whoever proposes the next one removes
// those that are over.
const proposalLife = 7 * 24 * time.Hour

// ErrSameActor says that who proposed an erasure cannot be who confirms it.
var ErrSameActor = errors.New("an erasure is confirmed by another operator than the one who proposed it")

// Propose keeps an order until Confirm.
func (s *Store) Propose(ctx context.Context, o EraseOrder) (id string, err error) {
	waits := &WaitsError{}
	if _, err := s.erasable(ctx, o); err != nil && !errors.As(err, &waits) {
		return "", err
	} else if err != nil {
		return "", waits
	}
	p := Proposal{ID: uuid.Must(uuid.NewV7()).String(), At: o.At, By: o.By, Ground: o.Ground, Incidents: o.Incidents}
	for _, m := range o.Messages {
		p.Messages = append(p.Messages, m.String())
	}
	return p.ID, s.propose(ctx, p)
}

// ProposeValues keeps an order to erase values (Journal.Erase) until Confirm.
func (s *Store) ProposeValues(ctx context.Context, index int64, fields []string, ground, by string, now time.Time) (id string, err error) {
	p := Proposal{ID: uuid.Must(uuid.NewV7()).String(), At: now, By: by, Ground: ground, Target: &index, Fields: fields}
	return p.ID, s.propose(ctx, p)
}

func (s *Store) propose(ctx context.Context, p Proposal) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = s.pool.Exec(ctx, "WITH d AS (DELETE FROM content_order WHERE at < $2) INSERT INTO content_order (id, at, proposal) VALUES ($1, $3, $4)",
		p.ID, p.At.Add(-proposalLife), p.At, string(text))
	if err != nil {
		return fmt.Errorf("keeping a proposal: %w", err)
	}
	return nil
}

// Proposals are the orders that wait for another operator.
func (s *Store) Proposals(ctx context.Context, now time.Time) ([]Proposal, error) {
	rows, _ := s.pool.Query(ctx, "SELECT proposal FROM content_order WHERE at >= $1 ORDER BY at", now.Add(-proposalLife))
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (p Proposal, err error) {
		var text []byte
		if err = r.Scan(&text); err == nil {
			err = json.Unmarshal(text, &p)
		}
		return p, err
	})
}

// Confirm carries out what another operator has proposed. A crash before its end
// leaves the proposal, and it may be confirmed again.
func (s *Store) Confirm(ctx context.Context, id, by string, now time.Time) (n int, err error) {
	var text []byte
	err = s.pool.QueryRow(ctx, "SELECT proposal FROM content_order WHERE id::text = $1 AND at >= $2", id, now.Add(-proposalLife)).Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("proposal %s: %w", id, adapter.ErrNotFound)
	}
	var p Proposal
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return 0, err
	}
	if p.By == by {
		return 0, ErrSameActor
	}
	if p.Target != nil {
		if s.opts.Vault == nil {
			return 0, fmt.Errorf("%w: erasing is for a node with the vault (journal.vault)", ErrVault)
		}
		gone, err := eraseValues(ctx, s.pool, s.opts.Vault, *p.Target, p.Fields, p.Ground, p.By, by, now)
		if err != nil {
			return 0, err
		}
		return len(gone), s.done(ctx, id)
	}
	o := EraseOrder{Incidents: p.Incidents, Ground: p.Ground, By: p.By, Confirmed: by, At: now}
	for _, m := range p.Messages {
		u, err := uuid.Parse(m)
		if err != nil {
			return 0, err
		}
		o.Messages = append(o.Messages, u)
	}
	if n, err = s.EraseContent(ctx, o); err != nil {
		return n, err
	}
	return n, s.done(ctx, id)
}

func (s *Store) done(ctx context.Context, id string) error {
	_, err := s.pool.Exec(ctx, "DELETE FROM content_order WHERE id::text = $1", id)
	return err
}
