package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"mezhved/adapter/journal"
)

// Place is where backups are kept: a folder (Dir) or a bucket (S3). Names are paths
// with slashes. Safe for concurrent use.
type Place interface {
	// Put writes a whole thing or nothing; nil means that it is durable. Doing it twice
	// is the same as once. One that is there is replaced.
	Put(ctx context.Context, name string, content []byte) error
	// Get reads a whole thing; fs.ErrNotExist says that it is not there.
	Get(ctx context.Context, name string) ([]byte, error)
	// List tells of everything below a prefix, in any order.
	List(ctx context.Context, prefix string, each func(name string, at time.Time) error) error
	// Delete removes things; those that are not there are no error.
	Delete(ctx context.Context, names []string) error
	// String names the place to an operator.
	String() string
}

// Dir is a folder, best on the disk of another machine.
type Dir struct{ Path string }

func (d Dir) String() string { return d.Path }

// Put implements Place.
func (d Dir) Put(_ context.Context, name string, content []byte) error {
	file := filepath.Join(d.Path, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return journal.ReplaceFile(file, content, 0o600)
}

// Get implements Place.
func (d Dir) Get(_ context.Context, name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(d.Path, filepath.FromSlash(name)))
}

// List implements Place.
func (d Dir) List(ctx context.Context, prefix string, each func(string, time.Time) error) error {
	root := filepath.Join(d.Path, filepath.FromSlash(path.Dir(prefix+"x")))
	return filepath.WalkDir(root, func(file string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // nothing there yet, or gone meanwhile
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case e.IsDir() || strings.HasPrefix(e.Name(), "."): // a file that is being written
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(d.Path, file)
		if err != nil {
			return err
		}
		if name = filepath.ToSlash(name); !strings.HasPrefix(name, prefix) {
			return nil
		}
		return each(name, info.ModTime())
	})
}

// Delete implements Place.
func (d Dir) Delete(_ context.Context, names []string) error {
	var all []error
	for _, name := range names {
		if err := os.Remove(filepath.Join(d.Path, filepath.FromSlash(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// Open finds a place by its address: a folder, or s3://bucket/prefix.
func Open(address string, s3 S3Options) (Place, error) {
	if rest, ok := strings.CutPrefix(address, "s3://"); ok {
		bucket, prefix, _ := strings.Cut(rest, "/")
		return openS3(bucket, strings.Trim(prefix, "/"), s3)
	}
	if strings.Contains(address, "://") {
		return nil, fmt.Errorf("%s: a place of backups is a folder, or s3://bucket/prefix", address)
	}
	return Dir{address}, nil
}
