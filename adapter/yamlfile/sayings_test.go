package yamlfile

import (
	"strings"
	"testing"

	"mezhved/envelopes/xmltape/sentences"
)

// Whatever is wrong with a file as such can be told in Russian.
func TestEverySayingHasItsRussianForm(t *testing.T) {
	sentences.Room{Makers: map[string]int{"Sayf": 0, "Errorf": 1, "report": 1, "NewFinding": 2}, Russian: sayings, Terms: strings.Fields("KB MB s m h d YAML")}.Check(t)
}
