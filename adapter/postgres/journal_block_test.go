package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/party"
	"mezhved/adapter/postgres"
)

// A log goes from rows to blocks when its time has come, between two blocks. A node of
// the release before, which adds rows, is kept from it from then on, and this one goes
// on after it.
func TestBlocksBeginWhenTheirTimeHasCome(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	events := journaltest.Events(51, 1200)
	count := func(want string) {
		t.Helper()
		var have string
		a.must(a.pool.QueryRow(ctx, `SELECT format('%s rows, %s blocks, %s entries in pieces, blocks from %s', (SELECT count(*) FROM journal_entry), (SELECT count(*) FROM journal_block),
			(SELECT coalesce(sum(entries), 0) FROM journal_piece), coalesce(blocks::text, '-')) FROM journal_head`).Scan(&have))
		if have != want {
			t.Errorf("%s, want %s", have, want)
		}
	}
	a.rows()
	a.fill(events[:300])
	count("300 rows, 0 blocks, 0 entries in pieces, blocks from -")
	older := func(index int) error {
		_, err := a.pool.Exec(ctx, `INSERT INTO journal_entry (idx, logged, kind, message, message_id, original, sender, recipient, service, version, outcome, incident, certificate, leaf)
			SELECT $1, logged, kind, message, message_id, original, sender, recipient, service, version, outcome, incident, certificate, leaf FROM journal_entry WHERE idx = 0`, index)
		return err
	}
	a.blocks()
	a.fill(events[300:310]) // rows still: the block has begun with rows
	count("310 rows, 0 blocks, 0 entries in pieces, blocks from 512")
	a.fill(events[310:520]) // over the border in one batch
	count("512 rows, 0 blocks, 8 entries in pieces, blocks from 512")
	if err := older(512); err == nil || !strings.Contains(err.Error(), "kept in blocks") {
		t.Errorf("a row behind the first block: %v", err)
	}
	a.fill(events[520:530])
	count("512 rows, 0 blocks, 18 entries in pieces, blocks from 512")
	a.fill(events[530:])
	count("512 rows, 2 blocks, 176 entries in pieces, blocks from 512")
	// It would bring the totals up to the log's size before it archives rows.
	if _, err := a.pool.Exec(ctx, "UPDATE journal_head SET tallied = size"); err == nil || !strings.Contains(err.Error(), "too old to count them") {
		t.Errorf("totals by a node that does not read blocks: %v", err)
	}
	// What such a node has left, when nobody kept it from it.
	_, err := a.pool.Exec(ctx, "ALTER TABLE journal_head DISABLE TRIGGER journal_totals_closed; UPDATE journal_head SET tallied = size; ALTER TABLE journal_head ENABLE TRIGGER journal_totals_closed")
	a.must(err)
	if findings, err := a.Examine(ctx); err != nil || len(findings) == 0 {
		t.Errorf("totals without entries of blocks: found %v, %v", findings, err)
	}
	a.must(a.Recount(ctx))
	a.check(t, events)
	if findings, err := a.Examine(ctx); err != nil || findings != nil {
		t.Errorf("%v, %v", findings, err)
	}
	// Whoever reads by message finds both ends of one that began as rows, and the
	// next entry names the one before it.
	chained := 0
	for _, row := range a.everything() {
		if l := row.Leaf; l.Prev != journal.NoEntry && l.Prev < 512 && row.Index >= 512 {
			chained++
			whole, err := a.Trace(ctx, l.Message)
			a.must(err)
			if whole[0].Leaf.Kind != journal.KindAccepted || whole[0].Index >= 512 {
				t.Errorf("the trace of %s begins with %s at %d", l.Message, whole[0].Leaf.Kind, whole[0].Index)
			}
		}
	}
	if chained == 0 {
		t.Error("no message began as rows and went on in blocks")
	}
}

