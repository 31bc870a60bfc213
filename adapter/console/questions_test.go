package console

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
	"mezhved/adapter/terms"
	"mezhved/envelopes"
)

// fill puts generated events of the last hours into the journal. Nothing of them is
// due: the log would grow by what is told of it.
func (d *desk) fill(n int) {
	d.t.Helper()
	events := journaltest.Events(7, n)
	start := d.Clock.Now().Add(-time.Hour)
	for i := range events {
		e := &events[i]
		e.Time = start.Add(time.Duration(i) * time.Millisecond)
		e.Deadline, e.DueQueued, e.DueTaken, e.DueStatus, e.Terms = time.Time{}, time.Time{}, time.Time{}, time.Time{}, ""
	}
	for part := range slices.Chunk(events, 1000) {
		d.must(d.Store.Store.Record(context.Background(), part...))
	}
	d.settle()
}

// all reads the log as it is.
func (d *desk) all() []postgres.Row {
	d.t.Helper()
	var rows []postgres.Row
	d.must(d.book.Each(context.Background(), postgres.Query{}, func(r postgres.Row) error {
		rows = append(rows, r)
		return nil
	}))
	return rows
}

func TestPagesAreWholeAndCountsExact(t *testing.T) {
	d := openDesk(t)
	d.fill(1500)
	rows := d.all()
	sample := rows[len(rows)/2].Leaf
	for _, q := range []struct {
		query string
		holds func(*journal.Leaf) bool
	}{
		{"", func(*journal.Leaf) bool { return true }},
		{"kind=refused", func(l *journal.Leaf) bool { return l.Kind == journal.KindRefused }},
		{"sender=" + url.QueryEscape(sample.Sender) + "&order=oldest", func(l *journal.Leaf) bool { return l.Sender == sample.Sender }},
		{"service=" + url.QueryEscape(sample.Service) + "&version=" + sample.Version, func(l *journal.Leaf) bool { return l.Service == sample.Service && l.Version == sample.Version }},
		{"recipient=" + url.QueryEscape(sample.Recipient) + "&outcome=" + url.QueryEscape(sample.Outcome), func(l *journal.Leaf) bool {
			return l.Recipient == sample.Recipient && (sample.Outcome == "" || l.Outcome == sample.Outcome)
		}},
		{"sender=NOBODY", func(*journal.Leaf) bool { return false }},
	} {
		var want []int64
		for i := range rows {
			if q.holds(&rows[i].Leaf) {
				want = append(want, rows[i].Index)
			}
		}
		var got []int64
		after := ""
		for pages := 0; ; pages++ {
			f := ok[Found](d, operatorToken, "/api/v1/journal/entries?limit=37&"+q.query+after)
			if f.Count != int64(len(want)) {
				t.Fatalf("%q: count %d, want %d", q.query, f.Count, len(want))
			}
			for _, e := range f.Entries {
				if e.State != Proved {
					t.Fatalf("%q: entry %d is %s", q.query, *e.Index, e.State)
				}
				got = append(got, *e.Index)
			}
			if len(f.Entries) > 37 || pages > len(rows) {
				t.Fatalf("%q: a page of %d", q.query, len(f.Entries))
			}
			if f.Next == "" {
				break
			}
			after = "&after=" + f.Next
		}
		if !strings.Contains(q.query, "oldest") {
			slices.Reverse(got)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: pages give %d entries, want %d", q.query, len(got), len(want))
		}
		totals := ok[Totals](d, operatorToken, "/api/v1/journal/totals?by=day,service,outcome&"+strings.ReplaceAll(q.query, "&order=oldest", ""))
		sum := int64(0)
		for _, one := range totals.Totals {
			n := int64(0)
			for i := range rows {
				l := &rows[i].Leaf
				if q.holds(l) && l.Logged.Format(time.DateOnly) == one.Day && l.Service == one.Service && l.Outcome == one.Outcome {
					n++
				}
			}
			if sum += n; n != one.Entries {
				t.Errorf("%q: total %+v, want %d", q.query, one, n)
			}
		}
		if totals.Count != int64(len(want)) || sum != totals.Count {
			t.Errorf("%q: totals make %d (%d), want %d", q.query, totals.Count, sum, len(want))
		}
	}
	// From and to, at the very times.
	from, to := rows[10].Leaf.Logged, rows[len(rows)-1].Leaf.Logged
	want := 0
	for i := range rows {
		if l := rows[i].Leaf.Logged; !l.Before(from) && l.Before(to) {
			want++
		}
	}
	window := url.Values{"from": {from.Format(time.RFC3339Nano)}, "to": {to.Format(time.RFC3339Nano)}}
	if f := ok[Found](d, operatorToken, "/api/v1/journal/entries?"+window.Encode()); f.Count != int64(want) {
		t.Errorf("a window of time: %d, want %d", f.Count, want)
	}
}

