package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Tiles of the log, as https://c2sp.org/tlog-tiles lays them out: height 8, so
// 256 hashes to a tile, and 256 entries to an entry bundle.
const (
	TileHeight = 8
	TileWidth  = 1 << TileHeight
)

// Tile is a run of hashes of the tree. Width is below TileWidth only at the
// right edge. Level EntriesLevel holds the entries themselves, each with its
// length before it in two big-endian bytes.
type Tile struct {
	Level int
	N     int64
	Data  []byte
}

// EntriesLevel is the Level of entry bundles.
const EntriesLevel = -1

// Width is how many hashes a hash tile holds.
func (t Tile) Width() int { return len(t.Data) / tlog.HashSize }

// TileSource gives tiles of a log. width is the least number of hashes wanted: a
// longer tile may come back, a shorter one may not. A tile that does not exist
// is fs.ErrNotExist. What comes back is checked by whoever asked.
type TileSource interface {
	Tile(ctx context.Context, level int, n int64, width int) ([]byte, error)
}

// TilePath is the C2SP path: tile/<level>/<N>[.p/<width>], or tile/entries/...
// (x/mod's own paths differ: they contain the height.)
func TilePath(level int, n int64, width int) string {
	name := strconv.Itoa(level)
	if level == EntriesLevel {
		name = "entries"
	}
	number := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		number = fmt.Sprintf("x%03d/%s", n%1000, number)
	}
	path := "tile/" + name + "/" + number
	if width < TileWidth {
		path += ".p/" + strconv.Itoa(width)
	}
	return path
}

// ParseTilePath is the inverse of TilePath and accepts nothing else.
func ParseTilePath(path string) (level int, n int64, width int, err error) {
	bad := fmt.Errorf("malformed tile path %q", path)
	rest, ok := strings.CutPrefix(path, "tile/")
	name, number, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 {
		return 0, 0, 0, bad
	}
	level = EntriesLevel
	if name != "entries" {
		if level, err = strconv.Atoi(name); err != nil || level < 0 || level > 63 {
			return 0, 0, 0, bad
		}
	}
	width = TileWidth
	if digits, partial, ok := strings.Cut(number, ".p/"); ok {
		number = digits
		if width, err = strconv.Atoi(partial); err != nil || width < 1 || width >= TileWidth {
			return 0, 0, 0, bad
		}
	}
	if len(number) > 40 {
		return 0, 0, 0, bad
	}
	for part := range strings.SplitSeq(number, "/") {
		d, err := strconv.Atoi(strings.TrimPrefix(part, "x"))
		if err != nil || d < 0 || d > 999 || n > maxInteger/1000 {
			return 0, 0, 0, bad
		}
		n = n*1000 + int64(d)
	}
	if TilePath(level, n, width) != path {
		return 0, 0, 0, bad
	}
	return level, n, width, nil
}

// TileSize is how many hashes (or entries) tile n of a level holds in a log of
// the given size: 0 to TileWidth.
func TileSize(level int, n, size int64) int {
	count := size >> (TileHeight * max(level, 0))
	return int(max(0, min(TileWidth, count-n*TileWidth)))
}

// AppendEntry adds one entry to an entry bundle.
func AppendEntry(bundle, leaf []byte) []byte {
	bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(leaf)))
	return append(bundle, leaf...)
}

// Entries cuts an entry bundle into its entries, which share its memory.
func Entries(bundle []byte) ([][]byte, error) {
	n, err := CountEntries(bundle)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, n)
	for i := range out {
		out[i], bundle = CutEntry(bundle)
	}
	return out, nil
}

// CountEntries checks that an entry bundle can be cut into its entries.
func CountEntries(bundle []byte) (n int, err error) {
	for len(bundle) > 0 {
		if len(bundle) < 2 {
			return 0, errors.New("entry bundle ends inside a length")
		}
		if len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
			return 0, errors.New("entry bundle ends inside an entry")
		}
		_, bundle = CutEntry(bundle)
		n++
	}
	if n > TileWidth {
		return 0, fmt.Errorf("entry bundle holds %d entries, at most %d belong there", n, TileWidth)
	}
	return n, nil
}

