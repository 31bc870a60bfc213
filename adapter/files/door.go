package files

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mezhved/adapter"
)

// Door is the FTP door of the store (RFC 959, 2389, 2428, 2640, 3659, 4217): passive
// mode only, so that nobody can make it connect to anywhere, over IPv4 and IPv6, in
// the clear or under TLS (AUTH TLS), and of the commands those that bring and fetch
// files. What a session may see depends on its login: "anonymous" brings files and
// reads none, an account from a poll reads the files of its message and writes none.
//
// It is our own. fclairamb/ftpserverlib (0.27.0) has the same commands, but not what
// we promise: it changes line ends of what is sent after TYPE A, and then the digest
// is not the one that was signed; a transfer or an answer on which nothing moves is
// not bounded; a database that does not answer is told as 550, which senders do not
// try again, and with the text of the error.
type Door struct {
	store    *Store
	config   adapter.FTPConfig
	password []byte      // of anonymous; nil: any
	tls      *tls.Config // nil: none
	from, to int         // data ports; 0: any
	listener net.Listener
	log      *slog.Logger

	now     func() time.Time // of the machine: only durations are taken
	gate    *gate
	mu      sync.Mutex
	closing bool
	open    map[net.Conn]*visit
	working sync.WaitGroup
}

// visit is a connection that is in. Where all are taken, the one on which for longest
// nothing was transferred gives way to the next one: else some addresses could hold
// the door shut with connections on which nothing is brought.
type visit struct {
	conn net.Conn
	last atomic.Int64 // when it came or something was transferred last, in nanoseconds
}

// lingering is how long a connection may do nothing before it gives way.
const lingering = 5 * time.Second

// Listen opens the door's address. A taken one is an error that names it.
func (s *Store) Listen(c adapter.FTPConfig) (*Door, error) {
	d := &Door{store: s, config: c, log: s.log, now: time.Now, open: map[net.Conn]*visit{}, gate: newGate(c.Connections, c.PerAddress)}
	var err error
	if d.from, d.to, err = c.DataPorts(); err != nil {
		return nil, fmt.Errorf("ftp.ports: %w", err)
	}
	if d.password, err = UploadPassword(c); err != nil {
		return nil, err
	}
	if d.tls, err = c.LoadTLS(s.log, s.metrics.countCertificate); err != nil {
		return nil, fmt.Errorf("ftp.certificate: %w", err)
	}
	if d.listener, err = net.Listen("tcp", c.Listen); err != nil {
		return nil, fmt.Errorf("listening on %s: %w (is another gateway running? choose another address with ftp.listen)", c.Listen, err)
	}
	return d, nil
}

// UploadPassword reads the password under which files are brought; nil: any.
func UploadPassword(c adapter.FTPConfig) ([]byte, error) {
	if c.PasswordFile == "" {
		return nil, nil
	}
	src, err := os.ReadFile(c.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("ftp.passwordFile: %w", err)
	}
	password := []byte(strings.TrimRight(string(src), "\r\n"))
	if len(password) == 0 {
		return nil, fmt.Errorf("ftp.passwordFile: %s is empty", c.PasswordFile)
	}
	return password, nil
}

// Addr is where the door is.
func (d *Door) Addr() net.Addr { return d.listener.Addr() }

// Close closes the door, for one that is not run.
func (d *Door) Close() error { return d.listener.Close() }

// Run lets callers in until ctx ends; then it closes all connections and waits
// for their sessions. What broke off is kept for its sender to go on.
func (d *Door) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, d.closeAll)
	defer stop()
	defer d.working.Wait()
	d.log.Info("the file store's door is open", "address", d.Addr().String())
	for {
		conn, err := d.listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			d.log.Warn("a connection to the file store failed", "error", err)
			time.Sleep(50 * time.Millisecond) // out of descriptors, for instance
			continue
		}
		visit, why := d.enter(conn)
		if why != "" {
			d.store.metrics.refused.WithLabelValues("connections").Inc()
			conn.SetDeadline(time.Now().Add(time.Second))
			fmt.Fprintf(conn, "421 %s\r\n", why)
			conn.Close()
			continue
		}
		d.working.Go(func() {
			defer d.leave(conn)
			newSession(d, visit).serve(ctx)
		})
	}
}

// enter counts a connection in, or says why it may not come.
func (d *Door) enter(conn net.Conn) (*visit, string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing {
		return nil, "the file store is closing"
	}
	address := host(conn.RemoteAddr())
	why := d.gate.enter(address)
	if why == gateFull && d.dismiss() {
		why = d.gate.enter(address)
	}
	if why != "" {
		return nil, why
	}
	v := &visit{conn: conn}
	d.moved(v)
	d.open[conn] = v
	d.store.metrics.connections.Set(float64(len(d.open)))
	return v, ""
}

// dismiss closes the connection on which nothing has been transferred for longest,
// if that is long; its session is on its way out.
func (d *Door) dismiss() bool {
	var longest *visit
	for _, v := range d.open {
		if longest == nil || v.last.Load() < longest.last.Load() {
			longest = v
		}
	}
	if longest == nil || d.now().UnixNano()-longest.last.Load() < int64(lingering) {
		return false
	}
	d.forget(longest.conn)
	longest.conn.Close()
	return true
}

func (d *Door) leave(conn net.Conn) {
	conn.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(conn)
}

func (d *Door) forget(conn net.Conn) {
	if d.open[conn] == nil {
		return // it was dismissed
	}
	d.gate.leave(host(conn.RemoteAddr()))
	delete(d.open, conn)
	d.store.metrics.connections.Set(float64(len(d.open)))
}

// moved notes that something was transferred.
func (d *Door) moved(v *visit) { v.last.Store(d.now().UnixNano()) }

func (d *Door) closeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closing = true
	d.listener.Close()
	for conn := range d.open {
		conn.Close()
	}
}

func host(a net.Addr) string {
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return h
}

// listenData opens a port for one data connection, at the address that the
// caller has reached.
func (d *Door) listenData(at *net.TCPAddr) (*net.TCPListener, error) {
	if d.from == 0 {
		return net.ListenTCP("tcp", &net.TCPAddr{IP: at.IP, Zone: at.Zone})
	}
	n := d.to - d.from + 1
	start, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		return nil, err
	}
	for i := range n {
		l, e := net.ListenTCP("tcp", &net.TCPAddr{IP: at.IP, Zone: at.Zone, Port: d.from + (int(start.Int64())+i)%n})
		if e == nil {
			return l, nil
		}
		err = e
	}
	return nil, fmt.Errorf("all data ports are in use: %w", err)
}
