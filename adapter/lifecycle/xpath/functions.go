package xpath

import (
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// core are the functions of XPath 1.0 that have a meaning here, and those of later
// versions that everybody looks for.
var core map[string]Function

func init() { // it names functions that look into it
	core = map[string]Function{
		"true":     constant(true),
		"false":    constant(false),
		"not":      {Min: 1, Max: 1, Exists: true, Call: func(_ *Context, a []Value) (Value, error) { return !Bool(a[0]), nil }},
		"boolean":  {Min: 1, Max: 1, Exists: true, Call: func(_ *Context, a []Value) (Value, error) { return Bool(a[0]), nil }},
		"exists":   {Min: 1, Max: 1, Exists: true, Call: func(_ *Context, a []Value) (Value, error) { return Bool(a[0]), nil }},
		"position": {Call: func(c *Context, _ []Value) (Value, error) { return Int(int64(c.Position)), nil }},
		"last":     {Call: func(c *Context, _ []Value) (Value, error) { return Int(int64(c.Last)), nil }},

		"count": {Min: 1, Max: 1, Exists: true, Call: func(_ *Context, a []Value) (Value, error) {
			n, err := nodes("count", a[0])
			return Int(int64(n.Len())), err
		}},
		"sum":     {Min: 1, Max: 1, Call: sum},
		"min":     {Min: 1, Max: -1, Call: extreme(-1)},
		"max":     {Min: 1, Max: -1, Call: extreme(1)},
		"avg":     {Min: 1, Max: 1, Call: average},
		"number":  {Max: 1, Call: func(c *Context, a []Value) (Value, error) { return AsNumber(given(c, a)), nil }},
		"abs":     rounded(func(r *big.Rat) *big.Rat { return new(big.Rat).Abs(r) }),
		"floor":   rounded(floor),
		"ceiling": rounded(func(r *big.Rat) *big.Rat { return new(big.Rat).Neg(floor(new(big.Rat).Neg(r))) }),
		"round":   {Min: 1, Max: 2, Call: round},
		"decimal": {Min: 2, Max: 2, Call: decimal},

		"string":     {Max: 1, Call: func(c *Context, a []Value) (Value, error) { return String(given(c, a)), nil }},
		"local-name": {Max: 1, Exists: true, Call: localName},
		"name":       {Max: 1, Exists: true, Call: localName},
		"concat": {Min: 2, Max: -1, Call: func(_ *Context, a []Value) (Value, error) {
			var b strings.Builder
			for _, v := range a {
				b.WriteString(String(v))
			}
			return b.String(), nil
		}},
		"string-join": {Min: 2, Max: 2, Call: func(_ *Context, a []Value) (Value, error) {
			n, err := nodes("string-join", a[0])
			return strings.Join(n.Strings(), String(a[1])), err
		}},
		"contains":         test(strings.Contains),
		"starts-with":      test(strings.HasPrefix),
		"ends-with":        test(strings.HasSuffix),
		"matches":          {Min: 2, Max: 2, Call: matches},
		"replace":          {Min: 3, Max: 3, Call: replace},
		"substring":        {Min: 2, Max: 3, Call: substring},
		"substring-before": part(func(s, sep string) string { before, _, found := strings.Cut(s, sep); return when(found, before) }),
		"substring-after":  part(func(s, sep string) string { _, after, found := strings.Cut(s, sep); return when(found, after) }),
		"string-length": {Max: 1, Call: func(c *Context, a []Value) (Value, error) {
			return Int(int64(utf8.RuneCountInString(String(given(c, a))))), nil
		}},
		"normalize-space": {Max: 1, Call: func(c *Context, a []Value) (Value, error) {
			return strings.Join(strings.Fields(String(given(c, a))), " "), nil
		}},
		"upper-case": {Min: 1, Max: 1, Call: func(_ *Context, a []Value) (Value, error) { return strings.ToUpper(String(a[0])), nil }},
		"lower-case": {Min: 1, Max: 1, Call: func(_ *Context, a []Value) (Value, error) { return strings.ToLower(String(a[0])), nil }},
		"translate":  {Min: 3, Max: 3, Call: translate},
		"in": {Min: 2, Max: -1, Call: func(_ *Context, a []Value) (Value, error) {
			return slices.ContainsFunc(a[1:], func(v Value) bool { return compareAny("=", a[0], v) }), nil
		}},
		"if": {Min: 3, Max: 3, Call: func(_ *Context, a []Value) (Value, error) {
			if Bool(a[0]) {
				return a[1], nil
			}
			return a[2], nil
		}},
	}
}

func constant(v Value) Function {
	return Function{Call: func(*Context, []Value) (Value, error) { return v, nil }}
}

func when(found bool, s string) string {
	if found {
		return s
	}
	return ""
}

// given is the argument, or the node that the expression is evaluated at.
func given(c *Context, a []Value) Value {
	if len(a) > 0 {
		return a[0]
	}
	return Nodes{[]item{{n: c.Node}}}
}

func nodes(function string, v Value) (Nodes, error) {
	n, ok := v.(Nodes)
	if !ok {
		return n, fmt.Errorf("%s() takes a path, not the value %q", function, String(v))
	}
	return n, nil
}

func numbers(function string, v Value) ([]*big.Rat, error) {
	n, ok := v.(Nodes)
	if !ok {
		return []*big.Rat{AsNumber(v).r}, nil
	}
	out := make([]*big.Rat, n.Len())
	for i, s := range n.Strings() {
		if out[i] = ParseNumber(s).r; out[i] == nil {
			return nil, fmt.Errorf("%s(): %q is no number", function, short(s))
		}
	}
	return out, nil
}

func short(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}

func sum(_ *Context, a []Value) (Value, error) {
	if _, err := nodes("sum", a[0]); err != nil {
		return nil, err
	}
	list, err := numbers("sum", a[0])
	total := new(big.Rat)
	for _, r := range list {
		total.Add(total, r)
	}
	return Number{total}, err
}

func average(_ *Context, a []Value) (Value, error) {
	list, err := numbers("avg", a[0])
	if len(list) == 0 || err != nil {
		return NaN, err
	}
	total := new(big.Rat)
	for _, r := range list {
		if r == nil {
			return NaN, nil
		}
		total.Add(total, r)
	}
	return Number{total.Quo(total, big.NewRat(int64(len(list)), 1))}, nil
}

func extreme(sign int) func(*Context, []Value) (Value, error) {
	return func(_ *Context, a []Value) (Value, error) {
		var best *big.Rat
		for _, v := range a {
			list, err := numbers("min or max", v)
			if err != nil {
				return nil, err
			}
			for _, r := range list {
				if r != nil && (best == nil || r.Cmp(best) == sign) {
					best = r
				}
			}
		}
		return Number{best}, nil
	}
}

func rounded(how func(*big.Rat) *big.Rat) Function {
	return Function{Min: 1, Max: 1, Call: func(_ *Context, a []Value) (Value, error) {
		r := AsNumber(a[0]).r
		if r == nil {
			return NaN, nil
		}
		return Number{how(r)}, nil
	}}
}

func floor(r *big.Rat) *big.Rat {
	q, m := new(big.Int).DivMod(r.Num(), r.Denom(), new(big.Int))
	_ = m // Euclid's: the quotient of a positive divisor goes downwards
	return new(big.Rat).SetInt(q)
}

const mostDigits = 30

func places(v Value) (int, error) {
	n := AsNumber(v).r
	if n == nil || !n.IsInt() || n.Sign() < 0 || n.Cmp(big.NewRat(mostDigits, 1)) > 0 {
		return 0, fmt.Errorf("a number of decimal places is 0 to %d, not %s", mostDigits, short(String(v)))
	}
	return int(n.Num().Int64()), nil
}

// round rounds halves away from zero, as money is.
func round(_ *Context, a []Value) (Value, error) {
	r := AsNumber(a[0]).r
	digits := 0
	if len(a) > 1 {
		var err error
		if digits, err = places(a[1]); err != nil {
			return nil, err
		}
	}
	if r == nil {
		return NaN, nil
	}
	return ParseNumber(r.FloatString(digits)), nil
}

// decimal writes a number with exactly so many places.
func decimal(_ *Context, a []Value) (Value, error) {
	digits, err := places(a[1])
	if err != nil {
		return nil, err
	}
	r := AsNumber(a[0]).r
	if r == nil {
		return nil, fmt.Errorf("decimal(): %q is no number", short(String(a[0])))
	}
	return r.FloatString(digits), nil
}

func localName(c *Context, a []Value) (Value, error) {
	n, err := nodes("local-name", given(c, a))
	if err != nil || n.Len() == 0 {
		return "", err
	}
	return n.items[0].name(), nil
}

func test(how func(s, part string) bool) Function {
	return Function{Min: 2, Max: 2, Call: func(_ *Context, a []Value) (Value, error) { return how(String(a[0]), String(a[1])), nil }}
}

func part(how func(s, sep string) string) Function {
	return Function{Min: 2, Max: 2, Call: func(_ *Context, a []Value) (Value, error) { return how(String(a[0]), String(a[1])), nil }}
}

// compiled are the patterns of expressions, which are few: they are in files.
var compiled sync.Map

func pattern(s string) (*regexp.Regexp, error) {
	if re, ok := compiled.Load(s); ok {
		return re.(*regexp.Regexp), nil
	}
	re, err := regexp.Compile(s)
	if err != nil {
		return nil, fmt.Errorf("the pattern %q: %w", short(s), err)
	}
	compiled.Store(s, re)
	return re, nil
}

func matches(_ *Context, a []Value) (Value, error) {
	re, err := pattern(String(a[1]))
	if err != nil {
		return nil, err
	}
	return re.MatchString(String(a[0])), nil
}

func replace(_ *Context, a []Value) (Value, error) {
	re, err := pattern(String(a[1]))
	if err != nil {
		return nil, err
	}
	return re.ReplaceAllString(String(a[0]), String(a[2])), nil
}

// substring counts letters from 1.
func substring(_ *Context, a []Value) (Value, error) {
	s := []rune(String(a[0]))
	bound := func(v Value) (int, error) {
		r := AsNumber(v).r
		if r == nil {
			return 0, errors.New("substring(): places are numbers")
		}
		whole := floor(new(big.Rat).Add(r, big.NewRat(1, 2))).Num()
		if !whole.IsInt64() || whole.Int64() > 1<<30 || whole.Int64() < -1<<30 {
			return 0, errors.New("substring(): places are letters of the text")
		}
		return int(whole.Int64()), nil
	}
	from, err := bound(a[1])
	if err != nil {
		return nil, err
	}
	end := len(s) + 1
	if len(a) > 2 {
		length, err := bound(a[2])
		if err != nil {
			return nil, err
		}
		end = from + length
	}
	from, end = max(from, 1), min(end, len(s)+1)
	if from >= end {
		return "", nil
	}
	return string(s[from-1 : end-1]), nil
}

func translate(_ *Context, a []Value) (Value, error) {
	from, to := []rune(String(a[1])), []rune(String(a[2]))
	return strings.Map(func(r rune) rune {
		i := slices.Index(from, r)
		switch {
		case i < 0:
			return r
		case i < len(to):
			return to[i]
		}
		return -1
	}, String(a[0])), nil
}
