package value

import (
	"encoding/binary"
	"math"
	"strconv"
	"unsafe"
)

// checkFloat reads the lexical form of float and double: a decimal, optionally
// with an exponent, or INF, -INF, NaN. "+INF" came only with XML Schema 1.1.
func checkFloat(v []byte) (Reason, int) {
	switch string(v) {
	case "INF", "-INF", "NaN":
		return ReasonNone, 0
	case "":
		return ReasonEmpty, 0
	}
	i := 0
	if v[0] == '-' || v[0] == '+' {
		i++
	}
	digits := 0
	for ; i < len(v) && v[i]-'0' <= 9; i++ {
		digits++
	}
	if i < len(v) && v[i] == '.' {
		for i++; i < len(v) && v[i]-'0' <= 9; i++ {
			digits++
		}
	}
	if digits == 0 {
		if i < len(v) {
			return ReasonCharacter, i
		}
		return ReasonDigits, i
	}
	if i == len(v) {
		return ReasonNone, 0
	}
	if v[i] != 'e' && v[i] != 'E' {
		return ReasonCharacter, i
	}
	i++
	if i < len(v) && (v[i] == '-' || v[i] == '+') {
		i++
	}
	start := i
	for i < len(v) && v[i]-'0' <= 9 {
		i++
	}
	switch {
	case i < len(v):
		return ReasonCharacter, i
	case i == start:
		return ReasonDigits, i
	}
	return ReasonNone, 0
}

// parseFloat converts a checked literal. Magnitudes beyond the type's range
// become infinity or zero, as rounding to nearest has it.
func parseFloat(v []byte, bits int) float64 {
	switch string(v) {
	case "INF":
		return math.Inf(1)
	case "-INF":
		return math.Inf(-1)
	case "NaN":
		return math.NaN()
	}
	// The only error left is a value out of range, for which f is right.
	// ParseFloat does not keep the string.
	f, _ := strconv.ParseFloat(unsafe.String(unsafe.SliceData(v), len(v)), bits)
	return f
}

// compareFloat has NaN equal to itself and incomparable to all else, and one zero.
func compareFloat(a, b float64) Order {
	switch {
	case a < b:
		return Less
	case a > b:
		return Greater
	case a == b, a != a && b != b:
		return Equal
	}
	return Incomparable
}

func appendFloatKey(k []byte, f float64) []byte {
	switch {
	case f == 0:
		f = 0 // -0 is 0
	case f != f:
		f = math.NaN() // one NaN
	}
	return binary.BigEndian.AppendUint64(k, math.Float64bits(f))
}
