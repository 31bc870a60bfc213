package signing

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"sync"
	"time"
)

// RevocationOptions says where to learn which certificates are revoked. Only
// what is configured here is ever read or asked; the addresses that stand in
// certificates, which their makers chose, are never followed.
type RevocationOptions struct {
	// CRLs are files or http(s) addresses of complete revocation lists, DER or PEM.
	CRLs []string
	// OCSP are http(s) addresses of responders, asked in this order for what no
	// fresh list answers.
	OCSP []string
	// FailOpen accepts a certificate of which nobody could say anything. The
	// default is to fail closed: RevocationUnknown. State it per environment.
	FailOpen bool
	// MaxAge is how old a list or answer may be at most, whatever its
	// nextUpdate says; zero: until nextUpdate, and nothing without one.
	MaxAge time.Duration
	// Refresh is how often the lists are read again by Run; default 15 minutes.
	Refresh time.Duration
	// Timeout bounds each read of a list and each question; default 5 s.
	Timeout time.Duration
	// Silence is how long a responder that does not answer is asked nothing more,
	// and one that could not tell of a certificate is not asked about it again;
	// default 30 s. Meanwhile what it would be asked is unknown at once.
	Silence time.Duration
	// MaxCRL bounds the size of a list; default 64 MiB.
	MaxCRL int64
	// Client makes the requests; default one that follows no redirects.
	Client *httpClient
}

// Revocation answers whether certificates are revoked, from lists and responders
// that are configured. It is safe for concurrent use.
type Revocation struct {
	opt RevocationOptions

	loading sync.Mutex // held by the one who reads the lists for the first time

	mu      sync.Mutex
	lists   map[string]*revocationList // by where they come from
	failed  map[string]error
	loaded  bool
	answers map[[32]byte]cachedAnswer
	kept    map[string][]*keptAnswer    // of KeptRevocation: answers of responders, by serial number
	proved  map[keptQuestion]keptProof  // and what they were found to prove
	asking  map[[32]byte]*question      // under way now, by certificate
	silent  map[string]failedQuestion   // responders that do not answer, by address
	unknown map[[32]byte]failedQuestion // certificates of which nobody could tell
}

// question is one that is under way: whoever wants to know the same waits for it.
type question struct {
	done   chan struct{}
	answer *ocspAnswer
	why    error
}

type failedQuestion struct {
	why   error
	until time.Time // of the wall's clock: about the network, not about certificates
}

type cachedAnswer struct {
	answer ocspAnswer
	until  time.Time
}

// maxAnswers bounds the answers kept; ocspKept is how long one without nextUpdate
// or with a far one is used.
const (
	maxAnswers = 10_000
	ocspKept   = time.Hour
)

// NewRevocation makes a Revocation. Nothing configured, or an address that is no
// file and no http(s) URL, is an error.
func NewRevocation(opt RevocationOptions) (*Revocation, error) {
	if len(opt.CRLs)+len(opt.OCSP) == 0 {
		return nil, errors.New("revocation needs revocation lists, OCSP responders, or both")
	}
	for _, u := range opt.OCSP {
		if !isHTTP(u) {
			return nil, fmt.Errorf("OCSP responder %q is no http(s) address", u)
		}
	}
	if opt.Refresh <= 0 {
		opt.Refresh = 15 * time.Minute
	}
	if opt.Timeout <= 0 {
		opt.Timeout = 5 * time.Second
	}
	if opt.Silence <= 0 {
		opt.Silence = 30 * time.Second
	}
	if opt.MaxCRL <= 0 {
		opt.MaxCRL = 64 << 20
	}
	if opt.Client == nil {
		opt.Client = newRevocationClient()
	}
	return &Revocation{
		opt: opt, lists: map[string]*revocationList{}, failed: map[string]error{}, answers: map[[32]byte]cachedAnswer{},
		asking: map[[32]byte]*question{}, silent: map[string]failedQuestion{}, unknown: map[[32]byte]failedQuestion{},
	}, nil
}

