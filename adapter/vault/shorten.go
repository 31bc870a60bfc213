package vault

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
)

// Most values behind commitments are digests, or a few of them in a text: as
// hexadecimal they are twice as long. A shortened value is a row of pieces, each with
// its length, times two, before it; odd where it is what a hexadecimal piece stands for.

// shortest is the length from which a piece is worth its own place.
const shortest = 16

var isHex = func() (is [256]bool) {
	for _, c := range []byte("0123456789abcdef") {
		is[c] = true
	}
	return is
}()

// AppendShortened appends a value as it is written into a box.
func AppendShortened(to []byte, value string) []byte { return shorten(to, value) }

// Lengthened gives the value back.
func Lengthened(short []byte) (string, error) { return lengthen(short) }

func shorten(to []byte, value string) []byte {
	own := 0
	flush := func(end int) {
		if end > own {
			to = binary.AppendUvarint(to, uint64(end-own)<<1)
			to = append(to, value[own:end]...)
		}
	}
	for i := 0; i < len(value); {
		n := 0
		for i+n < len(value) && isHex[value[i+n]] {
			n++
		}
		if whole := n &^ 1; whole >= shortest {
			flush(i)
			to = binary.AppendUvarint(to, uint64(whole/2)<<1|1)
			to, _ = hex.AppendDecode(to, []byte(value[i:i+whole]))
			own = i + whole
		}
		i += max(n, 1)
	}
	flush(len(value))
	return to
}

var errShortened = errors.New("a shortened value is damaged")

func lengthen(short []byte) (string, error) {
	var value []byte
	for len(short) > 0 {
		head, n := binary.Uvarint(short)
		if n <= 0 || head>>1 > uint64(len(short)-n) {
			return "", errShortened
		}
		piece := short[n : n+int(head>>1)]
		short = short[n+len(piece):]
		if head&1 == 0 {
			value = append(value, piece...)
		} else {
			value = hex.AppendEncode(value, piece)
		}
	}
	return string(value), nil
}
