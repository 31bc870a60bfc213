package signing

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"mezhved/envelopes/xmltape"
)

// Explanation says everything about one signature of a document.
type Explanation struct {
	Profile       string `json:"profile"`        // "smev3", or "xmldsig" for a signature outside it
	Role          Role   `json:"role,omitempty"` // whose signature the protocol has here
	Place         string `json:"place"`          // XPath of ds:Signature, or of the element that should hold it
	SignedElement string `json:"signed_element"` // XPath of what is to be covered
	Prescribed    string `json:"prescribed,omitempty"`
	ReferenceURI  string `json:"reference_uri,omitempty"`

	Algorithms ExplainedAlgorithms `json:"algorithms"`

	DigestOK         bool   `json:"digest_ok"`
	SignatureValueOK bool   `json:"signature_value_ok"`
	WriterForm       string `json:"writer_form,omitempty"`
	ExpectedDigest   string `json:"expected_digest,omitempty"` // base64, as the Reference states it
	ActualDigest     string `json:"actual_digest,omitempty"`   // base64, of the Woodstox form when none matches

	Certificate *ExplainedCertificate  `json:"certificate,omitempty"`
	Chain       []ExplainedCertificate `json:"chain,omitempty"`

	Verdict string `json:"verdict"` // "valid" or "invalid"
	Code    Code   `json:"code,omitempty"`
	Reason  string `json:"reason"`
	russian string // of Reason's detail, where there is one

	Deviations []Deviation `json:"deviations,omitempty"`

	// The octets: exclusive canonicalisation of the signed element, what the
	// transform makes of it (that was digested), and the canonical SignedInfo
	// that the value is over.
	Canonical   []byte `json:"canonical,omitempty"`
	Transformed []byte `json:"transformed,omitempty"`
	SignedInfo  []byte `json:"signed_info,omitempty"`
}

// ExplainedAlgorithms are the algorithms by URI.
type ExplainedAlgorithms struct {
	Canonicalization string   `json:"canonicalization,omitempty"`
	Signature        string   `json:"signature,omitempty"`
	Digest           string   `json:"digest,omitempty"`
	Transforms       []string `json:"transforms,omitempty"`
}

