package conform

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"mezhved/adapter/lifecycle/conform/paper"
	"mezhved/adapter/party"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// Role is what a party does.
type Role string

// The roles.
const (
	Consumer Role = "consumer" // sends requests and polls answers
	Provider Role = "provider" // polls requests and answers them
)

// PartyKit tries a party: it is the bus that the party's software is pointed at. The
// software works as it always does: a consumer sends one request after another and
// polls for answers, a provider polls for requests and answers them.
type PartyKit struct {
	Signer   signing.Signer         // the bus's key, whose certificate the party has been told
	Party    []*signing.Certificate // with which the party signs; none: any valid one
	Mnemonic string                 // of the party, for its messages and the report
	Roles    []Role                 // none: both
	URL      string                 // at which the party reaches the kit, for the report
	Request  []byte                 // content that a provider understands
	Response []byte                 // content that a consumer understands

	Patience   time.Duration // how long an act of the party is waited for; default 1 minute
	RetryAfter time.Duration // that is asked for; whole seconds; default 3 s
	Pause      time.Duration // the least between two attempts, or two empty polls; default 1 s
	Hold       time.Duration // how long an answer is withheld; default 70 s
	Valid      time.Duration // how long the report counts; default 90 days
	Kit        string        // the program, for the report
	Only       []string      // ids of checks; none: all
	Told       func(paper.Result)
	Now        func() time.Time
}

// partyCheck is a named check with what it does.
type partyCheck struct {
	paper.Check
	role Role // empty: of whoever
	do   func(*partyRun)
}

// PartyChecks are the checks of a party, in their order.
func PartyChecks() []paper.Check {
	out := make([]paper.Check, len(partyChecks))
	for i, c := range partyChecks {
		out[i] = c.Check
	}
	return out
}

// PartyRole is the role that a check is about; empty: any.
func PartyRole(id string) Role {
	for _, c := range partyChecks {
		if c.ID == id {
			return c.role
		}
	}
	return ""
}

// partyRun is a run of the kit: a small bus with a check in its hand.
type partyRun struct {
	words
	notebook
	PartyKit
	ctx      context.Context
	verifier *signing.Verifier
	anyFile  *signing.Verifier // of attachments
	other    signing.Signer    // the other side of the party's exchanges
	liar     signing.Signer    // signs what is not to be believed

	hall    sync.Mutex
	changed *sync.Cond // something came
	claims  []*claim
	calls   []*heard            // all of the run, in order
	taken   map[string][32]byte // MessageID -> digest of what was signed, of what was accepted
	queues  map[envelopes.Operation][]*parcel
	queued  map[envelopes.Operation]bool // what was delivered last came out of its queue
	out     map[string]*parcel           // delivered, by MessageID
	lent    []*parcel                    // of them, those that wait for their first Ack
	spoken  map[envelopes.Version]bool
	signers map[string]*signing.Certificate
	begun   int // calls before the check in hand
}

// heard is a call of the party.
type heard struct {
	at        time.Time
	op        envelopes.Operation
	version   envelopes.Version
	path      string
	header    http.Header
	body      []byte
	env       *envelopes.Envelope
	unread    error          // why there is no envelope
	unproved  error          // why its signature does not hold
	signed    signing.Signed // what was proved
	format    error          // how it breaks the schema
	id        string         // MessageID of what is sent, or acknowledged
	accepted  bool           // of an Ack
	digest    [32]byte       // of the signed element's octets as written
	to        string
	request   *envelopes.SendRequestCall
	response  *envelopes.SendResponseCall
	timestamp time.Time
	zoneless  bool
	root      envelopes.Name // of a poll's selector

	empty    bool // a poll that found nothing
	special  bool // a check answers this request itself
	answered time.Time
	said     chan reply // what is answered; buffered
}

// reply is what the kit answers.
type reply struct {
	status int
	header http.Header
	body   []byte
	cut    bool // no answer: the connection ends
}

// claim is a check that wants to answer a call itself.
type claim struct {
	match func(*heard) bool
	got   chan *heard
}

// parcel is a message for the party.
type parcel struct {
	op        envelopes.Operation // by which it is polled
	id        string
	original  string // of an answer
	replyTo   string // of a request
	build     func(v envelopes.Version) (envelopes.Draft, error)
	seal      func(d envelopes.Draft) ([]byte, error)
	pack      func(xml []byte, parts []envelopes.Part) (string, []byte)
	delivered int
	due       time.Time // when it comes again
	settled   bool      // an Ack came since it was laid
	acks      []bool
	usual     bool // the small bus's own, not of a check
}

