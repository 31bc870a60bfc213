package gost

import (
	"bytes"
	"crypto/sha512"
	"crypto/subtle"
	"slices"
)

// nonces is the generator of RFC 6979, section 3.2, with the fresh octets of
// section 3.6: HMAC over key and digest, so that a nonce never serves two
// digests, and over randomness, so that a fault induced while the same digest
// is signed twice cannot be compared.
//
// The HMAC is over SHA-512, not Streebog. The private key goes through it, and
// Streebog here looks tables up by what it hashes, which an attacker on the
// same machine may watch in the cache; SHA-512 has no tables. Which hash drew a
// nonce cannot be told from a signature, so nothing else depends on it.
type nonces struct {
	curve      *Curve
	key, value [sha512.Size]byte
	drawn      bool // value was used: the state has to move on first
}

func newNonces(c *Curve, d, digest, fresh []byte) *nonces {
	n := &nonces{curve: c}
	for i := range n.value {
		n.value[i] = 1
	}
	for _, separator := range []byte{0, 1} {
		n.key = n.hmac(n.value[:], []byte{separator}, d, digest, fresh)
		n.value = n.hmac(n.value[:])
	}
	return n
}

// next returns a number k, 0 < k < q, and another one each time.
func (n *nonces) next() []byte {
	for {
		if n.drawn {
			n.key = n.hmac(n.value[:], []byte{0})
			n.value = n.hmac(n.value[:])
		}
		n.value = n.hmac(n.value[:])
		n.drawn = true
		k := slices.Clone(n.value[:n.curve.size])
		n.curve.narrow(k)
		if n.curve.group.inRange(k) {
			return k
		}
	}
}

// The pads of HMAC, RFC 2104.
var innerPad, outerPad = bytes.Repeat([]byte{0x36}, sha512.BlockSize), bytes.Repeat([]byte{0x5c}, sha512.BlockSize)

// hmac is HMAC under n.key. A signature needs it under three keys, and the
// states that crypto/hmac makes for each cost more than the hashing.
func (n *nonces) hmac(parts ...[]byte) [sha512.Size]byte {
	room := [384]byte{} // for all that a nonce of 512 bits is drawn from
	text := append(room[:0], innerPad...)
	subtle.XORBytes(text, text, n.key[:])
	for _, part := range parts {
		text = append(text, part...)
	}
	inner := sha512.Sum512(text)
	text = append(room[:0], outerPad...)
	subtle.XORBytes(text, text, n.key[:])
	return sha512.Sum512(append(text, inner[:]...))
}
