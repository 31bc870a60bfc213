package signing

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// crl makes a list of the authority that change has had its way with.
func crl(t testing.TB, ca *TestCA, change func(*x509.RevocationList)) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: testNow.Add(-time.Hour), NextUpdate: testNow.Add(time.Hour)}
	change(template)
	der, err := x509.CreateRevocationList(rand.Reader, template, ca.Certificate.X509, ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func extension(id asn1.ObjectIdentifier, critical bool, value ...byte) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		l.ExtraExtensions = []pkix.Extension{{Id: id, Critical: critical, Value: value}}
	}
}

// A list from which absence does not mean innocence is not read.
func TestRevocationListsThatAreRead(t *testing.T) {
	ca, err := NewTestCA("CA", KeyECDSA256, testNow.AddDate(-1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*x509.RevocationList)
		says   string // empty: read
	}{
		{"complete", func(*x509.RevocationList) {}, ""},
		{"delta", extension(oidDeltaCRL, true, 0x02, 0x01, 0x01), "delta"},
		{"where it is published", extension(oidIssuingPoint, true, 0x30, 0x02, 0xa0, 0x00), ""},
		{"only user certificates", extension(oidIssuingPoint, true, 0x30, 0x03, 0x81, 0x01, 0xff), "only some"},
		{"only CA certificates", extension(oidIssuingPoint, true, 0x30, 0x03, 0x82, 0x01, 0xff), "only some"},
		{"only some reasons", extension(oidIssuingPoint, true, 0x30, 0x04, 0x83, 0x02, 0x06, 0x40), "only some"},
		{"indirect", extension(oidIssuingPoint, true, 0x30, 0x03, 0x84, 0x01, 0xff), "only some"},
		{"distribution point not understood", extension(oidIssuingPoint, true, 0x05, 0x00), "only some"},
		{"critical extension", extension(asn1.ObjectIdentifier{1, 2, 643, 999}, true, 0x05, 0x00), "not understood"},
		{"extension", extension(asn1.ObjectIdentifier{1, 2, 643, 999}, false, 0x05, 0x00), ""},
	} {
		der := crl(t, ca, tt.change)
		for _, data := range [][]byte{der, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})} {
			list, err := parseRevocationList(data)
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: got %v, want it to say %q", tt.name, err, tt.says)
			}
			if err == nil && !list.by(ca.Certificate) {
				t.Errorf("%s: the list is not believed to be its maker's", tt.name)
			}
		}
	}
	removed := crl(t, ca, func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(1), RevocationTime: testNow, ReasonCode: 8}, {SerialNumber: big.NewInt(2), RevocationTime: testNow, ReasonCode: 1}}
	})
	list, err := parseRevocationList(removed)
	if err != nil || len(list.revoked) != 1 {
		t.Errorf("got %d revoked, %v, want 1: removeFromCRL revokes nobody", len(list.revoked), err)
	}
}

