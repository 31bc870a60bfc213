package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/goccy/go-yaml"

	"mezhved/adapter/party"
	"mezhved/adapter/postgres"
	"mezhved/envelopes"
	"mezhved/signing"
)

// loadFlags say what is driven and how hard.
type loadFlags struct {
	URL      []string      `placeholder:"URL" help:"Base addresses (scheme://host:port) of the nodes of a running gateway of the demo's kind, which get their calls in turns; default: a private one."`
	Dir      string        `placeholder:"DIR" help:"Folder of the private gateway, or of the demo whose keys are used with --url; default: a temporary one."`
	Gateway  string        `placeholder:"PROGRAM" type:"existingfile" help:"Program that is run as the private gateway; default: this one."`
	Senders  int           `default:"64" help:"Senders at work at once."`
	Takers   int           `name:"providers" placeholder:"N" help:"Providers at work at once; default: as many as senders."`
	Duration time.Duration `default:"10s" help:"How long."`
	Warm     time.Duration `default:"2s" help:"How long the same load runs before it is measured."`
	Key      string        `default:"ecdsa-p256" help:"Type of the keys of the bus, the senders and the provider: ecdsa-p256, rsa-2048, gost-2012-256, ..."`
	Settings string        `placeholder:"FILE" type:"existingfile" help:"Settings (YAML) that are laid over those of the private gateway."`
	Stages   bool          `help:"Say which stages the private gateway's processor time goes to, from a profile of it."`
	Profile  string        `placeholder:"FILE" help:"Write a CPU profile of the private gateway (go tool pprof reads it)."`
	Allocs   string        `name:"allocations" placeholder:"FILE" help:"Write a profile of what the private gateway allocated, and of what is live at the end."`
	JSON     bool          `name:"json" help:"Print JSON."`

	notes io.Writer // for what is to be said while it goes on; nil: nothing is
}

// partyDoor is where a node takes the calls of parties.
const partyDoor = "/smev/v1.2/ws"

// signing says that calls are being signed, once that has taken a second, until it is done.
func (f *loadFlags) signing() (done func()) {
	if f.notes == nil {
		return func() {}
	}
	said := make(chan struct{})
	t := time.AfterFunc(time.Second, func() {
		defer close(said)
		fmt.Fprintln(f.notes, "signing the calls of the run before the clock starts")
	})
	return func() {
		if !t.Stop() {
			<-said
		}
	}
}

// providers is how many are at work at once: with fewer than there are senders it is they
// that bound the rate, and not the gateway.
func (f *loadFlags) providers() int {
	if f.Takers > 0 {
		return f.Takers
	}
	return f.Senders
}

// lightCollector lets the generator's heap, some 10 MB, grow before it is collected,
// which was a sixth of its time. Where GOGC is set, that stands.
func lightCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(1600)
	}
}

// fewCores leaves half of the cores to others while the load runs, until restore is called:
// a generator that sleeps and wakes on as many cores as it finds spends most of its time
// on that. Where GOMAXPROCS is set, that stands.
func fewCores() (restore func()) {
	if os.Getenv("GOMAXPROCS") != "" {
		return func() {}
	}
	all := runtime.GOMAXPROCS(max(runtime.NumCPU()/2, 1))
	return func() { runtime.GOMAXPROCS(all) }
}

// bed is the gateway under load, a process of its own, with the parties that
// drive it.
type bed struct {
	base     string
	nodes    []string // their base addresses; the first is base
	dir      string
	play     *play
	signer   signing.Signer // of the senders
	gateway  int            // its process; 0: a gateway of somebody else
	database int            // the private PostgreSQL's
	store    string         // connection string of it; empty: it is somebody else's
	profile  string         // of its processor time, written when it ends; empty: none is
	queued   int            // messages that it had put into queues before the load
	counted  map[string]int // messages that each node had put into queues when it was last asked
	anew     bool           // one has begun to count anew: it was started again
	stop     func()         // ends the private gateway
	finish   func() error
}

