package envelopes

import (
	"encoding/base64"
	"strconv"
	"time"

	"mezhved/envelopes/xmltape"
)

// The prefixes that calls are written with.
const (
	callTypes = "typ"
	callBasic = "bas"
)

// openCall opens the envelope and the element of an operation.
func openCall(v Version, op Operation, size int) (*writer, inForce) {
	w := newWriter(v, size+1024)
	w.envelope()
	w.raw("<" + callTypes + ":" + op.requestElement() + ` xmlns:` + callTypes + `="` + v.TypesSpace() + `" xmlns:` + callBasic + `="` + v.BasicSpace() + `">`)
	return w, inForce{
		{Prefix: "soap", URI: SOAPSpace}, {Prefix: callTypes, URI: v.TypesSpace()}, {Prefix: callBasic, URI: v.BasicSpace()},
	}
}

// closeCall writes the signature's wrapper, and what comes after it, and closes
// the call.
func (w *writer) closeCall(op Operation, id string, parts []Part, after func()) Draft {
	at := w.slot(callTypes + ":CallerInformationSystemSignature")
	if after != nil {
		after()
	}
	w.raw("</" + callTypes + ":" + op.requestElement() + "></soap:Body></soap:Envelope>")
	return Draft{XML: w.b, SignID: id, Slot: at, Parts: parts}
}

// openID writes a start tag with an attribute Id.
func (w *writer) openID(qname, id string, more ...string) {
	w.raw("<" + qname + ` Id="`)
	w.attr(id)
	w.raw(`"`)
	for _, m := range more {
		w.raw(m)
	}
	w.raw(">")
}

// splice writes <prefix:local> round a foreign element, in the namespace
// context in which that element was written.
func (w *writer) splice(force inForce, prefix, space, local string, f Fragment) {
	p := freePrefix(prefix, space, f.Scope)
	w.raw("<" + p + ":" + local)
	w.declare(force, p, space, f.Scope)
	w.raw(">")
	w.b = append(w.b, f.XML...)
	w.raw("</" + p + ":" + local + ">")
}

// Build writes the call. Content, PersonalSignature and the children of Process
// are spliced byte for byte. xop puts the attachments into parts of their own.
func (c *SendRequestCall) Build(v Version, xop bool) Draft {
	content := FragmentOf(c.Content)
	w, force := openCall(v, SendRequest, 4096+len(content.XML)+attachedSize(c.Attachments, xop))
	id := c.ID
	if id == "" {
		id = freeID("SIGNED_BY_CONSUMER", content.XML, c.PersonalSignature.Bytes(), c.Process.Bytes())
	}
	w.requestData(force, c, id)
	parts := w.callAttachments(c.Attachments, xop)
	return w.closeCall(SendRequest, id, parts, func() {
		if v == V13 && c.Routing != nil {
			w.routing(force, c.Routing)
		}
	})
}

func (w *writer) requestData(force inForce, c *SendRequestCall, id string) {
	t := callTypes + ":"
	w.openID(t+"SenderProvidedRequestData", id)
	w.leaf(t+"MessageID", c.MessageID)
	w.leafIf(t+"ReferenceMessageID", c.ReferenceMessageID)
	w.leafIf(t+"TransactionCode", c.TransactionCode)
	w.leafIf(t+"NodeID", c.NodeID)
	if !c.EOL.IsZero() {
		w.stamped(t+"EOL", c.EOL)
	}
	w.primary(force, c.Content, c.PersonalSignature, c.Headers, c.References)
	if c.Process.Valid() {
		f := Fragment{XML: c.Process.Inner(), Scope: c.Process.InScope()}
		w.splice(force, callTypes, w.v.TypesSpace(), "BusinessProcessMetadata", f)
	}
	if c.Test {
		w.raw("<" + t + "TestMessage/>")
	}
	w.raw("</" + t + "SenderProvidedRequestData>")
}

// primary writes MessagePrimaryContent and what belongs to it.
func (w *writer) primary(force inForce, content, personal xmltape.Node, headers []AttachmentHeader, refs []AttachmentReference) {
	types, basic := w.v.TypesSpace(), w.v.BasicSpace()
	w.splice(force, callBasic, basic, "MessagePrimaryContent", FragmentOf(content))
	if personal.Valid() {
		w.splice(force, callTypes, types, "PersonalSignature", FragmentOf(personal))
	}
	w.attachmentLists(headers, refs)
}

