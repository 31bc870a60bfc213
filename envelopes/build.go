package envelopes

import (
	"encoding/base64"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"mezhved/envelopes/xmltape"
)

// bySMEV is the Id that the live bus gives to what it signs.
const bySMEV = "SIGNED_BY_SMEV"

// carrierSize is about what stands round the sender's element and signature:
// declarations, metadata, a reply address.
const carrierSize = 2 << 10

// openAnswer opens the envelope and the answer element of an operation.
func openAnswer(v Version, op Operation, size int) *writer {
	w := &writer{v: v, room: rooms.Get().(*[]byte)}
	w.b = slices.Grow((*w.room)[:0], size+1024)
	w.envelope()
	w.raw("<ns2:")
	w.raw(op.answerElement())
	w.answerSpaces()
	w.raw(">")
	return w
}

func (w *writer) closeAnswer(op Operation) {
	w.raw("</ns2:")
	w.raw(op.answerElement())
	w.raw("></soap:Body></soap:Envelope>")
}

// slot writes the signature's wrapper and gives the place inside it.
func (w *writer) slot(qname string) int {
	w.raw("<")
	w.raw(qname)
	w.raw(">")
	at := len(w.b)
	w.raw("</")
	w.raw(qname)
	w.raw(">")
	return at
}

// BuildEmpty writes the answer of an operation that has nothing to give: an
// empty queue, an empty status queue, or the answer to Ack. Nothing in it is signed, and it is
// the same each time: nobody may write to it.
func BuildEmpty(v Version, op Operation) Draft { return Draft{XML: empties[v][op]} }

var empties = func() (t [V13 + 1][GetIncomingQueueStatistics + 1][]byte) {
	for _, v := range Versions {
		for _, op := range Operations {
			w := newWriter(v, 512)
			w.envelope()
			w.raw("<ns2:")
			w.raw(op.answerElement())
			w.answerSpaces()
			w.raw("/></soap:Body></soap:Envelope>")
			t[v][op] = w.b[:len(w.b):len(w.b)]
		}
	}
	return t
}()

// BuildAck writes the answer to Ack. It is not signed.
func BuildAck(v Version) Draft { return BuildEmpty(v, Ack) }

// BuildReceipt writes the answer to SendRequest or SendResponse: the metadata
// of the accepted message, which the bus signs.
func BuildReceipt(v Version, op Operation, m Metadata) Draft {
	if m.ID == "" {
		m.ID = bySMEV
	}
	w := openAnswer(v, op, 2048)
	w.metadata("ns2", m)
	at := w.slot("ns2:SMEVSignature")
	w.closeAnswer(op)
	return Draft{XML: w.b, room: w.room, SignID: m.ID, Slot: at}
}

// metadata writes MessageMetadata; p is the prefix of the types namespace.
func (w *writer) metadata(p string, m Metadata) {
	w.raw("<" + p + ":MessageMetadata")
	if m.ID != "" {
		w.raw(` Id="`)
		w.attr(m.ID)
		w.raw(`"`)
	}
	w.raw(">")
	w.leafIf(p+":MessageId", m.MessageID)
	w.leaf(p+":MessageType", string(m.Type))
	w.participant(p, "Sender", m.Sender, w.v == V11)
	w.stamped(p+":SendingTimestamp", m.Sent)
	if w.v == V11 {
		w.leaf(p+":DestinationName", cut(or(m.Destination, "unknown"), 500))
	}
	w.participant(p, "Recipient", m.Recipient, false)
	if w.v == V11 {
		w.raw("<" + p + ":SupplementaryData>")
		w.leaf(p+":DetectedContentTypeName", "not detected")
		w.leaf(p+":InteractionType", "NotDetected")
		w.raw("</" + p + ":SupplementaryData>")
	}
	if !m.Delivered.IsZero() {
		w.stamped(p+":DeliveryTimestamp", m.Delivered)
	}
	if m.Status != "" {
		w.leaf(p+":Status", string(m.Status.as(w.v)))
	}
	w.raw("</" + p + ":MessageMetadata>")
}

// participant writes Sender or Recipient. Version 1.2 names the mnemonic only.
func (w *writer) participant(p, local string, who Participant, required bool) {
	if who.Mnemonic == "" && !required {
		return
	}
	w.raw("<" + p + ":" + local + ">")
	w.leaf(p+":Mnemonic", who.Mnemonic)
	if w.v != V12 {
		w.leaf(p+":HumanReadableName", or(who.Name, who.Mnemonic))
	}
	w.raw("</" + p + ":" + local + ">")
}

