package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/vault"
)

// FieldContent stands in the Fields of an "erased" entry whose Target begins a
// message or a refused call: its content was erased, with the values behind its
// entries.
const FieldContent = "content"

// MostErased is how much one order may erase: each item costs the vault some kilobytes
// until its month is over.
const MostErased = 10_000

// EraseOrder is an order to erase content.
type EraseOrder struct {
	Messages  []uuid.UUID // by our ids
	Incidents []string
	Sought    [][]byte // Journal.Sought of people: who has looked for them is forgotten with them
	Ground    string   // legal ground, without names of people
	By        string   // the actor; the journal commits to it like to any personal value
	Confirmed string   // the second actor, where two are needed
	At        time.Time
}

// WaitsError says that content is not erased yet because its message is still on
// its way, or its entries are.
type WaitsError struct{ Messages []uuid.UUID }

func (e *WaitsError) Error() string {
	return fmt.Sprintf("%d messages are still on their way (%s): they are erased when they have been taken, or their life has ended", len(e.Messages), e.Messages[0])
}

// EraseContent erases messages and refused calls: keys, bytes, attachments, files,
// and the values behind their entries. What was erased already is passed over; n is
// the number of the others. None of them is erased when one of them waits
// (WaitsError).
//
// An order is one: it is in the register whole, and carried out in one transaction, for
// what was found by a person is not found by him any more when a part of it has gone.
func (s *Store) EraseContent(ctx context.Context, o EraseOrder) (n int, err error) {
	if strings.TrimSpace(o.Ground) == "" {
		return 0, errors.New("erasing needs a legal ground: it is what the journal will show")
	}
	if s.opts.Vault == nil {
		return 0, fmt.Errorf("%w: erasing is for a node with the vault (journal.vault)", ErrVault)
	}
	items, err := s.erasable(ctx, o)
	if err != nil {
		return 0, err
	}
	if len(items) > MostErased {
		return 0, fmt.Errorf("one order erases %d at most, and these are %d", MostErased, len(items))
	}
	list, err := s.readings(ctx, o)
	if err != nil {
		return 0, err
	}
	if len(items) > 0 {
		list = append(list, vault.Erasure{ID: uuid.Must(uuid.NewV7()).String(), At: o.At.UTC().Truncate(time.Millisecond), Ground: o.Ground, Items: items})
	}
	_, err = s.erase(ctx, list, o.By, o.Confirmed)
	for _, it := range items {
		s.fresh.drop(uuid.UUID(it.ID))
	}
	if err != nil {
		return 0, err
	}
	return len(items), nil
}

// readings are the erasures of what entries say about whom somebody has looked for;
// that somebody has looked stays.
func (s *Store) readings(ctx context.Context, o EraseOrder) (list []vault.Erasure, err error) {
	if len(o.Sought) == 0 {
		return nil, nil
	}
	if err := s.awaitReadings(ctx); err != nil {
		return nil, err
	}
	if err := keysThere(ctx, s.pool, s.opts.Vault, "tokens && $1", openingTokens(o.Sought)); err != nil {
		return nil, err
	}
	fields, err := committing(ctx, s.pool, s.opts.Vault, o.Sought, 0, math.MaxInt64)
	var found []Row
	if err == nil {
		found, err = find(ctx, s.pool, sought{indexes: slices.Collect(maps.Keys(fields))})
	}
	if err != nil {
		return nil, fmt.Errorf("looking for who has asked about the person: %w", err)
	}
	for _, row := range found {
		if row.Leaf.Kind == journal.KindEvidenceRead {
			list = append(list, vault.Erasure{ID: uuid.Must(uuid.NewV7()).String(), At: o.At.UTC().Truncate(time.Millisecond), Ground: o.Ground,
				Target: &row.Index, Fields: fields[row.Index], Leaf: leafDigest(row.Bytes)})
		}
	}
	return list, nil
}

// readingsWithin is how long an erasure waits for readings to come into the log.
const readingsWithin = 30 * time.Second

