package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/embedded"
	"mezhved/adapter/journal"
	"mezhved/adapter/losses"
	"mezhved/adapter/party"
	"mezhved/envelopes"
)

// The rehearsal of a disaster: parties are at work, a backup is made under their load,
// they work on, and then database, vault, keys, registry and files are gone at once. What
// is restored must be all that was accepted before the backup; what was accepted after it
// and is lost must be told by its MessageID, all of it and nothing else; what was erased
// since must stay erased; nothing may be signed under the old name; and when the senders
// have sent again what they were asked for, the books must balance.
func TestABackupIsRestored(t *testing.T) {
	rehearsed(t)
	w := openRehearsal(t)
	w.startGateway()
	play, err := newPlay(t.Context(), t.Output(), w.dir, w.base)
	w.must(err)
	play.store = "ftp://" + w.ftp
	w.log = w.openAuditLog(w.database.URL("mezhved"))
	receipts := filepath.Join(w.dir, "receipts")
	w.must(os.Mkdir(receipts, 0o755))
	w.load = startLoad(t.Context(), play, loadOptions{nodes: []string{w.base}, senders: 2, takers: 1, throttle: 50, timeout: 40 * time.Second, receipts: receipts})
	defer func() { w.load.end() }()
	w.progress("before the backup")
	plan := bytes.Repeat([]byte("план участка\n"), 400_000)
	w.load.absent.Store("ROSREESTR", true) // its queue, and the file in it, waits over all that follows
	w.await("messages wait for ROSREESTR", func() bool { return len(w.load.open("ROSREESTR")) >= 10 })
	w.load.unasked.Store("ROSREESTR", true)
	planned, err := play.client("PRIMERSK", envelopes.V12).SendRequest(t.Context(), party.Request{Content: sample("egrn-extract", "1.1.0", "request"),
		Attachments: []party.Attachment{{Name: "план.txt", MimeType: "text/plain", Content: plan}}})
	w.must(err)

	// Two backups under load; the first is killed on the way.
	killed := launch(t, "mezhved", "backup", "--config", w.config())
	w.await("the backup has begun to write", func() bool {
		found, _ := filepath.Glob(filepath.Join(w.dir, "backups", "objects", "*", "*"))
		return len(found) > 0
	})
	killed.kill()
	promised := w.acceptedNow()
	began := time.Now()
	w.command(0, "backup", "--config", w.config())
	took := time.Since(began)
	if said := w.command(0, "backup", "check", "--config", w.config()); !strings.Contains(said, "all as they were written") {
		t.Error(said)
	}
	w.progress("after the backup")

	// Erased since: one known by the register beside the backups, one by the log alone.
	erased := w.eraseTwo(promised)
	w.progress("after the erasures")
	w.await("the log has told of the erasures", func() bool {
		n := 0
		for _, e := range w.log.read(w.log.visit()) {
			if e.Kind == journal.KindErased {
				n++
			}
		}
		return n >= 2
	})
	w.progress("after the auditor's visit") // of this the mirror knows nothing

	// Disaster.
	w.gateway.kill()
	w.load.end()
	w.must(w.database.Kill())
	w.must(w.database.Stop())
	for _, name := range []string{"postgres", "keys/vault", "keys/journal.state", "keys/journal.state.lock", "keys/journal.key", "keys/replyto.key", "keys/bus", "services", "files", "keys/backup"} {
		w.must(os.RemoveAll(filepath.Join(w.dir, name)))
	}
	w.newDatabase("postgres-2")

	w.killRestores()
	restoring := time.Now()
	code, said := w.run("restore", "--config", w.config(), "--identity", filepath.Join(w.dir, "backup.identity"), "--log-key", filepath.Join(w.dir, "keys", "journal.key.pub"),
		"--mirror", w.log.mirror, "--receipts", receipts, "--json")
	put := time.Since(restoring)
	var v verified
	if at := strings.Index(said, "\n{"); at < 0 || json.Unmarshal([]byte(said[at+1:strings.LastIndex(said, "}")+1]), &v) != nil {
		t.Fatalf("restore: exit code %d\n%s", code, said)
	}
	if strings.Contains(said, "has survived and stays") {
		t.Errorf("a vault that a killed restore has put back passes for one that survived:\n%s", said)
	}
	here := w.messages()
	w.balance(&v, promised, here)
	if code != exitNo || !v.Reopen || v.Stopped == "" || v.Signed <= v.Entries || len(v.Findings) > 0 {
		t.Errorf("exit code %d, %+v", code, v)
	}
	for _, id := range erased {
		if codec, ok := here[id]; !ok || codec != 4 {
			t.Errorf("%s was erased after the backup and has come back (%d)", id, codec)
		}
	}
	if v.Forgot < 2 || v.Erased < 2 {
		t.Errorf("%d erasures were done again, of %d, want 2 at least", v.Forgot, v.Erased)
	}
	t.Logf("backup under load in %s, put back and verified in %s; %d messages accepted, %d of them before the backup; %d are restored, %d lost and told, as %v; %d steps happen again", took.Round(time.Millisecond), put.Round(time.Millisecond),
		w.load.accepted.Load(), len(promised), len(here), len(v.Lost), v.Sources, len(v.Again))

	// Under the old name nothing is signed, whoever tries.
	stopped := launch(t, "mezhved", "serve", "--config", w.config())
	w.await("the gateway says that it accepts nothing", func() bool {
		resp, err := http.Get(w.base + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode == http.StatusOK {
			t.Fatalf("it accepts: %s", text)
		}
		return strings.Contains(string(text), "restored from backup")
	})
	stopped.kill()
	// Restored into what is there already: refused.
	if code, said := w.run("restore", "--config", w.config(), "--identity", filepath.Join(w.dir, "backup.identity")); code != exitUsage || !strings.Contains(said, "not empty") {
		t.Errorf("restore over a database: exit code %d\n%s", code, said)
	}
	for _, name := range []string{"journal.key", "journal.key.pub", "journal.state"} {
		w.must(os.Remove(filepath.Join(w.dir, "keys", name)))
	}
	w.command(0, "keys", "journal", "--origin", "mezhved.demo/journal/2", "--out", filepath.Join(w.dir, "keys", "journal.key"))
	replaceIn(t, w.config(), "origin: mezhved.demo/journal\n", "origin: mezhved.demo/journal/2\n")
	w.command(0, "journal", "reopen", "--config", w.config())
	w.startGateway()
	w.log = w.openAuditLog(w.database.URL("mezhved"))
	w.log.mirror = filepath.Join(w.dir, "mirror-2")
	w.settle()
	w.counted()

	// What was asked for is sent again, what is here is delivered again, and the books balance.
	w.load = startLoad(t.Context(), play, loadOptions{nodes: []string{w.base}, takers: 1, throttle: 200, timeout: 40 * time.Second, ledger: w.books(&v, here)})
	w.load.store = &party.FileStore{URL: play.store}
	for _, m := range v.Lost {
		if s := w.load.sent[m.MessageID]; s.trade != nil {
			w.load.request(m.MessageID, s.trade)
		}
	}
	w.await("everything comes to its end", func() bool { return w.settled("SFR01", "ROSREESTR", "PRIMERSK", "MFC01") })
	w.load.askAgain()
	w.load.end()
	lives := w.log.lives()
	for _, p := range w.load.compare(lives) {
		if p.id != planned.MessageID {
			t.Errorf("message %s: %s", p.id, p.text)
		}
	}
	for _, v := range w.load.violations {
		t.Error(v.text)
	}
	if n := lives[planned.MessageID].count(journal.KindAcknowledged, "ROSREESTR"); n != 1 { // with the file: fetch holds it against its digest
		t.Errorf("the request with a file was acknowledged %d times", n)
	}
	w.log.visit()
	w.log.verify()
}

// rehearsal is a world that has backups.
type rehearsal struct {
	*crashWorld
	ftp string
}

func openRehearsal(t *testing.T) *rehearsal {
	for _, name := range []string{"pg_dump", "pg_restore"} {
		if _, err := embedded.Client(t.Context(), name, 0); err != nil {
			t.Skip(err)
		}
	}
	w := &rehearsal{openCrashWorld(t), freeAddress(t)}
	w.kafkaChild()
	replaceIn(t, w.config(), "ftp:\n  listen: 127.0.0.1:0", "ftp:\n  listen: "+w.ftp)
	w.command(0, "keys", "backup", "--out", filepath.Join(w.dir, "backup.identity"))
	text, err := os.ReadFile(w.config())
	w.must(err)
	w.must(os.WriteFile(w.config(), append(text, "backup:\n  to: backups\n  keysTo: backup-keys\n  recipients: [backup.identity.recipient]\n"...), 0o644))
	return w
}

func (w *rehearsal) config() string { return filepath.Join(w.dir, "mezhved.yaml") }

// run runs the program as it is shipped.
func (w *rehearsal) run(args ...string) (code int, said string) {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(w.t, "mezhved"), args...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		w.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), "\n" + string(out)
}

