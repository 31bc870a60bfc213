package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"mezhved/adapter"
	"mezhved/adapter/alarms"
	"mezhved/adapter/backup"
	"mezhved/adapter/console"
	"mezhved/adapter/embedded"
	"mezhved/adapter/files"
	"mezhved/adapter/journal"
	"mezhved/adapter/kafka"
	"mezhved/adapter/lifecycle/emulator"
	"mezhved/adapter/oplog"
	"mezhved/adapter/postgres"
	"mezhved/adapter/registry"
	"mezhved/adapter/vault"
	"mezhved/adapter/yamlfile"
	"mezhved/cmd/internal/shell"
	"mezhved/signing"
)

// node is one gateway with everything that it stands on.
type node struct {
	config  adapter.Config
	store   *postgres.Store
	vault   *vault.Vault            // the keys of content and values; nil: this node has none
	clock   *adapter.Clock          // the database's, which all nodes go by
	book    *postgres.Journal       // nil: another node signs the journal
	policy  *journal.Policy         // the log's key and its witnesses; nil: another node signs the journal
	signer  *signing.RotatingSigner // the bus signature; nil: answers are not signed
	gateway *adapter.Gateway
	files   *files.Door     // of the file store; nil: there is none
	teller  *alarms.Teller  // nil: nobody is told
	house   *emulator.House // of emulated parties
	sandbox *sandboxed      // nil: this is no sandbox
	brokers []string        // of the bus
	log     *slog.Logger
	closers []func() error

	file      string           // of the configuration; empty: it is no file's, and is not read again
	console   *console.Console // nil: nobody has a token
	reloading sync.Mutex
	reloads   *prometheus.CounterVec
	content   *kept // for the loops that end what has been kept long enough
	values    *kept
}

// openNode builds a gateway from its configuration: database and bus (private
// ones are started), migrations, registry, keys, journal. What was opened is
// closed again when a later step fails.
func openNode(ctx context.Context, c adapter.Config, log *slog.Logger) (n *node, err error) {
	return openNodeIn(ctx, c, log, nil)
}

