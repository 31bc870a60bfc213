package adapter

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter/journal"
	"mezhved/adapter/reports"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/envelopes/xmltape/sentences"
	"mezhved/signing"
)

func TestAdmitMessageID(t *testing.T) {
	now := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) string { return string(ownMessageID(nil, uuid.New(), now.Add(d))) }
	rules := Config{}.WithDefaults().MessageID
	lax := rules
	lax.AnyUUID = true
	for _, tt := range []struct {
		name, id string
		rules    MessageIDConfig
		want     error
	}{
		{"fresh", at(0), rules, nil},
		{"a day old", at(-24*time.Hour + time.Second), rules, nil},
		{"stale", at(-24*time.Hour - time.Second), rules, idStale},
		{"clock a little ahead", at(4 * time.Minute), rules, nil},
		{"future", at(6 * time.Minute), rules, idFuture},
		{"upper case", strings.ToUpper(at(0)), rules, idMalformed},
		{"braces", "{" + at(0) + "}", rules, idMalformed},
		{"urn", "urn:uuid:" + at(0), rules, idMalformed},
		{"no hyphens", strings.ReplaceAll(at(0), "-", ""), rules, idMalformed},
		{"empty", "", rules, idMalformed},
		{"version 4", "6f1e2c1a-2f0b-4c3f-9a51-2f8f1d6f7a10", rules, idMalformed},
		{"version 4 where any is good", "6f1e2c1a-2f0b-4c3f-9a51-2f8f1d6f7a10", lax, nil},
		{"stale where any is good", at(-48 * time.Hour), lax, idStale},
		{"no variant", "6f1e2c1a-2f0b-1c3f-1a51-2f8f1d6f7a10", rules, idMalformed},
	} {
		if _, err := admitMessageID(tt.id, now, tt.rules); err != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestOwnMessageID(t *testing.T) {
	about, at := uuid.New(), time.Date(2026, 3, 14, 12, 0, 0, 123_000_000, time.UTC)
	id := ownMessageID([]byte("key"), about, at)
	if again := ownMessageID([]byte("key"), about, at); again != id {
		t.Errorf("said twice: %s and %s", id, again)
	}
	if other := ownMessageID([]byte("another key"), about, at); other == id {
		t.Errorf("%s can be foretold without the key", id)
	}
	u, ok := parseLowerUUID(string(id))
	if !ok || u.Version() != 1 || u.Variant() != uuid.RFC4122 || !uuidTime(u).Equal(at) {
		t.Errorf("%s is no UUID of version 1 at %v", id, at)
	}
}

func TestReplyAddress(t *testing.T) {
	k1, k2 := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	address := replyAddress{Request: uuid.New(), MessageID: "m", Sender: "MUNI", Node: "узел", Provider: "P", Service: "s", Version: "1", Code: strings.Repeat("ж", 1500)}
	old := replyKeys{k1}.seal(address)
	if n := len(old); n > 4000 {
		t.Errorf("a token of %d characters, 4000 are allowed", n)
	}
	got, err := replyKeys{k2, k1}.open("\n " + old + "\n")
	if err != nil || !got.LongCode || got.Request != address.Request || got.Node != "узел" {
		t.Errorf("opened with the older key: %+v, %v", got, err)
	}
	broken := ""
	for i, c := range old { // indented and broken into lines
		if i%60 == 0 {
			broken += "\r\n\t  "
		}
		broken += string(c)
	}
	if got, err := (replyKeys{k1}).open(broken); err != nil || got.Request != address.Request {
		t.Errorf("a token in lines: %+v, %v", got, err)
	}
	if got := ClaimedReplier(broken); got != "P" {
		t.Errorf("without a key it says that %q may answer", got)
	}
	for _, none := range []string{"", "P", old[:40], old + strings.Repeat("\n", 4*maxToken), // no larger one is looked at: its sender is nobody yet
		base64.StdEncoding.EncodeToString([]byte{tokenVersion})} {
		if got := ClaimedReplier(none); got != "" {
			t.Errorf("%.500q says that %q may answer", none, got)
		}
	}
	if _, err := (replyKeys{k2}).open(old); !errors.Is(err, errReplyTo) {
		t.Errorf("opened with a key that did not make it: %v", err)
	}
	short := replyKeys{k1}.seal(replyAddress{MessageID: "m", Code: "c"})
	for i := range len(short) {
		for _, b := range []byte{'A', 'z', '=', ' '} {
			forged := short[:i] + string(b) + short[i+1:]
			if forged == short || strings.TrimSpace(forged) == short {
				continue
			}
			if _, err := (replyKeys{k1}).open(forged); err == nil {
				t.Fatalf("opened after a change at %d: %s", i, forged)
			}
		}
	}
	for _, junk := range []string{"", "AQ==", "MUNI|1", strings.Repeat("A", 4000)} {
		if _, err := (replyKeys{k1}).open(junk); err == nil {
			t.Errorf("opened %.20q", junk)
		}
	}
}

func TestReadReplyKeys(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	raw := file("raw", bytes.Repeat([]byte{0xff}, 32))
	text := file("text", []byte("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"))
	keys, err := readKeys("reply key", []string{raw, text})
	if err != nil || len(keys) != 2 || len(keys[1]) != 32 || keys[1][31] != 31 {
		t.Errorf("keys %v, %v", keys, err)
	}
	_, err = readKeys("reply key", []string{file("small", []byte("x")), filepath.Join(dir, "none")})
	if err == nil || !strings.Contains(err.Error(), "small") || !strings.Contains(err.Error(), "none") {
		t.Errorf("not both mistakes are named: %v", err)
	}
	open := file("open", bytes.Repeat([]byte{0xff}, 32))
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	if keys, err = readKeys("reply key", []string{raw, open}); err == nil || !strings.Contains(err.Error(), open) || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that everyone can read was taken: %v, %v", keys, err)
	}
}

