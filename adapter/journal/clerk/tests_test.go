package clerk_test

import (
	"testing"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
)

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