// open starts a private gateway, or finds the keys for a running one.
func (f *loadFlags) open(ctx context.Context) (b *bed, err error) {
	lightCollector()
	if len(f.URL) > 0 {
		if f.Dir == "" {
			return nil, usage(errors.New("--url needs --dir: the demo folder with the parties' keys"))
		}
		if f.Key != string(signing.KeyECDSA256) {
			return nil, usage(errors.New("--key needs the private gateway, where a new key can be registered"))
		}
		if f.Settings != "" || f.Stages || f.Profile != "" || f.Allocs != "" {
			return nil, usage(errors.New("--settings, --stages, --profile and --allocations need the private gateway"))
		}
		for i, address := range f.URL {
			u, err := url.Parse(address)
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || strings.ContainsAny(address, "?#") {
				return nil, usage(fmt.Errorf("--url %s: the base address of a node is wanted, http://host:port or https://host:port, without %s", address, partyDoor))
			}
			f.URL[i] = strings.TrimRight(address, "/") // paths are put behind it
		}
		p, err := newPlay(ctx, io.Discard, f.Dir, f.URL[0])
		if err != nil {
			return nil, usage(err)
		}
		b = &bed{base: f.URL[0], nodes: f.URL, dir: f.Dir, play: p, signer: p.signers[benchSender], stop: func() {}, finish: func() error { return nil }}
		b.queued, err = b.queuedTotal(ctx)
		return b, err
	}
	b = &bed{dir: f.Dir, finish: func() error { return nil }}
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "mezhved-bench-"); err != nil {
			return nil, err
		}
		dir := b.dir
		b.finish = func() error { return os.RemoveAll(dir) }
		if err := os.Chmod(dir, 0o755); err != nil { // the private PostgreSQL has an account of its own
			return nil, errors.Join(err, b.finish())
		}
	}
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return nil, errors.Join(err, b.finish())
	}
	for tries := 0; ; tries++ {
		stop, err := f.start(ctx, b)
		if err == nil {
			remove := b.finish
			b.stop = sync.OnceFunc(stop)
			b.finish = func() error { b.stop(); return remove() }
			return b, nil
		}
		var ended *endedError
		if !errors.As(err, &ended) || tries == 2 { // its port may have been taken by somebody else meanwhile
			return nil, errors.Join(err, b.finish())
		}
	}
}

// endedError says that the private gateway has ended by itself.
type endedError struct{ log string }

func (e *endedError) Error() string { return "the gateway has ended; it said last:\n" + e.log }

// benchSender sends the requests, benchProvider answers them.
const benchSender, benchProvider = "MFC01", "SFR01"

