package signing

import (
	"crypto/subtle"
	"strings"
	"time"

	"mezhved/envelopes/xmltape"
)

const (
	xpathURI      = "http://www.w3.org/TR/1999/REC-xpath-19991116"
	exclusiveNS   = "http://www.w3.org/2001/10/xml-exc-c14n#"
	maxForeignKey = 4 // certificates tried
)

// foreign is a ds:Signature outside the SMEV profile, taken apart.
type foreign struct {
	signedInfo xmltape.Node
	c14n       C14N
	prefixes   []string
	method     *method
	digest     int
	uri        string
	enveloped  bool
	refC14N    C14N
	refPrefix  []string
	want       []byte
	value      []byte
	certs      [][]byte
	certAt     xmltape.Node
	valueAt    xmltape.Node
	reference  xmltape.Node
}

// VerifyForeign proves a ds:Signature that is not of the SMEV profile: enveloped,
// enveloping or detached in one document, exactly one Reference to the whole
// document or to an element by Id, any of the W3C canonicalisations, a
// certificate in KeyInfo. It is for tools that look at other people's documents.
// The Signed tells what was covered; unlike Verify nobody has prescribed it.
//
// Refused by policy: SHA-1, MD5, DSA, HMAC and all else outside the algorithm
// table; keys without a certificate; XPath (but for the expression that says the
// same as enveloped-signature), XSLT, base64; external references; manifests.
func (v *Verifier) VerifyForeign(sig xmltape.Node) (Signed, error) {
	return v.VerifyForeignAt(sig, v.opt.Now())
}

// VerifyForeignAt is VerifyForeign with certificates judged as of another moment.
func (v *Verifier) VerifyForeignAt(sig xmltape.Node, at time.Time) (Signed, error) {
	if !sig.Is(Namespace, "Signature") {
		return Signed{}, &Error{Code: NoSignature, Detail: "no ds:Signature"}
	}
	f, err := readForeign(sig)
	if err != nil {
		return Signed{}, err
	}
	if !v.allowed[f.method.uri] {
		return Signed{}, refuse(BadAlgorithm, sig, "signature algorithm %s is not allowed", f.method.name)
	}
	if digests[f.digest].legacy && !f.method.legacy {
		return Signed{}, refuse(BadAlgorithm, sig, "digest algorithm %s is not allowed", digests[f.digest].name)
	}
	s := scratches.Get().(*scratch)
	defer s.release()
	subset, target, err := f.resolve(s, sig)
	if err != nil {
		return Signed{}, err
	}
	cert, err := v.foreignKey(s, f, at)
	if err != nil {
		return Signed{}, err
	}
	h := s.hasher(f.digest)
	s.bounded = boundFor(h, target, verifiedGrowth)
	if err := s.c14n.run(&s.bounded, subset, f.refC14N); err != nil {
		return Signed{}, grown(err, target)
	}
	got := h.Sum(s.sum[:0])
	if subtle.ConstantTimeCompare(got, f.want) != 1 {
		return Signed{}, refuse(DigestMismatch, target, "the content is not what was signed")
	}
	decided, unchecked, e := v.revocation(cert, at)
	if e != nil {
		return Signed{}, placed(e, f.certAt)
	}
	signed := Signed{revocation: decided, unchecked: unchecked, element: target, signature: sig, certificate: cert, algorithm: f.method.uri, form: canonicalForm, digestLen: uint8(len(got))}
	copy(signed.digest[:], got)
	return signed, nil
}

