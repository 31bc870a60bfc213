package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"sync"
	"sync/atomic"

	"mezhved/signing/internal/p256"
)

// ecdsaPublicKey verifies by crypto/ecdsa, and on P-256 first with a table of the key
// once it has been seen often enough for one to pay; only signatures that hold are
// counted, so a stranger cannot make us keep tables for keys that nobody has.
type ecdsaPublicKey struct {
	k    *ecdsa.PublicKey
	uses atomic.Int32
	fast atomic.Pointer[p256.Key]
}

const (
	// ecdsaTableAfter is after how many verifications a table is made, which takes as
	// long as a dozen of them save.
	ecdsaTableAfter = 32
	// ecdsaTables is how many keys have tables at once: 45 MB.
	ecdsaTables = 512
)

func (p *ecdsaPublicKey) kind() keyKind                    { return ecdsaKey }
func (p *ecdsaPublicKey) same(other crypto.PublicKey) bool { return p.k.Equal(other) }
func (p *ecdsaPublicKey) String() string                   { return "ECDSA " + p.k.Curve.Params().Name }

// verify takes r and s at the full width of the curve, one after the other
// (RFC 6931, 2.3.6): neither DER nor trimmed numbers.
func (p *ecdsaPublicKey) verify(_ *method, digest, value []byte) bool {
	n := (p.k.Curve.Params().BitSize + 7) / 8
	if len(value) != 2*n {
		return false
	}
	r, s := value[:n], value[n:]
	if fast := p.fast.Load(); fast != nil && fast.Verify(digest, r, s) {
		return true
	}
	var buf [160]byte
	if !ecdsa.VerifyASN1(p.k, digest, appendECDSA(buf[:0], r, s)) {
		return false
	}
	if p.uses.Add(1) == ecdsaTableAfter && p.k.Curve == elliptic.P256() && !fips140.Enabled() {
		keptTables.give(p)
	}
	return true
}

// keptTables are the keys that have tables.
var keptTables = &tables{limit: ecdsaTables, of: map[*ecdsaPublicKey]struct{}{}}

type tables struct {
	limit int
	mu    sync.Mutex
	of    map[*ecdsaPublicKey]struct{}
}

// give makes the table of a key. When there are too many an arbitrary one goes, and its
// key is counted anew.
func (t *tables) give(p *ecdsaPublicKey) {
	point, err := p.k.Bytes()
	if err != nil {
		return // crypto/ecdsa has verified with it; it may go on doing so
	}
	fast := p256.NewKey(point)
	t.mu.Lock()
	defer t.mu.Unlock()
	for other := range t.of {
		if len(t.of) < t.limit {
			break
		}
		delete(t.of, other)
		other.fast.Store(nil)
		other.uses.Store(0)
	}
	t.of[p] = struct{}{}
	p.fast.Store(fast)
}
