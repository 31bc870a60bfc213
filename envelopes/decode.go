package envelopes

import (
	"mezhved/envelopes/xmltape"
)

// DecodeSendRequest reads a SendRequest from SenderProvidedRequestData, which p
// proves, and from the unsigned parts beside it. The error is ErrNotProven or
// a *FormatError.
func DecodeSendRequest(e *Envelope, p Proven) (*SendRequestCall, error) {
	if err := e.admits(SendRequest, p); err != nil {
		return nil, err
	}
	return decodeSendRequest(e, p)
}

func decodeSendRequest(e *Envelope, p Proven) (*SendRequestCall, error) {
	r := newReader(e)
	types, basic := r.v.TypesSpace(), r.v.BasicSpace()
	out := &SendRequestCall{}

	call := r.sequence(e.call)
	out.Data = call.required(types, "SenderProvidedRequestData")
	contents := call.optional(basic, "AttachmentContentList")
	signature := call.optional(types, "CallerInformationSystemSignature")
	var routing xmltape.Node
	if r.v == V13 {
		routing = call.optional(RoutingSpace, "Routing")
	}
	call.end()
	if p.Element().Valid() {
		out.Data = p.Element()
	}

	r.requestData(out)
	out.Attachments = r.attachments(contents)
	out.Signature = r.signature(signature)
	out.Routing = r.routing(routing)
	return out, r.verdict()
}

// requestData reads SenderProvidedRequestData.
func (r *reader) requestData(out *SendRequestCall) {
	types, basic := r.v.TypesSpace(), r.v.BasicSpace()
	if d := r.sequence(out.Data, "Id"); !d.broken {
		out.ID = r.identifier(out.Data)
		out.MessageID = r.text(d.required(types, "MessageID"), 0)
		out.ReferenceMessageID = r.uuid(d.optional(types, "ReferenceMessageID"))
		out.TransactionCode = r.text(d.optional(types, "TransactionCode"), 1500)
		out.NodeID = r.text(d.optional(types, "NodeID"), 50)
		out.EOL = r.dateTime(d.optional(types, "EOL"), true)
		out.Content = r.content(d.required(basic, "MessagePrimaryContent"))
		out.PersonalSignature = r.signature(d.optional(types, "PersonalSignature"))
		out.Headers = r.headers(d.optional(basic, "AttachmentHeaderList"))
		out.References = r.references(d.optional(basic, "RefAttachmentHeaderList"))
		out.Process = d.optional(types, "BusinessProcessMetadata")
		r.process(out.Process)
		out.Test = r.empty(d.optional(types, "TestMessage"))
		d.end()
	}
}

// DecodeSendResponse reads a SendResponse from SenderProvidedResponseData, which
// p proves, and from the attachment contents beside it. The error is
// ErrNotProven or a *FormatError.
func DecodeSendResponse(e *Envelope, p Proven) (*SendResponseCall, error) {
	if err := e.admits(SendResponse, p); err != nil {
		return nil, err
	}
	return decodeSendResponse(e, p)
}

func decodeSendResponse(e *Envelope, p Proven) (*SendResponseCall, error) {
	r := newReader(e)
	types, basic := r.v.TypesSpace(), r.v.BasicSpace()
	out := &SendResponseCall{}

	call := r.sequence(e.call)
	out.Data = call.required(types, "SenderProvidedResponseData")
	contents := call.optional(basic, "AttachmentContentList")
	signature := call.optional(types, "CallerInformationSystemSignature")
	call.end()
	if p.Element().Valid() {
		out.Data = p.Element()
	}

	r.responseData(out)
	out.Attachments = r.attachments(contents)
	out.Signature = r.signature(signature)
	return out, r.verdict()
}

// responseData reads SenderProvidedResponseData.
func (r *reader) responseData(out *SendResponseCall) {
	if d := r.sequence(out.Data, "Id"); !d.broken {
		out.ID = r.identifier(out.Data)
		out.MessageID = r.text(d.required(r.v.TypesSpace(), "MessageID"), 0)
		out.To = r.text(d.required(r.v.TypesSpace(), "To"), 4000)
		r.answer(&d, out)
		d.end()
	}
}

