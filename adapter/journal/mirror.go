package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// mirrorFile is a mirror's memory: one file, replaced at once, so that a mirror
// that is killed goes on from its last complete visit.
const mirrorFile = "mirror.json"

// checkpointsDir keeps the checkpoint of each visit, by size.
const checkpointsDir = "checkpoints"

type mirrorState struct {
	Visited    time.Time `json:"visited"`
	Checkpoint []byte    `json:"checkpoint"`
	Recount    *Recount  `json:"recount"`
}

// Visit is what one visit of a mirror found.
type Visit struct {
	Before  *Checkpoint // of the last visit, nil at the first
	Since   time.Time   // of the last visit
	Now     *Checkpoint
	Recount *Recount // of the whole log, findings of earlier visits included
	Fresh   int64    // findings of this visit
}

// ForkError is proof of misbehaviour: two checkpoints, both signed, of which one
// is not the beginning of the other. Keep them both and show them to the audit
// body.
type ForkError struct {
	Before, Now *Checkpoint
	What        string
}

func (e *ForkError) Error() string {
	return fmt.Sprintf("the log was changed since the last visit: %s; checkpoints of %d and of %d entries, both signed, contradict each other: keep them as proof",
		e.What, e.Before.Tree.N, e.Now.Tree.N)
}

// Follow brings the mirror in dir up to the log that source serves and that
// checkpoint signs: it fetches only entries that the mirror does not have, proves
// that what it had is the log's beginning, recounts, and writes a directory that
// VerifyLog and other people's tools read. Nothing of an earlier visit is changed
// when a visit fails.
func Follow(ctx context.Context, dir string, source TileSource, checkpoint []byte, policy *Policy, now time.Time) (*Visit, error) {
	c, err := policy.Open(checkpoint)
	if err != nil {
		return nil, err
	}
	m := &mirror{dir: dir, state: mirrorState{Recount: NewRecount()}}
	v := &Visit{Now: c}
	if err := m.load(policy, v); err != nil {
		return nil, err
	}
	old := tlog.Tree{}
	if v.Before != nil {
		old = v.Before.Tree
		if c.Tree.N < old.N {
			return nil, &ForkError{v.Before, c, fmt.Sprintf("it had %d entries and now has %d", old.N, c.Tree.N)}
		}
	}
	found := m.state.Recount.Found
	edge := &Edge{}
	if old.N > 0 {
		if edge, err = LoadEdge(ctx, old, DirSource{os.DirFS(dir)}); err != nil {
			return nil, fmt.Errorf("the mirror's own files in %s do not fit its last visit: %w", dir, err)
		}
	}
	changed, err := m.pull(ctx, source, edge, c.Tree.N)
	if err == nil && (changed != "" || edge.Root() != c.Tree.Hash) {
		if v.Before == nil {
			err = fmt.Errorf("the entries served do not make the root that checkpoint %d signs", c.Tree.N)
		} else {
			err = &ForkError{v.Before, c, or(changed, "the new root is not the old log's continuation")}
		}
	}
	if err != nil {
		m.forget()
		return nil, err
	}
	v.Recount, v.Fresh = m.state.Recount, m.state.Recount.Found-found
	m.state.Visited, m.state.Checkpoint = now.UTC(), c.Note
	return v, m.save(c, old.N)
}

// mirror is a visit in progress.
type mirror struct {
	dir     string
	state   mirrorState
	written []string // files of this visit, for forgetting them
}

func (m *mirror) load(policy *Policy, v *Visit) error {
	b, err := os.ReadFile(filepath.Join(m.dir, mirrorFile))
	if errors.Is(err, fs.ErrNotExist) {
		return os.MkdirAll(m.dir, 0o755)
	}
	if err == nil {
		err = json.Unmarshal(b, &m.state)
	}
	if err != nil {
		return fmt.Errorf("the mirror's memory: %w", err)
	}
	if v.Before, err = policy.Open(m.state.Checkpoint); err != nil {
		return fmt.Errorf("the mirror's memory: %w", err)
	}
	if m.state.Recount == nil || m.state.Recount.Size != v.Before.Tree.N {
		return fmt.Errorf("the mirror's memory in %s contradicts itself", filepath.Join(m.dir, mirrorFile))
	}
	v.Since = m.state.Visited
	m.state.Recount.Resume()
	return nil
}

