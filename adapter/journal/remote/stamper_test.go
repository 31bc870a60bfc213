package remote_test

import (
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/journal/papers"
	"mezhved/adapter/journal/remote"
	"mezhved/signing"
	"mezhved/signing/tsatest"
)

// stampedBook is a book whose stamped checkpoints are kept.
type stampedBook struct {
	*journaltest.Book
	stamps []*journal.Stamped
	sizes  []int64
}

func (b *stampedBook) save(_ context.Context, c *journal.Checkpoint, token []byte, _ time.Time) error {
	b.stamps, b.sizes = append(b.stamps, &journal.Stamped{Checkpoint: c.Note, Token: token}), append(b.sizes, c.Tree.N)
	return nil
}

func (b *stampedBook) Stamped(_ context.Context, entry int64) (*journal.Stamped, error) {
	if entry == journal.NoEntry && len(b.stamps) > 0 {
		return b.stamps[len(b.stamps)-1], nil
	}
	for i, size := range b.sizes {
		if entry >= 0 && size > entry {
			return b.stamps[i], nil
		}
	}
	return nil, fs.ErrNotExist
}

// stamping is a log that an authority puts its time to, served, and a mirror of it.
type stamping struct {
	*journaltest.Desk
	book    *stampedBook
	tsa     *tsatest.TSA
	stamper *remote.Stamper
	client  *remote.Client
	dir     string
}

func newStamping(t *testing.T) *stamping {
	t.Helper()
	d, tsa := journaltest.NewDesk(t), tsatest.New(t)
	authority := httptest.NewServer(tsa)
	t.Cleanup(authority.Close)
	trust, err := signing.NewTrust(signing.TrustOptions{Roots: []*signing.Certificate{tsa.Root}})
	if err != nil {
		t.Fatal(err)
	}
	v, err := signing.NewVerifier(signing.Options{Trust: trust})
	if err != nil {
		t.Fatal(err)
	}
	s := &stamping{Desk: d, book: &stampedBook{Book: d.Filled(41, 300)}, tsa: tsa, dir: t.TempDir()}
	s.stamper = &remote.Stamper{URL: authority.URL, Verifier: v, Log: s.book, Save: s.book.save, Now: time.Now, Slog: quiet}
	server := httptest.NewServer(&remote.Server{Log: s.book, Admit: remote.Bearer("secret"), Slog: quiet})
	t.Cleanup(server.Close)
	s.client = &remote.Client{URL: server.URL, HTTP: http.DefaultClient, Token: "secret"}
	return s
}

// stamp has the log stamped as it is.
func (s *stamping) stamp() {
	s.T.Helper()
	if err := s.stamper.Stamp(context.Background()); err != nil {
		s.T.Fatal(err)
	}
}

func (s *stamping) grow(seed uint64) {
	s.T.Helper()
	if err := s.book.Add(journaltest.Events(seed, 300)...); err != nil {
		s.T.Fatal(err)
	}
	s.Clock.Move(time.Minute)
	if err := s.Settle(s.Sequencer(s.book.Book)); err != nil {
		s.T.Fatal(err)
	}
}

func (s *stamping) follow() (*audit.Visit, error) {
	s.T.Helper()
	ctx := context.Background()
	signed, err := s.client.Checkpoint(ctx)
	if err != nil {
		s.T.Fatal(err)
	}
	return (&audit.Mirror{Dir: s.dir, Policy: s.Policy}).Follow(ctx, s.client, signed, s.Clock.Now())
}

