package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/alarms/sink"
	"mezhved/adapter/lifecycle/emulator"
	"mezhved/adapter/lifecycle/scenario"
	"mezhved/adapter/party"
	"mezhved/adapter/registry"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
	"mezhved/testdata/services"
)

// play is the demonstration's exchanges. Each scene announces what will come,
// does it with the same client that the command line has, and compares.
type play struct {
	out      io.Writer
	base     string
	store    string           // address of the file store; empty: a folder of an earlier version has none
	mailbox  *sink.Sink       // where alarms arrive; nil: a folder of an earlier version has none
	gateway  *adapter.Gateway // that reads the services again; nil: nothing is held back here
	dir      string
	bus      *signing.Verifier
	signers  map[string]signing.Signer
	scenes   int
	failures int

	traced   string // a request to trace
	incident string // a refusal to trace
}

func newPlay(ctx context.Context, out io.Writer, dir, base string) (*play, error) {
	p := &play{out: out, base: base, dir: dir, signers: map[string]signing.Signer{}}
	var err error
	if p.bus, err = busVerifier(filepath.Join(dir, "keys", "bus", "cert.pem")); err != nil {
		return nil, err
	}
	for _, d := range demoParties {
		folder := filepath.Join(dir, "parties", d.mnemonic)
		if missing(filepath.Join(folder, "key.pem")) {
			continue // the demonstration of another release has not all of them (bench compare)
		}
		if p.signers[d.mnemonic], err = signing.LoadSigner(ctx, keySource(filepath.Join(folder, "key.pem"), filepath.Join(folder, "cert.pem"), "")); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// client speaks for a department in a version of the protocol. It verifies what
// the bus signs, against the demo bus's certificate and no other.
func (p *play) client(mnemonic string, v envelopes.Version) *party.Client {
	c := &party.Client{URL: p.base + "/smev/v" + v.String() + "/ws", Version: v, Signer: p.signers[mnemonic], Bus: p.bus}
	if p.store != "" {
		c.Store = &party.FileStore{URL: p.store}
	}
	return c
}

func (p *play) run(ctx context.Context) {
	type scene struct {
		title string
		act   func(context.Context) error
	}
	scenes := []scene{
		{"A request and its answer: Primersk asks Rosreestr for an extract from the real estate register", p.answered},
		{"Refused by the schema: a cadastral number of the wrong form, refused at once with line and rule", p.refusedBySchema},
		{"Refused by the signature: a digit was changed after signing", p.refusedBySignature},
		{"Intermediate statuses: the social fund works on a request of the multifunctional centre", p.statuses},
		{"Rejected by the provider: the tax service has no such organisation", p.rejected},
		{"Redelivered after a lost acknowledgement: the social fund gets the same message again", p.redelivered},
		{"Routed by territory code, in SMEV 1.3: the centre asks the municipality for an advertising permit", p.routed},
		{"Broadcast, in SMEV 1.1: the tax service tells everybody who subscribed", p.broadcast},
	}
	if p.store != "" {
		scenes = append(scenes, scene{"A file too large for a message: Primersk brings a plan of 12 MB to the file store, Rosreestr fetches it", p.stored})
	}
	if p.gateway != nil {
		scenes = append(scenes, scene{"By scenario: an emulator stands in for Rosreestr, says that a plot is not there, and sends an archive extract in stages", p.emulated})
	}
	if p.mailbox != nil {
		scenes = append(scenes, scene{"Legal time: one request answered in time, one due today, one late, of which somebody is told by mail", p.terms})
	}
	if p.gateway != nil {
		scenes = append(scenes, scene{"A service's life: published when operator and provider have signed its test protocol, and back to the stage test by one changed byte", p.published})
	}
	for _, s := range scenes {
		p.scenes++
		fmt.Fprintf(p.out, "\n%d. %s\n", p.scenes, s.title)
		if err := s.act(ctx); err != nil {
			p.failures++
			fmt.Fprintf(p.out, "   NOT AS ANNOUNCED: %v\n", err)
		}
	}
}

func (p *play) say(format string, args ...any) { fmt.Fprintf(p.out, "   "+format+"\n", args...) }

// sample reads a sample document of a demonstration service.
func sample(service, version, name string) []byte {
	doc, err := fs.ReadFile(services.FS, service+"/"+version+"/samples/"+name+".xml")
	if err != nil {
		panic(err) // the samples are part of the program
	}
	return doc
}

// send sends a sample request and says what the receipt says.
func (p *play) send(ctx context.Context, from string, v envelopes.Version, service, version string) (*party.Receipt, error) {
	r, err := p.client(from, v).SendRequest(ctx, party.Request{Content: sample(service, version, "request")})
	if err != nil {
		return r, fmt.Errorf("sending: %w", err)
	}
	p.say("%s sent %s: %s", from, r.MessageID, r.Status)
	return r, nil
}

// take polls until the message comes that the scene waits for. What others have
// left in the queue is passed over and comes back to it.
func (p *play) take(ctx context.Context, poll func(context.Context, party.Selector) (*party.Message, error), match func(*party.Message) bool) (*party.Message, error) {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		m, err := poll(ctx, party.Selector{Wait: time.Second})
		if err != nil {
			return nil, fmt.Errorf("polling: %w", err)
		}
		if m != nil && match(m) {
			return m, nil
		}
	}
	return nil, errors.New("the message did not come")
}

func byID(id string) func(*party.Message) bool {
	return func(m *party.Message) bool { return m.Metadata.MessageID == id }
}

func answerTo(id string) func(*party.Message) bool {
	return func(m *party.Message) bool { return m.OriginalMessageID == id }
}

// receive takes a request as its provider and acknowledges it.
func (p *play) receive(ctx context.Context, provider *party.Client, name, id string) (*party.Message, error) {
	m, err := p.take(ctx, provider.PollRequest, byID(id))
	if err != nil {
		return nil, err
	}
	if err := provider.Ack(ctx, id, true); err != nil {
		return nil, fmt.Errorf("acknowledging: %w", err)
	}
	p.say("%s received it, checked the bus's signature and acknowledged", name)
	return m, nil
}

// collect takes an answer as the consumer and acknowledges it.
func (p *play) collect(ctx context.Context, consumer *party.Client, id string) (*party.Message, error) {
	m, err := p.take(ctx, consumer.PollResponse, answerTo(id))
	if err != nil {
		return nil, err
	}
	return m, consumer.Ack(ctx, m.Metadata.MessageID, true)
}

// exchange is one request with its final answer.
func (p *play) exchange(ctx context.Context, from, to string, v envelopes.Version, service, version string) (id string, answer *party.Message, err error) {
	receipt, err := p.send(ctx, from, v, service, version)
	if err != nil {
		return "", nil, err
	}
	provider := p.client(to, v)
	request, err := p.receive(ctx, provider, to, receipt.MessageID)
	if err != nil {
		return "", nil, err
	}
	if _, err := provider.Reply(ctx, party.Reply{To: request.ReplyTo, Content: sample(service, version, "response")}); err != nil {
		return "", nil, fmt.Errorf("answering: %w", err)
	}
	answer, err = p.collect(ctx, p.client(from, v), receipt.MessageID)
	if err != nil {
		return "", nil, err
	}
	return receipt.MessageID, answer, nil
}

func (p *play) answered(ctx context.Context) error {
	id, answer, err := p.exchange(ctx, "PRIMERSK", "ROSREESTR", envelopes.V12, "egrn-extract", "1.1.0")
	if err != nil {
		return err
	}
	p.traced = id
	const ns = "urn://mezhved/demo/egrn-extract/1.1.0"
	extract := answer.Response.Content
	p.say("PRIMERSK has the answer: extract %s, %d owners", extract.Child(ns, "ExtractNumber").TrimText(), count(extract, ns, "Right"))
	return expect("answer", bytes.Equal(answer.Response.Content.Bytes(), bytes.TrimSpace(sample("egrn-extract", "1.1.0", "response"))), true)
}

func count(n xmltape.Node, space, local string) (found int) {
	for c := range n.Children() {
		if c.Is(space, local) {
			found++
		}
	}
	return found
}

// refusal demands that a call was refused with the fault, and tells it.
func (p *play) refusal(err error, kind envelopes.FaultKind) (*envelopes.Fault, error) {
	var refused *party.FaultError
	if !errors.As(err, &refused) {
		return nil, fmt.Errorf("a fault %s was expected, not %w", kind, errors.Join(errors.New("this"), err))
	}
	f := refused.Fault
	p.say("the gateway refuses: %s", f.Kind)
	p.say("%s", f.Text)
	for _, v := range f.Validation {
		p.say("%s", v.Text)
	}
	if refused.Incident == "" {
		return nil, fmt.Errorf("the refusal names no incident: %s", f.Description)
	}
	p.incident = refused.Incident
	p.say("incident %s", p.incident)
	return f, expect("fault", f.Kind, kind)
}

func (p *play) refusedBySchema(ctx context.Context) error {
	_, err := p.client("PRIMERSK", envelopes.V12).SendRequest(ctx, party.Request{Content: sample("egrn-extract", "1.1.0", "request-refused")})
	f, err := p.refusal(err, envelopes.InvalidContent)
	if err != nil {
		return err
	}
	if len(f.Validation) == 0 || !bytes.Contains([]byte(f.Validation[0].Text), []byte("cvc-pattern-valid")) {
		return fmt.Errorf("the refusal does not name the rule: %v", f.Validation)
	}
	return nil
}

// tamper changes what goes out after it was signed.
type tamper struct{ old, new []byte }

func (t tamper) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	changed := bytes.Replace(body, t.old, t.new, 1)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(changed)), int64(len(changed))
	r.GetBody = nil
	return http.DefaultTransport.RoundTrip(r)
}

