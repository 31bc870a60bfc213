package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/postgres"
	"mezhved/signing"
)

// The bench drives a gateway of its own, finds what it sent in the queue, and says
// what it cost whom.
func TestBenchAccept(t *testing.T) {
	out, err := exec.Command(program(t, "mezhved"), "bench", "accept", "--json", "--sustained", "--stages", "--senders", "8", "--providers", "1", "--warm", "2s", "--duration", "2s").Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var r acceptResult
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	if r.Accepted == 0 || r.Lost+r.Doubled+r.Refused+r.Failed != 0 {
		t.Errorf("%d accepted, %d lost, %d twice, %d refused, %d failed; want some, and none", r.Accepted, r.Lost, r.Doubled, r.Refused, r.Failed)
	}
	if most := leastWaiting + r.Senders; r.Waiting > most || r.Delivered <= 0 { // one provider alone does not take what eight send
		t.Errorf("%d waited for the provider when the senders ended, %.0f delivered a second; want a flat queue, %d at most", r.Waiting, r.Delivered, most)
	}
	if r.Delivered > 1.25*r.PerSecond { // no more than what was accepted meanwhile, and what still waited of the same kind of load
		t.Errorf("%.0f delivered a second of %.0f that were accepted: what was sent to warm up is counted", r.Delivered, r.PerSecond)
	}
	if r.QueuedP50 <= 0 || r.QueuedP99 < r.QueuedP50 {
		t.Errorf("queued after %v ms, p99 %v ms", r.QueuedP50, r.QueuedP99)
	}
	if r.Cost.Bytes < 1000 || r.Cost.Pieces < 10 {
		t.Errorf("a gateway that allocates %.0f bytes in %.0f pieces for each", r.Cost.Bytes, r.Cost.Pieces)
	}
	if runtime.GOOS == "linux" && (r.Cost.Gateway <= 0 || r.Cost.Database <= 0 || r.Cost.Generator <= 0) {
		t.Errorf("processor time each %+v, want some of every process", r.Cost)
	}
	whole, stages := 0.0, map[string]bool{}
	for _, s := range r.Stages {
		whole += s.Share
		stages[s.Stage] = true
	}
	if math.Abs(whole-1) > 0.001 || !stages["HTTP"] || !stages["journal"] {
		t.Errorf("stages %+v, want HTTP and the journal among them, and all of the time", r.Stages)
	}
	if r.Storage.Stays <= 0 || r.Storage.WAL <= 0 {
		t.Errorf("%+v, want bytes of every message", r.Storage)
	}
}

