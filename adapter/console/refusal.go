package console

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
	"mezhved/xsd"
)

// Text is a sentence for people in both languages.
type Text struct {
	RU string `json:"ru"`
	EN string `json:"en"`
}

// Refusal is why one call was refused: what the journal keeps, and what looking
// again at the kept bytes shows.
type Refusal struct {
	Incident string `json:"incident"`
	TraceID  string `json:"traceId,omitempty"` // of the call: by which logs and spans tell of it; absent: it is not kept any more
	Outcome  string `json:"outcome"`           // the fault that the caller was given
	Rule     string `json:"rule,omitempty"`    // of the standard, or the check that refused
	Line     int    `json:"line,omitempty"`
	Col      int    `json:"col,omitempty"`
	Sentence Text   `json:"sentence"`
	Advice   Text   `json:"advice"` // what the sender should do
	// Findings come from checking the kept bytes again, now. Same says whether
	// this found what refused the call; a changed service or certificate makes a
	// difference.
	Findings []Finding `json:"findings"`
	Same     bool      `json:"same"`
	// Envelope is where the kept bytes are to be had; empty when none are kept.
	Envelope    string `json:"envelope,omitempty"`
	ContentType string `json:"contentType,omitempty"`
	Size        int    `json:"size,omitempty"` // bytes of the call
	Kept        int    `json:"kept,omitempty"` // bytes of it that are kept
	// Erased is when its bytes were erased, and Ground on what ground.
	Erased time.Time `json:"erased,omitzero"`
	Ground string    `json:"ground,omitempty"`
}

// Finding is one thing that is wrong with the kept bytes.
type Finding struct {
	Rule     string   `json:"rule"`
	Line     int      `json:"line,omitempty"`
	Col      int      `json:"col,omitempty"`
	XPath    string   `json:"xpath,omitempty"`
	Found    string   `json:"found,omitempty"`
	Expected []string `json:"expected,omitempty"`
	Text     Text     `json:"text"`
}

// refusal tells the cause of a refused call from its event. What is not kept any
// more leaves the event's own words.
func (c *Console) refusal(ctx context.Context, e *Entry) *Refusal {
	r := &Refusal{Incident: e.Incident, Outcome: e.Outcome, Rule: e.Rule, Line: e.Line, Col: e.Col, Size: e.Size, Findings: []Finding{}}
	r.Sentence, r.Advice = sentence(e.Rule, e.Outcome)
	if of, err := c.Store.TracesOf(ctx, nil, []string{e.Incident}); err != nil {
		c.Log.Warn("console: the trace of a refused call", "incident", e.Incident, "error", err)
	} else {
		r.TraceID = of[e.Incident]
	}
	ev, contentType, body, err := c.Store.Refused(ctx, e.Incident)
	var gone *adapter.ErasedError
	if errors.As(err, &gone) {
		r.Erased, r.Ground = gone.At, gone.Ground
		return r
	}
	if err != nil {
		if !errors.Is(err, adapter.ErrNotFound) {
			c.Log.Warn("console: the bytes of a refused call", "incident", e.Incident, "error", err)
		}
		return r
	}
	if len(body) == 0 {
		return r
	}
	r.Envelope, r.ContentType, r.Kept = "/api/v1/incidents/"+e.Incident+"/envelope", contentType, len(body)
	r.Findings = append(r.Findings, c.lookAgain(&ev, contentType, body)...)
	for i := range r.Findings {
		f := &r.Findings[i]
		if f.Rule != r.Rule {
			continue
		}
		if r.Line == 0 {
			r.Line, r.Col = f.Line, f.Col
		}
		if strings.HasPrefix(f.Rule, "signature.") && !r.Same {
			// The explanation names the signature; the refusal, what in it or
			// under it is wrong.
			f.Line, f.Col = r.Line, r.Col
		}
		r.Same = r.Same || f.Line == r.Line && f.Col == r.Col
	}
	return r
}

