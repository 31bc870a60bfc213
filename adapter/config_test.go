package adapter

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/registry"
	"mezhved/adapter/yamlfile"
)

// sampleFolder is the sample configuration with the files that it names.
func sampleFolder(t *testing.T, change func([]byte) []byte) string {
	t.Helper()
	src, err := os.ReadFile("testdata/mezhved.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		src = change(src)
	}
	dir := t.TempDir()
	for _, name := range []string{"tls.pem", "tls.key", "partners.pem", "database.url", "kafka-ca.pem", "kafka.password", "journal.key", "bus.key", "bus.pem", "replyto.key", "roots.pem", "issuer.crl", "kafka.pem", "kafka.key", "bus.password", "tsa.pem"} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("x"), 32), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"services", "parties", "files"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "mezhved.yaml")
	if err := os.WriteFile(file, src, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSampleConfig(t *testing.T) {
	file := sampleFolder(t, nil)
	c, err := LoadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Database.URLFile, filepath.Join(filepath.Dir(file), "database.url"); got != want {
		t.Errorf("database.urlFile %s, want %s", got, want)
	}
	if c.Node != "gate-1" || !c.Kafka.TLS || c.Kafka.Brokers[2] != "kafka-3:9093" || c.Queues.Lease.D() != 15*time.Minute {
		t.Errorf("read as %+v", c)
	}
}

// The sample names every setting, and what it shows as a default is one.
func TestSampleConfigIsWholeAndTrue(t *testing.T) {
	src, err := os.ReadFile("testdata/mezhved.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var settings func(typ reflect.Type, path string)
	settings = func(typ reflect.Type, path string) {
		for f := range typ.Fields() {
			tag := f.Tag.Get("yaml")
			if tag == "-" { // no file has it
				continue
			}
			if f.Type.Kind() == reflect.Struct {
				settings(f.Type, tag)
			} else if !regexp.MustCompile(`(?m)^\s*(# )?` + tag + `:`).Match(src) {
				t.Errorf("the sample does not show %s.%s", path, tag)
			}
		}
	}
	settings(reflect.TypeFor[Config](), "")

	// Defaults, uncommented, read as what an empty file means.
	section := ""
	var b strings.Builder
	value := regexp.MustCompile(`^(\s*)# (\w+): ([^#]*?)(\s+#.*)?$`)
	notDefault := map[string]bool{"url": true, "private": true, "certificate": true, "key": true, "replication": true, "passwordFile": true, "off": true, "roots": true, "authorities": true, "crls": true, "ignoreDates": true, "anyUuid": true, "strict": true, "origin": true, "vault": true, "policy": true, "mldsa": true, "intermediates": true, "ocsp": true, "failOpen": true, "algorithms": true, "public": true, "ports": true, "sealKeys": true, "skip": true, "trustedProxies": true,
		"server": true, "tls": true, "cas": true, "user": true, "from": true}
	for s := bufio.NewScanner(bytes.NewReader(src)); s.Scan(); {
		line := s.Text()
		if m := regexp.MustCompile(`^(\w+):\s*(#.*)?$`).FindStringSubmatch(line); m != nil {
			section = m[1]
			b.WriteString(section + ":\n")
		}
		if m := value.FindStringSubmatch(line); m != nil && !notDefault[m[2]] {
			b.WriteString(m[1] + m[2] + ": " + m[3] + "\n")
		}
	}
	var shown Config
	f := yamlfile.New("sample")
	f.Decode([]byte(b.String()), &shown)
	if len(f.Findings) > 0 {
		t.Fatalf("%v\n%s", f.Findings, b.String())
	}
	if got, want := shown.WithDefaults(), (Config{}).WithDefaults(); !reflect.DeepEqual(got, want) {
		t.Errorf("the sample shows\n%+v\nthe defaults are\n%+v", got, want)
	}
	if shown.Limits.Body == 0 || shown.Times.Shutdown == 0 || shown.Kafka.MaxRecord == 0 {
		t.Errorf("defaults were not found in the sample: %+v", shown)
	}
}

// What is no address of a proxy, and no way in which one tells its caller, is named.
func TestProxiesAreNamed(t *testing.T) {
	for _, bad := range []Config{{TrustedProxies: []string{"10.1.2.0/24", "proxy.example"}}, {ProxyHeader: "X-Real-IP"}} {
		f := yamlfile.New("c")
		bad.WithDefaults().check(f)
		found := false
		for _, one := range f.Findings {
			found = found || strings.Contains(one.Text, "proxy.example") || strings.Contains(one.Text, "X-Real-IP")
		}
		if !found {
			t.Errorf("%v %q: not named: %v", bad.TrustedProxies, bad.ProxyHeader, f.Findings)
		}
	}
}

// The window for polls is five minutes unless a configuration says otherwise; one
// that turned it off keeps it off.
func TestPollAgeOfAConfig(t *testing.T) {
	for line, want := range map[string]time.Duration{"": 5 * time.Minute, "pollAge:": 5 * time.Minute, "pollAge: 0s": 0, "pollAge: 0": 0, "pollAge: 90s": 90 * time.Second} {
		c, err := LoadConfig(sampleFolder(t, func(src []byte) []byte {
			return bytes.Replace(src, []byte("  # pollAge: 5m"), []byte("  "+line+" #"), 1)
		}))
		if err != nil || c.Limits.PollAge.D() != want {
			t.Errorf("%q: %v, %v, want %v", line, c.Limits.PollAge, err, want)
		}
	}
}

// All mistakes are told at once, each with its line.
func TestConfigMistakes(t *testing.T) {
	file := sampleFolder(t, func(src []byte) []byte {
		for _, r := range [][2]string{
			{"listen: 127.0.0.1:7500", "listen: 7500"},
			{"# lease: 15m", "lease: soon"},
			{"# depth: 100", "depth: deep"},
			{"tls: true", "tls: yes please"},
			{"passwordFile: kafka.password", "passwordFile: nowhere.password"},
			{"sasl: SCRAM-SHA-512", "sasl: KERBEROS"},
			{"urlFile: database.url", "url: postgres://me:secret@h/db"},
			{"keys: [replyto.key]", "keyes: [replyto.key]"},
			{"  requireClient: false", "  requireClient: false\n  requireClient: true"},
			{"# shelfLife: 24h", "shelfLife: 1s"}, {"faults: 1 ", "faults: 0.001 "}, {"inTime: 99 ", "inTime: 101 "},
			{"# pollAge: 5m", "pollAge: 5ms"},
			{"dir: files ", "dir: nofiles "},
			{"# idle: 24h", "idle: 1m"},
			{"# public: 10.1.2.3", "public: files.example"},
			{"# ports: 50000-50099", "ports: 50099-50000"},
			{"# certificate: ftp.pem", "certificate: nowhere.pem"},
		} {
			if !bytes.Contains(src, []byte(r[0])) {
				t.Fatalf("%q is not in the sample", r[0])
			}
			src = bytes.Replace(src, []byte(r[0]), []byte(r[1]), 1)
		}
		return src
	})
	_, err := LoadConfig(file)
	var found yamlfile.Findings
	if !errors.As(err, &found) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{
		"listen: an address", "queues.lease: a period such as", "limits.depth: a whole number", "kafka.tls: true or false",
		"nowhere.password", "kafka.sasl: PLAIN", "database.url: holds a password", "replyTo.keyes: no such setting; keys is perhaps meant; known here: keys",
		"replyTo.keys: at least one file", "is given twice", "messageId.shelfLife: is shorter", "quality.faults: ", "quality.inTime: ", "limits.pollAge: is shorter",
		"files.dir: ", "files.idle: is shorter", "ftp.public: an IPv4", "ftp.ports: a range", "nowhere.pem", "ftp: certificate and key",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not among the mistakes:\n%v", want, err)
		}
	}
	for _, one := range found {
		if one.Line == 0 {
			t.Errorf("no line: %s", one)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Error("the password is repeated")
	}
}

func TestConfigThatIsNoYAML(t *testing.T) {
	for _, src := range []string{"listen: [", "a: b: c", "\t", "- list"} {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadConfig(file); err == nil {
			t.Errorf("%q was read", src)
		}
	}
	if _, err := LoadConfig("testdata/none.yaml"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a missing file: %v", err)
	}
}

// The keys that a configuration names are opened; a caller's chain is asked for
// where roots are given.
func TestKeysOfAConfig(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := Config{Signature: SignatureConfig{Key: filepath.Join(dir, "k.pem"), Certificate: filepath.Join(dir, "c.pem")}, Trust: TrustConfig{Roots: []string{filepath.Join(dir, "c.pem")}}}
	for file, block := range map[string]*pem.Block{c.Signature.Key: {Type: "PRIVATE KEY", Bytes: pkcs8}, c.Signature.Certificate: {Type: "CERTIFICATE", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.LoadSigner(t.Context())
	if err != nil || !bytes.Equal(s.Certificate().DER, der) {
		t.Errorf("signer %v, %v", s, err)
	}
	if _, revocation, err := c.LoadVerifier(time.Now); err != nil || revocation != nil {
		t.Errorf("verifier: %v, revocation %v", err, revocation)
	}
	c.Trust.CRLs = []string{filepath.Join(dir, "none.crl")}
	if _, revocation, err := c.LoadVerifier(time.Now); err != nil || revocation == nil {
		t.Errorf("verifier with revocation: %v", err)
	}
	c.Trust.Roots = []string{filepath.Join(dir, "none.pem"), c.Signature.Key}
	if _, _, err := c.LoadVerifier(time.Now); err == nil || !strings.Contains(err.Error(), "none.pem") || !strings.Contains(err.Error(), "k.pem") {
		t.Errorf("bad roots: %v", err)
	}
	if s, err := (Config{Signature: SignatureConfig{Off: true}}).LoadSigner(t.Context()); s != nil || err != nil {
		t.Errorf("off: %v %v", s, err)
	}
}

// Content is kept for as long as its service says, else as its direction, else as all
// content; a service with versions that differ, for the longest of them.
func TestHowLongContentIsKept(t *testing.T) {
	const day = 24 * time.Hour
	services := t.TempDir()
	for version, retention := range map[string]string{"own/1": "{requests: 90d, answers: 10d}", "two/1": "{requests: 5d}", "two/2": "{requests: 7d}", "none/1": "{}"} {
		dir := filepath.Join(services, version)
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "service.yaml"), []byte("retention: "+retention+"\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	c, _ := registry.Lint(services, services, time.Now()) // what else they lack does not matter here
	k := KeepConfig{Content: yamlfile.Period(1000 * day), Answers: yamlfile.Period(365 * day)}
	for _, one := range []struct {
		keep    KeepConfig
		service string
		request bool
		want    time.Duration
	}{
		{k, "own", true, 90 * day}, {k, "own", false, 10 * day}, {k, "two", true, 7 * day}, {k, "two", false, 365 * day},
		{k, "none", true, 1000 * day}, {k, "none", false, 365 * day}, {k, "there is no such service", true, 1000 * day},
		{KeepConfig{}, "none", true, 0}, {KeepConfig{}, "own", false, 10 * day},
	} {
		if got := one.keep.For(c, one.service, one.request); got != one.want {
			t.Errorf("%s, request %v: %s, want %s", one.service, one.request, got, one.want)
		}
	}
	for what, bad := range map[string]KeepConfig{
		"retention.content": {Content: yamlfile.Period(time.Hour), Ground: "order 7"}, "retention.refused": {Refused: yamlfile.Period(time.Hour)}, "retention.ground": {Answers: yamlfile.Period(day)},
	} {
		f := yamlfile.New("c")
		(Config{Keep: bad}).WithDefaults().checkKeep(f)
		if len(f.Findings) != 1 || !strings.Contains(f.Findings[0].String(), what) {
			t.Errorf("%s: %v", what, f.Findings)
		}
	}
}

// The class of keys of a content is the name of a file, whatever a service is called,
// and two services never share one.
func TestContentClassesAreNamesOfFiles(t *testing.T) {
	seen := map[string]string{}
	for _, service := range []string{"egrn-extract", "egrn-extract.request", "Выписка", "a/b", "../x", "", ".hidden", "x-0123", strings.Repeat("n", 300), strings.Repeat("n", 301)} {
		for _, d := range []Direction{DirRequest, DirResponse} {
			class := ContentClass(service, d)
			if len(class) > 150 || strings.ContainsAny(class, "/\\ ") || class[0] == '.' {
				t.Errorf("%q %s: class %q", service, d, class)
			}
			if other, ok := seen[class]; ok {
				t.Errorf("%q %s and %s share the class %q", service, d, other, class)
			}
			seen[class] = service + " " + string(d)
		}
	}
	for _, same := range [][2]Direction{{DirRequest, DirBroadcast}, {DirResponse, DirRejection}, {DirResponse, DirStatus}, {DirResponse, DirAsync}} {
		if ContentClass("s", same[0]) != ContentClass("s", same[1]) {
			t.Errorf("%s and %s are of different classes", same[0], same[1])
		}
	}
}
