package signing

import "strings"

// joinURI resolves a reference against a base as Canonical XML 1.1 (section 2.4)
// has it for xml:base: RFC 3986, 5.2, but a relative base is allowed and leading
// ".." segments of a relative path stay.
func joinURI(base, ref string) string {
	if base == "" {
		return ref
	}
	b, r := splitURI(base), splitURI(ref)
	if r.scheme != "" || r.hasAuthority {
		r.path = removeDots(r.path)
		if r.scheme == "" {
			r.scheme = b.scheme
		}
		r.fragment = ""
		return r.String()
	}
	out := uriParts{scheme: b.scheme, authority: b.authority, hasAuthority: b.hasAuthority, query: r.query}
	switch {
	case r.path == "":
		out.path = removeDots(b.path)
		if r.query == "" {
			out.query = b.query
		}
	case r.path[0] == '/':
		out.path = removeDots(r.path)
	case b.hasAuthority && b.path == "":
		out.path = removeDots("/" + r.path)
	default:
		dir := b.path
		if dir == ".." || strings.HasSuffix(dir, "/..") {
			dir += "/"
		}
		dir = dir[:strings.LastIndexByte(dir, '/')+1]
		out.path = removeDots(dir + r.path)
	}
	return out.String()
}

// uriParts are the components of RFC 3986; query and fragment keep their mark.
type uriParts struct {
	scheme, authority, path, query, fragment string
	hasAuthority                             bool
}

func splitURI(s string) (u uriParts) {
	if i := strings.IndexByte(s, '#'); i >= 0 {
		s, u.fragment = s[:i], s[i:]
	}
	if i := strings.IndexByte(s, '?'); i >= 0 {
		s, u.query = s[:i], s[i:]
	}
	if i := strings.IndexAny(s, ":/"); i > 0 && s[i] == ':' {
		u.scheme, s = s[:i+1], s[i+1:]
	}
	if strings.HasPrefix(s, "//") {
		s = s[2:]
		i := strings.IndexByte(s, '/')
		if i < 0 {
			i = len(s)
		}
		u.authority, u.hasAuthority, s = s[:i], true, s[i:]
	}
	u.path = s
	return u
}

func (u uriParts) String() string {
	s := u.scheme
	if u.hasAuthority {
		s += "//" + u.authority
	}
	return s + u.path + u.query + u.fragment
}

func removeDots(path string) string {
	if path == "" {
		return ""
	}
	absolute := path[0] == '/'
	segments := strings.Split(path, "/")
	var out []string
	for i, s := range segments {
		last := i == len(segments)-1
		switch {
		case s == "" && !last, s == "." && !last:
			continue
		case s == "." && last:
			s = ""
		case s == "..":
			if n := len(out); n > 0 && out[n-1] != ".." {
				out = out[:n-1]
			} else if !absolute {
				out = append(out, "..")
			}
			if !last {
				continue
			}
			s = "" // a trailing ".." names a directory
		}
		out = append(out, s)
	}
	joined := strings.Join(out, "/")
	if absolute {
		return "/" + joined
	}
	return joined
}
