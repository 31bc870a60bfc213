package adapter_test

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes"
	"mezhved/signing"
)

// refused says what a refused sender must see, and the journal with it.
type refused struct {
	fault    envelopes.FaultKind
	sub      envelopes.SignatureFault
	status   int
	text     string // in the description
	rule     string // prefix of the journal's rule
	place    bool   // line and column are journalled
	position bool   // the fault has a ValidationError with a position
	stranger bool   // journalled without a sender
}

func (r refused) check(t *testing.T, w *adaptertest.World, a adaptertest.Answered) {
	t.Helper()
	if a.Fault == nil {
		t.Fatalf("it was not refused: status %d\n%s", a.Status, a.Body)
	}
	if a.Fault.Kind != r.fault || a.Fault.Signature != r.sub {
		t.Errorf("fault %s/%s, want %s/%s (%v)", a.Fault.Kind, a.Fault.Signature, r.fault, r.sub, a.Fault)
	}
	status := r.status
	if status == 0 {
		status = http.StatusInternalServerError
	}
	if a.Status != status {
		t.Errorf("HTTP %d, want %d", a.Status, status)
	}
	if !strings.Contains(a.Fault.Description, r.text) {
		t.Errorf("description %q does not say %q", a.Fault.Description, r.text)
	}
	if !strings.Contains(a.Fault.Description, ". Что делать: ") && !strings.Contains(a.Fault.Description, "! Что делать: ") {
		t.Errorf("no full stop before the advice: %q", a.Fault.Description)
	}
	for _, v := range a.Fault.Validation {
		if strings.Contains(v.Text, "строка 0") || !strings.ContainsAny(v.Text, "аеиоу") {
			t.Errorf("validation error %q", v.Text)
		}
	}
	if r.position {
		if len(a.Fault.Validation) == 0 || a.Fault.Validation[0].Position <= 0 || !strings.Contains(a.Fault.Validation[0].Text, "cvc-") {
			t.Errorf("validation errors %+v have no rule and position", a.Fault.Validation)
		}
	}
	incident := a.Header.Get("X-Mezhved-Incident")
	if incident == "" || !strings.Contains(a.Fault.Description, incident) {
		t.Fatalf("the incident %q is not in the description %q", incident, a.Fault.Description)
	}
	ev, _, body, err := w.Store.Refused(context.Background(), incident)
	if err != nil {
		t.Fatalf("the incident leads nowhere: %v", err)
	}
	if ev.Kind != journal.KindRefused || !strings.HasPrefix(ev.Rule, r.rule) || ev.Outcome != string(r.fault) {
		t.Errorf("journal: %s %s %s, want refused %s… %s", ev.Kind, ev.Rule, ev.Outcome, r.rule, r.fault)
	}
	if r.place && (ev.Line == 0 || ev.Col == 0) {
		t.Errorf("journal: no place: %+v", ev)
	}
	if (ev.Sender == "") != r.stranger {
		t.Errorf("journal: sender %q", ev.Sender)
	}
	if len(body) == 0 {
		t.Error("the refused bytes are not kept")
	}
	if !strings.Contains(w.Log.String(), incident) {
		t.Error("the log does not know the incident")
	}
}

