package registry_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/lifecycle/protocol"
	"mezhved/adapter/registry"
	"mezhved/adapter/reports"
	"mezhved/adapter/terms"
)

// aDay is one on which no calendar is missing.
var aDay = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// Lint names every problem of a registry at once, with file and line.
func TestLint(t *testing.T) {
	w := adaptertest.Start(t)
	write := func(name, text string) {
		t.Helper()
		w.Write(name, text)
	}
	const schema = `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="NS" elementFormDefault="qualified"><xs:element name="A" type="xs:string"/><xs:element name="B" type="xs:string"/></xs:schema>`
	good := "title: t\nroot: {namespace: NS, request: A, response: B}\nproviders: REGISTRY\ncallers: '*'\n"
	service := func(dir, yaml string) {
		ns := "urn://lint/" + dir
		write("services/"+dir+"/service.yaml", strings.ReplaceAll(yaml, "NS", ns))
		write("services/"+dir+"/s.xsd", strings.ReplaceAll(schema, "NS", ns))
	}
	service("ok/1", good)
	service("typo/1", strings.Replace(good, "callers", "caller", 1))
	service("nobody/1", strings.Replace(good, "REGISTRY", "[REGISTRY, NOBODY]", 1))
	service("noroot/1", strings.Replace(good, "request: A", "request: Z", 1))
	service("stage/1", good+"stage: soon\ndelivery: pigeon\npersonalSignature: maybe\n")
	service("terms/1", good+"deadline: 5wd\nterms:\n  answered: 3wd\n  taken: 1 day\n  from: delivery\n  response: {status: 1wd}\n  providers: {NOBODY: {taken: 1d}}\n")
	service("terms/2", good+"deadline: 30d\nendOfLife: 5d\n")
	write("services/_calendar/2028.yaml", "year: 2028\noff: 01-01\n")
	write("services/_calendar/2029.yaml", "year: 2030\n")
	write("services/_calendar/2031.yml", "year: 2031\n")
	service("cast/1", good+"broadcast: true\nrouting: {xpath: /A}\n")
	service("route/1", strings.Replace(good, "providers: REGISTRY", "providers: REGISTRY\nrouting:\n  xpath: //A\n", 1))
	service("table/1", strings.Replace(good, "providers: REGISTRY", "providers: REGISTRY\nrouting:\n  xpath: /A\n  table: {\"1\": MOSCOW}\n", 1))
	service("person/1", good+`personal:
  request:
    - {field: snils, xpath: /A}
    - {field: inn, xpath: /B}
    - {field: Snils, xpath: /A}
    - {field: case, xpath: /A}
    - {field: name-2, xpath: /A}
    - {field: snils, xpath: /A}
    - {field: other, xpath: /A, as: words}
    - {field: none}
  response:
    - {field: name, xpath: /B/Snils}
ground:
  legal: /A/@law
  consent: [/A, /C]
`)
	service("person/2", good+"personal: {request: {field: snils, xpath: /A, as: text}}\n")
	service("route/2", strings.Replace(good, "providers: REGISTRY", "providers: REGISTRY\nrouting:\n  xpath: /A/Code\n  table: {\"1\": REGISTRY}\n", 1))
	service("official/1", good+"personalSignature: required\n")
	service("probe/1", good+"probe: {short: 1s, full: often, silent: 1s, sample: ../x.xml}\n")
	service("probe/2", strings.Replace(good, ", response: B", "", 1)+"broadcast: true\nfileSignature: required\nprobe: {full: 5m, answer: 6m}\n")
	service("probe/3", good+"probe: {full: 5m}\n")
	write("services/probe/3/samples/request.xml", "<A xmlns=\"urn://lint/probe/3\"><b/></A>")
	service("probe/4", good+"probe: {short: 36499d, full: 2562047h, sample: response.xml}\n")
	write("services/probe/4/samples/response.xml", "<B xmlns=\"urn://lint/probe/4\"/>")
	service("codes/1", good+"codes:\n  request: [{xpath: /A, dictionary: none}, {xpath: /B, dictionary: kinds}, {xpath: /A, dictionary: kinds, version: 9}]\n")
	write("services/_dictionaries/kinds/1.csv", "code,title,from,to\na,A,,2020-01-01\n")
	write("services/_dictionaries/broken/1.csv", "code,title,from,to\na,A,,\na,B,2026-02-01,2026-01-01\n")
	write("services/_dictionaries/foreign/1.csv", "KOD;NAIM\na;A\n")
	service("codes/2", good+"codes: {request: {xpath: /A, dictionary: good}}\n")
	write("services/_dictionaries/good/1.csv", "code,title,from,to\na,A,,\n")
	write("services/codes/2/samples/request.xml", `<A xmlns="urn://lint/codes/2">b</A>`)
	service("shadow/1", good+"shadow: true\n")
	write("services/twice/1/service.yaml", strings.ReplaceAll(good, "NS", "urn://lint/ok/1"))
	write("services/twice/1/s.xsd", strings.ReplaceAll(schema, "NS", "urn://lint/ok/1"))
	write("services/noxsd/1/service.yaml", strings.ReplaceAll(good, "NS", "urn://lint/noxsd"))
	service("badxsd/1", good)
	write("services/badxsd/1/s.xsd", `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn://lint/badxsd/1"><xs:element name="A" type="xs:strange"/><xs:element name="B"/></xs:schema>`)
	write("services/missing/1/readme.txt", "x")
	write("services/_shared/x.txt", "not a service")
	write("parties/NOCERT.yaml", "name: x\n")
	write("parties/BAD.yaml", "certificates: [none.pem, BAD.txt]\nasyncErrors: pigeon\ntimeZone: Europe/Moscow\n")
	write("parties/BAD.txt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	write("parties/COPY.yaml", "certificates: MUNI.pem\n")
	old := w.NewParty("OLD", time.Now().AddDate(-3, 0, 0), time.Now().AddDate(-1, 0, 0))
	old.AddCertificate("OLD.pem")
	write("parties/OLD.yaml", "")
	soon := w.NewParty("SOON", time.Now().AddDate(-3, 0, 0), time.Now().AddDate(0, 0, 5))
	soon.AddCertificate("SOON/a.pem")
	write("parties/SOON.yaml", "name: x\n")

	_, found := registry.Lint(w.Dir+"/services", w.Dir+"/parties", w.Clock.Now())
	var lines []string
	for _, f := range found {
		if rel, err := filepath.Rel(w.Dir, f.File); err == nil {
			f.File = rel
		}
		lines = append(lines, f.String())
	}
	all := strings.Join(lines, "\n")
	for _, want := range []string{
		"services/typo/1/service.yaml:4:9: caller: no such setting",
		"services/typo/1/service.yaml: callers: nobody may call",
		"services/nobody/1/service.yaml:3:23: providers.1: party \"NOBODY\" is not registered",
		"services/nobody/1/service.yaml:3:12: providers: several providers need routing",
		"services/noroot/1/service.yaml:2:",
		"declares no global element {urn://lint/noroot/1}Z",
		"services/stage/1/service.yaml:5:8: stage: draft, test, published or retired is expected",
		"services/stage/1/service.yaml:6:11: delivery: poll or stream",
		"services/stage/1/service.yaml:7:20: personalSignature",
		"services/terms/1/service.yaml:7:13: terms.answered: is the deadline: give one of the two",
		`services/terms/1/service.yaml:8:10: terms.taken: a term such as 5wd (working days), 30d, 48h or 15m is expected, not "1 day"`,
		`services/terms/1/service.yaml:9:9: terms.from: accepted, delivered or next-working-day is expected, not "delivery"`,
		"services/terms/1/service.yaml:10:13: terms.response: an answer is queued and taken",
		"services/terms/1/service.yaml:11:23: terms.providers.NOBODY: NOBODY is not among the providers",
		"services/terms/2/service.yaml:5:11: warning: deadline: is later than endOfLife",
		"services/_calendar/2028.yaml:2:1: off: 01-01 is off already: it is a weekend",
		"services/_calendar/2029.yaml: is the calendar of 2030: name it 2030.yaml",
		"services/_calendar/2031.yml: warning: is not read: a calendar is a file <year>.yaml",
		"root.response: a broadcast is not answered",
		"routing: a broadcast goes to all providers",
		"services/route/1/service.yaml:5:10: routing.xpath: path \"//A\"",
		"services/table/1/service.yaml:6:16: routing.table.1: MOSCOW is not among the providers",
		"is a root of ok 1 already",
		`services/person/1/service.yaml:8:27: personal.request.1.xpath: path "/B": it begins with B, the root is {urn://lint/person/1}A`,
		`services/person/1/service.yaml:9:15: personal.request.2.field: a name such as snils is expected`,
		`services/person/1/service.yaml:10:15: personal.request.3.field: "case" is the journal's own name for something else`,
		`services/person/1/service.yaml:11:15: personal.request.4.field: a name such as snils is expected`,
		`services/person/1/service.yaml:12:15: personal.request.5.field: snils is listed twice`,
		`services/person/1/service.yaml:13:37: personal.request.6.as: digits, text, date, exact or hash is expected, not "words"`,
		`services/person/1/service.yaml:14:`,
		`personal.request.7: where does it stand? give xpath, or parts`,
		`services/person/1/service.yaml:16:28: personal.response.0.xpath: path "/B/Snils": the schema allows no element Snils there, nor any other`,
		`services/person/1/service.yaml:18:10: ground.legal: path "/A/@law": the schema allows no attribute @law there, nor any other`,
		`services/person/1/service.yaml:19:17: ground.consent.1: path "/C": it begins with C`,
		`services/person/2/service.yaml:5:21: personal.request: snils is spelled as digits in another service and as text here`,
		`services/official/1/service.yaml:5:20: warning: personalSignature: is required, and the schema allows no attribute Id at {urn://lint/official/1}A: nobody can sign such content`,
		`services/route/2/service.yaml:5:10: warning: routing.xpath: path "/A/Code": the schema allows no element Code there, nor any other: no request can be routed by it`,
		`services/probe/1/service.yaml:5:16: probe.short: a time of ten seconds or more such as 15m is expected, or off, not "1s"`,
		`services/probe/1/service.yaml:5:26: probe.full: a time of ten seconds or more`,
		`services/probe/1/service.yaml:5:41: probe.silent: is shorter than ten seconds`,
		`services/probe/1/service.yaml:5:53: probe.sample: a file of the folder samples is expected`,
		`services/probe/2/service.yaml:7:27: probe.answer: is longer than probe.full`,
		`services/probe/2/service.yaml:7:15: probe.full: a broadcast is not answered`,
		`services/probe/2/service.yaml:7:15: warning: probe.full: the service wants every file signed`,
		`services/probe/2/service.yaml:7:15: probe.full: there is no samples/request.xml`,
		`services/probe/3/samples/request.xml:1:31: cvc-type`,
		`services/probe/4/service.yaml:5:16: probe.short: is longer than 31 days`,
		`services/probe/4/service.yaml:5:30: probe.full: is longer than 31 days`,
		`services/probe/4/service.yaml:5:48: probe.sample: response.xml is no sample of a request that is to be taken`,
		`services/codes/1/service.yaml:6:37: codes.request.0.dictionary: there is no dictionary "none", version ""`,
		`services/codes/1/service.yaml:6:52: codes.request.1.xpath: path "/B": it begins with B`,
		`codes.request.2.dictionary: there is no dictionary "kinds", version "9"`,
		"services/_dictionaries/kinds/1.csv: warning: no code of it is used any more",
		`services/_dictionaries/broken/1.csv:3:1: the code "a" stands in line 2 already`,
		"services/_dictionaries/foreign/1.csv:1:1: the head is KOD,NAIM, code,title,from,to is expected",
		`services/codes/2/samples/request.xml:1:1: dictionary: /A: no code of the dictionary good, version 1`,
		"services/shadow/1/service.yaml:5:9: shadow: goes with stage: draft",
		"services/noxsd/1/service.yaml: schemas: there is no .xsd",
		"services/badxsd/1/s.xsd:1:",
		"services/missing/1/service.yaml: no such file",
		"parties/NOCERT.yaml: certificates: no certificate of NOCERT was found",
		"parties/BAD.yaml:1:16: certificates.0:",
		"parties/BAD.yaml:1:26: certificates.1: BAD.txt",
		"parties/BAD.yaml:2:14: asyncErrors",
		"parties/BAD.yaml:3:11: timeZone: an offset from UTC such as +10:00",
		"parties/MUNI.yaml: certificates: certificate MUNI.pem is registered for COPY already",
		"parties/OLD.yaml: warning: certificates: certificate OLD.pem expired",
		"parties/SOON.yaml: warning: certificates: certificate SOON/a.pem expires on",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("lint does not say %q", want)
		}
	}
	if strings.Contains(all, "/ok/1/") {
		t.Error("lint finds fault with a good service")
	}
	if t.Failed() {
		t.Logf("lint says:\n%s", all)
	}
}

