package scenario_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/lifecycle/scenario"
	"mezhved/adapter/registry"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
)

const demo = "../../../testdata/services"

var someTime = time.Date(2026, 11, 20, 9, 30, 0, 0, time.UTC) // a Friday

// demoServices are the demonstration's, as lint reads them.
func demoServices(t testing.TB) []*registry.Service {
	t.Helper()
	c, _ := registry.Lint(demo, filepath.Join(t.TempDir(), "none"), someTime)
	return c.Services()
}

func about(s *registry.Service) scenario.Service { return scenario.Of(s, nil) }

func contentOf(t testing.TB, file string) xmltape.Node {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(demo, file))
	if err != nil {
		t.Fatal(err)
	}
	tape := new(xmltape.Tape)
	if err := tape.Parse(src, xmltape.Limits{}); err != nil {
		t.Fatal(err)
	}
	return tape.Root()
}

// The demonstration's scenarios are good: every path may be there, every scenario is
// reached, every answer holds against its schema.
func TestTheDemoScenariosAreGood(t *testing.T) {
	n := 0
	for _, s := range demoServices(t) {
		set, found := scenario.Lint(filepath.Join(demo, s.Name, s.Version), about(s), someTime)
		for _, f := range found {
			t.Errorf("%s", f)
		}
		n += len(set.Scenarios)
		if !s.Broadcast && len(set.Scenarios) < 2 {
			t.Errorf("%s %s has %d scenarios", s.Name, s.Version, len(set.Scenarios))
		}
	}
	if n < 15 {
		t.Errorf("%d scenarios were read", n)
	}
}

func open(t testing.TB, name, version string) *scenario.Set {
	t.Helper()
	for _, s := range demoServices(t) {
		if s.Name == name && s.Version == version {
			set, found := scenario.Open(filepath.Join(demo, name, version), about(s))
			if len(found) > 0 {
				t.Fatal(found)
			}
			return set
		}
	}
	t.Fatalf("there is no %s %s", name, version)
	return nil
}

// told is a plan in a few words.
func told(p *scenario.Plan) string {
	var b strings.Builder
	b.WriteString(p.Scenario)
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "; %s after %s", s.Kind, s.At.Sub(someTime))
		switch {
		case s.Status != nil:
			fmt.Fprintf(&b, " %d %q %v", s.Status.Code, s.Status.Text, s.Status.Parameters)
		case len(s.Rejections) > 0:
			fmt.Fprintf(&b, " %v", s.Rejections)
		case s.Fault != "":
			fmt.Fprintf(&b, " %s", s.Fault)
		case s.SameID:
			b.WriteString(" under the same id")
		}
		for _, a := range s.Attachments {
			fmt.Fprintf(&b, " with %s (%s, %d)", a.Name, a.Type, len(a.Content))
		}
	}
	return b.String()
}

func TestPlans(t *testing.T) {
	for _, c := range []struct{ service, version, request, want string }{
		{"egrn-extract", "1.1.0", "samples/request.xml", "90-extract; answer after 2s"},
		{"egrn-extract", "1.1.0", "scenarios/request-404.xml", "10-no-data; reject after 2s [{NO_DATA Объект 50:21:0110103:404 в реестре не найден}]"},
		{"egrn-extract", "1.1.0", "scenarios/request-504.xml", "30-silence; silence after 0s"},
		{"egrn-extract", "1.1.0", "scenarios/request-408.xml", `40-late; status after 10s 1 "Запрос принят, срок ответа 22.11.2026 12:30" []; answer after 49h0m0s`},
		{"egrn-extract", "1.1.0", "scenarios/request-429.xml", "50-busy; fault after 0s DestinationOverflow"},
		{"egrn-extract", "1.1.0", "scenarios/request-history.xml", `60-history; status after 1s 1 "Запрос передан в архив" [[number NNNNNN]]; duplicate after 1s; answer after 4s with переходы прав.txt (text/plain, 146); duplicate after 5s under the same id`},
		{"family-benefits", "1.0.0", "scenarios/request-no-consent.xml", "10-no-consent; reject after 0s [{ACCESS_DENIED Нет согласия субъекта персональных данных} {UNKNOWN_REQUEST_DESCRIPTION Дело СЕМ-2026/11-001205 возвращено без рассмотрения}]"},
		{"family-benefits", "1.0.0", "samples/request.xml", `90-benefits; status after 1s 1 "Запрос принят в работу" [[step 1]]; status after 3s 2 "Сведения собираются из территориальных органов" [[ready 2026-11-23] [step 2]]; answer after 5s`},
	} {
		set := open(t, c.service, c.version)
		r := scenario.Request{Content: contentOf(t, c.service+"/"+c.version+"/"+c.request), MessageID: "11111111-0000-1000-8000-000000000000", Received: someTime, Deadline: someTime.Add(48 * time.Hour)}
		p, err := set.Play(r, &scenario.State{})
		if err != nil {
			t.Errorf("%s: %v", c.request, err)
			continue
		}
		got := told(p)
		if s := p.Steps[0].Status; s != nil && len(s.Parameters) > 0 && s.Parameters[0][0] == "number" {
			got = strings.Replace(got, s.Parameters[0][1], "NNNNNN", 1)
		}
		if got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.request, got, c.want)
		}
		again, err := set.Play(r, &scenario.State{})
		if err != nil || told(again) != told(p) || len(p.Steps[0].Content) > 0 && !bytes.Equal(again.Steps[0].Content, p.Steps[0].Content) {
			t.Errorf("%s: a second play differs: %v\n%s", c.request, err, told(again))
		}
	}
}

