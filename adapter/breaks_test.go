package adapter_test

import (
	"fmt"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/envelopes"
)

// Every write of the corridor breaks twice, because it failed and because it
// worked but said it failed; the gateway carries on, or is restarted at that
// moment. However it goes, parties who repeat what was not answered end with
// one exchange, and the promises hold.
func TestBreaks(t *testing.T) {
	type at struct {
		name  string
		write func(w *adaptertest.World) interface {
			Break(string, adaptertest.How)
			Unbroken() bool
		}
		method string
	}
	store := func(w *adaptertest.World) interface {
		Break(string, adaptertest.How)
		Unbroken() bool
	} {
		return w.Store
	}
	bus := func(w *adaptertest.World) interface {
		Break(string, adaptertest.How)
		Unbroken() bool
	} {
		return w.Bus
	}
	for _, at := range []at{
		{"accept", store, "Accept"}, {"relay", store, "Relay"}, {"commit of the relay", store, "Relayed"}, {"publish", bus, "Publish"}, {"enqueue", store, "Enqueue"},
		{"lease", store, "Lease"}, {"ack", store, "Ack"}, {"sweep", store, "Sweep"},
	} {
		for _, how := range []adaptertest.How{adaptertest.Failed, adaptertest.DoneButFailed} {
			for _, restart := range []bool{false, true} {
				for nth := range 2 { // the request's way, and the answer's
					t.Run(fmt.Sprintf("%s %s restart=%v nth=%d", at.name, how, restart, nth), func(t *testing.T) {
						t.Parallel()
						w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) {
							if at.method == "Enqueue" {
								c.Kafka.Fills = adapter.FillsIntake
							}
						}))
						broken := at.write(w)
						arm := func(n int) {
							if n == nth {
								broken.Break(at.method, how)
							}
						}
						exchange(t, w, arm, func() {
							if restart {
								w.Restart()
							}
						})
						w.Eventually("the break has happened", broken.Unbroken)
						w.Check()
					})
				}
			}
		}
	}
}

// exchange is a whole exchange between patient parties: what is not answered
// well is repeated as it was, what is leased and lost comes back in time.
func exchange(t *testing.T, w *adaptertest.World, arm func(int), trouble func()) {
	t.Helper()
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	patiently := func(post func() adaptertest.Answered) adaptertest.Answered {
		for range 20 {
			a := post()
			if a.Fault == nil {
				return a
			}
			if a.Fault.Kind == envelopes.TargetMessageIsNotFound {
				return a // the standard has the client take it for success
			}
			if a.Status != 503 || a.Header.Get("Retry-After") == "" {
				t.Fatalf("trouble of ours is told as %d %v", a.Status, a.Fault)
			}
			trouble()
		}
		t.Fatal("no success after twenty tries")
		return adaptertest.Answered{}
	}
	receive := func(p *adaptertest.Party, op envelopes.Operation) adaptertest.Answered {
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
			a := patiently(func() adaptertest.Answered { return p.Get(op, anything, "") })
			if a.Message != nil {
				patiently(func() adaptertest.Answered { return p.Ack(a.Message.Metadata.MessageID) })
				return a
			}
			time.Sleep(30 * time.Millisecond)
			w.Clock.Advance(time.Minute) // a lease that was lost runs out
		}
		t.Fatal("no message came")
		return adaptertest.Answered{}
	}

	arm(0)
	kind, body, id := muni.BuildRequest(request(adaptertest.Extract1))
	patiently(func() adaptertest.Answered { return muni.Post("/ws", kind, body) })
	got := receive(registry, envelopes.GetRequest)
	if got.Message.Metadata.MessageID != id {
		t.Fatalf("delivered %s, want %s", got.Message.Metadata.MessageID, id)
	}
	if a := patiently(func() adaptertest.Answered { return registry.Get(envelopes.GetRequest, anything, "") }); a.Message != nil {
		t.Error("the request came twice after its Ack")
	}

	arm(1)
	kind, body, _ = registry.BuildReply(got.Message.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)})
	patiently(func() adaptertest.Answered { return registry.Post("/ws", kind, body) })
	back := receive(muni, envelopes.GetResponse)
	if back.Message.OriginalMessageID != id {
		t.Fatalf("answered %s, want %s", back.Message.OriginalMessageID, id)
	}
	if a := patiently(func() adaptertest.Answered { return muni.Get(envelopes.GetResponse, anything, "") }); a.Message != nil {
		t.Error("the answer came twice after its Ack")
	}
}
