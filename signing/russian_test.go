package signing

import (
	"testing"

	"mezhved/internal/sentences"
)

// Every reason at a place of a document can be told in Russian.
func TestEveryReasonHasItsRussianSentence(t *testing.T) {
	t.Parallel()
	sentences.Room{Makers: map[string]int{"refuse": 2, "refuseAt": 3}, Russian: inRussian}.Check(t)
}