// What an answer takes from the request, makes up and sums is in it, and what the
// request says cannot break out of it.
func TestAnswers(t *testing.T) {
	set := open(t, "family-benefits", "1.0.0")
	p, err := set.Play(scenario.Request{Content: contentOf(t, "family-benefits/1.0.0/samples/request.xml"), Received: someTime}, &scenario.State{})
	if err != nil {
		t.Fatal(err)
	}
	answer := string(p.Steps[2].Content)
	for _, want := range []string{"ребёнка: Фёдор<", "ребёнка: Марфа<", "<f:Amount>8600.25<", "<f:Amount>17200.50<", "<f:Total>25800.75<", "<f:PaidOn>2026-10-20<"} {
		if !strings.Contains(answer, want) {
			t.Errorf("the answer has no %s:\n%s", want, answer)
		}
	}
	if strings.Contains(answer, "<?") || strings.Contains(answer, "${") {
		t.Errorf("the template shows:\n%s", answer)
	}
}

// Numbers go on from request to request, the same request is counted once, and
// conditions go by what is counted.
func TestCounters(t *testing.T) {
	set, st := open(t, "egrul-extract", "2.0.0"), &scenario.State{}
	play := func(id, file string) *scenario.Plan {
		t.Helper()
		p, err := set.Play(scenario.Request{Content: contentOf(t, "egrul-extract/2.0.0/"+file), MessageID: id, Received: someTime}, st)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := play("1", "scenarios/request-500.xml"); p.Scenario != "20-failure" {
		t.Errorf("the first request: %s", told(p))
	}
	if p := play("1", "scenarios/request-500.xml"); p.Scenario != "20-failure" {
		t.Errorf("the same request, delivered again: %s", told(p))
	}
	if p := play("2", "scenarios/request-500.xml"); p.Scenario != "90-extract" || !strings.Contains(string(p.Steps[0].Content), `НомерВып="4107"`) {
		t.Errorf("the second request: %s %s", told(p), p.Steps[0].Content)
	}
	if p := play("3", "samples/request.xml"); !strings.Contains(string(p.Steps[0].Content), `НомерВып="4108"`) {
		t.Errorf("the third request: %s", p.Steps[0].Content)
	}
	for key := range st.Seen {
		if strings.Contains(key, "1025000000500") {
			t.Errorf("the state holds a value of a request: %s", key)
		}
	}
}

// one is a service with one scenario, given as its files.
func one(t *testing.T, files map[string]string) (dir string, s scenario.Service) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range demoServices(t) {
		if d.Name == "urgent-check" {
			return dir, about(d)
		}
	}
	t.Fatal("the demonstration has no urgent-check")
	return dir, s
}

const check = `<CheckRequest xmlns="urn://mezhved/demo/urgent-check/1.0.0"><Register>tax</Register><Number>4602 112233</Number></CheckRequest>`

