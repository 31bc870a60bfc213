package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mezhved/adapter/lifecycle/conform"
	"mezhved/adapter/lifecycle/conform/paper"
	"mezhved/adapter/terms"
	"mezhved/adapter/yamlfile"
	"mezhved/cmd/internal/shell"
	"mezhved/signing"
)

type conformCmd struct {
	Bus    conformBusCmd    `cmd:"" help:"Try a bus, ours or any other, from outside."`
	Party  conformPartyCmd  `cmd:"" help:"Try a party: be the bus that its software is pointed at."`
	Verify conformVerifyCmd `cmd:"" help:"Verify a report: signature, end, whose it is."`
	List   conformListCmd   `cmd:"" help:"List the checks, each with its clause."`
}

// reportFlags say where a report goes, and whose it is.
type reportFlags struct {
	Out        string        `default:"conform" placeholder:"DIR" help:"Folder for the report: conform.json, conform.html and their signatures (.p7s)."`
	Valid      string        `default:"90d" help:"How long the report counts: 90d, 24h."`
	ReportKey  string        `name:"report-key" placeholder:"FILE" type:"existingfile" help:"Key that signs the report. Default: --key."`
	ReportCert string        `name:"report-cert" placeholder:"FILE" type:"existingfile" help:"Its certificate."`
	Only       []string      `placeholder:"ID" help:"Only these checks, by id (a trial: it shows nobody fit)."`
	Patience   time.Duration `placeholder:"TIME" help:"How long an answer, a message or an act of the other side is waited for; default 30s of a bus, 1m of a party."`
	JSON       bool          `name:"json" help:"Print the report as JSON."`
}

// valid is how long the report counts.
func (f *reportFlags) valid() (time.Duration, error) {
	d, err := yamlfile.ParsePeriod(f.Valid)
	if err != nil || d <= 0 {
		return 0, usage(fmt.Errorf("--valid %s: a period such as 90d or 24h is expected", f.Valid))
	}
	return d.D(), nil
}

// write signs a report and lays it down; the exit code says whether it is good.
func (f *reportFlags) write(ctx context.Context, out *stdio, r *paper.Report, signer signing.Signer, passwordFile string) error {
	if f.ReportKey != "" {
		var err error
		if signer, err = signing.LoadSigner(ctx, keySource(f.ReportKey, f.ReportCert, passwordFile)); err != nil {
			return usage(fmt.Errorf("--report-key: %w", err))
		}
	}
	file, err := r.Encode()
	if err != nil {
		return err
	}
	page, err := paper.Page(r, file)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.Out, 0o755); err != nil {
		return usage(err)
	}
	for name, content := range map[string][]byte{"conform.json": file, "conform.html": page} {
		signature, err := paper.Sign(ctx, content, signer, time.Now())
		if err != nil {
			return fmt.Errorf("signing the report: %w", err)
		}
		for name, content := range map[string][]byte{name: content, name + ".p7s": signature} {
			if err := os.WriteFile(filepath.Join(f.Out, name), content, 0o644); err != nil {
				return err
			}
		}
	}
	if f.JSON {
		if _, err := out.out.Write(file); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(out.out, "\n%s: %d passed, %d failed, %d not applicable; valid until %s\n%s\n", fitness(r), r.Count(paper.Passed), r.Count(paper.Failed), r.Count(paper.Inapplicable), r.ValidUntil.In(terms.Moscow).Format(time.DateOnly), filepath.Join(f.Out, "conform.html"))
	}
	if len(r.Broken()) > 0 || r.Whole && !r.Fit() {
		return no(errSaid)
	}
	return nil
}

// fitness is the outcome in a word.
func fitness(r *paper.Report) string {
	switch {
	case r.Fit():
		return "FIT"
	case !r.Whole && len(r.Broken()) == 0:
		return "TRIAL"
	}
	return "NOT FIT"
}

// teller prints results as they come.
func (f *reportFlags) teller(out *stdio) func(paper.Result) {
	return func(r paper.Result) {
		if f.JSON {
			return
		}
		word := map[paper.Verdict]string{paper.Passed: "ok", paper.Failed: "FAILED", paper.Inapplicable: "n/a"}[r.Verdict]
		if r.Verdict == paper.Failed && r.Level == paper.Should {
			word = "failed, should hold"
		}
		fmt.Fprintf(out.out, "%-30s %s\n", r.ID, word)
		if r.Verdict != paper.Passed {
			fmt.Fprintf(out.out, "    %s\n    %s\n", r.Title, r.Why)
		}
		if r.Verdict == paper.Failed {
			fmt.Fprintf(out.out, "    %s\n", r.Advice)
		}
	}
}

