package signing

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// writeFile writes a file that only its owner may read.
func writeFile(t testing.TB, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// proves makes sure that what a signer signs verifies with its certificate.
func proves(t testing.TB, s Signer) {
	t.Helper()
	if _, err := verifier(t, Options{}).Verify(caller(parse(t, signedRequest(t, sampleContent, s)))); err != nil {
		t.Error(err)
	}
}

func TestLoadPEM(t *testing.T) {
	dir := t.TempDir()
	for _, kind := range keyTypes {
		key, cert, err := identity(t, kind).PEM()
		if err != nil {
			t.Fatal(err)
		}
		keyFile := writeFile(t, filepath.Join(dir, string(kind)+".key"), key)
		certFile := writeFile(t, filepath.Join(dir, string(kind)+".crt"), cert)
		both := writeFile(t, filepath.Join(dir, string(kind)+".pem"), append(key, cert...))
		for _, src := range []KeySource{{Key: keyFile, Certificate: certFile}, {Key: both}} {
			s, err := LoadSigner(context.Background(), src)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			proves(t, s)
		}
	}
	ec, _, _ := identity(t, KeyECDSA256).PEM()
	_, rsaCert, _ := identity(t, KeyRSA2048).PEM()
	ecFile := writeFile(t, filepath.Join(dir, "a.key"), ec)
	open := filepath.Join(dir, "open.key")
	os.WriteFile(open, ec, 0o644)
	os.Chmod(open, 0o644)
	certFile := writeFile(t, filepath.Join(dir, "b.crt"), rsaCert)
	for _, tt := range []struct {
		name, says string
		src        KeySource
	}{
		{"nothing named", "exactly one", KeySource{}},
		{"two named", "exactly one", KeySource{Key: ecFile, PKCS12: "x"}},
		{"certificate of another key", "does not belong", KeySource{Key: ecFile, Certificate: certFile}},
		{"no certificate", "neither", KeySource{Key: ecFile}},
		{"no key", "no private key", KeySource{Key: certFile}},
		{"open to everyone", "chmod 600", KeySource{Key: open}},
		{"absent", "no such file", KeySource{Key: filepath.Join(dir, "none")}},
		{"algorithm of another key", "does not fit", KeySource{Key: filepath.Join(dir, string(KeyECDSA256)+".pem"), Algorithm: RSASHA256}},
		{"unknown algorithm", "not known", KeySource{Key: filepath.Join(dir, string(KeyECDSA256)+".pem"), Algorithm: "urn:x"}},
		{"encrypted", "PKCS#12", KeySource{Key: writeFile(t, filepath.Join(dir, "enc.key"), pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{1}}))}},
	} {
		if _, err := LoadSigner(context.Background(), tt.src); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want it to say %q", tt.name, err, tt.says)
		}
	}
}

// A legacy or otherwise unfit key is refused when it is loaded, not when a
// message waits for its signature.
func TestUnfitKeys(t *testing.T) {
	data, err := os.ReadFile(sharedFile(t, "vectors", "xmldsig", "keys", "gost", "gost-2001-key.p8-pem"))
	if err != nil {
		t.Fatal(err)
	}
	key := writeFile(t, filepath.Join(t.TempDir(), "key"), data)
	cert := sharedFile(t, "vectors", "xmldsig", "keys", "gost", "gost-2001-cert.pem")
	if _, err = LoadSigner(context.Background(), KeySource{Key: key, Certificate: cert}); err == nil {
		t.Error("a GOST R 34.10-2001 key was loaded to sign with")
	}
	c, err := certificateFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewSigner(anySigner{c}, c, ""); err == nil || !strings.Contains(err.Error(), "only verified") {
		t.Errorf("got %v, want a refusal: legacy algorithms are only verified", err)
	}
}

// anySigner says it has the certificate's key.
type anySigner struct{ c *Certificate }

func (s anySigner) Public() crypto.PublicKey { return s.c.key.(*gostPublicKey).k }
func (s anySigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, io.ErrUnexpectedEOF
}

func TestLoadPKCS12(t *testing.T) {
	dir := t.TempDir()
	password := writeFile(t, filepath.Join(dir, "password"), []byte("пароль\n"))
	for _, kind := range []KeyType{KeyECDSA256, KeyRSA2048} {
		id := identity(t, kind)
		for name, encoder := range map[string]*pkcs12.Encoder{"modern": pkcs12.Modern, "legacy": pkcs12.LegacyDES} {
			der, err := encoder.Encode(id.Key, id.Certificate.X509, nil, "пароль")
			if err != nil {
				t.Fatal(err)
			}
			file := writeFile(t, filepath.Join(dir, name+".p12"), der)
			s, err := LoadSigner(context.Background(), KeySource{PKCS12: file, PasswordFile: password})
			if err != nil {
				t.Fatalf("%s, %s: %v", kind, name, err)
			}
			proves(t, s)
			if _, err := LoadSigner(context.Background(), KeySource{PKCS12: file}); err == nil {
				t.Errorf("%s: opened without its password", name)
			}
		}
	}
}

