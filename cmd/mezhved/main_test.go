package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mezhved/adapter/embedded"
	"mezhved/adapter/postgres"
)

// scratch is a folder of this run of the tests: the built programs are in it.
var scratch string

func TestMain(m *testing.M) {
	embedded.ServeKafkaChild()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "mezhved-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	return m.Run()
}

// programs builds mezhved and mezhved-audit as they are shipped, once, and gives
// the folder that they are in.
var programs = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "build", "-o", scratch+string(filepath.Separator), "mezhved/cmd/mezhved", "mezhved/cmd/mezhved-audit").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	return scratch, nil
})

// migrated is a stopped cluster whose database has the schema, made once for all tests
// with a private PostgreSQL: to make one and to migrate it takes seconds, to copy it does not.
var migrated = sync.OnceValues(func() (data string, err error) {
	dir := filepath.Join(scratch, "postgres")
	if err := os.Chmod(scratch, 0o755); err != nil { // the server has an account of its own
		return "", err
	}
	ctx := context.Background()
	p, err := embedded.StartPostgres(ctx, embedded.PostgresOptions{Dir: dir, Durable: true})
	if err != nil {
		return "", err
	}
	if err = p.Create(ctx, "mezhved"); err == nil {
		err = postgres.Migrate(ctx, p.URL("mezhved"))
	}
	return filepath.Join(dir, "data"), errors.Join(err, p.Stop())
})

// prepareWorld makes a demonstration's folder, with its PostgreSQL migrated.
func prepareWorld(t testing.TB, dir, address string) {
	t.Helper()
	prepareEmptyWorld(t, dir, address)
	layPostgres(t, dir)
}

// prepareEmptyWorld makes a demonstration's folder, with no PostgreSQL yet.
func prepareEmptyWorld(t testing.TB, dir, address string) {
	t.Helper()
	if _, err := prepareDemo(dir, address); err != nil {
		t.Fatal(err)
	}
}

// layPostgres puts the migrated cluster into a folder in which there is none yet.
func layPostgres(t testing.TB, dir string) {
	t.Helper()
	data, err := migrated()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "postgres"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", data, filepath.Join(dir, "postgres", "data")).CombinedOutput(); err != nil {
		t.Fatalf("copying the cluster: %v\n%s", err, out)
	}
	t.Cleanup(func() { awaitNoServer(filepath.Join(dir, "postgres", "data")) })
}

// awaitNoServer waits until nobody serves a cluster any more. A server whose gateway has
// crashed writes to its folder for a moment, while the test removes that.
func awaitNoServer(data string) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
		if err != nil {
			return
		}
		first, _, _ := strings.Cut(string(text), "\n")
		if pid, err := strconv.Atoi(first); err != nil || syscall.Kill(pid, 0) != nil {
			return
		}
	}
}

// program is the path of a built program.
func program(t testing.TB, name string) string {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// leash runs a program and passes on the signals that it reads, one a line.
// When its standard input closes, at the latest with the end of the test's own
// process, however that ends, the program is killed.
const leash = `
exec 9<&0
"$@" </dev/null 9<&- &
child=$!
{ while read -r signal <&9; do kill -"$signal" $child; done; kill -KILL $child; } 2>/dev/null &
waiter=$!
wait $child
status=$?
kill $waiter 2>/dev/null
exit $status
`

// running is a program in a process of its own, to be killed.
type running struct {
	pid  int // of the leash, whose child the program is
	in   io.WriteCloser
	done chan struct{}
	err  error // how it ended; read after done
	out  *tail
}

// launch starts a built program. It does not outlive the test.
func launch(t testing.TB, name string, args ...string) *running {
	t.Helper()
	return launchTo(t, nil, name, args...)
}

// launchTo is launch with a standard error of the test's own; nil: r.out.
func launchTo(t testing.TB, stderr *os.File, name string, args ...string) *running {
	t.Helper()
	r, err := launchProgram(stderr, program(t, name), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.kill)
	return r
}

func launchProgram(stderr *os.File, path string, args ...string) (*running, error) {
	r := &running{done: make(chan struct{}), out: &tail{}}
	cmd := exec.Command("/bin/sh", append([]string{"-c", leash, "leash", path}, args...)...)
	cmd.Stdout, cmd.Stderr = r.out, r.out
	if stderr != nil {
		cmd.Stderr = stderr
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if r.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r.pid = cmd.Process.Pid
	go func() {
		r.err = cmd.Wait()
		close(r.done)
	}()
	return r, nil
}

// kill ends the program by SIGKILL and waits until it is gone.
func (r *running) kill() {
	r.in.Close()
	<-r.done
}

// terminate ends the program as a service manager does and gives its exit code.
func (r *running) terminate() int {
	fmt.Fprintln(r.in, "TERM")
	<-r.done
	r.in.Close()
	var exit *exec.ExitError
	if errors.As(r.err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// tail keeps the end of what a program says.
type tail struct {
	mu     sync.Mutex
	buf    bytes.Buffer
	stands chan struct{} // until it is closed nobody reads; nil: somebody does
	left   bool          // the reader has gone
}

const tailSize = 64 << 10

var errReaderLeft = errors.New("nobody reads any more")

// stall stops reading what the program says, until flow.
func (o *tail) stall() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stands == nil {
		o.stands = make(chan struct{})
	}
}

// flow reads on.
func (o *tail) flow() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stands != nil {
		close(o.stands)
		o.stands = nil
	}
}

// leave closes the reading end for good.
func (o *tail) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left = true
}

func (o *tail) Write(p []byte) (int, error) {
	o.mu.Lock()
	stands := o.stands
	o.mu.Unlock()
	if stands != nil {
		<-stands
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.left {
		return 0, errReaderLeft
	}
	if o.buf.Len() > 2*tailSize {
		o.buf.Next(o.buf.Len() - tailSize)
	}
	return o.buf.Write(p)
}

func (o *tail) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// freeAddress is a loopback address that nobody listens on now.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// replaceIn changes one place of a file.
func replaceIn(t testing.TB, file, old, fresh string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), old) != 1 {
		t.Fatalf("%s: %q is not there once", file, old)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, fresh, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}
