package journal_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"

	"pgregory.net/rapid"
)

// agree checks that ParseLeaf, a recount's reader and the reference judge a byte
// string alike and read the same from it. used is a reader that has read others.
func agree(t testing.TB, used *journal.LeafReader, b []byte) (accepted bool) {
	want, refused := referenceParse(b)
	got, err := journal.ParseLeaf(b)
	if (err == nil) != (refused == nil) {
		t.Fatalf("%q: ParseLeaf says %v, the reference %v", b, err, refused)
	}
	var facts journal.Facts
	err = used.Facts(b, &facts)
	if (err == nil) != (refused == nil) {
		t.Fatalf("%q: the recount says %v, the reference %v", b, err, refused)
	}
	if hash := used.Hash(); hash != journal.LeafHash(b) {
		t.Fatalf("%q: hashed to %s, want %s", b, hash, journal.LeafHash(b))
	}
	if refused != nil {
		return false
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%q:\nparsed    %+v\nreference %+v", b, got, want)
	}
	if facts.Kind.Kind() != want.Kind || string(facts.Sender) != want.Sender || string(facts.Recipient) != want.Recipient || string(facts.Message) != want.Message ||
		facts.Time != want.Time.UnixMilli() || facts.Logged != want.Logged.UnixMilli() || facts.Prev != want.Prev ||
		facts.SenderSeq != want.SenderSeq || facts.RecipientSeq != want.RecipientSeq || !reflect.DeepEqual(facts.Period, want.Period) {
		t.Fatalf("%q:\ncounted   %+v\nreference %+v", b, facts, want)
	}
	if again := got.Append(nil); !bytes.Equal(again, b) {
		t.Fatalf("accepted %q, writes %q", b, again)
	}
	return true
}

// specimens are leaves of every kind and with every member, escapes and texts
// that are not ASCII among them.
func specimens(t testing.TB) (out [][]byte) {
	for _, e := range journaltest.Events(1, 30) {
		l, _, err := journal.NewLeaf(e, journal.Drawn(rand.Reader))
		if err != nil {
			t.Fatal(err)
		}
		l.Logged, l.Prev, l.SenderSeq, l.RecipientSeq = l.Time, 1, 12345678, 1
		out = append(out, l.Append(nil))
	}
	zero, at := int64(0), journaltest.Start
	full := journal.Leaf{
		Event: journal.Event{Kind: journal.KindErased, Time: at, Node: "n", Message: "m", MessageID: "me", Original: "orig", Operation: "7 bytes",
			Direction: "8 bytes.", Sender: "9 bytes..", Recipient: "Министерство", Service: "\"", Version: "\\u0041", Schema: strings.Repeat("s", 64),
			Outcome: "tab\tnul\x00", Incident: "é", Rule: "<&>\u2028😀", Line: 1, Col: 99999999, Attempt: 100000000, Count: 1<<53 - 1, Deadline: at,
			Certificate: strings.Repeat("c", 200), Size: 12345, Revocation: "\x1f\x7f", Target: &zero, Fields: []string{"a", "b-1"}, Ground: "152-ФЗ"},
		Logged: at, Prev: 1<<53 - 1, SenderSeq: 9999999999999999 >> 1, RecipientSeq: 10, Commit: []journal.Committed{{Field: "a"}, {Field: "b", Hash: journal.Hash{31: 255}}},
	}
	for _, l := range []journal.Leaf{full,
		{Event: journal.Event{Kind: journal.KindPeriodClose, Time: at}, Logged: at, Prev: journal.NoEntry, Period: &journal.Period{
			To: 9, Totals: map[journal.Kind]int64{journal.KindDead: 2, journal.KindAccepted: 3}, Parties: 1, Counters: "ab"}},
		{Event: journal.Event{Kind: journal.KindKeyChanged, Time: at, Log: &journal.LogChange{Origin: "o\n\x01\"", Key: "k", OldOrigin: "é", OldSize: 5, OldRoot: "r"}}, Logged: at},
		{Event: journal.Event{Kind: journal.KindKeyChanged, Time: at, Log: &journal.LogChange{}}, Logged: at, Prev: journal.NoEntry},
		{Event: journal.Event{Kind: journal.KindDead, Time: time.UnixMilli(1)}, Logged: time.UnixMilli(1<<53 - 1)},
	} {
		out = append(out, l.Append(nil))
	}
	for n := range 20 { // texts that end at every place of a word
		l := journal.Leaf{Event: journal.Event{Kind: journal.KindDead, Time: at, Sender: strings.Repeat("x", n), Rule: strings.Repeat("é", n)}, Logged: at, Prev: journal.NoEntry}
		out = append(out, l.Append(nil))
	}
	return out
}

// Whatever byte is put, inserted or removed anywhere in a leaf.
func TestReadersAgreeOnEveryByte(t *testing.T) {
	var used journal.LeafReader
	leaves := specimens(t)[27:36] // of the gateway's three, those of one of a kind, and a small one
	if testing.Short() {
		leaves = leaves[3:5]
	}
	accepted := 0
	for _, leaf := range leaves {
		if !agree(t, &used, leaf) {
			t.Fatalf("refused %s", leaf)
		}
		bad := slices.Clone(leaf)
		longer := append([]byte{' '}, leaf...)
		for i := range leaf {
			for c := range 256 {
				if bad[i] = byte(c); agree(t, &used, bad) {
					accepted++
				}
			}
			for _, c := range []byte("019aefgzAZ+/=-_ ,:\"\\{}[]\n\x00\x1f\x7f\x80\xff") {
				longer[i] = c
				agree(t, &used, longer)
			}
			bad[i], longer[i] = leaf[i], leaf[i]
			agree(t, &used, leaf[:i])
			agree(t, &used, slices.Delete(slices.Clone(leaf), i, i+1))
		}
	}
	if accepted == 0 {
		t.Error("no change made another good leaf: the test tries nothing")
	}
}

