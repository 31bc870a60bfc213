package files

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/envelopes/xmltape"
)

// Bucket is the first part of every path of the S3 door.
const Bucket = "attachment"

// S3 is the door of the store for clients of S3: path style, Signature Version 4,
// the bucket "attachment", keys <uuid>/<name>. Of the interface it has what
// bringing and fetching one file takes: PUT, multipart upload, GET with Range,
// HEAD, DELETE, the location of the bucket. Accounts are those of the FTP door,
// as access key and secret key; a reader may leave the uuid out of the key.
//
// It stands beside the SOAP doors, on their address, where clients look for it.
type S3 struct {
	store    *Store
	password []byte // of anonymous; nil: any signature will do, as any password does at the other door
	stall    time.Duration
	gate     *gate
}

// S3 makes the door. Its bounds and upload password are those of the FTP door.
func (s *Store) S3(c adapter.FTPConfig) (*S3, error) {
	password, err := UploadPassword(c)
	if err != nil {
		return nil, err
	}
	return &S3{store: s, password: password, stall: c.Stall.D(), gate: newGate(c.Connections, c.PerAddress)}, nil
}

// derived is the password of an account. It is made anew wherever it is needed,
// because Signature Version 4 wants the secret itself: the database has a digest.
func derived(key []byte, user string) string {
	h := hmac.New(sha256.New, key)
	io.WriteString(h, "mezhved file account 1\x00"+user)
	return strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil)[:20]))
}

// request is one call of the S3 door.
type request struct {
	door  *S3
	w     http.ResponseWriter
	r     *http.Request
	ctl   *http.ResponseController
	sig   *sigV4
	owner string  // of what is brought
	files []shown // a reader's
	key   []string
}

// ServeHTTP serves one call.
func (d *S3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{door: d, w: w, r: r, ctl: http.NewResponseController(w)}
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	if why := d.gate.enter(address); why != "" {
		d.store.metrics.refused.WithLabelValues("connections").Inc()
		q.refuse(http.StatusServiceUnavailable, "SlowDown", why)
		return
	}
	defer d.gate.leave(address)
	if err := q.prove(address); err != nil {
		var denied *sigError
		if errors.As(err, &denied) {
			d.store.metrics.refused.WithLabelValues("login").Inc()
			d.store.log.Info("a call of the S3 door was refused", "remote", address, "reason", denied.code)
			select { // as at the other door: whoever guesses does it slowly, and holds its place meanwhile
			case <-time.After(loginPause):
			case <-r.Context().Done():
			}
		}
		q.fail(err)
		return
	}
	if err := q.work(); err != nil {
		q.fail(err)
	}
}

// prove finds out who calls and what it may do.
func (q *request) prove(address string) error {
	s := q.door.store
	sig, err := readSigV4(q.r, s.now())
	if err != nil {
		return err
	}
	q.sig = sig
	if sig.accessKey == "anonymous" {
		q.owner = "anonymous@" + adapter.Neighbourhood(address)
		if q.door.password == nil {
			return nil
		}
		return sig.verify(q.r, string(q.door.password))
	}
	ctx, cancel := q.patience()
	defer cancel()
	secret, entries, err := s.index.GrantedFiles(ctx, sig.accessKey, s.now().UTC())
	if errors.Is(err, adapter.ErrNotFound) {
		return &sigError{"InvalidAccessKeyId", "there is no such account, or its message has been taken"}
	}
	if err != nil {
		return err
	}
	for _, k := range s.keys {
		if password := derived(k, sig.accessKey); sha256.Sum256([]byte(password)) == secret {
			q.files = showAll(entries)
			return sig.verify(q.r, password)
		}
	}
	return &sigError{"InvalidAccessKeyId", "this account was given by a node with other keys"}
}

func (q *request) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(q.r.Context()), indexPatience)
}

