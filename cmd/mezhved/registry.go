package main

import (
	"errors"
	"fmt"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/lifecycle/scenario"
	"mezhved/adapter/registry"
	"mezhved/adapter/yamlfile"
)

// foldersFlags name the registry's folders, directly or through a configuration.
type foldersFlags struct {
	Config   string `short:"c" placeholder:"FILE" type:"existingfile" help:"Configuration that names the folders."`
	Services string `placeholder:"DIR" type:"existingdir" help:"Services folder; default: of the configuration, or services."`
	Parties  string `placeholder:"DIR" type:"existingdir" help:"Parties folder; default: of the configuration, or parties."`
	JSON     bool   `name:"json" help:"Print JSON."`
}

// lintFlags are foldersFlags with a language.
type lintFlags struct {
	foldersFlags
	Lang string `default:"en" enum:"en,ru" help:"Language of the words: en or ru."`
}

// folders are those of the configuration, or those that are named. gate is the
// configuration's, if there is one, for registry.Open and Lint.
func (f *foldersFlags) folders() (services, parties string, gate []registry.Gate, err error) {
	services, parties = "services", "parties"
	if f.Config != "" {
		c, err := adapter.LoadConfig(f.Config)
		if err != nil {
			return "", "", nil, usage(err)
		}
		services, parties, gate = c.Services, c.Parties, make([]registry.Gate, 1)
		if gate[0], err = c.LoadGate(); err != nil {
			return "", "", nil, usage(err)
		}
	}
	if f.Services != "" {
		services = f.Services
	}
	if f.Parties != "" {
		parties = f.Parties
	}
	return services, parties, gate, nil
}

// lint prints findings; errors among them make the exit code 1.
func (f *lintFlags) lint(out *stdio) error {
	services, parties, gate, err := f.folders()
	if err != nil {
		return err
	}
	now := time.Now()
	catalog, found := registry.Lint(services, parties, now, gate...)
	found = append(found, scenario.LintAll(services, catalog, now)...)
	if f.Config != "" {
		c, err := adapter.LoadConfig(f.Config)
		if err != nil {
			return usage(err)
		}
		found = append(found, catalog.CheckProbes(registry.Mnemonic(c.Probe.Party), services, parties)...)
	}
	if f.Lang == "ru" {
		for i := range found {
			found[i] = found[i].Russian()
		}
	}
	if f.JSON {
		if found == nil {
			found = yamlfile.Findings{}
		}
		err = printJSON(out.out, found)
	} else {
		for _, one := range found {
			fmt.Fprintln(out.out, one)
		}
	}
	bad, samples, held := len(found.Errors()), 0, 0
	for _, one := range found {
		if one.Sample {
			samples++
		}
		if one.Gate {
			held++
		}
	}
	if bad == 0 && held > 0 {
		if !f.JSON {
			fmt.Fprintf(out.out, f.pick("препятствий публикации: %d, других предупреждений: %d; шлюз принял бы этот набор, но этих версий в эксплуатации не было бы\n", "%d obstacles to publication, %d other warnings: a gateway would take this set, and these versions would not be in use\n"), held, len(found)-held)
		}
		return no(errors.Join(errSaid, err))
	}
	if bad > 0 {
		if !f.JSON {
			what := f.pick("шлюз оставил бы прежний набор", "a gateway would keep its old set")
			if bad == samples {
				what = f.pick("образцы или сценарии не то, что они показывают; шлюз их не читает, читают люди и эмуляторы", "samples or scenarios are not what they show; a gateway does not read them, people and emulators do")
			}
			fmt.Fprintf(out.out, f.pick("ошибок: %d, предупреждений: %d; %s\n", "%d errors, %d warnings: %s\n"), bad, len(found)-bad, what)
		}
		return no(errors.Join(errSaid, err))
	}
	if !f.JSON {
		fmt.Fprintf(out.out, f.pick("годится, предупреждений: %d\n", "good, %d warnings\n"), len(found))
	}
	return err
}

func (f *lintFlags) pick(ru, en string) string {
	if f.Lang == "ru" {
		return ru
	}
	return en
}

// catalog opens folders that must be good.
func (f *foldersFlags) catalog() (*registry.Catalog, error) {
	services, parties, gate, err := f.folders()
	if err != nil {
		return nil, err
	}
	r, found := registry.Open(services, parties, time.Now, gate...)
	if bad := found.Errors(); len(bad) > 0 {
		return nil, no(fmt.Errorf("%w\nSee mezhved services lint", bad))
	}
	return r.Catalog(), nil
}

type servicesListCmd struct{ foldersFlags }

func (servicesListCmd) Help() string {
	return "Example:\n  mezhved services list --services services --parties parties"
}