type conformBusCmd struct {
	keyFlags
	reportFlags
	URL          string        `default:"http://127.0.0.1:7500/smev/v1.2/ws" env:"MEZHVED_URL" help:"Address of the bus. The version follows from it when it names one."`
	Version      string        `name:"smev" placeholder:"VERSION" help:"Version of the protocol in which most calls are made: 1.1, 1.2 or 1.3; default: the one that --url names, else 1.2."`
	BusCert      []string      `name:"bus" placeholder:"FILE" type:"existingfile" help:"Certificate of the bus: answers must be signed with it. Without it any valid certificate will do."`
	Request      string        `required:"" placeholder:"FILE" type:"existingfile" help:"Content of a request that --key may send and that goes to --provider-key."`
	Response     string        `placeholder:"FILE" type:"existingfile" help:"Content of an answer to it."`
	ProviderKey  string        `placeholder:"FILE" type:"existingfile" help:"Key of the provider; without it what needs both sides is not applicable."`
	ProviderCert string        `placeholder:"FILE" type:"existingfile" help:"Its certificate."`
	Personal     string        `placeholder:"FILE" type:"existingfile" help:"Content of a service that wants an official's signature; its root has an Id."`
	Official     string        `placeholder:"FILE" type:"existingfile" help:"Key with certificate of that official. Default: --key."`
	Forbidden    string        `placeholder:"FILE" type:"existingfile" help:"Content of a service that --key may not call."`
	Nowhere      string        `placeholder:"FILE" type:"existingfile" help:"Content with a routing code that nobody has."`
	Other        string        `placeholder:"FILE" type:"existingfile" help:"Content of another service of the same provider; another version of the same is none."`
	Test         bool          `help:"Mark requests as TestMessage: the services are at the stage test."`
	Lease        time.Duration `placeholder:"TIME" help:"After what time (15m) the bus delivers again what was not acknowledged; without it that is not waited for."`
}

func (conformBusCmd) Help() string {
	return `The kit is two registered test systems, a consumer and a provider, that do right and wrong: their queues are
emptied, so give it keys whose queues nobody else reads. Exit code 0: nothing that must hold failed.

Examples:
  mezhved conform bus --url http://bus.example/smev/v1.2/ws --bus bus.pem --key mfc/key.pem --cert mfc/cert.pem --provider-key fns/key.pem --provider-cert fns/cert.pem --request request.xml --response response.xml
  mezhved conform bus --url http://bus.example/smev/v1.3/ws --key mfc.p12 --request request.xml --only bus.signature-value --only bus.dtd`
}

func (c *conformBusCmd) Run(ctx context.Context, out *stdio) error {
	client, err := (&partyFlags{keyFlags: c.keyFlags, URL: c.URL, Version: c.Version}).client(ctx)
	if err != nil {
		return err
	}
	valid, err := c.valid()
	if err != nil {
		return err
	}
	kit := conform.BusKit{
		URL: c.URL, Version: client.Version, Consumer: client.Signer, Test: c.Test, Lease: c.Lease, Patience: c.Patience, Valid: valid, Kit: kitName(), Only: c.Only, Told: c.teller(out),
	}
	if kit.Bus, err = readCertificates(c.BusCert); err != nil {
		return usage(err)
	}
	if c.ProviderKey != "" {
		if kit.Provider, err = signing.LoadSigner(ctx, keySource(c.ProviderKey, c.ProviderCert, c.PasswordFile)); err != nil {
			return usage(fmt.Errorf("--provider-key: %w", err))
		}
	}
	if c.Official != "" {
		if kit.Official, err = signing.LoadSigner(ctx, keySource(c.Official, "", c.PasswordFile)); err != nil {
			return usage(fmt.Errorf("--official: %w", err))
		}
	}
	for _, f := range []struct {
		name string
		into *[]byte
	}{{c.Request, &kit.Request}, {c.Response, &kit.Response}, {c.Personal, &kit.Personal}, {c.Forbidden, &kit.Forbidden}, {c.Nowhere, &kit.Nowhere}, {c.Other, &kit.Other}} {
		if f.name == "" {
			continue
		}
		if *f.into, err = readContent(out, f.name); err != nil {
			return err
		}
	}
	report, err := kit.Run(ctx)
	if err != nil {
		return conformStopped(err)
	}
	return c.write(ctx, out, report, kit.Consumer, c.PasswordFile)
}

