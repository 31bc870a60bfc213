package papers_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/journal/papers"
	"mezhved/signing"
	"mezhved/signing/tsatest"
)

// stamped is a log whose checkpoints have time stamps.
type stamped struct {
	*journaltest.Book
	stamps []*journal.Stamped
	sizes  []int64
}

func (s *stamped) Stamped(_ context.Context, entry int64) ([]byte, error) {
	for i, size := range s.sizes {
		if size > entry && (entry != journal.NoEntry || i == len(s.sizes)-1) {
			return s.stamps[i].Marshal(), nil
		}
	}
	return nil, fs.ErrNotExist
}

// No change of what a mirror remembers, its checkpoints, its time stamps and its last
// visit, goes unnoticed: it is told as damaged, or what is remembered is the same. The
// same it can be because a checkpoint and a time stamp have bytes that nobody signs.
func TestNoMutationOfAMirrorsMemoryGoesUnnoticed(t *testing.T) {
	d, tsa := journaltest.NewDesk(t), tsatest.New(t)
	d.Second()
	book := journaltest.NewBook(journaltest.Origin)
	log, dir := &stamped{Book: book}, journaltest.QuickDir(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(3) {
		events := journaltest.Events(80+i, 90)
		for j := range events {
			events[j].Time = d.Clock.Now()
		}
		must(book.Add(events...))
		must(d.Settle(d.Sequencer(book)))
		c := d.Checkpoint(book)
		body, err := journal.CheckpointBody(c.Note)
		must(err)
		log.stamps, log.sizes = append(log.stamps, &journal.Stamped{Checkpoint: c.Note, Token: tsa.Stamp(body)}), append(log.sizes, c.Tree.N)
		m := &audit.Mirror{Dir: dir, Policy: d.Policy}
		v, err := m.Follow(context.Background(), log, c.Note, d.Clock.Now())
		if err != nil || v.Stamps != 1 {
			t.Fatalf("visit %d: %+v, %v", i, v, err)
		}
		d.Clock.Move(time.Minute)
	}
	var names []string
	for _, pattern := range []string{"mirror.json", "checkpoint", "checkpoints/*", "timestamps/*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		must(err)
		names = append(names, found...)
	}
	if len(names) != 8 {
		t.Fatalf("the mirror remembers %v", names)
	}
	told := func() (string, error) {
		m, err := audit.Remember(dir, d.Policy)
		if err != nil {
			return "", err
		}
		if len(m.Damaged) > 0 {
			return "", fmt.Errorf("damaged: %v", m.Damaged)
		}
		current, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
		if err != nil {
			return "", err
		}
		now, err := d.Policy.Open(current)
		if err != nil {
			return "", err
		}
		var out strings.Builder
		for _, c := range append(slices.Clone(m.Known), now) {
			fmt.Fprintln(&out, c.Origin, c.Tree)
		}
		for i := range m.Stamps {
			ts, err := papers.Timestamp(&m.Stamps[i], []*signing.Certificate{tsa.Root})
			if err != nil {
				return "", err
			}
			fmt.Fprintln(&out, m.Stamps[i].Checkpoint.Tree, ts.Time(), ts.Accuracy(), ts.Policy(), ts.Certificate().Fingerprint())
		}
		return out.String(), nil
	}
	honest, err := told()
	must(err)
	r := journaltest.Random(t)
	for range journaltest.CostlyMutations(t) {
		name := names[r.IntN(len(names))]
		good, err := os.ReadFile(name)
		must(err)
		bad := journaltest.Mutate(r, good)
		must(os.WriteFile(name, bad, 0o600))
		if got, err := told(); err == nil && (got != honest || strings.HasSuffix(name, "mirror.json")) {
			t.Fatalf("%s was changed and nobody noticed:\n%q", name, bad)
		}
		must(os.WriteFile(name, good, 0o600))
	}
}