func (c *servicesListCmd) Run(out *stdio) error {
	catalog, err := c.catalog()
	if err != nil {
		return err
	}
	type row struct {
		Service   string             `json:"service"`
		Version   string             `json:"version"`
		Stage     registry.Stage     `json:"stage"`
		Held      bool               `json:"held,omitempty"`    // to be published, and at the stage test until its test protocol holds
		LastDay   string             `json:"lastDay,omitempty"` // of a retired version that takes requests until then
		Request   string             `json:"request"`
		Response  string             `json:"response,omitempty"`
		Broadcast bool               `json:"broadcast,omitempty"`
		Providers []adapter.Mnemonic `json:"providers"`
		Callers   []adapter.Mnemonic `json:"callers,omitempty"`
		Memory    int                `json:"schemaBytes"`
		Title     string             `json:"title"`
	}
	rows := []row{}
	for _, s := range catalog.Services() {
		r := row{Service: s.Name, Version: s.Version, Stage: s.Stage, Held: s.Held, LastDay: s.LastDay(), Request: s.Request.String(), Broadcast: s.Broadcast,
			Providers: s.Providers, Callers: s.Callers(), Memory: s.Schema.Memory(), Title: s.Title}
		if s.Response.Local != "" {
			r.Response = s.Response.String()
		}
		rows = append(rows, r)
	}
	if c.JSON {
		return printJSON(out.out, rows)
	}
	lines := [][]string{{"SERVICE", "VERSION", "STAGE", "PROVIDERS", "SCHEMA", "TITLE"}}
	for _, r := range rows {
		stage := string(r.Stage)
		switch {
		case r.Held:
			stage += " (not published: its protocol does not hold)"
		case r.LastDay != "":
			stage += " (until " + r.LastDay + ")"
		}
		lines = append(lines, []string{r.Service, r.Version, stage, fmt.Sprint(r.Providers), fmt.Sprintf("%d KB", (r.Memory+1023)/1024), r.Title})
	}
	return table(out.out, lines)
}

type servicesLintCmd struct{ lintFlags }

func (servicesLintCmd) Help() string {
	return `Samples are looked at too: each .xml of <service>/<version>/samples must be content as the gateway takes it. request….xml and
response….xml have those roots; one whose name ends in -refused.xml shows what is refused, and must be. Scenarios
(<service>/<version>/scenarios) are played: every path must be one that the schema allows, and every answer must hold against it.

Examples:
  mezhved services lint --services services --parties parties
  mezhved services lint --config mezhved.yaml --json
  mezhved services lint --lang ru`
}

func (c *servicesLintCmd) Run(out *stdio) error { return c.lint(out) }

type partiesCmd struct {
	List partiesListCmd `cmd:"" default:"1" help:"List parties and their certificates."`
	Lint partiesLintCmd `cmd:"" help:"Name every problem of the folders at once, with file and line."`
}

type partiesListCmd struct{ foldersFlags }

func (partiesListCmd) Help() string { return "Example:\n  mezhved parties list --config mezhved.yaml" }

func (c *partiesListCmd) Run(out *stdio) error {
	catalog, err := c.catalog()
	if err != nil {
		return err
	}
	type certificate struct {
		Subject  string    `json:"subject"`
		SHA256   string    `json:"sha256"`
		NotAfter time.Time `json:"notAfter"`
	}
	type row struct {
		Mnemonic     adapter.Mnemonic `json:"mnemonic"`
		Name         string           `json:"name"`
		VIP          bool             `json:"vip,omitempty"`
		Certificates []certificate    `json:"certificates"`
		FitUntil     time.Time        `json:"fitUntil,omitzero"` // its conformance report's end, where one is demanded
	}
	rows := []row{}
	lines := [][]string{{"MNEMONIC", "VIP", "CERTIFICATE UNTIL", "FIT UNTIL", "NAME"}}
	for _, p := range catalog.Parties() {
		r := row{Mnemonic: p.Mnemonic, Name: p.Name, VIP: p.VIP, FitUntil: p.FitUntil}
		until, fit := "", ""
		if !p.FitUntil.IsZero() {
			fit = p.FitUntil.Format(time.DateOnly)
		}
		for _, reg := range p.Certificates {
			r.Certificates = append(r.Certificates, certificate{reg.Subject, fmt.Sprintf("%x", reg.SHA256), reg.NotAfter})
			until += reg.NotAfter.Format(time.DateOnly) + " "
		}
		rows = append(rows, r)
		lines = append(lines, []string{string(p.Mnemonic), map[bool]string{true: "VIP"}[p.VIP], until, fit, p.Name})
	}
	if c.JSON {
		return printJSON(out.out, rows)
	}
	return table(out.out, lines)
}

type partiesLintCmd struct{ lintFlags }

func (partiesLintCmd) Help() string {
	return "Example:\n  mezhved parties lint --services services --parties parties"
}

func (c *partiesLintCmd) Run(out *stdio) error { return c.lint(out) }
