package cost

import (
	"time"

	"golang.org/x/sys/unix"
)

// now is the processor time that this thread has used. Getrusage would tell it in
// ticks.
func now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}
