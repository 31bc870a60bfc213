package paper

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter/reports"
)

// chart is a picture. Its places are percents of a width that it does not know, and
// pixels of its height, so that its texts have the size of the page's at any width.
// Series differ by filling and outline, so that they differ without colours.
type chart struct {
	Title  string
	Legend []mark
	SVG    template.HTML
}

// mark names a series in the legend.
type mark struct{ Class, Text string }

// most is how many days have bars of their own; more are put together by weeks.
const most = 100

func chartsOf(t *reports.Table, lang string) []chart {
	w := func(ru, en string) string { return Word{ru, en}.In(lang) }
	switch t.Name {
	case "days":
		p := pointsOf(t, lang)
		return []chart{
			p.bars(w("Поступило и завершено", "Came and ended"), mark{"c1", w("поступило", "came")}, mark{"c2", w("завершено", "ended")}, "in", "out"),
			p.line(w("Открыто на конец дня", "Open at the day's end"), "open"),
			p.bars(w("Просрочено", "Late"), mark{"c3", w("истёк срок, ответа не было", "term ended without an answer")}, mark{}, "late", ""),
			p.bars(w("Отказов", "Refused calls"), mark{"c1", w("отказов", "refused calls")}, mark{}, "refused", ""),
		}
	case "stages":
		return []chart{stageChart(t, lang)}
	case "week":
		return []chart{weekChart(t, lang)}
	case "refusals":
		return []chart{reasonChart(t, lang)}
	}
	return nil
}

// picture writes an SVG.
type picture struct {
	strings.Builder
	height int
}

func open(height int, label string) *picture {
	p := &picture{height: height}
	fmt.Fprintf(p, `<svg class="chart" role="img" width="100%%" height="%d" aria-label="%s">`, height, template.HTMLEscapeString(label))
	return p
}

func (p *picture) done() template.HTML {
	p.WriteString("</svg>")
	return template.HTML(p.String()) // made here of numbers and escaped texts
}

func pc(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) + "%" }

func (p *picture) rect(class string, x, width float64, y, height int, title string) {
	if height <= 0 || width <= 0 {
		return
	}
	fmt.Fprintf(p, `<rect class="%s" x="%s" width="%s" y="%d" height="%d"><title>%s</title></rect>`, class, pc(x), pc(width), y, height, template.HTMLEscapeString(title))
}

func (p *picture) text(anchor string, x float64, y int, s string) {
	fmt.Fprintf(p, `<text x="%s" y="%d" text-anchor="%s">%s</text>`, pc(x), y, anchor, template.HTMLEscapeString(s))
}

func (p *picture) rule(class string, x1, x2 float64, y1, y2 int) {
	fmt.Fprintf(p, `<line class="%s" x1="%s" x2="%s" y1="%d" y2="%d"/>`, class, pc(x1), pc(x2), y1, y2)
}

// points are the days of a table, or its weeks.
type points struct {
	table  *reports.Table
	lang   string
	labels []string // of each point, as days
	rows   []int    // the last row of each point
	first  []int    // and its first
}

func pointsOf(t *reports.Table, lang string) *points {
	step := 1
	if len(t.Rows) > most {
		step = 7
	}
	p := &points{table: t, lang: lang}
	for i := 0; i < len(t.Rows); i += step {
		day, err := time.Parse(time.DateOnly, t.Rows[i][0].Text())
		label := t.Rows[i][0].Text()
		if err == nil {
			label = day.Format("02.01")
		}
		p.labels, p.first, p.rows = append(p.labels, label), append(p.first, i), append(p.rows, min(i+step, len(t.Rows))-1)
	}
	return p
}

// sum is a point's value: of a week, all its days together.
func (p *points) sum(point int, column string) (n int64) {
	c := p.table.Column(column)
	for i := p.first[point]; i <= p.rows[point]; i++ {
		n += p.table.Rows[i][c].Number()
	}
	return n
}

func (p *points) last(point int, column string) int64 {
	return p.table.Rows[p.rows[point]][p.table.Column(column)].Number()
}

