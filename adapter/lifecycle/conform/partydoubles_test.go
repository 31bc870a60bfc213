package conform_test

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter/lifecycle/conform"
	"mezhved/adapter/lifecycle/conform/paper"
	"mezhved/adapter/party"
	"mezhved/signing"
)

// wire is a system's network with something done to calls and answers.
type wire struct {
	http.RoundTripper
	call   func(r *http.Request, body []byte) []byte
	answer func(resp *http.Response, body []byte) []byte
	repeat func(call, answer []byte) int // how often the call is made again at once
}

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	if w.call != nil {
		body = w.call(r, body)
	}
	send := func() (*http.Response, []byte, error) {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		resp, err := w.RoundTripper.RoundTrip(r)
		if err != nil {
			return nil, nil, err
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		return resp, got, err
	}
	resp, got, err := send()
	if err != nil {
		return nil, err
	}
	if w.repeat != nil {
		for range w.repeat(body, got) {
			if _, _, err := send(); err != nil {
				return nil, err
			}
		}
	}
	if w.answer != nil {
		got = w.answer(resp, got)
	}
	resp.Body = io.NopCloser(bytes.NewReader(got))
	return resp, nil
}

func over(w wire) func(*system) {
	return func(s *system) {
		w.RoundTripper = s.client.HTTP.Transport
		s.client.HTTP.Transport = w
	}
}

// careless calls once and forgets what fails.
func careless(s *system) { s.once, s.ackOnce, s.client.Attempts = true, true, 1 }

// renaming takes a new MessageID for each attempt.
func renaming(s *system) { s.newIDs, s.client.Attempts = true, 1 }

// hasty does not see Retry-After.
var hasty = over(wire{answer: func(resp *http.Response, body []byte) []byte {
	resp.Header.Del("Retry-After")
	return body
}})

// blind cannot read answers with a text in them.
func blind(text string) func(*system) {
	return over(wire{answer: func(resp *http.Response, body []byte) []byte {
		if bytes.Contains(body, []byte(text)) || strings.Contains(resp.Header.Get("Content-Type"), text) {
			resp.Header.Set("Content-Type", "text/plain")
			return []byte("не читается")
		}
		return body
	}})
}

// stubborn makes a call again when its answer has a text in it.
func stubborn(text string, times int) func(*system) {
	return over(wire{repeat: func(_, answer []byte) int {
		if bytes.Contains(answer, []byte(text)) {
			return times
		}
		return 0
	}})
}

// silent does not acknowledge some messages.
func silent(which func(*party.Message) bool) func(*system) {
	return func(s *system) { s.ackless = which }
}

// trusting takes any valid certificate for the bus's.
func trusting(s *system) { s.client.Bus = nil }

// unsigning takes answers without a signature.
func unsigning(s *system) { s.client.AllowUnsigned = true }

var busSignature = regexp.MustCompile(`<ns2:SMEVSignature>.*?</ns2:SMEVSignature>`)

// unlooking does not look at the bus's signature at all.
func unlooking(s *system) {
	unsigning(s)
	over(wire{answer: func(_ *http.Response, body []byte) []byte { return busSignature.ReplaceAll(body, nil) }})(s)
}

// stopping ends at the first error.
func stopping(s *system) {
	s.client.Attempts = 1
	s.stops = func(error) bool { return true }
}

func both(a, b func(*system)) func(*system) { return func(s *system) { a(s); b(s) } }

func changing(pattern, word string) func(*system) {
	re := regexp.MustCompile(pattern)
	return over(wire{call: func(_ *http.Request, body []byte) []byte { return re.ReplaceAll(body, []byte(word)) }})
}

