package journal_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"

	"pgregory.net/rapid"
)

// canonical writes b again with the standard library: sorted keys, no escapes
// beyond those that are needed. It agrees with RFC 8785 on what leaves contain,
// but for U+2028 and U+2029, which encoding/json escapes and RFC 8785 does not.
func canonical(t *testing.T, b []byte) []byte {
	var v any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("leaf is not JSON: %v\n%s", err, b)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	s := strings.TrimSuffix(out.String(), "\n")
	return []byte(strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(s))
}

func anyEvent() *rapid.Generator[journal.Event] {
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.StringMatching(`[ -~]{0,300}`))
	return rapid.Custom(func(t *rapid.T) journal.Event {
		n := rapid.IntRange(0, 1<<40)
		e := journal.Event{
			Kind: rapid.SampledFrom([]journal.Kind{journal.KindAccepted, journal.KindRefused, journal.KindErased, journal.KindDead}).Draw(t, "kind"),
			Time: time.UnixMilli(rapid.Int64Range(1, 1<<45).Draw(t, "time")), Node: text.Draw(t, "node"), Message: text.Draw(t, "message"),
			MessageID: text.Draw(t, "messageId"), Sender: text.Draw(t, "sender"), Recipient: text.Draw(t, "recipient"), Rule: text.Draw(t, "rule"),
			Line: n.Draw(t, "line"), Attempt: n.Draw(t, "attempt"), Size: n.Draw(t, "size"), Channel: text.Draw(t, "channel"), Reference: text.Draw(t, "reference"), Test: rapid.Bool().Draw(t, "test"), Ground: text.Draw(t, "ground"), Digest: text.Draw(t, "digest"),
		}
		if rapid.Bool().Draw(t, "targeted") {
			i := rapid.Int64Range(0, 1<<50).Draw(t, "target")
			e.Target = &i
			e.Fields = rapid.SliceOfN(rapid.StringMatching(`[a-z][a-z0-9-]{0,31}`), 0, 8).Draw(t, "fields")
		}
		for i := range rapid.IntRange(0, 8).Draw(t, "personal") {
			e.Personal = append(e.Personal, journal.PersonalField{Field: string(rune('a' + i)), Value: rapid.String().Draw(t, "value")})
		}
		return e
	})
}

func TestAnyEventMakesACanonicalLeafOrSaysWhyNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent().Draw(t, "event")
		l, open, err := journal.NewLeaf(e, journal.Drawn(rand.Reader))
		if err != nil {
			if strings.Contains(err.Error(), "bytes, at most") {
				return // too large for a leaf, whole: the sequencer uses UnknownLeaf
			}
			t.Fatal(err)
		}
		l.Logged, l.Prev, l.SenderSeq, l.RecipientSeq = l.Time, 1<<52, 1<<52, 1<<52
		if l.Sender == "" {
			l.SenderSeq = 0
		}
		b := l.Append(nil)
		if len(b) > journal.MaxLeaf {
			t.Fatalf("leaf has %d bytes", len(b))
		}
		if hashed, hash := l.AppendHashed([]byte("in front")); string(hashed) != "in front\x00"+string(b) || hash != journal.LeafHash(b) {
			t.Fatalf("hashed as %x:\n%s\nwant %x:\n%s", hash, hashed, journal.LeafHash(b), b)
		}
		back, err := journal.ParseLeaf(b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if got := back.Append(nil); !bytes.Equal(got, b) {
			t.Fatalf("parsed and written again:\n%s\nwant\n%s", got, b)
		}
		told, err := journal.ParseTold(b)
		if want := back; err != nil || told.Commit != nil {
			t.Fatalf("what it tells: %+v, %v", told, err)
		} else if want.Commit = nil; !reflect.DeepEqual(told, want) {
			t.Fatalf("it tells %+v, want %+v", told, want)
		}
		for _, o := range open {
			if c, ok := back.Committed(o.Field); !ok || o.Commitment() != c {
				t.Fatalf("opening of %q does not open the leaf's commitment", o.Field)
			}
			if len(o.Value) > 3 && bytes.Contains(b, []byte(o.Value)) && !strings.Contains(e.Node+e.Message+e.MessageID+e.Channel+e.Reference+e.Sender+e.Recipient+e.Rule+e.Ground, o.Value) {
				t.Fatalf("value of %q stands in the leaf", o.Field)
			}
		}
	})
}

