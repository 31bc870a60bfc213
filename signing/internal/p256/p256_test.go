package p256

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"math/big"
	mathrand "math/rand/v2"
	"testing"
)

func fromWords(x *element) *big.Int {
	n := new(big.Int)
	for i := 3; i >= 0; i-- {
		n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(x[i]))
	}
	return n
}

func toWords(n *big.Int) element { return wordsOf(n.FillBytes(make([]byte, 32))) }

// The field computes what math/big does: at the borders, for words of all ones and all
// noughts, and for numbers drawn at random.
func TestField(t *testing.T) {
	random := mathrand.New(mathrand.NewPCG(1, 2))
	var numbers []element
	for _, n := range []int64{0, 1, 2, 3} {
		numbers = append(numbers, toWords(big.NewInt(n)), toWords(new(big.Int).Sub(curve.P, big.NewInt(n+1))))
	}
	for len(numbers) < 300 {
		var x element
		for i := range x {
			switch random.IntN(4) {
			case 0:
				x[i] = 0
			case 1:
				x[i] = ^uint64(0)
			default:
				x[i] = random.Uint64()
			}
		}
		if x.less(&prime) {
			numbers = append(numbers, x)
		}
	}
	if got := fromWords(&prime); got.Cmp(curve.P) != 0 {
		t.Fatalf("the modulus is %x", got)
	}
	shift := new(big.Int).Lsh(big.NewInt(1), 256)
	back := new(big.Int).ModInverse(shift, curve.P)
	holds := func(what string, got element, want *big.Int) {
		t.Helper()
		if want = want.Mod(want, curve.P); fromWords(&got).Cmp(want) != 0 {
			t.Fatalf("%s: %x, want %x", what, fromWords(&got), want)
		}
	}
	holds("1 in its form", one, shift)
	for i := range numbers {
		x := &numbers[i]
		a := fromWords(x)
		var z element
		z.sqr(x)
		holds("square", z, new(big.Int).Mul(back, new(big.Int).Mul(a, a)))
		z.enter(x)
		holds("form", z, new(big.Int).Mul(a, shift))
		for j := range numbers {
			y := &numbers[j]
			b := fromWords(y)
			z.mul(x, y)
			holds("product", z, new(big.Int).Mul(back, new(big.Int).Mul(a, b)))
			z.add(x, y)
			holds("sum", z, new(big.Int).Add(a, b))
			z.sub(x, y)
			holds("difference", z, new(big.Int).Sub(a, b))
		}
	}
	for _, x := range numbers {
		var z element
		z.invert(&x)
		z.mul(&z, &x)
		if want := one; x.isZero() {
			holds("1/0", z, new(big.Int))
		} else {
			holds("x/x", z, fromWords(&want))
		}
	}
}

// key makes the pair of a private number.
func key(t testing.TB, d *big.Int) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d.FillBytes(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// agree asks both and gives what crypto/ecdsa says.
func agree(t testing.TB, public *ecdsa.PublicKey, digest []byte, r, s *big.Int) bool {
	t.Helper()
	point, err := public.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	octets := func(n *big.Int) []byte { return n.FillBytes(make([]byte, 32)) }
	want := ecdsa.Verify(public, digest, r, s)
	if got := NewKey(point).Verify(digest, octets(r), octets(s)); got != want {
		t.Errorf("key %x, digest %x, r %x, s %x: %v, crypto/ecdsa says %v", point, digest, r, s, got, want)
	}
	return want
}

// What holds, and what does not hold because something was changed, is the same to
// crypto/ecdsa.
func TestAgreesOnSignatures(t *testing.T) {
	for i := range 40 {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256([]byte{byte(i)})
		r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		if !agree(t, &k.PublicKey, digest[:], r, s) || !agree(t, &k.PublicKey, append(digest[:], 1, 2, 3), r, s) {
			t.Errorf("signature %d does not hold", i)
		}
		for _, changed := range []bool{
			agree(t, &k.PublicKey, digest[:], s, r),
			agree(t, &k.PublicKey, digest[:], r, new(big.Int).Xor(s, new(big.Int).Lsh(big.NewInt(1), uint(i)))),
			agree(t, &k.PublicKey, digest[:], new(big.Int).Xor(r, new(big.Int).Lsh(big.NewInt(1), uint(i))), s),
		} {
			if changed {
				t.Errorf("changed signature %d holds", i)
			}
		}
		if agree(t, &k.PublicKey, digest[:], r, new(big.Int).Sub(curve.N, s)); agree(t, &k.PublicKey, make([]byte, 32), r, s) {
			t.Errorf("signature %d holds over noughts", i)
		}
	}
}

// Points that meet themselves or their opposites on the way, scalars at the borders,
// and an abscissa above the order.
func TestAgreesAtTheBorders(t *testing.T) {
	minus := new(big.Int).Sub(curve.N, big.NewInt(1))
	small := []*big.Int{new(big.Int), big.NewInt(1), big.NewInt(2), big.NewInt(15), big.NewInt(16), big.NewInt(17), big.NewInt(31), big.NewInt(32),
		minus, curve.N, new(big.Int).Add(curve.N, big.NewInt(1)), new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))}
	for _, d := range []*big.Int{big.NewInt(1), big.NewInt(2), big.NewInt(16), minus} {
		k := key(t, d)
		for _, r := range small {
			for _, s := range small {
				for _, e := range small {
					agree(t, &k.PublicKey, e.FillBytes(make([]byte, 32)), r, s)
				}
			}
		}
	}

	// u1 = u2 = 1 with the generator as key: its double, which has to be doubled.
	twice := key(t, big.NewInt(2))
	r, octets := new(big.Int).Mod(twice.X, curve.N), make([]byte, 32)
	if !agree(t, &key(t, big.NewInt(1)).PublicKey, r.FillBytes(octets), r, r) {
		t.Error("the double of the generator does not hold")
	}
	if agree(t, &key(t, minus).PublicKey, r.FillBytes(octets), r, r) {
		t.Error("the point at infinity holds")
	}

	// The abscissa of the key is n+k: r = s = k over 0 is the key itself.
	for k := int64(1); ; k++ {
		x := new(big.Int).Add(curve.N, big.NewInt(k))
		y := new(big.Int).Exp(x, big.NewInt(3), curve.P)
		y.Sub(y, new(big.Int).Mul(big.NewInt(3), x))
		y.Add(y, curve.B)
		if y.ModSqrt(y.Mod(y, curve.P), curve.P) == nil {
			continue
		}
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x.FillBytes(make([]byte, 32))...), y.FillBytes(make([]byte, 32))...))
		if err != nil {
			t.Fatal(err)
		}
		if !agree(t, public, make([]byte, 32), big.NewInt(k), big.NewInt(k)) {
			t.Error("an abscissa above the order does not hold")
		}
		break
	}
}

