package adapter_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
)

// Topics vanish under a running node: somebody deletes them, or a broker comes
// back without its data. The node makes them again, what waits in the outbox goes,
// and what the bus had acknowledged and lost is put there once more.
func TestTopicsThatVanish(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, byIntake)
	prefix := w.Config.Kafka.Prefix
	hold, held := make(chan struct{}), make(chan struct{})
	w.Store.Before("Enqueue", func() { close(held); <-hold })
	release := sync.OnceFunc(func() { close(hold) })
	defer release()

	send := func() {
		accepted(t, w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)}))
	}
	send()
	<-held // the intake has the first in hand
	for range 3 {
		send()
	}
	w.Eventually("all four are on the bus", func() bool { return len(w.Bus.Published()) >= 4 })
	w.Eventually("the gateway has seen that the topics are there", func() bool { return w.Bus.Calls("Ensure") > 1 })
	gone := []string{prefix + ".requests.REGISTRY", prefix + ".responses.MUNI", prefix + ".journal", prefix + ".dead"}
	w.DeleteTopics(gone...)
	send() // waits in the outbox
	w.Eventually("the topics are made again, and it is told", func() bool {
		return strings.Contains(w.Log.String(), "topics have vanished and are made again")
	})
	release()
	w.AwaitQueued(5)
	w.Eventually("what was lost is told", func() bool {
		return strings.Contains(w.Log.String(), "the bus has lost records before they came to their queue")
	})
	if n := strings.Count(w.Log.String(), "topics have vanished"); n > len(gone) {
		t.Errorf("%d lines about topics that have vanished", n)
	}
	w.Eventually("that the log is fed again is told", func() bool {
		return strings.Contains(w.Log.String(), "the log's topic was made anew")
	})
	w.Check()
}

// A provider that reads its topic itself has not read what stood on it when it
// was deleted: it stands on the new one.
func TestStreamThatVanishes(t *testing.T) {
	t.Parallel()
	w := streamWorld(t)
	id := accepted(t, w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(streamNS)})).Receipt.MessageID
	w.Eventually("the intake has noted the record", func() bool { return w.Store.Calls("Enqueue") > 0 })
	w.Eventually("the gateway has seen that the topics are there", func() bool { return w.Bus.Calls("Ensure") > 1 })
	w.DeleteTopics(w.Config.Kafka.Prefix + ".requests.REGISTRY")
	w.Eventually("what was lost is told", func() bool {
		return strings.Contains(w.Log.String(), "the bus has lost records before they were read")
	})
	// The record may stand there twice: the provider reads on.
	ctx, cancel := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	reading.Go(func() {
		topics := func() []string { return []string{w.Config.Kafka.Prefix + ".requests.REGISTRY"} }
		w.Bus.Consume(ctx, "REGISTRY", topics, nil, func(context.Context, adapter.Partition, []adapter.Record) error { return nil })
	})
	defer reading.Wait()
	defer cancel()
	w.Eventually("it is delivered", func() bool { return strings.HasSuffix(life(t, w, id), "delivered") })
	w.Check()
}

type readiness struct {
	Ready    bool
	State    string
	Bus      string
	Clock    string
	Standing []adapter.Still
}

func ready(t *testing.T, w *adaptertest.World) (status int, said readiness) {
	t.Helper()
	answer, err := w.HTTP.Get(w.URL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, said
}

// Every accept is answered "queued" and nothing gets on: the data says so, whatever
// the loops believe. It is told in /readyz, which keeps its callers because accepts
// go on, and in the log, once when it begins and once when it ends.
func TestStandstillIsTold(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	w.Store.Always("Relay", adaptertest.Failed)
	accepted(t, w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)}))
	w.Eventually("it is ready, before a minute has gone by", func() bool { // until its topics are made it is degraded
		status, said := ready(t, w)
		return status == http.StatusOK && said.State == "ready" && len(said.Standing) == 0
	})
	w.SQL("UPDATE outbox SET at = at - interval '2 minutes'")
	var said readiness
	w.Eventually("it is told", func() bool {
		_, said = ready(t, w)
		return len(said.Standing) > 0
	})
	status, said := ready(t, w)
	if status != http.StatusOK || !said.Ready || said.State != "degraded" {
		t.Errorf("while the outbox stands still: %d %+v", status, said)
	}
	s := said.Standing[0]
	if s.Station != adapter.StationOutbox || s.Shard == nil || s.Seconds < 120 || !strings.Contains(s.Text, "look at Kafka") {
		t.Errorf("what stands still: %+v", s)
	}
	looks := w.Store.Calls("Standing")
	w.Eventually("it has been looked at again and again", func() bool { return w.Store.Calls("Standing") > looks+5 })
	w.Store.Always("Relay", 0)
	w.AwaitQueued(1)
	w.Eventually("it is over", func() bool {
		_, said := ready(t, w)
		return said.State == "ready" && len(said.Standing) == 0
	})
	for _, line := range []string{"it stands still: accepted messages wait for the bus", "it gets on again"} {
		if n := strings.Count(w.Log.String(), line); n != 1 {
			t.Errorf("%q is logged %d times, want once", line, n)
		}
	}
	w.Check()
}
