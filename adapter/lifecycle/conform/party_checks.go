package conform

import (
	"slices"

	"mezhved/adapter/lifecycle/conform/paper"
)

// partyChecks end with those of form, which look at all that the party has said.
var partyChecks = slices.Concat(partySends, partyAnswers, partyPolls, partyRequests, partyForm)

// does is a check that must hold for whoever is in the role.
func does(role Role, id, title, clause, advice string, do func(*partyRun)) partyCheck {
	return partyCheck{paper.Check{ID: "party." + id, Title: title, Clause: clause, Level: paper.Must, Advice: advice}, role, do}
}

// ought is a check that should hold.
func ought(role Role, id, title, clause, advice string, do func(*partyRun)) partyCheck {
	c := does(role, id, title, clause, advice, do)
	c.Level = paper.Should
	return c
}

const (
	wsdlRetry    = "WSDL: SMEVFailure, DestinationOverflow — повторять до успеха"
	httpRetry    = "RFC 9110, 10.2.3: Retry-After; WSDL: повтор с тем же MessageID"
	mrSignedByUs = "МР 3.3, п. 4.5: SMEVSignature; схема basic: AckTargetMessage/@accepted"
)
