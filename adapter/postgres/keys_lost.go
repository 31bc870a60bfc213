package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/vault"
)

// LostKey is what a key that is lost for good takes with it.
type LostKey struct {
	Key     string `json:"key"`
	Rows    int    `json:"rows"`    // of values that nobody can open any more; each has those of many entries
	Waiting int    `json:"waiting"` // messages that nobody can open and that were still on their way
	Renewed int    `json:"renewed"` // rows whose search tokens were made anew
}

// ErrKeyNotLost says that the vault has the key, or that nothing was sealed with it.
var ErrKeyNotLost = errors.New("this key is not lost")

// nodeAlive is how soon a node that has not been seen counts as stopped: one that is at
// work says so once a minute, and a little later when its database is busy.
const nodeAlive = 2 * time.Minute

// AtWorkError says that a gateway was at work so lately that it may be still.
type AtWorkError struct{ adapter.Node }

func (e *AtWorkError) Error() string {
	return fmt.Sprintf("the gateway %s was at work %s ago, and its vault may have the key: look there first; if no vault and no backup of one has it, stop all gateways and say it again", e.Name, e.Ago.Round(time.Second))
}

// Left is when the gateway counts as stopped, if it says nothing of itself until then.
func (e *AtWorkError) Left() time.Duration { return nodeAlive - e.Ago }

// AtWork are the gateways that may be at work.
func (s *Store) AtWork(ctx context.Context) (list []*AtWorkError, err error) {
	nodes, err := s.Nodes(ctx)
	for _, n := range nodes {
		if n.Ago < nodeAlive {
			list = append(list, &AtWorkError{n})
		}
	}
	return list, err
}

// AdmitLost says of a key that it is lost for good, and has the vault go on with a new one
// of its name; an entry tells of it, with the ground. It cannot be taken back, not even
// with the key, for what cannot be looked at cannot be erased either:
//
//   - values that only this key opens are removed, and commitments stay;
//   - the tokens by which people are found are made anew from the values, where it is
//     their key that was lost;
//   - messages whose content only this tree opens are taken out of their queues, as dead.
//
// No gateway may be at work (AtWorkError): one of them may have the key. Done again after a
// crash it goes on. dry counts, whoever is at work, and changes nothing.
func (s *Store) AdmitLost(ctx context.Context, name, ground string, now time.Time, dry bool) (out LostKey, err error) {
	out.Key = name
	v := s.opts.Vault
	if v == nil {
		return out, ErrVault
	}
	if strings.TrimSpace(ground) == "" && !dry {
		return out, errors.New("it needs a reason: it is what the journal will show")
	}
	if !strings.HasSuffix(name, keyFile) && !strings.HasSuffix(name, treeFile) {
		return out, fmt.Errorf("%w: %s is no name of a key's file, which ends with %s or %s, as the gateway's error has it", ErrKeyNotLost, name, keyFile, treeFile)
	}
	working, err := s.AtWork(ctx)
	if err != nil {
		return out, err
	}
	if len(working) > 0 && !dry {
		return out, working[0]
	}
	w := &witness{s.pool, v}
	use, err := w.Sealed(name)
	if err != nil {
		return out, err
	}
	if use.Rows == "" {
		return out, fmt.Errorf("%w: nothing in the database is sealed with a key of the name %s", ErrKeyNotLost, name)
	}
	mark, err := v.Mark(name)
	if err != nil {
		return out, err
	}
	if len(mark) > 0 {
		good := bytes.Equal(mark, use.Mark)
		if len(use.Mark) == 0 {
			good, err = w.opens(ctx, name, firstRow)
		}
		if err != nil {
			return out, err
		}
		if good {
			return out, fmt.Errorf("%w: %s is in the vault, and is the one that was sealed with", ErrKeyNotLost, name)
		}
	} else if !dry {
		if err := v.Replace(name); err != nil {
			return out, err
		}
		if mark, err = v.Mark(name); err != nil {
			return out, err
		}
	}
	a := admitting{witness: w, gates: &s.gates, now: now, dry: dry, out: &out}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		a.tx = tx
		if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = 0"); err != nil {
			return err
		}
		if err := a.rows(ctx, name); err != nil || dry {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO vault_key (name, mark) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET mark = excluded.mark, since = now()", name, mark); err != nil {
			return err
		}
		return s.gates.record(ctx, tx, journal.Event{Kind: journal.KindConfigChanged, Time: now, Node: s.opts.Node, Operation: "lost-key",
			Outcome: "lost", Rule: "vault " + name, Count: out.Rows + out.Waiting, Ground: ground})
	})
	if err != nil {
		return out, fmt.Errorf("admitting that %s is lost: %w", name, err)
	}
	if !dry {
		v.Forget(name)
	}
	return out, nil
}

