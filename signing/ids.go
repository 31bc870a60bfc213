package signing

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"mezhved/envelopes/xmltape"
)

// idIndex is the scratch for looking at all attributes of a document that anyone
// might take for an identifier: Id, ID, id, iD, with a prefix or without, xml:id.
//
// Which of them XMLDSig software takes for an Id differs from library to library.
// A name that a signature refers to and that two elements claim means one thing to
// us and another to the next reader, and that is what signature wrapping lives on:
// it may be claimed once in the whole document, over all spellings. Names that the
// signature in hand does not refer to decide nothing: the element that has to be
// signed is found by its place, and libraries that make two signatures give both
// the same Id.
type idIndex struct {
	value []byte
}

// find gives the element whose attribute Id is the name, after making sure that
// nothing else in the document claims the name.
func (x *idIndex) find(t *xmltape.Tape, name []byte) (xmltape.Node, error) {
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
// invalid Node.
func (x *idIndex) only(t *xmltape.Tape, name []byte) (xmltape.Node, error) {
	claimed := int32(-1)
	for i := range t.Attrs {
		attr := &t.Attrs[i]
		if attr.NameLen != 2 && (attr.PrefixLen == 0 || attr.NameLen != attr.PrefixLen+3) {
			continue
		}
		_, local := t.AttrName(attr)
		if len(local) != 2 || local[0]|0x20 != 'i' || local[1]|0x20 != 'd' {
			continue
		}
		x.value = append(x.value[:0], t.AttrValue(attr, nil)...)
		if !bytes.Equal(bytes.Trim(x.value, " \t\r\n"), name) {
			continue
		}
		if claimed >= 0 {
			return xmltape.Node{}, refuse(DuplicateID, t.NodeAt(int(startOf(t, attr))), "Id %q is claimed twice", clip(name))
		}
		claimed = startOf(t, attr)
	}
	if claimed < 0 {
		return xmltape.Node{}, nil
	}
	return t.NodeAt(int(claimed)), nil
}

// startOf finds the Start token of an attribute: the last token that begins before it.
func startOf(t *xmltape.Tape, attr *xmltape.Attr) int32 {
	n, _ := slices.BinarySearchFunc(t.Tokens, attr.Off, func(tok xmltape.Token, off uint32) int { return cmp.Compare(tok.Off, off) })
	return int32(n - 1)
}
