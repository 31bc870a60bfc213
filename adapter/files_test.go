package adapter_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/envelopes"
)

// withFile is a request that refers to files in the store.
func withFile(refs ...envelopes.AttachmentReference) adaptertest.Request {
	return adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), Stored: refs}
}

// onDisk counts what is in the store's directory.
func onDisk(t *testing.T, w *adaptertest.World) (n int) {
	t.Helper()
	err := filepath.WalkDir(w.Config.Files.Dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return nil // the sweep is at work
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A municipality brings a file over FTP and refers to it; the register is handed
// an account, fetches it and answers with a file of its own. When both are
// acknowledged nothing of them is left.
func TestAFileGoesThroughTheStore(t *testing.T) {
	t.Parallel()
	for _, v := range envelopes.Versions {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			w := adaptertest.Start(t, adaptertest.WithFiles())
			muni, registry := w.Party("MUNI").In(v), w.Party("REGISTRY").In(v)
			plan := bytes.Repeat([]byte("план участка "), 600_000) // 14 MB: no message could carry it
			ref := w.Bring("план участка.zip", plan)
			if v == envelopes.V13 {
				ref.FileName, ref.NamespaceURI = "план участка.zip", "urn://test/plan"
			}
			sent := accepted(t, muni.Send(withFile(ref)))
			got := registry.Await(envelopes.GetRequest, "").Message
			if len(got.Request.References) != 1 || got.Request.References[0].UUID != ref.UUID || got.Request.References[0].FileName != ref.FileName || got.Request.References[0].NamespaceURI != ref.NamespaceURI {
				t.Errorf("delivered references: %+v", got.Request.References)
			}
			if len(got.Files) != 1 || got.Files[0].UUID != ref.UUID || got.Files[0].FileName != "план участка.zip" {
				t.Fatalf("FSAttachmentsList: %+v", got.Files)
			}
			if content, err := w.Fetch(got.Files[0]); err != nil || !bytes.Equal(content, plan) {
				t.Fatalf("fetched %d bytes, %v; want %d", len(content), err, len(plan))
			}
			accepted(t, registry.Ack(sent.Receipt.MessageID))
			if _, err := w.Fetch(got.Files[0]); err == nil {
				t.Error("the account is good after the Ack")
			}
			w.Eventually("the request's file has gone", func() bool { return w.Stored(ref) == 0 && onDisk(t, w) == 0 })

			extract := []byte("выписка")
			back := w.Bring("выписка.pdf", extract)
			accepted(t, registry.Reply(got.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1), Stored: []envelopes.AttachmentReference{back}}))
			answer := muni.Await(envelopes.GetResponse, "").Message
			if len(answer.Files) != 1 || len(answer.Response.References) != 1 {
				t.Fatalf("the answer's files: %+v", answer.Files)
			}
			if content, err := w.Fetch(answer.Files[0]); err != nil || !bytes.Equal(content, extract) {
				t.Errorf("fetched %q, %v", content, err)
			}
			accepted(t, muni.Ack(answer.Metadata.MessageID))
			w.Eventually("the answer's file has gone", func() bool { return w.Stored(back) == 0 && onDisk(t, w) == 0 })
			w.Check()
		})
	}
}

// A request signed in one version is read in another: the accounts come along,
// and what only 1.3 can say is left out for the others.
func TestFilesAcrossVersions(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithFiles())
	for _, from := range envelopes.Versions {
		for _, to := range envelopes.Versions {
			ref := w.Bring("a.zip", []byte(from.String()))
			if from == envelopes.V13 {
				ref.FileName = "a.zip"
			}
			sent := accepted(t, w.Party("MUNI").In(from).Send(withFile(ref)))
			reader := w.Party("REGISTRY").In(to)
			got := reader.Await(envelopes.GetRequest, "").Message
			if len(got.Files) != 1 || len(got.Request.References) != 1 || got.Request.References[0].UUID != ref.UUID {
				t.Fatalf("%s read in %s: %+v, %+v", from, to, got.Files, got.Request.References)
			}
			if content, err := w.Fetch(got.Files[0]); err != nil || string(content) != from.String() {
				t.Errorf("%s read in %s: fetched %q, %v", from, to, content, err)
			}
			accepted(t, reader.Ack(sent.Receipt.MessageID))
		}
	}
	w.Check()
}

