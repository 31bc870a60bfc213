package postgres_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
	"mezhved/adapter/vault"
)

// keyedWorld is a store whose values are sealed with the keys of a folder, and its journal.
type keyedWorld struct {
	*world
	t    *testing.T
	desk *journaltest.Desk
	dir  string
	book *postgres.Journal
	seq  *clerk.Sequencer
}

func newKeyedWorld(t *testing.T) *keyedWorld {
	t.Helper()
	w := &keyedWorld{world: newWorld(t), t: t, desk: journaltest.NewDesk(t)}
	w.dir = filepath.Join(w.desk.Dir, "keys")
	w.query(exec("UPDATE release_gate SET since = '-infinity'")) // values are sealed together
	w.desk.Clock.Move(-time.Until(w.desk.Clock.Now()))
	w.node()
	return w
}

// node opens the store anew, with nothing remembered of the keys.
func (w *keyedWorld) node() {
	w.t.Helper()
	w.Store, w.book, w.seq = w.join(w.dir)
}

// join is a node with a folder of its own.
func (w *keyedWorld) join(dir string) (*postgres.Store, *postgres.Journal, *clerk.Sequencer) {
	w.t.Helper()
	v := openVault(w.t, dir)
	s := w.another(postgres.Options{Vault: v})
	book, err := s.Journal(context.Background(), journaltest.Origin, v)
	if err != nil {
		w.t.Fatal(err)
	}
	seq := w.desk.Sequencer(book)
	seq.Vault, seq.Keys = v, func() error { _, err := v.Lacking(); return err }
	return s, book, seq
}

// person accepts a message about somebody.
func (w *keyedWorld) person(s *postgres.Store) (*adapter.Message, error) {
	w.t.Helper()
	m := w.secret()
	ev := event(journal.KindAccepted, m)
	ev.Digest, ev.Personal = strings.Repeat("ab", 32), []journal.PersonalField{{Field: "snils", Value: snils}}
	_, err := s.Accept(context.Background(), m, []journal.Event{ev})
	return m, err
}

// settled has the journal take up what waits, and says what it has against that.
func (w *keyedWorld) settled(seq *clerk.Sequencer) error { return w.desk.Settle(seq) }

