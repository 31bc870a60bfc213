// Package journal is the gateway's evidence: what happened to every message,
// in a form that a stranger can verify. It is pure: storage is given to it.
package journal
