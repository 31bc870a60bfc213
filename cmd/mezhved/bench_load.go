package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"mezhved/adapter/party"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// loadFlags say what is driven and how hard.
type loadFlags struct {
	URL      string        `placeholder:"URL" help:"Base address of a running gateway of the demo's kind (scheme://host:port); default: a private one."`
	Dir      string        `placeholder:"DIR" help:"Folder of the private gateway, or of the demo whose keys are used with --url; default: a temporary one."`
	Senders  int           `default:"64" help:"Senders at work at once."`
	Duration time.Duration `default:"10s" help:"How long."`
	Key      string        `default:"ecdsa-p256" help:"Type of the senders' keys: ecdsa-p256 or rsa-2048."`
	Profile  string        `placeholder:"FILE" help:"Write a CPU profile of the measured time (go tool pprof reads it)."`
	JSON     bool          `name:"json" help:"Print JSON."`
}

// profile starts the CPU profile that was asked for.
func (f *loadFlags) profile() (stop func(), err error) {
	if f.Profile == "" {
		return func() {}, nil
	}
	file, err := os.Create(f.Profile)
	if err != nil {
		return nil, usage(err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		file.Close()
	}, nil
}

// bed is the gateway under load, with the parties that drive it.
type bed struct {
	base   string
	play   *play
	node   *node // nil: a gateway of somebody else
	finish func() error
}

// open starts a private gateway, or finds the keys for a running one.
func (f *loadFlags) open(ctx context.Context) (b *bed, err error) {
	if f.URL != "" {
		if f.Dir == "" {
			return nil, usage(errors.New("--url needs --dir: the demo folder with the parties' keys"))
		}
		p, err := newPlay(ctx, io.Discard, f.Dir, f.URL)
		if err != nil {
			return nil, usage(err)
		}
		return &bed{base: f.URL, play: p, finish: func() error { return nil }}, nil
	}
	dir, remove := f.Dir, func() error { return nil }
	if dir == "" {
		if dir, err = os.MkdirTemp("", "mezhved-bench-"); err != nil {
			return nil, err
		}
		if err := os.Chmod(dir, 0o755); err != nil { // the private PostgreSQL has an account of its own
			return nil, err
		}
		remove = func() error { return os.RemoveAll(dir) }
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(unavailable(err), remove())
	}
	config, err := prepareDemo(dir, l.Addr().String())
	if err != nil {
		return nil, errors.Join(err, l.Close(), remove())
	}
	config.Limits.PerSecond, config.Limits.Burst = 1e6, 1e6
	n, err := openNode(ctx, config, quietLog())
	if err != nil {
		return nil, errors.Join(err, l.Close(), remove())
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- n.serve(serving, l) }()
	b = &bed{base: "http://" + l.Addr().String(), node: n}
	b.finish = func() error {
		stop()
		return errors.Join(<-served, n.close(), remove())
	}
	if err = awaitReady(ctx, b.base, 30*time.Second); err == nil {
		b.play, err = newPlay(ctx, io.Discard, dir, b.base)
	}
	if err != nil {
		return nil, errors.Join(err, b.finish())
	}
	return b, nil
}

// httpClient keeps as many connections as there are senders.
func httpClient(senders int) *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConns: senders + 8, MaxIdleConnsPerHost: senders + 8}}
}

// latencies are the times of one kind of call, in microseconds.
type latencies struct {
	mu sync.Mutex
	h  *hdrhistogram.Histogram
}

func newLatencies() *latencies { return &latencies{h: hdrhistogram.New(1, 60_000_000, 3)} }

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.h.RecordValue(max(d.Microseconds(), 1)) // beyond a minute the call has failed anyway
}

func (l *latencies) ms(q float64) float64 { return float64(l.h.ValueAtQuantile(q)) / 1000 }

type benchAcceptCmd struct{ loadFlags }

func (benchAcceptCmd) Help() string {
	return `Senders post signed requests of about 4 KB, each when its last was answered. The requests are signed before the
clock starts; everything else, the generator included, shares the machine. Afterwards every accepted message
must be in the provider's queue, once. Exit code 1 says that something was lost.

Examples:
  mezhved bench accept
  mezhved bench accept --senders 128 --duration 30s --json`
}

