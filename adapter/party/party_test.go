package party

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

const document = `<?xml version="1.0" encoding="UTF-8"?>
<p:Запрос xmlns:p="urn://test/permit/1.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <p:Заявитель xsi:type="p:Лицо">Иванов &amp; сыновья &gt; 1</p:Заявитель>
</p:Запрос>`

// TestExchange: a request and its answer go round, in every version, with every
// key, inline and as parts, and every signature holds at the other end.
func TestExchange(t *testing.T) {
	ctx := t.Context()
	for _, key := range []signing.KeyType{signing.KeyECDSA256, signing.KeyRSA2048} {
		for _, v := range envelopes.Versions {
			for _, xop := range []bool{false, true} {
				w := newWorld(t, key)
				w.client.Version, w.client.XOP = v, xop
				w.with(func() { w.xop = xop })
				file := Attachment{ID: "scan", MimeType: "application/pdf", Content: []byte("%PDF\r\n--\x00\xff")}
				receipt, err := w.client.SendRequest(ctx, Request{Content: []byte(document), Attachments: []Attachment{file}, NodeID: "узел", Official: w.client.Signer})
				if err != nil {
					t.Fatalf("%s %s: %v", key, v, err)
				}
				if receipt.Status != envelopes.StatusRequestIsQueued || receipt.Certificate == nil || receipt.Repeated {
					t.Errorf("%s %s: receipt %+v", key, v, receipt)
				}
				got, err := w.client.PollRequest(ctx, Selector{})
				if err != nil {
					t.Fatalf("%s %s: %v", key, v, err)
				}
				if got.Metadata.MessageID != receipt.MessageID || got.Request.NodeID != "узел" || got.SenderCertificate == nil || got.Certificate == nil {
					t.Errorf("%s %s: message %+v", key, v, got)
				}
				if len(got.Attachments) != 1 || !bytes.Equal(got.Attachments[0].Content, file.Content) {
					t.Errorf("%s %s: attachments %q", key, v, got.Attachments)
				}
				if _, err := w.verifier.Verify(got.Request.PersonalSignature, got.Request.Content); err != nil {
					t.Errorf("%s %s: the official's signature: %v", key, v, err)
				}
				if _, err := w.client.Reply(ctx, Reply{To: got.ReplyTo, Content: []byte(document), Attachments: []Attachment{file}}); err != nil {
					t.Fatalf("%s %s: %v", key, v, err)
				}
				if err := w.client.Ack(ctx, got.Metadata.MessageID, true); err != nil {
					t.Errorf("%s %s: %v", key, v, err)
				}
				answer, err := w.client.PollResponse(ctx, Selector{})
				if err != nil {
					t.Fatalf("%s %s: %v", key, v, err)
				}
				if answer.Response.To != got.ReplyTo || answer.SenderCertificate == nil || !answer.Response.Content.Is("urn://test/permit/1.0", "Запрос") {
					t.Errorf("%s %s: answer %+v", key, v, answer)
				}
				if empty, err := w.client.PollResponse(ctx, Selector{}); err != nil || empty != nil {
					t.Errorf("%s %s: empty queue gives %v, %v", key, v, empty, err)
				}
			}
		}
	}
}

