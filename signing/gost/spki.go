package gost

import (
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

// Object identifiers of RFC 9215 and RFC 4491.
var (
	oidKey2001 = asn1.ObjectIdentifier{1, 2, 643, 2, 2, 19}
	oidKey256  = asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 1, 1}
	oidKey512  = asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 1, 2}

	oidDigest94   = asn1.ObjectIdentifier{1, 2, 643, 2, 2, 30, 1} // the CryptoPro substitution
	oidDigest256  = asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 2, 2}
	oidDigest512  = asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 2, 3}
	oidCryptoPro  = asn1.ObjectIdentifier{1, 2, 643, 2, 2}
	oidSigned2001 = asn1.ObjectIdentifier{1, 2, 643, 2, 2, 3}
	oidSigned256  = asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 3, 2}
	oidSigned512  = asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 3, 3}
)

// ErrNotGOST is wrapped by the error of a function that was given a key, or an
// object with a key, of another algorithm.
var ErrNotGOST = errors.New("not a GOST R 34.10 key")

func (a Algorithm) keyOID() asn1.ObjectIdentifier {
	return map[Algorithm]asn1.ObjectIdentifier{GOST2001: oidKey2001, GOST256: oidKey256, GOST512: oidKey512}[a]
}

func (a Algorithm) digestOID() asn1.ObjectIdentifier {
	return map[Algorithm]asn1.ObjectIdentifier{GOST2001: oidDigest94, GOST256: oidDigest256, GOST512: oidDigest512}[a]
}

// SignatureOID returns the identifier of signatures by keys of this algorithm
// over its own hash, as certificates name them.
func (a Algorithm) SignatureOID() asn1.ObjectIdentifier {
	return map[Algorithm]asn1.ObjectIdentifier{GOST2001: oidSigned2001, GOST256: oidSigned256, GOST512: oidSigned512}[a]
}

// AlgorithmBySignatureOID finds the algorithm that a certificate, request or
// revocation list names for its signature.
func AlgorithmBySignatureOID(oid asn1.ObjectIdentifier) (a Algorithm, ok bool) {
	for _, a := range []Algorithm{GOST2001, GOST256, GOST512} {
		if a.SignatureOID().Equal(oid) {
			return a, true
		}
	}
	return 0, false
}

// ParsePublicKey reads a SubjectPublicKeyInfo in DER and checks the point. The
// error wraps ErrNotGOST when the key is of another algorithm.
func ParsePublicKey(der []byte) (*PublicKey, error) {
	input := cryptobyte.String(der)
	var info cryptobyte.String
	var bits asn1.BitString
	if !input.ReadASN1(&info, tag.SEQUENCE) || !input.Empty() {
		return nil, errors.New("gost: public key: not one DER SubjectPublicKeyInfo")
	}
	a, c, err := readKeyAlgorithm(&info)
	if err != nil {
		return nil, fmt.Errorf("gost: public key: %w", err)
	}
	if !info.ReadASN1BitString(&bits) || !info.Empty() || bits.BitLength%8 != 0 {
		return nil, errors.New("gost: public key: the key is not a BIT STRING of whole octets at the end")
	}
	wrapped := cryptobyte.String(bits.Bytes)
	var octets cryptobyte.String
	if !wrapped.ReadASN1(&octets, tag.OCTET_STRING) || !wrapped.Empty() {
		return nil, errors.New("gost: public key: the BIT STRING does not hold one OCTET STRING")
	}
	if len(octets) != 2*c.size {
		return nil, fmt.Errorf("gost: public key: point of %d octets, %v has %d", len(octets), a, 2*c.size)
	}
	return NewPublicKey(a, c, reversed(octets[:c.size]), reversed(octets[c.size:]))
}

// MarshalPublicKey writes a SubjectPublicKeyInfo in DER.
func MarshalPublicKey(k *PublicKey) []byte {
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		addKeyAlgorithm(b, k.algorithm, k.curve)
		b.AddASN1(tag.BIT_STRING, func(b *cryptobyte.Builder) {
			b.AddUint8(0)
			b.AddASN1OctetString(k.Octets())
		})
	})
	return b.BytesOrPanic()
}

