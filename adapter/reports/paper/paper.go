// Package paper gives a report the forms in which it is read and taken away: JSON and
// CSV for programs, tables for a terminal, a page that needs nothing beside it (HTML),
// and the same page's body for whoever has a frame of his own (Body). Workbooks are made
// in adapter/reports/workbook. Pictures are SVG made
// here, each with its table beneath. Everybody may enter; the room counts nothing, and
// what it is given to show is only text: whatever a sender has chosen cannot become
// markup, or a formula.
package paper

import (
	"embed"
	"encoding/csv"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"mezhved/adapter/reports"
)

// Form is what a report is written as.
type Form string

// The forms.
const (
	HTML Form = "html"
	CSV  Form = "csv"
	XLSX Form = "xlsx" // written by package workbook
	JSON Form = "json"
	Text Form = "text" // for a terminal
)

// Forms are all of them.
var Forms = []Form{HTML, CSV, XLSX, JSON, Text}

// ContentType is the media type of a form.
func (f Form) ContentType() string {
	switch f {
	case HTML:
		return "text/html; charset=utf-8"
	case CSV:
		return "text/csv; charset=utf-8; header=present"
	case Text:
		return "text/plain; charset=utf-8"
	}
	return "application/json"
}

// Options say how a report is written. The zero value is Russian and names nobody.
type Options struct {
	Lang  string              // ru (default) or en; JSON and CSV speak to programs
	Named func(string) string // what a mnemonic's owner is called, empty: nothing more than that
	Table string              // of the report, for CSV: default the first
}

// Write writes a report in a form, but for workbooks.
func Write(w io.Writer, form Form, r *reports.Report, o Options) error {
	switch form {
	case HTML:
		return writePage(w, r, o)
	case CSV:
		return writeCSV(w, r, o.Table)
	case Text:
		return writeText(w, r, o)
	case JSON:
		b, err := r.JSON()
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	}
	return fmt.Errorf("a report cannot be written as %q here", form)
}

// NoTableError says that a report has no table of a name, and which it has.
type NoTableError struct {
	Name string
	Has  []string
}

func (e *NoTableError) Error() string {
	return fmt.Sprintf("the report has no table %q; it has %s", e.Name, strings.Join(e.Has, ", "))
}

func writeCSV(w io.Writer, r *reports.Report, name string) error {
	table := r.Tables[0]
	if name != "" {
		if table = r.Table(name); table == nil {
			e := &NoTableError{Name: name}
			for _, t := range r.Tables {
				e.Has = append(e.Has, t.Name)
			}
			return e
		}
	}
	out := csv.NewWriter(w)
	var line []string
	for _, c := range table.Columns {
		line = append(line, c.Name)
	}
	out.Write(line) // an error stays with the writer
	for _, row := range table.Rows {
		line = line[:0]
		for c, v := range row {
			line = append(line, Harmless(table.Plain(c, v)))
		}
		out.Write(line)
	}
	out.Flush()
	return out.Error()
}

