package vault

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"
)

// ids are made in the order of time, some in the same millisecond.
func ids(r *rand.Rand, n int, from time.Time) []ID {
	out := make([]ID, n)
	at := from
	for i := range out {
		binary.BigEndian.PutUint64(out[i][:8], uint64(at.UnixMilli())<<16)
		binary.BigEndian.PutUint64(out[i][8:], r.Uint64())
		at = at.Add(time.Duration(r.IntN(3)) * time.Millisecond * time.Duration(1+r.IntN(1_000_000)))
		if at.After(from.AddDate(0, 0, 27)) {
			at = from
		}
	}
	return out
}

// What is taken away cannot be computed from what is left, and everything else
// stays as it was: held against a tree that is whole, over random acts.
func TestWhatIsTakenAwayIsGoneAndNothingElse(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	root := tree{{value: sha256.Sum256([]byte("seed"))}}
	all := ids(r, 400, begin)
	left, gone := root, map[ID]bool{}
	for round := range 12 {
		var cut spans
		if round%4 == 3 {
			before := begin.Add(time.Duration(r.Int64N(int64(20 * 24 * time.Hour))))
			var spared []path
			kept := map[ID]bool{}
			for _, id := range all {
				if r.IntN(10) == 0 {
					spared, kept[id] = append(spared, id.path()), true
				}
			}
			for _, id := range all {
				if id.Time().Before(before.Truncate(time.Millisecond)) && !kept[id] {
					gone[id] = true
				}
			}
			cut = until(begin, before, spared)
		} else {
			var paths []path
			for range 10 {
				id := all[r.IntN(len(all))]
				paths, gone[id] = append(paths, id.path()), true
			}
			cut = points(paths)
		}
		left, _ = left.without(cut)
		again, less := left.without(cut)
		if less || len(again) != len(left) {
			t.Fatalf("round %d: the same taken away twice changed the tree", round)
		}
		read, err := decodeTree("c-2026-03", left.encode("c-2026-03"))
		if err != nil {
			t.Fatal(err)
		}
		remembering := &grown{tree: read}
		for _, id := range all {
			want, _ := root.leaf(id.path())
			got, ok := read.leaf(id.path())
			if ok == gone[id] || ok && got != want {
				t.Fatalf("round %d: message %x of %s: key there %v, right %v; gone %v", round, id, id.Time(), ok, got == want, gone[id])
			}
			if same, there := remembering.key(id.path()); there != ok || same != got {
				t.Fatalf("round %d: message %x of %s: behind others its key is there %v, right %v; gone %v", round, id, id.Time(), there, same == got, gone[id])
			}
		}
		for i := range left {
			for id := range gone {
				p := id.path()
				if last := left[i].last(); bytes.Compare(left[i].at[:], p[:]) <= 0 && bytes.Compare(p[:], last[:]) <= 0 {
					t.Fatalf("round %d: a node above the key of %x is left", round, id)
				}
			}
		}
	}
	if len(gone) == 0 || len(gone) == len(all) {
		t.Fatalf("%d of %d messages gone: nothing was tried", len(gone), len(all))
	}
}

// A month that is over leaves nothing; one whose first days are over leaves a
// handful of nodes, however many messages of it went one by one before.
func TestTheTreeOfAMonthBecomesSmallAgain(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	left := tree{{}}
	var paths []path
	for _, id := range ids(r, 50, begin) {
		paths = append(paths, id.path())
	}
	left, _ = left.without(points(paths))
	if per := len(left) / 50; per > 3*depth {
		t.Errorf("%d nodes for a message", per)
	}
	left, _ = left.without(until(begin, begin.AddDate(0, 0, 28), nil))
	if len(left) > 3*16 {
		t.Errorf("%d nodes are left of the days after the 28th", len(left))
	}
	if left, _ = left.without(until(begin, begin.AddDate(0, 2, 0), nil)); len(left) != 0 {
		t.Errorf("%d nodes are left of a month that is over", len(left))
	}
}

func TestADamagedTreeIsNotUsed(t *testing.T) {
	whole := tree{{value: sha256.Sum256(nil)}}.encode("c-2026-03")
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		if _, err := decodeTree("c-2026-03", bad); err == nil {
			t.Fatalf("a tree whose byte %d was changed is read", i)
		}
	}
	for n := range whole {
		if _, err := decodeTree("c-2026-03", whole[:n]); err == nil {
			t.Fatalf("a tree of %d of %d bytes is read", n, len(whole))
		}
	}
	if _, err := decodeTree("c-2026-04", whole); err == nil {
		t.Error("the tree of another month is read")
	}
}

func BenchmarkLeaf(b *testing.B) {
	t, p := tree{{value: sha256.Sum256(nil)}}, ID{}.path()
	for b.Loop() {
		t.leaf(p)
	}
}

// Content that is sealed today is opened by the node of tomorrow, and by the one beside
// it: a key is what the rule says, taken step by step.
func TestAKeyIsTheLeafOfSHA256AlongItsPath(t *testing.T) {
	root := tree{{value: sha256.Sum256([]byte("seed"))}}
	for _, id := range ids(rand.New(rand.NewPCG(5, 6)), 20, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)) {
		p, want := id.path(), root[0].value
		for d := range depth {
			want = sha256.Sum256(append(bytes.Clone(want[:]), p[d/4]>>(6-2*(d%4))&3))
		}
		if got, ok := root.leaf(p); !ok || got != want {
			t.Fatalf("message %x: key %x, %v, want %x", id, got, ok, want)
		}
	}
}
