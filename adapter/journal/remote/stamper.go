package remote

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mezhved/adapter/journal"
	"mezhved/signing"
)

// Stamper has an authority put its time (RFC 3161) to the log's checkpoints: one token
// now and then covers all entries until then, whatever the load.
//
// That the authority does not answer stops nothing: the next token covers what this one
// would have. A crash loses at most a token that was not kept yet.
type Stamper struct {
	URL      string
	Verifier *signing.Verifier // whose tokens are kept
	Log      Log               // as it is published
	Leads    func() bool       // one node asks: the one that signs; nil: this one does
	// Save keeps a token over a checkpoint, whose time is at; durable on return.
	Save  func(ctx context.Context, c *journal.Checkpoint, token []byte, at time.Time) error
	Every time.Duration // 0 means a minute
	HTTP  *http.Client  // nil means a plain one
	Now   func() time.Time
	Slog  *slog.Logger

	last    int64        // size that was stamped last
	failing atomic.Int64 // since when there is none, in Unix nanoseconds; 0: there are
}

// Measure publishes for how long checkpoints have been without time stamps.
func (s *Stamper) Measure(r prometheus.Registerer) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "mezhved", Name: "timestamp_missing_seconds", Help: "For how long the authority has given no time stamp that was asked for (journal.timestamp); 0: it does."},
		func() float64 {
			since := s.failing.Load()
			if since == 0 {
				return 0
			}
			return s.Now().Sub(time.Unix(0, since)).Seconds()
		}))
}

// Run asks until ctx ends.
func (s *Stamper) Run(ctx context.Context) error {
	for {
		if err := s.Stamp(ctx); err != nil && ctx.Err() == nil && s.failing.CompareAndSwap(0, s.Now().UnixNano()) {
			s.Slog.Warn("journal: no time stamp for the checkpoint; asked again meanwhile", "authority", s.URL, "error", err)
		} else if err == nil && s.failing.Swap(0) != 0 {
			s.Slog.Info("journal: checkpoints have time stamps again", "authority", s.URL)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(cmp.Or(s.Every, time.Minute)):
		}
	}
}

// Stamp asks for a token over the latest checkpoint, if it has grown since the last.
func (s *Stamper) Stamp(ctx context.Context) error {
	if s.Leads != nil && !s.Leads() {
		return nil
	}
	c, err := s.Log.Checkpoint(ctx)
	if errors.Is(err, fs.ErrNotExist) || err == nil && c.Tree.N == s.last {
		return nil
	}
	if err != nil {
		return err
	}
	body, err := journal.CheckpointBody(c.Note)
	if err != nil {
		return err
	}
	token, stamp, err := s.Ask(ctx, body)
	if err != nil {
		return err
	}
	if off := stamp.Time().Sub(s.Now()); off.Abs() > time.Minute {
		s.Slog.Warn("journal: the authority's time is not ours; one of the clocks is wrong", "authority", s.URL, "ahead", off.Round(time.Second))
	}
	if err := s.Save(ctx, c, token, stamp.Time()); err != nil {
		return fmt.Errorf("keep the time stamp: %w", err)
	}
	s.last = c.Tree.N
	return nil
}

// Ask has the authority put its time to octets, and proves what it answers.
func (s *Stamper) Ask(ctx context.Context, octets []byte) (token []byte, stamp *signing.Timestamp, err error) {
	if token, err = s.ask(ctx, sha256.Sum256(octets)); err != nil {
		return nil, nil, err
	}
	if stamp, err = s.Verifier.VerifyTimestamp(token, signing.Octets{Bytes: octets}); err != nil {
		return nil, nil, fmt.Errorf("the authority's token: %w", err)
	}
	return token, stamp, nil
}

func (s *Stamper) ask(ctx context.Context, sum [32]byte) ([]byte, error) {
	query, nonce, err := signing.TimestampRequest(sum)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(query))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/timestamp-query")
	req.Header.Set("Accept", "application/timestamp-reply")
	client := s.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the authority answers %s", resp.Status)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, signing.MaxTimestamp+1))
	if err != nil {
		return nil, err
	}
	return signing.TimestampToken(answer, nonce)
}
