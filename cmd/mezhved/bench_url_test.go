package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// An address that is none of a node's is wrong usage, whatever is wrong with it, and what is
// wanted is said.
func TestBenchWantsBaseAddresses(t *testing.T) {
	for _, address := range []string{"ftp://127.0.0.1:7500", "http://127.0.0.1:7500/smev/v1.2/ws", "127.0.0.1:7500", "http://", "http://127.0.0.1:7500,ftp://127.0.0.1:7501", "http://127.0.0.1:7500?x=1", "http://127.0.0.1:7500/#x"} {
		for _, kind := range []string{"accept", "exchange"} {
			var out bytes.Buffer
			code := run([]string{"bench", kind, "--dir", t.TempDir(), "--url", address}, strings.NewReader(""), &out, &out)
			if code != exitUsage || !strings.Contains(out.String(), "base address") || !strings.Contains(out.String(), "without /smev/v1.2/ws") {
				t.Errorf("bench %s --url %s: exit code %d\n%s", kind, address, code, out.String())
			}
		}
	}
}

// A slash at the end of an address is none of the paths that are put behind it.
func TestBenchTakesAddressesWithASlash(t *testing.T) {
	asked := make(chan string, 100)
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		w.WriteHeader(http.StatusTeapot)
	}))
	defer node.Close()
	dir := t.TempDir()
	if _, err := prepareDemo(dir, "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if code := run([]string{"bench", "accept", "--dir", dir, "--url", node.URL + "/"}, strings.NewReader(""), &out, &out); code == 0 {
		t.Errorf("a node that is none was taken for one:\n%s", out.String())
	}
	select {
	case path := <-asked:
		if strings.HasPrefix(path, "//") {
			t.Errorf("%s was asked for", path)
		}
	default:
		t.Errorf("nothing was asked for:\n%s", out.String())
	}
}

// A node that was started again has begun to count anew: that it had queued everything
// nobody can tell, and the run goes on.
func TestBenchSettlesAfterARestart(t *testing.T) {
	var queued atomic.Int64
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			fmt.Fprintf(w, "# TYPE mezhved_queued_total counter\nmezhved_queued_total %d\n", queued.Load())
			return
		}
		fmt.Fprint(w, "origin\n100\nroot\n")
	}))
	defer node.Close()
	queued.Store(50)
	b := &bed{base: node.URL, nodes: []string{node.URL}, dir: t.TempDir()}
	var err error
	if b.queued, err = b.queuedTotal(t.Context()); err != nil || b.queued != 50 {
		t.Fatalf("%d are queued, %v", b.queued, err)
	}
	queued.Store(7)
	if err := b.settle(t.Context(), 1000); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

// notes are what is written there.
type notes chan string

func (n notes) Write(b []byte) (int, error) {
	n <- string(b)
	return len(b), nil
}

// What takes long is said while it does.
func TestBenchSaysThatItSigns(t *testing.T) {
	said := make(notes, 10)
	f := &loadFlags{notes: said}
	done := f.signing()
	if text := <-said; !strings.Contains(text, "signing") {
		t.Errorf("it says %q", text)
	}
	done()
	(&loadFlags{}).signing()()
}

// What was not measured is not told as nothing.
func TestBenchTellsWhatItHasMeasured(t *testing.T) {
	for _, r := range []any{acceptResult{Cost: costs{Generator: 1}}, exchangeResult{Cost: costs{Generator: 1}}} {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, not := range []string{"gatewayMs", "postgresMs", "storage", "processors", "stages"} {
			if strings.Contains(string(text), not) {
				t.Errorf("%T tells %s: %s", r, not, text)
			}
		}
	}
}
