package postgres

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// A row of the queue says of its message what lanes, counts and the sweep ask of very
// many rows: sender, service and direction. Whoever writes an event of a message has the
// message, or reads it (factsOf). Until no node of the release before is about, which
// writes events of the row alone, it says all that an event does, in four times the
// bytes.

// facts is what every later event of a message in a queue says about it.
func facts(m *adapter.Message, to adapter.Queue) journal.Event {
	e := journal.Event{
		Message:   m.ID.String(),
		MessageID: string(m.MessageID),
		Original:  string(m.Original),
		Direction: string(m.Direction),
		Sender:    string(m.Sender),
		Recipient: string(to.System),
		Service:   m.Service,
		Version:   m.Version,
		Deadline:  m.Deadline,
		Size:      len(m.Body),
	}
	if m.Digest != [32]byte{} { // it ends with the content
		var text [2 * len(m.Digest)]byte
		hex.Encode(text[:], m.Digest[:])
		e.Digest = string(text[:])
	}
	return e
}

// arrived is what a queue row takes from its message.
type arrived struct {
	event     journal.Event
	wire      string // empty for the gateway's own words, which are of no version
	messageID string
	prio      int16
	root      int32
	eol       *time.Time
}

// loadFacts tells what queue rows and events take from messages, by our ids, of those
// that are known. What this node accepted a moment ago it still has.
func (s *Store) loadFacts(ctx context.Context, ids [][16]byte) (map[uuid.UUID]arrived, error) {
	found := make(map[uuid.UUID]arrived, len(ids))
	var rest [][16]byte
	for _, id := range ids {
		m := s.fresh.lend(id).Message
		if m == nil {
			rest = append(rest, id)
			continue
		}
		found[m.ID] = arrivedOf(m, 0, timeOrNull(m.EOL), len(m.Body))
	}
	return found, s.readFacts(ctx, rest, found)
}

// readFacts finds what the database has.
func (s *Store) readFacts(ctx context.Context, ids [][16]byte, found map[uuid.UUID]arrived) error {
	if len(ids) == 0 {
		return nil
	}
	rows, _ := s.pool.Query(ctx, `SELECT m.id, coalesce(m.sender, k.sender), message_id, coalesce(m.direction, k.direction), coalesce(original, ''), coalesce(m.service, k.service),
		coalesce(m.version, k.version), coalesce(m.root, k.root), coalesce(m.vip, k.vip), eol, deadline, digest, size, coalesce(m.wire, k.wire)
		FROM message m LEFT JOIN message_kind k ON k.id = m.kind WHERE m.id = ANY ($1)`, pgx.QueryExecModeCacheDescribe, ids)
	var (
		m             adapter.Message
		id            [16]byte
		root, size    int32
		eol, deadline *time.Time
		digest        []byte
	)
	_, err := pgx.ForEachRow(rows, []any{&id, &m.Sender, &m.MessageID, &m.Direction, &m.Original, &m.Service, &m.Version, &root, &m.VIP, &eol, &deadline, &digest, &size, &m.Wire}, func() error {
		m.ID = id
		copy(m.Digest[:], digest)
		m.Deadline = time.Time{}
		if deadline != nil {
			m.Deadline = deadline.UTC()
		}
		found[m.ID] = arrivedOf(&m, root, eol, int(size))
		return nil
	})
	return err
}

func arrivedOf(m *adapter.Message, root int32, eol *time.Time, size int) arrived {
	a := arrived{event: facts(m, adapter.Queue{}), messageID: string(m.MessageID), prio: 1, root: root, eol: eol}
	a.event.Size = size
	if m.Direction != adapter.DirAsync {
		a.wire = m.Wire
	}
	if m.VIP && m.Direction == adapter.DirRequest {
		a.prio = 0 // answers of VIP systems and broadcasts wait like all others
	}
	return a
}

// queueFacts are the facts of a row of the queue.
func (s *Store) queueFacts(of *arrived) (string, error) {
	if !s.gates.shortFacts.Load() {
		return encodeFacts(of.event, of.wire)
	}
	b, err := json.Marshal(struct {
		Direction string `json:"direction,omitempty"`
		Sender    string `json:"sender,omitempty"`
		Service   string `json:"service,omitempty"`
	}{of.event.Direction, of.event.Sender, of.event.Service})
	return string(b), err
}

// encodeFacts leaves out what every event brings itself. It adds what no event
// says: the version that the message is in, for the lease to compare with the
// reader's. Whoever makes an event of facts takes it off.
func encodeFacts(e journal.Event, wire string) (string, error) {
	b, err := json.Marshal(struct {
		journal.Event
		Kind journal.Kind `json:"kind,omitzero"`
		Time time.Time    `json:"time,omitzero"`
		Wire string       `json:"wire,omitempty"`
	}{Event: e, Wire: wire})
	return string(b), err
}

// factsIfWhole are the facts of a row of the queue that says all that an event does.
const factsIfWhole = `CASE WHEN facts ? 'messageId' THEN facts END`

// wholeFacts are what factsOf gives, of a row "d" of the queue, its message "m" and its
// queue's name "n".
const wholeFacts = `CASE WHEN d.facts ? 'messageId' THEN d.facts ELSE d.facts || jsonb_strip_nulls(jsonb_build_object('message', d.message, 'messageId', m.message_id,
	'original', nullif(m.original, ''), 'recipient', n.system, 'version', nullif(coalesce(m.version, (SELECT version FROM message_kind k WHERE k.id = m.kind)), ''), 'digest', nullif(encode(m.digest, 'hex'), ''), 'size', m.size,
	'deadline', to_char(m.deadline AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))) END`

// standing is a row of the queue of which an event is to be made.
type standing struct {
	message [16]byte
	queue   int32
	facts   []byte // JSON, factsIfWhole
}

// factsOf gives what events say of the messages of rows. Of one whose message is not
// there any more they say its id and where it stood.
func (s *Store) factsOf(ctx context.Context, rows []standing) ([]journal.Event, error) {
	var short [][16]byte
	for i := range rows {
		if rows[i].facts == nil {
			short = append(short, rows[i].message)
		}
	}
	known, err := s.loadFacts(ctx, short)
	if err != nil {
		return nil, err
	}
	events := make([]journal.Event, len(rows))
	for i := range rows {
		if rows[i].facts != nil {
			if err := json.Unmarshal(rows[i].facts, &events[i]); err != nil {
				return nil, fmt.Errorf("what the queue says of message %s: %w", uuid.UUID(rows[i].message), err)
			}
			continue
		}
		queue, err := s.names.queueOf(ctx, s.pool, rows[i].queue)
		if err != nil {
			return nil, err
		}
		events[i] = known[rows[i].message].event
		events[i].Message, events[i].Recipient = uuid.UUID(rows[i].message).String(), string(queue.System)
	}
	return events, nil
}
