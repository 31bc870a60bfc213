package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mezhved/adapter/journal"
)

// bed is a maker with two folders for places, and who reads what it makes.
type bed struct {
	*testing.T
	*Maker
	data, keys Dir
	ids        Identities
	skey, vkey string
}

func newBed(t *testing.T) *bed {
	t.Helper()
	dir := t.TempDir()
	b := &bed{T: t, data: Dir{filepath.Join(dir, "data")}, keys: Dir{filepath.Join(dir, "keys")}}
	identity, recipient, err := NewIdentity()
	b.must(err)
	b.must(os.WriteFile(filepath.Join(dir, "identity"), []byte(identity+"\n"), 0o600))
	b.must(os.WriteFile(filepath.Join(dir, "recipient"), []byte("# duty\n"+recipient+"\n"), 0o644))
	b.ids, err = ReadIdentities([]string{filepath.Join(dir, "identity")})
	b.must(err)
	to, err := ReadRecipients([]string{filepath.Join(dir, "recipient")})
	b.must(err)
	b.Maker = &Maker{Place: b.data, Recipients: to, Keys: b.keys, KeysFor: to, State: filepath.Join(dir, "state")}
	// One key of names, so that what is the same is cut in the same places in all tests.
	b.must(os.MkdirAll(b.State, 0o700))
	b.must(os.WriteFile(filepath.Join(b.State, "names.key"), []byte(strings.Repeat("ab", 32)), 0o600))
	b.skey, b.vkey, err = journal.NewKey("log.example/backup")
	b.must(err)
	return b
}

func (b *bed) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// make makes a backup of a database, as the point at.
func (b *bed) make(at time.Time, dump []byte, more func(*Backup)) *Manifest {
	b.Helper()
	one, err := b.Begin(b.Context())
	b.must(err)
	defer one.End()
	b.must(one.Database(b.Context(), bytes.NewReader(dump)))
	if more != nil {
		more(one)
	}
	m := &Manifest{At: at}
	b.must(one.Commit(b.Context(), m, b.skey))
	return m
}

// reads holds the database of a backup against what it was.
func (b *bed) reads(m *Manifest, want []byte) *Index {
	b.Helper()
	m, err := Find(b.Context(), b.data, m.ID, b.vkey)
	b.must(err)
	x, err := ReadIndex(b.Context(), b.data, m, b.ids)
	b.must(err)
	var got bytes.Buffer
	b.must(Copy(b.Context(), &got, b.data, x.Database, b.ids))
	if !bytes.Equal(got.Bytes(), want) {
		b.Errorf("backup %s gives back %d bytes, want %d like those that were kept", m.ID, got.Len(), len(want))
	}
	return x
}

// dumpOf is bytes that do not compress, the same for a seed.
func dumpOf(seed uint64, size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	r.Read(b)
	return b
}

// What comes again is not written again, wherever in the stream it stands.
func TestABackupWritesWhatIsNew(t *testing.T) {
	b := newBed(t)
	now := time.Now()
	dump := dumpOf(1, 12<<20)
	first := b.make(now, dump, nil)
	if first.New < 12<<20 {
		t.Errorf("the first backup has written %d bytes of %d", first.New, len(dump))
	}
	grown := slices.Concat([]byte("a header that is longer now"), dump[:5<<20], dumpOf(2, 100), dump[5<<20:], dumpOf(3, 1<<20))
	second := b.make(now.Add(time.Hour), grown, nil)
	if second.New > 9<<20 { // three places have changed, each in a piece or two of 4 MB at most
		t.Errorf("the second backup has written %d bytes, of which 1 MB are new", second.New)
	}
	b.reads(first, dump)
	b.reads(second, grown)
	empty := b.make(now.Add(2*time.Hour), []byte("x"), nil)
	b.reads(empty, []byte("x"))
}

// failing is a place that breaks off after some objects.
type failing struct {
	Place
	left atomic.Int64
}

var errGone = errors.New("the place has gone")

func (f *failing) Put(ctx context.Context, name string, content []byte) error {
	if f.left.Add(-1) < 0 {
		return errGone
	}
	return f.Place.Put(ctx, name, content)
}

// A backup that breaks off anywhere is none, spoils none, and the next one goes on with
// what it has written.
func TestABackupThatBreaksOffIsGoneOnWith(t *testing.T) {
	dump := dumpOf(4, 10<<20)
	whole := newBed(t).make(time.Now(), dump, nil)
	for _, after := range []int64{0, 1, 4, int64(whole.Count) - 1, int64(whole.Count), int64(whole.Count) + 1} { // the last two: list and manifest
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			b := newBed(t)
			broken := &failing{Place: b.data}
			broken.left.Store(after)
			b.Place = broken
			one, err := b.Begin(t.Context())
			b.must(err)
			err = one.Database(t.Context(), bytes.NewReader(dump))
			if err == nil {
				err = one.Commit(t.Context(), &Manifest{At: time.Now()}, b.skey)
			}
			if !errors.Is(err, errGone) {
				t.Fatalf("got %v, want that the place has gone", err)
			}
			b.must(one.End())
			if _, err := Find(t.Context(), b.data, "", b.vkey); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("half a backup is found: %v", err)
			}
			b.Place = b.data
			m := b.make(time.Now(), dump, nil)
			b.reads(m, dump)
			if most := whole.New * (int64(whole.Count) - min(after, int64(whole.Count)-1) + 1) / int64(whole.Count) * 2; after > 1 && m.New > most {
				t.Errorf("%d bytes were written again after %d of %d objects", m.New, after, whole.Count)
			}
			if bad, _, err := Check(t.Context(), b.data, m); err != nil || len(bad) > 0 {
				t.Errorf("%v, %v", bad, err)
			}
		})
	}
}

