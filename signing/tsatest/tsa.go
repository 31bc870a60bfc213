// Package tsatest is a time-stamping authority for tests: openssl's, with a key of its
// own. Tests enter, nobody else.
package tsatest

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"mezhved/signing"
)

// TSA is an authority. Its clock is the machine's: openssl knows no other.
type TSA struct {
	t    testing.TB
	dir  string
	Root *signing.Certificate
}

const config = `[tsa]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1, millisecs:500, microsecs:100
ordering = yes
tsa_name = no
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[req]
distinguished_name = name
prompt = no
[name]
CN = TEST TSA
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[other]
keyUsage = critical, digitalSignature
`

// New makes an authority, or skips the test where openssl is not installed.
func New(t testing.TB) *TSA {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed: it is the test's time-stamping authority")
	}
	a := &TSA{t: t, dir: t.TempDir()}
	a.write("tsa.cnf", []byte(config))
	a.write("serial", []byte("01\n"))
	a.run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "root.key", "-out", "root.pem", "-subj", "/CN=TEST TSA Root", "-days", "30", "-config", "tsa.cnf", "-extensions", "root")
	a.run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "tsa.key", "-out", "tsa.csr", "-config", "tsa.cnf")
	a.Root = a.certificate("root.pem")
	a.issue("tsa.pem", "leaf")
	return a
}

func (a *TSA) issue(name, section string) {
	a.t.Helper()
	a.run("x509", "-req", "-in", "tsa.csr", "-CA", "root.pem", "-CAkey", "root.key", "-set_serial", "7", "-days", "20", "-out", name, "-extfile", "tsa.cnf", "-extensions", section)
}

func (a *TSA) certificate(name string) *signing.Certificate {
	a.t.Helper()
	pem, err := os.ReadFile(filepath.Join(a.dir, name))
	if err != nil {
		a.t.Fatal(err)
	}
	certs, err := signing.ParsePEMCertificates(pem)
	if err != nil {
		a.t.Fatal(err)
	}
	return certs[0]
}

func (a *TSA) write(name string, content []byte) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), content, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *TSA) run(args ...string) {
	a.t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = a.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		a.t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
}

// Answer answers one request.
func (a *TSA) Answer(query []byte) ([]byte, error) {
	dir, err := os.MkdirTemp(a.dir, "q")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "q"), query, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command("openssl", "ts", "-reply", "-config", "tsa.cnf", "-section", "tsa", "-queryfile", filepath.Join(dir, "q"), "-signer", "tsa.pem", "-inkey", "tsa.key", "-out", filepath.Join(dir, "r"))
	cmd.Dir = a.dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	err = cmd.Run()
	answer, readErr := os.ReadFile(filepath.Join(dir, "r"))
	if readErr != nil {
		a.t.Logf("openssl ts: %v\n%s", err, &errs)
		return nil, readErr
	}
	return answer, nil // a refusal is an answer too
}

// ServeHTTP answers as RFC 3161, 3.4, has it.
func (a *TSA) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil || r.Header.Get("Content-Type") != "application/timestamp-query" {
		http.Error(w, "a query is expected", http.StatusBadRequest)
		return
	}
	answer, err := a.Answer(query)
	if err != nil {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	w.Write(answer)
}
