package postgres

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// A past is written for those who measure what a store does that has served for a
// while: exchanges that were really made, many times over, each with ids, times and
// parties of its own. Rows are those that a gateway would have left, sealed and packed as
// it does it, so statements, planner and retention find what they would find.

// PastMessage is what is kept of a message that has gone its way: it was taken and
// acknowledged. Of its events, those of the request of a final reply follow its own.
type PastMessage struct {
	Message  *adapter.Message
	Receipts []adapter.Receipt
	Events   []journal.Event
}

// PastExchange is a request with its final reply; a nil Reply: it has none yet.
type PastExchange struct{ Request, Reply *PastMessage }

// ReadPast gives up to n exchanges that stand in the store whole, to be written
// elsewhere many times over.
func (s *Store) ReadPast(ctx context.Context, j *Journal, n int) ([]PastExchange, error) {
	rows, _ := s.pool.Query(ctx, `SELECT request, reply FROM answered
		WHERE (SELECT count(*) FROM receipt WHERE message IN (request, reply)) = 4 LIMIT $1`, n)
	type pair struct{ Request, Reply [16]byte }
	pairs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[pair])
	if err != nil {
		return nil, fmt.Errorf("looking for exchanges: %w", err)
	}
	var out []PastExchange
	for _, p := range pairs {
		var x PastExchange
		if x.Request, err = s.readPast(ctx, j, p.Request); err != nil {
			return nil, err
		}
		if x.Reply, err = s.readPast(ctx, j, p.Reply); err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

func (s *Store) readPast(ctx context.Context, j *Journal, id uuid.UUID) (*PastMessage, error) {
	m, err := s.load(ctx, id, true)
	if err != nil {
		return nil, err
	}
	p := &PastMessage{Message: m}
	if p.Receipts, err = s.Receipts(ctx, id); err != nil {
		return nil, err
	}
	entries, err := j.Trace(ctx, id.String())
	if err != nil {
		return nil, err
	}
	for _, r := range entries {
		e := r.Leaf.Event
		values, err := j.Openings(ctx, r.Index)
		if err != nil {
			return nil, err
		}
		for _, v := range values {
			if v.Field == journal.FieldDigest {
				e.Digest = v.Value
				continue
			}
			e.Personal = append(e.Personal, journal.PersonalField{Field: v.Field, Value: v.Value, Class: v.Class})
		}
		p.Events = append(p.Events, e)
	}
	return p, nil
}

// WritePast writes exchanges of one day: rows of messages, MessageIDs that are still
// remembered at now, final replies, queues that were gone through, receipts, terms that
// are open, and the events, which the sequencer takes up from there. Nothing waits in a
// queue afterwards. Not durable until the server's next checkpoint.
func (s *Store) WritePast(ctx context.Context, now time.Time, list []PastExchange) error {
	if len(list) == 0 {
		return nil
	}
	if err := s.days.ensure(ctx, s.pool, list[0].Request.Message.Accepted); err != nil {
		return err
	}
	parts := slices.Collect(slices.Chunk(list, len(list)/4+1))
	written, errs := make([]past, len(parts)), make([]error, len(parts))
	var wg sync.WaitGroup
	for i, part := range parts {
		wg.Go(func() {
			for _, x := range part {
				if errs[i] == nil {
					errs[i] = s.addPast(ctx, &written[i], now, x)
				}
			}
		})
	}
	wg.Wait()
	var all past
	for i := range written {
		if errs[i] != nil {
			return fmt.Errorf("writing the past: %w", errs[i])
		}
		all.join(&written[i])
	}
	slices.SortStableFunc(all.events, func(a, b journal.Event) int { return a.Time.Compare(b.Time) })
	packed, err := s.waiting(all.events...)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = off"); err != nil {
			return err
		}
		for _, t := range []struct {
			table   string
			columns []string
			rows    [][]any
		}{
			{"message", pastColumns, all.messages},
			{"used_id", []string{"key", "id", "sender"}, all.used},
			{"answered", []string{"request", "reply"}, all.answered},
			{"placed", []string{"message", "queue"}, all.placed},
			{"receipt", []string{"message", "queue", "attempt", "step", "codec", "dictionary", "size", "body"}, all.receipts},
			{"open_term", []string{"message", "stage", "due", "next", "told", "later", "message_id", "direction", "sender", "recipient", "service", "version", "accepted"}, all.terms},
		} {
			if _, err := tx.CopyFrom(ctx, pgx.Identifier{t.table}, t.columns, pgx.CopyFromRows(t.rows)); err != nil {
				return fmt.Errorf("writing the past: %s: %w", t.table, err)
			}
		}
		for events := range slices.Chunk(packed, batchRows) {
			if _, err := tx.Exec(ctx, s.gates.sql(waitSQL("SELECT e, n FROM unnest($1::bytea[]) WITH ORDINALITY AS t (e, n)")), events); err != nil {
				return fmt.Errorf("writing the past: events: %w", err)
			}
		}
		return nil
	})
}

