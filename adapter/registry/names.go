package registry

// Mnemonic names an information system, as registered (500502_3T, MNSV05).
type Mnemonic string

// QName is an expanded XML name.
type QName struct{ Space, Local string }

func (q QName) String() string { return "{" + q.Space + "}" + q.Local }
