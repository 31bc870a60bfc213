package reference

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// MostRows is how many rows a dictionary may have.
const MostRows = 2000

// mostCode bounds a code, in characters.
const mostCode = 200

// Dictionary is one version of a list of codes.
type Dictionary struct {
	Name, Version string
	Digest        string // hex SHA-256 of the file
	rows          map[string]Row
}

// Row is what is known of a code.
type Row struct {
	Title    string
	From, To time.Time // days, both included; zero: no bound
}

// Rows is how many codes there are.
func (d *Dictionary) Rows() int { return len(d.rows) }

// Find gives the row of a code.
func (d *Dictionary) Find(code string) (Row, bool) {
	r, ok := d.rows[code]
	return r, ok
}

// Codes are all of them, in order.
func (d *Dictionary) Codes() []string {
	out := make([]string, 0, len(d.rows))
	for c := range d.rows {
		out = append(out, c)
	}
	slices.Sort(out)
	return out
}

// Used says whether a row's code is used on a day.
func (r Row) Used(day time.Time) bool {
	return r.Begun(day) && (r.To.IsZero() || !dateOf(day).After(r.To))
}

// Begun says whether its use has begun by a day.
func (r Row) Begun(day time.Time) bool { return !dateOf(day).Before(r.From) }

func dateOf(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// Problem is something that is wrong with a file.
type Problem struct {
	Line    int // from 1; 0: the whole file
	Warning bool
	Form    string // English, with Args
	Args    []any
}

func (p Problem) String() string { return fmt.Sprintf(p.Form, p.Args...) }

// dictionaryHead are the columns of a dictionary in our form.
var dictionaryHead = []string{"code", "title", "from", "to"}

// ParseDictionary reads a dictionary in our form. With problems that are no warnings it
// is not to be used.
func ParseDictionary(name, version string, src []byte) (*Dictionary, []Problem) {
	sum := sha256.Sum256(src)
	d := &Dictionary{Name: name, Version: version, Digest: hex.EncodeToString(sum[:]), rows: map[string]Row{}}
	t, err := ReadTable(src)
	if err != nil {
		return d, []Problem{{Form: "%v", Args: []any{err}}}
	}
	if !slices.Equal(t.Columns, dictionaryHead) {
		return d, []Problem{{Line: 1, Form: "the head is %s, code,title,from,to is expected: bring the file into this form with mezhved services dictionary import", Args: []any{strings.Join(t.Columns, ",")}}}
	}
	rows, bad := dictionaryRows(t, 0, 1, 2, 3)
	for _, r := range rows {
		d.rows[r.code] = r.Row
	}
	return d, bad
}

type codeRow struct {
	code string
	Row
}

// dictionaryRows reads rows by their columns, -1 for one that there is not, and tells of
// everything that is wrong with them.
func dictionaryRows(t *Table, code, title, from, to int) (rows []codeRow, bad []Problem) {
	find := func(line int, warning bool, form string, args ...any) {
		bad = append(bad, Problem{line, warning, form, args})
	}
	at := func(l Line, i int) string {
		if i < 0 {
			return ""
		}
		return l.Values[i]
	}
	if len(t.Rows) == 0 {
		find(0, false, "there is no row: nothing would be taken")
	}
	if len(t.Rows) > MostRows {
		find(0, false, "has %d rows, %d are the most: what is longer is to be asked of a service", len(t.Rows), MostRows)
	}
	seen := map[string]int{}
	for _, l := range t.Rows {
		r := codeRow{code: at(l, code), Row: Row{Title: at(l, title)}}
		if r.code == "" {
			find(l.Number, false, "the code is empty")
			continue
		}
		if n := len([]rune(r.code)); n > mostCode {
			find(l.Number, false, "the code has %d characters, %d are the most", n, mostCode)
		}
		if strings.ContainsFunc(r.code, unicode.IsControl) {
			find(l.Number, false, "the code has a line break or another sign that nobody sees: is a quotation mark not closed?")
		}
		if strings.Contains(r.Title, "\n") {
			find(l.Number, true, "the title goes on in the next line: is a quotation mark not closed?")
		}
		if first, twice := seen[r.code]; twice {
			find(l.Number, false, "the code %q stands in line %d already", r.code, first)
			continue
		}
		seen[r.code] = l.Number
		var err error
		if r.From, err = dayOf(at(l, from)); err != nil {
			find(l.Number, false, "from: %q is no day such as 2026-03-02 or 02.03.2026", at(l, from))
		}
		if r.To, err = dayOf(at(l, to)); err != nil {
			find(l.Number, false, "to: %q is no day such as 2026-03-02 or 02.03.2026", at(l, to))
		}
		if !r.From.IsZero() && !r.To.IsZero() && r.To.Before(r.From) {
			find(l.Number, false, "ends on %s, before it begins on %s", r.To.Format(time.DateOnly), r.From.Format(time.DateOnly))
		}
		if r.Title == "" {
			find(l.Number, true, "the code %q has no title: people will see the code alone", r.code)
		}
		rows = append(rows, r)
	}
	return rows, bad
}

func dayOf(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	day, _, _ := strings.Cut(text, "T")
	if t, err := time.Parse(time.DateOnly, day); err == nil {
		return t, nil
	}
	return time.Parse("02.01.2006", day)
}

// Columns names the columns of a file that is imported; empty: what people call so.
type Columns struct{ Code, Title, From, To string }

var (
	calledCode  = []string{"code", "код", "kod", "id", "autokey", "value", "значение", "код вида сведений", "код вс"}
	calledTitle = []string{"title", "name", "наименование", "название", "имя", "simplename", "полное наименование"}
	calledFrom  = []string{"from", "begin", "valid_from", "датанач", "дата начала", "действует с", "дата начала действия"}
	calledTo    = []string{"to", "end", "valid_to", "датаокон", "дата окончания", "действует по", "дата окончания действия"}
)

// Imported is what came of an import.
type Imported struct {
	File     []byte // in our form; nil with problems that are no warnings
	Rows     int
	Used     []string // columns, as the file calls them
	Left     []string // columns that were not used
	Problems []Problem

	steps int // looks for rows that stand twice
}

// Import brings a file into the form of a dictionary.
func Import(src []byte, c Columns) (*Imported, error) {
	t, err := ReadTable(src)
	if err != nil {
		return nil, err
	}
	out := &Imported{}
	code, err := t.need("code", c.Code, calledCode)
	if err != nil {
		return nil, err
	}
	title, err1 := t.column(c.Title, calledTitle)
	from, err2 := t.column(c.From, calledFrom)
	to, err3 := t.column(c.To, calledTo)
	if err := cmp.Or(err1, err2, err3); err != nil {
		return nil, err
	}
	out.Used, out.Left = t.split(code, title, from, to)
	rows, bad := dictionaryRows(t, code, title, from, to)
	out.Problems, out.Rows = bad, len(rows)
	if slices.ContainsFunc(bad, func(p Problem) bool { return !p.Warning }) {
		return out, nil
	}
	slices.SortFunc(rows, func(a, b codeRow) int { return strings.Compare(a.code, b.code) })
	lines := make([][]string, len(rows))
	for i, r := range rows {
		lines[i] = []string{r.code, r.Title, dayText(r.From), dayText(r.To)}
	}
	out.File = write(dictionaryHead, lines)
	return out, nil
}

func (t *Table) need(what, named string, called []string) (int, error) {
	i, err := t.column(named, called)
	if err == nil && i < 0 {
		err = fmt.Errorf("which column is the %s? name it; there are %s", what, strings.Join(t.Columns, ", "))
	}
	return i, err
}

// split tells which columns are used and which are not.
func (t *Table) split(used ...int) (yes, no []string) {
	for i, c := range t.Columns {
		if slices.Contains(used, i) {
			yes = append(yes, c)
		} else {
			no = append(no, c)
		}
	}
	return yes, no
}

func dayText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.DateOnly)
}

