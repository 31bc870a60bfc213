package value

import (
	"bytes"
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

// checkURI refuses what section 3.2.17 cannot make a URI reference of RFC 2396
// by escaping. The escaping of XLink leaves the per cent sign, the number sign
// and, for addresses of RFC 2732, square brackets as they are; of the grammar
// the scheme and the colon of a first segment remain. Every other character is
// either allowed or escaped.
func checkURI(v []byte) (Reason, int) {
	rest := 0 // where the part behind the scheme begins
	for i := 0; i < len(v) && (isLetter(v[i]) || i > 0 && (v[i]-'0' <= 9 || v[i] == '+' || v[i] == '-' || v[i] == '.')); i++ {
		if i+1 < len(v) && v[i+1] == ':' {
			if rest = i + 2; rest == len(v) || v[rest] == '#' {
				return ReasonCharacter, i + 1 // nothing behind it
			}
			break
		}
	}
	path := rest // where brackets are not allowed from; up to the query
	switch {
	case rest > 0 && v[rest] != '/': // opaque: brackets may stand behind the first character
		path = len(v)
		if v[rest] == '[' || v[rest] == ']' {
			return ReasonCharacter, rest
		}
	case rest+1 < len(v) && v[rest] == '/' && v[rest+1] == '/':
		path = rest + 2
		for path < len(v) && v[path] != '/' && v[path] != '?' && v[path] != '#' {
			path++
		}
		if at := checkAuthority(v[rest+2 : path]); at >= 0 {
			return ReasonCharacter, rest + 2 + at
		}
	}
	first, query, fragment := rest == 0, false, false
	for i, c := range v {
		switch {
		case c == '%' && (i+2 >= len(v) || hexDigit(v[i+1]) < 0 || hexDigit(v[i+2]) < 0),
			c == '#' && fragment,
			c == ':' && first,
			(c == '[' || c == ']') && i >= path && !query:
			return ReasonCharacter, i
		case c == '#':
			first, query, fragment = false, true, true
		case c == '?':
			first, query = false, true
		case c == '/':
			first = false
		}
	}
	return ReasonNone, 0
}

// checkAuthority finds the bracket in an authority that does not belong to an
// IPv6 address; -1: none.
func checkAuthority(a []byte) int {
	open := bytes.IndexByte(a, '[')
	if open < 0 {
		return bytes.IndexByte(a, ']')
	}
	if open > 0 && a[open-1] != '@' {
		return open
	}
	colons, i := 0, open+1
	for ; i < len(a) && (a[i] == ':' || a[i] == '.' || hexDigit(a[i]) >= 0); i++ {
		if a[i] == ':' {
			colons++
		}
	}
	if i == len(a) || a[i] != ']' || colons < 2 {
		return open
	}
	if i++; i < len(a) && a[i] != ':' {
		return i
	}
	for i++; i < len(a); i++ {
		if a[i]-'0' > 9 {
			return i
		}
	}
	return -1
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
