package papers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/journal/papers"
	"mezhved/envelopes"
	"mezhved/signing"
)

// bus is a bus that signs receipts, a party's folder of them, and the log.
type bus struct {
	*journaltest.Desk
	sender *journaltest.Sender
	book   *journaltest.Book
	dir    string
}

func newBus(t *testing.T) *bus {
	t.Helper()
	return &bus{Desk: journaltest.NewDesk(t), sender: journaltest.NewSender(t), book: journaltest.NewBook(journaltest.Origin), dir: t.TempDir()}
}

func (b *bus) must(err error) {
	b.T.Helper()
	if err != nil {
		b.T.Fatal(err)
	}
}

// receipt is what the bus answers to the message of an accepted event.
func (b *bus) receipt(v envelopes.Version, e journal.Event) []byte {
	b.T.Helper()
	return b.sender.Sign(envelopes.BuildReceipt(v, envelopes.SendRequest, envelopes.Metadata{
		MessageID: e.MessageID, Type: envelopes.TypeRequest, Sent: e.Time, Status: envelopes.StatusRequestIsQueued,
		Sender: envelopes.Participant{Mnemonic: e.Sender, Name: e.Sender}, Recipient: envelopes.Participant{Mnemonic: e.Recipient, Name: e.Recipient},
	}))
}

func (b *bus) keep(name string, body []byte) {
	b.T.Helper()
	path := filepath.Join(b.dir, name)
	b.must(os.MkdirAll(filepath.Dir(path), 0o755))
	b.must(os.WriteFile(path, body, 0o644))
}

// log puts events into the log, an hour after the other, and has it signed.
func (b *bus) log(events ...journal.Event) {
	b.T.Helper()
	b.must(b.book.Add(events...))
	b.must(b.Settle(b.Sequencer(b.book)))
}

// later lets time pass and something be logged.
func (b *bus) later(d time.Duration) {
	b.T.Helper()
	b.Clock.Move(d)
	b.log(journal.Event{Kind: journal.KindConfigChanged, Time: b.Clock.Now(), Outcome: "ok"})
}

func (b *bus) hold() *papers.Report {
	b.T.Helper()
	f, err := papers.ReadReceipts(b.dir, &papers.Bus{Certificates: []*signing.Certificate{b.sender.Signer.Certificate()}, Roots: []*signing.Certificate{b.sender.CA.Certificate}})
	b.must(err)
	f.Read = b.Clock.Now()
	r, err := f.Hold(context.Background(), b.book, b.Policy, b.Checkpoint(b.book).Note, nil)
	b.must(err)
	return r
}

// accepted are events of accepted messages, one a second.
func accepted(n int) []journal.Event {
	list := journaltest.Events(5, 40*n)
	list = slices.DeleteFunc(list, func(e journal.Event) bool { return e.Kind != journal.KindAccepted })[:n]
	for i := range list {
		list[i].Time = journaltest.Start.Add(time.Duration(i) * time.Second)
	}
	return list
}

func verdicts(r *papers.Report) map[papers.Verdict]int {
	out := map[papers.Verdict]int{}
	for _, h := range r.Held {
		out[h.Verdict]++
	}
	return out
}

// A bus that dates its receipt ahead, or logs nobody as the sender, has not kept its
// promise by that.
func TestReceiptsThatWouldHideAHole(t *testing.T) {
	b := newBus(t)
	events := accepted(3)
	ahead := events[0]
	ahead.Time = journaltest.Start.Add(24 * time.Hour)
	b.keep("1.xml", b.receipt(envelopes.V12, ahead))
	b.keep("2.xml", b.receipt(envelopes.V12, events[1]))
	b.keep("3.xml", b.receipt(envelopes.V12, events[2]))
	nobodys := events[1]
	nobodys.Sender = ""
	b.log(nobodys, events[2])
	b.later(2 * time.Minute)
	r := b.hold()
	if got := verdicts(r); !maps.Equal(got, map[papers.Verdict]int{papers.Ahead: 1, papers.Altered: 1, papers.Kept: 1}) || r.OK() {
		t.Errorf("verdicts %v, OK %t", got, r.OK())
	}
}

