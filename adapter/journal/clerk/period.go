package clerk

import (
	"cmp"
	"time"

	"mezhved/adapter/journal"
)

// closing says whether the open period is over, so that the next batch begins with the
// entry that closes it.
func (s *Sequencer) closing(head Head) bool {
	return head.Tree.N > 0 && s.Now().Truncate(cmp.Or(s.Period, time.Hour)).After(head.PeriodStart)
}

// firstIndex is that of the first event's entry.
func firstIndex(head Head, closing bool) int64 {
	if closing {
		return head.Tree.N + 1
	}
	return head.Tree.N
}

// close closes the period at the entry to, logged at now, and begins the next one with it.
// all are the counters of all parties.
func (h *Head) close(to int64, now time.Time, all map[string]journal.Counter) *journal.Leaf {
	closed := &journal.Leaf{Event: journal.Event{Kind: journal.KindPeriodClose, Time: now}, Prev: journal.NoEntry, Period: &journal.Period{
		From: h.PeriodFrom, To: to, Totals: h.Totals, Parties: int64(len(all)), Counters: journal.CountersDigest(all)}}
	h.PeriodFrom, h.PeriodStart, h.Totals = to, now, map[journal.Kind]int64{}
	return closed
}
