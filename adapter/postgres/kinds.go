package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"mezhved/adapter"
)

// What a row of message says of who, to whom and about what, thousands of others say too:
// it stands once, in message_kind, and the row has its number. Its own columns for that
// are empty then, so whoever asks for one of them asks for the row's or, where that is
// empty, for the kind's. A kind never changes and is never removed: there are as many as
// there are senders with a certificate, services and those whom they concern.
//
// Its number is made of what it says, so that a server that has lost the last commits (a
// standby that nobody waited for) cannot give it to another kind: then the row of the kind
// is missing, and that is told.

// kind is a row of message_kind.
type kind struct {
	sender, direction, recipients, service, version, wire string // recipients as the column has them: JSON
	root                                                  int32
	vip, test                                             bool
	certificate                                           [sha256.Size]byte
}

// kindOf is the kind of a message with these recipients. One that names a node has none:
// what a sender makes up would stand for ever.
func kindOf(m *adapter.Message, recipients string, root int32) (k kind, ok bool) {
	for _, q := range m.Recipients {
		if q.Node != "" {
			return k, false
		}
	}
	return kind{string(m.Sender), string(m.Direction), recipients, m.Service, m.Version, m.Wire, root, m.VIP, m.Test, m.Certificate}, true
}

// number is under which it stands.
func (k *kind) number() int64 {
	text, err := json.Marshal([]any{k.sender, k.direction, k.recipients, k.service, k.version, k.wire, k.root, k.vip, k.test, k.certificate[:]})
	if err != nil {
		panic("message_kind: " + err.Error()) // only texts and numbers are in it
	}
	sum := sha256.Sum256(text)
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// of has a message say what its kind says.
func (k *kind) of(m *adapter.Message) error {
	m.Sender, m.Direction, m.Service, m.Version, m.Wire = adapter.Mnemonic(k.sender), adapter.Direction(k.direction), k.service, k.version, k.wire
	m.VIP, m.Test, m.Certificate = k.vip, k.test, k.certificate
	return setRecipients(m, []byte(k.recipients))
}

// kindNumber gives a kind's number, and sees to it that it stands in the database; nil
// when another has the number.
func (n *names) kindNumber(ctx context.Context, pool *sessions, k kind) (*int64, error) {
	if id, ok := n.kindIDs.Load(k); ok {
		return id.(*int64), nil
	}
	id := k.number()
	if _, err := pool.Exec(ctx, `INSERT INTO message_kind (id, sender, direction, recipients, service, version, root, vip, test, wire, certificate)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING`,
		id, k.sender, k.direction, k.recipients, k.service, k.version, k.root, k.vip, k.test, k.wire, k.certificate[:]); err != nil {
		return nil, fmt.Errorf("noting a kind of messages: %w", err)
	}
	known, err := n.kindOf(ctx, pool, id)
	if err != nil || *known != k {
		return nil, err
	}
	n.kindIDs.Store(k, &id)
	return &id, nil
}

// kindOf translates back.
func (n *names) kindOf(ctx context.Context, pool *sessions, id int64) (*kind, error) {
	if k, ok := n.kinds.Load(id); ok {
		return k.(*kind), nil
	}
	var k kind
	var certificate []byte
	err := pool.QueryRow(ctx, "SELECT sender, direction, recipients, service, version, root, vip, test, wire, certificate FROM message_kind WHERE id = $1", id).
		Scan(&k.sender, &k.direction, &k.recipients, &k.service, &k.version, &k.root, &k.vip, &k.test, &k.wire, &certificate)
	if err != nil {
		return nil, fmt.Errorf("kind %d of messages: %w", id, err)
	}
	copy(k.certificate[:], certificate)
	n.kinds.Store(id, &k)
	return &k, nil
}

// kindsOf are messages with the columns that a kind may have for them, for statements that
// ask for some of these.
const kindsOf = `(SELECT m.id, m.message_id, m.accepted, m.codec, coalesce(m.sender, k.sender) AS sender, coalesce(m.direction, k.direction) AS direction,
	coalesce(m.recipients, k.recipients::jsonb) AS recipients, coalesce(m.service, k.service) AS service, coalesce(m.test, k.test) AS test
	FROM message m LEFT JOIN message_kind k ON k.id = m.kind)`
