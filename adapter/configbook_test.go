package adapter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mezhved/adapter/yamlfile"
)

func configFile(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Join(dir, "mezhved.yaml")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"one.key", "two.key", "url", "tsa.pem", "t"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{"services", "parties"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

const plain = `
database: {url: 'postgres://mezhved@/mezhved?host=/run/postgresql'}
kafka: {private: bus}
signature: {off: true}
replyTo: {keys: [one.key]}
limits: {body: 20MB}
`

// TestEnvironment: a value of the environment stands over the file's, stands instead of
// what would contradict it, and mistakes name the variable.
func TestEnvironment(t *testing.T) {
	name := configFile(t, plain)
	dir := filepath.Dir(name)
	c, origin, err := LoadConfigUnder(name, []string{
		"MEZHVED_NODE=gate-7", "MEZHVED_DATABASE_URL_FILE=url", "MEZHVED_KAFKA_BROKERS=a:9092, b:9092", "MEZHVED_REPLY_TO_KEYS=two.key,one.key",
		"MEZHVED_LISTEN=", "MEZHVED_STORM=7", "MEZHVED_TEST_REAL_KAFKA=1", // and what other commands take:
		"MEZHVED_URL=http://bus.example/", "MEZHVED_DESK_URL=x", "MEZHVED_TOKEN_FILE=x", "MEZHVED_FILE_STORE=x", "MEZHVED_TEST=1", "MEZHVED_VERSION=1", "MEZHVED_MAVEN=x", "HOME=/root",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct{ setting, got, want, from string }{
		{"node", c.Node, "gate-7", "MEZHVED_NODE"},
		{"database.urlFile", c.Database.URLFile, dir + "/url", "MEZHVED_DATABASE_URL_FILE"},
		{"database.url", c.Database.URL, "", ""},
		{"kafka.brokers", strings.Join(c.Kafka.Brokers, " "), "a:9092 b:9092", "MEZHVED_KAFKA_BROKERS"},
		{"kafka.private", c.Kafka.Private, "", ""},
		{"replyTo.keys", strings.Join(c.ReplyTo.Keys, " "), dir + "/two.key " + dir + "/one.key", "MEZHVED_REPLY_TO_KEYS"},
		{"listen", c.Listen, "127.0.0.1:7500", ""},
		{"limits.body", yamlfile.Text(reflect.ValueOf(c.Limits.Body)), "20MB", name + ":6"},
	} {
		if one.got != one.want {
			t.Errorf("%s is %q, want %q", one.setting, one.got, one.want)
		}
		if got := origin(one.setting); one.want != "" && got != one.from {
			t.Errorf("%s stands in %q, want %q", one.setting, got, one.from)
		}
	}

	_, _, err = LoadConfigUnder(name, []string{"MEZHVED_DATABSE_URL_FILE=/secrets/url", "MEZHVED_DATABASE_URL=postgres://mezhved:secret@host/mezhved", "MEZHVED_LISTEN=nowhere"})
	if err == nil {
		t.Fatal("mistakes are taken")
	}
	for _, want := range []string{
		"MEZHVED_DATABSE_URL_FILE: the environment gives no such setting; MEZHVED_DATABASE_URL_FILE is perhaps meant",
		"MEZHVED_DATABASE_URL: database.url: holds a password", "MEZHVED_LISTEN: listen: ",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not told: %s\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "secret@") {
		t.Errorf("a secret is told: %v", err)
	}
}

// TestMisspelled: a setting that there is not is answered with the nearest that there is.
func TestMisspelled(t *testing.T) {
	_, _, err := LoadConfigUnder(configFile(t, plain+"limts: {}\nqueues: {laese: 1m}\nfrobnicate: 1\n"), nil)
	for _, want := range []string{"limts: no such setting; limits is perhaps meant; known here: ", "queues.laese: no such setting; lease is perhaps meant", "frobnicate: no such setting; known here: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("not told: %s\n%v", want, err)
		}
	}
}

// TestSettingsAreTold: every setting is in the sample with what it may say, the variables
// are those that docs/install.md lists, and what comes into force with a reload is told
// there too.
func TestSettingsAreTold(t *testing.T) {
	listed := map[string]bool{}
	for _, page := range []string{"../docs/install.md", "../docs/install.ru.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		named := map[string]bool{}
		for _, name := range regexp.MustCompile(`MEZHVED_[A-Z_0-9]+`).FindAllString(string(text), -1) {
			named[name] = true
		}
		for name := range Variables() {
			if !named[name] {
				t.Errorf("%s does not list %s", page, name)
			}
			delete(named, name)
		}
		for name := range named {
			if !slices.Contains([]string{"MEZHVED_VERSION"}, name) { // of compose.yaml
				t.Errorf("%s lists %s, which gives no setting", page, name)
			}
		}
		for _, s := range Settings() {
			if group, _, _ := strings.Cut(s.Path, "."); s.Reloads && !strings.Contains(string(text), "`"+s.Path+"`") && !strings.Contains(string(text), "`"+group+"`") && !strings.Contains(string(text), "`"+s.Path[:max(strings.LastIndex(s.Path, "."), 0)]+"`") {
				t.Errorf("%s does not say that %s comes into force with a reload", page, s.Path)
			}
		}
	}
	reload := map[string]bool{}
	for _, s := range Settings() {
		if !strings.Contains(sample, s.Path[strings.LastIndex(s.Path, ".")+1:]+":") {
			t.Errorf("the sample has no %s", s.Path)
		}
		reload[s.Path] = s.Reloads
		listed[s.Path] = true
	}
	for setting, want := range map[string]bool{
		"limits.perSecond": true, "limits.memory": false, "console.tokens": true, "retention.content": true, "journal.retention.personal": true, "tls.certificate": true,
		"listen": false, "database.urlFile": false, "kafka.brokers": false, "console.zone": false, "node": false, "queues.limit": true, "queues.lease": false,
	} {
		if got := reload[setting]; got != want || !listed[setting] {
			t.Errorf("%s comes into force with a reload: %v, want %v", setting, got, want)
		}
	}
}

// TestShow: what is shown is a file that means the same, and no secret is in it.
func TestShow(t *testing.T) {
	name := configFile(t, plain+"journal: {timestamp: {url: 'http://user:secret@tsa.example/', anchors: [tsa.pem]}}\nconsole: {tokens: [{name: duty, role: operator, file: t}], zone: Europe/Moscow}\n")
	c, origin, err := LoadConfigUnder(name, []string{"MEZHVED_NODE=gate-7"})
	if err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	if err := c.Show(&shown, origin); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"node: gate-7 .* # MEZHVED_NODE\n", "  body: 20MB .* # .*mezhved.yaml:6\n", "  depth: 100 .* # default\n", "  # urlFile: .* # not set\n"} {
		if !regexp.MustCompile(want).MatchString(shown.String()) {
			t.Errorf("not shown: %s\n%s", want, shown.String())
		}
	}
	if strings.Contains(shown.String(), "secret@") {
		t.Errorf("a secret is shown:\n%s", shown.String())
	}
	again, _, err := LoadConfigUnder(configFile(t, shown.String()), nil)
	if err != nil {
		t.Fatalf("what is shown is no configuration: %v\n%s", err, shown.String())
	}
	c.Journal.Timestamp.URL, again.Journal.Timestamp.URL = "", "" // shown without its password
	if !reflect.DeepEqual(again, c) {
		t.Errorf("what is shown means\n%+v\nwant\n%+v", again, c)
	}

	shown.Reset()
	if err := ShowDefaults(&shown); err != nil {
		t.Fatal(err)
	}
	var defaults Config
	if f := yamlfile.Read(configFile(t, shown.String()), &defaults); len(f.Findings) > 0 {
		t.Errorf("the defaults are no file: %v\n%s", f.Findings, shown.String())
	}
	if got, want := defaults.WithDefaults(), (Config{}).WithDefaults(); !reflect.DeepEqual(got, want) {
		t.Errorf("the defaults mean\n%+v\nwant\n%+v", got, want)
	}
}

// TestSchema: the schema knows every setting, and nothing else in any group.
func TestSchema(t *testing.T) {
	encoded, err := ConfigSchema()
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(encoded, &schema); err != nil {
		t.Fatal(err)
	}
	for _, s := range Settings() {
		in := schema
		for step := range strings.SplitSeq(s.Path, ".") {
			if in["additionalProperties"] != false {
				t.Errorf("a group of %s takes anything", s.Path)
			}
			next, ok := in["properties"].(map[string]any)[step].(map[string]any)
			if !ok {
				t.Fatalf("the schema has no %s", s.Path)
			}
			in = next
		}
		if n, ok := in["default"].(float64); ok {
			in["default"] = json.Number(strconv.FormatFloat(n, 'f', -1, 64))
		}
		if s.Default != "" && fmt.Sprint(in["default"]) != s.Default {
			t.Errorf("%s: default %v, want %s", s.Path, in["default"], s.Default)
		}
		// An editor offers the default as it is, and says what the setting is.
		is := map[reflect.Type]string{reflect.TypeFor[string](): "string", reflect.TypeFor[bool](): "boolean", reflect.TypeFor[json.Number](): "integer"}[reflect.TypeOf(in["default"])]
		switch kind := in["type"].(type) {
		case string:
			if s.Default != "" && kind != is && (kind != "number" || is != "integer") {
				t.Errorf("%s is a %s, and its default %v is none", s.Path, kind, in["default"])
			}
		case []any:
			if s.Default != "" && !slices.Contains(kind, any(is)) {
				t.Errorf("%s is one of %v, and its default %v is none", s.Path, kind, in["default"])
			}
		}
		if s.Meaning == "" {
			t.Errorf("%s has no meaning: give it one in testdata/mezhved.yaml", s.Path)
		}
	}
}

// TestConfigurationsOfDeploy: what the packages, compose.yaml and others ship is
// understood.
func TestConfigurationsOfDeploy(t *testing.T) {
	for _, name := range []string{"../deploy/mezhved.yaml", "../deploy/compose/gateway/mezhved.yaml"} {
		if _, _, err := LoadConfigUnder(name, nil); err != nil && regexp.MustCompile(`:\d+:\d+: `).MatchString(strings.ReplaceAll(err.Error(), "no such file", "")) {
			for line := range strings.Lines(err.Error()) {
				if !strings.Contains(line, "no such file") { // keys are made later
					t.Errorf("%s: %s", name, line)
				}
			}
		}
	}
}
