package main

import (
	"bufio"
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// testFunctions are the tests and fuzzers of the whole repository, by package folder.
func testFunctions(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	err := filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		src, err := os.ReadFile(name)
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllSubmatch(src, -1) {
			all[string(m[1])] = append(all[string(m[1])], filepath.Dir(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Every row of the threat model has what stops the attacker, and a test that there is.
func TestEveryThreatHasItsTest(t *testing.T) {
	text, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	there, rows := testFunctions(t), 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "|") || len(cells) != 4 || strings.Contains(line, "|---") || strings.Contains(line, "| Asset |") {
			continue
		}
		rows++
		named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(cells[3], -1)
		if len(named) == 0 {
			t.Errorf("no test: %s", line)
		}
		for i, cell := range cells {
			if strings.TrimSpace(cell) == "" {
				t.Errorf("column %d is empty: %s", i+1, line)
			}
		}
		for _, m := range named {
			if there[m[1]] == nil {
				t.Errorf("there is no test %s: %s", m[1], line)
			}
		}
	}
	if rows < 20 {
		t.Errorf("the table has %d rows", rows)
	}
}

// What a fuzzer has found stays a test: its folder stands beside the fuzzer.
func TestFoundInputsAreKept(t *testing.T) {
	there := testFunctions(t)
	found, err := filepath.Glob("../../*/testdata/fuzz/*")
	if err != nil {
		t.Fatal(err)
	}
	deeper, err := filepath.Glob("../../*/*/testdata/fuzz/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range append(found, deeper...) {
		home, fuzzer := filepath.Dir(filepath.Dir(filepath.Dir(folder))), filepath.Base(folder)
		kept := false
		for _, dir := range there[fuzzer] {
			kept = kept || dir == home
		}
		if !kept {
			t.Errorf("%s: %s has no such fuzzer, so what was found is no test any more", folder, home)
		}
	}
}

// No secret of a node comes out of its files: not into the log, traces, metrics or pages,
// nor into what commands show of the configuration; and its memory into no core file.
func TestSecretsStayInTheirFiles(t *testing.T) {
	var mu sync.Mutex
	var traces bytes.Buffer
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		io.Copy(&traces, r.Body)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")

	gateway, in, address := serveDebugging(t)
	said := map[string]string{}
	command := func(args ...string) {
		var out bytes.Buffer
		run(args, strings.NewReader(""), &out, &out)
		said["mezhved "+strings.Join(args, " ")] = out.String()
	}
	config := in("mezhved.yaml")
	command("send", "--url", "http://"+address+"/ws", "--key", in("parties/MFC01/key.pem"), "--cert", in("parties/MFC01/cert.pem"), "../../testdata/services/egrul-extract/2.0.0/samples/request.xml")
	command("queues", "--config", config)
	command("queues", "--url", "http://"+address, "--token-file", in("keys/replyto.key")) // a secret in the wrong place
	command("journal", "changes", "--config", config)
	command("config", "show", "--config", config)
	command("doctor", "--config", config)
	for _, page := range []string{"/", "/metrics", "/readyz", "/console/", "/api/openapi.json", "/checkpoint"} {
		resp, err := http.Get("http://" + address + page)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		said[page] = string(body)
	}
	if runtime.GOOS == "linux" {
		limits, err := os.ReadFile("/proc/" + strconv.Itoa(servingProcess(t, gateway.pid)) + "/limits")
		if err != nil || !regexp.MustCompile(`Max core file size +0 +0 `).Match(limits) {
			t.Errorf("the node may leave a core file: %v\n%s", err, limits)
		}
	}
	if code := gateway.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	text, err := os.ReadFile(in("serve.log"))
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	said["log"], said["traces"] = string(text), traces.String()
	mu.Unlock()
	if !strings.Contains(said["traces"], "SendRequest") || !strings.Contains(said["log"], "level=") {
		t.Fatalf("log and traces tell nothing, so nothing is proved by them: %d, %d bytes", len(said["log"]), len(said["traces"]))
	}

	secrets := 0
	err = filepath.WalkDir(in(""), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".key") && !strings.HasSuffix(name, "key.pem") && !strings.HasSuffix(name, ".token") {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
			secret := strings.TrimSpace(lines.Text())
			if strings.HasPrefix(secret, "-----") || len(secret) < 16 {
				continue
			}
			secrets++
			for where, text := range said {
				if strings.Contains(text, secret) {
					t.Errorf("%s tells a secret of %s", where, name)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if secrets < 10 {
		t.Errorf("only %d lines of secrets were looked for", secrets)
	}
}

// servingProcess is the program that a leash holds.
func servingProcess(t *testing.T, leash int) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if len(fields) > 1 && fields[1] == strconv.Itoa(leash) && strings.Contains(string(stat), "(mezhved)") {
			pid, _ := strconv.Atoi(strings.Fields(string(stat))[0])
			return pid
		}
	}
	return leash
}