// CutEntry takes the first entry off a bundle that was counted.
func CutEntry(bundle []byte) (leaf, rest []byte) {
	end := 2 + int(binary.BigEndian.Uint16(bundle))
	return bundle[2:end:end], bundle[end:]
}

// Edge is the right edge of a tree: for each level the hashes of its last,
// unfinished tile. It is all that is needed to go on, about 8 KB for each level.
type Edge struct {
	size    int64
	levels  [][]byte
	full    []Tile // finished since the last Take
	touched int    // levels below this one changed since the last Take
}

// LoadEdge reads the edge of a tree and proves it against the tree's root, so
// that a log whose tiles were touched cannot go on.
func LoadEdge(ctx context.Context, tree tlog.Tree, tiles TileSource) (*Edge, error) {
	e := &Edge{size: tree.N}
	for level := 0; tree.N>>(TileHeight*level) > 0; level++ {
		n := tree.N >> (TileHeight * (level + 1))
		width := TileSize(level, n, tree.N)
		var data []byte
		if width > 0 {
			got, err := tiles.Tile(ctx, level, n, width)
			if err != nil {
				return nil, fmt.Errorf("read the log's edge: %s: %w", TilePath(level, n, width), err)
			}
			if len(got) < width*tlog.HashSize {
				return nil, fmt.Errorf("read the log's edge: %s has %d bytes", TilePath(level, n, width), len(got))
			}
			data = append(make([]byte, 0, TileWidth*tlog.HashSize), got[:width*tlog.HashSize]...)
		}
		e.levels = append(e.levels, data)
	}
	if root := e.Root(); root != tree.Hash {
		return nil, &BrokenError{What: fmt.Sprintf("the stored tiles of size %d make root %s, the head says %s", tree.N, root, tree.Hash)}
	}
	return e, nil
}

// BrokenError says that what is stored contradicts itself: the log was damaged
// or tampered with. Nothing may be appended or signed until a person has looked.
type BrokenError struct{ What string }

func (e *BrokenError) Error() string { return "journal is broken: " + e.What }

// Size is the number of leaves.
func (e *Edge) Size() int64 { return e.size }

// Append adds a leaf's hash.
func (e *Edge) Append(h Hash) {
	n := e.size
	e.size++
	for level := 0; ; level++ {
		if level == len(e.levels) {
			e.levels = append(e.levels, make([]byte, 0, TileWidth*tlog.HashSize))
		}
		e.levels[level] = append(e.levels[level], h[:]...)
		e.touched = max(e.touched, level+1)
		if len(e.levels[level]) < TileWidth*tlog.HashSize {
			return
		}
		done := e.levels[level]
		e.levels[level] = make([]byte, 0, TileWidth*tlog.HashSize)
		n >>= TileHeight
		e.full = append(e.full, Tile{Level: level, N: n, Data: done})
		h = Subtree(done)
	}
}

// Take returns the tiles that Append changed since the last Take: finished ones,
// then the unfinished ones of the edge.
func (e *Edge) Take() []Tile {
	out := append(e.Finished(), e.unfinished(e.touched)...)
	e.touched = 0
	return out
}

// Finished takes the tiles that Append finished since they were last taken.
func (e *Edge) Finished() []Tile {
	out := e.full
	e.full = nil
	return out
}

// Unfinished gives all unfinished tiles, whether Append changed them or not.
func (e *Edge) Unfinished() []Tile { return e.unfinished(len(e.levels)) }

func (e *Edge) unfinished(levels int) (out []Tile) {
	for level := range levels {
		if data := e.Level(level); len(data) > 0 {
			out = append(out, Tile{Level: level, N: e.size >> (TileHeight * (level + 1)), Data: append([]byte(nil), data...)})
		}
	}
	return out
}

// Level gives the hashes of the unfinished tile of a level; they change with the
// next Append.
func (e *Edge) Level(level int) []byte { return e.levels[level] }

// Root is the RFC 6962 tree head of all leaves.
func (e *Edge) Root() Hash {
	if e.size == 0 {
		root, _ := tlog.TreeHash(0, nil)
		return root
	}
	// Each level's hashes are perfect subtrees of equal size; what stands to the
	// right of them, from the levels below, is smaller than one of them. RFC 6962
	// splits such a list exactly as it splits a list of leaves.
	var right []byte
	for _, data := range e.levels {
		if list := append(append([]byte(nil), data...), right...); len(list) > 0 {
			h := Subtree(list)
			right = h[:]
		}
	}
	return Hash(right)
}

