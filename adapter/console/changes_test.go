package console

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
)

// What an operator changes is told before it is in force: which service, party,
// certificate or limit, from what to what, tokens and configuration included, and
// never a secret.
func TestWhatAnOperatorChangedIsTold(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "duty.token")
	token := func(s string) {
		t.Helper()
		if err := os.WriteFile(secret, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	token("the-first-secret-of-duty-01")
	d := openDesk(t, adaptertest.WithConfig(func(c *adapter.Config) {
		c.Console.Tokens = []adapter.TokenConfig{{Name: "duty", Role: "operator", File: secret}}
		c.Database.URL = "postgres://gate:very-secret-password@db/x" // as it must not be written
	}))
	ctx := context.Background()
	told := func() (list []Changed) {
		t.Helper()
		d.settle()
		for _, c := range ok[Changes](d, operatorToken, "/api/v1/journal/changes?order=oldest").Changes {
			if c.Operation != "" { // not a mark of the test's own
				list = append(list, c)
			}
		}
		return list
	}
	d.must(d.Gateway.Opened(ctx))
	first := told()
	if len(first) != 1 || first[0].Outcome != "first" || !slices.Contains(first[0].Lines, "added party MUNI") || !slices.Contains(first[0].Lines, "added configuration") {
		t.Fatalf("the first start: %+v", first)
	}
	d.must(d.Gateway.Opened(ctx))
	d.Reload()
	if got := told(); len(got) != 1 {
		t.Fatalf("nothing has changed, and yet: %+v", got[1:])
	}

	d.Register("MUNI", "limits: {perSecond: 7}\n")
	d.Write("services/extract/1.0/service.yaml", "title: Выписка\nroot: {namespace: '"+adaptertest.Extract1+"', request: ExtractRequest, response: ExtractResponse}\nproviders: REGISTRY\ncallers: MFC\ndeadline: 48h\n")
	d.NewParty("LATER", d.Clock.Now().AddDate(0, -1, 0), d.Clock.Now().AddDate(1, 0, 0)).AddCertificate("LATER.pem")
	d.Write("parties/LATER.yaml", "name: Позднее\n")
	d.Reload()
	got := told()[1:]
	find := func(subject string) *Changed {
		t.Helper()
		for i := range got {
			if got[i].Subject == subject {
				return &got[i]
			}
		}
		t.Fatalf("nothing is told of %s: %+v", subject, got)
		return nil
	}
	if c := find("party MUNI"); c.Outcome != "changed" || c.Operation != "reload" || !slices.Contains(c.Lines, "limits.perSecond: (not set) -> 7") || !slices.Contains(c.Fields, "limits") || !strings.Contains(c.Actor, "uid ") {
		t.Errorf("a limit: %+v", c)
	}
	if c := find("service extract 1.0"); c.Outcome != "changed" || !slices.Contains(c.Lines, "deadline: 5d -> 48h") || !slices.Equal(c.Fields, []string{"callers", "deadline", "title"}) {
		t.Errorf("a service: %+v", c)
	}
	if c := find("party LATER"); c.Outcome != "added" || !strings.Contains(strings.Join(c.Lines, "\n"), "certificate LATER.pem: (not set) -> sha256:") {
		t.Errorf("a party: %+v", c)
	}
	if n := len(told()); n != 4 {
		t.Errorf("%d entries tell of three changes and a start", n)
	}

	// What cannot be told does not come into force.
	d.Store.Always("ChangeSettings", adaptertest.Failed)
	d.Write("parties/MUNI.yaml", "limits: {perSecond: 9}\n")
	if found := d.Gateway.Reload(ctx); len(found.Errors()) == 0 || d.Gateway.Catalog().Party("MUNI").PerSecond != 7 {
		t.Errorf("a change that cannot be told: findings %v, limit %v", found, d.Gateway.Catalog().Party("MUNI").PerSecond)
	}
	d.Store.Always("ChangeSettings", adaptertest.DoneButFailed)
	if found := d.Gateway.Reload(ctx); len(found.Errors()) == 0 || d.Gateway.Catalog().Party("MUNI").PerSecond != 7 {
		t.Errorf("a change of which nobody knows whether it was told: findings %v", found)
	}
	d.Store.Always("ChangeSettings", 0)
	d.Reload()
	if p := d.Gateway.Catalog().Party("MUNI"); p.PerSecond != 9 {
		t.Errorf("told, the limit is %v", p.PerSecond)
	}
	if n := len(told()); n != 5 {
		t.Errorf("%d entries tell of four changes and a start", n)
	}

	// Another start: another token, another limit in the configuration.
	before := len(told())
	token("the-second-secret-of-duty-2")
	d.Config.Limits.Burst = 77
	d.Restart()
	d.must(d.Gateway.Opened(ctx))
	got = told()[before:]
	c := find("configuration")
	lines := strings.Join(c.Lines, "\n")
	if len(got) != 1 || c.Operation != "start" || !strings.Contains(lines, "-> 77") || !strings.Contains(lines, "console.tokens.duty (mark of the secret): ") || !slices.Contains(c.Fields, "console") {
		t.Errorf("another start: %+v", got)
	}
	// No secret anywhere that it was told to.
	state, err := d.Store.Settings(ctx, d.Config.Node)
	d.must(err)
	all := string(state)
	for _, row := range d.all() {
		all += string(row.Bytes)
		open, err := d.book.Openings(ctx, row.Index)
		d.must(err)
		for _, o := range open {
			all += o.Value
		}
	}
	for _, s := range []string{"secret-of-duty", "very-secret-password"} {
		if strings.Contains(all, s) {
			t.Errorf("%q was told", s)
		}
	}
	if !strings.Contains(all, "gate:xxxxx@db") {
		t.Error("the address was not told: the test looks for nothing")
	}
}

// Times of whole days are told in days, as the configuration has them; nothing else of a
// line is touched.
func TestTimesAreToldInDays(t *testing.T) {
	for line, want := range map[string]string{
		"retention.content: 26280h0m0s -> 720h0m0s":   "retention.content: 1095d -> 30d",
		"retention.content: (not set) -> 26280h0m0s":  "retention.content: (not set) -> 1095d",
		"limits.pollAge: 25h0m0s -> 5m0s":             "limits.pollAge: 25h0m0s -> 5m0s",
		"title: kept for 26280h0m0s here -> 0h0m0s x": "title: kept for 26280h0m0s here -> 0h0m0s x",
	} {
		if got := inDays(line); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}
