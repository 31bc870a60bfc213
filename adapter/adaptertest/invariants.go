package adaptertest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
)

// Check holds the world against the gateway's promises. It first waits until
// everything in motion has come to rest. Then every message whose acceptance
// was committed, whatever the caller was told, must be where it can be found:
// acknowledged, waiting, expired or dead; acknowledged once at most; and its
// life in the journal must be a possible one.
func (w *World) Check() {
	w.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, m := range w.accepted() {
		var wrong error
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if wrong = w.checkMessage(ctx, m); wrong == nil || time.Now().After(end) {
				break
			}
		}
		if wrong != nil {
			w.T.Errorf("message %s (%s from %s): %v", m.MessageID, m.Direction, m.Sender, wrong)
		}
	}
	w.checkDepths(ctx)
	w.audit(ctx)
}

// Sequence puts the events that wait into the log and has it signed, as the
// journal's node would.
func (w *World) Sequence() {
	w.T.Helper()
	w.openJournal()
	w.must(w.desk.Settle(w.desk.Sequencer(w.book)))
}

func (w *World) openJournal() {
	w.T.Helper()
	if w.desk == nil {
		w.desk = journaltest.NewDesk(w.T)
		w.desk.Vault = w.Vault // one for content and journal, as a node has it
		book, err := w.store.Journal(context.Background(), journaltest.Origin, w.desk.Vault)
		w.must(err)
		w.book = book
	}
	w.desk.Clock.Move(w.Clock.Now().Sub(w.desk.Clock.Now()))
}

// Entries puts what has happened into the log and gives all of it.
func (w *World) Entries() (all []postgres.Row) {
	w.T.Helper()
	w.Sequence()
	w.must(w.book.Each(w.T.Context(), postgres.Query{}, func(r postgres.Row) error {
		all = append(all, r)
		return nil
	}))
	return all
}

// LogKey is the secret of the key that signs the journal.
func (w *World) LogKey() string {
	w.T.Helper()
	w.openJournal()
	return w.desk.Secret
}