// foreignKey finds the certificate whose key made the value, and judges it.
func (v *Verifier) foreignKey(s *scratch, f *foreign, at time.Time) (*Certificate, error) {
	h := s.hasher(digestByURI(string(f.method.digest)))
	if err := s.c14n.run(h, Subset{Element: f.signedInfo, Prefixes: f.prefixes}, f.c14n); err != nil {
		return nil, err
	}
	sum := h.Sum(s.sum[:0])
	var unfit error
	for _, der := range f.certs {
		cert, err := v.certs.get(der)
		switch {
		case err != nil:
			e := refuse(CertificateMalformed, f.certAt, "X509Certificate cannot be read")
			e.Err = err
			return nil, e
		case cert.key == nil:
			e := refuse(KeyUnfit, f.certAt, "the key may not be used")
			e.Err, e.Certificate = cert.keyErr, cert
			unfit = e
			continue
		case cert.key.kind() != f.method.kind || !cert.key.verify(f.method, sum, f.value):
			continue
		case v.opt.SignatureOnly:
			return cert, nil
		}
		if err := cert.checkDates(at); err != nil {
			return nil, placed(err, f.certAt)
		}
		if v.opt.Trust != nil {
			if err := v.opt.Trust.check(cert, at); err != nil {
				return nil, placed(err, f.certAt)
			}
		}
		v.certs.keep(cert, nil)
		return cert, nil
	}
	if unfit != nil {
		return nil, unfit
	}
	return nil, refuse(ValueInvalid, f.valueAt, "SignatureValue does not match SignedInfo and any certificate in KeyInfo")
}

// resolve finds what the Reference covers.
func (f *foreign) resolve(s *scratch, sig xmltape.Node) (Subset, xmltape.Node, error) {
	t := sig.Tape()
	subset := Subset{Prefixes: f.refPrefix}
	target := t.Root()
	if f.uri == "" {
		subset.Document = t
	} else {
		name, ok := strings.CutPrefix(f.uri, "#")
		if !ok || !isNCName([]byte(name)) {
			return subset, target, refuse(WrongTarget, f.reference, "URI %q is neither empty nor an Id of this document; nothing is fetched", clip([]byte(f.uri)))
		}
		at, err := s.ids.only(t, []byte(name))
		if err != nil {
			return subset, target, err
		}
		if !at.Valid() {
			return subset, target, refuse(WrongTarget, f.reference, "no element has the Id %q", clip([]byte(name)))
		}
		target = at
		subset.Element = at
	}
	i := sig.Index()
	inside := i >= target.Index() && i <= int(target.Token().Match)
	switch {
	case inside && !f.enveloped:
		return subset, target, refuse(WrongTarget, sig, "the signature is inside what it covers, without the enveloped-signature transform")
	case inside:
		subset.Without = sig
	case f.enveloped:
		return subset, target, refuse(WrongTarget, sig, "enveloped-signature, but the signature is not inside what it covers")
	}
	return subset, target, nil
}

func readForeign(sig xmltape.Node) (*foreign, error) {
	f := &foreign{}
	r := structureReader{blank: true}
	var keyInfo xmltape.Node
	for c := range sig.Children() {
		switch {
		case c.Is(Namespace, "SignedInfo") && !f.signedInfo.Valid():
			f.signedInfo = c
		case c.Is(Namespace, "SignatureValue") && !f.valueAt.Valid():
			f.valueAt = c
		case c.Is(Namespace, "KeyInfo") && !keyInfo.Valid():
			keyInfo = c
		case c.Is(Namespace, "Object"):
		default:
			return nil, refuse(Malformed, c, "unexpected element in ds:Signature")
		}
	}
	if !f.signedInfo.Valid() || !f.valueAt.Valid() {
		return nil, refuse(Malformed, sig, "ds:SignedInfo or ds:SignatureValue is missing")
	}
	parts, err := r.children(f.signedInfo, "Id", "CanonicalizationMethod", "SignatureMethod", "Reference")
	if err != nil {
		return nil, err
	}
	f.reference = parts[2]
	if f.c14n, f.prefixes, err = readC14N(parts[0]); err != nil {
		return nil, err
	}
	uri, _ := parts[1].Attr("", "Algorithm")
	if f.method = methodByURI(uri); f.method == nil {
		return nil, refuse(BadAlgorithm, parts[1], "signature algorithm %q is not in the table", clip([]byte(uri)))
	}
	if err := f.readReference(&r); err != nil {
		return nil, err
	}
	if f.value, err = r.base64(f.valueAt, 1, maxValueText, "Id"); err != nil {
		return nil, err
	}
	return f, f.readKeys(keyInfo)
}

