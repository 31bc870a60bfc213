package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"mezhved/adapter/party"
)

// lane is the connection of one caller to one door, in HTTP/1.1 (RFC 9112). A call is one
// write, of a head that was made before and of its body, and its answer is read by the
// caller's own goroutine, so that a call costs the generator little more than what the
// system takes for it: what is measured is the gateway. It is for one goroutine.
type lane struct {
	url     string
	address string      // host and port
	tls     *tls.Config // nil: in the clear

	conn    net.Conn // nil: there is none
	in      *bufio.Reader
	used    bool      // an answer has come on it
	until   time.Time // its deadline
	ended   <-chan struct{}
	release func() bool // from the context that ended belongs to

	call []byte // the last call, as it was sent
	body []byte // of the last answer
	kind string // and its content type
}

const (
	laneCall  = time.Minute // for one call
	laneSlack = time.Second // that may be missing of it: a deadline is set anew no more often
	laneMost  = 64 << 20    // bytes of an answer, what a party takes at most
	laneHeads = 100         // lines of a head, and heads that announce an answer
)

// newLane is a lane to a door, not yet connected.
func newLane(door string) (*lane, error) {
	u, err := url.Parse(door)
	if err != nil {
		return nil, err
	}
	l := &lane{url: door, address: u.Host}
	port := "80"
	switch u.Scheme {
	case "https":
		port, l.tls = "443", &tls.Config{ServerName: u.Hostname()}
	case "http":
	default:
		return nil, fmt.Errorf("address %q: want http:// or https://", door)
	}
	if u.Port() == "" {
		l.address = net.JoinHostPort(u.Hostname(), port)
	}
	return l, nil
}

// head is the head of calls with these headers, a name and a value each, but for the
// length of their bodies.
func (l *lane) head(headers ...string) []byte {
	u, _ := url.Parse(l.url) // newLane has
	head := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: mezhved\r\n", u.RequestURI(), u.Host)
	for i := 0; i < len(headers); i += 2 {
		head = fmt.Appendf(head, "%s: %s\r\n", headers[i], headers[i+1])
	}
	return append(head, "Content-Length: "...)
}

// post makes a call. The answer's body is good until the next one. A server may close a
// connection that rests just when a call is sent on it: where nothing of an answer has
// come on a connection that has been used before, the call is made again on a new one.
// Nothing else is repeated. An error is a *url.Error, as net/http's client has it.
func (l *lane) post(ctx context.Context, head, body []byte) (a party.Answer, err error) {
	l.call = append(l.call[:0], head...)
	l.call = strconv.AppendInt(l.call, int64(len(body)), 10)
	l.call = append(append(l.call, "\r\n\r\n"...), body...)
	used, begun := l.used, false
	a, begun, err = l.try(ctx)
	if err != nil && used && !begun && closed(err) && ctx.Err() == nil {
		a, _, err = l.try(ctx)
	}
	if err == nil {
		return a, nil
	}
	if cause := ctx.Err(); cause != nil {
		err = cause
	}
	return a, &url.Error{Op: "Post", URL: l.url, Err: err}
}

// closed says that a connection was closed by the other side.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// try makes the call that stands ready, once. begun: something of its answer has come.
func (l *lane) try(ctx context.Context) (a party.Answer, begun bool, err error) {
	if err := l.ready(ctx); err != nil {
		return a, false, err
	}
	// A server that has heard enough may answer, and close, before it has read all: what it
	// has said is read then, and it is an error only when it has said nothing.
	_, unsent := l.conn.Write(l.call)
	a, begun, keep, err := l.answer()
	if unsent != nil && err != nil && !begun {
		err = unsent
	}
	if l.used = err == nil; err != nil || unsent != nil || !keep {
		l.close()
	}
	return a, begun, err
}

// ready connects, and has the end of ctx, and of the time for a call, end the call.
func (l *lane) ready(ctx context.Context) error {
	if l.conn != nil && l.ended != ctx.Done() && !l.release() {
		l.close() // its deadline is of the other context
	}
	if l.conn == nil {
		d := net.Dialer{Timeout: laneCall}
		conn, err := d.DialContext(ctx, "tcp", l.address)
		if err != nil {
			return err
		}
		if l.tls != nil {
			secure := tls.Client(conn, l.tls)
			if err := secure.HandshakeContext(ctx); err != nil {
				_ = conn.Close()
				return err
			}
			conn = secure
		} else if tcp, ok := conn.(*net.TCPConn); ok {
			if conn, err = newWire(tcp); err != nil {
				return err
			}
		}
		l.conn, l.used, l.until, l.release = conn, false, time.Time{}, nil
		if l.in == nil {
			l.in = bufio.NewReaderSize(conn, 16<<10)
		}
		l.in.Reset(conn)
	}
	if l.release == nil || l.ended != ctx.Done() {
		conn := l.conn
		l.ended, l.release = ctx.Done(), context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	}
	if now := time.Now(); l.until.Before(now.Add(laneCall - laneSlack)) {
		l.until = now.Add(laneCall)
		if err := l.conn.SetDeadline(l.until); err != nil {
			return err
		}
	}
	return ctx.Err() // if it has ended meanwhile, the deadline may be ours
}

// close ends the connection. The next call makes a new one.
func (l *lane) close() {
	if l.conn == nil {
		return
	}
	if l.release != nil {
		l.release()
	}
	_ = l.conn.Close()
	l.conn, l.used = nil, false
}

