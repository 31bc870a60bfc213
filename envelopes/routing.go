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
