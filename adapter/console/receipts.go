package console

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
)

// EntryReceipt is what proves a delivery or an acknowledgement besides our own word:
// where its envelopes are to be had as they came and went or, of a delivery over the
// bus, how far the recipient's consumer group had read.
type EntryReceipt struct {
	Poll   string          `json:"poll,omitempty"`
	Answer string          `json:"answer,omitempty"`
	Ack    string          `json:"ack,omitempty"`
	Stream *journal.Stream `json:"stream,omitempty"`
}

// receiptOf says what there is of an event that commits to a receipt. That of a
// delivery over the bus stands in its value alone.
func receiptOf(e *journal.Event, value *journal.Receipt) *EntryReceipt {
	at := func(what string) string {
		return fmt.Sprintf("/api/v1/messages/%s/receipts/%s/%d/%s", e.Message, url.PathEscape(e.Recipient), e.Attempt, what)
	}
	switch {
	case value != nil && value.Stream != nil:
		return &EntryReceipt{Stream: value.Stream}
	case e.Kind == journal.KindDelivered && e.Channel != "stream":
		return &EntryReceipt{Poll: at("poll"), Answer: at("answer")}
	case e.Kind == journal.KindAcknowledged:
		return &EntryReceipt{Ack: at("ack")}
	}
	return nil
}

// streamOf opens the receipt of an entry that tells of a delivery over the bus, when
// its opening is kept.
func (c *Console) streamOf(ctx context.Context, index int64) (*EntryReceipt, error) {
	open, err := c.Journal.Openings(ctx, index)
	if err != nil {
		return nil, err
	}
	for _, o := range open {
		if r, err := journal.ParseReceipt(o.Value); o.Field == journal.FieldReceipt && err == nil {
			return receiptOf(&journal.Event{}, &r), nil
		}
	}
	return nil, nil
}

// serveReceipt gives a signed poll, a signed Ack or the answer that was handed out,
// byte for byte.
func (c *Console) serveReceipt(w http.ResponseWriter, r *http.Request, who Actor) error {
	id, to, attempt, what := param(r, "message"), param(r, "recipient"), param(r, "attempt"), param(r, "what")
	if err := c.note(r.Context(), who, reading{act: "envelope", query: what + " of message " + id, fields: []string{"message"}, always: true}); err != nil {
		return err
	}
	message, err := uuid.Parse(id)
	if err != nil {
		return adapter.ErrNotFound
	}
	list, err := c.Store.Receipts(r.Context(), message)
	if err != nil {
		return err
	}
	for _, one := range list {
		if envelope := map[string][]byte{"poll": one.Poll, "answer": one.Answer, "ack": one.Ack}[what]; envelope != nil && string(one.Queue.System) == to && fmt.Sprint(one.Attempt) == attempt {
			writeBytes(w, what+"-"+message.String(), ".xml", "text/xml; charset=UTF-8", envelope)
			return nil
		}
	}
	return adapter.ErrNotFound
}

// receipts are those of the messages of a bundle, each read once.
type receipts struct {
	console *Console
	kept    map[string][]adapter.Receipt // by message
}

// add encloses what proves the step that an entry tells of, with the opening that
// vouches for it, when it is still kept.
func (r receipts) add(ctx context.Context, leaf *journal.Leaf, open []journal.Opening, x *audit.Exhibit) error {
	i := slices.IndexFunc(open, func(o journal.Opening) bool { return o.Field == journal.FieldReceipt })
	if i < 0 {
		return nil
	}
	want, err := journal.ParseReceipt(open[i].Value)
	if err != nil {
		return err
	}
	if want.Stream == nil {
		list, err := r.of(ctx, leaf.Message)
		if err != nil {
			return err
		}
		for _, one := range list {
			for _, f := range []struct {
				kept   []byte
				digest string
				into   *[]byte
			}{{one.Poll, want.Poll, &x.Poll}, {one.Answer, want.Answer, &x.Answer}, {one.Ack, want.Ack, &x.Ack}} {
				if sum := sha256.Sum256(f.kept); f.kept != nil && hex.EncodeToString(sum[:]) == f.digest {
					*f.into = f.kept
				}
			}
		}
		if x.Poll == nil && x.Answer == nil && x.Ack == nil {
			return nil
		}
	}
	x.Openings = append(x.Openings, open[i])
	return nil
}

func (r receipts) of(ctx context.Context, message string) ([]adapter.Receipt, error) {
	if list, ok := r.kept[message]; ok {
		return list, nil
	}
	id, err := uuid.Parse(message)
	if err != nil {
		return nil, nil
	}
	list, err := r.console.Store.Receipts(ctx, id)
	var erased *adapter.ErasedError
	if errors.Is(err, adapter.ErrNotFound) || errors.As(err, &erased) {
		list, err = nil, nil
	}
	r.kept[message] = list
	return list, err
}
