package vault

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
	keys  map[string]*named
	trees map[string]*grown // of content
	epoch int               // counts erasures here
	short atomic.Bool       // values are shortened before they are sealed

	asking    sync.Mutex // a witness
	witnesses []Witness
	refused   map[string]*refused // keys that were to be sealed with and must not be made, or used
}

// Open uses a directory that only this account may enter. One that is missing is made
// with the vault's identity and by nothing else: whoever first holds the vault against a
// database leaves nothing where it is the wrong one, and nobody makes keys in the place of
// storage that is not mounted.
func Open(dir string, now func() time.Time) (*Vault, error) {
	if info, err := os.Stat(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("vault: %w", err)
	} else if err == nil && !info.IsDir() {
		return nil, fmt.Errorf("vault: %s is no folder", dir)
	}
	return &Vault{dir: dir, now: now, keys: map[string]*named{}, trees: map[string]*grown{}, refused: map[string]*refused{}}, nil
}

// named is the key of a class and month, or the one of search tokens, as it was read.
type named struct {
	key    []byte
	box    cipher.AEAD
	macs   sync.Pool // of *journal.Macs, with the key
	asked  time.Time // whether it is still there
	proven bool      // to be the one that the witness knows
}

// key gives the named key; make says that it is to be sealed with: a missing one is made,
// where the witness has nothing that is sealed with it, and one that is there must be the
// one that was sealed with before. One that another process has destroyed is missed
// within a second.
func (v *Vault) key(name string, make bool) (*named, error) {
	v.mu.Lock()
	before, now := v.keys[name], time.Now()
	v.mu.Unlock() // what follows may wait for the disk, for another process or the database
	if before != nil && now.Sub(before.asked) < reread && (before.proven || !make) {
		return before, nil
	}
	if strings.ContainsAny(name, "/\\") || name == "" {
		return nil, fmt.Errorf("journal key %q: impossible name", name)
	}
	path := filepath.Join(v.dir, name+keySuffix)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if !make {
			return nil, fmt.Errorf("journal key %s: %w", name, ErrKeyDestroyed)
		}
		if err = v.mayMake(name + keySuffix); err == nil {
			err = v.create(path)
		}
		if lacks := (*KeyError)(nil); errors.As(err, &lacks) {
			return nil, err // it is a sentence of its own
		} else if err != nil && !errors.Is(err, errMeanwhile) {
			return nil, fmt.Errorf("make journal key %s: %w", name, err)
		}
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, v.unread(name+keySuffix, make, fmt.Errorf("journal key %s: %w", name, err))
	}
	k := &named{asked: now}
	if k.key, err = hex.DecodeString(strings.TrimSpace(string(text))); err != nil || len(k.key) != 32 {
		return nil, v.unread(name+keySuffix, make, fmt.Errorf("journal key %s is damaged: want 64 hex digits in %s", name, path))
	}
	block, err := aes.NewCipher(k.key)
	if err == nil {
		k.box, err = cipher.NewGCM(block)
	}
	if err != nil {
		return nil, err
	}
	if k.proven = before != nil && before.proven && bytes.Equal(before.key, k.key); make && !k.proven {
		if err := v.vouched(name+keySuffix, k.mark()); err != nil {
			return nil, err
		}
		k.proven = true
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keys[name] = k
	return k, nil
}

const keySuffix = ".key"

// create makes a key so that all processes with one folder agree on it: the first link
// wins. Releases before did so without the lock.
func (v *Vault) create(path string) error {
	unlock, err := v.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	k := make([]byte, 32)
	rand.Read(k)
	if err := v.begin(path, []byte(hex.EncodeToString(k)+"\n")); err != nil {
		return err
	}
	err = os.Link(path+newSuffix, path)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return errors.Join(err, os.Remove(path+newSuffix), syncFolder(v.dir))
}

// sealedFor ties a box to its place: moved to another entry or field, it does
// not open.
func sealedFor(s *journal.Sealed, form int64) []byte {
	b := append(make([]byte, 0, 96), "mezhved journal opening "...)
	for _, n := range []int64{form, s.Index} {
		b = append(strconv.AppendInt(b, n, 10), '\n')
	}
	for _, t := range []string{s.Field, s.Class} {
		b = append(append(b, t...), '\n')
	}
	return b
}

