package journal_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
)

func TestNoMutationOfAProofGoesUnnoticed(t *testing.T) {
	ctx := context.Background()
	d := journaltest.NewDesk(t)
	book := d.Filled(25, 700)
	c := d.Checkpoint(book)
	prover := journal.NewProver(ctx, c.Tree, book)
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 7))
	for range journaltest.Mutations(t) {
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
		if _, err := journal.VerifyProof(d.Policy, journaltest.Mutate(r, leaf), proof); err == nil {
			t.Fatal("a changed leaf was accepted")
		}
		bad := journaltest.Mutate(r, proof)
		if p, err := journal.VerifyProof(d.Policy, leaf, bad); err == nil && (p.Index != index || p.Checkpoint.Tree != c.Tree) {
			t.Fatalf("a changed proof was accepted:\n%s", bad)
		}
	}
}
