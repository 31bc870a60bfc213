package signing

import (
	"crypto/x509"
	"errors"
)

// readForeignKey reads a key that crypto/x509 does not know.
func readForeignKey(x *x509.Certificate) (publicKey, error) {
	return nil, errors.New("key algorithm is not known")
}

// checkX509Signature verifies an issuer's signature over to-be-signed octets of a
// certificate, CRL or OCSP response. whole is the structure they are part of.
func checkX509Signature(issuer *Certificate, algorithm x509.SignatureAlgorithm, tbs, signature, whole []byte) error {
	return issuer.X509.CheckSignature(algorithm, tbs, signature)
}
