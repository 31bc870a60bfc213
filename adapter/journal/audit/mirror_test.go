package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/journal/journaltest"
)

// history is a log as it was at several times.
type history struct {
	*journaltest.Desk
	states []*journaltest.Book
}

func newHistory(t *testing.T, seed uint64, growth ...int) *history {
	t.Helper()
	h := &history{Desk: journaltest.NewDesk(t)}
	book := h.Filled(seed, growth[0])
	h.states = append(h.states, book.Snapshot())
	for i, n := range growth[1:] {
		if err := book.Add(journaltest.Events(seed+uint64(i)+1, n)...); err != nil {
			t.Fatal(err)
		}
		h.Clock.Move(10 * time.Minute)
		if err := h.Settle(h.Sequencer(book)); err != nil {
			t.Fatal(err)
		}
		h.states = append(h.states, book.Snapshot())
	}
	return h
}

func (h *history) note(state int) []byte { return h.Checkpoint(h.states[state]).Note }

func (h *history) size(state int) int64 { return h.Checkpoint(h.states[state]).Tree.N }

// follow is one visit of the log as it was at a time.
func (h *history) follow(dir string, state int) (*audit.Visit, error) {
	return (&audit.Mirror{Dir: dir, Policy: h.Policy}).Follow(context.Background(), h.states[state], h.note(state), h.Clock.Now())
}

func (h *history) must(dir string, state int) *audit.Visit {
	h.T.Helper()
	v, err := h.follow(dir, state)
	if err != nil {
		h.T.Fatal(err)
	}
	return v
}

// verify is `mezhved-audit verify log`: it gives what is wrong.
func (h *history) verify(dir string) []string {
	h.T.Helper()
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return []string{err.Error()}
	}
	memory, err := audit.Remember(dir, h.Policy)
	if err != nil {
		h.T.Fatal(err)
	}
	rep, err := audit.VerifyLog(context.Background(), audit.DirSource{FS: os.DirFS(dir)}, h.Policy, signed, memory.Known)
	if err != nil {
		return []string{err.Error()}
	}
	wrong := memory.Damaged
	for _, f := range rep.Recount.Findings {
		wrong = append(wrong, f.String())
	}
	return wrong
}

// An older checkpoint is what a cache, a lagging front end, or a slow run beside a
// quick one shows: not a fork, unless the mirror's own tiles say so.
func TestMirrorIsShownAnOlderState(t *testing.T) {
	h := newHistory(t, 200, 500, 70, 400)
	dir := journaltest.QuickDir(t)
	h.must(dir, 0)
	h.must(dir, 2)
	for state := range 2 {
		v, err := h.follow(dir, state)
		if err != nil || !v.Older || v.Size() != h.size(2) || v.Now.Tree.N != h.size(state) || v.Recount.Found != 0 {
			t.Errorf("the state of %d entries: %+v, %v", h.size(state), v, err)
		}
		if v := h.must(dir, 2); v.Older || v.Before.Tree.N != h.size(2) {
			t.Errorf("after it: %+v", v)
		}
	}
	if wrong := h.verify(dir); wrong != nil {
		t.Error(wrong)
	}
	// The tiles come from a front end that has not grown either.
	if v, err := (&audit.Mirror{Dir: dir, Policy: h.Policy, Quick: true}).Follow(context.Background(), h.states[0], h.note(0), h.Clock.Now()); err != nil || !v.Older || v.From == 0 {
		t.Errorf("quick: %+v, %v", v, err)
	}
}

// A fork is one at any size, and its proof does not go with the run.
func TestMirrorKeepsTheProofOfAFork(t *testing.T) {
	h := newHistory(t, 210, 500, 400)
	for _, n := range []int{100, 256, 500, 900, 1500} {
		dir := journaltest.QuickDir(t)
		h.must(dir, 0)
		h.must(dir, 1)
		other := h.Forged(99, n)
		var fork *audit.ForkError
		_, err := (&audit.Mirror{Dir: dir, Policy: h.Policy}).Follow(context.Background(), other, h.Checkpoint(other).Note, h.Clock.Now())
		if !errors.As(err, &fork) {
			t.Errorf("another history of %d entries: got %v, want a *ForkError", n, err)
			continue
		}
		if _, err := h.follow(dir, 1); !errors.As(err, &fork) || !strings.Contains(err.Error(), "kept in forks/") {
			t.Errorf("the next visit: %v", err)
		}
		for _, c := range []*journal.Checkpoint{fork.Before, fork.Now} {
			if _, err := h.Policy.Open(c.Note); err != nil {
				t.Error(err)
			}
		}
		if fork.Before.Tree.N == fork.Now.Tree.N && fork.Before.Tree == fork.Now.Tree {
			t.Error("the proof is two times the same")
		}
	}
}

