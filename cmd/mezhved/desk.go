package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	_ "time/tzdata" // console.zone, on a machine that has no zones

	"mezhved/adapter"
	"mezhved/adapter/console"
	"mezhved/adapter/terms"
)

// mount opens the doors of a node that are not the gateway's: the desk, and the
// journal's own on the node that keeps it. A desk that cannot be opened stays
// closed, and the log says why: the exchange goes on.
func (n *node) mount(r console.Doors) {
	desk, err := n.desk()
	if err != nil {
		n.log.Error("the desk stays closed", "error", err)
	}
	var admit func(*http.Request) error
	if n.console = desk; desk != nil {
		desk.Mount(r)
		admit = desk.AdmitReader
	}
	if err := console.PublicHealth(r, console.Rooms{Gateway: func() *adapter.Gateway { return n.gateway }, Probes: n.store, Log: n.log, Now: n.clock.Now, Zone: n.zone()}); err != nil {
		n.log.Error("the page of how services do stays closed", "error", err)
	}
	if n.book != nil {
		console.Public(r, n.book, n.cosigned(), n.log, admit)
	}
}

// desk puts the desk together; nil without an error when nobody has a token.
func (n *node) desk() (*console.Console, error) {
	tokens, err := console.LoadTokens(n.config.Console)
	if err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		n.log.Info("the desk is closed: the configuration has no console.tokens")
		return nil, nil
	}
	rooms := console.Rooms{Gateway: func() *adapter.Gateway { return n.gateway }, Store: n.store, Alarms: n.store, Probes: n.store, Impact: n.store, Tokens: tokens, Log: n.log, Now: n.clock.Now}
	rooms.AlarmRules = func() []string {
		if n.teller == nil {
			return nil
		}
		return n.teller.Names()
	}
	rooms.Zone = n.zone()
	// Explaining a refusal asks no responder about revocation.
	alone := n.config
	alone.Trust.CRLs, alone.Trust.OCSP = nil, nil
	if rooms.Verifier, _, err = alone.LoadVerifier(n.clock.Now); err != nil {
		return nil, err
	}
	if n.book != nil {
		rooms.Journal = n.book
		rooms.Content = n.store
		rooms.Policy, rooms.Cosigned = n.policy, n.cosigned()
	}
	return console.New(rooms)
}

// zone is that of the pages; the configuration was checked.
func (n *node) zone() *time.Location {
	zone, err := n.config.Console.Location()
	if err != nil {
		return terms.Moscow
	}
	return zone
}

// deskFlags say at whose desk the questions are asked, and by whom.
type deskFlags struct {
	URL       string `name:"url" placeholder:"URL" env:"MEZHVED_DESK_URL" help:"Address of the gateway, such as https://gate.example:7500."`
	TokenFile string `placeholder:"FILE" type:"existingfile" env:"MEZHVED_TOKEN_FILE" help:"File with the token."`
	Config    string `short:"c" placeholder:"FILE" type:"existingfile" help:"The gateway's configuration: gives the address and the first token that fits."`
	CA        string `name:"ca" placeholder:"FILE" type:"existingfile" help:"Certificates (PEM) by which the gateway is trusted; default: the system's."`
	JSON      bool   `name:"json" help:"Print JSON."`
}

// where are the flags that name the same gateway again, for a command that is
// proposed; empty where the environment does.
func (f *deskFlags) where() string {
	var b strings.Builder
	for _, flag := range [][2]string{{"config", f.Config}, {"url", f.URL}, {"token-file", f.TokenFile}, {"ca", f.CA}} {
		if flag[1] != "" && flag[1] != os.Getenv("MEZHVED_DESK_URL") && flag[1] != os.Getenv("MEZHVED_TOKEN_FILE") {
			fmt.Fprintf(&b, " --%s %s", flag[0], flag[1])
		}
	}
	return b.String()
}

// deskClient asks the API of a gateway.
type deskClient struct {
	base  string
	token string
	http  *http.Client
}

// client finds address and token. role is the one that is needed, empty for any.
func (f *deskFlags) client(role console.Role) (*deskClient, error) {
	base, tokenFile, ca := f.URL, f.TokenFile, f.CA
	if f.Config != "" {
		c, err := adapter.LoadConfig(f.Config)
		if err != nil {
			return nil, usage(err)
		}
		if base == "" {
			base = addressOf(c)
		}
		for _, t := range c.Console.Tokens {
			if tokenFile == "" && (role == "" || t.Role == string(role)) {
				tokenFile = t.File
			}
		}
		if ca == "" {
			ca = c.TLS.Certificate
		}
	}
	if base == "" {
		base = "http://127.0.0.1:7500"
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usage(fmt.Errorf("--url %s: an address such as https://gate.example:7500 is expected", base))
	}
	if tokenFile == "" {
		need := ""
		if role != "" {
			need = " of the role " + string(role)
		}
		return nil, usage(fmt.Errorf("a token%s is needed: --token-file FILE, or --config with console.tokens", need))
	}
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return nil, usage(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, usage(err)
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, usage(fmt.Errorf("%s holds no certificate", ca))
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	// A redirect would carry the token to where nobody meant it to go.
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &deskClient{base: strings.TrimRight(base, "/"), token: strings.TrimRight(string(token), "\r\n"), http: client}, nil
}

// addressOf is where a gateway of this configuration is reached from its own
// machine.
func addressOf(c adapter.Config) string {
	if c.URL != "" {
		return c.URL
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http"
	if c.TLS.Certificate != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// open asks and gives the answer's body, to be closed; body nil is a GET. What
// is no 200 becomes an error with its exit code.
func (d *deskClient) open(ctx context.Context, path string, body any) (io.ReadCloser, http.Header, error) {
	method, in := http.MethodGet, io.Reader(nil)
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, nil, err
		}
		method, in = http.MethodPost, strings.NewReader(string(b))
	}
	req, err := http.NewRequestWithContext(ctx, method, d.base+path, in)
	if err != nil {
		return nil, nil, usage(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return nil, nil, unavailable(fmt.Errorf("%w\nIs the gateway running, and is its address %s?", err, d.base))
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, resp.Header, nil
	}
	defer resp.Body.Close()
	return nil, nil, refusedBy(resp)
}

// refusedBy turns an answer of the API that is no 200 into an error.
func refusedBy(resp *http.Response) error {
	said, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var p console.Problem
	if err != nil || json.Unmarshal(said, &p) != nil || p.Status == 0 {
		p = console.Problem{Status: resp.StatusCode, Title: http.StatusText(resp.StatusCode), Detail: "This is not the answer of a gateway's desk; look at --url, and whether console.tokens is set there."}
	}
	// What to do stands in the detail; the title is HTTP's own word for the number.
	failure := errors.New(console.Visible(cmp.Or(strings.TrimSpace(p.Detail), fmt.Sprintf("the desk answers HTTP %d", p.Status))))
	switch {
	case resp.StatusCode == http.StatusBadRequest:
		return usage(failure)
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return unavailable(failure)
	}
	return no(failure)
}

// get asks for JSON.
func (d *deskClient) get(ctx context.Context, path string, body, into any) error {
	r, _, err := d.open(ctx, path, body)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := json.NewDecoder(r).Decode(into); err != nil {
		return unavailable(fmt.Errorf("the answer of %s cannot be read: %w", d.base, err))
	}
	return nil
}
