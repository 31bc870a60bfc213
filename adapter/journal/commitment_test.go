package journal_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"math/rand/v2"
	"strings"
	"testing"

	"mezhved/adapter/journal"
)

// A commitment is what everybody's HMAC-SHA-256 makes of salt and value.
func TestCommitmentIsHMAC(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	for _, n := range []int{0, 1, 55, 64, 191, 192, 193, 5000} {
		o := journal.Opening{Value: strings.Repeat("ц", n)}
		r.Read(o.Salt[:])
		m := hmac.New(sha256.New, o.Salt[:])
		m.Write([]byte(o.Value))
		if got, want := o.Commitment(), journal.Hash(m.Sum(nil)); got != want {
			t.Errorf("of %d letters: %x, want %x", n, got, want)
		}
	}
}

func TestMACIsHMACWithKeysOfAnyLength(t *testing.T) {
	for _, n := range []int{0, 1, 32, 63, 64, 65, 200} {
		key, message := bytes.Repeat([]byte{byte(n)}, n), []byte("message")
		m := hmac.New(sha256.New, key)
		m.Write(message)
		if got := journal.MAC(key, message); !hmac.Equal(got[:], m.Sum(nil)) {
			t.Errorf("with a key of %d bytes: %x", n, got)
		}
	}
}

// One key makes the same MACs whether it is remembered or not, and a seed the same salts.
func TestMacsOfOneKeyAreMACs(t *testing.T) {
	for _, n := range []int{0, 32, 64, 65} {
		key := bytes.Repeat([]byte{byte(n)}, n)
		macs := journal.NewMacs(key)
		for _, message := range []string{"", "message", strings.Repeat("ц", 100), "a"} {
			if got, want := macs.Of([]byte(message)), journal.MAC(key, message); got != want {
				t.Errorf("with a key of %d bytes, of %q: %x, want %x", n, message, got, want)
			}
		}
	}
	seed := journal.Seed{1, 2, 3}
	salts := seed.Salter()
	for _, index := range []int64{0, 7, 1 << 52} {
		for _, field := range []string{"digest", "snils", strings.Repeat("f", 32)} {
			if got, want := salts.Salt(index, field), seed.Salt(index, field); got != want {
				t.Errorf("of field %s of entry %d: %x, want %x", field, index, got, want)
			}
		}
	}
}

func BenchmarkSalt(b *testing.B) {
	seed := journal.Seed{1}
	salts := seed.Salter()
	b.ReportAllocs()
	for b.Loop() {
		salts.Salt(1_000_000, "digest")
	}
}

func BenchmarkCommitment(b *testing.B) {
	o := journal.Opening{Value: strings.Repeat("0123456789abcdef", 4)}
	b.ReportAllocs()
	for b.Loop() {
		o.Commitment()
	}
}
