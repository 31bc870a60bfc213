package signing

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net"
	"strings"
	"testing"
)

// issueAs issues a certificate that change has had its way with.
func issueAs(t testing.TB, ca *TestCA, subject TestSubject, change func(*x509.Certificate)) *Identity {
	t.Helper()
	key, err := GenerateKey(KeyECDSA256)
	if err != nil {
		t.Fatal(err)
	}
	template, err := subject.template(testNow.AddDate(0, -1, 0))
	if err != nil {
		t.Fatal(err)
	}
	change(template)
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.Certificate.X509, ca.Key
	}
	der, err := createCertificate(template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Identity{cert, key}
}

// What an issuer's certificate allows decides what may hang below it.
func TestIssuers(t *testing.T) {
	critical := func(x *x509.Certificate) {
		x.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 643, 999}, Critical: true, Value: []byte{5, 0}}}
	}
	plain := func(*x509.Certificate) {}
	for _, tt := range []struct {
		name            string
		root, mid, leaf func(*x509.Certificate)
		says            string // empty: trusted
	}{
		{"plain", plain, plain, plain, ""},
		{"path length enough", func(x *x509.Certificate) { x.MaxPathLen = 1 }, plain, plain, ""},
		{"path length zero", func(x *x509.Certificate) { x.MaxPathLenZero = true }, plain, plain, "path length"},
		{"path length zero below", plain, func(x *x509.Certificate) { x.MaxPathLenZero = true }, plain, ""},
		{"no key usage stated", func(x *x509.Certificate) { x.KeyUsage = 0 }, func(x *x509.Certificate) { x.KeyUsage = 0 }, func(x *x509.Certificate) { x.KeyUsage = 0 }, ""},
		{"issuer may sign lists only", plain, func(x *x509.Certificate) { x.KeyUsage = x509.KeyUsageCRLSign }, plain, "may not sign certificates"},
		{"issuer is no authority", plain, func(x *x509.Certificate) { x.IsCA = false }, plain, "not a certification authority"},
		{"critical extension of the end entity", plain, plain, critical, "not understood"},
		{"critical extension of an issuer", plain, critical, plain, "not understood"},
		{"names of hosts constrained", plain, func(x *x509.Certificate) { x.PermittedDNSDomains = []string{"example.org"} }, plain, "name constraints"},
		{"addresses excluded", plain, func(x *x509.Certificate) {
			x.ExcludedIPRanges = []*net.IPNet{{IP: net.IPv4(10, 0, 0, 0), Mask: net.CIDRMask(8, 32)}}
		}, plain, "name constraints"},
	} {
		root := issueAs(t, nil, TestSubject{CommonName: "Root", CA: true}, tt.root)
		mid := issueAs(t, &TestCA{root.Certificate, root.Key}, TestSubject{CommonName: "Mid", CA: true}, tt.mid)
		leaf := issueAs(t, &TestCA{mid.Certificate, mid.Key}, TestSubject{CommonName: "Leaf"}, tt.leaf)
		tr, err := NewTrust(TrustOptions{Roots: []*Certificate{root.Certificate}, Intermediates: []*Certificate{mid.Certificate}})
		if err != nil {
			t.Fatal(err)
		}
		err = tr.Check(leaf.Certificate, testNow)
		if (err == nil) != (tt.says == "") || err != nil && (code(err) != CertificateUntrusted || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: got %v, want it to say %q", tt.name, err, tt.says)
		}
	}
}

// The longest chain is of eight certificates.
func TestChainLength(t *testing.T) {
	at := testNow.AddDate(0, -1, 0)
	for _, n := range []int{8, 9} {
		root, err := NewTestCA("CA 0", KeyECDSA256, at)
		if err != nil {
			t.Fatal(err)
		}
		ca := root
		var between []*Certificate
		for i := range n - 2 {
			id, err := ca.Issue(TestSubject{CommonName: fmt.Sprintf("CA %d", i+1), CA: true}, at)
			if err != nil {
				t.Fatal(err)
			}
			between = append(between, id.Certificate)
			ca = &TestCA{id.Certificate, id.Key}
		}
		leaf, err := ca.Issue(TestSubject{CommonName: "Leaf"}, at)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := NewTrust(TrustOptions{Roots: []*Certificate{root.Certificate}, Intermediates: between})
		if err != nil {
			t.Fatal(err)
		}
		chain, err := tr.Chain(leaf.Certificate, testNow)
		if n == 8 && (err != nil || len(chain) != 8) || n == 9 && (code(err) != CertificateUntrusted || !strings.Contains(err.Error(), "longer than")) {
			t.Errorf("%d certificates: got a chain of %d, %v", n, len(chain), err)
		}
	}
}

