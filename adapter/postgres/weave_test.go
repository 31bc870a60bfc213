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
	f.Add([]byte("<d>w7hOdJ4+8zcudtuDxgkkpdQ7apxyc3rA5Td1lvyPY8A=</d><i>7a956fe5-ec1e-11f1-9ca0-435ad5a3e1a6</i>7A956FE5-ec1e-11f1-9ca0-435ad5a3e1a6 AAAAAAAAAAAAAAAAAAB="), []byte("</d><i></i>"), []byte("<d></d>"), uint16(3), uint16(4))
	f.Fuzz(func(t *testing.T, text, first, second []byte, at, length uint16) {
		a, b := newCloth(first), newCloth(second)
		for _, form := range []form{loose, tight, round} {
			back := func(woven []byte, cloths ...[]byte) {
				t.Helper()
				got, err := unweave(form, woven, len(text), cloths...)
				if err != nil || !bytes.Equal(got, text) {
					t.Fatalf("form %d: came back as %q, %v, want %q", form, got, err, text)
				}
			}
			back(weave(nil, form, text, nil, a, b), first, second)
			from := min(int(at), len(text))
			n := min(int(length), len(text)-from)
			for cloth := 2; cloth < 5; cloth++ {
				back(weave(nil, form, text, []known{{at: from, length: n, cloth: form.number(cloth), offset: 0}}, a, b), first, second, text[from:from+n], text[from:from+n], text[from:from+n])
			}
			// Nothing that is read does harm.
			unweave(form, text, int(at), first, second)
		}
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
	for _, form := range []form{loose, tight, round} {
		woven := weave(nil, form, text, []known{{at: len(words) - 150, length: len(body), cloth: form.number(1)}}, newCloth(words))
		if len(woven) > 128 {
			t.Errorf("%d bytes of %d are its own", len(woven), len(text))
		}
		if got, err := unweave(form, woven, len(text), words, body); err != nil || !bytes.Equal(got, text) {
			t.Errorf("came back with %d bytes: %v", len(got), err)
		}
		for i := range woven {
			bad := bytes.Clone(woven)
			bad[i] ^= 0x80
			if got, err := unweave(form, bad, len(text), words, body); err == nil && bytes.Equal(got, text) {
				t.Errorf("byte %d changed, and the same came back", i)
			}
		}
		if _, err := unweave(form, woven, len(text)-1, words, body); err == nil {
			t.Error("more came back than was woven")
		}
		if _, err := unweave(form, woven[:len(woven)-4], len(text), words, body); err == nil {
			t.Error("less came back than was woven")
		}
	}
}

func TestIndexIsThatOfBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	some := func(n int) []byte {
		b := make([]byte, r.IntN(n))
		for i := range b {
			b[i] = "ab1A"[r.IntN(4)]
		}
		return b
	}
	for range 20_000 {
		text, piece := some(50), append(some(4), 'a')
		if got, want := index(text, piece), bytes.Index(text, piece); got != want {
			t.Fatalf("%q is found in %q at %d, want %d", piece, text, got, want)
		}
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
		weave(nil, tight, text, nil, words)
	}
}