// work finds the operation.
func (q *request) work() error {
	path := strings.TrimPrefix(q.r.URL.Path, "/"+Bucket)
	query := q.r.URL.Query()
	if strings.Trim(path, "/") == "" {
		switch {
		case q.r.Method == http.MethodGet && query.Has("location"):
			return q.answer(`<LocationConstraint xmlns="` + s3Space + `"></LocationConstraint>`)
		case q.r.Method == http.MethodHead:
			return nil
		}
		return errNotImplemented
	}
	q.key = strings.Split(strings.TrimLeft(path, "/"), "/")
	if q.r.Header.Get("X-Amz-Copy-Source") != "" || query.Has("acl") || query.Has("tagging") || query.Has("attributes") {
		return errNotImplemented
	}
	reading := q.r.Method == http.MethodGet || q.r.Method == http.MethodHead
	switch {
	case reading && !query.Has("uploadId"):
		return q.read()
	case q.owner == "" || reading:
		return errDenied
	}
	if len(q.key) != 2 {
		return &NameError{"keys are <uuid>/<name>"}
	}
	id, err := q.door.store.folder(q.key[0])
	if err == nil {
		err = checkName(q.key[1])
	}
	if err != nil {
		q.door.store.metrics.refuse(err)
		return err
	}
	switch {
	case q.r.Method == http.MethodPut && query.Has("uploadId"):
		return q.putPart(id, query.Get("uploadId"), query.Get("partNumber"))
	case q.r.Method == http.MethodPut:
		return q.put(id)
	case q.r.Method == http.MethodPost && query.Has("uploads"):
		return q.beginParts(id)
	case q.r.Method == http.MethodPost && query.Has("uploadId"):
		return q.completeParts(id, query.Get("uploadId"))
	case q.r.Method == http.MethodDelete && query.Has("uploadId"):
		return q.abortParts(id, query.Get("uploadId"))
	case q.r.Method == http.MethodDelete:
		return q.drop()
	}
	return errNotImplemented
}

const s3Space = "http://s3.amazonaws.com/doc/2006-03-01/"

var (
	errNotImplemented = errors.New("this store has no such operation")
	errDenied         = errors.New("not with this account: anonymous brings files, an account from a poll fetches them")
	errNoUpload       = errors.New("there is no such upload, or not any more")
	errPart           = errors.New("the parts are not those that were brought")
	errDigest         = errors.New("the body has not the digest of Content-MD5")
)

// fail answers an error in the words of S3.
func (q *request) fail(err error) {
	var sig *sigError
	var name *NameError
	var limit *LimitError
	var much *adapter.TooMuchError
	switch {
	case errors.As(err, &sig) && (sig.code == "AuthorizationHeaderMalformed" || sig.code == "InvalidRequest" || sig.code == "XAmzContentSHA256Mismatch" || sig.code == "MissingContentLength"):
		q.refuse(http.StatusBadRequest, sig.code, sig.why)
	case errors.As(err, &sig):
		q.refuse(http.StatusForbidden, sig.code, sig.why)
	case errors.As(err, &name):
		q.refuse(http.StatusBadRequest, "InvalidArgument", name.Why)
	case errors.As(err, &limit) && limit.Limit == "file":
		q.refuse(http.StatusBadRequest, "EntityTooLarge", limit.Error())
	case errors.As(err, &limit):
		q.refuse(http.StatusForbidden, "QuotaExceeded", limit.Error())
	case errors.Is(err, adapter.ErrFileTaken):
		q.refuse(http.StatusForbidden, "AccessDenied", adapter.ErrFileTaken.Error())
	case errors.Is(err, errDenied):
		q.refuse(http.StatusForbidden, "AccessDenied", errDenied.Error())
	case errors.Is(err, fs.ErrNotExist):
		q.refuse(http.StatusNotFound, "NoSuchKey", "there is no such file, or not any more")
	case errors.Is(err, errNoUpload):
		q.refuse(http.StatusNotFound, "NoSuchUpload", errNoUpload.Error())
	case errors.Is(err, errPart):
		q.refuse(http.StatusBadRequest, "InvalidPart", errPart.Error())
	case errors.Is(err, errDigest):
		q.refuse(http.StatusBadRequest, "BadDigest", errDigest.Error())
	case errors.As(err, &much):
		q.refuse(http.StatusBadRequest, "EntityTooLarge", much.Error())
	case errors.Is(err, adapter.ErrNoRoom):
		q.refuse(http.StatusServiceUnavailable, "SlowDown", adapter.ErrNoRoom.Error()+", come again later")
	case errors.Is(err, errNotImplemented):
		q.refuse(http.StatusNotImplemented, "NotImplemented", errNotImplemented.Error())
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, os.ErrDeadlineExceeded):
		q.refuse(http.StatusBadRequest, "IncompleteBody", "the body ended before its end")
	default:
		q.door.store.log.Error("the S3 door failed", "remote", q.r.RemoteAddr, "error", err)
		q.refuse(http.StatusServiceUnavailable, "ServiceUnavailable", "the file store is out of order, come again later")
	}
}

