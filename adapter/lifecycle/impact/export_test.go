package impact

// Waiting is how many octets are said to wait.
func (s *Shadow) Waiting() int64 { return s.waiting.Load() }