// Each kind of refusal is told to the sender in the protocol's words, and its
// incident leads to cause and envelope.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) {
		c.Limits.Attachments = 1000
		c.Limits.KeptPerMin = 1000
		c.Limits.Strangers = 1000
	}))
	muni, mfc, registry := w.Party("MUNI"), w.Party("MFC"), w.Party("REGISTRY")
	good := adaptertest.Content(adaptertest.Extract1)
	now := w.Clock.Now()
	expired := w.NewParty("EXPIRED", now.AddDate(-2, 0, 0), now.AddDate(0, 0, -1))
	early := w.NewParty("EARLY", now.AddDate(0, 0, 1), now.AddDate(2, 0, 0))

	personal := func(number string) string {
		return `<e:ExtractRequest xmlns:e="` + adaptertest.Signed + `" Id="PERSONAL"><e:КадастровыйНомер>` + number + `</e:КадастровыйНомер></e:ExtractRequest>`
	}

	replace := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte {
			if !bytes.Contains(b, []byte(old)) {
				t.Fatalf("%q is not in the envelope to be tampered with", old)
			}
			return bytes.Replace(b, []byte(old), []byte(new), 1)
		}
	}
	cut := func(from, to string) func([]byte) []byte {
		return func(b []byte) []byte {
			i, j := bytes.Index(b, []byte(from)), bytes.Index(b, []byte(to))
			if i < 0 || j < i {
				t.Fatalf("%q … %q is not in the envelope to be tampered with", from, to)
			}
			return append(append([]byte(nil), b[:i]...), b[j+len(to):]...)
		}
	}

	tests := []struct {
		name string
		from *adaptertest.Party
		send adaptertest.Request
		want refused
	}{
		{"not well-formed", muni, adaptertest.Request{Content: good, Tamper: replace("</e:ExtractRequest>", "</e:Extract>")},
			refused{fault: envelopes.InvalidContent, text: "Нарушен формат бизнес-конверта", rule: "xml.mismatched-tag", place: true, stranger: true}},
		{"a document type", muni, adaptertest.Request{Content: good, Tamper: func(b []byte) []byte { return append([]byte("<!DOCTYPE x>"), b...) }},
			refused{fault: envelopes.InvalidContent, text: "Нарушен формат", rule: "xml.", place: true, stranger: true}},
		{"envelope out of order", muni, adaptertest.Request{Content: good, Tamper: func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte(":MessageID>"), []byte(":MessageXX>"))
		}}, refused{fault: envelopes.InvalidContent, text: "Нарушен формат", rule: "cvc-", place: true, position: true, stranger: true}},
		{"no signature", muni, adaptertest.Request{Content: good, Tamper: func(b []byte) []byte {
			i := bytes.Index(b, []byte("CallerInformationSystemSignature>"))
			i = bytes.LastIndexByte(b[:i], '<')
			j := bytes.LastIndex(b, []byte("CallerInformationSystemSignature>")) + len("CallerInformationSystemSignature>")
			return append(append([]byte(nil), b[:i]...), b[j:]...)
		}}, refused{fault: envelopes.SignatureVerificationFault, sub: envelopes.NoSignatureFound, text: "SMEV-100:Отсутствует ЭП-ОВ", rule: "signature-missing", stranger: true}},
		{"changed after signing", muni, adaptertest.Request{Content: good, Tamper: replace("77:01:000101:42", "77:01:000101:43")},
			refused{fault: envelopes.SignatureVerificationFault, sub: envelopes.SignatureIsInvalid, text: "данные изменены", rule: "signature.digest-mismatch", place: true, stranger: true}},
		{"no certificate", muni, adaptertest.Request{Content: good, Tamper: cut("<ds:KeyInfo>", "</ds:KeyInfo>")},
			refused{fault: envelopes.SignatureVerificationFault, sub: envelopes.CertificateIsNotFound, rule: "signature.", stranger: true}},
		{"expired certificate", expired, adaptertest.Request{Content: good},
			refused{fault: envelopes.SignatureVerificationFault, sub: envelopes.CertificateIsExpired, text: "Срок действия сертификата ЭП-ОВ истёк. Сертификат действителен до 20", rule: "signature.certificate-expired", stranger: true}},
		{"certificate not yet valid", early, adaptertest.Request{Content: good},
			refused{fault: envelopes.SignatureVerificationFault, sub: envelopes.CertificateIsExpired, text: "не начался", rule: "signature.certificate-not-yet-valid", stranger: true}},
		{"nobody knows the certificate", w.Party("STRANGER"), adaptertest.Request{Content: good},
			refused{fault: envelopes.SenderIsNotRegistered, text: "STRANGER", rule: "stranger", stranger: true}},
		{"MessageID of version 4", muni, adaptertest.Request{ID: "6f1e2c1a-2f0b-4c3f-9a51-2f8f1d6f7a10", Content: good},
			refused{fault: envelopes.InvalidMessageIdFormat, text: "SMEV-300:Недопустимый формат идентификатора", rule: "message-id-format"}},
		{"stale MessageID", muni, adaptertest.Request{ID: adaptertest.MessageIDAt(now.Add(-25 * time.Hour)), Content: good},
			refused{fault: envelopes.StaleMessageId, text: "слишком давний", rule: "message-id-stale"}},
		{"MessageID of tomorrow", muni, adaptertest.Request{ID: adaptertest.MessageIDAt(now.Add(time.Hour)), Content: good},
			refused{fault: envelopes.InvalidMessageIdFormat, text: "в будущем", rule: "message-id-future"}},
		{"no such service", muni, adaptertest.Request{Content: adaptertest.Content("urn://nobody")},
			refused{fault: envelopes.BusinessDataTypeIsNotSupported, text: "Неподдерживаемый тип", rule: "not-a-type"}},
		{"a response as a request", muni, adaptertest.Request{Content: adaptertest.Answer(adaptertest.Extract1)},
			refused{fault: envelopes.BusinessDataTypeIsNotSupported, text: "зарегистрирован как RESPONSE", rule: "wrong-category"}},
		{"a draft service", muni, adaptertest.Request{Content: adaptertest.Content(adaptertest.Draft)},
			refused{fault: envelopes.BusinessDataTypeIsNotSupported, text: "черновик", rule: "not-in-use"}},
		{"a service on trial", muni, adaptertest.Request{Content: adaptertest.Content(adaptertest.Trial)},
			refused{fault: envelopes.BusinessDataTypeIsNotSupported, text: "TestMessage", rule: "not-in-use"}},
		{"content against the schema", muni, adaptertest.Request{Content: strings.Replace(good, "77:01:000101:42", "сорок два", 1)},
			refused{fault: envelopes.InvalidContent, text: "Бизнес-данные сообщения не соответствуют схеме", rule: "cvc-", place: true, position: true}},
		{"no personal signature", muni, adaptertest.Request{Content: adaptertest.Content(adaptertest.Signed)},
			refused{fault: envelopes.SignatureVerificationFault, sub: envelopes.NoSignatureFound, text: "ЭП-СП отсутствует", rule: "personal-signature-missing"}},
		{"the official signed something else", muni, adaptertest.Request{Content: personal("77:01:000101:42"), Shown: personal("77:01:000101:41"), Personal: muni.Signer},
			refused{fault: envelopes.SignatureVerificationFault, sub: envelopes.SignatureIsInvalid, text: "ЭП-СП не соответствует подписанным данным", rule: "signature.digest-mismatch"}},
		{"the official's certificate has expired", muni, adaptertest.Request{Content: personal("77:01:000101:42"), Personal: expired.Signer},
			refused{fault: envelopes.SignatureVerificationFault, sub: envelopes.CertificateIsExpired, text: "Срок действия сертификата ЭП-СП истёк", rule: "signature.certificate-expired"}},
		{"attachment without header", muni, adaptertest.Request{Content: good, Files: map[string][]byte{"f1": []byte("x")}, Headless: true},
			refused{fault: envelopes.AttachmentContentMiscoordination, text: "Количество вложений - 1, количество заголовков - 0", rule: "attachment-no-header"}},
		{"attachments too large", muni, adaptertest.Request{Content: good, Files: map[string][]byte{"f1": make([]byte, 600), "f2": make([]byte, 600)}},
			refused{fault: envelopes.AttachmentSizeLimitExceeded, text: "Превышен", rule: "attachment-size"}},
		{"no routing code", muni, adaptertest.Request{Content: adaptertest.Content(adaptertest.Regional)},
			refused{fault: envelopes.RecipientIsNotFound, text: "неполноты входных данных", rule: "no-code"}},
		{"unknown routing code", muni, adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Regional, "99")},
			refused{fault: envelopes.RecipientIsNotFound, text: "ExtractRequest: кода маршрутизации нет в таблице: 99.", rule: "no-recipient"}},
		{"not among the callers", mfc, adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Regional, "77")},
			refused{fault: envelopes.AccessDenied, text: "Доступ запрещён", rule: "access"}},
		{"end of life has passed", muni, adaptertest.Request{Content: good, EOL: now.Add(-time.Minute)},
			refused{fault: envelopes.EndOfLifeReached, rule: "end-of-life"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.check(t, w, tt.from.Send(tt.send))
		})
	}

	t.Run("an answer to nowhere", func(t *testing.T) {
		refused{fault: envelopes.RecipientIsNotFound, text: "Адресная информация: MUNI|1", rule: "no-reply-address"}.
			check(t, w, registry.Reply("MUNI|1", adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}))
	})
	t.Run("ack of nothing", func(t *testing.T) {
		refused{fault: envelopes.TargetMessageIsNotFound, text: "SMEV-501:Сообщение", rule: "not-awaiting"}.check(t, w, muni.Ack(muni.ID()))
	})
	t.Run("a queue of somebody else", func(t *testing.T) {
		refused{fault: envelopes.UnknownMessageType, text: "MUNI", rule: "no-such-queue"}.
			check(t, w, muni.Get(envelopes.GetRequest, adapter.QName{Space: adaptertest.Extract1, Local: "ExtractRequest"}, ""))
	})
	t.Run("wrong door", func(t *testing.T) {
		kind, body, _ := muni.BuildRequest(adaptertest.Request{Content: good})
		refused{fault: envelopes.InvalidContent, text: "версии 1.2 отправлен по адресу версии 1.1", rule: "wrong-door", stranger: true}.check(t, w, muni.Post("/smev/v1.1/ws", kind, body))
	})
	t.Run("content type", func(t *testing.T) {
		_, body, _ := muni.BuildRequest(adaptertest.Request{Content: good})
		refused{fault: envelopes.InvalidContent, status: http.StatusUnsupportedMediaType, text: "ожидается text/xml", rule: "soap.content-type", stranger: true}.check(t, w, muni.Post("/ws", "application/json", body))
	})
	t.Run("charset", func(t *testing.T) {
		refused{fault: envelopes.InvalidContent, status: http.StatusUnsupportedMediaType, text: "ожидается UTF-8", rule: "soap.charset", stranger: true}.
			check(t, w, muni.Post("/ws", "text/xml; charset=windows-1251", []byte("<a>\xc0</a>")))
	})
	t.Run("too many MIME parts", func(t *testing.T) {
		body := []byte(strings.Repeat("--b\r\n\r\n\r\n", 10_000) + "--b--\r\n")
		refused{fault: envelopes.InvalidContent, status: http.StatusRequestEntityTooLarge, text: "превышает допустимый: слишком много частей MIME или слишком длинные их заголовки. Что", rule: "soap.too-large", stranger: true}.
			check(t, w, muni.Post("/ws", `multipart/related; boundary="b"`, body))
	})
	t.Run("too large", func(t *testing.T) {
		body := bytes.Repeat([]byte(" "), int(w.Gateway.Config().Limits.Body)+1)
		a := muni.Post("/ws", envelopes.TextXML, body)
		if got, want := a.Status, http.StatusRequestEntityTooLarge; got != want || a.Fault.Kind != envelopes.InvalidContent {
			t.Errorf("HTTP %d %s, want %d", got, a.Fault.Kind, want)
		}
		if want := strconv.Itoa(len(body)-1) + " байт."; !strings.Contains(a.Fault.Text, want) {
			t.Errorf("%q does not say %q", a.Fault.Text, want)
		}
	})
	if n := len(w.Store.Accepted()); n != 0 {
		t.Errorf("%d messages were accepted", n)
	}
}

