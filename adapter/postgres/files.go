package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
)

// The index of the file store. Package files keeps the bytes; here is whose they
// are and which message holds them.

const fileColumns = "coalesce(f.folder, f.id), f.id, f.owner, f.session, f.name, f.blob, f.size, f.gost, f.sha256"

func scanFile(r pgx.CollectableRow) (f adapter.FileEntry, err error) {
	var folder, id [16]byte
	var digest, sum []byte
	err = r.Scan(&folder, &id, &f.Owner, &f.Session, &f.Name, &f.Blob, &f.Size, &digest, &sum)
	f.ID, f.Entry, f.Whole = folder, id, len(digest) > 0
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

// FindFiles gives what is known of the files in these folders, whole or not, the
// latest first.
func (s *Store) FindFiles(ctx context.Context, folders []uuid.UUID) ([]adapter.FileEntry, error) {
	rows, _ := s.pool.Query(ctx, "SELECT "+fileColumns+" FROM file f WHERE coalesce(f.folder, f.id) = ANY ($1) ORDER BY changed DESC, id", raw(folders))
	return pgx.CollectRows(rows, scanFile)
}

func raw(ids []uuid.UUID) [][16]byte {
	out := make([][16]byte, len(ids))
	for i := range ids {
		out[i] = ids[i]
	}
	return out
}

// MakeFile makes an empty entry in a folder for its owner, unless it has one there.
func (s *Store) MakeFile(ctx context.Context, folder uuid.UUID, owner, session string, now time.Time) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		there, _, err := lockFolder(ctx, tx, folder)
		if err != nil || slices.ContainsFunc(there, func(e adapter.FileEntry) bool { return e.Owner == owner }) {
			return err
		}
		return writeFile(ctx, tx, adapter.FileEntry{File: adapter.File{ID: folder, Entry: newEntry(there, folder)}, Owner: owner, Session: session}, now)
	})
	if err != nil {
		return fmt.Errorf("making file %s: %w", folder, err)
	}
	return nil
}

// lockFolder keeps others from changing what is in a folder until the transaction
// ends, and gives it, and those of it that a message holds: one that is being accepted
// holds the keys of its rows, so it has come before, or it finds what it refers to
// changed.
func lockFolder(ctx context.Context, tx pgx.Tx, folder uuid.UUID) (there []adapter.FileEntry, held []uuid.UUID, err error) {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 5730))", folder.String()); err != nil {
		return nil, nil, err
	}
	rows, _ := tx.Query(ctx, "SELECT "+fileColumns+" FROM file f WHERE coalesce(f.folder, f.id) = $1 ORDER BY id FOR UPDATE", [16]byte(folder))
	if there, err = pgx.CollectRows(rows, scanFile); err != nil || len(there) == 0 {
		return nil, nil, err
	}
	// Asked behind the locks: a message may have come while we waited for them.
	entries := make([]uuid.UUID, len(there))
	for i, e := range there {
		entries[i] = e.Entry
	}
	rows, _ = tx.Query(ctx, "SELECT DISTINCT file FROM message_file WHERE file = ANY ($1)", raw(entries))
	held, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (id uuid.UUID, err error) {
		return id, r.Scan((*[16]byte)(&id))
	})
	return there, held, err
}

// newEntry is the id of another entry in a folder: the folder's own for the first,
// for the others one that begins with its time.
func newEntry(there []adapter.FileEntry, folder uuid.UUID) uuid.UUID {
	if slices.ContainsFunc(there, func(e adapter.FileEntry) bool { return e.Entry == folder }) {
		return uuid.Must(uuid.NewV7())
	}
	return folder
}

func writeFile(ctx context.Context, tx pgx.Tx, f adapter.FileEntry, now time.Time) error {
	digest, sum := []byte{}, []byte{}
	if f.Whole {
		digest, sum = f.GOST[:], f.SHA256[:]
	}
	_, err := tx.Exec(ctx, `INSERT INTO file (id, folder, owner, session, name, blob, size, gost, sha256, changed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, session = excluded.session, name = excluded.name, blob = excluded.blob, size = excluded.size,
			gost = excluded.gost, sha256 = excluded.sha256, changed = excluded.changed`,
		[16]byte(f.Entry), [16]byte(f.ID), f.Owner, f.Session, f.Name, f.Blob, f.Size, digest, sum, now)
	return err
}

