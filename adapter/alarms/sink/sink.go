// Package sink is a mail server that keeps what comes, one file a mail, and sends
// nothing on: the mailbox of a demonstration and of tests. It takes mail from this
// machine alone and knows as much of SMTP (RFC 5321) as that needs.
package sink

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Sink is a mail server. Set Before, Take and TLS before it serves.
type Sink struct {
	Dir string // where mails are kept; empty: only Mails has them
	// Before, if given, is asked when a mail has come whole, before it is kept and
	// answered; false ends the connection without an answer.
	Before func(mail []byte) bool
	TLS    *tls.Config // offered as STARTTLS; nil: it is not

	listener net.Listener
	serving  sync.WaitGroup
	mu       sync.Mutex
	mails    [][]byte
}

// Listen begins to take mail at an address of this machine.
func (s *Sink) Listen(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	if ip := l.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		l.Close()
		return fmt.Errorf("%s is reached from other machines: a sink is for this one", address)
	}
	if s.Dir != "" {
		if err := os.MkdirAll(s.Dir, 0o755); err != nil {
			l.Close()
			return err
		}
	}
	s.listener = l
	s.serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.serving.Go(func() { s.serve(c) })
		}
	})
	return nil
}

// Addr is where it listens.
func (s *Sink) Addr() string { return s.listener.Addr().String() }

// Close ends it; open calls end within a minute.
func (s *Sink) Close() error {
	err := s.listener.Close()
	s.serving.Wait()
	return err
}

// Mails are those that were taken, in their order.
func (s *Sink) Mails() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]byte(nil), s.mails...)
}

const mostMail = 8 << 20

func (s *Sink) serve(c net.Conn) {
	defer func() { c.Close() }()
	c.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReader(c)
	say := func(line string) { fmt.Fprintf(c, "%s\r\n", line) }
	say("220 sink ESMTP")
	for {
		line, err := in.ReadString('\n')
		if err != nil || len(line) > 4096 {
			return
		}
		switch verb := strings.ToUpper(strings.TrimSpace(line)); {
		case strings.HasPrefix(verb, "EHLO"):
			if _, secure := c.(*tls.Conn); s.TLS != nil && !secure {
				say("250-sink")
				say("250 STARTTLS")
				continue
			}
			say("250-sink")
			say("250 8BITMIME")
		case strings.HasPrefix(verb, "HELO"), strings.HasPrefix(verb, "MAIL FROM:"), strings.HasPrefix(verb, "RCPT TO:"), verb == "RSET", verb == "NOOP":
			say("250 ok")
		case verb == "STARTTLS" && s.TLS != nil:
			say("220 go on")
			c = tls.Server(c, s.TLS)
			in = bufio.NewReader(c)
		case verb == "DATA":
			say("354 go on, end with a full stop")
			mail, err := data(in)
			if err != nil || s.Before != nil && !s.Before(mail) {
				return
			}
			if err := s.keep(mail); err != nil {
				say("451 it cannot be kept")
				continue
			}
			say("250 kept")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("502 not here")
		}
	}
}

// data reads a mail up to the line with a full stop.
func data(in *bufio.Reader) ([]byte, error) {
	var b bytes.Buffer
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if line == ".\r\n" || line == ".\n" {
			return b.Bytes(), nil
		}
		b.WriteString(strings.TrimPrefix(line, "."))
		if b.Len() > mostMail {
			return nil, fmt.Errorf("a mail of more than %d bytes", mostMail)
		}
	}
}

func (s *Sink) keep(mail []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Dir != "" {
		name := fmt.Sprintf("%s-%04d.eml", time.Now().UTC().Format("20060102T150405"), len(s.mails)+1)
		if err := os.WriteFile(filepath.Join(s.Dir, name), mail, 0o644); err != nil {
			return err
		}
	}
	s.mails = append(s.mails, mail)
	return nil
}
