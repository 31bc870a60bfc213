package settings

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

type Period int64

type file struct {
	Title   string            `yaml:"title"`
	URL     string            `yaml:"url"`
	Life    Period            `yaml:"life"`
	Limit   int               `yaml:"limit"`
	Callers []string          `yaml:"callers"`
	Table   map[string]string `yaml:"table"`
	Routing *struct {
		XPath string `yaml:"xpath"`
	} `yaml:"routing"`
	Tokens []struct {
		Name string `yaml:"name"`
		Role string `yaml:"role"`
	} `yaml:"tokens"`
	hidden string
}

func TestOf(t *testing.T) {
	f := file{Title: "Выписка", URL: "postgres://gate:secret@db/x", Life: 3600e9, Callers: []string{"A", "B"}, Table: map[string]string{"01": "X"}, hidden: "no"}
	f.Routing = &struct {
		XPath string `yaml:"xpath"`
	}{"/a"}
	f.Tokens = append(f.Tokens, struct {
		Name string `yaml:"name"`
		Role string `yaml:"role"`
	}{"duty", "operator"})
	got := Of(f)
	want := map[string]string{"title": "Выписка", "url": "postgres://gate:xxxxx@db/x", "life": "1h0m0s", "callers": "A, B", "table.01": "X", "routing.xpath": "/a", "tokens.duty.name": "duty", "tokens.duty.role": "operator"}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// What is listed is told apart: two settings of one name, and two values from one with a comma.
func TestOfListsIsOneToOne(t *testing.T) {
	type code struct {
		XPath string `yaml:"xpath"`
		Of    string `yaml:"of"`
	}
	got := Of(struct {
		Codes []code   `yaml:"codes"`
		Files []string `yaml:"files"`
	}{[]code{{"/a", "x"}, {"/a", "y"}}, []string{"a, b", "c"}})
	want := map[string]string{"codes./a.xpath": "/a", "codes./a.of": "x", "codes./a#1.xpath": "/a", "codes./a#1.of": "y", "files": `"a, b", c`}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestDiff(t *testing.T) {
	before := State{"party A": {"vip": "true", "limits.perSecond": "10"}, "party B": {"name": "Б"}, "party C": {"name": "В"}}
	after := State{"party A": {"limits.perSecond": "20", "group": "g"}, "party C": {"name": "В"}, "service x 1": {"stage": "test"}}
	var got []string
	for _, c := range Diff(before, after) {
		got = append(got, c.What+" "+c.Subject+": "+strings.ReplaceAll(c.Text(), "\n", "; "))
	}
	want := []string{"changed party A: group: (not set) -> g; limits.perSecond: 10 -> 20; vip: true -> (not set)", "removed party B: name: Б -> (not set)", "added service x 1: stage: (not set) -> test"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if d := Diff(after, after); d != nil {
		t.Errorf("nothing has changed, and yet %v", d)
	}
	long := Change{Lines: slices.Repeat([]Line{{"a", strings.Repeat("x", 3000), ""}}, 100)}
	if s := long.Text(); len(s) > 40<<10 || !strings.Contains(s, "more") {
		t.Errorf("a long change has %d bytes", len(s))
	}
	a, b := Mark([]byte("key"), []byte("secret")), Mark([]byte("key"), []byte("secret2"))
	if a == b || a != Mark([]byte("key"), []byte("secret")) || a == Mark([]byte("other"), []byte("secret")) {
		t.Error("a mark does not tell secrets, or keys, apart")
	}
}
