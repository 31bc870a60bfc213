package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"mezhved/adapter"
)

// recipient is an adapter.Queue as the message row has it.
type recipient struct {
	System adapter.Mnemonic  `json:"s"`
	Kind   adapter.QueueKind `json:"k"`
	Node   string            `json:"n,omitempty"`
}

// messageColumns are read by scanMessage, in this order.
const messageColumns = `id, coalesce(sender, ''), message_id, coalesce(direction, ''), coalesce(original, ''), request, coalesce(reference, ''), coalesce(transaction_code, ''),
	coalesce(recipients, '[]'), coalesce(service, ''), coalesce(version, ''), coalesce(root, 0), coalesce(vip, false), coalesce(test, false), eol, accepted, deadline,
	coalesce(wire, ''), coalesce(parts, '{}'), coalesce(reply_to, ''), digest, certificate, trace, attachments, kind, codec, dictionary, size, body`

// partsRow are the parts of a message as the row has them: whole, or only those of
// which there are few, and how many bytes behind the body have all. Before these may
// stand the bytes that the message's reply address is base64 of.
type partsRow struct {
	adapter.Parts
	Behind int `json:"t,omitempty"`
	Reply  int `json:"r,omitempty"`
}

// behindRow is a partsRow as it is written when they stand with the body.
type behindRow struct {
	Attached int `json:"a,omitempty"`
	Files    int `json:"f,omitempty"`
	Behind   int `json:"t,omitempty"`
	Reply    int `json:"r,omitempty"`
}

// row is a message row as read, before what needs other tables is filled in.
type row struct {
	message     adapter.Message
	root        int32
	attachments int32
	kind        *int64
	behind      int // bytes of the parts, behind the body
	reply       int // and of the reply address before them
	packed      packed
}

func scanMessage(r pgx.CollectableRow) (row, error) {
	var (
		w                  row
		m                  = &w.message
		id                 [16]byte
		request            pgtype.UUID
		recipients, parts  []byte
		eol, deadline      *time.Time
		digest, certficate []byte
	)
	err := r.Scan(&id, &m.Sender, &m.MessageID, &m.Direction, &m.Original, &request, &m.Reference, &m.TransactionCode,
		&recipients, &m.Service, &m.Version, &w.root, &m.VIP, &m.Test, &eol, &m.Accepted, &deadline,
		&m.Wire, &parts, &m.ReplyTo, &digest, &certficate, &m.Trace, &w.attachments, &w.kind,
		&w.packed.codec, &w.packed.dictionary, &w.packed.size, &w.packed.bytes)
	if err != nil {
		return w, err
	}
	m.ID = id
	if request.Valid {
		m.Request = request.Bytes
	}
	m.Accepted = m.Accepted.UTC()
	if eol != nil {
		m.EOL = eol.UTC()
	}
	if deadline != nil {
		m.Deadline = deadline.UTC()
	}
	copy(m.Digest[:], digest)
	copy(m.Certificate[:], certficate)
	var where partsRow
	if err := errors.Join(setRecipients(m, recipients), json.Unmarshal(parts, &where)); err != nil {
		return w, fmt.Errorf("message %s: %w", m.ID, err)
	}
	m.Parts, w.behind, w.reply = where.Parts, where.Behind, where.Reply
	return w, nil
}

func setRecipients(m *adapter.Message, text []byte) error {
	var to []recipient
	if err := json.Unmarshal(text, &to); err != nil {
		return err
	}
	m.Recipients = make([]adapter.Queue, len(to))
	for i, q := range to {
		m.Recipients[i] = adapter.Queue(q)
	}
	return nil
}

// named fills in what the row refers to by number: its kind, and the root's name.
func (s *Store) named(ctx context.Context, w *row) error {
	if w.kind != nil {
		k, err := s.names.kindOf(ctx, s.pool, *w.kind)
		if err == nil {
			w.root, err = k.root, k.of(&w.message)
		}
		if err != nil {
			return fmt.Errorf("message %s: %w", w.message.ID, err)
		}
	}
	var err error
	w.message.Root, err = s.names.rootOf(ctx, s.pool, w.root)
	return err
}

// complete fills in what the row refers to: its kind, the root's name, the body and,
// if wanted, the attachments and files.
func (s *Store) complete(ctx context.Context, w *row, attachments bool) (*adapter.Message, error) {
	m := &w.message
	err := s.named(ctx, w)
	if err != nil {
		return nil, err
	}
	err = s.openBody(ctx, w)
	if errors.Is(err, errContentErased) {
		m.Erased, err = s.erasureOf(ctx, contentOf(m))
		return m, err
	}
	if err != nil {
		return nil, fmt.Errorf("message %s: %w", m.ID, err)
	}
	if m.Parts.Files > 0 && attachments {
		if m.Files, err = s.filesOf(ctx, m.ID); err != nil {
			return nil, fmt.Errorf("message %s: %w", m.ID, err)
		}
	}
	if w.attachments == 0 || !attachments {
		return m, nil
	}
	rows, err := s.pool.Query(ctx, "SELECT n, id, codec, dictionary, size, content FROM "+s.days.leaf("attachment", m.ID)+" WHERE message = $1 ORDER BY n", [16]byte(m.ID))
	if err != nil {
		return nil, err
	}
	m.Attachments, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (a adapter.Attachment, err error) {
		var p packed
		var n int
		if err = r.Scan(&n, &a.ID, &p.codec, &p.dictionary, &p.size, &p.bytes); err == nil {
			a.Content, err = s.open(ctx, contentOf(m), attachmentPart(n), p)
		}
		return a, err
	})
	if err == nil && len(m.Attachments) != int(w.attachments) {
		err = fmt.Errorf("message %s: %d attachments, want %d", m.ID, len(m.Attachments), w.attachments)
	}
	return m, err
}

