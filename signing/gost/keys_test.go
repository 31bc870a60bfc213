package gost

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/sha512"
	"errors"
	"io"
	"math/big"
	"strings"
	"sync"
	"testing"
)

var _ crypto.MessageSigner = (*PrivateKey)(nil)

// zeros is a random generator that is broken.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// signed is a key and a signature that verifies.
type signed struct {
	key               *PrivateKey
	digest, signature []byte
}

func newSigned(t testing.TB, c *Curve) signed {
	t.Helper()
	key, err := GenerateKey(nil, c)
	if err != nil {
		t.Fatal(err)
	}
	h := key.PublicKey().Algorithm().NewHash()
	io.WriteString(h, "Сообщение для подписи")
	digest := h.Sum(nil)
	signature, err := key.Sign(nil, digest, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.PublicKey().VerifyDigest(digest, signature); err != nil {
		t.Fatalf("%s: own signature: %v", c.Name(), err)
	}
	return signed{key, digest, signature}
}

func TestSignatureOfEveryCurve(t *testing.T) {
	for _, c := range Curves() {
		s := newSigned(t, c)
		public := s.key.PublicKey()
		if err := public.Precomputed().VerifyDigest(s.digest, s.signature); err != nil {
			t.Errorf("%s, precomputed: %v", c.Name(), err)
		}
		for i := range s.signature {
			bad := bytes.Clone(s.signature)
			bad[i] ^= 1 << (i % 8)
			if public.VerifyDigest(s.digest, bad) == nil {
				t.Errorf("%s: verifies with a bit of octet %d flipped", c.Name(), i)
			}
		}
		bad := bytes.Clone(s.digest)
		bad[0] ^= 1
		if err := public.VerifyDigest(bad, s.signature); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s, another digest: %v, want ErrMismatch", c.Name(), err)
		}
		other := newSigned(t, c)
		if err := other.key.PublicKey().VerifyDigest(s.digest, s.signature); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s, another key: %v, want ErrMismatch", c.Name(), err)
		}
	}
}

func TestMalformedSignatures(t *testing.T) {
	for _, c := range Curves() {
		s := newSigned(t, c)
		size := c.Size()
		halves := func(first, second []byte) []byte { return append(bytes.Clone(first), second...) }
		sHalf, rHalf := s.signature[:size], s.signature[size:]
		zero, ones := make([]byte, size), bytes.Repeat([]byte{0xff}, size)
		order := parametersOf(t, c).q
		above := new(big.Int).Add(new(big.Int).SetBytes(order), big.NewInt(1)).FillBytes(make([]byte, size))
		for name, signature := range map[string][]byte{
			"r = 0":          halves(sHalf, zero),
			"s = 0":          halves(zero, rHalf),
			"both 0":         halves(zero, zero),
			"r = q":          halves(sHalf, order),
			"s = q":          halves(order, rHalf),
			"r = q+1":        halves(sHalf, above),
			"s = q+1":        halves(above, rHalf),
			"r all ones":     halves(sHalf, ones),
			"s all ones":     halves(ones, rHalf),
			"empty":          {},
			"nil":            nil,
			"one half":       sHalf,
			"an octet short": s.signature[:2*size-1],
			"an octet long":  append(bytes.Clone(s.signature), 0),
		} {
			for _, key := range []*PublicKey{s.key.PublicKey(), s.key.PublicKey().Precomputed()} {
				if err := key.VerifyDigest(s.digest, signature); !errors.Is(err, ErrMalformed) {
					t.Errorf("%s, %s: %v, want ErrMalformed", c.Name(), name, err)
				}
			}
		}
		for _, digest := range [][]byte{nil, {}, s.digest[1:], append(bytes.Clone(s.digest), 0)} {
			if err := s.key.PublicKey().VerifyDigest(digest, s.signature); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s, digest of %d octets: %v, want ErrMalformed", c.Name(), len(digest), err)
			}
			if _, err := s.key.Sign(nil, digest, nil); err == nil {
				t.Errorf("%s: signs a digest of %d octets", c.Name(), len(digest))
			}
		}
	}
}

// A signature whose s were replaced by s+q, or r by r+q, would be a second
// spelling of the same one where the width has room for it.
func TestSignatureHasOneSpelling(t *testing.T) {
	for _, c := range []*Curve{Curve256A, Curve512C, Curve256C} {
		s := newSigned(t, c)
		size := c.Size()
		q := new(big.Int).SetBytes(parametersOf(t, c).q)
		for half := range 2 {
			n := new(big.Int).SetBytes(s.signature[half*size : (half+1)*size])
			if n.Add(n, q).BitLen() > 8*size {
				continue
			}
			bad := bytes.Clone(s.signature)
			n.FillBytes(bad[half*size : (half+1)*size])
			if err := s.key.PublicKey().VerifyDigest(s.digest, bad); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s, half %d plus q: %v, want ErrMalformed", c.Name(), half, err)
			}
		}
	}
}

