package gost

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/bits"
	"slices"
)

// Algorithm is what a key is for: it fixes the length of its numbers and the
// hash its signatures are made over.
type Algorithm int

const (
	// GOST2001 is GOST R 34.10-2001 over GOST R 34.11-94 with the CryptoPro
	// substitution. It only verifies.
	GOST2001 Algorithm = iota + 1
	// GOST256 is GOST R 34.10-2012 with 256 bits over Streebog-256.
	GOST256
	// GOST512 is GOST R 34.10-2012 with 512 bits over Streebog-512.
	GOST512
)

// String returns the name of the standard.
func (a Algorithm) String() string {
	switch a {
	case GOST2001:
		return "GOST R 34.10-2001"
	case GOST256:
		return "GOST R 34.10-2012 256 bit"
	case GOST512:
		return "GOST R 34.10-2012 512 bit"
	}
	return fmt.Sprintf("unknown algorithm %d", int(a))
}

// Size returns the length of a coordinate, of a digest and of each half of a
// signature in octets.
func (a Algorithm) Size() int {
	if a == GOST512 {
		return octets512
	}
	return octets256
}

// NewHash returns the hash that signatures of this algorithm are made over.
func (a Algorithm) NewHash() hash.Hash {
	switch a {
	case GOST2001:
		return NewGOST94()
	case GOST512:
		return NewStreebog512()
	}
	return NewStreebog256()
}

// PublicKey is a point that was checked to lie on its curve, in the subgroup of
// the generator and not at infinity. It does not change and may be used by
// several goroutines.
type PublicKey struct {
	algorithm Algorithm
	curve     *Curve
	x, y      []byte // big-endian
	point     point
}

// NewPublicKey makes a key of the coordinates x and y, big-endian octets of the
// width of the curve, and refuses any that are not a point of the group.
func NewPublicKey(a Algorithm, c *Curve, x, y []byte) (*PublicKey, error) {
	if a < GOST2001 || a > GOST512 {
		return nil, fmt.Errorf("gost: public key: %v", a)
	}
	if c.size != a.Size() {
		return nil, fmt.Errorf("gost: public key: curve %s is not for %v", c.name, a)
	}
	if len(x) != c.size || len(y) != c.size {
		return nil, fmt.Errorf("gost: public key on %s: coordinates of %d and %d octets, want %d", c.name, len(x), len(y), c.size)
	}
	p, err := c.group.admit(x, y)
	if err != nil {
		return nil, fmt.Errorf("gost: public key on %s: %w", c.name, err)
	}
	return &PublicKey{a, c, slices.Clone(x), slices.Clone(y), p}, nil
}

// Algorithm returns what the key is for.
func (k *PublicKey) Algorithm() Algorithm { return k.algorithm }

// Curve returns the parameter set the key came with.
func (k *PublicKey) Curve() *Curve { return k.curve }

// Octets returns the key as X.509 carries it: x || y, each little-endian.
func (k *PublicKey) Octets() []byte {
	return append(reversed(k.x), reversed(k.y)...)
}

// Equal reports whether x is a *PublicKey for the same algorithm and the same
// point of the same curve. Two names of one curve make no difference.
func (k *PublicKey) Equal(x crypto.PublicKey) bool {
	other, ok := x.(*PublicKey)
	return ok && k.algorithm == other.algorithm && k.curve.group == other.curve.group &&
		bytes.Equal(k.x, other.x) && bytes.Equal(k.y, other.y)
}

// Precomputed returns the same key with tables that more than halve the time
// of a verification. Making them takes as long as five verifications, and they
// take 32 to 48 KiB (GOST512: 128 to 192 KiB), so it is for keys that are seen
// again.
func (k *PublicKey) Precomputed() *PublicKey {
	faster := *k
	faster.point = k.point.withTable()
	return &faster
}

// ErrMalformed is wrapped by the error of a verification that was given octets
// which cannot be a signature, or a digest, of the key: the length is wrong, or
// a half is zero or not below the order of the group.
var ErrMalformed = errors.New("malformed signature")

// ErrMismatch is wrapped by the error of a verification whose signature is well
// formed but was not made over this digest with this key.
var ErrMismatch = errors.New("signature does not match")

// VerifyDigest checks a signature in the form of XMLDSig and X.509: s || r,
// each half big-endian, over the octets of a digest as its hash gave them. The
// error wraps ErrMalformed or ErrMismatch. No other form is accepted; see FormOf.
func (k *PublicKey) VerifyDigest(digest, signature []byte) error {
	size := k.curve.size
	if len(digest) != size {
		return fmt.Errorf("gost: %w: digest of %d octets, %v has %d", ErrMalformed, len(digest), k.algorithm, size)
	}
	if len(signature) != 2*size {
		return fmt.Errorf("gost: %w: %d octets, %v has %d", ErrMalformed, len(signature), k.algorithm, 2*size)
	}
	s, r := signature[:size], signature[size:]
	if group := k.curve.group; !group.inRange(r) || !group.inRange(s) {
		return fmt.Errorf("gost: %w: a half is zero or not below the order of the group", ErrMalformed)
	}
	if !k.point.verify(reversed(digest), r, s) {
		return fmt.Errorf("gost: %w this digest and key", ErrMismatch)
	}
	return nil
}