// The answers that clients of all versions have kept, in whatever packing, are held
// against the log; what else lies about is passed by.
func TestKeptAnswersAreReceipts(t *testing.T) {
	b := newBus(t)
	events := accepted(6)
	b.keep("m1/receipt.xml", b.receipt(envelopes.V11, events[0]))
	b.keep("m2/receipt.xml", b.receipt(envelopes.V12, events[1]))
	b.keep(".unfinished/1.xml", b.receipt(envelopes.V11, events[0]))
	b.keep(".m3.xml", append([]byte("\xef\xbb\xbf\r\n"), b.receipt(envelopes.V13, events[2])...))
	_, mime := envelopes.Package(b.receipt(envelopes.V12, events[3]), nil, true)
	b.keep("answers/4", mime)
	b.keep("inbox/5.xml", b.sender.Delivery(events[4]))
	delivered := events[4]
	delivered.Kind, delivered.Time, delivered.Sender, delivered.Digest, delivered.Personal, delivered.Attempt = journal.KindDelivered, events[4].Time.Add(time.Second), "", "", nil, 1
	b.keep("m1/sent.xml", []byte("<no-answer/>"))
	b.keep("notes.txt", []byte("call Petrov"))
	b.keep("empty.xml", b.sender.Sign(envelopes.BuildReceipt(envelopes.V12, envelopes.SendRequest, envelopes.Metadata{Type: envelopes.TypeRequest})))
	b.keep("queue.xml", envelopes.BuildEmpty(envelopes.V12, envelopes.GetRequest).XML)
	b.log(append(slices.Clone(events), delivered)...)

	r := b.hold()
	if got := verdicts(r); !maps.Equal(got, map[papers.Verdict]int{papers.Kept: 5}) || !r.OK() {
		t.Errorf("got %v, OK %t: %+v", got, r.OK(), r.Held)
	}
	// A file whose name begins with a dot is one like the others, and a folder of that kind is counted.
	if r.Others != 3 || r.Hidden != 1 || len(r.Unproven) != 1 || r.Unproven[0].File != "empty.xml" {
		t.Errorf("%d others, want 3; not proved %+v", r.Others, r.Unproven)
	}
	// The sixth message was sent in the name of one that has receipts.
	senders := map[string]int64{}
	for _, e := range events[4:] {
		if slices.ContainsFunc(events[:4], func(o journal.Event) bool { return o.Sender == e.Sender }) {
			senders[e.Sender]++
		}
	}
	if !maps.Equal(r.Unreceipted, senders) {
		t.Errorf("without receipt %v, want %v", r.Unreceipted, senders)
	}
}

// An entry that was promised and is not there is a proof when its time has come, and
// not before; so is one that came too late, and one that says something else.
func TestBrokenPromises(t *testing.T) {
	b := newBus(t)
	events := accepted(6)
	for i, e := range events {
		b.keep(string(rune('a'+i))+".xml", b.receipt(envelopes.V12, e))
	}
	hidden, late, sender, moment := events[1], events[2], events[3], events[4]
	sender.Sender, moment.Time = "OTHER", moment.Time.Add(-2*time.Second)
	b.log(events[0], sender, moment, events[5])
	b.later(journal.ReceiptDue - time.Minute)
	r := b.hold()
	if got := verdicts(r); !maps.Equal(got, map[papers.Verdict]int{papers.Kept: 2, papers.Due: 2, papers.Altered: 2}) {
		t.Errorf("before it is due: %v", got)
	}
	b.later(2 * time.Minute)
	b.log(late)
	r = b.hold()
	if got := verdicts(r); !maps.Equal(got, map[papers.Verdict]int{papers.Kept: 2, papers.Missing: 1, papers.Late: 1, papers.Altered: 2}) || r.OK() {
		t.Fatalf("after it was due: %v", got)
	}
	if !r.Log.OK() {
		t.Fatalf("the log itself is whole: %v", r.Log.Recount.Findings)
	}
	i := slices.IndexFunc(r.Held, func(h papers.Held) bool { return h.Verdict == papers.Missing })
	h := r.Held[i]
	if h.MessageID != hidden.MessageID || h.From < 0 || h.To <= h.From {
		t.Errorf("missing is %s, looked for in %d to %d", h.MessageID, h.From, h.To)
	}

	// What proves it is enough for somebody else.
	proofs := t.TempDir()
	dir, err := r.WriteHole(proofs, b.dir, h, b.Policy)
	b.must(err)
	text, err := os.ReadFile(filepath.Join(dir, "hole.json"))
	b.must(err)
	var hole struct {
		MessageID, Verdict string
		Size               int64
	}
	b.must(json.Unmarshal(text, &hole))
	if hole.MessageID != hidden.MessageID || hole.Verdict != "missing" || hole.Size != r.Log.Checkpoint.Tree.N {
		t.Errorf("hole.json says %+v", hole)
	}
	note, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	b.must(err)
	certificate, err := os.ReadFile(filepath.Join(dir, "bus.pem"))
	b.must(err)
	certs, err := signing.ParsePEMCertificates(certificate)
	b.must(err)
	folder, err := papers.ReadReceipts(dir, &papers.Bus{Certificates: certs})
	b.must(err)
	again, err := folder.Hold(context.Background(), audit.DirSource{FS: journaltest.FS(b.book.Files())}, b.Policy, note, nil)
	b.must(err)
	if len(again.Held) != 1 || again.Held[0].Verdict != papers.Missing {
		t.Errorf("read again: %+v", again.Held)
	}

	// An entry that is put in after all is late, and proves the same.
	b.log(hidden)
	if got := verdicts(b.hold()); got[papers.Missing] != 0 || got[papers.Late] != 2 {
		t.Errorf("after it was put in: %v", got)
	}
}