// KeptRevocation answers from lists and answers of responders that others have kept,
// as of the moments at which they were fresh, and asks nobody: for judging later what
// was judged then. What they do not say is let pass, with the reason (FailOpen).
// Those that are neither are passed by.
func KeptRevocation(answers ...[]byte) *Revocation {
	r := &Revocation{opt: RevocationOptions{FailOpen: true}, lists: map[string]*revocationList{}, failed: map[string]error{}, loaded: true,
		kept: map[string][]*keptAnswer{}, proved: map[keptQuestion]keptProof{}}
	kept := 0
	for i, der := range answers {
		l, err := parseRevocationList(der)
		if err != nil {
			r.index(fmt.Sprintf("kept answer %d", kept+1), der)
			kept++
			continue
		}
		name := fmt.Sprintf("kept list %d", i+1)
		l.as = &RevocationAnswer{"crl", name, l.x.Raw, sha256.Sum256(l.x.Raw), l.x.ThisUpdate, l.x.NextUpdate}
		r.opt.CRLs = append(r.opt.CRLs, name)
		r.lists[name] = l
	}
	return r
}

// keptAnswer is an answer of a responder that others have kept.
type keptAnswer struct {
	name  string
	der   []byte
	basic *ocspBasic
	said  *ocspData
}

// keptQuestion is what an answer may be asked, keptProof what it proves: signatures are
// verified once, however many moments are asked about.
type (
	keptQuestion struct {
		of           *keptAnswer
		cert, issuer [32]byte
	}
	keptProof struct {
		answer  *ocspAnswer // nil: it is about another, or no answer
		signers []*Certificate
	}
)

// index takes an answer in under the serial numbers that it names.
func (r *Revocation) index(name string, der []byte) {
	if len(der) > maxOCSP {
		return // nobody has been given it by a responder
	}
	basic, said, err := readOCSP(der)
	if err != nil {
		return
	}
	k, seen := &keptAnswer{name, der, basic, said}, map[string]bool{}
	for i := range said.Responses {
		if serial := string(said.Responses[i].ID.SerialNumber.Bytes()); !seen[serial] {
			seen[serial] = true
			r.kept[serial] = append(r.kept[serial], k)
		}
	}
}

// fromKept looks for an answer about the certificate that was fresh then.
func (r *Revocation) fromKept(cert, issuer *Certificate, at time.Time) (*ocspAnswer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	why := errNoList
	for _, k := range r.kept[string(cert.X509.SerialNumber.Bytes())] {
		q := keptQuestion{k, cert.SHA256, issuer.SHA256}
		p, asked := r.proved[q]
		if !asked {
			p = k.prove(cert, issuer)
			r.proved[q] = p
		}
		if p.answer == nil || !anyBy(p.signers, issuer, at) {
			continue
		}
		if err := r.freshAnswer(p.answer, at); err != nil {
			why = err
			continue
		}
		return p.answer, nil
	}
	return nil, why
}

func (k *keptAnswer) prove(cert, issuer *Certificate) (p keptProof) {
	a, err := k.said.about(cert, issuer)
	if err != nil {
		return p
	}
	if p.signers = k.basic.signers(issuer); len(p.signers) > 0 {
		a.as = &RevocationAnswer{"ocsp", k.name, k.der, sha256.Sum256(k.der), a.thisUpdate, a.nextUpdate}
		p.answer = a
	}
	return p
}