func (p *play) refusedBySignature(ctx context.Context) error {
	c := p.client("PRIMERSK", envelopes.V12)
	c.HTTP = &http.Client{Timeout: time.Minute, Transport: tamper{[]byte("50:21:0110103:512"), []byte("50:21:0110103:513")}}
	_, err := c.SendRequest(ctx, party.Request{Content: sample("egrn-extract", "1.1.0", "request")})
	schema := p.incident
	f, err := p.refusal(err, envelopes.SignatureVerificationFault)
	if schema != "" {
		p.incident = schema // the refusal by the schema has more to show
	}
	if err != nil {
		return err
	}
	return expect("reason", f.Signature, envelopes.SignatureIsInvalid)
}

func (p *play) statuses(ctx context.Context) error {
	receipt, err := p.send(ctx, "MFC01", envelopes.V12, "family-benefits", "1.0.0")
	if err != nil {
		return err
	}
	fund, centre := p.client("SFR01", envelopes.V12), p.client("MFC01", envelopes.V12)
	request, err := p.receive(ctx, fund, "SFR01", receipt.MessageID)
	if err != nil {
		return err
	}
	for code, text := range []string{"Запрос принят в работу", "Сведения собираются из территориальных органов"} {
		status := &envelopes.RequestStatus{Code: code + 1, Description: text, Parameters: []envelopes.StatusParameter{{Key: "step", Value: strconv.Itoa(code + 1)}}}
		if _, err := fund.Reply(ctx, party.Reply{To: request.ReplyTo, Status: status}); err != nil {
			return fmt.Errorf("sending a status: %w", err)
		}
		m, err := p.collect(ctx, centre, receipt.MessageID)
		if err != nil {
			return err
		}
		if m.Response == nil || m.Response.Status == nil {
			return errors.New("a status was expected")
		}
		p.say("MFC01 reads status %d: %s", m.Response.Status.Code, m.Response.Status.Description)
		if err := expect("status", m.Response.Status.Description, text); err != nil {
			return err
		}
	}
	if _, err := fund.Reply(ctx, party.Reply{To: request.ReplyTo, Content: sample("family-benefits", "1.0.0", "response")}); err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	m, err := p.collect(ctx, centre, receipt.MessageID)
	if err != nil {
		return err
	}
	const ns = "urn://mezhved/demo/family-benefits/1.0.0"
	p.say("MFC01 has the answer: %d payments, %s roubles in all", count(m.Response.Content, ns, "Benefit"), m.Response.Content.Child(ns, "Total").TrimText())
	return nil
}

