package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"mezhved/adapter/journal"

	"golang.org/x/mod/sumdb/tlog"
)

// Mirror is an auditor's copy of a log in a folder, with the checkpoints of all
// his visits. One run at a time has the folder for itself.
//
// What is in the folder was proven under a signed root before it was written,
// file by file: a visit that fails or is killed leaves what it has fetched, and
// the next goes on from there. The checkpoint in the folder moves last, when
// everything that it signs is there.
type Mirror struct {
	Dir    string
	Policy *journal.Policy
	// Earlier are policies of earlier visits, for the checkpoints that were taken
	// under them.
	Earlier []*journal.Policy
	// Quick looks only at what is new since the last visit. Without it a visit
	// reads the whole mirror, fetches again what is missing or wrong there, and
	// counts everything: about a million entries a second on each core.
	Quick bool

	breaks func(operation string) error // for tests, before each change of the folder
}

// Visit is what one visit of a mirror found.
type Visit struct {
	Before  *journal.Checkpoint // the largest that the mirror knew, nil at the first visit
	Since   time.Time           // of the last visit, if known
	Now     *journal.Checkpoint // as it was served
	Older   bool                // Now is an honest older state of what the mirror has
	From    int64               // entries from this one on were looked at, 0 for all
	Recount *Recount            // of the whole mirror, findings of earlier visits included
	Fresh   int64               // findings in entries that are new
	Mended  []string            // files that were missing or wrong in the mirror and are right now, each with the reason
	Stamps  int                 // checkpoints with time stamps that are new in the mirror
	// Insufficient is how many of those that were served lack cosignatures that the
	// policies ask for: they are not kept.
	Insufficient int
	Damaged      []string // what was remembered and cannot be verified, each a sentence
}

// Size is how many entries the mirror has after the visit.
func (v *Visit) Size() int64 { return v.Recount.Size }

// ForkError is proof of misbehaviour: two checkpoints, both signed, of which one
// is not the beginning of the other. Keep them both and show them to the audit
// body.
type ForkError struct {
	Before, Now *journal.Checkpoint
	What        string
}

func (e *ForkError) Error() string {
	return fmt.Sprintf("the log was changed: %s; checkpoints of %d and of %d entries, both signed, contradict each other: keep them as proof",
		e.What, e.Before.Tree.N, e.Now.Tree.N)
}

// maxLacks is how much that a mirror lacks is named one by one.
const maxLacks = 20

// IncompleteError says what a mirror lacks of the log that a checkpoint signs,
// and why: it was neither in the mirror nor served as it was signed.
type IncompleteError struct {
	Size  int64
	Lacks []string
}

func (e *IncompleteError) Error() string {
	what := strings.Join(e.Lacks, "; ")
	if len(e.Lacks) >= maxLacks {
		what += "; and perhaps more"
	}
	return fmt.Sprintf("the mirror lacks some of the log of %d entries: %s", e.Size, what)
}

// ForeignError says that nothing of what a folder remembers can be verified under
// the policy: it is the mirror of another log, or was kept under another key. The
// tiles of the log that is served would take the place of what is there.
type ForeignError struct{ Dir, Policy string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("nothing that %s remembers can be verified under the policy of %q: nothing was fetched, nothing there was touched; name another folder, or the policy that this one was kept under",
		e.Dir, e.Policy)
}

// Follow brings the mirror up to the log that source serves and that checkpoint
// signs. It proves that every checkpoint of earlier visits is a beginning of it,
// fetches what the mirror lacks, recounts, and leaves a folder that VerifyLog and
// other people's tools read. A checkpoint of fewer entries than the mirror has is
// an older state when the mirror's own tiles make its root, and a fork otherwise.
//
// With a *ForkError or *IncompleteError the Visit tells what was found until then.
// Another run in the same folder is a *BusyError, one whose memory
// is all of something else a *ForeignError.
func (m *Mirror) Follow(ctx context.Context, source journal.TileSource, checkpoint []byte, now time.Time) (*Visit, error) {
	c, err := m.Policy.Open(checkpoint)
	if err != nil {
		return nil, err
	}
	folder, err := openMirrorFolder(m.Dir, now, m.breaks)
	if err != nil {
		return nil, err
	}
	defer folder.close()
	memory, err := Remember(m.Dir, m.Policy, m.Earlier...)
	if err != nil {
		return nil, err
	}
	v := &Visit{Now: c, Before: memory.Last(), Damaged: memory.Damaged}
	if v.Before == nil && len(v.Damaged) > 0 {
		return v, &ForeignError{m.Dir, m.Policy.Origin()}
	}
	if memory.state != nil {
		v.Since = memory.state.Visited
	}
	if len(memory.Forks) > 0 {
		return v, memory.Forks[0]
	}
	top := c
	if v.Before != nil && v.Before.Tree.N > c.Tree.N {
		top, v.Older = v.Before, true
	}
	w := &visit{Visit: v, Mirror: m, folder: folder, top: top, own: DirSource{os.DirFS(m.Dir)}, far: served{source, c.Tree.N}}
	if w.tree, err = openSignedTree(ctx, top.Tree, w.own, w.far, rebuilt{w.own}); err != nil {
		return v, w.lacks(ctx, err)
	}
	known := append(slices.Clone(memory.Known), c)
	if memory.begun != nil && memory.begun.Tree.N <= top.Tree.N {
		known = append(known, memory.begun)
	}
	for _, k := range known {
		if err := w.begins(ctx, k); err != nil {
			return v, err
		}
	}
	if v.Before == nil && memory.begun == nil {
		// First of all, so that a folder from which the memory is taken away is none in
		// which a first visit was cut short.
		b, err := mirrorState{Visited: now.UTC(), Checkpoint: c.Note, Begun: true}.marshal()
		if err == nil {
			err = w.folder.replace(mirrorFile, b)
		}
		if err != nil {
			return v, err
		}
		memory.begun = c
	}
	v.Recount = NewRecount()
	if m.Quick && memory.state != nil && memory.state.Recount.Size == v.Before.Tree.N {
		v.Recount, v.From = memory.state.Recount, v.Before.Tree.N/journal.TileWidth*journal.TileWidth
		v.Recount.Resume()
	}
	if err := w.pull(ctx); err != nil {
		return v, err
	}
	if err := w.save(memory, now); err != nil {
		return v, err
	}
	if stamped, ok := source.(StampSource); ok {
		return v, w.stamps(ctx, memory, stamped)
	}
	return v, nil
}