// supposed stands for the proof of a signature where nothing is admitted: the
// kept bytes are only looked at.
type supposed struct{ target xmltape.Node }

func (s supposed) Element() xmltape.Node { return s.target }

// lookAgain walks the kept bytes through the checks that need nothing but them
// and the catalog: form, signatures as of then, content. Nothing comes of it but
// words.
func (c *Console) lookAgain(ev *journal.Event, contentType string, body []byte) []Finding {
	tape := new(xmltape.Tape)
	limits := c.Gateway().Config().Limits
	hold, release := c.holding(context.Background(), len(body))
	defer release()
	e, err := envelopes.Parse(contentType, body, tape, envelopes.Limits{Hold: hold, XML: xmltape.Limits{Size: int(limits.Body), Depth: limits.Depth, ValueLen: int(limits.Content)}})
	if err != nil {
		return findingsOf(err)
	}
	if strings.HasPrefix(ev.Rule, "signature.") {
		return c.explain(e, ev)
	}
	_, target := e.Caller()
	var content xmltape.Node
	switch e.Operation() {
	case envelopes.SendRequest:
		var call *envelopes.SendRequestCall
		if call, err = envelopes.DecodeSendRequest(e, supposed{target}); err == nil {
			content = call.Content
		}
	case envelopes.SendResponse:
		var call *envelopes.SendResponseCall
		if call, err = envelopes.DecodeSendResponse(e, supposed{target}); err == nil {
			content = call.Content
		}
	case envelopes.GetRequest, envelopes.GetResponse:
		_, err = envelopes.DecodePoll(e, supposed{target})
	case envelopes.Ack:
		_, err = envelopes.DecodeAck(e, supposed{target})
	case envelopes.GetStatus:
		_, err = envelopes.DecodeGetStatus(e, supposed{target})
	}
	if err != nil {
		return findingsOf(err)
	}
	if !content.Valid() {
		return nil
	}
	root := adapter.QName{Space: content.Space(), Local: content.Local()}
	if s := c.Gateway().Catalog().ByRoot(root); s != nil {
		_, err := s.Validate(content)
		return findingsOf(err)
	}
	return nil
}

// findingsOf puts the errors of the leaves into one form.
func findingsOf(err error) []Finding {
	var (
		gate    *xmltape.Error
		parse   *envelopes.ParseError
		format  *envelopes.FormatError
		invalid *xsd.Invalid
		out     []Finding
	)
	switch {
	case errors.As(err, &gate):
		out = append(out, Finding{Rule: "xml." + string(gate.Code), Line: gate.Line, Col: gate.Col, Text: Text{gate.Russian(), gate.Detail}})
	case errors.As(err, &parse):
		out = append(out, Finding{Rule: "soap." + string(parse.Code), Line: parse.Line, Col: parse.Col, Text: Text{parse.Russian(), parse.Detail}})
	case errors.As(err, &format):
		for i := range format.Violations {
			v := &format.Violations[i]
			out = append(out, Finding{v.Rule, v.Line, v.Col, v.XPath, v.Found, v.Expected, Text{v.Russian(), v.English()}})
		}
	case errors.As(err, &invalid):
		for _, v := range invalid.Violations {
			out = append(out, Finding{v.Rule, v.Line, v.Col, v.XPath, v.Found, v.Expected, Text{v.Russian(), v.English()}})
		}
	}
	return out
}

