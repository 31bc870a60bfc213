package adapter

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// transport is the transport security of the doors. The certificate is read again
// when its file changes, and with the authorities of client certificates when the
// gateway reloads: they are renewed without a restart. What cannot be read leaves
// the old in force, and is told.
type transport struct {
	config TLSConfig
	log    *slog.Logger
	count  func(what, outcome string, expires time.Time) // each reading after which something is told; expires is of a certificate in use

	pair  certificateFile
	inUse atomic.Pointer[tls.Config] // with the authorities in force
}

func newTransport(c TLSConfig, log *slog.Logger, count func(what, outcome string, expires time.Time)) (*transport, error) {
	t := &transport{config: c, log: log, count: count, pair: certificateFile{cert: c.Certificate, key: c.Key}}
	if _, err := t.certificate(false); err != nil {
		return nil, err
	}
	return t, t.readAuthorities()
}

// Try reads certificate, key and authorities of clients as the doors do when they
// open. The certificate is nil where the doors have none.
func (c TLSConfig) Try() (*x509.Certificate, error) {
	if c.Certificate == "" {
		return nil, nil
	}
	t, err := newTransport(c, slog.New(slog.DiscardHandler), func(string, string, time.Time) {})
	if err != nil {
		return nil, err
	}
	pair, err := t.certificate(false)
	if err != nil {
		return nil, err
	}
	return pair.Leaf, nil
}

// listen opens the configured address behind the proxies that are trusted. The transport
// security is nil where there is none; the listener is still without it.
func (c Config) listen(p proxies, log *slog.Logger, count func(what, outcome string, expires time.Time)) (net.Listener, *transport, error) {
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("listening on %s: %w (is another gateway running? choose another address with listen)", c.Listen, err)
	}
	l = p.listener(wires{l})
	if c.TLS.Certificate == "" {
		return l, nil, nil
	}
	t, err := newTransport(c.TLS, log, count)
	if err != nil {
		l.Close()
		return nil, nil, err
	}
	return l, t, nil
}

// OpenDoors opens the configured address for doors that are no gateway's as a gateway opens
// its own: with TLS where it is configured, and behind the proxies that are trusted, whose
// word the handler that it gives takes for who calls. The doors' certificate is read again
// when its file changes.
func (c Config) OpenDoors(doors http.Handler, log *slog.Logger) (net.Listener, http.Handler, error) {
	p, err := c.proxies()
	if err != nil {
		return nil, nil, err
	}
	l, t, err := c.listen(p, log, func(string, string, time.Time) {})
	if err != nil {
		return nil, nil, err
	}
	if t != nil {
		l = tls.NewListener(l, forListener(func() *transport { return t }))
	}
	return l, p.handler(doors), nil
}

// forListener is the configuration whose handshakes follow what is in force then.
func forListener(now func() *transport) *tls.Config {
	c := now().inUse.Load().Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return now().inUse.Load(), nil }
	return c
}

// reload reads everything again.
func (t *transport) reload() {
	t.certificate(true) // told there
	if t.config.ClientCAs == "" {
		return
	}
	if err := t.readAuthorities(); err != nil {
		t.count("clientCAs", "failed", time.Time{})
		t.log.Error("the authorities of client certificates were not read again, the old ones stay: mend the file and reload", "error", err)
		return
	}
	t.count("clientCAs", "ok", time.Time{})
	t.log.Info("the authorities of client certificates were read again", "file", t.config.ClientCAs)
}

func (t *transport) readAuthorities() error {
	c := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return t.certificate(false) },
	}
	if t.config.ClientCAs != "" {
		pem, err := os.ReadFile(t.config.ClientCAs)
		if err != nil {
			return fmt.Errorf("client authorities: %w", err)
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("client authorities: %s holds no certificate", t.config.ClientCAs)
		}
		c.ClientAuth = tls.VerifyClientCertIfGiven
		if t.config.RequireClient {
			c.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	t.inUse.Store(c)
	return nil
}

// certificate gives the pair in force and tells what became of a new one.
func (t *transport) certificate(now bool) (*tls.Certificate, error) {
	pair, fresh, err := t.pair.get(now)
	switch {
	case err != nil && pair != nil:
		t.count("certificate", "failed", pair.Leaf.NotAfter)
		t.log.Error("a door's certificate was not read again, the old one stays: mend the files", "error", err, "expires", pair.Leaf.NotAfter)
	case err != nil:
		return nil, err
	case fresh:
		t.count("certificate", "ok", pair.Leaf.NotAfter)
		t.log.Info("a door has a certificate", "file", t.config.Certificate, "subject", pair.Leaf.Subject.String(), "expires", pair.Leaf.NotAfter)
	}
	return pair, nil
}

// LoadTLS makes the transport security of the file store's FTP door; nil where it
// has none. What is offered by name (ALPN) is ftp alone, so that nobody can lead a
// client of another protocol here that takes the certificate for its own server's.
// The certificate is read again when its file changes, which is logged and counted
// with its outcome, ok or failed, and with when the one in use expires.
func (c FTPConfig) LoadTLS(log *slog.Logger, count func(outcome string, expires time.Time)) (*tls.Config, error) {
	if c.Certificate == "" {
		return nil, nil
	}
	t, err := newTransport(TLSConfig{Certificate: c.Certificate, Key: c.Key}, log, func(_, outcome string, expires time.Time) { count(outcome, expires) })
	if err != nil {
		return nil, err
	}
	out := t.inUse.Load()
	out.NextProtos = []string{"ftp"}
	return out, nil
}

// certificateFile is a key pair on disk.
type certificateFile struct {
	cert, key string

	mu      sync.Mutex
	checked time.Time
	state   fileState // of the files that were read, or could not be
	failed  bool
	pair    *tls.Certificate
}

// fileState tells whether the files have changed since they were looked at.
type fileState struct{ cert, key time.Time }

func (f *certificateFile) look() (s fileState, err error) {
	c, err := os.Stat(f.cert)
	k, kerr := os.Stat(f.key)
	if err = errors.Join(err, kerr); err == nil {
		s = fileState{c.ModTime(), k.ModTime()}
	}
	return s, err
}

// get gives the pair, looking at the files every ten seconds, or now. fresh says
// that it is a new one; with an error, which each change of the files gives once,
// the old one is in use.
func (f *certificateFile) get(now bool) (pair *tls.Certificate, fresh bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pair != nil && !now && time.Since(f.checked) < 10*time.Second {
		return f.pair, false, nil
	}
	f.checked = time.Now()
	state, err := f.look()
	if f.pair != nil && state == f.state && !(now && f.failed) {
		return f.pair, false, nil
	}
	f.state, f.failed = state, false
	var read tls.Certificate
	if err == nil {
		read, err = tls.LoadX509KeyPair(f.cert, f.key)
	}
	if err != nil {
		f.failed = true
		return f.pair, false, fmt.Errorf("certificate %s with key %s: %w", f.cert, f.key, err)
	}
	f.pair = &read
	return f.pair, true, nil
}