// attachmentLists writes AttachmentHeaderList and RefAttachmentHeaderList.
func (w *writer) attachmentLists(headers []AttachmentHeader, refs []AttachmentReference) {
	b := callBasic + ":"
	if len(headers) > 0 {
		w.raw("<" + b + "AttachmentHeaderList>")
		for _, h := range headers {
			w.raw("<" + b + "AttachmentHeader>")
			w.leaf(b+"contentId", h.ContentID)
			if w.v == V13 {
				w.leafIf(b+"NamespaceUri", h.NamespaceURI)
			}
			w.leaf(b+"MimeType", h.MimeType)
			w.binaryIf(b+"SignaturePKCS7", h.PKCS7)
			w.archive(b, h.Archive)
			w.raw("</" + b + "AttachmentHeader>")
		}
		w.raw("</" + b + "AttachmentHeaderList>")
	}
	if len(refs) > 0 {
		w.raw("<" + b + "RefAttachmentHeaderList>")
		for _, h := range refs {
			w.raw("<" + b + "RefAttachmentHeader>")
			w.leaf(b+"uuid", h.UUID)
			if w.v == V13 {
				w.leafIf(b+"FileName", h.FileName)
				w.leafIf(b+"NamespaceUri", h.NamespaceURI)
			}
			w.leaf(b+"Hash", base64.StdEncoding.EncodeToString(h.Hash))
			w.leaf(b+"MimeType", h.MimeType)
			w.binaryIf(b+"SignaturePKCS7", h.PKCS7)
			w.archive(b, h.Archive)
			w.raw("</" + b + "RefAttachmentHeader>")
		}
		w.raw("</" + b + "RefAttachmentHeaderList>")
	}
}

// archive writes Archive, which 1.3 alone has.
func (w *writer) archive(b string, files []ArchiveFile) {
	if w.v != V13 || len(files) == 0 {
		return
	}
	w.raw("<" + b + "Archive>")
	for _, f := range files {
		w.raw("<" + b + "File>")
		w.leaf(b+"Name", f.Name)
		w.leaf(b+"NamespaceUri", f.NamespaceURI)
		w.raw("</" + b + "File>")
	}
	w.raw("</" + b + "Archive>")
}

func (w *writer) binaryIf(qname string, data []byte) {
	if data != nil {
		w.leaf(qname, base64.StdEncoding.EncodeToString(data))
	}
}

func (w *writer) callAttachments(list []Attachment, xop bool) []Part {
	if len(list) == 0 {
		return nil
	}
	var parts []Part
	b := callBasic + ":"
	w.raw("<" + b + "AttachmentContentList>")
	for _, a := range list {
		w.raw("<" + b + "AttachmentContent>")
		w.leaf(b+"Id", a.ID)
		parts = w.attached(b+"Content", a, xop, parts)
		w.raw("</" + b + "AttachmentContent>")
	}
	w.raw("</" + b + "AttachmentContentList>")
	return parts
}

// Build writes the call; see SendRequestCall.Build.
func (c *SendResponseCall) Build(v Version, xop bool) Draft {
	content := FragmentOf(c.Content)
	w, force := openCall(v, SendResponse, 4096+len(content.XML)+attachedSize(c.Attachments, xop))
	id := c.ID
	if id == "" {
		id = freeID("SIGNED_BY_PROVIDER", content.XML, c.PersonalSignature.Bytes())
	}
	w.responseData(force, c, id)
	parts := w.callAttachments(c.Attachments, xop)
	return w.closeCall(SendResponse, id, parts, nil)
}

func (w *writer) responseData(force inForce, c *SendResponseCall, id string) {
	t := callTypes + ":"
	w.openID(t+"SenderProvidedResponseData", id)
	w.leaf(t+"MessageID", c.MessageID)
	w.leaf(t+"To", c.To)
	switch {
	case c.Content.Valid():
		w.primary(force, c.Content, c.PersonalSignature, c.Headers, c.References)
	case c.Status != nil:
		w.raw("<" + t + "RequestStatus>")
		w.leaf(t+"StatusCode", strconv.Itoa(c.Status.Code))
		for _, p := range c.Status.Parameters {
			w.raw("<" + t + "StatusParameter>")
			w.leaf(t+"Key", p.Key)
			w.leaf(t+"Value", p.Value)
			w.raw("</" + t + "StatusParameter>")
		}
		w.leaf(t+"StatusDescription", c.Status.Description)
		w.raw("</" + t + "RequestStatus>")
	default:
		for _, r := range c.Rejections {
			w.raw("<" + t + "RequestRejected>")
			w.leaf(t+"RejectionReasonCode", string(r.Code))
			w.leaf(t+"RejectionReasonDescription", r.Description)
			w.raw("</" + t + "RequestRejected>")
		}
	}
	w.raw("</" + t + "SenderProvidedResponseData>")
}

const byCaller = "SIGNED_BY_CALLER"

