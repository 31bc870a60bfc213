package console

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Who has read of an exchange, or asked for a person, is told with what they asked; to ask
// for it is a reading, too.
func TestWhoHasRead(t *testing.T) {
	d := openDesk(t)
	d.demo()
	id := d.play("MUNI", "family-benefits/1.0.0")
	other := d.play("MFC", "egrn-extract/1.0.0")
	d.settle()
	message := ok[Trace](d, operatorToken, "/api/v1/journal/trace/"+id).Messages[0].Message // no reading: an operator's
	for _, path := range []string{"/journal/trace/" + id, "/messages/" + message + "/envelope", "/journal/bundle?exchange=" + id, "/journal/entries?id=" + id, "/journal/trace/" + other} {
		if a := d.ask(auditorToken, "/api/v1"+path, nil); a.StatusCode != http.StatusOK {
			t.Fatal(path, a.StatusCode)
		}
	}
	person := map[string]any{"field": "snils", "value": "000-000-001 00"}
	if a := d.ask(operatorToken, "/api/v1/journal/search", map[string]any{"person": person}); a.StatusCode != http.StatusOK {
		t.Fatal(a.StatusCode)
	}
	d.settle()

	told := func(question map[string]any) (acts []string) {
		t.Helper()
		for _, r := range readJSON[Readings](d, d.ask(operatorToken, "/api/v1/journal/readings", question)).Readings {
			actor, _, _ := strings.Cut(r.Actor, " ")
			if r.Operation == "readings" { // of this test; it may be in the log by now, or not
				continue
			}
			acts = append(acts, actor+" "+r.Operation+" "+r.Query)
		}
		slices.Sort(acts)
		return acts
	}
	want := []string{"auditor bundle exchange " + id, "auditor envelope message " + message, "auditor search id=" + id, "auditor trace " + id}
	if got := told(map[string]any{"exchange": id}); !slices.Equal(got, want) {
		t.Errorf("of the exchange: %q, want %q", got, want)
	}
	if got := told(map[string]any{"exchange": message}); !slices.Equal(got, want) {
		t.Errorf("by the gateway's id: %q, want %q", got, want)
	}
	d.settle()
	asked := readJSON[Readings](d, d.ask(operatorToken, "/api/v1/journal/readings", map[string]any{"exchange": id})).Readings
	if !slices.ContainsFunc(asked, func(r Reading) bool { return r.Operation == "readings" && r.Query == "exchange "+message }) {
		t.Errorf("that it was asked who has read is no reading: %+v", asked)
	}
	if got := told(map[string]any{"person": person}); !slices.Equal(got, []string{"operator search  snils"}) {
		t.Errorf("about the person: %q", got)
	}
	if got := told(map[string]any{"from": "2000-01-01"}); len(got) < 6 || !slices.Contains(got, "auditor trace "+other) {
		t.Errorf("all: %q", got)
	}
	if got := told(map[string]any{"to": "2000-01-01"}); len(got) != 0 {
		t.Errorf("before there were any: %q", got)
	}
}

// A value that its field cannot have is no "nobody".
func TestImpossibleValuesAreTold(t *testing.T) {
	d := openDesk(t)
	d.demo()
	for i, path := range []string{"/journal/search", "/journal/report", "/journal/readings"} {
		// Each asks for another value: a search for one is a reading that is found by it.
		a := d.ask(operatorToken, "/api/v1"+path, map[string]any{"person": map[string]any{"field": "snils", "value": fmt.Sprint(112 + i)}})
		if a.StatusCode != http.StatusBadRequest || !strings.Contains(string(a.body), "112-233-445 95") {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
		if a := d.ask(operatorToken, "/api/v1"+path, map[string]any{"person": map[string]any{"field": "snils", "value": "112-233-445 95"}}); a.StatusCode != http.StatusOK {
			t.Errorf("%s with a SNILS: %d %s", path, a.StatusCode, a.body)
		}
	}
}

// Whatever a reading is called in the journal, the desk says it in its reader's language.
func TestReadingsHaveWords(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range regexp.MustCompile(`reading(?:\{act: |\()"([a-z-]+)"`).FindAllSubmatch(text, -1) {
			n++
			if dictionary[string(m[1])] == (Text{}) {
				t.Errorf("%s: the desk has no word for the reading %q", file, m[1])
			}
		}
	}
	if n < 15 {
		t.Errorf("%d readings are made: nothing was looked at", n)
	}
}
