package envelopes

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mezhved/envelopes/xmltape"
)

// AnswerEnvelope is a received answer of a bus that nobody has verified.
type AnswerEnvelope struct {
	version   Version
	operation Operation
	tape      *xmltape.Tape
	answer    xmltape.Node // the child of Body
	fault     *Fault
	parts     []part
}

// Version is the version in which the answer is written; zero for a fault of
// SOAP itself.
func (a *AnswerEnvelope) Version() Version { return a.version }

// Operation is the operation that is answered; zero for a fault.
func (a *AnswerEnvelope) Operation() Operation { return a.operation }

// Fault is the fault, or nil. Faults are not signed. A fault of SOAP itself has
// no Kind.
func (a *AnswerEnvelope) Fault() *Fault { return a.fault }

// Bytes is the SOAP envelope as received (the root part of a multipart body).
func (a *AnswerEnvelope) Bytes() []byte { return a.tape.Source() }

// ParseAnswer reads the HTTP body of an answer onto the tape. It is as strict
// as Parse about XML and MIME and forgiving about the schema: a client reads
// what a bus sends. The error is a *ParseError or an *xmltape.Error.
func ParseAnswer(contentType string, body []byte, tape *xmltape.Tape, lim Limits) (*AnswerEnvelope, error) {
	e := &Envelope{tape: tape}
	child, err := e.read(contentType, body, lim)
	if err != nil {
		return nil, err
	}
	a := &AnswerEnvelope{tape: tape, answer: child, parts: e.parts}
	if child.Is(SOAPSpace, "Fault") {
		a.readFault(child)
		return a, nil
	}
	v, ok := bySpace(child.Space())
	name, isAnswer := strings.CutSuffix(child.Local(), "Response")
	op, known := OperationOf(name)
	if !ok || !isAnswer || !known || !op.In(v) {
		off, _ := child.Range()
		return nil, refuse(tape, off, ParseUnknown, "%s is no answer of the exchange service", quoteName(child))
	}
	a.version, a.operation = v, op
	return a, nil
}

func (a *AnswerEnvelope) readFault(n xmltape.Node) {
	a.fault = &Fault{Text: n.Child("", "faultstring").TrimText()}
	f := a.fault
	d := n.Child("", "detail").First()
	if !d.Valid() {
		f.Code = n.Child("", "faultcode").TrimText()
		return
	}
	for _, v := range Versions {
		if d.Space() == v.FaultsSpace() {
			a.version = v
		}
	}
	if a.version == 0 {
		f.Code = n.Child("", "faultcode").TrimText()
		return
	}
	f.Kind = FaultKind(d.Local())
	f.readInside(d, a.version)
}

// readInside reads the children of a fault's element.
func (f *Fault) readInside(d xmltape.Node, v Version) {
	number := func(n xmltape.Node) int64 {
		i, _ := strconv.ParseInt(n.TrimText(), 10, 64)
		return i
	}
	for c := range d.Children() {
		switch c.Local() {
		case "Code":
			f.Code = c.TrimText()
		case "Description":
			f.Description = c.TrimText()
		case "ValidationError":
			pos, _ := c.Attr("", "errorPosition")
			at, err := strconv.Atoi(strings.TrimSpace(pos))
			if err != nil {
				at = -1
			}
			f.Validation = append(f.Validation, ValidationError{Position: at, Text: string(c.Text())})
		case "RootElementLocalName":
			f.Root.Local = c.TrimText()
		case "RootElementNamespaceURI":
			f.Root.Space = c.TrimText()
		case "SignatureVerificationFault":
			f.Signature = SignatureFault(c.TrimText())
		case "PermittedTotalAttachmentSize", "RemainedTotalQuoteSize":
			f.Permitted = number(c)
		case "RealTotalAttachmentSize":
			f.Real = number(c)
		case "MessageBrokerAddress":
			f.Broker = c.TrimText()
		case "DestinationName":
			f.Destination = c.TrimText()
		}
	}
}

// message is the element that carries the one message of a Get answer.
func (a *AnswerEnvelope) message() xmltape.Node {
	types := a.version.TypesSpace()
	switch a.operation {
	case GetRequest:
		return a.answer.Child(types, "RequestMessage")
	case GetResponse:
		return a.answer.Child(types, "ResponseMessage")
	case GetStatus:
		return a.answer.Child(types, "SmevAsyncProcessingMessage")
	}
	return xmltape.Node{}
}