// admitting is AdmitLost in its transaction.
type admitting struct {
	*witness
	tx    pgx.Tx
	gates *gates
	now   time.Time
	dry   bool
	out   *LostKey
}

func (a *admitting) rows(ctx context.Context, name string) error {
	tree, isTree := strings.CutSuffix(name, treeFile)
	switch {
	case name == blindFile:
		return a.renew(ctx)
	case !isTree:
		return a.values(ctx, strings.TrimSuffix(name, keyFile))
	case classOf(tree) == ClassRefused || classOf(tree) == vault.ClassPending:
		return nil // what waits for its place is committed to as it stands
	}
	return a.messages(ctx, classOf(tree), monthOf(tree))
}

// keptRow is a row of values.
type keptRow struct {
	openingsKey
	sealed []byte
}

// eachRow goes through the rows of journal_opening that the condition names, in pages: f may
// change them.
func (a *admitting) eachRow(ctx context.Context, condition string, args []any, f func(*keptRow) error) error {
	last := openingsKey{block: -1}
	for {
		rows, _ := a.tx.Query(ctx, fmt.Sprintf("SELECT key, block, first, sealed FROM journal_opening WHERE (block, first, key) > ($%d, $%d, $%d) AND %s ORDER BY block, first, key LIMIT 500",
			len(args)+1, len(args)+2, len(args)+3, condition), append(slices.Clone(args), last.block, last.first, last.key)...)
		page, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (k keptRow, err error) {
			err = r.Scan(&k.key, &k.block, &k.first, &k.sealed)
			return k, err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			if err := f(&page[i]); err != nil {
				return err
			}
		}
		last = page[len(page)-1].openingsKey
	}
}

// alone are the values that are rows of their own.
func (a *admitting) alone(ctx context.Context, condition string, args ...any) ([]journal.Sealed, error) {
	rows, _ := a.tx.Query(ctx, "SELECT idx, field, class, key, box, blind FROM journal_open WHERE "+condition, args...)
	return pgx.CollectRows(rows, pgx.RowToStructByPos[journal.Sealed])
}

// values removes what the key does not open that is there now.
func (a *admitting) values(ctx context.Context, key string) error {
	err := a.eachRow(ctx, "key = $1", []any{key}, func(r *keptRow) error {
		list, err := unpackOpenings(a.vault, r.openingsKey, r.sealed)
		for i := range list {
			if err == nil {
				_, err = list[i].opened(a.vault)
			}
		}
		if broken := (*journal.BrokenError)(nil); err == nil || errors.As(err, &broken) { // what is broken is not this key's doing
			return nil
		}
		if a.out.Rows++; a.dry {
			return nil
		}
		_, err = a.tx.Exec(ctx, "DELETE FROM journal_opening WHERE key = $1 AND block = $2 AND first = $3", r.key, r.block, r.first)
		return err
	})
	if err != nil {
		return err
	}
	alone, err := a.alone(ctx, "key = $1", key)
	if err != nil {
		return err
	}
	for _, one := range alone {
		if _, err := a.vault.Unseal(one); err == nil {
			continue
		}
		if a.out.Rows++; a.dry {
			continue
		}
		if _, err := a.tx.Exec(ctx, "DELETE FROM journal_open WHERE key = $1 AND idx = $2 AND field = $3", one.Key, one.Index, one.Field); err != nil {
			return err
		}
	}
	return nil
}