// Daily totals are brought up by a batch that finishes a block: entries that stood in
// pieces until then are counted, too.
func TestTotalsCountWhatPiecesBecome(t *testing.T) {
	defer postgres.TallyEvery(512)()
	ctx := context.Background()
	a := openArchive(t)
	events := journaltest.Events(59, 2300)
	for step, n := range []int{255, 1, 1, 300, 455, 11, 1, 1, 100, 398, 1, 500, 30, 246} { // over 512, 1024, 1536 and 2048 from pieces, and to them
		if a.rows(); step > 2 {
			a.blocks()
		}
		a.fill(events[:n])
		events = events[n:]
		if findings, err := a.Examine(ctx); err != nil || findings != nil {
			t.Fatalf("step %d: %v, %v", step, findings, err)
		}
	}
	var tallied int64
	a.must(a.pool.QueryRow(ctx, "SELECT tallied FROM journal_head").Scan(&tallied))
	if tallied < 2048 {
		t.Errorf("the totals know %d entries", tallied)
	}
}

// Whoever follows the log in steps of any size gets each entry once and in order, rows,
// blocks and pieces.
func TestTheLogIsReadInStepsOfAnySize(t *testing.T) {
	ctx := context.Background()
	r := journaltest.Random(t)
	for range 2 {
		a := openArchive(t)
		events := journaltest.Events(60, 1700)
		if r.IntN(3) > 0 {
			a.rows()
		}
		for begins := r.IntN(len(events)); len(events) > 0; {
			if len(events) < begins {
				a.blocks()
			}
			n := min([]int{1, 1 + r.IntN(20), 255, 256, 257, 1 + r.IntN(700)}[r.IntN(6)], len(events))
			a.fill(events[:n])
			events = events[n:]
		}
		all := a.everything()
		step := func(from, max int) int {
			t.Helper()
			indexes, leaves, err := postgres.Stretch(ctx, a.pool, int64(from), max)
			a.must(err)
			if len(indexes) > max || len(indexes) == 0 {
				t.Fatalf("%d entries from %d of %d on, at most %d", len(indexes), from, len(all), max)
			}
			for i, index := range indexes {
				if index != int64(from+i) || !bytes.Equal(leaves[i], all[from+i].Bytes) {
					t.Fatalf("entry %d is read in place of %d, from %d on, at most %d", index, from+i, from, max)
				}
			}
			return len(indexes)
		}
		for range 60 {
			step(r.IntN(len(all)), []int{1, 2, 255, 256, 257, 512, 1000, 1 + r.IntN(2000)}[r.IntN(8)])
		}
		for at := 0; at < len(all); {
			at += step(at, 1+r.IntN(600))
		}
		if indexes, _, err := postgres.Stretch(ctx, a.pool, int64(len(all)), 10); err != nil || len(indexes) > 0 {
			t.Errorf("behind the end there are %v, %v", indexes, err)
		}
	}
}

// The latest entries of messages are found in blocks by a sequencer that has just
// begun, whichever batches brought them.
func TestChainsGoOnAfterARestart(t *testing.T) {
	a := openArchive(t)
	events := journaltest.Events(52, 1500)
	last, checked := map[string]int64{}, 0
	for i := 0; i < len(events); i += 75 {
		a.fill(events[i : i+75]) // each with a sequencer that remembers nothing
	}
	for _, row := range a.everything() {
		if l := row.Leaf; l.Message != "" {
			if prev, ok := last[l.Message]; ok {
				checked++
				if l.Prev != prev {
					t.Fatalf("entry %d of %s names %d as the one before it, want %d", row.Index, l.Message, l.Prev, prev)
				}
			}
			last[l.Message] = row.Index
		}
	}
	if checked < 500 {
		t.Errorf("only %d entries are not the first of their messages", checked)
	}
}

