package value

import (
	"math"
	"strings"

	"mezhved/xsd/internal/xsdregex"
)

func set(kinds ...FacetKind) (m uint16) {
	for _, k := range kinds {
		m |= 1 << k
	}
	return m
}

var (
	lengthFacets = set(Length, MinLength, MaxLength, Pattern, Enumeration, WhiteSpace)
	boundFacets  = set(Pattern, Enumeration, WhiteSpace, MaxInclusive, MaxExclusive, MinExclusive, MinInclusive)
	unionFacets  = set(Pattern, Enumeration)
)

// applicable is the table of section 4.1.5.
func applicable(t *Type) uint16 {
	switch t.variety {
	case List:
		return lengthFacets
	case Union:
		return unionFacets
	}
	switch t.primitive {
	case Boolean:
		return set(Pattern, WhiteSpace)
	case Decimal:
		return boundFacets | set(TotalDigits, FractionDigits)
	case Float, Double, Duration, DateTime, Time, Date, GYearMonth, GYear, GMonthDay, GDay, GMonth:
		return boundFacets
	}
	return lengthFacets
}

// restriction is one restriction step in the making.
type restriction struct {
	t, base  *Type
	facets   []Facet
	opts     Options
	ctx      Context
	errs     FacetErrors
	at       [facetKinds]int // index of the facet of each single kind, -1 if there is none
	patterns []int
	enum     []int
}

// Restrict derives a type by restriction. The facets are those of the step in
// document order. The error is FacetErrors with all faults of the step.
//
// A simple type cannot restrict anySimpleType (cos-st-restricts.1.1), but a
// complex type can, where that is its content: without facets it is restricted
// to itself, with facets the error is a *TypeError.
func (t *Type) Restrict(name Name, facets []Facet, opts Options) (*Type, error) {
	if t.variety == Absent && len(facets) > 0 {
		return nil, &TypeError{Rule: RuleRestrictBase, Type: t}
	}
	u := *t
	u.name, u.base, u.builtin, u.own = name, t, false, nil
	r := &restriction{t: &u, base: t, facets: facets, opts: opts}
	r.sort()
	r.whiteSpace()
	r.lengths()
	r.digits()
	r.bounds()
	r.pattern()
	r.enumeration()
	if len(r.errs) > 0 {
		return nil, r.errs
	}
	return r.t, nil
}

func (r *restriction) step(bytes int) {
	if r.opts.Step != nil {
		r.opts.Step(bytes)
	}
}

func (r *restriction) fail(rule Rule, i int) *FacetError {
	e := &FacetError{Rule: rule, Index: i, Base: r.base}
	if i >= 0 {
		e.Kind, e.Value = r.facets[i].Kind, r.facets[i].Value
	}
	r.errs = append(r.errs, e)
	return e
}

func (r *restriction) conflict(rule Rule, i int, other FacetKind, value string) {
	e := r.fail(rule, i)
	e.Other, e.OtherValue = other, value
}

// clash is a conflict of two facets of the type, one of them or both stated in
// this step: it is shown at the later one of those and names the other.
func (r *restriction) clash(rule Rule, a FacetKind, aValue string, b FacetKind, bValue string) {
	if r.at[b] > r.at[a] {
		a, b, bValue = b, a, aValue
	}
	r.conflict(rule, r.at[a], b, bValue)
}

// sort finds the facets of each kind and refuses those that do not apply or
// are stated twice.
func (r *restriction) sort() {
	for k := range r.at {
		r.at[k] = -1
	}
	allowed := applicable(r.base)
	for i, f := range r.facets {
		switch {
		case allowed>>f.Kind&1 == 0:
			r.fail(RuleApplicable, i)
			continue
		case f.Kind == Pattern:
			r.patterns = append(r.patterns, i)
		case f.Kind == Enumeration:
			r.enum = append(r.enum, i)
		case r.at[f.Kind] >= 0:
			r.conflict(RuleSingleFacet, i, f.Kind, r.facets[r.at[f.Kind]].Value)
			continue
		default:
			r.at[f.Kind] = i
			if f.Fixed {
				r.t.fixed |= 1 << f.Kind
			}
		}
		if f.Kind != WhiteSpace {
			r.t.free = false
		}
		r.t.own = append(r.t.own, FacetValue{f.Kind, f.Value, f.Fixed})
	}
}

func (r *restriction) whiteSpace() {
	i := r.at[WhiteSpace]
	if i < 0 {
		return
	}
	var w Whitespace
	switch f := r.facets[i]; string(normalize([]byte(f.Value), Collapse, &r.ctx.norm)) {
	case "preserve":
		w = Preserve
	case "replace":
		w = Replace
	case "collapse":
		w = Collapse
	default:
		r.fail(RuleEnumeration, i)
		return
	}
	switch {
	case w < r.base.space:
		r.conflict(RuleWhiteSpaceRestr, i, WhiteSpace, r.base.space.String())
	case w != r.base.space && r.base.Fixed(WhiteSpace):
		r.conflict(RuleFixedFacet, i, WhiteSpace, r.base.space.String())
	}
	r.t.space = w
}