// acceptResult is what bench accept prints.
type acceptResult struct {
	Accepted  int     `json:"accepted"`
	PerSecond float64 `json:"acceptedPerSecond"`
	P50       float64 `json:"p50Ms"`
	P99       float64 `json:"p99Ms"`
	Refused   int     `json:"refused"`
	Failed    int     `json:"failed"`
	Lost      int     `json:"lost"`
	Doubled   int     `json:"doubled"`
	Senders   int     `json:"senders"`
	Bytes     int     `json:"messageBytes"`
	Cores     int     `json:"cores"`
	Queued    float64 `json:"queuedAfterSeconds"` // from the last accept until the last message stood in its queue
}

func (c *benchAcceptCmd) Run(ctx context.Context, out *stdio) (err error) {
	b, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.finish()) }()
	signer, err := b.signer(ctx, c.Key, "MFC01")
	if err != nil {
		return err
	}
	kind, requests, err := signRequests(ctx, signer, int(c.Duration.Seconds()*6000)+c.Senders)
	if err != nil {
		return err
	}
	r := acceptResult{Senders: c.Senders, Bytes: len(requests[0].body), Cores: runtime.NumCPU()}
	times := newLatencies()
	client := httpClient(c.Senders)
	var next, refused, broken atomic.Int64
	accepted := make([][]string, c.Senders)
	stopProfile, err := c.profile()
	if err != nil {
		return err
	}
	start := time.Now()
	end := start.Add(c.Duration)
	var senders sync.WaitGroup
	for s := range c.Senders {
		senders.Go(func() {
			for time.Now().Before(end) && ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(requests) {
					return
				}
				sent := time.Now()
				status, answer, err := post(ctx, client, b.base+"/smev/v1.2/ws", kind, requests[i].body)
				switch {
				case err != nil:
					broken.Add(1)
				case status != http.StatusOK || !bytes.Contains(answer, []byte(requests[i].id)):
					refused.Add(1)
				default:
					times.add(time.Since(sent))
					accepted[s] = append(accepted[s], requests[i].id)
				}
			}
		})
	}
	senders.Wait()
	took := time.Since(start)
	stopProfile()
	want := map[string]int{}
	for _, ids := range accepted {
		for _, id := range ids {
			want[id] = 0
		}
	}
	r.Accepted, r.Refused, r.Failed = len(want), int(refused.Load()), int(broken.Load())
	r.PerSecond, r.P50, r.P99 = float64(r.Accepted)/took.Seconds(), times.ms(50), times.ms(99)

	drained := time.Now()
	if err := b.drain(ctx, "SFR01", want, client); err != nil {
		return err
	}
	r.Queued = time.Since(drained).Seconds()
	for _, n := range want {
		if n == 0 {
			r.Lost++
		} else if n > 1 {
			r.Doubled++
		}
	}
	if c.JSON {
		err = printJSON(out.out, r)
	} else {
		fmt.Fprintf(out.out, "%.0f accepted/s (%d in %s, %d senders, %d bytes, %d cores, generator included)\np50 %.1f ms, p99 %.1f ms; refused %d, failed %d\nafterwards taken from the queue and acknowledged: %d, lost %d, twice %d\n",
			r.PerSecond, r.Accepted, took.Round(time.Millisecond), r.Senders, r.Bytes, r.Cores, r.P50, r.P99, r.Refused, r.Failed, r.Accepted-r.Lost, r.Lost, r.Doubled)
	}
	if r.Lost+r.Doubled+r.Failed > 0 {
		return no(errors.Join(err, fmt.Errorf("%d lost, %d delivered twice, %d calls failed", r.Lost, r.Doubled, r.Failed)))
	}
	return err
}

