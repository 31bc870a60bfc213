package vault

import (
	"fmt"
	"os"
	"path/filepath"
)

// Copy gives every file of the vault, as it is at one moment: no node makes or erases a
// key meanwhile. f gets what must be kept as secretly as the folder itself.
func (v *Vault) Copy(f func(name string, content []byte) error) error {
	if _, err := os.Stat(v.dir); err != nil { // a copy of what is not there would be an empty one
		return fmt.Errorf("vault: %w", err)
	}
	unlock, err := v.lock()
	if err != nil {
		return err
	}
	defer unlock()
	files, err := os.ReadDir(v.dir)
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	for _, e := range files {
		if !e.Type().IsRegular() || e.Name() == "lock" {
			continue
		}
		content, err := os.ReadFile(filepath.Join(v.dir, e.Name()))
		if err != nil {
			return fmt.Errorf("vault: %w", err)
		}
		if err := f(e.Name(), content); err != nil {
			return err
		}
	}
	return nil
}

// Register gives the register of erasures as it is written. It holds no secret, and
// copies of it may be kept anywhere: ReadErasures reads them.
func Register(dir string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, registerName))
	if os.IsNotExist(err) {
		return nil, nil
	}
	return text, err
}
