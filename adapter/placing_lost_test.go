package adapter_test

import (
	"slices"
	"testing"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
)

// The relay's commit waits for no disk, so a database that crashes may lose it, and what
// this node has placed is in no queue. Another node whose relay leaves the queues to the
// intake takes the rows to the bus again: the intake of this one, which remembers having
// placed the message, takes it from there.
func TestWhatTheDatabaseHasLostIsPlacedAgain(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	id := accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1))).Receipt.MessageID
	queued(t, w, "REGISTRY", adapter.QueueRequests, 1)
	published := w.Bus.Published()
	at := slices.IndexFunc(published, func(r adapter.Record) bool { return header(r, "message-id") == id })

	w.SQL("INSERT INTO relayed (message, queue, shard) SELECT message, queue, 0 FROM queue")
	w.SQL("DELETE FROM queue")
	w.SQL("DELETE FROM placed")
	put(t, w, published[at])
	queued(t, w, "REGISTRY", adapter.QueueRequests, 1)
	if n := w.Number("SELECT count(*) FROM relayed"); n != 0 {
		t.Errorf("%d messages are still awaited from the bus", n)
	}
}
