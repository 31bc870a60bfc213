package value

import "bytes"

// decimal is a number of any length: digits with neither leading zeros before
// nor trailing zeros behind the point. Zero has no digits and no sign. It
// refers to the literal it was read from.
type decimal struct {
	neg       bool
	int, frac []byte
}

// parseDecimal reads [+-]? (digits ('.' digits?)? | '.' digits), for integers
// without the point.
func parseDecimal(v []byte, integer bool, d *decimal) (Reason, int) {
	if len(v) == 0 {
		return ReasonEmpty, 0
	}
	i := 0
	d.neg = v[0] == '-'
	if v[0] == '-' || v[0] == '+' {
		i++
	}
	start := i
	for i < len(v) && v[i]-'0' <= 9 {
		i++
	}
	whole, frac := v[start:i], v[i:i]
	if i < len(v) && v[i] == '.' && !integer {
		i++
		f := i
		for i < len(v) && v[i]-'0' <= 9 {
			i++
		}
		frac = v[f:i]
	}
	switch {
	case i < len(v):
		return ReasonCharacter, i
	case len(whole)+len(frac) == 0:
		return ReasonDigits, i
	}
	for len(whole) > 0 && whole[0] == '0' {
		whole = whole[1:]
	}
	for len(frac) > 0 && frac[len(frac)-1] == '0' {
		frac = frac[:len(frac)-1]
	}
	d.int, d.frac = whole, frac
	if len(whole)+len(frac) == 0 {
		d.neg = false
	}
	return ReasonNone, 0
}

func (d *decimal) compare(e *decimal) int {
	if d.neg != e.neg {
		if d.neg {
			return -1
		}
		return 1
	}
	c := len(d.int) - len(e.int)
	if c == 0 {
		c = bytes.Compare(d.int, e.int)
	}
	if c == 0 {
		c = bytes.Compare(d.frac, e.frac) // no trailing zeros: a prefix is the smaller
	}
	if d.neg {
		c = -c
	}
	return sign(c)
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// digits returns totalDigits and fractionDigits in the value space: 1.500 has
// two and one, 0.01 has two and two (i * 10^-n with the smallest n; n <= total).
func (d *decimal) digits() (total, fraction int) {
	return max(len(d.int)+len(d.frac), 1), len(d.frac)
}

func (d *decimal) appendKey(k []byte) []byte {
	if d.neg {
		k = append(k, '-')
	}
	k = append(k, d.int...)
	k = append(k, '.')
	return append(k, d.frac...)
}
