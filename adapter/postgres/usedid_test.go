package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

func (w *world) migrateTo(version int64) {
	w.Helper()
	if err := postgres.MigrateTo(context.Background(), w.url, version); err != nil {
		w.Fatal(err)
	}
}

// upgrade migrates and opens the store of today.
func (w *world) upgrade() {
	w.Helper()
	if err := postgres.Migrate(context.Background(), w.url); err != nil {
		w.Fatal(err)
	}
	w.Store = w.another(postgres.Options{})
}

// acceptBefore is what a node of before does with a message, in one statement as
// it did: its dedup key is of sender and MessageID. What only others need is left out.
func (w *world) acceptBefore(m *adapter.Message) error {
	w.Helper()
	var err error
	w.query(func(c *pgx.Conn) error {
		_, err = c.Exec(context.Background(), `
WITH d AS (
	INSERT INTO dedup (key, id) VALUES (substring(sha256(convert_to($2 || '|' || $3, 'UTF8')) FOR 16), $1)
	ON CONFLICT DO NOTHING RETURNING id
), m AS (
	INSERT INTO message (id, sender, message_id, direction, original, reference, transaction_code, recipients, service, version, root, vip, test,
		accepted, wire, parts, reply_to, digest, certificate, trace, attachments, codec, dictionary, size, body)
	SELECT id, $2, $3, 'request', '', '', '', '[{"s":"RRTR01","k":"request"}]', 'egrn-extract', '1.0', 0, false, false, now(), '1.2',
		'{"data":{"o":3,"l":5}}', '', $4, '', '', 0, 0, 0, length($5::bytea), $5::bytea FROM d
)
INSERT INTO outbox (shard, message, queue) SELECT $6, id, q FROM d,
	(SELECT id AS q FROM queue_name WHERE system = 'RRTR01' AND kind = 'request' AND node = '') n`,
			[16]byte(m.ID), string(m.Sender), string(m.MessageID), m.Digest[:], m.Body, adapter.ShardOf(rosreestr))
		return nil
	})
	return err
}

func from(sender adapter.Mnemonic, id adapter.MessageID) func(*adapter.Message) {
	return func(m *adapter.Message) { m.Sender, m.MessageID = sender, id }
}

// pair is a world in whose queue stand two messages of before, of two senders and
// under one MessageID.
// openBefore opens a store that writes what every release can read, so that a test can go
// back.
func openBefore(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.query(exec("UPDATE release_gate SET since = 'infinity'"))
	w.Store = w.another(postgres.Options{})
	return w
}

func pair(t *testing.T) (w *world, first, second *adapter.Message) {
	t.Helper()
	w = openBefore(t)
	w.put(w.message()) // names the queue
	if err := w.ack(w.lease(adapter.Poll{}).Message.MessageID); err != nil {
		t.Fatal(err)
	}
	id := adapter.MessageID(uuid.NewString())
	first, second = w.message(from("MNSV05", id)), w.message(from("FNS001", id))
	w.Close()
	w.migrateTo(49)
	for _, m := range []*adapter.Message{first, second} {
		if err := w.acceptBefore(m); err != nil {
			t.Fatal(err)
		}
	}
	w.upgrade()
	w.pump()
	return w, first, second
}