func TestReadersAgreeOnMutations(t *testing.T) {
	r := mathrand.New(mathrand.NewPCG(uint64(time.Now().UnixNano()), 9))
	var used journal.LeafReader
	leaves := specimens(t)
	for range 50 * journaltest.Mutations(t) {
		b := journaltest.Mutate(r, leaves[r.IntN(len(leaves))])
		for r.IntN(2) == 0 {
			b = journaltest.Mutate(r, b)
		}
		agree(t, &used, b)
	}
}

// Objects of members in any number and order, with values that suit them or not.
func TestReadersAgreeOnAnyMembers(t *testing.T) {
	r := mathrand.New(mathrand.NewPCG(uint64(time.Now().UnixNano()), 11))
	var used journal.LeafReader
	names := strings.Fields("attempt certificate col commit count deadline direction fields ground incident kind line log logged message messageId node " +
		"operation original outcome period prev recipient recipientSeq revocation rule schema sender senderSeq service size target time v version " +
		"dueQueued dueStatus dueTaken eol stage terms channel reference test counters from parties to totals key oldOrigin oldRoot oldSize origin attempts vv verdict a messag zzz")
	hash := `"` + strings.Repeat("A", 43) + `="`
	values := []string{`1`, `1`, `1`, `0`, `7`, `00`, `01`, `12345678`, `123456789`, `9007199254740991`, `9007199254740992`, `99999999999999999`, `999999999999999990000000`,
		`-1`, `1.0`, `1e3`, `""`, `"x"`, `"dead"`, `"overdue"`, `"accepted"`, `"é"`, `"\u0001"`, `"\u001F"`, `"\u0041"`, `"\n"`, `"\/"`, `"\"\\"`, "\"\xff\"", "\"a\x00\"",
		`{}`, `[]`, `["a"]`, `["a","b"]`, `["a",]`, `{"a":` + hash + `}`, `{"b":` + hash + `,"a":` + hash + `}`, `{"a":` + hash + `,"b":` + hash + `}`,
		`{"A":` + hash + `}`, `{"a":"` + strings.Repeat("A", 42) + `B="}`, `{"a":"x"}`, `{"origin":"o"}`, `{"key":"k","oldSize":1}`,
		`{"counters":"c","from":0,"parties":0,"to":0,"totals":{}}`, `{"counters":"c","from":0,"parties":0,"to":1,"totals":{"dead":1,"unknown":2}}`,
		`{"counters":"c","from":0,"parties":0,"to":1,"totals":{"deed":1}}`, `{"counters":"c","from":0}`, `null`, `true`, ``}
	accepted := 0
	for range 100 * journaltest.Mutations(t) {
		members := []string{`"kind":"dead"`, `"logged":1`, `"time":1`, `"v":1`}
		for range r.IntN(4) {
			members = append(members, fmt.Sprintf(`"%s":%s`, names[r.IntN(len(names))], values[r.IntN(len(values))]))
		}
		if r.IntN(10) > 0 {
			slices.Sort(members)
		}
		if r.IntN(10) == 0 {
			i := r.IntN(len(members))
			members = slices.Delete(members, i, i+1)
		}
		if agree(t, &used, []byte("{"+strings.Join(members, ",")+"}")) {
			accepted++
		}
	}
	if accepted == 0 {
		t.Error("no leaf was good: the test tries nothing")
	}
}

func TestReadersAgreeOnAnyEvent(t *testing.T) {
	var used journal.LeafReader
	rapid.Check(t, func(r *rapid.T) {
		l, _, err := journal.NewLeaf(anyEvent().Draw(r, "event"), journal.Drawn(rand.Reader))
		if err != nil {
			return
		}
		l.Logged = l.Time
		if b := l.Append(nil); !agree(t, &used, b) {
			r.Fatalf("refused %s", b)
		}
	})
}

// What ends nowhere, up to the greatest length of a leaf and beyond it.
func TestReadersAgreeOnWhatNeverEnds(t *testing.T) {
	var used journal.LeafReader
	for _, begin := range []string{"", "{", `{"node":"`, `{"node":"é`, `{"node":"\n`, `{"size":`, `{"commit":{"a`, `{"fields":[`, `{"log":{"key":"`, `{"commit":{"a":"`} {
		for _, next := range []string{"x", "1", `"`, "{", "[", `\`, ",", "é", `"a",`, `"a":"`, "\x00"} {
			for size := journal.MaxLeaf - 20; size < journal.MaxLeaf+20; size++ {
				b := begin + strings.Repeat(next, (size-len(begin))/len(next))
				agree(t, &used, []byte(b))
				agree(t, &used, []byte(b[:len(begin)+len(b)%50]))
			}
		}
	}
}

func FuzzReadersAgree(f *testing.F) {
	for _, leaf := range specimens(f) {
		f.Add(leaf)
	}
	var used journal.LeafReader
	f.Fuzz(func(t *testing.T, b []byte) { agree(t, &used, b) })
}