func (w *keyedWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

var thatPerson = journal.PersonalField{Field: "snils", Value: snils}

// A folder that has lost a key that the database has rows of, or has another in its place,
// makes none of that name: nothing is accepted, what waits for its place waits, and when
// the key is back all of it is as before.
func TestAKeyThatRowsNameIsNotMadeAnew(t *testing.T) {
	w := newKeyedWorld(t)
	_, err := w.person(w.Store)
	w.must(err)
	w.must(w.settled(w.seq))
	month := time.Now().UTC().Format("2006-01")
	whole := snapshot(t, w.dir)
	var names []string
	for path := range whole {
		if name := filepath.Base(path); strings.HasSuffix(name, ".key") || strings.HasSuffix(name, ".tree") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, want := range []string{"blind.key", "personal-" + month + ".key", "envelope-" + month + ".key", "pending-" + month + ".tree"} {
		if !slices.Contains(names, want) {
			t.Fatalf("the vault has %v and not %s: nothing is tried here", names, want)
		}
	}
	other := newKeyedWorld(t) // has keys of the same names
	_, err = other.person(other.Store)
	w.must(err)
	w.must(other.settled(other.seq))

	for _, marks := range []bool{true, false} {
		if !marks { // as nodes of the release before have left it
			w.query(exec("DELETE FROM vault_key"))
			w.query(exec("UPDATE content_vault SET marked = 'infinity'"))
		}
		for _, name := range names {
			for _, replaced := range []bool{false, true} {
				if replaced && !marks && name[0] == 'e' {
					continue
				}
				if !marks && strings.HasPrefix(name, "pending") {
					continue // nothing waits under it
				}
				path := filepath.Join(w.dir, name)
				w.must(os.Remove(path))
				if replaced {
					b, err := os.ReadFile(filepath.Join(other.dir, name))
					w.must(err)
					w.must(os.WriteFile(path, b, 0o600))
				}
				// A process that knows the key notices within a second; a new one at once.
				for _, again := range []bool{false, true} {
					if again {
						w.node()
					} else if !marks || replaced || name[0] == 'e' {
						continue
					}
					lacks := (*vault.KeyError)(nil)
					for end := time.Now().Add(20 * time.Second); lacks == nil; time.Sleep(50 * time.Millisecond) {
						if _, err := w.person(w.Store); err != nil && !errors.As(err, &lacks) || time.Now().After(end) {
							t.Fatalf("%s, replaced %v, marks %v, new process %v: accepted: %v", name, replaced, marks, again, err)
						}
					}
					if lacks.Key != name || lacks.Folder != w.dir || lacks.Rows == "" || lacks.Other != replaced || !strings.Contains(lacks.Error(), "lost-key "+name) {
						t.Errorf("%s, replaced %v, marks %v: %v", name, replaced, marks, lacks)
					}
					if err := w.settled(w.seq); !errors.As(err, &lacks) {
						t.Errorf("%s, replaced %v: the journal is writable: %v", name, replaced, err)
					}
					standing, err := w.Standing(context.Background())
					w.must(err)
					if !slices.ContainsFunc(standing.Oldest, func(o adapter.Oldest) bool { return o.Station == adapter.StationVault && o.Age > 0 }) {
						t.Errorf("%s, replaced %v: nobody is told: %+v", name, replaced, standing.Oldest)
					}
					if _, err := os.Stat(path); !replaced && err == nil {
						t.Fatalf("%s was made anew", name)
					}
				}
				restore(t, w.dir, whole)
				if replaced {
					w.node()
				}
				var err error
				for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
					if _, err = w.person(w.Store); err == nil || time.Now().After(end) {
						break
					}
				}
				if err == nil {
					err = w.settled(w.seq)
				}
				if err != nil {
					t.Fatalf("%s is back, and nothing is accepted: %v", name, err)
				}
				if !marks {
					w.query(exec("DELETE FROM vault_key"))
				}
			}
		}
	}
	found, err := w.book.Mentions(context.Background(), thatPerson, time.Time{}, time.Time{})
	if err != nil || len(found) < 4 {
		t.Errorf("%d entries tell of the person: %v", len(found), err)
	}
}

// Where the whole folder is away, or another is in its place, that is said, and not that a
// key of it is lost; when it is back, accepting goes on.
func TestAVaultThatIsAwayIsToldAsOne(t *testing.T) {
	w := newKeyedWorld(t)
	_, err := w.person(w.Store)
	w.must(err)
	w.must(w.settled(w.seq))
	whole, away := snapshot(t, w.dir), w.dir+".away"
	for _, empty := range []bool{false, true} { // no folder; one on which nothing is mounted
		w.must(os.Rename(w.dir, away))
		want := "is not there"
		if empty {
			w.must(os.Mkdir(w.dir, 0o700))
			want = "has no vault in it"
		}
		lacks := (*vault.KeyError)(nil)
		for end := time.Now().Add(20 * time.Second); lacks == nil; time.Sleep(50 * time.Millisecond) {
			if _, err := w.person(w.Store); err != nil && !errors.As(err, &lacks) || time.Now().After(end) {
				t.Fatalf("an empty folder %v: accepted: %v", empty, err)
			}
		}
		if said := lacks.Error(); lacks.Away != want || !strings.Contains(said, w.dir+" "+want) || strings.Contains(said, "lost-key") {
			t.Errorf("an empty folder %v: %v", empty, lacks)
		}
		standing, err := w.Standing(context.Background())
		w.must(err)
		if !slices.ContainsFunc(standing.Oldest, func(o adapter.Oldest) bool { return o.Station == adapter.StationVaultFolder && o.Age > 0 }) {
			t.Errorf("an empty folder %v: nobody is told: %+v", empty, standing.Oldest)
		}
		if _, err := os.Stat(w.dir); (err == nil) != empty {
			t.Errorf("an empty folder %v: %v", empty, err)
		}
		w.must(os.RemoveAll(w.dir))
		w.must(os.Rename(away, w.dir))
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			if _, err = w.person(w.Store); err == nil || time.Now().After(end) {
				break
			}
		}
		w.must(err)
		if now := snapshot(t, w.dir); len(now) != len(whole) {
			t.Errorf("an empty folder %v: the vault has %d files, had %d", empty, len(now), len(whole))
		}
	}
}

