package papers_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/journal/papers"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"

	"golang.org/x/crypto/ocsp"
)

// answers are an OCSP answer about the signer and a list of the authority that names
// the serial numbers.
func (b *bus) answers(status int, revoked ...*big.Int) (answer, list []byte) {
	b.T.Helper()
	ca, at := b.sender.CA.Certificate.X509, journaltest.Start
	answer, err := ocsp.CreateResponse(ca, ca, ocsp.Response{Status: status, SerialNumber: b.sender.Signer.Certificate().X509.SerialNumber, ThisUpdate: at.Add(-time.Minute), NextUpdate: at.Add(time.Hour), RevokedAt: at.Add(-time.Hour)}, b.sender.CA.Key)
	b.must(err)
	crl := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: at.Add(-time.Minute), NextUpdate: at.Add(time.Hour)}
	for _, n := range revoked {
		crl.RevokedCertificateEntries = append(crl.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: n, RevocationTime: at.Add(-time.Hour)})
	}
	list, err = x509.CreateRevocationList(rand.Reader, crl, ca, b.sender.CA.Key)
	b.must(err)
	return answer, list
}

// bundled is a bundle of exhibits, verified.
func (b *bus) bundled(x ...audit.Exhibit) *audit.Evidence {
	b.T.Helper()
	zip, _ := b.Exhibited(b.book, x...)
	e, err := audit.VerifyBundle(bytes.NewReader(zip), int64(len(zip)), b.Policy)
	b.must(err)
	return e
}

// told says what was found out, one line for each signature in the message itself.
func (b *bus) told(e *audit.Evidence, roots ...*signing.Certificate) string {
	b.T.Helper()
	list, err := papers.Signatures(e, &papers.Anchors{Roots: roots})
	b.must(err)
	var out strings.Builder
	for _, s := range list {
		if s.Index != e.Entries[0].Index {
			continue
		}
		verdict := "holds"
		switch {
		case s.Absent != nil:
			verdict = "absent"
		case s.Bad():
			verdict = "bad: " + s.Err.Error()
		case s.Err != nil:
			verdict = "refused: " + s.Err.Error()
		}
		kinds := ""
		for _, a := range s.Revocation {
			kinds += " " + a.Kind
		}
		fmt.Fprintf(&out, "%d %s %s, path %d,%s unchecked %t\n", s.Index-e.Entries[0].Index, s.Of, verdict, len(s.Path), kinds, s.Unchecked != nil)
	}
	return out.String()
}

func TestSignaturesOfABundle(t *testing.T) {
	b := newBus(t)
	root := b.sender.CA.Certificate
	good, list := b.answers(ocsp.Good)
	certificate := b.sender.Signer.Certificate().DER
	e := b.bundled(audit.Exhibit{Envelope: b.sender.Request(false), Certificate: certificate, Answers: [][]byte{good}})
	if got, want := b.told(e, root), "0 caller holds, path 2, ocsp unchecked false\n0 file plan holds, path 2, ocsp unchecked false\n"; got != want {
		t.Errorf("with its answer:\n%swant\n%s", got, want)
	}
	if got, want := b.told(e), "0 caller holds, path 0, unchecked false\n0 file plan holds, path 0, unchecked false\n"; got != want {
		t.Errorf("without anchors:\n%swant\n%s", got, want)
	}
	other, err := signing.NewTestCA("Other CA", signing.KeyECDSA256, journaltest.Start.Add(-time.Hour))
	b.must(err)
	if got := b.told(e, other.Certificate); !strings.HasPrefix(got, "0 caller bad: ") {
		t.Errorf("with other anchors: %s", got)
	}

	e = b.bundled(audit.Exhibit{Envelope: b.sender.Request(false), Certificate: certificate, Answers: [][]byte{list}})
	if got := b.told(e, root); !strings.HasPrefix(got, "0 caller holds, path 2, crl unchecked false\n") {
		t.Errorf("with a list: %s", got)
	}
	e = b.bundled(audit.Exhibit{Envelope: b.sender.Request(false), Certificate: certificate})
	if got := b.told(e, root); !strings.HasPrefix(got, "0 caller holds, path 2, unchecked true\n") {
		t.Errorf("without an answer: %s", got)
	}
	revoked, _ := b.answers(ocsp.Revoked)
	_, named := b.answers(ocsp.Good, b.sender.Signer.Certificate().X509.SerialNumber)
	for what, answer := range map[string][]byte{"answer": revoked, "list": named} {
		e = b.bundled(audit.Exhibit{Envelope: b.sender.Request(false), Certificate: certificate, Answers: [][]byte{answer}})
		if got := b.told(e, root); !strings.Contains(got, "caller bad: ") || !strings.Contains(got, "revoked") {
			t.Errorf("revoked by its %s: %s", what, got)
		}
	}
	// An answer that had run out by then, or was signed by nobody, says nothing.
	forged := bytes.Clone(good)
	forged[len(forged)-5] ^= 1
	e = b.bundled(audit.Exhibit{Envelope: b.sender.Request(false), Certificate: certificate, Answers: [][]byte{forged, {1, 2, 3}}})
	if got := b.told(e, root); !strings.HasPrefix(got, "0 caller holds, path 2, unchecked true\n") {
		t.Errorf("with a forged answer: %s", got)
	}
}

