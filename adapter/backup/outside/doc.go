// Package outside holds places of backups against other people's programs: a service of
// S3 that is not ours. It is a module of its own, so that the gateway does not depend on
// what it takes.
package outside
