package postgres_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
	"mezhved/adapter/vault"
)

// everything reads the whole log, decoded.
func (a *archive) everything() []postgres.Row {
	a.T.Helper()
	var out []postgres.Row
	a.must(a.Each(context.Background(), postgres.Query{}, func(r postgres.Row) error {
		out = append(out, r)
		return nil
	}))
	return out
}

// matches is the query in plain Go, for comparison.
func matches(q *postgres.Query, r *postgres.Row, of map[string]bool, person map[int64]bool) bool {
	l := &r.Leaf
	eq := func(want, have string) bool { return want == "" || want == have }
	return (q.From.IsZero() || !l.Logged.Before(q.From)) && (q.To.IsZero() || l.Logged.Before(q.To)) && eq(string(q.Kind), string(l.Kind)) &&
		eq(q.Sender, l.Sender) && eq(q.Recipient, l.Recipient) && eq(q.Service, l.Service) && eq(q.Version, l.Version) && eq(q.Outcome, l.Outcome) &&
		eq(q.Certificate, l.Certificate) && eq(q.Incident, l.Incident) && eq(q.Channel, l.Channel) &&
		(q.Tests == postgres.TestsToo || (q.Tests == postgres.TestsOnly) == l.Test) && (q.Reference == "" || of[l.Message] || l.Reference == q.Reference) &&
		(q.ID == "" || l.Message != "" && of[l.Message] || l.Message == "" && (l.MessageID == q.ID || l.Incident == q.ID)) &&
		(len(q.Values) == 0 || person[r.Index])
}

// Random questions over days of entries: every answer, page by page, and every
// count must be what reading the whole log gives.
func TestSearchAgreesWithReadingTheWholeLog(t *testing.T) {
	for name, begin := range map[string]int{"blocks": 0, "rows and blocks": 1380, "rows": 3000} {
		t.Run(name, func(t *testing.T) { searchAgrees(t, begin) })
	}
	t.Run("blocks of which it is put down what they come to", func(t *testing.T) {
		defer postgres.TallyEvery(250)()
		searchAgrees(t, 0)
	})
}