// Checkpoints get time stamps, a mirror has them with the log, and they are proved
// offline by the authority's root.
func TestCheckpointsAreStampedMirroredAndProved(t *testing.T) {
	s := newStamping(t)
	s.stamp()
	s.stamp() // nothing is new
	s.grow(42)
	s.stamp()
	s.grow(43)
	if len(s.book.stamps) != 2 {
		t.Fatalf("%d time stamps, want 2", len(s.book.stamps))
	}
	v, err := s.follow()
	if err != nil || v.Stamps != 2 {
		t.Fatalf("%d new time stamps, %v; want 2", v.Stamps, err)
	}
	s.stamp()
	if v, err = s.follow(); err != nil || v.Stamps != 1 {
		t.Fatalf("at the next visit %d, %v; want 1", v.Stamps, err)
	}
	memory, err := audit.Remember(s.dir, s.Policy)
	if err != nil || len(memory.Stamps) != 3 || len(memory.Damaged) != 0 {
		t.Fatalf("remembered %d, %v, %v", len(memory.Stamps), memory.Damaged, err)
	}
	other := tsatest.New(t).Root
	for i := range memory.Stamps {
		stamp := &memory.Stamps[i]
		ts, err := papers.Timestamp(stamp, []*signing.Certificate{s.tsa.Root})
		if err != nil || time.Since(ts.Time()).Abs() > time.Hour || stamp.Checkpoint.Tree.N != s.book.sizes[i] {
			t.Errorf("time stamp %d: %v", i, err)
		}
		if _, err := papers.Timestamp(stamp, []*signing.Certificate{other}); err == nil {
			t.Error("a time stamp of an authority that is not believed is taken")
		}
		swapped := &audit.Stamp{Checkpoint: stamp.Checkpoint, Token: memory.Stamps[(i+1)%3].Token}
		if _, err := papers.Timestamp(swapped, nil); err == nil {
			t.Error("a time stamp over another checkpoint is taken")
		}
	}
	// A stamped checkpoint that the log has gone back on is a fork like any other.
	honest := s.book.Snapshot()
	s.book.Restore(s.Forged(44, 1300))
	s.stamp()
	forged := s.book.stamps[len(s.book.stamps)-1]
	s.book.Restore(honest)
	s.grow(45)
	s.grow(46)
	s.grow(47)
	s.book.stamps, s.book.sizes = []*journal.Stamped{forged}, []int64{s.book.sizes[len(s.book.sizes)-1]}
	if _, err := s.follow(); err == nil {
		t.Error("a stamped checkpoint of another history is taken")
	}
	// What the disk has spoilt is missed.
	name := filepath.Join(s.dir, "timestamps", "300.json")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, bytes.Replace(b, []byte(`"token"`), []byte(`"Token"`), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if memory, err = audit.Remember(s.dir, s.Policy); err != nil || len(memory.Damaged) != 1 {
		t.Errorf("damaged: %v, %v", memory.Damaged, err)
	}
}

// A bundle has the first time stamp that covers its entries; it is vouched for like
// everything else there.
func TestABundleHasItsTimestamp(t *testing.T) {
	s := newStamping(t)
	bundler := s.Bundler(s.book.Book)
	bundler.Stamped = s.book.Stamped
	bundle := func(read string) *audit.Evidence {
		t.Helper()
		var out bytes.Buffer
		if err := bundler.Write(context.Background(), &out, "two entries", []audit.Exhibit{{Index: 7}, {Index: 250}}, journal.Event{Time: s.Clock.Now(), Message: read}); err != nil {
			t.Fatal(err)
		}
		e, err := audit.VerifyBundle(bytes.NewReader(out.Bytes()), int64(out.Len()), s.Policy)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if e := bundle("read-1"); e.Stamp != nil {
		t.Error("a time stamp before there is one")
	}
	s.stamp()
	s.grow(42)
	s.stamp()
	e := bundle("read-2")
	if e.Stamp == nil || e.Stamp.Checkpoint.Tree.N != s.book.sizes[0] {
		t.Fatalf("the time stamp is %+v, want the first one", e.Stamp)
	}
	if _, err := papers.Timestamp(e.Stamp, []*signing.Certificate{s.tsa.Root}); err != nil {
		t.Error(err)
	}
}

// What was stamped before the log had all the keys that a policy asks for is passed
// over by mirror and bundle, and is held against the log all the same.
func TestStampsOfBeforeAKey(t *testing.T) {
	s := newStamping(t)
	alone := s.Policy
	for i := range 5 {
		if i == 3 {
			s.Second()
			s.grow(60)
		}
		s.stamp()
		s.grow(uint64(50 + i))
	}
	v, err := s.follow()
	if err != nil || v.Stamps != 2 || v.Insufficient != 3 {
		t.Fatalf("%+v, %v; want 2 time stamps and 3 passed over", v, err)
	}
	bundler := s.Bundler(s.book.Book)
	bundler.Stamped = s.book.Stamped
	bundle := func(read string) *audit.Evidence {
		t.Helper()
		var out bytes.Buffer
		if err := bundler.Write(context.Background(), &out, "an entry", []audit.Exhibit{{Index: 7}}, journal.Event{Time: s.Clock.Now(), Message: read}); err != nil {
			t.Fatal(err)
		}
		e, err := audit.VerifyBundle(bytes.NewReader(out.Bytes()), int64(out.Len()), s.Policy)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if e := bundle("read-1"); e.Stamp == nil || e.Stamp.Checkpoint.Tree.N != s.book.sizes[3] || e.Unstamped != nil {
		t.Errorf("the time stamp is %+v, want the first that suffices", e.Stamp)
	}
	bundler.Policy = alone
	if e := bundle("read-2"); e.Stamp != nil || e.Unstamped == nil || e.Unstamped.Size != s.book.sizes[0] {
		t.Errorf("%+v, %v; want no time stamp that counts", e.Stamp, e.Unstamped)
	}
	s.book.stamps, bundler.Policy = s.book.stamps[:3], s.Policy
	s.book.sizes = s.book.sizes[:3]
	if e := bundle("read-3"); e.Stamp != nil || e.Unstamped != nil {
		t.Errorf("%+v, %v; want none", e.Stamp, e.Unstamped)
	}
}

// An authority that refuses, answers nonsense, or is not the one that is believed
// stops nothing, and nothing is kept of it.
func TestAuthorityThatFails(t *testing.T) {
	s := newStamping(t)
	stranger := tsatest.New(t)
	for what, handler := range map[string]http.Handler{
		"nonsense": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) }),
		"away":     http.NotFoundHandler(),
		"stranger": stranger,
	} {
		server := httptest.NewServer(handler)
		s.stamper.URL = server.URL
		if err := s.stamper.Stamp(context.Background()); err == nil {
			t.Errorf("%s: kept", what)
		}
		server.Close()
	}
	if len(s.book.stamps) != 0 {
		t.Errorf("%d time stamps are kept", len(s.book.stamps))
	}
}
