package vault

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"mezhved/adapter/journal"
)

// Item is something with a key of its own: a message, a refused call, a file. Its
// class says how long it is kept, and with what else its key lies in one file.
type Item struct {
	Class string `json:"class"`
	ID    ID     `json:"id"`
}

// ErrErased says that content cannot be read because its key was erased.
var ErrErased = errors.New("the content was erased with its key")

// ErrNoKeys says that the vault has never had a key for what is to be opened: it is
// not the vault that it was sealed with, or not whole.
var ErrNoKeys = errors.New("this vault never had the key")

// Overhead is what a sealed content is longer than the plain one.
const Overhead = 12 + 16

// SealContent encrypts a part of an item with the item's key (AES-256-GCM). what
// names the part: a box opens as the part of the item that it was sealed as and as
// nothing else. ErrErased says that content of that class and time is over already.
func (v *Vault) SealContent(it Item, what string, plain []byte) ([]byte, error) {
	box, err := v.content(it, true)
	if err != nil {
		return nil, err
	}
	out := make([]byte, box.NonceSize(), len(plain)+Overhead)
	rand.Read(out)
	return box.Seal(out, out, plain, place(it, what)), nil
}

// OpenContent decrypts what SealContent encrypted. ErrErased says that the item was
// erased.
func (v *Vault) OpenContent(it Item, what string, sealed []byte) ([]byte, error) {
	box, err := v.content(it, false)
	if err != nil {
		return nil, err
	}
	n := box.NonceSize()
	if len(sealed) < n {
		return nil, fmt.Errorf("%s of %x is damaged: %d bytes", what, it.ID, len(sealed))
	}
	plain, err := box.Open(make([]byte, 0, len(sealed)), sealed[:n], sealed[n:], place(it, what))
	if err != nil {
		err = fmt.Errorf("%s of %x is damaged, or was sealed with another vault: %w", what, it.ID, err)
		if mark, e := v.Mark(treeName(it) + treeSuffix); e == nil {
			err = v.damaged(treeName(it)+treeSuffix, mark, err)
		}
		return nil, err
	}
	return plain, nil
}

// ClassPending is the class of keys of values that wait for their place in the
// journal. They are soon behind an entry, under another key, and this one ends after
// two days: so do all copies of what the database has written of them meanwhile.
const ClassPending = "pending"

func pending(message string) (Item, error) {
	it := Item{Class: ClassPending}
	err := it.ID.UnmarshalText([]byte(message))
	return it, err
}

// SealPending encrypts the value of a field of a message's event.
func (v *Vault) SealPending(message, field, value string) (string, error) {
	it, err := pending(message)
	if err != nil {
		return "", err
	}
	box, err := v.SealContent(it, "field "+field, []byte(value))
	return base64.StdEncoding.EncodeToString(box), err
}

// OpenPending decrypts what SealPending encrypted.
func (v *Vault) OpenPending(message, field, sealed string) (string, error) {
	it, err := pending(message)
	if err != nil {
		return "", err
	}
	box, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return "", err
	}
	value, err := v.OpenContent(it, "field "+field, box)
	return string(value), err
}

// waiting is what the values of a message's event are sealed as while they wait: a part of
// an item that all those of one second share. A key for each message takes longer to make
// than everything else that is done to seal them, and ends no sooner.
func waiting(message string) (it Item, what string, err error) {
	if it, err = pending(message); err != nil {
		return it, "", err
	}
	second := it.ID.Time().Unix()
	it.ID = ID{}
	binary.BigEndian.PutUint64(it.ID[:8], uint64(second*1000)<<16)
	return it, "values of " + message, nil
}

// SealWaiting encrypts the values of a message's event. Releases of before cannot open
// that, but know SealPending.
func (v *Vault) SealWaiting(message string, values []byte) (string, error) {
	it, what, err := waiting(message)
	if err != nil {
		return "", err
	}
	box, err := v.SealContent(it, what, values)
	return base64.StdEncoding.EncodeToString(box), err
}

// OpenWaiting decrypts what SealWaiting encrypted.
func (v *Vault) OpenWaiting(message, sealed string) ([]byte, error) {
	it, what, err := waiting(message)
	if err != nil {
		return nil, err
	}
	box, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, err
	}
	return v.OpenContent(it, what, box)
}

// place ties a box to where it belongs.
func place(it Item, what string) []byte {
	b := make([]byte, 0, 96)
	b = append(append(b, "mezhved content 1\n"...), it.Class...)
	b = append(append(b, '\n'), it.ID[:]...)
	return append(append(b, '\n'), what...)
}

