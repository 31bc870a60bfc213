package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"

	cosign "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// Our checkpoints are read, and our cosignatures verified, by code that is not
// ours; and the other way round.
func TestCheckpointsAndCosignaturesAgreeWithTheReferenceCode(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := d.Filled(37, 10)
	c := d.Checkpoint(book)
	_, logKey, _ := strings.Cut(string(d.Policy.Text()), " ")
	logKey, _, _ = strings.Cut(logKey, "\n")
	v, err := note.NewVerifier(logKey)
	if err != nil {
		t.Fatal(err)
	}
	timed, err := cosign.NewVerifierForCosignatureV1(logKey)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(c.Note, note.VerifierList(v, timed))
	if err != nil || len(n.Sigs) != 2 || len(n.UnverifiedSigs) != 0 {
		t.Fatalf("reference code: %v, %+v", err, n)
	}
	at, err := cosign.CoSigV1Timestamp(n.Sigs[1])
	if err != nil || !at.Equal(c.Signed) {
		t.Errorf("time %s, %v; want %s", at, err, c.Signed)
	}

	// Two of three witnesses, who sign with the reference code.
	text := "log " + logKey + "\n"
	var lines [][]byte
	for _, name := range []string{"w1", "w2", "w3"} {
		secret, public, err := journal.NewKey(name)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := cosign.NewSignerForCosignatureV1(secret)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := note.Sign(&note.Note{Text: n.Text}, signer)
		if err != nil {
			t.Fatal(err)
		}
		_, line, _ := bytes.Cut(signed, []byte("\n\n"))
		lines = append(lines, line)
		if name == "w1" { // as a cosigner's key, type 4
			if public, err = cosign.VKeyToCosignatureV1(public); err != nil {
				t.Fatal(err)
			}
		}
		text += "witness " + name + " " + public + " https://" + name + ".example/\n"
	}
	policy, err := journal.ParsePolicy([]byte(text + "group g 2 w1 w2 w3\nquorum g\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c2 := range []struct {
		lines []int
		ok    bool
	}{{nil, false}, {[]int{0}, false}, {[]int{1, 1}, false}, {[]int{0, 2}, true}, {[]int{0, 1, 2}, true}} {
		signed := c.Note
		for _, i := range c2.lines {
			if signed, err = journal.MergeCosignatures(signed, lines[i]); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := policy.Open(signed); (err == nil) != c2.ok {
			t.Errorf("with cosignatures %v: %v", c2.lines, err)
		}
	}
}

// A group may be a member of several: so there are 2^60 ways down in this policy, of 3 KB.
func TestGroupsOfGroupsAreAskedOnce(t *testing.T) {
	d := journaltest.NewDesk(t)
	c := d.Checkpoint(d.Filled(1, 10))
	text := strings.TrimSuffix(string(d.Policy.Text()), "quorum none\n")
	for _, name := range []string{"any0", "all0"} {
		_, public, err := journal.NewKey(name)
		if err != nil {
			t.Fatal(err)
		}
		text += "witness " + name + " " + public + "\n"
	}
	for i := range 60 {
		text += fmt.Sprintf("group any%d any any%[2]d all%[2]d\ngroup all%[1]d all any%[2]d all%[2]d\n", i+1, i)
	}
	policy, err := journal.ParsePolicy([]byte(text + "quorum any60\n"))
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		_, err := policy.Open(c.Note)
		opened <- err
	}()
	select {
	case err := <-opened:
		if quorum := (*journal.QuorumError)(nil); !errors.As(err, &quorum) {
			t.Errorf("got %v, want a *QuorumError", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it is still counting")
	}
}

func TestPoliciesThatAreRefused(t *testing.T) {
	_, k, err := journal.NewKey("log")
	if err != nil {
		t.Fatal(err)
	}
	_, w, err := journal.NewKey("w")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":                "",
		"no log":               "quorum none\n",
		"no quorum":            "log " + k + "\n",
		"two logs":             "log " + k + "\nlog " + w + "\nquorum none\n",
		"two quorums":          "log " + k + "\nquorum none\nquorum none\n",
		"unknown member":       "log " + k + "\nquorum w\n",
		"unknown line":         "log " + k + "\nquorun none\n",
		"broken key":           "log " + k[:len(k)-6] + "\nquorum none\n",
		"one key, two names":   "log " + k + "\nwitness a " + w + "\nwitness b " + w + "\ngroup g 2 a b\nquorum g\n",
		"one witness twice":    "log " + k + "\nwitness a " + w + "\ngroup g 2 a a\nquorum g\n",
		"more than its number": "log " + k + "\nwitness a " + w + "\ngroup g 2 a\nquorum g\n",
		"nobody needed":        "log " + k + "\nwitness a " + w + "\ngroup g 0 a\nquorum g\n",
		"too long":             "log " + k + "\nquorum none\n" + strings.Repeat("#\n", journal.MaxPolicy/2),
		"not an address":       "log " + k + "\nwitness a " + w + " file:///etc\nquorum a\n",
	} {
		if _, err := journal.ParsePolicy([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