// Subtree is the RFC 6962 hash over a list of node hashes.
func Subtree(list []byte) Hash {
	n := len(list) / tlog.HashSize
	if n == 1 {
		return Hash(list)
	}
	k := 1
	for k*2 < n {
		k *= 2
	}
	return tlog.NodeHash(Subtree(list[:k*tlog.HashSize]), Subtree(list[k*tlog.HashSize:]))
}

// tileReader lets x/mod's tree maths read from a TileSource.
type tileReader struct {
	ctx   context.Context
	tiles TileSource
	kept  map[tlog.Tile][]byte
}

func (r *tileReader) Height() int { return TileHeight }

func (r *tileReader) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(want))
	for i, t := range want {
		if data, ok := r.kept[t]; ok {
			out[i] = data
			continue
		}
		data, err := r.tiles.Tile(r.ctx, t.L, t.N, t.W)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", TilePath(t.L, t.N, t.W), err)
		}
		if len(data) < t.W*tlog.HashSize {
			return nil, fmt.Errorf("read %s: %d bytes, want %d", TilePath(t.L, t.N, t.W), len(data), t.W*tlog.HashSize)
		}
		out[i] = data[:t.W*tlog.HashSize]
	}
	return out, nil
}

func (r *tileReader) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	if r.kept == nil {
		return
	}
	for i, t := range tiles {
		r.kept[t] = data[i]
	}
}

// Prover builds proofs in one tree. Tiles are proven against the tree's root
// before they are used and then kept, so a Prover is for one batch of proofs and
// one goroutine.
type Prover struct {
	tree tlog.Tree
	read tlog.HashReader
}

// NewProver makes a Prover for the tree of a checkpoint.
func NewProver(ctx context.Context, tree tlog.Tree, tiles TileSource) *Prover {
	return &Prover{tree, tlog.TileHashReader(tree, &tileReader{ctx, tiles, map[tlog.Tile][]byte{}})}
}

// Inclusion proves that the leaf at index is in the tree.
func (p *Prover) Inclusion(index int64) ([]Hash, error) {
	if index < 0 || index >= p.tree.N {
		return nil, fmt.Errorf("entry %d is not in a log of %d entries: %w", index, p.tree.N, fs.ErrNotExist)
	}
	return tlog.ProveRecord(p.tree.N, index, p.read)
}

// Consistency proves that the log of oldSize entries is the beginning of the
// tree. The proof is empty for an empty old log and for the tree itself.
func (p *Prover) Consistency(oldSize int64) ([]Hash, error) {
	if oldSize < 0 || oldSize > p.tree.N {
		return nil, fmt.Errorf("a log of %d entries cannot have grown from %d", p.tree.N, oldSize)
	}
	if oldSize == 0 || oldSize == p.tree.N {
		return nil, nil
	}
	return tlog.ProveTree(p.tree.N, oldSize, p.read)
}

// CheckConsistency checks that old is the beginning of tree, and that is all it
// checks: both must come from signed checkpoints, or from memory.
func CheckConsistency(tree, old tlog.Tree, proof []Hash) error {
	switch {
	case old.N > tree.N:
		return fmt.Errorf("a log of %d entries has shrunk to %d", old.N, tree.N)
	case old.N == tree.N && old.Hash != tree.Hash:
		return fmt.Errorf("two different logs of %d entries", tree.N)
	case old.N == tree.N || old.N == 0:
		if len(proof) != 0 {
			return errors.New("a consistency proof where none is needed")
		}
		return nil
	}
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
		return fmt.Errorf("the log of %d entries is not the beginning of that of %d: %w", old.N, tree.N, err)
	}
	return nil
}

// CheckInclusion checks that leaf is entry index of tree.
func CheckInclusion(tree tlog.Tree, index int64, leaf []byte, proof []Hash) error {
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(leaf)); err != nil {
		return fmt.Errorf("entry %d is not in the log of %d entries: %w", index, tree.N, err)
	}
	return nil
}

// LeafHash is the RFC 6962 hash of a leaf: SHA-256 of a zero byte and its bytes.
func LeafHash(leaf []byte) Hash { return tlog.RecordHash(leaf) }
