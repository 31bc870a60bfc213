package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mezhved/adapter/adaptertest"
	"mezhved/envelopes"
)

// By which door a message came, which chain it belongs to and whether it is a test
// is said by its entries, and everything that is found and counted goes by it.
func TestDoorChainAndTestTraffic(t *testing.T) {
	d := openDesk(t)
	muni, registry := d.Party("MUNI"), d.Party("REGISTRY")
	const chain = "0a0f8f5c-0000-11f0-8000-000000000001"
	send := func(p *adaptertest.Party, door string, r adaptertest.Request) string {
		t.Helper()
		kind, body, id := p.BuildRequest(r)
		if a := p.Post(door, kind, body); a.Fault != nil {
			t.Fatal(a.Fault)
		}
		return id
	}
	plain := send(muni, "/smev/v1.2/ws", adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)})
	chained := send(muni.In(envelopes.V13), "/ws", adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), Reference: chain})
	tested := send(muni, "/ws", adaptertest.Request{Content: adaptertest.Content(adaptertest.Trial), Test: true})
	for range 3 {
		m := registry.In(envelopes.V13).Await(envelopes.GetRequest, "").Message
		if a := registry.Ack(m.Metadata.MessageID); a.Fault != nil {
			t.Fatal(a.Fault)
		}
		answer := adaptertest.Extract1
		if m.Metadata.MessageID == tested {
			answer = adaptertest.Trial
		}
		if a := registry.Reply(m.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(answer)}); a.Fault != nil {
			t.Fatal(a.Fault)
		}
	}
	kind, body, _ := muni.BuildRequest(adaptertest.Request{Content: broken("нет"), Test: true})
	if a := muni.Post("/ws", kind, body); a.Fault == nil {
		t.Fatal("the broken test was taken")
	}
	d.settle()

	said := func(id string) (out []string) {
		for _, e := range ok[Trace](d, operatorToken, "/api/v1/journal/trace/"+id).Events {
			if e.MessageID == id && e.Kind != "routed" {
				out = append(out, fmt.Sprintf("%s %q %q %t", e.Kind, e.Channel, e.Reference, e.Test))
			}
		}
		return out
	}
	for id, want := range map[string][]string{
		plain:   {`accepted "smev/1.2" "" false`, `queued "" "" false`, `delivered "ws/1.3" "" false`, `acknowledged "ws/1.2" "" false`, `answered "" "" false`},
		chained: {`accepted "ws/1.3" "` + chain + `" false`, `queued "" "" false`, `delivered "ws/1.3" "" false`, `acknowledged "ws/1.2" "" false`, `answered "" "" false`},
		tested:  {`accepted "ws/1.2" "" true`, `queued "" "" true`, `delivered "ws/1.3" "" true`, `acknowledged "ws/1.2" "" true`, `answered "" "" true`},
	} {
		if got := said(id); !slices.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", id, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}

	count := func(question string) int64 {
		t.Helper()
		return ok[Found](d, operatorToken, "/api/v1/journal/entries?"+question).Count
	}
	all, without, only := count(""), count("test=no"), count("test=only")
	if without+only != all || only < 8 || without < 12 {
		t.Errorf("%d entries, %d without tests, %d of tests", all, without, only)
	}
	if n := count("test=only&kind=refused"); n != 1 {
		t.Errorf("%d refused tests, want 1", n)
	}
	if n := count("channel=smev/1.2"); n != 1 {
		t.Errorf("%d entries by the door of 1.2, want 1", n)
	}
	// The request of the chain, and its answer, with all that happened to them.
	found := ok[Found](d, operatorToken, "/api/v1/journal/entries?reference="+chain)
	messages := map[string]bool{}
	for _, e := range found.Entries {
		messages[e.Message] = true
	}
	if len(messages) != 2 || found.Count < 8 {
		t.Errorf("the chain has %d entries of %d messages", found.Count, len(messages))
	}
	totals := ok[Totals](d, operatorToken, "/api/v1/journal/totals?by=test,channel&kind=accepted")
	var counted []string
	for _, one := range totals.Totals {
		counted = append(counted, fmt.Sprintf("%s %s %d", one.Test, one.Channel, one.Entries))
	}
	if want := []string{"false smev/1.2 1", "true ws/1.2 2", "false ws/1.2 2", "false ws/1.3 1"}; !sameLines(counted, want) {
		t.Errorf("totals %q, want %q", counted, want)
	}
	if a := d.ask(operatorToken, "/api/v1/journal/entries?test=maybe", nil); a.StatusCode != http.StatusBadRequest {
		t.Errorf("test=maybe: %d", a.StatusCode)
	}

	// The desk's one switch.
	accepted := func(overview string) (n int64) {
		var o Overview
		d.must(json.Unmarshal(d.ask(operatorToken, "/api/v1/overview"+overview, nil).body, &o))
		for _, one := range o.Today {
			if one.Kind == "accepted" {
				n = one.Entries
			}
		}
		return n
	}
	if with, without := accepted(""), accepted("?test=no"); with != 6 || without != 4 {
		t.Errorf("accepted today: %d, without tests %d", with, without)
	}
	page := func(path string, cookies ...*http.Cookie) (string, []*http.Cookie) {
		req, err := http.NewRequest(http.MethodGet, d.site.URL+path, nil)
		d.must(err)
		req.Header.Set("Authorization", "Bearer "+operatorToken)
		for _, c := range cookies {
			req.AddCookie(c)
		}
		a := d.do(req)
		return string(a.body), a.Cookies()
	}
	if shown, _ := page("/console/"); !strings.Contains(shown, `href="/console/search?test=only"`) || !strings.Contains(shown, `<td class="n">4</td>`) || strings.Contains(shown, `<td class="n">6</td>`) {
		t.Error("the first page counts tests among what is done for people")
	}
	if shown, _ := page("/console/search?kind=accepted"); !strings.Contains(shown, tested) {
		t.Error("the desk keeps silent of tests unasked")
	}
	_, chosen := page("/console/search?tests=hidden")
	if len(chosen) != 1 {
		t.Fatalf("the switch is not remembered: %v", chosen)
	}
	if shown, _ := page("/console/search?kind=accepted", chosen...); strings.Contains(shown, tested) || !strings.Contains(shown, plain) || !strings.Contains(shown, "test=no") {
		t.Error("the switch does not leave tests out of the search, or out of what is taken away")
	}
	if shown, _ := page("/console/search?kind=accepted&test=only", chosen...); !strings.Contains(shown, tested) || strings.Contains(shown, plain) {
		t.Error("a question that asks for tests is not answered")
	}
}

func sameLines(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}
