package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"mezhved/signing/tsatest"

	"github.com/rogpeppe/go-internal/testscript"
)

// The stories in testdata/scripts are told with the programs as they are shipped.
// Beside testscript's own commands they have
//
//	exits CODE PROGRAM ARG...     run a program; it must end with this exit code
//	until CODE PROGRAM ARG...     the same, again and again until it does
//	json PATH [VALUE]             the last output is JSON that has this place (with this value); ! json: it has not
//	keep NAME PATH                put a place of the last output into a variable
//	serve CONFIG                  start a gateway and wait until it is ready; it ends with the story
//	logs PATTERN                  the log of that gateway has what matches, or gets it
//	stop                          end that gateway as a service manager does; it must end well
//	listen CONFIG ADDRESS         change the address in a configuration
//	authority NAME FILE           start a time-stamping authority: its address into a variable, its root into a file
//	await URL                     wait until there is something at an address
//
// and the variables DEMO, URL and STORE, folder, address and file store of one
// demonstration that stays open for all of them, FREE, an address that nobody uses, and
// SERVICES, the demonstration's services with their samples. The stories are told side
// by side: each reads queues of the demonstration that no other reads.
func TestScripts(t *testing.T) {
	bin := filepath.Dir(program(t, "mezhved"))
	demo, address, store := openDemo(t)
	services, err := filepath.Abs("../../testdata/services")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/scripts",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			findPrograms(e, bin)
			e.Setenv("DEMO", demo)
			e.Setenv("URL", "http://"+address)
			e.Setenv("ADDRESS", address)
			e.Setenv("STORE", store)
			e.Setenv("SERVICES", services)
			e.Setenv("FREE", freeAddress(t))
			e.Values[theGateway{}] = new(*running)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "until": until, "json": jsonHas, "keep": keep, "serve": serve, "logs": logs, "stop": stop, "listen": listen, "authority": authority(t), "await": await,
		},
	})
}

// findPrograms gives a script the programs of this run, and its moment (.ci/at). Private
// servers are looked for, and kept, where the user's own are.
func findPrograms(e *testscript.Env, bin string) {
	e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
	for _, name := range []string{"HOME", "PGBIN", "XDG_CACHE_HOME", "MEZHVED_TEST_SHIFT", "LD_PRELOAD"} {
		if v, ok := os.LookupEnv(name); ok {
			e.Setenv(name, v)
		}
	}
}

// openDemo starts "mezhved demo" and leaves it open until the test ends.
func openDemo(t *testing.T) (dir, address, store string) {
	t.Helper()
	dir, address = filepath.Join(t.TempDir(), "demo"), freeAddress(t)
	layPostgres(t, dir)
	r := launch(t, "mezhved", "demo", "--dir", dir, "--listen", address, "--ftp", "127.0.0.1:0")
	for end := time.Now().Add(patience); !strings.Contains(r.out.String(), "\nReady."); time.Sleep(50 * time.Millisecond) {
		select {
		case <-r.done:
			t.Fatalf("the demonstration ended: %v\n%s", r.err, r.out)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("the demonstration does not get ready:\n%s", r.out)
		}
	}
	if strings.Contains(r.out.String(), "NOT AS ANNOUNCED") {
		t.Fatalf("the demonstration:\n%s", r.out)
	}
	// Before the folder is removed the servers in it must have ended.
	t.Cleanup(func() {
		if code := r.terminate(); code != 0 {
			t.Errorf("the demonstration ends with exit code %d\n%s", code, r.out)
		}
	})
	told := regexp.MustCompile(`ftp://[0-9.]+:[1-9][0-9]*`).FindString(r.out.String())
	if told == "" {
		t.Fatalf("the demonstration does not say where its file store is:\n%s", r.out)
	}
	return dir, address, told
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if got, want := exitCode(ts, neg, args); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// until is for what another process does in its own time.
func until(ts *testscript.TestScript, neg bool, args []string) {
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		got, want := exitCode(ts, neg, args)
		if got == want {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("exit code %d, want %d, and it stays so", got, want)
		}
	}
}

// exitCode runs a program; want is the code that the story expects.
func exitCode(ts *testscript.TestScript, neg bool, args []string) (got, want int) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	return got, want
}

// place finds a place such as violations.0 in the last output.
func place(ts *testscript.TestScript, path string) (any, bool) {
	var v any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &v); err != nil {
		ts.Fatalf("the output is not JSON: %v", err)
	}
	for _, step := range strings.Split(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			inner, ok := in[step]
			if !ok {
				return nil, false
			}
			v = inner
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(in) {
				return nil, false
			}
			v = in[i]
		default:
			return nil, false
		}
	}
	return v, true
}

func jsonHas(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: [!] json PATH [VALUE]")
	}
	v, there := place(ts, args[0])
	holds := there && (len(args) == 1 || fmt.Sprint(v) == args[1])
	if holds == neg {
		ts.Fatalf("%s is %v", args[0], v)
	}
}

func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: keep NAME PATH")
	}
	v, there := place(ts, args[1])
	if !there {
		ts.Fatalf("there is no %s", args[1])
	}
	ts.Setenv(args[0], fmt.Sprint(v))
}

// theGateway is the key of a story's own gateway among its values.
type theGateway struct{}

func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: serve CONFIG")
	}
	config := ts.MkAbs(args[0])
	address := ""
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if a, ok := strings.CutPrefix(line, "listen: "); ok {
			address = strings.TrimSpace(a)
		}
	}
	r, err := launchProgram(nil, filepath.Join(scratch, "mezhved"), "serve", "--config", config)
	ts.Check(err)
	ts.Defer(r.kill)
	*ts.Value(theGateway{}).(**running) = r
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get("http://" + address + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-r.done:
			ts.Fatalf("the gateway ended: %v\n%s", r.err, r.out)
		default:
		}
		if time.Now().After(end) {
			ts.Fatalf("the gateway does not get ready\n%s", r.out)
		}
	}
}

func logs(ts *testscript.TestScript, neg bool, args []string) {
	r := *ts.Value(theGateway{}).(**running)
	if neg || len(args) != 1 || r == nil {
		ts.Fatalf("usage: logs PATTERN, after serve")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	for end := time.Now().Add(patience); !pattern.MatchString(r.out.String()); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("the log has nothing that matches %s\n%s", args[0], r.out)
		}
	}
}

func stop(ts *testscript.TestScript, neg bool, args []string) {
	r := *ts.Value(theGateway{}).(**running)
	if neg || len(args) != 0 || r == nil {
		ts.Fatalf("usage: stop, after serve")
	}
	if code := r.terminate(); code != 0 {
		ts.Fatalf("the gateway ends with exit code %d\n%s", code, r.out)
	}
}

func authority(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 2 {
			ts.Fatalf("usage: authority NAME FILE")
		}
		tsa := tsatest.New(t)
		server := httptest.NewServer(tsa)
		ts.Defer(server.Close)
		ts.Setenv(args[0], server.URL)
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), tsa.Root.PEM(), 0o644))
	}
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await URL")
	}
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get(args[0])
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(end) {
			ts.Fatalf("nothing at %s: %v", args[0], err)
		}
	}
}

func listen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: listen CONFIG ADDRESS")
	}
	text := listenLine.ReplaceAll([]byte(ts.ReadFile(args[0])), []byte("listen: "+args[1]))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o644))
}