// What the bus has not signed is no promise, whoever wrote it; what it signed holds
// after its certificate has run out, and not when its authority is another.
func TestOnlyTheBusPromises(t *testing.T) {
	b := newBus(t)
	events := accepted(4)
	good := b.receipt(envelopes.V12, events[0])
	b.keep("good.xml", good)
	b.keep("changed.xml", bytes.Replace(b.receipt(envelopes.V12, events[1]), []byte(events[1].MessageID), []byte(events[2].MessageID), 1))
	bus := b.sender.Signer
	b.sender.Signer = b.sender.Issue(48 * time.Hour)
	b.keep("stranger.xml", b.receipt(envelopes.V12, events[2]))
	b.sender.Signer = bus
	unsigned := envelopes.BuildReceipt(envelopes.V12, envelopes.SendRequest, envelopes.Metadata{MessageID: events[3].MessageID, Sent: events[3].Time, Type: envelopes.TypeRequest})
	b.keep("unsigned.xml", unsigned.XML)
	b.log(events...)
	b.later(100 * 24 * time.Hour)
	r := b.hold()
	if got := verdicts(r); !maps.Equal(got, map[papers.Verdict]int{papers.Kept: 1}) || len(r.Unproven) != 3 {
		t.Errorf("got %v, not proved %v", got, r.Unproven)
	}
	other, err := signing.NewTestCA("Other CA", signing.KeyECDSA256, journaltest.Start.Add(-time.Hour))
	b.must(err)
	f, err := papers.ReadReceipts(b.dir, &papers.Bus{Certificates: []*signing.Certificate{b.sender.Signer.Certificate()}, Roots: []*signing.Certificate{other.Certificate}})
	b.must(err)
	if len(f.Receipts) != 0 {
		t.Error("a certificate of another authority is believed")
	}
	if _, err := papers.ReadReceipts(b.dir, &papers.Bus{}); err == nil {
		t.Error("receipts of nobody are believed")
	}
	b.sender.Signer = b.sender.Issue(time.Minute)
	b.dir = t.TempDir()
	b.keep("old.xml", b.receipt(envelopes.V12, events[0]))
	if r := b.hold(); len(r.Held) != 0 || len(r.Unproven) != 1 || !strings.Contains(r.Unproven[0].Err.Error(), "valid") {
		t.Errorf("a receipt signed after its certificate had run out: %+v", r)
	}
}

// A log that never says when it was signed cannot put off a promise for ever; where an
// entry of a later time stands in it, that is the time.
func TestALogWithoutTimesPutsNothingOff(t *testing.T) {
	b := newBus(t)
	events := accepted(2)
	b.keep("a.xml", b.receipt(envelopes.V12, events[0]))
	b.log(events[1])
	undated := func() papers.Verdict {
		t.Helper()
		lines := bytes.SplitAfter(b.Checkpoint(b.book).Note, []byte("\n"))
		note := bytes.Join(lines[:5], nil) // text, empty line, the log's plain signature
		c, err := b.Policy.Open(note)
		if err != nil || !c.Signed.IsZero() {
			t.Fatalf("an undated checkpoint: %+v, %v", c, err)
		}
		f, err := papers.ReadReceipts(b.dir, &papers.Bus{Certificates: []*signing.Certificate{b.sender.Signer.Certificate()}})
		b.must(err)
		f.Read = b.Clock.Now()
		r, err := f.Hold(context.Background(), b.book, b.Policy, note, nil)
		b.must(err)
		if r.OK() {
			t.Error("it is believed")
		}
		return r.Held[0].Verdict
	}
	if got := undated(); got != papers.Undated {
		t.Errorf("before it is due: %s", got)
	}
	b.later(2 * time.Hour)
	if got := undated(); got != papers.Missing {
		t.Errorf("after it was due: %s", got)
	}
}

