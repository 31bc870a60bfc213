package signing

import (
	"crypto/sha256"
	"sync"
)

// certCache keeps certificates read, by the SHA-256 of their DER. When it is full
// an arbitrary entry goes: whoever floods it with certificates costs the others a
// reading each, and no memory.
type certCache struct {
	mu    sync.RWMutex
	certs map[[32]byte]*Certificate
	limit int
}

func (c *certCache) get(der []byte) (*Certificate, error) {
	sum := sha256.Sum256(der)
	c.mu.RLock()
	cert := c.certs[sum]
	c.mu.RUnlock()
	if cert != nil {
		return cert, nil
	}
	cert, err := ParseCertificate(der)
	if err != nil {
		return nil, err
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
	c.certs[sum] = cert
	return cert, nil
}
