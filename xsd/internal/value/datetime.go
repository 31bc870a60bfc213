package value

import (
	"bytes"
	"encoding/binary"
)

// instant is a point on the time line of dateTime, in UTC when the literal has
// a time zone and local otherwise. The other date types are instants with the
// missing parts taken from 1972-12-31T00:00:00.
type instant struct {
	day  int64  // days, 0001-01-01 is 0
	sec  int32  // 0..86399
	frac []byte // fraction of a second, digits without trailing zeros
	zone bool
}

// maxYearDigits keeps days in an int64.
const maxYearDigits = 15

// Order is the outcome of a comparison in a partially ordered value space.
type Order int8

// Outcomes of comparisons.
const (
	Less         Order = -1
	Equal        Order = 0
	Greater      Order = 1
	Incomparable Order = 2
)

// compare follows section 3.2.7.4: an instant without a zone may be up to 14
// hours earlier or later than it says.
func (a *instant) compare(b *instant) Order {
	if a.zone == b.zone {
		return a.compareExact(b, 0)
	}
	if !a.zone {
		switch o := b.compare(a); o {
		case Less:
			return Greater
		case Greater:
			return Less
		default:
			return o
		}
	}
	const farthest = 14 * 3600
	if a.compareExact(b, -farthest) == Less { // b at +14:00
		return Less
	}
	if a.compareExact(b, farthest) == Greater { // b at -14:00
		return Greater
	}
	return Incomparable
}

// compareExact compares with b moved by so many seconds, at most a day.
func (a *instant) compareExact(b *instant, move int64) Order {
	sec := int64(b.sec) + move
	day := b.day + floorDiv(sec, 86400)
	sec = floorMod(sec, 86400)
	switch {
	case a.day != day:
		return order(a.day < day)
	case int64(a.sec) != sec:
		return order(int64(a.sec) < sec)
	}
	return Order(bytes.Compare(a.frac, b.frac))
}

