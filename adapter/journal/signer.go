package journal

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

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
	Sign(ctx context.Context, last, tree tlog.Tree, proof []Hash) ([]byte, error)
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

// FileSigner is a Signer with an Ed25519 key in memory and its memory in a file.
// The file is locked while the signer lives, so that two processes cannot sign
// from one memory. Keep it on a disk that is not restored with the database.
type FileSigner struct {
	key  *key
	path string
	now  func() time.Time

	mu   sync.Mutex
	lock *os.File
	last tlog.Tree
}

// signerState is the file: what was signed last.
type signerState struct {
	Origin string `json:"origin"`
	Key    string `json:"key"`
	Size   int64  `json:"size"`
	Root   []byte `json:"root"`
}

// CreateSignerState begins the memory of a new signer, at size 0. It refuses to
// overwrite: losing the memory is what a rollback would need.
func CreateSignerState(path, skey string) error {
	k, err := parseKey(skey)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("signer state %s exists already: a signer's memory is never begun again, use a new origin and a new file", path)
	}
	empty, _ := tlog.TreeHash(0, nil)
	return writeState(path, signerState{k.name, k.vkey(), 0, empty[:]})
}

// NewFileSigner opens a signer whose state CreateSignerState has begun. now is
// the clock for the checkpoint's time.
func NewFileSigner(path, skey string, now func() time.Time) (*FileSigner, error) {
	k, err := parseKey(skey)
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
	k, err := parseKey(skey)
	if err != nil {
		return tlog.Tree{}, err
	}
	return (&FileSigner{key: k, path: path}).read()
}

// Close releases the state file. The signer must not be used afterwards.
func (s *FileSigner) Close() error { return s.lock.Close() }

// Origin is the name of the key.
func (s *FileSigner) Origin() string { return s.key.name }

// Key is the verifier key for policies.
func (s *FileSigner) Key() string { return s.key.vkey() }

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
	var st signerState
	if err := json.Unmarshal(b, &st); err != nil || len(st.Root) != tlog.HashSize || st.Size < 0 {
		return tlog.Tree{}, fmt.Errorf("signer state %s is damaged: restore it from the last checkpoint published", s.path)
	}
	if st.Origin != s.key.name || st.Key != s.key.vkey() {
		return tlog.Tree{}, fmt.Errorf("signer state %s is of log %q with another key: name the key and the state of one log", s.path, st.Origin)
	}
	return tlog.Tree{N: st.Size, Hash: Hash(st.Root)}, nil
}

// Sign implements Signer. The memory is written and synced before the signature
// exists: a crash in between loses a signature, never the memory of one.
func (s *FileSigner) Sign(_ context.Context, from, tree tlog.Tree, proof []Hash) ([]byte, error) {
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
	if err := CheckConsistency(tree, last, proof); err != nil {
		return nil, &RollbackError{Origin: s.key.name, Signed: last, Shown: tree, Cause: err}
	}
	if tree != last {
		if err := writeState(s.path, signerState{s.key.name, s.key.vkey(), tree.N, tree.Hash[:]}); err != nil {
			return nil, err
		}
		s.last = tree
	}
	text := checkpointText(s.key.name, tree)
	return []byte(text + "\n" + s.key.sign(text) + s.key.cosign(text, s.now())), nil
}

// writeState replaces the file so that after a crash it is the old or the new.
func writeState(path string, st signerState) error {
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	if err := ReplaceFile(path, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write signer state: %w", err)
	}
	return nil
}

// ReplaceFile writes, syncs, renames and syncs the directory.
func ReplaceFile(path string, content []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// MergeCosignatures adds the signature lines of other to signed. Both must carry
// the same text; lines that are there already are not added twice.
func MergeCosignatures(signed []byte, lines []byte) ([]byte, error) {
	out := bytes.Clone(signed)
	for line := range bytes.Lines(lines) {
		if !bytes.HasPrefix(line, []byte("— ")) || !bytes.HasSuffix(line, []byte("\n")) {
			return nil, fmt.Errorf("malformed signature line %q", line)
		}
		if !bytes.Contains(out, append([]byte("\n"), line...)) {
			out = append(out, line...)
		}
	}
	if len(out) > MaxCheckpoint {
		return nil, fmt.Errorf("checkpoint with its cosignatures has %d bytes, at most %d are allowed", len(out), MaxCheckpoint)
	}
	return out, nil
}

func rootText(h Hash) string { return base64.StdEncoding.EncodeToString(h[:]) }
