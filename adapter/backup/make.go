package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"

	"mezhved/adapter/journal"
)

// Recipients are whom something is encrypted to.
type Recipients struct {
	list []age.Recipient
	text string // one a line, sorted
}

// ReadRecipients reads files with recipients of age, one a line.
func ReadRecipients(files []string) (r Recipients, err error) {
	var lines []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return r, err
		}
		list, err := age.ParseRecipients(bytes.NewReader(text))
		if err != nil {
			return r, fmt.Errorf("%s: %w (mezhved keys backup makes an identity and its recipient)", file, err)
		}
		r.list = append(r.list, list...)
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
	}
	slices.Sort(lines)
	r.text = strings.Join(slices.Compact(lines), "\n")
	return r, nil
}

// None says that there are none.
func (r Recipients) None() bool { return len(r.list) == 0 }

// NewIdentity makes a key pair: who has the first reads what is encrypted to the second.
func NewIdentity() (identity, recipient string, err error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", "", err
	}
	return id.String(), id.Recipient().String(), nil
}

// Maker makes backups. All but Log must be set; without Keys no secrets are kept, and no
// files of the file store, whose keys would be among them.
type Maker struct {
	Place      Place
	Recipients Recipients
	Keys       Place
	KeysFor    Recipients
	State      string // a folder of ours alone: it has the key of names and those of files
}

// Backup is one that is being made. Not for concurrent use.
type Backup struct {
	ID    string
	Index Index

	m       *Maker
	lock    *os.File
	key     []byte // of names
	gear    *[256]uint64
	known   map[string]string // objects by their name without the digest
	used    map[string]int64  // objects of this backup, and their bytes
	written int64
	secrets map[string][]byte
	store   map[string]string // identities of files of the file store, by path
	before  map[string]string // as they were
	seen    cache             // files of folders as they were last read
	fresh   cache
	mu      sync.Mutex
}

// cache knows files that have not changed since they were last read.
type cache map[string]cached

type cached struct {
	Size int64     `json:"size"`
	Mod  time.Time `json:"mod"`
	Content
}

// ErrBusy says that another backup is being made, or pruned, from the same state.
var ErrBusy = errors.New("another backup is being made from here")

func (m *Maker) take() (*os.File, error) {
	if err := os.MkdirAll(m.State, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(m.State, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrBusy
		}
		return nil, fmt.Errorf("%s: %w", m.State, err)
	}
	return lock, nil
}

// Begin looks at what the place has. End must be called.
func (m *Maker) Begin(ctx context.Context) (b *Backup, err error) {
	lock, err := m.take()
	if err != nil {
		return nil, err
	}
	b = &Backup{
		ID: time.Now().UTC().Format("20060102T150405.000Z") + "-" + strings.ToLower(rand.Text()[:6]), m: m, lock: lock, known: map[string]string{}, used: map[string]int64{},
		secrets: map[string][]byte{}, store: map[string]string{}, before: map[string]string{}, seen: cache{}, fresh: cache{},
		Index: Index{Folders: map[string][]File{}, Settings: map[string][]Setting{}},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.End())
		}
	}()
	if b.key, err = nameKey(filepath.Join(m.State, "names.key")); err != nil {
		return nil, err
	}
	b.gear = gearOf(b.key)
	// What was not kept of these makes the backup larger, never wrong.
	for name, into := range map[string]any{"files.identities": &b.before, "folders.cache": &b.seen} {
		if text, err := os.ReadFile(filepath.Join(m.State, name)); err == nil {
			if err := json.Unmarshal(text, into); err != nil {
				return nil, fmt.Errorf("%s in %s is damaged: remove it, and the next backup writes more: %w", name, m.State, err)
			}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	err = m.Place.List(ctx, "objects/", func(name string, _ time.Time) error {
		if mac, _, ok := strings.Cut(filepath.Base(name), "-"); ok {
			b.known[mac] = name
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking at what %s has: %w", m.Place, err)
	}
	return b, nil
}

// End lets others begin.
func (b *Backup) End() error { return b.lock.Close() }

func nameKey(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text = make([]byte, 32)
		rand.Read(text)
		text = []byte(hex.EncodeToString(text) + "\n")
		err = journal.ReplaceFile(path, text, 0o600)
	}
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("%s is damaged: remove it, and the next backup is a whole one", path)
	}
	return key, nil
}

// writers is how many objects are made and written at once.
const writers = 4

// keep writes a stream as objects. domain tells what is encrypted to whom.
func (b *Backup) keep(ctx context.Context, r io.Reader, to []age.Recipient, domain string) (Content, error) {
	var c Content
	plain := sha256.New()
	cut := newCutter(io.TeeReader(r, plain), b.gear)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	slots := make(chan struct{}, writers)
	var names []*string
	for {
		piece, err := cut.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			cancel(err)
			break
		}
		c.Size += int64(len(piece))
		name := new(string)
		names = append(names, name)
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			defer func() { <-slots }()
			var err error
			if *name, err = b.put(ctx, piece, to, domain); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return c, err
	}
	for _, name := range names {
		c.Objects = append(c.Objects, *name)
	}
	c.SHA256 = hex.EncodeToString(plain.Sum(nil))
	return c, nil
}

