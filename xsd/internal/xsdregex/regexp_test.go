package xsdregex

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"mezhved/envelopes/xmltape/cost"
)

func mustCompile(t testing.TB, pattern string, limits Limits) *Regexp {
	t.Helper()
	re, err := Compile(pattern, limits)
	if err != nil {
		t.Fatalf("%s: %v", pattern, err)
	}
	return re
}

// simulated compiles so that nothing is determinised.
func simulated(t testing.TB, pattern string) *Regexp {
	t.Helper()
	tree, err := parse(pattern, 200)
	if err != nil {
		t.Fatalf("%s: %v", pattern, err)
	}
	return &Regexp{pattern: pattern, nfa: newNFA(newProgram(simplify(tree), false))}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"", []string{""}, []string{"a", " "}},
		{"a|", []string{"", "a"}, []string{"aa"}},
		{"abc", []string{"abc"}, []string{"", "ab", "abcd", "xabc", "ABC"}},
		{"^a$", []string{"^a$"}, []string{"a"}}, // anchors are characters
		{".", []string{"a", "я", "\t", "\U0001D7A8", "\u2028", "\u0085"}, []string{"", "\n", "\r", "ab"}},
		{`\d{2}`, []string{"42", "٤٢", "४२", "4٢"}, []string{"4", "4a", "²²"}},
		{`\D`, []string{"a", "²"}, []string{"1", "٤"}},
		{`\s+`, []string{" \t\n\r"}, []string{"\u00a0", "\u2003", "\v", "\f"}},
		{`\w+`, []string{"Ёж42+", "日本", "€"}, []string{"a-b", "a b", "_", "«»"}},
		{`\W`, []string{"-", " ", "_", "\u200B"}, []string{"a", "+"}},
		{`\i\c*`, []string{"a", "_x-1.2", "идентификатор", ":x"}, []string{"1a", "-a", "", "·a"}},
		{`\I`, []string{"1", "-", " "}, []string{"a", "_", "я"}},
		{`\C`, []string{" ", "/"}, []string{"-", ".", "9"}},
		{`\p{IsCyrillic}+`, []string{"Ёжик", "\u0400\u04FF"}, []string{"ёжik", "\u0500"}},
		{`\P{IsCyrillic}+`, []string{"hedgehog 日本"}, []string{"ж"}},
		{`\p{IsGreek}\p{IsGreekandCoptic}`, []string{"αβ"}, []string{"ab"}},
		{`\p{IsCyrillicSupplement}|\p{IsCyrillicSupplementary}`, []string{"\u0500"}, []string{"\u0400"}},
		{`\p{Lu}\p{Ll}*`, []string{"Петров", "Ivanov"}, []string{"петров", "ПЕТРОВ"}},
		{`\p{Cn}`, []string{"\u0378"}, []string{"a", "\ue000"}},
		{`\p{C}`, []string{"\u0378", "\ue000", "\u0001", "\u00ad"}, []string{"a", " "}},
		{`\p{Co}`, []string{"\ue000", "\U00100000"}, []string{"a"}},
		{`[a-z-[aeiou]]+`, []string{"xyz"}, []string{"xaz"}},
		{`[^a-z-[0-9]]+`, []string{"АБВ"}, []string{"a", "1"}}, // subtraction after negation
		{`[\p{L}-[\p{IsBasicLatin}-[x]]]+`, []string{"жx"}, []string{"жy"}},
		{`[a\-z]+`, []string{"a-z"}, []string{"b"}},
		{`[-a]+`, []string{"-a"}, []string{"b"}},
		{`[a-]+`, []string{"-a"}, []string{"b"}},
		{`[^-a]+`, []string{"b^"}, []string{"-", "a"}},
		{`[a^]+`, []string{"a^"}, []string{"b"}},
		{`[\[\]]+`, []string{"[]"}, []string{"\\"}},
		{`[.?*+(){}|$]+`, []string{".?*+(){}|$"}, []string{"a"}},
		{`[\d\s]+`, []string{"1 2"}, []string{"a"}},
		{`[\--/]+`, []string{"-./"}, []string{","}},
		{`[A-ЯЁ\-]+`, []string{"АБ-ВЁz"}, []string{"ё"}},
		{`\n\r\t\\\|\.\?\*\+\(\)\{\}\-\[\]\^`, []string{"\n\r\t\\|.?*+(){}-[]^"}, nil},
		{"\\!\\\"\\#\\$\\%\\,\\/\\:\\;\\=\\@\\`\\~", []string{"!\"#$%,/:;=@`~"}, nil}, // not in the grammar
		{`[\//]{2}`, []string{"//"}, []string{"\\/"}},
		{`a{0}`, []string{""}, []string{"a"}},
		{`a{2}`, []string{"aa"}, []string{"a", "aaa"}},
		{`a{2,}`, []string{"aa", "aaaaa"}, []string{"a"}},
		{`a{2,3}`, []string{"aa", "aaa"}, []string{"a", "aaaa"}},
		{`(ab){2,3}`, []string{"abab", "ababab"}, []string{"ab", "abababab"}},
		{`(a{2,3}){2}`, []string{"aaaa", "aaaaa", "aaaaaa"}, []string{"aaa", "aaaaaaa"}},
		{`(a{3}){1,2}`, []string{"aaa", "aaaaaa"}, []string{"aaaa", "aaaaa"}},
		{`(a{2}){0,2}`, []string{"", "aa", "aaaa"}, []string{"a", "aaa"}},
		{`(a{2,3})*`, []string{"", "aa", "aaa", "aaaa", "aaaaa"}, []string{"a"}},
		{`(a*)*b`, []string{"b", "aab"}, []string{"a"}},
		{`(a|b|){3}c`, []string{"c", "abc", "bbac"}, []string{"aaaac"}},
		{`.{3,5}`, []string{"при", "привет"[:10]}, []string{"пр", "привет"}},
		{`(.*,){2}x{3,70}`, []string{"a,,,xxx", ",," + strings.Repeat("x", 70)}, []string{",xxx", ",,xx", ",," + strings.Repeat("x", 71)}},
		{"𝒜[\U0001D400-\U0001D7FF]", []string{"𝒜𝒜"}, []string{"A𝒜"}},
	} {
		re, sim := mustCompile(t, c.pattern, Limits{}), simulated(t, c.pattern)
		if !re.Deterministic() {
			t.Errorf("%s: not deterministic", c.pattern)
		}
		for want, values := range map[bool][]string{true: c.yes, false: c.no} {
			for _, v := range values {
				if got := re.MatchString(v); got != want {
					t.Errorf("%s on %q: got %v, want %v", c.pattern, v, got, want)
				}
				if got := sim.MatchString(v); got != want {
					t.Errorf("%s on %q, simulated: got %v, want %v", c.pattern, v, got, want)
				}
			}
		}
	}
}

