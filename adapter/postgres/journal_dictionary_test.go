package postgres_test

import (
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

var dictionary = flag.Int64("dictionary", 20_000, "how many insurance numbers TestNoDictionaryFindsAnErasedValue tries; 1000000000 are all that exist")

// insuranceNumber is the n-th of the 10^9 numbers (SNILS) with right check
// digits: nine digits, then their weighted sum modulo 101, where 100 is 00.
func insuranceNumber(b []byte, n int64) []byte {
	var digits [9]byte
	sum := int64(0)
	for i := 8; i >= 0; i-- {
		digits[i] = byte('0' + n%10)
		sum += n % 10 * int64(9-i)
		n /= 10
	}
	check := sum % 101 % 100
	return append(append(b[:0], digits[:]...), byte('0'+check/10), byte('0'+check%10))
}

// keyed is HMAC-SHA-256 under one key, from states that were made once: a real
// attacker would not take the slow way either.
type keyed struct {
	name         string
	inner, outer []byte
	h            hash.Hash
}

func newKeyed(name string, key []byte) keyed {
	state := func(pad byte) []byte {
		block := make([]byte, 64)
		copy(block, key)
		for i := range block {
			block[i] ^= pad
		}
		h := sha256.New()
		h.Write(block)
		b, err := h.(encoding.BinaryMarshaler).MarshalBinary()
		if err != nil {
			panic(err)
		}
		return b
	}
	return keyed{name, state(0x36), state(0x5c), sha256.New()}
}

func (k *keyed) sum(prefix, value, into []byte) []byte {
	restore := k.h.(encoding.BinaryUnmarshaler)
	if err := restore.UnmarshalBinary(k.inner); err != nil {
		panic(err)
	}
	k.h.Write(prefix)
	k.h.Write(value)
	into = k.h.Sum(into[:0])
	if err := restore.UnmarshalBinary(k.outer); err != nil {
		panic(err)
	}
	k.h.Write(into)
	return k.h.Sum(into[:0])
}

// An attacker has the whole database and all keys of the vault, after one of two
// people was erased. He tries the insurance numbers: by their bare digest, and by
// HMAC under every key and every salt that is left, and looks for what comes out
// in every row of every table. He finds the one who was not erased, and not the
// one who was.
//
//	go test ./adapter/postgres -run Dictionary -timeout 0 -args -dictionary 1000000000
func TestNoDictionaryFindsAnErasedValue(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	middle := int64(123_456_789)
	erased, kept := string(insuranceNumber(nil, middle+7)), string(insuranceNumber(nil, middle-7))
	if erased != "12345679663" || string(insuranceNumber(nil, 87_654_303)) != "08765430300" { // 87654303: a sum of 202
		t.Fatalf("insurance numbers are made wrongly: %s, %s", erased, insuranceNumber(nil, 87_654_303))
	}
	event := func(message, snils string) journal.Event {
		return journal.Event{Kind: journal.KindAccepted, Time: a.Clock.Now(), Message: message, Sender: "MUNI01", Recipient: "FED1",
			Digest: strings.Repeat("ab", 32), Personal: []journal.PersonalField{{Field: "snils", Value: snils}}}
	}
	a.fill([]journal.Event{event("erased", erased), event("kept", kept)})
	index, open, err := a.Find(ctx, "erased")
	a.must(err)
	before, err := postgres.Plains(ctx, a.Journal)
	a.must(err)
	seeded := func(plains [][]byte) bool {
		return slices.ContainsFunc(plains, func(plain []byte) bool {
			for ; len(plain) >= len(journal.Seed{}); plain = plain[1:] {
				salt := (*journal.Seed)(plain).Salt(index, "snils")
				if slices.ContainsFunc(open, func(o journal.Opening) bool { return o.Salt == salt || o.Field == "snils" && o.Salt == [32]byte(plain) }) {
					return true
				}
			}
			return false
		})
	}
	if !seeded(before) {
		t.Fatal("the salt of the value is made of nothing in the boxes: the test looks in the wrong place")
	}
	if _, err := a.Erase(ctx, index, []string{"snils", journal.FieldDigest}, "152-FZ, art. 21", "registrar", a.Clock.Now()); err != nil {
		t.Fatal(err)
	}
	a.fill(nil)

	// What he knows: every key and salt...
	var keys []keyed
	files, err := filepath.Glob(filepath.Join(a.Dir, "*", "*.key"))
	a.must(err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		a.must(err)
		key, err := hex.DecodeString(strings.TrimSpace(string(text)))
		a.must(err)
		keys = append(keys, newKeyed(filepath.Base(file), key))
	}
	for _, row := range a.everything() {
		left, err := a.Openings(ctx, row.Index)
		a.must(err)
		for _, o := range left {
			keys = append(keys, newKeyed(fmt.Sprintf("salt of %s of entry %d", o.Field, row.Index), o.Salt[:]))
		}
	}
	after, err := postgres.Plains(ctx, a.Journal)
	a.must(err)
	if seeded(after) {
		t.Error("the salt of the erased value can still be made of what the boxes hold")
	}
	if len(keys) < 5 {
		t.Fatalf("he knows only %d keys: the test looks in the wrong place", len(keys))
	}
	// ...and every run of 16 bytes in the database.
	here := map[[16]byte]bool{}
	var first [1 << 16]bool // by the first two bytes, for speed
	learn := func(b []byte) {
		for ; len(b) >= 16; b = b[1:] {
			here[[16]byte(b)] = true
			first[int(b[0])<<8|int(b[1])] = true
		}
	}
	commitments := func(leaf []byte) {
		for _, text := range regexp.MustCompile(`[A-Za-z0-9+/]{43}=`).FindAll(leaf, -1) {
			hash, err := base64.StdEncoding.DecodeString(string(text))
			a.must(err)
			learn(hash)
		}
	}
	for _, row := range a.everything() { // in the tables they are compressed
		learn(row.Bytes)
		commitments(row.Bytes)
	}
	rows, _ := a.pool.Query(ctx, "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname = 'public'")
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	a.must(err)
	for _, table := range tables {
		rows, _ := a.pool.Query(ctx, fmt.Sprintf("SELECT t::text FROM %s t", pgx.Identifier{table}.Sanitize()))
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		a.must(err)
		for _, line := range lines {
			for _, run := range regexp.MustCompile(`[0-9a-f]{32,}`).FindAllString(line, -1) {
				raw, err := hex.DecodeString(run[:len(run)&^1])
				a.must(err)
				learn(raw)
				commitments(raw)
			}
		}
	}
	known := func(sum []byte) bool { return first[int(sum[0])<<8|int(sum[1])] && here[[16]byte(sum)] }

	// He would have found the erased one while the salt was there.
	salt := newKeyed("", open[0].Salt[:])
	if open[0].Field != "snils" {
		salt = newKeyed("", open[1].Salt[:])
	}
	if !known(salt.sum(nil, []byte(erased), nil)) {
		t.Fatal("the commitment of the erased value is not in the database: the test looks in the wrong place")
	}

	found := map[string]string{}
	var mu sync.Mutex
	begin, end := middle-*dictionary/2, middle+*dictionary/2
	if *dictionary >= 1e9 {
		begin, end = 0, 1e9
	}
	workers := int64(runtime.GOMAXPROCS(0))
	var all sync.WaitGroup
	for w := range workers {
		mine := make([]keyed, len(keys))
		for i, k := range keys {
			mine[i] = keyed{k.name, k.inner, k.outer, sha256.New()}
		}
		all.Go(func() {
			number, sum, field := make([]byte, 0, 11), make([]byte, 0, 32), []byte("snils\x00")
			hit := func(how string) {
				mu.Lock()
				found[string(number)] = how
				mu.Unlock()
			}
			for n := begin + w; n < end; n += workers {
				number = insuranceNumber(number, n)
				if bare := sha256.Sum256(number); known(bare[:]) {
					hit("bare digest")
				}
				for i := range mine {
					if sum = mine[i].sum(nil, number, sum); known(sum) {
						hit(mine[i].name)
					}
					if !strings.HasPrefix(mine[i].name, "salt") { // the search token names the field, too
						if sum = mine[i].sum(field, number, sum); known(sum) {
							hit(mine[i].name)
						}
					}
				}
			}
		})
	}
	all.Wait()
	if found[kept] == "" {
		t.Errorf("the one who was not erased was not found: the attack is worth nothing")
	}
	delete(found, kept)
	if len(found) > 0 {
		t.Errorf("of %d numbers he found %v, erased was %s", end-begin, found, erased)
	}
	t.Logf("%d numbers, under %d keys each, against %d runs of bytes", end-begin, len(keys), len(here))
}
