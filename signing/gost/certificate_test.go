package gost

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"
)

var (
	notBefore = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
)

func authorityTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Country: []string{"RU"}},
		NotBefore: notBefore, NotAfter: notAfter, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// authority is a certification authority with its key.
type authority struct {
	key         *PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t testing.TB, c *Curve, template *x509.Certificate) authority {
	t.Helper()
	key, err := GenerateKey(nil, c)
	if err != nil {
		t.Fatal(err)
	}
	der, err := CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatalf("%s: self-signed certificate: %v", c.Name(), err)
	}
	return authority{key, parseCertificate(t, der)}
}

func TestCertificatesOfEveryCurve(t *testing.T) {
	for _, c := range Curves() {
		root := newAuthority(t, c, authorityTemplate("Корневой УЦ"))
		if err := CheckSignatureFrom(root.certificate, root.certificate); err != nil {
			t.Errorf("%s: self-signed: %v", c.Name(), err)
		}
		if key, err := PublicKeyOf(root.certificate); err != nil || !key.Equal(root.key.Public()) {
			t.Errorf("%s: key of the certificate: %v", c.Name(), err)
		}
		digest := SumStreebog256(root.key.PublicKey().Octets())
		if !bytes.Equal(root.certificate.SubjectKeyId, digest[:20]) {
			t.Errorf("%s: subject key identifier %x is not made of the key", c.Name(), root.certificate.SubjectKeyId)
		}

		leafKey, err := GenerateKey(nil, Curve256B)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: "ИС муниципалитета"},
			NotBefore: notBefore, NotAfter: notAfter, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, DNSNames: []string{"is.example"},
			BasicConstraintsValid: true, SubjectKeyId: []byte("chosen"),
		}
		der, err := CreateCertificate(nil, template, root.certificate, leafKey.Public(), root.key)
		if err != nil {
			t.Fatalf("%s: leaf: %v", c.Name(), err)
		}
		leaf := parseCertificate(t, der)
		if err := CheckSignatureFrom(leaf, root.certificate); err != nil {
			t.Errorf("%s: leaf: %v", c.Name(), err)
		}
		if key, err := PublicKeyOf(leaf); err != nil || !key.Equal(leafKey.Public()) {
			t.Errorf("%s: key of the leaf: %v", c.Name(), err)
		}
		if !bytes.Equal(leaf.AuthorityKeyId, root.certificate.SubjectKeyId) || !bytes.Equal(leaf.RawIssuer, root.certificate.RawSubject) ||
			leaf.Subject.CommonName != "ИС муниципалитета" || leaf.DNSNames[0] != "is.example" || !leaf.NotAfter.Equal(notAfter) ||
			leaf.SerialNumber.Int64() != 77 || string(leaf.SubjectKeyId) != "chosen" || leaf.KeyUsage != x509.KeyUsageDigitalSignature {
			t.Errorf("%s: the leaf does not say what its template said", c.Name())
		}

		// One bit anywhere in what is signed or in the signature.
		for i := range len(der) {
			bad := bytes.Clone(der)
			bad[i] ^= 0x10
			changed, err := x509.ParseCertificate(bad)
			if err != nil || i%7 != 0 {
				continue
			}
			if CheckSignatureFrom(changed, root.certificate) == nil {
				t.Errorf("%s: verifies with octet %d changed", c.Name(), i)
			}
		}
	}
}

func TestIssuersRefused(t *testing.T) {
	root := newAuthority(t, Curve256A, authorityTemplate("УЦ"))
	other := newAuthority(t, Curve256A, authorityTemplate("УЦ"))
	wide := newAuthority(t, Curve512A, authorityTemplate("УЦ"))
	notCA := authorityTemplate("не УЦ")
	notCA.IsCA, notCA.KeyUsage = false, 0
	leaf := newAuthority(t, Curve256A, notCA)
	noUsage := authorityTemplate("УЦ без права подписи")
	noUsage.KeyUsage = x509.KeyUsageDigitalSignature
	weak := newAuthority(t, Curve256A, noUsage)

	child := func(a authority) *x509.Certificate {
		template := authorityTemplate("подчинённый")
		template.SerialNumber = big.NewInt(5)
		der, err := CreateCertificate(nil, template, a.certificate, root.key.Public(), a.key)
		if err != nil {
			t.Fatal(err)
		}
		return parseCertificate(t, der)
	}
	if err := CheckSignatureFrom(child(root), root.certificate); err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		name          string
		child, parent *x509.Certificate
		want          error
	}{
		{"another key", child(root), other.certificate, ErrMismatch},
		{"not an authority", child(leaf), leaf.certificate, ErrIssuer},
		{"key usage without signing", child(weak), weak.certificate, ErrIssuer},
	} {
		if err := CheckSignatureFrom(v.child, v.parent); !errors.Is(err, v.want) {
			t.Errorf("%s: %v, want %v", v.name, err, v.want)
		}
	}
	if err := CheckSignatureFrom(child(root), wide.certificate); err == nil || !strings.Contains(err.Error(), "algorithm") {
		t.Errorf("issuer with a longer key: %v, want a refusal that names the algorithm", err)
	}
	if _, err := CreateCertificate(nil, authorityTemplate("x"), root.certificate, root.key.Public(), other.key); err == nil {
		t.Error("a certificate is made with a key that is not the parent's")
	}
}

