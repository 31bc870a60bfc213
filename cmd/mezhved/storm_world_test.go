package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/embedded"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/kafka/realkafka"
	"mezhved/adapter/party"
	"mezhved/envelopes"
	"mezhved/signing"
)

// Bounds of the storm. Nothing that is right comes near them, even on a busy
// machine; what reaches one is a finding.
const (
	wellAgain  = 2 * time.Minute  // until everything is well after a fault
	goesOn     = 60 * time.Second // until the rest of the world goes on under a fault
	comesToEnd = 90 * time.Second // until a message is where it belongs, after all is well
)

// stormWorld is two nodes and all that they stand on, in processes and behind
// proxies that the storm can reach.
type stormWorld struct {
	*crashWorld
	s     *storm
	ctx   context.Context
	nodes []*stormNode

	databases [2]*embedded.Postgres // one of them, but while it fails over
	primary   int
	disk      string // a file system of the databases' own; empty: there is none

	name    string // of the bus
	brokers []broker
	wires   []*adaptertest.Proxy // before the brokers, one each
	wipe    func()               // removes what the brokers have on their disks, while they are down

}

// broker is one node of the bus.
type broker struct {
	kill   func()
	start  func()
	signal func(syscall.Signal)
}

// stormNode is one node of the gateway.
type stormNode struct {
	w             *stormWorld
	name          string
	address, base string
	ftp           string
	dir           string // of its journal state
	program       string
	wires         [2]*adaptertest.Proxy // to either database
	run           *running
}

const stormConfig = `# One node of the storm.
node: %[1]s
listen: %[2]s
services: services
parties: parties
database:
  urlFile: %[1]s/database.url
kafka:
  brokers: [%[3]s]
  replication: %[4]d
queues:
  lease: 5s
journal:
  origin: mezhved.demo/journal
  key: keys/journal.key
  state: %[1]s/journal.state
  vault: keys/vault
signature:
  key: keys/bus/key.pem
  certificate: keys/bus/cert.pem
replyTo:
  keys: [keys/replyto.key]
files:
  dir: files
  total: 4GB
ftp:
  listen: %[5]s
console:
  tokens:
    - {name: storm-auditor, role: auditor, file: keys/auditor.token}
`

// openStormWorld starts everything but the nodes.
func openStormWorld(t *testing.T, s *storm, bus string) *stormWorld {
	w := &stormWorld{crashWorld: &crashWorld{t: t, dir: t.TempDir()}, s: s, ctx: t.Context(), name: bus}
	w.must(ageKeys(w.dir, time.Now().AddDate(-1, 0, 0)))
	_, err := prepareDemo(w.dir, "127.0.0.1:0")
	w.must(err)
	w.mountDisk()
	w.databases[0], err = embedded.StartPostgres(w.ctx, w.postgres(0))
	w.must(err)
	w.database = w.databases[0]
	t.Cleanup(func() {
		for _, d := range w.databases {
			if d != nil {
				if err := d.Stop(); err != nil {
					t.Errorf("stopping the database: %v", err)
				}
			}
		}
	})
	w.must(w.database.Create(w.ctx, "mezhved"))
	switch bus {
	case "kfake":
		w.openKfake()
	case "kafka1":
		w.openKafka(1)
	case "kafka3":
		w.openKafka(3)
	default:
		t.Fatalf("MEZHVED_STORM_BUS: %q, want kfake, kafka1 or kafka3", bus)
	}
	skey, err := os.ReadFile(filepath.Join(w.dir, "keys", "journal.key"))
	w.must(err)
	for i := range 2 {
		n := &stormNode{w: w, name: fmt.Sprintf("gate-%d", i+1), address: freeAddress(t), ftp: freeAddress(t)}
		n.base, n.dir, n.program = "http://"+n.address, filepath.Join(w.dir, n.name), program(t, "mezhved")
		w.must(os.Mkdir(n.dir, 0o755))
		mountSmall(t, n.dir, "256k")
		w.must(clerk.CreateSignerState(filepath.Join(n.dir, "journal.state"), strings.TrimSpace(string(skey))))
		for d := range n.wires {
			n.wires[d] = w.proxy("unix", "/nowhere")
		}
		n.wires[0].Redirect("unix", w.database.Socket())
		n.useDatabase(n.url())
		text := fmt.Sprintf(stormConfig, n.name, n.address, strings.Join(w.addresses(), ", "), len(w.brokers), n.ftp)
		w.must(os.WriteFile(n.config(), []byte(text), 0o644))
		w.nodes = append(w.nodes, n)
	}
	mountSmall(t, filepath.Join(w.dir, "files"), "64m")
	replaceIn(t, filepath.Join(w.dir, "parties", "SFR01.yaml"), "lease: 3s\n", "lease: 5s\n")
	return w
}

