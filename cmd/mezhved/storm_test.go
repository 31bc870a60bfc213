package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestStorm is a campaign against two nodes: real processes, real PostgreSQL with
// fsync on, a bus in processes of its own, and proxies of ours between them. It
// draws rounds at random from the kinds of fault in storm_kinds_test.go, under
// load. What was sent, answered, delivered and acknowledged stands in a ledger of
// the parties' own; after each round the world must get well again, and at the
// end of each world the auditor's program verifies its journal and the journal is
// held against the ledger. Variables of the environment say what is drawn:
//
//	MEZHVED_STORM         how many rounds; without it there is no storm
//	MEZHVED_STORM_SEED    of the draw, 1 by default: the same seed draws the same rounds
//	MEZHVED_STORM_KINDS   names of kinds with commas between; default: all that can be here
//	MEZHVED_STORM_BUS     buses, one world after the other: kfake, kafka1, kafka3; default kfake
//	MEZHVED_STORM_WORLD   how many rounds a world lasts, 100 by default; each begins with an empty database
//	MEZHVED_STORM_TABLE   a file for the table, in Markdown
//
// Full disks need root, a pooler needs PgBouncer, moved clocks need Linux on
// amd64, a rolling upgrade needs the repository's history, kafka1 and kafka3 need
// Java and Maven. A kind that cannot be here is named below the table.
func TestStorm(t *testing.T) {
	if os.Getenv("MEZHVED_STORM") == "" {
		t.Skip("MEZHVED_STORM says how many rounds (make storm)")
	}
	s := newStorm(t)
	buses := strings.Split(cmp.Or(os.Getenv("MEZHVED_STORM_BUS"), "kfake"), ",")
	length := variable(t, "MEZHVED_STORM_WORLD", 100)
	rounds := variable(t, "MEZHVED_STORM", 0)
	for world := 0; s.round < rounds; world++ {
		bus := buses[world%len(buses)]
		n := min(length, rounds-s.round)
		before := s.round
		t.Run(fmt.Sprintf("world-%d-%s", world+1, bus), func(t *testing.T) {
			w := openStormWorld(t, s, bus)
			w.run(n)
		})
		if s.round == before {
			break // it could not even begin
		}
	}
	table := s.table()
	t.Log("\n" + table)
	if file := os.Getenv("MEZHVED_STORM_TABLE"); file != "" {
		if err := os.WriteFile(file, []byte(table), 0o644); err != nil {
			t.Error(err)
		}
	}
	for _, f := range s.findings {
		t.Error(f)
	}
}

func variable(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s: a number from 1 on is expected", name, text)
	}
	return n
}

// storm is the whole campaign: the draw, and what has come out.
type storm struct {
	t     *testing.T
	rand  *rand.Rand
	seed  int
	round int // the last one
	begun time.Time
	drawn []*fault // of all kinds that were asked for, each as often as it weighs

	upgrade *fault // with which worlds begin; nil: with none

	bag      []*fault
	results  map[string]*result
	buses    map[string]int // rounds
	records  []record
	mu       sync.Mutex
	findings []string
	told     map[int]int // findings, by round
	accepted int64
	took     time.Duration
	absent   map[string]string // kinds that cannot be here, and why
}

// record is what is kept of a round until the journal was audited.
type record struct {
	round  int
	faults []*fault
}

func newStorm(t *testing.T) *storm {
	seed := variable(t, "MEZHVED_STORM_SEED", 1)
	s := &storm{t: t, seed: seed, rand: rand.New(rand.NewPCG(uint64(seed), 0)), begun: time.Now(), results: map[string]*result{}, told: map[int]int{}, buses: map[string]int{}, absent: map[string]string{}}
	asked := strings.FieldsFunc(os.Getenv("MEZHVED_STORM_KINDS"), func(r rune) bool { return r == ',' })
	unknown := slices.Clone(asked)
	for i := range faults {
		f := &faults[i]
		if len(asked) > 0 && !slices.Contains(asked, f.name) {
			continue
		}
		unknown = slices.DeleteFunc(unknown, func(name string) bool { return name == f.name })
		if f.begins {
			s.upgrade = f
			continue
		}
		for range max(f.weight, 1) {
			s.drawn = append(s.drawn, f)
		}
	}
	if len(unknown) > 0 {
		t.Fatalf("MEZHVED_STORM_KINDS: there is no kind of fault %q", unknown)
	}
	return s
}

