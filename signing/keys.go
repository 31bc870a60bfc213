package signing

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// KeySource says where a key and its certificate are. Exactly one of Key,
// PKCS12, PKCS11 and Remote is set; secrets are paths to files, never values.
type KeySource struct {
	// Key is a PEM file with a private key: PKCS#8 (RSA, ECDSA, GOST), PKCS#1
	// or SEC 1. Certificate may be in the same file.
	Key string
	// Certificate is a PEM or DER file; the first certificate is the end
	// entity's. Empty: in the file of Key, or in the PKCS#12 file.
	Certificate string
	// PKCS12 is a .p12 or .pfx file with key and certificate.
	PKCS12 string
	// PasswordFile holds the password of PKCS12; one trailing line end is dropped.
	// Empty: an empty password.
	PasswordFile string
	// PKCS11 is a token, in builds with the tag pkcs11.
	PKCS11 *PKCS11Source
	// Remote is a signer reached over HTTP.
	Remote *RemoteSource
	// Algorithm is the signature algorithm; empty: the usual one for the key.
	Algorithm Algorithm
}

// PKCS11Source names a key on a PKCS#11 token.
type PKCS11Source struct {
	Module    string // path of the token's shared library
	Token     string // its label; empty: the first token
	PINFile   string // file with the PIN
	Label, ID string // of key and certificate; ID in hexadecimal; one of them may be empty
}

// RemoteSource is a signer reached over HTTP, as a certified cryptographic tool
// beside the gateway offers it. The protocol is one request:
//
//	POST URL
//	{"key":"NAME","algorithm":"<SignatureMethod URI>","octets":"<base64>"}
//	200 {"value":"<base64>"}
//
// The octets are the canonical SignedInfo; the answer is the signature value in
// XMLDSig's form. Anything but 200 is a refusal; its text goes to the log. There
// is no retry. GET URL?key=NAME answers the certificate, DER in base64:
// {"certificate":"…","algorithm":"…"}.
type RemoteSource struct {
	URL string // https, or http to a loopback address
	Key string // name of the key at the remote side
	// ClientKey and ClientCertificate are PEM files that show who asks (mTLS).
	ClientKey, ClientCertificate string
	// CA is a PEM file with the CAs of the remote side; empty: the system's.
	CA string
	// Timeout of one signature; default 10 s.
	Timeout time.Duration
}

// LoadSigner opens a key. Key files that others than their owner may read are
// refused on systems where that can be told.
func LoadSigner(ctx context.Context, src KeySource) (Signer, error) {
	set := 0
	for _, on := range []bool{src.Key != "", src.PKCS12 != "", src.PKCS11 != nil, src.Remote != nil} {
		if on {
			set++
		}
	}
	if set != 1 {
		return nil, fmt.Errorf("a key source must name exactly one of key file, PKCS#12 file, PKCS#11 token and remote signer; %d are named", set)
	}
	switch {
	case src.Key != "":
		return loadPEM(src)
	case src.PKCS12 != "":
		return loadPKCS12(src)
	case src.PKCS11 != nil:
		return loadPKCS11(src)
	}
	return NewRemoteSigner(ctx, *src.Remote, src.Certificate, src.Algorithm)
}

func loadPEM(src KeySource) (Signer, error) {
	data, err := readSecret(src.Key)
	if err != nil {
		return nil, err
	}
	key, err := ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", src.Key, err)
	}
	certs := data
	from := src.Key
	if src.Certificate != "" {
		from = src.Certificate
		if certs, err = os.ReadFile(from); err != nil {
			return nil, err
		}
	}
	chain, err := ParsePEMCertificates(certs)
	if err != nil {
		return nil, fmt.Errorf("certificate file %s: %w", from, err)
	}
	s, err := NewSigner(key, chain[0], src.Algorithm)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", src.Key, err)
	}
	return s, nil
}

func loadPKCS12(src KeySource) (Signer, error) {
	data, err := readSecret(src.PKCS12)
	if err != nil {
		return nil, err
	}
	password := ""
	if src.PasswordFile != "" {
		p, err := readSecret(src.PasswordFile)
		if err != nil {
			return nil, err
		}
		password = strings.TrimSuffix(strings.TrimSuffix(string(p), "\n"), "\r")
	}
	key, x, _, err := pkcs12.DecodeChain(data, password)
	if err != nil {
		return nil, fmt.Errorf("PKCS#12 file %s: %w", src.PKCS12, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("PKCS#12 file %s: a key %T cannot sign", src.PKCS12, key)
	}
	cert, err := ParseCertificate(x.Raw)
	if err != nil {
		return nil, fmt.Errorf("PKCS#12 file %s: certificate: %w", src.PKCS12, err)
	}
	s, err := NewSigner(signer, cert, src.Algorithm)
	if err != nil {
		return nil, fmt.Errorf("PKCS#12 file %s: %w", src.PKCS12, err)
	}
	return s, nil
}

var errNoKey = errors.New("no private key found")

// ParsePrivateKey reads the first private key of a PEM file: PKCS#8, GOST
// included, PKCS#1 or SEC 1. Encrypted keys are refused by name.
func ParsePrivateKey(data []byte) (crypto.Signer, error) {
	data = plainText(data)
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, errNoKey
		}
		data = rest
		switch block.Type {
		case "PRIVATE KEY":
			return parsePKCS8(block.Bytes)
		case "RSA PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, errors.New("the key is encrypted in the old PEM way: convert it to PKCS#12")
			}
			return x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			return x509.ParseECPrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("encrypted PKCS#8 is not read: use a PKCS#12 file")
		}
	}
}

func parsePKCS8(der []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if foreign, ferr := parseForeignPKCS8(der); ferr == nil {
			return foreign, nil
		}
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key %T cannot sign", key)
	}
	return signer, nil
}

// certificateFile reads the first certificate of a file.
func certificateFile(path string) (*Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	chain, err := ParsePEMCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("certificate file %s: %w", path, err)
	}
	return chain[0], nil
}

// readSecret reads a file that nobody but its owner and group may read.
func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%s can be read by everyone (mode %o): chmod 600 it", path, info.Mode().Perm())
	}
	return os.ReadFile(path)
}
