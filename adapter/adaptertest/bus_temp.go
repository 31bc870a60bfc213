package adaptertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"mezhved/adapter"
)

func openBus(t testing.TB) adapter.Broker {
	return &memory{topics: map[string][]adapter.Record{}, done: map[string]int{}}
}

type memory struct {
	mu     sync.Mutex
	topics map[string][]adapter.Record
	done   map[string]int
}

func (m *memory) Publish(ctx context.Context, records []adapter.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range records {
		r.Offset = int64(len(m.topics[r.Topic]))
		m.topics[r.Topic] = append(m.topics[r.Topic], r)
	}
	return nil
}
func (m *memory) Consume(ctx context.Context, group string, topics func() []string, handle func(context.Context, adapter.Partition, []adapter.Record) error) error {
	for ctx.Err() == nil {
		for _, t := range topics() {
			m.mu.Lock()
			at := m.done[group+t]
			batch := m.topics[t][at:]
			m.mu.Unlock()
			if len(batch) == 0 {
				continue
			}
			if err := handle(ctx, adapter.Partition{Epoch: "m", Topic: t}, batch); err != nil {
				continue
			}
			m.mu.Lock()
			m.done[group+t] = at + len(batch)
			m.mu.Unlock()
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}
func (m *memory) Ensure(context.Context, []string) error { return nil }
func (m *memory) Health(context.Context) error           { return nil }
