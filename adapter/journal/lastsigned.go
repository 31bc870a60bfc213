package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// LastSigned is what whoever signs trees of a log, the log itself or a witness, must
// remember: the last one. It is kept in a file of its own, outside of what is signed.
type LastSigned struct {
	Origin string `json:"origin"`
	Key    string `json:"key"`
	Size   int64  `json:"size"`
	Root   []byte `json:"root"`
}

// WriteLastSigned replaces the file so that after a crash it is the old or the new.
func WriteLastSigned(path string, st LastSigned) error {
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