// searchAgrees asks a log that has blocks from about begin on.
func searchAgrees(t *testing.T, begin int) {
	ctx := context.Background()
	a := openArchive(t)
	a.rows()
	events := journaltest.Events(41, 3000)
	people := map[string][]journal.PersonalField{} // message to its fields
	for i := range events {
		// Four days: 3000 events, 2 minutes apart.
		events[i].Time = journaltest.Start.Add(time.Duration(i) * 2 * time.Minute)
		if events[i].Reference != "" && i > 0 {
			events[i].Reference = events[i/50].MessageID // chains of several
		}
		if events[i].Kind == journal.KindAccepted && i%5 == 0 && i > 0 {
			events[i].Original = events[i-1].MessageID
		}
		if len(events[i].Personal) > 0 {
			events[i].Personal[0].Value = fmt.Sprintf("%011d", i%7)
			people[events[i].Message] = events[i].Personal
		}
	}
	for i := 0; i < len(events); i += 60 {
		a.Clock.Move(events[i].Time.Sub(a.Clock.Now()))
		if i == begin {
			a.blocks()
		}
		a.fill(events[i : i+60])
		if i == 1200 || i == 2520 { // the totals know the first days and a part of the last one
			a.must(a.Tally(ctx))
		}
	}
	all := a.everything()
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	pick := func(f func(l *journal.Leaf) string) string {
		if r.IntN(3) > 0 {
			return ""
		}
		return f(&all[r.IntN(len(all))].Leaf)
	}
	moment := func() time.Time {
		switch r.IntN(4) {
		case 0:
			return time.Time{}
		case 1: // a whole day
			return journaltest.Start.Truncate(24*time.Hour).AddDate(0, 0, r.IntN(6))
		}
		return journaltest.Start.Add(time.Duration(r.Int64N(int64(110 * time.Hour))))
	}
	found := 0
	for round := range 60 {
		q := postgres.Query{From: moment(), To: moment(), Limit: 1 + r.IntN(200), Descending: r.IntN(2) == 0,
			Kind: journal.Kind(pick(func(l *journal.Leaf) string { return string(l.Kind) })), Sender: pick(func(l *journal.Leaf) string { return l.Sender }),
			Recipient: pick(func(l *journal.Leaf) string { return l.Recipient }), Outcome: pick(func(l *journal.Leaf) string { return l.Outcome })}
		q.Service = pick(func(l *journal.Leaf) string { return l.Service })
		if q.Service != "" {
			q.Version = "1.2"
		}
		q.Channel = pick(func(l *journal.Leaf) string { return l.Channel })
		q.Tests = []postgres.Tests{postgres.TestsToo, postgres.TestsToo, postgres.NoTests, postgres.TestsOnly}[r.IntN(4)]
		of, person := map[string]bool{}, map[int64]bool{}
		switch r.IntN(6) {
		case 0:
			q.Certificate = pick(func(l *journal.Leaf) string { return l.Certificate })
		case 1:
			q.Incident = pick(func(l *journal.Leaf) string { return l.Incident })
		case 2:
			q.ID = pick(func(l *journal.Leaf) string {
				return []string{l.Message, l.MessageID, l.Original, l.Incident}[r.IntN(4)]
			})
			for _, row := range all {
				l := row.Leaf
				first := l.Kind == journal.KindAccepted || l.Kind == journal.KindRefused
				if q.ID != "" && (l.Message == q.ID || first && (l.MessageID == q.ID || l.Original == q.ID) || l.Incident == q.ID) {
					of[l.Message] = true
				}
			}
		case 3:
			q.Reference = pick(func(l *journal.Leaf) string { return l.Reference })
			for _, row := range all {
				if l := row.Leaf; q.Reference != "" && l.Reference == q.Reference && l.Message != "" {
					of[l.Message] = true
				}
			}
		case 4:
			q.Values = []journal.PersonalField{{Field: "snils", Value: fmt.Sprintf("%011d", r.IntN(9))}}
			for _, row := range all {
				if p := people[row.Leaf.Message]; p != nil && p[0].Value == q.Values[0].Value {
					person[row.Index] = true
				}
			}
		}
		var want []int64
		groups := map[string]int64{}
		for _, row := range all {
			if matches(&q, &row, of, person) {
				want = append(want, row.Index)
				groups[row.Leaf.Logged.Format(time.DateOnly)+" "+row.Leaf.Service+" "+row.Leaf.Outcome]++
			}
		}
		found += len(want)
		count, err := a.Count(ctx, q)
		a.must(err)
		if count != int64(len(want)) {
			t.Fatalf("round %d: %+v: count %d, want %d", round, q, count, len(want))
		}
		totals, err := a.Totals(ctx, q, "day", "service", "outcome")
		a.must(err)
		for _, g := range totals {
			key := g.Day + " " + g.Service + " " + g.Outcome
			if groups[key] != g.Entries {
				t.Fatalf("round %d: %+v: total of %s is %d, want %d", round, q, key, g.Entries, groups[key])
			}
			delete(groups, key)
		}
		if len(groups) > 0 {
			t.Fatalf("round %d: %+v: totals lack %v", round, q, groups)
		}
		var got []int64
		for {
			page, err := a.Search(ctx, q)
			a.must(err)
			for _, row := range page {
				got = append(got, row.Index)
			}
			if len(page) < q.Limit {
				break
			}
			q.After, q.HasAfter = page[len(page)-1].Index, true
		}
		if q.Descending {
			slices.Reverse(got)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("round %d: %+v: got %d entries %.20v, want %d %.20v", round, q, len(got), got, len(want), want)
		}
	}
	if found < 2000 {
		t.Errorf("the questions found only %d entries: the test asks too little", found)
	}
}

