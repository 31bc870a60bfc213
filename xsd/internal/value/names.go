package value

import (
	"unicode/utf8"

	"mezhved/xsd/internal/xsdregex"
)

// checkName reads a Name, NCName (no colon) or Nmtoken of XML 1.0 Second
// Edition, to which XML Schema 1.0 refers.
func checkName(v []byte, lex lexis) (Reason, int) {
	if len(v) == 0 {
		return ReasonEmpty, 0
	}
	for i := 0; i < len(v); {
		r, n := rune(v[i]), 1
		if r >= utf8.RuneSelf {
			if r, n = utf8.DecodeRune(v[i:]); r == utf8.RuneError && n == 1 {
				return ReasonUTF8, i
			}
		}
		switch {
		case r == ':' && lex == lexNCName, !xsdregex.IsNameChar(r), i == 0 && lex != lexNMTOKEN && !xsdregex.IsNameStart(r):
			return ReasonName, i
		}
		i += n
	}
	return ReasonNone, 0
}

// checkLanguage reads [a-zA-Z]{1,8}(-[a-zA-Z0-9]{1,8})*.
func checkLanguage(v []byte) (Reason, int) {
	if len(v) == 0 {
		return ReasonEmpty, 0
	}
	part, first := 0, true
	for i, c := range v {
		switch {
		case isLetter(c), !first && c >= '0' && c <= '9':
			if part++; part > 8 {
				return ReasonCharacter, i
			}
		case c == '-' && part > 0:
			part, first = 0, false
		default:
			return ReasonCharacter, i
		}
	}
	if part == 0 {
		return ReasonTruncated, len(v)
	}
	return ReasonNone, 0
}

// splitQName reads NCName (':' NCName)?.
func splitQName(v []byte) (prefix, local []byte, r Reason, at int) {
	colon := -1
	for i, c := range v {
		if c == ':' {
			colon = i
			break
		}
	}
	if colon >= 0 {
		prefix = v[:colon]
		if r, at := checkName(prefix, lexNCName); r != ReasonNone {
			return nil, nil, ReasonName, at
		}
	}
	local = v[colon+1:]
	if r, at := checkName(local, lexNCName); r != ReasonNone {
		return nil, nil, r, colon + 1 + at
	}
	return prefix, local, ReasonNone, 0
}

// checkURI refuses what section 3.2.17 cannot make a URI reference by escaping:
// a per cent sign that is not an escape, a second fragment, a colon in the
// first segment without a scheme before it. All else is taken, as processors
// do; RFC 2396 is not looked at further.
func checkURI(v []byte) (Reason, int) {
	first, scheme, fragment := true, len(v) > 0 && isLetter(v[0]), false
	for i, c := range v {
		switch {
		case c == '%' && (i+2 >= len(v) || hexDigit(v[i+1]) < 0 || hexDigit(v[i+2]) < 0),
			c == '#' && fragment,
			c == ':' && first && !scheme:
			return ReasonCharacter, i
		case c == '#':
			first, fragment = false, true
		case c == ':' || c == '/' || c == '?':
			first = false
		case first && !isLetter(c) && c-'0' > 9 && c != '+' && c != '-' && c != '.':
			scheme = false
		}
	}
	return ReasonNone, 0
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// xmlNamespace is bound to the prefix xml everywhere.
const xmlNamespace = "http://www.w3.org/XML/1998/namespace"

// resolve finds the namespace of a prefix. Without a resolver the prefix
// stands for itself.
func (ctx *Context) resolve(prefix []byte) (string, bool) {
	switch {
	case string(prefix) == "xml":
		return xmlNamespace, true
	case ctx.Namespaces == nil:
		return string(prefix), true
	}
	return ctx.Namespaces.ResolvePrefix(prefix)
}
