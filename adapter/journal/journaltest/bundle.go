package journaltest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
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
	head, err := book.Head(context.Background())
	d.ok(err)
	at := d.Clock.Now()
	certificate, answers := []byte("DER of a certificate"), [][]byte{[]byte("DER of an OCSP answer"), []byte("DER of the root's CRL")}
	revocation, judgement := journal.Judgement([][32]byte{sha256.Sum256(answers[0]), sha256.Sum256(answers[1])})
	accepted := journal.Event{Kind: journal.KindAccepted, Time: at, Message: fmt.Sprintf("ex-%d", head.Tree.N), MessageID: "5e0f", Sender: "MUNI01",
		Recipient: "FED1", Service: "urn:x-service-1", Version: "1.2", Digest: hexSHA256(envelope), Certificate: hexSHA256(certificate),
		Revocation: revocation, Deadline: at.Add(48 * time.Hour), Outcome: "ok", Size: len(envelope),
		Personal: []journal.PersonalField{{Field: "snils", Value: "11223344595"}, {Field: "applicant", Value: "Петрова <Анна> & Ко"}}}
	events := []journal.Event{accepted}
	for _, kind := range []journal.Kind{journal.KindRouted, journal.KindQueued, journal.KindDelivered, journal.KindAcknowledged} {
		e := accepted
		e.Kind, e.Digest, e.Certificate, e.Revocation, e.Personal = kind, "", "", "", nil
		events = append(events, e)
	}
	d.ok(book.Add(events...))
	d.ok(d.Settle(d.Sequencer(book)))
	var exhibits []audit.Exhibit
	var indexes []int64
	for i := range events {
		x := audit.Exhibit{Index: head.Tree.N + int64(i)}
		if i == 0 {
			all, err := d.Opened(book, x.Index)
			d.ok(err)
			x.Openings, x.Envelope, x.Certificate, x.Revocation, x.Answers = all, envelope, certificate, judgement, answers
		}
		exhibits, indexes = append(exhibits, x), append(indexes, x.Index)
	}
	var out bytes.Buffer
	read := journal.Event{Time: d.Clock.Now(), Message: fmt.Sprintf("read-%d", head.Tree.N), Fields: []string{"snils"}, Ground: "check of a complaint",
		Personal: []journal.PersonalField{{Field: "actor", Value: "auditor"}}}
	d.ok(d.Bundler(book).Write(context.Background(), &out, "message 5e0f", exhibits, read))
	return out.Bytes(), indexes
}