// draw takes one kind, or two of different parts, out of the bag. The bag is
// filled again when it is empty, so that each kind has its turn.
func (s *storm) draw(w *stormWorld) []*fault {
	take := func(fits func(*fault) bool) *fault {
		for range 2 {
			for i, f := range s.bag {
				if fits(f) {
					s.bag = slices.Delete(s.bag, i, i+1)
					return f
				}
			}
			fresh := slices.Clone(s.drawn)
			s.rand.Shuffle(len(fresh), func(i, j int) { fresh[i], fresh[j] = fresh[j], fresh[i] })
			s.bag = append(s.bag, fresh...)
		}
		return nil
	}
	here := func(f *fault) bool {
		if f.cannot == nil {
			return true
		}
		why := f.cannot(w)
		if why != "" {
			s.absent[f.name] = why
		}
		return why == ""
	}
	one := take(here)
	if one == nil {
		return nil
	}
	if one.alone || s.rand.IntN(5) != 0 {
		return []*fault{one}
	}
	two := take(func(f *fault) bool { return here(f) && !f.alone && f.part != one.part })
	if two == nil {
		return []*fault{one}
	}
	if two.part == ofNode {
		// What is healed last was struck first: a node gets ready when the others are well.
		one, two = two, one
	}
	return []*fault{one, two}
}

// result is what all rounds of one kind gave.
type result struct {
	rounds                int
	accepted              int64
	problems              map[wrong]int
	accept, deliver, sign []time.Duration // until it went on
	before, after         []gauges
	stood                 int // rounds after which something did not go on
}

func (s *storm) result(f *fault) *result {
	r := s.results[f.name]
	if r == nil {
		r = &result{problems: map[wrong]int{}}
		s.results[f.name] = r
	}
	return r
}

// found notes what must not be. Of a round that has many such things a few are
// enough.
func (s *storm) found(round int, format string, args ...any) {
	text := fmt.Sprintf("seed %d, round %d (%s): ", s.seed, round, s.names(round)) + fmt.Sprintf(format, args...)
	s.mu.Lock()
	defer s.mu.Unlock()
	const enough = 6
	if s.told[round]++; s.told[round] > enough {
		return
	}
	if s.told[round] == enough {
		text += "; and more"
	}
	s.findings = append(s.findings, text)
	s.t.Log("FOUND: " + text)
}

func (s *storm) names(round int) string {
	for _, r := range s.records {
		if r.round == round {
			return kindsOf(r.faults)
		}
	}
	return "before the first"
}

func kindsOf(faults []*fault) string {
	var names []string
	for _, f := range faults {
		names = append(names, f.name)
	}
	return strings.Join(names, " + ")
}

// blame counts a problem of a message for the kinds of its round.
func (s *storm) blame(round int, what wrong, text string) {
	for _, r := range s.records {
		if r.round == round {
			for _, f := range r.faults {
				s.result(f).problems[what]++
			}
		}
	}
	s.found(round, "%s", text)
}

