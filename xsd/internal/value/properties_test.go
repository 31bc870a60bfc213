package value

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestOrder(t *testing.T) {
	const less, equal, greater, none = Less, Equal, Greater, Incomparable
	for _, c := range []struct {
		typ, a, b string
		want      Order
	}{
		{"decimal", "1.0", "1", equal},
		{"decimal", "-0", "0.00", equal},
		{"decimal", "-2", "-1.5", less},
		{"decimal", "99999999999999999999", "100000000000000000000", less},
		{"decimal", "0.1", "0.09", greater},
		{"float", "16777216", "16777217", equal},
		{"double", "16777216", "16777217", less},
		{"float", "NaN", "NaN", equal},
		{"float", "NaN", "1", none},
		{"float", "-0", "0", equal},
		{"float", "-INF", "INF", less},
		// The table of section 3.2.7.4.
		{"dateTime", "2000-01-15T00:00:00", "2000-02-15T00:00:00", less},
		{"dateTime", "2000-01-15T12:00:00", "2000-01-16T12:00:00Z", less},
		{"dateTime", "2000-01-01T12:00:00", "1999-12-31T23:00:00Z", none},
		{"dateTime", "2000-01-16T12:00:00", "2000-01-16T12:00:00Z", none},
		{"dateTime", "2000-01-16T00:00:00", "2000-01-16T12:00:00Z", none},
		{"dateTime", "2000-03-04T23:00:00-03:00", "2000-03-05T02:00:00Z", equal},
		{"dateTime", "2000-03-04T24:00:00Z", "2000-03-05T00:00:00Z", equal},
		{"dateTime", "-0001-12-31T24:00:00", "0001-01-01T00:00:00", equal},
		{"dateTime", "-0002-01-01T00:00:00", "-0001-01-01T00:00:00", less},
		{"dateTime", "2000-01-01T00:00:00.10", "2000-01-01T00:00:00.1", equal},
		{"dateTime", "2000-01-01T00:00:00.19999999999999999999", "2000-01-01T00:00:00.2", less},
		{"dateTime", "99999-01-01T00:00:00", "100000-01-01T00:00:00", less},
		{"time", "24:00:00", "00:00:00", equal},
		{"time", "00:00:00+01:00", "23:00:00Z", less}, // on one and the same day
		{"date", "2000-01-01+13:00", "1999-12-31-11:00", equal},
		{"date", "2000-01-01", "2000-01-01Z", none},
		{"date", "2000-01-01", "2000-01-02Z", less}, // 24 hours apart
		{"gYear", "1999", "2000", less},
		{"gYear", "-1000", "0001", less},
		{"gYearMonth", "1999-12", "2000-01", less},
		{"gMonth", "--02", "--10", less},
		{"gDay", "---30", "---31", less},
		{"gMonthDay", "--02-29", "--03-01", less},
		// The table of section 3.2.6.2.
		{"duration", "P1Y", "P364D", greater}, {"duration", "P1Y", "P365D", none}, {"duration", "P1Y", "P366D", none}, {"duration", "P1Y", "P367D", less},
		{"duration", "P1M", "P27D", greater}, {"duration", "P1M", "P28D", none}, {"duration", "P1M", "P29D", none},
		{"duration", "P1M", "P30D", none}, {"duration", "P1M", "P31D", none}, {"duration", "P1M", "P32D", less},
		{"duration", "P5M", "P149D", greater}, {"duration", "P5M", "P150D", none}, {"duration", "P5M", "P153D", none}, {"duration", "P5M", "P154D", less},
		{"duration", "-P1M", "-P27D", less}, {"duration", "-P1M", "-P32D", greater}, {"duration", "-P1M", "-P30D", none},
		{"duration", "P12M", "P1Y", equal}, {"duration", "PT24H", "P1D", equal}, {"duration", "-P0M", "PT0S", equal},
		{"duration", "PT0.5S", "-PT0.5S", greater}, {"duration", "P1DT0.1S", "P1DT0.10S", equal},
		{"duration", "P1M", "-P1M", greater}, {"duration", "P999999999999999Y", "P999999999999999D", greater},
		{"string", "a", "b", none}, {"string", "a", "a", equal},
		{"hexBinary", "aB", "Ab", equal},
	} {
		var ctx Context
		got, ok := BuiltinType(c.typ).Compare([]byte(c.a), []byte(c.b), &ctx)
		if !ok || got != c.want {
			t.Errorf("%s %s, %s: got %d, want %d", c.typ, c.a, c.b, got, c.want)
		}
		back, _ := BuiltinType(c.typ).Compare([]byte(c.b), []byte(c.a), &ctx)
		if want := opposite(c.want); back != want {
			t.Errorf("%s %s, %s: got %d, want %d", c.typ, c.b, c.a, back, want)
		}
	}
}

