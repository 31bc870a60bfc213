package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
	"mezhved/adapter/vault"
)

// keptMessages are messages of every form that a body is kept in.
func (w *world) keptMessages() []*adapter.Message {
	const to = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTJ7InJpZCI6IiJ9"
	body := func(m *adapter.Message, text string) {
		m.Body = []byte(`<a xmlns:ns="urn:x"><b>` + snils + text + `</b></a>`)
		m.Parts.Data = adapter.Span{Off: 20, Len: len(m.Body) - 24}
	}
	request := w.message(func(m *adapter.Message) { body(m, "request"); m.ReplyTo = to })
	return []*adapter.Message{
		request,
		w.message(func(m *adapter.Message) {
			body(m, "<To>"+to+"</To>")
			m.Direction, m.Sender, m.Request, m.Original = adapter.DirResponse, "RRTR01", request.ID, request.MessageID
			m.Recipients = []adapter.Queue{{System: "MNSV05", Kind: adapter.QueueResponses, Node: "n1"}}
		}),
		w.message(func(m *adapter.Message) {
			body(m, "broadcast")
			m.Direction, m.ReplyTo = adapter.DirBroadcast, to
			m.Recipients = []adapter.Queue{rosreestr, {System: "FNS001", Kind: adapter.QueueRequests}}
		}),
		w.message(func(m *adapter.Message) { // too large to be woven
			body(m, strings.Repeat("Выписка ", 10_000))
			m.ReplyTo = to
		}),
		w.message(func(m *adapter.Message) {
			m.Direction, m.Sender, m.Wire, m.Parts, m.Body = adapter.DirAsync, "", "", adapter.Parts{}, []byte(`{"details":"`+snils+`"}`)
			m.Recipients = []adapter.Queue{{System: "MNSV05", Kind: adapter.QueueStatus}}
		}),
	}
}

// kept gives what the relay is given of the messages that wait, by queue, and leaves them
// where they are.
func (w *world) kept(s *postgres.Store) map[adapter.Queue]map[uuid.UUID]adapter.Kept {
	w.Helper()
	later, found := errors.New("the bus is away"), map[adapter.Queue]map[uuid.UUID]adapter.Kept{}
	for shard := range adapter.Shards {
		_, _, err := s.Relay(w.Context(), shard, 100, func(_ context.Context, out []adapter.Outgoing) ([]journal.Event, error) {
			for _, o := range out {
				if o.Kept == nil {
					w.Errorf("%s: nothing is kept", o.Message.Direction)
					continue
				}
				if found[o.Queue] == nil {
					found[o.Queue] = map[uuid.UUID]adapter.Kept{}
				}
				found[o.Queue][o.Message.ID] = *o.Kept
			}
			return nil, later
		})
		if err != nil && !errors.Is(err, later) {
			w.Fatal(err)
		}
	}
	return found
}

// said is what a record's headers say of a message.
func said(m *adapter.Message, q adapter.Queue) *adapter.Message {
	return &adapter.Message{ID: m.ID, MessageID: m.MessageID, Original: m.Original, Direction: m.Direction, Sender: m.Sender,
		Service: m.Service, Version: m.Version, Wire: m.Wire, Recipients: []adapter.Queue{q}}
}

// The bus carries the body as the row has it, whichever node relays it. It is read without
// the row and without the database: by another one that has given its dictionaries other
// numbers. It ends with its key.
func TestWhatIsKeptIsReadWithoutItsRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.query(exec("UPDATE release_gate SET since = '-infinity'"))
	dir, samples := t.TempDir(), [][]byte{[]byte("certificates of " + strings.Repeat("these parties ", 20))}
	w.Store = w.another(postgres.Options{Vault: openVault(t, dir), Samples: samples})
	messages := w.keptMessages()
	for _, m := range messages {
		w.accept(m)
	}
	found := w.kept(w.Store)
	if got := w.kept(w.another(postgres.Options{Vault: openVault(t, dir), Samples: samples})); !reflect.DeepEqual(got, found) {
		t.Error("a node that has not accepted them is given other ones")
	}

	other := newWorld(t)
	bare := other.another(postgres.Options{Vault: openVault(t, dir), Samples: [][]byte{[]byte("other parties")}})
	read := func(s *postgres.Store, check func(m, got *adapter.Message, err error)) {
		n := 0
		for _, m := range messages {
			for _, q := range m.Recipients {
				k, ok := found[q][m.ID]
				if !ok {
					t.Errorf("%s to %s is not relayed", m.Direction, q.System)
					continue
				}
				if bytes.Contains(k.Box, []byte(snils)) {
					t.Errorf("%s is in the clear", m.Direction)
				}
				got := said(m, q)
				check(m, got, s.OpenKept(t.Context(), got, k))
				n++
			}
		}
		if n != 6 {
			t.Errorf("%d are read, want 6", n)
		}
	}
	read(bare, func(m, got *adapter.Message, err error) {
		if err == nil || !strings.Contains(err.Error(), "compression dictionary") {
			t.Errorf("%s without its dictionary: %v", m.Direction, err)
		}
	})
	numbered := other.another(postgres.Options{Vault: openVault(t, dir), Samples: samples})
	whole := func(m, got *adapter.Message, err error) {
		if err != nil || !bytes.Equal(got.Body, m.Body) || got.ReplyTo != m.ReplyTo || got.Parts.Data != m.Parts.Data || !slices.Equal(got.Parts.Scope, m.Parts.Scope) {
			t.Errorf("%s came back as %+v, %v", m.Direction, got, err)
		}
	}
	read(numbered, whole)
	read(bare, whole) // it is the database's now

	v := openVault(t, dir)
	for _, m := range messages {
		if err := v.Erase(vault.Erasure{ID: uuid.NewString(), At: w.now, Ground: "g", Items: []vault.Item{{Class: adapter.ContentClass(m.Service, m.Direction), ID: vault.ID(m.ID)}}}); err != nil {
			t.Fatal(err)
		}
	}
	read(other.another(postgres.Options{Vault: openVault(t, dir)}), func(m, got *adapter.Message, err error) {
		if err != nil || got.Erased == nil || got.Body != nil {
			t.Errorf("%s was erased: %+v, %v", m.Direction, got, err)
		}
	})
}
