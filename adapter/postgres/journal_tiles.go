package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"mezhved/adapter/journal"
)

// The tree of the journal, in tiles: those that are kept, and those that are made of
// finished blocks when somebody asks.

// Tile implements journal.TileSource.
func (t *journalTx) Tile(ctx context.Context, level int, n int64, width int) ([]byte, error) {
	return t.j.readTile(ctx, t.tx, level, n, width)
}

// Tile implements journal.TileSource.
func (j *Journal) Tile(ctx context.Context, level int, n int64, width int) ([]byte, error) {
	return j.readTile(ctx, j.pool, level, n, width)
}

func (j *Journal) readTile(ctx context.Context, q querier, level int, n int64, width int) ([]byte, error) {
	if level == journal.EntriesLevel {
		return readEntries(ctx, q, n, width)
	}
	// A tile that has just been finished may stand in both: the longer one is it.
	const tileSQL = `SELECT data, NULL::bytea AS leaves, octet_length(data) AS size FROM journal_tile WHERE level = $1 AND n = $2
		UNION ALL SELECT data, NULL, octet_length(data) FROM journal_edge WHERE level = $1 AND n = $2`
	const longest = " ORDER BY size DESC LIMIT 1"
	var data, leaves []byte
	var size int
	var row pgx.Row
	made := j.tiles.get(n)
	if level == 0 {
		// In one statement: the archive keeps the tile and takes the block. A tile that is
		// kept spares the leaves; so does one that was made of the same ones before.
		row = q.QueryRow(ctx, tileSQL+" UNION ALL SELECT NULL, CASE WHEN sha256(leaves) = $5 THEN '' ELSE leaves END, $4::int - 1 FROM journal_block WHERE first = $3"+longest,
			level, n, n*blockSize, journal.TileWidth*tlog.HashSize, made.of)
	} else {
		row = q.QueryRow(ctx, tileSQL+longest, level, n)
	}
	err := row.Scan(&data, &leaves, &size)
	if err == nil && leaves != nil && len(leaves) == 0 {
		return slices.Clone(made.hashes), nil
	}
	if err == nil && leaves != nil {
		b, err := unpackBlock(n*blockSize, blockSize, leaves)
		if err != nil {
			return nil, err
		}
		data = hashesOf(b.leaves)
		of := sha256.Sum256(leaves)
		j.tiles.put(n, madeTile{of[:], slices.Clone(data)})
		return data, nil
	}
	if errors.Is(err, pgx.ErrNoRows) || err == nil && len(data) < width*tlog.HashSize {
		return nil, fs.ErrNotExist
	}
	return data, err
}

// madeTiles are tiles of level 0 that were made of finished blocks lately: kept, such tiles
// would be nearly all of the tree; made, one takes many times what reading it would, and
// who proves the entries of a message, or mirrors the log beside others, asks for the same
// ones. They are believed as long as the database has the leaves that they were made of: it
// may have been put back to before, or changed. The zero value is ready.
type madeTiles struct {
	mu    sync.Mutex
	tiles map[int64]madeTile
	ring  [128]int64 // a megabyte of them, in the order in which they came
	next  int
}

// madeTile is a tile, and the digest of the leaves that it was made of, as they are kept.
// Neither is changed.
type madeTile struct{ of, hashes []byte }

func (m *madeTiles) get(n int64) madeTile {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tiles[n]
}

func (m *madeTiles) put(n int64, tile madeTile) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tiles == nil {
		m.tiles = map[int64]madeTile{}
	}
	_, known := m.tiles[n]
	if m.tiles[n] = tile; known {
		return
	}
	if len(m.tiles) > len(m.ring) {
		delete(m.tiles, m.ring[m.next])
	}
	m.ring[m.next], m.next = n, (m.next+1)%len(m.ring)
}

func hashesOf(leaves [][]byte) []byte {
	data := make([]byte, 0, len(leaves)*tlog.HashSize)
	for _, leaf := range leaves {
		h := journal.LeafHash(leaf)
		data = append(data, h[:]...)
	}
	return data
}

func readEntries(ctx context.Context, q querier, n int64, width int) ([]byte, error) {
	first := n * journal.TileWidth
	end := first + int64(width)
	var out, leaf []byte
	var index int64
	next := first
	add := func(index int64, leaf []byte) error {
		if index != next {
			return fmt.Errorf("entry %d is not there: %w", next, fs.ErrNotExist)
		}
		next++
		out = journal.AppendEntry(out, leaf)
		return nil
	}
	rows, _ := q.Query(ctx, "SELECT idx, leaf FROM journal_entry WHERE idx >= $1 AND idx < $2 ORDER BY idx", first, end)
	_, err := pgx.ForEachRow(rows, []any{&index, &leaf}, func() error { return add(index, leaf) })
	if err == nil && next == first {
		err = readBlocks(ctx, q, first, end, func(b *block) error {
			for i, to := b.within(first, end); i < to; i++ {
				if err := add(i, b.leaves[i-b.first]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err == nil && next != end {
		err = fs.ErrNotExist
	}
	return out, err
}

// queueTiles writes finished tiles, once and for ever, and the edge.
func queueTiles(add func(int64, string, ...any), tiles []journal.Tile) {
	type columns struct {
		levels []int16
		ns     []int64
		data   [][]byte
	}
	var full, edge columns
	for _, t := range tiles {
		c := &edge
		if t.Width() == journal.TileWidth {
			c = &full
		}
		c.levels, c.ns, c.data = append(c.levels, int16(t.Level)), append(c.ns, t.N), append(c.data, t.Data)
	}
	const values = " SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])"
	if n := int64(len(full.ns)); n > 0 {
		add(n, "INSERT INTO journal_tile (level, n, data)"+values, full.levels, full.ns, full.data)
	}
	if n := int64(len(edge.ns)); n > 0 {
		add(n, "INSERT INTO journal_edge (level, n, data)"+values+" ON CONFLICT (level) DO UPDATE SET n = excluded.n, data = excluded.data", edge.levels, edge.ns, edge.data)
	}
}
