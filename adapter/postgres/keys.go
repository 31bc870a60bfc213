package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
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
	if opens, err := w.opens(ctx, name, firstRow); err != nil || !opens {
		return nil, err
	}
	if _, err := w.pool.Exec(ctx, "INSERT INTO vault_key (name, mark) VALUES ($1, $2) ON CONFLICT DO NOTHING", name, mark); err != nil {
		return nil, err
	}
	return noted, known()
}

// Which row under a key's name is tried.
const (
	firstRow = ""
	lastRow  = " DESC"
)

// opens says whether a key of the journal opens the first, or last, row under its name, or
// makes its tokens; or a tree content that is sealed with one of its name.
func (w *witness) opens(ctx context.Context, name, which string) (bool, error) {
	key, ok := strings.CutSuffix(name, keyFile)
	if !ok {
		return w.opensContent(ctx, strings.TrimSuffix(name, treeFile))
	}
	condition, args := "key = $1", []any{key}
	if name == blindFile {
		condition, args = "tokens <> '{}'", nil
	}
	var k openingsKey
	var tokens []int64
	var sealed []byte
	err := w.pool.QueryRow(ctx, "SELECT key, block, first, tokens, sealed FROM journal_opening WHERE "+condition+" ORDER BY block"+which+", first"+which+" LIMIT 1", args...).Scan(&k.key, &k.block, &k.first, &tokens, &sealed)
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

// opensContent says whether a tree opens content that was sealed with one of its name before
// trees had marks. It has a leaf for whatever was not taken away of it, and another tree in
// its place has one for everything, which opens nothing; where the leaf is gone that says
// nothing. Of values that wait for their place nothing is tried: a packed event does not say
// what is sealed in it.
func (w *witness) opensContent(ctx context.Context, tree string) (bool, error) {
	class, from := classOf(tree), monthOf(tree)
	var early bool
	if err := w.pool.QueryRow(ctx, "SELECT marked > $1 FROM content_vault", from).Scan(&early); err != nil || !early || class == vault.ClassPending {
		return err == nil, err
	}
	part, until := partBody, from.AddDate(0, 1, 0)
	var rows pgx.Rows
	if class == ClassRefused {
		part = partRefused
		rows, _ = w.pool.Query(ctx, "SELECT incident::uuid, body FROM refusal WHERE at >= $1 AND at < $2 AND codec & 2 = 2 LIMIT $3", from, until, triedContent)
	} else {
		services, k, err := w.servicesOf(ctx, class)
		if err != nil || len(services) == 0 {
			return err == nil, err
		}
		rows, _ = w.pool.Query(ctx, `SELECT m.id, m.body FROM message m LEFT JOIN message_kind k ON k.id = m.kind
			WHERE m.id >= $1 AND m.id < $2 AND m.codec & 2 = 2 AND coalesce(m.service, k.service) = ANY ($3) AND coalesce(m.direction, k.direction) = ANY ($4) LIMIT $5`,
			[16]byte(floor(from)), [16]byte(floor(until)), services, k.directions(), triedContent)
	}
	type sealed struct {
		ID   [16]byte
		Body []byte
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[sealed])
	if err != nil {
		return false, err
	}
	wrong := false
	for _, s := range list {
		switch _, err := w.vault.OpenContent(vault.Item{Class: class, ID: s.ID}, part, s.Body); {
		case err == nil:
			return true, nil // others are damaged
		case !errors.Is(err, vault.ErrErased):
			wrong = true
		}
	}
	return !wrong, nil
}

// triedContent is how many rows are tried of a tree.
const triedContent = 5

// strange names those of some keys' files that the database does not know, and that do not
// open what is sealed under their names already: they were made in the place of others, by a
// node of the release before, which asks nobody, or by hand.
func (w *witness) strange(ctx context.Context, files []string) (names []string, err error) {
	rows, _ := w.pool.Query(ctx, "SELECT f FROM unnest($1::text[]) f WHERE NOT EXISTS (SELECT FROM vault_key WHERE name = f) ORDER BY f", files)
	unknown, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, name := range unknown {
		use, err := w.Sealed(name)
		if err != nil {
			return names, err
		}
		if use.Rows == "" {
			continue
		}
		opens, err := w.opens(ctx, name, firstRow)
		if err != nil {
			return names, err
		}
		if !opens {
			names = append(names, name)
		}
	}
	return names, err
}

// elsewhere names the keys of this month that the folder has as the database knows them, and
// of which the last rows are sealed with others: by a node with a folder of its own, and of
// the release before, which does not ask. Content is looked at as far back as since.
func (w *witness) elsewhere(ctx context.Context, now, since time.Time) (names []string, err error) {
	marked, err := w.ofMonth(ctx, now)
	if err != nil {
		return nil, err
	}
	for name, noted := range marked {
		if own, err := w.vault.Mark(name); err != nil || !bytes.Equal(own, noted.mark) {
			delete(marked, name) // that is told already
		}
	}
	for name := range marked {
		if !strings.HasSuffix(name, keyFile) {
			continue
		}
		opens, err := w.opens(ctx, name, lastRow)
		if err != nil {
			return nil, err
		}
		if !opens {
			names = append(names, name)
		}
	}
	rows, _ := w.pool.Query(ctx, `SELECT m.id, coalesce(m.service, k.service), coalesce(m.direction, k.direction), m.body FROM message m LEFT JOIN message_kind k ON k.id = m.kind
		WHERE m.id > $1 AND m.codec & 2 = 2 AND octet_length(m.body) < 65536 ORDER BY m.id DESC LIMIT 20`, [16]byte(floor(since)))
	type sealed struct {
		m    adapter.Message
		body []byte
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (s sealed, err error) {
		err = r.Scan((*[16]byte)(&s.m.ID), &s.m.Service, &s.m.Direction, &s.body)
		return s, err
	})
	if err != nil {
		return nil, err
	}
	for i := range list {
		it := contentOf(&list[i].m)
		tree := it.Class + "-" + it.ID.Time().Format("2006-01") + treeFile
		if noted, ok := marked[tree]; !ok || it.ID.Time().Before(noted.since) {
			continue // see strange; and with a tree that was lost
		}
		_, err := w.vault.OpenContent(it, partBody, list[i].body)
		if lacks := (*vault.KeyError)(nil); err != nil && !errors.Is(err, vault.ErrErased) && !errors.As(err, &lacks) {
			names = append(names, tree)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// noted is the mark of a key, and since when.
type noted struct {
	mark  []byte
	since time.Time
}

// ofMonth are the keys with marks that are sealed with now.
func (w *witness) ofMonth(ctx context.Context, now time.Time) (map[string]noted, error) {
	rows, _ := w.pool.Query(ctx, "SELECT name, mark, since FROM vault_key WHERE name = $1 OR name LIKE '%-' || $2 || '.%'", blindFile, now.UTC().Format("2006-01"))
	marked := map[string]noted{}
	var name string
	var n noted
	if _, err := pgx.ForEachRow(rows, []any{&name, &n.mark, &n.since}, func() error {
		marked[name] = noted{bytes.Clone(n.mark), n.since}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("which keys of the vault were sealed with: %w", err)
	}
	return marked, nil
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

func (v asItIs) Blind(to []byte, field, value string) ([]byte, error) {
	token, err := v.Token(field, value)
	return append(to, token...), err
}

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
		w := &witness{s.pool, s.opts.Vault}
		marked, err := w.ofMonth(ctx, now)
		if err != nil {
			return err
		}
		files, err := s.opts.Vault.Files()
		if err != nil {
			files = nil // the folder is away: Lacking tells
		}
		strange, err := w.strange(ctx, slices.DeleteFunc(files, func(name string) bool {
			return name != blindFile && !strings.Contains(name, now.UTC().Format("-2006-01."))
		}))
		if err != nil {
			return fmt.Errorf("which keys of the vault nobody knows: %w", err)
		}
		for _, name := range slices.Concat(slices.Sorted(maps.Keys(marked)), strange) {
			s.opts.Vault.Check(name) // Lacking tells
		}
		elsewhere, err := w.elsewhere(ctx, now, now.Add(-10*time.Minute))
		if err != nil {
			return fmt.Errorf("whether the keys of the vault open what was sealed last: %w", err)
		}
		if said := strings.Join(elsewhere, ", "); said != s.sweeps.elsewhere {
			if s.sweeps.elsewhere = said; said != "" {
				s.log.Error("the last rows are sealed with other keys than this node's vault has under these names: another node has a folder of its own", "keys", said)
			}
		}
	}
	_, err := s.opts.Vault.Lacking()
	lacks := (*vault.KeyError)(nil)
	errors.As(err, &lacks)
	switch {
	case lacks != nil && s.sweeps.lacking != lacks.Key:
		s.log.Error("the vault lacks a key that this database is sealed with: nothing is accepted until it is back", "key", lacks.Key, "folder", lacks.Folder, "another in its place", lacks.Other, "the whole vault is away", lacks.Away != "", "error", err)
		s.sweeps.lacking = lacks.Key
	case err == nil && s.sweeps.lacking != "":
		s.log.Info("the vault has its keys again", "key", s.sweeps.lacking)
		s.sweeps.lacking = ""
	}
	return nil
}

const keysEvery = 30 * time.Second
