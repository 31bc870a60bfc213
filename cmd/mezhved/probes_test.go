package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mezhved/adapter/party"
	"mezhved/envelopes"
	"mezhved/testdata/services"
)

// Two nodes watch a service, and the one that probes is killed while its question waits
// for an answer, and later between two: the provider is asked each question once, each has
// one outcome, and the other node goes on.
func TestProbesGoOnWhenTheNodeThatProbesIsKilled(t *testing.T) {
	w := openStormWorld(t, newStorm(t), "kfake")
	service := filepath.Join(w.dir, "services", "egrul-extract", "2.0.0", "service.yaml")
	replaceIn(t, service, "probe: {short: 1m}", "probe: {short: 10s, full: 10s, answer: 10s}")
	for _, n := range w.nodes {
		text, err := os.ReadFile(n.config())
		w.must(err)
		text = append(text, "probe: {party: PRIMERSK, key: parties/PRIMERSK/key.pem, certificate: parties/PRIMERSK/cert.pem}\n"...)
		w.must(os.WriteFile(n.config(), text, 0o644))
		n.start()
		t.Cleanup(n.kill)
	}
	play, err := newPlay(w.ctx, t.Output(), w.dir, w.nodes[0].base)
	w.must(err)
	p := &pair{stormWorld: w, play: play}
	answer, err := services.FS.ReadFile("egrul-extract/2.0.0/samples/response.xml")
	w.must(err)

	// The provider asks either node, and may be told to let a question wait.
	var mu sync.Mutex
	asked := map[string]int{} // by MessageID
	held := false
	ctx, stop := context.WithCancel(w.ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	hold := func(on bool) { mu.Lock(); held = on; mu.Unlock() }
	work.Go(func() {
		clients := make([]*party.Client, len(w.nodes))
		for i, n := range w.nodes {
			clients[i] = &party.Client{URL: n.base + "/smev/v1.2/ws", Version: envelopes.V12, Signer: play.signers["FNS01"], Bus: play.bus, Attempts: 1, HTTP: &http.Client{Timeout: 5 * time.Second}}
		}
		for i := 0; ctx.Err() == nil; i++ {
			c := clients[i%len(clients)]
			mu.Lock()
			waits := held
			mu.Unlock()
			if waits {
				pauseFor(ctx, 50*time.Millisecond)
				continue
			}
			m, err := c.PollRequest(ctx, party.Selector{})
			if err != nil || m == nil {
				pauseFor(ctx, 100*time.Millisecond)
				continue
			}
			mu.Lock()
			asked[m.Metadata.MessageID]++
			mu.Unlock()
			id := party.NewMessageID(time.Now())
			for try := 0; ctx.Err() == nil; try++ { // until either node has taken both
				c := clients[(i+try)%len(clients)]
				_, err := c.Reply(ctx, party.Reply{MessageID: id, Unsure: try > 0, To: m.ReplyTo, Content: answer})
				if err == nil {
					if err = c.Ack(ctx, m.Metadata.MessageID, true); err == nil {
						break
					}
				}
				pauseFor(ctx, 100*time.Millisecond)
			}
		}
	})

	number := func(question string) int64 {
		t.Helper()
		var n int64
		p.await("the database answers", func() bool { var ok bool; n, ok = w.ask(question); return ok })
		return n
	}
	const outcomes = "SELECT count(*) FROM probe_result WHERE kind = 'full'"
	more := func(when string, than int64) {
		t.Helper()
		p.await("two more probes have their outcomes "+when, func() bool { return number(outcomes) >= than+2 })
	}
	more("at first", 0)
	// Leads are given up after each round: who led last is who wrote the row.
	last := func() (leads, other *stormNode) {
		t.Helper()
		n := number("SELECT right(node, 1)::bigint FROM lead WHERE work = 'probe'")
		return p.nodes[n-1], p.nodes[2-n]
	}
	for _, waiting := range []bool{true, false} {
		hold(waiting)
		if waiting {
			p.await("a probe is under way", func() bool { return number("SELECT count(*) FROM probe WHERE kind = 'full' AND message_id <> ''") == 1 })
		}
		dies, _ := last()
		dies.kill()
		before := number(outcomes)
		hold(false)
		more("when "+dies.name+" was killed", before)
		dies.start()
	}
	stop()
	work.Wait()

	if n := number("SELECT count(*) FROM probe_result WHERE kind = 'full' AND problem <> '' AND problem <> 'unanswered'"); n != 0 {
		t.Errorf("%d probes have found something else than a provider that waited", n)
	}
	done, under := number(outcomes), number("SELECT count(*) FROM probe WHERE kind = 'full' AND message_id <> ''")
	sent := number("SELECT count(*) FROM message m LEFT JOIN message_kind k ON k.id = m.kind WHERE coalesce(m.sender, k.sender) = 'PRIMERSK'")
	if sent < done || sent > done+under {
		t.Errorf("%d questions were accepted, %d have outcomes, %d are under way", sent, done, under)
	}
	mu.Lock()
	defer mu.Unlock()
	for id, n := range asked {
		if n != 1 {
			t.Errorf("the provider was asked %s %d times", id, n)
		}
	}
	if len(asked) < 4 {
		t.Errorf("the provider was asked %d times: %s", len(asked), strings.Join(keysOf(asked), " "))
	}
}

func keysOf(m map[string]int) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	return out
}