func TestAMistypedQuestionIsNoQuestion(t *testing.T) {
	d := openDesk(t)
	for _, bad := range []string{"sendr=MUNI", "from=yesterday", "to=2026-13-01", "kind=refuse", "limit=0", "limit=501", "limit=x", "order=up", "after=x", "after=-1", "certificate=ab", "sender=A&sender=B", "person=1", "id=%00", "id=%ff%fe", "from=0000-01-01"} {
		if a := d.ask(operatorToken, "/api/v1/journal/entries?"+bad, nil); a.StatusCode != http.StatusBadRequest || !strings.HasPrefix(a.Header.Get("Content-Type"), "application/problem+json") {
			t.Errorf("%s: %d %s", bad, a.StatusCode, a.body)
		}
	}
	for path, want := range map[string]int{"/journal/totals?by=hour": 400, "/journal/export?format=xls": 400, "/journal/entries/x": 400, "/journal/entries/-1": 400, "/journal/entries/99999999": 404,
		"/journal/entries/99999999/proof": 404, "/journal/trace/nothing": 404, "/journal/trace/%00": 404, "/journal/trace/%ff": 404, "/incidents/%00/envelope": 404, "/incidents/nothing/envelope": 404, "/messages/nothing/envelope": 404, "/journal/bundle?exchange=nothing": 404, "/journal/bundle?sender=NOBODY": 404} {
		if a := d.ask(operatorToken, "/api/v1"+path, nil); a.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", path, a.StatusCode, a.body, want)
		}
	}
	for _, bad := range []string{`{"sendr":"A"}`, `[]`, `{} {}`, `{"person":{"field":"snils"}}`} {
		req, _ := http.NewRequest(http.MethodPost, d.site.URL+"/api/v1/journal/search", strings.NewReader(bad))
		req.Header.Set("Authorization", "Bearer "+operatorToken)
		if a := d.do(req); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s", bad, a.StatusCode, a.body)
		}
	}
}

