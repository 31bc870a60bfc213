package remote

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/tlog"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
)

// sizeType is the content type of a 409 that tells the witness's size.
const sizeType = "text/x.tlog.size"

// maxProof is the longest consistency proof of the protocol, in hashes.
const maxProof = 63

// Witness serves a Cosigner: POST /add-checkpoint.
type Witness struct {
	Cosigner *audit.Cosigner
	Slog     *slog.Logger
}

// ServeHTTP implements http.Handler.
func (s *Witness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/add-checkpoint" {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		http.Error(w, "only POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, journal.MaxCheckpoint+8<<10))
	if err != nil {
		http.Error(w, "the request cannot be read", http.StatusBadRequest)
		return
	}
	old, proof, signed, err := parseAdd(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	line, err := s.Cosigner.Cosign(r.Context(), old, proof, signed)
	conflict := (*audit.ConflictError)(nil)
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write(line)
	case errors.As(err, &conflict):
		w.Header().Set("Content-Type", sizeType)
		w.WriteHeader(http.StatusConflict)
		fmt.Fprintf(w, "%d\n", conflict.Size)
	case errors.Is(err, audit.ErrUnknownLog):
		http.Error(w, err.Error(), http.StatusNotFound)
	case errors.Is(err, audit.ErrBadSigned):
		http.Error(w, err.Error(), http.StatusForbidden)
	case errors.Is(err, audit.ErrBadRequest):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case errors.Is(err, audit.ErrInconsistent):
		s.Slog.Error("witness: a log is not consistent with what was seen: keep this request as proof", "error", err, "request", string(body))
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	default:
		s.Slog.Error("witness", "error", err)
		http.Error(w, "the witness cannot sign now", http.StatusInternalServerError)
	}
}

// parseAdd reads the body of an add-checkpoint request.
func parseAdd(body []byte) (old int64, proof []journal.Hash, signed []byte, err error) {
	head, signed, ok := bytes.Cut(body, []byte("\n\n"))
	first, rest, _ := strings.Cut(string(head), "\n")
	number, isOld := strings.CutPrefix(first, "old ")
	old, perr := strconv.ParseInt(number, 10, 64)
	if !ok || !isOld || perr != nil || strconv.FormatInt(old, 10) != number {
		return 0, nil, nil, errors.New("want a line 'old <size>', proof lines, an empty line and a checkpoint")
	}
	lines := bufio.NewScanner(strings.NewReader(rest))
	for lines.Scan() {
		h, err := base64.StdEncoding.Strict().DecodeString(lines.Text())
		if err != nil || len(h) != tlog.HashSize || len(proof) == maxProof {
			return 0, nil, nil, errors.New("want at most 63 proof lines of 32 bytes in base64")
		}
		proof = append(proof, journal.Hash(h))
	}
	return old, proof, signed, lines.Err()
}