// Run reads the lists now and again every Refresh until ctx ends. Without it they
// are read once, at the first question.
func (r *Revocation) Run(ctx context.Context) error {
	ticker := time.NewTicker(r.opt.Refresh)
	defer ticker.Stop()
	for {
		r.Load(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// Load reads the lists. A list that cannot be read keeps its former contents,
// which go stale by their own dates; the errors are joined.
func (r *Revocation) Load(ctx context.Context) error {
	var errs []error
	for _, from := range r.opt.CRLs {
		list, err := r.read(ctx, from)
		r.mu.Lock()
		if err != nil {
			err = fmt.Errorf("revocation list %s: %w", from, err)
			errs = append(errs, err)
			r.failed[from] = err
		} else {
			r.lists[from] = list
			delete(r.failed, from)
		}
		r.mu.Unlock()
	}
	r.mu.Lock()
	r.loaded = true
	r.mu.Unlock()
	return errors.Join(errs...)
}

// Problems lists what an operator should know: lists that could not be read, and
// lists that are stale at the moment.
func (r *Revocation) Problems(at time.Time) []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []error
	for _, from := range r.opt.CRLs {
		if err := r.failed[from]; err != nil {
			out = append(out, err)
		}
		if l := r.lists[from]; l != nil && !l.fresh(at, r.opt.MaxAge) {
			out = append(out, fmt.Errorf("revocation list %s is stale: made %s, next due %s", from,
				l.x.ThisUpdate.UTC().Format(time.RFC3339), l.x.NextUpdate.UTC().Format(time.RFC3339)))
		}
	}
	return out
}

func (r *Revocation) read(ctx context.Context, from string) (*revocationList, error) {
	ctx, cancel := context.WithTimeout(ctx, r.opt.Timeout)
	defer cancel()
	var body io.ReadCloser
	if isHTTP(from) {
		var err error
		if body, err = getList(ctx, r.opt.Client, from); err != nil {
			return nil, err
		}
	} else {
		f, err := os.Open(from)
		if err != nil {
			return nil, err
		}
		body = f
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, r.opt.MaxCRL+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > r.opt.MaxCRL {
		return nil, fmt.Errorf("longer than %d bytes", r.opt.MaxCRL)
	}
	l, err := parseRevocationList(data)
	if err == nil {
		l.as = &RevocationAnswer{"crl", from, l.x.Raw, sha256.Sum256(l.x.Raw), l.x.ThisUpdate, l.x.NextUpdate}
	}
	return l, err
}

// check says whether cert, issued by issuer, was revoked until a moment, by what is
// known at another: nil, or an *Error CertificateRevoked or RevocationUnknown. decided is what said so, and
// unchecked is why nobody could say, where that is let pass.
func (r *Revocation) check(cert, issuer *Certificate, at, until time.Time) (decided *RevocationAnswer, unchecked error, err *Error) {
	decided, revokedAt, revoked := r.fromLists(cert, issuer, at)
	why := errNoList
	if decided == nil {
		var answer *ocspAnswer
		if answer, why = r.fromOCSP(cert, issuer, at); answer != nil {
			decided, revoked, revokedAt = answer.as, answer.revoked, answer.revokedAt
		}
	}
	switch {
	case revoked && !revokedAt.After(until):
		return decided, nil, &Error{Code: CertificateRevoked, Certificate: cert, NotBefore: cert.NotBefore(), NotAfter: cert.NotAfter(),
			Detail: fmt.Sprintf("certificate %s was revoked on %s", cert.Subject(), revokedAt.UTC().Format(time.RFC3339))}
	case decided != nil:
		return decided, nil, nil
	case r.opt.FailOpen:
		return nil, why, nil
	}
	return nil, nil, &Error{Code: RevocationUnknown, Certificate: cert, Err: why,
		Detail: "nobody can say whether certificate " + cert.Subject() + " is revoked"}
}

// fromLists looks into the fresh lists of the issuer; a certificate is good when
// one of them does not name it and none does. It decides by the list that names
// the certificate, else by the latest fresh one.
func (r *Revocation) fromLists(cert, issuer *Certificate, at time.Time) (decided *RevocationAnswer, when time.Time, revoked bool) {
	r.firstLoad()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, from := range r.opt.CRLs {
		l := r.lists[from]
		if l == nil || !l.by(issuer) {
			continue
		}
		// A stale list still knows whom it named.
		if when, revoked = l.revoked[string(cert.X509.SerialNumber.Bytes())]; revoked {
			return l.as, when, true
		}
		if l.fresh(at, r.opt.MaxAge) && (decided == nil || l.as.ThisUpdate.After(decided.ThisUpdate)) {
			decided = l.as
		}
	}
	return decided, time.Time{}, false
}

// firstLoad reads the lists when nobody has.
func (r *Revocation) firstLoad() {
	r.loading.Lock()
	defer r.loading.Unlock()
	r.mu.Lock()
	loaded := r.loaded
	r.mu.Unlock()
	if !loaded {
		r.Load(context.Background())
	}
}

// RevocationAnswer is a list or an answer by which a certificate was judged, as
// it was received. It is shared: nobody may change it.
type RevocationAnswer struct {
	Kind       string // "crl" or "ocsp"
	Source     string // the configured file or address
	DER        []byte
	SHA256     [32]byte // of DER
	ThisUpdate time.Time
	NextUpdate time.Time // zero: not stated
}

// fromOCSP takes an answer that is kept, waits for one that somebody else has asked
// for, or asks.
func (r *Revocation) fromOCSP(cert, issuer *Certificate, at time.Time) (*ocspAnswer, error) {
	if len(r.kept) > 0 {
		return r.fromKept(cert, issuer, at)
	}
	r.mu.Lock()
	kept, ok := r.answers[cert.SHA256]
	r.mu.Unlock()
	if ok && !at.After(kept.until) && !at.Before(kept.answer.thisUpdate.Add(-clockSkew)) {
		return &kept.answer, nil
	}
	if len(r.opt.OCSP) == 0 {
		return nil, errNoList
	}
	r.mu.Lock()
	if failed, ok := r.unknown[cert.SHA256]; ok && time.Now().Before(failed.until) {
		r.mu.Unlock()
		return nil, failed.why
	}
	q := r.asking[cert.SHA256]
	if q != nil {
		r.mu.Unlock()
		<-q.done
		return q.answer, q.why
	}
	q = &question{done: make(chan struct{})}
	r.asking[cert.SHA256] = q
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.asking, cert.SHA256)
		if q.answer == nil {
			makeRoom(r.unknown)
			r.unknown[cert.SHA256] = failedQuestion{q.why, time.Now().Add(r.opt.Silence)}
		}
		r.mu.Unlock()
		close(q.done)
	}()
	q.why = errors.New("the question broke off") // should it panic
	q.answer, q.why = r.ask(cert, issuer, at)
	return q.answer, q.why
}

var errNoList = errors.New("no fresh revocation list of its issuer")

// ask asks the responders one after the other, but for those that were silent a
// moment ago.
func (r *Revocation) ask(cert, issuer *Certificate, at time.Time) (*ocspAnswer, error) {
	why := errNoList
	for _, u := range r.opt.OCSP {
		r.mu.Lock()
		failed, silent := r.silent[u]
		r.mu.Unlock()
		if silent && time.Now().Before(failed.until) {
			why = failed.why
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), r.opt.Timeout)
		answer, err := askOCSP(ctx, r.opt.Client, u, cert, issuer, at)
		cancel()
		var unreached *url.Error
		r.mu.Lock()
		if errors.As(err, &unreached) || errors.Is(err, context.DeadlineExceeded) {
			r.silent[u] = failedQuestion{fmt.Errorf("OCSP %s: %w", u, err), time.Now().Add(r.opt.Silence)}
		} else {
			delete(r.silent, u)
		}
		r.mu.Unlock()
		if err == nil {
			err = r.freshAnswer(answer, at)
		}
		if err != nil {
			why = fmt.Errorf("OCSP %s: %w", u, err)
			continue
		}
		r.keep(cert, answer, at)
		return answer, nil
	}
	return nil, why
}