func TestStatusesRejectionsAndQueues(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, signing.KeyECDSA256)
	for _, r := range []Reply{
		{To: "t", Status: &envelopes.RequestStatus{Code: 1, Description: "в работе"}},
		{To: "t", Rejections: []envelopes.Rejection{{Code: envelopes.RejectNoData, Description: "нет"}}},
	} {
		if _, err := w.client.Reply(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	first, err := w.client.PollResponse(ctx, Selector{})
	if err != nil || first.Response.Status == nil || first.Response.Status.Description != "в работе" {
		t.Errorf("status: %+v, %v", first, err)
	}
	second, err := w.client.PollResponse(ctx, Selector{})
	if err != nil || len(second.Response.Rejections) != 1 || second.Response.Rejections[0].Code != envelopes.RejectNoData {
		t.Errorf("rejection: %+v, %v", second, err)
	}
	if s, err := w.client.Status(ctx); err != nil || s.Category != envelopes.StatusDoesNotExist || s.Certificate == nil {
		t.Errorf("status queue: %+v, %v", s, err)
	}
	if q, err := w.client.Statistics(ctx, ""); err != nil || len(q) != 1 || q[0].Name != "requests" {
		t.Errorf("statistics: %v, %v", q, err)
	}
	for name, r := range map[string]Reply{
		"nothing":               {To: "t"},
		"two kinds":             {To: "t", Content: []byte(document), Status: &envelopes.RequestStatus{}},
		"status with a file":    {To: "t", Status: &envelopes.RequestStatus{}, Attachments: []Attachment{{}}},
		"content is no XML":     {To: "t", Content: []byte("<a>")},
		"two files of one name": {To: "t", Content: []byte(document), Attachments: []Attachment{{ID: "a"}, {ID: "a"}}},
	} {
		calls := w.counted()
		if _, err := w.client.Reply(ctx, r); err == nil || w.counted() != calls {
			t.Errorf("%s: error %v after %d calls", name, err, w.counted()-calls)
		}
	}
}

func TestRoutingIsSigned(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, signing.KeyECDSA256)
	w.client.Version = envelopes.V13
	id := NewMessageID(w.now)
	routing, err := w.client.SignRouting(ctx, &envelopes.Routing{MessageID: id, Dynamic: []string{"45000000"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.SendRequest(ctx, Request{MessageID: id, Content: []byte(document), Routing: routing}); err != nil {
		t.Fatal(err)
	}
	var kept []byte
	w.with(func() { kept = w.requests[0].envelope })
	e, err := envelopes.Parse("text/xml", kept, new(xmltape.Tape), envelopes.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	sig, target := e.Caller()
	signed, err := w.verifier.Verify(sig, target)
	if err != nil {
		t.Fatal(err)
	}
	c, err := envelopes.DecodeSendRequest(e, signed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.verifier.Verify(c.Routing.Signature, c.Routing.Information); err != nil || c.Routing.Dynamic[0] != "45000000" {
		t.Errorf("routing %+v: %v", c.Routing, err)
	}
	w.client.Version = envelopes.V12
	if _, err := w.client.SendRequest(ctx, Request{Content: []byte(document), Routing: routing}); err == nil {
		t.Errorf("a routing block was sent in 1.2")
	}
}

// TestLostAnswers: whatever happens to connections, the bus takes the message
// once, and the party knows.
func TestLostAnswers(t *testing.T) {
	ctx := t.Context()
	for name, c := range map[string]struct {
		spoil    func(t *testing.T, call int, w http.ResponseWriter, take func()) bool
		calls    int
		repeated bool
		waits    []time.Duration
	}{
		"broken before it was taken": {func(t *testing.T, call int, w http.ResponseWriter, take func()) bool {
			if call == 1 {
				breakConnection(t, w)
			}
			return call == 1
		}, 2, false, []time.Duration{time.Second}},
		"taken, answer lost twice": {func(t *testing.T, call int, w http.ResponseWriter, take func()) bool {
			if call <= 2 {
				take()
				breakConnection(t, w)
			}
			return call <= 2
		}, 3, true, []time.Duration{time.Second, 2 * time.Second}},
		"unavailable": {func(t *testing.T, call int, w http.ResponseWriter, take func()) bool {
			if call == 1 {
				w.Header().Set("Retry-After", "7")
				http.Error(w, "later", http.StatusServiceUnavailable)
			}
			return call == 1
		}, 2, false, []time.Duration{7 * time.Second}},
		"failure of the bus": {func(t *testing.T, call int, w http.ResponseWriter, take func()) bool {
			if call == 1 {
				w.Header().Set("Content-Type", envelopes.TextXML)
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = w.Write((&envelopes.Fault{Kind: envelopes.SMEVFailure, Text: "сбой"}).Build(envelopes.V12))
			}
			return call == 1
		}, 2, false, []time.Duration{time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, signing.KeyECDSA256)
			w.with(func() {
				w.spoil = func(call int, rw http.ResponseWriter, take func()) bool { return c.spoil(t, call, rw, take) }
			})
			r, err := w.client.SendRequest(ctx, Request{Content: []byte(document)})
			if err != nil {
				t.Fatal(err)
			}
			calls := w.counted()
			w.mu.Lock()
			defer w.mu.Unlock()
			if calls != c.calls || r.Repeated != c.repeated || len(w.requests) != 1 || w.requests[0].id != r.MessageID {
				t.Errorf("%d calls, repeated %v, %d messages; want %d, %v, 1", calls, r.Repeated, len(w.requests), c.calls, c.repeated)
			}
			if len(w.waits) != len(c.waits) || w.waits[0] != c.waits[0] {
				t.Errorf("waits %v, want %v", w.waits, c.waits)
			}
		})
	}
}

func TestGivesUpAndKeepsTheID(t *testing.T) {
	w := newWorld(t, signing.KeyECDSA256)
	w.with(func() {
		w.spoil = func(call int, rw http.ResponseWriter, take func()) bool { breakConnection(t, rw); return true }
	})
	r, err := w.client.SendRequest(t.Context(), Request{Content: []byte(document)})
	if err == nil || w.counted() != 3 || r.MessageID == "" {
		t.Fatalf("receipt %+v, %v after %d calls", r, err, w.counted())
	}
	w.with(func() { w.spoil = nil })
	again, err := w.client.SendRequest(t.Context(), Request{MessageID: r.MessageID, Content: []byte(document)})
	if err != nil || again.MessageID != r.MessageID {
		t.Errorf("second try: %+v, %v", again, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	calls := w.counted()
	if _, err := w.client.SendRequest(ctx, Request{Content: []byte(document)}); !errors.Is(err, context.Canceled) || w.counted() != calls {
		t.Errorf("after cancel: %v, %d calls", err, w.counted()-calls)
	}
}

func TestLostAck(t *testing.T) {
	w := newWorld(t, signing.KeyECDSA256)
	if err := w.client.Ack(t.Context(), "x", true); !isFault(err, envelopes.TargetMessageIsNotFound) || w.counted() != 1 {
		t.Errorf("ack of nothing: %v after %d calls", err, w.counted())
	}
	w.with(func() {
		w.awaiting["x"] = true
		w.spoil = func(call int, rw http.ResponseWriter, take func()) bool {
			if call == 2 {
				take()
				breakConnection(t, rw)
			}
			return call == 2
		}
	})
	err := w.client.Ack(t.Context(), "x", true)
	w.with(func() {
		if err != nil || w.awaiting["x"] {
			t.Errorf("ack whose answer was lost: %v", err)
		}
	})
}

func isFault(err error, kind envelopes.FaultKind) bool {
	var f *envelopes.Fault
	var e *FaultError
	return errors.As(err, &f) && errors.As(err, &e) && f.Kind == kind && e.Status == http.StatusInternalServerError && len(e.XML) > 0
}

func TestFaultsAreTyped(t *testing.T) {
	w := newWorld(t, signing.KeyECDSA256)
	id := NewMessageID(w.now)
	for range 2 {
		_, _ = w.client.SendRequest(t.Context(), Request{MessageID: id, Content: []byte(document)})
	}
	_, err := w.client.SendRequest(t.Context(), Request{MessageID: id, Content: []byte(document)})
	if !isFault(err, envelopes.MessageIsAlreadySent) || w.counted() != 3 {
		t.Errorf("repeated on purpose: %v after %d calls", err, w.counted())
	}
}

// TestLiars: answers that the bus did not sign, or somebody else did, or that
// were changed on the way, give nothing.
func TestLiars(t *testing.T) {
	ctx := t.Context()
	trusted := func(w *world) *signing.Verifier {
		known := w.signer.Certificate().SHA256
		trust, err := signing.NewTrust(signing.TrustOptions{Registered: func(c *signing.Certificate) bool { return c.SHA256 == known }})
		if err != nil {
			t.Fatal(err)
		}
		v, err := signing.NewVerifier(signing.Options{Now: w.client.Clock, Trust: trust})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for name, c := range map[string]struct {
		arrange func(w *world)
		want    func(err error) bool
	}{
		"unsigned": {func(w *world) { w.signer = nil }, func(err error) bool { return errors.Is(err, ErrUnsigned) }},
		"signed by another": {func(w *world) { w.signer = w.client.Signer }, func(err error) bool {
			var e *signing.Error
			return errors.As(err, &e) && e.Code == signing.CertificateUnregistered
		}},
		"no SOAP": {func(w *world) {
			w.spoil = func(_ int, rw http.ResponseWriter, _ func()) bool { _, _ = rw.Write([]byte("<html/>")); return true }
		}, func(err error) bool { var e *HTTPError; return errors.As(err, &e) && e.Status == 200 }},
		"answer to another operation": {func(w *world) {
			w.spoil = func(_ int, rw http.ResponseWriter, _ func()) bool {
				rw.Header().Set("Content-Type", "text/xml")
				_, _ = rw.Write(envelopes.BuildAck(envelopes.V12).XML)
				return true
			}
		}, func(err error) bool { return strings.Contains(err.Error(), "Ack to SendRequest") }},
		"too long": {func(w *world) { w.client.Limit = 100 }, func(err error) bool { return strings.Contains(err.Error(), "longer than 100") }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, signing.KeyECDSA256)
			w.client.Bus = trusted(w)
			if _, err := w.client.SendRequest(ctx, Request{Content: []byte(document)}); err != nil {
				t.Fatalf("the honest bus: %v", err)
			}
			w.with(func() { c.arrange(w) })
			r, err := w.client.SendRequest(ctx, Request{Content: []byte(document)})
			if err == nil || !c.want(err) || r.Status != "" {
				t.Errorf("receipt %+v, error %v", r, err)
			}
		})
	}
	t.Run("changed on the way", func(t *testing.T) {
		w := newWorld(t, signing.KeyECDSA256)
		honest := w.client.HTTP.Transport
		w.client.HTTP = &http.Client{Transport: changing{honest, "requestIsQueued", "requestIsRefused"}}
		_, err := w.client.SendRequest(ctx, Request{Content: []byte(document)})
		var e *signing.Error
		if !errors.As(err, &e) || e.Code != signing.DigestMismatch {
			t.Errorf("got %v", err)
		}
	})
	t.Run("unsigned is allowed", func(t *testing.T) {
		w := newWorld(t, signing.KeyECDSA256)
		w.client.AllowUnsigned = true
		w.with(func() { w.signer = nil })
		r, err := w.client.SendRequest(ctx, Request{Content: []byte(document)})
		if err != nil || r.Certificate != nil || r.Status != envelopes.StatusRequestIsQueued {
			t.Errorf("receipt %+v, %v", r, err)
		}
	})
}

// changing is a network that replaces a word in answers.
type changing struct {
	http.RoundTripper
	old, new string
}

func (c changing) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		return nil, err
	}
	changed := bytes.ReplaceAll(b.Bytes(), []byte(c.old), []byte(c.new))
	resp.Body = readCloser{bytes.NewReader(changed)}
	resp.ContentLength = int64(len(changed))
	return resp, nil
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

// TestSignatureSurvivesTheSplice: a message signed in a hostile namespace
// context is delivered, and author's, official's and bus's signatures all hold.
func TestSignatureSurvivesTheSplice(t *testing.T) {
	w := newWorld(t, signing.KeyECDSA256)
	for _, v := range envelopes.Versions {
		T, B, F := v.TypesSpace(), v.BasicSpace(), v.FaultsSpace()
		for name, c := range map[string]struct{ decls, t, b string }{
			"own prefixes":       {`xmlns:a="` + T + `" xmlns:b="` + B + `"`, "a:", "b:"},
			"the bus's prefixes": {`xmlns="` + B + `" xmlns:ns2="` + T + `" xmlns:ns3="` + F + `"`, "ns2:", ""},
			"swapped":            {`xmlns="` + T + `" xmlns:ns2="` + B + `" xmlns:ns3="urn:other"`, "", "ns2:"},
			"rotated":            {`xmlns:ns3="` + T + `" xmlns:ns2="` + F + `" xmlns:soap="` + B + `"`, "ns3:", "soap:"},
			"foreign default":    {`xmlns="urn:foreign" xmlns:a="` + T + `" xmlns:b="` + B + `"`, "a:", "b:"},
			"smev taken":         {`xmlns:ns2="urn:1" xmlns:smev="urn:2" xmlns:a="` + T + `" xmlns:b="` + B + `"`, "a:", "b:"},
		} {
			body := `<e:Envelope xmlns:e="` + envelopes.SOAPSpace + `" ` + c.decls + `><e:Body><` + c.t + `SendRequestRequest><` + c.t + `SenderProvidedRequestData  Id='SIGNED_BY_SMEV'>
  <` + c.t + `MessageID>` + NewMessageID(w.now) + `</` + c.t + `MessageID><` + c.b + `MessagePrimaryContent><q:A xmlns:q="urn:q" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="q:Тип"><!-- c --><q:B>a&gt;b]]&gt;<![CDATA[<&>]]></q:B></q:A></` + c.b + `MessagePrimaryContent></` + c.t + `SenderProvidedRequestData><` + c.t + `CallerInformationSystemSignature>`
			tail := `</` + c.t + `CallerInformationSystemSignature></` + c.t + `SendRequestRequest></e:Body></e:Envelope>`
			sealed, err := signing.SignInto(t.Context(), []byte(body+tail), "SIGNED_BY_SMEV", len(body), w.client.Signer)
			if err != nil {
				t.Fatalf("%s %s: %v", v, name, err)
			}
			w.client.Version = v
			resp, err := w.client.HTTP.Post(w.client.URL, "text/xml", bytes.NewReader(sealed))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("%s %s: the bus refused the call", v, name)
			}
			got, err := w.client.PollRequest(t.Context(), Selector{})
			if err != nil {
				t.Errorf("%s %s: %v", v, name, err)
				continue
			}
			if got.SenderCertificate == nil || got.SenderCertificate.SHA256 != w.client.Signer.Certificate().SHA256 {
				t.Errorf("%s %s: the author's signature was not seen", v, name)
			}
		}
	}
}

func TestMessageIDs(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 123456700, time.UTC)
	seen := map[string]bool{}
	for range 1000 {
		s := NewMessageID(now)
		if seen[s] {
			t.Fatalf("%s was made twice", s)
		}
		seen[s] = true
		u, err := uuid.Parse(s)
		if err != nil || u.Version() != 1 || u.Variant() != uuid.RFC4122 || u.String() != s {
			t.Fatalf("%s: version %d, %v", s, u.Version(), err)
		}
		sec, nsec := u.Time().UnixTime()
		if got := time.Unix(sec, nsec); !got.Equal(now) {
			t.Fatalf("%s says %v, want %v", s, got, now)
		}
		if u.NodeID()[0]&1 == 0 {
			t.Fatalf("%s could be the address of a network card", s)
		}
	}
}

// An attempt that found nobody undoes nothing of one before it that may have arrived.
func TestWhatMayHaveArrivedIsNotCalledUnsent(t *testing.T) {
	w := newWorld(t, signing.KeyECDSA256)
	var unsent *UnsentError
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { // takes one call, and dies before it has answered
		if c, err := listener.Accept(); err == nil {
			c.Read(make([]byte, 1<<10))
			listener.Close()
			c.Close()
		}
	}()
	w.client.URL = "http://" + listener.Addr().String() + "/ws"
	if _, err := w.client.SendRequest(t.Context(), Request{Content: []byte(document)}); err == nil || errors.As(err, &unsent) {
		t.Errorf("it died with the call in hand: %v", err)
	}
	if _, err := w.client.SendRequest(t.Context(), Request{Content: []byte(document)}); !errors.As(err, &unsent) {
		t.Errorf("nobody was there: %v", err)
	}
	if _, err := w.client.SendRequest(t.Context(), Request{Content: []byte("no XML")}); !errors.As(err, &unsent) {
		t.Errorf("nothing to send: %v", err)
	}
}

// TestFilesAreHeldAgainstTheirSignatures: the bus's signature does not cover
// attachments; a party that proves their own is given no message with another file.
func TestFilesAreHeldAgainstTheirSignatures(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, signing.KeyECDSA256)
	send := func() {
		if _, err := w.client.SendRequest(ctx, Request{Content: []byte(document), Attachments: []Attachment{{ID: "plan", Content: []byte("файл")}}}); err != nil {
			t.Fatal(err)
		}
	}
	w.client.Files = w.verifier
	send()
	if m, err := w.client.PollRequest(ctx, Selector{}); err != nil || len(m.Attachments) != 1 {
		t.Fatalf("the honest message: %v, %v", m, err)
	}
	send()
	w.with(func() { w.requests[0].attachments[0].Content = []byte("другой файл") })
	m, err := w.client.PollRequest(ctx, Selector{})
	var bad *FileError
	if m != nil || !errors.As(err, &bad) || bad.File != "plan" || bad.MessageID == "" {
		t.Errorf("another file: %v, %v", m, err)
	}
	w.client.Files = nil
	send()
	w.with(func() { w.requests[0].attachments[0].Content = []byte("другой файл") })
	if m, err := w.client.PollRequest(ctx, Selector{}); m == nil || err != nil {
		t.Errorf("whoever does not look at files: %v, %v", m, err)
	}
}
