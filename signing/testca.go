package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// KeyType names what key a test certificate gets.
type KeyType string

// The key types of test certificates; gost.go knows the GOST ones.
const (
	KeyECDSA256 KeyType = "ecdsa-p256"
	KeyECDSA384 KeyType = "ecdsa-p384"
	KeyRSA2048  KeyType = "rsa-2048"
	KeyRSA3072  KeyType = "rsa-3072"
)

// testUnit stands in every subject that a TestCA names, so that nobody takes its
// certificates for real ones.
const testUnit = "TEST - NOT FOR PRODUCTION"

// TestCA is a certification authority for demonstrations and tests. Its key is
// in memory and its certificates say TEST in their subject.
type TestCA struct {
	Certificate *Certificate
	Key         crypto.Signer
}

// Identity is a key with its certificate.
type Identity struct {
	Certificate *Certificate
	Key         crypto.Signer
}

// TestSubject describes a certificate to make. Zero fields have useful values.
type TestSubject struct {
	CommonName   string
	Organization string
	Key          KeyType       // default KeyECDSA256
	NotBefore    time.Time     // default the moment given to the maker
	Lifetime     time.Duration // default 1 year; of a CA, 10
	CA           bool
	Usage        x509.KeyUsage // default digitalSignature and nonRepudiation
	Serial       *big.Int      // default random
}

// NewTestCA makes a self-signed CA valid from now.
func NewTestCA(name string, key KeyType, now time.Time) (*TestCA, error) {
	subject := TestSubject{CommonName: name, Key: key, CA: true}
	id, err := issue(subject, now, nil)
	if err != nil {
		return nil, err
	}
	return &TestCA{id.Certificate, id.Key}, nil
}

// Issue makes a key and a certificate for it, valid from now unless the subject says otherwise.
func (ca *TestCA) Issue(subject TestSubject, now time.Time) (*Identity, error) {
	return issue(subject, now, ca)
}

// SelfSigned makes a key and a certificate signed by itself.
func SelfSigned(subject TestSubject, now time.Time) (*Identity, error) {
	return issue(subject, now, nil)
}

// Signer is the identity as a Signer with the usual algorithm of its key.
func (id *Identity) Signer() (Signer, error) { return NewSigner(id.Key, id.Certificate, "") }

// PEM gives private key (PKCS#8) and certificate as PEM.
func (id *Identity) PEM() (key, certificate []byte, err error) {
	der, err := marshalPKCS8(id.Key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), id.Certificate.PEM(), nil
}

// GenerateKey makes a private key.
func GenerateKey(t KeyType) (crypto.Signer, error) {
	switch t {
	case "", KeyECDSA256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case KeyECDSA384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case KeyRSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case KeyRSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	}
	return generateForeignKey(t)
}

func issue(subject TestSubject, now time.Time, ca *TestCA) (*Identity, error) {
	key, err := GenerateKey(subject.Key)
	if err != nil {
		return nil, err
	}
	template, err := subject.template(now)
	if err != nil {
		return nil, err
	}
	parent, issuerKey := template, key
	if ca != nil {
		parent, issuerKey = ca.Certificate.X509, ca.Key
	}
	der, err := createCertificate(template, parent, key.Public(), issuerKey)
	if err != nil {
		return nil, fmt.Errorf("making the certificate of %s: %w", subject.CommonName, err)
	}
	cert, err := ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Identity{cert, key}, nil
}

func (s TestSubject) template(now time.Time) (*x509.Certificate, error) {
	serial := s.Serial
	if serial == nil {
		var err error
		if serial, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
			return nil, err
		}
		serial.Add(serial, big.NewInt(1))
	}
	from, life, usage := s.NotBefore, s.Lifetime, s.Usage
	if from.IsZero() {
		from = now
	}
	if life == 0 {
		if life = 365 * 24 * time.Hour; s.CA {
			life *= 10
		}
	}
	if usage == 0 {
		if usage = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment; s.CA {
			usage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		}
	}
	name := pkix.Name{CommonName: s.CommonName, OrganizationalUnit: []string{testUnit}, Country: []string{"RU"}}
	if s.Organization != "" {
		name.Organization = []string{s.Organization}
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: name, NotBefore: from.Truncate(time.Second).UTC(), NotAfter: from.Add(life).Truncate(time.Second).UTC(),
		KeyUsage: usage, BasicConstraintsValid: true, IsCA: s.CA,
	}, nil
}

// createCertificate is x509.CreateCertificate for keys that it knows, and ours
// for GOST.
func createCertificate(template, parent *x509.Certificate, public crypto.PublicKey, issuer crypto.Signer) ([]byte, error) {
	if der, done, err := createForeignCertificate(template, parent, public, issuer); done {
		return der, err
	}
	return x509.CreateCertificate(rand.Reader, template, parent, public, issuer)
}

// RevocationList makes a CRL that names the serial numbers.
func (ca *TestCA) RevocationList(number int64, thisUpdate, nextUpdate time.Time, revoked ...*big.Int) ([]byte, error) {
	list := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: thisUpdate, NextUpdate: nextUpdate}
	for _, serial := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: serial, RevocationTime: thisUpdate, ReasonCode: 1})
	}
	return createRevocationList(list, ca.Certificate.X509, ca.Key)
}
