package console

import (
	"context"
	"slices"
	"testing"

	"mezhved/adapter/journal"
	"mezhved/envelopes/xmltape/cost"
)

// TestAMessageThatWasRefusedForDays: a sender that tries the same message again and again
// makes tens of thousands of entries of one exchange, and its trace is told all the same.
func TestAMessageThatWasRefusedForDays(t *testing.T) {
	d := openDesk(t)
	const tries = 20_000
	id := newMessage()
	events := make([]journal.Event, tries)
	for i := range events {
		events[i] = journal.Event{Kind: journal.KindRefused, Time: d.Clock.Now(), Node: "n1", Operation: "SendRequest", Outcome: "smev-failure", Sender: "MUNI",
			MessageID: id, Incident: newMessage(), Rule: "cvc-pattern-valid"}
	}
	for some := range slices.Chunk(events, 500) {
		d.must(d.Store.Store.Record(context.Background(), some...))
	}
	d.settle()
	var trace *Trace
	took := cost.Of(func() {
		var err error
		trace, err = d.console.trace(context.Background(), id)
		d.must(err)
	})
	if len(trace.Events) != tries {
		t.Errorf("%d events, want %d", len(trace.Events), tries)
	}
	if took > 1000 {
		t.Errorf("cost as much as %.0f MB through the gate, more than 1000", took)
	}
	t.Logf("%.0f MB through the gate", took)
}
