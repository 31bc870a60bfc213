package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mezhved/adapter"
)

// What serve would refuse, doctor calls bad, in the same words, and neither asks
// the database for that.
func TestDoctorFindsWhatServeRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := prepareDemo(dir, "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "mezhved.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sample := strings.NewReplacer("  private: postgres\n", "  url: postgres://nobody@127.0.0.1:1/none\n").Replace(string(text))
	junk := filepath.Join(dir, "keys", "junk")
	if err := os.WriteFile(junk, []byte("junk\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const door = "tls:\n  certificate: keys/bus/cert.pem\n  key: "
	for what, c := range map[string]struct{ old, new, says, names string }{
		"no certificate":             {"services: services\n", "services: services\ntls:\n  certificate: keys/junk\n  key: keys/bus/key.pem\n", "find any PEM data", "junk"},
		"key of another certificate": {"services: services\n", "services: services\n" + door + "parties/FNS01/key.pem\n", "private key does not match", "FNS01"},
		"no authorities":             {"services: services\n", "services: services\n" + door + "keys/bus/key.pem\n  clientCAs: keys/junk\n", "holds no certificate", "junk"},
		"no certificate of FTP":      {"ftp:\n", "ftp:\n  certificate: keys/junk\n  key: keys/bus/key.pem\n", "find any PEM data", "junk"},
		"no roots":                   {"services: services\n", "services: services\ntrust:\n  roots: [keys/junk]\n", "trust.roots: ", "junk"},
		"no algorithm":               {"services: services\n", "services: services\ntrust:\n  algorithms: [rot13]\n", `"rot13"`, "rot13"},
		"short reply key":            {"keys/replyto.key", "keys/junk", "replyTo.keys: ", "junk"},
		"short seal key":             {"kafka:\n", "kafka:\n  sealKeys: [keys/junk]\n", "kafka.sealKeys: ", "junk"},
		"no key of the journal":      {"keys/journal.key", "keys/junk", "make one with mezhved keys journal", "junk"},
		"no key of probes":           {"services: services\n", "services: services\nprobe: {party: MFC01, key: keys/junk, certificate: keys/bus/cert.pem}\n", "probe: ", "junk"},
		"no policy":                  {"journal:\n", "journal:\n  policy: keys/junk\n", "journal.policy: ", "junk"},
	} {
		t.Run(what, func(t *testing.T) {
			mistaken := strings.Replace(sample, c.old, c.new, 1)
			if mistaken == sample {
				t.Fatalf("%q is not in the configuration", c.old)
			}
			if err := os.WriteFile(file, []byte(mistaken), 0o644); err != nil {
				t.Fatal(err)
			}
			config, err := adapter.LoadConfig(file)
			if err != nil {
				t.Fatal(err)
			}
			n, err := openNode(t.Context(), config, slog.New(slog.DiscardHandler))
			if err == nil {
				n.close()
				t.Fatal("it opened")
			}
			var e *exitError
			if !errors.As(err, &e) || e.code != exitUsage || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.names) {
				t.Errorf("serve says %v", err)
			}
			var out, errOut bytes.Buffer
			if code := run([]string{"doctor", "--config", file}, strings.NewReader(""), &out, &errOut); code != exitNo || !strings.Contains(out.String(), err.Error()) {
				t.Errorf("doctor, exit code %d, does not say %v:\n%s", code, err, out.String())
			}
		})
	}
}
