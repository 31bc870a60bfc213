package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/lifecycle/sandbox"
	"mezhved/adapter/lifecycle/scenario"
	"mezhved/adapter/oplog"
	"mezhved/adapter/registry"
	"mezhved/adapter/yamlfile"
	"mezhved/signing"
)

type sandboxCmd struct {
	Services string   `required:"" placeholder:"DIR" type:"existingdir" help:"Services folder: schemas, samples, scenarios."`
	Dir      string   `default:"mezhved-sandbox" help:"Folder that keeps everything of the sandbox; a second start on it goes on."`
	Listen   string   `default:"127.0.0.1:7510" help:"Address of the doors."`
	FTP      string   `name:"ftp" default:"127.0.0.1:2122" help:"Address of the file store's door; when it is in use, another port is taken."`
	Haste    float64  `default:"60" help:"How many times as fast leases, ends of life, terms and the delays of scenarios pass; 1 is real time."`
	Party    []string `placeholder:"MNEMONIC=FILE" help:"Be this party yourself, with this certificate: it is not emulated. May be given again."`
}

func (sandboxCmd) Help() string {
	return `Starts a gateway on private parts (PostgreSQL, Kafka) with an emulator behind every service of the folder, which
answers by the scenarios of the service, or with its sample. A partner needs no registration: the certificate of the first
call whose signature is good is registered under a test mnemonic (TEST0001 …). Faults come on demand, by the header X-Mezhved-Fault, by ?fault= at
the address, by a value fault:… anywhere in the call, or by a scenario. The header X-Mezhved-Sandbox of each answer names the page of its
call (verdict, octets, difference), X-Mezhved-Sandbox-Calls of an answer to a poll or an Ack the page of all one's own calls. It is a sandbox: anybody who reaches it is let in, and what it answers is made up.

Examples:
  mezhved sandbox --services testdata/services
  mezhved sandbox --services services --listen 0.0.0.0:7510 --haste 1440
  mezhved sandbox --services services --party FNS01=cert.pem     # develop a provider: requests of others wait for you`
}

func (c *sandboxCmd) Run(ctx context.Context, out *stdio) (err error) {
	if c.Haste < 1 || c.Haste > 100_000 {
		return usage(fmt.Errorf("--haste %v: 1 to 100000 is expected", c.Haste))
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return usage(err)
	}
	services, err := filepath.Abs(c.Services)
	if err != nil {
		return usage(err)
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return unavailable(fmt.Errorf("the address %s cannot be used: %w. Choose another one with --listen, or stop the program that has it", c.Listen, err))
	}
	defer l.Close()
	config, err := c.prepare(dir, services, l.Addr().String())
	if err != nil {
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(dir, "gateway.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return usage(err)
	}
	defer logFile.Close()
	surviveLostReaders()
	log := oplog.Open(logFile, oplog.Options{})
	defer log.Close(logFlush)
	made := &sandboxed{haste: c.Haste}
	n, err := openNodeIn(ctx, config, log.Logger(), made)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	serving, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- n.serve(serving, l) }()
	base := "http://" + l.Addr().String()
	if err = awaitReady(ctx, base, 30*time.Second); err == nil {
		c.say(out.out, dir, base, n, made.all)
		<-ctx.Done()
	}
	stop()
	return errors.Join(err, <-served)
}

// say tells a partner where to begin.
func (c *sandboxCmd) say(out io.Writer, dir, base string, n *node, all string) {
	fmt.Fprintln(out, "Mezhved sandbox: everybody is let in, and what is answered is made up. Not for production, and not for data of people.")
	for _, s := range n.gateway.Catalog().Services() {
		var emulated []string
		for _, m := range s.Providers {
			name := string(m)
			if p := n.gateway.Catalog().Party(m); p == nil || !p.Emulator {
				name += " (yourself)"
			}
			emulated = append(emulated, name)
		}
		fmt.Fprintf(out, "   %-24s %-8s %s\n", s.Name, s.Version, strings.Join(emulated, ", "))
	}
	fmt.Fprintf(out, `
   the doors        %s/smev/v1.2/ws (v1.1, v1.3, and /ws for any version), each with ?wsdl
   all calls        %s%s   (a secret of yours: it shows everybody's)
   for partners     %s/sandbox/
   the console      %s/console/   (the token is in %s)
   the bus's key    %s
   the bus's Kafka  %s   (for services with delivery: stream)
   the file store   ftp://%s
   the log          %s
   time             %g times as fast: what is not acknowledged comes again after %s
   a change         of services or scenarios is read after %s; mezhved services lint --services %s --parties %s names its mistakes

Ready. It stays open until it is interrupted (Ctrl-C).
`, base, base, all, base, base, filepath.Join(dir, "keys", "auditor.token"), filepath.Join(dir, "keys", "bus", "cert.pem"), strings.Join(n.brokers, ","), n.files.Addr(), filepath.Join(dir, "gateway.log"), c.Haste, n.config.Queues.Lease.D(), reread(dir, n.config.Control), n.config.Services, n.config.Parties)
}

