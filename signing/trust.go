package signing

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// TrustOptions says whose certificates are believed.
type TrustOptions struct {
	// Roots are the trust anchors. With none, chains are not asked for, and
	// Registered or nothing decides.
	Roots []*Certificate
	// Intermediates help to build chains. Certificates are never fetched.
	Intermediates []*Certificate
	// Registered, when not nil, tells whether a certificate is registered; one
	// that is not is refused. It is called for every signature and may look
	// into a register that changes.
	Registered func(*Certificate) bool
	// AnyUsage accepts a certificate whose key usage does not name signatures.
	AnyUsage bool
	// Revocation is asked after everything else; nil: revocation is not checked.
	Revocation *Revocation
	// VerdictTTL is how long a chain that was built is believed without building
	// it again; default one hour. Dates are looked at every time.
	VerdictTTL time.Duration
	// Verdicts is the number of chains kept; default 4096.
	Verdicts int
}

// Trust judges certificates. It is safe for concurrent use.
type Trust struct {
	opt   TrustOptions
	roots map[[32]byte]bool

	mu       sync.Mutex
	verdicts map[[32]byte]verdict
}

// verdict is a chain that was built, or why none could be.
type verdict struct {
	chain []*Certificate
	err   *Error
	made  time.Time
}

// NewTrust makes a Trust. No roots and no register is an error: such a Trust
// would trust everyone, and a Verifier without one says so more plainly.
func NewTrust(opt TrustOptions) (*Trust, error) {
	if len(opt.Roots) == 0 && opt.Registered == nil {
		return nil, errors.New("trust needs roots, registered certificates, or both")
	}
	if opt.VerdictTTL <= 0 {
		opt.VerdictTTL = time.Hour
	}
	if opt.Verdicts <= 0 {
		opt.Verdicts = 4096
	}
	t := &Trust{opt: opt, roots: map[[32]byte]bool{}, verdicts: map[[32]byte]verdict{}}
	for _, r := range opt.Roots {
		t.roots[r.SHA256] = true
	}
	return t, nil
}

// Check judges a certificate at a moment: registration, key usage, chain with
// the dates of its issuers, revocation. The end entity's own dates are included.
func (t *Trust) Check(c *Certificate, at time.Time) error {
	if err := c.checkDates(at); err != nil {
		return err
	}
	if err := t.check(c, at); err != nil {
		return err
	}
	if _, _, err := t.checkRevocation(c, at); err != nil {
		return err
	}
	return nil
}

// Chain gives the certificates from c to a root, c first, as they were built for
// this moment; nil when chains are not asked for.
func (t *Trust) Chain(c *Certificate, at time.Time) ([]*Certificate, error) {
	if len(t.opt.Roots) == 0 {
		return nil, nil
	}
	v := t.verdict(c, at)
	if v.err != nil {
		e := *v.err
		return nil, &e
	}
	return v.chain, nil
}

// check judges all that needs no network.
func (t *Trust) check(c *Certificate, at time.Time) *Error {
	if t.opt.Registered != nil && !t.opt.Registered(c) {
		return &Error{Code: CertificateUnregistered, Certificate: c, Detail: fmt.Sprintf("certificate %s (%s) is not registered", c.Subject(), c.Fingerprint())}
	}
	if !t.opt.AnyUsage && !maySign(c) {
		return &Error{Code: CertificateUsage, Certificate: c, Detail: "key usage names neither digitalSignature nor nonRepudiation"}
	}
	if len(t.opt.Roots) == 0 {
		return nil
	}
	v := t.verdict(c, at)
	if v.err != nil {
		e := *v.err
		return &e
	}
	return nil
}

// verdict builds a chain or takes the one that is kept. A kept chain is used
// while it is fresh and every certificate in it is valid at the moment.
func (t *Trust) verdict(c *Certificate, at time.Time) verdict {
	t.mu.Lock()
	v, ok := t.verdicts[c.SHA256]
	t.mu.Unlock()
	if ok && t.fresh(v, at) {
		return v
	}
	chain, err := t.build(c, at)
	v = verdict{chain, err, at}
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range t.verdicts {
		if len(t.verdicts) < t.opt.Verdicts {
			break
		}
		delete(t.verdicts, k)
	}
	t.verdicts[c.SHA256] = v
	return v
}

func (t *Trust) fresh(v verdict, at time.Time) bool {
	if age := at.Sub(v.made); age < 0 || age > t.opt.VerdictTTL {
		return false
	}
	for _, c := range v.chain {
		if c.checkDates(at) != nil {
			return false
		}
	}
	return true
}
