package clerk

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"mezhved/adapter/journal"

	"golang.org/x/mod/sumdb/tlog"
)

// Signer signs checkpoints and remembers the last one it signed. It may be a
// file in this process, another process, or a device; whatever it is, its memory
// must not live in the database that it guards.
type Signer interface {
	// Last is the tree that was signed last; size 0 before the first.
	Last(ctx context.Context) (tlog.Tree, error)
	// Sign remembers tree durably and then returns the signed checkpoint. last is
	// what Last returned before the log's head was read, and proof shows that it
	// is the beginning of tree. A tree that is not its continuation is refused
	// with *RollbackError; when somebody else had a tree signed since last, the
	// answer is ErrSignedMeanwhile. In both cases nothing is remembered. Signing
	// the same tree again is a heartbeat and takes an empty proof.
	Sign(ctx context.Context, last, tree tlog.Tree, proof []journal.Hash) ([]byte, error)
	// Origin is the log that this signer signs for.
	Origin() string
	// Key is the verifier key, as a policy names it.
	Key() string
}

// ErrSignedMeanwhile says that another node had a checkpoint signed between Last
// and Sign: begin again with Last. Without it, two nodes that publish at once
// would look like a log that goes back.
var ErrSignedMeanwhile = errors.New("another checkpoint was signed meanwhile")

// RollbackError is the signer's refusal: the log that it is shown is not a
// continuation of what it has signed. The database was restored from a backup,
// or rewritten. The way out is a new origin, announced in the log (see Reopen).
type RollbackError struct {
	Origin        string
	Signed, Shown tlog.Tree
	Cause         error
}

func (e *RollbackError) Error() string {
	return fmt.Sprintf("log %s has gone back: %d entries with root %s were signed, now there are %d with root %s (%v); "+
		"nothing will be signed: find out what happened to the database, then reopen the log under a new origin",
		e.Origin, e.Signed.N, e.Signed.Hash, e.Shown.N, e.Shown.Hash, e.Cause)
}

func (e *RollbackError) Unwrap() error { return e.Cause }

// RestoredWhy is why the log of a database that was put back from a backup is stopped.
func RestoredWhy(at, id string) string {
	return fmt.Sprintf("the database is that of %s, restored from backup %s; what the log has signed since is not known here: see mezhved restore --verify, then go on under a new name with mezhved journal reopen", at, id)
}

// FileSigner is a Signer with an Ed25519 key in memory and its memory in a file.
// The file is locked while the signer lives, so that two processes cannot sign
// from one memory. Keep it on a disk that is not restored with the database.
type FileSigner struct {
	// MLDSA, when it is set before the first Sign, puts its signature to every
	// checkpoint too.
	MLDSA *journal.MLDSAKey

	key  *journal.SigningKey
	path string
	now  func() time.Time

	mu   sync.Mutex
	lock *os.File
	last tlog.Tree
}

// CreateSignerState begins the memory of a new signer, at size 0. It refuses to
// overwrite: losing the memory is what a rollback would need.
func CreateSignerState(path, skey string) error {
	k, err := journal.ParseSigningKey(skey)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("signer state %s exists already: a signer's memory is never begun again, use a new origin and a new file", path)
	}
	empty, _ := tlog.TreeHash(0, nil)
	return journal.WriteLastSigned(path, journal.LastSigned{Origin: k.Name(), Key: k.Verifier(), Root: empty[:]})
}

// NewFileSigner opens a signer whose state CreateSignerState has begun. now is
// the clock for the checkpoint's time.
func NewFileSigner(path, skey string, now func() time.Time) (*FileSigner, error) {
	k, err := journal.ParseSigningKey(skey)
	if err != nil {
		return nil, err
	}
	s := &FileSigner{key: k, path: path, now: now}
	if s.lock, err = os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("lock signer state: %w", err)
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		s.lock.Close()
		return nil, fmt.Errorf("signer state %s is in use by another process: %w", path, err)
	}
	if s.last, err = s.read(); err != nil {
		s.lock.Close()
		return nil, err
	}
	return s, nil
}

// ReadSignerState gives what a signer with this key and state signed last, while
// another process may be at work with them.
func ReadSignerState(path, skey string) (tlog.Tree, error) {
	k, err := journal.ParseSigningKey(skey)
	if err != nil {
		return tlog.Tree{}, err
	}
	return (&FileSigner{key: k, path: path}).read()
}

// Close releases the state file. The signer must not be used afterwards.
func (s *FileSigner) Close() error { return s.lock.Close() }

// Origin is the name of the key.
func (s *FileSigner) Origin() string { return s.key.Name() }

// Key is the verifier key for policies.
func (s *FileSigner) Key() string { return s.key.Verifier() }

// Last is what was signed last.
func (s *FileSigner) Last(context.Context) (tlog.Tree, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, nil
}

func (s *FileSigner) read() (tlog.Tree, error) {
	b, err := os.ReadFile(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return tlog.Tree{}, fmt.Errorf("signer state %s is missing: restore it; only a log that has never been signed may begin a new one: %w", s.path, err)
	}
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("read signer state: %w", err)
	}
	var st journal.LastSigned
	if err := json.Unmarshal(b, &st); err != nil || len(st.Root) != tlog.HashSize || st.Size < 0 {
		return tlog.Tree{}, fmt.Errorf("signer state %s is damaged: restore it from the last checkpoint published", s.path)
	}
	if st.Origin != s.key.Name() || st.Key != s.key.Verifier() {
		return tlog.Tree{}, fmt.Errorf("signer state %s is of log %q with another key: name the key and the state of one log", s.path, st.Origin)
	}
	return tlog.Tree{N: st.Size, Hash: journal.Hash(st.Root)}, nil
}

// Sign implements Signer. The memory is written and synced before the signature
// exists: a crash in between loses a signature, never the memory of one.
func (s *FileSigner) Sign(_ context.Context, from, tree tlog.Tree, proof []journal.Hash) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The file, not memory alone: somebody may have mended or replaced it.
	last, err := s.read()
	if err != nil {
		return nil, err
	}
	if last != s.last {
		return nil, fmt.Errorf("signer state %s was changed under a running signer: it says %d entries, this process has signed %d; stop and find out who wrote it",
			s.path, last.N, s.last.N)
	}
	if from != last {
		return nil, ErrSignedMeanwhile
	}
	if err := journal.CheckConsistency(tree, last, proof); err != nil {
		return nil, &RollbackError{Origin: s.key.Name(), Signed: last, Shown: tree, Cause: err}
	}
	if tree != last {
		if err := journal.WriteLastSigned(s.path, journal.LastSigned{Origin: s.key.Name(), Key: s.key.Verifier(), Size: tree.N, Root: tree.Hash[:]}); err != nil {
			return nil, err
		}
		s.last = tree
	}
	text, now := journal.CheckpointText(s.key.Name(), tree), s.now()
	signed := text + "\n" + s.key.Sign(text) + s.key.Cosign(text, now)
	if s.MLDSA != nil {
		line, err := s.MLDSA.Cosign(s.key.Name(), tree, now)
		if err != nil {
			return nil, err
		}
		signed += line
	}
	return []byte(signed), nil
}

func rootText(h journal.Hash) string { return base64.StdEncoding.EncodeToString(h[:]) }