// answer reads an answer. begun: something of it has come; keep: the connection is good
// for another call.
func (l *lane) answer() (a party.Answer, begun, keep bool, err error) {
	for range laneHeads {
		var f framing
		if a.Status, f, begun, err = l.readHead(begun); err != nil {
			return a, begun, false, err
		}
		if a.Status < 200 && a.Status != 101 { // it announces an answer: 100, 103
			continue
		}
		if a.Status < 200 {
			return a, begun, false, fmt.Errorf("the address answers with HTTP status %d to a call that has asked for nothing of the kind", a.Status)
		}
		if a.Status == 204 || a.Status == 304 {
			f.length, f.chunked = 0, false
		}
		if err := l.readBody(f); err != nil {
			return a, begun, false, err
		}
		a.ContentType, a.Body = l.kind, l.body
		// One length has to be said, and what comes unasked behind an answer is no answer to
		// what is asked next.
		return a, begun, !f.last && f.chunked != (f.length >= 0) && l.in.Buffered() == 0, nil
	}
	return a, begun, false, fmt.Errorf("more than %d answers that announce another", laneHeads)
}

// framing is how far an answer goes.
type framing struct {
	length  int64 // -1: none is said; unless it is chunked it goes on until the connection ends
	chunked bool
	last    bool // the server closes the connection behind it
}

// readHead reads the head of an answer.
func (l *lane) readHead(had bool) (status int, f framing, begun bool, err error) {
	line, err := l.line()
	if begun = had || len(line) > 0; err != nil {
		return 0, f, begun, err
	}
	version, rest, _ := bytes.Cut(line, []byte(" "))
	code, _, _ := bytes.Cut(bytes.TrimLeft(rest, " "), []byte(" "))
	status, err = strconv.Atoi(string(code))
	if err != nil || len(code) != 3 || status < 100 || string(version) != "HTTP/1.1" && string(version) != "HTTP/1.0" {
		return 0, f, begun, malformed("response", line)
	}
	f = framing{length: -1, last: version[7] == '0'}
	kind := false
	for range laneHeads {
		if line, err = l.line(); err != nil {
			return 0, f, begun, err
		}
		if len(line) == 0 {
			if !kind {
				l.kind = ""
			}
			return status, f, begun, nil
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case !ok || len(name) == 0 || bytes.ContainsAny(name, " \t"):
			return 0, f, begun, malformed("header", line)
		case bytes.EqualFold(name, []byte("Content-Type")):
			if kind = true; l.kind != string(value) { // most are of one kind
				l.kind = string(value)
			}
		case bytes.EqualFold(name, []byte("Content-Length")):
			n, err := strconv.ParseUint(string(value), 10, 63)
			if err != nil || f.length >= 0 && f.length != int64(n) {
				return 0, f, begun, malformed("header", line)
			}
			f.length = int64(n)
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			if f.chunked || !bytes.EqualFold(value, []byte("chunked")) {
				return 0, f, begun, malformed("header", line)
			}
			f.chunked = true
		case bytes.EqualFold(name, []byte("Connection")):
			for one := range bytes.SplitSeq(value, []byte(",")) {
				switch one = bytes.TrimSpace(one); {
				case bytes.EqualFold(one, []byte("close")):
					f.last = true
				case bytes.EqualFold(one, []byte("keep-alive")) && version[7] == '0':
					f.last = false
				}
			}
		}
	}
	return 0, f, begun, fmt.Errorf("an answer with more than %d lines of head", laneHeads)
}

func malformed(what string, line []byte) error {
	return fmt.Errorf("malformed HTTP %s %q", what, line[:min(len(line), 100)])
}

// line reads a line without its end; with an error, what there is of one.
func (l *lane) line() ([]byte, error) {
	line, err := l.in.ReadSlice('\n')
	switch {
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	case err == bufio.ErrBufferFull:
		err = malformed("line", line)
	case err == nil:
		line = bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))
	}
	return line, err
}

// errLong refuses an answer that is too long.
var errLong = fmt.Errorf("the answer is longer than %d bytes", int64(laneMost))

// readBody reads the body of an answer.
func (l *lane) readBody(f framing) (err error) {
	switch {
	case f.chunked:
		if l.body, err = readAll(l.body[:0], httputil.NewChunkedReader(l.in)); err != nil {
			return err
		}
		for range laneHeads { // the trailer, of which nothing is used
			line, err := l.line()
			if err != nil || len(line) == 0 {
				return err
			}
		}
		return fmt.Errorf("an answer with more than %d lines behind it", laneHeads)
	case f.length > laneMost:
		return errLong
	case f.length >= 0:
		if int64(cap(l.body)) < f.length {
			l.body = make([]byte, f.length)
		}
		l.body = l.body[:f.length]
		if _, err = io.ReadFull(l.in, l.body); err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	l.body, err = readAll(l.body[:0], l.in)
	return err
}

// readAll reads to the end, behind what stands in out.
func readAll(out []byte, from io.Reader) ([]byte, error) {
	for {
		if len(out) == cap(out) {
			out = append(out, 0)[:len(out)]
		}
		n, err := from.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case err == io.EOF:
			return out, nil
		case err != nil:
			return out, err
		case len(out) > laneMost:
			return out, errLong
		}
	}
}
