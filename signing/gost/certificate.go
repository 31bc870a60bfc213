package gost

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

// PublicKeyOf returns the GOST key of a certificate that crypto/x509 parsed: it
// leaves PublicKey nil for such certificates. The error wraps ErrNotGOST when
// the key is of another algorithm.
func PublicKeyOf(certificate *x509.Certificate) (*PublicKey, error) {
	return ParsePublicKey(certificate.RawSubjectPublicKeyInfo)
}

// CheckSignature checks a signature over octets that are signed as X.509 signs
// (certificates, revocation lists, OCSP responses), under the
// algorithm that the object names. It fails when the algorithm is not the key's.
func CheckSignature(key *PublicKey, algorithm asn1.ObjectIdentifier, signed, signature []byte) error {
	if a, ok := AlgorithmBySignatureOID(algorithm); !ok || a != key.algorithm {
		return fmt.Errorf("gost: signature algorithm %v is not the one of a %v key", algorithm, key.algorithm)
	}
	return key.VerifyMessage(signed, signature)
}

// ErrIssuer is wrapped by the error of CheckSignatureFrom and
// CheckRevocationListFrom when the certificate of the issuer does not allow it
// to sign such objects.
var ErrIssuer = errors.New("issuer not allowed to sign this")

// CheckSignatureFrom checks that parent's key signed child and that parent is
// allowed to: a certification authority whose key usage, if stated, includes
// signing certificates. It does what the method of that name in crypto/x509
// does, for GOST keys; issuers with other keys are passed on to it. Names,
// dates, path length and revocation are not looked at.
func CheckSignatureFrom(child, parent *x509.Certificate) error {
	key, err := PublicKeyOf(parent)
	if errors.Is(err, ErrNotGOST) {
		return child.CheckSignatureFrom(parent)
	}
	if err != nil {
		return fmt.Errorf("key of the issuer: %w", err)
	}
	if err := mayIssue(parent, x509.KeyUsageCertSign); err != nil {
		return err
	}
	return checkEnvelope(key, child.Raw, child.RawTBSCertificate, child.Signature)
}

// CheckRevocationListFrom checks that issuer's GOST key signed a revocation list
// and that issuer is a certification authority whose key usage, if stated,
// includes signing such lists.
func CheckRevocationListFrom(list *x509.RevocationList, issuer *x509.Certificate) error {
	key, err := PublicKeyOf(issuer)
	if errors.Is(err, ErrNotGOST) {
		return list.CheckSignatureFrom(issuer)
	}
	if err != nil {
		return fmt.Errorf("key of the issuer: %w", err)
	}
	if err := mayIssue(issuer, x509.KeyUsageCRLSign); err != nil {
		return err
	}
	return checkEnvelope(key, list.Raw, list.RawTBSRevocationList, list.Signature)
}

// mayIssue checks that a certificate is one of a certification authority and
// that its key usage, if stated, includes the given one.
func mayIssue(issuer *x509.Certificate, usage x509.KeyUsage) error {
	if !issuer.BasicConstraintsValid || !issuer.IsCA {
		return fmt.Errorf("gost: %w: %s is not a certification authority", ErrIssuer, issuer.Subject)
	}
	if issuer.KeyUsage != 0 && issuer.KeyUsage&usage == 0 {
		return fmt.Errorf("gost: %w: the key usage of %s does not include it", ErrIssuer, issuer.Subject)
	}
	return nil
}

// checkEnvelope checks SEQUENCE { signed, algorithm, signature }. crypto/x509
// has parsed it and made sure that the algorithm inside is the one outside, but
// has no name for it.
func checkEnvelope(key *PublicKey, raw, signed, signature []byte) error {
	input := cryptobyte.String(raw)
	var envelope, identifier cryptobyte.String
	var algorithm asn1.ObjectIdentifier
	if !input.ReadASN1(&envelope, tag.SEQUENCE) || !envelope.SkipASN1(tag.SEQUENCE) ||
		!envelope.ReadASN1(&identifier, tag.SEQUENCE) || !identifier.ReadASN1ObjectIdentifier(&algorithm) {
		return errors.New("gost: no signature algorithm")
	}
	// RFC 9215, section 3: no parameters; some write NULL.
	if !identifier.Empty() && !bytes.Equal(identifier, []byte{5, 0}) {
		return fmt.Errorf("gost: signature algorithm %v with parameters", algorithm)
	}
	return CheckSignature(key, algorithm, signed, signature)
}