// ageKeys makes the keys of the bus and the parties with certificates that are
// good since then: clocks will go back.
func ageKeys(dir string, since time.Time) error {
	ca, err := signing.NewTestCA("Mezhved storm CA", signing.KeyECDSA256, since)
	if err != nil {
		return err
	}
	quiet := &stdio{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	issue := func(folder, name string) error {
		id, err := ca.Issue(signing.TestSubject{CommonName: name, Lifetime: 3 * 365 * 24 * time.Hour}, since)
		if err != nil {
			return err
		}
		return writeIdentity(quiet, folder, id)
	}
	errs := []error{writeIdentity(quiet, filepath.Join(dir, "keys", "ca"), &signing.Identity{Certificate: ca.Certificate, Key: ca.Key}), issue(filepath.Join(dir, "keys", "bus"), "SMEV")}
	for _, p := range demoParties {
		errs = append(errs, issue(filepath.Join(dir, "parties", p.mnemonic), p.mnemonic))
	}
	return errors.Join(errs...)
}

func (w *stormWorld) postgres(i int) embedded.PostgresOptions {
	dir := w.dir
	if w.disk != "" {
		dir = w.disk
	}
	return embedded.PostgresOptions{Dir: filepath.Join(dir, fmt.Sprintf("postgres-%d", i)), Durable: true, Settings: map[string]string{"max_connections": "150"}}
}

func (w *stormWorld) proxy(network, target string) *adaptertest.Proxy {
	p, err := adaptertest.NewProxy(network, target)
	w.must(err)
	w.t.Cleanup(func() { p.Close() })
	return p
}

func (w *stormWorld) openKfake() {
	dir := filepath.Join(w.dir, "kafka")
	w.wires = []*adaptertest.Proxy{w.proxy("unix", embedded.KafkaSocket(dir, 0))}
	var child *embedded.KafkaChild
	start := func() {
		var err error
		child, err = embedded.StartKafkaChild(embedded.KafkaOptions{Dir: dir, Durable: true, Behind: w.addresses()})
		w.must(err)
	}
	start()
	w.t.Cleanup(func() { child.Stop() })
	w.brokers = []broker{{
		kill:   func() { w.must(child.Kill()) },
		start:  start,
		signal: func(s syscall.Signal) { w.must(child.Process().Signal(s)) },
	}}
	w.wipe = func() { w.must(os.RemoveAll(filepath.Join(dir, "data"))) }
}

func (w *stormWorld) openKafka(nodes int) {
	ctx, cancel := context.WithTimeout(w.ctx, 2*patience)
	defer cancel()
	c, err := realkafka.StartBehind(ctx, filepath.Join(w.dir, "apache-kafka"), nodes, func(address string) (string, error) {
		w.wires = append(w.wires, w.proxy("tcp", address))
		return w.wires[len(w.wires)-1].Address(), nil
	})
	w.must(err)
	w.t.Cleanup(c.Stop)
	for i := range nodes {
		w.brokers = append(w.brokers, broker{
			kill:   func() { c.KillNode(i) },
			start:  func() { w.must(c.StartNode(i)) },
			signal: func(s syscall.Signal) { w.must(c.Signal(i, s)) },
		})
	}
	w.wipe = func() {
		for i := range nodes {
			w.must(c.Wipe(w.ctx, i))
		}
	}
}

// addresses are the brokers', as clients know them.
func (w *stormWorld) addresses() (list []string) {
	for _, p := range w.wires {
		list = append(list, p.Address())
	}
	return list
}

// mountDisk gives the databases a file system of their own, that can be filled
// without harm to anybody else. Only root may.
func (w *stormWorld) mountDisk() {
	if os.Geteuid() != 0 {
		return
	}
	image, disk := filepath.Join(w.dir, "disk.img"), filepath.Join(w.dir, "disk")
	w.must(os.Mkdir(disk, 0o755))
	f, err := os.Create(image)
	w.must(err)
	w.must(errors.Join(f.Truncate(12<<30), f.Close())) // it takes up what is written
	for _, c := range [][]string{{"mkfs.ext4", "-q", "-F", "-m", "0", image}, {"mount", "-o", "loop", image, disk}} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			w.t.Logf("the databases get no file system of their own: %v: %s", err, out)
			return
		}
	}
	unmountAfter(w.t, disk)
	w.disk = disk
}

