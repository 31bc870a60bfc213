package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// httpClient is a client of the gateway at base for so many callers at once, whose
// calls cost the generator little, so that what is measured is the gateway: net/http's
// transport wakes three goroutines for each call, a fifth of the generator's time.
func httpClient(base string, most int) *http.Client {
	if strings.HasPrefix(base, "https:") {
		return &http.Client{Timeout: laneCall, Transport: &http.Transport{MaxIdleConns: most, MaxIdleConnsPerHost: most}}
	}
	return &http.Client{Transport: &lanes{idle: map[string][]*lane{}}}
}

// lightCollector lets the generator's heap, some 10 MB, grow before it is collected,
// which was a sixth of its time. Where GOGC is set, that stands.
func lightCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(1600)
	}
}

// lanes are connections in plain HTTP/1.1. Each call has one for itself, and is written
// and read by its caller's own goroutine.
type lanes struct {
	mu   sync.Mutex
	idle map[string][]*lane // by host; the last one has rested least
}

// lane is one connection.
type lane struct {
	net.Conn
	host string
	in   *bufio.Reader
	out  *bufio.Writer
	used time.Time // when it was free again
}

const (
	laneRest = 5 * time.Second // a server closes connections that rest for longer than it likes
	laneCall = time.Minute     // for one call
)

// RoundTrip is http.RoundTripper's. It repeats nothing: a call that fails is counted.
func (p *lanes) RoundTrip(req *http.Request) (*http.Response, error) {
	l, err := p.take(req.Context(), req.URL.Host)
	if err != nil {
		return nil, err
	}
	err = l.SetDeadline(time.Now().Add(laneCall))
	stop := context.AfterFunc(req.Context(), func() { _ = l.SetDeadline(time.Unix(1, 0)) })
	if err == nil {
		err = req.Write(l.out)
	}
	if err == nil {
		err = l.out.Flush()
	}
	var resp *http.Response
	if err == nil {
		resp, err = http.ReadResponse(l.in, req)
	}
	if err != nil {
		stop()
		_ = l.Close()
		if cause := req.Context().Err(); cause != nil {
			err = cause
		}
		return nil, err
	}
	resp.Body = &laneBody{ReadCloser: resp.Body, lanes: p, lane: l, stop: stop, keep: !resp.Close}
	return resp, nil
}

// take gives a connection that has not rested for long, or a new one.
func (p *lanes) take(ctx context.Context, host string) (*lane, error) {
	p.mu.Lock()
	var l *lane
	if n := len(p.idle[host]); n > 0 {
		l, p.idle[host] = p.idle[host][n-1], p.idle[host][:n-1]
	}
	p.mu.Unlock()
	if l != nil {
		if time.Since(l.used) < laneRest {
			return l, nil
		}
		_ = l.Close()
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	return &lane{Conn: conn, host: host, in: bufio.NewReaderSize(conn, 16<<10), out: bufio.NewWriterSize(conn, 16<<10)}, nil
}

// laneBody is the body of an answer. Read to its end, it gives the connection back.
type laneBody struct {
	io.ReadCloser
	lanes *lanes
	lane  *lane
	stop  func() bool
	keep  bool
	ended bool
}

func (b *laneBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err == io.EOF
	return n, err
}

func (b *laneBody) Close() error {
	if b.lane == nil {
		return nil
	}
	l := b.lane
	b.lane = nil
	// A call whose context ends just now leaves a deadline on the connection.
	if b.stop() && b.keep && b.ended {
		l.used = time.Now()
		b.lanes.mu.Lock()
		defer b.lanes.mu.Unlock()
		b.lanes.idle[l.host] = append(b.lanes.idle[l.host], l)
		return nil
	}
	return l.Close()
}