// pull fetches entry bundles from the edge to size. changed says that entries
// seen before were served differently.
func (m *mirror) pull(ctx context.Context, source TileSource, edge *Edge, size int64) (changed string, err error) {
	first := edge.Size() / TileWidth
	for b := range bundles(ctx, source, first, size) {
		if b.err != nil {
			return "", fmt.Errorf("fetch %s: %w", TilePath(EntriesLevel, b.n, b.width), b.err)
		}
		have := int(edge.Size() - b.n*TileWidth) // entries of this bundle seen at the last visit
		for i, h := range b.hashes {
			if i < have {
				if !bytes.Equal(h[:], edge.levels[0][i*tlog.HashSize:(i+1)*tlog.HashSize]) {
					return fmt.Sprintf("entry %d was served differently", b.n*TileWidth+int64(i)), nil
				}
				continue
			}
			m.state.Recount.add(&b.leaves[i])
		}
		for _, h := range b.hashes[max(have, 0):] {
			edge.Append(h)
		}
		if err := m.write(TilePath(EntriesLevel, b.n, b.width), b.data); err != nil {
			return "", err
		}
		for _, t := range edge.full {
			if err := m.write(TilePath(t.Level, t.N, t.Width()), t.Data); err != nil {
				return "", err
			}
		}
		edge.full = nil
	}
	m.state.Recount.settle()
	for _, t := range edge.Take() {
		if err := m.write(TilePath(t.Level, t.N, t.Width()), t.Data); err != nil {
			return "", err
		}
	}
	return "", ctx.Err()
}

func (m *mirror) write(name string, content []byte) error {
	path := filepath.Join(m.dir, filepath.FromSlash(name))
	if _, err := os.Lstat(path); err == nil {
		// Of an earlier visit, and proven equal; or of one that was killed.
		if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, content) {
			return nil
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	m.written = append(m.written, path)
	return os.WriteFile(path, content, 0o644)
}

// forget removes what a failed visit has written.
func (m *mirror) forget() {
	for _, path := range m.written {
		os.Remove(path)
	}
}

// save ends a visit: the memory first, from which everything else follows.
func (m *mirror) save(c *Checkpoint, oldSize int64) error {
	b, err := json.Marshal(m.state)
	if err != nil {
		return err
	}
	for _, path := range m.written {
		if err := syncFile(path); err != nil {
			return err
		}
	}
	if err := ReplaceFile(filepath.Join(m.dir, mirrorFile), b, 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(m.dir, checkpointsDir), 0o755); err != nil {
		return err
	}
	if err := ReplaceFile(filepath.Join(m.dir, checkpointsDir, strconv.FormatInt(c.Tree.N, 10)), c.Note, 0o644); err != nil {
		return err
	}
	if err := ReplaceFile(filepath.Join(m.dir, "checkpoint"), c.Note, 0o644); err != nil {
		return err
	}
	if oldSize != c.Tree.N {
		m.tidy(oldSize, c.Tree.N)
	}
	return nil
}

// tidy removes the unfinished tiles of the last visit that this one replaced.
func (m *mirror) tidy(old, size int64) {
	for level := EntriesLevel; level <= 7; level++ {
		n := old >> (TileHeight * (max(level, 0) + 1))
		width := TileSize(level, n, old)
		if width > 0 && width < TileWidth && TileSize(level, n, size) != width {
			os.Remove(filepath.Join(m.dir, filepath.FromSlash(TilePath(level, n, width))))
		}
	}
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// KnownCheckpoints reads the checkpoints of a mirror's earlier visits that verify
// under the policy, for VerifyLog. Others are skipped and counted: they may be of
// an earlier policy.
func KnownCheckpoints(dir string, policy *Policy) (known []*Checkpoint, skipped int, err error) {
	files, err := os.ReadDir(filepath.Join(dir, checkpointsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, checkpointsDir, f.Name()))
		if err != nil {
			return nil, 0, err
		}
		if c, err := policy.Open(b); err == nil {
			known = append(known, c)
		} else {
			skipped++
		}
	}
	return known, skipped, nil
}