func (f *foreign) readReference(r *structureReader) error {
	ref := f.reference
	var ok bool
	if f.uri, ok = ref.Attr("", "URI"); !ok {
		return refuse(WrongTarget, ref, "ds:Reference without URI")
	}
	f.refC14N = Inclusive10 // the default of XMLDSig for a node set
	canonical := false
	for tr := range ref.Child(Namespace, "Transforms").Children() {
		uri, _ := tr.Attr("", "Algorithm")
		method, isC14N := C14NByURI(uri)
		switch {
		case canonical:
			return refuse(BadAlgorithm, tr, "transform %q after canonicalisation", clip([]byte(uri)))
		case uri == envelopedURI:
			f.enveloped = true
		case uri == xpathURI:
			if err := envelopedXPath(tr); err != nil {
				return err
			}
			f.enveloped = true
		case isC14N:
			var err error
			if f.refC14N, f.refPrefix, err = readC14N(tr); err != nil {
				return err
			}
			// A same-document reference names a node set without comments.
			if method.comments() {
				f.refC14N = method - 1
			}
			canonical = true
		default:
			return refuse(BadAlgorithm, tr, "transform %q is not allowed", clip([]byte(uri)))
		}
	}
	method := ref.Child(Namespace, "DigestMethod")
	uri, _ := method.Attr("", "Algorithm")
	if f.digest = digestByURI(uri); f.digest < 0 {
		return refuse(BadAlgorithm, ref, "digest algorithm %q is not in the table", clip([]byte(uri)))
	}
	value := ref.Child(Namespace, "DigestValue")
	if !value.Valid() {
		return refuse(Malformed, ref, "ds:DigestValue is missing")
	}
	var err error
	f.want, err = r.base64(value, 0, maxDigestText)
	return err
}

func (f *foreign) readKeys(keyInfo xmltape.Node) error {
	for data := range keyInfo.Children() {
		if !data.Is(Namespace, "X509Data") {
			continue
		}
		for c := range data.Children() {
			if !c.Is(Namespace, "X509Certificate") {
				continue
			}
			if len(f.certs) == maxForeignKey {
				return refuse(Malformed, c, "more than %d certificates", maxForeignKey)
			}
			one := structureReader{blank: true}
			der, err := one.base64(c, 2, maxCertText)
			if err != nil {
				return err
			}
			f.certs, f.certAt = append(f.certs, der), c
		}
	}
	if len(f.certs) == 0 {
		at := keyInfo
		if !at.Valid() {
			at = f.signedInfo
		}
		return refuse(CertificateMissing, at, "no X509Certificate: a key without a certificate says nothing about who signed")
	}
	return nil
}

// readC14N reads a canonicalisation with its PrefixList.
func readC14N(n xmltape.Node) (C14N, []string, error) {
	uri, _ := n.Attr("", "Algorithm")
	method, ok := C14NByURI(uri)
	if !ok {
		return 0, nil, refuse(BadAlgorithm, n, "canonicalisation %q is not known", clip([]byte(uri)))
	}
	var prefixes []string
	for c := range n.Children() {
		if !c.Is(exclusiveNS, "InclusiveNamespaces") || !method.exclusive() || prefixes != nil {
			return 0, nil, refuse(BadAlgorithm, c, "unexpected parameter of a canonicalisation")
		}
		list, _ := c.Attr("", "PrefixList")
		prefixes = strings.Fields(list)
	}
	return method, prefixes, nil
}

// envelopedXPath accepts the one expression that xmlsec's templates use beside or
// instead of enveloped-signature: it leaves out every ds:Signature, which is the
// same thing where there is one.
func envelopedXPath(tr xmltape.Node) error {
	x := tr.First()
	expr := strings.Join(strings.Fields(x.TrimText()), "")
	prefix, ok := strings.CutPrefix(expr, "not(ancestor-or-self::")
	prefix, ok2 := strings.CutSuffix(prefix, ":Signature)")
	if !x.Is(Namespace, "XPath") || !ok || !ok2 {
		return refuse(BadAlgorithm, tr, "XPath is not evaluated")
	}
	t := x.Tape()
	space, bound := t.LookupPrefix(x.Token().Scope, []byte(prefix))
	if !bound || string(t.SpaceURI(space)) != Namespace {
		return refuse(BadAlgorithm, tr, "XPath is not evaluated")
	}
	signatures := 0
	for i := range t.Tokens {
		if t.NodeAt(i).Is(Namespace, "Signature") {
			signatures++
		}
	}
	if signatures != 1 {
		return refuse(BadAlgorithm, tr, "XPath is not evaluated in a document with %d signatures", signatures)
	}
	return nil
}