// start runs the gateway in the bed's folder and waits until it is ready.
func (f *loadFlags) start(ctx context.Context, b *bed) (stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, unavailable(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil { // for the gateway
		return nil, err
	}
	if err := f.prepare(ctx, b.dir, address); err != nil {
		return nil, err
	}
	busKey, signers, err := f.keys(ctx, b.dir)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(b.dir, "bench.yaml")
	text := fmt.Sprintf(demoConfig, address, fmt.Sprintf(privateConfig, "demo"))
	if f.Gateway != "" { // another release knows its own settings
		own, err := os.ReadFile(filepath.Join(b.dir, "mezhved.yaml"))
		if err != nil {
			return nil, usage(err)
		}
		text = string(own)
	}
	text += "limits:\n  perSecond: 1000000\n  burst: 1000000\n"
	text = strings.ReplaceAll(text, "keys/bus/", "keys/"+filepath.Base(busKey)+"/")
	if f.Settings != "" {
		if text, err = laidOver(text, f.Settings); err != nil {
			return nil, usage(err)
		}
	}
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, usage(err)
	}
	program := f.Gateway
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	args := []string{"serve", "--config", config}
	if b.profile = f.Profile; b.profile == "" && f.Stages {
		b.profile = filepath.Join(b.dir, "stages.prof")
	}
	if b.profile != "" {
		args = append(args, "--cpu-profile", b.profile)
	}
	if f.Allocs != "" {
		args = append(args, "--allocation-profile", f.Allocs)
	}
	log, err := os.Create(filepath.Join(b.dir, "gateway.log"))
	if err != nil {
		return nil, usage(err)
	}
	defer log.Close()
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	cmd := exec.CommandContext(serving, program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal interrupts the load, and the gateway lives on for what is measured behind it
	if err := cmd.Start(); err != nil {
		end()
		return nil, usage(err)
	}
	said := func() string {
		text, _ := os.ReadFile(log.Name())
		return string(text[max(0, len(text)-2000):])
	}
	running, ended := context.WithCancelCause(context.WithoutCancel(ctx))
	go func() {
		_ = cmd.Wait() // whether it ended well is nothing to the measurement
		ended(&endedError{said()})
	}()
	stop = func() {
		end()
		<-running.Done()
	}
	b.base, b.gateway = "http://"+address, cmd.Process.Pid
	b.nodes = []string{b.base}
	err = awaitReady(running, b.base, 60*time.Second)
	if cause := context.Cause(running); cause != nil {
		return nil, cause
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("%w\n%s", err, said())
	}
	if pid, err := os.ReadFile(filepath.Join(b.dir, "postgres", "data", "postmaster.pid")); err == nil {
		lines := append(strings.Split(string(pid), "\n"), make([]string, 5)...) // process, folder, start, port, folder of the socket
		b.database, _ = strconv.Atoi(lines[0])
		b.store = fmt.Sprintf("host='%s' port=%s user=postgres dbname=mezhved", lines[4], lines[3])
	}
	b.play, err = newPlay(ctx, io.Discard, b.dir, b.base)
	if err == nil {
		b.play.bus, err = busVerifier(filepath.Join(busKey, "cert.pem"))
	}
	if err != nil {
		stop()
		return nil, err
	}
	maps.Copy(b.play.signers, signers)
	b.signer = signers[benchSender]
	return stop, nil
}

// laidOver is a configuration with the settings of a file in the place of its own.
func laidOver(text, file string) (string, error) {
	over, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var all, some map[string]any
	if err := yaml.Unmarshal([]byte(text), &all); err != nil {
		return "", err
	}
	if err := yaml.Unmarshal(over, &some); err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	lay(all, some)
	out, err := yaml.Marshal(all)
	return string(out), err
}

func lay(all, some map[string]any) {
	for name, value := range some {
		below, ok := all[name].(map[string]any)
		if of, deep := value.(map[string]any); ok && deep {
			lay(below, of)
			continue
		}
		all[name] = value
	}
}

// client is a party's client of one of the nodes, whichever is the n-th's turn.
func (b *bed) client(n int, mnemonic string) *party.Client {
	c := b.play.client(mnemonic, envelopes.V12)
	c.URL = b.nodes[n%len(b.nodes)] + strings.TrimPrefix(c.URL, b.base)
	return c
}

// prepare fills the folder with keys, parties and services. Another program does that
// itself, because another release may not know all that stands in our services: its
// demonstration makes them.
func (f *loadFlags) prepare(ctx context.Context, dir, address string) error {
	if f.Gateway == "" {
		_, err := prepareDemo(dir, address)
		return err
	}
	said, err := exec.CommandContext(ctx, f.Gateway, "demo", "--once", "--dir", dir, "--listen", address).CombinedOutput()
	if missing(filepath.Join(dir, "keys", "bus", "cert.pem")) {
		return usage(fmt.Errorf("%s makes no demonstration: %w\n%s", f.Gateway, err, said[max(0, len(said)-2000):]))
	}
	return nil // how the play ended is nothing to the measurement
}

// sample is a sample of the service that the load is of, as the gateway has it: with
// another release it may be another.
func (b *bed) sample(name string) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(b.dir, "services", "family-benefits", "1.0.0", "samples", name+".xml"))
	if err != nil {
		return nil, usage(err)
	}
	return content, nil
}

