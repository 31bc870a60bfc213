package conform

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter/lifecycle/conform/paper"
	"mezhved/adapter/party"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// BusKit tries a bus. Consumer and provider are systems of their own that the bus
// knows, with queues that nobody else reads: what waits there is taken out.
type BusKit struct {
	URL      string
	Version  envelopes.Version // in which most calls are made; default 1.2
	Consumer signing.Signer
	Provider signing.Signer         // nil: what needs one is not applicable
	Bus      []*signing.Certificate // with which answers must be signed; none: any valid one

	Request   []byte         // content that Consumer may send and that goes to Provider
	Response  []byte         // content of the answer
	Personal  []byte         // content of a service that wants an official's signature (its root has an Id)
	Official  signing.Signer // signs Personal; nil: Consumer does
	Forbidden []byte         // content of a service that Consumer may not call
	Nowhere   []byte         // content whose routing code nobody has
	Other     []byte         // content of another service of the same two

	Test     bool               // requests are marked TestMessage: the services are being tested
	Lease    time.Duration      // after which the bus delivers again what was not acknowledged; 0: not known
	Patience time.Duration      // how long the bus is waited for; default 30 s
	Valid    time.Duration      // how long the report counts; default 90 days
	Kit      string             // the program, for the report
	Only     []string           // ids of checks; none: all
	Told     func(paper.Result) // of each result as it comes; may be nil
	HTTP     *http.Client
	Now      func() time.Time
}

// busCheck is a named check with what it does.
type busCheck struct {
	paper.Check
	do func(*busRun)
}

// BusChecks are the checks of a bus, in their order.
func BusChecks() []paper.Check {
	out := make([]paper.Check, len(busChecks))
	for i, c := range busChecks {
		out[i] = c.Check
	}
	return out
}

// busRun is a run of the kit.
type busRun struct {
	words
	notebook
	BusKit
	ctx      context.Context
	verifier *signing.Verifier // of the bus
	anybody  *signing.Verifier // of whoever's certificate is valid
	spoken   map[envelopes.Version]bool
	signers  map[string]*signing.Certificate
}

// Run tries the bus. An error says that the kit could not try, and there is no report.
func (k BusKit) Run(ctx context.Context) (*paper.Report, error) {
	if k.Now == nil {
		k.Now = time.Now
	}
	if k.Patience <= 0 {
		k.Patience = 30 * time.Second
	}
	if k.HTTP == nil {
		k.HTTP = &http.Client{Timeout: k.Patience + 30*time.Second}
	}
	k.Version, k.Valid = cmp.Or(k.Version, envelopes.V12), cmp.Or(k.Valid, 90*24*time.Hour)
	if k.Consumer == nil || len(k.Request) == 0 {
		return nil, errors.New("a consumer's key and the content of a request are needed")
	}
	if k.Official == nil {
		k.Official = k.Consumer
	}
	checks, whole, err := chosen(busChecks, func(c busCheck) string { return c.ID }, k.Only)
	if err != nil {
		return nil, err
	}
	r := &busRun{BusKit: k, ctx: ctx, spoken: map[envelopes.Version]bool{}, signers: map[string]*signing.Certificate{}}
	if r.verifier, err = verifierOf(k.Bus, k.Now); err != nil {
		return nil, err
	}
	if r.anybody, err = verifierOf(nil, k.Now); err != nil {
		return nil, err
	}
	report := &paper.Report{Format: paper.Format, Kit: k.Kit, Kind: paper.Bus, Begun: k.Now().UTC().Truncate(time.Second), Whole: whole, Subject: paper.Subject{URL: k.URL}}
	if _, _, err := judge(r.empty); err != nil {
		return nil, err
	}
	r.tear()
	for _, c := range checks {
		res := paper.Result{Check: c.Check}
		res.Verdict, res.Why, err = judge(func() { c.do(r) })
		res.Exchanges = r.tear()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.ID, err)
		}
		report.Results = append(report.Results, res)
		if k.Told != nil {
			k.Told(res)
		}
	}
	report.Ended = k.Now().UTC().Truncate(time.Second)
	report.ValidUntil = report.Ended.Add(k.Valid)
	for _, v := range envelopes.Versions {
		if r.spoken[v] {
			report.Subject.Versions = append(report.Subject.Versions, v.String())
		}
	}
	report.Subject.Certificates, report.Subject.Names = named(r.signers)
	return report, nil
}

