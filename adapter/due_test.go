package adapter_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/adapter/terms"
)

// TestDueMomentsAreCommittedAtAcceptance: by when each stage is due stands in the entry
// "accepted", counted by the strictest of the rules, in the zone of who has to keep it.
func TestDueMomentsAreCommittedAtAcceptance(t *testing.T) {
	w := adaptertest.Start(t)
	service, err := os.ReadFile(filepath.Join(w.Dir, "services/extract/1.0/service.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.Write("services/extract/1.0/service.yaml", strings.Replace(string(service), "deadline: 5d", `deadline: 5wd
terms:
  queued: 10m
  taken: 1wd
  response: {taken: 1wd}
  providers: {REGISTRY: {status: 2wd, from: delivered}}
endOfLife: 30d`, 1))
	party, err := os.ReadFile(filepath.Join(w.Dir, "parties/REGISTRY.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.Write("parties/REGISTRY.yaml", string(party)+"\ntimeZone: '+05:00'\nterms: {answered: 3wd, taken: 48h}\n")
	w.Reload()
	id, delivered := w.Exchange("MUNI", "REGISTRY", adaptertest.Extract1)
	if a := w.Party("REGISTRY").Reply(delivered.Message.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}); a.Fault != nil {
		t.Fatal(a.Fault)
	}

	yekaterinburg := time.FixedZone("", 5*60*60)
	end := func(term string, from time.Time, zone *time.Location) time.Time {
		parsed, err := terms.Parse(term)
		if err != nil {
			t.Fatal(err)
		}
		return terms.Shipped().End(parsed, from, zone, terms.FromAccepted)
	}
	seen := 0
	for _, row := range w.Entries() {
		l := row.Leaf
		switch {
		case l.Kind == journal.KindAccepted && l.MessageID == id:
			seen++
			for what, pair := range map[string][2]time.Time{
				"deadline": {l.Deadline, end("3wd", l.Time, yekaterinburg)}, "queued": {l.DueQueued, l.Time.Add(10 * time.Minute)},
				"taken": {l.DueTaken, sooner(end("1wd", l.Time, yekaterinburg), l.Time.Add(48*time.Hour))}, "status": {l.DueStatus, time.Time{}}, "eol": {l.EOL, l.Time.Add(30 * 24 * time.Hour)},
			} {
				if !pair[0].Equal(pair[1]) {
					t.Errorf("%s: %s, want %s", what, pair[0], pair[1])
				}
			}
			if l.Terms != "status 2wd, +05:00" {
				t.Errorf("from the delivery: %q", l.Terms)
			}
		case l.Kind == journal.KindAccepted && l.Direction == "response":
			seen++
			if want := end("1wd", l.Time, terms.Moscow); !l.DueTaken.Equal(want) || !l.Deadline.IsZero() {
				t.Errorf("the answer is to be taken by %s, want %s", l.DueTaken, want)
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d entries were looked at", seen)
	}
}

func sooner(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
