package gost

// Inversion by the division steps of Bernstein and Yang ("Fast constant-time
// gcd computation and modular inversion", 2019), 62 steps at a time on the
// lowest words, as libsecp256k1 arranges them. It takes the same steps for
// every input.

// signed256 is a number of either sign in limbs of 62 bits, least significant
// first. All limbs but the highest are from 0 to 2^62-1.
type signed256 [words256 + 1]int64

const (
	limbBits256 = 62
	limbMask256 = 1<<limbBits256 - 1
	// Theorem 11.2 of the paper for d = 257, since 9p^2 < 5*2^(2d): this many
	// steps bring g to zero, rounded up to whole batches of 62.
	batches256 = ((49*(64*words256+1)+57)/17 + limbBits256 - 1) / limbBits256
)

// invert sets z to 1/x, or to 0 for 0, in constant time.
func (f *field256) invert(z, x *fe256) {
	a, b := f.limbs, x.signed()
	var d, e signed256 // d*x = a and e*x = b modulo p, all the way
	e[0] = 1
	eta := int64(-1)
	for range batches256 {
		var s steps256
		eta = s.divide(eta, uint64(a[0]), uint64(b[0]))
		s.apply(&a, &b)
		s.applyModulo(&d, &e, f)
	}
	// Now b is zero, and a the common divisor: 1 or -1 (p or -p for x = 0, when
	// d is zero).
	f.reduceSigned(z, &d, a[words256]>>63)
	if f.reduction == byMontgomery {
		// 1/(x*R) is to become 1/x*R.
		f.mul(z, z, &f.square)
		f.mul(z, z, &f.square)
	}
}

// steps256 is the effect of 62 division steps on a pair of numbers:
// (u*f + v*g) / 2^62 and (q*f + r*g) / 2^62.
type steps256 struct{ u, v, q, r int64 }

// divide finds the effect from the lowest words of f and g; eta, the paper's
// -delta, is carried from batch to batch.
func (s *steps256) divide(eta int64, f, g uint64) int64 {
	u, v, q, r := uint64(1), uint64(0), uint64(0), uint64(1)
	for range limbBits256 {
		negative := uint64(eta >> 63)
		odd := -(g & 1)
		// When g is odd, add f to it, or take it away where eta < 0.
		g += ((f ^ negative) - negative) & odd
		q += ((u ^ negative) - negative) & odd
		r += ((v ^ negative) - negative) & odd
		// When both, f becomes what g was: g + f now.
		swap := negative & odd
		eta = (eta ^ int64(swap)) - int64(swap) - 1
		f += g & swap
		u += q & swap
		v += r & swap
		g >>= 1
		u <<= 1
		v <<= 1
	}
	s.u, s.v, s.q, s.r = int64(u), int64(v), int64(q), int64(r)
	return eta
}

// apply lets the steps act on a and b, which they make divisible by 2^62.
func (s *steps256) apply(a, b *signed256) {
	var x, y sum128
	x.add(s.u, a[0])
	x.add(s.v, b[0])
	y.add(s.q, a[0])
	y.add(s.r, b[0])
	x.shift()
	y.shift()
	for i := 1; i < len(a); i++ {
		x.add(s.u, a[i])
		x.add(s.v, b[i])
		y.add(s.q, a[i])
		y.add(s.r, b[i])
		a[i-1], b[i-1] = x.shift(), y.shift()
	}
	a[len(a)-1], b[len(b)-1] = int64(x.low), int64(y.low)
}

// applyModulo lets the steps act on d and e modulo p: it adds the multiples of
// p that make them divisible by 2^62. Both stay above -2p and below p.
func (s *steps256) applyModulo(d, e *signed256, f *field256) {
	p := &f.limbs
	signD, signE := d[len(d)-1]>>63, e[len(e)-1]>>63
	dp := s.u&signD + s.v&signE
	ep := s.q&signD + s.r&signE
	var x, y sum128
	x.add(s.u, d[0])
	x.add(s.v, e[0])
	y.add(s.q, d[0])
	y.add(s.r, e[0])
	dp -= int64((uint64(dp) - f.inverse*x.low) & limbMask256)
	ep -= int64((uint64(ep) - f.inverse*y.low) & limbMask256)
	x.add(p[0], dp)
	y.add(p[0], ep)
	x.shift()
	y.shift()
	for i := 1; i < len(d); i++ {
		x.add(s.u, d[i])
		x.add(s.v, e[i])
		x.add(p[i], dp)
		y.add(s.q, d[i])
		y.add(s.r, e[i])
		y.add(p[i], ep)
		d[i-1], e[i-1] = x.shift(), y.shift()
	}
	d[len(d)-1], e[len(e)-1] = int64(x.low), int64(y.low)
}

// reduceSigned sets z to d, or to -d when sign is all ones, modulo p, for d
// above -2p and below p.
func (f *field256) reduceSigned(z *fe256, d *signed256, sign int64) {
	for range 2 {
		negative := d[len(d)-1] >> 63
		var carry int64
		for i := range d {
			limb := d[i] + f.limbs[i]&negative
			d[i] = (limb ^ sign) - sign + carry
			carry = d[i] >> limbBits256
			if i < len(d)-1 {
				d[i] &= limbMask256
			}
		}
		sign = 0
	}
	for i := range z {
		low := i * 64 / limbBits256
		shift := i * 64 % limbBits256
		z[i] = uint64(d[low])>>shift | uint64(d[low+1])<<(limbBits256-shift)
	}
}

// signed gives x in limbs.
func (x *fe256) signed() (limbs signed256) {
	for i := range limbs {
		word, shift := i*limbBits256/64, i*limbBits256%64
		limb := x[word] >> shift
		if word+1 < len(x) {
			limb |= x[word+1] << (64 - shift)
		}
		limbs[i] = int64(limb & limbMask256)
	}
	return limbs
}