func (p *play) rejected(ctx context.Context) error {
	receipt, err := p.send(ctx, "PRIMERSK", envelopes.V12, "egrul-extract", "2.0.0")
	if err != nil {
		return err
	}
	tax := p.client("FNS01", envelopes.V12)
	request, err := p.receive(ctx, tax, "FNS01", receipt.MessageID)
	if err != nil {
		return err
	}
	reason := []envelopes.Rejection{{Code: envelopes.RejectNoData, Description: "Организация с таким ОГРН в реестре не найдена"}}
	if _, err := tax.Reply(ctx, party.Reply{To: request.ReplyTo, Rejections: reason}); err != nil {
		return fmt.Errorf("rejecting: %w", err)
	}
	m, err := p.collect(ctx, p.client("PRIMERSK", envelopes.V12), receipt.MessageID)
	if err != nil {
		return err
	}
	if m.Response == nil || len(m.Response.Rejections) != 1 {
		return errors.New("a rejection was expected")
	}
	got := m.Response.Rejections[0]
	p.say("PRIMERSK reads the rejection: %s, %s", got.Code, got.Description)
	return expect("rejection", got, reason[0])
}

func (p *play) redelivered(ctx context.Context) error {
	receipt, err := p.send(ctx, "PRIMERSK", envelopes.V12, "family-benefits", "1.0.0")
	if err != nil {
		return err
	}
	fund := p.client("SFR01", envelopes.V12)
	first, err := p.take(ctx, fund.PollRequest, byID(receipt.MessageID))
	if err != nil {
		return err
	}
	p.say("SFR01 received it, and its acknowledgement is lost; its lease is 3 s (15 minutes where nothing else is set)")
	again, err := p.take(ctx, fund.PollRequest, byID(receipt.MessageID))
	if err != nil {
		return fmt.Errorf("the second delivery: %w", err)
	}
	p.say("SFR01 received it again after %.1f s, with the same content", again.Metadata.Delivered.Sub(first.Metadata.Delivered).Seconds())
	if err := expect("content", string(again.Request.Content.Bytes()), string(first.Request.Content.Bytes())); err != nil {
		return err
	}
	if err := fund.Ack(ctx, receipt.MessageID, true); err != nil {
		return fmt.Errorf("acknowledging: %w", err)
	}
	if _, err := fund.Reply(ctx, party.Reply{To: again.ReplyTo, Content: sample("family-benefits", "1.0.0", "response")}); err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	_, err = p.collect(ctx, p.client("PRIMERSK", envelopes.V12), receipt.MessageID)
	return err
}

