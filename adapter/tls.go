package adapter

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"
)

// load makes the transport security of the doors. The certificate is read again
// when its file changes, so it is renewed without a restart.
func (c TLSConfig) load() (*tls.Config, error) {
	reread := &certificateFile{cert: c.Certificate, key: c.Key}
	if _, err := reread.get(); err != nil {
		return nil, err
	}
	out := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return reread.get() },
	}
	if c.ClientCAs == "" {
		return out, nil
	}
	pem, err := os.ReadFile(c.ClientCAs)
	if err != nil {
		return nil, fmt.Errorf("client authorities: %w", err)
	}
	out.ClientCAs = x509.NewCertPool()
	if !out.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("client authorities: %s holds no certificate", c.ClientCAs)
	}
	out.ClientAuth = tls.VerifyClientCertIfGiven
	if c.RequireClient {
		out.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return out, nil
}

// LoadTLS makes the transport security of the file store's FTP door; nil where it
// has none. What is offered by name (ALPN) is ftp alone, so that nobody can lead a
// client of another protocol here that takes the certificate for its own server's.
func (c FTPConfig) LoadTLS() (*tls.Config, error) {
	if c.Certificate == "" {
		return nil, nil
	}
	out, err := TLSConfig{Certificate: c.Certificate, Key: c.Key}.load()
	if err == nil {
		out.NextProtos = []string{"ftp"}
	}
	return out, err
}

// certificateFile is a key pair on disk.
type certificateFile struct {
	cert, key string

	mu      sync.Mutex
	checked time.Time
	changed time.Time
	pair    *tls.Certificate
}

// get gives the pair. A new one that cannot be read leaves the old one in use.
func (f *certificateFile) get() (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pair != nil && time.Since(f.checked) < 10*time.Second {
		return f.pair, nil
	}
	f.checked = time.Now()
	info, err := os.Stat(f.cert)
	if err == nil && f.pair != nil && info.ModTime().Equal(f.changed) {
		return f.pair, nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		if f.pair != nil {
			return f.pair, nil
		}
		return nil, fmt.Errorf("certificate of the doors: %w", err)
	}
	f.pair = &pair
	if info != nil {
		f.changed = info.ModTime()
	}
	return f.pair, nil
}