// Serve tries the party that calls at the listener. An error says that the kit
// could not try, and there is no report.
func (k PartyKit) Serve(ctx context.Context, l net.Listener) (*paper.Report, error) {
	if k.Now == nil {
		k.Now = time.Now
	}
	k.Patience, k.RetryAfter = cmp.Or(k.Patience, time.Minute), cmp.Or(k.RetryAfter, 3*time.Second)
	k.Pause, k.Hold = cmp.Or(k.Pause, time.Second), cmp.Or(k.Hold, 70*time.Second)
	k.Valid, k.Mnemonic = cmp.Or(k.Valid, 90*24*time.Hour), cmp.Or(k.Mnemonic, "PARTY")
	if len(k.Roles) == 0 {
		k.Roles = []Role{Consumer, Provider}
	}
	if k.Signer == nil {
		return nil, errors.New("the key of the bus is needed")
	}
	checks, whole, err := chosen(partyChecks, func(c partyCheck) string { return c.ID }, k.Only)
	if err != nil {
		return nil, err
	}
	r := &partyRun{
		PartyKit: k, ctx: ctx, taken: map[string][32]byte{}, queues: map[envelopes.Operation][]*parcel{}, queued: map[envelopes.Operation]bool{}, out: map[string]*parcel{},
		spoken: map[envelopes.Version]bool{}, signers: map[string]*signing.Certificate{},
	}
	r.changed = sync.NewCond(&r.hall)
	if r.verifier, err = verifierOf(k.Party, k.Now); err != nil {
		return nil, err
	}
	if r.anyFile, err = verifierOf(nil, k.Now); err != nil {
		return nil, err
	}
	for name, s := range map[string]*signing.Signer{"MEZHVED-CONFORM-OTHER": &r.other, "MEZHVED-CONFORM-LIAR": &r.liar} {
		if *s, err = freshSigner(name, k.Signer, k.Now().Add(-time.Hour)); err != nil {
			return nil, err
		}
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 30 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		// The party is to have the last answer: what it does not get it asks for again.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if server.Shutdown(last) != nil {
			_ = server.Close()
		}
		<-served
	}()
	defer context.AfterFunc(ctx, r.changed.Broadcast)()

	report := &paper.Report{Format: paper.Format, Kit: k.Kit, Kind: paper.Party, Begun: k.Now().UTC().Truncate(time.Second), Whole: whole, Subject: paper.Subject{URL: k.URL, Mnemonic: k.Mnemonic}}
	for _, c := range checks {
		res := paper.Result{Check: c.Check}
		if c.role != "" && !slices.Contains(k.Roles, c.role) {
			res.Verdict, res.Why = paper.Inapplicable, "система не выступает в роли: "+roleRussian[c.role]
		} else {
			r.hall.Lock()
			r.begun = len(r.calls)
			r.hall.Unlock()
			res.Verdict, res.Why, err = judge(func() { c.do(r) })
			r.tidy()
			res.Exchanges = r.tear()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.ID, err)
			}
		}
		report.Results = append(report.Results, res)
		if k.Told != nil {
			k.Told(res)
		}
	}
	r.hall.Lock()
	defer r.hall.Unlock()
	report.Ended = k.Now().UTC().Truncate(time.Second)
	report.ValidUntil = report.Ended.Add(k.Valid)
	for _, role := range k.Roles {
		report.Subject.Roles = append(report.Subject.Roles, string(role))
	}
	for _, v := range envelopes.Versions {
		if r.spoken[v] {
			report.Subject.Versions = append(report.Subject.Versions, v.String())
		}
	}
	report.Subject.Certificates, report.Subject.Names = named(r.signers)
	return report, nil
}

var roleRussian = map[Role]string{Consumer: "потребитель", Provider: "поставщик"}

// tidy ends what a check has left: nothing is claimed any more, and what it put
// into queues is gone. The usual answers stay: the party waits for them.
func (r *partyRun) tidy() {
	r.hall.Lock()
	defer r.hall.Unlock()
	r.claims = nil
	for _, h := range r.calls {
		select {
		case h.said <- reply{cut: true}: // it was claimed, and the check ended before it was answered
		default:
		}
	}
	for op, q := range r.queues {
		r.queues[op] = slices.DeleteFunc(q, func(p *parcel) bool { return !p.usual })
	}
	r.lent = slices.DeleteFunc(r.lent, func(p *parcel) bool { return !p.usual })
}

