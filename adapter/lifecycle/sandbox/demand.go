package sandbox

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"mezhved/adapter/lifecycle/scenario"
	"mezhved/adapter/lifecycle/xpath"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
)

// How a caller asks to be refused: by a header, by the address, by a value anywhere in
// the call, or by a scenario's word.
const (
	Header = "X-Mezhved-Fault" // AccessDenied, or SignatureVerificationFault/CertificateIsExpired
	Query  = "fault"           // ?fault=AccessDenied, for clients that cannot set headers
	Value  = "fault:"          // a text or an attribute of the call that is fault:AccessDenied
)

// mostAsked bounds the name of a fault, in octets.
const mostAsked = 100

// demand is a fault that was asked for.
type demand struct {
	kind  envelopes.FaultKind
	sub   envelopes.SignatureFault
	how   string // for people, in Russian
	wrong string // what was asked for cannot be had
}

// demanded finds out whether a call asks to be refused.
func (s *Sandbox) demanded(r *http.Request, c *Call, e *envelopes.Envelope) (demand, bool) {
	for _, one := range []struct{ asked, how string }{
		{r.Header.Get(Header), "ошибка по требованию заголовка " + Header},
		{r.URL.Query().Get(Query), "ошибка по требованию адреса (?" + Query + "=)"},
		{spoken(e), "ошибка по требованию содержимого (" + Value + ")"},
	} {
		if one.asked != "" {
			return read(one.asked, one.how, c), true
		}
	}
	if k, name := s.byScenario(c, e); k != "" {
		return demand{kind: k, how: "ошибка по сценарию " + name}, true
	}
	return demand{}, false
}

// read reads the name of a fault, and whether the operation may raise it.
func read(asked, how string, c *Call) demand {
	if len(asked) > mostAsked { // it is compared with every fault, and said again
		asked = strings.ToValidUTF8(asked[:mostAsked], "") + "…"
	}
	name, sub, _ := strings.Cut(asked, "/")
	d := demand{kind: envelopes.FaultKind(name), sub: envelopes.SignatureFault(sub), how: how}
	v := c.Version
	if v == 0 {
		v = envelopes.V12
	}
	known := map[string]bool{}
	for _, k := range envelopes.FaultKinds(envelopes.V13) {
		known[string(k)] = true
	}
	switch {
	case !known[name]:
		d.wrong = fmt.Sprintf("%s: такой ошибки в протоколе нет", name)
		if near := xpath.Nearest(name, known); near != "" {
			d.wrong += "; не имеется ли в виду " + near + "?"
		} else {
			d.wrong += "; какие есть, сказано на странице /sandbox/"
		}
	case sub != "" && (d.kind != envelopes.SignatureVerificationFault || !slices.Contains(envelopes.SignatureFaults, d.sub)):
		d.wrong = fmt.Sprintf("%s: уточнение бывает только у SignatureVerificationFault: %v", asked, envelopes.SignatureFaults)
	case d.kind == envelopes.RequestIsNotFound: // the schema has it, and no operation declares it
	case c.Operation != 0 && !envelopes.Declared(v, c.Operation, d.kind):
		var may []string
		for _, op := range envelopes.Operations {
			if envelopes.Declared(envelopes.V13, op, d.kind) || envelopes.Declared(v, op, d.kind) {
				may = append(may, op.String())
			}
		}
		d.wrong = fmt.Sprintf("%s в версии %s не возвращает ошибку %s; её возвращают: %s", c.Operation, v, name, strings.Join(may, ", "))
		if d.kind == envelopes.PersonalAccessDenied {
			d.wrong += " (версия 1.3)"
		}
	}
	return d
}

// spoken is the fault that a value of the call asks for; empty: none does.
func spoken(e *envelopes.Envelope) string {
	if e == nil {
		return ""
	}
	t := e.Tape()
	for i := range t.Tokens {
		tok := &t.Tokens[i]
		switch tok.Kind {
		case xmltape.Text, xmltape.CData:
			if name, ok := strings.CutPrefix(strings.TrimSpace(string(t.CharData(tok, nil))), Value); ok {
				return name
			}
		case xmltape.Start:
			for k := range int(tok.NAttr) {
				if name, ok := strings.CutPrefix(string(t.AttrValue(&t.Attrs[int(tok.Attr)+k], nil)), Value); ok {
					return name
				}
			}
		}
	}
	return ""
}

// byScenario is the fault that a scenario has for the content of a request.
func (s *Sandbox) byScenario(c *Call, e *envelopes.Envelope) (envelopes.FaultKind, string) {
	if e == nil || c.Operation != envelopes.SendRequest {
		return "", ""
	}
	content, test := contentOf(e)
	if !content.Valid() {
		return "", ""
	}
	for _, set := range s.o.Sets() {
		if set.Service.Request != scenario.Root(content) {
			continue
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		name := set.Service.Name + " " + set.Service.Version
		if s.counts[name] == nil {
			s.counts[name] = &scenario.State{}
		}
		one, kind, err := set.Refusal(scenario.Request{Content: content, MessageID: c.MessageID, Sender: string(c.Mnemonic), Test: test, Received: c.At}, s.counts[name])
		if err != nil {
			s.o.Log.Error("a scenario cannot be asked", "service", name, "error", err)
		}
		return kind, one
	}
	return "", ""
}

// contentOf finds the content of a request, and whether it is marked as a test.
func contentOf(e *envelopes.Envelope) (content xmltape.Node, test bool) {
	_, target := e.Caller()
	for n := range target.Children() {
		switch n.Local() {
		case "MessagePrimaryContent":
			content = n.First()
		case "TestMessage":
			test = true
		}
	}
	return content, test
}

// decode reads the base64 of a certificate.
func decode(text []byte) []byte {
	packed := strings.Join(strings.Fields(string(text)), "")
	der, err := base64.StdEncoding.DecodeString(packed)
	if err != nil {
		return nil
	}
	return der
}
