package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/alarms/sink"
	"mezhved/adapter/journal"
	"mezhved/adapter/oplog"
	"mezhved/adapter/registry"
	"mezhved/signing"
	"mezhved/testdata/services"
)

type demoCmd struct {
	Dir    string `default:"mezhved-demo" help:"Folder that keeps everything of the demo; a second start on it goes on."`
	Listen string `default:"127.0.0.1:7500" help:"Address of the doors."`
	FTP    string `name:"ftp" default:"127.0.0.1:2121" help:"Address of the file store's door; when it is in use, another port is taken."`
	Once   bool   `help:"Play and end: exit code 0 only if every exchange ended as announced."`
}

func (demoCmd) Help() string {
	return `Starts a private PostgreSQL, an in-process Kafka broker and a gateway, makes test keys for five departments,
plays their exchanges and says where to look. Nothing has to be configured. It is a demonstration: the keys and
certificates are test ones, and nothing of it belongs into production.

Examples:
  mezhved demo
  mezhved demo --dir /tmp/demo --listen 127.0.0.1:7600 --once
  mezhved serve --config mezhved-demo/mezhved.yaml     # the same gateway without the play`
}

// demoParty is a department of the demonstration, or the operator of its gateway.
type demoParty struct{ mnemonic, name, settings string }

var demoParties = []demoParty{
	{"PRIMERSK", "Администрация города Примерска (муниципалитет)", ""},
	{"MFC01", "Многофункциональный центр", ""},
	{"ROSREESTR", "Росреестр", ""},
	{"FNS01", "Федеральная налоговая служба", ""},
	{"OPERATOR", "Оператор узла", "# It signs test protocols for the bus.\n"},
	{"SFR01", "Социальный фонд (пенсионный фонд)", "# Its system takes and acknowledges at once: what it has not acknowledged in 3 s comes again.\nlease: 3s\n"},
}

func (c *demoCmd) Run(ctx context.Context, out *stdio) (err error) {
	fmt.Fprintln(out.out, "Mezhved demonstration: test keys, private database and broker. Not for production.")
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return usage(err)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return usage(fmt.Errorf("--listen %s: an address such as 127.0.0.1:7500 is expected", c.Listen))
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return unavailable(fmt.Errorf("the address %s cannot be used: %w. Choose another one with --listen, or stop the program that has it", c.Listen, err))
	}
	defer l.Close()
	config, err := prepareDemo(dir, l.Addr().String())
	if err != nil {
		return err
	}
	if config.FTP.Listen, err = freePort(c.FTP); err != nil {
		return usage(fmt.Errorf("--ftp %s: %w", c.FTP, err))
	}
	var mailbox *sink.Sink
	if config.Alarms.Rules != "" { // a folder of an earlier version has none
		mailbox = &sink.Sink{Dir: filepath.Join(dir, "mailbox")}
		if err := mailbox.Listen("127.0.0.1:0"); err != nil {
			return unavailable(err)
		}
		defer mailbox.Close()
		config.Alarms.Mail.Server = mailbox.Addr()
	}
	logFile, err := os.OpenFile(filepath.Join(dir, "gateway.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return usage(err)
	}
	defer logFile.Close()
	surviveLostReaders()
	log := oplog.Open(logFile, oplog.Options{})
	defer log.Close(logFlush)

	n, err := openNode(ctx, config, log.Logger())
	if errors.Is(err, syscall.EADDRINUSE) { // another demonstration was quicker to take the port
		if config.FTP.Listen, err = freePort(c.FTP); err == nil {
			n, err = openNode(ctx, config, log.Logger())
		}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	if err := writeListen(dir, l.Addr().String()); err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- n.serve(serving, l) }()

	base := "http://" + l.Addr().String()
	err = awaitReady(ctx, base, 30*time.Second)
	if err == nil {
		err = c.show(ctx, out.out, dir, base, n, mailbox)
	}
	stop()
	return errors.Join(err, <-served)
}

