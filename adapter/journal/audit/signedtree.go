package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"mezhved/adapter/journal"

	"golang.org/x/mod/sumdb/tlog"
)

// signedTree gives the hash tiles of a tree whose root is signed. Each is proven
// by the tile above it before it is given away, so it does not matter where it
// comes from: the sources are tried in turn. Safe for concurrent use.
type signedTree struct {
	tree    tlog.Tree
	sources []journal.TileSource
	edge    *journal.Edge

	mu   sync.Mutex
	last map[int]journal.Tile // the tile of each level that was asked for last: a log is read from left to right
}

// openSignedTree begins with the tree's right edge, which the root proves.
func openSignedTree(ctx context.Context, tree tlog.Tree, sources ...journal.TileSource) (*signedTree, error) {
	var problems []error
	for _, source := range sources {
		edge, err := journal.LoadEdge(ctx, tree, source)
		if err == nil {
			return &signedTree{tree: tree, sources: sources, edge: edge, last: map[int]journal.Tile{}}, nil
		}
		if broken := (*journal.BrokenError)(nil); errors.As(err, &broken) {
			err = errNotSigned
		}
		problems = append(problems, err)
	}
	var paths []string
	for level := 0; tree.N>>(journal.TileHeight*level) > 0; level++ {
		n := tree.N >> (journal.TileHeight * (level + 1))
		if width := journal.TileSize(level, n, tree.N); width > 0 {
			paths = append(paths, journal.TilePath(level, n, width))
		}
	}
	return nil, fmt.Errorf("%s, which only together prove the root: %w", strings.Join(paths, ", "), errors.Join(problems...))
}

// Tile implements TileSource for hash tiles.
func (s *signedTree) Tile(ctx context.Context, level int, n int64, width int) ([]byte, error) {
	if have := journal.TileSize(level, n, s.tree.N); have < width {
		return nil, fmt.Errorf("%s is not in a tree of %d entries", journal.TilePath(level, n, width), s.tree.N)
	} else if have < journal.TileWidth {
		return s.edge.Level(level), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.full(ctx, level, n)
}

// full gives a finished tile. What stands above the highest of them is the edge.
func (s *signedTree) full(ctx context.Context, level int, n int64) ([]byte, error) {
	if journal.TileSize(level, n, s.tree.N) < journal.TileWidth {
		return s.edge.Level(level), nil
	}
	if t, ok := s.last[level]; ok && t.N == n {
		return t.Data, nil
	}
	above, err := s.full(ctx, level+1, n/journal.TileWidth)
	if err != nil {
		return nil, err
	}
	want := journal.Hash(above[n%journal.TileWidth*tlog.HashSize:][:tlog.HashSize])
	path := journal.TilePath(level, n, journal.TileWidth)
	var problems []error
	for _, source := range s.sources {
		data, err := source.Tile(ctx, level, n, journal.TileWidth)
		switch {
		case err != nil:
		case len(data) != journal.TileWidth*tlog.HashSize || journal.Subtree(data) != want:
			err = errNotSigned
		default:
			s.last[level] = journal.Tile{Level: level, N: n, Data: bytes.Clone(data)}
			return s.last[level].Data, nil
		}
		problems = append(problems, err)
	}
	return nil, fmt.Errorf("%s: %w", path, errors.Join(problems...))
}

// errNotSigned is said of a tile or bundle that can be read and is another one.
var errNotSigned = errors.New("not what the signed root proves")

// proves checks the entries of a whole bundle.
func (s *signedTree) proves(ctx context.Context, b *bundle) error {
	hashes := b.tile()
	if b.width < journal.TileWidth {
		if !bytes.Equal(hashes, s.edge.Level(0)) {
			return errNotSigned
		}
		return nil
	}
	above, err := s.Tile(ctx, 1, b.n/journal.TileWidth, int(b.n%journal.TileWidth)+1)
	if err != nil {
		return err
	}
	if journal.Subtree(hashes) != journal.Hash(above[b.n%journal.TileWidth*tlog.HashSize:][:tlog.HashSize]) {
		return errNotSigned
	}
	return nil
}

// rebuilt makes hash tiles anew from what stands below them in a folder.
type rebuilt struct{ DirSource }

// Tile implements TileSource.
func (r rebuilt) Tile(ctx context.Context, level int, n int64, width int) ([]byte, error) {
	if level == 0 {
		b := &bundle{n: n, width: width}
		err := b.read(ctx, r.DirSource)
		return b.tile(), err
	}
	var data []byte
	for i := range int64(width) {
		below, err := r.DirSource.Tile(ctx, level-1, n*journal.TileWidth+i, journal.TileWidth)
		if err != nil {
			return nil, err
		}
		h := journal.Subtree(below)
		data = append(data, h[:]...)
	}
	return data, ctx.Err()
}