// count reads a facet whose value is a non-negative integer, nil when it is
// not stated or not one.
func (r *restriction) count(k FacetKind, least int) *count {
	i := r.at[k]
	if i < 0 {
		return nil
	}
	v := normalize([]byte(r.facets[i].Value), Collapse, &r.ctx.norm)
	var d decimal
	reason, at := parseDecimal(v, true, &d)
	if reason == ReasonNone && (d.neg || least > 0 && len(d.int) == 0) {
		reason = ReasonDigits
	}
	if reason != ReasonNone {
		name := "nonNegativeInteger"
		if least > 0 {
			name = "positiveInteger"
		}
		r.fail(RuleLexical, i).Cause = &Failure{Rule: RuleLexical, Type: builtins[name], Reason: reason, Offset: at}
		return nil
	}
	c := &count{literal: string(v), owner: r.t}
	for _, digit := range d.int {
		if c.n > (math.MaxInt-9)/10 {
			c.n = math.MaxInt
			break
		}
		c.n = c.n*10 + int(digit-'0')
	}
	return c
}

// narrow puts a stated count in the place of the inherited one, after a look
// at what the inherited one allows.
func (r *restriction) narrow(k FacetKind, place **count, stated *count, rule Rule, allows func(stated, inherited int) bool) {
	if stated == nil {
		return
	}
	if old := *place; old != nil {
		switch {
		case !allows(stated.n, old.n):
			r.conflict(rule, r.at[k], k, old.literal)
		case stated.n != old.n && r.base.Fixed(k):
			r.conflict(RuleFixedFacet, r.at[k], k, old.literal)
		}
	}
	*place = stated
}

func equal(stated, inherited int) bool   { return stated == inherited }
func atLeast(stated, inherited int) bool { return stated >= inherited }
func atMost(stated, inherited int) bool  { return stated <= inherited }

func (r *restriction) lengths() {
	length, least, most := r.count(Length, 0), r.count(MinLength, 0), r.count(MaxLength, 0)
	t := r.t
	r.narrow(Length, &t.length, length, RuleLengthRestr, equal)
	r.narrow(MinLength, &t.minLength, least, RuleMinLengthRestr, atLeast)
	r.narrow(MaxLength, &t.maxLength, most, RuleMaxLengthRestr, atMost)
	if length == nil && least == nil && most == nil {
		return
	}
	if l, m := t.length, t.minLength; l != nil && m != nil && (m.n > l.n || !r.statedBefore(m.n, func(b *Type) *count { return b.minLength })) {
		r.clash(RuleLengthAndMinMax, Length, l.literal, MinLength, m.literal)
	}
	if l, m := t.length, t.maxLength; l != nil && m != nil && (m.n < l.n || !r.statedBefore(m.n, func(b *Type) *count { return b.maxLength })) {
		r.clash(RuleLengthAndMinMax, Length, l.literal, MaxLength, m.literal)
	}
	if a, b := t.minLength, t.maxLength; a != nil && b != nil && a.n > b.n {
		r.clash(RuleMinLEMaxLength, MinLength, a.literal, MaxLength, b.literal)
	}
}

// statedBefore reports whether a base has that minLength or maxLength and no
// length, which is when both may stand together (section 4.3.1.4).
func (r *restriction) statedBefore(n int, facet func(*Type) *count) bool {
	for b := r.base; b != nil; b = b.base {
		if c := facet(b); c != nil && c.n == n && b.length == nil {
			return true
		}
	}
	return false
}

func (r *restriction) digits() {
	total, fraction := r.count(TotalDigits, 1), r.count(FractionDigits, 0)
	t := r.t
	r.narrow(TotalDigits, &t.totalDigits, total, RuleTotalDigitsRestr, atMost)
	r.narrow(FractionDigits, &t.fractionDigits, fraction, RuleFracDigitsRestr, atMost)
	if (total != nil || fraction != nil) && t.totalDigits != nil && t.fractionDigits != nil && t.fractionDigits.n > t.totalDigits.n {
		r.clash(RuleFracLETotalDigits, TotalDigits, t.totalDigits.literal, FractionDigits, t.fractionDigits.literal)
	}
}

var boundRestrictionRules = [facetKinds]Rule{
	MinInclusive: RuleMinInclusiveRestr, MinExclusive: RuleMinExclusiveRestr,
	MaxInclusive: RuleMaxInclusiveRestr, MaxExclusive: RuleMaxExclusiveRestr,
}

