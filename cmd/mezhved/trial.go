package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/lifecycle/protocol"
	"mezhved/adapter/lifecycle/proving"
	"mezhved/adapter/party"
	"mezhved/adapter/registry"
	"mezhved/cmd/internal/shell"
	"mezhved/envelopes"
	"mezhved/signing"
)

// trialBed is a private gateway, with test keys for everybody.
type trialBed struct {
	catalog *registry.Catalog // what the gateway serves
	dir     string
	base    string // address of the doors
	bus     *signing.Verifier
	signers map[registry.Mnemonic]signing.Signer
	http    *http.Client
	log     *slog.Logger
	closers []func() error
}

// openTrial starts a gateway that serves the versions at the stage test and has, under
// their own mnemonics, the parties that they name, with keys that were made for it.
func openTrial(ctx context.Context, dir, services string, catalog *registry.Catalog, list []*registry.Service) (bed *trialBed, err error) {
	bed = &trialBed{}
	defer func() {
		if err != nil {
			err = errors.Join(err, bed.close())
		}
	}()
	if dir == "" {
		if dir, err = os.MkdirTemp("", "mezhved-trial-"); err != nil {
			return bed, err
		}
		bed.onClose(func() error { return os.RemoveAll(dir) })
		if err := os.Chmod(dir, 0o755); err != nil { // the private PostgreSQL has an account of its own
			return bed, err
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return bed, err
	}
	bed.dir = dir
	if err := bed.prepare(ctx, services, catalog, list); err != nil {
		return bed, err
	}
	return bed, bed.serve(ctx)
}

func (b *trialBed) onClose(f func() error) { b.closers = append(b.closers, f) }

func (b *trialBed) close() error {
	var errs []error
	for i := len(b.closers) - 1; i >= 0; i-- {
		errs = append(errs, b.closers[i]())
	}
	b.closers = nil
	return errors.Join(errs...)
}

const trialConfig = `# A private gateway that tries services: mezhved services test.
node: trial
listen: 127.0.0.1:0
services: services
parties: parties
database: {private: postgres}
kafka: {private: kafka}
journal: {origin: mezhved.trial/journal, key: keys/journal.key, state: keys/journal.state}
signature: {key: keys/bus/key.pem, certificate: keys/bus/cert.pem}
replyTo: {keys: [keys/replyto.key]}
`

// ends says when a version ends, which is nothing of its tests.
var ends = regexp.MustCompile(`(?m)^sunset:[^\n]*\n?`)

// prepare lays out the folder of the private gateway.
func (b *trialBed) prepare(ctx context.Context, services string, catalog *registry.Catalog, list []*registry.Service) error {
	if !missing(filepath.Join(b.dir, "services")) {
		return usage(fmt.Errorf("%s has a services folder already: name an empty folder, or none", b.dir))
	}
	for _, sub := range []string{"keys", "parties", "services"} {
		if err := os.MkdirAll(filepath.Join(b.dir, sub), 0o755); err != nil {
			return usage(err)
		}
	}
	names := map[registry.Mnemonic]bool{}
	for _, s := range list {
		from, to := filepath.Join(services, s.Name, s.Version), filepath.Join(b.dir, "services", s.Name, s.Version)
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			return usage(err)
		}
		if err := onTrial(filepath.Join(to, "service.yaml")); err != nil {
			return usage(err)
		}
		for _, m := range slices.Concat(s.Providers, s.Callers(), someCaller(catalog, s)) {
			names[m] = true
		}
	}
	for _, shared := range []string{"_calendar", registry.DictionaryFolder} {
		if from := filepath.Join(services, shared); !missing(from) {
			if err := os.CopyFS(filepath.Join(b.dir, "services", shared), os.DirFS(from)); err != nil {
				return usage(err)
			}
		}
	}
	return b.makeKeys(ctx, catalog, names)
}

// onTrial changes a service.yaml for the private gateway: the version takes messages
// that are marked as tests, and its providers poll.
func onTrial(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text = withSetting(ends.ReplaceAll(text, nil), "stage", string(registry.StageTest))
	return os.WriteFile(file, withSetting(text, "delivery", "poll"), 0o644)
}