func TestTraceTellsAnExchangeByAnyOfItsNames(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	at := journaltest.Start
	e := journal.Event{Kind: journal.KindAccepted, Time: at, Message: "0190-req", MessageID: "m-req", Sender: "MUNI01", Recipient: "FED1", Service: "s"}
	delivered, reply, refused := e, e, e
	delivered.Kind = journal.KindDelivered
	reply.Message, reply.MessageID, reply.Original, reply.Sender, reply.Recipient = "0190-rep", "m-rep", "m-req", "FED1", "MUNI01"
	refused.Kind, refused.Message, refused.MessageID, refused.Incident = journal.KindRefused, "", "m-bad", "INC-7"
	a.fill([]journal.Event{e, delivered, refused, reply})
	for id, want := range map[string][]int64{"m-req": {0, 1, 3}, "0190-req": {0, 1}, "m-rep": {3}, "INC-7": {2}, "m-bad": {2}, "nothing": nil} {
		rows, err := a.Trace(ctx, id)
		a.must(err)
		var got []int64
		for _, r := range rows {
			got = append(got, r.Index)
		}
		if !slices.Equal(got, want) {
			t.Errorf("trace of %s: entries %v, want %v", id, got, want)
		}
	}
}

// anywhere looks for a text or bytes in every column of every table.
func (a *archive) anywhere(needles ...[]byte) []string {
	a.T.Helper()
	ctx := context.Background()
	rows, _ := a.pool.Query(ctx, "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname = 'public'")
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	a.must(err)
	var found []string
	for _, table := range tables {
		rows, _ := a.pool.Query(ctx, fmt.Sprintf("SELECT t::text FROM %s t", pgx.Identifier{table}.Sanitize()))
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		a.must(err)
		for _, line := range lines {
			for _, n := range needles {
				if strings.Contains(line, string(n)) || strings.Contains(line, hex.EncodeToString(n)) || strings.Contains(line, base64.StdEncoding.EncodeToString(n)) {
					found = append(found, table)
				}
			}
		}
	}
	return found
}

// The whole space of a field is tried, as somebody could who has the database, the
// log and all evidence that was taken before, and as somebody could who has the
// vault besides. It is a small space here, a thousand numbers; of eleven digits it
// would be ten to the ninth, which is nothing that stops anybody. What stops them is
// that nothing is kept which a value alone answers to: see package subject.
func TestNothingIsFoundOfWhoWasErased(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	number := func(n int) string { return fmt.Sprintf("%03d", n) }
	const erased, other = 417, 7
	events := []journal.Event{}
	for i, n := range []int{erased, other, erased} {
		events = append(events, journal.Event{Kind: journal.KindAccepted, Time: a.Clock.Now(), Message: fmt.Sprintf("0190-%d", i), Sender: "MUNI01",
			Personal: []journal.PersonalField{{Field: "snils", Value: number(other)}, {Field: "snils-2", Value: number(n + i)}}})
	}
	events[0].Personal[1].Value, events[2].Personal[1].Value = number(erased), number(erased)
	events = append(events, journal.Event{Kind: journal.KindEvidenceRead, Time: a.Clock.Now(), Operation: "search", Personal: []journal.PersonalField{{Field: "by-snils", Value: number(erased)}}})
	a.fill(events)

	// Of each number: the entries that somebody finds who has everything; and whether
	// somebody finds anything who has all of it but the vault.
	type dictionary struct {
		insider  map[int][]int64
		outsider []int
	}
	try := func() (d dictionary) {
		d.insider = map[int][]int64{}
		leaves := a.everything()
		open := map[int64][]journal.Opening{}
		for _, row := range leaves {
			var err error
			open[row.Index], err = a.Openings(ctx, row.Index)
			a.must(err)
		}
		for n := range 1000 {
			mentions, err := a.Mentions(ctx, journal.PersonalField{Field: "snils", Value: number(n)}, time.Time{}, time.Time{})
			a.must(err)
			for _, m := range mentions {
				d.insider[n] = append(d.insider[n], m.Index)
			}
			for _, row := range leaves { // every salt that can be read, against every commitment
				for _, o := range open[row.Index] {
					o.Value = number(n)
					for _, c := range row.Leaf.Commit {
						if o.Commitment() == c.Hash && !slices.Contains(d.insider[n], row.Index) {
							d.insider[n] = append(d.insider[n], row.Index)
						}
					}
				}
			}
			// Without the vault there is the value alone to compute from.
			plain := sha256.Sum256([]byte(number(n)))
			named := sha256.Sum256([]byte("snils\x00" + number(n)))
			keyless := hmac.New(sha256.New, nil)
			io.WriteString(keyless, "snils\x00"+number(n))
			unsalted := journal.Opening{Value: number(n)}.Commitment()
			if n == erased || n == other { // reading all tables is slow: two of the thousand
				if found := a.anywhere(plain[:], plain[:16], named[:], named[:16], keyless.Sum(nil), keyless.Sum(nil)[:16], unsalted[:], unsalted[:16]); found != nil {
					d.outsider = append(d.outsider, n)
				}
			}
		}
		return d
	}
	before := try()
	if got := before.insider[erased]; !slices.Equal(got, []int64{0, 2, 3}) {
		t.Fatalf("before the erasure the dictionary finds %v of the person, want 0, 2, 3: it proves nothing", got)
	}
	if before.outsider != nil {
		t.Errorf("without the vault values are found: %v", before.outsider)
	}
	mentions, err := a.Mentions(ctx, journal.PersonalField{Field: "snils", Value: number(erased)}, time.Time{}, time.Time{})
	a.must(err)
	for _, m := range mentions {
		_, err := a.Erase(ctx, m.Index, m.Fields, "art. 21 of the data law", "registrar", a.Clock.Now())
		a.must(err)
	}
	a.must(a.Settle(a.Sequencer(a.Journal)))
	after := try()
	for n, got := range after.insider {
		if want := before.insider[n]; n != erased && !slices.Equal(got, want) {
			t.Errorf("number %s: %v is found, before it was %v", number(n), got, want)
		}
	}
	if got := after.insider[erased]; got != nil || after.outsider != nil {
		t.Errorf("after the erasure the dictionary finds %v of the person, without the vault %v", got, after.outsider)
	}
	if len(after.insider) != len(before.insider)-1 {
		t.Errorf("%d numbers are found, before they were %d", len(after.insider), len(before.insider))
	}
}

