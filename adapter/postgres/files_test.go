package postgres_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

// bring puts a whole file into the index.
func (w *world) bring(content string) adapter.File {
	w.Helper()
	f := adapter.FileEntry{
		File:  adapter.File{ID: uuid.Must(uuid.NewUUID()), Name: content + ".zip", Size: int64(len(content)), GOST: sha256.Sum256([]byte("gost " + content)), SHA256: sha256.Sum256([]byte(content))},
		Owner: "o", Session: "s", Blob: "blob-" + content, Whole: true,
	}
	if _, err := w.PutFile(w.Context(), f, "", w.now); err != nil {
		w.Fatal(err)
	}
	found, err := w.FindFiles(w.Context(), []uuid.UUID{f.ID})
	if err != nil || len(found) != 1 {
		w.Fatal(found, err)
	}
	return found[0].File
}

func holding(files ...adapter.File) func(*adapter.Message) {
	return func(m *adapter.Message) { m.Files, m.Parts.Files = files, len(files) }
}

// release runs the release and gives the names of what has gone.
func (w *world) release() (names []string) {
	w.Helper()
	gone, _, err := w.ReleaseFiles(w.Context(), w.now, w.now.Add(-24*time.Hour), w.now.Add(-2*time.Hour))
	if err != nil {
		w.Fatal(err)
	}
	for _, f := range gone {
		names = append(names, f.Name)
	}
	return names
}

func (w *world) known(files ...adapter.File) int {
	w.Helper()
	ids := make([]uuid.UUID, len(files))
	for i, f := range files {
		ids[i] = f.ID
	}
	found, err := w.FindFiles(w.Context(), ids)
	if err != nil {
		w.Fatal(err)
	}
	return len(found)
}

// relayed takes everything to the bus, and gives what has yet to arrive.
func (w *world) relayed() (arrivals []adapter.Arrival) {
	w.Helper()
	for shard := range adapter.Shards {
		_, err := w.Relay(w.Context(), shard, 100, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
			for _, o := range out {
				arrivals = append(arrivals, adapter.Arrival{Offset: w.offset, Message: o.Message.ID, Queue: o.Queue})
				w.offset++
				events = append(events, event(journal.KindRouted, o.Message))
			}
			return events, nil
		})
		if err != nil {
			w.Fatal(err)
		}
	}
	return arrivals
}

