package value

import (
	"encoding/binary"
	"strings"
)

// atom is a parsed atomic value; which part is set depends on the primitive.
// It refers to the literal.
type atom struct {
	dec    decimal
	at     instant
	dur    duration
	float  float64 // set by ctx.number, not by parse
	truth  bool
	octets int
	space  string // QName, NOTATION
	local  []byte
}

// fault is a Failure before anyone wants it: small enough to be overwritten
// each time a member of a union refuses.
type fault struct {
	rule   Rule
	typ    *Type
	facet  FacetKind
	limit  string
	reason Reason
	at     int
	actual int
	item   int
}

// Validate reports whether raw, the text of an element or attribute before
// white space normalisation, is valid. It returns nil when it is.
func (t *Type) Validate(raw []byte, ctx *Context) *Failure {
	if t.check(raw, ctx) {
		return nil
	}
	return t.failure(raw, ctx)
}

// failure turns ctx.fail, which t.check has left, into a Failure.
func (t *Type) failure(raw []byte, ctx *Context) *Failure {
	f := ctx.fail
	out := &Failure{Rule: f.rule, Type: f.typ, Facet: f.facet, Limit: f.limit, Actual: f.actual, Reason: f.reason, Offset: f.at, Item: f.item}
	switch f.facet {
	case Enumeration:
		all := f.typ.enum.literals
		out.Allowed, out.AllowedTotal = all[:min(len(all), MaxAllowed)], len(all)
	case Pattern:
		for _, p := range f.typ.patterns {
			if p.owner == f.typ {
				out.Limit = strings.Join(p.literals, "|")
			}
		}
	}
	if f.rule == RuleNoMember {
		text := raw
		if f.item > 0 {
			it := fields{raw}
			for range f.item {
				text, _ = it.next()
			}
		}
		for _, m := range f.typ.members {
			out.Members = append(out.Members, m.Validate(text, ctx))
		}
	}
	return out
}

// check is Validate without a Failure: false leaves the reason in ctx.fail.
func (t *Type) check(raw []byte, ctx *Context) bool {
	switch t.variety {
	case Atomic:
		v := raw
		if t.space != Preserve {
			v = normalize(raw, t.space, &ctx.norm)
		}
		if t.primitive != String || t.lex != lexAny {
			if r, at := t.parse(v, ctx); r != ReasonNone {
				ctx.fail = fault{rule: RuleLexical, typ: t, reason: r, at: at}
				return false
			}
		}
		ctx.Member = t
		return t.free || t.checkAtomicFacets(v, ctx)
	case List:
		return t.checkList(raw, ctx)
	case Union:
		return t.checkUnion(raw, ctx)
	}
	ctx.Member = t
	return true
}

// parse reads a normalised atomic value into ctx.val.
func (t *Type) parse(v []byte, ctx *Context) (r Reason, at int) {
	a := &ctx.val
	switch t.primitive {
	case String:
		switch t.lex {
		case lexAny:
		case lexLanguage:
			return checkLanguage(v)
		default:
			return checkName(v, t.lex)
		}
	case Boolean:
		switch string(v) {
		case "true", "1":
			a.truth = true
		case "false", "0":
			a.truth = false
		case "":
			return ReasonEmpty, 0
		default:
			return ReasonCharacter, 0
		}
	case Decimal:
		return parseDecimal(v, t.lex == lexInteger, &a.dec)
	case Float, Double:
		return checkFloat(v)
	case Duration:
		return parseDuration(v, &a.dur)
	case DateTime, Time, Date, GYearMonth, GYear, GMonthDay, GDay, GMonth:
		return parseInstant(v, t.primitive, &a.at)
	case HexBinary:
		a.octets, r, at = checkHex(v)
	case Base64Binary:
		a.octets, r, at = checkBase64(v)
	case AnyURI:
		return checkURI(v)
	case QName, NOTATION:
		var prefix []byte
		if prefix, a.local, r, at = splitQName(v); r != ReasonNone {
			return r, at
		}
		var ok bool
		if a.space, ok = ctx.resolve(prefix); !ok {
			return ReasonPrefix, 0
		}
	}
	return r, at
}

// number completes ctx.val for comparisons: floats are checked lexically only
// until their value matters.
func (ctx *Context) number(p Primitive, v []byte) {
	switch p {
	case Float:
		ctx.val.float = parseFloat(v, 32)
	case Double:
		ctx.val.float = parseFloat(v, 64)
	}
}

// compareAtoms compares two parsed values of an ordered primitive.
func compareAtoms(p Primitive, a, b *atom) Order {
	switch p {
	case Decimal:
		return Order(a.dec.compare(&b.dec))
	case Float, Double:
		return compareFloat(a.float, b.float)
	case Duration:
		return a.dur.compare(&b.dur)
	case DateTime, Time, Date, GYearMonth, GYear, GMonthDay, GDay, GMonth:
		return a.at.compare(&b.at)
	}
	return Incomparable
}