func TestInvalidTextNeverMatches(t *testing.T) {
	for _, pattern := range []string{".*", `[\p{C}\P{C}]*`, ".{1,100000}"} {
		for _, v := range []string{"\x80", "a\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xd0", "ж\xd0", "\xe2\x82"} {
			if mustCompile(t, pattern, Limits{}).MatchString(v) || simulated(t, pattern).MatchString(v) {
				t.Errorf("%s matches %q", pattern, v)
			}
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	for _, c := range []struct {
		pattern string
		code    Code
		offset  int
		args    string
	}{
		{"a\xff", CodeUTF8, 0, ""},
		{"*a", CodeNothingToRepeat, 0, "*"},
		{"a|+", CodeNothingToRepeat, 2, "+"},
		{"({2})", CodeNothingToRepeat, 1, "{"},
		{"ж*?", CodeDoubleQuantifier, 3, "?"},
		{"a{2}{3}", CodeDoubleQuantifier, 4, "{"},
		{"a{,2}", CodeQuantity, 1, ""},
		{"a{2", CodeQuantity, 1, ""},
		{"a{x}", CodeQuantity, 1, ""},
		{"a{3,2}", CodeQuantityOrder, 1, "3 2"},
		{"ab(c", CodeUnclosedGroup, 2, ""},
		{"ab)c", CodeUnopenedGroup, 2, ""},
		{"a(?:b)", CodeGroupExtension, 1, ""},
		{"a[bc", CodeUnclosedClass, 1, ""},
		{"[]", CodeEmptyClass, 0, ""},
		{"[^]", CodeEmptyClass, 0, ""},
		{"[a[b]]", CodeClassChar, 2, "["},
		{"[a-c-e]", CodeHyphen, 4, ""},
		{"[a--b]", CodeHyphen, 3, ""},
		{"[z-a]", CodeRangeOrder, 1, "z a"},
		{`[a-\d]`, CodeRangeEnd, 3, `\d`},
		{`[\w-z]`, CodeRangeEnd, 1, `\w`},
		{"[a-[b]c]", CodeSubtraction, 2, ""},
		{`a\q`, CodeEscape, 1, `\q`},
		{`a\_`, CodeEscape, 1, `\_`},
		{`a\<`, CodeEscape, 1, `\<`},
		{`a\`, CodeTrailingBackslash, 1, ""},
		{`\pL`, CodeProperty, 0, ""},
		{`\p{L`, CodeProperty, 0, ""},
		{`я\p{Cyrillic}`, CodeUnknownCategory, 2, "Cyrillic"},
		{`\p{Cs}`, CodeUnknownCategory, 0, "Cs"},
		{`\P{IsKlingon}`, CodeUnknownBlock, 0, "Klingon"},
		{"a]", CodeMetacharacter, 1, "]"},
		{"a}", CodeMetacharacter, 1, "}"},
	} {
		_, err := Compile(c.pattern, Limits{})
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%q: got %v, want a syntax error", c.pattern, err)
			continue
		}
		if args := strings.Join(syntax.Args, " "); syntax.Code != c.code || syntax.Offset != c.offset || args != c.args {
			t.Errorf("%q: got %s at %d (%s), want %s at %d (%s)", c.pattern, syntax.Code, syntax.Offset, args, c.code, c.offset, c.args)
		}
		for _, s := range []string{syntax.Error(), syntax.Russian()} {
			if s == "" || strings.Contains(s, "%!") {
				t.Errorf("%q: %s", c.pattern, s)
			}
		}
	}
}

// Hostile expressions are refused by name, or compiled; either way soon.
func TestBudgets(t *testing.T) {
	for _, c := range []struct{ pattern, limit string }{
		{strings.Repeat("a", 70000), "Length"},
		{strings.Repeat("(", 5000) + strings.Repeat(")", 5000), "Depth"},
		{strings.Repeat("[a-", 5000) + "b" + strings.Repeat("]", 5000), "Depth"},
		{`(ab){1,100000}`, "Positions"},
		{`(((a|bc){1000}){1000}){1000}`, "Positions"},
		{`(((ab?){99999}){99999}){99999}`, "Positions"},
		{`a{1,1000000000}`, ""},
		{`((a{1,1000}){1,1000}){1,1000}`, ""},
		{`(|||){1000000000}`, ""},
		{`(()*){99999999999999999999}`, ""},
		{`(a?){99999}`, ""},
		{`(a|b)*a(aa|bb){2000}`, ""},
		{`(x+x+)+y`, ""},
		{strings.Repeat(`(a?b?c?d?)`, 1000), ""},
		{strings.Repeat(`[\p{L}-[\p{Lu}-[A-Z]]]`, 2000), ""},
	} {
		var err error
		if took := cost.Of(func() { _, err = Compile(c.pattern, Limits{}) }); took > 200 {
			t.Errorf("%.30s: cost as much as %.0f MB through the gate", c.pattern, took)
		}
		var budget *BudgetError
		switch {
		case c.limit == "" && err != nil:
			t.Errorf("%.30s: %v", c.pattern, err)
		case c.limit != "" && (!errors.As(err, &budget) || budget.Limit != c.limit):
			t.Errorf("%.30s: got %v, want limit %s", c.pattern, err, c.limit)
		}
	}
}

// Counting is not limited by the size of an automaton.
func TestCounters(t *testing.T) {
	for _, c := range []struct {
		pattern string
		value   string
		want    bool
	}{
		{"a{100000}", strings.Repeat("a", 100000), true},
		{"a{100000}", strings.Repeat("a", 99999), false},
		{"xa{3,100000}y", "x" + strings.Repeat("a", 100000) + "y", true},
		{"xa{3,100000}y", "x" + strings.Repeat("a", 100001) + "y", false},
		{"xa{3,100000}y", "xaay", false},
		{"(x|a)*a{5000}", strings.Repeat("x", 100) + strings.Repeat("a", 5000), true},
		{"(x|a)*a{5000}", strings.Repeat("a", 9999), true},
		{"(x|a)*a{5000}", strings.Repeat("a", 4000) + "x" + strings.Repeat("a", 4999), false},
		{".*[0-9]{3000,}z", strings.Repeat("1", 3000) + "z", true},
		{".*[0-9]{3000,}z", strings.Repeat("1", 2999) + "z", false},
		{"([ab]{2,3000}c)*", strings.Repeat(strings.Repeat("a", 3000)+"c", 3), true},
		{"([ab]{2,3000}c)*", strings.Repeat("a", 3000) + "cac", false},
		{"(a{2000}|a{3000})*", strings.Repeat("a", 7000), true},
		{"(a{2000}|a{3000})*", strings.Repeat("a", 7001), false},
		{"(a{2000}|a{3000})*", strings.Repeat("a", 1000), false},
	} {
		if got := mustCompile(t, c.pattern, Limits{}).MatchString(c.value); got != c.want {
			t.Errorf("%s on %d bytes: got %v, want %v", c.pattern, len(c.value), got, c.want)
		}
		if got := simulated(t, c.pattern).MatchString(c.value); got != c.want {
			t.Errorf("%s on %d bytes, simulated: got %v, want %v", c.pattern, len(c.value), got, c.want)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	re := simulated(t, `(a|b)*a[ab]{500}`)
	good := []byte(strings.Repeat("ab", 300) + "a") // 500 characters behind an a
	bad := []byte(strings.Repeat("ab", 300))        // and behind a b
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if !re.Match(good) || re.Match(bad) {
					t.Error("wrong answer")
				}
			}
		})
	}
	wg.Wait()
}

func TestMatchDoesNotAllocate(t *testing.T) {
	for _, re := range []*Regexp{
		mustCompile(t, `\d{10}|\d{12}`, Limits{}),
		mustCompile(t, `.{1,100000}`, Limits{}),
		simulated(t, `(\d{10}|\d{12})`),
	} {
		if raceDetector && re.nfa != nil {
			continue
		}
		v := []byte("770708389300")
		if n := testing.AllocsPerRun(100, func() { re.Match(v) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", re, n)
		}
	}
}

// expression draws expressions that mean the same here and in Go.
func expression(depth int) *rapid.Generator[string] {
	atom := rapid.SampledFrom([]string{"a", "b", "ж", "-", "[ab]", "[^a]", "[a-cж]", `[\-b]`, `\.`, "[а-я]", `\p{Lu}`, `\P{L}`})
	return rapid.Custom(func(t *rapid.T) string {
		var s strings.Builder
		for i := range rapid.IntRange(1, 3).Draw(t, "branches") {
			if i > 0 {
				s.WriteByte('|')
			}
			for range rapid.IntRange(0, 3).Draw(t, "pieces") {
				if depth > 0 && rapid.Bool().Draw(t, "group") {
					s.WriteString("(" + expression(depth-1).Draw(t, "inner") + ")")
				} else {
					s.WriteString(atom.Draw(t, "atom"))
				}
				s.WriteString(rapid.SampledFrom([]string{"", "", "", "?", "*", "+", "{2}", "{0,2}", "{1,3}", "{2,}", "{3,4}"}).Draw(t, "quantifier"))
			}
		}
		return s.String()
	})
}

func TestAgreesWithGo(t *testing.T) {
	values := rapid.StringOfN(rapid.SampledFrom([]rune("abcжЖ-. ")), 0, 12, -1)
	rapid.Check(t, func(t *rapid.T) {
		pattern := expression(3).Draw(t, "pattern")
		theirs, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
		if err != nil {
			t.Skip(err) // nested counts beyond Go's thousand
		}
		ours, err := Compile(pattern, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", pattern, err)
		}
		tree, _ := parse(pattern, 200)
		counted := newNFA(newProgram(simplify(tree), false))
		for range 20 {
			v := values.Draw(t, "value")
			want := theirs.MatchString(v)
			if got := ours.MatchString(v); got != want {
				t.Fatalf("%s on %q: got %v, Go says %v", pattern, v, got, want)
			}
			if got := counted.match([]byte(v), nil); got != want {
				t.Fatalf("%s on %q, simulated: got %v, Go says %v", pattern, v, got, want)
			}
		}
	})
}

// goSyntax writes a parsed expression in Go's syntax, false when it has counts
// beyond what Go takes.
func goSyntax(n *node) (string, bool) {
	switch n.op {
	case opClass:
		if len(n.set) == 0 {
			return `[^\x{0}-\x{10FFFF}]`, true
		}
		var s strings.Builder
		for _, r := range n.set {
			fmt.Fprintf(&s, `\x{%x}-\x{%x}`, r.lo, r.hi)
		}
		return "[" + s.String() + "]", true
	case opConcat, opAlt:
		parts := make([]string, len(n.subs))
		for i, sub := range n.subs {
			var ok bool
			if parts[i], ok = goSyntax(sub); !ok {
				return "", false
			}
		}
		return "(?:" + strings.Join(parts, map[nodeOp]string{opConcat: "", opAlt: "|"}[n.op]) + ")", true
	case opRepeat:
		s, ok := goSyntax(n.subs[0])
		switch {
		case !ok || n.min > 1000 || n.max > 1000 && n.max != unbounded:
			return "", false
		case n.max == unbounded:
			return fmt.Sprintf("(?:%s){%d,}", s, n.min), true
		}
		return fmt.Sprintf("(?:%s){%d,%d}", s, n.min, n.max), true
	}
	return "(?:)", true
}

// FuzzMatch holds that what compiles decides as Go does where Go can, and the
// same whether determinised or simulated.
func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{"a|b*", "bbb"}, {`\d{2,3}[a-z-[aeiou]]`, "12x"}, {`(a{2,3}){2,5}\p{IsCyrillic}?`, "aaaaa"},
		{`[^\s\-]+`, "жж"}, {".*(ab|cd){3}", "ababab"}, {`\P{Lu}[\c-[:]]{0,4}`, "a:b"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, value string) {
		re, err := Compile(pattern, Limits{Length: 200, Positions: 2000, Depth: 30})
		if err != nil {
			return
		}
		tree, err := parse(pattern, 30)
		if err != nil {
			t.Fatalf("%q compiles but does not parse", pattern)
		}
		got := re.MatchString(value)
		theirs, translatable := goSyntax(tree)
		if got != newNFA(newProgram(simplify(tree), false)).match([]byte(value), nil) {
			t.Fatalf("%q on %q: determinised says %v, simulated does not", pattern, value, got)
		}
		if !utf8.ValidString(value) {
			if got {
				t.Fatalf("%q matches %q, which is not text", pattern, value)
			}
			return
		}
		if !translatable {
			return
		}
		if go1, err := regexp.Compile(`\A(?:` + theirs + `)\z`); err == nil && got != go1.MatchString(value) {
			t.Fatalf("%q on %q: got %v, Go says otherwise", pattern, value, got)
		}
	})
}
