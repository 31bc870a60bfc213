// Package paper is the report of a conformance run: what was asked of a bus or a
// party, what was sent, what came, the verdict; its signature and its end.
//
// Anybody may enter who writes, shows or believes such reports: the kit
// (package conform), the command that verifies one, and the registry that demands
// one of a party. It knows no wire and no gateway. It is pure: times are given.
//
// A Report is written once as JSON, and the bytes are what is signed (a detached
// CMS signature beside the file): nobody writes a report anew to verify it. The
// page (HTML) is made of the same Report and names the digest of its JSON.
//
// What a report proves is that the holder of the kit's key says so. Who believes
// one names the keys that he believes (Verify).
package paper

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"mezhved/signing"
)

// Kind says what was tried.
type Kind string

// The kinds of reports.
const (
	Bus   Kind = "bus"
	Party Kind = "party"
)

// Verdict is the outcome of one check.
type Verdict string

// The verdicts.
const (
	Passed       Verdict = "passed"
	Failed       Verdict = "failed"
	Inapplicable Verdict = "not-applicable" // it could not be asked; Result.Why says why
)

// Level says what a failed check means.
type Level string

// The levels.
const (
	Must   Level = "must"   // whoever fails is not fit
	Should Level = "should" // a recommendation
)

// Check is one named question. Texts are Russian.
type Check struct {
	ID     string `json:"id"`     // stable: bus.signature-value
	Title  string `json:"title"`  // what must be true
	Clause string `json:"clause"` // where the guidelines say so
	Level  Level  `json:"level"`
	Advice string `json:"advice"` // what to do when it fails
}

// Piece is one side of an exchange: what was sent, or what came.
type Piece struct {
	Head   string `json:"head,omitempty"` // the request line or the status line, and the headers
	Body   string `json:"body,omitempty"`
	Base64 bool   `json:"base64,omitempty"` // Body is base64: it is no text
	Size   int    `json:"size"`             // of the whole body, bytes
	SHA256 string `json:"sha256,omitempty"` // of the whole body
	Cut    bool   `json:"cut,omitempty"`    // Body is its beginning
}

// kept is how much of a body stands in a report.
const kept = 64 << 10

// PieceOf keeps a body with what stood before it.
func PieceOf(line string, header http.Header, body []byte) Piece {
	var head strings.Builder
	head.WriteString(line)
	names := make([]string, 0, len(header))
	for n := range header {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		for _, v := range header[n] {
			fmt.Fprintf(&head, "\n%s: %s", n, v)
		}
	}
	p := Piece{Head: head.String(), Size: len(body)}
	if len(body) == 0 {
		return p
	}
	sum := sha256.Sum256(body)
	p.SHA256 = hex.EncodeToString(sum[:])
	if len(body) > kept {
		body, p.Cut = body[:kept], true
		for len(body) > 0 && !utf8.RuneStart(body[len(body)-1]) { // no half of a character
			body = body[:len(body)-1]
		}
		if n := len(body); n > 0 && body[n-1] >= utf8.RuneSelf {
			body = body[:n-1]
		}
	}
	if p.Base64 = !utf8.Valid(body) || bytes.IndexByte(body, 0) >= 0; p.Base64 {
		p.Body = base64.StdEncoding.EncodeToString(body)
	} else {
		p.Body = string(body)
	}
	return p
}

// Exchange is one HTTP call with its answer. Of a party's report the party sent,
// of a bus's report the kit.
type Exchange struct {
	At   time.Time `json:"at"`
	What string    `json:"what"` // "SendRequest 8d384e7d-…"
	Sent Piece     `json:"sent"`
	Came Piece     `json:"came"`
}

// Result is a check with its outcome.
type Result struct {
	Check
	Verdict   Verdict    `json:"verdict"`
	Why       string     `json:"why,omitempty"` // of what is not passed, Russian
	Exchanges []Exchange `json:"exchanges,omitempty"`
}

// Subject is who was tried.
type Subject struct {
	URL          string   `json:"url"`
	Mnemonic     string   `json:"mnemonic,omitempty"`     // of a party, as it calls itself
	Roles        []string `json:"roles,omitempty"`        // of a party: consumer, provider
	Versions     []string `json:"versions,omitempty"`     // of the protocol, that were spoken
	Certificates []string `json:"certificates,omitempty"` // SHA-256 of those that it signed with, in hexadecimal
	Names        []string `json:"names,omitempty"`        // whose they are
}

