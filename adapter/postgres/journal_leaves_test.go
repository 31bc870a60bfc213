package postgres

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/uuid"

	"mezhved/adapter/journal"
)

// leavesOf is a bundle of 256 leaves as members of theirs may be.
func leavesOf(r *rand.Rand, leaf func(i int) string) (bundle []byte) {
	for i := range blockSize {
		bundle = journal.AppendEntry(bundle, []byte(leaf(i)))
	}
	return bundle
}

// pieceOf is something that a leaf may have, or that somebody has put there.
func pieceOf(r *rand.Rand) string {
	digits := func(set string, n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = set[r.IntN(len(set))]
		}
		return string(b)
	}
	const hexDigits, base64Digits = "0123456789abcdef", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	return []func() string{
		func() string { return `"a":"` + uuid.New().String() + `"` },
		func() string { return `"a":"` + strings.ToUpper(uuid.New().String()) + `"` },
		func() string { return `"d":"` + digits(hexDigits, 64) + `"` },
		func() string { return `"d":"` + digits("0123456789ABCDEF", 64) + `"` },
		func() string { return `"c":{"x":"` + digits(base64Digits, 43) + `="}` },
		func() string { return `"n":` + fmt.Sprint(r.Uint64()) },
		func() string { return `"n":` + fmt.Sprint(r.IntN(1000)) },
		func() string { return `"n":-5,"m":0,"o":007,"p":1.50,"q":1e7,"r":[1,22,"3"]` },
		func() string { return `"n":` + strings.Repeat("9", 18) },
		func() string { return `"t":"` + digits("ab\\\"é", 5) + `"` },
		func() string { return `"t":"слово ` + fmt.Sprint(r.IntN(20)) + `"` },
		func() string { return digits("{}[]\",:\\01 \x00\x01", 8) },
		func() string { return `"open` },
	}[r.IntN(13)]()
}

// Whatever stands in leaves, they come back byte for byte; and what is damaged is told or
// is leaves, and no more.
func TestPackedLeavesComeBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		pieces := 1 + r.IntN(8)
		order := make([]string, 6)
		for i := range order {
			order[i] = pieceOf(r)
		}
		bundle := leavesOf(r, func(i int) string {
			var list []string
			for n := range pieces {
				if r.IntN(3) > 0 {
					list = append(list, order[n%len(order)])
				} else {
					list = append(list, pieceOf(r))
				}
			}
			return "{" + strings.Join(list, ",") + "}"
		})
		packed := packLeaves(bundle)
		again, err := unpackLeaves(packed)
		if err != nil || !bytes.Equal(again, bundle) {
			t.Fatalf("%d bytes came back as %d, %v", len(bundle), len(again), err)
		}
		for range 30 {
			damaged := bytes.Clone(packed)
			if at := r.IntN(len(damaged)); r.IntN(2) == 0 {
				damaged = damaged[:at]
			} else {
				damaged[at] ^= byte(1 + r.IntN(255))
			}
			if again, err := unpackLeaves(damaged); err == nil {
				if _, err := journal.Entries(again); err != nil && len(damaged) > 0 && damaged[0] == leavesMark {
					t.Fatalf("what is damaged makes what is no bundle: %v", err)
				}
			}
		}
	}
}

// journalLeaf is a leaf as the sequencer makes them.
func journalLeaf(r *rand.Rand, i int) string {
	commitments := ""
	for n := range i % 3 {
		b := make([]byte, 32)
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		commitments += fmt.Sprintf(`,"f%d":"%s"`, n, spell(nil, columnCommitments, b))
	}
	return fmt.Sprintf(`{"commit":{"v":1%s},"kind":"k%d","logged":%d,"message":"01a2292d-6549-7c75-9676-%012x","prev":%d,"sender":"MFC01","service":"family-benefits","v":2}`,
		commitments, i%5, 1795987170768+i/64, i/3, 204000+i*7%90)
}

// Of leaves little more is kept than their commitments and ids.
func TestPackedLeavesAreSmall(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	bundle := leavesOf(r, func(i int) string { return journalLeaf(r, i) })
	packed, before := packLeaves(bundle), squeezed(bundle)
	chance := 0
	for i := range blockSize {
		chance += 32 * (i % 3)
	}
	if packed[0] != leavesMark || (len(packed)-chance)*3 > len(before)-chance {
		t.Errorf("%d bytes, of which %d are chance; as text %d", len(packed), chance, len(before))
	}
}

func BenchmarkPackLeaves(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 4))
	bundle := leavesOf(r, func(i int) string { return journalLeaf(r, i) })
	b.ReportAllocs()
	b.SetBytes(int64(len(bundle)))
	for b.Loop() {
		packLeaves(bundle)
	}
}
