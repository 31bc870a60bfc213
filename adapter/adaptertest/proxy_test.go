package adaptertest_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"mezhved/adapter/adaptertest"
)

// echo is a server that says back what it hears, a line at a time, and tells
// when a connection has ended.
func echo(t *testing.T) (address string, ended chan error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	ended = make(chan error, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, err := io.Copy(c, c)
				ended <- err
			}()
		}
	}()
	return l.Addr().String(), ended
}

type caller struct {
	t *testing.T
	*net.TCPConn
	r *bufio.Reader
}

func call(t *testing.T, p *adaptertest.Proxy) *caller {
	c, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &caller{t, c.(*net.TCPConn), bufio.NewReader(c)}
}

func (c *caller) say(s string) {
	c.t.Helper()
	if _, err := c.Write([]byte(s + "\n")); err != nil {
		c.t.Fatal(err)
	}
}

func (c *caller) hear(within time.Duration) (string, error) {
	c.SetReadDeadline(time.Now().Add(within))
	return c.r.ReadString('\n')
}

func (c *caller) wants(s string) {
	c.t.Helper()
	if got, err := c.hear(time.Minute); err != nil || got != s+"\n" {
		c.t.Fatalf("got %q, %v, want %q", got, err, s)
	}
}

// A proxy does to connections what its name says, and to no others.
func TestProxy(t *testing.T) {
	address, ended := echo(t)
	p, err := adaptertest.NewProxy("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c := call(t, p)
	c.say("one")
	c.wants("one")

	p.Swallow(adaptertest.Both)
	c.say("two")
	if got, err := c.hear(100 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("through a proxy that swallows came %q, %v", got, err)
	}
	d := call(t, p)
	d.say("new")
	if got, err := d.hear(100 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("through a proxy that swallows came %q, %v", got, err)
	}
	p.Mend()
	c.wants("two")
	d.wants("new")

	p.HideEnds()
	d.Close()
	c.say("three") // the living pass
	c.wants("three")
	select {
	case err := <-ended:
		t.Fatalf("the server was told of a hidden end: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	p.Mend()
	<-ended

	p.HalfClose(adaptertest.Up)
	if err := <-ended; err != nil {
		t.Errorf("a half-closed connection ends with %v", err)
	}
	if got, err := c.hear(time.Minute); !errors.Is(err, io.EOF) {
		t.Errorf("after the server's end came %q, %v", got, err)
	}

	e := call(t, p)
	e.say("four")
	e.wants("four")
	p.Cut()
	if got, err := e.hear(time.Minute); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after a cut came %q, %v", got, err)
	}
	p.Refuse()
	if g, err := net.Dial("tcp", p.Address()); err == nil { // else it was reset before Dial returned
		g.SetReadDeadline(time.Now().Add(time.Minute))
		if n, err := g.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a refused connection hears %d bytes, %v", n, err)
		}
		g.Close()
	}
	p.Mend()
	f := call(t, p)
	f.say("five")
	f.wants("five")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p.Redirect("tcp", l.Addr().String())
	call(t, p)
	if c, err := l.Accept(); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	f.say("six") // where there is a connection, it stays
	f.wants("six")
}
