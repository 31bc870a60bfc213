package p256

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"math/big"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// signsAs holds a signature against the one that crypto/ecdsa makes without random numbers.
func signsAs(t testing.TB, private *ecdsa.PrivateKey, digest *[32]byte) {
	t.Helper()
	octets, err := private.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewPrivateKey(octets)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Sign(digest)
	if err != nil {
		t.Fatal(err)
	}
	der, err := private.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	var r, s big.Int
	whole := cryptobyte.String(der)
	if !whole.ReadASN1(&whole, asn1.SEQUENCE) || !whole.ReadASN1Integer(&r) || !whole.ReadASN1Integer(&s) {
		t.Fatalf("crypto/ecdsa has signed %x", der)
	}
	var want [64]byte
	r.FillBytes(want[:32])
	s.FillBytes(want[32:])
	if got != want {
		t.Errorf("key %x, digest %x: %x, crypto/ecdsa signs %x", octets, digest, got, want)
	}
}

// Keys and digests at the borders, and others.
func TestSignsAsCryptoECDSA(t *testing.T) {
	minus := func(n int64) *big.Int { return new(big.Int).Sub(curve.N, big.NewInt(n)) }
	all := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	for _, d := range []*big.Int{big.NewInt(1), big.NewInt(2), minus(1), minus(2), new(big.Int).Lsh(big.NewInt(1), 255)} {
		for _, e := range []*big.Int{new(big.Int), big.NewInt(1), minus(1), curve.N, new(big.Int).Add(curve.N, big.NewInt(1)), all} {
			signsAs(t, key(t, d), (*[32]byte)(e.FillBytes(make([]byte, 32))))
		}
	}
	for i := range 300 {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256([]byte{byte(i)})
		signsAs(t, private, &digest)
	}
}

func FuzzSignsAsCryptoECDSA(f *testing.F) {
	f.Add([]byte{1}, []byte{1})
	f.Add([]byte{0xff}, curve.N.Bytes())
	f.Fuzz(func(t *testing.T, d, e []byte) {
		private := new(big.Int).SetBytes(d[:min(len(d), 32)])
		private.Mod(private, new(big.Int).Sub(curve.N, big.NewInt(1))).Add(private, big.NewInt(1))
		digest := new(big.Int).SetBytes(e[:min(len(e), 32)]).FillBytes(make([]byte, 32))
		signsAs(t, key(t, private), (*[32]byte)(digest))
	})
}

// Nonces are drawn as RFC 6979 writes it, those too that are drawn because the first may
// not be used, which of four thousand million signatures one needs.
func TestNonces(t *testing.T) {
	octets := new(big.Int).Sub(curve.N, big.NewInt(12345)).FillBytes(make([]byte, 32))
	private, err := NewPrivateKey(octets)
	if err != nil {
		t.Fatal(err)
	}
	e := scalarOf([]byte("what is signed, and of 32 octets"))
	from := private.nonces(&e)

	var digest [32]byte
	e.put(digest[:])
	v, k := make([]byte, 32), make([]byte, 32)
	for i := range v {
		v[i] = 1
	}
	mac := func(what ...byte) []byte {
		h := hmac.New(sha256.New, k)
		h.Write(what)
		return h.Sum(nil)
	}
	joined := func(parts ...[]byte) (out []byte) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	k = mac(joined(v, []byte{0}, octets, digest[:])...)
	v = mac(v...)
	k = mac(joined(v, []byte{1}, octets, digest[:])...)
	v = mac(v...)
	for i := range 4 {
		v = mac(v...)
		if got := from.next(); string(got[:]) != string(v) {
			t.Errorf("nonce %d is %x, want %x", i, got, v)
		}
		k = mac(joined(v, []byte{0})...)
		v = mac(v...)
	}
}

// A blinder is one of its own for each key, nonce and use, and in its bounds.
func TestBlinders(t *testing.T) {
	seen := map[element]bool{}
	for d := range byte(3) {
		k, err := NewPrivateKey(append(make([]byte, 31), d+1))
		if err != nil {
			t.Fatal(err)
		}
		for nonce := range byte(20) {
			for use, bound := range []element{prime, element(order)} {
				b := k.blinder(&[32]byte{nonce}, byte(use), &bound)
				if seen[b] || b.isZero() || !b.less(&bound) {
					t.Errorf("key %d, nonce %d, use %d: %x", d+1, nonce, use, b)
				}
				seen[b] = true
			}
			low := element{0, 0, 0, 1 << 61} // which seven of eight are not below
			if b := k.blinder(&[32]byte{nonce}, 0, &low); !b.less(&low) {
				t.Errorf("key %d, nonce %d: %x is not below %x", d+1, nonce, b, low)
			}
		}
	}
}

// What is no private key is refused.
func TestPrivateKeys(t *testing.T) {
	for _, octets := range [][]byte{nil, make([]byte, 32), make([]byte, 31), make([]byte, 33), curve.N.Bytes(), new(big.Int).Add(curve.N, big.NewInt(1)).Bytes()} {
		if _, err := NewPrivateKey(octets); err == nil {
			t.Errorf("%x is a private key", octets)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	octets, err := private.Bytes()
	if err != nil {
		b.Fatal(err)
	}
	k, err := NewPrivateKey(octets)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("message"))
	b.Run("here", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := k.Sign(&digest); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("crypto-ecdsa", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := private.Sign(nil, digest[:], crypto.SHA256); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("nonce", func(b *testing.B) {
		b.ReportAllocs()
		e := scalarOf(digest[:])
		for b.Loop() {
			from := k.nonces(&e)
			from.next()
		}
	})
}
