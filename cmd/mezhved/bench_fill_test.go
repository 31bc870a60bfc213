package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

// A filled store is one that a gateway could have left: messages and receipts open,
// every entry is there and has a proof, and a gateway goes on from it.
func TestBenchFillAndRead(t *testing.T) {
	const messages = 1200
	const unanswered = messages / 2 / unansweredIn
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { // the private PostgreSQL has an account of its own
		t.Fatal(err)
	}
	filled := filepath.Join(dir, "filled")
	if out, err := exec.Command(program(t, "mezhved"), "bench", "fill", "--dir", filled, "--messages", "1200", "--days", "3").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command(program(t, "mezhved"), "bench", "fill", "--dir", filled).CombinedOutput(); err == nil {
		t.Errorf("filled a second time:\n%s", out)
	}
	looksWhole(t, filled, messages, unanswered)

	out, err := exec.Command(program(t, "mezhved"), "bench", "read", "--filled", filled, "--rounds", "2", "--json").Output()
	if err != nil {
		var ended *exec.ExitError
		errors.As(err, &ended)
		t.Fatalf("%v\n%s%s", err, out, ended.Stderr)
	}
	var times []lookTimes
	if err := json.Unmarshal(out, &times); err != nil {
		t.Fatal(err)
	}
	if len(times) != len(looks())+3 {
		t.Errorf("%d things were looked at, want %d and start and loops", len(times), len(looks()))
	}
	for _, l := range times {
		if l.Empty.P50 <= 0 || l.Filled.P50 <= 0 || l.Ratio <= 0 {
			t.Errorf("%+v", l)
		}
	}
}

func looksWhole(t *testing.T, dir string, messages, unanswered int) {
	t.Helper()
	ctx := t.Context()
	w, err := openPast(ctx, dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	counts := map[journal.Kind]int64{}
	services := map[string]bool{}
	some := map[string]bool{}
	totals, err := w.book.Totals(ctx, postgres.Query{}, "kind", "service")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range totals {
		counts[journal.Kind(c.Kind)] += c.Entries
		services[c.Service] = true
	}
	want := int64(messages - unanswered)
	for _, kind := range []journal.Kind{journal.KindAccepted, journal.KindRouted, journal.KindQueued, journal.KindDelivered, journal.KindAcknowledged} {
		if counts[kind] != want {
			t.Errorf("%d entries %s, want %d", counts[kind], kind, want)
		}
	}
	if n := counts[journal.KindAnswered]; n != int64(messages/2-unanswered) || counts[journal.KindUnknown] != 0 {
		t.Errorf("%d answered, %d unknown", n, counts[journal.KindUnknown])
	}
	if len(services) < 4 {
		t.Errorf("services %v", services)
	}
	rows, err := w.book.Search(ctx, postgres.Query{Kind: journal.KindAccepted, Limit: 5})
	if err != nil || len(rows) != 5 {
		t.Fatal(len(rows), err)
	}
	for _, r := range rows {
		found, err := w.store.Find(ctx, adapter.MessageID(r.Leaf.MessageID))
		if err != nil || len(found) != 1 {
			t.Fatal(len(found), err)
		}
		m := found[0]
		some[m.ID.String()] = true
		if sha256.Sum256(m.Body) != m.Digest || m.Service != r.Leaf.Service || m.Sender != adapter.Mnemonic(r.Leaf.Sender) {
			t.Errorf("message %s does not hold what its entry says", m.ID)
		}
		receipts, err := w.store.Receipts(ctx, m.ID)
		if err != nil || len(receipts) == 0 || receipts[0].Answer == nil || receipts[len(receipts)-1].Ack == nil {
			t.Errorf("receipts %d, %v", len(receipts), err)
		}
	}
	if len(some) != 5 {
		t.Errorf("%d messages of 5 entries", len(some))
	}
	requests, err := w.book.Search(ctx, postgres.Query{Kind: journal.KindAccepted, Sender: benchSender, Limit: 1})
	if err != nil || len(requests) != 1 {
		t.Fatal(len(requests), err)
	}
	values, err := w.book.Openings(ctx, requests[0].Index)
	if err != nil {
		t.Fatal(err)
	}
	people := 0
	for _, v := range values {
		if v.Field != "snils" {
			continue
		}
		people++
		found, err := w.book.Search(ctx, postgres.Query{Values: []journal.PersonalField{{Field: v.Field, Value: v.Value}}})
		if err != nil || !slices.ContainsFunc(found, func(r postgres.Row) bool { return r.Index == requests[0].Index }) {
			t.Errorf("%d entries of a person, not the one that names them; %v", len(found), err)
		}
	}
	if people == 0 {
		t.Error("an entry of the sender of the benchmarks names nobody")
	}
	late, err := w.store.OpenTerms(ctx, adapter.TermQuestion{})
	if err != nil || len(late) != unanswered {
		t.Errorf("%d open terms, %v; want %d", len(late), err, unanswered)
	}
}
