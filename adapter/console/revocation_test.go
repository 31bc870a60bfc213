package console

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal/audit"
	"mezhved/signing"
)

// authority is OpenSSL with a root and an authority below it, which answers OCSP.
type authority struct {
	t     *testing.T
	dir   string
	asked atomic.Int32
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	a := &authority{t: t, dir: t.TempDir()}
	a.file("openssl.cnf", `[ca]
default_ca = x
[x]
dir = .
database = $dir/index.txt
serial = $dir/serial
new_certs_dir = $dir
crlnumber = $dir/crlnumber
default_md = sha256
default_days = 30
default_crl_days = 7
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
[below]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign,digitalSignature
[leaf]
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
`)
	a.file("index.txt", "")
	a.file("serial", "1001\n")
	a.file("crlnumber", "01\n")
	key := []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"}
	a.run(append([]string{"req", "-x509", "-subj", "/CN=Root", "-days", "40", "-extensions", "root", "-keyout", "root.key", "-out", "root.pem"}, key...)...)
	a.run(append([]string{"req", "-new", "-subj", "/CN=Authority", "-keyout", "ca.key", "-out", "ca.csr"}, key...)...)
	a.run("x509", "-req", "-in", "ca.csr", "-CA", "root.pem", "-CAkey", "root.key", "-set_serial", "2", "-days", "40", "-extfile", "openssl.cnf", "-extensions", "below", "-out", "ca.pem")
	a.run("ca", "-gencrl", "-keyfile", "root.key", "-cert", "root.pem", "-out", "root.crl.pem")
	a.run("crl", "-in", "root.crl.pem", "-outform", "DER", "-out", "root.crl")
	return a
}

func (a *authority) file(name, content string) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), []byte(content), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) read(name string) []byte {
	a.t.Helper()
	b, err := os.ReadFile(filepath.Join(a.dir, name))
	if err != nil {
		a.t.Fatal(err)
	}
	return b
}

func (a *authority) try(args ...string) ([]byte, error) {
	c := exec.Command("openssl", args...)
	c.Dir = a.dir
	c.Env = append(os.Environ(), "OPENSSL_CONF="+filepath.Join(a.dir, "openssl.cnf"))
	return c.CombinedOutput()
}

