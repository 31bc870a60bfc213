package files

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
)

// Bounds of a session that are no settings.
const (
	longestLine   = 4096
	wrongLogins   = 3                // then the connection is closed
	loginPause    = time.Second      // after a wrong one
	indexPatience = 30 * time.Second // for one question to the index
)

// session is one control connection.
type session struct {
	d     *Door
	visit *visit
	conn  net.Conn
	in    *bufio.Reader
	ctx   context.Context

	by     sender // of what is brought; the owner is empty until anonymous is logged in
	user   string
	reader bool // an account of a poll is logged in
	wrong  int
	cwd    []string // the root, or one folder
	made   []uuid.UUID
	rest   int64
	data   *net.TCPListener
	secure bool // the control connection is under TLS
	sized  bool // PBSZ has come
	hidden bool // data connections are to be under TLS
	done   bool
}

func newSession(d *Door, v *visit) *session {
	return &session{d: d, visit: v, conn: v.conn, by: sender{session: rand.Text()}, in: bufio.NewReaderSize(v.conn, longestLine)}
}

// reply writes one line of an answer.
func (s *session) reply(code int, format string, args ...any) {
	s.conn.SetWriteDeadline(time.Now().Add(s.d.config.Stall.D()))
	if _, err := fmt.Fprintf(s.conn, "%d %s\r\n", code, fmt.Sprintf(format, args...)); err != nil {
		s.done = true
	}
}

// serve works until the caller goes, is silent for too long, or ctx ends.
func (s *session) serve(ctx context.Context) {
	s.ctx = ctx
	defer s.closeData()
	defer func() {
		if p := recover(); p != nil {
			s.d.log.Error("a session of the file store panicked", "error", adapter.Caught(p))
		}
	}()
	s.reply(220, "Mezhved file store")
	for !s.done {
		s.conn.SetReadDeadline(time.Now().Add(s.d.config.Silence.D()))
		line, err := s.in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			s.reply(500, "the line is too long")
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			s.reply(421, "nothing came for %s", s.d.config.Silence.D())
			return
		case err != nil:
			return
		}
		verb, arg := command(string(line))
		s.obey(verb, arg)
		if verb != "REST" && verb != "PASV" && verb != "EPSV" && verb != "TYPE" {
			s.rest = 0
		}
	}
}

// command takes a line apart. Bytes of Telnet that clients send before ABOR are
// passed over.
func command(line string) (verb, arg string) {
	line = strings.TrimLeft(strings.TrimRight(line, "\r\n"), "\xff\xf4\xf2\xfb\xfd\x00")
	verb, arg, _ = strings.Cut(line, " ")
	return strings.ToUpper(verb), arg
}

// obey carries out one command.
func (s *session) obey(verb, arg string) {
	switch verb {
	case "USER":
		s.login(arg)
	case "PASS":
		s.pass(arg)
	case "QUIT":
		s.reply(221, "goodbye")
		s.done = true
	case "NOOP", "ALLO":
		s.reply(200, "ok")
	case "SYST":
		s.reply(215, "UNIX Type: L8")
	case "FEAT":
		s.features()
	case "AUTH":
		s.auth(arg)
	case "PBSZ", "PROT":
		s.protect(verb, arg)
	case "OPTS":
		if words := strings.Fields(strings.ToUpper(arg)); len(words) > 0 && (words[0] == "UTF8" || words[0] == "UTF-8" || words[0] == "MLST") {
			s.reply(200, "ok")
		} else {
			s.reply(501, "there is no such option")
		}
	case "PORT", "EPRT", "RNFR", "RNTO", "SITE", "REIN", "ACCT", "SMNT", "STOU":
		s.reply(502, "%s is not for this file store; data connections are passive", verb)
	default:
		if s.by.owner == "" && !s.reader {
			s.reply(530, "log in first")
			return
		}
		s.work(verb, arg)
	}
}

func (s *session) write(text string) {
	s.conn.SetWriteDeadline(time.Now().Add(s.d.config.Stall.D()))
	if _, err := io.WriteString(s.conn, text); err != nil {
		s.done = true
	}
}

func (s *session) login(user string) {
	if s.d.config.RequireTLS && !s.secure {
		s.reply(530, "AUTH TLS comes first: logins in the clear are not taken here")
		return
	}
	s.user, s.by.owner, s.reader, s.cwd, s.made = user, "", false, nil, nil
	s.reply(331, "now the password")
}