// An empty registry is one that nobody can call, and says so.
func TestEmptyRegistry(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"services", "parties"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c, found := registry.Lint(filepath.Join(dir, "services"), filepath.Join(dir, "parties"), aDay)
	if len(found.Errors()) > 0 || len(found) != 1 || len(c.Services()) != 0 {
		t.Errorf("findings %v", found)
	}
	if _, found := registry.Lint(filepath.Join(dir, "none"), filepath.Join(dir, "none"), aDay); len(found.Errors()) != 2 {
		t.Errorf("missing folders: %v", found)
	}
}

// The sample service and party, which operators copy, are good, and name every
// setting.
func TestSampleRegistry(t *testing.T) {
	w := adaptertest.Start(t)
	if err := os.CopyFS(filepath.Join(w.Dir, "sample"), os.DirFS("../testdata/registry")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"MUNI", "DISTRICT_1", "DISTRICT_2"} {
		p := w.NewParty(name, aDay.AddDate(-1, 0, 0), aDay.AddDate(1, 0, 0)) // of a year whose calendar is known
		p.AddCertificate("../sample/parties/" + name + ".pem")
	}
	c, found := registry.Lint(filepath.Join(w.Dir, "sample/services"), filepath.Join(w.Dir, "sample/parties"), aDay)
	if len(found) > 0 {
		t.Fatalf("the sample has mistakes:\n%v", found)
	}
	s := c.Service("example", "1.0.0")
	if s == nil || len(s.Providers) != 2 || s.Deadline != (terms.Term{Days: 5, Working: true}) || !s.Admits("MUNI") || s.Admits("DISTRICT_1") {
		t.Errorf("read as %+v", s)
	}
	if got := c.Targets(reports.DefaultTarget)["example"]; got != (reports.Target{Faults: 50, InTime: 9950}) {
		t.Errorf("promised of it is %+v", got)
	}
	for _, f := range registry.Settings() {
		src, err := os.ReadFile(map[bool]string{true: "../testdata/registry/services/example/1.0.0/service.yaml", false: "../testdata/registry/parties/MUNI.yaml"}[f.Service])
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(src), f.Name+":") {
			t.Errorf("the sample does not show %s", f.Name)
		}
	}
}