// openBody fills in the body and what stands with it: parts and reply address;
// errContentErased when it was erased.
func (s *Store) openBody(ctx context.Context, w *row) (err error) {
	m := &w.message
	if w.packed.codec&codecWoven != 0 {
		return s.openWoven(ctx, m, w.packed)
	}
	p := w.packed
	p.size += int32(w.behind + w.reply)
	if m.Body, err = s.open(ctx, contentOf(m), partBody, p); err != nil || w.behind == 0 {
		return err
	}
	end := len(m.Body) - w.behind - w.reply
	if w.reply < 0 || end < 0 || end > len(m.Body) {
		return fmt.Errorf("%d bytes behind its body, which has %d with them", w.behind+w.reply, len(m.Body))
	}
	if err := json.Unmarshal(m.Body[end+w.reply:], &m.Parts); err != nil {
		return fmt.Errorf("its parts: %w", err)
	}
	if w.reply > 0 {
		m.ReplyTo = base64.StdEncoding.EncodeToString(m.Body[end : end+w.reply])
	}
	m.Body = m.Body[:end:end]
	return nil
}

// loadHeads gives messages by our ids, in the order of these, without what is content:
// body, attachments and the parts of the body. Of those whose reply address stands behind
// the body this is opened.
func (s *Store) loadHeads(ctx context.Context, ids [][16]byte) ([]adapter.Message, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	// Planned each time: see loadMany.
	rows, _ := s.pool.Query(ctx, "SELECT "+strings.TrimSuffix(messageColumns, "body")+"CASE WHEN parts ? 'r' OR codec & 16 <> 0 THEN body ELSE '' END FROM message WHERE id = ANY ($1)", pgx.QueryExecModeCacheDescribe, ids)
	found, err := pgx.CollectRows(rows, scanMessage)
	if err != nil {
		return nil, err
	}
	heads := make(map[uuid.UUID]*row, len(found))
	for i := range found {
		heads[found[i].message.ID] = &found[i]
	}
	list := make([]adapter.Message, 0, len(found))
	for _, id := range ids {
		w := heads[id]
		if w == nil {
			continue
		}
		if w.reply > 0 || w.packed.codec&codecWoven != 0 {
			if _, err = s.complete(ctx, w, false); err != nil {
				return nil, err
			}
			w.message.Body, w.message.Parts = nil, adapter.Parts{Attached: w.message.Parts.Attached, Files: w.message.Parts.Files}
		} else if err = s.named(ctx, w); err != nil {
			return nil, err
		}
		list = append(list, w.message)
	}
	return list, nil
}

// load gives a message by our id, ErrNotFound when it is not there any more.
func (s *Store) load(ctx context.Context, id uuid.UUID, attachments bool) (*adapter.Message, error) {
	if m := s.fresh.get(id); m != nil {
		return m, nil
	}
	return s.read(ctx, id, attachments)
}

// Load is adapter.Store.Load.
func (s *Store) Load(ctx context.Context, id uuid.UUID) (*adapter.Message, error) {
	return s.read(ctx, id, true)
}

// read is load of what the database has.
func (s *Store) read(ctx context.Context, id uuid.UUID, attachments bool) (*adapter.Message, error) {
	// Naming the day's partition itself keeps the plan and its locks
	// independent of the number of days kept.
	leaf := s.days.leaf("message", id)
	rows, _ := s.pool.Query(ctx, "SELECT "+messageColumns+" FROM "+leaf+" WHERE id = $1", [16]byte(id))
	w, err := pgx.CollectExactlyOneRow(rows, scanMessage)
	if errors.Is(err, pgx.ErrNoRows) || isCode(err, undefinedTable) {
		return nil, fmt.Errorf("message %s: %w", id, adapter.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return s.complete(ctx, &w, attachments)
}

// Find is adapter.Store.Find.
func (s *Store) Find(ctx context.Context, id adapter.MessageID) ([]adapter.Message, error) {
	rows, _ := s.pool.Query(ctx, "SELECT "+messageColumns+" FROM message WHERE message_id = $1 ORDER BY id DESC", string(id))
	found, err := pgx.CollectRows(rows, scanMessage)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("message %s: %w", id, adapter.ErrNotFound)
	}
	messages := make([]adapter.Message, len(found))
	for i := range found {
		m, err := s.complete(ctx, &found[i], true)
		if err != nil {
			return nil, err
		}
		messages[i] = *m
	}
	return messages, nil
}

// usedKey is under which a MessageID is remembered, whoever used it.
func usedKey(id adapter.MessageID) []byte {
	sum := sha256.Sum256([]byte(id))
	return sum[:16]
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
