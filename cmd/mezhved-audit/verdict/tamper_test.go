package verdict_test

import (
	"archive/zip"
	"bytes"
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
	"mezhved/cmd/mezhved-audit/verdict"
	"mezhved/signing"
	"mezhved/signing/tsatest"

	"golang.org/x/crypto/ocsp"
)

// exchange is a bundle with all that a bundle may have: signed envelopes, polls,
// answers, Acks, a file's signature, an OCSP answer, the proof of all entries at once,
// a checkpoint with a second signature, and a time stamp.
type exchange struct {
	*journaltest.Desk
	anchors papers.Anchors
	tsa     []*signing.Certificate
	zip     []byte
}

func newExchange(t *testing.T) *exchange {
	d, s, tsa := journaltest.NewDesk(t), journaltest.NewSender(t), tsatest.New(t)
	d.Second()
	d.TSA = tsa.Stamp
	ca, at := s.CA.Certificate.X509, journaltest.Start
	good, err := ocsp.CreateResponse(ca, ca, ocsp.Response{Status: ocsp.Good, SerialNumber: new(big.Int).Set(s.Signer.Certificate().X509.SerialNumber), ThisUpdate: at.Add(-time.Minute), NextUpdate: at.Add(time.Hour)}, s.CA.Key)
	if err != nil {
		t.Fatal(err)
	}
	event := journal.Event{MessageID: journaltest.MessageID, Time: at}
	x := audit.Exhibit{Envelope: s.Request(false), Certificate: s.Signer.Certificate().DER, Answers: [][]byte{good},
		Poll: s.Poll(at), Answer: s.Delivery(event), Ack: s.Ack(journaltest.MessageID, true)}
	e := &exchange{Desk: d, anchors: papers.Anchors{Roots: []*signing.Certificate{s.CA.Certificate}}, tsa: []*signing.Certificate{tsa.Root}}
	e.zip, _ = d.Exhibited(d.Filled(71, 400), x)
	return e
}

// told is all that the program says of a bundle, and all that it would give away of
// it; an error when it does not verify it.
func (x *exchange) told(b []byte) (string, error) {
	e, err := audit.VerifyBundle(bytes.NewReader(b), int64(len(b)), x.Policy)
	if err != nil {
		return "", err
	}
	v, err := verdict.Reach(e, &x.anchors, x.tsa)
	if err != nil {
		return "", err
	}
	if v.Bad > 0 {
		return "", fmt.Errorf("%d signatures do not hold", v.Bad)
	}
	if e.Unstamped != nil {
		return "", e.Unstamped
	}
	var out strings.Builder
	v.Tell(&out, "bundle", "policy")
	for _, p := range e.Entries {
		fmt.Fprintf(&out, "%d %q %q %x %q %q %q %q\n", p.Index, p.Bytes, p.Openings, p.Certificate, p.Revocation, p.Envelope, p.Poll, p.Answer)
		fmt.Fprintf(&out, "%q %v\n", p.Ack, p.Checkpoint.Tree)
	}
	fmt.Fprintf(&out, "%s %q %v %v %s\n", e.Export.Checkpoint.Tree.Hash, e.Export.Bytes, e.Stamp.Checkpoint.Tree, v.Stamp.Accuracy(), v.Stamp.Policy())
	return out.String(), nil
}

// unsigned are the files that have bytes which nobody signs. Of a checkpoint those are
// the signature lines of keys that the policy does not ask for: signed notes ignore
// them, as they must, for a witness may be added; the log's own word for when it signed
// is one of them, and may be lost by that, never changed; and the spare bits of the
// last character of a signature in base64. Of a time stamp they are what
// a CMS signature carries along unsigned: certificates that nobody uses, the sets of
// algorithms and the version numbers at its beginning. Whatever of these files is
// changed and accepted must not change a byte of what is said. All others are
// listed by digest in a manifest that the log commits to, or have one spelling.
var unsigned = map[string]bool{"proof": true, "timestamp/proof": true, "timestamp/token.der": true}

func TestNoMutationOfAFullBundleGoesUnnoticed(t *testing.T) {
	x := newExchange(t)
	honest, err := x.told(x.zip)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"poll: caller holds", "answer: bus holds", "ack: caller holds", "file plan holds", "by the OCSP", "time stamp the first"} {
		if !strings.Contains(honest, part) {
			t.Errorf("the bundle has no %q:\n%s", part, honest)
		}
	}
	// Without the log's word for the time: what is left says so by saying nothing.
	undated := ""
	for line := range strings.Lines(honest) {
		if !strings.HasPrefix(line, "signed ") {
			undated += line
		}
	}
	files := journaltest.Unzip(t, x.zip)
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		for what, change := range map[string]func(map[string][]byte){
			"taken out": func(bad map[string][]byte) { delete(bad, name) },
			"emptied":   func(bad map[string][]byte) { bad[name] = nil },
			"doubled":   func(bad map[string][]byte) { bad["x"+name] = files[name] },
			"continued": func(bad map[string][]byte) { bad[name] = append(slices.Clip(files[name]), 0) },
		} {
			bad := maps.Clone(files)
			change(bad)
			if _, err := x.told(rezip(t, bad)); err == nil {
				t.Errorf("%s was %s and nobody noticed", name, what)
			}
		}
	}
	r := journaltest.Random(t)
	accepted := map[string]int{}
	for range journaltest.CostlyMutations(t) {
		name := names[r.IntN(len(names))]
		bad := maps.Clone(files)
		bad[name] = journaltest.Mutate(r, files[name])
		if got, err := x.told(rezip(t, bad)); err == nil {
			if accepted[name]++; !unsigned[name] || got != honest && (name != "proof" || got != undated) {
				t.Fatalf("%s was changed and nobody noticed:\n%q\nis said to be\n%s", name, bad[name], got)
			}
		}
	}
	t.Logf("accepted, and nothing else said: %v", accepted)
}

// The files of a time stamp alone, which are few among those of a bundle.
func TestNoMutationOfATimestampGoesUnnoticed(t *testing.T) {
	x := newExchange(t)
	honest, err := x.told(x.zip)
	if err != nil {
		t.Fatal(err)
	}
	files := journaltest.Unzip(t, x.zip)
	r := journaltest.Random(t)
	accepted := map[string]int{}
	for range journaltest.CostlyMutations(t) {
		name := []string{"timestamp/proof", "timestamp/token.der"}[r.IntN(2)]
		bad := maps.Clone(files)
		bad[name] = journaltest.Mutate(r, files[name])
		if got, err := x.told(rezip(t, bad)); err == nil {
			if accepted[name]++; got != honest {
				t.Fatalf("%s was changed and nobody noticed:\n%q\nis said to be\n%s", name, bad[name], got)
			}
		}
	}
	t.Logf("accepted, and nothing else said: %v", accepted)
}

func rezip(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for name, content := range files {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name})
		if err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
