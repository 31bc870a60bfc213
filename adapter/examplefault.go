package adapter

import (
	"cmp"
	"fmt"
	"strings"

	"mezhved/envelopes"
)

// neverRaised are sentences for the faults that the protocol has and no row of the table
// raises.
var neverRaised = map[envelopes.FaultKind]row{
	envelopes.TransactionCodeInvalid: {fault: envelopes.TransactionCodeInvalid, module: "PP", n: 60, text: "Код транзакции недействителен.", do: "получите новый код транзакции"},
	envelopes.PersonalAccessDenied:   {fault: envelopes.PersonalAccessDenied, module: "PP", n: 61, text: "Субъект персональных данных не дал согласия на передачу сведений.", do: "получите согласие"},
	envelopes.RequestIsNotFound:      {fault: envelopes.RequestIsNotFound, module: "PP", n: 62, text: "Запрос не найден.", do: doNothing},
}

// ExampleFault is a fault of a kind as a gateway words it, about nothing that has
// happened: for those who try what their system does with it. reason is added to what
// the sender is told.
func ExampleFault(kind envelopes.FaultKind, contour, reason string) *envelopes.Fault {
	r := exampleRow(kind)
	f := &envelopes.Fault{Kind: kind, Signature: r.sub, Code: fmt.Sprintf("%s : TR:SYNC:%s:%d", contour, r.module, r.n), Text: exampleText(r.text)}
	f.Description = fmt.Sprintf("SMEV-%d:%s Что делать: %s. %s", kind.Number(), ended(f.Text), r.do, reason)
	switch kind {
	case envelopes.InvalidContent:
		f.Validation = []envelopes.ValidationError{{Position: 0, Text: reason}}
	case envelopes.BusinessDataTypeIsNotSupported:
		f.Root = envelopes.Name{Space: "urn://example/1.0", Local: "Example"}
	case envelopes.AttachmentSizeLimitExceeded, envelopes.QuoteLimitExceeded:
		f.Permitted, f.Real = 1<<20, 2<<20
	case envelopes.DestinationOverflow:
		f.Destination = "delivery.EXAMPLE._REQUEST_"
	}
	return f
}

// exampleRow is the first row of the table that raises a fault, in the order of codes.
func exampleRow(kind envelopes.FaultKind) row {
	best, found := neverRaised[kind]
	for _, r := range table {
		if r.fault == kind && (!found || cmp.Or(strings.Compare(r.module, best.module), r.n-best.n) < 0) {
			best, found = r, true
		}
	}
	return best
}

// exampleText fills a sentence of the table with nothing.
func exampleText(text string) string {
	if n := strings.Count(text, "%"); n > 0 {
		args := make([]any, n)
		for i := range args {
			args[i] = "…"
		}
		text = strings.ReplaceAll(text, "%d", "%s")
		text = fmt.Sprintf(text, args...)
	}
	return text
}
