//go:build !offline

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/remote"
	"mezhved/adapter/oplog"
)

const networkExamples = `  mezhved-audit mirror --policy policy.txt --token-file token https://journal.example.gov/log ./mirror
  mezhved-audit witness --key witness.key --log "journal.example.gov/mezhved+1f2e3d4c+AbC..." --listen 127.0.0.1:8440 ./witness`

// networkCommands are the two commands that use the network.
type networkCommands struct {
	Mirror  mirrorCommand  `cmd:"" help:"Fetch what is new in a log, prove that nothing old has changed, recount."`
	Witness witnessCommand `cmd:"" help:"Be a witness: cosign a log's checkpoints as long as it only grows."`
}

type mirrorCommand struct {
	Policy    string        `required:"" placeholder:"FILE" type:"existingfile" help:"The policy that you trust."`
	TokenFile string        `placeholder:"FILE" type:"existingfile" help:"File with the auditor's access token."`
	Cert      string        `placeholder:"FILE" type:"existingfile" help:"The auditor's TLS certificate (PEM)."`
	Key       string        `placeholder:"FILE" type:"existingfile" help:"Its key (PEM)."`
	CA        string        `placeholder:"FILE" type:"existingfile" help:"Certificates of the server's authority (PEM), if the system does not know it."`
	Timeout   time.Duration `default:"1m" help:"For one request."`
	URL       string        `arg:"" help:"Address of the log, without /checkpoint."`
	Dir       string        `arg:"" type:"path" help:"Directory of the mirror; made at the first visit."`
}

// Run implements the command.
func (c *mirrorCommand) Run(s *streams) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	policy, err := readPolicy(c.Policy)
	if err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	signed, err := client.Checkpoint(ctx)
	if err != nil {
		return err
	}
	v, err := journal.Follow(ctx, c.Dir, client, signed, policy, time.Now())
	fork := (*journal.ForkError)(nil)
	if errors.As(err, &fork) {
		fmt.Fprintf(s.out, "CHANGED: %v\n\nCheckpoint of the last visit:\n%s\nCheckpoint now:\n%s", fork, fork.Before.Note, fork.Now.Note)
		return errFindings
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "log        %s, %d entries, root %s\n", v.Now.Origin, v.Now.Tree.N, v.Now.Tree.Hash)
	recounted(s, v.Recount)
	for _, f := range v.Recount.Findings {
		fmt.Fprintf(s.out, "FINDING: %s\n", f)
	}
	missing := "0 missing"
	if v.Recount.Found > 0 {
		missing = fmt.Sprintf("%d findings", v.Recount.Found)
	}
	if v.Before == nil {
		fmt.Fprintf(s.out, "first visit: %d entries, %s\n", v.Now.Tree.N, missing)
	} else {
		fmt.Fprintf(s.out, "%d new entries; %s, 0 changed since your last visit on %s\n", v.Now.Tree.N-v.Before.Tree.N, missing, v.Since.Local().Format("2006-01-02 15:04:05"))
	}
	if v.Recount.Found > 0 {
		return errFindings
	}
	return nil
}

func (c *mirrorCommand) client() (*remote.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate", c.CA)
		}
	}
	if c.Cert != "" || c.Key != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("the auditor's certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	client := &remote.Client{URL: c.URL, HTTP: &http.Client{Timeout: c.Timeout, Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, MaxIdleConnsPerHost: 16, ForceAttemptHTTP2: true}}}
	if c.TokenFile != "" {
		token, err := os.ReadFile(c.TokenFile)
		if err != nil {
			return nil, err
		}
		client.Token = strings.TrimSpace(string(token))
	}
	return client, nil
}

type witnessCommand struct {
	Key    string   `required:"" placeholder:"FILE" type:"existingfile" help:"The witness's signing key, from keygen."`
	Log    []string `required:"" placeholder:"VKEY" help:"Verifier key of a log to watch; may be repeated."`
	Listen string   `default:"127.0.0.1:8440" help:"Address to listen on. Put a TLS server in front of it."`
	Dir    string   `arg:"" type:"path" help:"Directory for the witness's memory. Never restore it from a backup."`
}

// Run implements the command.
func (c *witnessCommand) Run(s *streams) error {
	secret, err := os.ReadFile(c.Key)
	if err != nil {
		return err
	}
	cosigner, err := journal.NewCosigner(c.Dir, strings.TrimSpace(string(secret)), c.Log, time.Now)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // a lost reader of the log must not end the witness
	log := oplog.Open(s.err, oplog.Options{})
	defer log.Close(2 * time.Second)
	server := &http.Server{Handler: &remote.Witness{Cosigner: cosigner, Slog: log.Logger()}, ErrorLog: slog.NewLogLogger(log.Logger().Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	fmt.Fprintf(s.out, "witness %s listens on http://%s\n", cosigner.Key(), listener.Addr())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Shutdown(last)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