// as gives the nearest word that a version's vocabulary has.
func (s Status) as(v Version) Status {
	if s.In(v) {
		return s
	}
	switch s {
	case StatusMessageIsDelivered, StatusResponseIsDelivered, StatusMessageIsArchived:
		return v.Delivered()
	case StatusRequestIsProcessed:
		return StatusUnderProcessing
	case StatusResponseIsQueued:
		return StatusRequestIsQueued
	case StatusResponseIsProcessed:
		return StatusResponseIsAcceptedBySmev
	case StatusResponseIsRejectedBySmev:
		return StatusRequestIsRejectedBySmev
	}
	return StatusDoesNotExist
}

// BuildRequestDelivery writes the answer to GetRequest. The sender's element
// stands in it byte for byte; the Request round it repeats the namespace
// declarations that the element was written under, and the bus's own elements
// use prefixes that do not collide with them.
func BuildRequestDelivery(v Version, d RequestDelivery) Draft {
	w := openAnswer(v, GetRequest, carrierSize+len(d.Data.XML)+len(d.Signature.XML)+attachedSize(d.Attachments, d.XOP))
	id := freeID(bySMEV, d.Data.XML, d.Signature.XML)
	w.raw("<ns2:RequestMessage>")
	p, force := w.openCarrier("Request", id, d.Data, d.Signature)
	w.b = append(w.b, d.Data.XML...)
	w.metadata(p, d.Metadata)
	w.files(force, d.Files)
	if d.ReplyTo != "" || v == V11 {
		w.leaf(p+":ReplyTo", d.ReplyTo)
	}
	w.senderSignature(p, force, d.Signature)
	w.raw("</" + p + ":Request>")
	parts := w.attachments(d.Attachments, d.XOP)
	at := w.slot("ns2:SMEVSignature")
	w.raw("</ns2:RequestMessage>")
	w.closeAnswer(GetRequest)
	return Draft{XML: w.b, room: w.room, SignID: id, Slot: at, Parts: parts}
}

// BuildResponseDelivery writes the answer to GetResponse, on the same terms as
// BuildRequestDelivery.
func BuildResponseDelivery(v Version, d ResponseDelivery) Draft {
	w := openAnswer(v, GetResponse, carrierSize+len(d.Data.XML)+len(d.Signature.XML)+attachedSize(d.Attachments, d.XOP))
	id := freeID(bySMEV, d.Data.XML, d.Signature.XML)
	w.raw("<ns2:ResponseMessage>")
	p, force := w.openCarrier("Response", id, d.Data, d.Signature)
	w.leafIf(p+":OriginalMessageId", d.OriginalMessageID)
	w.leafIf(p+":OriginalTransactionCode", d.OriginalTransactionCode)
	w.leafIf(p+":ReferenceMessageID", d.ReferenceMessageID)
	w.b = append(w.b, d.Data.XML...)
	w.metadata(p, d.Metadata)
	w.files(force, d.Files)
	w.senderSignature(p, force, d.Signature)
	w.raw("</" + p + ":Response>")
	parts := w.attachments(d.Attachments, d.XOP)
	at := w.slot("ns2:SMEVSignature")
	w.raw("</ns2:ResponseMessage>")
	w.closeAnswer(GetResponse)
	return Draft{XML: w.b, room: w.room, SignID: id, Slot: at, Parts: parts}
}

// openCarrier opens Request or Response in the sender's namespace context and
// gives the prefix of the types namespace to be used inside.
func (w *writer) openCarrier(local, id string, data, signature Fragment) (string, inForce) {
	types := w.v.TypesSpace()
	p := freePrefix("ns2", types, data.Scope, signature.Scope)
	w.raw("<" + p + ":" + local + ` Id="`)
	w.attr(id)
	w.raw(`"`)
	force := w.declare(answerForce(w.v), p, types, data.Scope)
	w.raw(">")
	return p, force
}

func (w *writer) senderSignature(p string, force inForce, s Fragment) {
	if len(s.XML) == 0 {
		return
	}
	w.raw("<" + p + ":SenderInformationSystemSignature")
	w.declare(force, p, w.v.TypesSpace(), s.Scope)
	w.raw(">")
	w.b = append(w.b, s.XML...)
	w.raw("</" + p + ":SenderInformationSystemSignature>")
}

// files writes FSAttachmentsList, whose namespace is basic whatever the default
// namespace has become.
func (w *writer) files(force inForce, list []FSAttachment) {
	if len(list) == 0 {
		return
	}
	w.raw("<FSAttachmentsList")
	if uri, _ := force.lookup(""); uri != w.v.BasicSpace() {
		w.raw(` xmlns="` + w.v.BasicSpace() + `"`)
	}
	w.raw(">")
	for _, f := range list {
		w.raw("<FSAttachment>")
		w.leaf("uuid", f.UUID)
		w.leaf("UserName", f.UserName)
		w.leaf("Password", f.Password)
		w.leaf("FileName", f.FileName)
		w.raw("</FSAttachment>")
	}
	w.raw("</FSAttachmentsList>")
}

