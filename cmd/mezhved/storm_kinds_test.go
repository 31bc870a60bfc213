package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/segmentio/kafka-go"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/party"
	"mezhved/envelopes"
)

// fault is one kind of fault.
type fault struct {
	name, what string
	part       string // of the world; two kinds of different parts may come together
	weight     int    // how often it is in the bag; 0 counts as 1
	alone      bool   // it comes together with nothing else
	begins     bool   // it comes at the beginning of a world and never later
	least      time.Duration
	most       time.Duration // it lasts
	// carries: the rest of the world goes on while it lasts. It lasts until
	// messages begun under it are accepted, delivered and in a signed log.
	carries bool
	cannot  func(*stormWorld) string // why it cannot be here; nil: it always can
	strike  func(*stormWorld) (heal func())
}

func (f *fault) lasts(r *rand.Rand) time.Duration {
	if f.most <= f.least {
		return f.least
	}
	return f.least + time.Duration(r.Int64N(int64(f.most-f.least)))
}

const (
	ofNode     = "a node"
	ofDatabase = "the database"
	ofBus      = "the bus"
	ofFiles    = "the file store"
)

var previous = sync.OnceValues(buildPrevious)

func nothing() {}

// faults are the kinds.
var faults []fault

func init() { // the table speaks of what speaks of it
	faults = []fault{
		// The nodes.
		{name: "node-kill", what: "kill -9 of a node", part: ofNode, weight: 3, least: 200 * time.Millisecond, most: time.Second, carries: true, strike: func(w *stormWorld) func() {
			n := w.anyNode()
			n.kill()
			return n.start
		}},
		{name: "node-stop", what: "SIGSTOP of a node, for a moment", part: ofNode, weight: 2, least: time.Second, most: 3 * time.Second, strike: func(w *stormWorld) func() {
			n := w.anyNode()
			n.signal("STOP")
			return func() { n.signal("CONT") }
		}},
		{name: "node-frozen", what: "SIGSTOP of a node, until the other does its work", part: ofNode, carries: true, strike: func(w *stormWorld) func() {
			n := w.anyNode()
			n.signal("STOP")
			return func() { n.signal("CONT") }
		}},
		{name: "node-term", what: "SIGTERM of a node", part: ofNode, weight: 2, least: 100 * time.Millisecond, most: time.Second, carries: true, strike: func(w *stormWorld) func() {
			n := w.anyNode()
			n.terminate()
			return n.start
		}},
		{name: "nodes-kill", what: "kill -9 of both nodes", part: ofNode, weight: 2, least: 0, most: time.Second, strike: func(w *stormWorld) func() {
			return w.all(func(n *stormNode) { n.kill() }, func(n *stormNode) { n.start() })
		}},
		{name: "nodes-stop", what: "SIGSTOP of both nodes", part: ofNode, least: time.Second, most: 4 * time.Second, strike: func(w *stormWorld) func() {
			return w.all(func(n *stormNode) { n.signal("STOP") }, func(n *stormNode) { n.signal("CONT") })
		}},
		{name: "nodes-term", what: "SIGTERM of both nodes, one after the other", part: ofNode, strike: func(w *stormWorld) func() {
			for _, n := range w.nodes {
				n.terminate()
				n.start()
			}
			return nothing
		}},
		{name: "host-death", what: "a node's host dies: nobody is told", part: ofNode, carries: true, strike: func(w *stormWorld) func() {
			n := w.anyNode()
			for _, p := range n.wires {
				p.Swallow(adaptertest.Both)
			}
			for _, p := range w.wires {
				p.HideEnds()
			}
			n.kill()
			return func() {
				for _, p := range append(n.wires[:], w.wires...) {
					p.Mend()
				}
				n.start()
			}
		}},
		{name: "node-parted", what: "the network between a node and the database swallows", part: ofNode, carries: true, strike: func(w *stormWorld) func() {
			n := w.anyNode()
			return spoil(n.wires[:], func(p *adaptertest.Proxy) { p.Swallow(adaptertest.Both) })
		}},
		{name: "hangup-storm", what: "SIGHUP, hundreds of times, to both nodes", part: ofNode, strike: func(w *stormWorld) func() {
			for range 100 {
				for _, n := range w.nodes {
					n.signal("HUP")
				}
				time.Sleep(10 * time.Millisecond)
			}
			return nothing
		}},
		{name: "clock-ahead", what: "the clock of a node 2 h ahead", part: ofNode, carries: true, least: 2 * time.Second, most: 5 * time.Second, cannot: noClock, strike: clock(2 * time.Hour)},
		{name: "clock-behind", what: "the clock of a node 2 h behind", part: ofNode, carries: true, least: 2 * time.Second, most: 5 * time.Second, cannot: noClock, strike: clock(-2 * time.Hour)},
		{name: "clock-step", what: "the clock of a node jumps 1 h ahead for 3 s", part: ofNode, least: 3 * time.Second, cannot: noClock, strike: clock(time.Hour)},
		{name: "log-stalls", what: "nobody reads a node's log, which has much to say", part: ofNode, carries: true, strike: func(w *stormWorld) func() {
			n := w.anyNode()
			n.run.out.stall()
			w.refuse(n, 250)
			return func() { n.run.out.flow() }
		}},
		{name: "log-closed", what: "the reader of a node's log goes away", part: ofNode, carries: true, strike: func(w *stormWorld) func() {
			n := w.anyNode()
			n.run.out.leave()
			w.refuse(n, 20)
			if n.gone() {
				w.finds("%s has ended because nobody reads its log: %v", n.name, n.run.err)
			}
			return func() { // a new one has a new log
				n.kill()
				n.start()
			}
		}},
		{name: "journal-state-full", what: "a full disk where a node's journal state lies", part: ofNode, carries: true, cannot: func(w *stormWorld) string { return needsMount(w.nodes[0].dir) }, strike: func(w *stormWorld) func() {
			free, err := fillDisk(w.signing().dir)
			w.must(err)
			return free
		}},
		{name: "rolling-upgrade", what: "node by node from the previous release", part: ofNode, begins: true, carries: true, strike: upgrade},

		// The database.
		{name: "database-fast", what: "PostgreSQL restarted, fast", part: ofDatabase, weight: 2, least: 0, most: time.Second, strike: endDatabase(syscall.SIGINT)},
		{name: "database-immediate", what: "PostgreSQL restarted, immediate", part: ofDatabase, weight: 2, least: 0, most: time.Second, strike: endDatabase(syscall.SIGQUIT)},
		{name: "database-kill", what: "kill -9 of PostgreSQL", part: ofDatabase, weight: 2, least: 0, most: time.Second, strike: func(w *stormWorld) func() {
			w.must(w.database.Kill())
			return func() { w.must(w.database.Start(w.ctx)) }
		}},
		{name: "database-stop", what: "SIGSTOP of PostgreSQL", part: ofDatabase, least: time.Second, most: 4 * time.Second, strike: func(w *stormWorld) func() {
			list, err := w.database.Processes()
			w.must(err)
			for _, pid := range list {
				syscall.Kill(pid, syscall.SIGSTOP)
			}
			return func() {
				for _, pid := range list {
					syscall.Kill(pid, syscall.SIGCONT)
				}
			}
		}},
		{name: "database-failover", what: "fail-over to a streaming standby", part: ofDatabase, alone: true, strike: failover(false)},
		{name: "database-failover-silent", what: "fail-over when the first server's host dies silently", part: ofDatabase, alone: true, carries: true, strike: failover(true)},
		{name: "database-readonly", what: "the database is read-only", part: ofDatabase, least: time.Second, most: 3 * time.Second, strike: func(w *stormWorld) func() {
			w.must(w.do("ALTER SYSTEM SET default_transaction_read_only = on"))
			w.must(w.do("SELECT pg_reload_conf()"))
			return func() {
				w.must(w.do("ALTER SYSTEM RESET default_transaction_read_only"))
				w.must(w.do("SELECT pg_reload_conf()"))
			}
		}},
		{name: "database-slots", what: "all connection slots are taken", part: ofDatabase, least: time.Second, most: 3 * time.Second, strike: takeSlots},
		{name: "database-locks", what: "an exclusive lock on a hot table for 15 s", part: ofDatabase, least: 15 * time.Second, strike: lockTable},
		{name: "backends-cancelled", what: "every statement is cancelled, again and again", part: ofDatabase, weight: 2, strike: backends("pg_cancel_backend")},
		{name: "backends-terminated", what: "every session is ended, again and again", part: ofDatabase, weight: 2, strike: backends("pg_terminate_backend")},
		{name: "database-full", what: "PostgreSQL's disk is full", part: ofDatabase, least: 2 * time.Second, most: 4 * time.Second, cannot: func(w *stormWorld) string {
			if w.disk == "" {
				return "only root may mount a file system for it"
			}
			return ""
		}, strike: func(w *stormWorld) func() {
			free, err := fillDisk(w.disk)
			w.must(err)
			return func() {
				free()
				w.revive()
			}
		}},
		{name: "database-cut", what: "connections to the database are cut, again and again", part: ofDatabase, weight: 2, strike: func(w *stormWorld) func() {
			for range 20 {
				for _, p := range w.databaseWires() {
					p.Cut()
				}
				time.Sleep(100 * time.Millisecond)
			}
			return nothing
		}},
		{name: "database-halfclosed", what: "connections to the database are half closed", part: ofDatabase, least: time.Second, most: 2 * time.Second, strike: func(w *stormWorld) func() {
			way := adaptertest.Up
			if w.s.rand.IntN(2) == 0 {
				way = adaptertest.Down
			}
			for _, p := range w.databaseWires() {
				p.HalfClose(way)
			}
			return nothing
		}},
		{name: "database-swallowed", what: "what is sent to the database vanishes, or what it answers", part: ofDatabase, least: time.Second, most: 5 * time.Second, strike: func(w *stormWorld) func() {
			way := adaptertest.Way(1 + w.s.rand.IntN(3))
			return spoil(w.databaseWires(), func(p *adaptertest.Proxy) { p.Swallow(way) })
		}},
		{name: "database-silent-restart", what: "PostgreSQL restarted, immediate; no node is told", part: ofDatabase, carries: true, strike: func(w *stormWorld) func() {
			heal := spoil(w.databaseWires(), func(p *adaptertest.Proxy) { p.HideEnds() })
			w.must(w.database.End(syscall.SIGQUIT))
			w.must(w.database.Start(w.ctx))
			return heal // until then the old connections are silent, and new ones work
		}},
		{name: "database-slow", what: "every packet to and from the database 100 ms late", part: ofDatabase, carries: true, least: 2 * time.Second, most: 3 * time.Second, strike: func(w *stormWorld) func() {
			return spoil(w.databaseWires(), func(p *adaptertest.Proxy) { p.Delay(50 * time.Millisecond) })
		}},
		{name: "pooler", what: "PgBouncer in transaction mode in between", part: ofDatabase, alone: true, carries: true, cannot: func(*stormWorld) string {
			if _, err := exec.LookPath("pgbouncer"); err != nil {
				return "pgbouncer is not installed"
			}
			return ""
		}, strike: pooler},

		// The bus.
		{name: "bus-kill", what: "kill -9 of the whole bus", part: ofBus, weight: 2, least: 0, most: 2 * time.Second, strike: func(w *stormWorld) func() {
			w.killBus()
			return w.startBus
		}},
		{name: "bus-stop", what: "SIGSTOP of the whole bus", part: ofBus, least: time.Second, most: 4 * time.Second, strike: func(w *stormWorld) func() {
			for _, b := range w.brokers {
				b.signal(syscall.SIGSTOP)
			}
			return func() {
				for _, b := range w.brokers {
					b.signal(syscall.SIGCONT)
				}
			}
		}},
		{name: "bus-leader", what: "kill -9 of one of three Kafka nodes", part: ofBus, weight: 2, carries: true, cannot: func(w *stormWorld) string {
			if len(w.brokers) < 3 {
				return "needs Apache Kafka of three nodes (MEZHVED_STORM_BUS=kafka3)"
			}
			return ""
		}, strike: func(w *stormWorld) func() {
			b := w.brokers[w.s.rand.IntN(len(w.brokers))]
			b.kill()
			return b.start
		}},
		{name: "bus-cut", what: "connections to the bus are cut, again and again", part: ofBus, weight: 2, strike: func(w *stormWorld) func() {
			for range 20 {
				for _, p := range w.wires {
					p.Cut()
				}
				time.Sleep(100 * time.Millisecond)
			}
			return nothing
		}},
		{name: "bus-halfclosed", what: "connections to the bus are half closed", part: ofBus, least: time.Second, most: 2 * time.Second, strike: func(w *stormWorld) func() {
			for _, p := range w.wires {
				p.HalfClose(adaptertest.Both)
			}
			return nothing
		}},
		{name: "bus-swallowed", what: "what is sent to the bus vanishes, or what it answers", part: ofBus, least: time.Second, most: 5 * time.Second, strike: func(w *stormWorld) func() {
			way := adaptertest.Way(1 + w.s.rand.IntN(3))
			return spoil(w.wires, func(p *adaptertest.Proxy) { p.Swallow(way) })
		}},
		{name: "bus-quota", what: "the bus takes and gives 20 KB/s of a connection", part: ofBus, least: 2 * time.Second, most: 4 * time.Second, strike: quota},
		{name: "topics-gone", what: "every topic is deleted", part: ofBus, alone: true, strike: func(w *stormWorld) func() {
			defer w.calmBus()()
			w.deleteTopics()
			return nothing
		}},
		{name: "topics-anew", what: "every topic is deleted and made anew", part: ofBus, alone: true, strike: func(w *stormWorld) func() {
			defer w.calmBus()()
			w.createTopics(w.deleteTopics())
			return nothing
		}},
		{name: "bus-forgets", what: "the bus restarted without its data", part: ofBus, alone: true, strike: func(w *stormWorld) func() {
			defer w.calmBus()()
			w.killBus()
			w.wipe()
			w.startBus()
			return nothing
		}},

		// Pairs, and everything.
		{name: "node-and-database", what: "kill -9 of a node and of PostgreSQL", part: ofNode, alone: true, strike: func(w *stormWorld) func() {
			n := w.anyNode()
			n.kill()
			w.must(w.database.Kill())
			return func() {
				w.must(w.database.Start(w.ctx))
				n.start()
			}
		}},
		{name: "node-and-bus", what: "kill -9 of a node and of the bus", part: ofNode, alone: true, strike: func(w *stormWorld) func() {
			n := w.anyNode()
			n.kill()
			w.killBus()
			return func() {
				w.startBus()
				n.start()
			}
		}},
		{name: "database-and-bus", what: "kill -9 of PostgreSQL and of the bus", part: ofDatabase, alone: true, strike: func(w *stormWorld) func() {
			w.killBus()
			w.must(w.database.Kill())
			return func() {
				w.must(w.database.Start(w.ctx))
				w.startBus()
			}
		}},
		{name: "everything", what: "kill -9 of everything", part: ofNode, alone: true, weight: 2, strike: func(w *stormWorld) func() {
			heal := w.all(func(n *stormNode) { n.kill() }, func(n *stormNode) { n.start() })
			w.must(w.database.Kill())
			w.killBus()
			return func() {
				w.must(w.database.Start(w.ctx))
				w.startBus()
				heal()
			}
		}},

		// The file store.
		{name: "files-full", what: "the file store's disk is full", part: ofFiles, carries: true, cannot: func(w *stormWorld) string { return needsMount(filepath.Join(w.dir, "files")) }, strike: fillFiles},
	}
}

