package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/journal"
	"mezhved/adapter/vault"
)

// What the database knows of the vault's keys. A folder that is not the one that rows were
// sealed with, or a stale copy of it, would have a new key of an old name without a word:
// what was sealed before would be damaged, and whoever is looked for would not be found. So
// the vault asks here before it makes a key, and before it seals with one for the first time.

// witness is the vault.Witness of a database.
type witness struct {
	pool  *sessions
	vault *vault.Vault
}

// witnessWithin bounds a question of the vault: who asks may hold the head of the log.
const witnessWithin = 4 * time.Second

const (
	keyFile   = ".key"
	treeFile  = ".tree"
	blindFile = "blind" + keyFile
)

// Sealed implements vault.Witness.
func (w *witness) Sealed(name string) (use vault.Use, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), witnessWithin)
	defer cancel()
	if err := w.pool.QueryRow(ctx, "SELECT mark FROM vault_key WHERE name = $1", name).Scan(&use.Mark); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return use, err
	}
	tree, isTree := strings.CutSuffix(name, treeFile)
	switch {
	case name == blindFile:
		err = w.blindRows(ctx, &use)
	case isTree:
		err = w.treeRows(ctx, tree, &use)
	default:
		err = w.keyRows(ctx, strings.TrimSuffix(name, keyFile), &use)
	}
	return use, err
}

// keyRows looks for values that are sealed with a key of the journal.
func (w *witness) keyRows(ctx context.Context, key string, use *vault.Use) error {
	var first *int64
	err := w.pool.QueryRow(ctx, "SELECT least((SELECT min(idx) FROM journal_open WHERE key = $1), (SELECT min(first) FROM journal_opening WHERE key = $1))", key).Scan(&first)
	switch {
	case err != nil:
		return err
	case first != nil:
		use.Rows = fmt.Sprintf("the values behind entries from %d on (journal_opening, journal_open) are", *first)
	case len(use.Mark) > 0:
		use.Rows = "values behind entries that are being written are"
	}
	return nil
}

// blindRows looks for search tokens.
func (w *witness) blindRows(ctx context.Context, use *vault.Use) error {
	there := len(use.Mark) > 0
	if !there {
		if err := w.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM journal_open WHERE blind <> '') OR EXISTS (SELECT FROM journal_opening WHERE tokens <> '{}')").Scan(&there); err != nil {
			return err
		}
	}
	if there {
		use.Rows = "the tokens by which people are found (journal_opening.tokens, journal_open.blind) are"
	}
	return nil
}

// treeRows looks for content that is sealed with a tree. Those that have no mark can only
// be of a month that began before marks were made.
func (w *witness) treeRows(ctx context.Context, tree string, use *vault.Use) error {
	class, from := classOf(tree), monthOf(tree)
	words := map[string]string{
		ClassRefused:       "bytes of refused calls (refusal) of " + from.Format("2006-01") + " are",
		vault.ClassPending: "values of events that wait for their place in the journal (journal_pending) are",
	}
	rows := words[class]
	if rows == "" {
		rows = fmt.Sprintf("the content of %s of %s (message, attachment, receipt) is", class, from.Format("2006-01"))
	}
	there := len(use.Mark) > 0
	if !there {
		var early bool
		if err := w.pool.QueryRow(ctx, "SELECT marked > $1 FROM content_vault", from).Scan(&early); err != nil || !early {
			return err
		}
		var err error
		switch class {
		case ClassRefused:
			err = w.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM refusal WHERE at >= $1 AND at < $2 AND codec & 2 = 2)", from, from.AddDate(0, 1, 0)).Scan(&there)
		case vault.ClassPending: // a packed event does not say what is sealed in it
			err = w.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM journal_waiting WHERE position(convert_to($1, 'UTF8') IN row) > 0)", journal.PendingClass).Scan(&there)
		default:
			there, err = w.messageRows(ctx, class, from)
		}
		if err != nil {
			return err
		}
	}
	if there {
		use.Rows = rows
	}
	return nil
}

