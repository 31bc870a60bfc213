package yamlfile

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Finding is one mistake, or one warning, in a file that an operator wrote.
type Finding struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"` // from 1; 0: the whole file
	Col     int    `json:"col,omitempty"`
	Warning bool   `json:"warning,omitempty"`
	Sample  bool   `json:"sample,omitempty"` // in a sample: people read those, a gateway does not
	Gate    bool   `json:"gate,omitempty"`   // a version is back at the stage test because of it
	Text    string `json:"text"`

	TextRussian string `json:"-"` // empty: there is none
	inRussian   bool
}

// Russian is the finding with its text in Russian, as far as there is one: what
// the system or a library says is in its own words.
func (f Finding) Russian() Finding {
	if f.TextRussian != "" {
		f.Text = f.TextRussian
	}
	f.inRussian = true
	return f
}

// NewFinding is a Finding that says something, at the setting named by path.
func NewFinding(file, path, format string, args ...any) Finding {
	s := &saying{format, args}
	f := Finding{File: file, Text: s.Error(), TextRussian: s.Russian()}
	if path != "" {
		f.Text, f.TextRussian = path+": "+f.Text, path+": "+f.TextRussian
	}
	return f
}

func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Col)
	}
	b.WriteString(": ")
	if f.Warning {
		b.WriteString(map[bool]string{false: "warning: ", true: "предупреждение: "}[f.inRussian])
	}
	b.WriteString(f.Text)
	return b.String()
}

// Findings are all mistakes of a set of files, as an error.
type Findings []Finding

func (f Findings) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

// Errors are the findings that are not warnings.
func (f Findings) Errors() Findings {
	var out Findings
	for _, one := range f {
		if !one.Warning {
			out = append(out, one)
		}
	}
	return out
}

// File is a YAML file being read into a struct. It collects every mistake
// instead of stopping at the first, and remembers where each value stands, so
// that checks made later can still point at it.
type File struct {
	Name     string
	Broken   bool              // not YAML at all: what was read means nothing
	Findings Findings          // so far
	at       map[string][2]int // dotted path of a value -> line and column
	other    map[string]string // dotted path of a value -> where it stands instead of in this file
}

// Size is a number of bytes; in files it is written as 512, 64KB or 5MB (powers of 1024).
type Size int64

// Period is a length of time; in files it is written as in Go with days added: 90s, 15m, 24h, 30d.
type Period time.Duration

// D is the period as the standard library has it.
func (p Period) D() time.Duration { return time.Duration(p) }

var (
	sizeType   = reflect.TypeFor[Size]()
	periodType = reflect.TypeFor[Period]()
)

// New is a file of that name of which nothing is read yet.
func New(name string) *File {
	return &File{Name: name, at: map[string][2]int{}, other: map[string]string{}}
}

// Read reads the file into v, a pointer to a struct with yaml tags. An unreadable file
// is a finding like any other.
func Read(name string, v any) *File {
	f := New(name)
	src, err := os.ReadFile(name)
	if err != nil {
		f.Broken = true
		f.Findings = append(f.Findings, Finding{File: name, Text: errors.Unwrap(err).Error()})
		return f
	}
	f.Decode(src, v)
	return f
}

// Decode reads what stands in the file into v.
func (f *File) Decode(src []byte, v any) {
	file, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey()) // told of below, with its full name
	if err != nil {
		f.Broken = true
		found := Finding{File: f.Name, Text: err.Error()}
		var se yaml.Error
		if errors.As(err, &se) {
			found.Text = se.GetMessage()
			if tk := se.GetToken(); tk != nil && tk.Position != nil {
				found.Line, found.Col = tk.Position.Line, tk.Position.Column
			}
		}
		f.Findings = append(f.Findings, found)
		return
	}
	if len(file.Docs) > 1 {
		f.Findings = append(f.Findings, NewFinding(f.Name, "", "only one document is expected in this file: it is divided by ---"))
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return
	}
	f.value("", file.Docs[0].Body, reflect.ValueOf(v).Elem())
}