func attachedSize(list []Attachment, xop bool) int {
	n := 0
	for _, a := range list {
		n += len(a.ID) + 200
		if !xop {
			n += base64.StdEncoding.EncodedLen(len(a.Content))
		}
	}
	return n
}

// attachments writes AttachmentContentList in the default namespace, which is basic.
func (w *writer) attachments(list []Attachment, xop bool) []Part {
	if len(list) == 0 {
		return nil
	}
	var parts []Part
	w.raw("<AttachmentContentList>")
	for _, a := range list {
		w.raw("<AttachmentContent>")
		w.leaf("Id", a.ID)
		parts = w.attached("Content", a, xop, parts)
		w.raw("</AttachmentContent>")
	}
	w.raw("</AttachmentContentList>")
	return parts
}

// attached writes Content, inline or as a reference to a new part.
func (w *writer) attached(qname string, a Attachment, xop bool, parts []Part) []Part {
	w.raw("<" + qname + ">")
	if xop {
		id := uuid.NewString() + "@mezhved"
		w.raw(`<xop:Include xmlns:xop="` + XOPSpace + `" href="cid:` + id + `"/>`)
		parts = append(parts, Part{ContentID: id, ContentType: "application/octet-stream", Data: a.Content})
	} else {
		w.b = base64.StdEncoding.AppendEncode(w.b, a.Content)
	}
	w.raw("</" + qname + ">")
	return parts
}

// BuildAsyncData writes SenderProvidedResponseData of a message that the bus
// itself sends to a sender's response queue. It stands alone: it declares what it uses.
func BuildAsyncData(v Version, m AsyncMessage) Fragment {
	w := newWriter(v, 2048)
	w.raw("<ns2:SenderProvidedResponseData")
	w.answerSpaces()
	w.raw(` Id="`)
	w.attr(or(m.ID, "SIGNED_ASYNC_BY_SMEV"))
	w.raw(`">`)
	w.leaf("ns2:MessageID", m.MessageID)
	w.leaf("ns2:To", m.To)
	w.asyncStatus(m.AsyncStatus)
	w.raw("</ns2:SenderProvidedResponseData>")
	s := &versionSpaces[v]
	return Fragment{XML: w.b, Scope: []xmltape.Binding{{Prefix: "", URI: s.basic}, {Prefix: "ns2", URI: s.types}, {Prefix: "ns3", URI: s.faults}}}
}

func (w *writer) asyncStatus(s AsyncStatus) {
	w.raw("<ns2:AsyncProcessingStatus>")
	w.leaf("ns2:OriginalMessageId", s.OriginalMessageID)
	w.leaf("ns2:StatusCategory", string(s.Category.as(w.v)))
	w.leafIf("ns2:StatusDetails", cut(s.Details, 500))
	if f := s.Fault; f != nil {
		w.raw("<ns2:SmevFault")
		if row := faultInfo(f.Kind); row != nil && row.content == typed {
			w.raw(` xmlns:xsi="` + XSISpace + `" xsi:type="ns3:` + string(f.Kind) + `"`)
		}
		w.raw(">")
		f.inside(w, f.Kind)
		w.raw("</ns2:SmevFault>")
	}
	w.raw("</ns2:AsyncProcessingStatus>")
}

// BuildStatus writes the answer to GetStatus with one status message.
func BuildStatus(v Version, s AsyncStatus) Draft {
	w := openAnswer(v, GetStatus, 1024)
	w.raw(`<ns2:SmevAsyncProcessingMessage><ns2:AsyncProcessingStatusData Id="` + bySMEV + `">`)
	w.asyncStatus(s)
	w.raw("</ns2:AsyncProcessingStatusData>")
	at := w.slot("ns2:SMEVSignature")
	w.raw("</ns2:SmevAsyncProcessingMessage>")
	w.closeAnswer(GetStatus)
	return Draft{XML: w.b, room: w.room, SignID: bySMEV, Slot: at}
}

// BuildStatistics writes the answer to GetIncomingQueueStatistics (1.1). It is not signed.
func BuildStatistics(queues []QueueStatistics) Draft {
	w := openAnswer(V11, GetIncomingQueueStatistics, 128*len(queues))
	for _, q := range queues {
		w.raw(`<ns2:QueueStatistics queueName="`)
		w.attr(cut(q.Name, 200))
		w.raw(`" pendingMessageNumber="` + strconv.FormatInt(q.Pending, 10) + `"/>`)
	}
	w.closeAnswer(GetIncomingQueueStatistics)
	return Draft{XML: w.b, room: w.room}
}
