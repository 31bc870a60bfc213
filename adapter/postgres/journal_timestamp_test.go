package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"

	"golang.org/x/mod/sumdb/tlog"
)

// Time stamps are kept once each, found by the entry that they cover, and thinned out
// to one an hour after a month, so that every entry stays covered.
func TestTimestampsAreKeptAndThinnedOut(t *testing.T) {
	a, ctx := openArchive(t), context.Background()
	a.fill(journaltest.Events(1, 50))
	if _, err := a.Stamped(ctx, journal.NoEntry); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("before there is one: %v", err)
	}
	save := func(size int64, at time.Time) {
		t.Helper()
		c := &journal.Checkpoint{Origin: journaltest.Origin, Tree: tlog.Tree{N: size}, Note: fmt.Append(nil, "note ", size)}
		a.must(a.SaveTimestamp(ctx, c, fmt.Append(nil, "token ", size), at))
	}
	start := journaltest.Start
	for i := range 20 { // one every 10 minutes
		save(int64(10*(i+1)), start.Add(time.Duration(i)*10*time.Minute))
	}
	save(10, start.Add(time.Hour)) // again: the first stays
	covers := func(entry int64) string {
		t.Helper()
		s, err := a.Stamped(ctx, entry)
		if err != nil {
			t.Fatal(err)
		}
		return string(s.Checkpoint) + ", " + string(s.Token)
	}
	for entry, want := range map[int64]string{0: "note 10, token 10", 9: "note 10, token 10", 10: "note 20, token 20", 199: "note 200, token 200", journal.NoEntry: "note 200, token 200"} {
		if got := covers(entry); got != want {
			t.Errorf("entry %d is covered by %q, want %q", entry, got, want)
		}
	}
	if _, err := a.Stamped(ctx, 200); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an entry that none covers: %v", err)
	}
	save(1000, start.Add(32*24*time.Hour))
	for entry, want := range map[int64]string{0: "note 10, token 10", 10: "note 70, token 70", 69: "note 70, token 70", 70: "note 130, token 130", 195: "note 1000, token 1000"} {
		if got := covers(entry); got != want {
			t.Errorf("thinned out, entry %d is covered by %q, want %q", entry, got, want)
		}
	}
}
