// Package party is a party's own side of the exchange: a client of any SMEV 3
// address, with any key. It signs what the party sends, verifies what the bus
// signed, keeps the MessageID over retries and gives faults as typed errors.
//
// Who may enter: programs that act for a party (the command line, load
// generators, tests). The gateway itself has no use for it. It trusts its own
// caller and nobody at the other end of the wire: answers go through the gate of
// xmltape, and of an answer nothing is read that the bus did not sign, unless the
// Client was told to accept unsigned answers.
package party
