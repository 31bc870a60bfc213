package vault

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"time"
)

// A tree gives every message of a class and month a key of its own without a list
// of keys: node = SHA-256(parent, branch), four branches to a node, and the key of
// a message is the leaf at its path. Whoever has a node has all leaves below it;
// nobody can compute a node from its siblings or children. So a key is taken away,
// from everybody and for ever, by putting in place of the nodes on its path those
// beside it (a puncturable PRF: Goldreich, Goldwasser and Micali's, punctured as
// Boneh and Waters do).
//
// A path is the time of the message in its month in milliseconds, then a hash of
// its id: what is retained for as long lies side by side, and a whole range of time
// goes with a handful of nodes. A single message costs 3 nodes on each of 48
// levels, 6.5 KB, until the time around it goes.
type path [pathSize]byte

const (
	pathSize = 12           // 4 bytes of time, 8 of hash
	depth    = 4 * pathSize // levels of a tree, two bits each
)

// ID is the id of what is sealed: a UUIDv7, whose time says in which month's tree
// its key is.
type ID [16]byte

// Time is the time in the id.
func (id ID) Time() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16)).UTC()
}

// month is the beginning of the month of a time.
func month(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

func (id ID) path() (p path) {
	t := id.Time()
	binary.BigEndian.PutUint32(p[:4], uint32(t.Sub(month(t)).Milliseconds()))
	sum := sha256.Sum256(id[:])
	copy(p[4:], sum[:])
	return p
}

// branch is the turn that the path takes below a node of the given depth.
func (p *path) branch(depth int) byte { return p[depth/4] >> (6 - 2*(depth%4)) & 3 }

// node is a node of a tree: its place and its value.
type node struct {
	depth byte
	at    path // zero beyond depth
	value [sha256.Size]byte
}

func (n *node) child(branch byte) node {
	c := node{depth: n.depth + 1, at: n.at}
	c.at[n.depth/4] |= branch << (6 - 2*(n.depth%4))
	down := descent{sha: sha256.New()}
	copy(down.at[:], n.value[:])
	down.step(branch)
	copy(c.value[:], down.at[:])
	return c
}

// descent goes from a node down to a leaf: the value of the node that it has come to, and
// room for the branch. A message's key is 48 steps down, so all of them use one state of
// the hash.
type descent struct {
	sha hash.Hash
	at  [sha256.Size + 1]byte
}

func (d *descent) step(branch byte) {
	d.at[sha256.Size] = branch
	d.sha.Reset()
	d.sha.Write(d.at[:])
	d.sha.Sum(d.at[:0])
}

// last is the last path below a node.
func (n *node) last() path {
	end := n.at
	if n.depth == depth {
		return end
	}
	i := int(n.depth / 4)
	end[i] |= 0xFF >> (2 * (n.depth % 4))
	for i++; i < pathSize; i++ {
		end[i] = 0xFF
	}
	return end
}

// tree is what is left of a tree: nodes in the order of their places, none below
// another. It is not changed once made.
type tree []node

// above gives the node that has what is left at a path; nil when it was taken away.
func (t tree) above(p path) *node {
	i, found := slices.BinarySearchFunc(t, p, func(n node, p path) int { return bytes.Compare(n.at[:], p[:]) })
	if !found {
		i--
	}
	if i < 0 {
		return nil
	}
	if last := t[i].last(); bytes.Compare(p[:], last[:]) > 0 {
		return nil
	}
	return &t[i]
}

// below gives the value of the node at a depth on a path that goes through this one.
func (n *node) below(p *path, to int) (value [sha256.Size]byte) {
	down := descent{sha: sha256.New()}
	copy(down.at[:], n.value[:])
	for d := int(n.depth); d < to; d++ {
		down.step(p.branch(d))
	}
	copy(value[:], down.at[:])
	return value
}

// leaf gives the key at a path; false when it was taken away.
func (t tree) leaf(p path) (key [sha256.Size]byte, ok bool) {
	n := t.above(p)
	if n == nil {
		return key, false
	}
	return n.below(&p, depth), true
}

// until is the path as far as a depth.
func (p path) until(depth int) path {
	clear(p[(depth+3)/4:])
	if rest := depth % 4; rest > 0 {
		p[depth/4] &^= 0xFF >> (2 * rest)
	}
	return p
}

// sharedDepth is as far down as the ways to the keys of 16 milliseconds are one.
const sharedDepth = 14

// key is leaf of the tree. The messages of a moment come together: the node through which
// the ways to their keys lead is remembered.
func (g *grown) key(p path) (key [sha256.Size]byte, ok bool) {
	n := g.tree.above(p)
	if n == nil {
		return key, false
	}
	if n.depth < sharedDepth {
		at, way := p.until(sharedDepth), g.way.Load()
		if way == nil || way.at != at {
			way = &node{depth: sharedDepth, at: at, value: n.below(&p, sharedDepth)}
			g.way.Store(way)
		}
		n = way
	}
	return n.below(&p, depth), true
}

// span is a range of paths, both ends included.
type span struct{ from, to path }

// spans are in order and apart.
type spans []span

// without gives what is left when the spans have been taken away, and whether that
// is less than before.
func (t tree) without(gone spans) (left tree, less bool) {
	left = make(tree, 0, len(t)+3*depth*len(gone))
	for i := range t {
		less = left.keep(&t[i], gone) || less
	}
	return left, less
}

// keep adds what is left of a node and says whether any of it has gone.
func (t *tree) keep(n *node, gone spans) (less bool) {
	end := n.last()
	i, _ := slices.BinarySearchFunc(gone, n.at, func(s span, p path) int { return bytes.Compare(s.to[:], p[:]) })
	if i == len(gone) || bytes.Compare(gone[i].from[:], end[:]) > 0 {
		*t = append(*t, *n)
		return false
	}
	if bytes.Compare(gone[i].from[:], n.at[:]) <= 0 && bytes.Compare(gone[i].to[:], end[:]) >= 0 {
		return true
	}
	for branch := range byte(4) {
		c := n.child(branch)
		less = t.keep(&c, gone[i:]) || less
	}
	return less
}

// points are spans of single paths.
func points(paths []path) spans {
	slices.SortFunc(paths, func(a, b path) int { return bytes.Compare(a[:], b[:]) })
	var out spans
	for _, p := range slices.Compact(paths) {
		out = append(out, span{p, p})
	}
	return out
}

// LongestMonth is how many days after the beginning of a month nothing is left of its tree
// when all before a time has been taken away: paths have room for as many.
const LongestMonth = 50

// until is everything of a month before a time, but for the paths to be spared.
func until(beginning, before time.Time, spared []path) (out spans) {
	ms := before.Sub(beginning).Milliseconds()
	if ms <= 0 {
		return nil
	}
	var from, to path
	for i := range to {
		to[i] = 0xFF
	}
	if ms < 1<<32 {
		binary.BigEndian.PutUint32(to[:4], uint32(ms-1))
	}
	for _, s := range points(spared) {
		if bytes.Compare(s.from[:], to[:]) > 0 {
			break
		}
		if end, ok := step(s.from, -1); ok && bytes.Compare(from[:], end[:]) <= 0 {
			out = append(out, span{from, end})
		}
		var ok bool
		if from, ok = step(s.from, 1); !ok {
			return out
		}
	}
	if bytes.Compare(from[:], to[:]) <= 0 {
		out = append(out, span{from, to})
	}
	return out
}

// step is the path before or after; false where there is none.
func step(p path, by int) (path, bool) {
	for i := pathSize - 1; i >= 0; i-- {
		p[i] += byte(by)
		if by > 0 && p[i] != 0 || by < 0 && p[i] != 0xFF {
			return p, true
		}
	}
	return p, false
}

// treeMark begins the file of a tree. After it and the tree's name, a line, come
// the nodes and SHA-256 over everything before it.
const treeMark = "mezhved vault tree 1 "

const nodeSize = 1 + pathSize + sha256.Size

func (t tree) encode(name string) []byte {
	b := make([]byte, 0, len(treeMark)+len(name)+1+len(t)*nodeSize+sha256.Size)
	b = append(append(append(b, treeMark...), name...), '\n')
	for i := range t {
		b = append(append(append(b, t[i].depth), t[i].at[:]...), t[i].value[:]...)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

var errDamaged = errors.New("the file is damaged: put it back from the vault's own backup, then run mezhved journal re-erase")

func decodeTree(name string, b []byte) (tree, error) {
	if len(b) < sha256.Size {
		return nil, errDamaged
	}
	body, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return nil, errDamaged
	}
	body, ok := bytes.CutPrefix(body, []byte(treeMark))
	if !ok {
		return nil, errors.New("the file is no tree of a vault, or one of a later version")
	}
	body, ok = bytes.CutPrefix(body, append([]byte(name), '\n'))
	if !ok || len(body)%nodeSize != 0 {
		return nil, fmt.Errorf("the file is not that of %s: was it moved?", name)
	}
	t := make(tree, len(body)/nodeSize)
	for i := range t {
		b := body[i*nodeSize:]
		t[i].depth = b[0]
		copy(t[i].at[:], b[1:])
		copy(t[i].value[:], b[1+pathSize:])
		if t[i].depth > depth || i > 0 && bytes.Compare(t[i-1].at[:], t[i].at[:]) >= 0 {
			return nil, errDamaged
		}
	}
	return t, nil
}
