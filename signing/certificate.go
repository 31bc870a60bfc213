package signing

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
	"time"
)

// MaxCertificate is the largest certificate that is read, in bytes of DER.
const MaxCertificate = 8 << 10

// Certificate is an X.509 certificate, read once: GOST keys, which crypto/x509
// does not know, are read by signing/gost. It is immutable and may be shared.
type Certificate struct {
	DER    []byte
	SHA256 [32]byte // of DER; the certificate's name in caches, registers and the journal
	X509   *x509.Certificate

	fingerprint string // SHA256 in hexadecimal: each call of who has it is told by it
	key         publicKey
	keyErr      error // why key is not usable; a certificate may still be an issuer or be shown
}

// ParseCertificate reads a DER certificate. An unusable key (too short, unknown
// curve) is not an error here but when something is verified with it.
func ParseCertificate(der []byte) (*Certificate, error) {
	if len(der) > MaxCertificate {
		return nil, fmt.Errorf("certificate of %d bytes: more than %d are not read", len(der), MaxCertificate)
	}
	der = append([]byte(nil), der...)
	x, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	c := &Certificate{DER: der, SHA256: sha256.Sum256(der), X509: x}
	c.fingerprint = hex.EncodeToString(c.SHA256[:])
	c.key, c.keyErr = readPublicKey(x)
	return c, nil
}

// ParsePEMCertificates reads every CERTIFICATE block of a PEM file; a file that
// is DER is read as one certificate. No certificate at all is an error.
func ParsePEMCertificates(data []byte) ([]*Certificate, error) {
	data = plainText(data)
	var out []*Certificate
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			continue
		}
		c, err := ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the file: %w", len(out)+1, err)
		}
		out = append(out, c)
	}
	if len(out) > 0 {
		return out, nil
	}
	c, err := ParseCertificate(data)
	if err != nil {
		return nil, fmt.Errorf("neither a PEM file with certificates nor a DER certificate: %w", err)
	}
	return []*Certificate{c}, nil
}

// Fingerprint is SHA256 in lower-case hexadecimal.
func (c *Certificate) Fingerprint() string { return c.fingerprint }

// Subject is the subject's name as RFC 1779 and Java's X500Principal write it,
// the most specific part first; this is the form that SMEV faults use.
func (c *Certificate) Subject() string { return rfc1779(c.X509.RawSubject) }

// Issuer is the issuer's name in the form of Subject.
func (c *Certificate) Issuer() string { return rfc1779(c.X509.RawIssuer) }

// NotBefore and NotAfter bound the validity, both ends included.
func (c *Certificate) NotBefore() time.Time { return c.X509.NotBefore }

// NotAfter is the last moment of validity.
func (c *Certificate) NotAfter() time.Time { return c.X509.NotAfter }

// Key describes the key for people: "RSA 2048", "ECDSA P-256", "GOST R 34.10-2012 256".
func (c *Certificate) Key() string {
	if c.key == nil {
		return "unusable: " + c.keyErr.Error()
	}
	return c.key.String()
}

// plainText takes away the mark that editors and shells of Windows put before text,
// and with it UTF-16. Nothing in DER begins with such a mark.
func plainText(data []byte) []byte {
	if text, _, err := transform.Bytes(unicode.BOMOverride(transform.Nop), data); err == nil {
		return text
	}
	return data
}

// PEM is the certificate as a PEM block.
func (c *Certificate) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.DER})
}

// checkDates judges validity at a moment.
func (c *Certificate) checkDates(at time.Time) *Error {
	switch {
	case at.Before(c.X509.NotBefore):
		return &Error{Code: CertificateNotYetValid, Certificate: c, NotBefore: c.X509.NotBefore, NotAfter: c.X509.NotAfter,
			Detail: "valid from " + c.X509.NotBefore.UTC().Format(time.RFC3339)}
	case at.After(c.X509.NotAfter):
		return &Error{Code: CertificateExpired, Certificate: c, NotBefore: c.X509.NotBefore, NotAfter: c.X509.NotAfter,
			Detail: "valid until " + c.X509.NotAfter.UTC().Format(time.RFC3339)}
	}
	return nil
}