// PrivateKey is a key of GOST R 34.10-2012 in memory. It implements
// crypto.Signer and crypto.MessageSigner. It does not change and may be used by several goroutines.
type PrivateKey struct {
	public *PublicKey
	d      []byte // big-endian
}

// GenerateKey makes a key from the octets of random, or of crypto/rand when
// random is nil.
func GenerateKey(random io.Reader, c *Curve) (*PrivateKey, error) {
	if random == nil {
		random = rand.Reader
	}
	d := make([]byte, c.size)
	for {
		if _, err := io.ReadFull(random, d); err != nil {
			return nil, fmt.Errorf("gost: generating a key: random octets: %w", err)
		}
		c.narrow(d)
		if c.group.inRange(d) {
			return NewPrivateKey(c, d)
		}
	}
}

// narrow clears the bits of k above those of the order of the group, so that
// at least every second number drawn is below it.
func (c *Curve) narrow(k []byte) {
	k[0] &= 0xff >> bits.LeadingZeros8(c.order[0])
}

// NewPrivateKey makes a key of the number d, big-endian octets of the width of
// the curve, 0 < d < q.
func NewPrivateKey(c *Curve, d []byte) (*PrivateKey, error) {
	if len(d) != c.size {
		return nil, fmt.Errorf("gost: private key on %s: %d octets, want %d", c.name, len(d), c.size)
	}
	if !c.group.inRange(d) {
		return nil, fmt.Errorf("gost: private key on %s: zero or not below the order of the group", c.name)
	}
	a := GOST256
	if c.size == octets512 {
		a = GOST512
	}
	x, y := c.group.base(d)
	public, err := NewPublicKey(a, c, x, y)
	if err != nil {
		return nil, err
	}
	return &PrivateKey{public, slices.Clone(d)}, nil
}

// Public returns the *PublicKey of the pair.
func (k *PrivateKey) Public() crypto.PublicKey { return k.public }

// PublicKey returns the public key of the pair.
func (k *PrivateKey) PublicKey() *PublicKey { return k.public }

// Equal reports whether x is a *PrivateKey with the same number on the same
// curve, in constant time.
func (k *PrivateKey) Equal(x crypto.PrivateKey) bool {
	other, ok := x.(*PrivateKey)
	return ok && k.public.curve.group == other.public.curve.group && subtle.ConstantTimeCompare(k.d, other.d) == 1
}

// Sign signs a digest of the key's own hash (Algorithm.NewHash) and returns
// s || r, each half big-endian: the octets that XMLDSig and X.509 carry. It is
// the method of crypto.Signer. Of random, or crypto/rand when it is nil, 32
// octets go into the nonce; even a random that repeats leaves the key safe.
// Since crypto.Hash has no name for Streebog, opts must be nil or say that the
// hash is zero.
func (k *PrivateKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	c := k.public.curve
	if opts != nil && opts.HashFunc() != 0 {
		return nil, fmt.Errorf("gost: signing: %v signs %d-octet digests of its own hash, not of %v", k.public.algorithm, c.size, opts.HashFunc())
	}
	if len(digest) != c.size {
		return nil, fmt.Errorf("gost: signing: digest of %d octets, %v signs %d", len(digest), k.public.algorithm, c.size)
	}
	if random == nil {
		random = rand.Reader
	}
	var fresh [32]byte
	if _, err := io.ReadFull(random, fresh[:]); err != nil {
		return nil, fmt.Errorf("gost: signing: random octets: %w", err)
	}
	e := reversed(digest)
	nonces := newNonces(c, k.d, digest, fresh[:])
	for {
		if r, s, ok := c.group.sign(k.d, e, nonces.next()); ok {
			return append(s, r...), nil
		}
	}
}

// SignMessage hashes a message with the key's own hash and signs the digest as
// Sign does. It is the method of crypto.MessageSigner.
func (k *PrivateKey) SignMessage(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	h := k.public.algorithm.NewHash()
	h.Write(message)
	return k.Sign(random, h.Sum(nil), opts)
}

// VerifyMessage hashes a message and checks a signature as VerifyDigest does.
func (k *PublicKey) VerifyMessage(message, signature []byte) error {
	h := k.algorithm.NewHash()
	h.Write(message)
	return k.VerifyDigest(h.Sum(nil), signature)
}

// reversed returns a copy with the octets in the opposite order.
func reversed(octets []byte) []byte {
	copied := slices.Clone(octets)
	slices.Reverse(copied)
	return copied
}
