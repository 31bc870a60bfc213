package xsd

import (
	"fmt"
	"strings"

	"mezhved/envelopes/xmltape"
	"mezhved/xsd/internal/value"
)

// maxExpected is how many allowed names or values a violation lists.
const maxExpected = 20

func quote(b []byte) string {
	if len(b) > 8*maxQuoted {
		b = b[:8*maxQuoted]
	}
	return quoteString(string(b))
}

// report makes a violation at a token. Both texts take the same arguments.
func (v *Validator) report(token int32, rule, found string, expected []string, ru, en string, args ...any) {
	at := token
	for at > v.root && v.tokens[at].Kind != xmltape.Start {
		if v.tokens[at].Kind == xmltape.End {
			at = v.tokens[at].Match
			break
		}
		at-- // text: the element that holds it
		if v.tokens[at].Kind == xmltape.End {
			at = v.tokens[at].Match - 1
		}
	}
	v.add(int(v.tokens[token].Off), v.path(at), rule, found, expected, ru, en, args...)
}

// reportAttr makes a violation at an attribute.
func (v *Validator) reportAttr(token int32, a *xmltape.Attr, rule, found string, expected []string, ru, en string, args ...any) {
	v.add(int(a.Off), v.path(token)+"/@"+v.attrNameAt(a), rule, found, expected, ru, en, args...)
}

func (v *Validator) path(token int32) string {
	if v.more {
		return ""
	}
	return escapePath(v.tape.NodeAt(int(token)).XPath())
}

// escapePath makes a path harmless without shortening it beyond recognition.
func escapePath(p string) string {
	parts := strings.Split(p, "/")
	for i, s := range parts {
		parts[i] = quoteName(s)
		if s == "" {
			parts[i] = ""
		}
	}
	return strings.Join(parts, "/")
}

func (v *Validator) add(off int, path, rule, found string, expected []string, ru, en string, args ...any) {
	if len(v.violations) >= v.maxViolations() {
		v.more = true
		return
	}
	line, col := v.tape.Position(off)
	v.violations = append(v.violations, Violation{Rule: rule, Offset: off, Line: line, Col: col, XPath: path, Found: found, Expected: expected,
		ru: fmt.Sprintf(ru, args...), en: fmt.Sprintf(en, args...)})
}

// nameAt is the name of an element as written.
func (v *Validator) nameAt(token int32) string {
	tok := &v.tokens[token]
	return quoteName(string(v.tape.Source()[tok.Off+1 : tok.Off+1+uint32(tok.NameLen)]))
}

func (v *Validator) attrNameAt(a *xmltape.Attr) string {
	return quoteName(string(v.tape.Source()[a.Off : a.Off+uint32(a.NameLen)]))
}

// unexpected reports a child that the content model does not allow here.
func (v *Validator) unexpected(i int32, f *frame, col int32) {
	expected := v.expected(f)
	name := v.nameAt(i)
	parent := v.nameAt(f.tok)
	if col >= 0 && f.model.syms[col] < 0 {
		col = -1
	}
	hint, hintEn := "", ""
	if want := v.otherNamespace(i, f); want != "" {
		hint, hintEn = "; имя верно, но пространство имён должно быть "+want, "; the name is right but its namespace must be "+want
	}
	switch {
	case len(expected) == 0:
		v.report(i, "cvc-complex-type.2.4.d", name, nil, "элемент %[1]s лишний: содержимое %[2]s уже полно%[3]s%.0[4]s", "element %[1]s is one too many: the content of %[2]s is complete already%.0[3]s%[4]s", name, parent, hint, hintEn)
	default:
		v.report(i, "cvc-complex-type.2.4.a", name, expected, "элемент %[1]s не может стоять здесь внутри %[2]s; ожидается: %[3]s%[4]s%.0[5]s", "element %[1]s may not stand here inside %[2]s; expected: %[3]s%.0[4]s%[5]s",
			name, parent, joinNames(expected), hint, hintEn)
	}
}

// unknownRoot reports a root that the schema does not declare. Senders who take
// another version of a schema get the namespace wrong and nothing else: those
// names come first.
func (v *Validator) unknownRoot() {
	tok := &v.tokens[v.root]
	local := string(v.tape.Local(tok.Name))
	space := string(v.tape.SpaceURI(v.tape.Space(tok.Name)))
	var same, others []string
	for _, e := range v.s.elements {
		switch {
		case e == nil || e.abstract:
		case e.name.local == local && len(same) < maxExpected:
			same = append(same, e.name.String())
		case len(others) < maxExpected:
			others = append(others, e.name.String())
		}
	}
	expected := same
	if len(same) == 0 {
		expected = others
	}
	v.report(v.root, "cvc-elt.1", quoteName(qname{space, local}.String()), expected,
		"корневой элемент %[1]s (пространство имён %[2]s) в схеме не объявлен; объявлены: %[3]s", "root element %[1]s (namespace %[2]s) is not declared in the schema; declared are: %[3]s",
		v.nameAt(v.root), quoteString(space), joinNames(expected))
}

