package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"
)

// passive opens a port for the next transfer.
func (s *session) passive(verb, arg string) {
	if verb == "EPSV" && strings.EqualFold(arg, "ALL") {
		s.reply(200, "ok")
		return
	}
	local, ok := s.conn.LocalAddr().(*net.TCPAddr)
	if !ok {
		s.reply(425, "no data connection can be opened")
		return
	}
	family := "1"
	if local.IP.To4() == nil {
		family = "2"
	}
	if verb == "EPSV" && arg != "" && arg != family { // RFC 2428, 3
		s.reply(522, "data connections go over the protocol of this one, use (%s)", family)
		return
	}
	s.closeData()
	told := local.IP.To4()
	if s.d.config.Public != "" {
		told = net.ParseIP(s.d.config.Public).To4()
	}
	if verb == "PASV" && told == nil {
		s.reply(425, "use EPSV over IPv6")
		return
	}
	l, err := s.d.listenData(local)
	if err != nil {
		s.d.log.Warn("no data connection of the file store can be opened", "error", err)
		s.reply(425, "no data connection can be opened, come again later")
		return
	}
	s.data = l
	port := l.Addr().(*net.TCPAddr).Port
	if verb == "EPSV" {
		s.reply(229, "extended passive mode (|||%d|)", port)
		return
	}
	s.reply(227, "passive mode (%d,%d,%d,%d,%d,%d)", told[0], told[1], told[2], told[3], port>>8, port&0xff)
}

func (s *session) closeData() {
	if s.data != nil {
		s.data.Close()
		s.data = nil
	}
}

// connect waits for the data connection. It must come from where the caller is:
// the port is told in the clear.
func (s *session) connect() (net.Conn, error) {
	l := s.data
	defer s.closeData()
	l.SetDeadline(time.Now().Add(s.d.config.Stall.D()))
	stop := context.AfterFunc(s.ctx, func() { l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if err != nil {
			return nil, err
		}
		if host(conn.RemoteAddr()) == host(s.conn.RemoteAddr()) {
			return conn, nil
		}
		s.d.log.Warn("a data connection came from another address than its session", "session", host(s.conn.RemoteAddr()), "data", host(conn.RemoteAddr()))
		conn.Close()
	}
}

// transfer says that one begins, lets it run over the data connection, and says
// how it ended.
func (s *session) transfer(what string, run func(net.Conn) error) {
	if !s.ready() {
		return
	}
	s.reply(150, "%s", what)
	plain, err := s.connect()
	if err != nil {
		s.reply(425, "the data connection did not come")
		return
	}
	defer plain.Close()
	stop := context.AfterFunc(s.ctx, func() { plain.Close() })
	defer stop()
	conn, err := s.covered(plain)
	if err != nil {
		s.d.log.Info("a data connection of the file store did not get under TLS", "remote", host(s.conn.RemoteAddr()), "error", err)
		s.reply(522, "the data connection did not get under TLS")
		return
	}
	err = run(conn)
	conn.SetWriteDeadline(time.Now().Add(s.d.config.Stall.D())) // TLS says goodbye
	if e := conn.Close(); err == nil && e != nil && s.hidden {
		s.d.log.Debug("the end of a data connection was not told", "error", e)
	}
	var broke *brokenError
	switch {
	case err == nil:
		s.reply(226, "done")
	case errors.As(err, &broke):
		s.reply(426, "the data connection broke")
	default:
		s.fail(err)
	}
}

// ready says whether a transfer can begin, and answers when it cannot.
func (s *session) ready() bool {
	switch {
	case s.d.config.RequireTLS && !s.hidden:
		s.reply(521, "transfers in the clear are not done here: PBSZ 0 and PROT P come first")
	case s.data == nil:
		s.reply(425, "PASV or EPSV comes first")
	default:
		return true
	}
	return false
}

// brokenError is a transfer that broke off on the way.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return "the data connection broke: " + e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// store brings a file. Where a transfer breaks off, what came is kept, and the
// sender may go on behind it (SIZE, REST, STOR; or APPE).
func (s *session) store(verb, path string) {
	parts := s.resolve(path)
	rest := s.rest
	switch {
	case s.reader:
		s.fail(errWriter)
		return
	case len(parts) != 2:
		s.fail(&NameError{"a file is brought into a folder: MKD and CWD a UUID of version 1 first"})
		return
	case !s.ready():
		return
	}
	id, err := s.d.store.folder(parts[0])
	if err != nil {
		s.d.store.metrics.refuse(err)
		s.fail(err)
		return
	}
	ctx, cancel := s.patience()
	defer cancel()
	if verb == "APPE" {
		if e, err := s.brought(parts[0]); err == nil {
			rest = e.Size
		} else if !errors.Is(err, fs.ErrNotExist) {
			s.fail(err)
			return
		}
	}
	u, err := s.d.store.bring(ctx, id, s.by, parts[1], rest)
	if err != nil {
		s.fail(err)
		return
	}
	defer u.abort()
	s.remember(id)
	s.transfer("bring it", func(conn net.Conn) error { return s.receive(conn, u) })
}

func (s *session) receive(conn net.Conn, u *upload) error {
	buf := make([]byte, 256<<10)
	for {
		conn.SetReadDeadline(time.Now().Add(s.d.config.Stall.D()))
		n, err := conn.Read(buf)
		if n > 0 {
			s.d.moved(s.visit)
			if _, err := u.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err == nil {
			continue
		}
		ctx, cancel := s.patience()
		defer cancel()
		if errors.Is(err, io.EOF) {
			return u.finish(ctx, "")
		}
		if e := u.keep(ctx); e != nil {
			s.d.log.Warn("what came of a broken upload was not kept", "file", u.id.String(), "error", e)
		}
		return &brokenError{err}
	}
}

func (s *session) retrieve(path string) {
	if !s.reader {
		s.fail(errWriter)
		return
	}
	rest := s.rest
	found, err := s.find(path)
	var f *os.File
	if err == nil {
		f, err = s.d.store.open(found.FileEntry)
	}
	if err != nil {
		s.fail(err)
		return
	}
	defer f.Close()
	if rest > found.Size {
		s.fail(errOffset)
		return
	}
	if _, err := f.Seek(rest, io.SeekStart); err != nil {
		s.fail(err)
		return
	}
	s.transfer(fmt.Sprintf("here it comes (%d bytes)", found.Size-rest), func(conn net.Conn) error {
		n, err := s.sendAll(conn, f)
		s.d.store.metrics.fetched.Add(float64(n))
		s.d.log.Debug("a file was fetched", "file", found.ID.String(), "from", rest, "bytes", n, "error", err)
		return err
	})
}

func (s *session) sendAll(conn net.Conn, r io.Reader) (sent int64, err error) {
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			conn.SetWriteDeadline(time.Now().Add(s.d.config.Stall.D()))
			w, err := conn.Write(buf[:n])
			s.d.moved(s.visit)
			sent += int64(w)
			if err != nil {
				return sent, &brokenError{err}
			}
		}
		if errors.Is(err, io.EOF) {
			return sent, nil
		}
		if err != nil {
			return sent, err
		}
	}
}
