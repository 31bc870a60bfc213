package signing

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"sync/atomic"

	"mezhved/signing/gost"
)

// The GOST algorithms: R 34.10-2012 over R 34.11-2012 (Streebog). The Go code
// behind them is no certified cryptographic tool; where one is required, a Signer
// of PKCS#11 or a remote one stands in.
const (
	GOST2012_256 Algorithm = "urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34102012-gostr34112012-256"
	GOST2012_512 Algorithm = "urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34102012-gostr34112012-512"
	// GOST2001 is legacy: forbidden for new signatures since 2019, verified only
	// where a policy names it.
	GOST2001 Algorithm = "http://www.w3.org/2001/04/xmldsig-more#gostr34102001-gostr3411"
)

// The GOST digests.
const (
	Streebog256 Digest = "urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34112012-256"
	Streebog512 Digest = "urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34112012-512"
	GOST94      Digest = "http://www.w3.org/2001/04/xmldsig-more#gostr3411"
)

func init() {
	methods = append(methods,
		method{uri: GOST2012_256, name: "GOST R 34.10-2012 256", digest: Streebog256, kind: gost2012Key256},
		method{uri: GOST2012_512, name: "GOST R 34.10-2012 512", digest: Streebog512, kind: gost2012Key512},
		method{uri: GOST2001, alias: "urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34102001-gostr3411", name: "GOST R 34.10-2001", digest: GOST94, kind: gost2001Key, legacy: true},
	)
	digests = append(digests,
		digestMethod{uri: Streebog256, name: "GOST R 34.11-2012 256", size: gost.Streebog256Size, new: gost.NewStreebog256},
		digestMethod{uri: Streebog512, name: "GOST R 34.11-2012 512", size: gost.Streebog512Size, new: gost.NewStreebog512},
		digestMethod{uri: GOST94, alias: "urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr3411", name: "GOST R 34.11-94", size: gost.GOST94Size, legacy: true, new: gost.NewGOST94},
	)
}

// The key types of GOST test certificates.
const (
	KeyGOST256 KeyType = "gost-2012-256"
	KeyGOST512 KeyType = "gost-2012-512"
)

// gostPublicKey verifies with tables once its key has been seen often enough for
// them to pay; only signatures that hold are counted, so a stranger cannot make
// us keep tables for keys that nobody has.
type gostPublicKey struct {
	k    *gost.PublicKey
	uses atomic.Int32
	fast atomic.Pointer[gost.PublicKey]
}

const gostTableAfter = 8 // verifications

func (p *gostPublicKey) kind() keyKind {
	switch p.k.Algorithm() {
	case gost.GOST256:
		return gost2012Key256
	case gost.GOST512:
		return gost2012Key512
	}
	return gost2001Key
}

func (p *gostPublicKey) verify(_ *method, digest, value []byte) bool {
	if fast := p.fast.Load(); fast != nil {
		return fast.VerifyDigest(digest, value) == nil
	}
	if p.k.VerifyDigest(digest, value) != nil {
		return false
	}
	if p.uses.Add(1) == gostTableAfter {
		p.fast.Store(p.k.Precomputed())
	}
	return true
}

// otherForm says in which other order of octets a value would verify; nil: in none.
func (p *gostPublicKey) otherForm(digest, value []byte) *Deviation {
	f := p.k.FormOf(digest, value)
	if f == gost.FormUnknown || f == gost.FormXMLDSig {
		return nil
	}
	return &Deviation{Name: "value-form", English: "the GOST value is in another order: " + f.String(), Russian: "байты значения ЭП ГОСТ в другом порядке: " + f.String()}
}

func (p *gostPublicKey) same(other crypto.PublicKey) bool { return p.k.Equal(other) }

func (p *gostPublicKey) String() string {
	return fmt.Sprintf("%s, %s", p.k.Algorithm(), p.k.Curve().Name())
}

// readForeignKey reads a key that crypto/x509 does not know: GOST, on one of the
// curves of the standards. The curves that the standards give as examples are
// not for use.
func readForeignKey(x *x509.Certificate) (publicKey, error) {
	k, err := gost.PublicKeyOf(x)
	if err != nil {
		return nil, err
	}
	if c := k.Curve(); c == gost.CurveTest || c == gost.Curve512Test {
		return nil, fmt.Errorf("curve %s is an example and not for use", c.Name())
	}
	return &gostPublicKey{k: k}, nil
}

// checkX509Signature verifies an issuer's signature over to-be-signed octets of a
// certificate, CRL or OCSP response. oid names the algorithm where crypto/x509
// has no name for it.
func checkX509Signature(issuer *Certificate, algorithm x509.SignatureAlgorithm, oid asn1.ObjectIdentifier, tbs, signature []byte) error {
	switch key := issuer.key.(type) {
	case nil:
		return fmt.Errorf("key of the issuer: %w", issuer.keyErr)
	case *gostPublicKey:
		return gost.CheckSignature(key.k, oid, tbs, signature)
	}
	if algorithm == x509.UnknownSignatureAlgorithm {
		return x509.ErrUnsupportedAlgorithm
	}
	return issuer.X509.CheckSignature(algorithm, tbs, signature)
}

// outerAlgorithm reads the algorithm of SEQUENCE { tbs, algorithm, signature }.
func outerAlgorithm(der []byte) asn1.ObjectIdentifier {
	var envelope struct {
		TBS       asn1.RawValue
		Algorithm struct {
			OID        asn1.ObjectIdentifier
			Parameters asn1.RawValue `asn1:"optional"`
		}
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &envelope); err != nil {
		return nil
	}
	return envelope.Algorithm.OID
}

// parseForeignPKCS8 reads a PKCS#8 key that crypto/x509 does not know.
func parseForeignPKCS8(der []byte) (crypto.Signer, error) {
	k, err := gost.ParsePrivateKey(der)
	if err != nil {
		return nil, err
	}
	return k, nil
}

func generateForeignKey(t KeyType) (crypto.Signer, error) {
	switch t {
	case KeyGOST256:
		return gost.GenerateKey(rand.Reader, gost.Curve256B)
	case KeyGOST512:
		return gost.GenerateKey(rand.Reader, gost.Curve512A)
	}
	return nil, fmt.Errorf("key type %q is not known", t)
}

func marshalPKCS8(key crypto.Signer) ([]byte, error) {
	if k, ok := key.(*gost.PrivateKey); ok {
		return gost.MarshalPrivateKey(k), nil
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

// createForeignCertificate makes a certificate that a GOST key signs, or that is
// for a GOST key; done tells whether it did.
func createForeignCertificate(template, parent *x509.Certificate, public crypto.PublicKey, issuer crypto.Signer) (der []byte, done bool, err error) {
	_, gostIssuer := issuer.(*gost.PrivateKey)
	_, gostKey := public.(*gost.PublicKey)
	switch {
	case gostIssuer:
		der, err = gost.CreateCertificate(rand.Reader, template, parent, public, issuer)
		return der, true, err
	case gostKey:
		return nil, true, errors.New("a certificate for a GOST key needs an issuer with one")
	}
	return nil, false, nil
}

// createRevocationList makes a CRL with whatever key the issuer has.
func createRevocationList(list *x509.RevocationList, issuer *x509.Certificate, key crypto.Signer) ([]byte, error) {
	if _, ok := key.(*gost.PrivateKey); ok {
		return gost.CreateRevocationList(rand.Reader, list, issuer, key)
	}
	return x509.CreateRevocationList(rand.Reader, list, issuer, key)
}
