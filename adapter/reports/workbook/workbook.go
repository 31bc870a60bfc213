// Package workbook writes a report as a workbook (XLSX). It stands apart from
// adapter/reports/paper because the library that knows the format can open
// connections, and the auditor's offline program has nothing that could.
package workbook

import (
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"

	"mezhved/adapter/reports"
	"mezhved/adapter/reports/paper"
)

// ContentType is a workbook's media type.
const ContentType = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

// Write writes a workbook: a sheet that says what it is, and one for each
// table. Numbers, shares, lengths of time and moments are numbers to the program that
// opens it; texts are texts, whatever they begin with.
func Write(w io.Writer, r *reports.Report, lang string) error {
	v := paper.AboutOf(r, lang)
	book := excelize.NewFile()
	defer book.Close()
	b := &workbook{File: book, lang: v.Lang}
	about := b.word("Отчёт", "Report")
	b.must(book.SetSheetName("Sheet1", about))
	bold := b.style(&excelize.Style{Font: &excelize.Font{Bold: true}})
	for i, line := range append([][2]string{{about, v.Title}}, v.Lines(r)...) {
		b.must(book.SetCellStr(about, cellName(1, i+1), line[0]))
		b.must(book.SetCellStr(about, cellName(2, i+1), line[1]))
	}
	b.must(book.SetColStyle(about, "A", bold))
	b.must(book.SetColWidth(about, "A", "A", 22))
	b.must(book.SetColWidth(about, "B", "B", 90))
	head := b.style(&excelize.Style{Font: &excelize.Font{Bold: true}, Alignment: &excelize.Alignment{WrapText: true, Vertical: "top"}})
	long, when := "[h]:mm:ss.000", "yyyy-mm-dd hh:mm:ss"
	styles := map[reports.Unit]int{reports.Count: b.style(&excelize.Style{NumFmt: 3}), reports.Percent: b.style(&excelize.Style{NumFmt: 10}),
		reports.Duration: b.style(&excelize.Style{CustomNumFmt: &long}), reports.Time: b.style(&excelize.Style{CustomNumFmt: &when})}
	for _, t := range r.Tables {
		b.sheet(t, paper.TableTitle(t).In(v.Lang), head, styles)
	}
	if b.err == nil {
		b.err = book.Write(w)
	}
	return b.err
}

// workbook keeps the first error.
type workbook struct {
	*excelize.File
	lang string
	err  error
}

func (b *workbook) must(err error) {
	if b.err == nil {
		b.err = err
	}
}

func (b *workbook) word(ru, en string) string { return paper.Word{RU: ru, EN: en}.In(b.lang) }

func (b *workbook) style(s *excelize.Style) int {
	id, err := b.NewStyle(s)
	b.must(err)
	return id
}

func cellName(column, row int) string {
	name, err := excelize.CoordinatesToCellName(column, row)
	if err != nil {
		panic(err) // both count from 1 and are small
	}
	return name
}

// sheetName is a title as a workbook takes it: without some signs, 31 at most.
func sheetName(title string) string {
	title = strings.NewReplacer(":", "", "\\", "", "/", "", "?", "", "*", "", "[", "", "]", "").Replace(title)
	for utf8.RuneCountInString(title) > excelize.MaxSheetNameLength {
		_, size := utf8.DecodeLastRuneInString(title)
		title = title[:len(title)-size]
	}
	return strings.TrimSpace(title)
}

func (b *workbook) sheet(t *reports.Table, title string, head int, styles map[reports.Unit]int) {
	name := sheetName(title)
	_, err := b.NewSheet(name)
	b.must(err)
	for c, column := range t.Columns {
		b.must(b.SetCellStr(name, cellName(c+1, 1), paper.ColumnTitle(t, column.Name).In(b.lang)))
	}
	last := cellName(len(t.Columns), 1)
	b.must(b.SetCellStyle(name, "A1", last, head))
	b.must(b.SetPanes(name, &excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}))
	for r, row := range t.Rows {
		for c, v := range row {
			at := cellName(c+1, r+2)
			switch {
			case !v.Given():
				if t.Total && r == len(t.Rows)-1 && c == 0 {
					b.must(b.SetCellStr(name, at, b.word("всего", "all")))
				}
				continue
			case t.Columns[c].Unit == reports.Text:
				b.must(b.SetCellStr(name, at, paper.Show(t, c, v, b.lang)))
				continue
			case t.Columns[c].Unit == reports.Count:
				b.must(b.SetCellInt(name, at, v.Number()))
			case t.Columns[c].Unit == reports.Percent:
				b.must(b.SetCellFloat(name, at, float64(v.Number())/10000, -1, 64))
			case t.Columns[c].Unit == reports.Duration:
				b.must(b.SetCellFloat(name, at, float64(v.Number())/float64(24*time.Hour/time.Millisecond), -1, 64))
			default: // a workbook's times have no zone: as the clocks there showed it
				local := time.UnixMilli(v.Number()).In(t.Zone())
				b.must(b.SetCellValue(name, at, time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), time.UTC)))
			}
			b.must(b.SetCellStyle(name, at, at, styles[t.Columns[c].Unit]))
		}
	}
	for c := range t.Columns {
		column, err := excelize.ColumnNumberToName(c + 1)
		b.must(err)
		width := 14.0
		if t.Columns[c].Unit == reports.Text {
			width = 24
		}
		if t.Name == "week" && c > 0 {
			width = 7
		}
		if t.Columns[c].Name == "messageId" {
			width = 40
		}
		b.must(b.SetColWidth(name, column, column, width))
	}
}
