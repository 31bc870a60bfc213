package signing

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// pki is a root, an intermediate below it, and an end entity below that.
type pki struct {
	root, mid *TestCA
	leaf      *Identity
}

func newPKI(t testing.TB, kind KeyType) *pki {
	t.Helper()
	begin := testNow.AddDate(-1, 0, 0)
	root, err := NewTestCA("Root "+string(kind), kind, begin)
	if err != nil {
		t.Fatal(err)
	}
	mid, err := root.Issue(TestSubject{CommonName: "Intermediate " + string(kind), Key: kind, CA: true}, begin)
	if err != nil {
		t.Fatal(err)
	}
	p := &pki{root: root, mid: &TestCA{mid.Certificate, mid.Key}}
	p.leaf = p.issue(t, TestSubject{CommonName: "Leaf", Key: kind})
	return p
}

func (p *pki) issue(t testing.TB, s TestSubject) *Identity {
	t.Helper()
	id, err := p.mid.Issue(s, testNow.AddDate(0, -1, 0))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (p *pki) trust(t testing.TB, opt TrustOptions) *Trust {
	t.Helper()
	if opt.Roots == nil && opt.Registered == nil {
		opt.Roots = []*Certificate{p.root.Certificate}
	}
	if opt.Intermediates == nil {
		opt.Intermediates = []*Certificate{p.mid.Certificate}
	}
	tr, err := NewTrust(opt)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestChains(t *testing.T) {
	for _, kind := range []KeyType{KeyECDSA256, KeyRSA2048, KeyGOST256, KeyGOST512} {
		t.Run(string(kind), func(t *testing.T) {
			p := newPKI(t, kind)
			other := newPKI(t, kind)
			other.mid.Certificate.X509.RawSubject = p.mid.Certificate.X509.RawSubject // same name, another key
			expiredMid, err := p.root.Issue(TestSubject{CommonName: "Short", Key: kind, CA: true, Lifetime: time.Hour}, testNow.AddDate(0, -2, 0))
			if err != nil {
				t.Fatal(err)
			}
			short := &pki{root: p.root, mid: &TestCA{expiredMid.Certificate, expiredMid.Key}}
			notCA := &pki{root: p.root, mid: &TestCA{p.leaf.Certificate, p.leaf.Key}}
			for _, tt := range []struct {
				name string
				leaf *Certificate
				opt  TrustOptions
				want Code
				says string
			}{
				{"chain", p.leaf.Certificate, TrustOptions{}, "", ""},
				{"root itself", p.root.Certificate, TrustOptions{AnyUsage: true}, "", ""},
				{"end entity as anchor", p.leaf.Certificate, TrustOptions{Roots: []*Certificate{p.leaf.Certificate}}, "", ""},
				{"no intermediate", p.leaf.Certificate, TrustOptions{Intermediates: []*Certificate{other.root.Certificate}}, CertificateUntrusted, "no configured certificate"},
				{"another root of the name", p.leaf.Certificate, TrustOptions{Roots: []*Certificate{other.root.Certificate}}, CertificateUntrusted, "key identifier"},
				{"issuer of the same name", p.leaf.Certificate, TrustOptions{Intermediates: []*Certificate{other.mid.Certificate}}, CertificateUntrusted, "key identifier"},
				{"expired intermediate", short.issue(t, TestSubject{CommonName: "x", Key: kind}).Certificate, TrustOptions{Intermediates: []*Certificate{short.mid.Certificate}}, CertificateUntrusted, "not valid then"},
				{"issuer is no CA", notCA.issue(t, TestSubject{CommonName: "x", Key: kind}).Certificate, TrustOptions{Intermediates: []*Certificate{p.leaf.Certificate, p.mid.Certificate}}, CertificateUntrusted, "not a certification authority"},
				{"key usage", p.issue(t, TestSubject{CommonName: "x", Key: kind, Usage: x509.KeyUsageKeyEncipherment}).Certificate, TrustOptions{}, CertificateUsage, ""},
				{"any key usage", p.issue(t, TestSubject{CommonName: "x", Key: kind, Usage: x509.KeyUsageKeyEncipherment}).Certificate, TrustOptions{AnyUsage: true}, "", ""},
				{"not registered", p.leaf.Certificate, TrustOptions{Registered: func(*Certificate) bool { return false }}, CertificateUnregistered, "not registered"},
				{"registered", p.leaf.Certificate, TrustOptions{Registered: func(c *Certificate) bool { return c.SHA256 == p.leaf.Certificate.SHA256 }}, "", ""},
			} {
				err := p.trust(t, tt.opt).Check(tt.leaf, testNow)
				if got := code(err); got != tt.want || err != nil && !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%s: got %v, want %q saying %q", tt.name, err, tt.want, tt.says)
				}
			}
		})
	}
}

// A chain whose signature was made by nobody is not believed, whatever its names.
func TestForgedCertificate(t *testing.T) {
	for _, kind := range []KeyType{KeyECDSA256, KeyRSA2048, KeyGOST256} {
		p := newPKI(t, kind)
		for i := range p.leaf.Certificate.DER {
			if i%7 != 0 {
				continue
			}
			der := append([]byte(nil), p.leaf.Certificate.DER...)
			der[i] ^= 0x04
			c, err := ParseCertificate(der)
			if err != nil {
				continue
			}
			if p.trust(t, TrustOptions{AnyUsage: true}).Check(c, testNow) == nil {
				t.Errorf("%s: certificate with byte %d changed is trusted", kind, i)
			}
		}
	}
}

// A verdict is kept, but dates are looked at every time.
func TestVerdictAndDates(t *testing.T) {
	p := newPKI(t, KeyECDSA256)
	tr := p.trust(t, TrustOptions{VerdictTTL: 1000 * 24 * time.Hour})
	if err := tr.Check(p.leaf.Certificate, testNow); err != nil {
		t.Fatal(err)
	}
	after := p.leaf.Certificate.NotAfter().Add(time.Second)
	if got := code(tr.Check(p.leaf.Certificate, after)); got != CertificateExpired {
		t.Errorf("got %q, want %s", got, CertificateExpired)
	}
	if _, err := NewTrust(TrustOptions{}); err == nil {
		t.Error("a Trust that trusts everyone was made")
	}
}

// A chain is built once an hour, or as often as the policy says, and not more
// verdicts are kept than it says.
func TestVerdictsAreKept(t *testing.T) {
	p := newPKI(t, KeyECDSA256)
	for _, tt := range []struct{ ttl, kept time.Duration }{{0, time.Hour}, {time.Minute, time.Minute}} {
		tr := p.trust(t, TrustOptions{VerdictTTL: tt.ttl, Verdicts: 2})
		if err := tr.Check(p.leaf.Certificate, testNow); err != nil {
			t.Fatal(err)
		}
		tr.opt.Intermediates = nil // a chain built from now on would be none
		if err := tr.Check(p.leaf.Certificate, testNow.Add(tt.kept)); err != nil {
			t.Errorf("within %v: built again: %v", tt.kept, err)
		}
		if err := tr.Check(p.leaf.Certificate, testNow.Add(-time.Second)); code(err) != CertificateUntrusted {
			t.Errorf("before it was built: got %v", err)
		}
		if err := tr.Check(p.leaf.Certificate, testNow.Add(tt.kept+time.Second)); code(err) != CertificateUntrusted {
			t.Errorf("after %v: the old verdict was used: %v", tt.kept, err)
		}
		for i := range 5 {
			tr.Check(p.issue(t, TestSubject{CommonName: fmt.Sprint(i)}).Certificate, testNow)
		}
		if n := len(tr.verdicts); n > 2 {
			t.Errorf("%d verdicts are kept, want at most 2", n)
		}
	}
	// Many are kept by default.
	tr := p.trust(t, TrustOptions{})
	for i := range 10 {
		tr.Check(p.issue(t, TestSubject{CommonName: fmt.Sprint(i)}).Certificate, testNow)
	}
	if n := len(tr.verdicts); n != 10 {
		t.Errorf("%d verdicts are kept, want all 10", n)
	}
}

// An intermediate that expires ends its chain, whatever verdict is kept.
func TestVerdictOfExpiredIssuer(t *testing.T) {
	begin := testNow.AddDate(0, -2, 0)
	root, err := NewTestCA("Root", KeyECDSA256, begin)
	if err != nil {
		t.Fatal(err)
	}
	mid, err := root.Issue(TestSubject{CommonName: "Mid", CA: true, NotBefore: begin, Lifetime: testNow.Sub(begin) + 10*time.Minute}, begin)
	if err != nil {
		t.Fatal(err)
	}
	p := &pki{root: root, mid: &TestCA{mid.Certificate, mid.Key}}
	leaf := p.issue(t, TestSubject{CommonName: "Leaf"}).Certificate
	tr := p.trust(t, TrustOptions{})
	if err := tr.Check(leaf, testNow); err != nil {
		t.Fatal(err)
	}
	if err := tr.Check(leaf, testNow.Add(11*time.Minute)); code(err) != CertificateUntrusted {
		t.Errorf("got %v, want %s", err, CertificateUntrusted)
	}
}

// Trust is asked in Verify, before the signature value costs anything.
func TestVerifyWithTrust(t *testing.T) {
	p := newPKI(t, KeyECDSA256)
	s, err := p.leaf.Signer()
	if err != nil {
		t.Fatal(err)
	}
	tape := parse(t, signedRequest(t, sampleContent, s))
	sig, target := caller(tape)
	if _, err := verifier(t, Options{Trust: p.trust(t, TrustOptions{})}).Verify(sig, target); err != nil {
		t.Error(err)
	}
	stranger := newPKI(t, KeyECDSA256)
	_, err = verifier(t, Options{Trust: stranger.trust(t, TrustOptions{})}).Verify(sig, target)
	if code(err) != CertificateUntrusted {
		t.Errorf("got %v, want %s", err, CertificateUntrusted)
	}
	if _, err := verifier(t, Options{Trust: stranger.trust(t, TrustOptions{}), SignatureOnly: true}).Verify(sig, target); err != nil {
		t.Errorf("signature only: got %v", err)
	}
}

func revocation(t testing.TB, opt RevocationOptions) *Revocation {
	t.Helper()
	r, err := NewRevocation(opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRevocationLists(t *testing.T) {
	for _, kind := range []KeyType{KeyECDSA256, KeyGOST256} {
		t.Run(string(kind), func(t *testing.T) {
			p := newPKI(t, kind)
			dir := t.TempDir()
			list := func(name string, ca *TestCA, from time.Time, revoked ...*big.Int) string {
				der, err := ca.RevocationList(1, from, from.Add(24*time.Hour), revoked...)
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, der, 0o600); err != nil {
					t.Fatal(err)
				}
				return path
			}
			leaf := p.leaf.Certificate
			fresh := testNow.Add(-time.Hour)
			rootList := list("root", p.root, fresh)
			clean := list("clean", p.mid, fresh, big.NewInt(5))
			names := list("names", p.mid, fresh, leaf.X509.SerialNumber)
			stale := list("stale", p.mid, testNow.AddDate(0, 0, -7))
			staleNames := list("stale-names", p.mid, testNow.AddDate(0, 0, -7), leaf.X509.SerialNumber)
			midRevoked := list("mid", p.root, fresh, p.mid.Certificate.X509.SerialNumber)
			forged := newPKI(t, kind)
			forgedList := list("forged", forged.mid, fresh)
			garbage := filepath.Join(dir, "garbage")
			os.WriteFile(garbage, []byte("no list"), 0o600)
			for _, tt := range []struct {
				name string
				opt  RevocationOptions
				want Code
			}{
				{"good", RevocationOptions{CRLs: []string{rootList, clean}}, ""},
				{"revoked", RevocationOptions{CRLs: []string{rootList, names}}, CertificateRevoked},
				{"revoked, open", RevocationOptions{CRLs: []string{rootList, names}, FailOpen: true}, CertificateRevoked},
				{"intermediate revoked", RevocationOptions{CRLs: []string{midRevoked, clean}}, CertificateRevoked},
				{"no list of the root", RevocationOptions{CRLs: []string{clean}}, RevocationUnknown},
				{"stale", RevocationOptions{CRLs: []string{rootList, stale}}, RevocationUnknown},
				{"stale, open", RevocationOptions{CRLs: []string{rootList, stale}, FailOpen: true}, ""},
				{"a stale list still names", RevocationOptions{CRLs: []string{rootList, staleNames, clean}}, CertificateRevoked},
				{"too old for the policy", RevocationOptions{CRLs: []string{rootList, clean}, MaxAge: time.Minute}, RevocationUnknown},
				{"list of another", RevocationOptions{CRLs: []string{rootList, forgedList}}, RevocationUnknown},
				{"garbage", RevocationOptions{CRLs: []string{rootList, garbage}}, RevocationUnknown},
				{"missing file", RevocationOptions{CRLs: []string{rootList, filepath.Join(dir, "none")}}, RevocationUnknown},
			} {
				tr := p.trust(t, TrustOptions{Revocation: revocation(t, tt.opt)})
				if got := code(tr.Check(leaf, testNow)); got != tt.want {
					t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
				}
			}
			r := revocation(t, RevocationOptions{CRLs: []string{stale, garbage}})
			if err := r.Load(context.Background()); err == nil {
				t.Error("garbage was loaded")
			}
			problems := fmt.Sprint(r.Problems(testNow))
			if len(r.Problems(testNow)) != 2 || !strings.Contains(problems, stale+" is stale") || !strings.Contains(problems, garbage) {
				t.Errorf("got %s, want the stale list and the garbage", problems)
			}
			if got := revocation(t, RevocationOptions{CRLs: []string{rootList, clean}}); got.Load(context.Background()) != nil || len(got.Problems(testNow)) != 0 {
				t.Errorf("good lists are a problem: %v", got.Problems(testNow))
			}
		})
	}
	if _, err := NewRevocation(RevocationOptions{}); err == nil {
		t.Error("a Revocation that knows nothing was made")
	}
}

// responder is an OCSP responder for one issuer.
type responder struct {
	issuer *TestCA
	by     *Identity // who signs; nil: the issuer
	status map[string]int
	at     time.Time
	next   time.Time
	asked  atomic.Int32
	mangle func([]byte) []byte
}

func (r *responder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.asked.Add(1)
	body, _ := io.ReadAll(req.Body)
	q, err := ocsp.ParseRequest(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	template := ocsp.Response{Status: r.status[q.SerialNumber.String()], SerialNumber: q.SerialNumber, ThisUpdate: r.at, NextUpdate: r.next, RevokedAt: r.at}
	signer, cert := crypto.Signer(r.issuer.Key), r.issuer.Certificate.X509
	if r.by != nil {
		signer, cert = r.by.Key, r.by.Certificate.X509
		template.Certificate = cert
	}
	der, err := ocsp.CreateResponse(r.issuer.Certificate.X509, cert, template, signer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if r.mangle != nil {
		der = r.mangle(der)
	}
	w.Write(der)
}

func TestOCSP(t *testing.T) {
	p := newPKI(t, KeyECDSA256)
	leaf := p.leaf.Certificate
	dir := t.TempDir()
	rootList, err := p.root.RevocationList(1, testNow.Add(-time.Hour), testNow.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	rootPath := filepath.Join(dir, "root.crl")
	os.WriteFile(rootPath, rootList, 0o600)

	appointed := ocspSigner(t, p.mid, true, 0)
	notAppointed := ocspSigner(t, p.mid, false, 0)
	expired := ocspSigner(t, p.mid, true, time.Hour)
	stranger := newPKI(t, KeyECDSA256)
	strangers := ocspSigner(t, stranger.mid, true, 0)
	for _, tt := range []struct {
		name string
		r    *responder
		want Code
	}{
		{"good", &responder{issuer: p.mid}, ""},
		{"revoked", &responder{issuer: p.mid, status: map[string]int{leaf.X509.SerialNumber.String(): ocsp.Revoked}}, CertificateRevoked},
		{"unknown", &responder{issuer: p.mid, status: map[string]int{leaf.X509.SerialNumber.String(): ocsp.Unknown}}, RevocationUnknown},
		{"appointed responder", &responder{issuer: p.mid, by: appointed}, ""},
		{"responder not appointed", &responder{issuer: p.mid, by: notAppointed}, RevocationUnknown},
		{"responder expired", &responder{issuer: p.mid, by: expired}, RevocationUnknown},
		{"responder of another authority", &responder{issuer: p.mid, by: strangers}, RevocationUnknown},
		{"signed by a stranger", &responder{issuer: &TestCA{p.mid.Certificate, stranger.mid.Key}}, RevocationUnknown},
		{"stale", &responder{issuer: p.mid, at: testNow.AddDate(0, 0, -3), next: testNow.AddDate(0, 0, -2)}, RevocationUnknown},
		{"from the future", &responder{issuer: p.mid, at: testNow.Add(time.Hour), next: testNow.Add(2 * time.Hour)}, RevocationUnknown},
		{"garbage", &responder{issuer: p.mid, mangle: func([]byte) []byte { return []byte("garbage") }}, RevocationUnknown},
		{"one byte changed", &responder{issuer: p.mid, mangle: func(b []byte) []byte { b[len(b)/2] ^= 1; return b }}, RevocationUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.r
			if r.at.IsZero() {
				r.at, r.next = testNow.Add(-time.Minute), testNow.Add(10*time.Minute)
			}
			srv := httptest.NewServer(r)
			defer srv.Close()
			rev := revocation(t, RevocationOptions{CRLs: []string{rootPath}, OCSP: []string{srv.URL}})
			tr := p.trust(t, TrustOptions{Revocation: rev})
			for range 3 {
				if err := tr.Check(leaf, testNow); code(err) != tt.want {
					t.Fatalf("got %v, want %q", err, tt.want)
				}
			}
			if tt.want == CertificateRevoked {
				_, _, err := tr.checkRevocation(leaf, testNow)
				if len(err.Revocation) != 1 || err.Revocation[0].Kind != "ocsp" {
					t.Errorf("refused by %+v", err.Revocation)
				}
			}
			if tt.want == "" {
				decided, _, err := tr.checkRevocation(leaf, testNow)
				if err != nil || len(decided) != 2 || decided[0].Kind != "ocsp" || decided[0].Source != srv.URL || decided[0].SHA256 != sha256.Sum256(decided[0].DER) || !decided[0].NextUpdate.Equal(r.next) ||
					decided[1].Kind != "crl" || decided[1].Source != rootPath || !bytes.Equal(decided[1].DER, rootList) || decided[1].SHA256 != sha256.Sum256(rootList) {
					t.Errorf("decided by %+v, %v", decided, err)
				}
			}
			if tt.want == "" && r.asked.Load() != 1 {
				t.Errorf("asked %d times, want 1: the answer is to be kept", r.asked.Load())
			}
			if tt.want == "" {
				if err := tr.Check(leaf, testNow.Add(20*time.Minute)); code(err) != RevocationUnknown {
					t.Errorf("after nextUpdate: got %v, want %s", err, RevocationUnknown)
				}
			}
		})
	}
}

func ocspSigner(t *testing.T, ca *TestCA, appoint bool, lifetime time.Duration) *Identity {
	t.Helper()
	key, err := GenerateKey(KeyECDSA256)
	if err != nil {
		t.Fatal(err)
	}
	template, err := TestSubject{CommonName: "Responder", Lifetime: lifetime}.template(testNow.AddDate(0, -1, 0))
	if err != nil {
		t.Fatal(err)
	}
	if appoint {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
	}
	der, err := createCertificate(template, ca.Certificate.X509, key.Public(), ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Identity{cert, key}
}

// Addresses in a certificate are its maker's; nobody follows them.
func TestNoAddressOfTheSenderIsFollowed(t *testing.T) {
	var hits atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer srv.Close()
	p := newPKI(t, KeyECDSA256)
	key, _ := GenerateKey(KeyECDSA256)
	template, err := TestSubject{CommonName: "Lure"}.template(testNow.AddDate(0, -1, 0))
	if err != nil {
		t.Fatal(err)
	}
	template.OCSPServer = []string{srv.URL}
	template.CRLDistributionPoints = []string{srv.URL}
	template.IssuingCertificateURL = []string{srv.URL}
	der, err := createCertificate(template, p.mid.Certificate.X509, key.Public(), p.mid.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	silent := httptest.NewServer(http.NotFoundHandler())
	defer silent.Close()
	tr := p.trust(t, TrustOptions{Revocation: revocation(t, RevocationOptions{OCSP: []string{silent.URL}})})
	if got := code(tr.Check(cert, testNow)); got != RevocationUnknown {
		t.Errorf("got %q, want %s", got, RevocationUnknown)
	}
	if hits.Load() != 0 {
		t.Errorf("the sender's address was asked %d times", hits.Load())
	}
}

// A responder that never answers is asked once, not by each call, and about no
// other certificate either, until some time has passed; and failOpen says of each
// signature that it was let pass.
func TestSilentResponderIsAskedOnce(t *testing.T) {
	release := make(chan struct{})
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer srv.Close()
	defer close(release)
	p := newPKI(t, KeyECDSA256)
	s, err := p.leaf.Signer()
	if err != nil {
		t.Fatal(err)
	}
	list, err := p.root.RevocationList(1, testNow.Add(-time.Hour), testNow.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	rootList := filepath.Join(t.TempDir(), "root.crl")
	os.WriteFile(rootList, list, 0o600)
	doc := signedRequest(t, sampleContent, s)
	ask := func(open bool, silence time.Duration) (verify func() (Signed, error), tr *Trust) {
		tr = p.trust(t, TrustOptions{Revocation: revocation(t, RevocationOptions{
			CRLs: []string{rootList}, OCSP: []string{srv.URL}, Timeout: 200 * time.Millisecond, Silence: silence, FailOpen: open,
		})})
		v := verifier(t, Options{Trust: tr})
		return func() (Signed, error) { return v.Verify(caller(parse(t, doc))) }, tr
	}
	for _, open := range []bool{false, true} {
		asked.Store(0)
		verify, tr := ask(open, time.Hour)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for range 3 {
					signed, err := verify()
					if open && (err != nil || signed.Unchecked() == nil) || !open && code(err) != RevocationUnknown {
						t.Errorf("failOpen %v: %v, unchecked: %v", open, err, signed.Unchecked())
					}
				}
			})
		}
		all.Wait()
		if err := tr.Check(ocspSigner(t, p.mid, false, 0).Certificate, testNow); open != (err == nil) {
			t.Errorf("failOpen %v, another certificate: %v", open, err)
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("failOpen %v: the responder was asked %d times, want once", open, n)
		}
	}
	asked.Store(0)
	verify, _ := ask(true, time.Nanosecond)
	verify()
	verify()
	if n := asked.Load(); n != 2 {
		t.Errorf("after its silence the responder was asked %d times in two calls", n)
	}
}

// Revocation is asked only for those who have shown that they hold the key.
func TestRevocationIsAskedLast(t *testing.T) {
	p := newPKI(t, KeyECDSA256)
	r := &responder{issuer: p.mid, at: testNow.Add(-time.Minute), next: testNow.Add(time.Hour)}
	srv := httptest.NewServer(r)
	defer srv.Close()
	s, err := p.leaf.Signer()
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, Options{Trust: p.trust(t, TrustOptions{Revocation: revocation(t, RevocationOptions{OCSP: []string{srv.URL}})})})
	doc := signedRequest(t, sampleContent, s)
	for _, bad := range []string{strings.Replace(doc, "Ромашка", "Рoмашка", 1), strings.Replace(doc, "<ds:SignatureValue>", "<ds:SignatureValue>AAAA", 1)} {
		if _, err := v.Verify(caller(parse(t, bad))); err == nil {
			t.Fatal("a changed document was accepted")
		}
	}
	if n := r.asked.Load(); n != 0 {
		t.Errorf("the responder was asked %d times for signatures that do not hold", n)
	}
	v.Verify(caller(parse(t, doc)))
	if r.asked.Load() == 0 {
		t.Error("the responder was not asked for a signature that holds")
	}
}

func TestSubjectNames(t *testing.T) {
	ca, err := NewTestCA(`A "b", c`, KeyECDSA256, testNow)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`CN="A \"b\", c", OU=%s, C=RU`, testUnit)
	if got := ca.Certificate.Subject(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
