package party

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/jlaffaye/ftp"

	"mezhved/envelopes"
	"mezhved/signing/gost"
)

// Inline is how many bytes of attachments a message carries inside. The official
// client brings all attachments of a message to the file store when they are
// more together, and so does ours.
const Inline = 5 << 20

// FileStore is where the bus keeps files that are too large for messages.
type FileStore struct {
	URL      string         // ftp://host[:port]; ftpes://host[:port] under TLS (AUTH TLS, files too)
	Roots    *x509.CertPool // who may have signed the store's certificate; default: the system's authorities
	User     string         // under which files are brought; default anonymous
	Password string         // default smev
	Timeout  time.Duration  // while nothing comes or goes; default 30 s
	Attempts int            // tries of one file, the first included; default 3
	Pause    time.Duration  // between them; default 1 s
	Clock    func() time.Time
}

// Source gives a file's bytes from the beginning, as often as it is asked.
type Source func() (io.ReadCloser, error)

// Bytes is a Source of what is in memory.
func Bytes(content []byte) Source {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
}

// ErrDigest says that a file that was fetched is not the one that its sender signed.
var ErrDigest = errors.New("the file's digest is not the one that its sender signed")

// Bring puts a file into the store, in a folder of its own, and gives the
// reference that a message makes to it. When the connection breaks it goes on
// where the store says that it stopped.
func (s *FileStore) Bring(ctx context.Context, name, mimeType string, src Source) (ref envelopes.AttachmentReference, err error) {
	now := time.Now
	if s.Clock != nil {
		now = s.Clock
	}
	id := NewMessageID(now())
	digest := gost.NewStreebog256()
	r, err := src()
	if err != nil {
		return ref, err
	}
	size, err := io.Copy(digest, r)
	r.Close()
	if err != nil {
		return ref, err
	}
	err = s.trying(ctx, func(first bool) error {
		c, err := s.login(ctx, s.User, s.Password)
		if err != nil {
			return err
		}
		defer c.Quit()
		if err := c.MakeDir(id); err != nil && first {
			return fmt.Errorf("making folder %s: %w", id, err)
		}
		if err := c.ChangeDir(id); err != nil {
			return fmt.Errorf("entering folder %s: %w", id, err)
		}
		return bringRest(c, name, src, first, size)
	})
	if err != nil {
		return ref, fmt.Errorf("bringing %s to the file store: %w", name, err)
	}
	if mimeType == "" {
		mimeType = "application/octet-stream"
	}
	return envelopes.AttachmentReference{UUID: id, FileName: name, Hash: digest.Sum(nil), MimeType: mimeType}, nil
}

// bringRest brings a file, or what is left of it after an earlier try.
func bringRest(c *ftp.ServerConn, name string, src Source, first bool, size int64) error {
	r, err := src()
	if err != nil {
		return err
	}
	defer r.Close()
	var from int64
	if !first {
		if have, err := c.FileSize(name); err == nil && have <= size {
			if _, err := io.CopyN(io.Discard, r, have); err != nil {
				return err
			}
			from = have
		}
	}
	return c.StorFrom(name, r, uint64(from))
}

// Fetch gets a file that a delivered message refers to into w, and holds it
// against the digest that its sender signed. An error after the first byte leaves
// part of it in w; ErrDigest says that w holds another file than was sent.
func (s *FileStore) Fetch(ctx context.Context, f envelopes.FSAttachment, hash []byte, w io.Writer) error {
	digest := gost.NewStreebog256()
	var have uint64
	err := s.trying(ctx, func(bool) error {
		c, err := s.login(ctx, f.UserName, f.Password)
		if err != nil {
			return err
		}
		defer c.Quit()
		r, err := c.RetrFrom(f.FileName, have)
		if err != nil { // buses differ in where they show it
			if err := c.ChangeDir(f.UUID); err != nil {
				return err
			}
			if r, err = c.RetrFrom(strings.TrimPrefix(f.FileName, "/"), have); err != nil {
				return err
			}
		}
		n, err := io.Copy(io.MultiWriter(w, digest), r)
		have += uint64(n)
		return errors.Join(err, r.Close())
	})
	if err == nil && !bytes.Equal(digest.Sum(nil), hash) {
		err = ErrDigest
	}
	if err != nil {
		return fmt.Errorf("fetching %s from the file store: %w", f.FileName, err)
	}
	return nil
}