// otherNamespace is the namespace in which the name of a child would be
// expected, when only its namespace is wrong: the commonest mistake of senders.
func (v *Validator) otherNamespace(i int32, f *frame) string {
	tok := &v.tokens[i]
	local := string(v.tape.Local(tok.Name))
	space := string(v.tape.SpaceURI(v.tape.Space(tok.Name)))
	for _, n := range f.model.names {
		if n.local == local && n.space != space {
			if n.space == "" {
				return `""`
			}
			return quoteString(n.space)
		}
	}
	return ""
}

// incomplete reports content that ends too early.
func (v *Validator) incomplete(i int32, f *frame) {
	expected := v.expected(f)
	if len(expected) == 0 { // a choice of nothing: the schema's doing
		v.report(i, "cvc-complex-type.2.4.b", "", nil, "содержимое элемента %[1]s по схеме не может быть полным: выбирать не из чего", "by the schema the content of element %[1]s can never be complete: there is nothing to choose from", v.nameAt(f.tok))
		return
	}
	v.report(i, "cvc-complex-type.2.4.b", "", expected, "содержимое элемента %[1]s не полно; ожидается: %[2]s", "the content of element %[1]s is not complete; expected: %[2]s", v.nameAt(f.tok), joinNames(expected))
}

func joinNames(names []string) string {
	return strings.Join(names, ", ")
}

