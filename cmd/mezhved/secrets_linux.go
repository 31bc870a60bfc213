package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// keepMemory sees to it that the memory of the process, in which there are keys and
// content, comes into no file: no core is written, to none and to no program that
// collects cores (which asks for no limit, and is not given what may not be dumped),
// and no other process of the same account may read it. It is called before a key is.
func keepMemory() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("core files: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("core files: %w", err)
	}
	return nil
}
