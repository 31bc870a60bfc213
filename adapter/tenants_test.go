package adapter_test

import (
	"context"
	"io"
	"strings"
	"testing"

	kafkago "github.com/segmentio/kafka-go"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/envelopes"
)

// Two tenants are two sets of processes, with a database each on one PostgreSQL server and
// a prefix of topics each on one Kafka. They have parties of the same names, the same
// services and even the same MessageIDs, and neither sees, refuses or counts anything of
// the other's: not at the door, where a party of one is a stranger to the other, not on the
// bus, not in queues, journal and metrics.
func TestTenantsDoNotTouchEachOther(t *testing.T) {
	t.Parallel()
	prefixed := func(prefix string) adaptertest.Option {
		return adaptertest.WithConfig(func(c *adapter.Config) {
			c.Kafka.Prefix, c.Kafka.Group = prefix, ""
			*c = c.WithDefaults()
			c.Listen = "127.0.0.1:0"
		})
	}
	a := adaptertest.Start(t, prefixed("mezhved.a"))
	b := adaptertest.Start(t, prefixed("mezhved.b"), adaptertest.Beside(a))
	tenants := []*adaptertest.World{a, b}
	if g := a.Config.Kafka.Group; g != "mezhved.a-intake" || g == b.Config.Kafka.Group {
		t.Errorf("the intakes are in the groups %s and %s", g, b.Config.Kafka.Group)
	}

	id := a.Party("MUNI").ID()
	ask := request(adaptertest.Extract1)
	ask.ID = id
	for _, w := range tenants {
		accepted(t, w.Party("MUNI").Send(ask))
	}
	for _, w := range tenants {
		to := take(t, w.Party("REGISTRY"), envelopes.GetRequest, "").ReplyTo
		accepted(t, w.Party("REGISTRY").Reply(to, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}))
		take(t, w.Party("MUNI"), envelopes.GetResponse, "")
		if got := life(t, w, id); got != "accepted queued delivered acknowledged answered" {
			t.Errorf("life of the request: %s", got)
		}
		if n := w.Number("SELECT count(*) FROM message"); n != 2 {
			t.Errorf("the tenant has %d messages, want its own two", n)
		}
		if n := w.Number("SELECT count(*) FROM kafka_offset WHERE topic NOT LIKE $1", w.Config.Kafka.Prefix+".%"); n != 0 {
			t.Errorf("the tenant has read %d topics of others", n)
		}
	}

	// A party of one tenant is a stranger to the other, also under a name that it has.
	refused{fault: envelopes.SenderIsNotRegistered, stranger: true, rule: "stranger"}.check(t, b, a.Party("MUNI").At(b.URL).Send(request(adaptertest.Extract1)))

	// Each has topics of its own, and nothing is read that is not one's own.
	transport := &kafkago.Transport{} // the default one remembers the topics that were there for another test
	defer transport.CloseIdleConnections()
	bus := &kafkago.Client{Addr: kafkago.TCP(a.Brokers()...), Transport: transport}
	for _, w := range tenants {
		name := w.Config.Kafka.Prefix + ".requests.REGISTRY"
		told, err := bus.Metadata(context.Background(), &kafkago.MetadataRequest{Topics: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		if len(told.Topics) != 1 || told.Topics[0].Name != name || told.Topics[0].Error != nil {
			t.Errorf("the topic %s: %+v", name, told.Topics)
		}
	}
	for _, w := range tenants {
		resp, err := w.HTTP.Get(w.URL + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(text), "\nmezhved_foreign_records_total 0\n") || !strings.Contains(string(text), `mezhved_party_calls_total{outcome="ok",system="MUNI",what="send"} 1`) {
			t.Errorf("the tenant counts what is not its own: %v", err)
		}
	}
	a.Check()
	b.Check()
}
