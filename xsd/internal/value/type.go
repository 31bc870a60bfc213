package value

import (
	"fmt"
	"math"

	"mezhved/xsd/internal/xsdregex"
)

// Namespace is the namespace of the built-in types.
const Namespace = "http://www.w3.org/2001/XMLSchema"

// Name is the expanded name of a type; the zero Name is that of an anonymous one.
type Name struct{ Space, Local string }

// Variety is the variety of a simple type.
type Variety uint8

// Varieties. AnySimpleType alone has none of the three.
const (
	Absent Variety = iota
	Atomic
	List
	Union
)

// Primitive is the primitive type of an atomic type.
type Primitive uint8

// The 19 primitive types. AnySimple stands for the ur-type of simple types.
// Its values are compared as they are written, and are equal to none of a
// primitive type: which of their value spaces 1 would belong to is not said.
const (
	AnySimple Primitive = iota
	String
	Boolean
	Decimal
	Float
	Double
	Duration
	DateTime
	Time
	Date
	GYearMonth
	GYear
	GMonthDay
	GDay
	GMonth
	HexBinary
	Base64Binary
	AnyURI
	QName
	NOTATION
)

// Whitespace is the value of the whiteSpace facet.
type Whitespace uint8

// White space handling, from lax to strict.
const (
	Preserve Whitespace = iota
	Replace
	Collapse
)

// String returns the facet's value as a schema document has it.
func (w Whitespace) String() string { return [...]string{"preserve", "replace", "collapse"}[w] }

// Identity says that a value takes part in the document's identifiers.
type Identity uint8

// Identities of atomic types.
const (
	NoIdentity Identity = iota
	ID
	IDREF
	ENTITY
)

// lexis is a lexical rule that a built-in derived type adds to its primitive.
type lexis uint8

const (
	lexAny lexis = iota
	lexInteger
	lexLanguage
	lexNMTOKEN
	lexName
	lexNCName
)

// Type is a simple type, immutable once made, safe for concurrent use.
type Type struct {
	name      Name
	base      *Type // nil for anySimpleType
	variety   Variety
	primitive Primitive
	space     Whitespace
	lex       lexis
	identity  Identity
	builtin   bool
	item      *Type
	members   []*Type

	own   []FacetValue // stated in this step
	fixed uint16       // bit per FacetKind, inherited ones included

	// What holds, own and inherited. A limit has the type that states it.
	length, minLength, maxLength *count
	totalDigits, fractionDigits  *count
	lower, upper                 *bound // the tighter of inclusive and exclusive
	patterns                     []*patternStep
	enum                         *enumeration

	free bool // no facet but whiteSpace: the lexical check is all there is
}

// FacetValue is a facet as a restriction step states it.
type FacetValue struct {
	Kind  FacetKind
	Value string
	Fixed bool
}

// count is a facet whose value is a number.
type count struct {
	n       int // saturated at math.MaxInt
	literal string
	owner   *Type
}

// bound is one of the four bounding facets.
type bound struct {
	kind    FacetKind
	val     atom // refers to its own copy of the literal
	literal string
	owner   *Type
}

func (b *bound) inclusive() bool { return b.kind == MinInclusive || b.kind == MaxInclusive }

// patternStep is the patterns of one restriction step, alternatives of each other.
type patternStep struct {
	owner    *Type
	literals []string
	res      []*xsdregex.Regexp // one for all, or one each when together they would exceed the limits
}

func (p *patternStep) match(v []byte, steps *int) bool {
	for _, re := range p.res {
		if re.MatchWithin(v, steps) {
			return true
		}
	}
	return false
}

// enumeration is the allowed values of the step that last stated any; those
// are allowed by every step before, or it would not have been compiled.
type enumeration struct {
	owner    *Type
	literals []string            // in schema order, for messages
	plain    bool                // keys are the normalised literals themselves: compared as strings
	keys     map[string]struct{} // otherwise of AppendKey
	names    []Name              // QName and NOTATION: the values
}

// Name returns the type's name, zero for an anonymous type.
func (t *Type) Name() Name { return t.name }

