package xsd

import "mezhved/envelopes/xmltape"

// symbolTable numbers the expanded names of a schema, from 1; 0 is a name that
// the schema does not know. Hashes are those of the tape, so that a document's
// name is found with one probe. The table is fixed once made: names of
// documents are never added, so nobody can crowd it from outside.
type symbolTable struct {
	entries []symbol // by number; the first is unused
	slots   []uint32 // number, 0: free
	mask    uint32
	spaces  []string         // by namespace number
	numbers map[string]int32 // of namespaces
}

type symbol struct {
	name  qname
	hash  uint32
	space int32
}

// Numbers of the namespaces that every schema knows, and of all it does not.
const (
	noSpace      int32 = 0
	xsiNumber    int32 = 1
	unknownSpace int32 = -1
)

func newSymbolTable() *symbolTable {
	s := &symbolTable{entries: make([]symbol, 1), slots: make([]uint32, 64), mask: 63, numbers: map[string]int32{}}
	s.space("")
	s.space(xsiSpace)
	return s
}

// space numbers a namespace.
func (s *symbolTable) space(uri string) int32 {
	if n, ok := s.numbers[uri]; ok {
		return n
	}
	n := int32(len(s.spaces))
	s.numbers[uri] = n
	s.spaces = append(s.spaces, uri)
	return n
}

// add numbers a name.
func (s *symbolTable) add(name qname) int32 {
	space := s.space(name.space)
	h := xmltape.HashName(name.space, name.local)
	i := h & s.mask
	for ; s.slots[i] != 0; i = (i + 1) & s.mask {
		if e := &s.entries[s.slots[i]]; e.hash == h && e.name == name {
			return int32(s.slots[i])
		}
	}
	n := uint32(len(s.entries))
	s.slots[i] = n
	s.entries = append(s.entries, symbol{name, h, space})
	if 2*len(s.entries) > len(s.slots) {
		s.slots = make([]uint32, 2*len(s.slots))
		s.mask = uint32(len(s.slots) - 1)
		for k := 1; k < len(s.entries); k++ {
			j := s.entries[k].hash & s.mask
			for s.slots[j] != 0 {
				j = (j + 1) & s.mask
			}
			s.slots[j] = uint32(k)
		}
	}
	return int32(n)
}

// find gives the number of a name whose hash and namespace number are known; 0 when it has none.
func (s *symbolTable) find(h uint32, space int32, local []byte) int32 {
	for i := h & s.mask; s.slots[i] != 0; i = (i + 1) & s.mask {
		if e := &s.entries[s.slots[i]]; e.hash == h && e.space == space && e.name.local == string(local) {
			return int32(s.slots[i])
		}
	}
	return 0
}

// lookup gives the number of a name; 0 when it has none.
func (s *symbolTable) lookup(name qname) int32 {
	space, ok := s.numbers[name.space]
	if !ok {
		return 0
	}
	return s.find(xmltape.HashName(name.space, name.local), space, []byte(name.local))
}
