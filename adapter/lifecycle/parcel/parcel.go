package parcel

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"

	"mezhved/adapter/yamlfile"
	"mezhved/envelopes/xmltape"
	"mezhved/xsd"
)

// Options say what to make of a package.
type Options struct {
	Services string // folder of services
	Name     string // of the service; empty: made of its namespace
	Version  string // empty: of its namespace
	Provider string // mnemonic; empty: the operator fills it in
}

// Report is what was understood of a package.
type Report struct {
	Name      string   `json:"service"`
	Version   string   `json:"version"`
	Dir       string   `json:"dir"` // that was made
	Title     string   `json:"title"`
	Namespace string   `json:"namespace"`
	Request   string   `json:"request"`            // root element
	Response  string   `json:"response,omitempty"` // empty: a broadcast
	Schemas   []string `json:"schemas"`            // root documents, as they were laid down
	Samples   []string `json:"samples"`
	Scenarios []string `json:"scenarios"`

	Findings yamlfile.Findings `json:"findings"` // what was done, or could not be; warnings are for people to look at
}

func (r *Report) tell(file string, warning bool, what error) {
	f := yamlfile.NewFinding(file, "", "%v", what)
	f.Warning = warning
	r.Findings = append(r.Findings, f)
}

// said is a sentence in two languages.
type said struct{ english, russian string }

func (s *said) Error() string { return s.english }

// Russian is the sentence in Russian.
func (s *said) Russian() string { return s.russian }

func say(english, russian string, args ...any) *said {
	return &said{fmt.Sprintf(english, args...), fmt.Sprintf(russian, args...)}
}

// schema is a schema document.
type schema struct {
	*file
	at       string // where it is laid down
	target   string
	elements []string // global
	title    string
	includes []reference
}

type reference struct{ namespace, location string }

// sample is a sample message, its content alone.
type sample struct {
	*file
	src    []byte
	root   xsd.Name
	answer bool
	number int // in its name
	node   xmltape.Node
}

// reader understands a package.
type reader struct {
	opener
	o       Options
	schemas []*schema
	samples []*sample
}

// ErrThere says that the folder is there already.
var ErrThere = errors.New("is there already: take it away, or give the service another name or version")

// Import makes a service's folder of the packages, which are zips, folders or single files. The Report
// is given with an error, too, as far as it goes.
func Import(packages []string, o Options) (*Report, error) {
	r := &reader{o: o}
	r.opener.r = &Report{}
	out := r.opener.r
	for _, name := range packages {
		if err := r.open(name); err != nil {
			return out, err
		}
	}
	r.sort()
	if len(r.schemas) == 0 {
		return out, errors.New("there is no schema (.xsd) in the package")
	}
	if err := r.name(); err != nil {
		return out, err
	}
	out.Dir = filepath.Join(o.Services, out.Name, out.Version)
	if _, err := os.Stat(out.Dir); err == nil {
		return out, fmt.Errorf("%s %w", out.Dir, ErrThere)
	}
	return out, r.write(out.Dir)
}

// sort tells schemas from samples.
func (r *reader) sort() {
	slices.SortFunc(r.files, func(a, b *file) int { return strings.Compare(a.String(), b.String()) })
	seen := map[string]bool{}
	for _, f := range r.files {
		switch strings.ToLower(path.Ext(f.name)) {
		case ".xsd":
			r.asUTF8(f)
			if seen[string(f.src)] {
				continue // the same in two packages
			}
			seen[string(f.src)] = true
			r.schema(f)
		case ".xml":
			r.asUTF8(f)
			r.sample(f)
		default:
			r.r.tell(f.String(), false, say("is left out: it is neither a schema (.xsd) nor a message (.xml)", "пропущен: это не схема (.xsd) и не сообщение (.xml)"))
		}
	}
	r.places()
}

