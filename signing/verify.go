package signing

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"time"

	"mezhved/envelopes/xmltape"
)

// Options is the policy of a Verifier. The zero value proves the signature and
// the dates of the certificate, and nothing about who issued it.
type Options struct {
	// Now is the clock; certificates are judged as of the moment of receipt.
	// Default time.Now.
	Now func() time.Time
	// SignatureOnly leaves dates, trust and revocation out: for looking at old
	// documents, never for admitting anyone.
	SignatureOnly bool
	// Trust judges certificates: chains, registration, revocation. Nil: dates only.
	Trust *Trust
	// Stamps judges the time stamps that stand in signatures; nil: this Verifier does.
	Stamps *Verifier
	// Algorithms are the allowed signature algorithms; empty: every one in the
	// table that is not legacy. Legacy ones (GOST R 34.10-2001) must be named.
	Algorithms []Algorithm
	// Blank tolerates white space between the elements of ds:Signature. MR 3.3
	// forbids it (some clients write it unless told not to).
	Blank bool
	// Certificates is the number of certificates kept read, some 30 KB each at
	// most; default 1024.
	Certificates int
}

// Verifier proves signatures under one policy. It is safe for concurrent use.
type Verifier struct {
	opt     Options
	allowed map[Algorithm]bool
	certs   certCache
}

// NewVerifier makes a Verifier. An algorithm that is not known is an error.
func NewVerifier(opt Options) (*Verifier, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Certificates <= 0 {
		opt.Certificates = 1024
	}
	v := &Verifier{opt: opt, allowed: map[Algorithm]bool{}}
	v.certs.limit = opt.Certificates
	for _, a := range opt.Algorithms {
		m := methodByURI(string(a))
		if m == nil {
			return nil, fmt.Errorf("signature algorithm %q is not known", a)
		}
		v.allowed[m.uri] = true
	}
	if len(opt.Algorithms) == 0 {
		for _, m := range methods {
			v.allowed[m.uri] = !m.legacy
		}
	}
	return v, nil
}

// Signed is an element that was proved to be signed: whoever holds one may use
// the element and nothing round it. Only a Verifier makes one that is not empty.
type Signed struct {
	element     xmltape.Node
	signature   xmltape.Node
	certificate *Certificate
	algorithm   Algorithm
	form        Form
	revocation  []*RevocationAnswer
	unchecked   error
	digest      [64]byte
	digestLen   uint8
	mark        [32]byte
}

// Element is the signed element, on the tape that was verified.
func (s Signed) Element() xmltape.Node { return s.element }

// Signature is the ds:Signature.
func (s Signed) Signature() xmltape.Node { return s.signature }

// Certificate is whose key signed.
func (s Signed) Certificate() *Certificate { return s.certificate }

// Algorithm is the signature algorithm.
func (s Signed) Algorithm() Algorithm { return s.algorithm }

// Unchecked is why nobody could say whether the certificate is revoked, where the
// policy lets that pass (FailOpen); nil: it was checked, or is not to be.
func (s Signed) Unchecked() error { return s.unchecked }

// Revocation are the answers by which the certificate and its issuers were found
// not to be revoked, that about the certificate itself first; none where
// revocation is not checked.
func (s Signed) Revocation() []*RevocationAnswer { return s.revocation }

// Form is the octet form in which the digest matched: "woodstox" or "jdk", or
// "canonical" outside the SMEV profile.
func (s Signed) Form() string { return s.form.String() }

// Digest is the digest of the element, as the Reference states it.
func (s Signed) Digest() []byte { return append([]byte(nil), s.digest[:s.digestLen]...) }

// Mark tells one act of signing from all others: it is the same for a signature
// and for whatever else somebody without the key can make of it, such as other
// base64, another place in a document, or the second value that every ECDSA
// signature has. Two acts have one mark where the algorithm draws no random
// numbers (RSA) and the same element was signed.
func (s Signed) Mark() [32]byte { return s.mark }

