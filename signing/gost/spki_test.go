package gost

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
)

func marshalPair(t testing.TB, a, b *big.Int) []byte {
	t.Helper()
	return marshal(t, struct{ A, B *big.Int }{a, b})
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestKeysRoundTrip(t *testing.T) {
	for _, c := range Curves() {
		key := newSigned(t, c).key
		public, err := ParsePublicKey(MarshalPublicKey(key.PublicKey()))
		if err != nil || !public.Equal(key.PublicKey()) || public.Curve() != c {
			t.Errorf("%s: public key: %v", c.Name(), err)
		}
		private, err := ParsePrivateKey(MarshalPrivateKey(key))
		if err != nil || !private.Equal(key) || private.PublicKey().Curve() != c {
			t.Errorf("%s: private key: %v", c.Name(), err)
		}
		if c.Size() == octets256 {
			old, err := NewPublicKey(GOST2001, c, key.public.x, key.public.y)
			if err != nil {
				t.Fatal(err)
			}
			again, err := ParsePublicKey(MarshalPublicKey(old))
			if err != nil || !again.Equal(old) {
				t.Errorf("%s: key of 2001: %v", c.Name(), err)
			}
		}
	}
}

// keyAlgorithm is an AlgorithmIdentifier put together loosely.
type keyAlgorithm struct {
	Algorithm  asn1.ObjectIdentifier
	Parameters asn1.RawValue `asn1:"optional"`
}

func sets(t testing.TB, oids ...asn1.ObjectIdentifier) asn1.RawValue {
	return asn1.RawValue{FullBytes: marshal(t, oids)}
}

func TestPublicKeyDER(t *testing.T) {
	key := newSigned(t, CurveCryptoProA).key.PublicKey()
	wide := newSigned(t, Curve512A).key.PublicKey()
	type info struct {
		Algorithm keyAlgorithm
		Key       asn1.BitString
	}
	bits := func(octets []byte) asn1.BitString {
		wrapped := marshal(t, octets)
		return asn1.BitString{Bytes: wrapped, BitLength: 8 * len(wrapped)}
	}
	good := bits(key.Octets())
	null := asn1.RawValue{Tag: 5}
	unknown := asn1.ObjectIdentifier{1, 2, 3}
	pro := CurveCryptoProA.oid
	for _, v := range []struct {
		name string
		info info
		good bool
	}{
		{"with digest", info{keyAlgorithm{oidKey256, sets(t, pro, oidDigest256)}, good}, true},
		{"without digest", info{keyAlgorithm{oidKey256, sets(t, pro)}, good}, true},
		{"2001", info{keyAlgorithm{oidKey2001, sets(t, pro, oidDigest94)}, good}, true},
		{"2001 with encryption", info{keyAlgorithm{oidKey2001, sets(t, pro, oidDigest94, unknown)}, good}, true},
		{"2012 with encryption", info{keyAlgorithm{oidKey256, sets(t, pro, oidDigest256, unknown)}, good}, false},
		{"512 with digest", info{keyAlgorithm{oidKey512, sets(t, Curve512A.oid, oidDigest512)}, bits(wide.Octets())}, true},
		{"digest of the other width", info{keyAlgorithm{oidKey256, sets(t, pro, oidDigest512)}, good}, false},
		{"digest of 94 with 2012", info{keyAlgorithm{oidKey256, sets(t, pro, oidDigest94)}, good}, false},
		{"no parameters", info{keyAlgorithm{Algorithm: oidKey256}, good}, false},
		{"NULL parameters", info{keyAlgorithm{oidKey256, null}, good}, false},
		{"empty parameters", info{keyAlgorithm{oidKey256, sets(t)}, good}, false},
		{"unknown set", info{keyAlgorithm{oidKey256, sets(t, unknown)}, good}, false},
		{"set of the other width", info{keyAlgorithm{oidKey256, sets(t, Curve512A.oid)}, good}, false},
		{"key of the other width", info{keyAlgorithm{oidKey256, sets(t, pro)}, bits(wide.Octets())}, false},
		{"key on another curve", info{keyAlgorithm{oidKey256, sets(t, Curve256C.oid)}, good}, false},
		{"point without its wrapping", info{keyAlgorithm{oidKey256, sets(t, pro)}, asn1.BitString{Bytes: key.Octets(), BitLength: 512}}, false},
		{"bits not whole octets", info{keyAlgorithm{oidKey256, sets(t, pro)}, asn1.BitString{Bytes: good.Bytes, BitLength: good.BitLength - 3}}, false},
		{"octets after the point", info{keyAlgorithm{oidKey256, sets(t, pro)}, asn1.BitString{Bytes: append(bytes.Clone(good.Bytes), 0), BitLength: good.BitLength + 8}}, false},
		{"big-endian point", info{keyAlgorithm{oidKey256, sets(t, pro)}, bits(reversed(key.Octets()))}, false},
	} {
		der := marshal(t, v.info)
		parsed, err := ParsePublicKey(der)
		if (err == nil) != v.good {
			t.Errorf("%s: %v", v.name, err)
		}
		if err != nil {
			continue
		}
		again, err := ParsePublicKey(MarshalPublicKey(parsed))
		if err != nil || !again.Equal(parsed) {
			t.Errorf("%s: does not survive marshalling: %v", v.name, err)
		}
		for _, bad := range [][]byte{append(bytes.Clone(der), 0), der[:len(der)-1], append([]byte{0}, der...)} {
			if _, err := ParsePublicKey(bad); err == nil {
				t.Errorf("%s: taken with an octet more or less", v.name)
			}
		}
	}

	for name, der := range map[string][]byte{
		"an element after the key": marshal(t, struct {
			Info keyAlgorithm
			Key  asn1.BitString
			More int
		}{keyAlgorithm{oidKey256, sets(t, pro)}, good, 5}),
		"an element after the parameters": marshal(t, struct {
			Info struct {
				OID  asn1.ObjectIdentifier
				Sets asn1.RawValue
				More int
			}
			Key asn1.BitString
		}{struct {
			OID  asn1.ObjectIdentifier
			Sets asn1.RawValue
			More int
		}{oidKey256, sets(t, pro), 5}, good}),
	} {
		if _, err := ParsePublicKey(der); err == nil {
			t.Errorf("%s is taken", name)
		}
	}

	elliptic, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(elliptic.Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParsePublicKey(der); !errors.Is(err, ErrNotGOST) {
		t.Errorf("an ECDSA key: %v, want ErrNotGOST", err)
	}
}

// RFC 9215, section 4.2: the parameter sets of CryptoPro name the digest, the
// newer ones do not.
func TestDigestParametersWritten(t *testing.T) {
	for _, c := range Curves() {
		der := MarshalPublicKey(newSigned(t, c).key.PublicKey())
		digest := marshal(t, algorithmOf(c).digestOID())
		want := strings.HasPrefix(c.Name(), "id-GostR3410-2001-")
		if got := bytes.Contains(der, digest); got != want {
			t.Errorf("%s: digest named: %v, want %v", c.Name(), got, want)
		}
	}
}

func TestPrivateKeyDER(t *testing.T) {
	key := newSigned(t, Curve256C).key
	number := new(big.Int).SetBytes(key.d)
	type info struct {
		Version    int
		Algorithm  keyAlgorithm
		Key        []byte
		Attributes asn1.RawValue `asn1:"optional"`
	}
	algorithm := keyAlgorithm{oidKey256, sets(t, Curve256C.oid)}
	attributes := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: []byte{5, 0}}
	public := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 1, Bytes: []byte{0, 1}}
	plain := reversed(key.d)
	for _, v := range []struct {
		name    string
		info    info
		refusal string
	}{
		{"plain", info{0, algorithm, plain, asn1.RawValue{}}, ""},
		{"wrapped", info{0, algorithm, marshal(t, plain), asn1.RawValue{}}, ""},
		{"integer", info{0, algorithm, marshal(t, number), asn1.RawValue{}}, ""},
		{"with attributes", info{0, algorithm, plain, attributes}, ""},
		{"version 1", info{1, algorithm, plain, asn1.RawValue{}}, "version"},
		{"with something else", info{0, algorithm, plain, public}, "attributes"},
		{"masked", info{0, algorithm, append(bytes.Clone(plain), plain...), asn1.RawValue{}}, "masks"},
		{"short", info{0, algorithm, plain[1:], asn1.RawValue{}}, "31 octets, want 32"},
		{"empty", info{0, algorithm, nil, asn1.RawValue{}}, "0 octets, want 32"},
		{"negative", info{0, algorithm, marshal(t, new(big.Int).Neg(number)), asn1.RawValue{}}, "octets"},
		{"zero", info{0, algorithm, make([]byte, 32), asn1.RawValue{}}, "zero"},
		{"2001", info{0, keyAlgorithm{oidKey2001, sets(t, CurveCryptoProA.oid)}, plain, asn1.RawValue{}}, "verifies"},
	} {
		der := marshal(t, v.info)
		parsed, err := ParsePrivateKey(der)
		switch {
		case v.refusal == "" && (err != nil || !parsed.Equal(key)):
			t.Errorf("%s: %v", v.name, err)
		case v.refusal != "" && (err == nil || !strings.Contains(err.Error(), v.refusal)):
			t.Errorf("%s: %v, want a refusal with %q", v.name, err, v.refusal)
		}
		if v.refusal == "" {
			if _, err := ParsePrivateKey(append(der, 0)); err == nil {
				t.Errorf("%s: taken with an octet after it", v.name)
			}
		}
	}
}

