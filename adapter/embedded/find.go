package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// oldest is the oldest PostgreSQL whose SQL and settings we use.
const oldest = 15

// ErrNoPostgres says that this machine has no usable PostgreSQL and that none
// could be downloaded. Its text names the ways to install one.
var ErrNoPostgres = errors.New("no PostgreSQL " + strconv.Itoa(oldest) + " or newer found")

// binaries is a directory with initdb and postgres of one release.
type binaries struct {
	dir   string
	major int
}

func (b binaries) path(program string) string { return filepath.Join(b.dir, program) }

// findBinaries looks for PostgreSQL in PGBIN, on PATH, in the directories that
// packagers use, and at last has it fetched. When a data directory exists
// already, major is its release and only that one will do; else major is 0.
func findBinaries(ctx context.Context, major int, fetch func(context.Context) (string, error)) (binaries, error) {
	var looked []string
	try := func(dir string) (binaries, bool) {
		b, err := inspect(ctx, dir)
		if err == nil && major != 0 && b.major != major {
			err = fmt.Errorf("is release %d, the data directory needs %d", b.major, major)
		}
		if err != nil {
			looked = append(looked, fmt.Sprintf("%s: %v", dir, err))
			return binaries{}, false
		}
		return b, true
	}

	if dir := os.Getenv("PGBIN"); dir != "" {
		b, ok := try(dir)
		if !ok {
			// The operator has named a directory: do not quietly take another.
			return binaries{}, fmt.Errorf("%w: PGBIN names %s", ErrNoPostgres, looked[0])
		}
		return b, nil
	}
	for _, dir := range usualDirectories() {
		if b, ok := try(dir); ok {
			return b, nil
		}
	}
	why := fmt.Sprintf("release %s, which could be fetched, will not do", release)
	if major == 0 || strings.HasPrefix(string(release), strconv.Itoa(major)+".") {
		dir, err := fetch(ctx)
		if err == nil {
			if b, ok := try(dir); ok {
				return b, nil
			}
		} else {
			why = err.Error()
		}
	}
	if len(looked) == 0 {
		looked = []string{"PATH and the usual directories, which have none"}
	}
	return binaries{}, fmt.Errorf(`%w, and none could be fetched (%s).
Any one of these will do:
  - install it:            apt-get install postgresql   (or dnf install postgresql-server, brew install postgresql@17)
  - name its programs:     PGBIN=/path/to/postgresql/bin
  - name a running server: DATABASE_URL=postgres://user:password@host/database
  - name a mirror:         MEZHVED_MAVEN=https://host/maven2, which mirrors Maven Central
Looked at:
  %s`, ErrNoPostgres, why, strings.Join(looked, "\n  "))
}

// usualDirectories lists where the programs may be, best first.
func usualDirectories() []string {
	var dirs []string
	add := func(dir string) {
		for _, d := range dirs {
			if d == dir {
				return
			}
		}
		dirs = append(dirs, dir)
	}
	if p, err := exec.LookPath("postgres"); err == nil {
		// Debian puts symbolic links on PATH; the programs find their shared
		// files relative to where they really are.
		if real, err := filepath.EvalSymlinks(p); err == nil {
			add(filepath.Dir(real))
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/usr/libexec/postgresql*",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/usr/local/pgsql/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		found, _ := filepath.Glob(pattern)
		sort.Slice(found, func(i, j int) bool { return numberIn(found[i]) > numberIn(found[j]) })
		for _, dir := range found {
			add(dir)
		}
	}
	return dirs
}

var (
	digits  = regexp.MustCompile(`\d+`)
	version = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)
)

func numberIn(path string) int {
	n, _ := strconv.Atoi(digits.FindString(path))
	return n
}

// inspect checks that dir holds the programs we need and asks for their release.
func inspect(ctx context.Context, dir string) (binaries, error) {
	for _, program := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, program)); err != nil {
			return binaries{}, fmt.Errorf("no %s there", program)
		}
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").CombinedOutput()
	if err != nil {
		return binaries{}, fmt.Errorf("postgres --version: %v: %s", err, bytes.TrimSpace(out))
	}
	m := version.FindSubmatch(out)
	if m == nil {
		return binaries{}, fmt.Errorf("postgres --version says %q", bytes.TrimSpace(out))
	}
	major, _ := strconv.Atoi(string(m[1]))
	if major < oldest {
		return binaries{}, fmt.Errorf("is release %d, too old", major)
	}
	return binaries{dir, major}, nil
}

// Client finds a client program of PostgreSQL, such as pg_dump, that can be used with a
// server of that release: one that is as new at least. Servers that are fetched come
// without them.
func Client(ctx context.Context, program string, major int) (string, error) {
	dirs := usualDirectories()
	if p, err := exec.LookPath(program); err == nil {
		dirs = append([]string{filepath.Dir(p)}, dirs...)
	}
	if dir := os.Getenv("PGBIN"); dir != "" {
		dirs = append([]string{dir}, dirs...)
	}
	found := ""
	for _, dir := range dirs {
		path := filepath.Join(dir, program)
		out, err := exec.CommandContext(ctx, path, "--version").Output()
		if err != nil {
			continue
		}
		if m := version.FindSubmatch(out); m != nil && numberIn(string(m[1])) >= major {
			return path, nil
		}
		found = fmt.Sprintf("; %s is %s", path, bytes.TrimSpace(out))
	}
	return "", fmt.Errorf("no %s of PostgreSQL %d or newer was found%s: install it (apt-get install postgresql-client), or name its folder in PGBIN", program, major, found)
}