// Whatever is lost or wrong in the folder is fetched again and told; what cannot be
// fetched is named.
func TestMirrorMendsItself(t *testing.T) {
	h := newHistory(t, 220, 700, 500)
	honest := journaltest.QuickDir(t)
	h.must(honest, 0)
	h.must(honest, 1)
	edge := func(level int) string {
		n := h.size(1) >> (journal.TileHeight * (max(level, 0) + 1))
		return journal.TilePath(level, n, journal.TileSize(level, n, h.size(1)))
	}
	cut := func(b []byte) []byte { return b[:len(b)-len(b)/3] }
	flip := func(b []byte) []byte { b[len(b)/2] ^= 4; return b }
	for _, name := range []string{"tile/entries/001", edge(journal.EntriesLevel), "tile/0/001", edge(0), edge(1), "checkpoint"} {
		for what, damage := range map[string]func([]byte) []byte{"missing": nil, "cut": cut, "flipped": flip, "empty": func([]byte) []byte { return nil }} {
			dir := filepath.Join(journaltest.QuickDir(t), "m")
			if err := os.CopyFS(dir, os.DirFS(honest)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, name)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if damage == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, damage(b), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.verify(dir) == nil {
				t.Errorf("%s %s: verify log finds nothing", name, what)
			}
			none := func(int, int64, int) ([]byte, error) { return nil, errors.New("502") }
			_, err = (&audit.Mirror{Dir: dir, Policy: h.Policy}).Follow(context.Background(), tileFunc(none), h.note(1), h.Clock.Now())
			var lacks *audit.IncompleteError
			if errors.As(err, &lacks) && (!strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "502")) {
				t.Errorf("%s %s, and nothing can be fetched: %v", name, what, err)
			} else if err == nil && h.verify(dir) != nil {
				t.Errorf("%s %s, and nothing can be fetched: the visit is content, and yet: %v", name, what, h.verify(dir))
			}
			v, err := h.follow(dir, 1)
			if err != nil || lacks != nil && (len(v.Mended) != 1 || !strings.HasPrefix(v.Mended[0], name+": ")) {
				t.Errorf("%s %s: %+v, %v", name, what, v, err)
			}
			if wrong := h.verify(dir); wrong != nil {
				t.Errorf("%s %s: not mended: %v", name, what, wrong)
			}
		}
	}
}