// put writes a piece unless the place has it.
func (b *Backup) put(ctx context.Context, piece []byte, to []age.Recipient, domain string) (string, error) {
	m := hmac.New(sha256.New, b.key)
	fmt.Fprintf(m, "%d\n%s\n", len(domain), domain)
	m.Write(piece)
	mac := hex.EncodeToString(m.Sum(nil)[:20])
	b.mu.Lock()
	name, there := b.known[mac]
	if there {
		if _, counted := b.used[name]; !counted {
			b.used[name] = 0
		}
	}
	b.mu.Unlock()
	if there {
		return name, nil
	}
	sealed, err := seal(piece, to)
	if err != nil {
		return "", err
	}
	name = fmt.Sprintf("objects/%s/%s-%s", mac[:2], mac, hexDigest(sealed))
	if err := b.m.Place.Put(ctx, name, sealed); err != nil {
		return "", fmt.Errorf("writing to %s: %w", b.m.Place, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known[mac], b.used[name] = name, int64(len(sealed))
	b.written += int64(len(sealed))
	return name, nil
}

var packer, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1))

// seal compresses and encrypts.
func seal(plain []byte, to []age.Recipient) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to...)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(packer.EncodeAll(plain, nil))
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Database keeps a dump.
func (b *Backup) Database(ctx context.Context, dump io.Reader) (err error) {
	b.Index.Database, err = b.data(ctx, dump)
	return err
}

func (b *Backup) data(ctx context.Context, r io.Reader) (Content, error) {
	return b.keep(ctx, r, b.m.Recipients.list, b.m.Recipients.text)
}

// file keeps a file's content, and does not read one that has not changed since it was.
func (b *Backup) file(ctx context.Context, path string, info fs.FileInfo) (Content, error) {
	if c, ok := b.seen[path]; ok && c.Size == info.Size() && c.Mod.Equal(info.ModTime()) && b.has(c.Content) {
		b.fresh[path] = c
		return c.Content, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return Content{}, err
	}
	defer f.Close()
	c, err := b.data(ctx, f)
	if err == nil && c.Size == info.Size() {
		b.fresh[path] = cached{info.Size(), info.ModTime(), c}
	}
	return c, err
}

// has tells whether all objects of a content are in the place, and counts them.
func (b *Backup) has(c Content) bool {
	for _, name := range c.Objects {
		if mac, _, _ := strings.Cut(filepath.Base(name), "-"); b.known[mac] != name {
			return false
		}
	}
	for _, name := range c.Objects {
		if _, counted := b.used[name]; !counted {
			b.used[name] = 0
		}
	}
	return true
}

