package emulator_test

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/lifecycle/emulator"
	"mezhved/adapter/party"
	"mezhved/adapter/registry"
	"mezhved/signing"
)

// layKey lays a key and its certificate for a party.
func layKey(w *adaptertest.World, mnemonic string) {
	w.T.Helper()
	id, err := signing.SelfSigned(signing.TestSubject{CommonName: mnemonic, Key: signing.KeyECDSA256}, time.Now().Add(-time.Hour))
	if err != nil {
		w.T.Fatal(err)
	}
	key, certificate, err := id.PEM()
	if err != nil {
		w.T.Fatal(err)
	}
	w.Write("parties/played/cert.pem", string(certificate))
	w.Write("parties/played/key.pem", string(key))
	if err := os.Chmod(filepath.Join(w.Dir, "parties/played/key.pem"), 0o600); err != nil {
		w.T.Fatal(err)
	}
}

// A party that is registered as an emulator is played, by scenarios that a reload reads
// again: bad ones leave the old in force, and a party that is none any more is left
// alone.
func TestHouse(t *testing.T) {
	w := adaptertest.Start(t)
	layKey(w, "REGISTRY")
	scenarioSays := func(text string) {
		w.Write("services/extract/1.0/scenarios/10.yaml", "title: t\nsteps:\n  - reject: {code: NO_DATA, text: "+text+"}\n")
	}
	scenarioSays("один")
	const own = "name: REGISTRY\ncertificates: [REGISTRY.pem]\n"
	w.Write("parties/REGISTRY.yaml", "name: REGISTRY\nemulator: true\nkey: played/key.pem\ncertificates: [played/cert.pem, REGISTRY.pem]\n")
	w.Reload()
	l := &log{}
	h := &emulator.House{
		Catalog: func() *registry.Catalog { return w.Gateway.Catalog() }, Services: filepath.Join(w.Dir, "services"), Dir: t.TempDir(),
		Doors: func() http.Handler { return w.Gateway.Inside() }, TestOnly: true, Every: 20 * time.Millisecond, Now: w.Clock.Now, Log: slog.New(slog.NewTextHandler(l, nil)),
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	muni := client(w, "MUNI", nil)
	answered := func() string {
		t.Helper()
		r := request("2")
		r.Test = true
		if _, err := muni.SendRequest(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		m := next(w, muni)
		if len(m.Response.Rejections) != 1 {
			t.Fatalf("a rejection was expected, not %+v", m.Response)
		}
		return m.Response.Rejections[0].Description
	}
	if got := answered(); got != "один" {
		t.Errorf("answered %q", got)
	}
	w.Write("services/extract/1.0/scenarios/10.yaml", "title: t\nstepz: []\n")
	w.Reload()
	w.Eventually("the log tells of the bad scenarios", func() bool { return strings.Contains(l.String(), "the old ones stay in force") })
	if got := answered(); got != "один" {
		t.Errorf("with bad scenarios: answered %q", got)
	}
	scenarioSays("два")
	w.Reload()
	w.Eventually("the new scenario is in force", func() bool { return answered() == "два" })

	w.Write("parties/REGISTRY.yaml", own)
	w.Reload()
	w.Eventually("nobody plays the party", func() bool {
		r := request("2")
		r.Test = true
		if _, err := muni.SendRequest(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		m, err := client(w, "REGISTRY", nil).PollRequest(t.Context(), party.Selector{Wait: time.Second})
		return err == nil && m != nil
	})
}