// readKeyAlgorithm reads the AlgorithmIdentifier of a key: RFC 9215, section 4,
// and RFC 4491, section 2.3.
func readKeyAlgorithm(input *cryptobyte.String) (a Algorithm, c *Curve, err error) {
	var identifier, sets cryptobyte.String
	var key, curveOID, digest asn1.ObjectIdentifier
	if !input.ReadASN1(&identifier, tag.SEQUENCE) || !identifier.ReadASN1ObjectIdentifier(&key) {
		return 0, nil, errors.New("no AlgorithmIdentifier")
	}
	for _, candidate := range []Algorithm{GOST2001, GOST256, GOST512} {
		if candidate.keyOID().Equal(key) {
			a = candidate
		}
	}
	if a == 0 {
		return 0, nil, fmt.Errorf("%w: algorithm %v", ErrNotGOST, key)
	}
	if !identifier.ReadASN1(&sets, tag.SEQUENCE) || !identifier.Empty() || !sets.ReadASN1ObjectIdentifier(&curveOID) {
		return 0, nil, fmt.Errorf("%v with no parameter set of its own", a)
	}
	c, ok := CurveByOID(curveOID)
	if !ok {
		return 0, nil, fmt.Errorf("%v with unknown parameter set %v", a, curveOID)
	}
	if c.size != a.Size() {
		return 0, nil, fmt.Errorf("%v with parameter set %s, which has another size", a, c.name)
	}
	if !sets.Empty() {
		if !sets.ReadASN1ObjectIdentifier(&digest) {
			return 0, nil, fmt.Errorf("%v: the parameters hold something other than identifiers", a)
		}
		if !digest.Equal(a.digestOID()) {
			return 0, nil, fmt.Errorf("%v with digest parameters %v, want %v", a, digest, a.digestOID())
		}
	}
	// The keys of 2001 may name parameters for encryption, which is not done here.
	var encryption asn1.ObjectIdentifier
	if a == GOST2001 && !sets.Empty() && !sets.ReadASN1ObjectIdentifier(&encryption) || !sets.Empty() {
		return 0, nil, fmt.Errorf("%v: more parameters than the standard has", a)
	}
	return a, c, nil
}

func addKeyAlgorithm(b *cryptobyte.Builder, a Algorithm, c *Curve) {
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(a.keyOID())
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(c.oid)
			// RFC 9215, section 4.2: CryptoPro's parameter sets name the digest,
			// the newer ones leave it out.
			if len(c.oid) > len(oidCryptoPro) && c.oid[:len(oidCryptoPro)].Equal(oidCryptoPro) {
				b.AddASN1ObjectIdentifier(a.digestOID())
			}
		})
	})
}

// ParsePrivateKey reads a PKCS #8 PrivateKeyInfo in DER. Besides the usual form,
// the number in little-endian octets, it knows the two older ones that OpenSSL's
// engine reads: wrapped in a second OCTET STRING, and as an INTEGER. Keys split
// by masks, and keys of GOST R 34.10-2001, are refused.
func ParsePrivateKey(der []byte) (*PrivateKey, error) {
	input := cryptobyte.String(der)
	var info, octets cryptobyte.String
	var version uint
	if !input.ReadASN1(&info, tag.SEQUENCE) || !input.Empty() {
		return nil, errors.New("gost: private key: not one DER PrivateKeyInfo")
	}
	if !info.ReadASN1Integer(&version) || version != 0 {
		return nil, errors.New("gost: private key: not version 0 of PKCS #8")
	}
	a, c, err := readKeyAlgorithm(&info)
	if err != nil {
		return nil, fmt.Errorf("gost: private key: %w", err)
	}
	if a == GOST2001 {
		return nil, fmt.Errorf("gost: private key: %v only verifies here", a)
	}
	if !info.ReadASN1(&octets, tag.OCTET_STRING) ||
		!info.SkipOptionalASN1(tag.Tag(0).ContextSpecific().Constructed()) || !info.Empty() {
		return nil, errors.New("gost: private key: the key is not an OCTET STRING followed by attributes at most")
	}
	d, err := privateNumber(octets, c.size)
	if err != nil {
		return nil, err
	}
	return NewPrivateKey(c, d)
}

// privateNumber reads the octets of a private key into big-endian ones.
func privateNumber(octets cryptobyte.String, size int) ([]byte, error) {
	var wrapped cryptobyte.String
	var integer []byte
	switch inner := octets; {
	case len(octets) == size:
		return reversed(octets), nil
	case inner.ReadASN1(&wrapped, tag.OCTET_STRING) && inner.Empty() && len(wrapped) == size:
		return reversed(wrapped), nil
	}
	if inner := octets; inner.ReadASN1Integer(&integer) && inner.Empty() && len(integer) <= size {
		d := make([]byte, size)
		copy(d[size-len(integer):], integer)
		return d, nil
	}
	if len(octets) > 0 && len(octets)%size == 0 {
		return nil, fmt.Errorf("gost: private key: %d octets, a key of %d split by masks; export it without masks", len(octets), size)
	}
	return nil, fmt.Errorf("gost: private key: %d octets, want %d", len(octets), size)
}

// MarshalPrivateKey writes a PKCS #8 PrivateKeyInfo in DER, unencrypted.
func MarshalPrivateKey(k *PrivateKey) []byte {
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		addKeyAlgorithm(b, k.public.algorithm, k.public.curve)
		b.AddASN1OctetString(reversed(k.d))
	})
	return b.BytesOrPanic()
}
