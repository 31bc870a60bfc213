package signing

import (
	"bytes"
	"encoding/base64"
	"slices"

	"mezhved/envelopes/xmltape"
)

// Namespace is the namespace of XML signatures.
const Namespace = "http://www.w3.org/2000/09/xmldsig#"

const envelopedURI = Namespace + "enveloped-signature"

// Lengths of base64 text that are looked at, white space included.
const (
	maxDigestText = 512
	maxValueText  = 8 << 10
	maxCertText   = 2 * MaxCertificate
)

// structure is a ds:Signature as the SMEV profile has it, taken apart. The byte
// slices belong to the scratch it was read with.
type structure struct {
	signedInfo xmltape.Node
	reference  xmltape.Node
	method     *method
	digest     int // index in digests
	uri        []byte
	wantDigest []byte
	value      []byte
	cert       []byte       // DER
	certText   []byte       // the base64 of it
	known      *Certificate // what it is read as, when it is kept
	valueAt    xmltape.Node
	certAt     xmltape.Node
}

// structureReader holds the buffers of one structure and the policy it is read by.
type structureReader struct {
	blank bool       // white space between the elements is tolerated
	certs *certCache // that knows certificates by their base64; nil: none is known
	nodes []xmltape.Node
	text  []byte
	uri   []byte
	bytes [3][]byte // DigestValue, SignatureValue, X509Certificate
}

// read takes sig apart and refuses all that the profile does not name: unknown
// children and attributes, text, comments, another number of references,
// transforms or certificates. Algorithms are only looked up; whether they are
// allowed is the Verifier's policy.
func (r *structureReader) read(sig xmltape.Node) (st structure, err error) {
	if !sig.Valid() {
		return st, &Error{Code: NoSignature, Detail: "no ds:Signature"}
	}
	if !sig.Is(Namespace, "Signature") {
		return st, refuse(Malformed, sig, "ds:Signature expected")
	}
	parts, err := r.children(sig, "Id", "SignedInfo", "SignatureValue", "KeyInfo")
	if err != nil {
		return st, err
	}
	var signatureValue, keyInfo xmltape.Node
	st.signedInfo, signatureValue, keyInfo = parts[0], parts[1], parts[2]

	if parts, err = r.children(st.signedInfo, "Id", "CanonicalizationMethod", "SignatureMethod", "Reference"); err != nil {
		return st, err
	}
	canonicalization, signatureMethod := parts[0], parts[1]
	st.reference = parts[2]
	uri, err := r.algorithm(canonicalization)
	if err != nil {
		return st, err
	}
	if string(uri) != Exclusive.URI() {
		return st, refuse(BadAlgorithm, canonicalization, "canonicalisation %q: only exclusive canonicalisation without comments is allowed", clip(uri))
	}
	if uri, err = r.algorithm(signatureMethod); err != nil {
		return st, err
	}
	if st.method = methodByURI(string(uri)); st.method == nil {
		return st, refuse(BadAlgorithm, signatureMethod, "signature algorithm %q is not known", clip(uri))
	}
	if err = r.readReference(&st); err != nil {
		return st, err
	}
	st.valueAt = signatureValue
	if st.value, err = r.base64(signatureValue, 1, maxValueText, "Id"); err != nil {
		return st, err
	}
	err = r.readKeyInfo(&st, keyInfo)
	return st, err
}