// openNodeIn is openNode; in a sandbox the gateway is the sandbox's.
func openNodeIn(ctx context.Context, c adapter.Config, log *slog.Logger, s *sandboxed) (n *node, err error) {
	n = &node{config: c, log: log, sandbox: s, content: newKept(), values: newKept()}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if _, err := console.LoadTokens(c.Console); err != nil {
		return n, usage(err)
	}
	var bad []error
	for _, f := range flaws(c) {
		bad = append(bad, f.err)
	}
	if len(bad) > 0 {
		return n, usage(errors.Join(bad...))
	}
	registry, findings := openRegistry(c, s != nil)
	for _, f := range findings {
		if f.Warning {
			log.Warn("registry", "finding", f.String())
		}
	}
	if bad := findings.Errors(); len(bad) > 0 {
		return n, usage(fmt.Errorf("services and parties:\n%w", bad))
	}
	url, stop, err := databaseURL(ctx, c.Database, log)
	if err != nil {
		return n, err
	}
	n.onClose(stop)
	if err = postgres.Migrate(ctx, url); err != nil {
		return n, notOpened(err)
	}
	if c.Journal.Vault != "" {
		if n.vault, err = vault.Open(c.Journal.Vault, func() time.Time { return n.clock.Now() }); err != nil {
			return n, usage(err)
		}
	}
	n.store, err = postgres.Open(ctx, postgres.Options{URL: url, Node: c.Node, Samples: append(certificateSamples(c, registry.Catalog()), skeletons(c, registry.Catalog())...), Vault: n.vault, TermGrace: c.Times.Grace.D(), Log: log})
	if err != nil {
		return n, notOpened(err)
	}
	n.onClose(func() error { n.store.Close(); return nil })
	if err = n.goesBlind(ctx); err != nil {
		return n, err
	}
	n.clock = &adapter.Clock{Ask: n.store.Time, Tell: c.Clock.Tell.D(), Refuse: c.Clock.Refuse.D(), Log: log}
	if err = n.clock.Measure(ctx); err != nil {
		return n, unavailable(fmt.Errorf("database: %w", err))
	}
	if err := n.clock.Trusted(); err != nil {
		log.Error("this node accepts nothing for now", "error", err) // polls and acknowledgements go on
	}
	broker, err := n.openBroker()
	if err != nil {
		return n, err
	}
	rooms := adapter.Rooms{Store: n.store, Broker: broker, Registry: registry, Log: log, Clock: n.clock, Metrics: newMetricsRegistry(log), Memory: adapter.NewMemory(c.Limits), Mount: n.mount}
	rooms.Loops = append(rooms.Loops, adapter.Loop{Name: "memory", Run: rooms.Memory.Keep})
	broker.Measure(rooms.Metrics)
	n.reloads = newReloads(rooms.Metrics)
	build := shell.ThisBuild("mezhved")
	rooms.Build = adapter.Build{Version: build.Version, Commit: build.Commit}
	for _, own := range ownDisks(c) {
		files.MeasureFree(rooms.Metrics, own.setting, own.dir)
	}
	if c.Backup.To != "" {
		backup.Measure(rooms.Metrics, c.Backup.State)
	}
	verifier, revocation, err := c.LoadVerifier(n.clock.Now)
	if err != nil {
		return n, usage(err)
	}
	rooms.Verifier = verifier
	if rooms.OldSeals, err = n.store.OldSeals(ctx); err != nil {
		return n, unavailable(fmt.Errorf("database: %w", err))
	}
	if revocation != nil {
		rooms.Loops = append(rooms.Loops, adapter.Loop{Name: "revocation", Run: revocation.Run})
	}
	if n.signer, err = c.LoadSigner(ctx); err != nil {
		return n, usage(err)
	}
	if n.signer != nil {
		n.warnExpiry()
		rooms.Signer = n.signer
	}
	if err = n.openJournal(ctx, &rooms); err != nil {
		return n, err
	}
	n.openContent(&rooms)
	if err = n.openFiles(&rooms); err != nil {
		return n, err
	}
	if err = n.openAlarms(&rooms, registry.Catalog()); err != nil {
		return n, err
	}
	if err = n.openProbes(ctx, &rooms, registry.Catalog()); err != nil {
		return n, err
	}
	if n.sandbox != nil {
		if err = n.sandbox.open(n, &rooms); err != nil {
			return n, err
		}
	}
	n.openEmulators(&rooms)
	n.openShadow(&rooms)
	if n.gateway, err = adapter.New(c, rooms); err != nil {
		return n, usage(err)
	}
	if err = n.gateway.Opened(ctx); err != nil {
		return n, unavailable(err)
	}
	return n, nil
}

func openRegistry(c adapter.Config, sandbox bool) (*registry.Registry, yamlfile.Findings) {
	if sandbox {
		return registry.OpenSandbox(c.Services, c.Parties, time.Now)
	}
	gate, err := c.LoadGate()
	if err != nil {
		return nil, yamlfile.Findings{yamlfile.NewFinding("", "", "%v", err)}
	}
	return registry.Open(c.Services, c.Parties, time.Now, gate)
}

// goesBlind refuses a node without the vault where content is sealed already. Where
// it is not, such a node keeps the others from beginning.
func (n *node) goesBlind(ctx context.Context) error {
	if n.vault != nil {
		return nil
	}
	late, err := n.store.Blind(ctx)
	if err != nil {
		return unavailable(fmt.Errorf("database: %w", err))
	}
	if late {
		return usage(errors.New("the content of messages in this database is sealed with the keys of a vault, and this node has none: let journal.vault be the folder that the other nodes have, on storage that they share"))
	}
	n.log.Warn("this node has no vault (journal.vault), so the content of messages is sealed by no node: let it be the folder that the other nodes have, on storage that they share")
	return nil
}