// What is wrong with a reference is said at once, by the fault that the
// operation declares, and nothing is accepted.
func TestRefusedFiles(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithFiles(func(c *adapter.Config) {
		c.Files.File, c.Files.Message, c.Files.Sender, c.Files.Recipient = 3000, 4000, 6000, 5000
	}))
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	a, b := w.Bring("a", bytes.Repeat([]byte("a"), 2500)), w.Bring("b", bytes.Repeat([]byte("b"), 2500))
	short := w.Bring("s", []byte("s"))
	wrong := a
	wrong.Hash = bytes.Repeat([]byte{7}, 32)
	empty := a
	empty.Hash = []byte{1}
	for _, tt := range []struct {
		name string
		refs []envelopes.AttachmentReference
		kind envelopes.FaultKind
		text string
	}{
		{"missing", []envelopes.AttachmentReference{adaptertest.Reference(w.NewMessageID(), []byte("x"))}, envelopes.AttachmentContentMiscoordination, "не найден"},
		{"wrong digest", []envelopes.AttachmentReference{wrong}, envelopes.AttachmentContentMiscoordination, "не совпадает"},
		{"short digest", []envelopes.AttachmentReference{empty}, envelopes.AttachmentContentMiscoordination, "не совпадает"},
		{"twice", []envelopes.AttachmentReference{short, short}, envelopes.AttachmentContentMiscoordination, "дважды"},
		{"too large together", []envelopes.AttachmentReference{a, b}, envelopes.AttachmentSizeLimitExceeded, "ftp файлов"},
	} {
		got := muni.Send(withFile(tt.refs...))
		if got.Fault == nil || got.Fault.Kind != tt.kind || !strings.Contains(got.Fault.Text, tt.text) {
			t.Errorf("%s: %v, want %s with %q", tt.name, got.Fault, tt.kind, tt.text)
		}
		if got.Fault != nil && tt.kind == envelopes.AttachmentSizeLimitExceeded && (got.Fault.Permitted != 4000 || got.Fault.Real != 5000) {
			t.Errorf("%s: permitted %d, real %d", tt.name, got.Fault.Permitted, got.Fault.Real)
		}
		if strings.Contains(string(got.Body), fmt.Sprintf("%x", a.Hash)) {
			t.Errorf("%s: the right digest is told to somebody who may not know it", tt.name)
		}
	}
	accepted(t, muni.Send(withFile(a)))
	got := muni.Send(withFile(b, w.Bring("c", bytes.Repeat([]byte("c"), 1000))))
	if got.Fault == nil || got.Fault.Kind != envelopes.QuoteLimitExceeded || got.Fault.Permitted != 2500 || got.Fault.Real != 3500 {
		t.Errorf("over the recipient's quota: %+v", got.Fault)
	}
	first := registry.Await(envelopes.GetRequest, "").Message
	accepted(t, registry.Ack(first.Metadata.MessageID))
	w.Eventually("the quota is free again", func() bool { return w.Stored(a) == 0 })
	accepted(t, muni.Send(withFile(b)))

	// An upload over the limit of one file, and what broke off.
	c, err := w.FTP("anonymous", "smev")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Quit()
	if err := c.Stor(w.NewMessageID()+"/large", bytes.NewReader(make([]byte, 3001))); err == nil || !strings.Contains(err.Error(), "552") {
		t.Errorf("a file over the limit: %v, want 552", err)
	}
	w.Check()
}

// A node without a file store says so, as before.
func TestNoFileStore(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	got := w.Party("MUNI").Send(withFile(adaptertest.Reference(w.NewMessageID(), []byte("x"))))
	if got.Fault == nil || got.Fault.Kind != envelopes.AttachmentContentMiscoordination || !strings.Contains(got.Fault.Description, "не подключено") {
		t.Errorf("without a file store: %v", got.Fault)
	}
	w.Check()
}

// The door for clients of S3 stands beside the SOAP doors, where it is asked for.
func TestObjectsDoor(t *testing.T) {
	t.Parallel()
	for s3, want := range map[bool]int{true: 403, false: 404} {
		w := adaptertest.Start(t, adaptertest.WithFiles(func(c *adapter.Config) { c.Files.S3 = s3 }))
		for _, path := range []string{"/attachment", "/attachment/", "/attachment/" + w.NewMessageID() + "/f"} {
			resp, err := w.HTTP.Get(w.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("s3: %v: %s gives %d, want %d", s3, path, resp.StatusCode, want)
			}
		}
		front, err := w.HTTP.Get(w.URL + "/")
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(front.Body)
		front.Body.Close()
		if strings.Contains(string(text), "S3") != s3 || !strings.Contains(string(text), "FTP") {
			t.Errorf("s3: %v: the front page says %s", s3, text)
		}
	}
}

