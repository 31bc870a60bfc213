package console

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/envelopes"
	"mezhved/testdata/services"
)

const (
	familyNS = "urn://mezhved/demo/family-benefits/1.0.0"
	landNS   = "urn://mezhved/demo/egrn-extract/1.0.0"
)

// demo puts the demonstration services of families and of land between the parties
// of the world.
func (d *desk) demo() {
	d.t.Helper()
	for _, name := range []string{"family-benefits/1.0.0", "egrn-extract/1.0.0"} {
		d.must(fs.WalkDir(services.FS, name, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || strings.Contains(path, "samples") {
				return err
			}
			src, err := services.FS.ReadFile(path)
			text := strings.NewReplacer("[SFR01]", "[REGISTRY]", "[ROSREESTR]", "[REGISTRY]", "[PRIMERSK, MFC01]", "[MUNI, MFC]").Replace(string(src))
			d.Write("services/"+path, text)
			return err
		}))
	}
	d.Reload()
}

func sampleOf(t *testing.T, name string) string {
	t.Helper()
	src, err := services.FS.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(src))
}

// play sends a sample request and answers it with the sample response.
func (d *desk) play(from, service string) string {
	d.t.Helper()
	t := d.t.(*testing.T)
	kind, body, id := d.Party(from).BuildRequest(adaptertest.Request{Content: sampleOf(t, service+"/samples/request.xml")})
	if a := d.Party(from).Post("/smev/v1.2/ws", kind, body); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	registry := d.Party("REGISTRY")
	m := registry.Await(envelopes.GetRequest, "").Message
	if a := registry.Ack(m.Metadata.MessageID); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	if a := registry.Reply(m.ReplyTo, adaptertest.Reply{Content: sampleOf(t, service+"/samples/response.xml")}); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	back := d.Party(from).Await(envelopes.GetResponse, "").Message
	if a := d.Party(from).Ack(back.Metadata.MessageID); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	return id
}