// answer reads the choice in SenderProvidedResponseData. AsyncProcessingStatus
// is the bus's own branch: a participant who sends it is refused as if the
// schema did not have it.
func (r *reader) answer(d *seq, out *SendResponseCall) {
	types, basic := r.v.TypesSpace(), r.v.BasicSpace()
	if content := d.optional(basic, "MessagePrimaryContent"); content.Valid() {
		out.Content = r.content(content)
		out.PersonalSignature = r.signature(d.optional(types, "PersonalSignature"))
		out.Headers = r.headers(d.optional(basic, "AttachmentHeaderList"))
		out.References = r.references(d.optional(basic, "RefAttachmentHeaderList"))
		return
	}
	if rejected := d.optional(types, "RequestRejected"); rejected.Valid() {
		for ; rejected.Valid(); rejected = d.optional(types, "RequestRejected") {
			out.Rejections = append(out.Rejections, r.rejection(rejected))
		}
		return
	}
	if status := d.required(types, "RequestStatus"); status.Valid() {
		out.Status = r.requestStatus(status)
	}
}

func (r *reader) rejection(n xmltape.Node) Rejection {
	s := r.sequence(n)
	code := s.required(r.v.TypesSpace(), "RejectionReasonCode")
	out := Rejection{Code: RejectionCode(r.text(code, 0))}
	if code.Valid() && !out.Code.known() {
		r.value("cvc-enumeration-valid", code, string(out.Code), "ACCESS_DENIED, NO_DATA, UNKNOWN_REQUEST_DESCRIPTION, FAILURE")
	}
	out.Description = r.text(s.required(r.v.TypesSpace(), "RejectionReasonDescription"), 4000)
	s.end()
	return out
}

func (c RejectionCode) known() bool {
	for _, k := range RejectionCodes {
		if c == k {
			return true
		}
	}
	return false
}

func (r *reader) requestStatus(n xmltape.Node) *RequestStatus {
	types := r.v.TypesSpace()
	s := r.sequence(n)
	out := &RequestStatus{Code: r.integer(s.required(types, "StatusCode"))}
	for p := s.optional(types, "StatusParameter"); p.Valid(); p = s.optional(types, "StatusParameter") {
		kv := r.sequence(p)
		key := r.text(kv.required(types, "Key"), 0)
		value := r.text(kv.required(types, "Value"), 0)
		kv.end()
		out.Parameters = append(out.Parameters, StatusParameter{Key: key, Value: value})
	}
	out.Description = r.text(s.required(types, "StatusDescription"), 4000)
	s.end()
	return out
}

// content reads MessagePrimaryContent: exactly one element of a foreign
// namespace, whose inside is not this schema's business.
func (r *reader) content(n xmltape.Node) xmltape.Node {
	if !n.Valid() {
		return xmltape.Node{}
	}
	s := r.sequence(n)
	c := s.foreign(r.v.BasicSpace(), true)
	s.end()
	if c.Is(DirectiveSpace, "Registry") && r.v == V13 {
		r.registry(c)
	}
	return c
}

// process reads BusinessProcessMetadata: any elements of foreign namespaces.
func (r *reader) process(n xmltape.Node) {
	if !n.Valid() {
		return
	}
	s := r.sequence(n)
	for s.foreign(r.v.TypesSpace(), false).Valid() {
	}
	s.end()
}

func (r *reader) headers(n xmltape.Node) []AttachmentHeader {
	if !n.Valid() {
		return nil
	}
	basic := r.v.BasicSpace()
	list := r.sequence(n)
	var out []AttachmentHeader
	for h := list.required(basic, "AttachmentHeader"); h.Valid(); h = list.optional(basic, "AttachmentHeader") {
		s := r.sequence(h)
		var a AttachmentHeader
		a.ContentID = r.text(s.required(basic, "contentId"), 0)
		if r.v == V13 {
			a.NamespaceURI = r.collapsed(s.optional(basic, "NamespaceUri"))
		}
		a.MimeType = r.mimeType(s.required(basic, "MimeType"))
		a.PKCS7 = r.base64(s.optional(basic, "SignaturePKCS7"))
		if r.v == V13 {
			a.Archive = r.archive(s.optional(basic, "Archive"))
		}
		s.end()
		out = append(out, a)
	}
	list.end()
	return out
}