// pollDrafts make the calls that ask for what waits, each in a version that has it.
var pollDrafts = map[envelopes.Operation]func(at time.Time) envelopes.Draft{
	envelopes.GetRequest: func(at time.Time) envelopes.Draft {
		return (&envelopes.PollCall{Operation: envelopes.GetRequest, Timestamp: at}).Build(envelopes.V12)
	},
	envelopes.GetResponse: func(at time.Time) envelopes.Draft {
		return (&envelopes.PollCall{Operation: envelopes.GetResponse, Timestamp: at}).Build(envelopes.V13)
	},
	envelopes.GetStatus: func(at time.Time) envelopes.Draft {
		return (&envelopes.GetStatusCall{Timestamp: at}).Build(envelopes.V12)
	},
	envelopes.GetIncomingQueueStatistics: func(at time.Time) envelopes.Draft {
		return (&envelopes.StatisticsCall{Timestamp: at}).Build()
	},
}

// signed makes the bytes of a call; change edits the draft before it is signed.
func signed(t *testing.T, p *adaptertest.Party, d envelopes.Draft, change func([]byte) []byte) []byte {
	t.Helper()
	if change != nil {
		xml := change(d.XML)
		d.Slot += len(xml) - len(d.XML)
		d.XML = xml
	}
	out, err := signing.SignInto(context.Background(), d.XML, d.SignID, d.Slot, p.Signer)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A poll whose Timestamp is further away than five minutes is refused, as a
// repetition of a captured one would be; a configuration that says so takes any.
func TestStalePolls(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni := w.Party("MUNI")
	for op, draft := range pollDrafts {
		t.Run(op.String(), func(t *testing.T) {
			poll := func(away time.Duration) adaptertest.Answered {
				return muni.Post("/ws", envelopes.TextXML, signed(t, muni, draft(w.Clock.Now().Add(away)), nil))
			}
			for _, away := range []time.Duration{-4 * time.Minute, 0, 4 * time.Minute} {
				if a := poll(away); a.Fault != nil {
					t.Errorf("%v away: %v", away, a.Fault)
				}
			}
			stale := refused{fault: envelopes.InvalidContent, text: "больше чем на 300 с, проверьте часы", rule: "soap.timestamp", place: true}
			for _, away := range []time.Duration{-6 * time.Minute, 6 * time.Minute, -100 * 24 * time.Hour} {
				stale.check(t, w, poll(away))
			}
			stale.text = "больше чем на 300 с (похоже, в нём указан не тот часовой пояс), проверьте часы"
			stale.check(t, w, poll(3*time.Hour)) // Moscow's clock face under the name of UTC
		})
	}
	any := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) { c.Limits.PollAge = new(yamlfile.Period) }))
	for op, draft := range pollDrafts {
		p := any.Party("MUNI")
		if a := p.Post("/ws", envelopes.TextXML, signed(t, p, draft(any.Clock.Now().AddDate(-1, 0, 0)), nil)); a.Fault != nil {
			t.Errorf("%s without a window: %v", op, a.Fault)
		}
	}
}

