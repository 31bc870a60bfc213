package party

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// gregorian is the number of 100 ns intervals from 15 October 1582, where the
// time of version 1 UUIDs begins, to 1970.
const gregorian = 0x01b21dd213814000

// NewMessageID makes a UUID of version 1, in lower case, that says the given
// time, as the protocol wants MessageIDs. Node and clock sequence are random (RFC
// 4122, section 4.5): ids do not tell which machine made them, and two made in
// one instant differ.
func NewMessageID(now time.Time) string {
	t := uint64(now.Unix())*10_000_000 + uint64(now.Nanosecond()/100) + gregorian
	var u [16]byte
	binary.BigEndian.PutUint32(u[0:], uint32(t))
	binary.BigEndian.PutUint16(u[4:], uint16(t>>32))
	binary.BigEndian.PutUint16(u[6:], uint16(t>>48)&0x0fff|0x1000)
	_, _ = rand.Read(u[8:]) // never fails
	u[8] = u[8]&0x3f | 0x80
	u[10] |= 0x01 // the multicast bit: no network card has this address
	var s [36]byte
	hex.Encode(s[0:8], u[0:4])
	hex.Encode(s[9:13], u[4:6])
	hex.Encode(s[14:18], u[6:8])
	hex.Encode(s[19:23], u[8:10])
	hex.Encode(s[24:36], u[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// IsMessageID tells whether s is a UUID as it is written: 36 characters, hex digits
// with hyphens in their places. What a bus hands over need not be one.
func IsMessageID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		hexDigit := '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
		if hyphen := i == 8 || i == 13 || i == 18 || i == 23; hyphen != (c == '-') || !hyphen && !hexDigit {
			return false
		}
	}
	return true
}