// conformStopped is why a run has no report.
func conformStopped(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return no(errors.New("broken off: there is no report"))
	case errors.Is(err, conform.ErrUnknownCheck):
		return usage(fmt.Errorf("--only: %w; mezhved conform list names them", err))
	}
	return unavailable(err)
}

// kitName is what a report says that it was made with.
func kitName() string { return "mezhved " + shell.ThisBuild("mezhved").Version }

type conformPartyCmd struct {
	keyFlags
	reportFlags
	URL        string        `name:"url" default:"http://127.0.0.1:7500/smev/v1.2/ws" help:"Address that the party's software is pointed at; the kit listens on its host and port."`
	Listen     string        `placeholder:"HOST:PORT" help:"Where to listen, if it is not the address of --url (behind a proxy)."`
	PartyCert  []string      `name:"party-cert" placeholder:"FILE" type:"existingfile" help:"Certificate of the party; without it any valid one will do."`
	Mnemonic   string        `help:"Mnemonic of the party."`
	Role       []string      `enum:"consumer,provider" placeholder:"ROLE" help:"What the party does: consumer, provider or both (default)."`
	Request    string        `placeholder:"FILE" type:"existingfile" help:"Content of a request that the party, as provider, understands."`
	Response   string        `placeholder:"FILE" type:"existingfile" help:"Content of an answer that the party, as consumer, understands."`
	Pause      time.Duration `placeholder:"TIME" help:"The least pause that the party must keep between two attempts, and two polls of an empty queue; default 1s."`
	RetryAfter time.Duration `placeholder:"TIME" help:"What the kit asks the party to wait (Retry-After), in whole seconds; default 3s."`
	Hold       time.Duration `placeholder:"TIME" help:"How long an answer is withheld: longer than the party waits for one; default 70s."`
}

func (conformPartyCmd) Help() string {
	return `The kit is a bus: point the party's software at its address, let it trust the certificate of --key, and let it work as it
always does: a consumer sends one request after another (some fifty are needed) and polls for answers, a provider polls
for requests and answers each. The kit loses answers, asks to wait, forges signatures, delivers twice, and looks at what
the software does. Exit code 0: nothing that must hold failed.

Examples:
  mezhved conform party --key kit/key.pem --cert kit/cert.pem --party-cert mfc/cert.pem --mnemonic MFC01 --request request.xml --response response.xml
  mezhved conform party --key kit/key.pem --cert kit/cert.pem --role provider --request request.xml --url http://10.0.0.5:7500/smev/v1.3/ws --hold 130s`
}

func (c *conformPartyCmd) Run(ctx context.Context, out *stdio) error {
	signer, err := c.load(ctx)
	if err != nil {
		return err
	}
	address, err := url.Parse(c.URL)
	if err != nil || address.Host == "" || address.Scheme != "http" {
		return usage(fmt.Errorf("--url %s: an address such as http://127.0.0.1:7500/smev/v1.2/ws is expected", c.URL))
	}
	valid, err := c.valid()
	if err != nil {
		return err
	}
	kit := conform.PartyKit{
		Signer: signer, Mnemonic: c.Mnemonic, URL: c.URL, Patience: c.Patience, RetryAfter: c.RetryAfter, Pause: c.Pause, Hold: c.Hold,
		Valid: valid, Kit: kitName(), Only: c.Only, Told: c.teller(out),
	}
	for _, r := range c.Role {
		kit.Roles = append(kit.Roles, conform.Role(r))
	}
	if kit.Party, err = readCertificates(c.PartyCert); err != nil {
		return usage(err)
	}
	for _, f := range []struct {
		name string
		into *[]byte
	}{{c.Request, &kit.Request}, {c.Response, &kit.Response}} {
		if f.name == "" {
			continue
		}
		if *f.into, err = readContent(out, f.name); err != nil {
			return err
		}
	}
	where := c.Listen
	if where == "" {
		if where = address.Host; address.Port() == "" {
			where = net.JoinHostPort(address.Hostname(), "80")
		}
	}
	l, err := net.Listen("tcp", where)
	if err != nil {
		return unavailable(fmt.Errorf("the address %s cannot be used: %w. Choose another one with --url, or where to listen with --listen; or stop the program that has it (make demo, for one)", where, err))
	}
	fmt.Fprintf(out.err, "mezhved: waiting for the party at %s\n", c.URL)
	report, err := kit.Serve(ctx, l)
	if err != nil {
		return conformStopped(err)
	}
	return c.write(ctx, out, report, signer, c.PasswordFile)
}

