//go:build !linux

package cost

import "time"

var began = time.Now()

// now is the time on the wall, where no thread tells its own.
func now() time.Duration { return time.Since(began) }