// The forms of a value in its box: as it is, and shortened.
const (
	formWhole int64 = 1
	formShort int64 = 2
)

// Shorten has values shortened from now on, which releases of before cannot open.
func (v *Vault) Shorten() { v.short.Store(true) }

// monthly is the name of a key, or of a tree, of a class for the month of a time.
func monthly(class string, at time.Time) string {
	return string(appendMonthly(make([]byte, 0, 48), class, at))
}

func appendMonthly(to []byte, class string, at time.Time) []byte {
	return at.UTC().AppendFormat(append(append(to, class...), '-'), "2006-01")
}

// Seal encrypts an opening of the entry at index.
func (v *Vault) Seal(index int64, o journal.Opening) (journal.Sealed, error) {
	s := journal.Sealed{Index: index, Field: o.Field, Class: o.Class, Key: v.KeyOf(o.Class)}
	k, err := v.key(s.Key, true)
	if err != nil {
		return s, err
	}
	aead := k.box
	form, plain := formWhole, append(o.Salt[:], o.Value...)
	if v.short.Load() {
		form, plain = formShort, shorten(o.Salt[:len(o.Salt):len(o.Salt)], o.Value)
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(nonce)
	s.Box = aead.Seal(nonce, nonce, plain, sealedFor(&s, form))
	s.Blind = []byte{}
	if Sought(o.Field) {
		s.Blind, err = v.Blind(nil, o.Field, o.Value)
	}
	return s, err
}

// Sought says whether values of a field are looked for. Nobody asks who has a given
// digest; the envelope's message says it.
func Sought(field string) bool { return field != journal.FieldDigest && field != journal.FieldReceipt }

// KeyOf names the key of a class and this month.
func (v *Vault) KeyOf(class string) string { return monthly(class, v.now()) }

// together ties openings that are sealed together to their place.
func together(key, place string) []byte {
	return fmt.Appendf(nil, "mezhved journal openings 1\n%s\n%s\n", key, place)
}

// SealTogether encrypts what opens many commitments, with the key that is named, and appends
// that: Overhead bytes more. It opens in its place and in no other.
func (v *Vault) SealTogether(to []byte, key, place string, plain []byte) ([]byte, error) {
	k, err := v.key(key, true)
	if err != nil {
		return nil, err
	}
	begin := len(to)
	to = slices.Grow(to, len(plain)+Overhead)[:begin+k.box.NonceSize()]
	nonce := to[begin:]
	rand.Read(nonce)
	return k.box.Seal(to, nonce, plain, together(key, place)), nil
}

// OpenTogether decrypts what SealTogether encrypted. errors.Is(err, ErrKeyDestroyed)
// when retention has taken the key.
func (v *Vault) OpenTogether(key, place string, box []byte) ([]byte, error) {
	k, err := v.key(key, false)
	if err != nil {
		return nil, err
	}
	n := k.box.NonceSize()
	if len(box) < n {
		return nil, fmt.Errorf("openings of %s under key %s are damaged", place, key)
	}
	plain, err := k.box.Open(nil, box[:n], box[n:], together(key, place))
	if err != nil {
		return nil, v.damaged(key+keySuffix, k.mark(), fmt.Errorf("openings of %s under key %s are damaged: %w", place, key, err))
	}
	return plain, nil
}

// Unseal decrypts what Seal encrypted. errors.Is(err, ErrKeyDestroyed) when
// retention has taken the key.
func (v *Vault) Unseal(s journal.Sealed) (journal.Opening, error) {
	k, err := v.key(s.Key, false)
	if err != nil {
		return journal.Opening{}, err
	}
	aead := k.box
	if len(s.Box) < aead.NonceSize() {
		return journal.Opening{}, fmt.Errorf("opening of field %s of entry %d is damaged", s.Field, s.Index)
	}
	form := formShort
	plain, err := aead.Open(nil, s.Box[:aead.NonceSize()], s.Box[aead.NonceSize():], sealedFor(&s, form))
	if err != nil {
		form = formWhole
		plain, err = aead.Open(nil, s.Box[:aead.NonceSize()], s.Box[aead.NonceSize():], sealedFor(&s, form))
	}
	if err != nil {
		return journal.Opening{}, v.damaged(s.Key+keySuffix, k.mark(), fmt.Errorf("opening of field %s of entry %d is damaged: %w", s.Field, s.Index, err))
	}
	o := journal.Opening{Field: s.Field, Class: s.Class}
	if len(plain) < len(o.Salt) {
		return journal.Opening{}, fmt.Errorf("opening of field %s of entry %d is damaged", s.Field, s.Index)
	}
	value := plain[copy(o.Salt[:], plain):]
	if form == formWhole {
		o.Value = string(value)
		return o, nil
	}
	if o.Value, err = lengthen(value); err != nil {
		return journal.Opening{}, fmt.Errorf("opening of field %s of entry %d: %w", s.Field, s.Index, err)
	}
	return o, nil
}

// blindKey is the key of search tokens.
const blindKey = "blind"

const tokenSize = 16

// Blind appends the search token of a value of a field, 16 bytes, the same for snils and
// snils-2. Whoever has the database but not the vault cannot compute it, so cannot try all
// values.
func (v *Vault) Blind(to []byte, field, value string) ([]byte, error) {
	return v.token(to, field, value, true)
}

// Token is the search token as Blind gives it, with the key as it is there: it makes none,
// and asks nobody whether it is the right one.
func (v *Vault) Token(field, value string) ([]byte, error) { return v.token(nil, field, value, false) }

func (v *Vault) token(to []byte, field, value string, sealing bool) ([]byte, error) {
	k, err := v.key(blindKey, sealing)
	if err != nil {
		return nil, err
	}
	macs, ok := k.macs.Get().(*journal.Macs)
	if !ok {
		macs = journal.NewMacs(k.key)
	}
	to = appendToken(to, macs, field, value)
	k.macs.Put(macs)
	return to, nil
}

func appendToken(to []byte, macs *journal.Macs, field, value string) []byte {
	var room [160]byte
	sum := macs.Of(append(append(append(room[:0], journal.FieldBase(field)...), 0), value...))
	return append(to, sum[:tokenSize]...)
}

// Blinder is Blind for those who make many tokens: the key is looked for once. Not for
// concurrent use.
func (v *Vault) Blinder() (func(to []byte, field, value string) []byte, error) {
	k, err := v.key(blindKey, true)
	if err != nil {
		return nil, err
	}
	macs := journal.NewMacs(k.key)
	return func(to []byte, field, value string) []byte { return appendToken(to, macs, field, value) }, nil
}

// Has tells whether there is a key of that name: not one that was destroyed, nor one that
// this vault never had.
func (v *Vault) Has(key string) (bool, error) {
	_, err := v.key(key, false)
	if errors.Is(err, ErrKeyDestroyed) {
		return false, nil
	}
	return err == nil, err
}

// Doomed are the keys of a class for all months before the given one.
func (v *Vault) Doomed(class string, before time.Time) ([]string, error) {
	if !journal.ValidName(class) {
		return nil, fmt.Errorf("retention class %q: impossible name", class)
	}
	files, err := os.ReadDir(v.dir)
	if err != nil {
		return nil, fmt.Errorf("destroy journal keys: %w", err)
	}
	var doomed []string
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), keySuffix)
		of, ok := strings.CutPrefix(name, class+"-")
		if at, err := time.Parse("2006-01", of); ok && err == nil && at.Before(month(before)) {
			doomed = append(doomed, name)
		}
	}
	return doomed, nil
}

// Destroy removes keys. What they sealed is unreadable from then on, everywhere; the
// bytes of their files are overwritten. Doing it again ends what was cut short.
func (v *Vault) Destroy(names []string) error {
	unlock, err := v.lock()
	if err != nil {
		return err
	}
	defer unlock()
	for _, name := range names {
		path := filepath.Join(v.dir, name+keySuffix)
		err := wipe(path)
		if err == nil {
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("destroy journal key %s: %w", name, err)
		}
		v.mu.Lock()
		delete(v.keys, name)
		v.mu.Unlock()
	}
	return syncFolder(v.dir)
}
