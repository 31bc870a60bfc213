package xsd

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"mezhved/envelopes/xmltape"
)

// tree is a content model in its plainest form, for a matcher that takes the
// standard's definition at its word.
type tree struct {
	name     string // an element
	choice   bool
	kids     []*tree
	min, max int // max -1: unbounded
}

func randomTree(r *rand.Rand, depth int) *tree {
	t := &tree{min: r.IntN(3), max: 1}
	switch r.IntN(6) {
	case 0:
		t.max = -1
	case 1:
		t.max = max(t.min, 1) + r.IntN(3)
	case 2:
		t.min = r.IntN(50)
		t.max = t.min + r.IntN(60) // a counter
	case 3:
		t.min = 30 + r.IntN(20)
		t.max = t.min
	default:
		t.min = r.IntN(2)
	}
	if t.max == 0 {
		t.max = 1
	}
	if depth == 0 || r.IntN(3) == 0 {
		t.name = string(rune('a' + r.IntN(5)))
		return t
	}
	t.choice = r.IntN(2) == 0
	for range 1 + r.IntN(3) {
		t.kids = append(t.kids, randomTree(r, depth-1))
	}
	return t
}

// low makes ranges that need nothing to begin with, nested in one another: what
// counts inside and what counts outside then depend on each other.
func (t *tree) low(r *rand.Rand) *tree {
	t.min = min(t.min, 1)
	if t.max > 1 || t.max > 0 && r.IntN(2) == 0 {
		t.max = []int{2, 3, 5, 33, 40}[r.IntN(5)]
	}
	for _, k := range t.kids {
		k.low(r)
	}
	return t
}

// schema writes the tree as particles.
func (t *tree) schema(b *strings.Builder) {
	maxOccurs := fmt.Sprint(t.max)
	if t.max < 0 {
		maxOccurs = "unbounded"
	}
	if t.name != "" {
		fmt.Fprintf(b, `<xs:element name="%s" type="xs:string" minOccurs="%d" maxOccurs="%s"/>`, t.name, t.min, maxOccurs)
		return
	}
	kind := "sequence"
	if t.choice {
		kind = "choice"
	}
	fmt.Fprintf(b, `<xs:%s minOccurs="%d" maxOccurs="%s">`, kind, t.min, maxOccurs)
	for _, k := range t.kids {
		k.schema(b)
	}
	fmt.Fprintf(b, `</xs:%s>`, kind)
}

// ends gives the places of the word where the tree may end when it starts at
// one of the given places. Places are bytes, 1 where there is one.
func (t *tree) ends(word string, starts []byte) []byte {
	all := make([]byte, len(starts))
	now := starts
	seen := map[string]bool{}
	for turn := 0; ; turn++ {
		any := false
		for i, s := range now {
			any = any || s != 0
			if turn >= t.min {
				all[i] |= s
			}
		}
		if !any || turn == t.max || turn >= t.min && seen[string(now)] {
			return all
		}
		if turn >= t.min {
			seen[string(now)] = true
		}
		now = t.once(word, now)
	}
}

func (t *tree) once(word string, starts []byte) []byte {
	out := make([]byte, len(starts))
	switch {
	case t.name != "":
		for i, s := range starts {
			if s != 0 && i < len(word) && word[i] == t.name[0] {
				out[i+1] = 1
			}
		}
	case t.choice:
		for _, k := range t.kids {
			for i, e := range k.ends(word, starts) {
				out[i] |= e
			}
		}
	default:
		out = starts
		for _, k := range t.kids {
			out = k.ends(word, out)
		}
	}
	return out
}

func (t *tree) matches(word string) bool {
	starts := make([]byte, len(word)+1)
	starts[0] = 1
	return t.ends(word, starts)[len(word)] != 0
}

// sample writes a word that the tree means, with counts at the ends of ranges.
func (t *tree) sample(r *rand.Rand, b *strings.Builder) {
	turns := t.min
	switch r.IntN(3) {
	case 0:
		if turns = t.max; turns < 0 {
			turns = t.min + r.IntN(4)
		}
	case 1:
		if t.max > t.min {
			turns += r.IntN(t.max - t.min + 1)
		}
	}
	for range turns {
		if b.Len() > 250 {
			return
		}
		switch {
		case t.name != "":
			b.WriteString(t.name)
		case t.choice:
			t.kids[r.IntN(len(t.kids))].sample(r, b)
		default:
			for _, k := range t.kids {
				k.sample(r, b)
			}
		}
	}
}

// TestModelsAgainstDefinition compares compiled content models, counters and
// all, with the definition of the standard on random models and words.
func TestModelsAgainstDefinition(t *testing.T) {
	rounds := 1000
	if testing.Short() {
		rounds = 200
	}
	r := rand.New(rand.NewPCG(11, 3))
	compiled, counted, accepted, refused := 0, 0, 0, 0
	for round := range rounds {
		model := randomTree(r, 3)
		if round%3 == 2 {
			model.low(r)
		}
		var b strings.Builder
		b.WriteString(`<xs:element name="r"><xs:complexType>`)
		if model.name != "" {
			model = &tree{kids: []*tree{model}, min: 1, max: 1}
		}
		model.schema(&b)
		b.WriteString(`</xs:complexType></xs:element>`)
		s, err := compileText(t, Options{}, inSchema(b.String()))
		if err != nil {
			if e := err.Error(); !strings.Contains(e, "cos-nonambig") && !strings.Contains(e, "budget-") {
				t.Fatalf("%v\n%s", err, b.String())
			}
			continue
		}
		compiled++
		if m := s.element(qname{"urn:t", "r"}).typ.(*complexType).model; len(m.counters) > 0 {
			counted++
		}
		for range 8 {
			var w strings.Builder
			model.sample(r, &w)
			word := w.String()
			if len(word) > 250 {
				continue
			}
			switch n := len(word); {
			case n == 0:
			case r.IntN(3) == 0:
				i := r.IntN(n)
				word = word[:i] + word[i+1:]
			case r.IntN(3) == 0:
				i := r.IntN(n)
				word = word[:i] + word[i:i+1] + word[i:]
			}
			var doc strings.Builder
			doc.WriteString(`<r xmlns="urn:t">`)
			for _, c := range word {
				fmt.Fprintf(&doc, "<%c/>", c)
			}
			doc.WriteString(`</r>`)
			var tape xmltape.Tape
			if err := tape.Parse([]byte(doc.String()), xmltape.Limits{}); err != nil {
				t.Fatal(err)
			}
			got := s.Validate(tape.Root())
			want := model.matches(word)
			if want {
				accepted++
			} else {
				refused++
			}
			if (got == nil) != want {
				t.Fatalf("word %q: we say %v, the definition says %v\n%s", word, got, want, b.String())
			}
		}
	}
	t.Logf("%d models, %d with counters; %d words accepted, %d refused", compiled, counted, accepted, refused)
	if compiled < rounds/10 || counted < rounds/50 || accepted < rounds/4 || refused < rounds/10 {
		t.Error("the models and words do not probe the edge")
	}
}
