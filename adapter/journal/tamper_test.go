package journal_test

import (
	"bytes"
	"context"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/fstest"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
)

// mutations is how many random mutations each tampering test tries:
// MEZHVED_MUTATIONS sets it, for the long run.
func mutations(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("MEZHVED_MUTATIONS"))
	switch {
	case err == nil:
		return n
	case testing.Short():
		return 200
	}
	return 1000
}

// mutate changes, adds, removes or moves bytes; the result differs from b.
func mutate(r *rand.Rand, b []byte) []byte {
	for {
		out := slices.Clone(b)
		i := 0
		if len(b) > 0 {
			i = r.IntN(len(b))
		}
		switch k := r.IntN(6); {
		case k <= 1 && len(b) > 0: // one bit
			out[i] ^= 1 << r.IntN(8)
		case k == 2 && len(b) > 0: // one byte, of the kind that texts are made of
			out[i] = "0123456789abcdefABZ+/=\n\" "[r.IntN(25)]
		case k == 3: // insert
			out = slices.Insert(out, i, byte(r.IntN(256)))
		case k == 4 && len(b) > 0: // remove a run
			out = slices.Delete(out, i, min(len(b), i+1+r.IntN(40)))
		case k == 5 && len(b) > 1: // swap two runs
			j, n := r.IntN(len(b)), 1+r.IntN(32)
			for x := range n {
				if i+x < len(b) && j+x < len(b) {
					out[i+x], out[j+x] = out[j+x], out[i+x]
				}
			}
		}
		if !bytes.Equal(out, b) {
			return out
		}
	}
}

type memoryFS map[string][]byte

func (m memoryFS) Open(name string) (fs.File, error) {
	if b, ok := m[name]; ok {
		return fstest.MapFS{name: {Data: b}}.Open(name)
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// audit says whether a fresh auditor finds anything wrong with the files of a
// log. What verifies must be the log that was: that is checked too.
func audit(d *journaltest.Desk, files map[string][]byte, honest *journal.Checkpoint, known ...*journal.Checkpoint) (found bool) {
	rep, err := journal.VerifyLog(context.Background(), journal.DirSource{FS: memoryFS(files)}, d.Policy, files["checkpoint"], known)
	return err != nil || !rep.OK() || rep.Checkpoint.Tree != honest.Tree || rep.Checkpoint.Origin != honest.Origin
}

func TestNoMutationOfALogGoesUnnoticed(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := d.Filled(21, 700)
	files := book.Files()
	honest := d.Checkpoint(book)
	if audit(d, files, honest) {
		t.Fatal("the honest log is refused")
	}
	names := slices.Sorted(maps.Keys(files))
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3))
	for range mutations(t) {
		name := names[r.IntN(len(names))]
		bad := maps.Clone(files)
		bad[name] = mutate(r, files[name])
		if audit(d, bad, honest) {
			continue
		}
		if name == "checkpoint" {
			// The note format ignores signature lines of unknown keys. Everything
			// that the checkpoint says was compared above.
			continue
		}
		t.Fatalf("%s was changed and nobody noticed", name)
	}
	for _, name := range names {
		bad := maps.Clone(files)
		delete(bad, name)
		if !audit(d, bad, honest) {
			t.Errorf("%s is missing and nobody noticed", name)
		}
	}
}

