// Package embedded is the room where the gateway's two servers are kept when
// nobody has set up real ones: a private PostgreSQL cluster, whose programs are
// found on the machine or else fetched once, and an in-process Kafka broker.
// "mezhved demo" and the tests enter here; "mezhved serve" on a real installation
// does not.
//
// Both servers stop when the process that started them ends, however it ends,
// and both can be started again on the same directory after a kill -9 of
// anything. Neither is reachable from another machine: PostgreSQL listens on a
// Unix socket in a directory of mode 0700 and the broker on loopback. The
// broker has no replication and is no place for real traffic.
package embedded