// What somebody does to blocks past their triggers is found: to their leaves by an
// audit, to what they are found by by the examination.
func TestTamperingWithBlocks(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	a.fill(journaltest.Events(53, 400))
	a.fill(journaltest.Events(54, 300))
	checkpoint := a.Desk.Checkpoint(a.Journal).Note
	for _, sql := range []string{"UPDATE journal_block SET leaves = ''", "DELETE FROM journal_block"} {
		if _, err := a.pool.Exec(ctx, sql); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	_, err := a.pool.Exec(ctx, `ALTER TABLE journal_block DISABLE TRIGGER USER; ALTER TABLE journal_block_0 DISABLE TRIGGER USER;
		CREATE TABLE b_block AS TABLE journal_block; CREATE TABLE b_piece AS TABLE journal_piece`)
	a.must(err)
	rewrite := func(table string, first int64, change func([][]byte) [][]byte) func() error {
		return func() error { return postgres.RewriteBlock(ctx, a.pool, table, first, change) }
	}
	run := func(sql string) func() error {
		return func() error { _, err := a.pool.Exec(ctx, sql); return err }
	}
	other := func(leaves [][]byte) [][]byte {
		leaves[7] = bytes.Replace(leaves[7], []byte(`"sender":"MUNI`), []byte(`"sender":"MUNX`), 1)
		return leaves
	}
	swapped := func(leaves [][]byte) [][]byte {
		leaves[3], leaves[4] = leaves[4], leaves[3]
		return leaves
	}
	for name, c := range map[string]struct {
		do    func() error
		audit bool // found by an audit from outside
	}{
		"nothing":                {rewrite("journal_block", 0, func(l [][]byte) [][]byte { return l }), false},
		"another sender":         {rewrite("journal_block", 256, other), true},
		"another sender, piece":  {rewrite("journal_piece", 512, other), true},
		"two swapped":            {rewrite("journal_block", 0, swapped), true},
		"two swapped, piece":     {rewrite("journal_piece", 512, swapped), true},
		"one less":               {rewrite("journal_piece", 512, func(l [][]byte) [][]byte { return l[:len(l)-1] }), true},
		"a byte of the frame":    {run("UPDATE journal_block SET leaves = set_byte(leaves, 500, get_byte(leaves, 500) # 1) WHERE first = 0"), true},
		"a block gone":           {run("DELETE FROM journal_block WHERE first = 256"), true},
		"a piece gone":           {run("DELETE FROM journal_piece"), true},
		"blocks swapped":         {run("UPDATE journal_block b SET leaves = o.leaves FROM b_block o WHERE o.first = 256 - b.first"), true},
		"a key gone":             {run("UPDATE journal_block SET keys = keys[2:] WHERE first = 256"), false},
		"a key more":             {run("UPDATE journal_block SET keys = keys || 1::bigint WHERE first = 256"), false},
		"another time":           {run("UPDATE journal_block SET logged[9] = logged[9] - interval '1 s' WHERE first = 0"), false},
		"another time, piece":    {run("UPDATE journal_piece SET logged[9] = logged[9] - interval '1 s'"), false},
		"another's columns":      {run("UPDATE journal_block b SET columns = o.columns FROM b_block o WHERE o.first = 256 - b.first"), false},
		"a number that is wrong": {run("UPDATE journal_block SET entries = 255 WHERE first = 0"), true},
	} {
		a.must(c.do())
		rep := a.Audit(a.Journal, checkpoint)
		findings, err := a.Examine(ctx)
		a.must(err)
		switch {
		case rep.OK() == c.audit:
			t.Errorf("%s: the audit says %t, %v", name, rep.OK(), rep.Recount.Findings)
		case name == "nothing" && findings != nil:
			t.Errorf("%s: the examination says %v", name, findings)
		case name != "nothing" && findings == nil && !c.audit:
			t.Errorf("%s: not found", name)
		}
		_, err = a.pool.Exec(ctx, "TRUNCATE journal_block, journal_piece; INSERT INTO journal_block TABLE b_block; INSERT INTO journal_piece TABLE b_piece")
		a.must(err)
	}
	if findings, err := a.Examine(ctx); err != nil || findings != nil || !a.Audit(a.Journal, checkpoint).OK() {
		t.Fatalf("all undone, and yet %v, %v", findings, err)
	}
	// Pieces that are not whole are not taken into a block.
	_, err = a.pool.Exec(ctx, "DELETE FROM journal_piece")
	a.must(err)
	a.must(a.Append(ctx, journaltest.Events(55, 100)...))
	if _, err := a.Sequencer(a.Journal).Step(ctx); err == nil || !strings.Contains(err.Error(), "stand in pieces") {
		t.Errorf("a block was made of pieces that were not there: %v", err)
	}
}

// Entries that somebody has put beside the log's are found by the examination: an audit
// reads those that the tree commits to, and searches would show both.
func TestEntriesBesideTheLogAreFound(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	a.rows()
	a.fill(journaltest.Events(61, 300))
	a.blocks()
	a.fill(journaltest.Events(62, 1000)) // rows up to 512, blocks up to 1280, pieces
	_, err := a.pool.Exec(ctx, `ALTER TABLE journal_block DISABLE TRIGGER USER; ALTER TABLE journal_block_0 DISABLE TRIGGER USER;
		ALTER TABLE journal_entry DISABLE TRIGGER USER; ALTER TABLE journal_entry_0 DISABLE TRIGGER USER;
		CREATE TABLE b_block AS TABLE journal_block; CREATE TABLE b_piece AS TABLE journal_piece; CREATE TABLE b_entry AS TABLE journal_entry`)
	a.must(err)
	const (
		block = "INSERT INTO journal_block SELECT %d, entries, logged, keys, columns, leaves FROM b_block WHERE first = 512"
		piece = "INSERT INTO journal_piece SELECT %d, entries, logged, leaves FROM b_piece LIMIT 1"
		row   = `INSERT INTO journal_entry SELECT (jsonb_populate_record(e, '{"idx": %d}')).* FROM b_entry e WHERE idx = 20`
	)
	for name, sql := range map[string]string{
		"":                            "SELECT 1",
		"a block over rows":           fmt.Sprintf(block, 0),
		"a block behind the log":      fmt.Sprintf(block, 1536),
		"a piece over rows":           fmt.Sprintf(piece, 0),
		"a piece over rows, inside":   fmt.Sprintf(piece, 300),
		"a piece over a block":        fmt.Sprintf(piece, 600),
		"a piece behind the log":      fmt.Sprintf(piece, 1300),
		"a piece before the log":      fmt.Sprintf(piece, -300),
		"a piece over the first":      fmt.Sprintf(piece, -5),
		"a row over a block":          fmt.Sprintf(row, 600),
		"a row behind the log":        fmt.Sprintf(row, 1300),
		"no mark where blocks begin":  "UPDATE journal_head SET blocks = NULL",
		"the mark too far in front":   "UPDATE journal_head SET blocks = 256",
		"the mark too far behind":     "UPDATE journal_head SET blocks = 1024",
		"half a block, as it were":    "UPDATE journal_block SET first = 640 WHERE first = 512",
		"a block in the wrong number": "DELETE FROM journal_block WHERE first = 768; UPDATE journal_block SET first = 768 WHERE first = 512",
	} {
		_, err := a.pool.Exec(ctx, sql)
		a.must(err)
		if findings, err := a.Examine(ctx); err != nil || (findings == nil) != (name == "") {
			t.Errorf("%s: %v, %v", name, findings, err)
		}
		_, err = a.pool.Exec(ctx, `UPDATE journal_head SET blocks = 512; TRUNCATE journal_block, journal_piece, journal_entry;
			INSERT INTO journal_block TABLE b_block; INSERT INTO journal_piece TABLE b_piece; INSERT INTO journal_entry TABLE b_entry`)
		a.must(err)
	}
}

// The archive takes a block while its tile is read: the tile is there before and after, so
// whoever reads is given it, by one statement. No reader can change what is remembered.
func TestATileIsThereWhileItsBlockGoesToTheArchive(t *testing.T) {
	ctx := context.Background()
	for _, at := range []int{2, 3} {
		a := openArchive(t)
		postgres.KeepTiles(a.Journal, false)
		a.fill(journaltest.Events(73, 600))
		want, err := a.Journal.Tile(ctx, 0, 0, journal.TileWidth)
		a.must(err)
		statements := -100 // while the node starts
		j, _ := a.node(t, before{"SELECT data,", func() {
			if statements++; statements == at {
				_, err := a.pool.Exec(ctx, "INSERT INTO journal_tile (level, n, data) VALUES (0, 0, $1)", want)
				a.must(err)
				_, err = a.pool.Exec(ctx, "DROP TABLE journal_block_0")
				a.must(err)
			}
		}})
		statements = 0
		for range 4 {
			got, err := j.Tile(ctx, 0, 0, journal.TileWidth)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("the block goes before statement %d: %x, %v; want the tile", at, got, err)
			}
			got[0]++
		}
		if statements != 4 {
			t.Errorf("%d statements for four tiles, want one for each", statements)
		}
	}
}