// While the nodes are upgraded one after another, the ones of before write keys
// of sender and MessageID. No id is used twice, whichever node hears of it first.
func TestUsedIDsInARollingUpgrade(t *testing.T) {
	w := openBefore(t)
	w.put(w.message()) // names the queue
	early := adapter.MessageID(uuid.NewString())
	first, second := w.message(from("MNSV05", early)), w.message(from("FNS001", early))
	w.Close()
	w.migrateTo(49)
	for _, m := range []*adapter.Message{first, second} {
		if err := w.acceptBefore(m); err != nil {
			t.Fatal(err)
		}
	}
	w.upgrade()

	// Both senders are told of their own message, a third is refused.
	for _, m := range []*adapter.Message{first, second} {
		if a := w.accept(w.message(from(m.Sender, early))); a.First == nil || a.First.ID != m.ID {
			t.Errorf("%s sends again: first is %v, want its own message", m.Sender, a.First)
		}
	}
	if _, err := w.Accept(context.Background(), w.message(from("PFR001", early)), nil); !errors.Is(err, adapter.ErrTaken) {
		t.Errorf("a third sender under the id: %v, want ErrTaken", err)
	}

	// What a node of before accepts now is known to the others.
	late := w.message()
	if err := w.acceptBefore(late); err != nil {
		t.Fatalf("a node of before accepts nothing any more: %v", err)
	}
	if _, err := w.Accept(context.Background(), w.message(from("FNS001", late.MessageID)), nil); !errors.Is(err, adapter.ErrTaken) {
		t.Errorf("another sender under an id that a node of before took: %v, want ErrTaken", err)
	}
	if a := w.accept(w.message(from("MNSV05", late.MessageID))); a.First == nil || a.First.ID != late.ID {
		t.Errorf("sent again to a newer node: first is %v, want the message", a.First)
	}

	// And it accepts nothing that they know, of its own sender or another.
	own := w.message()
	w.accept(own)
	for _, sender := range []adapter.Mnemonic{"MNSV05", "FNS001"} {
		m := w.message(from(sender, own.MessageID))
		if err := w.acceptBefore(m); err == nil {
			t.Errorf("a node of before accepts %s's message under an id that is used", sender)
		}
		if got := w.count("SELECT count(*) FROM message WHERE id = $1", [16]byte(m.ID)) + w.count("SELECT count(*) FROM outbox WHERE message = $1", [16]byte(m.ID)); got != 0 {
			t.Errorf("%d rows are left of what was refused", got)
		}
	}

	// Keys of before are forgotten like the others.
	for range 32 {
		if _, err := w.Sweep(context.Background(), w.now.AddDate(0, 0, 8)); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.count("SELECT count(*) FROM used_id") + w.count("SELECT count(*) FROM dedup"); got != 0 {
		t.Errorf("%d keys outlive their life", got)
	}
}

// Two messages of before bear one MessageID. An Ack takes out neither while both
// are out, and then each in its turn.
func TestAckOfAnIDThatTwoMessagesBear(t *testing.T) {
	w, first, second := pair(t)
	id := first.MessageID
	waiting := func() int { return w.count("SELECT count(*) FROM queue WHERE message_id = $1", string(id)) }

	// Node 1 holds the first, node 2 the second and acknowledges it.
	for _, want := range []*adapter.Message{first, second} {
		if d := w.lease(adapter.Poll{}); d == nil || d.Message.ID != want.ID {
			t.Fatalf("leased %v, want the message of %s", d, want.Sender)
		}
	}
	if err := w.ack(id); !errors.Is(err, adapter.ErrNotAwaiting) || waiting() != 2 {
		t.Fatalf("ack while both are out: %v, %d messages left, want it refused and both left", err, waiting())
	}
	// Node 1 acknowledges the first, which alone is out now.
	if err := w.ack(id); err != nil {
		t.Fatalf("ack of the one that is out: %v", err)
	}
	d := w.lease(adapter.Poll{})
	if d == nil || d.Message.ID != second.ID || d.Attempt != 2 {
		t.Fatalf("leased %+v, want the second message again", d)
	}
	if err := w.ack(id); err != nil || waiting() != 0 {
		t.Fatalf("ack of the second: %v, %d messages left", err, waiting())
	}
	for _, m := range []*adapter.Message{first, second} {
		if got := w.count("SELECT count(*) FROM journal_pending WHERE event->>'message' = $1 AND event->>'kind' = $2", m.ID.String(), string(journal.KindAcknowledged)); got != 1 {
			t.Errorf("the message of %s was acknowledged %d times, want once", m.Sender, got)
		}
	}
}

// An Ack that comes when the lease is over counts, unless another message bears
// the id: then it may have been meant.
func TestLateAckOfAnIDThatTwoMessagesBear(t *testing.T) {
	w, first, second := pair(t)
	id := first.MessageID
	w.lease(adapter.Poll{})
	w.lease(adapter.Poll{})
	w.now = w.now.Add(20 * time.Minute)
	if err := w.ack(id); !errors.Is(err, adapter.ErrNotAwaiting) {
		t.Errorf("late ack: %v, want it refused", err)
	}
	if d := w.lease(adapter.Poll{}); d == nil || d.Message.ID != first.ID {
		t.Fatalf("leased %+v, want the first of the two", d)
	}
	if err := w.ack(id); err != nil {
		t.Errorf("ack of the one that is out: %v", err)
	}
	if got := w.count("SELECT count(*) FROM queue WHERE message = $1", [16]byte(second.ID)); got != 1 {
		t.Error("the other one has gone")
	}
}

// A database that gateways of before have worked with says until when they may be
// at work; a new one says that there are none.
func TestOldSeals(t *testing.T) {
	w := openBefore(t)
	ctx := context.Background()
	if at, err := w.OldSeals(ctx); err != nil || !at.IsZero() {
		t.Errorf("a new database: old seals until %v, %v, want never", at, err)
	}
	w.accept(w.message())
	w.Close()
	w.migrateTo(49)
	w.upgrade()
	if at, err := w.OldSeals(ctx); err != nil || at.Before(time.Now().Add(6*24*time.Hour)) || at.After(time.Now().Add(8*24*time.Hour)) {
		t.Errorf("a database of before: old seals until %v, %v, want about a week", at, err)
	}
	w.Close()
	w.migrateTo(49)
	w.query(exec("TRUNCATE message"))
	w.query(exec("UPDATE goose_db_version SET tstamp = tstamp - interval '1 day'"))
	w.upgrade()
	if at, err := w.OldSeals(ctx); err != nil || at.IsZero() {
		t.Errorf("an empty database of before: old seals until %v, %v, want some time", at, err)
	}
}
