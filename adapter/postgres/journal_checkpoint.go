package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"mezhved/adapter/journal"
)

// Checkpoints of the journal, and the time stamps over them.

// SaveCheckpoint implements clerk.Book. Checkpoints older than an hour are
// thinned out to one a minute.
func (j *Journal) SaveCheckpoint(ctx context.Context, c *journal.Checkpoint) error {
	return j.saveCheckpoint(ctx, c, false)
}

// SaveCosigned keeps a checkpoint that a quorum of witnesses has cosigned: the
// one to publish, see Published.
func (j *Journal) SaveCosigned(ctx context.Context, c *journal.Checkpoint) error {
	return j.saveCheckpoint(ctx, c, true)
}

func (j *Journal) saveCheckpoint(ctx context.Context, c *journal.Checkpoint, cosigned bool) error {
	_, err := j.pool.Exec(ctx, `INSERT INTO journal_checkpoint (origin, size, root, signed, note, cosigned) SELECT $1, $2, $3, $4, $5, $6
		WHERE NOT EXISTS (SELECT FROM (SELECT * FROM journal_checkpoint WHERE cosigned = $6 ORDER BY id DESC LIMIT 1) l WHERE l.origin = $1 AND l.size > $2)`,
		c.Origin, c.Tree.N, c.Tree.Hash[:], c.Signed, c.Note, cosigned)
	if err != nil {
		return err
	}
	j.mu.Lock()
	due := c.Signed.Sub(j.kept) > 5*time.Minute
	if due {
		j.kept = c.Signed
	}
	j.mu.Unlock()
	if !due {
		return nil
	}
	_, err = j.pool.Exec(ctx, `DELETE FROM journal_checkpoint c USING journal_checkpoint k
		WHERE c.signed < $1 AND c.signed >= $1 - interval '1 day' AND k.signed >= date_trunc('minute', c.signed) AND k.signed < date_trunc('minute', c.signed) + interval '1 minute'
		AND k.id > c.id AND k.origin = c.origin AND k.cosigned = c.cosigned`, c.Signed.Add(-time.Hour))
	if err != nil {
		j.log.Warn("journal: thin out old checkpoints", "error", err)
	}
	return nil
}

// SaveTimestamp keeps a time-stamping authority's token over a checkpoint. Of those
// older than 31 days the first of each hour stays.
func (j *Journal) SaveTimestamp(ctx context.Context, c *journal.Checkpoint, token []byte, at time.Time) error {
	_, err := j.pool.Exec(ctx, `WITH thinned AS (
			DELETE FROM journal_timestamp t USING journal_timestamp k
			WHERE t.origin = $1 AND t.at < $3::timestamptz - interval '31 days' AND t.at >= $3::timestamptz - interval '62 days'
			AND k.origin = t.origin AND k.size < t.size AND k.at >= date_trunc('hour', t.at) AND k.at < t.at)
		INSERT INTO journal_timestamp (origin, size, at, note, token) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		c.Origin, c.Tree.N, at, c.Note, token)
	return err
}

// Stamped is the first checkpoint with a time stamp that covers an entry, or the latest
// of all for journal.NoEntry; fs.ErrNotExist when there is none (yet).
func (j *Journal) Stamped(ctx context.Context, entry int64) (*journal.Stamped, error) {
	order := "ASC"
	if entry == journal.NoEntry {
		order = "DESC"
	}
	s := new(journal.Stamped)
	err := j.pool.QueryRow(ctx, `SELECT note, token FROM journal_timestamp
		WHERE origin = (SELECT origin FROM journal_head) AND size > $1 ORDER BY size `+order+` LIMIT 1`, entry).Scan(&s.Checkpoint, &s.Token)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("no time stamp covers entry %d: %w", entry, fs.ErrNotExist)
	}
	return s, err
}

// Checkpoint implements clerk.Book.
func (j *Journal) Checkpoint(ctx context.Context) (*journal.Checkpoint, error) {
	return j.checkpoint(ctx, false)
}

// Published is the log as the world may see it (remote.Log): its latest
// checkpoint that witnesses have cosigned, or the latest of all when the log has
// no witnesses.
func (j *Journal) Published(cosigned bool) PublishedJournal { return PublishedJournal{j, cosigned} }

// PublishedJournal is a Journal whose Checkpoint is fit for publishing.
type PublishedJournal struct {
	*Journal
	cosigned bool
}

// Checkpoint gives the latest published checkpoint, or fs.ErrNotExist.
func (p PublishedJournal) Checkpoint(ctx context.Context) (*journal.Checkpoint, error) {
	return p.checkpoint(ctx, p.cosigned)
}

func (j *Journal) checkpoint(ctx context.Context, cosigned bool) (*journal.Checkpoint, error) {
	var c journal.Checkpoint
	var root []byte
	err := j.pool.QueryRow(ctx, "SELECT origin, size, root, signed, note FROM journal_checkpoint WHERE cosigned = $1 ORDER BY id DESC LIMIT 1", cosigned).
		Scan(&c.Origin, &c.Tree.N, &root, &c.Signed, &c.Note)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("no checkpoint has been signed yet: %w", fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	if len(root) != tlog.HashSize {
		return nil, &journal.BrokenError{What: "the root of the latest checkpoint"}
	}
	c.Tree.Hash = tlog.Hash(root)
	return &c, nil
}