// awaitReadings waits until the log has taken up the readings that are committed now:
// their values are found by what the log commits to, and by nothing else.
func (s *Store) awaitReadings(ctx context.Context) error {
	var last int64
	if err := s.pool.QueryRow(ctx, "SELECT coalesce(max(id), 0) FROM journal_pending").Scan(&last); err != nil {
		return fmt.Errorf("looking for readings on their way into the log: %w", err)
	}
	for end := time.Now().Add(readingsWithin); ; {
		var waits bool
		err := s.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM journal_waiting WHERE id <= $1 AND event->>'kind' = $2)", last, string(journal.KindEvidenceRead)).Scan(&waits)
		if err != nil {
			return fmt.Errorf("looking for readings on their way into the log: %w", err)
		}
		if !waits {
			return nil
		}
		if time.Now().After(end) {
			return errors.New("somebody's reading waits for its place in the log, and what it says of the person cannot be found before: see why the journal stands still (/readyz), and order it again")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Store) erase(ctx context.Context, list []vault.Erasure, by, confirmed string) (did int, err error) {
	return erase(ctx, s.pool, s.opts.Vault, &s.gates, list, by, confirmed)
}

// erase notes who has ordered, in the database, and what, in the vault's register;
// takes the keys; and then does the rest in one transaction. Vault.Erase says why in
// this order. What is left after a crash is finished by Reerase, which every node
// calls again and again, in the names that were noted.
func erase(ctx context.Context, pool *sessions, v *vault.Vault, g *gates, list []vault.Erasure, by, confirmed string) (did int, err error) {
	if len(list) == 0 {
		return 0, nil
	}
	ids := make([][16]byte, len(list))
	for i := range list {
		id, err := uuid.Parse(list[i].ID)
		if err != nil {
			return 0, fmt.Errorf("erasure %q: %w", list[i].ID, err)
		}
		ids[i] = id
	}
	if err := reachable(ctx, pool, v, list); err != nil {
		return 0, err
	}
	if _, err := pool.Exec(ctx, "INSERT INTO content_ordered (id, at, ordered, confirmed) SELECT id, $2, $3, $4 FROM unnest($1::uuid[]) id ON CONFLICT DO NOTHING", ids, list[0].At, by, confirmed); err != nil {
		return 0, fmt.Errorf("noting who has ordered an erasure: %w", err)
	}
	if err := v.Erase(list...); err != nil {
		return 0, err
	}
	if did, err = carryOut(ctx, pool, v, g, list, by, confirmed); err != nil {
		return 0, fmt.Errorf("%w: the keys are gone, the bytes are not: %w", vault.ErrUnfinished, err)
	}
	return did, nil
}

// reachable refuses an order some of whose values this vault cannot find: it would be
// told as done, and they would be there for who has the whole vault.
func reachable(ctx context.Context, pool *sessions, v *vault.Vault, list []vault.Erasure) error {
	var q sought
	for _, e := range list {
		for _, it := range e.Items {
			if id := uuid.UUID(it.ID).String(); it.Class == ClassRefused {
				q.incidents = append(q.incidents, id)
			} else {
				q.messages = append(q.messages, id)
			}
		}
	}
	indexes := make([]int64, 0, len(list))
	if len(q.messages)+len(q.incidents) > 0 {
		entries, err := find(ctx, pool, q)
		if err != nil {
			return fmt.Errorf("the entries of what is to be erased: %w", err)
		}
		for i := range entries {
			indexes = append(indexes, entries[i].Index)
		}
	}
	for _, e := range list {
		if e.Target != nil {
			indexes = append(indexes, *e.Target)
		}
	}
	err := v.Reaches(list)
	if lacks := (*vault.KeyError)(nil); errors.As(err, &lacks) {
		return &KeysMissingError{[]string{lacks.Key}}
	}
	if err != nil {
		return err
	}
	return keysThere(ctx, pool, v, "block = ANY ($1)", (&sought{indexes: indexes}).numbers())
}

// Erasable is what an order would erase, as whoever orders it can tell it from others.
type Erasable struct {
	ID         string    `json:"id"` // ours, or the incident of a refused call
	MessageID  string    `json:"messageId,omitempty"`
	Direction  string    `json:"direction,omitempty"`
	Service    string    `json:"service,omitempty"`
	Sender     string    `json:"sender,omitempty"`
	Recipients []string  `json:"recipients,omitempty"`
	At         time.Time `json:"at"`
	Refused    bool      `json:"refused,omitempty"`
	Erased     bool      `json:"erased,omitempty"` // already
}

// Erasables tells of messages and refused calls, in the order of their times.
func (s *Store) Erasables(ctx context.Context, messages []uuid.UUID, incidents []string) ([]Erasable, error) {
	rows, _ := s.pool.Query(ctx, `SELECT id::text, message_id, direction, service, sender, ARRAY(SELECT r->>'s' FROM jsonb_array_elements(recipients) r), accepted, false, codec = $3 FROM `+kindsOf+` m WHERE id = ANY ($1)
		UNION ALL SELECT incident, coalesce(event->>'messageId', ''), '', coalesce(event->>'service', ''), coalesce(event->>'sender', ''), '{}', at, true, codec = $3 FROM refusal WHERE incident = ANY ($2)
		ORDER BY 7, 1`, raw(messages), incidents, codecErased)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Erasable])
	if err != nil {
		return nil, fmt.Errorf("telling of what is to be erased: %w", err)
	}
	return list, nil
}

