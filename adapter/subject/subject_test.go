package subject

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/contentpath"
	"mezhved/adapter/journal"
	"mezhved/envelopes/xmltape"
)

// What cannot be a value is told with an example; of what nobody knows it is not said.
func TestImpossibleValues(t *testing.T) {
	for _, c := range []struct {
		field, value string
		possible     bool
	}{
		{"snils", "112", false}, {"snils", "112-233-445 95", true}, {"snils", "11223344595", true}, {"snils", "112233445951", false}, {"snils", "Иванов", false},
		{"inn", "7707083893", true}, {"inn", "500100732259", true}, {"inn", "77070838930", false}, {"ogrn", "1027700132195", true}, {"ogrn", "102", false}, {"ogrnip", "304500116000157", true},
		{"birth-date", "29.02.1984", true}, {"birth-date", "1984-02-29", true}, {"birth-date", "29.02.1985", false}, {"birth-date", "1984", false},
		{"passport", "1", true}, {"case", "1", true}, {"name-birth", "1", true}, {"something", "", true},
	} {
		if example := Impossible(c.field, c.value); (example == "") != c.possible {
			t.Errorf("%s=%s: %q", c.field, c.value, example)
		} else if example != "" && Impossible(c.field, example) != "" {
			t.Errorf("%s: the example %s is none", c.field, example)
		}
	}
}

func TestSpelling(t *testing.T) {
	for _, c := range []struct {
		form   Form
		values []string // spellings of one thing
		want   string
	}{
		{Digits, []string{"112-233-445 95", "11223344595", "112 233 445-95", "СНИЛС 112-233-445 95"}, "11223344595"},
		{Text, []string{"  Фёдорова\n Анна", "ФЕДОРОВА АННА", "федорова  анна ", "Фе\u0308дорова Анна"}, "ФЕДОРОВА АННА"},
		{Date, []string{"1980-03-02", "02.03.1980", "2.3.1980", "1980-03-02+03:00", "1980-03-02T00:00:00", " 1980-03-02Z "}, "1980-03-02"},
		{Text, []string{"Андрей", "АНДРЕЙ", "Андреи\u0306"}, "АНДРЕЙ"}, // as some systems write й
		{Exact, []string{" А b ", "А b"}, "А b"},
		{Digits, []string{"нет", ""}, ""}, {Date, []string{"нет", "1980-13-02", "19800302"}, ""}, {Text, []string{" \t"}, ""}, {Hash, []string{" , ; "}, ""},
	} {
		for _, v := range c.values {
			if got := c.form.Spell(v); got != c.want {
				t.Errorf("%s of %q: %q, want %q", c.form, v, got, c.want)
			}
		}
	}
	hash := Hash.Spell("Фёдорова Анна Петровна 1980-03-02")
	for _, v := range []string{"федорова анна петровна 02.03.1980", "Фёдорова, Анна Петровна; 2.3.1980", "ФЁДОРОВА АННА  ПЕТРОВНА 1980-03-02+03:00"} {
		if got := Hash.Spell(v); got != hash || len(got) != 64 {
			t.Errorf("hash of %q: %s, want %s", v, got, hash)
		}
		if !slices.Contains(Spellings(v), hash) {
			t.Errorf("who looks for %q does not find the hash", v)
		}
	}
	if Hash.Spell("Федорова Анна Петровна 1980-03-03") == hash {
		t.Error("another day of birth is the same person")
	}
	if v := Text.Spell(strings.Repeat("я", 2000)); len(v) != maxValue || !strings.HasPrefix(v, "ЯЯ") {
		t.Errorf("a long value has %d bytes", len(v))
	}
}

func planOf(t testing.TB, fields map[string][]string) *Plan {
	t.Helper()
	var list []Field
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f := Field{Name: name, Form: FormOf(name)}
		for _, source := range fields[name] {
			p, err := contentpath.Parse(source, nil)
			if err != nil {
				t.Fatal(err)
			}
			f.Paths = append(f.Paths, p)
		}
		list = append(list, f)
	}
	return NewPlan(list)
}