// openFiles opens the file store and its door, if the configuration has one.
func (n *node) openFiles(rooms *adapter.Rooms) error {
	if n.config.Files.Dir == "" {
		return nil
	}
	keys, err := n.config.LoadReplyKeys()
	if err != nil {
		return usage(err)
	}
	store, err := files.Open(files.Options{
		Keys:   keys,
		Config: n.config.Files, AnyUUID: n.config.MessageID.AnyUUID, Sweep: n.config.Times.Sweep.D(), Index: n.store, Log: n.log, Now: n.clock.Now, Metrics: rooms.Metrics, Memory: rooms.Memory,
	})
	if err != nil {
		return usage(err)
	}
	if n.files, err = store.Listen(n.config.FTP); err != nil {
		return unavailable(err)
	}
	n.onClose(func() error { n.files.Close(); return nil }) // when it was never run
	if n.config.Files.S3 {
		if rooms.Objects, err = store.S3(n.config.FTP); err != nil {
			return usage(err)
		}
	}
	rooms.Files = store
	rooms.Loops = append(rooms.Loops, adapter.Loop{Name: "files", Run: store.Run}, adapter.Loop{Name: "ftp", Run: n.files.Run})
	return nil
}

// serve runs the gateway on the listener until ctx ends. SIGHUP, and whoever asks on the
// control socket, has it read again what can change.
func (n *node) serve(ctx context.Context, l net.Listener) error {
	if n.config.Control != "" {
		control, err := listenControl(n.config.Control)
		if err != nil {
			return errors.Join(usage(err), l.Close())
		}
		defer control.Close()
		go n.serveControl(ctx, control)
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-hangup:
				n.reload(ctx)
			case <-done:
				return
			}
		}
	}()
	return n.gateway.Serve(ctx, l)
}

// reloadKey takes the gateway's key from its place again; the old one stays
// when that cannot be read.
func (n *node) reloadKey(ctx context.Context) (another bool, err error) {
	if n.signer == nil {
		return false, nil
	}
	fresh, err := n.config.LoadSigner(ctx)
	if err != nil {
		n.log.Error("the gateway's key was not read again, the old one stays", "error", err)
		return false, err
	}
	if another = fresh.Certificate().SHA256 != n.signer.Certificate().SHA256; another {
		n.signer.Replace(fresh.Current())
		n.log.Info("the gateway signs with a new key", "certificate", fresh.Certificate().Fingerprint())
	}
	n.warnExpiry()
	return another, nil
}

func (n *node) warnExpiry() {
	for _, e := range signing.ExpiringWithin(30*24*time.Hour, time.Now(), n.signer.Certificate()) {
		n.log.Warn("the gateway's certificate", "warning", e.Warning())
	}
}

func (n *node) onClose(f func() error) { n.closers = append(n.closers, f) }

// close undoes openNode, last things first.
func (n *node) close() error {
	var errs []error
	for i := len(n.closers) - 1; i >= 0; i-- {
		errs = append(errs, n.closers[i]())
	}
	n.closers = nil
	return errors.Join(errs...)
}

// databaseURL says where the database is, starting the private server if that
// is what the configuration asks for.
func databaseURL(ctx context.Context, c adapter.DatabaseConfig, log *slog.Logger) (url string, stop func() error, err error) {
	none := func() error { return nil }
	switch {
	case c.Private != "":
		log.Warn("private PostgreSQL: for demonstrations and tests, not for production", "dir", c.Private)
		url, stop, err := embedded.Database(ctx, embedded.PostgresOptions{Dir: c.Private, Durable: true})
		if err != nil {
			return "", none, unavailable(err)
		}
		return url, stop, nil
	case c.URLFile != "":
		src, err := os.ReadFile(c.URLFile)
		if err != nil {
			return "", none, usage(err)
		}
		return strings.TrimSpace(string(src)), none, nil
	}
	return c.URL, none, nil
}

func (n *node) openBroker() (*kafka.Broker, error) {
	c := n.config.Kafka
	if c.Private != "" {
		n.log.Warn("in-process Kafka broker: for demonstrations and tests, not for production", "dir", c.Private)
		k, err := embedded.StartKafka(embedded.KafkaOptions{Dir: c.Private, Durable: true})
		if err != nil {
			return nil, unavailable(err)
		}
		n.onClose(k.Stop)
		c.Brokers, c.Replication = k.Brokers(), 1
	}
	n.brokers = c.Brokers
	b, err := openKafka(c, n.clock.Now, n.log)
	if err != nil {
		return nil, usage(err)
	}
	n.onClose(func() error { b.Close(); return nil })
	return b, nil
}