// Empty reports that a queue had nothing to give.
func (a *AnswerEnvelope) Empty() bool {
	switch a.operation {
	case GetRequest, GetResponse, GetStatus:
		return !a.message().Valid()
	}
	return false
}

// Signed gives, by position, the ds:Signature of the bus and the element that
// it must cover. Both are invalid where the bus signs nothing: faults, empty
// queues, Ack, statistics. The signature alone is invalid when the bus left it out.
func (a *AnswerEnvelope) Signed() (signature, target xmltape.Node) {
	types := a.version.TypesSpace()
	holder, want := a.message(), ""
	switch a.operation {
	case SendRequest, SendResponse:
		holder, want = a.answer, "MessageMetadata"
	case GetRequest:
		want = "Request"
	case GetResponse:
		want = "Response"
	case GetStatus:
		want = "AsyncProcessingStatusData"
	}
	target = holder.First()
	if !target.Is(types, want) {
		return xmltape.Node{}, xmltape.Node{}
	}
	for c := target.Next(); c.Valid(); c = c.Next() {
		if c.Is(types, "SMEVSignature") {
			if s := c.First(); s.Is(DSigSpace, "Signature") && !s.Next().Valid() && !c.Next().Valid() {
				signature = s
			}
			break
		}
	}
	return signature, target
}

// SenderSigned gives, inside a delivered Request or Response that p proves, the
// sender's own ds:Signature and the element that it must cover.
func (a *AnswerEnvelope) SenderSigned(p Proven) (signature, target xmltape.Node) {
	types := a.version.TypesSpace()
	if a.admits(p) != nil {
		return xmltape.Node{}, xmltape.Node{}
	}
	wrapper := p.Element().Child(types, "SenderInformationSystemSignature")
	if s := wrapper.First(); s.Is(DSigSpace, "Signature") && !s.Next().Valid() {
		signature = s
	}
	return signature, a.data(p.Element())
}

func (a *AnswerEnvelope) data(carrier xmltape.Node) xmltape.Node {
	if a.operation == GetRequest {
		return carrier.Child(a.version.TypesSpace(), "SenderProvidedRequestData")
	}
	return carrier.Child(a.version.TypesSpace(), "SenderProvidedResponseData")
}

func (a *AnswerEnvelope) admits(p Proven) error {
	_, target := a.Signed()
	if !target.Valid() || p.Element() != target {
		return ErrNotProven
	}
	return nil
}

// DecodeReceipt reads the metadata that SendRequest and SendResponse answer.
func DecodeReceipt(a *AnswerEnvelope, p Proven) (*Metadata, error) {
	if err := a.admits(p); err != nil {
		return nil, err
	}
	if a.operation != SendRequest && a.operation != SendResponse {
		return nil, fmt.Errorf("the answer to %s is no receipt", a.operation)
	}
	m := a.metadata(p.Element())
	return &m, nil
}

func (a *AnswerEnvelope) metadata(n xmltape.Node) Metadata {
	types := a.version.TypesSpace()
	who := func(n xmltape.Node) Participant {
		return Participant{Mnemonic: n.Child(types, "Mnemonic").TrimText(), Name: n.Child(types, "HumanReadableName").TrimText()}
	}
	id, _ := n.Attr("", "Id")
	return Metadata{
		ID:          id,
		MessageID:   n.Child(types, "MessageId").TrimText(),
		Type:        MessageType(n.Child(types, "MessageType").TrimText()),
		Sender:      who(n.Child(types, "Sender")),
		Sent:        readTime(n.Child(types, "SendingTimestamp")),
		Recipient:   who(n.Child(types, "Recipient")),
		Delivered:   readTime(n.Child(types, "DeliveryTimestamp")),
		Status:      Status(n.Child(types, "Status").TrimText()),
		Destination: n.Child(types, "DestinationName").TrimText(),
	}
}

func readTime(n xmltape.Node) time.Time {
	t, _, _ := parseDateTime(n.TrimText())
	return t
}

