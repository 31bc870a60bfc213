package adapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"mezhved/adapter/journal"
)

const (
	// feedBatch is how many entries go to the bus at once: what a pause leaves under load. They
	// spread over all partitions of the topic, each of which writes its share to the disk, and
	// statements and leads are paid for once a batch.
	feedBatch = 8192
	// feedFirst is of how many entries the first batch is, and the first after a failure; the
	// next ones grow. What the bus has not taken whole comes again, all of it, and would do so
	// for as long as a partition takes nothing.
	feedFirst = 1024
	// feedSoon is how long a batch may take that a larger one follows. The bus has publishWithin
	// for each: a slow one would be given more than it takes in that, again and again.
	feedSoon = publishWithin / 4
	// feedPause is how long the feed rests when it has come to the log's end.
	// Nobody waits for it, and full batches are the cheap ones.
	feedPause = 500 * time.Millisecond
)

// Headers of a record on the journal's topic.
const (
	headerIndex = "mezhved-index" // the entry's place in the log, decimal: a copy is known by it
	headerKind  = "mezhved-kind"  // a journal.Kind
)

// feed puts the log on its topic, for those who build on it: each entry as it
// is in the log, in the log's order, at least once. Entries of one message have
// its id for their key. The position is the store's, so a crash repeats one
// batch at most; it follows the log and not the accepts, and slows none of them.
// Who can write to the topic can put false entries there: a reader who must be sure
// asks the log for the proof that the entry is at its index.
func (g *Gateway) feed(ctx context.Context) error {
	for most := feedFirst; ; {
		began := time.Now()
		n, err := g.store.Feed(ctx, most, g.publishLog)
		switch {
		case errors.Is(err, ErrShardTaken), errors.Is(err, journal.ErrDeposed): // another node is at it
		case err != nil:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("feeding the log to the bus: %w", err)
		}
		g.metrics.fed.Add(float64(n))
		full := n == most
		most = grown(most, full, time.Since(began), feedSoon, feedFirst, feedBatch)
		if full && ctx.Err() == nil {
			continue
		}
		if !sleep(ctx, feedPause) {
			return nil
		}
	}
}

// grown is how much of the log is taken in the next go by a loop that follows it: twice as much
// after a full one that was over soon, half after one that took more than twice as long, within
// bounds. So what has to be over within some time is so at any speed.
func grown(now int, full bool, took, soon time.Duration, least, most int) int {
	switch {
	case took > 2*soon:
		return max(now/2, least)
	case full && took <= soon:
		return min(2*now, most)
	}
	return now
}

func (g *Gateway) logTopic() string { return g.config.Kafka.LogTopic() }

// LogIndex is the place in the log of an entry on the log's topic; false: the record says
// none.
func LogIndex(r *Record) (index int64, ok bool) {
	for _, h := range r.Headers {
		if h.Key == headerIndex {
			n, err := strconv.ParseInt(string(h.Value), 10, 64)
			return n, err == nil && n >= 0
		}
	}
	return 0, false
}

// refeed begins again when the log's topic was made anew: it promises each entry,
// and has lost them.
func (g *Gateway) refeed(ctx context.Context) error {
	there, err := g.broker.Extents(ctx, g.logTopic())
	if err != nil {
		return fmt.Errorf("looking at the log's topic: %w", err)
	}
	for at := range there {
		again, err := g.store.Refeed(ctx, at.Epoch)
		if err != nil {
			return err
		}
		if again {
			g.log.Error("the log's topic was made anew and has lost its entries; those of the last week are put there again", "topic", at.Topic)
		}
		return nil
	}
	return nil
}

// publishLog publishes entries. An entry that the bus refuses for good would
// stop the feed for ever and is in the log for everyone to read, so it is left
// out with a word to the operator.
func (g *Gateway) publishLog(ctx context.Context, entries []LogEntry) error {
	ctx, cancel := context.WithTimeout(ctx, publishWithin)
	defer cancel()
	topic := g.logTopic()
	records, headers := make([]Record, len(entries)), make([]Header, 2*len(entries))
	texts := make([]byte, 0, 80*len(entries)) // keys and what headers say, all of them one object
	from := func(begin int) []byte { return texts[begin:len(texts):len(texts)] }
	text := func(s string) []byte {
		begin := len(texts)
		texts = append(texts, s...)
		return from(begin)
	}
	for i := range entries {
		e := &entries[i]
		begin := len(texts)
		texts = strconv.AppendInt(texts, e.Index, 10)
		h := headers[2*i : 2*i+2 : 2*i+2]
		h[0], h[1] = Header{headerIndex, from(begin)}, Header{headerKind, text(e.Kind)}
		records[i] = Record{Topic: topic, Key: text(cmp.Or(e.Message, e.Kind)), Value: e.Leaf, Headers: h}
	}
	err := g.broker.Publish(ctx, records)
	var rejected *RejectedError
	if !errors.As(err, &rejected) {
		return err
	}
	for _, i := range rejected.Indexes {
		g.log.Error("the bus refuses an entry of the log for good; its readers miss it", "index", entries[i].Index, "error", rejected.Err)
	}
	if unpublished := (*UnpublishedError)(nil); errors.As(err, &unpublished) { // all of them come again, in order
		return unpublished
	}
	return nil
}
