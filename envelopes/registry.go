package envelopes

import (
	"mezhved/envelopes/xmltape"
)

// registry checks direct:Registry, the content of a registry message of 1.3.
func (r *reader) registry(n xmltape.Node) {
	s := r.sequence(n)
	count := 0
	for v := s.required(DirectiveSpace, "RegistryRecord"); v.Valid(); v = s.optional(DirectiveSpace, "RegistryRecord") {
		if count++; count > listMost {
			s.tooMany(v)
			break
		}
		r.registryRecord(v)
	}
	s.end()
}

func (r *reader) registryRecord(n xmltape.Node) {
	const personalMost = 10
	basic := r.v.BasicSpace()
	d := r.sequence(n)
	r.integer(d.required(DirectiveSpace, "RecordId"))
	record := d.required(DirectiveSpace, "Record")
	r.signature(d.optional(DirectiveSpace, "RecordSignature"))
	d.end()
	var holder xmltape.Node
	if rec := r.sequence(record, "Id"); !rec.broken {
		r.identifier(record)
		holder = rec.required(DirectiveSpace, "RecordContent")
		r.headers(rec.optional(basic, "AttachmentHeaderList"))
		r.references(rec.optional(basic, "RefAttachmentHeaderList"))
		count := 0
		for p := rec.optional(DirectiveSpace, "PersonalSignature"); p.Valid(); p = rec.optional(DirectiveSpace, "PersonalSignature") {
			if count++; count > personalMost {
				rec.tooMany(p)
				break
			}
			r.signature(p)
		}
		rec.end()
	}
	if holder.Valid() {
		c := r.sequence(holder, "Id")
		r.identifier(holder)
		c.foreign(DirectiveSpace, true)
		c.end()
	}
}
