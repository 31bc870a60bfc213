package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"mezhved/adapter/journal"

	"golang.org/x/mod/sumdb/tlog"
)

// Cosigner is a witness as https://c2sp.org/tlog-witness describes it: it
// remembers the largest tree that it has seen of each log and signs a checkpoint
// only when the log has grown from there. Safe for concurrent use; one process
// at a time per directory.
type Cosigner struct {
	key *journal.SigningKey
	dir string
	now func() time.Time

	mu   sync.Mutex
	logs map[string]*journal.Policy // by origin
}

// Refusals of a Cosigner, which the protocol answers with different codes.
var (
	ErrUnknownLog   = errors.New("the witness does not watch this log")               // 404
	ErrBadSigned    = errors.New("the checkpoint is not signed by the log")           // 403
	ErrBadRequest   = errors.New("malformed request")                                 // 400
	ErrInconsistent = errors.New("the log has not grown from what the witness knows") // 422
)

// ConflictError says that the request starts from another size than the one that
// the witness has seen last: 409.
type ConflictError struct{ Size int64 }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("the witness has seen %d entries", e.Size)
}

// NewCosigner opens a witness with the key skey and its memory in dir, one file
// for each log. logs are the verifier keys (vkeys) of the logs that it watches.
func NewCosigner(dir, skey string, logs []string, now func() time.Time) (*Cosigner, error) {
	k, err := journal.ParseSigningKey(skey)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	c := &Cosigner{key: k, dir: dir, now: now, logs: map[string]*journal.Policy{}}
	for _, vkey := range logs {
		p, err := journal.LogPolicy(vkey)
		if err != nil {
			return nil, err
		}
		if c.logs[p.Origin()] != nil {
			return nil, fmt.Errorf("two keys for the log %s: a log that changes its key changes its origin", p.Origin())
		}
		c.logs[p.Origin()] = p
	}
	return c, nil
}

// Key is the witness's verifier key, for policies.
func (c *Cosigner) Key() string { return c.key.Verifier() }

func (c *Cosigner) file(origin string) string {
	return filepath.Join(c.dir, hexDigest([]byte(origin))+".json")
}

// Seen is the largest tree of a log that was cosigned; size 0 before the first.
func (c *Cosigner) Seen(origin string) (tlog.Tree, error) {
	b, err := os.ReadFile(c.file(origin))
	if errors.Is(err, fs.ErrNotExist) {
		empty, _ := tlog.TreeHash(0, nil)
		return tlog.Tree{Hash: empty}, nil
	}
	var st journal.LastSigned
	if err == nil {
		err = json.Unmarshal(b, &st)
	}
	if err != nil || st.Origin != origin || len(st.Root) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("the witness's memory of %s in %s is damaged: %v", origin, c.file(origin), err)
	}
	return tlog.Tree{N: st.Size, Hash: journal.Hash(st.Root)}, nil
}

// Cosign answers one add-checkpoint request: old is the size that the sender
// believes to be the last, proof the consistency proof from there. It returns the
// witness's signature line. The memory is durable before the signature exists.
func (c *Cosigner) Cosign(_ context.Context, old int64, proof []journal.Hash, signed []byte) ([]byte, error) {
	origin, _, err := journal.PeekCheckpoint(signed)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrBadRequest, err)
	}
	policy := c.logs[origin]
	if policy == nil {
		return nil, ErrUnknownLog
	}
	cp, err := policy.Open(signed)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrBadSigned, err)
	}
	if old < 0 || old > cp.Tree.N {
		return nil, fmt.Errorf("%w: a checkpoint of %d entries cannot start from %d", ErrBadRequest, cp.Tree.N, old)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, err := c.Seen(origin)
	if err != nil {
		return nil, err
	}
	if old != seen.N || old == cp.Tree.N && cp.Tree.Hash != seen.Hash {
		return nil, &ConflictError{seen.N}
	}
	if err := journal.CheckConsistency(cp.Tree, seen, proof); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrInconsistent, err)
	}
	if cp.Tree != seen {
		if err := journal.WriteLastSigned(c.file(origin), journal.LastSigned{Origin: origin, Key: c.key.Verifier(), Size: cp.Tree.N, Root: cp.Tree.Hash[:]}); err != nil {
			return nil, err
		}
	}
	// The whole text, with extension lines if there are any: the log signed them.
	body, _, _ := strings.Cut(string(signed), "\n\n")
	return []byte(c.key.Cosign(body+"\n", c.now())), nil
}
