package adapter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"mezhved/adapter/registry"
	"mezhved/signing"
)

// LoadSigner opens the gateway's own key as a signer that can be rotated:
// Replace it with the result of another LoadSigner. It is nil with Signature.Off.
func (c Config) LoadSigner(ctx context.Context) (*signing.RotatingSigner, error) {
	if c.Signature.Off {
		return nil, nil
	}
	s, err := loadSigner(ctx, c.Signature.Key, c.Signature.Certificate, c.Signature.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	return signing.NewRotatingSigner(signing.Repeatable(s)), nil // no two answers are the same: each has its time or its message
}

func loadSigner(ctx context.Context, key, certificate, passwordFile string) (signing.Signer, error) {
	src := signing.KeySource{Key: key, Certificate: certificate, PasswordFile: passwordFile}
	if isPKCS12(key) {
		src.Key, src.PKCS12 = "", key
	}
	return signing.LoadSigner(ctx, src)
}

// LoadProbeSigner opens the key of the party that probes; nil when there is none. Its
// certificate must be registered for the party in the catalog; nil: that is not looked at.
func (c Config) LoadProbeSigner(ctx context.Context, catalog *registry.Catalog) (signing.Signer, error) {
	if c.Probe.Party == "" {
		return nil, nil
	}
	s, err := loadSigner(ctx, c.Probe.Key, c.Probe.Certificate, c.Probe.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	if catalog == nil {
		return s, nil
	}
	if p := catalog.PartyOf(s.Certificate().SHA256); p == nil || p.Mnemonic != Mnemonic(c.Probe.Party) {
		return nil, fmt.Errorf("probe: the certificate of %s is not registered for the party %s: register it", s.Certificate().Subject(), c.Probe.Party)
	}
	return s, nil
}

// LoadVerifier makes the verifier of callers' signatures. When revocation is
// configured its Run is a loop to be given to the gateway; else it is nil.
func (c Config) LoadVerifier(now func() time.Time) (*signing.Verifier, *signing.Revocation, error) {
	opt := signing.Options{Now: now, SignatureOnly: c.Trust.IgnoreDates}
	for _, a := range c.Trust.Algorithms {
		opt.Algorithms = append(opt.Algorithms, signing.Algorithm(a))
	}
	var revocation *signing.Revocation
	var err error
	if opt.Trust, revocation, err = c.loadTrust(); err != nil {
		return nil, nil, err
	}
	v, err := signing.NewVerifier(opt)
	if err != nil {
		return nil, nil, fmt.Errorf("trust: %w", err)
	}
	return v, revocation, nil
}

// loadTrust makes what certificates are held against; nil without roots.
func (c Config) loadTrust() (*signing.Trust, *signing.Revocation, error) {
	if len(c.Trust.Roots) == 0 {
		return nil, nil, nil
	}
	opt := signing.TrustOptions{}
	var err error
	if opt.Roots, err = readCertificates(c.Trust.Roots); err != nil {
		return nil, nil, fmt.Errorf("trust.roots: %w", err)
	}
	if opt.Intermediates, err = readCertificates(c.Trust.Intermediates); err != nil {
		return nil, nil, fmt.Errorf("trust.intermediates: %w", err)
	}
	if len(c.Trust.CRLs)+len(c.Trust.OCSP) > 0 {
		opt.Revocation, err = signing.NewRevocation(signing.RevocationOptions{CRLs: c.Trust.CRLs, OCSP: c.Trust.OCSP, FailOpen: c.Trust.FailOpen})
		if err != nil {
			return nil, nil, fmt.Errorf("trust: %w", err)
		}
	}
	trust, err := signing.NewTrust(opt)
	if err != nil {
		return nil, nil, fmt.Errorf("trust: %w", err)
	}
	return trust, opt.Revocation, nil
}

// LoadGate is Protocols with the judge of their signatures: by the authorities of time
// and the revocation that the configuration names.
func (c Config) LoadGate() (registry.Gate, error) {
	gate := c.Protocols
	trust, revocation, err := c.loadTrust()
	if err != nil {
		return gate, err
	}
	files := gate.Authorities
	if len(files) == 0 {
		files = slices.Concat(c.Journal.Timestamp.Anchors, c.Trust.Roots)
	}
	authorities, err := readCertificates(files)
	if err != nil {
		return gate, fmt.Errorf("protocols.authorities: %w", err)
	}
	if gate, err = gate.JudgedBy(authorities, trust, revocation); err != nil {
		return gate, fmt.Errorf("protocols.authorities: %w", err)
	}
	return gate, nil
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