func (p *play) routed(ctx context.Context) error {
	_, answer, err := p.exchange(ctx, "MFC01", "PRIMERSK", envelopes.V13, "advertising-permit", "1.0.0")
	if err != nil {
		return err
	}
	p.say("MFC01 has the permit %s", answer.Response.Content.Child("urn://mezhved/demo/advertising-permit/1.0.0", "PermitNumber").TrimText())
	return nil
}

func (p *play) broadcast(ctx context.Context) error {
	receipt, err := p.send(ctx, "FNS01", envelopes.V11, "register-notice", "1.0.0")
	if err != nil {
		return err
	}
	for _, name := range []string{"PRIMERSK", "MFC01"} {
		subscriber := p.client(name, envelopes.V11)
		m, err := p.receive(ctx, subscriber, name, receipt.MessageID)
		if err != nil {
			return err
		}
		if err := errors.Join(expect("type", m.Metadata.Type, envelopes.TypeBroadcast), expect("reply address", m.ReplyTo, "")); err != nil {
			return err
		}
	}
	return nil
}

func (p *play) stored(ctx context.Context) error {
	plan := bytes.Repeat([]byte("план участка\n"), 12<<20/24)
	receipt, err := p.client("PRIMERSK", envelopes.V12).SendRequest(ctx, party.Request{Content: sample("egrn-extract", "1.1.0", "request"),
		Attachments: []party.Attachment{{Name: "план участка.txt", MimeType: "text/plain", Content: plan}}})
	if err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	p.say("PRIMERSK brought the file over FTP and sent %s, which refers to it by its digest: %s", receipt.MessageID, receipt.Status)
	registry := p.client("ROSREESTR", envelopes.V12)
	m, err := p.take(ctx, registry.PollRequest, byID(receipt.MessageID))
	if err != nil {
		return err
	}
	if err := expect("files", len(m.Files), 1); err != nil {
		return err
	}
	f := m.Files[0]
	var got bytes.Buffer
	if err := registry.Store.Fetch(ctx, f, m.Hash(f), &got); err != nil {
		return err
	}
	p.say("ROSREESTR was given an account for %s, fetched %d bytes under it, and the digest is the one that PRIMERSK signed", f.FileName, got.Len())
	if err := expect("the file is the same", bytes.Equal(got.Bytes(), plan), true); err != nil {
		return err
	}
	if err := registry.Ack(ctx, receipt.MessageID, true); err != nil {
		return fmt.Errorf("acknowledging: %w", err)
	}
	if err := registry.Store.Fetch(ctx, f, m.Hash(f), io.Discard); err == nil {
		return errors.New("the account is good after the acknowledgement")
	}
	p.say("after the acknowledgement the account is refused; the sweep removes the file")
	if _, err := registry.Reply(ctx, party.Reply{To: m.ReplyTo, Content: sample("egrn-extract", "1.1.0", "response")}); err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	_, err = p.collect(ctx, p.client("PRIMERSK", envelopes.V12), receipt.MessageID)
	return err
}

