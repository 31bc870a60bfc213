//go:build !linux

package postgres

import "time"

// setUserTimeout is for Linux alone; elsewhere the deadlines of reads and writes
// and the keepalives have to do.
func setUserTimeout(uintptr, time.Duration) error { return nil }