func (q *request) refuse(status int, code, message string) {
	h := q.w.Header()
	h.Set("Content-Type", "application/xml")
	if q.r.ContentLength != 0 && status >= 400 {
		h.Set("Connection", "close") // the body is not read to its end
	}
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "5")
	}
	q.ctl.SetWriteDeadline(time.Now().Add(q.door.stall))
	q.w.WriteHeader(status)
	if q.r.Method != http.MethodHead {
		fmt.Fprintf(q.w, "%s<Error><Code>%s</Code><Message>%s</Message><Resource>%s</Resource></Error>", xml.Header, code, escaped(message), escaped(q.r.URL.Path))
	}
}

func escaped(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s))
	return b.String()
}

func (q *request) answer(body string) error {
	q.w.Header().Set("Content-Type", "application/xml")
	q.ctl.SetWriteDeadline(time.Now().Add(q.door.stall))
	_, _ = io.WriteString(q.w, xml.Header+body) // who has gone needs no answer
	return nil
}

// etag is an opaque word for a file. It has the shape of an upload of parts, which
// clients do not hold against an MD5.
func etag(sum []byte) string { return `"` + hex.EncodeToString(sum[:16]) + `-1"` }

// read serves GET and HEAD: a reader's files, and HEAD of what was brought.
func (q *request) read() error {
	s := q.door.store
	var found *shown
	for i, f := range q.files {
		if len(q.key) == 1 && f.name == q.key[0] || len(q.key) == 2 && strings.EqualFold(f.ID.String(), q.key[0]) && (f.Name == q.key[1] || f.name == q.key[1]) {
			found = &q.files[i]
			break
		}
	}
	if found == nil && q.owner != "" && q.r.Method == http.MethodHead && len(q.key) == 2 {
		own, err := q.own()
		if err != nil {
			return err
		}
		if own.Whole && own.Name == q.key[1] {
			found = &shown{own, own.Name}
		}
	}
	if found == nil {
		return fs.ErrNotExist
	}
	f, err := s.open(found.FileEntry)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h := q.w.Header()
	h.Set("ETag", etag(found.SHA256[:]))
	h.Set("Content-Type", "application/octet-stream")
	out := &slow{ResponseWriter: q.w, ctl: q.ctl, stall: q.door.stall}
	http.ServeContent(out, q.r, "", info.ModTime(), f)
	if q.r.Method == http.MethodGet {
		s.metrics.fetched.Add(float64(out.written))
	}
	return nil
}

// own is what the caller has brought into the folder of the key.
func (q *request) own() (e adapter.FileEntry, err error) {
	id, err := q.door.store.folder(q.key[0])
	if err != nil {
		return e, err
	}
	ctx, cancel := q.patience()
	defer cancel()
	return q.door.store.brought(ctx, id, sender{owner: q.owner})
}

// slow is an answer that may take as long as something moves.
type slow struct {
	http.ResponseWriter
	ctl     *http.ResponseController
	stall   time.Duration
	written int64
}

func (s *slow) Write(p []byte) (int, error) {
	s.ctl.SetWriteDeadline(time.Now().Add(s.stall))
	n, err := s.ResponseWriter.Write(p)
	s.written += int64(n)
	return n, err
}

// arriving is a body that may take as long as something moves, held against
// Content-MD5 when there is one.
type arriving struct {
	in    io.Reader
	ctl   *http.ResponseController
	stall time.Duration
	sum   hash.Hash
	want  []byte
}

func (a *arriving) Read(p []byte) (int, error) {
	a.ctl.SetReadDeadline(time.Now().Add(a.stall))
	n, err := a.in.Read(p)
	if a.sum != nil {
		a.sum.Write(p[:n])
		if errors.Is(err, io.EOF) && !slices.Equal(a.sum.Sum(nil), a.want) {
			return n, errDigest
		}
	}
	return n, err
}

