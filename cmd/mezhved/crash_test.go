package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/embedded"
	"mezhved/adapter/kafka/realkafka"
	"mezhved/adapter/party"
	"mezhved/envelopes"
)

// Nothing is lost, and nothing happens twice, when the gateway, the database
// and the broker are killed under load, one after the other and then all at
// once. Each is a process of its own and ends by SIGKILL. The parties know
// nothing but the protocol: what has no certain answer they repeat.
//
// MEZHVED_CRASH_ROUNDS is how often all of it is done, 1 by default.
func TestNothingIsLost(t *testing.T) {
	w := openCrashWorld(t)
	w.kafkaChild()
	w.run(rounds(t), true)
}

// The same on Apache Kafka, of one node and of three, whose nodes are killed one
// after the other, so that each partition of the three loses its leader and goes
// on under another one, and then everything at once.
func TestNothingIsLostOnApacheKafka(t *testing.T) {
	if os.Getenv("MEZHVED_TEST_REAL_KAFKA") == "" {
		t.Skip("set MEZHVED_TEST_REAL_KAFKA=1 to start Apache Kafka (needs Java 17 and Maven)")
	}
	for _, nodes := range []int{1, 3} {
		t.Run(strconv.Itoa(nodes), func(t *testing.T) {
			w := openCrashWorld(t)
			w.kafkaCluster(nodes)
			w.run(rounds(t), false)
		})
	}
}

func rounds(t *testing.T) int {
	text := os.Getenv("MEZHVED_CRASH_ROUNDS")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("MEZHVED_CRASH_ROUNDS=%s: a number from 1 on is expected", text)
	}
	return n
}

// patience is how long anything may take on a machine that is busy with other
// things. Nothing is judged by how long it took.
const patience = 4 * time.Minute

// crashWorld is a gateway on a database and a bus that can be killed one by one.
type crashWorld struct {
	t        *testing.T
	dir      string
	address  string
	base     string
	database *embedded.Postgres
	gateway  *running
	bus      []part // its nodes
	whole    bool   // the bus goes on when one node is killed
	brokers  string // its addresses
	load     *load
	log      *auditLog
}

// part is something that can be killed and started again.
type part struct {
	name  string
	kill  func()
	start func()
}

// openCrashWorld starts the database and makes what a demonstration has: keys,
// parties, services.
func openCrashWorld(t *testing.T) *crashWorld { return openWorld(t, prepareWorld) }

// openWorld is openCrashWorld in a folder that prepare has made.
func openWorld(t *testing.T, prepare func(t testing.TB, dir, address string)) *crashWorld {
	w := &crashWorld{t: t, dir: t.TempDir(), address: freeAddress(t)}
	w.base = "http://" + w.address
	prepare(t, w.dir, w.address)
	ctx := t.Context()
	var err error
	if w.database, err = embedded.StartPostgres(ctx, embedded.PostgresOptions{Dir: filepath.Join(w.dir, "postgres"), Durable: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.database.Stop(); err != nil {
			t.Errorf("stopping the database: %v", err)
		}
	})
	w.must(w.database.Create(ctx, "mezhved"))
	w.must(os.WriteFile(filepath.Join(w.dir, "database.url"), []byte(w.database.URL("mezhved")+"\n"), 0o600))
	return w
}

// kafkaChild makes the embedded broker the bus.
func (w *crashWorld) kafkaChild() {
	var child *embedded.KafkaChild
	start := func() {
		var err error
		child, err = embedded.StartKafkaChild(embedded.KafkaOptions{Dir: filepath.Join(w.dir, "kafka"), Durable: true})
		w.must(err)
	}
	start()
	w.t.Cleanup(func() { child.Stop() }) // it may have been killed
	w.bus = []part{{"the broker", func() { w.must(child.Kill()) }, start}}
	w.configure(child.Brokers(), 1)
}

// kafkaCluster makes Apache Kafka the bus.
func (w *crashWorld) kafkaCluster(nodes int) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*patience)
	defer cancel()
	c, err := realkafka.Start(ctx, filepath.Join(w.dir, "apache-kafka"), nodes)
	w.must(err)
	w.t.Cleanup(c.Stop)
	for i := range nodes {
		w.bus = append(w.bus, part{fmt.Sprintf("Kafka node %d of %d", i+1, nodes), func() { c.KillNode(i) }, func() { w.must(c.StartNode(i)) }})
	}
	w.whole = nodes > 1
	w.configure(c.Brokers(), nodes)
}

// configure points the demonstration's configuration to our own servers. A
// short lease makes lost deliveries come again while we look.
func (w *crashWorld) configure(brokers []string, replication int) {
	w.brokers = strings.Join(brokers, ", ")
	file := filepath.Join(w.dir, "mezhved.yaml")
	replaceIn(w.t, file, "database:\n  private: postgres\n", "database:\n  urlFile: database.url\n")
	replaceIn(w.t, file, "kafka:\n  private: kafka\n", fmt.Sprintf("queues:\n  lease: 5s\nkafka:\n  brokers: [%s]\n  replication: %d\n", w.brokers, replication))
	replaceIn(w.t, filepath.Join(w.dir, "parties", "SFR01.yaml"), "lease: 3s\n", "lease: 5s\n")
}

