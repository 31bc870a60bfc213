// Package adapter is the gateway itself: one flat package, one file per step of
// a message's way. A stranger with one question, "what happens to my message?",
// reads the files in this order and is answered.
//
//	consumer                                                          provider
//	   | POST SendRequest                                      POST GetRequest |
//	   v                                                                       v
//	handler.go       serveSOAP     body up to the limit, one request record; all
//	                               operations come through this door
//	memory.go        Hold          room for body, tape and copies is taken before
//	                               they are: strangers share half of it
//	                 parse         bytes -> envelopes.Envelope (untrusted)
//	authenticate.go  authenticate  -> signing.Signed -> Party, by registered
//	                               certificate
//	submit.go        submit        identifier, service, schema, personal
//	                               signature, attachments, route, access, end of
//	                               life, room, files in the store -> admitted
//	accept.go        accept        ONE statement: dedup key, message, outbox, hold
//	                               on its files, journal. Nothing is promised
//	                               before it
//	                 receipt       signed, answered
//	relay.go         relay (loop)  outbox -> bus, journal "routed"
//	intake.go        intake (loop) bus -> recipient's queue, journal "queued"
//	poll.go          poll          queue -> lease, journal "delivered" -> account
//	                               for its files -> answer, signed
//	ack.go           ack           out of the queue, journal "acknowledged"
//	reply.go         reply         SendResponse: the route is in To; then accept,
//	                               relay, intake and poll as for a request
//	status.go        status        GetStatus, GetIncomingQueueStatistics
//	stream.go        watchStreams (loop)  what providers read from the bus
//	                               themselves: journal "delivered"
//	feed.go          feed (loop)   the journal's log -> its topic on the bus
//	sweep.go         sweep (loop)  leases run out, ends of life; tellSender
//	faults.go        table         every reason to refuse -> fault, code, text,
//	                               HTTP status, what the sender should do
//	refuse.go        writeFault    a refusal is an event: journal, bytes, incident
//
// Round the corridor: gateway.go (New, Run, Serve), registry.go,
// registryfiles.go and routecode.go (services and parties as folders), replyto.go
// (reply addresses), messageid.go, limits.go (rates, strangers, depths of
// queues), describe.go (WSDL, health, the front page), config.go, yamlfile.go,
// tls.go, bell.go (wake-ups), metrics.go, tracing.go. The seams are message.go, store.go,
// broker.go and filestore.go; packages postgres, kafka and files stand behind them.
//
// A reply is no special case: it is a message whose route was fixed by its
// request, so it takes the same accept. So do statuses, rejections and the
// gateway's own asynchronous errors.
//
// # Three proofs
//
// An Envelope offers nothing but what is needed to verify it. A Signed is an
// element that was proved to be signed. An admitted holds against identifier
// rules, schema, route and rights. Only the function that proves a thing makes
// the next type, and what was verified is what is used: there is no second
// parse and no writing anew of what a sender signed.
//
// # Crashes
//
// Before accept has committed: nothing has happened, the sender asks again.
// After it, before the answer: the sender asks again with the same MessageID and
// is given the same receipt. Between the bus's acknowledgement and the outbox
// row's deletion: the record is on the bus twice and queued once, because the
// offset is stored with the queue row. After a lease: the message comes back
// when the lease runs out, at the head. Nobody has to mend anything; a restart
// is the normal path run again.
//
// A provider that reads its topic itself (delivery: stream) has a message when
// its consumer group has committed an offset beyond it. The intake stores where
// such records stand; what was read while no gateway ran is journalled by the
// next one. The topic of the journal has each entry of the log at least once and
// in order; after a crash the last batch may come again, known by its index.
//
// # Versions
//
// Every answer speaks the version of its call. A message whose sender signed it
// in the reader's version is delivered byte for byte, sender's signature and
// all. For a reader of another version it is written anew: the signed element
// bears the namespace of its version, so the sender's signature cannot come
// along and is left out, and the reader relies on the bus's. The business
// content and the official's signature over it are the same bytes in either
// case. The journal says of such a delivery that it was "rewrapped"; the store
// keeps what the sender signed.
//
// # Strangers
//
// Whoever reaches a door can make us hold what he sends until we know that it is
// nobody's: the body, the tape, which markup makes many times as large as itself,
// and copies. limits.memory bounds all of that for the process; the cost of a step
// is told before the step, a call that finds no room waits a second and is then
// told to come again (503), and what is left over goes back to the system. Once
// its signature is proved a call counts for its party. What is refused before its
// end is read on and thrown away, within bounds, so that its sender reads why.
//
// # Trust
//
// Who can write to the database can do everything. Who can write to the bus can
// repeat records and hold them back, but cannot fill a queue: records bear a MAC.
// Who holds the reply keys can make reply addresses, and still needs the key of
// the provider that an address names. Without TLS and without limits.pollAge,
// whoever captures a signed poll can repeat it at any time and be handed what
// waits in that queue; with the window alone, for as long as the window lasts.
package adapter