func order(less bool) Order {
	if less {
		return Less
	}
	return Greater
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func floorMod(a, b int64) int64 { return a - b*floorDiv(a, b) }

func (a *instant) appendKey(k []byte) []byte {
	zone := byte('L')
	if a.zone {
		zone = 'Z'
	}
	k = append(k, zone)
	k = binary.BigEndian.AppendUint64(k, uint64(a.day))
	k = binary.BigEndian.AppendUint32(k, uint32(a.sec))
	return append(k, a.frac...)
}

// leap reports leap years of the Gregorian calendar as Appendix E counts: by
// the number of the year as written, so -0004 is one.
func leap(year int64) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

var monthDays = [13]int{0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

func daysIn(year int64, month int) int {
	if month == 2 && leap(year) {
		return 29
	}
	return monthDays[month]
}

var daysBefore = [13]int{0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334}

// dayNumber counts days from 0001-01-01. There is no year 0000: the day after
// -0001-12-31 is 0001-01-01.
func dayNumber(year int64, month, day int) int64 {
	y := year - 1
	var n int64
	if y >= 0 { // shifts and products instead of divisions that round down
		u := uint64(y)
		n = int64(u*365 + u/4 - u/100 + u/400)
	} else {
		n = y*365 + floorDiv(y, 4) - floorDiv(y, 100) + floorDiv(y, 400)
		n += 366 // the leap year that 0000 would have been
	}
	n += int64(daysBefore[month] + day - 1)
	if month > 2 && leap(year) {
		n++
	}
	return n
}

// dateReader reads the parts of the date types from left to right; the first
// mistake stays.
type dateReader struct {
	v      []byte
	i      int
	reason Reason
	at     int
}

func (r *dateReader) fail(reason Reason, at int) {
	if r.reason == ReasonNone {
		r.reason, r.at = reason, at
	}
}

// expect reads a literal character.
func (r *dateReader) expect(c byte) {
	switch {
	case r.reason != ReasonNone:
	case r.i == len(r.v):
		r.fail(ReasonTruncated, r.i)
	case r.v[r.i] != c:
		r.fail(ReasonCharacter, r.i)
	default:
		r.i++
	}
}

// plainDate reads YYYY-MM-DD of the years that most values are from, eight
// characters at once. It leaves everything else, mistakes above all, to those
// who read character by character.
func (r *dateReader) plainDate(year *int64, month, day *int) bool {
	const (
		zeros  = 0x2d30302d30303030 // "0000-00-", the first character lowest
		beyond = 0x7f76767f76767676 // what takes a digit over 9, and anything in place of a hyphen, beyond 0x7F
		highs  = 0x8080808080808080
	)
	if len(r.v) < len("0000-00-00") {
		return false
	}
	w := binary.LittleEndian.Uint64(r.v) ^ zeros
	d0, d1 := r.v[8]-'0', r.v[9]-'0'
	if (w|(w+beyond))&highs != 0 || d0 > 9 || d1 > 9 {
		return false
	}
	y := int64(w&15)*1000 + int64(w>>8&15)*100 + int64(w>>16&15)*10 + int64(w>>24&15)
	m, d := int(w>>40&15)*10+int(w>>48&15), int(d0)*10+int(d1)
	if y == 0 || m == 0 || m > 12 || d == 0 || d > daysIn(y, m) {
		return false
	}
	*year, *month, *day = y, m, d
	r.i = len("0000-00-00")
	return true
}

// two reads two digits with a value in range.
func (r *dateReader) two(lo, hi int, out Reason) int {
	if r.reason != ReasonNone {
		return lo
	}
	if r.i+2 > len(r.v) {
		r.fail(ReasonTruncated, len(r.v))
		return lo
	}
	a, b := r.v[r.i]-'0', r.v[r.i+1]-'0'
	if a > 9 || b > 9 {
		r.fail(ReasonDigits, r.i)
		return lo
	}
	n := int(a)*10 + int(b)
	if n < lo || n > hi {
		r.fail(out, r.i)
		return lo
	}
	r.i += 2
	return n
}

// year reads -?([1-9][0-9]{4,}|[0-9]{4}), which is not 0000.
func (r *dateReader) year() int64 {
	start := r.i
	neg := r.i < len(r.v) && r.v[r.i] == '-'
	if neg {
		r.i++
	}
	digits := r.i
	var y int64
	for r.i < len(r.v) && r.v[r.i]-'0' <= 9 {
		if r.i-digits < maxYearDigits {
			y = y*10 + int64(r.v[r.i]-'0')
		}
		r.i++
	}
	switch n := r.i - digits; {
	case n == 0 && r.i == len(r.v):
		r.fail(ReasonTruncated, r.i)
	case n == 0:
		r.fail(ReasonDigits, r.i)
	case n < 4, n > 4 && r.v[digits] == '0', y == 0:
		r.fail(ReasonYear, start)
	case n > maxYearDigits:
		r.fail(ReasonNumberTooLarge, start)
	}
	if r.reason != ReasonNone {
		return 1
	}
	if neg {
		return -y
	}
	return y
}

// clock reads hh:mm:ss(.s+)?. 24:00:00 is the end of the day.
func (r *dateReader) clock() (sec int, frac []byte) {
	start := r.i
	h := r.two(0, 24, ReasonHour)
	r.expect(':')
	m := r.two(0, 59, ReasonMinute)
	r.expect(':')
	s := r.two(0, 59, ReasonSecond)
	if r.reason == ReasonNone && r.i < len(r.v) && r.v[r.i] == '.' {
		r.i++
		digits := r.i
		for r.i < len(r.v) && r.v[r.i]-'0' <= 9 {
			r.i++
		}
		if r.i == digits {
			r.fail(ReasonDigits, r.i)
		}
		frac = r.v[digits:r.i]
		for len(frac) > 0 && frac[len(frac)-1] == '0' {
			frac = frac[:len(frac)-1]
		}
	}
	if h == 24 && (m != 0 || s != 0 || len(frac) > 0) {
		r.fail(ReasonHour, start)
	}
	return h*3600 + m*60 + s, frac
}

// zone reads (Z|[+-]hh:mm)? to the end of the value.
func (r *dateReader) zone() (seconds int, has bool) {
	if r.reason != ReasonNone || r.i == len(r.v) {
		return 0, false
	}
	start, c := r.i, r.v[r.i]
	r.i++
	switch c {
	case 'Z':
	case '+', '-':
		h := r.two(0, 14, ReasonTimeZone)
		r.expect(':')
		m := r.two(0, 59, ReasonTimeZone)
		if h == 14 && m != 0 {
			r.fail(ReasonTimeZone, start)
		}
		seconds = h*3600 + m*60
		if c == '-' {
			seconds = -seconds
		}
	default:
		r.fail(ReasonCharacter, start)
	}
	if r.reason == ReasonNone && r.i < len(r.v) {
		r.fail(ReasonTrailing, r.i)
	}
	return seconds, true
}

// parseInstant reads a value of one of the eight date types.
func parseInstant(v []byte, p Primitive, out *instant) (Reason, int) {
	if len(v) == 0 {
		return ReasonEmpty, 0
	}
	r := dateReader{v: v}
	year, month, day, sec := int64(1972), 12, 31, 0
	out.frac = nil
	switch p {
	case DateTime, Date, GYearMonth, GYear:
		if (p == DateTime || p == Date) && r.plainDate(&year, &month, &day) {
			if p == DateTime {
				r.expect('T')
				sec, out.frac = r.clock()
			}
			break
		}
		year = r.year()
		if p == GYear {
			month, day = 1, 1
			break
		}
		r.expect('-')
		month = r.two(1, 12, ReasonMonth)
		day = 1
		if p == GYearMonth {
			break
		}
		r.expect('-')
		day = r.two(1, daysIn(year, month), ReasonDay)
		if p == DateTime {
			r.expect('T')
			sec, out.frac = r.clock()
		}
	case Time:
		sec, out.frac = r.clock()
		sec %= 86400 // 24:00:00 is the midnight that recurs every day
	case GMonthDay:
		r.expect('-')
		r.expect('-')
		month = r.two(1, 12, ReasonMonth)
		r.expect('-')
		day = r.two(1, daysIn(year, month), ReasonDay)
	case GDay:
		r.expect('-')
		r.expect('-')
		r.expect('-')
		day = r.two(1, 31, ReasonDay)
	case GMonth:
		r.expect('-')
		r.expect('-')
		month = r.two(1, 12, ReasonMonth)
		day = 1
	}
	offset, zone := r.zone()
	if r.reason != ReasonNone {
		return r.reason, r.at
	}
	total := int64(sec - offset)
	out.day, out.sec, out.zone = dayNumber(year, month, day), 0, zone
	if total != 0 {
		out.day += floorDiv(total, 86400)
		out.sec = int32(floorMod(total, 86400))
	}
	return ReasonNone, 0
}
