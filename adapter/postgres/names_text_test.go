package postgres

import (
	"encoding/json"
	"testing"

	"mezhved/adapter"
)

// A kind is known by the text of its recipients: it is the same whether it was kept or not.
func TestTheTextOfRecipientsIsAlwaysTheSame(t *testing.T) {
	var n names
	a, b := adapter.Queue{System: "SFR01", Kind: adapter.QueueRequests}, adapter.Queue{System: `"<Ф>`, Kind: adapter.QueueResponses}
	node := a
	node.Node = "north"
	for _, to := range [][]adapter.Queue{{a}, {b}, {node}, {a, b}, {}, {a}, {b}, {node}} {
		list := make([]recipient, len(to))
		for i, q := range to {
			list[i] = recipient(q)
		}
		want, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := n.recipientsText(to); err != nil || got != string(want) {
			t.Errorf("%v: %s, %v, want %s", to, got, err, want)
		}
	}
}