// What was remembered and cannot be verified is a finding of every visit until a
// person has looked; the visit does its work nevertheless.
func TestMirrorMissesWhatItRemembered(t *testing.T) {
	h := newHistory(t, 230, 300, 300, 300, 300)
	honest := journaltest.QuickDir(t)
	for state := range 3 {
		h.must(honest, state)
	}
	first, last := fmt.Sprintf("checkpoints/%d", h.size(0)), fmt.Sprintf("checkpoints/%d", h.size(2))
	other := h.Forged(98, 1300)
	foreign := journaltest.NewDesk(t)
	for _, c := range []struct {
		name, what string
		content    func([]byte) []byte // nil removes the file
	}{
		{first, "gone", nil},
		{first, "flipped", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }},
		{last, "flipped", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }},
		{last, "empty", func(b []byte) []byte { return nil }},
		{last, "an older one", func([]byte) []byte { return h.note(0) }},
		{last, "a foreign one", func([]byte) []byte { return foreign.Checkpoint(foreign.Filled(1, 600)).Note }},
		{"checkpoints/x", "of no size", func([]byte) []byte { return h.note(0) }},
		{"mirror.json", "cut", func(b []byte) []byte { return b[:len(b)/2] }},
		{"mirror.json", "a counter changed", func(b []byte) []byte { return bytes.Replace(b, []byte(`"Sent":`), []byte(`"Sent":1`), 1) }},
		{"mirror.json", "empty", func([]byte) []byte { return nil }},
	} {
		t.Run(c.name+" "+c.what, func(t *testing.T) {
			dir := filepath.Join(journaltest.QuickDir(t), "m")
			if err := os.CopyFS(dir, os.DirFS(honest)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, c.name)
			b, err := os.ReadFile(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if c.content == nil {
				err = os.Remove(path)
			} else {
				damaged := c.content(bytes.Clone(b))
				if bytes.Equal(damaged, b) {
					t.Fatal("nothing was damaged")
				}
				err = os.WriteFile(path, damaged, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			for state := 2; state < 4; state++ { // and the mirror grows under the finding
				for range 2 {
					v := h.must(dir, state)
					if len(v.Damaged) != 1 || !strings.HasPrefix(v.Damaged[0], c.name+" ") || v.Size() != h.size(state) {
						t.Fatalf("with %d entries: damaged %q", v.Size(), v.Damaged)
					}
				}
			}
			if wrong := h.verify(dir); len(wrong) != 1 {
				t.Errorf("verify log: %v", wrong)
			}
			// The rest of the memory still catches a rewritten log.
			var fork *audit.ForkError
			if _, err := (&audit.Mirror{Dir: dir, Policy: h.Policy}).Follow(context.Background(), other, h.Checkpoint(other).Note, h.Clock.Now()); !errors.As(err, &fork) {
				t.Errorf("a rewritten log: %v", err)
			}
		})
	}
	// With nothing but the checkpoints, and with nothing but mirror.json, all is known.
	for _, gone := range []string{"mirror.json", last} {
		dir := filepath.Join(journaltest.QuickDir(t), "m")
		if err := errors.Join(os.CopyFS(dir, os.DirFS(honest)), os.Remove(filepath.Join(dir, gone))); err != nil {
			t.Fatal(err)
		}
		if v := h.must(dir, 2); v.Before == nil || v.Before.Tree.N != h.size(2) || len(v.Damaged) != 0 {
			t.Errorf("without %s: %+v", gone, v)
		}
		if _, err := os.Stat(filepath.Join(dir, gone)); err != nil {
			t.Error(err)
		}
	}
}

// A folder is not made the mirror of another log, nor of one of its name under
// another key: the tiles of the one would take the place of the other's.
func TestMirrorIsNotPointedAtAnotherLog(t *testing.T) {
	h := newHistory(t, 235, 300, 100)
	dir := journaltest.QuickDir(t)
	h.must(dir, 0)
	before := filesOf(t, dir)
	desk := journaltest.NewDesk(t)
	book := desk.Filled(236, 600)
	var foreign *audit.ForeignError
	v, err := (&audit.Mirror{Dir: dir, Policy: desk.Policy}).Follow(context.Background(), book, desk.Checkpoint(book).Note, desk.Clock.Now())
	if !errors.As(err, &foreign) || len(v.Damaged) != 3 {
		t.Errorf("got %+v, %v, want a *ForeignError", v, err)
	}
	for name, content := range filesOf(t, dir) {
		if before[name] != content && name != ".lock" {
			t.Errorf("%s was touched", name)
		}
		delete(before, name)
	}
	if len(before) > 0 {
		t.Errorf("gone: %v", before)
	}
	if v := h.must(dir, 1); v.Before == nil || len(v.Damaged)+len(v.Mended) > 0 {
		t.Errorf("the next visit of its own: %+v", v)
	}
	// The same auditor, the other log's address.
	if _, err := (&audit.Mirror{Dir: dir, Policy: h.Policy}).Follow(context.Background(), book, desk.Checkpoint(book).Note, desk.Clock.Now()); err == nil || !strings.Contains(err.Error(), "none of its signatures") {
		t.Errorf("another key: %v", err)
	}
	other := bytes.Replace(desk.Checkpoint(book).Note, []byte(journaltest.Origin), []byte("log.example/other"), 1)
	if _, err := (&audit.Mirror{Dir: dir, Policy: h.Policy}).Follow(context.Background(), book, other, desk.Clock.Now()); err == nil || !strings.Contains(err.Error(), "log.example/other") {
		t.Errorf("another name: %v", err)
	}
}

// filesOf are the files of a folder.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir+"/")] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A checkpoint that an earlier policy accepted is verified under that policy.
func TestMirrorUnderAnotherPolicy(t *testing.T) {
	h := newHistory(t, 240, 300, 100)
	dir := journaltest.QuickDir(t)
	h.must(dir, 0)
	_, witness, err := journal.NewKey("w")
	if err != nil {
		t.Fatal(err)
	}
	stricter, err := journal.ParsePolicy([]byte("log " + h.Signer.Key() + "\nwitness w " + witness + "\nquorum w\n"))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := audit.Remember(dir, stricter); err != nil || len(m.Known) != 0 || len(m.Damaged) != 3 {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := audit.Remember(dir, stricter, h.Policy); err != nil || len(m.Known) != 1 || len(m.Damaged) != 0 {
		t.Errorf("with the earlier policy: %+v, %v", m, err)
	}
}

// tileFunc is a TileSource as a function.
type tileFunc func(level int, n int64, width int) ([]byte, error)

func (f tileFunc) Tile(_ context.Context, level int, n int64, width int) ([]byte, error) {
	return f(level, n, width)
}

// killed is what a run gets at the point where it is killed, and from then on.
var killed = errors.New("killed")

// campaign is one mirror's life among misbehaving servers, kills, other runs and a
// damaged disk.
type campaign struct {
	*history
	*testing.T
	r   *rand.Rand
	dir string

	mu    sync.Mutex
	told  []string // what was done, for a failure's message
	torn  bool     // a file of the mirror was damaged since the last visit that looked at everything
	known int64    // the largest checkpoint that was saved
}

func (c *campaign) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, fmt.Sprintf(format, args...))
}

func (c *campaign) fail(format string, args ...any) {
	c.T.Helper()
	c.Fatalf("%s\n\nafter:\n%s", fmt.Sprintf(format, args...), strings.Join(c.told, "\n"))
}

// visit is one run: a checkpoint of some state, served by a front end of the same
// or a later one that lies in part, killed before some change of the folder.
func (c *campaign) visit() {
	shown := c.r.IntN(len(c.states))
	front := shown + c.r.IntN(len(c.states)-shown)
	lies, quick, left := c.r.IntN(3) == 0, c.r.IntN(3) == 0, -1
	if c.r.IntN(2) == 0 {
		left = c.r.IntN(30) // changes of the folder until it is killed
	}
	m := &audit.Mirror{Dir: c.dir, Policy: c.Policy, Quick: quick}
	m.Break(func(operation string) error {
		if left == 0 {
			c.say("  killed before: %s", operation)
			return killed
		}
		left--
		return nil
	})
	var lock sync.Mutex // the reading goroutines share the generator
	other := c.r.IntN(10)
	source := tileFunc(func(level int, n int64, width int) ([]byte, error) {
		data, err := c.states[front].Tile(context.Background(), level, n, width)
		lock.Lock()
		defer lock.Unlock()
		if other--; other == 0 {
			c.another()
		}
		if !lies || err != nil || c.r.IntN(4) > 0 {
			return data, err
		}
		data = slices.Clone(data)
		switch c.r.IntN(5) {
		case 0:
			return nil, errors.New("502")
		case 1:
			return nil, fs.ErrNotExist
		case 2:
			return data[:c.r.IntN(len(data))], nil
		case 3:
			data[c.r.IntN(len(data))] ^= 1 << c.r.IntN(8)
			return data, nil
		}
		return append(data, data...), nil
	})
	c.say("visit: shown %d entries, tiles of %d, lies %t, quick %t", c.size(shown), c.size(front), lies, quick)
	v, err := m.Follow(context.Background(), source, c.note(shown), c.Clock.Now())
	c.say("  %v", err)
	lacks := (*audit.IncompleteError)(nil)
	switch {
	case errors.Is(err, killed):
	case errors.As(err, &lacks):
		if len(lacks.Lacks) == 0 || !strings.Contains(err.Error(), "tile/") {
			c.fail("it does not say what it lacks: %v", err)
		}
		if honest := !lies && c.size(shown) >= c.known; honest {
			c.fail("an honest server of everything, and yet: %v", err)
		}
	case err != nil:
		c.fail("%v", err)
	default:
		if len(v.Damaged) > 0 || v.Recount.Found > 0 {
			c.fail("found %v, %v", v.Damaged, v.Recount.Findings)
		}
		if want := max(c.known, c.size(shown)); v.Size() != want || v.Older != (c.size(shown) < c.known) {
			c.fail("the mirror has %d entries, older %t; want %d", v.Size(), v.Older, want)
		}
		c.torn = c.torn && v.From > 0
	}
	c.check()
}

// another is a second run in the same folder, in the middle of the first.
func (c *campaign) another() {
	_, err := c.follow(c.dir, 0)
	busy := (*audit.BusyError)(nil)
	if !errors.As(err, &busy) || !strings.Contains(err.Error(), fmt.Sprintf("process %d on ", os.Getpid())) {
		c.Errorf("a second run in the folder: %v", err)
	}
	if _, err := audit.LockMirrorForReading(c.dir); !errors.As(err, &busy) {
		c.Errorf("a reader in the folder: %v", err)
	}
}

// damage changes a file of tiles as a bad disk would.
func (c *campaign) damage() {
	var all []string
	filepath.WalkDir(filepath.Join(c.dir, "tile"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, path)
		}
		return nil
	})
	if len(all) == 0 {
		return
	}
	path := all[c.r.IntN(len(all))]
	b, err := os.ReadFile(path)
	if err != nil {
		c.fail("%v", err)
	}
	switch what := c.r.IntN(3); {
	case what == 0 || len(b) == 0:
		err = os.Remove(path)
	case what == 1:
		err = os.WriteFile(path, b[:c.r.IntN(len(b))], 0o644)
	default:
		b[c.r.IntN(len(b))] ^= 1 << c.r.IntN(8)
		err = os.WriteFile(path, b, 0o644)
	}
	if err != nil {
		c.fail("%v", err)
	}
	c.say("damaged: %s", path)
	c.torn = true
}