// What every picture of days has: its plot between top and bottom, in pixels.
const (
	plotTop, plotBottom, plotHeight = 16, 146, 168
)

// frame draws the lines of the plot with their values, and the days beneath.
func (p *points) frame(out *picture, top int64) {
	for i := range 3 {
		y := plotBottom - (plotBottom-plotTop)*i/2
		out.rule("grid", 0, 100, y, y)
		if i > 0 {
			if top%2 == 0 || i == 2 {
				out.text("start", 0, y-3, grouped(top*int64(i)/2))
			}
		}
	}
	every := (len(p.labels) + 4) / 5
	for i := 0; i < len(p.labels); i += every {
		x := 100 * (float64(i) + .5) / float64(len(p.labels))
		anchor := "middle"
		if i == 0 {
			x, anchor = 0, "start"
		} else if x > 93 {
			continue
		}
		out.text(anchor, x, plotBottom+16, p.labels[i])
	}
}

// roundUp is the least of 1, 2, 4, 5 and their multiples by powers of ten that is not
// less than n: the top of a plot.
func roundUp(n int64) int64 {
	for power := int64(1); ; power *= 10 {
		for _, m := range []int64{1, 2, 4, 5} {
			if m*power >= n {
				return m * power
			}
		}
	}
}

func (p *points) title(what string) string {
	if len(p.labels) < len(p.table.Rows) {
		return what + Word{", по неделям", ", by week"}.In(p.lang)
	}
	return what
}

func (p *points) bars(title string, a, b mark, first, second string) chart {
	top := int64(1)
	for i := range p.labels {
		top = max(top, p.sum(i, first))
		if second != "" {
			top = max(top, p.sum(i, second))
		}
	}
	top = roundUp(top)
	out := open(plotHeight, p.title(title))
	p.frame(out, top)
	slot := 100 / float64(len(p.labels))
	height := func(n int64) int {
		if n == 0 {
			return 0
		}
		return max(int(n*(plotBottom-plotTop)/top), 1)
	}
	one := func(class, column, text string, i int, at, width float64) {
		n := p.sum(i, column)
		h := height(n)
		out.rect(class, at, width, plotBottom-h, h, p.labels[i]+" "+text+": "+grouped(n))
	}
	c := chart{Title: p.title(title), Legend: []mark{a}}
	for i := range p.labels {
		x := float64(i) * slot
		if second == "" {
			one(a.Class, first, a.Text, i, x+slot*.15, slot*.7)
			continue
		}
		one(a.Class, first, a.Text, i, x+slot*.1, slot*.38)
		one(b.Class, second, b.Text, i, x+slot*.5, slot*.38)
	}
	if second != "" {
		c.Legend = append(c.Legend, b)
	}
	c.SVG = out.done()
	return c
}

func (p *points) line(title, column string) chart {
	top := int64(1)
	for i := range p.labels {
		top = max(top, p.last(i, column))
	}
	top = roundUp(top)
	out := open(plotHeight, p.title(title))
	p.frame(out, top)
	x := func(i int) float64 { return 100 * (float64(i) + .5) / float64(len(p.labels)) }
	y := func(i int) int { return plotBottom - int(p.last(i, column)*(plotBottom-plotTop)/top) }
	for i := range p.labels {
		if i > 0 {
			out.rule("stroke", x(i-1), x(i), y(i-1), y(i))
		}
	}
	for i := range p.labels {
		fmt.Fprintf(out, `<circle class="dot" cx="%s" cy="%d" r="%s"><title>%s</title></circle>`, pc(x(i)), y(i), dotSize(len(p.labels)), template.HTMLEscapeString(p.labels[i]+": "+grouped(p.last(i, column))))
	}
	return chart{Title: p.title(title), SVG: out.done()}
}

func dotSize(n int) string {
	if n > 45 {
		return "1.5"
	}
	return "2.5"
}

