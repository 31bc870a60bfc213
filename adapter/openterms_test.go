package adapter_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
)

// withTerms gives a service of the world terms in hours.
func withTerms(t *testing.T, w *adaptertest.World) {
	t.Helper()
	name := "services/extract/1.0/service.yaml"
	service, err := os.ReadFile(filepath.Join(w.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(name, strings.Replace(string(service), "deadline: 5d", "deadline: 48h\nterms: {queued: 10m, taken: 4h, status: 24h, soon: 1h, response: {taken: 8h}}", 1))
	w.Reload()
}

// told gives "kind stage" of what the log tells of a message's terms, in order.
func told(w *adaptertest.World, id string) (list []string) {
	for _, row := range w.Entries() {
		if l := &row.Leaf; l.MessageID == id && (l.Kind == journal.KindDueSoon || l.Kind == journal.KindOverdue) {
			list = append(list, string(l.Kind)+" "+l.Stage+" "+l.Outcome)
		}
	}
	return list
}

// TestWhatIsLateIsToldOnce: each stage is told to come due and to be overdue once,
// whatever restarts and however many nodes look; what was reached in time is not.
func TestWhatIsLateIsToldOnce(t *testing.T) {
	straightAndPooled(t, func(t *testing.T, w *adaptertest.World) {
		withTerms(t, w)
		stop := w.StartSequencer()
		w.Join("second")
		silent, first := w.Exchange("MUNI", "REGISTRY", adaptertest.Extract1) // taken, and never answered
		prompt, delivered := w.Exchange("MUNI", "REGISTRY", adaptertest.Extract1)
		if a := w.Party("REGISTRY").Reply(delivered.Message.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}); a.Fault != nil {
			t.Fatal(a.Fault)
		}
		open := func() []adapter.OpenTerm {
			list, err := w.Store.OpenTerms(t.Context(), adapter.TermQuestion{})
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		w.Eventually("status and answer of one request, and the answer to the other, are open", func() bool { return len(open()) == 3 })
		await := func(n int) {
			t.Helper()
			w.Eventually("it is told", func() bool {
				told := 0
				for _, row := range w.Entries() {
					if row.Leaf.Kind == journal.KindDueSoon || row.Leaf.Kind == journal.KindOverdue {
						told++
					}
				}
				return told >= n
			})
		}
		w.Clock.Advance(23*time.Hour + 30*time.Minute) // a status is due in half an hour; nobody has fetched the answer for 15 hours
		await(2)
		w.Restart()
		w.Clock.Advance(time.Hour)
		await(3)
		w.Clock.Advance(23 * time.Hour)
		await(4)
		w.Clock.Advance(2 * time.Hour)
		await(5)
		if n := len(open()); n != 3 {
			t.Errorf("%d terms are open: what was told stays late until it is reached", n)
		}
		late := w.Party("REGISTRY").Reply(first.Message.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)})
		if late.Fault != nil {
			t.Fatal(late.Fault)
		}
		w.Eventually("the late answer closes its request", func() bool { return len(open()) == 2 }) // two answers that nobody fetches
		stop()
		if got, want := strings.Join(told(w, silent), ", "), "due-soon status open, overdue status open, due-soon answered open, overdue answered open"; got != want {
			t.Errorf("told of the silent request: %s, want %s", got, want)
		}
		if got := told(w, prompt); len(got) > 0 {
			t.Errorf("told of the prompt request: %v", got)
		}
	})
}

// TestWhatEndsUnreachedIsNotReached: a request whose life ends with its term, and that
// nobody took, is overdue; nothing says that it was reached late.
func TestWhatEndsUnreachedIsNotReached(t *testing.T) {
	straightAndPooled(t, func(t *testing.T, w *adaptertest.World) {
		name := "services/extract/1.0/service.yaml"
		service, err := os.ReadFile(filepath.Join(w.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		w.Write(name, strings.Replace(string(service), "deadline: 5d", "deadline: 48h\nendOfLife: 48h\nterms: {taken: 47h}", 1))
		w.Reload()
		stop := w.StartSequencer()
		a := w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)})
		if a.Fault != nil {
			t.Fatal(a.Fault)
		}
		id := a.Receipt.MessageID
		w.Eventually("it is queued", func() bool {
			for _, row := range w.Entries() {
				if row.Leaf.MessageID == id && row.Leaf.Kind == journal.KindQueued {
					return true
				}
			}
			return false
		})
		w.Clock.Advance(48*time.Hour + 5*time.Second) // past the end of life, and within the grace of the term
		w.Eventually("it is told", func() bool {
			list := strings.Join(told(w, id), ", ")
			return strings.Contains(list, "overdue taken") && strings.Contains(list, "overdue answered")
		})
		stop()
		for _, one := range told(w, id) {
			if strings.HasSuffix(one, "reached") {
				t.Errorf("told %q of a request that nobody took", one)
			}
		}
	})
}

// A busy log is followed more often than the setting says, so that what is read still stands
// in the store's memory.
func TestTermsFollowABusyLog(t *testing.T) {
	const most = 2 * time.Second
	for _, c := range []struct {
		read int
		in   time.Duration
		want time.Duration
	}{
		{0, most, most},
		{100, most, most},
		{8192, most, most},
		{16384, most, most / 2},
		{16384, most / 2, most / 4},
		{65536, 4 * time.Second, most / 4},
		{1, 0, most / 16}, // at the start
	} {
		if got := adapter.TermsPause(most, c.read, c.in); got != c.want {
			t.Errorf("after %d entries in %s the terms rest for %s, want %s", c.read, c.in, got, c.want)
		}
	}
}
