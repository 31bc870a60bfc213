package postgres_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/embedded"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

// The benchmarks run on a durable cluster: fsync and synchronous_commit are on.
// What they say depends on the disk; BenchmarkAccept reports what it found.
func benchStore(b *testing.B, writers int) *postgres.Store {
	b.Helper()
	ctx := context.Background()
	p, err := embedded.StartPostgres(ctx, embedded.PostgresOptions{Durable: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.Stop() })
	if err := postgres.Migrate(ctx, p.URL("postgres")); err != nil {
		b.Fatal(err)
	}
	s, err := postgres.Open(ctx, postgres.Options{URL: p.URL("postgres"), Writers: writers, Samples: [][]byte{benchCertificate}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	return s
}

// benchCertificate stands for the sender's certificate, registered and so
// known to the dictionary.
var benchCertificate = []byte(base64.StdEncoding.EncodeToString(random(1100)))

// benchMessage is a request of about 4 KB: a certificate, a signature value
// that nobody can compress, and markup that many share.
func benchMessage(queue int) *adapter.Message {
	id := uuid.Must(uuid.NewV7())
	digest := sha256.Sum256(id[:])
	var body bytes.Buffer
	fmt.Fprintf(&body, `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:ns="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" xmlns:ns2="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2"><soapenv:Header/><soapenv:Body><ns:SendRequestRequest><ns:SenderProvidedRequestData Id="SIGNED_BY_CONSUMER"><ns:MessageID>%s</ns:MessageID><ns2:MessagePrimaryContent>`, id)
	for i := range 12 {
		fmt.Fprintf(&body, `<e:Object xmlns:e="urn:x:egrn:1.0"><e:CadastralNumber>50:11:%07d:%d</e:CadastralNumber><e:Адрес>Московская область, дом %d</e:Адрес></e:Object>`, digest[i], digest[i+1], digest[i+2])
	}
	fmt.Fprintf(&body, `</ns2:MessagePrimaryContent></ns:SenderProvidedRequestData><ns:CallerInformationSystemSignature><ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:DigestValue>%x</ds:DigestValue><ds:SignatureValue>%x</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature></ns:CallerInformationSystemSignature></ns:SendRequestRequest></soapenv:Body></soapenv:Envelope>`, digest, digest, benchCertificate)
	now := time.Now().UTC()
	return &adapter.Message{
		ID: id, MessageID: adapter.MessageID(uuid.NewString()), Direction: adapter.DirRequest, Sender: "MNSV05",
		Recipients: []adapter.Queue{{System: adapter.Mnemonic(fmt.Sprint("RRTR", queue)), Kind: adapter.QueueRequests}},
		Service:    "egrn-extract", Version: "1.0", Root: extract, Accepted: now, Deadline: now.AddDate(0, 0, 5), Wire: "1.2",
		Parts:  adapter.Parts{Data: adapter.Span{Off: 300, Len: 2000}, Signature: adapter.Span{Off: 2400, Len: 1600}, Scope: []adapter.Binding{{Prefix: "ns", URI: "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2"}}},
		Body:   body.Bytes(),
		Digest: sha256.Sum256(body.Bytes()), ReplyTo: "b64-of-an-authenticated-token-of-about-a-hundred-bytes-b64-of-an-authenticated-token",
	}
}

func benchEvents(m *adapter.Message) []journal.Event {
	return []journal.Event{{Kind: journal.KindAccepted, Time: m.Accepted.Truncate(time.Millisecond), Node: "node-1", Message: m.ID.String(), MessageID: string(m.MessageID),
		Operation: "SendRequest", Direction: "request", Sender: "MNSV05", Recipient: "RRTR01", Service: m.Service, Version: m.Version,
		Outcome: "ok", Deadline: m.Deadline.Truncate(time.Millisecond), Digest: fmt.Sprintf("%x", m.Digest), Certificate: fmt.Sprintf("%x", m.Digest), Size: len(m.Body)}}
}

// callers runs b.N calls of f by n goroutines and reports their latencies.
func callers(b *testing.B, n int, f func(i int) error) {
	b.Helper()
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range n {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= b.N {
					return
				}
				start := time.Now()
				if err := f(i); err != nil {
					b.Error(err)
					return
				}
				took[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// fsync measures the disk that the numbers were got on.
func fsync(b *testing.B) time.Duration {
	f, err := os.CreateTemp("/tmp", "fsync")
	if err != nil {
		b.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	const n = 50
	start := time.Now()
	for range n {
		if _, err := f.Write(make([]byte, 8192)); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start) / n
}

func BenchmarkAccept(b *testing.B) {
	for _, writers := range []int{1, 2} {
		s := benchStore(b, writers)
		for _, n := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("writers=%d/callers=%d", writers, n), func(b *testing.B) {
				messages := make([]*adapter.Message, b.N)
				for i := range messages {
					messages[i] = benchMessage(i % 8)
				}
				b.ReportAllocs()
				callers(b, n, func(i int) error {
					m := messages[i]
					_, err := s.Accept(context.Background(), m, benchEvents(m))
					return err
				})
				b.ReportMetric(float64(fsync(b).Microseconds()), "fsync-µs")
			})
		}
	}
}

// fill accepts n messages and brings them into 8 queues.
func fill(b *testing.B, s *postgres.Store, n int) {
	b.Helper()
	ctx := context.Background()
	var wg sync.WaitGroup
	for c := range 64 {
		wg.Go(func() {
			for i := c; i < n; i += 64 {
				m := benchMessage(i % 8)
				if _, err := s.Accept(ctx, m, benchEvents(m)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func relay(b *testing.B, s *postgres.Store, f func([]adapter.Outgoing) error) {
	b.Helper()
	var wg sync.WaitGroup
	for shard := range adapter.Shards {
		wg.Go(func() {
			for {
				n, err := s.Relay(context.Background(), shard, 500, func(_ context.Context, out []adapter.Outgoing) ([]journal.Event, error) {
					events := make([]journal.Event, len(out))
					for i, o := range out {
						events[i] = benchEvents(o.Message)[0]
						events[i].Kind = journal.KindRouted
					}
					return events, f(out)
				})
				if err != nil {
					b.Error(err)
				}
				if n == 0 || err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkRelay(b *testing.B) {
	s := benchStore(b, 2)
	fill(b, s, b.N)
	b.ResetTimer()
	relay(b, s, func([]adapter.Outgoing) error { return nil })
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

func BenchmarkEnqueueAndLeaseAndAck(b *testing.B) {
	for _, consumers := range []int{1, 8} {
		b.Run(fmt.Sprintf("consumers=%d", consumers), func(b *testing.B) {
			s := benchStore(b, 2)
			fill(b, s, b.N)
			var mu sync.Mutex
			var offset int64
			start := time.Now()
			relay(b, s, func(out []adapter.Outgoing) error {
				arrivals := make([]adapter.Arrival, len(out))
				mu.Lock()
				defer mu.Unlock()
				for i, o := range out {
					arrivals[i] = adapter.Arrival{Offset: offset, Message: o.Message.ID, Queue: o.Queue, Event: journal.Event{Kind: journal.KindQueued, Time: time.Now(), Message: o.Message.ID.String()}}
					offset++
				}
				_, err := s.Enqueue(context.Background(), place, arrivals)
				return err
			})
			queued := float64(b.N) / time.Since(start).Seconds()
			callers(b, consumers, func(i int) error {
				queue := adapter.Queue{System: adapter.Mnemonic(fmt.Sprint("RRTR", i%8)), Kind: adapter.QueueRequests}
				now := time.Now()
				d, err := s.Lease(context.Background(), adapter.Poll{Queue: queue, Now: now, For: 15 * time.Minute, Event: journal.Event{Node: "node-1", Operation: "GetRequest"}})
				if err != nil || d == nil {
					return fmt.Errorf("lease: %v %v", d, err)
				}
				return s.Ack(context.Background(), queue.System, d.Message.MessageID, now, journal.Event{Node: "node-1", Operation: "Ack"}, nil)
			})
			b.ReportMetric(queued, "queued/s")
		})
	}
}
