package adapter

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"mezhved/adapter/journal"
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
	var p placing
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
	if len(p.young)+len(p.old) > 2*mostPlaced {
		t.Errorf("%d places are remembered", len(p.young)+len(p.old))
	}
}
