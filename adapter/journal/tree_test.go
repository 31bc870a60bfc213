package journal_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
)

// tiles is a TileSource in a map.
type tiles map[[2]int64][]byte

func (m tiles) Tile(_ context.Context, level int, n int64, width int) ([]byte, error) {
	data := m[[2]int64{int64(level), n}]
	if len(data) < width*tlog.HashSize {
		return nil, fmt.Errorf("no tile %s", journal.TilePath(level, n, width))
	}
	return data, nil
}

func (m tiles) put(list []journal.Tile) {
	for _, t := range list {
		m[[2]int64{int64(t.Level), t.N}] = t.Data
	}
}

// Two implementations that are not ours must agree with every root: x/mod's tree
// over stored hashes, and transparency-dev's compact range.
func TestEdgeAgreesWithTwoOtherImplementations(t *testing.T) {
	edge, store := &journal.Edge{}, tiles{}
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = hashes[x]
		}
		return out, nil
	})
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	other := factory.NewEmptyRange(0)
	for n := int64(0); n < 70_000; n++ {
		leaf := fmt.Appendf(nil, "leaf %d", n)
		edge.Append(tlog.RecordHash(leaf))
		stored, err := tlog.StoredHashes(n, leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, stored...)
		if err := other.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil); err != nil {
			t.Fatal(err)
		}
		size := n + 1
		if size > 1200 && size%997 != 0 && size%256 > 1 && size%65536 > 2 {
			continue
		}
		want, err := tlog.TreeHash(size, reader)
		if err != nil {
			t.Fatal(err)
		}
		second, err := other.GetRootHash(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := edge.Root(); got != want || got != tlog.Hash(second) {
			t.Fatalf("size %d: root %s, x/mod %s, merkle %x", size, got, want, second)
		}
		store.put(edge.Take())
		if edge, err = journal.LoadEdge(context.Background(), tlog.Tree{N: size, Hash: want}, store); err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
	}
}

func TestEdgeRefusesTilesThatWereTouched(t *testing.T) {
	edge, store := &journal.Edge{}, tiles{}
	for i := range 1000 {
		edge.Append(tlog.RecordHash(fmt.Append(nil, i)))
	}
	store.put(edge.Take())
	tree := tlog.Tree{N: 1000, Hash: edge.Root()}
	if _, err := journal.LoadEdge(context.Background(), tree, store); err != nil {
		t.Fatal(err)
	}
	store[[2]int64{0, 3}][5*32] ^= 1
	if _, err := journal.LoadEdge(context.Background(), tree, store); err == nil {
		t.Error("went on from a tile that was changed")
	}
}

func hashList(list []journal.Hash) [][]byte {
	out := make([][]byte, len(list))
	for i := range list {
		out[i] = list[i][:]
	}
	return out
}

func TestProofsAreAcceptedByTheOtherImplementation(t *testing.T) {
	ctx := context.Background()
	d := journaltest.NewDesk(t)
	book := d.Filled(3, 3000)
	now := d.Checkpoint(book)
	r := rand.New(rand.NewPCG(1, 2))
	prover := journal.NewProver(ctx, now.Tree, book)
	for range 300 {
		index := r.Int64N(now.Tree.N)
		p, err := prover.Inclusion(index)
		if err != nil {
			t.Fatal(err)
		}
		leaf := rfc6962.DefaultHasher.HashLeaf(book.Entry(index))
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), uint64(now.Tree.N), leaf, hashList(p), now.Tree.Hash[:]); err != nil {
			t.Fatalf("entry %d: %v", index, err)
		}

		old := tlog.Tree{N: 1 + r.Int64N(now.Tree.N)}
		edge := &journal.Edge{}
		for i := range old.N {
			edge.Append(tlog.RecordHash(book.Entry(i)))
		}
		old.Hash = edge.Root()
		if p, err = prover.Consistency(old.N); err != nil {
			t.Fatal(err)
		}
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(old.N), uint64(now.Tree.N), hashList(p), old.Hash[:], now.Tree.Hash[:]); err != nil {
			t.Fatalf("from %d: %v", old.N, err)
		}
		if err := journal.CheckConsistency(now.Tree, old, p); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTilePaths(t *testing.T) {
	for _, c := range []struct {
		level int
		n     int64
		width int
		path  string
	}{
		{0, 0, 256, "tile/0/000"},
		{0, 0, 1, "tile/0/000.p/1"},
		{3, 1234067, 256, "tile/3/x001/x234/067"},
		{journal.EntriesLevel, 1234067, 17, "tile/entries/x001/x234/067.p/17"},
		{63, 999, 255, "tile/63/999.p/255"},
	} {
		if got := journal.TilePath(c.level, c.n, c.width); got != c.path {
			t.Errorf("path %s, want %s", got, c.path)
		}
		level, n, width, err := journal.ParseTilePath(c.path)
		if err != nil || level != c.level || n != c.n || width != c.width {
			t.Errorf("%s: %d %d %d %v", c.path, level, n, width, err)
		}
	}
	for _, bad := range []string{"", "tile", "tile/0", "tile/0/", "tile/-1/000", "tile/64/000", "tile/0/0", "tile/0/x000/000", "tile/0/000.p/0",
		"tile/0/000.p/256", "tile/00/000", "tile/0/000.p/01", "tile/0/../checkpoint", "tile/0/000/", "tile/8/0/000", "tile/data/000", "tile/0/x001/1",
		"tile/0/999/999", "tile/0/x999/x999/x999/x999/x999/x999/x999/x999/999", "tile/entries/+01"} {
		if _, _, _, err := journal.ParseTilePath(bad); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}
