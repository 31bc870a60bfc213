package scenario

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mezhved/adapter/lifecycle/xpath"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/xsd"
)

// Folder is where a version's scenarios stand, in its own folder.
const Folder = "scenarios"

// scenarioFile is scenarios/<name>.yaml. Files are asked in the order of their names.
type scenarioFile struct {
	Title      string            `yaml:"title"`
	Namespaces map[string]string `yaml:"namespaces"` // prefixes of its paths
	When       []string          `yaml:"when"`       // conditions, all of which hold; none: every request
	Examples   []string          `yaml:"examples"`   // files of requests that it is for; default: those of samples for which its conditions hold
	Steps      []stepFile        `yaml:"steps"`
}

// stepFile is one step; it has exactly one of the kinds.
type stepFile struct {
	After yamlfile.Period `yaml:"after"` // since the step before, or the request
	Late  yamlfile.Period `yaml:"late"`  // since the deadline of the answer

	Status      *statusFile      `yaml:"status"`
	Answer      string           `yaml:"answer"`      // a template: a file of the version's folder, or the document itself
	Attachments []attachmentFile `yaml:"attachments"` // of the answer
	Reject      []rejectionFile  `yaml:"reject"`
	Fault       string           `yaml:"fault"`     // the bus refuses the request, by this fault
	Silence     bool             `yaml:"silence"`   // nothing comes
	Duplicate   string           `yaml:"duplicate"` // the step before, once more: new (under a new MessageID) or same
}

type statusFile struct {
	Code       string            `yaml:"code"`
	Text       string            `yaml:"text"`
	Parameters map[string]string `yaml:"parameters"`
}

type rejectionFile struct {
	Code string `yaml:"code"`
	Text string `yaml:"text"`
}

type attachmentFile struct {
	File string `yaml:"file"` // of the version's folder
	Text string `yaml:"text"` // or a text, a template
	Name string `yaml:"name"`
	Type string `yaml:"type"`
}

// reader reads the scenarios of a version.
type reader struct {
	dir      string // of the version
	service  Service
	set      *Set
	findings yamlfile.Findings
}

// Open reads the scenarios of a service's version, whose folder is dir, and says
// everything that is wrong with them. What is wrong in part is in the Set as far as it
// could be read; without errors among the findings all of it is. A version without
// scenarios has the one that its sample answer makes (Implied).
func Open(dir string, s Service) (*Set, yamlfile.Findings) {
	r := &reader{dir: dir, service: s, set: &Set{Service: s, counted: map[string]*xpath.Expr{}}}
	folder := filepath.Join(dir, Folder)
	list, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.tell(folder, "%v", errors.Unwrap(err))
	}
	for _, f := range list {
		if !f.IsDir() && filepath.Ext(f.Name()) == ".yaml" && f.Name()[0] != '.' && f.Name()[0] != '_' {
			r.read(filepath.Join(folder, f.Name()))
		}
	}
	if len(r.set.Scenarios) == 0 && len(r.findings) == 0 {
		r.imply()
	}
	return r.set, r.findings
}

// Implied is the name of the scenario of a version that has none.
const Implied = "sample"

// imply makes a scenario of the sample answer.
func (r *reader) imply() {
	sample := filepath.Join(r.dir, "samples", "response.xml")
	src, err := os.ReadFile(sample)
	if err != nil || r.service.Response.Local == "" {
		return
	}
	m := &maker{scope: xpath.Scope{Functions: functions}}
	if t := m.document(src); len(m.mistakes) == 0 {
		r.set.Scenarios = append(r.set.Scenarios, &Scenario{Name: Implied, Title: "Образец ответа", steps: []step{{kind: Answer, content: t}}})
	}
}

func (r *reader) tell(file, format string, args ...any) {
	r.findings = append(r.findings, yamlfile.NewFinding(file, "", format, args...))
}

