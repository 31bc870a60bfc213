package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The desk speaks the language that a browser asks for until its reader chooses
// one.
func TestTheBrowsersLanguage(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"": "ru", "ru-RU,ru;q=0.9,en-US;q=0.8": "ru", "en-GB": "en", "de, en;q=0.7, ru;q=0.3": "en", "en;q=0.2,ru;q=0.5": "ru", "de,fr": "ru", "*": "ru", "en;q=x,ru;q=0": "ru", "en;q=0": "ru", "EN-us": "en",
	} {
		r := &http.Request{Header: http.Header{"Accept-Language": {header}}}
		if got := readerOf(r).lang; got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
		r.AddCookie(&http.Cookie{Name: languageCookie, Value: "en"})
		if got := readerOf(r).lang; got != "en" {
			t.Errorf("%q with a choice of English: %s", header, got)
		}
	}
}

func TestPeriods(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration][2]string{
		720 * time.Hour: {"30 дней", "30 days"}, 24 * time.Hour: {"1 день", "1 day"}, 52 * time.Hour: {"2 дня 4 часа", "2 days 4 hours"}, 21 * time.Minute: {"21 минута", "21 minutes"},
		11 * time.Second: {"11 секунд", "11 seconds"}, 90 * time.Minute: {"1 час 30 минут", "1 hour 30 minutes"}, 0: {"0", "0"},
	} {
		if ru, en := period(d, "ru"), period(d, "en"); ru != want[0] || en != want[1] {
			t.Errorf("%v: %q %q, want %q", d, ru, en, want)
		}
	}
}

// Pages show times of the desk's zone and take days and times of it; whoever asks
// for UTC has all in UTC. Parties have their names beside their mnemonics, and
// deadlines are told in words.
func TestPagesAreInTheReadersTerms(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.exchange()
	d.settle()
	accepted := ok[Trace](d, operatorToken, "/api/v1/journal/trace/"+id).Events[0].Time
	visit := func(path, zone string) string {
		req, err := http.NewRequest(http.MethodGet, d.site.URL+path, nil)
		d.must(err)
		req.Header.Set("Authorization", "Bearer "+operatorToken)
		req.AddCookie(&http.Cookie{Name: zoneCookie, Value: zone})
		a := d.do(req)
		if a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
		}
		return string(a.body)
	}
	const layout = "02.01.2006 15:04:05.000"
	moscow := accepted.Add(3 * time.Hour).Format(layout)
	for zone, want := range map[string][2]string{"": {moscow, "московское"}, "local": {moscow, "московское"}, "utc": {accepted.UTC().Format(layout), "UTC"}} {
		page := visit("/console/trace/"+id, zone)
		if !strings.Contains(page, want[0]) || !strings.Contains(page, "Время: "+want[1]) {
			t.Errorf("zone %q: the page has no %q", zone, want)
		}
	}
	if page := visit("/console/trace/"+id, ""); !strings.Contains(page, "Ведомство REGISTRY") || !strings.Contains(page, "<small title=\"Ведомство MUNI\">") {
		t.Error("the trace does not name the parties")
	}
	if page := visit("/console/services", ""); !strings.Contains(page, "5 дней") || strings.Contains(page, "120h") {
		t.Error("the deadline of a service is not told in words")
	}

	// The minute of the acceptance, as each zone writes it, finds the message; in
	// the other zone it does not, and what can be taken away is the same set.
	for zone, offset := range map[string]time.Duration{"local": 3 * time.Hour, "utc": 0} {
		at := accepted.UTC().Add(offset).Truncate(time.Minute)
		q := url.Values{"id": {id}, "kind": {"accepted"}, "sender": {"MUNI"}, "from": {at.Format("2006-01-02T15:04")}, "to": {at.Add(time.Minute).Format("02.01.2006 15:04")}}
		page := visit("/console/search?"+q.Encode(), zone)
		if !strings.Contains(page, "Найдено записей: 1<") {
			t.Errorf("zone %s: the message is not found at its time", zone)
		}
		other := map[string]string{"local": "utc", "utc": "local"}[zone]
		if page := visit("/console/search?"+q.Encode(), other); !strings.Contains(page, "Найдено записей: 0<") {
			t.Errorf("zone %s: the message is found at the time of another zone", other)
		}
		_, rest, _ := strings.Cut(page, `href="/api/v1/journal/export?`)
		link, _, _ := strings.Cut(rest, `"`)
		taken, err := url.ParseQuery(strings.ReplaceAll(link, "&amp;", "&"))
		d.must(err)
		if from, err := time.Parse(time.RFC3339, taken.Get("from")); err != nil || !from.Equal(at.Add(-offset)) {
			t.Errorf("zone %s: what is taken away begins at %q", zone, taken.Get("from"))
		}
	}
	a := d.ask(operatorToken, "/console/queues?zone=utc", nil)
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/console/queues" || len(a.Cookies()) != 1 || a.Cookies()[0].Name != zoneCookie || a.Cookies()[0].Value != "utc" {
		t.Errorf("the switch: %d to %q, %v", a.StatusCode, a.Header.Get("Location"), a.Cookies())
	}
}
