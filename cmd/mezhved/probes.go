package main

import (
	"context"

	"mezhved/adapter"
	"mezhved/adapter/lifecycle/impact"
	probes "mezhved/adapter/lifecycle/probe"
	"mezhved/adapter/registry"
)

// openProbes makes the node watch the services that say how.
func (n *node) openProbes(ctx context.Context, rooms *adapter.Rooms, c *registry.Catalog) error {
	signer, err := n.config.LoadProbeSigner(ctx, c)
	if err != nil {
		return usage(err)
	}
	o := probes.Options{Store: n.store, Gateway: func() *adapter.Gateway { return n.gateway }, Signer: signer, Now: n.clock.Now, Log: n.log, Metrics: rooms.Metrics}
	if !n.config.Signature.Off {
		o.Bus = rooms.Verifier
	}
	rooms.Loops = append(rooms.Loops, adapter.Loop{Name: "probes", Run: probes.New(o).Run})
	return nil
}

// openShadow gives the gateway drafts to hold messages against.
func (n *node) openShadow(rooms *adapter.Rooms) {
	s := impact.NewShadow(n.store, func() *registry.Catalog { return n.gateway.Catalog() }, n.log, rooms.Metrics)
	rooms.Shadow = s.Offer
	rooms.Loops = append(rooms.Loops, adapter.Loop{Name: "shadow", Run: s.Run})
}
