package journal_test

import (
	"context"
	"crypto/rand"
	"testing"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
)

// BenchmarkHashTree is the least that a verification can do: leaf hashes and root.
func BenchmarkHashTree(b *testing.B) {
	l, _, err := journal.NewLeaf(journaltest.Events(1, 1)[0], journal.Drawn(rand.Reader))
	if err != nil {
		b.Fatal(err)
	}
	leaf := l.Append(nil)
	edge := &journal.Edge{}
	for b.Loop() {
		edge.Append(journal.LeafHash(leaf))
		if edge.Size()%4096 == 0 {
			edge.Take()
		}
	}
	b.SetBytes(int64(len(leaf)))
}

func BenchmarkParseLeaf(b *testing.B) {
	l, _, err := journal.NewLeaf(journaltest.Events(1, 1)[0], journal.Drawn(rand.Reader))
	if err != nil {
		b.Fatal(err)
	}
	l.Logged, l.SenderSeq, l.RecipientSeq = l.Time, 1000, 2000
	leaf := l.Append(nil)
	b.SetBytes(int64(len(leaf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := journal.ParseLeaf(leaf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkProof builds a proof from tiles, and checks one down to the
// signatures.
func BenchmarkProof(b *testing.B) {
	ctx := context.Background()
	d := journaltest.NewDesk(b)
	book := d.Filled(1, 20_000)
	c := d.Checkpoint(book)
	hashes, err := journal.NewProver(ctx, c.Tree, book).Inclusion(777)
	if err != nil {
		b.Fatal(err)
	}
	leaf, proof := book.Entry(777), journal.MarshalProof(777, hashes, c.Note)
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			if _, err := journal.NewProver(ctx, c.Tree, book).Inclusion(777); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			if _, err := journal.VerifyProof(d.Policy, leaf, proof); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// What is packed for one message: its events, with what they commit to.
func BenchmarkPack(b *testing.B) {
	events := journaltest.Events(3, 64)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := events[i%len(events)].Pack(); err != nil {
			b.Fatal(err)
		}
	}
}

// From a row that waits to the bytes of its entry, as the sequencer goes.
func BenchmarkLeafOfRow(b *testing.B) {
	events := journaltest.Events(3, 64)
	rows := make([][]byte, len(events))
	for i := range events {
		var err error
		if rows[i], err = events[i].Pack(); err != nil {
			b.Fatal(err)
		}
	}
	seed := journal.Seed{1}
	salter := seed.Salter()
	salts := func(o *journal.Opening) error {
		o.Salt = salter.Salt(1_000_000, o.Field)
		return nil
	}
	var room []byte
	var texts journal.EventRoom
	var l journal.Leaf
	var open []journal.Opening
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l = journal.Leaf{Commit: l.Commit[:0]}
		err := texts.Parse(&l.Event, rows[i%len(rows)])
		if err != nil {
			b.Fatal(err)
		}
		if open, err = l.Take(open[:0], salts); err != nil {
			b.Fatal(err)
		}
		room, _ = l.AppendHashed(room[:0])
	}
}