// With --key the bus and both parties sign with keys of that type, registered beside
// those that the folder has, as often as it is used.
func TestBenchExchangeWithGOST(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { // the private PostgreSQL has an account of its own
		t.Fatal(err)
	}
	out, err := exec.Command(program(t, "mezhved"), "bench", "exchange", "--key", "gost-2012-256", "--dir", dir, "--json", "--senders", "4", "--providers", "2", "--warm", "0s", "--duration", "1s").Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var r exchangeResult
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	if r.Exchanges == 0 || r.Lost+r.Doubled+r.Failed+r.Unproved != 0 {
		t.Errorf("%d exchanges, %d lost, %d twice, %d failed, %d not proved; want some, and none", r.Exchanges, r.Lost, r.Doubled, r.Failed, r.Unproved)
	}
	for _, key := range []string{"gost-2012-256", "ecdsa-p256"} {
		bus, signers, err := (&loadFlags{Key: key}).keys(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		of := map[string]signing.Algorithm{"gost-2012-256": signing.GOST2012_256, "ecdsa-p256": signing.ECDSASHA256}
		for _, name := range []string{benchSender, benchProvider} {
			if got := signers[name].Algorithm(); got != of[key] {
				t.Errorf("%s: %s signs by %s", key, name, got)
			}
			registered, err := os.ReadFile(filepath.Join(dir, "parties", name+".yaml"))
			if err != nil || strings.Count(string(registered), "/cert.pem") != 2 {
				t.Errorf("%s is registered as\n%s (%v), want two certificates", name, registered, err)
			}
		}
		if missing(filepath.Join(bus, "cert.pem")) {
			t.Errorf("%s: no key of the bus in %s", key, bus)
		}
	}
}

// A run that is interrupted says what it has measured until then, loses nothing, and says
// that it was.
func TestBenchInterrupted(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { // the private PostgreSQL has an account of its own
		t.Fatal(err)
	}
	for _, kind := range []string{"accept", "exchange"} {
		var out, said bytes.Buffer
		cmd := exec.Command(program(t, "mezhved"), "bench", kind, "--sustained", "--json", "--dir", dir, "--senders", "4", "--warm", "0s", "--duration", "1h")
		cmd.Stdout, cmd.Stderr = &out, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		loaded := func() bool {
			config, _ := os.ReadFile(filepath.Join(dir, "bench.yaml"))
			_, address, _ := strings.Cut(string(config), "listen: ")
			address, _, _ = strings.Cut(address, "\n")
			b := &bed{dir: dir, nodes: []string{"http://" + address}}
			n, err := b.queuedTotal(t.Context())
			return err == nil && n > 0
		}
		for end := time.Now().Add(5 * time.Minute); !loaded() && time.Now().Before(end); {
			time.Sleep(50 * time.Millisecond)
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitNo {
			t.Errorf("%s: ends with %v", kind, err)
		}
		var r struct {
			Accepted, Exchanges, Lost, Failed, Unproved int
			InterruptedAfterSeconds                     float64
		}
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v\n%s\n%s", kind, err, out.Bytes(), said.Bytes())
		}
		if r.Accepted+r.Exchanges == 0 || r.Lost+r.Failed+r.Unproved != 0 || r.InterruptedAfterSeconds <= 0 || !strings.Contains(said.String(), "interrupted after") {
			t.Errorf("%s: %s\n%s", kind, out.Bytes(), said.Bytes())
		}
	}
}

// A comparison that is interrupted prints what whole turns have shown.
func TestCompareInterrupted(t *testing.T) {
	settings := filepath.Join(t.TempDir(), "new.yaml")
	if err := os.WriteFile(settings, []byte("node: after\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program(t, "mezhved"), "bench", "compare", "--accept", "--sustained", "--turns", "9", "--senders", "4", "--warm", "0s", "--duration", "300ms", "--settings", settings)
	var out bytes.Buffer
	cmd.Stdout = &out
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := ""
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if last = lines.Text(); last == "turn 1 of 9, new one done" {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitNo {
		t.Errorf("ends with %v", err)
	}
	if !strings.Contains(last, "turn 2 of 9, new one: interrupted") || !strings.Contains(out.String(), "accepts/s") || !strings.Contains(out.String(), "one turn") {
		t.Errorf("it has said %q and printed\n%s", last, out.Bytes())
	}
}

// Two settings of one build are compared in turns, and the settings reach the gateway.
func TestCompareSettings(t *testing.T) {
	dir := t.TempDir()
	settings := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	compare := func(file string) ([]byte, error) {
		return exec.Command(program(t, "mezhved"), "bench", "compare", "--json", "--accept", "--turns", "2", "--senders", "4", "--warm", "0s", "--duration", "300ms",
			"--old-settings", settings("old.yaml", "node: before\n"), "--settings", file).Output()
	}
	out, err := compare(settings("new.yaml", "kafka: {content: plain}\n"))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var figures []figure
	if err := json.Unmarshal(out, &figures); err != nil {
		t.Fatal(err)
	}
	for _, f := range figures {
		if len(f.Old) != 2 || len(f.New) != 2 || f.Low > f.Ratio || f.High < f.Ratio {
			t.Errorf("%+v, want two turns of each and a ratio within its interval", f)
		}
	}
	if len(figures) < 8 {
		t.Errorf("%d figures", len(figures))
	}
	_, err = compare(settings("wrong.yaml", "kafka: {contents: plain}\n"))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(exit.Stderr), "contents") {
		t.Errorf("a setting that there is not: %v", err)
	}
}

// Senders are held back while more wait than may, and no longer: each that is taken lets one
// of them go on.
func TestTallyHolds(t *testing.T) {
	l := newTally()
	for n := range 3 {
		l.accepted(strconv.Itoa(n))
	}
	if d := l.hold(t.Context(), 4); d != 0 {
		t.Errorf("held for %s while fewer wait than may", d)
	}
	ctx, end := context.WithCancel(t.Context())
	context.AfterFunc(ctx, l.wake)
	free := make(chan time.Duration)
	for range 2 {
		go func() { free <- l.hold(ctx, 3) }()
	}
	select {
	case <-free:
		t.Error("a sender goes on while three wait, of which three are too many")
	case <-time.After(20 * time.Millisecond):
	}
	l.delivered("0")
	if d := <-free; d <= 0 {
		t.Errorf("held for %s", d)
	}
	l.accepted("3")
	end()
	<-free // the other one, whatever waits
}

// Turns that agree give a narrow interval round their ratio, turns that do not a
// wide one, and a ratio of one is within it when the builds do not differ.
func TestRatioOfTurns(t *testing.T) {
	near := func(got, want float64) bool { return math.Abs(got-want) < 0.005 }
	if m, low, high := ratio([]float64{2, 4, 8}, []float64{1, 2, 4}); !near(m, 0.5) || !near(low, 0.5) || !near(high, 0.5) {
		t.Errorf("always the half: %.3f (%.3f-%.3f), want 0.5", m, low, high)
	}
	// ln 1, ln 1.21, ln 1.1: mean ln 1.1, deviation 0.0953; t(2) = 4.303.
	if m, low, high := ratio([]float64{10, 10, 10}, []float64{10, 12.1, 11}); !near(m, 1.1) || !near(low, 1.1*math.Exp(-0.2368)) || !near(high, 1.1*math.Exp(0.2368)) {
		t.Errorf("a tenth more, give or take: %.3f (%.3f-%.3f)", m, low, high)
	}
}

// Every turn of either build counts, the first one too.
func TestTurnsComeTogether(t *testing.T) {
	var figures []*figure
	for i, old := range []bool{true, false, false, true} {
		f := &figure{Name: "exchanges/s"}
		if old {
			f.Old = []float64{float64(i)}
		} else {
			f.New = []float64{float64(i)}
		}
		figures = together(figures, []*figure{f})
	}
	if f := figures[0]; !slices.Equal(f.Old, []float64{0, 3}) || !slices.Equal(f.New, []float64{1, 2}) {
		t.Errorf("old %v, new %v", f.Old, f.New)
	}
}

// Of a gateway of somebody else nobody measures processors and bytes: the bench says so, and
// not that it takes none.
func TestWhatIsNotMeasured(t *testing.T) {
	for _, s := range []fmt.Stringer{spent{Generator: time.Second}.per(1000), machine{}.since(machine{}), storagePer(postgres.Written{}, postgres.Written{}, 10)} {
		if text := s.String(); !strings.Contains(text, "alone") || strings.Contains(text, " 0") {
			t.Error(text)
		}
	}
	for _, s := range []fmt.Stringer{costs{Gateway: .5, Generator: 1}, shares{Idle: .5}, storage{Stays: 100}} {
		if text := s.String(); strings.Contains(text, "alone") {
			t.Error(text)
		}
	}
}

// A node that starts again while what was sent comes to rest is waited for.
func TestSettleWaitsForANode(t *testing.T) {
	t.Parallel()
	asked := 0
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			if asked++; asked > 1 {
				io.WriteString(w, "# TYPE\nmezhved_queued_total 5\n")
				return
			}
		}
		http.Error(w, "starting", http.StatusServiceUnavailable)
	}))
	defer node.Close()
	b := &bed{base: node.URL, nodes: []string{node.URL}}
	if err := b.settle(t.Context(), 5); err != nil || asked != 2 {
		t.Errorf("%v when asked %d times, want the figure of the second", err, asked)
	}
}