// Whose list it is: name, key and key usage.
func TestRevocationListMaker(t *testing.T) {
	at := testNow.AddDate(-1, 0, 0)
	ca, err := NewTestCA("CA", KeyECDSA256, at)
	if err != nil {
		t.Fatal(err)
	}
	list, err := parseRevocationList(crl(t, ca, func(*x509.RevocationList) {}))
	if err != nil {
		t.Fatal(err)
	}
	sameName, err := NewTestCA("CA", KeyECDSA256, at)
	if err != nil {
		t.Fatal(err)
	}
	mayNot := *ca.Certificate
	x := *ca.Certificate.X509
	x.KeyUsage = x509.KeyUsageCertSign
	mayNot.X509, mayNot.SHA256 = &x, [32]byte{1}
	unstated := *ca.Certificate
	y := *ca.Certificate.X509
	y.KeyUsage = 0
	unstated.X509, unstated.SHA256 = &y, [32]byte{2}
	otherName := *ca.Certificate
	z := *ca.Certificate.X509
	z.RawSubject = []byte("other")
	otherName.X509, otherName.SHA256 = &z, [32]byte{3}
	for _, tt := range []struct {
		name string
		cert *Certificate
		want bool
	}{{"another key", sameName.Certificate, false}, {"another name", &otherName, false}, {"key usage", &mayNot, false}, {"no key usage", &unstated, true}, {"its maker", ca.Certificate, true}, {"its maker again", ca.Certificate, true}, {"another key again", sameName.Certificate, false}} {
		if got := list.by(tt.cert); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// An authority that has changed its key has two certificates of one name. A list of 5 MB is
// held against each of them once, and not for every message.
func TestAListIsHeldAgainstAKeyOnce(t *testing.T) {
	before, now := testCA(t, "CA"), testCA(t, "CA")
	list, err := parseRevocationList(crl(t, now, func(l *x509.RevocationList) {
		for n := range int64(200_000) {
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(1<<60 + n), RevocationTime: testNow})
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for i := range 50_000 {
		if list.by(before.Certificate) || !list.by(now.Certificate) {
			t.Fatal("whose list it is")
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("%d questions have taken a minute", i+1)
		}
	}
}

func testCA(t *testing.T, name string) *TestCA {
	t.Helper()
	ca, err := NewTestCA(name, KeyECDSA256, testNow.AddDate(-1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestFreshness(t *testing.T) {
	list := func(from, next time.Duration) *revocationList {
		l := &revocationList{x: &x509.RevocationList{ThisUpdate: testNow.Add(from)}}
		if next != 0 {
			l.x.NextUpdate = testNow.Add(next)
		}
		return l
	}
	for _, tt := range []struct {
		name       string
		from, next time.Duration
		maxAge     time.Duration
		want       bool
	}{
		{"fresh", -time.Hour, time.Hour, 0, true},
		{"due now", -time.Hour, time.Nanosecond, 0, true},
		{"overdue", -2 * time.Hour, -time.Second, 0, false},
		{"clocks differ a little", clockSkew, time.Hour, 0, true},
		{"from the future", clockSkew + time.Second, time.Hour, 0, false},
		{"no next", -time.Hour, 0, 0, false},
		{"no next, but an age", -time.Hour, 0, time.Hour, true},
		{"no next, too old", -time.Hour - time.Second, 0, time.Hour, false},
		{"too old for the policy", -2 * time.Hour, time.Hour, time.Hour, false},
		{"overdue within the age", -time.Minute, -time.Second, time.Hour, false},
	} {
		if got := list(tt.from, tt.next).fresh(testNow, tt.maxAge); got != tt.want {
			t.Errorf("list, %s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	answer := func(from, next time.Duration) *ocspAnswer {
		a := &ocspAnswer{thisUpdate: testNow.Add(from)}
		if next != 0 {
			a.nextUpdate = testNow.Add(next)
		}
		return a
	}
	for _, tt := range []struct {
		name       string
		from, next time.Duration
		maxAge     time.Duration
		want       bool
		kept       time.Duration // how long a fresh answer is kept
	}{
		{"fresh", -time.Minute, 10 * time.Minute, 0, true, 10 * time.Minute},
		{"far next", -time.Minute, 100 * time.Hour, 0, true, ocspKept},
		{"no next", -time.Minute, 0, 0, true, ocspKept},
		{"no next, old", -ocspKept - time.Second, 0, 0, false, 0},
		{"no next, old, but an age", -2 * time.Hour, 0, 3 * time.Hour, true, ocspKept},
		{"age ends", -time.Minute, 100 * time.Hour, 30 * time.Minute, true, 29 * time.Minute},
		{"too old", -time.Hour, time.Hour, time.Minute, false, 0},
		{"overdue", -time.Hour, -time.Second, 0, false, 0},
		{"clocks differ a little", clockSkew, time.Hour, 0, true, ocspKept},
		{"from the future", clockSkew + time.Second, time.Hour, 0, false, 0},
	} {
		r := revocation(t, RevocationOptions{OCSP: []string{"http://localhost/"}, MaxAge: tt.maxAge})
		a := answer(tt.from, tt.next)
		if err := r.freshAnswer(a, testNow); (err == nil) != tt.want {
			t.Errorf("answer, %s: got %v, want fresh %v", tt.name, err, tt.want)
		}
		if !tt.want {
			continue
		}
		cert := identity(t, KeyECDSA256).Certificate
		r.keep(cert, a, testNow)
		if got := r.answers[cert.SHA256].until.Sub(testNow); got != tt.kept {
			t.Errorf("answer, %s: kept %v, want %v", tt.name, got, tt.kept)
		}
	}
}

// Lists come from addresses too; they are read again by Run, are bounded, and
// what was read stays when a later reading fails.
func TestRevocationListsOverHTTP(t *testing.T) {
	p := newPKI(t, KeyECDSA256)
	leaf := p.leaf.Certificate
	rootList := writeFile(t, filepath.Join(t.TempDir(), "root.crl"), crl(t, p.root, func(*x509.RevocationList) {}))
	good := crl(t, p.mid, func(*x509.RevocationList) {})
	bad := crl(t, p.mid, func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: leaf.X509.SerialNumber, RevocationTime: testNow.Add(-time.Minute), ReasonCode: 1}}
	})
	var body atomic.Pointer[[]byte]
	var status, reads atomic.Int32
	status.Store(http.StatusOK)
	body.Store(&good)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reads.Add(1)
		w.WriteHeader(int(status.Load()))
		w.Write(*body.Load())
	}))
	defer srv.Close()
	r := revocation(t, RevocationOptions{CRLs: []string{rootList, srv.URL}, Refresh: 20 * time.Millisecond})
	tr := p.trust(t, TrustOptions{Revocation: r})
	if err := tr.Check(leaf, testNow); err != nil {
		t.Fatal(err)
	}
	if n := reads.Load(); n != 1 {
		t.Errorf("read %d times at the first question, want 1", n)
	}
	status.Store(http.StatusInternalServerError)
	if err := r.Load(context.Background()); err == nil || len(r.Problems(testNow)) != 1 {
		t.Errorf("a failed reading: got %v, %v", err, r.Problems(testNow))
	}
	if err := tr.Check(leaf, testNow); err != nil {
		t.Errorf("after a failed reading: got %v; the list that was read is still fresh", err)
	}
	status.Store(http.StatusOK)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	before := reads.Load()
	go func() { done <- r.Run(ctx) }()
	deadline := time.Now().Add(30 * time.Second)
	for reads.Load() == before && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	body.Store(&bad) // found when Run reads again
	for code(tr.Check(leaf, testNow)) != CertificateRevoked {
		if time.Now().After(deadline) {
			t.Fatal("the new list was not read")
		}
		time.Sleep(5 * time.Millisecond)
	}
	// Revoked from a moment on: before it, the certificate was good.
	if err := tr.Check(leaf, testNow.Add(-2*time.Minute)); err != nil {
		t.Errorf("before the revocation: got %v", err)
	}
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("Run ended with %v", err)
	}
	if d := revocation(t, RevocationOptions{CRLs: []string{"x"}}).opt; d.Refresh != 15*time.Minute || d.Timeout != 5*time.Second || d.MaxCRL != 64<<20 {
		t.Errorf("defaults: got %v, %v, %d", d.Refresh, d.Timeout, d.MaxCRL)
	}
	small := revocation(t, RevocationOptions{CRLs: []string{srv.URL}, MaxCRL: 10})
	if err := small.Load(context.Background()); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a list that is too long: got %v", err)
	}
	exact := revocation(t, RevocationOptions{CRLs: []string{srv.URL}, MaxCRL: int64(len(bad))})
	if err := exact.Load(context.Background()); err != nil {
		t.Errorf("a list of exactly the allowed length: got %v", err)
	}
	for _, url := range []string{"localhost", "ftp://localhost/", "file:///etc/passwd", "http://"} {
		if _, err := NewRevocation(RevocationOptions{OCSP: []string{url}}); err == nil {
			t.Errorf("%q was accepted as a responder", url)
		}
	}
}

// With registered certificates and no roots, the issuer is looked for among the
// intermediates; when it is not there, nobody can be asked.
func TestRevocationOfRegistered(t *testing.T) {
	p := newPKI(t, KeyECDSA256)
	leaf := p.leaf.Certificate
	dir := t.TempDir()
	clean := writeFile(t, filepath.Join(dir, "clean.crl"), crl(t, p.mid, func(*x509.RevocationList) {}))
	names := writeFile(t, filepath.Join(dir, "names.crl"), crl(t, p.mid, func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: leaf.X509.SerialNumber, RevocationTime: testNow, ReasonCode: 1}}
	}))
	all := func(*Certificate) bool { return true }
	other := newPKI(t, KeyECDSA256)
	othersList := writeFile(t, filepath.Join(dir, "other.crl"), crl(t, other.mid, func(*x509.RevocationList) {}))
	for _, tt := range []struct {
		name         string
		intermediate *Certificate
		opt          RevocationOptions
		want         Code
	}{
		{"good", p.mid.Certificate, RevocationOptions{CRLs: []string{clean}}, ""},
		{"revoked", p.mid.Certificate, RevocationOptions{CRLs: []string{names}}, CertificateRevoked},
		{"issuer not configured", p.root.Certificate, RevocationOptions{CRLs: []string{clean}}, RevocationUnknown},
		{"issuer of the same name", other.mid.Certificate, RevocationOptions{CRLs: []string{clean}}, RevocationUnknown},
		{"list of an issuer of the same name", other.mid.Certificate, RevocationOptions{CRLs: []string{othersList}}, RevocationUnknown},
		{"issuer not configured, open", p.root.Certificate, RevocationOptions{CRLs: []string{clean}, FailOpen: true}, ""},
	} {
		tr, err := NewTrust(TrustOptions{Registered: all, Intermediates: []*Certificate{tt.intermediate}, Revocation: revocation(t, tt.opt)})
		if err != nil {
			t.Fatal(err)
		}
		if got := code(tr.Check(leaf, testNow)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Answers that are kept are bounded.
func TestAnswersAreBounded(t *testing.T) {
	r := revocation(t, RevocationOptions{OCSP: []string{"http://localhost/"}})
	cert := identity(t, KeyECDSA256).Certificate
	answer := &ocspAnswer{thisUpdate: testNow}
	r.keep(cert, answer, testNow)
	if len(r.answers) != 1 {
		t.Fatal("an answer was not kept")
	}
	for i := range maxAnswers + 10 {
		r.answers[[32]byte{byte(i), byte(i >> 8), 1}] = cachedAnswer{}
	}
	r.keep(cert, answer, testNow)
	if n := len(r.answers); n > maxAnswers {
		t.Errorf("%d answers are kept, want at most %d", n, maxAnswers)
	}
	other := *cert
	other.SHA256 = [32]byte{9, 9, 9}
	small := revocation(t, RevocationOptions{OCSP: []string{"http://localhost/"}})
	small.keep(cert, answer, testNow)
	small.keep(&other, answer, testNow)
	if n := len(small.answers); n != 2 {
		t.Errorf("%d answers are kept, want both", n)
	}
}
