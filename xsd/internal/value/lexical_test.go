package value

import (
	"strings"
	"testing"
)

// lexical is what each built-in type takes and refuses, from the text of Part 2.
// Values are separated by "|"; "_" stands for the empty string.
var lexical = []struct{ typ, yes, no string }{
	{"string", "_| |a\tb\n |<&>", ""},
	{"normalizedString", "_|a  b|\ta\n", ""},
	{"token", "_|  a \n b ", ""},
	{"boolean", "true|false|1|0| true\n", "_|TRUE|yes|01|tru"},
	{"decimal", "0|-0|+1|1.|.5|-.5|00100.50|123456789012345678901234567890.123456789012345678901234567890| 1 ", "_|.|-|+|1e3|1,5|--1|1 2|INF|0x1|١"},
	{"integer", "0|-1|+5|007|-0|99999999999999999999999999999999999999", "_|1.|1.0|.|+|1e0|- 1"},
	{"nonPositiveInteger", "0|-0|+0|-99999999999999999999", "1|-1.0|_"},
	{"negativeInteger", "-1|-00002", "0|1|-0|_"},
	{"nonNegativeInteger", "0|-0|99999999999999999999|+1", "-1|_"},
	{"positiveInteger", "1|+01|99999999999999999999", "0|-1|+0|_"},
	{"long", "9223372036854775807|-9223372036854775808|+00000000000000000000000000001", "9223372036854775808|-9223372036854775809|1.0"},
	{"int", "2147483647|-2147483648", "2147483648|-2147483649"},
	{"short", "32767|-32768", "32768|-32769"},
	{"byte", "127|-128|+0", "128|-129"},
	{"unsignedLong", "18446744073709551615|0|-0", "18446744073709551616|-1"},
	{"unsignedInt", "4294967295", "4294967296|-1"},
	{"unsignedShort", "65535", "65536|-1"},
	{"unsignedByte", "255", "256|-1"},
	{"float", "1|-1.5|.5|1.|1E4|1e-4|-INF|INF|NaN|1e400|+1|12.78e-2|1E+05", "_|+INF|inf|Infinity|nan|1e|e1|.|1e1.5|0x1p3|1_0|1d|-NaN"},
	{"double", "1|-1.5|.5|1.|1E4|-INF|INF|NaN|1e-999999999999", "_|+INF|Infinity|1e|1f"},
	{"duration", "P1Y|P1M|P1D|PT1H|PT1M|PT1S|PT1.5S|P1Y2M3DT4H5M6.789S|-P1Y|P0D|PT36H|P999999999999999Y|P1Y1D|P1YT1S|PT0.000S",
		"_|P|PT|P1|1Y|P1YT|P-1Y|+P1Y|P1S|PT1Y|P1M1Y|PT1S1M|P1.5Y|PT1.S|PT.5S|P1Y2|PT1H1.5M|P1T1H|P 1Y|P1000000000000000Y|P1YT1Y|p1y|P1H|P1YTT1S"},
	{"dateTime", "2024-02-29T23:59:59|2024-02-29T23:59:59.999999999999999999Z|-0001-01-01T00:00:00|12024-01-01T00:00:00+14:00|2024-01-01T24:00:00|2024-01-01T24:00:00.000|2024-01-01T00:00:00-14:00|123456789012345-01-01T00:00:00Z",
		"_|0000-01-01T00:00:00|2023-02-29T00:00:00|1900-02-29T00:00:00|2024-13-01T00:00:00|2024-00-01T00:00:00|2024-04-31T00:00:00|2024-01-01T24:00:01|2024-01-01T25:00:00|2024-01-01T00:60:00|2024-01-01T00:00:60|2024-01-01T00:00:00+14:01|2024-01-01T00:00:00+15:00|02024-01-01T00:00:00|24-01-01T00:00:00|2024-1-1T00:00:00|2024-01-01 00:00:00|2024-01-01T00:00|2024-01-01T00:00:00.|+2024-01-01T00:00:00|2024-01-01t00:00:00z|2024-01-01T00:00:00ZZ|2024-01-01T00:00:00+3:00|2024-01-01T00:00:00+0300|1234567890123456-01-01T00:00:00Z|2024-01-01"},
	{"time", "00:00:00|23:59:59.5|24:00:00|12:00:00Z|12:00:00-05:00", "_|24:00:01|24:00:00.1|12:00|1:00:00|12:00:00 Z|12:00:60|-12:00:00|12:00:00.|12:00:00+14:30"},
	{"date", "2024-02-29|-0004-02-29|2000-02-29Z|2024-12-31-14:00|12345-06-07", "_|2023-02-29|2024-02-30|2024-2-9|20240229|2024-02-29T00:00:00|0000-01-01|-0000-01-01|29.02.2024|2024-02-29+|2024-02-29+05"},
	{"gYearMonth", "2024-02|-0100-12Z|12345-01+03:00", "_|2024-13|2024-2|2024|2024-02-01|0000-01|24-01"},
	{"gYear", "2024|-0001|12024Z|2024+14:00|9999", "_|0000|24|02024|+2024|2024-01|20 24|-2024-|2024-14:01"},
	{"gMonthDay", "--02-29|--12-31Z|--04-30+03:00", "_|--02-30|--04-31|--13-01|-02-29|02-29|--0229|--2-29"},
	{"gDay", "---01|---31|---15Z|---15-05:00", "_|---00|---32|--15|---1|15|---015"},
	{"gMonth", "--01|--12|--06Z|--06+03:00", "_|--00|--13|--1|01|--01--|-01|--01-"},
	{"hexBinary", "_|00|0aFF|DEADBEEF", "0|0g|0 0|abc"},
	{"base64Binary", "_|AAAA|AA==|AAA=|A A A A|TWFu TWE= |TWE =|AQ= =", "A|AA|AAA|A===|AB==|AAB=|AAAA=|AA=A|AA= =A|A*AA|====|AA==AAAA|="},
	{"anyURI", "_|http://www.example.org/a?b#c|urn:a:b|../x|#f|документ.xml|a b|http://[::1]/|%20|{}|a:b:c|./1:2|?1:2|#1:2|a+b-c.1:x|127.0.0.1|file:///C:/a|a:/|a://|//h|http://u@[FE80::1]:80/x|http://[::ffff:1.2.3.4]|x?y[1]|#xpointer(//a[1])|urn:a[1]|a::|http://:x@y:z", "b:|b:#x|[1]|x[1].xml|]]>|a:[|http://[|http://[]|http://[x]/|http://h[1]/|http://[::1]x|http://[::1]:x|//[::1|a/b]|http://h/[?x|:a|%|%2|%zz|a#b#c|1a:b|127.0.0.1:80/|имя:x|-a:b"},
	{"QName", "a|p:a|_x:_y|имя:тег", "_|:a|a:|a:b:c|1a|a:1|a b|-a"},
	{"NOTATION", "a|p:a", "_|:a|1"},
	{"language", "ru|en-US|x-klingon|i-navajo|a-b1c2d3-abcdefgh| ru ", "_|1a|ru_RU|abcdefghi|en-|-en|en--US|ru-абв"},
	{"NMTOKEN", "a|1|-|a:b|.x|имя-1", "_|a b|a/b|×"},
	{"NMTOKENS", "a|a b 1|  a\tb ", "_|  |a /"},
	{"Name", "a|:|_a|a:b:c|имя", "_|1|-a|a b|.a"},
	{"NCName", "a|_a.b-1|имя", "_|a:b|:|1a|a b"},
	{"ID", "a|_1", "_|a:b|1"},
	{"IDREF", "a", "_|1"},
	{"IDREFS", "a b|a", "_|a 1"},
	{"ENTITY", "a", "_|1"},
	{"ENTITIES", "a b", "_|a:b"},
	{"anySimpleType", "_|anything at all ", ""},
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	parts := strings.Split(s, "|")
	for i, p := range parts {
		if p == "_" {
			parts[i] = ""
		}
	}
	return parts
}

