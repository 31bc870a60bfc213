//go:build !js

package audit

import (
	"errors"
	"os"
	"syscall"
)

// flock locks a file until it is closed, for one alone or for readers together. It
// does not wait: busy says that another has it.
func flock(f *os.File, alone bool) (busy bool, err error) {
	how := syscall.LOCK_SH
	if alone {
		how = syscall.LOCK_EX
	}
	err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// alive says whether a process of this number may be there.
func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
