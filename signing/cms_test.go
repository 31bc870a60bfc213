package signing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/text/encoding/unicode"

	"mezhved/signing/gost"
	"mezhved/signing/internal/openssl"
)

var cmsMoment = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// cmsWorld is an authority, its root as the only trust, and a signer of a key type.
type cmsWorld struct {
	ca       *TestCA
	id       *Identity
	signer   Signer
	verifier *Verifier
}

func newCMSWorld(t testing.TB, key KeyType) *cmsWorld {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	w := &cmsWorld{}
	var err error
	w.ca, err = NewTestCA("Files", key, cmsMoment.AddDate(-1, 0, 0))
	must(err)
	w.id, err = w.ca.Issue(TestSubject{CommonName: "Signer of files", Key: key, NotBefore: cmsMoment.AddDate(0, -1, 0)}, cmsMoment)
	must(err)
	w.signer, err = w.id.Signer()
	must(err)
	trust, err := NewTrust(TrustOptions{Roots: []*Certificate{w.ca.Certificate}})
	must(err)
	w.verifier, err = NewVerifier(Options{Now: func() time.Time { return cmsMoment }, Trust: trust})
	must(err)
	return w
}

func (w *cmsWorld) sign(t testing.TB, content []byte) []byte {
	t.Helper()
	der, err := SignCMS(context.Background(), Octets{Bytes: content}, w.signer, cmsMoment)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// refused checks code and slip of a refusal.
func refused(t testing.TB, err error, code Code, name string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("%v, want %s", err, code)
	}
	got := ""
	if e.Slip != nil {
		got = e.Slip.Name
		if e.Slip.English == "" || e.Slip.Russian == "" {
			t.Errorf("the slip %q has no words", got)
		}
	}
	if got != name {
		t.Fatalf("%v: slip %q, want %q", err, got, name)
	}
}

var cmsKeyTypes = []KeyType{KeyECDSA256, KeyECDSA384, KeyRSA2048, KeyGOST256, KeyGOST512}

// written are the identifiers of signatures that we write.
var written = map[KeyType]string{
	KeyRSA2048: "1.2.840.113549.1.1.1", KeyECDSA256: "1.2.840.10045.4.3.2", KeyECDSA384: "1.2.840.10045.4.3.2",
	KeyGOST256: "1.2.643.7.1.1.1.1", KeyGOST512: "1.2.643.7.1.1.1.2",
}

func TestCMSRoundTrip(t *testing.T) {
	content := []byte("Выписка\r\nиз реестра\n")
	for _, key := range cmsKeyTypes {
		t.Run(string(key), func(t *testing.T) {
			w := newCMSWorld(t, key)
			der := w.sign(t, content)
			signed, err := w.verifier.VerifyCMS(der, Octets{Bytes: content})
			if err != nil {
				t.Fatal(err)
			}
			if signed.Certificate().SHA256 != w.id.Certificate.SHA256 || signed.Algorithm() != w.signer.Algorithm() || !signed.Claimed().Equal(cmsMoment) {
				t.Errorf("signed by %s with %s at %v", signed.Certificate().Subject(), signed.Algorithm(), signed.Claimed())
			}
			// The same where only digests are at hand.
			far := Octets{Digest: func(d Digest) ([]byte, error) {
				h := digests[digestByURI(string(d))].new()
				h.Write(content)
				return h.Sum(nil), nil
			}}
			if _, err := w.verifier.VerifyCMS(der, far); err != nil {
				t.Error(err)
			}
			c, err := readCMS(der)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.signature.String(); got != written[key] {
				t.Errorf("signature algorithm %s, want %s", got, written[key])
			}
			_, err = w.verifier.VerifyCMS(der, Octets{Bytes: append(content, ' ')})
			refused(t, err, DigestMismatch, "")
			other := newCMSWorld(t, key)
			_, err = other.verifier.VerifyCMS(der, Octets{Bytes: content})
			refused(t, err, CertificateUntrusted, "")
			_, err = w.verifier.VerifyCMSAt(der, Octets{Bytes: content}, cmsMoment.AddDate(3, 0, 0))
			refused(t, err, CertificateExpired, "")
		})
	}
}