// empty takes out of both queues what is left there.
func (r *busRun) empty() {
	for _, q := range []struct {
		who signing.Signer
		op  envelopes.Operation
	}{{r.Consumer, envelopes.GetResponse}, {r.Provider, envelopes.GetRequest}} {
		if q.who == nil {
			continue
		}
		for {
			a := r.poll(q.who, r.Version, q.op, envelopes.Name{}, "")
			if a.message == nil {
				break
			}
			r.ack(q.who, a.message.Metadata.MessageID, true)
		}
	}
}

// came is what came back.
type came struct {
	status  int
	header  http.Header
	body    []byte
	env     *envelopes.AnswerEnvelope // nil: no envelope
	unread  error                     // why there is none
	fault   *envelopes.Fault
	proof   signing.Signed // of what the bus signed
	proved  error          // why there is none; nil where nothing is to be signed
	receipt *envelopes.Metadata
	message *envelopes.Delivered
	state   *envelopes.AsyncStatus
}

// raw posts bytes as they are. A bus that asks to come again is obeyed.
func (r *busRun) raw(url, what string, header http.Header, body []byte) came {
	for end := r.Now().Add(r.Patience); ; {
		req, err := http.NewRequestWithContext(r.ctx, http.MethodPost, url, bytes.NewReader(body))
		r.must(err)
		req.Header = header
		at := r.Now()
		resp, err := r.HTTP.Do(req)
		ex := paper.Exchange{At: at.UTC().Truncate(time.Millisecond), What: what, Sent: paper.PieceOf("POST "+url, header, body)}
		if err != nil {
			r.must(r.ctx.Err())
			if dial := new(net.OpError); errors.As(err, &dial) && dial.Op == "dial" {
				r.must(fmt.Errorf("nobody answers at the address of the bus: %w", err))
			}
			ex.Came = paper.Piece{Head: err.Error()}
			r.note(ex)
			r.fail("на %s ответа нет: %v", what, err)
		}
		got, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
		resp.Body.Close()
		ex.Came = paper.PieceOf(resp.Status, resp.Header, got)
		r.note(ex)
		if err != nil {
			r.fail("ответ на %s получен не полностью: %v", what, err)
		}
		if wait, asked := askedToWait(resp); asked && r.Now().Add(wait).Before(end) {
			r.pause(wait)
			continue
		}
		return r.read(resp, got)
	}
}

// askedToWait says that a call is to be made again, and when.
func askedToWait(resp *http.Response) (time.Duration, bool) {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSpace(resp.Header.Get("Retry-After")))
	if err != nil || n < 0 {
		n = 1
	}
	return time.Duration(n) * time.Second, true
}

func (r *busRun) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-r.ctx.Done():
		r.must(r.ctx.Err())
	case <-t.C:
	}
}

// read reads an answer and what the bus signed in it. Whether the signature is
// good is for the checks to ask (signedBus).
func (r *busRun) read(resp *http.Response, body []byte) came {
	a := came{status: resp.StatusCode, header: resp.Header, body: body}
	a.env, a.unread = envelopes.ParseAnswer(resp.Header.Get("Content-Type"), body, new(xmltape.Tape), envelopes.Limits{XML: xmltape.Widest})
	if a.unread != nil {
		a.env = nil
		return a
	}
	if a.fault = a.env.Fault(); a.fault != nil {
		return a
	}
	r.spoken[a.env.Version()] = true
	sig, target := a.env.Signed()
	if !target.Valid() {
		return a
	}
	if a.proof, a.proved = r.verifier.Verify(sig, target); a.proved == nil {
		r.signers[a.proof.Certificate().Fingerprint()] = a.proof.Certificate()
	}
	var err error
	p := unproved{target} // what it says is looked at in any case
	switch a.env.Operation() {
	case envelopes.SendRequest, envelopes.SendResponse:
		a.receipt, err = envelopes.DecodeReceipt(a.env, p)
	case envelopes.GetRequest, envelopes.GetResponse:
		a.message, err = envelopes.DecodeDelivery(a.env, p)
	case envelopes.GetStatus:
		a.state, err = envelopes.DecodeStatusMessage(a.env, p)
	}
	if err != nil {
		a.unread = err
	}
	return a
}

// unproved lets an answer be read whose signature a check asks for by itself.
type unproved struct{ n xmltape.Node }

func (u unproved) Element() xmltape.Node { return u.n }

// versionInPath finds the version in an address: /smev/v1.2/ws.
var versionInPath = regexp.MustCompile(`([/v-])1\.[123]([/.]|$)`)