// Clients write times with a zone or without one. Without it is what the party's
// registration says, else Moscow's.
func TestTimesOfPolls(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	w.Register("MFC", "timeZone: '+10:00'\n")
	zone := func(hours int) *time.Location { return time.FixedZone("", hours*3600) }
	for _, tt := range []struct {
		name, party, layout string
		zone                *time.Location
		refused             string
	}{
		{"milliseconds and an offset", "MUNI", "2006-01-02T15:04:05.000Z07:00", zone(3), ""},
		{"UTC", "MUNI", "2006-01-02T15:04:05Z07:00", time.UTC, ""},
		{"an offset of the east", "MUNI", "2006-01-02T15:04:05.0000000Z07:00", zone(12), ""},
		{"no zone, in Moscow", "MUNI", "2006-01-02T15:04:05", zone(3), ""},
		{"no zone, registered in Vladivostok", "MFC", "2006-01-02T15:04:05.999999", zone(10), ""},
		{"a zone beside a registered one", "MFC", "2006-01-02T15:04:05Z07:00", zone(3), ""},
		{"no zone, in Vladivostok, not registered", "MUNI", "2006-01-02T15:04:05", zone(10), "принят +03:00"},
		{"no zone, UTC", "MFC", "2006-01-02T15:04:05", time.UTC, "принят +10:00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := w.Party(tt.party)
			for op, draft := range pollDrafts {
				d := draft(w.Clock.Now())
				written := w.Clock.Now().In(tt.zone).Format(tt.layout)
				a := p.Post("/ws", envelopes.TextXML, signed(t, p, d, func(b []byte) []byte {
					return regexp.MustCompile(`(Timestamp[^>]*>)[^<]+`).ReplaceAll(b, []byte("${1}"+written))
				}))
				switch {
				case tt.refused != "":
					refused{fault: envelopes.InvalidContent, text: tt.refused, rule: "soap.timestamp", place: true}.check(t, w, a)
				case a.Fault != nil:
					t.Errorf("%s with %s: %v", op, written, a.Fault)
				}
			}
		})
	}
}

