package postgres_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/postgres"
)

// Answers about revocation are kept once, however many calls on whatever nodes they
// decide about, and go when the messages of the last of these days have gone.
func TestAnswersAboutRevocation(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	nodes := []*postgres.Store{w.Store, w.another(postgres.Options{Keep: 60 * 24 * time.Hour, DedupLife: 90 * 24 * time.Hour})}
	crl := bytes.Repeat([]byte("serial and date; "), 5000)
	list := adapter.RevocationAnswer{Digest: sha256.Sum256(crl), Kind: "crl", Source: "/etc/mezhved/ca.crl", Bytes: crl,
		Made: w.now.Add(-time.Hour).Truncate(time.Second), Due: w.now.Add(time.Hour).Truncate(time.Second)}
	short := adapter.RevocationAnswer{Digest: sha256.Sum256([]byte("x")), Kind: "list", Bytes: []byte("x")}
	keep := func(s *postgres.Store, at time.Time) {
		t.Helper()
		if err := s.KeepAnswers(ctx, []adapter.RevocationAnswer{list, short}, at); err != nil {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() { keep(nodes[i%2], w.now) })
	}
	wg.Wait()
	if got := w.count("SELECT count(*) FROM revocation_answer"); got != 2 {
		t.Errorf("%d answers are kept, want each once", got)
	}
	got, err := nodes[1].Answer(ctx, list.Digest)
	if err != nil || got.Kind != list.Kind || got.Source != list.Source || !bytes.Equal(got.Bytes, crl) || !got.Made.Equal(list.Made) || !got.Due.Equal(list.Due) {
		t.Errorf("read back %s of %s, %d bytes, %s to %s: %v", got.Kind, got.Source, len(got.Bytes), got.Made, got.Due, err)
	}
	if _, err := w.Answer(ctx, [32]byte{1}); !errors.Is(err, adapter.ErrNotFound) {
		t.Errorf("an answer that nobody has: %v", err)
	}
	// It decides again after a month: from then on its time counts anew.
	later := w.now.AddDate(0, 0, 30)
	keep(nodes[0], later)
	sweep := func(days int, want int64) {
		t.Helper()
		if _, err := w.another(postgres.Options{Keep: 60 * 24 * time.Hour, DedupLife: 90 * 24 * time.Hour}).Sweep(ctx, w.now.AddDate(0, 0, days)); err != nil {
			t.Fatal(err)
		}
		if got := int64(w.count("SELECT count(*) FROM revocation_answer")); got != want {
			t.Errorf("after %d days %d answers are kept, want %d", days, got, want)
		}
	}
	sweep(80, 2)
	if _, err := w.Sweep(ctx, w.now.AddDate(1, 0, 0)); err != nil { // a node that keeps messages for ever
		t.Fatal(err)
	}
	sweep(90, 2)
	sweep(93, 0)
}
