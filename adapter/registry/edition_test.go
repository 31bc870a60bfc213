package registry

import (
	"testing"

	"mezhved/adapter/lifecycle/reference"
)

// The last edition of a dictionary is that with the highest number, not the longest run
// of large digits.
func TestTheLastEditionIsByNumber(t *testing.T) {
	r := catalogReader{catalog: &Catalog{}}
	for _, version := range []string{"10", "2", "9"} {
		r.catalog.dictionaries = append(r.catalog.dictionaries, &reference.Dictionary{Name: "okato", Version: version})
	}
	for asked, want := range map[string]string{"": "10", "9": "9"} {
		if d := r.dictionary("okato", asked); d == nil || d.Version != want {
			t.Errorf("edition %q: %+v, want %s", asked, d, want)
		}
	}
	if d := r.dictionary("okato", "11"); d != nil {
		t.Errorf("an edition that is not there: %+v", d)
	}
}
