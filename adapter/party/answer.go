package party

import (
	"net/http"

	"mezhved/envelopes"
)

// Answer is an answer of a bus as it came, for those who make their calls by themselves,
// or keep what they were answered and have it proved later.
type Answer struct {
	Status      int // of HTTP
	ContentType string
	Body        []byte
}

// ReadReceipt proves the answer to a SendRequest or SendResponse (op) of that MessageID.
// The errors are those of Client.SendRequest.
func (c *Client) ReadReceipt(op envelopes.Operation, messageID string, a Answer) (*Receipt, error) {
	receipt := &Receipt{Metadata: envelopes.Metadata{MessageID: messageID}}
	parsed, err := c.readAnswer(op, a)
	if err != nil {
		return receipt, err
	}
	return receipt, c.receipt(parsed, receipt)
}

// ReadMessage proves the answer to a GetRequest or GetResponse (op); nil: nothing waited.
// The errors are those of Client.PollRequest.
func (c *Client) ReadMessage(op envelopes.Operation, a Answer) (*Message, error) {
	parsed, err := c.readAnswer(op, a)
	if err != nil {
		return nil, err
	}
	return c.message(parsed)
}

func (c *Client) readAnswer(op envelopes.Operation, a Answer) (*envelopes.AnswerEnvelope, error) {
	return c.read(&http.Response{StatusCode: a.Status, Header: http.Header{"Content-Type": {a.ContentType}}}, op, a.Body)
}