// show plays and, unless once was asked for, waits for the interrupt.
func (c *demoCmd) show(ctx context.Context, out io.Writer, dir, base string, n *node, mailbox *sink.Sink) error {
	p, err := newPlay(ctx, out, dir, base)
	if err != nil {
		return err
	}
	if n.files != nil {
		p.store = "ftp://" + n.files.Addr().String()
	}
	p.mailbox = mailbox
	if len(n.config.Protocols.Signers) > 0 { // a folder of an earlier version has none
		p.gateway = n.gateway
	}
	p.run(ctx)
	p.whereToLook(dir, base)
	if p.failures > 0 {
		err = no(fmt.Errorf("%d of %d scenes did not end as announced; the gateway's log is %s", p.failures, p.scenes, filepath.Join(dir, "gateway.log")))
	}
	if c.Once {
		fmt.Fprintf(out, "\nThe gateway ends now. For a look at all this, mezhved serve --config %s opens it again.\n", filepath.Join(dir, "mezhved.yaml"))
		return err
	}
	if err != nil {
		fmt.Fprintln(out, "\n"+err.Error())
	}
	fmt.Fprintf(out, "\nReady. The gateway stays open at %s until it is interrupted (Ctrl-C).\n", base)
	<-ctx.Done()
	return nil
}

// freePort is the address, with another port when that one is in use.
func freePort(address string) (string, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return net.JoinHostPort(host, "0"), nil
	}
	return address, l.Close()
}

// awaitReady asks /readyz until it says yes.
func awaitReady(ctx context.Context, base string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	last := "no answer"
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			text, _ := io.ReadAll(io.LimitReader(resp.Body, 2000))
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			last = strings.TrimSpace(string(text))
		}
		select {
		case <-ctx.Done():
			return unavailable(fmt.Errorf("the gateway did not get ready: %s", last))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

const demoConfig = `# Configuration of the demonstration. mezhved serve --config takes it as it is.
# The private database and broker are for demonstrations and tests only.
node: demo
listen: %s
services: services
parties: parties
protocols:              # no version is published without a test protocol that these have signed
  signers: [operator, provider]
  operator: OPERATOR
alarms:
  rules: alarms.yaml
  mail:                 # the demonstration's own mailbox, which a demonstration alone opens
    server: 127.0.0.1:2525
    tls: none
    from: mezhved@demo.example
%s`

// privateConfig is what configurations of the demonstration and of a sandbox have in
// common: a gateway all of whose parts stand in its folder. It wants to know which of both.
const privateConfig = `database:
  private: postgres
kafka:
  private: kafka
journal:
  origin: mezhved.%[1]s/journal
  key: keys/journal.key
  state: keys/journal.state
signature:
  key: keys/bus/key.pem
  certificate: keys/bus/cert.pem
replyTo:
  keys: [keys/replyto.key]
files:
  dir: files
  total: 4GB
  s3: true
ftp:
  listen: 127.0.0.1:0   # any free port, the log says which
times:
  terms: 500ms
  grace: 1s             # so that one need not wait for what is late
console:
  tokens:
    - {name: %[1]s-operator, role: operator, file: keys/operator.token}
    - {name: %[1]s-auditor, role: auditor, file: keys/auditor.token}
`

const demoAlarms = `# Who is told of what is late: mezhved alarms lint --config mezhved.yaml
rules:
  - name: late-answers
    stages: [answered]
    when: now
    mail: [duty@demo.example]
`

var listenLine = regexp.MustCompile(`(?m)^listen:.*$`)

// prepareDemo makes what is missing in the folder: keys, certificates, parties,
// services, configuration. What is there stays, but for the address.
func prepareDemo(dir, listen string) (adapter.Config, error) {
	for _, sub := range []string{"", "keys", "parties", "services", "files"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return adapter.Config{}, usage(err)
		}
	}
	if err := makeDemoKeys(dir, "demo", demoParties); err != nil {
		return adapter.Config{}, err
	}
	if err := copyMissing(filepath.Join(dir, "services"), services.FS); err != nil {
		return adapter.Config{}, usage(err)
	}
	file := filepath.Join(dir, "mezhved.yaml")
	if missing(file) {
		if err := os.WriteFile(file, fmt.Appendf(nil, demoConfig, listen, fmt.Sprintf(privateConfig, "demo")), 0o644); err != nil {
			return adapter.Config{}, usage(err)
		}
	}
	if rules := filepath.Join(dir, "alarms.yaml"); missing(rules) {
		if err := os.WriteFile(rules, []byte(demoAlarms), 0o644); err != nil {
			return adapter.Config{}, usage(err)
		}
	}
	config, err := adapter.LoadConfig(file)
	if err != nil {
		return config, usage(err)
	}
	config.Listen = listen
	return config, signDemo(dir, config)
}

