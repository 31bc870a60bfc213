package journal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// FieldReceipt is the name under which an entry commits to what proves its step: the
// value that it opens to is a Receipt's.
const FieldReceipt = "receipt"

// ClassReceipt is the retention class of receipts' openings.
const ClassReceipt = "acknowledgements"

// Receipt is what proves a delivery or an acknowledgement besides the gateway's own
// word. Exactly one of these is there: Poll and Answer of a delivery over SOAP,
// Answer being absent where nothing of ours was signed or kept; Ack of an
// acknowledgement; Stream of a delivery over the bus.
type Receipt struct {
	Ack    string  `json:"ack,omitempty"`    // hex SHA-256 of the envelope with the recipient's signed Ack
	Answer string  `json:"answer,omitempty"` // hex SHA-256 of the envelope that was handed out, the gateway's signature in it
	Poll   string  `json:"poll,omitempty"`   // hex SHA-256 of the envelope with the recipient's signed poll
	Stream *Stream `json:"stream,omitempty"`
}

// Stream is where a message stood on the bus and how far its recipient's consumer
// group had read when it was taken for delivered. Members are in the order of the alphabet.
type Stream struct {
	Committed int64  `json:"committed"` // offset that the group had committed: beyond Offset
	Epoch     string `json:"epoch"`     // the topic's incarnation: cluster and topic id
	Group     string `json:"group"`
	Offset    int64  `json:"offset"`
	Partition int    `json:"partition"`
	Topic     string `json:"topic"`
}

// Field is the receipt as an event carries it: its digests stand committed in the leaf.
func (r Receipt) Field() PersonalField {
	return PersonalField{Field: FieldReceipt, Value: r.String(), Class: ClassReceipt}
}

// String is the one spelling of a receipt: JSON, members in the order of the
// alphabet, no white space.
func (r Receipt) String() string {
	if text, ok := r.ofDigests(); ok {
		return text
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		panic(err) // texts and numbers
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// ofDigests spells a receipt that has only digests, as nearly all have, without the help of
// package json; false: it has something else.
func (r *Receipt) ofDigests() (string, bool) {
	if r.Stream != nil {
		return "", false
	}
	b := make([]byte, 0, 256)
	for _, m := range [...]struct{ name, digest string }{{`"ack":"`, r.Ack}, {`"answer":"`, r.Answer}, {`"poll":"`, r.Poll}} {
		if m.digest == "" {
			continue
		}
		for i := range len(m.digest) {
			if hexDigit[m.digest[i]] > 15 {
				return "", false
			}
		}
		b = append(b, "{,"[min(len(b), 1)])
		b = append(append(append(b, m.name...), m.digest...), '"')
	}
	if len(b) == 0 {
		return "{}", true
	}
	return string(append(b, '}')), true
}

// ParseReceipt reads what String wrote, and refuses every other spelling.
func ParseReceipt(s string) (Receipt, error) {
	var r Receipt
	d := json.NewDecoder(strings.NewReader(s))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Receipt{}, fmt.Errorf("receipt: %w", err)
	}
	if r.String() != s {
		return Receipt{}, errors.New("receipt: not in its only spelling")
	}
	for _, digest := range []string{r.Ack, r.Answer, r.Poll} {
		if sum, err := hex.DecodeString(digest); digest != "" && (err != nil || len(sum) != 32 || strings.ToLower(digest) != digest) {
			return Receipt{}, fmt.Errorf("receipt: %q is no hex SHA-256", digest)
		}
	}
	kinds := 0
	for _, is := range []bool{r.Ack != "", r.Poll != "", r.Stream != nil} {
		if is {
			kinds++
		}
	}
	if kinds != 1 || r.Answer != "" && r.Poll == "" {
		return Receipt{}, errors.New("receipt: of one step, which is a poll with its answer, an Ack, or a place on the bus")
	}
	return r, nil
}