func TestEraseLeavesNothingToGuessFromAndEveryProofValid(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	a.fill(journaltest.Events(43, 200))
	const snils = "11223344595"
	e := journal.Event{Kind: journal.KindAccepted, Time: a.Clock.Now(), Message: "0190-x", Sender: "MUNI01", Recipient: "FED1", Digest: strings.Repeat("ab", 32),
		Personal: []journal.PersonalField{{Field: "snils", Value: snils}, {Field: "applicant", Value: "Петрова Анна"}}}
	a.fill([]journal.Event{e})
	index, open, err := a.Find(ctx, "0190-x")
	a.must(err)
	if len(open) != 3 {
		t.Fatalf("%d openings, want 3", len(open))
	}
	if found := a.anywhere([]byte(snils), []byte("Петрова Анна")); found != nil {
		t.Errorf("a personal value stands in clear in %v", found)
	}
	rows, err := a.Search(ctx, postgres.Query{Values: []journal.PersonalField{{Field: "snils", Value: snils}}})
	if err != nil || len(rows) != 1 {
		t.Fatalf("search by person: %d entries, %v; want 1", len(rows), err)
	}
	c := a.Desk.Checkpoint(a.Journal)
	hashes, err := journal.NewProver(ctx, c.Tree, a.Journal).Inclusion(index)
	a.must(err)
	proof := journal.MarshalProof(index, hashes, c.Note)

	if _, err := a.Erase(ctx, index, []string{"snils"}, "", "registrar", a.Clock.Now()); err == nil {
		t.Error("erased without a legal ground")
	}
	gone, err := a.Erase(ctx, index, []string{"snils"}, "art. 21 of the data law", "registrar", a.Clock.Now())
	if err != nil || !slices.Equal(gone, []string{"snils"}) {
		t.Fatalf("erased %v, %v", gone, err)
	}
	if again, err := a.Erase(ctx, index, []string{"snils"}, "again", "registrar", a.Clock.Now()); err != nil || again != nil {
		t.Errorf("erased %v twice, %v", again, err)
	}
	a.must(a.Settle(a.Sequencer(a.Journal)))

	salt := open[slices.IndexFunc(open, func(o journal.Opening) bool { return o.Field == "snils" })].Salt
	blind, err := a.Vault.Blind(nil, "snils", snils)
	a.must(err)
	if found := a.anywhere([]byte(snils), salt[:], blind); found != nil {
		t.Errorf("value, salt or search token is left in %v", found)
	}
	left, err := a.Openings(ctx, index)
	if err != nil || len(left) != 2 {
		t.Errorf("%d openings are left, %v; want 2", len(left), err)
	}
	if rows, err := a.Search(ctx, postgres.Query{Values: []journal.PersonalField{{Field: "snils", Value: snils}}}); err != nil || len(rows) != 0 {
		t.Errorf("search by person still finds %d, %v", len(rows), err)
	}
	page, err := a.Search(ctx, postgres.Query{Kind: journal.KindErased})
	if err != nil || len(page) != 1 || *page[0].Leaf.Target != index || page[0].Leaf.Ground == "" || bytes.Contains(page[0].Bytes, []byte("registrar")) {
		t.Errorf("erased entry: %v, %v", page, err)
	}
	trace, err := a.Trace(ctx, "0190-x")
	a.must(err)
	if _, err := journal.VerifyProof(a.Policy, trace[0].Bytes, proof); err != nil {
		t.Errorf("the old proof: %v", err)
	}
	a.Audit(a.Journal, a.Desk.Checkpoint(a.Journal).Note, c)

	// After a restore the register does it again, once; and not to another entry that
	// has the number by then.
	store, err := postgres.Open(ctx, postgres.Options{URL: a.url, Vault: a.Vault})
	a.must(err)
	t.Cleanup(store.Close)
	register, err := a.Vault.Erasures()
	if err != nil || len(register) != 1 || register[0].Leaf == "" {
		t.Fatalf("register %+v, %v", register, err)
	}
	for _, c := range []struct {
		what   string
		fields []string
		leaf   string
		want   postgres.Reerased
	}{
		{"what is gone", register[0].Fields, register[0].Leaf, postgres.Reerased{Lines: 1}},
		{"another entry", []string{"applicant"}, strings.Repeat("0", 64), postgres.Reerased{Lines: 1}},
		{"what is there", []string{"applicant"}, register[0].Leaf, postgres.Reerased{Lines: 1, Content: 1}},
	} {
		e := register[0]
		e.ID, e.Fields, e.Leaf = uuid.NewString(), c.fields, c.leaf
		if got, err := store.Reerase(ctx, []vault.Erasure{e}, false, "restore"); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.what, got, err, c.want)
		}
	}
}