// A message holds its files from its accept until its last recipient has it,
// wherever it is in between.
func TestHeldFiles(t *testing.T) {
	w := open(t)
	a, b := w.bring("a"), w.bring("b")
	fns := adapter.Queue{System: "FNS01", Kind: adapter.QueueRequests}
	m := w.message(holding(a, b), func(m *adapter.Message) {
		m.Direction, m.Recipients = adapter.DirBroadcast, []adapter.Queue{rosreestr, fns}
	})
	if _, err := w.Accept(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	again := *m
	if out, err := w.Accept(t.Context(), &again, nil); err != nil || out.First != nil {
		t.Fatalf("the same accept again: %+v, %v", out, err)
	}
	w.now = w.now.Add(48 * time.Hour)
	if gone := w.release(); gone != nil {
		t.Fatalf("gone while the message is in the outbox: %q", gone)
	}
	arrivals := w.relayed()
	if gone := w.release(); gone != nil {
		t.Fatalf("gone while the message is on the bus: %q", gone)
	}
	if _, err := w.Enqueue(t.Context(), place, arrivals); err != nil {
		t.Fatal(err)
	}
	for i, q := range m.Recipients {
		if gone := w.release(); gone != nil || w.known(a, b) != 2 {
			t.Fatalf("gone before recipient %d has it: %q", i, gone)
		}
		d, err := w.Lease(t.Context(), adapter.Poll{Queue: q, Now: w.now, For: time.Minute})
		if err != nil || d == nil || len(d.Message.Files) != 2 || d.Message.Files[1] != b {
			t.Fatalf("leased %+v, %v", d, err)
		}
		if err := w.GrantFiles(t.Context(), adapter.FileGrant{User: "u" + string(q.System), Secret: [32]byte{1}, Message: m.ID, Queue: q, Until: w.now.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		granted := func(at time.Time) int {
			secret, files, err := w.GrantedFiles(t.Context(), "u"+string(q.System), at)
			if err != nil && !errors.Is(err, adapter.ErrNotFound) || err == nil && secret != [32]byte{1} {
				t.Fatal(err, secret)
			}
			return len(files)
		}
		if granted(w.now) != 2 || granted(w.now.Add(time.Hour)) != 0 {
			t.Errorf("granted %d files, and %d when its time is over", granted(w.now), granted(w.now.Add(time.Hour)))
		}
		if err := w.Ack(t.Context(), q.System, m.MessageID, w.now, journal.Event{}, nil); err != nil {
			t.Fatal(err)
		}
		if n := granted(w.now); n != 0 {
			t.Errorf("granted %d files after the Ack", n)
		}
	}
	if gone := w.release(); len(gone) != 2 || w.known(a, b) != 0 {
		t.Errorf("gone when all have it: %q", gone)
	}
	if found, err := w.Find(t.Context(), m.MessageID); err != nil || len(found[0].Files) != 0 || found[0].Parts.Files != 2 {
		t.Errorf("the message afterwards: %+v, %v", found, err)
	}
	for _, table := range []string{"file", "message_file", "file_awaited", "file_login"} {
		if n := w.count("SELECT count(*) FROM " + table); n != 0 {
			t.Errorf("%d rows are left in %s", n, table)
		}
	}
}

// A message whose file was replaced or has gone is not accepted, and nothing of
// it is; others of its batch are.
func TestAcceptOfGoneFiles(t *testing.T) {
	w := open(t)
	a, b := w.bring("a"), w.bring("b")
	replaced := a
	replaced.GOST = [32]byte{9}
	if _, err := w.PutFile(t.Context(), adapter.FileEntry{File: replaced, Owner: "o", Session: "s", Blob: "x", Whole: true}, "", w.now); err != nil {
		t.Fatal(err)
	}
	var results []chan error
	for _, m := range []*adapter.Message{w.message(holding(a)), w.message(holding(b)), w.message(), w.message(holding(b, adapter.File{ID: uuid.Must(uuid.NewUUID()), Entry: uuid.New()}))} {
		done := make(chan error, 1)
		results = append(results, done)
		go func() { _, err := w.Accept(context.Background(), m, nil); done <- err }()
	}
	for i, want := range []error{adapter.ErrFileGone, nil, nil, adapter.ErrFileGone} {
		if err := <-results[i]; !errors.Is(err, want) {
			t.Errorf("message %d: %v, want %v", i, err, want)
		}
	}
	if n := w.count("SELECT count(*) FROM message"); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
	// What a message holds cannot be changed.
	other := b
	other.GOST = [32]byte{9}
	if gone, err := w.PutFile(t.Context(), adapter.FileEntry{File: other, Owner: "o", Session: "s", Blob: "z", Whole: true}, "", w.now); err != nil || len(gone) != 0 || w.known(b) != 2 {
		t.Errorf("another file beside a held one, of the same session: %q, %v", gone, err)
	}
	if gone, err := w.DropFile(t.Context(), b.ID, "s"); err != nil || len(gone) != 1 || gone[0] != "z" {
		t.Errorf("dropping what is not held: %q, %v", gone, err)
	}
	if gone, err := w.PutFile(t.Context(), adapter.FileEntry{File: b, Owner: "o", Session: "s", Blob: "y", Whole: true}, "", w.now); err != nil || len(gone) != 1 || gone[0] != "y" {
		t.Errorf("bringing a held file again: %q, %v, want that it is there", gone, err)
	}
	if _, err := w.DropFile(t.Context(), b.ID, "s"); err != nil || w.known(b) != 1 {
		t.Errorf("dropping a held file: %v", err)
	}
	if sent, waiting, err := w.HeldFiles(t.Context(), "MNSV05", []adapter.Queue{rosreestr, {System: "NOBODY"}}); err != nil || sent != 1 || waiting != 1 {
		t.Errorf("held: %d, %d, %v", sent, waiting, err)
	}
}

// A new file is told of several times at once: each time it is taken, and the file
// is there once.
func TestNotesOfOneFileAtOnce(t *testing.T) {
	w := open(t)
	for range 30 {
		f := adapter.FileEntry{File: adapter.File{ID: uuid.Must(uuid.NewUUID()), Name: "parts", Size: 5}, Owner: "o", Session: "s"}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if _, err := w.PutFile(t.Context(), f, "", w.now); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if w.known(f.File) != 1 {
			t.Fatal("the file is not there")
		}
	}
}

// Two have brought different files into one folder: a message holds the one that it
// means, its reader is given that one, and what the other brought does not go with it.
func TestFilesOfOneFolder(t *testing.T) {
	w := open(t)
	a := w.bring("a")
	b := adapter.FileEntry{File: adapter.File{ID: a.ID, Name: "a.zip", Size: 1, GOST: [32]byte{2}, SHA256: [32]byte{2}}, Owner: "o", Session: "other", Blob: "b", Whole: true}
	if gone, err := w.PutFile(t.Context(), b, "", w.now.Add(time.Second)); err != nil || len(gone) != 0 {
		t.Fatalf("gone %q, %v, want both", gone, err)
	}
	found, err := w.FindFiles(t.Context(), []uuid.UUID{a.ID})
	if err != nil || len(found) != 2 || found[0].Blob != "b" || found[0].Entry == found[1].Entry || found[1].Entry != a.ID {
		t.Fatalf("found %+v, %v", found, err)
	}
	m := w.message(holding(found[0].File))
	if _, err := w.Accept(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Find(t.Context(), m.MessageID); err != nil || len(got) != 1 || len(got[0].Files) != 1 || got[0].Files[0] != found[0].File {
		t.Errorf("the message's files: %+v, %v, want %+v", got, err, found[0].File)
	}
	// What it does not hold its own session still deletes.
	if gone, err := w.DropFile(t.Context(), a.ID, "other"); err != nil || len(gone) != 0 {
		t.Errorf("dropping the held one: %q, %v", gone, err)
	}
	if gone, err := w.DropFile(t.Context(), a.ID, "s"); err != nil || len(gone) != 1 || gone[0] != "blob-a" {
		t.Errorf("dropping the other one: %q, %v", gone, err)
	}
}

// Of the uploads to one folder each has its own parts, in order; who has
// begun none, or has ended it, has none.
func TestPartsOfOneUpload(t *testing.T) {
	w := open(t)
	folder := uuid.Must(uuid.NewUUID())
	for _, upload := range []string{"one", "two"} {
		for _, n := range []int{0, 2, 1} {
			if _, err := w.PutPart(t.Context(), adapter.FilePart{Folder: folder, Upload: upload, Owner: "o " + upload, N: n, Size: int64(n)}, w.now); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := w.DropParts(t.Context(), folder, "two"); err != nil {
		t.Fatal(err)
	}
	for upload, want := range map[string]int{"one": 3, "two": 0, "three": 0} {
		list, err := w.UploadParts(t.Context(), folder, upload)
		if err != nil || len(list) != want {
			t.Errorf("upload %s: %d parts, %v, want %d", upload, len(list), err, want)
		}
		for n, p := range list {
			if p.Folder != folder || p.Upload != upload || p.Owner != "o "+upload || p.N != n || p.Size != int64(n) {
				t.Errorf("part %d: %+v", n, p)
			}
		}
	}
}

// What the bus refuses for good lets go of its files.
func TestFilesOfTheDead(t *testing.T) {
	w := open(t)
	a, b := w.bring("a"), w.bring("b")
	dead, alive := w.message(holding(a)), w.message(holding(b))
	for _, m := range []*adapter.Message{dead, alive} {
		if _, err := w.Accept(t.Context(), m, nil); err != nil {
			t.Fatal(err)
		}
	}
	for shard := range adapter.Shards {
		_, err := w.Relay(t.Context(), shard, 10, func(_ context.Context, batch []adapter.Outgoing) ([]journal.Event, error) {
			events := make([]journal.Event, len(batch))
			for i, o := range batch {
				events[i] = journal.Event{Kind: journal.KindRouted, Time: w.now, Message: o.Message.ID.String(), Recipient: string(o.Queue.System)}
				if o.Message.ID == dead.ID {
					events[i].Kind = journal.KindDead
				}
			}
			return events, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if gone := w.release(); len(gone) != 1 || gone[0] != "a.zip" || w.known(b) != 1 {
		t.Errorf("gone: %q", gone)
	}
}

// Of two nodes that release and one that accepts at the same time, none gets in
// another's way, and no message that was accepted lacks its file.
func TestReleaseAndAcceptAtOnce(t *testing.T) {
	w := open(t)
	other := w.another(postgres.Options{})
	var files []adapter.File
	for i := range 200 {
		files = append(files, w.bring(string(rune('a'+i%26))+time.Duration(i).String()))
	}
	late := w.now.Add(48 * time.Hour)
	done := make(chan error, 2)
	for _, s := range []*postgres.Store{w.Store, other} {
		go func() {
			for range 20 {
				if _, _, err := s.ReleaseFiles(context.Background(), late, late.Add(-24*time.Hour), late.Add(-2*time.Hour)); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	kept := 0
	for _, f := range files {
		switch _, err := w.Accept(t.Context(), w.message(holding(f)), nil); {
		case err == nil:
			if kept++; w.known(f) != 1 {
				t.Fatal("accepted, and its file has gone")
			}
		case !errors.Is(err, adapter.ErrFileGone):
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := w.count("SELECT count(*) FROM file"); n != kept {
		t.Errorf("%d files are left, %d are held", n, kept)
	}
}
