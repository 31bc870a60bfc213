package envelopes

import (
	"slices"
	"strconv"
)

// FaultKind is the local name of a fault's element in the faults namespace.
// Clients generate one exception per kind: the name is the contract.
type FaultKind string

// The faults.
const (
	BusinessDataTypeIsNotSupported   FaultKind = "BusinessDataTypeIsNotSupported"
	InvalidContent                   FaultKind = "InvalidContent"
	UnknownMessageType               FaultKind = "UnknownMessageType"
	TransactionCodeInvalid           FaultKind = "TransactionCodeInvalid"
	MessageIsAlreadySent             FaultKind = "MessageIsAlreadySent"
	InvalidMessageIdFormat           FaultKind = "InvalidMessageIdFormat"
	StaleMessageId                   FaultKind = "StaleMessageId"
	AttachmentContentMiscoordination FaultKind = "AttachmentContentMiscoordination"
	AttachmentSizeLimitExceeded      FaultKind = "AttachmentSizeLimitExceeded"
	QuoteLimitExceeded               FaultKind = "QuoteLimitExceeded"
	AccessDenied                     FaultKind = "AccessDenied"
	PersonalAccessDenied             FaultKind = "PersonalAccessDenied" // 1.3
	SignatureVerificationFault       FaultKind = "SignatureVerificationFault"
	SMEVFailure                      FaultKind = "SMEVFailure"
	IncorrectResponseContentType     FaultKind = "IncorrectResponseContentType"
	RecipientIsNotFound              FaultKind = "RecipientIsNotFound"
	SenderIsNotRegistered            FaultKind = "SenderIsNotRegistered"
	RequestIsNotFound                FaultKind = "RequestIsNotFound" // declared by the schema, raised by no operation
	TargetMessageIsNotFound          FaultKind = "TargetMessageIsNotFound"
	DestinationOverflow              FaultKind = "DestinationOverflow"
	EndOfLifeReached                 FaultKind = "EndOfLifeReached"
)

// content is the shape of a fault's element.
type content uint8

const (
	void      content = iota // b:Void by the schema; Code and Description come by xsi:type="SmevFault"
	smevFault                // b:SmevFault: Code, Description
	typed                    // extends b:SmevFault with elements of its own
)

type faultRow struct {
	kind    FaultKind
	content content
	number  int // NNN of the text prefix SMEV-NNN; the hundreds are the family
	raised  map[Operation]bool
	only13  bool
}

func ops(list ...Operation) map[Operation]bool {
	m := map[Operation]bool{}
	for _, o := range list {
		m[o] = true
	}
	return m
}

var (
	everywhere = ops(Operations...)
	sends      = ops(SendRequest, SendResponse)
	gets       = ops(GetRequest, GetResponse, GetStatus)
)

// faultTable is the matrix of the WSDL: which operation may raise what, and the
// number in the text. Numbers that the live bus was seen to use are 100, 201,
// 300, 301, 403, 501 and 600; the others are ours, in the family of their kind:
// 1xx signatures and rights, 2xx attachments, 3xx message ids, 4xx content,
// 5xx delivery, 6xx queues, 9xx the bus itself.
var faultTable = []faultRow{
	{kind: InvalidContent, content: typed, number: 403, raised: everywhere},
	{kind: SignatureVerificationFault, content: typed, number: 100, raised: everywhere},
	{kind: SenderIsNotRegistered, number: 101, raised: everywhere},
	{kind: SMEVFailure, number: 900, raised: everywhere},
	{kind: BusinessDataTypeIsNotSupported, content: typed, number: 401, raised: sends},
	{kind: AttachmentContentMiscoordination, number: 201, raised: sends},
	{kind: AttachmentSizeLimitExceeded, content: typed, number: 202, raised: sends},
	{kind: QuoteLimitExceeded, content: typed, number: 203, raised: sends},
	{kind: RecipientIsNotFound, number: 502, raised: sends},
	{kind: DestinationOverflow, content: typed, number: 600, raised: sends},
	{kind: MessageIsAlreadySent, number: 301, raised: sends},
	{kind: InvalidMessageIdFormat, number: 300, raised: sends},
	{kind: StaleMessageId, number: 302, raised: sends},
	{kind: TransactionCodeInvalid, content: smevFault, number: 404, raised: ops(SendRequest)},
	{kind: AccessDenied, number: 102, raised: ops(SendRequest)},
	{kind: EndOfLifeReached, number: 303, raised: ops(SendRequest)},
	{kind: PersonalAccessDenied, content: smevFault, number: 103, raised: ops(SendRequest), only13: true},
	{kind: IncorrectResponseContentType, number: 402, raised: ops(SendResponse)},
	{kind: UnknownMessageType, number: 601, raised: gets},
	{kind: TargetMessageIsNotFound, number: 501, raised: ops(Ack)},
	{kind: RequestIsNotFound, number: 503},
}

