package envelopes

import (
	"mezhved/envelopes/xmltape"
)

// routing reads the routing block of 1.3.
func (r *reader) routing(n xmltape.Node) *Routing {
	if !n.Valid() {
		return nil
	}
	out := &Routing{}
	s := r.sequence(n)
	out.Information = s.required(RoutingSpace, "RoutingInformation")
	out.Signature = r.signature(s.required(RoutingSpace, "RoutingSignature"))
	s.end()
	if d := r.sequence(out.Information, "Id"); !d.broken {
		out.ID = r.identifier(out.Information)
		out.MessageID = r.uuid(d.required(RoutingSpace, "MessageID"))
		out.Dynamic = r.values(d.optional(RoutingSpace, "DynamicRouting"), "DynamicValue")
		out.Identifiers = r.values(d.optional(RoutingSpace, "IdentifierRouting"), "IdentifierValue")
		out.Records = r.records(d.optional(RoutingSpace, "RegistryRouting"))
		d.end()
	}
	return out
}

// ReadRouting reads a sealed rout:Routing document, as Routing.Build and
// Draft.Seal make it. The error is an *xmltape.Error or a *FormatError.
func ReadRouting(doc []byte) (*Routing, error) {
	t := new(xmltape.Tape)
	if err := t.Parse(doc, xmltape.Limits{}); err != nil {
		return nil, err
	}
	r := newReader(&Envelope{version: V13, operation: SendRequest, tape: t})
	if n := t.Root(); !n.Is(RoutingSpace, "Routing") {
		r.wrong("cvc-elt.1", n, 0, quote(n.Local()), "{"+RoutingSpace+"}Routing")
		return nil, r.verdict()
	}
	out := r.routing(t.Root())
	return out, r.verdict()
}

// values reads DynamicRouting or IdentifierRouting.
func (r *reader) values(n xmltape.Node, local string) []string {
	if !n.Valid() {
		return nil
	}
	s := r.sequence(n)
	var out []string
	for v := s.required(RoutingSpace, local); v.Valid(); v = s.optional(RoutingSpace, local) {
		if len(out) == listMost {
			s.tooMany(v)
			break
		}
		out = append(out, r.text(v, 500))
	}
	s.end()
	return out
}

func (r *reader) records(n xmltape.Node) []RecordRouting {
	if !n.Valid() {
		return nil
	}
	s := r.sequence(n)
	var out []RecordRouting
	for v := s.required(RoutingSpace, "RegistryRecordRouting"); v.Valid(); v = s.optional(RoutingSpace, "RegistryRecordRouting") {
		if len(out) == listMost {
			s.tooMany(v)
			break
		}
		d := r.sequence(v)
		var rec RecordRouting
		rec.RecordID = r.integer(d.required(RoutingSpace, "RecordId"))
		if g := d.required(RoutingSpace, "UseGeneralRouting"); g.Valid() {
			rec.UseGeneral = r.boolean(g, r.text(g, 0))
		}
		rec.Dynamic = r.values(d.optional(RoutingSpace, "DynamicRouting"), "DynamicValue")
		rec.Identifiers = r.values(d.optional(RoutingSpace, "IdentifierRouting"), "IdentifierValue")
		d.end()
		out = append(out, rec)
	}
	s.end()
	return out
}

// tooMany reports a child beyond the greatest number.
func (s *seq) tooMany(n xmltape.Node) {
	s.nopen, s.next = 0, n
	s.fail()
}

// registry reads direct:Registry, the content of a registry message of 1.3.
func (r *reader) registry(n xmltape.Node) []RegistryRecord {
	s := r.sequence(n)
	var out []RegistryRecord
	for v := s.required(DirectiveSpace, "RegistryRecord"); v.Valid(); v = s.optional(DirectiveSpace, "RegistryRecord") {
		if len(out) == listMost {
			s.tooMany(v)
			break
		}
		out = append(out, r.registryRecord(v))
	}
	s.end()
	return out
}

func (r *reader) registryRecord(n xmltape.Node) RegistryRecord {
	const personalMost = 10
	basic := r.v.BasicSpace()
	var out RegistryRecord
	d := r.sequence(n)
	out.RecordID = r.integer(d.required(DirectiveSpace, "RecordId"))
	out.Record = d.required(DirectiveSpace, "Record")
	out.Signature = r.signature(d.optional(DirectiveSpace, "RecordSignature"))
	d.end()
	if rec := r.sequence(out.Record, "Id"); !rec.broken {
		r.identifier(out.Record)
		out.Holder = rec.required(DirectiveSpace, "RecordContent")
		out.Headers = r.headers(rec.optional(basic, "AttachmentHeaderList"))
		out.References = r.references(rec.optional(basic, "RefAttachmentHeaderList"))
		for p := rec.optional(DirectiveSpace, "PersonalSignature"); p.Valid(); p = rec.optional(DirectiveSpace, "PersonalSignature") {
			if len(out.Personal) == personalMost {
				rec.tooMany(p)
				break
			}
			out.Personal = append(out.Personal, r.signature(p))
		}
		rec.end()
	}
	if out.Holder.Valid() {
		c := r.sequence(out.Holder, "Id")
		r.identifier(out.Holder)
		out.Content = c.foreign(DirectiveSpace, true)
		c.end()
	}
	return out
}

// RegistryRecords gives the records of a registry message; nil when the content
// of the call is not direct:Registry. The call was decoded in 1.3 already, so
// its form is right.
func RegistryRecords(e *Envelope, call *SendRequestCall) []RegistryRecord {
	if e.version != V13 || !call.Content.Is(DirectiveSpace, "Registry") {
		return nil
	}
	return newReader(e).registry(call.Content)
}