// Each delivery has an account of its own; all of them see the files of their
// message and nothing else, and write nothing.
func TestAccountsOfDeliveries(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithFiles())
	muni, registry, moscow := w.Party("MUNI"), w.Party("REGISTRY"), w.Party("MOSCOW")
	ours, twin, theirs := w.Bring("отчёт.pdf", []byte("ours")), w.Bring("отчёт.pdf", []byte("twin")), w.Bring("theirs.pdf", []byte("theirs"))
	sent := accepted(t, muni.Send(withFile(ours, twin)))
	accepted(t, muni.Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Regional, "77"), Stored: []envelopes.AttachmentReference{theirs}}))
	first := registry.Await(envelopes.GetRequest, "").Message.Files
	other := moscow.Await(envelopes.GetRequest, "").Message.Files
	if first[0].FileName != "отчёт.pdf" || first[1].FileName != "отчёт-2.pdf" {
		t.Errorf("two files of one name are shown as %q and %q", first[0].FileName, first[1].FileName)
	}
	if first[0].UserName == other[0].UserName || first[0].Password == other[0].Password || len(first[0].Password) < 20 {
		t.Errorf("accounts: %+v, %+v", first[0], other[0])
	}
	w.Clock.Advance(16 * time.Minute) // the lease runs out
	again := registry.Await(envelopes.GetRequest, "").Message.Files
	if again[0].UserName == first[0].UserName {
		t.Error("the second delivery has the first one's account")
	}
	for _, f := range append(append([]envelopes.FSAttachment{}, first...), again...) {
		want := map[string]string{ours.UUID: "ours", twin.UUID: "twin"}[f.UUID]
		if content, err := w.Fetch(f); err != nil || string(content) != want {
			t.Errorf("%s: %q, %v, want %q", f.FileName, content, err, want)
		}
	}

	c, err := w.FTP(first[0].UserName, first[0].Password)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Quit()
	get := func(path string) (string, error) {
		r, err := c.Retr(path)
		if err != nil {
			return "", err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		return string(b), err
	}
	for _, path := range []string{"/отчёт.pdf", ours.UUID + "/отчёт.pdf", strings.ToUpper(ours.UUID) + "/отчёт.pdf", "/" + twin.UUID + "/отчёт-2.pdf", twin.UUID + "/отчёт.pdf"} {
		if content, err := get(path); err != nil || content != "ours" && content != "twin" {
			t.Errorf("%s: %q, %v", path, content, err)
		}
	}
	for _, path := range []string{theirs.UUID + "/theirs.pdf", "theirs.pdf", "../" + theirs.UUID + "/theirs.pdf", "/etc/passwd", "", "/", ours.UUID, ours.UUID + "/../" + theirs.UUID + "/theirs.pdf"} {
		if content, err := get(path); err == nil {
			t.Errorf("%q was fetched: %q", path, content)
		}
	}
	if err := c.ChangeDir(theirs.UUID); err == nil {
		t.Error("another message's folder was entered")
	}
	if err := c.ChangeDir(strings.ToUpper(ours.UUID)); err != nil {
		t.Error(err)
	}
	if content, err := get("отчёт.pdf"); err != nil || content != "ours" {
		t.Errorf("in the folder: %q, %v", content, err)
	}
	if names, err := c.NameList("/"); err != nil || len(names) != 2 {
		t.Errorf("the root lists %q, %v", names, err)
	}
	if size, err := c.FileSize("/отчёт.pdf"); err != nil || size != 4 {
		t.Errorf("size %d, %v", size, err)
	}
	r, err := c.RetrFrom("/отчёт.pdf", 2)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(r); string(b) != "rs" {
		t.Errorf("from byte 2: %q", b)
	}
	r.Close()
	for what, err := range map[string]error{
		"STOR": c.Stor(ours.UUID+"/отчёт.pdf", strings.NewReader("forged")), "MKD": c.MakeDir(w.NewMessageID()),
		"DELE": c.Delete(ours.UUID + "/отчёт.pdf"), "RMD": c.RemoveDir(ours.UUID),
	} {
		if err == nil {
			t.Errorf("a reader's %s was carried out", what)
		}
	}

	// Wrong accounts, and the right one after the Ack, in a session that is open.
	for _, bad := range [][2]string{{first[0].UserName, other[0].Password}, {first[0].UserName, ""}, {"nobody", "x"}, {"' OR 1=1 --", "x"}} {
		if _, err := w.FTP(bad[0], bad[1]); err == nil {
			t.Errorf("%q was let in", bad)
		}
	}
	accepted(t, registry.Ack(sent.Receipt.MessageID))
	if content, err := get("/отчёт.pdf"); err == nil {
		t.Errorf("an open session fetches after the Ack: %q", content)
	}
	if _, err := w.FTP(again[0].UserName, again[0].Password); err == nil {
		t.Error("the account is good after the Ack")
	}
	if content, err := w.Fetch(other[0]); err != nil || string(content) != "theirs" {
		t.Errorf("the other message's reader: %q, %v", content, err)
	}
	w.Clock.Advance(25 * time.Hour)
	if _, err := w.FTP(other[0].UserName, other[0].Password); err == nil {
		t.Error("an account is good for ever")
	}
	w.Check()
}

