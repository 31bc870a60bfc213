package reference

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"mezhved/envelopes/xmltape"
)

// Table is a file of rows, whatever it was written in.
type Table struct {
	Columns []string
	Rows    []Line
}

// Line is a row with its place in the file.
type Line struct {
	Number int
	Values []string // as many as there are columns
}

// Bounds of a file that is imported.
const (
	mostTable   = 64 << 20 // bytes
	mostColumns = 200
	mostLines   = 10 // breaks in a value of CSV: what is longer is an open quotation mark that takes all rows behind it
)

// ReadTable reads CSV, with a comma, a semicolon or a tab between values, or XML, in UTF-8.
// Of XML the rows are the elements of the name that one parent has most of; their columns
// are attributes and child elements, by local names, and for children with an attribute
// attribute-ref, as ЕСНСИ writes them, by that.
func ReadTable(src []byte) (*Table, error) {
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	switch {
	case len(src) > mostTable:
		return nil, fmt.Errorf("the file has %d bytes, %d are read at most", len(src), mostTable)
	case bytes.HasPrefix(src, []byte("\xff\xfe")), bytes.HasPrefix(src, []byte("\xfe\xff")):
		return nil, errors.New("the file is UTF-16: bring it into UTF-8 first (iconv -f utf-16 -t utf-8)")
	case !utf8.Valid(src):
		return nil, errors.New("the file is not UTF-8: bring it into it first (iconv -f cp1251 -t utf-8)")
	case bytes.HasPrefix(bytes.TrimSpace(src), []byte("<")):
		return readXML(src)
	}
	return readCSV(src)
}

func readCSV(src []byte) (*Table, error) {
	head, _, _ := bytes.Cut(src, []byte("\n"))
	r := csv.NewReader(bytes.NewReader(src))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	for _, sep := range []rune{';', '\t', ','} {
		if n := bytes.Count(head, []byte(string(sep))); n > bytes.Count(head, []byte(string(r.Comma))) {
			r.Comma = sep
		}
	}
	t := &Table{}
	for {
		values, err := r.Read()
		switch {
		case err == io.EOF && t.Columns == nil:
			return nil, errors.New("the file is empty")
		case err == io.EOF:
			return t, nil
		case err != nil:
			return nil, err
		}
		for i := range values {
			values[i] = strings.TrimSpace(values[i])
		}
		if t.Columns == nil {
			if t.Columns = values; len(values) > mostColumns {
				return nil, fmt.Errorf("there are %d columns, %d are read at most", len(values), mostColumns)
			}
			continue
		}
		line, _ := r.FieldPos(0)
		for i, v := range values {
			if n := strings.Count(v, "\n"); n > mostLines {
				at, _ := r.FieldPos(i)
				return nil, fmt.Errorf("line %d: a value goes on for %d lines: a quotation mark is not closed", at, n+1)
			}
		}
		if len(values) > len(t.Columns) {
			return nil, fmt.Errorf("line %d has %d values, the head has %d columns", line, len(values), len(t.Columns))
		}
		t.Rows = append(t.Rows, Line{line, append(values, make([]string, len(t.Columns)-len(values))...)})
	}
}

func readXML(src []byte) (*Table, error) {
	var tape xmltape.Tape
	if err := tape.Parse(src, xmltape.Limits{Size: mostTable + 1, Tokens: 20_000_000, Names: 100_000}); err != nil {
		return nil, err
	}
	parent, name, most := xmltape.Node{}, xmltape.NameID(0), 0
	for i := range tape.Tokens {
		if tape.Tokens[i].Kind != xmltape.Start {
			continue
		}
		counts := map[xmltape.NameID]int{}
		for c := range tape.NodeAt(i).Children() {
			if _, cell := c.Attr("", "attribute-ref"); cell {
				continue
			}
			if n := c.Name(); c.First().Valid() || c.Token().NAttr > 0 {
				if counts[n]++; counts[n] > most {
					parent, name, most = tape.NodeAt(i), n, counts[n]
				}
			}
		}
	}
	if most == 0 {
		return nil, errors.New("there are no rows: elements with attributes or children under one parent are expected")
	}
	t := &Table{}
	put := func(line *Line, column, value string) {
		i := slices.Index(t.Columns, column)
		if i < 0 && len(t.Columns) > mostColumns {
			return // it is refused below
		}
		if i < 0 {
			i = len(t.Columns)
			t.Columns = append(t.Columns, column)
		}
		for len(line.Values) <= i {
			line.Values = append(line.Values, "")
		}
		line.Values[i] = strings.TrimSpace(value)
	}
	for row := range parent.Children() {
		if row.Name() != name {
			continue
		}
		off, _ := row.Range()
		line := Line{}
		line.Number, _ = tape.Position(off)
		tok := row.Token()
		for _, a := range tape.Attrs[tok.Attr : tok.Attr+uint32(tok.NAttr)] {
			_, local := tape.AttrName(&a)
			put(&line, string(local), string(tape.AttrValue(&a, nil)))
		}
		for c := range row.Children() {
			column := c.Local()
			if ref, ok := c.Attr("", "attribute-ref"); ok {
				column = ref
			}
			value := c.TrimText()
			if first := c.First(); value == "" && first.Valid() {
				value = first.TrimText()
			}
			put(&line, column, value)
		}
		t.Rows = append(t.Rows, line)
	}
	if len(t.Columns) > mostColumns {
		return nil, fmt.Errorf("there are %d columns, %d are read at most: these are no rows of one table", len(t.Columns), mostColumns)
	}
	for i := range t.Rows {
		t.Rows[i].Values = append(t.Rows[i].Values, make([]string, len(t.Columns)-len(t.Rows[i].Values))...)
	}
	return t, nil
}

// column finds a column: the one that is named or, with no name, the first of those that
// people call so.
func (t *Table) column(named string, called []string) (int, error) {
	same := func(a, b string) bool { return strings.EqualFold(strings.TrimSpace(a), b) }
	if named != "" {
		if i := slices.IndexFunc(t.Columns, func(c string) bool { return same(c, named) }); i >= 0 {
			return i, nil
		}
		return -1, fmt.Errorf("there is no column %q; there are %s", named, strings.Join(t.Columns, ", "))
	}
	for _, name := range called {
		if i := slices.IndexFunc(t.Columns, func(c string) bool { return same(c, name) }); i >= 0 {
			return i, nil
		}
	}
	return -1, nil
}

// write makes CSV of our own form.
func write(head []string, rows [][]string) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write(head)
	w.WriteAll(rows) // into memory, it does not fail
	return b.Bytes()
}
