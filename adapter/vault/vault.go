package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"mezhved/adapter/journal"
)

// ErrKeyDestroyed says that values cannot be read because their key is gone, as
// retention asked.
var ErrKeyDestroyed = errors.New("the key of these values was destroyed")

// Vault keeps the keys of openings and of content in a directory of files, apart
// from the database and its backups. It makes a key, or a tree of them, when a class
// and month first need it. Safe for concurrent use, by several processes too.
type Vault struct {
	dir   string
	now   func() time.Time
	mu    sync.Mutex
	keys  map[string][]byte
	boxes map[string]cipher.AEAD // made of keys
	trees map[string]*grown      // of content
	epoch int                    // counts erasures here
}

// Open uses a directory that only this account may enter; it is made when
// it is missing.
func Open(dir string, now func() time.Time) (*Vault, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return &Vault{dir: dir, now: now, keys: map[string][]byte{}, boxes: map[string]cipher.AEAD{}, trees: map[string]*grown{}}, nil
}

// key gives the named key; make says whether a missing one is made.
func (v *Vault) key(name string, make bool) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if k, ok := v.keys[name]; ok {
		return k, nil
	}
	if strings.ContainsAny(name, "/\\") || name == "" {
		return nil, fmt.Errorf("journal key %q: impossible name", name)
	}
	path := filepath.Join(v.dir, name+".key")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if !make {
			return nil, fmt.Errorf("journal key %s: %w", name, ErrKeyDestroyed)
		}
		return v.create(name, path)
	}
	if err != nil {
		return nil, fmt.Errorf("journal key %s: %w", name, err)
	}
	k, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(k) != 32 {
		return nil, fmt.Errorf("journal key %s is damaged: want 64 hex digits in %s", name, path)
	}
	v.keys[name] = k
	return k, nil
}

// create makes a key so that two nodes with one key directory agree on it: the
// first link wins, the other reads it.
func (v *Vault) create(name, path string) ([]byte, error) {
	k := make([]byte, 32)
	rand.Read(k)
	tmp, err := os.CreateTemp(v.dir, ".new-*")
	if err != nil {
		return nil, fmt.Errorf("make journal key %s: %w", name, err)
	}
	defer os.Remove(tmp.Name())
	_, err = io.WriteString(tmp, hex.EncodeToString(k)+"\n")
	if err := errors.Join(err, tmp.Chmod(0o600), tmp.Sync(), tmp.Close()); err != nil {
		return nil, fmt.Errorf("make journal key %s: %w", name, err)
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make journal key %s: %w", name, err)
	}
	text, err := os.ReadFile(path)
	if err == nil {
		k, err = hex.DecodeString(strings.TrimSpace(string(text)))
	}
	if err != nil || len(k) != 32 {
		return nil, fmt.Errorf("make journal key %s: read it back: %v", name, err)
	}
	if dir, err := os.Open(v.dir); err == nil {
		err = dir.Sync()
		dir.Close()
		if err != nil {
			return nil, fmt.Errorf("make journal key %s: %w", name, err)
		}
	}
	v.keys[name] = k
	return k, nil
}

func (v *Vault) box(name string, make bool) (cipher.AEAD, error) {
	v.mu.Lock()
	aead, ok := v.boxes[name]
	v.mu.Unlock()
	if ok {
		return aead, nil
	}
	k, err := v.key(name, make)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	if aead, err = cipher.NewGCM(block); err != nil {
		return nil, err
	}
	v.mu.Lock()
	v.boxes[name] = aead
	v.mu.Unlock()
	return aead, nil
}

// sealedFor ties a box to its place: moved to another entry or field, it does
// not open.
func sealedFor(s *journal.Sealed) []byte {
	return fmt.Appendf(nil, "mezhved journal opening 1\n%d\n%s\n%s\n", s.Index, s.Field, s.Class)
}

// Seal encrypts an opening of the entry at index.
func (v *Vault) Seal(index int64, o journal.Opening) (journal.Sealed, error) {
	s := journal.Sealed{Index: index, Field: o.Field, Class: o.Class, Key: o.Class + "-" + v.now().UTC().Format("2006-01")}
	aead, err := v.box(s.Key, true)
	if err != nil {
		return s, err
	}
	plain := append(o.Salt[:], o.Value...)
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(nonce)
	s.Box = aead.Seal(nonce, nonce, plain, sealedFor(&s))
	s.Blind = []byte{}
	if o.Field != journal.FieldDigest && o.Field != journal.FieldReceipt { // nobody asks who has a given digest; the envelope's message says it
		s.Blind, err = v.Blind(o.Field, o.Value)
	}
	return s, err
}

// Unseal decrypts what Seal encrypted. errors.Is(err, ErrKeyDestroyed) when
// retention has taken the key.
func (v *Vault) Unseal(s journal.Sealed) (journal.Opening, error) {
	aead, err := v.box(s.Key, false)
	if err != nil {
		return journal.Opening{}, err
	}
	if len(s.Box) < aead.NonceSize() {
		return journal.Opening{}, fmt.Errorf("opening of field %s of entry %d is damaged", s.Field, s.Index)
	}
	plain, err := aead.Open(nil, s.Box[:aead.NonceSize()], s.Box[aead.NonceSize():], sealedFor(&s))
	if err != nil {
		return journal.Opening{}, fmt.Errorf("opening of field %s of entry %d is damaged: %w", s.Field, s.Index, err)
	}
	o := journal.Opening{Field: s.Field, Class: s.Class}
	if len(plain) < len(o.Salt) {
		return journal.Opening{}, fmt.Errorf("opening of field %s of entry %d is damaged", s.Field, s.Index)
	}
	o.Value = string(plain[copy(o.Salt[:], plain):])
	return o, nil
}

// Blind is the search token of a value of a field, the same for snils and snils-2.
// Whoever has the database but
// not the vault cannot compute it, so cannot try all values.
func (v *Vault) Blind(field, value string) ([]byte, error) {
	k, err := v.key("blind", true)
	if err != nil {
		return nil, err
	}
	m := hmac.New(sha256.New, k)
	io.WriteString(m, journal.FieldBase(field))
	m.Write([]byte{0})
	io.WriteString(m, value)
	return m.Sum(nil)[:16], nil
}

// Destroy removes the keys of a class for all months before the given one and
// says which. What they sealed is unreadable from then on, everywhere.
func (v *Vault) Destroy(class string, before time.Time) ([]string, error) {
	if !journal.ValidName(class) {
		return nil, fmt.Errorf("retention class %q: impossible name", class)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	files, err := os.ReadDir(v.dir)
	if err != nil {
		return nil, fmt.Errorf("destroy journal keys: %w", err)
	}
	var gone []string
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".key")
		month, ok := strings.CutPrefix(name, class+"-")
		at, err := time.Parse("2006-01", month)
		if !ok || err != nil || !at.Before(before.UTC().AddDate(0, 0, 1-before.UTC().Day()).Truncate(24*time.Hour)) {
			continue
		}
		if err := os.Remove(filepath.Join(v.dir, f.Name())); err != nil {
			return gone, fmt.Errorf("destroy journal key %s: %w", name, err)
		}
		delete(v.keys, name)
		delete(v.boxes, name)
		gone = append(gone, name)
	}
	return gone, nil
}
