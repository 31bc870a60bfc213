package reports

import (
	"bytes"
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/terms"
)

// stood has standings, and says whether one was of use.
type stood struct {
	list []*Standing
	used int
}

func (s *stood) Standing(_ context.Context, rules string, entries int64, before time.Time) (last *Standing, kept [][]byte, _ error) {
	for _, one := range s.list {
		if one.Rules != rules || one.Entries > entries || !one.Latest.Before(before) {
			continue
		}
		if last = one; !one.LastDue.Before(before) {
			kept = append(kept, one.Kept)
		}
	}
	if last != nil {
		s.used++
	}
	return last, kept, nil
}

// stand makes standings of a log, each from the one before it, after so many entries.
func (m *memo) stand(c *terms.Calendar, every func() int) *stood {
	m.t.Helper()
	s := &stood{}
	var k *keeper
	for i, leaf := range m.leaves {
		if k == nil {
			var last *Standing
			if n := len(s.list); n > 0 {
				last = s.list[n-1]
			}
			var err error
			if k, err = newKeeper(c, last); err != nil {
				m.t.Fatal(err)
			}
		}
		if err := k.add(leaf); err != nil {
			m.t.Fatal(err)
		}
		if i+1 == len(m.leaves) || (i+1)%journal.TileWidth == 0 && every() == 0 {
			if (i+1)%journal.TileWidth != 0 {
				break
			}
			s.list, k = append(s.list, k.standing()), nil
		}
	}
	return s
}

// randomly tells of exchanges as they go, and as they do not: in any order, late, twice,
// under one another's MessageIDs, marked as tests on one side alone.
func (m *memo) randomly(start time.Time, days, n int) {
	r := m.random
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	ids := make([]string, n/8)
	for i := range ids {
		if ids[i] = m.uuid(); r.IntN(10) == 0 {
			ids[i] = fmt.Sprintf("no UUID %d", i)
		}
	}
	for i := range n {
		at := start.Add(time.Duration(days) * 24 * time.Hour / time.Duration(n) * time.Duration(i))
		id := ids[max(0, min(len(ids)-1, i*len(ids)/n+r.IntN(20)-10))]
		before := func(most time.Duration) time.Time { return at.Add(-time.Duration(r.Int64N(int64(most)))) }
		after := func() (t time.Time) {
			if r.IntN(3) > 0 {
				t = at.Add(time.Duration(r.Int64N(int64(10 * 24 * time.Hour))))
			}
			return t
		}
		e := journal.Event{Kind: journal.KindAccepted, Time: at, MessageID: id, Message: id, Direction: "request", Operation: "SendRequest", Outcome: "ok",
			Sender: pick("MUNI", "CITY"), Recipient: pick("TAX", "FUND"), Service: pick("income", "benefit"), Version: pick("1.0.0", "2.0.0"), Test: r.IntN(5) == 0}
		if r.IntN(20) == 0 {
			e.Time = before(40 * time.Hour)
		}
		switch r.IntN(9) {
		case 0, 1, 2:
			e.Deadline, e.DueQueued, e.DueTaken, e.DueStatus = after(), after(), after(), after()
			e.Terms = pick("", "", "status 1h, answered 1wd, +03:00", "answered 3d, +03:00")
		case 3:
			e.Kind = journal.KindQueued
		case 4:
			e.Kind = journal.Kind(pick(string(journal.KindDelivered), string(journal.KindDelivered), string(journal.KindReturned)))
		case 5:
			e.Direction, e.Operation, e.Original, e.MessageID = "status", "SendResponse", id, m.uuid()
			e.Sender, e.Recipient, e.Rule = e.Recipient, e.Sender, pick("", "status.20", "file-timestamp status.7")
		case 6:
			e.Kind, e.Outcome = journal.KindAnswered, pick("response", "response", "rejection", "async")
		case 7:
			e.Kind = journal.Kind(pick(string(journal.KindExpired), string(journal.KindDead), string(journal.KindRefused)))
		case 8:
			e.Direction, e.Operation, e.Original, e.MessageID = pick("response", "broadcast"), "SendResponse", id, m.uuid()
		}
		m.delay = at.Add(time.Duration(r.IntN(5000)) * time.Millisecond).Sub(e.Time)
		m.tell(e)
	}
}

