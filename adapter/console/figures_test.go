package console

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/reports"
	"mezhved/envelopes"
)

// worked lets some days go by in which exchanges happen, as gateways tell them: most in
// time, some late, some open, some refused. The log takes up each day's at its end.
func (d *desk) worked(days int) {
	d.t.Helper()
	r := rand.New(rand.NewPCG(11, 12))
	start := d.Clock.Now().UTC().Truncate(time.Millisecond)
	end := start.AddDate(0, 0, days)
	byDay := make([][]journal.Event, days)
	tell := func(e journal.Event) bool {
		if !e.Time.Before(end) {
			return false
		}
		n := int(e.Time.Sub(start) / (24 * time.Hour))
		byDay[n] = append(byDay[n], e)
		return true
	}
	for at := start; at.Before(end); at = at.Add(time.Duration(10+r.IntN(80)) * time.Minute) {
		if h := at.Add(3 * time.Hour).Hour(); (h < 8 || h > 19) && r.IntN(6) > 0 {
			continue
		}
		e := journal.Event{Kind: journal.KindAccepted, Time: at, Message: newMessage(), MessageID: newMessage(), Operation: "SendRequest", Direction: "request", Sender: []string{"MUNI", "MFC"}[r.IntN(2)], Recipient: []string{"REGISTRY", "TAX", "LAND"}[r.IntN(3)],
			Service: []string{"urn:x-worked", "urn:x-worked", "plan-of-land/extract-with-a-long-name"}[r.IntN(3)], Version: "1.0", Outcome: "ok", Deadline: at.Add(60 * time.Hour), DueQueued: at.Add(time.Minute), DueTaken: at.Add(4 * time.Hour)}
		if r.IntN(12) == 0 {
			e.Kind, e.Message = journal.KindRefused, ""
			which := [][2]string{{"InvalidContent", "cvc-pattern-valid"}, {"InvalidContent", "cvc-complex-type.2.4.a"}, {"SMEVFailure", "failure"}, {"DestinationOverflow", "overflow"}, {"AccessDenied", "access"}, {"SMEVFailure", "signature.revocation-unknown"}}[min(r.IntN(6), r.IntN(6))]
			e.Outcome, e.Rule, e.Incident = which[0], which[1], newMessage()
			tell(e)
			continue
		}
		tell(e)
		next := func(kind journal.Kind, after time.Duration) bool {
			s := e
			s.Kind, s.Time, s.Operation, s.DueQueued, s.DueTaken = kind, e.Time.Add(after), "", time.Time{}, time.Time{}
			switch kind {
			case journal.KindDelivered:
				s.Attempt = 1
			case journal.KindAnswered:
				s.Outcome = "response"
			}
			return tell(s)
		}
		taken := time.Duration(1+r.IntN(300)) * time.Minute
		if next(journal.KindQueued, time.Duration(50+r.IntN(900))*time.Millisecond) && next(journal.KindDelivered, taken) && r.IntN(60) > 0 {
			next(journal.KindAnswered, taken+time.Duration(float64(time.Hour)*(1+16*r.ExpFloat64())))
		}
	}
	for n := range byDay {
		d.Clock.Advance(start.AddDate(0, 0, n+1).Sub(d.Clock.Now()))
		d.must(d.Store.Store.Record(context.Background(), byDay[n]...))
		d.settle()
	}
}

// again makes the report that a given one is of, from a copy of the log's files, as an
// auditor does: verified, and with nothing of the gateway.
func (d *desk) again(given []byte) []byte {
	d.t.Helper()
	var asked struct {
		Question reports.Question `json:"question"`
		Log      reports.Log      `json:"log"`
	}
	d.must(json.Unmarshal(given, &asked))
	fold, err := reports.NewFold(asked.Question)
	d.must(err)
	cp, err := d.console.checkpoint(context.Background())
	d.must(err)
	more := true
	rep, err := audit.ReadLog(context.Background(), d.book, d.policy, cp.Note, nil, func(index int64, leaf []byte, _ *journal.Facts) {
		if more && index < asked.Log.Size {
			more, err = fold.Add(leaf)
		}
	})
	d.must(err)
	if !rep.OK() {
		d.t.Fatalf("the log: %v", rep.Recount.Findings)
	}
	made, err := fold.Report(asked.Log)
	d.must(err)
	b, err := made.JSON()
	d.must(err)
	return b
}