func TestBuiltinLexicalSpaces(t *testing.T) {
	seen := map[string]bool{}
	var ctx Context
	for _, c := range lexical {
		seen[c.typ] = true
		typ := BuiltinType(c.typ)
		for _, v := range split(c.yes) {
			if f := typ.Validate([]byte(v), &ctx); f != nil {
				t.Errorf("%s %q: %v", c.typ, v, f)
			}
			if _, ok := typ.AppendKey(nil, []byte(v), &ctx); !ok {
				t.Errorf("%s %q: valid, but without a key", c.typ, v)
			}
		}
		for _, v := range split(c.no) {
			if f := typ.Validate([]byte(v), &ctx); f == nil {
				t.Errorf("%s %q: accepted", c.typ, v)
			}
		}
	}
	for _, name := range BuiltinNames() {
		if !seen[name] {
			t.Errorf("no test of %s", name)
		}
	}
	if len(seen) != 45 {
		t.Errorf("%d types, want the 44 of the standard and anySimpleType", len(seen))
	}
}

// The reason and the place of a lexical failure are what a person is told.
func TestLexicalReasons(t *testing.T) {
	ctx := Context{Namespaces: noNamespaces{}}
	for _, c := range []struct {
		typ, value string
		reason     Reason
		offset     int
	}{
		{"integer", "", ReasonEmpty, 0},
		{"integer", " 12a ", ReasonCharacter, 2},
		{"decimal", "-", ReasonDigits, 1},
		{"decimal", "1,5", ReasonCharacter, 1},
		{"double", "1e", ReasonDigits, 2},
		{"date", "2024-13-01", ReasonMonth, 5},
		{"date", "2023-02-29", ReasonDay, 8},
		{"date", "2024-02", ReasonTruncated, 7},
		{"date", "01.02.2024", ReasonYear, 0},
		{"date", "2024-02-29x", ReasonCharacter, 10},
		{"date", "2024-02-29Zx", ReasonTrailing, 11},
		{"date", "0000-01-01", ReasonYear, 0},
		{"date", "1234567890123456-01-01", ReasonNumberTooLarge, 0},
		{"dateTime", "2024-02-29T24:00:01", ReasonHour, 11},
		{"dateTime", "2024-02-29T23:60:01", ReasonMinute, 14},
		{"dateTime", "2024-02-29T23:59:61", ReasonSecond, 17},
		{"dateTime", "2024-02-29T23:59:59+15:00", ReasonTimeZone, 20},
		{"duration", "P1YT", ReasonNoDuration, 4},
		{"duration", "P", ReasonNoDuration, 1},
		{"hexBinary", "abc", ReasonOddHex, 3},
		{"hexBinary", "ag", ReasonCharacter, 1},
		{"base64Binary", "AB==", ReasonBase64, 4},
		{"NCName", "a:b", ReasonName, 1},
		{"NCName", "имя 1", ReasonName, 6},
		{"NCName", "им\xd1", ReasonUTF8, 4},
		{"QName", "нет:имя", ReasonPrefix, 0},
		{"anyURI", "a%zz", ReasonCharacter, 1},
	} {
		f := BuiltinType(c.typ).Validate([]byte(c.value), &ctx)
		if f == nil {
			t.Errorf("%s %q: accepted", c.typ, c.value)
			continue
		}
		if f.Rule != RuleLexical || f.Reason != c.reason || f.Offset != c.offset || f.Type != BuiltinType(c.typ) {
			t.Errorf("%s %q: got %s, %s at %d, want %s at %d", c.typ, c.value, f.Rule, f.Reason, f.Offset, c.reason, c.offset)
		}
	}
}

// noNamespaces binds no prefix.
type noNamespaces struct{}

func (noNamespaces) ResolvePrefix(prefix []byte) (string, bool) { return "", len(prefix) == 0 }