// A person is found in any spelling, in requests and in answers; the ground and the
// case of the request are found, too; and the report says who asked, when, on what
// ground, and what was answered, with evidence that holds. The journal tells of the
// report; after erasure of the person nothing of it is left to find.
func TestWhoAskedAboutAPerson(t *testing.T) {
	d := openDesk(t)
	d.demo()
	family := d.play("MUNI", "family-benefits/1.0.0")
	land := d.play("MFC", "egrn-extract/1.0.0")
	d.settle()

	find := func(question map[string]any) (requests []string) {
		t.Helper()
		for _, e := range readJSON[Found](d, d.ask(operatorToken, "/api/v1/journal/search", question)).Entries {
			id := e.Original
			if e.Kind != "accepted" {
				continue
			}
			if id == "" {
				id = e.MessageID
			}
			requests = append(requests, id)
		}
		slices.Sort(requests)
		return requests
	}
	person := func(field, value string) map[string]any {
		return map[string]any{"person": map[string]string{"field": field, "value": value}, "kind": "accepted"}
	}
	both := []string{family, land}
	slices.Sort(both)
	for _, c := range []struct {
		question map[string]any
		want     []string
	}{
		{person("snils", "000-000-001 00"), both}, {person("snils", "00000000100"), both}, {person("snils", " 000 000 001-00 "), both},
		{person("name-birth", "ёлкина софья Андреевна, 29.02.1984"), both}, {person("name-birth", "Ёлкина Софья 1984-02-29"), nil},
		{person("snils", "000-000-003 00"), []string{family}}, {person("snils", "000-000-002 00"), []string{land}}, {person("snils", "000-000-005 00"), nil},
		{person("passport", "0000 000000"), []string{family}}, {person("passport", "00000000100"), nil},
		{map[string]any{"case": "сем-2026/11-001204", "kind": "accepted"}, []string{family}}, {map[string]any{"case": "МСП-2026/11-000417", "kind": "accepted"}, []string{land}},
		{map[string]any{"case": "СЕМ-2026/11-001204", "person": person("snils", "00000000100")["person"], "kind": "accepted"}, []string{family}},
		{map[string]any{"ground": "нет такого", "kind": "accepted"}, nil},
	} {
		if got := find(c.question); !slices.Equal(got, c.want) {
			t.Errorf("%v finds %v, want %v", c.question, got, c.want)
		}
	}
	// The values stand in no leaf, and a question about them in no address.
	for _, row := range d.all() {
		if s := string(row.Bytes); strings.Contains(s, "00000000100") || strings.Contains(s, "СЕМ-2026") {
			t.Errorf("a value stands in the log: %s", s)
		}
	}

	d.settle()
	order := map[string]any{"person": map[string]string{"field": "snils", "value": "000-000-001 00"}}
	rep := readJSON[Report](d, d.ask(auditorToken, "/api/v1/journal/report", order))
	if len(rep.Inquiries) != 2 {
		t.Fatalf("%d inquiries, want 2: %+v", len(rep.Inquiries), rep)
	}
	f, l := rep.Inquiries[0], rep.Inquiries[1]
	if f.MessageID != family || f.Sender != "MUNI" || f.Recipient != "REGISTRY" || f.Title == "" || !f.Named || f.Asked.IsZero() || f.Delivered.IsZero() || f.Channel != "smev/1.2" || len(f.Steps) < 8 {
		t.Errorf("the family's exchange: %+v", f)
	}
	grounds := []Given{{"case", "СЕМ-2026/11-001204"}, {"service-code", "5000000002"}, {"consent", "СОГЛАСИЕ № 17 ОТ 17.11.2026"}}
	if !slices.Equal(f.Grounds, grounds) {
		t.Errorf("its ground: %v, want %v", f.Grounds, grounds)
	}
	if len(f.Answers) != 1 || f.Answers[0].Direction != "response" || f.Answers[0].Named || f.Answers[0].Delivered.IsZero() {
		t.Errorf("its answer: %+v", f.Answers)
	}
	if l.MessageID != land || l.Named || len(l.Answers) != 1 || !l.Answers[0].Named {
		t.Errorf("the land's exchange, where only the answer names the person: %+v", l)
	}
	looked := 0
	for _, r := range rep.Readings {
		if r.Actor == "operator duty" && r.Operation == "search" {
			looked++
		}
	}
	if looked != 4 {
		t.Errorf("the person was looked for %d times, want 4: %+v", looked, rep.Readings)
	}

	// As a page on the desk, as a file, as evidence.
	form := url.Values{"field": {"snils"}, "value": {"00000000100"}}
	req, err := http.NewRequest(http.MethodPost, d.site.URL+"/console/report", strings.NewReader(form.Encode()))
	d.must(err)
	req.Header.Set("Authorization", "Bearer "+auditorToken)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, page := range map[string]string{"desk": string(d.do(req).body), "file": string(d.ask(auditorToken, "/api/v1/journal/report/page", order).body)} {
		for _, text := range []string{"Кто запрашивал сведения о человеке", family, land, "СЕМ-2026/11-001204", "СОГЛАСИЕ № 17", "Кто искал этого человека"} {
			if !strings.Contains(page, text) {
				t.Errorf("%s: the page lacks %q", name, text)
			}
		}
		if !strings.Contains(page, `<meta name="viewport"`) || !strings.Contains(page, `<div class="scroll narrow"><table>`) {
			t.Errorf("%s: the page is wider than a telephone", name)
		}
		if name == "file" && (strings.Contains(page, "<script") || strings.Contains(page, "href=") || strings.Contains(page, "src=")) {
			t.Error("the file needs something beside it")
		}
	}
	order["lang"] = "en"
	if page := string(d.ask(auditorToken, "/api/v1/journal/report/page", order).body); !strings.Contains(page, "Who asked about a person") || strings.Contains(page, "Кто запрашивал") {
		t.Error("the page in English is not")
	}
	delete(order, "lang")
	d.settle()
	bundle := d.ask(auditorToken, "/api/v1/journal/report/bundle", order)
	if bundle.StatusCode != http.StatusOK {
		t.Fatalf("bundle: %d %s", bundle.StatusCode, bundle.body)
	}
	if _, err := audit.VerifyBundle(bytes.NewReader(bundle.body), int64(len(bundle.body)), d.policy); err != nil {
		t.Errorf("the evidence: %v", err)
	}
	z, err := zip.NewReader(bytes.NewReader(bundle.body), int64(len(bundle.body)))
	d.must(err)
	told := ""
	for _, file := range z.File {
		r, err := file.Open()
		d.must(err)
		b, err := io.ReadAll(r)
		d.must(err)
		told += string(b)
	}
	if !strings.Contains(told, "00000000100") || !strings.Contains(told, "СЕМ-2026/11-001204") {
		t.Error("the evidence does not open what the report says")
	}
	for _, other := range []string{"00000000300", "00000000200", "Фёдор", "Пётр"} {
		if strings.Contains(told, other) {
			t.Errorf("the evidence about one person names another: %s", other)
		}
	}
	acts, opened := d.readings()
	if n := len(acts); acts[n-1] != "report-bundle" || acts[n-2] != "report" || !strings.Contains(opened[n-2], "actor=auditor court") || !strings.Contains(opened[n-2], "by-snils=00000000100") {
		t.Errorf("the journal tells of the reports: %v %v", acts, opened)
	}

	// Erasing the content about the person leaves nothing to find, whoever has
	// everything: not in the messages, nor in the entries that tell of readings.
	erase := map[string]any{"question": map[string]any{"person": order["person"]}, "ground": "152-ФЗ, ст. 21", "preview": true}
	preview := readJSON[ErasedContent](d, d.ask(operatorToken, "/api/v1/content/erase", erase))
	erase["expect"] = preview.Count
	delete(erase, "preview")
	if got := readJSON[ErasedContent](d, d.ask(operatorToken, "/api/v1/content/erase", erase)); got.Erased != 4 {
		t.Errorf("erased: %+v, want two exchanges of two messages", got)
	}
	d.settle()
	if left, err := d.book.Mentions(context.Background(), journal.PersonalField{Field: "snils", Value: "000-000-001 00"}, rep.From, rep.To); err != nil || len(left) > 0 {
		t.Errorf("the person is still in %d entries, %v", len(left), err)
	}
	if got := find(person("snils", "00000000100")); got != nil {
		t.Errorf("found after erasure: %v", got)
	}
	if again := readJSON[Report](d, d.ask(auditorToken, "/api/v1/journal/report", order)); len(again.Inquiries) != 0 {
		t.Errorf("reported after erasure: %+v", again.Inquiries)
	}
}

