package gost

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// engine is OpenSSL with its GOST engine, an independent implementation of
// everything here (Debian: libengine-gost-openssl).
type engine struct {
	t      testing.TB
	dir    string
	config string
}

// newEngine finds the engine or skips the test.
func newEngine(t testing.TB) engine {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
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
	e := engine{t: t, dir: t.TempDir()}
	e.config = e.file("openssl.cnf", []byte(`openssl_conf = conf
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
	if out, err := e.try("engine", "gost", "-c"); err != nil || !bytes.Contains(out, []byte("gost2012_256")) {
		t.Skipf("OpenSSL's GOST engine does not load: %v: %s", err, out)
	}
	return e
}

// file writes a file in the engine's directory and returns its path.
func (e engine) file(name string, content []byte) string {
	e.t.Helper()
	path := filepath.Join(e.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		e.t.Fatal(err)
	}
	return path
}

func (e engine) read(name string) []byte {
	e.t.Helper()
	content, err := os.ReadFile(filepath.Join(e.dir, name))
	if err != nil {
		e.t.Fatal(err)
	}
	return content
}

func (e engine) try(args ...string) ([]byte, error) {
	command := exec.Command("openssl", args...)
	command.Dir = e.dir
	command.Env = append(os.Environ(), "OPENSSL_CONF="+e.config)
	return command.CombinedOutput()
}

func (e engine) run(args ...string) []byte {
	e.t.Helper()
	out, err := e.try(args...)
	if err != nil {
		e.t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// engineSets are the parameter sets as the engine names them.
var engineSets = []struct {
	algorithm, set string
	curve          *Curve
}{
	{"gost2012_256", "A", CurveCryptoProA},
	{"gost2012_256", "B", CurveCryptoProB},
	{"gost2012_256", "C", CurveCryptoProC},
	{"gost2012_256", "XA", CurveCryptoProXchA},
	{"gost2012_256", "XB", CurveCryptoProXchB},
	{"gost2012_256", "TCA", Curve256A},
	{"gost2012_256", "TCB", Curve256B},
	{"gost2012_256", "TCC", Curve256C},
	{"gost2012_256", "TCD", Curve256D},
	{"gost2012_512", "A", Curve512A},
	{"gost2012_512", "B", Curve512B},
	{"gost2012_512", "C", Curve512C},
}

func TestEngineDigests(t *testing.T) {
	e := newEngine(t)
	var message []byte
	for length := 0; length < 400; length += 1 + length/3 {
		for len(message) < length {
			message = append(message, byte(255-len(message)*7))
		}
		e.file("message", message)
		for name, h := range map[string]interface {
			Write([]byte) (int, error)
			Sum([]byte) []byte
		}{
			"md_gost12_256": NewStreebog256(), "md_gost12_512": NewStreebog512(), "md_gost94": NewGOST94(),
		} {
			if name == "md_gost94" && length == 0 {
				continue // the engine hashes one block of zeros then; CryptoPro and others none
			}
			h.Write(message)
			want := string(bytes.Fields(e.run("dgst", "-r", "-"+name, "message"))[0])
			if got := hex.EncodeToString(h.Sum(nil)); got != want {
				t.Errorf("%s of %d octets: %s, the engine has %s", name, length, got, want)
			}
		}
	}
}

// Signatures, keys, certificates and requests go both ways on every parameter
// set.
func TestEngineBothWays(t *testing.T) {
	e := newEngine(t)
	message := []byte("Запрос сведений о правах на объект недвижимости")
	e.file("message", message)
	for _, v := range engineSets {
		t.Run(v.curve.Name(), func(t *testing.T) {
			e := e
			e.t = t
			digest := "-md_gost12_256"
			if v.curve.Size() == octets512 {
				digest = "-md_gost12_512"
			}

			// What the engine makes, we read.
			e.run("genpkey", "-algorithm", v.algorithm, "-pkeyopt", "paramset:"+v.set, "-out", "theirs.pem")
			e.run("pkey", "-in", "theirs.pem", "-pubout", "-out", "theirs.pub")
			key, err := ParsePrivateKeyPEM(e.read("theirs.pem"))
			if err != nil {
				t.Fatal(err)
			}
			public, err := ParsePublicKeyPEM(e.read("theirs.pub"))
			if err != nil {
				t.Fatal(err)
			}
			if !public.Equal(key.Public()) || public.Curve() != v.curve {
				t.Errorf("public key %x on %s, private key gives %x", public.Octets(), public.Curve().Name(), key.PublicKey().Octets())
			}
			e.run("dgst", digest, "-sign", "theirs.pem", "-out", "theirs.sig", "message")
			if err := public.VerifyMessage(message, e.read("theirs.sig")); err != nil {
				t.Errorf("the engine's signature: %v", err)
			}
			e.run("req", "-x509", "-new", "-key", "theirs.pem", digest, "-subj", "/CN=theirs", "-days", "36500", "-out", "theirs.crt")
			theirs := parseCertificate(t, e.read("theirs.crt"))
			if err := CheckSignatureFrom(theirs, theirs); err != nil {
				t.Errorf("the engine's certificate: %v", err)
			}
			e.run("req", "-new", "-key", "theirs.pem", digest, "-subj", "/CN=theirs", "-out", "theirs.csr")
			block, _ := pem.Decode(e.read("theirs.csr"))
			request, err := x509.ParseCertificateRequest(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if err := CheckRequestSignature(request); err != nil {
				t.Errorf("the engine's request: %v", err)
			}

			// What we make, the engine reads.
			ours, err := GenerateKey(nil, v.curve)
			if err != nil {
				t.Fatal(err)
			}
			e.file("ours.pem", PrivateKeyPEM(ours))
			e.file("ours.pub", PublicKeyPEM(ours.PublicKey()))
			derived, err := ParsePublicKeyPEM(e.run("pkey", "-in", "ours.pem", "-pubout"))
			if err != nil || !derived.Equal(ours.Public()) {
				t.Errorf("the engine derives another public key: %v", err)
			}
			signature, err := ours.SignMessage(nil, message, nil)
			if err != nil {
				t.Fatal(err)
			}
			e.file("ours.sig", signature)
			if out := e.run("dgst", digest, "-verify", "ours.pub", "-signature", "ours.sig", "message"); !bytes.Contains(out, []byte("Verified OK")) {
				t.Errorf("our signature: %s", out)
			}
			e.file("other", append(message, '.'))
			if out, err := e.try("dgst", digest, "-verify", "ours.pub", "-signature", "ours.sig", "other"); err == nil {
				t.Errorf("our signature over another message: %s", out)
			}

			template := authorityTemplate("ours")
			der, err := CreateCertificate(nil, template, template, ours.Public(), ours)
			if err != nil {
				t.Fatal(err)
			}
			root := parseCertificate(t, der)
			e.file("ours.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
			leafKey := newSigned(t, Curve256A).key
			der, err = CreateCertificate(nil, &x509.Certificate{
				SerialNumber: big.NewInt(4), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: notBefore, NotAfter: notAfter,
			}, root, leafKey.Public(), ours)
			if err != nil {
				t.Fatal(err)
			}
			e.file("leaf.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
			at := fmt.Sprint(notBefore.AddDate(0, 1, 0).Unix())
			e.run("verify", "-attime", at, "-check_ss_sig", "-CAfile", "ours.crt", "ours.crt", "leaf.crt")
			der, err = CreateRequest(nil, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "ours"}}, ours)
			if err != nil {
				t.Fatal(err)
			}
			e.file("ours.csr", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
			e.run("req", "-verify", "-noout", "-in", "ours.csr")
			der, err = CreateRevocationList(nil, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: notBefore, NextUpdate: notAfter}, root, ours)
			if err != nil {
				t.Fatal(err)
			}
			e.file("ours.crl", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
			e.run("crl", "-verify", "-noout", "-CAfile", "ours.crt", "-in", "ours.crl")
		})
	}
}

// Keys and certificates of 2001, which are only verified here.
func TestEngineGOST2001(t *testing.T) {
	e := newEngine(t)
	message := bytes.Repeat([]byte("старое сообщение "), 20)
	e.file("message", message)
	for _, set := range []string{"A", "B", "C", "XA", "XB"} {
		e.run("genpkey", "-algorithm", "gost2001", "-pkeyopt", "paramset:"+set, "-out", "old.pem")
		e.run("pkey", "-in", "old.pem", "-pubout", "-out", "old.pub")
		e.run("dgst", "-md_gost94", "-sign", "old.pem", "-out", "old.sig", "message")
		key, err := ParsePublicKeyPEM(e.read("old.pub"))
		if err != nil {
			t.Fatal(err)
		}
		if key.Algorithm() != GOST2001 {
			t.Errorf("%s: key for %v", set, key.Algorithm())
		}
		if err := key.VerifyMessage(message, e.read("old.sig")); err != nil {
			t.Errorf("%s: %v", set, err)
		}
		if err := key.VerifyMessage(message[1:], e.read("old.sig")); err == nil {
			t.Errorf("%s: verifies over another message", set)
		}
		e.run("req", "-x509", "-new", "-key", "old.pem", "-md_gost94", "-subj", "/CN=old", "-days", "36500", "-out", "old.crt")
		certificate := parseCertificate(t, e.read("old.crt"))
		if err := CheckSignatureFrom(certificate, certificate); err != nil {
			t.Errorf("%s: certificate: %v", set, err)
		}
		if _, err := ParsePrivateKeyPEM(e.read("old.pem")); err == nil {
			t.Errorf("%s: a private key of 2001 is taken", set)
		}
	}
}

// Many short signatures on one key each way, so that a nonce or a scalar with
// leading zeros comes up.
func TestEngineManySignatures(t *testing.T) {
	e := newEngine(t)
	e.run("genpkey", "-algorithm", "gost2012_256", "-pkeyopt", "paramset:TCA", "-out", "key.pem")
	e.run("pkey", "-in", "key.pem", "-pubout", "-out", "key.pub")
	key, err := ParsePrivateKeyPEM(e.read("key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		message := make([]byte, 16)
		rand.Read(message)
		e.file("message", message)
		e.run("dgst", "-md_gost12_256", "-sign", "key.pem", "-out", "sig", "message")
		if err := key.PublicKey().VerifyMessage(message, e.read("sig")); err != nil {
			t.Errorf("signature %d of the engine over %x: %v", i, message, err)
		}
		signature, err := key.SignMessage(nil, message, nil)
		if err != nil {
			t.Fatal(err)
		}
		e.file("sig", signature)
		e.run("dgst", "-md_gost12_256", "-verify", "key.pub", "-signature", "sig", "message")
	}
}