func (r *reader) references(n xmltape.Node) []AttachmentReference {
	if !n.Valid() {
		return nil
	}
	basic := r.v.BasicSpace()
	list := r.sequence(n)
	var out []AttachmentReference
	for h := list.required(basic, "RefAttachmentHeader"); h.Valid(); h = list.optional(basic, "RefAttachmentHeader") {
		s := r.sequence(h)
		var a AttachmentReference
		a.UUID = r.uuid(s.required(basic, "uuid"))
		if r.v == V13 {
			a.FileName = r.text(s.optional(basic, "FileName"), 0)
			a.NamespaceURI = r.collapsed(s.optional(basic, "NamespaceUri"))
		}
		a.Hash = r.base64(s.required(basic, "Hash"))
		a.MimeType = r.mimeType(s.required(basic, "MimeType"))
		a.PKCS7 = r.base64(s.optional(basic, "SignaturePKCS7"))
		if r.v == V13 {
			a.Archive = r.archive(s.optional(basic, "Archive"))
		}
		s.end()
		out = append(out, a)
	}
	list.end()
	return out
}

// listMost is the most records, files and routing values of one list (1.3).
const listMost = 1000

func (r *reader) archive(n xmltape.Node) []ArchiveFile {
	if !n.Valid() {
		return nil
	}
	basic := r.v.BasicSpace()
	s := r.sequence(n)
	var out []ArchiveFile
	for f := s.required(basic, "File"); f.Valid(); f = s.optional(basic, "File") {
		if len(out) == listMost {
			s.tooMany(f)
			break
		}
		kv := r.sequence(f)
		name := r.text(kv.required(basic, "Name"), 0)
		space := r.collapsed(kv.required(basic, "NamespaceUri"))
		kv.end()
		out = append(out, ArchiveFile{Name: name, NamespaceURI: space})
	}
	s.end()
	return out
}

func (r *reader) mimeType(n xmltape.Node) string {
	s := r.text(n, 0)
	if n.Valid() && !isMimeType(s) {
		r.value("cvc-pattern-valid", n, s, saysMimeType)
	}
	return s
}

// attachments reads AttachmentContentList; contents stand inline or in a part.
func (r *reader) attachments(n xmltape.Node) []Attachment {
	if !n.Valid() {
		return nil
	}
	basic := r.v.BasicSpace()
	list := r.sequence(n)
	var out []Attachment
	seen := map[string]bool{}
	for c := list.required(basic, "AttachmentContent"); c.Valid(); c = list.optional(basic, "AttachmentContent") {
		s := r.sequence(c)
		idNode := s.required(basic, "Id")
		a := Attachment{ID: r.collapsed(idNode)}
		if idNode.Valid() {
			if !isNCName(a.ID) {
				r.value("cvc-datatype-valid.1.2.1", idNode, a.ID, saysName)
			} else if seen[a.ID] {
				r.value("cvc-id.2", idNode, a.ID, saysUnique)
			}
			seen[a.ID] = true
		}
		a.Content = r.attached(s.required(basic, "Content"))
		s.end()
		out = append(out, a)
	}
	list.end()
	return out
}

// attached reads Content: base64, or xop:Include naming a MIME part.
func (r *reader) attached(n xmltape.Node) []byte {
	inc := n.First()
	if !inc.Is(XOPSpace, "Include") {
		return r.base64(n)
	}
	s := r.sequence(n, "contentType")
	s.required(XOPSpace, "Include")
	s.end()
	r.attributes(inc, "href")
	href, _ := inc.Attr("", "href")
	p, ok := byReference(r.e.parts, href)
	if !ok {
		off, _ := inc.Range()
		r.wrong("xop-include", inc, off, quote(href), saysPart)
		return nil
	}
	return p.data
}

// DecodePoll reads a GetRequest or GetResponse from MessageTypeSelector, which p
// proves. A selector with empty elements selects everything, as if it had none.
func DecodePoll(e *Envelope, p Proven) (*PollCall, error) {
	op := e.operation
	if op != GetResponse {
		op = GetRequest
	}
	if err := e.admits(op, p); err != nil {
		return nil, err
	}
	return decodePoll(e, p)
}