// PutFile says that the bytes of a file are on the disk, put together of the parts
// of an upload when one is named. It gives the blobs that nothing refers to any
// more: the one from before, those of the parts, or the new one itself where the
// same file was there already. ErrFileTaken says that a whole one would become a
// part; ErrNotFound that there is no such upload, or not any more.
//
// What a message holds stays, and what is whole and another session's, and the new
// one lies beside it
// (adapter.Replaced): the digest that a message says is that of the file that it
// means. Only the very same file, of the same owner, is not kept twice; it is of no
// session from then on, because two have been told that it is kept.
func (s *Store) PutFile(ctx context.Context, f adapter.FileEntry, upload string, now time.Time) (gone []string, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		gone = nil
		if upload != "" {
			if gone, err = dropParts(ctx, tx, f.ID, upload); err != nil {
				return err
			}
		}
		there, held, err := lockFolder(ctx, tx, f.ID)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(there, func(e adapter.FileEntry) bool {
			f.Entry = e.Entry // which does not make another file of it
			return e.Whole && f.Whole && e.Owner == f.Owner && e.File == f.File
		}); i >= 0 {
			if there[i].Blob == f.Blob { // told again
				return nil
			}
			gone = append(gone, f.Blob)
			if there[i].Session == f.Session {
				return nil
			}
			_, err = tx.Exec(ctx, "UPDATE file SET session = '', changed = greatest(changed, $2) WHERE id = $1", [16]byte(there[i].Entry), now)
			return err
		}
		f.Entry = newEntry(there, f.ID)
		there = slices.DeleteFunc(there, func(e adapter.FileEntry) bool { return slices.Contains(held, e.Entry) })
		if i := adapter.Replaced(there, f.Owner, f.Session); i >= 0 {
			if there[i].Whole && !f.Whole {
				return adapter.ErrFileTaken
			}
			if f.Entry = there[i].Entry; there[i].Blob != "" && there[i].Blob != f.Blob {
				gone = append(gone, there[i].Blob)
			}
		}
		return writeFile(ctx, tx, f, now)
	})
	if err != nil {
		return nil, fmt.Errorf("noting file %s: %w", f.ID, err)
	}
	return gone, nil
}

// DropFile forgets what a session has brought into a folder, unless a message holds
// it, and gives the blob that nothing refers to any more. It is no error when there
// is none.
func (s *Store) DropFile(ctx context.Context, folder uuid.UUID, session string) (gone []string, err error) {
	rows, _ := s.pool.Query(ctx, `DELETE FROM file f WHERE coalesce(f.folder, f.id) = $1 AND session = $2 AND session <> ''
		AND NOT EXISTS (SELECT FROM message_file m WHERE m.file = f.id) RETURNING blob`, [16]byte(folder), session)
	gone, err = pgx.CollectRows(rows, pgx.RowTo[string])
	if violates(err, "message_file_file") {
		return nil, nil // a message was quicker
	}
	if err != nil {
		return nil, fmt.Errorf("forgetting file %s: %w", folder, err)
	}
	return gone, nil
}

// PutPart says that the bytes of a part are on the disk, or with N 0 that an upload
// begins. It gives the blob that the part had before. ErrNotFound says that there
// is no such upload, or not any more.
func (s *Store) PutPart(ctx context.Context, p adapter.FilePart, now time.Time) (old string, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if p.N > 0 {
			if err := lockUpload(ctx, tx, p.Folder, p.Upload); err != nil {
				return err
			}
			err := tx.QueryRow(ctx, "SELECT blob FROM file_part WHERE folder = $1 AND upload = $2 AND n = $3", [16]byte(p.Folder), p.Upload, p.N).Scan(&old)
			if err != nil && !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
		}
		_, err := tx.Exec(ctx, `INSERT INTO file_part (folder, upload, n, owner, blob, size, sha256, changed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (folder, upload, n) DO UPDATE SET blob = excluded.blob, size = excluded.size, sha256 = excluded.sha256, changed = excluded.changed`,
			[16]byte(p.Folder), p.Upload, p.N, p.Owner, p.Blob, p.Size, p.SHA256[:], now)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("noting part %d of file %s: %w", p.N, p.Folder, err)
	}
	if old == p.Blob {
		old = "" // told again
	}
	return old, nil
}