// Which operation a poll is, is not under its signature. One that was captured
// empties no other queue than the one that it asked for: on no node, and not with
// the second value that its ECDSA signature has. Within the window it can be
// repeated as it was.
func TestCapturedPolls(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni := w.Party("MUNI")
	other := muni.At(w.Join("test-2"))
	accepted(t, muni.Send(request(adaptertest.Extract1)))
	to := take(t, w.Party("REGISTRY"), envelopes.GetRequest, "").ReplyTo
	accepted(t, w.Party("REGISTRY").Reply(to, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}))
	queued(t, w, "MUNI", adapter.QueueResponses, 1)

	as := func(b []byte, from, to envelopes.Operation) []byte {
		return bytes.ReplaceAll(b, []byte(from.String()+"Request"), []byte(to.String()+"Request"))
	}
	replay := refused{fault: envelopes.InvalidContent, text: "вызов с этой подписью уже был операцией GetRequest", rule: "soap.replay", place: true}
	captured := signed(t, muni, (&envelopes.PollCall{Operation: envelopes.GetRequest, Timestamp: w.Clock.Now()}).Build(envelopes.V12), nil)
	accepted(t, muni.Post("/ws", envelopes.TextXML, captured))
	for _, p := range []*adaptertest.Party{muni, other} {
		replay.check(t, w, p.Post("/ws", envelopes.TextXML, as(captured, envelopes.GetRequest, envelopes.GetResponse)))
		replay.check(t, w, p.Post("/ws", envelopes.TextXML, as(negated(t, captured), envelopes.GetRequest, envelopes.GetResponse)))
		accepted(t, p.Post("/ws", envelopes.TextXML, captured))
	}
	statistics := signed(t, muni, (&envelopes.StatisticsCall{Timestamp: w.Clock.Now()}).Build(), nil)
	accepted(t, muni.Post("/ws", envelopes.TextXML, statistics))
	replay.text = "уже был операцией GetIncomingQueueStatistics"
	replay.check(t, w, muni.Post("/ws", envelopes.TextXML, as(statistics, envelopes.GetIncomingQueueStatistics, envelopes.GetStatus)))

	w.Clock.Advance(20 * time.Minute) // forgotten by now, and too old
	swept := w.Store.Calls("Sweep")
	w.Eventually("the sweep has looked", func() bool { return w.Store.Calls("Sweep") > swept+1 })
	refused{fault: envelopes.InvalidContent, rule: "soap.timestamp", place: true}.check(t, w, other.Post("/ws", envelopes.TextXML, as(captured, envelopes.GetRequest, envelopes.GetResponse)))
	take(t, muni, envelopes.GetResponse, "")
	w.Check()
}