// partyFlaws are systems that do one thing wrong, by the check that finds it, with
// words of what it then says.
var partyFlaws = map[string]struct {
	flaw func(*system)
	why  string
}{
	"party.send-lost-answer":  {renaming, "не дождались: повтор"},
	"party.send-already-sent": {stubborn("MessageIsAlreadySent", 1), "послано снова"},
	"party.send-unavailable":  {hasty, "шина просила ждать"},
	"party.send-rate":         {hasty, "шина просила ждать"},
	"party.send-failure":      {careless, "не дождались: повтор"},
	"party.send-overflow":     {careless, "не дождались: повтор"},
	"party.send-gateway":      {careless, "не дождались: повтор"},
	"party.send-timeout":      {careless, "повтора с MessageID"},
	"party.send-pause":        {func(s *system) { s.client.Pause = time.Millisecond }, "пауза перед попыткой"},
	"party.send-stale":        {stubborn("StaleMessageId", 1), "послано снова"},
	"party.send-refused":      {stubborn("InvalidContent", 1), "послано снова"},
	"party.send-access":       {stubborn("AccessDenied", 1), "послано снова"},
	"party.send-multipart":    {blind("multipart/related"), "послано снова"},
	"party.send-decorated":    {blind("<!--"), "послано снова"},

	"party.answer-ack": {silent(func(*party.Message) bool { return true }), "не дождались: получение и Ack"},
	"party.status-ack": {silent(func(m *party.Message) bool { return m.Response != nil && m.Response.Status != nil }), "Ack с accepted=\"true\": статус"},
	"party.statuses-many": {silent(func(m *party.Message) bool {
		return m.Response != nil && m.Response.Status != nil && m.Response.Status.Code == 1
	}), "Ack с accepted=\"true\": статус"},
	"party.rejection-ack":       {silent(func(m *party.Message) bool { return m.Response != nil && len(m.Response.Rejections) > 0 }), "отказ поставщика"},
	"party.error-ack":           {silent(func(m *party.Message) bool { return m.Async != nil }), "ошибка шины"},
	"party.answer-stray":        {func(s *system) { s.ackless = func(m *party.Message) bool { return !s.sent[m.OriginalMessageID] } }, "неизвестный запрос"},
	"party.answers-all":         {silent(first(func(m *party.Message) string { return m.OriginalMessageID })), "сообщение очереди"},
	"party.answer-again":        {silent(first(func(m *party.Message) string { return m.Metadata.MessageID })), "повторно доставленного"},
	"party.ack-lost":            {careless, "повторный Ack"},
	"party.ack-failure":         {careless, "повторный Ack"},
	"party.ack-not-found":       {stubborn("TargetMessageIsNotFound", 3), "Ack повторён"},
	"party.answer-multipart":    {blind("multipart/related"), "multipart/related"},
	"party.answer-prefixes":     {blind("<S:Envelope"), "другими префиксами"},
	"party.answer-decorated":    {blind("<?node"), "неизвестными заголовками"},
	"party.answer-optional":     {blind("OriginalTransactionCode"), "необязательными элементами"},
	"party.answer-zone":         {blind("+07:00<"), "другом поясе"},
	"party.answer-attachment":   {silent(func(m *party.Message) bool { return len(m.Attachments) > 0 }), "ответ с вложением"},
	"party.answer-mtom":         {blind("xop:Include"), "вложением MTOM"},
	"party.attachment-tampered": {func(s *system) { s.client.Files = nil }, "подменённым вложением подтверждено"},
	"party.answer-forged":       {trusting, "под чужой подписью подтверждено"},
	"party.answer-tampered":     {unlooking, "изменённое сообщение подтверждено"},
	"party.answer-unsigned":     {unsigning, "без SMEVSignature подтверждено"},

	"party.poll-pause":     {func(s *system) { s.idle = time.Millisecond }, "пауза между опросами"},
	"party.poll-later":     {hasty, "следующий опрос пришёл через"},
	"party.poll-rate":      {hasty, "следующий опрос пришёл через"},
	"party.poll-failure":   {stopping, "не дождались: следующий опрос"},
	"party.poll-lost":      {stopping, "не дождались: следующий опрос"},
	"party.poll-page":      {stopping, "не дождались: следующий опрос"},
	"party.poll-multipart": {both(stopping, blind("multipart/related")), "не дождались: следующий опрос"},

	"party.request-ack":                 {silent(func(m *party.Message) bool { return m.Request != nil }), "Ack с accepted=\"true\": запрос"},
	"party.reply-to":                    {func(s *system) { s.replyTo = func(m *party.Message) string { return strings.TrimSpace(m.ReplyTo) } }, "в To 5573 байт, в ReplyTo 5574, различаются с байта 5574"},
	"party.reply-own-id":                {func(s *system) { s.replyID = func(m *party.Message) string { return m.Metadata.MessageID } }, "с MessageID запроса"},
	"party.request-once":                {func(s *system) { s.forgetful = true }, "с разными MessageID: 2"},
	"party.requests-all":                {silent(first(func(m *party.Message) string { return "" })), "Ack с accepted=\"true\": запрос"},
	"party.reply-lost":                  {renaming, "не дождались: повтор"},
	"party.reply-unavailable":           {hasty, "шина просила ждать"},
	"party.reply-failure":               {careless, "не дождались: повтор"},
	"party.reply-refused":               {stubborn("InvalidContent", 1), "послан снова"},
	"party.request-optional":            {blind("<typ:TransactionCode>"), "необязательными элементами"},
	"party.request-test":                {blind("<typ:TestMessage/>"), "тестовый запрос"},
	"party.request-multipart":           {blind("multipart/related"), "multipart/related"},
	"party.request-attachment":          {silent(func(m *party.Message) bool { return len(m.Attachments) > 0 }), "запрос с вложением"},
	"party.request-attachment-tampered": {func(s *system) { s.client.Files = nil }, "подменённым вложением подтверждено"},
	"party.request-forged":              {trusting, "под чужой подписью подтверждено"},
	"party.request-tampered":            {unlooking, "изменённый запрос подтверждено"},
	"party.request-unsigned":            {unsigning, "без SMEVSignature подтверждено"},

	"party.signature": {changing(`<ds:SignatureValue>....`, `<ds:SignatureValue>AAAA`), "value-invalid"},
	"party.schema":    {changing(`(</typ:CallerInformationSystemSignature>)`, `${1}<typ:Unknown/>`), "Unknown"},
	"party.version":   {func(s *system) { s.client.URL = strings.Replace(s.client.URL, "v1.2", "v1.3", 1) }, "конверт версии 1.2 по адресу"},
	"party.content-type": {over(wire{call: func(r *http.Request, body []byte) []byte {
		r.Header.Set("Content-Type", "application/json")
		return body
	}}), "тело не читается"},
	"party.soapaction":  {over(wire{call: func(r *http.Request, body []byte) []byte { r.Header.Set("SOAPAction", "urn:Other"); return body }}), "SOAPAction urn:Other"},
	"party.certificate": {nil, "сертификатами"},
	"party.id-format":   {func(s *system) { s.id = uuid.NewString }, "MessageID"},
	"party.id-clock":    {func(s *system) { s.id = func() string { return party.NewMessageID(time.Now().Add(time.Hour)) } }, "расходится с часами"},
	"party.id-once": {func(s *system) {
		one := party.NewMessageID(time.Now())
		s.id = func() string { return one }
		s.attachments = []party.Attachment{{Content: []byte("подписан каждый раз заново")}}
	}, "двух разных сообщений"},
	"party.timestamp": {func(s *system) { s.client.Clock = func() time.Time { return time.Now().Add(-10 * time.Minute) } }, "расходится с часами"},
	"party.ack-id":    {func(s *system) { s.ackAs = func(*party.Message) string { return "не то" } }, "не доставлено"},
	"party.attachments": {func(s *system) {
		s.attachments = []party.Attachment{{Content: []byte("файл"), PKCS7: []byte("не подпись")}}
	}, "подпись вложения"},
}