// Whatever digest, r, s and key are: both say the same.
func FuzzAgrees(f *testing.F) {
	f.Add([]byte{1}, []byte{1}, []byte{1}, []byte{1}, false)
	f.Add([]byte{0xff}, curve.N.Bytes(), []byte{2}, []byte{9, 9}, true)
	f.Fuzz(func(t *testing.T, d, e, r, s []byte, sign bool) {
		number := func(b []byte) *big.Int { return new(big.Int).SetBytes(b[:min(len(b), 32)]) }
		private := number(d)
		private.Mod(private, new(big.Int).Sub(curve.N, big.NewInt(1))).Add(private, big.NewInt(1))
		k := key(t, private)
		digest := number(e).FillBytes(make([]byte, 32))
		rn, sn := number(r), number(s)
		if sign { // with the nonce s
			n := sn.Mod(sn, curve.N)
			if n.Sign() == 0 {
				return
			}
			rn = new(big.Int).Mod(key(t, n).X, curve.N)
			sn = new(big.Int).Mul(rn, private)
			sn.Add(sn, new(big.Int).SetBytes(digest)).Mul(sn, new(big.Int).ModInverse(n, curve.N)).Mod(sn, curve.N)
			if sn.Sign() != 0 && rn.Sign() != 0 && !ecdsa.Verify(&k.PublicKey, digest, rn, sn) {
				t.Fatal("what was signed does not hold")
			}
		}
		agree(t, &k.PublicKey, digest, rn, sn)
	})
}

// What is not of the width of the curve is not said to hold.
func TestWidths(t *testing.T) {
	k := key(t, big.NewInt(7))
	point, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(nil)
	r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	rb, sb := r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))
	fast := NewKey(point)
	if !fast.Verify(digest[:], rb, sb) || len(fast.table.points)*64 != KeySize {
		t.Errorf("a table of %d points, said to take %d bytes", len(fast.table.points), KeySize)
	}
	if fast.Verify(digest[:31], rb, sb) || fast.Verify(digest[:], append([]byte{0}, rb...), sb) || fast.Verify(digest[:], rb, sb[1:]) {
		t.Error("a wrong width holds")
	}
}

func BenchmarkVerify(b *testing.B) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("message"))
	r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	der, err := ecdsa.SignASN1(rand.Reader, k, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	point, err := k.PublicKey.Bytes()
	if err != nil {
		b.Fatal(err)
	}
	fast, rb, sb := NewKey(point), r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))
	b.Run("tables", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !fast.Verify(digest[:], rb, sb) {
				b.Fatal("refused")
			}
		}
	})
	// What one key verifies twice lies in the processor's caches; what a gateway of many
	// parties verifies does not.
	b.Run("tables of many keys", func(b *testing.B) {
		b.ReportAllocs()
		type signed struct {
			by           *Key
			digest, r, s []byte
		}
		var all []signed
		for range 64 {
			k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				b.Fatal(err)
			}
			point, _ := k.PublicKey.Bytes()
			by := NewKey(point)
			for n := range byte(16) {
				digest := sha256.Sum256([]byte{n})
				r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
				if err != nil {
					b.Fatal(err)
				}
				all = append(all, signed{by, digest[:], r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))})
			}
		}
		for i := 0; b.Loop(); i += 16*7 + 1 {
			if x := &all[i%len(all)]; !x.by.Verify(x.digest, x.r, x.s) {
				b.Fatal("refused")
			}
		}
	})
	b.Run("crypto-ecdsa", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !ecdsa.VerifyASN1(&k.PublicKey, digest[:], der) {
				b.Fatal("refused")
			}
		}
	})
	b.Run("table made", func(b *testing.B) {
		for b.Loop() {
			NewKey(point)
		}
	})
}
