package remote_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cosign "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/journal/remote"
)

var quiet = slog.New(slog.DiscardHandler)

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// bearer admits those who bring the token.
func bearer(r *http.Request) error {
	switch r.Header.Get("Authorization") {
	case "Bearer auditor":
		return nil
	case "":
		return remote.ErrUnauthenticated
	}
	return remote.ErrForbidden
}

func TestServing(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := d.Filled(51, 700)
	url := serve(t, &remote.Server{Log: book, Admit: bearer, Slog: quiet})
	for _, c := range []struct {
		path, token string
		code        int
	}{
		{"/checkpoint", "", 200}, {"/tile/0/000", "", 200}, {"/tile/0/002.p/188", "", 200}, {"/tile/0/002.p/100", "", 200}, {"/tile/1/000.p/2", "", 200},
		{"/tile/0/002", "", 404}, {"/tile/0/003", "", 404}, {"/tile/0/002.p/189", "", 404}, {"/tile/1/000.p/3", "", 404}, {"/tile/8/0/000", "", 404},
		{"/", "", 404}, {"/tile/entries/000", "", 401}, {"/tile/entries/000", "Bearer somebody", 403}, {"/tile/entries/000", "Bearer auditor", 200},
		{"/tile/entries/002.p/188", "Bearer auditor", 200}, {"/tile/entries/002.p/7", "Bearer auditor", 200}, {"/tile/entries/002", "Bearer auditor", 404},
	} {
		req, err := http.NewRequest("GET", url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.token != "" {
			req.Header.Set("Authorization", c.token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.code {
			t.Errorf("%s as %q: %d, want %d", c.path, c.token, resp.StatusCode, c.code)
		}
		if level, n, width, err := journal.ParseTilePath(strings.TrimPrefix(c.path, "/")); err == nil && resp.StatusCode == 200 && level >= 0 {
			want, err := book.Tile(context.Background(), level, n, width)
			if err != nil || !bytes.Equal(body, want[:width*32]) {
				t.Errorf("%s: other bytes than the log's (%v)", c.path, err)
			}
		}
	}
	nobody := serve(t, &remote.Server{Log: book, Slog: quiet})
	if resp, err := http.Get(nobody + "/tile/entries/000"); err != nil || resp.StatusCode != 403 {
		t.Errorf("entries of a server without Admit: %v, %v", resp.StatusCode, err)
	}
	if resp, err := http.Post(nobody+"/checkpoint", "", nil); err != nil || resp.StatusCode != 405 {
		t.Errorf("POST: %v, %v", resp.StatusCode, err)
	}
}

// counted counts what is fetched.
type counted struct {
	http.Handler
	mu    sync.Mutex
	paths []string
}

func (c *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.paths = append(c.paths, r.URL.Path)
	c.mu.Unlock()
	c.Handler.ServeHTTP(w, r)
}

func (d *mirrored) visit() (*audit.Visit, error) {
	client := &remote.Client{URL: d.url, Token: "auditor"}
	ctx := context.Background()
	signed, err := client.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	return (&audit.Mirror{Dir: d.dir, Policy: d.Policy}).Follow(ctx, client, signed, d.Clock.Now())
}

type mirrored struct {
	*journaltest.Desk
	url, dir string
}

func TestMirrorPullsOnlyWhatIsNew(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := d.Filled(53, 1500)
	front := &counted{Handler: &remote.Server{Log: book, Admit: bearer, Slog: quiet}}
	m := &mirrored{d, serve(t, front), t.TempDir()}
	first, err := m.visit()
	if err != nil || first.Before != nil || first.Recount.Found != 0 || first.Recount.Size != 1500 {
		t.Fatalf("first visit: %+v, %v", first, err)
	}
	front.paths = nil
	more := journaltest.Events(54, 900)
	if err := book.Add(more...); err != nil {
		t.Fatal(err)
	}
	d.Clock.Move(2 * time.Hour)
	if err := d.Settle(d.Sequencer(book)); err != nil {
		t.Fatal(err)
	}
	second, err := m.visit()
	if err != nil || second.Before.Tree != first.Now.Tree || second.Recount.Found != 0 || second.Recount.Closes != 1 {
		t.Fatalf("second visit: %+v, %v", second, err)
	}
	for _, p := range front.paths {
		if level, n, _, err := journal.ParseTilePath(strings.TrimPrefix(p, "/")); err == nil && level < 1 && n < 5 {
			t.Errorf("fetched %s again", p)
		}
	}
	third, err := m.visit()
	if err != nil || third.Fresh != 0 || third.Now.Tree != second.Now.Tree {
		t.Fatalf("third visit: %+v, %v", third, err)
	}
	// The directory is a log of its own, with the earlier visits to compare with.
	memory, err := audit.Remember(m.dir, d.Policy)
	if err != nil || len(memory.Damaged) != 0 || len(memory.Known) != 2 {
		t.Fatalf("%d known checkpoints, damaged %v, %v", len(memory.Known), memory.Damaged, err)
	}
	signed, err := os.ReadFile(filepath.Join(m.dir, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	rep := d.Audit(audit.DirSource{FS: os.DirFS(m.dir)}, signed, memory.Known...)
	if !rep.OK() || rep.Known != 2 {
		t.Errorf("%v, known %d", rep.Recount.Findings, rep.Known)
	}
	// And it can be served on.
	again := &mirrored{d, serve(t, &remote.Server{Log: remote.Dir{DirSource: audit.DirSource{FS: os.DirFS(m.dir)}}, Admit: bearer, Slog: quiet}), t.TempDir()}
	if v, err := again.visit(); err != nil || v.Now.Tree != third.Now.Tree {
		t.Errorf("mirror of a mirror: %v", err)
	}
}

// lying serves tiles through a function that may change them.
type lying struct {
	mu   sync.Mutex // requests of a visit that was given up may still be running
	log  remote.Log
	tile func(level int, n int64, data []byte) []byte
}

func (l *lying) now() (remote.Log, func(level int, n int64, data []byte) []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log, l.tile
}

// becomes changes the log served, and how it lies.
func (l *lying) becomes(log remote.Log, tile func(level int, n int64, data []byte) []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log, l.tile = log, tile
}

func (l *lying) Checkpoint(ctx context.Context) (*journal.Checkpoint, error) {
	log, _ := l.now()
	return log.Checkpoint(ctx)
}

func (l *lying) Tile(ctx context.Context, level int, n int64, width int) ([]byte, error) {
	log, lie := l.now()
	data, err := log.Tile(ctx, level, n, width)
	if err == nil && lie != nil {
		data = lie(level, n, slices.Clone(data))
	}
	return data, err
}

func TestMirrorOfALiarKeepsItsMemory(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := d.Filled(55, 700)
	liar := &lying{log: book}
	m := &mirrored{d, serve(t, &remote.Server{Log: liar, Admit: bearer, Slog: quiet}), t.TempDir()}
	honest, err := m.visit()
	if err != nil {
		t.Fatal(err)
	}
	before := readAll(t, m.dir)
	if err := book.Add(journaltest.Events(56, 500)...); err != nil {
		t.Fatal(err)
	}
	d.Clock.Move(time.Hour)
	if err := d.Settle(d.Sequencer(book)); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for range 20 {
		bundle, entry, bit := 2+r.Int64N(3), r.IntN(188), byte(1)<<r.IntN(8)
		liar.becomes(book, func(level int, n int64, data []byte) []byte {
			if level == journal.EntriesLevel && n == bundle {
				entries, err := journal.Entries(data)
				if err != nil {
					t.Error(err)
				}
				leaf := entries[min(entry, len(entries)-1)] // shares data's memory
				leaf[len(leaf)/2] ^= bit
			}
			return data
		})
		copied := &mirrored{m.Desk, m.url, t.TempDir()} // what failed visits have fetched is not fetched again
		if err := os.CopyFS(copied.dir, os.DirFS(m.dir)); err != nil {
			t.Fatal(err)
		}
		var lacks *audit.IncompleteError
		if _, err := copied.visit(); !errors.As(err, &lacks) || len(lacks.Lacks) != 1 || !strings.HasPrefix(lacks.Lacks[0], journal.TilePath(journal.EntriesLevel, bundle, journal.TileSize(0, bundle, d.Checkpoint(book).Tree.N))) {
			t.Fatalf("a lie about bundle %d: %v", bundle, err)
		}
		after := readAll(t, copied.dir)
		for name, content := range before {
			if !bytes.Equal(after[name], content) {
				t.Fatalf("a failed visit has changed %s", name)
			}
		}
	}
	liar.becomes(book, nil)
	v, err := m.visit()
	if err != nil || v.Before.Tree != honest.Now.Tree {
		t.Fatalf("an honest visit afterwards: %v", err)
	}

	// The log itself is rewritten by its operator, with every key.
	other := d.Forged(57, 1300)
	liar.becomes(other, nil)
	var fork *audit.ForkError
	if _, err := m.visit(); !errors.As(err, &fork) {
		t.Errorf("a rewritten log: got %v, want a *ForkError", err)
	}
}

func readAll(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		out[path], err = os.ReadFile(filepath.Join(dir, path))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// witnessed is a log with three witnesses of which two are needed.
type witnessed struct {
	*journaltest.Desk
	book      *journaltest.Book
	collector *remote.Collector
	saved     []*journal.Checkpoint
	down      map[string]bool
}

func newWitnessed(t *testing.T) *witnessed {
	t.Helper()
	w := &witnessed{Desk: journaltest.NewDesk(t), down: map[string]bool{}}
	w.book = w.Filled(61, 300)
	logKey := w.Signer.Key()
	text := "log " + logKey + "\n"
	for _, name := range []string{"w1", "w2", "w3"} {
		secret, public, err := journal.NewKey(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := audit.NewCosigner(t.TempDir(), secret, []string{logKey}, w.Clock.Now)
		if err != nil {
			t.Fatal(err)
		}
		h := &remote.Witness{Cosigner: c, Slog: quiet}
		url := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if w.down[name] {
				http.Error(rw, "down", 500)
				return
			}
			h.ServeHTTP(rw, r)
		}))
		text += "witness " + name + " " + public + " " + url + "\n"
	}
	policy, err := journal.ParsePolicy([]byte(text + "group g 2 w1 w2 w3\nquorum g\n"))
	if err != nil {
		t.Fatal(err)
	}
	w.collector = &remote.Collector{Policy: policy, Log: w.book, Now: w.Clock.Now, Slog: quiet, Save: func(_ context.Context, c *journal.Checkpoint) error {
		w.saved = append(w.saved, c)
		return nil
	}}
	return w
}

func (w *witnessed) grow(seed uint64) {
	if err := w.book.Add(journaltest.Events(seed, 200)...); err != nil {
		w.T.Fatal(err)
	}
	w.Clock.Move(5 * time.Second)
	if err := w.Settle(w.Sequencer(w.book)); err != nil {
		w.T.Fatal(err)
	}
}

func TestWitnessesCosignAGrowingLog(t *testing.T) {
	w := newWitnessed(t)
	ctx := context.Background()
	for i := range 4 {
		w.down["w3"] = i == 1 // one may be away, and catches up
		if err := w.collector.Collect(ctx); err != nil {
			t.Fatal(err)
		}
		c := w.saved[i]
		if _, err := w.collector.Policy.Open(c.Note); err != nil || c.Tree != w.Desk.Checkpoint(w.book).Tree {
			t.Errorf("saved checkpoint: %v", err)
		}
		// The reference code accepts the witnesses' lines.
		var known []note.Verifier
		for _, line := range strings.Split(string(w.collector.Policy.Text()), "\n") {
			if f := strings.Fields(line); len(f) == 4 && f[0] == "witness" {
				v, err := cosign.NewVerifierForCosignatureV1(f[2])
				if err != nil {
					t.Fatal(err)
				}
				known = append(known, v)
			}
		}
		n, err := note.Open(c.Note, note.VerifierList(known...))
		if want := 3 - map[bool]int{true: 1}[w.down["w3"]]; err != nil || len(n.Sigs) != want {
			t.Errorf("round %d: reference code finds %d cosignatures, %v; want %d", i, len(n.Sigs), err, want)
		}
		w.grow(70 + uint64(i))
	}
}

func TestMissingQuorumIsAnAlarmAndThenStops(t *testing.T) {
	w := newWitnessed(t)
	ctx := context.Background()
	if err := w.collector.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	w.down["w1"], w.down["w2"] = true, true
	w.grow(80)
	var quorum *journal.QuorumError
	if err := w.collector.Collect(ctx); !errors.As(err, &quorum) {
		t.Fatalf("got %v, want a *QuorumError", err)
	}
	if err := w.collector.Err(); err != nil {
		t.Errorf("alarm at once: %v", err)
	}
	w.Clock.Move(time.Minute)
	if err := w.collector.Err(); err == nil || !strings.Contains(err.Error(), "w1") {
		t.Errorf("alarm after a minute: %v", err)
	}
	if err := w.collector.Writable(); err != nil {
		t.Errorf("stopped after a minute: %v", err)
	}
	w.Clock.Move(15 * time.Minute)
	if w.collector.Writable() == nil {
		t.Error("not stopped after a quarter of an hour")
	}
	w.down["w1"] = false
	if err := w.collector.Collect(ctx); err != nil || w.collector.Writable() != nil || w.collector.Err() != nil {
		t.Errorf("back: %v", err)
	}
}

func TestWitnessRefusesAForkedLog(t *testing.T) {
	w := newWitnessed(t)
	ctx := context.Background()
	if err := w.collector.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	// The same key signs another history, longer, and the same size.
	for _, n := range []int{300, 700} {
		w.collector.Log = w.Forged(90, n)
		if err := w.collector.Collect(ctx); err == nil {
			t.Errorf("a fork of %d entries was cosigned", n)
		}
	}
	w.collector.Log = w.Forged(90, 100)
	if err := w.collector.Collect(ctx); err == nil || !strings.Contains(err.Error(), "gone back") {
		t.Errorf("a shorter log: %v", err)
	}
}

func TestWitnessAnswersAsTheProtocolSays(t *testing.T) {
	w := newWitnessed(t)
	var url string
	for _, x := range w.collector.Policy.Witnesses() {
		url = x.URL
	}
	signed := string(w.Desk.Checkpoint(w.book).Note)
	zeros := strings.Repeat("A", 43) + "=\n"
	stranger := journaltest.NewDesk(t)
	foreign := string(stranger.Checkpoint(stranger.Filled(1, 10)).Note) // same origin, another key
	for _, c := range []struct {
		name, body string
		code       int
	}{
		{"empty", "", 400}, {"no old", "\n\n" + signed, 400}, {"old with zero", "old 00\n\n" + signed, 400}, {"not base64", "old 0\nxx\n\n" + signed, 400},
		{"too much proof", "old 0\n" + strings.Repeat(zeros, 64) + "\n" + signed, 400}, {"old above", "old 301\n\n" + signed, 400},
		{"unknown log", "old 0\n\n" + strings.Replace(signed, journaltest.Origin, "other", 1), 404},
		{"another key", "old 0\n\n" + foreign, 403}, {"wrong old", "old 5\n\n" + signed, 409}, {"proof of nothing", "old 0\n" + zeros + "\n" + signed, 422},
		{"good", "old 0\n\n" + signed, 200}, {"again from 0", "old 0\n\n" + signed, 409}, {"the same", "old 300\n\n" + signed, 200},
	} {
		resp, err := http.Post(url+"/add-checkpoint", "", strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.code {
			t.Errorf("%s: %d %s, want %d", c.name, resp.StatusCode, body, c.code)
		}
		if c.name == "again from 0" && (string(body) != "300\n" || resp.Header.Get("Content-Type") != "text/x.tlog.size") {
			t.Errorf("409: %q, %s", body, resp.Header.Get("Content-Type"))
		}
	}
}
