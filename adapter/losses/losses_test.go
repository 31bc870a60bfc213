package losses

import (
	"context"
	"fmt"
	"slices"
	"testing"
)

// has are the MessageIDs that are here; most is how many it was asked for at once.
type has struct {
	ids  map[string]bool
	most int
}

func (h *has) Accepted(_ context.Context, ids []string) (map[string]bool, error) {
	h.most = max(h.most, len(ids))
	found := map[string]bool{}
	for _, id := range ids {
		if h.ids[id] {
			found[id] = true
		}
	}
	return found, nil
}

// Of a bus full of records those are told whose messages are not here, and nothing is kept of
// the others meanwhile.
func TestRecordsOfWhatIsHereAreLetGo(t *testing.T) {
	here, e := &has{ids: map[string]bool{}}, New()
	const n = 20_500
	for i := range n {
		id := fmt.Sprintf("message %05d", i)
		here.ids[id] = i%1000 != 7
		if err := e.Record(t.Context(), Message{MessageID: id, Sender: "MUNI"}, here); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 7 { // it went to another recipient, too, and a receipt tells of it
			e.message(Message{MessageID: id, Recipient: "REGISTRY"}, Receipt)
		}
		if kept := len(e.accepted) + cap(e.records); kept > 2*mostRecords {
			t.Fatalf("%d are kept after %d records", kept, i)
		}
	}
	e.message(Message{MessageID: "message 00008"}, Receipt)
	report, err := e.Against(t.Context(), here)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Lost) != 21 || report.Known != n-21+1 || here.most > mostRecords {
		t.Errorf("%d are lost and %d here, asked for %d at once", len(report.Lost), report.Known, here.most)
	}
	for _, m := range report.Lost {
		if m.Sender != "MUNI" || m.Recipient != "REGISTRY" || !slices.Equal(m.By, []By{Receipt, Bus}) {
			t.Errorf("%+v is lost", m)
		}
	}
}
