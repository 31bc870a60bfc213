package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/console"
	"mezhved/adapter/embedded"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/party"
	"mezhved/adapter/postgres"
	"mezhved/envelopes"
)

// deskNode is a whole node with one exchange and one refusal behind it, and the
// configuration by which the commands find it.
type deskNode struct {
	t                *testing.T
	config           string
	url              string // of the database
	base             string // of the doors
	traced, incident string
	node             *node
	stop             func() // ends the node, once
}

func openDeskNode(t *testing.T) *deskNode {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	config, err := prepareDemo(dir, l.Addr().String())
	must(err)
	config.Database = adapter.DatabaseConfig{URL: embedded.Test(t, postgres.Migrate)}
	ctx, stop := context.WithCancel(context.Background())
	n, err := openNode(ctx, config, slog.New(slog.DiscardHandler))
	must(err)
	served := make(chan error, 1)
	go func() { served <- n.serve(ctx, l) }()
	ends := sync.OnceFunc(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("the node did not close well: %v", err)
		}
		if err := n.close(); err != nil {
			t.Errorf("closing the node: %v", err)
		}
	})
	t.Cleanup(ends)
	base := "http://" + l.Addr().String()
	must(awaitReady(ctx, base, 30*time.Second))
	p, err := newPlay(ctx, io.Discard, dir, base)
	must(err)
	must(p.answered(ctx))
	must(p.refusedBySchema(ctx))
	d := &deskNode{t: t, config: filepath.Join(dir, "mezhved.yaml"), traced: p.traced, incident: p.incident, node: n, stop: ends, url: config.Database.URL, base: base}
	// The commands may come before the checkpoint; what they say is then "pending".
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var trace console.Trace
		d.json(&trace, "journal", "trace", d.incident)
		if trace.Events[0].State == console.Proved {
			return d
		}
		if time.Now().After(end) {
			t.Fatalf("no checkpoint covers the refusal: %+v", trace.Events)
		}
	}
}

// run runs a command against the node.
func (d *deskNode) run(args ...string) (code int, out, errOut string) {
	d.t.Helper()
	var o, e bytes.Buffer
	code = run(append(args, "--config", d.config), strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

func (d *deskNode) good(args ...string) string {
	d.t.Helper()
	code, out, errOut := d.run(args...)
	if code != 0 {
		d.t.Fatalf("%v: exit code %d\n%s%s", args, code, out, errOut)
	}
	return out
}

func (d *deskNode) json(into any, args ...string) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(d.good(append(args, "--json")...)), into); err != nil {
		d.t.Fatalf("%v: %v", args, err)
	}
}

