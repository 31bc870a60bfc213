package console

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
	"mezhved/adapter/terms"
)

// State says how far an event has come on its way into the evidence.
type State string

// The states.
const (
	Pending State = "pending" // committed; the journal takes it up within a moment
	Logged  State = "logged"  // stands in the log; no checkpoint covers it yet
	Proved  State = "proved"  // a signed checkpoint covers it: a proof can be had
)

// Entry is one event as the API shows it. Times are UTC. Personal values and
// the digest of an envelope are not in it; Committed names those that the entry
// commits to.
type Entry struct {
	Index *int64    `json:"index,omitempty"` // place in the log; absent while pending
	State State     `json:"state"`
	Kind  string    `json:"kind"`
	Time  time.Time `json:"time"`
	// Logged is when the journal took the event up; absent while pending.
	Logged time.Time `json:"logged,omitzero"`
	Node   string    `json:"node,omitempty"`

	Message   string `json:"message,omitempty"`
	MessageID string `json:"messageId,omitempty"`
	Original  string `json:"original,omitempty"`
	Operation string `json:"operation,omitempty"`
	Direction string `json:"direction,omitempty"`
	Channel   string `json:"channel,omitempty"`
	Reference string `json:"reference,omitempty"`
	Test      bool   `json:"test,omitempty"`

	Sender    string `json:"sender,omitempty"`
	Recipient string `json:"recipient,omitempty"`
	Service   string `json:"service,omitempty"`
	Version   string `json:"version,omitempty"`
	Schema    string `json:"schema,omitempty"`

	Outcome  string    `json:"outcome,omitempty"`
	Incident string    `json:"incident,omitempty"`
	Rule     string    `json:"rule,omitempty"`
	Line     int       `json:"line,omitempty"`
	Col      int       `json:"col,omitempty"`
	Attempt  int       `json:"attempt,omitempty"`
	Count    int       `json:"count,omitempty"`
	Deadline time.Time `json:"deadline,omitzero"` // of the answer; with due-soon and overdue, of the stage

	DueQueued time.Time `json:"dueQueued,omitzero"`
	DueTaken  time.Time `json:"dueTaken,omitzero"`
	DueStatus time.Time `json:"dueStatus,omitzero"`
	Terms     string    `json:"terms,omitempty"` // what counts from the delivery
	EOL       time.Time `json:"eol,omitzero"`
	Stage     string    `json:"stage,omitempty"` // that due-soon and overdue are about

	Certificate string   `json:"certificate,omitempty"`
	Revocation  string   `json:"revocation,omitempty"` // what the call's certificates were judged by: an Answer's digest
	Size        int      `json:"size,omitempty"`
	Target      *int64   `json:"target,omitempty"`
	Fields      []string `json:"fields,omitempty"`
	Ground      string   `json:"ground,omitempty"`
	Committed   []string `json:"committed,omitempty"`

	Receipt *EntryReceipt `json:"receipt,omitempty"` // of a delivery or an acknowledgement
}

func entryOf(e *journal.Event) Entry {
	return Entry{State: Pending, Kind: string(e.Kind), Time: e.Time.UTC(), Node: e.Node,
		Message: e.Message, MessageID: e.MessageID, Original: e.Original, Operation: e.Operation, Direction: e.Direction,
		Channel: e.Channel, Reference: e.Reference, Test: e.Test,
		Sender: e.Sender, Recipient: e.Recipient, Service: e.Service, Version: e.Version, Schema: e.Schema,
		Outcome: e.Outcome, Incident: e.Incident, Rule: e.Rule, Line: e.Line, Col: e.Col, Attempt: e.Attempt, Count: e.Count, Deadline: e.Deadline,
		DueQueued: e.DueQueued, DueTaken: e.DueTaken, DueStatus: e.DueStatus, Terms: e.Terms, EOL: e.EOL, Stage: e.Stage,
		Certificate: e.Certificate, Revocation: e.Revocation, Size: e.Size, Target: e.Target, Fields: e.Fields, Ground: e.Ground}
}

