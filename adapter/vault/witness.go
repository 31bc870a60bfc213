package vault

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Witness is the database whose values and content the keys of a vault seal: it knows what
// was sealed with which of them, whatever has become of the folder. Package postgres has
// one. Keys are named by their files: personal-2026-11.key, blind.key, pending-2026-11.tree.
type Witness interface {
	// Sealed tells what is sealed with the key of that name, which is in the folder no
	// more, or never was; the zero Use when nothing is, and it may be made.
	Sealed(name string) (Use, error)
	// Vouch notes the mark of a key that is to be sealed with, unless one is noted, and
	// gives the one that is: of two folders with a key of one name the first counts. It
	// gives none where the key does not open what is sealed under its name already.
	Vouch(name string, mark []byte) (noted []byte, err error)
}

// Use says what a key was used for.
type Use struct {
	Rows string // which rows are sealed with it, in words
	Mark []byte // of the key that they are sealed with; empty: not noted
}

// KeyError says that the vault lacks a key that the database has rows of, or has another
// one under its name, or one that it cannot read. Nothing is sealed with a key of that name until the right one is
// back: a new one would be taken for it, and the rows of before for damaged.
type KeyError struct {
	Key    string // name of its file
	Folder string
	Rows   string // what is sealed with it
	Away   string // the whole folder is, in words: see Vault.Away
	Other  bool   // there is one of that name, and it is another
	Unread error  // there is one of that name, and this is why it cannot be read
}

func (e *KeyError) Error() string {
	what, away := "is missing in", ""
	switch {
	case e.Away != "":
		return fmt.Sprintf("%s is missing with the whole vault: %s %s, and %s sealed with it: mount there the storage that all nodes share, or put the folder back from the vault's own backup and run mezhved journal re-erase", e.Key, e.Folder, e.Away, e.Rows)
	case e.Unread != nil && e.Rows == "":
		return fmt.Sprintf("%s in %s cannot be read (%v), and nothing is sealed with it: let this account read it, or take it away", e.Key, e.Folder, e.Unread)
	case e.Unread != nil:
		what, away = fmt.Sprintf("cannot be read (%v) in", e.Unread), "take it away, and "
	case e.Other:
		what = "is another one in"
	}
	return fmt.Sprintf("%s %s %s, and %s sealed with it: put it back from the vault's own backup, or let journal.vault be the folder that all nodes share, and then run mezhved journal re-erase; "+
		"if the key is lost for good, %smezhved journal lost-key %s admits it", e.Key, what, e.Folder, e.Rows, away, e.Key)
}

// Unwrap lets a missing key be known for what it is to those who open.
func (e *KeyError) Unwrap() error { return ErrNoKeys }

// Lacks is the key's name.
func (e *KeyError) Lacks() string { return e.Key }

// Heed has the vault ask a witness from now on, until release; of several the last one.
func (v *Vault) Heed(w Witness) (release func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.witnesses = append(v.witnesses, w)
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.witnesses = slices.DeleteFunc(v.witnesses, func(o Witness) bool { return o == w })
	}
}

func (v *Vault) witness() Witness {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.witnesses) == 0 {
		return nil
	}
	return v.witnesses[len(v.witnesses)-1]
}

// refused is why a key was not made, or not used.
type refused struct {
	err          error
	since, asked time.Time // by the process's clock
}

// mayMake says why a key must not be made, or nil. The database is asked, once a second
// for each key while it says no.
func (v *Vault) mayMake(name string) error {
	w := v.witness()
	if w == nil {
		return nil
	}
	v.asking.Lock() // one at a time: whoever asks may hold a connection of the same pool
	defer v.asking.Unlock()
	if err := v.refusal(name); err != nil {
		return err
	}
	use, err := w.Sealed(name)
	if err != nil {
		return fmt.Errorf("vault: whether %s may be made: %w", name, err)
	}
	if use.Rows == "" {
		return nil
	}
	// Another process may have made it since it was looked for, and used it.
	if _, err := os.Stat(filepath.Join(v.dir, name)); err == nil {
		return errMeanwhile
	}
	return v.refuse(name, &KeyError{Key: name, Folder: v.dir, Rows: use.Rows, Away: v.Away()})
}

