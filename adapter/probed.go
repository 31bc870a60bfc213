package adapter

import (
	"crypto/hmac"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter/journal"
	"mezhved/adapter/registry"
)

// Probes are messages of the party that the configuration names (probe.party), marked
// TestMessage. Calls that bring them, hand them out, answer and acknowledge them are in
// no total of calls: they say nothing of what services do for those who need them. An
// Ack says nothing of what it acknowledges but its MessageID, and any node may be asked
// to carry it out, so the MessageIDs of probes are such as those who have the keys of
// reply addresses know again.

// probes says whether a party is the one that probes.
func (g *Gateway) probes(p *registry.Party) bool {
	return p != nil && p.Mnemonic == Mnemonic(g.config.Probe.Party)
}

// aside notes that the call is about a message of a probe, or an answer to one.
func (c *call) aside(sender Mnemonic, test bool) {
	c.probe = c.probe || test && sender != "" && sender == Mnemonic(c.g.config.Probe.Party)
}

// uncounted says whether a call is in no total: it is the prober's, or about his messages.
func (g *Gateway) uncounted(c *call) bool { return c.probe || g.probes(c.party) }

// ProbeID makes a MessageID for a probe: a UUID of version 1 whose node, a random one by
// its mark, is made of the rest of it with a key of reply addresses.
func (g *Gateway) ProbeID(now time.Time) MessageID {
	id := uuid.New() // its clock sequence is random
	setTime(&id, now)
	node := probeNode(g.replies[0], id)
	copy(id[10:], node[:])
	return MessageID(id.String())
}

func probeNode(key []byte, id uuid.UUID) (node [6]byte) {
	var room [32]byte
	sum := journal.MAC(key, append(append(room[:0], "mezhved probe\x00"...), id[:10]...))
	copy(node[:], sum[:])
	node[0] |= 1 // of no device (RFC 4122, 4.5)
	return node
}

// ofProbe says whether a MessageID was made for a probe.
func (g *Gateway) ofProbe(s string) bool {
	id, ok := parseLowerUUID(s)
	if !ok || id[10]&1 == 0 {
		return false
	}
	for _, key := range g.replies {
		if node := probeNode(key, id); hmac.Equal(node[:], id[10:]) {
			return true
		}
	}
	return false
}
