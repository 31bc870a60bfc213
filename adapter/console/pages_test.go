package console

import (
	"context"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/terms"
)

// submit sends a form to a page as the operator.
func (d *desk) submit(path string, form url.Values) string {
	d.t.Helper()
	req, err := http.NewRequest(http.MethodPost, d.site.URL+path, strings.NewReader(form.Encode()))
	d.must(err)
	req.Header.Set("Authorization", "Bearer "+operatorToken)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a := d.do(req)
	if a.StatusCode != http.StatusOK {
		d.t.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
	}
	return string(a.body)
}

// visit opens a page as the operator in a language.
func (d *desk) visit(path, lang string) string {
	d.t.Helper()
	req, err := http.NewRequest(http.MethodGet, d.site.URL+path, nil)
	d.must(err)
	req.Header.Set("Authorization", "Bearer "+operatorToken)
	req.AddCookie(&http.Cookie{Name: languageCookie, Value: lang})
	a := d.do(req)
	if a.StatusCode != http.StatusOK {
		d.t.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
	}
	return string(a.body)
}

var (
	comes  = regexp.MustCompile(`(?i)(src|href|action)\s*=\s*"([^"]*)"`)
	active = regexp.MustCompile(`(?i)<(script|iframe|object|embed|base|meta|form|svg|img|style|link)\b|\son[a-z]+\s*=|style\s*=|javascript:`)
)

// The texts that a sender can choose stand in many places: identifiers, names of
// elements, values in error messages, whole envelopes. None becomes markup, and
// none changes the direction or the look of a line unseen.
func TestWhatASenderWritesIsOnlyText(t *testing.T) {
	d := openDesk(t)
	const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>` + "\u202egnp.exe\u2066\u200b\u0007"
	forXML := strings.NewReplacer("<", "&lt;", ">", "&gt;", `"`, "&quot;", "\u0007", "").Replace(evil)
	incident, _ := d.refused(broken(forXML))
	// An element whose name turns the line, and an unknown root.
	d.refused(`<e:ExtractRequest xmlns:e="` + adaptertest.Extract1 + `"><e:Номер-javascript.alert._х onclick="alert(1)">1</e:Номер-javascript.alert._х></e:ExtractRequest>`)
	d.refused(`<x xmlns="javascript:alert(1)"/>`)
	id := d.Party("MUNI").ID()
	d.Party("MUNI").Send(adaptertest.Request{ID: id[:20] + "<b>bold</b>\"onload", Content: adaptertest.Content(adaptertest.Extract1)})
	raw := d.Party("MUNI").Post("/ws", `text/xml; x="<script>alert(3)</script>"`, []byte(`<a>`+evil+`]]>`))
	// What a broken or hostile node could put into the journal.
	d.must(d.Store.Store.Record(context.Background(), journal.Event{Kind: journal.KindRefused, Time: d.Clock.Now(), MessageID: evil, Sender: evil, Recipient: evil, Service: evil, Version: evil, Outcome: evil, Rule: evil, Incident: evil, Node: evil, Ground: evil, Message: evil}))
	d.settle()

	pages := []string{"/console/", "/console/search?order=newest&by=service", "/console/search?id=" + url.QueryEscape(evil), "/console/trace/" + incident, "/console/incident/" + incident, "/console/trace/" + url.PathEscape(strings.ReplaceAll(evil, "\u0007", " ")),
		"/console/incident/" + raw.Header.Get("X-Mezhved-Incident"), "/console/entry/0", "/console/queues", "/console/services", "/console/parties"}
	for i, e := range ok[Found](d, operatorToken, "/api/v1/journal/entries?kind=refused").Entries {
		if e.Incident != "" {
			pages = append(pages, "/console/incident/"+url.PathEscape(e.Incident), "/console/trace/"+url.PathEscape(e.Incident))
		}
		if i > 20 {
			break
		}
	}
	shown := 0
	for _, path := range pages {
		for _, lang := range []string{"ru", "en"} {
			page := d.visit(path, lang)
			if strings.ContainsFunc(page, func(r rune) bool { return hidden(r, true) }) {
				t.Errorf("%s: characters that are not seen stand in the page", path)
			}
			shown += strings.Count(page, "⟨U+202E⟩")
			for _, bad := range []string{"<script>", "<img src=x", "<b>bold", "</script>\"", "javascript:alert(1)\""} {
				if strings.Contains(page, bad) {
					t.Errorf("%s: %q stands in the page", path, bad)
				}
			}
			for _, m := range comes.FindAllStringSubmatch(page, -1) {
				if to := html.UnescapeString(m[2]); !strings.HasPrefix(to, "/console/") && !strings.HasPrefix(to, "/api/") && to != "#main" && to != "#bad" {
					t.Errorf("%s: leads to %q", path, to)
				}
			}
			// The frame's own markup, and nothing of the kind besides.
			allowed := strings.NewReplacer(`<meta charset`, "", `<meta name="viewport"`, "", `<meta name="color-scheme"`, "", `<link rel="stylesheet"`, "", `<link rel="icon"`, "", `<script src="/console/static/desk.js"`, "",
				`<img src="/console/static/mark.svg"`, "", `<form class="find"`, "", `<form action="/console/logout"`, "", `<form class="filters`, "", `<form class="filters panel" action="/console/search" method="post"`, "", `<svg viewBox="0 0 100 10"`, "").Replace(page)
			tags := regexp.MustCompile(`<[^>]*>`).FindAllString(allowed, -1)
			for _, tag := range tags {
				plain := regexp.MustCompile(`"[^"]*"`).ReplaceAllString(tag, `""`)
				if active.MatchString(plain) {
					t.Errorf("%s: %s", path, tag)
				}
			}
		}
	}
	if shown < 10 {
		t.Errorf("the hostile text was shown %d times: the test looks at too little", shown)
	}
}

