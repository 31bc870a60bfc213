// Package kafka is the room where Kafka is spoken. It implements
// adapter.Broker with kafka-go, at least once: a record that Publish has
// answered for is on all in-sync replicas, and a record that Consume hands
// over is not committed before its handler has returned.
//
// kafka-go connects, logs in, knows who leads what, keeps the group and asks for all
// that is asked for seldom. Records themselves are written and read here (exchange.go,
// batch.go), over its connections: one request goes to each leader, with all that a call
// of Publish has for its partitions, and one waits at each leader for whatever any of its
// partitions will have. A record's bytes are copied once on their way to the socket.
// Batches that this process has put on the bus are known by their heads when they come
// back; where the caller says that they have been taken care of, they are not opened.
//
// kafka-go has no idempotent producer and its read_committed does not work, so
// nothing here depends on either: what comes twice is known by the store (its
// offsets and message ids), and no topic of ours is written in transactions.
// Two more of its habits are kept out: it gives up on errors that pass
// (every call here is repeated), and it reports errors inside answers that look
// like success (they are looked at).
package kafka
