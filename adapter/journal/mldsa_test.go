package journal_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"

	cosign "github.com/transparency-dev/formats/note"
)

// A second signature is one more line: whoever does not know the key reads the
// checkpoint as before, and who asks for it has it verified.
func TestASecondSignature(t *testing.T) {
	d := journaltest.NewDesk(t)
	plain := d.Checkpoint(d.Filled(61, 20))
	skey, vkey, err := journal.NewMLDSAKey(journaltest.Origin)
	if err != nil {
		t.Fatal(err)
	}
	if d.Signer.MLDSA, err = journal.ParseMLDSAKey(skey); err != nil {
		t.Fatal(err)
	}
	_, stranger, err := journal.NewMLDSAKey(journaltest.Origin)
	if err != nil {
		t.Fatal(err)
	}
	book := d.Forged(62, 40) // a signer of its own, without the second key
	unsigned := d.Checkpoint(book)
	signed, err := d.Signer.Sign(t.Context(), plain.Tree, plain.Tree, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.Policy.Open(signed)
	if err != nil || c.Tree != plain.Tree || !c.Signed.Equal(d.Clock.Now().Truncate(1e9)) {
		t.Fatalf("without the key: %+v, %v", c, err)
	}
	policy := func(vkey string) *journal.Policy {
		t.Helper()
		p, err := journal.ParsePolicy([]byte(strings.TrimSuffix(string(d.Policy.Text()), "quorum none\n") + "witness second " + vkey + "\nquorum second\n"))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if _, err := policy(vkey).Open(signed); err != nil {
		t.Errorf("with the key: %v", err)
	}
	for what, note := range map[string][]byte{"a checkpoint without it": unsigned.Note, "one before it": plain.Note} {
		if _, err := policy(vkey).Open(note); err == nil {
			t.Errorf("%s satisfies a policy that wants the second signature", what)
		}
	}
	if _, err := policy(stranger).Open(signed); err == nil {
		t.Error("another key's signature satisfies the policy")
	}
	// The line is that of the reference code, which has its own clock.
	v, err := cosign.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if line := "— " + v.Name() + " "; strings.Count(string(signed), line) != 3 {
		t.Errorf("the checkpoint has lines\n%s", signed)
	}
	text := string(d.Policy.Text()) + "witness a " + vkey + "\nwitness b " + vkey + "\n"
	if _, err := journal.ParsePolicy([]byte(text)); err == nil {
		t.Error("one key is two witnesses")
	}
	for what, key := range map[string]string{"cut": vkey[:len(vkey)-8], "renamed": "x" + vkey, "renumbered": strings.Replace(vkey, "+", "+0", 1)} {
		if _, err := journal.ParsePolicy([]byte(string(d.Policy.Text()) + "witness a " + key + "\n")); err == nil {
			t.Errorf("a key that is %s is taken", what)
		}
	}
	if _, err := journal.ParseMLDSAKey(d.Secret); err == nil {
		t.Error("an Ed25519 key is taken for ML-DSA-44")
	}
}

// A changed checkpoint of two keys is refused by a policy that wants both, or is the
// same one: what was changed then is the line of a key that nobody asks for, the log's
// own word for the time, which can be lost, and not be another; or the last character of
// a signature in base64, whose spare bits are no part of it.
func TestNoMutationOfADoublySignedCheckpointGoesUnnoticed(t *testing.T) {
	d, r := journaltest.NewDesk(t), journaltest.Random(t)
	d.Second()
	signed := d.Checkpoint(d.Filled(63, 20))
	lines := func(note []byte) []string {
		list := strings.Split(string(note), "\n")
		for i, line := range list {
			if at := strings.LastIndexByte(line, ' '); at > 0 {
				raw, err := base64.StdEncoding.DecodeString(line[at+1:])
				list[i] = fmt.Sprintf("%s %x %v", line[:at], raw, err)
			}
		}
		return list
	}
	honest := lines(signed.Note)
	for range journaltest.Mutations(t) {
		bad := journaltest.Mutate(r, signed.Note)
		c, err := d.Policy.Open(bad)
		if err != nil {
			continue
		}
		if c.Tree != signed.Tree || c.Origin != signed.Origin || !c.Signed.IsZero() && !c.Signed.Equal(signed.Signed) {
			t.Fatalf("a changed checkpoint is taken:\n%s\nwas\n%s", bad, signed.Note)
		}
		changed := lines(bad)
		for i, line := range honest {
			if timed := i == len(honest)-3; !timed && !slices.Contains(changed, line) {
				t.Fatalf("line %d is another, and the checkpoint is taken:\n%s\nwas\n%s", i, bad, signed.Note)
			}
		}
	}
}