// GOST R 34.10-2012, section 6.1, step 2: e = 0 is replaced by 1, and e counts
// modulo q.
func TestDigestZeroIsOne(t *testing.T) {
	for _, c := range Curves() {
		key, err := GenerateKey(nil, c)
		if err != nil {
			t.Fatal(err)
		}
		zero := make([]byte, c.Size())
		one := make([]byte, c.Size())
		one[0] = 1 // little-endian
		order := reversed(parametersOf(t, c).q)
		two := make([]byte, c.Size())
		two[0] = 2
		equal := [][]byte{zero, one, order}
		for _, digest := range equal {
			signature, err := key.Sign(nil, digest, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, other := range equal {
				if err := key.PublicKey().VerifyDigest(other, signature); err != nil {
					t.Errorf("%s: signature over %x… does not verify over %x…: %v", c.Name(), digest[:2], other[:2], err)
				}
			}
			if key.PublicKey().VerifyDigest(two, signature) == nil {
				t.Errorf("%s: signature over %x… verifies over 2", c.Name(), digest[:2])
			}
		}
	}
}

// With d = 1 the equation s*G - r*Q is the point at infinity for r = s, and no
// signature may come of it; keys near the generator meet doublings inside.
func TestKeysNearTheGenerator(t *testing.T) {
	for _, c := range Curves() {
		q := new(big.Int).SetBytes(parametersOf(t, c).q)
		for _, d := range []*big.Int{big.NewInt(1), big.NewInt(2), big.NewInt(3), new(big.Int).Sub(q, big.NewInt(1)), new(big.Int).Sub(q, big.NewInt(2))} {
			key, err := NewPrivateKey(c, d.FillBytes(make([]byte, c.Size())))
			if err != nil {
				t.Fatal(err)
			}
			digest := bytes.Repeat([]byte{7}, c.Size())
			signature, err := key.Sign(nil, digest, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, public := range []*PublicKey{key.PublicKey(), key.PublicKey().Precomputed()} {
				if err := public.VerifyDigest(digest, signature); err != nil {
					t.Errorf("%s, d = %x: %v", c.Name(), d, err)
				}
				r := bytes.Repeat([]byte{1}, c.Size())
				s := new(big.Int).SetBytes(r)
				s.Mul(s, d).Mod(s, q) // s*G = r*Q
				infinity := append(s.FillBytes(make([]byte, c.Size())), r...)
				if err := public.VerifyDigest(digest, infinity); !errors.Is(err, ErrMismatch) {
					t.Errorf("%s, d = %x, sum at infinity: %v, want ErrMismatch", c.Name(), d, err)
				}
			}
		}
	}
}

func TestPublicKeysRefused(t *testing.T) {
	for _, c := range Curves() {
		p := parametersOf(t, c)
		ref := referenceOf(p)
		size := c.Size()
		octets := func(n *big.Int) []byte { return n.FillBytes(make([]byte, size)) }
		refuse := func(name string, x, y []byte) {
			t.Helper()
			if _, err := NewPublicKey(algorithmOf(c), c, x, y); err == nil {
				t.Errorf("%s: %s is taken", c.Name(), name)
			}
		}
		zero := make([]byte, size)
		refuse("(0, 0), the usual spelling of infinity", zero, zero)
		refuse("a point off the curve", p.x, octets(new(big.Int).Add(ref.y, big.NewInt(1))))
		refuse("swapped coordinates", p.y, p.x)
		refuse("x = p", p.p, p.y)
		if unreduced := new(big.Int).Add(ref.x, ref.p); unreduced.BitLen() <= 8*size {
			refuse("x + p", octets(unreduced), p.y)
		}
		refuse("short coordinates", p.x[1:], p.y[1:])
		refuse("long coordinates", append([]byte{0}, p.x...), append([]byte{0}, p.y...))
		refuse("a short x", p.x[1:], p.y)
		refuse("a short y", p.x, p.y[1:])
		refuse("no coordinates", nil, nil)
		if _, err := NewPublicKey(Algorithm(0), c, p.x, p.y); err == nil {
			t.Errorf("%s: a key without an algorithm is taken", c.Name())
		}
		wrong := GOST512
		if size == octets512 {
			wrong = GOST256
		}
		if _, err := NewPublicKey(wrong, c, p.x, p.y); err == nil {
			t.Errorf("%s: a key of the other width is taken", c.Name())
		}
	}
}

// The curves with cofactor 4 have points of order 2 and 4. Neither they nor a
// good point moved by one of them may be a key.
func TestSmallOrderPointsRefused(t *testing.T) {
	for _, v := range []struct {
		curve *Curve
		d     string
	}{
		{Curve256A, "0605f6b7c183fa81578bc39cfad518132b9df62897009af7e522c32d6dc7bffb"},
		{Curve512C, "9e4f5d8c017d8d9f13a5cf3cdf5bfe4dab402d54198e31ebde28a0621050439ca6b39e0a515c06b304e2ce43e79e369e91a0cfc2bc2a22b4ca302dbb33ee7550"},
	} {
		c := referenceOf(parametersOf(t, v.curve))
		s, tt := edwards(c, new(big.Int).SetBytes(unhex(t, v.d)))
		two := &place{tt, new(big.Int)}                   // Edwards (0, -1)
		four := &place{c.mod(new(big.Int).Add(s, tt)), s} // Edwards (1, 0)
		if c.add(two, two) != nil || c.add(c.add(four, four), two) != nil {
			t.Fatalf("%s: the points are not of order 2 and 4", v.curve.Name())
		}
		five := c.multiply(c.generator(), big.NewInt(5))
		for name, p := range map[string]*place{
			"order 2": two, "order 4": four, "order 4, negative": c.negative(four),
			"order 2q": c.add(five, two), "order 4q": c.add(five, four),
		} {
			if !c.contains(p) {
				t.Fatalf("%s: point of %s is not on the curve", v.curve.Name(), name)
			}
			size := v.curve.Size()
			_, err := NewPublicKey(algorithmOf(v.curve), v.curve, p.x.FillBytes(make([]byte, size)), p.y.FillBytes(make([]byte, size)))
			if err == nil || !strings.Contains(err.Error(), "subgroup") {
				t.Errorf("%s, point of %s: %v, want a refusal that names the subgroup", v.curve.Name(), name, err)
			}
		}
	}
}

func TestPrivateKeysRefused(t *testing.T) {
	for _, c := range Curves() {
		size := c.Size()
		for name, d := range map[string][]byte{
			"0": make([]byte, size), "q": parametersOf(t, c).q, "all ones": bytes.Repeat([]byte{0xff}, size),
			"short": make([]byte, size-1), "long": append(make([]byte, size), 1), "none": nil,
		} {
			if _, err := NewPrivateKey(c, d); err == nil {
				t.Errorf("%s: d = %s is taken", c.Name(), name)
			}
		}
	}
}

// The nonce is a function of key, digest and randomness, and changes with each.
func TestNonces(t *testing.T) {
	for _, c := range []*Curve{CurveCryptoProA, Curve256A, Curve512A, Curve512C} {
		s := newSigned(t, c)
		sign := func(key *PrivateKey, digest []byte, random io.Reader) []byte {
			signature, err := key.Sign(random, digest, crypto.Hash(0))
			if err != nil {
				t.Fatal(err)
			}
			if err := key.PublicKey().VerifyDigest(digest, signature); err != nil {
				t.Fatalf("%s: %v", c.Name(), err)
			}
			return signature[c.Size():] // r tells the nonce
		}
		base := sign(s.key, s.digest, zeros{})
		if again := sign(s.key, s.digest, zeros{}); !bytes.Equal(base, again) {
			t.Errorf("%s: same key, digest and randomness, another nonce", c.Name())
		}
		other := bytes.Clone(s.digest)
		other[3] ^= 1
		for name, r := range map[string][]byte{
			"another digest":   sign(s.key, other, zeros{}),
			"other randomness": sign(s.key, s.digest, strings.NewReader(strings.Repeat("x", 32))),
			"fresh randomness": sign(s.key, s.digest, nil),
			"another key":      sign(newSigned(t, c).key, s.digest, zeros{}),
		} {
			if bytes.Equal(base, r) {
				t.Errorf("%s: %s, same nonce", c.Name(), name)
			}
		}
		if _, err := s.key.Sign(strings.NewReader("short"), s.digest, nil); err == nil {
			t.Errorf("%s: signs with too little randomness", c.Name())
		}
		seen := map[string]bool{}
		nonces := newNonces(c, s.key.d, s.digest, nil)
		for range 50 {
			k := nonces.next()
			if seen[string(k)] || !c.group.inRange(k) || len(k) != c.Size() {
				t.Fatalf("%s: nonce %x comes twice or is out of range", c.Name(), k)
			}
			seen[string(k)] = true
		}
	}
}

// The HMAC of the nonces is that of the standard library.
func TestNonceHMAC(t *testing.T) {
	n := newNonces(Curve512A, bytes.Repeat([]byte{3}, 64), bytes.Repeat([]byte{4}, 64), nil)
	for _, parts := range [][][]byte{nil, {{1, 2}, {}, {3}}, {bytes.Repeat([]byte{5}, 300), bytes.Repeat([]byte{6}, 300)}} {
		want := hmac.New(sha512.New, n.key[:])
		want.Write(bytes.Join(parts, nil))
		if got := n.hmac(parts...); !hmac.Equal(got[:], want.Sum(nil)) {
			t.Errorf("HMAC of %x: %x", parts, got)
		}
	}
}

func TestSignRefusesOtherHashes(t *testing.T) {
	key := newSigned(t, Curve256A).key
	if _, err := key.Sign(nil, make([]byte, 32), crypto.SHA256); err == nil {
		t.Error("signs a SHA-256 digest")
	}
}

func TestFormOf(t *testing.T) {
	for _, c := range []*Curve{CurveCryptoProA, Curve256A, Curve512A} {
		s := newSigned(t, c)
		public, size := s.key.PublicKey(), c.Size()
		swapped := append(bytes.Clone(s.signature[size:]), s.signature[:size]...)
		r, sn := new(big.Int).SetBytes(s.signature[size:]), new(big.Int).SetBytes(s.signature[:size])
		pair := append(marshal(t, r), marshal(t, sn)...)
		der := func(first, second []byte) []byte {
			return marshalPair(t, new(big.Int).SetBytes(first), new(big.Int).SetBytes(second))
		}
		for _, v := range []struct {
			name      string
			signature []byte
			want      Form
		}{
			{"as it should be", s.signature, FormXMLDSig},
			{"reversed", reversed(s.signature), FormReversed},
			{"swapped", swapped, FormSwapped},
			{"swapped and reversed", reversed(swapped), FormSwappedReversed},
			{"DER r, s", der(s.signature[size:], s.signature[:size]), FormDER},
			{"DER s, r", der(s.signature[:size], s.signature[size:]), FormDER},
			{"DER of other numbers", der(s.signature[:size], s.digest), FormUnknown},
			{"DER of three numbers", marshal(t, []*big.Int{r, sn, r}), FormUnknown},
			{"DER of one number", marshal(t, []*big.Int{r}), FormUnknown},
			{"DER of too long numbers", marshal(t, []*big.Int{new(big.Int).Lsh(r, 8), new(big.Int).Lsh(sn, 8)}), FormUnknown},
			{"DER of a first number too long", marshal(t, []*big.Int{new(big.Int).Lsh(r, 8), sn}), FormUnknown},
			{"DER of a second number too long", marshal(t, []*big.Int{r, new(big.Int).Lsh(sn, 8)}), FormUnknown},
			{"DER of numbers and a string", append([]byte{0x30, byte(len(pair)) + 2}, append(pair, 4, 0)...), FormUnknown},
			{"DER with an octet after it", append(der(s.signature[size:], s.signature[:size]), 0), FormUnknown},
			{"nothing", nil, FormUnknown},
			{"short", s.signature[1:], FormUnknown},
			{"zeros", make([]byte, 2*size), FormUnknown},
		} {
			if got := public.FormOf(s.digest, v.signature); got != v.want {
				t.Errorf("%s, %s: form %q, want %q", c.Name(), v.name, got, v.want)
			}
			if err := public.VerifyDigest(s.digest, v.signature); (err == nil) != (v.want == FormXMLDSig) {
				t.Errorf("%s, %s: VerifyDigest: %v", c.Name(), v.name, err)
			}
		}
	}
}

func TestKeyEquality(t *testing.T) {
	a := newSigned(t, CurveCryptoProA).key
	d := a.d
	sameCurve, err := NewPrivateKey(CurveCryptoProXchA, d)
	if err != nil {
		t.Fatal(err)
	}
	other := newSigned(t, CurveCryptoProA).key
	otherCurve, err := NewPrivateKey(CurveTest, bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	old, err := NewPublicKey(GOST2001, CurveCryptoProA, a.public.x, a.public.y)
	if err != nil {
		t.Fatal(err)
	}
	if !a.Equal(a) || !a.Equal(sameCurve) || a.Equal(other) || a.Equal(otherCurve) || a.Equal(5) {
		t.Error("PrivateKey.Equal is wrong")
	}
	public := a.PublicKey()
	if !public.Equal(public) || !public.Equal(sameCurve.Public()) || !public.Equal(public.Precomputed()) ||
		public.Equal(other.Public()) || public.Equal(old) || public.Equal("x") {
		t.Error("PublicKey.Equal is wrong")
	}
}

// Tables are built on first use, by whoever comes first.
func TestSharedByGoroutines(t *testing.T) {
	s := newSigned(t, Curve256D)
	fresh := newGroup256(&tc26D256)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			x, y := fresh.base(s.key.d)
			point, err := fresh.admit(x, y)
			if err != nil || !point.verify(reversed(s.digest), s.signature[32:], s.signature[:32]) {
				t.Errorf("a fresh group used by several: %v", err)
			}
		})
	}
	all.Wait()
}
