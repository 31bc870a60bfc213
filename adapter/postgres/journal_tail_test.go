package postgres

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"mezhved/adapter"
)

// A tail gives the entries from any index on that it has, as many as are asked for, under
// the tree of the last batch and no other.
func TestATailIsBelievedUnderItsTreeAlone(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	var tail tail
	size, tree := int64(0), tlog.Tree{}
	batch := func(n, room int) (list []adapter.LogEntry) {
		for range n {
			list = append(list, adapter.LogEntry{Index: size, Kind: fmt.Sprint(size), Leaf: make([]byte, room)})
			size++
		}
		return list
	}
	add := func(list []adapter.LogEntry) {
		was := tree
		tree = tlog.Tree{N: size, Hash: tlog.Hash{byte(r.Uint32()), byte(r.Uint32()), 1}}
		tail.add(was, tree, list)
	}
	check := func(least int64) {
		t.Helper()
		if _, ok := tail.from(size-1, 10, tlog.Tree{N: size, Hash: tlog.Hash{7}}); ok {
			t.Fatal("another log of the same size is told")
		}
		for range 20 {
			next, max := r.Int64N(size+1), 1+r.IntN(3000)
			list, ok := tail.from(next, max, tree)
			if !ok {
				if next >= size-least {
					t.Fatalf("of %d entries those from %d on are not known", size, next)
				}
				continue
			}
			if want := min(int64(max), size-next); int64(len(list)) != want {
				t.Fatalf("of %d entries, %d from %d on: got %d, want %d", size, max, next, len(list), want)
			}
			for i, e := range list {
				if e.Index != next+int64(i) {
					t.Fatalf("place %d from %d on has entry %d", i, next, e.Index)
				}
			}
		}
	}
	for range 60 {
		add(batch(1+r.IntN(900), 10))
		check(min(size, tailEntries-900))
	}
	add(batch(tailEntries, 100))
	check(tailEntries)
	for i := range int64(40) {
		add(batch(1000, 2000))
		check(min(1000*(i+1), tailBytes/2000-1000))
	}
	add(batch(100, tailBytes))
	if list, ok := tail.from(size-1, 1, tree); ok {
		t.Errorf("%d entries of more bytes than are kept", len(list))
	}
	if list, ok := tail.from(size, 1, tree); !ok || len(list) != 0 {
		t.Errorf("behind the last entry: %d, %v", len(list), ok)
	}
	tree = tlog.Tree{N: size, Hash: tlog.Hash{9}} // another has led
	add(batch(5, 10))
	if list, ok := tail.from(size-6, 10, tree); ok {
		t.Errorf("entries of before another led: %d", len(list))
	}
	check(5)
}