// Many authorities of one name that certify each other do not hold the search up.
func TestChainSearchIsBounded(t *testing.T) {
	at := testNow.AddDate(0, -1, 0)
	var keys []*Identity
	for range 6 {
		id, err := SelfSigned(TestSubject{CommonName: "Same", CA: true}, at)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, id)
	}
	var pool []*Certificate
	for _, by := range keys {
		for _, of := range keys {
			template, err := TestSubject{CommonName: "Same", CA: true}.template(at)
			if err != nil {
				t.Fatal(err)
			}
			// Without key identifiers only the signature tells them apart.
			der, err := x509.CreateCertificate(rand.Reader, template, &x509.Certificate{Subject: template.Subject, RawSubject: by.Certificate.X509.RawSubject}, of.Key.Public(), by.Key)
			if err != nil {
				t.Fatal(err)
			}
			c, err := ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			pool = append(pool, c)
		}
	}
	stranger, err := NewTestCA("Stranger", KeyECDSA256, at)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := (&TestCA{keys[0].Certificate, keys[0].Key}).Issue(TestSubject{CommonName: "Leaf"}, at)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := NewTrust(TrustOptions{Roots: []*Certificate{stranger.Certificate}, Intermediates: pool})
	if err != nil {
		t.Fatal(err)
	}
	b := chainBuilder{trust: tr, at: testNow, steps: maxSteps}
	if b.extend([]*Certificate{leaf.Certificate}) || b.steps >= 0 {
		t.Errorf("%d steps left; the search was to be cut off", b.steps)
	}
	if err := tr.Check(leaf.Certificate, testNow); code(err) != CertificateUntrusted {
		t.Errorf("got %v, want %s", err, CertificateUntrusted)
	}
}

// The reason given is that of the attempt that got furthest.
func TestDeepestReason(t *testing.T) {
	at := testNow.AddDate(0, -1, 0)
	p := newPKI(t, KeyECDSA256)
	wrong, err := NewTestCA("Intermediate "+string(KeyECDSA256), KeyECDSA256, at)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := NewTestCA("Stranger", KeyECDSA256, at)
	if err != nil {
		t.Fatal(err)
	}
	for _, pool := range [][]*Certificate{{wrong.Certificate, p.mid.Certificate}, {p.mid.Certificate, wrong.Certificate}} {
		tr, err := NewTrust(TrustOptions{Roots: []*Certificate{stranger.Certificate}, Intermediates: pool})
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.Check(p.leaf.Certificate, testNow); err == nil || !strings.Contains(err.Error(), "issuer of "+p.mid.Certificate.Subject()) {
			t.Errorf("got %v, want the reason of the longer chain", err)
		}
	}
}

// Key identifiers are compared where both certificates have them.
func TestKeyIdentifiersAreOptional(t *testing.T) {
	root := issueAs(t, nil, TestSubject{CommonName: "Root", CA: true}, func(*x509.Certificate) {})
	for _, drop := range []string{"of the issuer", "of both", "none"} {
		parent := *root.Certificate.X509
		if drop != "none" {
			parent.SubjectKeyId = nil // so the child names none
		}
		key, err := GenerateKey(KeyECDSA256)
		if err != nil {
			t.Fatal(err)
		}
		template, err := TestSubject{CommonName: "Leaf"}.template(testNow.AddDate(0, -1, 0))
		if err != nil {
			t.Fatal(err)
		}
		der, err := createCertificate(template, &parent, key.Public(), root.Key)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if drop != "none" && len(leaf.X509.AuthorityKeyId) > 0 {
			t.Fatal("the child names its issuer's key")
		}
		issuer := *root.Certificate
		if drop == "of both" {
			issuer.X509 = &parent
		}
		tr, err := NewTrust(TrustOptions{Roots: []*Certificate{&issuer}})
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.Check(leaf, testNow); err != nil {
			t.Errorf("identifier left out %s: %v", drop, err)
		}
	}
}
