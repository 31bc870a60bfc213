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
func reconstitute(t *xmltape.Tape, parts []part) ([]byte, error) {
	name := t.LookupName(XOPSpace, "Include")
	if name == 0 || len(parts) == 0 {
		return nil, nil
	}
	src := t.Source()
	var out []byte
	from := 0
	used := map[*part]bool{}
	for i := range t.Tokens {
		if t.Tokens[i].Kind != xmltape.Start || t.Tokens[i].Name != name {
			continue
		}
		inc := t.NodeAt(i)
		holder := inc.Parent()
		if isAttachmentContent(holder) || inc.First().Valid() || holder.First() != inc || inc.Next().Valid() || holder.Token().Flags&xmltape.HasText != 0 {
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
		out = append(out, src[from:off]...)
		out = base64.StdEncoding.AppendEncode(out, p.data)
		from = end
	}
	if out == nil {
		return nil, nil
	}
	return append(out, src[from:]...), nil
}

// isAttachmentContent reports whether an element is AttachmentContent/Content.
func isAttachmentContent(n xmltape.Node) bool {
	for _, v := range Versions {
		if n.Is(v.BasicSpace(), "Content") {
			return n.Parent().Is(v.BasicSpace(), "AttachmentContent")
		}
	}
	return false
}