func (w *rehearsal) command(want int, args ...string) string {
	w.t.Helper()
	code, said := w.run(args...)
	if code != want {
		w.t.Fatalf("mezhved %s: exit code %d, want %d\n%s", strings.Join(args, " "), code, want, said)
	}
	return said
}

// newDatabase is an empty server in the place of the one that is gone.
func (w *rehearsal) newDatabase(name string) {
	var err error
	w.database, err = embedded.StartPostgres(w.t.Context(), embedded.PostgresOptions{Dir: filepath.Join(w.dir, name), Durable: true})
	w.must(err)
	w.t.Cleanup(func() { w.database.Stop() })
	w.must(w.database.Create(w.t.Context(), "mezhved"))
	w.must(os.WriteFile(filepath.Join(w.dir, "database.url"), []byte(w.database.URL("mezhved")+"\n"), 0o600))
}

// killRestores kills -9 restores on their way: when the vault is back, and when the
// database is being filled. No gateway works on what they leave.
func (w *rehearsal) killRestores() {
	restore := func() *running {
		return launch(w.t, "mezhved", "restore", "--config", w.config(), "--identity", filepath.Join(w.dir, "backup.identity"), "--log-key", filepath.Join(w.dir, "keys", "journal.key.pub"))
	}
	first := restore()
	w.await("the vault is back", func() bool {
		_, err := os.Stat(filepath.Join(w.dir, "keys", "vault", "identity"))
		return err == nil
	})
	first.kill()
	conn, err := pgx.Connect(w.t.Context(), w.database.URL("mezhved"))
	w.must(err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(w.t.Context(), "SELECT pg_advisory_lock(28026, 1002)") // as a restore that is at work does
	w.must(err)
	if said := w.command(exitUnavailable, "restore", "--config", w.config(), "--identity", filepath.Join(w.dir, "backup.identity")); !strings.Contains(said, "another mezhved restore") {
		w.t.Error(said)
	}
	_, err = conn.Exec(w.t.Context(), "SELECT pg_advisory_unlock(28026, 1002)")
	w.must(err)
	second := restore()
	w.await("the database is being filled", func() (begun bool) {
		w.must(conn.QueryRow(w.t.Context(), "SELECT to_regclass('public.mezhved_restoring') IS NOT NULL").Scan(&begun))
		return begun
	})
	second.kill()
	if code, said := w.run("serve", "--config", w.config()); code != exitNo || !strings.Contains(said, "restore") {
		w.t.Errorf("a gateway on a database that a restore did not come to an end in: exit code %d\n%s", code, said)
	}
	// Its session in PostgreSQL ends when the server notices, and the lock with it.
	_, err = conn.Exec(w.t.Context(), "SELECT pg_advisory_lock(28026, 1002), pg_advisory_unlock(28026, 1002)")
	w.must(err)
}

// acceptedNow are the messages whose senders have their receipts.
func (w *rehearsal) acceptedNow() map[string]bool {
	w.load.mu.Lock()
	defer w.load.mu.Unlock()
	ids := map[string]bool{}
	for id, s := range w.load.sent {
		if s.accepted {
			ids[id] = true
		}
	}
	return ids
}

// eraseTwo erases the content of two messages that were accepted before the backup and
// are not on their way; between the two the register is copied.
func (w *rehearsal) eraseTwo(promised map[string]bool) (erased []string) {
	token := filepath.Join(w.dir, "keys", "operator.token")
	for range 2 {
		w.await("a message can be erased", func() bool {
			for _, id := range slices.Sorted(maps.Keys(promised)) {
				w.load.mu.Lock()
				s := w.load.sent[id]
				t := w.load.taken[inbox{id, "SFR01"}]
				ended := s.trade != nil && t != nil && !t.closed.IsZero()
				w.load.mu.Unlock()
				if !ended || slices.Contains(erased, id) {
					continue
				}
				if code, _ := w.run("journal", "erase", "--content", "--message", id, "--ground", "order 7", "--config", w.config(), "--token-file", token); code == 0 {
					erased = append(erased, id)
					return true
				}
			}
			return false
		})
		if len(erased) == 1 {
			w.command(0, "backup", "register", "--config", w.config())
		}
	}
	return erased
}

// messages are those that the database has, with how their content is kept.
func (w *rehearsal) messages() map[string]int {
	conn, err := pgx.Connect(w.t.Context(), w.database.URL("mezhved"))
	w.must(err)
	defer conn.Close(w.t.Context())
	rows, _ := conn.Query(w.t.Context(), "SELECT message_id, codec FROM message")
	found := map[string]int{}
	var id string
	var codec int
	_, err = pgx.ForEachRow(rows, []any{&id, &codec}, func() error { found[id] = codec; return nil })
	w.must(err)
	return found
}

// balance holds what is told as lost against what the parties have written down.
func (w *rehearsal) balance(v *verified, promised map[string]bool, here map[string]int) {
	t, l := w.t, w.load
	for id := range promised {
		if _, ok := here[id]; !ok {
			t.Errorf("%s was accepted before the backup and is not in it", id)
		}
	}
	lost := map[string]bool{}
	by := map[losses.By]int{}
	for _, m := range v.Lost {
		lost[m.MessageID] = true
		for _, b := range m.By {
			by[b]++
		}
		if s := l.sent[m.MessageID]; s == nil {
			t.Errorf("%s is told as lost and nobody has sent it", m.MessageID)
		} else if _, ok := here[m.MessageID]; ok {
			t.Errorf("%s is told as lost and is here", m.MessageID)
		} else if s.trade != nil && m.Sender != s.trade.from {
			t.Errorf("%s was sent by %s, and %q is to be asked", m.MessageID, s.trade.from, m.Sender)
		}
	}
	gone := 0
	for id, s := range l.sent {
		_, ok := here[id]
		if s.accepted && !ok {
			if gone++; !lost[id] {
				t.Errorf("%s was accepted, is not here, and is not told as lost", id)
			}
		}
	}
	if gone < 20 {
		t.Errorf("%d messages were lost: too few to show anything", gone)
	}
	for _, b := range []losses.By{losses.Receipt, losses.Mirror, losses.Topic} {
		if by[b] == 0 {
			t.Errorf("nothing is proved by %s: %v", b, by)
		}
	}
}

// settle waits until the log has everything and is signed.
func (w *rehearsal) settle() {
	conn, err := pgx.Connect(w.t.Context(), w.database.URL("mezhved"))
	w.must(err)
	defer conn.Close(w.t.Context())
	w.await("the log takes up what waits", func() bool {
		var waits, unsigned int64
		w.must(conn.QueryRow(w.t.Context(), "SELECT (SELECT count(*) FROM journal_pending), (SELECT size FROM journal_head) - coalesce((SELECT max(size) FROM journal_checkpoint WHERE origin = (SELECT origin FROM journal_head)), 0)").Scan(&waits, &unsigned))
		return waits == 0 && unsigned == 0
	})
}

// books are what the parties go on with: what they have sent, and of what they took what
// the restored gateway knows as acknowledged; the rest comes again.
func (w *rehearsal) books(v *verified, here map[string]int) *ledger {
	old, l := w.load.ledger, newLedger()
	lives := w.log.livesIn(w.log.visit())
	l.replies = old.replies
	l.routings = 3 // what the bus had and the backup did not is put there again
	for id, s := range old.sent {
		_, ok := here[id]
		if !ok && s.answers == "" && !slices.ContainsFunc(v.Lost, func(m losses.Message) bool { return m.MessageID == id }) {
			continue // it never came to anything: its sender gives it up
		}
		s.accepted = ok
		l.sent[id] = s
		for _, system := range s.recipients {
			if lives[id].count(journal.KindAcknowledged, system) == 1 {
				l.taken[inbox{id, system}] = old.taken[inbox{id, system}]
			}
		}
	}
	for id := range here {
		if l.sent[id] == nil {
			l.sent[id] = &sent{recipients: []string{"ROSREESTR"}, accepted: true} // the one with a file
		}
	}
	return l
}
