package alarms

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	gomail "github.com/wneessen/go-mail"

	"mezhved/adapter"
	"mezhved/adapter/alarms/sink"
	"mezhved/adapter/journal"
	"mezhved/adapter/terms"
	"mezhved/adapter/yamlfile"
)

const secret = "0123456789abcdef0123456789abcdef"

// rulesOf reads rules that stand in a file beside a secret.
func rulesOf(t *testing.T, text string) (*Rules, yamlfile.Findings) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"alarms.yaml": text, "hook.secret": secret + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Load(filepath.Join(dir, "alarms.yaml"), nil, true)
}

func mustRules(t *testing.T, text string) *Rules {
	t.Helper()
	r, found := rulesOf(t, text)
	if r == nil {
		t.Fatal(found)
	}
	return r
}

func late(at time.Time) journal.Event {
	return journal.Event{Kind: journal.KindOverdue, Time: at, Message: "019b0000-0000-7000-8000-000000000001", MessageID: "m1", Direction: "request", Sender: "MUNI", Recipient: "FNS01",
		Service: "egrul-extract", Version: "2.0.0", Stage: "answered", Deadline: at.Add(-time.Minute), Outcome: "open"}
}

// The sample of the documentation has every setting and no mistake.
func TestSampleRules(t *testing.T) {
	src, err := os.ReadFile("testdata/alarms.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, found := rulesOf(t, string(src)); len(found) > 0 {
		t.Errorf("the sample: %v", found)
	}
}

