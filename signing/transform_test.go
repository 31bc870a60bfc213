package signing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unicode/utf16"
)

type transformVector struct {
	Name     string
	Input    string
	Woodstox struct{ Output, Error string }
	JDK      struct{ Output, Error string } `json:"jdk_sjsxp"`
}

func transformVectors(t testing.TB) []transformVector {
	data, err := os.ReadFile(sharedFile(t, "vectors", "smev3-transform-vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vs []transformVector
	if err := json.Unmarshal(data, &vs); err != nil {
		t.Fatal(err)
	}
	return vs
}

// The reference vectors were made with the reference program over both writers.
func TestTransformVectors(t *testing.T) {
	vectors := transformVectors(t)
	if len(vectors) != 45 {
		t.Fatalf("%d vectors, want 45", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			tape := parse(t, v.Input)
			for _, want := range []struct {
				form   Form
				output string
				fails  bool
			}{{Woodstox, v.Woodstox.Output, v.Woodstox.Error != ""}, {JDK, v.JDK.Output, v.JDK.Error != ""}} {
				var got bytes.Buffer
				err := Transform(&got, tape.Root(), want.form)
				if want.fails {
					var e *Error
					if !errors.As(err, &e) || e.Code != Unsignable {
						t.Errorf("%s: got %v, %q; want an error Unsignable", want.form, err, got.String())
					}
					continue
				}
				if err != nil || got.String() != want.output {
					t.Errorf("%s:\ngot  %q, %v\nwant %q", want.form, got.String(), err, want.output)
				}
			}
		})
	}
}

// The generated vectors come from the transform's StAX program run over
// Woodstox 6.2.1 and JDK 17: random documents with references, CDATA, comments,
// instructions, prefixes rebound, controls and characters beyond U+FFFF. A null
// output is one that the library refused.
func TestTransformGenerated(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(repoRoot(t), "testdata", "signing", "transform-generated.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Input         string
		Woodstox, JDK *string
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for i, v := range vectors {
		tape := parse(t, v.Input)
		for form, want := range []*string{v.Woodstox, v.JDK} {
			if want == nil {
				continue
			}
			var got bytes.Buffer
			if err := Transform(&got, tape.Root(), Form(form)); err != nil || got.String() != *want {
				t.Errorf("vector %d, %s:\ninput %q\ngot   %q, %v\nwant  %q", i, Form(form), v.Input, got.String(), err, *want)
			}
			compared++
		}
	}
	if compared < 400 {
		t.Errorf("%d outputs compared, want at least 400", compared)
	}
}

// What the transform writes for a subtree does not depend on what stands round it.
func TestTransformInPlace(t *testing.T) {
	const inner = `<x:a xmlns:x="u:a" Id="I"><y xmlns="u:b">1</y><x:z x:q="2"/></x:a>`
	var alone, inside bytes.Buffer
	if err := Transform(&alone, parse(t, inner).Root(), Woodstox); err != nil {
		t.Fatal(err)
	}
	outer := parse(t, `<o xmlns="u:o" xmlns:y="u:b"><w>before</w>`+inner+`<w>after</w></o>`)
	if err := Transform(&inside, outer.Root().Child("u:a", "a"), Woodstox); err != nil {
		t.Fatal(err)
	}
	if inside.String() != alone.String() {
		t.Errorf("in place: got %q, want %q", inside.String(), alone.String())
	}
}

// Names of attributes are ordered by UTF-16 code units, not by code points.
func TestCompareUTF16(t *testing.T) {
	order := []string{"", "A", "B", "_", "a", "ab", "b", "Я", "а", "\U00010000", "\U0001F600", "\uE000", "\uF900", "\uFFFD"}
	for i := range order {
		for j := range order {
			got := compareUTF16([]byte(order[i]), []byte(order[j]))
			if (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("compare %q and %q: got %d", order[i], order[j], got)
			}
		}
	}
}

// TestAttributeOrder: unqualified attributes stand in the order of their UTF-16
// units, whatever they begin with and however long they are.
func TestAttributeOrder(t *testing.T) {
	names := []string{"a", "b", "ab", "abcdefgh", "abcdefghi", "abcdefgi", "abcdefghijk", "abcdefghijl", "имя", "именем", "имена", "Имя", "\uD7FFx", "\uF900", "\uF900a", "\uFA0E", "\U00010000", "\U00010000a", "a\U00010000", "a\uF900", "abcdefg\uF900", "abcdefg\U00010000"}
	for _, x := range names {
		for _, y := range names {
			if x == y {
				continue
			}
			var out bytes.Buffer
			if err := Transform(&out, parse(t, fmt.Sprintf(`<r xmlns="urn:r" %s="" %s=""/>`, x, y)).Root(), Woodstox); err != nil {
				t.Fatal(err)
			}
			first, second := x, y
			if slices.Compare(utf16.Encode([]rune(x)), utf16.Encode([]rune(y))) > 0 {
				first, second = y, x
			}
			if want := fmt.Sprintf(`<ns1:r xmlns:ns1="urn:r" %s="" %s=""></ns1:r>`, first, second); out.String() != want {
				t.Errorf("got %s, want %s", out.String(), want)
			}
		}
	}
}