// openKafka connects to the bus of a configuration.
func openKafka(c adapter.KafkaConfig, now func() time.Time, log *slog.Logger) (*kafka.Broker, error) {
	opt := kafka.Options{Now: now, Brokers: c.Brokers, Partitions: c.Partitions, Replication: c.Replication, Log: log}
	if c.Fills == adapter.FillsRelay { // what the intake reads is in its queue, but for a little
		opt.Gather = 25 * time.Millisecond
	}
	if c.TLS {
		opt.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if c.CAs != "" {
			pem, err := os.ReadFile(c.CAs)
			if err != nil {
				return nil, err
			}
			opt.TLS.RootCAs = x509.NewCertPool()
			if !opt.TLS.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("kafka.cas: %s holds no certificate", c.CAs)
			}
		}
		if c.Certificate != "" {
			pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
			if err != nil {
				return nil, fmt.Errorf("kafka.certificate: %w", err)
			}
			opt.TLS.Certificates = []tls.Certificate{pair}
		}
	}
	var err error
	if opt.Skip, err = c.Skips(); err != nil {
		return nil, fmt.Errorf("kafka.skip: %w", err)
	}
	if c.SASL != "" {
		password, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return nil, err
		}
		opt.SASL = kafka.SASL{Mechanism: c.SASL, User: c.User, Password: strings.TrimRight(string(password), "\r\n")}
	}
	return kafka.Open(opt)
}

// certificateSamples are what signed envelopes repeat: certificates in base64, the
// gateway's own first, which stands in every answer.
func certificateSamples(config adapter.Config, c *registry.Catalog) [][]byte {
	var out [][]byte
	add := func(file string) {
		certs, err := readCertificates([]string{file})
		if err != nil {
			return // samples help to compress; who uses the file reports it
		}
		for _, cert := range certs {
			out = append(out, []byte(base64.StdEncoding.EncodeToString(cert.DER)))
		}
	}
	if config.Signature.Certificate != "" {
		add(config.Signature.Certificate)
	}
	for _, p := range c.Parties() {
		for _, reg := range p.Certificates {
			add(reg.File)
		}
	}
	return out
}

// mostSkeletons bounds the bytes of skeletons: a dictionary is copied for each message
// that is packed with it.
const mostSkeletons = 32 << 10

// skeletons are what the contents of services repeat: their samples without text. In the
// order of the services, as many as there is room for.
func skeletons(config adapter.Config, c *registry.Catalog) (out [][]byte) {
	room := mostSkeletons
	for _, s := range c.Services() {
		files, _ := filepath.Glob(filepath.Join(config.Services, s.Name, s.Version, "samples", "*.xml")) // the pattern is good
		for _, file := range files {
			sample, err := os.ReadFile(file)
			if err != nil {
				continue // whoever lints the service reports it
			}
			if sample = skeleton(sample); len(sample) <= room {
				out, room = append(out, sample), room-len(sample)
			}
		}
	}
	return out
}

// skeleton is a document without its text, but with what stands between its elements.
func skeleton(document []byte) []byte {
	out := make([]byte, 0, len(document))
	for len(document) > 0 {
		end := bytes.IndexByte(document, '>') + 1
		if end == 0 {
			break
		}
		text := bytes.IndexByte(document, '<')
		if between := document[:max(text, 0)]; len(bytes.TrimSpace(between)) == 0 {
			out = append(out, between...)
		}
		if text >= 0 && text < end {
			out = append(out, document[text:end]...)
		}
		document = document[end:]
	}
	return out
}

// newMetricsRegistry begins a node's metrics with those of the process and of
// its log.
func newMetricsRegistry(log *slog.Logger) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if l := oplog.Of(log); l != nil {
		l.Measure(r)
	}
	return r
}