// negated is the envelope with the other value that its ECDSA P-256 signature has.
func negated(t *testing.T, envelope []byte) []byte {
	t.Helper()
	m := regexp.MustCompile(`SignatureValue>([^<]+)<`).FindSubmatchIndex(envelope)
	value, err := base64.StdEncoding.DecodeString(string(envelope[m[2]:m[3]]))
	if err != nil || len(value) != 64 {
		t.Fatalf("signature value of %d bytes: %v", len(value), err)
	}
	s := new(big.Int).SetBytes(value[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(value[32:])
	return slices.Concat(envelope[:m[2]], []byte(base64.StdEncoding.EncodeToString(value)), envelope[m[3]:])
}

// An answer is taken from the provider that was asked, once, and must be one to
// the service that was asked.
func TestAnswersThatAreRefused(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	registry, moscow := w.Party("REGISTRY"), w.Party("MOSCOW")
	id, got := w.Exchange("MUNI", "REGISTRY", adaptertest.Extract1)
	to := got.Message.ReplyTo
	answer := adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}
	forged := to[:80] + string(to[80]^1) + to[81:]

	refused{fault: envelopes.RecipientIsNotFound, text: "другому участнику", rule: "not-the-provider"}.check(t, w, moscow.Reply(to, answer))
	refused{fault: envelopes.RecipientIsNotFound, rule: "no-reply-address"}.check(t, w, registry.Reply(forged, answer))
	refused{fault: envelopes.InvalidContent, text: "через метод sendResponse", rule: "not-a-response"}.
		check(t, w, registry.Reply(to, adaptertest.Reply{Content: adaptertest.Answer("urn://nobody")}))
	refused{fault: envelopes.IncorrectResponseContentType, text: "extract 1.0", rule: "other-response"}.
		check(t, w, registry.Reply(to, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract2)}))
	refused{fault: envelopes.IncorrectResponseContentType, rule: "other-response"}.
		check(t, w, registry.Reply(to, adaptertest.Reply{Content: adaptertest.Content(adaptertest.Extract1)}))
	refused{fault: envelopes.InvalidContent, rule: "cvc-", position: true, place: true}.
		check(t, w, registry.Reply(to, adaptertest.Reply{Content: strings.Replace(answer.Content, "54.3", "много", 1)}))
	if a := registry.Reply(to, answer); a.Fault != nil {
		t.Fatalf("the answer was refused: %v", a.Fault)
	}
	refused{fault: envelopes.MessageIsAlreadySent, text: id, rule: "answered"}.check(t, w, registry.Reply(to, answer))
	w.Check()
}

