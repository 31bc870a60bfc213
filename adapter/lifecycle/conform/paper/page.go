package paper

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/xml"
	"html/template"
	"strings"
	"time"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"verdict": func(v Verdict) string { return verdictRussian[v] },
	"level":   func(l Level) string { return levelRussian[l] },
	"moment":  func(t time.Time) string { return t.In(moscow).Format("02.01.2006 15:04:05 МСК") },
	"day":     func(t time.Time) string { return t.In(moscow).Format("02.01.2006") },
	"role":    func(s string) string { return roleRussian[s] },
	"lines":   indented,
}).Parse(pageText))

var (
	moscow         = time.FixedZone("MSK", 3*60*60)
	verdictRussian = map[Verdict]string{Passed: "пройдена", Failed: "не пройдена", Inapplicable: "неприменима"}
	levelRussian   = map[Level]string{Must: "обязательная", Should: "рекомендуемая"}
	roleRussian    = map[string]string{"consumer": "потребитель", "provider": "поставщик"}
)

// pageData is what the page shows.
type pageData struct {
	*Report
	Style                 template.CSS
	SHA256                string // of the report's JSON
	Title                 string
	Groups                []group
	Passed, Failed, Other int
}

// group is the results of one verdict that the page lists together.
type group struct {
	Title   string
	Results []Result
}

// Page writes the report for people, in Russian, as one HTML file that prints well.
// file is the report's JSON, which the page names by its digest.
func Page(r *Report, file []byte) ([]byte, error) {
	sum := sha256.Sum256(file)
	d := pageData{
		Report: r, Style: template.CSS(pageStyle), SHA256: hex.EncodeToString(sum[:]), Title: "Отчёт о соответствии шины СМЭВ 3",
		Passed: r.Count(Passed), Failed: r.Count(Failed), Other: r.Count(Inapplicable),
	}
	if r.Kind == Party {
		d.Title = "Отчёт о соответствии системы участника СМЭВ 3"
	}
	for _, v := range []Verdict{Failed, Inapplicable, Passed} {
		g := group{Title: map[Verdict]string{Failed: "Не пройдены", Inapplicable: "Неприменимы", Passed: "Пройдены"}[v]}
		for _, c := range r.Results {
			if c.Verdict == v {
				g.Results = append(g.Results, c)
			}
		}
		if len(g.Results) > 0 {
			d.Groups = append(d.Groups, g)
		}
	}
	var b bytes.Buffer
	if err := page.Execute(&b, d); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// indented lays out XML on lines for reading; the report has the bytes as they were.
func indented(s string) string {
	if !strings.HasPrefix(strings.TrimSpace(s), "<") || xml.Unmarshal([]byte(s), new(struct{})) != nil {
		return s
	}
	var b strings.Builder
	depth := 0
	for i, piece := range strings.SplitAfter(strings.ReplaceAll(s, "><", ">\x00<"), "\x00") {
		piece = strings.TrimSuffix(piece, "\x00")
		if strings.HasPrefix(piece, "</") {
			depth--
		}
		if i > 0 {
			b.WriteString("\n" + strings.Repeat(" ", max(depth, 0)))
		}
		b.WriteString(piece)
		if !strings.HasPrefix(piece, "</") && !strings.HasPrefix(piece, "<?") && !strings.HasPrefix(piece, "<!") && !strings.HasSuffix(piece, "/>") && !strings.Contains(piece, "</") {
			depth++
		}
	}
	return b.String()
}