func opposite(o Order) Order {
	if o == Incomparable {
		return o
	}
	return -o
}

// digits draws a number of up to n digits.
func digits(n int) *rapid.Generator[string] {
	return rapid.StringOfN(rapid.SampledFrom([]rune("0123456789")), 1, n, -1)
}

// ordered draws literals of the ordered types, close to each other and to the
// edges of the calendar.
var ordered = map[string]*rapid.Generator[string]{
	"decimal": rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom([]string{"", "-", "+"}).Draw(t, "sign") + digits(4).Draw(t, "int") + rapid.SampledFrom([]string{"", ".", "." + digits(3).Draw(t, "frac")}).Draw(t, "point")
	}),
	"double": rapid.SampledFrom([]string{"NaN", "INF", "-INF", "0", "-0", "1", "-1", "1e-300", "1e300", "0.1", "10e-2"}),
	"duration": rapid.Custom(func(t *rapid.T) string {
		s := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign") + "P"
		s += fmt.Sprintf("%dY%dM%dD", rapid.IntRange(0, 3).Draw(t, "Y"), rapid.IntRange(0, 25).Draw(t, "M"), rapid.IntRange(0, 400).Draw(t, "D"))
		s += fmt.Sprintf("T%dH%dM%d", rapid.IntRange(0, 50).Draw(t, "h"), rapid.IntRange(0, 90).Draw(t, "m"), rapid.IntRange(0, 100).Draw(t, "s"))
		return s + rapid.SampledFrom([]string{"", ".5", ".50", ".25", ".75", ".000"}).Draw(t, "frac") + "S"
	}),
	"dateTime": rapid.Custom(func(t *rapid.T) string {
		year := rapid.SampledFrom([]string{"-0002", "-0001", "0001", "1999", "2000", "2023", "2024", "9999", "10000"}).Draw(t, "year")
		month, day := rapid.IntRange(1, 12).Draw(t, "month"), rapid.SampledFrom([]int{1, 2, 15, 27, 28}).Draw(t, "day")
		return fmt.Sprintf("%s-%02d-%02dT", year, month, day) + clock.Draw(t, "clock")
	}),
	"time": rapid.Custom(func(t *rapid.T) string { return clock.Draw(t, "clock") }),
	"date": rapid.Custom(func(t *rapid.T) string {
		return fmt.Sprintf("20%02d-%02d-%02d", rapid.IntRange(0, 2).Draw(t, "y"), rapid.IntRange(1, 12).Draw(t, "m"), rapid.SampledFrom([]int{1, 2, 28}).Draw(t, "d")) + zone.Draw(t, "zone")
	}),
}

var zone = rapid.SampledFrom([]string{"", "", "Z", "+00:00", "+03:00", "-05:30", "+14:00", "-14:00"})

var clock = rapid.Custom(func(t *rapid.T) string {
	return rapid.SampledFrom([]string{"00:00:00", "24:00:00", "12:00:00", "23:59:59", "23:59:59.9", "14:00:00", "10:00:00.50", "10:00:00.5"}).Draw(t, "time") + zone.Draw(t, "zone")
})

// TestOrderProperties: comparison is antisymmetric and transitive, and equal
// is what has the same key.
func TestOrderProperties(t *testing.T) {
	for name, gen := range ordered {
		typ := BuiltinType(name)
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				var ctx Context
				v := [3][]byte{}
				for i := range v {
					v[i] = []byte(gen.Draw(t, "value"))
				}
				compare := func(a, b []byte) Order {
					o, ok := typ.Compare(a, b, &ctx)
					if !ok {
						t.Fatalf("%s or %s is refused", a, b)
					}
					return o
				}
				if o, p := compare(v[0], v[1]), compare(v[1], v[0]); o != opposite(p) {
					t.Fatalf("%s, %s: %d, but %d the other way round", v[0], v[1], o, p)
				}
				if o := compare(v[0], v[0]); o != Equal {
					t.Fatalf("%s against itself: %d", v[0], o)
				}
				if compare(v[0], v[1]) == Less && compare(v[1], v[2]) == Less && compare(v[0], v[2]) != Less {
					t.Fatalf("%s < %s < %s, but not the first less than the last", v[0], v[1], v[2])
				}
				a, _ := typ.AppendKey(nil, v[0], &ctx)
				b, _ := typ.AppendKey(nil, v[1], &ctx)
				if (compare(v[0], v[1]) == Equal) != bytes.Equal(a, b) {
					t.Fatalf("%s, %s: order %d, keys %x and %x", v[0], v[1], compare(v[0], v[1]), a, b)
				}
			})
		})
	}
}

