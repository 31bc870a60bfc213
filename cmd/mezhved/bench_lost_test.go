package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/console"
	"mezhved/adapter/party"
	"mezhved/envelopes"
)

// What fails alike has one reason, which names no single call; the one seen most comes first.
func TestReasonsAreCounted(t *testing.T) {
	w := &whys{}
	for _, incident := range []string{"a", "b", "c"} {
		w.failed(&party.FaultError{Fault: &envelopes.Fault{Kind: envelopes.SMEVFailure, Code: "PP-51", Text: "нет места"}, Status: 503, Incident: incident})
	}
	w.failed(&party.HTTPError{Status: 502})
	for _, name := range []string{"/x", "/y"} {
		_, err := (&http.Client{Timeout: time.Second}).Get("http://127.0.0.1:1" + name)
		w.failed(err)
	}
	for _, port := range []int{40001, 40002} {
		w.failed(&url.Error{Op: "Post", URL: "/", Err: &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: port}, Addr: &net.TCPAddr{Port: 80}, Err: os.ErrDeadlineExceeded}})
	}
	w.refused(503, []byte("<Fault><faultstring>шлюз занят</faultstring></Fault>"))
	w.add(stands(&console.Trace{Messages: []console.Message{{Direction: "request", Stands: "acknowledged"}, {Direction: "response", Stands: "routed"}}}))
	said := w.all().String()
	lines := strings.Split(strings.TrimRight(said, "\n"), "\n")
	if len(lines) != 6 || !strings.Contains(lines[0], "3  a call was refused: SMEVFailure PP-51, HTTP 503") || !strings.Contains(lines[1], "2  a call had no answer: dial tcp 127.0.0.1:1") {
		t.Errorf("said:\n%s", said)
	}
	for _, want := range []string{"2  a call had no answer: read tcp :80: i/o timeout", "1  a call was answered HTTP 502", "1  a call was refused: HTTP 503, шлюз занят", "1  it stands: request acknowledged, response routed"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in\n%s", want, said)
		}
	}
	if said := (&whys{}).all().String(); said != "" {
		t.Errorf("without reasons: %q", said)
	}
}

// Of what is lost the journal is asked, a few hundred at most.
func TestWhereLostMessagesStand(t *testing.T) {
	asked := 0
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		switch id := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]; id {
		case "gone":
			http.NotFound(w, r)
		case "stuck":
			w.Write([]byte(`{"messages":[{"direction":"request","stands":"accepted"}]}`))
		default:
			w.Write([]byte(`{"messages":[]}`))
		}
	}))
	defer site.Close()
	w := &whys{}
	ids := []string{"gone", "stuck"}
	for range mostAsked {
		ids = append(ids, "refused")
	}
	w.lost(context.Background(), &bed{base: site.URL, dir: t.TempDir()}, ids)
	got := w.all()
	if asked != mostAsked || got["it stands: request accepted"] != 1 || got["the journal has nothing of it: it was not accepted"] != 1 || got["it was refused"] != mostAsked-2 || got["not asked for: beyond the first 200"] != 2 {
		t.Errorf("asked %d times, %v", asked, got)
	}
}
