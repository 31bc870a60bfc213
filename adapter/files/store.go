package files

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"mezhved/adapter"
	"mezhved/signing/gost"
)

// Index knows which files there are and which message holds them. package
// postgres implements it. Every method is safe for concurrent use; nil means that
// the effect is committed, and each may be done twice.
type Index interface {
	FindFiles(ctx context.Context, ids []uuid.UUID) ([]adapter.FileEntry, error)
	MakeFile(ctx context.Context, id uuid.UUID, owner, session string, now time.Time) error
	PutFile(ctx context.Context, f adapter.FileEntry, upload string, now time.Time) (gone []string, err error)
	DropFile(ctx context.Context, id uuid.UUID, session string) (gone []string, err error)
	PutPart(ctx context.Context, p adapter.FilePart, now time.Time) (old string, err error)
	FileParts(ctx context.Context, ids []uuid.UUID) ([]adapter.FilePart, error)
	UploadParts(ctx context.Context, id uuid.UUID, upload string) ([]adapter.FilePart, error)
	DropParts(ctx context.Context, id uuid.UUID, upload string) (gone []string, err error)
	FileUse(ctx context.Context, owner string) (adapter.FileUse, error)
	HeldFiles(ctx context.Context, sender adapter.Mnemonic, to []adapter.Queue) (sent, waiting int64, err error)
	GrantFiles(ctx context.Context, g adapter.FileGrant) error
	GrantedFiles(ctx context.Context, user string, now time.Time) (secret [32]byte, files []adapter.FileEntry, err error)
	ReleaseFiles(ctx context.Context, now, idle, abandoned time.Time) (gone []adapter.FileEntry, more bool, err error)
}

// Options of a store. Config.Dir, Index and Keys are needed.
type Options struct {
	Config  adapter.FilesConfig // with its defaults
	AnyUUID bool                // take folders that are not named by a UUID of version 1
	Sweep   time.Duration       // how often the sweep looks round; default 2 s
	Index   Index
	Keys    [][]byte // of the passwords of accounts, 32 bytes or more each, the same on all nodes; the first makes
	Log     *slog.Logger
	Now     func() time.Time
	Metrics prometheus.Registerer
	Memory  *adapter.Memory // what calls of the doors may hold; default: as of a gateway's default settings
}

// Store is the file store of one node. All nodes' stores share a directory.
type Store struct {
	dir     string
	config  adapter.FilesConfig
	anyUUID bool
	pause   time.Duration
	index   Index
	keys    [][]byte
	log     *slog.Logger
	now     func() time.Time
	metrics *metrics
	memory  *adapter.Memory

	mu      sync.Mutex
	flying  map[string]int64 // bytes that are being brought, by owner
	all     int64            // the same, together
	scanned time.Time        // when the disk was last compared with the index; the sweep's alone, like added
	added   time.Time        // when the files were last added up
}

var _ adapter.FileStore = (*Store)(nil)