func TestForgetTakesAMonthOfValues(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	a.fill(journaltest.Events(45, 100))
	march := a.Clock.Now()
	a.Clock.Move(40 * 24 * time.Hour)
	april := journaltest.Events(46, 50)
	a.fill(april)
	gone, err := a.Forget(ctx, journal.ClassPersonal, march.AddDate(0, 1, 0), "retention of personal values: one month", a.Clock.Now())
	if err != nil || !slices.Equal(gone, []string{"personal-2026-03"}) {
		t.Fatalf("forgot %v, %v", gone, err)
	}
	a.must(a.Settle(a.Sequencer(a.Journal)))
	fields := map[string]int{}
	for _, row := range a.everything() {
		open, err := a.Openings(ctx, row.Index)
		a.must(err)
		month := "march"
		if row.Leaf.Logged.After(march) {
			month = "april"
		}
		for _, o := range open {
			fields[month+" "+o.Class]++
		}
	}
	if fields["march personal"] != 0 || fields["march envelope"] == 0 || fields["april personal"] == 0 {
		t.Errorf("openings that are left: %v", fields)
	}
	if rep := a.Audit(a.Journal, a.Desk.Checkpoint(a.Journal).Note); !rep.OK() {
		t.Errorf("%v", rep.Recount.Findings)
	}
}