func TestExportsAreWhole(t *testing.T) {
	d := openDesk(t)
	d.fill(5000) // more than two reads of the store
	d.must(d.Store.Store.Record(context.Background(), journal.Event{Kind: journal.KindRefused, Time: d.Clock.Now(), MessageID: `=HYPERLINK("http://evil.example")`, Rule: "-2+3", Incident: "формула, \"кавычки\""}))
	d.settle()
	rows := d.all()
	out := ok[struct {
		Entries []Entry
		Count   int
	}](d, auditorToken, "/api/v1/journal/export?format=json")
	// The reading itself may have been taken up while the export ran.
	if out.Count != len(out.Entries) || out.Count < len(rows) || out.Count > len(rows)+1 {
		t.Fatalf("json: %d entries, count %d, the log has %d", len(out.Entries), out.Count, len(rows))
	}
	for i := range rows {
		if want := rowEntry(&rows[i], int64(len(rows))); fmt.Sprint(*out.Entries[i].Index, out.Entries[i].Kind, out.Entries[i].MessageID, out.Entries[i].Logged) != fmt.Sprint(*want.Index, want.Kind, want.MessageID, want.Logged) {
			t.Fatalf("json: entry %d is %+v, want %+v", i, out.Entries[i], want)
		}
	}
	a := d.ask(operatorToken, "/api/v1/journal/export?format=csv&kind=refused", nil)
	records, err := csv.NewReader(bytes.NewReader(a.body)).ReadAll()
	d.must(err)
	if !slices.Equal(records[0], csvColumns) {
		t.Errorf("csv: columns %v", records[0])
	}
	var want []postgres.Row
	for _, r := range rows {
		if r.Leaf.Kind == journal.KindRefused {
			want = append(want, r)
		}
	}
	if len(records)-1 != len(want) {
		t.Fatalf("csv: %d entries, want %d", len(records)-1, len(want))
	}
	for i, r := range want {
		if records[i+1][0] != strconv.FormatInt(r.Index, 10) {
			t.Fatalf("csv: row %d is entry %s, want %d", i, records[i+1][0], r.Index)
		}
	}
	for _, cell := range records[len(records)-1] {
		if cell != "" && strings.ContainsRune("=+-@", rune(cell[0])) {
			t.Errorf("csv: a spreadsheet would compute %q", cell)
		}
	}
}

// cutWriter ends the question when the first bytes of its answer go out.
type cutWriter struct {
	*httptest.ResponseRecorder
	cut context.CancelFunc
}

func (c cutWriter) Write(b []byte) (int, error) {
	c.cut()
	return c.ResponseRecorder.Write(b)
}

func TestAnExportThatBreaksOffIsNotTakenForWhole(t *testing.T) {
	d := openDesk(t)
	d.fill(5000)
	for _, format := range []string{"csv", "json"} {
		ctx, cancel := context.WithCancel(context.Background())
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/journal/export?format="+format, nil)
		r.Header.Set("Authorization", "Bearer "+operatorToken)
		aborted := func() (p any) {
			defer func() { p = recover() }()
			d.site.Config.Handler.ServeHTTP(cutWriter{httptest.NewRecorder(), cancel}, r)
			return nil
		}()
		if aborted != http.ErrAbortHandler {
			t.Errorf("%s: an export that could not be read to its end ended with %v", format, aborted)
		}
	}
}

