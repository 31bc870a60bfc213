package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresOptions says how a private cluster is to be run. The zero value is a
// throw-away cluster for tests.
type PostgresOptions struct {
	// Dir keeps the cluster. Empty: a temporary directory that goes when the
	// server stops.
	Dir string
	// Memory keeps a cluster without a Dir in memory, where there is room for it
	// (see inMemory). A database is hundreds of files, and to make and remove them
	// on a disk takes longer than most tests.
	Memory bool
	// Durable makes a commit survive a power cut, as in production. Without it
	// the cluster survives a crash of any process, but not of the machine.
	Durable bool
	// Settings are added to the server's settings and win over ours.
	Settings map[string]string
}

// Postgres is a running private cluster. Its one login role is the superuser
// "postgres", without a password: the directory of the socket admits nobody
// but the user that the server runs as, and root.
type Postgres struct {
	opts   PostgresOptions
	bin    binaries
	run    account
	dir    string // holds lock, log and data
	socket string // directory of the socket
	lock   *os.File
	pages  string // by what it compresses whole pages in its log; empty: it writes none

	mu     sync.Mutex
	server *server // nil when stopped
}

// StartPostgres starts a private cluster, making it first when Dir has none.
// Errors say what to install or to change. One process at a time may use a Dir;
// a server that a killed process has left behind is stopped first.
func StartPostgres(ctx context.Context, opts PostgresOptions) (*Postgres, error) {
	p := &Postgres{opts: opts, dir: opts.Dir}
	var err error
	if p.run, err = serverAccount(); err != nil {
		return nil, err
	}
	if p.dir == "" {
		place := "/tmp"
		if opts.Memory && inMemory() {
			place = memoryFiles
		}
		if p.dir, err = os.MkdirTemp(place, "mezhved-pg-"); err != nil {
			return nil, err
		}
		if err := p.run.own(p.dir); err != nil { // so that the watcher can remove it
			return nil, err
		}
	}
	if p.dir, err = filepath.Abs(p.dir); err != nil {
		return nil, err
	}
	err = p.prepare(ctx)
	if err == nil {
		err = p.Start(ctx)
	}
	if err != nil {
		p.Stop()
		return nil, fmt.Errorf("private PostgreSQL in %s: %w", p.dir, err)
	}
	return p, nil
}

const (
	memoryFiles = "/dev/shm"
	// memoryRoom is far more than a cluster takes whose log is bounded by
	// memoryWAL, for several of them run at a time.
	memoryRoom = 4 << 30
	memoryWAL  = "256MB"
)

// inMemory reports whether the system keeps files in memory and has room for a
// cluster: containers often have 64 MB.
func inMemory() bool {
	var fs syscall.Statfs_t
	return syscall.Statfs(memoryFiles, &fs) == nil && uint64(fs.Bavail)*uint64(fs.Bsize) >= memoryRoom
}

// prepare takes the directory, ends what still runs on it and sees that it
// holds a cluster.
func (p *Postgres) prepare(ctx context.Context) error {
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return err
	}
	var err error
	if p.lock, err = lockFile(filepath.Join(p.dir, "lock")); err != nil {
		return err
	}
	if err := stopOrphan(p.data()); err != nil {
		return err
	}
	major, err := majorOf(p.data())
	if err != nil {
		return err
	}
	if p.bin, err = findBinaries(ctx, major, fetch); err != nil {
		return err
	}
	if p.socket, err = socketDirectory(p.dir, p.run); err != nil {
		return err
	}
	if major == 0 {
		err = p.initdb(ctx)
	}
	if err == nil && p.opts.Durable {
		p.pages = p.compression()
	}
	return err
}

// compression is by what the server compresses the pages that it writes whole into its log:
// lz4 where it was built with it, else what every server can. An index in which keys fall
// anywhere is most of a log otherwise.
func (p *Postgres) compression() string {
	cmd, err := p.run.command(p.data(), p.bin.path("postgres"), "-C", "wal_compression", "-c", "wal_compression=lz4")
	if err == nil {
		defer closeAll(cmd.ExtraFiles)
		err = cmd.Run()
	}
	if err != nil {
		return "pglz"
	}
	return "lz4"
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

// majorOf reads the release of an existing data directory, 0 when there is none.
func majorOf(data string) (int, error) {
	v, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(v)))
}

// initdb makes the cluster beside its place and moves it there when complete,
// so that a crash half-way leaves nothing that looks like a cluster.
func (p *Postgres) initdb(ctx context.Context) error {
	half := filepath.Join(p.dir, "data.new")
	if err := os.RemoveAll(half); err != nil {
		return err
	}
	if err := os.Mkdir(half, 0o700); err != nil {
		return err
	}
	if err := p.run.own(half); err != nil {
		return err
	}
	args := []string{"-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-instructions", "--data-checksums"}
	if !p.opts.Durable {
		args = append(args, "--no-sync")
	}
	cmd, err := p.run.command(half, p.bin.path("initdb"), args...)
	if err != nil {
		return err
	}
	defer closeAll(cmd.ExtraFiles)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %v: %s", err, lastLines(out, 8))
	}
	return os.Rename(half, p.data())
}

