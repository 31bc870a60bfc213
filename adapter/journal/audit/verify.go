package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"sync"

	"mezhved/adapter/journal"

	"golang.org/x/mod/sumdb/tlog"
)

// DirSource reads tiles from a directory laid out as https://c2sp.org/tlog-tiles
// has it. Of an unfinished tile it finds the file of the exact width or of the
// finished tile.
type DirSource struct{ FS fs.FS }

// Tile implements TileSource.
func (d DirSource) Tile(_ context.Context, level int, n int64, width int) ([]byte, error) {
	return d.read(nil, level, n, width)
}

// read reads a tile into room.
func (d DirSource) read(room []byte, level int, n int64, width int) ([]byte, error) {
	data, err := readFile(d.FS, journal.TilePath(level, n, width), room)
	if errors.Is(err, fs.ErrNotExist) && width < journal.TileWidth {
		width = journal.TileWidth
		data, err = readFile(d.FS, journal.TilePath(level, n, width), room)
	}
	if err != nil {
		return data, err
	}
	return data, checkTile(level, width, data)
}

// readFile is fs.ReadFile into room.
func readFile(files fs.FS, name string, room []byte) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return room, err
	}
	defer f.Close()
	size := int64(0)
	if info, err := f.Stat(); err == nil {
		size = min(info.Size(), 1<<20) // as it says; more is made room for when it comes
	}
	room = slices.Grow(room, int(size)+1) // the end is found by reading beyond it
	for {
		n, err := f.Read(room[len(room):cap(room)])
		room = room[:len(room)+n]
		if err == io.EOF {
			return room, nil
		}
		if err != nil {
			return room, err
		}
		room = slices.Grow(room, 1)
	}
}

// checkTile checks that a tile holds as much as its name says, no more and no
// less.
func checkTile(level, width int, data []byte) error {
	if level != journal.EntriesLevel {
		if len(data) != width*tlog.HashSize {
			return fmt.Errorf("tile has %d bytes, want %d", len(data), width*tlog.HashSize)
		}
		return nil
	}
	entries, err := journal.CountEntries(data)
	if err != nil {
		return err
	}
	if entries != width {
		return fmt.Errorf("entry bundle holds %d entries, want %d", entries, width)
	}
	return nil
}

// LogReport is what a whole log was found to be.
type LogReport struct {
	Checkpoint *journal.Checkpoint
	Recount    *Recount
	Tiles      int64 // hash tiles compared
	Known      int   // earlier checkpoints found to be the log's beginning
}

// OK says that nothing was found.
func (r *LogReport) OK() bool { return r.Recount.Found == 0 }

// VerifyLog reads a whole log and checks it against a signed checkpoint: each
// leaf's form and hash, every hash tile, the root, the bookkeeping, and that
// each of the earlier checkpoints in known was a beginning of this log. What is
// wrong with the log is in the report; the error is for what kept it from being
// read (a checkpoint that does not verify among it).
func VerifyLog(ctx context.Context, log journal.TileSource, policy *journal.Policy, checkpoint []byte, known []*journal.Checkpoint) (*LogReport, error) {
	return ReadLog(ctx, log, policy, checkpoint, known, nil)
}

// ReadLog is VerifyLog for somebody who looks for something: each gets every leaf
// that can be read, in order, and must not keep what it is given. What it has seen
// was in the log if, and only if, the report is OK.
func ReadLog(ctx context.Context, log journal.TileSource, policy *journal.Policy, checkpoint []byte, known []*journal.Checkpoint, each func(index int64, leaf []byte, facts *journal.Facts)) (*LogReport, error) {
	c, err := policy.Open(checkpoint)
	if err != nil {
		return nil, err
	}
	rep := &LogReport{Checkpoint: c, Recount: NewRecount()}
	r := rep.Recount
	known = slices.SortedFunc(slices.Values(known), func(a, b *journal.Checkpoint) int { return int(a.Tree.N - b.Tree.N) })
	for len(known) > 0 && known[len(known)-1].Tree.N > c.Tree.N {
		r.find(journal.NoEntry, "the log has %d entries, a checkpoint seen earlier had %d: it has shrunk", c.Tree.N, known[len(known)-1].Tree.N)
		known = known[:len(known)-1]
	}
	edge := &journal.Edge{}
	same := func() { // compare with the checkpoints of this size
		for len(known) > 0 && known[0].Tree.N == edge.Size() {
			if known[0].Tree.Hash == edge.Root() {
				rep.Known++
			} else {
				r.find(journal.NoEntry, "the first %d entries are not those of the checkpoint seen earlier: something in them was changed", edge.Size())
			}
			known = known[1:]
		}
	}
	same()
	read := func(ctx context.Context, b *bundle) error { return b.read(ctx, log) }
	for b := range bundles(ctx, read, 0, c.Tree.N) {
		if b.err != nil {
			if errors.Is(b.err, context.Canceled) || errors.Is(b.err, context.DeadlineExceeded) {
				return nil, b.err
			}
			r.settle()
			r.find(b.n*journal.TileWidth, "%s cannot be read: %v", journal.TilePath(journal.EntriesLevel, b.n, b.width), b.err)
			return rep, nil
		}
		rest := b.data
		for i := range b.hashes {
			r.add(&b.leaves[i])
			if each != nil {
				var leaf []byte
				if leaf, rest = journal.CutEntry(rest); b.leaves[i].err == nil {
					each(b.n*journal.TileWidth+int64(i), leaf, &b.leaves[i].Facts)
				}
			}
			edge.Append(b.hashes[i])
			same()
		}
		if err := rep.compare(ctx, log, edge.Finished()); err != nil {
			return nil, err
		}
	}
	r.settle()
	if err := rep.compare(ctx, log, edge.Unfinished()); err != nil {
		return nil, err
	}
	if root := edge.Root(); root != c.Tree.Hash {
		r.find(journal.NoEntry, "the entries make root %s, the checkpoint of %d entries says %s: something was changed, moved, removed or added", root, c.Tree.N, c.Tree.Hash)
	}
	return rep, nil
}