// makeKeys makes a test authority, the secrets of the gateway, and a key and a
// registration for everybody.
func (b *trialBed) makeKeys(ctx context.Context, catalog *registry.Catalog, names map[registry.Mnemonic]bool) error {
	now := time.Now()
	ca, err := signing.NewTestCA("Mezhved trial CA", signing.KeyECDSA256, now)
	if err != nil {
		return err
	}
	quiet := &stdio{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	identity := func(folder, name, org string) (*signing.Identity, error) {
		id, err := ca.Issue(signing.TestSubject{CommonName: name, Organization: org, Key: signing.KeyECDSA256, Lifetime: 48 * time.Hour}, now)
		if err != nil {
			return nil, err
		}
		return id, writeIdentity(quiet, folder, id)
	}
	busDir := filepath.Join(b.dir, "keys", "bus")
	if _, err := identity(busDir, "SMEV", "Mezhved trial bus"); err != nil {
		return err
	}
	if b.bus, err = busVerifier(filepath.Join(busDir, "cert.pem")); err != nil {
		return err
	}
	b.signers = map[registry.Mnemonic]signing.Signer{}
	i := 0
	for m := range names {
		i++
		folder := fmt.Sprintf("p%d", i)
		id, err := identity(filepath.Join(b.dir, "parties", folder), string(m), "")
		if err != nil {
			return err
		}
		if b.signers[m], err = id.Signer(); err != nil {
			return err
		}
		name := string(m)
		if p := catalog.Party(m); p != nil {
			name = p.Name
		}
		text := fmt.Sprintf("mnemonic: %q\nname: %q\ncertificates: [%s/cert.pem]\n", m, name, folder)
		if err := os.WriteFile(filepath.Join(b.dir, "parties", folder+".yaml"), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := writeSecret(filepath.Join(b.dir, "keys", "replyto.key")); err != nil {
		return err
	}
	if _, err := writeJournalKey(journal.NewKey, "mezhved.trial/journal", filepath.Join(b.dir, "keys", "journal.key")); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.dir, "mezhved.yaml"), []byte(trialConfig), 0o644)
}

// someCaller is who calls a version that everybody may call: a party that does not
// provide it, if there is one.
func someCaller(c *registry.Catalog, s *registry.Service) []registry.Mnemonic {
	if list := s.Callers(); len(list) > 0 {
		return list
	}
	all := c.Parties()
	for _, p := range all {
		if !slices.Contains(s.Providers, p.Mnemonic) {
			return []registry.Mnemonic{p.Mnemonic}
		}
	}
	if len(all) > 0 {
		return []registry.Mnemonic{all[0].Mnemonic}
	}
	return nil
}

// serve opens the gateway; close ends it.
func (b *trialBed) serve(ctx context.Context) error {
	config, err := adapter.LoadConfig(filepath.Join(b.dir, "mezhved.yaml"))
	if err != nil {
		return err
	}
	config.Protocols.Off = true
	file, err := os.Create(filepath.Join(b.dir, "gateway.log"))
	if err != nil {
		return usage(err)
	}
	b.onClose(file.Close)
	b.log = slog.New(slog.NewTextHandler(file, nil))
	n, err := openNode(ctx, config, b.log)
	if err != nil {
		return err
	}
	b.onClose(n.close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return unavailable(err)
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx)) // the trial ends before its gateway
	served := make(chan error, 1)
	go func() { served <- n.serve(serving, l) }()
	b.http = &http.Client{Timeout: time.Minute}
	b.onClose(func() error { b.http.CloseIdleConnections(); stop(); return <-served })
	b.base, b.catalog = "http://"+l.Addr().String(), n.gateway.Catalog()
	return awaitReady(ctx, b.base, time.Minute)
}

// thisProgram is this build, as a protocol names it.
func thisProgram() string {
	b := shell.ThisBuild("mezhved")
	return strings.TrimSpace(b.Program + " " + b.Version + " " + b.Commit[:min(12, len(b.Commit))])
}

// try runs one version's trial.
func (b *trialBed) try(ctx context.Context, all *registry.Catalog, s *registry.Service, operator registry.Mnemonic) (*protocol.Document, error) {
	names := map[registry.Mnemonic]string{}
	for _, p := range all.Parties() {
		names[p.Mnemonic] = p.Name
	}
	served := b.catalog.Service(s.Name, s.Version)
	if served == nil {
		return nil, errors.New("the private gateway does not serve it")
	}
	t := &proving.Trial{
		Dir: filepath.Join(b.dir, "services", s.Name, s.Version), Service: served, Rules: s.Rules, Catalog: b.catalog, Log: b.log, Before: all.Before(s),
		Callers: someCaller(all, s), Names: names, Operator: operator, Program: thisProgram(), Now: time.Now(),
		Client: func(m registry.Mnemonic) *party.Client {
			return &party.Client{URL: b.base + "/smev/v" + envelopes.V12.String() + "/ws", Version: envelopes.V12, Signer: b.signers[m], Bus: b.bus, HTTP: b.http}
		},
	}
	return t.Run(ctx)
}