// The API, the desk and the auditor have one answer; the forms say the same.
func TestFiguresAreTheSameEverywhere(t *testing.T) {
	d := openDesk(t)
	begun := d.Clock.Now().AddDate(0, 0, -1).Format(time.DateOnly)
	d.exchange()
	_, request := d.Exchange("MUNI", "REGISTRY", adaptertest.Extract1)
	for _, code := range []int{10, 20} {
		if a := d.Party("REGISTRY").Reply(request.Message.ReplyTo, adaptertest.Reply{Status: &envelopes.RequestStatus{Code: code, Description: "в работе"}}); a.Fault != nil {
			t.Fatal(a.Fault)
		}
	}
	d.refused(broken("нет"))
	d.worked(8)
	if marks := string(d.ask(operatorToken, "/api/v1/reports/party?from="+begun+"&form=csv&table=marks", nil).body); marks != "provider,mark,statuses,open\nREGISTRY,10,1,0\nREGISTRY,20,1,1\n" {
		t.Errorf("the executor's marks are\n%s", marks)
	}
	for _, question := range []string{"service", "service?test=with&period=" + begun[:4], "party?party=TAX", "quality?service=urn:x-worked", "lateness?zone=UTC", "rating?zone=Asia/Kamchatka"} {
		a := d.ask(operatorToken, "/api/v1/reports/"+question, nil)
		if a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", question, a.StatusCode, a.body)
		}
		if again := d.again(a.body); !bytes.Equal(a.body, again) {
			t.Errorf("%s: the gateway says\n%s\nthe auditor\n%s", question, a.body, again)
		}
	}
	a := d.ask(operatorToken, "/api/v1/reports/service?form=json", nil)
	var said struct {
		Tables []struct {
			Name string           `json:"name"`
			Rows []map[string]any `json:"rows"`
		} `json:"tables"`
	}
	d.must(json.Unmarshal(a.body, &said))
	rows, err := csv.NewReader(bytes.NewReader(d.ask(operatorToken, "/api/v1/reports/service?form=csv", nil).body)).ReadAll()
	d.must(err)
	book, err := excelize.OpenReader(bytes.NewReader(d.ask(operatorToken, "/api/v1/reports/service?form=xlsx&lang=en", nil).body))
	d.must(err)
	page, text := d.visit("/console/reports", "en"), string(d.ask(operatorToken, "/api/v1/reports/service?form=text&lang=en", nil).body)
	if len(rows) != len(said.Tables[0].Rows)+1 {
		t.Fatalf("%d lines of CSV, %d rows", len(rows), len(said.Tables[0].Rows))
	}
	for c, name := range rows[0] {
		for r, row := range said.Tables[0].Rows {
			want := ""
			if row[name] != nil {
				want = fmt.Sprint(row[name])
			}
			got := rows[r+1][c]
			if name == "inTime" { // a number has no trailing zeros
				got = strings.TrimSuffix(strings.TrimRight(got, "0"), ".")
			}
			if got != want {
				t.Errorf("row %d, %s: CSV says %q, JSON %q", r, name, got, want)
			}
		}
	}
	accepted := fmt.Sprint(said.Tables[0].Rows[len(said.Tables[0].Rows)-1]["accepted"])
	raw, err := book.GetCellValue("By service", fmt.Sprintf("C%d", len(rows)), excelize.Options{RawCellValue: true})
	d.must(err)
	if raw != accepted {
		t.Errorf("the workbook says %q, JSON %q", raw, accepted)
	}
	for what, from := range map[string]string{"page": page, "text": text} {
		if !strings.Contains(from, accepted) || !strings.Contains(from, "urn:x-worked") {
			t.Errorf("the %s does not say %s:\n%.2000s", what, accepted, from)
		}
	}
	if charts := strings.Count(page, `<svg class="chart"`); charts != 7 {
		t.Errorf("the page has %d pictures", charts)
	}
}

