package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/embedded"
	"mezhved/adapter/losses"
)

// PostgreSQL dies under load and its standby is promoted, twice. A standby that every
// commit has waited for has everything: nothing is lost, and parties go on with the same
// calls. One that was not waited for lacks what came last: the signer sees it, nothing is
// accepted any more, and one command tells by MessageID what is gone.
func TestAStandbyTakesOver(t *testing.T) {
	rehearsed(t)
	w := &rehearsal{crashWorld: openCrashWorld(t)}
	w.kafkaChild()
	standby := w.standby("postgres-2")
	w.twoHosts(w.database, standby)
	w.startGateway()
	play, err := newPlay(t.Context(), t.Output(), w.dir, w.base)
	w.must(err)
	receipts := filepath.Join(w.dir, "receipts")
	w.must(os.Mkdir(receipts, 0o755))
	w.load = startLoad(t.Context(), play, loadOptions{nodes: []string{w.base}, senders: 2, takers: 1, throttle: 60, timeout: 5 * time.Second, receipts: receipts})
	defer func() { w.load.end() }()
	w.sql(w.database, "ALTER SYSTEM SET synchronous_standby_names = '*'")
	w.sql(w.database, "SELECT pg_reload_conf()")
	w.await("every commit waits for the standby", func() bool {
		return w.number(w.database, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == 1
	})
	w.progress("while commits wait for the standby")

	began := w.promote(standby)
	watch := w.load.seen(began)
	t.Logf("synchronous: accepted again %s after the death, by a standby promoted at once; %d calls had to be repeated by then", watch.accepted.Sub(watch.since).Round(time.Millisecond), w.load.repeated.Load())
	if code, said := w.run("journal", "lost", "--config", w.config(), "--receipts", receipts); code != 0 || !strings.Contains(said, "Nothing is proved that is not here") {
		t.Errorf("something is lost: exit code %d\n%s", code, said)
	}
	here := w.messages()
	for id := range w.acceptedNow() {
		if _, ok := here[id]; !ok {
			// It may have been accepted since the look at the database.
			if _, ok = w.messages()[id]; !ok {
				t.Errorf("%s was accepted and is not here", id)
			}
		}
	}

	// Again, with a standby that is not waited for and does not follow any more.
	standby = w.standby("postgres-3")
	w.twoHosts(w.database, standby)
	w.gateway.terminate()
	w.startGateway()
	w.progress("with another standby")
	w.sql(standby, "ALTER SYSTEM SET primary_conninfo = ''")
	w.sql(standby, "SELECT pg_reload_conf()")
	w.await("the standby has stopped to follow", func() bool { return w.number(w.database, "SELECT count(*) FROM pg_stat_replication") == 0 })
	from := w.load.accepted.Load()
	w.await("messages are accepted that the standby does not have", func() bool { return w.load.accepted.Load() >= from+30 })
	// What was never signed the signer cannot miss: receipts and the bus tell of it alone.
	behind := w.number(standby, "SELECT size FROM journal_head")
	w.await("entries are signed that the standby does not have", func() bool { return w.number(w.database, "SELECT max(size) FROM journal_checkpoint") > behind+10 })
	w.must(w.database.Kill())
	promised := w.acceptedNow()
	w.promoted(standby)
	w.await("the gateway accepts nothing, and says why", func() bool {
		return w.number(w.database, "SELECT count(*) FROM journal_head WHERE stopped LIKE '%gone back%'") == 1
	})
	w.load.end()
	saved := filepath.Join(w.dir, "saved")
	code, said := w.run("journal", "lost", "--config", w.config(), "--receipts", receipts, "--save", saved, "--json")
	var lost lostSaid
	if at := strings.Index(said, "\n{"); at < 0 || json.Unmarshal([]byte(said[at:]), &lost) != nil || code != exitNo {
		t.Fatalf("journal lost: exit code %d\n%s", code, said)
	}
	told := map[string]losses.Message{}
	for _, m := range lost.Lost {
		told[m.MessageID] = m
	}
	here = w.messages()
	gone := 0
	for id := range promised {
		if _, ok := here[id]; ok {
			continue
		}
		gone++
		if _, ok := told[id]; !ok {
			t.Errorf("%s was accepted, is not here, and is not told as lost", id)
		}
	}
	for id := range told {
		if _, ok := here[id]; ok || w.load.sent[id] == nil {
			t.Errorf("%s is told as lost: it is here (%t), or nobody has sent it", id, ok)
		}
	}
	// What the bus has of them is written down as the sender signed it.
	for id, m := range told {
		if !slices.Contains(m.By, losses.Bus) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(saved, id+".xml"))
		if err != nil || !strings.Contains(string(text), id) || !strings.Contains(string(text), "SignatureValue") {
			t.Errorf("%s stands on the bus, and is not written down: %v, %.200s", id, err, text)
		}
	}
	if len(lost.Saved) == 0 || len(lost.NotSaved) > 0 {
		t.Errorf("%d messages are written down, and not: %v", len(lost.Saved), lost.NotSaved)
	}
	if gone < 20 || !strings.Contains(lost.Stopped, "gone back") {
		t.Errorf("%d are gone; the signer remembers %d entries, here are %d; stopped: %q", gone, lost.Signed, lost.Entries, lost.Stopped)
	}
	t.Logf("asynchronous: %d messages are gone and told, proved by %v; the signer remembers %d entries, the promoted server has %d", len(told), lost.Sources, lost.Signed, lost.Entries)
	w.gateway.kill()
}

