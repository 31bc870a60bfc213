package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/vault"
)

// Content: bodies, attachments and the bytes of refused calls. They are packed, and
// then sealed with keys of the vault, which is not in the database: a copy of the
// database is of no use without it, and what is erased there is erased here, in
// every replica and every backup.

// ClassRefused is the class of keys of what is kept of refused calls.
const ClassRefused = "refused"

// ErrVault says that this node has not the vault that the content of this database
// is sealed with.
var ErrVault = errors.New("not the vault of this database")

// openContent finds out whether content is sealed, and makes the node's vault the
// database's when it has none.
func (s *Store) openContent(ctx context.Context) error {
	if s.opts.Vault == nil {
		return nil
	}
	id, err := s.opts.Vault.Known()
	if err != nil {
		return err
	}
	var known string
	var begun, people bool
	if err := s.pool.QueryRow(ctx, "SELECT vault FROM content_vault").Scan(&known); err != nil {
		return err
	}
	if known != "" && id == "" { // before one is made, which nothing would be sealed with
		return fmt.Errorf("%w: the content of messages in this database is sealed with the vault %s, and the folder of journal.vault, %s, %s: "+
			"is its storage mounted? All nodes use one folder; name the right one, or put it back from its own backup", ErrVault, known, s.opts.Vault.Folder(), s.opts.Vault.Away())
	}
	if id, err = s.opts.Vault.Identity(); err != nil {
		return err
	}
	if _, err := s.pool.Exec(ctx, "UPDATE content_vault SET vault = $1 WHERE vault = ''", id); err != nil {
		return err
	}
	if err := s.pool.QueryRow(ctx, "SELECT vault, since <= now(), refused <= now() FROM content_vault").Scan(&known, &begun, &people); err != nil {
		return err
	}
	if known != id {
		return fmt.Errorf("%w: the content of messages in this database is sealed with the vault %s, and journal.vault is the vault %s: "+
			"all nodes use one folder; put it on storage that they share, or name the right one", ErrVault, known, id)
	}
	s.sealing.Store(begun)
	s.naming.Store(begun && people)
	return nil
}

// Blind is for a node without a vault: it puts off the time when content is sealed,
// so that it can go on, and says whether it comes too late for that.
func (s *Store) Blind(ctx context.Context) (late bool, err error) {
	err = s.pool.QueryRow(ctx, `WITH u AS (
	UPDATE content_vault SET since = greatest(since, now() + $1) WHERE vault = '' OR since > now() RETURNING 1
)
SELECT NOT EXISTS (SELECT FROM u)`, blindFor).Scan(&late)
	return late, err
}

// blindFor is for how long a node without a vault puts the sealing off. It does so
// again long before.
const blindFor = 2 * time.Minute

// sweepContent finds out whether the time to seal has come.
func (s *Store) sweepContent(ctx context.Context, now time.Time) error {
	if d := now.Sub(s.sweeps.content); s.sealing.Load() && (s.naming.Load() || s.opts.Vault == nil) || d >= 0 && d < blindFor/4 {
		return nil
	}
	s.sweeps.content = now
	if s.opts.Vault != nil {
		return s.openContent(ctx)
	}
	late, err := s.Blind(ctx)
	if late {
		err = fmt.Errorf("%w: the content of messages is sealed now, and this node has no vault (journal.vault): it can hand none of them out", ErrVault)
	}
	return err
}

// contentOf names the key of a message's content.
func contentOf(m *adapter.Message) vault.Item {
	return vault.Item{Class: adapter.ContentClass(m.Service, m.Direction), ID: vault.ID(m.ID)}
}

func attachmentPart(n int) string { return fmt.Sprintf("attachment %d", n) }

// Parts of what is sealed, beside attachments.
const (
	partBody    = "body"
	partRefused = "refused"
)

// seal encrypts what was packed, if content is sealed.
func (s *Store) seal(it vault.Item, part string, p packed) (packed, error) {
	if !s.sealing.Load() {
		return p, nil
	}
	box, err := s.opts.Vault.SealContent(it, part, p.bytes)
	if err != nil {
		return p, fmt.Errorf("sealing content: %w", err)
	}
	p.codec, p.bytes = p.codec|codecSealed, box
	return p, nil
}

// sealValues seals the values about people in an event that is to wait for its place
// in the journal; the sequencer opens them.
func (s *Store) sealValues(e *journal.Event) error {
	if !s.sealing.Load() {
		return nil
	}
	if len(e.Personal) > 0 && s.gates.sharedPending.Load() {
		sealed, err := s.opts.Vault.SealWaiting(e.Sealer(), journal.PackPersonal(e.Personal))
		if err != nil {
			return fmt.Errorf("sealing the values of an event: %w", err)
		}
		e.Personal = []journal.PersonalField{{Value: sealed, Class: journal.PendingShared}}
		return nil
	}
	if len(e.Personal) > 1 && s.gates.packedEvents.Load() {
		const field = "together"
		sealed, err := s.opts.Vault.SealPending(e.Sealer(), field, string(journal.PackPersonal(e.Personal)))
		if err != nil {
			return fmt.Errorf("sealing the values of an event: %w", err)
		}
		e.Personal = []journal.PersonalField{{Field: field, Value: sealed, Class: journal.PendingTogether}}
		return nil
	}
	e.Personal = slices.Clone(e.Personal) // others may have the event, too
	for n := range e.Personal {
		p := &e.Personal[n]
		sealed, err := s.opts.Vault.SealPending(e.Sealer(), p.Field, p.Value)
		if err != nil {
			return fmt.Errorf("sealing field %s of an event: %w", p.Field, err)
		}
		p.Value, p.Class = sealed, journal.PendingClass+cmp.Or(p.Class, journal.ClassPersonal)
	}
	return nil
}

