package console

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mezhved/adapter/adaptertest"
)

// One id leads from what a caller was told to the log, the histogram's example and the
// desk, and from each of them to the others: the caller's trace id, or where it tells of
// none the one that the gateway gives the call.
func TestOneIDJoinsAnswerLogExampleAndDesk(t *testing.T) {
	const theirs = "0af7651916cd43dd8448eb211c80319c"
	for name, traceparent := range map[string]string{"the caller's": "00-" + theirs + "-b7ad6b7169203331-01", "ours": ""} {
		t.Run(name, func(t *testing.T) {
			d := openDesk(t)
			muni := d.Party("MUNI").Traced(traceparent)
			examples := func() (ids []string) {
				req, err := http.NewRequest(http.MethodGet, d.URL+"/metrics", nil)
				d.must(err)
				req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
				for line := range strings.Lines(string(d.do(req).body)) {
					if _, after, ok := strings.Cut(line, `# {trace_id="`); ok && strings.HasPrefix(line, "mezhved_stage_seconds_bucket{") {
						id, _, _ := strings.Cut(after, `"`)
						ids = append(ids, id)
					}
				}
				return ids
			}
			accepted := muni.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)})
			if accepted.Fault != nil {
				t.Fatal(accepted.Fault)
			}
			sent := d.Store.Accepted()[0]
			refused := muni.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Draft)})
			incident := refused.Header.Get("X-Mezhved-Incident")
			if refused.Fault == nil || incident == "" {
				t.Fatalf("a draft is taken: %+v", refused)
			}
			ofMessage, ofRefusal := accepted.Header.Get("X-Mezhved-Trace"), refused.Header.Get("X-Mezhved-Trace")
			if traceparent != "" && (ofMessage != theirs || ofRefusal != theirs) {
				t.Fatalf("told %q and %q, want the caller's %s", ofMessage, ofRefusal, theirs)
			}
			if traceparent == "" && (ofMessage != strings.ReplaceAll(sent.ID.String(), "-", "") || ofRefusal == ofMessage || sent.Trace != "") {
				t.Fatalf("told %q and %q of the message %s, whose trace is %q", ofMessage, ofRefusal, sent.ID, sent.Trace)
			}
			d.settle()

			if got := examples(); !slices.Contains(got, ofMessage) {
				t.Errorf("the histogram's examples are %q, want %s among them", got, ofMessage)
			}
			line := "" // of the refusal
			for l := range strings.Lines(d.Log.String()) {
				if strings.Contains(l, "incident="+incident) {
					line = l
				}
			}
			if !strings.Contains(line, "trace_id="+ofRefusal) {
				t.Errorf("the log says %q, want trace_id=%s", line, ofRefusal)
			}

			// From the id to the exchange and to the cause of the refusal.
			trace := func(id string) (out Trace) {
				t.Helper()
				a := d.ask(operatorToken, "/api/v1/journal/trace/"+id, nil)
				if a.StatusCode != http.StatusOK {
					t.Fatalf("%s: %d %s", id, a.StatusCode, a.body)
				}
				d.must(json.Unmarshal(a.body, &out))
				return out
			}
			if got := trace(ofMessage); got.Asked != ofMessage || len(got.Messages) != 1 || got.Messages[0].MessageID != string(sent.MessageID) || got.Messages[0].TraceID != ofMessage {
				t.Errorf("of the trace of the message: %+v", got)
			}
			if got := trace(strings.ToUpper(ofRefusal)); got.Refusal == nil || got.Refusal.Incident != incident || got.Refusal.TraceID != ofRefusal {
				t.Errorf("of the trace of the refusal: %+v", got)
			}
			// And from the desk's pages to the id.
			for path, id := range map[string]string{
				"/console/incident/" + incident: ofRefusal, "/console/message/" + sent.ID.String(): ofMessage,
				"/console/trace/" + string(sent.MessageID): ofMessage, "/console/trace/" + ofRefusal: incident,
			} {
				if a := d.ask(operatorToken, path, nil); a.StatusCode != http.StatusOK || !strings.Contains(string(a.body), id) {
					t.Errorf("%s: %d, does not show %s", path, a.StatusCode, id)
				}
			}
			if a := d.ask(operatorToken, "/api/v1/journal/trace/"+strings.Repeat("ab", 16), nil); a.StatusCode != http.StatusNotFound {
				t.Errorf("a trace that nobody bears: %d", a.StatusCode)
			}
		})
	}
}