func TestOIDs(t *testing.T) {
	for _, c := range Curves() {
		found, ok := CurveByOID(c.OID())
		if !ok || found != c {
			t.Errorf("%s is not found by its identifier", c.Name())
		}
		c.OID()[0] = 99 // a copy
	}
	if _, ok := CurveByOID(asn1.ObjectIdentifier{1, 2, 643}); ok {
		t.Error("an unknown curve is found")
	}
	for _, a := range []Algorithm{GOST2001, GOST256, GOST512} {
		if found, ok := AlgorithmBySignatureOID(a.SignatureOID()); !ok || found != a {
			t.Errorf("%v is not found by its identifier", a)
		}
		if a.NewHash().Size() != a.Size() {
			t.Errorf("%v: hash of %d octets, size %d", a, a.NewHash().Size(), a.Size())
		}
	}
}

// What parses survives being written and parsed again.
func FuzzParsePublicKey(f *testing.F) {
	for _, c := range []*Curve{CurveCryptoProA, Curve256A, Curve512C} {
		f.Add(MarshalPublicKey(newSigned(f, c).key.PublicKey()))
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		key, err := ParsePublicKey(der)
		if err != nil {
			return
		}
		again, err := ParsePublicKey(MarshalPublicKey(key))
		if err != nil || !again.Equal(key) {
			t.Errorf("%x: parsed, written and parsed again it is another key: %v", der, err)
		}
	})
}