func TestDecimalAgreesWithBig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ctx Context
		a, b := ordered["decimal"].Draw(t, "a"), ordered["decimal"].Draw(t, "b")
		x, _ := new(big.Rat).SetString(strings.TrimSuffix(a, "."))
		y, _ := new(big.Rat).SetString(strings.TrimSuffix(b, "."))
		if o, _ := BuiltinType("decimal").Compare([]byte(a), []byte(b), &ctx); int(o) != x.Cmp(y) {
			t.Fatalf("%s, %s: got %d, want %d", a, b, o, x.Cmp(y))
		}
	})
}

// TestDurationAgreesWithBig adds up seconds in rational numbers.
func TestDurationAgreesWithBig(t *testing.T) {
	seconds := func(d string, year int, month time.Month) *big.Rat {
		neg := strings.HasPrefix(d, "-")
		var y, mo, da, h, m int
		var s string
		if _, err := fmt.Sscanf(strings.TrimSuffix(strings.TrimPrefix(d, "-"), "S"), "P%dY%dM%dDT%dH%dM%s", &y, &mo, &da, &h, &m, &s); err != nil {
			t.Fatal(err)
		}
		sum, _ := new(big.Rat).SetString(s)
		sign := 1
		if neg {
			sign = -1
			sum.Neg(sum)
		}
		start := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
		end := start.AddDate(0, sign*(12*y+mo), sign*da).Add(time.Duration(sign*(h*60+m)) * time.Minute)
		return sum.Add(sum, new(big.Rat).SetInt64(end.Unix()))
	}
	rapid.Check(t, func(t *rapid.T) {
		var ctx Context
		a, b := ordered["duration"].Draw(t, "a"), ordered["duration"].Draw(t, "b")
		got, _ := BuiltinType("duration").Compare([]byte(a), []byte(b), &ctx)
		var want Order
		for i, ref := range []struct {
			year  int
			month time.Month
		}{{1696, 9}, {1697, 2}, {1903, 3}, {1903, 7}} {
			o := Order(seconds(a, ref.year, ref.month).Cmp(seconds(b, ref.year, ref.month)))
			if i > 0 && o != want {
				o = Incomparable
			}
			if want = o; o == Incomparable {
				break
			}
		}
		if got != want {
			t.Fatalf("%s, %s: got %d, want %d", a, b, got, want)
		}
	})
}

// TestDayNumbers compares the calendar with Go's.
func TestDayNumbers(t *testing.T) {
	day := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	for want := int64(0); day.Year() < 2500; want++ {
		if got := dayNumber(int64(day.Year()), int(day.Month()), day.Day()); got != want {
			t.Fatalf("%s: got day %d, want %d", day.Format(time.DateOnly), got, want)
		}
		day = day.AddDate(0, 0, 1)
	}
	// Backwards from year 1 there is no year 0.
	want := int64(-1)
	for year := int64(-1); year > -900; year-- {
		for month := 12; month >= 1; month-- {
			for d := daysIn(year, month); d >= 1; d-- {
				if got := dayNumber(year, month, d); got != want {
					t.Fatalf("%05d-%02d-%02d: got day %d, want %d", year, month, d, got, want)
				}
				want--
			}
		}
	}
}

func TestDateTimeAgreesWithTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) time.Time {
			at := time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, name), int64(rapid.IntRange(0, 999).Draw(t, "ms"))*1e6)
			return at.In(time.FixedZone("", 60*rapid.IntRange(-14*60, 14*60).Draw(t, "offset")))
		}
		a, b := draw("a"), draw("b")
		if a.Year() < 1 || b.Year() < 1 || a.Year() > 9999 || b.Year() > 9999 {
			t.Skip("out of the years of RFC 3339")
		}
		var ctx Context
		got, ok := BuiltinType("dateTime").Compare([]byte(a.Format(time.RFC3339Nano)), []byte(b.Format(time.RFC3339Nano)), &ctx)
		if !ok || int(got) != a.Compare(b) {
			t.Fatalf("%s, %s: got %d, want %d", a.Format(time.RFC3339Nano), b.Format(time.RFC3339Nano), got, a.Compare(b))
		}
	})
}

