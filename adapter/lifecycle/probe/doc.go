// Package probe watches services as their callers would find them: it asks them, with
// messages that are marked TestMessage, before somebody does who needs the answer. Its
// way in is New and Prober.Run, which a node runs as a loop; the store implements Store,
// and the desk reads what it keeps. Nobody else enters.
//
// # What is probed
//
// A service version says it in its settings (probe). The short probe looks: the door
// serves its description, the schema in force takes the sample, each provider has asked
// for requests lately, and its oldest request does not wait too long. The full probe asks
// for real: it sends the sample as the party that the configuration names (probe.party),
// through the gateway's own doors, signed as anybody's message is, and awaits an answer,
// which must hold against the schema. Its request ends with the wait (EOL), so that
// nothing of it is left in a queue.
//
// What a probe sends is marked, so it counts nowhere: it is in no total of what services
// do, no rating and no report, has no term of which anybody is told, and neither the calls
// of the probe's party nor those of a provider that takes, acknowledges and answers a probe
// are among the calls of others. Probes have metrics and a history of
// their own.
//
// # Over a crash
//
// One node probes at a time, under a lease like that of other works. What it is about to
// send is committed before it is sent, under the MessageID that it will have: whoever
// leads next sends the same again, and the gateway takes it once. An outcome is committed
// before the answer is acknowledged; an answer that comes again finds nothing that awaits
// it, and is acknowledged. So each full probe has one outcome, whoever dies when.
//
// # Trust
//
// Who has the key of probe.party can send messages in its name, as with any party's key:
// let it call what is probed and nothing else. What is kept here names services,
// providers and faults, and no value of a message.
package probe
