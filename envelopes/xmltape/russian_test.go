package xmltape

import (
	"strings"
	"testing"

	"mezhved/internal/sentences"
)

// Every reason of the gate can be told in Russian.
func TestEveryReasonHasItsRussianSentence(t *testing.T) {
	t.Parallel()
	sentences.Room{Makers: map[string]int{"fail": 2}, Russian: inRussian}.Check(t)
	var tape Tape
	err := tape.Parse([]byte("<a>\n<b></c></a>"), Limits{})
	e, ok := err.(*Error)
	if !ok || e.Russian() != `закрывающий тег "c", а открыт "b"` || !strings.Contains(e.Error(), "line 2, column 4") {
		t.Errorf("%v", err)
	}
}