func faultInfo(k FaultKind) *faultRow {
	for i := range faultTable {
		if faultTable[i].kind == k {
			return &faultTable[i]
		}
	}
	return nil
}

// FaultKinds lists the faults that a version's schema declares.
func FaultKinds(v Version) []FaultKind {
	var out []FaultKind
	for _, r := range faultTable {
		if !r.only13 || v == V13 {
			out = append(out, r.kind)
		}
	}
	return out
}

// Declared reports whether the WSDL lets an operation raise a fault. What is
// not declared must be answered as SMEVFailure.
func Declared(v Version, op Operation, k FaultKind) bool {
	r := faultInfo(k)
	return r != nil && op.In(v) && r.raised[op] && (!r.only13 || v == V13)
}

// Number is NNN in the text prefix SMEV-NNN of a fault.
func (k FaultKind) Number() int {
	if r := faultInfo(k); r != nil {
		return r.number
	}
	return 0
}

// SignatureFault is the content of SignatureVerificationFault.
type SignatureFault string

// The reasons of a SignatureVerificationFault.
const (
	PoorSOAPEnvelopeFormat   SignatureFault = "PoorSOAPEnvelopeFormat"
	NoSignatureFound         SignatureFault = "NoSignatureFound"
	IncorrectSignatureTarget SignatureFault = "IncorrectSignatureTarget"
	SignatureIsInvalid       SignatureFault = "SignatureIsInvalid"
	CertificateIsNotFound    SignatureFault = "CertificateIsNotFound"
	CertificateIsExpired     SignatureFault = "CertificateIsExpired"
)

// SignatureFaults lists the reasons of a SignatureVerificationFault.
var SignatureFaults = []SignatureFault{
	PoorSOAPEnvelopeFormat, NoSignatureFound, IncorrectSignatureTarget, SignatureIsInvalid, CertificateIsNotFound, CertificateIsExpired,
}

// ValidationError is one finding of an InvalidContent fault. Position is the
// offset in the envelope, -1 when there is none.
type ValidationError struct {
	Position int
	Text     string
}

// Fault is a refusal in the protocol's words. Text becomes faultstring and,
// with the prefix SMEV-NNN, Description. The fields below Text matter to the
// kinds that their comments name.
type Fault struct {
	Kind FaultKind
	Code string // opaque to clients
	Text string // Russian

	Validation  []ValidationError // InvalidContent
	Root        Name              // BusinessDataTypeIsNotSupported
	Signature   SignatureFault    // SignatureVerificationFault
	Permitted   int64             // AttachmentSizeLimitExceeded: permitted; QuoteLimitExceeded: remaining, in bytes
	Real        int64             // both: the real total, in bytes
	Broker      string            // DestinationOverflow: MessageBrokerAddress
	Destination string            // DestinationOverflow: DestinationName

	Description string // received faults: Description as written; Build makes it of Text when empty
}