// settings of the server. They are given on the command line, so that a kept
// directory follows the program that starts it.
func (p *Postgres) settings() []string {
	s := map[string]string{
		"listen_addresses":                    "",
		"unix_socket_directories":             p.socket,
		"max_connections":                     "200",
		"shared_buffers":                      "128MB",
		"max_wal_size":                        "2GB",
		"checkpoint_timeout":                  "15min",
		"autovacuum_naptime":                  "5s",
		"idle_in_transaction_session_timeout": "30s",
		"jit":                                 "off",
		"timezone":                            "UTC",
		"log_timezone":                        "UTC",
		"log_min_messages":                    "warning",
		"dynamic_shared_memory_type":          "mmap", // containers often have a tiny /dev/shm
	}
	if p.pages != "" {
		s["wal_compression"] = p.pages
	}
	if p.pages == "lz4" { // what doctor says that a server should have, which is there then
		s["default_toast_compression"] = p.pages
	}
	if !p.opts.Durable {
		s["fsync"] = "off"
		s["synchronous_commit"] = "off"
		s["full_page_writes"] = "off"
		s["wal_level"] = "minimal"
		s["max_wal_senders"] = "0"
	}
	if strings.HasPrefix(p.dir, memoryFiles) {
		s["max_wal_size"] = memoryWAL
	}
	for k, v := range p.opts.Settings {
		s[k] = v
	}
	args := make([]string, 0, 2*len(s))
	for k, v := range s {
		args = append(args, "-c", k+"="+v)
	}
	sort.Sort(pairs(args))
	return args
}

// Start starts a stopped or killed cluster again and waits until it answers.
func (p *Postgres) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server != nil {
		if !p.server.ended() {
			return errors.New("it runs already")
		}
		p.server = nil
	}
	// Children of a killed server may hold its shared memory longer than it
	// lived, and the new one refuses to start until they are gone. Nobody else
	// may use the directory, so what still runs on it can be ended.
	deadline := time.Now().Add(20 * time.Second)
	for {
		s, err := p.launch()
		if err != nil {
			return err
		}
		err = p.await(ctx, s)
		if err == nil {
			p.server = s
			return nil
		}
		s.stop()
		if ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		endLeftovers(p.data())
		time.Sleep(200 * time.Millisecond)
	}
}

// await waits until the server answers, or has ended.
func (p *Postgres) await(ctx context.Context, s *server) error {
	var last error
	for start := time.Now(); time.Since(start) < 2*time.Minute; {
		conn, err := pgx.Connect(ctx, p.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		last = err
		select {
		case <-s.done:
			log, _ := os.ReadFile(p.log())
			return fmt.Errorf("the server ended: %v; the end of %s:\n%s", s.err, p.log(), lastLines(log, 8))
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("the server does not answer: %w", last)
}

func (p *Postgres) log() string { return filepath.Join(p.dir, "log") }

// URL is the connection string of a database of this cluster. It stays the
// same as long as the directory does.
func (p *Postgres) URL(database string) string {
	u := "postgres://postgres@/" + database + "?host=" + p.socket
	if port := p.opts.Settings["port"]; port != "" {
		u += "&port=" + port // it is in the socket's name
	}
	return u
}

// Create makes a database unless it is there.
func (p *Postgres) Create(ctx context.Context, database string) error {
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database).Scan(&there); err != nil || there {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{database}.Sanitize())
	return err
}

// Stop ends the server: connections are cut, what is committed is kept. It may
// be called more than once.
func (p *Postgres) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	if p.server != nil {
		err = p.server.stop()
		p.server = nil
	}
	if p.opts.Dir == "" {
		err = errors.Join(err, os.RemoveAll(p.dir))
	}
	if p.socket != "" {
		err = errors.Join(err, os.RemoveAll(p.socket))
	}
	if p.lock != nil {
		p.lock.Close() // and with it the lock
		p.lock = nil
	}
	return err
}

// running is the postmaster of a server that was started. The caller holds mu.
func (p *Postgres) running() (pid int, err error) {
	if p.server == nil {
		return 0, errors.New("private PostgreSQL: not running")
	}
	return postmaster(p.data())
}

// Kill ends the server and all its processes by SIGKILL, as a crash would.
// Start brings it up again.
func (p *Postgres) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	pid, err := p.running()
	if err != nil {
		return err
	}
	// The postmaster first: it would bring a killed child up again.
	children := childrenOf(pid)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	for _, c := range children {
		syscall.Kill(c, syscall.SIGKILL)
	}
	<-p.server.done
	return nil
}