func (q *request) body() (io.Reader, error) {
	if most := int64(q.door.store.config.File); q.r.ContentLength > most+most/8+(1<<20) { // room for the signatures of chunks
		return nil, &LimitError{"file", most}
	}
	in, err := q.sig.body(q.r)
	if err != nil {
		return nil, err
	}
	a := &arriving{in: in, ctl: q.ctl, stall: q.door.stall}
	if m := q.r.Header.Get("Content-Md5"); m != "" {
		if a.want, err = base64.StdEncoding.DecodeString(m); err != nil {
			return nil, errDigest
		}
		a.sum = md5.New()
	}
	return a, nil
}

// take copies the body into an upload.
func (q *request) take(u *upload) error {
	in, err := q.body()
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{u}, in, make([]byte, 256<<10))
	return err
}

// put brings a whole file.
func (q *request) put(id uuid.UUID) error {
	ctx, cancel := q.patience()
	defer cancel()
	u, err := q.door.store.bring(ctx, id, sender{q.owner, rand.Text()}, q.key[1], 0)
	if err != nil {
		return err
	}
	defer u.abort()
	if err := q.take(u); err != nil {
		return err
	}
	sum := u.sha.Sum(nil)
	noted, done := q.patience()
	defer done()
	if err := u.finish(noted, ""); err != nil {
		return err
	}
	q.w.Header().Set("ETag", etag(sum))
	return nil
}

