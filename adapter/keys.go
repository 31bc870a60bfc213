package adapter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"mezhved/signing"
)

// LoadSigner opens the gateway's own key as a signer that can be rotated:
// Replace it with the result of another LoadSigner. It is nil with Signature.Off.
func (c Config) LoadSigner(ctx context.Context) (*signing.RotatingSigner, error) {
	if c.Signature.Off {
		return nil, nil
	}
	src := signing.KeySource{Key: c.Signature.Key, Certificate: c.Signature.Certificate, PasswordFile: c.Signature.PasswordFile}
	if isPKCS12(c.Signature.Key) {
		src.Key, src.PKCS12 = "", c.Signature.Key
	}
	s, err := signing.LoadSigner(ctx, src)
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	return signing.NewRotatingSigner(s), nil
}

// LoadVerifier makes the verifier of callers' signatures. When revocation is
// configured its Run is a loop to be given to the gateway; else it is nil.
func (c Config) LoadVerifier(now func() time.Time) (*signing.Verifier, *signing.Revocation, error) {
	opt := signing.Options{Now: now, SignatureOnly: c.Trust.IgnoreDates}
	for _, a := range c.Trust.Algorithms {
		opt.Algorithms = append(opt.Algorithms, signing.Algorithm(a))
	}
	var revocation *signing.Revocation
	if len(c.Trust.Roots) > 0 {
		trust := signing.TrustOptions{}
		var err error
		if trust.Roots, err = readCertificates(c.Trust.Roots); err != nil {
			return nil, nil, fmt.Errorf("trust.roots: %w", err)
		}
		if trust.Intermediates, err = readCertificates(c.Trust.Intermediates); err != nil {
			return nil, nil, fmt.Errorf("trust.intermediates: %w", err)
		}
		if len(c.Trust.CRLs)+len(c.Trust.OCSP) > 0 {
			revocation, err = signing.NewRevocation(signing.RevocationOptions{CRLs: c.Trust.CRLs, OCSP: c.Trust.OCSP, FailOpen: c.Trust.FailOpen})
			if err != nil {
				return nil, nil, fmt.Errorf("trust: %w", err)
			}
			trust.Revocation = revocation
		}
		if opt.Trust, err = signing.NewTrust(trust); err != nil {
			return nil, nil, fmt.Errorf("trust: %w", err)
		}
	}
	v, err := signing.NewVerifier(opt)
	if err != nil {
		return nil, nil, fmt.Errorf("trust: %w", err)
	}
	return v, revocation, nil
}

func readCertificates(files []string) ([]*signing.Certificate, error) {
	var out []*signing.Certificate
	var bad []error
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		certs, err := signing.ParsePEMCertificates(src)
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", name, err))
		}
		out = append(out, certs...)
	}
	return out, errors.Join(bad...)
}