type conformVerifyCmd struct {
	Report string    `arg:"" placeholder:"FILE" type:"existingfile" help:"Report: conform.json; its signature stands beside (.p7s)."`
	Signer []string  `placeholder:"FILE" type:"existingfile" help:"Certificates with which reports may be signed; without any, whoever signed is only named."`
	Party  string    `placeholder:"FILE" type:"existingfile" help:"Certificate of the party or bus that the report must be about."`
	At     time.Time `placeholder:"TIME" help:"Judge as of this moment (RFC 3339); default now."`
	JSON   bool      `name:"json" help:"Print JSON."`
}

func (conformVerifyCmd) Help() string {
	return `Verifies conform.json and, where it is beside, conform.html. Exit code 0: signed, not over, and fit; 1: not.

Examples:
  mezhved conform verify conform/conform.json
  mezhved conform verify --signer kit/cert.pem --party mfc/cert.pem conform/conform.json`
}

// verifiedJSON is what verify prints.
type verifiedJSON struct {
	Fit        bool      `json:"fit"`
	Kind       string    `json:"kind"`
	Signer     string    `json:"signer,omitempty"`
	Ended      time.Time `json:"ended,omitzero"`
	ValidUntil time.Time `json:"validUntil,omitzero"`
	Passed     int       `json:"passed"`
	Failed     []string  `json:"failed,omitempty"`
	Why        string    `json:"why,omitempty"` // it does not count
}

func (c *conformVerifyCmd) Run(out *stdio) error {
	trusted, err := readCertificates(c.Signer)
	if err != nil {
		return usage(err)
	}
	if c.At.IsZero() {
		c.At = time.Now()
	}
	file, err := os.ReadFile(c.Report)
	if err != nil {
		return usage(err)
	}
	signature, err := os.ReadFile(c.Report + ".p7s")
	if err != nil {
		return usage(fmt.Errorf("the report's signature: %w", err))
	}
	believed, err := paper.Verify(file, signature, trusted, c.At)
	if err == nil {
		err = c.judge(believed, trusted)
	}
	if c.JSON {
		v := verifiedJSON{Fit: err == nil}
		if believed != nil {
			v.Kind, v.Signer, v.Ended, v.ValidUntil, v.Passed = string(believed.Kind), believed.Signer.Subject(), believed.Ended, believed.ValidUntil, believed.Count(paper.Passed)
			for _, r := range believed.Broken() {
				v.Failed = append(v.Failed, r.ID)
			}
		}
		if err != nil {
			v.Why = err.Error()
		}
		if bad := printJSON(out.out, v); bad != nil || err == nil {
			return bad
		}
		return no(errSaid)
	}
	if err != nil {
		return no(err)
	}
	about := believed.Subject.URL
	if believed.Subject.Mnemonic != "" {
		about = believed.Subject.Mnemonic
	}
	fmt.Fprintf(out.out, "fit: %s %s, tried %s, valid until %s\nsigned by %s\n", believed.Kind, about, believed.Ended.Format(time.DateOnly), believed.ValidUntil.Format(time.DateOnly), believed.Signer.Subject())
	return nil
}

// judge holds a believed report against what is asked of it.
func (c *conformVerifyCmd) judge(b *paper.Believed, trusted []*signing.Certificate) error {
	page := strings.TrimSuffix(c.Report, ".json") + ".html"
	html, err := os.ReadFile(page)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	default:
		signature, err := os.ReadFile(page + ".p7s")
		if err != nil {
			return fmt.Errorf("the page's signature: %w", err)
		}
		if _, err := paper.VerifyFile(html, signature, trusted, b.Ended); err != nil {
			return fmt.Errorf("%s: %w", page, err)
		}
	}
	if c.Party != "" {
		certs, err := readCertificates([]string{c.Party})
		if err != nil {
			return err
		}
		if !slices.Contains(b.Subject.Certificates, certs[0].Fingerprint()) {
			return fmt.Errorf("the report is about others: %s", strings.Join(b.Subject.Names, "; "))
		}
	}
	return b.Unfit()
}

type conformListCmd struct {
	Of   string `arg:"" enum:"bus,party" help:"Of whom: bus or party."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (conformListCmd) Help() string {
	return "Examples:\n  mezhved conform list bus\n  mezhved conform list party --json"
}

func (c *conformListCmd) Run(out *stdio) error {
	checks := conform.BusChecks()
	if c.Of == "party" {
		checks = conform.PartyChecks()
	}
	if c.JSON {
		return printJSON(out.out, checks)
	}
	for _, k := range checks {
		fmt.Fprintf(out.out, "%-30s %-6s %s\n    %s\n", k.ID, k.Level, k.Title, k.Clause)
	}
	return nil
}