// drop answers who wants a file deleted. Each call of this door is a session of
// its own, and only the session that has brought a file may delete it: what is
// there stays until its message has been taken, or it is swept.
func (q *request) drop() error {
	e, err := q.own()
	switch {
	case errors.Is(err, fs.ErrNotExist): // S3 says yes to that
	case err != nil:
		return err
	case e.Name == q.key[1]:
		return fmt.Errorf("file %s: %w", e.ID, adapter.ErrFileTaken)
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

// The parts of an upload lie in the folder of its file, and the index names them:
// whichever node a part comes to, and whichever node completes the upload, they are
// there, and each counts once. Whoever knows the upload's name, which is secret, may
// bring parts and complete it. What is never completed is abandoned and swept.

const mostParts = 10_000

func (q *request) beginParts(id uuid.UUID) error {
	ctx, cancel := q.patience()
	defer cancel()
	s, upload := q.door.store, rand.Text()
	if _, err := s.makeFolder(ctx, id.String(), sender{q.owner, upload}); err != nil {
		return err
	}
	if _, err := s.index.PutPart(ctx, adapter.FilePart{Folder: id, Upload: upload, Owner: q.owner}, s.now().UTC()); err != nil {
		return err
	}
	return q.answer(`<InitiateMultipartUploadResult xmlns="` + s3Space + `"><Bucket>` + Bucket + `</Bucket><Key>` + escaped(strings.Join(q.key, "/")) +
		`</Key><UploadId>` + upload + `</UploadId></InitiateMultipartUploadResult>`)
}

// parts gives what has come of an upload, in its order, how much that is, and whom
// it counts to.
func (q *request) parts(id uuid.UUID, upload string) (list []adapter.FilePart, total int64, by sender, err error) {
	ctx, cancel := q.patience()
	defer cancel()
	all, err := q.door.store.index.UploadParts(ctx, id, upload)
	for _, p := range all {
		if p.N == 0 {
			by = sender{p.Owner, upload}
		} else {
			list, total = append(list, p), total+p.Size
		}
	}
	if err == nil && by.session == "" {
		err = errNoUpload
	}
	return list, total, by, err
}

func (q *request) putPart(id uuid.UUID, upload, number string) error {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > mostParts {
		return &NameError{"partNumber is 1 to 10000"}
	}
	list, total, by, err := q.parts(id, upload)
	if err != nil {
		return err
	}
	var replaced int64
	for _, p := range list {
		if p.N == n {
			replaced = p.Size
		}
	}
	ctx, cancel := q.patience()
	defer cancel()
	s := q.door.store
	u, err := s.begin(ctx, id, by, q.key[1], replaced, false)
	if err != nil {
		return err
	}
	defer u.abort()
	u.beside = total - replaced
	if err := q.take(u); err != nil {
		return err
	}
	sum := u.sha.Sum(nil)
	noted, done := q.patience()
	defer done()
	if err := u.leave(noted, upload, n); err != nil {
		return noUpload(err)
	}
	q.w.Header().Set("ETag", etag(sum))
	return nil
}

// noUpload is what the index says of an upload that has ended meanwhile.
func noUpload(err error) error {
	if errors.Is(err, adapter.ErrNotFound) {
		return errNoUpload
	}
	return err
}

// completeParts makes the file of its parts. They are named by number and the
// ETag that each was answered with. Told twice, because an answer was lost, it says
// the same twice.
func (q *request) completeParts(id uuid.UUID, upload string) error {
	sum, err := q.putTogether(id, upload)
	if err == nil {
		return q.completed(sum)
	}
	ctx, cancel := q.patience()
	defer cancel()
	entries, e := q.door.store.index.FindFiles(ctx, []uuid.UUID{id})
	if i := slices.IndexFunc(entries, func(f adapter.FileEntry) bool { return f.Whole && f.Session == upload }); e == nil && i >= 0 {
		return q.completed(entries[i].SHA256[:])
	}
	return err
}

func (q *request) putTogether(id uuid.UUID, upload string) (sum []byte, err error) {
	list, total, by, err := q.parts(id, upload)
	if err != nil {
		return nil, err
	}
	if err := q.wanted(list); err != nil {
		return nil, err
	}
	ctx, cancel := q.patience()
	defer cancel()
	u, err := q.door.store.bring(ctx, id, by, q.key[1], 0)
	if err != nil {
		return nil, err
	}
	defer u.abort()
	u.room += total                                          // the parts will go
	q.ctl.SetWriteDeadline(time.Now().Add(10 * time.Minute)) // to put a gigabyte together
	for _, p := range list {
		if err := u.appendPart(p); err != nil {
			return nil, err
		}
	}
	sum = u.sha.Sum(nil)
	noted, done := q.patience()
	defer done()
	return sum, noUpload(u.finish(noted, upload))
}

func (q *request) completed(sum []byte) error {
	return q.answer(`<CompleteMultipartUploadResult xmlns="` + s3Space + `"><Location>` + escaped(q.r.URL.Path) + `</Location><Bucket>` + Bucket + `</Bucket><Key>` +
		escaped(strings.Join(q.key, "/")) + `</Key><ETag>` + escaped(etag(sum)) + `</ETag></CompleteMultipartUploadResult>`)
}

// wanted reads which parts make the file. We demand that they are all and are
// numbered from 1, as every client has it.
func (q *request) wanted(list []adapter.FilePart) error {
	in, err := q.sig.body(q.r)
	if err != nil {
		return err
	}
	const most = 2 << 20
	size := int64(most)
	if announced := q.r.ContentLength; announced >= 0 && announced < most {
		size = announced + bytes.MinRead
	}
	holding := q.door.store.memory.Begin(q.owner, false)
	defer holding.Release()
	if err := holding.Hold(q.r.Context(), size); err != nil {
		return err
	}
	into := bytes.NewBuffer(make([]byte, 0, size))
	if _, err := into.ReadFrom(&arriving{in: io.LimitReader(in, size-bytes.MinRead), ctl: q.ctl, stall: q.door.stall}); err != nil {
		return err
	}
	var tape xmltape.Tape
	hold := func(n int) error { return holding.Hold(q.r.Context(), size+int64(n)) }
	err = tape.Parse(into.Bytes(), xmltape.Limits{Hold: hold})
	var gate *xmltape.Error
	switch {
	case errors.As(err, &gate):
		return &NameError{"CompleteMultipartUpload is expected: " + err.Error()}
	case err != nil:
		return err
	}
	n := 0
	for p := range tape.Root().Children() {
		var number, tag string
		for c := range p.Children() {
			switch c.Local() {
			case "PartNumber":
				number = c.TrimText()
			case "ETag":
				tag = c.TrimText()
			}
		}
		if p.Local() != "Part" || n >= len(list) || number != strconv.Itoa(n+1) || list[n].N != n+1 || strings.Trim(tag, `"`) != strings.Trim(etag(list[n].SHA256[:]), `"`) {
			return errPart
		}
		n++
	}
	if n != len(list) || n == 0 {
		return errPart
	}
	return nil
}

func (q *request) abortParts(id uuid.UUID, upload string) error {
	if _, _, _, err := q.parts(id, upload); err != nil {
		return err
	}
	ctx, cancel := q.patience()
	defer cancel()
	gone, err := q.door.store.index.DropParts(ctx, id, upload)
	if err != nil {
		return noUpload(err)
	}
	q.door.store.removeAll(id, gone)
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}
