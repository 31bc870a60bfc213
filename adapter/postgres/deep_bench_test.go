package postgres_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

// BenchmarkDeepQueue polls and acknowledges where very many messages wait in one queue:
// one iteration is a poll with its Ack. MEZHVED_DEPTH lists the depths, 10000 when it is
// empty; where that is not enough for the iterations, more stand there. With a selector they
// are of another root element than what is polled for, which stands behind them. cpu-us is the
// processor time of one, of the server and this process.
func BenchmarkDeepQueue(b *testing.B) {
	depths := strings.FieldsFunc(os.Getenv("MEZHVED_DEPTH"), func(r rune) bool { return r == ',' })
	if len(depths) == 0 {
		depths = []string{"10000"}
	}
	ctx := context.Background()
	for _, text := range depths {
		depth, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("depth="+text, func(b *testing.B) {
			s := benchStore(b, 1)
			fill(b, s, 8) // queues and names
			relay(b, s, func(out []adapter.Outgoing) error {
				for i := range out {
					out[i].Arrival = journal.Event{Kind: journal.KindQueued, Time: time.Now(), Node: "node-1"}
				}
				return nil
			})
			j, _ := benchJournal(b, s)
			var made, gone [2]int // copies, by root element
			other := adapter.QName{Space: "urn:x:other", Local: "Request"}
			for n, roots := range [][]adapter.QName{nil, nil, {other}, {other}} {
				workers, of, depth := []int{1, 16}[n%2], extract, depth
				if roots != nil {
					of, depth = other, 0
				}
				b.Run(fmt.Sprintf("workers=%d/selector=%t", workers, roots != nil), func(b *testing.B) {
					if made[n/2] == 0 && roots != nil {
						m := benchMessage(0)
						m.Root = other
						if _, err := s.Accept(ctx, m, benchEvents(m)); err != nil {
							b.Fatal(err)
						}
						relay(b, s, func(out []adapter.Outgoing) error {
							out[0].Arrival = journal.Event{Kind: journal.KindQueued, Time: time.Now(), Node: "node-1"}
							return nil
						})
					}
					// What the run before has taken out stands there again.
					made, gone := &made[n/2], &gone[n/2]
					if wanted := *gone + max(depth, b.N); wanted > *made {
						if err := postgres.Deepen(ctx, s, "RRTR0", *made, wanted, of); err != nil {
							b.Fatal(err)
						}
						if err := postgres.Settle(ctx, s); err != nil {
							b.Fatal(err)
						}
						*made = wanted
					}
					*gone += b.N
					before := busy(b, j)
					queue := adapter.Queue{System: "RRTR0", Kind: adapter.QueueRequests}
					var polls []time.Duration
					took := make(chan time.Duration, b.N)
					callers(b, workers, func(i int) error {
						now := time.Now()
						d, err := s.Lease(ctx, adapter.Poll{Queue: queue, Now: now, For: 15 * time.Minute, Roots: roots, Event: journal.Event{Node: "node-1", Operation: "GetRequest"}})
						if err != nil || d == nil {
							return fmt.Errorf("lease: %v %v", d, err)
						}
						took <- time.Since(now)
						return s.Ack(ctx, queue.System, d.Message.MessageID, now, journal.Event{Node: "node-1", Operation: "Ack"}, nil)
					})
					close(took)
					for t := range took {
						polls = append(polls, t)
					}
					if len(polls) == 0 {
						return // it has been said why
					}
					slices.Sort(polls)
					b.ReportMetric(float64(polls[len(polls)*99/100].Microseconds())/1000, "poll-p99-ms")
					b.ReportMetric(float64((busy(b, j)-before).Microseconds())/float64(b.N), "cpu-us")
				})
			}
		})
	}
}