// door is the address for a version.
func (r *busRun) door(v envelopes.Version) string {
	scheme, rest, _ := strings.Cut(r.URL, "://")
	host, path, _ := strings.Cut(rest, "/")
	return scheme + "://" + host + versionInPath.ReplaceAllString("/"+path, "${1}"+v.String()+"${2}")
}

func soapHeader(op envelopes.Operation, contentType string) http.Header {
	return http.Header{"Content-Type": {contentType}, "Soapaction": {`"urn:` + op.String() + `"`}, "Accept": {"text/xml, multipart/related"}, "User-Agent": {"mezhved conform"}}
}

// seal signs a draft, lets change spoil the sealed envelope, and packs it.
func (r *busRun) seal(who signing.Signer, d envelopes.Draft, change func([]byte) []byte) (contentType string, body []byte) {
	xml, err := signing.SignInto(r.ctx, d.XML, d.SignID, d.Slot, who)
	r.must(err)
	if change != nil {
		xml = change(xml)
	}
	return envelopes.Package(xml, d.Parts, false)
}

func (r *busRun) post(who signing.Signer, v envelopes.Version, op envelopes.Operation, d envelopes.Draft, change func([]byte) []byte) came {
	kind, body := r.seal(who, d, change)
	return r.raw(r.door(v), op.String(), soapHeader(op, kind), body)
}

// id is a fresh MessageID.
func (r *busRun) id() string { return party.NewMessageID(r.Now()) }

// request is a SendRequest of the consumer, good unless something is changed.
func (r *busRun) request(content []byte, change ...func(*envelopes.SendRequestCall)) *envelopes.SendRequestCall {
	c := &envelopes.SendRequestCall{MessageID: r.id(), Content: r.root(content), Test: r.Test}
	for _, f := range change {
		f(c)
	}
	return c
}

// root parses a business document.
func (r *busRun) root(xml []byte) xmltape.Node {
	t := new(xmltape.Tape)
	r.must(t.Parse(xml, xmltape.Widest))
	return t.Root()
}

func (r *busRun) send(c *envelopes.SendRequestCall) came {
	return r.post(r.Consumer, r.Version, envelopes.SendRequest, c.Build(r.Version, false), nil)
}

// sent posts a good request, which must be taken, and gives its id.
func (r *busRun) sent(change ...func(*envelopes.SendRequestCall)) string {
	c := r.request(r.Request, change...)
	r.taken(r.send(c), "запрос")
	return c.MessageID
}

// taken holds that a message was taken.
func (r *busRun) taken(a came, what string) {
	switch {
	case a.fault != nil:
		r.fail("%s отклонён: %s", what, saysFault(a.fault))
	case a.env == nil:
		r.fail("%s: ответ не является конвертом СМЭВ (HTTP %d): %v", what, a.status, a.unread)
	case a.receipt == nil:
		r.fail("%s: в ответе нет MessageMetadata", what)
	}
}

// refused holds that a call was refused with one of the faults.
func (r *busRun) refused(a came, kinds ...envelopes.FaultKind) {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
		if a.fault != nil && a.fault.Kind == k {
			return
		}
	}
	want := strings.Join(names, " или ")
	switch {
	case a.fault != nil:
		r.fail("ожидался %s, получен %s", want, saysFault(a.fault))
	case a.env == nil:
		r.fail("ожидался %s, получен ответ HTTP %d, который не является конвертом: %v", want, a.status, a.unread)
	}
	r.fail("ожидался %s, но вызов принят (HTTP %d)", want, a.status)
}

// refusedSignature holds that a call was refused for its signature.
func (r *busRun) refusedSignature(a came, subs ...envelopes.SignatureFault) {
	r.refused(a, envelopes.SignatureVerificationFault)
	names := make([]string, len(subs))
	for i, s := range subs {
		names[i] = string(s)
		if a.fault.Signature == s {
			return
		}
	}
	r.fail("ожидался SignatureVerificationFault/%s, получен %s", strings.Join(names, " или "), saysFault(a.fault))
}

// turnedAway holds that a call was not carried out, whatever the words: by a fault,
// or by a status of HTTP from 400 on.
func (r *busRun) turnedAway(a came) {
	if a.fault == nil && a.status < 400 {
		r.fail("вызов принят (HTTP %d), а должен быть отклонён", a.status)
	}
}

func saysFault(f *envelopes.Fault) string {
	s := string(f.Kind)
	if s == "" {
		s = "SOAP Fault без элемента СМЭВ"
	}
	if f.Signature != "" {
		s += "/" + string(f.Signature)
	}
	return fmt.Sprintf("%s «%s»", s, f.Text)
}