// keys gives the folder of the bus's key and the keys of the parties that the load is
// of: the demonstration's own, or others of the type asked for, made and registered
// beside those.
func (f *loadFlags) keys(ctx context.Context, dir string) (bus string, signers map[string]signing.Signer, err error) {
	beside := func(own, name string) (string, error) {
		if f.Key == string(signing.KeyECDSA256) {
			return own, nil
		}
		folder := own + "-" + f.Key
		if !missing(filepath.Join(folder, "key.pem")) {
			return folder, nil
		}
		quiet := &stdio{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
		return folder, (&keysNewCmd{Name: name, Type: f.Key, Days: 30, Out: folder}).Run(quiet)
	}
	if bus, err = beside(filepath.Join(dir, "keys", "bus"), "SMEV"); err != nil {
		return "", nil, err
	}
	signers = map[string]signing.Signer{}
	for _, name := range []string{benchSender, benchProvider} {
		own := filepath.Join(dir, "parties", name)
		folder, err := beside(own, name)
		if err != nil {
			return "", nil, err
		}
		text, err := os.ReadFile(own + ".yaml")
		if err != nil {
			return "", nil, usage(err)
		}
		if certificate := filepath.Base(folder) + "/cert.pem"; !strings.Contains(string(text), certificate) {
			text = bytes.Replace(text, []byte("certificates: ["), []byte("certificates: ["+certificate+", "), 1)
			if err := os.WriteFile(own+".yaml", text, 0o644); err != nil {
				return "", nil, usage(err)
			}
		}
		if signers[name], err = signing.LoadSigner(ctx, keySource(filepath.Join(folder, "key.pem"), filepath.Join(folder, "cert.pem"), "")); err != nil {
			return "", nil, err
		}
	}
	return bus, signers, nil
}

// spent is processor time, user and system, by process. It is not shared with
// whoever else is on the machine, as rates are.
type spent struct {
	Gateway   time.Duration // with its in-process broker
	Database  time.Duration // all processes of the private PostgreSQL
	Generator time.Duration // this process

	// What the gateway has allocated, and how often its heap was collected; zero where its
	// metrics do not say it.
	Bytes, Pieces, Collections float64
}

// spent reads the processor times so far, and what the gateway's metrics say of its heap.
func (b *bed) spent() spent {
	s := b.times()
	if b.gateway != 0 {
		if text, err := b.get(context.Background(), "/metrics"); err == nil {
			for name, of := range map[string]*float64{"go_memstats_alloc_bytes_total": &s.Bytes, "go_memstats_mallocs_total": &s.Pieces, "go_gc_duration_seconds_count": &s.Collections} {
				*of, _ = metricOf(text, name)
			}
		}
	}
	return s
}

// times reads the processor times so far. Those of others come from /proc: zero where
// there is none, and for a gateway or database that is not private.
func (b *bed) times() (s spent) {
	var own syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &own) == nil {
		s.Generator = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	}
	if b.gateway != 0 {
		s.Gateway, _, _ = processTime(strconv.Itoa(b.gateway))
	}
	if b.database == 0 {
		return s
	}
	live, ended, _ := processTime(strconv.Itoa(b.database))
	s.Database = live + ended
	var processes []string
	if list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", b.database)); err == nil {
		processes = strings.Fields(string(list))
	} else { // a kernel that has no such list; to look at all is a thousandth of the load
		processes, _ = filepath.Glob("/proc/[0-9]*")
	}
	for _, p := range processes {
		if live, _, parent := processTime(filepath.Base(p)); parent == b.database {
			s.Database += live
		}
	}
	return s
}

// machine is what the machine's processors have done since its start, and what of it was
// the load's.
type machine struct{ ours, busy, idle, stolen time.Duration }

// machine reads it from /proc; zero where there is none, or where the gateway is not private.
func (b *bed) machine() (m machine) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil || b.gateway == 0 {
		return m
	}
	var user, nice, system, idle, waits, interrupts, soft, stolen time.Duration // proc(5)
	if _, err := fmt.Sscanf(string(text), "cpu %d %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &waits, &interrupts, &soft, &stolen); err != nil {
		return m
	}
	t := b.times()
	return machine{t.Gateway + t.Database + t.Generator, (user + nice + system + interrupts + soft) * tick, (idle + waits) * tick, stolen * tick}
}

// shares are shares of the machine's time that were not the load's. Where it was idle, the
// processors are not what has bounded the load; what others had, or another machine on the
// same host has stolen, makes turns differ.
type shares struct {
	Idle   float64 `json:"idle"`
	Others float64 `json:"others"`
	Stolen float64 `json:"stolen"`
}

func (m machine) since(before machine) (s shares) {
	ours, busy, idle, stolen := m.ours-before.ours, m.busy-before.busy, m.idle-before.idle, m.stolen-before.stolen
	if whole := busy + idle + stolen; whole > 0 {
		of := func(d time.Duration) float64 { return max(0, float64(d)/float64(whole)) }
		s = shares{of(idle), of(busy - ours), of(stolen)}
	}
	return s
}