func parse(src []byte) (xmltape.Node, error) {
	tape := new(xmltape.Tape)
	if err := tape.Parse(src, xmltape.Limits{}); err != nil {
		var bad *xmltape.Error
		if errors.As(err, &bad) {
			return xmltape.Node{}, &said{fmt.Sprintf("is left out: line %d, column %d: %s", bad.Line, bad.Col, bad.Detail), fmt.Sprintf("пропущен: строка %d, позиция %d: %s", bad.Line, bad.Col, bad.Russian())}
		}
		return xmltape.Node{}, err
	}
	return tape.Root(), nil
}

const xs = "http://www.w3.org/2001/XMLSchema"

func (r *reader) schema(f *file) {
	root, err := parse(f.src)
	if err == nil && !root.Is(xs, "schema") {
		err = say("is left out: its root is not xs:schema", "пропущен: корневой элемент — не xs:schema")
	}
	if err != nil {
		r.r.tell(f.String(), true, err)
		return
	}
	s := &schema{file: f}
	s.target, _ = root.Attr("", "targetNamespace")
	for n := range root.Children() {
		switch {
		case n.Is(xs, "element"):
			name, _ := n.Attr("", "name")
			s.elements = append(s.elements, name)
		case n.Is(xs, "import"), n.Is(xs, "include"), n.Is(xs, "redefine"):
			var ref reference
			ref.namespace, _ = n.Attr("", "namespace")
			ref.location, _ = n.Attr("", "schemaLocation")
			s.includes = append(s.includes, ref)
		}
	}
	s.title = documentation(root)
	r.schemas = append(r.schemas, s)
}

// documentation is what an element says of itself.
func documentation(n xmltape.Node) string {
	text := n.Child(xs, "annotation").Child(xs, "documentation").TrimText()
	return strings.Join(strings.Fields(text), " ")
}

// places gives each schema its place: the folders that all have in common are left out.
func (r *reader) places() {
	var dirs [][]string
	for _, s := range r.schemas {
		dirs = append(dirs, strings.Split(path.Dir(s.name), "/"))
	}
	common := 0
	for ; len(dirs) > 0 && common < len(dirs[0]); common++ {
		if !slices.ContainsFunc(dirs, func(d []string) bool { return len(d) <= common || d[common] != dirs[0][common] }) {
			continue
		}
		break
	}
	taken := map[string]bool{}
	for _, s := range r.schemas {
		parts := strings.Split(s.name, "/")
		s.at = path.Join(parts[min(common, len(parts)-1):]...)
		if path.Dir(s.name) == "." {
			s.at = s.name
		}
		plain := strings.TrimSuffix(s.at, path.Ext(s.at))
		for i := 2; taken[s.at]; i++ {
			s.at = plain + "-" + strconv.Itoa(i) + path.Ext(s.at)
		}
		taken[s.at] = true
	}
}

var digits = regexp.MustCompile(`\d+`)

// sample takes the content out of a sample, which may be a whole envelope.
func (r *reader) sample(f *file) {
	root, err := parse(f.src)
	if err != nil {
		r.r.tell(f.String(), true, err)
		return
	}
	s := &sample{file: f, src: f.src, node: root}
	if content := inner(root); content.Valid() {
		s.src = standAlone(content)
		if s.node, err = parse(s.src); err != nil {
			r.r.tell(f.String(), true, err)
			return
		}
		r.r.tell(f.String(), false, say("is an envelope: its content was taken", "это конверт: взято его содержимое"))
	}
	s.root = xsd.Name{Space: s.node.Space(), Local: s.node.Local()}
	if n := digits.FindString(path.Base(f.name)); n != "" {
		s.number, _ = strconv.Atoi(n)
	}
	r.samples = append(r.samples, s)
}

// inner is the business content of an envelope.
func inner(root xmltape.Node) xmltape.Node {
	t := root.Tape()
	for i := range t.Tokens {
		if t.Tokens[i].Kind == xmltape.Start {
			if n := t.NodeAt(i); n.Local() == "MessagePrimaryContent" || n.Local() == "PrimaryContent" {
				return n.First()
			}
		}
	}
	return xmltape.Node{}
}