// first says no to all but the first message of a kind.
func first(kind func(*party.Message) string) func(*party.Message) bool {
	seen := map[string]bool{}
	return func(m *party.Message) bool {
		k := kind(m)
		defer func() { seen[k] = true }()
		return seen[k]
	}
}

// TestEveryFlawOfAPartyIsFound: each check finds the system that breaks what it
// asks about, and says so. The systems work side by side: most of the time they wait.
func TestEveryFlawOfAPartyIsFound(t *testing.T) {
	t.Parallel() // they wait more than they work
	reports := map[string]*paper.Report{}
	var mu sync.Mutex
	var working sync.WaitGroup
	places := make(chan struct{}, 16)
	for _, c := range conform.PartyChecks() {
		row, ok := partyFlaws[c.ID]
		if !ok {
			continue
		}
		working.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			b := newBench(t)
			k := b.kit
			k.Only = []string{c.ID}
			if late.MatchString(row.why) { // it is waited for in vain
				k.Patience = 8 * time.Second
			}
			if role := conform.PartyRole(c.ID); role != "" {
				k.Roles = []conform.Role{role}
			}
			flaw := row.flaw
			if c.ID == "party.certificate" {
				k.Party = nil
				flaw = func(s *system) {
					keys := signing.NewRotatingSigner(b.key)
					s.client.Signer = keys
					turn := []signing.Signer{b.busy, b.key}
					s.id = func() string {
						keys.Replace(turn[0])
						turn[0], turn[1] = turn[1], turn[0]
						return party.NewMessageID(time.Now())
					}
				}
			}
			report := b.try(t, k, flaw)
			mu.Lock()
			defer mu.Unlock()
			reports[c.ID] = report
		})
	}
	working.Wait()
	for _, c := range conform.PartyChecks() {
		t.Run(c.ID, func(t *testing.T) {
			if reports[c.ID] == nil {
				t.Fatal("no system breaks what this check asks about")
			}
			r, row := reports[c.ID].Results[0], partyFlaws[c.ID]
			if r.Verdict != paper.Failed || !strings.Contains(r.Why, row.why) {
				t.Errorf("%s: %s; want failed: …%s…", r.Verdict, r.Why, row.why)
			}
			if reports[c.ID].Fit() {
				t.Error("a run over one check shows a party fit")
			}
		})
	}
}

// late are words of checks that wait for what does not come.
var late = regexp.MustCompile(`не дождались|повтор|Ack с|отказ поставщика|ошибка шины|неизвестн|очереди|multipart|префикс|необязат|поясе|вложением$|MTOM|тестовый|ReplyTo`)
