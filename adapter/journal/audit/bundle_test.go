package audit_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/journaltest"
)

func rezip(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(files[name])
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func verify(b []byte, policy *journal.Policy) (*audit.Evidence, error) {
	return audit.VerifyBundle(bytes.NewReader(b), int64(len(b)), policy)
}

// same says whether two verified bundles say the same.
func same(a, b *audit.Evidence) bool {
	if a.Title != b.Title || !a.Created.Equal(b.Created) || a.Checkpoint.Tree != b.Checkpoint.Tree || a.Export.Index != b.Export.Index || len(a.Entries) != len(b.Entries) {
		return false
	}
	for i := range a.Entries {
		x, y := a.Entries[i], b.Entries[i]
		if x.Index != y.Index || !bytes.Equal(x.Bytes, y.Bytes) || !slices.Equal(x.Openings, y.Openings) || !bytes.Equal(x.Envelope, y.Envelope) ||
			!bytes.Equal(x.Certificate, y.Certificate) || !slices.EqualFunc(x.Revocation, y.Revocation, bytes.Equal) ||
			!bytes.Equal(x.Poll, y.Poll) || !bytes.Equal(x.Answer, y.Answer) || !bytes.Equal(x.Ack, y.Ack) {
			return false
		}
	}
	return true
}

func TestNoMutationOfABundleGoesUnnoticed(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := d.Filled(31, 500)
	envelope := []byte("<Envelope>" + strings.Repeat("тело ", 300) + "</Envelope>")
	b, indexes := d.Exchange(book, envelope)
	honest, err := verify(b, d.Policy)
	if err != nil {
		t.Fatal(err)
	}
	if len(honest.Entries) != len(indexes) || !honest.Pinned || len(honest.Gaps) != 0 || !bytes.Equal(honest.Entries[0].Envelope, envelope) ||
		len(honest.Entries[0].Openings) != 3 || honest.Entries[0].Certificate == nil || len(honest.Entries[0].Revocation) != 2 {
		t.Fatalf("verified %+v", honest)
	}
	if own, err := verify(b, nil); err != nil || own.Pinned {
		t.Fatalf("with its own policy: %v", err)
	}
	files := journaltest.Unzip(t, b)
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		bad := maps.Clone(files)
		delete(bad, name)
		if _, err := verify(rezip(t, bad), d.Policy); err == nil {
			t.Errorf("%s was taken out and nobody noticed", name)
		}
		bad = maps.Clone(files)
		bad[name+"x"] = files[name]
		if _, err := verify(rezip(t, bad), d.Policy); err == nil {
			t.Errorf("%sx was put in and nobody noticed", name)
		}
		for _, other := range names {
			if bytes.Equal(files[name], files[other]) {
				continue
			}
			bad = maps.Clone(files)
			bad[name], bad[other] = files[other], files[name]
			if _, err := verify(rezip(t, bad), d.Policy); err == nil {
				t.Errorf("%s and %s were swapped and nobody noticed", name, other)
			}
		}
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 9))
	for range journaltest.Mutations(t) {
		name := names[r.IntN(len(names))]
		bad := maps.Clone(files)
		bad[name] = journaltest.Mutate(r, files[name])
		if e, err := verify(rezip(t, bad), d.Policy); err == nil && (!same(e, honest) || name != "proof") {
			t.Fatalf("%s was changed and nobody noticed:\n%s", name, bad[name])
		}
		if e, err := verify(journaltest.Mutate(r, b), d.Policy); err == nil && !same(e, honest) {
			t.Fatal("the zip was changed and says something else now")
		}
	}
}