// standby makes a standby of the database that works.
func (w *rehearsal) standby(name string) *embedded.Postgres {
	s, err := w.database.Standby(w.t.Context(), embedded.PostgresOptions{Dir: filepath.Join(w.dir, name), Durable: true})
	w.must(err)
	w.t.Cleanup(func() { s.Stop() })
	return s
}

// twoHosts tells the gateway of both servers, as docs/operations.md has it.
func (w *rehearsal) twoHosts(a, b *embedded.Postgres) {
	hosts := make([]string, 2)
	for i, p := range []*embedded.Postgres{a, b} {
		u, err := url.Parse(p.URL("mezhved"))
		w.must(err)
		hosts[i] = u.Query().Get("host")
	}
	text := fmt.Sprintf("postgres://postgres@/mezhved?host=%s,%s&target_session_attrs=read-write\n", hosts[0], hosts[1])
	w.must(os.WriteFile(filepath.Join(w.dir, "database.url"), []byte(text), 0o600))
}

// promote lets the database die and its standby take over, and waits until messages
// that were begun afterwards are accepted and exchanged.
func (w *rehearsal) promote(standby *embedded.Postgres) *watch {
	w.must(w.database.Kill())
	began := w.load.watch()
	w.promoted(standby)
	w.await("exchanges go on with the standby", func() bool { s := w.load.seen(began); return !s.accepted.IsZero() && s.ended >= 10 })
	return began
}

func (w *rehearsal) promoted(standby *embedded.Postgres) {
	old := w.database
	w.database = standby
	w.sql(standby, "SELECT pg_promote()")
	w.must(old.Stop())
	w.counted()
}

// counted holds the counts of what stands in the queues against the queues.
func (w *rehearsal) counted() {
	w.t.Helper()
	if n := w.number(w.database, `SELECT count(*) FROM (SELECT queue, sum(n) AS n FROM queue_count GROUP BY 1) c
		FULL JOIN (SELECT queue, count(*) AS n FROM queue GROUP BY 1) q USING (queue) WHERE coalesce(c.n, 0) <> coalesce(q.n, 0)`); n > 0 {
		w.t.Errorf("what stands in %d queues is counted wrong", n)
	}
}

func (w *rehearsal) sql(p *embedded.Postgres, statement string) {
	conn, err := pgx.Connect(w.t.Context(), p.URL("mezhved"))
	w.must(err)
	defer conn.Close(w.t.Context())
	_, err = conn.Exec(w.t.Context(), statement)
	w.must(err)
}

func (w *rehearsal) number(p *embedded.Postgres, question string) (n int64) {
	conn, err := pgx.Connect(w.t.Context(), p.URL("mezhved"))
	w.must(err)
	defer conn.Close(w.t.Context())
	w.must(conn.QueryRow(w.t.Context(), question).Scan(&n))
	return n
}