// Enumeration writes the dictionary as a simple type of a schema: for those who want
// their codes there.
func (d *Dictionary) Enumeration(namespace, typeName string) []byte {
	var b bytes.Buffer
	text := func(s string) string {
		var e bytes.Buffer
		xml.EscapeText(&e, []byte(s))
		return e.String()
	}
	fmt.Fprintf(&b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" targetNamespace=\"%s\" elementFormDefault=\"qualified\">\n", text(namespace))
	fmt.Fprintf(&b, "  <xs:simpleType name=\"%s\">\n    <xs:annotation><xs:documentation>%s %s</xs:documentation></xs:annotation>\n    <xs:restriction base=\"xs:string\">\n", text(typeName), text(d.Name), text(d.Version))
	for _, code := range d.Codes() {
		if title := d.rows[code].Title; title != "" {
			fmt.Fprintf(&b, "      <xs:enumeration value=\"%s\"><xs:annotation><xs:documentation>%s</xs:documentation></xs:annotation></xs:enumeration>\n", text(code), text(title))
		} else {
			fmt.Fprintf(&b, "      <xs:enumeration value=\"%s\"/>\n", text(code))
		}
	}
	b.WriteString("    </xs:restriction>\n  </xs:simpleType>\n</xs:schema>\n")
	return b.Bytes()
}