// explain says what is wrong with the signatures, judged as of the call.
func (c *Console) explain(e *envelopes.Envelope, ev *journal.Event) []Finding {
	var out []Finding
	sig, target := e.Caller()
	for _, x := range c.Verifier.Explain(e.Tape(), ev.Time, signing.FewSignatures) {
		if x.Verdict == "valid" {
			continue
		}
		ru, en := []string{x.Reason}, []string{x.Reason}
		if what, ok := sentences[signatureSentences[string(x.Code)]]; ok { // the reason itself is in English
			ru = []string{what.what.RU}
		}
		for _, d := range x.Deviations {
			ru, en = append(ru, d.Russian), append(en, d.English)
		}
		f := Finding{Rule: "signature." + string(x.Code), XPath: x.Place, Text: Text{strings.Join(ru, " "), strings.Join(en, " ")}}
		if x.ActualDigest != "" && x.ActualDigest != x.ExpectedDigest {
			f.Found, f.Expected = x.ActualDigest, []string{x.ExpectedDigest}
		}
		for _, n := range []xmltape.Node{sig, target, target.Parent()} {
			if n.Valid() && n.XPath() == x.Place {
				off, _ := n.Range()
				f.Line, f.Col = e.Tape().Position(off)
			}
		}
		out = append(out, f)
	}
	return out
}

// serveRefusedEnvelope gives the bytes of a refused call as they were received.
func (c *Console) serveRefusedEnvelope(w http.ResponseWriter, r *http.Request, who Actor) error {
	incident := param(r, "incident")
	if err := c.note(r.Context(), who, reading{act: "envelope", query: "incident " + incident, fields: []string{"incident"}, always: true}); err != nil {
		return err
	}
	_, contentType, body, err := c.Store.Refused(r.Context(), incident)
	if err != nil {
		return err
	}
	writeBytes(w, "refused-"+incident, ".xml", contentType, body)
	return nil
}

// serveMessageEnvelope gives an accepted message as it was received.
func (c *Console) serveMessageEnvelope(w http.ResponseWriter, r *http.Request, who Actor) error {
	id := param(r, "message")
	if err := c.note(r.Context(), who, reading{act: "envelope", query: "message " + id, fields: []string{"message"}, always: true}); err != nil {
		return err
	}
	m, err := c.message(r.Context(), id)
	if err != nil {
		return err
	}
	writeBytes(w, "message-"+m.ID.String(), ".xml", "text/xml; charset=UTF-8", m.Body)
	return nil
}

// message finds a stored message by our id.
func (c *Console) message(ctx context.Context, id string) (*adapter.Message, error) {
	ours, err := uuid.Parse(id)
	if err != nil || ours.String() != id {
		return nil, fmt.Errorf("message %s: %w", id, adapter.ErrNotFound)
	}
	switch m, err := c.Store.Load(ctx, ours); {
	case err == nil && m.Erased != nil:
		return nil, &adapter.ErasedError{Erasure: *m.Erased}
	case err == nil:
		return m, nil
	case !errors.Is(err, adapter.ErrNotFound):
		return nil, err
	}
	// Its entries know what it was, and so whether it was erased.
	t := &Trace{}
	if err := c.gather(ctx, t, id); err != nil {
		return nil, err
	}
	for _, e := range t.Events {
		if e.Message != id || e.MessageID == "" {
			continue
		}
		erased, err := c.Store.Erasure(ctx, e.Service, adapter.Direction(e.Direction), ours)
		if err != nil {
			return nil, err
		}
		if erased != nil {
			return nil, &adapter.ErasedError{Erasure: *erased}
		}
		break
	}
	return nil, fmt.Errorf("message %s: %w", id, adapter.ErrNotFound)
}

// writeBytes gives what somebody has sent as a file to keep: a browser must
// neither show it as a page nor guess at it. What the sender called it stands in
// a header of our own.
func writeBytes(w http.ResponseWriter, name, extension, contentType string, body []byte) {
	sum := sha256.Sum256(body)
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="`+fileName(name)+extension+`"`)
	h.Set("X-Mezhved-Content-Type", Visible(contentType))
	h.Set("X-Mezhved-Sha256", hex.EncodeToString(sum[:]))
	h.Set("Content-Length", fmt.Sprint(len(body)))
	w.Write(body)
}

// fileName keeps what is harmless in a name of a file.
func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' {
			return r
		}
		return '_'
	}, clipped(s, 80))
}