// That nobody is found under a field that no service names is no answer to a person:
// the question is told to be mistyped, wherever it is asked.
func TestAFieldThatNoServiceNamesIsNoAnswer(t *testing.T) {
	d := openDesk(t)
	d.demo()
	d.play("MUNI", "family-benefits/1.0.0")
	d.settle()
	for _, field := range []string{"snils", "snisl"} {
		person := map[string]any{"person": map[string]string{"field": field, "value": "000-000-009 00"}}
		for path, question := range map[string]any{"/api/v1/journal/search": person, "/api/v1/journal/report": person, "/api/v1/journal/report/page": person,
			"/api/v1/content/erase": map[string]any{"preview": true, "question": person}} {
			a := d.ask(operatorToken, path, question)
			if field == "snils" && a.StatusCode != http.StatusOK {
				t.Errorf("%s of nobody: %d %s", path, a.StatusCode, a.body)
			}
			if field == "snisl" && (a.StatusCode != http.StatusBadRequest || !strings.Contains(string(a.body), "name-birth, passport") || !strings.Contains(string(a.body), "snisl")) {
				t.Errorf("%s by a field that is not: %d %s", path, a.StatusCode, a.body)
			}
		}
	}
}

// The switches of the report's page, language and zone, lead to where a person is
// looked for: who it is about stands in no address.
func TestTheReportsPageCanBeLeft(t *testing.T) {
	d := openDesk(t)
	for path, want := range map[string]string{"/console/report?lang=en": "/console/report", "/console/report": "/console/search"} {
		if a := d.ask(auditorToken, path, nil); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != want {
			t.Errorf("%s: %d to %q, want %q", path, a.StatusCode, a.Header.Get("Location"), want)
		}
	}
}

