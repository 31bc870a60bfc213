package value

import (
	"encoding/hex"
	"regexp"
	"testing"
)

func mustRestrict(t testing.TB, base string, facets ...Facet) *Type {
	t.Helper()
	typ, err := BuiltinType(base).Restrict(Name{Local: "tested"}, facets, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

var guidPattern = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"

// typical are the types and values of everyday messages.
func typical(t testing.TB) []struct {
	name  string
	typ   *Type
	value string
} {
	enum := make([]Facet, 0, 80)
	for i := range 80 {
		enum = append(enum, Facet{Kind: Enumeration, Value: "region-" + hex.EncodeToString([]byte{byte(i)})})
	}
	list, err := ListOf(Name{}, BuiltinType("int"))
	if err != nil {
		t.Fatal(err)
	}
	union, err := UnionOf(Name{}, BuiltinType("date"), BuiltinType("int"), BuiltinType("token"))
	if err != nil {
		t.Fatal(err)
	}
	return []struct {
		name  string
		typ   *Type
		value string
	}{
		{"guid", mustRestrict(t, "string", Facet{Kind: Pattern, Value: guidPattern}), "3f2504e0-4f89-11d3-9a0c-0305e82c3301"},
		{"name", mustRestrict(t, "string", Facet{Kind: Pattern, Value: `[А-ЯЁ][а-яё]*([ \-][А-ЯЁ][а-яё]*)*`}), "Мамина-Сибирякова"},
		{"inn", mustRestrict(t, "string", Facet{Kind: Pattern, Value: `\d{10}|\d{12}`}), "770708389300"},
		{"string 1..250", mustRestrict(t, "string", Facet{Kind: MinLength, Value: "1"}, Facet{Kind: MaxLength, Value: "250"}), "Выписка из Единого государственного реестра недвижимости"},
		{"date", BuiltinType("date"), "2024-02-29"},
		{"dateTime bounded", mustRestrict(t, "dateTime", Facet{Kind: MinInclusive, Value: "2000-01-01T00:00:00Z"}), "2024-02-29T23:59:59.123+03:00"},
		{"decimal 18.2", mustRestrict(t, "decimal", Facet{Kind: TotalDigits, Value: "18"}, Facet{Kind: FractionDigits, Value: "2"}, Facet{Kind: MinInclusive, Value: "0"}), "1234567890.55"},
		{"int", BuiltinType("int"), "-2147483648"},
		{"double bounded", mustRestrict(t, "double", Facet{Kind: MaxExclusive, Value: "1e9"}), "1234.5678"},
		{"boolean", BuiltinType("boolean"), "true"},
		{"enum 80", mustRestrict(t, "token", enum...), "region-4f"},
		{"enum decimal", mustRestrict(t, "decimal", Facet{Kind: Enumeration, Value: "1.0"}, Facet{Kind: Enumeration, Value: "2"}), "2.00"},
		{"NCName", BuiltinType("NCName"), "идентификатор-17"},
		{"QName", BuiltinType("QName"), "tns:Запрос"},
		{"base64", BuiltinType("base64Binary"), "VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZy4="},
		{"token padded", BuiltinType("token"), "\n      сведения   о лице \n   "},
		{"list of int", list, "1 2 3 4 5 6 7 8 9 10"},
		{"union", union, "не дата и не число"},
	}
}

// oneNamespace binds every prefix.
type oneNamespace struct{}

func (oneNamespace) ResolvePrefix([]byte) (string, bool) { return "urn:example", true }

func TestValidationDoesNotAllocate(t *testing.T) {
	ctx := Context{Namespaces: oneNamespace{}}
	for _, c := range typical(t) {
		raw := []byte(c.value)
		if f := c.typ.Validate(raw, &ctx); f != nil {
			t.Errorf("%s: %v", c.name, f)
			continue
		}
		if n := testing.AllocsPerRun(100, func() { c.typ.Validate(raw, &ctx) }); n != 0 {
			t.Errorf("%s: %v allocations a value, want 0", c.name, n)
		}
		key, _ := c.typ.AppendKey(nil, raw, &ctx)
		if n := testing.AllocsPerRun(100, func() { key, _ = c.typ.AppendKey(key[:0], raw, &ctx) }); n != 0 {
			t.Errorf("%s: %v allocations a key, want 0", c.name, n)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	ctx := Context{Namespaces: oneNamespace{}}
	for _, c := range typical(b) {
		raw := []byte(c.value)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c.typ.Validate(raw, &ctx) != nil {
					b.Fatal("not valid")
				}
			}
		})
	}
}

// BenchmarkGoRegexp is Go's own engine on the patterns of BenchmarkValidate,
// for comparison.
func BenchmarkGoRegexp(b *testing.B) {
	for _, c := range []struct{ name, pattern, value string }{
		{"guid", `\A(?:` + guidPattern + `)\z`, "3f2504e0-4f89-11d3-9a0c-0305e82c3301"},
		{"name", `\A(?:[А-ЯЁ][а-яё]*([ \-][А-ЯЁ][а-яё]*)*)\z`, "Мамина-Сибирякова"},
		{"inn", `\A(?:\p{Nd}{10}|\p{Nd}{12})\z`, "770708389300"},
	} {
		re, raw := regexp.MustCompile(c.pattern), []byte(c.value)
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if !re.Match(raw) {
					b.Fatal("no match")
				}
			}
		})
	}
}