// lockUpload holds the upload, so that it is either changed or ended.
func lockUpload(ctx context.Context, tx pgx.Tx, folder uuid.UUID, upload string) error {
	var n int
	err := tx.QueryRow(ctx, "SELECT n FROM file_part WHERE folder = $1 AND upload = $2 AND n = 0 FOR UPDATE", [16]byte(folder), upload).Scan(&n)
	if errors.Is(err, pgx.ErrNoRows) {
		err = adapter.ErrNotFound
	}
	return err
}

// FileParts gives the uploads to folders and their parts, in order.
func (s *Store) FileParts(ctx context.Context, folders []uuid.UUID) ([]adapter.FilePart, error) {
	rows, _ := s.pool.Query(ctx, "SELECT "+partColumns+" FROM file_part WHERE folder = ANY ($1) ORDER BY folder, upload, n", raw(folders))
	return pgx.CollectRows(rows, scanPart)
}

// UploadParts gives one upload and its parts, in order: anybody may have begun
// thousands of others to the same folder.
func (s *Store) UploadParts(ctx context.Context, folder uuid.UUID, upload string) ([]adapter.FilePart, error) {
	rows, _ := s.pool.Query(ctx, "SELECT "+partColumns+" FROM file_part WHERE folder = $1 AND upload = $2 ORDER BY n", [16]byte(folder), upload)
	return pgx.CollectRows(rows, scanPart)
}

const partColumns = "folder, upload, n, owner, blob, size, sha256"

func scanPart(r pgx.CollectableRow) (p adapter.FilePart, err error) {
	var id [16]byte
	var sum []byte
	err = r.Scan(&id, &p.Upload, &p.N, &p.Owner, &p.Blob, &p.Size, &sum)
	p.Folder = id
	copy(p.SHA256[:], sum)
	return p, err
}

// DropParts forgets an upload and gives the blobs of its parts. ErrNotFound says
// that there is none.
func (s *Store) DropParts(ctx context.Context, folder uuid.UUID, upload string) (gone []string, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		gone, err = dropParts(ctx, tx, folder, upload)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("forgetting an upload to file %s: %w", folder, err)
	}
	return gone, nil
}

func dropParts(ctx context.Context, tx pgx.Tx, folder uuid.UUID, upload string) ([]string, error) {
	if err := lockUpload(ctx, tx, folder, upload); err != nil {
		return nil, err
	}
	rows, _ := tx.Query(ctx, "DELETE FROM file_part WHERE folder = $1 AND upload = $2 RETURNING blob", [16]byte(folder), upload)
	blobs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return slices.DeleteFunc(blobs, func(b string) bool { return b == "" }), err
}