// renew makes the tokens of all values anew.
func (a *admitting) renew(ctx context.Context) error {
	missing := map[string]bool{} // key: whether it is told of already
	open := func(key string, err error) error {
		if errors.Is(err, vault.ErrKeyDestroyed) {
			missing[key] = true
			return nil
		}
		return err
	}
	err := a.eachRow(ctx, "tokens <> '{}'", nil, func(r *keptRow) error {
		list, err := unpackOpenings(a.vault, r.openingsKey, r.sealed)
		together := err == nil && len(list) > 0 && list[0].open != nil
		boxes := make([]journal.Sealed, 0, len(list))
		for i := range list {
			one := &list[i]
			if together || err != nil {
				break
			}
			var o journal.Opening
			if o, err = one.opened(a.vault); err == nil && len(one.Blind) > 0 && !a.dry {
				one.Blind, err = a.vault.Token(o.Field, o.Value)
			}
			boxes = append(boxes, one.Sealed)
		}
		if err != nil {
			return open(r.key, err)
		}
		if a.out.Renewed++; a.dry {
			return nil
		}
		tokens, err := tokensOf(asItIs{a.vault}, list)
		if err != nil {
			return err
		}
		if !together {
			r.sealed = packOpenings(r.block, boxes, false)
		}
		_, err = a.tx.Exec(ctx, "UPDATE journal_opening SET tokens = $4, sealed = $5 WHERE key = $1 AND block = $2 AND first = $3", r.key, r.block, r.first, tokens, r.sealed)
		return err
	})
	if err != nil {
		return err
	}
	alone, err := a.alone(ctx, "blind <> ''")
	if err != nil {
		return err
	}
	for _, one := range alone {
		o, err := a.vault.Unseal(one)
		if err != nil {
			if err := open(one.Key, err); err != nil {
				return err
			}
			continue
		}
		if a.out.Renewed++; a.dry {
			continue
		}
		if one.Blind, err = a.vault.Token(o.Field, o.Value); err != nil {
			return err
		}
		if _, err := a.tx.Exec(ctx, "UPDATE journal_open SET blind = $4 WHERE key = $1 AND idx = $2 AND field = $3", one.Key, one.Index, one.Field, one.Blind); err != nil {
			return err
		}
	}
	if len(missing) > 0 { // whoever is named there would not be found any more
		names := make([]string, 0, len(missing))
		for name := range missing {
			names = append(names, name+keyFile)
		}
		slices.Sort(names)
		return fmt.Errorf("the tokens of values under %s cannot be made anew, for the vault has not these keys: put them back, or admit first that they are lost", strings.Join(names, ", "))
	}
	return nil
}

// messages takes those that nobody can open out of their queues.
func (a *admitting) messages(ctx context.Context, class string, from time.Time) error {
	services, k, err := a.servicesOf(ctx, class)
	if err != nil || len(services) == 0 {
		return err
	}
	rows, _ := a.tx.Query(ctx, `SELECT m.id FROM (SELECT message FROM queue UNION SELECT message FROM outbox UNION SELECT message FROM streamed UNION SELECT message FROM relayed) w
		JOIN message m ON m.id = w.message LEFT JOIN message_kind k ON k.id = m.kind
		WHERE m.id >= $1 AND m.id < $2 AND m.codec & 2 = 2 AND coalesce(m.service, k.service) = ANY ($3) AND coalesce(m.direction, k.direction) = ANY ($4) ORDER BY 1`,
		[16]byte(floor(from)), [16]byte(floor(from.AddDate(0, 1, 0))), services, k.directions())
	ids, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		return err
	}
	var lost [][16]byte
	for _, id := range ids {
		var p packed
		if err := a.tx.QueryRow(ctx, "SELECT body FROM message WHERE id = $1", id).Scan(&p.bytes); err != nil {
			return err
		}
		if _, err := a.vault.OpenContent(vault.Item{Class: class, ID: id}, partBody, p.bytes); err != nil {
			lost = append(lost, id)
		}
	}
	if a.out.Waiting = len(lost); a.dry || len(lost) == 0 {
		return nil
	}
	c := carrying{tx: a.tx, gates: a.gates, e: vault.Erasure{ID: uuid.NewString(), At: a.now}}
	if err := c.stop(ctx, lost, adapter.OutcomeKeyLost); err != nil {
		return err
	}
	_, err = a.tx.Exec(ctx, "DELETE FROM file_awaited WHERE message = ANY ($1)", lost) // the file store removes what nobody waits for
	return err
}
