package conform_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/lifecycle/conform"
	"mezhved/adapter/lifecycle/conform/paper"
	"mezhved/adapter/yamlfile"
	"mezhved/signing"
)

// lease is long enough for a busy machine to acknowledge in, and short enough to be
// waited for.
const lease = 4 * time.Second

// gateway is a gateway of ours and a kit for it with everything that it can be told.
func gateway(t *testing.T) (*adaptertest.World, conform.BusKit) {
	w := adaptertest.Start(t, adaptertest.WithFiles(), adaptertest.WithConfig(func(c *adapter.Config) {
		c.Queues.Lease = yamlfile.Period(lease)
		c.Limits.PerSecond, c.Limits.Burst = 1000, 1000
	}))
	personal := strings.Replace(adaptertest.Content(adaptertest.Signed), "<e:ExtractRequest", `<e:ExtractRequest Id="PERSONAL"`, 1)
	return w, conform.BusKit{
		URL: w.URL + "/smev/v1.2/ws", Consumer: w.Party("MUNI").Signer, Provider: w.Party("REGISTRY").Signer,
		Bus: []*signing.Certificate{w.Party("SMEV").Signer.Certificate()}, Request: []byte(adaptertest.Content(adaptertest.Extract1)),
		Response: []byte(adaptertest.Answer(adaptertest.Extract1)), Personal: []byte(personal), Forbidden: []byte(adaptertest.Content(adaptertest.News)),
		Nowhere: []byte(adaptertest.ContentFor(adaptertest.Regional, "99")), Other: []byte(adaptertest.Content(adaptertest.Signed)),
		Lease: lease, Kit: "mezhved test",
	}
}

// TestOurBusIsFit: every check of a bus is asked of our gateway, and passes.
func TestOurBusIsFit(t *testing.T) {
	t.Parallel() // they wait more than they work
	w, kit := gateway(t)
	report, err := kit.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Results {
		if r.Verdict != paper.Passed {
			t.Errorf("%s: %s: %s", r.ID, r.Verdict, r.Why)
		}
	}
	if !report.Fit() || len(report.Results) != len(conform.BusChecks()) {
		t.Errorf("fit %v after %d checks of %d", report.Fit(), len(report.Results), len(conform.BusChecks()))
	}
	w.Check()
}
