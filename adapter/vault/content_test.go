package vault_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter/vault"
)

func open(t testing.TB, dir string) *vault.Vault {
	t.Helper()
	v, err := vault.Open(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func item(class string) vault.Item {
	return vault.Item{Class: class, ID: vault.ID(uuid.Must(uuid.NewV7()))}
}

func seal(t testing.TB, v *vault.Vault, it vault.Item, plain string) []byte {
	t.Helper()
	box, err := v.SealContent(it, "body", []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	return box
}

// opens says whether the vault still opens the box, and fails when it says anything
// else than that it was erased.
func opens(t testing.TB, v *vault.Vault, it vault.Item, box []byte) bool {
	t.Helper()
	_, err := v.OpenContent(it, "body", box)
	if err != nil && !errors.Is(err, vault.ErrErased) {
		t.Fatal(err)
	}
	return err == nil
}

func TestABoxOpensInItsPlaceOnly(t *testing.T) {
	v := open(t, t.TempDir())
	a, b := item("egrul-extract.request"), item("egrul-extract.request")
	box := seal(t, v, a, "112-233-445 95")
	if plain, err := v.OpenContent(a, "body", box); err != nil || string(plain) != "112-233-445 95" {
		t.Fatalf("got %q, %v", plain, err)
	}
	seal(t, v, b, "")
	seal(t, v, vault.Item{Class: "egrul-extract.response", ID: a.ID}, "")
	for what, try := range map[string]func() ([]byte, error){
		"another message": func() ([]byte, error) { return v.OpenContent(b, "body", box) },
		"another part":    func() ([]byte, error) { return v.OpenContent(a, "attachment 0", box) },
		"another class": func() ([]byte, error) {
			return v.OpenContent(vault.Item{Class: "egrul-extract.response", ID: a.ID}, "body", box)
		},
		"a changed box": func() ([]byte, error) {
			return v.OpenContent(a, "body", append(bytes.Clone(box[:len(box)-1]), box[len(box)-1]^1))
		},
		"a box cut short": func() ([]byte, error) { return v.OpenContent(a, "body", box[:5]) },
		"a class never known": func() ([]byte, error) {
			return v.OpenContent(vault.Item{Class: "other.request", ID: a.ID}, "body", box)
		},
	} {
		if plain, err := try(); err == nil || errors.Is(err, vault.ErrErased) {
			t.Errorf("%s: got %q, %v", what, plain, err)
		}
	}
	for _, class := range []string{"../x", "a/b", ".hidden", "a b", ""} {
		if _, err := v.SealContent(item(class), "body", nil); class != "" && err == nil {
			t.Errorf("class %q makes a file", class)
		}
	}
}

// One message goes, its neighbours stay; a second process notices; an older backup
// of the folder opens it again until the register is replayed, and then never more.
func TestAnErasedMessageCannotBeOpenedAnyMore(t *testing.T) {
	dir := t.TempDir()
	v, other := open(t, dir), open(t, dir)
	gone, kept := item("s.request"), item("s.request")
	goneBox, keptBox := seal(t, v, gone, "gone"), seal(t, other, kept, "kept")
	if !opens(t, other, gone, goneBox) || !opens(t, v, kept, keptBox) {
		t.Fatal("two processes with one folder do not have the same keys")
	}
	name := filepath.Join(dir, "s.request-"+time.UnixMilli(gone.ID.Time().UnixMilli()).UTC().Format("2006-01")+".tree")
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	e := vault.Erasure{ID: uuid.NewString(), At: time.Now().UTC(), Ground: "152-FZ, art. 21", Items: []vault.Item{gone}}
	for range 2 {
		if err := v.Erase(e); err != nil {
			t.Fatal(err)
		}
	}
	if opens(t, v, gone, goneBox) || !opens(t, v, kept, keptBox) {
		t.Error("not this message alone was erased")
	}
	if _, err := v.SealContent(gone, "body", nil); !errors.Is(err, vault.ErrErased) {
		t.Errorf("sealing anew: %v", err)
	}
	for end := time.Now().Add(20 * time.Second); opens(t, other, gone, goneBox); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("another process still opens it")
		}
	}
	if !opens(t, other, kept, keptBox) {
		t.Error("another process does not open what was kept")
	}
	overwritten := make([]byte, len(before))
	if _, err := old.ReadAt(overwritten, 0); err != nil || bytes.Equal(overwritten, before) || len(bytes.Trim(overwritten, "\x00")) > 0 {
		t.Errorf("the bytes of the file from before are still there, %v", err)
	}
	if all, err := v.Erasures(); err != nil || len(all) != 1 || all[0].Ground != e.Ground || all[0].Items[0] != gone {
		t.Errorf("register %+v, %v", all, err)
	}
	// The folder is put back from a backup, without its register.
	if err := os.WriteFile(name, before, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "erasures")); err != nil {
		t.Fatal(err)
	}
	restored := open(t, dir)
	if !opens(t, restored, gone, goneBox) {
		t.Fatal("the backup does not open it: nothing is tried here")
	}
	if err := restored.Erase(e); err != nil {
		t.Fatal(err)
	}
	if opens(t, restored, gone, goneBox) || !opens(t, restored, kept, keptBox) {
		t.Error("the replayed erasure did not take this message alone")
	}
}