func (w *stormWorld) anyNode() *stormNode { return w.nodes[w.s.rand.IntN(len(w.nodes))] }

// signing is the node that signs the journal: the one that wrote its state last.
func (w *stormWorld) signing() (n *stormNode) {
	last := time.Time{}
	for _, one := range w.nodes {
		info, err := os.Stat(filepath.Join(one.dir, "journal.state"))
		w.must(err)
		if n == nil || info.ModTime().After(last) {
			n, last = one, info.ModTime()
		}
	}
	return n
}

// all does something to each node at once, and gives what undoes it.
func (w *stormWorld) all(do, undo func(*stormNode)) (heal func()) {
	each := func(act func(*stormNode)) {
		var work sync.WaitGroup
		for _, n := range w.nodes {
			work.Go(func() { act(n) })
		}
		work.Wait()
	}
	each(do)
	return func() { each(undo) }
}

// spoil does something to proxies that Mend undoes.
func spoil(list []*adaptertest.Proxy, how func(*adaptertest.Proxy)) (heal func()) {
	for _, p := range list {
		how(p)
	}
	return func() {
		for _, p := range list {
			p.Mend()
		}
	}
}

// databaseWires are the proxies between all nodes and the database that works.
func (w *stormWorld) databaseWires() (list []*adaptertest.Proxy) {
	for _, n := range w.nodes {
		list = append(list, n.wires[w.primary])
	}
	return list
}