// signDemo signs the test protocols that came with the services, as those whom the
// registry names, where they have not. A protocol that does not hold for another reason
// is left as it is.
func signDemo(dir string, config adapter.Config) error {
	ctx := context.Background() // the keys are files
	catalog, _ := registry.Lint(config.Services, config.Parties, time.Now(), config.Protocols)
	for _, s := range catalog.Services() {
		if s.Protocol == nil || s.Protocol.Document == nil {
			continue
		}
		for _, m := range s.Signers {
			if s.Protocol.SignedBy(string(m)) {
				continue
			}
			folder := filepath.Join(dir, "parties", string(m))
			signer, err := signing.LoadSigner(ctx, keySource(filepath.Join(folder, "key.pem"), filepath.Join(folder, "cert.pem"), ""))
			if err != nil {
				return usage(err)
			}
			if err := signProtocol(ctx, filepath.Join(config.Services, s.Name, s.Version), m, signer, time.Now()); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeListen puts the address of this start into the configuration, for the
// commands that read it. It comes when the folder's database is ours: a start
// that finds another demo at work there must not lead those commands astray.
func writeListen(dir, listen string) error {
	file := filepath.Join(dir, "mezhved.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		return usage(err)
	}
	if err := os.WriteFile(file, listenLine.ReplaceAll(text, []byte("listen: "+listen)), 0o644); err != nil {
		return usage(err)
	}
	return nil
}

// makeDemoKeys makes a test authority, the bus's key, a key and registration
// for each department, and the secrets of the gateway. kind is what it is all for.
func makeDemoKeys(dir, kind string, parties []demoParty) error {
	quiet := &stdio{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	caDir := filepath.Join(dir, "keys", "ca")
	if missing(filepath.Join(caDir, "key.pem")) {
		if err := (&keysCACmd{Name: "Mezhved " + kind + " CA", Type: string(signing.KeyECDSA256), Out: caDir}).Run(quiet); err != nil {
			return err
		}
	}
	identity := func(folder, name, org string) error {
		if !missing(filepath.Join(folder, "key.pem")) {
			return nil
		}
		c := keysNewCmd{Name: name, Org: org, Type: string(signing.KeyECDSA256), CA: caDir, Days: 365, Out: folder}
		return c.Run(quiet)
	}
	if err := identity(filepath.Join(dir, "keys", "bus"), "SMEV", "Mezhved "+kind+" bus"); err != nil {
		return err
	}
	for _, p := range parties {
		if err := identity(filepath.Join(dir, "parties", p.mnemonic), p.mnemonic, p.name); err != nil {
			return err
		}
		file := filepath.Join(dir, "parties", p.mnemonic+".yaml")
		if missing(file) {
			text := "name: " + p.name + "\ncertificates: [" + p.mnemonic + "/cert.pem]\n" + p.settings
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				return usage(err)
			}
		}
	}
	for _, secret := range []string{"replyto.key", "operator.token", "auditor.token"} {
		if name := filepath.Join(dir, "keys", secret); missing(name) {
			if err := writeSecret(name); err != nil {
				return err
			}
		}
	}
	if name := filepath.Join(dir, "keys", "journal.key"); missing(name) {
		if _, err := writeJournalKey(journal.NewKey, "mezhved."+kind+"/journal", name); err != nil {
			return err
		}
	}
	policy := filepath.Join(dir, "keys", "journal.policy")
	if !missing(policy) {
		return nil
	}
	skey, err := os.ReadFile(filepath.Join(dir, "keys", "journal.key"))
	if err != nil {
		return usage(err)
	}
	_, public, err := journal.KeyOf(strings.TrimSpace(string(skey)))
	if err != nil {
		return usage(err)
	}
	if err := os.WriteFile(policy, []byte("log "+public+"\nquorum none\n"), 0o644); err != nil {
		return usage(err)
	}
	return nil
}

func missing(name string) bool {
	_, err := os.Stat(name)
	return errors.Is(err, fs.ErrNotExist)
}

// copyMissing copies the files of a tree that dir does not have yet. Signatures are left
// out: they are of keys that nobody has.
func copyMissing(dir string, tree fs.FS) error {
	return fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(name))
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		if !missing(to) || filepath.Ext(to) == ".p7s" {
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		return os.WriteFile(to, src, 0o644)
	})
}