// before runs something when a statement that begins with sql begins.
type before struct {
	sql string
	do  func()
}

func (b before) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	if strings.HasPrefix(d.SQL, b.sql) {
		b.do()
	}
	return ctx
}

func (before) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// The archive takes blocks while somebody searches: he is given what is left.
func TestBlocksGoToTheArchiveUnderASearch(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	a.fill(journaltest.Events(63, 600))
	j, _ := a.node(t, before{"SELECT first, entries, leaves FROM journal_block WHERE first = ANY ($1)", func() {
		_, err := a.pool.Exec(ctx, "DROP TABLE IF EXISTS journal_block_0")
		a.must(err)
	}})
	rows, err := j.Search(ctx, postgres.Query{Limit: 1000})
	if err != nil || len(rows) != 88 {
		t.Errorf("%d entries, %v; want the 88 that are in pieces", len(rows), err)
	}
}

// What blocks take in the database: of a log of five entries a message.
func TestBlocksAreSmall(t *testing.T) {
	ctx := context.Background()
	size := func(form string, fill func(*archive)) int64 {
		a := openArchive(t)
		fill(a)
		a.fill(journaltest.Events(56, 5_120))
		var n int64
		a.must(a.pool.QueryRow(ctx, `SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c WHERE relkind = 'r' AND relname ~ '^journal_(entry|block|piece)'`).Scan(&n))
		t.Logf("%s: %d bytes an entry", form, n/5_120)
		return n
	}
	rows, blocks := size("rows", (*archive).rows), size("blocks", (*archive).blocks)
	if blocks*3 > rows {
		t.Errorf("blocks take %d bytes, rows %d", blocks, rows)
	}
}