func TestTheTraceTellsTheWholeExchange(t *testing.T) {
	d := openDesk(t)
	id := d.exchange()
	d.settle()
	trace := ok[Trace](d, auditorToken, "/api/v1/journal/trace/"+id)
	var kinds []string
	for i, e := range trace.Events {
		kinds = append(kinds, e.Direction+" "+e.Kind)
		if e.State != Proved || e.Index == nil || i > 0 && *e.Index <= *trace.Events[i-1].Index {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	for _, want := range []string{"request accepted", "request routed", "request queued", "request delivered", "request acknowledged", "request answered", "response accepted", "response routed", "response queued", "response delivered", "response acknowledged"} {
		if n := len(slices.DeleteFunc(slices.Clone(kinds), func(k string) bool { return k != want })); n != 1 {
			t.Errorf("%d times %q in %v", n, want, kinds)
		}
	}
	if len(trace.Messages) != 2 {
		t.Fatalf("messages %+v", trace.Messages)
	}
	request, response := trace.Messages[0], trace.Messages[1]
	if request.MessageID != id || request.Stands != "acknowledged" || request.Answered.IsZero() || request.Late || !request.Deadline.Equal(terms.Shipped().End(terms.Term{Days: 5}, request.Accepted, terms.Moscow, "")) {
		t.Errorf("the request: %+v", request)
	}
	// Every name of the exchange leads to all of it.
	for _, name := range []string{request.Message, response.Message, response.MessageID} {
		if other := ok[Trace](d, operatorToken, "/api/v1/journal/trace/"+name); len(other.Events) != len(trace.Events) {
			t.Errorf("traced by %s: %d events, want %d", name, len(other.Events), len(trace.Events))
		}
	}
	// The envelope is the one that was sent, byte for byte.
	a := d.ask(operatorToken, request.Envelope, nil)
	if a.StatusCode != http.StatusOK || !bytes.Contains(a.body, []byte(id)) || a.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("envelope: %d %s", a.StatusCode, a.body)
	}
}

func TestADeadlineThatPassedIsLate(t *testing.T) {
	d := openDesk(t)
	id, _ := d.Exchange("MUNI", "REGISTRY", adaptertest.Extract1)
	if got := ok[Trace](d, operatorToken, "/api/v1/journal/trace/"+id).Messages[0]; got.Late {
		t.Errorf("late at once: %+v", got)
	}
	d.Clock.Advance(20 * 24 * time.Hour) // five days, and days off where the last of them is one
	if got := ok[Trace](d, operatorToken, "/api/v1/journal/trace/"+id).Messages[0]; !got.Late {
		t.Errorf("not late after twenty days: %+v", got)
	}
}

func TestEventsThatWaitForTheJournalAreTold(t *testing.T) {
	d := openDesk(t)
	d.settle()
	d.stop() // nobody takes events up any more
	sent := d.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)})
	if sent.Fault != nil {
		t.Fatal(sent.Fault)
	}
	id := sent.Receipt.MessageID
	d.Party("REGISTRY").Await(envelopes.GetRequest, "")
	var trace Trace
	d.Eventually("the relay has written its event, too", func() bool {
		trace = ok[Trace](d, operatorToken, "/api/v1/journal/trace/"+id)
		return len(trace.Events) >= 4
	})
	for _, e := range trace.Events {
		if e.State != Pending || e.Index != nil {
			t.Errorf("%+v", e)
		}
	}
	if trace.Events[0].Kind != "accepted" {
		t.Errorf("events %+v", trace.Events)
	}
	incident, _ := d.refused(broken("нет"))
	if got := ok[Trace](d, operatorToken, "/api/v1/journal/trace/"+incident); len(got.Events) != 1 || got.Refusal == nil || got.Refusal.Line == 0 {
		t.Errorf("a refusal that waits: %+v", got)
	}
}

func TestAnIncidentLeadsToCauseAndEnvelope(t *testing.T) {
	d := openDesk(t)
	incident, id := d.refused(broken("семь"))
	d.settle()
	r := ok[Trace](d, auditorToken, "/api/v1/journal/trace/"+incident).Refusal
	if r == nil || r.Rule != "cvc-pattern-valid" || r.Line < 1 || r.Col < 1 || r.Outcome != "InvalidContent" || !r.Same {
		t.Fatalf("refusal %+v", r)
	}
	f := r.Findings[0]
	if f.Rule != r.Rule || f.Line != r.Line || f.Col != r.Col || !strings.Contains(f.XPath, "КадастровыйНомер") || !strings.Contains(f.Found, "семь") || f.Text.RU == "" || f.Text.EN == f.Text.RU {
		t.Errorf("finding %+v", f)
	}
	a := d.ask(operatorToken, r.Envelope, nil)
	if a.StatusCode != http.StatusOK || !bytes.Contains(a.body, []byte("семь")) || !bytes.Contains(a.body, []byte(id)) || len(a.body) != r.Kept || !strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("envelope: %d %v %s", a.StatusCode, a.Header, a.body)
	}
	// Found by the MessageID of the refused request, too.
	if got := ok[Trace](d, operatorToken, "/api/v1/journal/trace/"+id); got.Refusal == nil || got.Refusal.Incident != incident {
		t.Errorf("by MessageID: %+v", got.Refusal)
	}

	// A signature: the words come from looking at the bytes again.
	muni := d.Party("MUNI")
	kind, body, _ := muni.BuildRequest(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), Tamper: func(b []byte) []byte { return bytes.Replace(b, []byte("77:01"), []byte("78:01"), 1) }})
	bad := muni.Post("/ws", kind, body)
	r = ok[Trace](d, operatorToken, "/api/v1/journal/trace/"+bad.Header.Get("X-Mezhved-Incident")).Refusal
	if r == nil || r.Rule != "signature.digest-mismatch" || len(r.Findings) == 0 || !r.Same || r.Line == 0 || len(r.Findings[0].Expected) != 1 {
		t.Errorf("a bent signature: %+v", r)
	}
	// No XML at all.
	bad = muni.Post("/ws", "text/xml", []byte("<a>\n <b></a>"))
	r = ok[Trace](d, operatorToken, "/api/v1/journal/trace/"+bad.Header.Get("X-Mezhved-Incident")).Refusal
	if r == nil || !strings.HasPrefix(r.Rule, "xml.") || r.Line != 2 || !r.Same || r.Sentence.RU == "" {
		t.Errorf("no XML: %+v", r)
	}
}

