package journal_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
)

// A proof of any set of entries of a log of any size is accepted, says what the
// entries' own proofs say, and splits into those, byte for byte.
func TestBatchProvesWhatSingleProofsProve(t *testing.T) {
	ctx, r := context.Background(), journaltest.Random(t)
	d := journaltest.NewDesk(t)
	for _, size := range []int{1, 2, 3, 7, 8, 9, 255, 256, 257, 300 + r.IntN(900)} {
		book := d.Forged(uint64(size), size)
		c := d.Checkpoint(book)
		prover := journal.NewProver(ctx, c.Tree, book)
		for range 12 {
			set := map[int64]bool{}
			for range 1 + r.IntN(20) {
				set[r.Int64N(c.Tree.N)] = true
			}
			var indexes []int64
			var leaves [][]byte
			for n := range c.Tree.N {
				if set[n] {
					indexes, leaves = append(indexes, n), append(leaves, book.Entry(n))
				}
			}
			hashes, err := prover.Batch(indexes)
			if err != nil {
				t.Fatal(err)
			}
			proof := journal.MarshalBatch(indexes, hashes, c.Note)
			proven, err := journal.VerifyBatch(d.Policy, leaves, proof)
			if err != nil {
				t.Fatalf("entries %v of %d: %v", indexes, size, err)
			}
			singles, err := journal.SplitBatch(d.Policy, leaves, proof)
			if err != nil {
				t.Fatal(err)
			}
			split := maps.Collect(singles)
			if len(split) != len(indexes) || len(proven) != len(indexes) {
				t.Fatalf("%d entries, split into %d", len(indexes), len(split))
			}
			for i, n := range indexes {
				path, err := prover.Inclusion(n)
				if err != nil {
					t.Fatal(err)
				}
				if want := journal.MarshalProof(n, path, c.Note); !bytes.Equal(split[n], want) {
					t.Fatalf("entry %d of %d: split into\n%s\nwant\n%s", n, size, split[n], want)
				}
				if proven[i].Index != n || !bytes.Equal(proven[i].Bytes, leaves[i]) {
					t.Fatalf("proves entry %d, want %d", proven[i].Index, n)
				}
			}
		}
	}
}

func TestNoMutationOfABatchGoesUnnoticed(t *testing.T) {
	r := journaltest.Random(t)
	d := journaltest.NewDesk(t)
	book := d.Filled(27, 700)
	c := d.Checkpoint(book)
	indexes := []int64{3, 4, 5, 300, 699}
	hashes, err := journal.NewProver(context.Background(), c.Tree, book).Batch(indexes)
	if err != nil {
		t.Fatal(err)
	}
	var leaves [][]byte
	for _, n := range indexes {
		leaves = append(leaves, book.Entry(n))
	}
	proof := journal.MarshalBatch(indexes, hashes, c.Note)
	for range journaltest.Mutations(t) {
		bad := slices.Clone(leaves)
		i := r.IntN(len(bad))
		bad[i] = journaltest.Mutate(r, bad[i])
		if _, err := journal.VerifyBatch(d.Policy, bad, proof); err == nil {
			t.Fatalf("a changed leaf was accepted: %s", bad[i])
		}
		changed := journaltest.Mutate(r, proof)
		if p, err := journal.VerifyBatch(d.Policy, leaves, changed); err == nil && (p[0].Checkpoint.Tree != c.Tree || fmt.Sprint(indexesOf(p)) != fmt.Sprint(indexes)) {
			t.Fatalf("a changed proof was accepted:\n%s", changed)
		}
	}
	swapped := slices.Clone(leaves)
	swapped[0], swapped[1] = swapped[1], swapped[0]
	if _, err := journal.VerifyBatch(d.Policy, swapped, proof); err == nil {
		t.Error("two leaves were swapped and nobody noticed")
	}
	for what, indexes := range map[string][]int64{"none": nil, "twice": {3, 3}, "backwards": {4, 3}, "beyond": {c.Tree.N}, "negative": {-1}} {
		if _, err := journal.NewProver(context.Background(), c.Tree, book).Batch(indexes); err == nil {
			t.Errorf("%s: proved", what)
		}
		if _, err := journal.VerifyBatch(d.Policy, leaves[:len(indexes)], journal.MarshalBatch(indexes, hashes, c.Note)); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

func indexesOf(list []journal.Proven) (out []int64) {
	for _, p := range list {
		out = append(out, p.Index)
	}
	return out
}

// A checkpoint may be 64 KB long and stands in each of the proofs that a proof of several
// entries is split into: not all of them are in memory at once.
func TestSplitProofsAreMadeOneByOne(t *testing.T) {
	const many = 20_000
	d := journaltest.NewDesk(t)
	edge, leaves, indexes := &journal.Edge{}, [][]byte{}, []int64{}
	for i := range int64(many) {
		l := journal.Leaf{Event: journal.Event{Kind: journal.KindRouted, Time: journaltest.Start}, Logged: journaltest.Start, Prev: journal.NoEntry, SenderSeq: i}
		leaves, indexes = append(leaves, l.Append(nil)), append(indexes, i)
		edge.Append(journal.LeafHash(leaves[i]))
	}
	key, err := journal.ParseSigningKey(d.Secret)
	if err != nil {
		t.Fatal(err)
	}
	text := journal.CheckpointText(journaltest.Origin, tlog.Tree{N: many, Hash: edge.Root()}) + strings.Repeat("extension\n", 6000)
	proof := journal.MarshalBatch(indexes, nil, []byte(text+"\n"+key.Sign(text)))
	var before, most runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	proofs, err := journal.SplitBatch(d.Policy, leaves, proof)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, proof := range proofs {
		if n++; n == many {
			runtime.GC()
			runtime.ReadMemStats(&most)
			runtime.KeepAlive(proof)
		}
	}
	if held := (int64(most.HeapAlloc) - int64(before.HeapAlloc)) >> 20; n != many || held > 200 {
		t.Errorf("%d proofs, with %d MB at the last", n, held)
	}
}