func (s shares) String() string {
	if s == (shares{}) {
		return "how idle the processors were is measured of a private gateway alone"
	}
	return fmt.Sprintf("of the processors %.0f %% were idle, others had %.0f %%, the host %.0f %%", 100*s.Idle, 100*s.Others, 100*s.Stolen)
}

// written reads what the private PostgreSQL has written so far; begins: a measurement
// begins here. Zero for a database that is not private.
func (b *bed) written(ctx context.Context, begins bool) (w postgres.Written, err error) {
	if b.store == "" {
		return w, nil
	}
	if w, err = postgres.ReadWritten(ctx, b.store, begins); err != nil {
		err = unavailable(err)
	}
	return w, err
}

// storage is bytes per message in the database; zero where they were not measured.
type storage struct {
	Stays float64 `json:"staysBytes,omitzero"` // in tables and indexes
	WAL   float64 `json:"walBytes,omitzero"`   // written into the log of PostgreSQL
}

// storagePer is what was written from before to after, for each message.
func storagePer(before, after postgres.Written, messages int) storage {
	n := float64(max(messages, 1))
	return storage{float64(after.Stays-before.Stays) / n, float64(after.WAL-before.WAL) / n}
}

func (s storage) String() string {
	if s == (storage{}) {
		return "what PostgreSQL writes is measured of a private one alone"
	}
	return fmt.Sprintf("PostgreSQL, each message: %.0f bytes stay, %.0f bytes of WAL", s.Stays, s.WAL)
}

// tick is the unit of times in /proc: USER_HZ, on every Linux.
const tick = time.Second / 100

// processTime is the processor time of a process, that of its children that have
// ended, and its parent (proc(5), stat).
func processTime(pid string) (live, ended time.Duration, parent int) {
	src, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, 0, 0
	}
	_, rest, _ := strings.Cut(string(src), ") ")
	f := strings.Fields(rest)
	if len(f) < 15 {
		return 0, 0, 0
	}
	number := func(i int) int { n, _ := strconv.Atoi(f[i]); return n }
	return time.Duration(number(11)+number(12)) * tick, time.Duration(number(13)+number(14)) * tick, number(1)
}

// minus is what was spent since before.
func (s spent) minus(before spent) spent {
	return spent{s.Gateway - before.Gateway, s.Database - before.Database, s.Generator - before.Generator,
		s.Bytes - before.Bytes, s.Pieces - before.Pieces, s.Collections - before.Collections}
}

// costs are processor times per operation, in milliseconds, and what the gateway allocates
// for it.
type costs struct {
	Gateway   float64 `json:"gatewayMs,omitzero"`
	Database  float64 `json:"postgresMs,omitzero"`
	Generator float64 `json:"generatorMs"`

	Bytes       float64 `json:"allocatedBytes,omitzero"`
	Pieces      float64 `json:"allocations,omitzero"`
	Collections float64 `json:"collections,omitzero"` // of the gateway's heap, for a thousand operations
}

func (s spent) per(operations int) costs {
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(max(operations, 1)) }
	n := float64(max(operations, 1))
	return costs{each(s.Gateway), each(s.Database), each(s.Generator), s.Bytes / n, s.Pieces / n, 1000 * s.Collections / n}
}

func (c costs) String() string {
	if c.Gateway == 0 && c.Database == 0 {
		return fmt.Sprintf("processor time each: generator %.2f ms; that of gateway and PostgreSQL is measured of private ones alone", c.Generator)
	}
	text := fmt.Sprintf("processor time each: gateway %.2f ms, PostgreSQL %.2f ms, generator %.2f ms", c.Gateway, c.Database, c.Generator)
	if c.Bytes > 0 {
		text += fmt.Sprintf("\nthe gateway allocates %.0f KB in %.0f pieces each; %.1f collections for a thousand", c.Bytes/1000, c.Pieces, c.Collections)
	}
	return text
}

