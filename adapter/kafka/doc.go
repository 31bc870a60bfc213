// Package kafka is the room where Kafka is spoken. It implements
// adapter.Broker with kafka-go, at least once: a record that Publish has
// answered for is on all in-sync replicas, and a record that Consume hands
// over is not committed before its handler has returned.
//
// kafka-go has no idempotent producer and its read_committed does not work, so
// nothing here depends on either: what comes twice is known by the store (its
// offsets and message ids), and no topic of ours is written in transactions.
// Three more of its habits are kept out: it gives up on errors that pass
// (every call here is repeated), it reports errors inside answers that look
// like success (they are looked at), and its writer waits for a timer to fill a
// batch (Publish sends what it was given, a request per partition).
package kafka
