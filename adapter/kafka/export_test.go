package kafka

import (
	"context"
	"testing"
)

// InSync is the number of in-sync replicas of the partition that has fewest.
func InSync(t *testing.T, b *Broker, topic string) int {
	t.Helper()
	m, err := b.metadata(context.Background(), []string{topic})
	if err != nil || len(m.Topics) == 0 {
		return 0
	}
	least := 1 << 30
	for _, p := range m.Topics[0].Partitions {
		least = min(least, len(p.ISR))
	}
	return least
}
