package value

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestPlainDate: what is read eight characters at once is what is read one by
// one, and nothing that is refused so.
func TestPlainDate(t *testing.T) {
	slowly := func(v []byte) (r dateReader, year int64, month, day int) {
		r = dateReader{v: v}
		year = r.year()
		r.expect('-')
		month = r.two(1, 12, ReasonMonth)
		r.expect('-')
		day = r.two(1, daysIn(year, month), ReasonDay)
		return r, year, month, day
	}
	check := func(v []byte) {
		var year int64
		var month, day int
		r := dateReader{v: v}
		plain := r.plainDate(&year, &month, &day)
		want, y, m, d := slowly(v)
		switch {
		case plain && (want.reason != ReasonNone || r.i != want.i || year != y || month != m || day != d):
			t.Fatalf("%q: %d-%d-%d up to %d, want %d-%d-%d up to %d, %v", v, year, month, day, r.i, y, m, d, want.i, want.reason)
		case !plain && want.reason == ReasonNone && want.i == len("0000-00-00"):
			t.Fatalf("%q is a plain date and not read as one", v)
		}
	}
	for year := range 10000 {
		for _, rest := range []string{"-02-28", "-02-29", "-02-30", "-12-31", "-04-31"} {
			check(fmt.Appendf(nil, "%04d%sZ", year, rest))
		}
	}
	const alphabet = "0123456789-:TZ+ \x00\x7f\x80\xff"
	for range 200_000 {
		v := fmt.Appendf(nil, "%04d-%02d-%02d", rand.IntN(10000), rand.IntN(14), rand.IntN(33))
		for range rand.IntN(3) {
			v[rand.IntN(len(v))] = alphabet[rand.IntN(len(alphabet))]
		}
		check(v[:rand.IntN(len(v))])
		check(append(v, alphabet[rand.IntN(len(alphabet))]))
		check(v)
	}
}