// No octet of a signature can be changed so that it holds for other content or
// another signer; and no change makes it hold for what it did not cover.
func TestCMSChangedOctets(t *testing.T) {
	content := []byte("content")
	w := newCMSWorld(t, KeyECDSA256)
	der := w.sign(t, content)
	for i := range der {
		for _, mask := range []byte{1, 0x20, 0x80, 0xff} {
			changed := slices.Clone(der)
			changed[i] ^= mask
			signed, err := w.verifier.VerifyCMS(changed, Octets{Bytes: content})
			if err == nil && signed.Certificate().SHA256 != w.id.Certificate.SHA256 {
				t.Errorf("octet %d ^ %#x: signed by another", i, mask)
			}
			if _, err := w.verifier.VerifyCMS(changed, Octets{Bytes: []byte("contents")}); err == nil {
				t.Errorf("octet %d ^ %#x: it holds for other content", i, mask)
			}
		}
		if _, err := w.verifier.VerifyCMS(der[:i], Octets{Bytes: content}); err == nil {
			t.Errorf("the first %d octets hold", i)
		}
	}
	_, err := w.verifier.VerifyCMS(append(der, 0), Octets{Bytes: content})
	refused(t, err, Malformed, "not-cms")
}

// The slips of signers that are known are told by name.
func TestCMSSlips(t *testing.T) {
	content := []byte("line\nline\n")
	w := newCMSWorld(t, KeyGOST256)
	// resigned makes the signature again with other attributes or another value.
	resigned := func(der []byte, value func(attributes []byte) []byte) []byte {
		c, err := readCMS(der)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Replace(der, c.value, value(c.attributes), 1)
	}
	signedValue := func(octets []byte) []byte {
		v, err := w.signer.Sign(context.Background(), octets)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	good := w.sign(t, content)
	sum := func(b []byte) []byte { h := gost.NewStreebog256(); h.Write(b); return h.Sum(nil) }
	backwards := sum(content)
	slices.Reverse(backwards)
	stated := func(sum []byte) []byte { // a signature that states this digest
		der, err := SignCMS(context.Background(), Octets{Digest: func(Digest) ([]byte, error) { return sum, nil }}, w.signer, cmsMoment)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	for _, c := range []struct {
		slip string
		code Code
		der  []byte
	}{
		{"value-form", ValueInvalid, resigned(good, func(a []byte) []byte { v := signedValue(a); slices.Reverse(v); return v })},
		{"value-form", ValueInvalid, resigned(good, func(a []byte) []byte { v := signedValue(a); return append(v[32:], v[:32]...) })},
		{"attributes-tag", ValueInvalid, resigned(good, func(a []byte) []byte { a[0] = 0xa0; return signedValue(a) })},
		{"attributes-not-signed", ValueInvalid, resigned(good, func([]byte) []byte { return signedValue(content) })},
		{"", ValueInvalid, resigned(good, func([]byte) []byte { return signedValue([]byte("something else")) })},
		{"digest-reversed", DigestMismatch, stated(backwards)},
		{"signed-base64", DigestMismatch, w.sign(t, []byte(base64.StdEncoding.EncodeToString(content)))},
		{"signed-digest", DigestMismatch, w.sign(t, sum(content))},
		{"line-ends-rewritten", DigestMismatch, w.sign(t, []byte("line\r\nline\r\n"))},
		{"empty", DigestMismatch, w.sign(t, nil)},
		{"digest-length", DigestMismatch, stated(make([]byte, 64))},
		{"not-cms", Malformed, []byte("0")},
		{"not-cms", Malformed, w.id.Certificate.DER},
		{"not-cms", Malformed, make([]byte, maxCMS+1)},
	} {
		_, err := w.verifier.VerifyCMS(c.der, Octets{Bytes: content})
		refused(t, err, c.code, c.slip)
	}
	e := newCMSWorld(t, KeyECDSA256)
	der := e.sign(t, content)
	c, err := readCMS(der)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := ecdsaValue(e.id.Certificate.key.(*ecdsaPublicKey).k.Curve, c.value)
	if err != nil {
		t.Fatal(err)
	}
	c.method, c.value = methodByURI(string(ECDSASHA256)), raw
	if d := c.explainValue(e.id.Certificate, Octets{Bytes: content}); d == nil || d.Name != "value-form" {
		t.Errorf("r || s: %v", d)
	}
}

// A certificate of the same name and number does not pass for the signer's when
// the signer has said which one is his.
func TestCMSSigningCertificate(t *testing.T) {
	w := newCMSWorld(t, KeyECDSA256)
	twin, err := w.ca.Issue(TestSubject{CommonName: "Twin", Serial: w.id.Certificate.X509.SerialNumber, NotBefore: cmsMoment.AddDate(0, -1, 0)}, cmsMoment)
	if err != nil {
		t.Fatal(err)
	}
	der := bytes.Replace(w.sign(t, []byte("x")), w.id.Certificate.DER, nil, 1)
	// Without the certificates the lengths are wrong; the signer is given apart.
	c, err := readCMS(w.sign(t, []byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.choose(twin.Certificate); err != nil {
		t.Fatal(err)
	}
	refused(t, c.checkValue(twin.Certificate, Octets{Bytes: []byte("x")}), ValueInvalid, "signing-certificate")
	if _, err := w.verifier.VerifyCMS(der, Octets{Bytes: []byte("x")}); err == nil {
		t.Error("a signature with wrong lengths holds")
	}
}

// indefinite gives the constructed values down to a depth lengths of the
// indefinite form, as BouncyCastle writes them.
func indefinite(t testing.TB, der []byte, depth int) []byte {
	t.Helper()
	var out []byte
	for len(der) > 0 {
		tag, length, body, err := readHeader(der)
		if err != nil {
			t.Fatal(err)
		}
		whole := der[:len(der)-len(body)+length]
		if der = body[length:]; tag[0]&0x20 == 0 || depth == 0 {
			out = append(out, whole...)
			continue
		}
		out = append(append(append(out, tag[0], 0x80), indefinite(t, body[:length], depth-1)...), 0, 0)
	}
	return out
}

// What OpenSSL signs is accepted in all the ways that it has, and it accepts what
// we sign.
func TestCMSOfOpenSSL(t *testing.T) {
	content := []byte("Заявление\r\nо выдаче\n")
	for _, key := range cmsKeyTypes {
		t.Run(string(key), func(t *testing.T) {
			p := openssl.Plain(t)
			digest := "sha256"
			switch key {
			case KeyGOST256:
				p, digest = openssl.WithGOST(t), "md_gost12_256"
			case KeyGOST512:
				p, digest = openssl.WithGOST(t), "md_gost12_512"
			}
			w := newCMSWorld(t, key)
			private, certificate, err := w.id.PEM()
			if err != nil {
				t.Fatal(err)
			}
			p.File("key.pem", private)
			p.File("cert.pem", certificate)
			p.File("ca.pem", w.ca.Certificate.PEM())
			p.File("content", content)
			p.File("ours", w.sign(t, content))
			p.Run("cms", "-verify", "-binary", "-inform", "DER", "-in", "ours", "-content", "content", "-CAfile", "ca.pem", "-purpose", "any", "-attime", fmt.Sprint(cmsMoment.Unix()), "-out", "out")

			sign := func(more ...string) []byte {
				p.Run(append([]string{"cms", "-sign", "-binary", "-in", "content", "-signer", "cert.pem", "-inkey", "key.pem", "-md", digest, "-outform", "DER", "-out", "sig"}, more...)...)
				return p.Read("sig")
			}
			for _, more := range [][]string{nil, {"-cades"}, {"-certfile", "ca.pem"}} {
				der := sign(more...)
				if _, err := w.verifier.VerifyCMS(der, Octets{Bytes: content}); err != nil {
					t.Errorf("openssl cms -sign %s: %v", strings.Join(more, " "), err)
				}
				if _, err := w.verifier.VerifyCMS(indefinite(t, der, 4), Octets{Bytes: content}); err != nil {
					t.Errorf("the same in BER: %v", err)
				}
			}
			authority, _, err := (&Identity{w.ca.Certificate, w.ca.Key}).PEM()
			if err != nil {
				t.Fatal(err)
			}
			p.File("ca-key.pem", authority)
			p.Run("cms", "-sign", "-binary", "-in", "content", "-signer", "ca.pem", "-inkey", "ca-key.pem", "-md", digest, "-keyid", "-outform", "DER", "-out", "sig")
			looking, err := NewVerifier(Options{SignatureOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			if signed, err := looking.VerifyCMS(p.Read("sig"), Octets{Bytes: content}); err != nil || signed.Certificate().SHA256 != w.ca.Certificate.SHA256 {
				t.Errorf("named by its key's identifier: %v", err)
			}
			p.Run("cms", "-sign", "-binary", "-in", "content", "-signer", "ca.pem", "-inkey", "ca-key.pem", "-md", digest, "-keyid", "-nocerts", "-outform", "DER", "-out", "sig")
			if _, err := looking.VerifyCMS(p.Read("sig"), Octets{Bytes: content}, w.id.Certificate, w.ca.Certificate); err != nil {
				t.Errorf("named by its key's identifier, among others that are known: %v", err)
			}
			others, err := NewTestCA("Others", key, cmsMoment)
			if err != nil {
				t.Fatal(err)
			}
			namesake, err := others.Issue(TestSubject{CommonName: "Of another authority", Key: key, Serial: w.id.Certificate.X509.SerialNumber}, cmsMoment)
			if err != nil {
				t.Fatal(err)
			}
			der := sign("-nocerts")
			_, err = w.verifier.VerifyCMS(der, Octets{Bytes: content})
			refused(t, err, CertificateMissing, "certificate-missing")
			if _, err := w.verifier.VerifyCMS(der, Octets{Bytes: content}, nil, w.ca.Certificate, namesake.Certificate, w.id.Certificate); err != nil {
				t.Errorf("with the certificate known: %v", err)
			}
			_, err = w.verifier.VerifyCMS(sign("-noattr"), Octets{Bytes: content})
			refused(t, err, Malformed, "no-signed-attributes")
			_, err = w.verifier.VerifyCMS(sign("-nodetach"), Octets{Bytes: content})
			refused(t, err, Malformed, "attached-content")
			_, err = w.verifier.VerifyCMS(sign("-econtent_type", "1.2.840.113549.1.9.16.1.4"), Octets{Bytes: content})
			refused(t, err, Malformed, "content-type")
			_, err = w.verifier.VerifyCMS(sign("-signer", "ca.pem", "-inkey", "ca-key.pem"), Octets{Bytes: content})
			refused(t, err, Malformed, "several-signers")
			if key == KeyRSA2048 {
				p.Run("cms", "-sign", "-binary", "-in", "content", "-signer", "cert.pem", "-inkey", "key.pem", "-md", "sha1", "-outform", "DER", "-out", "sig")
				_, err = w.verifier.VerifyCMS(p.Read("sig"), Octets{Bytes: content})
				refused(t, err, BadAlgorithm, "digest-algorithm")
				_, err = w.verifier.VerifyCMS(sign("-keyopt", "rsa_padding_mode:pss"), Octets{Bytes: content})
				refused(t, err, BadAlgorithm, "signature-algorithm")
			}
		})
	}
}

// What BouncyCastle 1.78.1 wrote with its stream generator, in BER, is accepted: a
// test key of each kind over one content. (It also verifies what we sign.)
func TestCMSOfBouncyCastle(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(repoRoot(t), "testdata", "signing", "cms", "bouncycastle-*.p7s"))
	if err != nil || len(files) != 5 {
		t.Fatal(files, err)
	}
	v, err := NewVerifier(Options{SignatureOnly: true, Algorithms: Algorithms()})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		der, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if der[1] != 0x80 {
			t.Errorf("%s has a length of the definite form", name)
		}
		signed, err := v.VerifyCMS(der, Octets{Bytes: []byte("план\r\nучастка\n")})
		if err != nil || !strings.Contains(signed.Certificate().Subject(), testUnit) {
			t.Errorf("%s: %v", name, err)
		}
		_, err = v.VerifyCMS(der, Octets{Bytes: []byte("план\nучастка\n")})
		refused(t, err, DigestMismatch, "")
	}
}

// What the policy does not allow is refused; what cannot be read is an outage.
func TestCMSPolicy(t *testing.T) {
	w := newCMSWorld(t, KeyECDSA256)
	der := w.sign(t, []byte("x"))
	v, err := NewVerifier(Options{Algorithms: []Algorithm{GOST2012_256}, Now: func() time.Time { return cmsMoment }})
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.VerifyCMS(der, Octets{Bytes: []byte("x")})
	refused(t, err, BadAlgorithm, "")
	failing := errors.New("the disk is away")
	_, err = w.verifier.VerifyCMS(der, Octets{Digest: func(Digest) ([]byte, error) { return nil, failing }})
	var e *Error
	if !errors.Is(err, failing) || errors.As(err, &e) {
		t.Errorf("%v: an outage is no refusal", err)
	}
}

// A certificate that was revoked signs files no more than messages; whoever only
// looks is told nothing about that.
func TestCMSRevoked(t *testing.T) {
	w := newCMSWorld(t, KeyECDSA256)
	der := w.sign(t, []byte("x"))
	list, err := createRevocationList(&x509.RevocationList{Number: big.NewInt(1), ThisUpdate: cmsMoment.Add(-time.Hour), NextUpdate: cmsMoment.Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: w.id.Certificate.X509.SerialNumber, RevocationTime: cmsMoment.Add(-time.Minute)}}}, w.ca.Certificate.X509, w.ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "list.crl")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		t.Fatal(err)
	}
	revocation, err := NewRevocation(RevocationOptions{CRLs: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	trust, err := NewTrust(TrustOptions{Roots: []*Certificate{w.ca.Certificate}, Revocation: revocation})
	if err != nil {
		t.Fatal(err)
	}
	for _, looks := range []bool{false, true} {
		v, err := NewVerifier(Options{Now: func() time.Time { return cmsMoment }, Trust: trust, SignatureOnly: looks})
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.VerifyCMS(der, Octets{Bytes: []byte("x")})
		if looks && err != nil {
			t.Error(err)
		} else if !looks {
			refused(t, err, CertificateRevoked, "")
		}
	}
	dates, err := NewVerifier(Options{Now: func() time.Time { return cmsMoment }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dates.VerifyCMS(der, Octets{Bytes: []byte("x")}); err != nil {
		t.Errorf("without trust: %v", err)
	}
}

// reshaped gives the values that come of der by leaving one part out, and by
// adding one at the end of one, each with its place: child numbers from the root.
func reshaped(t testing.TB, der []byte) map[string][]byte {
	t.Helper()
	type node struct {
		tag      byte
		body     []byte
		children []*node
	}
	var read func([]byte) []*node
	read = func(b []byte) (list []*node) {
		for len(b) > 0 {
			tag, length, body, err := readHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			n := &node{tag: tag[0], body: body[:length]}
			if n.tag&0x20 != 0 {
				n.children = read(n.body)
			}
			list, b = append(list, n), body[length:]
		}
		return list
	}
	var write func([]*node) []byte
	write = func(list []*node) (out []byte) {
		for _, n := range list {
			body := n.body
			if n.tag&0x20 != 0 {
				body = write(n.children)
			}
			out = append(appendLength(append(out, n.tag), len(body)), body...)
		}
		return out
	}
	tree := read(der)
	out := map[string][]byte{}
	var walk func(place string, n *node)
	walk = func(place string, n *node) {
		whole := n.children
		n.children = append(slices.Clip(whole), &node{tag: 0x05})
		out[place+"+"] = write(tree)
		for i, c := range whole {
			n.children = slices.Delete(slices.Clone(whole), i, i+1)
			out[fmt.Sprintf("%s.%d-", place, i)] = write(tree)
			if c.tag&0x20 != 0 && !strings.HasPrefix(place, "0.1.0.3") { // not within certificates
				n.children = whole
				walk(fmt.Sprintf("%s.%d", place, i), c)
			}
		}
		n.children = whole
	}
	walk("0", tree[0])
	return out
}

// The structure has no room for anything but what the standard has there.
func TestCMSStructure(t *testing.T) {
	content := []byte("content")
	w := newCMSWorld(t, KeyECDSA256)
	taken := map[string]bool{}
	for place, der := range reshaped(t, w.sign(t, content)) {
		if _, err := w.verifier.VerifyCMS(der, Octets{Bytes: content}); err == nil {
			taken[place] = true
		}
	}
	for place, why := range map[string]string{
		"0.1.0.1+":     "digestAlgorithms lists what a reader may want to begin with",
		"0.1.0.1.0-":   "the same",
		"0.1.0.1.0+":   "the same",
		"0.1.0.1.0.0-": "the same",
		"0.1.0.3+":     "a certificate of another form",
		"0.1.0.4.0.2+": "parameters of the digest algorithm",
		"0.1.0.4.0.4+": "parameters of the signature algorithm",
	} {
		if !taken[place] {
			t.Errorf("%s is refused: %s", place, why)
		}
		delete(taken, place)
	}
	if len(taken) > 0 {
		t.Errorf("accepted: %v", slices.Sorted(maps.Keys(taken)))
	}
}

// Attributes that say something say it once and in one way.
func TestCMSAttributes(t *testing.T) {
	const (
		contentType = "301806092a864886f70d010903310b06092a864886f70d010701"
		digest      = "301306092a864886f70d010904310604040102030" + "4"
		moment      = "301c06092a864886f70d010905310f170d3236313132373132303030305a"
	)
	for attributes, slip := range map[string]string{
		contentType + digest + moment: "",
		contentType + digest:          "",
		digest:                        "no-signed-attributes",
		contentType:                   "no-signed-attributes",
		contentType + digest + digest: "not-cms",
		contentType + digest + "3000": "not-cms",
		contentType + "301506092a864886f70d0109043106040401020304" + "0500":                                "not-cms", // more after the values
		contentType + "301506092a864886f70d0109043108040401020304" + "0500":                                "not-cms", // two values
		contentType + "301106092a864886f70d010904310402020102":                                             "not-cms", // no octets
		"301a06092a864886f70d010903310d06092a864886f70d0107010500" + digest:                                "not-cms",
		"301106092a864886f70d010903310402020102" + digest:                                                  "not-cms",
		"301806092a864886f70d010903310b06092a864886f70d010702" + digest:                                    "content-type",
		contentType + digest + "301e06092a864886f70d0109053111170d3236313132373132303030305a0500":          "not-cms",
		contentType + digest + "301106092a864886f70d010905310402020102":                                    "not-cms",
		contentType + digest + "3020060b2a864886f70d010910022f3111300f300d300b300506032a03040402" + "0102": "not-cms", // an unknown hash
		contentType + digest + "301a060b2a864886f70d010910022f310b30093007300504030102" + "03":             "",        // SHA-256, the default
		contentType + digest + "3019060b2a864886f70d010910022f310a300830063004020201" + "02":               "not-cms",
		contentType + digest + "300f06032a03043108300604040102030" + "4":                                   "", // an attribute that we do not know
	} {
		b, err := hex.DecodeString(attributes)
		if err != nil {
			t.Fatal(err)
		}
		err = (&cms{}).readAttributes(cryptobyte.String(b), oidData)
		if slip == "" {
			if err != nil {
				t.Errorf("%s: %v", attributes, err)
			}
			continue
		}
		refused(t, err, Malformed, slip)
	}
	for year, tag := range map[int]byte{1950: 0x17, 2026: 0x17, 2049: 0x17, 2050: 0x18, 1949: 0x18} {
		at := time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC)
		set := signedAttributes(cmsDigests[0].oid, make([]byte, 32), make([]byte, 32), at)
		var c cms
		_, _, body, err := readHeader(set)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.readAttributes(cryptobyte.String(body), oidData); err != nil || !c.claimed.Equal(at) {
			t.Errorf("%d: %v, %v", year, c.claimed, err)
		}
		if !bytes.Contains(set, []byte{tag, map[byte]byte{0x17: 13, 0x18: 15}[tag]}) {
			t.Errorf("%d: no time of type %#x", year, tag)
		}
	}
}

func pemOf(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: der}) }

// utf16Of is what a shell of Windows makes of a text.
func utf16Of(t *testing.T, order unicode.Endianness, text string) []byte {
	t.Helper()
	out, err := unicode.UTF16(order, unicode.UseBOM).NewEncoder().Bytes([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Certificates and keys that were saved on Windows are read as well.
func TestMarkedPEM(t *testing.T) {
	w := newCMSWorld(t, KeyGOST256)
	key, _, err := w.id.PEM()
	if err != nil {
		t.Fatal(err)
	}
	for _, marked := range []func([]byte) []byte{
		func(b []byte) []byte { return append([]byte("\xef\xbb\xbf"), b...) },
		func(b []byte) []byte { return utf16Of(t, unicode.LittleEndian, string(b)) },
	} {
		if got, err := ParsePEMCertificates(marked(w.id.Certificate.PEM())); err != nil || got[0].SHA256 != w.id.Certificate.SHA256 {
			t.Errorf("a certificate: %v", err)
		}
		if _, err := ParsePrivateKey(marked(key)); err != nil {
			t.Errorf("a key: %v", err)
		}
	}
}

// Attributes that are written in another order than DER's, and signed in that one, as
// RFC 5652, 5.4, wants it: the vectors are of a program, this one (-update).
func TestCMSAttributesOutOfOrder(t *testing.T) {
	content := []byte("план\r\nучастка\n")
	dir := filepath.Join(repoRoot(t), "testdata", "signing", "cms")
	for _, key := range []KeyType{KeyECDSA256, KeyRSA2048, KeyGOST256, KeyGOST512} {
		file := filepath.Join(dir, "attributes-out-of-order-"+strings.ToLower(string(key))+".p7s")
		if *update {
			w := newCMSWorld(t, key)
			if err := os.WriteFile(file, reversedAttributes(t, w.sign(t, content)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		der, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := readCMS(der)
		if err != nil {
			t.Fatal(err)
		}
		if _, other := derSet(c.attributes); !other {
			t.Errorf("%s: the attributes are in order", file)
		}
		v, err := NewVerifier(Options{SignatureOnly: true, Algorithms: Algorithms()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.VerifyCMS(der, Octets{Bytes: content}); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		_, err = v.VerifyCMS(der, Octets{Bytes: []byte("план\nучастка\n")})
		refused(t, err, DigestMismatch, "")
		// Any other set of attributes is not what was signed.
		changed := bytes.Replace(der, c.attributes[len(c.attributes)-8:], append(slices.Clone(c.attributes[len(c.attributes)-8:len(c.attributes)-1]), c.attributes[len(c.attributes)-1]^1), 1)
		if _, err := v.VerifyCMS(changed, Octets{Bytes: content}); err == nil {
			t.Errorf("%s: holds with a changed attribute", file)
		}
	}
}

// reversedAttributes writes the signed attributes of a signature in reverse.
func reversedAttributes(t *testing.T, der []byte) []byte {
	t.Helper()
	c, err := readCMS(der)
	if err != nil {
		t.Fatal(err)
	}
	var list [][]byte
	var in, element cryptobyte.String
	whole := cryptobyte.String(c.attributes)
	if !whole.ReadASN1(&in, 0x31) {
		t.Fatal("no SET")
	}
	body := slices.Clone([]byte(in))
	for !in.Empty() {
		if !in.ReadAnyASN1Element(&element, new(cryptobyte_asn1.Tag)) {
			t.Fatal("no element")
		}
		list = append(list, element)
	}
	slices.Reverse(list)
	return bytes.Replace(der, body, bytes.Join(list, nil), 1)
}

func TestParseCMS(t *testing.T) {
	w := newCMSWorld(t, KeyECDSA256)
	der := w.sign(t, []byte("x"))
	for name, file := range map[string][]byte{
		"DER": der, "base64": []byte(base64.StdEncoding.EncodeToString(der)),
		"PEM":                  pemOf(der),
		"PEM with a mark":      append([]byte("\xef\xbb\xbf"), pemOf(der)...),
		"base64 with a mark":   []byte("\xef\xbb\xbf" + base64.StdEncoding.EncodeToString(der)),
		"PEM in UTF-16":        utf16Of(t, unicode.LittleEndian, string(pemOf(der))),
		"PEM in UTF-16, large": utf16Of(t, unicode.BigEndian, string(pemOf(der))),
	} {
		got, err := ParseCMS(file)
		if err != nil || !bytes.Equal(got, der) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, file := range []string{"", "-----BEGIN PKCS7-----\nMII", "пустое"} {
		if _, err := ParseCMS([]byte(file)); err == nil {
			t.Errorf("%q is read", file)
		}
	}
}

// FuzzCMS: nothing holds for content that was not signed, nothing panics.
func FuzzCMS(f *testing.F) {
	w := newCMSWorld(f, KeyECDSA256)
	content := []byte("content")
	der := w.sign(f, content)
	f.Add(der)
	f.Add([]byte{0x30, 0x80, 0x24, 0x80, 0x04, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00})
	wrong := sha256.Sum256(content)
	f.Fuzz(func(t *testing.T, der []byte) {
		if out, err := definite(der); err == nil {
			if again, err := definite(out); err != nil || !bytes.Equal(out, again) {
				t.Errorf("definite lengths are rewritten again: %v", err)
			}
		}
		if _, err := w.verifier.VerifyCMS(der, Octets{Bytes: wrong[:]}); err == nil {
			t.Error("it holds for what was not signed")
		}
	})
}
