package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

// Held keeps the bytes of the store's files for a while, also of those that are removed
// meanwhile: by a second name each (a hard link), in a folder of the same disk that the
// sweep does not look into.
type Held struct{ dir, at string }

const heldPrefix = ".held-"

// Hold begins to keep what is there now. What a killed one has left is removed.
func Hold(dir string) (*Held, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("file store: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, heldPrefix+"*"))
	for _, name := range left {
		err = errors.Join(err, os.RemoveAll(name))
	}
	if err != nil {
		return nil, fmt.Errorf("file store: %w", err)
	}
	h := &Held{dir: dir}
	if h.at, err = os.MkdirTemp(dir, heldPrefix); err != nil {
		return nil, fmt.Errorf("file store: %w", err)
	}
	folders, err := os.ReadDir(dir)
	for _, f := range folders {
		id, e := uuid.Parse(f.Name())
		if e != nil || id.String() != f.Name() {
			continue
		}
		blobs, e := os.ReadDir(filepath.Join(dir, f.Name()))
		if errors.Is(e, fs.ErrNotExist) {
			continue
		}
		err = errors.Join(err, e)
		for _, b := range blobs {
			if strings.HasPrefix(b.Name(), "part-") || !b.Type().IsRegular() {
				continue // on its way: no entry names it
			}
			if e := h.Take(id, b.Name()); !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}
	if err != nil {
		return nil, errors.Join(err, h.Release())
	}
	return h, nil
}

// Take keeps one more; fs.ErrNotExist says that its bytes have gone. Taking twice is
// taking once.
func (h *Held) Take(folder uuid.UUID, blob string) error {
	if err := os.Mkdir(filepath.Join(h.at, folder.String()), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("file store: %w", err)
	}
	err := os.Link(filepath.Join(h.dir, folder.String(), blob), h.Path(folder, blob))
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("file store: keeping a file under a second name; the file system of files.dir must have hard links: %w", err)
	case err != nil:
		if _, kept := os.Stat(h.Path(folder, blob)); kept == nil {
			return nil
		}
		return fmt.Errorf("file %s/%s: %w", folder, blob, fs.ErrNotExist)
	}
	return nil
}

// Path is where the bytes are while they are held.
func (h *Held) Path(folder uuid.UUID, blob string) string {
	return filepath.Join(h.at, folder.String(), blob)
}

// Release lets go of them.
func (h *Held) Release() error { return os.RemoveAll(h.at) }
