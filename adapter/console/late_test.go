package console

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
)

// What is late is on the page, in the head of every page and in the API, page by page,
// until it is reached; what ever was late is told by the log.
func TestWhatIsLateIsSeen(t *testing.T) {
	d := openDesk(t)
	name := "services/extract/1.0/service.yaml"
	service, err := os.ReadFile(filepath.Join(d.Dir, name))
	d.must(err)
	d.Write(name, strings.Replace(string(service), "deadline: 5d", "deadline: 24h", 1))
	d.Reload()
	id, first := d.Exchange("MUNI", "REGISTRY", adaptertest.Extract1)
	if ack := d.Party("REGISTRY").Ack(id); ack.Fault != nil {
		t.Fatal(ack.Fault)
	}
	other, _ := d.Exchange("MFC", "REGISTRY", adaptertest.Extract1)
	open := func() []adapter.OpenTerm {
		list, err := d.Store.OpenTerms(t.Context(), adapter.TermQuestion{})
		d.must(err)
		return list
	}
	d.Eventually("both are open", func() bool { return len(open()) == 2 })
	if page := d.visit("/console/queues", "ru"); strings.Contains(page, `class="count late"`) {
		t.Error("something is late at once")
	}
	d.Clock.Advance(24*time.Hour + time.Minute)
	d.Eventually("both are told to be late", func() bool {
		return len(ok[Found](d, operatorToken, "/api/v1/journal/entries?kind=overdue").Entries) == 2
	})
	one := ok[DueList](d, operatorToken, "/api/v1/terms?overdue=now&party=REGISTRY&limit=1")
	if len(one.Terms) != 1 || one.Terms[0].MessageID != id || !one.Terms[0].Late || one.Terms[0].Stage != "answered" || one.Next == "" {
		t.Fatalf("%+v", one)
	}
	two := ok[DueList](d, operatorToken, "/api/v1/terms?overdue=now&party=REGISTRY&limit=1&after="+one.Next)
	if len(two.Terms) != 1 || two.Terms[0].MessageID != other || two.Next != "" {
		t.Errorf("%+v", two)
	}
	if none := ok[DueList](d, operatorToken, "/api/v1/terms?overdue=now&sender=MFC&stage=taken"); len(none.Terms) != 0 {
		t.Errorf("%+v", none)
	}
	// Cards and the table by body follow the filter.
	if page := d.visit("/console/late?sender=MFC", "ru"); !strings.Contains(page, `<p class="big">1</p>`) || !strings.Contains(page, `<td class="n">1</td>`) {
		t.Errorf("the counts of one sender: %s", page)
	}
	for _, of := range []string{"party=MUNI", "stage=taken", "service=signed"} {
		if page := d.visit("/console/late?"+of, "ru"); strings.Count(page, `<p class="big">0</p>`) != 2 || strings.Contains(page, "По органам и видам сведений") {
			t.Errorf("%s: something is counted: %s", of, page)
		}
	}
	page := d.visit("/console/late", "ru")
	if !strings.Contains(page, `<span class="count late" title="просрочено">2</span>`) || strings.Count(page, "просрочено на") != 2 || !strings.Contains(page, `href="/console/late?party=REGISTRY"`) {
		t.Errorf("the page of what is late: %s", page)
	}
	if a := d.Party("REGISTRY").Reply(first.Message.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	d.Eventually("the answered one is not late now", func() bool { return len(open()) == 1 })
	if now := ok[DueList](d, operatorToken, "/api/v1/terms?overdue=now"); len(now.Terms) != 1 || now.Terms[0].MessageID != other {
		t.Errorf("late now: %+v", now)
	}
	ever := ok[DueList](d, operatorToken, "/api/v1/terms?overdue=ever&limit=1")
	if len(ever.Terms) != 1 || ever.Terms[0].Index == nil || ever.Next == "" {
		t.Fatalf("ever late: %+v", ever)
	}
	rest := ok[DueList](d, operatorToken, "/api/v1/terms?overdue=ever&limit=1&after="+ever.Next)
	if len(rest.Terms) != 1 || rest.Terms[0].MessageID == ever.Terms[0].MessageID {
		t.Errorf("ever late, behind: %+v", rest)
	}
	trace := ok[Trace](d, operatorToken, "/api/v1/journal/trace/"+id).Messages[0]
	if len(trace.Overdue) != 1 || trace.Overdue[0] != "answered" || !trace.Late || trace.Stands != "acknowledged" {
		t.Errorf("the trace: %+v", trace)
	}
	if page := d.visit("/console/trace/"+other, "ru"); !strings.Contains(page, "этап не пройден") || strings.Contains(page, "· open ·") {
		t.Errorf("the page of the trace does not say in Russian what was late: %s", page)
	}
}

// What an entry of the terms and of alarms says is said in the reader's language, and an
// alarm in a timeline does not look like a refused token.
func TestAlarmsHaveWords(t *testing.T) {
	for _, said := range []string{"open", "reached", "told", "muted", "undelivered", "mute", "unmute", "retry", "mail", "webhook"} {
		if _, ok := dictionary[said]; !ok {
			t.Errorf("%q has no words", said)
		}
	}
	css, err := os.ReadFile("static/desk.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range strings.FieldsFunc(string(css), func(r rune) bool { return r == '}' || r == ',' || r == '\n' }) {
		if strings.HasPrefix(strings.TrimSpace(rule), ".alarm") {
			t.Errorf("%s is for rows of a timeline, too", rule)
		}
	}
}

// A rule that is not there is not muted: the one that was meant would tell on. An order
// that was given while it was there may be ended.
func TestOnlyARuleIsMuted(t *testing.T) {
	d := openDesk(t)
	d.console.AlarmRules = func() []string { return []string{"late-answers", "morning"} }
	if a := d.ask(operatorToken, "/api/v1/alarms/mute", MuteOrder{"late-anwsers", 60, "planned works"}); a.StatusCode != 400 || !strings.Contains(string(a.body), "late-answers, morning") {
		t.Errorf("a rule that is not there: %d %s", a.StatusCode, a.body)
	}
	for _, o := range []MuteOrder{{"late-answers", 60, "planned works"}, {"gone", 0, "over"}} {
		if a := d.ask(operatorToken, "/api/v1/alarms/mute", o); a.StatusCode != 200 {
			t.Errorf("%s: %d %s", o.Rule, a.StatusCode, a.body)
		}
	}
	if list := ok[AlarmList](d, operatorToken, "/api/v1/alarms"); len(list.Muted) != 1 || list.Muted[0].Rule != "late-answers" {
		t.Errorf("muted: %+v", list.Muted)
	}
	d.settle()
	muted := ok[Found](d, operatorToken, "/api/v1/journal/entries?kind=alarm&outcome=mute").Entries
	if len(muted) != 1 {
		t.Fatalf("%d entries of the order", len(muted))
	}
	if page := d.visit(fmt.Sprintf("/console/entry/%d", *muted[0].Index), "ru"); !strings.Contains(page, "Молчит до") || !strings.Contains(page, "правило заглушено") || !strings.Contains(page, "<dd>late-answers</dd>") || strings.Count(page, "<dd>planned works</dd>") != 1 || strings.Contains(page, "Ответить до") {
		t.Errorf("the page of the order: %s", page)
	}
}
