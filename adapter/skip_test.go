package adapter_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/adapter/kafka"
)

func TestSkips(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"mezhved.requests/3@4711", "mezhved.requests.FNS-01_a/0@0-9223372036854775807"} {
		if s, err := adapter.ParseSkip(text); err != nil || s.String() != text {
			t.Errorf("%s is read as %v: %v", text, s, err)
		}
	}
	for _, text := range []string{"", "mezhved.requests", "mezhved.requests/3", "/3@1", "a/b@1", "a/1@-1", "a/1@2-1", "a/1@1-", "a/1@9223372036854775808", "a/99999999999999999999@1", "a b/1@1"} {
		if s, err := adapter.ParseSkip(text); err == nil {
			t.Errorf("%q is read as %v", text, s)
		}
	}
}

// What nobody can read on the bus stands in the way of what is behind it, until the operator
// names the place; the journal says that it was passed over, and was not before it could.
func TestTheJournalSaysWhatWasPassedOver(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, byIntake)
	accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))
	queued(t, w, "REGISTRY", adapter.QueueRequests, 1)
	topic := w.Bus.Published()[0].Topic
	first := adaptertest.Damage(t, w.Brokers(), topic, 0, 2)
	accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))
	w.Eventually("the partition stands still", func() bool { return strings.Contains(w.Log.String(), fmt.Sprintf("%s/0@%d-%d", topic, first, first+1)) })

	w.Store.Break("Record", adaptertest.Failed)
	passOver(t, w, adapter.Skip{Topic: topic, First: first, Last: first + 1})
	queued(t, w, "REGISTRY", adapter.QueueRequests, 2)
	n := 0
	for _, row := range w.Entries() {
		l := row.Leaf
		if l.Kind != journal.KindConfigChanged || l.Operation != "skip" {
			continue
		}
		if n++; l.Rule != fmt.Sprintf("%s/0@%d-%d", topic, first, first+1) || l.Count != 2 || l.Outcome != "skipped" {
			t.Errorf("the journal says %+v", l)
		}
	}
	if n == 0 { // twice, when the bus was not told in time
		t.Error("the journal does not say it")
	}
}

// passOver starts the gateway again with a place in kafka.skip.
func passOver(t *testing.T, w *adaptertest.World, place adapter.Skip) {
	t.Helper()
	passing, err := kafka.Open(kafka.Options{Brokers: w.Brokers(), Partitions: 1, Replication: 1, Log: slog.New(slog.DiscardHandler), Skip: []adapter.Skip{place}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(passing.Close)
	w.Stop()
	w.Bus.Broker = passing
	w.Restart()
}

// A message whose batch nobody can read is put on the bus again once the place is passed
// over, and not before: until then it may be read yet.
func TestWhatWasPassedOverIsRecalled(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, byIntake)
	send := func() { accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1))) }
	send()
	queued(t, w, "REGISTRY", adapter.QueueRequests, 1)
	topic := w.Bus.Published()[0].Topic
	first := adaptertest.Damage(t, w.Brokers(), topic, 0, 1)
	on := func() (n int) {
		for _, r := range w.Bus.Published() {
			if r.Topic == topic {
				n++
			}
		}
		return n
	}
	w.Bus.Lose(func(r adapter.Record) bool { return r.Topic == topic })
	send() // it is in that batch
	w.Eventually("the bus has acknowledged it", func() bool { return on() == 2 })
	w.Bus.Lose(nil)
	send() // behind it
	w.Eventually("the next one stands behind it", func() bool { return on() == 3 })
	w.Eventually("the partition stands still", func() bool { return strings.Contains(w.Log.String(), fmt.Sprintf("%s/0@%d", topic, first)) })
	w.Eventually("they are on the bus and in no queue for long", func() bool {
		strays, err := w.Store.Strays(t.Context(), 3*w.Config.Times.Watch.D())
		return err == nil && len(strays) > 0
	})
	looks := w.Bus.Calls("Ensure")
	w.Eventually("the gateway has looked since", func() bool { return w.Bus.Calls("Ensure") >= looks+2 })
	queued(t, w, "REGISTRY", adapter.QueueRequests, 1)
	if n := on(); n != 3 {
		t.Errorf("%d records were published while the batch may be read yet, want 3", n)
	}

	passOver(t, w, adapter.Skip{Topic: topic, First: first, Last: first})
	queued(t, w, "REGISTRY", adapter.QueueRequests, 3)
	if n := on(); n < 4 { // more, when the intake took long: queued once all the same
		t.Errorf("%d records were published, want 4: of each message one, and one again", n)
	}
}