// A folder that is not there is one mistake, and not one for each who would be in it.
func TestLintWithoutParties(t *testing.T) {
	_, found := registry.Lint("../../testdata/services", filepath.Join(t.TempDir(), "none"), aDay)
	if len(found) != 1 || !strings.Contains(found[0].String(), "there is no such folder: name the right one with parties in the configuration") || !strings.Contains(found[0].Russian().String(), "такой папки нет") {
		t.Errorf("%d findings: %v", len(found), found)
	}
}

// Who probes for real is there and may call, or the services that want it are refused, by
// lint and by a reload.
func TestWhoProbesIsLetIn(t *testing.T) {
	w := adaptertest.Start(t)
	w.Write("services/extract/1.0/samples/request.xml", adaptertest.Content(adaptertest.Extract1))
	name := filepath.Join(w.Dir, "services/extract/1.0/service.yaml")
	service, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	w.Write("services/extract/1.0/service.yaml", string(service)+"probe: {full: 15m}\n")
	c, found := registry.Lint(w.Dir+"/services", w.Dir+"/parties", w.Clock.Now())
	if len(found.Errors()) > 0 {
		t.Fatal(found)
	}
	for party, want := range map[registry.Mnemonic]string{"": "nobody could ask", "MOSCOW": "MOSCOW probes (probe.party of the configuration) and may not call", "NOBODY": `party "NOBODY", which probes`, "MUNI": ""} {
		found := c.CheckProbes(party, w.Dir+"/services", w.Dir+"/parties")
		if want == "" && len(found) > 0 || want != "" && !strings.Contains(found.Error(), want) {
			t.Errorf("%q probes: %v, want %q", party, found, want)
		}
	}
	if found := w.Gateway.Reload(t.Context()); !strings.Contains(found.Errors().Error(), "nobody could ask") {
		t.Errorf("a reload says %v", found)
	}
	if w.Gateway.Catalog().Service("extract", "1.0").Probe != nil {
		t.Error("the set that is refused is in force")
	}
}