// rewrite makes a new, self-consistent log from changed entries, as an operator
// with every key could, and its checkpoint.
func rewrite(t *testing.T, d *journaltest.Desk, entries [][]byte) map[string][]byte {
	t.Helper()
	var batch journal.Batch
	edge := &journal.Edge{}
	for i, b := range entries {
		edge.Append(journal.LeafHash(b))
		batch.Entries = append(batch.Entries, journal.Entry{Index: int64(i), Leaf: &journal.Leaf{}, Bytes: b})
	}
	batch.Head.Tree.N, batch.Head.Tree.Hash = edge.Size(), edge.Root()
	batch.Tiles = edge.Take()
	book := journaltest.NewBook(journaltest.Origin)
	err := book.Sequence(context.Background(), 0, func(tx journal.Tx) error { return tx.Write(context.Background(), &batch) })
	if err != nil {
		t.Fatal(err)
	}
	// A signer without memory: the operator has forged that too.
	dir := t.TempDir()
	if err := journal.CreateSignerState(dir+"/s", d.Secret); err != nil {
		t.Fatal(err)
	}
	s, err := journal.NewFileSigner(dir+"/s", d.Secret, d.Clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	last, err := s.Last(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(context.Background(), last, batch.Head.Tree, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.Policy.Open(signed)
	if err != nil {
		t.Fatal(err)
	}
	if err := book.SaveCheckpoint(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	return book.Files()
}

// The operator holds every key and rewrites the log so that all its hashes fit.
// A fresh auditor finds it by the bookkeeping; one who holds an old checkpoint
// finds it whatever was done.
func TestDeleteInsertBackdateReorderSwapAreFound(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := d.Filled(23, 900)
	d.Clock.Move(2 * time.Hour)
	if err := d.Settle(d.Sequencer(book)); err != nil { // a period close at the end
		t.Fatal(err)
	}
	old := d.Checkpoint(book)
	var honest [][]byte
	for i := range old.Tree.N {
		honest = append(honest, book.Entry(i))
	}
	if audit(d, rewrite(t, d, honest), old, old) {
		t.Fatal("the honest log is refused")
	}
	leaf := func(i int) journal.Leaf {
		l, err := journal.ParseLeaf(honest[i])
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 5))
	for round := range 40 {
		i, j := r.IntN(800), 0
		for j = r.IntN(800); j == i || bytes.Equal(honest[i], honest[j]); j = r.IntN(800) {
		}
		backdated := leaf(i)
		backdated.Logged = backdated.Logged.Add(-time.Hour)
		backdated.Time = backdated.Time.Add(-time.Hour)
		altered := leaf(i)
		altered.Kind = journal.KindReturned
		for name, entries := range map[string][][]byte{
			"delete":    slices.Delete(slices.Clone(honest), i, i+1),
			"insert":    slices.Insert(slices.Clone(honest), i, honest[j]),
			"cut":       honest[:i],
			"swap":      swap(honest, i, j),
			"reorder":   slices.Insert(slices.Delete(slices.Clone(honest), i, i+1), j, honest[i]),
			"back-date": replace(honest, max(i, 1), backdated.Append(nil)),
			"alter":     replace(honest, i, altered.Append(nil)),
		} {
			files := rewrite(t, d, entries)
			if !audit(d, files, &journal.Checkpoint{Origin: journaltest.Origin}, old) {
				t.Fatalf("round %d: %s: not found by an auditor with an old checkpoint", round, name)
			}
			rep, err := journal.VerifyLog(context.Background(), journal.DirSource{FS: memoryFS(files)}, d.Policy, files["checkpoint"], nil)
			if err != nil {
				t.Fatal(err)
			}
			// A fresh auditor cannot know that a log was once longer.
			if rep.OK() && name != "cut" {
				t.Errorf("round %d: %s at %d (%d): not found by a fresh auditor", round, name, i, j)
			}
		}
	}
}

func swap(list [][]byte, i, j int) [][]byte {
	out := slices.Clone(list)
	out[i], out[j] = out[j], out[i]
	return out
}

func replace(list [][]byte, i int, b []byte) [][]byte {
	out := slices.Clone(list)
	out[i] = b
	return out
}

func TestNoMutationOfAProofGoesUnnoticed(t *testing.T) {
	ctx := context.Background()
	d := journaltest.NewDesk(t)
	book := d.Filled(25, 700)
	c := d.Checkpoint(book)
	prover := journal.NewProver(ctx, c.Tree, book)
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 7))
	for range mutations(t) {
		index := r.Int64N(c.Tree.N)
		hashes, err := prover.Inclusion(index)
		if err != nil {
			t.Fatal(err)
		}
		leaf, proof := book.Entry(index), journal.MarshalProof(index, hashes, c.Note)
		good, err := journal.VerifyProof(d.Policy, leaf, proof)
		if err != nil || good.Index != index {
			t.Fatalf("the honest proof is refused: %v", err)
		}
		if _, err := journal.VerifyProof(d.Policy, mutate(r, leaf), proof); err == nil {
			t.Fatal("a changed leaf was accepted")
		}
		bad := mutate(r, proof)
		if p, err := journal.VerifyProof(d.Policy, leaf, bad); err == nil && (p.Index != index || p.Checkpoint.Tree != c.Tree) {
			t.Fatalf("a changed proof was accepted:\n%s", bad)
		}
	}
}
