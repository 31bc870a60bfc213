package p256

import (
	"crypto/ecdh"
	"crypto/sha256"
	"errors"
)

// PrivateKey signs. It does not change and may be used by several goroutines.
type PrivateKey struct {
	octets [32]byte
	number scalar   // in Montgomery's form
	veil   [22]byte // of the key's digest: what blinders are made with
}

// NewPrivateKey takes a key as crypto/ecdsa writes it: 32 octets of a number between
// nought and the order of the group.
func NewPrivateKey(octets []byte) (*PrivateKey, error) {
	k := new(PrivateKey)
	if len(octets) != len(k.octets) {
		return nil, errors.New("p256: a private key has 32 octets")
	}
	copy(k.octets[:], octets)
	if k.number = scalar(wordsOf(octets)); k.number.isZero() || !k.number.belowOrder() {
		return nil, errors.New("p256: a private key is a number between nought and the order of the group")
	}
	k.number.mul(&k.number, &orderSquare)
	veil := sha256.Sum256(append([]byte("blinders"), octets...))
	copy(k.veil[:], veil[:])
	return k, nil
}

// Sign makes the signature over a SHA-256 digest (SEC 1, 4.1.3) whose nonce is made of key
// and digest (RFC 6979, 3.2, with SHA-256): r || s, 32 octets each.
func (k *PrivateKey) Sign(digest *[32]byte) (signature [64]byte, err error) {
	e := scalarOf(digest[:])
	from := k.nonces(&e)
	for {
		octets := from.next()
		nonce := scalar(wordsOf(octets[:]))
		if nonce.isZero() || !nonce.belowOrder() {
			continue // of what was drawn and is not used time may tell
		}
		ofPrime, ofOrder := k.blinder(&octets, 0, &prime), scalar(k.blinder(&octets, 1, (*element)(&order)))
		r, err := abscissa(&nonce, &ofPrime)
		if err != nil {
			return signature, err
		}
		var s scalar
		s.mul(&r, &k.number)
		s.add(&s, &e)
		nonce.invertHidden(&nonce, &ofOrder)
		nonce.mul(&nonce, &orderSquare)
		s.mul(&s, &nonce)
		if r.isZero() || s.isZero() {
			continue
		}
		r.put(signature[:32])
		s.put(signature[32:])
		return signature, nil
	}
}

// blinder gives a number between nought and a bound, for one inversion beside a nonce. It takes
// no random numbers: SHA-256 makes it of the nonce and of what is made of the key, in one block,
// so to who has neither it is as good as drawn, and is one of its own for each use.
func (k *PrivateKey) blinder(nonce *[32]byte, use byte, bound *element) element {
	for ; ; use += 2 {
		var text [1 + 32 + len(k.veil)]byte
		text[0] = use
		copy(text[1:], nonce[:])
		copy(text[33:], k.veil[:])
		sum := sha256.Sum256(text[:])
		if w := wordsOf(sum[:]); !w.isZero() && w.less(bound) {
			return w
		}
	}
}

// abscissa gives that of the generator times a nonce, modulo the order. blinder hides what is
// inverted.
func abscissa(nonce *scalar, blinder *element) (scalar, error) {
	if r, ok := secretAbscissa(nonce, blinder); ok {
		return r, nil
	}
	var octets [32]byte
	nonce.put(octets[:])
	point, err := ecdh.P256().NewPrivateKey(octets[:])
	if err != nil {
		return scalar{}, err
	}
	return scalarOf(point.PublicKey().Bytes()[1:33]), nil
}

// nonces is the generator of RFC 6979, 3.2: its K and V lie where they are digested from.
type nonces struct {
	// inner is K's inner pad, V, and behind that, to make the next K, an octet, and for the
	// first two of them the private key and the digest. outer is K's outer pad and what comes
	// of inner.
	inner [64 + 32 + 1 + 32 + 32]byte
	outer [64 + 32]byte
	drawn bool
}

// nonces begins with steps b to g.
func (k *PrivateKey) nonces(e *scalar) (n nonces) {
	n.use([32]byte{})
	for i := range 32 {
		n.inner[64+i] = 1
	}
	copy(n.inner[97:], k.octets[:])
	e.put(n.inner[129:])
	for separator := range byte(2) {
		n.inner[96] = separator
		n.use(n.mac(len(n.inner)))
		n.draw()
	}
	return n
}

// next is step h: what may be a nonce.
func (n *nonces) next() [32]byte {
	if n.drawn {
		n.inner[96] = 0
		n.use(n.mac(97))
		n.draw()
	}
	n.drawn = true
	return n.draw()
}

// use makes an octet string K.
func (n *nonces) use(key [32]byte) {
	for i, c := range key {
		n.inner[i], n.outer[i] = c^0x36, c^0x5c
		n.inner[32+i], n.outer[32+i] = 0x36, 0x5c
	}
}

// draw makes the next V.
func (n *nonces) draw() [32]byte {
	v := n.mac(96)
	copy(n.inner[64:], v[:])
	return v
}

// mac is HMAC-SHA-256 by K over what stands in inner[64:end].
func (n *nonces) mac(end int) [32]byte {
	sum := sha256.Sum256(n.inner[:end])
	copy(n.outer[64:], sum[:])
	return sha256.Sum256(n.outer[:])
}