// A bundle made from the database verifies, and its making is in the journal.
func TestABundleFromTheDatabaseVerifies(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	a := openArchive(t)
	a.fill(journaltest.Events(47, 500))
	run, stop := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- a.Sequencer(a.Journal).Run(run) }()
	rows, err := a.Search(ctx, postgres.Query{Sender: "MUNI03", Limit: 10})
	a.must(err)
	var exhibits []audit.Exhibit
	for _, r := range rows {
		open, err := a.Openings(ctx, r.Index)
		a.must(err)
		exhibits = append(exhibits, audit.Exhibit{Index: r.Index, Openings: open})
	}
	b := &audit.Bundler{Tiles: a.Journal, Policy: a.Policy, Now: a.Clock.Now, Checkpoint: a.Journal.Checkpoint, Find: a.Find,
		Append: func(ctx context.Context, e journal.Event) error { return a.Append(ctx, e) }}
	var out bytes.Buffer
	a.must(b.Write(ctx, &out, "MUNI03", exhibits, journal.Event{Time: a.Clock.Now(), Message: "0190-read"}))
	stop()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	e, err := audit.VerifyBundle(bytes.NewReader(out.Bytes()), int64(out.Len()), a.Policy)
	a.must(err)
	if len(e.Entries) != len(exhibits) || len(e.Entries) == 0 {
		t.Errorf("%d entries, want %d", len(e.Entries), len(exhibits))
	}
}

func TestRetentionKeepsToItsPolicy(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	_, err := a.pool.Exec(ctx, "UPDATE journal_head SET partition = 256")
	a.must(err)
	a.fill(journaltest.Events(48, 700))
	a.Clock.Move(100 * 24 * time.Hour)
	a.fill(journaltest.Events(49, 300))
	r := &postgres.Retention{Journal: a.Journal, Keep: map[string]time.Duration{journal.ClassPersonal: 30 * 24 * time.Hour}, Ground: "order 7",
		Archive: 60 * 24 * time.Hour, Dir: t.TempDir(), Now: a.Clock.Now, Log: slog.New(slog.DiscardHandler)}
	for range 2 { // twice equals once
		a.must(r.Once(ctx))
		a.must(a.Settle(a.Sequencer(a.Journal)))
	}
	erased, err := a.Search(ctx, postgres.Query{Kind: journal.KindErased})
	if err != nil || len(erased) != 1 || erased[0].Leaf.Ground != "order 7" || !slices.Equal(erased[0].Leaf.Fields, []string{"personal"}) {
		t.Errorf("erased entries: %v, %v", erased, err)
	}
	first, err := a.Search(ctx, postgres.Query{Limit: 1})
	if err != nil || first[0].Index != 512 {
		t.Errorf("the first entry kept is %v, %v; want 512", first, err)
	}
	// The archive and the database together are still the whole log.
	both := archived{audit.DirSource{FS: os.DirFS(r.Dir)}, a.Journal}
	if rep := a.Audit(both, a.Desk.Checkpoint(a.Journal).Note); !rep.OK() || rep.Recount.Size != 1002 {
		t.Errorf("%d entries, %v", rep.Recount.Size, rep.Recount.Findings)
	}
	for _, bad := range []*postgres.Retention{{Keep: r.Keep}, {Archive: time.Hour, Dir: "d"}, {Archive: 90 * 24 * time.Hour}, {Keep: map[string]time.Duration{"x": time.Hour}, Ground: "g"}} {
		if bad.Run(ctx) == nil {
			t.Errorf("policy %+v was taken", bad)
		}
	}
}

// archived reads entries from the archive where the database has none.
type archived struct {
	old journal.TileSource
	now journal.TileSource
}

func (s archived) Tile(ctx context.Context, level int, n int64, width int) ([]byte, error) {
	data, err := s.now.Tile(ctx, level, n, width)
	if errors.Is(err, fs.ErrNotExist) {
		return s.old.Tile(ctx, level, n, width)
	}
	return data, err
}

// How many statements a search within a time takes does not grow with the log.
func TestATimeIsFoundInAsManyStatementsHoweverLongTheLog(t *testing.T) {
	ctx := context.Background()
	asked := map[int64]int{}
	for _, size := range []int64{512, 16_384} {
		a := openArchive(t)
		like, _, err := journal.NewLeaf(journaltest.Events(1, 1)[0], journal.Drawn(rand.NewChaCha8([32]byte{})))
		a.must(err)
		a.must(postgres.FillBlocks(ctx, a.pool, a.Journal, size, func(i int) journal.Leaf {
			l := like
			l.Logged = journaltest.Start.Add(time.Duration(i) * time.Second)
			return l
		}))
		var n statements
		j, _ := a.node(t, &n)
		q := postgres.Query{From: journaltest.Start.Add(100*time.Second + time.Nanosecond*1e6), To: journaltest.Start.Add(110 * time.Second)}
		_, err = j.Search(ctx, q) // which opens sessions
		a.must(err)
		n.Store(0)
		rows, err := j.Search(ctx, q)
		a.must(err)
		if len(rows) != 9 || rows[0].Index != 101 {
			t.Errorf("of %d entries, %d stand between the times, the first at %d; want 9, 101", size, len(rows), rows[0].Index)
		}
		asked[size] = int(n.Load())
	}
	if asked[512] != asked[16_384] {
		t.Errorf("%d statements in a short log, %d in a long one", asked[512], asked[16_384])
	}
}