func (w *crashWorld) startGateway() {
	w.gateway = launch(w.t, "mezhved", "serve", "--config", filepath.Join(w.dir, "mezhved.yaml"))
	w.await("the gateway is ready", func() bool {
		select {
		case <-w.gateway.done:
			w.t.Fatalf("the gateway ended: %v\n%s", w.gateway.err, w.gateway.out)
		default:
		}
		resp, err := http.Get(w.base + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// run is the whole story: load, kills, and the proofs. everything says whether
// gateway and database are killed alone, too, and not only together with the bus.
func (w *crashWorld) run(rounds int, everything bool) {
	t := w.t
	ctx := t.Context()
	w.startGateway()
	play, err := newPlay(ctx, t.Output(), w.dir, w.base)
	w.must(err)
	w.log = w.openAuditLog(w.database.URL("mezhved"))
	w.load = startLoad(ctx, play, loadOptions{nodes: []string{w.base}, senders: 4, takers: 1, throttle: 400, timeout: 40 * time.Second})
	defer func() {
		w.load.leave()
		w.load.sending.Wait()
		w.load.taking.Wait()
		if t.Failed() {
			t.Logf("the end of the gateway's log:\n%s", w.gateway.out)
		}
	}()
	gateway := part{"the gateway", func() { w.gateway.kill() }, w.startGateway}
	database := part{"the database", func() { w.must(w.database.Kill()) }, func() { w.must(w.database.Start(ctx)) }}
	all := part{name: "everything at once", kill: func() {
		gateway.kill()
		database.kill()
		for _, node := range w.bus {
			node.kill()
		}
	}, start: func() {
		database.start()
		for _, node := range w.bus {
			node.start()
		}
		gateway.start()
	}}
	w.progress("before anything is killed")
	for r := range rounds {
		if everything {
			w.strike(r, gateway, w.failing)
			w.strike(r, database, w.dark)
		}
		for _, node := range w.bus {
			w.strike(r, node, w.accepting)
		}
		if r == rounds-1 {
			w.leaveSomeWaiting()
		}
		w.strike(r, all, w.failing)
	}
	close(w.load.noMore)
	w.load.sending.Wait()
	w.prove()
}

// strike kills a part under load, sees what must hold while it is down, starts
// it again and sees that the exchanges go on.
func (w *crashWorld) strike(round int, p part, meanwhile func()) {
	w.t.Helper()
	begin := time.Now()
	accepted, repeated := w.load.accepted.Load(), w.load.repeated.Load()
	p.kill()
	meanwhile()
	p.start()
	w.progress("after " + p.name + " was killed and started again")
	entries := w.log.visit()
	w.t.Logf("round %d: %s killed; %d messages accepted and %d calls repeated until the exchanges went on, in %s; the journal has %d entries", round+1, p.name,
		w.load.accepted.Load()-accepted, w.load.repeated.Load()-repeated, time.Since(begin).Round(time.Millisecond), entries)
}

// failing waits until parties have noticed.
func (w *crashWorld) failing() {
	from := w.load.repeated.Load()
	w.await("calls fail", func() bool { return w.load.repeated.Load() >= from+10 })
}

// dark: without its database the gateway refuses, and says so; nothing that is
// sent now may be accepted.
func (w *crashWorld) dark() {
	w.load.dark.Store(true)
	defer w.load.dark.Store(false)
	w.failing()
	select {
	case <-w.gateway.done:
		w.t.Fatalf("the gateway ended with its database: %v\n%s", w.gateway.err, w.gateway.out)
	default:
	}
}

// accepting: without the bus accepts go on.
func (w *crashWorld) accepting() {
	if w.whole {
		w.progress("while one node is down")
		return
	}
	from := w.load.accepted.Load()
	w.load.throttle.Add(20) // those under way may be all that there may be
	w.await("messages are accepted without the bus", func() bool { return w.load.accepted.Load() >= from+10 })
}

// progress waits until exchanges that begin now have come to their end.
func (w *crashWorld) progress(when string) {
	w.t.Helper()
	watch := w.load.watch()
	w.await("exchanges begin and end "+when, func() bool { return w.load.seen(watch).ended >= 20 })
}

// leaveSomeWaiting sends ROSREESTR away, so that messages stand in its queue
// until the end.
func (w *crashWorld) leaveSomeWaiting() {
	w.load.absent.Store("ROSREESTR", true)
	// What was handed out before it went may still be acknowledged.
	w.await("messages wait for ROSREESTR", func() bool { return len(w.load.open("ROSREESTR")) >= 50 })
	w.load.unasked.Store("ROSREESTR", true)
}

// await waits until something holds.
func (w *crashWorld) await(what string, holds func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("still not true after %s: %s%s", patience, what, w.state())
		}
	}
}

func (w *crashWorld) state() string {
	if w.load == nil {
		return "\n" + w.gateway.out.String()
	}
	l := w.load
	said := fmt.Sprintf("; accepted %d, begun %d, finished %d, repeated %d", l.accepted.Load(), l.begun.Load(), l.finished.Load(), l.repeated.Load())
	for _, system := range []string{"SFR01", "ROSREESTR", "PRIMERSK", "MFC01"} {
		if open := l.open(system); len(open) > 0 {
			said += fmt.Sprintf("; open for %s: %d, such as %s", system, len(open), open[0])
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%s; violations %v", said, l.violations)
}

func (w *crashWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// waiting is what the gateway itself tells a system of its request queue.
func (w *crashWorld) waiting(system string) (n int64) {
	c := w.load.client(system, envelopes.V11)
	c.URL = w.base + "/smev/v1.1/ws"
	c.Attempts = 3
	list, err := c.Statistics(w.t.Context(), "")
	w.must(err)
	for _, q := range list {
		if strings.Contains(q.Name, "_"+strings.ToUpper(string(adapter.QueueRequests))+"_") {
			n += q.Pending
		}
	}
	return n
}

// empty tells whether a system's two queues have nothing to hand out.
func (w *crashWorld) empty(system string) bool {
	c := w.load.client(system, envelopes.V12)
	c.Attempts = 3
	request, err := c.PollRequest(w.t.Context(), party.Selector{})
	w.must(err)
	response, err := c.PollResponse(w.t.Context(), party.Selector{})
	w.must(err)
	return request == nil && response == nil
}