// reread is how the sandbox is told to read its folders again.
func reread(dir, control string) string {
	if control == "" {
		return fmt.Sprintf("kill -HUP %d", os.Getpid())
	}
	return "mezhved reload --config " + filepath.Join(dir, "mezhved.yaml")
}

// longestSocket is how long the name of a socket may be (sun_path, less its end); a
// sandbox in a folder of a longer name has none.
const longestSocket = 103

const sandboxConfig = `# Configuration of the sandbox, without what makes it one: mezhved sandbox.
node: sandbox
contour: sandbox
listen: %s
control: control.sock
services: %q
parties: parties
%s`

// prepare makes what is missing in the folder: keys, and a registration for each party
// that the services name.
func (c *sandboxCmd) prepare(dir, services, listen string) (adapter.Config, error) {
	for _, sub := range []string{"", "keys", "parties", "files"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return adapter.Config{}, usage(err)
		}
	}
	parties, err := c.named(services)
	if err != nil {
		return adapter.Config{}, err
	}
	own, err := c.own()
	if err != nil {
		return adapter.Config{}, err
	}
	if err := forget(filepath.Join(dir, "parties"), own, parties); err != nil {
		return adapter.Config{}, err
	}
	if err := makeDemoKeys(dir, "sandbox", parties); err != nil {
		return adapter.Config{}, err
	}
	for m, certificate := range own {
		if err := register(filepath.Join(dir, "parties"), m, certificate); err != nil {
			return adapter.Config{}, err
		}
	}
	file := filepath.Join(dir, "mezhved.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, sandboxConfig, listen, services, fmt.Sprintf(privateConfig, "sandbox")), 0o644); err != nil {
		return adapter.Config{}, usage(err)
	}
	config, err := adapter.LoadConfig(file)
	if err != nil {
		return config, usage(err)
	}
	if config.FTP.Listen, err = freePort(c.FTP); err != nil {
		return config, usage(fmt.Errorf("--ftp %s: %w", c.FTP, err))
	}
	if len(config.Control) > longestSocket {
		config.Control = ""
	}
	config.Protocols.Off = true // nothing here is in use
	config.Queues.Lease = yamlfile.Period(max(time.Duration(float64(config.WithDefaults().Queues.Lease)/c.Haste), time.Second))
	return config, nil
}

// named are the parties that the services name, as emulators.
func (c *sandboxCmd) named(services string) (out []demoParty, err error) {
	catalog, found := registry.Lint(services, filepath.Join(services, "\x00"), time.Now()) // without parties
	names := map[registry.Mnemonic]bool{}
	for _, s := range catalog.Services() {
		for _, m := range append(s.Callers(), s.Providers...) {
			names[m] = true
		}
	}
	if len(catalog.Services()) == 0 {
		return nil, usage(fmt.Errorf("%s has no service that could be read:\n%w", services, found.Errors()))
	}
	for m := range names {
		if m != registry.Mnemonic(filepath.Base(string(m))) {
			return nil, usage(fmt.Errorf("%q cannot be the mnemonic of a party", m))
		}
		out = append(out, demoParty{string(m), "Эмулятор " + string(m), "emulator: true\nkey: " + string(m) + "/key.pem\n"})
	}
	slices.SortFunc(out, func(a, b demoParty) int { return strings.Compare(a.mnemonic, b.mnemonic) })
	return out, nil
}