func TestRulesAreLinted(t *testing.T) {
	_, found := rulesOf(t, `language: de
digests: [9]
quiet: {from: "20:00"}
apart: 25h
rules:
  - {name: Late, events: [late], stages: [done], when: soon, mail: "Duty <duty@x.example>"}
  - {name: late, when: digest}
  - {name: late, when: now, webhooks: {url: "ftp://x", secretFile: none}}
  - {name: soon, events: due-soon, when: now, mail: a@x.example, escalate: {mail: b@x.example}}
  - {name: plain, when: now, webhooks: {url: "http://body.example/", secretFile: hook.secret}}
`)
	all := ""
	for _, f := range found {
		all += f.String() + "\n"
	}
	for _, want := range []string{
		"1:11: language: ru or en", "2:11: digests.0: a time of day", "quiet: from and to go together", "apart: 0s to 24h are expected", `rules.0.name: a name of a-z`, `rules.0.events.0: due-soon, overdue, probe-red or probe-green`,
		"rules.0.stages.0: queued, taken, status or answered", "rules.0.when: now or digest", "rules.0.mail.0: an address such as", "rules.1: tells nobody", `rules.2.name: there are two rules named "late"`,
		"rules.2.webhooks.0.url: an address such as https", "rules.2.webhooks.0.secretFile:", "rules.3.escalate.0.after: after how long", "rules.3.escalate.0: only what is overdue escalates", "warning: rules.4.webhooks.0.url: is not https",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("lint does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(all)
	}
}

// A file that was cut short while it was written does not put nobody in the place of all
// who are told, and nobody is told of one thing twice.
func TestRulesTellSomebodyOnce(t *testing.T) {
	for text, want := range map[string]string{
		"":          "there is no rule",
		"rules: []": "there is no rule",
		"rules:\n  - {name: a, when: now, mail: [x@y.example, x@y.example]}":                                                                                       "rules.0.mail.1: x@y.example stands here twice",
		"rules:\n  - {name: a, when: now, webhooks: [{url: 'https://h.example/', secretFile: hook.secret}, {url: 'https://h.example/', secretFile: hook.secret}]}": "rules.0.webhooks.1.url: stands here twice",
	} {
		if r, found := rulesOf(t, text); r != nil || !strings.Contains(found.Errors().Error(), want) {
			t.Errorf("%q: %v, want %s", text, found, want)
		}
	}
}

// Two rules may call one address with secrets of their own.
func TestACallIsSignedWithTheSecretOfItsRule(t *testing.T) {
	rules := &Rules{Rules: []Rule{{Name: "a", To: Recipients{Webhooks: []Webhook{{"https://h.example/", []byte("of a")}}}}, {Name: "b", To: Recipients{Webhooks: []Webhook{{"https://h.example/", []byte("of b")}}}}}}
	if a, b, none := rules.secret("a", "https://h.example/"), rules.secret("b", "https://h.example/"), rules.secret("c", "https://h.example/"); string(a) != "of a" || string(b) != "of b" || none != nil {
		t.Errorf("%q, %q, %q", a, b, none)
	}
}

func TestWhenSomebodyIsTold(t *testing.T) {
	at := func(text string) time.Time {
		x, err := time.ParseInLocation("2006-01-02 15:04", text, terms.Moscow)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	const quiet = "digests: ['09:00', '14:00']\nquiet: {from: '20:00', to: '08:00', daysOff: true}\nrules:\n"
	for _, c := range []struct{ what, rules, now, want string }{
		{"at once", quiet + "  - {name: a, when: now, mail: x@y.example}", "2026-11-27 15:00", "2026-11-27 15:00"},
		{"in the evening", quiet + "  - {name: a, when: now, mail: x@y.example}", "2026-11-26 21:00", "2026-11-27 08:00"},
		{"before the morning", quiet + "  - {name: a, when: now, mail: x@y.example}", "2026-11-26 03:00", "2026-11-26 08:00"},
		{"on Friday evening", quiet + "  - {name: a, when: now, mail: x@y.example}", "2026-11-27 21:00", "2026-11-30 08:00"},
		{"on New Year's Eve, which is off", quiet + "  - {name: a, when: now, mail: x@y.example}", "2026-12-31 12:00", "2027-01-11 08:00"},
		{"at any time", quiet + "  - {name: a, when: now, anytime: true, mail: x@y.example}", "2026-12-31 23:59", "2026-12-31 23:59"},
		{"with the next digest", quiet + "  - {name: a, mail: x@y.example}", "2026-11-27 09:00", "2026-11-27 14:00"},
		{"with that of Monday", quiet + "  - {name: a, mail: x@y.example}", "2026-11-27 14:00", "2026-11-30 09:00"},
	} {
		e := late(at(c.now))
		got := mustRules(t, c.rules).Alarms(terms.Shipped(), &e, at(c.now))
		if len(got) != 1 || !got[0].At.Equal(at(c.want)) {
			t.Errorf("%s: %v, want %s", c.what, got, c.want)
		}
	}
	e := late(at("2026-11-27 15:00"))
	got := mustRules(t, "rules:\n  - {name: a, when: now, mail: x@y.example, escalate: {after: 4h, mail: [head@y.example, chief@y.example]}}").Alarms(terms.Shipped(), &e, e.Time)
	if len(got) != 3 || got[0].Escalated || !got[2].Escalated || got[2].Target != "chief@y.example" || !got[2].At.Equal(e.Deadline.Add(4*time.Hour)) {
		t.Errorf("escalation: %+v", got)
	}
	for _, other := range []string{"parties: SFR01", "senders: MFC", "services: other", "stages: taken", "events: due-soon"} {
		if got := mustRules(t, "rules:\n  - {name: a, when: now, mail: x@y.example, "+other+"}").Alarms(terms.Shipped(), &e, e.Time); len(got) > 0 {
			t.Errorf("a rule of %s fits", other)
		}
	}
}

// memory is a store of alarms whose time has come.
type memory struct {
	pending []Pending
	sent    Sent
}

func (m *memory) ExpandAlarms(context.Context, int, func([]journal.Event) []Alarm) (int, error) {
	return 0, nil
}

func (m *memory) SendAlarms(ctx context.Context, _ time.Time, _ int, send func(context.Context, []Pending) (Sent, error)) (n int, err error) {
	m.sent, err = send(ctx, m.pending)
	return len(m.pending), err
}

func (m *memory) AlarmsStanding(context.Context, time.Time) (int, time.Time, error) {
	return 0, time.Time{}, nil
}

func tell(t *testing.T, rules *Rules, mailer *Mailer, list ...Pending) Sent {
	t.Helper()
	m := &memory{pending: list}
	teller := New(Options{Store: m, Rules: rules, Mailer: mailer, Calendar: terms.Shipped, Node: "n", URL: "https://gate.example/x/", Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	if _, err := teller.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m.sent
}

func pending(id int64, way, target string) Pending {
	e := late(time.Date(2026, 12, 5, 0, 1, 0, 0, terms.Moscow))
	return Pending{Alarm: Alarm{ID: id, Rule: "a", Way: way, Target: target, Event: e, Message: uuid.MustParse(e.Message), Stage: terms.StageAnswered}}
}

func TestMailGoesOverTLSAndNotWithoutIt(t *testing.T) {
	certificate, pemFile := selfSigned(t)
	plain, secure := &sink.Sink{}, &sink.Sink{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}}
	for _, s := range []*sink.Sink{plain, secure} {
		if err := s.Listen("127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		defer s.Close()
	}
	mailer := func(s *sink.Sink, cas string) *Mailer {
		m, err := NewMailer(adapter.MailConfig{Server: s.Addr(), CAs: cas, From: "mezhved@body.example"})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	rules := mustRules(t, "rules:\n  - {name: a, when: now, mail: duty@body.example}")
	if sent := tell(t, rules, mailer(plain, pemFile), pending(1, WayMail, "duty@body.example")); len(sent.Done) != 0 || len(sent.Again) != 1 || len(plain.Mails()) != 0 {
		t.Errorf("in the clear: %+v", sent)
	}
	if sent := tell(t, rules, mailer(secure, ""), pending(1, WayMail, "duty@body.example")); len(sent.Done) != 0 || len(secure.Mails()) != 0 {
		t.Errorf("to a server that nobody vouches for: %+v", sent)
	}
	sent := tell(t, rules, mailer(secure, pemFile), pending(1, WayMail, "duty@body.example"), pending(2, WayMail, "duty@body.example"))
	if len(sent.Done) != 2 || len(sent.Events) != 1 || sent.Events[0].Count != 2 || sent.Events[0].Outcome != "told" || sent.Events[0].Rule != "a" || len(secure.Mails()) != 1 {
		t.Fatalf("two alarms of one rule to one address: %+v, %d mails", sent, len(secure.Mails()))
	}
	m, err := mail.ReadMessage(strings.NewReader(string(secure.Mails()[0])))
	if err != nil {
		t.Fatal(err)
	}
	subject, _ := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	body, _ := io.ReadAll(quotedprintable.NewReader(m.Body))
	if subject != "просрочено 2 (a)" || m.Header.Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("subject %q, %v", subject, m.Header)
	}
	for _, want := range []string{"Просрочено этапов: 2.", "ПРОСРОЧЕНО: ответ, срок 05.12.2026 00:00 +03:00", "должен: FNS01, отправитель: MUNI, вид сведений: egrul-extract 2.0.0", "MessageID: m1", "https://gate.example/x/console/trace/m1", "https://gate.example/x/console/late"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the mail does not say %q:\n%s", want, body)
		}
	}
	rules.Language = "en"
	if subject, body, err := write(rules, "", []Alarm{pending(1, WayMail, "x").Alarm}); err != nil || subject != "1 overdue (a)" || !strings.Contains(body, "OVERDUE: answered, due 05.12.2026 00:00 +03:00") {
		t.Errorf("in English: %q, %v\n%s", subject, err, body)
	}
}

// mailing is a teller by the rules of text, at a time that the test moves, with what takes
// its mails and what it tells of.
func mailing(t *testing.T, text string, now *time.Time) (*Teller, *sink.Sink, *memory) {
	t.Helper()
	plain, m := &sink.Sink{}, &memory{}
	if err := plain.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { plain.Close() })
	return New(Options{Store: m, Rules: mustRules(t, text), Mailer: mailerOf(t, adapter.MailConfig{Server: plain.Addr(), TLS: "none"}),
		Calendar: terms.Shipped, Now: func() time.Time { return *now }, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()}), plain, m
}

// What goes on being late is one mail at once, and then one in five minutes, whatever has
// come by then; another address, and a program, are not held up by it.
func TestMailsOfOneRuleToOneAddressHaveAPause(t *testing.T) {
	now := time.Date(2026, 12, 5, 0, 1, 0, 0, terms.Moscow)
	teller, plain, m := mailing(t, "rules:\n  - {name: a, when: now, mail: [duty@body.example, other@body.example]}", &now)
	for i, step := range []struct {
		after       time.Duration
		target      string
		mails       int
		again, told int
	}{
		{0, "duty@body.example", 1, 0, 2},
		{2 * time.Second, "duty@body.example", 1, 2, 0},
		{2 * time.Second, "other@body.example", 2, 0, 2},
		{5*time.Minute - 5*time.Second, "duty@body.example", 2, 2, 0},
		{time.Second, "duty@body.example", 3, 0, 2},
	} {
		now = now.Add(step.after)
		m.pending = []Pending{pending(1, WayMail, step.target), pending(2, WayMail, step.target)}
		if _, err := teller.round(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(plain.Mails()) != step.mails || len(m.sent.Again) != step.again || len(m.sent.Done) != step.told {
			t.Fatalf("step %d: %d mails, %+v", i, len(plain.Mails()), m.sent)
		}
		for _, a := range m.sent.Again {
			if a.Attempts != 0 || !a.At.Equal(time.Date(2026, 12, 5, 0, 6, 0, 0, terms.Moscow)) {
				t.Errorf("step %d: put off to %s with %d attempts", i, a.At, a.Attempts)
			}
		}
	}
}

// How long the pause is the file says; 0s is none, and nothing is five minutes.
func TestTheFileSaysHowLongThePauseIs(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 5 * time.Minute, "apart: 0s\n": 0, "apart: 1h\n": time.Hour} {
		now := time.Date(2026, 12, 5, 0, 1, 0, 0, terms.Moscow)
		teller, plain, m := mailing(t, text+"rules:\n  - {name: a, when: now, mail: [duty@body.example]}", &now)
		for range 3 {
			m.pending = []Pending{pending(1, WayMail, "duty@body.example")}
			if _, err := teller.round(t.Context()); err != nil {
				t.Fatal(err)
			}
			now = now.Add(2 * time.Second)
		}
		if got, most := len(plain.Mails()), map[bool]int{true: 3, false: 1}[want == 0]; got != most {
			t.Errorf("%q: %d mails in three rounds, want %d", text, got, most)
		}
		now = now.Add(want)
		m.pending = []Pending{pending(2, WayMail, "duty@body.example")}
		before := len(plain.Mails())
		if _, err := teller.round(t.Context()); err != nil || len(plain.Mails()) != before+1 {
			t.Errorf("%q: after %s %d mails, %v", text, want, len(plain.Mails())-before, err)
		}
	}
}

func TestWebhooksAreSignedRepeatedAndGivenUp(t *testing.T) {
	status := http.StatusServiceUnavailable
	var deliveries []string
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		stamp, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get(HeaderSignature), "t="), ",")
		seconds, err := time.ParseDuration(stamp + "s")
		if err != nil || r.Header.Get(HeaderSignature) != Sign([]byte(secret), body, time.Unix(int64(seconds.Seconds()), 0)) {
			t.Errorf("signature %s", r.Header.Get(HeaderSignature))
		}
		var c Call
		if err := json.Unmarshal(body, &c); err != nil || len(c.Alarms) != 1 || c.Alarms[0].MessageID != "m1" || c.Delivery != r.Header.Get(HeaderDelivery) {
			t.Errorf("%s, %v", body, err)
		}
		deliveries = append(deliveries, c.Delivery)
		w.WriteHeader(status)
	}))
	defer hook.Close()
	rules := mustRules(t, "rules:\n  - {name: a, when: now, webhooks: {url: '"+hook.URL+"', secretFile: hook.secret}}")
	one := pending(7, WayWebhook, hook.URL)
	sent := tell(t, rules, nil, one)
	if len(sent.Done) != 0 || len(sent.Again) != 1 || sent.Again[0].Attempts != 1 || sent.Again[0].Dead || !strings.Contains(sent.Again[0].Problem, "503") || len(sent.Events) != 0 {
		t.Errorf("not taken: %+v", sent)
	}
	one.Attempts = mostAttempts - 1
	sent = tell(t, rules, nil, one)
	if len(sent.Again) != 1 || !sent.Again[0].Dead || len(sent.Events) != 1 || sent.Events[0].Outcome != "undelivered" {
		t.Errorf("not taken for a day: %+v", sent)
	}
	status = http.StatusFound // and is not followed
	if sent = tell(t, rules, nil, one); len(sent.Done) != 0 {
		t.Errorf("sent elsewhere: %+v", sent)
	}
	status = http.StatusNoContent
	sent = tell(t, rules, nil, one)
	if len(sent.Done) != 1 || sent.Events[0].Message != one.Event.Message || sent.Events[0].Stage != "answered" {
		t.Errorf("taken: %+v", sent)
	}
	if len(deliveries) != 4 || len(slices.Compact(slices.Clone(deliveries))) != 1 {
		t.Errorf("deliveries %v: a copy is known by its own", deliveries)
	}
	muted, reached := pending(8, WayWebhook, hook.URL), pending(9, WayWebhook, hook.URL)
	muted.Muted, reached.Reached = true, true
	sent = tell(t, rules, nil, muted, reached)
	if len(sent.Done) != 2 || len(sent.Events) != 1 || sent.Events[0].Outcome != "muted" || len(deliveries) != 4 {
		t.Errorf("muted and reached: %+v, %v", sent, deliveries)
	}
}

