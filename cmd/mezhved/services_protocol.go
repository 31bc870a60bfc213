package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"mezhved/adapter/lifecycle/protocol"
	"mezhved/adapter/registry"
	"mezhved/signing"
)

type servicesProtocolCmd struct {
	Show   protocolShowCmd   `cmd:"" default:"withargs" help:"Say what a version's protocol proves, and what is missing."`
	Sign   protocolSignCmd   `cmd:"" help:"Sign a version's protocol as a participant."`
	Verify protocolVerifyCmd `cmd:"" help:"Hold a version's protocol and its signatures against the folder: exit code 1 says that it does not hold."`
}

// oneVersion are versionFlags of one version.
type oneVersion struct {
	foldersFlags
	Service string `arg:"" help:"Service."`
	Version string `arg:"" help:"Version."`
	Lang    string `default:"en" enum:"en,ru" help:"Language of the words: en or ru."`
}

func (f *oneVersion) pick(ru, en string) string { return (&versionFlags{Lang: f.Lang}).pick(ru, en) }

func (f *oneVersion) find() (catalog *registry.Catalog, s *registry.Service, dir string, err error) {
	catalog, services, list, err := (&versionFlags{foldersFlags: f.foldersFlags, Service: f.Service, Version: f.Version}).chosen()
	if err != nil {
		return nil, nil, "", err
	}
	return catalog, list[0], filepath.Join(services, f.Service, f.Version), nil
}

// standingJSON is a Standing for programs.
type standingJSON struct {
	Service    string          `json:"service"`
	Version    string          `json:"version"`
	Stage      registry.Stage  `json:"stage"` // in force
	Gate       bool            `json:"gate"`  // somebody has to sign
	Holds      bool            `json:"holds"`
	Protocol   string          `json:"protocol,omitempty"` // hex SHA-256
	Signatures []signatureJSON `json:"signatures"`
	Missing    []string        `json:"missing"`
	Forced     string          `json:"forced,omitempty"` // why
}

type signatureJSON struct {
	Mnemonic    string    `json:"mnemonic"`
	Certificate string    `json:"certificate"`
	Algorithm   string    `json:"algorithm"`
	At          time.Time `json:"at"`
	Stamped     bool      `json:"stamped,omitempty"`
	Unchecked   []string  `json:"unchecked,omitempty"` // what nobody has checked of it, and why
}

func (f *oneVersion) standing(s *registry.Service) standingJSON {
	p := s.Protocol
	out := standingJSON{Service: s.Name, Version: s.Version, Stage: s.Stage, Gate: len(s.Signers) > 0, Holds: p.Holds(), Protocol: p.Digest, Signatures: []signatureJSON{}, Missing: []string{}}
	for _, one := range p.Signatures {
		j := signatureJSON{one.Mnemonic, one.Certificate.Subject(), one.Algorithm.String(), one.At, one.Stamped, nil}
		for _, u := range one.Unchecked {
			j.Unchecked = append(j.Unchecked, f.pick(u.Russian, u.English))
		}
		out.Signatures = append(out.Signatures, j)
	}
	for _, flaw := range p.Flaws {
		out.Missing = append(out.Missing, f.pick(flaw.InRussian(), flaw.String()))
	}
	if p.Forced != nil {
		out.Forced = p.Forced.Reason
	}
	return out
}