func TestPagesSpeakBothLanguages(t *testing.T) {
	d := openDesk(t)
	id := d.exchange()
	incident, _ := d.refused(broken("нет"))
	d.settle()
	message := ok[Trace](d, operatorToken, "/api/v1/journal/trace/"+id).Messages[0].Message
	for path, want := range map[string][2]string{
		"/console/": {"Последние отказы", "Latest refusals"}, "/console/search?sender=MUNI": {"Найдено записей", "Entries found"}, "/console/trace/" + id: {"Ход событий", "Timeline"},
		"/console/incident/" + incident: {"Сообщение не соответствует схеме", "does not hold against its schema"}, "/console/message/" + message: {"Как получен", "As received"},
		"/console/services": {"Срок ответа", "Deadline"}, "/console/parties": {"Сертификаты", "Certificates"}, "/console/queues": {"Очереди", "Queues"}, "/console/late": {"На сегодня сроков нет", "Nothing is due today"}, "/console/alarms": {"Всё доставлено", "All was delivered"}, "/console/entry/0": {"Байты листа", "Bytes of the leaf"},
	} {
		for i, lang := range []string{"ru", "en"} {
			page := d.visit(path, lang)
			if !strings.Contains(page, want[i]) || strings.Contains(page, want[1-i]) || !strings.Contains(page, `<html lang="`+lang+`"`) {
				t.Errorf("%s in %s does not say %q alone", path, lang, want[i])
			}
		}
	}
	a := d.ask(operatorToken, "/console/search?sender=MUNI&lang=en", nil)
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/console/search?sender=MUNI" || len(a.Cookies()) != 1 || a.Cookies()[0].Value != "en" {
		t.Errorf("the switch: %d to %q, %v", a.StatusCode, a.Header.Get("Location"), a.Cookies())
	}
}

// Pages are parsed when they are shown first: that each can be is found here, and not by
// whoever opens it.
func TestEveryPageIsATemplate(t *testing.T) {
	t.Parallel()
	c := &Console{Rooms: Rooms{Zone: terms.Moscow}}
	p := c.preparePages()
	for to, pages := range p.of {
		for name, page := range pages {
			if page().Lookup("frame.html") == nil {
				t.Errorf("%s for %+v stands in no frame", name, to)
			}
		}
		if p.print[to]() == nil {
			t.Errorf("nothing to print for %+v", to)
		}
	}
}

// Where a proxy has put the node under a path, every address of every page lies
// under it, and so does what the desk redirects to.
func TestPagesUnderAPath(t *testing.T) {
	const path = "/exchange/node-1"
	d := openDesk(t, adaptertest.WithConfig(func(c *adapter.Config) { c.URL = "https://smev.region.example" + path + "/" }))
	id := d.exchange()
	incident, _ := d.refused(broken("нет"))
	d.settle()
	address := regexp.MustCompile(` (?:href|src|action)="([^"]*)"`)
	for _, page := range []string{"/console/", "/console/search?sender=MUNI", "/console/trace/" + id, "/console/incident/" + incident, "/console/services", "/console/parties", "/console/queues", "/console/late", "/console/entry/0", "/console/login"} {
		found := address.FindAllStringSubmatch(d.visit(page, "ru"), -1)
		for _, m := range found {
			if !strings.HasPrefix(m[1], path+"/") && !strings.HasPrefix(m[1], "#") {
				t.Errorf("%s leads to %s", page, m[1])
			}
		}
		if len(found) < 5 {
			t.Errorf("%s has %d addresses", page, len(found))
		}
	}
	for _, a := range []reply{d.ask("", "/console/queues", nil), d.ask(operatorToken, "/console/queues?lang=en", nil)} {
		if got := a.Header.Get("Location"); !strings.HasPrefix(got, path+"/console/") {
			t.Errorf("redirected to %s", got)
		}
	}
	// Whether the proxy takes the path off or not, the doors are found.
	for _, door := range []string{"/smev/v1.2/ws?wsdl", path + "/smev/v1.2/ws?wsdl"} {
		resp, err := d.HTTP.Get(d.URL + door)
		d.must(err)
		b, err := io.ReadAll(resp.Body)
		d.must(err)
		resp.Body.Close()
		if want := `location="https://smev.region.example` + path + `/smev/v1.2/ws"`; !strings.Contains(string(b), want) {
			t.Errorf("%s: %d, not %s", door, resp.StatusCode, want)
		}
	}
}

