package postgres_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

// stands plays what happens to messages that stand in a queue, where no statement has the
// message at hand, and gives what the journal hears of each.
func stands(t *testing.T, narrow, kinds bool, ids []uuid.UUID, at time.Time) (events [][]journal.Event) {
	w := newWorld(t)
	if !kinds {
		w.query(exec("UPDATE release_gate SET since = 'infinity'"))
	}
	if narrow {
		w.query(exec("UPDATE release_gate SET since = '-infinity' WHERE name = 'short facts'"))
	}
	w.now = at
	w.Store = w.another(postgres.Options{})
	ctx := context.Background()
	messages := make([]*adapter.Message, len(ids))
	for i, id := range ids {
		messages[i] = w.message(func(m *adapter.Message) {
			m.ID, m.MessageID, m.Body = id, adapter.MessageID(id.String()), envelope(adapter.MessageID(id.String()))
			m.Deadline, m.EOL = at.Add(24*time.Hour), at.Add(100*time.Hour)
			if i == 0 { // nobody is told of its end
				m.Direction, m.Original = adapter.DirResponse, "what it answers"
			}
		})
	}
	w.put(messages...)
	if got := w.count("SELECT count(*) FROM queue WHERE facts ? 'messageId'"); narrow != (got == 0) {
		t.Errorf("%d of the rows say all that an event does", got)
	}
	other := w.another(postgres.Options{})
	for range ids { // all are out, and their leases run out
		w.lease(adapter.Poll{For: time.Minute})
	}
	w.now = w.now.Add(time.Hour)
	// Two are handed out again. For one of these no answer can be made.
	broken := errors.New("no answer")
	if _, err := w.Lease(ctx, adapter.Poll{Queue: rosreestr, Now: w.now, For: time.Minute, Answer: func(*adapter.Delivery) ([]byte, error) { return nil, broken }}); !errors.Is(err, broken) {
		t.Errorf("an answer that fails: %v", err)
	}
	w.lease(adapter.Poll{For: time.Hour})
	if swept, err := other.Sweep(ctx, w.now); err != nil || swept.Returned != len(ids)-2 {
		t.Errorf("%+v, %v; want the leases of all others returned", swept, err)
	}
	if err := other.Ack(ctx, rosreestr.System, messages[1].MessageID, w.now, journal.Event{Node: "node-1", Operation: "Ack"}, nil); err != nil {
		t.Error(err)
	}
	if err := other.Ack(ctx, rosreestr.System, messages[2].MessageID, w.now, journal.Event{Node: "node-1", Operation: "Ack"}, nil); err != nil {
		t.Error(err)
	}
	if swept, err := other.Sweep(ctx, w.now.Add(200*time.Hour)); err != nil || len(swept.Expired) != len(ids)-3 {
		t.Errorf("%+v, %v; want the requests that have ended", swept, err)
	}
	for _, m := range messages {
		list, err := w.Trace(ctx, m.ID.String())
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, list)
	}
	if kinds {
		return events // there is no way back
	}
	// The release before reads rows that say everything.
	w.migrateTo(144)
	if got := w.count("SELECT count(*) FROM queue WHERE NOT facts ? 'messageId' OR facts->>'deadline' IS NULL OR facts->>'recipient' <> 'RRTR01' OR facts->>'wire' <> '1.2' OR length(facts->>'digest') <> 64"); got != 0 {
		t.Errorf("%d rows do not say all that an event does after the way back", got)
	}
	return events
}

// Rows of the queue that say little make the same events as rows that say everything.
func TestNarrowRowsMakeTheSameEvents(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	ids := make([]uuid.UUID, 5)
	for i := range ids {
		ids[i] = uuid.Must(uuid.NewV7())
	}
	whole := stands(t, false, false, ids, now)
	var narrow [][]journal.Event
	for _, kinds := range []bool{false, true} {
		narrow = stands(t, true, kinds, ids, now)
		for i := range narrow {
			if len(narrow[i]) != len(whole[i]) {
				t.Fatalf("kinds %t: of message %d the journal has heard %d events, want %d", kinds, i, len(narrow[i]), len(whole[i]))
			}
			for n := range narrow[i] {
				if got, want := narrow[i][n], whole[i][n]; !reflect.DeepEqual(got, want) {
					t.Errorf("kinds %t, message %d, event %d\nnarrow: %+v\nwhole:  %+v", kinds, i, n, got, want)
				}
			}
		}
	}
	if list := narrow[0]; list[len(list)-1].Kind != journal.KindExpired || list[len(list)-1].Original != "what it answers" {
		t.Errorf("the response that ended: %+v", list[len(list)-1])
	}
}
