package postgres

import (
	"sync"
	"time"

	"mezhved/adapter/gather"
)

// lineBatch is how many calls of a line go into one statement.
const lineBatch = 64

// line gathers calls about one thing (a queue, a system) that come while the last
// such calls are at the database, and sends them there together: one statement,
// one commit. Alone, a call goes at once; in company, it waits for a little more (package
// gather). Things do not wait for one another.
type line[K comparable, C any] struct {
	run func(K, []C) // must tell every call its outcome

	mu      sync.Mutex
	waiting map[K][]C // a key that is there has a goroutine at work
	working sync.WaitGroup
}

// join puts a call into the line. It does not wait.
func (l *line[K, C]) join(key K, call C) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == nil {
		l.waiting = map[K][]C{}
	}
	row, busy := l.waiting[key]
	l.waiting[key] = append(row, call)
	if !busy {
		l.working.Go(func() { l.work(key) })
	}
}

func (l *line[K, C]) work(key K) {
	for {
		l.mu.Lock()
		row := l.waiting[key]
		if len(row) == 0 {
			delete(l.waiting, key)
			l.mu.Unlock()
			return
		}
		batch := row[:min(len(row), lineBatch)]
		l.waiting[key] = row[len(batch):len(row):len(row)]
		l.mu.Unlock()
		n, began := len(batch), time.Now()
		gather.Begin()
		l.run(key, batch)
		gather.End()
		l.mu.Lock()
		rest := gather.After(n, len(l.waiting[key]), time.Since(began))
		l.mu.Unlock()
		gather.Rest(rest)
	}
}
