package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// BenchmarkRelayPast relays a message of a shard in which many wait for a topic that takes nothing.
func BenchmarkRelayPast(b *testing.B) {
	for _, waiting := range []int{100, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			ctx := context.Background()
			s, conn := openBare(b)
			shard := adapter.ShardOf(rosreestr)
			silent := ofShard(shard, 1)[0]
			accept := func(to adapter.Queue) {
				m := &adapter.Message{
					ID: uuid.Must(uuid.NewV7()), MessageID: adapter.MessageID(uuid.Must(uuid.NewUUID()).String()), Sender: "MUNI", Direction: adapter.DirRequest, Recipients: []adapter.Queue{to},
					Service: "egrn", Version: "1.0", Root: extract, Accepted: time.Now(), Wire: "1.2", Body: []byte("<a/>"),
				}
				if _, err := s.Accept(ctx, m, []journal.Event{event(journal.KindAccepted, m)}); err != nil {
					b.Fatal(err)
				}
			}
			for range adapter.RelayBatch {
				accept(silent)
			}
			if _, err := conn.Exec(ctx, fmt.Sprintf("INSERT INTO outbox (message, shard, queue) SELECT gen_random_uuid(), shard, queue FROM (SELECT shard, queue FROM outbox LIMIT 1) o, generate_series(1, %d)", waiting)); err != nil {
				b.Fatal(err)
			}
			relay := func() (n int) {
				n, err := s.Relay(ctx, shard, adapter.RelayBatch, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
					for i := range out {
						if out[i].Left = out[i].Queue == silent; !out[i].Left {
							out[i].Arrival = event(journal.KindQueued, out[i].Message)
							events = append(events, event(journal.KindRouted, out[i].Message))
						}
					}
					return events, nil
				})
				if err != nil {
					b.Fatal(err)
				}
				return n
			}
			one := func() {
				accept(rosreestr)
				for relay() == 0 {
				}
			}
			for range 4 {
				one()
			}
			for b.Loop() {
				one()
			}
		})
	}
}