// A search within a time reads the daily totals of that time, however many days are kept.
func TestATimeReadsTheTotalsOfItsDays(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	like, _, err := journal.NewLeaf(journaltest.Events(1, 1)[0], journal.Drawn(rand.NewChaCha8([32]byte{})))
	a.must(err)
	a.must(postgres.FillBlocks(ctx, a.pool, a.Journal, 2048, func(i int) journal.Leaf {
		l := like
		l.Logged = journaltest.Start.Add(time.Duration(i) * time.Hour)
		return l
	}))
	_, err = a.pool.Exec(ctx, `INSERT INTO journal_tally (day, kind, sender, recipient, service, version, outcome, channel, test, entries, first, last)
		SELECT day, 'accepted', 's' || n, 'r', 'v', '1', 'ok', '', false, 1, at, at FROM generate_series(1, 40) n, (
			SELECT $1::timestamptz::date - d, 0 FROM generate_series(1, 500) d UNION ALL SELECT $1::timestamptz::date + 100 + d, 2047 FROM generate_series(1, 500) d) t (day, at)`, journaltest.Start)
	a.must(err)
	_, err = a.pool.Exec(ctx, "ANALYZE journal_tally")
	a.must(err)
	for _, descending := range []bool{false, true} {
		var asked tallied
		j, pool := a.node(t, &asked)
		from := journaltest.Start.AddDate(0, 0, 40)
		rows, err := j.Search(ctx, postgres.Query{Sender: like.Sender, From: from, To: from.Add(5 * time.Hour), Descending: descending})
		a.must(err)
		if len(rows) != 5 || asked.sql == "" {
			t.Fatalf("found %d entries of 5, and asked the totals %q", len(rows), asked.sql)
		}
		blocks, text, err := asked.blocks(ctx, pool)
		a.must(err)
		if blocks == 0 || blocks > 40 {
			t.Errorf("descending %t: %d blocks of the totals were read for a few hours:\n%s", descending, blocks, text)
		}
	}
}

// A page of the newest entries, or of the oldest, reads the totals of its days, however many
// days are kept; and pages together have every entry once.
func TestAPageReadsTheTotalsOfItsDays(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	like, _, err := journal.NewLeaf(journaltest.Events(1, 1)[0], journal.Drawn(rand.NewChaCha8([32]byte{})))
	a.must(err)
	a.must(postgres.FillBlocks(ctx, a.pool, a.Journal, 2048, func(i int) journal.Leaf {
		l := like
		l.Logged = journaltest.Start.Truncate(24 * time.Hour).Add(time.Duration(i) * time.Hour)
		return l
	}))
	_, err = a.pool.Exec(ctx, "DELETE FROM journal_tally")
	a.must(err)
	_, err = a.pool.Exec(ctx, `INSERT INTO journal_tally (day, kind, sender, recipient, service, version, outcome, channel, test, entries, first, last)
		SELECT $1::timestamptz::date + d, $3, CASE WHEN n = 0 THEN $2 ELSE 's' || n END, 'r', 'v', '1', 'ok', '', false, 24, d * 24, least(d * 24 + 23, 2047)
		FROM generate_series(0, 85) d, generate_series(0, 500) n`, journaltest.Start.Truncate(24*time.Hour), like.Sender, string(like.Kind))
	a.must(err)
	_, err = a.pool.Exec(ctx, "VACUUM ANALYZE journal_tally")
	a.must(err)
	for _, descending := range []bool{false, true} {
		var asked tallied
		j, pool := a.node(t, &asked)
		q := postgres.Query{Sender: like.Sender, Descending: descending, Limit: 5}
		rows, err := j.Search(ctx, q)
		a.must(err)
		if len(rows) != 5 || asked.sql == "" {
			t.Fatalf("found %d entries of 5, and asked the totals %q", len(rows), asked.sql)
		}
		blocks, text, err := asked.blocks(ctx, pool)
		a.must(err)
		if blocks == 0 || blocks > 100 {
			t.Errorf("descending %t: %d blocks of the totals were read for a page:\n%s", descending, blocks, text)
		}
		met := map[int64]bool{}
		for q.Limit = 300; ; q.After, q.HasAfter = rows[len(rows)-1].Index, true {
			if rows, err = j.Search(ctx, q); err != nil || len(rows) == 0 {
				break
			}
			for _, r := range rows {
				met[r.Index] = true
			}
		}
		if a.must(err); len(met) != 2048 {
			t.Errorf("descending %t: pages have %d entries of 2048", descending, len(met))
		}
	}
}

