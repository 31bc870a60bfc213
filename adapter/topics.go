package adapter

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"mezhved/adapter/registry"
)

// Topic is a topic as it is made.
type Topic struct {
	Name       string
	Partitions int // 0: the broker's default
}

// Topics are the topics of the bus that the catalog needs, and those that the
// intake reads. What the intake does not read any more, since the catalog or the
// layout has changed, is put on the bus once more (see recallStrays).
func (k KafkaConfig) Topics(c *registry.Catalog) (all []Topic, intake []string) {
	made := map[string]bool{}
	for _, p := range c.Parties() {
		for _, kind := range []QueueKind{QueueRequests, QueueResponses} {
			name, own := k.topicOf(c, Queue{System: p.Mnemonic, Kind: kind})
			if made[name] {
				continue
			}
			made[name] = true
			t := Topic{Name: name}
			if !own {
				t.Partitions = k.Shared
			}
			all, intake = append(all, t), append(intake, name)
		}
	}
	return append(all, Topic{Name: k.LogTopic()}, Topic{Name: k.Prefix + ".dead"}), intake
}

// LogTopic is the topic of the journal's log.
func (k KafkaConfig) LogTopic() string { return k.Prefix + ".journal" }

// topicOf is where the records of a queue stand, and whether no other party's stand
// there. Each party has topics of its own; with kafka.shared they are shared, where
// nobody reads them but gateways. A record's key is its queue, so the order within
// a queue is kept either way.
func (k KafkaConfig) topicOf(c *registry.Catalog, q Queue) (topic string, own bool) {
	kind := ".responses"
	if q.Kind == QueueRequests {
		kind = ".requests"
	}
	if k.Shared > 0 && (q.Kind != QueueRequests || !c.Streams(q.System)) {
		return k.Prefix + kind, false
	}
	return k.Prefix + kind + "." + topicName(q.System), true
}

func (g *Gateway) topicOf(q Queue) string {
	topic, _ := g.config.Kafka.topicOf(g.Catalog(), q)
	return topic
}

// Unsealed are the topics whose records bear content in the clear, because somebody
// beside the gateways reads them, and for how long that content is kept elsewhere: as
// long as the topic may keep it; 0 is for ever.
func (k KafkaConfig) Unsealed(c *registry.Catalog, keep KeepConfig) map[string]time.Duration {
	topics := map[string]time.Duration{}
	bears := func(p *registry.Party, kind QueueKind, most time.Duration) {
		topic, _ := k.topicOf(c, Queue{System: p.Mnemonic, Kind: kind})
		if had, ok := topics[topic]; !ok || had == 0 || most > 0 && most < had {
			topics[topic] = most
		}
	}
	for _, s := range c.Services() {
		for _, p := range c.Parties() {
			if (s.Stream || k.Content == ContentPlain) && slices.Contains(s.Providers, p.Mnemonic) {
				bears(p, QueueRequests, keep.For(c, s.Name, true))
			}
			if k.Content == ContentPlain && s.Admits(p.Mnemonic) {
				bears(p, QueueResponses, keep.For(c, s.Name, false))
			}
		}
	}
	return topics
}

// topicName makes a mnemonic fit for a topic: what Kafka does not allow there
// is replaced, and a digest keeps two such names apart.
func topicName(m Mnemonic) string {
	safe := []byte(m)
	changed := false
	for i, b := range safe {
		ok := b == '.' || b == '-' || b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
		if !ok {
			safe[i], changed = '-', changed || b != '_'
		}
		if b == '_' { // kept: Kafka warns only of mixing '.' and '_' in metric names
			safe[i] = '_'
		}
	}
	if !changed {
		return string(safe)
	}
	sum := sha256.Sum256([]byte(m))
	return string(safe) + "-" + hex.EncodeToString(sum[:4])
}
