package conform_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/lifecycle/conform"
	"mezhved/adapter/lifecycle/conform/paper"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// said is an answer over HTTP.
type said struct {
	status int
	header http.Header
	body   []byte
}

// twin stands between the kit and a good bus and breaks one thing.
type twin struct {
	t       *testing.T
	w       *adaptertest.World
	flaw    func(tw *twin, r *http.Request, body []byte) *said
	mu      sync.Mutex
	kept    *said // what a flaw has put aside
	counted int
}

func (tw *twin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	tw.mu.Lock()
	defer tw.mu.Unlock()
	a := tw.flaw(tw, r, body)
	for _, h := range []string{"Content-Type", "Retry-After"} {
		if v := a.header.Get(h); v != "" {
			w.Header().Set(h, v)
		}
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// pass asks the good bus.
func (tw *twin) pass(r *http.Request, body []byte) *said {
	req, err := http.NewRequest(r.Method, tw.w.URL+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		tw.t.Fatal(err)
	}
	req.Header = r.Header.Clone()
	resp, err := tw.w.HTTP.Do(req)
	if err != nil {
		tw.t.Error(err)
		return &said{status: http.StatusBadGateway, header: http.Header{}}
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		tw.t.Error(err)
	}
	return &said{resp.StatusCode, resp.Header, got}
}

// as asks the good bus with a call of the twin's own.
func (tw *twin) as(mnemonic string, op envelopes.Operation, d envelopes.Draft) *said {
	xml, err := signing.SignInto(context.Background(), d.XML, d.SignID, d.Slot, tw.w.Party(mnemonic).Signer)
	if err != nil {
		tw.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/smev/v1.2/ws", nil)
	r.Header.Set("Content-Type", envelopes.TextXML)
	return tw.pass(r, xml)
}

func (tw *twin) parse(a *said) *envelopes.AnswerEnvelope {
	e, err := envelopes.ParseAnswer(a.header.Get("Content-Type"), a.body, new(xmltape.Tape), envelopes.Limits{XML: xmltape.Widest})
	if err != nil {
		return nil
	}
	return e
}

type flaw = func(tw *twin, r *http.Request, body []byte) *said

func xmlOf(xml []byte) *said {
	return &said{http.StatusOK, http.Header{"Content-Type": {envelopes.TextXML}}, xml}
}

// agree is what a bus says that has taken whatever came.
func agree(body []byte) *said {
	for _, op := range envelopes.Operations {
		if !bytes.Contains(body, []byte(op.String()+"Request")) {
			continue
		}
		if op == envelopes.SendRequest || op == envelopes.SendResponse {
			return xmlOf(envelopes.BuildReceipt(envelopes.V12, op, envelopes.Metadata{MessageID: "x", Type: envelopes.TypeRequest, Sender: envelopes.Participant{Mnemonic: "MUNI"}, Sent: time.Now(), Status: envelopes.StatusRequestIsQueued}).XML)
		}
		return xmlOf(envelopes.BuildEmpty(envelopes.V12, op).XML)
	}
	return xmlOf(envelopes.BuildEmpty(envelopes.V12, envelopes.GetResponse).XML)
}

// lets takes what the good bus refuses with one of the faults; none: with any.
func lets(kinds ...envelopes.FaultKind) flaw {
	return func(tw *twin, r *http.Request, body []byte) *said {
		a := tw.pass(r, body)
		if e := tw.parse(a); e != nil && e.Fault() != nil {
			for _, k := range kinds {
				if e.Fault().Kind == k {
					return agree(body)
				}
			}
			if len(kinds) == 0 {
				return agree(body)
			}
		}
		return a
	}
}

// letsSignature takes what the good bus refuses for that about a signature.
func letsSignature(sub envelopes.SignatureFault) flaw {
	return func(tw *twin, r *http.Request, body []byte) *said {
		a := tw.pass(r, body)
		if e := tw.parse(a); e != nil && e.Fault() != nil && e.Fault().Signature == sub {
			return agree(body)
		}
		return a
	}
}

// refuses does not take calls that a good bus takes.
func refuses(when func(r *http.Request, body []byte) bool) flaw {
	return func(tw *twin, r *http.Request, body []byte) *said {
		if r.Method == http.MethodPost && when(r, body) {
			return faulty(envelopes.InvalidContent)
		}
		return tw.pass(r, body)
	}
}

func faulty(kind envelopes.FaultKind) *said {
	f := envelopes.Fault{Kind: kind, Text: "не принято"}
	return &said{http.StatusInternalServerError, http.Header{"Content-Type": {envelopes.TextXML}}, f.Build(envelopes.V12)}
}

// says changes words of answers.
func says(pattern, word string) flaw {
	re := regexp.MustCompile(pattern)
	return func(tw *twin, r *http.Request, body []byte) *said {
		a := tw.pass(r, body)
		a.body = re.ReplaceAll(a.body, []byte(word))
		return a
	}
}

// on breaks only calls of one operation.
func on(op envelopes.Operation, f flaw) flaw {
	return func(tw *twin, r *http.Request, body []byte) *said {
		if bytes.Contains(body, []byte(op.String()+"Request")) {
			return f(tw, r, body)
		}
		return tw.pass(r, body)
	}
}

// again hands out every message twice.
func again(tw *twin, r *http.Request, body []byte) *said {
	if a := tw.kept; a != nil {
		tw.kept = nil
		return a
	}
	a := tw.pass(r, body)
	if e := tw.parse(a); e != nil && e.Fault() == nil && !e.Empty() {
		tw.kept = a
	}
	return a
}

// swapped hands out the second message before the first.
func swapped(tw *twin, r *http.Request, body []byte) *said {
	if a := tw.kept; a != nil && tw.counted > 0 {
		tw.kept = nil
		return a
	}
	a := tw.pass(r, body)
	if e := tw.parse(a); e != nil && e.Fault() == nil && !e.Empty() {
		if tw.kept == nil {
			tw.kept = a
			return xmlOf(envelopes.BuildEmpty(envelopes.V12, envelopes.GetRequest).XML)
		}
		tw.counted++
	}
	return a
}

func poll(op envelopes.Operation, node string) envelopes.Draft {
	return (&envelopes.PollCall{Operation: op, Timestamp: time.Now(), NodeID: node}).Build(envelopes.V12)
}

// resigned answers SendRequest with a receipt that the twin signs by itself.
func resigned(sign func(tw *twin, d envelopes.Draft) []byte) flaw {
	return on(envelopes.SendRequest, func(tw *twin, r *http.Request, body []byte) *said {
		e := tw.parse(tw.pass(r, body))
		_, target := e.Signed()
		m, err := envelopes.DecodeReceipt(e, plain{target})
		if err != nil {
			tw.t.Error(err)
			return agree(body)
		}
		m.Sender.Mnemonic = "A>B"
		return xmlOf(sign(tw, envelopes.BuildReceipt(envelopes.V12, envelopes.SendRequest, *m)))
	})
}

type plain struct{ n xmltape.Node }

func (p plain) Element() xmltape.Node { return p.n }

// byJDK signs with the form of the transform that the JDK's writer gives.
func byJDK(tw *twin, d envelopes.Draft) []byte {
	signer := tw.w.Party("SMEV").Signer
	right, err := signing.SignInto(context.Background(), d.XML, d.SignID, d.Slot, signer)
	if err != nil {
		tw.t.Fatal(err)
	}
	t := new(xmltape.Tape)
	if err := t.Parse(right, xmltape.Limits{}); err != nil {
		tw.t.Fatal(err)
	}
	op := t.Root().First().First()
	var octets bytes.Buffer
	if err := signing.Transform(&octets, op.First(), signing.JDK); err != nil {
		tw.t.Fatal(err)
	}
	sum, err := signing.OctetsOf(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(octets.Bytes())), nil }).Digest(signer.Algorithm().Digest())
	if err != nil {
		tw.t.Fatal(err)
	}
	digest := regexp.MustCompile(`<ds:DigestValue>[^<]*`)
	out := digest.ReplaceAll(right, []byte("<ds:DigestValue>"+base64.StdEncoding.EncodeToString(sum)))
	if err := t.Parse(out, xmltape.Limits{}); err != nil {
		tw.t.Fatal(err)
	}
	sig := t.Root().First().First().First().Next().First()
	octets.Reset()
	if err := signing.Canonicalize(&octets, signing.Subset{Element: sig.First()}, signing.Exclusive); err != nil {
		tw.t.Fatal(err)
	}
	value, err := signer.Sign(context.Background(), octets.Bytes())
	if err != nil {
		tw.t.Fatal(err)
	}
	return regexp.MustCompile(`<ds:SignatureValue>[^<]*`).ReplaceAll(out, []byte("<ds:SignatureValue>"+base64.StdEncoding.EncodeToString(value)))
}

func byStranger(tw *twin, d envelopes.Draft) []byte {
	out, err := signing.SignInto(context.Background(), d.XML, d.SignID, d.Slot, tw.w.Party("STRANGER").Signer)
	if err != nil {
		tw.t.Fatal(err)
	}
	return out
}

func has(text string) func(*http.Request, []byte) bool {
	return func(_ *http.Request, body []byte) bool { return bytes.Contains(body, []byte(text)) }
}

// busFlaws are buses that do one thing wrong, by the check that finds it, with words
// of what it then says.
var busFlaws = map[string]struct {
	flaw flaw
	why  string
}{
	"bus.wsdl": {says(`name="Ack"`, `name="Acknowledge"`), "нет операции Ack"},
	"bus.wsdl-imports": {func(tw *twin, r *http.Request, body []byte) *said {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "faults") {
			return &said{status: http.StatusNotFound, header: http.Header{}}
		}
		return tw.pass(r, body)
	}, "HTTP 404"},
	"bus.version-1.1":     {says(`/1\.1"`, `/1.3"`), "ответ в версии 1.3"},
	"bus.version-1.2":     {says(`/1\.2"`, `/1.1"`), "ответ в версии 1.1"},
	"bus.version-1.3":     {says(`/1\.3"`, `/1.2"`), "ответ в версии 1.2"},
	"bus.version-unknown": {lets(), "принят"},
	"bus.soapaction":      {refuses(func(r *http.Request, _ []byte) bool { return r.Header.Get("SOAPAction") == "" }), "отклонён"},
	"bus.content-type": {refuses(func(r *http.Request, _ []byte) bool {
		return strings.HasPrefix(r.Header.Get("Content-Type"), "application/soap+xml")
	}), "отклонён"},
	"bus.multipart": {refuses(func(r *http.Request, _ []byte) bool {
		return strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/")
	}), "отклонён"},
	"bus.tolerant": {refuses(has("\ufeff")), "отклонён"},
	"bus.xml": {func(tw *twin, r *http.Request, body []byte) *said {
		if a := tw.pass(r, body); a.status == http.StatusOK {
			return a
		}
		return &said{http.StatusInternalServerError, http.Header{"Content-Type": {"text/html"}}, []byte("<h1>Internal Server Error</h1>")}
	}, "не является конвертом"},
	"bus.dtd":      {lets(), "вызов принят"},
	"bus.entities": {lets(), "вызов принят"},
	"bus.external-entity": {func(tw *twin, r *http.Request, body []byte) *said {
		if m := regexp.MustCompile(`SYSTEM "([^"]*)"`).FindSubmatch(body); m != nil {
			if resp, err := http.Get(string(m[1])); err == nil {
				resp.Body.Close()
			}
		}
		return tw.pass(r, body)
	}, "шлюз обратился"},
	"bus.encoding":          {lets(), "вызов принят"},
	"bus.soap-1.2":          {lets(), "вызов принят"},
	"bus.operation-unknown": {lets(), "вызов принят"},
	"bus.element-unknown":   {lets(envelopes.InvalidContent), "вызов принят"},
	"bus.element-order":     {lets(envelopes.InvalidContent), "вызов принят"},
	"bus.fault-form": {func(tw *twin, r *http.Request, body []byte) *said {
		a := tw.pass(r, body)
		a.status = http.StatusOK
		return a
	}, "HTTP 200, SOAP 1.1 требует 500"},
	"bus.fault-text":           {says(`<Code>[^<]*</Code><Description>[^<]*</Description>`, ``), "нет Code или Description"},
	"bus.fault-version":        {says(`faults/1\.3"`, `faults/1.2"`), "отказ в версии 1.2"},
	"bus.signature-missing":    {letsSignature(envelopes.NoSignatureFound), "вызов принят"},
	"bus.signature-value":      {letsSignature(envelopes.SignatureIsInvalid), "вызов принят"},
	"bus.signature-digest":     {letsSignature(envelopes.SignatureIsInvalid), "вызов принят"},
	"bus.signature-target":     {letsSignature(envelopes.IncorrectSignatureTarget), "вызов принят"},
	"bus.signature-wrapping":   {lets(envelopes.SignatureVerificationFault), "вызов принят"},
	"bus.signature-id-twice":   {lets(envelopes.SignatureVerificationFault), "вызов принят"},
	"bus.signature-transform":  {lets(envelopes.SignatureVerificationFault), "вызов принят"},
	"bus.signature-prefixes":   {refuses(has("<другой:")), "отклонён"},
	"bus.certificate-missing":  {letsSignature(envelopes.CertificateIsNotFound), "вызов принят"},
	"bus.certificate-expired":  {letsSignature(envelopes.CertificateIsExpired), "вызов принят"},
	"bus.certificate-stranger": {lets(envelopes.SenderIsNotRegistered), "вызов принят"},
	"bus.poll-signed":          {on(envelopes.Ack, lets(envelopes.SignatureVerificationFault)), "вызов принят"},
	"bus.personal-missing":     {letsSignature(envelopes.NoSignatureFound), "вызов принят"},
	"bus.personal-wrong":       {lets(envelopes.SignatureVerificationFault), "вызов принят"},
	"bus.personal-good":        {refuses(has("PersonalSignature>")), "отклонён"},
	"bus.id-format":            {lets(envelopes.InvalidMessageIdFormat), "вызов принят"},
	"bus.id-case":              {lets(envelopes.InvalidMessageIdFormat), "вызов принят"},
	"bus.id-stale":             {lets(envelopes.StaleMessageId), "вызов принят"},
	"bus.id-future":            {lets(envelopes.InvalidMessageIdFormat), "вызов принят"},
	"bus.repeat":               {on(envelopes.GetRequest, again), "доставлено дважды"},
	"bus.repeat-other":         {lets(envelopes.MessageIsAlreadySent), "вызов принят"},
	"bus.id-of-other":          {lets(envelopes.MessageIsAlreadySent), "вызов принят"},
	"bus.content":              {lets(envelopes.InvalidContent), "вызов принят"},
	"bus.content-place":        {says(`<ns3:ValidationError[^>]*>[^<]*</ns3:ValidationError>`, ``), "нет ValidationError"},
	"bus.type-unknown":         {says(`RootElementLocalName>[^<]*<`, `RootElementLocalName>Другой<`), "называет корневой элемент"},
	"bus.type-category":        {lets(envelopes.BusinessDataTypeIsNotSupported), "вызов принят"},
	"bus.access":               {lets(envelopes.AccessDenied), "вызов принят"},
	"bus.recipient":            {lets(envelopes.RecipientIsNotFound), "вызов принят"},
	"bus.end-of-life":          {lets(envelopes.EndOfLifeReached), "вызов принят"},
	"bus.content-size":         {lets(envelopes.InvalidContent), "вызов принят"},
	"bus.test-message":         {on(envelopes.GetRequest, says(`<typ:TestMessage/>`, ``)), "без TestMessage"},
	"bus.attachment-headless":  {lets(envelopes.AttachmentContentMiscoordination), "вызов принят"},
	"bus.attachment-lost":      {lets(envelopes.AttachmentContentMiscoordination), "вызов принят"},
	"bus.attachment-other":     {lets(envelopes.AttachmentContentMiscoordination), "вызов принят"},
	"bus.attachment-digest":    {lets(envelopes.SignatureVerificationFault), "вызов принят"},
	"bus.attachment-pkcs7":     {lets(envelopes.SignatureVerificationFault), "вызов принят"},
	"bus.attachment-inline":    {on(envelopes.GetRequest, says(`PDF-1.7`, `PDF-1.6`)), "содержимое не совпадает"},
	"bus.attachment-mtom":      {on(envelopes.GetRequest, says(`PDF-1.7`, `PDF-1.6`)), "содержимое не совпадает"},
	"bus.attachment-size":      {says(`RealTotalAttachmentSize>\d+<`, `RealTotalAttachmentSize>1<`), "действительный 1"},
	"bus.attachment-stored":    {lets(envelopes.AttachmentContentMiscoordination), "не получено"},
	"bus.queue-empty": {on(envelopes.GetResponse, func(tw *twin, r *http.Request, body []byte) *said {
		a := tw.pass(r, body)
		if e := tw.parse(a); e != nil && e.Empty() {
			return faulty(envelopes.UnknownMessageType)
		}
		return a
	}), "опрос пустой очереди отклонён"},
	"bus.status-queue":   {on(envelopes.GetStatus, func(*twin, *http.Request, []byte) *said { return faulty(envelopes.SMEVFailure) }), "GetStatus отклонён"},
	"bus.statistics":     {says(`pendingMessageNumber="\d+"`, `pendingMessageNumber="0"`), "статистика за"},
	"bus.delivery":       {on(envelopes.GetRequest, says(`<ns2:ReplyTo>[^<]*</ns2:ReplyTo>`, ``)), "нет ReplyTo"},
	"bus.delivery-bytes": {on(envelopes.GetRequest, says(`77:01:000101:42`, `77:01:000101:43`)), "подпись отправителя"},
	"bus.order":          {on(envelopes.GetRequest, swapped), "доставлено ["},
	"bus.selector": {on(envelopes.GetRequest, func(tw *twin, r *http.Request, body []byte) *said {
		if bytes.Contains(body, []byte("<bas:NamespaceURI>")) {
			return xmlOf(envelopes.BuildEmpty(envelopes.V12, envelopes.GetRequest).XML)
		}
		return tw.pass(r, body)
	}), "не отдал запроса"},
	"bus.selector-other": {on(envelopes.GetRequest, func(tw *twin, r *http.Request, body []byte) *said {
		for end := time.Now().Add(20 * time.Second); bytes.Contains(body, []byte("<bas:NamespaceURI>")) && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			a := tw.as("REGISTRY", envelopes.GetRequest, poll(envelopes.GetRequest, ""))
			if e := tw.parse(a); e != nil && !e.Empty() {
				return a
			}
		}
		return tw.pass(r, body)
	}), "другого вида сведений"},
	"bus.selector-foreign": {lets(envelopes.UnknownMessageType), "вызов принят"},
	"bus.lease":            {on(envelopes.GetRequest, again), "отдано второй раз"},
	"bus.redelivery": {on(envelopes.GetRequest, func(tw *twin, r *http.Request, body []byte) *said {
		a := tw.pass(r, body)
		if m := regexp.MustCompile(`MessageId>([^<]*)<`).FindSubmatch(a.body); m != nil {
			tw.as("REGISTRY", envelopes.Ack, (&envelopes.AckCall{MessageID: string(m[1]), Accepted: true}).Build(envelopes.V12))
		}
		return a
	}), "не получено"},
	"bus.ack":             {lets(envelopes.TargetMessageIsNotFound), "вызов принят"},
	"bus.ack-rejected":    {on(envelopes.Ack, refuses(has(`accepted="false"`))), "accepted=false) не принят"},
	"bus.ack-unknown":     {lets(envelopes.TargetMessageIsNotFound), "вызов принят"},
	"bus.ack-foreign":     {lets(envelopes.TargetMessageIsNotFound), "вызов принят"},
	"bus.timestamp":       {lets(envelopes.InvalidContent), "вызов принят"},
	"bus.reply":           {on(envelopes.GetResponse, says(`Иванова`, `Петрова`)), "доставлено изменённым"},
	"bus.reply-status":    {on(envelopes.GetResponse, says(`StatusCode>17<`, `StatusCode>18<`)), "статус не дошёл"},
	"bus.reply-rejection": {on(envelopes.GetResponse, says(`NO_DATA`, `ACCESS_DENIED`)), "отказ поставщика не дошёл"},
	"bus.reply-to":        {lets(envelopes.RecipientIsNotFound), "вызов принят"},
	"bus.reply-foreign":   {lets(envelopes.RecipientIsNotFound), "вызов принят"},
	"bus.reply-type":      {lets(), "вызов принят"},
	"bus.reply-content":   {lets(envelopes.InvalidContent), "вызов принят"},
	"bus.reply-repeat":    {on(envelopes.GetResponse, again), "доставлен дважды"},
	"bus.node": {on(envelopes.GetResponse, func(tw *twin, r *http.Request, body []byte) *said {
		if !bytes.Contains(body, []byte("NodeID")) {
			a := tw.as("MUNI", envelopes.GetResponse, poll(envelopes.GetResponse, "conform-1"))
			if e := tw.parse(a); e != nil && !e.Empty() {
				return a
			}
		}
		return tw.pass(r, body)
	}), "отдан по опросу без NodeID"},
	"bus.receipt":               {on(envelopes.SendRequest, says(`MessageId>[^<]*<`, `MessageId>другой<`)), "квитанция на другой"},
	"bus.clock":                 {on(envelopes.SendRequest, says(`(SendingTimestamp>[^<+Z]*)[^<]*<`, `${1}<`)), "не время с часовым поясом"},
	"bus.receipt-signature":     {resigned(byStranger), "подпись СМЭВ не подтверждена"},
	"bus.delivery-signature":    {on(envelopes.GetRequest, says(`<ns2:SMEVSignature>.*</ns2:SMEVSignature>`, ``)), "нет SMEVSignature"},
	"bus.answer-signature":      {on(envelopes.GetResponse, says(`(<ns2:Mnemonic>)REGISTRY`, `${1}MOSCOW`)), "подпись СМЭВ не подтверждена"},
	"bus.signature-independent": {resigned(byJDK), "не равен DigestValue"},
	"bus.signature-profile":     {on(envelopes.SendRequest, says(`</ds:SignedInfo>`, "</ds:SignedInfo>\n")), "есть текст"},
}

