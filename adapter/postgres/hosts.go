package postgres

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// hosts remembers, of several addresses of one database, which do not answer. A
// dead host's address may take connections and say nothing; if each new connection
// tried it first, each would take connectTimeout, and none would be left for the
// host that is there.
type hosts struct {
	several bool // there is another one to go to

	mu    sync.Mutex
	quiet map[string]*quiet // by address
}

// quiet is an address at which a server did not say a word. One connection at a
// time goes there to see.
type quiet struct{ tried bool }

var errQuiet = errors.New("the host did not answer a moment ago, and another connection is trying it")

// hostsOf counts the addresses of a configuration. The same one with and without
// TLS is one.
func hostsOf(c *pgx.ConnConfig) *hosts {
	h := &hosts{quiet: map[string]*quiet{}}
	at := func(host string, port uint16) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }
	for _, f := range c.Fallbacks {
		h.several = h.several || at(f.Host, f.Port) != at(c.Host, c.Port)
	}
	return h
}

// admit tells a new connection whether it may go to an address; it must then come
// to heard or to left.
func (h *hosts) admit(network, address string) error {
	if !h.several || !strings.HasPrefix(network, "tcp") {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.quiet[address]
	switch {
	case q == nil:
	case q.tried:
		return fmt.Errorf("%s: %w", address, errQuiet)
	default:
		q.tried = true
	}
	return nil
}

// heard notes that the server at an address speaks.
func (h *hosts) heard(address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.quiet, address)
}

// left notes that a connection ends to which nobody has spoken; silent, that it has
// waited for a word.
func (h *hosts) left(address string, silent bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.quiet[address]
	if q == nil && silent {
		q = &quiet{}
		h.quiet[address] = q
	}
	if q != nil {
		q.tried = false
	}
}