// check is what must be true whatever has happened.
func (c *campaign) check() {
	c.T.Helper()
	memory, err := audit.Remember(c.dir, c.Policy)
	if err != nil || len(memory.Damaged) > 0 || len(memory.Forks) > 0 {
		c.fail("the memory: %+v, %v", memory, err)
	}
	last := memory.Last()
	if last == nil && c.known > 0 || last != nil && last.Tree.N < c.known {
		c.fail("the memory has gone back from %d entries: %+v", c.known, last)
	}
	if last != nil {
		c.known = last.Tree.N
	}
	if c.known > 0 && !c.torn {
		if wrong := c.verify(c.dir); wrong != nil {
			c.fail("the mirror of %d entries does not verify: %v", c.known, wrong)
		}
	}
}

// Any interleaving of runs, kills, answers and damage leaves a mirror that verifies
// or a visit that says what it lacks, and never a false alarm; and one honest visit
// later all is well.
func TestMirrorWhateverHappens(t *testing.T) {
	h := newHistory(t, 250, 200, 56, 130, 300, 1, 600, 40)
	forged := h.Forged(97, 900)
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for range rounds {
		seed := rand.Uint64()
		c := &campaign{history: h, T: t, r: rand.New(rand.NewPCG(seed, 1)), dir: filepath.Join(journaltest.QuickDir(t), "m")}
		c.say("seed %d", seed)
		for range 8 {
			if c.r.IntN(4) == 0 {
				c.damage()
			}
			c.visit()
		}
		c.say("an honest visit")
		all := len(h.states) - 1
		if v, err := h.follow(c.dir, all); err != nil || v.Size() != h.size(all) {
			c.fail("an honest visit: %+v, %v", v, err)
		}
		c.torn = false
		c.check()
		var fork *audit.ForkError
		if _, err := (&audit.Mirror{Dir: c.dir, Policy: h.Policy}).Follow(context.Background(), forged, h.Checkpoint(forged).Note, h.Clock.Now()); !errors.As(err, &fork) {
			c.fail("another history: %v", err)
		}
	}
}

