package postgres

import (
	"sync"
	"time"
)

// lineBatch is how many calls of a line go into one statement.
const lineBatch = 64

// company is how long we wait for more when the last batch was of more than one: to
// set a statement up and to commit costs as much as several rows, and who comes in
// company comes again in it. A queue that is polled by one reader never waits.
const company = 3 * time.Millisecond

// line gathers calls about one thing (a queue, a system) that come while the last
// such calls are at the database, and sends them there together: one statement,
// one commit. Alone, a call goes at once. Things do not wait for one another.
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
	last := 0
	for {
		if last > 1 {
			time.Sleep(company)
		}
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
		last = len(batch)
		if last == lineBatch {
			last = 0 // there are enough already
		}
		l.run(key, batch)
	}
}
