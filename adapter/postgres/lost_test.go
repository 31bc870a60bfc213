package postgres_test

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/embedded"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

// A server that is killed loses the relay's last commits, which waited for no disk: queues
// are as they were before, and the rows stand in the outbox. The node that still remembers
// having placed them relays them again, and each message is delivered once, in its order,
// and told of once.
func TestALostRelayCommitIsMadeAgain(t *testing.T) {
	ctx := context.Background()
	p, err := embedded.StartPostgres(ctx, embedded.PostgresOptions{Durable: true, Dir: filepath.Join(t.TempDir(), "pg"),
		Settings: map[string]string{"wal_writer_delay": "10s", "wal_writer_flush_after": "64MB", "autovacuum": "off"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() })
	w := &world{T: t, url: p.URL("postgres"), now: time.Now().UTC().Truncate(time.Millisecond)}
	if err := postgres.Migrate(ctx, w.url); err != nil {
		t.Fatal(err)
	}
	w.Store = w.another(postgres.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	relay := func() (n int) {
		until(t, "the relay has done its work", func() bool {
			n, err = w.Relay(ctx, adapter.ShardOf(rosreestr), 1000, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, _ error) {
				for i := range out {
					out[i].Arrival = journal.Event{Kind: journal.KindQueued, Time: w.now, Node: "node-1", Outcome: "ok"}
					events = append(events, event(journal.KindRouted, out[i].Message))
				}
				return events, nil
			})
			return err == nil
		})
		return n
	}
	w.accept(w.message())
	relay()
	first := w.lease(adapter.Poll{})
	if err := w.ack(first.Message.MessageID); err != nil {
		t.Fatal(err)
	}

	lost := false
	for range 3 {
		var sent []*adapter.Message
		for range 20 {
			m := w.message()
			w.accept(m)
			sent = append(sent, m)
		}
		if n := relay(); n != len(sent) {
			t.Fatalf("%d of %d were relayed", n, len(sent))
		}
		if n := w.count("SELECT count(*) FROM queue"); n != len(sent) {
			t.Fatalf("%d of %d stand in the queue", n, len(sent))
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(ctx); err != nil {
			t.Fatal(err)
		}
		queue, outbox := w.count("SELECT count(*) FROM queue"), w.count("SELECT count(*) FROM outbox")
		if queue+outbox != len(sent) || queue > 0 && outbox > 0 {
			t.Fatalf("after the crash %d stand in the queue and %d in the outbox, of %d", queue, outbox, len(sent))
		}
		lost = lost || outbox > 0
		relay()
		until(t, "sessions that nothing else has used since are made anew", func() bool {
			_, err := w.Trace(ctx, sent[0].ID.String())
			return err == nil
		})
		for _, m := range sent {
			var d *adapter.Delivery
			until(t, "a poll is answered", func() bool {
				d, err = w.Lease(ctx, adapter.Poll{Queue: rosreestr, Now: w.now, For: time.Hour, Event: journal.Event{Node: "node-1", Operation: "GetRequest", Certificate: "cafe"}})
				return err == nil && d != nil
			})
			if d.Message.ID != m.ID || d.Attempt != 1 {
				t.Fatalf("message %s is delivered in attempt %d, want %s in the first", d.Message.ID, d.Attempt, m.ID)
			}
			if err := w.ack(m.MessageID); err != nil {
				t.Fatal(err)
			}
			w.wantKinds(m, journal.KindAccepted, journal.KindRouted, journal.KindQueued, journal.KindDelivered, journal.KindAcknowledged)
		}
	}
	if !lost {
		t.Error("the server has lost nothing: this shows nothing")
	}
	w.wantCounted()
}
