// Package sandbox stands before the doors of a gateway that is there to be tried: who
// calls for the first time is registered on the spot, under a test mnemonic, when the
// signature of his call proves that the key is his; a caller
// may ask to be refused with any of the protocol's faults; and each sees his own last
// calls on a page, with the verdict, the octets that were digested and signed by the
// gateway's rule, and what he did instead.
//
// Whoever makes a sandbox may enter: the command, and tests. Nothing of it can be
// configured: a gateway has a front only when a program puts it there, so no file makes
// a sandbox of a gateway that is in use. It keeps calls in memory, as many as are given
// room, and nothing over a restart but the registrations, which are files.
//
// What one can do who reaches it: register, as many systems as are allowed, and see his
// own calls. Pages and calls are found by tokens that cannot be guessed: that of a call
// stands in its answer, that of a page in the answer to a poll or an Ack that was carried
// out, since a signed message is handed on, and whoever has it can send it here again. The
// page of everybody's calls is told to who started the sandbox (All). Tokens are others
// after each start. It is still no place for data of people who exist.
package sandbox
