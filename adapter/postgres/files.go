package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
)

// The index of the file store. Package files keeps the bytes; here is whose they
// are and which message holds them.

const fileColumns = "f.id, f.owner, f.name, f.blob, f.size, f.gost, f.sha256"

func scanFile(r pgx.CollectableRow) (f adapter.FileEntry, err error) {
	var id [16]byte
	var digest, sum []byte
	err = r.Scan(&id, &f.Owner, &f.Name, &f.Blob, &f.Size, &digest, &sum)
	f.ID, f.Whole = id, len(digest) > 0
	copy(f.GOST[:], digest)
	copy(f.SHA256[:], sum)
	return f, err
}

// filesOf gives the files that a message holds.
func (s *Store) filesOf(ctx context.Context, message uuid.UUID) ([]adapter.File, error) {
	rows, _ := s.pool.Query(ctx, "SELECT "+fileColumns+" FROM message_file m JOIN file f ON f.id = m.file WHERE m.message = $1 ORDER BY m.n", [16]byte(message))
	entries, err := pgx.CollectRows(rows, scanFile)
	files := make([]adapter.File, len(entries))
	for i := range entries {
		files[i] = entries[i].File
	}
	return files, err
}

// FindFiles gives what is known of the files with these ids, whole or not.
func (s *Store) FindFiles(ctx context.Context, ids []uuid.UUID) ([]adapter.FileEntry, error) {
	rows, _ := s.pool.Query(ctx, "SELECT "+fileColumns+" FROM file f WHERE f.id = ANY ($1)", raw(ids))
	return pgx.CollectRows(rows, scanFile)
}

func raw(ids []uuid.UUID) [][16]byte {
	out := make([][16]byte, len(ids))
	for i := range ids {
		out[i] = ids[i]
	}
	return out
}

// MakeFile makes an empty entry for its owner. Done twice it is there once;
// ErrFileTaken says that another owner has it, or a message.
func (s *Store) MakeFile(ctx context.Context, id uuid.UUID, owner string, now time.Time) error {
	_, err := s.pool.Exec(ctx, "INSERT INTO file (id, owner, name, blob, size, gost, sha256, changed) VALUES ($1, $2, '', '', 0, '', '', $3) ON CONFLICT DO NOTHING",
		[16]byte(id), owner, now)
	if err != nil {
		return fmt.Errorf("making file %s: %w", id, err)
	}
	var ours bool
	err = s.pool.QueryRow(ctx, "SELECT owner = $2 AND NOT EXISTS (SELECT FROM message_file WHERE file = id) FROM file WHERE id = $1", [16]byte(id), owner).Scan(&ours)
	if err == nil && !ours || errors.Is(err, pgx.ErrNoRows) {
		err = adapter.ErrFileTaken
	}
	if err != nil {
		return fmt.Errorf("making file %s: %w", id, err)
	}
	return nil
}

// PutFile says that the bytes of a file are on the disk. It gives the blob that
// the file had before, which nothing refers to any more. ErrFileTaken says that
// another owner has the file, or a message.
//
// A message that is being accepted with the bytes of before holds the key of the
// row: either it is first, and this fails, or it finds its file replaced.
func (s *Store) PutFile(ctx context.Context, f adapter.FileEntry, now time.Time) (old string, err error) {
	digest, sum := []byte{}, []byte{}
	if f.Whole {
		digest, sum = f.GOST[:], f.SHA256[:]
	}
	const put = `
WITH o AS (
	SELECT blob FROM file WHERE id = $1
), p AS (
	INSERT INTO file AS f (id, owner, name, blob, size, gost, sha256, changed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
	ON CONFLICT (id) DO UPDATE SET name = excluded.name, blob = excluded.blob, size = excluded.size, gost = excluded.gost, sha256 = excluded.sha256, changed = excluded.changed
	WHERE f.owner = excluded.owner AND NOT EXISTS (SELECT FROM message_file m WHERE m.file = f.id)
	RETURNING id
)
SELECT coalesce((SELECT blob FROM o), '') FROM p`
	// Two that are the first for a file meet at one of its two keys, and only at
	// the other one the later of them becomes the update that it should be. Told
	// again, it finds the row.
	for range 3 {
		err = s.pool.QueryRow(ctx, put, [16]byte(f.ID), f.Owner, f.Name, f.Blob, f.Size, digest, sum, now).Scan(&old)
		if !violates(err, "file_id_gost_key") {
			break
		}
	}
	if errors.Is(err, pgx.ErrNoRows) || violates(err, "message_file_file") {
		err = adapter.ErrFileTaken
	}
	if err != nil {
		return "", fmt.Errorf("noting file %s: %w", f.ID, err)
	}
	return old, nil
}