// An auditor's question is an entry before it is answered, and what is no question is
// refused.
func TestAskingForFiguresIsNoted(t *testing.T) {
	d := openDesk(t)
	d.worked(1)
	for _, path := range []string{"/api/v1/reports/quality?period=2026-11", "/api/v1/reports/rating?form=html"} {
		if a := d.ask(auditorToken, path, nil); a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	d.settle()
	found := ok[Found](d, operatorToken, "/api/v1/journal/entries?kind=evidence-read&order=oldest")
	if len(found.Entries) != 2 || found.Entries[0].Operation != "figures" || fmt.Sprint(found.Entries[0].Fields) != "[period]" {
		t.Errorf("the entries are %+v", found.Entries)
	}
	for path, want := range map[string]string{
		"x": "there is no report", "service?period=2026-13": "a quarter", "service?period=2099": "has not come", "service?from=2026-01-02&to=2026-01-01": "empty", "service?form=doc": "none of",
		"service?zone=Nowhere/Land": "unknown time zone", "service?test=yes": "none of no, with, only", "service?period=2026&period=2025": "2 times", "service?sender=MUNI": "no parameter", "service?asOf=2099": "has not come",
	} {
		if a := d.ask(operatorToken, "/api/v1/reports/"+path, nil); a.StatusCode != http.StatusBadRequest || !strings.Contains(string(a.body), want) {
			t.Errorf("%s: %d %s, want %q", path, a.StatusCode, a.body, want)
		}
	}
	if a := d.ask("", "/api/v1/reports/service", nil); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %d", a.StatusCode)
	}
}

// A reader of Russian is told in Russian what of his question is not understood.
func TestUnclearFiguresAreToldInRussian(t *testing.T) {
	d := openDesk(t)
	for question, want := range map[string]string{
		"service?period=2026-13": "Период непонятен.", "service?period=2026&from=2026-01-01": "Период непонятен.", "service?zone=Moscow": "Часовой пояс &#34;Moscow&#34; неизвестен",
		"service?asOf=today": "По состоянию на когда?", "servise": "вид его один из", "service?test=maybe": "тестовые сообщения — no, with или only",
	} {
		req, err := http.NewRequest(http.MethodGet, d.site.URL+"/console/reports/"+question, nil)
		d.must(err)
		req.Header.Set("Authorization", "Bearer "+operatorToken)
		req.Header.Set("Accept-Language", "ru")
		a := d.do(req)
		if a.StatusCode != http.StatusBadRequest && a.StatusCode != http.StatusNotFound || !strings.Contains(string(a.body), want) || strings.Contains(string(a.body), "expected") {
			t.Errorf("%s: %d, %q is not in\n%s", question, a.StatusCode, want, a.body)
		}
	}
}

// Noughts for a mistyped name are no answer; of who is registered and did nothing they are.
func TestFiguresOfNobodyAreRefused(t *testing.T) {
	d := openDesk(t)
	d.exchange()
	d.settle()
	for question, want := range map[string]int{"service?service=nosuch": 400, "rating?party=NOSUCH": 400, "lateness?party=NOSUCH": 400, "service?service=extract": 200, "service?party=MUNI": 200, "rating?party=MFC": 200} {
		if a := d.ask(operatorToken, "/api/v1/reports/"+question, nil); a.StatusCode != want {
			t.Errorf("%s: %d, want %d: %s", question, a.StatusCode, want, a.body)
		}
	}
}