// emulated lets the scenarios of a service answer, as in the sandbox.
func (p *play) emulated(ctx context.Context) error {
	const service, version = "egrn-extract", "1.1.0"
	dir := filepath.Join(p.dir, "services", service, version)
	set, found := scenario.Open(dir, scenario.Of(p.gateway.Catalog().Service(service, version), nil))
	if bad := found.Errors(); len(bad) > 0 {
		return bad
	}
	e, err := emulator.Open(emulator.Options{Client: p.client("ROSREESTR", envelopes.V12), Sets: func() []*scenario.Set { return []*scenario.Set{set} },
		Dir: filepath.Join(p.dir, "emulators", "ROSREESTR"), Haste: 10, Wait: time.Second, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = e.Run(ctx) // it has no error
	}()
	defer func() {
		stop()
		<-done
	}()
	consumer := p.client("PRIMERSK", envelopes.V12)
	ask := func(request string) (string, error) {
		content, err := os.ReadFile(filepath.Join(dir, scenario.Folder, request))
		if err != nil {
			return "", err
		}
		r, err := consumer.SendRequest(ctx, party.Request{Content: content})
		if err != nil {
			return "", fmt.Errorf("sending: %w", err)
		}
		p.say("PRIMERSK sent %s: %s", r.MessageID, r.Status)
		return r.MessageID, nil
	}
	id, err := ask("request-404.xml")
	if err != nil {
		return err
	}
	m, err := p.collect(ctx, consumer, id)
	if err != nil {
		return err
	}
	if m.Response == nil || len(m.Response.Rejections) != 1 {
		return errors.New("a rejection was expected")
	}
	p.say("the emulator rejects: %s, %s", m.Response.Rejections[0].Code, m.Response.Rejections[0].Description)
	if id, err = ask("request-history.xml"); err != nil {
		return err
	}
	first := ""
	for _, want := range []string{"status", "status again", "answer"} {
		if m, err = p.collect(ctx, consumer, id); err != nil {
			return err
		}
		got := "answer"
		if s := m.Response.Status; s != nil && first == "" {
			got, first = "status", s.Description
			p.say("the emulator says, status %d: %s", s.Code, s.Description)
		} else if s != nil && s.Description == first {
			got = "status again"
			p.say("and once more the same under another MessageID, as its scenario has it: providers do so, and a consumer has to bear it")
		}
		if err := expect("message", got, want); err != nil {
			return err
		}
	}
	p.say("the emulator answers: extract %s, with %d attachment", m.Response.Content.Child("urn://mezhved/demo/egrn-extract/1.1.0", "ExtractNumber").TrimText(), len(m.Attachments))
	return expect("attachments", len(m.Attachments), 1)
}

// expect is the comparison of a scene.
func expect[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s: got %v, want %v", what, got, want)
	}
	return nil
}

// terms shows requests whose terms are kept, run, and are missed.
func (p *play) terms(ctx context.Context) error {
	if _, _, err := p.exchange(ctx, "PRIMERSK", "FNS01", envelopes.V12, "urgent-check", "1.0.0"); err != nil {
		return err
	}
	p.say("FNS01 answered in time")
	consumer := p.client("PRIMERSK", envelopes.V12)
	ask := func(provider, register string) (string, error) {
		content := bytes.Replace(sample("urgent-check", "1.0.0", "request"), []byte(">tax<"), []byte(">"+register+"<"), 1)
		r, err := consumer.SendRequest(ctx, party.Request{Content: content})
		if err != nil {
			return "", fmt.Errorf("sending: %w", err)
		}
		p.say("PRIMERSK sent %s: %s", r.MessageID, r.Status)
		_, err = p.receive(ctx, p.client(provider, envelopes.V12), provider, r.MessageID)
		return r.MessageID, err
	}
	if _, err := ask("FNS01", "tax"); err != nil {
		return err
	}
	p.say("it is due in a quarter of an hour: /console/late")
	late, err := ask("SFR01", "pension")
	if err != nil {
		return err
	}
	p.say("SFR01 has two seconds, and says nothing")
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for _, m := range p.mailbox.Mails() {
			if bytes.Contains(m, []byte(late)) {
				p.say("it is late, the journal says so, and duty@demo.example was told by mail: %s", p.mailbox.Dir)
				return nil
			}
		}
	}
	return errors.New("nobody was told that it is late")
}

