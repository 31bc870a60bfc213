package files

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"time"
)

// TLS in a session, as RFC 4217 has it: AUTH TLS, PBSZ 0, PROT P.

// features tells what the door can do beyond RFC 959.
func (s *session) features() {
	secure := ""
	if s.d.tls != nil {
		secure = " AUTH TLS\r\n PBSZ\r\n PROT\r\n"
	}
	s.write("211-Extensions:\r\n" + secure + " UTF8\r\n EPSV\r\n PASV\r\n SIZE\r\n MDTM\r\n REST STREAM\r\n MLST type*;size*;modify*;\r\n211 End\r\n")
}

// auth puts the control connection under TLS. What was said before counts for
// nothing afterwards, and what was sent along with AUTH in the clear ends the
// session: whoever stands on the way could have put it there.
func (s *session) auth(mechanism string) {
	switch m := strings.ToUpper(mechanism); {
	case s.d.tls == nil:
		s.reply(502, "this file store has no certificate")
		return
	case s.secure:
		s.reply(503, "the connection is under TLS already")
		return
	case m != "TLS" && m != "TLS-C":
		s.reply(504, "AUTH TLS is what there is")
		return
	case s.in.Buffered() > 0:
		s.reply(421, "something came behind AUTH that was not protected")
		s.done = true
		return
	}
	s.closeData()
	s.reply(234, "go on under TLS")
	conn := tls.Server(s.conn, s.d.tls)
	if err := s.shakeHands(conn); err != nil {
		s.d.log.Info("a caller of the file store did not get under TLS", "remote", host(s.conn.RemoteAddr()), "error", err)
		s.done = true
		return
	}
	s.conn, s.in, s.secure = conn, bufio.NewReaderSize(conn, longestLine), true
	s.user, s.by.owner, s.reader, s.cwd, s.made = "", "", false, nil, nil
}

func (s *session) shakeHands(conn *tls.Conn) error {
	conn.SetDeadline(time.Now().Add(s.d.config.Stall.D()))
	defer conn.SetDeadline(time.Time{})
	return conn.HandshakeContext(s.ctx)
}

// protect says whether data connections are to be under TLS.
func (s *session) protect(verb, arg string) {
	arg = strings.ToUpper(arg)
	switch {
	case !s.secure:
		s.reply(503, "AUTH TLS comes first")
	case verb == "PBSZ":
		s.sized = true
		s.reply(200, "PBSZ=0")
	case !s.sized:
		s.reply(503, "PBSZ 0 comes first")
	case arg == "P":
		s.hidden = true
		s.reply(200, "data connections are under TLS")
	case arg == "C" && !s.d.config.RequireTLS:
		s.hidden = false
		s.reply(200, "data connections are in the clear")
	case arg == "C":
		s.reply(534, "transfers in the clear are not done here")
	default:
		s.reply(536, "PROT is C or P")
	}
}

// covered puts a data connection under TLS where the session wants it so. That the
// client takes up the session of its control connection again is possible and not
// demanded: the clients in use (ftplib of Python, the toolset's) open a new one. So
// TLS alone does not say that it is the same client; the address is compared, the
// port is random, what is brought is held against the signed digest.
func (s *session) covered(conn net.Conn) (net.Conn, error) {
	if !s.hidden {
		return conn, nil
	}
	t := tls.Server(&uncut{conn}, s.d.tls)
	return t, s.shakeHands(t)
}

// errCut says that a connection under TLS ended without TLS's goodbye.
var errCut = errors.New("the connection was cut: TLS did not say goodbye")

// uncut is what lies under TLS where an end that TLS has not told of is none.
// crypto/tls takes such an end for the end between two records, and then anybody
// on the way could cut an upload short and have it taken for the file.
type uncut struct{ net.Conn }

func (u *uncut) Read(b []byte) (int, error) {
	n, err := u.Conn.Read(b)
	if errors.Is(err, io.EOF) {
		err = errCut
	}
	return n, err
}
