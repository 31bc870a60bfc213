package value

import (
	"bytes"
	"encoding/binary"
)

// duration is months and seconds, which do not convert into each other:
// seconds are days*86400+secs and a fraction. All parts have the sign neg.
type duration struct {
	neg    bool
	months int64
	days   int64
	secs   int64 // 0..86399
	frac   []byte
}

// maxDurationDigits keeps every sum of parts in an int64.
const maxDurationDigits = 15

// parseDuration reads -?P(nY)?(nM)?(nD)?(T(nH)?(nM)?(n(.n)?S)?)?.
func parseDuration(v []byte, d *duration) (Reason, int) {
	if len(v) == 0 {
		return ReasonEmpty, 0
	}
	*d = duration{}
	i := 0
	if v[0] == '-' {
		d.neg = true
		i++
	}
	if i == len(v) || v[i] != 'P' {
		return ReasonCharacter, i
	}
	i++
	var secs int64
	units := "YMD"
	inTime, any := false, false
	for i < len(v) {
		if v[i] == 'T' && !inTime {
			inTime, any, units = true, false, "HMS"
			i++
			continue
		}
		start, n := i, int64(0)
		for i < len(v) && v[i]-'0' <= 9 {
			if n = n*10 + int64(v[i]-'0'); n >= 1e15 {
				return ReasonNumberTooLarge, start
			}
			i++
		}
		if i == start {
			return ReasonCharacter, i
		}
		var frac []byte
		if i < len(v) && v[i] == '.' {
			i++
			f := i
			for i < len(v) && v[i]-'0' <= 9 {
				i++
			}
			if frac = v[f:i]; len(frac) == 0 {
				return ReasonDigits, i
			}
			if i < len(v) && (v[i] != 'S' || !inTime) {
				return ReasonCharacter, i
			}
		}
		if i == len(v) {
			return ReasonTruncated, i
		}
		unit := -1
		for u := range len(units) {
			if units[u] == v[i] {
				unit = u
			}
		}
		if unit < 0 {
			return ReasonCharacter, i
		}
		switch units[unit] {
		case 'Y':
			d.months += n * 12
		case 'M':
			if inTime {
				secs += n * 60
			} else {
				d.months += n
			}
		case 'D':
			d.days = n
		case 'H':
			secs += n * 3600
		case 'S':
			secs += n
			for len(frac) > 0 && frac[len(frac)-1] == '0' {
				frac = frac[:len(frac)-1]
			}
			d.frac = frac
		}
		units, any = units[unit+1:], true
		i++
	}
	if !any { // neither after P nor, if there is one, after T
		return ReasonNoDuration, i
	}
	d.days += secs / 86400
	d.secs = secs % 86400
	if d.months == 0 && d.days == 0 && d.secs == 0 && len(d.frac) == 0 {
		d.neg = false
	}
	return ReasonNone, 0
}

// references are the four starting points of section 3.2.6.2.
var references = [4]struct {
	year  int64
	month int
}{{1696, 9}, {1697, 2}, {1903, 3}, {1903, 7}}

// compare adds both durations to four starting points; only if they agree is
// there an order.
func (a *duration) compare(b *duration) Order {
	if a.months == b.months && (a.neg == b.neg || a.months == 0) {
		return a.compareFrom(b, 1903, 3)
	}
	first := a.compareFrom(b, references[0].year, references[0].month)
	for _, r := range references[1:] {
		if a.compareFrom(b, r.year, r.month) != first {
			return Incomparable
		}
	}
	return first
}

func (a *duration) compareFrom(b *duration, year int64, month int) Order {
	days := a.daysFrom(year, month) - b.daysFrom(year, month)
	sa, sb := int64(1), int64(1)
	if a.neg {
		sa = -1
	}
	if b.neg {
		sb = -1
	}
	days += sa*a.days - sb*b.days
	secs := sa*a.secs - sb*b.secs
	// |secs| < 2 days: bring it into one day, so that the days decide unless they are 0.
	days += floorDiv(secs, 86400)
	secs = floorMod(secs, 86400)
	switch {
	case days > 0:
		// At least a day, less at most two seconds of fractions.
		return Greater
	case days < -1:
		return Less
	case days == -1:
		secs -= 86400
	}
	return compareFractions(secs, int(sa), a.frac, int(sb), b.frac)
}

// daysFrom returns the days that the months of d take, counted from the first
// of a month.
func (d *duration) daysFrom(year int64, month int) int64 {
	m := d.months
	if d.neg {
		m = -m
	}
	m += year*12 + int64(month-1)
	return civilDay(floorDiv(m, 12), int(floorMod(m, 12))+1) - civilDay(year, month)
}

// civilDay is the day number of the first of a month where year 0 exists, as
// sums of dates and durations need it.
func civilDay(year int64, month int) int64 {
	y := year - 1
	n := y*365 + floorDiv(y, 4) - floorDiv(y, 100) + floorDiv(y, 400) + int64(daysBefore[month])
	if month > 2 && leap(year) {
		n++
	}
	return n
}

// compareFractions compares delta + sa*0.a - sb*0.b with 0.
func compareFractions(delta int64, sa int, a []byte, sb int, b []byte) Order {
	if delta > 2 || delta < -2 {
		return order(delta < 0)
	}
	if sa == sb {
		if delta != 0 {
			return order(delta < 0)
		}
		return Order(sa * bytes.Compare(a, b))
	}
	// Opposite signs: delta plus or minus the sum of two fractions, which is in [0,2).
	sum := sumWithOne(a, b) // sum compared with one
	zero := len(a) == 0 && len(b) == 0
	if sa < 0 {
		delta = -delta
	}
	o := Less
	switch {
	case delta > 0, delta == 0 && !zero, delta == -1 && sum > 0:
		o = Greater
	case delta == 0, delta == -1 && sum == 0:
		o = Equal
	}
	if sa < 0 {
		o = -o
	}
	return o
}

// sumWithOne compares 0.a + 0.b with 1. Neither ends in a zero.
func sumWithOne(a, b []byte) int {
	// What is missing to one, in units of the digit just read. Digits to come
	// add up to less than two such units.
	missing := 1
	for i := range max(len(a), len(b)) {
		missing *= 10
		if i < len(a) {
			missing -= int(a[i] - '0')
		}
		if i < len(b) {
			missing -= int(b[i] - '0')
		}
		switch {
		case missing >= 2:
			return -1
		case missing < 0, missing == 0 && (i+1 < len(a) || i+1 < len(b)):
			return 1
		case missing == 0:
			return 0
		}
	}
	return -1
}

func (d *duration) appendKey(k []byte) []byte {
	s := byte('+')
	if d.neg {
		s = '-'
	}
	k = append(k, s)
	k = binary.BigEndian.AppendUint64(k, uint64(d.months))
	k = binary.BigEndian.AppendUint64(k, uint64(d.days))
	k = binary.BigEndian.AppendUint32(k, uint32(d.secs))
	return append(k, d.frac...)
}