// A bundle that the release before has made verifies as it did, and no change of it
// goes unnoticed either.
func TestBundlesOfTheReleaseBefore(t *testing.T) {
	b, err := os.ReadFile("testdata/bundle-1.zip")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/bundle-1.policy")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := journal.ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	honest, err := verify(b, policy)
	if err != nil || len(honest.Entries) != 5 || len(honest.Entries[0].Revocation) != 1 {
		t.Fatalf("verified %+v, %v", honest, err)
	}
	singles, err := honest.Proofs()
	if err != nil {
		t.Fatal(err)
	}
	proofs := maps.Collect(singles)
	if len(proofs) != 6 {
		t.Fatalf("%d proofs", len(proofs))
	}
	files := journaltest.Unzip(t, b)
	names := slices.Sorted(maps.Keys(files))
	r := journaltest.Random(t)
	for range journaltest.Mutations(t) / 4 {
		name := names[r.IntN(len(names))]
		bad := maps.Clone(files)
		bad[name] = journaltest.Mutate(r, files[name])
		if e, err := verify(rezip(t, bad), policy); err == nil && (!same(e, honest) || !strings.HasSuffix(name, ".tlog-proof")) {
			t.Fatalf("%s was changed and nobody noticed:\n%s", name, bad[name])
		}
	}
	// A whole entry with its proof, that the log has and the bundle had not.
	bad := maps.Clone(files)
	bad[fmt.Sprintf("leaves/%d.json", honest.Export.Index)], bad[fmt.Sprintf("proofs/%d.tlog-proof", honest.Export.Index)] = files["export/leaf.json"], files["export/leaf.tlog-proof"]
	if _, err := verify(rezip(t, bad), policy); err == nil {
		t.Error("an entry was put in and nobody noticed")
	}
}

// What a bundle of one exchange takes, without envelopes, has a bound: it is sent by
// mail and kept for years. The exchange here is as long as real ones are: a request
// and its answer, each of which came back to its queue once.
func TestABundleIsSmall(t *testing.T) {
	d := journaltest.NewDesk(t)
	b, indexes := d.LongExchange(d.Filled(31, 5000))
	e, err := verify(b, d.Policy)
	if err != nil || len(e.Entries) != len(indexes) || len(indexes) < 12 {
		t.Fatalf("%d entries, %v", len(indexes), err)
	}
	singles, err := e.Proofs()
	if err != nil {
		t.Fatal(err)
	}
	proofs := maps.Collect(singles)
	for _, x := range e.Entries {
		if p, err := journal.VerifyProof(d.Policy, x.Bytes, proofs[x.Index]); err != nil || p.Index != x.Index {
			t.Errorf("the proof of entry %d alone: %v", x.Index, err)
		}
	}
	if len(b) > 16<<10 {
		t.Errorf("the bundle has %d bytes, want at most 16 KB", len(b))
	}
	t.Logf("%d entries: %d bytes", len(indexes), len(b))
}