// mountSmall lays a small file system over a folder, where we may.
func mountSmall(t *testing.T, dir, size string) {
	if os.Geteuid() != 0 {
		return
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "storm", dir).CombinedOutput(); err != nil {
		t.Logf("%s gets no file system of its own: %v: %s", dir, err, out)
		return
	}
	unmountAfter(t, dir)
}

func unmountAfter(t *testing.T, dir string) {
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v: %s", dir, err, out)
		}
	})
}

// fill takes up all room of a file system that is left; the returned function
// gives it back.
func fillDisk(dir string) (free func(), err error) {
	filler := filepath.Join(dir, "filler")
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return nil, err
	}
	f, err := os.Create(filler)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	most := int64(st.Bavail) * st.Bsize
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, most-most/100); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return nil, err
	}
	for size := 1 << 20; size >= 1<<12; size >>= 4 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	return func() { os.Remove(filler) }, nil
}

// mounted tells whether a folder is a file system of its own.
func mounted(dir string) bool {
	var here, above syscall.Stat_t
	return syscall.Stat(dir, &here) == nil && syscall.Stat(filepath.Dir(dir), &above) == nil && here.Dev != above.Dev
}

func (n *stormNode) config() string { return filepath.Join(n.w.dir, n.name+".yaml") }

// url is what the node is told of its databases.
func (n *stormNode) url() string {
	return fmt.Sprintf("postgres://postgres@/mezhved?host=127.0.0.1,127.0.0.1&port=%d,%d&target_session_attrs=read-write&sslmode=disable", n.wires[0].Port(), n.wires[1].Port())
}

func (n *stormNode) useDatabase(url string) {
	n.w.must(os.WriteFile(filepath.Join(n.dir, "database.url"), []byte(url+"\n"), 0o600))
}

// launch starts the node without waiting for it.
func (n *stormNode) launch() {
	r, err := launchProgram(nil, n.program, "serve", "--config", n.config())
	n.w.must(err)
	n.run = r
}

// gone tells whether the node's process has ended.
func (n *stormNode) gone() bool {
	select {
	case <-n.run.done:
		return true
	default:
		return false
	}
}

// start starts the node and waits until it is ready; what has ended on the way is
// started again, as a service manager does.
func (n *stormNode) start() {
	n.launch()
	n.becomesReady()
}

func (n *stormNode) becomesReady() {
	w := n.w
	if !w.within(wellAgain, func() bool {
		if n.gone() {
			time.Sleep(time.Second)
			n.launch()
		}
		return n.ready()
	}) {
		w.finds("%s does not get ready in %s: %s; its log ends:\n%s", n.name, wellAgain, n.says("/readyz"), lastOf(n.run.out.String(), 12))
	}
}

var probe = &http.Client{Timeout: 5 * time.Second}

func (n *stormNode) ready() bool {
	resp, err := probe.Get(n.base + "/readyz")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode == http.StatusOK
}

// says is what a page of the node says.
func (n *stormNode) says(page string) string {
	resp, err := probe.Get(n.base + page)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return strings.TrimSpace(string(text))
}