// Report is what a run of the kit found.
type Report struct {
	Format     string    `json:"format"` // Format
	Kit        string    `json:"kit"`    // the program that tried
	Kind       Kind      `json:"kind"`
	Subject    Subject   `json:"subject"`
	Begun      time.Time `json:"begun"`
	Ended      time.Time `json:"ended"`
	ValidUntil time.Time `json:"validUntil"`
	// Whole says that all checks of the kit were asked; a run over a chosen few
	// shows nobody fit.
	Whole   bool     `json:"whole"`
	Results []Result `json:"results"`
}

// Format is the form of reports that this package reads and writes.
const Format = "mezhved conformance report 1"

// Count is how many results have the verdict.
func (r *Report) Count(v Verdict) (n int) {
	for _, c := range r.Results {
		if c.Verdict == v {
			n++
		}
	}
	return n
}

// Broken are the checks that must hold and do not.
func (r *Report) Broken() (out []Result) {
	for _, c := range r.Results {
		if c.Verdict == Failed && c.Level == Must {
			out = append(out, c)
		}
	}
	return out
}

// Fit says that every check was asked, something was proved by it, and nothing that
// must hold failed.
func (r *Report) Fit() bool {
	return r.Whole && r.Count(Passed) > 0 && len(r.Broken()) == 0
}

// Unfit says why a report shows nobody fit; nil: it does.
func (r *Report) Unfit() error {
	switch broken := r.Broken(); {
	case len(broken) > 0:
		ids := make([]string, len(broken))
		for i, c := range broken {
			ids[i] = c.ID
		}
		all := strings.Join(ids, ", ")
		return &sentence{"not fit: " + all, "не соответствует: " + all}
	case !r.Whole:
		return &sentence{"not all checks were asked: this was a trial", "заданы не все проверки: это была проба"}
	case !r.Fit():
		return &sentence{"no check passed", "ни одна проверка не пройдена"}
	}
	return nil
}

// Encode gives the bytes that are signed.
func (r *Report) Encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(r); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Read reads what Encode wrote. That the bytes are signed is Verify's matter.
func Read(src []byte) (*Report, error) {
	r := new(Report)
	d := json.NewDecoder(bytes.NewReader(src))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("this is no conformance report: %w", err)
	}
	if r.Format != Format {
		return nil, fmt.Errorf("this is no conformance report of a known form: %q", r.Format)
	}
	return r, nil
}

// Sign makes the detached signature over a file of a report, as PEM.
func Sign(ctx context.Context, file []byte, signer signing.Signer, now time.Time) ([]byte, error) {
	der, err := signing.SignCMS(ctx, signing.Octets{Bytes: file}, signer, now)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: der}), nil
}

// Believed is a report whose signature holds.
type Believed struct {
	*Report
	Signer *signing.Certificate
	Signed time.Time // as the signer says
}

// Verify proves the signature over a report's file. Of certificates with which it
// may be signed trusted names those that are believed; none: any that was valid
// when the report says that it was signed. A report that has ended is given with
// an *ExpiredError.
func Verify(file, signature []byte, trusted []*signing.Certificate, now time.Time) (*Believed, error) {
	r, err := Read(file)
	if err != nil {
		return nil, err
	}
	signed, err := VerifyFile(file, signature, trusted, r.Ended)
	if err != nil {
		return nil, err
	}
	b := &Believed{Report: r, Signer: signed.Certificate(), Signed: signed.Claimed()}
	if !now.Before(r.ValidUntil) {
		return b, &ExpiredError{r.ValidUntil}
	}
	return b, nil
}

// VerifyFile proves the signature over any file of a report, the page for one, as
// of the moment when the run ended.
func VerifyFile(file, signature []byte, trusted []*signing.Certificate, at time.Time) (signing.SignedFile, error) {
	der, err := signing.ParseCMS(signature)
	if err != nil {
		return signing.SignedFile{}, fmt.Errorf("the signature cannot be read: %w", err)
	}
	opt := signing.Options{}
	if len(trusted) > 0 {
		if opt.Trust, err = signing.NewTrust(signing.TrustOptions{Registered: func(c *signing.Certificate) bool {
			return slices.ContainsFunc(trusted, func(k *signing.Certificate) bool { return k.SHA256 == c.SHA256 })
		}}); err != nil {
			return signing.SignedFile{}, err
		}
	}
	v, err := signing.NewVerifier(opt)
	if err != nil {
		return signing.SignedFile{}, err
	}
	signed, err := v.VerifyCMSAt(der, signing.Octets{Bytes: file}, at, trusted...)
	if err != nil {
		return signing.SignedFile{}, fmt.Errorf("the report's signature: %w", err)
	}
	return signed, nil
}

// ExpiredError says that a report has ended.
type ExpiredError struct{ At time.Time }

func (e *ExpiredError) Error() string {
	return "the report was valid until " + e.At.UTC().Format(time.RFC3339) + ": run the checks again"
}