// What proves a delivery and its acknowledgement is proved like the message.
func TestSignaturesOfReceipts(t *testing.T) {
	b := newBus(t)
	e, other := accepted(1)[0], accepted(2)[1]
	e.MessageID = journaltest.MessageID // which the entries are of
	poll := b.sender.Poll(journaltest.Start)
	ack := b.sender.Ack(e.MessageID, true)
	check := func(poll, answer, ack []byte, want string) {
		t.Helper()
		bundle := b.bundled(audit.Exhibit{Envelope: b.sender.Request(false), Certificate: b.sender.Signer.Certificate().DER, Poll: poll, Answer: answer, Ack: ack})
		list, err := papers.Signatures(bundle, &papers.Anchors{Roots: []*signing.Certificate{b.sender.CA.Certificate}})
		b.must(err)
		got := map[string]bool{}
		for _, s := range list {
			if s.Of == "poll: caller" && s.Err == nil && !s.Asked.Equal(journaltest.Start) {
				t.Errorf("the poll says %s", s.Asked)
			}
			if s.Bad() {
				got[s.Of+" bad"] = true
			} else if s.Absent == nil && s.Path != nil {
				got[s.Of] = true
			}
		}
		if names := strings.Join(slices.Sorted(maps.Keys(got)), ", "); names != want {
			t.Errorf("got %s, want %s", names, want)
		}
	}
	check(poll, b.sender.Delivery(e), ack, "ack: caller, answer: bus, caller, file plan, poll: caller")
	check(poll, b.sender.Delivery(e), bytes.Replace(ack, []byte(e.MessageID), []byte(other.MessageID), 1), "ack: caller bad, answer: bus, caller, file plan, poll: caller")
	// What holds, and is of another message or another kind, proves nothing of this one.
	check(poll, b.sender.Delivery(e), b.sender.Ack(other.MessageID, true), "ack: caller bad, answer: bus, caller, file plan, poll: caller")
	check(poll, b.sender.Delivery(e), b.sender.Ack(e.MessageID, false), "ack: caller bad, answer: bus, caller, file plan, poll: caller")
	check(poll, b.sender.Delivery(e), poll, "ack: caller bad, answer: bus, caller, file plan, poll: caller")
	check(poll, b.sender.Delivery(other), ack, "ack: caller, answer: bus bad, caller, file plan, poll: caller")
	check(poll, b.receipt(envelopes.V12, e), ack, "ack: caller, answer: bus bad, caller, file plan, poll: caller")
	check(poll, poll, ack, "ack: caller, answer: caller bad, caller, file plan, poll: caller")
	check(ack, b.sender.Delivery(e), ack, "ack: caller, answer: bus, caller, file plan, poll: caller bad")
	check(b.sender.Delivery(e), b.sender.Delivery(e), ack, "ack: caller, answer: bus, caller, file plan, poll: caller bad")
}

// Who else has a certificate of the authority cannot speak as the bus.
func TestOnlyTheBusSignsAsTheBus(t *testing.T) {
	b := newBus(t)
	e := accepted(1)[0]
	e.MessageID = journaltest.MessageID
	bundle := b.bundled(audit.Exhibit{Envelope: b.sender.Request(false), Certificate: b.sender.Signer.Certificate().DER,
		Poll: b.sender.Poll(journaltest.Start), Answer: b.sender.Delivery(e), Ack: b.sender.Ack(e.MessageID, true)})
	for what, c := range map[string]struct {
		bus  []*signing.Certificate
		good bool
	}{"its own": {[]*signing.Certificate{b.sender.Signer.Certificate()}, true}, "none": {nil, true}, "another's": {[]*signing.Certificate{b.sender.Issue(48 * time.Hour).Certificate()}, false}} {
		list, err := papers.Signatures(bundle, &papers.Anchors{Roots: []*signing.Certificate{b.sender.CA.Certificate}, Bus: c.bus})
		b.must(err)
		for _, s := range list {
			if s.Of == "answer: bus" && s.Bad() == c.good {
				t.Errorf("%s: %v", what, s.Err)
			}
		}
	}
}