// checkAtomicFacets checks the facets of an atomic type against v, which has
// just been parsed.
func (t *Type) checkAtomicFacets(v []byte, ctx *Context) bool {
	if len(t.patterns) > 0 && !t.checkPatterns(v, ctx) {
		return false
	}
	if t.length != nil || t.minLength != nil || t.maxLength != nil {
		switch t.primitive {
		case HexBinary, Base64Binary:
			if !t.checkLength(ctx.val.octets, ctx) {
				return false
			}
		case QName, NOTATION: // every value has every length
		default:
			if !t.checkLength(characters(v), ctx) {
				return false
			}
		}
	}
	if t.totalDigits != nil || t.fractionDigits != nil {
		total, fraction := ctx.val.dec.digits()
		if c := t.totalDigits; c != nil && total > c.n {
			return ctx.exceeds(RuleTotalDigits, TotalDigits, c, total)
		}
		if c := t.fractionDigits; c != nil && fraction > c.n {
			return ctx.exceeds(RuleFracDigits, FractionDigits, c, fraction)
		}
	}
	if t.lower != nil || t.upper != nil {
		ctx.number(t.primitive, v)
		if b := t.lower; b != nil {
			if o := compareAtoms(t.primitive, &ctx.val, &b.val); o != Greater && (o != Equal || !b.inclusive()) {
				return ctx.outside(b)
			}
		}
		if b := t.upper; b != nil {
			if o := compareAtoms(t.primitive, &ctx.val, &b.val); o != Less && (o != Equal || !b.inclusive()) {
				return ctx.outside(b)
			}
		}
	}
	return t.enum == nil || t.checkEnumeration(t, v, ctx)
}

func (t *Type) checkPatterns(v []byte, ctx *Context) bool {
	for _, p := range t.patterns {
		if !p.match(v, ctx.Steps) {
			ctx.fail = fault{rule: RulePattern, typ: p.owner, facet: Pattern}
			return false
		}
	}
	return true
}

func (t *Type) checkLength(n int, ctx *Context) bool {
	if c := t.length; c != nil && n != c.n {
		return ctx.exceeds(RuleLength, Length, c, n)
	}
	if c := t.minLength; c != nil && n < c.n {
		return ctx.exceeds(RuleMinLength, MinLength, c, n)
	}
	if c := t.maxLength; c != nil && n > c.n {
		return ctx.exceeds(RuleMaxLength, MaxLength, c, n)
	}
	return true
}

func (ctx *Context) exceeds(rule Rule, k FacetKind, c *count, actual int) bool {
	ctx.fail = fault{rule: rule, typ: c.owner, facet: k, limit: c.literal, actual: actual}
	return false
}

var boundRules = [facetKinds]Rule{
	MinInclusive: RuleMinInclusive, MinExclusive: RuleMinExclusive, MaxInclusive: RuleMaxInclusive, MaxExclusive: RuleMaxExclusive,
}

func (ctx *Context) outside(b *bound) bool {
	ctx.fail = fault{rule: boundRules[b.kind], typ: b.owner, facet: b.kind, limit: b.literal}
	return false
}

// checkEnumeration looks up v, a normalised value of which active is the
// atomic or list type.
func (t *Type) checkEnumeration(active *Type, v []byte, ctx *Context) bool {
	var ok bool
	if t.enum.plain {
		_, ok = t.enum.keys[string(v)]
	} else {
		// The buffer is taken out while it is in use: the items of a list of
		// unions may look up enumerations themselves.
		buf := ctx.key
		ctx.key = nil
		buf, found := active.appendKey(buf[:0], v, ctx)
		ctx.key = buf
		if found {
			_, ok = t.enum.keys[string(buf)]
		}
	}
	if !ok {
		ctx.fail = fault{rule: RuleEnumeration, typ: t.enum.owner, facet: Enumeration}
	}
	return ok
}

func (t *Type) checkList(raw []byte, ctx *Context) bool {
	n := 0
	for it := (fields{raw}); ; {
		item, ok := it.next()
		if !ok {
			break
		}
		n++
		if !t.item.check(item, ctx) {
			ctx.fail.item = n
			return false
		}
	}
	ctx.Member = t
	if t.free {
		return true
	}
	if len(t.patterns) > 0 && !t.checkPatterns(normalize(raw, Collapse, &ctx.norm), ctx) {
		return false
	}
	if !t.checkLength(n, ctx) {
		return false
	}
	if t.enum != nil && !t.checkEnumeration(t, raw, ctx) {
		return false
	}
	ctx.Member = t
	return true
}

