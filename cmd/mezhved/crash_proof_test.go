package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/postgres"
	"mezhved/adapter/vault"
)

// prove holds what the parties have written down against what the gateway hands
// out, and against a journal that was verified outside of it.
func (w *crashWorld) prove() {
	t, l := w.t, w.load
	// Delivered or waiting: everybody but ROSREESTR comes to an end, and what
	// is not acknowledged there stands in its queue, no more and no less.
	others := []string{"SFR01", "PRIMERSK", "MFC01"}
	l.askAgain()
	w.await("everything but what waits for ROSREESTR is acknowledged", func() bool { return w.settled(others...) })
	stand := len(l.open("ROSREESTR"))
	if stand < 20 {
		t.Errorf("%d messages wait for ROSREESTR, at least 20 were left", stand)
	}
	var told int64
	w.await("the gateway counts what waits for ROSREESTR as we do", func() bool {
		told = w.waiting("ROSREESTR")
		return told == int64(stand)
	})
	l.absent.Delete("ROSREESTR")
	w.await("what waited for ROSREESTR is delivered, answered and acknowledged", func() bool { return w.settled(append(others, "ROSREESTR")...) })
	l.leave()
	l.taking.Wait()
	for _, system := range append(others, "ROSREESTR", "FNS01") {
		if !w.empty(system) {
			t.Errorf("something is left for %s after everything was acknowledged", system)
		}
	}
	lives := w.log.lives()
	if code := w.gateway.terminate(); code != 0 {
		t.Errorf("the gateway ends with exit code %d\n%s", code, w.gateway.out)
	}
	w.log.visit()
	w.log.verify()

	for _, v := range l.violations {
		t.Error(v.text)
	}
	problems := l.compare(lives)
	for _, p := range problems {
		t.Errorf("message %s: %s", p.id, p.text)
	}
	attempts, redelivered := 0, 0
	for id, s := range l.sent {
		attempts += s.attempts
		for _, system := range s.recipients {
			if lives[id].count(journal.KindDelivered, system) > 1 {
				redelivered++
			}
		}
	}
	if len(l.violations) == 0 && !t.Failed() {
		t.Logf("%d messages accepted in %d attempts, all delivered, acknowledged once and journalled; %d were handed out more than once", len(l.sent), attempts, redelivered)
	}
}

// problem is what is wrong with one message.
type problem struct {
	id   string
	what wrong
	text string
}

// wrong sorts problems.
type wrong int

const (
	otherwise wrong = iota
	lost
	doubled
	unjournalled
)

// times sorts a number that must be one.
func times(n int, none wrong) wrong {
	if n > 1 {
		return doubled
	}
	return none
}

// compare holds the ledger against the journal.
func (l *ledger) compare(lives map[string]life) (problems []problem) {
	for id, s := range l.sent {
		wrong := func(what wrong, format string, args ...any) {
			problems = append(problems, problem{id, what, fmt.Sprintf(format, args...)})
		}
		if !s.accepted {
			wrong(otherwise, "it was never accepted")
			continue
		}
		life := lives[id]
		if n := life.count(journal.KindAccepted, ""); n != 1 {
			wrong(times(n, unjournalled), "journalled as accepted %d times", n)
		}
		if answer, begun := l.replies[id]; begun && l.sent[answer] != nil && l.sent[answer].accepted {
			if n := life.count(journal.KindAnswered, ""); n != 1 {
				wrong(times(n, unjournalled), "journalled as answered %d times", n)
			}
		} else if s.answers == "" && !s.broadcast {
			wrong(lost, "it has no answer")
		}
		for _, system := range s.recipients {
			taken := l.taken[inbox{id, system}]
			if taken == nil {
				wrong(lost, "never handed to %s; the journal: %s", system, life.words(system))
				continue
			}
			if taken.confirmed > 1 {
				wrong(doubled, "%s was told %d times that it has acknowledged it", system, taken.confirmed)
			}
			for _, p := range life.judge(system, taken.times, l.routings) {
				wrong(p.what, "for %s: %s; the journal: %s", system, p.text, life.words(system))
			}
		}
	}
	for id, life := range lives {
		if life.count(journal.KindAccepted, "") > 0 && l.sent[id] == nil {
			problems = append(problems, problem{id, otherwise, "the journal has it as accepted and nobody has sent it"})
		}
	}
	return problems
}

// settled tells whether these systems are done with all that was accepted for
// them, and nothing is on its way into acceptance.
func (w *crashWorld) settled(systems ...string) bool {
	if w.load.unsure() > 0 {
		return false
	}
	for _, system := range systems {
		if len(w.load.open(system)) > 0 {
			return false
		}
	}
	return true
}

// life is what the journal tells of one MessageID, in its order.
type life []journal.Leaf

// count counts entries of a kind, of one recipient if one is named.
func (l life) count(kind journal.Kind, recipient string) (n int) {
	for _, e := range l {
		if e.Kind == kind && (recipient == "" || e.Recipient == recipient) {
			n++
		}
	}
	return n
}

