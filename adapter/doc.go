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
//	revocation.go    keepJudgement what decided that it is not revoked is kept
//	submit.go        submit        identifier, service, its share, schema, personal
//	                               signature, dictionaries, attachments, route,
//	                               access, end of life, room, files in the
//	                               store, whom it is about and on what ground
//	                               -> admitted
//	accept.go        accept        ONE statement: MessageID, message, outbox, hold
//	                               on its files, journal. Nothing is promised
//	                               before it. Its content is sealed on the way
//	                 receipt       signed, answered
//	relay.go         relay (loop)  outbox -> bus, and with the bus's acknowledgement,
//	                               in ONE commit: out of the outbox, into the
//	                               recipient's queue, journal "routed", "queued"
//	intake.go        intake (loop) bus -> recipient's queue, where no relay has put
//	                               it: "queued"; wakes the polls of its node
//	poll.go          poll          queue -> account for its files -> answer,
//	                               signed -> lease, journal "delivered", poll and
//	                               answer kept: ONE commit, and then it is handed
//	                               out
//	ack.go           ack           out of the queue, journal "acknowledged", the
//	                               signed Ack kept
//	reply.go         reply         SendResponse: the route is in To; then accept,
//	                               relay, intake and poll as for a request
//	status.go        status        GetStatus, GetIncomingQueueStatistics
//	stray.go         recallStrays  what the bus has acknowledged and lost -> outbox
//	stream.go        watchStreams (loop)  what providers read from the bus
//	                               themselves: journal "delivered"
//	feed.go          feed (loop)   the journal's log -> its topic on the bus
//	sweep.go         sweep (loop)  leases run out, ends of life; tellSender
//	openterms.go     openTerms (loop)  follows the log: what comes due and what is late
//	faults.go        table         every reason to refuse -> fault, code, text,
//	                               HTTP status, what the sender should do
//	refuse.go        writeFault    a refusal is an event: journal, bytes, incident
//
// Round the corridor: gateway.go (New, Run, Serve), topics.go (where queues stand on the bus),
// replyto.go (reply addresses), record.go (what the bus carries of a message, and how that
// is read), seal.go (what proves a record to be ours),
// messageid.go, discard.go (bodies that are refused before their end), limits.go (rates, strangers, depths of queues), shares.go (what one party and
// one service may have at work), pace.go (fewer requests
// to all or to some queues when what was accepted waits too long: limits.wait), describe.go (WSDL,
// health, the front page), watch.go (what stands still), clock.go (whose time),
// config.go, configcheck.go (what of it cannot work), named.go (files that settings name), environment.go (what may say it beside
// its file), configbook.go (what is told of it), reconfigure.go (what of it changes while
// the gateway runs), tls.go, wire.go (an answer goes
// out in one piece), bell.go (wake-ups), placing.go (what the relay has put into
// queues), metrics.go, quality.go (what is promised of services), probed.go (what probes send is in no total), tracing.go, haste.go and
// examplefault.go (what a sandbox has of us), logged.go
// (what the log may have of an error). The seams are message.go, store.go,
// broker.go and filestore.go; packages postgres, kafka and files stand behind them.
// Which services and parties there are is asked of package registry, how long a loop
// waits for more before it goes to the store of package gather; what is
// counted for each call stands in package tally.
//
// A reply is no special case: it is a message whose route was fixed by its
// request, so it takes the same accept. So do statuses, rejections and the
// gateway's own asynchronous errors. A MessageID is used once on the bus among
// all of them, because an Ack names what it takes out by nothing else.
//
// # Three proofs
//
// An Envelope offers nothing but what is needed to verify it. A Signed is an
// element that was proved to be signed. An admitted holds against identifier
// rules, schema, route and rights. Only the function that proves a thing makes
// the next type, and what was verified is what is used: there is no second
// parse and no writing anew of what a sender signed. What a prefix in a value is
// bound to is not under a SMEV signature: such a name is admitted only when the
// schema leaves it one meaning.
//
// # Crashes
//
// Before accept has committed: nothing has happened, the sender asks again.
// After it, before the answer: the sender asks again with the same MessageID and
// is given the same receipt. Between the bus's acknowledgement and the outbox
// row's deletion: the record is on the bus twice and queued once, because what has
// been put into a queue is remembered for good, and the order of a queue is that of
// its rows in the outbox, which one relay at a time takes. That commit answers nobody and
// waits for no disk; whatever is told of it is committed behind it, and a database that
// loses it has the row in the outbox again. Before a lease has committed: the message
// stands where it was, or, when others of its transaction went out while its answer was
// still being made, it comes when the lease would have run out, as undelivered as before.
// After it: it comes back when the lease runs out, at the head.
// Nobody has to mend anything; a restart is the normal path run again.
//
// What one node does at a time (the journal, each shard of the outbox, the feed)
// it does under a lease of ten seconds in the database, by the database's clock.
// When its host dies, or the network to it, and nobody is told, another node goes
// on after that time; what the first one commits late fails (journal.ErrDeposed).
// A leader that cannot place events or sign gives the lead up after three seconds,
// and a node that cannot reach the store leaves what it reads from the bus to
// others. Accepts ask whether anybody does the journal's work, not who.
//
// A topic that vanishes, because somebody deletes it or a broker comes back
// without its data, is made again by any running node. What waited in the outbox
// goes; what the bus had acknowledged, no queue has, and the topic, read to its
// end, does not hold, is put there once more. Offsets are stored by incarnation of
// the topic, so those of the new one are not taken for the old one's. A topic that cannot be
// made, or a partition that nobody leads, holds up what is for it: the relay goes on with
// what is behind, and comes back to it.
//
// A provider that reads its topic itself (delivery: stream) has a message when
// its consumer group has committed an offset beyond it. The intake stores where
// such records stand; what was read while no gateway ran is journalled by the
// next one. The topic of the journal has each entry of the log at least once and
// in order; after a crash the last batch may come again, and on a topic that was
// made anew the last week, known by the index.
//
// # Lanes
//
// What waits in a queue waits in lanes, one for each service. A poll takes from them in
// turn, so that a million messages of one service stand before none of another; a poll
// with a selector takes from its service's alone. Within a lane the order of acceptance
// holds, as it does for one service over all senders: first come, first served. Requests
// of VIP senders go first, over all lanes. What is found costs a step of an index for each
// lane, however much waits there, has been acknowledged or has come to its end of life.
// What ends together is taken out in parts, with rests between them, and its senders are
// told some together, in one commit (package gather). So that no sender fills what
// others wait in, there are bounds at the door: for what one service and one sender may
// have waiting in a queue, and for what each may have at work at once (shares.go).
//
// # Receipts
//
// That a message was delivered, and acknowledged, is not the gateway's word alone.
// The recipient's signed poll, the signed answer that it got and its signed Ack are
// kept byte for byte, and the entries "delivered" and "acknowledged" commit to their
// digests (journal.Receipt). What was committed is what was sent: the answer is
// written and signed while the lease is open, and a message for which none can be
// made was not delivered. An empty poll leaves nothing. The answer's part that is the
// message itself is not stored again; all of it is sealed with the message's key, and
// ends with its content.
//
// A poll proves that its signer asked at its Timestamp, and not by itself for what: its
// answer names the message and the recipient, and is signed by the gateway. The
// operation, and whatever else of an envelope is not under its signature, is proved by
// the entry's commitment alone. What GetStatus hands
// out is not acknowledged: it is out of the queue with the answer, so the poll and the
// answer prove delivery and acknowledgement together. A provider that reads its topic itself signs nothing: the entry commits to
// the place of the record, the consumer group and the offset that the group had
// committed, which the bus's administrator could have set. Where that is not enough,
// delivery: poll is what a provider has to use.
//
// # Standing still
//
// A loop that believes that all is well is no proof. Every node asks the data, every
// few seconds: how old is the oldest row of the outbox and of what is on the bus and
// not queued, by shard; the oldest event without a place in the log, entry without a
// checkpoint, entry that is not on its topic, message past its end of life. Ages are
// the database's. What waits longer than times.still is told in /readyz (degraded,
// and still 200, since accepts go on and every node would say the same), by
// mezhved_waiting_seconds and in the log: once when it begins, once when it ends.
// A node whose last accept the database did not take, a full disk for one, is not
// ready (503) until one is taken or ten seconds have passed.
//
// # Time
//
// All nodes go by one clock, the database's (Clock): leases, lives, shelf lives,
// poll ages and the journal's times are of it, and a node's own clock, when it is
// set, moves none of them. The difference between the two is measured with each
// answer of the database, told beyond clock.tell, and beyond clock.refuse, when it
// lasts a minute, the node accepts, sweeps and journals nothing: one of the clocks
// is wrong, nobody knows which, and what a wrong time ends is not given back. Polls
// and acknowledgements go on.
//
// # Content
//
// The log has commitments, and what they stand for is content: it has an end. The
// store seals body and attachments of each message, and what is kept of a refused
// call, with a key of its own out of the vault (package vault), which is in no
// database and no backup of one; a record on the bus is sealed with the key of its
// message, unless a provider reads it there: what it carries is the body as its row has
// it, packed once and sealed once, with the form that it takes to open that when the row
// is gone (record.go). So erasing a key erases all copies. Retention ends content by service, direction and day, an operator's order
// ends single messages (package postgres: content_erase.go, content_retention.go);
// neither touches what is on its way. Should a database be put back from which a
// message was erased since, it is not handed out: its content is gone (Message.Erased),
// and the erasure takes it out of its queue, with a "dead" event.
//
// A folder that lacks a key of the vault which the database has rows of is not this database's,
// or a stale copy. A new key of the name would have what was sealed before look damaged, and
// nobody found; so none is made (vault.Witness), and a node without it accepts nothing, for
// neither content nor journal could be sealed; polls and acknowledgements go on where what
// they need opens. Events that wait stay until the key is back. That it never will be is an
// operator's word (mezhved journal lost-key).
//
// # Terms
//
// By when a message is to be queued, taken, heard of and answered is counted at its
// acceptance (due.go, package terms) and stands in the entry "accepted": lateness is
// proved by the log. Which of it is not reached yet is an index of the store that
// follows the log, and can be made again from it. One node at a time tells what comes
// due and what is late: the event is committed with the mark that it was told, and with
// its copy for those who tell people of it (package alarms), so a crash anywhere leaves
// it to be told, or told. Nobody is called late before the log has what was committed
// until then. An end of life is no term.
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
// told to come again (503), and what is left over goes back to the system. Bodies that
// trickle give way to those that come in one go. Once
// its signature is proved a call counts for its party. What is refused before its
// end is read on and thrown away, within bounds, so that its sender reads why.
//
// # The log of the process
//
// It is for the operator and holds no value of a message, no header and no name
// that a caller makes up; nor do traces and metrics. A refusal is a line with
// reason, rule, place and element; the sentence that quotes the message goes to
// who sent it, and the incident id leads to the journal and the bytes. The trace id in
// it joins the line with spans, the examples of histograms and the desk (tracing.go). What a
// stranger or a broken neighbour can cause at will comes out a few times a minute
// and is counted. Nothing waits for a line: see package oplog.
//
// # Trust
//
// Who can write to the database can do everything. Who can write to the bus can
// repeat records and hold them back, but can neither fill a queue nor have the
// journal hear what is not so: a seal covers all of a record that is used, and what
// the journal hears of a message is what the store knows (seal.go). Who can commit
// offsets for a provider's group can have a streamed message told of as read. Those
// who read the topics beside us have no key of seals: to them the sender's signature
// in a record's value proves something, its headers do not; and an entry on the
// journal's topic is proved by the log's tiles and checkpoints.
//
// Who holds the reply keys can make reply addresses, and still needs the key of
// the provider that an address names. Who learns a MessageID before its message is
// accepted can use it first: its sender is refused and takes another.
//
// A signed poll names its time, and not which operation it is. It is taken within
// limits.pollAge (5 minutes) of its Timestamp, and on all nodes only as the
// operation that it came as first. What is left without TLS: whoever captures a poll
// can repeat it as it is for that long and be handed what waits in that queue, and
// whoever stands on the way and holds one back can turn a GetRequest into a
// GetResponse of the same system, because nothing in it says otherwise. With
// limits.pollAge: 0s both hold for ever. An Ack bears no time; repeated, it finds
// nothing, because the id of what it took out is not used again. A message that is
// repeated is known by its MessageID.
package adapter
