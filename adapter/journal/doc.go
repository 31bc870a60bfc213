// Package journal is the gateway's evidence: what happened to every message, in
// a form that a stranger can verify without trusting the gateway, its operator or
// its database. Here are the log's shapes: event, leaf, tree, checkpoint, policy,
// proof. Everybody may enter; the package knows no database, no broker and no
// network. Above it are two rooms that never meet (a test holds that): clerk writes
// the log, into a Book that is given to it; audit doubts it. The network lives in
// adapter/journal/remote.
//
// This comment is the specification.
//
// # Events and pending rows
//
// An Event is what the gateway tells: digests, parties, codes, places. It is
// written as a pending row (Event.Row) in the very transaction of the act that it
// tells of; an act whose event cannot be written does not happen. Personal values
// stand in Event.Personal and nowhere else.
//
// # Leaves
//
// The clerk turns each event into one leaf: a JSON object in the canonical
// form of RFC 8785, UTF-8, no newline, at most 4096 bytes. ParseLeaf accepts
// exactly what Leaf.Append writes. Members, all optional but those in capitals:
//
//	attempt, col, count, line, size   integers, absent when 0
//	certificate, revocation, schema   hex SHA-256; revocation is that of the answer
//	                                  (OCSP or CRL) by which the certificate was judged,
//	                                  or of the list of several: see Judgement
//	commit                            object: field name to commitment
//	deadline, TIME, LOGGED            milliseconds since 1970 UTC
//	dueQueued, dueStatus, dueTaken,
//	eol (all 3)                       milliseconds since 1970 UTC
//	channel (2), direction, ground, incident, message, messageId, node, operation,
//	original, outcome, recipient, reference (2), rule, sender, service,
//	stage (3), terms (3), version
//	                                  texts of at most 128 bytes, longer ones
//	                                  end in "…", control characters are spaces
//	fields                            names of fields
//	KIND                              one of the Kind constants
//	log                               key-changed: origin, key, oldOrigin, oldSize, oldRoot
//	period                            period-close: from, to, totals, parties, counters
//	prev                              index of the message's previous entry
//	recipientSeq, senderSeq           counters, see below
//	target                            erased: index of the entry
//	test (2)                          true, or absent
//	V                                 1 to 3, the version of this format
//
// channel is the door that a call came by and the version that it spoke there
// (smev/1.2; ws/1.2 where the door takes all), stream for what a recipient read on
// the bus, gateway for the gateway's own messages. reference is the
// ReferenceMessageID of the message, which names the one that its chain began with.
// test says that the message is marked TestMessage; the sequencer hands it on to all
// later entries of the message.
//
// On an entry accepted, deadline is when the answer is due, dueQueued, dueTaken and
// dueStatus are when the message has to be in its recipient's queue, taken, and heard
// of first; terms is what counts from the delivery, as package terms writes it; eol is
// the end of life of the message. They are counted once, by the rules and the calendar
// in force at the acceptance. An entry due-soon or overdue (3) says that a stage was not
// reached, and its deadline. An entry alarm (3) says whom a rule has told of it: rule is
// its name, operation the way (mail, webhook), outcome what came of it; or who is not to be
// told any more, and until when.
//
// Members and kinds marked (2) and (3) came with version 2 and 3. v is the first version that has all
// that the leaf has: a leaf without them says 1 and is what it was before, so a
// leaf has one spelling still, logs of before verify as they are, and in one log
// both stand side by side while nodes are upgraded. A program that knows version 1
// alone refuses a leaf with more, as it must: it would not know what it passes over.
//
// A commitment is base64 of HMAC-SHA-256 with 32 bytes that nobody can guess, the salt,
// as key and the value as message. Salts are random, or made of a random seed (Seed) that
// goes when one of them is to go. Every value that may be personal or that may be
// guessed is committed to: the fields of Event.Personal, the digest of the
// envelope ("digest", whose value is its hex SHA-256), what proves a delivery or an
// acknowledgement ("receipt", whose value is a Receipt's: the digests of the envelopes
// with the signed poll, the answer to it and the signed Ack, or a place on the bus),
// and a row that could not be expressed ("row"). Values and salts are kept apart from the leaves, sealed by
// a Vault, and can be removed: what remains is a random number.
//
// An entry commits to at most 48 values. A field that a message has several times is
// told apart by a number: snils, snils-2, snils-3; all of them are snils to whoever
// looks. The entry accepted has whom the message is about and on what ground it asks
// (ground, case, service-code, consent), as the service's description names them; an
// entry evidence-read has by whom it was asked under by-snils, who it was under actor
// and what was asked under query; config-changed has before and after under change.
//
// logged is when the sequencer gave the entry its place, and never goes back from
// one entry to the next; time is when the gateway node saw what the entry tells of.
// Both are of one clock, the database's, as the nodes have it: their difference is
// how long the event waited. An auditor counts entries that waited for more than a
// minute (late), and takes it for a finding when logged goes back or when time is
// more than a minute after logged. logged cannot be taken back, so a sequencer logs
// nothing while the clock cannot be relied on (clerk.Sequencer.Steady).
//
// # Counters, chains, periods
//
// senderSeq counts from 1, without gaps and in the order of the log, the entries
// that name the same sender; recipientSeq does the same for recipients. So each
// party can tell from its own entries that none of them is missing.
//
// prev names the latest earlier entry of the same message. Entries of kind
// accepted and refused begin a message and have none.
//
// Every hour, and at the first step after a longer silence, a period-close entry
// asserts the number of entries by kind from the previous close (or entry 0) up
// to itself, excluded, and the SHA-256 of all counters (see CountersDigest).
// audit.Recount does all of this bookkeeping again.
//
// # The tree
//
// Leaves are hashed into the Merkle tree of RFC 6962 (SHA-256; 0x00 before a
// leaf, 0x01 before a pair). Tiles and entry bundles are those of
// https://c2sp.org/tlog-tiles: height 8, paths tile/<L>/<N>[.p/<W>] and
// tile/entries/<N>[.p/<W>]. Any program for such logs can read ours.
//
// # Checkpoints
//
// A checkpoint is a signed note (https://c2sp.org/tlog-checkpoint): origin, size,
// root. The log signs with one Ed25519 key, whose name is the origin, twice: as a
// plain note signature, and as a timestamped cosignature/v1
// (https://c2sp.org/tlog-cosignature), which says when. Witnesses add
// cosignatures. A Policy (https://c2sp.org/tlog-policy) says whose signatures are
// enough; an auditor must have it from somebody other than the log's operator. It is at
// most 256 KB long (MaxPolicy).
//
// A log may have a second key, ML-DSA-44 (MLDSAKey), and signs with it too: one more
// cosignature/v1. Verifiers pass by the lines of keys that they do not know; a policy
// that wants the second signature names the key as it names a witness's.
//
// A time-stamping authority (RFC 3161) may put its time to checkpoints (Stamped): the
// token is over the text that the signatures sign, and covers all entries until then.
//
// A clerk.Signer remembers the last tree it signed, outside the database, and signs only
// what continues it. A database that was restored or rewritten is refused
// (RollbackError) and the log is stopped. The way out is clerk.Reopen: the log goes on
// under a new origin and key, and its key-changed entry says where the old one
// ended.
//
// # Proofs and bundles
//
// The proof of an entry is a https://c2sp.org/tlog-proof file without extra data.
// That of several at once, BatchFormat, has the hashes of the largest subtrees that
// hold none of them, from left to right, and one checkpoint (MarshalBatch); it splits
// into the single ones (SplitBatch).
//
// An evidence bundle is a zip of leaves, proofs, openings, envelopes,
// receipts, certificates and answers about revocation, with a manifest of their digests; making it leaves an
// evidence-read entry in the log that commits to the manifest, and the bundle
// carries that entry and its proof. audit.VerifyBundle accepts a bundle only when every
// file in it is vouched for. The recipe for checking by hand is README.txt in
// every bundle.
//
// # Receipts
//
// The answers that the bus signs are promises, whoever the client is: the answer to
// SendRequest or SendResponse that an entry "accepted" with its MessageID, its sender
// and its SendingTimestamp as time is in the log; the answer to GetRequest or
// GetResponse that holds a message, an entry "delivered" with its MessageID. Every
// checkpoint that is signed later than ReceiptDue after the receipt's time has the
// entry: the event is committed before the answer is given, waits for its place for
// a fraction of a second, and when one waits for half a minute nothing is accepted
// any more. Receipt, checkpoint and log together prove that a promise was
// broken (package papers): what stands in the log is proved by its tree, what does
// not, by reading all of it.
//
// # Mirrors
//
// A mirror is an auditor's copy in a folder: tiles and entry bundles under their
// paths, "checkpoint", and the memory of his visits: checkpoints/<size> as they
// were signed, forks/ with the proofs of misbehaviour that were found, and
// mirror.json, which saves work. A file is written when a signed root has proven
// it, whole or not at all, and the checkpoint moves when everything that it signs
// is there. So a visit may be killed at any point and the next one goes on; one
// run at a time has the folder (a lock on .lock, which ends with the process).
//
// Every remembered checkpoint must be a beginning of what is shown, and what is
// shown must be a beginning of what the mirror has if it is shorter: an older
// state is no fork, a different root is one, and a fork is told at every visit
// from then on. What was remembered and cannot be verified any more is a finding
// until the auditor has looked: it is neither used nor overwritten. A visit reads
// the whole mirror, fetches again what is missing or wrong, and names what it
// cannot get; a quick one looks at what is new and says so.
//
// # What an attacker can do who can write here
//
// Who can write to the database can add false events before they are sequenced,
// stop the log, and destroy values; he cannot change, remove, insert or reorder
// what a checkpoint covers without every holder of an older checkpoint noticing.
// Who has the log's key and the signer's memory too can show different logs to
// different people; witnesses and mirrors are against that. Who has the vault can
// read values, and nothing else. Who can write to a mirror's folder can make its
// owner fetch again and wonder; he can take its memory away only as a whole, and
// then the next visit calls itself the first.
package journal
