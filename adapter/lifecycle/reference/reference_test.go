package reference

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"mezhved/xsd"
)

func lines(problems []Problem) (out []string) {
	for _, p := range problems {
		out = append(out, fmt.Sprintf("%d %v %s", p.Line, p.Warning, p))
	}
	return out
}

// What offices hand out is read in the layouts in which they do.
func TestImportsReadWhatOfficesHandOut(t *testing.T) {
	want := "code,title,from,to\n01,Адыгея,2020-01-01,\n77,\"Москва, город\",,2026-12-31\n"
	for name, src := range map[string]string{
		"csv":       "Код,Наименование,Дата начала,Дата окончания\n77,\"Москва, город\",,31.12.2026\n01,Адыгея,01.01.2020,\n",
		"semicolon": "\ufeffКод;Наименование;Дата начала;Дата окончания;Лишнее\r\n77;Москва, город;;2026-12-31;x\r\n01;Адыгея;2020-01-01T00:00:00;;\r\n",
		"attributes": `<?xml version="1.0" encoding="UTF-8"?><list version="3"><head><a/></head><row code="77" name="Москва, город" to="2026-12-31"/>
<row code="01" name="Адыгея" from="2020-01-01"/></list>`,
		"esnsi": `<doc><simple-classifier><data><record uid="1"><attribute-value attribute-ref="CODE"><string>77</string></attribute-value><attribute-value attribute-ref="NAME"><string>Москва, город</string></attribute-value><attribute-value attribute-ref="TO"><date>2026-12-31</date></attribute-value></record>
<record uid="2"><attribute-value attribute-ref="CODE"><string>01</string></attribute-value><attribute-value attribute-ref="NAME"><string>Адыгея</string></attribute-value><attribute-value attribute-ref="FROM"><date>2020-01-01</date></attribute-value></record></data></simple-classifier></doc>`,
	} {
		got, err := Import([]byte(src), Columns{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if string(got.File) != want || got.Rows != 2 {
			t.Errorf("%s: %s, want %s (%v)", name, got.File, want, lines(got.Problems))
		}
		if name == "semicolon" && !slices.Equal(got.Left, []string{"Лишнее"}) {
			t.Errorf("%s: left out %v", name, got.Left)
		}
	}
}

// Everything that is wrong is named at once, with its line, and nothing is made of it.
func TestImportsNameEveryProblem(t *testing.T) {
	got, err := Import([]byte("code,name,from,to\n1,a,,\n1,b,,\n,c,,\n2,,soon,\n3,d,2026-02-01,2026-01-01\n"), Columns{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`3 false the code "1" stands in line 2 already`, "4 false the code is empty", `5 false from: "soon" is no day such as 2026-03-02 or 02.03.2026`,
		`5 true the code "2" has no title: people will see the code alone`, "6 false ends on 2026-01-01, before it begins on 2026-02-01"}
	if !slices.Equal(lines(got.Problems), want) || got.File != nil {
		t.Errorf("problems %q, want %q", lines(got.Problems), want)
	}
	long := "code,name\n"
	for i := range MostRows + 1 {
		long += fmt.Sprintf("%d,x\n", i)
	}
	if got, err = Import([]byte(long), Columns{}); err != nil || got.File != nil || len(got.Problems) != 1 || got.Problems[0].Line != 0 {
		t.Errorf("too many rows: %v %v", lines(got.Problems), err)
	}
	for src, want := range map[string]string{
		"a,b\n1,2\n":                    "which column is the code? name it; there are a, b",
		"":                              "the file is empty",
		"code\n1,2\n":                   "line 2 has 2 values",
		"\xcf\xf0":                      "is not UTF-8",
		"<a><b/></a>":                   "there are no rows",
		"<!DOCTYPE a><a><b c='1'/></a>": "doctype-forbidden",
		"<list><row id='1'><x></row>":   "mismatched-tag",
	} {
		if _, err := Import([]byte(src), Columns{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", src, err, want)
		}
	}
	if _, err := Import([]byte("code,name\n1,2\n"), Columns{Title: "NAIM"}); err == nil || !strings.Contains(err.Error(), `there is no column "NAIM"; there are code, name`) {
		t.Errorf("a column that is not there: %v", err)
	}
}

// A code is used from its first day to its last, both included.
func TestACodeHasItsDays(t *testing.T) {
	d, bad := ParseDictionary("kinds", "1", []byte("code,title,from,to\na,x,2026-03-01,2026-03-31\nb,y,,\n"))
	if len(bad) > 0 || d.Rows() != 2 || !slices.Equal(d.Codes(), []string{"a", "b"}) {
		t.Fatal(lines(bad))
	}
	a, _ := d.Find("a")
	zone := time.FixedZone("", 3*3600)
	for day, want := range map[time.Time]bool{
		time.Date(2026, 2, 28, 23, 59, 0, 0, zone): false, time.Date(2026, 3, 1, 0, 0, 0, 0, zone): true, time.Date(2026, 3, 31, 23, 59, 0, 0, zone): true, time.Date(2026, 4, 1, 0, 0, 0, 0, zone): false,
	} {
		if got := a.Used(day); got != want {
			t.Errorf("on %s: %v, want %v", day, got, want)
		}
	}
	if _, bad := ParseDictionary("kinds", "1", []byte("code;title\na;x\n")); len(bad) != 1 || !strings.Contains(bad[0].String(), "the head is code,title") {
		t.Errorf("another form: %v", lines(bad))
	}
	// As a type of a schema it takes its codes and no others.
	s, err := xsd.Compile(fstest.MapFS{"k.xsd": {Data: d.Enumeration("urn://kinds", "Kind")}}, []string{"k.xsd"}, xsd.Options{})
	if err != nil || s == nil {
		t.Errorf("as a schema: %v", err)
	}
}

// Services are found by code, or namespace, and what differs is told once each.
func TestTheRegisterIsHeldAgainstServices(t *testing.T) {
	got, err := ImportRegister([]byte("Код;Наименование;Пространство имён;Версия;Поставщик;Статус;Дата окончания\n"+
		"VS1;Выписка из «ЕГРЮЛ»;urn://egrul/1;1.0.0;FNS01;действует;\nVS2;Другое;urn://other/1;1.0.0;FNS01;архив;01.01.2020\nVS3;Третье;urn://third/1;1.0.0;FNS01;;\n"), RegisterColumns{})
	if err != nil || len(got.Problems) > 0 {
		t.Fatal(err, lines(got.Problems))
	}
	r, err := ParseRegister("2026", got.File)
	if err != nil || r.Rows() != 3 {
		t.Fatal(err)
	}
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	told := func(c Claim) (out []string, e *Entry) {
		e, list := r.Check(c, day)
		for _, d := range list {
			out = append(out, fmt.Sprintf("%s %q %q %d", d.What, d.Service, d.Entry, d.Line))
		}
		return out, e
	}
	same, first := told(Claim{Code: "vs1", Title: `выписка из "ЕГРЮЛ"`, Namespace: "urn://egrul/1", Version: "1.0.0", Providers: []string{"FNS01"}, InUse: true})
	if len(same) > 0 {
		t.Errorf("a service that is as the register has it: %v", same)
	}
	other, second := told(Claim{Title: "Иное", Namespace: "urn://other/1", Version: "2.0.0", Providers: []string{"ZAGS01", "ЗАГС"}, InUse: true})
	if want := []string{`title "Иное" "Другое" 3`, `version "2.0.0" "1.0.0" 3`, `provider "ZAGS01, ЗАГС" "FNS01" 3`, `dates "2026-03-01" "…2020-01-01" 3`, `status "in use" "архив" 3`}; !slices.Equal(other, want) {
		t.Errorf("differences %q, want %q", other, want)
	}
	if unknown, e := told(Claim{Namespace: "urn://nowhere"}); e != nil || len(unknown) != 1 || unknown[0] != `code "urn://nowhere" "" 0` {
		t.Errorf("unknown: %v", unknown)
	}
	if absent := r.Absent([]*Entry{first, second, nil}, func(p string) bool { return p == "FNS01" }); len(absent) != 1 || absent[0].Code != "VS3" {
		t.Errorf("absent %v", absent)
	}
	if bad, _ := ImportRegister([]byte("code,version,namespace,title\n,1,,\nA,1,n,t\nA,1,n,t\n"), RegisterColumns{}); len(bad.Problems) != 2 || bad.File != nil {
		t.Errorf("a register with mistakes: %v", lines(bad.Problems))
	}
}

func FuzzReadTable(f *testing.F) {
	for _, s := range []string{"a,b\n1,2\n", "a;b\n\"1\n2\";3\n", "<a><b c='1'><d>x</d></b></a>", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		table, err := ReadTable(src)
		if err != nil {
			return
		}
		for _, l := range table.Rows { // each row has as many values as there are columns
			if len(l.Values) != len(table.Columns) || l.Number < 1 {
				t.Fatalf("line %d has %d values of %d columns", l.Number, len(l.Values), len(table.Columns))
			}
		}
	})
}

// A quotation mark that is not closed does not take the rows behind it along in silence.
func TestOpenQuotationMarks(t *testing.T) {
	rest := ""
	for i := range 100 {
		rest += fmt.Sprintf("%d,x\n", i+10)
	}
	for _, src := range []string{"code,name\n1,\"a\n" + rest, "code,name\n\"1,a\n" + rest} {
		if got, err := Import([]byte(src), Columns{}); err == nil || !strings.Contains(err.Error(), "line 2: a value goes on for 101 lines: a quotation mark is not closed") {
			t.Errorf("%.20q: %+v, %v", src, got, err)
		}
	}
	for src, want := range map[string]string{
		"code,name\n\"1,a\n2,b\n3,c\n":   "2 false the code has a line break",
		"code,name\n1\x00,a\n":           "2 false the code has a line break",
		"code,name\n1,\"a\n2,b\n3,c\"\n": "2 true the title goes on in the next line",
	} {
		got, err := Import([]byte(src), Columns{})
		if err != nil || len(got.Problems) == 0 || !strings.HasPrefix(lines(got.Problems)[0], want) {
			t.Errorf("%q: %+v, %v", src, got, err)
		}
	}
	if _, err := ReadTable([]byte("\xff\xfec\x00o\x00")); err == nil || !strings.Contains(err.Error(), "UTF-16") {
		t.Errorf("UTF-16: %v", err)
	}
}

// A register of as many rows as a file may have is read in one pass.
func TestLargeRegisters(t *testing.T) {
	src := strings.Builder{}
	src.WriteString("code,version\n")
	for i := range 200_000 {
		fmt.Fprintf(&src, "%d,1\n", i)
	}
	src.WriteString("7,1\n")
	got, err := ImportRegister([]byte(src.String()), RegisterColumns{})
	if err != nil || len(got.Problems) != 1 || got.steps != got.Rows || got.Rows != 200_001 {
		t.Errorf("%v, %v: %d rows, looked for in %d steps", got.Problems, err, got.Rows, got.steps)
	}
}