func (a *authority) run(args ...string) []byte {
	a.t.Helper()
	out, err := a.try(args...)
	if err != nil {
		a.t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// issue gives a party of the world a certificate of the authority.
func (a *authority) issue(p *adaptertest.Party) {
	a.t.Helper()
	name := p.Mnemonic
	a.run("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN="+name, "-keyout", name+".key", "-out", name+".csr")
	a.run("ca", "-batch", "-notext", "-in", name+".csr", "-keyfile", "ca.key", "-cert", "ca.pem", "-extensions", "leaf", "-out", name+".pem")
	signer, err := signing.LoadSigner(context.Background(), signing.KeySource{Key: filepath.Join(a.dir, name+".key"), Certificate: filepath.Join(a.dir, name+".pem")})
	if err != nil {
		a.t.Fatal(err)
	}
	block, _ := pem.Decode(a.read(name + ".pem"))
	p.Signer, p.DER = signer, block.Bytes
}

// ServeHTTP answers OCSP as "openssl ocsp" does.
func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := a.asked.Add(1)
	question, answer := fmt.Sprintf("q%d.der", n), fmt.Sprintf("a%d.der", n)
	body, _ := io.ReadAll(r.Body)
	os.WriteFile(filepath.Join(a.dir, question), body, 0o600)
	if out, err := a.try("ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", "ca.pem", "-rkey", "ca.key", "-nmin", "60", "-reqin", question, "-respout", answer); err != nil {
		http.Error(w, string(out), http.StatusInternalServerError)
		return
	}
	b, _ := os.ReadFile(filepath.Join(a.dir, answer))
	w.Write(b)
}

func (a *authority) certificates(name string) []*signing.Certificate {
	a.t.Helper()
	certs, err := signing.ParsePEMCertificates(a.read(name))
	if err != nil {
		a.t.Fatal(err)
	}
	return certs
}

// By what callers' certificates were judged is named by the entries, kept once, shown
// in the trace, and goes with the bundle, where it can be checked: here with answers
// of a real authority, checked by OpenSSL.
func TestWhatCertificatesWereJudgedByIsEvidence(t *testing.T) {
	a := newAuthority(t)
	site := httptest.NewServer(a)
	defer site.Close()
	revocation, err := signing.NewRevocation(signing.RevocationOptions{CRLs: []string{filepath.Join(a.dir, "root.crl")}, OCSP: []string{site.URL}})
	if err != nil {
		t.Fatal(err)
	}
	trust, err := signing.NewTrust(signing.TrustOptions{Roots: a.certificates("root.pem"), Intermediates: a.certificates("ca.pem"), Revocation: revocation})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := signing.NewVerifier(signing.Options{Trust: trust})
	if err != nil {
		t.Fatal(err)
	}
	d := openDesk(t, adaptertest.WithRooms(func(r *adapter.Rooms) { r.Verifier = verifier }))
	for _, name := range []string{"MUNI", "REGISTRY", "MFC"} {
		a.issue(d.Party(name))
		d.Register(name, "")
	}
	id := d.exchange()
	d.exchange() // by the same answers
	d.settle()

	// Each entry of a call names a list: the answer about the caller, then the root's CRL.
	trace := ok[Trace](d, auditorToken, "/api/v1/journal/trace/"+id)
	named := map[string]string{} // by certificate
	for _, e := range trace.Events {
		switch e.Kind {
		case "accepted", "delivered", "acknowledged":
			if e.Revocation == "" || named[e.Certificate] != "" && named[e.Certificate] != e.Revocation {
				t.Errorf("%s by %s names %q, %q before", e.Kind, e.Certificate, e.Revocation, named[e.Certificate])
			}
			named[e.Certificate] = e.Revocation
		default:
			if e.Revocation != "" {
				t.Errorf("%s, which is nobody's call, names an answer", e.Kind)
			}
		}
	}
	if len(named) != 2 || a.asked.Load() != 2 {
		t.Fatalf("answers named for %d certificates, asked %d times; want two callers", len(named), a.asked.Load())
	}
	byDigest := map[string]Answer{}
	kinds := map[string]int{}
	for _, one := range trace.Answers {
		byDigest[one.Digest] = one
		kinds[one.Kind]++
	}
	if kinds["list"] != 2 || kinds["ocsp"] != 2 || kinds["crl"] != 1 {
		t.Fatalf("answers of the trace: %v", kinds)
	}
	for certificate, list := range named {
		names := byDigest[list].Names
		if len(names) != 2 || byDigest[names[0]].Kind != "ocsp" || byDigest[names[0]].Source != site.URL || byDigest[names[1]].Kind != "crl" {
			t.Errorf("certificate %s was judged by %v", certificate, names)
			continue
		}
		got := d.ask(auditorToken, byDigest[names[1]].Bytes, nil)
		if !bytes.Equal(got.body, a.read("root.crl")) || got.Header.Get("X-Mezhved-Content-Type") != "application/pkix-crl" {
			t.Errorf("the list of revoked certificates is not the one that was read: %d %s", got.StatusCode, got.Header)
		}
	}
	if kept := d.Number("SELECT count(*) FROM revocation_answer"); kept != 5 {
		t.Errorf("%d answers are kept, want each once: 5", kept)
	}

	// The bundle has them, and OpenSSL finds that they say what was decided.
	b := d.ask(auditorToken, "/api/v1/journal/bundle?exchange="+id, nil)
	evidence, err := audit.VerifyBundle(bytes.NewReader(b.body), int64(len(b.body)), d.policy)
	if err != nil {
		t.Fatal(err)
	}
	checked := map[string]bool{}
	for _, x := range evidence.Entries {
		if x.Leaf.Certificate == "" {
			continue
		}
		if len(x.Revocation) != 2 {
			t.Fatalf("entry %d, %s: %d answers in the bundle", x.Index, x.Leaf.Kind, len(x.Revocation))
		}
		if checked[x.Leaf.Certificate] {
			continue
		}
		checked[x.Leaf.Certificate] = true
		owner := "MUNI"
		if sum := sha256.Sum256(d.Party("REGISTRY").DER); hex.EncodeToString(sum[:]) == x.Leaf.Certificate {
			owner = "REGISTRY"
		}
		a.file("answer.der", string(x.Revocation[0]))
		a.file("list.der", string(x.Revocation[1]))
		if out := a.run("ocsp", "-respin", "answer.der", "-issuer", "ca.pem", "-cert", owner+".pem", "-CAfile", "root.pem", "-verify_other", "ca.pem"); !bytes.Contains(out, []byte(owner+".pem: good")) {
			t.Errorf("OpenSSL of the answer about %s: %s", owner, out)
		}
		if out := a.run("crl", "-in", "list.der", "-inform", "DER", "-noout", "-CAfile", "root.pem"); !bytes.Contains(out, []byte("verify OK")) {
			t.Errorf("OpenSSL of the list: %s", out)
		}
	}
	if len(checked) != 2 {
		t.Errorf("answers about %d certificates in the bundle", len(checked))
	}
	// One that is not the named one makes the bundle another's.
	for _, x := range evidence.Entries {
		if len(x.Revocation) == 2 {
			if swapped := swapAnswers(t, b.body, x.Revocation[0], x.Revocation[1]); swapped {
				t.Error("answers were exchanged and nobody noticed")
			}
			break
		}
	}

	// A certificate that the authority revokes is refused, and the entry names the
	// answer that said so.
	a.run("ca", "-revoke", "MFC.pem", "-keyfile", "ca.key", "-cert", "ca.pem")
	sent := d.Party("MFC").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)})
	if sent.Fault == nil {
		t.Fatal("a revoked certificate was let in")
	}
	d.settle()
	refused := ok[Trace](d, auditorToken, "/api/v1/journal/trace/"+sent.Header.Get("X-Mezhved-Incident"))
	if len(refused.Answers) != 1 || refused.Answers[0].Kind != "ocsp" {
		t.Fatalf("the refusal names %+v", refused.Answers)
	}
	a.file("answer.der", string(d.ask(auditorToken, refused.Answers[0].Bytes, nil).body))
	if out := a.run("ocsp", "-respin", "answer.der", "-issuer", "ca.pem", "-cert", "MFC.pem", "-CAfile", "root.pem", "-verify_other", "ca.pem"); !bytes.Contains(out, []byte("MFC.pem: revoked")) {
		t.Errorf("OpenSSL of the answer that refused: %s", out)
	}
}

// swapAnswers exchanges two files of a bundle and says whether it still verifies.
func swapAnswers(t *testing.T, bundle, one, other []byte) bool {
	t.Helper()
	in, err := zip.NewReader(bytes.NewReader(bundle), int64(len(bundle)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range in.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case bytes.Equal(b, one):
			b = other
		case bytes.Equal(b, other):
			b = one
		}
		w, err := z.Create(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(b)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = audit.VerifyBundle(bytes.NewReader(out.Bytes()), int64(out.Len()), nil)
	return err == nil
}
