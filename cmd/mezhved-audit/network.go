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

	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/remote"
	"mezhved/adapter/oplog"
)

const networkExamples = `  mezhved-audit mirror --policy policy.txt --token-file token https://journal.example.gov/log ./mirror
  mezhved-audit witness --key witness.key --log "journal.example.gov/mezhved+1f2e3d4c+AbC..." --listen 127.0.0.1:8440 ./witness`

// networkCommands are the two commands that use the network.
type networkCommands struct {
	Mirror  mirrorCommand  `cmd:"" help:"Fetch what is new in a log, prove that nothing old has changed, mend the copy, recount."`
	Witness witnessCommand `cmd:"" help:"Be a witness: cosign a log's checkpoints as long as it only grows."`
}

type mirrorCommand struct {
	Policy        string        `required:"" placeholder:"FILE" type:"existingfile" help:"The policy that you trust."`
	EarlierPolicy []string      `placeholder:"FILE" type:"existingfile" help:"A policy that you had at earlier visits, for the checkpoints taken under it; may be repeated."`
	Quick         bool          `help:"Look only at what is new. Without it the whole mirror is read and counted again (about a million entries a second on each core), and what is missing or wrong in it is fetched again."`
	TokenFile     string        `placeholder:"FILE" type:"existingfile" help:"File with the auditor's access token."`
	Cert          string        `placeholder:"FILE" type:"existingfile" help:"The auditor's TLS certificate (PEM)."`
	Key           string        `placeholder:"FILE" type:"existingfile" help:"Its key (PEM)."`
	CA            string        `placeholder:"FILE" type:"existingfile" help:"Certificates of the server's authority (PEM), if the system does not know it."`
	Timeout       time.Duration `default:"1m" help:"For one request."`
	URL           string        `arg:"" help:"Address of the log, without /checkpoint."`
	Dir           string        `arg:"" type:"path" help:"Directory of the mirror; made at the first visit."`
}

// Help is what --help adds.
func (mirrorCommand) Help() string {
	return `Exit code 0: everything that was looked at is as it was signed; lines with MENDED tell what was fetched again. 1: findings, a log that
was changed (both checkpoints are kept in forks/), or something that the mirror lacks, named; also when all that the
folder remembers is of another log or key, and then nothing in it is touched. 2: another run is at work in the folder.

A checkpoint that was remembered and cannot be verified is a finding at each visit: restore it from a copy, or move it away when you know why.`
}

// Run implements the command.
func (c *mirrorCommand) Run(s *streams) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	policy, earlier, err := readPolicies(c.Policy, c.EarlierPolicy)
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
	mirror := audit.Mirror{Dir: c.Dir, Policy: policy, Earlier: earlier, Quick: c.Quick}
	v, err := mirror.Follow(ctx, client, signed, time.Now())
	if v != nil {
		remembered(s, v.Damaged)
		for i, what := range v.Mended {
			if i == maxMended {
				s.say("MENDED: %d more\n", len(v.Mended)-i)
				break
			}
			s.say("MENDED: %s; put right from what was served and proven\n", what)
		}
	}
	fork := (*audit.ForkError)(nil)
	if errors.As(err, &fork) {
		forked(s, fork)
		fmt.Fprintln(s.out, "This mirror goes no further. Keep it as it is; to follow the log on, begin another one in another folder.")
		if err != error(fork) { // the proof could not be kept
			return err
		}
		return errFindings
	}
	if err != nil {
		return err
	}
	return c.tell(s, v)
}

// maxMended is how many mended files are named one by one.
const maxMended = 20

// tell prints a visit that went through. "0 missing" is said of what was looked
// at, and of nothing else.
func (c *mirrorCommand) tell(s *streams, v *audit.Visit) error {
	s.say("log        %s, %d entries, root %s\n", v.Now.Origin, v.Now.Tree.N, v.Now.Tree.Hash)
	if v.Older {
		s.say("older      the log was shown as it was with %d entries%s; this mirror has %d. The root is that of the mirror's first %d entries: a lagging copy of the log, no change of it\n",
			v.Now.Tree.N, signedAt(v.Now), v.Size(), v.Now.Tree.N)
	}
	recounted(s, v.Recount)
	if v.Stamps > 0 {
		s.say("time       %d new time stamps; mezhved-audit verify log --tsa proves them\n", v.Stamps)
	}
	if v.Insufficient > 0 {
		s.say("time       %d time stamps were passed over: their checkpoints lack the cosignatures that the policy asks for, as those of before a second key or a further witness do; with the policy of then as --earlier-policy they are kept\n", v.Insufficient)
	}
	for _, f := range v.Recount.Findings {
		s.say("FINDING: %s\n", f)
	}
	findings := v.Recount.Found + int64(len(v.Damaged))
	missing := "0 missing"
	if findings > 0 {
		missing = fmt.Sprintf("%d findings", findings)
	}
	switch {
	case v.Before == nil:
		s.say("first visit: %d entries, %s\n", v.Size(), missing)
	case v.Since.IsZero():
		s.say("%d new entries; %s, 0 changed since the log had %d entries\n", v.Size()-v.Before.Tree.N, missing, v.Before.Tree.N)
	default:
		s.say("%d new entries; %s, 0 changed since your last visit on %s\n", v.Size()-v.Before.Tree.N, missing, v.Since.Local().Format("2006-01-02 15:04:05"))
	}
	if v.From == 0 {
		s.say("looked at  all %d entries of the mirror\n", v.Size())
	} else {
		s.say("looked at  entries %d to %d; whether the mirror still has the %d before them as they were is not said: call without --quick, or mezhved-audit verify log\n", v.From, v.Size()-1, v.From)
	}
	if findings > 0 {
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
	cosigner, err := audit.NewCosigner(c.Dir, strings.TrimSpace(string(secret)), c.Log, time.Now)
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
	s.say("witness %s listens on http://%s\n", cosigner.Key(), listener.Addr())
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
