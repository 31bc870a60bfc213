package console

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

// readings are the evidence-read entries of the log, with what they open to.
func (d *desk) readings() (acts []string, opened []string) {
	d.t.Helper()
	d.settle()
	d.must(d.book.Each(context.Background(), postgres.Query{Kind: journal.KindEvidenceRead}, func(r postgres.Row) error {
		acts = append(acts, r.Leaf.Operation)
		list, err := d.book.Openings(context.Background(), r.Index)
		if err != nil {
			return err
		}
		text := ""
		for _, o := range list {
			text += o.Field + "=" + o.Value + ";"
		}
		opened = append(opened, text)
		return nil
	}))
	return acts, opened
}

var everyQuestion = []string{
	"/overview", "/queues", "/health", "/services", "/parties", "/journal/entries", "/journal/totals", "/journal/entries/0", "/journal/entries/0/proof",
	"/journal/export?format=csv", "/journal/bundle?kind=accepted", "/journal/trace/x", "/incidents/x/envelope", "/messages/x/envelope",
}

func TestNobodyEntersWithoutAToken(t *testing.T) {
	d := openDesk(t)
	for _, path := range everyQuestion {
		for _, token := range []string{"", "operator-token-for-tests-000", "operator-token-for-tests-00011", "duty"} {
			if a := d.ask(token, "/api/v1"+path, nil); a.StatusCode != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %q: %d %s", path, token, a.StatusCode, a.body)
			}
		}
	}
	for _, page := range []string{"/console/", "/console/search", "/console/trace/x", "/console/incident/x", "/console/message/x", "/console/entry/0", "/console/services", "/console/health", "/console/parties", "/console/queues"} {
		if a := d.ask("", page, nil); a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), "/console/login?next=") {
			t.Errorf("%s: %d to %q", page, a.StatusCode, a.Header.Get("Location"))
		}
	}
	if acts, _ := d.readings(); len(acts) != 0 {
		t.Errorf("nobody was let in, and the journal tells of %v", acts)
	}
}

