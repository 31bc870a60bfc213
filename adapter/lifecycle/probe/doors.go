package probe

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"mezhved/envelopes/xmltape"
	"mezhved/xsd"
)

// here is the host of the gateway's own doors, as the prober's calls name it.
const here = "localhost"

// RoundTrip takes a call to the doors of this process: whatever stands before them,
// proxies or TLS, is not what is probed, and needs no settings here.
func (p *Prober) RoundTrip(r *http.Request) (*http.Response, error) {
	call := r.Clone(r.Context())
	call.RemoteAddr, call.RequestURI, call.Host = "127.0.0.1:0", r.URL.RequestURI(), here
	if call.Body == nil {
		call.Body = http.NoBody
	}
	a := &answer{header: http.Header{}, status: http.StatusOK}
	p.o.Gateway().Handler().ServeHTTP(a, call)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: a.status, Status: http.StatusText(a.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: a.header,
		Body: io.NopCloser(&a.body), ContentLength: int64(a.body.Len()), Request: r}, nil
}

// answer is what the doors write.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

// refuses is the rule by which the schema in force refuses content; empty: it takes it.
func (s *plan) refuses(content []byte) string {
	tape := new(xmltape.Tape)
	if err := tape.Parse(content, xmltape.Limits{}); err != nil {
		return "xml"
	}
	return ruleOf(s.Validate(tape.Root()))
}

// ruleOf is the first rule that a document breaks.
func ruleOf(_ int, err error) string {
	var invalid *xsd.Invalid
	if errors.As(err, &invalid) && len(invalid.Violations) > 0 {
		return invalid.Violations[0].Rule
	}
	if err != nil {
		return "xml"
	}
	return ""
}