// Chains in the field mix algorithms: an RSA or ECDSA root over GOST keys, and
// a GOST authority over TLS keys.
func TestMixedChains(t *testing.T) {
	curveKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := authorityTemplate("ECDSA")
	der, err := x509.CreateCertificate(rand.Reader, template, template, curveKey.Public(), curveKey)
	if err != nil {
		t.Fatal(err)
	}
	elliptic := parseCertificate(t, der)
	if err := CheckSignatureFrom(elliptic, elliptic); err != nil {
		t.Errorf("ECDSA under ECDSA: %v", err)
	}
	if _, err := PublicKeyOf(elliptic); !errors.Is(err, ErrNotGOST) {
		t.Errorf("key of an ECDSA certificate: %v, want ErrNotGOST", err)
	}
	root := newAuthority(t, Curve256A, authorityTemplate("ГОСТ"))
	if err := CheckSignatureFrom(root.certificate, elliptic); err == nil {
		t.Error("a GOST certificate verifies under an ECDSA key")
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "tls"}, NotBefore: notBefore, NotAfter: notAfter}
	der, err = CreateCertificate(nil, leaf, root.certificate, curveKey.Public(), root.key)
	if err != nil {
		t.Fatal(err)
	}
	issued := parseCertificate(t, der)
	if err := CheckSignatureFrom(issued, root.certificate); err != nil {
		t.Errorf("ECDSA under GOST: %v", err)
	}
	if !curveKey.PublicKey.Equal(issued.PublicKey) {
		t.Error("the ECDSA key did not come through")
	}
	if _, err := CreateCertificate(nil, leaf, root.certificate, curveKey.Public(), curveKey); !errors.Is(err, ErrNotGOST) {
		t.Errorf("signing with an ECDSA key: %v, want ErrNotGOST", err)
	}
}

func TestRevocationLists(t *testing.T) {
	for _, c := range []*Curve{CurveCryptoProA, Curve512C} {
		root := newAuthority(t, c, authorityTemplate("УЦ"))
		der, err := CreateRevocationList(nil, &x509.RevocationList{
			Number: big.NewInt(9), ThisUpdate: notBefore, NextUpdate: notAfter,
			RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(77), RevocationTime: notBefore}},
		}, root.certificate, root.key)
		if err != nil {
			t.Fatal(err)
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckRevocationListFrom(list, root.certificate); err != nil {
			t.Errorf("%s: %v", c.Name(), err)
		}
		if len(list.RevokedCertificateEntries) != 1 || list.Number.Int64() != 9 {
			t.Errorf("%s: the list does not say what its template said", c.Name())
		}
		other := newAuthority(t, c, authorityTemplate("УЦ"))
		if err := CheckRevocationListFrom(list, other.certificate); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s, another issuer: %v, want ErrMismatch", c.Name(), err)
		}
		if _, err := CreateRevocationList(nil, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: notBefore, NextUpdate: notAfter}, root.certificate, other.key); err == nil {
			t.Errorf("%s: a list is made with a key that is not the issuer's", c.Name())
		}
		usage := authorityTemplate("УЦ")
		usage.KeyUsage = x509.KeyUsageCertSign
		if err := CheckRevocationListFrom(list, newAuthority(t, c, usage).certificate); !errors.Is(err, ErrIssuer) {
			t.Errorf("%s, issuer without the usage: %v, want ErrIssuer", c.Name(), err)
		}
	}
}

// reversedSigner is a certified tool behind an interface that gives CryptoPro's
// order of octets.
type reversedSigner struct{ *PrivateKey }

func (s reversedSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := s.PrivateKey.Sign(random, digest, opts)
	return reversed(signature), err
}

func TestSignerWithWrongOctetsIsNoticed(t *testing.T) {
	key := newSigned(t, Curve256A).key
	template := authorityTemplate("УЦ")
	_, err := CreateCertificate(nil, template, template, key.Public(), reversedSigner{key})
	if !errors.Is(err, ErrMismatch) && !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "CryptoPro") {
		t.Errorf("%v, want a refusal that names the form", err)
	}
}

// counter counts what is read from the broken generator.
type counter struct{ octets int }

func (c *counter) Read(p []byte) (int, error) {
	c.octets += len(p)
	return zeros{}.Read(p)
}

func TestRandomnessGoesToTheSigner(t *testing.T) {
	key := newSigned(t, Curve256A).key
	template, random := authorityTemplate("УЦ"), new(counter)
	if _, err := CreateCertificate(random, template, template, key.Public(), key); err != nil {
		t.Fatal(err)
	}
	if random.octets != 32 {
		t.Errorf("the signer read %d octets of the given generator, want 32", random.octets)
	}
}

func TestCheckSignatureHoldsTheAlgorithm(t *testing.T) {
	key := newSigned(t, Curve256A).key
	message := []byte("tbs")
	signature, err := key.SignMessage(nil, message, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckSignature(key.PublicKey(), GOST256.SignatureOID(), message, signature); err != nil {
		t.Error(err)
	}
	for _, a := range []Algorithm{GOST2001, GOST512} {
		if CheckSignature(key.PublicKey(), a.SignatureOID(), message, signature) == nil {
			t.Errorf("a signature by a %v key verifies as one by %v", GOST256, a)
		}
	}
	if CheckSignature(key.PublicKey(), oidKey256, message, signature) == nil {
		t.Error("the identifier of a key is taken for one of a signature")
	}
}
