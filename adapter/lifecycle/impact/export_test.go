package impact

import (
	"context"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// Waiting is how many octets wait to be held against drafts.
func (s *Shadow) Waiting() int64 { return s.waiting.Load() }

// Dropped is how many messages were not held against a draft.
func (s *Shadow) Dropped() int64 {
	var m dto.Metric
	if err := s.dropped.Write(&m); err != nil {
		panic(err)
	}
	return int64(m.GetCounter().GetValue())
}

// Rests has pauses told instead of taken, and Busy is how long it has worked.
func (s *Shadow) Rests(take func(time.Duration)) {
	s.pause = func(_ context.Context, d time.Duration) { take(d) }
}

// Busy is how long messages were held against drafts.
func (s *Shadow) Busy() time.Duration { return s.busy }

// Share and LeastRest are its bounds.
const (
	Share     = share
	LeastRest = leastRest
)