func TestTheIncidentPageMarksThePlace(t *testing.T) {
	d := openDesk(t)
	incident, _ := d.refused(broken("семь"))
	d.settle()
	page := d.visit("/console/incident/"+incident, "ru")
	if mark := regexp.MustCompile(`<mark>([^<]*)</mark>`).FindStringSubmatch(page); mark == nil || !strings.Contains(html.UnescapeString(mark[1]), "КадастровыйНомер") {
		t.Errorf("marked %q", mark)
	}
	if !strings.Contains(page, `id="bad"`) || !strings.Contains(page, "cvc-pattern-valid") {
		t.Error("the page does not lead to the place")
	}
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"Выписка из ЕГРН № 7": "Выписка из ЕГРН № 7", "a\u202eb": "a⟨U+202E⟩b", "a\x00\n\tb": "a⟨U+0000⟩⟨U+000A⟩⟨U+0009⟩b", "\u200f\ufeff\u2028": "⟨U+200F⟩⟨U+FEFF⟩⟨U+2028⟩",
		"a\xffb\xc3": "a⟨FF⟩b⟨C3⟩", "\u00ad": "⟨U+00AD⟩", "\u061c": "⟨U+061C⟩", "\x1b[31m": "⟨U+001B⟩[31m", "\u3164": "⟨U+3164⟩",
	} {
		if got := Visible(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := visibleLines("a\n\tb\r"); got != "a\n\tb⟨U+000D⟩" {
		t.Errorf("lines: %q", got)
	}
}

func TestThePlaceIsCutAtCharacters(t *testing.T) {
	for _, c := range []struct {
		text                string
		col                 int
		before, mark, after string
	}{
		{"<а><б>в</б></а>", 4, "<а>", "<б>", "в</б></а>"}, {"абв", 2, "а", "бв", ""}, {"абв", 99, "абв", "", ""}, {"", 1, "", "", ""}, {"<a>", 0, "", "<a>", ""},
		{strings.Repeat("я", 300), 1, "", strings.Repeat("я", 100), strings.Repeat("я", 200)},
	} {
		if b, m, a := around(c.text, c.col); b != c.before || m != c.mark || a != c.after {
			t.Errorf("%.20q at %d: %q, %q, %q", c.text, c.col, b, m, a)
		}
	}
}

// A document that would fill the stack of a recursive reader is shown as it is.
func TestDeepDocumentsAreNotIndented(t *testing.T) {
	deep := strings.Repeat("<a>", 60_000)
	v := viewOf("text/xml", []byte(deep), 0, 0, nil)
	if v.Pretty != nil || len(v.Raw) != 1 {
		t.Errorf("%d lines indented", len(v.Pretty))
	}
	if v := viewOf("text/xml", []byte("<a><b>1</b></a>"), 0, 0, nil); len(v.Pretty) != 3 {
		t.Errorf("indented into %d lines, want 3", len(v.Pretty))
	}
	if v := viewOf("text/xml", []byte(`<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>`), 0, 0, nil); v.Pretty != nil {
		t.Error("a document with a DOCTYPE was parsed for display")
	}
}

func TestASearchByPersonStandsInNoAddress(t *testing.T) {
	d := openDesk(t)
	d.demo() // it names the field
	id := newMessage()
	d.must(d.Store.Store.Record(context.Background(), journal.Event{Kind: journal.KindAccepted, Time: d.Clock.Now(), Message: id, Sender: "MUNI", Personal: []journal.PersonalField{{Field: "snils", Value: "11223344595"}}}))
	d.settle()
	post := func(value, origin string) reply {
		req, err := http.NewRequest(http.MethodPost, d.site.URL+"/console/search", strings.NewReader(url.Values{"field": {"snils"}, "value": {value}}.Encode()))
		d.must(err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Authorization", "Bearer "+auditorToken)
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		return d.do(req)
	}
	if a := post("11223344595", ""); a.StatusCode != http.StatusOK || !strings.Contains(string(a.body), id) || strings.Contains(string(a.body), "11223344595") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := post("11223344596", ""); a.StatusCode != http.StatusOK || strings.Contains(string(a.body), id) {
		t.Errorf("another value: %d", a.StatusCode)
	}
	if a := post("11223344595", "https://elsewhere.example"); a.StatusCode != http.StatusForbidden {
		t.Errorf("a form of another site: %d", a.StatusCode)
	}
	if a := post("", ""); a.StatusCode != http.StatusBadRequest {
		t.Errorf("no value: %d", a.StatusCode)
	}
	if acts, opened := d.readings(); len(acts) != 2 || !strings.Contains(opened[0], "snils=11223344595") {
		t.Errorf("readings %v %v", acts, opened)
	}
	if a := d.ask(auditorToken, "/console/search?person=1", nil); a.StatusCode != http.StatusBadRequest {
		t.Errorf("a person in an address: %d", a.StatusCode)
	}
}

// A page speaks its reader's language when it says no, too.
func TestRefusedPagesSpeakTheReadersLanguage(t *testing.T) {
	d := openDesk(t)
	said := regexp.MustCompile(`(?s)<h1>(.*?)</h1>\s*<p>(.*?)</p>`)
	for path, status := range map[string]int{
		"/console/nothing": http.StatusNotFound, "/console/trace/nobody": http.StatusNotFound, "/console/incident/none": http.StatusNotFound,
		"/console/entry/99999": http.StatusNotFound, "/console/entry/one": http.StatusBadRequest, "/console/search?kind=x": http.StatusBadRequest,
		"/console/search?from=yesterday": http.StatusBadRequest, "/console/search?certificate=1": http.StatusBadRequest, "/console/message/none": http.StatusNotFound,
	} {
		for _, lang := range []string{"ru", "en"} {
			req, err := http.NewRequest(http.MethodGet, d.site.URL+path, nil)
			d.must(err)
			req.Header.Set("Authorization", "Bearer "+operatorToken)
			req.AddCookie(&http.Cookie{Name: languageCookie, Value: lang})
			a := d.do(req)
			m := said.FindStringSubmatch(string(a.body))
			if a.StatusCode != status || m == nil {
				t.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
			}
			for _, sentence := range m[1:] {
				if russian := regexp.MustCompile(`[а-я]{4}`).MatchString(sentence); russian != (lang == "ru") {
					t.Errorf("%s says in %s: %q", path, lang, sentence)
				}
			}
		}
	}
}

// What stands still is told on the first page, in the reader's language.
func TestTheFirstPageTellsWhatStandsStill(t *testing.T) {
	d := openDesk(t)
	o := &Overview{Ready: true}
	// So is why a log was stopped, by whoever stopped it.
	back := (&clerk.RollbackError{Origin: "log.example", Signed: tlog.Tree{N: 7}, Shown: tlog.Tree{N: 5}, Cause: errors.New("no proof")}).Error()
	for why, ru := range map[string]string{back: "подписано записей — 7", clerk.RestoredWhy("2026-03-01T00:00:00Z", "b-17"): "из резервной копии b-17;", "something": "как её записал узел: something"} {
		d.must(d.book.Stop(context.Background(), why))
		for lang, want := range map[string]string{"ru": ru, "en": html.EscapeString(why)} {
			page := d.visit("/console/", lang)
			if !strings.Contains(page, want) || lang == "ru" && why != "something" && strings.Contains(page, html.EscapeString(why[:40])) {
				t.Errorf("%s: the page does not say %q", lang, want)
			}
		}
	}
	d.must(d.book.Stop(context.Background(), ""))
	for _, s := range []adapter.Station{adapter.StationOutbox, adapter.StationBus, adapter.StationJournal, adapter.StationCheckpoint, adapter.StationFeed, adapter.StationTerm, adapter.StationVault, adapter.StationVaultFolder, "watch"} {
		o.Standing = append(o.Standing, Still{Station: string(s), Since: d.Clock.Now(), Text: "look at " + string(s)})
	}
	for lang, want := range map[string]string{"ru": "Стоит с ", "en": "Stands still since "} {
		r := httptest.NewRequest(http.MethodGet, "/console/", nil)
		r.AddCookie(&http.Cookie{Name: languageCookie, Value: lang})
		w := httptest.NewRecorder()
		d.console.render(w, r, http.StatusOK, "overview", Actor{Name: "duty", Role: Operator}, &overviewPage{Overview: o})
		if got := strings.Count(w.Body.String(), want); got != len(o.Standing) {
			t.Errorf("%s: %d of %d are told", lang, got, len(o.Standing))
		}
		for _, s := range o.Standing {
			if sentence := stationSentences[s.Station]; sentence == "" || strings.Contains(w.Body.String(), s.Text) != (lang == "en") {
				t.Errorf("%s: station %s is told as %q", lang, s.Station, sentence)
			}
		}
	}
}
