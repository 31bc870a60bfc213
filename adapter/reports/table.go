package reports

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Unit is what the values of a column are.
type Unit uint8

// The units. In JSON a length of time is a number of seconds, a share a number of
// percents, a moment a text as RFC 3339 has it.
const (
	Text Unit = iota
	Count
	Duration // milliseconds
	Percent  // hundredths of a percent: Share
	Time     // milliseconds since 1970
)

// Column is a column of a table. Its name is stable: it is what JSON and CSV call it.
type Column struct {
	Name string
	Unit Unit
}

// Value is one value of a table; the zero value is none.
type Value struct {
	text  string
	n     int64
	given bool
}

func textOf(s string) Value   { return Value{text: s, given: true} }
func numberOf(n int64) Value  { return Value{n: n, given: true} }
func (v Value) Given() bool   { return v.given }
func (v Value) Text() string  { return v.text }
func (v Value) Number() int64 { return v.n }

// Table is a part of a report.
type Table struct {
	Name    string
	Columns []Column
	Rows    [][]Value
	Total   bool // the last row is that of all the others together

	zone *time.Location
}

// Column is the number of a column.
func (t *Table) Column(name string) int {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return i
		}
	}
	panic("reports: table " + t.Name + " has no column " + name)
}

// Zone is that of the table's moments.
func (t *Table) Zone() *time.Location { return t.zone }

// Plain is a value as programs read it: in CSV, and without its quotes in JSON. A
// value that is none is empty.
func (t *Table) Plain(column int, v Value) string {
	if !v.given {
		return ""
	}
	switch t.Columns[column].Unit {
	case Count:
		return strconv.FormatInt(v.n, 10)
	case Duration:
		return decimal(v.n, 3)
	case Percent:
		return decimal(v.n, 2)
	case Time:
		return time.UnixMilli(v.n).In(t.zone).Format("2006-01-02T15:04:05.000Z07:00")
	}
	return v.text
}

// appendJSON writes a table as an object with name and rows; a row is an object with
// the names of the columns in their order, and has a line of its own.
func (t *Table) appendJSON(b []byte) []byte {
	quoted := func(s string) {
		q, _ := json.Marshal(s) // a string has no error
		b = append(b, q...)
	}
	b = append(b, "\n{\"name\":"...)
	quoted(t.Name)
	b = append(b, ",\"rows\":["...)
	for r, row := range t.Rows {
		if r > 0 {
			b = append(b, ',')
		}
		b = append(b, "\n{"...)
		for c, v := range row {
			if c > 0 {
				b = append(b, ',')
			}
			quoted(t.Columns[c].Name)
			b = append(b, ':')
			switch plain := t.Plain(c, v); {
			case !v.given:
				b = append(b, "null"...)
			case t.Columns[c].Unit == Text, t.Columns[c].Unit == Time:
				quoted(plain)
			default:
				b = append(b, plain...)
			}
		}
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

// decimal writes n divided by ten to the power of places.
func decimal(n int64, places int) string {
	sign, unit := "", int64(1)
	if n < 0 {
		sign, n = "-", -n
	}
	for range places {
		unit *= 10
	}
	return fmt.Sprintf("%s%d.%0*d", sign, n/unit, places, n%unit)
}

// share is part of whole in hundredths of a percent, rounded half up; none of nothing.
func share(part, whole int64) Value {
	if whole == 0 {
		return Value{}
	}
	return numberOf((part*20000 + whole) / (2 * whole))
}