// StartSequencer lets the journal's node work beside the gateway at the pace of
// real life. stop waits until nothing is left that was committed before it.
func (w *World) StartSequencer() (stop func()) {
	w.T.Helper()
	w.openJournal()
	s := w.desk.Sequencer(w.book)
	s.Now, s.Batch, s.Tick, s.Publish = w.Clock.Now, 0, 0, 0
	if w.clock != nil {
		s.Now, s.Steady = w.clock.Now, w.clock.Trusted
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// AwaitQueued waits until n messages stand in queues.
func (w *World) AwaitQueued(n int) {
	w.T.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		depths, err := w.Store.Store.Depths(context.Background())
		w.must(err)
		have := 0
		for _, d := range depths {
			have += int(d.Waiting)
		}
		if have >= n {
			return
		}
		if time.Now().After(end) {
			w.T.Fatalf("%d messages stand in queues, want %d", have, n)
		}
	}
}

// audit puts the events into the log and verifies it as an auditor does, from
// outside. In the log events bear no digests, so a story checks once, at its end.
func (w *World) audit(ctx context.Context) {
	w.T.Helper()
	w.Sequence()
	desk, book := w.desk, w.book
	report := desk.Audit(book, desk.Checkpoint(book).Note)
	w.Late = int(report.Recount.Late)
	for _, f := range report.Recount.Findings {
		w.T.Errorf("the auditor finds: %s", f)
	}
	entries := map[string]bool{}
	w.must(book.Each(ctx, postgres.Query{Kind: journal.KindAccepted}, func(r postgres.Row) error {
		entries[r.Leaf.Message] = true
		return nil
	}))
	for _, m := range w.accepted() {
		if !entries[m.ID.String()] {
			w.T.Errorf("message %s is not in the log", m.MessageID)
		}
	}
}

// checkMessage reads one message's life in the journal.
func (w *World) checkMessage(ctx context.Context, m *adapter.Message) error {
	events, err := w.Store.Store.Trace(ctx, m.ID.String())
	if err != nil {
		return err
	}
	var accepted []journal.Event
	for _, e := range events {
		if e.Kind == journal.KindAccepted && e.Message == m.ID.String() {
			accepted = append(accepted, e)
		}
	}
	if len(accepted) != 1 {
		return fmt.Errorf("%d accepted events, want 1", len(accepted))
	}
	sequenced := w.desk != nil && accepted[0].Digest == "" // entries of the log have commitments in place of digests
	if got, want := accepted[0].Digest, fmt.Sprintf("%x", m.Digest); got != want && !sequenced {
		return fmt.Errorf("journal says digest %s, want %s", got, want)
	}
	if e := accepted[0]; e.Channel == "" || (e.Channel == "gateway") != (m.Direction == adapter.DirAsync) || e.Reference != string(m.Reference) || e.Test != m.Test {
		return fmt.Errorf("journal says that it came by %q, of the chain of %q, a test: %t", e.Channel, e.Reference, e.Test)
	}
	for _, q := range m.Recipients {
		var life []journal.Event
		for _, e := range events {
			if e.Message == m.ID.String() && e.Recipient == string(q.System) && e.Kind != journal.KindAccepted {
				life = append(life, e)
			}
		}
		if w.lossy {
			life = routedOnce(life)
		}
		if err := possible(life); err != nil {
			return fmt.Errorf("for %s: %w", q.System, err)
		}
	}
	return nil
}

// routedOnce leaves out that a message was put on the bus once more, because the
// bus had lost it.
func routedOnce(life []journal.Event) []journal.Event {
	routed := false
	return slices.DeleteFunc(life, func(e journal.Event) bool {
		again := routed && e.Kind == journal.KindRouted
		routed = routed || e.Kind == journal.KindRouted
		return again
	})
}

// possible walks a life through the states that it may have.
func possible(life []journal.Event) error {
	var kinds []string
	state := "outbox"
	attempt := 0
	for _, e := range life {
		kinds = append(kinds, string(e.Kind))
		next, ok := map[string]map[journal.Kind]string{
			"outbox":       {journal.KindRouted: "bus", journal.KindDead: "dead", journal.KindQueued: "early", journal.KindDelivered: "early-stream"},
			"early":        {journal.KindRouted: "queue", journal.KindDelivered: "early-out", journal.KindExpired: "early"},
			"early-out":    {journal.KindRouted: "out", journal.KindAcknowledged: "early-end", journal.KindReturned: "early"},
			"early-end":    {journal.KindRouted: "end"},
			"bus":          {journal.KindQueued: "queue", journal.KindDelivered: "stream"},
			"early-stream": {journal.KindRouted: "stream"},
			"stream":       {},
			"queue":        {journal.KindDelivered: "out", journal.KindExpired: "expired"},
			"out":          {journal.KindReturned: "queue", journal.KindAcknowledged: "end", journal.KindExpired: "expired"},
			"end":          {},
			"dead":         {},
			"expired":      {},
		}[state][e.Kind]
		if e.Kind == journal.KindDueSoon || e.Kind == journal.KindOverdue {
			continue // come when it is time, wherever the message is
		}
		if e.Kind == journal.KindAnswered {
			continue // may come at any time after delivery, from the other direction
		}
		if !ok {
			return fmt.Errorf("%s cannot follow in %v", e.Kind, kinds)
		}
		if e.Kind == journal.KindDelivered {
			if attempt++; e.Attempt != attempt {
				return fmt.Errorf("delivery %d is journalled as attempt %d", attempt, e.Attempt)
			}
		}
		state = next
	}
	if !slices.Contains([]string{"queue", "out", "end", "dead", "expired", "stream"}, state) {
		return fmt.Errorf("is at rest nowhere: %v", kinds)
	}
	return nil
}

// accepted are the messages of all nodes whose acceptance was committed.
func (w *World) accepted() []*adapter.Message {
	all := w.Store.Accepted()
	for _, s := range w.apart {
		all = append(all, s.Accepted()...)
	}
	return all
}

// checkDepths compares the queues with what the journal says must stand in them.
func (w *World) checkDepths(ctx context.Context) {
	w.T.Helper()
	// The two are read one after the other: what the sweep takes out in between
	// is told of in the next look.
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		stand, waiting := w.depths(ctx)
		if stand == waiting {
			return
		}
		if time.Now().After(end) {
			w.T.Errorf("%d messages stand in queues, by the journal it should be %d", stand, waiting)
			return
		}
	}
}

// depths counts what stands in the queues, and what must by the journal.
func (w *World) depths(ctx context.Context) (stand, waiting int) {
	w.T.Helper()
	for _, m := range w.accepted() {
		events, err := w.Store.Store.Trace(ctx, m.ID.String())
		w.must(err)
		for _, q := range m.Recipients {
			in := false
			for _, e := range events {
				if e.Message != m.ID.String() || e.Recipient != string(q.System) {
					continue
				}
				switch e.Kind {
				case journal.KindQueued:
					in = true
				case journal.KindAcknowledged, journal.KindExpired:
					in = false
				}
			}
			if in {
				waiting++
			}
		}
	}
	depths, err := w.Store.Store.Depths(ctx)
	w.must(err)
	for _, d := range depths {
		stand += d.Waiting + d.Leased
	}
	return stand, waiting
}
