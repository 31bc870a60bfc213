package signing

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"unsafe"

	"mezhved/envelopes/xmltape"
)

// idIndex is the scratch for looking at all attributes of a document that anyone
// might take for an identifier: Id, ID, id, iD, with a prefix or without, xml:id.
//
// Which of them XMLDSig software takes for an Id differs from library to library;
// a document in which two elements claim one name means one thing to us and
// another to the next reader, and that is what signature wrapping lives on. So a
// name may be claimed once in the whole document, over all spellings. The one
// exception: business content is full of lower-case, unprefixed id attributes
// that are no identifiers of this kind (<row id="1"/>). Two of those may be
// equal, unless a signature refers to the name.
type idIndex struct {
	claims []idClaim
	table  []int32 // open addressing over claims, -1: free
	value  []byte
}

type idClaim struct {
	value []byte
	token int32 // the Start token
	weak  bool  // lower case and without prefix
}

var idSeed = maphash.MakeSeed()

// find gives the element whose attribute Id is the name, after making sure that
// no name is claimed twice in the document.
func (x *idIndex) find(t *xmltape.Tape, name []byte) (xmltape.Node, error) {
	if err := x.collect(t); err != nil {
		return xmltape.Node{}, err
	}
	at, err := x.only(t, name)
	if err != nil {
		return xmltape.Node{}, err
	}
	if v, ok := attrValue(at, "Id", x.value); ok {
		x.value = v
		if bytes.Equal(v, name) {
			return at, nil
		}
	}
	return xmltape.Node{}, &Error{Code: WrongTarget, Detail: fmt.Sprintf("no element has the Id %q", clip(name))}
}

// only gives the single element that claims the name under any spelling, or an
// invalid Node; collect comes before.
func (x *idIndex) only(t *xmltape.Tape, name []byte) (xmltape.Node, error) {
	var at xmltape.Node
	for i := range x.claims {
		c := &x.claims[i]
		if !bytes.Equal(c.value, name) {
			continue
		}
		n := t.NodeAt(int(c.token))
		if at.Valid() {
			return xmltape.Node{}, refuse(DuplicateID, n, "Id %q is claimed twice", clip(name))
		}
		at = n
	}
	return at, nil
}

// mayClaim tells an attribute whose name is as long as one of an identifier.
func mayClaim(attr *xmltape.Attr) bool {
	return attr.NameLen == 2 || attr.PrefixLen > 0 && attr.NameLen == attr.PrefixLen+3
}

func numClaims(t *xmltape.Tape) (n int) {
	for i := range t.Attrs {
		if mayClaim(&t.Attrs[i]) {
			n++
		}
	}
	return n
}

// claimCost is what one claim takes: its entry, and up to four slots of the table.
const claimCost = int(unsafe.Sizeof(idClaim{})) + 16

// collect lists the claims of the document and refuses two of one name.
func (x *idIndex) collect(t *xmltape.Tape) error {
	if n := numClaims(t); cap(x.claims) < n {
		x.claims = make([]idClaim, 0, n)
	}
	x.claims = x.claims[:0]
	strong := false
	for i := range t.Attrs {
		attr := &t.Attrs[i]
		if !mayClaim(attr) {
			continue
		}
		_, local := t.AttrName(attr)
		if len(local) != 2 || local[0]|0x20 != 'i' || local[1]|0x20 != 'd' {
			continue
		}
		v := bytes.Trim(t.AttrValue(attr, nil), " \t\r\n")
		if len(v) == 0 {
			continue
		}
		weak := attr.PrefixLen == 0 && string(local) == "id"
		strong = strong || !weak
		x.claims = append(x.claims, idClaim{v, startOf(t, attr), weak})
	}
	if !strong {
		return nil
	}
	return x.unique(t)
}

// startOf finds the Start token of an attribute: the last token that begins before it.
func startOf(t *xmltape.Tape, attr *xmltape.Attr) int32 {
	n, _ := slices.BinarySearchFunc(t.Tokens, attr.Off, func(tok xmltape.Token, off uint32) int { return cmp.Compare(tok.Off, off) })
	return int32(n - 1)
}

// unique refuses two claims of one name of which one at least is not weak.
func (x *idIndex) unique(t *xmltape.Tape) error {
	if len(x.claims) <= 8 {
		for i := range x.claims {
			for j := range i {
				a, b := &x.claims[j], &x.claims[i]
				if !(a.weak && b.weak) && bytes.Equal(a.value, b.value) {
					return duplicate(t, b)
				}
			}
		}
		return nil
	}
	size := 16
	for size < 2*len(x.claims) {
		size *= 2
	}
	if cap(x.table) < size {
		x.table = make([]int32, size)
	}
	x.table = x.table[:size]
	for i := range x.table {
		x.table[i] = -1
	}
	for i := range x.claims {
		c := &x.claims[i]
		for h := maphash.Bytes(idSeed, c.value) & uint64(size-1); ; h = (h + 1) & uint64(size-1) {
			k := x.table[h]
			if k < 0 {
				x.table[h] = int32(i)
				break
			}
			first := &x.claims[k]
			if !bytes.Equal(first.value, c.value) {
				continue
			}
			if !(first.weak && c.weak) {
				return duplicate(t, c)
			}
			break // the first weak claim stands for all of this name
		}
	}
	return nil
}

func duplicate(t *xmltape.Tape, c *idClaim) error {
	return refuse(DuplicateID, t.NodeAt(int(c.token)), "Id %q is claimed twice", clip(c.value))
}