func (s *session) pass(password string) {
	if s.user == "" {
		s.reply(503, "USER comes first")
		return
	}
	err := s.prove(password)
	var denied *deniedError
	switch {
	case err == nil:
		s.wrong = 0
		s.reply(230, "welcome")
	case errors.As(err, &denied):
		s.d.store.metrics.refused.WithLabelValues("login").Inc()
		// Not who: what a stranger types as its name may be anything.
		s.d.log.Info("a login to the file store was refused", "remote", host(s.conn.RemoteAddr()), "reason", denied.why)
		select {
		case <-time.After(loginPause):
		case <-s.ctx.Done():
		}
		s.user = ""
		if s.wrong++; s.wrong >= wrongLogins {
			s.reply(421, "too many wrong logins")
			s.done = true
			return
		}
		s.reply(530, "this login is not good, or not any more")
	default:
		s.d.log.Error("the file store cannot look a login up", "error", err)
		s.reply(421, "the file store is out of order, come again later")
		s.done = true
	}
}

// deniedError is a login that is not good.
type deniedError struct{ why string }

func (e *deniedError) Error() string { return e.why }

// prove finds out what a login may do.
func (s *session) prove(password string) error {
	if strings.EqualFold(s.user, "anonymous") {
		if p := s.d.password; p != nil && subtle.ConstantTimeCompare(p, []byte(password)) != 1 {
			return &deniedError{"wrong upload password"}
		}
		s.by.owner = "anonymous@" + adapter.Neighbourhood(host(s.conn.RemoteAddr()))
		return nil
	}
	ctx, cancel := s.patience()
	defer cancel()
	secret, _, err := s.d.store.index.GrantedFiles(ctx, s.user, s.d.store.now().UTC())
	if errors.Is(err, adapter.ErrNotFound) {
		return &deniedError{"no such account, or its message has been taken"}
	}
	if err != nil {
		return err
	}
	if sum := sha256.Sum256([]byte(password)); subtle.ConstantTimeCompare(secret[:], sum[:]) != 1 {
		return &deniedError{"wrong password"}
	}
	s.reader = true
	return nil
}

func (s *session) patience() (context.Context, context.CancelFunc) {
	// A session that is closed still gets its upload noted.
	return context.WithTimeout(context.WithoutCancel(s.ctx), indexPatience)
}

// work carries out what needs a login.
func (s *session) work(verb, arg string) {
	switch verb {
	case "TYPE", "MODE", "STRU":
		s.reply(200, "files are kept as their bytes, whatever is asked")
	case "PWD", "XPWD":
		s.reply(257, "\"/%s\" is where you are", strings.Join(s.cwd, "/"))
	case "CWD", "XCWD":
		s.changeTo(arg)
	case "CDUP", "XCUP":
		s.cwd = nil
		s.reply(250, "at the root")
	case "MKD", "XMKD":
		s.makeFolder(arg)
	case "RMD", "XRMD", "DELE":
		s.delete(arg)
	case "PASV", "EPSV":
		s.passive(verb, arg)
	case "REST":
		n, err := strconv.ParseInt(arg, 10, 64)
		if err != nil || n < 0 {
			s.reply(501, "a number of bytes is expected")
			return
		}
		s.rest = n
		s.reply(350, "going on behind byte %d", n)
	case "STOR", "APPE":
		s.store(verb, arg)
	case "RETR":
		s.retrieve(arg)
	case "SIZE", "MDTM", "MLST":
		s.describe(verb, arg)
	case "LIST", "NLST", "MLSD":
		s.list(verb, arg)
	case "ABOR":
		s.closeData()
		s.reply(226, "nothing is being transferred")
	default:
		s.reply(502, "there is no such command")
	}
}

// resolve reads a path as the session sees it: nothing, a folder, or a folder
// and a name; for readers also a name alone. It is of the session's own small
// world: no part of it reaches the disk.
func (s *session) resolve(path string) []string {
	var parts []string
	if !strings.HasPrefix(path, "/") {
		parts = append(parts, s.cwd...)
	}
	for p := range strings.SplitSeq(path, "/") {
		switch p {
		case "", ".":
		case "..":
			if len(parts) > 0 {
				parts = parts[:len(parts)-1]
			}
		default:
			parts = append(parts, p)
		}
	}
	return parts
}

