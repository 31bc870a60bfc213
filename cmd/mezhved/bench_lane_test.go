package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"
)

// The generator's calls share connections, one call at a time, and a call that is
// given up takes its connection with it.
func TestLanes(t *testing.T) {
	var mu sync.Mutex
	callers := map[string]int{}
	held := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		callers[r.RemoteAddr]++
		mu.Unlock()
		if r.URL.Path == "/held" {
			select {
			case <-held:
			case <-r.Context().Done():
			}
		}
		_, _ = w.Write(body)
	}))
	defer server.Close()
	defer close(held)
	client := httpClient(server.URL, 2)
	call := func(ctx context.Context, path string) error {
		status, answer, err := post(ctx, client, server.URL+path, "text/plain", []byte("words"))
		if err == nil && (status != http.StatusOK || string(answer) != "words") {
			t.Errorf("%s: %d %q", path, status, answer)
		}
		return err
	}
	connections := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(callers)
	}
	for range 3 {
		if err := call(t.Context(), "/"); err != nil {
			t.Fatal(err)
		}
	}
	if n := connections(); n != 1 {
		t.Errorf("three calls one after another have taken %d connections", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := call(ctx, "/held"); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that was given up: %v", err)
	}
	if err := call(t.Context(), "/"); err != nil {
		t.Error(err)
	}
	if n := connections(); n != 2 {
		t.Errorf("%d connections, want a new one after the call that was given up", n)
	}
	host, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	lanes := client.Transport.(*lanes)
	lanes.idle[host.Host][0].used = time.Now().Add(-2 * laneRest)
	if err := call(t.Context(), "/"); err != nil || connections() != 3 {
		t.Errorf("%d connections (%v), want a new one for one that has rested for long", connections(), err)
	}
}