func lastOf(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (n *stormNode) kill() { n.run.kill() }

// terminate ends the node as a service manager does; it must end well and soon.
func (n *stormNode) terminate() {
	done := make(chan int, 1)
	go func() { done <- n.run.terminate() }()
	select {
	case code := <-done:
		if code != 0 {
			n.w.finds("%s ends with exit code %d after SIGTERM; its log ends:\n%s", n.name, code, lastOf(n.run.out.String(), 12))
		}
	case <-time.After(wellAgain):
		n.w.finds("%s has not ended %s after SIGTERM", n.name, wellAgain)
		n.kill()
		<-done
	}
}

// signal sends a signal by its name, without waiting.
func (n *stormNode) signal(name string) { fmt.Fprintln(n.run.in, name) }

// pid is the gateway's own process, below the leash.
func (n *stormNode) pid() int {
	entries, err := os.ReadDir("/proc")
	n.w.must(err)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		exe, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if err == nil && len(fields) > 1 && fields[1] == strconv.Itoa(n.run.pid) && exe == n.program {
			return pid
		}
	}
	n.w.t.Fatalf("%s has no process", n.name)
	return 0
}

// within waits for something.
func (w *stormWorld) within(bound time.Duration, holds func() bool) bool {
	for end := time.Now().Add(bound); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// finds notes a finding of the round that is on.
func (w *stormWorld) finds(format string, args ...any) { w.s.found(w.s.round, format, args...) }

// do runs SQL on the database itself, past all proxies.
func (w *stormWorld) do(sql string, args ...any) error {
	ctx, cancel := context.WithTimeout(w.ctx, 20*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, w.database.URL("mezhved"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql, args...)
	return err
}

// ask asks the database itself for one number; false: it does not answer.
func (w *stormWorld) ask(sql string) (n int64, ok bool) {
	ctx, cancel := context.WithTimeout(w.ctx, 2*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, w.database.URL("mezhved"))
	if err != nil {
		return 0, false
	}
	defer conn.Close(ctx)
	return n, conn.QueryRow(ctx, sql).Scan(&n) == nil
}

// run is the life of a world.
func (w *stormWorld) run(rounds int) {
	began := time.Now()
	old := ""
	if w.s.upgrade != nil {
		var err error
		if old, err = previous(); err != nil {
			w.s.absent[w.s.upgrade.name] = err.Error()
		} else {
			w.must(previousServices(filepath.Join(w.dir, "services")))
		}
	}
	for _, n := range w.nodes {
		if old != "" {
			n.program = old
		}
		n.start()
		w.t.Cleanup(func() { n.run.out.flow(); n.kill() })
	}
	play, err := newPlay(w.ctx, w.t.Output(), w.dir, w.nodes[0].base)
	w.must(err)
	w.load = startLoad(w.ctx, play, loadOptions{nodes: []string{w.nodes[0].base, w.nodes[1].base}, senders: 8, takers: 3, slow: 300, throttle: 1500, timeout: 5 * time.Second})
	if old != "" {
		w.load.routings = 2
	}
	w.load.store = &party.FileStore{URL: "ftp://" + w.nodes[0].ftp, Attempts: 10, Pause: 200 * time.Millisecond}
	defer func() {
		w.load.leave()
		w.load.sending.Wait()
		w.load.taking.Wait()
	}()
	if !w.well(w.load.watch(), wellAgain) {
		w.t.Fatalf("the world does not even begin%s\n%s", w.state(), lastOf(w.nodes[0].run.out.String(), 30))
	}
	if old != "" {
		w.round([]*fault{w.s.upgrade})
		rounds--
	}
	w.log = w.openAuditLog(w.nodes[0].url())
	for range rounds {
		list := w.s.draw(w)
		if list == nil {
			w.t.Logf("none of the kinds asked for can be here: %v", w.s.absent)
			break
		}
		if !w.round(list) {
			break
		}
	}
	close(w.load.noMore)
	sent := make(chan struct{})
	go func() { w.load.sending.Wait(); close(sent) }()
	select {
	case <-sent:
	case <-time.After(wellAgain):
		w.finds("%d messages are still not answered %s after all is well", w.load.unsure(), wellAgain)
	}
	w.audit()
	w.s.took += time.Since(began)
	w.s.accepted += w.load.accepted.Load()
}

// gauges are what a world takes up.
type gauges struct{ rss, goroutines, connections float64 }

func (w *stormWorld) gauges() (g gauges) {
	for _, n := range w.nodes {
		for line := range strings.Lines(n.says("/metrics")) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			v, _ := strconv.ParseFloat(value, 64)
			switch name {
			case "process_resident_memory_bytes":
				g.rss += v
			case "go_goroutines":
				g.goroutines += v
			}
		}
		for _, p := range n.wires {
			g.connections += float64(p.Connections())
		}
	}
	for _, p := range w.wires {
		g.connections += float64(p.Connections())
	}
	return g
}

// progress is what went on after a moment, and when.
type progress struct {
	watch
	size   int64     // of the journal when the first message was accepted
	signed time.Time // a checkpoint beyond it was there
}

// look brings a progress up to date.
func (w *stormWorld) look(p *progress, of *watch) {
	p.watch = w.load.seen(of)
	if p.accepted.IsZero() || !p.signed.IsZero() {
		return
	}
	size, ok := w.ask("SELECT coalesce(max(size), 0) FROM journal_checkpoint")
	switch {
	case !ok:
	case p.size == 0:
		p.size = max(size, 1)
	case size > p.size:
		p.signed = time.Now()
	}
}

func (p *progress) whole() bool {
	return !p.accepted.IsZero() && !p.delivered.IsZero() && !p.signed.IsZero() && p.ended >= 5
}

func (p *progress) missing() string {
	var list []string
	for what, at := range map[string]time.Time{"accepted": p.accepted, "delivered": p.delivered, "signed": p.signed} {
		if at.IsZero() {
			list = append(list, "nothing is "+what)
		}
	}
	if p.ended < 5 {
		list = append(list, fmt.Sprintf("%d exchanges have ended", p.ended))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// well waits until both nodes are ready, answer, and exchanges that were begun
// after the watch go to their end and into a signed log.
func (w *stormWorld) well(of *watch, bound time.Duration) bool {
	var p progress
	return w.wellAs(&p, of, bound)
}

func (w *stormWorld) wellAs(p *progress, of *watch, bound time.Duration) bool {
	ready := false
	return w.within(bound, func() bool {
		w.look(p, of)
		ready = ready || w.nodes[0].ready() && w.nodes[1].ready()
		return ready && p.whole() && w.load.nodes.all(of.since)
	})
}

// round is one round: it strikes, sees what must go on, heals, and waits until
// all is well. false: the world is past help.
func (w *stormWorld) round(list []*fault) bool {
	s := w.s
	s.round++
	s.buses[w.name]++
	s.records = append(s.records, record{s.round, list})
	w.load.mu.Lock()
	w.load.round = s.round
	w.load.mu.Unlock()
	before, accepted, repeated, began := w.gauges(), w.load.accepted.Load(), w.load.repeated.Load(), time.Now()
	found := len(s.findings)

	var heals []func()
	lasts, carries := time.Duration(0), true
	for _, f := range list {
		heals = append(heals, f.strike(w))
		lasts = max(lasts, f.lasts(s.rand))
		carries = carries && f.carries
	}
	struck := w.load.watch()
	var p progress
	if carries {
		least := time.Now().Add(lasts)
		if !w.within(goesOn, func() bool { w.look(&p, struck); return p.whole() && time.Now().After(least) }) {
			w.stands(list, "under the fault, after %s: %s", goesOn, p.missing())
		}
	} else {
		for end := time.Now().Add(lasts); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			w.look(&p, struck)
		}
	}
	for _, heal := range slices.Backward(heals) {
		heal()
	}
	healed := w.load.watch(struck)
	var after progress
	well := w.wellAs(&after, healed, wellAgain)
	if !well {
		w.stands(list, "%s after the fault has gone: %s; ready: %v, %v; answering: %v; waiting in the outbox: %s", wellAgain, after.missing(), w.nodes[0].ready(), w.nodes[1].ready(), w.load.nodes.all(healed.since), w.count("outbox"))
		well = w.restart()
	}
	if !carries {
		p = after
	}
	for _, f := range list {
		r := s.result(f)
		r.rounds++
		r.accepted += w.load.accepted.Load() - accepted
		for at, into := range map[*time.Time]*[]time.Duration{&p.accepted: &r.accept, &p.delivered: &r.deliver, &p.signed: &r.sign} {
			if !at.IsZero() {
				*into = append(*into, at.Sub(p.since))
			}
		}
		r.before, r.after = append(r.before, before), append(r.after, w.gauges())
	}
	w.overdue()
	if w.log != nil && s.round%10 == 0 {
		w.visit()
	}
	state := "well"
	if len(s.findings) > found {
		state = "NOT WELL"
	}
	w.t.Logf("round %d, %s: %s in %s; accepted %d, repeated %d; accepts again after %s, delivers %s, signs %s", s.round, kindsOf(list), state, time.Since(began).Round(10*time.Millisecond),
		w.load.accepted.Load()-accepted, w.load.repeated.Load()-repeated, since(p.accepted, p.since), since(p.delivered, p.since), since(p.signed, p.since))
	return well
}

func since(at, from time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return at.Sub(from).Round(10 * time.Millisecond).String()
}

// stands notes that the world stood still.
func (w *stormWorld) stands(list []*fault, format string, args ...any) {
	for _, f := range list {
		w.s.result(f).stood++
	}
	w.finds(format, args...)
	for _, n := range w.nodes {
		w.t.Logf("%s: /readyz says %q; the end of its log:\n%s", n.name, n.says("/readyz"), lastOf(n.run.out.String(), 8))
	}
}

// restart is what an operator does when nothing else helps.
func (w *stormWorld) restart() bool {
	for _, n := range w.nodes {
		n.kill()
	}
	for _, n := range w.nodes {
		n.start()
	}
	if w.well(w.load.watch(), wellAgain) {
		return true
	}
	w.finds("a restart of both nodes does not help: the world is given up%s", w.state())
	return false
}

func (w *stormWorld) count(table string) string {
	n, ok := w.ask("SELECT count(*) FROM " + table)
	if !ok {
		return "unknown"
	}
	return strconv.FormatInt(n, 10)
}

// overdue waits for what was begun before the last round but one and is not
// where it belongs; what does not come is lost.
func (w *stormWorld) overdue() {
	l := w.load
	var late []string
	open := func() bool {
		late = late[:0]
		l.mu.Lock()
		defer l.mu.Unlock()
		for id, s := range l.sent {
			if !s.accepted || s.givenUp || s.round >= w.s.round {
				continue
			}
			for _, system := range s.recipients {
				if t := l.taken[inbox{id, system}]; t == nil {
					late = append(late, id)
					break
				}
			}
		}
		return len(late) > 0
	}
	if w.within(comesToEnd, func() bool { return !open() }) {
		return
	}
	l.mu.Lock()
	rounds := map[int]int{}
	for _, id := range late {
		s := l.sent[id]
		s.givenUp = true
		rounds[s.round]++
		l.finished.Add(1)
	}
	l.mu.Unlock()
	for round, n := range rounds {
		w.s.found(round, "%d messages, such as %s, were accepted and have not come %s after all was well", n, late[0], comesToEnd)
	}
}

// visit lets the auditor follow the log and gives its size.
func (w *stormWorld) visit() int64 {
	var v *audit.Visit
	var err error
	fork := (*audit.ForkError)(nil)
	w.within(wellAgain, func() bool {
		ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
		defer cancel()
		v, err = w.log.follow(ctx)
		return err == nil || errors.As(err, &fork)
	})
	if err != nil {
		w.finds("the auditor's visit: %v", err)
		return 0
	}
	if n := v.Recount.Found; n > 0 {
		w.finds("the auditor finds %d things, such as: %s", n, v.Recount.Findings[0])
	}
	return v.Now.Tree.N
}

// audit ends the world: everything comes to rest, the auditor's program mirrors
// the log from a node and verifies it, and the journal is held against the ledger.
func (w *stormWorld) audit() {
	l := w.load
	systems := []string{"SFR01", "ROSREESTR", "PRIMERSK", "MFC01"}
	l.askAgain()
	if !w.within(comesToEnd, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for id, s := range l.sent {
			for _, system := range s.recipients {
				if t := l.taken[inbox{id, system}]; !s.givenUp && (!s.accepted || t == nil || t.closed.IsZero()) {
					return false
				}
			}
		}
		return true
	}) {
		open := 0
		for _, system := range systems {
			open += len(l.open(system))
		}
		w.finds("at the end %d messages are not acknowledged and %d have no answer%s", open, l.unsure(), w.state())
	}
	l.leave()
	l.sending.Wait()
	l.taking.Wait()
	// The log has taken up everything when nothing waits and a checkpoint covers it.
	if !w.within(wellAgain, func() bool {
		waits, ok := w.ask("SELECT count(*) FROM journal_pending")
		unsigned, ok2 := w.ask("SELECT (SELECT size FROM journal_head LIMIT 1) - (SELECT max(size) FROM journal_checkpoint)")
		return ok && ok2 && waits == 0 && unsigned == 0
	}) {
		w.finds("the log does not take up what waits: %s rows", w.count("journal_pending"))
	}
	for _, n := range w.nodes {
		if left := l.remains(w.ctx, n.base, append(systems, "FNS01")); left != "" {
			w.finds("something is left on %s for %s", n.name, left)
		}
	}
	w.mirror()
	if w.log == nil {
		return
	}
	entries := w.visit()
	for _, p := range l.compare(w.log.livesIn(entries)) {
		round := w.s.round
		if s := l.sent[p.id]; s != nil {
			round = s.round
		}
		w.s.blame(round, p.what, "message "+p.id+": "+p.text)
	}
	for _, v := range l.violations {
		what := otherwise
		if strings.Contains(v.text, "again after its acknowledgement") {
			what = doubled
		}
		w.s.blame(v.round, what, v.text)
	}
	w.t.Logf("the world of %s ends: %d messages accepted, %d entries in the log", w.name, l.accepted.Load(), entries)
	for _, n := range w.nodes {
		n.terminate()
	}
}

// remains names the systems whose queues are not empty at a node.
func (l *load) remains(ctx context.Context, base string, systems []string) string {
	var left []string
	for _, system := range systems {
		c := l.play.client(system, envelopes.V12)
		c.URL = base + "/smev/v1.2/ws"
		request, err := c.PollRequest(ctx, party.Selector{})
		response, err2 := c.PollResponse(ctx, party.Selector{})
		if err := errors.Join(err, err2); err != nil || request != nil || response != nil {
			left = append(left, fmt.Sprintf("%s (%v)", system, err))
		}
	}
	return strings.Join(left, ", ")
}

// mirror lets the auditor's own program fetch the log from a node and verify it.
func (w *stormWorld) mirror() {
	vkey, err := os.ReadFile(filepath.Join(w.dir, "keys", "journal.key.pub"))
	w.must(err)
	p, err := journal.LogPolicy(strings.TrimSpace(string(vkey)))
	w.must(err)
	policy, dir := filepath.Join(w.dir, "policy.txt"), filepath.Join(w.dir, "mirror-by-program")
	w.must(os.WriteFile(policy, p.Text(), 0o644))
	for _, args := range [][]string{
		{"mirror", "--policy", policy, "--token-file", filepath.Join(w.dir, "keys", "auditor.token"), w.nodes[1].base, dir},
		{"verify", "log", "--policy", policy, dir},
	} {
		out, err := exec.Command(program(w.t, "mezhved-audit"), args...).CombinedOutput()
		if err != nil {
			lines := strings.Split(string(out), "\n")
			w.finds("mezhved-audit %s: %v\n%s", args[0], err, strings.Join(lines[:min(len(lines), 6)], "\n"))
			return
		}
		w.t.Logf("mezhved-audit %s:\n%s", args[0], out)
	}
}
