package p256

import "math/bits"

// Inversion modulo n, the order or the prime, by division steps: D. J. Bernstein and B.-Y. Yang, "Fast
// constant-time gcd computation and modular inversion" (2019). A step replaces (delta, f, g), f
// odd, delta 1 at first, by
//
//	(1-delta, g, (g-f)/2)       when delta > 0 and g is odd,
//	(1+delta, f, (g + (g&1)*f)/2)  otherwise,
//
// until g is 0; then f is 1 or -1, or n when g was 0 to begin with. Steps look at the
// lowest bits alone, so dozens of them are taken on single words and what they come to, a
// matrix, is applied to the long numbers at once: to f and g, and to d and e, which
// remember d*x = f and e*x = g modulo n.

// signed is a number of five digits of 62 bits, least significant first; the last has the
// sign, the others are never negative.
type signed [5]int64

const digits = 1<<62 - 1

// modulus is an odd number below 2^256.
type modulus struct {
	n       signed
	inverse uint64 // 1/n modulo 2^62
}

var (
	modOrder = &modulus{signedOf(order), -orderNegative & digits}
	modPrime = &modulus{signedOf(prime), digits} // 1/p = -1 modulo 2^64
)

func signedOf(x [4]uint64) signed {
	return signed{
		int64(x[0] & digits),
		int64((x[0]>>62 | x[1]<<2) & digits),
		int64((x[1]>>60 | x[2]<<4) & digits),
		int64((x[2]>>58 | x[3]<<6) & digits),
		int64(x[3] >> 56),
	}
}

// steps is what division steps come to, times 2^62: f becomes u*f + v*g and g q*f + r*g.
type steps struct{ u, v, q, r int64 }

// wide is a number of 128 bits with a sign.
type wide struct{ high, low uint64 }

// plus is w + a*digit. The digit is not negative.
func (w wide) plus(a, digit int64) wide {
	high, low := bits.Mul64(uint64(a), uint64(digit))
	low, c := bits.Add64(low, w.low, 0)
	return wide{high - uint64(a>>63&digit) + w.high + c, low}
}

// plusLast is plus for a last digit.
func (w wide) plusLast(a, digit int64) wide {
	w = w.plus(a, digit)
	w.high -= uint64(digit >> 63 & a)
	return w
}

// cut is w without its last digit.
func (w wide) cut() wide {
	return wide{uint64(int64(w.high) >> 62), w.low>>62 | w.high<<2}
}

func (w wide) digit() int64 { return int64(w.low & digits) }

// quickly takes 62 steps, in a time that depends on f and g: noughts at the end of g are
// passed over at once, and as many of its bits as delta allows are made noughts at once.
// eta is -delta.
func quickly(eta int64, f, g uint64) (int64, steps) {
	var u, v, q, r uint64 = 1, 0, 0, 1
	for left := uint(62); ; {
		noughts := uint(bits.TrailingZeros64(g | ^uint64(0)<<left))
		g >>= noughts
		u <<= noughts
		v <<= noughts
		eta -= int64(noughts)
		if left -= noughts; left == 0 {
			return eta, steps{int64(u), int64(v), int64(q), int64(r)}
		}
		var w uint64 // g + w*f ends in noughts
		if eta < 0 {
			eta = -eta
			f, g = g, -f
			u, q = q, -u
			v, r = r, -v
			// Six bits: 1/f is f*(2-f*f) modulo 64.
			w = f * g * (f*f - 2) & (1<<min(uint(eta)+1, left, 6) - 1)
		} else {
			// Four: 1/f is f + ((f+1)&4)*2 modulo 16.
			w = -(f + (f+1)&4<<1) * g & (1<<min(uint(eta)+1, left, 4) - 1)
		}
		g += w * f
		q += w * u
		r += w * v
	}
}

// apply applies steps to f and g.
func (t *steps) apply(f, g *signed) {
	cf := wide{}.plus(t.u, f[0]).plus(t.v, g[0]).cut()
	cg := wide{}.plus(t.q, f[0]).plus(t.r, g[0]).cut()
	for i := 1; i < 4; i++ {
		a, b := f[i], g[i]
		cf = cf.plus(t.u, a).plus(t.v, b)
		cg = cg.plus(t.q, a).plus(t.r, b)
		f[i-1], g[i-1] = cf.digit(), cg.digit()
		cf, cg = cf.cut(), cg.cut()
	}
	cf = cf.plusLast(t.u, f[4]).plusLast(t.v, g[4])
	cg = cg.plusLast(t.q, f[4]).plusLast(t.r, g[4])
	f[3], g[3] = cf.digit(), cg.digit()
	f[4], g[4] = int64(cf.cut().low), int64(cg.cut().low)
}

