package journal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// BatchFormat is the first line of a proof of several entries.
const BatchFormat = "mezhved-proof/1"

// maxBatch bounds the entries of one proof.
const maxBatch = 100_000

// Batch proves several entries at once: the hashes of the subtrees that hold none of
// them, from left to right, and no other. indexes ascend.
//
// A subtree is one of those into which RFC 6962 splits the tree, the largest that
// holds none of the entries. Entries that stand near one another share their way to
// the root, and all of them share the checkpoint.
func (p *Prover) Batch(indexes []int64) ([]Hash, error) {
	if err := checkBatch(indexes, p.tree.N); err != nil {
		return nil, err
	}
	type subtree struct{ lo, hi int64 }
	var outside []subtree
	var stored []int64
	walk(0, p.tree.N, indexes, func(lo, hi int64, in []int64) bool {
		if len(in) == 0 {
			outside = append(outside, subtree{lo, hi})
			whole(lo, hi, func(level int, n int64) { stored = append(stored, tlog.StoredHashIndex(level, n)) })
		}
		return len(in) > 0
	})
	read, err := p.read.ReadHashes(stored)
	if err != nil {
		return nil, err
	}
	out := make([]Hash, len(outside))
	for i, s := range outside {
		var parts []byte
		whole(s.lo, s.hi, func(int, int64) {
			parts = append(parts, read[0][:]...)
			read = read[1:]
		})
		// What stands to the right is smaller each time: it is joined from there.
		h := Hash(parts[len(parts)-tlog.HashSize:])
		for at := len(parts) - 2*tlog.HashSize; at >= 0; at -= tlog.HashSize {
			h = tlog.NodeHash(Hash(parts[at:at+tlog.HashSize]), h)
		}
		out[i] = h
	}
	return out, nil
}

// checkBatch says whether entries can be proved at once.
func checkBatch(indexes []int64, size int64) error {
	if len(indexes) == 0 || len(indexes) > maxBatch {
		return fmt.Errorf("a proof of %d entries: 1 to %d are possible", len(indexes), maxBatch)
	}
	for i, n := range indexes {
		if n < 0 || n >= size || i > 0 && n <= indexes[i-1] {
			return fmt.Errorf("a proof names entries in ascending order, of a log of %d; %d is out of place", size, n)
		}
	}
	return nil
}

// walk goes through the subtrees of entries lo to hi as RFC 6962 splits them, from
// left to right, and below each for which into says so. in are those of indexes that
// it holds.
func walk(lo, hi int64, in []int64, into func(lo, hi int64, in []int64) bool) {
	if !into(lo, hi, in) || hi-lo == 1 {
		return
	}
	mid := lo + split(hi-lo)
	at, _ := slices.BinarySearch(in, mid)
	walk(lo, mid, in[:at], into)
	walk(mid, hi, in[at:], into)
}

// split is the largest power of two below n.
func split(n int64) int64 {
	k := int64(1)
	for k*2 < n {
		k *= 2
	}
	return k
}

// whole cuts a subtree into perfect ones, whose hashes are stored.
func whole(lo, hi int64, part func(level int, n int64)) {
	for lo < hi {
		size := split(hi - lo)
		if size*2 == hi-lo {
			size = hi - lo
		}
		level := 0
		for size>>level > 1 {
			level++
		}
		part(level, lo>>level)
		lo += size
	}
}

