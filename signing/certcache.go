package signing

import (
	"crypto/sha256"
	"sync"
)

// certCache keeps certificates read, by the SHA-256 of their DER and by the base64 that
// each stood as in a signature last, which need not be decoded again then. Only those come
// in whose key has made a signature that holds, so a stranger cannot push the others out;
// when it is full an arbitrary entry goes.
type certCache struct {
	mu    sync.RWMutex
	certs map[[32]byte]*keptCertificate
	texts map[string]*Certificate
	limit int
}

type keptCertificate struct {
	*Certificate
	text string // under which it is in texts; empty: it is not
}

// get gives the certificate that is kept, or reads it.
func (c *certCache) get(der []byte) (*Certificate, error) {
	sum := sha256.Sum256(der)
	c.mu.RLock()
	kept := c.certs[sum]
	c.mu.RUnlock()
	if kept != nil {
		return kept.Certificate, nil
	}
	return ParseCertificate(der)
}

// written gives the certificate that stood as this text; nil: it has to be read.
func (c *certCache) written(text []byte) *Certificate {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.texts[string(text)]
}

// keep puts a certificate in that has proved useful, and the base64 that it stood as, if
// there was any.
func (c *certCache) keep(cert *Certificate, text []byte) {
	c.mu.RLock()
	kept := c.certs[cert.SHA256]
	known := kept != nil && (len(text) == 0 || kept.text == string(text))
	c.mu.RUnlock()
	if known {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.certs == nil {
		c.certs, c.texts = make(map[[32]byte]*keptCertificate), make(map[string]*Certificate)
	}
	c.drop(cert.SHA256)
	for k := range c.certs {
		if len(c.certs) < c.limit {
			break
		}
		c.drop(k)
	}
	c.certs[cert.SHA256] = &keptCertificate{cert, string(text)}
	if len(text) > 0 {
		c.texts[string(text)] = cert
	}
}

func (c *certCache) drop(sum [32]byte) {
	if kept := c.certs[sum]; kept != nil {
		delete(c.certs, sum)
		delete(c.texts, kept.text)
	}
}
