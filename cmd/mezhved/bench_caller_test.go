package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"mezhved/adapter/party"
	"mezhved/envelopes"
	"mezhved/signing"
)

// An acknowledgement that may have been done, and of which the bus then knows nothing any
// more, is one; a bus that has never heard of it refuses.
func TestAckThatWasSaidAndNotHeard(t *testing.T) {
	id, err := signing.SelfSigned(signing.TestSubject{CommonName: "MFC01"}, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := id.Signer()
	if err != nil {
		t.Fatal(err)
	}
	fault := func(w http.ResponseWriter, status int, kind envelopes.FaultKind) {
		w.Header().Set("Content-Type", envelopes.TextXML)
		w.WriteHeader(status)
		_, _ = w.Write((&envelopes.Fault{Kind: kind, Text: "нет"}).Build(envelopes.V12))
	}
	for name, c := range map[string]struct {
		first func(w http.ResponseWriter)
		done  bool
	}{
		"busy":   {func(w http.ResponseWriter) { fault(w, http.StatusServiceUnavailable, envelopes.SMEVFailure) }, true},
		"silent": {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, true},
		"unknown": {func(w http.ResponseWriter) {
			fault(w, http.StatusInternalServerError, envelopes.TargetMessageIsNotFound)
		}, false},
	} {
		var mu sync.Mutex
		calls := 0
		site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			mu.Lock()
			calls++
			first := calls == 1
			mu.Unlock()
			if first {
				c.first(w)
				return
			}
			fault(w, http.StatusInternalServerError, envelopes.TargetMessageIsNotFound)
		}))
		defer site.Close()
		b := &bed{base: site.URL, nodes: []string{site.URL}, play: &play{base: site.URL, signers: map[string]signing.Signer{benchSender: signer}}}
		caller, err := b.caller(0, benchSender, &proofs{})
		if err != nil {
			t.Fatal(err)
		}
		defer caller.lane.close()
		if err := caller.ack(t.Context(), pressed{}, party.NewMessageID(time.Now())); (err == nil) != c.done || calls != 2 {
			t.Errorf("a bus that was %s first: %v after %d calls", name, err, calls)
		}
	}
}

// No two polls are the same, whoever makes them at once, though they are signed without random
// numbers.
func TestPollsDiffer(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]bool{}
	var polling sync.WaitGroup
	for range 4 {
		polling.Go(func() {
			for range 500 {
				poll := string(pollNow(envelopes.GetRequest).XML)
				mu.Lock()
				if seen[poll] {
					t.Errorf("made twice: %s", poll)
				}
				seen[poll] = true
				mu.Unlock()
			}
		})
	}
	polling.Wait()
}
