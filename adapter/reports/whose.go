package reports

// Side says who of those about a call a refusal is to be put down to.
type Side uint8

// The sides. That of most refusals is the caller's, so it is the zero value.
const (
	Caller    Side = iota // what he sent, or when, or with which certificate
	Recipient             // whose queue is full
	Bus                   // the gateway, its database, broker or clock
	Authority             // of certificates, which tells nobody what is revoked
)

// Whose is a side in the words of an exchange.
type Whose string

// Who may be at fault. The caller of SendResponse and GetRequest is the provider.
const (
	OfSender    Whose = "sender"
	OfProvider  Whose = "provider"
	OfBus       Whose = "bus"
	OfAuthority Whose = "authority"
)

// SideOf reads from an entry "refused" or "strangers" whose side it speaks of. The
// gateway's table of faults says the same of each reason (a test there holds that); an
// auditor has the entry alone.
func SideOf(outcome, rule string) Side {
	switch {
	case outcome == "DestinationOverflow":
		return Recipient
	case outcome != "SMEVFailure", rule == "rate", rule == "party-share":
		return Caller
	case rule == "revocation-unknown", rule == "signature.revocation-unknown":
		return Authority
	}
	return Bus
}

// Of is the side in the words of an exchange, for the operation that was refused.
func (s Side) Of(operation string) Whose {
	byProvider := operation == "SendResponse" || operation == "GetRequest"
	switch {
	case s == Bus:
		return OfBus
	case s == Authority:
		return OfAuthority
	case byProvider == (s == Caller):
		return OfProvider
	}
	return OfSender
}