// ServeHTTP hears a call and lets the check in hand, or the small bus, answer it.
func (r *partyRun) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, 64<<20))
	if err != nil {
		return
	}
	if req.Method == http.MethodGet {
		r.describe(w, req)
		return
	}
	h := r.hear(req, body)
	r.hall.Lock()
	r.calls = append(r.calls, h)
	if h.env != nil {
		r.spoken[h.version] = true
		if h.unproved == nil {
			r.signers[h.signed.Certificate().Fingerprint()] = h.signed.Certificate()
			r.settle(h)
		}
	}
	claimed := false
	for i, c := range r.claims {
		if h.env != nil && c.match(h) {
			r.claims = slices.Delete(r.claims, i, i+1)
			c.got <- h
			claimed = true
			break
		}
	}
	if !claimed {
		h.said <- r.usual(h)
	}
	r.changed.Broadcast()
	r.hall.Unlock()

	var a reply
	select {
	case a = <-h.said:
	case <-r.ctx.Done():
		a.cut = true
	case <-req.Context().Done(): // the party does not wait any more
		a.cut = true
	}
	r.hall.Lock()
	h.answered = time.Now()
	r.changed.Broadcast()
	r.hall.Unlock()
	ex := paper.Exchange{At: h.at.UTC().Truncate(time.Millisecond), What: h.what(), Sent: paper.PieceOf(req.Method+" "+req.URL.RequestURI(), req.Header, body)}
	if a.cut {
		ex.Came = paper.Piece{Head: "соединение разорвано без ответа"}
		r.note(ex)
		panic(http.ErrAbortHandler)
	}
	for n, v := range a.header {
		w.Header()[n] = v
	}
	ex.Came = paper.PieceOf(fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)), a.header, a.body)
	r.note(ex)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// describe gives the WSDL and the schemas, of which clients are generated.
func (r *partyRun) describe(w http.ResponseWriter, req *http.Request) {
	v := envelopes.V12
	if m := versionInPath.FindString(req.URL.Path); m != "" {
		for _, known := range envelopes.Versions {
			if bytes.Contains([]byte(m), []byte(known.String())) {
				v = known
			}
		}
	}
	w.Header().Set("Content-Type", envelopes.TextXML)
	if _, ok := req.URL.Query()["wsdl"]; ok {
		_, _ = w.Write(envelopes.WSDL(v, "http://"+req.Host+req.URL.Path))
		return
	}
	name := req.URL.Path[bytes.LastIndexByte([]byte(req.URL.Path), '/')+1:]
	if doc, ok := envelopes.Document(name); ok {
		_, _ = w.Write(doc)
		return
	}
	http.NotFound(w, req)
}

func (h *heard) what() string {
	if h.env == nil {
		return "вызов, который не читается"
	}
	if h.id != "" {
		return h.op.String() + " " + h.id
	}
	return h.op.String()
}

// hear reads a call and proves its signature. Nothing is refused here: what is
// wrong is for the checks of form to say.
func (r *partyRun) hear(req *http.Request, body []byte) *heard {
	h := &heard{at: time.Now(), header: req.Header.Clone(), path: req.URL.Path, body: body, said: make(chan reply, 1)}
	e, err := envelopes.Parse(req.Header.Get("Content-Type"), body, new(xmltape.Tape), envelopes.Limits{XML: xmltape.Widest})
	if err != nil {
		h.unread = err
		return h
	}
	h.env, h.op, h.version, h.format = e, e.Operation(), e.Version(), e.Check()
	sig, target := e.Caller()
	var proof envelopes.Proven = unproved{target}
	if h.signed, h.unproved = r.verifier.Verify(sig, target); h.unproved == nil {
		proof = h.signed
	}
	h.digest = sha256.Sum256(target.Bytes())
	switch h.op {
	case envelopes.SendRequest:
		if c, err := envelopes.DecodeSendRequest(e, proof); err == nil {
			h.id, h.request = c.MessageID, c
		}
	case envelopes.SendResponse:
		if c, err := envelopes.DecodeSendResponse(e, proof); err == nil {
			h.id, h.to, h.response = c.MessageID, c.To, c
		}
	case envelopes.Ack:
		if c, err := envelopes.DecodeAck(e, proof); err == nil {
			h.id, h.accepted = c.MessageID, c.Accepted
		}
	case envelopes.GetRequest, envelopes.GetResponse:
		if c, err := envelopes.DecodePoll(e, proof); err == nil {
			h.timestamp, h.zoneless, h.root = c.Timestamp, c.Zoneless, c.Root
		}
	case envelopes.GetStatus:
		if c, err := envelopes.DecodeGetStatus(e, proof); err == nil {
			h.timestamp, h.zoneless = c.Timestamp, c.Zoneless
		}
	}
	return h
}

