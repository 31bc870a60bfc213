package journaltest

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"time"

	"mezhved/adapter/journal"
)

// Start is the time of the first event that Events makes.
var Start = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

// Events makes n events as a gateway would tell them: exchanges between a few
// municipalities and agencies, most of them in order, some refused. The same
// seed makes the same events. Every accepted one has two personal fields.
func Events(seed uint64, n int) []journal.Event {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]journal.Event, 0, n)
	var open []journal.Event // messages on their way
	for i := 0; len(out) < n; i++ {
		at := Start.Add(time.Duration(i) * 137 * time.Millisecond)
		if len(open) > 0 && r.IntN(3) > 0 {
			j := r.IntN(len(open))
			e := open[j]
			e.Time = at
			switch e.Kind {
			case journal.KindAccepted:
				e.Kind, e.Digest, e.Certificate, e.Personal, e.Size, e.Channel, e.Reference, e.Test = journal.KindRouted, "", "", nil, 0, "", "", false
				e.DueQueued, e.DueTaken, e.DueStatus, e.EOL, e.Terms = time.Time{}, time.Time{}, time.Time{}, time.Time{}, ""
			case journal.KindRouted:
				e.Kind = journal.KindQueued
			case journal.KindQueued:
				e.Kind, e.Attempt = journal.KindDelivered, 1
			default:
				e.Kind = journal.KindAcknowledged
			}
			open[j] = e
			if e.Kind == journal.KindAcknowledged {
				open = append(open[:j], open[j+1:]...)
			}
			out = append(out, e)
			continue
		}
		id := fmt.Sprintf("%08x-%04x-7%03x-8%03x-%012x", seed, i&0xffff, r.IntN(0xfff), r.IntN(0xfff), i)
		sender := fmt.Sprintf("MUNI%02d", r.IntN(20))
		e := journal.Event{
			Kind: journal.KindAccepted, Time: at, Node: "node-1", Message: id, MessageID: "m" + id[1:], Operation: "SendRequest", Direction: "request",
			Sender: sender, Recipient: fmt.Sprintf("FED%d", r.IntN(4)), Service: fmt.Sprintf("urn:x-service-%d", r.IntN(5)), Version: "1.2",
			Outcome: "ok", Deadline: at.Add(48 * time.Hour), Size: 4096 + r.IntN(4096),
			Schema: fmt.Sprintf("%x", sha256.Sum256([]byte{byte(i % 5)})), Certificate: fmt.Sprintf("%x", sha256.Sum256([]byte(sender))),
			Digest: fmt.Sprintf("%x", sha256.Sum256([]byte(id))),
			Personal: []journal.PersonalField{
				{Field: "snils", Value: fmt.Sprintf("%011d", r.Int64N(1e11))},
				{Field: "applicant", Value: fmt.Sprintf("Иванов Иван %d", i)},
			},
		}
		if i%5 > 0 {
			e.Channel = "smev/1." + string('2'+rune(i%2))
		}
		if i%7 == 0 {
			e.Reference = "b" + id[1:]
		}
		e.Test = i%11 == 0
		if i%3 == 0 {
			e.DueQueued, e.DueTaken, e.EOL = at.Add(time.Minute), at.Add(24*time.Hour), at.Add(720*time.Hour)
		}
		if i%6 == 0 {
			e.DueStatus, e.Terms = at.Add(36*time.Hour), "answered 5wd, +03:00"
		}
		if r.IntN(10) == 0 {
			e.Kind, e.Outcome, e.Rule, e.Line, e.Col, e.Incident = journal.KindRefused, "ValidationFailure", "cvc-complex-type.2.4.a", 12, 7, "inc-"+id
			e.Message, e.Personal = "", nil
		} else {
			open = append(open, e)
		}
		out = append(out, e)
	}
	return out
}

func hexSHA256(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