// compare checks stored hash tiles against those that the leaves make.
func (rep *LogReport) compare(ctx context.Context, log journal.TileSource, tiles []journal.Tile) error {
	for _, t := range tiles {
		stored, err := log.Tile(ctx, t.Level, t.N, t.Width())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		path := journal.TilePath(t.Level, t.N, t.Width())
		switch {
		case err != nil:
			rep.Recount.find(journal.NoEntry, "%s cannot be read: %v", path, err)
		case len(stored) < len(t.Data) || !bytes.Equal(stored[:len(t.Data)], t.Data):
			rep.Recount.find(journal.NoEntry, "%s is not what the entries make", path)
		default:
			rep.Tiles++
		}
	}
	return nil
}

// bundle is one entry bundle, read, hashed and parsed. Its memory is used again
// for another one as soon as it was looked at.
type bundle struct {
	n      int64
	width  int
	data   []byte // of the entries wanted, and of no more
	hashes []journal.Hash
	leaves []counted
	err    error // the bundle as a whole
	own    error // why a mirror's own could not be used

	file []byte // room for what is read
	leaf journal.LeafReader
}

// bundles reads the entry bundles of a log in order from number first on;
// reading, hashing and parsing go on ahead, on every core. What is yielded must
// not be kept.
func bundles(ctx context.Context, read func(context.Context, *bundle) error, first, size int64) func(yield func(*bundle) bool) {
	return func(yield func(*bundle) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var done sync.WaitGroup
		defer done.Wait()
		defer cancel()
		// Few at once: what was read should still be in the cache when it is counted.
		queue := make(chan chan *bundle, 2*runtime.GOMAXPROCS(0))
		spare := sync.Pool{New: func() any { return &bundle{} }}
		done.Go(func() {
			defer close(queue)
			running := make(chan struct{}, runtime.GOMAXPROCS(0))
			for n := first; n*journal.TileWidth < size; n++ {
				slot := make(chan *bundle, 1)
				select {
				case queue <- slot:
				case <-ctx.Done():
					return
				}
				running <- struct{}{}
				done.Go(func() {
					defer func() { <-running }()
					b := spare.Get().(*bundle)
					b.n, b.width = n, journal.TileSize(0, n, size)
					b.err = read(ctx, b)
					slot <- b
				})
			}
		})
		for slot := range queue {
			b := <-slot
			if !yield(b) {
				return
			}
			spare.Put(b)
		}
	}
}

func (b *bundle) read(ctx context.Context, log journal.TileSource) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	data, err := b.fetch(ctx, log)
	if err != nil {
		return err
	}
	entries, err := journal.CountEntries(data)
	if err == nil && entries < b.width {
		err = fmt.Errorf("entry bundle holds %d entries, want %d", entries, b.width)
	}
	if err != nil {
		return err
	}
	b.hashes, b.leaves = slices.Grow(b.hashes[:0], journal.TileWidth)[:b.width], slices.Grow(b.leaves[:0], journal.TileWidth)[:b.width]
	rest := data
	for i := range b.width {
		var leaf []byte
		leaf, rest = journal.CutEntry(rest)
		b.leaves[i].countable(leaf, &b.leaf)
		b.hashes[i] = b.leaf.Hash()
	}
	b.data = data[:len(data)-len(rest)]
	return nil
}

// tile is the hash tile of level 0 over the bundle.
func (b *bundle) tile() []byte {
	out := make([]byte, 0, len(b.hashes)*tlog.HashSize)
	for _, h := range b.hashes {
		out = append(out, h[:]...)
	}
	return out
}

// fetch gives the bundle as its source has it; what a file has goes into b.file,
// for a verification reads very many.
func (b *bundle) fetch(ctx context.Context, log journal.TileSource) (data []byte, err error) {
	if dir, ok := log.(DirSource); ok {
		b.file, err = dir.read(b.file[:0], journal.EntriesLevel, b.n, b.width)
		return b.file, err
	}
	return log.Tile(ctx, journal.EntriesLevel, b.n, b.width)
}

func (f *Recount) String() string {
	return fmt.Sprintf("%d entries, %d parties, %d periods closed, %d late, %d findings", f.Size, len(f.Counters), f.Closes, f.Late, f.Found)
}
