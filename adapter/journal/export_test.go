package journal

// Lift takes the members of the leaf out of the personal values of a row.
func (e *Event) Lift() { e.lift() }