// own are the parties that somebody is himself (--party), each with his certificate.
func (c *sandboxCmd) own() (map[string]*signing.Certificate, error) {
	own, whose := map[string]*signing.Certificate{}, map[[32]byte]string{}
	for _, one := range c.Party {
		m, file, ok := strings.Cut(one, "=")
		if !ok || m == "" || m != filepath.Base(m) || file == "" {
			return nil, usage(fmt.Errorf("--party %s: MNEMONIC=FILE is expected, for instance FNS01=cert.pem", one))
		}
		certs, err := readCertificates([]string{file})
		if err != nil {
			return nil, usage(err)
		}
		if len(certs) == 0 {
			return nil, usage(fmt.Errorf("--party %s: %s holds no certificate", one, file))
		}
		if other := whose[certs[0].SHA256]; other != "" && other != m {
			return nil, usage(fmt.Errorf("--party %s: %s has this certificate already, and a certificate names one system: make another one (mezhved keys new)", one, other))
		}
		own[m], whose[certs[0].SHA256] = certs[0], m
	}
	return own, nil
}

// forget takes back what an earlier start or a first call has registered and this start has
// otherwise: a party of the services that nobody is himself any more is emulated again, and
// who becomes one (own) is no longer registered under another mnemonic.
func forget(parties string, own map[string]*signing.Certificate, named []demoParty) error {
	folders, err := filepath.Glob(filepath.Join(parties, "*-own"))
	if err != nil {
		return usage(err)
	}
	for _, folder := range folders {
		m := strings.TrimSuffix(filepath.Base(folder), "-own")
		stays := own[m] != nil || !slices.ContainsFunc(named, func(p demoParty) bool { return p.mnemonic == m })
		if certs, err := readCertificates([]string{filepath.Join(folder, "cert.pem")}); err == nil && len(certs) > 0 {
			for other, c := range own {
				stays = stays && (other == m || c.SHA256 != certs[0].SHA256)
			}
		}
		if stays {
			continue
		}
		if err := errors.Join(os.RemoveAll(filepath.Join(parties, m+".yaml")), os.RemoveAll(folder)); err != nil {
			return usage(err)
		}
	}
	return nil
}

// register lays a party with a certificate.
func register(parties, mnemonic string, c *signing.Certificate) error {
	folder := filepath.Join(parties, mnemonic+"-own")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return usage(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.DER})
	if err := os.WriteFile(filepath.Join(folder, "cert.pem"), text, 0o644); err != nil {
		return usage(err)
	}
	settings := fmt.Sprintf("name: %q\ncertificates: [%s-own/cert.pem]\n", yamlText(c.Subject()), mnemonic)
	if err := os.WriteFile(filepath.Join(parties, mnemonic+".yaml"), []byte(settings), 0o644); err != nil {
		return usage(err)
	}
	return nil
}

var notPlain = regexp.MustCompile(`[^\pL\pN\pZ\pP=+]`)

// yamlText leaves out of a text what a file should not have.
func yamlText(s string) string { return notPlain.ReplaceAllString(s, "?") }

// sandboxed is what makes a node a sandbox.
type sandboxed struct {
	haste float64
	n     *node
	all   string // address of the page of everybody's calls

	mu sync.Mutex // one registration at a time
}

// open gives the gateway a front that lets everybody in.
func (s *sandboxed) open(n *node, rooms *adapter.Rooms) error {
	s.n = n
	rooms.Haste = s.haste
	front, err := sandbox.New(sandbox.Options{
		Catalog: func() *registry.Catalog { return n.gateway.Catalog() }, Register: s, Sets: func() []*scenario.Set { return n.house.InForce() },
		Verifier: rooms.Verifier, Contour: n.config.Contour, Now: n.clock.Now, Log: n.log,
		Memory: rooms.Memory, Body: int(n.config.Limits.Body),
	})
	if err != nil {
		return err
	}
	rooms.Front, s.all = front.Front, front.All()
	return nil
}

// mostPartners bounds who registers himself.
const mostPartners = 1000

// Register registers a certificate under the next test mnemonic.
func (s *sandboxed) Register(ctx context.Context, c *signing.Certificate) (registry.Mnemonic, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.n.gateway.Catalog().PartyOf(c.SHA256); p != nil { // while we waited
		return p.Mnemonic, nil
	}
	parties := s.n.config.Parties
	for i := 1; i <= mostPartners; i++ {
		m := fmt.Sprintf("TEST%04d", i)
		if !missing(filepath.Join(parties, m+".yaml")) {
			continue
		}
		if err := register(parties, m, c); err != nil {
			return "", err
		}
		if bad := s.n.gateway.Reload(context.WithoutCancel(ctx)).Errors(); len(bad) > 0 {
			return "", errors.Join(bad, os.Remove(filepath.Join(parties, m+".yaml")))
		}
		return registry.Mnemonic(m), nil
	}
	return "", fmt.Errorf("%d partners are registered, no more are taken: remove some from %s", mostPartners, parties)
}
