package gost

import (
	"crypto/hmac"
	"crypto/sha512"
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
	key, value []byte
	drawn      bool // value was used: the state has to move on first
}

func newNonces(c *Curve, d, digest, fresh []byte) *nonces {
	n := &nonces{curve: c, key: make([]byte, sha512.Size), value: make([]byte, sha512.Size)}
	for i := range n.value {
		n.value[i] = 1
	}
	for _, separator := range []byte{0, 1} {
		n.key = n.hmac(n.value, []byte{separator}, d, digest, fresh)
		n.value = n.hmac(n.value)
	}
	return n
}

// next returns a number k, 0 < k < q, and another one each time.
func (n *nonces) next() []byte {
	for {
		if n.drawn {
			n.key = n.hmac(n.value, []byte{0})
			n.value = n.hmac(n.value)
		}
		n.value = n.hmac(n.value)
		n.drawn = true
		k := slices.Clone(n.value[:n.curve.size])
		n.curve.narrow(k)
		if n.curve.group.inRange(k) {
			return k
		}
	}
}

func (n *nonces) hmac(parts ...[]byte) []byte {
	mac := hmac.New(sha512.New, n.key)
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}
