// Package clerk is the room of whoever writes the log: the Sequencer gives events
// their places, the Signer signs the tree, a Book keeps both. The gateway enters,
// and the postgres room, which is a Book; an auditor never does, and the clerk
// never enters the auditor's room (package audit). What both rely on are the log's
// shapes, package journal, which is also the specification.
//
// # Crashes
//
// A batch of entries is one transaction of the Book: leaves, tiles, counters, the
// openings of commitments, and the pending rows' end. Before its commit nothing has
// happened and the rows are taken up again; after it everything has, whether the
// clerk lived to hear of it or not, and the next one goes on from the head. The
// signer's memory is on the disk before a signature exists: a crash in between costs
// a signature. A checkpoint that was signed and not saved is signed again. So a
// start is the normal work, and any node that holds the key may do it.
//
// # Trust
//
// Whoever holds the key and the signer's memory speaks for the log. The head, locked
// in each transaction, keeps two clerks that are at work at once from forking it;
// leading is for liveness, not for safety.
package clerk