// Delivered is a message that a Get handed out. Its nodes belong to the tape of
// the answer.
type Delivered struct {
	Metadata Metadata // MessageID is the value to acknowledge
	Request  *SendRequestCall
	Response *SendResponseCall // Content, Rejections and Status are all absent when Async is there
	Async    *AsyncStatus      // the bus rejected the request of this thread

	OriginalMessageID       string
	OriginalTransactionCode string
	ReferenceMessageID      string
	ReplyTo                 string
	Files                   []FSAttachment
	Attachments             []Attachment // outside the signatures: trust only what the headers vouch for
}

// DecodeDelivery reads the message in the answer to GetRequest or GetResponse
// from Request or Response, which p proves.
func DecodeDelivery(a *AnswerEnvelope, p Proven) (*Delivered, error) {
	if err := a.admits(p); err != nil {
		return nil, err
	}
	if a.operation != GetRequest && a.operation != GetResponse {
		return nil, fmt.Errorf("the answer to %s carries no message", a.operation)
	}
	types, basic := a.version.TypesSpace(), a.version.BasicSpace()
	n := p.Element()
	data := a.data(n)
	if !data.Valid() {
		return nil, fmt.Errorf("the delivered %s carries no sender's data", n.Local())
	}
	out := &Delivered{
		Metadata:                a.metadata(n.Child(types, "MessageMetadata")),
		OriginalMessageID:       n.Child(types, "OriginalMessageId").TrimText(),
		OriginalTransactionCode: n.Child(types, "OriginalTransactionCode").TrimText(),
		ReferenceMessageID:      n.Child(types, "ReferenceMessageID").TrimText(),
		ReplyTo:                 string(n.Child(types, "ReplyTo").Text()),
	}
	out.Metadata.MessageID = a.messageID(n)
	for f := range n.Child(basic, "FSAttachmentsList").Children() {
		get := func(local string) string { return f.Child(basic, local).TrimText() }
		out.Files = append(out.Files, FSAttachment{UUID: get("uuid"), UserName: get("UserName"), Password: get("Password"), FileName: get("FileName")})
	}
	var err error
	if out.Attachments, err = a.attachments(a.message().Child(basic, "AttachmentContentList")); err != nil {
		return nil, err
	}
	signature, _ := a.SenderSigned(p)
	if a.operation == GetRequest {
		out.Request = a.request(data)
		out.Request.Signature, out.Request.Attachments = signature, out.Attachments
		return out, nil
	}
	out.Response = a.response(data)
	out.Response.Signature, out.Response.Attachments = signature, out.Attachments
	if s := data.Child(types, "AsyncProcessingStatus"); s.Valid() {
		out.Async = a.async(s)
	}
	return out, nil
}

// messageID is the value to acknowledge of what a Request or Response hands out.
func (a *AnswerEnvelope) messageID(n xmltape.Node) string {
	types := a.version.TypesSpace()
	if id := n.Child(types, "MessageMetadata").Child(types, "MessageId").TrimText(); id != "" {
		return id
	}
	return a.data(n).Child(types, "MessageID").TrimText()
}

func (a *AnswerEnvelope) request(d xmltape.Node) *SendRequestCall {
	types, basic := a.version.TypesSpace(), a.version.BasicSpace()
	id, _ := d.Attr("", "Id")
	return &SendRequestCall{
		ID:                 id,
		MessageID:          d.Child(types, "MessageID").TrimText(),
		ReferenceMessageID: d.Child(types, "ReferenceMessageID").TrimText(),
		TransactionCode:    string(d.Child(types, "TransactionCode").Text()),
		NodeID:             string(d.Child(types, "NodeID").Text()),
		EOL:                readTime(d.Child(types, "EOL")),
		Content:            d.Child(basic, "MessagePrimaryContent").First(),
		PersonalSignature:  d.Child(types, "PersonalSignature").First(),
		Headers:            a.headers(d),
		References:         a.references(d),
		Process:            d.Child(types, "BusinessProcessMetadata"),
		Test:               d.Child(types, "TestMessage").Valid(),
		Data:               d,
	}
}