// Open makes the directory ready. It is an error when it cannot be written to.
func Open(o Options) (*Store, error) {
	s := &Store{dir: o.Config.Dir, config: o.Config, anyUUID: o.AnyUUID, pause: o.Sweep, index: o.Index, keys: o.Keys, log: o.Log, now: o.Now, flying: map[string]int64{}}
	if s.dir == "" || s.index == nil || len(s.keys) == 0 || len(s.keys[0]) < 32 {
		return nil, errors.New("file store: a directory, an index and a key are needed")
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.pause <= 0 {
		s.pause = 2 * time.Second
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("file store: %w", err)
	}
	if err := Writable(s.dir); err != nil {
		return nil, err
	}
	s.metrics = newMetrics(o.Metrics)
	if s.memory = o.Memory; s.memory == nil {
		s.memory = adapter.NewMemory(adapter.LimitsConfig{})
	}
	return s, nil
}

// Writable says why files cannot be kept in a directory, or nil.
func Writable(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err == nil {
		_, err = f.WriteString("x")
		err = errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return fmt.Errorf("file store: %s cannot be written to: %w", dir, err)
	}
	return nil
}

// Free tells how many bytes the disk of a directory has left for us.
func Free(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("file store: %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// LimitError says which limit a file would exceed.
type LimitError struct {
	Limit string // file, waiting, total
	Bytes int64
}

func (e *LimitError) Error() string {
	switch e.Limit {
	case "file":
		return fmt.Sprintf("the file is larger than %d bytes", e.Bytes)
	case "waiting":
		return fmt.Sprintf("more than %d bytes, or %d files, that no message refers to have come from this address: send their messages, or delete them", e.Bytes, waitingFiles)
	}
	return "the file store is full"
}

// NameError says why a name is not taken.
type NameError struct{ Why string }

func (e *NameError) Error() string { return e.Why }

// waitingFiles is how many files one owner may have that no message holds.
const waitingFiles = 10_000

// syncEvery is how many bytes of an upload the disk may be behind.
const syncEvery = 64 << 20

// checkName refuses what is no name of a file, and what readers could not be
// told or could be hurt by: paths, control characters, marks that turn text round.
func checkName(name string) error {
	switch {
	case name == "" || len(name) > 255:
		return &NameError{"a name has 1 to 255 bytes"}
	case !utf8.ValidString(name):
		return &NameError{"names are in UTF-8"}
	case name == "." || name == "..":
		return &NameError{"this is no name of a file"}
	}
	for _, r := range name {
		if r == '/' || r == '\\' || r == utf8.RuneError || !unicode.IsGraphic(r) {
			return &NameError{fmt.Sprintf("a name may not contain %q", r)}
		}
	}
	return nil
}

// folder reads the name of a folder, which is a UUID in either case.
func (s *Store) folder(name string) (uuid.UUID, error) {
	id, err := uuid.Parse(name)
	switch {
	case len(name) != 36 || err != nil || id.Variant() != uuid.RFC4122:
		return id, &NameError{"a folder is named by a UUID"}
	case id.Version() != 1 && !s.anyUUID:
		return id, &NameError{"a folder is named by a UUID of version 1"}
	}
	return id, nil
}

func (s *Store) path(id uuid.UUID, blob string) string {
	return filepath.Join(s.dir, id.String(), blob)
}

// Find is adapter.FileStore.Find.
func (s *Store) Find(ctx context.Context, digests map[uuid.UUID][]byte) (map[uuid.UUID]adapter.File, error) {
	entries, err := s.index.FindFiles(ctx, slices.Collect(maps.Keys(digests)))
	if err != nil {
		return nil, err
	}
	// Of those with the digest the one that came first: whoever brings the same bytes
	// later gives them no other name.
	first := slices.Clone(entries)
	slices.SortStableFunc(first, func(a, b adapter.FileEntry) int {
		switch {
		case a.Entry == a.ID:
			return -1
		case b.Entry == b.ID:
			return 1
		}
		return bytes.Compare(a.Entry[:], b.Entry[:]) // they begin with their time
	})
	found := make(map[uuid.UUID]adapter.File, len(digests))
	for pass, list := range [][]adapter.FileEntry{first, entries} {
		for _, e := range list {
			if _, ok := found[e.ID]; ok || !e.Whole || pass == 0 && !bytes.Equal(e.GOST[:], digests[e.ID]) {
				continue
			}
			info, err := os.Stat(s.path(e.ID, e.Blob))
			switch {
			case errors.Is(err, fs.ErrNotExist), err == nil && info.Size() != e.Size:
				s.log.Error("the index names a file that the disk does not have: it was lost there", "file", e.ID.String(), "size", e.Size)
			case err != nil:
				return nil, fmt.Errorf("file %s: %w", e.ID, err)
			default:
				found[e.ID] = e.File
			}
		}
	}
	return found, nil
}

// Read is adapter.FileStore.Read.
func (s *Store) Read(ctx context.Context, f adapter.File) (io.ReadCloser, error) {
	entries, err := s.index.FindFiles(ctx, []uuid.UUID{f.ID})
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Entry == f.Entry && e.Whole {
			return s.open(e)
		}
	}
	return nil, fmt.Errorf("file %s: %w", f.ID, fs.ErrNotExist)
}

// brought gives what a sender sees in a folder: what it has brought in this session,
// else the latest that was brought in another one of its owner's.
func (s *Store) brought(ctx context.Context, folder uuid.UUID, by sender) (e adapter.FileEntry, err error) {
	entries, err := s.index.FindFiles(ctx, []uuid.UUID{folder})
	if err == nil {
		e, err = seen(entries, by)
	}
	return e, err
}

func seen(entries []adapter.FileEntry, by sender) (e adapter.FileEntry, err error) {
	i := slices.IndexFunc(entries, func(e adapter.FileEntry) bool { return e.Session == by.session && e.Session != "" })
	if i < 0 {
		i = slices.IndexFunc(entries, func(e adapter.FileEntry) bool { return e.Owner == by.owner })
	}
	if i < 0 {
		return e, fs.ErrNotExist
	}
	return entries[i], nil
}

// Held is adapter.FileStore.Held.
func (s *Store) Held(ctx context.Context, sender adapter.Mnemonic, to []adapter.Queue) (sent, waiting int64, err error) {
	return s.index.HeldFiles(ctx, sender, to)
}

// Grant is adapter.FileStore.Grant. Only a digest of the password is kept.
func (s *Store) Grant(ctx context.Context, message uuid.UUID, to adapter.Queue) (user, password string, err error) {
	user = "f" + strings.ToLower(rand.Text())
	password = derived(s.keys[0], user)
	err = s.index.GrantFiles(ctx, adapter.FileGrant{
		User: user, Secret: sha256.Sum256([]byte(password)), Message: message, Queue: to, Until: s.now().UTC().Add(s.config.Access.D()),
	})
	return user, password, err
}

// sender is who brings files: owner is whom they are counted to, session who may
// change them afterwards.
type sender struct{ owner, session string }

// upload is bytes on their way in. What was written is nothing to anybody until
// finish, keep or leave.
type upload struct {
	s       *Store
	id      uuid.UUID
	by      sender
	name    string
	file    *os.File
	size    int64
	room    int64 // bytes that may still come, as far as others' limits go
	limit   string
	gost    hash.Hash
	sha     hash.Hash
	dirty   int64 // bytes since the last sync
	beside  int64 // bytes of the same file that lie elsewhere and stay: other parts
	counted int64 // of flying
	ended   bool
}

// bring begins to bring a file. from is where the sender goes on: so many bytes
// of what it has brought before are taken over.
func (s *Store) bring(ctx context.Context, id uuid.UUID, by sender, name string, from int64) (u *upload, err error) {
	defer func() { s.metrics.refuse(err) }()
	entries, err := s.index.FindFiles(ctx, []uuid.UUID{id})
	if err != nil {
		return nil, err
	}
	var going int64
	replaced := adapter.Replaced(entries, by.owner, by.session)
	if replaced >= 0 {
		going = entries[replaced].Size
	}
	if u, err = s.begin(ctx, id, by, name, going, replaced < 0); err != nil {
		return nil, err
	}
	if from > 0 {
		before, _ := seen(entries, by)
		if err := u.takeOver(before, from); err != nil {
			u.abort()
			return nil, err
		}
	}
	return u, nil
}

// begin opens an upload. going is how many bytes of the same owner will go when it
// has ended; another is whether there will be one file more.
func (s *Store) begin(ctx context.Context, id uuid.UUID, by sender, name string, going int64, another bool) (u *upload, err error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	use, err := s.index.FileUse(ctx, by.owner)
	if err != nil {
		return nil, err
	}
	if another && use.OwnerFiles >= waitingFiles {
		return nil, &LimitError{"waiting", int64(s.config.Waiting)}
	}
	u = &upload{s: s, id: id, by: by, name: name, gost: gost.NewStreebog256(), sha: sha256.New()}
	s.mu.Lock()
	waiting, total := int64(s.config.Waiting)-use.OwnerBytes-s.flying[by.owner], int64(s.config.Total)-use.Bytes-s.all
	s.mu.Unlock()
	u.room, u.limit = waiting, "waiting"
	if total < waiting {
		u.room, u.limit = total, "total"
	}
	u.room += going
	u.file, err = s.part(id)
	return u, err
}

// part opens a new file in the folder, which the sweep may remove at any moment
// as long as it is empty.
func (s *Store) part(id uuid.UUID) (*os.File, error) {
	dir := s.path(id, "")
	for try := 0; ; try++ {
		made := os.Mkdir(dir, 0o700)
		if made == nil {
			if err := syncDir(s.dir); err != nil {
				return nil, err
			}
		}
		f, err := os.OpenFile(s.path(id, "part-"+rand.Text()), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err == nil || try == 3 || !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
}

// errOffset says that there is not so much of a file as its sender wants to go
// on behind.
var errOffset = errors.New("there is less of this file than that")

// takeOver copies the first bytes of what was brought before.
func (u *upload) takeOver(before adapter.FileEntry, from int64) error {
	if before.Blob == "" || before.Size < from {
		return errOffset
	}
	old, err := os.Open(u.s.path(u.id, before.Blob))
	if err != nil {
		return err
	}
	defer old.Close()
	n, err := io.CopyN(u, old, from)
	if err != nil {
		return fmt.Errorf("going on with file %s behind byte %d of %d: %w", u.id, n, from, err)
	}
	return nil
}

// Write takes the next bytes.
func (u *upload) Write(p []byte) (int, error) {
	n := int64(len(p))
	switch {
	case u.beside+u.size+n > int64(u.s.config.File):
		err := &LimitError{"file", int64(u.s.config.File)}
		u.s.metrics.refuse(err)
		return 0, err
	case u.size+n > u.room:
		err := &LimitError{u.limit, int64(u.s.config.Waiting)}
		u.s.metrics.refuse(err)
		return 0, err
	}
	u.count(n)
	u.gost.Write(p)
	u.sha.Write(p)
	written, err := u.file.Write(p)
	u.size += int64(written)
	// Synced on the way, so that the end of a large file is not a long silence in
	// which its sender gives up.
	if u.dirty += int64(written); err == nil && u.dirty >= syncEvery {
		u.dirty, err = 0, u.file.Sync()
	}
	return written, err
}

// count tells the other uploads of this node of bytes that are not in the index yet.
func (u *upload) count(n int64) {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	u.counted += n
	u.s.all += n
	if u.s.flying[u.by.owner] += n; u.s.flying[u.by.owner] == 0 {
		delete(u.s.flying, u.by.owner)
	}
}

// finish puts a file that has come whole into the store: it is durable when nil
// is returned. parts is the upload that it was put together of, if it was.
func (u *upload) finish(ctx context.Context, parts string) error { return u.settle(ctx, true, parts) }

// keep puts what has come of a file that broke off into the store, for its
// sender to go on from there.
func (u *upload) keep(ctx context.Context) error {
	if u.size == 0 {
		u.abort()
		return nil
	}
	return u.settle(ctx, false, "")
}

func (u *upload) settle(ctx context.Context, whole bool, parts string) error {
	entry := adapter.FileEntry{File: adapter.File{ID: u.id, Name: u.name, Size: u.size}, Owner: u.by.owner, Session: u.by.session, Whole: whole}
	if whole {
		copy(entry.GOST[:], u.gost.Sum(nil))
		copy(entry.SHA256[:], u.sha.Sum(nil))
	}
	return u.land(func(blob string) (gone []string, err error) {
		entry.Blob = blob
		return u.s.index.PutFile(ctx, entry, parts, u.s.now().UTC())
	})
}

// leave puts what has come into the store as a part of an upload.
func (u *upload) leave(ctx context.Context, upload string, n int) error {
	p := adapter.FilePart{Folder: u.id, Upload: upload, Owner: u.by.owner, N: n, Size: u.size}
	copy(p.SHA256[:], u.sha.Sum(nil))
	return u.land(func(blob string) ([]string, error) {
		p.Blob = blob
		old, err := u.s.index.PutPart(ctx, p, u.s.now().UTC())
		return []string{old}, err
	})
}

// land gives the bytes their name on the disk, has them put into the index, and
// removes those that the index does not name any more. They are counted as on
// their way until they are counted there.
func (u *upload) land(put func(blob string) (gone []string, err error)) error {
	if u.ended {
		return errors.New("the upload has ended")
	}
	u.ended = true
	defer func() { u.count(-u.counted) }()
	name := strings.ToLower(rand.Text())
	part, blob := u.file.Name(), u.s.path(u.id, name)
	err := u.file.Sync()
	if e := u.file.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(part, blob)
	}
	if err == nil {
		err = syncDir(u.s.path(u.id, ""))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keeping file %s: %w", u.id, err), os.Remove(part))
	}
	gone, err := put(name)
	switch {
	case errors.Is(err, adapter.ErrFileTaken), errors.Is(err, adapter.ErrNotFound): // a plain no
		u.s.metrics.refuse(err)
		u.s.remove(u.id, name)
		return err
	case err != nil:
		return err // committed or not: the bytes stay until the sweep knows that no entry names them
	}
	u.s.removeAll(u.id, gone)
	u.s.metrics.brought.Add(float64(u.size))
	return nil
}

// appendPart takes over a part, which must be the one that its sender has been
// told of.
func (u *upload) appendPart(p adapter.FilePart) error {
	f, err := os.Open(u.s.path(u.id, p.Blob))
	if errors.Is(err, fs.ErrNotExist) {
		return errPart
	}
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(u, sum), f); err != nil {
		return err
	}
	if !bytes.Equal(sum.Sum(nil), p.SHA256[:]) {
		return errPart
	}
	return nil
}

// abort forgets what has come.
func (u *upload) abort() {
	if u.ended {
		return
	}
	u.ended = true
	u.count(-u.counted)
	u.file.Close()
	os.Remove(u.file.Name())
	os.Remove(u.s.path(u.id, "")) // when nothing else is in it
}

// remove removes bytes that no entry names, and the folder when it is empty.
func (s *Store) remove(id uuid.UUID, blob string) {
	if blob != "" {
		if err := os.Remove(s.path(id, blob)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Error("bytes of a file that is no more could not be removed; the sweep tries again", "file", id.String(), "error", err)
			return
		}
	}
	os.Remove(s.path(id, "")) // fails while something is in it
}

func (s *Store) removeAll(id uuid.UUID, blobs []string) {
	for _, blob := range blobs {
		s.remove(id, blob)
	}
}

// open gives the bytes of a file.
func (s *Store) open(e adapter.FileEntry) (*os.File, error) {
	if e.Blob == "" {
		return nil, fs.ErrNotExist
	}
	return os.Open(s.path(e.ID, e.Blob))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
