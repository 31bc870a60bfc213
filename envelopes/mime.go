package envelopes

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/url"
	"strings"
)

// part is one MIME part of a received body. data is a slice of the body unless
// a transfer encoding had to be undone.
type part struct {
	id   string // Content-ID without angle brackets
	kind string // media type
	data []byte
}

// xmlTypes are the media types in which clients send SOAP 1.1. The empty one
// stands for a missing Content-Type.
var xmlTypes = map[string]bool{
	"": true, "text/xml": true, "application/xml": true, "application/soap+xml": true, "application/xop+xml": true,
}

// openBody finds the envelope in an HTTP body.
func openBody(contentType string, body []byte, lim Limits) (root []byte, parts []part, multi bool, err error) {
	if kind, rest, _ := strings.Cut(contentType, ";"); xmlTypes[strings.ToLower(strings.TrimSpace(kind))] {
		return body, nil, false, charset(parameter(rest, "charset"), body)
	}
	kind, params, err := mediaType(contentType)
	if err != nil {
		return nil, nil, false, err
	}
	if kind != "multipart/related" {
		return nil, nil, false, refuseBody(0, ParseContentType, "content type %s; send text/xml, application/soap+xml or multipart/related", quote(kind))
	}
	parts, err = splitParts(body, params["boundary"], lim)
	if err != nil {
		return nil, nil, false, err
	}
	first := 0
	if start := trimID(params["start"]); start != "" {
		first = -1
		for i := range parts {
			if parts[i].id == start {
				first = i
				break
			}
		}
		if first < 0 {
			return nil, nil, false, refuseBody(0, ParseMultipart, "no part has the Content-ID %s that start names", quote(start))
		}
	}
	rootKind, rootParams, _ := strings.Cut(parts[first].kind, ";")
	if !xmlTypes[strings.ToLower(strings.TrimSpace(rootKind))] {
		return nil, nil, false, refuseBody(0, ParseContentType, "content type %s of the root part; send application/xop+xml or text/xml", quote(rootKind))
	}
	root = parts[first].data
	rest := append(parts[:first:first], parts[first+1:]...)
	return root, rest, true, charset(parameter(rootParams, "charset"), root)
}