// waitingSQL are the messages that are still on their way, or an event of which has
// no place in the log yet. A row of relayed may come after its message has been
// placed; the sweep removes it.
const waitingSQL = `SELECT message FROM queue UNION SELECT message FROM outbox UNION SELECT message FROM streamed
	UNION SELECT message FROM relayed r WHERE NOT EXISTS (SELECT FROM placed p WHERE p.message = r.message AND p.queue = r.queue)
	UNION SELECT message FROM journal_waiting WHERE message IS NOT NULL`

// erasable are the items of an order that are not erased yet.
func (s *Store) erasable(ctx context.Context, o EraseOrder) ([]vault.Item, error) {
	var items []vault.Item
	waits := &WaitsError{}
	rows, _ := s.pool.Query(ctx, `SELECT id, service, direction, id IN (`+waitingSQL+`) FROM `+kindsOf+` m
		WHERE id = ANY ($1) AND NOT EXISTS (SELECT FROM content_erased e WHERE e.item = id) ORDER BY id`, pgx.QueryExecModeCacheDescribe, raw(o.Messages))
	var m adapter.Message
	var waiting bool
	if _, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&m.ID), &m.Service, &m.Direction, &waiting}, func() error {
		if items = append(items, contentOf(&m)); waiting {
			waits.Messages = append(waits.Messages, m.ID)
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("looking for what is to be erased: %w", err)
	}
	if len(waits.Messages) > 0 {
		return nil, waits
	}
	rows, _ = s.pool.Query(ctx, `SELECT incident, EXISTS (SELECT FROM journal_waiting WHERE event->>'incident' = incident) FROM refusal WHERE incident = ANY ($1) AND codec <> $2 ORDER BY incident`, o.Incidents, codecErased)
	var incident string
	if _, err := pgx.ForEachRow(rows, []any{&incident, &waiting}, func() error {
		it, err := itemOfIncident(incident)
		if err != nil {
			return fmt.Errorf("incident %s: %w", incident, err)
		}
		if items = append(items, it); waiting {
			waits.Messages = append(waits.Messages, uuid.UUID(it.ID))
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("looking for what is to be erased: %w", err)
	}
	if len(waits.Messages) > 0 {
		return nil, waits
	}
	return items, nil
}

// carryOut does in the database what lines of the register say, whose keys have
// gone: bytes, values, the mark of it and the entries that tell of it, in one
// transaction. Done again it finds nothing to do; did counts what it found. by and
// confirmed are who did it where nobody is noted as having ordered it.
func carryOut(ctx context.Context, pool *sessions, v *vault.Vault, g *gates, list []vault.Erasure, by, confirmed string) (did int, err error) {
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		did = 0
		for _, e := range list {
			if err := carryOutOne(ctx, tx, v, g, e, by, confirmed, &did); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("erasing: %w", err)
	}
	return did, nil
}

func carryOutOne(ctx context.Context, tx pgx.Tx, v *vault.Vault, g *gates, e vault.Erasure, by, confirmed string, did *int) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	id, err := uuid.Parse(e.ID)
	if err != nil {
		return fmt.Errorf("erasure %q: %w", e.ID, err)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO content_erasure (id, at, ground, class, before, line) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		[16]byte(id), e.At, e.Ground, e.Class, timeOrNull(e.Before), string(line)); err != nil {
		return err
	}
	if err := tx.QueryRow(ctx, "DELETE FROM content_ordered WHERE id = $1 RETURNING ordered, confirmed", [16]byte(id)).Scan(&by, &confirmed); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	c := carrying{tx: tx, vault: v, gates: g, e: e, id: id, did: did}
	if by != "" {
		c.actors = append(c.actors, journal.PersonalField{Field: "actor", Value: by})
	}
	if confirmed != "" {
		c.actors = append(c.actors, journal.PersonalField{Field: "confirmed-by", Value: confirmed})
	}
	if err := errors.Join(c.messages(ctx), c.refusals(ctx), c.values(ctx)); err != nil {
		return err
	}
	return g.record(ctx, tx, c.events...)
}

// carrying is an erasure in its transaction.
type carrying struct {
	tx     pgx.Tx
	vault  *vault.Vault
	gates  *gates
	e      vault.Erasure
	id     uuid.UUID
	actors []journal.PersonalField
	events []journal.Event
	did    *int
}

func (c *carrying) event() journal.Event {
	return journal.Event{Kind: journal.KindErased, Time: c.e.At, Fields: []string{FieldContent}, Ground: c.e.Ground, Personal: c.actors}
}

// entries are those of messages or incidents.
func (c *carrying) entries(ctx context.Context, s sought) (all []Row, began map[string]int64, err error) {
	if all, err = find(ctx, c.tx, s); err != nil {
		return nil, nil, fmt.Errorf("the entries of what is erased: %w", err)
	}
	began = map[string]int64{} // by the id that it was looked for by: the first of each
	for i := len(all) - 1; i >= 0; i-- {
		began[all[i].Leaf.Message], began[all[i].Leaf.Incident] = all[i].Index, all[i].Index
	}
	return all, began, nil
}

func (c *carrying) messages(ctx context.Context) error {
	var ids [][16]byte
	var names []string
	for _, it := range c.e.Items {
		if it.Class != ClassRefused {
			ids, names = append(ids, it.ID), append(names, uuid.UUID(it.ID).String())
		}
	}
	if len(ids) == 0 {
		return nil
	}
	// Only a database that was restored has any of them on their way.
	if err := c.stop(ctx, ids, adapter.OutcomeErased); err != nil {
		return err
	}
	for _, sql := range []string{
		"INSERT INTO content_erased (item, erasure) SELECT id, $2 FROM unnest($1::uuid[]) id ON CONFLICT DO NOTHING",
		"UPDATE attachment SET codec = 4, dictionary = 0, content = '' WHERE message = ANY ($1) AND codec <> 4 AND $2::uuid IS NOT NULL",
		"DELETE FROM receipt WHERE message = ANY ($1) AND $2::uuid IS NOT NULL",
		"DELETE FROM file_awaited WHERE message = ANY ($1) AND $2::uuid IS NOT NULL", // the file store removes what nobody waits for
	} {
		if _, err := c.tx.Exec(ctx, sql, pgx.QueryExecModeCacheDescribe, ids, [16]byte(c.id)); err != nil {
			return err
		}
	}
	entries, began, err := c.entries(ctx, sought{messages: names})
	if err != nil {
		return err
	}
	gone, err := c.openings(ctx, entries)
	if err != nil {
		return err
	}
	rows, _ := c.tx.Query(ctx, `WITH u AS (
		UPDATE message m SET codec = 4, dictionary = 0, body = '', digest = '' WHERE id = ANY ($1) AND codec <> 4
		RETURNING id, message_id, coalesce(original, '') AS original, direction, service, version, kind
	) SELECT u.id, message_id, original, coalesce(u.direction, k.direction), coalesce(u.service, k.service), coalesce(u.version, k.version)
		FROM u LEFT JOIN message_kind k ON k.id = u.kind`, pgx.QueryExecModeCacheDescribe, ids)
	var ev journal.Event
	var id [16]byte
	_, err = pgx.ForEachRow(rows, []any{&id, &ev.MessageID, &ev.Original, &ev.Direction, &ev.Service, &ev.Version}, func() error {
		out := c.event()
		out.Message, out.MessageID, out.Original, out.Direction, out.Service, out.Version = uuid.UUID(id).String(), ev.MessageID, ev.Original, ev.Direction, ev.Service, ev.Version
		out.Target = targetOf(began, out.Message)
		c.events = append(c.events, out)
		*c.did++
		return nil
	})
	if err == nil && len(c.events) == 0 && gone > 0 {
		*c.did++
	}
	return err
}

// targetOf is the first entry of a message or incident; nil: there is none.
func targetOf(began map[string]int64, id string) *int64 {
	if first, ok := began[id]; ok {
		return &first
	}
	return nil
}

// openings removes the values behind the entries of messages or incidents, but not
// those of entries that tell of readings and erasures: these are other people's.
func (c *carrying) openings(ctx context.Context, entries []Row) (int, error) {
	var indexes []int64
	for i := range entries {
		switch entries[i].Leaf.Kind {
		case journal.KindErased, journal.KindEvidenceRead, journal.KindConfigChanged:
		default:
			indexes = append(indexes, entries[i].Index)
		}
	}
	gone, err := eraseOpenings(ctx, c.tx, c.vault, indexes, nil)
	return len(gone), err
}

// stop takes messages out of all stations, with a "dead" event for each queue.
func (c *carrying) stop(ctx context.Context, ids [][16]byte, outcome string) error {
	dead, err := (journal.Event{Kind: journal.KindDead, Time: c.e.At, Outcome: outcome}).Row()
	if err != nil {
		return err
	}
	for _, sql := range []string{
		`WITH d AS (DELETE FROM queue WHERE message = ANY ($1) RETURNING message, queue, facts) ` +
			waitSQL(`SELECT convert_to((`+wholeFacts+` - 'wire' || $2::jsonb)::text, 'UTF8'), 1 FROM d JOIN queue_name n ON n.id = d.queue LEFT JOIN message m ON m.id = d.message`),
		"WITH d AS (DELETE FROM streamed WHERE message = ANY ($1) RETURNING facts) " + waitSQL("SELECT convert_to((facts || $2::jsonb)::text, 'UTF8'), 1 FROM d"),
		"DELETE FROM outbox WHERE message = ANY ($1) AND $2::jsonb IS NOT NULL",
		"DELETE FROM relayed WHERE message = ANY ($1) AND $2::jsonb IS NOT NULL",
	} {
		if _, err := c.tx.Exec(ctx, c.gates.sql(sql), ids, string(dead)); err != nil {
			return err
		}
	}
	return nil
}

func (c *carrying) refusals(ctx context.Context) error {
	var incidents []string
	for _, it := range c.e.Items {
		if it.Class == ClassRefused {
			incidents = append(incidents, uuid.UUID(it.ID).String())
		}
	}
	if len(incidents) == 0 {
		return nil
	}
	entries, began, err := c.entries(ctx, sought{incidents: incidents})
	if err != nil {
		return err
	}
	if _, err := c.openings(ctx, entries); err != nil {
		return err
	}
	if _, err := c.tx.Exec(ctx, "INSERT INTO content_erased (item, erasure) SELECT id::uuid, $2 FROM unnest($1::text[]) id ON CONFLICT DO NOTHING", incidents, [16]byte(c.id)); err != nil {
		return err
	}
	rows, _ := c.tx.Query(ctx, `UPDATE refusal r SET codec = 4, dictionary = 0, body = '', event = event - 'digest' - 'personal' WHERE incident = ANY ($1) AND codec <> 4
		RETURNING incident`, incidents)
	var incident string
	_, err = pgx.ForEachRow(rows, []any{&incident}, func() error {
		out := c.event()
		out.Incident, out.Target = incident, targetOf(began, incident)
		c.events = append(c.events, out)
		*c.did++
		return nil
	})
	return err
}

// values repeats an erasure of single values (Journal.Erase).
func (c *carrying) values(ctx context.Context) error {
	if c.e.Target == nil {
		return nil
	}
	row, err := entryAt(ctx, c.tx, *c.e.Target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case leafDigest(row.Bytes) != c.e.Leaf:
		return nil // another log's entry
	}
	erased, err := eraseOpenings(ctx, c.tx, c.vault, []int64{*c.e.Target}, c.e.Fields)
	gone := erased[*c.e.Target]
	if err != nil || len(gone) == 0 {
		return err
	}
	out := c.event()
	out.Target, out.Fields = c.e.Target, gone
	c.events = append(c.events, out)
	*c.did++
	return nil
}

// erasures gives the lines that this database knows of, in their order: the given
// ones, or all.
func (s *Store) erasures(ctx context.Context, ids [][16]byte, all bool) ([]vault.Erasure, error) {
	rows, _ := s.pool.Query(ctx, "SELECT line FROM content_erasure WHERE id = ANY ($1) OR $2 ORDER BY at, id", ids, all)
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (e vault.Erasure, err error) {
		var line []byte
		if err = r.Scan(&line); err == nil {
			err = json.Unmarshal(line, &e)
		}
		return e, err
	})
}