// content gives the item's own key as a box.
func (v *Vault) content(it Item, sealing bool) (cipher.AEAD, error) {
	g, err := v.treeOf(it, sealing)
	if err != nil {
		return nil, err
	}
	if box := g.boxes.get(it.ID); box != nil {
		return box, nil
	}
	key, ok := g.key(it.ID.path())
	if !ok {
		return nil, fmt.Errorf("%s of %x: %w", it.Class, it.ID, ErrErased)
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	box, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	g.boxes.put(it.ID, box)
	return box, nil
}

// boxes are the keys used last: what is sealed is opened again within seconds, by
// relay and poll. They live with the tree that they are of and go when it changes.
type boxes struct {
	mu         sync.Mutex
	young, old map[ID]cipher.AEAD
}

const mostBoxes = 4096 // of one generation

func (b *boxes) get(id ID) cipher.AEAD {
	b.mu.Lock()
	defer b.mu.Unlock()
	if box := b.young[id]; box != nil {
		return box
	}
	return b.old[id]
}

func (b *boxes) put(id ID, box cipher.AEAD) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.young) >= mostBoxes {
		b.old, b.young = b.young, nil
	}
	if b.young == nil {
		b.young = map[ID]cipher.AEAD{}
	}
	b.young[id] = box
}

// grown is a tree as it was read.
type grown struct {
	tree   tree
	boxes  boxes
	way    atomic.Pointer[node] // to the keys of the moment that was asked for last
	file   os.FileInfo
	asked  time.Time // whether the file has changed
	proven bool      // to be the one that the witness knows
}

// reread is how soon a node notices that another one has erased.
const reread = time.Second

const treeSuffix = ".tree"

func treeName(it Item) string { return monthly(it.Class, it.ID.Time()) }

// good says that a tree is used as it was read. The caller holds the lock of its vault.
func (g *grown) good(now time.Time, make bool) bool {
	return g != nil && now.Sub(g.asked) < reread && (g.proven || !make)
}

// treeOf gives the tree of an item, as grown does. Nearly always it is at hand, and then no
// text is made of its name.
func (v *Vault) treeOf(it Item, make bool) (*grown, error) {
	var room [64]byte
	name := appendMonthly(room[:0], it.Class, it.ID.Time())
	v.mu.Lock()
	g := v.trees[string(name)]
	good := g.good(time.Now(), make)
	v.mu.Unlock()
	if good {
		return g, nil
	}
	return v.grown(string(name), make)
}

// grown gives the named tree; make says that it is to be sealed with: a missing one is
// planted, where the witness has nothing that is sealed with it, and one that is there
// must be the one that was sealed with before.
func (v *Vault) grown(name string, make bool) (*grown, error) {
	v.mu.Lock()
	g, now, epoch := v.trees[name], time.Now(), v.epoch
	proven := g != nil && g.proven
	if g.good(now, make) {
		v.mu.Unlock()
		return g, nil
	}
	v.mu.Unlock() // what follows may wait for the disk, for another node or the database
	path, err := v.treePath(name)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if !make || g != nil && v.witness() == nil {
			return nil, fmt.Errorf("vault: %w", &KeyError{Key: name + treeSuffix, Folder: v.dir, Rows: "content that is to be opened is", Away: v.Away()})
		}
		if err = v.mayMake(name + treeSuffix); err == nil {
			err = v.plant(name, path)
		}
		if err != nil && !errors.Is(err, errMeanwhile) {
			return nil, err
		}
		info, err = os.Stat(path)
	}
	if err != nil {
		return nil, v.unread(name+treeSuffix, make, fmt.Errorf("vault: %w", err))
	}
	read := &grown{file: info, asked: now}
	if g != nil && sameFile(info, g.file) {
		read = g
	} else if read.tree, err = readTree(name, path); err != nil {
		return nil, v.unread(name+treeSuffix, make, err)
	}
	if mark := read.tree.mark(); make && mark != nil && !(proven && bytes.Equal(mark, g.tree.mark())) {
		if err := v.vouched(name+treeSuffix, mark); err != nil {
			return nil, err
		}
		proven = true
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	read.proven = read.proven || make
	if v.epoch == epoch { // else it may be what was just taken away here
		read.asked = now
		v.trees[name] = read
	}
	return read, nil
}

func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// readTree reads a tree. One that is replaced meanwhile may be read with its bytes
// overwritten: then the one in its place is read.
func readTree(name, path string) (tree, error) {
	for tries := 0; ; tries++ {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("vault: %w", err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("vault: %w", err)
		}
		t, bad := decodeTree(name, b)
		if bad == nil {
			return t, nil
		}
		if now, err := os.Stat(path); err != nil || tries == 3 || sameFile(info, now) {
			return nil, fmt.Errorf("vault: %s: %w", path, bad)
		}
	}
}

