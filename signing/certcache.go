package signing

import (
	"crypto/sha256"
	"sync"
)

// certCache keeps certificates read, by the SHA-256 of their DER. Only those come
// in whose key has made a signature that holds, so a stranger cannot push the
// others out; when it is full an arbitrary entry goes.
type certCache struct {
	mu    sync.RWMutex
	certs map[[32]byte]*Certificate
	limit int
}

// get gives the certificate that is kept, or reads it.
func (c *certCache) get(der []byte) (*Certificate, error) {
	sum := sha256.Sum256(der)
	c.mu.RLock()
	cert := c.certs[sum]
	c.mu.RUnlock()
	if cert != nil {
		return cert, nil
	}
	return ParseCertificate(der)
}

// keep puts a certificate in that has proved useful.
func (c *certCache) keep(cert *Certificate) {
	c.mu.RLock()
	kept := c.certs[cert.SHA256] != nil
	c.mu.RUnlock()
	if kept {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.certs == nil {
		c.certs = make(map[[32]byte]*Certificate)
	}
	for k := range c.certs {
		if len(c.certs) < c.limit {
			break
		}
		delete(c.certs, k)
	}
	c.certs[cert.SHA256] = cert
}