// usual is what a bus answers when no check has something in mind. The lock is held.
func (r *partyRun) usual(h *heard) reply {
	if h.env == nil {
		return r.fault(h, envelopes.InvalidContent, "Нарушен формат бизнес-конверта.")
	}
	if h.unproved != nil {
		f := &envelopes.Fault{Kind: envelopes.SignatureVerificationFault, Signature: envelopes.SignatureIsInvalid, Text: "ЭП-ОВ не соответствует подписанным данным"}
		return faultReply(h, f)
	}
	switch h.op {
	case envelopes.SendRequest, envelopes.SendResponse:
		return r.accept(h)
	case envelopes.GetRequest, envelopes.GetResponse:
		return r.deliver(h)
	case envelopes.Ack:
		p := r.out[h.id]
		if p == nil {
			return r.fault(h, envelopes.TargetMessageIsNotFound, "Сообщение "+h.id+" не найдено среди неподтверждённых.")
		}
		p.acks = append(p.acks, h.accepted)
		return drafted(envelopes.BuildAck(h.version).XML)
	case envelopes.GetIncomingQueueStatistics:
		return drafted(envelopes.BuildStatistics(nil).XML)
	}
	return drafted(envelopes.BuildEmpty(h.version, h.op).XML)
}

func drafted(xml []byte) reply {
	return reply{status: http.StatusOK, header: http.Header{"Content-Type": {envelopes.TextXML}}, body: xml}
}

func (r *partyRun) fault(h *heard, kind envelopes.FaultKind, text string) reply {
	return faultReply(h, &envelopes.Fault{Kind: kind, Text: text})
}

func faultReply(h *heard, f *envelopes.Fault) reply {
	v := h.version
	if v == 0 {
		v = envelopes.V12
	}
	f.Code = cmp.Or(f.Code, "conform:AREA : TR:SYNC:PP:1")
	return reply{status: http.StatusInternalServerError, header: http.Header{"Content-Type": {envelopes.TextXML}}, body: f.Build(v)}
}

// accept takes a message and gives a receipt. The same one again gets the same.
func (r *partyRun) accept(h *heard) reply {
	if first, ok := r.taken[h.id]; ok && first != h.digest {
		return r.fault(h, envelopes.MessageIsAlreadySent, "Сообщение с идентификатором "+h.id+" было послано ранее.")
	}
	if _, ok := r.taken[h.id]; !ok && h.op == envelopes.SendRequest && len(r.Response) > 0 && !h.special {
		p := r.answer(h.id)
		p.usual = true
		r.lay(p)
	}
	r.taken[h.id] = h.digest
	xml, err := r.sealed(r.receipt(h), r.Signer)
	if err != nil {
		return r.fault(h, envelopes.SMEVFailure, err.Error())
	}
	return drafted(xml)
}

func (r *partyRun) receipt(h *heard) envelopes.Draft {
	kind := envelopes.TypeRequest
	if h.op == envelopes.SendResponse {
		kind = envelopes.TypeResponse
	}
	return envelopes.BuildReceipt(h.version, h.op, envelopes.Metadata{
		MessageID: h.id, Type: kind, Sender: envelopes.Participant{Mnemonic: r.Mnemonic}, Sent: r.Now(), Recipient: envelopes.Participant{Mnemonic: "CONFORM"}, Status: envelopes.StatusRequestIsQueued,
	})
}

func (r *partyRun) sealed(d envelopes.Draft, who signing.Signer) ([]byte, error) {
	return signing.SignInto(r.ctx, d.XML, d.SignID, d.Slot, who)
}

// deliver hands out the first message of the queue.
func (r *partyRun) deliver(h *heard) reply {
	p := r.next(h.op)
	if p == nil {
		h.empty = true
		return drafted(envelopes.BuildEmpty(h.version, h.op).XML)
	}
	p.delivered++
	r.out[p.id] = p
	if p.due = time.Now().Add(r.Patience / 4); !p.settled {
		r.lent = append(r.lent, p)
	}
	d, err := p.build(h.version)
	if err == nil {
		var xml []byte
		if xml, err = p.seal(d); err == nil {
			kind, body := p.pack(xml, d.Parts)
			return reply{status: http.StatusOK, header: http.Header{"Content-Type": {kind}}, body: body}
		}
	}
	return r.fault(h, envelopes.SMEVFailure, err.Error())
}

