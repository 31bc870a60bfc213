package journal

// Lift takes the members of the leaf out of the personal values of a row.
func (e *Event) Lift() { e.lift() }

// ReadsRow says whether a row is read without package json.
func ReadsRow(row string) bool {
	_, ok := readRow(row)
	return ok
}

// Harmless and Plain are what is asked of texts.
var Harmless, Plain = harmless, plain

// UnpackPersonal reads what PackPersonal wrote.
func UnpackPersonal(b []byte) ([]PersonalField, error) { return new(EventRoom).values(b) }
