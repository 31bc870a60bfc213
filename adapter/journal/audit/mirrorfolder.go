package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Names in a mirror's folder beside those of https://c2sp.org/tlog-tiles.
const (
	mirrorFile     = "mirror.json" // the last visit: what saves work, see mirrorState
	checkpointFile = "checkpoint"  // what the folder is a mirror of now
	checkpointsDir = "checkpoints" // the checkpoint of each visit, by size
	stampsDir      = "timestamps"  // checkpoints with time stamps, by size: see journal.Stamped
	forksDir       = "forks"       // proofs of misbehaviour, each a folder with the two checkpoints
	lockFile       = ".lock"
	unfinishedDir  = ".unfinished" // files being written; what a killed run left there goes
)

// BusyError says that somebody else is at work in a mirror's folder.
type BusyError struct{ Dir, Holder string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("the mirror in %s is in use by %s: nothing was looked at or touched; wait until it has ended, and call again", e.Dir, e.Holder)
}

// mirrorFolder is a mirror's folder while one run has it for itself. Each file
// appears whole or not at all.
type mirrorFolder struct {
	dir    string
	lock   *os.File
	dirs   map[string]bool // with names that are not synced yet
	breaks func(operation string) error
}

// openMirrorFolder makes the folder if need be and locks it. A run that is killed
// holds no lock any more.
func openMirrorFolder(dir string, now time.Time, breaks func(string) error) (*mirrorFolder, error) {
	if breaks == nil {
		breaks = func(string) error { return nil }
	}
	f := &mirrorFolder{dir: dir, dirs: map[string]bool{}, breaks: breaks}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	if f.lock, err = lockMirror(dir, os.O_CREATE|os.O_RDWR, true); err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	holder := fmt.Sprintf("%d a mirror run, process %d on %s since %s\n", os.Getpid(), os.Getpid(), host, now.UTC().Format(time.RFC3339))
	err = f.lock.Truncate(0)
	if err == nil {
		_, err = f.lock.WriteAt([]byte(holder), 0)
	}
	if err == nil {
		err = os.RemoveAll(f.path(unfinishedDir))
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *mirrorFolder) close() {
	f.lock.Truncate(0)
	f.lock.Close()
}

func (f *mirrorFolder) path(name string) string {
	return filepath.Join(f.dir, filepath.FromSlash(name))
}

// LockMirrorForReading keeps mirror runs out of a folder that is being read, until
// unlock: a run takes away unfinished tiles that it has replaced. A folder that is
// no mirror has nothing to lock.
func LockMirrorForReading(dir string) (unlock func(), err error) {
	lock, err := lockMirror(dir, os.O_RDONLY, false)
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	return func() { lock.Close() }, nil
}

func lockMirror(dir string, flag int, alone bool) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), flag, 0o644)
	if err != nil {
		return nil, err
	}
	busy, err := flock(lock, alone)
	if err == nil && !busy {
		return lock, nil
	}
	defer lock.Close()
	if err != nil {
		return nil, fmt.Errorf("lock the mirror's folder: %s: %w", lock.Name(), err)
	}
	return nil, &BusyError{dir, lockHolder(lock)}
}

// lockHolder reads who has the lock. Readers do not write their names.
func lockHolder(lock *os.File) string {
	b, _ := io.ReadAll(io.LimitReader(io.NewSectionReader(lock, 0, 1<<10), 1<<10))
	number, holder, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	if pid, err := strconv.Atoi(number); err == nil && pid > 0 && alive(pid) {
		return holder
	}
	return "somebody who verifies it"
}

// put writes a file. It is on the disk under its name when settle has returned.
func (f *mirrorFolder) put(name string, content []byte) error {
	path, unfinished := f.path(name), f.path(unfinishedDir+"/file")
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(unfinished)} {
		if err := f.mkdir(dir); err != nil {
			return err
		}
	}
	if err := f.breaks("create " + name); err != nil {
		return err
	}
	out, err := os.Create(unfinished)
	if err != nil {
		return err
	}
	if err := f.breaks("write " + name); err != nil {
		out.Close()
		return err
	}
	_, err = out.Write(content)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	if err := f.breaks("rename " + name); err != nil {
		return err
	}
	f.dirs[filepath.Dir(path)] = true
	return os.Rename(unfinished, path)
}

// mkdir makes a folder and those above it.
func (f *mirrorFolder) mkdir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	for above := dir; above != f.dir && above != "." && above != string(filepath.Separator); {
		above = filepath.Dir(above)
		f.dirs[above] = true
	}
	if err := f.breaks("mkdir " + dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o755)
}

// settle syncs the names of what was put.
func (f *mirrorFolder) settle() error {
	for dir := range f.dirs {
		if err := f.breaks("sync " + dir); err != nil {
			return err
		}
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
		delete(f.dirs, dir)
	}
	return nil
}

// replace puts a file and settles it.
func (f *mirrorFolder) replace(name string, content []byte) error {
	if err := f.put(name, content); err != nil {
		return err
	}
	return f.settle()
}

func (f *mirrorFolder) remove(name string) error {
	if err := f.breaks("remove " + name); err != nil {
		return err
	}
	return os.Remove(f.path(name))
}