// judge says what is wrong with a message's way to one recipient, who was handed
// it at least the given number of times, when it may have been put on the bus so often
// as routings says.
func (l life) judge(recipient string, handed, routings int) (problems []problem) {
	wrong := func(what wrong, format string, args ...any) {
		problems = append(problems, problem{what: what, text: fmt.Sprintf(format, args...)})
	}
	for _, kind := range []journal.Kind{journal.KindRouted, journal.KindQueued, journal.KindAcknowledged} {
		most := 1
		if kind == journal.KindRouted {
			most = routings
		}
		if n := l.count(kind, recipient); n < 1 || n > most {
			wrong(times(n, unjournalled), "%s %d times", kind, n)
		}
	}
	delivered := 0
	returned := 0
	acknowledged := false
	for _, e := range l {
		if e.Recipient != recipient {
			continue
		}
		switch e.Kind {
		case journal.KindDelivered:
			delivered++
			if e.Attempt != delivered {
				wrong(otherwise, "delivery %d is journalled as attempt %d", delivered, e.Attempt)
			}
			if delivered > returned+1 {
				wrong(doubled, "delivery %d without a lease that ran out before it", delivered)
			}
			if acknowledged {
				wrong(doubled, "delivered after its acknowledgement")
			}
		case journal.KindReturned:
			returned++
		case journal.KindAcknowledged:
			acknowledged = true
		case journal.KindDead, journal.KindExpired:
			wrong(lost, "%s", e.Kind)
		}
	}
	if delivered < handed {
		wrong(unjournalled, "handed out %d times, journalled %d times", handed, delivered)
	}
	return problems
}

func (l life) words(recipient string) string {
	var out []string
	for _, e := range l {
		if e.Recipient == recipient || e.Kind == journal.KindAccepted {
			word := string(e.Kind)
			if e.Attempt > 0 {
				word += fmt.Sprintf("(%d)", e.Attempt)
			}
			out = append(out, word)
		}
	}
	return strings.Join(out, " ")
}

// auditLog is an auditor who follows the log from outside, with the public half
// of its key and nothing else of the gateway's.
type auditLog struct {
	w      *crashWorld
	mirror string
	policy *journal.Policy
	book   *postgres.Journal
}

// openAuditLog opens the log in the database at url.
func (w *crashWorld) openAuditLog(url string) *auditLog {
	vkey, err := os.ReadFile(filepath.Join(w.dir, "keys", "journal.key.pub"))
	w.must(err)
	a := &auditLog{w: w, mirror: filepath.Join(w.dir, "mirror")}
	a.policy, err = journal.LogPolicy(strings.TrimSpace(string(vkey)))
	w.must(err)
	config, err := adapter.LoadConfig(filepath.Join(w.dir, "mezhved.yaml"))
	w.must(err)
	store, err := postgres.Open(w.t.Context(), postgres.Options{URL: url, Node: "auditor", Log: quietLog()})
	w.must(err)
	w.t.Cleanup(store.Close)
	keys, err := vault.Open(config.Journal.Vault, time.Now)
	w.must(err)
	a.book, err = store.Journal(w.t.Context(), config.Journal.Origin, keys)
	w.must(err)
	return a
}

// visit brings the mirror up to the log's latest checkpoint and gives its size.
// A log that went back, or changed what an earlier visit saw, is caught here.
func (a *auditLog) visit() (entries int64) {
	var problem error
	fork := (*audit.ForkError)(nil)
	a.w.await("the auditor's visit", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		var v *audit.Visit
		if v, problem = a.follow(ctx); problem == nil {
			entries = v.Now.Tree.N
			for _, f := range v.Recount.Findings {
				a.w.t.Errorf("the auditor finds: %s", f)
			}
		}
		// The pool may still hold connections to the killed server.
		return problem == nil || errors.As(problem, &fork)
	})
	if fork != nil || problem != nil && !errors.Is(problem, fs.ErrNotExist) {
		a.w.t.Fatalf("the auditor's visit: %v", problem)
	}
	return entries
}

// follow makes one try at a visit.
func (a *auditLog) follow(ctx context.Context) (*audit.Visit, error) {
	published := a.book.Published(false)
	checkpoint, err := published.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	return (&audit.Mirror{Dir: a.mirror, Policy: a.policy, Quick: true}).Follow(ctx, published, checkpoint.Note, time.Now())
}

// verify lets the auditor's own program verify the mirror, offline.
func (a *auditLog) verify() {
	policy := filepath.Join(a.w.dir, "policy.txt")
	a.w.must(os.WriteFile(policy, a.policy.Text(), 0o644))
	out, err := exec.Command(program(a.w.t, "mezhved-audit"), "verify", "log", "--policy", policy, a.mirror).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "VERIFIED: 0 missing, 0 changed") {
		a.w.t.Errorf("mezhved-audit verify log: %v\n%s", err, out)
		return
	}
	a.w.t.Logf("mezhved-audit verify log:\n%s", out)
}

// lives reads the whole mirror, once the log has taken up everything that was
// acknowledged.
func (a *auditLog) lives() map[string]life {
	want := 0
	for _, s := range a.w.load.sent {
		want += len(s.recipients)
	}
	var lives map[string]life
	a.w.await("the log has taken up every acknowledgement", func() bool {
		lives = a.livesIn(a.visit())
		got := 0
		for _, life := range lives {
			got += life.count(journal.KindAcknowledged, "")
		}
		return got >= want
	})
	return lives
}

// livesIn sorts the mirror's entries by message.
func (a *auditLog) livesIn(size int64) map[string]life {
	lives := map[string]life{}
	for _, e := range a.read(size) {
		if e.MessageID != "" && e.Kind != journal.KindRefused {
			lives[e.MessageID] = append(lives[e.MessageID], e)
		}
	}
	return lives
}

// read gives the mirror's entries.
func (a *auditLog) read(size int64) (leaves []journal.Leaf) {
	source := audit.DirSource{FS: os.DirFS(a.mirror)}
	for n := int64(0); n*journal.TileWidth < size; n++ {
		bundle, err := source.Tile(context.Background(), journal.EntriesLevel, n, journal.TileSize(journal.EntriesLevel, n, size))
		a.w.must(err)
		entries, err := journal.Entries(bundle)
		a.w.must(err)
		for _, entry := range entries {
			leaf, err := journal.ParseLeaf(entry)
			a.w.must(err)
			leaves = append(leaves, leaf)
		}
	}
	return leaves
}