func tapeOf(t testing.TB, doc string) xmltape.Node {
	t.Helper()
	tape := new(xmltape.Tape)
	if err := tape.Parse([]byte(doc), xmltape.Limits{}); err != nil {
		t.Fatal(err)
	}
	return tape.Root()
}

// Every person of a message is read, each once, and the parts of one are not mixed
// with those of another.
func TestPlanReadsEveryPerson(t *testing.T) {
	p := planOf(t, map[string][]string{"snils": {"/R/*/S"}, "name-birth": {"/R/*/L", "/R/*/F", "/R/*/P", "/R/*/B"}, "case": {"/R/@case"}})
	values, left := p.Read(tapeOf(t, `<R xmlns="urn:r" case="дело 7">
		<A><L>Ёлкина</L><F>Софья</F><P>Андреевна</P><B>1984-02-29</B><S>000-000-001 00</S></A>
		<C><L>Ёлкин</L><F>Фёдор</F><B>2015-09-01</B><S>000-000-003 00</S></C>
		<C><L>Безымянный</L><F>Марфа</F><S>00000000100</S></C></R>`))
	want := []journal.PersonalField{
		{Field: "case", Value: "ДЕЛО 7"},
		{Field: "name-birth", Value: Hash.Spell("Елкина Софья Андреевна 29.02.1984")}, {Field: "name-birth-2", Value: Hash.Spell("Елкин Федор 01.09.2015")},
		{Field: "snils", Value: "00000000100"}, {Field: "snils-2", Value: "00000000300"},
	}
	if !slices.Equal(values, want) || left != 0 {
		t.Errorf("%d left\n%v\nwant\n%v", left, values, want)
	}
	if base := journal.FieldBase("name-birth-2"); base != "name-birth" {
		t.Errorf("base of name-birth-2 is %q", base)
	}
	if values, left := (*Plan)(nil).Read(xmltape.Node{}); values != nil || left != 0 {
		t.Error("no plan reads something")
	}
}

// What stands in two places that the description names is one field still: its values are
// told apart, and one that stands in both is one.
func TestPlanReadsAFieldOfTwoPlaces(t *testing.T) {
	fields := append(planOf(t, map[string][]string{"consent": {"/R/K"}}).fields, planOf(t, map[string][]string{"consent": {"/R/L"}}).fields...)
	values, left := NewPlan([]Field{fields[0].Field, fields[1].Field}).Read(tapeOf(t, `<R xmlns="urn:r"><L>18</L><K>17</K><L>17</L></R>`))
	want := []journal.PersonalField{{Field: "consent", Value: "17"}, {Field: "consent-2", Value: "18"}}
	if !slices.Equal(values, want) || left != 0 {
		t.Errorf("%v, want %v", values, want)
	}
}

// Whose consent a consent is, is told where it stands with one person in an element;
// where it stands beside all of them, nothing is said of it, nor where there is one
// person and one consent.
func TestConsentsAreTiedToTheirPeople(t *testing.T) {
	within := map[string][]string{"snils": {"/R/*/S"}, "name-birth": {"/R/*/N/L", "/R/*/N/B"}, "consent": {"/R/*/K"}, "inn": {"/R/I"}}
	for _, c := range []struct {
		what, doc, want string
		plan            map[string][]string
	}{
		{"each with his own", `<R><A><S>1</S><N><L>Ёлкина</L><B>1984-02-29</B></N><K>17</K></A><C><S>3</S><K>18</K></C></R>`, `{"consent":["name-birth","snils"],"consent-2":["snils-2"]}`, within},
		{"one of two", `<R><A><S>1</S></A><C><S>3</S><K>18</K></C></R>`, `{"consent":["snils-2"]}`, within},
		{"one consent of two", `<R><A><S>1</S><K>18</K></A><C><S>3</S><K>18</K></C></R>`, `{"consent":["snils","snils-2"]}`, within},
		{"one consent twice, one person", `<R><A><S>1</S><K>18</K></A></R>`, "", within},
		{"nobody", `<R><A><K>18</K><K>19</K></A></R>`, "", within},
		{"two of one", `<R><A><S>1</S><K>18</K><K>19</K></A></R>`, `{"consent":["snils"],"consent-2":["snils"]}`, within},
		{"beside all", `<R><A><S>1</S></A><C><S>3</S></C><K>17</K></R>`, `{}`, map[string][]string{"snils": {"/R/*/S"}, "consent": {"/R/K"}}},
	} {
		values, left := planOf(t, c.plan).Read(tapeOf(t, strings.Replace(c.doc, "<R>", `<R xmlns="urn:r">`, 1)))
		got := ""
		for _, v := range values {
			if v.Field == Ties {
				got = v.Value
			}
		}
		if got != c.want || left != 0 {
			t.Errorf("%s: %s, want %s of %v", c.what, got, c.want, values)
		}
	}
}