// FileUse tells how full the store is, and how much of it an owner has brought
// that no message holds yet.
func (s *Store) FileUse(ctx context.Context, owner string) (u adapter.FileUse, err error) {
	var uploads, parts, ownUploads, ownParts int64
	err = s.pool.QueryRow(ctx, `SELECT
		(SELECT count(*) FROM file), (SELECT coalesce(sum(size), 0)::bigint FROM file WHERE blob <> ''),
		count(*), coalesce(sum(size) FILTER (WHERE blob <> ''), 0)::bigint FROM file f WHERE owner = $1 AND NOT EXISTS (SELECT FROM message_file m WHERE m.file = f.id)`, owner).
		Scan(&u.Files, &u.Bytes, &u.OwnerFiles, &u.OwnerBytes)
	if err == nil {
		err = s.pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE n = 0), coalesce(sum(p.size), 0)::bigint,
			count(*) FILTER (WHERE n = 0 AND owner = $1), coalesce(sum(p.size) FILTER (WHERE owner = $1), 0)::bigint
			FROM file_part p`, owner).Scan(&uploads, &parts, &ownUploads, &ownParts)
	}
	if err != nil {
		return u, fmt.Errorf("adding up the files of the store: %w", err)
	}
	u.Bytes, u.OwnerFiles, u.OwnerBytes = u.Bytes+parts, u.OwnerFiles+ownUploads, u.OwnerBytes+ownParts
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
		var folder, id [16]byte
		var hashed, digest, sum []byte
		err = r.Scan(&hashed, &folder, &id, &f.Owner, &f.Session, &f.Name, &f.Blob, &f.Size, &digest, &sum)
		f.ID, f.Entry, f.Whole = folder, id, len(digest) > 0
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
// taken or that have expired, forgets accounts whose time is over, uploads to which
// nothing has come since abandoned, and files that no message holds: at once those
// that one has held, the others when nobody has touched them since idle. The bytes of what it gives back may be
// removed; a crash before that leaves bytes that no entry names. more says that
// there is more to do at once.
func (s *Store) ReleaseFiles(ctx context.Context, now, idle, abandoned time.Time) (gone []adapter.FileEntry, more bool, err error) {
	if err := s.releaseTaken(ctx, now); err != nil {
		return nil, false, fmt.Errorf("releasing the files of taken messages: %w", err)
	}
	_, err = s.pool.Exec(ctx, `DELETE FROM file_login WHERE name IN (
		SELECT name FROM file_login l WHERE until <= $1 OR NOT EXISTS (SELECT FROM file_awaited a WHERE a.message = l.message AND a.queue = l.queue) LIMIT $2)`, now, sweepRows)
	if err != nil {
		return nil, false, fmt.Errorf("forgetting accounts for files: %w", err)
	}
	parts, err := s.releaseParts(ctx, abandoned)
	if err != nil {
		return nil, false, fmt.Errorf("forgetting abandoned uploads: %w", err)
	}
	rows, _ := s.pool.Query(ctx, `
WITH s AS (
	SELECT id FROM file f WHERE changed < $1 AND NOT EXISTS (SELECT FROM message_file m WHERE m.file = f.id)
	ORDER BY changed LIMIT $2 FOR UPDATE SKIP LOCKED
)
DELETE FROM file f USING s WHERE f.id = s.id RETURNING `+fileColumns, idle, sweepRows)
	gone, err = pgx.CollectRows(rows, scanFile)
	if violates(err, "message_file_file") {
		return parts, false, nil // a message has taken hold of one meanwhile: the next pass sees it
	}
	if err != nil {
		return nil, false, fmt.Errorf("forgetting files: %w", err)
	}
	return append(parts, gone...), len(gone) == sweepRows, nil
}

// releaseParts forgets uploads to which nothing has come for long, and gives the
// blobs of their parts.
func (s *Store) releaseParts(ctx context.Context, abandoned time.Time) (gone []adapter.FileEntry, err error) {
	rows, _ := s.pool.Query(ctx, "SELECT folder, upload FROM file_part GROUP BY folder, upload HAVING max(changed) < $1 LIMIT $2", abandoned, sweepRows)
	uploads, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (p adapter.FilePart, err error) {
		var id [16]byte
		err = r.Scan(&id, &p.Upload)
		p.Folder = id
		return p, err
	})
	for _, u := range uploads {
		blobs, e := s.DropParts(ctx, u.Folder, u.Upload)
		if e != nil && !errors.Is(e, adapter.ErrNotFound) { // another node was quicker
			err = errors.Join(err, e)
		}
		for _, blob := range blobs {
			gone = append(gone, adapter.FileEntry{File: adapter.File{ID: u.Folder}, Blob: blob})
		}
	}
	return gone, err
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
		keep := s.keeps()
		forgotten := keep > 0 && timeOf(p.message).AddDate(0, 0, 2).Before(now.Add(-keep)) // its day was dropped
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
