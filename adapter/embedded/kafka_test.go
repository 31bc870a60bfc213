package embedded

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

func write(t *testing.T, brokers []string, topic, value string) {
	t.Helper()
	w := &kafka.Writer{Addr: kafka.TCP(brokers...), Topic: topic, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond}
	defer w.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := w.WriteMessages(ctx, kafka.Message{Value: []byte(value)}); err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, brokers []string, topic string) {
	t.Helper()
	c := &kafka.Client{Addr: kafka.TCP(brokers...)}
	r, err := c.CreateTopics(context.Background(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}}})
	if err != nil || r.Errors[topic] != nil {
		t.Fatal(err, r)
	}
}

func read(t *testing.T, brokers []string, topic string, n int) []string {
	t.Helper()
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: brokers, Topic: topic, MaxWait: 100 * time.Millisecond})
	defer r.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var got []string
	for range n {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(m.Value))
	}
	return got
}

func TestKafkaKeepsItsDirectory(t *testing.T) {
	dir := t.TempDir()
	var first []string
	for i := range 3 {
		k, err := StartKafka(KafkaOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = k.Brokers()
			create(t, first, "kept")
			if _, err := StartKafka(KafkaOptions{Dir: dir}); err == nil || !strings.Contains(err.Error(), "locked") {
				t.Errorf("a second broker on the directory: %v, want an error about the lock", err)
			}
		}
		if got := k.Brokers(); !slices.Equal(got, first) {
			t.Errorf("start %d listens on %v, want %v as before", i, got, first)
		}
		write(t, first, "kept", fmt.Sprint(i))
		if err := k.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	k, err := StartKafka(KafkaOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Stop()
	if got, want := read(t, first, "kept", 3), []string{"0", "1", "2"}; !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
}

func TestKafkaListensOnLoopback(t *testing.T) {
	k, err := StartKafka(KafkaOptions{Nodes: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Stop()
	if got := len(k.Brokers()); got != 3 {
		t.Errorf("%d brokers, want 3", got)
	}
	for _, b := range k.Brokers() {
		host, _, err := net.SplitHostPort(b)
		if err != nil || !net.ParseIP(host).IsLoopback() {
			t.Errorf("listens on %s, want loopback", b)
		}
	}
}

func TestKafkaPortTaken(t *testing.T) {
	dir := t.TempDir()
	k, err := StartKafka(KafkaOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	addr := k.Brokers()[0]
	if err := k.Stop(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(addr)
	if _, err := StartKafka(KafkaOptions{Dir: dir}); err == nil || !strings.Contains(err.Error(), port) {
		t.Errorf("taken port: %v, want an error that names %s", err, port)
	}
}

func TestKafkaChildIsKilled(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for i := range 3 {
		c, err := StartKafkaChild(KafkaOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			create(t, c.Brokers(), "kept")
		}
		value := fmt.Sprint(i)
		write(t, c.Brokers(), "kept", value)
		want = append(want, value)
		if got := read(t, c.Brokers(), "kept", len(want)); !slices.Equal(got, want) {
			t.Errorf("read %v, want %v", got, want)
		}
		if err := c.Kill(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKafkaKeepsToItsRetention(t *testing.T) {
	dir := t.TempDir()
	start := func() *Kafka {
		k, err := StartKafka(KafkaOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k := start()
	if err := k.Cluster().CreateTopic("short", 1, map[string]string{"retention.ms": "50"}); err != nil {
		t.Fatal(err)
	}
	create(t, k.Brokers(), "long")
	write(t, k.Brokers(), "short", "old")
	write(t, k.Brokers(), "long", "kept")
	if err := k.Stop(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	k = start()
	defer k.Stop()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if k.Cluster().PartitionInfo("short", 0).LogStartOffset > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("an old record is kept: %+v", k.Cluster().PartitionInfo("short", 0))
		}
	}
	if got := read(t, k.Brokers(), "long", 1); got[0] != "kept" {
		t.Errorf("read %v", got)
	}
}

// A broker behind a proxy tells clients of the proxy and of nothing else.
func TestKafkaBehindAProxy(t *testing.T) {
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	dir := t.TempDir()
	var calls atomic.Int64
	go func() {
		for {
			client, err := proxy.Accept()
			if err != nil {
				return
			}
			calls.Add(1)
			server, err := net.Dial("unix", KafkaSocket(dir, 0))
			if err != nil {
				t.Error(err)
				return
			}
			go func() { io.Copy(server, client); server.Close() }()
			go func() { io.Copy(client, server); client.Close() }()
		}
	}()
	for i := range 2 { // the second start finds the socket of the first
		k, err := StartKafka(KafkaOptions{Dir: dir, Behind: []string{proxy.Addr().String()}})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := k.Brokers(), []string{proxy.Addr().String()}; !slices.Equal(got, want) {
			t.Fatalf("brokers %v, want %v", got, want)
		}
		if i == 0 {
			create(t, k.Brokers(), "t")
		}
		write(t, k.Brokers(), "t", "x")
		if got := read(t, k.Brokers(), "t", i+1); len(got) != i+1 || calls.Load() == 0 {
			t.Errorf("start %d: %d records read, %d connections through the proxy", i+1, len(got), calls.Load())
		}
		if err := k.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// A client that is killed while its group assembles is out of the group when its
// session has ended, and what was to be its share is another's.
func TestKafkaForgetsAMemberThatDiedWhileItJoined(t *testing.T) {
	t.Parallel()
	k, err := StartKafka(KafkaOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Stop()
	create(t, k.Brokers(), "shared")
	members := func() int {
		if g := k.Cluster().GroupInfo("readers"); g != nil {
			return len(g.Members)
		}
		return 0
	}
	until := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: not in two minutes; the group: %+v", what, k.Cluster().GroupInfo("readers"))
			}
		}
	}
	// join runs a member until the end of the test or until it is killed.
	join := func() (kill func()) {
		var mu sync.Mutex
		var held []net.Conn
		dead := false
		r := kafka.NewReader(kafka.ReaderConfig{
			Brokers: k.Brokers(), GroupID: "readers", GroupTopics: []string{"shared"},
			SessionTimeout: 6 * time.Second, RebalanceTimeout: 10 * time.Second, MaxWait: 100 * time.Millisecond,
			Dialer: &kafka.Dialer{DialFunc: func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := new(net.Dialer).DialContext(ctx, network, address)
				mu.Lock()
				defer mu.Unlock()
				if err == nil && dead {
					c.Close()
					return nil, net.ErrClosed
				}
				held = append(held, c)
				return c, err
			}},
		})
		t.Cleanup(func() { r.Close() })
		go r.FetchMessage(t.Context())
		return func() {
			mu.Lock()
			defer mu.Unlock()
			dead = true
			for _, c := range held {
				c.Close()
			}
		}
	}

	kill := join()
	until("the first member is in", func() bool { g := k.Cluster().GroupInfo("readers"); return g != nil && g.State == "Stable" })
	kill() // so the next ones wait for it
	kill = join()
	until("a second member waits", func() bool { return members() == 2 })
	kill()
	const alive = 9 // it is lost only if one of them leads the group, which is drawn
	for range alive {
		join()
	}
	until("the others wait", func() bool { return members() == 2+alive })
	until("the dead are out", func() bool {
		g := k.Cluster().GroupInfo("readers")
		return g.State == "Stable" && len(g.Members) == alive
	})
}