// Every mistake is told with its place and the name that was meant, in both languages.
func TestLint(t *testing.T) {
	dir, s := one(t, map[string]string{
		"samples/request.xml": check,
		"scenarios/10.yaml": `title: mistakes
when:
  - /CheckRequest/Nubmer = '1'
  - cuont(/CheckRequest/Number) = 1
stepz: []
steps:
  - {answer: scenarios/answer.xml, silence: true}
  - {reject: {code: NODATA, text: "${/CheckRequest/Register"}}
  - {duplicate: again}
  - {fault: AccesDenied}
  - {answer: ../../../etc/passwd}
  - {status: {text: x}, attachments: [{text: x}]}
  - {answer: answers/answer.xml}
  - {answer: scenarios/.answer.xml}
`,
		"answers/answer.xml": check, "scenarios/.answer.xml": check,
		"scenarios/20.yaml": "title: an answer that is wrong\nsteps:\n  - answer: scenarios/answer.xml\n",
		"scenarios/30.yaml": "title: it comes too late\nsteps:\n  - {late: 1h, answer: scenarios/answer.xml}\n",
		"scenarios/answer.xml": `<CheckResponse xmlns="urn://mezhved/demo/urgent-check/1.0.0">
  <Number>${/CheckRequest/Numbr}</Number><?for /CheckRequest/Number?>
  <Valid>${today(1)}</Valid></CheckResponse>`,
	})
	s.HasDeadline = false
	_, found := scenario.Lint(dir, s, someTime)
	all := strings.ReplaceAll(found.Error(), dir+"/", "")
	for _, want := range []string{
		`scenarios/10.yaml:3:5: when.0: path "/CheckRequest/Nubmer": the schema allows no element Nubmer there; is Number meant?`,
		`scenarios/10.yaml:4:5: when.1: there is no function cuont(); is count() meant?, at letter 1 of "cuont(/CheckRequest/Number) = 1"`,
		`scenarios/10.yaml:5:8: stepz: no such setting; steps is perhaps meant; known here: examples, namespaces, steps, title, when`,
		`scenarios/10.yaml:7:5: steps.0: a step has exactly one of status, answer, reject, fault, silence and duplicate`,
		`steps.1.reject.code: one of [ACCESS_DENIED NO_DATA UNKNOWN_REQUEST_DESCRIPTION FAILURE] is expected, not "NODATA"`,
		`steps.1.reject.text: ${ is not closed by }`,
		`steps.2.duplicate: new or same is expected, not "again"`,
		`steps.3.fault: "AccesDenied" is no fault of SendRequest; is AccessDenied meant?`,
		`steps.4.answer: ../../../etc/passwd cannot be read`,
		`steps.6.answer: answers/answer.xml stands where a test protocol does not look`,
		`steps.7.answer: scenarios/.answer.xml stands where a test protocol does not look`,
		`steps.5.status.code: is missing`,
		`steps.5.attachments: only an answer carries attachments`,
		`scenarios/answer.xml:2:11: path "/CheckRequest/Numbr": the schema allows no element Numbr there; is Number meant?`,
		`scenarios/answer.xml:3:10: today() takes 0 arguments, not 1`,
		`scenarios/answer.xml:2:42: <?for?> must end in the element in which it begins`,
		`scenarios/30.yaml: is never reached: 20, which comes before it, has no conditions`,
		`scenarios/30.yaml:3:12: steps.0.late: counts from the deadline, and the service has none`,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("not said: %s", want)
		}
	}
	if t.Failed() {
		t.Log(all)
	}
	for _, f := range found {
		if r := f.Russian(); strings.Contains(r.Text, " is ") || strings.Contains(r.Text, "there ") {
			t.Errorf("in Russian: %s", r)
		}
	}
}

// An answer that does not hold against the schema is found before anybody asks, and is
// in no plan.
func TestAnswersAreHeldAgainstTheSchema(t *testing.T) {
	dir, s := one(t, map[string]string{
		"samples/request.xml": check,
		"scenarios/10.yaml": `title: valid by chance
steps:
  - answer: '<CheckResponse xmlns="urn://mezhved/demo/urgent-check/1.0.0"><Number>${/CheckRequest/Number}</Number><Valid>maybe</Valid></CheckResponse>'
`})
	set, found := scenario.Lint(dir, s, someTime)
	if len(found) != 1 || !strings.Contains(found[0].String(), "10.yaml: step 1, with request.xml: the schema refuses the answer: line 1, column ") || !strings.Contains(found[0].Text, "cvc-datatype-valid") {
		t.Errorf("lint says %v", found)
	}
	tape := new(xmltape.Tape)
	if err := tape.Parse([]byte(check), xmltape.Limits{}); err != nil {
		t.Fatal(err)
	}
	p, err := set.Play(scenario.Request{Content: tape.Root(), Received: someTime}, &scenario.State{})
	var e *scenario.Error
	if p != nil || err == nil || !asError(err, &e) || !strings.HasPrefix(e.Russian(), "сценарий 10, шаг 1: схема не принимает ответ: cvc-") || e.Content == nil {
		t.Errorf("played: %v, %v", p, err)
	}
}