// standAlone writes an element with the namespaces that it inherits.
func standAlone(n xmltape.Node) []byte {
	src := n.Bytes()
	tok := n.Token()
	end := 1 + int(tok.NameLen)
	var b bytes.Buffer
	b.Write(src[:end])
	own := map[string]bool{}
	t := n.Tape()
	for k := range int(tok.NDecl) {
		own[string(t.DeclPrefix(&t.Decls[int(tok.Decl)+k]))] = true
	}
	for _, in := range n.Parent().InScope() {
		if own[in.Prefix] {
			continue
		}
		name := "xmlns"
		if in.Prefix != "" {
			name += ":" + in.Prefix
		}
		b.WriteString(" " + name + `="` + escaped.Replace(in.URI) + `"`)
	}
	b.Write(src[end:])
	return b.Bytes()
}

var escaped = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;")

// looks tells by the name of a file whether it is a request or an answer: 1 or 2.
func looks(name string) int {
	lower := strings.ToLower(path.Base(name))
	for i, words := range [][]string{{"request", "запрос", "req"}, {"response", "ответ", "answer", "resp"}} {
		for _, w := range words {
			if strings.Contains(lower, w) {
				return i + 1
			}
		}
	}
	return 0
}

// name finds the roots, and by their namespace the service and its version.
func (r *reader) name() error {
	request, response := r.roots()
	if request.Local == "" {
		return say("no root of requests could be found: give sample messages, or name the elements *Request and *Response", "корневой элемент запроса не найден: добавьте образцы сообщений или назовите элементы *Request и *Response")
	}
	out := r.r
	out.Namespace, out.Request, out.Response = request.Space, request.Local, response.Local
	name, version := fromNamespace(request.Space)
	out.Name, out.Version = cmp.Or(r.o.Name, name), cmp.Or(r.o.Version, version)
	for _, one := range []string{out.Name, out.Version} {
		if one == "" || one != filepath.Base(one) || one[0] == '.' || one[0] == '_' || strings.ContainsFunc(one, unicode.IsControl) {
			return say("%q cannot be the name of a folder: give the service a name and a version", "%q не годится для имени папки: укажите имя вида сведений и версию", one)
		}
	}
	if version == "" && r.o.Version == "" {
		out.Version = "1.0.0"
	}
	for _, s := range r.samples {
		switch {
		case s.root == request:
		case s.root == response:
			s.answer = true
		default:
			r.r.tell(s.String(), true, say("is left out: its root is %s, which is neither the request nor the response", "пропущен: корневой элемент %s — это не запрос и не ответ", s.root))
			s.file = nil
		}
	}
	r.samples = slices.DeleteFunc(r.samples, func(s *sample) bool { return s.file == nil })
	return nil
}

// roots finds the roots of requests and answers: by the samples and their names, else by
// the names of elements.
func (r *reader) roots() (request, response xsd.Name) {
	for _, s := range r.samples {
		if !r.declares(s.root) {
			continue
		}
		switch looks(s.name) {
		case 1:
			request = s.root
		case 2:
			response = s.root
		}
	}
	for _, s := range r.schemas {
		for _, e := range s.elements {
			switch n := (xsd.Name{Space: s.target, Local: e}); looks(e) {
			case 1:
				if request.Local == "" && (response.Local == "" || response.Space == s.target) {
					request = n
				}
			case 2:
				if response.Local == "" && (request.Local == "" || request.Space == s.target) {
					response = n
				}
			}
		}
	}
	if request == response {
		response = xsd.Name{}
	}
	if response.Space != request.Space {
		if response.Local != "" {
			r.r.tell(response.String(), true, say("is not in the namespace of the request: a service has one", "не в пространстве имён запроса: у вида сведений оно одно"))
		}
		response = xsd.Name{}
	}
	return request, response
}