// MarshalBatch writes a proof of several entries: BatchFormat; "entries" and their
// numbers, all in a line; the hashes in base64, each in a line; an empty line; the
// signed checkpoint.
func MarshalBatch(indexes []int64, hashes []Hash, checkpoint []byte) []byte {
	b := append([]byte(BatchFormat), "\nentries"...)
	for _, n := range indexes {
		b = strconv.AppendInt(append(b, ' '), n, 10)
	}
	b = append(b, '\n')
	for _, h := range hashes {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return append(append(b, '\n'), checkpoint...)
}

// batch is a proof that was read.
type batch struct {
	indexes    []int64
	hashes     []Hash
	checkpoint []byte
}

func readBatch(b []byte) (*batch, error) {
	head, note, ok := bytes.Cut(b, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !ok || len(lines) < 2 || lines[0] != BatchFormat {
		return nil, fmt.Errorf("proof is not of format %s", BatchFormat)
	}
	p := &batch{checkpoint: note}
	fields := strings.Split(lines[1], " ")
	if fields[0] != "entries" || len(fields)-1 > maxBatch {
		return nil, errors.New("proof does not say of which entries")
	}
	for _, f := range fields[1:] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil || n > maxInteger {
			return nil, fmt.Errorf("proof names entry %q", f)
		}
		p.indexes = append(p.indexes, n)
	}
	for _, line := range lines[2:] {
		h, ok := decodeHash(line)
		if !ok {
			return nil, fmt.Errorf("proof: %q is no hash", line)
		}
		p.hashes = append(p.hashes, h)
	}
	if !bytes.Equal(MarshalBatch(p.indexes, p.hashes, p.checkpoint), b) {
		return nil, errors.New("proof is not in its only spelling")
	}
	return p, nil
}

// VerifyBatch is VerifyProof for several entries: leaves are those that the proof
// names, in its order.
func VerifyBatch(policy *Policy, leaves [][]byte, proof []byte) ([]Proven, error) {
	_, out, err := verifyBatch(policy, leaves, proof, nil)
	return out, err
}

// verifyBatch is VerifyBatch, and gives the proof as it was read and the paths that
// batch.check is asked for.
func verifyBatch(policy *Policy, leaves [][]byte, proof []byte, paths [][]Hash) (*batch, []Proven, error) {
	p, err := readBatch(proof)
	if err != nil {
		return nil, nil, err
	}
	c, err := policy.Open(p.checkpoint)
	if err != nil {
		return nil, nil, err
	}
	if err := checkBatch(p.indexes, c.Tree.N); err != nil {
		return nil, nil, err
	}
	if len(leaves) != len(p.indexes) {
		return nil, nil, fmt.Errorf("proof is of %d entries, there are %d", len(p.indexes), len(leaves))
	}
	if err := p.check(c.Tree, leaves, paths); err != nil {
		return nil, nil, err
	}
	out := make([]Proven, len(leaves))
	for i, leaf := range leaves {
		l, err := ParseLeaf(leaf)
		if err != nil {
			return nil, nil, fmt.Errorf("entry %d: %w", p.indexes[i], err)
		}
		out[i] = Proven{Index: p.indexes[i], Leaf: l, Bytes: leaf, Checkpoint: c}
	}
	return p, out, nil
}

// SplitBatch makes of a proof that VerifyBatch accepts one for each entry, in the
// form that other people's programs read: see MarshalProof. Each has the checkpoint, which
// may be 64 KB long: they are made one by one, as they are asked for.
func SplitBatch(policy *Policy, leaves [][]byte, proof []byte) (iter.Seq2[int64, []byte], error) {
	paths := make([][]Hash, len(leaves))
	p, _, err := verifyBatch(policy, leaves, proof, paths)
	if err != nil {
		return nil, err
	}
	return func(yield func(int64, []byte) bool) {
		for i, n := range p.indexes {
			if !yield(n, MarshalProof(n, paths[i], p.checkpoint)) {
				return
			}
		}
	}, nil
}

// check computes the root anew, and, unless paths is nil, puts into it the way to the
// root of each entry, from the leaf upwards.
func (p *batch) check(tree tlog.Tree, leaves [][]byte, paths [][]Hash) error {
	hashes := p.hashes
	var root func(lo, hi int64, first, last int) (Hash, error)
	root = func(lo, hi int64, first, last int) (Hash, error) {
		switch {
		case first == last && len(hashes) == 0:
			return Hash{}, errors.New("proof has too few hashes")
		case first == last:
			h := hashes[0]
			hashes = hashes[1:]
			return h, nil
		case hi-lo == 1:
			return LeafHash(leaves[first]), nil
		}
		mid := lo + split(hi-lo)
		at, _ := slices.BinarySearch(p.indexes[first:last], mid)
		left, err := root(lo, mid, first, first+at)
		if err != nil {
			return Hash{}, err
		}
		right, err := root(mid, hi, first+at, last)
		if err != nil {
			return Hash{}, err
		}
		for i := first; paths != nil && i < last; i++ {
			if i < first+at {
				paths[i] = append(paths[i], right)
			} else {
				paths[i] = append(paths[i], left)
			}
		}
		return tlog.NodeHash(left, right), nil
	}
	got, err := root(0, tree.N, 0, len(leaves))
	switch {
	case err != nil:
		return err
	case len(hashes) > 0:
		return errors.New("proof has hashes to spare")
	case got != tree.Hash:
		return fmt.Errorf("the entries are not all in the log of %d entries that the checkpoint signs", tree.N)
	}
	return nil
}
