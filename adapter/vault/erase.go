package vault

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Erasure is a line of the vault's register: what was to be erased, and on what
// ground. The register is what a restored backup is held against, so it names
// whatever was erased by ids of ours, and holds no key, no content and no name.
type Erasure struct {
	ID     string    `json:"id"` // of the erasure, a UUID
	At     time.Time `json:"at"`
	Ground string    `json:"ground"`

	Items []Item `json:"items,omitempty"` // single ones

	// Or all content of a class that came before a time, but for what still waited.
	Class   string    `json:"class,omitempty"`
	Service string    `json:"service,omitempty"` // whose class it is
	Before  time.Time `json:"before,omitzero"`
	Spared  []ID      `json:"spared,omitempty"`

	// Or values behind an entry of the journal.
	Target *int64   `json:"target,omitempty"`
	Fields []string `json:"fields,omitempty"`
	Leaf   string   `json:"leaf,omitempty"` // hex SHA-256 of the entry: after a restore another may have its number
}

// MarshalText writes an id as UUIDs are written.
func (id ID) MarshalText() ([]byte, error) {
	h := hex.EncodeToString(id[:])
	return []byte(h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]), nil
}

// UnmarshalText reads it.
func (id *ID) UnmarshalText(text []byte) error {
	var digits [2 * len(id)]byte
	n := 0
	for _, c := range text {
		if c == '-' {
			continue
		}
		if n == len(digits) {
			return fmt.Errorf("%q is no id", text)
		}
		digits[n] = c
		n++
	}
	var b ID
	if _, err := hex.Decode(b[:], digits[:n]); err != nil || n != len(digits) {
		return fmt.Errorf("%q is no id", text)
	}
	*id = b
	return nil
}

// ErrUnfinished says that an erasure is in the register and that not all of its keys
// could be taken away. The same call ends it.
var ErrUnfinished = errors.New("the erasure is noted and not ended")

// Erase writes erasures into the register and then takes the keys away: when it
// returns, nobody can read that content any more, wherever copies of it are. Doing
// it twice does it once. After a crash the register names what may be left to do,
// and the same call does it. An error that is not ErrUnfinished has done nothing.
//
// The keys go before the bytes: were it the other way round, a crash in between
// would leave content that looks erased and that every replica and backup still
// shows. And the register comes before both, so that the crash is known of.
func (v *Vault) Erase(list ...Erasure) error {
	if err := v.reaches(list); err != nil {
		return err
	}
	unlock, err := v.lock()
	if err != nil {
		return err
	}
	defer unlock()
	known, err := v.Erasures()
	if err != nil {
		return err
	}
	noted := make(map[string]bool, len(known))
	for i := range known {
		noted[known[i].ID] = true
	}
	if err := v.note(slices.DeleteFunc(slices.Clone(list), func(e Erasure) bool { return noted[e.ID] })); err != nil {
		return err
	}
	for _, e := range list {
		if err := v.take(e); err != nil {
			return fmt.Errorf("%w: %w", ErrUnfinished, err)
		}
	}
	return nil
}

// reaches refuses (KeyError) to erase items whose tree is not here and was sealed with: its
// keys would be told as gone, and be back with the vault's backup.
func (v *Vault) reaches(list []Erasure) error {
	for _, e := range list {
		for _, it := range e.Items {
			path, err := v.treePath(treeName(it))
			if err != nil {
				return err
			}
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err := v.mayMake(treeName(it) + treeSuffix); err != nil && !errors.Is(err, errMeanwhile) {
				return err
			}
		}
	}
	return nil
}

// take takes the keys away. The caller holds the lock.
func (v *Vault) take(e Erasure) error {
	gone := map[string]spans{} // by tree
	if e.Class != "" {
		names, err := v.treesOf(e.Class)
		if err != nil {
			return err
		}
		for _, name := range names {
			begin := monthOf(name)
			var spared []path
			for _, id := range e.Spared {
				if month(id.Time()).Equal(begin) {
					spared = append(spared, id.path())
				}
			}
			if s := until(begin, e.Before, spared); s != nil {
				gone[name] = s
			}
		}
	}
	paths := map[string][]path{}
	for _, it := range e.Items {
		paths[treeName(it)] = append(paths[treeName(it)], it.ID.path())
	}
	for name, p := range paths {
		gone[name] = points(p)
	}
	for name, cut := range gone {
		file, err := v.treePath(name)
		if err != nil {
			return err
		}
		t, err := readTree(name, file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // nothing of it was ever sealed
		}
		if err != nil {
			return err
		}
		if left, less := t.without(cut); less {
			if err := v.write(file, left.encode(name)); err != nil {
				return err
			}
		}
		v.forget(name)
	}
	return nil
}