// A key that is there and cannot be read is told as one that is missing is: the node says so
// and accepts nothing, and goes on when it can be read.
func TestAKeyThatCannotBeReadIsTold(t *testing.T) {
	w := newKeyedWorld(t)
	_, err := w.person(w.Store)
	w.must(err)
	w.must(w.settled(w.seq))
	month := time.Now().UTC().Format("2006-01")
	for _, name := range []string{"personal-" + month + ".key", "blind.key", "pending-" + month + ".tree"} {
		path := filepath.Join(w.dir, name)
		whole, err := os.ReadFile(path)
		w.must(err)
		for _, folder := range []bool{false, true} { // bytes that are no key; nothing that can be read as a file
			w.must(os.Remove(path))
			if folder {
				w.must(os.Mkdir(path, 0o700))
			} else {
				w.must(os.WriteFile(path, []byte("half a ke"), 0o600))
			}
			w.node()
			_, err = w.person(w.Store)
			lacks := (*vault.KeyError)(nil)
			if !errors.As(err, &lacks) || lacks.Key != name || lacks.Unread == nil || !strings.HasPrefix(err.Error()[strings.Index(err.Error(), name):], name+" cannot be read (") {
				t.Errorf("%s, a folder %v: %v", name, folder, err)
			}
			standing, err := w.Standing(context.Background())
			w.must(err)
			if !slices.ContainsFunc(standing.Oldest, func(o adapter.Oldest) bool { return o.Station == adapter.StationVault }) {
				t.Errorf("%s, a folder %v: nobody is told: %+v", name, folder, standing.Oldest)
			}
			w.must(os.Remove(path))
			w.must(os.WriteFile(path, whole, 0o600))
			for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
				if _, err = w.person(w.Store); err == nil || time.Now().After(end) {
					break
				}
			}
			w.must(err)
			w.must(w.settled(w.seq))
		}
	}
}

// Events that wait are taken up when the key that they wait under is there again, and not
// committed to as bytes that nobody can open.
func TestEventsWaitForTheKeyThatTheyAreSealedWith(t *testing.T) {
	w := newKeyedWorld(t)
	_, err := w.person(w.Store)
	w.must(err)
	name := "pending-" + time.Now().UTC().Format("2006-01") + ".tree"
	whole := snapshot(t, w.dir)
	w.must(os.Remove(filepath.Join(w.dir, name)))
	w.node()
	lacks := (*vault.KeyError)(nil)
	if err := w.settled(w.seq); !errors.As(err, &lacks) || lacks.Key != name {
		t.Errorf("the journal without the key: %v", err)
	}
	if head, err := w.book.Head(context.Background()); err != nil || head.Tree.N != 0 {
		t.Fatalf("%d entries were written without the key: %v", head.Tree.N, err)
	}
	restore(t, w.dir, whole)
	w.node()
	w.must(w.settled(w.seq))
	if found, err := w.book.Mentions(context.Background(), thatPerson, time.Time{}, time.Time{}); err != nil || len(found) != 1 {
		t.Errorf("the entry tells of the person: %+v, %v", found, err)
	}
}

// Of two nodes with a folder each, which both lack the key of the month, one makes it: the
// other one finds that out before it seals anything.
func TestTwoFoldersHaveNoKeyOfOneName(t *testing.T) {
	w := newKeyedWorld(t)
	copied := t.TempDir()
	for path, b := range snapshot(t, w.dir) { // the identity, and no key yet
		w.must(os.WriteFile(filepath.Join(copied, filepath.Base(path)), b, 0o600))
	}
	second, _, _ := w.join(copied)
	_, err := w.person(w.Store)
	w.must(err)
	lacks := (*vault.KeyError)(nil)
	if _, err := w.person(second); !errors.As(err, &lacks) || lacks.Folder != copied {
		t.Errorf("the second folder: %v", err)
	}
	// Even where it had made its own before the first was heard of.
	v := openVault(t, copied)
	_, err = v.SealContent(vault.Item{Class: vault.ClassPending, ID: vault.ID(uuid.Must(uuid.NewV7()))}, "a field", nil)
	w.must(err)
	second, _, _ = w.join(copied)
	if _, err := w.person(second); !errors.As(err, &lacks) || lacks.Folder != copied {
		t.Errorf("the second folder: %v", err)
	}
	if _, err := w.person(w.Store); err != nil {
		t.Errorf("the first one: %v", err)
	}
	// And with one folder for both nothing is in the way.
	third, _, _ := w.join(w.dir)
	if _, err := w.person(third); err != nil {
		t.Errorf("a node with the same folder: %v", err)
	}
}

