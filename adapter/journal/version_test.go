package journal_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
)

// What versions 2 and 3 added goes in a row where a sequencer of the release before takes
// what it does not know: it commits to it and knows the rest of the event.
func TestASequencerOfBeforeLosesNothing(t *testing.T) {
	e := journaltest.Events(1, 1)[0]
	e.Channel, e.Reference, e.Test = "ws/1.2", "5e0f", true
	at := e.Time.UTC()
	e.DueQueued, e.DueTaken, e.DueStatus, e.EOL, e.Terms, e.Stage = at.Add(1e9), at.Add(2e9), at.Add(3e9), at.Add(4e9), "answered 5wd, +03:00", "taken"
	row, err := e.Row()
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(row, &members); err != nil {
		t.Fatal(err)
	}
	const before = " kind time node message messageId original operation direction sender recipient service version schema outcome incident rule line col attempt count deadline digest certificate size revocation target fields ground log personal "
	for name := range members {
		if !strings.Contains(before, " "+name+" ") {
			t.Errorf("the release before knows no member %q and would make an unknown entry of the row", name)
		}
	}
	var asBefore journal.Event // without lift, which the release before has not
	d := json.NewDecoder(bytes.NewReader(row))
	d.DisallowUnknownFields()
	if err := d.Decode(&asBefore); err != nil {
		t.Fatal(err)
	}
	l, _, err := journal.NewLeaf(asBefore, journal.Drawn(rand.Reader))
	if err != nil || l.Kind != e.Kind || l.Message != e.Message {
		t.Fatalf("%+v, %v", l, err)
	}
	for _, name := range strings.Fields("channel reference test due-queued due-taken due-status eol terms stage") {
		if _, ok := l.Committed(name); !ok {
			t.Errorf("%s was lost", name)
		}
	}
	back, err := journal.ParseRow(row)
	if err != nil || back.Channel != e.Channel || back.Reference != e.Reference || !back.Test || len(back.Personal) != len(e.Personal) ||
		!back.DueQueued.Equal(e.DueQueued) || !back.DueTaken.Equal(e.DueTaken) || !back.DueStatus.Equal(e.DueStatus) || !back.EOL.Equal(e.EOL) || back.Terms != e.Terms || back.Stage != e.Stage {
		t.Errorf("%+v, %v", back, err)
	}
}