func (t *Type) checkUnion(raw []byte, ctx *Context) bool {
	for _, m := range t.members {
		if !m.check(raw, ctx) {
			continue
		}
		if t.free {
			return true
		}
		// The active member decides the white space handling and the value.
		active := ctx.Member
		v := normalize(raw, active.space, &ctx.norm)
		ok := t.checkPatterns(v, ctx) && (t.enum == nil || t.checkEnumeration(active, v, ctx))
		ctx.Member = active
		return ok
	}
	ctx.fail = fault{rule: RuleNoMember, typ: t}
	return false
}

// active returns the atomic or list type that takes a value of a union, nil
// when none does.
func (t *Type) active(raw []byte, ctx *Context) *Type {
	if !t.check(raw, ctx) {
		return nil
	}
	return ctx.Member
}

// AppendKey appends to dst a representation of the value of raw under which
// two values are equal exactly when their primitive types and values are:
// 1.0 and 1 of xs:decimal and types derived from it, lists item by item, a
// union's value as that of its active member. It is for identity constraints,
// fixed values and enumerations. It sets ctx.Member.
//
// Facets are not checked, but where the active member of a union depends on
// them; ok is false, with dst as it was, when raw is not even in the lexical
// space.
func (t *Type) AppendKey(dst, raw []byte, ctx *Context) (key []byte, ok bool) {
	n := len(dst)
	active := t
	if t.variety == Union {
		if active = t.active(raw, ctx); active == nil {
			return dst, false
		}
	}
	key, ok = active.appendKey(dst, raw, ctx)
	ctx.Member = active
	if !ok {
		return dst[:n], false
	}
	return key, true
}

// keyList marks the key of a list; other keys begin with their primitive.
const keyList = 0xFF

func (t *Type) appendKey(dst, raw []byte, ctx *Context) ([]byte, bool) {
	switch t.variety {
	case List:
		dst = append(dst, keyList)
		for it := (fields{raw}); ; {
			item, ok := it.next()
			if !ok {
				return dst, true
			}
			// Each item behind its length, in four bytes to be filled in afterwards.
			at := len(dst)
			dst = append(dst, 0, 0, 0, 0)
			if dst, ok = t.item.AppendKey(dst, item, ctx); !ok {
				return dst, false
			}
			binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
		}
	case Union:
		return t.AppendKey(dst, raw, ctx)
	case Absent:
		return append(append(dst, byte(AnySimple)), raw...), true
	}
	v := normalize(raw, t.space, &ctx.norm)
	if r, at := t.parse(v, ctx); r != ReasonNone {
		ctx.fail = fault{rule: RuleLexical, typ: t, reason: r, at: at}
		return dst, false
	}
	a := &ctx.val
	dst = append(dst, byte(t.primitive))
	switch t.primitive {
	case Boolean:
		if a.truth {
			return append(dst, 1), true
		}
		return append(dst, 0), true
	case Decimal:
		return a.dec.appendKey(dst), true
	case Float, Double:
		ctx.number(t.primitive, v)
		return appendFloatKey(dst, a.float), true
	case Duration:
		return a.dur.appendKey(dst), true
	case DateTime, Time, Date, GYearMonth, GYear, GMonthDay, GDay, GMonth:
		return a.at.appendKey(dst), true
	case HexBinary:
		return appendHex(dst, v), true
	case Base64Binary:
		return appendBase64(dst, v), true
	case QName, NOTATION:
		return append(append(append(dst, a.space...), 0), a.local...), true
	}
	return append(dst, v...), true
}

// Compare compares two values of an atomic type in its value space. Values of
// unordered types are Equal or Incomparable. ok is false when one of them is
// not in the lexical space.
func (t *Type) Compare(a, b []byte, ctx *Context) (o Order, ok bool) {
	switch t.primitive {
	case Decimal, Float, Double, Duration, DateTime, Time, Date, GYearMonth, GYear, GMonthDay, GDay, GMonth:
		var norm []byte
		va := normalize(a, t.space, &norm)
		if r, _ := t.parse(va, ctx); r != ReasonNone {
			return Incomparable, false
		}
		ctx.number(t.primitive, va)
		first := ctx.val
		vb := normalize(b, t.space, &ctx.norm)
		if r, _ := t.parse(vb, ctx); r != ReasonNone {
			return Incomparable, false
		}
		ctx.number(t.primitive, vb)
		return compareAtoms(t.primitive, &first, &ctx.val), true
	}
	ka, ok := t.AppendKey(nil, a, ctx)
	if !ok {
		return Incomparable, false
	}
	kb, ok := t.AppendKey(nil, b, ctx)
	switch {
	case !ok:
		return Incomparable, false
	case string(ka) == string(kb):
		return Equal, true
	}
	return Incomparable, true
}
