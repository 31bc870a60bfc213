package adapter

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// An idRefusal says which rule a MessageID breaks.
type idRefusal string

const (
	idMalformed idRefusal = "message-id-format" // not a UUID in lower case, or not version 1
	idStale     idRefusal = "message-id-stale"
	idFuture    idRefusal = "message-id-future"
)

func (e idRefusal) Error() string { return string(e) }

// admitMessageID holds an id against the rules of MR 3.3, sections 3.2.1 and
// 3.4.1: a UUID of version 1, in lower case, whose time is within the shelf
// life. The bus remembers ids longer than that, so an id that is neither stale
// nor known was never sent.
func admitMessageID(s string, now time.Time, c MessageIDConfig) (MessageID, error) {
	id, ok := parseLowerUUID(s)
	if !ok {
		return "", idMalformed
	}
	if id.Version() != 1 || id.Variant() != uuid.RFC4122 {
		if c.AnyUUID {
			return MessageID(s), nil
		}
		return "", idMalformed
	}
	at := uuidTime(id)
	switch {
	case now.Sub(at) > c.ShelfLife.D():
		return "", idStale
	case at.Sub(now) > c.Skew.D():
		return "", idFuture
	}
	return MessageID(s), nil
}

// parseLowerUUID reads the 36 characters of the schema's pattern and nothing
// else (uuid.Parse takes braces, URNs and upper case).
func parseLowerUUID(s string) (uuid.UUID, bool) {
	if len(s) != 36 {
		return uuid.UUID{}, false
	}
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'F' {
			return uuid.UUID{}, false
		}
	}
	id, err := uuid.Parse(s)
	return id, err == nil
}

// uuidTime is the time in a version 1 UUID.
func uuidTime(id uuid.UUID) time.Time {
	sec, nsec := id.Time().UnixTime()
	return time.Unix(sec, nsec).UTC()
}

// gregorian is the start of UUID time (1582-10-15) in 100 ns before 1970.
const gregorian = 0x01b21dd213814000

// ownMessageID is the MessageID of the gateway's own message about another: a
// version 1 UUID with the time of the message and a node part made with a key
// from what it is about, so that saying the same thing twice gives the same id.
// Without the key it cannot be foretold: ids are used once on the bus, and whoever
// used this one before us would keep a sender from hearing what became of his
// message.
func ownMessageID(key []byte, about uuid.UUID, at time.Time) MessageID {
	var id uuid.UUID
	setTime(&id, at)
	h := hmac.New(sha256.New, key)
	h.Write(about[:])
	copy(id[8:], h.Sum(nil))
	id[8] = id[8]&0x3f | 0x80
	id[10] |= 1 // multicast bit: no network card has this address (RFC 9562, section 6.10)
	return MessageID(id.String())
}

// setTime makes a UUID one of version 1, of a time.
func setTime(id *uuid.UUID, at time.Time) {
	t := uint64(at.UnixNano()/100) + gregorian
	binary.BigEndian.PutUint32(id[0:], uint32(t))
	binary.BigEndian.PutUint16(id[4:], uint16(t>>32))
	binary.BigEndian.PutUint16(id[6:], uint16(t>>48)&0x0fff|0x1000)
}