// sealable refuses (vault.KeyError) what the journal could not take up: a value that an
// event commits to is sealed with the key of its class and month.
func (s *Store) sealable(events []journal.Event) error {
	if s.opts.Vault == nil {
		return nil
	}
	checked, sought := "", false
	check := func(class string) error {
		if class == checked {
			return nil
		}
		checked = class
		return s.opts.Vault.Sealable(class)
	}
	for i := range events {
		if events[i].Digest != "" {
			if err := check(journal.ClassEnvelope); err != nil {
				return err
			}
		}
		for _, p := range events[i].Personal {
			if err := check(cmp.Or(p.Class, journal.ClassPersonal)); err != nil {
				return err
			}
			sought = sought || vault.Sought(p.Field)
		}
	}
	if !sought {
		return nil
	}
	return s.opts.Vault.Check(blindFile)
}

// errContentErased says that content is not there any more, as was wanted.
var errContentErased = errors.New("the content was erased")

// open gives content as it was received; errContentErased when it was erased.
func (s *Store) open(ctx context.Context, it vault.Item, part string, p packed) ([]byte, error) {
	p, err := s.unseal(it, part, p)
	if err != nil {
		return nil, err
	}
	return s.bodies.unpack(ctx, p)
}

// openWoven fills in body, parts and reply address of a message that was packed with
// packWoven; errContentErased when its content was erased.
func (s *Store) openWoven(ctx context.Context, m *adapter.Message, p packed) error {
	p, err := s.unseal(contentOf(m), partBody, p)
	if err != nil {
		return err
	}
	return s.bodies.unpackWoven(ctx, m, p)
}

// unseal decrypts what was sealed, if it was.
func (s *Store) unseal(it vault.Item, part string, p packed) (packed, error) {
	if p.codec == codecErased {
		return p, errContentErased
	}
	if p.codec&codecSealed == 0 {
		return p, nil
	}
	if s.opts.Vault == nil {
		return p, fmt.Errorf("%w: content is sealed, and this node has no vault (journal.vault)", ErrVault)
	}
	plain, err := s.opts.Vault.OpenContent(it, part, p.bytes)
	if errors.Is(err, vault.ErrErased) {
		return p, errContentErased
	}
	if err != nil {
		return p, err
	}
	p.codec, p.bytes = p.codec&^codecSealed, plain
	return p, nil
}

// Seal is adapter.Store.Seal.
func (s *Store) Seal(m *adapter.Message, part string, plain []byte) (sealed []byte, ok bool, err error) {
	if !s.sealing.Load() {
		return nil, false, nil
	}
	sealed, err = s.opts.Vault.SealContent(contentOf(m), part, s.bodies.squeeze(plain))
	return sealed, err == nil, err
}

// Unseal is adapter.Store.Unseal.
func (s *Store) Unseal(m *adapter.Message, part string, sealed []byte) ([]byte, error) {
	if s.opts.Vault == nil {
		return nil, fmt.Errorf("%w: this node has none (journal.vault)", ErrVault)
	}
	squeezed, err := s.opts.Vault.OpenContent(contentOf(m), part, sealed)
	if err != nil {
		return nil, err
	}
	return s.bodies.unsqueeze(squeezed)
}

// Erasure is adapter.Store.Erasure.
func (s *Store) Erasure(ctx context.Context, service string, d adapter.Direction, id uuid.UUID) (*adapter.Erasure, error) {
	e, err := s.erasureOf(ctx, vault.Item{Class: adapter.ContentClass(service, d), ID: vault.ID(id)})
	if err != nil {
		return nil, fmt.Errorf("asking whether a message was erased: %w", err)
	}
	if e.At.IsZero() {
		return nil, nil
	}
	return e, nil
}

// erasureOf tells when and on what ground an item was erased. What is known of it
// may be less: its key has gone already and the rest of the erasure is under way.
func (s *Store) erasureOf(ctx context.Context, it vault.Item) (*adapter.Erasure, error) {
	e := &adapter.Erasure{}
	err := s.pool.QueryRow(ctx, `SELECT e.at, e.ground FROM content_erased i JOIN content_erasure e ON e.id = i.erasure WHERE i.item = $1
UNION ALL
(SELECT at, ground FROM content_erasure WHERE class = $2 AND before > $3 AND NOT coalesce(line->'spared' ? $4, false) ORDER BY before LIMIT 1) LIMIT 1`,
		[16]byte(it.ID), it.Class, it.ID.Time(), uuid.UUID(it.ID).String()).Scan(&e.At, &e.Ground)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, err
	}
	if !e.At.IsZero() {
		e.At = e.At.UTC()
	}
	return e, nil
}

func itemOfIncident(incident string) (vault.Item, error) {
	id, err := uuid.Parse(incident)
	return vault.Item{Class: ClassRefused, ID: vault.ID(id)}, err
}
