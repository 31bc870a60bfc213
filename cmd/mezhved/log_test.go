package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// serving is a gateway in a process of its own whose log goes into a pipe.
type serving struct {
	*running
	t      *testing.T
	base   string
	reader *os.File // of the log
}

// serveInto starts a gateway on a demonstration's configuration. stuck says that
// the pipe of its log is full before the first line.
func serveInto(t *testing.T, stuck bool) *serving {
	t.Helper()
	dir, address := filepath.Join(t.TempDir(), "demo"), freeAddress(t)
	prepareWorld(t, dir, address)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	if stuck {
		fill(t, writer)
	}
	s := &serving{t: t, base: "http://" + address, reader: reader}
	s.running = launchTo(t, writer, "mezhved", "serve", "--config", filepath.Join(dir, "mezhved.yaml"))
	writer.Close()
	return s
}

// fill writes to a pipe until it takes no more.
func fill(t *testing.T, pipe *os.File) {
	t.Helper()
	raw, err := pipe.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Write(func(fd uintptr) bool { // a pipe of os.Pipe does not block
		for {
			if _, err := syscall.Write(int(fd), []byte("a line that nobody reads\n")[:1]); err != nil {
				return true
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (s *serving) ready() {
	s.t.Helper()
	if err := awaitReady(s.t.Context(), s.base, patience); err != nil {
		s.t.Fatalf("%v\n%s", err, s.out)
	}
}

// refusals has n bodies refused at once and waits for all the answers.
func (s *serving) refusals(n int) {
	s.t.Helper()
	client := &http.Client{Timeout: patience}
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			resp, err := client.Post(s.base+"/ws", "text/xml", strings.NewReader("<bad"))
			if err != nil {
				s.t.Error(err)
				return
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), ":Fault>") {
				s.t.Errorf("%s: %v\n%s", resp.Status, err, body)
			}
		})
	}
	all.Wait()
}

// "mezhved serve 2>&1 | head -1" goes on when head has gone: a lost reader of the
// log ends nothing, and what it did not take is counted.
func TestALostLogReaderEndsNothing(t *testing.T) {
	t.Parallel()
	s := serveInto(t, false)
	first := make([]byte, 1)
	if _, err := s.reader.Read(first); err != nil {
		t.Fatal(err)
	}
	s.reader.Close()
	s.ready()
	s.refusals(3)
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(s.base + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		lost := 0
		if _, rest, ok := strings.Cut(string(text), "\nmezhved_log_lost_total "); ok {
			fmt.Sscan(rest, &lost)
		}
		if lost >= 3 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("mezhved_log_lost_total is %d after 3 refusals", lost)
		}
	}
	if code := s.terminate(); code != 0 {
		t.Errorf("exit code %d\n%s", code, s.out)
	}
}

// A reader of the log that stands still holds no answer and no stop. When it
// reads on it is given what waited, and a crash still prints where everybody was.
func TestALogReaderThatStandsStillHoldsNothing(t *testing.T) {
	t.Parallel()
	t.Run("stop", func(t *testing.T) {
		t.Parallel()
		s := serveInto(t, true)
		s.ready()
		s.refusals(36)
		if code := s.terminate(); code != 0 {
			t.Errorf("exit code %d\n%s", code, s.out)
		}
	})
	t.Run("read on and crash", func(t *testing.T) {
		t.Parallel()
		s := serveInto(t, true)
		s.ready()
		s.refusals(36)
		read := &tail{}
		done := make(chan error, 1)
		go func() {
			_, err := io.Copy(read, s.reader)
			done <- err
		}()
		for end := time.Now().Add(patience); strings.Count(read.String(), "call refused") < 10; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the refusals are not in the log:\n%s", read)
			}
		}
		fmt.Fprintln(s.in, "QUIT")
		<-s.done
		s.in.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if text := read.String(); !strings.Contains(text, "\ngoroutine ") || !strings.Contains(text, "created by ") {
			t.Errorf("the crash is not in the log:\n%s", text)
		}
	})
}