// markOf is over the certificate, the digest and what of the value nobody else
// can change: of ECDSA's r and s the s may be negated.
func markOf(cert *Certificate, m *method, digest, value []byte) [32]byte {
	if m.kind == ecdsaKey {
		value = value[:len(value)/2]
	}
	var room [2048]byte
	b := append(append(room[:0], "mezhved mark\x00"...), cert.SHA256[:]...)
	return sha256.Sum256(append(append(b, digest...), value...))
}

// Verify proves that the ds:Signature element sig is a valid signature, under
// the SMEV profile and this Verifier's policy, of exactly the element target, at
// this moment. The caller names the target by its position in the document; sig
// must be on the same tape and not inside it. An error is an *Error.
func (v *Verifier) Verify(sig, target xmltape.Node) (Signed, error) {
	return v.VerifyAt(sig, target, v.opt.Now())
}

// VerifyAt is Verify with certificates judged as of another moment.
func (v *Verifier) VerifyAt(sig, target xmltape.Node, at time.Time) (Signed, error) {
	s := scratches.Get().(*scratch)
	defer s.release()
	return v.verify(s, sig, target, at)
}

func (v *Verifier) verify(s *scratch, sig, target xmltape.Node, at time.Time) (Signed, error) {
	s.structure.blank, s.structure.certs = v.opt.Blank, &v.certs
	st, err := s.structure.read(sig)
	if err != nil {
		return Signed{}, err
	}
	if err := v.checkMethods(&st); err != nil {
		return Signed{}, err
	}
	if err := checkTarget(s, &st, sig, target); err != nil {
		return Signed{}, err
	}
	cert, err := v.admit(&st, at)
	if err != nil {
		return Signed{}, err
	}
	if err := checkValue(s, &st, cert); err != nil {
		return Signed{}, err
	}
	v.certs.keep(cert, st.certText)
	form, got, err := checkDigest(s, &st, target)
	if err != nil {
		return Signed{}, err
	}
	// Asked last, and only for those who have shown that they hold the key:
	// nobody else can make us ask a revocation service.
	decided, unchecked, e := v.revocation(cert, at)
	if e != nil {
		return Signed{}, placed(e, st.certAt)
	}
	signed := Signed{revocation: decided, unchecked: unchecked, element: target, signature: sig, certificate: cert, algorithm: st.method.uri, form: form, digestLen: uint8(len(got))}
	copy(signed.digest[:], got)
	signed.mark = markOf(cert, st.method, got, st.value)
	return signed, nil
}

// Kept is the digest of a certificate by which something was verified here and that stood
// in the signature as this base64. That it stands so elsewhere proves nothing; it spares
// whoever wants to know whose it claims to be the decoding.
func (v *Verifier) Kept(text []byte) (sum [32]byte, ok bool) {
	if cert := v.certs.written(text); cert != nil {
		return cert.SHA256, true
	}
	return sum, false
}

// revocation asks whether a certificate is revoked, where the policy wants to know.
func (v *Verifier) revocation(cert *Certificate, at time.Time) (decided []*RevocationAnswer, unchecked error, err *Error) {
	if v.opt.SignatureOnly || v.opt.Trust == nil {
		return nil, nil, nil
	}
	return v.opt.Trust.checkRevocation(cert, at)
}

// checkMethods holds the algorithms against the policy.
func (v *Verifier) checkMethods(st *structure) error {
	if !v.allowed[st.method.uri] {
		return refuse(BadAlgorithm, st.signedInfo, "signature algorithm %s is not allowed", st.method.name)
	}
	d := &digests[st.digest]
	if d.legacy && !st.method.legacy {
		return refuse(BadAlgorithm, st.reference, "digest algorithm %s is not allowed with %s", d.name, st.method.name)
	}
	if len(st.wantDigest) != d.size {
		return refuse(Malformed, st.reference, "DigestValue of %d bytes: %s has %d", len(st.wantDigest), d.name, d.size)
	}
	return nil
}