// tlsPair is a server certificate, or a client's, for loopback.
func tlsPair(t *testing.T, ca *TestCA, usage x509.ExtKeyUsage) (*Identity, tls.Certificate) {
	t.Helper()
	key, err := GenerateKey(KeyECDSA256)
	if err != nil {
		t.Fatal(err)
	}
	template, err := TestSubject{CommonName: "tls"}.template(time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	template.DNSNames = []string{"localhost"}
	der, err := createCertificate(template, ca.Certificate.X509, key.Public(), ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Identity{cert, key}, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// remoteServer is a remote signer that lets in only clients with a certificate.
func remoteServer(t *testing.T, handler http.Handler) (url, ca, clientKey, clientCert string) {
	t.Helper()
	dir := t.TempDir()
	authority, err := NewTestCA("TLS", KeyECDSA256, time.Now().Add(-24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	_, serverPair := tlsPair(t, authority, x509.ExtKeyUsageServerAuth)
	client, _ := tlsPair(t, authority, x509.ExtKeyUsageClientAuth)
	pool := x509.NewCertPool()
	pool.AddCert(authority.Certificate.X509)
	srv := httptest.NewUnstartedServer(handler)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{serverPair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	key, cert, err := client.PEM()
	if err != nil {
		t.Fatal(err)
	}
	url = strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	return url, writeFile(t, filepath.Join(dir, "ca.pem"), authority.Certificate.PEM()),
		writeFile(t, filepath.Join(dir, "client.key"), key), writeFile(t, filepath.Join(dir, "client.crt"), cert)
}

func TestRemoteSigner(t *testing.T) {
	for _, kind := range []KeyType{KeyECDSA256, KeyRSA2048, KeyGOST256} {
		url, ca, key, cert := remoteServer(t, RemoteHandler(map[string]Signer{"main": signer(t, kind)}))
		src := RemoteSource{URL: url, Key: "main", CA: ca, ClientKey: key, ClientCertificate: cert}
		s, err := LoadSigner(context.Background(), KeySource{Remote: &src})
		if err != nil {
			t.Fatal(err)
		}
		proves(t, s)

		// The certificate may be configured here instead.
		file := writeFile(t, filepath.Join(t.TempDir(), "c.pem"), identity(t, kind).Certificate.PEM())
		if s, err = LoadSigner(context.Background(), KeySource{Remote: &src, Certificate: file}); err != nil {
			t.Fatal(err)
		}
		proves(t, s)

		stranger := src
		stranger.ClientKey, stranger.ClientCertificate = "", ""
		if _, err := LoadSigner(context.Background(), KeySource{Remote: &stranger}); err == nil {
			t.Error("a client without a certificate was let in")
		}
		other := src
		other.Key = "other"
		if _, err := LoadSigner(context.Background(), KeySource{Remote: &other}); err == nil || !strings.Contains(err.Error(), "404") {
			t.Errorf("an unknown key: got %v", err)
		}
	}
}

// A remote side that signs with another key, or gives nonsense, is found out here.
func TestRemoteSignerIsChecked(t *testing.T) {
	other, err := SelfSigned(TestSubject{CommonName: "other"}, testNow)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := other.Signer()
	if err != nil {
		t.Fatal(err)
	}
	file := writeFile(t, filepath.Join(t.TempDir(), "c.pem"), identity(t, KeyECDSA256).Certificate.PEM())
	doc, slot := request(sampleContent)
	for name, handler := range map[string]http.Handler{
		"another key": RemoteHandler(map[string]Signer{"main": wrong}),
		"refusal":     http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "locked", http.StatusForbidden) }),
		"nonsense":    http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("{]")) }),
		"redirect":    http.RedirectHandler("http://127.0.0.1:1/", http.StatusTemporaryRedirect),
		"too much":    http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte(" "), 1<<20)) }),
	} {
		srv := httptest.NewServer(handler)
		s, err := LoadSigner(context.Background(), KeySource{Remote: &RemoteSource{URL: srv.URL, Key: "main"}, Certificate: file})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := SignInto(context.Background(), []byte(doc), "SIGNED_BY_CONSUMER", slot, s); code(err) != SignerFailed {
			t.Errorf("%s: got %v, want %s", name, err, SignerFailed)
		}
		srv.Close()
	}
	for _, url := range []string{"http://10.0.0.1/", "ftp://localhost/", "https://", "://"} {
		if _, err := LoadSigner(context.Background(), KeySource{Remote: &RemoteSource{URL: url}, Certificate: file}); err == nil {
			t.Errorf("%q was accepted as a remote signer", url)
		}
	}
}

// A signer that does not answer is left when the caller's time is over.
func TestRemoteSignerContext(t *testing.T) {
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer srv.Close()
	defer close(release)
	file := writeFile(t, filepath.Join(t.TempDir(), "c.pem"), identity(t, KeyECDSA256).Certificate.PEM())
	s, err := LoadSigner(context.Background(), KeySource{Remote: &RemoteSource{URL: srv.URL, Key: "main"}, Certificate: file})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Sign(ctx, []byte("x")); err == nil {
		t.Error("a signer that does not answer gave a value")
	}
}
