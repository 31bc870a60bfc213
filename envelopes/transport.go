package envelopes

import (
	"bytes"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// TextXML is the content type of an envelope without parts.
const TextXML = "text/xml; charset=UTF-8"

// rootPart is the Content-ID that Apache CXF gives to the envelope, and that
// clients of the live bus are used to.
const rootPart = "root.message@cxf.apache.org"

// Package gives content type and body under which a finished envelope travels:
// as text/xml, or, when there are parts or multipart is wished, as the live bus
// does, multipart/related of XOP with a boundary that begins with "uuid:".
func Package(envelope []byte, parts []Part, multipart bool) (contentType string, body []byte) {
	if len(parts) == 0 && !multipart {
		return TextXML, envelope
	}
	boundary := "uuid:" + uuid.NewString()
	size := len(envelope) + 512
	for _, p := range parts {
		size += len(p.Data) + 256
	}
	b := bytes.NewBuffer(make([]byte, 0, size))
	head := func(kind, id string) {
		b.WriteString("--" + boundary + "\r\nContent-Type: " + kind +
			"\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <" + id + ">\r\n\r\n")
	}
	head(`application/xop+xml; charset=UTF-8; type="text/xml"`, rootPart)
	b.Write(envelope)
	b.WriteString("\r\n")
	for _, p := range parts {
		head(or(p.ContentType, "application/octet-stream"), p.ContentID)
		b.Write(p.Data)
		b.WriteString("\r\n")
	}
	b.WriteString("--" + boundary + "--")
	return `multipart/related; type="application/xop+xml"; boundary="` + boundary + `"; start="<` + rootPart + `>"; start-info="text/xml"`, b.Bytes()
}

// TakesMultipart reports whether the client of a request understands a
// multipart answer: it sent one, or its Accept names multipart/related. h is an
// http.Header: whoever reads envelopes offline links no HTTP.
func TakesMultipart(h map[string][]string) bool {
	names := func(s string) bool {
		const multipart = "multipart/related"
		for ; len(s) >= len(multipart); s = s[1:] {
			if strings.EqualFold(s[:len(multipart)], multipart) {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(h["Accept"], names) || len(h["Content-Type"]) > 0 && names(h["Content-Type"][0])
}