// Texts are looked through by words, and told from those in which one letter is another.
func TestLettersThatAreWrittenOtherwiseAreFoundWhereverTheyStand(t *testing.T) {
	for _, with := range []string{"", "\x00", "\t", "\x1f", " ", "!", `"`, "#", "[", `\`, "]", "~", "\x7f", "\x80", "\xa2", "\xdc", "\xff", "é"} {
		for n := range 20 {
			for at := range n + 1 {
				s := strings.Repeat("a", at) + with + strings.Repeat("~", n-at)
				odd := strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c >= 0x7f }) >= 0
				if journal.Harmless(s) == odd {
					t.Fatalf("%q is harmless: %v", s, !odd)
				}
				if odd = strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c == '"' || c == '\\' }) >= 0; journal.Plain(s) == odd {
					t.Fatalf("%q is plain: %v", s, !odd)
				}
			}
		}
	}
}

func TestLeafIsCanonicalJSONOfRFC8785(t *testing.T) {
	for _, e := range append(journaltest.Events(1, 300), journal.Event{Kind: journal.KindRefused, Time: journaltest.Start,
		Rule: "quote \" backslash \\ slash / tab \t nul \x00 del \x7f <&> \u2028 é 😀", Personal: []journal.PersonalField{{Field: "z"}, {Field: "a"}}}) {
		l, _, err := journal.NewLeaf(e, journal.Drawn(rand.Reader))
		if err != nil {
			t.Fatal(err)
		}
		l.Logged = l.Time
		b := l.Append(nil)
		if want := canonical(t, b); !bytes.Equal(b, want) {
			t.Errorf("got  %s\nwant %s", b, want)
		}
	}
}

func TestParseLeafRefusesOtherSpellings(t *testing.T) {
	e := journaltest.Events(1, 1)[0]
	e.Channel, e.Reference, e.Test = "smev/1.2", "", false
	e.DueQueued, e.DueTaken, e.DueStatus, e.EOL, e.Terms = time.Time{}, time.Time{}, time.Time{}, time.Time{}, ""
	l, _, err := journal.NewLeaf(e, journal.Drawn(rand.Reader))
	if err != nil {
		t.Fatal(err)
	}
	l.Logged = l.Time
	good := string(l.Append(nil))
	if _, err := journal.ParseLeaf([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"empty":               "",
		"space":               strings.Replace(good, ":", ": ", 1),
		"newline at the end":  good + "\n",
		"two objects":         good + good,
		"unknown member":      strings.Replace(good, `"kind"`, `"kine":1,"kind"`, 1),
		"member twice":        strings.Replace(good, `"kind":"accepted"`, `"kind":"accepted","kind":"accepted"`, 1),
		"members disordered":  strings.Replace(good, `"certificate"`, `"zertificate"`, 1),
		"escaped ASCII":       strings.Replace(good, `"accepted"`, `"\u0061ccepted"`, 1),
		"number with zero":    strings.Replace(good, `"size":`, `"size":0`, 1),
		"fraction":            strings.Replace(good, `"v":2`, `"v":2.0`, 1),
		"later version":       strings.Replace(good, `"v":2`, `"v":4`, 1),
		"version too high":    strings.Replace(good, `"v":2`, `"v":3`, 1),
		"member of later":     strings.Replace(good, `"kind"`, `"eol":7,"kind"`, 1),
		"kind of later":       strings.Replace(good, `"accepted"`, `"overdue"`, 1),
		"version of before":   strings.Replace(good, `"v":2`, `"v":1`, 1),
		"nothing of version":  strings.Replace(good, `"channel":"smev/1.2",`, ``, 1),
		"test that is none":   strings.Replace(good, `"time":`, `"test":false,"time":`, 1),
		"truth in letters":    strings.Replace(good, `"time":`, `"test":"true","time":`, 1),
		"unknown kind":        strings.Replace(good, `"accepted"`, `"acceptad"`, 1),
		"number too large":    strings.Replace(good, `"size":`, `"size":99999999999999999999`, 1),
		"empty string member": strings.Replace(good, `"kind"`, `"ground":"","kind"`, 1),
		"bad UTF-8":           strings.Replace(good, `"node-1"`, "\"node-\xff\"", 1),
		"short commitment":    strings.Replace(good, `="`, `"`, 1),
		"no time":             strings.Replace(good, `"time":`, `"timf":`, 1),
		"cut":                 good[:len(good)/2],
		"too long":            strings.Replace(good, `"node-1"`, `"`+strings.Repeat("n", 5000)+`"`, 1),
	} {
		if bad == good {
			t.Fatalf("%s: the test changes nothing", name)
		}
		if _, err := journal.ParseLeaf([]byte(bad)); err == nil {
			t.Errorf("%s: accepted %s", name, bad)
		}
	}
}

func TestRowsSurviveWhatStrangersSend(t *testing.T) {
	e := journaltest.Events(1, 1)[0]
	e.Rule, e.Outcome = "cvc\x00\xff", "\u0000"
	e.Personal = append(e.Personal, journal.PersonalField{Field: "nul", Value: "a\x00b\xffc"})
	row, err := e.Row()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(row, []byte(`\u0000`)) || !json.Valid(row) {
		t.Errorf("jsonb would refuse %s", row)
	}
	back, err := journal.ParseRow(row)
	if err != nil || back.Message != e.Message || !back.Time.Equal(e.Time) || len(back.Personal) != 3 {
		t.Errorf("read back %+v, %v", back, err)
	}
	if _, err := journal.ParseRow([]byte(`{"kind":"accepted","newer":1}`)); err == nil {
		t.Error("a member of a newer version was dropped in silence")
	}
}

// Rows are read in one of two ways; which of them may not show.
func TestRowsAreReadAlike(t *testing.T) {
	target := int64(7)
	events := append(journaltest.Events(3, 500),
		journal.Event{Kind: journal.KindErased, Time: journaltest.Start, Target: &target, Fields: []string{"snils", "inn"}, Ground: "152-ФЗ, ст. 21 \"п. 5\" \\"},
		journal.Event{Kind: journal.KindExpired, Time: journaltest.Start.In(time.FixedZone("", 3*3600)), Deadline: journaltest.Start.Add(time.Nanosecond), Service: "Россия\u2028<&>"},
		journal.Event{Kind: "none"})
	for _, e := range events {
		row, err := e.Row()
		if err != nil {
			t.Fatal(err)
		}
		alike(t, string(row))
		got, err := journal.ParseRow(row)
		if err != nil {
			t.Fatal(err)
		}
		e.Time, e.Deadline = e.Time.UTC(), e.Deadline.UTC()
		if !reflect.DeepEqual(got, e) {
			t.Errorf("%s\ngot  %+v\nwant %+v", row, got, e)
		}
	}
	if _, err := (journal.Event{Kind: journal.KindDead, Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}).Row(); err == nil {
		t.Error("a year that RFC 3339 does not have was written")
	}
}

// alike reads a row with ParseRow and with package json.
func alike(t *testing.T, row string) {
	t.Helper()
	got, gotErr := journal.ParseRow([]byte(row))
	var want journal.Event
	d := json.NewDecoder(strings.NewReader(row))
	d.DisallowUnknownFields()
	wantErr := d.Decode(&want)
	if len(want.Personal) > 0 {
		want.Lift()
	}
	if (gotErr == nil) != (wantErr == nil) || gotErr == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("%s\nParseRow %+v, %v\njson     %+v, %v", row, got, gotErr, want, wantErr)
	}
}

// Rows come in the spelling of PostgreSQL's jsonb too, and are read without package
// json; what it would read in another way is left to it.
func TestRowsOfJSONB(t *testing.T) {
	row := `{"kind": "delivered", "size": 3858, "time": "2026-11-29T15:18:34.101Z", "personal": [{"class": "acknowledgements", "field": "receipt", "value": "{\"answer\":\"5\\\\2\"}"}, {"class": "leaf", "field": "channel", "value": "smev/1.2"}], "fields": ["a", "b"], "recipient": "MFC01", "target": 7}`
	alike(t, row)
	if !journal.ReadsRow(row) {
		t.Error("a row of jsonb is read by package json")
	}
	for _, odd := range []string{
		strings.Replace(row, `"size": 3858`, `"size": 3858, "size": 1`, 1), strings.Replace(row, `"recipient"`, `"Kind": "x", "recipient"`, 1),
		strings.Replace(row, `"class": "leaf"`, `"class": "leaf", "class": ""`, 1), strings.Replace(row, `\"5`, `\u0022`, 1),
		strings.Replace(row, `["a", "b"]`, `[]`, 1), strings.Replace(row, `7}`, `null}`, 1), row[:len(row)-1], row + " ",
	} {
		alike(t, odd)
		if journal.ReadsRow(odd) {
			t.Errorf("not left to package json: %s", odd)
		}
	}
}

