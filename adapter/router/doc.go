// Package router is one SMEV 3 address in front of several installations, each of which is
// a gateway of its own: database, journal, topics and keys. A party that knows the one
// address works with all of them and changes nothing.
//
//	config.go   what an operator decides: installations, and which providers live where
//	homes.go    in which installation a message lives
//	router.go   New, Handler, Reload, Serve
//	call.go     a call: its body, where it belongs, the answer that goes back
//	turn.go     installations asked in turn, and those that do not answer
//	state.go    health, readiness, metrics
//
// Who may enter: callers, over HTTP. The room holds no key, no queue and nothing that a
// crash could lose. It believes nobody and proves nothing: it reads what a call claims of
// where it belongs (envelopes.Claims) and sends it there byte for byte, where all of it is
// verified as if it had come directly. Whoever lies about where his call belongs has it
// refused by another installation than otherwise, and that is all. Any number of routers
// stand beside each other and know nothing of one another.
//
// # Where messages live
//
// A conversation lives where its provider lives: the request, its statuses and its answer.
// A request goes by its content, by the same function by which a gateway finds recipients;
// an answer by the provider that its reply address names; a broadcast lives in one
// installation, where its subscribers live or which Config.Broadcasts names. What nobody can
// tell the way of (content that is of no registered service, a body that cannot be read) any
// installation refuses, with the fault and the entry in its journal that it gets everywhere.
// One that has not answered may have accepted it, if it knows of services that the router does
// not know yet: then the caller is told to come again, and no other is asked.
// So a router reads bodies within wider bounds than any gateway: what a gateway could
// accept must not look unreadable here, or it would be accepted by one that its provider
// does not poll.
//
// A consumer's answers wait in as many installations as it has asked providers of. Its polls
// ask one after the other, beginning with any one, by lot, and never two at once: each
// would lease a message, and the caller can be given one. An installation that does not
// answer, or says to come later, is passed over and costs the others nothing; but where no
// other has a message, the poll is answered with an outage and not with an empty queue. A
// queue that nobody could look into is not empty, and a party that were told so for hours
// would believe that nobody has answered.
//
// # MessageIDs
//
// That a MessageID is used once on the bus is proved within one database; over several it
// holds for those who act in good faith. Three things rest on it:
//
// A sender's repetition after a lost answer is the same content, or answers the same address,
// so it comes to the same installation as the first time and is given the same receipt,
// through whichever router. With other content it is another message and may be accepted by
// another installation, where the one database would have refused it: whoever sends that has
// two messages of one name, each with its receipt.
//
// An Ack names nothing but the MessageID. It goes first to the installation from which the
// message came, where this router remembers it, and then to the others in turn: who did not
// hand it out refuses and changes nothing. Two messages of one name that wait for the same
// party in two installations are taken out by two Acks, in whatever order. Where one
// installation could not be asked and no other took it, the answer is an outage, not "not
// awaiting": clients take the latter for success, and the message would come again when its
// lease has run out.
//
// An answer's request is found by its reply address, not by its MessageID.
//
// # Polls
//
// A signed poll is taken by several installations, each of which holds it against its own
// memory of what came before. Without TLS, who has captured a GetRequest that one installation
// has carried out can bring it to another one as the GetResponse of the same system, which one
// database would know it by (limits.pollAge bounds for how long).
package router
