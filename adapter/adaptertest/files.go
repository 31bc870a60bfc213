package adaptertest

import (
	"bytes"
	"context"
	"io"
	"net"
	"time"

	"github.com/google/uuid"
	"github.com/jlaffaye/ftp"

	"mezhved/adapter"
	"mezhved/adapter/files"
	"mezhved/envelopes"
	"mezhved/signing/gost"
)

// WithFiles gives the world a file store with its FTP door.
func WithFiles(change ...func(*adapter.Config)) Option {
	return func(w *World) {
		w.Config.Files.Dir, w.Config.FTP.Listen = w.path("files"), "127.0.0.1:0"
		for _, c := range change {
			c(&w.Config)
		}
	}
}

// openFiles builds the file store of a node, if the world has one.
func (w *World) openFiles(c adapter.Config, rooms *adapter.Rooms) (address string) {
	w.T.Helper()
	if c.Files.Dir == "" {
		return ""
	}
	s, err := files.Open(files.Options{
		Config: c.Files, Index: w.FileIndex, Keys: [][]byte{w.key}, Log: rooms.Log, Now: w.Clock.Now, Sweep: 50 * time.Millisecond, Metrics: rooms.Metrics,
	})
	w.must(err)
	door, err := s.Listen(c.FTP)
	w.must(err)
	if c.Files.S3 {
		rooms.Objects, err = s.S3(c.FTP)
		w.must(err)
	}
	rooms.Files = s
	rooms.Loops = append(rooms.Loops, adapter.Loop{Name: "files", Run: s.Run}, adapter.Loop{Name: "ftp", Run: door.Run})
	return door.Addr().String()
}

// FTP logs in at the world's file store.
func (w *World) FTP(user, password string) (*ftp.ServerConn, error) {
	w.T.Helper()
	c, err := ftp.Dial(w.FTPAddress, ftp.DialWithTimeout(10*time.Second))
	w.must(err)
	if err := c.Login(user, password); err != nil {
		c.Quit()
		return nil, err
	}
	return c, nil
}

// Bring puts a file into the store as a sender does and gives the reference that
// a message makes to it.
func (w *World) Bring(name string, content []byte) envelopes.AttachmentReference {
	w.T.Helper()
	c, err := w.FTP("anonymous", "smev")
	w.must(err)
	defer c.Quit()
	id := w.NewMessageID()
	w.must(c.MakeDir(id))
	w.must(c.ChangeDir(id))
	w.must(c.Stor(name, bytes.NewReader(content)))
	return Reference(id, content)
}

// Reference is what a message says of a file.
func Reference(id string, content []byte) envelopes.AttachmentReference {
	h := gost.NewStreebog256()
	h.Write(content)
	return envelopes.AttachmentReference{UUID: id, Hash: h.Sum(nil), MimeType: "application/zip"}
}

// Fetch gets a file as the reader of a message does: from the root of its login.
func (w *World) Fetch(f envelopes.FSAttachment) ([]byte, error) {
	w.T.Helper()
	c, err := w.FTP(f.UserName, f.Password)
	if err != nil {
		return nil, err
	}
	defer c.Quit()
	r, err := c.Retr(f.FileName)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(r)
	if e := r.Close(); err == nil {
		err = e
	}
	return content, err
}

// Stored tells which files the store knows of these, whole or not.
func (w *World) Stored(refs ...envelopes.AttachmentReference) (n int) {
	w.T.Helper()
	ids := make([]uuid.UUID, len(refs))
	for i, r := range refs {
		ids[i] = uuid.MustParse(r.UUID)
	}
	found, err := w.store.FindFiles(context.Background(), ids)
	w.must(err)
	return len(found)
}

// RawFTP is a connection for a caller that keeps to no rules.
func (w *World) RawFTP() net.Conn {
	w.T.Helper()
	c, err := net.Dial("tcp", w.FTPAddress)
	w.must(err)
	w.T.Cleanup(func() { c.Close() })
	return c
}

// BreakableFiles is an index of files whose writes can be broken.
type BreakableFiles struct {
	files.Index
	breaker
}

// PutFile is files.Index.PutFile.
func (b *BreakableFiles) PutFile(ctx context.Context, f adapter.FileEntry, upload string, now time.Time) (gone []string, err error) {
	err = b.do("PutFile", func() error { gone, err = b.Index.PutFile(ctx, f, upload, now); return err })
	return gone, err
}

// GrantFiles is files.Index.GrantFiles.
func (b *BreakableFiles) GrantFiles(ctx context.Context, g adapter.FileGrant) error {
	return b.do("GrantFiles", func() error { return b.Index.GrantFiles(ctx, g) })
}

// ReleaseFiles is files.Index.ReleaseFiles. Only passes that have something to
// remove break.
func (b *BreakableFiles) ReleaseFiles(ctx context.Context, now, idle, abandoned time.Time) (gone []adapter.FileEntry, more bool, err error) {
	gone, more, err = b.Index.ReleaseFiles(ctx, now, idle, abandoned)
	if err == nil && len(gone) > 0 {
		err = b.do("ReleaseFiles", func() error { return nil })
	}
	if err != nil {
		gone, more = nil, false
	}
	return gone, more, err
}