// One node answers all the commands: starting it costs more than asking.
func TestTheDeskAtATerminal(t *testing.T) {
	d := openDeskNode(t)
	dir := t.TempDir()

	t.Run("an incident leads to its cause in one step", func(t *testing.T) {
		for lang, sentence := range map[string]string{"ru": "Сообщение не соответствует схеме.", "en": "The message does not hold against its schema."} {
			out := d.good("journal", "trace", d.incident, "--lang", lang)
			for _, want := range []string{sentence, "cvc-pattern-valid", "line 7, column 22", "CadastralNumber", d.incident, "--envelope --"} { // and the flags by which it was asked
				if !strings.Contains(out, want) {
					t.Errorf("%s: %q is missing from\n%s", lang, want, out)
				}
			}
		}
		envelope := d.good("journal", "trace", d.incident, "--envelope")
		_, _, kept, err := d.node.store.Refused(context.Background(), d.incident)
		if err != nil || envelope != string(kept) {
			t.Errorf("the envelope is not what was refused (%v):\n%s", err, envelope)
		}
	})
	t.Run("an exchange", func(t *testing.T) {
		out := d.good("journal", "trace", d.traced)
		for _, want := range []string{"accepted", "routed", "queued", "delivered", "acknowledged", "answered", "PRIMERSK", "ROSREESTR"} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing from\n%s", want, out)
			}
		}
		found, err := d.node.store.Find(context.Background(), adapter.MessageID(d.traced))
		if err != nil || len(found) != 1 {
			t.Fatalf("%d messages, %v", len(found), err)
		}
		if got := d.good("journal", "trace", d.traced, "--envelope"); got != string(found[0].Body) {
			t.Errorf("the envelope is not what was accepted:\n%s", got)
		}
	})
	t.Run("search", func(t *testing.T) {
		var found console.Found
		d.json(&found, "journal", "search", "--kind", "refused", "--sender", "PRIMERSK")
		if found.Count != 1 || found.Entries[0].Incident != d.incident {
			t.Errorf("%+v", found)
		}
		d.json(&found, "journal", "search", "--id", d.traced, "--oldest", "--limit", "3")
		if found.Count < 11 || len(found.Entries) != 3 || found.Next == "" {
			t.Errorf("%+v", found)
		}
		var totals console.Totals
		d.json(&totals, "journal", "search", "--totals", "kind", "--id", d.traced)
		if totals.Count != found.Count {
			t.Errorf("totals make %d, the search found %d", totals.Count, found.Count)
		}
		if out := d.good("journal", "search", "--provider", "ROSREESTR", "--limit", "1"); !regexp.MustCompile(`\n(1 entry|[0-9]+ entries) in all\n`).MatchString(out) || !strings.Contains(out, "--after ") {
			t.Errorf("said\n%s", out)
		}
	})
	t.Run("a person", func(t *testing.T) {
		var found console.Found
		for _, spelling := range []string{"000-000-001 00", "00000000100"} {
			if d.json(&found, "journal", "search", "--person", "snils="+spelling); found.Count == 0 || found.Entries[0].Service != "egrn-extract" {
				t.Errorf("%s: %+v", spelling, found)
			}
		}
		if d.json(&found, "journal", "search", "--case", "мсп-2026/11-000417", "--kind", "accepted", "--test", "no"); found.Count != 1 || found.Entries[0].MessageID != d.traced {
			t.Errorf("by the case: %+v", found)
		}
		page, evidence := filepath.Join(dir, "report.html"), filepath.Join(dir, "report.zip")
		out := ""
		for end := time.Now().Add(20 * time.Second); !strings.Contains(out, "LOOKED") && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			out = d.good("journal", "report", "--person", "snils=00000000100") // the searches are in the log within a moment
		}
		if !strings.Contains(out, "PRIMERSK") || !strings.Contains(out, "case МСП-2026/11-000417") || !strings.Contains(out, "\n1 exchange\n") || !strings.Contains(out, "search") {
			t.Errorf("the report says\n%s", out)
		}
		d.good("journal", "report", "--person", "name-birth=Ёлкина Софья Андреевна 29.02.1984", "--lang", "en", "-o", page, "--bundle", evidence)
		if src, err := os.ReadFile(page); err != nil || !strings.Contains(string(src), "Who asked about a person") || !strings.Contains(string(src), d.traced) {
			t.Errorf("the page: %v\n%s", err, src)
		}
		src, err := os.ReadFile(evidence)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := audit.VerifyBundle(bytes.NewReader(src), int64(len(src)), d.node.policy); err != nil {
			t.Errorf("the evidence: %v", err)
		}
	})
	t.Run("what was changed", func(t *testing.T) {
		if out := d.good("journal", "changes"); !strings.Contains(out, "first everything") || !strings.Contains(out, "added service egrn-extract 1.1.0") || !strings.Contains(out, "(uid ") {
			t.Errorf("said\n%s", out)
		}
		limits := filepath.Join(d.node.config.Parties, "PRIMERSK.yaml")
		src, err := os.ReadFile(limits)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(limits, append(src, "\nlimits: {perSecond: 33}\n"...), 0o644); err != nil {
			t.Fatal(err)
		}
		d.node.gateway.Reload(context.Background())
		out := ""
		for end := time.Now().Add(20 * time.Second); !strings.Contains(out, "limits.perSecond: (not set) -> 33") && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			out = d.good("journal", "changes", "--limit", "1")
		}
		if !strings.Contains(out, "changed party PRIMERSK") || !strings.Contains(out, "limits.perSecond: (not set) -> 33") {
			t.Errorf("said\n%s", out)
		}
	})
	t.Run("export", func(t *testing.T) {
		records, err := csv.NewReader(strings.NewReader(d.good("journal", "export", "--id", d.traced))).ReadAll()
		if err != nil || len(records) < 12 {
			t.Errorf("%d records, %v", len(records), err)
		}
		file := filepath.Join(dir, "all.json")
		d.good("journal", "export", "--format", "json", "-o", file)
		var whole struct {
			Entries []console.Entry
			Count   int
		}
		src, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(src, &whole)
		}
		if err != nil || whole.Count == 0 || whole.Count != len(whole.Entries) {
			t.Errorf("%d entries, count %d, %v", len(whole.Entries), whole.Count, err)
		}
	})
	t.Run("bundle", func(t *testing.T) {
		file := filepath.Join(dir, "evidence.zip")
		d.good("journal", "bundle", d.traced, "-o", file)
		public, err := os.ReadFile(d.node.config.Journal.Key + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		policy, err := journal.LogPolicy(strings.TrimSpace(string(public)))
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if e, err := audit.VerifyBundle(f, info.Size(), policy); err != nil || len(e.Entries) < 11 {
			t.Errorf("the bundle does not verify: %v", err)
		}
		if _, err := zip.NewReader(f, info.Size()); err != nil {
			t.Error(err)
		}
	})
	t.Run("erase", func(t *testing.T) {
		e := journal.Event{Kind: journal.KindAccepted, Time: time.Now(), Message: "0190-erase", Sender: "PRIMERSK", Personal: []journal.PersonalField{{Field: "snils", Value: "11223344595"}}}
		if err := d.node.store.Record(context.Background(), e); err != nil {
			t.Fatal(err)
		}
		var found console.Found
		for end := time.Now().Add(10 * time.Second); found.Count == 0 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			d.json(&found, "journal", "search", "--person", "snils=11223344595")
		}
		if found.Count != 1 {
			t.Fatalf("%+v", found)
		}
		index := strconv.FormatInt(*found.Entries[0].Index, 10)
		if out := d.good("journal", "erase", index, "--field", "snils", "--ground", "152-FZ, art. 21"); !strings.Contains(out, "erased snils") {
			t.Errorf("said %q", out)
		}
		if out := d.good("journal", "erase", index, "--field", "snils", "--ground", "152-FZ, art. 21"); !strings.Contains(out, "nothing was left") {
			t.Errorf("the second time said %q", out)
		}
	})
	t.Run("content is erased", func(t *testing.T) {
		var trace console.Trace
		d.json(&trace, "journal", "trace", d.traced)
		erase := []string{"journal", "erase", "--content", "--message", d.traced, "--exchange"}
		if out := d.good(append(erase, "--dry-run")...); !strings.Contains(out, "2 would be erased") || !strings.Contains(out, d.traced) ||
			!strings.Contains(out, trace.Messages[0].Service) || !strings.Contains(out, "PRIMERSK") || !strings.Contains(out, "ROSREESTR") || !strings.Contains(out, "response") {
			t.Errorf("the count: %s", out)
		}
		if code, _, errOut := d.run(append(erase, "--ground", "order 7")...); code != exitNo || !strings.Contains(errOut, "--count 2") {
			t.Errorf("without a count: exit code %d: %s", code, errOut)
		}
		// The demo acknowledges what it takes, the journal writes it within a second.
		var out, errOut string
		code := exitNo
		for end := time.Now().Add(30 * time.Second); code != 0 && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			code, out, errOut = d.run(append(erase, "--ground", "order 7", "--count", "2")...)
		}
		if code != 0 || !strings.Contains(out, "2 found, 2 erased") {
			t.Fatalf("exit code %d: %s%s", code, out, errOut)
		}
		if code, out, errOut := d.run("journal", "trace", d.traced, "--envelope"); code != exitNo || out != "" || !strings.Contains(errOut, "was erased at") || !strings.Contains(errOut, "order 7") {
			t.Errorf("the envelope: exit code %d: %s%s", code, out, errOut)
		}
		for lang, ground := range map[string]string{"ru": "Основание: order 7", "en": "Ground: order 7"} {
			if out := d.good("journal", "trace", d.traced, "--lang", lang); strings.Count(out, ground) != 2 || strings.Contains(out, "--of poll") || !strings.Contains(out, "ended with the content") {
				t.Errorf("the trace: %s", out)
			}
		}
		if out := d.good("journal", "erase", "--proposals"); strings.Count(out, "\n") != 1 {
			t.Errorf("proposals: %s", out)
		}
		d.offline(t)
	})
	t.Run("queues", func(t *testing.T) {
		if out := d.good("queues"); !strings.Contains(out, "all queues are empty") {
			t.Errorf("said %q", out)
		}
	})
	t.Run("a version that comes to its end", func(t *testing.T) {
		if code, out, errOut := d.run("services", "sunset"); code != 0 || strings.Count(out, "\n") != 1 {
			t.Errorf("none does: exit code %d\n%s%s", code, out, errOut)
		}
		file := filepath.Join(d.node.config.Services, "egrn-extract", "1.1.0", "service.yaml")
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		last := time.Now().AddDate(0, 1, 0).Format(time.DateOnly)
		if err := os.WriteFile(file, append(bytes.Replace(src, []byte("stage: published\n"), nil, 1), "\nstage: retired\nsunset: "+last+"\n"...), 0o644); err != nil {
			t.Fatal(err)
		}
		if bad := d.node.gateway.Reload(context.Background()).Errors(); len(bad) > 0 {
			t.Fatal(bad)
		}
		parties := d.node.config.Parties
		code, out, errOut := d.run("services", "sunset", "--send", "--key", filepath.Join(parties, "OPERATOR", "key.pem"), "--cert", filepath.Join(parties, "OPERATOR", "cert.pem"))
		if code != exitNo || !strings.Contains(out, last) || !strings.Contains(out, "PRIMERSK (1)") || !strings.Contains(out, "told all subscribers of bus-notice") {
			t.Fatalf("exit code %d\n%s%s", code, out, errOut)
		}
		p, err := newPlay(context.Background(), io.Discard, filepath.Dir(d.config), d.base)
		if err != nil {
			t.Fatal(err)
		}
		m, err := p.take(context.Background(), p.client("MFC01", envelopes.V12).PollRequest, func(m *party.Message) bool { return m.Request.Content.Is(noticeSpace, "Notice") })
		if err != nil {
			t.Fatal(err)
		}
		if content := string(m.Request.Content.Bytes()); !strings.Contains(content, `service="egrn-extract" number="1.1.0"`) || !strings.Contains(content, last) || strings.Contains(content, "PRIMERSK") {
			t.Errorf("subscribers are told %s", content)
		}
	})
	t.Run("exit codes", func(t *testing.T) {
		for want, args := range map[int][][]string{
			exitNo:    {{"journal", "trace", "nothing"}, {"journal", "bundle", "nothing", "-o", filepath.Join(dir, "none.zip")}, {"journal", "erase", "999999", "--field", "snils", "--ground", "x"}},
			exitUsage: {{"journal", "search", "--kind", "x"}, {"journal", "search", "--from", "yesterday"}, {"journal", "bundle", "-o", filepath.Join(dir, "none.zip")}, {"journal", "search", "--person", "x"}, {"journal", "report", "--person", "x"}},
		} {
			for _, a := range args {
				if code, out, errOut := d.run(a...); code != want || out != "" || !strings.HasPrefix(errOut, "mezhved: ") {
					t.Errorf("%v: exit code %d, want %d: %s%s", a, code, want, out, errOut)
				}
			}
		}
		if code, _, errOut := d.run("queues", "--url", "http://127.0.0.1:1"); code != exitUnavailable || !strings.Contains(errOut, "127.0.0.1:1") {
			t.Errorf("nobody there: exit code %d: %s", code, errOut)
		}
		wrong := filepath.Join(dir, "wrong.token")
		if err := os.WriteFile(wrong, []byte("not-a-token-of-anybody-at-all"), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, errOut := d.run("queues", "--token-file", wrong); code != exitNo || !strings.Contains(errOut, "token") {
			t.Errorf("a wrong token: exit code %d: %s", code, errOut)
		}
		if _, err := os.Stat(filepath.Join(dir, "none.zip")); err == nil {
			t.Error("a refused bundle left a file")
		}
	})
}