func noClock(w *stormWorld) string {
	if err := setClock(w.nodes[0].pid(), 0); err != nil {
		return err.Error()
	}
	return ""
}

func needsMount(dir string) string {
	if !mounted(dir) {
		return "only root may mount a file system for it"
	}
	return ""
}

func clock(ahead time.Duration) func(*stormWorld) func() {
	return func(w *stormWorld) func() {
		n := w.anyNode()
		w.must(setClock(n.pid(), ahead))
		run := n.run
		return func() {
			if n.run == run && !n.gone() { // a new process has its own clock
				w.must(setClock(n.pid(), 0))
			}
		}
	}
}

// refuse sends calls to a node that it refuses, each with a line in its log. Each
// must be answered, whoever reads that log.
func (w *stormWorld) refuse(n *stormNode, calls int) {
	client := *w.load.http
	client.Transport = nil
	ctx, cancel := context.WithTimeout(w.ctx, 30*time.Second)
	defer cancel()
	var work sync.WaitGroup
	var mu sync.Mutex
	silent, next := 0, 0
	for range 8 {
		work.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				next++
				mine := next
				mu.Unlock()
				if mine > calls {
					return
				}
				c := w.load.play.client("PRIMERSK", envelopes.V12)
				c.URL, c.HTTP, c.Attempts = n.base+"/smev/v1.2/ws", &client, 1
				_, err := c.SendRequest(ctx, party.Request{Content: sample("egrn-extract", "1.1.0", "request-refused")})
				if _, answered := err.(*party.FaultError); !answered {
					mu.Lock()
					silent++
					mu.Unlock()
				}
			}
		})
	}
	work.Wait()
	if silent > 0 {
		w.finds("%d of %d refused calls to %s got no answer while nobody read its log", silent, min(next, calls), n.name)
	}
}