// What the entry commits to and its sender did not sign is told, whatever the log says.
func TestSignaturesThatDoNotHold(t *testing.T) {
	b := newBus(t)
	certificate := b.sender.Signer.Certificate().DER
	changed := bytes.Replace(b.sender.Request(false), []byte("Кто?"), []byte("Что?"), 1)
	for what, c := range map[string]struct {
		x    audit.Exhibit
		want string
	}{
		"changed content":       {audit.Exhibit{Envelope: changed, Certificate: certificate}, "0 caller bad: "},
		"no signature":          {audit.Exhibit{Envelope: []byte(strings.ReplaceAll(string(b.sender.Request(false)), "CallerInformationSystemSignature", "SomethingElse")), Certificate: certificate}, "0 caller bad: there is no signature"},
		"another certificate":   {audit.Exhibit{Envelope: b.sender.Request(false), Certificate: b.sender.Issue(48 * time.Hour).Certificate().DER}, "0 caller bad: it is made with another certificate"},
		"no envelope at all":    {audit.Exhibit{Envelope: []byte("<a/>"), Certificate: certificate}, "0 caller bad: the envelope cannot be read"},
		"a file beside":         {audit.Exhibit{Envelope: b.sender.Request(true), Certificate: certificate}, "0 file plan absent"},
		"another message":       {audit.Exhibit{Envelope: b.sender.Ack("5be1a7c2-0000-11f1-8000-000000000002", true), Certificate: certificate}, "0 caller bad: it is of message"},
		"the bus's own receipt": {audit.Exhibit{Envelope: b.receipt(envelopes.V12, accepted(1)[0]), Certificate: certificate}, "0 bus holds"},
	} {
		if got := b.told(b.bundled(c.x)); !strings.Contains(got, c.want) {
			t.Errorf("%s: %swant %s", what, got, c.want)
		}
	}
	// Of a call that was refused the entry does not say more.
	sum := sha256.Sum256(changed)
	refused := journal.Event{Kind: journal.KindRefused, Time: journaltest.Start, Operation: "SendRequest", Outcome: "SignatureVerificationFault", Digest: hex.EncodeToString(sum[:])}
	e := &audit.Evidence{Entries: []audit.EvidenceEntry{{Proven: journal.Proven{Leaf: journal.Leaf{Event: refused}}, Envelope: changed}}}
	if got := b.told(e); !strings.HasPrefix(got, "0 caller refused: ") {
		t.Errorf("a refused call: %s", got)
	}
}

// A mutation of an envelope that its entry vouches for is a mutation of what was
// signed, or of what nobody signs.
func TestNoMutationOfAnEnvelopeGoesUnnoticed(t *testing.T) {
	b, r := newBus(t), journaltest.Random(t)
	good := b.sender.Request(false)
	content := func(xml []byte) string {
		call, err := envelopes.Parse(envelopes.TextXML, xml, new(xmltape.Tape), envelopes.Limits{})
		if err != nil {
			return ""
		}
		_, target := call.Caller()
		return target.Child(envelopes.V12.BasicSpace(), "MessagePrimaryContent").TrimText() + target.Child(envelopes.V12.TypesSpace(), "MessageID").TrimText()
	}
	sum := hex.EncodeToString(b.sender.Signer.Certificate().SHA256[:])
	for range journaltest.Mutations(t) {
		bad := journaltest.Mutate(r, good)
		e := &audit.Evidence{Entries: []audit.EvidenceEntry{{Proven: journal.Proven{Leaf: journal.Leaf{Event: journal.Event{Kind: journal.KindAccepted, Time: journaltest.Start, Certificate: sum}}}, Envelope: bad}}}
		list, err := papers.Signatures(e, &papers.Anchors{Roots: []*signing.Certificate{b.sender.CA.Certificate}})
		b.must(err)
		if len(list) == 0 || !list[0].Bad() && content(bad) != content(good) {
			t.Fatalf("holds and says something else:\n%s", bad)
		}
	}
}

