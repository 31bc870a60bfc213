package audit

// Chains is the table of messages, by their ids.
type Chains struct{ c *chains }

func NewChains() Chains { return Chains{newChains()} }

func (c Chains) Follow(message string, index int64) int64 {
	return c.c.follow(keyOf([]byte(message)), index)
}

// UUIDKey is the key of a message whose id is a UUID in lower case.
func UUIDKey(message string) (key [2]uint64, uuid bool) { return uuidKey([]byte(message)) }

// Break calls f before each change of the mirror's folder; an error from it ends
// the run as a kill would, when f goes on to give one.
func (m *Mirror) Break(f func(operation string) error) { m.breaks = f }