// Whatever happens to an object is found without any key, and never read as if it were good.
func TestDamageIsFound(t *testing.T) {
	b := newBed(t)
	dump := dumpOf(5, 3<<20)
	m := b.make(time.Now(), dump, func(one *Backup) { one.Secret("settings/journal.key", []byte("secret")) })
	names, err := objects(t.Context(), b.data, m)
	b.must(err)
	for _, name := range append(names, "backups/"+m.ID+".objects") {
		good, err := b.data.Get(t.Context(), name)
		b.must(err)
		bad := bytes.Clone(good)
		bad[len(bad)/2] ^= 1
		for what, change := range map[string]func(){
			"changed": func() { b.must(b.data.Put(t.Context(), name, bad)) },
			"cut":     func() { b.must(b.data.Put(t.Context(), name, good[:len(good)-1])) },
			"gone":    func() { b.must(b.data.Delete(t.Context(), []string{name})) },
		} {
			change()
			if found, _, err := Check(t.Context(), b.data, m); err != nil || len(found) != 1 {
				t.Errorf("%s is %s and Check finds %v, %v", name, what, found, err)
			}
			b.must(b.data.Put(t.Context(), name, good))
		}
	}
	if found, _, err := Check(t.Context(), b.data, m); err != nil || len(found) != 0 {
		t.Errorf("all is well again, and Check finds %v, %v", found, err)
	}
	// An object of the right name that somebody else has made.
	file := filepath.Join(b.data.Path, "backups", m.ID)
	manifest, err := os.ReadFile(file)
	b.must(err)
	for _, changed := range [][]byte{bytes.Replace(manifest, []byte(`"keys"`), []byte(`"keyz"`), 1), bytes.Replace(manifest, []byte("— log"), []byte("— lag"), 1)} {
		b.must(os.WriteFile(file, changed, 0o600))
		if _, err := Find(t.Context(), b.data, "", b.vkey); !errors.Is(err, ErrUnsigned) {
			t.Errorf("a manifest that was changed is taken: %v", err)
		}
	}
	// Signed by the same key as checkpoints are, it is none of them.
	policy, err := journal.LogPolicy(b.vkey)
	b.must(err)
	if _, err := policy.Open(manifest); err == nil {
		t.Error("a manifest is taken for a checkpoint")
	}
	// Secrets of another backup.
	b.must(b.keys.Put(t.Context(), "keys/"+m.ID+".age", []byte("x")))
	if _, err := ReadSecrets(t.Context(), b.keys, m, b.ids); err == nil {
		t.Error("secrets that are not the backup's are taken")
	}
}

// The copy of a file of the file store can be read as long as the secrets of a backup
// are kept, and no longer: they end before the data does.
func TestSecretsEndBeforeTheData(t *testing.T) {
	b := newBed(t)
	now := time.Now()
	stored := filepath.Join(t.TempDir(), "blob")
	b.must(os.WriteFile(stored, []byte("plan of a plot"), 0o600))
	more := func(one *Backup) {
		b.must(one.Stored(t.Context(), "f/blob", stored))
		one.Secret("vault/identity", []byte("the vault"))
	}
	old := b.make(now.Add(-20*24*time.Hour), []byte("dump"), more)
	young := b.make(now.Add(-time.Hour), []byte("dump"), more)
	x := b.reads(young, []byte("dump"))
	s, err := ReadSecrets(t.Context(), b.keys, young, b.ids)
	b.must(err)
	var got bytes.Buffer
	b.must(Copy(t.Context(), &got, b.data, x.Store[0].Content, s.Store["f/blob"]))
	if got.String() != "plan of a plot" || string(s.Named["vault/identity"]) != "the vault" {
		t.Errorf("%q, %q", got.String(), s.Named)
	}
	if err := Copy(t.Context(), &got, b.data, x.Store[0].Content, b.ids); err == nil {
		t.Error("who reads the data reads files of the file store")
	}
	// Brought again, the file is not written again; gone, its key is not remembered.
	if young.New > 16<<10 {
		t.Errorf("%d bytes were written anew", young.New)
	}
	last := b.make(now, []byte("dump"), nil)
	if known, err := os.ReadFile(filepath.Join(b.State, "files.identities")); err != nil || strings.Contains(string(known), "AGE-SECRET") {
		t.Errorf("the key of a file that has gone is still there: %s, %v", known, err)
	}
	done, err := b.Prune(t.Context(), now.Add(-90*24*time.Hour), now.Add(-14*24*time.Hour), now)
	if err != nil || done.Secrets != 1 || done.Backups != 0 {
		t.Errorf("pruned %+v, %v", done, err)
	}
	if _, err := ReadSecrets(t.Context(), b.keys, old, b.ids); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("old secrets are still there: %v", err)
	}
	for _, m := range []*Manifest{old, young, last} {
		b.reads(m, []byte("dump"))
	}
}