// Who brings files cannot touch what a message holds or what another has
// brought, and reads nothing.
func TestWhoBringsFiles(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithFiles())
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	c, err := w.FTP("anonymous", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Quit()
	neighbour, err := w.FTP("anonymous", "") // behind the same address
	if err != nil {
		t.Fatal(err)
	}
	defer neighbour.Quit()
	if names, err := c.NameList("/"); err != nil || len(names) != 0 {
		t.Errorf("anonymous sees %q, %v", names, err)
	}
	ref := adaptertest.Reference(w.NewMessageID(), []byte("first"))
	if err := errors.Join(c.MakeDir(ref.UUID), c.Stor(ref.UUID+"/a.zip", strings.NewReader("first"))); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Retr(ref.UUID + "/a.zip"); err == nil {
		t.Error("anonymous fetched a file")
	}
	// Brought again by its session before its message: replaced. And gone on with
	// behind what is there.
	if err := c.Stor(ref.UUID+"/a.zip", strings.NewReader("second")); err != nil {
		t.Error(err)
	}
	if got := muni.Send(withFile(ref)); got.Fault == nil {
		t.Error("the digest of the replaced file was accepted")
	}
	if err := c.StorFrom(ref.UUID+"/a.zip", strings.NewReader(" half"), 6); err != nil {
		t.Error(err)
	}
	if err := c.StorFrom(ref.UUID+"/a.zip", strings.NewReader("x"), 600); err == nil {
		t.Error("went on behind the end")
	}
	ref = adaptertest.Reference(ref.UUID, []byte("second half"))
	// A neighbour cannot take it away or put another in its place: what it brings
	// lies beside, and the digest says which is meant.
	for what, err := range map[string]error{
		"DELE": neighbour.Delete(ref.UUID + "/a.zip"), "RMD": neighbour.RemoveDir(ref.UUID),
	} {
		if err == nil {
			t.Errorf("%s of another session's file was carried out", what)
		}
	}
	path := ref.UUID + "/a.zip"
	for _, act := range []struct {
		what string
		do   func() error
	}{
		{"STOR", func() error { return neighbour.Stor(path, strings.NewReader("forged")) }},
		{"the same under another name", func() error { return neighbour.Stor(ref.UUID+"/b.zip", strings.NewReader("second half")) }},
		{"APPE", func() error { return neighbour.Append(path, strings.NewReader("x")) }},
		{"DELE of its own", func() error { return neighbour.Delete(path) }},
		{"MKD, CWD, STOR", func() error {
			return errors.Join(neighbour.MakeDir(ref.UUID), neighbour.ChangeDir(ref.UUID), neighbour.Stor("a.zip", strings.NewReader("x")))
		}},
	} {
		if err := act.do(); err != nil {
			t.Errorf("%s beside another session's file: %v", act.what, err)
		}
	}
	accepted(t, muni.Send(withFile(ref)))
	for what, err := range map[string]error{
		"STOR": c.Stor(ref.UUID+"/a.zip", strings.NewReader("forged")), "APPE": c.Append(ref.UUID+"/a.zip", strings.NewReader("x")),
		"DELE": c.Delete(ref.UUID + "/a.zip"), "RMD": c.RemoveDir(ref.UUID), "MKD": c.MakeDir(ref.UUID),
	} {
		if err == nil {
			t.Errorf("%s of a file that a message holds was carried out", what)
		}
	}
	got := registry.Await(envelopes.GetRequest, "").Message
	if content, err := w.Fetch(got.Files[0]); err != nil || string(content) != "second half" {
		t.Errorf("fetched %q, %v", content, err)
	}
	// One file in two messages goes with the second one.
	twice := accepted(t, muni.Send(withFile(ref)))
	accepted(t, registry.Ack(got.Metadata.MessageID))
	later := registry.Await(envelopes.GetRequest, "").Message
	if content, err := w.Fetch(later.Files[0]); err != nil || string(content) != "second half" {
		t.Errorf("fetched %q, %v", content, err)
	}
	accepted(t, registry.Ack(twice.Receipt.MessageID))
	w.Eventually("the file has gone, and the neighbour's has not", func() bool { return w.Stored(ref) == 1 && onDisk(t, w) == 1 })
	if err := neighbour.Delete("/" + ref.UUID + "/a.zip"); err != nil || w.Stored(ref) != 0 {
		t.Errorf("the neighbour deletes its own: %v, %d are left", err, w.Stored(ref))
	}

	// What nobody refers to goes when it is old; what is deleted, at once.
	idle, mine := w.Bring("idle", []byte("x")), w.NewMessageID()
	if err := c.Stor(mine+"/x", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(mine + "/x"); err != nil {
		t.Error(err)
	}
	time.Sleep(200 * time.Millisecond) // some sweeps
	if w.Stored(idle) != 1 || onDisk(t, w) != 1 {
		t.Errorf("%d files in the index and %d on the disk, want the one that waits for its message", w.Stored(idle), onDisk(t, w))
	}
	w.Clock.Advance(25 * time.Hour)
	w.Eventually("the idle file has gone", func() bool { return w.Stored(idle) == 0 && onDisk(t, w) == 0 })
	w.Check()
}

// A broadcast's files stay until the last subscriber has acknowledged; those of
// a message whose life ends before delivery go with it.
func TestFilesOfManyAndOfTheExpired(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithFiles())
	news := w.Bring("news.zip", []byte("news"))
	sent := accepted(t, w.Party("REGISTRY").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.News), Stored: []envelopes.AttachmentReference{news}}))
	one := w.Party("MUNI").Await(envelopes.GetRequest, "").Message
	accepted(t, w.Party("MUNI").Ack(sent.Receipt.MessageID))
	time.Sleep(200 * time.Millisecond) // some sweeps
	two := w.Party("MFC").Await(envelopes.GetRequest, "").Message
	if content, err := w.Fetch(two.Files[0]); err != nil || string(content) != "news" {
		t.Errorf("the second subscriber fetches %q, %v", content, err)
	}
	if _, err := w.Fetch(one.Files[0]); err == nil {
		t.Error("the first one's account is good after its Ack")
	}
	accepted(t, w.Party("MFC").Ack(sent.Receipt.MessageID))
	w.Eventually("the broadcast's file has gone", func() bool { return w.Stored(news) == 0 })

	ref := w.Bring("late.zip", []byte("late"))
	request := withFile(ref)
	request.EOL = w.Clock.Now().Add(time.Hour)
	accepted(t, w.Party("MUNI").Send(request))
	queued(t, w, "REGISTRY", adapter.QueueRequests, 1)
	leased := w.Party("REGISTRY").Await(envelopes.GetRequest, "").Message.Files[0]
	w.Clock.Advance(2 * time.Hour)
	w.Eventually("the expired request's file has gone", func() bool { return w.Stored(ref) == 0 && onDisk(t, w) == 0 })
	if _, err := w.Fetch(leased); err == nil {
		t.Error("the account is good after the end of life")
	}
	take(t, w.Party("MUNI"), envelopes.GetResponse, "")
	w.Check()
}