func (r *restriction) bounds() {
	both := func(in, ex FacetKind, rule Rule) bool {
		if r.at[in] >= 0 && r.at[ex] >= 0 {
			r.clash(rule, in, r.facets[r.at[in]].Value, ex, r.facets[r.at[ex]].Value)
			return true
		}
		return false
	}
	if both(MinInclusive, MinExclusive, RuleMinInclAndExcl) || both(MaxInclusive, MaxExclusive, RuleMaxInclAndExcl) {
		return
	}
	stated := false
	for _, k := range [...]FacetKind{MinInclusive, MinExclusive, MaxInclusive, MaxExclusive} {
		place := &r.t.lower
		if k == MaxInclusive || k == MaxExclusive {
			place = &r.t.upper
		}
		if b := r.bound(k, *place); b != nil {
			*place = b
			stated = true
		}
	}
	lo, hi := r.t.lower, r.t.upper
	if !stated || lo == nil || hi == nil {
		return
	}
	o := compareAtoms(r.base.primitive, &lo.val, &hi.val)
	rule := RuleMinInclLEMaxIncl
	bad := o == Greater
	switch {
	case lo.inclusive() && !hi.inclusive():
		rule, bad = RuleMinInclLTMaxExcl, bad || o == Equal
	case !lo.inclusive() && hi.inclusive():
		rule, bad = RuleMinExclLTMaxIncl, bad || o == Equal
	case !lo.inclusive():
		rule = RuleMinExclLEMaxExcl
	}
	if bad {
		r.clash(rule, lo.kind, lo.literal, hi.kind, hi.literal)
	}
}

// bound reads a bounding facet, nil when it is not stated or not allowed by
// the base. It must be a value of the base; an exclusive bound may also be the
// same as the base's.
func (r *restriction) bound(k FacetKind, old *bound) *bound {
	i := r.at[k]
	if i < 0 {
		return nil
	}
	b := &bound{kind: k, owner: r.t}
	var buf []byte
	v := []byte(string(normalize([]byte(r.facets[i].Value), r.base.space, &buf)))
	b.literal = string(v)
	if reason, at := r.base.parse(v, &r.ctx); reason != ReasonNone {
		r.fail(boundRestrictionRules[k], i).Cause = &Failure{Rule: RuleLexical, Type: r.base, Reason: reason, Offset: at}
		return nil
	}
	r.ctx.number(r.base.primitive, v)
	b.val = r.ctx.val
	if old != nil && old.kind == k {
		same := compareAtoms(r.base.primitive, &b.val, &old.val) == Equal
		if r.base.Fixed(k) && !same {
			r.conflict(RuleFixedFacet, i, k, old.literal)
			return nil
		}
		if same && !b.inclusive() {
			return b
		}
	}
	if !r.base.check(v, &r.ctx) {
		e := r.fail(boundRestrictionRules[k], i)
		e.Cause = r.base.failure(v, &r.ctx)
		e.Other, e.OtherValue = e.Cause.Facet, e.Cause.Limit
		return nil
	}
	return b
}

func (r *restriction) pattern() {
	step := &patternStep{owner: r.t}
	for _, i := range r.patterns {
		literal := r.facets[i].Value
		r.step(0)
		re, err := xsdregex.Compile(literal, r.opts.Regex)
		if err != nil {
			r.fail(RulePatternSyntax, i).Err = err
			continue
		}
		r.step(re.Size())
		step.literals = append(step.literals, literal)
		step.res = append(step.res, re)
	}
	if len(step.res) == 0 {
		return
	}
	if len(step.res) > 1 {
		// Alternatives of one step are one expression, if it stays deterministic.
		re, err := xsdregex.Compile(strings.Join(step.literals, "|"), r.opts.Regex)
		if err == nil && re.Deterministic() {
			step.res = []*xsdregex.Regexp{re}
		}
	}
	r.t.patterns = append(r.base.patterns[:len(r.base.patterns):len(r.base.patterns)], step)
}

func (r *restriction) enumeration() {
	if len(r.enum) == 0 {
		return
	}
	e := &enumeration{owner: r.t, keys: make(map[string]struct{}, len(r.enum))}
	e.plain = r.base.variety == Atomic && (r.base.primitive == String || r.base.primitive == AnyURI)
	for _, i := range r.enum {
		f := r.facets[i]
		raw := []byte(f.Value)
		r.step(0)
		r.ctx.Namespaces = f.Namespaces
		if !r.base.check(raw, &r.ctx) {
			r.fail(RuleEnumRestriction, i).Cause = r.base.failure(raw, &r.ctx)
			continue
		}
		e.literals = append(e.literals, f.Value)
		if e.plain {
			e.keys[string(normalize(raw, r.base.space, &r.ctx.norm))] = struct{}{}
			continue
		}
		key, ok := r.base.AppendKey(nil, raw, &r.ctx)
		if !ok {
			panic("value: a valid value without a key")
		}
		e.keys[string(key)] = struct{}{}
		if p := r.base.primitive; p == QName || p == NOTATION {
			e.names = append(e.names, Name{r.ctx.val.space, string(r.ctx.val.local)})
		}
	}
	r.ctx.Namespaces = nil
	r.t.enum = e
}