// Pruning removes what no backup needs, and nothing else; not what another one may be
// writing at the moment.
func TestPruneLeavesWhatIsNeeded(t *testing.T) {
	b := newBed(t)
	now := time.Now()
	shared, dumps := dumpOf(6, 3<<20), [][]byte{}
	var list []*Manifest
	for i := range 4 {
		dumps = append(dumps, append(bytes.Clone(shared), dumpOf(uint64(10+i), 1<<20)...))
		list = append(list, b.make(now.Add(time.Duration(i-4)*24*time.Hour), dumps[i], nil))
	}
	var youngest time.Time // of the objects, by the clock of the place, which need not be ours
	count := func() (n int) {
		b.must(b.data.List(t.Context(), "objects/", func(_ string, at time.Time) error {
			n++
			if at.After(youngest) {
				youngest = at
			}
			return nil
		}))
		return n
	}
	all := count()
	done, err := b.Prune(t.Context(), now.Add(-60*time.Hour), now, youngest)
	if err != nil || done.Backups != 2 || done.Objects != 0 || count() != all {
		t.Errorf("pruned %+v, %v; %d of %d objects are left, and they are young", done, err, count(), all)
	}
	done, err = b.Prune(t.Context(), now.Add(-60*time.Hour), now, youngest.Add(2*abandoned))
	if err != nil || done.Objects == 0 {
		t.Errorf("pruned %+v, %v", done, err)
	}
	for i, m := range list[2:] {
		b.reads(m, dumps[2+i])
	}
	if _, err := b.Prune(t.Context(), now.Add(time.Hour), now.Add(time.Hour), youngest); err != nil {
		t.Error(err)
	}
	b.reads(list[3], dumps[3]) // the latest stays
	left, err := List(t.Context(), b.data, b.vkey)
	if err != nil || len(left) != 1 {
		t.Errorf("%d backups are left, %v", len(left), err)
	}
	held, err := b.Begin(t.Context())
	b.must(err)
	if _, err := b.Prune(t.Context(), now, now, now); !errors.Is(err, ErrBusy) {
		t.Errorf("pruning beside a backup: %v", err)
	}
	b.must(held.End())
}

// The register only grows, whatever the vault has become.
func TestTheRegisterForgetsNothing(t *testing.T) {
	b := newBed(t)
	for _, register := range []string{"a\n", "a\nb\n", "", "c\n", "b\nd\ncut sho"} {
		b.must(b.Register(t.Context(), []byte(register)))
	}
	if got, err := ReadRegister(t.Context(), b.data); err != nil || string(got) != "a\nb\nc\nd\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// A folder is read as who uses it reads it, through the links that Kubernetes lays, and a
// file that has not changed is not read again.
func TestFoldersAreReadThroughLinks(t *testing.T) {
	b := newBed(t)
	dir := t.TempDir()
	b.must(os.MkdirAll(filepath.Join(dir, "..data", "1.0.0"), 0o755))
	b.must(os.WriteFile(filepath.Join(dir, "..data", "1.0.0", "service.yaml"), []byte("title: x\n"), 0o644))
	b.must(os.Symlink("..data/1.0.0", filepath.Join(dir, "1.0.0")))
	b.must(os.WriteFile(filepath.Join(dir, ".unfinished"), nil, 0o644))
	var x *Index
	for range 2 {
		m := b.make(time.Now(), []byte("dump"), func(one *Backup) {
			b.must(one.Folder(t.Context(), "services", dir))
			b.must(one.Folder(t.Context(), "parties", filepath.Join(dir, "none")))
		})
		x = b.reads(m, []byte("dump"))
	}
	list := x.Folders["services"]
	if len(list) != 1 || list[0].Path != "1.0.0/service.yaml" || len(x.Folders["parties"]) != 0 {
		t.Fatalf("%+v", x.Folders)
	}
	var got bytes.Buffer
	b.must(Copy(t.Context(), &got, b.data, list[0].Content, b.ids))
	if got.String() != "title: x\n" {
		t.Errorf("%q", got.String())
	}
	b.must(os.Symlink("..", filepath.Join(dir, "..data", "1.0.0", "up")))
	one, err := b.Begin(t.Context())
	b.must(err)
	defer one.End()
	b.must(os.RemoveAll(filepath.Join(dir, "..data", "1.0.0", "up")))
	b.must(os.Symlink(".", filepath.Join(dir, "..data", "1.0.0", "round")))
	if err := one.Folder(t.Context(), "services", dir); err == nil || !strings.Contains(err.Error(), "leads back") {
		t.Errorf("folders in one another without end: %v", err)
	}
}