// upgrade goes from the previous release to this one, node by node, as the last
// step of a world's beginning.
func upgrade(w *stormWorld) func() {
	now := program(w.t, "mezhved")
	for _, n := range w.nodes {
		n.terminate()
		n.program = now
		n.start()
		if n != w.nodes[0] {
			break
		}
		// Both releases at work together, for as long as it takes.
		var p progress
		watch := w.load.watch()
		if !w.within(goesOn, func() bool { w.look(&p, watch); return p.whole() && time.Since(p.since) > 5*time.Second }) {
			w.stands([]*fault{w.s.upgrade}, "with one node of either release, after %s: %s", goesOn, p.missing())
		}
	}
	return nothing
}

func endDatabase(signal syscall.Signal) func(*stormWorld) func() {
	return func(w *stormWorld) func() {
		w.must(w.database.End(signal))
		return func() { w.must(w.database.Start(w.ctx)) }
	}
}

// revive starts the database again if it has ended.
func (w *stormWorld) revive() {
	if w.within(10*time.Second, func() bool { _, ok := w.ask("SELECT 1"); return ok }) {
		return
	}
	if err := w.database.Start(w.ctx); err != nil && !w.within(time.Minute, func() bool { _, ok := w.ask("SELECT 1"); return ok }) {
		w.t.Fatalf("the database does not start again: %v", err)
	}
}