// What parses survives being written and parsed again.
func FuzzParsePrivateKey(f *testing.F) {
	for _, c := range []*Curve{CurveCryptoProA, Curve256A, Curve512C} {
		f.Add(MarshalPrivateKey(newSigned(f, c).key))
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		key, err := ParsePrivateKey(der)
		if err != nil {
			return
		}
		again, err := ParsePrivateKey(MarshalPrivateKey(key))
		if err != nil || !again.Equal(key) {
			t.Errorf("%x: parsed, written and parsed again it is another key: %v", der, err)
		}
	})
}

// No octets verify but the one signature, whatever form they are in.
func FuzzSignatureOctets(f *testing.F) {
	s := newSigned(f, Curve256A)
	f.Add(s.signature)
	f.Add(reversed(s.signature))
	f.Add(marshalPair(f, big.NewInt(1), big.NewInt(2)))
	public := s.key.PublicKey()
	f.Fuzz(func(t *testing.T, signature []byte) {
		err := public.VerifyDigest(s.digest, signature)
		if (err == nil) != bytes.Equal(signature, s.signature) {
			t.Errorf("%x: %v", signature, err)
		}
		if form := public.FormOf(s.digest, signature); (form == FormXMLDSig) != (err == nil) {
			t.Errorf("%x: form %v, but %v", signature, form, err)
		}
	})
}

// parseCertificate reads a certificate from DER or PEM.
func parseCertificate(t testing.TB, octets []byte) *x509.Certificate {
	t.Helper()
	if block, _ := pem.Decode(octets); block != nil {
		octets = block.Bytes
	}
	certificate, err := x509.ParseCertificate(octets)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}
