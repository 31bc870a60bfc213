package audit_test

import (
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
)

func TestKeyOfAUUIDIsItsSixteenBytes(t *testing.T) {
	const id = "0189abcd-ef01-7234-8567-89abcdef0123"
	first, ok := audit.UUIDKey(id)
	if !ok {
		t.Fatal("no UUID")
	}
	seen := map[[2]uint64]string{first: id}
	for i := range id {
		for c := range 256 {
			b := []byte(id)
			b[i] = byte(c)
			key, ok := audit.UUIDKey(string(b))
			_, err := hex.DecodeString(strings.ReplaceAll(string(b), "-", ""))
			want := err == nil && (c == '-') == (id[i] == '-') && strings.ToLower(string(b)) == string(b)
			if ok != want {
				t.Fatalf("%q is a UUID: %t, want %t", b, ok, want)
			}
			if other, twice := seen[key]; ok && twice && other != string(b) {
				t.Fatalf("%s and %s have one key", other, b)
			}
			if ok {
				seen[key] = string(b)
			}
		}
	}
	for _, bad := range []string{"", id[:35], id + "0", strings.ToUpper(id)} {
		if _, ok := audit.UUIDKey(bad); ok {
			t.Errorf("%q is a UUID", bad)
		}
	}
}

// The table must know what a map knows, through all its growing.
func TestChainsAreAMap(t *testing.T) {
	r := mathrand.New(mathrand.NewPCG(uint64(time.Now().UnixNano()), 13))
	table, model := audit.NewChains(), map[string]int64{}
	for index := range int64(200_000) {
		n := r.IntN(60_000)
		message := fmt.Sprintf("%08x-0000-7000-8000-%012x", n&7, n)
		if n%10 == 0 {
			message = fmt.Sprint("message ", n)
		}
		want, known := model[message]
		if !known {
			want = journal.NoEntry
		}
		if got := table.Follow(message, index); got != want {
			t.Fatalf("entry %d of %s follows %d, want %d", index, message, got, want)
		}
		model[message] = index
	}
}
