package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"mezhved/adapter"
	"mezhved/adapter/embedded"
	"mezhved/adapter/postgres"
	"mezhved/signing/gost"
)

// memory is an index without messages. It passes the same suite as the real one.
type memory struct {
	mu      sync.Mutex
	entries map[uuid.UUID]adapter.FileEntry
	changed map[uuid.UUID]time.Time
	parts   []memoryPart
	broken  error
}

type memoryPart struct {
	adapter.FilePart
	changed time.Time
}

func newMemory() *memory {
	return &memory{entries: map[uuid.UUID]adapter.FileEntry{}, changed: map[uuid.UUID]time.Time{}}
}

func (m *memory) FindFiles(_ context.Context, folders []uuid.UUID) (out []adapter.FileEntry, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range folders {
		out = append(out, m.in(id)...)
	}
	return out, m.broken
}

// in gives what is in a folder, the latest first.
func (m *memory) in(folder uuid.UUID) (out []adapter.FileEntry) {
	for _, e := range m.entries {
		if e.ID == folder {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b adapter.FileEntry) int { return m.changed[b.Entry].Compare(m.changed[a.Entry]) })
	return out
}

func (m *memory) put(f adapter.FileEntry, now time.Time) {
	if f.Entry == uuid.Nil {
		if f.Entry = f.ID; m.entries[f.ID].ID == f.ID {
			f.Entry = uuid.Must(uuid.NewV7())
		}
	}
	m.entries[f.Entry], m.changed[f.Entry] = f, now
}

func (m *memory) MakeFile(_ context.Context, folder uuid.UUID, owner, session string, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.ContainsFunc(m.in(folder), func(e adapter.FileEntry) bool { return e.Owner == owner }) {
		m.put(adapter.FileEntry{File: adapter.File{ID: folder}, Owner: owner, Session: session}, now)
	}
	return m.broken
}

func (m *memory) PutFile(_ context.Context, f adapter.FileEntry, upload string, now time.Time) (gone []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return nil, m.broken
	}
	if upload != "" {
		if !m.begun(f.ID, upload) {
			return nil, adapter.ErrNotFound
		}
		gone = m.dropParts(f.ID, upload)
	}
	there := m.in(f.ID)
	for _, e := range there {
		if f.Entry = e.Entry; e.Whole && f.Whole && e.Owner == f.Owner && e.File == f.File {
			if e.Session != f.Session {
				e.Session = ""
			}
			m.put(e, now)
			return append(gone, f.Blob), nil
		}
	}
	f.Entry = uuid.Nil
	if i := adapter.Replaced(there, f.Owner, f.Session); i >= 0 {
		if there[i].Whole && !f.Whole {
			return nil, adapter.ErrFileTaken
		}
		if f.Entry = there[i].Entry; there[i].Blob != "" {
			gone = append(gone, there[i].Blob)
		}
	}
	m.put(f, now)
	return gone, nil
}

func (m *memory) DropFile(_ context.Context, folder uuid.UUID, session string) (gone []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.in(folder) {
		if e.Session == session && session != "" {
			gone = append(gone, e.Blob)
			delete(m.entries, e.Entry)
		}
	}
	return gone, nil
}

func (m *memory) begun(id uuid.UUID, upload string) bool {
	return slices.ContainsFunc(m.parts, func(p memoryPart) bool { return p.Folder == id && p.Upload == upload && p.N == 0 })
}

func (m *memory) dropParts(id uuid.UUID, upload string) (gone []string) {
	m.parts = slices.DeleteFunc(m.parts, func(p memoryPart) bool {
		drop := p.Folder == id && p.Upload == upload
		if drop && p.N > 0 {
			gone = append(gone, p.Blob)
		}
		return drop
	})
	return gone
}

func (m *memory) PutPart(_ context.Context, p adapter.FilePart, now time.Time) (old string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.N > 0 && !m.begun(p.Folder, p.Upload) {
		return "", adapter.ErrNotFound
	}
	m.parts = slices.DeleteFunc(m.parts, func(o memoryPart) bool {
		same := o.Folder == p.Folder && o.Upload == p.Upload && o.N == p.N
		if same {
			old = o.Blob
		}
		return same
	})
	m.parts = append(m.parts, memoryPart{p, now})
	slices.SortFunc(m.parts, func(a, b memoryPart) int { return a.N - b.N })
	return old, m.broken
}

