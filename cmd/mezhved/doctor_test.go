package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/embedded"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/journal/remote"
	"mezhved/adapter/kafka"
	"mezhved/adapter/postgres"
	"mezhved/adapter/registry"
	"mezhved/adapter/vault"
	"mezhved/adapter/yamlfile"
	"mezhved/cmd/internal/shell"
)

// Fewer brokers than copies are no question of the user's rights.
func TestDoctorSaysThatBrokersAreMissing(t *testing.T) {
	k, err := embedded.StartKafka(embedded.KafkaOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Stop() })
	for _, tried := range []struct { // in this order: what was made once is there
		replication int
		want        string
	}{{3, "kafka.replication"}, {1, "kafka.good"}} {
		replication, want := tried.replication, tried.want
		c := adapter.Config{Kafka: adapter.KafkaConfig{Brokers: k.Brokers(), Replication: replication}}.WithDefaults()
		r := &report{}
		r.bus(context.Background(), c, nil)
		if len(r.checks) != 1 || r.checks[0].Code != want {
			t.Errorf("with kafka.replication: %d and one broker: %+v, want %s", replication, r.checks, want)
		}
	}
}

// A topic that bears content in the clear is held against how long that content may
// be kept.
func TestDoctorHoldsTopicsAgainstRetention(t *testing.T) {
	k, err := embedded.StartKafka(embedded.KafkaOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Stop() })
	b, err := kafka.Open(kafka.Options{Brokers: k.Brokers(), Partitions: 1, Replication: 1, Retention: 7 * 24 * time.Hour, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.Ensure(context.Background(), []adapter.Topic{{Name: "m.requests.FNS01"}}); err != nil {
		t.Fatal(err)
	}
	states, err := b.Describe(context.Background(), []string{"m.requests.FNS01", "m.requests.not-there"})
	if err != nil {
		t.Fatal(err)
	}
	if _, there := states["m.requests.not-there"]; there || states["m.requests.FNS01"].Replication != 1 || states["m.requests.FNS01"].MaxRecord == 0 {
		t.Errorf("described as %+v", states)
	}
	for most, want := range map[time.Duration][2]string{
		0:                   {"good", "168h"},
		30 * 24 * time.Hour: {"good", "168h"},
		3 * 24 * time.Hour:  {"bad", "set its retention.ms to 259200000"},
	} {
		r := &report{}
		r.unsealed(states, map[string]time.Duration{"m.requests.FNS01": most, "m.requests.not-there": most})
		if len(r.checks) != 1 || r.checks[0].State != want[0] || !strings.Contains(r.checks[0].Detail, want[1]) {
			t.Errorf("content kept for %s: %+v, want %v", most, r.checks, want)
		}
	}
	// Which topics those are: of providers that read them, and all where content is plain.
	config, err := prepareDemo(t.TempDir(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	catalog, findings := registry.Lint(config.Services, config.Parties, time.Now())
	if bad := findings.Errors(); len(bad) > 0 {
		t.Fatal(bad)
	}
	keep := adapter.KeepConfig{Content: yamlfile.Period(48 * time.Hour), Answers: yamlfile.Period(24 * time.Hour)}
	sealed := (adapter.KafkaConfig{Prefix: "m", Content: adapter.ContentSealed}).Unsealed(catalog, keep)
	plain := (adapter.KafkaConfig{Prefix: "m", Content: adapter.ContentPlain}).Unsealed(catalog, keep)
	if len(plain) <= len(sealed) {
		t.Errorf("sealed %v, plain %v", sealed, plain)
	}
	for topic, most := range plain {
		if want := map[bool]time.Duration{true: 48 * time.Hour, false: 24 * time.Hour}[strings.HasPrefix(topic, "m.requests.")]; most != want {
			t.Errorf("%s: %s, want %s", topic, most, want)
		}
	}
}

// What of a topic loses or stops messages is told, once for all that have it.
func TestDoctorLooksAtHowTopicsAreKept(t *testing.T) {
	good := kafka.TopicState{Partitions: 3, Replication: 3, InSync: 3, MinInSync: 2, Kept: 7 * 24 * time.Hour, MaxRecord: 1 << 20}
	for _, c := range []struct {
		change func(*kafka.TopicState)
		want   string
	}{
		{func(*kafka.TopicState) {}, "good: copies, acknowledgements"},
		{func(s *kafka.TopicState) { s.Replication, s.InSync, s.MinInSync = 1, 1, 1 }, "advice: the loss of one broker"},
		{func(s *kafka.TopicState) { s.Replication, s.InSync, s.MinInSync = 2, 2, 2 }, "advice: nothing gets on while one broker is away"},
		{func(s *kafka.TopicState) { s.MinInSync = 1 }, "bad: min.insync.replicas is 1"},
		{func(s *kafka.TopicState) { s.MinInSync = 3 }, "advice: min.insync.replicas is 3 of 3"},
		{func(s *kafka.TopicState) { s.InSync = 2 }, "advice: 2 of 3 copies are up to date"},
		{func(s *kafka.TopicState) { s.Unclean = true }, "bad: unclean.leader.election.enable"},
		{func(s *kafka.TopicState) { s.Kept = time.Hour }, "bad: retention.ms is 3600000"},
		{func(s *kafka.TopicState) { s.Kept = kafka.Forever }, "good: copies"},
		{func(s *kafka.TopicState) { s.MaxRecord = 1000 }, "bad: max.message.bytes is 1000"},
	} {
		bad := good
		c.change(&bad)
		r := &report{}
		r.topics(map[string]kafka.TopicState{"m.a": bad, "m.b": bad, "m.c": bad, "m.d": bad}, 900<<10)
		state, said, _ := strings.Cut(c.want, ": ")
		found := 0
		for _, check := range r.checks {
			if check.State == state && strings.Contains(check.Detail, said) && (state == "good" || strings.HasPrefix(check.Detail, "m.a, m.b, m.c and 1 more: ")) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("want %q once: %+v", c.want, r.checks)
		}
	}
}

// A place in kafka.skip that there is not passes over nothing, which is told before somebody
// waits for it.
func TestDoctorLooksAtWhatIsPassedOver(t *testing.T) {
	for text, want := range map[string]string{"m.a/2@7": "advice", "m.a/3@7": "bad", "m.b/0@7-9": "bad"} {
		skip, err := adapter.ParseSkip(text)
		if err != nil {
			t.Fatal(err)
		}
		r := &report{}
		r.skips(map[string]kafka.TopicState{"m.a": {Partitions: 3}}, []adapter.Skip{skip})
		if len(r.checks) != 1 || r.checks[0].State != want || !strings.Contains(r.checks[0].Detail, text) {
			t.Errorf("%s: %+v, want %s", text, r.checks, want)
		}
	}
}

// What is kept for longer than it can be found is told.
func TestDoctorSaysWhatCouldNotBeErased(t *testing.T) {
	config, err := prepareDemo(t.TempDir(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	catalog, findings := registry.Lint(config.Services, config.Parties, time.Now())
	if bad := findings.Errors(); len(bad) > 0 {
		t.Fatal(bad)
	}
	days := func(n int) yamlfile.Period { return yamlfile.Period(time.Duration(n) * 24 * time.Hour) }
	for _, c := range []struct {
		archive, personal, content, answers int
		want                                string
	}{
		{0, 0, 0, 0, ""},
		{1095, 1095, 1095, 365, ""},
		{365, 1095, 1095, 365, "archive"},
		{365, 365, 0, 0, "archive personal"},
		{365, 0, 90, 0, "archive"}, // the values stay
		{0, 90, 365, 30, "personal"},
		{0, 90, 30, 365, "personal"},
		{400, 365, 365, 365, ""},
	} {
		config.Journal.Retention = adapter.RetentionConfig{Archive: days(c.archive), Personal: days(c.personal)}
		config.Keep = adapter.KeepConfig{Content: days(c.content), Answers: days(c.answers)}
		r, told := &report{}, []string{}
		r.erasable(config, catalog)
		for _, check := range r.checks {
			about, _, _ := strings.Cut(strings.TrimPrefix(check.Detail, "journal.retention."), ":")
			told = append(told, about)
		}
		if got := strings.Join(told, " "); got != c.want {
			t.Errorf("%+v: told of %q, want %q", c, got, c.want)
		}
	}
}

// Whether content is sealed, and with what this node has.
func TestDoctorSaysWhetherContentIsSealed(t *testing.T) {
	keys, err := vault.Open(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	other, err := vault.Open(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	identity, err := keys.Identity()
	if err != nil {
		t.Fatal(err)
	}
	own, err := other.Identity()
	if err != nil {
		t.Fatal(err)
	}
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	lacks := func(name string, want bool, marks map[string][]byte) {
		t.Helper()
		r := &report{}
		r.vault(dir, &postgres.Examination{Vault: own, Since: past, Keys: marks})
		if len(r.checks) != 1 || (r.checks[0].Code == "vault.key-missing" && r.checks[0].State == "bad" && strings.Contains(r.checks[0].Detail, name)) != want {
			t.Errorf("%s: %+v", name, r.checks)
		}
	}
	lacks("personal-2026-11.key", true, map[string][]byte{"personal-2026-11.key": make([]byte, 16)})
	if err := other.Check("personal-2026-11.key"); err != nil {
		t.Fatal(err)
	}
	lacks("personal-2026-11.key", true, map[string][]byte{"personal-2026-11.key": make([]byte, 16)}) // another one
	mark, err := other.Mark("personal-2026-11.key")
	if err != nil {
		t.Fatal(err)
	}
	lacks("personal-2026-11.key", false, map[string][]byte{"personal-2026-11.key": mark})
	if err := os.WriteFile(filepath.Join(dir, "personal-2026-11.key"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	lacks("personal-2026-11.key", true, map[string][]byte{"personal-2026-11.key": mark})
	for _, c := range []struct {
		dir, known string
		since      time.Time
		state      string
		says       string
	}{
		{dir, own, past, "good", "is sealed;"}, {dir, own, future, "good", "is sealed from"}, {dir, identity, past, "bad", identity}, {t.TempDir(), own, past, "bad", "has no vault"}, {filepath.Join(t.TempDir(), "away"), own, past, "bad", "is not there"},
		{"", own, past, "bad", "hand none"}, {"", own, future, "advice", "no node seals"}, {"", "", past, "advice", "no node seals"},
	} {
		r := &report{}
		r.vault(c.dir, &postgres.Examination{Vault: c.known, Since: c.since})
		if len(r.checks) != 1 || r.checks[0].State != c.state || !strings.Contains(r.checks[0].Detail, c.says) {
			t.Errorf("%+v: %+v", c, r.checks)
		}
	}
}

// How long the certificates of HTTP and FTP doors are good, each once.
func TestDoctorSaysWhenDoorsCertificatesEnd(t *testing.T) {
	dir := t.TempDir()
	certificate := func(name string, left time.Duration) adapter.TLSConfig {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(left)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		c := adapter.TLSConfig{Certificate: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
		for file, block := range map[string]*pem.Block{c.Certificate: {Type: "CERTIFICATE", Bytes: der}, c.Key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
			if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	long, short, ended := certificate("long", 365*24*time.Hour), certificate("short", 7*24*time.Hour), certificate("ended", -time.Hour)
	for _, c := range []struct {
		doors, ftp adapter.TLSConfig
		want       string
	}{
		{long, short, "doors.good ftp-door.ends"}, {short, ended, "doors.ends ftp-door.ended"}, {long, long, "doors.good"}, {adapter.TLSConfig{}, long, "ftp-door.good"}, {ended, adapter.TLSConfig{}, "doors.ended"},
	} {
		r := &report{}
		r.ends(c.doors, "tls.certificate", "doors.good", "doors.ends", "doors.ended")
		r.ftpEnds(adapter.Config{TLS: c.doors, FTP: adapter.FTPConfig{Certificate: c.ftp.Certificate, Key: c.ftp.Key}, Files: adapter.FilesConfig{Dir: dir}})
		var codes []string
		for _, one := range r.checks {
			codes = append(codes, one.Code)
		}
		if got := strings.Join(codes, " "); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// What to do about a log that was stopped is said once, also where its reason says it.
func TestDoctorSaysOnceHowToReopen(t *testing.T) {
	dir := t.TempDir()
	secret, _, err := journal.NewKey("journal.test/doctor")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "journal.key"), []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, why := range []string{"two logs were signed", clerk.RestoredWhy("2026-03-02T00:00:00Z", "20260302")} {
		r := &report{}
		r.joins(adapter.JournalConfig{Key: filepath.Join(dir, "journal.key")}, clerk.Head{Origin: "journal.test/doctor", Stopped: why})
		if len(r.checks) != 1 || r.checks[0].Code != "journal.stopped" || strings.Count(r.checks[0].Detail, "mezhved journal reopen") != 1 {
			t.Errorf("%+v", r.checks)
		}
	}
}

// Which nodes share the database, and whether they are of one build.
func TestDoctorNamesTheNodes(t *testing.T) {
	now := time.Now()
	node := func(name, version string, ago time.Duration) adapter.Node {
		return adapter.Node{Name: name, Build: adapter.Build{Version: version}, Started: now, Seen: now.Add(-ago), Ago: ago}
	}
	for _, c := range []struct {
		nodes []adapter.Node
		want  string
	}{
		{nil, "nodes.none"},
		{[]adapter.Node{node("a", "1.0.0", time.Second), node("b", "1.0.0", time.Minute)}, "nodes.seen nodes.seen"},
		{[]adapter.Node{node("a", "1.0.0", time.Second), node("b", "1.1.0", time.Minute)}, "nodes.seen nodes.seen nodes.mixed"},
		{[]adapter.Node{node("a", "1.0.0", time.Second), node("b", "0.9.0", 48*time.Hour)}, "nodes.seen"}, // it has gone
		{[]adapter.Node{node("a", "1.1.0", time.Second)}, "nodes.seen nodes.other-build"},
	} {
		r := &report{}
		r.nodes(c.nodes, shell.Build{Version: "1.0.0"})
		var codes []string
		for _, one := range r.checks {
			codes = append(codes, one.Code)
		}
		if got := strings.Join(codes, " "); got != c.want || r.bad() > 0 {
			t.Errorf("%+v: %s, want %s", c.nodes, got, c.want)
		}
	}
}

// Witnesses are asked whether they are there, and sign nothing for it.
func TestDoctorAsksWitnesses(t *testing.T) {
	_, public, err := journal.NewKey("journal.test/doctor")
	if err != nil {
		t.Fatal(err)
	}
	text, away := "log "+public+"\n", map[string]bool{}
	for _, name := range []string{"w1", "w2"} {
		secret, verifier, err := journal.NewKey(name)
		if err != nil {
			t.Fatal(err)
		}
		cosigner, err := audit.NewCosigner(t.TempDir(), secret, []string{public}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		witness := &remote.Witness{Cosigner: cosigner, Slog: slog.New(slog.DiscardHandler)}
		site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if away[name] {
				http.NotFound(w, r)
				return
			}
			witness.ServeHTTP(w, r)
		}))
		defer site.Close()
		text += "witness " + name + " " + verifier + " " + site.URL + "\n"
	}
	policy := filepath.Join(t.TempDir(), "policy")
	if err := os.WriteFile(policy, []byte(text+"group g 1 w1 w2\nquorum g\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"good good", "advice good", "advice advice bad"} {
		r := &report{}
		r.witnesses(t.Context(), adapter.JournalConfig{Policy: policy})
		var states []string
		for _, one := range r.checks {
			states = append(states, one.State)
		}
		if got := strings.Join(states, " "); got != want {
			t.Errorf("%v are away: %+v, want %s", away, r.checks, want)
		}
		if !away["w1"] {
			away["w1"] = true
		} else {
			away["w2"] = true
		}
	}
}

// Every code that the doctor can say is in docs/doctor.md, and no other.
func TestEveryCodeOfTheDoctorIsInTheBook(t *testing.T) {
	said := map[string]bool{"file.useless": true}
	for file, forms := range map[string]map[string]string{
		"doctor.go":                         {`r\.add\((?:state|"\w+"), "([a-z0-9.-]+)",`: "", `say\("\w+", "([a-z-]+)"`: "topics.", `"((?:doors|ftp-door)\.[a-z]+)"`: ""},
		"../../adapter/postgres/examine.go": {`x\.(?:bad|advise)\("([a-z-]+)"`: "database."},
		"../../adapter/postgres/try.go":     {`x\.(?:bad|advise)\("([a-z-]+)"`: "database."},
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for form, prefix := range forms {
			for _, m := range regexp.MustCompile(form).FindAllSubmatch(text, -1) {
				said[prefix+string(m[1])] = true
			}
		}
	}
	book, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9.-]+)` \\|").FindAllSubmatch(book, -1) {
		told[string(m[1])] = true
	}
	for code := range said {
		if !told[code] {
			t.Errorf("docs/doctor.md does not list %s", code)
		}
	}
	for code := range told {
		if !said[code] {
			t.Errorf("docs/doctor.md lists %s, which nobody says", code)
		}
	}
}
