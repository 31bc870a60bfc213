package journal_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
)

// BenchmarkVerifyLog verifies a whole log, everything that "verify log" does, and
// reports entries per second. Run it with -cpu 1 for the figure per core.
func BenchmarkVerifyLog(b *testing.B) {
	for _, entries := range []int{50_000, 500_000} {
		b.Run(fmt.Sprint(entries), func(b *testing.B) {
			d := journaltest.NewDesk(b)
			files := memoryFS(d.Filled(1, entries).Files())
			size := int64(0)
			for n := range files {
				size += int64(len(files[n]))
			}
			runtime.GC()
			before := cpu(b)
			for b.Loop() {
				rep, err := journal.VerifyLog(context.Background(), journal.DirSource{FS: files}, d.Policy, files["checkpoint"], nil)
				if err != nil || !rep.OK() {
					b.Fatal(err, rep)
				}
			}
			b.ReportMetric(float64(entries)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			b.ReportMetric(float64(entries)*float64(b.N)/(cpu(b)-before).Seconds(), "entries/cpu-s")
			b.SetBytes(size)
		})
	}
}

// cpu is the processor time that this process has used, on all cores: a fairer
// figure than the clock's on a machine that does other things too.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkHashTree is the least that a verification can do: leaf hashes and root.
func BenchmarkHashTree(b *testing.B) {
	l, _, err := journal.NewLeaf(journaltest.Events(1, 1)[0], rand.Reader)
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
	l, _, err := journal.NewLeaf(journaltest.Events(1, 1)[0], rand.Reader)
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