// Display returns what a person calls the type: xs:date, its local name, or
// for an anonymous type a description by its nearest named base.
func (t *Type) Display() string {
	switch {
	case t == nil:
		return "(no type)"
	case t.name.Space == Namespace:
		return "xs:" + t.name.Local
	case t.name.Local != "":
		return t.name.Local
	case t.variety == List && t.base == anySimpleType:
		return "list of " + t.item.Display()
	case t.variety == Union && t.base == anySimpleType:
		return "anonymous union"
	}
	return "restriction of " + t.base.Display()
}

// Base returns the type this one is derived from, nil for anySimpleType; for
// lists and unions not derived by restriction it is anySimpleType.
func (t *Type) Base() *Type { return t.base }

// Variety returns the variety.
func (t *Type) Variety() Variety { return t.variety }

// Primitive returns the primitive type of an atomic type, AnySimple otherwise.
func (t *Type) Primitive() Primitive { return t.primitive }

// Item returns the item type of a list, nil otherwise.
func (t *Type) Item() *Type { return t.item }

// Members returns the member types of a union as given, nested unions not
// flattened. The slice is not to be changed.
func (t *Type) Members() []*Type { return t.members }

// Builtin reports whether the type is one of the standard's own.
func (t *Type) Builtin() bool { return t.builtin }

// Whitespace returns the white space handling. For a union it is that of the
// active member; Collapse is returned.
func (t *Type) Whitespace() Whitespace { return t.space }

// Facets returns the facets stated by this restriction step, in order. The
// slice is not to be changed.
func (t *Type) Facets() []FacetValue { return t.own }

// Fixed reports whether the facet is fixed, here or in a base.
func (t *Type) Fixed(k FacetKind) bool { return t.fixed>>k&1 != 0 }

// Effective returns the facet that holds for the type with its value and the
// type that states it; for Pattern and Enumeration, the nearest step's first.
func (t *Type) Effective(k FacetKind) (literal string, owner *Type, ok bool) {
	num := func(c *count) (string, *Type, bool) {
		if c == nil {
			return "", nil, false
		}
		return c.literal, c.owner, true
	}
	lim := func(b *bound) (string, *Type, bool) {
		if b == nil || b.kind != k {
			return "", nil, false
		}
		return b.literal, b.owner, true
	}
	switch k {
	case Length:
		return num(t.length)
	case MinLength:
		return num(t.minLength)
	case MaxLength:
		return num(t.maxLength)
	case TotalDigits:
		return num(t.totalDigits)
	case FractionDigits:
		return num(t.fractionDigits)
	case MinInclusive, MinExclusive:
		return lim(t.lower)
	case MaxInclusive, MaxExclusive:
		return lim(t.upper)
	case WhiteSpace:
		return t.space.String(), t, t.variety != Union
	case Pattern:
		if n := len(t.patterns); n > 0 {
			return t.patterns[n-1].literals[0], t.patterns[n-1].owner, true
		}
	case Enumeration:
		if t.enum != nil {
			return t.enum.literals[0], t.enum.owner, true
		}
	}
	return "", nil, false
}

// Allowed returns the values of the enumeration that holds, as the schema
// writes them, nil when there is none. The slice is not to be changed.
func (t *Type) Allowed() []string {
	if t.enum == nil {
		return nil
	}
	return t.enum.literals
}

// AllowedNames returns the expanded names of an enumeration of QName or
// NOTATION, in the order of Allowed; nil for other types.
func (t *Type) AllowedNames() []Name {
	if t.enum == nil {
		return nil
	}
	return t.enum.names
}

// Patterns returns the patterns of each restriction step that states any,
// from the base to the type: a value matches one of each.
func (t *Type) Patterns() [][]string {
	out := make([][]string, len(t.patterns))
	for i, p := range t.patterns {
		out[i] = p.literals
	}
	return out
}

// Derives reports whether t is base or derived from it by restriction, list
// or union in the sense of cos-st-derived-ok, finality aside: through base
// types, or because base is a union that has a type t derives from as member.
func (t *Type) Derives(base *Type) bool {
	for s := t; s != nil; s = s.base {
		if s == base {
			return true
		}
	}
	// A restriction of a union no longer takes all that its members take, but
	// the standard asks only for the variety.
	if base.variety == Union {
		for _, m := range base.members {
			if t.Derives(m) {
				return true
			}
		}
	}
	return false
}