func FuzzRow(f *testing.F) {
	f.Add(`{"kind": "delivered", "size": 3858, "personal": [{"class": "c", "value": "{\"a\":\"\\\\\"}"}], "fields": ["a", "b"]}`)
	for _, e := range journaltest.Events(3, 20) {
		row, err := e.Row()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(row))
	}
	f.Add(`{"kind":"erased","time":"2026-03-02T1:00:00Z","target":7,"fields":["a","b"],"ground":"x","personal":[{"field":"a","value":"","class":"c"}]}`)
	f.Fuzz(alike)
}

func FuzzParseLeaf(f *testing.F) {
	for _, e := range journaltest.Events(1, 20) {
		l, _, err := journal.NewLeaf(e, journal.Drawn(rand.Reader))
		if err != nil {
			f.Fatal(err)
		}
		l.Logged = l.Time
		f.Add(l.Append(nil))
	}
	for _, l := range []journal.Leaf{
		{Event: journal.Event{Kind: journal.KindPeriodClose, Time: journaltest.Start}, Logged: journaltest.Start, Prev: 0, Period: &journal.Period{
			To: 9, Totals: map[journal.Kind]int64{journal.KindDead: 2, journal.KindAccepted: 3}, Parties: 1, Counters: "ab"}},
		{Event: journal.Event{Kind: journal.KindKeyChanged, Time: journaltest.Start, Log: &journal.LogChange{Origin: "o\n\x01\"", OldSize: 5}}, Logged: journaltest.Start},
	} {
		f.Add(l.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := journal.ParseLeaf(b)
		kind, message, headErr := journal.ParseHead(b)
		if (headErr == nil) != (err == nil) || kind != l.Kind || message != l.Message {
			t.Fatalf("of %q the head is %q of %q (%v), the leaf %q of %q (%v)", b, kind, message, headErr, l.Kind, l.Message, err)
		}
		if err != nil {
			return
		}
		if want := canonical(t, b); !bytes.Equal(b, want) {
			t.Fatalf("accepted %q, canonical is %q", b, want)
		}
		if got := l.Append(nil); !bytes.Equal(got, b) {
			t.Fatalf("accepted %q, writes %q", b, got)
		}
	})
}

// Two salts of different length could open one commitment: HMAC pads short keys.
func TestAShortSaltIsNoOpening(t *testing.T) {
	o := journal.Opening{Field: "snils", Class: "personal", Salt: [32]byte{1}, Value: "12345678901"}
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var o2 journal.Opening
	if err := json.Unmarshal([]byte(strings.Replace(string(b), "AQAA", "AQ==", 1)), &o2); err == nil {
		t.Error("a short salt was accepted")
	}
}
