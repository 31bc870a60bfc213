// Package alarms tells people and programs what the journal tells: that something
// comes due, or is overdue. Nodes enter it to run a Teller; the store implements
// Store. It reads events and hooks into nothing.
//
// # From the event to whoever is told
//
// The event is committed together with its copy for this room (package postgres,
// alarm_event). One node at a time, under a lease, makes alarms of it by the rules, one
// for each way and address, and commits them with the copy's deletion. When it is time,
// those of one rule and address go as one mail or call, and then they are deleted
// together with an entry "alarm" that says so.
//
// A crash before the last step has them told again: at least once, never silently not,
// and in the journal once. A mail bears the same Message-ID then, and a call the same
// Mezhved-Delivery, so that a copy is known, unless more has come to be told meanwhile. A
// call that was not taken, or answered too late, is repeated as it was. What cannot be
// delivered is tried again, ever more seldom, for about a day, and is dead then, which is
// an entry and a metric. Nobody is warned of what is reached by then.
//
// Mails of one rule to one address have five minutes between them at least (apart in the
// file of rules; of one node's lead): the first goes at once, and what goes on being late comes together.
//
// A round commits what came of it after a minute at most, tells what was not tried yet
// first, and asks a mail server that does not answer once.
//
// # Webhooks
//
// A call is a POST of JSON (Call). Mezhved-Signature is "t=SECONDS,v1=HEX": HMAC-SHA-256
// with the secret of the rule, over SECONDS, a full stop and the body. Any status of
// 200 to 299 says that it was taken. Redirects are not followed.
//
// # Trust
//
// Mails hold no content of messages: identifiers, parties, services, stages and times.
// They go over TLS unless the configuration says that they do not, which it may for a
// server on this machine alone. Addresses are personal: entries commit to them.
package alarms