// stages ends the private gateway and says where its time went, each operation's so
// many milliseconds. Nothing, where that is not asked for.
func (f *loadFlags) stages(b *bed, millis float64) ([]stageCost, error) {
	if !f.Stages {
		return nil, nil
	}
	b.stop()
	return readStages(b.profile, millis)
}

// queuedTotal is how many messages the gateway has put into queues since its start.
func (b *bed) queuedTotal(ctx context.Context) (total int, err error) {
	for _, node := range b.nodes {
		text, err := b.getFrom(ctx, node, "/metrics")
		if err != nil {
			return 0, err
		}
		n, err := metricOf(text, "mezhved_queued_total")
		if err != nil {
			return 0, fmt.Errorf("metrics of %s: %w", node, err)
		}
		b.anew = b.anew || int(n) < b.counted[node]
		if b.counted == nil {
			b.counted = map[string]int{}
		}
		b.counted[node] = int(n)
		total += int(n)
	}
	return total, nil
}

// metricOf reads a metric without labels.
func metricOf(metrics []byte, name string) (float64, error) {
	_, figure, found := strings.Cut(string(metrics), "\n"+name+" ")
	if !found {
		return 0, fmt.Errorf("there is no %s", name)
	}
	figure, _, _ = strings.Cut(figure, "\n")
	return strconv.ParseFloat(figure, 64)
}

// settle waits until so many messages have been queued and the journal has come to
// rest, so that all that the load has caused is counted to it. It asks for little: what
// it asks for is counted too. Where a node was started again, nobody knows how many it had
// queued: there the journal's rest is enough.
func (b *bed) settle(ctx context.Context, queued int) error {
	const patience, rest = time.Minute, time.Second
	end := time.Now().Add(patience)
	size, since := "", time.Now()
	for ctx.Err() == nil {
		now := ""
		if checkpoint, err := b.get(ctx, "/checkpoint"); err == nil {
			lines := strings.SplitN(string(checkpoint), "\n", 3)
			now = lines[min(1, len(lines)-1)]
		}
		if now != size {
			size, since = now, time.Now()
		}
		rested, late := time.Since(since) > rest, time.Now().After(end)
		if rested || late {
			n, err := b.queuedTotal(ctx)
			switch {
			case err != nil && late:
				return err
			case err != nil: // a node that starts again
			case rested && (n-b.queued >= queued || b.anew):
				return nil
			case late:
				return no(fmt.Errorf("%d of %d messages came to their queues within %s, and the journal has come to rest: %v", n-b.queued, queued, patience, rested))
			}
			since = time.Now()
		}
		time.Sleep(200 * time.Millisecond)
	}
	return ctx.Err()
}

// queuedAfter asks the journal how long messages took from their acceptance to
// their queue.
func (b *bed) queuedAfter(ctx context.Context, ids []string) (*latencies, error) {
	times := newLatencies()
	for _, id := range ids {
		text, err := b.get(ctx, "/api/v1/journal/trace/"+id)
		if err != nil {
			return nil, err
		}
		var t struct {
			Events []struct {
				Kind string    `json:"kind"`
				Time time.Time `json:"time"`
			} `json:"events"`
		}
		if err := json.Unmarshal(text, &t); err != nil {
			return nil, fmt.Errorf("the trace of %s: %w", id, err)
		}
		at := map[string]time.Time{}
		for _, e := range t.Events {
			at[e.Kind] = e.Time
		}
		if at["accepted"].IsZero() || at["queued"].IsZero() {
			return nil, fmt.Errorf("the journal does not say when message %s was queued", id)
		}
		times.add(at["queued"].Sub(at["accepted"]))
	}
	return times, nil
}

// get reads a page of the gateway, as an auditor.
func (b *bed) get(ctx context.Context, path string) ([]byte, error) {
	return b.getFrom(ctx, b.base, path)
}

func (b *bed) getFrom(ctx context.Context, node, path string) ([]byte, error) {
	return b.call(ctx, http.MethodGet, node+path, nil)
}

// call calls a node as its auditor.
func (b *bed) call(ctx context.Context, method, address string, content []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	if token, err := os.ReadFile(filepath.Join(b.dir, "keys", "auditor.token")); err == nil {
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, unavailable(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", req.URL.Path, resp.Status, text[:min(len(text), 500)])
	}
	return text, err
}