// DropFile forgets a file of an owner that no message holds. It is no error
// when there is none.
func (s *Store) DropFile(ctx context.Context, id uuid.UUID, owner string) error {
	_, err := s.pool.Exec(ctx, "DELETE FROM file f WHERE f.id = $1 AND f.owner = $2 AND NOT EXISTS (SELECT FROM message_file m WHERE m.file = f.id)", [16]byte(id), owner)
	if violates(err, "message_file_file") {
		err = nil // a message was quicker
	}
	if err != nil {
		return fmt.Errorf("forgetting file %s: %w", id, err)
	}
	return nil
}

// FileUse tells how full the store is, and how much of it an owner has brought
// that no message holds yet.
func (s *Store) FileUse(ctx context.Context, owner string) (u adapter.FileUse, err error) {
	err = s.pool.QueryRow(ctx, `SELECT
		(SELECT count(*) FROM file), (SELECT coalesce(sum(size), 0)::bigint FROM file),
		count(*), coalesce(sum(size), 0)::bigint FROM file f WHERE owner = $1 AND NOT EXISTS (SELECT FROM message_file m WHERE m.file = f.id)`, owner).
		Scan(&u.Files, &u.Bytes, &u.OwnerFiles, &u.OwnerBytes)
	if err != nil {
		return u, fmt.Errorf("adding up the files of the store: %w", err)
	}
	return u, nil
}

// HeldFiles is adapter.FileStore.Held.
func (s *Store) HeldFiles(ctx context.Context, sender adapter.Mnemonic, to []adapter.Queue) (sent, waiting int64, err error) {
	systems := make([]string, len(to))
	for i, q := range to {
		systems[i] = string(q.System)
	}
	err = s.pool.QueryRow(ctx, `SELECT
		(SELECT coalesce(sum(size), 0)::bigint FROM message_file WHERE sender = $1),
		(SELECT coalesce(max(waits), 0)::bigint FROM (
			SELECT sum(m.size) AS waits FROM queue_name q JOIN file_awaited a ON a.queue = q.id JOIN message_file m USING (message)
			WHERE q.system = ANY ($2) GROUP BY q.system) t)`, string(sender), systems).Scan(&sent, &waiting)
	if err != nil {
		return 0, 0, fmt.Errorf("adding up the files that wait: %w", err)
	}
	return sent, waiting, nil
}

// GrantFiles makes an account for the files of a message in a queue.
func (s *Store) GrantFiles(ctx context.Context, g adapter.FileGrant) error {
	queue, err := s.names.queueID(ctx, s.pool, g.Queue, false)
	if err == nil {
		_, err = s.pool.Exec(ctx, "INSERT INTO file_login (name, secret, message, queue, until) VALUES ($1, $2, $3, $4, $5)",
			g.User, g.Secret[:], [16]byte(g.Message), queue, g.Until)
	}
	if err != nil {
		return fmt.Errorf("making an account for the files of %s: %w", g.Message, err)
	}
	return nil
}

// GrantedFiles gives the digest of an account's password and the files that it
// may fetch. ErrNotFound: there is no such account, or its time is over, or its
// message is not in the queue any more.
func (s *Store) GrantedFiles(ctx context.Context, user string, now time.Time) (secret [32]byte, files []adapter.FileEntry, err error) {
	rows, _ := s.pool.Query(ctx, `
SELECT l.secret, `+fileColumns+`
FROM file_login l JOIN file_awaited a ON a.message = l.message AND a.queue = l.queue
	JOIN message_file m ON m.message = l.message JOIN file f ON f.id = m.file
WHERE l.name = $1 AND l.until > $2 AND EXISTS (
	SELECT FROM queue q WHERE q.message_id = a.message_id AND q.queue = a.queue AND q.message = a.message
	AND (q.eol IS NULL OR q.eol > $2 OR q.visible_at > $2))
ORDER BY m.n`, user, now)
	files, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (f adapter.FileEntry, err error) {
		var id [16]byte
		var hashed, digest, sum []byte
		err = r.Scan(&hashed, &id, &f.Owner, &f.Name, &f.Blob, &f.Size, &digest, &sum)
		f.ID, f.Whole = id, len(digest) > 0
		copy(secret[:], hashed)
		copy(f.GOST[:], digest)
		copy(f.SHA256[:], sum)
		return f, err
	})
	if err == nil && len(files) == 0 {
		err = adapter.ErrNotFound
	}
	if err != nil {
		return secret, nil, fmt.Errorf("looking up an account: %w", err)
	}
	return secret, files, nil
}