func selfSigned(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// A mail server that does not answer is asked once, and not once for each address; calls
// go on meanwhile.
func TestAMailServerThatIsDownIsAskedOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls++ }))
	defer hook.Close()
	l.Close()
	rules := mustRules(t, "rules:\n  - {name: a, when: now, mail: x@y.example, webhooks: {url: '"+hook.URL+"', secretFile: hook.secret}}")
	mailer, err := NewMailer(adapter.MailConfig{Server: l.Addr().String(), TLS: "none", From: "mezhved@body.example"})
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	inner := mailer.client
	mailer.client = func(ctx context.Context) (*gomail.Client, error) { asked++; return inner(ctx) }
	var list []Pending
	for i := range 20 {
		list = append(list, pending(int64(i), WayMail, string(rune('a'+i))+"@y.example"))
	}
	sent := tell(t, rules, mailer, append(list, pending(99, WayWebhook, hook.URL))...)
	if asked != 1 || len(sent.Again) != 20 || sent.Again[19].Attempts != 1 || sent.Again[19].Problem == "" || len(sent.Done) != 1 || calls != 1 {
		t.Errorf("asked %d times, %d again, %d done, %d calls", asked, len(sent.Again), len(sent.Done), calls)
	}
}

// What was called and not taken is called again by itself, so that its delivery stays the
// same: whoever took it and answered too late knows the copy. Mails are put together.
func TestARepeatedCallIsACopy(t *testing.T) {
	var deliveries []string
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		deliveries = append(deliveries, r.Header.Get(HeaderDelivery))
		w.WriteHeader(http.StatusGatewayTimeout)
	}))
	defer hook.Close()
	rules := mustRules(t, "rules:\n  - {name: a, when: now, webhooks: {url: '"+hook.URL+"', secretFile: hook.secret}}")
	first := tell(t, rules, nil, pending(1, WayWebhook, hook.URL), pending(2, WayWebhook, hook.URL))
	again := tell(t, rules, nil, Pending{Alarm: first.Again[0]}, Pending{Alarm: first.Again[1]}, pending(3, WayWebhook, hook.URL))
	if len(deliveries) != 3 || deliveries[1] != deliveries[0] || deliveries[2] == deliveries[0] || len(again.Again) != 3 {
		t.Errorf("deliveries %v", deliveries)
	}
}

