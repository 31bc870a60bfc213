package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// An operator sees at the desk what was not delivered and which rules are silent, has one
// be silent, lifts that, and has dead alarms tried again; an auditor only looks, and no
// other site's page orders anything. Each order is an entry of the journal.
func TestAlarmsAtTheDesk(t *testing.T) {
	d := openDesk(t)
	d.console.AlarmRules = func() []string { return []string{"late-answers", "morning"} }
	d.SQL(`INSERT INTO alarm (rule, way, target, event, message, stage, escalated, since, at, attempts, problem, dead)
		VALUES ('late-answers', 'mail', 'duty@fns.example.gov', '{"kind":"overdue","messageId":"fbaaa8e0-e60f-11f1-b256-e3ebba651313","time":"2026-01-01T00:00:00Z"}', gen_random_uuid(), 3, false, now(), now(), 9, 'no <such> mailbox', true)`)
	order := func(token, path, origin string, form url.Values) reply {
		t.Helper()
		req, err := http.NewRequest(http.MethodPost, d.site.URL+path, strings.NewReader(form.Encode()))
		d.must(err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Authorization", "Bearer "+token)
		if origin != "" {
			req.Header.Set("Sec-Fetch-Site", "cross-site")
			req.Header.Set("Origin", origin)
		}
		return d.do(req)
	}
	page := func(token string) string {
		t.Helper()
		a := d.ask(token, "/console/alarms", nil)
		if a.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		return string(a.body)
	}
	if p := page(operatorToken); !strings.Contains(p, "duty@fns.example.gov") || !strings.Contains(p, "no &lt;such&gt; mailbox") || !strings.Contains(p, `action="/console/alarms/retry"`) || !strings.Contains(p, "<option>morning</option>") {
		t.Errorf("the page does not tell what was not delivered: %s", p)
	}
	if p := page(auditorToken); !strings.Contains(p, "duty@fns.example.gov") || strings.Contains(p, `method="post" action`) || strings.Contains(p, "/console/alarms/retry") || strings.Contains(p, "/console/alarms/mute") {
		t.Error("an auditor is offered to order something")
	}
	mute := url.Values{"rule": {"late-answers"}, "seconds": {"28800"}, "ground": {"planned works"}}
	for what, a := range map[string]reply{
		"an auditor":     order(auditorToken, "/console/alarms/mute", "", mute),
		"another site":   order(operatorToken, "/console/alarms/mute", "https://evil.example", mute),
		"no token":       order("nobody-has-this-token-000000", "/console/alarms/mute", "", mute),
		"no ground":      order(operatorToken, "/console/alarms/mute", "", url.Values{"rule": {"late-answers"}, "seconds": {"60"}}),
		"no such rule":   order(operatorToken, "/console/alarms/mute", "", url.Values{"rule": {"gone"}, "seconds": {"60"}, "ground": {"g"}}),
		"no such time":   order(operatorToken, "/console/alarms/mute", "", url.Values{"rule": {"late-answers"}, "seconds": {"soon"}, "ground": {"g"}}),
		"too long":       order(operatorToken, "/console/alarms/mute", "", url.Values{"rule": {"late-answers"}, "seconds": {"18446744074"}, "ground": {"g"}}), // in nanoseconds it is less than a second
		"far too long":   order(operatorToken, "/console/alarms/mute", "", url.Values{"rule": {"late-answers"}, "seconds": {"10000000000"}, "ground": {"g"}}),
		"retry, auditor": order(auditorToken, "/console/alarms/retry", "", nil),
	} {
		if a.StatusCode < 300 || a.StatusCode < 400 && !strings.Contains(a.Header.Get("Location"), "/login") {
			t.Errorf("%s: %d %s", what, a.StatusCode, a.Header.Get("Location"))
		}
	}
	if list := ok[AlarmList](d, operatorToken, "/api/v1/alarms"); len(list.Muted) != 0 || len(list.Dead) != 1 {
		t.Fatalf("refused orders were carried out: %+v", list)
	}
	done := func(a reply) {
		t.Helper()
		if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/console/alarms" {
			t.Fatalf("%d %s %s", a.StatusCode, a.Header.Get("Location"), a.body)
		}
	}
	done(order(operatorToken, "/console/alarms/mute", "", mute))
	if p := page(operatorToken); !strings.Contains(p, "planned works") || !strings.Contains(p, `name="seconds" value="0"`) {
		t.Error("the silent rule is not shown, or cannot be lifted")
	}
	done(order(operatorToken, "/console/alarms/mute", "", url.Values{"rule": {"late-answers"}, "seconds": {"0"}, "ground": {"works are over"}}))
	done(order(operatorToken, "/console/alarms/retry", "", nil))
	if list := ok[AlarmList](d, operatorToken, "/api/v1/alarms"); len(list.Muted) != 0 || len(list.Dead) != 0 {
		t.Errorf("after lifting and trying again: %+v", list)
	}
	d.settle()
	outcomes := map[string]int{}
	for _, e := range ok[Found](d, operatorToken, "/api/v1/journal/entries?kind=alarm").Entries {
		outcomes[e.Outcome]++
	}
	if outcomes["mute"] != 1 || outcomes["unmute"] != 1 || outcomes["retry"] != 1 {
		t.Errorf("the journal has %v", outcomes)
	}
}