func (m *memory) FileParts(_ context.Context, ids []uuid.UUID) (out []adapter.FilePart, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.parts {
		if slices.Contains(ids, p.Folder) {
			out = append(out, p.FilePart)
		}
	}
	return out, m.broken
}

func (m *memory) UploadParts(ctx context.Context, id uuid.UUID, upload string) ([]adapter.FilePart, error) {
	all, err := m.FileParts(ctx, []uuid.UUID{id})
	return slices.DeleteFunc(all, func(p adapter.FilePart) bool { return p.Upload != upload }), err
}

func (m *memory) DropParts(_ context.Context, id uuid.UUID, upload string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.begun(id, upload) {
		return nil, adapter.ErrNotFound
	}
	return m.dropParts(id, upload), nil
}

func (m *memory) FileUse(_ context.Context, owner string) (u adapter.FileUse, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries {
		u.Files, u.Bytes = u.Files+1, u.Bytes+e.Size
		if e.Owner == owner {
			u.OwnerFiles, u.OwnerBytes = u.OwnerFiles+1, u.OwnerBytes+e.Size
		}
	}
	for _, p := range m.parts {
		if u.Bytes += p.Size; p.Owner == owner {
			if u.OwnerBytes += p.Size; p.N == 0 {
				u.OwnerFiles++
			}
		}
	}
	return u, nil
}

func (m *memory) HeldFiles(context.Context, adapter.Mnemonic, []adapter.Queue) (int64, int64, error) {
	return 0, 0, nil
}

func (m *memory) GrantFiles(context.Context, adapter.FileGrant) error { return nil }

func (m *memory) GrantedFiles(context.Context, string, time.Time) (s [32]byte, f []adapter.FileEntry, err error) {
	return s, nil, adapter.ErrNotFound
}

func (m *memory) ReleaseFiles(_ context.Context, _, idle, abandoned time.Time) (gone []adapter.FileEntry, more bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := 0; i < len(m.parts); i++ {
		p := m.parts[i]
		if !slices.ContainsFunc(m.parts, func(o memoryPart) bool {
			return o.Folder == p.Folder && o.Upload == p.Upload && !o.changed.Before(abandoned)
		}) {
			for _, blob := range m.dropParts(p.Folder, p.Upload) {
				gone = append(gone, adapter.FileEntry{File: adapter.File{ID: p.Folder}, Blob: blob})
			}
			i = -1
		}
	}
	for id, at := range m.changed {
		if e, ok := m.entries[id]; ok && at.Before(idle) {
			gone = append(gone, e)
			delete(m.entries, id)
			delete(m.changed, id)
		}
	}
	return gone, false, m.broken
}

// limits are small, so that tests can reach them.
func limits() adapter.FilesConfig {
	c := adapter.Config{Files: adapter.FilesConfig{File: 1000, Waiting: 2500, Total: 4000}}.WithDefaults().Files
	return c
}

