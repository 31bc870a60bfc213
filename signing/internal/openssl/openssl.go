// Package openssl lets tests ask OpenSSL, with its GOST engine where it is
// installed (Debian: libengine-gost-openssl): an independent implementation of
// what the rooms of signing do.
package openssl

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Program is OpenSSL with a folder of its own, where it is run.
type Program struct {
	T      testing.TB
	Dir    string
	Config string // its configuration file
}

// Plain finds OpenSSL or skips the test.
func Plain(t testing.TB) Program {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	p := Program{T: t, Dir: t.TempDir()}
	p.Config = p.File("openssl.cnf", nil)
	return p
}

// WithGOST finds OpenSSL and its GOST engine or skips the test.
func WithGOST(t testing.TB) Program {
	t.Helper()
	p := Plain(t)
	var library string
	for _, pattern := range []string{
		"/usr/lib/*/engines-3/gost.so", "/usr/lib/*/engines-1.1/gost.so",
		"/usr/lib64/engines-3/gost.so", "/usr/local/lib*/engines-3/gost.so",
	} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			library = found[0]
			break
		}
	}
	if library == "" {
		t.Skip("OpenSSL's GOST engine is not installed (Debian: apt-get install libengine-gost-openssl)")
	}
	p.Config = p.File("openssl.cnf", []byte(`openssl_conf = conf
[conf]
engines = engines
[engines]
gost = gost
[gost]
engine_id = gost
dynamic_path = `+library+`
default_algorithms = ALL
[req]
distinguished_name = name
x509_extensions = authority
[name]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
`))
	if out, err := p.Try("engine", "gost", "-c"); err != nil || !bytes.Contains(out, []byte("gost2012_256")) {
		t.Skipf("OpenSSL's GOST engine does not load: %v: %s", err, out)
	}
	return p
}

// File writes a file in the folder and returns its path.
func (p Program) File(name string, content []byte) string {
	p.T.Helper()
	path := filepath.Join(p.Dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		p.T.Fatal(err)
	}
	return path
}

// Read reads a file of the folder.
func (p Program) Read(name string) []byte {
	p.T.Helper()
	content, err := os.ReadFile(filepath.Join(p.Dir, name))
	if err != nil {
		p.T.Fatal(err)
	}
	return content
}

// Try runs openssl and gives what it prints.
func (p Program) Try(args ...string) ([]byte, error) {
	command := exec.Command("openssl", args...)
	command.Dir = p.Dir
	command.Env = append(os.Environ(), "OPENSSL_CONF="+p.Config)
	return command.CombinedOutput()
}

// Run is Try that must succeed.
func (p Program) Run(args ...string) []byte {
	p.T.Helper()
	out, err := p.Try(args...)
	if err != nil {
		p.T.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}
