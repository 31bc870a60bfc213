// Package conform tries whether a bus or a party speaks SMEV 3 as the guidelines
// have it. There are two ways in, BusKit.Run and PartyKit.Run; each gives a
// paper.Report of named checks, with the bytes that went and came.
//
// It is an outsider: it imports the words on the wire (envelopes), signatures
// (signing) and of package party what makes ids, and nothing of a gateway; what it
// says of ours it can say of any other. A test of cmd/mezhved holds that.
//
// Of a bus it is two registered parties, a consumer and a provider, that do right
// and wrong. Of a party it is the bus: the party's own software is pointed at it
// and works as it always does, while the kit loses answers, asks to wait, forges
// signatures and delivers twice. What the party has not acknowledged comes again.
//
// A check is a function that acts and says with passing words (kit.fail, kit.skip)
// that it has seen enough; these unwind it, as in package testing. Each check stands
// alone: any may be run by itself, in any order.
//
// Nothing is kept over a crash: a run that was broken off has no report, and is made
// again. What it left in queues is its own; the next run takes it out.
package conform