// SettlePast ends the writing, when the sequencer has taken up all events: what follows the
// journal has followed it, the planner knows what there is, and the rows are clean.
func SettlePast(ctx context.Context, url string) error {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	for _, sql := range []string{
		"UPDATE open_term_mark SET next = size FROM journal_head", "UPDATE journal_feed SET next = size FROM journal_head",
		"SET statement_timeout = 0", "VACUUM (ANALYZE)", "CHECKPOINT",
	} {
		if _, err := c.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

var pastColumns = []string{"id", "sender", "message_id", "direction", "original", "request", "reference", "transaction_code",
	"recipients", "service", "version", "root", "vip", "test", "eol", "accepted", "deadline",
	"wire", "parts", "reply_to", "digest", "certificate", "trace", "attachments", "codec", "dictionary", "size", "body"}

// past are rows of a past, by table.
type past struct {
	messages, used, answered, placed, receipts, terms [][]any
	events                                            []journal.Event
}

func (p *past) join(q *past) {
	p.messages, p.used, p.answered = append(p.messages, q.messages...), append(p.used, q.used...), append(p.answered, q.answered...)
	p.placed, p.receipts, p.terms = append(p.placed, q.placed...), append(p.receipts, q.receipts...), append(p.terms, q.terms...)
	p.events = append(p.events, q.events...)
}

func (s *Store) addPast(ctx context.Context, p *past, now time.Time, x PastExchange) error {
	if err := s.addPastMessage(ctx, p, now, x.Request); err != nil {
		return err
	}
	request := x.Request.Message
	if x.Reply == nil {
		told, next := 2, (*time.Time)(nil) // it was told that it is overdue
		if request.Deadline.After(now) {
			told, next = 0, &request.Deadline
		}
		p.terms = append(p.terms, []any{[16]byte(request.ID), 3, request.Deadline, next, told, "", string(request.MessageID), string(request.Direction),
			string(request.Sender), string(request.Recipients[0].System), request.Service, request.Version, request.Accepted})
		return nil
	}
	p.answered = append(p.answered, []any{[16]byte(request.ID), [16]byte(x.Reply.Message.ID)})
	return s.addPastMessage(ctx, p, now, x.Reply)
}

func (s *Store) addPastMessage(ctx context.Context, p *past, now time.Time, k *PastMessage) error {
	m := k.Message
	a, err := s.prepare(ctx, m, nil)
	if err != nil {
		return err
	}
	var request *[16]byte
	if m.Request != uuid.Nil {
		request = (*[16]byte)(&m.Request)
	}
	p.messages = append(p.messages, []any{[16]byte(m.ID), string(m.Sender), string(m.MessageID), string(m.Direction), string(m.Original), request, string(m.Reference), m.TransactionCode,
		string(a.recipients), m.Service, m.Version, a.root, m.VIP, m.Test, timeOrNull(m.EOL), m.Accepted, timeOrNull(m.Deadline),
		m.Wire, string(a.parts), m.ReplyTo, m.Digest[:], m.Certificate[:], m.Trace, len(a.attachments), a.body.codec, a.body.dictionary, a.body.size, a.body.bytes})
	if now.Sub(m.Accepted) < s.opts.DedupLife {
		p.used = append(p.used, []any{a.key, [16]byte(m.ID), string(m.Sender)})
	}
	for _, q := range a.queues {
		p.placed = append(p.placed, []any{[16]byte(m.ID), q})
	}
	add := func(queue int32, attempt int, step int16, r packed, err error) error {
		if err == nil {
			p.receipts = append(p.receipts, []any{[16]byte(m.ID), queue, attempt, step, r.codec, r.dictionary, r.size, r.bytes})
		}
		return err
	}
	for _, r := range k.Receipts {
		queue := a.queues[0]
		woven, err := s.weaveDelivery(m, queue, r.Attempt, r.Poll, r.Answer)
		if err := add(queue, r.Attempt, stepDelivered, woven, err); err != nil {
			return err
		}
		if r.Ack == nil {
			continue
		}
		woven, err = s.weaveAck(&acked{queue: queue, attempt: r.Attempt, message: m.ID, service: m.Service, direction: m.Direction}, r.Ack)
		if err := add(queue, r.Attempt, stepAcknowledged, woven, err); err != nil {
			return err
		}
	}
	p.events = append(p.events, k.Events...)
	return nil
}