// table is the outcome in Markdown.
func (s *storm) table() string {
	var b strings.Builder
	total := map[wrong]int{}
	var buses []string
	for _, bus := range slices.Sorted(maps.Keys(s.buses)) {
		buses = append(buses, fmt.Sprintf("%s %d", bus, s.buses[bus]))
	}
	rows := 0
	var lines strings.Builder
	for i := range faults {
		f := &faults[i]
		r := s.results[f.name]
		if r == nil || r.rounds == 0 {
			continue
		}
		rows++
		for what, n := range r.problems {
			total[what] += n
		}
		fmt.Fprintf(&lines, "| %s: %s | %d | %d | %d | %d | %d | %d | %s | %s | %s | %s | %s | %s |\n", f.name, f.what, r.rounds, r.accepted,
			r.problems[lost], r.problems[doubled], r.problems[unjournalled], r.problems[otherwise]+r.stood,
			spread(r.accept), spread(r.deliver), spread(r.sign),
			change(r, func(g gauges) float64 { return g.rss / (1 << 20) }), change(r, func(g gauges) float64 { return g.goroutines }), change(r, func(g gauges) float64 { return g.connections }))
	}
	fmt.Fprintf(&b, "Seed %d, %d rounds (%s) of %d kinds in %s; %d messages accepted: %d lost, %d doubled, %d unjournalled.\n\n",
		s.seed, s.round, strings.Join(buses, ", "), rows, s.took.Round(time.Second), s.accepted, total[lost], total[doubled], total[unjournalled])
	b.WriteString("| Fault | rounds | accepted | lost | doubled | unjournalled | else | accepts again, s (p50/max) | delivers again | signs again | RSS, MB | goroutines | connections |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	b.WriteString(lines.String())
	for _, name := range slices.Sorted(maps.Keys(s.absent)) {
		if s.results[name] == nil {
			fmt.Fprintf(&b, "\nNot drawn: %s (%s).\n", name, s.absent[name])
		}
	}
	for _, f := range s.findings {
		fmt.Fprintf(&b, "\n* %s", f)
	}
	return b.String()
}

// spread is the median and the longest, in seconds.
func spread(list []time.Duration) string {
	if len(list) == 0 {
		return "-"
	}
	slices.Sort(list)
	return fmt.Sprintf("%.1f/%.1f", list[(len(list)-1)/2].Seconds(), list[len(list)-1].Seconds())
}

// change is the median of a gauge before the rounds and after them.
func change(r *result, of func(gauges) float64) string {
	median := func(list []gauges) float64 {
		if len(list) == 0 {
			return 0
		}
		var values []float64
		for _, g := range list {
			values = append(values, of(g))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return fmt.Sprintf("%.0f → %.0f", median(r.before), median(r.after))
}

// firstRelease is what an upgrade begins with where no release was tagged yet.
const firstRelease = "78c47cf"

// previousRelease is what an upgrade begins with: the release that was tagged last before
// this commit.
func previousRelease() string {
	tag, err := exec.Command("git", "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD^").Output()
	if err != nil {
		return firstRelease
	}
	return string(bytes.TrimSpace(tag))
}

// buildPrevious builds the previous release from the repository's history. Nothing is
// fetched: a clone without history has none.
func buildPrevious() (string, error) {
	root, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return "", fmt.Errorf("there is no repository here: %w", err)
	}
	previousRelease := previousRelease()
	src := filepath.Join(scratch, "previous-src")
	if err := os.MkdirAll(src, 0o755); err != nil {
		return "", err
	}
	archive := exec.Command("git", "archive", previousRelease)
	archive.Dir = string(bytes.TrimSpace(root))
	tree, err := archive.Output()
	if err != nil {
		return "", fmt.Errorf("the history has no %s: %w", previousRelease, err)
	}
	unpack := exec.Command("tar", "-x", "-C", src)
	unpack.Stdin = bytes.NewReader(tree)
	if out, err := unpack.CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpacking %s: %w\n%s", previousRelease, err, out)
	}
	binary := filepath.Join(scratch, "mezhved-"+previousRelease)
	build := exec.Command("go", "build", "-o", binary, "./cmd/mezhved")
	build.Dir = src
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", previousRelease, err, out)
	}
	return binary, nil
}

// previousServices leaves the services that the previous release has, as it describes
// them: who upgrades node by node writes new settings when no old node is left.
func previousServices(dir string) error {
	old := os.DirFS(filepath.Join(scratch, "previous-src", "testdata", "services"))
	here, err := fs.Glob(os.DirFS(dir), "*/*/service.yaml")
	for _, name := range here {
		text, e := fs.ReadFile(old, name)
		switch {
		case errors.Is(e, fs.ErrNotExist):
			e = os.RemoveAll(filepath.Dir(filepath.Dir(filepath.Join(dir, name))))
		case e == nil:
			e = os.WriteFile(filepath.Join(dir, name), text, 0o644)
		}
		err = errors.Join(err, e)
	}
	return err
}
