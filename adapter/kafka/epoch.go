package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/google/uuid"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// metadataVersion is the one that brings topic ids (KIP-516, Kafka 2.8).
const metadataVersion = 10

// epochs gives the incarnation of each topic: the cluster's id and the topic's
// own id. Topics that do not exist are absent. A cluster too old to have topic
// ids is known by its own id alone; there a topic must not be made anew under
// the same name.
func (b *Broker) epochs(ctx context.Context, topics []string) (map[string]string, error) {
	answer, err := b.metadata(ctx, topics)
	if err != nil {
		return nil, err
	}
	return epochsIn(answer), nil
}

func epochsIn(answer *kmsg.MetadataResponse) map[string]string {
	cluster := ""
	if answer.ClusterID != nil {
		cluster = *answer.ClusterID
	}
	found := make(map[string]string, len(answer.Topics))
	for _, t := range answer.Topics {
		if t.Topic == nil || t.ErrorCode != 0 && kafka.Error(t.ErrorCode) != kafka.LeaderNotAvailable {
			continue
		}
		found[*t.Topic] = cluster
		if id := uuid.UUID(t.TopicID); id != uuid.Nil {
			found[*t.Topic] = cluster + "/" + id.String()
		}
	}
	return found
}

// metadata asks a broker for topics, on a connection of its own. kafka-go
// would answer from its cache, also when no broker is left to ask, and does not
// know topic ids; so the request is written by hand, to a connection that
// kafka-go has logged in.
func (b *Broker) metadata(ctx context.Context, topics []string) (*kmsg.MetadataResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var errs []error
	for _, broker := range b.opts.Brokers {
		answer, err := b.askMetadata(ctx, broker, topics)
		if err == nil {
			return answer, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", broker, err))
	}
	return nil, fmt.Errorf("kafka: asking for topics: %w", errors.Join(errs...))
}

func (b *Broker) askMetadata(ctx context.Context, broker string, topics []string) (*kmsg.MetadataResponse, error) {
	l, err := b.line(ctx, broker)
	if err != nil {
		return nil, err
	}
	defer l.conn.Close()
	return l.metadata(ctx, topics)
}

// line is a connection to one broker for requests that kafka-go cannot make.
type line struct {
	conn    net.Conn
	client  string
	version int16 // of metadata requests
}

func (b *Broker) line(ctx context.Context, broker string) (*line, error) {
	conn, err := b.dial(ctx, broker)
	if err != nil {
		return nil, err
	}
	l := &line{conn, b.opts.ClientID, 1}
	supported := kmsg.NewPtrApiVersionsResponse()
	if err := l.exchange(ctx, kmsg.NewPtrApiVersionsRequest(), supported); err != nil {
		conn.Close()
		return nil, err
	}
	for _, k := range supported.ApiKeys {
		if k.ApiKey == kmsg.NewPtrMetadataRequest().Key() {
			l.version = min(metadataVersion, k.MaxVersion)
		}
	}
	return l, nil
}

func (l *line) metadata(ctx context.Context, topics []string) (*kmsg.MetadataResponse, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.Version = l.version
	request.Topics = []kmsg.MetadataRequestTopic{} // nil would be all
	for _, t := range topics {
		request.Topics = append(request.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(t)})
	}
	answer := kmsg.NewPtrMetadataResponse()
	return answer, l.exchange(ctx, request, answer)
}

// dial gives a connection that kafka-go has logged in.
func (b *Broker) dial(ctx context.Context, broker string) (net.Conn, error) {
	var conn net.Conn
	d := b.dialer()
	d.TLS = nil // done below, to get hold of the connection with TLS on it
	d.DialFunc = func(ctx context.Context, network, address string) (c net.Conn, err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil || b.opts.TLS == nil {
			return conn, err
		}
		config := b.opts.TLS.Clone()
		if config.ServerName == "" {
			config.ServerName, _, _ = net.SplitHostPort(broker)
		}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		conn = secure
		return conn, nil
	}
	if _, err := d.DialContext(ctx, "tcp", broker); err != nil {
		return nil, err
	}
	return conn, nil
}

func (b *Broker) dialer() *kafka.Dialer {
	return &kafka.Dialer{ClientID: b.opts.ClientID, Timeout: 5 * time.Second, DualStack: true, TLS: b.opts.TLS, SASLMechanism: b.mechanism}
}

// exchange sends a request and reads its answer.
func (l *line) exchange(ctx context.Context, request kmsg.Request, answer kmsg.Response) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.conn.SetDeadline(time.Unix(1, 0)) })()
	return exchange(l.conn, l.client, request, answer)
}
