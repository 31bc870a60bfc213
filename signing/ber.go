package signing

import (
	"bytes"
	"errors"
	"fmt"
)

// Bounds of what is rewritten.
const (
	maxBERDepth = 32
	maxCMS      = 128 << 10
)

// definite rewrites BER with lengths of the indefinite form, as Java's
// BouncyCastle writes CMS by default, with definite ones. What has none inside
// stays as it is: what was signed must keep its octets.
func definite(ber []byte) ([]byte, error) {
	out, rest, err := appendDefinite(nil, ber, 0)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes follow the value", len(rest))
	}
	return out, err
}

// appendDefinite rewrites the first value of in and gives what follows it.
func appendDefinite(out, in []byte, depth int) (_, rest []byte, err error) {
	if depth > maxBERDepth {
		return nil, nil, fmt.Errorf("values are nested deeper than %d", maxBERDepth)
	}
	tag, length, body, err := readHeader(in)
	if err != nil {
		return nil, nil, err
	}
	constructed := tag[0]&0x20 != 0
	if length >= 0 && !constructed {
		return append(out, in[:len(in)-len(body)+length]...), body[length:], nil
	}
	var inner []byte
	if length >= 0 {
		for left := body[:length]; len(left) > 0; {
			if inner, left, err = appendDefinite(inner, left, depth+1); err != nil {
				return nil, nil, err
			}
		}
		rest = body[length:]
		if bytes.Equal(inner, body[:length]) {
			return append(out, in[:len(in)-len(body)+length]...), rest, nil
		}
	} else {
		if !constructed {
			return nil, nil, errors.New("a primitive value has no length")
		}
		for rest = body; ; {
			if len(rest) >= 2 && rest[0] == 0 && rest[1] == 0 {
				rest = rest[2:]
				break
			}
			if inner, rest, err = appendDefinite(inner, rest, depth+1); err != nil {
				return nil, nil, err
			}
		}
	}
	out = append(out, tag...)
	return append(appendLength(out, len(inner)), inner...), rest, nil
}

// readHeader reads tag and length; a length of -1 is the indefinite one.
func readHeader(in []byte) (tag []byte, length int, body []byte, err error) {
	if len(in) < 2 {
		return nil, 0, nil, errors.New("it ends in the middle of a value")
	}
	if in[0]&0x1f == 0x1f {
		return nil, 0, nil, errors.New("a tag above 30")
	}
	tag, body = in[:1], in[2:]
	switch l := in[1]; {
	case l < 0x80:
		length = int(l)
	case l == 0x80:
		return tag, -1, body, nil
	default:
		n := int(l & 0x7f)
		if n > 3 || n > len(body) {
			return nil, 0, nil, errors.New("a length of more than it has")
		}
		for _, b := range body[:n] {
			length = length<<8 | int(b)
		}
		body = body[n:]
	}
	if length > len(body) {
		return nil, 0, nil, errors.New("it ends in the middle of a value")
	}
	return tag, length, body, nil
}

func appendLength(out []byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(out, byte(n))
	case n < 0x100:
		return append(out, 0x81, byte(n))
	case n < 0x10000:
		return append(out, 0x82, byte(n>>8), byte(n))
	}
	return append(out, 0x83, byte(n>>16), byte(n>>8), byte(n))
}