func (r *structureReader) readReference(st *structure) error {
	ref := st.reference
	parts, err := r.childrenOf(ref, []string{"Id", "URI", "Type"}, "Transforms", "DigestMethod", "DigestValue")
	if err != nil {
		return err
	}
	transforms, digestMethod, digestValue := parts[0], parts[1], parts[2]
	var ok bool
	if r.uri, ok = attrValue(ref, "URI", r.uri); !ok {
		return refuse(Malformed, ref, "ds:Reference without URI")
	}
	st.uri = r.uri
	uri, err := r.algorithm(digestMethod)
	if err != nil {
		return err
	}
	if st.digest = digestByURI(string(uri)); st.digest < 0 {
		return refuse(BadAlgorithm, digestMethod, "digest algorithm %q is not known", clip(uri))
	}
	if st.wantDigest, err = r.base64(digestValue, 0, maxDigestText); err != nil {
		return err
	}

	// Exclusive canonicalisation, then the SMEV transform. Some clients put
	// canonicalisation between the two, which finds its work done, or
	// enveloped-signature anywhere, which finds nothing to take away, because the
	// signature is never inside its target: neither changes an octet.
	list, err := r.childrenAny(transforms, nil)
	if err != nil {
		return err
	}
	var steps [4]xmltape.Node
	if len(list) > len(steps) {
		return refuse(BadAlgorithm, list[len(steps)], "more transforms than the profile knows")
	}
	n := copy(steps[:], list)
	step, enveloped, idle := 0, false, false
	for _, tr := range steps[:n] {
		if !tr.Is(Namespace, "Transform") {
			return refuse(Malformed, tr, "ds:Transform expected")
		}
		uri, err := r.algorithm(tr)
		if err != nil {
			return err
		}
		switch {
		case !enveloped && string(uri) == envelopedURI:
			enveloped = true
		case step == 1 && !idle && (string(uri) == Exclusive.URI() || string(uri) == Inclusive10.URI()):
			idle = true
		case step == 0 && string(uri) == Exclusive.URI(), step == 1 && string(uri) == TransformURI:
			step++
		default:
			return refuse(BadAlgorithm, tr, "transform %q: exactly exclusive canonicalisation and the SMEV transform are allowed", clip(uri))
		}
	}
	if step != 2 {
		return refuse(BadAlgorithm, transforms, "exclusive canonicalisation and the SMEV transform must both be there")
	}
	return nil
}

func (r *structureReader) readKeyInfo(st *structure, keyInfo xmltape.Node) error {
	parts, err := r.childrenAny(keyInfo, []string{"Id"})
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(parts, func(p xmltape.Node) bool { return p.Is(Namespace, "X509Data") }) {
		return refuse(CertificateMissing, keyInfo, "ds:KeyInfo must hold one ds:X509Data and nothing else")
	}
	if len(parts) != 1 {
		return refuse(Malformed, keyInfo, "ds:KeyInfo must hold one ds:X509Data and nothing else")
	}
	data := parts[0]
	if parts, err = r.childrenAny(data, nil); err != nil {
		return err
	}
	// What names the certificate may stand beside it. It is not used: the certificate
	// says it itself, and KeyInfo is not signed.
	certificates := 0
	for _, p := range parts {
		switch {
		case p.Is(Namespace, "X509Certificate"):
			st.certAt = p
			certificates++
		case p.Is(Namespace, "X509SubjectName"), p.Is(Namespace, "X509IssuerSerial"), p.Is(Namespace, "X509SKI"):
			if err := signable(p); err != nil {
				return err
			}
		default:
			return refuse(Malformed, p, "unexpected element in ds:X509Data")
		}
	}
	switch {
	case certificates == 0:
		return refuse(CertificateMissing, data, "ds:X509Data must hold the signer's certificate, ds:X509Certificate")
	case certificates > 1:
		return refuse(Malformed, data, "ds:X509Data must hold one ds:X509Certificate: the signer's alone")
	}
	if st.certText, err = r.base64Text(st.certAt, maxCertText); err != nil {
		return err
	}
	if r.certs != nil {
		if st.known = r.certs.written(st.certText); st.known != nil {
			st.cert = st.known.DER
			return nil
		}
	}
	st.cert, err = r.decode(st.certAt, st.certText, 2)
	return err
}