// Keys and trees that somebody has put in the place of others, before the database had marks
// of these, are held against what is sealed under their names: a node does so before a
// message comes, and the doctor for all months.
func TestKeysThatTheDatabaseDoesNotKnowAreTried(t *testing.T) {
	ctx := context.Background()
	sealed := func() *keyedWorld {
		w := newKeyedWorld(t)
		_, err := w.person(w.Store)
		w.must(err)
		w.must(w.Refuse(ctx, journal.Event{Kind: journal.KindRefused, Time: w.now, Incident: uuid.Must(uuid.NewV7()).String()}, "", "text/xml", []byte(snils)))
		w.must(w.settled(w.seq))
		return w
	}
	w, other := sealed(), sealed()
	w.query(exec("DELETE FROM vault_key"))
	w.query(exec("UPDATE content_vault SET marked = 'infinity'"))
	examined := func() []string {
		t.Helper()
		strange, elsewhere, err := postgres.ExamineKeys(ctx, w.url, w.dir)
		if err != nil || len(elsewhere) > 0 {
			t.Errorf("elsewhere: %v, %v", elsewhere, err)
		}
		return strange
	}
	if strange := examined(); len(strange) > 0 {
		t.Fatalf("with the whole vault: %v", strange)
	}
	month := time.Now().UTC().Format("2006-01")
	for _, name := range []string{"personal-" + month + ".key", "blind.key", "refused-" + month + ".tree", adapter.ContentClass("egrn-extract", adapter.DirRequest) + "-" + month + ".tree"} {
		path := filepath.Join(w.dir, name)
		own, err := os.ReadFile(path)
		w.must(err)
		its, err := os.ReadFile(filepath.Join(other.dir, name))
		w.must(err)
		w.must(os.WriteFile(path, its, 0o600))
		if strange := examined(); !slices.Equal(strange, []string{name}) {
			t.Errorf("another %s: %v", name, strange)
		}
		w.node() // which looks when it starts
		standing, err := w.Standing(ctx)
		w.must(err)
		if !slices.ContainsFunc(standing.Oldest, func(o adapter.Oldest) bool { return o.Station == adapter.StationVault }) {
			t.Errorf("another %s: nobody is told: %+v", name, standing.Oldest)
		}
		w.must(os.WriteFile(path, own, 0o600))
	}
	w.node()
	if n := w.count("SELECT count(*) FROM vault_key"); n > 0 {
		t.Errorf("%d keys were noted that nobody sealed with", n)
	}
}

// What a node with a folder of its own has sealed, and did not ask for, is noticed by others,
// who go on.
func TestWhatIsSealedElsewhereIsNoticed(t *testing.T) {
	ctx := context.Background()
	w := newKeyedWorld(t)
	_, err := w.person(w.Store) // with whose trees those of after it are to agree
	w.must(err)
	m, err := w.person(w.Store)
	w.must(err)
	w.must(w.settled(w.seq))
	var log bytes.Buffer
	node := w.another(postgres.Options{Vault: openVault(t, w.dir), Log: slog.New(slog.NewTextHandler(&log, nil))})
	later := time.Now()
	look := func() []string {
		t.Helper()
		later = later.Add(time.Minute)
		_, err := node.Sweep(ctx, later)
		w.must(err)
		_, elsewhere, err := postgres.ExamineKeys(ctx, w.url, w.dir)
		w.must(err)
		return elsewhere
	}
	if elsewhere := look(); len(elsewhere) > 0 || log.Len() > 0 {
		t.Fatalf("of one folder: %v, %s", elsewhere, &log)
	}
	item := vault.Item{Class: adapter.ContentClass(m.Service, m.Direction), ID: vault.ID(m.ID)}
	box, err := openVault(t, t.TempDir()).SealContent(item, "body", m.Body)
	w.must(err)
	w.query(exec("UPDATE message SET body = '\\x" + hex.EncodeToString(box) + "' WHERE id = '" + m.ID.String() + "'"))
	w.query(exec("UPDATE journal_opening SET sealed = set_byte(sealed, length(sealed) - 1, 255 - get_byte(sealed, length(sealed) - 1)) WHERE key LIKE 'personal-%'"))
	month := time.Now().UTC().Format("2006-01")
	want := []string{item.Class + "-" + month + ".tree", "personal-" + month + ".key"}
	if elsewhere := look(); !slices.Equal(elsewhere, want) {
		t.Errorf("sealed elsewhere: %v, want %v", elsewhere, want)
	}
	if text := log.String(); !strings.Contains(text, "another node has a folder of its own") || !strings.Contains(text, strings.Join(want, ", ")) {
		t.Errorf("the log: %s", text)
	}
	if _, err := w.person(node); err != nil {
		t.Errorf("nothing is accepted: %v", err)
	}
}