// Reerased is what Reerase found to do.
type Reerased struct {
	Lines   int // erasures that the vault or the database had forgotten, or had not finished
	Content int // messages, refused calls and values that were there again

	// Waiting are erasures that were not done again, for the vault lacks keys of what they
	// are about, which are Missing, with commas between them: they are done with the next
	// pass when the keys are back, or when retention has removed what they sealed.
	Waiting int
	Missing string
}

// Reerase holds database and vault against each other's erasures, and against a
// register that was kept elsewhere: what either has forgotten, because it was
// restored from a backup, or not finished, because of a crash, is done again. all
// does every line again, also where both say that it was done; without it that is
// believed, which is quick enough to be asked often.
func (s *Store) Reerase(ctx context.Context, kept []vault.Erasure, all bool, by string) (out Reerased, err error) {
	if s.opts.Vault == nil {
		return out, fmt.Errorf("%w: erasing is for a node with the vault (journal.vault)", ErrVault)
	}
	noted, err := s.opts.Vault.Erasures()
	if err != nil {
		return out, err
	}
	inVault, inStore := map[string]bool{}, map[string]bool{}
	for _, e := range noted {
		inVault[e.ID] = true
	}
	rows, _ := s.pool.Query(ctx, "SELECT id FROM content_erasure")
	var id [16]byte
	var unnoted [][16]byte
	if _, err := pgx.ForEachRow(rows, []any{&id}, func() error {
		name := uuid.UUID(id).String()
		if inStore[name] = true; !inVault[name] {
			unnoted = append(unnoted, id)
		}
		return nil
	}); err != nil {
		return out, fmt.Errorf("reading the erasures of the database: %w", err)
	}
	done, err := s.erasures(ctx, unnoted, all)
	if err != nil {
		return out, fmt.Errorf("reading the erasures of the database: %w", err)
	}
	seen, missing := map[string]bool{}, map[string]bool{}
	defer func() { out.Missing = strings.Join(slices.Sorted(maps.Keys(missing)), ", ") }()
	for _, list := range [][]vault.Erasure{kept, noted, done} {
		for _, e := range list {
			if seen[e.ID] || !all && inVault[e.ID] && inStore[e.ID] {
				continue
			}
			seen[e.ID] = true
			if !inVault[e.ID] || !inStore[e.ID] {
				out.Lines++
			}
			lacks := (*KeysMissingError)(nil)
			err := reachable(ctx, s.pool, s.opts.Vault, []vault.Erasure{e})
			switch {
			case errors.As(err, &lacks):
				out.Waiting++
				for _, key := range lacks.Keys {
					missing[key] = true
				}
				continue // what it is about cannot be looked at, so it does not count as done
			case err != nil:
				return out, err
			}
			if err := s.opts.Vault.Erase(e); err != nil {
				return out, err
			}
			did, err := carryOut(ctx, s.pool, s.opts.Vault, &s.gates, []vault.Erasure{e}, by, "")
			if err != nil {
				return out, err
			}
			for _, it := range e.Items {
				s.fresh.drop(uuid.UUID(it.ID))
			}
			if e.Class != "" {
				ended, err := s.wipe(ctx, e)
				if err != nil {
					return out, err
				}
				did += ended
			}
			out.Content += did
		}
	}
	if out.Lines+out.Content > 0 {
		if err := s.tellReerased(ctx, &out, by); err != nil {
			return out, err
		}
	}
	// Whose order came to nothing: all of the register is carried out by now.
	if _, err := s.pool.Exec(ctx, "DELETE FROM content_ordered WHERE at < now() - interval '1 day' AND keys = '{}'"); err != nil {
		return out, err
	}
	return out, nil
}

// OutcomeErasedAgain is that of the entry (config-changed) which tells on which node erasures
// were done again, of how many messages, refused calls and values.
const OutcomeErasedAgain = "erased-again"

// tellReerased records it. What was erased is told of one by one as well, so that a crash
// before this leaves no more out than that it came together.
func (s *Store) tellReerased(ctx context.Context, out *Reerased, by string) error {
	now, err := s.Time(ctx)
	if err != nil {
		return err
	}
	e := journal.Event{Kind: journal.KindConfigChanged, Time: now, Node: s.opts.Node, Operation: "re-erase", Outcome: OutcomeErasedAgain,
		Rule: fmt.Sprintf("forgotten erasures: %d", out.Lines), Count: out.Content}
	if by != "" {
		e.Personal = append(e.Personal, journal.PersonalField{Field: "actor", Value: by})
	}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return s.gates.record(ctx, tx, e) })
}