// Build writes the call.
func (c *PollCall) Build(v Version) Draft {
	w, _ := openCall(v, c.Operation, 512)
	b, id := callBasic+":", or(c.ID, byCaller)
	w.openID(b+"MessageTypeSelector", id)
	if c.Selects() {
		w.leaf(b+"NamespaceURI", c.Root.Space)
		w.leaf(b+"RootElementLocalName", c.Root.Local)
	}
	if c.Fine {
		w.leaf(b+"Timestamp", c.Timestamp.In(moscow).Format("2006-01-02T15:04:05.000000-07:00"))
	} else {
		w.stamped(b+"Timestamp", c.Timestamp)
	}
	w.leafIf(b+"NodeID", c.NodeID)
	w.raw("</" + b + "MessageTypeSelector>")
	return w.closeCall(c.Operation, id, nil, nil)
}

// Build writes the call.
func (c *GetStatusCall) Build(v Version) Draft {
	w, _ := openCall(v, GetStatus, 512)
	id := or(c.ID, byCaller)
	w.timestamp(id, c.Timestamp)
	return w.closeCall(GetStatus, id, nil, nil)
}

func (w *writer) timestamp(id string, t time.Time) {
	w.openID(callBasic+":Timestamp", id)
	w.stamp(t)
	w.raw("</" + callBasic + ":Timestamp>")
}

// Build writes the call.
func (c *AckCall) Build(v Version) Draft {
	w, _ := openCall(v, Ack, 512)
	id := or(c.ID, byCaller)
	w.openID(callBasic+":AckTargetMessage", id, ` accepted="`+strconv.FormatBool(c.Accepted)+`"`)
	w.text(c.MessageID)
	w.raw("</" + callBasic + ":AckTargetMessage>")
	return w.closeCall(Ack, id, nil, nil)
}

// Build writes the call, which only version 1.1 has.
func (c *StatisticsCall) Build() Draft {
	w, _ := openCall(V11, GetIncomingQueueStatistics, 512)
	id := or(c.ID, byCaller)
	w.leafIf(callTypes+":NodeID", c.NodeID)
	w.timestamp(id, c.Timestamp)
	return w.closeCall(GetIncomingQueueStatistics, id, nil, nil)
}

// routing writes rout:Routing round the signed information and its signature.
func (w *writer) routing(force inForce, r *Routing) {
	info, sig := FragmentOf(r.Information), FragmentOf(r.Signature)
	p := freePrefix("rout", RoutingSpace, info.Scope, sig.Scope)
	w.raw("<" + p + ":Routing")
	force = w.declare(force, p, RoutingSpace, info.Scope)
	w.raw(">")
	w.b = append(w.b, info.XML...)
	w.splice(force, p, RoutingSpace, "RoutingSignature", sig)
	w.raw("</" + p + ":Routing>")
}

// Build writes the rout:Routing element of 1.3 as a document of its own. It is
// signed before the call is written: ReadRouting makes of the sealed document
// what SendRequestCall.Build takes.
func (r *Routing) Build() Draft {
	w := newWriter(V13, 1024)
	id := or(r.ID, "SIGNED_ROUTING")
	w.raw(`<rout:Routing xmlns:rout="` + RoutingSpace + `">`)
	w.openID("rout:RoutingInformation", id)
	w.leaf("rout:MessageID", r.MessageID)
	w.routingValues(r.Dynamic, r.Identifiers)
	if len(r.Records) > 0 {
		w.raw("<rout:RegistryRouting>")
		for _, rec := range r.Records {
			w.raw("<rout:RegistryRecordRouting>")
			w.leaf("rout:RecordId", strconv.Itoa(rec.RecordID))
			w.leaf("rout:UseGeneralRouting", strconv.FormatBool(rec.UseGeneral))
			w.routingValues(rec.Dynamic, rec.Identifiers)
			w.raw("</rout:RegistryRecordRouting>")
		}
		w.raw("</rout:RegistryRouting>")
	}
	w.raw("</rout:RoutingInformation>")
	at := w.slot("rout:RoutingSignature")
	w.raw("</rout:Routing>")
	return Draft{XML: w.b, SignID: id, Slot: at}
}

func (w *writer) routingValues(dynamic, identifiers []string) {
	list := func(outer, inner string, values []string) {
		if len(values) == 0 {
			return
		}
		w.raw("<rout:" + outer + ">")
		for _, v := range values {
			w.leaf("rout:"+inner, v)
		}
		w.raw("</rout:" + outer + ">")
	}
	list("DynamicRouting", "DynamicValue", dynamic)
	list("IdentifierRouting", "IdentifierValue", identifiers)
}