// Harmless keeps a spreadsheet from taking a sender's text for a formula.
func Harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// writeText writes the tables for a terminal.
func writeText(w io.Writer, r *reports.Report, o Options) error {
	v := viewOf(r, o)
	var b strings.Builder
	b.WriteString(v.Title + "\n")
	for _, line := range v.Lines(r) {
		fmt.Fprintf(&b, "%s: %s\n", line[0], line[1])
	}
	for _, s := range v.Sections {
		if s.Empty {
			continue
		}
		lines := [][]string{nil}
		for _, h := range s.Heads {
			lines[0] = append(lines[0], h.Text)
		}
		for _, row := range s.Rows {
			var line []string
			for _, one := range row {
				line = append(line, one.Text)
			}
			lines = append(lines, line)
		}
		widths := make([]int, len(s.Heads))
		for _, line := range lines {
			for c, text := range line {
				widths[c] = max(widths[c], utf8.RuneCountInString(text))
			}
		}
		b.WriteString("\n" + s.Title + "\n")
		for _, line := range lines {
			var out strings.Builder
			for c, text := range line {
				pad := strings.Repeat(" ", widths[c]-utf8.RuneCountInString(text))
				if s.Heads[c].Number {
					text = pad + text
				} else {
					text += pad
				}
				out.WriteString(text + "  ")
			}
			b.WriteString(strings.TrimRight(out.String(), " ") + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

//go:embed page.html body.html page.css
var files embed.FS

var templates = func() map[string]*template.Template {
	out := map[string]*template.Template{}
	for _, lang := range []string{"ru", "en"} {
		out[lang] = template.Must(template.New("page.html").Funcs(template.FuncMap{"t": func(ru, en string) string { return Word{ru, en}.In(lang) }}).ParseFS(files, "page.html", "body.html"))
	}
	return out
}()

// About says in a reader's words what a report is. AsOf and Only are empty where they
// say nothing.
type About struct {
	Lang, Title, Period, AsOf, Only string
	WithoutTests                    bool
	Formula                         string
}

// view is a report as the templates show it.
type view struct {
	About
	Report   *reports.Report
	Sections []section
	Style    template.CSS
	Folded   bool // long tables are closed until they are asked for
}

// section is a table with its pictures.
type section struct {
	Name, Title, Note string
	Charts            []chart
	Heads             []head
	Rows              [][]shown
	Total, Folded     bool
	Empty             bool
}

type head struct {
	Text   string
	Number bool
}

type shown struct {
	Text, Small string
	Number, Row bool // Row: it names the row
}

func writePage(w io.Writer, r *reports.Report, o Options) error {
	style, err := files.ReadFile("page.css")
	if err != nil {
		return err
	}
	v := viewOf(r, o)
	v.Style = template.CSS(style)
	return templates[v.Lang].ExecuteTemplate(w, "page.html", v)
}

// Body is what stands in the page of a report, for a frame that has styles of its own;
// long tables are folded.
func Body(r *reports.Report, o Options) (template.HTML, error) {
	v := viewOf(r, o)
	v.Folded = true
	var b strings.Builder
	err := templates[v.Lang].ExecuteTemplate(&b, "body", v)
	return template.HTML(b.String()), err
}

// long is how many rows a table has that is folded.
const long = 12

func viewOf(r *reports.Report, o Options) *view {
	v := &view{About: AboutOf(r, o.Lang), Report: r}
	for _, t := range r.Tables {
		v.Sections = append(v.Sections, sectionOf(t, v.Lang, o.Named))
	}
	return v
}

// AboutOf says what a report is, in a language: en, or else ru.
func AboutOf(r *reports.Report, lang string) About {
	if lang != "en" {
		lang = "ru"
	}
	q := &r.Question
	day := func(t time.Time) string {
		if t = t.In(q.Zone); t.Hour() == 0 && t.Minute() == 0 && t.Second() == 0 {
			return t.Format("02.01.2006")
		}
		return t.Format("02.01.2006 15:04:05")
	}
	a := About{Lang: lang, Title: titles[q.Kind].In(lang)}
	a.Period = day(q.Period.From) + " — " + day(q.Period.To) + Word{" (не включая)", " (exclusive)"}.In(lang) + ", " + q.Zone.String()
	if q.Name != "" {
		a.Period = q.Name + ": " + a.Period
	}
	if !q.AsOf.IsZero() {
		a.AsOf = day(q.AsOf)
	}
	var only []string
	if q.Service != "" {
		only = append(only, Word{"вид сведений ", "service "}.In(lang)+q.Service)
	}
	if q.Party != "" {
		only = append(only, Word{"участник ", "party "}.In(lang)+q.Party)
	}
	if q.Tests != reports.Without {
		only = append(only, tests[q.Tests].In(lang))
	}
	a.Only = strings.Join(only, ", ")
	a.WithoutTests = q.Tests == reports.Without
	if r.Formula != "" {
		a.Formula = Word{ratingFormula, r.Formula}.In(lang)
	}
	return a
}

// Lines are what a report is, each with its name: those that say something.
func (a About) Lines(r *reports.Report) (lines [][2]string) {
	add := func(ru, en, text string) {
		if text != "" {
			lines = append(lines, [2]string{Word{ru, en}.In(a.Lang), text})
		}
	}
	add("Период", "Period", a.Period)
	add("По состоянию на", "As of", a.AsOf)
	add("Только", "Only", a.Only)
	if a.WithoutTests {
		add("Тестовые сообщения", "Test messages", Word{"не посчитаны", "not counted"}.In(a.Lang))
	}
	add("Журнал", "Log", r.Log.Origin)
	add("Записей", "Entries", strconv.FormatInt(r.Log.Size, 10))
	add("Корень", "Root", r.Log.Root.String())
	add("Как считается", "How it is made", a.Formula)
	return lines
}

func sectionOf(t *reports.Table, lang string, named func(string) string) section {
	s := section{Name: t.Name, Title: tables[t.Name].title.In(lang), Note: tables[t.Name].note.In(lang), Total: t.Total, Folded: len(t.Rows) > long, Empty: len(t.Rows) == 0}
	for _, c := range t.Columns {
		s.Heads = append(s.Heads, head{ColumnTitle(t, c.Name).In(lang), c.Unit != reports.Text})
	}
	for i, row := range t.Rows {
		var line []shown
		for c, value := range row {
			one := shown{Text: Show(t, c, value, lang), Number: t.Columns[c].Unit != reports.Text && t.Columns[c].Unit != reports.Time, Row: c == rowName(t)}
			switch t.Columns[c].Name {
			case "provider", "sender":
				if named != nil && value.Text() != "" {
					one.Small = named(value.Text())
				}
			}
			if t.Total && i == len(t.Rows)-1 && c == 0 {
				one.Text = Word{"всего", "all"}.In(lang)
			}
			line = append(line, one)
		}
		s.Rows = append(s.Rows, line)
	}
	if !s.Empty {
		s.Charts = chartsOf(t, lang)
	}
	return s
}

// rowName is the column that names a row.
func rowName(t *reports.Table) int {
	return max(slices.IndexFunc(t.Columns, func(c reports.Column) bool { return c.Unit == reports.Text }), 0)
}
