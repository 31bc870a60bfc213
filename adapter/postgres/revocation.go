package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
)

// answers remembers which answers about revocation this node has noted on a day, so
// that a call writes one only when it is the first to rely on it.
type answers struct {
	mu    sync.Mutex
	day   time.Time
	noted map[[32]byte]bool

	writing sync.Mutex // held by who writes: others that need the same find it noted
}

const answersNoted = 100_000 // of a day; beyond them the notes begin anew

// missing are those that have not been noted on the day.
func (a *answers) missing(day time.Time, list []adapter.RevocationAnswer) (out []adapter.RevocationAnswer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range list {
		if !a.day.Equal(day) || !a.noted[one.Digest] {
			out = append(out, one)
		}
	}
	return out
}

func (a *answers) note(day time.Time, digest [32]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.day.Equal(day) || len(a.noted) >= answersNoted {
		a.day, a.noted = day, map[[32]byte]bool{}
	}
	a.noted[digest] = true
}

// KeepAnswers is adapter.Store.KeepAnswers.
func (s *Store) KeepAnswers(ctx context.Context, list []adapter.RevocationAnswer, now time.Time) error {
	day := now.UTC().Truncate(24 * time.Hour)
	if len(s.answers.missing(day, list)) == 0 {
		return nil
	}
	s.answers.writing.Lock()
	defer s.answers.writing.Unlock()
	for _, a := range s.answers.missing(day, list) {
		if err := s.keepAnswer(ctx, a, day); err != nil {
			return fmt.Errorf("keeping an answer about revocation: %w", err)
		}
		s.answers.note(day, a.Digest)
	}
	return nil
}

func (s *Store) keepAnswer(ctx context.Context, a adapter.RevocationAnswer, day time.Time) error {
	// Asked first: a revocation list may be long, and is nearly always there.
	tag, err := s.pool.Exec(ctx, "UPDATE revocation_answer SET used = greatest(used, $2::date) WHERE digest = $1", a.Digest[:], day)
	if err != nil || tag.RowsAffected() > 0 {
		return err
	}
	p := s.bodies.pack(a.Bytes)
	_, err = s.pool.Exec(ctx, `INSERT INTO revocation_answer (digest, kind, source, made, due, used, codec, dictionary, size, body)
		VALUES ($1, $2, $3, $4, $5, $6::date, $7, $8, $9, $10)
		ON CONFLICT (digest) DO UPDATE SET used = greatest(revocation_answer.used, excluded.used)`,
		a.Digest[:], a.Kind, a.Source, timeOrNull(a.Made), timeOrNull(a.Due), day, p.codec, p.dictionary, p.size, nonNil(p.bytes))
	return err
}

// Answer is adapter.Store.Answer.
func (s *Store) Answer(ctx context.Context, digest [32]byte) (adapter.RevocationAnswer, error) {
	a := adapter.RevocationAnswer{Digest: digest}
	var made, due *time.Time
	var p packed
	err := s.pool.QueryRow(ctx, "SELECT kind, source, made, due, codec, dictionary, size, body FROM revocation_answer WHERE digest = $1", digest[:]).
		Scan(&a.Kind, &a.Source, &made, &due, &p.codec, &p.dictionary, &p.size, &p.bytes)
	if errors.Is(err, pgx.ErrNoRows) {
		err = adapter.ErrNotFound
	}
	if err == nil {
		a.Bytes, err = s.bodies.unpack(ctx, p)
	}
	if err != nil {
		return adapter.RevocationAnswer{}, fmt.Errorf("answer about revocation %x: %w", digest[:8], err)
	}
	if made != nil {
		a.Made = made.UTC()
	}
	if due != nil {
		a.Due = due.UTC()
	}
	return a, nil
}

// sweepAnswers removes the answers of days whose messages and refusals have gone.
func (s *Store) sweepAnswers(ctx context.Context, now time.Time) error {
	keep := s.keeps()
	if keep == 0 {
		return nil
	}
	before := now.Add(-max(keep, s.opts.KeepRefusals)).AddDate(0, 0, -1).UTC()
	if _, err := s.pool.Exec(ctx, "DELETE FROM revocation_answer WHERE used < $1::date", before); err != nil {
		return fmt.Errorf("removing old answers about revocation: %w", err)
	}
	return nil
}
