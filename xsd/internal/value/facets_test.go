package value

import (
	"errors"
	"strings"
	"testing"

	"mezhved/xsd/internal/xsdregex"
)

// facets reads "kind=value" pairs, "kind!=value" being fixed.
func facets(pairs ...string) []Facet {
	out := make([]Facet, len(pairs))
	for i, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		name, fixed := strings.CutSuffix(k, "!")
		out[i] = Facet{Kind: FacetByName(name), Value: v, Fixed: fixed}
	}
	return out
}

// chain restricts a built-in type step by step.
func chain(t testing.TB, base string, steps ...[]Facet) *Type {
	t.Helper()
	typ := BuiltinType(base)
	for _, s := range steps {
		var err error
		if typ, err = typ.Restrict(Name{Space: "urn:t", Local: "t"}, s, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	return typ
}

func TestFacets(t *testing.T) {
	for _, c := range []struct {
		base   string
		facets []Facet
		yes    string
		no     string
		rule   Rule // of all in no
		limit  string
	}{
		{"string", facets("length=3"), "три|abc|   ", "_|ab|abcd", RuleLength, "3"},
		{"string", facets("minLength=2"), "да|  ", "_|a", RuleMinLength, "2"},
		{"string", facets("maxLength=3"), "_|три|𝒜𝒜𝒜", "abcd|четы", RuleMaxLength, "3"},
		{"token", facets("maxLength=3"), " a  b ", "abcd", RuleMaxLength, "3"},
		{"hexBinary", facets("length= 2 "), "0aff", "0a|0aff00", RuleLength, "2"},
		{"base64Binary", facets("maxLength=2"), "AAA=|A A A =|_", "AAAA", RuleMaxLength, "2"},
		{"anyURI", facets("length=2"), "я/", "я", RuleLength, "2"},
		{"QName", facets("length=77"), "a:b", "", "", ""},
		{"NMTOKENS", facets("length=2"), "a b| a\n b ", "a|a b c", RuleLength, "2"},
		{"string", facets(`pattern=\d+`, "pattern=[a-z]+"), "12|ab", "1a|_", RulePattern, `\d+|[a-z]+`},
		{"decimal", facets(`pattern=\d\.\d\d`), "1.50| 1.50 ", "1.5|01.50", RulePattern, `\d\.\d\d`},
		{"decimal", facets("enumeration=1.0", "enumeration=2"), "1|01.00|2.|+2.0", "1.01|-1", RuleEnumeration, ""},
		{"string", facets("enumeration=да", "enumeration= да"), "да| да", "Да|да ", RuleEnumeration, ""},
		{"date", facets("enumeration=2024-01-01Z"), "2024-01-01+00:00|2024-01-01-00:00", "2024-01-01|2024-01-01+01:00", RuleEnumeration, ""},
		{"hexBinary", facets("enumeration=0aFF"), "0AFF|0aff", "0afe", RuleEnumeration, ""},
		{"base64Binary", facets("enumeration=AAAA"), "A A A A", "AAAB", RuleEnumeration, ""},
		{"float", facets("enumeration=NaN", "enumeration=0", "enumeration=0.1"), "NaN|-0|0e5|0.10000000149", "1", RuleEnumeration, ""},
		{"double", facets("enumeration=0.1"), "1e-1", "0.10000000149", RuleEnumeration, ""},
		{"NMTOKENS", facets("enumeration=a b"), "a  b", "a|b a|ab", RuleEnumeration, ""},
		{"duration", facets("enumeration=P1Y"), "P12M|P0Y12M0DT0S", "P365D|P1Y1D", RuleEnumeration, ""},
		{"int", facets("minInclusive=5", "maxExclusive=10"), "5|9|+7", "", "", ""},
		{"int", facets("minInclusive=5"), "5", "4|-5", RuleMinInclusive, "5"},
		{"int", facets("minExclusive=5"), "6", "5|4", RuleMinExclusive, "5"},
		{"int", facets("maxInclusive=5"), "5", "6", RuleMaxInclusive, "5"},
		{"int", facets("maxExclusive=5"), "4", "5|6", RuleMaxExclusive, "5"},
		{"int", nil, "2147483647", "2147483648", RuleMaxInclusive, "2147483647"},
		{"decimal", facets("minExclusive=-1.5"), "-1.49999999999999999999", "-1.50|-2", RuleMinExclusive, "-1.5"},
		{"float", facets("maxInclusive=1e10"), "1e10|-INF", "INF|1e11|NaN", RuleMaxInclusive, "1e10"},
		{"double", facets("minInclusive=NaN"), "NaN", "1|INF", RuleMinInclusive, "NaN"},
		{"dateTime", facets("minInclusive=2024-01-01T00:00:00Z"), "2024-01-01T03:00:00+03:00|2024-01-01T14:00:01", "2024-01-01T02:59:59+03:00|2024-01-01T10:00:00|2023-12-31T00:00:00", RuleMinInclusive, "2024-01-01T00:00:00Z"},
		{"date", facets("maxInclusive=2024-02-29"), "2024-02-29|-0001-01-01|2024-02-28Z", "2024-03-01|12024-01-01|2024-02-29Z", RuleMaxInclusive, "2024-02-29"},
		{"time", facets("minInclusive=12:00:00Z"), "15:00:00+03:00", "11:59:59Z", RuleMinInclusive, "12:00:00Z"},
		{"gYear", facets("maxExclusive=2000"), "1999|-2000", "2000|12000", RuleMaxExclusive, "2000"},
		{"gMonthDay", facets("minInclusive=--03-01"), "--03-01|--12-31", "--02-29", RuleMinInclusive, "--03-01"},
		{"duration", facets("minInclusive=P1M"), "P32D|P1M|P1Y", "P27D|P30D|P31D|-P1Y", RuleMinInclusive, "P1M"}, // P30D and P31D are neither more nor less
		{"decimal", facets("totalDigits=3"), "1.50|123|-0.12|000123.000|100", "1234|12.34|0.1234", RuleTotalDigits, "3"},
		{"decimal", facets("fractionDigits=2"), "1.500|1", "1.501", RuleFracDigits, "2"},
		{"integer", facets("totalDigits=2"), "99|-99|0099", "100", RuleTotalDigits, "2"},
	} {
		typ := chain(t, c.base, c.facets)
		var ctx Context
		for _, v := range split(c.yes) {
			if f := typ.Validate([]byte(v), &ctx); f != nil {
				t.Errorf("%s %v %q: %v", c.base, c.facets, v, f)
			}
		}
		for _, v := range split(c.no) {
			f := typ.Validate([]byte(v), &ctx)
			if f == nil {
				t.Errorf("%s %v %q: accepted", c.base, c.facets, v)
			} else if f.Rule != c.rule || f.Limit != c.limit {
				t.Errorf("%s %v %q: got %s %q, want %s %q", c.base, c.facets, v, f.Rule, f.Limit, c.rule, c.limit)
			}
		}
	}
}

// Patterns of one step are alternatives, those of several steps hold together.
func TestPatternsAcrossSteps(t *testing.T) {
	typ := chain(t, "string", facets("pattern=[a-z]+", "pattern=[0-9]+"), facets("pattern=...", "pattern=...."))
	var ctx Context
	for _, c := range []struct{ v, limit string }{{"abc", ""}, {"1234", ""}, {"ab", "...|...."}, {"a12", "[a-z]+|[0-9]+"}} {
		f := typ.Validate([]byte(c.v), &ctx)
		if (f == nil) != (c.limit == "") || f != nil && f.Limit != c.limit {
			t.Errorf("%q: got %v, want limit %q", c.v, f, c.limit)
		}
	}
}

// A failure names the type that states the facet, not the one that inherits it.
func TestFailureNamesTheOwner(t *testing.T) {
	base, err := BuiltinType("string").Restrict(Name{Local: "short"}, facets("maxLength=3", "enumeration=a", "enumeration=b", "pattern=.*"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	typ, err := base.Restrict(Name{Local: "shorter"}, facets("maxLength=2"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var ctx Context
	f := typ.Validate([]byte("abcd"), &ctx)
	if f == nil || f.Type != typ || f.Limit != "2" || f.Actual != 4 {
		t.Errorf("got %v of %s, want maxLength of shorter", f, f.Type.Display())
	}
	f = typ.Validate([]byte("c"), &ctx)
	if f == nil || f.Type != base || f.AllowedTotal != 2 || strings.Join(f.Allowed, " ") != "a b" {
		t.Errorf("got %+v, want the enumeration of short", f)
	}
	many := make([]Facet, 50)
	for i := range many {
		many[i] = Facet{Kind: Enumeration, Value: strings.Repeat("x", i+1)}
	}
	f = chain(t, "string", many).Validate([]byte("y"), &ctx)
	if len(f.Allowed) != MaxAllowed || f.AllowedTotal != 50 {
		t.Errorf("got %d of %d allowed values, want %d of 50", len(f.Allowed), f.AllowedTotal, MaxAllowed)
	}
}

func TestListsAndUnions(t *testing.T) {
	small := chain(t, "int", facets("maxInclusive=9"))
	size, err := UnionOf(Name{Local: "size"}, small, chain(t, "NMTOKEN", facets("enumeration=large", "enumeration=small")))
	if err != nil {
		t.Fatal(err)
	}
	sizes, err := ListOf(Name{Local: "sizes"}, size)
	if err != nil {
		t.Fatal(err)
	}
	var ctx Context
	if f := sizes.Validate([]byte(" 1 large\n 09 "), &ctx); f != nil || ctx.Member != sizes {
		t.Errorf("got %v, member %s", f, ctx.Member.Display())
	}
	f := sizes.Validate([]byte("1 large medium 3"), &ctx)
	if f == nil || f.Rule != RuleNoMember || f.Item != 3 || len(f.Members) != 2 || f.Members[0].Rule != RuleLexical || f.Members[1].Rule != RuleEnumeration {
		t.Errorf("got %+v, want item 3 refused by both members", f)
	}
	if f := size.Validate([]byte(" 7 "), &ctx); f != nil || ctx.Member != small {
		t.Errorf("got %v, member %s", f, ctx.Member.Display())
	}

	// The first member that takes it gives the value, and its white space handling.
	either, err := UnionOf(Name{}, BuiltinType("int"), BuiltinType("string"))
	if err != nil {
		t.Fatal(err)
	}
	seven, err := either.Restrict(Name{}, facets("enumeration=7", "enumeration= x "), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for v, want := range map[string]bool{"07": true, " 7 ": true, " x ": true, "x": false, "7.0": false} {
		if f := seven.Validate([]byte(v), &ctx); (f == nil) != want {
			t.Errorf("%q: got %v, want %v", v, f, want)
		}
	}
	spaced, err := either.Restrict(Name{}, facets("pattern= ?[7x] ?"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for v, want := range map[string]bool{"  7  ": true, " x ": true, "  x": false} {
		if f := spaced.Validate([]byte(v), &ctx); (f == nil) != want {
			t.Errorf("pattern on %q: got %v, want %v", v, f, want)
		}
	}

	// A list of a union whose members have enumerations, itself enumerated.
	few, err := sizes.Restrict(Name{}, facets("enumeration=1 large", "enumeration=2", "maxLength=2"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for v, want := range map[string]bool{"01   large": true, "2": true, "large 1": false, "1": false} {
		if f := few.Validate([]byte(v), &ctx); (f == nil) != want {
			t.Errorf("list %q: got %v, want %v", v, f, want)
		}
	}

	for _, item := range []*Type{sizes, BuiltinType("NMTOKENS"), BuiltinType("anySimpleType")} {
		var te *TypeError
		if _, err := ListOf(Name{}, item); !errors.As(err, &te) || te.Rule != RuleListOfAtomic {
			t.Errorf("list of %s: got %v, want %s", item.Display(), err, RuleListOfAtomic)
		}
	}
	mixed, err := UnionOf(Name{}, small, sizes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ListOf(Name{}, mixed); err == nil {
		t.Error("a list of a union with a list was accepted")
	}
	if _, err := UnionOf(Name{}); err == nil {
		t.Error("a union of nothing was accepted")
	}
	if f := mixed.Validate([]byte("1 2"), &ctx); f != nil || ctx.Member != sizes {
		t.Errorf("got %v, member %s, want the list", f, ctx.Member.Display())
	}
}

// nsMap resolves prefixes from a map.
type nsMap map[string]string

func (m nsMap) ResolvePrefix(prefix []byte) (string, bool) {
	uri, ok := m[string(prefix)]
	return uri, ok || len(prefix) == 0
}

func TestQNameValues(t *testing.T) {
	schema := nsMap{"a": "urn:1", "": "urn:d"}
	fs := facets("enumeration=a:x", "enumeration=y")
	for i := range fs {
		fs[i].Namespaces = schema
	}
	typ := chain(t, "QName", fs)
	if names := typ.AllowedNames(); len(names) != 2 || names[0] != (Name{"urn:1", "x"}) || names[1] != (Name{"urn:d", "y"}) {
		t.Errorf("got %v", names)
	}
	ctx := Context{Namespaces: nsMap{"b": "urn:1", "c": "urn:d", "a": "urn:other"}}
	for v, want := range map[string]bool{"b:x": true, "c:y": true, "a:x": false, "y": false, "z:x": false, "b:y": false} {
		if f := typ.Validate([]byte(v), &ctx); (f == nil) != want {
			t.Errorf("%q: got %v, want %v", v, f, want)
		}
	}
	k1, _ := typ.AppendKey(nil, []byte("xml:lang"), &ctx)
	if want := append([]byte{byte(QName)}, xmlNamespace+"\x00lang"...); string(k1) != string(want) {
		t.Errorf("xml prefix: got key %q", k1)
	}
}

func TestRestrictionRules(t *testing.T) {
	for _, c := range []struct {
		base  string
		steps [][]Facet // all but the last are right
		rule  Rule      // "" when the last is right, too
		index int
	}{
		{"boolean", [][]Facet{facets("enumeration=true")}, RuleApplicable, 0},
		{"string", [][]Facet{facets("minLength=1", "totalDigits=1")}, RuleApplicable, 1},
		{"decimal", [][]Facet{facets("length=1")}, RuleApplicable, 0},
		{"date", [][]Facet{facets("minLength=1")}, RuleApplicable, 0},
		{"NMTOKENS", [][]Facet{facets("minInclusive=1")}, RuleApplicable, 0},
		{"string", [][]Facet{facets("length=1", "length=1")}, RuleSingleFacet, 1},
		{"string", [][]Facet{facets("length=a")}, RuleLexical, 0},
		{"string", [][]Facet{facets("maxLength=-1")}, RuleLexical, 0},
		{"decimal", [][]Facet{facets("totalDigits=0")}, RuleLexical, 0},
		{"decimal", [][]Facet{facets("totalDigits=99999999999999999999999", "fractionDigits=0")}, "", 0},
		{"string", [][]Facet{facets("whiteSpace=trim")}, RuleEnumeration, 0},
		{"string", [][]Facet{facets("pattern=a", "pattern=a{2,1}")}, RulePatternSyntax, 1},

		{"string", [][]Facet{facets("length=3"), facets("length=4")}, RuleLengthRestr, 0},
		{"string", [][]Facet{facets("length=3"), facets("length=3")}, "", 0},
		{"string", [][]Facet{facets("minLength=3"), facets("minLength=2")}, RuleMinLengthRestr, 0},
		{"string", [][]Facet{facets("maxLength=3"), facets("maxLength=4")}, RuleMaxLengthRestr, 0},
		{"string", [][]Facet{facets("maxLength=3"), facets("minLength=4")}, RuleMinLEMaxLength, 0},
		{"string", [][]Facet{facets("minLength=3", "maxLength=2")}, RuleMinLEMaxLength, 1},
		{"string", [][]Facet{facets("length=3", "maxLength=3")}, RuleLengthAndMinMax, 1},
		{"string", [][]Facet{facets("maxLength=5"), facets("length=3")}, "", 0},
		{"string", [][]Facet{facets("maxLength=5"), facets("length=6")}, RuleLengthAndMinMax, 0},
		{"string", [][]Facet{facets("minLength=5"), facets("length=3")}, RuleLengthAndMinMax, 0},
		{"string", [][]Facet{facets("minLength=2"), facets("length=3", "minLength=2")}, "", 0},
		{"string", [][]Facet{facets("length=3"), facets("minLength=2")}, RuleLengthAndMinMax, 0},
		{"string", [][]Facet{facets("length!=3"), facets("length=3")}, "", 0},
		{"string", [][]Facet{facets("maxLength!=3"), facets("maxLength=2")}, RuleFixedFacet, 0},
		{"string", [][]Facet{facets("maxLength!=3"), facets("pattern=a"), facets("maxLength=2")}, RuleFixedFacet, 0},

		{"string", [][]Facet{facets("whiteSpace=collapse"), facets("whiteSpace=replace")}, RuleWhiteSpaceRestr, 0},
		{"token", [][]Facet{facets("whiteSpace=preserve")}, RuleWhiteSpaceRestr, 0},
		{"integer", [][]Facet{facets("whiteSpace=replace")}, RuleWhiteSpaceRestr, 0},
		{"integer", [][]Facet{facets("whiteSpace=collapse")}, "", 0},
		{"string", [][]Facet{facets("whiteSpace!=replace"), facets("whiteSpace=collapse")}, RuleFixedFacet, 0},

		{"int", [][]Facet{facets("minInclusive=1", "minExclusive=0")}, RuleMinInclAndExcl, 1},
		{"int", [][]Facet{facets("maxInclusive=1", "maxExclusive=2")}, RuleMaxInclAndExcl, 1},
		{"int", [][]Facet{facets("minInclusive=2", "maxInclusive=1")}, RuleMinInclLEMaxIncl, 1},
		{"int", [][]Facet{facets("minInclusive=1", "maxInclusive=1")}, "", 0},
		{"int", [][]Facet{facets("minExclusive=2", "maxExclusive=1")}, RuleMinExclLEMaxExcl, 1},
		{"int", [][]Facet{facets("minExclusive=1", "maxExclusive=1")}, "", 0},
		{"int", [][]Facet{facets("minExclusive=1", "maxInclusive=1")}, RuleMinExclLTMaxIncl, 1},
		{"int", [][]Facet{facets("minInclusive=1", "maxExclusive=1")}, RuleMinInclLTMaxExcl, 1},
		{"int", [][]Facet{facets("maxInclusive=5"), facets("minInclusive=6")}, RuleMinInclusiveRestr, 0},
		{"int", [][]Facet{facets("maxInclusive=5"), facets("maxInclusive=6")}, RuleMaxInclusiveRestr, 0},
		{"int", [][]Facet{facets("maxExclusive=5"), facets("maxInclusive=5")}, RuleMaxInclusiveRestr, 0},
		{"int", [][]Facet{facets("maxExclusive=5"), facets("maxExclusive=5")}, "", 0},
		{"int", [][]Facet{facets("maxExclusive=5"), facets("maxExclusive=6")}, RuleMaxExclusiveRestr, 0},
		{"int", [][]Facet{facets("minExclusive=5"), facets("minExclusive=5")}, "", 0},
		{"int", [][]Facet{facets("minExclusive=5"), facets("minExclusive=4")}, RuleMinExclusiveRestr, 0},
		{"int", [][]Facet{facets("maxInclusive=2147483648")}, RuleMaxInclusiveRestr, 0},
		{"int", [][]Facet{facets("maxInclusive=x")}, RuleMaxInclusiveRestr, 0},
		{"integer", [][]Facet{facets("maxInclusive=1.5")}, RuleMaxInclusiveRestr, 0},
		{"int", [][]Facet{facets("maxInclusive!=5"), facets("maxInclusive=4")}, RuleFixedFacet, 0},
		{"int", [][]Facet{facets("maxInclusive!=5"), facets("maxInclusive=05")}, "", 0},
		{"dateTime", [][]Facet{facets("minInclusive=2024-01-01T00:00:00", "maxInclusive=2024-01-01T00:00:00Z")}, "", 0}, // not comparable
		{"dateTime", [][]Facet{facets("minInclusive=2024-01-02T00:00:00", "maxInclusive=2024-01-01T00:00:00Z")}, RuleMinInclLEMaxIncl, 1},

		{"decimal", [][]Facet{facets("totalDigits=3"), facets("totalDigits=4")}, RuleTotalDigitsRestr, 0},
		{"decimal", [][]Facet{facets("fractionDigits=1"), facets("fractionDigits=2")}, RuleFracDigitsRestr, 0},
		{"decimal", [][]Facet{facets("totalDigits=1", "fractionDigits=2")}, RuleFracLETotalDigits, 1},
		{"integer", [][]Facet{facets("fractionDigits=1")}, RuleFracDigitsRestr, 0},
		{"integer", [][]Facet{facets("fractionDigits=0")}, "", 0},

		{"int", [][]Facet{facets("enumeration=1", "enumeration=x")}, RuleEnumRestriction, 1},
		{"int", [][]Facet{facets("enumeration=1"), facets("enumeration=2")}, RuleEnumRestriction, 0},
		{"int", [][]Facet{facets("enumeration=1"), facets("enumeration=01")}, "", 0},
		{"string", [][]Facet{facets("maxLength=1"), facets("enumeration=ab")}, RuleEnumRestriction, 0},
		{"NMTOKENS", [][]Facet{facets("enumeration=")}, RuleEnumRestriction, 0},
	} {
		typ := BuiltinType(c.base)
		var err error
		for i, s := range c.steps {
			typ, err = typ.Restrict(Name{}, s, Options{})
			if err != nil && i < len(c.steps)-1 {
				t.Fatalf("%s %v: step %d: %v", c.base, c.steps, i, err)
			}
		}
		var all FacetErrors
		switch {
		case c.rule == "" && err != nil:
			t.Errorf("%s %v: %v", c.base, c.steps, err)
		case c.rule == "":
		case !errors.As(err, &all):
			t.Errorf("%s %v: got %v, want %s", c.base, c.steps, err, c.rule)
		case all[0].Rule != c.rule || all[0].Index != c.index || len(all) != 1:
			t.Errorf("%s %v: got %v, want %s at %d", c.base, c.steps, err, c.rule, c.index)
		}
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, err := BuiltinType("string").Restrict(Name{}, facets("totalDigits=1", "minLength=x", "pattern=[", "enumeration=a"), Options{})
	var all FacetErrors
	if !errors.As(err, &all) || len(all) != 3 {
		t.Fatalf("got %v, want three faults", err)
	}
	var syntax *xsdregex.SyntaxError
	if !errors.As(err, &syntax) || syntax.Code != xsdregex.CodeUnclosedClass {
		t.Errorf("got %v, want the pattern's own error within", err)
	}
	var te *TypeError
	if typ, err := BuiltinType("anySimpleType").Restrict(Name{}, nil, Options{}); err != nil || typ.Variety() != Absent {
		t.Errorf("content of anySimpleType: got %v", err)
	}
	if _, err := BuiltinType("anySimpleType").Restrict(Name{}, facets("length=1"), Options{}); !errors.As(err, &te) || te.Rule != RuleRestrictBase {
		t.Errorf("restriction of anySimpleType: got %v, want %s", err, RuleRestrictBase)
	}
}

func TestIdentities(t *testing.T) {
	u, err := UnionOf(Name{}, BuiltinType("int"), BuiltinType("ID"), BuiltinType("IDREFS"))
	if err != nil {
		t.Fatal(err)
	}
	var ctx Context
	for v, want := range map[string]string{"5": "", " x ": "1x", "x y": "2x2y"} {
		got := ""
		u.VisitIdentities([]byte(v), &ctx, func(k Identity, name []byte) { got += string(rune('0'+k)) + string(name) })
		if got != want {
			t.Errorf("%q: got %q, want %q", v, got, want)
		}
	}
	if !u.MayIdentify() || BuiltinType("NCName").MayIdentify() || !BuiltinType("ENTITIES").MayIdentify() {
		t.Error("MayIdentify is wrong")
	}
	if id := chain(t, "ID", facets("maxLength=3")); id.Identity() != ID {
		t.Error("a restriction of ID is no ID")
	}
}

func TestDerives(t *testing.T) {
	b := BuiltinType
	u, err := UnionOf(Name{}, b("decimal"), b("NMTOKENS"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		t, base *Type
		want    bool
	}{
		{b("int"), b("decimal"), true}, {b("decimal"), b("int"), false}, {b("int"), b("anySimpleType"), true},
		{b("int"), u, true}, {u, b("anySimpleType"), true}, {b("NMTOKENS"), u, true}, {b("string"), u, false}, {u, u, true},
	} {
		if got := c.t.Derives(c.base); got != c.want {
			t.Errorf("%s from %s: got %v, want %v", c.t.Display(), c.base.Display(), got, c.want)
		}
	}
}