// Error makes a received fault an error.
func (f *Fault) Error() string {
	s := string(f.Kind)
	if f.Signature != "" {
		s += "/" + string(f.Signature)
	}
	text := f.Description
	if text == "" {
		text = f.Text
	}
	if text != "" {
		s += ": " + text
	}
	for _, v := range f.Validation {
		s += "; " + v.Text
	}
	return s
}

func (f *Fault) description() string {
	if f.Description != "" || f.Text == "" {
		return f.Description
	}
	return "SMEV-" + strconv.Itoa(f.Kind.Number()) + ":" + f.Text
}

// Build writes the SOAP envelope with the fault; it goes out with HTTP status
// 500. PersonalAccessDenied, which only 1.3 has, is written as AccessDenied in
// the other versions; a kind that the schema does not have as SMEVFailure.
func (f *Fault) Build(v Version) []byte {
	w := newWriter(v, 1024)
	w.envelope()
	w.raw(`<soap:Fault><faultcode>soap:Server</faultcode><faultstring>`)
	w.text(f.Text)
	w.raw(`</faultstring><detail>`)
	f.element(w)
	w.raw(`</detail></soap:Fault></soap:Body></soap:Envelope>`)
	return w.b
}

// element writes the detail element, with the namespaces of an answer.
func (f *Fault) element(w *writer) {
	kind := f.Kind
	if w.v != V13 && kind == PersonalAccessDenied {
		kind = AccessDenied
	}
	row := faultInfo(kind)
	if row == nil {
		kind = SMEVFailure
		row = faultInfo(kind)
	}
	shape := row.content
	w.raw("<ns3:")
	w.raw(string(kind))
	w.answerSpaces()
	if w.v == V13 && kind == EndOfLifeReached {
		shape = smevFault
	}
	if shape == void && (f.Code != "" || f.description() != "") {
		w.raw(` xmlns:xsi="` + XSISpace + `" xsi:type="SmevFault"`)
	}
	w.raw(">")
	f.inside(w, kind)
	w.raw("</ns3:")
	w.raw(string(kind))
	w.raw(">")
}

// inside writes Code, Description and what the kind adds; default namespace
// basic and ns3 are in scope.
func (f *Fault) inside(w *writer, kind FaultKind) {
	codeMost := 50
	if w.v == V13 {
		codeMost = 100
	}
	w.leafIf("Code", cut(f.Code, codeMost))
	w.leafIf("Description", f.description())
	switch kind {
	case InvalidContent:
		for _, e := range f.Validation {
			w.raw(`<ns3:ValidationError errorPosition="`)
			w.raw(strconv.Itoa(e.Position))
			w.raw(`">`)
			w.text(e.Text)
			w.raw(`</ns3:ValidationError>`)
		}
	case BusinessDataTypeIsNotSupported:
		w.leaf("ns3:RootElementLocalName", f.Root.Local)
		w.leaf("ns3:RootElementNamespaceURI", f.Root.Space)
	case SignatureVerificationFault:
		reason := f.Signature
		if !slices.Contains(SignatureFaults, reason) {
			reason = SignatureIsInvalid
		}
		w.leaf("ns3:SignatureVerificationFault", string(reason))
	case AttachmentSizeLimitExceeded:
		w.leaf("ns3:PermittedTotalAttachmentSize", strconv.FormatInt(f.Permitted, 10))
		w.leaf("ns3:RealTotalAttachmentSize", strconv.FormatInt(f.Real, 10))
	case QuoteLimitExceeded:
		w.leaf("ns3:RemainedTotalQuoteSize", strconv.FormatInt(f.Permitted, 10))
		w.leaf("ns3:RealTotalAttachmentSize", strconv.FormatInt(f.Real, 10))
	case DestinationOverflow:
		w.leaf("ns3:MessageBrokerAddress", or(f.Broker, "unknown"))
		w.leaf("ns3:DestinationName", or(f.Destination, "unknown"))
	}
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