// CreateCertificate makes a certificate in DER for a public key, signed by
// signer: a *PrivateKey, or any crypto.Signer with a *PublicKey and the same
// octets. Template and parent mean what they mean to x509.CreateCertificate;
// they are the same for a self-signed one. public may also be a key of another
// algorithm that crypto/x509 knows. A subject key identifier is made when the
// template has none. random, or crypto/rand when it is nil, goes to the signer.
func CreateCertificate(random io.Reader, template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) ([]byte, error) {
	issuer, err := signerKey(signer)
	if err != nil {
		return nil, err
	}
	if len(parent.RawSubjectPublicKeyInfo) > 0 {
		if key, err := PublicKeyOf(parent); err != nil || !key.Equal(issuer) {
			return nil, errors.New("gost: creating a certificate: the signer's key is not the one of the parent")
		}
	}
	draft := *template
	draft.SignatureAlgorithm = x509.ECDSAWithSHA256
	drafter := *parent
	drafter.PublicKey = nil // a key found there would be compared with the stand-in

	stand, err := standIn()
	if err != nil {
		return nil, err
	}
	subject, isGOST := public.(*PublicKey)
	subjectKey := public
	var info []byte
	if isGOST {
		subjectKey = stand.Public()
		info = MarshalPublicKey(subject)
		if len(draft.SubjectKeyId) == 0 {
			digest := SumStreebog256(subject.Octets())
			draft.SubjectKeyId = digest[:20]
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, &draft, &drafter, subjectKey, stand)
	if err != nil {
		return nil, fmt.Errorf("gost: creating a certificate: %w", err)
	}
	// Version, serial number, algorithm, issuer, validity, subject, key, …
	return resign(random, der, replacement{2, 6, info}, issuer, signer)
}

// CreateRevocationList makes a revocation list in DER, signed by signer, whose
// key must be issuer's. The template means what it means to
// x509.CreateRevocationList.
func CreateRevocationList(random io.Reader, template *x509.RevocationList, issuer *x509.Certificate, signer crypto.Signer) ([]byte, error) {
	key, err := signerKey(signer)
	if err != nil {
		return nil, err
	}
	if own, err := PublicKeyOf(issuer); err != nil || !own.Equal(key) {
		return nil, errors.New("gost: creating a revocation list: the signer's key is not the issuer's")
	}
	stand, err := standIn()
	if err != nil {
		return nil, err
	}
	draft := *template
	draft.SignatureAlgorithm = x509.ECDSAWithSHA256
	der, err := x509.CreateRevocationList(rand.Reader, &draft, issuer, stand)
	if err != nil {
		return nil, fmt.Errorf("gost: creating a revocation list: %w", err)
	}
	// Version, algorithm, issuer, …
	return resign(random, der, replacement{1, -1, nil}, key, signer)
}

func signerKey(signer crypto.Signer) (*PublicKey, error) {
	key, ok := signer.Public().(*PublicKey)
	if !ok {
		return nil, fmt.Errorf("gost: signing with a %T: %w", signer.Public(), ErrNotGOST)
	}
	if key.algorithm == GOST2001 {
		return nil, fmt.Errorf("gost: signing: %v only verifies here", key.algorithm)
	}
	return key, nil
}

// standIn makes a passing ECDSA key. crypto/x509 knows how to write every
// extension but refuses keys it does not know; so it writes the object with a
// key it does, and resign puts the GOST key and signature in their places.
func standIn() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("gost: stand-in key: %w", err)
	}
	return key, nil
}

// replacement says which elements of the signed part carry the algorithm of
// the signature and the key (-1: none does), and the new key (nil: keep it).
type replacement struct {
	algorithm, key int
	info           []byte
}

// resign rebuilds SEQUENCE { signed, algorithm, signature } with other elements
// in the signed part, and signs it.
func resign(random io.Reader, der []byte, r replacement, key *PublicKey, signer crypto.Signer) ([]byte, error) {
	input := cryptobyte.String(der)
	var envelope, signed, element cryptobyte.String
	if !input.ReadASN1(&envelope, tag.SEQUENCE) || !envelope.ReadASN1(&signed, tag.SEQUENCE) {
		return nil, errors.New("gost: crypto/x509 wrote something other than a signed object")
	}
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		for i := 0; !signed.Empty(); i++ {
			if !signed.ReadAnyASN1Element(&element, nil) {
				b.SetError(errors.New("gost: crypto/x509 wrote a broken element"))
				return
			}
			switch {
			case i == r.algorithm:
				addSignatureAlgorithm(b, key.algorithm)
			case i == r.key && r.info != nil:
				b.AddBytes(r.info)
			default:
				b.AddBytes(element)
			}
		}
	})
	tbs, err := b.Bytes()
	if err != nil {
		return nil, err
	}

	h := key.algorithm.NewHash()
	h.Write(tbs)
	digest := h.Sum(nil)
	if random == nil {
		random = rand.Reader
	}
	signature, err := signer.Sign(random, digest, crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("gost: signing: %w", err)
	}
	// A remote or hardware signer may return another order of octets.
	if err := key.VerifyDigest(digest, signature); err != nil {
		return nil, fmt.Errorf("gost: the signer returned a signature that does not verify (form: %v): %w", key.FormOf(digest, signature), err)
	}

	var out cryptobyte.Builder
	out.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		addSignatureAlgorithm(b, key.algorithm)
		b.AddASN1BitString(signature)
	})
	return out.Bytes()
}

// addSignatureAlgorithm writes an AlgorithmIdentifier without parameters,
// RFC 9215, section 3.
func addSignatureAlgorithm(b *cryptobyte.Builder, a Algorithm) {
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(a.SignatureOID())
	})
}