func TestEveryReasonOfTheGatewayHasItsSentence(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../faults.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Names) != 1 || v.Names[0].Name != "table" {
			return true
		}
		for _, e := range v.Values[0].(*ast.CompositeLit).Elts {
			reason, err := strconv.Unquote(e.(*ast.KeyValueExpr).Key.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			found++
			s, ok := sentences[reason]
			if a := advices[s.advice]; !ok || s.what.RU == "" || s.what.EN == "" || a.RU == "" || a.EN == "" {
				t.Errorf("reason %q has no sentence or advice", reason)
			}
		}
		return false
	})
	if found < 40 {
		t.Errorf("only %d reasons were found in the gateway's table", found)
	}
	for code, reason := range signatureSentences {
		if _, ok := sentences[reason]; !ok {
			t.Errorf("signature code %s leads to %q, which has no sentence", code, reason)
		}
	}
}

func TestBundlesVerifyWithoutUs(t *testing.T) {
	d := openDesk(t)
	id := d.exchange()
	incident, _ := d.refused(broken("нет"))
	d.settle()
	for name, want := range map[string]int{"exchange=" + id: 2, "exchange=" + incident: 1, "sender=MUNI&kind=accepted": 1} {
		a := d.ask(auditorToken, "/api/v1/journal/bundle?"+name, nil)
		if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "application/zip" {
			t.Fatalf("%s: %d %s", name, a.StatusCode, a.body)
		}
		e, err := audit.VerifyBundle(bytes.NewReader(a.body), int64(len(a.body)), d.policy)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		bodies, certificates := 0, 0
		for _, x := range e.Entries {
			if x.Envelope != nil {
				bodies++
			}
			if x.Certificate != nil {
				certificates++
			}
		}
		if bodies != want || certificates == 0 || !e.Pinned {
			t.Errorf("%s: %d envelopes and %d certificates in %d entries, want %d envelopes", name, bodies, certificates, len(e.Entries), want)
		}
		if strings.HasPrefix(name, "exchange="+id) && (len(e.Entries) < 11 || len(e.Gaps) > 0) {
			t.Errorf("%s: %d entries, gaps %v", name, len(e.Entries), e.Gaps)
		}
	}
}

func TestProofsVerify(t *testing.T) {
	d := openDesk(t)
	d.fill(300)
	for _, i := range []int{0, 17, 255, 256, 299} {
		one := ok[Single](d, operatorToken, fmt.Sprintf("/api/v1/journal/entries/%d", i))
		a := d.ask(operatorToken, fmt.Sprintf("/api/v1/journal/entries/%d/proof", i), nil)
		p, err := journal.VerifyProof(d.policy, []byte(one.Leaf), a.body)
		if err != nil || p.Index != int64(i) {
			t.Errorf("entry %d: %v", i, err)
		}
	}
}