// A folder whose memory was taken away is not taken for one in which a first visit was
// cut short: that one remembers what it was shown.
func TestMirrorMissesItsWholeMemory(t *testing.T) {
	h := newHistory(t, 260, 300, 200)
	dir := journaltest.QuickDir(t)
	h.must(dir, 0)
	for _, name := range []string{"mirror.json", "checkpoints", "checkpoint"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		wrong := name != "mirror.json"
		memory, err := audit.Remember(dir, h.Policy)
		if err != nil || len(memory.Damaged) > 0 != wrong {
			t.Fatalf("without %s: %v, %v", name, memory.Damaged, err)
		}
	}
	var foreign *audit.ForeignError
	if v, err := h.follow(dir, 1); !errors.As(err, &foreign) || len(v.Damaged) != 1 || !strings.Contains(v.Damaged[0], "are gone") {
		t.Errorf("visited again: %+v, %v", v, err)
	}

	// A first visit is cut short after its first tile.
	cut := journaltest.QuickDir(t)
	m := &audit.Mirror{Dir: cut, Policy: h.Policy}
	m.Break(func(operation string) error {
		if strings.HasPrefix(operation, "create checkpoint") {
			return killed
		}
		return nil
	})
	if _, err := m.Follow(context.Background(), h.states[0], h.note(0), h.Clock.Now()); !errors.Is(err, killed) {
		t.Fatal(err)
	}
	other := h.Forged(96, 900)
	var fork *audit.ForkError
	if _, err := (&audit.Mirror{Dir: cut, Policy: h.Policy}).Follow(context.Background(), other, h.Checkpoint(other).Note, h.Clock.Now()); !errors.As(err, &fork) || fork.Before.Tree.N != h.size(0) {
		t.Errorf("another history: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(cut, "forks")); err != nil {
		t.Fatal(err)
	}
	if v := h.must(cut, 1); v.Before != nil || len(v.Damaged)+len(v.Mended) > 0 {
		t.Errorf("the next visit: %+v", v)
	}
	if wrong := h.verify(cut); wrong != nil {
		t.Errorf("verify log: %v", wrong)
	}
}

// A log whose key was changed is mirrored on in the same folder, by a policy that says
// which one it succeeds; everything of before is still held against it.
func TestMirrorGoesOnUnderTheNextKey(t *testing.T) {
	h := newHistory(t, 270, 300)
	dir := journaltest.QuickDir(t)
	h.must(dir, 0)
	old, before := h.Policy, h.Checkpoint(h.states[0])
	secret, public, err := journal.NewKey(journaltest.Origin + "/2")
	if err != nil {
		t.Fatal(err)
	}
	reopen := func(book *journaltest.Book) {
		t.Helper()
		state := filepath.Join(t.TempDir(), "signer.json")
		if err := clerk.CreateSignerState(state, secret); err != nil {
			t.Fatal(err)
		}
		if h.Signer, err = clerk.NewFileSigner(state, secret, h.Clock.Now); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func(s *clerk.FileSigner) func() { return func() { s.Close() } }(h.Signer))
		if err := clerk.Reopen(context.Background(), book, h.Signer, before.Tree, h.Clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	forged := h.Forged(272, 900) // under the old key
	book := h.states[0].Snapshot()
	reopen(book)
	plain, err := journal.LogPolicy(public)
	if err != nil {
		t.Fatal(err)
	}
	_, key, _ := strings.Cut(strings.SplitN(string(old.Text()), "\n", 2)[0], " ")
	h.Policy, err = journal.ParsePolicy(append(plain.Text(), "succeeds "+key+"\n"...))
	if err != nil {
		t.Fatal(err)
	}
	events := journaltest.Events(271, 200)
	for i := range events {
		events[i].Time = h.Clock.Now()
	}
	if err := book.Add(events...); err != nil {
		t.Fatal(err)
	}
	if err := h.Settle(h.Sequencer(book)); err != nil {
		t.Fatal(err)
	}
	h.states = append(h.states, book)

	// A policy that names no predecessor does not read the old memory.
	var foreign *audit.ForeignError
	if _, err := (&audit.Mirror{Dir: dir, Policy: plain}).Follow(context.Background(), book, h.note(1), h.Clock.Now()); !errors.As(err, &foreign) {
		t.Errorf("without its predecessor: %v", err)
	}
	v := h.must(dir, 1)
	if v.Before == nil || v.Before.Tree != before.Tree || v.Before.Origin == v.Now.Origin || v.Recount.Kinds()[journal.KindKeyChanged] != 1 || len(v.Damaged)+len(v.Mended) > 0 {
		t.Errorf("the visit: %+v", v)
	}
	if wrong := h.verify(dir); wrong != nil {
		t.Errorf("verify log: %v", wrong)
	}
	// The old key makes no new checkpoint of it, and a rewritten beginning is found.
	if _, err := h.Policy.Open(before.Note); err == nil {
		t.Error("a checkpoint of the old key is taken for one of the log")
	}
	reopen(forged)
	if err := h.Settle(h.Sequencer(forged)); err != nil {
		t.Fatal(err)
	}
	var fork *audit.ForkError
	if _, err := (&audit.Mirror{Dir: dir, Policy: h.Policy}).Follow(context.Background(), forged, h.Checkpoint(forged).Note, h.Clock.Now()); !errors.As(err, &fork) {
		t.Errorf("a rewritten log: %v", err)
	}
}