// signer is the party's own key, or a fresh one of another type that is
// registered beside it.
func (b *bed) signer(ctx context.Context, kind, mnemonic string) (signing.Signer, error) {
	if kind == string(signing.KeyECDSA256) {
		return b.play.signers[mnemonic], nil
	}
	if b.node == nil {
		return nil, usage(errors.New("--key needs the private gateway, where a new key can be registered"))
	}
	parties := b.node.config.Parties
	folder := filepath.Join(parties, mnemonic+"-"+kind)
	quiet := &stdio{in: bytes.NewReader(nil), out: io.Discard, err: io.Discard}
	if missing(filepath.Join(folder, "key.pem")) {
		if err := (&keysNewCmd{Name: mnemonic, Type: kind, Days: 30, Out: folder}).Run(quiet); err != nil {
			return nil, err
		}
		text := fmt.Sprintf("name: %s\ncertificates: [%s/cert.pem, %s/cert.pem]\n", mnemonic, mnemonic, filepath.Base(folder))
		if err := os.WriteFile(filepath.Join(parties, mnemonic+".yaml"), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if bad := b.node.gateway.Reload(ctx).Errors(); len(bad) > 0 {
		return nil, bad
	}
	return signing.LoadSigner(ctx, keySource(filepath.Join(folder, "key.pem"), filepath.Join(folder, "cert.pem"), ""))
}

type signedRequest struct {
	id   string
	body []byte
}

// signRequests makes n signed requests on all cores.
func signRequests(ctx context.Context, signer signing.Signer, n int) (contentType string, out []signedRequest, err error) {
	content := sample("family-benefits", "1.0.0", "request")
	out = make([]signedRequest, n)
	errs := make([]error, runtime.NumCPU())
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			var tape xmltape.Tape
			if errs[w] = tape.Parse(content, xmltape.Limits{}); errs[w] != nil {
				return
			}
			for i := w; i < n && errs[w] == nil; i += len(errs) {
				call := envelopes.SendRequestCall{MessageID: party.NewMessageID(time.Now()), Content: tape.Root()}
				draft := call.Build(envelopes.V12, false)
				body, err := signing.SignInto(ctx, draft.XML, draft.SignID, draft.Slot, signer)
				out[i], errs[w] = signedRequest{call.MessageID, body}, err
			}
		})
	}
	wg.Wait()
	contentType, _ = envelopes.Package(nil, nil, false)
	return contentType, out, errors.Join(errs...)
}