// Identity returns whether values of an atomic type are IDs, IDREFs or
// ENTITY names. For lists and unions see MayIdentify and VisitIdentities.
func (t *Type) Identity() Identity { return t.identity }

// MayIdentify reports whether a value of the type can hold an ID, IDREF or
// ENTITY name, in itself, its items or its members.
func (t *Type) MayIdentify() bool {
	switch t.variety {
	case List:
		return t.item.MayIdentify()
	case Union:
		for _, m := range t.members {
			if m.MayIdentify() {
				return true
			}
		}
	}
	return t.identity != NoIdentity
}

// VisitIdentities calls visit for each ID, IDREF or ENTITY name in a value of
// the type, which must be valid. The name is valid only during the call.
func (t *Type) VisitIdentities(raw []byte, ctx *Context, visit func(Identity, []byte)) {
	switch t.variety {
	case Union:
		if m := t.active(raw, ctx); m != nil {
			m.VisitIdentities(raw, ctx, visit)
		}
	case List:
		for it := (fields{raw}); ; {
			item, ok := it.next()
			if !ok {
				return
			}
			t.item.VisitIdentities(item, ctx, visit)
		}
	default:
		if t.identity != NoIdentity {
			visit(t.identity, normalize(raw, t.space, &ctx.norm))
		}
	}
}

// VisitAtoms calls visit for each atomic value in a value of the type, which must be
// valid: the items of a list, and of a union what its active member makes of it. White
// space is as the type has it. The value is valid only during the call.
func (t *Type) VisitAtoms(raw []byte, ctx *Context, visit func([]byte)) {
	switch t.variety {
	case Union:
		if m := t.active(raw, ctx); m != nil {
			m.VisitAtoms(raw, ctx, visit)
		}
	case List:
		for it := (fields{raw}); ; {
			item, ok := it.next()
			if !ok {
				return
			}
			t.item.VisitAtoms(item, ctx, visit)
		}
	default:
		visit(normalize(raw, t.space, &ctx.norm))
	}
}

// Listed says that a value of the type may be a list.
func (t *Type) Listed() bool { return hasList(t) }

// ListOf returns a list type. An item type that is a list, or a union with a
// list among its members, is refused with a *TypeError.
func ListOf(name Name, item *Type) (*Type, error) {
	if item.variety == Absent || hasList(item) {
		return nil, &TypeError{Rule: RuleListOfAtomic, Type: item}
	}
	return &Type{name: name, base: anySimpleType, variety: List, space: Collapse, item: item, free: true}, nil
}

func hasList(t *Type) bool {
	if t.variety == List {
		return true
	}
	for _, m := range t.members {
		if hasList(m) {
			return true
		}
	}
	return false
}

// UnionOf returns a union type. A member that is anySimpleType, or no member
// at all, is refused with a *TypeError.
func UnionOf(name Name, members ...*Type) (*Type, error) {
	if len(members) == 0 {
		return nil, &TypeError{Rule: RuleUnionMembers}
	}
	for _, m := range members {
		if m.variety == Absent {
			return nil, &TypeError{Rule: RuleUnionMembers, Type: m}
		}
	}
	return &Type{name: name, base: anySimpleType, variety: Union, space: Collapse, members: members, free: true}, nil
}

// WithName returns a copy of the type under another name, for a schema
// component that is nothing but another type's definition.
func (t *Type) WithName(name Name) *Type {
	u := *t
	u.name = name
	return &u
}

var anySimpleType = &Type{name: Name{Namespace, "anySimpleType"}, builtin: true, free: true}

var builtins map[string]*Type

func init() { builtins = makeBuiltins() }

// BuiltinType returns the built-in type with that local name, nil if there is
// none: the 44 of Part 2 and anySimpleType.
func BuiltinType(local string) *Type { return builtins[local] }

// BuiltinNames returns the local names of all built-in types, in no order.
func BuiltinNames() []string {
	out := make([]string, 0, len(builtins))
	for n := range builtins {
		out = append(out, n)
	}
	return out
}