// errMeanwhile says that a key was made while the database was asked whether it may be.
var errMeanwhile = errors.New("it was made meanwhile")

// vouched says why a key must not be sealed with, or nil: it is not the one that was
// sealed with before.
func (v *Vault) vouched(name string, mark []byte) error {
	w := v.witness()
	if w == nil {
		return nil
	}
	v.asking.Lock()
	defer v.asking.Unlock()
	if err := v.refusal(name); err != nil {
		return err
	}
	noted, err := w.Vouch(name, mark)
	if err != nil {
		return fmt.Errorf("vault: whether %s is the key that was sealed with before: %w", name, err)
	}
	if bytes.Equal(noted, mark) {
		v.mu.Lock()
		delete(v.refused, name)
		v.mu.Unlock()
		return nil
	}
	return v.other(w, name)
}

// other is the refusal of a key that stands in another's place.
func (v *Vault) other(w Witness, name string) error {
	use, err := w.Sealed(name)
	if err != nil {
		return fmt.Errorf("vault: what is sealed with %s: %w", name, err)
	}
	return v.refuse(name, &KeyError{Key: name, Folder: v.dir, Rows: use.Rows, Other: true})
}

// unread says why a key that is there cannot be read, and what is sealed with it; whoever
// was to seal with it is refused as where it is missing.
func (v *Vault) unread(name string, make bool, cause error) error {
	w := v.witness()
	if w == nil {
		return cause
	}
	if make { // who opens may do so for the witness's own answer
		v.asking.Lock()
		defer v.asking.Unlock()
		if err := v.refusal(name); err != nil {
			return err
		}
	}
	use, err := w.Sealed(name)
	if err != nil {
		return cause
	}
	lacks := &KeyError{Key: name, Folder: v.dir, Rows: use.Rows, Unread: cause}
	if !make {
		return lacks
	}
	return v.refuse(name, lacks)
}

// damaged says why a box did not open: its key was replaced, or else as fallback says.
func (v *Vault) damaged(name string, mark []byte, fallback error) error {
	w := v.witness()
	if w == nil {
		return fallback
	}
	use, err := w.Sealed(name)
	if err != nil || len(use.Mark) == 0 || bytes.Equal(use.Mark, mark) {
		return fallback
	}
	return v.refuse(name, &KeyError{Key: name, Folder: v.dir, Rows: use.Rows, Other: true})
}

func (v *Vault) refuse(name string, err error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.refused[name]
	if r == nil {
		r = &refused{since: time.Now()}
		v.refused[name] = r
	}
	r.err, r.asked = err, time.Now()
	return err
}

// refusal is what was answered within the last second.
func (v *Vault) refusal(name string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r := v.refused[name]; r != nil && time.Since(r.asked) < reread {
		return r.err
	}
	return nil
}

// Lacking says which key this vault was to seal with and lacks, or has another one of, and
// for how long it has been missed; nil when it has them all. It is asked before each accept.
func (v *Vault) Lacking() (missed time.Duration, err error) {
	v.mu.Lock()
	names := make([]string, 0, len(v.refused))
	for name := range v.refused {
		names = append(names, name)
	}
	v.mu.Unlock()
	slices.Sort(names)
	for _, name := range names {
		err := v.Check(name)
		v.mu.Lock()
		r := v.refused[name]
		v.mu.Unlock()
		if err != nil && r != nil {
			return time.Since(r.since), err
		}
	}
	return 0, nil
}

// Check says whether a key can be sealed with. Where nothing is sealed with it, and it is
// not there, it is made.
func (v *Vault) Check(name string) (err error) {
	if key, ok := strings.CutSuffix(name, keySuffix); ok {
		_, err = v.key(key, true)
	} else {
		_, err = v.grown(strings.TrimSuffix(name, treeSuffix), true)
	}
	if err == nil {
		v.mu.Lock()
		if len(v.refused) > 0 {
			delete(v.refused, name)
		}
		v.mu.Unlock()
	}
	return err
}

