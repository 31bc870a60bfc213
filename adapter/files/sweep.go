package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/google/uuid"
)

const (
	// orphanAge is how old bytes must be that no entry names before they are
	// removed: older than any upload that may still put them into the index.
	orphanAge = 2 * time.Hour
	// partsAge is how long an upload of parts may be silent before it is abandoned.
	partsAge = 2 * time.Hour
	// scanEvery is how often the disk is compared with the index.
	scanEvery = 30 * time.Minute
	// addEvery is how often all files are added up for the metrics.
	addEvery = 15 * time.Second
	// scanBatch is how many folders are looked up at once.
	scanBatch = 500
)

// Run sweeps until ctx ends: files whose messages have been taken go at once,
// those that no message ever referred to when they are old, parts whose upload
// was abandoned, and bytes that nothing names, which a crash has left. Every node may do it.
func (s *Store) Run(ctx context.Context) error {
	for {
		more, err := s.sweep(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if more {
			continue
		}
		t := time.NewTimer(s.pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}

// sweep looks round once.
func (s *Store) sweep(ctx context.Context) (more bool, err error) {
	now := s.now().UTC()
	gone, more, err := s.index.ReleaseFiles(ctx, now, now.Add(-s.config.Idle.D()), now.Add(-partsAge))
	if err != nil {
		return false, fmt.Errorf("sweeping files: %w", err)
	}
	for _, e := range gone {
		s.remove(e.ID, e.Blob)
		s.metrics.swept.Inc()
	}
	// Ages on the disk, and how often we look, are of this machine's clock, not of
	// the domain's.
	if len(gone) > 0 || time.Since(s.added) >= addEvery {
		use, err := s.index.FileUse(ctx, "")
		if err != nil {
			return false, err
		}
		s.metrics.files.Set(float64(use.Files))
		s.metrics.bytes.Set(float64(use.Bytes))
		s.added = time.Now()
	}
	if time.Since(s.scanned) >= scanEvery {
		now, err := s.diskTime()
		if err == nil {
			err = s.scan(ctx, now.Add(-orphanAge))
		}
		if err != nil {
			return more, fmt.Errorf("comparing the file store's disk with its index: %w", err)
		}
		s.scanned = time.Now()
	}
	return more, nil
}

// diskTime is the time of the clock that gives files their times: of a folder that
// nodes share it is the file server's. By a clock that is hours ahead of it, what
// another node is writing would look left behind.
func (s *Store) diskTime() (time.Time, error) {
	f, err := os.CreateTemp(s.dir, ".time-*")
	if err != nil {
		return time.Time{}, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// scan removes bytes from before the time that no entry names.
func (s *Store) scan(ctx context.Context, before time.Time) error {
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(scanBatch)
		if len(names) == 0 {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return err
		}
		if err := s.scanFolders(ctx, names, before); err != nil {
			return err
		}
	}
}

func (s *Store) scanFolders(ctx context.Context, names []string, before time.Time) error {
	var ids []uuid.UUID
	for _, n := range names {
		if id, err := uuid.Parse(n); err == nil && id.String() == n { // what is not ours is left alone
			ids = append(ids, id)
		}
	}
	// Listed first and looked up after: what is in the index by then was on the
	// disk before.
	listed := make([][]fs.DirEntry, len(ids))
	for i, id := range ids {
		list, err := os.ReadDir(s.path(id, ""))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		listed[i] = list
	}
	entries, err := s.index.FindFiles(ctx, ids)
	if err != nil {
		return err
	}
	parts, err := s.index.FileParts(ctx, ids)
	if err != nil {
		return err
	}
	type blob struct {
		id   uuid.UUID
		name string
	}
	known := make(map[blob]bool, len(entries)+len(parts))
	for _, e := range entries {
		known[blob{e.ID, e.Blob}] = true
	}
	for _, p := range parts {
		known[blob{p.Folder, p.Blob}] = true
	}
	for i, id := range ids {
		for _, f := range listed[i] {
			info, err := f.Info()
			if err != nil || f.IsDir() || known[blob{id, f.Name()}] || !info.ModTime().Before(before) {
				continue
			}
			s.remove(id, f.Name())
			s.metrics.orphans.Inc()
		}
		if len(listed[i]) == 0 {
			os.Remove(s.path(id, ""))
		}
	}
	return nil
}