// failover makes a standby, waits until every commit waits for it, lets the first
// server die, and promotes the standby. silent: nobody is told of the death, and
// the dead server's address takes connections and says nothing.
func failover(silent bool) func(*stormWorld) func() {
	return func(w *stormWorld) func() {
		old, other := w.database, 1-w.primary
		w.must(os.RemoveAll(w.postgres(other).Dir))
		standby, err := old.Standby(w.ctx, w.postgres(other))
		w.must(err)
		w.databases[other] = standby
		w.must(w.do("ALTER SYSTEM SET synchronous_standby_names = '*'"))
		w.must(w.do("SELECT pg_reload_conf()"))
		if !w.within(wellAgain, func() bool {
			n, ok := w.ask("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
			return ok && n == 1
		}) {
			w.t.Fatal("the standby does not follow")
		}
		for _, n := range w.nodes {
			n.wires[other].Redirect("unix", standby.Socket())
			if silent {
				n.wires[w.primary].Swallow(adaptertest.Both)
			}
		}
		w.must(old.Kill())
		gone := w.primary
		w.primary, w.database = other, standby
		w.databases[gone] = nil
		w.must(old.Stop())
		conn, err := pgx.Connect(w.ctx, standby.URL("postgres"))
		w.must(err)
		_, err = conn.Exec(w.ctx, "SELECT pg_promote()")
		w.must(err)
		w.must(conn.Close(w.ctx))
		return func() {
			for _, n := range w.nodes {
				n.wires[gone].Mend()
				n.wires[gone].Redirect("unix", "/nowhere")
			}
		}
	}
}

// takeSlots takes every connection that the server has to give, those of the
// nodes as well.
func takeSlots(w *stormWorld) func() {
	ctx := w.ctx
	first, err := pgx.Connect(ctx, w.database.URL("mezhved"))
	w.must(err)
	held := []*pgx.Conn{first}
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		conn, err := pgx.Connect(ctx, w.database.URL("mezhved"))
		if err == nil {
			held = append(held, conn)
			continue
		}
		var pids []uint32
		for _, c := range held {
			pids = append(pids, c.PgConn().PID())
		}
		tag, err := first.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'mezhved' AND pid <> ALL($1::int[])", int32s(pids))
		w.must(err)
		if tag.RowsAffected() == 0 {
			break
		}
	}
	return func() {
		for _, c := range held {
			c.Close(ctx)
		}
	}
}