// Sealable says whether values of a class can be sealed now, as Check does of their key.
func (v *Vault) Sealable(class string) error {
	_, err := v.key(v.KeyOf(class), true)
	return err
}

// Mark is by what a witness knows the key of that name, as it is in the folder; empty when
// there is none. Nothing can be learned from it of the key.
func (v *Vault) Mark(name string) ([]byte, error) {
	if key, ok := strings.CutSuffix(name, keySuffix); ok {
		k, err := v.key(key, false)
		if errors.Is(err, ErrKeyDestroyed) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		return k.mark(), nil
	}
	tree := strings.TrimSuffix(name, treeSuffix)
	path, err := v.treePath(tree)
	if err != nil {
		return nil, err
	}
	t, err := readTree(tree, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return t.mark(), nil
}

// Files are the names of the files of keys and trees that are in the folder.
func (v *Vault) Files() (names []string, err error) {
	files, err := os.ReadDir(v.dir)
	for _, f := range files {
		if name := f.Name(); strings.HasSuffix(name, keySuffix) || strings.HasSuffix(name, treeSuffix) {
			names = append(names, name)
		}
	}
	return names, err
}

// Opens tells whether there is a key of that name, and it is the one that was sealed with:
// not one that was destroyed, nor one that this vault never had, nor another.
func (v *Vault) Opens(key string) (bool, error) {
	mark, err := v.Mark(key + keySuffix)
	w := v.witness()
	if err != nil || len(mark) == 0 || w == nil {
		return len(mark) > 0, err
	}
	use, err := w.Sealed(key + keySuffix)
	return len(use.Mark) == 0 || bytes.Equal(use.Mark, mark), err
}

// Lacking names those of some keys, given with their marks, that a folder has not, or has
// others in the place of, or that cannot be read. Nothing is made.
func Lacking(dir string, keys map[string][]byte) (names []string, err error) {
	v, err := Open(dir, time.Now)
	if err != nil {
		return nil, err
	}
	for name, mark := range keys {
		own, err := v.Mark(name)
		_, there := os.Stat(filepath.Join(dir, name))
		// Of a tree that is there and has no mark, everything was erased.
		if err != nil || there != nil || len(own) > 0 && !bytes.Equal(own, mark) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// markSize is how long marks are.
const markSize = 16

func markOf(key []byte) []byte {
	sum := sha256.Sum256(append([]byte("mezhved vault mark\n"), key...))
	return sum[:markSize:markSize]
}

func (k *named) mark() []byte { return markOf(k.key) }

// mark is made of the tree's last leaf, which is no message's, for no month is as long:
// it stays while messages' leaves are taken away, and goes with the last of them. Empty
// when there is nothing left of the tree.
func (t tree) mark() []byte {
	last := (&node{}).last()
	leaf, ok := t.leaf(last)
	if !ok {
		return nil
	}
	return markOf(leaf[:])
}

// Replace makes a key in the place of one that is missing, whatever was sealed with it: the
// operator has admitted that it is lost.
func (v *Vault) Replace(name string) error {
	if key, ok := strings.CutSuffix(name, keySuffix); ok {
		return v.create(filepath.Join(v.dir, key+keySuffix))
	}
	tree := strings.TrimSuffix(name, treeSuffix)
	path, err := v.treePath(tree)
	if err != nil {
		return err
	}
	return v.plant(tree, path)
}

// Forget ends the memory of a key that was refused: the database has been told that it is
// lost.
func (v *Vault) Forget(name string) {
	v.mu.Lock()
	delete(v.refused, name)
	delete(v.keys, strings.TrimSuffix(name, keySuffix))
	v.mu.Unlock()
	v.forget(strings.TrimSuffix(name, treeSuffix))
}
