package postgres

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// Whatever is woven is the same when it comes out of the press, and what is no text of it
// does no harm, and is not taken for one that another text is.
func FuzzPress(f *testing.F) {
	f.Add([]byte("<surname>Ёлкина</surname>"), []byte("w7hOdJ4+8zcudtuDxgkkpdQ7apxyc3rA5Td1lvyPY8A= 7a956fe5-ec1e-11f1-9ca0-435ad5a3e1a6"), []byte("<surname></surname>"))
	f.Add([]byte{}, []byte{}, []byte{})
	f.Add(bytes.Repeat([]byte{0}, 9000), bytes.Repeat([]byte("ab"), 5000), []byte("abababababababab"))
	f.Fuzz(func(t *testing.T, one, other, words []byte) {
		c := newCloth(words)
		lists := [][]byte{weave(nil, round, one, nil, c), weave(nil, tight, other, nil, c)}
		pressed := pressing1.press([]byte("before"), lists...)
		rest, ok := bytes.CutPrefix(pressed, []byte("before"))
		got, err := pressing1.unpress(rest, len(lists))
		if !ok || err != nil || !slices.EqualFunc(got, lists, bytes.Equal) {
			t.Fatalf("came back as %q, %v, want %q", got, err, lists)
		}
		if lists, err := pressing1.unpress(one, 1); err == nil && !bytes.Equal(pressing1.press(nil, lists...), one) {
			t.Fatalf("%x is read as %q, which is pressed otherwise", one, lists[0])
		}
	})
}

// A number that has no size is not pressed: it would come out as another one.
func TestWhatIsTooLargeIsNotPressed(t *testing.T) {
	for _, steps := range [][]byte{
		binary.AppendUvarint(nil, tooLarge<<2|stepReference),
		binary.AppendUvarint([]byte{8<<2 | stepReference}, tooLarge<<2),
		binary.AppendUvarint([]byte{8<<2 | stepReference, 3}, tooLarge),
	} {
		if got := pressing1.press(nil, steps); got != nil {
			t.Errorf("%x is pressed", steps)
		}
	}
	largest := binary.AppendUvarint(binary.AppendUvarint(nil, (tooLarge/4-1)<<2|stepReference), (tooLarge/4-1)<<2)
	if got, err := pressing1.unpress(pressing1.press(nil, largest), 1); err != nil || !bytes.Equal(got[0], largest) {
		t.Errorf("came back as %x, %v", got, err)
	}
}

// Each code has an end for all bits that may come, and no bits have two ends.
func TestCodesAreWhole(t *testing.T) {
	for n, c := range pressing1.codes() {
		for next, is := range c.is {
			if length := is & 15; length == 0 || c.of[is>>4]>>4 != uint16(next)&(1<<length-1) {
				t.Fatalf("code %d: %012b is %#x", n, next, is)
			}
		}
	}
}

func BenchmarkPress(b *testing.B) {
	r := rand.NewChaCha8([32]byte{1})
	noise := make([]byte, 96)
	r.Read(noise)
	steps := weave(nil, round, []byte(strings.Repeat("<surname>Ёлкина</surname><given>Софья</given>", 4)+versioned(receiptWords[:2000], "1.2")), nil, newCloth([]byte(receiptWords)))
	steps = append(append(steps, byte(len(noise)<<2&0x7F|stepBase64|0x80), byte(len(noise)>>5)), noise...)
	b.SetBytes(int64(len(steps)))
	b.ReportAllocs()
	for b.Loop() {
		pressing1.press(nil, steps)
	}
}