// expected lists the names that the open element allows next.
func (v *Validator) expected(f *frame) []string {
	m := f.model
	var out []string
	for col := range m.names {
		if len(out) == maxExpected {
			return append(out, "...")
		}
		if m.isAll {
			if v.counts[f.counts+m.slots[col]] != 0 {
				continue
			}
		} else {
			tr := m.rows[f.state*m.width+int32(col)]
			if tr.next == noWay {
				continue
			}
			if tr.next < noWay {
				any := false
				for _, g := range m.guarded[-tr.next-2] {
					any = any || open(m, v.counts[f.counts:], g.ops)
				}
				if !any {
					continue
				}
			}
		}
		if name := m.columnName(col); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// columnName says what a column stands for; "" for an abstract element, which
// nobody can write.
func (m *model) columnName(col int) string {
	if n := m.names[col]; n.local != "" {
		if m.hidden[col] {
			return ""
		}
		return n.String()
	}
	if int32(col) == m.other {
		return "{*}*"
	}
	for _, s := range m.spaces {
		if int(s.column) == col {
			return "{" + s.space + "}*"
		}
	}
	return "*"
}

// badValue reports the value of an element that its type refuses.
func (v *Validator) badValue(i int32, raw []byte, f *value.Failure) {
	at := i
	if v.tokens[i].Match > i+1 {
		at = i + 1
	}
	if v.steps < 0 {
		v.exhausted(int(v.tokens[at].Off), i)
		return
	}
	ru, en := describe(f)
	v.add(int(v.tokens[at].Off), v.path(i), string(f.Rule), quote(raw), allowed(f), "значение %[1]s элемента %[2]s не годится: %[3]s%.0[4]s", "value %[1]s of element %[2]s is not valid: %.0[3]s%[4]s",
		quote(raw), v.nameAt(i), ru, en)
}

func (v *Validator) badAttribute(i int32, a *xmltape.Attr, raw []byte, f *value.Failure) {
	if v.steps < 0 {
		v.exhausted(int(a.ValOff), i)
		return
	}
	ru, en := describe(f)
	v.add(int(a.ValOff), v.path(i)+"/@"+v.attrNameAt(a), string(f.Rule), quote(raw), allowed(f), "значение %[1]s атрибута %[2]s не годится: %[3]s%.0[4]s", "value %[1]s of attribute %[2]s is not valid: %.0[3]s%[4]s",
		quote(raw), v.attrNameAt(a), ru, en)
}

// exhausted ends the check at a value of an element: its patterns take too long.
func (v *Validator) exhausted(off int, element int32) {
	v.add(off, v.path(element), "limit-patterns", "", nil, "проверка значений документа по шаблонам (pattern) слишком долга; прервана на элементе %[1]s", "to hold the values of the document against their patterns takes too long; it was ended at element %[1]s", v.nameAt(element))
	v.more = true
}

func allowed(f *value.Failure) []string {
	if f.AllowedTotal > len(f.Allowed) {
		return append(append([]string{}, f.Allowed...), "...")
	}
	return f.Allowed
}

// describe says why a value is refused. Types, facets and limits come from the
// schema, which is trusted more than the document but shortened all the same.
func describe(f *value.Failure) (ru, en string) {
	typ := f.Type.Display()
	limit := quoteString(f.Limit)
	if f.Item > 0 {
		defer func() {
			ru, en = fmt.Sprintf("элемент списка %d: %s", f.Item, ru), fmt.Sprintf("list item %d: %s", f.Item, en)
		}()
	}
	switch f.Facet {
	case value.Enumeration:
		values := joinNames(allowed(f))
		return "допустимо только: " + values, "allowed are only: " + values
	case value.Pattern:
		return "нужен вид " + limit, "it must match " + limit
	case value.Length:
		return fmt.Sprintf("длина %d, а нужна %s", f.Actual, f.Limit), fmt.Sprintf("length %d where %s is needed", f.Actual, f.Limit)
	case value.MinLength:
		return fmt.Sprintf("длина %d меньше наименьшей %s", f.Actual, f.Limit), fmt.Sprintf("length %d is below the least, %s", f.Actual, f.Limit)
	case value.MaxLength:
		return fmt.Sprintf("длина %d больше наибольшей %s", f.Actual, f.Limit), fmt.Sprintf("length %d is above the greatest, %s", f.Actual, f.Limit)
	case value.TotalDigits:
		return fmt.Sprintf("цифр %d, а допустимо %s", f.Actual, f.Limit), fmt.Sprintf("%d digits where %s are allowed", f.Actual, f.Limit)
	case value.FractionDigits:
		return fmt.Sprintf("цифр после запятой %d, а допустимо %s", f.Actual, f.Limit), fmt.Sprintf("%d fraction digits where %s are allowed", f.Actual, f.Limit)
	case value.MinInclusive:
		return "меньше наименьшего " + limit, "below the least, " + limit
	case value.MinExclusive:
		return "должно быть больше " + limit, "must be greater than " + limit
	case value.MaxInclusive:
		return "больше наибольшего " + limit, "above the greatest, " + limit
	case value.MaxExclusive:
		return "должно быть меньше " + limit, "must be less than " + limit
	}
	if len(f.Members) > 0 {
		var r, e []string
		for i, m := range f.Members {
			if i == 5 {
				r, e = append(r, "..."), append(e, "...")
				break
			}
			if m == nil {
				continue
			}
			a, b := describe(m)
			r, e = append(r, a), append(e, b)
		}
		return "не подходит ни один из типов объединения (" + strings.Join(r, "; ") + ")", "none of the member types takes it (" + strings.Join(e, "; ") + ")"
	}
	ru, en = "это не "+typ, "not a "+typ
	if f.Reason != value.ReasonNone {
		ru += ": " + reasonRussian(f.Reason)
		en += ": " + f.Reason.String()
	}
	return ru, en
}

func reasonRussian(r value.Reason) string {
	if s, ok := reasonsRussian[r]; ok {
		return s
	}
	return r.String()
}

var reasonsRussian = map[value.Reason]string{
	value.ReasonEmpty:          "пустое значение",
	value.ReasonCharacter:      "недопустимый символ",
	value.ReasonTruncated:      "значение не закончено",
	value.ReasonTrailing:       "лишние символы в конце",
	value.ReasonDigits:         "нужна цифра",
	value.ReasonMonth:          "нет такого месяца",
	value.ReasonDay:            "нет такого дня в месяце",
	value.ReasonHour:           "нет такого часа",
	value.ReasonMinute:         "нет такой минуты",
	value.ReasonSecond:         "нет такой секунды",
	value.ReasonYear:           "недопустимый год",
	value.ReasonTimeZone:       "недопустимый часовой пояс",
	value.ReasonNumberTooLarge: "слишком много цифр",
	value.ReasonNoDuration:     "в продолжительности нет ни одного числа",
	value.ReasonOddHex:         "нечётное число шестнадцатеричных цифр",
	value.ReasonBase64:         "испорченная запись base64",
	value.ReasonPrefix:         "префикс не объявлен",
	value.ReasonName:           "это не имя",
	value.ReasonUTF8:           "недопустимый в XML символ",
}
