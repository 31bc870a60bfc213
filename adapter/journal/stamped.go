package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Stamped is a signed checkpoint with a token of a time-stamping authority (RFC 3161)
// over its text: by the word of somebody who is neither the log nor a witness, all
// entries of that size were there at that time.
type Stamped struct {
	Checkpoint []byte `json:"checkpoint"` // the signed note
	Token      []byte `json:"token"`      // in DER
}

// MaxStamped bounds a Stamped as JSON, in bytes.
const MaxStamped = 256 << 10

// CheckpointBody is what a token is over: the text of a checkpoint that its signatures
// sign too, with the last line feed and without the empty line.
func CheckpointBody(note []byte) ([]byte, error) {
	i := bytes.LastIndex(note, []byte("\n\n"))
	if i < 0 {
		return nil, errors.New("checkpoint has no signatures")
	}
	return note[:i+1], nil
}

// ParseStamped reads JSON as Marshal writes it, and no other spelling. Nothing is
// verified.
func ParseStamped(b []byte) (*Stamped, error) {
	if len(b) > MaxStamped {
		return nil, fmt.Errorf("stamped checkpoint has %d bytes, at most %d are read", len(b), MaxStamped)
	}
	s := new(Stamped)
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("stamped checkpoint: %w", err)
	}
	if _, err := d.Token(); err != io.EOF || !bytes.Equal(s.Marshal(), b) {
		return nil, errors.New("stamped checkpoint is not in its only spelling")
	}
	return s, nil
}

// Marshal is the JSON of a Stamped, with a line feed at its end.
func (s *Stamped) Marshal() []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // two byte strings
	}
	return append(b, '\n')
}