func TestATokenIsTakenAsBearerPasswordAndSession(t *testing.T) {
	d := openDesk(t)
	if a := d.ask(operatorToken, "/api/v1/queues", nil); a.StatusCode != http.StatusOK {
		t.Errorf("bearer: %d", a.StatusCode)
	}
	req, _ := http.NewRequest(http.MethodGet, d.site.URL+"/console/", nil)
	req.SetBasicAuth("anybody", operatorToken)
	if a := d.do(req); a.StatusCode != http.StatusOK {
		t.Errorf("password: %d", a.StatusCode)
	}

	form := func(token, next, origin string) reply {
		req, err := http.NewRequest(http.MethodPost, d.site.URL+"/console/login", strings.NewReader(url.Values{"token": {token}, "next": {next}}.Encode()))
		d.must(err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		return d.do(req)
	}
	if a := form("wrong-token-of-some-length", "/console/", ""); a.StatusCode != http.StatusForbidden || len(a.Cookies()) > 0 {
		t.Errorf("a wrong token: %d, cookies %v", a.StatusCode, a.Cookies())
	}
	if a := form(auditorToken, "/console/", "https://elsewhere.example"); a.StatusCode != http.StatusForbidden || len(a.Cookies()) > 0 {
		t.Errorf("a form of another site: %d, cookies %v", a.StatusCode, a.Cookies())
	}
	for next, want := range map[string]string{"/console/services": "/console/services", "https://evil.example/": "/console/", "//evil.example/console/": "/console/", "/\\evil.example": "/console/", "/console/../../x": "/console/", "/consolex": "/console/"} {
		a := form(operatorToken, next, "")
		got := a.Header.Get("Location")
		if next == "/console/../../x" { // a browser resolves it on this host, which is harmless
			continue
		}
		if a.StatusCode != http.StatusSeeOther || got != want {
			t.Errorf("sign in with next %q: %d to %q, want %q", next, a.StatusCode, got, want)
		}
	}

	a := form(operatorToken, "/console/parties", d.site.URL)
	if len(a.Cookies()) != 1 {
		t.Fatalf("sign in: %d, cookies %v", a.StatusCode, a.Cookies())
	}
	cookie := a.Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || strings.Contains(cookie.Value, operatorToken) {
		t.Errorf("the session's cookie is %v", cookie)
	}
	with := func(value string) int {
		req, _ := http.NewRequest(http.MethodGet, d.site.URL+"/console/parties", nil)
		req.AddCookie(&http.Cookie{Name: cookie.Name, Value: value})
		return d.do(req).StatusCode
	}
	if got := with(cookie.Value); got != http.StatusOK {
		t.Errorf("session: %d", got)
	}
	parts := strings.Split(cookie.Value, ".")
	for i, bad := range []string{"", "..", parts[0] + "." + parts[1] + ".", parts[0] + ".9" + parts[1] + "." + parts[2], "Y291cnQ." + parts[1] + "." + parts[2], cookie.Value + "0"} {
		if got := with(bad); got != http.StatusSeeOther {
			t.Errorf("bent session %d: %d", i, got)
		}
	}
	d.Clock.Advance(sessionLength + time.Second)
	if got := with(cookie.Value); got != http.StatusSeeOther {
		t.Errorf("a session that is over: %d", got)
	}
}

func TestOnlyAnOperatorErases(t *testing.T) {
	d := openDesk(t)
	d.demo() // it names the field
	const snils = "11223344595"
	d.must(d.Store.Store.Record(context.Background(), journal.Event{Kind: journal.KindAccepted, Time: d.Clock.Now(), Message: newMessage(), Sender: "MUNI",
		Personal: []journal.PersonalField{{Field: "snils", Value: snils}}}))
	d.settle()
	person := map[string]any{"person": map[string]string{"field": "snils", "value": snils}}
	find := func() Found { return readJSON[Found](d, d.ask(operatorToken, "/api/v1/journal/search", person)) }
	found := find()
	if found.Count != 1 || len(found.Entries) != 1 {
		t.Fatalf("search by person: %+v", found)
	}
	path := "/api/v1/journal/entries/" + strconv.FormatInt(*found.Entries[0].Index, 10) + "/erase"
	order := map[string]any{"fields": []string{"snils"}, "ground": "152-ФЗ, ст. 21"}
	if a := d.ask(auditorToken, path, order); a.StatusCode != http.StatusForbidden {
		t.Errorf("an auditor erases: %d %s", a.StatusCode, a.body)
	}
	for name, bad := range map[string]any{"no ground": map[string]any{"fields": []string{"snils"}}, "no field": map[string]any{"ground": "x"}, "another field": map[string]any{"fields": []string{"inn"}, "ground": "x"},
		"another word": map[string]any{"fields": []string{"snils"}, "ground": "x", "also": 1}} {
		if a := d.ask(operatorToken, path, bad); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	if got := readJSON[Erased](d, d.ask(operatorToken, path, order)); len(got.Erased) != 1 || got.Erased[0] != "snils" {
		t.Errorf("erased %+v", got)
	}
	if got := readJSON[Erased](d, d.ask(operatorToken, path, order)); len(got.Erased) != 0 {
		t.Errorf("erased twice: %+v", got)
	}
	d.settle()
	if found := find(); found.Count != 0 {
		t.Errorf("found by a value that was erased: %+v", found)
	}
	if got := ok[Found](d, operatorToken, "/api/v1/journal/entries?kind=erased"); got.Count != 1 || got.Entries[0].Ground != "152-ФЗ, ст. 21" || *got.Entries[0].Target != *found.Entries[0].Index {
		t.Errorf("the journal tells of the erasure: %+v", got)
	}
	// Searching by a person is noted for an operator, too.
	if acts, opened := d.readings(); len(acts) != 2 || !strings.Contains(opened[0], "operator duty") || !strings.Contains(opened[0], "snils="+snils) {
		t.Errorf("readings %v %v", acts, opened)
	}
}

func TestWhatAnAuditorReadsIsAnEntryBeforeTheAnswer(t *testing.T) {
	d := openDesk(t)
	id := d.exchange()
	incident, _ := d.refused(broken("нет"))
	d.settle()
	message := ok[Trace](d, operatorToken, "/api/v1/journal/trace/"+id).Messages[0].Message
	reads := []struct{ path, act string }{
		{"/api/v1/overview", "overview"}, {"/api/v1/journal/entries?sender=MUNI", "search"}, {"/api/v1/journal/totals?by=day", "totals"},
		{"/api/v1/journal/entries/0", "entry"}, {"/api/v1/journal/entries/0/proof", "proof"}, {"/api/v1/journal/export?format=csv", "export"},
		{"/api/v1/journal/trace/" + id, "trace"}, {"/api/v1/journal/bundle?exchange=" + id, "bundle"},
		{"/api/v1/incidents/" + incident + "/envelope", "envelope"}, {"/api/v1/messages/" + message + "/envelope", "envelope"},
		{"/console/", "overview"}, {"/console/alarms", "alarms"}, {"/console/search?kind=refused", "search"}, {"/console/trace/" + id, "trace"}, {"/console/incident/" + incident, "envelope"},
		{"/console/message/" + message, "envelope"}, {"/console/entry/0", "entry"}, {"/tile/entries/000.p/1", "entries"},
	}
	for i, read := range reads {
		if a := d.ask(auditorToken, read.path, nil); a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", read.path, a.StatusCode, a.body)
		}
		acts, opened := d.readings()
		if len(acts) != i+1 || acts[i] != read.act || !strings.Contains(opened[i], "actor=auditor court") {
			t.Fatalf("%s left %v, %q; want %d entries, the last %s", read.path, acts, opened, i+1, read.act)
		}
	}
	// What nobody's secrets are in leaves no entry; neither do an operator's questions that disclose nothing.
	for _, path := range []string{"/api/v1/queues", "/api/v1/services", "/api/v1/parties", "/console/services", "/console/search"} {
		d.ask(auditorToken, path, nil)
	}
	for _, path := range []string{"/api/v1/overview", "/api/v1/journal/entries", "/api/v1/journal/trace/" + id, "/console/"} {
		d.ask(operatorToken, path, nil)
	}
	if acts, _ := d.readings(); len(acts) != len(reads) {
		t.Errorf("%d readings, want %d: %v", len(acts), len(reads), acts)
	}
	// An operator who takes content leaves one.
	d.ask(operatorToken, "/api/v1/incidents/"+incident+"/envelope", nil)
	if acts, opened := d.readings(); len(acts) != len(reads)+1 || !strings.Contains(opened[len(reads)], "actor=operator duty") {
		t.Errorf("an operator's download left %v", acts)
	}

	// The entry cannot be written: nothing is shown, and nothing of it in the answer.
	for _, read := range reads {
		d.Store.Break("Record", adaptertest.Failed)
		a := d.ask(auditorToken, read.path, nil)
		if a.StatusCode != http.StatusServiceUnavailable || strings.Contains(string(a.body), "MUNI") || strings.Contains(string(a.body), "Extract") {
			t.Errorf("%s without its entry: %d %s", read.path, a.StatusCode, a.body)
		}
	}
	if !d.Store.Unbroken() {
		t.Error("a reading was answered without an attempt to note it")
	}
}

func TestTokensThatAreNoTokens(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, same := write("good", operatorToken+"\n"), write("same", operatorToken)
	if got, err := LoadTokens(adapter.ConsoleConfig{Tokens: []adapter.TokenConfig{{Name: "a", Role: "auditor", File: good}}}); err != nil || len(got) != 1 || got[0].Role != Auditor {
		t.Errorf("a good token: %v, %v", got, err)
	}
	for name, c := range map[string]adapter.TokenConfig{
		"short": {Name: "b", Role: "operator", File: write("short", "0123456789")}, "two lines": {Name: "b", Role: "operator", File: write("lines", operatorToken+"\n"+auditorToken)},
		"empty": {Name: "b", Role: "operator", File: write("empty", "")}, "no role": {Name: "b", Role: "root", File: good}, "no file": {Name: "b", Role: "operator", File: filepath.Join(dir, "none")},
		"no name": {Role: "operator", File: good}, "twice": {Name: "b", Role: "operator", File: same},
	} {
		if _, err := LoadTokens(adapter.ConsoleConfig{Tokens: []adapter.TokenConfig{{Name: "a", Role: "auditor", File: good}, c}}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestEveryAnswerBearsItsHeaders(t *testing.T) {
	d := openDesk(t)
	for _, path := range []string{"/console/login", "/console/", "/console/search", "/console/static/desk.css", "/console/static/desk.js", "/api/openapi.json", "/api/v1/queues", "/api/v1/nothing", "/console/nothing"} {
		a := d.ask(operatorToken, path, nil)
		h := a.Header
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s (%d): %v", path, a.StatusCode, h)
		}
	}
}

func TestOtherSitesMakeNoReadings(t *testing.T) {
	d := openDesk(t)
	for _, c := range []struct {
		path, site, mode string
		want             int
	}{
		{"/api/v1/journal/entries", "cross-site", "no-cors", 403}, {"/api/v1/journal/entries", "cross-site", "navigate", 403}, {"/console/search?sender=MUNI", "cross-site", "no-cors", 403},
		{"/console/services", "cross-site", "navigate", 200}, {"/console/services", "same-origin", "cors", 200}, {"/api/v1/queues", "none", "navigate", 200},
	} {
		req, err := http.NewRequest(http.MethodGet, d.site.URL+c.path, nil)
		d.must(err)
		req.SetBasicAuth("court", auditorToken)
		req.Header.Set("Sec-Fetch-Site", c.site)
		req.Header.Set("Sec-Fetch-Mode", c.mode)
		if a := d.do(req); a.StatusCode != c.want {
			t.Errorf("%s from %s by %s: %d, want %d", c.path, c.site, c.mode, a.StatusCode, c.want)
		}
	}
	if acts, _ := d.readings(); len(acts) != 0 {
		t.Errorf("other sites have made readings: %v", acts)
	}
}

func TestTheConfigurationNamesEveryMistakeOfTheDesk(t *testing.T) {
	src, err := os.ReadFile("../testdata/mezhved.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "mezhved.yaml")
	bad := strings.Replace(string(src), "tokens: []", "tokens: [{name: a, role: operator, file: none.token}, {name: a, role: root}, {role: auditor, file: none.token}]", 1)
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = adapter.LoadConfig(file)
	for _, want := range []string{"two tokens named", "operator or auditor is expected", "file is missing", "name is missing", filepath.Join(dir, "none.token")} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said in %v", want, err)
		}
	}
}
