package signing

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"mezhved/signing/internal/p256"
)

// Signer holds a key and its certificate. Implementations are safe for
// concurrent use; the key may be far away (PKCS#11, a remote signer), so Sign
// takes a context and may be slow. An error of Sign is not retried here.
type Signer interface {
	// Certificate is the end-entity certificate that goes into ds:KeyInfo.
	Certificate() *Certificate
	// Algorithm is the signature algorithm that Sign uses.
	Algorithm() Algorithm
	// Sign signs the octets themselves (the holder hashes them) and gives the
	// value as XMLDSig has it: r || s for ECDSA, s || r for GOST.
	Sign(ctx context.Context, octets []byte) ([]byte, error)
}

// NewSigner makes a Signer of a key in this process. An empty algorithm means
// the usual one for the key: SHA-256 with RSA and ECDSA, the key's own with GOST.
// The certificate must be the key's.
func NewSigner(key crypto.Signer, cert *Certificate, algorithm Algorithm) (Signer, error) {
	if cert.key == nil {
		return nil, fmt.Errorf("certificate %s: %w", cert.Subject(), cert.keyErr)
	}
	if !cert.key.same(key.Public()) {
		return nil, fmt.Errorf("certificate %s does not belong to the key", cert.Subject())
	}
	if algorithm == "" {
		algorithm = defaultAlgorithm(cert.key.kind())
	}
	m := methodByURI(string(algorithm))
	if m == nil {
		return nil, fmt.Errorf("signature algorithm %q is not known", algorithm)
	}
	if m.legacy {
		return nil, fmt.Errorf("%s is legacy: it is only verified, never signed with", m.name)
	}
	if m.kind != cert.key.kind() {
		return nil, fmt.Errorf("algorithm %s does not fit a key %s", m.name, cert.key)
	}
	return &softSigner{key: key, cert: cert, method: m}, nil
}

func defaultAlgorithm(k keyKind) Algorithm {
	for i := range methods {
		if methods[i].kind == k {
			return methods[i].uri
		}
	}
	return ""
}

// softSigner signs with a crypto.Signer.
type softSigner struct {
	key    crypto.Signer
	cert   *Certificate
	method *method

	repeatable bool             // ECDSA's nonce takes no random numbers
	fast       *p256.PrivateKey // makes repeatable signatures; nil: crypto/ecdsa does
}

// Repeatable gives a signer whose ECDSA signatures are the same for the same octets: their
// nonce is made of key and digest alone (RFC 6979), by the hash of the signature, for which
// processors have instructions. Otherwise crypto/ecdsa makes it of the same and of random
// numbers, by SHA-512, which is a quarter of a signature's time. It is for who signs much, and
// of whom nobody expects that two acts of signing be told apart: not for polls, which a bus
// may know again by their signatures. Signers of other kinds, and far away, stay as they are.
//
// On P-256 with SHA-256 they are made by package p256, in less time than crypto/ecdsa
// makes the same ones, unless the process is to keep to the cryptography of FIPS 140.
func Repeatable(s Signer) Signer {
	soft, ok := s.(*softSigner)
	if !ok {
		return s
	}
	again := *soft
	again.repeatable = true
	if key, ok := soft.key.(*ecdsa.PrivateKey); ok && key.Curve == elliptic.P256() && soft.method.hash == crypto.SHA256 && !fips140.Enabled() {
		if octets, err := key.Bytes(); err == nil {
			again.fast, _ = p256.NewPrivateKey(octets) // whose refusal leaves it to crypto/ecdsa
		}
	}
	return &again
}

func (s *softSigner) Certificate() *Certificate { return s.cert }
func (s *softSigner) Algorithm() Algorithm      { return s.method.uri }

func (s *softSigner) Sign(ctx context.Context, octets []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.fast != nil {
		digest := sha256.Sum256(octets)
		value, err := s.fast.Sign(&digest)
		if err != nil {
			return nil, err
		}
		return value[:], nil
	}
	digest := digestOf(digestByURI(string(s.method.digest)), octets)
	switch key := s.key.(type) {
	case *rsa.PrivateKey:
		return rsa.SignPKCS1v15(nil, key, s.method.hash, digest)
	case *ecdsa.PrivateKey:
		var random io.Reader
		if !s.repeatable {
			random = rand.Reader
		}
		der, err := key.Sign(random, digest, s.method.hash)
		if err != nil {
			return nil, err
		}
		return ecdsaValue(key.Curve, der)
	}
	value, err := s.key.Sign(rand.Reader, digest, s.method.hash)
	if err != nil {
		return nil, err
	}
	if p, ok := s.cert.key.(*ecdsaPublicKey); ok {
		return ecdsaValue(p.k.Curve, value)
	}
	return value, nil
}

// RotatingSigner is a Signer whose key can be replaced while it is used: a
// signature is made with one key from beginning to end, the old or the new.
type RotatingSigner struct{ current atomic.Pointer[Signer] }

// NewRotatingSigner starts with s.
func NewRotatingSigner(s Signer) *RotatingSigner {
	r := new(RotatingSigner)
	r.Replace(s)
	return r
}

// Replace makes s the key of every signature begun from now on.
func (r *RotatingSigner) Replace(s Signer) { r.current.Store(&s) }

// Current is the Signer in force; a caller that needs certificate and value of
// one key takes it once.
func (r *RotatingSigner) Current() Signer { return *r.current.Load() }

// Certificate is that of the key in force.
func (r *RotatingSigner) Certificate() *Certificate { return r.Current().Certificate() }

// Algorithm is that of the key in force.
func (r *RotatingSigner) Algorithm() Algorithm { return r.Current().Algorithm() }

// Sign signs with the key in force.
func (r *RotatingSigner) Sign(ctx context.Context, octets []byte) ([]byte, error) {
	return r.Current().Sign(ctx, octets)
}

// Expiry says how long certificates still hold, for warnings.
type Expiry struct {
	Certificate *Certificate
	Left        time.Duration // negative: expired
}

// Warning is a sentence for an operator, empty while there is time.
func (e Expiry) Warning() string {
	days := int(e.Left / (24 * time.Hour))
	until := e.Certificate.NotAfter().UTC().Format(time.DateOnly)
	switch {
	case e.Left < 0:
		return fmt.Sprintf("certificate %s expired on %s: replace it now", e.Certificate.Subject(), until)
	default:
		return fmt.Sprintf("certificate %s expires on %s, in %d days: register and install its successor before", e.Certificate.Subject(), until, days)
	}
}

// ExpiringWithin lists the certificates that expire within the time from now,
// expired ones included.
func ExpiringWithin(within time.Duration, now time.Time, certs ...*Certificate) []Expiry {
	var out []Expiry
	for _, c := range certs {
		if left := c.NotAfter().Sub(now); left <= within {
			out = append(out, Expiry{c, left})
		}
	}
	return out
}