func int32s(list []uint32) (out []int32) {
	for _, n := range list {
		out = append(out, int32(n))
	}
	return out
}

// hot are the tables that every message touches.
var hot = []string{"message", "outbox", "queue", "dedup", "kafka_offset", "journal_pending", "journal_head", "journal_entry", "journal_block", "journal_piece", "journal_tile", "placed", "answered", "queue_name"}

func lockTable(w *stormWorld) func() {
	conn, err := pgx.Connect(w.ctx, w.database.URL("mezhved"))
	w.must(err)
	table := hot[w.s.rand.IntN(len(hot))]
	tx, err := conn.Begin(w.ctx)
	w.must(err)
	_, err = tx.Exec(w.ctx, "LOCK TABLE "+table+" IN ACCESS EXCLUSIVE MODE")
	w.must(err)
	w.t.Logf("round %d locks %s", w.s.round, table)
	return func() { conn.Close(w.ctx) } // together with a killed server it is gone already
}

// backends does something to every session of the nodes, again and again.
func backends(what string) func(*stormWorld) func() {
	return func(w *stormWorld) func() {
		conn, err := pgx.Connect(w.ctx, w.database.URL("postgres"))
		w.must(err)
		defer conn.Close(w.ctx)
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
			if _, err := conn.Exec(w.ctx, "SELECT "+what+"(pid) FROM pg_stat_activity WHERE datname = 'mezhved'"); err != nil {
				break // the server is struck, too
			}
		}
		return nothing
	}
}

