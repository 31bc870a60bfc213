package journaltest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
)

// Bundler makes bundles from book, whose sequencer is run as needed.
func (d *Desk) Bundler(book *Book) *audit.Bundler {
	return &audit.Bundler{Tiles: book, Policy: d.Policy, Now: d.Clock.Now, Checkpoint: book.Checkpoint,
		Append: func(_ context.Context, e journal.Event) error {
			if err := book.Add(e); err != nil {
				return err
			}
			return d.Settle(d.Sequencer(book))
		},
		Find: func(_ context.Context, message string) (int64, []journal.Opening, error) {
			book.mu.Lock()
			latest, ok := book.last[message]
			book.mu.Unlock()
			if !ok {
				return 0, nil, fs.ErrNotExist
			}
			open, err := d.Opened(book, latest.Index)
			return latest.Index, open, err
		}}
}

// Opened unseals everything that is kept for an entry.
func (d *Desk) Opened(book *Book, index int64) ([]journal.Opening, error) {
	var out []journal.Opening
	for _, s := range book.Sealed(index) {
		o, err := d.Vault.Unseal(s)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// Exchange puts one exchange with an envelope and a certificate into book and
// makes a bundle of it. It returns the zip and the indexes of its entries.
func (d *Desk) Exchange(book *Book, envelope []byte) ([]byte, []int64) {
	d.T.Helper()
	certificate, answers := []byte("DER of a certificate"), [][]byte{[]byte("DER of an OCSP answer"), []byte("DER of the root's CRL")}
	return d.Exhibited(book, audit.Exhibit{Envelope: envelope, Certificate: certificate, Answers: answers})
}

// LongExchange is a request and its answer, each with a certificate of a usual size
// and with what befell it, without their envelopes.
func (d *Desk) LongExchange(book *Book) ([]byte, []int64) {
	d.T.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	der := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	return d.Exhibited(book, audit.Exhibit{Certificate: der(900), Answers: [][]byte{der(700)}}, audit.Exhibit{Certificate: der(900), Answers: [][]byte{der(700)}})
}

// Exhibited puts messages into book, each with what befalls a message, and makes a
// bundle of their entries. Of the exhibits, those of the first entries, all but the
// index are taken; polls, answers and Acks go to the later ones.
func (d *Desk) Exhibited(book *Book, messages ...audit.Exhibit) ([]byte, []int64) {
	d.T.Helper()
	head, err := book.Head(context.Background())
	d.ok(err)
	var exhibits []audit.Exhibit
	var events []journal.Event
	for i, x := range messages {
		at := d.Clock.Now()
		sums := make([][32]byte, len(x.Answers))
		for j, a := range x.Answers {
			sums[j] = sha256.Sum256(a)
		}
		revocation, judgement := journal.Judgement(sums)
		accepted := journal.Event{Kind: journal.KindAccepted, Time: at, Message: fmt.Sprintf("ex-%d-%d", head.Tree.N, i), MessageID: MessageID, Sender: "MUNI01",
			Recipient: "FED1", Service: "urn:x-service-1", Version: "1.2", Digest: hexSHA256(x.Envelope),
			Revocation: revocation, Deadline: at.Add(48 * time.Hour), Outcome: "ok", Size: len(x.Envelope),
			Personal: []journal.PersonalField{{Field: "snils", Value: "11223344595"}, {Field: "applicant", Value: "Петрова <Анна> & Ко"}}}
		if x.Certificate != nil {
			accepted.Certificate = hexSHA256(x.Certificate)
		}
		if x.Revocation = judgement; judgement == nil && len(x.Answers) == 1 {
			x.Revocation, x.Answers = x.Answers[0], nil
		}
		poll, answer, ack := x.Poll, x.Answer, x.Ack // of its steps
		x.Poll, x.Answer, x.Ack = nil, nil, nil
		x.Index = head.Tree.N + int64(len(events))
		exhibits, events = append(exhibits, x), append(events, accepted)
		for _, kind := range []journal.Kind{journal.KindRouted, journal.KindQueued, journal.KindDelivered, journal.KindReturned, journal.KindDelivered, journal.KindAcknowledged} {
			e := accepted
			e.Kind, e.Digest, e.Certificate, e.Revocation, e.Personal = kind, "", "", "", nil
			if kind == journal.KindAcknowledged {
				e.Outcome = "accepted"
			}
			step := audit.Exhibit{Index: head.Tree.N + int64(len(events))}
			var receipt journal.Receipt
			switch kind {
			case journal.KindDelivered:
				step.Poll, step.Answer = fmt.Appendf(nil, "<poll>%d</poll>", step.Index), fmt.Appendf(nil, "<answer>%d</answer>", step.Index)
				if poll != nil {
					step.Poll, step.Answer = poll, answer
				}
				receipt = journal.Receipt{Poll: hexSHA256(step.Poll), Answer: hexSHA256(step.Answer)}
			case journal.KindAcknowledged:
				if step.Ack = ack; ack == nil {
					step.Ack = fmt.Appendf(nil, "<ack>%d</ack>", step.Index)
				}
				receipt = journal.Receipt{Ack: hexSHA256(step.Ack)}
			}
			if receipt != (journal.Receipt{}) {
				e.Personal = []journal.PersonalField{receipt.Field()}
			}
			if x.Envelope == nil { // nor those of the receipts
				step.Poll, step.Answer, step.Ack = nil, nil, nil
			}
			exhibits, events = append(exhibits, step), append(events, e)
		}
	}
	d.ok(book.Add(events...))
	d.ok(d.Settle(d.Sequencer(book)))
	var indexes []int64
	for i := range exhibits {
		x := &exhibits[i]
		indexes = append(indexes, x.Index)
		if x.Certificate != nil || x.Envelope != nil || x.Poll != nil || x.Ack != nil {
			x.Openings, err = d.Opened(book, x.Index)
			d.ok(err)
		}
	}
	var out bytes.Buffer
	read := journal.Event{Time: d.Clock.Now(), Message: fmt.Sprintf("read-%d", head.Tree.N), Fields: []string{"snils"}, Ground: "check of a complaint",
		Personal: []journal.PersonalField{{Field: "actor", Value: "auditor"}}}
	bundler := d.Bundler(book)
	if d.TSA != nil {
		c := d.Checkpoint(book)
		body, err := journal.CheckpointBody(c.Note)
		d.ok(err)
		stamped := &journal.Stamped{Checkpoint: c.Note, Token: d.TSA(body)}
		bundler.Stamped = func(context.Context, int64) (*journal.Stamped, error) { return stamped, nil }
	}
	d.ok(bundler.Write(context.Background(), &out, "message 5e0f", exhibits, read))
	return out.Bytes(), indexes
}