// The gate is not open because nobody can be named: a broadcast that everybody may send has
// no provider who could sign.
func TestAGateHasSigners(t *testing.T) {
	w := adaptertest.Start(t)
	w.Write("services/cast/1/service.yaml", "title: t\nroot: {namespace: urn://cast/1, request: A}\nproviders: REGISTRY\ncallers: '*'\nbroadcast: true\n")
	w.Write("services/cast/1/s.xsd", `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn://cast/1"><xs:element name="A" type="xs:string"/></xs:schema>`)
	_, found := registry.Lint(w.Dir+"/services", w.Dir+"/parties", w.Clock.Now(), registry.Gate{Operator: "REGISTRY", Signers: []string{"provider"}})
	if !strings.Contains(found.Errors().Error(), "cast/1/service.yaml: protocols.signers.0: everybody may send the broadcast: name those who sign") {
		t.Errorf("findings: %v", found)
	}
}

// A schema is made again when any document of it has changed, whatever it is called.
func TestAReloadSeesEveryDocumentOfASchema(t *testing.T) {
	w := adaptertest.Start(t)
	w.Write("services/part/1/service.yaml", "title: t\nroot: {namespace: urn://part/1, request: A, response: B}\nproviders: REGISTRY\ncallers: '*'\n")
	w.Write("services/part/1/s.xsd", `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn://part/1" targetNamespace="urn://part/1"><xs:include schemaLocation="types.inc"/><xs:element name="A" type="T"/><xs:element name="B" type="T"/></xs:schema>`)
	part := `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn://part/1"><xs:simpleType name="T"><xs:restriction base="xs:int"/></xs:simpleType></xs:schema>`
	w.Write("services/part/1/types.inc", part)
	r, found := registry.Open(w.Dir+"/services", w.Dir+"/parties", w.Clock.Now)
	if r == nil {
		t.Fatal(found)
	}
	before := r.Catalog().Service("part", "1").SchemaDigest
	w.Write("services/part/1/types.inc", strings.Replace(part, "xs:int", "xs:string", 1))
	if found, err := r.Reload(nil); err != nil || len(found.Errors()) > 0 {
		t.Fatal(found, err)
	}
	if r.Catalog().Service("part", "1").SchemaDigest == before {
		t.Error("the schema of before is in force")
	}
}