// A message about very many people has a leaf still, and says that not all of them
// are in it.
func TestPlanLeavesRoomInTheLeaf(t *testing.T) {
	var doc strings.Builder
	doc.WriteString(`<R xmlns="urn:r">`)
	for i := range 100 {
		fmt.Fprintf(&doc, "<C><S>%011d</S></C>", i)
	}
	doc.WriteString("</R>")
	values, left := planOf(t, map[string][]string{"a-name-of-twenty-eight-chars": {"/R/C/S"}}).Read(tapeOf(t, doc.String()))
	if len(values)+left != 100 || len(values) < 25 {
		t.Errorf("%d values, %d left", len(values), left)
	}
	full := strings.Repeat("s", 64)
	e := journal.Event{Kind: journal.KindAccepted, Time: time.UnixMilli(1), Node: full, Message: full, MessageID: full, Original: full, Operation: "SendRequest", Direction: "request",
		Sender: full, Recipient: full, Service: full, Version: "1.0.0", Schema: full, Certificate: full, Revocation: full, Digest: full, Reference: full, Channel: "smev/1.2", Test: true, Personal: values}
	if _, _, err := journal.NewLeaf(e, journal.Drawn(zeros{})); err != nil {
		t.Error(err)
	}
}

// A holder with each value of a person and each consent many times over costs what it is
// long, not its square.
func TestManyConsentsOfMany(t *testing.T) {
	const n = 100_000
	doc := `<R xmlns="urn:r"><A>` + strings.Repeat("<S>1</S>", n) + "<S>3</S>" + strings.Repeat("<K>17</K>", n) + "<K>18</K></A></R>"
	values, left := planOf(t, map[string][]string{"snils": {"/R/A/S"}, "consent": {"/R/A/K"}}).Read(tapeOf(t, doc))
	want := `{"consent":["snils","snils-2"],"consent-2":["snils","snils-2"]}`
	if got := values[len(values)-1]; got.Field != Ties || got.Value != want || left != 0 {
		t.Errorf("%s: %s, want %s; %d left", got.Field, got.Value, want, left)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// BenchmarkRead reads the sample of a request as its service's description says.
func BenchmarkRead(b *testing.B) {
	doc, err := os.ReadFile("../../testdata/services/family-benefits/1.0.0/samples/request.xml")
	if err != nil {
		b.Fatal(err)
	}
	var list []Field
	for _, f := range []struct {
		name  string
		form  Form
		paths []string
	}{
		{"case", Text, []string{"/BenefitsRequest/Ground/CaseNumber"}}, {"service-code", Text, []string{"/BenefitsRequest/Ground/ServiceCode"}}, {"consent", Text, []string{"/BenefitsRequest/Consent"}},
		{"snils", Digits, []string{"/BenefitsRequest/*/SNILS"}}, {"passport", Digits, []string{"/BenefitsRequest/Applicant/Passport"}},
		{"name-birth", Hash, []string{"/BenefitsRequest/*/FamilyName", "/BenefitsRequest/*/FirstName", "/BenefitsRequest/*/Patronymic", "/BenefitsRequest/*/BirthDate"}},
	} {
		one := Field{Name: f.name, Form: f.form}
		for _, s := range f.paths {
			p, err := contentpath.Parse(s, nil)
			if err != nil {
				b.Fatal(err)
			}
			one.Paths = append(one.Paths, p)
		}
		list = append(list, one)
	}
	p := NewPlan(list)
	content := tapeOf(b, string(doc))
	b.ReportAllocs()
	for b.Loop() {
		if values, _ := p.Read(content); len(values) != 11 {
			b.Fatal(values)
		}
	}
}