// ReleaseFiles lets go of the files of messages that all their recipients have
// taken or that have expired, forgets accounts whose time is over, and forgets
// files that no message holds: at once those that one has held, the others when
// nobody has touched them since idle. The bytes of what it gives back may be
// removed; a crash before that leaves bytes that no entry names. more says that
// there is more to do at once.
func (s *Store) ReleaseFiles(ctx context.Context, now, idle time.Time) (gone []adapter.FileEntry, more bool, err error) {
	if err := s.releaseTaken(ctx, now); err != nil {
		return nil, false, fmt.Errorf("releasing the files of taken messages: %w", err)
	}
	_, err = s.pool.Exec(ctx, `DELETE FROM file_login WHERE name IN (
		SELECT name FROM file_login l WHERE until <= $1 OR NOT EXISTS (SELECT FROM file_awaited a WHERE a.message = l.message AND a.queue = l.queue) LIMIT $2)`, now, sweepRows)
	if err != nil {
		return nil, false, fmt.Errorf("forgetting accounts for files: %w", err)
	}
	rows, _ := s.pool.Query(ctx, `
WITH s AS (
	SELECT id FROM file f WHERE changed < $1 AND NOT EXISTS (SELECT FROM message_file m WHERE m.file = f.id)
	ORDER BY changed LIMIT $2 FOR UPDATE SKIP LOCKED
)
DELETE FROM file f USING s WHERE f.id = s.id RETURNING `+fileColumns, idle, sweepRows)
	gone, err = pgx.CollectRows(rows, scanFile)
	if violates(err, "message_file_file") {
		return nil, false, nil // a message has taken hold of one meanwhile: the next pass sees it
	}
	if err != nil {
		return nil, false, fmt.Errorf("forgetting files: %w", err)
	}
	return gone, len(gone) == sweepRows, nil
}

// releaseTaken finds out which messages with files have been taken: they were
// placed in their queue and are in it no more. One that is in no queue and was
// not placed is still on its way.
func (s *Store) releaseTaken(ctx context.Context, now time.Time) error {
	type place struct {
		message [16]byte
		queue   int32
	}
	collect := func(r pgx.CollectableRow) (p place, err error) {
		err = r.Scan(&p.message, &p.queue)
		return p, err
	}
	s.sweeps.mu.Lock()
	defer s.sweeps.mu.Unlock()
	rows, _ := s.pool.Query(ctx, `
SELECT message, queue FROM file_awaited a
WHERE (message, queue) > ($1, $2) AND NOT EXISTS (SELECT FROM queue q WHERE q.message_id = a.message_id AND q.queue = a.queue AND q.message = a.message)
ORDER BY message, queue LIMIT $3`, s.sweeps.awaited.message, s.sweeps.awaited.queue, sweepRows)
	away, err := pgx.CollectRows(rows, collect)
	if err != nil {
		return err
	}
	s.sweeps.awaited.message, s.sweeps.awaited.queue = [16]byte{}, 0
	if len(away) == sweepRows { // what is on its way for long does not hide what is behind it
		last := away[len(away)-1]
		s.sweeps.awaited.message, s.sweeps.awaited.queue = last.message, last.queue
	}
	ids := make([][16]byte, len(away))
	for i := range away {
		ids[i] = away[i].message
	}
	placed := map[place]bool{}
	if len(ids) > 0 {
		rows, _ = s.pool.Query(ctx, "SELECT message, queue FROM placed WHERE message = ANY ($1)", pgx.QueryExecModeCacheDescribe, ids)
		found, err := pgx.CollectRows(rows, collect)
		if err != nil {
			return err
		}
		for _, p := range found {
			placed[p] = true
		}
	}
	var messages [][16]byte
	var queues []int32
	for _, p := range away {
		forgotten := s.opts.Keep > 0 && timeOf(p.message).AddDate(0, 0, 2).Before(now.Add(-s.opts.Keep)) // its day was dropped
		if placed[p] || forgotten {
			messages, queues = append(messages, p.message), append(queues, p.queue)
		}
	}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		if len(messages) > 0 {
			// Looked at again: it may have been placed between the two questions.
			batch.Queue(`DELETE FROM file_awaited a USING unnest($1::uuid[], $2::int[]) t(message, queue) WHERE a.message = t.message AND a.queue = t.queue
				AND NOT EXISTS (SELECT FROM queue q WHERE q.message_id = a.message_id AND q.queue = a.queue AND q.message = a.message)`, messages, queues)
		}
		batch.Queue(`
WITH m AS (
	DELETE FROM message_file m WHERE (m.message, m.n) IN (
		SELECT message, n FROM message_file f WHERE NOT EXISTS (SELECT FROM file_awaited a WHERE a.message = f.message) LIMIT $1)
	RETURNING file, gost
)
UPDATE file f SET changed = '-infinity' FROM m WHERE f.id = m.file`, sweepRows)
		return tx.SendBatch(ctx, batch).Close()
	})
}
