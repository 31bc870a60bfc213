package xsd

import (
	"hash/maphash"

	"mezhved/xsd/internal/value"
)

// byteTable is a set of byte strings with a number beside each, reused from
// document to document. Its hash is seeded anew in each process, so that nobody
// can choose values that collide.
type byteTable struct {
	entries []byteEntry
	slots   []uint32 // entry+1, 0: free
}

type byteEntry struct {
	hash     uint64
	off, len uint32 // in the arena of the validator
	tok      int32
	state    entryState
}

var hashSeed = maphash.MakeSeed()

func (t *byteTable) reset() {
	if len(t.entries) == 0 {
		return
	}
	if len(t.entries)*8 < len(t.slots) {
		// A small document after a large one: free only what was used.
		mask := uint64(len(t.slots) - 1)
		for i := range t.entries {
			for h := t.entries[i].hash & mask; t.slots[h] != 0; h = (h + 1) & mask {
				t.slots[h] = 0
			}
		}
	} else {
		clear(t.slots)
	}
	t.entries = t.entries[:0]
}

// find gives the entry of key, or nil.
func (t *byteTable) find(arena, key []byte) *byteEntry {
	if len(t.entries) == 0 {
		return nil
	}
	h := maphash.Bytes(hashSeed, key)
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; t.slots[i] != 0; i = (i + 1) & mask {
		e := &t.entries[t.slots[i]-1]
		if e.hash == h && string(arena[e.off:e.off+e.len]) == string(key) {
			return e
		}
	}
	return nil
}

// insert adds arena[off:], which find has not found.
func (t *byteTable) insert(arena []byte, off uint32, tok int32) *byteEntry {
	if 2*len(t.entries)+2 > len(t.slots) {
		t.slots = make([]uint32, max(16, 4*len(t.slots)))
		for i := range t.entries {
			t.place(t.entries[i].hash, uint32(i+1))
		}
	}
	key := arena[off:]
	h := maphash.Bytes(hashSeed, key)
	t.entries = append(t.entries, byteEntry{hash: h, off: off, len: uint32(len(key)), tok: tok})
	t.place(h, uint32(len(t.entries)))
	return &t.entries[len(t.entries)-1]
}

func (t *byteTable) place(h uint64, n uint32) {
	mask := uint64(len(t.slots) - 1)
	i := h & mask
	for t.slots[i] != 0 {
		i = (i + 1) & mask
	}
	t.slots[i] = n
}

// idTable is the IDs and IDREFs of a document.
type idTable struct {
	arena []byte
	ids   byteTable
	refs  []idRef
	limit bool // reported that there are too many
}

type idRef struct {
	off, len uint32
	tok      int32
}

func (t *idTable) reset() {
	t.arena, t.refs, t.limit = t.arena[:0], t.refs[:0], false
	t.ids.reset()
	if cap(t.arena) > maxKeptBytes {
		t.arena = nil
	}
}

func (t *idTable) used() bool { return len(t.refs) > 0 }

// identities notes the IDs and IDREFs in a valid value.
func (v *Validator) identities(i int32, t *simpleType, raw []byte) {
	if t.refers {
		v.at = i
		t.v.VisitIdentities(raw, &v.ctx, v.visit)
	}
}

func (v *Validator) visitIdentity(kind value.Identity, name []byte) {
	if v.full() { // in the midst of a list, each item of which would look for the line of the one before
		return
	}
	t := &v.ids
	if len(t.ids.entries)+len(t.refs) >= v.maxKeys() || len(t.arena)+len(name) > maxKeyBytes {
		if !t.limit {
			t.limit = true
			v.report(v.at, "limit-keys", "", nil, "в документе больше %[1]d идентификаторов и ссылок", "the document has more than %[1]d identifiers and references", v.maxKeys())
		}
		return
	}
	switch kind {
	case value.ID:
		if e := t.ids.find(t.arena, name); e != nil {
			line, _ := v.tape.Position(int(v.tokens[e.tok].Off))
			v.report(v.at, "cvc-id.2", quote(name), nil, "идентификатор %[1]s уже есть в документе: строка %[2]d", "identifier %[1]s occurs already in the document: line %[2]d", quote(name), line)
			return
		}
		off := len(t.arena)
		t.arena = append(t.arena, name...)
		t.ids.insert(t.arena, uint32(off), v.at)
	case value.IDREF:
		t.refs = append(t.refs, idRef{uint32(len(t.arena)), uint32(len(name)), v.at})
		t.arena = append(t.arena, name...)
	case value.ENTITY:
		v.report(v.at, "cvc-simple-type.2", quote(name), nil, "сущность %[1]s не объявлена: документы с DOCTYPE не принимаются", "entity %[1]s is not declared: documents with a DOCTYPE are not accepted", quote(name))
	}
}

// checkReferences: each IDREF names an ID of the document (cvc-id.1).
func (v *Validator) checkReferences() {
	t := &v.ids
	for _, r := range t.refs {
		name := t.arena[r.off : r.off+r.len]
		if t.ids.find(t.arena, name) == nil {
			v.report(r.tok, "cvc-id.1", quote(name), nil, "ссылка на идентификатор %[1]s, которого в документе нет", "reference to identifier %[1]s that the document does not have", quote(name))
		}
	}
}
