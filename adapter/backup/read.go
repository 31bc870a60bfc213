package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// List gives the manifests of a place, oldest first. Their signatures are proved when
// vkey is given, and one that does not hold is an error of its own.
func List(ctx context.Context, p Place, vkey string) (list []*Manifest, err error) {
	var names []string
	err = p.List(ctx, "backups/", func(name string, _ time.Time) error {
		if !strings.HasSuffix(name, ".objects") {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		m, err := read(ctx, p, path.Base(name), vkey)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

func read(ctx context.Context, p Place, id, vkey string) (*Manifest, error) {
	text, err := p.Get(ctx, "backups/"+id)
	if err != nil {
		return nil, fmt.Errorf("backup %s in %s: %w", id, p, err)
	}
	m, err := OpenManifest(text, vkey)
	if err == nil && m.ID != id {
		err = fmt.Errorf("it is that of %s", m.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("backup %s in %s: %w", id, p, err)
	}
	return m, nil
}

// Find gives the named backup, or the latest; fs.ErrNotExist when there is none.
func Find(ctx context.Context, p Place, id, vkey string) (*Manifest, error) {
	if id != "" && id != "latest" {
		return read(ctx, p, id, vkey)
	}
	latest := ""
	err := p.List(ctx, "backups/", func(name string, _ time.Time) error {
		if !strings.HasSuffix(name, ".objects") {
			latest = max(latest, path.Base(name))
		}
		return nil
	})
	if err == nil && latest == "" {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("no backup in %s: %w", p, err)
	}
	return read(ctx, p, latest, vkey)
}

// Identities are what reads something that was encrypted.
type Identities []age.Identity

// ReadIdentities reads files with identities of age.
func ReadIdentities(files []string) (list Identities, err error) {
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		ids, err := age.ParseIdentities(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		list = append(list, ids...)
	}
	return list, nil
}

// DamagedError says that a part of a backup is not what it was.
type DamagedError struct {
	Name string
	Err  error
}

func (e *DamagedError) Error() string { return e.Name + " is damaged: " + e.Err.Error() }
func (e *DamagedError) Unwrap() error { return e.Err }

// object reads an object and holds it against the digest in its name.
func object(ctx context.Context, p Place, name string) ([]byte, error) {
	sealed, err := p.Get(ctx, name)
	if err != nil {
		return nil, &DamagedError{name, err}
	}
	if _, digest, _ := strings.Cut(path.Base(name), "-"); hexDigest(sealed) != digest {
		return nil, &DamagedError{name, errors.New("its digest is another one")}
	}
	return sealed, nil
}

var unpacker, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))

// unseal decrypts and decompresses.
func unseal(sealed []byte, ids Identities) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(sealed), ids...)
	if err != nil {
		return nil, err
	}
	packed, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return unpacker.DecodeAll(packed, nil)
}

// Copy writes a content, piece by piece, each proved before a byte of it is used.
func Copy(ctx context.Context, w io.Writer, p Place, c Content, ids Identities) error {
	sum := sha256.New()
	for _, name := range c.Objects {
		sealed, err := object(ctx, p, name)
		if err != nil {
			return err
		}
		plain, err := unseal(sealed, ids)
		if err != nil {
			return &DamagedError{name, err}
		}
		sum.Write(plain)
		if _, err := w.Write(plain); err != nil {
			return err
		}
	}
	if hex.EncodeToString(sum.Sum(nil)) != c.SHA256 {
		return &DamagedError{"a content of the backup", errors.New("its pieces are not those of the digest in the index")}
	}
	return nil
}

// ReadIndex reads what a backup has.
func ReadIndex(ctx context.Context, p Place, m *Manifest, ids Identities) (*Index, error) {
	var text bytes.Buffer
	for _, name := range m.Index {
		sealed, err := object(ctx, p, name)
		if err != nil {
			return nil, err
		}
		plain, err := unseal(sealed, ids)
		if err != nil {
			return nil, fmt.Errorf("the index of backup %s: %w", m.ID, err)
		}
		text.Write(plain)
	}
	x := new(Index)
	if err := json.Unmarshal(text.Bytes(), x); err != nil {
		return nil, fmt.Errorf("the index of backup %s: %w", m.ID, err)
	}
	return x, nil
}

// Secrets are those of a backup, by name, and the keys of the files of the file store.
type Secrets struct {
	Named map[string][]byte
	Store map[string]Identities
}

// ReadSecrets reads the secrets of a backup out of their place. fs.ErrNotExist says that
// they are not kept any more.
func ReadSecrets(ctx context.Context, p Place, m *Manifest, ids Identities) (*Secrets, error) {
	name := "keys/" + m.ID + ".age"
	sealed, err := p.Get(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("the secrets of backup %s in %s: %w", m.ID, p, err)
	}
	if hexDigest(sealed) != m.Secrets {
		return nil, &DamagedError{name, errors.New("its digest is not the one in the manifest")}
	}
	packed, err := unseal(sealed, ids)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s := &Secrets{Named: map[string][]byte{}, Store: map[string]Identities{}}
	for r := tar.NewReader(bytes.NewReader(packed)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, &DamagedError{name, err}
		}
		if s.Named[h.Name], err = io.ReadAll(r); err != nil {
			return nil, &DamagedError{name, err}
		}
	}
	of := map[string]string{}
	if err := json.Unmarshal(s.Named[secretIdentities], &of); err != nil {
		return nil, &DamagedError{name, err}
	}
	delete(s.Named, secretIdentities)
	for file, secret := range of {
		id, err := age.ParseX25519Identity(secret)
		if err != nil {
			return nil, &DamagedError{name, err}
		}
		s.Store[file] = Identities{id}
	}
	return s, nil
}