// messageRows looks for sealed messages of a class and month.
func (w *witness) messageRows(ctx context.Context, class string, from time.Time) (found bool, err error) {
	services, k, err := w.servicesOf(ctx, class)
	if err != nil || len(services) == 0 {
		return false, err
	}
	err = w.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM message m LEFT JOIN message_kind k ON k.id = m.kind
		WHERE m.id >= $1 AND m.id < $2 AND m.codec & 2 = 2 AND coalesce(m.service, k.service) = ANY ($3) AND coalesce(m.direction, k.direction) = ANY ($4))`,
		[16]byte(floor(from)), [16]byte(floor(from.AddDate(0, 1, 0))), services, k.directions()).Scan(&found)
	return found, err
}

// servicesOf are the services whose messages are of a class, and which of these.
func (w *witness) servicesOf(ctx context.Context, class string) ([]string, ended, error) {
	k := ended{request: strings.HasSuffix(class, ".request")}
	rows, _ := w.pool.Query(ctx, "SELECT DISTINCT service FROM message_kind UNION ("+loggedServices+")")
	services, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return slices.DeleteFunc(services, func(service string) bool {
		k.service = service
		return k.class() != class
	}), k, err
}

// Vouch implements vault.Witness.
func (w *witness) Vouch(name string, mark []byte) (noted []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), witnessWithin)
	defer cancel()
	known := func() error {
		err := w.pool.QueryRow(ctx, "SELECT mark FROM vault_key WHERE name = $1", name).Scan(&noted)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	}
	if err := known(); err != nil || len(noted) > 0 {
		return noted, err
	}
	// Rows of nodes that made no marks speak for themselves.
	if opens, err := w.opens(ctx, name); err != nil || !opens {
		return nil, err
	}
	if _, err := w.pool.Exec(ctx, "INSERT INTO vault_key (name, mark) VALUES ($1, $2) ON CONFLICT DO NOTHING", name, mark); err != nil {
		return nil, err
	}
	return noted, known()
}

// opens says whether a key of the journal opens the first row under its name, or makes its
// tokens. Of trees nothing is tried: what was taken away of one cannot be told from what
// was never of it.
func (w *witness) opens(ctx context.Context, name string) (bool, error) {
	key, ok := strings.CutSuffix(name, keyFile)
	if !ok {
		return true, nil
	}
	condition, args := "key = $1", []any{key}
	if name == blindFile {
		condition, args = "tokens <> '{}'", nil
	}
	var k openingsKey
	var tokens []int64
	var sealed []byte
	err := w.pool.QueryRow(ctx, "SELECT key, block, first, tokens, sealed FROM journal_opening WHERE "+condition+" ORDER BY block, first LIMIT 1", args...).Scan(&k.key, &k.block, &k.first, &tokens, &sealed)
	if errors.Is(err, pgx.ErrNoRows) {
		return w.opensAlone(ctx, key, name == blindFile)
	}
	if err != nil {
		return false, err
	}
	list, err := unpackOpenings(w.vault, k, sealed)
	if err == nil && len(list) > 0 {
		_, err = list[0].opened(w.vault)
	}
	switch broken := (*journal.BrokenError)(nil); {
	case errors.Is(err, vault.ErrKeyDestroyed), errors.As(err, &broken):
		return true, nil // it says nothing of this key
	case err != nil:
		return name == blindFile, nil
	}
	if name != blindFile {
		return true, nil
	}
	made, err := tokensOf(asItIs{w.vault}, list)
	return err == nil && len(made) > 0 && made[0] == tokens[0], err
}

// opensAlone is opens for values that are rows of their own.
func (w *witness) opensAlone(ctx context.Context, key string, blind bool) (bool, error) {
	condition, args := "key = $1", []any{key}
	if blind {
		condition, args = "blind <> ''", nil
	}
	var s journal.Sealed
	err := w.pool.QueryRow(ctx, "SELECT idx, field, class, key, box, blind FROM journal_open WHERE "+condition+" LIMIT 1", args...).Scan(&s.Index, &s.Field, &s.Class, &s.Key, &s.Box, &s.Blind)
	if errors.Is(err, pgx.ErrNoRows) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	o, err := w.vault.Unseal(s)
	switch {
	case errors.Is(err, vault.ErrKeyDestroyed):
		return true, nil
	case err != nil || !blind:
		return blind || err == nil, nil
	}
	token, err := w.vault.Token(o.Field, o.Value)
	return bytes.Equal(token, s.Blind), err
}

// asItIs makes tokens with the key that is there.
type asItIs struct{ *vault.Vault }

func (v asItIs) Blind(field, value string) ([]byte, error) { return v.Token(field, value) }

// monthOf is the month of a key or tree; zero when its name has none.
func monthOf(name string) time.Time {
	t, _ := time.Parse("2006-01", name[min(len(name), len(classOf(name))+1):])
	return t
}

// endMarks removes the marks of the keys of a class that are of no use any more: kind is
// keyFile or treeFile, and everything of the class before a time has ended.
func endMarks(ctx context.Context, db *sessions, class, kind string, before time.Time) error {
	_, err := db.Exec(ctx, `DELETE FROM vault_key WHERE starts_with(name, $1 || '-') AND length(name) = length($1) + length('-2006-01') + length($2)
		AND right(name, length($2)) = $2 AND substr(name, length($1) + 2, 7) < $3`, class, kind, before.UTC().Format("2006-01"))
	if err != nil {
		return fmt.Errorf("ending the marks of the keys of %s: %w", class, err)
	}
	return nil
}

// checkKeys looks every half a minute whether the vault has the keys of this month, so that
// a folder that lacks one is told of before a message comes that needs it; and tells when
// one is lacking, and when all are back.
func (s *Store) checkKeys(ctx context.Context, now time.Time) error {
	if s.opts.Vault == nil {
		return nil
	}
	if d := now.Sub(s.sweeps.keys); d < 0 || d >= keysEvery {
		s.sweeps.keys = now
		rows, _ := s.pool.Query(ctx, "SELECT name FROM vault_key WHERE name = $1 OR name LIKE '%-' || $2 || '.%' ORDER BY name", blindFile, now.UTC().Format("2006-01"))
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("which keys of the vault were sealed with: %w", err)
		}
		for _, name := range names {
			s.opts.Vault.Check(name) // Lacking tells
		}
	}
	_, err := s.opts.Vault.Lacking()
	lacks := (*vault.KeyError)(nil)
	errors.As(err, &lacks)
	switch {
	case lacks != nil && s.sweeps.lacking != lacks.Key:
		s.log.Error("the vault lacks a key that this database is sealed with: nothing is accepted until it is back", "key", lacks.Key, "folder", lacks.Folder, "another in its place", lacks.Other, "error", err)
		s.sweeps.lacking = lacks.Key
	case err == nil && s.sweeps.lacking != "":
		s.log.Info("the vault has its keys again", "key", s.sweeps.lacking)
		s.sweeps.lacking = ""
	}
	return nil
}

const keysEvery = 30 * time.Second