// The values of two messages of one second wait under one key: each opens as its own
// message's and as no other's, and all are over when the time of their class is.
func TestValuesOfOneSecondWaitUnderOneKey(t *testing.T) {
	v := open(t, t.TempDir())
	at := time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)
	message := func(after time.Duration) string {
		id := uuid.Must(uuid.NewV7())
		ms := uint64(at.Add(after).UnixMilli())
		for i := range 6 {
			id[i] = byte(ms >> (40 - 8*i))
		}
		return id.String()
	}
	const values = "112-233-445 95"
	first, second, later := message(0), message(999*time.Millisecond), message(time.Second)
	boxes := map[string]string{}
	for _, m := range []string{first, second, later} {
		box, err := v.SealWaiting(m, []byte(values))
		if err != nil {
			t.Fatal(err)
		}
		boxes[m] = box
	}
	if n := v.Boxes(vault.ClassPending + "-2026-11"); n != 2 {
		t.Errorf("three messages of two seconds have %d keys", n)
	}
	for of, box := range boxes {
		for _, m := range []string{first, second, later} {
			got, err := v.OpenWaiting(m, box)
			if ok := err == nil && string(got) == values; ok != (of == m) {
				t.Errorf("the values of %s as those of %s: %q, %v", of, m, got, err)
			}
		}
		if got, err := v.OpenPending(of, "together", box); err == nil {
			t.Errorf("opened with the message's own key: %q", got)
		}
	}
	if err := v.Erase(vault.Erasure{ID: uuid.NewString(), At: at, Ground: "g", Class: vault.ClassPending, Before: at.Add(time.Second)}); err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{first, second, later} {
		if _, err := v.OpenWaiting(m, boxes[m]); errors.Is(err, vault.ErrErased) != (m != later) {
			t.Errorf("after their time is over, the values of %s: %v", m, err)
		}
	}
}

