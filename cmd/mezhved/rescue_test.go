package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Of a lost message that stands on the bus more than once the first copy that opens is
// written down, and why there is none only where none opens.
func TestWhatIsLostIsTakenFromAnyCopy(t *testing.T) {
	r := rescue{dir: t.TempDir(), wanted: map[string]string{"a": "-", "b": "-", "c": "-"}}
	for _, copy := range []struct {
		id, text string
		err      error
	}{{"a", "", errors.New("its key is away")}, {"b", "", nil}, {"b", "", errors.New("its key is away")}, {"d", "here", nil}, {"a", "one", nil}, {"a", "two", nil}} {
		if err := r.try(copy.id, func() ([]byte, error) { return []byte(copy.text), copy.err }); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(r.dir, "a.xml")
	if text, err := os.ReadFile(name); err != nil || string(text) != "one" || !slices.Equal(r.saved, []string{name}) {
		t.Errorf("saved are %v, with %q: %v", r.saved, text, err)
	}
	if not := r.not(); !slices.Equal(not, []string{"b: its key is away", "c: -"}) {
		t.Errorf("not saved are %v", not)
	}
}
