// Package adaptertest is a whole gateway for anybody's test: real PostgreSQL, a
// real broker in process, parties with keys, services with schemas, and a clock
// that the test moves. A story sets the world, acts as parties do, over HTTP
// with signed envelopes, and looks at what must be true; Check then holds the
// whole world against the gateway's promises.
//
// Proxy spoils the connections between parts that are processes of their own; the
// storm in cmd/mezhved stands behind it.
//
// DATABASE_URL and KAFKA_BROKERS point the same stories at other servers.
// Only tests may enter.
package adaptertest
