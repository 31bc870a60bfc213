package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

// Algorithm is a signature algorithm, named by its SignatureMethod URI.
type Algorithm string

// The signature algorithms other than GOST, which gost.go adds.
const (
	RSASHA256   Algorithm = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	RSASHA384   Algorithm = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384"
	RSASHA512   Algorithm = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"
	ECDSASHA256 Algorithm = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
	ECDSASHA384 Algorithm = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"
	ECDSASHA512 Algorithm = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512"
)

// Digest is a digest algorithm, named by its DigestMethod URI.
type Digest string

// The digest algorithms other than GOST.
const (
	SHA256 Digest = "http://www.w3.org/2001/04/xmlenc#sha256"
	SHA384 Digest = "http://www.w3.org/2001/04/xmldsig-more#sha384"
	SHA512 Digest = "http://www.w3.org/2001/04/xmlenc#sha512"
)

// Digest is the digest algorithm that belongs to the signature algorithm: it is
// inside the signature, and Sign uses it for the Reference too.
func (a Algorithm) Digest() Digest {
	if m := methodByURI(string(a)); m != nil {
		return m.digest
	}
	return ""
}

// String names the algorithm for people; an unknown one keeps its URI.
func (a Algorithm) String() string {
	if m := methodByURI(string(a)); m != nil {
		return m.name
	}
	return string(a)
}

// String names the digest for people; an unknown one keeps its URI.
func (d Digest) String() string {
	if k := digestByURI(string(d)); k >= 0 {
		return digests[k].name
	}
	return string(d)
}

// method is one line of the table of signature algorithms. fits says why a key
// cannot be used with it. Legacy methods verify only where the policy names them.
type method struct {
	uri    Algorithm
	alias  Algorithm // another name that is written for it; it counts as uri
	name   string
	digest Digest
	kind   keyKind
	legacy bool
	hash   crypto.Hash // 0: package crypto has no number for it
}

type digestMethod struct {
	uri    Digest
	alias  Digest
	name   string
	size   int
	legacy bool
	new    func() hash.Hash
}

// The tables; gost.go appends to them. SHA-1 and MD5 are absent, and with them
// every way to be asked for them.
var methods = []method{
	{uri: RSASHA256, name: "RSA-SHA256", digest: SHA256, kind: rsaKey, hash: crypto.SHA256},
	{uri: ECDSASHA256, name: "ECDSA-SHA256", digest: SHA256, kind: ecdsaKey, hash: crypto.SHA256},
	{uri: RSASHA512, name: "RSA-SHA512", digest: SHA512, kind: rsaKey, hash: crypto.SHA512},
	{uri: ECDSASHA512, name: "ECDSA-SHA512", digest: SHA512, kind: ecdsaKey, hash: crypto.SHA512},
	{uri: RSASHA384, name: "RSA-SHA384", digest: SHA384, kind: rsaKey, hash: crypto.SHA384},
	{uri: ECDSASHA384, name: "ECDSA-SHA384", digest: SHA384, kind: ecdsaKey, hash: crypto.SHA384},
}

var digests = []digestMethod{
	{uri: SHA256, name: "SHA-256", size: 32, new: sha256.New},
	{uri: SHA512, name: "SHA-512", size: 64, new: sha512.New},
	{uri: SHA384, name: "SHA-384", size: 48, new: sha512.New384},
}

// Algorithms lists every signature algorithm that can be verified, legacy ones
// too: for looking at documents. A Verifier that admits somebody names its own.
func Algorithms() []Algorithm {
	out := make([]Algorithm, len(methods))
	for i := range methods {
		out[i] = methods[i].uri
	}
	return out
}

func methodByURI(uri string) *method {
	for i := range methods {
		if string(methods[i].uri) == uri || uri != "" && string(methods[i].alias) == uri {
			return &methods[i]
		}
	}
	return nil
}

// digestByURI gives the index in digests, -1 for none.
func digestByURI(uri string) int {
	for i := range digests {
		if string(digests[i].uri) == uri || uri != "" && string(digests[i].alias) == uri {
			return i
		}
	}
	return -1
}

// DigestBy digests octets by the algorithm of a URI; nil: it is not known.
func DigestBy(uri string, octets []byte) []byte {
	k := digestByURI(uri)
	if k < 0 {
		return nil
	}
	return digestOf(k, octets)
}

