package xmltape

// Cost is what a tape tells of a document before it takes anything.
func Cost(src []byte, lim Limits) int { return measureOf(src, lim.withDefaults()).bytes() }
