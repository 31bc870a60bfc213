package adapter

import (
	"time"

	"mezhved/adapter/terms"
)

// sooner brings a moment that counts from another nearer, by the haste of a sandbox.
func (g *Gateway) sooner(from, t time.Time) time.Time {
	haste := g.rooms.Haste
	if haste <= 1 || !t.After(from) {
		return t
	}
	return from.Add(time.Duration(float64(t.Sub(from)) / haste)).Truncate(time.Millisecond)
}

// hasten brings the terms of a message nearer. What counts from its delivery counts
// from its acceptance in a sandbox.
func (g *Gateway) hasten(c *call, m *Message) {
	if g.rooms.Haste <= 1 {
		return
	}
	later := m.Later.Due(c.catalog.Calendar, m.Accepted)
	for _, s := range terms.Stages {
		if at := later.At(s); !at.IsZero() {
			m.Due.Earlier(s, at)
		}
	}
	m.Later = terms.Later{}
	d := &m.Due
	for _, at := range []*time.Time{&d.Queued, &d.Taken, &d.Status, &d.Answered} {
		*at = g.sooner(m.Accepted, *at)
	}
	m.Deadline = d.Answered
}