// parameter gives a parameter of a media type whose values hold no semicolon.
func parameter(params, name string) string {
	for params != "" {
		var field string
		field, params, _ = strings.Cut(params, ";")
		if k, v, _ := strings.Cut(field, "="); strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// mediaType reads a Content-Type as forgivingly as clients need: parameters
// that are malformed do not matter unless a multipart boundary is among them.
func mediaType(s string) (string, map[string]string, error) {
	kind, params, err := mime.ParseMediaType(s)
	if err == nil {
		return kind, params, nil
	}
	kind, rest, _ := strings.Cut(s, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	if kind == "multipart/related" {
		params := map[string]string{}
		for field := range strings.SplitSeq(rest, ";") {
			k, v, _ := strings.Cut(field, "=")
			k = strings.ToLower(strings.TrimSpace(k))
			if _, again := params[k]; again && k != "" {
				return "", nil, refuseBody(0, ParseContentType, "parameter %s twice in Content-Type", quote(k))
			}
			params[k] = strings.Trim(strings.TrimSpace(v), `"`)
		}
		return kind, params, nil
	}
	return kind, nil, nil
}

// charset accepts UTF-8 however it is spelt, and any other label when the body
// is plain ASCII, which all of them share: the gate reads UTF-8 only, and a
// label it does not follow must not matter.
func charset(label string, body []byte) error {
	label = strings.Trim(label, `"' `)
	if label == "" || strings.EqualFold(label, "utf-8") || strings.EqualFold(label, "utf8") {
		return nil
	}
	for _, c := range body {
		if c >= 0x80 || c == 0 {
			return refuseBody(0, ParseCharset, "charset %s; send UTF-8", quote(label))
		}
	}
	return nil
}

// splitParts cuts a multipart body (RFC 2046) into its parts. Lines may end in
// LF alone.
func splitParts(body []byte, boundary string, lim Limits) ([]part, error) {
	if boundary == "" || len(boundary) > 200 {
		return nil, refuseBody(0, ParseMultipart, "multipart/related without a usable boundary")
	}
	delim := []byte("--" + boundary)
	pos, last, ok := nextDelimiter(body, 0, delim)
	if !ok {
		return nil, refuseBody(0, ParseMultipart, "the boundary does not occur in the body")
	}
	var parts []part
	seen := map[string]bool{}
	for !last {
		if len(parts) == lim.Parts {
			return nil, refuseBody(pos.next, ParseTooLarge, "too many MIME parts")
		}
		end, fin, ok := nextDelimiter(body, pos.next, delim)
		if !ok {
			return nil, refuseBody(pos.next, ParseMultipart, "the last part is not closed by the boundary")
		}
		p, err := readPart(body[pos.next:max(end.start, pos.next)], pos.next, lim)
		if err != nil {
			return nil, err
		}
		if p.id != "" && seen[p.id] {
			return nil, refuseBody(pos.next, ParseMultipart, "two parts have the Content-ID %s", quote(p.id))
		}
		seen[p.id] = true
		parts = append(parts, p)
		pos, last = end, fin
	}
	if len(parts) == 0 {
		return nil, refuseBody(0, ParseMultipart, "no part in the multipart body")
	}
	return parts, nil
}

// delimiter is a boundary line: start is where the line break before it begins,
// next where the line after it begins.
type delimiter struct{ start, next int }

func nextDelimiter(body []byte, from int, delim []byte) (d delimiter, last, ok bool) {
	for at := from; ; {
		i := bytes.Index(body[at:], delim)
		if i < 0 {
			return d, false, false
		}
		i += at
		at = i + len(delim)
		if i > 0 && body[i-1] != '\n' {
			continue
		}
		rest := body[i+len(delim):]
		last = bytes.HasPrefix(rest, []byte("--"))
		if last {
			rest = rest[2:]
		}
		line, _, found := bytes.Cut(rest, []byte("\n"))
		if len(bytes.Trim(line, " \t\r")) > 0 || !found && !last {
			continue // a longer boundary, or a text that begins like one
		}
		d.start = i
		if d.start > from {
			d.start--
			if d.start > from && body[d.start-1] == '\r' {
				d.start--
			}
		}
		d.next = min(len(body)-len(rest)+len(line)+1, len(body))
		return d, last, true
	}
}

func readPart(raw []byte, off int, lim Limits) (part, error) {
	var p part
	encoding := ""
	rest, name, value := raw, "", ""
	keep := func() {
		switch name {
		case "content-id":
			p.id = trimID(value)
		case "content-type":
			p.kind = strings.TrimSpace(value)
		case "content-transfer-encoding":
			encoding = strings.ToLower(strings.TrimSpace(value))
		}
	}
	for lines := 0; ; lines++ {
		line, after, found := bytes.Cut(rest, []byte("\n"))
		if !found {
			return p, refuseBody(off, ParseMultipart, "a part without an empty line after its headers")
		}
		rest = after
		if lines > lim.Headers || len(raw)-len(rest) > lim.Header {
			return p, refuseBody(off, ParseTooLarge, "the headers of a part are too long")
		}
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			keep()
			break
		}
		if line[0] == ' ' || line[0] == '\t' {
			value += " " + strings.TrimSpace(string(line))
			continue
		}
		keep()
		k, v, ok := strings.Cut(string(line), ":")
		if !ok {
			return p, refuseBody(off, ParseMultipart, "a header line without a colon")
		}
		name, value = strings.ToLower(strings.TrimSpace(k)), strings.TrimSpace(v)
	}
	var err error
	switch encoding {
	case "", "binary", "8bit", "7bit":
		p.data = rest
	case "base64":
		p.data, err = decodeBase64(rest)
	case "quoted-printable":
		p.data, err = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(rest)))
	default:
		return p, refuseBody(off, ParseMultipart, "transfer encoding %s", quote(encoding))
	}
	if err != nil {
		return p, refuseBody(off, ParseMultipart, "a part that is not in the %s that it names", encoding)
	}
	return p, nil
}

func trimID(s string) string {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && s[0] == '<' && s[len(s)-1] == '>' {
		s = s[1 : len(s)-1]
	}
	return s
}

// byReference finds the part that a cid: URL (RFC 2392) names.
func byReference(parts []part, href string) (*part, bool) {
	const scheme = "cid:"
	if len(href) <= len(scheme) || !strings.EqualFold(href[:len(scheme)], scheme) {
		return nil, false
	}
	plain := href[len(scheme):]
	id, err := url.PathUnescape(plain)
	if err != nil {
		id = plain
	}
	for i := range parts {
		if parts[i].id != "" && (parts[i].id == id || parts[i].id == plain) {
			return &parts[i], true
		}
	}
	return nil, false
}

// decodeBase64 reads base64 with any white space in it.
func decodeBase64(src []byte) ([]byte, error) {
	dst := make([]byte, base64.StdEncoding.DecodedLen(len(src)))
	n, err := base64.StdEncoding.Strict().Decode(dst, src)
	if err != nil && bytes.ContainsAny(src, " \t") {
		src = bytes.Map(func(r rune) rune {
			if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
				return -1
			}
			return r
		}, src)
		n, err = base64.StdEncoding.Strict().Decode(dst, src)
	}
	return dst[:n], err
}