func (r *Revocation) freshAnswer(a *ocspAnswer, at time.Time) error {
	switch {
	case a.thisUpdate.After(at.Add(clockSkew)):
		return errors.New("the answer is from the future")
	case !a.nextUpdate.IsZero() && at.After(a.nextUpdate):
		return errors.New("the answer is stale")
	case r.opt.MaxAge > 0 && at.Sub(a.thisUpdate) > r.opt.MaxAge:
		return errors.New("the answer is older than allowed")
	case a.nextUpdate.IsZero() && r.opt.MaxAge == 0 && at.Sub(a.thisUpdate) > ocspKept:
		return errors.New("the answer has no nextUpdate and is old")
	}
	return nil
}

func (r *Revocation) keep(cert *Certificate, a *ocspAnswer, at time.Time) {
	until := at.Add(ocspKept)
	if !a.nextUpdate.IsZero() && a.nextUpdate.Before(until) {
		until = a.nextUpdate
	}
	if r.opt.MaxAge > 0 {
		if oldest := a.thisUpdate.Add(r.opt.MaxAge); oldest.Before(until) {
			until = oldest
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	makeRoom(r.answers)
	r.answers[cert.SHA256] = cachedAnswer{*a, until}
}

// makeRoom drops an arbitrary entry of a table that is full.
func makeRoom[V any](table map[[32]byte]V) {
	for k := range table {
		if len(table) < maxAnswers {
			break
		}
		delete(table, k)
	}
}

// checkRevocation asks about every certificate of the chain below the root.
// Without chains the issuer is looked for among the intermediates. decided are the
// answers that said so, that about c first; an error has those that were had.
// unchecked is as for Revocation.check.
func (t *Trust) checkRevocation(c *Certificate, at time.Time) (decided []*RevocationAnswer, unchecked error, _ *Error) {
	return t.revokedUntil(c, at, at, at)
}

// CheckSigned judges a certificate whose key made a signature at a moment, and that is
// looked at later: its dates, its registration and its chain as of then, and by what is
// known now whether it was revoked. A revocation after the signature counts unless the
// moment is proved (by a time stamp), since whoever has a stolen key writes any date.
// unchecked is why nobody could say, where revocation is configured and lets that pass.
func (t *Trust) CheckSigned(c *Certificate, made, now time.Time, proved bool) (unchecked error, err error) {
	if err := c.checkDates(made); err != nil {
		return nil, err
	}
	if err := t.check(c, made); err != nil {
		return nil, err
	}
	until := now
	if proved {
		until = made
	}
	if _, unchecked, err := t.revokedUntil(c, made, now, until); err != nil {
		return nil, err
	} else {
		return unchecked, nil
	}
}

// revokedUntil is checkRevocation with the moment of the chain, that of the answers, and
// until when a revocation counts.
func (t *Trust) revokedUntil(c *Certificate, chained, at, until time.Time) (decided []*RevocationAnswer, unchecked error, _ *Error) {
	if t.opt.Revocation == nil {
		return nil, nil, nil
	}
	chain, err := t.Chain(c, chained)
	if err != nil || len(chain) == 0 {
		issuer := t.issuerOf(c, chained)
		if issuer == nil {
			const nobody = "the issuer's certificate is not configured, so nobody can be asked"
			if t.opt.Revocation.opt.FailOpen {
				return nil, errors.New(nobody), nil
			}
			return nil, nil, &Error{Code: RevocationUnknown, Certificate: c, Detail: nobody}
		}
		chain = []*Certificate{c, issuer}
	}
	for i := 0; i+1 < len(chain); i++ {
		by, why, e := t.opt.Revocation.check(chain[i], chain[i+1], at, until)
		if by != nil {
			decided = append(decided, by)
		}
		if e != nil {
			e.Revocation = decided
			return nil, nil, e
		}
		if why != nil {
			unchecked = why
		}
	}
	return decided, unchecked, nil
}

func (t *Trust) issuerOf(c *Certificate, at time.Time) *Certificate {
	for _, issuer := range t.opt.Intermediates {
		if string(issuer.X509.RawSubject) == string(c.X509.RawIssuer) && mayIssue(issuer, c, 0, at) == "" {
			return issuer
		}
	}
	return nil
}

func isHTTP(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