const bouncerConfig = `[databases]
mezhved = host=%s user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 500
default_pool_size = 40
ignore_startup_parameters = extra_float_digits,statement_timeout,lock_timeout,idle_in_transaction_session_timeout,work_mem,default_transaction_isolation,enable_seqscan,options
`

// pooler puts PgBouncer between both nodes and the database. A node that does not
// start behind it must say so by name, and then the round has shown that.
func pooler(w *stormWorld) func() {
	dir := filepath.Join(w.dir, "pooler")
	w.must(os.MkdirAll(dir, 0o755))
	_, port, _ := strings.Cut(freeAddress(w.t), ":")
	ini := filepath.Join(dir, "pgbouncer.ini")
	u, err := url.Parse(w.database.URL("mezhved"))
	w.must(err)
	text := fmt.Sprintf(bouncerConfig, u.Query().Get("host"), port)
	through := "postgres://postgres@127.0.0.1:" + port + "/mezhved?sslmode=disable"
	// What its users are told to do about prepared statements: a newer one keeps
	// them itself, before an older one the client does without.
	version, err := exec.Command("pgbouncer", "--version").Output()
	w.must(err)
	var major, minor int
	fmt.Sscanf(string(version), "PgBouncer %d.%d", &major, &minor)
	if (major > 1 || minor >= 21) && w.s.rand.IntN(2) == 0 {
		text += "max_prepared_statements = 100\n"
	} else {
		through += "&default_query_exec_mode=cache_describe"
	}
	w.must(os.WriteFile(ini, []byte(text), 0o644))
	args := []string{ini}
	if os.Geteuid() == 0 { // it does not run as root
		name := "nobody"
		if _, err := user.Lookup("postgres"); err == nil {
			name = "postgres"
		}
		args = []string{"-u", name, ini}
	}
	bouncer, err := launchProgram(nil, must(exec.LookPath("pgbouncer")), args...)
	w.must(err)
	for _, n := range w.nodes {
		n.useDatabase(through)
		n.terminate()
		n.launch()
	}
	refused := false
	if !w.within(wellAgain, func() bool {
		for _, n := range w.nodes {
			if n.gone() {
				refused = true
			}
		}
		return refused || w.nodes[0].ready() && w.nodes[1].ready()
	}) {
		w.finds("behind a pooler the nodes neither get ready nor end; log:\n%s", lastOf(w.nodes[0].run.out.String(), 12))
	}
	back := func() {
		for _, n := range w.nodes {
			n.useDatabase(n.url())
			if !n.gone() {
				n.terminate()
			}
			n.start()
		}
		bouncer.kill()
	}
	if !refused {
		return back
	}
	for _, n := range w.nodes {
		if said := n.run.out.String(); n.gone() && !strings.Contains(said, "pool") {
			w.finds("%s does not start behind a pooler and does not name it:\n%s\npgbouncer says:\n%s", n.name, lastOf(said, 12), lastOf(bouncer.out.String(), 12))
		}
	}
	back()
	return nothing
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (w *stormWorld) killBus() {
	for _, b := range w.brokers {
		b.kill()
	}
}

func (w *stormWorld) startBus() {
	for _, b := range w.brokers {
		b.start()
	}
}

func (w *stormWorld) admin() *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(w.addresses()...), Timeout: 30 * time.Second, Transport: &kafka.Transport{}}
}