// A refusal of a known party that the journal cannot take is an outage.
func TestARefusalThatCannotBeJournalled(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	w.Store.Break("Refuse", adaptertest.Failed)
	a := w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content("urn://nobody")})
	if got, want := a.Status, http.StatusServiceUnavailable; got != want || a.Fault.Kind != envelopes.SMEVFailure {
		t.Errorf("HTTP %d %s, want %d SMEVFailure", got, a.Fault.Kind, want)
	}
	if a.Header.Get("Retry-After") == "" {
		t.Error("Retry-After is missing")
	}
}

// Parties over their rate are told to wait; the journal hears of it in summary.
func TestRate(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	w.Register("MUNI", "limits: {perSecond: 1, burst: 2}\n")
	var last adaptertest.Answered
	for range 4 {
		last = w.Party("MUNI").Get(envelopes.GetResponse, anything, "")
	}
	if got, want := last.Status, http.StatusTooManyRequests; got != want {
		t.Errorf("HTTP %d, want %d", got, want)
	}
	if last.Header.Get("Retry-After") == "" {
		t.Error("Retry-After is missing")
	}
	w.Clock.Advance(5 * time.Second)
	if a := w.Party("MUNI").Get(envelopes.GetResponse, anything, ""); a.Fault != nil {
		t.Errorf("after five seconds: %v", a.Fault)
	}
	if a := w.Party("MFC").Get(envelopes.GetResponse, anything, ""); a.Fault != nil {
		t.Errorf("another party: %v", a.Fault)
	}
	w.Eventually("the summary is in the journal", func() bool { return w.Store.Calls("Record") > 0 })
}

// Each refused call of a stranger is told once: in an entry of its own, or in the
// summary's count.
func TestStrangersAreCountedOnce(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) { c.Limits.KeptPerMin = 2 }))
	for range 3 {
		w.Party("STRANGER").Get(envelopes.GetResponse, anything, "")
	}
	w.Store.Break("Refuse", adaptertest.Failed) // one that could not be kept is counted, too
	w.Clock.Advance(time.Minute)
	w.Party("STRANGER").Get(envelopes.GetResponse, anything, "")
	own, counted := 0, 0
	w.Eventually("all four are told", func() bool {
		own, counted = 0, 0
		for _, row := range w.Entries() {
			switch e := &row.Leaf; e.Kind {
			case journal.KindRefused:
				own++
			case journal.KindStrangers:
				counted += e.Count
			}
		}
		return own+counted >= 4
	})
	if own != 2 || counted != 2 {
		t.Errorf("%d entries and %d in summaries, want 2 and 2", own, counted)
	}
}