// ExplainedCertificate is a certificate for people.
type ExplainedCertificate struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	Serial    string    `json:"serial"`
	SHA256    string    `json:"sha256"`
	Key       string    `json:"key"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

// Deviation is something that the sender did which explains a mismatch: with it
// the digest or the value comes out right.
type Deviation struct {
	Name    string `json:"name"`
	English string `json:"english"`
	Russian string `json:"russian"`
	// The first byte in which what the sender signed differs from what should
	// have been signed, with some bytes round it; empty when it is no matter of
	// octets.
	Offset   int    `json:"offset,omitempty"`
	Expected string `json:"expected,omitempty"` // what the profile has there
	Signed   string `json:"signed,omitempty"`   // what the sender signed there
}

// FewSignatures are more than people write, but for registries, and as many as may be explained
// of a document that a stranger has written.
const FewSignatures = 10

// Explain looks at the signatures of a document, the first most of them: those at the
// places of the protocol, missing ones left out, and, in a document that has none, any
// ds:Signature. Certificates are judged as of the moment, under the Verifier's
// policy. It is slow and for people; nothing is admitted by it. Each signature takes as
// long as the document is, so a stranger's document is to be asked for FewSignatures of them.
func (v *Verifier) Explain(t *xmltape.Tape, at time.Time, most int) []Explanation {
	var out []Explanation
	for _, p := range Places(t) {
		if len(out) == most {
			return out
		}
		out = append(out, v.explainPlace(p, at))
	}
	if len(out) > 0 {
		return out
	}
	for i := range t.Tokens {
		if len(out) == most {
			return out
		}
		if n := t.NodeAt(i); n.Is(Namespace, "Signature") {
			out = append(out, v.explainLoose(t, n, at))
		}
	}
	return out
}

// explainPlace explains a signature at a place of the protocol.
func (v *Verifier) explainPlace(p Place, at time.Time) Explanation {
	x := Explanation{Profile: "smev3", Role: p.Role, Place: p.Holder.XPath(), SignedElement: p.Target.XPath(), Prescribed: p.Prescribed}
	if !p.Signature.Valid() {
		x.fail(refuse(NoSignature, p.Holder, "the element holds no single ds:Signature"))
		return x
	}
	x.Place = p.Signature.XPath()
	v.explainSMEV(&x, p.Signature, p.Target, at)
	return x
}

// explainLoose explains a ds:Signature that is at no place of the protocol: by
// the SMEV profile when it names the SMEV transform, else by the W3C's rules.
// Nobody has prescribed what it should cover.
func (v *Verifier) explainLoose(t *xmltape.Tape, sig xmltape.Node, at time.Time) Explanation {
	x := Explanation{Profile: "xmldsig", Place: sig.XPath()}
	x.readAlgorithms(sig)
	for _, tr := range x.Algorithms.Transforms {
		if tr != TransformURI {
			continue
		}
		x.Profile = "smev3"
		var ids idIndex
		target, err := ids.find(t, bytes.TrimPrefix([]byte(x.ReferenceURI), []byte("#")))
		if err != nil {
			x.fail(err)
			return x
		}
		x.SignedElement = target.XPath()
		v.explainSMEV(&x, sig, target, at)
		return x
	}
	signed, err := v.VerifyForeignAt(sig, at)
	if err != nil {
		x.fail(err)
		x.SignatureValueOK = x.Code == DigestMismatch
		return x
	}
	x.SignedElement = signed.element.XPath()
	x.DigestOK, x.SignatureValueOK = true, true
	x.ExpectedDigest = base64.StdEncoding.EncodeToString(signed.Digest())
	x.ActualDigest, x.WriterForm = x.ExpectedDigest, signed.Form()
	x.certificate(v, signed.certificate, at)
	x.pass()
	return x
}

// explainSMEV takes the verification step by step, going on where Verify stops.
func (v *Verifier) explainSMEV(x *Explanation, sig, target xmltape.Node, at time.Time) {
	x.readAlgorithms(sig)
	signed, verdict := v.VerifyAt(sig, target, at)
	s := new(scratch)
	s.structure.blank = true
	st, err := s.structure.read(sig)
	if err != nil {
		x.fail(verdict)
		return
	}
	x.ExpectedDigest = base64.StdEncoding.EncodeToString(st.wantDigest)
	cert, certErr := v.certs.get(st.cert)
	if certErr == nil {
		x.certificate(v, cert, at)
	}
	info := canonicalOctets(st.signedInfo, Exclusive)
	x.SignedInfo = info
	if target.Valid() {
		x.Canonical = canonicalOctets(target, Exclusive)
		x.digest(s, &st, target)
	}
	if certErr == nil && cert.key != nil {
		x.value(&st, cert, info)
	}
	if verdict != nil {
		x.fail(verdict)
		return
	}
	x.WriterForm = signed.Form()
	x.pass()
}

// digest compares digests and, when they differ, looks for what the sender did.
func (x *Explanation) digest(s *scratch, st *structure, target xmltape.Node) {
	for form := Woodstox; form <= JDK; form++ {
		var octets bytes.Buffer
		s.bounded = boundFor(&octets, target, explainedGrowth)
		if err := s.smev.run(&s.bounded, target, form); err != nil {
			return
		}
		got := digestOf(st.digest, octets.Bytes())
		matches := subtle.ConstantTimeCompare(got, st.wantDigest) == 1
		if matches || form == Woodstox {
			x.ActualDigest = base64.StdEncoding.EncodeToString(got)
			x.Transformed = octets.Bytes()
		}
		if matches {
			x.DigestOK = true
			x.WriterForm = form.String()
			if form == JDK {
				x.deviate("jdk-writer", "the transform ran over the JDK's StAX writer; accepted", "преобразование выполнено на StAX из состава JDK; принимается", nil, nil)
			}
			return
		}
	}
	x.searchDigest(st, target)
}

// value verifies SignatureValue and, when it does not hold, looks for what the
// sender did.
func (x *Explanation) value(st *structure, cert *Certificate, info []byte) {
	if cert.key.kind() != st.method.kind {
		return
	}
	k := digestByURI(string(st.method.digest))
	holds := func(octets, value []byte) bool { return cert.key.verify(st.method, digestOf(k, octets), value) }
	if holds(info, st.value) {
		x.SignatureValueOK = true
		return
	}
	x.searchValue(st, cert, info, holds)
}

func (x *Explanation) pass() {
	x.Verdict = "valid"
	x.Reason = "the signature holds"
}

func (x *Explanation) fail(err error) {
	x.Verdict = "invalid"
	var e *Error
	if errors.As(err, &e) {
		x.Code, x.russian = e.Code, e.Russian()
	}
	x.Reason = err.Error()
}

func (x *Explanation) certificate(v *Verifier, cert *Certificate, at time.Time) {
	c := explained(cert)
	x.Certificate = &c
	if v.opt.Trust == nil || v.opt.SignatureOnly {
		return
	}
	chain, err := v.opt.Trust.Chain(cert, at)
	if err != nil {
		return
	}
	for _, c := range chain {
		x.Chain = append(x.Chain, explained(c))
	}
}

func explained(c *Certificate) ExplainedCertificate {
	return ExplainedCertificate{Subject: c.Subject(), Issuer: c.Issuer(), Serial: fmt.Sprintf("%x", c.X509.SerialNumber),
		SHA256: c.Fingerprint(), Key: c.Key(), NotBefore: c.NotBefore(), NotAfter: c.NotAfter()}
}

// readAlgorithms reads what the signature says of itself, however it is built.
func (x *Explanation) readAlgorithms(sig xmltape.Node) {
	info := sig.Child(Namespace, "SignedInfo")
	ref := info.Child(Namespace, "Reference")
	x.Algorithms.Canonicalization, _ = info.Child(Namespace, "CanonicalizationMethod").Attr("", "Algorithm")
	x.Algorithms.Signature, _ = info.Child(Namespace, "SignatureMethod").Attr("", "Algorithm")
	x.Algorithms.Digest, _ = ref.Child(Namespace, "DigestMethod").Attr("", "Algorithm")
	x.ReferenceURI, _ = ref.Attr("", "URI")
	for tr := range ref.Child(Namespace, "Transforms").Children() {
		uri, _ := tr.Attr("", "Algorithm")
		x.Algorithms.Transforms = append(x.Algorithms.Transforms, uri)
	}
}

// deviate notes a deviation; signed and want are the octets on both sides, nil
// when it is no matter of octets.
func (x *Explanation) deviate(name, en, ru string, want, signed []byte) {
	d := Deviation{Name: name, English: en, Russian: ru}
	if signed != nil {
		d.Offset, d.Expected, d.Signed = Difference(want, signed)
	}
	x.Deviations = append(x.Deviations, d)
}

// Difference is the first byte in which octets that were signed differ from those that
// should have been, with some bytes round it on both sides, quoted.
func Difference(want, signed []byte) (offset int, expected, found string) {
	at := firstDifference(want, signed)
	return at, excerpt(want, at), excerpt(signed, at)
}

func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// excerpt quotes some bytes round a place; control characters come out escaped.
func excerpt(b []byte, at int) string {
	from, to := max(0, at-24), min(len(b), at+24)
	return fmt.Sprintf("%q", b[min(from, to):to])
}

// canonicalOctets is the canonical form of an element; nil when it is too large to be kept.
func canonicalOctets(n xmltape.Node, method C14N) []byte {
	var b bytes.Buffer
	out := boundFor(&b, n, explainedGrowth)
	if Canonicalize(&out, Subset{Element: n}, method) != nil {
		return nil
	}
	return b.Bytes()
}

// derValue tells whether value is a DER signature of the key over the digest.
func derValue(key publicKey, digest, value []byte) bool {
	p, ok := key.(*ecdsaPublicKey)
	return ok && ecdsa.VerifyASN1(p.k, digest, value)
}
