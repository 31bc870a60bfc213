package adaptertest

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Proxy stands between clients and one server and spoils their connections as
// networks do: it cuts, swallows, delays, half-closes. At first it passes
// everything on.
//
// What it cannot do: the kernel acknowledges to either side what has come as far
// as the proxy, so keepalives and TCP_USER_TIMEOUT see a peer that lives. Only
// packets dropped between network namespaces show whether those work.
type Proxy struct {
	listener net.Listener
	work     sync.WaitGroup

	mu              sync.Mutex
	changed         sync.Cond // any of these, or some link's broken
	network, target string
	links           map[*link]struct{}
	held            Way // nothing passes
	hides           bool
	refuses         bool
	delay           time.Duration
	pace            int // bytes a second; 0: any
	closed          bool
}

// Way is a direction through a Proxy, or both.
type Way int

// The directions.
const (
	Up   Way = 1 << iota // from client to server
	Down                 // from server to client
	Both = Up | Down
)

// link is one connection through the proxy.
type link struct {
	client, server net.Conn // server is nil while it is being dialled
	broken         bool
}

// NewProxy listens on a free loopback port for the server at target, which need
// not be there yet: a connection to a server that is not there is reset.
func NewProxy(network, target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{network: network, target: target, listener: l, links: map[*link]struct{}{}}
	p.changed.L = &p.mu
	p.work.Go(p.accept)
	return p, nil
}

// Address is what clients connect to.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Port is the port of Address.
func (p *Proxy) Port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// Connections counts the connections that go through.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Close cuts everything and ends the proxy.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.Cut()
	p.work.Wait()
	return err
}

// Cut resets every connection, on both sides. New ones are taken.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		p.reset(l)
	}
}

// Refuse resets every new connection at once, until Mend.
func (p *Proxy) Refuse() { p.set(func() { p.refuses = true }) }

// Swallow lets nothing pass that way any more, neither bytes nor the end of a
// connection, as when a network is parted or a host has lost its power. New
// connections are taken and get no answer. After Mend what was sent meanwhile
// arrives, as TCP would bring it.
func (p *Proxy) Swallow(w Way) { p.set(func() { p.held = w }) }

// HideEnds keeps the end of a connection from its other side, until Mend; what
// lives passes. A client that is killed meanwhile has died with its host: the
// server is told nothing.
func (p *Proxy) HideEnds() { p.set(func() { p.hides = true }) }

// Redirect sends new connections to another server.
func (p *Proxy) Redirect(network, target string) {
	p.set(func() { p.network, p.target = network, target })
}

// Delay makes every piece of data late.
func (p *Proxy) Delay(d time.Duration) { p.set(func() { p.delay = d }) }

// Pace bounds the bytes a second of each connection and direction.
func (p *Proxy) Pace(bytes int) { p.set(func() { p.pace = bytes }) }

// HalfClose tells the receivers that way that nothing more will come; the other
// direction stays open.
func (p *Proxy) HalfClose(w Way) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		if w&Up != 0 && l.server != nil {
			closeWrite(l.server)
		}
		if w&Down != 0 {
			closeWrite(l.client)
		}
	}
}

// Mend ends every lasting fault. Ends that were hidden are told now.
func (p *Proxy) Mend() {
	p.set(func() { p.held, p.hides, p.refuses, p.delay, p.pace = 0, false, false, 0, 0 })
}

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.changed.Broadcast()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			if p.done() {
				return
			}
			time.Sleep(10 * time.Millisecond) // out of descriptors
			continue
		}
		l := &link{client: client}
		p.mu.Lock()
		if p.refuses || p.closed {
			p.mu.Unlock()
			abort(client)
			continue
		}
		p.links[l] = struct{}{}
		p.mu.Unlock()
		p.work.Go(func() { p.serve(l) })
	}
}

func (p *Proxy) done() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

func (p *Proxy) serve(l *link) {
	defer func() {
		p.mu.Lock()
		delete(p.links, l)
		p.reset(l)
		p.mu.Unlock()
	}()
	if !p.await(l, Up) {
		return
	}
	p.mu.Lock()
	network, target := p.network, p.target
	p.mu.Unlock()
	server, err := net.DialTimeout(network, target, 10*time.Second)
	if err != nil {
		return
	}
	p.mu.Lock()
	l.server = server
	broken := l.broken
	p.mu.Unlock()
	if broken {
		abort(server)
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.pass(l, Up, server, l.client) })
	both.Go(func() { p.pass(l, Down, l.client, server) })
	both.Wait()
}

// pass brings what comes one way.
func (p *Proxy) pass(l *link, w Way, to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !p.await(l, w) {
			return
		}
		if n > 0 {
			p.dawdle(n)
			if _, e := to.Write(buf[:n]); e != nil {
				err = e
			}
		}
		if err == nil {
			continue
		}
		if !p.awaitTold(l) {
			return
		}
		if errors.Is(err, io.EOF) {
			closeWrite(to)
			return
		}
		p.mu.Lock()
		p.reset(l)
		p.mu.Unlock()
		return
	}
}

// await waits until something may pass that way; false says that the link has
// ended meanwhile.
func (p *Proxy) await(l *link, w Way) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.held&w != 0 && !l.broken {
		p.changed.Wait()
	}
	return !l.broken
}

// awaitTold waits until an end may be told.
func (p *Proxy) awaitTold(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.hides && !l.broken {
		p.changed.Wait()
	}
	return !l.broken
}

func (p *Proxy) dawdle(n int) {
	p.mu.Lock()
	d := p.delay
	if p.pace > 0 {
		d += time.Duration(n) * time.Second / time.Duration(p.pace)
	}
	p.mu.Unlock()
	if d > 0 {
		time.Sleep(d)
	}
}

// reset breaks a link; p.mu is held.
func (p *Proxy) reset(l *link) {
	if l.broken {
		return
	}
	l.broken = true
	abort(l.client)
	if l.server != nil {
		abort(l.server)
	}
	p.changed.Broadcast()
}

// abort closes with a reset, where the network has one.
func abort(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.Close()
}

func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}
