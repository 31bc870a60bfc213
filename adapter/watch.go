package adapter

import (
	"context"
	"time"
)

// Still is something that stands still: what was promised waits longer at one
// station than it should, since when, and what to do.
type Still struct {
	Station Station   `json:"station"`
	Shard   *int      `json:"shard,omitempty"`
	Since   time.Time `json:"since"`
	Seconds int       `json:"seconds"`
	Text    string    `json:"text"`
}

// stillTexts say what waits and what to do. Accepts go on in all of these but the vault's.
var stillTexts = map[Station]string{
	StationOutbox:      "accepted messages wait for the bus; nothing is lost, they go when it takes them: look at Kafka, and at the lines \"the bus does not take messages of some queues\" and \"making topics\" in the logs of all nodes",
	StationBus:         "messages that the bus has acknowledged have not come to their queues: look at Kafka and at the lines \"kafka: …\" in the logs of all nodes; what the bus has lost is put there again by itself",
	StationJournal:     "committed events wait for their place in the log: the node with journal.key that leads does not work, or none does; look at its log and at mezhved doctor there",
	StationCheckpoint:  "entries of the log are under no signed checkpoint: look at journal.state and its disk, and at the log, of the node with journal.key that leads",
	StationFeed:        "entries of the log wait to be put on its topic; nothing is lost: look at Kafka and at the lines \"feeding the log\" in the logs of all nodes",
	StationTerm:        "messages past their end of life stand in queues, and their senders are not told: look at the lines \"sweeping\" in the logs of all nodes",
	StationVault:       "this node's vault lacks a key that the database is sealed with, has another in its place or cannot read it, and nothing is accepted here: the line vault.key-missing of its log says which, where, and what to do",
	StationVaultFolder: "the whole vault of this node is away (journal.vault): its folder is not there, or has no vault in it, and nothing is accepted here: is the storage mounted that all nodes share? The line vault.key-missing of its log says which folder",
}

// stillAgain is how often it is said again that something stands still.
const stillAgain = 15 * time.Minute

// watcher is what this node knows of what waits.
type watcher struct {
	still map[Oldest]*stillTold // key: station and shard alone
	seen  time.Duration         // the tick of the last look that was answered, or of the start
	now   []Still
	blind string // why nothing can be seen, since the last look failed
}

type stillTold struct {
	since time.Time
	told  time.Duration // tick
}

// watch looks, from the data alone, whether what was promised gets on: the loops
// that should do it may all believe that they do. Every node looks, so that one
// that is at work tells of another that is not.
func (g *Gateway) watch(ctx context.Context) error {
	for {
		if g.watchOnce(ctx) {
			if err := g.nodesOnce(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
		every := g.config.Times.Watch.D()
		if wait := g.limits().Wait.D(); wait > 0 {
			every = min(every, wait/8)
		}
		if !sleep(ctx, every) {
			return nil
		}
	}
}

// watchOnce looks once, and says whether the store has answered.
func (g *Gateway) watchOnce(ctx context.Context) bool {
	round, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	standing, err := g.store.Standing(round)
	g.watchMu.Lock()
	defer g.watchMu.Unlock()
	w := &g.watched
	if err != nil {
		if w.blind == "" && ctx.Err() == nil {
			g.log.Warn("nobody can say what stands still: the store does not answer", "error", err)
		}
		w.blind = err.Error()
		return false
	}
	w.blind, w.seen = "", g.ticks()
	g.metrics.standing(standing)
	g.setPace(standing)
	w.now = w.now[:0:0]
	stand := map[Oldest]bool{}
	for _, o := range standing.Oldest {
		if o.Age <= g.stillAfter(o.Station) {
			continue
		}
		key := Oldest{Station: o.Station, Shard: o.Shard}
		stand[key] = true
		s := Still{Station: o.Station, Since: o.Since.Truncate(time.Millisecond), Seconds: int(o.Age.Seconds()), Text: stillTexts[o.Station]}
		if o.Station.sharded() {
			s.Shard = &key.Shard
		}
		w.now = append(w.now, s)
		told := w.still[key]
		switch {
		case told == nil:
			g.log.Error("it stands still: "+s.Text, "station", o.Station, "shard", o.Shard, "since", s.Since, "for", o.Age.Round(time.Second))
			w.still[key] = &stillTold{since: s.Since, told: g.ticks()}
		case g.ticks()-told.told > stillAgain:
			g.log.Error("it still stands still: "+s.Text, "station", o.Station, "shard", o.Shard, "since", s.Since, "for", o.Age.Round(time.Second))
			told.told = g.ticks()
		}
	}
	for key, told := range w.still {
		if !stand[key] {
			g.log.Info("it gets on again", "station", key.Station, "shard", key.Shard, "stood since", told.since)
			delete(w.still, key)
		}
	}
	return true
}

// stillAfter is how long something may wait at a station. A message whose life ends
// while it is leased is left until it comes back.
func (g *Gateway) stillAfter(s Station) time.Duration {
	switch s {
	case StationTerm:
		return g.config.Queues.Lease.D() + g.config.Times.Still.D()
	case StationVault, StationVaultFolder: // it does not come back by itself
		return 0
	}
	return g.config.Times.Still.D()
}

func (s Station) sharded() bool { return s == StationOutbox || s == StationBus }

// stillNow is what stood still at the last look. A node that has not been able to
// look for long says so: no news is not good news.
func (g *Gateway) stillNow() []Still {
	g.watchMu.Lock()
	defer g.watchMu.Unlock()
	w := &g.watched
	list := append([]Still{}, w.now...)
	if age := g.blindFor(); age > g.config.Times.Still.D() {
		list = append(list, Still{Station: "watch", Since: g.now().Add(-age).UTC().Truncate(time.Second), Seconds: int(age.Seconds()),
			Text: "this node cannot see what waits: look at the database and at this node's log"})
	}
	return list
}

// blindFor is how long ago the last look was answered. Call it with watchMu held.
func (g *Gateway) blindFor() time.Duration { return g.ticks() - g.watched.seen }