// fail answers a command that went wrong.
func (s *session) fail(err error) {
	var name *NameError
	var limit *LimitError
	switch {
	case errors.As(err, &name):
		s.reply(553, "%s", name.Why)
	case errors.As(err, &limit):
		s.reply(552, "%s", limit.Error())
	case errors.Is(err, adapter.ErrFileTaken):
		s.reply(550, "%s", adapter.ErrFileTaken.Error())
	case errors.Is(err, errOffset):
		s.reply(554, "%s", errOffset.Error())
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, adapter.ErrNotFound):
		s.reply(550, "there is no such file, or not any more")
	case errors.Is(err, errWriter):
		s.reply(550, "%s", errWriter.Error())
	default:
		s.d.log.Error("the file store failed", "user", s.user, "remote", host(s.conn.RemoteAddr()), "error", err)
		s.reply(451, "the file store is out of order, come again later")
	}
}

// errWriter tells a session that its login is of the other kind.
var errWriter = errors.New("not with this login: anonymous brings files, an account from a poll fetches them")

// shown is a file as a reader sees it.
type shown struct {
	adapter.FileEntry
	name string // in the root
}

// granted gives the files that a reader may fetch at this moment.
func (s *session) granted() ([]shown, error) {
	ctx, cancel := s.patience()
	defer cancel()
	_, entries, err := s.d.store.index.GrantedFiles(ctx, s.user, s.d.store.now().UTC())
	return showAll(entries), err
}

// showAll names the files as a reader sees them side by side.
func showAll(entries []adapter.FileEntry) []shown {
	files := make([]adapter.File, len(entries))
	for i := range entries {
		files[i] = entries[i].File
	}
	out := make([]shown, len(entries))
	for i, name := range adapter.FileNames(files) {
		out[i] = shown{entries[i], name}
	}
	return out
}

// find gives the file of a path: a reader's, or one that a sender has brought.
func (s *session) find(path string) (shown, error) {
	parts := s.resolve(path)
	if !s.reader {
		if len(parts) != 2 {
			return shown{}, fs.ErrNotExist
		}
		e, err := s.brought(parts[0])
		if err == nil && e.Name != parts[1] {
			err = fs.ErrNotExist
		}
		return shown{e, e.Name}, err
	}
	files, err := s.granted()
	if err != nil {
		return shown{}, err
	}
	for _, f := range files {
		if len(parts) == 1 && f.name == parts[0] || len(parts) == 2 && strings.EqualFold(f.ID.String(), parts[0]) && (f.Name == parts[1] || f.name == parts[1]) {
			return f, nil
		}
	}
	return shown{}, fs.ErrNotExist
}

// brought gives what this session sees in a folder.
func (s *session) brought(folder string) (e adapter.FileEntry, err error) {
	id, err := s.d.store.folder(folder)
	if err != nil {
		return e, err
	}
	ctx, cancel := s.patience()
	defer cancel()
	return s.d.store.brought(ctx, id, s.by)
}

func (s *session) changeTo(path string) {
	parts := s.resolve(path)
	switch {
	case len(parts) == 0:
		s.cwd = nil
		s.reply(250, "at the root")
		return
	case len(parts) > 1:
		s.fail(fs.ErrNotExist)
		return
	case s.reader:
		files, err := s.granted()
		if err != nil {
			s.fail(err)
			return
		}
		for _, f := range files {
			if strings.EqualFold(f.ID.String(), parts[0]) {
				s.cwd = []string{f.ID.String()}
				s.reply(250, "in folder %s", f.ID)
				return
			}
		}
		s.fail(fs.ErrNotExist)
		return
	}
	e, err := s.brought(parts[0])
	if err != nil {
		s.fail(err)
		return
	}
	s.cwd = []string{e.ID.String()}
	s.reply(250, "in folder %s", e.ID)
}

// makeFolder makes a folder for a file. Made twice it is there once: a sender
// whose connection broke begins again.
func (s *session) makeFolder(path string) {
	parts := s.resolve(path)
	if s.reader {
		s.fail(errWriter)
		return
	}
	if len(parts) != 1 {
		s.fail(&NameError{"folders are in the root"})
		return
	}
	ctx, cancel := s.patience()
	defer cancel()
	id, err := s.d.store.makeFolder(ctx, parts[0], s.by)
	if err != nil {
		s.fail(err)
		return
	}
	s.remember(id)
	s.reply(257, "\"/%s\" is there", id)
}

// remember makes a folder one that the session lists.
func (s *session) remember(id uuid.UUID) {
	if len(s.made) < 1000 && !slices.Contains(s.made, id) {
		s.made = append(s.made, id)
	}
}

