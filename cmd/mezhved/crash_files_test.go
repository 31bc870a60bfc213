package main

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mezhved/adapter/party"
	"mezhved/envelopes"
)

// TestFilesSurviveKills kills -9 the gateway at every step of a file's life: in
// the middle of its upload, after its message was accepted, after it was handed
// out, in the middle of its download, after the Ack. The file arrives, once its
// message is acknowledged nobody gets at it, and nothing of it is left.
func TestFilesSurviveKills(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills servers")
	}
	t.Parallel()
	w := openCrashWorld(t)
	w.kafkaChild()
	ftp := freeAddress(t)
	replaceIn(t, filepath.Join(w.dir, "mezhved.yaml"), "listen: 127.0.0.1:0 ", "listen: "+ftp+" ")
	w.startGateway()
	restart := func() {
		w.gateway.kill()
		w.startGateway()
	}
	ctx := t.Context()
	play, err := newPlay(ctx, t.Output(), w.dir, w.base)
	w.must(err)
	store := &party.FileStore{URL: "ftp://" + ftp, Attempts: 10, Pause: 200 * time.Millisecond}
	town, registry := play.client("PRIMERSK", envelopes.V12), play.client("ROSREESTR", envelopes.V12)

	content := bytes.Repeat([]byte("план участка\n"), 400_000)
	opened := 0
	ref, err := store.Bring(ctx, "план.txt", "text/plain", func() (io.ReadCloser, error) {
		opened++
		r := &interrupted{Reader: bytes.NewReader(content)}
		if opened == 2 { // the first opening is for the digest
			r.at, r.act = len(content)/2, restart
		}
		return io.NopCloser(r), nil
	})
	w.must(err)
	if opened < 3 {
		t.Errorf("the upload was not interrupted: %d openings", opened)
	}
	restart()
	receipt, err := town.SendRequest(ctx, party.Request{Content: sample("egrn-extract", "1.1.0", "request"), References: []envelopes.AttachmentReference{ref}})
	w.must(err)
	restart()
	var m *party.Message
	w.await("the request comes", func() bool {
		m, err = registry.PollRequest(ctx, party.Selector{Wait: time.Second})
		return err == nil && m != nil
	})
	restart()
	var got bytes.Buffer
	sink := &interrupted{Writer: &got, at: len(content) / 2, act: restart}
	w.must(store.Fetch(ctx, m.Files[0], m.Hash(m.Files[0]), sink))
	if !bytes.Equal(got.Bytes(), content) || sink.act != nil {
		t.Errorf("fetched %d bytes of %d, interrupted: %v", got.Len(), len(content), sink.act == nil)
	}
	w.must(registry.Ack(ctx, receipt.MessageID, true))
	restart()
	if err := store.Fetch(ctx, m.Files[0], m.Hash(m.Files[0]), io.Discard); err == nil {
		t.Error("the account is good after the Ack")
	}
	// The upload that was killed has left a part, which goes when it is old.
	dir := filepath.Join(w.dir, "files")
	w.await("the file has gone", func() bool { return len(filesIn(t, dir, false)) == 0 })
	for _, left := range filesIn(t, dir, true) {
		old := time.Now().Add(-24 * time.Hour)
		w.must(os.Chtimes(left, old, old))
	}
	restart()
	w.await("nothing is left on the disk", func() bool { return len(filesIn(t, dir, true)) == 0 })
}

// interrupted does something once, when so many bytes have passed.
type interrupted struct {
	io.Reader
	io.Writer
	at, passed int
	act        func()
}

func (i *interrupted) pass(n int, err error) (int, error) {
	if i.passed += n; i.act != nil && i.passed >= i.at {
		act := i.act
		i.act = nil
		act()
	}
	return n, err
}

func (i *interrupted) Read(p []byte) (int, error)  { return i.pass(i.Reader.Read(p)) }
func (i *interrupted) Write(p []byte) (int, error) { return i.pass(i.Writer.Write(p)) }

// filesIn lists the files below a folder, with or without parts of uploads.
func filesIn(t *testing.T, dir string, parts bool) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		part, _ := filepath.Match("part-*", filepath.Base(path))
		if err == nil && !d.IsDir() && (parts || !part) {
			names = append(names, path)
		}
		return nil // the sweep is at work
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
