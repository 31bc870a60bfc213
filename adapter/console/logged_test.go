package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/postgres"
)

// What is asked at the desk, where people are looked for by name and number, is
// in the journal and in no line of the process's log, whatever goes wrong.
func TestWhatIsAskedStaysOutOfTheLog(t *testing.T) {
	t.Parallel()
	const personal = "ЗНАЧЕНИЕ-112-233-445"
	d := openDesk(t)
	d.exchange()
	incident, _ := d.refused(broken(personal))
	d.settle()
	e := url.PathEscape(personal)
	ask := func(method, path, body string) {
		for _, token := range []string{operatorToken, auditorToken, personal} {
			req, err := http.NewRequest(method, d.site.URL+path, strings.NewReader(body))
			d.must(err)
			req.Header.Set("Authorization", "Bearer "+token)
			req.Header.Set("User-Agent", personal)
			if strings.HasPrefix(body, "{") {
				req.Header.Set("Content-Type", "application/json")
			} else {
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			d.do(req)
		}
	}
	everything := func() {
		for _, path := range []string{"/console/trace/" + e, "/console/trace?id=" + e, "/console/incident/" + e, "/console/incident/" + incident, "/console/message/" + e,
			"/console/entry/" + e, "/console/search?sender=" + e, "/console/search?" + e + "=" + e, "/console/" + e, "/console/login?next=" + e,
			"/api/v1/journal/entries?id=" + e, "/api/v1/journal/totals?by=day&id=" + e, "/api/v1/journal/export?id=" + e, "/api/v1/journal/bundle?id=" + e, "/api/v1/journal/trace/" + e,
			"/api/v1/messages/" + e + "/envelope", "/api/v1/incidents/" + e + "/envelope", "/checkpoint?x=" + e, "/tile/" + e, "/tile/0/" + e} {
			ask(http.MethodGet, path, "")
		}
		ask(http.MethodPost, "/console/search", url.Values{"field": {"snils"}, "value": {personal}}.Encode())
		ask(http.MethodPost, "/console/login", url.Values{"token": {personal}, "next": {personal}}.Encode())
		ask(http.MethodPost, "/api/v1/journal/search", `{"person":{"field":"snils","value":"`+personal+`"}}`)
		ask(http.MethodPost, "/api/v1/journal/search", `{"`+personal+`":"`+personal+`"}`)
	}
	everything()
	for range 500 { // every reading fails
		d.Store.Break("Record", adaptertest.Failed)
	}
	everything()
	go d.Store.Store.(*postgres.Store).Close() // what is not noted cannot be read either; it waits for loops that hold connections
	d.Eventually("the store gives no more answers", func() bool {
		everything()
		return strings.Contains(d.Log.String(), "route=/console/trace/{id}") // whichever page came first
	})
	for _, line := range []string{"a wrong token", "cannot be journalled", "/console/trace/{id}"} {
		if !strings.Contains(d.Log.String(), line) {
			t.Errorf("the log has no line of %s", line)
		}
	}
	for line := range strings.Lines(d.Log.String()) {
		if strings.Contains(line, personal) || strings.Contains(line, "112-233-445") || strings.Contains(line, e) {
			t.Error(line)
		}
	}
}