// forget has a tree read again before it is used again.
func (v *Vault) forget(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.trees, name)
	v.epoch++
}

// Classes lists the classes of which the vault has or had keys.
func (v *Vault) Classes() []string {
	files, err := os.ReadDir(v.dir)
	if err != nil {
		return nil // whoever seals or erases is told
	}
	var all []string
	for _, f := range files { // in order
		name, ok := strings.CutSuffix(f.Name(), treeSuffix)
		if n := len(name) - len("-2006-01"); ok && n > 0 && !monthOf(name).IsZero() && !slices.Contains(all, name[:n]) {
			all = append(all, name[:n])
		}
	}
	return all
}

// treesOf lists the trees of a class.
func (v *Vault) treesOf(class string) ([]string, error) {
	files, err := os.ReadDir(v.dir)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	var names []string
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), treeSuffix)
		if rest, of := strings.CutPrefix(name, class+"-"); ok && of && len(rest) == len("2006-01") && !monthOf(name).IsZero() {
			names = append(names, name)
		}
	}
	return names, nil
}

// monthOf is the month of a tree; zero when its name has none.
func monthOf(name string) time.Time {
	const form = "2006-01"
	if len(name) < len(form) {
		return time.Time{}
	}
	t, err := time.Parse(form, name[len(name)-len(form):])
	if err != nil {
		return time.Time{}
	}
	return t
}

const registerName = "erasures"

// Erasures gives the register in its order.
func (v *Vault) Erasures() ([]Erasure, error) {
	text, err := os.ReadFile(filepath.Join(v.dir, registerName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return ReadErasures(text)
}

// ReadErasures reads a register, such as a copy that was kept elsewhere. A last line
// without its end is one whose writing was cut short: nothing was done for it.
func ReadErasures(text []byte) ([]Erasure, error) {
	var all []Erasure
	for n, line := range bytes.Split(text[:bytes.LastIndexByte(text, '\n')+1], []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var e Erasure
		if err := json.Unmarshal(line, &e); err != nil || e.ID == "" {
			return nil, fmt.Errorf("the register of erasures is damaged in line %d: put it back from the vault's own backup: %v", n+1, err)
		}
		all = append(all, e)
	}
	return all, nil
}

// note appends lines to the register. The caller holds the lock.
func (v *Vault) note(list []Erasure) error {
	if len(list) == 0 {
		return nil
	}
	var lines []byte
	for _, e := range list {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		lines = append(append(lines, line...), '\n')
	}
	f, err := os.OpenFile(filepath.Join(v.dir, registerName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	err = appendLines(f, lines)
	if err = errors.Join(err, f.Close()); err == nil {
		err = syncFolder(v.dir)
	}
	if err != nil {
		return fmt.Errorf("vault: note an erasure in %s: %w", f.Name(), err)
	}
	return nil
}

// appendLines writes behind the last whole line, all or nothing: what was written when
// the disk was full is taken back. A crash may leave a part of it.
func appendLines(f *os.File, lines []byte) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end, b := info.Size(), make([]byte, 1)
	for ; end > 0; end-- {
		if _, err := f.ReadAt(b, end-1); err != nil {
			return err
		}
		if b[0] == '\n' {
			break
		}
	}
	if err := f.Truncate(end); err != nil {
		return err
	}
	_, err = f.WriteAt(lines, end)
	if err = errors.Join(err, f.Sync()); err == nil {
		return nil
	}
	if back := f.Truncate(end); back != nil {
		return fmt.Errorf("%w: %w", ErrUnfinished, errors.Join(err, back))
	}
	return err
}
