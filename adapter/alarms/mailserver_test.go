package alarms

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/terms"
)

// unlucky is a mail server that talks until it does what is tried: the word after
// which it is silent for ever, or ends the connection.
func unlucky(t *testing.T, over *tls.Config, silentAt, endsAt string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	ctx := t.Context()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				stop := context.AfterFunc(ctx, func() { c.Close() })
				defer stop()
				if silentAt == "CONNECT" {
					<-ctx.Done()
					return
				}
				if over != nil {
					c = tls.Server(c, over)
				}
				in := bufio.NewReader(c)
				fmt.Fprint(c, "220 unlucky\r\n")
				data := false
				for {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					verb := strings.ToUpper(strings.TrimSpace(line))
					if data && verb != "." {
						continue
					}
					if verb = strings.Fields(verb + " x")[0]; verb == silentAt {
						<-ctx.Done()
						return
					} else if verb == endsAt {
						return
					}
					switch data = verb == "DATA"; {
					case data:
						fmt.Fprint(c, "354 go on\r\n")
					case verb == "QUIT":
						fmt.Fprint(c, "221 bye\r\n")
					default:
						fmt.Fprint(c, "250 ok\r\n")
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func mailerOf(t *testing.T, c adapter.MailConfig) *Mailer {
	t.Helper()
	c.From = "mezhved@body.example"
	m, err := NewMailer(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A mail server that takes the connection and then says nothing, at whatever point,
// holds nobody up for longer than the context of the mail.
func TestASilentMailServerIsLeft(t *testing.T) {
	certificate, pemFile := selfSigned(t)
	secure := &tls.Config{Certificates: []tls.Certificate{certificate}}
	for _, at := range []string{"CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."} {
		for _, over := range []*tls.Config{nil, secure} {
			config := adapter.MailConfig{Server: unlucky(t, over, at, ""), TLS: "none"}
			if over != nil {
				config.TLS, config.CAs = "tls", pemFile
			}
			m := mailerOf(t, config)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			done := make(chan error, 1)
			go func() { done <- m.Send(ctx, "duty@body.example", "s", "b", "id", time.Now()) }()
			select {
			case err := <-done:
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("silent at %s, %s: %v, want that the time is over", at, config.TLS, err)
				}
			case <-time.After(3 * time.Second):
				t.Errorf("silent at %s, %s: still waits", at, config.TLS)
			}
			cancel()
		}
	}
}

// What the server has taken was told, whatever becomes of the connection afterwards;
// what it has not taken was not.
func TestAMailIsToldWhenItIsTaken(t *testing.T) {
	for _, c := range []struct {
		endsAt string
		told   bool
	}{{"QUIT", true}, {"RSET", true}, {".", false}, {"DATA", false}} {
		m := mailerOf(t, adapter.MailConfig{Server: unlucky(t, nil, "", c.endsAt), TLS: "none"})
		if err := m.Send(t.Context(), "duty@body.example", "s", "b", "id", time.Now()); (err == nil) != c.told {
			t.Errorf("a server that ends the connection at %s: %v, told is to be %v", c.endsAt, err, c.told)
		}
	}
}

// A password is proved within TLS from the first byte on, too.
func TestAPasswordGoesWithinTLS(t *testing.T) {
	certificate, pemFile := selfSigned(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	auth := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		in := bufio.NewReader(c)
		fmt.Fprint(c, "220 here\r\n")
		for {
			line, err := in.ReadString('\n')
			switch verb, rest, _ := strings.Cut(strings.TrimSpace(line), " "); {
			case err != nil:
				return
			case verb == "EHLO":
				fmt.Fprint(c, "250-here\r\n250 AUTH LOGIN PLAIN\r\n")
			case verb == "AUTH":
				auth <- rest
				fmt.Fprint(c, "235 welcome\r\n")
			case verb == "DATA":
				fmt.Fprint(c, "354 go on\r\n")
				for line != ".\r\n" && err == nil {
					line, err = in.ReadString('\n')
				}
				fmt.Fprint(c, "250 taken\r\n")
			default:
				fmt.Fprint(c, "250 ok\r\n")
			}
		}
	}()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("open\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := mailerOf(t, adapter.MailConfig{Server: l.Addr().String(), TLS: "tls", CAs: pemFile, User: "gate", PasswordFile: file})
	if err := m.Send(t.Context(), "duty@body.example", "s", "b", "id", time.Now()); err != nil {
		t.Fatal(err)
	}
	if got, want := <-auth, "PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00gate\x00open")); got != want {
		t.Errorf("AUTH %s, want %s", got, want)
	}
}

// That a message is in its recipient's queue is the gateway's to do: nobody else is
// named for it.
func TestAMailBlamesNobodyForTheQueue(t *testing.T) {
	a := pending(1, WayMail, "x").Alarm
	a.Event.Stage = "queued"
	for language, want := range map[string]string{"ru": "должен: шлюз, получатель: FNS01", "en": "whose turn: the gateway, recipient: FNS01"} {
		if _, body, err := write(&Rules{Language: language, Zone: terms.Moscow}, "", []Alarm{a}); err != nil || !strings.Contains(body, want) {
			t.Errorf("%v, want %q:\n%s", err, want, body)
		}
	}
}

// A mail server that never comes to the end of an answer does not fill our memory.
func TestAMailServerThatTalksWithoutEnd(t *testing.T) {
	for _, line := range []string{"220-welcome\r\n", "220 welcome "} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		said := make(chan int, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				said <- 0
				return
			}
			defer conn.Close()
			words, n := []byte(strings.Repeat(line, 1000)), 0
			for n < 128<<20 {
				more, err := conn.Write(words)
				if n += more; err != nil {
					break
				}
			}
			said <- n
		}()
		m := mailerOf(t, adapter.MailConfig{Server: l.Addr().String(), TLS: "none"})
		if err := m.Send(t.Context(), "duty@body.example", "s", "b", "id", time.Now()); err == nil || !strings.Contains(err.Error(), "no end") {
			t.Errorf("%q: %v", line, err)
		}
		l.Close()
		if n := <-said; n > 64<<20 { // what the system keeps of it included
			t.Errorf("%q: %d MB were listened to", line, n>>20)
		}
	}
}