// makeBuiltins follows the hierarchy in Part 2, section 3.
func makeBuiltins() map[string]*Type {
	m := map[string]*Type{"anySimpleType": anySimpleType}
	for p, local := range []string{
		String: "string", Boolean: "boolean", Decimal: "decimal", Float: "float", Double: "double", Duration: "duration",
		DateTime: "dateTime", Time: "time", Date: "date", GYearMonth: "gYearMonth", GYear: "gYear", GMonthDay: "gMonthDay",
		GDay: "gDay", GMonth: "gMonth", HexBinary: "hexBinary", Base64Binary: "base64Binary", AnyURI: "anyURI", QName: "QName", NOTATION: "NOTATION",
	} {
		if local == "" {
			continue
		}
		t := &Type{name: Name{Namespace, local}, base: anySimpleType, variety: Atomic, primitive: Primitive(p), space: Collapse, builtin: true, free: true}
		if t.primitive == String {
			t.space = Preserve
		} else {
			t.fixed = 1 << WhiteSpace
		}
		m[local] = t
	}
	derive := func(local, base string, lex lexis, facets ...Facet) *Type {
		t, err := m[base].Restrict(Name{Namespace, local}, facets, Options{})
		if err != nil {
			panic(fmt.Sprintf("built-in type %s: %v", local, err))
		}
		t.builtin = true
		if lex != lexAny {
			t.lex = lex
		}
		m[local] = t
		return t
	}
	derive("normalizedString", "string", lexAny, Facet{Kind: WhiteSpace, Value: "replace"})
	derive("token", "normalizedString", lexAny, Facet{Kind: WhiteSpace, Value: "collapse"})
	derive("language", "token", lexLanguage)
	derive("NMTOKEN", "token", lexNMTOKEN)
	derive("Name", "token", lexName)
	derive("NCName", "Name", lexNCName)
	derive("ID", "NCName", lexAny).identity = ID
	derive("IDREF", "NCName", lexAny).identity = IDREF
	derive("ENTITY", "NCName", lexAny).identity = ENTITY
	for local, item := range map[string]string{"NMTOKENS": "NMTOKEN", "IDREFS": "IDREF", "ENTITIES": "ENTITY"} {
		list, err := ListOf(Name{}, m[item])
		if err != nil {
			panic(err)
		}
		m[local] = list
		derive(local, local, lexAny, Facet{Kind: MinLength, Value: "1"})
	}
	derive("integer", "decimal", lexInteger, Facet{Kind: FractionDigits, Value: "0", Fixed: true})
	bounded := func(local, base string, facets ...Facet) { derive(local, base, lexAny, facets...) }
	lo := func(v string) Facet { return Facet{Kind: MinInclusive, Value: v} }
	hi := func(v string) Facet { return Facet{Kind: MaxInclusive, Value: v} }
	bounded("nonPositiveInteger", "integer", hi("0"))
	bounded("negativeInteger", "nonPositiveInteger", hi("-1"))
	bounded("long", "integer", lo(fmt.Sprint(math.MinInt64)), hi(fmt.Sprint(math.MaxInt64)))
	bounded("int", "long", lo(fmt.Sprint(math.MinInt32)), hi(fmt.Sprint(math.MaxInt32)))
	bounded("short", "int", lo(fmt.Sprint(math.MinInt16)), hi(fmt.Sprint(math.MaxInt16)))
	bounded("byte", "short", lo(fmt.Sprint(math.MinInt8)), hi(fmt.Sprint(math.MaxInt8)))
	bounded("nonNegativeInteger", "integer", lo("0"))
	bounded("unsignedLong", "nonNegativeInteger", hi(fmt.Sprint(uint64(math.MaxUint64))))
	bounded("unsignedInt", "unsignedLong", hi(fmt.Sprint(math.MaxUint32)))
	bounded("unsignedShort", "unsignedInt", hi(fmt.Sprint(math.MaxUint16)))
	bounded("unsignedByte", "unsignedShort", hi(fmt.Sprint(math.MaxUint8)))
	bounded("positiveInteger", "nonNegativeInteger", lo("1"))
	return m
}