// Who writes the log can have an entry commit to a changed poll, answer or Ack: it does
// not hold, or says what was signed of the message, the time and the acceptance. What
// nobody signs in them (the operation of a poll, what stands around the signed element,
// where an answer is to be sent) the entry alone vouches for.
func TestNoMutationOfADeliverysProofGoesUnnoticed(t *testing.T) {
	b, r := newBus(t), journaltest.Random(t)
	e := accepted(1)[0]
	e.MessageID = journaltest.MessageID
	papersOf := func(poll, answer, ack []byte) *audit.Evidence {
		leaf := journal.Leaf{Event: journal.Event{Kind: journal.KindDelivered, Time: journaltest.Start, MessageID: e.MessageID}}
		acknowledged := leaf
		acknowledged.Kind, acknowledged.Outcome = journal.KindAcknowledged, "accepted"
		return &audit.Evidence{Entries: []audit.EvidenceEntry{
			{Proven: journal.Proven{Index: 1, Leaf: leaf}, Poll: poll, Answer: answer}, {Proven: journal.Proven{Index: 2, Leaf: acknowledged}, Ack: ack}}}
	}
	proved := func(e *audit.Evidence) map[string]papers.Signature {
		list, err := papers.Signatures(e, &papers.Anchors{Roots: []*signing.Certificate{b.sender.CA.Certificate}})
		b.must(err)
		out := map[string]papers.Signature{}
		for _, s := range list {
			if s.Err == nil && s.Absent == nil {
				out[s.Of] = s
			}
		}
		return out
	}
	signed := func(answer []byte) string { // what the bus says of the message in the element that it signs
		a, err := envelopes.ParseAnswer(envelopes.TextXML, answer, new(xmltape.Tape), envelopes.Limits{})
		if err != nil {
			return err.Error()
		}
		_, target := a.Signed()
		d, err := envelopes.DecodeDelivery(a, element{target})
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%+v", d.Metadata)
	}
	good := [3][]byte{b.sender.Poll(journaltest.Start), b.sender.Delivery(e), b.sender.Ack(e.MessageID, true)}
	names := [3]string{"poll: " + papers.OfCaller, "answer: " + papers.OfBus, "ack: " + papers.OfCaller}
	if got := proved(papersOf(good[0], good[1], good[2])); len(got) != 3 {
		t.Fatalf("the honest ones: %+v", got)
	}
	for range journaltest.Mutations(t) {
		bad, which := good, r.IntN(3)
		bad[which] = journaltest.Mutate(r, good[which])
		got := proved(papersOf(bad[0], bad[1], bad[2]))
		s, holds := got[names[which]]
		switch {
		case !holds: // noticed
		case which == 0 && !s.Asked.Equal(journaltest.Start):
			t.Fatalf("a poll of %s, that was signed at %s:\n%s", s.Asked, journaltest.Start, bad[0])
		case which == 1 && signed(bad[1]) != signed(good[1]):
			t.Fatalf("an answer says %s:\n%s", signed(bad[1]), bad[1])
		case s.Certificate.SHA256 != b.sender.Signer.Certificate().SHA256:
			t.Fatalf("%s is of %s", names[which], s.Certificate.Subject())
		}
		// Of an Ack the prover itself holds message and acceptance against the entry:
		// one that holds says both.
	}
}

// element is what nobody has proved.
type element struct{ n xmltape.Node }

func (e element) Element() xmltape.Node { return e.n }

// A changed answer about revocation says nothing any more, or what was signed: by none
// is a revoked certificate said not to have been, nor an answer of another time.
func TestNoMutationOfARevocationAnswerGoesUnnoticed(t *testing.T) {
	b, r := newBus(t), journaltest.Random(t)
	good, list := b.answers(ocsp.Good)
	revoked, _ := b.answers(ocsp.Revoked)
	_, named := b.answers(ocsp.Good, b.sender.Signer.Certificate().X509.SerialNumber)
	envelope := b.sender.Request(false)
	judged := func(answer []byte) papers.Signature {
		list, err := papers.Signatures(&audit.Evidence{Entries: []audit.EvidenceEntry{{
			Proven:   journal.Proven{Leaf: journal.Leaf{Event: journal.Event{Kind: journal.KindAccepted, Time: journaltest.Start, MessageID: journaltest.MessageID}}},
			Envelope: envelope, Certificate: b.sender.Signer.Certificate().DER, Revocation: [][]byte{answer}}}}, &papers.Anchors{Roots: []*signing.Certificate{b.sender.CA.Certificate}})
		b.must(err)
		return list[0]
	}
	answers := [][]byte{good, list, revoked, named}
	honest := make([]papers.Signature, len(answers))
	for i, a := range answers {
		honest[i] = judged(a)
		if honest[i].Bad() != (i >= 2) || i < 2 && len(honest[i].Revocation) != 1 {
			t.Fatalf("answer %d: %+v", i, honest[i])
		}
	}
	for range journaltest.Mutations(t) {
		i := r.IntN(len(answers))
		s, was := judged(journaltest.Mutate(r, answers[i])), honest[i]
		switch {
		case s.Unchecked != nil && len(s.Revocation) == 0: // nothing is said, and that is said
		case s.Bad() && !was.Bad():
			t.Fatalf("answer %d was changed and revokes: %v", i, s.Err)
		case !s.Bad() && was.Bad():
			t.Fatalf("answer %d was changed and revokes no more: %+v", i, s)
		case !s.Bad() && (len(s.Revocation) != 1 || s.Revocation[0].Kind != was.Revocation[0].Kind || !s.Revocation[0].ThisUpdate.Equal(was.Revocation[0].ThisUpdate)):
			t.Fatalf("answer %d was changed and says %+v", i, s.Revocation)
		}
	}
}