// beside is a demonstration's configuration with a database that is there, whoever runs.
func beside(t *testing.T, config, url string) (file string) {
	t.Helper()
	src, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(filepath.Dir(config), "restored.yaml")
	private := regexp.MustCompile(`(?m)^(\s+)private: .*postgres.*$`)
	if !private.Match(src) {
		t.Fatalf("the configuration names no private database:\n%s", src)
	}
	if err := os.WriteFile(file, private.ReplaceAll(src, []byte("${1}url: "+url)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// offline holds the database against a register from elsewhere, as after a restore:
// the one in the vault, with a line of which neither knows.
func (d *deskNode) offline(t *testing.T) {
	t.Helper()
	file := beside(t, d.config, d.url)
	kept, err := os.ReadFile(filepath.Join(d.node.config.Journal.Vault, "erasures"))
	if err != nil {
		t.Fatal(err)
	}
	register := filepath.Join(t.TempDir(), "erasures")
	forgotten := `{"id":"01a200c3-ff6e-713b-a695-b1d40770f4ba","at":"2026-01-02T03:04:05Z","ground":"order 6","items":[{"class":"refused","id":"01a200c3-ff6e-713b-a695-b1d40770f4bb"}]}` + "\n"
	if err := os.WriteFile(register, append(kept, forgotten...), 0o600); err != nil {
		t.Fatal(err)
	}
	again := func(want string) string {
		t.Helper()
		var out, errOut bytes.Buffer
		if code := run([]string{"journal", "re-erase", "--config", file, "--register", register}, strings.NewReader(""), &out, &errOut); code != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("exit code %d: %s%s, want %s", code, out.String(), errOut.String(), want)
		}
		return out.String()
	}
	if said := again("1 erasures had been forgotten; 0 messages"); strings.Contains(said, "done before") {
		t.Errorf("nobody had: %s", said)
	}
	// Who comes later is told that it was done, when, and by which node.
	for end := time.Now().Add(patience); !strings.Contains(again("0 erasures had been forgotten; 0 messages"), " on node demo: forgotten erasures: 1; "); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what was done before is not told")
		}
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"blind.key"}, 2, "--ground"},
		{[]string{"blind.key", "--ground", "the disk broke", "--wait", "0s"}, 3, "was at work"}, // the gateway of this test
	} {
		var out, errOut bytes.Buffer
		if code := run(append([]string{"journal", "lost-key", "--config", file}, c.args...), strings.NewReader(""), &out, &errOut); code != c.code || !strings.Contains(errOut.String(), c.want) {
			t.Errorf("lost-key %v: exit code %d: %s%s, want %d, %s", c.args, code, out.String(), errOut.String(), c.code, c.want)
		}
	}
	db, err := pgx.Connect(context.Background(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.Background())
	if _, err := db.Exec(context.Background(), "DELETE FROM node"); err != nil {
		t.Fatal(err)
	}
	var said, complaint bytes.Buffer
	if code := run([]string{"journal", "lost-key", "blind.key", "--ground", "the disk broke", "--config", file}, strings.NewReader(""), &said, &complaint); code != 1 || !strings.Contains(complaint.String(), "not lost") {
		t.Errorf("a key that is there: exit code %d: %s%s", code, said.String(), complaint.String())
	}
	d.examined(t, file)
}