func TestTheJournalsOwnDoors(t *testing.T) {
	d := openDesk(t)
	d.fill(300)
	if a := d.ask("", "/checkpoint", nil); a.StatusCode != http.StatusOK || !strings.HasPrefix(string(a.body), origin+"\n") {
		t.Errorf("checkpoint: %d %s", a.StatusCode, a.body)
	}
	if a := d.ask("", "/tile/0/000", nil); a.StatusCode != http.StatusOK || len(a.body) != 8192 {
		t.Errorf("hash tile: %d, %d bytes", a.StatusCode, len(a.body))
	}
	if a := d.ask("", "/tile/entries/000", nil); a.StatusCode != http.StatusUnauthorized || len(a.body) > 100 {
		t.Errorf("entries for a stranger: %d, %d bytes", a.StatusCode, len(a.body))
	}
	if a := d.ask(auditorToken, "/tile/entries/000", nil); a.StatusCode != http.StatusOK {
		t.Errorf("entries for an auditor: %d", a.StatusCode)
	}
}

func TestOverviewTellsWhatIsWrong(t *testing.T) {
	d := openDesk(t)
	d.Exchange("MUNI", "REGISTRY", adaptertest.Extract1)
	incident, _ := d.refused(broken("нет"))
	d.settle()
	d.Eventually("the queue shows what was handed out", func() bool {
		o := ok[Overview](d, operatorToken, "/api/v1/overview")
		return o.Queues.Leased == 1 && o.Ready && len(o.Refusals) == 1 && o.Refusals[0].Incident == incident && o.Journal.Covered > 0 && o.Parties == len(adaptertest.Parties)
	})
	q := ok[Queues](d, operatorToken, "/api/v1/queues")
	if len(q.Queues) != 1 || q.Queues[0].System != "REGISTRY" || q.Queues[0].Kind != "request" || d.Clock.Now().Sub(q.Queues[0].Oldest) > time.Minute ||
		len(q.Queues[0].Lanes) != 1 || q.Queues[0].Lanes[0] != (Lane{"extract", "MUNI", 1}) {
		t.Errorf("queues %+v", q)
	}
	d.Clock.Advance(10*365*24*time.Hour - 20*24*time.Hour)
	parties := ok[struct{ Parties []Party }](d, operatorToken, "/api/v1/parties")
	if o := ok[Overview](d, operatorToken, "/api/v1/overview"); len(o.Expiring) != len(parties.Parties) || o.Expiring[0].Expired {
		t.Errorf("expiring %+v", o.Expiring)
	}
}

func TestANodeWithoutTheJournalSendsAuditorsElsewhere(t *testing.T) {
	d := openDesk(t)
	d.console.Journal, d.console.Policy = nil, nil
	for _, path := range []string{"/journal/entries", "/journal/totals", "/journal/export", "/journal/bundle?kind=accepted", "/journal/entries/0", "/journal/entries/0/proof"} {
		if a := d.ask(auditorToken, "/api/v1"+path, nil); a.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(a.body), "journal.key") {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	for _, path := range []string{"/api/v1/overview", "/api/v1/queues", "/console/", "/console/queues", "/console/search"} {
		if a := d.ask(operatorToken, path, nil); a.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
}

func TestEveryKindOfTheJournalCanBeAskedFor(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../journal/event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			if typ, ok := v.Type.(*ast.Ident); ok && typ.Name == "Kind" {
				kind, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, kind)
			}
		}
		return true
	})
	if got, want := listed(kinds), strings.Join(all, ", "); got != want || len(all) < 15 {
		t.Errorf("can be asked for: %s\nthe journal has: %s", got, want)
	}
	for _, k := range all {
		if d, ok := dictionary[k]; !ok || d.RU == "" || d.EN == "" {
			t.Errorf("the pages have no word for %s", k)
		}
	}
}
