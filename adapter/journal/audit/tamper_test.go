package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/journal/journaltest"
)

// found says whether a fresh auditor finds anything wrong with the files of a
// log. What verifies must be the log that was: that is checked too.
func found(d *journaltest.Desk, files map[string][]byte, honest *journal.Checkpoint, known ...*journal.Checkpoint) (found bool) {
	rep, err := audit.VerifyLog(context.Background(), audit.DirSource{FS: journaltest.FS(files)}, d.Policy, files["checkpoint"], known)
	return err != nil || !rep.OK() || rep.Checkpoint.Tree != honest.Tree || rep.Checkpoint.Origin != honest.Origin
}

func TestNoMutationOfALogGoesUnnoticed(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := d.Filled(21, 700)
	files := book.Files()
	honest := d.Checkpoint(book)
	if found(d, files, honest) {
		t.Fatal("the honest log is refused")
	}
	names := slices.Sorted(maps.Keys(files))
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3))
	for range journaltest.Mutations(t) {
		name := names[r.IntN(len(names))]
		bad := maps.Clone(files)
		bad[name] = journaltest.Mutate(r, files[name])
		if found(d, bad, honest) {
			continue
		}
		if name == "checkpoint" {
			// The note format ignores signature lines of unknown keys, and the policy
			// does not ask for the line with the log's time: it may be lost, never
			// another. All else that the checkpoint says was compared above.
			if c, err := d.Policy.Open(bad[name]); err == nil && (c.Signed.IsZero() || c.Signed.Equal(honest.Signed)) {
				continue
			}
		}
		t.Fatalf("%s was changed and nobody noticed", name)
	}
	for _, name := range names {
		bad := maps.Clone(files)
		delete(bad, name)
		if !found(d, bad, honest) {
			t.Errorf("%s is missing and nobody noticed", name)
		}
	}
}

// rewrite makes a new, self-consistent log from changed entries, as an operator
// with every key could, and its checkpoint.
func rewrite(t *testing.T, d *journaltest.Desk, entries [][]byte) map[string][]byte {
	t.Helper()
	var batch clerk.Batch
	edge := &journal.Edge{}
	for i, b := range entries {
		edge.Append(journal.LeafHash(b))
		batch.Entries = append(batch.Entries, clerk.Entry{Index: int64(i), Leaf: &journal.Leaf{}, Bytes: b})
	}
	batch.Head.Tree.N, batch.Head.Tree.Hash = edge.Size(), edge.Root()
	batch.Tiles = edge.Take()
	book := journaltest.NewBook(journaltest.Origin)
	err := book.Sequence(context.Background(), 0, func(tx clerk.Tx) error { return tx.Write(context.Background(), &batch) })
	if err != nil {
		t.Fatal(err)
	}
	// A signer without memory: the operator has forged that too.
	dir := t.TempDir()
	if err := clerk.CreateSignerState(dir+"/s", d.Secret); err != nil {
		t.Fatal(err)
	}
	s, err := clerk.NewFileSigner(dir+"/s", d.Secret, d.Clock.Now)
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
	if found(d, rewrite(t, d, honest), old, old) {
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
			if !found(d, files, &journal.Checkpoint{Origin: journaltest.Origin}, old) {
				t.Fatalf("round %d: %s: not found by an auditor with an old checkpoint", round, name)
			}
			rep, err := audit.VerifyLog(context.Background(), audit.DirSource{FS: journaltest.FS(files)}, d.Policy, files["checkpoint"], nil)
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

// An operator may close a period after every entry, and there may be many parties: what is
// hashed for each close stands ready.
func TestALogOfCloses(t *testing.T) {
	const many = 12_000
	d := journaltest.NewDesk(t)
	counters, entries := map[string]journal.Counter{}, [][]byte{}
	for i := range int64(2 * many) {
		at := journaltest.Start.Add(time.Duration(i) * time.Second)
		l := journal.Leaf{Event: journal.Event{Kind: journal.KindPeriodClose, Time: at}, Logged: at, Prev: journal.NoEntry}
		switch {
		case i < many:
			l.Kind, l.Message, l.Sender, l.SenderSeq = journal.KindAccepted, fmt.Sprint("m-", i), fmt.Sprint("P", i), 1
			counters[l.Sender] = journal.Counter{Sent: 1}
		case i == many:
			l.Period = &journal.Period{To: i, Totals: map[journal.Kind]int64{journal.KindAccepted: many}, Parties: many, Counters: journal.CountersDigest(counters)}
		default:
			before, err := journal.ParseLeaf(entries[i-1])
			if err != nil {
				t.Fatal(err)
			}
			l.Period = &journal.Period{From: i - 1, To: i, Totals: map[journal.Kind]int64{journal.KindPeriodClose: 1}, Parties: many, Counters: before.Period.Counters}
		}
		entries = append(entries, l.Append(nil))
	}
	files := rewrite(t, d, entries)
	began := time.Now()
	rep := d.Audit(audit.DirSource{FS: journaltest.FS(files)}, files["checkpoint"])
	if took := time.Since(began); !rep.OK() || rep.Recount.Closes != many || took > 20*time.Second {
		t.Errorf("%d closes in %s, %v", rep.Recount.Closes, took, rep.Recount.Findings)
	}
}
