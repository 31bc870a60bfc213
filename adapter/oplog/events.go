package oplog

import (
	"context"
	"log/slog"
	"strings"
)

// events names what lines tell, by their messages: programs that read the log go by the
// name, which stays when a sentence is improved. A message that ends in a space goes on
// with what it is about. docs/log.md lists them; a test holds all three together.
var events = map[string]string{
	"an alarm was not told": "alarm.failed",
	"alarms":                "alarm.finding",
	"the rules of alarms were not read again, the old ones stay: mezhved alarms lint": "alarm.rules-refused",
	"kafka: consuming was interrupted; trying again":                                  "bus.consuming-interrupted",
	"kafka: records could not be taken in; trying again":                              "bus.intake-failed",
	"the bus refuses a message for good; its sender is told":                          "bus.message-refused",
	"the dead letter topic refuses a note too":                                        "bus.note-refused",
	"kafka: offsets were not committed":                                               "bus.offsets-failed",
	"kafka: a partition does not take records; trying on":                             "bus.partition-blocked",
	"in-process Kafka broker: for demonstrations and tests, not for production":       "bus.private",
	"kafka: a partition stands still, for nobody can read what it holds at an offset: see the runbook, MezhvedBusUnreadable; kafka.skip passes over it": "bus.unreadable",
	"what cannot be read on the bus is passed over, as kafka.skip says; messages that were in it and in no queue are put there again":                   "bus.skipped",
	"kafka: the reader complains": "bus.reader",
	"the bus has lost records before they came to their queue, or kafka.shared was changed; they are put there again": "bus.records-lost",
	"the bus has lost records before they were read; they are put there again":                                        "bus.stream-lost",
	"kafka: topics are made":       "bus.topics-made",
	"kafka: cannot see the topics": "bus.topics-unseen",
	"kafka: topics have vanished and are made again: somebody deleted them, or a broker has lost its data": "bus.topics-vanished",
	"the production calendar of a year is missing: put it into the services' folder ":                      "calendar.missing",
	"call failed": "call.failed",
	"what a refused call's certificates were judged by was not kept, and its entry does not name it": "call.judgement-lost",
	"a stranger's refusal was not kept":           "call.refusal-lost",
	"the caller hung up before it had its answer": "call.gone",
	"call refused": "call.refused",
	"a fault that the operation does not declare":                                             "call.undeclared-fault",
	"this node's clock and the database's agree again":                                        "clock.agrees",
	"the database's clock is back where it was":                                               "clock.database-back",
	"the time of this node follows the database's clock, which has jumped":                    "clock.database-followed",
	"the database's clock has jumped; it is not followed before this has lasted for a minute": "clock.database-jumped",
	"this node's clock differs from the database's: synchronise both":                         "clock.differs",
	"the database does not tell its time; this node's runs on by itself":                      "clock.untold",
	"the configuration was not read again, the old one stays: mend it and reload":             "config.refused",
	"the configuration was read again":                                                        "config.reloaded",
	"the control socket is closed":                                                            "control.closed",
	"content has ended":                                                                       "content.ended",
	"erasures were done again that the vault or the database had forgotten or not finished":   "content.erased-again",
	"erasures are not done again, for the vault lacks keys of what they are about":            "content.erasure-waits",
	"this node has no vault (journal.vault), so the content of messages is sealed by no node: let it be the folder that the other nodes have, on storage that they share": "content.no-vault",
	"retention of content":                        "content.retention-failed",
	"console: answer":                             "desk.answer-failed",
	"the desk stays closed":                       "desk.closed",
	"console: the head of a page has no counters": "desk.counters-failed",
	"console: the envelope of a message":          "desk.envelope-failed",
	"console: an erasure was noted and not carried out to its end; it will be tried again": "desk.erasure-unfinished",
	"console: an export broke off":                                                             "desk.export-broken",
	"the page of how services do stays closed":                                                 "desk.health-closed",
	"how services do cannot be told now":                                                       "desk.health-failed",
	"console: the journal is broken":                                                           "desk.journal-broken",
	"console: state of the journal":                                                            "desk.journal-failed",
	"console: somebody sits down":                                                              "desk.login",
	"the desk is closed: the configuration has no console.tokens":                              "desk.no-tokens",
	"console: a page":                                                                          "desk.page-failed",
	"console: depths of queues":                                                                "desk.queues-failed",
	"console: the reading cannot be journalled, so it does not happen":                         "desk.reading-unjournalled",
	"console: the bytes of a refused call":                                                     "desk.refusal-failed",
	"console: the trace of a refused call":                                                     "desk.trace-failed",
	"console: a wrong token":                                                                   "desk.wrong-token",
	"scenarios":                                                                                "emulator.finding",
	"a message of the emulator was not sent, it tries again":                                   "emulator.not-sent",
	"a party is emulated: its answers are made up":                                             "emulator.party",
	"a party is not emulated: put it right and reload":                                         "emulator.party-failed",
	"the emulator cannot take requests, it tries again":                                        "emulator.poll-failed",
	"a scenario gives no answer: mend it, mezhved services lint says more":                     "emulator.scenario-broken",
	"the scenarios were not read again, the old ones stay in force: mend the files and reload": "emulator.scenarios-refused",
	"the emulator cannot keep what it has sent":                                                "emulator.state-failed",
	"the bus refuses an entry of the log for good; its readers miss it":                        "feed.entry-refused",
	"the log's topic was made anew and has lost its entries; those of the last week are put there again": "feed.topic-lost",
	"a connection to the file store failed":                                       "files.connection-failed",
	"a caller of the file store did not get under TLS":                            "files.control-without-tls",
	"a data connection of the file store did not get under TLS":                   "files.data-without-tls",
	"the file store failed":                                                       "files.failed",
	"a data connection came from another address than its session":                "files.foreign-data",
	"the file store cannot look a login up":                                       "files.login-failed",
	"a login to the file store was refused":                                       "files.login-refused",
	"the index names a file that the disk does not have: it was lost there":       "files.lost",
	"no data connection of the file store can be opened":                          "files.no-data-port",
	"the file store's door is open":                                               "files.open",
	"a session of the file store panicked":                                        "files.panic",
	"bytes of a file that is no more could not be removed; the sweep tries again": "files.removal-failed",
	"the S3 door failed":                                                          "files.s3-failed",
	"a call of the S3 door was refused":                                           "files.s3-refused",
	"what came of a broken upload was not kept":                                   "files.upload-lost",
	"this node accepts nothing for now":                                           "gateway.accepts-nothing",
	"gateway is closed":                                                           "gateway.closed",
	"the service manager was not told":                                            "gateway.manager-failed",
	"gateway is open":                                                             "gateway.open",
	"a call ended in a panic":                                                     "gateway.panic",
	"a record that no gateway wrote is passed over":                               "intake.foreign-record",
	"the intake leaves the bus to other nodes until the store answers":            "intake.paused",
	"a record on the bus names a message that this database does not have":        "intake.unknown-message",
	"journal: entries wait for the archive until the values about people behind them have ended (journal.retention.personal)": "journal.archive-waits",
	"journal: entries were archived": "journal.archived",
	"journal: at work again":         "journal.at-work",
	"journal: cosignatures":          "journal.cosignatures-failed",
	"journal: last checkpoint":       "journal.last-checkpoint-failed",
	"journal: this node cannot do the work and gives the lead up for a while": "journal.lead-given-up",
	"journal: retention": "journal.retention-failed",
	"journal: a row cannot be expressed and is committed to whole; a node of another version, or our bug": "journal.row-unreadable",
	"journal: serve": "journal.serve-failed",
	"journal: checkpoints have time stamps again":                           "journal.stamp-back",
	"journal: the authority's time is not ours; one of the clocks is wrong": "journal.stamp-clock",
	"journal: no time stamp for the checkpoint; asked again meanwhile":      "journal.stamp-missing",
	"journal: step":                     "journal.step-failed",
	"journal: stop the log":             "journal.stop-failed",
	"journal: thin out old checkpoints": "journal.thinning-failed",
	"journal: the log's time is ahead of the clock, which was set back or was wrong before; entries bear the log's time until the clock comes up to it": "journal.time-ahead",
	"this node does not sign the journal (journal.key is not set): another one must":                                                                    "journal.unsigned-here",
	"journal: values were forgotten":                              "journal.values-forgotten",
	"lines of this log are missing: its reader did not take them": "log.lost",
	"other lines":                 "log.other",
	"loop ended, it starts again": "loop.restarted",
	"what was accepted waits too long: parties are told to send fewer requests":                                          "pace.begun",
	"the marks of a queue could not be moved on; until they are, polls of it step over what has gone":                    "queue.marks-stand",
	"what was accepted for some queues waits too long while others get on: parties are told to send them fewer requests": "pace.queue-begun",
	"parties may send to queues that waited as they like again":                                                          "pace.queue-ended",
	"queues that the bus does not take messages of could not be told to the other nodes; it is tried again":              "relay.apart-untold",
	"parties may send as they like again":                                                                                "pace.ended",
	"a recipient rejected a message because our signature did not hold for it: compare its view of our certificate":      "party.bus-signature-rejected",
	"an answer to a probe was not acknowledged, it comes again":                                                          "probe.ack-failed",
	"a probe's request was not taken, it is sent again":                                                                  "probe.not-sent",
	"answers to probes cannot be taken now":                                                                              "probe.poll-failed",
	"the bus is away; accepted messages wait in the outbox":                                                              "ready.bus",
	"not ready: the time cannot be relied on":                                                                            "ready.clock",
	"not ready: the journal cannot be written":                                                                           "ready.journal",
	"not ready: the store does not commit":                                                                               "ready.store",
	"registry":                                                                                                           "registry.finding",
	"the registry was not reloaded, the old set stays in force: mend the files and reload again":                         "registry.refused",
	"an installation does not answer; calls that others may carry out pass it over, and try it again every few seconds":  "route.installation-lost",
	"an installation cannot be asked whether it is ready":                                                                "route.installation-unasked",
	"an installation answers again":                                                                                      "route.installation-back",
	"an installation has other services or parties than this router: have both read the same folders":                    "route.installation-differs",
	"an installation has the services and parties of this router again":                                                  "route.installation-alike",
	"router is open":               "route.open",
	"router is closed":             "route.closed",
	"registry reloaded":            "registry.reloaded",
	"the vault has its keys again": "vault.keys-back",
	"the last rows are sealed with other keys than this node's vault has under these names: another node has a folder of its own":                 "vault.sealed-elsewhere",
	"the vault lacks a key that this database is sealed with: nothing is accepted until it is back":                                               "vault.key-missing",
	"a version that comes to its end is still called":                                                                                             "registry.sunset-called",
	"registry read again: nothing has changed":                                                                                                    "registry.unchanged",
	"the registry was not reloaded, because the journal could not be told of it; the old set stays in force: reload again when the store answers": "registry.unjournalled",
	"reports read the log from further back than they would have to":                                                                              "reports.standing-failed",
	"the bus does not take messages of some queues; they are tried again, and others go on":                                                       "relay.waits",
	"this node was too slow: another one relays the shard":                                                                                        "relay.deposed",
	"a caller was not registered":                                          "sandbox.caller-refused",
	"a caller was registered on first sight":                               "sandbox.caller-registered",
	"sandbox: a page":                                                      "sandbox.page-failed",
	"a scenario cannot be asked":                                           "sandbox.scenario-broken",
	"the gateway's certificate":                                            "signature.certificate",
	"the gateway's key was not read again, the old one stays":              "signature.refused",
	"the gateway signs with a new key":                                     "signature.replaced",
	"accept is tried again":                                                "store.accept-again",
	"the database has lost names that were noted: they are noted again":    "store.names-lost",
	"private PostgreSQL: for demonstrations and tests, not for production": "store.private",
	"a session that a leader has left behind in a transaction was ended":   "store.session-ended",
	"sessions that leaders have left behind could not be looked for":       "store.sessions-unseen",
	"the authorities of client certificates were not read again, the old ones stay: mend the file and reload": "tls.cas-refused",
	"the authorities of client certificates were read again":                                                  "tls.cas-reloaded",
	"a door has a certificate": "tls.certificate",
	"a door's certificate was not read again, the old one stays: mend the files": "tls.certificate-refused",
	"traces: the collector does not take them":                                   "tracing.failed",
	"nobody can say what stands still: the store does not answer":                "watch.blind",
	"it gets on again":        "watch.moving",
	"it stands still: ":       "watch.still",
	"it still stands still: ": "watch.still-on",
	"witness":                 "witness.failed",
	"witness: a log is not consistent with what was seen: keep this request as proof": "witness.inconsistent",
}

// Event is the name of what a message tells; empty: it has none.
func Event(message string) string {
	if name, ok := events[message]; ok {
		return name
	}
	for begin, name := range events {
		if strings.HasSuffix(begin, " ") && strings.HasPrefix(message, begin) {
			return name
		}
	}
	return ""
}

// named adds the name of its event to a line.
type named struct{ slog.Handler }

func (h named) Handle(ctx context.Context, r slog.Record) error {
	if name := Event(r.Message); name != "" {
		r = r.Clone()
		r.AddAttrs(slog.String("event", name))
	}
	return h.Handler.Handle(ctx, r)
}

func (h named) WithAttrs(attrs []slog.Attr) slog.Handler { return named{h.Handler.WithAttrs(attrs)} }

func (h named) WithGroup(name string) slog.Handler { return named{h.Handler.WithGroup(name)} }