// digestOf digests octets by line k of digests.
func digestOf(k int, octets []byte) []byte {
	h := digests[k].new()
	h.Write(octets)
	return h.Sum(nil)
}

type keyKind uint8

const (
	rsaKey keyKind = iota + 1
	ecdsaKey
	gost2012Key256
	gost2012Key512
	gost2001Key
)

// publicKey is a key that may verify: long enough, on a known curve.
type publicKey interface {
	kind() keyKind
	// verify tells whether value is a signature in XMLDSig's form over digest.
	verify(m *method, digest, value []byte) bool
	// same tells whether the other is the same key.
	same(other crypto.PublicKey) bool
	String() string
}

// Key sizes below these are refused.
const (
	minRSABits     = 2048
	maxRSABits     = 8192 // a longer key is a way to spend our time
	minRSAExponent = 65537
)

// readPublicKey takes the key out of a certificate, or says why it may not verify.
func readPublicKey(x *x509.Certificate) (publicKey, error) {
	switch k := x.PublicKey.(type) {
	case *rsa.PublicKey:
		bits := k.N.BitLen()
		switch {
		case bits < minRSABits:
			return nil, fmt.Errorf("RSA key of %d bits: at least %d are needed", bits, minRSABits)
		case bits > maxRSABits:
			return nil, fmt.Errorf("RSA key of %d bits: more than %d are refused", bits, maxRSABits)
		case k.E < minRSAExponent || k.E%2 == 0:
			return nil, fmt.Errorf("RSA exponent %d: an odd one of at least %d is needed", k.E, minRSAExponent)
		}
		return rsaPublicKey{k}, nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return &ecdsaPublicKey{k: k}, nil
		}
		return nil, fmt.Errorf("curve %s is not P-256, P-384 or P-521", k.Curve.Params().Name)
	case nil:
		return readForeignKey(x)
	}
	return nil, errors.New("key is neither RSA nor ECDSA nor GOST")
}

type rsaPublicKey struct{ k *rsa.PublicKey }

func (p rsaPublicKey) kind() keyKind                    { return rsaKey }
func (p rsaPublicKey) same(other crypto.PublicKey) bool { return p.k.Equal(other) }
func (p rsaPublicKey) String() string                   { return fmt.Sprintf("RSA %d", p.k.N.BitLen()) }
func (p rsaPublicKey) verify(m *method, digest, value []byte) bool {
	return rsa.VerifyPKCS1v15(p.k, m.hash, digest, value) == nil
}

// appendECDSA writes r and s as the DER sequence that crypto/ecdsa takes.
func appendECDSA(out, r, s []byte) []byte {
	r, s = trimZeros(r), trimZeros(s)
	size := 4 + len(r) + len(s) + int(r[0]>>7) + int(s[0]>>7)
	out = appendLength(append(out, 0x30), size)
	for _, v := range [2][]byte{r, s} {
		out = append(out, 0x02, byte(len(v)+int(v[0]>>7)))
		if v[0]&0x80 != 0 {
			out = append(out, 0)
		}
		out = append(out, v...)
	}
	return out
}

// trimZeros drops leading zero bytes but the last.
func trimZeros(v []byte) []byte {
	for len(v) > 1 && v[0] == 0 {
		v = v[1:]
	}
	return v
}

// ecdsaValue turns a DER signature into XMLDSig's r || s.
func ecdsaValue(curve elliptic.Curve, der []byte) ([]byte, error) {
	var inside cryptobyte.String
	var r, s []byte
	whole := cryptobyte.String(der)
	if !whole.ReadASN1(&inside, tag.SEQUENCE) || !whole.Empty() ||
		!inside.ReadASN1Integer(&r) || !inside.ReadASN1Integer(&s) || !inside.Empty() || trimZeros(r)[0] == 0 || trimZeros(s)[0] == 0 {
		return nil, errors.New("not a DER signature of two positive integers")
	}
	n := (curve.Params().BitSize + 7) / 8
	if len(r) > n || len(s) > n {
		return nil, errors.New("ECDSA signature wider than its curve")
	}
	out := make([]byte, 2*n)
	copy(out[n-len(r):], r)
	copy(out[2*n-len(s):], s)
	return out, nil
}
