package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/journal/clerk"
)

// From the last release to this one, node by node, under load: two nodes of the release
// before; then one of each, the newer of which has migrated the database under the other;
// then two of this one, and then a week later. Nothing is lost, nothing happens twice, and a
// node of the release before that is started now says what to do; so does going back.
func TestAnUpgradeNodeByNode(t *testing.T) {
	rehearsed(t)
	old, err := previous()
	if err != nil {
		t.Skipf("the release before cannot be built, so no upgrade from it is tried: %v", err)
	}
	t.Logf("the release before is %s", previousRelease())
	w := &rehearsal{crashWorld: openWorld(t, prepareEmptyWorld)} // the release before migrates its database itself
	w.kafkaChild()
	w.must(previousServices(filepath.Join(w.dir, "services")))
	nodes := []*upgraded{w.node("gate-1"), w.node("gate-2")}
	for _, n := range nodes {
		n.start(old)
	}
	play, err := newPlay(t.Context(), t.Output(), w.dir, nodes[0].base)
	w.must(err)
	w.load = startLoad(t.Context(), play, loadOptions{nodes: []string{nodes[0].base, nodes[1].base}, senders: 2, takers: 1, throttle: 60, timeout: 10 * time.Second})
	defer func() { w.load.end() }()
	both := func(when string) {
		t.Helper()
		watch := w.load.watch()
		w.await("both nodes work "+when, func() bool { return w.load.seen(watch).ended >= 15 && w.load.nodes.all(watch.since) })
	}
	both("as the release before")
	before := w.number(w.database, "SELECT max(version_id) FROM goose_db_version")
	nodes[0].terminate()
	nodes[0].start(program(t, "mezhved"))
	both("one as either release")
	after := w.number(w.database, "SELECT max(version_id) FROM goose_db_version")
	w.load.paused.Store(true) // who starts a node of the release before now is told, whatever is under way
	nodes[1].terminate()
	if after > before {
		late, err := launchProgram(nil, old, "serve", "--config", nodes[1].config)
		w.must(err)
		w.await("a node of the release before refuses the newer database", func() bool {
			select {
			case <-late.done:
				return true
			default:
				return false
			}
		})
		if said := late.out.String(); !strings.Contains(said, "of a newer program") && !strings.Contains(said, "of a newer release") {
			t.Errorf("it does not say why:\n%s", said)
		}
	}
	w.load.paused.Store(false)
	nodes[1].start(program(t, "mezhved"))
	both("as this release")
	// A week passes: what the release before cannot read is written, beside what it has
	// left, and while messages wait, are out and have events on their way.
	ask := func(question string) int64 { return w.number(w.database, question) }
	if n := ask("SELECT count(*) FROM message WHERE kind IS NOT NULL"); n > 0 {
		t.Errorf("%d messages have kinds while a node of the release before may run", n)
	}
	w.sql(w.database, "UPDATE release_gate SET since = '-infinity'")
	w.await("what was put off begins", func() bool {
		return ask("SELECT count(*) FROM message WHERE kind IS NOT NULL") > 60
	})
	both("with what the release before cannot read")
	w.counted()
	close(w.load.noMore)
	w.load.sending.Wait()
	w.await("everything comes to its end", func() bool { return w.settled("SFR01", "ROSREESTR", "PRIMERSK", "MFC01") })
	w.load.askAgain()
	w.load.end()
	w.log = w.openAuditLog(w.database.URL("mezhved"))
	w.settle()
	for _, p := range w.load.compare(w.log.livesIn(w.log.visit())) {
		t.Errorf("message %s: %s", p.id, p.text)
	}
	for _, v := range w.load.violations {
		t.Error(v.text)
	}
	w.log.verify()
	t.Logf("schema %d to %d; %d messages accepted, none lost, none doubled; %d calls had to be repeated", before, after, w.load.accepted.Load(), w.load.repeated.Load())
	for _, n := range nodes {
		n.terminate()
	}
	if said := w.command(exitNo, "schema", "down", "--to", fmt.Sprint(before), "--config", nodes[0].config); !strings.Contains(said, "the release before") || !strings.Contains(said, "mezhved schema up") {
		t.Errorf("to go back is refused, and why, and what to do, is not said:\n%s", said)
	} else {
		t.Log(said)
	}
}

// upgraded is a node that is of one release and then of another.
type upgraded struct {
	w            *rehearsal
	config, base string
	run          *running
}

func (w *rehearsal) node(name string) *upgraded {
	address := freeAddress(w.t)
	n := &upgraded{w: w, config: filepath.Join(w.dir, name+".yaml"), base: "http://" + address}
	dir := filepath.Join(w.dir, name)
	w.must(os.Mkdir(dir, 0o755))
	url, err := os.ReadFile(filepath.Join(w.dir, "database.url"))
	w.must(err)
	w.must(os.WriteFile(filepath.Join(dir, "database.url"), url, 0o600))
	skey, err := os.ReadFile(filepath.Join(w.dir, "keys", "journal.key"))
	w.must(err)
	w.must(clerk.CreateSignerState(filepath.Join(dir, "journal.state"), strings.TrimSpace(string(skey))))
	w.must(os.WriteFile(n.config, fmt.Appendf(nil, stormConfig, name, address, w.brokers, 1, freeAddress(w.t)), 0o644))
	return n
}

func (n *upgraded) start(program string) {
	n.w.t.Helper()
	var err error
	n.run, err = launchProgram(nil, program, "serve", "--config", n.config)
	n.w.must(err)
	n.w.t.Cleanup(n.run.kill)
	if err := awaitReady(n.w.t.Context(), n.base, patience); err != nil {
		n.w.t.Fatalf("%v\n%s", err, n.run.out)
	}
}

func (n *upgraded) terminate() {
	if code := n.run.terminate(); code != 0 {
		n.w.t.Errorf("a node ends with exit code %d\n%s", code, n.run.out)
	}
}