// A node that is told to stop has not tried what it did not get to.
func TestStoppingIsNoAttempt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	}))
	defer hook.Close()
	rules := mustRules(t, "rules:\n  - {name: a, when: now, webhooks: {url: '"+hook.URL+"', secretFile: hook.secret}}")
	teller := New(Options{Rules: rules, Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	if sent, _ := teller.send(ctx, rules, []Pending{pending(1, WayWebhook, hook.URL), pending(2, WayMail, "x@y.example")}, time.Now()); len(sent.Again)+len(sent.Done) > 0 {
		t.Errorf("%+v", sent)
	}
}

// What probes find is told by the rules that name it, at any stage, by mail and by call.
func TestWhatProbesFindIsTold(t *testing.T) {
	r := mustRules(t, `language: ru
rules:
  - {name: health, events: [probe-red, probe-green], when: now, stages: [answered], services: [egrul-extract], mail: [duty@x.example], webhooks: [{url: 'https://x.example/', secretFile: hook.secret}]}
  - {name: late, when: now, mail: [duty@x.example]}
`)
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	red := journal.Event{Kind: ProbeRed, Time: at, Service: "egrul-extract", Version: "2.0.0", Operation: "full", Outcome: "rejected", Rule: "NO_DATA", Recipient: "FNS01"}
	list := r.Alarms(terms.Shipped(), &red, at)
	if len(list) != 2 || list[0].Rule != "health" || list[0].Escalated || list[0].Message != uuid.Nil {
		t.Fatalf("alarms %+v", list)
	}
	other := red
	other.Service = "other"
	if got := r.Alarms(terms.Shipped(), &other, at); len(got) != 0 {
		t.Errorf("of another service: %+v", got)
	}
	green := list[0]
	green.Event.Kind, green.Event.Outcome, green.Event.Rule = ProbeGreen, "", ""
	subject, body, err := write(r, "https://gate.example", []Alarm{list[0], green})
	if err != nil {
		t.Fatal(err)
	}
	if want := "неисправно 1, снова исправно 1 (health)"; subject != want {
		t.Errorf("subject %q, want %q", subject, want)
	}
	for _, want := range []string{"НЕИСПРАВНО: egrul-extract 2.0.0: поставщик отказал (NO_DATA)\n  с 02.03.2026 12:00 +03:00, поставщик: FNS01\n  https://gate.example/console/health\n", "Снова исправно: egrul-extract 2.0.0"} {
		if !strings.Contains(body, want) {
			t.Errorf("the mail does not say %q:\n%s", want, body)
		}
	}
	for _, not := range []string{"MessageID", "console/late", "срок"} {
		if strings.Contains(body, not) {
			t.Errorf("the mail says %q:\n%s", not, body)
		}
	}
	var called []byte
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { called, _ = io.ReadAll(r.Body) }))
	defer s.Close()
	if err := call(t.Context(), s.URL, []byte(secret), "d", list[1:], at); err != nil {
		t.Fatal(err)
	}
	if want := `"alarms":[{"event":"probe-red","recipient":"FNS01","service":"egrul-extract","version":"2.0.0","found":"rejected","since":"2026-03-02T09:00:00Z"}]`; !strings.Contains(string(called), want) {
		t.Errorf("the call is %s", called)
	}
}
