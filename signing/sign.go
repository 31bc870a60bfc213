package signing

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"

	"mezhved/envelopes/xmltape"
)

// Sign makes a ds:Signature of the SMEV profile over the element: Reference by
// its attribute Id, exclusive canonicalisation and SMEV transform in the
// Woodstox form, one certificate, no white space anywhere. The result is to be
// put into the document as it is, outside the element; its prefix is ds, which it
// declares itself. An element without a usable Id, or content without a
// namespace, gives an *Error with code Unsignable; a key that does not sign, code
// SignerFailed.
//
// That the Id is unique in the finished document is the caller's to see to: the
// verifier at the other end refuses a document where it is not.
func Sign(ctx context.Context, element xmltape.Node, signer Signer) ([]byte, error) {
	if !element.Valid() {
		return nil, &Error{Code: Unsignable, Detail: "no element to sign"}
	}
	if r, ok := signer.(*RotatingSigner); ok {
		signer = r.Current()
	}
	return appendSignature(ctx, make([]byte, 0, signatureRoom(signer)), element, signer)
}

// signatureRoom is about as many bytes as a signature takes.
func signatureRoom(signer Signer) int {
	return 2<<10 + base64.StdEncoding.EncodedLen(len(signer.Certificate().DER))
}

// appendSignature writes the signature over an element behind out. The signer does not
// rotate.
func appendSignature(ctx context.Context, out []byte, element xmltape.Node, signer Signer) ([]byte, error) {
	s := scratches.Get().(*scratch)
	defer s.release()
	var ok bool
	if s.uri, ok = attrValue(element, "Id", s.uri); !ok || !isNCName(s.uri) {
		return nil, unnamed(element)
	}
	return s.appendSignature(ctx, out, signer, func(k int) ([]byte, error) { return s.digest(k, element, Woodstox) })
}

// unnamed says that an element has no usable Id.
func unnamed(element xmltape.Node) error {
	return refuse(Unsignable, element, "attribute Id is missing or no name: a signature could not refer to the element")
}

// appendSignature writes the signature over what digest gives the digest of, by the k-th
// algorithm; its Id is s.uri.
func (s *scratch) appendSignature(ctx context.Context, out []byte, signer Signer, digest func(k int) ([]byte, error)) ([]byte, error) {
	m := methodByURI(string(signer.Algorithm()))
	if m == nil {
		return nil, &Error{Code: SignerFailed, Detail: fmt.Sprintf("algorithm %q is not known", signer.Algorithm())}
	}
	h, err := digest(digestByURI(string(m.digest)))
	if err != nil {
		return nil, err
	}
	s.out = appendSignedInfo(s.out[:0], m, s.uri, h)
	value, err := signer.Sign(ctx, s.out)
	if err != nil {
		return nil, &Error{Code: SignerFailed, Certificate: signer.Certificate(), Detail: "the key did not sign", Err: err}
	}
	out = append(out, signatureHead...)
	// In the document SignedInfo inherits the declaration that its canonical
	// form carries.
	out = append(out, "<ds:SignedInfo>"...)
	out = append(out, s.out[len(signedInfoHead):]...)
	out = append(out, "<ds:SignatureValue>"...)
	out = base64.StdEncoding.AppendEncode(out, value)
	out = append(out, "</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>"...)
	out = append(out, s.written(signer.Certificate())...)
	return append(out, signatureTail...), nil
}

const (
	signatureHead  = `<ds:Signature xmlns:ds="` + Namespace + `">`
	signatureTail  = `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>`
	signedInfoHead = `<ds:SignedInfo xmlns:ds="` + Namespace + `">`
)

// appendSignedInfo writes the canonical SignedInfo. id is a name and the digest is
// base64, so nothing needs escaping.
func appendSignedInfo(out []byte, m *method, id, digest []byte) []byte {
	out = append(out, signedInfoHead...)
	out = append(out, `<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="`...)
	out = append(out, m.uri...)
	out = append(out, `"></ds:SignatureMethod><ds:Reference URI="#`...)
	out = append(out, id...)
	out = append(out, `"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform><ds:Transform Algorithm="`+TransformURI+`"></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="`...)
	out = append(out, m.digest...)
	out = append(out, `"></ds:DigestMethod><ds:DigestValue>`...)
	out = base64.StdEncoding.AppendEncode(out, digest)
	return append(out, `</ds:DigestValue></ds:Reference></ds:SignedInfo>`...)
}

// SignInto signs the element with the given Id in a document that was just
// built, and returns the document with the signature put in at byte offset slot.
// The Id must be there once. It is for documents of our own making: xml is
// parsed with generous limits.
func SignInto(ctx context.Context, xml []byte, id string, slot int, signer Signer) ([]byte, error) {
	return AppendSigned(ctx, nil, xml, id, slot, signer)
}

// AppendSigned is SignInto that writes behind out, which must not share memory with xml.
// What is written plainly, as nearly all of our documents are, is not parsed (plainEmitter).
func AppendSigned(ctx context.Context, out, xml []byte, id string, slot int, signer Signer) ([]byte, error) {
	if slot < 0 || slot > len(xml) {
		return nil, fmt.Errorf("signature slot %d outside the document of %d bytes", slot, len(xml))
	}
	if r, ok := signer.(*RotatingSigner); ok {
		signer = r.Current()
	}
	s := scratches.Get().(*scratch)
	defer s.release()
	s.uri = append(s.uri[:0], id...)
	digest := func(k int) ([]byte, error) { return s.digestOf(k, xml) }
	out = append(slices.Grow(out, len(xml)+signatureRoom(signer)), xml[:slot]...)
	out, err := s.appendSignature(ctx, out, signer, digest)
	if err != nil {
		return nil, err
	}
	return append(out, xml[slot:]...), nil
}

// digestOf transforms and digests the element of a document whose Id is s.uri. The result is good
// until the next digest.
func (s *scratch) digestOf(k int, xml []byte) ([]byte, error) {
	if isNCName(s.uri) {
		if h := s.hasher(k); s.plain.run(h, xml, s.uri) {
			return h.Sum(s.sum[:0]), nil
		}
	}
	if s.tape == nil {
		s.tape = new(xmltape.Tape)
	}
	if err := s.tape.Parse(xml, xmltape.Widest); err != nil {
		return nil, fmt.Errorf("parsing the document to sign: %w", err)
	}
	element, err := s.ids.find(s.tape, s.uri)
	if err != nil {
		return nil, err
	}
	if !isNCName(s.uri) {
		return nil, unnamed(element)
	}
	return s.digest(k, element, Woodstox)
}

// Splice returns a document with a signature put in at byte offset slot.
func Splice(xml []byte, slot int, signature []byte) []byte {
	out := make([]byte, 0, len(xml)+len(signature))
	out = append(out, xml[:slot]...)
	out = append(out, signature...)
	return append(out, xml[slot:]...)
}

// isNCName is a strict reading of what an Id may be: an ASCII or other letter or
// "_", then letters, digits, ".", "-" and "_". The gate has checked that the
// bytes are UTF-8; non-ASCII characters are taken as letters.
func isNCName(v []byte) bool {
	for i, c := range v {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c >= 0x80:
		case i > 0 && (c >= '0' && c <= '9' || c == '.' || c == '-'):
		default:
			return false
		}
	}
	return len(v) > 0
}
