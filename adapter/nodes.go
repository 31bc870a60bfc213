package adapter

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Build says what a program was made from.
type Build struct {
	Version string // of the release; development: none
	Commit  string // full hash; empty: not known
}

// Node is one of those that share the database, by its own word.
type Node struct {
	Name string
	Build
	Started time.Time
	Seen    time.Time     // by the database's clock
	Ago     time.Duration // since then
}

// String is the build as people are told of it.
func (b Build) String() string {
	if len(b.Commit) < 12 {
		return b.Version
	}
	return b.Version + " " + b.Commit[:12]
}

const (
	tellNode = time.Minute // how often a node says that it is there
	nodeAway = 5 * time.Minute
)

// nodesOnce tells the others of this node, now and then, and the metrics of the others.
func (g *Gateway) nodesOnce(ctx context.Context) error {
	if now := g.ticks(); g.nodeTold.IsZero() || now-g.nodeTick >= tellNode {
		started := g.nodeTold
		if started.IsZero() {
			started = g.now().UTC()
		}
		if err := g.store.TellNode(ctx, Node{Name: g.config.Node, Build: g.rooms.Build, Started: started}); err != nil {
			return err
		}
		g.nodeTold, g.nodeTick = started, now
	}
	nodes, err := g.store.Nodes(ctx)
	if err != nil {
		return err
	}
	g.metrics.nodes.Reset()
	for _, n := range nodes {
		if n.Ago < nodeAway {
			g.metrics.nodes.With(prometheus.Labels{"version": n.Build.String()}).Inc()
		}
	}
	return nil
}