// A key that another process makes while the database is asked is the one that is used.
func TestAKeyThatIsMadeMeanwhileIsUsed(t *testing.T) {
	dir := t.TempDir()
	first, second := openVault(t, dir), openVault(t, dir)
	const name = "personal-2026-11"
	var box []byte
	defer second.Heed(&asked{func() {
		if box == nil {
			var err error
			if box, err = first.SealTogether(nil, name, "here", []byte("said")); err != nil {
				t.Error(err)
			}
		}
	}})()
	if _, err := second.SealTogether(nil, name, "there", []byte("too")); err != nil {
		t.Fatal(err)
	}
	if plain, err := second.OpenTogether(name, "here", box); err != nil || string(plain) != "said" {
		t.Errorf("opened to %q, %v", plain, err)
	}
}

// asked is a witness of a database where somebody else is quicker.
type asked struct{ meanwhile func() }

func (a *asked) Sealed(string) (vault.Use, error) {
	a.meanwhile()
	return vault.Use{Rows: "rows are"}, nil
}

func (a *asked) Vouch(_ string, mark []byte) ([]byte, error) { return bytes.Clone(mark), nil }

// The marks of keys go when retention has ended everything that was sealed with them.
func TestMarksOfKeysEnd(t *testing.T) {
	w := newKeyedWorld(t)
	_, err := w.person(w.Store)
	w.must(err)
	w.must(w.settled(w.seq))
	marks := func() map[string]int {
		return maps.Collect(func(yield func(string, int) bool) {
			for _, kind := range []string{"personal-", "envelope-", "pending-", "blind"} {
				if !yield(kind, w.count("SELECT count(*) FROM vault_key WHERE name LIKE '"+kind+"%'")) {
					return
				}
			}
		})
	}
	if m := marks(); m["personal-"] != 1 || m["pending-"] != 1 || m["blind"] != 1 {
		t.Fatalf("marks: %v", m)
	}
	later := time.Now().AddDate(0, 2, 0)
	if _, err := w.book.Forget(context.Background(), journal.ClassPersonal, later, "g", time.Now()); err != nil {
		t.Fatal(err)
	}
	if m := marks(); m["personal-"] != 0 || m["envelope-"] != 1 || m["blind"] != 1 {
		t.Errorf("marks after the values of people have ended: %v", m)
	}
	w.must(w.settled(w.seq))
	r := &postgres.ContentRetention{Store: w.Store, Services: func() []string { return nil }, For: func(string, bool) time.Duration { return 0 }, Ground: "g",
		Now: func() time.Time { return time.Now().AddDate(0, 4, 0) }, Log: slog.New(slog.DiscardHandler)}
	w.must(r.Once(context.Background()))
	if m := marks(); m["pending-"] != 0 || m["envelope-"] != 1 {
		t.Errorf("marks after the values that wait have ended: %v", m)
	}
}