// Errorf reports a mistake at the value with the dotted path, or the nearest
// value round it that the file has.
func (f *File) Errorf(path, format string, args ...any) { f.find(false, path, format, args...) }

// Warnf is Errorf for what is allowed but looks wrong.
func (f *File) Warnf(path, format string, args ...any) { f.find(true, path, format, args...) }

func (f *File) find(warning bool, path, format string, args ...any) {
	one := NewFinding(f.Name, path, format, args...)
	one.Warning = warning
	for p := path; ; {
		if place, ok := f.other[p]; ok {
			one.File = place
			break
		}
		if at, ok := f.at[p]; ok {
			one.Line, one.Col = at[0], at[1]
			break
		}
		i := strings.LastIndexByte(p, '.')
		if i < 0 {
			break
		}
		p = p[:i]
	}
	f.Findings = append(f.Findings, one)
}

// Has reports whether the file itself gave the value.
func (f *File) Has(path string) bool { _, ok := f.at[path]; return ok }

// Override gives a value, a text or a list of them divided by commas, that stands
// elsewhere, under the name of that place. What the file says there does not count.
func (f *File) Override(path string, v reflect.Value, text, place string) {
	for p := range f.at {
		if p == path || strings.HasPrefix(p, path+".") {
			delete(f.at, p)
		}
	}
	f.other[path] = place
	if v.Kind() == reflect.String {
		v.SetString(text)
		return
	}
	list := reflect.MakeSlice(v.Type(), 0, 1)
	for one := range strings.SplitSeq(text, ",") {
		list = reflect.Append(list, reflect.ValueOf(strings.TrimSpace(one)).Convert(v.Type().Elem()))
	}
	v.Set(list)
}

// Origin says where a value stands: the file's name with the line, the name of another
// place, or nothing for a value that nobody gave.
func (f *File) Origin(path string) string {
	if place, there := f.other[path]; there {
		return place
	}
	if at, there := f.at[path]; there {
		return fmt.Sprintf("%s:%d", f.Name, at[0])
	}
	return ""
}

func (f *File) report(n ast.Node, format string, args ...any) {
	line, col := place(n)
	one := NewFinding(f.Name, "", format, args...)
	one.Line, one.Col = line, col
	f.Findings = append(f.Findings, one)
}

func place(n ast.Node) (line, col int) {
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		return tk.Position.Line, tk.Position.Column
	}
	return 0, 0
}

func (f *File) value(path string, n ast.Node, v reflect.Value) {
	if path != "" {
		line, col := place(n)
		f.at[path] = [2]int{line, col}
	}
	switch n := n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		f.report(n, "%s: anchors, aliases and tags are not used here", path)
		return
	case *ast.NullNode:
		return
	}
	switch {
	case v.Type() == sizeType:
		if s, ok := f.scalar(path, n); ok {
			size, err := ParseSize(s)
			f.note(path, n, err)
			v.SetInt(int64(size))
		}
	case v.Type() == periodType:
		if s, ok := f.scalar(path, n); ok {
			d, err := ParsePeriod(s)
			f.note(path, n, err)
			v.SetInt(int64(d))
		}
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.value(path, n, v.Elem())
	case v.Kind() == reflect.Struct:
		f.object(path, n, v)
	case v.Kind() == reflect.Map:
		out := reflect.MakeMap(v.Type())
		for key, val := range f.entries(path, n) {
			e := reflect.New(v.Type().Elem()).Elem()
			f.value(Join(path, key), val, e)
			out.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), e)
		}
		v.Set(out)
	case v.Kind() == reflect.Slice:
		seq, ok := n.(*ast.SequenceNode)
		if !ok { // one value stands for a list of one
			e := reflect.New(v.Type().Elem()).Elem()
			f.value(path, n, e)
			v.Set(reflect.Append(reflect.MakeSlice(v.Type(), 0, 1), e))
			return
		}
		out := reflect.MakeSlice(v.Type(), 0, len(seq.Values))
		for i, val := range seq.Values {
			e := reflect.New(v.Type().Elem()).Elem()
			f.value(Join(path, strconv.Itoa(i)), val, e)
			out = reflect.Append(out, e)
		}
		v.Set(out)
	default:
		f.plain(path, n, v)
	}
}

