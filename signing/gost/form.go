package gost

import (
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Form is an order in which the numbers r and s of a signature are met.
type Form int

const (
	// FormUnknown: the signature does not verify in any form.
	FormUnknown Form = iota
	// FormXMLDSig is s || r, each big-endian: the form of XMLDSig and X.509,
	// and the only one VerifyDigest accepts.
	FormXMLDSig
	// FormReversed is FormXMLDSig with all octets in reverse, as CryptoPro CSP
	// gives it through its native interface.
	FormReversed
	// FormSwapped is r || s, each big-endian.
	FormSwapped
	// FormSwappedReversed is s || r, each little-endian.
	FormSwappedReversed
	// FormDER is a SEQUENCE of two INTEGERs, as ECDSA has it in X.509.
	FormDER
)

// String describes the form in English.
func (f Form) String() string {
	switch f {
	case FormXMLDSig:
		return "s || r, big-endian"
	case FormReversed:
		return "all octets in reverse (r || s, little-endian), as CryptoPro CSP gives it"
	case FormSwapped:
		return "r || s, big-endian"
	case FormSwappedReversed:
		return "s || r, little-endian"
	case FormDER:
		return "DER sequence of two integers"
	}
	return "unknown"
}

// FormOf tells in which form a signature would verify. It serves to explain a
// refusal to the sender; to accept what it finds would give every signature
// several spellings.
func (k *PublicKey) FormOf(digest, signature []byte) Form {
	verifies := func(candidate []byte) bool { return k.VerifyDigest(digest, candidate) == nil }
	if verifies(signature) {
		return FormXMLDSig
	}
	size := k.curve.size
	if len(signature) == 2*size {
		swapped := append(append([]byte(nil), signature[size:]...), signature[:size]...)
		switch {
		case verifies(reversed(signature)):
			return FormReversed
		case verifies(swapped):
			return FormSwapped
		case verifies(reversed(swapped)):
			return FormSwappedReversed
		}
		return FormUnknown
	}
	if first, second, ok := derPair(signature, size); ok &&
		(verifies(append(second, first...)) || verifies(append(first, second...))) {
		return FormDER
	}
	return FormUnknown
}

// derPair reads SEQUENCE { INTEGER, INTEGER } as two big-endian halves.
func derPair(der []byte, size int) (first, second []byte, ok bool) {
	input := cryptobyte.String(der)
	var sequence cryptobyte.String
	var a, b []byte
	if !input.ReadASN1(&sequence, asn1.SEQUENCE) || !input.Empty() ||
		!sequence.ReadASN1Integer(&a) || !sequence.ReadASN1Integer(&b) || !sequence.Empty() ||
		len(a) > size || len(b) > size {
		return nil, nil, false
	}
	first, second = make([]byte, size, 2*size), make([]byte, size, 2*size)
	copy(first[size-len(a):], a)
	copy(second[size-len(b):], b)
	return first, second, true
}
