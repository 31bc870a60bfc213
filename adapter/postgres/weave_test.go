package postgres

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"
)

// Whatever is woven comes back byte for byte, with parts that are known and without.
func FuzzWeave(f *testing.F) {
	f.Add([]byte("the same words again and again"), []byte("again and again the same"), []byte("words"), uint16(3), uint16(4))
	f.Add([]byte(""), []byte(""), []byte(""), uint16(0), uint16(0))
	f.Fuzz(func(t *testing.T, text, first, second []byte, at, length uint16) {
		a, b := newCloth(first), newCloth(second)
		back := func(woven []byte, cloths ...[]byte) {
			t.Helper()
			got, err := unweave(woven, len(text), cloths...)
			if err != nil || !bytes.Equal(got, text) {
				t.Fatalf("came back as %q, %v, want %q", got, err, text)
			}
		}
		back(weave(text, nil, a, b), first, second)
		from := min(int(at), len(text))
		n := min(int(length), len(text)-from)
		back(weave(text, []known{{at: from, length: n, cloth: 2, offset: 0}}, a, b), first, second, text[from:from+n])
		// Nothing that is read does harm.
		unweave(text, int(at), first, second)
	})
}

func TestWeave(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	body, words := noise(5000), []byte(strings.Repeat("<ns:Words>", 20)+"</ns:Certificate>"+string(noise(1000)))
	text := bytes.Join([][]byte{words[150:], body, words[:100], []byte("own"), words[200:]}, nil)
	woven := weave(text, []known{{at: len(words) - 150, length: len(body), cloth: 1}}, newCloth(words))
	if len(woven) > 128 {
		t.Errorf("%d bytes of %d are its own", len(woven), len(text))
	}
	if got, err := unweave(woven, len(text), words, body); err != nil || !bytes.Equal(got, text) {
		t.Errorf("came back with %d bytes: %v", len(got), err)
	}
	for i := range woven {
		bad := bytes.Clone(woven)
		bad[i] ^= 0x80
		if got, err := unweave(bad, len(text), words, body); err == nil && bytes.Equal(got, text) {
			t.Errorf("byte %d changed, and the same came back", i)
		}
	}
	if _, err := unweave(woven, len(text)-1, words, body); err == nil {
		t.Error("more came back than was woven")
	}
	if _, err := unweave(woven[:len(woven)-4], len(text), words, body); err == nil {
		t.Error("less came back than was woven")
	}
}

// BenchmarkWeave packs what is like a signed poll: words that are known, and a
// certificate and a signature that are not.
func BenchmarkWeave(b *testing.B) {
	r := rand.NewChaCha8([32]byte{1})
	noise := func(n int) []byte {
		raw := make([]byte, n)
		r.Read(raw)
		return base64.StdEncoding.AppendEncode(nil, raw)
	}
	words := newCloth(append(noise(90<<10), receiptWords...)) // as many as samples of some services are
	text := bytes.Join([][]byte{words.text[len(words.text)-900:], noise(600), words.text[1000:1500], noise(64)}, nil)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		weave(text, nil, words)
	}
}