// published shows a version that is published by the signatures over its test protocol,
// and taken back by a changed byte.
func (p *play) published(ctx context.Context) error {
	const service, version = "egrul-extract", "2.0.0"
	dir := filepath.Join(p.dir, "services", service, version)
	file := filepath.Join(dir, "samples", "request.xml")
	whole := sample(service, version, "request")
	if err := errors.Join(os.WriteFile(file, whole, 0o644), os.RemoveAll(filepath.Join(dir, "protocol", "FNS01.p7s"))); err != nil {
		return err
	}
	consumer := p.client("PRIMERSK", envelopes.V12)
	incident := p.incident
	held := func() error { // a request that is no test is refused
		p.reload(ctx)
		_, err := consumer.SendRequest(ctx, party.Request{Content: whole})
		_, err = p.refusal(err, envelopes.BusinessDataTypeIsNotSupported)
		if incident != "" {
			p.incident = incident // the refusal by the schema has more to show
		}
		return err
	}
	p.say("FNS01 has not signed the protocol of %s %s", service, version)
	if err := held(); err != nil {
		return err
	}
	if err := signProtocol(ctx, dir, "FNS01", p.signers["FNS01"], time.Now()); err != nil {
		return err
	}
	p.reload(ctx)
	p.say("operator and provider have signed: %s", filepath.Join(dir, "protocol", "protocol.html"))
	if _, _, err := p.exchange(ctx, "PRIMERSK", "FNS01", envelopes.V12, service, version); err != nil {
		return err
	}
	p.say("one byte of %s is changed", file)
	if err := os.WriteFile(file, append(slices.Clone(whole), ' '), 0o644); err != nil {
		return err
	}
	refused := held()
	if err := os.WriteFile(file, whole, 0o644); err != nil {
		return err
	}
	p.reload(ctx)
	if refused != nil {
		return refused
	}
	p.say("the byte is put back")
	return expect("stage", p.gateway.Catalog().Service(service, version).Stage, registry.StagePublished)
}

// reload reads the services again and says why versions are held back.
func (p *play) reload(ctx context.Context) {
	for _, f := range p.gateway.Reload(ctx) {
		if f.Gate {
			p.say("reload: %s", f)
		}
	}
}

// whereToLook says what can be done with the demo now.
func (p *play) whereToLook(dir, base string) {
	config := filepath.Join(dir, "mezhved.yaml")
	fmt.Fprintf(p.out, `
Where to look next
   the console      %s/console/   (the token is in %s)
   one exchange     mezhved journal trace --config %s %s
   one refusal      mezhved journal trace --config %s %s
   the evidence     mezhved journal bundle --config %s %s -o evidence.zip; mezhved-audit verify evidence.zip
                    (its keys: keys/journal.policy for --policy, keys/ca/cert.pem for --anchors, keys/bus/cert.pem for --bus)
   as a party       mezhved poll requests --url %s/smev/v1.2/ws --key %s --cert %s
   what is late     %s/console/late   (mails to those who are told: %s)
   are they well?   %s/health   (probes of the services; with names: %s/console/health)
   the WSDL         %s/smev/v1.2/ws?wsdl
   the file store   %s   (mezhved send --file-store …, or any FTP client as anonymous)
   the log          %s
`,
		base, filepath.Join(dir, "keys", "auditor.token"), config, p.traced, config, p.incident, config, p.traced,
		base, filepath.Join(dir, "parties", "FNS01", "key.pem"), filepath.Join(dir, "parties", "FNS01", "cert.pem"),
		base, filepath.Join(dir, "mailbox"), base, base, base, cmp.Or(p.store, "none: this folder is of an earlier version"), filepath.Join(dir, "gateway.log"))
}
