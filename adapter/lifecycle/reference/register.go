package reference

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Register is one version of the register of kinds of data.
type Register struct {
	Version string
	entries []Entry
}

// Entry is one kind of data, or one version of it, as the register has it.
type Entry struct {
	Line                                             int
	Code, Title, Namespace, Version, Provider, State string
	From, To                                         time.Time
}

// Claim is what a service says of itself.
type Claim struct {
	Code, Title, Namespace, Version string
	Providers                       []string // mnemonics and names
	InUse                           bool
}

var registerHead = []string{"code", "title", "namespace", "version", "provider", "status", "from", "to"}

// RegisterColumns names the columns of a register that is imported; empty: what people
// call so.
type RegisterColumns struct{ Code, Title, Namespace, Version, Provider, Status, From, To string }

// rowsSeen finds rows that stand twice, and counts its steps: a register has hundreds of
// thousands of rows, and each is looked for once.
type rowsSeen struct {
	known map[[4]string]bool
	steps int
}

func (s *rowsSeen) twice(row [4]string) bool {
	s.steps++
	before := s.known[row]
	s.known[row] = true
	return before
}

// ImportRegister brings a file into the form of a register.
func ImportRegister(src []byte, c RegisterColumns) (*Imported, error) {
	t, err := ReadTable(src)
	if err != nil {
		return nil, err
	}
	code, err := t.need("code", c.Code, calledCode)
	if err != nil {
		return nil, err
	}
	at := []int{code}
	for _, one := range []struct {
		named  string
		called []string
	}{
		{c.Title, calledTitle}, {c.Namespace, []string{"namespace", "пространство имён", "пространство имен", "ns", "uri"}}, {c.Version, []string{"version", "версия"}},
		{c.Provider, []string{"provider", "поставщик", "мнемоника", "мнемоника поставщика", "владелец"}}, {c.Status, []string{"status", "state", "статус", "состояние"}}, {c.From, calledFrom}, {c.To, calledTo},
	} {
		i, err := t.column(one.named, one.called)
		if err != nil {
			return nil, err
		}
		at = append(at, i)
	}
	out := &Imported{}
	out.Used, out.Left = t.split(at...)
	var lines [][]string
	seen := rowsSeen{known: map[[4]string]bool{}}
	for _, l := range t.Rows {
		line := make([]string, len(at))
		for i, column := range at {
			if column >= 0 {
				line[i] = l.Values[column]
			}
		}
		for _, i := range []int{6, 7} {
			day, err := dayOf(line[i])
			if err != nil {
				out.Problems = append(out.Problems, Problem{Line: l.Number, Form: "%q is no day such as 2026-03-02 or 02.03.2026", Args: []any{line[i]}})
			}
			line[i] = dayText(day)
		}
		if line[0] == "" {
			out.Problems = append(out.Problems, Problem{Line: l.Number, Form: "the code is empty"})
		}
		if seen.twice([4]string(line[:4])) {
			out.Problems = append(out.Problems, Problem{Line: l.Number, Form: "%s %s stands there twice", Args: []any{line[0], line[3]}})
		}
		lines = append(lines, line)
	}
	out.Rows, out.steps = len(lines), seen.steps
	if len(lines) == 0 {
		out.Problems = append(out.Problems, Problem{Form: "there is no row"})
	}
	if len(out.Problems) == 0 {
		out.File = write(registerHead, lines)
	}
	return out, nil
}

// ParseRegister reads a register in our form.
func ParseRegister(version string, src []byte) (*Register, error) {
	t, err := ReadTable(src)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(t.Columns, registerHead) {
		return nil, fmt.Errorf("the head is %s, %s is expected: bring the file into this form with mezhved services register import", strings.Join(t.Columns, ","), strings.Join(registerHead, ","))
	}
	r := &Register{Version: version}
	for _, l := range t.Rows {
		v := l.Values
		e := Entry{Line: l.Number, Code: v[0], Title: v[1], Namespace: v[2], Version: v[3], Provider: v[4], State: v[5]}
		var err1, err2 error
		e.From, err1 = dayOf(v[6])
		e.To, err2 = dayOf(v[7])
		if err := cmp.Or(err1, err2); err != nil {
			return nil, fmt.Errorf("line %d: %w", l.Number, err)
		}
		r.entries = append(r.entries, e)
	}
	return r, nil
}

// Rows is how many entries there are.
func (r *Register) Rows() int { return len(r.entries) }

// Difference is what a service and the register say differently. What names the setting.
type Difference struct {
	What           string // code, title, namespace, version, provider, status, dates
	Service, Entry string
	Line           int // of the register
}

// Check holds a service against the register, on a day. Its entry is that of its code
// and version, else of its namespace, else of its code; nil with no differences when it
// names no code and the register does not know its namespace.
func (r *Register) Check(c Claim, day time.Time) (*Entry, []Difference) {
	e := r.find(c)
	if e == nil {
		return nil, []Difference{{What: "code", Service: cmp.Or(c.Code, c.Namespace)}}
	}
	var out []Difference
	differ := func(what, service, entry string) {
		if entry != "" && fold(service) != fold(entry) {
			out = append(out, Difference{what, service, entry, e.Line})
		}
	}
	if c.Code != "" {
		differ("code", c.Code, e.Code)
	}
	differ("title", c.Title, e.Title)
	differ("namespace", c.Namespace, e.Namespace)
	differ("version", c.Version, e.Version)
	if e.Provider != "" && !slices.ContainsFunc(c.Providers, func(p string) bool { return fold(p) == fold(e.Provider) }) {
		out = append(out, Difference{"provider", strings.Join(c.Providers, ", "), e.Provider, e.Line})
	}
	if c.InUse {
		if row := (Row{From: e.From, To: e.To}); !row.Used(day) {
			out = append(out, Difference{"dates", day.Format(time.DateOnly), dayText(e.From) + "…" + dayText(e.To), e.Line})
		}
		if slices.Contains([]string{"closed", "retired", "закрыт", "закрыто", "архив", "архивный", "выведен", "выведен из эксплуатации", "недействующий", "не действует"}, fold(e.State)) {
			out = append(out, Difference{"status", "in use", e.State, e.Line})
		}
	}
	return e, out
}

func (r *Register) find(c Claim) *Entry {
	var found *Entry
	for i := range r.entries {
		e := &r.entries[i]
		switch {
		case c.Code != "" && fold(e.Code) == fold(c.Code) && (e.Version == "" || fold(e.Version) == fold(c.Version)):
			return e
		case e.Namespace != "" && e.Namespace == c.Namespace, found == nil && c.Code != "" && fold(e.Code) == fold(c.Code):
			found = e
		}
	}
	return found
}

// Absent are the entries of a provider that no claim is about: kinds of data that the
// register expects and this bus does not have.
func (r *Register) Absent(found []*Entry, known func(provider string) bool) (out []Entry) {
	for i := range r.entries {
		e := &r.entries[i]
		if !slices.Contains(found, e) && known(e.Provider) {
			out = append(out, *e)
		}
	}
	return out
}

// fold is a text as it is compared: letters of one case, ё as е, quotation marks and
// white space left out of account.
func fold(s string) string {
	s = strings.NewReplacer("ё", "е", "«", `"`, "»", `"`, "“", `"`, "”", `"`, "\u00a0", " ").Replace(strings.ToLower(s))
	return strings.Join(strings.Fields(s), " ")
}
