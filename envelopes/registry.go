package envelopes

import (
	"fmt"
	"strconv"

	"mezhved/envelopes/xmltape"
)

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

// Build writes a direct:RegistryRecord as a document of its own, to be signed and
// then joined with the others by JoinRegistry. Content is required; Record,
// Holder and Signature are ignored. Personal are signatures over RecordContent,
// whose Id is "C" and the record's number.
func (r *RegistryRecord) Build() Draft {
	content := FragmentOf(r.Content)
	w := newWriter(V13, len(content.XML)+1024)
	number := strconv.Itoa(r.RecordID)
	id := "R" + number
	w.raw(`<dir:RegistryRecord xmlns:dir="` + DirectiveSpace + `" xmlns:` + callBasic + `="` + V13.BasicSpace() + `">`)
	force := inForce{{Prefix: "dir", URI: DirectiveSpace}, {Prefix: callBasic, URI: V13.BasicSpace()}}
	w.leaf("dir:RecordId", number)
	w.openID("dir:Record", id)
	p := freePrefix("dir", DirectiveSpace, content.Scope)
	w.raw("<" + p + `:RecordContent Id="C` + number + `"`)
	w.declare(force, p, DirectiveSpace, content.Scope)
	w.raw(">")
	w.b = append(w.b, content.XML...)
	w.raw("</" + p + ":RecordContent>")
	w.attachmentLists(r.Headers, r.References)
	for _, personal := range r.Personal {
		w.splice(force, "dir", DirectiveSpace, "PersonalSignature", FragmentOf(personal))
	}
	w.raw("</dir:Record>")
	at := w.slot("dir:RecordSignature")
	w.raw("</dir:RegistryRecord>")
	return Draft{XML: w.b, SignID: id, Slot: at}
}

// JoinRegistry makes of sealed records the content of a registry message. There
// are 1 to 1000, with different numbers.
func JoinRegistry(records ...[]byte) ([]byte, error) {
	if len(records) == 0 || len(records) > listMost {
		return nil, fmt.Errorf("a registry message holds 1 to %d records, not %d", listMost, len(records))
	}
	out := []byte(`<dir:Registry xmlns:dir="` + DirectiveSpace + `">`)
	for _, r := range records {
		out = append(out, r...)
	}
	return append(out, "</dir:Registry>"...), nil
}
