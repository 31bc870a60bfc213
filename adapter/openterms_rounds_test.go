package adapter

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mezhved/adapter/journal"
	"mezhved/adapter/registry"
	"mezhved/adapter/yamlfile"
)

// termStore has a long log, of which a round takes nothing when it lasts for too long.
type termStore struct {
	Store
	asked  []int
	rounds []termRound
	stop   context.CancelFunc
}

type termRound struct {
	took time.Duration
	err  error
}

func (s *termStore) FollowTerms(_ context.Context, _ time.Time, max int, _ TermRules) (TermsDone, error) {
	round := s.rounds[len(s.asked)]
	if s.asked = append(s.asked, max); len(s.asked) == len(s.rounds) {
		s.stop()
	}
	time.Sleep(round.took)
	return TermsDone{Read: max, More: round.err == nil}, round.err
}

func (s *termStore) TermCounts(context.Context, time.Time, time.Time, TermQuestion) ([]TermCount, error) {
	return nil, nil
}

// A round is done whole or not at all, by a database however slow: so few entries are in the
// first one, in one after a failure, and in one after another node has thought this one dead.
func TestRoundsOverTermsBeginWithFewEntries(t *testing.T) {
	known, findings := registry.Open(t.TempDir(), t.TempDir(), time.Now)
	if known == nil {
		t.Fatal(findings)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		quick, slow, slower := termRound{}, termRound{took: 3 * time.Second}, termRound{took: 5 * time.Second}
		s := &termStore{stop: stop, rounds: []termRound{quick, quick, quick, quick, quick, slow, slower, quick, {err: journal.ErrDeposed}, quick, {err: errors.New("it took too long")}, quick, quick}}
		g := &Gateway{store: s, metrics: newMetrics(prometheus.NewRegistry()), registry: known, now: time.Now, ticks: ticks(), log: slog.New(slog.DiscardHandler)}
		g.config.Times.Terms = yamlfile.Period(time.Second)
		if err := g.openTerms(ctx); err == nil {
			t.Error("a round that fails is not told of")
		}
		if err := g.openTerms(ctx); err != nil {
			t.Error(err)
		}
		if want := []int{1024, 2048, 4096, 8192, 16384, 16384, 16384, 8192, 16384, 1024, 2048, 1024, 2048}; !slices.Equal(s.asked, want) {
			t.Errorf("asked for %v entries, want %v", s.asked, want)
		}
	})
}