// signable checks that the SMEV transform is defined for an element that is not looked at
// otherwise: a delivery holds the sender's signature and is signed with it, so what may stand in a
// signature must be such. Else the message could be accepted, and not be handed out.
func signable(n xmltape.Node) error {
	t := n.Tape()
	for i := n.Index(); i < int(n.Token().Match); i++ {
		tok := &t.Tokens[i]
		if tok.Kind != xmltape.Start {
			continue
		}
		if t.Space(tok.Name) == xmltape.NoSpace {
			return refuse(Unsignable, t.NodeAt(i), "element in no namespace: the SMEV transform is not defined for it")
		}
		for _, a := range t.Attrs[tok.Attr : tok.Attr+uint32(tok.NAttr)] {
			if t.Space(a.Name) == xmltape.XMLSpace {
				return refuse(Unsignable, t.NodeAt(i), "attribute of the xml namespace: the SMEV transform is not defined for it")
			}
		}
	}
	return nil
}

// algorithm gives the Algorithm of an element that has this attribute and no
// content. The bytes are good until the next call.
func (r *structureReader) algorithm(n xmltape.Node) ([]byte, error) {
	parts, err := r.childrenAny(n, []string{"Algorithm"})
	if err != nil {
		return nil, err
	}
	if len(parts) > 0 {
		return nil, refuse(BadAlgorithm, parts[0], "parameters of an algorithm are not allowed")
	}
	var ok bool
	if r.text, ok = attrValue(n, "Algorithm", r.text); !ok {
		return nil, refuse(Malformed, n, "attribute Algorithm is missing")
	}
	return r.text, nil
}

// children gives the child elements of n, which must be the named ones of
// XMLDSig in this order, and checks that n has no other attribute than attr.
func (r *structureReader) children(n xmltape.Node, attr string, names ...string) ([3]xmltape.Node, error) {
	return r.childrenOf(n, []string{attr}, names...)
}

func (r *structureReader) childrenOf(n xmltape.Node, attrs []string, names ...string) (out [3]xmltape.Node, err error) {
	parts, err := r.childrenAny(n, attrs)
	if err != nil {
		return out, err
	}
	for i, name := range names {
		if i >= len(parts) {
			return out, missing(n, name)
		}
		if !parts[i].Is(Namespace, name) {
			return out, refuse(Malformed, parts[i], "ds:%s expected", name)
		}
		out[i] = parts[i]
	}
	if len(parts) > len(names) {
		return out, refuse(Malformed, parts[len(names)], "unexpected element in ds:%s", n.Local())
	}
	return out, nil
}

func missing(n xmltape.Node, name string) *Error {
	if name == "KeyInfo" {
		return refuse(CertificateMissing, n, "ds:KeyInfo is missing")
	}
	return refuse(Malformed, n, "ds:%s is missing", name)
}

// childrenAny gives the child elements of n and checks that there is nothing
// else, and no attribute but attrs. The slice is good until the next call.
func (r *structureReader) childrenAny(n xmltape.Node, attrs []string) ([]xmltape.Node, error) {
	if err := onlyAttrs(n, attrs); err != nil {
		return nil, err
	}
	t := n.Tape()
	r.nodes = r.nodes[:0]
	for i := n.Index() + 1; i < int(n.Token().Match); i++ {
		tok := &t.Tokens[i]
		switch {
		case tok.Kind == xmltape.Start:
			if string(t.SpaceURI(t.Space(tok.Name))) != Namespace {
				return nil, refuse(Malformed, t.NodeAt(i), "element of another namespace in ds:%s", n.Local())
			}
			r.nodes = append(r.nodes, t.NodeAt(i))
			i = int(tok.Match)
		case tok.Kind == xmltape.Text && tok.Flags&xmltape.Blank != 0 && r.blank:
		case tok.Kind == xmltape.Text && tok.Flags&xmltape.Blank != 0:
			return nil, refuseAt(Malformed, n, tok.Off, "white space in ds:%s: the profile allows none between the elements of a signature", n.Local())
		default:
			return nil, refuseAt(Malformed, n, tok.Off, "text, comment or instruction in ds:%s", n.Local())
		}
	}
	return r.nodes, nil
}

