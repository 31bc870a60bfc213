package value

// checkHex reads pairs of hexadecimal digits and counts the octets.
func checkHex(v []byte) (octets int, r Reason, at int) {
	for i, c := range v {
		if hexDigit(c) < 0 {
			return 0, ReasonCharacter, i
		}
	}
	if len(v)%2 != 0 {
		return 0, ReasonOddHex, len(v)
	}
	return len(v) / 2, ReasonNone, 0
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// appendHex decodes a checked literal.
func appendHex(k, v []byte) []byte {
	for i := 0; i+1 < len(v); i += 2 {
		k = append(k, byte(hexDigit(v[i])<<4|hexDigit(v[i+1])))
	}
	return k
}

// base64Value has the value of each base64 character, 0xFF for all others.
var base64Value = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xFF
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = byte(i)
	}
	return t
}()

// checkBase64 follows the grammar of section 3.2.16: groups of four, a space
// allowed between any two characters, unused bits of the last group zero. It
// counts the octets.
func checkBase64(v []byte) (octets int, r Reason, at int) {
	n, pad := 0, 0
	var last byte
	for i, c := range v {
		switch b := base64Value[c]; {
		case b != 0xFF && pad == 0:
			n++
			last = b
		case c == ' ':
			// White space is collapsed: neither first nor last nor doubled.
		case c == '=' && (n%4 == 2 || n%4 == 3) && pad < 4-n%4:
			pad++
		default:
			return 0, ReasonCharacter, i
		}
	}
	switch {
	case (n+pad)%4 != 0:
		return 0, ReasonBase64, len(v)
	case pad == 1 && last&0b11 != 0, pad == 2 && last&0b1111 != 0:
		return 0, ReasonBase64, len(v)
	}
	return n * 3 / 4, ReasonNone, 0
}

// appendBase64 decodes a checked literal.
func appendBase64(k, v []byte) []byte {
	var acc uint32
	bits := 0
	for _, c := range v {
		b := base64Value[c]
		if b == 0xFF {
			continue
		}
		acc = acc<<6 | uint32(b)
		if bits += 6; bits >= 8 {
			bits -= 8
			k = append(k, byte(acc>>bits))
		}
	}
	return k
}
