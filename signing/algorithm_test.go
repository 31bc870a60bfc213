package signing

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"

	"mezhved/signing/gost"
)

// Every algorithm of the tables has a name, a digest and its place; strangers
// keep their URI.
func TestAlgorithmNames(t *testing.T) {
	for a, want := range map[Algorithm]string{RSASHA256: "RSA-SHA256", ECDSASHA512: "ECDSA-SHA512", GOST2012_256: "GOST R 34.10-2012 256", "urn:x": "urn:x"} {
		if got := a.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for a, want := range map[Algorithm]Digest{RSASHA512: SHA512, ECDSASHA384: SHA384, GOST2001: GOST94, GOST2012_512: Streebog512, "urn:x": ""} {
		if got := a.Digest(); got != want {
			t.Errorf("digest of %s: got %s, want %s", a, got, want)
		}
	}
	for d, want := range map[Digest]string{SHA256: "SHA-256", Streebog256: "GOST R 34.11-2012 256", "urn:x": "urn:x"} {
		if got := d.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for i, d := range digests {
		if h := d.new(); h.Size() != d.size || digestByURI(string(d.uri)) != i {
			t.Errorf("%s: size %d, want %d", d.name, h.Size(), d.size)
		}
	}
	for _, m := range methods {
		if digestByURI(string(m.digest)) < 0 {
			t.Errorf("%s: its digest is not in the table", m.name)
		}
	}
}

// Keys that are too short, too long, on a curve that is not listed, or with a
// small exponent verify nothing.
func TestKeyPolicy(t *testing.T) {
	number := func(bits int) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return n.Add(n, big.NewInt(1))
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := NewTestCA("CA", KeyECDSA256, testNow)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		key  crypto.PublicKey
		says string // empty: fit
	}{
		{"RSA 2047", &rsa.PublicKey{N: number(2047), E: 65537}, "at least 2048"},
		{"RSA 2048", &rsa.PublicKey{N: number(2048), E: 65537}, ""},
		{"RSA 8192", &rsa.PublicKey{N: number(8192), E: 65537}, ""},
		{"RSA 8193", &rsa.PublicKey{N: number(8193), E: 65537}, "more than 8192"},
		{"exponent 3", &rsa.PublicKey{N: number(2048), E: 3}, "exponent 3"},
		{"exponent 65539", &rsa.PublicKey{N: number(2048), E: 65539}, ""},
		{"exponent 65538", &rsa.PublicKey{N: number(2048), E: 65538}, "exponent 65538"},
		{"P-224", &p224.PublicKey, "P-224"},
		{"P-521", &p521.PublicKey, ""},
	} {
		template, err := TestSubject{CommonName: tt.name}.template(testNow)
		if err != nil {
			t.Fatal(err)
		}
		der, err := createCertificate(template, ca.Certificate.X509, tt.key, ca.Key)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		c, err := ParseCertificate(der)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if (c.key != nil) != (tt.says == "") || c.key == nil && !strings.Contains(c.keyErr.Error(), tt.says) {
			t.Errorf("%s: got key %v, %v; want it to say %q", tt.name, c.key, c.keyErr, tt.says)
		}
		if c.Key() == "" || tt.says != "" && !strings.Contains(c.Key(), "unusable") {
			t.Errorf("%s: described as %q", tt.name, c.Key())
		}
	}
}

// Values with leading zeros in r or s, which come once in 128 signatures, keep
// the width of the curve.
func TestECDSAValues(t *testing.T) {
	s := signer(t, KeyECDSA256)
	key := identity(t, KeyECDSA256).Certificate.key
	m := methodByURI(string(ECDSASHA256))
	zeros := 0
	for range 1500 {
		value, err := s.Sign(context.Background(), []byte("octets"))
		if err != nil {
			t.Fatal(err)
		}
		if value[0] == 0 || value[32] == 0 {
			zeros++
		}
		if len(value) != 64 || !key.verify(m, digestOf(0, []byte("octets")), value) {
			t.Fatalf("a value of our own does not verify: %x", value)
		}
	}
	if zeros == 0 {
		t.Error("no value had a leading zero")
	}
	good, err := s.Sign(context.Background(), []byte("octets"))
	if err != nil {
		t.Fatal(err)
	}
	sum := digestOf(0, []byte("octets"))
	n := elliptic.P256().Params().N.Bytes()
	for name, value := range map[string][]byte{
		"empty": nil, "short": good[:63], "long": append(good[:64:64], 0), "wide": append(append(make([]byte, 1), good[:32]...), append(make([]byte, 1), good[32:]...)...),
		"r is zero": append(make([]byte, 32), good[32:]...), "s is zero": append(good[:32:32], make([]byte, 32)...), "all zero": make([]byte, 64),
		"r is the order": append(n, good[32:]...), "swapped": append(good[32:64:64], good[:32]...),
	} {
		if key.verify(m, sum, value) {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, der := range map[string][]byte{"nothing": nil, "one number": marshal(t, struct{ R *big.Int }{big.NewInt(1)}), "negative": marshal(t, struct{ R, S *big.Int }{big.NewInt(-1), big.NewInt(1)}),
		"zero": marshal(t, struct{ R, S *big.Int }{big.NewInt(1), new(big.Int)}), "wide": marshal(t, struct{ R, S *big.Int }{new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)}),
		"wide s": marshal(t, struct{ R, S *big.Int }{big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 256)}),
		"more":   append(marshal(t, struct{ R, S *big.Int }{big.NewInt(1), big.NewInt(1)}), 0)} {
		if v, err := ecdsaValue(elliptic.P256(), der); err == nil {
			t.Errorf("%s: turned into %x", name, v)
		}
	}
	// P-521 needs the long form of DER's length.
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := ecdsa.SignASN1(rand.Reader, p521, sum)
	if err != nil {
		t.Fatal(err)
	}
	value, err := ecdsaValue(elliptic.P521(), der)
	if err != nil || len(value) != 132 || !(&ecdsaPublicKey{k: &p521.PublicKey}).verify(nil, sum, value) {
		t.Errorf("P-521: %d bytes, %v", len(value), err)
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// The curves that the standards give as examples are refused, the others are fit.
func TestGOSTCurves(t *testing.T) {
	for _, curve := range gost.Curves() {
		key, err := gost.GenerateKey(nil, curve)
		if err != nil {
			t.Fatal(err)
		}
		template, err := TestSubject{CommonName: curve.Name()}.template(testNow)
		if err != nil {
			t.Fatal(err)
		}
		der, err := gost.CreateCertificate(nil, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		example := curve == gost.CurveTest || curve == gost.Curve512Test
		if (c.key == nil) != example {
			t.Errorf("%s: key %v, %v", curve.Name(), c.key, c.keyErr)
		}
	}
}

// A GOST key gets its tables after some signatures that hold, and verifies the
// same with them.
func TestGOSTTables(t *testing.T) {
	s := signer(t, KeyGOST256)
	cert, err := ParseCertificate(s.Certificate().DER)
	if err != nil {
		t.Fatal(err)
	}
	key := cert.key.(*gostPublicKey)
	m := methodByURI(string(GOST2012_256))
	octets := []byte("octets")
	sum := digestOf(digestByURI(string(Streebog256)), octets)
	value, err := s.Sign(context.Background(), octets)
	if err != nil {
		t.Fatal(err)
	}
	bad := append([]byte(nil), value...)
	bad[5] ^= 1
	for i := range 3 * gostTableAfter {
		if key.verify(m, sum, bad) {
			t.Fatal("a spoilt value was accepted")
		}
		if i < gostTableAfter && key.fast.Load() != nil {
			t.Fatalf("tables after %d signatures that hold", i)
		}
		if !key.verify(m, sum, value) {
			t.Fatal("a good value was refused")
		}
	}
	if key.fast.Load() == nil {
		t.Error("no tables")
	}
}
