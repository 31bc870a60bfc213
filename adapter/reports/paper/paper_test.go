package paper_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/csv"
	"encoding/xml"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/reports"
	"mezhved/adapter/reports/paper"
	"mezhved/adapter/reports/workbook"

	"github.com/xuri/excelize/v2"
)

// evil is a name that somebody might bring into the log.
const evil = `=HYPERLINK("x")<script>alert(1)</script>"'><svg onload=x>`

type leaves [][]byte

func (l leaves) Tile(_ context.Context, level int, n int64, width int) (out []byte, err error) {
	if level != journal.EntriesLevel || n*journal.TileWidth+int64(width) > int64(len(l)) {
		return nil, fs.ErrNotExist
	}
	for _, leaf := range l[n*journal.TileWidth:][:width] {
		out = journal.AppendEntry(out, leaf)
	}
	return out, nil
}

// made makes a report of each kind of a log in which everything is called evil.
func made(t *testing.T, days int) (all []*reports.Report) {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Moscow")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 3, 2, 9, 0, 0, 0, zone)
	var log leaves
	tell := func(e journal.Event) {
		leaf, _, err := journal.NewLeaf(e, journal.Drawn(rand.Reader))
		if err != nil {
			t.Fatal(err)
		}
		leaf.Logged, leaf.Prev = e.Time, journal.NoEntry
		log = append(log, leaf.Append(nil))
	}
	for i := range days {
		at := start.AddDate(0, 0, i)
		e := journal.Event{Kind: journal.KindAccepted, Time: at, MessageID: fmt.Sprint(evil, i), Direction: "request", Sender: evil, Recipient: evil, Service: evil, Version: evil, Deadline: at.Add(time.Hour)}
		tell(e)
		if e.Kind, e.Time = journal.KindQueued, at.Add(time.Second); i%2 == 0 {
			tell(e)
			e.Kind, e.Time, e.Outcome = journal.KindAnswered, at.Add(time.Duration(i)*20*time.Minute), "response"
			tell(e)
		}
		tell(journal.Event{Kind: journal.KindRefused, Time: at, Operation: "SendRequest", Sender: evil, Service: evil, Outcome: evil, Rule: fmt.Sprint(evil, i%15)})
	}
	for _, kind := range reports.Kinds {
		q := reports.Question{Kind: kind, Period: reports.Period{From: start.Add(-9 * time.Hour), To: start.AddDate(0, 0, days)}, Zone: zone, Tests: reports.With, Party: evil}
		r, err := reports.Make(context.Background(), q, log, reports.Log{Origin: "log", Size: int64(len(log))}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func written(t *testing.T, r *reports.Report, form paper.Form, lang string) string {
	t.Helper()
	var b bytes.Buffer
	if err := paper.Write(&b, form, r, paper.Options{Lang: lang, Named: func(string) string { return evil }}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Whatever stands in the log is only text on a page, in a picture, and to a spreadsheet.
func TestWhatTheLogSaysIsOnlyText(t *testing.T) {
	for _, r := range made(t, 40) {
		for _, lang := range []string{"ru", "en"} {
			page := written(t, r, paper.HTML, lang)
			if strings.Contains(page, "<script") || strings.Contains(page, "<svg onload") {
				t.Errorf("%s: markup of the log's stands in the page", r.Question.Kind)
			}
			for _, picture := range regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page, -1) {
				d := xml.NewDecoder(strings.NewReader(picture))
				for {
					_, err := d.Token()
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Fatalf("%s: a picture is no XML: %v\n%s", r.Question.Kind, err, picture)
					}
				}
			}
			if words := regexp.MustCompile(`>(dueToday|openLate|forecastLate|answeredMedian|messageId|weekday|inTime)<`).FindString(page); words != "" {
				t.Errorf("%s in %s: %s has no word", r.Question.Kind, lang, words)
			}
		}
		for _, table := range r.Tables {
			var b bytes.Buffer
			if err := paper.Write(&b, paper.CSV, r, paper.Options{Table: table.Name}); err != nil {
				t.Fatal(err)
			}
			rows, err := csv.NewReader(&b).ReadAll()
			if err != nil || len(rows) != len(table.Rows)+1 {
				t.Fatalf("%s: %d lines of CSV, %v", table.Name, len(rows), err)
			}
			for _, row := range rows {
				for _, cell := range row {
					if strings.HasPrefix(cell, "=") {
						t.Errorf("%s: a formula: %s", table.Name, cell)
					}
				}
			}
		}
		var b bytes.Buffer
		if err := workbook.Write(&b, r, "ru"); err != nil {
			t.Fatal(err)
		}
		book, err := excelize.OpenReader(&b)
		if err != nil {
			t.Fatal(err)
		}
		if sheets := book.GetSheetList(); len(sheets) != len(r.Tables)+1 {
			t.Errorf("%s: the workbook has sheets %q", r.Question.Kind, sheets)
		}
		for _, table := range r.Tables { // no sheet's name is cut off
			if title := paper.TableTitle(table).RU; !slices.Contains(book.GetSheetList(), title) {
				t.Errorf("%s: no sheet is named %q: %q", r.Question.Kind, title, book.GetSheetList())
			}
		}
		for _, sheet := range book.GetSheetList() {
			rows, err := book.GetRows(sheet)
			if err != nil {
				t.Fatal(err)
			}
			for y, row := range rows {
				for x := range row {
					name, err := excelize.CoordinatesToCellName(x+1, y+1)
					if err != nil {
						t.Fatal(err)
					}
					if formula, err := book.GetCellFormula(sheet, name); err != nil || formula != "" {
						t.Errorf("%s %s is the formula %q (%v)", sheet, name, formula, err)
					}
				}
			}
		}
		if err := paper.Write(io.Discard, paper.CSV, r, paper.Options{Table: "none"}); err == nil || !strings.Contains(err.Error(), r.Tables[0].Name) {
			t.Errorf("a table that is not there: %v", err)
		}
	}
}

// A picture of a year has bars of weeks, and each picture stands in one section with
// its table.
func TestPicturesHaveTheirTables(t *testing.T) {
	for days, weekly := range map[int]bool{40: false, 300: true} {
		page := written(t, made(t, days)[0], paper.HTML, "ru")
		if strings.Contains(page, "по неделям") != weekly {
			t.Errorf("%d days: by weeks: %t, want %t", days, !weekly, weekly)
		}
		for _, section := range strings.Split(page, `<section class="figures">`)[1:] {
			if strings.Contains(section, "<figure>") && !strings.Contains(section, "<table>") {
				t.Errorf("%d days: a picture without a table: %.300s", days, section)
			}
		}
		if n := strings.Count(page, `role="img"`); n != 7 {
			t.Errorf("%d days: %d pictures", days, n)
		}
	}
}

func TestNumbersForReaders(t *testing.T) {
	r := made(t, 3)[0]
	text := written(t, r, paper.Text, "en")
	for _, want := range []string{"Services: work and load", "33.33\u00a0%", "1.0\u00a0s"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if ru := written(t, r, paper.Text, "ru"); !strings.Contains(ru, "33,33\u00a0%") || !strings.Contains(ru, "1,0\u00a0с") {
		t.Errorf("in Russian:\n%s", ru)
	}
}

// Who reads the text sees what each line of its head is, and how a mark is made, in his
// language; a workbook says the same.
func TestTheHeadIsUnderstood(t *testing.T) {
	all := made(t, 3)
	for _, r := range all {
		text := written(t, r, paper.Text, "ru")
		for _, want := range []string{"\nПериод: ", "\nЖурнал: " + r.Log.Origin + "\n", "\nЗаписей: ", "\nКорень: " + r.Log.Root.String() + "\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in\n%s", want, text)
			}
		}
	}
	rating := all[slices.IndexFunc(all, func(r *reports.Report) bool { return r.Question.Kind == reports.Rating })]
	var b bytes.Buffer
	if err := workbook.Write(&b, rating, "ru"); err != nil {
		t.Fatal(err)
	}
	book, err := excelize.OpenReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	head, err := book.GetRows(book.GetSheetName(0))
	if err != nil {
		t.Fatal(err)
	}
	for form, told := range map[string]string{"text": written(t, rating, paper.Text, "ru"), "page": written(t, rating, paper.HTML, "ru"), "workbook": fmt.Sprint(head)} {
		if !strings.Contains(told, "оценка = 0,7·T") || strings.Contains(told, "requests") {
			t.Errorf("%s: the formula is not told in Russian:\n%s", form, told)
		}
	}
	if text := written(t, rating, paper.Text, "en"); !strings.Contains(text, "How it is made: "+reports.RatingFormula) {
		t.Errorf("in English:\n%s", text)
	}
}