// Folder keeps the files of a folder that a setting names, symbolic links followed.
// Names that begin with a dot are passed by: they are unfinished, or a tool's own. A
// folder that is not there is empty.
func (b *Backup) Folder(ctx context.Context, setting, dir string) error {
	list := []File{}
	err := walk(dir, "", func(name string, info fs.FileInfo) error {
		c, err := b.file(ctx, filepath.Join(dir, name), info)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err != nil {
			return err
		}
		list = append(list, File{filepath.ToSlash(name), uint32(info.Mode().Perm()), info.ModTime().UTC(), c})
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", setting, err)
	}
	b.Index.Folders[setting] = list
	return nil
}

// walk calls f for every file below dir, in order.
func walk(dir, below string, f func(name string, info fs.FileInfo) error) error {
	list, err := os.ReadDir(filepath.Join(dir, below))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if strings.Count(below, "/") > 32 {
		return fmt.Errorf("%s: folders lie in one another without end: a symbolic link leads back", filepath.Join(dir, below))
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name := filepath.Join(below, e.Name())
		info, err := os.Stat(filepath.Join(dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		case info.IsDir():
			err = walk(dir, name, f)
		case info.Mode().IsRegular():
			err = f(name, info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Setting keeps a file that is no secret.
func (b *Backup) Setting(ctx context.Context, setting, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%s: %w", setting, err)
	}
	defer f.Close()
	c, err := b.data(ctx, f)
	if err != nil {
		return fmt.Errorf("%s: %w", setting, err)
	}
	b.Index.Settings[setting] = append(b.Index.Settings[setting], Setting{path, c})
	return nil
}

// Stored keeps a file of the file store, whose bytes never change under one name. at is
// where they lie.
func (b *Backup) Stored(ctx context.Context, name, at string) error {
	secret := b.before[name]
	if secret == "" {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			return err
		}
		secret = id.String()
	}
	id, err := age.ParseX25519Identity(secret)
	if err != nil {
		return fmt.Errorf("the key of file %s in %s: %w", name, b.m.State, err)
	}
	b.store[name] = secret
	if len(b.store)%64 == 1 { // a backup that is killed has its files known to the next one
		if err := b.remember(); err != nil {
			return err
		}
	}
	f, err := os.Open(at)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if c, ok := b.seen["store "+name]; ok && c.Size == info.Size() && b.has(c.Content) {
		b.fresh["store "+name] = c
		b.Index.Store = append(b.Index.Store, File{name, 0o600, info.ModTime().UTC(), c.Content})
		return nil
	}
	to := id.Recipient()
	c, err := b.keep(ctx, f, []age.Recipient{to}, to.String())
	if err != nil {
		return err
	}
	b.fresh["store "+name] = cached{info.Size(), info.ModTime(), c}
	b.Index.Store = append(b.Index.Store, File{name, 0o600, info.ModTime().UTC(), c})
	return nil
}

// remember keeps the keys of files: those that are known, and while the backup is not
// whole those of before.
func (b *Backup) remember() error {
	all := maps.Clone(b.before)
	maps.Copy(all, b.store)
	return b.state("files.identities", all)
}

func (b *Backup) state(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return journal.ReplaceFile(filepath.Join(b.m.State, name), append(text, '\n'), 0o600)
}

// Secret keeps something among the secrets, which are one file.
func (b *Backup) Secret(name string, content []byte) { b.secrets[name] = bytes.Clone(content) }

// secretIdentities is where the secrets have the keys of files of the file store.
const secretIdentities = "files.identities"

// ErrIncomplete says that a backup lacks what must be in it.
var ErrIncomplete = errors.New("the backup is not whole")

// Register keeps the vault's register beside all backups, where it outlives them. It
// holds no secret. One that is shorter than what is there, because the vault went
// back, does not replace it: the lines that it lacks are put behind it.
func (m *Maker) Register(ctx context.Context, register []byte) error {
	there, err := m.Place.Get(ctx, registerName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if bytes.Equal(there, register) {
		return nil
	}
	return m.Place.Put(ctx, registerName, joinLines(there, register))
}

const registerName = "erasures"

// joinLines are the lines of a, and behind them those of b that a lacks.
func joinLines(a, b []byte) []byte {
	out := bytes.Clone(a[:bytes.LastIndexByte(a, '\n')+1])
	known := map[string]bool{}
	for line := range bytes.Lines(out) {
		known[string(line)] = true
	}
	for line := range bytes.Lines(b) {
		if bytes.HasSuffix(line, []byte("\n")) && !known[string(line)] {
			out = append(out, line...)
		}
	}
	return out
}

// Commit ends a backup: index, secrets, list of objects and, last, the manifest, of
// which the caller has filled in what it is about.
func (b *Backup) Commit(ctx context.Context, m *Manifest, skey string) error {
	if b.Index.Database.Size == 0 {
		return fmt.Errorf("%w: it has no database", ErrIncomplete)
	}
	if err := b.remember(); err != nil { // before anything refers to them
		return err
	}
	text, err := json.Marshal(b.Index)
	if err != nil {
		return err
	}
	index, err := b.data(ctx, bytes.NewReader(text))
	if err != nil {
		return err
	}
	m.ID, m.Index = b.ID, index.Objects
	if b.m.Keys != nil {
		sealed, err := b.sealSecrets()
		if err != nil {
			return err
		}
		if err := b.m.Keys.Put(ctx, "keys/"+b.ID+".age", sealed); err != nil {
			return fmt.Errorf("writing to %s: %w", b.m.Keys, err)
		}
		m.Secrets = hexDigest(sealed)
	}
	names := slices.Sorted(maps.Keys(b.used))
	list := packer.EncodeAll([]byte(strings.Join(names, "\n")+"\n"), nil)
	m.Objects, m.Count, m.New = hexDigest(list), len(names), b.written
	if err := b.m.Place.Put(ctx, "backups/"+b.ID+".objects", list); err != nil {
		return fmt.Errorf("writing to %s: %w", b.m.Place, err)
	}
	signed, err := m.Sign(skey)
	if err != nil {
		return err
	}
	if err := b.m.Place.Put(ctx, "backups/"+b.ID, signed); err != nil {
		return fmt.Errorf("writing to %s: %w", b.m.Place, err)
	}
	// The keys of files that have gone are not needed for the next one.
	return errors.Join(b.state("files.identities", b.store), b.state("folders.cache", b.fresh), b.state("last", m))
}

func (b *Backup) sealSecrets() ([]byte, error) {
	identities, err := json.Marshal(b.store)
	if err != nil {
		return nil, err
	}
	b.secrets[secretIdentities] = identities
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(b.secrets)) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(b.secrets[name])), Typeflag: tar.TypeReg}); err != nil {
			return nil, err
		}
		if _, err := w.Write(b.secrets[name]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return seal(out.Bytes(), b.m.KeysFor.list)
}

// Measure publishes when the backup was made that was last made from a state. It looks
// when it is asked: backups are made by another process.
func Measure(r prometheus.Registerer, state string) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "mezhved", Name: "backup_at_seconds", Help: "Unix time of the last backup that was made from this node (backup.to); 0: none was made yet, or its manifest cannot be read."},
		func() float64 {
			m, err := Last(state)
			if err != nil {
				return 0
			}
			return float64(m.At.Unix())
		}))
}

// Last is the manifest of the backup that was last made from a state; fs.ErrNotExist
// when there was none.
func Last(state string) (*Manifest, error) {
	text, err := os.ReadFile(filepath.Join(state, "last"))
	if err != nil {
		return nil, err
	}
	m := new(Manifest)
	return m, json.Unmarshal(text, m)
}