// End ends the server by a signal to its postmaster, such as SIGINT for a fast
// shutdown and SIGQUIT for an immediate one, and waits until it has ended. Start
// brings it up again.
func (p *Postgres) End(signal syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	pid, err := p.running()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, signal); err != nil {
		return err
	}
	select {
	case <-p.server.done:
		return nil
	case <-time.After(time.Minute):
		return errors.New("the server has not ended within a minute")
	}
}

// Processes are the server's processes, the postmaster first.
func (p *Postgres) Processes() ([]int, error) {
	pid, err := postmaster(p.data())
	if err != nil {
		return nil, err
	}
	return append([]int{pid}, childrenOf(pid)...), nil
}

// Socket is the path of the Unix socket that the server listens on.
func (p *Postgres) Socket() string {
	port := p.opts.Settings["port"]
	if port == "" {
		port = "5432"
	}
	return filepath.Join(p.socket, ".s.PGSQL."+port)
}

// Database gives the URL of a database for a program that wants no more than
// one: DATABASE_URL when it is set, else the database "mezhved" of a private
// cluster. stop ends what was started.
func Database(ctx context.Context, opts PostgresOptions) (url string, stop func() error, err error) {
	if url := os.Getenv("DATABASE_URL"); url != "" {
		return url, func() error { return nil }, nil
	}
	p, err := StartPostgres(ctx, opts)
	if err != nil {
		return "", nil, err
	}
	if err := p.Create(ctx, "mezhved"); err != nil {
		p.Stop()
		return "", nil, err
	}
	return p.URL("mezhved"), p.Stop, nil
}

// Running gives the URL of a database of the private cluster in dir, as Database makes it,
// while a server runs on it; ok is false when none does, or Database would give another
// one. It starts and ends nothing.
func Running(dir string) (url string, ok bool) {
	if os.Getenv("DATABASE_URL") != "" {
		return "", false
	}
	data := filepath.Join(dir, "data")
	pid, err := postmaster(data)
	if err != nil || !serves(pid, data) {
		return "", false
	}
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	const socket = 4 // the line with its directory
	lines := strings.Split(string(text), "\n")
	if err != nil || len(lines) <= socket {
		return "", false // it is being started
	}
	return "postgres://postgres@/mezhved?host=" + strings.TrimSpace(lines[socket]), true
}

// server is one run of the server program under its watcher.
type server struct {
	leash io.Closer     // closing it, or dying, ends the server
	done  chan struct{} // closed when it has ended
	err   error         // how; read after done
}

// watcher runs the server and interrupts it (fast shutdown) when its own
// standard input closes: that is when our process stops it, or ends in any way
// at all. Afterwards it removes what was to be temporary: $1 is "-" or a
// directory. The server's exit status is the watcher's.
const watcher = `
exec 9<&0
temporary=$1; socket=$2; shift 2
"$@" </dev/null 9<&- &
server=$!
{ read -r line <&9; kill -INT $server; } 2>/dev/null &
waiter=$!
wait $server
status=$?
kill $waiter 2>/dev/null
rm -rf "$socket"
[ "$temporary" = - ] || rm -rf "$temporary"
exit $status
`

func (p *Postgres) launch() (*server, error) {
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	if p.socket, err = socketDirectory(p.dir, p.run); err != nil {
		return nil, err
	}
	in, leash, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()

	cmd, err := p.run.command(p.data(), p.bin.path("postgres"), p.settings()...)
	if err != nil {
		leash.Close()
		return nil, err
	}
	defer closeAll(cmd.ExtraFiles)
	temporary := "-"
	if p.opts.Dir == "" {
		temporary = p.dir
	}
	cmd.Args = append([]string{"sh", "-c", watcher, "mezhved-watcher", temporary, p.socket, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, log, log
	cmd.SysProcAttr.Setpgid = true // an interrupt at the terminal is ours alone
	if err := cmd.Start(); err != nil {
		leash.Close()
		return nil, err
	}
	s := &server{leash: leash, done: make(chan struct{})}
	go func() {
		s.err = cmd.Wait()
		close(s.done)
	}()
	return s, nil
}

func (s *server) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// stop lets go of the leash and waits. Fast shutdown writes a checkpoint; a
// minute is far more than it needs.
func (s *server) stop() error {
	s.leash.Close()
	select {
	case <-s.done:
		return nil
	case <-time.After(time.Minute):
		return errors.New("the server has not ended within a minute")
	}
}

// pairs sorts "-c", "name=value" pairs by name, for a steady command line.
type pairs []string

func (p pairs) Len() int           { return len(p) / 2 }
func (p pairs) Less(i, j int) bool { return p[2*i+1] < p[2*j+1] }
func (p pairs) Swap(i, j int)      { p[2*i+1], p[2*j+1] = p[2*j+1], p[2*i+1] }

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
