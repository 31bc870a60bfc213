package conform

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// verifierOf proves signatures of the certificates, or of any that is valid.
func verifierOf(certs []*signing.Certificate, now func() time.Time) (*signing.Verifier, error) {
	opt := signing.Options{Now: now}
	if len(certs) > 0 {
		trust, err := signing.NewTrust(signing.TrustOptions{Registered: func(c *signing.Certificate) bool {
			return slices.ContainsFunc(certs, func(k *signing.Certificate) bool { return k.SHA256 == c.SHA256 })
		}})
		if err != nil {
			return nil, err
		}
		opt.Trust = trust
	}
	return signing.NewVerifier(opt)
}

// named are the digests of certificates in order, and whose they are.
func named(certs map[string]*signing.Certificate) (digests, names []string) {
	for d := range certs {
		digests = append(digests, d)
	}
	slices.Sort(digests)
	for _, d := range digests {
		names = append(names, certs[d].Subject())
	}
	return digests, names
}

const (
	exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
	dsigHead  = `<ds:Signature xmlns:ds="` + signing.Namespace + `">`
)

// handmade makes a ds:Signature that package signing would not: over the element of
// any Id, by the named transforms. Its value and its digest are right for what it says.
func (r *busRun) handmade(xml []byte, id string, who signing.Signer, transforms ...string) []byte {
	t := new(xmltape.Tape)
	r.must(t.Parse(xml, xmltape.Widest))
	target, ok := byID(t.Root(), id)
	if !ok {
		r.must(fmt.Errorf("no element with the Id %s in a document of the kit's own", id))
	}
	var octets bytes.Buffer
	if slices.Contains(transforms, signing.TransformURI) {
		r.must(signing.Transform(&octets, target, signing.Woodstox))
	} else {
		r.must(signing.Canonicalize(&octets, signing.Subset{Element: target}, signing.Exclusive))
	}
	digest := who.Algorithm().Digest()
	sum, err := digestOf(digest, octets.Bytes())
	r.must(err)
	var list strings.Builder
	for _, u := range transforms {
		list.WriteString(`<ds:Transform Algorithm="` + u + `"></ds:Transform>`)
	}
	inner := `<ds:CanonicalizationMethod Algorithm="` + exclusive + `"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="` + string(who.Algorithm()) +
		`"></ds:SignatureMethod><ds:Reference URI="#` + id + `"><ds:Transforms>` + list.String() + `</ds:Transforms><ds:DigestMethod Algorithm="` + string(digest) +
		`"></ds:DigestMethod><ds:DigestValue>` + base64.StdEncoding.EncodeToString(sum) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
	value, err := who.Sign(r.ctx, []byte(`<ds:SignedInfo xmlns:ds="`+signing.Namespace+`">`+inner))
	r.must(err)
	return []byte(dsigHead + `<ds:SignedInfo>` + inner + `<ds:SignatureValue>` + base64.StdEncoding.EncodeToString(value) +
		`</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + base64.StdEncoding.EncodeToString(who.Certificate().DER) +
		`</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>`)
}

func digestOf(d signing.Digest, octets []byte) ([]byte, error) {
	return signing.OctetsOf(opened(octets)).Digest(d)
}

func byID(n xmltape.Node, id string) (xmltape.Node, bool) {
	if v, ok := n.Attr("", "Id"); ok && v == id {
		return n, true
	}
	for c := range n.Children() {
		if found, ok := byID(c, id); ok {
			return found, true
		}
	}
	return xmltape.Node{}, false
}

// swap replaces the first place of a text that must be there: the kit's own
// documents are known.
func (r *busRun) swap(xml []byte, old, new string) []byte {
	if !bytes.Contains(xml, []byte(old)) {
		r.must(fmt.Errorf("the kit's own document has no %q", old))
	}
	return bytes.Replace(xml, []byte(old), []byte(new), 1)
}

// between is what stands between two texts of a document of the kit's own.
func (r *busRun) between(xml []byte, open, end string) []byte {
	_, rest, ok := bytes.Cut(xml, []byte(open))
	in, _, also := bytes.Cut(rest, []byte(end))
	if !ok || !also {
		r.must(fmt.Errorf("the kit's own document has no %q", open))
	}
	return in
}