func (r *reader) declares(n xsd.Name) bool {
	return slices.ContainsFunc(r.schemas, func(s *schema) bool { return s.target == n.Space && slices.Contains(s.elements, n.Local) })
}

var versionForm = regexp.MustCompile(`^v?(\d+(?:\.\d+){1,3})$`)

// fromNamespace makes a name and a version of urn://x-artefacts-NAME/PART/1.2.3.
func fromNamespace(space string) (name, version string) {
	_, rest, found := strings.Cut(space, "://")
	if !found {
		rest = strings.TrimPrefix(space, "urn:")
	}
	var parts []string
	for p := range strings.FieldsFuncSeq(rest, func(c rune) bool { return c == '/' || c == ':' || c == '#' || c == '?' }) {
		if m := versionForm.FindStringSubmatch(p); m != nil {
			version = m[1]
			continue
		}
		parts = append(parts, p)
	}
	return strings.Trim(strings.TrimPrefix(strings.Join(parts, "-"), "x-artefacts-"), "-._"), version
}

// lay makes the folder, which nobody sees yet.
func (r *reader) lay(dir string) error {
	out := r.r
	files := map[string][]byte{}
	for _, s := range r.schemas {
		files[s.at] = s.src
	}
	if err := put(dir, files); err != nil {
		return err
	}
	roots, imports := r.connect()
	out.Schemas = roots
	for _, s := range r.schemas {
		if s.target == out.Namespace {
			out.Title = cmp.Or(out.Title, s.title)
		}
	}
	out.Title = cmp.Or(out.Title, out.Name)
	files = map[string][]byte{}
	r.scenarios(files, r.samplesInto(files, r.compile(dir, roots, imports)))
	files["service.yaml"] = r.description(roots, imports)
	return put(dir, files)
}