// The gate is before whatever takes requests: a version that comes to its end has been
// published, and is not by that word alone.
func TestTheEndOfAVersionIsNoWayRoundTheGate(t *testing.T) {
	w := adaptertest.Start(t)
	src, err := os.ReadFile(filepath.Join(w.Dir, "services/extract/1.0/service.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	gate := registry.Gate{Operator: "MOSCOW", Signers: []string{"operator"}}
	for sunset, want := range map[string]registry.Stage{"2099-12-31": registry.StageTest, "2020-12-31": registry.StageRetired} {
		w.Write("services/extract/1.0/service.yaml", string(src)+"stage: retired\nsunset: "+sunset+"\n")
		c, found := registry.Lint(w.Dir+"/services", w.Dir+"/parties", w.Clock.Now(), gate)
		if s := c.Service("extract", "1.0"); s.Stage != want || s.Held != (want == registry.StageTest) {
			t.Errorf("until %s: at the stage %s, held %v: %v", sunset, s.Stage, s.Held, found)
		}
	}
}

// What a signed protocol is over is decided by service.yaml and by dictionaries, too: what
// they say of the service takes it back to the stage test, by whom and how often it is
// asked does not. One whose file says no stage is not in use.
func TestSettingsAndDictionariesAreUnderTheProtocol(t *testing.T) {
	w := adaptertest.Start(t)
	dir := filepath.Join(w.Dir, "services/extract/2.0")
	const rules = "title: Выписка\nroot: {namespace: '" + adaptertest.Extract2 + "', request: ExtractRequest, response: ExtractResponse}\nproviders: REGISTRY\n" +
		"codes: {request: [{xpath: /ExtractRequest/RegionCode, dictionary: numbers, version: '1'}]}\n"
	const whole = rules + "callers: [MUNI, MFC]\npersonalSignature: required\nprobe: {short: 1m}\nlimits: {queue: 100}\nstage: published\n"
	w.Write("services/_dictionaries/numbers/1.csv", "code,title,from,to\n77,x,,\n")
	w.Write("services/extract/2.0/service.yaml", whole)
	lint := func() *registry.Service {
		t.Helper()
		c, found := registry.Lint(w.Dir+"/services", w.Dir+"/parties", w.Clock.Now(), registry.Gate{Operator: "MOSCOW", Signers: []string{"operator"}})
		for _, f := range found.Errors() {
			if !f.Sample {
				t.Fatal(f)
			}
		}
		return c.Service("extract", "2.0")
	}
	s := lint()
	files, err := protocol.Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	d := &protocol.Document{Form: protocol.Form, Service: "extract", Version: "2.0", Title: s.Title, Request: s.Request.String(), Response: s.Response.String(), Schema: s.SchemaDigest,
		Files: files, Digest: files.Digest(), Settings: s.Rules.Settings, Dictionaries: s.Rules.Dictionaries, Before: &protocol.Before{Version: "1.0", Breaking: []string{}},
		Participants: []protocol.Participant{}, Cases: []protocol.Case{}, Defects: []protocol.Defect{}, Passed: true, Made: w.Clock.Now().UTC().Truncate(time.Second), Program: "test"}
	sign := func(d *protocol.Document) {
		t.Helper()
		if err := errors.Join(protocol.Write(dir, d), protocol.Sign(t.Context(), dir, "MOSCOW", w.Party("MOSCOW").Signer, w.Clock.Now())); err != nil {
			t.Fatal(err)
		}
	}
	sign(d)
	for _, c := range []struct{ name, old, new, want string }{
		{"as it was signed", "", "", ""},
		{"who is on the list of callers", "[MUNI, MFC]", "[MUNI]", ""},
		{"how often it is asked", "short: 1m", "short: 5m", ""},
		{"how much may wait", "queue: 100", "queue: 200", ""},
		{"a remark", "title:", "# a remark\ntitle:", ""},
		{"everybody may call", "[MUNI, MFC]", "'*'", "callers was added"},
		{"an official's signature", "personalSignature: required\n", "", "personalSignature was there"},
		{"a provider", "providers: REGISTRY", "providers: MFC", "providers was changed"},
		{"a code's class", "version: '1'", "version: '1', class: n", "codes.request./ExtractRequest/RegionCode.class was added"},
		{"a good answer of a probe", "short: 1m", "short: 1m, rejection: true", "probe.rejection was added"},
		{"how much it takes", "limits: {queue: 100}", "limits: {queue: 100, content: 10KB}", "limits.content was added"},
		{"an end of life", "stage:", "endOfLife: 5h\nstage:", "endOfLife was added"},
		{"no stage", "stage: published\n", "", "-"},
	} {
		w.Write("services/extract/2.0/service.yaml", strings.Replace(whole, c.old, c.new, 1))
		s := lint()
		told := fmt.Sprint(s.Protocol.Flaws)
		if held := c.want != ""; s.Held != held || (s.Stage == registry.StagePublished) == held || c.want != "-" && !strings.Contains(told, c.want) {
			t.Errorf("%s: stage %s, held %v, %s, want %q", c.name, s.Stage, s.Held, told, c.want)
		}
	}
	w.Write("services/extract/2.0/service.yaml", whole)
	w.Write("services/_dictionaries/numbers/1.csv", "code,title,from,to\n78,x,,\n")
	if s := lint(); !s.Held || !strings.Contains(fmt.Sprint(s.Protocol.Flaws), "dictionary numbers 1 was changed") {
		t.Errorf("a dictionary changed: %v", s.Protocol.Flaws)
	}
	// A registry of before: no stage, and a protocol that says nothing of all this.
	old := *d
	old.Form, old.Settings, old.Dictionaries = protocol.FormFiles, nil, nil
	sign(&old)
	w.Write("services/extract/2.0/service.yaml", strings.Replace(whole, "stage: published\n", "", 1))
	if s := lint(); s.Held || s.Stage != registry.StagePublished || s.Protocol.Outdated == nil {
		t.Errorf("of before: stage %s, held %v, %v", s.Stage, s.Held, s.Protocol.Flaws)
	}
}

// Routers and gateways are alike by what says where a call goes and who calls, and not by what
// each may have of its own.
func TestLikeness(t *testing.T) {
	w := adaptertest.Start(t)
	likeness := func(gate ...registry.Gate) string {
		t.Helper()
		r, found := registry.Open(w.Dir+"/services", w.Dir+"/parties", w.Clock.Now, gate...)
		if r == nil {
			t.Fatal(found)
		}
		return r.Catalog().Likeness
	}
	edit := func(name, old, to string) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(w.Dir, name))
		if err != nil || !strings.Contains(string(text), old) {
			t.Fatal(name, err)
		}
		w.Write(name, strings.Replace(string(text), old, to, 1))
	}
	own := likeness()
	if gated := likeness(registry.Gate{Operator: "REGISTRY", Signers: []string{"operator"}}); gated != own {
		t.Errorf("with a gate it is %s, without one %s", gated, own)
	}
	edit("services/extract/1.0/service.yaml", "title: ", "limits: {content: 1MB}\ntitle: ")
	edit("parties/MUNI.yaml", "name: ", "limits: {queue: 7}\nname: ")
	if now := likeness(); now != own {
		t.Errorf("with limits it is %s, before it was %s", now, own)
	}
	for what, change := range map[string]func(){
		"a schema":      func() { edit("services/extract/1.0/extract.xsd", "</xs:schema>", "<!-- --></xs:schema>") },
		"a provider":    func() { edit("services/extract/2.0/service.yaml", "providers: [REGISTRY]", "providers: [MOSCOW]") },
		"a table":       func() { edit("services/regional/1.0/service.yaml", `"50": OBLAST`, `"51": OBLAST`) },
		"a certificate": func() { w.Party("STRANGER").AddCertificate("MUNI/next.pem") },
		"a service":     func() { os.RemoveAll(filepath.Join(w.Dir, "services/draft")) },
	} {
		before := likeness()
		if change(); likeness() == before {
			t.Errorf("%s changes nothing", what)
		}
	}
}
