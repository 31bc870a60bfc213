package postgres_test

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

// A server that has lost its last commits has given the number of a queue to another. What
// a node remembers of before puts nothing into that one's queue, brings it to no topic of
// that one, and hands nothing of that one out; when it is only asked the sweep finds it out.
func TestANumberIsNoOthers(t *testing.T) {
	other := adapter.Queue{System: "OTHER1", Kind: adapter.QueueRequests}
	for name, lose := range map[string]string{
		"another has it":           "UPDATE queue_name SET system = 'OTHER1'",
		"nobody has it":            "DELETE FROM queue_name",
		"nothing, and all is well": "SELECT",
	} {
		before := func(t *testing.T) (w *world, now *postgres.Store, m, o *adapter.Message) {
			w = open(t)
			w.put(w.message())
			if d := w.lease(adapter.Poll{}); d == nil || w.ack(d.Message.MessageID) != nil {
				t.Fatal("the node did not hand out what came before")
			}
			w.exec("DELETE FROM message; DELETE FROM placed; DELETE FROM journal_pending; " + lose)
			return w, w.another(postgres.Options{}), w.message(), w.message(func(m *adapter.Message) { m.Recipients[0] = other })
		}
		by := func(w *world, s *postgres.Store, do func(*world)) {
			do(&world{T: w.T, Store: s, url: w.url, now: w.now, offset: w.offset})
		}
		accepted := func(w *world, now *postgres.Store, messages ...*adapter.Message) {
			by(w, now, func(w *world) {
				for _, m := range messages {
					w.accept(m)
				}
			})
		}
		stand := func(w *world, m, o *adapter.Message) {
			t := w.T
			t.Helper()
			by(w, w.another(postgres.Options{}), func(w *world) {
				for _, m := range []*adapter.Message{m, o} {
					if d := w.lease(adapter.Poll{Queue: m.Recipients[0]}); d == nil || d.Message.ID != m.ID {
						t.Errorf("%s is given %+v", m.Recipients[0].System, d)
					}
				}
			})
		}
		t.Run("intake, "+name, func(t *testing.T) {
			w, now, m, o := before(t)
			accepted(w, now, m, o)
			var arrivals []adapter.Arrival
			by(w, now, func(w *world) { arrivals = w.relayed() })
			if n, err := w.Enqueue(t.Context(), place, arrivals); err != nil || n != 2 {
				t.Errorf("%d put into queues, %v", n, err)
			}
			stand(w, m, o)
		})
		t.Run("relay, "+name, func(t *testing.T) {
			w, now, m, o := before(t)
			accepted(w, now, m, o)
			to := map[uuid.UUID]adapter.Queue{}
			for shard := range adapter.Shards {
				_, err := w.Relay(t.Context(), shard, 100, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
					for i := range out {
						to[out[i].Message.ID] = out[i].Queue
						out[i].Arrival = event(journal.KindQueued, out[i].Message)
						events = append(events, event(journal.KindRouted, out[i].Message))
					}
					return events, nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if to[m.ID] != rosreestr || to[o.ID] != other {
				t.Errorf("brought to %v", to)
			}
			stand(w, m, o)
		})
		t.Run("poll, "+name, func(t *testing.T) {
			w, now, m, o := before(t)
			by(w, now, func(w *world) { w.put(o, m) })
			d := w.lease(adapter.Poll{})
			if d == nil { // there is nothing by the number that it remembers
				if _, err := w.Sweep(t.Context(), w.now); err != nil {
					t.Fatal(err)
				}
				d = w.lease(adapter.Poll{})
			}
			if d == nil || d.Message.ID != m.ID {
				t.Errorf("%s is given %+v", rosreestr.System, d)
			}
		})
	}
}

// A server that has lost its last commits has given the numbers of root elements anew. What
// a node relays stands in its queue under the number that its own row says, whatever the
// node remembers by that name, and a poll that asks for it finds it. That is so as well where
// it has accepted the message itself, and found only then that its numbers are no more.
func TestARootElementIsWhatTheRowSays(t *testing.T) {
	for name, accepting := range map[string]func(*world) *world{
		"another node accepts": func(w *world) *world {
			return &world{T: w.T, Store: w.another(postgres.Options{}), url: w.url, now: w.now}
		},
		"the node itself": func(w *world) *world { return w },
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			other := adapter.QName{Space: "urn:x:egrn:1.0", Local: "Other"}
			w.put(w.message(), w.message(func(m *adapter.Message) { m.Root = other }))
			w.exec(`DELETE FROM message; DELETE FROM placed; DELETE FROM queue; DELETE FROM journal_pending;
				CREATE TABLE kept AS SELECT id + 1 AS id, space, local FROM root_name; DELETE FROM root_name; INSERT INTO root_name OVERRIDING SYSTEM VALUE SELECT * FROM kept`)
			now := accepting(w)
			messages := []*adapter.Message{now.message(func(m *adapter.Message) { m.Root = other }), now.message()}
			for _, m := range messages {
				now.accept(m)
			}
			_, err := w.Relay(t.Context(), adapter.ShardOf(rosreestr), 100, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
				for i := range out {
					out[i].Arrival = event(journal.KindQueued, out[i].Message)
					events = append(events, event(journal.KindRouted, out[i].Message))
				}
				return events, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range messages {
				if d := now.lease(adapter.Poll{Roots: []adapter.QName{m.Root}}); d == nil || d.Message.ID != m.ID {
					t.Errorf("a poll for %s is given %+v", m.Root.Local, d)
				}
			}
		})
	}
}