func (s *FileStore) timeout() time.Duration {
	if s.Timeout > 0 {
		return s.Timeout
	}
	return 30 * time.Second
}

// trying repeats what fails because of the connection. A refusal by the store is
// final, unless it says that it may pass.
func (s *FileStore) trying(ctx context.Context, act func(first bool) error) error {
	attempts, pause := s.Attempts, s.Pause
	if attempts <= 0 {
		attempts = 3
	}
	if pause <= 0 {
		pause = time.Second
	}
	for try := 1; ; try++ {
		err := act(try == 1)
		var refused *textproto.Error
		if err == nil || try == attempts || ctx.Err() != nil || errors.As(err, &refused) && refused.Code >= 500 {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
	}
}

func (s *FileStore) login(ctx context.Context, user, password string) (*ftp.ServerConn, error) {
	u, err := url.Parse(s.URL)
	if err != nil || u.Hostname() == "" || u.Scheme != "ftp" && u.Scheme != "ftpes" {
		return nil, fmt.Errorf("the file store's address %q: one such as ftp://bus.example:21, or ftpes:// for TLS, is expected", s.URL)
	}
	port := u.Port()
	if port == "" {
		port = "21"
	}
	if user == "" {
		user = "anonymous"
		if password == "" {
			password = "smev"
		}
	}
	var secure *tls.Config
	if u.Scheme == "ftpes" {
		// Some stores demand that data connections take up the session of the first.
		secure = &tls.Config{ServerName: u.Hostname(), RootCAs: s.Roots, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	}
	control := true // what is dialled first; ftp puts only that under TLS by itself
	options := []ftp.DialOption{ftp.DialWithDialFunc(func(network, address string) (net.Conn, error) {
		d := net.Dialer{Timeout: s.timeout()}
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		conn = &patient{conn, s.timeout(), context.AfterFunc(ctx, func() { conn.Close() }), !control, mostWords}
		if secure != nil && !control {
			conn = tls.Client(conn, secure)
		}
		control = false
		return conn, nil
	})}
	if secure != nil {
		options = append(options, ftp.DialWithExplicitTLS(secure))
	}
	c, err := ftp.Dial(net.JoinHostPort(u.Hostname(), port), options...)
	if err != nil {
		return nil, fmt.Errorf("the file store at %s: %w", s.URL, err)
	}
	if err := c.Login(user, password); err != nil {
		c.Quit()
		return nil, fmt.Errorf("logging in at the file store as %s: %w", user, err)
	}
	return c, nil
}

// mostWords bounds what a store may say over one file, in bytes: an answer of it is read into
// memory until it ends.
const mostWords = 1 << 20

// patient is a connection that fails when nothing has moved on it for a while,
// and ends with its context.
type patient struct {
	net.Conn
	timeout time.Duration
	stop    func() bool
	data    bool // a file, which may be of any length
	words   int  // that may still come where no file does
}

func (p *patient) Read(b []byte) (int, error) {
	if !p.data && p.words <= 0 {
		return 0, fmt.Errorf("the file store has said more than %d bytes and no end", mostWords)
	}
	p.SetReadDeadline(time.Now().Add(p.timeout))
	n, err := p.Conn.Read(b)
	p.words -= n
	return n, err
}

func (p *patient) Write(b []byte) (int, error) {
	p.SetWriteDeadline(time.Now().Add(p.timeout))
	return p.Conn.Write(b)
}

func (p *patient) Close() error {
	p.stop()
	return p.Conn.Close()
}