// examined has the journal examined, with totals that hold and with one that does not.
func (d *deskNode) examined(t *testing.T, config string) {
	t.Helper()
	ctx := context.Background()
	db, err := pgx.Connect(ctx, d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(ctx)
	for _, c := range []struct {
		sql, want string
		code      int
	}{
		{"SELECT 1", "they are found and counted by what they say", 0},
		{"UPDATE journal_counter SET sent = sent + 1 WHERE party = (SELECT min(party) FROM journal_counter)", "the counters of", exitNo},
		{"UPDATE journal_counter SET sent = sent - 1 WHERE party = (SELECT min(party) FROM journal_counter)", "they are found", 0},
	} {
		if _, err := db.Exec(ctx, c.sql); err != nil {
			t.Fatal(err)
		}
		var out, errOut bytes.Buffer
		if code := run([]string{"journal", "examine", "--config", config}, strings.NewReader(""), &out, &errOut); code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: exit code %d: %s%s, want %d and %s", c.sql, code, out.String(), errOut.String(), c.code, c.want)
		}
	}
}

// What steers a terminal comes out as a number.
func TestATerminalIsNotSteered(t *testing.T) {
	const evil = "\x1b[2J\u202eevil\n\x07"
	n := int64(1)
	var out bytes.Buffer
	err := printTrace(&out, &console.Trace{ID: evil,
		Events:   []console.Entry{{Index: &n, Kind: "refused", Sender: evil, Recipient: evil, Service: evil, Version: evil, Outcome: evil, Incident: evil, MessageID: evil}},
		Messages: []console.Message{{MessageID: evil, Sender: evil, Recipient: evil, Service: evil, Version: evil}},
		Refusal: &console.Refusal{Incident: evil, Outcome: evil, Rule: evil, Sentence: console.Text{RU: evil, EN: evil}, Advice: console.Text{RU: evil, EN: evil}, Envelope: "/x",
			Findings: []console.Finding{{Rule: evil, XPath: evil, Found: evil, Expected: []string{evil}, Text: console.Text{RU: evil, EN: evil}}}},
	}, false, "")
	if err != nil || strings.ContainsAny(out.String(), "\x1b\u202e\x07") || strings.Count(out.String(), "⟨U+001B⟩") < 12 {
		t.Errorf("%v:\n%q", err, out.String())
	}
}

func TestAddressOfAConfiguration(t *testing.T) {
	for want, c := range map[string]adapter.Config{
		"http://127.0.0.1:7500": {Listen: "127.0.0.1:7500"}, "http://127.0.0.1:80": {Listen: "0.0.0.0:80"}, "http://127.0.0.1:81": {Listen: ":81"}, "http://127.0.0.1:82": {Listen: "[::]:82"},
		"https://10.0.0.1:443": {Listen: "10.0.0.1:443", TLS: adapter.TLSConfig{Certificate: "x"}}, "https://gate.example": {Listen: ":1", URL: "https://gate.example"},
	} {
		if got := addressOf(c); got != want {
			t.Errorf("%+v: %s, want %s", c, got, want)
		}
	}
}