func (f *oneVersion) show(out *stdio) (*registry.Service, error) {
	_, s, _, err := f.find()
	if err != nil {
		return nil, err
	}
	j := f.standing(s)
	if f.JSON {
		return s, printJSON(out.out, j)
	}
	fmt.Fprintf(out.out, f.pick("%s %s: стадия %s\n", "%s %s: stage %s\n"), j.Service, j.Version, j.Stage)
	if j.Protocol != "" {
		fmt.Fprintf(out.out, f.pick("протокол  sha256:%s\n", "protocol  sha256:%s\n"), j.Protocol)
	}
	for _, one := range j.Signatures {
		fmt.Fprintf(out.out, f.pick("подписал  %s: %s, %s, %s\n", "signed    %s: %s, %s, %s\n"), one.Mnemonic, one.Certificate, one.Algorithm, one.At.Format(time.RFC3339))
		for _, u := range one.Unchecked {
			fmt.Fprintf(out.out, f.pick("          не проверено, %s\n", "          not checked: %s\n"), u)
		}
	}
	for _, one := range j.Missing {
		fmt.Fprintf(out.out, f.pick("нет       %s\n", "missing   %s\n"), one)
	}
	if j.Forced != "" {
		fmt.Fprintf(out.out, f.pick("опубликовано без действующего протокола: %s\n", "published by force: %s\n"), j.Forced)
	}
	if o := s.Protocol.Outdated; o != nil {
		fmt.Fprintf(out.out, f.pick("устарело  %s\n", "outdated  %s\n"), f.pick(o.InRussian(), o.String()))
	}
	if len(j.Missing) == 0 {
		fmt.Fprintln(out.out, f.pick("протокол действует", "the protocol holds"))
	}
	return s, nil
}

type protocolShowCmd struct{ oneVersion }

func (protocolShowCmd) Help() string {
	return "Example:\n  mezhved services protocol show egrn-extract 1.1.0 --config mezhved.yaml"
}

func (c *protocolShowCmd) Run(out *stdio) error {
	_, err := c.show(out)
	return err
}

type protocolVerifyCmd struct{ oneVersion }

func (protocolVerifyCmd) Help() string {
	return `Whoever has to sign is named by protocols.signers of the configuration and by protocol.signers of service.yaml. A signature counts
when its certificate is registered for its signer and was within its dates when it was made.

Examples:
  mezhved services protocol verify egrn-extract 1.1.0 --config mezhved.yaml
  mezhved verify --detached services/egrn-extract/1.1.0/protocol/ROSREESTR.p7s services/egrn-extract/1.1.0/protocol/protocol.json`
}

func (c *protocolVerifyCmd) Run(out *stdio) error {
	s, err := c.show(out)
	if err == nil && len(s.Protocol.Flaws) > 0 {
		return no(errSaid)
	}
	return err
}

type protocolSignCmd struct {
	oneVersion
	keyFlags
	As string `placeholder:"MNEMONIC" help:"Who signs; default: the party that has registered the certificate."`
}

func (protocolSignCmd) Help() string {
	return `The signature is a detached one (CMS, PKCS#7; RSA, ECDSA or GOST) over protocol/protocol.json, laid beside it as
protocol/MNEMONIC.p7s. Who has only the file signs it by mezhved sign --detached, or any other program, and sends the .p7s back.

Examples:
  mezhved services protocol sign egrn-extract 1.1.0 --config mezhved.yaml --key ROSREESTR/key.pem --cert ROSREESTR/cert.pem
  mezhved sign --detached --key key.pem --cert cert.pem protocol.json > ROSREESTR.p7s`
}

func (c *protocolSignCmd) Run(ctx context.Context, out *stdio) error {
	catalog, s, dir, err := c.find()
	if err != nil {
		return err
	}
	signer, err := c.load(ctx)
	if err != nil {
		return err
	}
	p := catalog.PartyOf(signer.Certificate().SHA256)
	if p == nil || c.As != "" && string(p.Mnemonic) != c.As {
		return no(fmt.Errorf("the certificate %s is not registered for %s: register it beside parties/*.yaml first, or the signature counts for nobody", signer.Certificate().Subject(), orAnyParty(c.As)))
	}
	if err := signProtocol(ctx, dir, p.Mnemonic, signer, time.Now()); err != nil {
		return err
	}
	fmt.Fprintf(out.out, c.pick("%s %s: протокол подписан участником %s\n", "%s %s: the protocol is signed by %s\n"), s.Name, s.Version, p.Mnemonic)
	return nil
}

