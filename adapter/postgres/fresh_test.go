package postgres_test

import (
	"context"
	"errors"
	"testing"

	"mezhved/adapter"
	"mezhved/adapter/postgres"
)

// The relay may come as soon as a message is committed, and finds it in memory by then.
// What comes to nothing is not kept.
func TestMessagesAreInMemoryBeforeTheyAreCommitted(t *testing.T) {
	w := open(t)
	m := w.message()
	release := w.block("LOCK TABLE used_id IN EXCLUSIVE MODE")
	done := make(chan error, 1)
	go func() {
		_, err := w.Accept(context.Background(), m, nil)
		done <- err
	}()
	until(t, "the message is in memory", func() bool { return postgres.Fresh(w.Store, m.ID) })
	if n := w.count("SELECT count(*) FROM message"); n != 0 {
		t.Errorf("%d messages are committed, want none yet", n)
	}
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !postgres.Fresh(w.Store, m.ID) {
		t.Error("a committed message is not in memory")
	}
	again := w.message(func(x *adapter.Message) { x.MessageID, x.Sender = m.MessageID, "OTHER1" })
	if _, err := w.Accept(context.Background(), again, nil); !errors.Is(err, adapter.ErrTaken) {
		t.Fatalf("another sender under the same MessageID: %v, want ErrTaken", err)
	}
	if postgres.Fresh(w.Store, again.ID) {
		t.Error("a refused message is in memory")
	}
}