// checkTarget makes sure that the Reference names the prescribed element, that
// nothing else in the document claims its Id, and that the signature is not in it.
func checkTarget(s *scratch, st *structure, sig, target xmltape.Node) error {
	if !target.Valid() || target.Tape() != sig.Tape() {
		return refuse(WrongTarget, sig, "the element that is to be signed is not there")
	}
	if len(st.uri) < 2 || st.uri[0] != '#' || !isNCName(st.uri[1:]) {
		return refuse(WrongTarget, st.reference, "URI %q does not name an Id", clip(st.uri))
	}
	name := st.uri[1:]
	at, err := s.ids.only(target.Tape(), name)
	if err != nil {
		return err
	}
	id, ok := attrValue(target, "Id", s.uri)
	s.uri = id
	if !ok {
		return refuse(WrongTarget, target, "the element that is to be signed has no Id")
	}
	if !bytes.Equal(id, name) || at != target {
		return refuse(WrongTarget, st.reference, "Reference names %q, the element that is to be signed is %q", clip(name), clip(id))
	}
	if i := sig.Index(); i >= target.Index() && i <= int(target.Token().Match) {
		return refuse(WrongTarget, sig, "the signature is inside the element that it covers")
	}
	return nil
}

// admit reads the certificate and judges it as far as that costs no network.
func (v *Verifier) admit(st *structure, at time.Time) (*Certificate, error) {
	cert := st.known
	if cert == nil {
		var err error
		if cert, err = v.certs.get(st.cert); err != nil {
			e := refuse(CertificateMalformed, st.certAt, "X509Certificate cannot be read")
			e.Err = err
			return nil, e
		}
	}
	if e := v.judge(cert, st.method, at); e != nil {
		return nil, placed(e, st.certAt)
	}
	return cert, nil
}

// judge holds a certificate against a method and the policy.
func (v *Verifier) judge(cert *Certificate, m *method, at time.Time) *Error {
	if cert.key == nil {
		return &Error{Code: KeyUnfit, Detail: "the key may not be used", Err: cert.keyErr, Certificate: cert}
	}
	if cert.key.kind() != m.kind {
		return &Error{Code: KeyUnfit, Detail: fmt.Sprintf("a key %s does not fit %s", cert.key, m.name), Certificate: cert}
	}
	if v.opt.SignatureOnly {
		return nil
	}
	if e := cert.checkDates(at); e != nil {
		return e
	}
	if v.opt.Trust != nil {
		return v.opt.Trust.check(cert, at)
	}
	return nil
}

// checkValue verifies SignatureValue over the canonical SignedInfo.
func checkValue(s *scratch, st *structure, cert *Certificate) error {
	sum, err := s.digestSignedInfo(digestByURI(string(st.method.digest)), st.signedInfo)
	if err != nil {
		return err
	}
	if !cert.key.verify(st.method, sum, st.value) {
		e := refuse(ValueInvalid, st.valueAt, "SignatureValue does not match SignedInfo and certificate")
		e.Certificate = cert
		return e
	}
	return nil
}

// checkDigest digests the target in the Woodstox form and, when that is not what
// was signed, in the JDK form. Content that the reference cannot sign is refused
// whatever the JDK would write for it.
func checkDigest(s *scratch, st *structure, target xmltape.Node) (Form, []byte, error) {
	for form := Woodstox; form <= JDK; form++ {
		got, err := s.verifiedDigest(st.digest, target, form)
		if err != nil {
			return 0, nil, err
		}
		if subtle.ConstantTimeCompare(got, st.wantDigest) == 1 {
			return form, got, nil
		}
	}
	return 0, nil, refuse(DigestMismatch, target, "the element is not what was signed")
}

// placed adds the place to an error about a certificate.
func placed(e *Error, n xmltape.Node) *Error {
	e.Offset, _ = n.Range()
	e.Path = n.XPath()
	return e
}
