package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// BenchmarkOpenTerms is a round over the open terms of requests, as many as the name
// says: one that finds nothing due, one that tells of a thousand, the counts of the
// desk's head while ten thousand are late, and a page of its list.
func BenchmarkOpenTerms(b *testing.B) {
	for _, rows := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) { benchOpenTerms(b, rows) })
	}
}

func benchOpenTerms(b *testing.B, rows int) {
	ctx := context.Background()
	s, conn := openBare(b)
	do := func(format string, args ...any) {
		b.Helper()
		if _, err := conn.Exec(ctx, fmt.Sprintf(format, args...)); err != nil {
			b.Fatal(err)
		}
	}
	now := time.Now().UTC()
	rules := adapter.TermRules{Tell: func(t *adapter.OpenTerm, kind journal.Kind, reached bool) journal.Event {
		return journal.Event{Kind: kind, Time: now, Message: t.Message.String(), Stage: string(t.Stage), Deadline: t.Due}
	}}
	round := func(b *testing.B, want int) {
		done, err := s.FollowTerms(ctx, now, 1000, rules)
		if err != nil {
			b.Fatal(err)
		}
		if n := done.Soon["answered"] + done.Overdue["answered"]; n != want {
			b.Fatalf("told of %d, want %d", n, want)
		}
	}
	do("ALTER TABLE open_term SET (autovacuum_enabled = off)")
	round(b, 0) // planned while all is empty
	do(`INSERT INTO open_term (message, stage, due, next, told, later, message_id, direction, sender, recipient, service, version, accepted)
		SELECT gen_random_uuid(), 3, now() + n * interval '1 second' + interval '1 day', now() + n * interval '1 second' + interval '1 hour', 0, '', 'm' || n, 'request', 'MUNI' || n %% 100, 'FED' || n %% 20, 'extract', '1.0', now()
		FROM generate_series(1, %d) n`, rows)
	do("ANALYZE open_term")
	b.Run("idle", func(b *testing.B) {
		for b.Loop() {
			round(b, 0)
		}
	})
	b.Run("thousand", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			do("UPDATE open_term SET next = now() - interval '1 hour', due = now() - interval '1 hour', told = 0 WHERE ctid IN (SELECT ctid FROM open_term ORDER BY due LIMIT 1000)")
			b.StartTimer()
			round(b, 1000)
		}
	})
	do("UPDATE open_term SET next = NULL, due = now() - interval '2 hours', told = 2 WHERE ctid IN (SELECT ctid FROM open_term ORDER BY due LIMIT 10000)")
	b.Run("counts", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.TermCounts(ctx, now, now.Add(12*time.Hour), adapter.TermQuestion{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			if list, err := s.OpenTerms(ctx, adapter.TermQuestion{DueBefore: now.Add(12 * time.Hour), Recipient: "FED1"}); err != nil || len(list) != 50 {
				b.Fatal(len(list), err)
			}
		}
	})
}
