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
	"mezhved/adapter/vault"
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

// kept is a proposal as it is kept: what it is to find people by, who are not named, is
// nobody else's business.
type kept struct {
	Proposal
	Sought [][]byte `json:"sought,omitempty"` // EraseOrder.Sought
}

// Confirmed is what became of a proposal.
type Confirmed struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Erased int       `json:"erased"`
	Before bool      `json:"-"` // it had been confirmed already, and nothing was done
}

// proposalLife is how long a proposal waits, and what became of it is remembered;
// whoever proposes the next one removes those that are over, and so does retention.
const proposalLife = 7 * 24 * time.Hour

// ErrSameActor says that who proposed an erasure cannot be who confirms it.
var ErrSameActor = errors.New("an erasure is confirmed by another operator than the one who proposed it")

// Propose keeps an order until Confirm.
func (s *Store) Propose(ctx context.Context, o EraseOrder) (id string, err error) {
	if s.opts.Vault == nil {
		return "", fmt.Errorf("%w: erasing is for a node with the vault (journal.vault)", ErrVault)
	}
	items, err := s.erasable(ctx, o)
	if err != nil {
		return "", err
	}
	// Whoever orders is told at once what the confirmation would fail for.
	if err := reachable(ctx, s.pool, s.opts.Vault, []vault.Erasure{{Items: items}}); err != nil {
		return "", err
	}
	if len(o.Sought) > 0 {
		if err := keysThere(ctx, s.pool, s.opts.Vault, "tokens && $1", openingTokens(o.Sought)); err != nil {
			return "", err
		}
	}
	p := kept{Proposal{ID: uuid.Must(uuid.NewV7()).String(), At: o.At, By: o.By, Ground: o.Ground, Incidents: o.Incidents}, o.Sought}
	for _, m := range o.Messages {
		p.Messages = append(p.Messages, m.String())
	}
	return p.ID, s.propose(ctx, p)
}

// ProposeValues keeps an order to erase values (Journal.Erase) until Confirm.
func (s *Store) ProposeValues(ctx context.Context, index int64, fields []string, ground, by string, now time.Time) (id string, err error) {
	if s.opts.Vault == nil {
		return "", fmt.Errorf("%w: erasing is for a node with the vault (journal.vault)", ErrVault)
	}
	if err := valuesReachable(ctx, s.pool, s.opts.Vault, index); err != nil {
		return "", err
	}
	p := kept{Proposal: Proposal{ID: uuid.Must(uuid.NewV7()).String(), At: now, By: by, Ground: ground, Target: &index, Fields: fields}}
	return p.ID, s.propose(ctx, p)
}

func (s *Store) propose(ctx context.Context, p kept) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := s.endProposals(ctx, p.At); err != nil {
		return err
	}
	if _, err := s.pool.Exec(ctx, "INSERT INTO content_order (id, at, proposal) VALUES ($1, $2, $3)", p.ID, p.At, string(text)); err != nil {
		return fmt.Errorf("keeping a proposal: %w", err)
	}
	return nil
}

// endProposals removes those that are over.
func (s *Store) endProposals(ctx context.Context, now time.Time) error {
	_, err := s.pool.Exec(ctx, "DELETE FROM content_order WHERE at < $1", now.Add(-proposalLife))
	if err != nil {
		return fmt.Errorf("removing proposals that are over: %w", err)
	}
	return nil
}

// Proposals are the orders that wait for another operator.
func (s *Store) Proposals(ctx context.Context, now time.Time) ([]Proposal, error) {
	rows, _ := s.pool.Query(ctx, "SELECT proposal FROM content_order WHERE at >= $1 AND done IS NULL ORDER BY at", now.Add(-proposalLife))
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (p Proposal, err error) {
		var text []byte
		if err = r.Scan(&text); err == nil {
			err = json.Unmarshal(text, &p)
		}
		return p, err
	})
}

// Confirm carries out what another operator has proposed. A crash before its end
// leaves the proposal, and it may be confirmed again; confirmed once more it says what
// became of it. An unknown one, or one that is over, is adapter.ErrNotFound.
func (s *Store) Confirm(ctx context.Context, id, by string, now time.Time) (c Confirmed, err error) {
	var text, done []byte
	err = s.pool.QueryRow(ctx, "SELECT proposal, done FROM content_order WHERE id::text = $1 AND at >= $2", id, now.Add(-proposalLife)).Scan(&text, &done)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, fmt.Errorf("proposal %s: %w", id, adapter.ErrNotFound)
	}
	if err != nil {
		return c, err
	}
	if done != nil {
		c.Before = true
		return c, json.Unmarshal(done, &c)
	}
	var p kept
	if err := json.Unmarshal(text, &p); err != nil {
		return c, err
	}
	if p.By == by {
		return c, ErrSameActor
	}
	c = Confirmed{By: by, At: now}
	if c.Erased, err = s.confirmed(ctx, &p, by, now); err != nil {
		return c, err
	}
	if done, err = json.Marshal(c); err != nil {
		return c, err
	}
	// Of what it was found by nothing is kept.
	_, err = s.pool.Exec(ctx, "UPDATE content_order SET done = $2, proposal = proposal - 'sought' WHERE id::text = $1", id, string(done))
	return c, err
}

func (s *Store) confirmed(ctx context.Context, p *kept, by string, now time.Time) (int, error) {
	if p.Target != nil {
		if s.opts.Vault == nil {
			return 0, fmt.Errorf("%w: erasing is for a node with the vault (journal.vault)", ErrVault)
		}
		gone, err := eraseValues(ctx, s.pool, s.opts.Vault, &s.gates, *p.Target, p.Fields, p.Ground, p.By, by, now)
		return len(gone), err
	}
	o := EraseOrder{Incidents: p.Incidents, Sought: p.Sought, Ground: p.Ground, By: p.By, Confirmed: by, At: now}
	for _, m := range p.Messages {
		u, err := uuid.Parse(m)
		if err != nil {
			return 0, err
		}
		o.Messages = append(o.Messages, u)
	}
	return s.EraseContent(ctx, o)
}