// A report about a person gives the person's consents and counts those of others; where
// nothing tells whose they are, it gives all and says so.
func TestAReportLeavesOthersConsentsOut(t *testing.T) {
	d := openDesk(t)
	value := func(field, value string) journal.PersonalField {
		return journal.PersonalField{Field: field, Value: value}
	}
	accepted := func(message string, values ...journal.PersonalField) {
		t.Helper()
		d.must(d.Store.Record(context.Background(), journal.Event{Kind: journal.KindAccepted, Time: time.Now(), Message: message, MessageID: "m-" + message, Sender: "MUNI", Direction: "request", Personal: values}))
	}
	family := []journal.PersonalField{value("consent", "СОГЛАСИЕ 17"), value("consent-2", "СОГЛАСИЕ 18"), value("snils", "00000000100"), value("snils-2", "00000000300"), value("inn", "77")}
	accepted("1", append(family, value("consent-of", `{"consent":["snils"],"consent-2":["snils-2"]}`))...)
	accepted("2", family...) // an entry from before, or a description that does not tell
	accepted("3", value("consent", "СОГЛАСИЕ 19"), value("snils", "00000000100"))
	d.settle()
	about := func(field, v string) []Inquiry {
		t.Helper()
		return readJSON[Report](d, d.ask(auditorToken, "/api/v1/journal/report", map[string]any{"person": map[string]string{"field": field, "value": v}})).Inquiries
	}
	told := func(q Inquiry) string {
		var out []string
		for _, g := range q.Grounds {
			out = append(out, g.Value)
		}
		return fmt.Sprintf("%s, %d others, unclear %t", strings.Join(out, " "), q.Others, q.Unclear)
	}
	for _, c := range []struct {
		field, value string
		want         []string
	}{
		{"snils", "00000000100", []string{"СОГЛАСИЕ 17, 1 others, unclear false", "СОГЛАСИЕ 17 СОГЛАСИЕ 18, 0 others, unclear true", "СОГЛАСИЕ 19, 0 others, unclear false"}},
		{"snils", "00000000300", []string{"СОГЛАСИЕ 18, 1 others, unclear false", "СОГЛАСИЕ 17 СОГЛАСИЕ 18, 0 others, unclear true"}},
		{"inn", "77", []string{"СОГЛАСИЕ 17 СОГЛАСИЕ 18, 0 others, unclear true", "СОГЛАСИЕ 17 СОГЛАСИЕ 18, 0 others, unclear true"}},
	} {
		list := about(c.field, c.value)
		if len(list) != len(c.want) {
			t.Fatalf("%s: %d inquiries, want %d", c.value, len(list), len(c.want))
		}
		for i, q := range list {
			if got := told(q); got != c.want[i] {
				t.Errorf("%s, inquiry %d: %s, want %s", c.value, i, got, c.want[i])
			}
		}
	}
	page := string(d.ask(auditorToken, "/api/v1/journal/report/page", map[string]any{"person": map[string]string{"field": "snils", "value": "00000000300"}, "lang": "en"}).body)
	if !strings.Contains(page, "consents of other people, left out here: 1") || !strings.Contains(page, "does not tell whose") {
		t.Error("the page does not say so")
	}
	bundle := d.ask(auditorToken, "/api/v1/journal/report/bundle", map[string]any{"person": map[string]string{"field": "snils", "value": "00000000300"}})
	if bundle.StatusCode != http.StatusOK {
		t.Fatalf("bundle: %d %s", bundle.StatusCode, bundle.body)
	}
	e, err := audit.VerifyBundle(bytes.NewReader(bundle.body), int64(len(bundle.body)), d.policy)
	d.must(err)
	for _, x := range e.Entries {
		for _, o := range x.Openings {
			if x.Leaf.Message == "1" && o.Value == "СОГЛАСИЕ 17" {
				t.Error("the evidence opens another person's consent")
			}
		}
	}
}