// A report from a standing is that from entry 0, byte for byte, whatever the log says and
// whatever is asked.
func TestFromAStandingAReportIsTheSame(t *testing.T) {
	used := 0
	for seed := range uint64(4) {
		r := mathrand.New(mathrand.NewPCG(11, seed))
		m := &memo{t: t, random: r}
		start := at("2026-10-20 00:00")
		m.randomly(start, 40, 12*journal.TileWidth+r.IntN(2*journal.TileWidth))
		s := m.stand(nil, func() int { return r.IntN(2) })
		for range 60 {
			from := start.Add(time.Duration(r.Int64N(int64(41 * 24 * time.Hour))))
			q := Question{Kind: Kinds[r.IntN(len(Kinds))], Period: Period{from, from.Add(time.Hour + time.Duration(r.Int64N(int64(20*24*time.Hour))))}, Zone: moscow}
			if r.IntN(3) == 0 {
				q.AsOf = from.Add(time.Duration(1 + r.Int64N(int64(q.Period.To.Sub(from)))))
			}
			q.Tests = []Tests{Without, With, Only}[r.IntN(3)]
			q.Service = []string{"", "", "income", "none"}[r.IntN(4)]
			q.Party = []string{"", "", "TAX", "MUNI"}[r.IntN(4)]
			log := m.log()
			log.Size -= int64(r.IntN(int(log.Size) / 2))
			was, had := figuresOf(t, m, q, log, nil), s.used
			if is := figuresOf(t, m, q, log, s); !bytes.Equal(is, was) {
				t.Fatalf("seed %d: from a standing (%t) the report is\n%s\nand from entry 0\n%s", seed, s.used > had, is, was)
			}
		}
		used += s.used
	}
	if used < 50 {
		t.Errorf("of 240 reports %d were made from a standing", used)
	}
}

func figuresOf(t *testing.T, m *memo, q Question, log Log, standings Standings) []byte {
	t.Helper()
	r, err := Make(context.Background(), q, m, log, standings, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A report reads what its period needs and no more. Another calendar counts other terms:
// its reports use none of these standings; nor does any use one that cannot be read.
func TestAStandingIsUsedForWhatItIsGoodFor(t *testing.T) {
	m := &memo{t: t, random: mathrand.New(mathrand.NewPCG(1, 1))}
	m.randomly(at("2026-10-20 00:00"), 40, 20*journal.TileWidth)
	s := m.stand(nil, func() int { return 0 })
	q := Question{Kind: Service, Period: Period{at("2026-11-25 00:00"), at("2026-11-26 00:00")}, Zone: moscow}
	want := figuresOf(t, m, q, m.log(), nil)
	reading := &reads{memo: m}
	if _, err := Make(context.Background(), q, reading, m.log(), s, nil); err != nil || reading.entries > 5*journal.TileWidth || s.used != 1 {
		t.Errorf("of %d entries %d were read for the last days: %v", len(m.leaves), reading.entries, err)
	}
	q.Calendar = terms.Shipped().With(terms.Year{Number: 2026, Basis: "another"})
	if figuresOf(t, m, q, m.log(), s); s.used != 1 {
		t.Error("a standing of one calendar was used with another")
	}
	q.Calendar = nil
	for _, one := range s.list {
		one.Open = one.Open[:len(one.Open)/2]
	}
	if is := figuresOf(t, m, q, m.log(), s); !bytes.Equal(is, want) || s.used != 2 {
		t.Errorf("from a damaged standing the report is\n%s\nand was\n%s", is, want)
	}
	if _, err := Stand(context.Background(), nil, nil, m, nil); err == nil {
		t.Errorf("a standing was made of %d entries", len(m.leaves))
	}
}

// reads counts the entries that are read.
type reads struct {
	*memo
	entries int
}

func (r *reads) Tile(ctx context.Context, level int, n int64, width int) ([]byte, error) {
	r.entries += width
	return r.memo.Tile(ctx, level, n, width)
}

// Whatever stands there, reading it ends, and is a state of a fold or an error.
func FuzzStanding(f *testing.F) {
	m := &memo{t: f, random: mathrand.New(mathrand.NewPCG(1, 1))}
	m.randomly(at("2026-10-20 00:00"), 40, 4*journal.TileWidth)
	for _, one := range m.stand(nil, func() int { return 0 }).list {
		f.Add(one.Open, one.Kept)
	}
	f.Fuzz(func(t *testing.T, open, kept []byte) {
		q := Question{Kind: Service, Period: Period{at("2026-11-01 00:00"), at("2026-12-01 00:00")}}
		fold, err := NewFold(q)
		if err != nil {
			t.Fatal(err)
		}
		if err := fold.resume(&Standing{Entries: 256, Open: open}, [][]byte{kept}); err == nil && fold.read != 256 {
			t.Errorf("behind 256 entries it has read %d", fold.read)
		}
	})
}