func (r *reader) read(name string) {
	var in scenarioFile
	f := yamlfile.Read(name, &in)
	one := &Scenario{Name: strings.TrimSuffix(filepath.Base(name), ".yaml"), Title: in.Title, always: len(in.When) == 0}
	before := len(r.findings) // of its templates, the rest is f's
	defer func() {
		r.findings = append(r.findings, f.Findings...)
		one.broken = len(r.findings[before:].Errors()) > 0
	}()
	if f.Broken {
		return
	}
	if in.Title == "" {
		f.Warnf("title", "%v", say("is missing: people will see the file's name only", "не указано: людям будет видно только имя файла"))
	}
	if r.service.Response.Local == "" {
		f.Errorf("steps", "%v", say("a broadcast is not answered: it has no scenarios", "рассылка не предполагает ответа: сценариев у неё нет"))
		return
	}
	if n := len(r.set.Scenarios); n > 0 && r.set.Scenarios[n-1].always {
		f.Errorf("", "%v", say("is never reached: %s, which comes before it, has no conditions", "до него дело не дойдёт: у %s, который идёт раньше, нет условий", r.set.Scenarios[n-1].Name))
	}
	for i, source := range in.When {
		if e := r.expression(f, "when."+strconv.Itoa(i), source, in.Namespaces); e != nil {
			one.When = append(one.When, e)
		}
	}
	for i, example := range in.Examples {
		if _, ok := r.file(f, "examples."+strconv.Itoa(i), example); ok {
			one.Examples = append(one.Examples, filepath.Join(r.dir, filepath.FromSlash(example)))
		}
	}
	if len(in.Steps) == 0 {
		f.Errorf("steps", "%v", say("is missing: what happens then? (silence: true, if nothing does)", "не указано: что тогда происходит? (silence: true, если ничего)"))
	}
	for i := range in.Steps {
		if s, ok := r.step(f, "steps."+strconv.Itoa(i), &in.Steps[i], one.steps, in.Namespaces); ok {
			one.steps = append(one.steps, s)
		}
	}
	r.set.Scenarios = append(r.set.Scenarios, one)
}

// expression reads a condition.
func (r *reader) expression(f *yamlfile.File, at, source string, namespaces map[string]string) *xpath.Expr {
	e, err := xpath.Parse(source, r.scope(namespaces))
	if err != nil {
		f.Errorf(at, "%v", err)
		return nil
	}
	for _, one := range r.possible(e.Exists(), root) {
		f.Errorf(at, "%v", one)
	}
	r.count(f, at, e, namespaces)
	return e
}

func (r *reader) scope(namespaces map[string]string) xpath.Scope {
	return xpath.Scope{Namespaces: namespaces, Functions: functions}
}

// possible is what the schema says of an expression's paths.
func (r *reader) possible(e *xpath.Expr, within string) []error {
	if r.service.Schema == nil || within == "?" {
		return nil
	}
	return e.Possible(r.service.Schema, r.service.Request, within)
}

// count has requests counted by what an expression asks about.
func (r *reader) count(f *yamlfile.File, at string, e *xpath.Expr, namespaces map[string]string) {
	sources, _ := e.Calls("requests")
	for _, source := range sources {
		if source == "" || r.set.counted[source] != nil {
			continue
		}
		by, err := xpath.Parse(source, r.scope(namespaces))
		if err != nil {
			f.Errorf(at, "%v", err)
			continue
		}
		r.set.counted[source] = by
	}
}

// kinds are those that a step gives, and what it must not give beside them.
func (in *stepFile) kinds(f *yamlfile.File, at string) (list []Kind) {
	for _, k := range []Kind{Status, Answer, Reject, Fault, Silence, Duplicate} {
		if f.Has(at + "." + string(k)) {
			list = append(list, k)
		}
	}
	return list
}

func (r *reader) step(f *yamlfile.File, at string, in *stepFile, before []step, namespaces map[string]string) (out step, ok bool) {
	kinds := in.kinds(f, at)
	if len(kinds) != 1 {
		f.Errorf(at, "%v", say("a step has exactly one of status, answer, reject, fault, silence and duplicate", "у шага ровно одно из status, answer, reject, fault, silence и duplicate"))
		return out, false
	}
	out.kind = kinds[0]
	out.after = in.After.D()
	if f.Has(at + ".late") {
		out.late, out.after = true, in.Late.D()
		if f.Has(at + ".after") {
			f.Errorf(at+".late", "%v", say("give one of after and late", "укажите одно из after и late"))
		}
		if !r.service.HasDeadline {
			f.Errorf(at+".late", "%v", say("counts from the deadline, and the service has none", "отсчитывается от срока ответа, а у вида сведений его нет"))
		}
	}
	if n := len(before); n > 0 && out.kind != Duplicate && ended(before) {
		f.Errorf(at, "%v", say("nothing comes after what ends the exchange; only duplicate may", "после того, что завершает обмен, ничего не бывает, кроме duplicate"))
	}
	if out.kind != Answer && f.Has(at+".attachments") {
		f.Errorf(at+".attachments", "%v", say("only an answer carries attachments", "вложения бывают только у ответа"))
	}
	switch out.kind {
	case Answer:
		out.content = r.template(f, at+".answer", in.Answer, namespaces)
		for i := range in.Attachments {
			out.attachments = append(out.attachments, r.attachment(f, at+".attachments."+strconv.Itoa(i), &in.Attachments[i], namespaces))
		}
	case Status:
		out.status = r.status(f, at+".status", in.Status, namespaces)
	case Reject:
		for i := range in.Reject {
			out.reject = append(out.reject, r.rejection(f, at+".reject", i, &in.Reject[i], namespaces))
		}
	case Fault:
		out.fault = r.fault(f, at+".fault", in.Fault)
		if len(before) > 0 {
			f.Errorf(at+".fault", "%v", say("the bus refuses a request at once: a fault is the only step", "шина отказывает сразу: fault — единственный шаг"))
		}
	case Silence:
		if !in.Silence {
			f.Errorf(at+".silence", "%v", say("true is expected: leave it out otherwise", "ожидается true, иначе не указывайте"))
		}
	case Duplicate:
		out.same = in.Duplicate == "same"
		if in.Duplicate != "same" && in.Duplicate != "new" {
			f.Errorf(at+".duplicate", "%v", say("new or same is expected, not %q", "ожидается new или same, а не %q", in.Duplicate))
		}
		if n := len(before); n == 0 || !sends(before[n-1].kind) {
			f.Errorf(at+".duplicate", "%v", say("there is no message before it that could be sent again", "перед ним нет сообщения, которое можно послать ещё раз"))
		}
	}
	return out, true
}