// ReadRegister gives the vault's register as it was last kept beside the backups; nil
// when none was.
func ReadRegister(ctx context.Context, p Place) ([]byte, error) {
	text, err := p.Get(ctx, registerName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// objects are the names of what a backup needs.
func objects(ctx context.Context, p Place, m *Manifest) ([]string, error) {
	name := "backups/" + m.ID + ".objects"
	packed, err := p.Get(ctx, name)
	if err != nil {
		return nil, &DamagedError{name, err}
	}
	if hexDigest(packed) != m.Objects {
		return nil, &DamagedError{name, errors.New("its digest is not the one in the manifest")}
	}
	text, err := unpacker.DecodeAll(packed, nil)
	if err != nil {
		return nil, &DamagedError{name, err}
	}
	return strings.Fields(string(text)), nil
}

// Check reads every object of a backup and holds it against its digest: no key is
// needed for that. What is damaged or missing is given; the error is for what kept it
// from looking.
func Check(ctx context.Context, p Place, m *Manifest) (bad []error, bytes int64, err error) {
	names, err := objects(ctx, p, m)
	var damaged *DamagedError
	if errors.As(err, &damaged) {
		return []error{err}, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	for _, name := range names {
		b, err := object(ctx, p, name)
		if ctx.Err() != nil {
			return bad, bytes, ctx.Err()
		}
		if err != nil {
			bad = append(bad, err)
		}
		bytes += int64(len(b))
	}
	return bad, bytes, nil
}

// Pruned is what Prune has removed.
type Pruned struct{ Backups, Objects, Secrets int }

// abandoned is how old an object must be that no backup needs: one that is being made
// elsewhere, or was killed a moment ago, may need it.
const abandoned = 24 * time.Hour

// Prune removes backups whose point is before a time, and secrets of those before
// another; the latest backup and its secrets stay. Keys may be nil. The maker's state
// is held meanwhile, so that no backup is made from here.
func (m *Maker) Prune(ctx context.Context, data, secrets, now time.Time) (out Pruned, err error) {
	lock, err := m.take()
	if err != nil {
		return out, err
	}
	defer lock.Close()
	list, err := List(ctx, m.Place, "")
	if err != nil || len(list) == 0 {
		return out, err
	}
	needed := map[string]bool{}
	var goes []*Manifest
	for i, one := range list {
		if i < len(list)-1 && one.At.Before(data) {
			goes = append(goes, one)
			continue
		}
		names, err := objects(ctx, m.Place, one)
		if err != nil {
			return out, fmt.Errorf("nothing is removed: %w", err)
		}
		for _, name := range names {
			needed[name] = true
		}
	}
	var old []string
	for i, one := range list {
		if m.Keys != nil && one.Secrets != "" && i < len(list)-1 && (one.At.Before(secrets) || slices.Contains(goes, one)) {
			old = append(old, "keys/"+one.ID+".age")
		}
	}
	for _, one := range goes { // a backup without a manifest is none
		if err := m.Place.Delete(ctx, []string{"backups/" + one.ID}); err != nil {
			return out, err
		}
		out.Backups++
		if err := m.Place.Delete(ctx, []string{"backups/" + one.ID + ".objects"}); err != nil {
			return out, err
		}
	}
	if len(old) > 0 {
		there := map[string]bool{}
		if err := m.Keys.List(ctx, "keys/", func(name string, _ time.Time) error { there[name] = true; return nil }); err != nil {
			return out, err
		}
		old = slices.DeleteFunc(old, func(name string) bool { return !there[name] })
		if err := m.Keys.Delete(ctx, old); err != nil {
			return out, err
		}
		out.Secrets = len(old)
	}
	var stray []string
	err = m.Place.List(ctx, "objects/", func(name string, at time.Time) error {
		if !needed[name] && at.Before(now.Add(-abandoned)) {
			stray = append(stray, name)
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	out.Objects = len(stray)
	return out, m.Place.Delete(ctx, stray)
}