// visit is one in progress.
type visit struct {
	*Visit
	*Mirror
	folder *mirrorFolder
	top    *journal.Checkpoint // what the mirror is to be a mirror of
	tree   *signedTree         // of top
	own    DirSource
	far    journal.TileSource
}

// served is a log of a size: of an unfinished tile it is asked for what it has.
type served struct {
	journal.TileSource
	size int64
}

func (s served) Tile(ctx context.Context, level int, n int64, width int) ([]byte, error) {
	have := journal.TileSize(level, n, s.size)
	if have < width {
		return nil, fmt.Errorf("it is not served: the log that is shown has %d entries", s.size)
	}
	return s.TileSource.Tile(ctx, level, n, have)
}

// lacks is the error of what can be had nowhere.
func (w *visit) lacks(ctx context.Context, all ...error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e := &IncompleteError{Size: w.top.Tree.N}
	for _, err := range all {
		e.Lacks = append(e.Lacks, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return e
}

// begins proves that a signed checkpoint is a beginning of top. One that is not is
// kept, with top, before anybody is told.
func (w *visit) begins(ctx context.Context, c *journal.Checkpoint) error {
	_, err := journal.LoadEdge(ctx, c.Tree, w.tree)
	if err == nil {
		return nil
	}
	broken := (*journal.BrokenError)(nil)
	if !errors.As(err, &broken) { // the tiles themselves are proven
		return w.lacks(ctx, fmt.Errorf("whether the log of %d entries that was signed is its beginning cannot be told: %w", c.Tree.N, err))
	}
	fork := &ForkError{c, w.top, fmt.Sprintf("its first %d entries are not those that were signed before", c.Tree.N)}
	if c == w.Now {
		fork = &ForkError{w.top, c, fmt.Sprintf("it had %d entries and is shown with %d that are not their beginning", w.top.Tree.N, c.Tree.N)}
	}
	name := fmt.Sprintf("%s/%d-%d-%x", forksDir, fork.Before.Tree.N, fork.Now.Tree.N, fork.Now.Tree.Hash[:8])
	if err := errors.Join(w.folder.put(name+"/before", fork.Before.Note), w.folder.replace(name+"/now", fork.Now.Note)); err != nil {
		return errors.Join(fork, fmt.Errorf("and the proof of it could not be kept: %w", err))
	}
	return fork
}

// pull reads every entry from w.From on, from the mirror or from the source.
func (w *visit) pull(ctx context.Context) error {
	var lacks []error
	size, old := w.top.Tree.N, int64(0)
	if w.Before != nil {
		old = w.Before.Tree.N
	}
	found := w.Recount.Found // until the first entry that is new
	for b := range bundles(ctx, w.read, w.From/journal.TileWidth, size) {
		if b.err != nil {
			if lacks = append(lacks, b.err); len(lacks) == maxLacks {
				break
			}
			continue // to name what else there is; nothing is counted any more
		}
		for i := range b.leaves {
			// Those of an unfinished bundle were counted at the last visit.
			if b.n*journal.TileWidth+int64(i) == w.Recount.Size {
				if w.Recount.Size <= old {
					found = w.Recount.Found
				}
				w.Recount.add(&b.leaves[i])
			}
		}
		if b.own != nil {
			if err := w.put(journal.EntriesLevel, b.n, b.data, b.own); err != nil {
				return err
			}
		}
		if err := w.keep(ctx, 0, b.n, b.tile()); err != nil {
			return err
		}
	}
	for level := 1; size>>(journal.TileHeight*level) > 0; level++ {
		for n := w.From >> (journal.TileHeight * (level + 1)); journal.TileSize(level, n, size) > 0 && len(lacks) < maxLacks; n++ {
			data, err := w.tree.Tile(ctx, level, n, journal.TileSize(level, n, size))
			if err != nil {
				lacks = append(lacks, err)
			} else if err := w.keep(ctx, level, n, data); err != nil {
				return err
			}
		}
	}
	if len(lacks) > 0 || ctx.Err() != nil {
		return w.lacks(ctx, lacks...)
	}
	w.Recount.settle()
	if size > old {
		w.Fresh = w.Recount.Found - found
	}
	return nil
}

// read gives a bundle that the tree proves: the mirror's own, or the source's.
func (w *visit) read(ctx context.Context, b *bundle) error {
	if b.own = b.read(ctx, w.own); b.own == nil {
		b.own = w.tree.proves(ctx, b)
	}
	if b.own == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	err := b.read(ctx, w.far)
	if err == nil {
		err = w.tree.proves(ctx, b)
	}
	if err != nil {
		return fmt.Errorf("%s: in the mirror: %s; served: %w", journal.TilePath(journal.EntriesLevel, b.n, b.width), reason(b.own), err)
	}
	return nil
}

// reason says briefly why a file of the mirror cannot be used.
func reason(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "missing"
	}
	return err.Error()
}

// keep writes a proven hash tile unless the mirror has it.
func (w *visit) keep(ctx context.Context, level int, n int64, data []byte) error {
	have, err := w.own.Tile(ctx, level, n, len(data)/tlog.HashSize)
	if err == nil && bytes.HasPrefix(have, data) {
		return nil
	}
	if err == nil {
		err = errNotSigned
	}
	return w.put(level, n, data, err)
}

// put writes a tile or bundle that the mirror does not have, or not as it should
// be.
func (w *visit) put(level int, n int64, data []byte, why error) error {
	width := journal.TileSize(level, n, w.top.Tree.N)
	name := journal.TilePath(level, n, width)
	if w.Before != nil && journal.TileSize(level, n, w.Before.Tree.N) == width {
		w.Mended = append(w.Mended, name+": "+reason(why))
	}
	return w.folder.put(name, data)
}

// save ends a visit. Everything that top signs is in the folder; then top is what
// the folder is a mirror of, then it is remembered, then comes what saves work,
// then goes what is of no use any more. Killed in between, the next visit finds a
// mirror that verifies, and does the rest. What was remembered and is damaged is
// left as it is.
func (w *visit) save(memory *Memory, now time.Time) error {
	if err := w.folder.settle(); err != nil {
		return err
	}
	have, err := os.ReadFile(w.folder.path(checkpointFile))
	c, bad := openUnder(have, w.Policy, w.Earlier)
	good := err == nil && bad == nil && c.Tree == w.top.Tree
	if !good && w.Before != nil && w.Before.Tree == w.top.Tree {
		w.Mended = append(w.Mended, checkpointFile+": "+reason(cmp.Or(err, bad, errors.New("of another size"))))
	}
	if !good || w.top == w.Now && !bytes.Equal(have, w.top.Note) { // it may have more cosignatures
		if err := w.folder.replace(checkpointFile, w.top.Note); err != nil {
			return err
		}
	}
	visits := memory.visits
	for _, c := range append(slices.Clone(memory.Known), w.top) {
		if visits[c.Tree.N] {
			continue
		}
		if err := w.folder.replace(fmt.Sprintf("%s/%d", checkpointsDir, c.Tree.N), c.Note); err != nil {
			return err
		}
		visits[c.Tree.N] = true
	}
	if memory.state == nil && memory.begun == nil && exists(w.folder.path(mirrorFile)) {
		return nil
	}
	if memory.state != nil {
		for _, size := range memory.state.Visits {
			visits[size] = true
		}
	}
	b, err := mirrorState{Visited: now.UTC(), Checkpoint: w.top.Note, Recount: w.Recount, Visits: slices.Sorted(maps.Keys(visits))}.marshal()
	if err != nil {
		return err
	}
	if err := w.folder.replace(mirrorFile, b); err != nil {
		return err
	}
	return w.tidy()
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// tidy removes unfinished tiles that were replaced: at the edge of the last visit,
// and at this one's if runs were killed in between.
func (w *visit) tidy() error {
	size := w.top.Tree.N
	for _, edge := range []*journal.Checkpoint{w.Before, w.top} {
		for level := journal.EntriesLevel; edge != nil && edge.Tree.N>>(journal.TileHeight*max(level, 0)) > 0; level++ {
			n := edge.Tree.N >> (journal.TileHeight * (max(level, 0) + 1))
			dir := path.Dir(journal.TilePath(level, n, 1))
			widths, err := os.ReadDir(w.folder.path(dir))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			for _, f := range widths {
				if name := path.Join(dir, f.Name()); name != journal.TilePath(level, n, journal.TileSize(level, n, size)) {
					if err := w.folder.remove(name); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}