// quota bounds what the bus takes and gives: by its own quotas where it has them,
// else by the wire.
func quota(w *stormWorld) func() {
	if w.name == "kfake" {
		return spoil(w.wires, func(p *adaptertest.Proxy) { p.Pace(20_000) })
	}
	set := func(remove bool) {
		var ops []kafka.AlterClientQuotaOps
		for _, key := range []string{"producer_byte_rate", "consumer_byte_rate"} {
			ops = append(ops, kafka.AlterClientQuotaOps{Key: key, Value: 20_000, Remove: remove})
		}
		_, err := w.admin().AlterClientQuotas(w.ctx, &kafka.AlterClientQuotasRequest{Entries: []kafka.AlterClientQuotaEntry{{
			Entities: []kafka.AlterClientQuotaEntity{{EntityType: "client-id", EntityName: ""}}, Ops: ops}}})
		w.must(err)
	}
	set(false)
	return func() { set(true) }
}

// calmBus waits until nothing is on the bus that is nowhere else: what a bus has
// acknowledged and then forgets is lost with it. go lets the parties send again.
func (w *stormWorld) calmBus() (resume func()) {
	l := w.load
	l.paused.Store(true)
	if !w.within(comesToEnd, func() bool { return l.begun.Load() == l.finished.Load() }) {
		w.finds("what was sent does not come to its end: %d exchanges are open", l.begun.Load()-l.finished.Load())
	}
	return func() { l.paused.Store(false) }
}

func (w *stormWorld) deleteTopics() (topics []string) {
	c := w.admin()
	meta, err := c.Metadata(w.ctx, &kafka.MetadataRequest{})
	w.must(err)
	for _, t := range meta.Topics {
		if !t.Internal {
			topics = append(topics, t.Name)
		}
	}
	_, err = c.DeleteTopics(w.ctx, &kafka.DeleteTopicsRequest{Topics: topics})
	w.must(err)
	return topics
}

func (w *stormWorld) createTopics(topics []string) {
	request := &kafka.CreateTopicsRequest{}
	for _, t := range topics {
		request.Topics = append(request.Topics, kafka.TopicConfig{Topic: t, NumPartitions: 1, ReplicationFactor: len(w.brokers)})
	}
	_, err := w.admin().CreateTopics(w.ctx, request)
	w.must(err)
}

// fillFiles fills the file store's disk: no file may be taken then, and messages
// without files go on. Afterwards a file travels with a message and must arrive.
func fillFiles(w *stormWorld) func() {
	content := []byte(strings.Repeat("план участка\n", 100_000))
	bring := func(attempts int) (envelopes.AttachmentReference, error) {
		store := party.FileStore{URL: w.load.store.URL, Attempts: attempts, Pause: w.load.store.Pause}
		return store.Bring(w.ctx, "план.txt", "text/plain", func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
	}
	free, err := fillDisk(filepath.Join(w.dir, "files"))
	w.must(err)
	if _, err := bring(1); err == nil {
		w.finds("a file was taken onto a full disk")
	}
	return func() {
		free()
		w.load.sending.Go(func() {
			ref, err := bring(10)
			if err != nil {
				w.finds("the file store has room again and takes no file: %v", err)
				return
			}
			id := party.NewMessageID(time.Now())
			w.load.begun.Add(1)
			w.load.deliver(id, &sent{recipients: []string{"ROSREESTR"}}, func() error {
				_, err := w.load.client("PRIMERSK", envelopes.V12).SendRequest(w.load.ctx, party.Request{MessageID: id, Content: sample("egrn-extract", "1.1.0", "request"), References: []envelopes.AttachmentReference{ref}})
				return err
			})
		})
	}
}
