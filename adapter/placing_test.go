package adapter

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter/journal"
	"mezhved/adapter/registry"
)

// The intake passes over what the relay of this node has put into its queue, waits for
// what it is about to put there, and asks the store about all else.
func TestTheIntakeKnowsWhatTheRelayHasPlaced(t *testing.T) {
	ctx := context.Background()
	q := Queue{System: "FNS01", Kind: QueueRequests}
	row := func(direct bool) Outgoing {
		o := Outgoing{Message: &Message{ID: uuid.New()}, Queue: q}
		if direct {
			o.Arrival = journal.Event{Kind: journal.KindQueued}
		}
		return o
	}
	p := newPlacing()
	batch := []Outgoing{row(true), row(true), row(false)}
	in := p.begin(batch)
	heard := make(chan bool)
	go func() { heard <- p.has(ctx, batch[0].Message.ID, q) }()
	select {
	case <-heard:
		t.Error("the intake did not wait for the commit")
	default:
	}
	batch[0].Queued = true // the second one stood there before
	p.end(in, batch, true)
	if !<-heard {
		t.Error("what was placed while the intake waited is not known")
	}
	for i, want := range []bool{true, false, false} {
		if got := p.has(ctx, batch[i].Message.ID, q); got != want {
			t.Errorf("message %d is known to be placed: %v, want %v", i, got, want)
		}
	}
	if p.has(ctx, batch[0].Message.ID, Queue{System: "FNS01", Kind: QueueResponses}) {
		t.Error("a message is known in a queue that it is not in")
	}

	again := []Outgoing{row(true)}
	in = p.begin(again)
	p.end(in, again, false)
	if p.has(ctx, again[0].Message.ID, q) {
		t.Error("what was not committed is known to be placed")
	}
	for range 3 * mostPlaced {
		more := []Outgoing{row(true)}
		more[0].Queued = true
		p.end(p.begin(more), more, true)
	}
	if p.placed.Len() > 2*mostPlaced {
		t.Errorf("%d places are remembered", p.placed.Len())
	}
}

// A record that stands where this node has put it need not be opened; one that stands
// elsewhere, claims to be another's, or whose message went into no queue, must be.
func TestTheIntakeKnowsWhereTheRelayHasPutRecords(t *testing.T) {
	ctx := t.Context()
	p := newPlacing()
	batch, records := make([]Outgoing, 3), make([]*Record, 3)
	for i := range batch {
		batch[i] = Outgoing{Message: &Message{ID: uuid.New()}, Queue: Queue{System: "FNS01", Kind: QueueRequests}, Arrival: journal.Event{Kind: journal.KindQueued}}
		records[i] = &Record{Topic: "t", Partition: 2, Offset: int64(10 + i), Headers: []Header{{headerBody, []byte(bodyKept)}, {headerID, []byte(batch[i].Message.ID.String())}}}
	}
	batch[1].Arrival.Kind = "" // the bus has refused it
	in := p.begin(batch)
	p.stand(in, batch, records)
	batch[0].Queued = true // the third stood there before
	p.end(in, batch, true)
	for i, want := range []bool{true, false, false} {
		if got := p.stands(ctx, "t", records[i]); got != want {
			t.Errorf("record %d is known: %v, want %v", i, got, want)
		}
	}
	for what, change := range map[string]func(*Record){
		"another partition": func(r *Record) { r.Partition = 1 },
		"another offset":    func(r *Record) { r.Offset = 11 },
		"another message":   func(r *Record) { r.Headers = records[1].Headers },
		"no message":        func(r *Record) { r.Headers = nil },
	} {
		r := *records[0]
		if change(&r); p.stands(ctx, "t", &r) {
			t.Errorf("%s: it is known", what)
		}
	}
	if p.stands(ctx, "u", records[0]) {
		t.Error("another topic: it is known")
	}
	for i := range 3 * mostPlaced {
		r := *records[0]
		r.Offset = int64(100 + i)
		p.stand(in, batch[:1], []*Record{&r})
	}
	if n := p.standing.Len(); n > 2*mostPlaced {
		t.Errorf("%d places are remembered", n)
	}
}

// A record that this node has put into no queue is none that stands in one, though another
// did where it stands: its topic was made anew.
func TestWhatIsInNoQueueStandsInNone(t *testing.T) {
	p := newPlacing()
	put := func(kind journal.Kind) {
		batch := []Outgoing{{Message: &Message{ID: uuid.New()}, Queue: Queue{System: "FNS01", Kind: QueueRequests}, Arrival: journal.Event{Kind: kind}}}
		in := p.begin(batch)
		p.stand(in, batch, []*Record{{Topic: "t", Offset: 10}})
		batch[0].Queued = kind != ""
		p.end(in, batch, true)
	}
	put(journal.KindQueued)
	if !p.all(t.Context(), "t", 0, 10, 1) {
		t.Error("what is in its queue is not known")
	}
	if put(""); p.all(t.Context(), "t", 0, 10, 1) {
		t.Error("what the intake is to put into its queue is taken for what stood there before")
	}
}