// treePath is where a tree lies. Names come from services' names: one that is no
// name of a file is refused.
func (v *Vault) treePath(name string) (string, error) {
	for _, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_') {
			return "", fmt.Errorf("vault: %q: impossible name", name)
		}
	}
	if name == "" || name[0] == '.' || len(name) > 200 {
		return "", fmt.Errorf("vault: %q: impossible name", name)
	}
	return filepath.Join(v.dir, name+treeSuffix), nil
}

// plant makes the tree of a class and month. Of two nodes that do so at once, both
// use the one that was first.
func (v *Vault) plant(name, path string) error {
	unlock, err := v.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	var root node
	rand.Read(root.value[:])
	return v.write(path, tree{root}.encode(name))
}

// lock keeps other nodes from changing the vault until unlock. What a crash has
// left is cleared away: it may be a key that was erased since.
func (v *Vault) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(v.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("vault: lock %s: %w", f.Name(), err), f.Close())
	}
	left, err := filepath.Glob(filepath.Join(v.dir, "*"+newSuffix))
	// Releases before made keys in files of this name, and without the lock.
	before, _ := filepath.Glob(filepath.Join(v.dir, ".new-*"))
	for _, path := range before {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > time.Hour {
			left = append(left, path)
		}
	}
	for _, path := range left {
		err = errors.Join(err, wipe(path), os.Remove(path))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("vault: clear away what a crash has left: %w", err), f.Close())
	}
	return func() { f.Close() }, nil
}

const newSuffix = ".new"

// write puts a file in the place of another, durably, and overwrites the bytes of
// the one from before: what a disk really forgets is its own matter, which is why
// the vault's disk should be encrypted. The caller holds the lock.
func (v *Vault) write(path string, content []byte) error {
	before, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("vault: %w", err)
	}
	if err = v.begin(path, content); err == nil {
		err = os.Rename(path+newSuffix, path)
	}
	if err == nil {
		err = syncFolder(v.dir)
	}
	if before != nil {
		if err == nil {
			err = overwrite(before)
		}
		err = errors.Join(err, before.Close())
	}
	if err != nil {
		return fmt.Errorf("vault: write %s: %w", path, err)
	}
	return nil
}

// begin writes what is to become a file, durably. A disk that is full is not left
// fuller. The caller holds the lock.
func (v *Vault) begin(path string, content []byte) error {
	f, err := os.OpenFile(path+newSuffix, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path+newSuffix))
	}
	return nil
}

func syncFolder(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func wipe(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(overwrite(f), f.Close())
}

func overwrite(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0}, int(info.Size())), 0); err != nil {
		return err
	}
	return f.Sync()
}

// Known is the identity of the vault in a folder; empty when there is none yet.
func Known(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "identity"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("vault: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// Away says in words, as the folder's predicate, why there is no vault in a folder: it is
// not there, or another is in its place, such as that on which its storage is mounted.
// Empty where there is one.
func Away(dir string) string {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return "is not there"
	}
	if id, err := Known(dir); err == nil && id == "" {
		return "has no vault in it"
	}
	return ""
}

// Away is that of this vault's folder.
func (v *Vault) Away() string { return Away(v.dir) }

// Folder is where this vault is.
func (v *Vault) Folder() string { return v.dir }

// Known is the identity of this vault; empty when it has none yet. It makes nothing.
func (v *Vault) Known() (string, error) { return Known(v.dir) }

// Identity tells vaults apart: two nodes with different ones could not read what
// the other has sealed. It is made with the vault's first use and is no secret.
func (v *Vault) Identity() (string, error) {
	path := filepath.Join(v.dir, "identity")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(v.dir, 0o700); err != nil {
			return "", fmt.Errorf("vault: %w", err)
		}
		unlock, err := v.lock()
		if err != nil {
			return "", err
		}
		defer unlock()
		if text, err = os.ReadFile(path); errors.Is(err, fs.ErrNotExist) {
			text = []byte(rand.Text() + "\n")
			err = journal.ReplaceFile(path, text, 0o600)
		}
		if err != nil {
			return "", fmt.Errorf("vault: %w", err)
		}
	} else if err != nil {
		return "", fmt.Errorf("vault: %w", err)
	}
	id := strings.TrimSpace(string(text))
	if id == "" {
		return "", fmt.Errorf("vault: %s is empty", path)
	}
	return id, nil
}