// A small file that would become a large one in memory is refused before it does; what
// packs as well and is honest is written so that it is not.
func TestABundleIsNoBomb(t *testing.T) {
	var bomb bytes.Buffer
	z := zip.NewWriter(&bomb)
	zeros := make([]byte, 32<<20)
	for i := range 30 {
		w, err := z.Create(fmt.Sprintf("envelopes/%d.xml", i))
		if err == nil {
			_, err = w.Write(zeros)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if bomb.Len() > 1<<20 {
		t.Fatalf("the bomb has %d bytes", bomb.Len())
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := verify(bomb.Bytes(), nil); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("a bomb: %v", err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 600<<20 { // with all that ReadAll copies
		t.Errorf("it took %d MB", took>>20)
	}
	d := journaltest.NewDesk(t)
	b, _ := d.Exchange(d.Filled(31, 50), []byte("<Envelope>"+strings.Repeat(" ", 1<<20)+"</Envelope>"))
	if _, err := verify(b, d.Policy); err != nil || len(b) < 1<<20 {
		t.Errorf("an envelope that packs too well: %d bytes, %v", len(b), err)
	}
}

// Every entry may name the same certificate and the same list of answers about revocation:
// each is hashed and read once. Were it done for each entry, this bundle of 1 MB would cost the
// hash of 240 GB and 2 GB of memory.
func TestEntriesThatNameTheSame(t *testing.T) {
	const entries = 5000
	d := journaltest.NewDesk(t)
	certificate := make([]byte, 48<<20)
	var answers [][]byte
	var sums [][32]byte
	for i := range entries {
		answers = append(answers, fmt.Append(nil, i))
		sums = append(sums, sha256.Sum256(answers[i]))
	}
	name, list := journal.Judgement(sums)
	sum := sha256.Sum256(certificate)
	events, exhibits := make([]journal.Event, entries), make([]audit.Exhibit, entries)
	for i := range events {
		events[i] = journal.Event{Kind: journal.KindAccepted, Time: d.Clock.Now(), Message: fmt.Sprint("m-", i), Sender: "MUNI01", Certificate: hex.EncodeToString(sum[:]), Revocation: name}
		exhibits[i].Index = int64(i)
	}
	exhibits[0].Certificate, exhibits[0].Revocation, exhibits[0].Answers = certificate, list, answers
	book := journaltest.NewBook(journaltest.Origin)
	if err := errors.Join(book.Add(events...), d.Settle(d.Sequencer(book))); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := d.Bundler(book).Write(context.Background(), &b, "all", exhibits, journal.Event{Time: d.Clock.Now(), Message: "read"}); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	e, err := verify(b.Bytes(), d.Policy)
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	if err != nil || len(e.Entries) != entries || len(e.Entries[entries-1].Revocation) != entries || len(e.Entries[entries-1].Certificate) != len(certificate) {
		t.Fatalf("%d entries, %v", len(e.Entries), err)
	}
	if made := (after.TotalAlloc - before.TotalAlloc) >> 20; made > 800 || took > time.Minute {
		t.Errorf("verifying %d KB took %s and %d MB", b.Len()>>10, took, made)
	}
}

// A bundle of another log with the same origin and another key must not pass.
func TestABundleOfAnotherKeyIsRefused(t *testing.T) {
	d, other := journaltest.NewDesk(t), journaltest.NewDesk(t)
	b, _ := other.Exchange(other.Filled(33, 20), []byte("<a/>"))
	if _, err := verify(b, other.Policy); err != nil {
		t.Fatal(err)
	}
	if _, err := verify(b, d.Policy); err == nil {
		t.Error("verified with a policy of another key")
	}
}

// After erasure the leaf and its proof stay, and nothing that is left gives the
// value back to one who tries all values.
func TestErasedValuesCannotBeGuessed(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := d.Filled(35, 50)
	l, err := journal.ParseLeaf(book.Entry(0))
	if err != nil {
		t.Fatal(err)
	}
	want, ok := l.Committed("snils")
	open, err := d.Opened(book, 0)
	if err != nil || !ok {
		t.Fatal(err, ok)
	}
	i := slices.IndexFunc(open, func(o journal.Opening) bool { return o.Field == "snils" })
	if open[i].Commitment() != want {
		t.Fatal("the opening does not open")
	}
	// The dictionary holds the value itself; what the attacker lacks is the salt.
	// He tries none, the zero salt, and everything public about the entry.
	value := open[i].Value
	applicant, _ := l.Committed("applicant")
	digest, _ := l.Committed("digest")
	salts := [][32]byte{{}, applicant, digest, want, [32]byte(journal.LeafHash(book.Entry(0)))}
	for _, salt := range salts {
		if (journal.Opening{Salt: salt, Value: value}).Commitment() == want {
			t.Fatal("guessed without the salt")
		}
	}
	seen := map[journal.Hash]bool{}
	for _, o := range open {
		if seen[journal.Hash(o.Salt)] {
			t.Error("a salt was used twice")
		}
		seen[journal.Hash(o.Salt)] = true
	}
	if bytes.Contains(book.Entry(0), []byte(value)) {
		t.Error("the value stands in the leaf")
	}
}