// latin are what stands in Latin letters in the sentences of the table: names of fields,
// headers and operations, and words of the standard's own texts.
var latin = []string{"MessageID", "MessageId", "message", "id", "POST", "GET", "wsdl", "ws", "EOL", "To", "ReplyTo", "Retry-After", "Hash", "uuid", "UUID", "RFC-4122",
	"sendRequest", "sendResponse", "AsyncProcessingStatus", "PKCS", "SignaturePKCS7", "Timestamp", "Routing", "ftp",
	"mezhved", "verify", "explain", "lang", "ru"} // of a command that the sender is advised to run

// Every row of the table is a fault that its operations declare, fills its
// text, and says what to do; and every code of the rooms behind has a row.
func TestTable(t *testing.T) {
	anywhere := map[envelopes.FaultKind]bool{}
	for _, v := range envelopes.Versions {
		for _, k := range envelopes.FaultKinds(v) {
			anywhere[k] = true
		}
	}
	for why, row := range table {
		if !anywhere[row.fault] {
			t.Errorf("%s: %s is no fault of the protocol", why, row.fault)
		}
		if (row.fault == envelopes.SignatureVerificationFault) != (row.sub != "") {
			t.Errorf("%s: %s with %q", why, row.fault, row.sub)
		}
		if row.text == "" || row.do == "" || row.status < 400 || row.module == "" || row.n == 0 {
			t.Errorf("%s is not filled: %+v", why, row)
		}
		for _, s := range []string{row.text, row.do} {
			if prose := sentences.Latin(s, latin...); prose != nil {
				t.Errorf("%s: %q has the Latin words %q", why, s, prose)
			}
		}
		if d := (&refusal{reason: why}).fault("x").Description; !strings.Contains(d, ". Что делать: ") && !strings.Contains(d, "! Что делать: ") {
			t.Errorf("%s: no full stop before the advice: %q", why, d)
		}
		if code := fmt.Sprintf("mezhved : TR:SYNC:%s:%d", row.module, row.n); len(code) > 50 {
			t.Errorf("%s: code %q is longer than 50 characters", why, code)
		}
	}
	codes := map[string]reason{}
	for why, row := range table {
		code := fmt.Sprintf("%s:%d", row.module, row.n)
		if other, taken := codes[code]; taken {
			t.Errorf("%s and %s have the code %s", why, other, code)
		}
		codes[code] = why
	}
	for code, why := range signatureReasons {
		if _, ok := table[why]; !ok {
			t.Errorf("signature code %s: there is no row %s", code, why)
		}
		r := refuseSignature("ЭП-ОВ", &signing.Error{Code: code, Detail: "d"})
		if text := r.text(); strings.Contains(text, "%!") || strings.Contains(text, "EXTRA") || sentences.Latin(text, latin...) != nil {
			t.Errorf("signature code %s: text %q", code, text)
		}
	}
	for _, why := range []idRefusal{idMalformed, idStale, idFuture} {
		if _, ok := table[reason(why)]; !ok {
			t.Errorf("there is no row %s", why)
		}
	}
}