// Values behind the entries of one batch stand together, and yet each goes alone, also
// when many go at once.
func TestValuesThatStandTogetherGoAlone(t *testing.T) {
	for _, boxes := range []bool{false, true} {
		t.Run(map[bool]string{false: "sealed together", true: "each in a box"}[boxes], func(t *testing.T) { valuesGoAlone(t, boxes) })
	}
}

func valuesGoAlone(t *testing.T, boxes bool) {
	ctx := context.Background()
	a := openArchive(t)
	postgres.Boxes(a.Journal, boxes)
	a.fill(journaltest.Events(58, 120))
	var rows int
	a.must(a.pool.QueryRow(ctx, "SELECT count(*) FROM journal_opening").Scan(&rows))
	var with []int64
	before := map[int64]int{}
	for _, row := range a.everything() {
		open, err := a.Openings(ctx, row.Index)
		a.must(err)
		before[row.Index] = len(open)
		if row.Leaf.Kind == journal.KindAccepted {
			with = append(with, row.Index)
		}
	}
	if rows > 4 || len(with) < 20 {
		t.Fatalf("%d rows of values, behind %d messages", rows, len(with))
	}
	var all sync.WaitGroup
	for _, index := range with {
		all.Go(func() {
			if gone, err := a.Erase(ctx, index, []string{"snils", "never"}, "152-FZ", "registrar", a.Clock.Now()); err != nil || len(gone) != 1 {
				t.Errorf("entry %d: %v went, %v", index, gone, err)
			}
		})
	}
	all.Wait()
	for index, n := range before {
		open, err := a.Openings(ctx, index)
		a.must(err)
		want := n
		if slices.Contains(with, index) {
			want--
		}
		if len(open) != want || slices.ContainsFunc(open, func(o journal.Opening) bool { return o.Field == "snils" }) {
			t.Errorf("entry %d has %d values, want %d", index, len(open), want)
		}
	}
	if gone, err := a.Erase(ctx, with[0], []string{"snils"}, "152-FZ", "registrar", a.Clock.Now()); err != nil || gone != nil {
		t.Errorf("erased again: %v, %v", gone, err)
	}
}

// The log's topic is made anew while a batch for it is read: what the new topic is to
// have is not passed over.
func TestATopicThatIsMadeAnewWhileTheLogIsRead(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	desk := journaltest.NewDesk(t)
	book, pool, err := postgres.OpenTracedJournal(ctx, w.url, journaltest.Origin, desk.Vault, nil)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	t.Cleanup(pool.Close)
	_, err = pool.Exec(ctx, "UPDATE journal_head SET blocks_since = 'infinity'")
	must(err)
	must(book.Append(ctx, journaltest.Events(64, 300)...))
	must(desk.Settle(desk.Sequencer(book)))
	publish := func(context.Context, []adapter.LogEntry) error { return nil }
	_, err = w.Refeed(ctx, "one")
	must(err)
	for range 3 {
		_, err = w.Feed(ctx, 50, publish)
		must(err)
	}
	release := w.block("LOCK TABLE journal_block IN ACCESS EXCLUSIVE MODE")
	fed := make(chan error)
	go func() {
		_, err := w.Feed(ctx, 50, publish)
		fed <- err
	}()
	for waits := false; !waits; {
		must(pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'journal_block'::regclass)").Scan(&waits))
	}
	again, err := w.Refeed(ctx, "two")
	must(err)
	release()
	must(<-fed)
	if next := w.count("SELECT next FROM journal_feed"); !again || next > 50 {
		t.Errorf("made anew %t, and the feed goes on at %d", again, next)
	}
}

