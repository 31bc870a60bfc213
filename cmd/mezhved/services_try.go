package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/lifecycle/protocol"
	"mezhved/adapter/registry"
	"mezhved/adapter/yamlfile"
)

// versionFlags choose versions of services out of the folders.
type versionFlags struct {
	foldersFlags
	Service string `arg:"" optional:"" help:"Service; default: all."`
	Version string `arg:"" optional:"" help:"Version; default: all of the service."`
	Lang    string `default:"en" enum:"en,ru" help:"Language of the words: en or ru."`
}

func (f *versionFlags) pick(ru, en string) string {
	if f.Lang == "ru" {
		return ru
	}
	return en
}

// chosen reads the folders and gives the versions that were asked for. What is wrong
// elsewhere in the folders is passed over.
func (f *versionFlags) chosen() (*registry.Catalog, string, []*registry.Service, error) {
	services, parties, gate, err := f.folders()
	if err != nil {
		return nil, "", nil, err
	}
	catalog, found := registry.Lint(services, parties, time.Now(), gate...)
	var list []*registry.Service
	var wrong yamlfile.Findings
	for _, s := range catalog.Services() {
		if f.Service != "" && s.Name != f.Service || f.Version != "" && s.Version != f.Version {
			continue
		}
		list = append(list, s)
		dir := filepath.Join(services, s.Name, s.Version) + string(filepath.Separator)
		for _, one := range found.Errors() {
			if strings.HasPrefix(one.File, dir) && !one.Sample {
				wrong = append(wrong, one)
			}
		}
	}
	if len(wrong) > 0 {
		return nil, "", nil, no(fmt.Errorf("%w\nSee mezhved services lint", wrong))
	}
	if len(list) == 0 {
		return nil, "", nil, no(fmt.Errorf("there is no service %s in %s: mezhved services list shows those that there are", strings.TrimSpace(f.Service+" "+f.Version), services))
	}
	return catalog, services, list, nil
}

type servicesTestCmd struct {
	versionFlags
	Operator string `placeholder:"MNEMONIC" help:"Party that the protocol names as the operator; default: protocols.operator of the configuration."`
	Again    bool   `help:"Write a new protocol in place of one that somebody has signed."`
	Dry      bool   `help:"Write no protocol."`
	Dir      string `placeholder:"DIR" help:"Folder of the private gateway, with its log; default: a temporary one that is removed."`
}

func (servicesTestCmd) Help() string {
	return `Starts a private gateway with test keys for the parties that the versions name, and sends through it, as signed calls: each sample
with an answer, each negative sample (samples/invalid/*.xml, and samples/*-refused.xml), each reference message
(reference/NAME/request.xml and response.xml). The schema is compared with that of the version before. What came of it is
written into the version's folder: protocol/protocol.json, which is to be signed, and protocol.html, which is to be read.
A protocol that is signed, and still is over what stands in the folder, stays unless --again is given.

Exit code 1: there is a defect.

Examples:
  mezhved services test egrn-extract 1.1.0 --config mezhved.yaml
  mezhved services test --services services --parties parties --dry
  mezhved services test egrn-extract --config mezhved.yaml --json --lang ru`
}

func (c *servicesTestCmd) Run(ctx context.Context, out *stdio) (err error) {
	catalog, services, list, err := c.chosen()
	if err != nil {
		return err
	}
	if c.Operator == "" && c.Config != "" {
		config, err := adapter.LoadConfig(c.Config)
		if err != nil {
			return usage(err)
		}
		c.Operator = string(config.Protocols.Operator)
	}
	bed, err := openTrial(ctx, c.Dir, services, catalog, list)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bed.close()) }()
	documents, defects := []*protocol.Document{}, 0
	for _, s := range list {
		d, err := bed.try(ctx, catalog, s, registry.Mnemonic(c.Operator))
		if err != nil {
			return fmt.Errorf("%s %s: %w; the log of the gateway says more: --dir DIR keeps it", s.Name, s.Version, err)
		}
		documents, defects = append(documents, d), defects+len(d.Defects)
		dir := filepath.Join(services, s.Name, s.Version)
		if !c.JSON {
			c.print(out.out, dir, d)
		}
		if c.Dry {
			continue
		}
		said, err := c.write(dir, d)
		if err != nil {
			return usage(err)
		}
		if !c.JSON {
			fmt.Fprintln(out.out, said)
		}
	}
	if c.JSON {
		if err := printJSON(out.out, documents); err != nil {
			return err
		}
	}
	if defects > 0 {
		return no(errSaid)
	}
	return nil
}

func (c *servicesTestCmd) print(w io.Writer, dir string, d *protocol.Document) {
	passed := 0
	for _, one := range d.Cases {
		if one.Passed {
			passed++
		}
	}
	fmt.Fprintf(w, c.pick("%s %s: испытаний %d, пройдено %d, дефектов %d, %d мс\n", "%s %s: %d cases, %d passed, %d defects, %d ms\n"), d.Service, d.Version, len(d.Cases), passed, len(d.Defects), d.Millis)
	rows := make([][]string, 0, len(d.Cases))
	for _, one := range d.Cases {
		rows = append(rows, []string{"  " + map[bool]string{true: c.pick("да", "ok"), false: c.pick("НЕТ", "FAIL")}[one.Passed], c.pick(one.Kind.Russian(), string(one.Kind)), one.File, fmt.Sprint(one.Millis) + c.pick(" мс", " ms")})
	}
	table(w, rows)
	for _, one := range d.Defects {
		place := filepath.Join(dir, filepath.FromSlash(one.File))
		if one.Line > 0 {
			place += fmt.Sprintf(":%d:%d", one.Line, one.Col)
		}
		fmt.Fprintf(w, "%s: %s: %s\n", place, one.Rule, c.pick(one.Text, cmp.Or(one.English, one.Text)))
	}
}

// write puts the protocol into the version's folder, unless a signed one is there that
// says the same, or that passed over the same bytes while this one did not: what a loaded
// machine, or a routing that is being changed, makes of a trial takes nobody's signature away.
func (c *servicesTestCmd) write(dir string, d *protocol.Document) (said string, err error) {
	name := filepath.Join(dir, "protocol", protocol.FileJSON)
	if old, _, err := protocol.Read(dir); err == nil && !c.Again {
		same, worse := d.Passed && d.Repeats(old), !d.Passed && old.Passed && d.Digest == old.Digest && d.Schema == old.Schema
		if held, _ := protocol.AllSignatures(dir); len(held) > 0 && (same || worse) {
			return fmt.Sprintf(c.pick("  подписанный протокол остаётся: %s (--again составляет новый)", "  the signed protocol stays: %s (--again writes a new one)"), name), nil
		}
	}
	if err := protocol.Write(dir, d); err != nil {
		return "", err
	}
	return fmt.Sprintf(c.pick("  протокол: %s", "  protocol: %s"), name), nil
}
