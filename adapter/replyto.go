package adapter

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"mezhved/adapter/journal"
)

// replyAddress is what a ReplyTo says. It is all that the route of an answer
// needs, so an answer is accepted without looking the request up.
type replyAddress struct {
	Request   uuid.UUID `json:"rid"` // ours
	MessageID MessageID `json:"mid"`
	Sender    Mnemonic  `json:"mnm"` // of the request: the answer goes to it
	Node      string    `json:"nid,omitempty"`
	Provider  Mnemonic  `json:"prv"` // who may answer
	Service   string    `json:"svc"`
	Version   string    `json:"ver"`
	Wire      string    `json:"wir"`           // protocol version of the request
	EOL       int64     `json:"eol,omitempty"` // Unix milliseconds; 0: none
	Reference MessageID `json:"ref,omitempty"`
	Code      string    `json:"tcd,omitempty"`  // TransactionCode
	LongCode  bool      `json:"tcdl,omitempty"` // the code is too long to be carried: it is found with the request
	Test      bool      `json:"tst,omitempty"`
}

// replyKeys make and check ReplyTo tokens. Whoever holds a key can write
// answers to any request in the name of its provider's address, but still needs
// that provider's signing key to have them accepted.
type replyKeys [][]byte

// maxToken is how many characters the schema has for To and ReplyTo.
const maxToken = 4000

// maxCodeInToken keeps the token under maxToken.
const maxCodeInToken = 1000

const tokenVersion = 1

var errReplyTo = errors.New("reply address was not made by this gateway")

// LoadReplyKeys reads the keys of reply addresses. The passwords of accounts of
// the file store are made with them too.
func (c Config) LoadReplyKeys() ([][]byte, error) { return readKeys("reply key", c.ReplyTo.Keys) }

// readKeys reads key files: 32 or more bytes, raw or in base64, which only their
// owner and group may read. kind is what they are called.
func readKeys(kind string, files []string) ([][]byte, error) {
	var keys [][]byte
	var bad []error
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		if mode := info.Mode().Perm(); mode&0o007 != 0 {
			bad = append(bad, fmt.Errorf("%s %s can be read by everyone (mode %o): chmod 600 it", kind, name, mode))
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		if text, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(src))); err == nil && len(text) >= 32 {
			src = text
		}
		if len(src) < 32 {
			bad = append(bad, fmt.Errorf("%s %s: %d bytes, 32 or more are needed", kind, name, len(src)))
			continue
		}
		keys = append(keys, src)
	}
	return keys, errors.Join(bad...)
}

// seal writes the token: version, MAC and JSON in base64. It is opaque to
// parties; the JSON inside looks like the real bus's for those who peek.
func (k replyKeys) seal(a replyAddress) string {
	if len(a.Code) > maxCodeInToken {
		a.Code, a.LongCode = "", true
	}
	body, err := json.Marshal(a)
	if err != nil {
		panic("replyto: " + err.Error()) // only strings and numbers are in it
	}
	var room, text [1 << 10]byte // nearly every token has room in them
	token := append(room[:tokenHead], body...)
	sum := tokenMAC(k[0], token)
	token[0] = tokenVersion
	copy(token[1:], sum[:])
	return string(base64.StdEncoding.AppendEncode(text[:0], token))
}

// open reads a token. White space in and round it is forgiven, since documents are
// indented and lines broken on the way; nothing else is.
func (k replyKeys) open(token string) (a replyAddress, err error) {
	raw, err := tokenBytes(token)
	if err != nil {
		return a, err
	}
	given := journal.Hash(raw[1:])
	for _, key := range k {
		if sum := tokenMAC(key, raw); hmac.Equal(given[:], sum[:]) {
			return a, json.Unmarshal(raw[tokenHead:], &a)
		}
	}
	return a, errReplyTo
}

func tokenBytes(token string) ([]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.Join(strings.Fields(token), ""))
	if err != nil || len(raw) < tokenHead || raw[0] != tokenVersion {
		return nil, errReplyTo
	}
	return raw, nil
}

// ClaimedReplier is who may answer at a reply address, as the address has it: nothing is
// proved, for who passes an answer on to the gateway that holds the key. Empty: it is no
// address of a gateway.
func ClaimedReplier(token string) Mnemonic {
	if len(token) > maxToken*utf8.UTFMax { // the schema is not held against it yet, and to read it takes many times its bytes
		return ""
	}
	var a replyAddress
	raw, err := tokenBytes(token)
	if err != nil || json.Unmarshal(raw[tokenHead:], &a) != nil {
		return ""
	}
	return a.Provider
}

// tokenHead is what stands before a token's JSON: its version and its MAC.
const tokenHead = 1 + sha256.Size

// tokenMAC is the MAC of a token's JSON, with what it is made for before it: that is put where
// the MAC stands, or will stand.
func tokenMAC(key, token []byte) journal.Hash {
	const use = "mezhved reply address 1\x00"
	message := token[tokenHead-len(use):]
	copy(message, use)
	return journal.MAC(key, message)
}

// derived is a key for another use than reply addresses. Neither it nor what is
// made with it helps to find the other.
func (k replyKeys) derived(i int, use string) []byte {
	h := hmac.New(sha256.New, k[i])
	h.Write([]byte("mezhved key 1\x00" + use))
	return h.Sum(nil)
}
