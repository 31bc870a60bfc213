package envelopes

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"mezhved/envelopes/xmltape"
)

// inForce is the namespace declarations in force at the point of writing; later
// ones hide earlier ones. An empty URI is an undeclared default namespace.
type inForce []xmltape.Binding

func (f inForce) lookup(prefix string) (uri string, bound bool) {
	for i := len(f) - 1; i >= 0; i-- {
		if f[i].Prefix == prefix {
			return f[i].URI, true
		}
	}
	return "", prefix == ""
}

// answerForce is what envelope and answerSpaces declare.
func answerForce(v Version) inForce {
	return inForce{{Prefix: "soap", URI: SOAPSpace}, {Prefix: "", URI: v.BasicSpace()}, {Prefix: "ns2", URI: v.TypesSpace()}, {Prefix: "ns3", URI: v.FaultsSpace()}}
}

// freePrefix gives a prefix for space that none of the scopes binds to another
// namespace, so that it may be used among and round the fragments. It tries
// wish first.
func freePrefix(wish, space string, scopes ...[]xmltape.Binding) string {
	free := func(p string) bool {
		for _, scope := range scopes {
			for _, b := range scope {
				if b.Prefix == p && b.URI != space {
					return false
				}
			}
		}
		return true
	}
	if free(wish) {
		return wish
	}
	p := "smev"
	for i := 1; !free(p); i++ {
		p = "smev" + strconv.Itoa(i)
	}
	return p
}

// declare writes, inside a start tag, the declarations that make scope the
// context of what follows: a fragment that was written in that scope then keeps
// its meaning. own is a prefix that the element itself needs for space; scope
// does not bind it to anything else.
func (w *writer) declare(force inForce, own, space string, scope []xmltape.Binding) inForce {
	now := append(make(inForce, 0, len(force)+len(scope)+2), force...)
	put := func(prefix, uri string) {
		if have, bound := now.lookup(prefix); bound && have == uri {
			return
		}
		w.raw(" xmlns")
		if prefix != "" {
			w.raw(":")
			w.raw(prefix)
		}
		w.raw(`="`)
		w.attr(uri)
		w.raw(`"`)
		now = append(now, xmltape.Binding{Prefix: prefix, URI: uri})
	}
	put(own, space)
	hasDefault := false
	for _, b := range slices.Backward(scope) { // outermost first
		if b.Prefix == "xml" {
			continue
		}
		hasDefault = hasDefault || b.Prefix == ""
		put(b.Prefix, b.URI)
	}
	if !hasDefault {
		put("", "")
	}
	return now
}

// freeID gives wish, or an Id of its own making when wish may occur in one of
// the spliced pieces: two equal Ids would break every signature in the document.
// A piece with character references could hide wish from this search.
func freeID(wish string, pieces ...[]byte) string {
	for _, p := range pieces {
		if bytes.Contains(p, []byte(wish)) || bytes.Contains(p, []byte("&#")) {
			return "U" + uuid.NewString()
		}
	}
	return wish
}
