package signing

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"time"
)

// maxChain is the longest chain that is looked for, root included; maxSteps
// bounds the search when many issuers share a name.
const (
	maxChain = 8
	maxSteps = 200
)

// maySign tells whether key usage, where it is stated, names signatures.
func maySign(c *Certificate) bool {
	u := c.X509.KeyUsage
	return u == 0 || u&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) != 0
}

// build finds a chain from c to a root in which every signature holds, every
// issuer is a CA that may issue, path lengths are kept and every certificate is
// valid at the moment. The reason given is that of the first dead end that got
// furthest.
func (t *Trust) build(c *Certificate, at time.Time) ([]*Certificate, *Error) {
	b := chainBuilder{trust: t, at: at, steps: maxSteps}
	if b.extend([]*Certificate{c}) {
		return b.found, nil
	}
	why := b.why
	if why == "" {
		why = fmt.Sprintf("no configured certificate has the name of its issuer, %s", c.Issuer())
	}
	return nil, &Error{Code: CertificateUntrusted, Certificate: c, Detail: why}
}

type chainBuilder struct {
	trust *Trust
	at    time.Time
	steps int
	found []*Certificate
	why   string
	depth int // of why
}

func (b *chainBuilder) fail(depth int, format string, args ...any) bool {
	if b.why == "" || depth > b.depth {
		b.why, b.depth = fmt.Sprintf(format, args...), depth
	}
	return false
}

func (b *chainBuilder) extend(chain []*Certificate) bool {
	depth := len(chain)
	last := chain[depth-1]
	if len(last.X509.UnhandledCriticalExtensions) > 0 {
		return b.fail(depth, "certificate %s has a critical extension that is not understood: %s", last.Subject(), last.X509.UnhandledCriticalExtensions[0])
	}
	if b.trust.roots[last.SHA256] {
		b.found = append([]*Certificate(nil), chain...)
		return true
	}
	if depth == maxChain {
		return b.fail(depth, "chain longer than %d certificates", maxChain)
	}
	for _, pool := range [2][]*Certificate{b.trust.opt.Roots, b.trust.opt.Intermediates} {
		for _, issuer := range pool {
			if !bytes.Equal(issuer.X509.RawSubject, last.X509.RawIssuer) || contains(chain, issuer) {
				continue
			}
			if b.steps--; b.steps < 0 {
				return b.fail(depth, "too many issuers of one name")
			}
			if why := mayIssue(issuer, last, depth-1, b.at); why != "" {
				b.fail(depth, "issuer %s: %s", issuer.Subject(), why)
				continue
			}
			if b.extend(append(chain, issuer)) {
				return true
			}
		}
	}
	return b.fail(depth, "no configured certificate has the name of the issuer of %s, %s", last.Subject(), last.Issuer())
}

func contains(chain []*Certificate, c *Certificate) bool {
	for _, x := range chain {
		if x.SHA256 == c.SHA256 {
			return true
		}
	}
	return false
}

// mayIssue says why issuer cannot have issued c, empty when it can. below is the
// number of intermediate certificates between issuer and the end entity.
func mayIssue(issuer, c *Certificate, below int, at time.Time) string {
	x := issuer.X509
	switch {
	case !x.BasicConstraintsValid || !x.IsCA:
		return "it is not a certification authority"
	case x.KeyUsage != 0 && x.KeyUsage&x509.KeyUsageCertSign == 0:
		return "its key may not sign certificates"
	case (x.MaxPathLen > 0 || x.MaxPathLenZero) && below > x.MaxPathLen:
		return "its path length constraint is exceeded"
	case hasNameConstraints(x):
		return "its name constraints are not supported"
	}
	if e := issuer.checkDates(at); e != nil {
		return "it was not valid then: " + e.Detail
	}
	if len(x.SubjectKeyId) > 0 && len(c.X509.AuthorityKeyId) > 0 && !bytes.Equal(x.SubjectKeyId, c.X509.AuthorityKeyId) {
		return "its key identifier is another"
	}
	if err := checkCertificateSignature(issuer, c); err != nil {
		return "its signature on the certificate does not hold: " + err.Error()
	}
	return ""
}

// checkCertificateSignature verifies the issuer's signature on c.
func checkCertificateSignature(issuer, c *Certificate) error {
	return checkX509Signature(issuer, c.X509.SignatureAlgorithm, outerAlgorithm(c.DER), c.X509.RawTBSCertificate, c.X509.Signature)
}

func hasNameConstraints(x *x509.Certificate) bool {
	return len(x.PermittedDNSDomains)+len(x.ExcludedDNSDomains)+len(x.PermittedIPRanges)+len(x.ExcludedIPRanges)+
		len(x.PermittedEmailAddresses)+len(x.ExcludedEmailAddresses)+len(x.PermittedURIDomains)+len(x.ExcludedURIDomains) > 0
}