// What a reload says beside the findings can be told in Russian.
func TestEverySayingHasItsRussianForm(t *testing.T) {
	sentences.Room{Makers: map[string]int{"NewFinding": 2}, Russian: reloadSayings, Files: []string{"gateway.go"}}.Check(t)
}

// What is wrong with the body has no place in the envelope, and none is told; what
// is wrong in it is told in Russian, with what exactly.
func TestFindingsInSentences(t *testing.T) {
	parse := func(kind, body string) error {
		_, err := envelopes.Parse(kind, []byte(body), new(xmltape.Tape), envelopes.Limits{})
		return err
	}
	const soap = `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">`
	for _, one := range []struct {
		err  error
		want string
	}{
		{parse(`multipart/related; boundary="b"; start="<a>"`, "--b\r\nContent-ID: <x>\r\n\r\n<a/>\r\n--b--"), "soap.multipart: нет части с Content-ID «a», названной в start"},
		{parse("text/xml", soap+"<s:Header>\n<x s:mustUnderstand='1'/></s:Header></s:Envelope>"), "строка 2, позиция 1: soap.must-understand: заголовок SOAP «x» обязателен для понимания, но неизвестен"},
		{parse("text/xml", "<a>&b;</a>"), `строка 1, позиция 4: xml.bad-reference: "&b;" — не одна из пяти предопределённых сущностей и не ссылка на символ XML`},
	} {
		r := refuse(one.err)
		if len(r.marks) != 1 || r.marks[0].text != one.want {
			t.Errorf("%v: %+v, want %s", one.err, r.marks, one.want)
		}
	}
}

func TestTopicName(t *testing.T) {
	for in, want := range map[Mnemonic]string{"500502_3T": "500502_3T", "MNSV05": "MNSV05", "a.b-c": "a.b-c"} {
		if got := topicName(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	a, b := topicName("ФНС"), topicName("ПФР")
	if a == b || len(a) > 200 {
		t.Errorf("%s and %s", a, b)
	}
	for _, c := range a {
		if c > 127 {
			t.Errorf("%s is no name of a topic", a)
		}
	}
}

// Whom a refusal is put down to can be told from its entry alone: the table's column and
// what a reader of the log makes of it are the same for every reason and rule.
func TestWhoseFaultCanBeReadFromTheLog(t *testing.T) {
	told := func(r *refusal) {
		t.Helper()
		ev := r.event(journal.Event{})
		if got, want := reports.SideOf(ev.Outcome, ev.Rule), table[r.reason].whose; got != want {
			t.Errorf("%s, told as %s %s: side %d, the table says %d", r.reason, ev.Outcome, ev.Rule, got, want)
		}
	}
	for why := range table {
		told(&refusal{reason: why})
	}
	for code := range signatureReasons {
		told(refuse(&signing.Error{Code: code}))
		told(refuseFile("plan.pdf", &signing.Error{Code: code}))
	}
	for _, rule := range []string{"cvc-type.3.1.3", "xml.syntax", "soap.media-type", "signature.digest-mismatch"} {
		told(&refusal{reason: "undeclared", marks: []mark{{rule: rule}}})
		told(&refusal{reason: "content", marks: []mark{{rule: rule}}})
	}
	for reason, want := range map[reason][2]reports.Whose{"overflow": {reports.OfProvider, reports.OfSender}, "access": {reports.OfSender, reports.OfProvider}, "failure": {reports.OfBus, reports.OfBus}, "revocation-unknown": {reports.OfAuthority, reports.OfAuthority}} {
		side := table[reason].whose
		if got := [2]reports.Whose{side.Of("SendRequest"), side.Of("SendResponse")}; got != want {
			t.Errorf("%s of a request and of an answer is the fault of %v, want %v", reason, got, want)
		}
	}
}
