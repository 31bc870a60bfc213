package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter/alarms"
	"mezhved/adapter/journal"
	"mezhved/adapter/terms"
)

// What is to be told to one address at one time comes together, however much there is
// for others; what was not tried yet comes before what failed already; and nobody is
// warned of what is reached.
func TestAlarmsComeInWholeGroups(t *testing.T) {
	ctx := t.Context()
	s, conn := openBare(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	const bodies, each = 40, 25
	var events []journal.Event
	for i := range bodies * each {
		events = append(events, journal.Event{Kind: journal.KindOverdue, Time: now, Message: uuid.NewString(), Stage: "answered", Recipient: fmt.Sprintf("B%02d", i%bodies), Deadline: now})
	}
	warned, gone := uuid.New(), uuid.New()
	for _, id := range []uuid.UUID{warned, gone} {
		events = append(events, journal.Event{Kind: journal.KindDueSoon, Time: now, Message: id.String(), Stage: "answered", Recipient: "SOON", Deadline: now.Add(time.Hour)})
	}
	if _, err := conn.Exec(ctx, `INSERT INTO open_term (message, stage, due, told, later, message_id, direction, sender, recipient, service, version, accepted)
		VALUES ($1, 3, now(), 1, '', 'm', 'request', 'A', 'SOON', 's', '1', now())`, [16]byte(warned)); err != nil {
		t.Fatal(err)
	}
	for i := range events {
		row, err := events[i].Row()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(ctx, "INSERT INTO alarm_event (event) VALUES ($1)", string(row)); err != nil {
			t.Fatal(err)
		}
	}
	for n := 1; n > 0; {
		var err error
		n, err = s.ExpandAlarms(ctx, 500, func(list []journal.Event) (out []alarms.Alarm) {
			for _, e := range list {
				out = append(out, alarms.Alarm{Rule: "r", Way: alarms.WayMail, Target: e.Recipient + "@x.example", Event: e, Message: uuid.MustParse(e.Message), Stage: terms.Stage(e.Stage), At: now})
			}
			return out
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	reached := map[uuid.UUID]bool{}
	take := func(max int, failed string) (order []string, count map[string]int) {
		count = map[string]int{}
		_, err := s.SendAlarms(ctx, now.Add(time.Second), max, func(_ context.Context, list []alarms.Pending) (out alarms.Sent, err error) {
			for _, p := range list {
				if count[p.Target] == 0 {
					order = append(order, p.Target)
				}
				count[p.Target]++
				reached[p.Message] = p.Reached
				if p.Target == failed {
					p.Attempts++
					out.Again = append(out.Again, p.Alarm)
				}
			}
			return out, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return order, count
	}
	if order, count := take(10*each, "B00@x.example"); len(order) != 10 || count[order[9]] != each {
		t.Errorf("of %d: %v, want ten addresses with all of theirs", 10*each, count)
	}
	if order, _ := take(10_000, ""); len(order) != bodies+1 || order[bodies] != "B00@x.example" {
		t.Errorf("what failed does not come last: %v", order)
	}
	if reached[warned] || !reached[gone] {
		t.Errorf("warnings: of the open one reached %v, of the other %v", reached[warned], reached[gone])
	}
}