func asError(err error, to **scenario.Error) bool {
	e, ok := err.(*scenario.Error)
	*to = e
	return ok
}

// What a request says is text in the answer, whatever it looks like; without scenarios
// the sample answers; where none fits, a rejection says so.
func TestBeginnings(t *testing.T) {
	dir, s := one(t, map[string]string{"samples/response.xml": `<CheckResponse xmlns="urn://mezhved/demo/urgent-check/1.0.0"><Number>4602 112233</Number><Valid>true</Valid></CheckResponse>`})
	set, found := scenario.Open(dir, s)
	if len(found) > 0 || len(set.Scenarios) != 1 || set.Scenarios[0].Name != scenario.Implied {
		t.Fatalf("%v, %v", set.Scenarios, found)
	}
	tape := new(xmltape.Tape)
	if err := tape.Parse([]byte(`<CheckRequest xmlns="urn://mezhved/demo/urgent-check/1.0.0"><Register>&lt;/a&gt;&amp;"'$${</Register><Number>4602 112233</Number></CheckRequest>`), xmltape.Limits{}); err != nil {
		t.Fatal(err)
	}
	r := scenario.Request{Content: tape.Root(), Received: someTime}
	if p, err := set.Play(r, &scenario.State{}); err != nil || p.Steps[0].Kind != scenario.Answer {
		t.Errorf("the sample: %v, %v", p, err)
	}
	dir, s = one(t, map[string]string{"scenarios/10.yaml": "title: never\nwhen: test()\nsteps:\n  - silence: true\n",
		"scenarios/20.yaml": "title: quoted\nwhen: sender() = 'A'\nsteps:\n  - {answer: '<CheckResponse xmlns=\"urn://mezhved/demo/urgent-check/1.0.0\" a=\"${/CheckRequest/Register}\">${/CheckRequest/Register}$${x}</CheckResponse>'}\n"})
	s.Validate = func(n xmltape.Node) error {
		a, _ := n.Attr("", "a")
		if want := `</a>&"'$${`; a != want || string(n.Text()) != want+"${x}" {
			t.Errorf("the answer has %q and %q", a, n.Text())
		}
		return nil
	}
	set, found = scenario.Open(dir, s)
	if len(found) > 0 {
		t.Fatal(found)
	}
	p, err := set.Play(r, &scenario.State{})
	if err != nil || len(p.Steps) != 1 || p.Steps[0].Rejections[0].Code != envelopes.RejectFailure {
		t.Errorf("none fits: %v, %v", p, err)
	}
	r.Sender = "A"
	if _, err := set.Play(r, &scenario.State{}); err != nil {
		t.Error(err)
	}
}

// What a scenario counts or says is bounded, however it is written: a partner's request, or
// a package that came by mail, stops no emulator.
func TestAScenarioComesToAnEnd(t *testing.T) {
	nested := strings.Repeat("<?for 10000?>", 4) + strings.Repeat("<?end?>", 4)
	doubled := "<?let a = '0123456789'?>" + strings.Repeat("<?let a = concat($a, $a)?>", 50)
	squared := "<?let n = 12345678901?>" + strings.Repeat("<?let n = $n * $n?>", 50)
	const steps = 8 << 20 // mostWork, of one template
	for text, want := range map[string]string{nested: "too much work", doubled: "too much work", squared: "too large"} {
		t.Run(text[:13], func(t *testing.T) {
			dir, s := one(t, map[string]string{"samples/request.xml": check,
				"scenarios/10.yaml":    "title: bomb\nsteps:\n  - answer: scenarios/answer.xml\n",
				"scenarios/answer.xml": `<CheckResponse xmlns="urn://mezhved/demo/urgent-check/1.0.0">` + text + `</CheckResponse>`})
			set, found := scenario.Open(dir, s)
			if len(found) > 0 {
				t.Fatal(found)
			}
			tape := new(xmltape.Tape)
			if err := tape.Parse([]byte(check), xmltape.Limits{}); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := set.Play(scenario.Request{Content: tape.Root(), MessageID: "m", Received: someTime}, &scenario.State{})
			runtime.ReadMemStats(&after)
			var wrong *scenario.Error
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want that it is %s", err, want)
			}
			// What was done shows in what was allocated: two values and 160 octets a step; half of what is allowed.
			if n, size := after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc; n > 4*steps || size > 320*steps {
				t.Errorf("%d values of %d octets were made before it ended, more than %d steps need", n, size, steps)
			}
		})
	}
}