// A sender that repeats its request after the file has long gone is told what it
// was told before.
func TestRepeatedAfterTheFileHasGone(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithFiles())
	ref := w.Bring("a", []byte("a"))
	kind, body, id := w.Party("MUNI").BuildRequest(withFile(ref))
	accepted(t, w.Party("MUNI").Post("/ws", kind, body))
	take(t, w.Party("REGISTRY"), envelopes.GetRequest, "")
	w.Eventually("the file has gone", func() bool { return w.Stored(ref) == 0 })
	if a := accepted(t, w.Party("MUNI").Post("/ws", kind, body)); a.Receipt.MessageID != id {
		t.Errorf("repeated: %+v", a.Receipt)
	}
	w.Check()
}

// Each step breaks, because it failed and because it worked and the word of it
// was lost; with a restart or without. Who repeats what failed ends with one
// exchange, and nothing is left lying.
func TestFileBreaks(t *testing.T) {
	for _, at := range []string{"PutFile", "Accept", "GrantFiles", "Ack", "ReleaseFiles"} {
		for _, how := range []adaptertest.How{adaptertest.Failed, adaptertest.DoneButFailed} {
			for _, restart := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s restart=%v", at, how, restart), func(t *testing.T) {
					t.Parallel()
					w := adaptertest.Start(t, adaptertest.WithFiles())
					type breakable interface {
						Break(string, adaptertest.How)
						Unbroken() bool
					}
					broken := breakable(w.FileIndex)
					if at == "Accept" || at == "Ack" {
						broken = w.Store
					}
					broken.Break(at, how)
					trouble := func() {
						if restart {
							w.Restart()
						}
					}
					content, id := []byte("content"), w.NewMessageID()
					bring := func() error {
						c, err := w.FTP("anonymous", "smev")
						if err != nil {
							return err
						}
						defer c.Quit()
						c.MakeDir(id)
						return c.Stor(id+"/a.zip", bytes.NewReader(content))
					}
					for bring() != nil {
						trouble()
					}
					ref := adaptertest.Reference(id, content)
					muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
					patiently := func(post func() adaptertest.Answered) adaptertest.Answered {
						for range 20 {
							a := post()
							if a.Fault == nil || a.Fault.Kind == envelopes.TargetMessageIsNotFound {
								return a
							}
							if a.Status != 503 {
								t.Fatalf("trouble of ours is told as %d %v", a.Status, a.Fault)
							}
							trouble()
						}
						t.Fatal("no success after twenty tries")
						return adaptertest.Answered{}
					}
					kind, body, message := muni.BuildRequest(withFile(ref))
					patiently(func() adaptertest.Answered { return muni.Post("/ws", kind, body) })
					var got *envelopes.Delivered
					w.Eventually("the request comes", func() bool {
						a := patiently(func() adaptertest.Answered { return registry.Get(envelopes.GetRequest, anything, "") })
						if got = a.Message; got == nil {
							w.Clock.Advance(time.Minute) // a lease that was lost runs out
						}
						return got != nil
					})
					if fetched, err := w.Fetch(got.Files[0]); err != nil || !bytes.Equal(fetched, content) {
						t.Fatalf("fetched %q, %v", fetched, err)
					}
					patiently(func() adaptertest.Answered { return registry.Ack(message) })
					w.Eventually("the file has left the index", func() bool { return w.Stored(ref) == 0 })
					w.Eventually("the break has happened", broken.Unbroken)
					// What a break has left on the disk goes when it is old.
					age(t, w.Config.Files.Dir)
					w.Restart()
					w.Eventually("nothing is left on the disk", func() bool { return onDisk(t, w) == 0 })
					w.Check()
				})
			}
		}
	}
}