func (s *Store) makeFolder(ctx context.Context, name string, by sender) (uuid.UUID, error) {
	id, err := s.folder(name)
	if err == nil {
		var use adapter.FileUse
		if use, err = s.index.FileUse(ctx, by.owner); err == nil && use.OwnerFiles >= waitingFiles {
			err = &LimitError{"waiting", int64(s.config.Waiting)}
		}
	}
	if err == nil {
		err = s.index.MakeFile(ctx, id, by.owner, by.session, s.now().UTC())
	}
	s.metrics.refuse(err)
	return id, err
}

// delete forgets a file and its folder, which are one.
func (s *session) delete(path string) {
	parts := s.resolve(path)
	if s.reader {
		s.fail(errWriter)
		return
	}
	if len(parts) != 1 && len(parts) != 2 {
		s.fail(fs.ErrNotExist)
		return
	}
	e, err := s.brought(parts[0])
	if err == nil && len(parts) == 2 && e.Name != parts[1] {
		err = fs.ErrNotExist
	}
	if err == nil {
		ctx, cancel := s.patience()
		defer cancel()
		err = s.d.store.drop(ctx, e.ID, s.by.session)
	}
	if err != nil {
		s.fail(err)
		return
	}
	s.cwd = nil
	s.reply(250, "deleted")
}

// drop forgets what a session has brought into a folder, unless a message holds it,
// then removes its bytes.
func (s *Store) drop(ctx context.Context, id uuid.UUID, session string) error {
	gone, err := s.index.DropFile(ctx, id, session)
	if err != nil {
		return err
	}
	if len(gone) == 0 {
		return fmt.Errorf("file %s: %w", id, adapter.ErrFileTaken)
	}
	s.removeAll(id, gone)
	return nil
}

// describe tells size or time of a file.
func (s *session) describe(verb, path string) {
	found, err := s.find(path)
	if err != nil {
		s.fail(err)
		return
	}
	switch verb {
	case "SIZE":
		s.reply(213, "%d", found.Size)
	case "MDTM":
		s.reply(213, "%s", s.modified(found).Format("20060102150405"))
	default:
		s.write("250-Listing\r\n " + s.facts(found) + "\r\n250 End\r\n")
	}
}

func (s *session) modified(f shown) time.Time {
	if info, err := os.Stat(s.d.store.path(f.ID, f.Blob)); err == nil {
		return info.ModTime().UTC()
	}
	return s.d.store.now().UTC()
}

func (s *session) facts(f shown) string {
	return fmt.Sprintf("type=file;size=%d;modify=%s; %s", f.Size, s.modified(f).Format("20060102150405"), f.name)
}

// listed is what the session sees in a folder. A reader sees its files in the
// root and each again in its folder; a sender sees what this session has made.
func (s *session) listed(parts []string) (files []shown, folders []uuid.UUID, err error) {
	switch {
	case s.reader:
		all, err := s.granted()
		if err != nil || len(parts) == 0 {
			return all, nil, err
		}
		for _, f := range all {
			if strings.EqualFold(f.ID.String(), parts[0]) && (len(parts) == 1 || len(parts) == 2 && f.name == parts[1]) {
				files = append(files, f)
			}
		}
		return files, nil, nil
	case len(parts) == 0:
		return nil, s.made, nil
	}
	e, err := s.brought(parts[0])
	if err != nil || e.Blob == "" {
		return nil, nil, err
	}
	return []shown{{e, e.Name}}, nil, nil
}

func (s *session) list(verb, arg string) {
	if strings.HasPrefix(arg, "-") { // flags of ls
		_, arg, _ = strings.Cut(arg, " ")
	}
	files, folders, err := s.listed(s.resolve(arg))
	if err != nil {
		s.fail(err)
		return
	}
	var b strings.Builder
	for _, f := range files {
		switch verb {
		case "NLST":
			b.WriteString(f.name)
		case "MLSD":
			b.WriteString(s.facts(f))
		default:
			fmt.Fprintf(&b, "-rw-r----- 1 smev smev %12d %s %s", f.Size, s.modified(f).Format("Jan _2 15:04"), f.name)
		}
		b.WriteString("\r\n")
	}
	for _, id := range folders {
		switch verb {
		case "NLST":
			b.WriteString(id.String())
		case "MLSD":
			b.WriteString("type=dir; " + id.String())
		default:
			b.WriteString("drwxr-x--- 1 smev smev 0 Jan  1 00:00 " + id.String())
		}
		b.WriteString("\r\n")
	}
	s.transfer("here it comes", func(conn net.Conn) error {
		_, err := s.sendAll(conn, strings.NewReader(b.String()))
		return err
	})
}