func (r *busRun) poll(who signing.Signer, v envelopes.Version, op envelopes.Operation, root envelopes.Name, node string) came {
	call := &envelopes.PollCall{Operation: op, Root: root, Timestamp: r.Now(), NodeID: node}
	return r.post(who, v, op, call.Build(v), nil)
}

func (r *busRun) ack(who signing.Signer, id string, accepted bool) came {
	call := &envelopes.AckCall{MessageID: id, Accepted: accepted}
	return r.post(who, r.Version, envelopes.Ack, call.Build(r.Version), nil)
}

func (r *busRun) acked(who signing.Signer, id string, accepted bool) {
	if a := r.ack(who, id, accepted); a.fault != nil || a.env == nil {
		r.fail("Ack(%s, accepted=%t) не принят: HTTP %d, %s", id, accepted, a.status, faultOrNothing(a))
	}
}

func faultOrNothing(a came) string {
	if a.fault != nil {
		return saysFault(a.fault)
	}
	return fmt.Sprint("ответ не является конвертом: ", a.unread)
}

// needsProvider ends a check that needs both sides.
func (r *busRun) needsProvider() {
	if r.Provider == nil {
		r.skip("не задан ключ поставщика (--provider-key)")
	}
}

func (r *busRun) needsAnswer() {
	r.needsProvider()
	if len(r.Response) == 0 {
		r.skip("не задано содержимое ответа (--response)")
	}
}

// take polls until the message is there for which it is waited; what else comes is
// acknowledged and forgotten.
func (r *busRun) take(who signing.Signer, op envelopes.Operation, node, what string, want func(*envelopes.Delivered) bool) came {
	for end := r.Now().Add(r.Patience); ; {
		a := r.poll(who, r.Version, op, envelopes.Name{}, node)
		switch {
		case a.fault != nil:
			r.fail("%s отклонён: %s", op, saysFault(a.fault))
		case a.unread != nil:
			r.fail("ответ на %s не читается: %v", op, a.unread)
		case a.message != nil && want(a.message):
			return a
		case a.message != nil:
			r.ack(who, a.message.Metadata.MessageID, true) // not what is looked at
			continue
		}
		if r.Now().After(end) {
			r.fail("за %s из очереди не получено: %s", r.Patience, what)
		}
		r.pause(100 * time.Millisecond)
	}
}

// takeRequest is take for the request of an id, at the provider.
func (r *busRun) takeRequest(id string) came {
	return r.take(r.Provider, envelopes.GetRequest, "", "запрос "+id, func(d *envelopes.Delivered) bool {
		return d.Metadata.MessageID == id
	})
}

// takeAnswer is take for what comes in answer to a request, at the consumer.
func (r *busRun) takeAnswer(original, node string, want func(*envelopes.Delivered) bool) came {
	return r.take(r.Consumer, envelopes.GetResponse, node, "ответ на "+original, func(d *envelopes.Delivered) bool {
		return d.OriginalMessageID == original && (want == nil || want(d))
	})
}

// pollOnce polls and holds that the answer can be read.
func (r *busRun) pollOnce(who signing.Signer, op envelopes.Operation, root envelopes.Name, node string) *envelopes.Delivered {
	a := r.poll(who, r.Version, op, root, node)
	if a.fault != nil || a.unread != nil {
		r.fail("%s: HTTP %d, %s", op, a.status, faultOrNothing(a))
	}
	return a.message
}

// reply posts an answer of the provider.
func (r *busRun) reply(who signing.Signer, c *envelopes.SendResponseCall) came {
	c.MessageID = cmp.Or(c.MessageID, r.id())
	return r.post(who, r.Version, envelopes.SendResponse, c.Build(r.Version, false), nil)
}

// asked brings a request to the provider, which has acknowledged it, and gives what
// was delivered.
func (r *busRun) asked(change ...func(*envelopes.SendRequestCall)) *envelopes.Delivered {
	r.needsAnswer()
	id := r.sent(change...)
	a := r.takeRequest(id)
	r.acked(r.Provider, id, true)
	if a.message.ReplyTo == "" {
		r.fail("в доставленном запросе нет ReplyTo")
	}
	return a.message
}

// signedBus holds that an answer bears the bus's signature.
func (r *busRun) signedBus(a came) {
	sig, target := a.env.Signed()
	switch {
	case !target.Valid():
		r.fail("в ответе нет элемента, который подписывает СМЭВ")
	case !sig.Valid():
		r.fail("ответ не подписан: нет SMEVSignature")
	case a.proved != nil:
		r.fail("подпись СМЭВ не подтверждена: %v", a.proved)
	}
}
