// Package subject says whom a message is about and on what ground it asks: which
// values of its content are a person's, which name the law, the case, the service
// and the consents that it refers to, and how a value is spelled so that whoever
// looks for it finds it in any spelling.
//
// A service's description names the places (Plan); values are read from the content
// that was proved, on the tape that was proved, when a message is accepted, and go
// to the journal as personal values: the leaf commits to each under a salt of its
// own, the value is sealed, and a search token made with a key of the vault finds
// it. What is not named is not read.
//
// # What can be found, and what can be guessed
//
// A SNILS has eleven digits, nine of them free: whoever can compute something from
// a value alone can try all of them. So nothing of that kind is kept. The leaf has
// HMAC-SHA-256 of the value under 32 random bytes, which lie sealed beside the value:
// without them the commitment is a random number. The search token is HMAC-SHA-256
// of field and value under one key of the vault, because a search must compute it
// from the value alone; who has the database and not the vault cannot. Who has both
// can try all values against the tokens that are there, as he could open the values
// themselves: so erasure takes token, value and salt away together, in one row, and
// what is left in the database, in the log and with everybody who has taken evidence
// answers no value more than any other (TestNothingIsFoundOfWhoWasErased tries them
// all). A backup of the database from before the erasure still has the row: it is
// opened and found with the vault alone, and the register of erasures is replayed
// over it when it is restored.
//
// A hash as a value (Hash) keeps the name itself out of what is opened to an
// auditor; against guessing it helps nothing, and nothing rests on it.
package subject
