package envelopes

import (
	"fmt"

	"mezhved/envelopes/xmltape"
)

// Translate writes a stored SenderProvidedRequestData or SenderProvidedResponseData
// in another version of the schemas, for a reader who does not speak the
// sender's. The sender's signature does not survive it: the caller leaves
// SenderInformationSystemSignature out. The business content and the official's
// signature over it stay byte for byte, in the namespace context in which they
// were written. Fields that the other version does not have are dropped.
func Translate(f Fragment, from, to Version) (Fragment, error) {
	data, err := f.parse()
	if err != nil {
		return Fragment{}, fmt.Errorf("a stored message of version %s: %w", from, err)
	}
	r := newReader(&Envelope{version: from, tape: data.Tape()})
	force := inForce{{Prefix: callTypes, URI: to.TypesSpace()}, {Prefix: callBasic, URI: to.BasicSpace()}}
	out := Fragment{Scope: force}
	w := newWriter(to, len(data.Bytes())+1024)
	switch types := from.TypesSpace(); {
	case data.Is(types, "SenderProvidedRequestData"):
		r.e.operation = SendRequest
		c := &SendRequestCall{Data: data}
		r.requestData(c)
		w.requestData(force, c, c.ID)
	case data.Is(types, "SenderProvidedResponseData") && data.Child(types, "AsyncProcessingStatus").Valid():
		a := &AnswerEnvelope{version: from, operation: GetResponse, tape: data.Tape()}
		c := a.response(data)
		return BuildAsyncData(to, AsyncMessage{ID: c.ID, MessageID: c.MessageID, To: c.To, AsyncStatus: *a.async(data.Child(types, "AsyncProcessingStatus"))}), nil
	case data.Is(types, "SenderProvidedResponseData"):
		r.e.operation = SendResponse
		c := &SendResponseCall{Data: data}
		r.responseData(c)
		w.responseData(force, c, c.ID)
	default:
		return Fragment{}, fmt.Errorf("%s is no message of version %s", quoteName(data), from)
	}
	out.XML = w.b
	return out, r.verdict()
}

// parse reads a fragment in the namespace context in which it was written.
func (f Fragment) parse() (xmltape.Node, error) {
	w := newWriter(0, len(f.XML)+1024)
	w.raw("<x")
	w.declare(nil, "", "", f.Scope)
	w.raw(">")
	w.b = append(w.b, f.XML...)
	w.raw("</x>")
	t := new(xmltape.Tape)
	if err := t.Parse(w.b, xmltape.Widest); err != nil {
		return xmltape.Node{}, err
	}
	return t.Root().First(), nil
}