// rowEntry is an entry of the log of which the first covered have a checkpoint.
func rowEntry(r *postgres.Row, covered int64) Entry {
	e := entryOf(&r.Leaf.Event)
	e.Index, e.Logged, e.State = &r.Index, r.Leaf.Logged, Logged
	if r.Index < covered {
		e.State = Proved
	}
	for _, c := range r.Leaf.Commit {
		e.Committed = append(e.Committed, c.Field)
	}
	if _, ok := r.Leaf.Committed(journal.FieldReceipt); ok {
		e.Receipt = receiptOf(&r.Leaf.Event, nil)
	}
	return e
}

// checkpoint is the latest one under which proofs are given; nil before the first.
func (c *Console) checkpoint(ctx context.Context) (*journal.Checkpoint, error) {
	cp, err := c.Journal.Published(c.Cosigned).Checkpoint(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return cp, err
}

// covered is how many entries the latest checkpoint covers.
func (c *Console) covered(ctx context.Context) (int64, error) {
	cp, err := c.checkpoint(ctx)
	if err != nil || cp == nil {
		return 0, err
	}
	return cp.Tree.N, nil
}

// Trace is everything that happened to one exchange or one refused call.
type Trace struct {
	ID string `json:"id"`
	// Asked is the trace id that was asked for, when it was one: ID is then an exchange's
	// or a refused call's, and the events are those of all calls that bear it.
	Asked  string  `json:"asked,omitempty"`
	Events []Entry `json:"events"`
	// Messages are the messages of the exchange in the order of their first event.
	Messages []Message `json:"messages"`
	// Answers are those about revocation by which the certificates were judged, as
	// far as they are kept.
	Answers []Answer `json:"answers,omitempty"`
	// Refusal is the cause of the refused call, when ID is an incident or a refused
	// MessageID.
	Refusal *Refusal `json:"refusal,omitempty"`
}

// Message is one message of an exchange, with where it stands.
type Message struct {
	Message   string    `json:"message"`
	MessageID string    `json:"messageId,omitempty"`
	Direction string    `json:"direction,omitempty"`
	Sender    string    `json:"sender,omitempty"`
	Recipient string    `json:"recipient,omitempty"`
	Service   string    `json:"service,omitempty"`
	Version   string    `json:"version,omitempty"`
	Stands    string    `json:"stands"` // kind of the last event that moved it
	Accepted  time.Time `json:"accepted,omitzero"`
	Answered  time.Time `json:"answered,omitzero"`
	Deadline  time.Time `json:"deadline,omitzero"`
	DueQueued time.Time `json:"dueQueued,omitzero"`
	DueTaken  time.Time `json:"dueTaken,omitzero"`
	DueStatus time.Time `json:"dueStatus,omitzero"`
	Terms     string    `json:"terms,omitempty"`
	EOL       time.Time `json:"eol,omitzero"`
	Overdue   []string  `json:"overdue,omitempty"` // stages that were told to be late
	Late      bool      `json:"late,omitempty"`    // the deadline passed without a final answer, or the answer came after it
	Envelope  string    `json:"envelope"`          // where it is to be had
	TraceID   string    `json:"traceId,omitempty"` // of the call that brought it; absent: it is not kept any more
	Erased    time.Time `json:"erased,omitzero"`   // its content, since then
	Ground    string    `json:"ground,omitempty"`  // on which it was erased
}

// trace gathers what the log and the rows that it has not taken up yet say about
// an exchange. id may be any name of any of its messages, an incident, or the trace id
// of a call.
func (c *Console) trace(ctx context.Context, id string) (*Trace, error) {
	t := &Trace{ID: id, Events: []Entry{}, Messages: []Message{}}
	if err := c.gather(ctx, t, id); err != nil {
		return nil, err
	}
	if len(t.Events) == 0 {
		borne, err := c.Store.Traced(ctx, strings.ToLower(id))
		if err != nil {
			return nil, err
		}
		for _, one := range borne {
			if err := c.gather(ctx, t, one); err != nil {
				return nil, err
			}
		}
		if len(t.Events) > 0 {
			t.Asked, id = strings.ToLower(id), borne[0]
			t.ID = id
		}
	}
	// An exchange is a request and what answers it: begin again at the request.
	if root := requestOf(t.Events); root != "" && root != id {
		if err := c.gather(ctx, t, root); err != nil {
			return nil, err
		}
	}
	if len(t.Events) == 0 {
		return nil, problem(404, Text{"В журнале нет ничего с идентификатором %q: укажите MessageID, номер сообщения на этом шлюзе, инцидент или номер трассы (trace_id).", "Nothing in the journal bears %q: give a MessageID, an id of this gateway, an incident, or a trace id."}, clipped(id, 80))
	}
	slices.SortStableFunc(t.Events, before)
	t.Messages = messagesOf(t.Events, c.Now())
	if err := c.erasures(ctx, t.Messages); err != nil {
		return nil, err
	}
	if err := c.traced(ctx, t.Messages); err != nil {
		return nil, err
	}
	var err error
	if t.Answers, err = c.answers(ctx, t.Events); err != nil {
		return nil, err
	}
	for i := range t.Events {
		if e := &t.Events[i]; e.Kind == string(journal.KindRefused) && e.Incident != "" && (e.Incident == id || t.Refusal == nil) {
			t.Refusal = c.refusal(ctx, e)
		}
	}
	return t, nil
}

// traced tells by which trace ids logs and spans tell of messages.
func (c *Console) traced(ctx context.Context, messages []Message) error {
	ids := make([]uuid.UUID, 0, len(messages))
	for i := range messages {
		if id, err := uuid.Parse(messages[i].Message); err == nil {
			ids = append(ids, id)
		}
	}
	of, err := c.Store.TracesOf(ctx, ids, nil)
	for i := range messages {
		messages[i].TraceID = of[messages[i].Message]
	}
	return err
}

// erasures tells of messages whose content was erased, by an order or because its
// time was over; the entries of the latter are of whole days.
func (c *Console) erasures(ctx context.Context, messages []Message) error {
	for i := range messages {
		m := &messages[i]
		id, err := uuid.Parse(m.Message)
		if err != nil {
			continue
		}
		e, err := c.Store.Erasure(ctx, m.Service, adapter.Direction(m.Direction), id)
		if err != nil {
			return err
		}
		if e != nil {
			m.Erased, m.Ground = e.At, e.Ground
		}
	}
	return nil
}

// gather adds the events that bear id and are not in t yet. The rows that wait
// are read first: one that the journal takes up meanwhile is then seen twice, and
// left out once, instead of never.
func (c *Console) gather(ctx context.Context, t *Trace, id string) error {
	waiting, err := c.Store.Trace(ctx, id)
	if err != nil {
		return err
	}
	if c.Journal != nil {
		covered, err := c.covered(ctx)
		if err != nil {
			return err
		}
		rows, err := c.Journal.Trace(ctx, id)
		if err != nil {
			return err
		}
		// A sender who tries the same message again and again makes a hundred thousand.
		there := make(map[int64]bool, len(t.Events))
		for i := range t.Events {
			if at := t.Events[i].Index; at != nil {
				there[*at] = true
			}
		}
		for i := range rows {
			if e := rowEntry(&rows[i], covered); !there[*e.Index] {
				if _, ok := rows[i].Leaf.Committed(journal.FieldReceipt); ok && e.Receipt == nil {
					if e.Receipt, err = c.streamOf(ctx, rows[i].Index); err != nil {
						return err
					}
				}
				t.Events = append(t.Events, e)
			}
		}
	}
	known := make(map[telling]bool, len(t.Events))
	for i := range t.Events {
		known[tellingOf(&t.Events[i])] = true
	}
	for i := range waiting {
		e := entryOf(&waiting[i])
		for _, p := range waiting[i].Personal {
			if r, err := journal.ParseReceipt(p.Value); p.Field == journal.FieldReceipt && err == nil {
				e.Receipt = receiptOf(&waiting[i], &r)
			}
		}
		if of := tellingOf(&e); !known[of] {
			known[of], t.Events = true, append(t.Events, e)
		}
	}
	return nil
}

// telling is the same of two entries that tell of one event.
type telling struct {
	kind, message, messageID, recipient, incident string
	attempt                                       int
	at                                            int64 // milliseconds
}

func tellingOf(e *Entry) telling {
	return telling{e.Kind, e.Message, e.MessageID, e.Recipient, e.Incident, e.Attempt, e.Time.UnixMilli()}
}

// before orders events as they happened: by the log where it has both, else by
// their times. Two nodes' clocks may differ; the log's order is the one that
// counts.
func before(a, b Entry) int {
	if a.Index != nil && b.Index != nil {
		return int(*a.Index - *b.Index)
	}
	if a.Index != nil || b.Index != nil {
		if a.Index != nil {
			return -1
		}
		return 1
	}
	return a.Time.Compare(b.Time)
}

// requestOf is the MessageID of the request that the events are about.
func requestOf(events []Entry) string {
	for _, e := range events {
		if e.Original != "" {
			return e.Original
		}
	}
	for _, e := range events {
		if e.Kind == string(journal.KindAccepted) && e.MessageID != "" {
			return e.MessageID
		}
	}
	return ""
}

// messagesOf reads the lives of the messages out of their events.
func messagesOf(events []Entry, now time.Time) []Message {
	list := []Message{}
	places := map[string]int{}
	for _, e := range events {
		if e.Message == "" || e.Kind == string(journal.KindEvidenceRead) {
			continue
		}
		i, known := places[e.Message]
		if !known {
			i = len(list)
			places[e.Message], list = i, append(list, Message{Message: e.Message, Envelope: "/api/v1/messages/" + e.Message + "/envelope"})
		}
		m := &list[i]
		for _, f := range []struct {
			to   *string
			from string
		}{{&m.MessageID, e.MessageID}, {&m.Direction, e.Direction}, {&m.Sender, e.Sender}, {&m.Recipient, e.Recipient}, {&m.Service, e.Service}, {&m.Version, e.Version}} {
			if *f.to == "" {
				*f.to = f.from
			}
		}
		switch journal.Kind(e.Kind) {
		case journal.KindDueSoon, journal.KindAlarm:
			continue
		case journal.KindOverdue:
			m.Overdue = append(m.Overdue, e.Stage)
			if m.Deadline.IsZero() && e.Stage == string(terms.StageAnswered) {
				m.Deadline = e.Deadline // counted from the delivery
			}
			continue
		}
		if m.Deadline.IsZero() {
			m.Deadline = e.Deadline
		}
		switch journal.Kind(e.Kind) {
		case journal.KindAccepted:
			m.Accepted = e.Time
			m.DueQueued, m.DueTaken, m.DueStatus, m.Terms, m.EOL = e.DueQueued, e.DueTaken, e.DueStatus, e.Terms, e.EOL
		case journal.KindErased:
			continue
		case journal.KindAnswered:
			m.Answered = e.Time
			continue // an answered request may still wait for its Ack
		}
		m.Stands = e.Kind
	}
	for i := range list {
		m := &list[i]
		if m.Direction != "request" || m.Deadline.IsZero() {
			continue
		}
		ended := m.Answered
		if ended.IsZero() {
			ended = now
		}
		m.Late = ended.After(m.Deadline)
	}
	return list
}
