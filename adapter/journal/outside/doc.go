// Package outside checks the journal with tools that are not ours: Tessera's fsck
// and client read our log as it is served, and the reference witness of
// transparency-dev cosigns it. It is a module of its own so that those tools stay
// out of the gateway's dependencies. Only tests live here; run them with
//
//	cd adapter/journal/outside && go test ./...
package outside