func orAnyParty(m string) string {
	if m == "" {
		return "any party"
	}
	return m
}

func signProtocol(ctx context.Context, dir string, m registry.Mnemonic, signer signing.Signer, now time.Time) error {
	err := protocol.Sign(ctx, dir, string(m), signer, now)
	if errors.Is(err, fs.ErrNotExist) {
		return no(errors.New("there is no protocol to sign: mezhved services test makes one"))
	}
	return err
}

type servicesPublishCmd struct {
	oneVersion
	Force string `placeholder:"REASON" help:"Publish without a protocol that holds, for this reason: the journal has it for ever."`
}

func (servicesPublishCmd) Help() string {
	return `Sets stage: published in service.yaml when the version's protocol holds and is signed by those whom the registry names. A running
gateway takes it with the next reload (SIGHUP), and tells the journal first: of the protocol by its digest, or of the reason.
A publication by force ends with the next changed byte.

Exit code 1: the protocol does not hold.

Examples:
  mezhved services publish egrn-extract 1.1.0 --config mezhved.yaml
  mezhved services publish egrn-extract 1.1.0 --config mezhved.yaml --force 'court order 417: the protocol is signed until Friday'`
}

func (c *servicesPublishCmd) Run(out *stdio) error {
	_, s, dir, err := c.find()
	if err != nil {
		return err
	}
	p := s.Protocol
	missing := p.Flaws
	if p.Outdated != nil {
		missing = append(slices.Clone(missing), *p.Outdated)
	}
	switch {
	case c.Force != "" && len(missing) > 0:
		if err := protocol.Force(protocol.Version{Dir: dir, Schema: s.SchemaDigest, Rules: s.Rules}, c.Force, time.Now()); err != nil {
			return usage(err)
		}
	case len(s.Signers) > 0 && len(missing) > 0:
		for _, flaw := range missing {
			fmt.Fprintln(out.err, c.pick(flaw.InRussian(), flaw.String()))
		}
		return no(fmt.Errorf("%s %s is not published: its test protocol does not hold (--force REASON publishes nevertheless)", s.Name, s.Version))
	default:
		if err := protocol.Unforce(dir); err != nil {
			return usage(err)
		}
	}
	if err := setStage(filepath.Join(dir, "service.yaml"), registry.StagePublished); err != nil {
		return usage(err)
	}
	if len(s.Signers) == 0 {
		fmt.Fprintln(out.err, "mezhved: "+c.pick("протокол испытаний не спрашивался: подписывать его никто не обязан (protocols.signers в конфигурации, protocol.signers в service.yaml)",
			"no test protocol was asked for: nobody has to sign one (protocols.signers of the configuration, protocol.signers in service.yaml)"))
	}
	fmt.Fprintf(out.out, c.pick("%s %s: стадия published; работающий шлюз возьмёт её по mezhved reload\n", "%s %s: stage published; a running gateway takes it with mezhved reload\n"), s.Name, s.Version)
	return nil
}

// setStage changes the one line of a service.yaml, and nothing else of it.
func setStage(file string, stage registry.Stage) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	fresh := file + ".new"
	if err := os.WriteFile(fresh, withSetting(text, "stage", string(stage)), 0o644); err != nil {
		return err
	}
	return os.Rename(fresh, file)
}

// withSetting gives a YAML file with one setting of its outermost level changed or added
// in a line of its own.
func withSetting(text []byte, setting, value string) []byte {
	fresh := []byte(setting + ": " + value + "\n")
	if old := regexp.MustCompile(`(?m)^["']?` + regexp.QuoteMeta(setting) + `["']?[ \t]*:[^\n]*\n?`).FindIndex(text); old != nil {
		return slices.Concat(text[:old[0]], fresh, text[old[1]:])
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	return append(text, fresh...)
}
