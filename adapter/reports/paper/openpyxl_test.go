package paper_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"mezhved/adapter/reports"
	"mezhved/adapter/reports/paper"
	"mezhved/adapter/reports/workbook"
)

// readBook is what somebody else's reader makes of a workbook: the cells of each sheet,
// each as its type and its value.
const readBook = `
import sys, json, datetime, openpyxl
def cell(c):
    v = c.value
    if v is None:
        return ""
    if c.data_type == "f":
        return "formula " + str(v)
    if isinstance(v, datetime.timedelta):
        return "ms %d" % round(v.total_seconds() * 1000)
    if isinstance(v, datetime.time): # less than a day
        return "ms %d" % (((v.hour * 60 + v.minute) * 60 + v.second) * 1000 + round(v.microsecond / 1000))
    if isinstance(v, datetime.datetime):
        v = v + datetime.timedelta(milliseconds=500)
        return "at " + v.replace(microsecond=0).isoformat()
    if isinstance(v, str):
        return "text " + v
    return ("share %.6f" % v) if "%" in c.number_format else ("n %d" % v)
book = openpyxl.load_workbook(sys.argv[1])
json.dump({s.title: [[cell(c) for c in row] for row in s.iter_rows()] for s in book.worksheets}, sys.stdout)
`

// openpyxl finds a Python that can read workbooks.
func openpyxl(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import openpyxl").Run() == nil {
			return python
		}
	}
	t.Skip("openpyxl is not installed (Debian: apt-get install python3-openpyxl): nobody else reads the workbooks")
	return ""
}

// Somebody else's reader finds in a workbook what the report says: numbers as numbers,
// shares as shares, lengths of time and moments as such, texts as texts and no formula.
func TestSomebodyElseReadsWorkbooks(t *testing.T) {
	python := openpyxl(t)
	dir := t.TempDir()
	units := map[reports.Unit]bool{}
	for _, r := range made(t, 3) {
		var b bytes.Buffer
		if err := workbook.Write(&b, r, "ru"); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, string(r.Question.Kind)+".xlsx")
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(python, "-c", readBook, name).Output()
		if err != nil {
			t.Fatalf("%s: %v", r.Question.Kind, err)
		}
		var sheets map[string][][]string
		if err := json.Unmarshal(out, &sheets); err != nil {
			t.Fatal(err)
		}
		if len(sheets) != len(r.Tables)+1 {
			t.Errorf("%s: %d sheets, want %d", r.Question.Kind, len(sheets), len(r.Tables)+1)
		}
		for _, table := range r.Tables {
			rows := sheets[paper.TableTitle(table).RU]
			if len(rows) != len(table.Rows)+1 {
				t.Errorf("%s, %s: %d rows, want %d", r.Question.Kind, table.Name, len(rows), len(table.Rows)+1)
				continue
			}
			for y, row := range table.Rows {
				for x, v := range row {
					unit := table.Columns[x].Unit
					want := ""
					switch {
					case !v.Given() && table.Total && y == len(table.Rows)-1 && x == 0:
						want = "text всего"
					case !v.Given():
					case unit == reports.Text:
						if want = paper.Show(table, x, v, "ru"); want != "" {
							want = "text " + want
						}
					case unit == reports.Count:
						want = fmt.Sprintf("n %d", v.Number())
					case unit == reports.Percent:
						want = fmt.Sprintf("share %.6f", float64(v.Number())/10000)
					case unit == reports.Duration:
						want = fmt.Sprintf("ms %d", v.Number())
					default:
						want = "at " + time.UnixMilli(v.Number()+500).In(table.Zone()).Format("2006-01-02T15:04:05")
					}
					units[unit] = units[unit] || want != ""
					if got := rows[y+1][x]; got != want {
						t.Errorf("%s, %s, row %d, %s: %q, want %q", r.Question.Kind, table.Name, y, table.Columns[x].Name, got, want)
					}
				}
			}
		}
	}
	for _, unit := range []reports.Unit{reports.Text, reports.Count, reports.Percent, reports.Duration, reports.Time} {
		if !units[unit] {
			t.Errorf("no report had a cell of unit %v: nothing was tried", unit)
		}
	}
}
