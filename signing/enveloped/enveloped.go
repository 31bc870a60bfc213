// Package enveloped makes and verifies the enveloped RSA profile of XMLDSig: the
// ds:Signature is a child of the root that it covers, with exclusive
// canonicalisation and RSA over SHA-256 or SHA-512. Documents outside the bus
// have it (registers' extracts, metadata, SMEV 2's application data); envelopes
// of SMEV 3 never do. Rooms that handle such documents enter here; they hold a
// tape that passed the gate.
//
// goxmldsig does the work, within the limits in which it is right, and signing
// does it too: both must come to the same verdict. goxmldsig alone reads
// documents that encoding/xml accepts and XML does not, takes the first
// signature that seems to fit, and orders some attributes wrongly; so a document
// that could meet one of its defects is refused here by name (ErrBeyond).
package enveloped

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// ErrBeyond is wrapped by the error for a document that is signed by the rules of
// XMLDSig, perhaps well, but beyond what this profile covers.
var ErrBeyond = errors.New("beyond the enveloped profile")

// maxElements is goxmldsig's limit of traversal, with room for its own steps.
const maxElements = 900

// Verify proves that the root of the document is signed by the one ds:Signature
// among its children, under the policy of the Verifier. The Signed's element is
// the root.
func Verify(v *signing.Verifier, t *xmltape.Tape, at time.Time) (signing.Signed, error) {
	root := t.Root()
	sig, err := admit(root)
	if err != nil {
		return signing.Signed{}, err
	}
	signed, err := v.VerifyForeignAt(sig, at)
	if err != nil {
		return signing.Signed{}, err
	}
	if signed.Element() != root {
		return signing.Signed{}, fmt.Errorf("%w: the signature covers %s and not the root", ErrBeyond, signed.Element().XPath())
	}
	if err := secondOpinion(root, signed.Certificate()); err != nil {
		return signing.Signed{}, err
	}
	return signed, nil
}

// admit finds the signature and refuses what goxmldsig would not treat rightly.
func admit(root xmltape.Node) (xmltape.Node, error) {
	t := root.Tape()
	var sig xmltape.Node
	elements := 0
	for i := range t.Tokens {
		n := t.NodeAt(i)
		if !n.Valid() {
			continue
		}
		if elements++; elements > maxElements {
			return sig, fmt.Errorf("%w: more than %d elements", ErrBeyond, maxElements)
		}
		if n.Is(signing.Namespace, "Signature") {
			if sig.Valid() {
				return sig, fmt.Errorf("%w: more than one ds:Signature", ErrBeyond)
			}
			sig = n
		}
		// goxmldsig orders attributes of different prefixes by local name.
		qualified := 0
		for a := n.Token().Attr; a < n.Token().Attr+uint32(n.Token().NAttr); a++ {
			if t.Attrs[a].PrefixLen > 0 {
				qualified++
			}
		}
		if qualified > 1 {
			return sig, fmt.Errorf("%w: %s has several qualified attributes", ErrBeyond, n.XPath())
		}
	}
	if !sig.Valid() {
		return sig, &signing.Error{Code: signing.NoSignature, Detail: "no ds:Signature in the document"}
	}
	if sig.Parent() != root {
		return sig, fmt.Errorf("%w: the signature is no child of the root", ErrBeyond)
	}
	return sig, profile(sig)
}

// profile holds the signature's algorithms against the profile.
func profile(sig xmltape.Node) error {
	info := sig.Child(signing.Namespace, "SignedInfo")
	ref := info.Child(signing.Namespace, "Reference")
	method, _ := info.Child(signing.Namespace, "SignatureMethod").Attr("", "Algorithm")
	if a := signing.Algorithm(method); a != signing.RSASHA256 && a != signing.RSASHA512 {
		return fmt.Errorf("%w: signature algorithm %q", ErrBeyond, method)
	}
	want := []string{signing.Namespace + "enveloped-signature", signing.Exclusive.URI()}
	i := 0
	for tr := range ref.Child(signing.Namespace, "Transforms").Children() {
		uri, _ := tr.Attr("", "Algorithm")
		if i >= len(want) || uri != want[i] || tr.First().Valid() {
			return fmt.Errorf("%w: transform %q", ErrBeyond, uri)
		}
		i++
	}
	if i != len(want) {
		return fmt.Errorf("%w: %d transforms", ErrBeyond, i)
	}
	return nil
}

// secondOpinion has goxmldsig validate the same bytes against the certificate
// whose key was found to have signed.
func secondOpinion(root xmltape.Node, cert *signing.Certificate) error {
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(root.Bytes()); err != nil {
		return fmt.Errorf("%w: %v", ErrBeyond, err)
	}
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cert.X509}})
	// Dates were judged before; goxmldsig is asked about the signature.
	ctx.Clock = dsig.NewFakeClockAt(cert.NotBefore().Add(time.Second))
	for _, name := range []string{"Id", "ID"} {
		if _, ok := root.Attr("", name); ok {
			ctx.IdAttribute = name
		}
	}
	if _, err := ctx.Validate(doc.Root()); err != nil {
		return &signing.Error{Code: signing.ValueInvalid, Certificate: cert, Detail: "the second verification does not agree", Err: err}
	}
	return nil
}

// Sign returns the document with an enveloped signature over its root, made by
// goxmldsig and verified before it is handed out. Only RSA identities sign in
// this profile.
func Sign(document []byte, id *signing.Identity) ([]byte, error) {
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(document); err != nil {
		return nil, fmt.Errorf("document to sign: %w", err)
	}
	if doc.Root() == nil {
		return nil, errors.New("document to sign: it has no root")
	}
	ctx, err := dsig.NewSigningContext(id.Key, [][]byte{id.Certificate.DER})
	if err != nil {
		return nil, err
	}
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := ctx.SetSignatureMethod(dsig.RSASHA256SignatureMethod); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrBeyond, err)
	}
	if doc.Root().SelectAttr("Id") != nil {
		ctx.IdAttribute = "Id"
	}
	root, err := ctx.SignEnveloped(doc.Root())
	if err != nil {
		return nil, err
	}
	doc.SetRoot(root)
	doc.WriteSettings.CanonicalText, doc.WriteSettings.CanonicalAttrVal = true, true
	out, err := doc.WriteToBytes()
	if err != nil {
		return nil, err
	}
	tape := new(xmltape.Tape)
	if err := tape.Parse(out, xmltape.Limits{}); err != nil {
		return nil, fmt.Errorf("%w: the signed document does not pass the gate: %w", ErrBeyond, err)
	}
	v, err := signing.NewVerifier(signing.Options{SignatureOnly: true})
	if err != nil {
		return nil, err
	}
	if _, err := Verify(v, tape, id.Certificate.NotBefore()); err != nil {
		return nil, fmt.Errorf("checking the signature that was made: %w", err)
	}
	return out, nil
}
