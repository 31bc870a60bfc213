package journal

import "errors"

// ErrDeposed says that a leader's write was not committed because its term has
// ended and another node leads.
var ErrDeposed = errors.New("the term of this node has ended, another node leads")