func post(ctx context.Context, client *http.Client, url, contentType string, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// drain takes and acknowledges what waits for a provider and counts, by
// MessageID, how often each wanted message was handed out. It ends when all
// have come, or nothing has for a while.
func (b *bed) drain(ctx context.Context, provider string, want map[string]int, client *http.Client) error {
	const patience = 10 * time.Second
	var mu sync.Mutex
	left := len(want)
	last := time.Now()
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			c := b.play.client(provider, envelopes.V12)
			c.HTTP = client
			for {
				mu.Lock()
				done := left == 0 || time.Since(last) > patience
				mu.Unlock()
				if done || ctx.Err() != nil {
					return
				}
				m, err := c.PollRequest(ctx, party.Selector{})
				if err != nil {
					errs[w] = err
					return
				}
				if m == nil {
					time.Sleep(20 * time.Millisecond)
					continue
				}
				id := m.Metadata.MessageID
				mu.Lock()
				if n, ours := want[id]; ours {
					if n == 0 {
						left--
					}
					want[id]++
				}
				last = time.Now()
				mu.Unlock()
				if errs[w] = c.Ack(ctx, id, true); errs[w] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

type benchExchangeCmd struct {
	loadFlags
	Providers int `default:"16" help:"Providers at work at once."`
}

func (benchExchangeCmd) Help() string {
	return `Consumers send requests and providers take, acknowledge and answer them; the consumers take the answers and
acknowledge: six signed calls an exchange, every answer of the bus verified. Exit code 1 says that something was
lost or came twice.

Examples:
  mezhved bench exchange
  mezhved bench exchange --duration 30s --json`
}

// exchangeResult is what bench exchange prints.
type exchangeResult struct {
	Exchanges int     `json:"exchanges"`
	PerSecond float64 `json:"exchangesPerSecond"`
	P50       float64 `json:"p50Ms"` // from before the request until its answer was acknowledged
	P99       float64 `json:"p99Ms"`
	Lost      int     `json:"lost"`
	Doubled   int     `json:"doubled"`
	Failed    int     `json:"failed"`
	Senders   int     `json:"senders"`
	Providers int     `json:"providers"`
	Cores     int     `json:"cores"`
}

func (c *benchExchangeCmd) Run(ctx context.Context, out *stdio) (err error) {
	b, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.finish()) }()
	x := &exchangeLoad{bed: b, client: httpClient(c.Senders + c.Providers), times: newLatencies(), open: map[string]time.Time{}, answered: map[string]int{}}
	stopProfile, err := c.profile()
	if err != nil {
		return err
	}
	took := x.drive(ctx, c.Senders, c.Providers, c.Duration)
	stopProfile()
	r := exchangeResult{Exchanges: x.done, PerSecond: float64(x.inTime) / c.Duration.Seconds(), P50: x.times.ms(50), P99: x.times.ms(99), Lost: len(x.open),
		Failed: x.failed, Senders: c.Senders, Providers: c.Providers, Cores: runtime.NumCPU()}
	for _, n := range x.answered {
		if n > 1 {
			r.Doubled++
		}
	}
	if c.JSON {
		err = printJSON(out.out, r)
	} else {
		fmt.Fprintf(out.out, "%.0f exchanges/s (%d in %s, %d senders, %d providers, %d cores, generator included)\np50 %.1f ms, p99 %.1f ms; lost %d, twice %d, failed calls %d\n",
			r.PerSecond, r.Exchanges, took.Round(time.Millisecond), r.Senders, r.Providers, r.Cores, r.P50, r.P99, r.Lost, r.Doubled, r.Failed)
	}
	if r.Lost+r.Doubled > 0 {
		err = no(errors.Join(err, x.problem, fmt.Errorf("%d exchanges lost, %d answered twice", r.Lost, r.Doubled)))
	}
	return err
}

// exchangeLoad keeps the books of a run of exchanges.
type exchangeLoad struct {
	*bed
	client *http.Client
	times  *latencies

	mu       sync.Mutex
	open     map[string]time.Time // requests without their answer
	answered map[string]int       // answers by request
	done     int
	inTime   int // done before the clock ran out
	failed   int
	problem  error // the first failed call
}

func (x *exchangeLoad) party(mnemonic string) *party.Client {
	c := x.play.client(mnemonic, envelopes.V12)
	c.HTTP = x.client
	return c
}

// drive lets the senders send for the duration, one open exchange each, and
// then waits until the last answers are in.
func (x *exchangeLoad) drive(ctx context.Context, senders, providers int, duration time.Duration) time.Duration {
	work, stop := context.WithCancel(ctx)
	defer stop()
	request, response := sample("family-benefits", "1.0.0", "request"), sample("family-benefits", "1.0.0", "response")
	start := time.Now()
	end := start.Add(duration)
	tickets := make(chan struct{}, senders) // a sender sends again when an exchange has ended
	for range senders {
		tickets <- struct{}{}
	}
	var loops, sending sync.WaitGroup
	for range max(senders/4, 1) {
		sending.Go(func() {
			c := x.party("MFC01")
			for {
				select {
				case <-tickets:
				case <-time.After(time.Until(end)):
					return
				case <-work.Done():
					return
				}
				if time.Now().After(end) {
					return
				}
				id := party.NewMessageID(time.Now())
				x.mu.Lock()
				x.open[id] = time.Now()
				x.mu.Unlock()
				_, err := c.SendRequest(work, party.Request{MessageID: id, Content: request})
				x.note(err)
			}
		})
	}
	for range providers {
		loops.Go(func() {
			c := x.party("SFR01")
			x.poll(work, c.PollRequest, func(m *party.Message) {
				id := m.Metadata.MessageID
				_, err := c.Reply(work, party.Reply{To: m.ReplyTo, Content: response})
				x.note(err)
				x.note(c.Ack(work, id, true))
			})
		})
		loops.Go(func() {
			c := x.party("MFC01")
			x.poll(work, c.PollResponse, func(m *party.Message) {
				x.note(c.Ack(work, m.Metadata.MessageID, true))
				x.mu.Lock()
				x.answered[m.OriginalMessageID]++
				if sent, ok := x.open[m.OriginalMessageID]; ok {
					delete(x.open, m.OriginalMessageID)
					x.times.add(time.Since(sent))
					x.done++
					if time.Now().Before(end) {
						x.inTime++
					}
					tickets <- struct{}{}
				}
				x.mu.Unlock()
			})
		})
	}
	sending.Wait()
	for settle := time.Now().Add(20 * time.Second); time.Now().Before(settle) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		x.mu.Lock()
		left := len(x.open)
		x.mu.Unlock()
		if left == 0 {
			break
		}
	}
	took := time.Since(start)
	stop()
	loops.Wait()
	return took
}

func (x *exchangeLoad) poll(ctx context.Context, poll func(context.Context, party.Selector) (*party.Message, error), got func(*party.Message)) {
	for ctx.Err() == nil {
		m, err := poll(ctx, party.Selector{Wait: 5 * time.Second})
		x.note(err)
		if m != nil {
			got(m)
		}
	}
}

func (x *exchangeLoad) note(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.failed++
	if x.problem == nil {
		x.problem = err
	}
}