// next takes the first message of a queue, or one that nobody has acknowledged for a
// quarter of the patience: whose poll broke off has not read it. The two take turns: what a
// party rightly leaves without Ack keeps nothing from it, however seldom it polls, nor does
// what it goes on asking for keep from it what it has not read.
func (r *partyRun) next(op envelopes.Operation) *parcel {
	queue := r.queues[op]
	due := slices.IndexFunc(r.lent, func(p *parcel) bool { return p.op == op && time.Now().After(p.due) })
	switch {
	case due >= 0 && (len(queue) == 0 || r.queued[op]):
		p := r.lent[due]
		r.lent, r.queued[op] = slices.Delete(r.lent, due, due+1), false
		return p
	case len(queue) > 0:
		r.queues[op], r.queued[op] = queue[1:], true
		return queue[0]
	}
	return nil
}

// settle notes the first Ack of a message, whatever a check then answers to it: with it
// the party has shown that it has the message. The lock is held.
func (r *partyRun) settle(h *heard) {
	if p := r.out[h.id]; h.op == envelopes.Ack && p != nil {
		p.settled = true
		r.lent = slices.DeleteFunc(r.lent, func(o *parcel) bool { return o == p })
	}
}

// put lays a message into the party's queue.
func (r *partyRun) put(p *parcel) *parcel {
	r.hall.Lock()
	defer r.hall.Unlock()
	return r.lay(p)
}

// lay is put under the lock.
func (r *partyRun) lay(p *parcel) *parcel {
	if p.seal == nil {
		p.seal = func(d envelopes.Draft) ([]byte, error) { return r.sealed(d, r.Signer) }
	}
	if p.pack == nil {
		p.pack = func(xml []byte, parts []envelopes.Part) (string, []byte) { return envelopes.Package(xml, parts, false) }
	}
	p.settled = false
	r.queues[p.op] = append(r.queues[p.op], p)
	return p
}

// expect waits for a call, which is the check's to answer. What makes the party call is
// laid into its queue then and no earlier: a quick one would have called before anybody
// expected it.
func (r *partyRun) expect(what string, match func(*heard) bool, put ...*parcel) *heard {
	c := &claim{match: match, got: make(chan *heard, 1)}
	r.hall.Lock()
	r.claims = append(r.claims, c)
	for _, p := range put {
		r.lay(p)
	}
	r.hall.Unlock()
	t := time.NewTimer(r.Patience)
	defer t.Stop()
	select {
	case h := <-c.got:
		return h
	case <-r.ctx.Done():
		r.must(r.ctx.Err())
	case <-t.C:
	}
	r.fail("за %s не дождались: %s", r.Patience, what)
	return nil
}

// until waits for something to be true of what the party has done.
func (r *partyRun) until(what string, holds func() bool) {
	r.hall.Lock()
	defer r.hall.Unlock()
	late := false
	t := time.AfterFunc(r.Patience, func() {
		r.hall.Lock()
		late = true
		r.changed.Broadcast()
		r.hall.Unlock()
	})
	defer t.Stop()
	for !holds() {
		if err := r.ctx.Err(); err != nil {
			r.must(err)
		}
		if late {
			r.fail("за %s не дождались: %s", r.Patience, what)
		}
		r.changed.Wait()
	}
}

// say answers a call that was claimed.
func (h *heard) say(a reply) { h.said <- a }

// as answers it as the small bus would.
func (r *partyRun) as(h *heard) {
	r.hall.Lock()
	a := r.usual(h)
	r.hall.Unlock()
	h.say(a)
}

// since are the calls since the check began. The lock is held.
func (r *partyRun) since() []*heard { return r.calls[r.begun:] }

// fresh is a request that was not sent before.
func (r *partyRun) fresh(h *heard) bool {
	if h.op != envelopes.SendRequest || h.id == "" {
		return false
	}
	for _, c := range r.calls {
		if c != h && c.op == h.op && c.id == h.id {
			return false
		}
	}
	return true
}

// newRequest waits for a request that the party has not sent before.
func (r *partyRun) newRequest() *heard {
	return r.expect("новый запрос системы (SendRequest)", r.fresh)
}

// again waits for the same message once more.
func (r *partyRun) again(first *heard) *heard {
	second := r.expect("повтор "+first.op.String()+" с тем же MessageID "+first.id, func(h *heard) bool {
		return h.op == first.op && h.id == first.id
	})
	if second.digest != first.digest {
		second.say(r.fault(second, envelopes.MessageIsAlreadySent, "Сообщение с идентификатором "+first.id+" было послано ранее."))
		r.fail("повтор с MessageID %s несёт другие подписанные данные", first.id)
	}
	return second
}

// id is a fresh MessageID of the kit.
func (r *partyRun) id() string { return party.NewMessageID(r.Now()) }
