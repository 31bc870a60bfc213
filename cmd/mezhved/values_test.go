package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// marked stands for what people write into messages.
const marked = "ЗНАЧЕНИЕ-556-677-889"

// serveDebugging serves a fresh demonstration's folder with all that its log can say, in
// serve.log; in names a file of the folder.
func serveDebugging(t *testing.T) (gateway *running, in func(name string) string, address string) {
	t.Helper()
	dir, address := filepath.Join(t.TempDir(), "demo"), freeAddress(t)
	prepareWorld(t, dir, address)
	in = func(name string) string { return filepath.Join(dir, name) }
	log, err := os.Create(in("serve.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	gateway = launchTo(t, log, "mezhved", "serve", "--debug", "--config", in("mezhved.yaml"))
	if err := awaitReady(t.Context(), "http://"+address, patience); err != nil {
		t.Fatal(err)
	}
	return gateway, in, address
}

// Whatever commands are called with, no value of a message comes into the log of the
// gateway that they call. What a command prints is for its caller, and an answer of the
// bus quotes what he sent; of a file that it was only to look at it quotes nothing on
// its standard error, where service managers and cron listen.
func TestNoCommandPutsValuesIntoALog(t *testing.T) {
	t.Parallel()
	gateway, in, address := serveDebugging(t)
	config := in("mezhved.yaml")

	sample, err := os.ReadFile("../../testdata/services/egrul-extract/2.0.0/samples/request.xml")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, old, new string) string {
		if !bytes.Contains(sample, []byte(old)) {
			t.Fatalf("there is no %q in the sample", old)
		}
		if err := os.WriteFile(in(name), bytes.Replace(sample, []byte(old), []byte(new), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		return in(name)
	}
	taken := write("taken.xml", "РК-2026/11-000031", marked)
	wrong := write("wrong.xml", "1025000000000", marked)
	broken := write("broken.xml", "</ю:ОГРН>", "&"+marked+";</ю:"+marked+">")
	schema := in("services/egrul-extract/2.0.0")
	mfc := []string{"--url", "http://" + address + "/ws", "--key", in("parties/MFC01/key.pem"), "--cert", in("parties/MFC01/cert.pem")}
	fns := []string{"--url", "http://" + address + "/ws", "--key", in("parties/FNS01/key.pem"), "--cert", in("parties/FNS01/cert.pem")}
	const ownAnswer = true // its standard error is an answer to what the caller sent
	for _, c := range []struct {
		command string
		answer  bool
		args    []string
	}{
		{"send", ownAnswer, append(mfc, taken)},
		{"send", ownAnswer, append(mfc, wrong)},
		{"send", ownAnswer, append(mfc, broken)},
		{"send", ownAnswer, append(mfc, "--transaction-code", marked, "--node", marked, taken)},
		{"send", ownAnswer, append(mfc, "--id", marked, taken)},
		{"poll requests", ownAnswer, append(fns, "--out", in("inbox"), "--wait", patience.String())},
		{"poll responses", ownAnswer, append(mfc, "--node", marked)},
		{"reply", ownAnswer, append(fns, "--to", marked, taken)},
		{"ack", ownAnswer, append(fns, marked)},
		{"status", ownAnswer, mfc},
		{"sign", false, append(mfc[2:], wrong)},
		{"sign", false, append(mfc[2:], broken)},
		{"verify", false, []string{wrong}},
		{"verify", false, []string{broken}},
		{"keys show", false, []string{wrong}},
		{"xsd validate", false, []string{"--schema", schema, wrong}},
		{"xsd validate", false, []string{"--schema", schema, broken}},
		{"xsd lint", false, []string{wrong}},
		{"xsd lint", false, []string{broken}},
		{"xsd explain", false, []string{broken}},
		{"xsd compat", false, []string{"--root", "{urn:x}x", wrong, broken}},
		{"services lint", false, []string{"--services", in("services"), "--parties", in("parties")}},
		{"doctor", false, []string{"--config", config}},
		{"queues", false, []string{"--config", config}},
		{"journal trace", false, []string{"--config", config, marked}},
		{"journal search", false, []string{"--config", config, "--person", "snils=" + marked}},
		{"journal search", false, []string{"--config", config, "--id", marked, "--sender", marked}},
		{"journal export", false, []string{"--config", config, "--id", marked}},
		{"journal bundle", false, []string{"--config", config, "-o", in("evidence.zip"), marked}},
		{"journal erase", false, []string{"--config", config, "--field", "snils", "--ground", marked, "0"}},
	} {
		if c.command == "services lint" { // its samples are documents of the operator's own
			if err := os.Rename(wrong, filepath.Join(schema, "samples", "request.xml")); err != nil {
				t.Fatal(err)
			}
		}
		var out, errs bytes.Buffer
		code := run(append(strings.Fields(c.command), c.args...), strings.NewReader(""), &out, &errs)
		if code == exitUsage && strings.Contains(errs.String(), "mezhved --help") {
			t.Errorf("%s is not called as it should be: %s", c.command, &errs)
		}
		if !c.answer && strings.Contains(errs.String(), marked) {
			t.Errorf("%s: exit code %d, on its standard error: %s", c.command, code, &errs)
		}
	}
	fmt.Fprintln(gateway.in, "HUP") // with the wrong sample in its folder
	if code := gateway.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	text, err := os.ReadFile(in("serve.log"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("call refused")); n < 3 {
		t.Errorf("%d refusals are in the log:\n%s", n, text)
	}
	for line := range strings.Lines(string(text)) {
		for _, form := range []string{marked, "556-677-889", fmt.Sprintf("%x", marked)} {
			if strings.Contains(line, form) {
				t.Errorf("the log of serve: %s", line)
			}
		}
	}
}
