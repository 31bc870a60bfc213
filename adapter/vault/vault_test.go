package vault_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/vault"
)

func TestVault(t *testing.T) {
	d := journaltest.NewDesk(t)
	o := journal.Opening{Field: "snils", Class: "personal", Salt: [32]byte{1}, Value: "12345678901"}
	s, err := d.Vault.Seal(5, o)
	if err != nil {
		t.Fatal(err)
	}
	back, err := d.Vault.Unseal(s)
	if err != nil || back != o {
		t.Fatalf("got %+v, %v", back, err)
	}
	moved := s
	moved.Index = 6
	if _, err := d.Vault.Unseal(moved); err == nil {
		t.Error("opened at another entry")
	}
	// A second process with the same directory has the same keys.
	again, err := vault.Open(filepath.Join(d.Dir, "keys"), d.Clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := again.Unseal(s); err != nil || back != o {
		t.Fatalf("got %+v, %v", back, err)
	}
	if doomed, err := again.Doomed("personal", d.Clock.Now()); err != nil || len(doomed) != 0 {
		t.Errorf("%v of the running month are to go, %v", doomed, err)
	}
	doomed, err := again.Doomed("personal", d.Clock.Now().AddDate(0, 1, 0))
	if err != nil || len(doomed) != 1 {
		t.Fatalf("%v are to go, %v; want the key of one month", doomed, err)
	}
	file, err := os.Open(filepath.Join(d.Dir, "keys", doomed[0]+".key"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for range 2 {
		if err := again.Destroy(doomed); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := io.ReadAll(file); err != nil || len(bytes.Trim(left, "\x00")) > 0 {
		t.Errorf("the bytes of the key's file are still there: %q, %v", left, err)
	}
	if _, err := again.Unseal(s); !errors.Is(err, vault.ErrKeyDestroyed) {
		t.Errorf("got %v, want ErrKeyDestroyed", err)
	}
	// The process that had the key in use misses it.
	for end := time.Now().Add(20 * time.Second); !errors.Is(err, vault.ErrKeyDestroyed); time.Sleep(50 * time.Millisecond) {
		if _, err = d.Vault.Unseal(s); time.Now().After(end) {
			t.Fatalf("another process still opens the value: %v", err)
		}
	}
}

// A release before made keys in files of their own names: what a crash has left of that
// is a key, and goes; what may be being made is left alone.
func TestKeysThatACrashLeftAreClearedAway(t *testing.T) {
	dir := t.TempDir()
	old, young := filepath.Join(dir, ".new-1"), filepath.Join(dir, ".new-2")
	for _, name := range []string{old, young} {
		if err := os.WriteFile(name, []byte("0123456789abcdef"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Seal(1, journal.Opening{Field: "snils", Class: "personal", Value: "1"}); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*new*")); err != nil || len(left) != 1 || left[0] != young {
		t.Errorf("left: %v, %v", left, err)
	}
}

// Who makes many search tokens makes the same ones, and what is sealed goes behind what is
// there.
func TestManyTokensAreTheSame(t *testing.T) {
	v := open(t, t.TempDir())
	blind, err := v.Blinder()
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"", "11223344595", strings.Repeat("long ", 100), "11223344595"} {
		want, err := v.Blind(nil, "snils-2", value)
		if err != nil {
			t.Fatal(err)
		}
		if got := blind([]byte("before"), "snils", value); string(got) != "before"+string(want) {
			t.Errorf("the token of %q is %x, want %x", value, got, want)
		}
	}
	box, err := v.SealTogether([]byte("before"), v.KeyOf("personal"), "here", []byte("said"))
	if err != nil {
		t.Fatal(err)
	}
	box, ok := bytes.CutPrefix(box, []byte("before"))
	if plain, err := v.OpenTogether(v.KeyOf("personal"), "here", box); !ok || err != nil || string(plain) != "said" || len(box) != len(plain)+vault.Overhead {
		t.Errorf("sealed as %x, which opens to %q, %v", box, plain, err)
	}
}

func BenchmarkBlind(b *testing.B) {
	v := open(b, b.TempDir())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Blind(nil, "snils", "11223344595"); err != nil {
			b.Fatal(err)
		}
	}
}
