package sandbox

// Size is what is counted of a call that is kept.
func (c *Call) Size() int { return c.size() }