// tallied remembers what was asked of the totals.
type tallied struct {
	sql  string
	args []any
}

func (a *tallied) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	if strings.Contains(d.SQL, "FROM journal_tally") && !strings.HasPrefix(d.SQL, "EXPLAIN") {
		a.sql, a.args = d.SQL, d.Args
	}
	return ctx
}

// blocks are how many the question reads, by the plan that is given with them.
func (a *tallied) blocks(ctx context.Context, pool *pgxpool.Pool) (n int, plan []byte, err error) {
	err = pool.QueryRow(ctx, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+a.sql, a.args...).Scan(&plan)
	for _, m := range regexp.MustCompile(`"Shared (?:Hit|Read) Blocks": (\d+)`).FindAllSubmatch(plan, 2) { // of the whole
		some, _ := strconv.Atoi(string(m[1]))
		n += some
	}
	return n, plan, err
}

func (*tallied) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// statements counts those of a session.
type statements struct{ atomic.Int64 }

func (n *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	n.Add(1)
	return ctx
}

func (*statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Blocks are found by very many keys as by one: by the index, in a log that has many, and in a
// young one of which PostgreSQL has no statistics. A sequencer that has just taken over looks
// for as many messages as its batch has.
func TestManyMessagesAreFoundByTheIndex(t *testing.T) {
	for _, of := range []struct {
		blocks   int
		analyzed bool
	}{{2000, true}, {300, false}, {20, true}} {
		t.Run(fmt.Sprintf("%d blocks, analyzed: %t", of.blocks, of.analyzed), func(t *testing.T) {
			ctx := context.Background()
			a := openArchive(t)
			for _, sql := range []string{
				"CREATE TABLE IF NOT EXISTS journal_block_0 PARTITION OF journal_block FOR VALUES FROM (0) TO (4194304)",
				fmt.Sprintf(`INSERT INTO journal_block (first, entries, logged, keys, columns, leaves)
					SELECT n * 256, 256, '{}', ARRAY(SELECT n * 1000 + k FROM generate_series(1, 300) k), '', '' FROM generate_series(0, %d) n`, of.blocks-1),
				"ANALYZE journal_block",
			}[:2+map[bool]int{true: 1}[of.analyzed]] {
				_, err := a.pool.Exec(ctx, sql)
				a.must(err)
			}
			var keys []int64
			for n := range int64(2000) {
				keys = append(keys, n*1000+1+n%2*900) // every second block has one
			}
			sql := "SELECT DISTINCT first FROM (" + postgres.BlocksWithSQL + ") b"
			rows, err := a.pool.Query(ctx, sql, keys)
			a.must(err)
			found, err := pgx.CollectRows(rows, pgx.RowTo[int64])
			a.must(err)
			asked := tallied{sql: sql, args: []any{keys}}
			pages, plan, err := asked.blocks(ctx, a.pool)
			a.must(err)
			// An index says in a few pages whether a block has a key.
			if len(found) != of.blocks/2 || pages == 0 || pages > 12*len(keys) {
				t.Errorf("%d blocks of %d are found by reading %d pages:\n%s", len(found), of.blocks, pages, plan)
			}
		})
	}
}