// Calls that fail by our own fault while the store does not answer are in the journal
// when it does again, with the service that they were for: reports hold it to its promise.
func TestOwnFailuresAreInTheJournal(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	w.Store.Break("Accept", adaptertest.Failed)
	if a := w.Party("MUNI").Send(request(adaptertest.Extract1)); a.Status != http.StatusServiceUnavailable {
		t.Fatalf("HTTP %d, want 503", a.Status)
	}
	w.Store.Break("Refuse", adaptertest.Failed)
	if a := w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content("urn://nobody")}); a.Status != http.StatusServiceUnavailable {
		t.Fatalf("HTTP %d, want 503", a.Status)
	}
	told := map[string]string{}
	w.Eventually("both are told", func() bool {
		for _, row := range w.Entries() {
			if e := &row.Leaf; e.Kind == journal.KindRefused {
				told[e.Rule] = strings.Join([]string{e.Sender, e.Operation, e.Service, e.Outcome, strconv.Itoa(e.Count)}, " ")
			}
		}
		return len(told) == 2
	})
	if got, want := told["unavailable"], "MUNI SendRequest extract SMEVFailure 1"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if got, want := told["journal-unwritten"], "MUNI SendRequest  SMEVFailure 1"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

// Strangers from one address are turned away after a while, before any
// arithmetic; parties from the same address are not.
func TestStrangersAreSlowedDown(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) { c.Limits.Strangers = 1 }))
	var last adaptertest.Answered
	for range 8 {
		last = w.Party("STRANGER").Get(envelopes.GetResponse, anything, "")
	}
	if got, want := last.Status, http.StatusTooManyRequests; got != want {
		t.Errorf("HTTP %d, want %d", got, want)
	}
	if a := w.Party("MUNI").Get(envelopes.GetResponse, anything, ""); a.Fault != nil {
		t.Errorf("a party from the same address: %v", a.Fault)
	}
	if _, _, _, err := w.Store.Refused(context.Background(), last.Header.Get("X-Mezhved-Incident")); !errors.Is(err, adapter.ErrNotFound) {
		t.Errorf("a flood's bytes were kept: %v", err)
	}
}

// Calls that prove no party, whatever is wrong with them, count against their
// address; what a known party does wrong does not.
func TestBadCallsAreSlowedDown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, kind, body string }{
		{"malformed", envelopes.TextXML, "<a>"},
		{"no envelope", envelopes.TextXML, "<a/>"},
		{"no XML at all", "application/json", "{}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) { c.Limits.Strangers = 1 }))
			muni := w.Party("MUNI")
			for range 8 {
				if a := muni.Send(adaptertest.Request{Content: adaptertest.Content("urn://nobody")}); a.Status == http.StatusTooManyRequests {
					t.Fatal("a known party's refusals were counted as a stranger's")
				}
			}
			for i := range 8 {
				a := muni.Post("/ws", tt.kind, []byte(tt.body))
				if told := a.Status == http.StatusTooManyRequests; told != (i >= 4) || told != (a.Header.Get("Retry-After") != "") {
					t.Errorf("call %d: HTTP %d, Retry-After %q", i+1, a.Status, a.Header.Get("Retry-After"))
				}
			}
			if a := muni.Get(envelopes.GetResponse, anything, ""); a.Fault != nil {
				t.Errorf("a party from the same address: %v", a.Fault)
			}
			w.Clock.Advance(5 * time.Second)
			if a := muni.Post("/ws", tt.kind, []byte(tt.body)); a.Status == http.StatusTooManyRequests {
				t.Error("still told to wait after five seconds")
			}
		})
	}
}