func openStore(t testing.TB, index Index, c adapter.FilesConfig) *Store {
	t.Helper()
	if c.Dir == "" {
		c.Dir = filepath.Join(t.TempDir(), "files")
	}
	s, err := Open(Options{Config: c, Index: index, Keys: [][]byte{bytes.Repeat([]byte("k"), 32)}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newID(t testing.TB) uuid.UUID {
	t.Helper()
	id, err := uuid.NewUUID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// onDisk lists everything below the directory, paths relative to it.
func onDisk(t testing.TB, s *Store) (names []string) {
	t.Helper()
	err := filepath.WalkDir(s.dir, func(p string, d fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(s.dir, p); err == nil && !d.IsDir() {
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// find is Find for callers that mean the latest.
func find(t testing.TB, s *Store, ids ...uuid.UUID) (map[uuid.UUID]adapter.File, error) {
	t.Helper()
	digests := map[uuid.UUID][]byte{}
	for _, id := range ids {
		digests[id] = nil
	}
	return s.Find(t.Context(), digests)
}

// put brings a file; the owner's session has the owner's name.
func put(t testing.TB, s *Store, id uuid.UUID, owner, name string, content []byte, from int64) error {
	t.Helper()
	return putBy(t, s, id, sender{owner, owner}, name, content, from)
}

func putBy(t testing.TB, s *Store, id uuid.UUID, by sender, name string, content []byte, from int64) error {
	t.Helper()
	u, err := s.bring(t.Context(), id, by, name, from)
	if err != nil {
		return err
	}
	defer u.abort()
	for part := range slices.Chunk(content, 100) {
		if _, err := u.Write(part); err != nil {
			return err
		}
	}
	return u.finish(t.Context(), "")
}

// TestStore is the suite of a store, on the real index and on the one of tests.
func TestStore(t *testing.T) {
	for name, index := range map[string]func(t *testing.T) Index{
		"memory": func(*testing.T) Index { return newMemory() },
		"postgres": func(t *testing.T) Index {
			p, err := postgres.Open(t.Context(), postgres.Options{URL: embedded.Test(t, postgres.Migrate)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Close)
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("a file is kept whole", func(t *testing.T) { testKept(t, index(t)) })
			t.Run("what broke off is gone on with", func(t *testing.T) { testGoneOn(t, index(t)) })
			t.Run("limits", func(t *testing.T) { testLimits(t, index(t)) })
			t.Run("owners", func(t *testing.T) { testOwners(t, index(t)) })
			t.Run("sessions", func(t *testing.T) { testSessions(t, index(t)) })
			t.Run("the sweep", func(t *testing.T) { testSweep(t, index(t)) })
			t.Run("lost by the disk", func(t *testing.T) { testLost(t, index(t)) })
		})
	}
}

func testKept(t *testing.T, index Index) {
	s := openStore(t, index, limits())
	id, content := newID(t), bytes.Repeat([]byte("план "), 100)
	if err := put(t, s, id, "a", "план участка.zip", content, 0); err != nil {
		t.Fatal(err)
	}
	found, err := find(t, s, id, newID(t))
	if err != nil || len(found) != 1 {
		t.Fatalf("found %+v, %v", found, err)
	}
	h := gost.NewStreebog256()
	h.Write(content)
	f := found[id]
	if f.Name != "план участка.zip" || f.Size != int64(len(content)) || !bytes.Equal(f.GOST[:], h.Sum(nil)) || f.SHA256 != sha256.Sum256(content) {
		t.Errorf("found %+v", f)
	}
	if names := onDisk(t, s); len(names) != 1 || !regexp.MustCompile(`^`+id.String()+`/[a-z2-7]{26}$`).MatchString(names[0]) {
		t.Errorf("on the disk: %q", names)
	}
	// Brought again, it is the new one, and the old bytes have gone.
	if err := put(t, s, id, "a", "other", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	if found, err := find(t, s, id); err != nil || found[id].Name != "other" || found[id].Size != 1 {
		t.Errorf("replaced: %+v, %v", found, err)
	}
	if names := onDisk(t, s); len(names) != 1 {
		t.Errorf("on the disk: %q", names)
	}
	// An empty file is a file.
	empty := newID(t)
	if err := put(t, s, empty, "a", "empty", nil, 0); err != nil {
		t.Fatal(err)
	}
	if found, err := find(t, s, empty); err != nil || len(found) != 1 {
		t.Errorf("an empty file: %+v, %v", found, err)
	}
}

func testGoneOn(t *testing.T, index Index) {
	s := openStore(t, index, limits())
	id := newID(t)
	u, err := s.bring(t.Context(), id, sender{"a", "a"}, "f", 0)
	if err != nil {
		t.Fatal(err)
	}
	u.Write([]byte("first and"))
	if err := u.keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found, err := find(t, s, id); err != nil || len(found) != 0 {
		t.Errorf("what broke off is found: %+v, %v", found, err)
	}
	if err := put(t, s, id, "a", "f", []byte("!"), 10); !errors.Is(err, errOffset) {
		t.Errorf("behind the end: %v", err)
	}
	if err := put(t, s, id, "a", "f", []byte(" then"), 5); err != nil {
		t.Fatal(err)
	}
	found, err := find(t, s, id)
	if err != nil || found[id].SHA256 != sha256.Sum256([]byte("first then")) {
		t.Errorf("gone on with: %+v, %v", found, err)
	}
	// What broke off before the first byte leaves nothing.
	if u, err = s.bring(t.Context(), newID(t), sender{"a", "a"}, "f", 0); err != nil {
		t.Fatal(err)
	}
	if err := u.keep(t.Context()); err != nil {
		t.Error(err)
	}
	if names := onDisk(t, s); len(names) != 1 {
		t.Errorf("on the disk: %q", names)
	}
}

func testLimits(t *testing.T, index Index) {
	s := openStore(t, index, limits())
	kb := make([]byte, 1000)
	limit := func(err error) string {
		var l *LimitError
		if errors.As(err, &l) {
			return l.Limit
		}
		return ""
	}
	first := newID(t)
	for i, step := range []struct {
		id    uuid.UUID
		owner string
		size  int
		want  string
	}{
		{newID(t), "a", 1001, "file"}, {first, "a", 1000, ""}, {newID(t), "a", 1000, ""}, {newID(t), "a", 600, "waiting"}, {newID(t), "a", 500, ""},
		{first, "a", 1000, ""}, // replaced: its old bytes make room
		{newID(t), "b", 1000, ""}, {newID(t), "b", 600, "total"}, {newID(t), "b", 500, ""}, {newID(t), "c", 1, "total"},
	} {
		err := put(t, s, step.id, step.owner, "f", append(kb, 0)[:step.size], 0)
		if got := limit(err); got != step.want || step.want == "" && err != nil {
			t.Errorf("step %d: limit %q (%v), want %q", i, got, err, step.want)
		}
	}
	if names := onDisk(t, s); len(names) != 5 {
		t.Errorf("%d files on the disk, want 5", len(names))
	}
	if len(s.flying) != 0 || s.all != 0 {
		t.Errorf("uploads that have ended are counted: %v, %d", s.flying, s.all)
	}
}

// Two uploads at once share what is left.
func TestUploadsAtOnce(t *testing.T) {
	s := openStore(t, newMemory(), limits())
	var errs []error
	for range 3 {
		u, err := s.bring(t.Context(), newID(t), sender{"a", "a"}, "f", 0)
		if err == nil {
			_, err = u.Write(make([]byte, 900))
			defer u.abort()
		}
		errs = append(errs, err)
	}
	var l *LimitError
	if errs[0] != nil || errs[1] != nil || !errors.As(errs[2], &l) || l.Limit != "waiting" {
		t.Errorf("three uploads of 900 bytes where 2500 may wait: %v", errs)
	}
}

func testOwners(t *testing.T, index Index) {
	s := openStore(t, index, limits())
	id := newID(t)
	if got, err := s.makeFolder(t.Context(), strings.ToUpper(id.String()), sender{"a", "a"}); err != nil || got != id {
		t.Fatal(got, err)
	}
	if _, err := s.makeFolder(t.Context(), id.String(), sender{"a", "a"}); err != nil {
		t.Errorf("made twice: %v", err)
	}
	// Another owner has the folder too, and in it its own file alone.
	if _, err := s.makeFolder(t.Context(), id.String(), sender{"b", "b"}); err != nil {
		t.Errorf("another's folder: %v", err)
	}
	if err := put(t, s, id, "b", "f", []byte("xx"), 0); err != nil {
		t.Errorf("into another's folder: %v", err)
	}
	if err := put(t, s, id, "a", "f", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	if e, err := s.brought(t.Context(), id, sender{"a", "later"}); err != nil || e.Size != 1 {
		t.Errorf("the first sees %+v, %v", e, err)
	}
	if err := s.drop(t.Context(), id, "b"); err != nil {
		t.Error(err)
	}
	if e, err := s.brought(t.Context(), id, sender{"a", "later"}); err != nil || e.Size != 1 || len(onDisk(t, s)) != 1 {
		t.Errorf("after the other has deleted its own: %+v, %v, %q", e, err, onDisk(t, s))
	}
	if err := s.drop(t.Context(), id, "b"); !errors.Is(err, adapter.ErrFileTaken) {
		t.Errorf("another's file was deleted: %v", err)
	}
	if err := s.drop(t.Context(), id, "a"); err != nil || len(onDisk(t, s)) != 0 {
		t.Errorf("deleting: %v, %q", err, onDisk(t, s))
	}
}

// Two behind one address are one owner and two sessions. Whatever one does, what the
// other has brought whole is found by the digest that its message says.
func testSessions(t *testing.T, index Index) {
	config := limits()
	config.Waiting = 100_000
	s := openStore(t, index, config)
	mine, other := sender{"nat", "mine"}, sender{"nat", "other"}
	id := newID(t)
	digest := func(content string) []byte { h := gost.NewStreebog256(); h.Write([]byte(content)); return h.Sum(nil) }
	is := func(want string) {
		t.Helper()
		found, err := s.Find(t.Context(), map[uuid.UUID][]byte{id: digest(want)})
		if err != nil || found[id].SHA256 != sha256.Sum256([]byte(want)) || found[id].Name != "f" {
			t.Errorf("found %+v, %v, want %q", found[id], err, want)
			return
		}
		r, err := s.Read(t.Context(), found[id])
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if got, err := io.ReadAll(r); err != nil || string(got) != want {
			t.Errorf("read %q, %v, want %q", got, err, want)
		}
	}
	count := func(want int) {
		t.Helper()
		if names := onDisk(t, s); len(names) != want {
			t.Errorf("%d on the disk, want %d: %q", len(names), want, names)
		}
	}
	// Broken off, and gone on with by a new session.
	u, err := s.bring(t.Context(), id, sender{"nat", "first"}, "f", 0)
	if err != nil {
		t.Fatal(err)
	}
	u.Write([]byte("the beg"))
	if err := u.keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.drop(t.Context(), id, "other"); !errors.Is(err, adapter.ErrFileTaken) {
		t.Errorf("what broke off was deleted by another session: %v", err)
	}
	if err := putBy(t, s, id, mine, "f", []byte("inning"), 7); err != nil {
		t.Fatal(err)
	}
	is("the beginning")
	count(1)
	// The session itself may change its mind.
	if err := putBy(t, s, id, mine, "f", []byte("mine"), 0); err != nil {
		t.Fatal(err)
	}
	is("mine")
	count(1)
	for _, way := range []struct {
		what  string
		do    func() error
		taken bool
		files int
	}{
		{"replaced", func() error { return putBy(t, s, id, other, "f", []byte("theirs"), 0) }, false, 2},
		{"replaced again", func() error { return putBy(t, s, id, other, "f", nil, 0) }, false, 2},
		{"given another name", func() error { return putBy(t, s, id, other, "g", []byte("mine"), 0) }, false, 2},
		{"deleted", func() error { return s.drop(t.Context(), id, "other") }, false, 1},
		{"deleted again", func() error { return s.drop(t.Context(), id, "other") }, true, 1},
		{"deleted by nobody", func() error { return s.drop(t.Context(), id, "") }, true, 1},
		{"added to", func() error { return putBy(t, s, id, other, "f", []byte("!"), 4) }, false, 2},
		{"cut off", func() error {
			u, err := s.bring(t.Context(), id, sender{"nat", "third"}, "f", 0)
			if err == nil {
				u.Write([]byte("mi"))
				err = u.keep(t.Context())
			}
			return err
		}, false, 3},
	} {
		if err := way.do(); errors.Is(err, adapter.ErrFileTaken) != way.taken || err != nil && !way.taken {
			t.Errorf("%s by another session: %v", way.what, err)
		}
		is("mine")
		count(way.files)
	}
	// The same again is there already. From then on nobody takes it away: two have
	// been told that it is kept.
	if err := putBy(t, s, id, sender{"nat", "again"}, "f", []byte("mine"), 0); err != nil {
		t.Errorf("the same file again: %v", err)
	}
	count(3)
	if err := putBy(t, s, id, mine, "f", []byte("another"), 0); err != nil {
		t.Errorf("another after that: %v", err)
	}
	is("mine")
	is("another")
	if err := s.drop(t.Context(), id, "mine"); err != nil {
		t.Error(err)
	}
	is("mine")
}

func testSweep(t *testing.T, index Index) {
	s := openStore(t, index, limits())
	now := time.Now()
	s.now = func() time.Time { return now }
	young, old := newID(t), newID(t)
	if err := put(t, s, old, "a", "old", []byte("old"), 0); err != nil {
		t.Fatal(err)
	}
	now = now.Add(23 * time.Hour)
	if err := put(t, s, young, "a", "young", []byte("young"), 0); err != nil {
		t.Fatal(err)
	}
	// What crashes leave: a part, bytes that were replaced, bytes of no entry, an
	// empty folder. And what is not ours.
	stray := newID(t)
	for _, f := range []string{young.String() + "/part-X", young.String() + "/replaced", stray.String() + "/bytes", "README", "not-a-uuid/file"} {
		f = filepath.Join(s.dir, f)
		os.MkdirAll(filepath.Dir(f), 0o700)
		if err := os.WriteFile(f, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	os.Mkdir(filepath.Join(s.dir, newID(t).String()), 0o700)
	sweep := func() {
		t.Helper()
		s.scanned = time.Time{}
		if _, err := s.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	if n := len(onDisk(t, s)); n != 7 {
		t.Errorf("nothing is old yet, %d files are left of 7: %q", n, onDisk(t, s))
	}
	for _, f := range onDisk(t, s) {
		day := time.Now().Add(-24 * time.Hour)
		os.Chtimes(filepath.Join(s.dir, f), day, day)
	}
	now = now.Add(2 * time.Hour)
	sweep()
	entries, err := index.FindFiles(t.Context(), []uuid.UUID{young, old})
	if err != nil || len(entries) != 1 || entries[0].ID != young {
		t.Fatalf("in the index: %+v, %v", entries, err)
	}
	want := []string{young.String() + "/" + entries[0].Blob, "README", "not-a-uuid/file"}
	slices.Sort(want)
	got := onDisk(t, s)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("on the disk %q, want %q", got, want)
	}
	if folders, _ := os.ReadDir(s.dir); len(folders) != 3 {
		t.Errorf("empty folders are left: %v", folders)
	}
}

func testLost(t *testing.T, index Index) {
	s := openStore(t, index, limits())
	id := newID(t)
	if err := put(t, s, id, "a", "f", []byte("content"), 0); err != nil {
		t.Fatal(err)
	}
	for _, lose := range []func(string) error{func(f string) error { return os.Truncate(f, 3) }, os.Remove} {
		if err := lose(filepath.Join(s.dir, onDisk(t, s)[0])); err != nil {
			t.Fatal(err)
		}
		if found, err := find(t, s, id); err != nil || len(found) != 0 {
			t.Errorf("a file that the disk has lost is found: %+v, %v", found, err)
		}
	}
}

// The index does not answer: the bytes stay, because the entry may be there.
func TestIndexOutOfOrder(t *testing.T) {
	index := newMemory()
	s := openStore(t, index, limits())
	u, err := s.bring(t.Context(), newID(t), sender{"a", "a"}, "f", 0)
	if err != nil {
		t.Fatal(err)
	}
	u.Write([]byte("x"))
	index.broken = errors.New("down")
	if err := u.finish(t.Context(), ""); err == nil {
		t.Error("an upload that was not noted is said to be kept")
	}
	if n := len(onDisk(t, s)); n != 1 {
		t.Errorf("%d files on the disk", n)
	}
}

func TestNames(t *testing.T) {
	for _, good := range []string{"a", "план участка.zip", "..a", "a..", "a b", "выписка № 1 (копия).pdf", strings.Repeat("я", 127)} {
		if err := checkName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "a/b", "/a", `a\b`, "a\x00b", "a\nb", "a\r\nDELE x", "\xff", "\u202egpj.exe", "\ufeffa", strings.Repeat("я", 128), "a\ufffd", "\u0085"} {
		if err := checkName(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	s := openStore(t, newMemory(), limits())
	for _, bad := range []string{"", "..", "a", "6f1e2c1a-2f0b-4c3f-9a51-2f8f1d6f7a10", "{6f1e2c1a-2f0b-1c3f-9a51-2f8f1d6f7a10}", "urn:uuid:6f1e2c1a-2f0b-1c3f-9a51-2f8f1d6f7a10", "6f1e2c1a2f0b1c3f9a512f8f1d6f7a10", "6f1e2c1a-2f0b-1c3f-1a51-2f8f1d6f7a10"} {
		if _, err := s.folder(bad); err == nil {
			t.Errorf("folder %q was taken", bad)
		}
	}
	if _, err := s.folder("6F1E2C1A-2F0B-1C3F-9A51-2F8F1D6F7A10"); err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	for _, dir := range []string{"", file, filepath.Join(file, "below")} {
		c := limits()
		c.Dir = dir
		if _, err := Open(Options{Config: c, Index: newMemory(), Keys: [][]byte{bytes.Repeat([]byte("k"), 32)}}); err == nil {
			t.Errorf("%q was opened", dir)
		}
	}
}
