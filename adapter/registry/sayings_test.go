package registry

import (
	"strings"
	"testing"

	"mezhved/envelopes/xmltape/sentences"
)

// Whatever is wrong with services and parties can be told in Russian.
func TestEverySayingHasItsRussianForm(t *testing.T) {
	sentences.Room{
		Makers: map[string]int{"errorf": 1, "Errorf": 1, "warnf": 1, "Warnf": 1, "NewFinding": 2, "say": 2, "sampleFinding": 2}, Russian: sayings,
		Terms: strings.Fields("optional required forbidden xsd namespaces mnemonic yaml service.yaml parties poll stream routing local-name namespace-uri endOfLife YAML " +
			"csv draft namespace request probe.party probe.key probe.full full off callers samples samples/request.xml m deadline UTC responses statuses test published retired " +
			"snils a-z digits text date exact hash xpath parts protocols.operator stage config mezhved services protocol sign conform party p7s consumer provider lint"),
	}.Check(t)
}