// A key that nobody has any more is admitted to be lost: what only it opens goes, is told as
// lost and not as erased, and the gateway goes on.
func TestAKeyIsAdmittedToBeLost(t *testing.T) {
	w := newKeyedWorld(t)
	ctx := context.Background()
	kept, err := w.person(w.Store)
	w.must(err)
	w.put(kept) // waits in its queue
	w.must(w.settled(w.seq))
	month := time.Now().UTC().Format("2006-01")
	admit := func(name string, dry bool) (postgres.LostKey, error) {
		return w.AdmitLost(ctx, name, "the disk broke", time.Now(), dry)
	}
	found := func() int {
		t.Helper()
		list, err := w.book.Mentions(ctx, thatPerson, time.Time{}, time.Time{})
		w.must(err)
		return len(list)
	}
	blind, personal, tree := "blind.key", "personal-"+month+".key", adapter.ContentClass(kept.Service, kept.Direction)+"-"+month+".tree"
	for _, name := range []string{blind, personal, tree, "personal-2020-01.key", "personal-" + month, strings.TrimSuffix(tree, ".tree")} {
		if lost, err := admit(name, false); !errors.Is(err, postgres.ErrKeyNotLost) {
			t.Fatalf("%s, which is there: %+v, %v", name, lost, err)
		}
	}
	for _, one := range []struct {
		name  string
		want  postgres.LostKey
		found int
	}{
		{blind, postgres.LostKey{Key: blind, Renewed: 1}, 1},
		{personal, postgres.LostKey{Key: personal, Rows: 2}, 0}, // of the first message, and of the second
		{tree, postgres.LostKey{Key: tree, Waiting: 3}, 1},      // in its queue, and in the outbox; values are not in it
	} {
		w.must(os.Remove(filepath.Join(w.dir, one.name)))
		w.node()
		if _, err := w.person(w.Store); err == nil {
			t.Fatalf("%s is away, and a message was accepted", one.name)
		}
		w.must(w.Store.TellNode(ctx, adapter.Node{Name: "gw-7", Started: time.Now()}))
		if _, err := admit(one.name, false); err == nil || !strings.Contains(err.Error(), "gw-7") {
			t.Errorf("%s while a gateway is at work: %v", one.name, err)
		}
		w.query(exec("DELETE FROM node"))
		before := snapshot(t, w.dir)
		for _, dry := range []bool{true, false} {
			if lost, err := admit(one.name, dry); err != nil || lost != one.want {
				t.Errorf("%s, dry %v: %+v, %v; want %+v", one.name, dry, lost, err, one.want)
			}
			if _, made := snapshot(t, w.dir)[filepath.Join(w.dir, one.name)]; made == dry || len(before) == 0 {
				t.Errorf("%s, dry %v: made: %v", one.name, dry, made)
			}
		}
		if n := found(); n != one.found {
			t.Errorf("%s: %d entries are found by the person, want %d", one.name, n, one.found)
		}
		if _, err := w.person(w.Store); err != nil {
			t.Fatalf("%s is admitted to be lost, and nothing is accepted: %v", one.name, err)
		}
		w.must(w.settled(w.seq))
		if lost, err := admit(one.name, false); !errors.Is(err, postgres.ErrKeyNotLost) {
			t.Errorf("%s again: %+v, %v", one.name, lost, err)
		}
		told, err := w.book.Search(ctx, postgres.Query{Kind: journal.KindConfigChanged, Outcome: "lost", Descending: true})
		if err != nil || len(told) == 0 || told[0].Leaf.Rule != "vault "+one.name || told[0].Leaf.Ground != "the disk broke" || told[0].Leaf.Count != one.want.Rows+one.want.Waiting {
			t.Errorf("%s: the journal tells %d such things, %v", one.name, len(told), err)
		}
	}
	if n := w.count("SELECT count(*) FROM queue"); n != 0 {
		t.Errorf("%d messages that nobody can open stand in their queues", n)
	}
	dead, err := w.book.Search(ctx, postgres.Query{Kind: journal.KindDead, Outcome: adapter.OutcomeKeyLost})
	if err != nil || len(dead) != 1 || dead[0].Leaf.Message != kept.ID.String() { // those of the outbox stood in no queue yet
		t.Errorf("dead: %d, %v", len(dead), err)
	}
	if erased, err := w.book.Search(ctx, postgres.Query{Kind: journal.KindErased}); err != nil || len(erased) != 0 {
		t.Errorf("told as erased: %+v, %v", erased, err)
	}
}