// stageChart shows median and p95 of each stage on a logarithmic scale: they are apart
// as milliseconds and days are.
func stageChart(t *reports.Table, lang string) chart {
	const row = 48
	title := Word{"Сколько длятся этапы (шкала логарифмическая)", "How long stages take (logarithmic scale)"}.In(lang)
	out := open(row*len(t.Rows)+2, title)
	median, p95 := t.Column("median"), t.Column("p95")
	top := 1.0
	scale := func(ms int64) float64 { return math.Log10(1 + float64(ms)/10) }
	for _, r := range t.Rows {
		top = max(top, scale(r[p95].Number()))
	}
	for i, r := range t.Rows {
		y := i * row
		out.text("start", 0, y+13, Show(t, 0, r[0], lang))
		if !r[median].Given() {
			out.text("end", 100, y+13, "—")
			continue
		}
		both := Show(t, median, r[median], lang) + " / " + Show(t, p95, r[p95], lang)
		out.text("end", 100, y+13, both)
		out.rect("c2", 0, max(100*scale(r[p95].Number())/top, .5), y+19, 18, Show(t, 0, r[0], lang)+", p95: "+Show(t, p95, r[p95], lang))
		out.rect("c1", 0, max(100*scale(r[median].Number())/top, .5), y+23, 10, Show(t, 0, r[0], lang)+", "+Word{"медиана", "median"}.In(lang)+": "+Show(t, median, r[median], lang))
	}
	return chart{Title: title, Legend: []mark{{"c1", Word{"медиана", "median"}.In(lang)}, {"c2", "p95"}}, SVG: out.done()}
}

// reasonChart shows the most frequent reasons.
func reasonChart(t *reports.Table, lang string) chart {
	const row, shownMost = 40, 10
	title := Word{"Отказы по причинам", "Refusals by reason"}.In(lang)
	rows := t.Rows[:min(len(t.Rows), shownMost)]
	if len(t.Rows) > shownMost {
		title += fmt.Sprintf(Word{", первые %d", ", the first %d"}.In(lang), shownMost)
	}
	out := open(row*len(rows)+2, title)
	outcome, rule, count := t.Column("outcome"), t.Column("rule"), t.Column("count")
	for i, r := range rows {
		y := i * row
		name := r[rule].Text()
		if name == "" {
			name = r[outcome].Text()
		}
		if cut := []rune(name); len(cut) > 36 {
			name = string(cut[:35]) + "…"
		}
		out.text("start", 0, y+13, name)
		out.text("end", 100, y+13, grouped(r[count].Number()))
		out.rect("c1", 0, max(100*float64(r[count].Number())/float64(max(rows[0][count].Number(), 1)), .5), y+19, 12, name+": "+grouped(r[count].Number()))
	}
	return chart{Title: title, SVG: out.done()}
}

// weekChart shows when requests come: a dot's area is their number.
func weekChart(t *reports.Table, lang string) chart {
	const row, left, radius = 22, 9.0, 6.6
	title := Word{"Когда поступают запросы: площадь точки — их число", "When requests come: a dot's area is their number"}.In(lang)
	top := int64(1)
	for _, r := range t.Rows {
		for _, v := range r[1:] {
			top = max(top, v.Number())
		}
	}
	out := open(row*len(t.Rows)+22, title)
	width := (100 - left) / 24
	for d, r := range t.Rows {
		y := d*row + row/2
		out.rule("grid", left, 100, y, y)
		out.text("start", 0, y+4, Show(t, 0, r[0], lang))
		for h, v := range r[1:] {
			if v.Number() == 0 {
				continue
			}
			fmt.Fprintf(out, `<circle class="c1" cx="%s" cy="%d" r="%.1f"><title>%s</title></circle>`, pc(left+width*(float64(h)+.5)), y, max(radius*math.Sqrt(float64(v.Number())/float64(top)), .8),
				template.HTMLEscapeString(fmt.Sprintf("%s %s: %s", Show(t, 0, r[0], lang), t.Columns[h+1].Name, grouped(v.Number()))))
		}
	}
	for h := 0; h < 24; h += 3 {
		out.text("middle", left+width*(float64(h)+.5), row*len(t.Rows)+15, fmt.Sprintf("%02d", h))
	}
	return chart{Title: title, SVG: out.done()}
}
