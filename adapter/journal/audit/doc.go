// Package audit is the room of whoever doubts the log: it verifies what somebody
// shows (VerifyLog, VerifyBundle), counts again (Recount), keeps a copy with a
// memory (Mirror), watches a log grow (Cosigner) and tells what it has found
// (Evidence.Report). Everybody may enter: the auditor with mezhved-audit, a party
// with its receipts, the gateway when it makes a bundle, which it checks as its
// reader will. The room knows no database, no broker and no network, and never
// enters the room of the clerk, who writes the log: what is verified here is
// verified by the log's shapes alone (package journal, which is the specification).
// A test holds that.
//
// # Crashes
//
// Verifying changes nothing. A Mirror writes a file only when a signed root has
// proven it, whole or not at all, and moves its checkpoint last; a visit that is
// killed leaves what it has fetched and the next one goes on. A Cosigner's memory is
// on the disk before its signature exists.
//
// # Trust
//
// Nothing that is read here is believed: not the log, not a bundle, not the mirror's
// own folder. What is believed is the auditor's Policy, which must come from somebody
// other than the log's operator. Hostile input costs bounded memory.
package audit
