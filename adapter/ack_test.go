package adapter_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/envelopes"
)

// lateAcks works on with Acks when their callers hear no more of them, as a store does
// that carries them out together.
type lateAcks struct {
	adapter.Store
	envelopes chan []byte
}

func (s *lateAcks) Ack(_ context.Context, _ adapter.Mnemonic, _ adapter.MessageID, _ time.Time, _ journal.Event, envelope []byte) error {
	s.envelopes <- envelope
	return context.DeadlineExceeded
}

// What is kept of an Ack is its own envelope, whoever calls after its caller has gone.
func TestAnAckThatNobodyWaitsForKeepsItsEnvelope(t *testing.T) {
	t.Parallel()
	store := &lateAcks{envelopes: make(chan []byte, 1)}
	w := adaptertest.Start(t, adaptertest.WithRooms(func(r *adapter.Rooms) { store.Store, r.Store = r.Store, store }))
	sent := w.Party("REGISTRY").BuildAck(w.NewMessageID())
	w.Party("REGISTRY").Post("/ws", envelopes.TextXML, sent)
	kept := <-store.envelopes
	for range 20 {
		accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))
	}
	if !bytes.Equal(kept, sent) {
		t.Errorf("the envelope became\n%s, want\n%s", kept, sent)
	}
}