// applyModulo applies steps to d and e, with as many times n added to both as makes the
// division by 2^62 one without a remainder. They stay between -2n and n.
func (t *steps) applyModulo(d, e *signed, m *modulus) {
	// n is added once to what is negative.
	sd, se := d[4]>>63, e[4]>>63
	md, me := t.u&sd+t.v&se, t.q&sd+t.r&se
	cd := wide{}.plus(t.u, d[0]).plus(t.v, e[0])
	ce := wide{}.plus(t.q, d[0]).plus(t.r, e[0])
	md -= int64((m.inverse*cd.low + uint64(md)) & digits)
	me -= int64((m.inverse*ce.low + uint64(me)) & digits)
	cd = cd.plus(md, m.n[0]).cut()
	ce = ce.plus(me, m.n[0]).cut()
	for i := 1; i < 4; i++ {
		a, b, n := d[i], e[i], m.n[i]
		cd = cd.plus(t.u, a).plus(t.v, b).plus(md, n)
		ce = ce.plus(t.q, a).plus(t.r, b).plus(me, n)
		d[i-1], e[i-1] = cd.digit(), ce.digit()
		cd, ce = cd.cut(), ce.cut()
	}
	cd = cd.plusLast(t.u, d[4]).plusLast(t.v, e[4]).plus(md, m.n[4])
	ce = ce.plusLast(t.q, d[4]).plusLast(t.r, e[4]).plus(me, m.n[4])
	d[3], e[3] = cd.digit(), ce.digit()
	d[4], e[4] = int64(cd.cut().low), int64(ce.cut().low)
}

// settle gives d, or -d when f is negative, modulo n.
func (d *signed) settle(f int64, m *modulus) [4]uint64 {
	below := func() { // n is added to what is negative
		add := d[4] >> 63
		for i := range d {
			d[i] += m.n[i] & add
		}
	}
	carry := func() {
		for i := range 4 {
			d[i+1] += d[i] >> 62
			d[i] &= digits
		}
	}
	below()
	carry()
	for i, negative := 0, f>>63; i < len(d); i++ {
		d[i] = d[i] ^ negative - negative
	}
	carry()
	below()
	carry()
	return [4]uint64{
		uint64(d[0]) | uint64(d[1])<<62,
		uint64(d[1])>>2 | uint64(d[2])<<60,
		uint64(d[2])>>4 | uint64(d[3])<<58,
		uint64(d[3])>>6 | uint64(d[4])<<56,
	}
}

// division is a division on its way: d*x = f and e*x = g modulo n.
type division struct{ f, g, d, e signed }

// invert gives 1/x, or 0 for 0, in a time that depends on x: x may be known to everybody, or
// is hidden by a factor that nobody knows.
func (m *modulus) invert(x [4]uint64) [4]uint64 {
	t := division{f: m.n, g: signedOf(x), e: signed{1}}
	if bmi {
		divideBMI(&t, m)
	} else {
		t.divide(m)
	}
	return t.d.settle(t.f[4], m)
}

// divide takes steps until g is 0.
func (t *division) divide(m *modulus) {
	for eta := int64(-1); t.g != (signed{}); {
		var s steps
		eta, s = quickly(eta, uint64(t.f[0]), uint64(t.g[0]))
		s.applyModulo(&t.d, &t.e, m)
		s.apply(&t.f, &t.g)
	}
}

// invert sets z to 1/x, or to 0 for 0. It is for numbers that everybody may know. Neither has
// Montgomery's form.
func (z *scalar) invert(x *scalar) { *z = modOrder.invert(*x) }

// invertHidden sets z to 1/x for an x that is a secret and not 0. What is inverted, in a time
// that depends on it, is x times a blinder: a number that was drawn evenly from all but 0, that
// nobody knows, and that hides nothing else. So it is any number with the same probability
// whatever x is, and who learns all of it learns nothing of x. The rest takes the same
// time for all numbers.
func (z *scalar) invertHidden(x, blinder *scalar) {
	z.mul(x, blinder)
	z.invert(z)
	z.mul(z, blinder)
}

// invert sets z to 1/x, or to 0 for 0. It is for numbers that everybody may know.
func (z *element) invert(x *element) {
	*z = modPrime.invert(*x)
	z.enter(z) // 1/x, for the form of x, has to be multiplied by 2^512
	z.enter(z)
}

// invertHidden is invert for secrets, as that of a scalar is.
func (z *element) invertHidden(x, blinder *element) {
	z.mul(x, blinder)
	z.invert(z)
	z.mul(z, blinder)
}
