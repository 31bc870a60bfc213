package signing

import "time"

// Revocation will be asked.
type Revocation struct{}

func (t *Trust) checkRevocation(c *Certificate, at time.Time) *Error { return nil }
