package console

import (
	"net/http"
	"strings"
	"testing"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/lifecycle/passport"
)

// TestPassport: the page of a service is one click from the list of services, for
// those who may look there, and bears no style but its own.
func TestPassport(t *testing.T) {
	d := openDesk(t)
	if list := d.visit("/console/services", ""); !strings.Contains(list, `href="/console/services/extract/1.0"`) {
		t.Errorf("the list of services leads to no passport")
	}
	page := d.visit("/console/services/extract/1.0", "")
	for _, want := range []string{"Паспорт вида сведений", adaptertest.Extract1, "Колл-центру", "/smev/v1.2/ws?wsdl", "Срок ответа: 5 дней"} {
		if !strings.Contains(page, want) {
			t.Errorf("the passport lacks %q", want)
		}
	}
	a := d.ask(operatorToken, "/console/services/extract/1.0", nil)
	if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'; style-src "+passport.StyleSource()+";") {
		t.Errorf("policy %s", csp)
	}
	for path, status := range map[string]int{"/console/services/extract/9.9": http.StatusNotFound, "/console/services/..%2f..%2fx/1.0": http.StatusNotFound} {
		if a := d.ask(operatorToken, path, nil); a.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, a.StatusCode, status)
		}
	}
}