// age makes everything on the disk old.
func age(t *testing.T, dir string) {
	t.Helper()
	old := time.Now().Add(-24 * time.Hour)
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			os.Chtimes(path, old, old)
		}
		return nil
	})
}

// The file is swept or replaced at the very moment of the accept: the database
// refuses the message, and the sender is told that its file is missing.
func TestAFileGoesWhileItsMessageIsAccepted(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithFiles())
	ref := adaptertest.Reference(w.NewMessageID(), []byte("a"))
	c, err := w.FTP("anonymous", "smev")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Quit()
	if err := c.Stor(ref.UUID+"/a", strings.NewReader("a")); err != nil {
		t.Fatal(err)
	}
	w.Store.Before("Accept", func() {
		if err := c.Stor(ref.UUID+"/a", strings.NewReader("b")); err != nil {
			t.Error(err)
		}
	})
	got := w.Party("MUNI").Send(withFile(ref))
	if got.Fault == nil || got.Fault.Kind != envelopes.AttachmentContentMiscoordination || !strings.Contains(got.Fault.Text, ref.UUID) {
		t.Errorf("refused as %v", got.Fault)
	}
	accepted(t, w.Party("MUNI").Send(withFile(adaptertest.Reference(ref.UUID, []byte("b")))))
	w.Check()
}