func TestBase64AgreesWithGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		octets := rapid.SliceOf(rapid.Byte()).Draw(t, "octets")
		v := []byte(base64.StdEncoding.EncodeToString(octets))
		n, r, _ := checkBase64(v)
		if r != ReasonNone || n != len(octets) || !bytes.Equal(appendBase64(nil, v), octets) {
			t.Fatalf("%s: %d octets, %s", v, n, r)
		}
		if len(v) > 0 {
			v[rapid.IntRange(0, len(v)-1).Draw(t, "at")] = rapid.SampledFrom([]byte("A=+/z-_")).Draw(t, "char")
			_, err := base64.StdEncoding.Strict().DecodeString(string(v))
			if _, r, _ := checkBase64(v); (r == ReasonNone) != (err == nil) {
				t.Fatalf("%s: %q, Go says %v", v, r, err)
			}
		}
	})
}

func TestWhiteSpace(t *testing.T) {
	text := rapid.StringOf(rapid.SampledFrom([]rune(" \t\n\raж\u00a0")))
	rapid.Check(t, func(t *rapid.T) {
		raw := text.Draw(t, "text")
		var buf, again []byte
		replaced := string(normalize([]byte(raw), Replace, &buf))
		if want := strings.NewReplacer("\t", " ", "\n", " ", "\r", " ").Replace(raw); replaced != want {
			t.Fatalf("replace %q: got %q, want %q", raw, replaced, want)
		}
		collapsed := string(normalize([]byte(raw), Collapse, &buf))
		want := strings.Join(strings.FieldsFunc(raw, func(r rune) bool { return r < utf8.RuneSelf && isSpace(byte(r)) }), " ")
		if collapsed != want {
			t.Fatalf("collapse %q: got %q, want %q", raw, collapsed, want)
		}
		if twice := string(normalize([]byte(collapsed), Collapse, &again)); twice != collapsed {
			t.Fatalf("collapse twice %q: got %q, want %q", raw, twice, collapsed)
		}
		if n := characters([]byte(raw)); n != utf8.RuneCountInString(raw) {
			t.Fatalf("%q: %d characters, want %d", raw, n, utf8.RuneCountInString(raw))
		}
		n := 0
		for it := (fields{[]byte(raw)}); ; n++ {
			item, ok := it.next()
			if !ok {
				break
			}
			if string(item) != strings.Split(want, " ")[n] {
				t.Fatalf("item %d of %q: got %q", n, raw, item)
			}
		}
	})
}

// TestInputIsNotChanged: the bytes under validation are part of a signed
// message.
func TestInputIsNotChanged(t *testing.T) {
	list, err := ListOf(Name{}, BuiltinType("token"))
	if err != nil {
		t.Fatal(err)
	}
	raw := []byte("\t a \n b\r\n  c ")
	for _, typ := range []*Type{BuiltinType("token"), BuiltinType("normalizedString"), list, BuiltinType("anyURI"), chain(t, "token", facets("pattern=.*", "enumeration=a b c"))} {
		in := bytes.Clone(raw)
		var ctx Context
		typ.Validate(in, &ctx)
		typ.AppendKey(nil, in, &ctx)
		if !bytes.Equal(in, raw) {
			t.Errorf("%s changed its input to %q", typ.Display(), in)
		}
	}
}

// FuzzValidate holds for every built-in type and any text: what is valid has a
// key, equals itself, and stays valid with its white space collapsed where the
// type collapses.
func FuzzValidate(f *testing.F) {
	for _, c := range lexical {
		for _, v := range append(split(c.yes), split(c.no)...) {
			f.Add(v)
		}
	}
	types := make([]*Type, 0, len(lexical))
	for _, c := range lexical {
		types = append(types, BuiltinType(c.typ))
	}
	f.Fuzz(func(t *testing.T, v string) {
		var ctx Context
		for _, typ := range types {
			if typ.Validate([]byte(v), &ctx) != nil {
				continue
			}
			key, ok := typ.AppendKey(nil, []byte(v), &ctx)
			if !ok {
				t.Fatalf("%s %q: valid without a key", typ.Display(), v)
			}
			if o, ok := typ.Compare([]byte(v), []byte(v), &ctx); !ok && typ.Variety() == Atomic || ok && o != Equal {
				t.Fatalf("%s %q: compared with itself: %d", typ.Display(), v, o)
			}
			var buf []byte
			norm := bytes.Clone(normalize([]byte(v), typ.Whitespace(), &buf))
			if f := typ.Validate(norm, &ctx); f != nil {
				t.Fatalf("%s %q: valid, but not once normalised: %v", typ.Display(), v, f)
			}
			if again, _ := typ.AppendKey(nil, norm, &ctx); !bytes.Equal(key, again) {
				t.Fatalf("%s %q: another key once normalised", typ.Display(), v)
			}
		}
	})
}