// put writes files under a folder.
func put(dir string, files map[string][]byte) error {
	for name, src := range files {
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, src, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// connect finds the root documents, and where imported namespaces are whose location
// leads nowhere.
func (r *reader) connect() (roots []string, imports []reference) {
	at := map[string]*schema{}
	byTarget := map[string][]*schema{}
	for _, s := range r.schemas {
		at[s.at] = s
		byTarget[s.target] = append(byTarget[s.target], s)
	}
	reached := map[string]bool{}
	wanted := map[string]bool{}
	for _, s := range r.schemas {
		for _, ref := range s.includes {
			found := path.Join(path.Dir(s.at), ref.location)
			if ref.location != "" && at[found] != nil {
				if found != s.at && at[found].target != s.target || ref.namespace == "" {
					reached[found] = true
				}
				continue
			}
			if list := byTarget[ref.namespace]; ref.namespace != "" && len(list) > 0 {
				reached[list[0].at] = true
				if !wanted[ref.namespace] {
					wanted[ref.namespace] = true
					imports = append(imports, reference{ref.namespace, list[0].at})
				}
				continue
			}
			r.r.tell(s.at, true, say("wants %s (%s), which the package does not have", "требует %s (%s), а в пакете этого нет", cmp.Or(ref.namespace, "-"), cmp.Or(ref.location, "-")))
		}
	}
	for _, s := range r.schemas {
		if s.target == r.r.Namespace && !reached[s.at] {
			roots = append(roots, s.at)
		}
	}
	if len(roots) == 0 {
		for _, s := range byTarget[r.r.Namespace] {
			roots = append(roots, s.at)
		}
	}
	slices.Sort(roots)
	return roots, imports
}

// compile tries the schemas.
func (r *reader) compile(dir string, roots []string, imports []reference) *xsd.Schema {
	o := xsd.Options{Catalog: map[string]string{}}
	for _, i := range imports {
		o.Catalog[i.namespace] = i.location
	}
	s, err := xsd.Compile(os.DirFS(dir), roots, o)
	var bad *xsd.CompileError
	switch {
	case errors.As(err, &bad):
		for _, f := range bad.Findings {
			one := yamlfile.Finding{File: f.File, Line: f.Line, Col: f.Col, Text: f.Rule + ": " + f.English(), TextRussian: f.Rule + ": " + f.Russian(), Warning: true}
			r.r.Findings = append(r.r.Findings, one)
		}
		return nil
	case err != nil:
		r.r.tell(roots[0], true, err)
		return nil
	}
	return s
}

// pair is a sample request and the sample answer to it.
type pair struct {
	request, answer *sample
	at              string // of the answer, in the folder
}

// samplesInto lays the samples down, the first of each kind under its plain name, and
// holds them against the schema.
func (r *reader) samplesInto(files map[string][]byte, compiled *xsd.Schema) (pairs []pair) {
	sort.SliceStable(r.samples, func(i, j int) bool { return r.samples[i].number < r.samples[j].number })
	var kinds [2][]*sample
	for _, s := range r.samples {
		k := 0
		if s.answer {
			k = 1
		}
		kinds[k] = append(kinds[k], s)
	}
	places := map[*sample]string{}
	for k, list := range kinds {
		n := map[bool]int{}
		for _, s := range list {
			name, good := [2]string{"request", "response"}[k], r.valid(s, compiled)
			if n[good]++; n[good] > 1 {
				name += "-" + strconv.Itoa(n[good])
			}
			if !good {
				name += "-refused"
			}
			places[s] = path.Join("samples", name+".xml")
			files[places[s]] = s.src
			r.r.Samples = append(r.r.Samples, places[s])
			r.r.tell(s.String(), false, say("is laid down as %s", "записан как %s", places[s]))
		}
	}
	for _, q := range kinds[0] {
		for _, a := range kinds[1] {
			if a.number == q.number && !strings.HasSuffix(places[q], "-refused.xml") && !strings.HasSuffix(places[a], "-refused.xml") {
				pairs = append(pairs, pair{q, a, places[a]})
				break
			}
		}
	}
	return pairs
}

func (r *reader) valid(s *sample, compiled *xsd.Schema) bool {
	if compiled == nil {
		return true
	}
	var bad *xsd.Invalid
	if err := compiled.Validate(s.node); errors.As(err, &bad) {
		v := bad.Violations[0]
		r.r.tell(s.String(), true, &said{
			fmt.Sprintf("does not hold against the schema: line %d, column %d: %s: %s: %s", v.Line, v.Col, v.XPath, v.Rule, v.English()),
			fmt.Sprintf("не соответствует схеме: строка %d, позиция %d: %s: %s: %s", v.Line, v.Col, v.XPath, v.Rule, v.Russian())})
		return false
	}
	return true
}

// scenarios answer each sample request with its sample answer, by a value that no other
// sample request has. The first is for all others, too: a scenario that no request leads
// to would be a defect of the test protocol.
func (r *reader) scenarios(files map[string][]byte, pairs []pair) {
	put := func(name, text string) {
		at := path.Join("scenarios", name+".yaml")
		files[at] = []byte(text)
		r.r.Scenarios = append(r.r.Scenarios, at)
	}
	for i, p := range pairs {
		if i == 0 {
			continue
		}
		path, value, ok := telling(p, pairs)
		if !ok {
			r.r.tell(p.request.String(), true, say("has no value that tells it from the other sample requests: it gets no scenario of its own", "не отличается от других образцов запроса ни одним значением: отдельного сценария у него нет"))
			continue
		}
		put(fmt.Sprintf("%02d-sample", 9+i), fmt.Sprintf("title: %s\nwhen: %s\nsteps:\n  - {after: 1s, answer: %s}\n",
			strconv.Quote("Эталонный запрос "+p.request.name), strconv.Quote(path+" = "+quoted(value)), p.at))
	}
	if len(pairs) > 0 {
		put("90-otherwise", fmt.Sprintf("title: %s\nsteps:\n  - {after: 1s, answer: %s}\n", strconv.Quote("Эталонный запрос "+pairs[0].request.name+" и любой другой"), pairs[0].at))
	}
}

// quoted is a value in an expression.
func quoted(s string) string {
	if strings.Contains(s, "'") {
		return `"` + s + `"`
	}
	return "'" + s + "'"
}

// telling finds a path whose value no other request has.
func telling(p pair, all []pair) (at, value string, ok bool) {
	others := map[string]bool{}
	for _, o := range all {
		if o.request != p.request {
			for k, v := range values(o.request.node) {
				others[k+"\x00"+v] = true
			}
		}
	}
	mine := values(p.request.node)
	var keys []string
	for k := range mine {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(strings.Count(a, "/")-strings.Count(b, "/"), strings.Compare(a, b))
	})
	for _, k := range keys {
		v := mine[k]
		if !others[k+"\x00"+v] && len(v) <= 200 && !(strings.Contains(v, "'") && strings.Contains(v, `"`)) && !strings.ContainsAny(v, "\n\r") {
			return k, v, true
		}
	}
	return "", "", false
}

// values are the texts of a document that stand alone at their path, by path.
func values(root xmltape.Node) map[string]string {
	out, many := map[string]string{}, map[string]bool{}
	var walk func(n xmltape.Node, at string)
	walk = func(n xmltape.Node, at string) {
		at += "/" + n.Local()
		t, tok := n.Tape(), n.Token()
		for k := range int(tok.NAttr) {
			a := &t.Attrs[int(tok.Attr)+k]
			if a.PrefixLen == 0 {
				_, local := t.AttrName(a)
				key := at + "/@" + string(local)
				_, twice := out[key]
				many[key] = many[key] || twice
				out[key] = string(t.AttrValue(a, nil))
			}
		}
		if !n.First().Valid() {
			_, twice := out[at]
			many[at] = many[at] || twice
			out[at] = n.TrimText()
		}
		for c := range n.Children() {
			walk(c, at)
		}
	}
	walk(root, "")
	for k, v := range out {
		if many[k] || v == "" {
			delete(out, k)
		}
	}
	return out
}

// description is service.yaml.
func (r *reader) description(roots []string, imports []reference) []byte {
	out := r.r
	var b bytes.Buffer
	// What the package says is a value, whatever stands in it.
	fmt.Fprintf(&b, "title: %s\nroot:\n  namespace: %s\n  request: %s\n", strconv.Quote(out.Title), strconv.Quote(out.Namespace), strconv.Quote(out.Request))
	if out.Response != "" {
		fmt.Fprintf(&b, "  response: %s\n", strconv.Quote(out.Response))
	}
	quotedRoots := make([]string, len(roots))
	for i, one := range roots {
		quotedRoots[i] = strconv.Quote(one)
	}
	fmt.Fprintf(&b, "schemas: [%s]\n", strings.Join(quotedRoots, ", "))
	if len(imports) > 0 {
		b.WriteString("imports:\n")
		for _, i := range imports {
			fmt.Fprintf(&b, "  - {namespace: %s, file: %s}\n", strconv.Quote(i.namespace), strconv.Quote(i.location))
		}
	}
	if out.Response == "" {
		b.WriteString("broadcast: true\n")
	}
	if r.o.Provider == "" {
		b.WriteString("providers: [PROVIDER]   # the mnemonic of who answers\n")
		r.r.tell("service.yaml", true, say("providers: name who answers", "providers: укажите, кто отвечает"))
	} else {
		fmt.Fprintf(&b, "providers: [%s]\n", r.o.Provider)
	}
	b.WriteString("callers: \"*\"\nstage: draft              # not in use until you say so\n")
	return b.Bytes()
}

// write makes the folder, whole or not at all.
func (r *reader) write(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	half, err := os.MkdirTemp(filepath.Dir(dir), ".import-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(half)
	if err := r.lay(half); err != nil {
		return err
	}
	if err := os.Chmod(half, 0o755); err != nil {
		return err
	}
	return os.Rename(half, dir)
}