func (f *File) plain(path string, n ast.Node, v reflect.Value) {
	s, ok := f.scalar(path, n)
	if !ok {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		b, isBool := n.(*ast.BoolNode)
		if !isBool {
			f.report(n, "%s: true or false is expected, not %q", path, s)
			return
		}
		v.SetBool(b.Value)
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 64)
		if err != nil {
			f.report(n, "%s: a whole number is expected, not %q", path, s)
			return
		}
		v.SetInt(i)
	case reflect.Float64:
		x, err := strconv.ParseFloat(s, 64)
		if err != nil {
			f.report(n, "%s: a number is expected, not %q", path, s)
			return
		}
		v.SetFloat(x)
	default:
		panic("yamlfile: no rule for " + v.Type().String())
	}
}

func (f *File) note(path string, n ast.Node, err error) {
	if err != nil {
		f.report(n, "%s: %v", path, err)
	}
}

// scalar is the value as written, quotes and block signs resolved.
func (f *File) scalar(path string, n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case ast.ScalarNode:
		return strings.TrimSpace(n.GetToken().Value), true
	}
	f.report(n, "%s: a single value is expected", path)
	return "", false
}

func (f *File) object(path string, n ast.Node, v reflect.Value) {
	fields := map[string]reflect.Value{}
	var known []string
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		for i := range v.NumField() {
			sf := v.Type().Field(i)
			if sf.Anonymous {
				walk(v.Field(i))
			} else if tag := sf.Tag.Get("yaml"); tag != "" && tag != "-" {
				fields[tag] = v.Field(i)
				known = append(known, tag)
			}
		}
	}
	walk(v)
	for key, val := range f.entries(path, n) {
		field, ok := fields[key]
		if !ok {
			sort.Strings(known)
			if near := Nearest(key, known); near != "" {
				f.report(val, "%s: no such setting; %s is perhaps meant; known here: %s", Join(path, key), near, strings.Join(known, ", "))
			} else {
				f.report(val, "%s: no such setting; known here: %s", Join(path, key), strings.Join(known, ", "))
			}
			continue
		}
		f.value(Join(path, key), val, field)
	}
}

func (f *File) entries(path string, n ast.Node) func(yield func(string, ast.Node) bool) {
	return func(yield func(string, ast.Node) bool) {
		m, ok := n.(ast.MapNode)
		if !ok {
			f.report(n, "%s: a mapping (name: value) is expected", orRoot(path))
			return
		}
		seen := map[string]bool{}
		for it := m.MapRange(); it.Next(); {
			key := it.Key().GetToken().Value
			if seen[key] {
				f.report(it.Key(), "%s is given twice", Join(path, key))
				continue
			}
			seen[key] = true
			if !yield(key, it.Value()) {
				return
			}
		}
	}
}

func orRoot(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

// Join is the dotted path of what stands under path by the name key.
func Join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// ParseSize reads a size as files have it.
func ParseSize(s string) (Size, error) {
	num, unit := strings.TrimSpace(s), int64(1)
	for _, u := range []struct {
		name string
		size int64
	}{{"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}, {"B", 1}} {
		if rest, ok := strings.CutSuffix(strings.ToUpper(num), u.name); ok {
			num, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	x, err := strconv.ParseFloat(num, 64)
	if err != nil || !(x >= 0 && x*float64(unit) <= 1<<50) { // NaN is in no range
		return 0, Sayf("a size such as 512, 64KB or 5MB is expected, not %q", s)
	}
	return Size(x * float64(unit)), nil
}

// ParsePeriod reads a period as files have it.
func ParsePeriod(s string) (Period, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n >= 0 && n < 36500 {
			return Period(n * 24 * float64(time.Hour)), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, Sayf("a period such as 90s, 15m, 24h or 30d is expected, not %q", s)
	}
	return Period(d), nil
}
