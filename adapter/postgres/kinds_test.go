package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

// What many messages say alike stands once, whoever asks for it: as messages, as those
// that are to be erased, as what waits for the bus, as what a sender has sent before.
func TestWhatMessagesSayAlikeStandsOnce(t *testing.T) {
	ctx := context.Background()
	w := open(t)
	other := w.another(postgres.Options{})
	plain := func(m *adapter.Message) { m.Certificate, m.Trace = [32]byte{7}, "00-trace" }
	first, second := w.message(plain), w.message(plain)
	answer := w.message(plain, func(m *adapter.Message) {
		m.Direction, m.Sender, m.Request, m.Original, m.VIP = adapter.DirResponse, "RRTR01", first.ID, first.MessageID, true
		m.Recipients = []adapter.Queue{{System: "MNSV05", Kind: adapter.QueueResponses}}
	})
	noded := w.message(plain, func(m *adapter.Message) {
		m.Recipients, m.Reference, m.TransactionCode = []adapter.Queue{{System: "MNSV05", Kind: adapter.QueueResponses, Node: "made up"}}, "a chain", "a code"
	})
	all := []*adapter.Message{first, second, answer, noded}
	for _, m := range all {
		w.accept(m)
	}
	if kinds, named := w.count("SELECT count(*) FROM message_kind"), w.count("SELECT count(*) FROM message WHERE kind IS NOT NULL AND sender IS NULL AND certificate IS NULL"); kinds != 2 || named != 3 {
		t.Errorf("%d kinds, which %d messages name; want 2 and 3: a node's name is its sender's", kinds, named)
	}
	lanes, err := other.Lanes(ctx)
	if err != nil || len(lanes) != 3 {
		t.Fatal(lanes, err)
	}
	for _, l := range lanes {
		if l.Service != "egrn-extract" || l.Coming == 0 || (l.Sender == "RRTR01") != (l.Queue == answer.Recipients[0]) {
			t.Errorf("coming: %+v", l)
		}
	}
	ids := make([]uuid.UUID, len(all))
	for i, m := range all {
		ids[i] = m.ID
		found, err := other.Find(ctx, m.MessageID)
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		if d := difference(&found[0], m); d != "" {
			t.Errorf("message %d: %s", i, d)
		}
		if awaited, err := other.Awaited(ctx, m.ID, m.Recipients[0]); err != nil || !awaited {
			t.Errorf("message %d is awaited: %t, %v", i, awaited, err)
		}
	}
	list, err := other.Erasables(ctx, ids, nil)
	if err != nil || len(list) != len(all) {
		t.Fatal(list, err)
	}
	for i, e := range list {
		if m := all[i]; e.Direction != string(m.Direction) || e.Sender != string(m.Sender) || e.Service != m.Service || e.Recipients[0] != string(m.Recipients[0].System) {
			t.Errorf("message %d, as one that may be erased: %+v", i, e)
		}
	}
	var latest []adapter.MessageID
	if _, err := other.LatestMessages(ctx, "egrn-extract", []adapter.Direction{adapter.DirRequest}, w.now.AddDate(0, 0, -1), w.now.AddDate(0, 0, 1), 5, 10, func(m *adapter.Message) error {
		latest = append(latest, m.MessageID)
		return nil
	}); err != nil || len(latest) != 3 {
		t.Errorf("the latest requests: %v, %v", latest, err)
	}
	// Its MessageID under another sender, and the request a second answer.
	if _, err := other.Accept(ctx, w.message(from("OTHER1", first.MessageID)), []journal.Event{}); !errors.Is(err, adapter.ErrTaken) {
		t.Errorf("another's MessageID: %v", err)
	}
	if a, err := other.Accept(ctx, w.message(plain, from("MNSV05", first.MessageID)), nil); err != nil || a.First == nil || a.First.ID != first.ID {
		t.Errorf("the same again: %+v, %v", a, err)
	}
	w.exec("DELETE FROM message_kind")
	if _, err := w.another(postgres.Options{}).Find(ctx, first.MessageID); err == nil || !strings.Contains(err.Error(), "kind ") {
		t.Errorf("a message whose kind is gone: %v", err)
	}
}

// A number that another kind has is given to no message.
func TestAKindIsNoOthers(t *testing.T) {
	ctx := context.Background()
	w := open(t)
	m := w.message()
	w.accept(m)
	w.exec("UPDATE message_kind SET sender = 'OTHER1'")
	again := w.message()
	if _, err := w.another(postgres.Options{}).Accept(ctx, again, nil); err != nil {
		t.Fatal(err)
	}
	found, err := w.another(postgres.Options{}).Find(ctx, again.MessageID)
	if err != nil || len(found) != 1 || found[0].Sender != "MNSV05" {
		t.Errorf("%+v, %v", found, err)
	}
}

// A server that has lost its last commits has lost what this node has noted, and may have
// given its numbers to others: the node goes on, and each message stands for what it was.
func TestANodeOutlivesTheNamesOfItsServer(t *testing.T) {
	ctx := context.Background()
	for name, lose := range map[string]string{
		"a kind":                   "DELETE FROM message_kind",
		"a queue":                  "DELETE FROM queue_name",
		"a root element":           "DELETE FROM root_name",
		"a queue, another has it":  "UPDATE queue_name SET system = 'OTHER1'",
		"a root, another has it":   "UPDATE root_name SET local = 'Other'",
		"all, as an older backup":  "DELETE FROM message_kind; DELETE FROM queue_name; DELETE FROM root_name",
		"nothing, and all is well": "SELECT",
	} {
		for _, direction := range []adapter.Direction{adapter.DirRequest, adapter.DirStatus} {
			t.Run(name+" "+string(direction), func(t *testing.T) {
				w := open(t)
				change := func(m *adapter.Message) {
					m.Direction, m.Root = direction, adapter.QName{Space: "urn:root", Local: "Root"}
				}
				w.accept(w.message(change))
				w.exec("DELETE FROM outbox; DELETE FROM message; DELETE FROM journal_pending; " + lose)
				m := w.message(change)
				w.put(m)
				other := w.another(postgres.Options{})
				found, err := other.Find(ctx, m.MessageID)
				if err != nil || len(found) != 1 {
					t.Fatal(found, err)
				}
				if d := difference(&found[0], m); d != "" {
					t.Error(d)
				}
				w.Store = other
				if d := w.lease(adapter.Poll{Queue: m.Recipients[0]}); d == nil || d.Message.ID != m.ID {
					t.Errorf("its recipient is given %+v", d)
				}
			})
		}
	}
}