// TestEveryFlawOfABusIsFound: each check finds the bus that breaks what it asks
// about, and says so.
func TestEveryFlawOfABusIsFound(t *testing.T) {
	t.Parallel() // they wait more than they work
	w, kit := gateway(t)
	tw := &twin{t: t, w: w}
	server := httptest.NewServer(tw)
	t.Cleanup(server.Close)
	kit.URL = server.URL + "/smev/v1.2/ws"
	for _, c := range conform.BusChecks() {
		t.Run(c.ID, func(t *testing.T) {
			row, ok := busFlaws[c.ID]
			if !ok {
				t.Fatal("no bus breaks what this check asks about")
			}
			tw.t, tw.flaw, tw.kept, tw.counted = t, row.flaw, nil, 0
			k := kit
			k.Only = []string{c.ID}
			if strings.Contains(row.why, "не получено") || strings.Contains(row.why, "статистика") || strings.Contains(row.why, "не отдал") {
				k.Patience = 2 * lease // it is waited for in vain
			}
			report, err := k.Run(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			r := report.Results[0]
			if r.Verdict != paper.Failed || !strings.Contains(r.Why, row.why) {
				t.Errorf("%s: %s; want failed: …%s…", r.Verdict, r.Why, row.why)
			}
			if report.Fit() {
				t.Error("a run over one check shows a bus fit")
			}
		})
	}
}
