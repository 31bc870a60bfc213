package postgres_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"mezhved/adapter"
	"mezhved/adapter/embedded"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
	"mezhved/adapter/vault"
)

// benchJournal is a sequencer with the real clock over a store's database.
func benchJournal(b testing.TB, s *postgres.Store) (*postgres.Journal, *clerk.Sequencer) {
	b.Helper()
	d := journaltest.NewDesk(b)
	keys, err := vault.Open(d.Dir, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	j, err := s.Journal(context.Background(), journaltest.Origin, keys)
	if err != nil {
		b.Fatal(err)
	}
	seq := d.Sequencer(j)
	seq.Vault, seq.Now, seq.Batch, seq.Tick, seq.Publish = keys, time.Now, 0, 0, 0
	return j, seq
}

// What a gateway accepts stands in the log, and what its store has written by
// itself can be expressed: nothing becomes an unknown entry.
func TestAcceptedMessagesReachTheLog(t *testing.T) {
	ctx := context.Background()
	w := open(t)
	j, seq := benchJournal(t, w.Store)
	const n = 20
	for i := range n {
		m := benchMessage(i % 3)
		if _, err := w.Store.Accept(ctx, m, benchEvents(m)); err != nil {
			t.Fatal(err)
		}
	}
	run, stop := context.WithCancel(ctx)
	stop()
	if err := seq.Run(run); err != nil {
		t.Fatal(err)
	}
	if err := seq.Writable(); err != nil {
		t.Fatal(err)
	}
	count, err := j.Count(ctx, postgres.Query{Kind: journal.KindAccepted})
	if err != nil || count != n {
		t.Errorf("%d accepted entries, %v; want %d", count, err, n)
	}
	if count, err := j.Count(ctx, postgres.Query{Kind: journal.KindUnknown}); err != nil || count != 0 {
		t.Errorf("%d entries could not be expressed, %v", count, err)
	}
}

// Who follows the log on the node that gives entries their places gets what the log has,
// whether it is remembered or read; and nothing of a log that is not the database's any more.
func TestWhoFollowsTheLogGetsWhatItHas(t *testing.T) {
	ctx := context.Background()
	w := open(t)
	pool, err := pgxpool.New(ctx, w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	_, seq := benchJournal(t, w.Store)
	accept := func(n int) {
		t.Helper()
		for i := range n {
			m := benchMessage(i % 3)
			if _, err := w.Store.Accept(ctx, m, benchEvents(m)); err != nil {
				t.Fatal(err)
			}
		}
		if taken, err := seq.Step(ctx); taken != n || err != nil {
			t.Fatalf("%d of %d events have their place, %v", taken, n, err)
		}
	}
	fed := 0
	follow := func(want int) {
		t.Helper()
		n, err := w.Feed(ctx, 100, func(_ context.Context, entries []adapter.LogEntry) error {
			_, leaves, err := postgres.Stretch(ctx, pool, int64(fed), 100)
			for i, e := range entries {
				if l, err := journal.ParseLeaf(e.Leaf); err != nil || e.Index != int64(fed+i) || e.Message != l.Message || e.Kind != string(l.Kind) || string(e.Leaf) != string(leaves[i]) {
					t.Errorf("entry %d is told as %d, %s of %s, %v", fed+i, e.Index, e.Kind, e.Message, err)
				}
			}
			return err
		})
		if fed += n; n != want || err != nil {
			t.Errorf("%d entries are fed, %v; want %d", n, err, want)
		}
	}
	accept(30)
	accept(50)
	if !postgres.Remembered(w.Store, 0) {
		t.Error("nothing of what has just been written is remembered")
	}
	follow(80)
	follow(0)
	tables := []string{"journal_head", "journal_piece", "journal_edge", "journal_opening"}
	for _, table := range tables {
		w.exec(fmt.Sprintf("CREATE TABLE b_%s AS TABLE %[1]s", table))
	}
	accept(20)
	for _, table := range tables {
		w.exec(fmt.Sprintf("TRUNCATE %s; INSERT INTO %[1]s TABLE b_%[1]s", table))
	}
	follow(0) // the database was put back
	accept(20)
	follow(20)
	accept(300)
	for range 3 {
		follow(100)
	}
}

// BenchmarkJournalShare accepts with the sequencer off and on, turn by turn in
// one run, and reports what the sequencer costs; and how long an event waits for
// its place.
func BenchmarkJournalShare(b *testing.B) {
	s := benchStore(b, 2)
	j, seq := benchJournal(b, s)
	ctx := context.Background()
	const turns, each, callers = 6, 4000, 64
	var rate [2]float64
	var used [2]time.Duration
	for range b.N {
		for turn := range turns {
			on := turn % 2
			messages := make([]*adapter.Message, each)
			for i := range messages {
				messages[i] = benchMessage(i % 8)
			}
			run, stop := context.WithCancel(ctx)
			done := make(chan struct{})
			go func() {
				defer close(done)
				if on == 1 {
					seq.Run(run)
				}
			}()
			var next atomic.Int64
			var all sync.WaitGroup
			start, before := time.Now(), busy(b, j)
			for range callers {
				all.Go(func() {
					for i := next.Add(1) - 1; i < each; i = next.Add(1) - 1 {
						if _, err := s.Accept(ctx, messages[i], benchEvents(messages[i])); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			rate[on] += each / time.Since(start).Seconds() / (turns / 2)
			stop()
			<-done // the rest is taken up: it is part of the cost
			used[on] += busy(b, j) - before
			if on == 0 { // the rows of this turn must not burden the next
				ended, cancel := context.WithCancel(ctx)
				cancel()
				seq.Run(ended)
			}
		}
	}
	off, on := rate[0]/float64(b.N), rate[1]/float64(b.N)
	b.ReportMetric(off, "accepts/s-off")
	b.ReportMetric(on, "accepts/s-on")
	b.ReportMetric(100*(1-on/off), "%-lost")
	// On a machine that others use, processor time is the honest share.
	b.ReportMetric(100*(1-used[0].Seconds()/used[1].Seconds()), "%-cpu")
	b.ReportMetric(float64(fsync(b).Microseconds())/1000, "fsync-ms")

	// From accept to the tree, at a moderate rate.
	run, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); seq.Run(run) }()
	at := map[string]time.Time{}
	for i := range 1000 {
		m := benchMessage(i % 8)
		if _, err := s.Accept(ctx, m, benchEvents(m)); err != nil {
			b.Fatal(err)
		}
		at[m.ID.String()] = time.Now()
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Second)
	stop()
	<-done
	var waits []time.Duration
	for id, accepted := range at {
		rows, err := j.Trace(ctx, id)
		if err != nil || len(rows) == 0 {
			b.Fatal(err, len(rows))
		}
		waits = append(waits, rows[0].Leaf.Logged.Sub(accepted))
	}
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1000, "place-p99-ms")
}

// busy is the processor time used so far by this process and by the server.
func busy(b *testing.B, j *postgres.Journal) time.Duration {
	b.Helper()
	pid, err := postgres.ServerPID(j)
	if err != nil {
		b.Fatal(err)
	}
	ticks := int64(0)
	count := func(pid string, children bool) {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			return // it has ended meanwhile
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		f := strings.Fields(rest) // from field 3 of proc(5) on
		for i, name := range []int{14, 15, 16, 17} {
			if n, err := strconv.ParseInt(f[name-3], 10, 64); err == nil && (i < 2 || children) {
				ticks += n
			}
		}
	}
	count(strconv.Itoa(pid), true)
	count("self", false)
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		b.Fatal(err)
	}
	for _, list := range lists {
		children, err := os.ReadFile(list)
		if err != nil {
			b.Fatal(err)
		}
		for _, child := range strings.Fields(string(children)) {
			count(child, false)
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// BenchmarkJournalSequence is the sequencer alone: rows that wait, to entries; and
// what processor time an entry costs here and in the server.
func BenchmarkJournalSequence(b *testing.B) {
	for _, size := range []int{1024, 8192} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s := benchStore(b, 1)
			j, seq := benchJournal(b, s)
			seq.Batch = size
			ctx := context.Background()
			events := journaltest.Events(1, 40_000)
			n := 0
			var all, here time.Duration
			for b.Loop() {
				b.StopTimer()
				for i := 0; i < len(events); i += 1000 {
					if err := j.Append(ctx, events[i:i+1000]...); err != nil {
						b.Fatal(err)
					}
				}
				allBefore, hereBefore := busy(b, j), own(b)
				b.StartTimer()
				for more := 1; more > 0; n += more {
					var err error
					if more, err = seq.Step(ctx); err != nil {
						b.Fatal(err)
					}
				}
				all, here = all+busy(b, j)-allBefore, here+own(b)-hereBefore
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "entries/s")
			b.ReportMetric(float64((all-here).Microseconds())/float64(n), "server-us/entry")
			b.ReportMetric(float64(here.Microseconds())/float64(n), "here-us/entry")
		})
	}
}

// BenchmarkJournalWait lets events wait as accepts do, two dozen in a statement, each with
// values that are sealed, and as relays do, the two events of each of some hundred messages,
// and takes them up; and tells what one costs the server, and its own log.
func BenchmarkJournalWait(b *testing.B) {
	s := benchStore(b, 1)
	ctx := context.Background()
	j, _ := benchJournal(b, s)
	events := journaltest.Events(1, 6000)
	packed := func(kinds ...journal.Kind) (list [][]byte) {
		for _, e := range events {
			if !slices.Contains(kinds, e.Kind) {
				continue
			}
			// What is chance in a message's events does not compress.
			e.Message, e.MessageID = uuid.Must(uuid.NewV7()).String(), uuid.NewString()
			if e.Digest != "" {
				e.Digest = fmt.Sprintf("%x", chance(32))
			}
			if len(e.Personal) > 0 {
				e.Personal = []journal.PersonalField{{Value: base64.StdEncoding.EncodeToString(chance(150)), Class: journal.PendingShared}}
			}
			row, err := e.Pack()
			if err != nil {
				b.Fatal(err)
			}
			list = append(list, row)
		}
		return list
	}
	for _, of := range []struct {
		name     string
		inPlace  bool
		together int
		rows     [][]byte
	}{{"accepts", true, 24, packed(journal.KindAccepted)}, {"relays", false, 400, packed(journal.KindRouted, journal.KindQueued)}} {
		b.Run(of.name, func(b *testing.B) {
			n := 0
			var all, here time.Duration
			var written int64
			for b.Loop() {
				allBefore, hereBefore, writtenBefore := busy(b, j), own(b), walBytes(b, j)
				for rows := range slices.Chunk(of.rows, of.together) {
					if err := postgres.Wait(ctx, s, of.inPlace, rows); err != nil {
						b.Fatal(err)
					}
					n += len(rows)
				}
				if err := postgres.TakeUp(ctx, j); err != nil {
					b.Fatal(err)
				}
				written += walBytes(b, j) - writtenBefore
				all, here = all+busy(b, j)-allBefore, here+own(b)-hereBefore
			}
			b.ReportMetric(float64((all-here).Nanoseconds())/1000/float64(n), "server-us/event")
			b.ReportMetric(float64(written)/float64(n), "wal-B/event")
			b.ReportMetric(float64(len(slices.Concat(of.rows...)))/float64(len(of.rows)), "B/event")
		})
	}
}

func chance(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte([]byte(uuid.NewString())[:32])).Read(b)
	return b
}

// walBytes is how much the server has written into its own log so far.
func walBytes(b *testing.B, j *postgres.Journal) (n int64) {
	b.Helper()
	n, err := postgres.WALBytes(j)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// own is the processor time used so far by this process.
func own(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkJournalSearch asks what auditors ask of journals of several sizes,
// generated: MEZHVED_ENTRIES lists the sizes, 100000 when it is empty.
func BenchmarkJournalSearch(b *testing.B) {
	sizes := strings.FieldsFunc(os.Getenv("MEZHVED_ENTRIES"), func(r rune) bool { return r == ',' })
	if len(sizes) == 0 {
		sizes = []string{"100000"}
	}
	ctx := context.Background()
	for _, text := range sizes {
		size, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		for form, fill := range map[string]func(*testing.B, int) *postgres.Journal{"rows": filled, "blocks": filledBlocks} {
			b.Run(text+"/"+form, func(b *testing.B) {
				j := fill(b, size)
				r := rand.New(rand.NewPCG(1, 1))
				days := size/40_000 + 1
				questions := map[string]func() postgres.Query{
					"one sender in a week, refused": func() postgres.Query {
						from := journaltest.Start.AddDate(0, 0, r.IntN(days)).Truncate(24 * time.Hour)
						return postgres.Query{Sender: fmt.Sprintf("MUNI%02d", r.IntN(20)), Outcome: "ValidationFailure", From: from, To: from.AddDate(0, 0, 7)}
					},
					"one service to one agency, newest first": func() postgres.Query {
						return postgres.Query{Service: fmt.Sprintf("urn:x-service-%d", r.IntN(5)), Recipient: fmt.Sprintf("FED%d", r.IntN(4)), Descending: true}
					},
					"by message": func() postgres.Query { return postgres.Query{ID: message(r.IntN(size))} },
					"everything": func() postgres.Query { return postgres.Query{} },
					// Both values stand everywhere, together nowhere.
					"what is not there": func() postgres.Query {
						return postgres.Query{Sender: "MUNI00", Service: "urn:x-service-1", Outcome: "ValidationFailure"}
					},
					"a part of a day": func() postgres.Query {
						from := journaltest.Start.AddDate(0, 0, r.IntN(days)).Add(7 * time.Hour)
						return postgres.Query{Recipient: fmt.Sprintf("FED%d", r.IntN(4)), From: from, To: from.Add(26 * time.Hour)}
					},
				}
				var pages, counts []time.Duration
				for b.Loop() {
					for _, ask := range questions {
						q := ask()
						start := time.Now()
						if _, err := j.Search(ctx, q); err != nil {
							b.Fatal(err)
						}
						pages = append(pages, time.Since(start))
						start = time.Now()
						if _, err := j.Totals(ctx, q, "day", "service", "outcome"); err != nil {
							b.Fatal(err)
						}
						counts = append(counts, time.Since(start))
					}
				}
				p95 := func(d []time.Duration) float64 {
					slices.Sort(d)
					return float64(d[len(d)*95/100].Microseconds()) / 1000
				}
				b.ReportMetric(p95(pages), "page-p95-ms")
				b.ReportMetric(p95(counts), "totals-p95-ms")
			})
		}
	}
}

// BenchmarkTile reads tiles of level 0 that finished blocks make, each once in its turn,
// and the entries of which they are made; and proves one entry after another.
func BenchmarkTile(b *testing.B) {
	ctx := context.Background()
	s := benchStore(b, 1)
	j, seq := benchJournal(b, s)
	for i := range 20 {
		if err := j.Append(ctx, journaltest.Events(uint64(i), 1000)...); err != nil {
			b.Fatal(err)
		}
	}
	for more := 1; more > 0; {
		var err error
		if more, err = seq.Step(ctx); err != nil {
			b.Fatal(err)
		}
	}
	run, stop := context.WithCancel(ctx)
	stop()
	if err := seq.Run(run); err != nil { // signs
		b.Fatal(err)
	}
	c, err := j.Checkpoint(ctx)
	if err != nil {
		b.Fatal(err)
	}
	for name, read := range map[string]func(i int64) error{
		"hashes":  func(i int64) error { _, err := j.Tile(ctx, 0, i%70, journal.TileWidth); return err },
		"entries": func(i int64) error { _, err := j.Tile(ctx, journal.EntriesLevel, i%70, journal.TileWidth); return err },
		"proof": func(i int64) error {
			_, err := journal.NewProver(ctx, c.Tree, j).Inclusion(i * 131 % c.Tree.N)
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			all, here := busy(b, j), own(b)
			i := int64(0)
			for ; b.Loop(); i++ {
				if err := read(i); err != nil {
					b.Fatal(err)
				}
			}
			here, all = own(b)-here, busy(b, j)-all
			b.ReportMetric(float64(here.Microseconds())/float64(i), "here-us")
			b.ReportMetric(float64((all-here).Microseconds())/float64(i), "server-us")
		})
	}
}

func message(i int) string { return fmt.Sprintf("019c0000-0000-7000-8000-%012x", i/5) }

// unfilled is a journal without entries in a database of its own.
func unfilled(b *testing.B) (*postgres.Journal, *pgxpool.Pool) {
	b.Helper()
	ctx := context.Background()
	p, err := embedded.StartPostgres(ctx, embedded.PostgresOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.Stop() })
	url := p.URL("postgres")
	if err := postgres.Migrate(ctx, url); err != nil {
		b.Fatal(err)
	}
	d := journaltest.NewDesk(b)
	j, pool, err := postgres.OpenTracedJournal(ctx, url+"&statement_timeout=0", journaltest.Origin, d.Vault, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	return j, pool
}

// filledBlocks generates the same journal in blocks.
func filledBlocks(b *testing.B, size int) *postgres.Journal {
	b.Helper()
	ctx := context.Background()
	j, pool := unfilled(b)
	like, _, err := journal.NewLeaf(journaltest.Events(1, 1)[0], journal.Drawn(rand.NewChaCha8([32]byte{})))
	if err != nil {
		b.Fatal(err)
	}
	err = postgres.FillBlocks(ctx, pool, j, int64(size), func(i int) journal.Leaf {
		l := like
		l.Logged = journaltest.Start.Add(time.Duration(i) * 2160 * time.Millisecond)
		l.Kind = []journal.Kind{journal.KindAccepted, journal.KindRouted, journal.KindQueued, journal.KindDelivered, journal.KindAcknowledged}[i%5]
		l.Message, l.MessageID, l.Original, l.Certificate, l.Incident, l.Outcome, l.Channel = message(i), fmt.Sprintf("m%d", i/5), "", "", "", "ok", ""
		l.Sender, l.Recipient, l.Service = fmt.Sprintf("MUNI%02d", i/5*7%20), fmt.Sprintf("FED%d", i/5%4), fmt.Sprintf("urn:x-service-%d", i/5%5)
		if i%50 == 0 {
			l.Outcome = "ValidationFailure"
		}
		if i%5 == 0 || i%5 == 3 {
			l.Channel = "smev/1.2"
		}
		l.Test = i/5%20 == 0
		return l
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, table := range []string{"journal_block", "journal_term"} {
		if _, err := pool.Exec(ctx, "VACUUM ANALYZE "+table); err != nil {
			b.Fatal(err)
		}
	}
	return j
}

// filled generates a journal in SQL: entries, terms and totals, which is all that
// searching reads; there is no tree under it.
func filled(b *testing.B, size int) *postgres.Journal {
	b.Helper()
	ctx := context.Background()
	j, pool := unfilled(b)
	leaf, _, err := journal.NewLeaf(journaltest.Events(1, 1)[0], journal.Drawn(rand.NewChaCha8([32]byte{})))
	if err != nil {
		b.Fatal(err)
	}
	leaf.Logged = leaf.Time
	for n := 0; n*4194304 < size; n++ {
		_, err := pool.Exec(ctx, fmt.Sprintf("CREATE TABLE journal_entry_%d PARTITION OF journal_entry FOR VALUES FROM (%d) TO (%d)", n, n*4194304, (n+1)*4194304))
		if err != nil {
			b.Fatal(err)
		}
	}
	// 40 000 entries a day; five entries to a message.
	_, err = pool.Exec(ctx, `INSERT INTO journal_entry (idx, logged, kind, message, message_id, original, sender, recipient, service, version, outcome, incident, certificate, channel, test, leaf)
		SELECT i, $1::timestamptz + i * interval '2.16 s', (ARRAY['accepted', 'routed', 'queued', 'delivered', 'acknowledged'])[i % 5 + 1],
			'019c0000-0000-7000-8000-' || lpad(to_hex(i / 5), 12, '0'), 'm' || i / 5, '', 'MUNI' || lpad((i / 5 * 7 % 20)::text, 2, '0'), 'FED' || i / 5 % 4, 'urn:x-service-' || i / 5 % 5, '1.2',
			CASE WHEN i % 50 = 0 THEN 'ValidationFailure' ELSE 'ok' END, '', '', CASE WHEN i % 5 IN (0, 3) THEN 'smev/1.2' ELSE '' END, i / 5 % 20 = 0, $2
		FROM generate_series(0, $3::bigint - 1) i`, journaltest.Start, leaf.Append(nil), size)
	if err != nil {
		b.Fatal(err)
	}
	for _, sql := range []string{
		`INSERT INTO journal_term SELECT DISTINCT d.dim, d.value, e.idx / 1024 FROM journal_entry e, LATERAL (VALUES ('sender', e.sender), ('recipient', e.recipient),
			('service', e.service), ('kind', e.kind), ('outcome', e.outcome), ('channel', e.channel), ('test', CASE WHEN e.test THEN 'true' ELSE '' END)) d (dim, value) WHERE d.value <> ''`,
		`UPDATE journal_head SET size = (SELECT count(*) FROM journal_entry), logged = (SELECT max(logged) FROM journal_entry)`,
		`VACUUM ANALYZE journal_entry`, `VACUUM ANALYZE journal_term`,
	} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			b.Fatal(err)
		}
	}
	if err := j.Tally(ctx); err != nil {
		b.Fatal(err)
	}
	return j
}
