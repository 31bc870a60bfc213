package journal_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
)

// testdata/journal/v1 is a log and a bundle that the release before version 2 of
// the format made: they verify, the mirror's memory is taken on, and every leaf is
// the one spelling still of what it says.
func TestLogsOfVersion1(t *testing.T) {
	dir := filepath.FromSlash("../../testdata/journal/v1")
	text, err := os.ReadFile(filepath.Join(dir, "policy"))
	if err != nil {
		t.Fatal(err)
	}
	policy, err := journal.ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "log")
	signed, err := os.ReadFile(filepath.Join(log, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := journal.Remember(log, policy)
	if err != nil || len(memory.Damaged) > 0 || memory.Last() == nil {
		t.Fatalf("the mirror remembers %+v, %v", memory, err)
	}
	source := journal.DirSource{FS: os.DirFS(log)}
	report, err := journal.VerifyLog(context.Background(), source, policy, signed, memory.Known)
	if err != nil || len(report.Recount.Findings) > 0 || report.Recount.Size != 66 {
		t.Fatalf("%+v, %v", report, err)
	}
	tile, err := source.Tile(context.Background(), journal.EntriesLevel, 0, 66)
	if err != nil {
		t.Fatal(err)
	}
	leaves, err := journal.Entries(tile)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range leaves {
		l, err := journal.ParseLeaf(b)
		if err != nil || !bytes.Equal(l.Append(nil), b) || !bytes.Contains(b, []byte(`,"v":1`)) {
			t.Errorf("entry %d: %v\n%s\n%s", i, err, b, l.Append(nil))
		}
	}
	zip, err := os.ReadFile(filepath.Join(dir, "bundle.zip"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := journal.VerifyBundle(bytes.NewReader(zip), int64(len(zip)), policy); err != nil {
		t.Errorf("the bundle: %v", err)
	}
}

// A message that is marked as a test is one in all its entries, whoever tells of it
// and whenever the log takes it up.
func TestATestMessageIsOneInAllItsEntries(t *testing.T) {
	for _, again := range []bool{false, true} { // with a sequencer that has seen nothing of it
		d := journaltest.NewDesk(t)
		book := journaltest.NewBook(journaltest.Origin)
		accepted := journaltest.Events(1, 1)[0]
		accepted.Kind, accepted.Message, accepted.Test, accepted.Channel = journal.KindAccepted, "m-1", true, "smev/1.3"
		other := accepted
		other.Message, other.Test = "m-2", false
		if err := book.Add(accepted, other); err != nil {
			t.Fatal(err)
		}
		s := d.Sequencer(book)
		if err := d.Settle(s); err != nil {
			t.Fatal(err)
		}
		if again {
			s = d.Sequencer(book)
		}
		for _, kind := range []journal.Kind{journal.KindRouted, journal.KindQueued, journal.KindAnswered} {
			for _, message := range []string{"m-1", "m-2"} {
				if err := book.Add(journal.Event{Kind: kind, Time: d.Clock.Now(), Message: message}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := d.Settle(s); err != nil {
			t.Fatal(err)
		}
		tests := 0
		for i := range d.Checkpoint(book).Tree.N {
			b := book.Entry(i)
			l, err := journal.ParseLeaf(b)
			if err != nil {
				t.Fatal(err)
			}
			if l.Test != (l.Message == "m-1") {
				t.Errorf("entry %d of %s: test %t\n%s", i, l.Message, l.Test, b)
			}
			if l.Test {
				tests++
			}
		}
		if tests != 4 {
			t.Errorf("%d entries are of the test message, want 4", tests)
		}
	}
}

// What version 2 added goes in a row where a sequencer of the release before takes
// what it does not know: it commits to it and knows the rest of the event.
func TestASequencerOfBeforeLosesNothing(t *testing.T) {
	e := journaltest.Events(1, 1)[0]
	e.Channel, e.Reference, e.Test = "ws/1.2", "5e0f", true
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
	l, _, err := journal.NewLeaf(asBefore, rand.Reader)
	if err != nil || l.Kind != e.Kind || l.Message != e.Message {
		t.Fatalf("%+v, %v", l, err)
	}
	for _, name := range []string{"channel", "reference", "test"} {
		if _, ok := l.Commit[name]; !ok {
			t.Errorf("%s was lost", name)
		}
	}
	back, err := journal.ParseRow(row)
	if err != nil || back.Channel != e.Channel || back.Reference != e.Reference || !back.Test || len(back.Personal) != len(e.Personal) {
		t.Errorf("%+v, %v", back, err)
	}
}
