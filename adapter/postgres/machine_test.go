package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

// waiting is one message in the model of a queue: a list in the order of
// arrival, nothing more.
type waiting struct {
	m        *adapter.Message
	until    time.Time // leased until
	attempts int
	returned int
}

// TestQueueMachine plays random stories of two gateway nodes on one database,
// one of which crashes now and then, against the model.
func TestQueueMachine(t *testing.T) {
	base := open(t)
	base.another(postgres.Options{}) // the second node of the first story
	other := adapter.QName{Space: "urn:x:other", Local: "Request"}
	story := 0
	rapid.Check(t, func(rt *rapid.T) {
		story++
		queue := adapter.Queue{System: adapter.Mnemonic("SYS" + time.Duration(story).String()), Kind: adapter.QueueRequests}
		w := &world{T: t, Store: base.Store, url: base.url, now: base.now, offset: base.offset}
		defer func() { base.offset = w.offset }()
		ctx := context.Background()
		openNode := func() *postgres.Store {
			s, err := postgres.Open(ctx, postgres.Options{URL: w.url, Node: "node-2", Connections: 2})
			if err != nil {
				rt.Fatal(err)
			}
			return s
		}
		node := []*postgres.Store{w.Store, openNode()}
		defer func() { node[1].Close() }()
		var model []*waiting
		events := map[journal.Kind]int{}

		next := func(roots []adapter.QName) *waiting {
			var best *waiting
			for _, x := range model {
				if x.until.After(w.now) || (len(roots) > 0 && x.m.Root != roots[0]) || (!x.m.EOL.IsZero() && !x.m.EOL.After(w.now)) {
					continue
				}
				if best == nil || x.m.VIP && !best.m.VIP {
					best = x
				}
			}
			return best
		}
		runOut := func(x *waiting) bool { return x.attempts > x.returned && !x.until.After(w.now) }

		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				m := w.message(func(m *adapter.Message) {
					m.Recipients = []adapter.Queue{queue}
					m.VIP = rapid.IntRange(0, 4).Draw(rt, "vip") == 0
					if rapid.Bool().Draw(rt, "other root") {
						m.Root = other
					}
					if rapid.IntRange(0, 5).Draw(rt, "eol") == 0 {
						m.Direction = adapter.DirBroadcast // expires without an answer
						m.VIP = false
						m.EOL = w.now.Add(time.Duration(rapid.IntRange(1, 30).Draw(rt, "minutes")) * time.Minute)
					}
				})
				w.put(m)
				model = append(model, &waiting{m: m})
				events[journal.KindQueued]++
			},
			"lease": func(rt *rapid.T) {
				s := node[rapid.IntRange(0, 1).Draw(rt, "node")]
				var roots []adapter.QName
				if rapid.Bool().Draw(rt, "selector") {
					roots = []adapter.QName{rapid.SampledFrom([]adapter.QName{extract, other}).Draw(rt, "root")}
				}
				d, err := s.Lease(ctx, adapter.Poll{Queue: queue, Roots: roots, Now: w.now, For: 15 * time.Minute})
				if err != nil {
					rt.Fatal(err)
				}
				want := next(roots)
				if (d == nil) != (want == nil) {
					rt.Fatalf("leased %v, want %v", d, want)
				}
				if want == nil {
					return
				}
				if runOut(want) {
					events[journal.KindReturned]++
				}
				want.returned = want.attempts
				want.attempts++
				want.until = w.now.Add(15 * time.Minute)
				events[journal.KindDelivered]++
				if d.Message.ID != want.m.ID || d.Attempt != want.attempts {
					rt.Fatalf("leased %s, attempt %d; want %s, %d", d.Message.ID, d.Attempt, want.m.ID, want.attempts)
				}
			},
			"ack": func(rt *rapid.T) {
				if len(model) == 0 {
					rt.Skip()
				}
				i := rapid.IntRange(0, len(model)-1).Draw(rt, "which")
				x := model[i]
				err := node[rapid.IntRange(0, 1).Draw(rt, "node")].Ack(ctx, queue.System, x.m.MessageID, w.now, journal.Event{}, nil)
				if x.attempts == 0 {
					if !errors.Is(err, adapter.ErrNotAwaiting) {
						rt.Fatalf("ack of an undelivered message: %v", err)
					}
					return
				}
				if err != nil {
					rt.Fatal(err)
				}
				model = append(model[:i:i], model[i+1:]...)
				events[journal.KindAcknowledged]++
			},
			"time passes": func(rt *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 20).Draw(rt, "minutes")) * time.Minute)
			},
			"sweep": func(rt *rapid.T) {
				if _, err := node[rapid.IntRange(0, 1).Draw(rt, "node")].Sweep(ctx, w.now); err != nil {
					rt.Fatal(err)
				}
				// How soon a return is told of is the store's choice: take over
				// what it did, and check at the end that each was told of once.
				rest := model[:0:0]
				for _, x := range model {
					if !x.m.EOL.IsZero() && !x.m.EOL.After(w.now) && !x.until.After(w.now) {
						events[journal.KindExpired]++
						continue
					}
					rest = append(rest, x)
				}
				model = rest
				for _, x := range model {
					returned := w.count("SELECT returned FROM queue WHERE message = $1", [16]byte(x.m.ID))
					if returned != x.returned {
						if !runOut(x) || returned != x.attempts {
							rt.Fatalf("swept a lease that has not run out: %d of %d", returned, x.attempts)
						}
						x.returned = returned
						events[journal.KindReturned]++
					}
				}
			},
			"crash": func(rt *rapid.T) {
				node[1].Close()
				node[1] = openNode()
			},
			"": func(rt *rapid.T) {
				if got := w.count("SELECT count(*) FROM queue JOIN queue_name n ON n.id = queue.queue WHERE n.system = $1", string(queue.System)); got != len(model) {
					rt.Fatalf("%d messages in the queue, want %d", got, len(model))
				}
			},
		})
		for kind, want := range events {
			// The sweep may have told of the return of a message that expired in the same go.
			got := w.count("SELECT count(*) FROM journal_pending WHERE event->>'kind' = $1 AND event->>'message' IN (SELECT m.id::text FROM message m LEFT JOIN message_kind k ON k.id = m.kind WHERE coalesce(m.recipients, k.recipients::jsonb) @> jsonb_build_array(jsonb_build_object('s', $2::text)))", string(kind), string(queue.System))
			if got != want && !(kind == journal.KindReturned && got > want && events[journal.KindExpired] > 0) {
				rt.Errorf("%d %s events, want %d", got, kind, want)
			}
		}
	})
}