func sends(k Kind) bool { return k == Status || k == Answer || k == Reject || k == Duplicate }

// ended reports that the steps have ended the exchange.
func ended(list []step) bool {
	return slices.ContainsFunc(list, func(s step) bool { return s.kind != Status && s.kind != Duplicate })
}

// fault reads the name of a fault that a SendRequest may raise.
func (r *reader) fault(f *yamlfile.File, at, name string) envelopes.FaultKind {
	known := map[string]bool{}
	for _, k := range envelopes.FaultKinds(envelopes.V13) {
		if envelopes.Declared(envelopes.V13, envelopes.SendRequest, k) {
			known[string(k)] = true
		}
	}
	if !known[name] {
		if near := xpath.Nearest(name, known); near != "" {
			f.Errorf(at, "%v", say("%q is no fault of SendRequest; is %s meant?", "%q — не ошибка SendRequest; не имеется ли в виду %s?", name, near))
		} else {
			f.Errorf(at, "%v", say("%q is no fault of SendRequest; there are %s", "%q — не ошибка SendRequest; есть %s", name, list(known)))
		}
	}
	return envelopes.FaultKind(name)
}

func list(known map[string]bool) string {
	var out []string
	for k := range known {
		out = append(out, k)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func (r *reader) status(f *yamlfile.File, at string, in *statusFile, namespaces map[string]string) *status {
	if in == nil {
		in = &statusFile{}
	}
	if !f.Has(at + ".code") {
		f.Errorf(at+".code", "%v", say("is missing", "не указано"))
		in.Code = "0"
	}
	out := &status{code: r.text(f, at+".code", in.Code, namespaces), text: r.text(f, at+".text", in.Text, namespaces)}
	if !strings.Contains(in.Code, "${") {
		if _, err := strconv.ParseInt(in.Code, 10, 32); err != nil {
			f.Errorf(at+".code", "%v", say("a whole number is expected, not %q", "ожидается целое число, а не %q", in.Code))
		}
	}
	var keys []string
	for k := range in.Parameters {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		out.parameters = append(out.parameters, parameter{k, r.text(f, at+".parameters."+k, in.Parameters[k], namespaces)})
	}
	return out
}

func (r *reader) rejection(f *yamlfile.File, at string, i int, in *rejectionFile, namespaces map[string]string) rejection {
	if f.Has(at + "." + strconv.Itoa(i)) { // one value stands for a list of one
		at += "." + strconv.Itoa(i)
	}
	if !slices.Contains(envelopes.RejectionCodes, envelopes.RejectionCode(in.Code)) {
		f.Errorf(at+".code", "%v", say("one of %v is expected, not %q", "ожидается одно из %v, а не %q", envelopes.RejectionCodes, in.Code))
	}
	if in.Text == "" {
		f.Errorf(at+".text", "%v", say("is missing", "не указано"))
	}
	return rejection{envelopes.RejectionCode(in.Code), r.text(f, at+".text", in.Text, namespaces)}
}

func (r *reader) attachment(f *yamlfile.File, at string, in *attachmentFile, namespaces map[string]string) attachment {
	out := attachment{name: in.Name, mime: in.Type}
	switch {
	case f.Has(at+".file") == f.Has(at+".text"):
		f.Errorf(at, "%v", say("give one of file and text", "укажите одно из file и text"))
	case f.Has(at + ".file"):
		out.content, _ = r.file(f, at+".file", in.File)
		if out.name == "" {
			out.name = path.Base(in.File)
		}
	default:
		out.text = r.text(f, at+".text", in.Text, namespaces)
	}
	if out.name == "" {
		f.Errorf(at+".name", "%v", say("is missing", "не указано"))
	}
	return out
}

// file reads a file of the version's folder: of the part that a test protocol covers, or
// an answer would change under the protocol.
func (r *reader) file(f *yamlfile.File, at, name string) ([]byte, bool) {
	folder, err := os.OpenRoot(r.dir) // unlike os.ReadFile it follows no way out of the folder
	if err != nil {
		f.Errorf(at, "%v", err)
		return nil, false
	}
	defer folder.Close()
	clean := path.Clean(name)
	if !covered(clean) {
		f.Errorf(at, "%v", say("%s stands where a test protocol does not look: lay it into scenarios, samples or reference, under a name that does not begin with . or _", "%s лежит там, где его не видит протокол испытаний: положите его в scenarios, samples или reference, имя не должно начинаться с . или _", name))
		return nil, false
	}
	src, err := fs.ReadFile(folder.FS(), clean)
	if err != nil {
		f.Errorf(at, "%v", say("%s cannot be read: a file of the folder %s is expected, such as scenarios/answer.xml or samples/response.xml", "%s не читается: ожидается файл папки %s, например scenarios/answer.xml или samples/response.xml", name, r.dir))
		return nil, false
	}
	return src, true
}

// covered says whether a file is among those that a test protocol names; one that leads
// out of the folder is refused as it is opened.
func covered(name string) bool {
	parts := strings.Split(name, "/")
	hidden := func(s string) bool { return s != ".." && (s[0] == '.' || s[0] == '_') }
	return parts[0] == ".." || path.IsAbs(name) || slices.Contains([]string{Folder, "samples", "reference"}, parts[0]) && !slices.ContainsFunc(parts, hidden)
}

// text reads a plain text with expressions in it.
func (r *reader) text(f *yamlfile.File, at, source string, namespaces map[string]string) *Template {
	m := &maker{scope: r.scope(namespaces), paths: r.possible}
	t := m.text(source)
	for _, one := range m.mistakes {
		f.Errorf(at, "%v", one.Err)
	}
	r.countAll(f, at, t, namespaces)
	return t
}

// template reads an answer.
func (r *reader) template(f *yamlfile.File, at, source string, namespaces map[string]string) *Template {
	src, file := []byte(source), ""
	if !strings.HasPrefix(strings.TrimSpace(source), "<") {
		var ok bool
		if src, ok = r.file(f, at, source); !ok {
			return nil
		}
		file = filepath.Join(r.dir, filepath.FromSlash(source))
	}
	m := &maker{scope: r.scope(namespaces), paths: r.possible}
	m.scope.Namespaces = with(namespaces, src)
	t := m.document(src)
	for _, one := range m.mistakes {
		if file == "" {
			f.Errorf(at, "%v", say("line %d, column %d of the document: %v", "строка %d, позиция %d документа: %v", one.Line, one.Col, one.Err))
			continue
		}
		found := yamlfile.NewFinding(file, "", "%v", one.Err)
		found.Line, found.Col = one.Line, one.Col
		r.findings = append(r.findings, found)
	}
	r.countAll(f, at, t, m.scope.Namespaces)
	return t
}

// with are the prefixes of a scenario and those that the template's root declares.
func with(namespaces map[string]string, src []byte) map[string]string {
	tape := new(xmltape.Tape)
	if tape.Parse(src, xmltape.Limits{}) != nil {
		return namespaces
	}
	out := map[string]string{}
	for _, b := range tape.Root().InScope() {
		if b.Prefix != "" {
			out[b.Prefix] = b.URI
		}
	}
	for k, v := range namespaces {
		out[k] = v
	}
	return out
}

// countAll has requests counted by what the expressions of a template ask about.
func (r *reader) countAll(f *yamlfile.File, at string, t *Template, namespaces map[string]string) {
	if t == nil {
		return
	}
	var walk func(parts []part)
	walk = func(parts []part) {
		for _, p := range parts {
			switch p := p.(type) {
			case value:
				r.count(f, at, p.e, namespaces)
			case *block:
				if p.e != nil {
					r.count(f, at, p.e, namespaces)
				}
				walk(p.body)
				walk(p.also)
			}
		}
	}
	walk(t.parts)
}

// Root is the name of a document's root.
func Root(n xmltape.Node) xsd.Name { return xsd.Name{Space: n.Space(), Local: n.Local()} }
