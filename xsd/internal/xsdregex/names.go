package xsdregex

// IsNameStart reports whether r may begin an XML name: Letter | '_' | ':' of
// XML 1.0 Second Edition.
func IsNameStart(r rune) bool {
	if uint32(r) < twoByteEnd {
		return nameStartBits[r>>6]>>(r&63)&1 != 0
	}
	return nameStart.contains(r)
}

// IsNameChar reports whether r is a NameChar of XML 1.0 Second Edition.
func IsNameChar(r rune) bool {
	if uint32(r) < twoByteEnd {
		return nameCharBits[r>>6]>>(r&63)&1 != 0
	}
	return nameChar.contains(r)
}

// twoByteEnd is the first code point of three bytes in UTF-8: Latin, Greek,
// Cyrillic and more lie below.
const twoByteEnd = 0x800

var nameStartBits, nameCharBits = nameStart.bits(), nameChar.bits()

func (c charset) bits() (b [twoByteEnd / 64]uint64) {
	for _, s := range c {
		for r := s.lo; r <= s.hi && r < twoByteEnd; r++ {
			b[r>>6] |= 1 << (r & 63)
		}
	}
	return b
}