func onlyAttrs(n xmltape.Node, attrs []string) error {
	t, tok := n.Tape(), n.Token()
next:
	for a := tok.Attr; a < tok.Attr+uint32(tok.NAttr); a++ {
		name := t.Attrs[a].Name
		if t.Space(name) == xmltape.NoSpace {
			for _, want := range attrs {
				if string(t.Local(name)) == want {
					continue next
				}
			}
		}
		return refuseAt(Malformed, n, t.Attrs[a].Off, "unexpected attribute in ds:%s", n.Local())
	}
	return nil
}

// base64 decodes the text of an element that holds nothing else into buffer k.
func (r *structureReader) base64(n xmltape.Node, k, limit int, attrs ...string) ([]byte, error) {
	text, err := r.base64Text(n, limit, attrs...)
	if err != nil {
		return nil, err
	}
	return r.decode(n, text, k)
}

// base64Text is the text of an element that holds nothing else, without what the decoder
// does not pass over itself. It belongs to the tape, or is good until the next call.
func (r *structureReader) base64Text(n xmltape.Node, limit int, attrs ...string) ([]byte, error) {
	if err := onlyAttrs(n, attrs); err != nil {
		return nil, err
	}
	t := n.Tape()
	i := n.Index() + 1
	if int(n.Token().Match) != i+1 || t.Tokens[i].Kind != xmltape.Text {
		return nil, refuse(Malformed, n, "ds:%s must hold one run of base64 and nothing else", n.Local())
	}
	tok := &t.Tokens[i]
	if int(tok.End-tok.Off) > limit {
		return nil, refuse(Malformed, n, "ds:%s is longer than %d bytes", n.Local(), limit)
	}
	text := t.CharData(tok, nil)
	if bytes.IndexByte(text, ' ') < 0 && bytes.IndexByte(text, '\t') < 0 {
		return text, nil
	}
	r.text = r.text[:0]
	for _, c := range text {
		if c != ' ' && c != '\t' {
			r.text = append(r.text, c)
		}
	}
	return r.text, nil
}

func (r *structureReader) decode(n xmltape.Node, text []byte, k int) ([]byte, error) {
	size := base64.StdEncoding.DecodedLen(len(text))
	if cap(r.bytes[k]) < size {
		r.bytes[k] = make([]byte, size)
	}
	m, err := base64.StdEncoding.Decode(r.bytes[k][:size], text)
	if err != nil || m == 0 {
		return nil, refuse(Malformed, n, "ds:%s is not base64", n.Local())
	}
	return r.bytes[k][:m], nil
}

// attrValue gives the value of an unqualified attribute, in buf's memory.
func attrValue(n xmltape.Node, local string, buf []byte) ([]byte, bool) {
	if !n.Valid() {
		return buf[:0], false
	}
	t, tok := n.Tape(), n.Token()
	for i := tok.Attr; i < tok.Attr+uint32(tok.NAttr); i++ {
		a := &t.Attrs[i]
		if t.Space(a.Name) != xmltape.NoSpace || string(t.Local(a.Name)) != local {
			continue
		}
		v := t.AttrValue(a, buf[:0])
		if a.Flags&xmltape.Decode == 0 {
			v = append(buf[:0], v...)
		}
		return v, true
	}
	return buf[:0], false
}

// refuseAt is refuse with the place inside the element.
func refuseAt(code Code, in xmltape.Node, off uint32, format string, args ...any) *Error {
	e := refuse(code, in, format, args...)
	e.Offset = int(off)
	return e
}

// clip shortens what a message quotes of a document.
func clip(b []byte) string {
	if len(b) > 120 {
		return string(b[:120]) + "…"
	}
	return string(b)
}