// Queues and topics are known by numbers, which are forgotten when they become many: nothing is
// taken then for what it is not, and least of all what went into no queue for what did.
func TestWhatIsNumberedIsForgottenWhenThereIsMuch(t *testing.T) {
	ctx := t.Context()
	p := newPlacing()
	row := func(system string) []Outgoing {
		return []Outgoing{{Message: &Message{ID: uuid.New()}, Queue: Queue{System: Mnemonic(system)}, Arrival: journal.Event{Kind: journal.KindQueued}}}
	}
	put := func(batch []Outgoing, topic string, meanwhile func()) {
		in := p.begin(batch)
		p.stand(in, batch, []*Record{{Topic: topic}})
		meanwhile()
		p.end(in, batch, true)
	}
	crowd := func() {
		for i := range mostNumbers {
			p.queues.give(Queue{Node: strconv.Itoa(i)})
			p.topics.give(strconv.Itoa(i))
		}
	}
	placed, not, later := row("FNS01"), row("FNS01"), row("FNS01")
	placed[0].Queued, later[0].Queued = true, true
	put(placed, "a", func() {})
	put(not, "b", crowd)
	for topic, batch := range map[string][]Outgoing{"a": placed, "b": not} {
		if p.has(ctx, batch[0].Message.ID, batch[0].Queue) || p.all(ctx, topic, 0, 0, 1) {
			t.Errorf("%s: what was forgotten is known", topic)
		}
	}
	if len(p.queues.of) > mostNumbers || len(p.topics.of) > mostNumbers || len(p.underWay) > 0 {
		t.Errorf("%d queues, %d topics and %d batches are remembered", len(p.queues.of), len(p.topics.of), len(p.underWay))
	}
	put(later, "a", func() {})
	if !p.has(ctx, later[0].Message.ID, later[0].Queue) || !p.all(ctx, "a", 0, 0, 1) {
		t.Error("what came later is not known")
	}
}

// BenchmarkIntakeOfPlaced is what a record takes that has come back from the bus when its
// message is in its queue: opened, and known by where it stands.
func BenchmarkIntakeOfPlaced(b *testing.B) {
	keys := newSealKeys([][]byte{make([]byte, 32)})
	o := Outgoing{Message: &Message{ID: uuid.New()}, Queue: Queue{System: "FNS01", Kind: QueueRequests}, Arrival: journal.Event{Kind: journal.KindQueued}}
	r := Record{Topic: "mezhved.requests.FNS01", Key: []byte(o.Queue.destination()), Value: make([]byte, 716)}
	queue, _ := json.Marshal(o.Queue)
	r.Headers = append(r.Headers, Header{headerBody, []byte(bodyKept)}, Header{headerID, []byte(o.Message.ID.String())}, Header{headerQueue, queue})
	for _, h := range []string{headerMessage, "direction", "sender", "recipient", "service", "service-version", "wire", "conversation", "reply-to"} {
		r.Headers = append(r.Headers, Header{h, []byte(o.Message.ID.String())})
	}
	keys.seal(&r)
	g := &Gateway{seals: keys, config: Config{Kafka: KafkaConfig{Prefix: "mezhved"}}, now: time.Now, registry: &registry.Registry{}, placing: newPlacing()}
	batch := []Outgoing{o}
	in := g.placing.begin(batch)
	g.placing.stand(in, batch, []*Record{&r})
	batch[0].Queued = true
	g.placing.end(in, batch, true)
	b.Run("opened", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a, _, err := g.arrival(r.Topic, &r)
			if err != nil || !g.placing.has(b.Context(), a.Message, a.Queue) {
				b.Fatal(err)
			}
		}
	})
	b.Run("by place", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !g.placing.stands(b.Context(), r.Topic, &r) {
				b.Fatal("not known")
			}
		}
	})
}

// BenchmarkRecord makes the record of a message as its row has it.
func BenchmarkRecord(b *testing.B) {
	g := &Gateway{seals: newSealKeys([][]byte{make([]byte, 32)}), config: Config{Kafka: KafkaConfig{Prefix: "mezhved", MaxRecord: 900 << 10}}, now: time.Now, registry: &registry.Registry{}}
	m := &Message{ID: uuid.New(), MessageID: "7a956fe5-ec1e-11f1-9ca0-435ad5a3e1a6", Original: "7a956fe5-ec1e-11f1-9ca0-435ad5a3e1a7", Direction: DirResponse, Sender: "FNS01",
		Service: "extract", Version: "1.0.0", Wire: "1.2", Trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
	o := &Outgoing{Message: m, Queue: Queue{System: "MFC01", Kind: QueueResponses}, Kept: &Kept{Form: make([]byte, 58), Box: make([]byte, 716)}}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := g.record(o); err != nil {
			b.Fatal(err)
		}
	}
}
