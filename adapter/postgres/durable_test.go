package postgres_test

import (
	"context"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
)

// What somebody is answered by waits for the disk: an accept, a delivery, an Ack. What
// relay and feed have done waits for none, since it is done again when it is lost.
func TestWhatWaitsForTheDisk(t *testing.T) {
	w := open(t)
	// The server of these tests may have it off, which a gateway then leaves.
	w.url += "&synchronous_commit=on"
	s := w.another(postgres.Options{})
	for _, table := range []string{"used_id", "placed", "receipt", "journal_feed"} {
		w.query(exec("CREATE TABLE waited_" + table + " AS SELECT ''::text AS setting WHERE false"))
		w.query(exec(`CREATE FUNCTION waits_` + table + `() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN INSERT INTO waited_` + table + ` VALUES (current_setting(''synchronous_commit'')); RETURN NULL; END'`))
		w.query(exec("CREATE TRIGGER waits AFTER INSERT OR UPDATE ON " + table + " FOR EACH STATEMENT EXECUTE FUNCTION waits_" + table + "()"))
	}
	waits := func(table, want string) {
		t.Helper()
		if n := w.count("SELECT count(*) FROM waited_" + table); n == 0 {
			t.Errorf("nothing was written to %s", table)
		}
		if n := w.count("SELECT count(*) FROM waited_" + table + " WHERE setting <> '" + want + "'"); n != 0 {
			t.Errorf("%d statements that write to %s had not synchronous_commit = %s", n, table, want)
		}
		w.query(exec("DELETE FROM waited_" + table))
	}
	ctx := context.Background()
	m := w.message()
	if _, err := s.Accept(ctx, m, []journal.Event{event(journal.KindAccepted, m)}); err != nil {
		t.Fatal(err)
	}
	waits("used_id", "on")
	if n, err := s.Relay(ctx, adapter.ShardOf(rosreestr), 10, func(_ context.Context, out []adapter.Outgoing) ([]journal.Event, error) {
		out[0].Arrival = journal.Event{Kind: journal.KindQueued, Time: w.now, Outcome: "ok"}
		return []journal.Event{event(journal.KindRouted, out[0].Message)}, nil
	}); n != 1 || err != nil {
		t.Fatalf("relayed %d, %v", n, err)
	}
	waits("placed", "off")
	d, err := s.Lease(ctx, adapter.Poll{Queue: rosreestr, Now: w.now, For: time.Minute, Envelope: []byte("<poll/>"),
		Event: event(journal.KindDelivered, m), Answer: func(*adapter.Delivery) ([]byte, error) { return []byte("<answer/>"), nil }})
	if err != nil || d == nil {
		t.Fatal(d, err)
	}
	waits("receipt", "on")
	if err := s.Ack(ctx, rosreestr.System, m.MessageID, w.now, event(journal.KindAcknowledged, m), []byte("<ack/>")); err != nil {
		t.Fatal(err)
	}
	waits("receipt", "on")

	j, seq := benchJournal(t, s)
	if err := j.Append(ctx, journaltest.Events(1, 2)...); err != nil {
		t.Fatal(err)
	}
	if _, err := seq.Step(ctx); err != nil {
		t.Fatal(err)
	}
	w.query(exec("DELETE FROM waited_journal_feed"))
	if n, err := s.Feed(ctx, 10, func(context.Context, []adapter.LogEntry) error { return nil }); n == 0 || err != nil {
		t.Fatalf("fed %d, %v", n, err)
	}
	waits("journal_feed", "off")
}
