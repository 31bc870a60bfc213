package envelopes

import (
	"encoding/base64"

	"mezhved/envelopes/xmltape"
)

// reconstitute undoes XOP inside the envelope: JAX-WS clients with MTOM send
// every base64 value as a part of its own, signed ones too, though the signature
// was made over the text. It gives the envelope with the text back in place, nil
// when there is nothing to undo. Contents of attachments stay where they are: no
// signature covers them, and Decode finds them in their parts.
//
// A signature never covers an Include instead of the value: what is left of them
// (no such part, other content beside it) stays an element, which no text of the
// envelope may hold.
func reconstitute(t *xmltape.Tape, parts []part, lim Limits) ([]byte, error) {
	name := t.LookupName(XOPSpace, "Include")
	if name == 0 || len(parts) == 0 {
		return nil, nil
	}
	src := t.Source()
	type value struct {
		off, end int // of the Include
		data     []byte
	}
	var values []value
	used, size := map[*part]bool{}, len(src)
	var before xmltape.Node // the element that began last
	for inc, round := range t.Elements() {
		last := before
		before = inc
		if inc.Token().Name != name || len(round) < 2 { // no value stands so near to the root
			continue
		}
		holder := round[len(round)-1]
		alone := last == holder && !inc.Next().Valid()
		if isAttachmentContent(holder, round[len(round)-2]) || inc.First().Valid() || !alone || holder.Token().Flags&xmltape.HasText != 0 {
			continue
		}
		href, _ := inc.Attr("", "href")
		p, ok := byReference(parts, href)
		if !ok {
			continue
		}
		if used[p] {
			return nil, refuseBody(0, ParseMultipart, "two elements refer to the part %s", quote(p.id))
		}
		used[p] = true
		off, end := inc.Range()
		values = append(values, value{off, end, p.data})
		size += base64.StdEncoding.EncodedLen(len(p.data)) - (end - off)
	}
	if values == nil {
		return nil, nil
	}
	if err := lim.copy(size); err != nil {
		return nil, err
	}
	out, from := make([]byte, 0, size), 0
	for _, v := range values {
		out = append(out, src[from:v.off]...)
		out = base64.StdEncoding.AppendEncode(out, v.data)
		from = v.end
	}
	return append(out, src[from:]...), nil
}

// isAttachmentContent reports whether an element in another one is AttachmentContent/Content.
func isAttachmentContent(n, parent xmltape.Node) bool {
	for _, v := range Versions {
		if n.Is(v.BasicSpace(), "Content") {
			return parent.Is(v.BasicSpace(), "AttachmentContent")
		}
	}
	return false
}