func formatAdd(old int64, proof []journal.Hash, signed []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", old)
	for _, h := range proof {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	b.WriteByte('\n')
	b.Write(signed)
	return b.Bytes()
}

// Collector asks the witnesses of a policy to cosign the log's checkpoints. One
// that the policy accepts goes to Save; when none has for Alarm, Err says so, and
// when none has for Limit, Writable does.
//
// Set the fields before Run and leave them.
type Collector struct {
	Policy *journal.Policy
	Log    Log                                              // whose Checkpoint is the latest that the log has signed
	Save   func(context.Context, *journal.Checkpoint) error // keeps a checkpoint with its cosignatures, for publishing
	HTTP   *http.Client                                     // nil means a plain one; each request is bounded by Every
	Now    func() time.Time
	Slog   *slog.Logger
	Every  time.Duration // 0 means 10 s
	Alarm  time.Duration // 0 means 60 s
	Limit  time.Duration // 0 means 15 min

	mu     sync.Mutex
	begun  time.Time
	quorum time.Time            // of the last checkpoint that the policy accepted
	sizes  map[string]int64     // by witness, what it said it has seen
	errs   map[string]error     // by witness
	heard  map[string]time.Time // by witness, when it last signed
}

// Measure publishes for how long each witness, and a quorum of them, has not signed.
func (c *Collector) Measure(r prometheus.Registerer) {
	since := func(of func() time.Time) func() float64 {
		return func() float64 {
			c.mu.Lock()
			defer c.mu.Unlock()
			last := of()
			if last.IsZero() {
				last = c.begun
			}
			if last.IsZero() {
				return 0 // nobody was asked yet
			}
			return c.Now().Sub(last).Seconds()
		}
	}
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "mezhved", Name: "witness_quorum_seconds", Help: "How long ago a quorum of witnesses has signed the log last; after a quarter of an hour nothing is accepted."},
		since(func() time.Time { return c.quorum })))
	for _, w := range c.Policy.Witnesses() {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "mezhved", Name: "witness_silent_seconds", Help: "How long ago a witness has signed the log last.",
			ConstLabels: prometheus.Labels{"witness": w.Name}}, since(func() time.Time { return c.heard[w.Name] })))
	}
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Run collects until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	c.begin()
	ticks := time.NewTicker(orElse(c.Every, 10*time.Second))
	defer ticks.Stop()
	for {
		if err := c.Collect(ctx); err != nil && ctx.Err() == nil {
			c.Slog.Warn("journal: cosignatures", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

func (c *Collector) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun.IsZero() {
		c.begun = c.Now()
	}
	if c.sizes == nil {
		c.sizes, c.errs, c.heard = map[string]int64{}, map[string]error{}, map[string]time.Time{}
	}
}

// Err tells of an alarm: what the operator must look at, or nil.
func (c *Collector) Err() error { return c.missing(orElse(c.Alarm, time.Minute)) }

// Writable tells that the quorum has been missing for so long that nothing may be
// accepted, or nil.
func (c *Collector) Writable() error { return c.missing(orElse(c.Limit, 15*time.Minute)) }

func (c *Collector) missing(limit time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	since := c.quorum
	if since.IsZero() {
		since = c.begun
	}
	if since.IsZero() || c.Now().Sub(since) <= limit {
		return nil
	}
	var all []error
	for _, w := range c.Policy.Witnesses() {
		if err := c.errs[w.Name]; err != nil {
			all = append(all, fmt.Errorf("witness %s: %w", w.Name, err))
		}
	}
	return fmt.Errorf("no checkpoint was cosigned by a quorum of witnesses since %s: %w", since.UTC().Format(time.RFC3339), errors.Join(all...))
}

// Collect asks every witness once about the latest checkpoint.
func (c *Collector) Collect(ctx context.Context) error {
	c.begin()
	latest, err := c.Log.Checkpoint(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, orElse(c.Every, 10*time.Second))
	defer cancel()
	witnesses := c.Policy.Witnesses()
	lines, errs := make([][]byte, len(witnesses)), make([]error, len(witnesses))
	var all sync.WaitGroup
	for i, w := range witnesses {
		all.Go(func() {
			if w.URL == "" {
				errs[i] = errors.New("the policy has no address for it")
				return
			}
			lines[i], errs[i] = c.ask(ctx, w, latest)
		})
	}
	all.Wait()
	signed := latest.Note
	c.mu.Lock()
	for i, w := range witnesses {
		if c.errs[w.Name] = errs[i]; errs[i] == nil {
			c.heard[w.Name] = c.Now()
		}
	}
	c.mu.Unlock()
	for i, line := range lines {
		if errs[i] != nil {
			continue
		}
		if signed, err = journal.MergeCosignatures(signed, line); err != nil {
			return err
		}
	}
	done, err := c.Policy.Open(signed)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	if err := c.Save(ctx, done); err != nil {
		return fmt.Errorf("save cosigned checkpoint %d: %w", done.Tree.N, err)
	}
	c.mu.Lock()
	c.quorum = c.Now()
	c.mu.Unlock()
	return nil
}

// ask gets one witness's signature. A witness that has seen another size says
// so, and is asked again from there, twice at most.
func (c *Collector) ask(ctx context.Context, w journal.Witness, latest *journal.Checkpoint) ([]byte, error) {
	c.mu.Lock()
	old := c.sizes[w.Name]
	c.mu.Unlock()
	for try := 0; ; try++ {
		if old > latest.Tree.N {
			return nil, fmt.Errorf("it has seen %d entries, the log has %d: the log has gone back, or a newer checkpoint is on its way", old, latest.Tree.N)
		}
		proof, err := journal.NewProver(ctx, latest.Tree, c.Log).Consistency(old)
		if err != nil {
			return nil, err
		}
		line, seen, err := c.post(ctx, w, formatAdd(old, proof, latest.Note))
		if err == nil {
			seen = latest.Tree.N
		}
		if seen >= 0 {
			c.mu.Lock()
			c.sizes[w.Name] = seen
			c.mu.Unlock()
		}
		if err != nil && seen >= 0 && seen != old && try < 2 {
			old = seen
			continue
		}
		return line, err
	}
}

// post makes the request; seen is the size that a 409 tells, or -1.
func (c *Collector) post(ctx context.Context, w journal.Witness, body []byte) (line []byte, seen int64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL+"/add-checkpoint", bytes.NewReader(body))
	if err != nil {
		return nil, -1, err
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, -1, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 16<<10))
	if err != nil {
		return nil, -1, err
	}
	if resp.StatusCode == http.StatusConflict && resp.Header.Get("Content-Type") == sizeType {
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n >= 0 {
			return nil, n, &StatusError{w.URL, resp.StatusCode, string(text)}
		}
	}
	if resp.StatusCode != http.StatusOK {
		return nil, -1, &StatusError{w.URL, resp.StatusCode, strings.TrimSpace(string(text[:min(len(text), 200)]))}
	}
	// Only this witness's own, valid line may enter our checkpoint: a line of
	// another key could spoil the whole note.
	line, err = ownLine(w, body, text)
	return line, -1, err
}

// ownLine finds the line of an answer that is w's and verifies it.
func ownLine(w journal.Witness, request, answer []byte) ([]byte, error) {
	_, signed, _ := bytes.Cut(request, []byte("\n\n"))
	text, _, _ := bytes.Cut(signed, []byte("\n\n"))
	for line := range bytes.Lines(answer) {
		rest, ok := strings.CutPrefix(string(line), "— "+w.Key.Name()+" ")
		raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSuffix(rest, "\n"))
		if !ok || err != nil || len(raw) < 4 || !strings.HasSuffix(rest, "\n") {
			continue
		}
		id := uint32(raw[0])<<24 | uint32(raw[1])<<16 | uint32(raw[2])<<8 | uint32(raw[3])
		if id == w.Key.KeyHash() && w.Key.Verify(append(text, '\n'), raw[4:]) {
			return line, nil
		}
	}
	return nil, errors.New("its answer has no valid cosignature of its key")
}