// Tiles of level 0 are made of the leaves in blocks, as whoever audits reads them. While
// nodes of the release before may run, which read journal_tile alone, they are kept.
func TestTilesOfLeavesAreMadeOfThem(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	kept := func(want int) {
		t.Helper()
		var n int
		a.must(a.pool.QueryRow(ctx, "SELECT count(*) FROM journal_tile WHERE level = 0").Scan(&n))
		if n != want {
			t.Errorf("%d tiles of level 0 are kept, want %d", n, want)
		}
	}
	postgres.KeepTiles(a.Journal, true)
	a.fill(journaltest.Events(71, 400))
	kept(1)
	postgres.KeepTiles(a.Journal, false)
	a.fill(journaltest.Events(72, 900))
	kept(1)
	c := a.Desk.Checkpoint(a.Journal)
	if rep := a.Audit(a.Journal, c.Note); !rep.OK() {
		t.Errorf("an audit from outside: %v", rep.Recount.Findings)
	}
	for _, index := range []int64{10, 300, c.Tree.N - 1} {
		row, err := a.Journal.Entry(ctx, index)
		a.must(err)
		proof, err := journal.NewProver(ctx, c.Tree, a.Journal).Inclusion(index)
		a.must(err)
		a.must(journal.CheckInclusion(c.Tree, index, row.Bytes, proof))
	}
	if _, err := a.Journal.Tile(ctx, 0, 5, journal.TileWidth); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a tile that is not finished: %v", err)
	}
}

// MessageIDs that bear their time are keys that begin with it, those of a minute within a
// sixtieth of an hour's: they touch few pages of the index. What nodes of before wrote by
// digests alone, and ids without a time, are found as before, and all is examined.
func TestKeysOfMessageIDsBeginWithTheirTime(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	made := map[string]int{} // entries by MessageID
	fill := func(seed uint64, id func(at time.Time) string) {
		events := journaltest.Events(seed, 300)
		ids := map[string]string{}
		for i := range events {
			e := &events[i]
			if e.MessageID == "" {
				continue
			}
			if ids[e.MessageID] == "" {
				ids[e.MessageID] = id(e.Time)
			}
			if e.MessageID = ids[e.MessageID]; e.Kind == journal.KindAccepted {
				made[e.MessageID]++
			}
		}
		a.fill(events)
	}
	timed := func(at time.Time) string { return party.NewMessageID(at) }
	postgres.PlainKeys(a.Journal, true)
	fill(81, timed)
	postgres.PlainKeys(a.Journal, false)
	fill(82, timed)
	fill(83, func(time.Time) string { return uuid.NewString() })
	for id, n := range made {
		rows, err := a.Search(ctx, postgres.Query{ID: id, Kind: journal.KindAccepted})
		a.must(err)
		if len(rows) != n || rows[0].Leaf.MessageID != id {
			t.Fatalf("%s is found in %d entries, want %d", id, len(rows), n)
		}
	}
	if len(made) < 100 {
		t.Fatalf("only %d messages were made", len(made))
	}
	findings, err := a.Examine(ctx)
	a.must(err)
	if findings != nil {
		t.Errorf("the examination says %v", findings)
	}
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for _, of := range []string{"message_id", "original"} {
		first, last := postgres.TimedKey(of, timed(at)), postgres.TimedKey(of, timed(at.Add(time.Minute)))
		if last <= first || last-first > 61<<32 || postgres.TimedKey(of, timed(at.Add(time.Hour))) < last {
			t.Errorf("keys of %s a minute apart: %x and %x", of, first, last)
		}
	}
}