// What was kept as sent is held against what the entry commits to, where evidence opens
// that; in any packing.
func TestWhatWasSentIsWhatIsLogged(t *testing.T) {
	b := newBus(t)
	sent := b.sender.Request(false)
	e := b.bundled(audit.Exhibit{Envelope: sent, Certificate: b.sender.Signer.Certificate().DER})
	b.keep("1/receipt.xml", b.receipt(envelopes.V12, e.Entries[0].Leaf.Event))
	hold := func(kept []byte, evidence ...*audit.Evidence) *papers.Report {
		t.Helper()
		b.keep("1/sent.xml", kept)
		f, err := papers.ReadReceipts(b.dir, &papers.Bus{Certificates: []*signing.Certificate{b.sender.Signer.Certificate()}})
		b.must(err)
		f.Read, f.Evidence = b.Clock.Now(), evidence
		r, err := f.Hold(context.Background(), b.book, b.Policy, b.Checkpoint(b.book).Note, nil)
		b.must(err)
		if got := verdicts(r); !maps.Equal(got, map[papers.Verdict]int{papers.Kept: 1}) || len(f.Sent) != 1 {
			t.Fatalf("%v, %d sent", got, len(f.Sent))
		}
		return r
	}
	if r := hold(sent); r.Unopened != 1 || r.Compared != 0 || !r.OK() {
		t.Errorf("without evidence: %+v", r)
	}
	if r := hold(sent, e); r.Compared != 1 || len(r.Unlike) != 0 || !r.OK() {
		t.Errorf("as it was sent: %+v", r)
	}
	_, mime := envelopes.Package(sent, nil, true)
	if r := hold(mime, e); r.Compared != 1 || !r.OK() {
		t.Errorf("as it was sent, in MIME: %+v", r)
	}
	other := bytes.Replace(sent, []byte("Кто?"), []byte("Где?"), 1)
	if r := hold(other, e); len(r.Unlike) != 1 || r.Unlike[0].Index != e.Entries[0].Index || r.OK() {
		t.Errorf("another one: %+v", r)
	}
}

// A log that does not verify keeps no promise.
func TestReceiptsAgainstADamagedLog(t *testing.T) {
	b := newBus(t)
	events := accepted(3)
	b.keep("a.xml", b.receipt(envelopes.V12, events[0]))
	b.log(events...)
	files := b.book.Files()
	for name := range files {
		if strings.HasPrefix(name, "tile/entries/") {
			files[name] = bytes.Replace(files[name], []byte(events[2].Sender), []byte("MUNI99"), 1)
		}
	}
	f, err := papers.ReadReceipts(b.dir, &papers.Bus{Certificates: []*signing.Certificate{b.sender.Signer.Certificate()}})
	b.must(err)
	r, err := f.Hold(context.Background(), audit.DirSource{FS: journaltest.FS(files)}, b.Policy, files["checkpoint"], nil)
	b.must(err)
	if r.OK() || len(r.Held) != 1 {
		t.Errorf("OK %t, %+v", r.OK(), r.Held)
	}
}

// No mutation of a receipt makes another promise.
func TestNoMutationOfAReceiptGoesUnnoticed(t *testing.T) {
	b := newBus(t)
	e := accepted(1)[0]
	good := b.receipt(envelopes.V12, e)
	f := &papers.Bus{Certificates: []*signing.Certificate{b.sender.Signer.Certificate()}}
	v, err := f.Verifier()
	b.must(err)
	want, err := papers.ReadReceipt(good, v)
	b.must(err)
	r := journaltest.Random(t)
	for range journaltest.Mutations(t) {
		bad := journaltest.Mutate(r, good)
		got, err := papers.ReadReceipt(bad, v)
		if err == nil && (got.MessageID != want.MessageID || got.Sender != want.Sender || got.Recipient != want.Recipient || !got.At.Equal(want.At) || got.Promises != want.Promises) {
			t.Fatalf("promises %+v, want %+v:\n%s", got, want, bad)
		}
	}
}