func decodePoll(e *Envelope, p Proven) (*PollCall, error) {
	r := newReader(e)
	basic := r.v.BasicSpace()
	out := &PollCall{Operation: e.operation}
	selector := r.signedCall(basic, "MessageTypeSelector", p, &out.Signature)
	if s := r.sequence(selector, "Id"); !s.broken {
		out.ID = r.identifier(selector)
		space := s.optional(basic, "NamespaceURI")
		local := s.optional(basic, "RootElementLocalName")
		out.Root = Name{r.collapsed(space), r.collapsed(local)}
		out.Timestamp, out.Zoneless = r.moment(s.required(basic, "Timestamp"))
		out.NodeID = r.text(s.optional(basic, "NodeID"), 50)
		s.end()
		if (out.Root.Space == "") != (out.Root.Local == "") {
			off, _ := selector.Range()
			r.wrong("cvc-complex-type.2.4.b", selector, off, quote(out.Root.String()), saysSelector)
		}
		if out.Root.Local != "" && !isNCName(out.Root.Local) {
			r.value("cvc-datatype-valid.1.2.1", local, out.Root.Local, saysName)
		}
	}
	return out, r.verdict()
}

// signedCall reads the children of a call that consists of one signed element
// and the signature.
func (r *reader) signedCall(space, local string, p Proven, signature *xmltape.Node) xmltape.Node {
	call := r.sequence(r.e.call)
	n := call.required(space, local)
	wrapper := call.optional(r.v.TypesSpace(), "CallerInformationSystemSignature")
	call.end()
	*signature = r.signature(wrapper)
	if p.Element().Valid() {
		return p.Element()
	}
	return n
}

// DecodeGetStatus reads a GetStatus from Timestamp, which p proves.
func DecodeGetStatus(e *Envelope, p Proven) (*GetStatusCall, error) {
	if err := e.admits(GetStatus, p); err != nil {
		return nil, err
	}
	return decodeGetStatus(e, p)
}

func decodeGetStatus(e *Envelope, p Proven) (*GetStatusCall, error) {
	r := newReader(e)
	out := &GetStatusCall{}
	n := r.signedCall(r.v.BasicSpace(), "Timestamp", p, &out.Signature)
	out.Timestamp, out.Zoneless = r.moment(n, "Id")
	out.ID = r.identifier(n)
	return out, r.verdict()
}

// DecodeAck reads an Ack from AckTargetMessage, which p proves.
func DecodeAck(e *Envelope, p Proven) (*AckCall, error) {
	if err := e.admits(Ack, p); err != nil {
		return nil, err
	}
	return decodeAck(e, p)
}

func decodeAck(e *Envelope, p Proven) (*AckCall, error) {
	r := newReader(e)
	out := &AckCall{Accepted: true}
	n := r.signedCall(r.v.BasicSpace(), "AckTargetMessage", p, &out.Signature)
	if n.Valid() {
		out.MessageID = r.collapsed(n, "Id", "accepted")
		out.ID = r.identifier(n)
		off, _ := n.Range()
		if out.ID == "" {
			r.wrong("cvc-complex-type.4", n, off, saysMissing+"«Id»", saysAttribute+"«Id»")
		}
		if s, ok := n.Attr("", "accepted"); ok {
			out.Accepted = r.boolean(n, s)
		} else if r.v == V11 {
			r.wrong("cvc-complex-type.4", n, off, saysMissing+"«accepted»", saysAttribute+"«accepted»")
		}
	}
	return out, r.verdict()
}

// DecodeStatistics reads a GetIncomingQueueStatistics from Timestamp, which p
// proves, and the unsigned NodeID before it.
func DecodeStatistics(e *Envelope, p Proven) (*StatisticsCall, error) {
	if err := e.admits(GetIncomingQueueStatistics, p); err != nil {
		return nil, err
	}
	return decodeStatistics(e, p)
}

func decodeStatistics(e *Envelope, p Proven) (*StatisticsCall, error) {
	r := newReader(e)
	out := &StatisticsCall{}
	call := r.sequence(e.call)
	out.NodeID = r.text(call.optional(r.v.TypesSpace(), "NodeID"), 50)
	n := call.required(r.v.BasicSpace(), "Timestamp")
	out.Signature = r.signature(call.optional(r.v.TypesSpace(), "CallerInformationSystemSignature"))
	call.end()
	if p.Element().Valid() {
		n = p.Element()
	}
	out.Timestamp, out.Zoneless = r.moment(n, "Id")
	out.ID = r.identifier(n)
	return out, r.verdict()
}
