package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
)

// running is a sequencer at work with the real clock.
func running(t *testing.T, w *world) (*postgres.Journal, *clerk.Sequencer) {
	t.Helper()
	j, seq := benchJournal(t, w.Store)
	seq.Tick, seq.Publish = 20*time.Millisecond, 50*time.Millisecond
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		seq.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return j, seq
}

// await waits until Writable says what is wanted.
func await(t *testing.T, seq *clerk.Sequencer, want bool) {
	t.Helper()
	until(t, fmt.Sprintf("the journal is writable: %v", want), func() bool { return (seq.Writable() == nil) == want })
}

// The server is killed with -9 while the sequencer works, three times. What was
// durable when it died is in the log exactly once, and the journal is known to be
// unwritable each time. (How soon: TestUnwritableIsKnownWithinASecond of package
// journal, on a clock that is moved.)
func TestJournalSurvivesAKilledServer(t *testing.T) {
	ctx := context.Background()
	p, w := durable(t)
	j, seq := running(t, w)
	await(t, seq, true)

	var mu sync.Mutex
	durableEvents := map[string]bool{} // acknowledged
	maybe := map[string]bool{}         // sent, outcome unknown
	stop := make(chan struct{})
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%d-%d", worker, i)
				e := journal.Event{Kind: journal.KindAccepted, Time: time.Now(), Message: id, Sender: fmt.Sprint("S", worker)}
				bounded, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
				err := j.Append(bounded, e)
				cancel()
				mu.Lock()
				if err == nil {
					durableEvents[id] = true
				} else {
					maybe[id] = true
				}
				mu.Unlock()
			}
		})
	}
	for range 3 {
		time.Sleep(300 * time.Millisecond)
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		await(t, seq, false)
		if err := p.Start(ctx); err != nil {
			t.Fatal(err)
		}
		await(t, seq, true)
	}
	close(stop)
	all.Wait()

	var seen map[string]int
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		seen = map[string]int{}
		err := j.Each(ctx, postgres.Query{Kind: journal.KindAccepted}, func(r postgres.Row) error {
			seen[r.Leaf.Message]++
			return nil
		})
		missing := 0
		for id := range durableEvents {
			if seen[id] == 0 {
				missing++
			}
		}
		if err == nil && missing == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages in the log, %d of %d that were acknowledged are missing; %v", len(seen), missing, len(durableEvents), err)
		}
	}
	for id, n := range seen {
		if n != 1 || !durableEvents[id] && !maybe[id] {
			t.Errorf("message %s stands %d times in the log (acknowledged %v)", id, n, durableEvents[id])
		}
	}
	policy, err := journal.LogPolicy(seq.Signer.Key())
	if err != nil {
		t.Fatal(err)
	}
	c, err := j.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := audit.VerifyLog(ctx, j, policy, c.Note, nil)
	if err != nil || !rep.OK() {
		t.Errorf("the log: %v %v", err, rep.Recount.Findings)
	}
	if len(durableEvents) < 50 {
		t.Errorf("only %d events were acknowledged: the test tries too little", len(durableEvents))
	}
}

// A server that neither answers nor closes its connections is noticed, too.
func TestASilentServerIsUnwritable(t *testing.T) {
	ctx := context.Background()
	_, w := durable(t)
	j, seq := running(t, w)
	await(t, seq, true)
	if err := j.Append(ctx, journaltest.Events(1, 10)...); err != nil {
		t.Fatal(err)
	}
	c, err := pgx.Connect(ctx, w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	rows, _ := c.Query(ctx, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil || len(pids) == 0 {
		t.Fatal(err, pids)
	}
	for _, pid := range pids {
		if err := syscall.Kill(int(pid), syscall.SIGSTOP); errors.Is(err, syscall.EPERM) {
			t.Skip("the server's processes belong to another user: they cannot be stopped here")
		} else if err != nil {
			t.Fatal(err)
		}
		defer syscall.Kill(int(pid), syscall.SIGCONT)
	}
	await(t, seq, false)
	for _, pid := range pids {
		syscall.Kill(int(pid), syscall.SIGCONT)
	}
	await(t, seq, true)
}
