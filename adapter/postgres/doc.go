// Package postgres is the room where every line of SQL lives. It implements
// adapter.Store: messages, the duplicate check, the outbox, the queues and the
// events of the journal, all in one PostgreSQL database (15 or newer).
//
// What holds here:
//
//   - One promise is one statement, or one transaction: the message, its dedup
//     key, its outbox rows and its journal events are committed together or not
//     at all. Nothing returns nil before the commit has returned.
//   - Calls of one kind are batched: while one batch commits, the next one gathers,
//     and for a little longer when several came together (package gather). Alone, a
//     call waits for nobody.
//   - A MessageID is used once, whoever sends it (used_id). Nodes of before kept
//     it by sender; migration 00050 says how the two work side by side.
//   - What is nearly always so is tried first, by a statement that asks for nothing: no
//     MessageID of a batch is in use, no poll has come before, what is acknowledged stands
//     as it was handed out. Where that is wrong the server undoes it, and a careful
//     statement finds out what is so (usual.go).
//   - A statement whose outcome is unknown (the connection was lost) is run
//     again with the same ids; the dedup key tells what the first run did.
//   - Who leads the journal, a shard of the outbox or the feed proves it in the
//     transaction of each write (lead.go), so that nothing rests on a session, on
//     the clock of a node or on what TCP believes of a dead host.
//   - No session is needed for anything: behind a pooler of transactions each
//     statement brings its settings along (connect.go). No read or write of a
//     connection waits without end, and a pool forgets connections that are dead.
//   - A lease is a HOT update of a narrow row. Each lane of a queue, a service's, is
//     a stretch of an index, read from a low-water mark on: what waits in others, and
//     dead rows, cost nothing (lanes.go).
//   - What a row waits for is told by this server's clock: outbox, relayed (on the
//     bus, and not in its queue) and journal_pending say when a row came. Nodes go
//     by it too (Time), so the times that they write can be compared.
//   - What nodes of the release before cannot read is not written until a week after
//     the migration that brings it (gates.go).
//   - What this node committed a moment ago is handed out from memory (fresh.go);
//     a message never changes.
//   - Entries are kept in blocks of 256, packed by columns (journal_block.go,
//     journal_leaves.go); the hashes of their leaves are made of them. The journal has
//     few indexes: digests of the ids in a block; journal_term says in which stretches
//     of 1024 entries a value stands, journal_tally on which days a combination of
//     values does and between which entries; a search reads what these leave. What stretches
//     come to, for times that are no whole days, is put down beside (journal_sums.go).
//   - Who sends what to whom is said once for all messages of a kind (kinds.go).
//   - What opens the commitments of a block is sealed together, with one seed for all
//     salts (journal_opening.go): a value costs little more than its own bytes, and goes
//     alone when it is to be erased.
//   - Message bodies are kept byte for byte, woven with a dictionary of what every
//     envelope repeats (woven.go), compressed, and sealed with keys of the vault, which is not
//     here (content.go). A copy of this database is no copy of content; what is
//     erased is erased in all of them (content_erase.go).
//
// Whoever can write to this database can rewrite the queues. The journal, whose
// head is signed elsewhere, is what shows it.
package postgres