// The values of an event of a message that nobody has sealed anything for yet, with a key of
// its own and with that of its second.
func BenchmarkSealValues(b *testing.B) {
	v, plain := open(b, b.TempDir()), make([]byte, 120)
	for name, seal := range map[string]func(string) (string, error){
		"own":    func(message string) (string, error) { return v.SealPending(message, "together", string(plain)) },
		"shared": func(message string) (string, error) { return v.SealWaiting(message, plain) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := seal(uuid.Must(uuid.NewV7()).String()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Everything of a class before a time goes, but for what still waits; other classes
// and later messages stay.
func TestAClassEndsBeforeATime(t *testing.T) {
	v := open(t, t.TempDir())
	at := func(class string, when time.Time) vault.Item {
		it := item(class)
		ms := uint64(when.UnixMilli())
		for i := range 6 {
			it.ID[i] = byte(ms >> (40 - 8*i))
		}
		return it
	}
	now := time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)
	items := map[string]vault.Item{
		"two months ago": at("s.request", now.AddDate(0, -2, 0)), "yesterday": at("s.request", now.AddDate(0, 0, -1)), "waits": at("s.request", now.AddDate(0, 0, -2)),
		"just before": at("s.request", now.Add(-time.Millisecond)), "just then": at("s.request", now), "tomorrow": at("s.request", now.AddDate(0, 0, 1)),
		"another class": at("s.response", now.AddDate(0, -1, 0)), "a class that begins so": at("s.request-2026", now.AddDate(0, -1, 0)),
	}
	boxes := map[string][]byte{}
	for what, it := range items {
		boxes[what] = seal(t, v, it, what)
	}
	e := vault.Erasure{ID: uuid.NewString(), At: now, Ground: "order 7", Class: "s.request", Before: now, Spared: []vault.ID{items["waits"].ID}}
	if err := v.Erase(e); err != nil {
		t.Fatal(err)
	}
	gone := map[string]bool{"two months ago": true, "yesterday": true, "just before": true}
	for what, it := range items {
		if opens(t, v, it, boxes[what]) == gone[what] {
			t.Errorf("%s: gone should be %v", what, gone[what])
		}
	}
}

// A crash at any place of an erasure leaves what the same call ends: nothing of the
// tree's old state stays beside it.
func TestWhatACrashLeavesIsClearedAway(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	first, second := item("s.request"), item("s.request")
	boxes := map[vault.Item][]byte{first: seal(t, v, first, "1"), second: seal(t, v, second, "2")}
	trees, _ := filepath.Glob(filepath.Join(dir, "*.tree"))
	state, err := os.ReadFile(trees[0])
	if err != nil || len(trees) != 1 {
		t.Fatal(trees, err)
	}
	// Killed before its rename, the last erasure has left a state with the key that
	// the next one takes; and half a line in the register.
	if err := os.WriteFile(trees[0]+".new", state, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "erasures"), []byte(`{"id":"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if all, err := v.Erasures(); err != nil || len(all) != 0 {
		t.Fatalf("register %v, %v", all, err)
	}
	for _, it := range []vault.Item{first, second} {
		if err := v.Erase(vault.Erasure{ID: uuid.NewString(), Ground: "g", Items: []vault.Item{it}}); err != nil {
			t.Fatal(err)
		}
		if opens(t, v, it, boxes[it]) {
			t.Error("not erased")
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.new*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if all, err := v.Erasures(); err != nil || len(all) != 2 {
		t.Errorf("register %v, %v", all, err)
	}
	damaged, _ := os.ReadFile(filepath.Join(dir, "erasures"))
	damaged[0] = 'x'
	if err := os.WriteFile(filepath.Join(dir, "erasures"), damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.Erase(vault.Erasure{ID: uuid.NewString(), Ground: "g", Items: []vault.Item{item("s.request")}}); err == nil {
		t.Error("a register that cannot be read is written on")
	}
}

// Nodes that seal, open and erase at once, and one that plants the first tree with
// others, do not disturb one another.
func TestManyUseOneFolderAtOnce(t *testing.T) {
	dir := t.TempDir()
	var work sync.WaitGroup
	for n := range 4 {
		work.Go(func() {
			v := open(t, dir)
			for i := range 20 {
				it, doomed := item("s.request"), item("s.request")
				box, err := v.SealContent(it, "body", []byte("x"))
				if err == nil && n == 0 {
					err = v.Erase(vault.Erasure{ID: fmt.Sprint(n, "-", i), Ground: "g", Items: []vault.Item{doomed}})
				}
				if err == nil {
					_, err = v.OpenContent(it, "body", box)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	if id, err := open(t, dir).Identity(); err != nil || id == "" {
		t.Errorf("identity %q, %v", id, err)
	}
}

func BenchmarkSealContent(b *testing.B) {
	v, plain := open(b, b.TempDir()), make([]byte, 1200)
	for b.Loop() {
		if _, err := v.SealContent(item("s.request"), "body", plain); err != nil {
			b.Fatal(err)
		}
	}
}
