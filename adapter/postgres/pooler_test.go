package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/embedded"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
)

// Behind a pooler of transactions, which drops our session settings, each statement
// runs under them all the same, whichever way of running statements the connection
// string names; nothing of ours is left on sessions that others are given next.
func TestBehindAPoolerEachStatementHasOurSettings(t *testing.T) {
	for _, mode := range []string{"", "cache_describe", "exec", "simple_protocol"} {
		t.Run("mode "+mode, func(t *testing.T) {
			ctx := context.Background()
			straight := embedded.Test(t, nothing)
			url := adaptertest.Pooler(t, straight, "transaction")
			if mode != "" {
				url += "&default_query_exec_mode=" + mode
			}
			if err := postgres.Migrate(ctx, url); err != nil {
				t.Fatal(err)
			}
			w := &world{T: t, url: straight}
			s, err := postgres.Open(ctx, postgres.Options{URL: url, Node: "node-1"})
			if err != nil {
				t.Fatal(err)
			}
			w.Store = s
			w.Cleanup(s.Close)
			for name, want := range map[string]string{"statement_timeout": "15s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "30s"} {
				if got := postgres.Setting(t, s, name); got != want {
					t.Errorf("%s is %s, want %s", name, got, want)
				}
				if got := postgres.SettingInTransaction(t, s, name); got != want {
					t.Errorf("in a transaction %s is %s, want %s", name, got, want)
				}
			}
			for range 30 {
				m := w.message()
				w.put(m)
				if d := w.lease(adapter.Poll{}); d == nil || d.Message.ID != m.ID {
					t.Fatalf("leased %+v, want %s", d, m.ID)
				}
				if err := w.ack(m.MessageID); err != nil {
					t.Fatal(err)
				}
			}
			desk := journaltest.NewDesk(t)
			j, err := s.Journal(ctx, journaltest.Origin, desk.Vault)
			if err != nil {
				t.Fatal(err)
			}
			desk.Clock.Move(time.Hour)
			for range 3 {
				events := journaltest.Events(43, 500)
				for i := range events {
					events[i].Time = desk.Clock.Now()
				}
				if err := j.Append(ctx, events...); err != nil {
					t.Fatal(err)
				}
				if err := desk.Settle(desk.Sequencer(j)); err != nil {
					t.Fatal(err)
				}
			}
			if rep := desk.Audit(j, desk.Checkpoint(j).Note); !rep.OK() {
				t.Errorf("the log: %v", rep.Recount.Findings)
			}

			other, err := pgx.Connect(ctx, url+"&default_query_exec_mode=simple_protocol")
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close(ctx)
			for _, name := range []string{"statement_timeout", "lock_timeout", "enable_seqscan", "synchronous_commit"} {
				var now, before string
				if err := other.QueryRow(ctx, "SELECT current_setting($1), (SELECT reset_val FROM pg_settings WHERE name = $1)", name).Scan(&now, &before); err != nil || now != before {
					t.Errorf("another user of the pooler finds %s = %s, want %s; %v", name, now, before, err)
				}
			}
		})
	}
}

// straightAndPooled tells a story twice: with PostgreSQL, and with a pooler of transactions
// in between.
func straightAndPooled(t *testing.T, story func(t *testing.T, w *world)) {
	t.Run("straight", func(t *testing.T) { story(t, open(t)) })
	t.Run("behind a pooler", func(t *testing.T) {
		w := newWorld(t)
		s, err := postgres.Open(context.Background(), postgres.Options{URL: adaptertest.Pooler(t, w.url, "transaction"), Node: "node-1"})
		if err != nil {
			t.Fatal(err)
		}
		w.Store = s
		w.Cleanup(s.Close)
		story(t, w)
	})
}

// A pooler that gives each statement another session cannot be used, and is named.
func TestAPoolerOfStatementsIsRefused(t *testing.T) {
	url := adaptertest.Pooler(t, embedded.Test(t, postgres.Migrate), "statement")
	ctx := context.Background()
	if err := postgres.Migrate(ctx, url); !errors.Is(err, postgres.ErrPooler) {
		t.Errorf("migrate: %v, want ErrPooler", err)
	}
	if _, err := postgres.Open(ctx, postgres.Options{URL: url}); !errors.Is(err, postgres.ErrPooler) {
		t.Errorf("open: %v, want ErrPooler", err)
	}
	if _, err := postgres.Examine(ctx, url); !errors.Is(err, postgres.ErrPooler) {
		t.Errorf("examine: %v, want ErrPooler", err)
	}
}