func (a *AnswerEnvelope) response(d xmltape.Node) *SendResponseCall {
	types, basic := a.version.TypesSpace(), a.version.BasicSpace()
	id, _ := d.Attr("", "Id")
	out := &SendResponseCall{
		ID:                id,
		MessageID:         d.Child(types, "MessageID").TrimText(),
		To:                string(d.Child(types, "To").Text()),
		Content:           d.Child(basic, "MessagePrimaryContent").First(),
		PersonalSignature: d.Child(types, "PersonalSignature").First(),
		Headers:           a.headers(d),
		References:        a.references(d),
		Data:              d,
	}
	for c := range d.Children() {
		switch {
		case c.Is(types, "RequestRejected"):
			out.Rejections = append(out.Rejections, Rejection{
				Code:        RejectionCode(c.Child(types, "RejectionReasonCode").TrimText()),
				Description: string(c.Child(types, "RejectionReasonDescription").Text()),
			})
		case c.Is(types, "RequestStatus"):
			code, _ := strconv.Atoi(c.Child(types, "StatusCode").TrimText())
			out.Status = &RequestStatus{Code: code, Description: string(c.Child(types, "StatusDescription").Text())}
			for p := range c.Children() {
				if p.Is(types, "StatusParameter") {
					out.Status.Parameters = append(out.Status.Parameters,
						StatusParameter{Key: string(p.Child(types, "Key").Text()), Value: string(p.Child(types, "Value").Text())})
				}
			}
		}
	}
	return out
}

// headers and references read the lists of a delivered message with the strict
// reader and keep what it could read.
func (a *AnswerEnvelope) headers(d xmltape.Node) []AttachmentHeader {
	return a.lenient().headers(d.Child(a.version.BasicSpace(), "AttachmentHeaderList"))
}

func (a *AnswerEnvelope) references(d xmltape.Node) []AttachmentReference {
	return a.lenient().references(d.Child(a.version.BasicSpace(), "RefAttachmentHeaderList"))
}

func (a *AnswerEnvelope) lenient() *reader {
	return newReader(&Envelope{version: a.version, operation: a.operation, tape: a.tape, parts: a.parts})
}

func (a *AnswerEnvelope) attachments(n xmltape.Node) ([]Attachment, error) {
	r := a.lenient()
	list := r.attachments(n)
	return list, r.verdict()
}

func (a *AnswerEnvelope) async(n xmltape.Node) *AsyncStatus {
	types := a.version.TypesSpace()
	out := &AsyncStatus{
		OriginalMessageID: n.Child(types, "OriginalMessageId").TrimText(),
		Category:          Status(n.Child(types, "StatusCategory").TrimText()),
		Details:           string(n.Child(types, "StatusDetails").Text()),
	}
	if f := n.Child(types, "SmevFault"); f.Valid() {
		out.Fault = &Fault{Text: out.Details}
		if name, ok := f.Attr(XSISpace, "type"); ok {
			_, local, cut := strings.Cut(strings.TrimSpace(name), ":")
			if !cut {
				local = name
			}
			if kind := FaultKind(local); slices.Contains(FaultKinds(V13), kind) {
				out.Fault.Kind = kind
			}
		}
		out.Fault.readInside(f, a.version)
	}
	return out
}

// DecodeStatusMessage reads the message in the answer to GetStatus from
// AsyncProcessingStatusData, which p proves.
func DecodeStatusMessage(a *AnswerEnvelope, p Proven) (*AsyncStatus, error) {
	if err := a.admits(p); err != nil {
		return nil, err
	}
	if a.operation != GetStatus {
		return nil, fmt.Errorf("the answer to %s carries no status message", a.operation)
	}
	return a.async(p.Element().Child(a.version.TypesSpace(), "AsyncProcessingStatus")), nil
}

// DecodeQueueStatistics reads the answer to GetIncomingQueueStatistics, which
// the bus does not sign.
func DecodeQueueStatistics(a *AnswerEnvelope) ([]QueueStatistics, error) {
	if a.operation != GetIncomingQueueStatistics {
		return nil, fmt.Errorf("the answer to %s carries no statistics", a.operation)
	}
	var out []QueueStatistics
	for c := range a.answer.Children() {
		name, _ := c.Attr("", "queueName")
		pending, _ := c.Attr("", "pendingMessageNumber")
		n, err := strconv.ParseInt(strings.TrimSpace(pending), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("the depth %s of queue %s is no number", quote(pending), quote(name))
		}
		out = append(out, QueueStatistics{Name: name, Pending: n})
	}
	return out, nil
}
