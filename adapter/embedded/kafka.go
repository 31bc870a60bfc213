package embedded

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kfake"
)

// KafkaOptions says how an embedded broker is to be run. The zero value is one
// node on a free loopback port with a temporary directory.
type KafkaOptions struct {
	// Dir keeps the data and the choice of ports. Empty: a temporary directory
	// that goes when the broker stops.
	Dir string
	// Nodes is the number of brokers in the cluster, 1 when zero. They share
	// one process and one copy of the data.
	Nodes int
	// Durable writes every batch through to the disk before it is acknowledged.
	// Without it an acknowledged batch survives a crash of the process, but not
	// of the machine.
	Durable bool
	// TLS makes the broker listen with TLS.
	TLS *tls.Config
	// Users makes the broker ask for SASL.
	Users []KafkaUser
	// Behind are the addresses under which clients reach the nodes through
	// proxies of theirs, one for each node. The nodes themselves then listen
	// on the sockets that KafkaSocket names, and tell nobody of them.
	Behind []string
}

// KafkaSocket is where node n of a broker listens that is Behind proxies.
func KafkaSocket(dir string, n int) string {
	return filepath.Join(dir, fmt.Sprintf("broker-%d.sock", n))
}

// KafkaUser may log in to an embedded broker. Mechanism is PLAIN,
// SCRAM-SHA-256 or SCRAM-SHA-512.
type KafkaUser struct{ Mechanism, Name, Password string }

// Kafka is a running embedded broker.
type Kafka struct {
	cluster   *kfake.Cluster
	brokers   []string
	lock      *os.File
	temporary string
	stop      func() // ends retain
}

// retention is how often the retention of topics is applied; the broker does
// not do it by itself.
const retention = 10 * time.Minute

// kafkaState is the file that makes a second start on a directory the same
// cluster on the same ports: clients and config files keep working.
type kafkaState struct {
	ClusterID string `json:"clusterId"`
	Ports     []int  `json:"ports"`
}

// StartKafka starts a broker in this process. One process at a time may use a
// Dir. A restart reads the whole log (some 2 µs a batch), so topics of a kept
// directory should have a retention.
func StartKafka(opts KafkaOptions) (*Kafka, error) {
	k := &Kafka{}
	dir := opts.Dir
	if dir == "" {
		tmp, err := os.MkdirTemp("", "mezhved-kafka-")
		if err != nil {
			return nil, err
		}
		k.temporary, dir = tmp, tmp
	}
	if err := k.start(dir, opts); err != nil {
		k.Stop()
		return nil, fmt.Errorf("embedded broker in %s: %w", dir, err)
	}
	return k, nil
}

func (k *Kafka) start(dir string, opts KafkaOptions) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var err error
	if k.lock, err = lockFile(filepath.Join(dir, "lock")); err != nil {
		return err
	}
	state, err := readKafkaState(filepath.Join(dir, "cluster.json"), max(opts.Nodes, 1))
	if err != nil {
		return err
	}
	o := []kfake.Opt{
		kfake.ClusterID(state.ClusterID),
		kfake.Ports(state.Ports...),
		kfake.DataDir(filepath.Join(dir, "data")), // without it every record stays in memory for ever
	}
	if opts.Durable {
		o = append(o, kfake.SyncWrites())
	}
	listen := net.Listen
	if opts.Behind != nil {
		if len(opts.Behind) != len(state.Ports) {
			return fmt.Errorf("%d proxies stand before %d nodes", len(opts.Behind), len(state.Ports))
		}
		listen = behind(dir, opts.Behind)
	}
	o = append(o, kfake.ListenFn(lingering(listen)))
	if opts.TLS != nil {
		o = append(o, kfake.TLS(opts.TLS))
	}
	for _, u := range opts.Users {
		o = append(o, kfake.EnableSASL(), kfake.Superuser(u.Mechanism, u.Name, u.Password))
	}
	k.cluster, err = kfake.NewCluster(o...)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; stop the program that uses the port, or remove %s to choose others", err, filepath.Join(dir, "cluster.json"))
	}
	if err != nil {
		return err
	}
	k.brokers = k.cluster.ListenAddrs()
	done, stopped := make(chan struct{}), make(chan struct{})
	k.stop = func() { close(done); <-stopped }
	go func() {
		defer close(stopped)
		k.retain(done)
	}()
	return nil
}

// proxied is a listener that says it listens where its proxy does: the broker
// tells clients the address of its listener.
type proxied struct {
	net.Listener
	address net.Addr
}

func (p proxied) Addr() net.Addr { return p.address }

// behind listens for the nodes, one after the other, each behind its proxy.
func behind(dir string, proxies []string) func(network, address string) (net.Listener, error) {
	n := 0
	return func(network, _ string) (net.Listener, error) {
		if n == len(proxies) {
			return nil, errors.New("more nodes than proxies")
		}
		address, err := net.ResolveTCPAddr(network, proxies[n])
		if err != nil {
			return nil, err
		}
		socket := KafkaSocket(dir, n)
		n++
		if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) { // of a killed process
			return nil, err
		}
		l, err := net.Listen("unix", socket)
		if err != nil {
			return nil, err
		}
		return proxied{l, address}, nil
	}
}

// linger is how long the broker is not told that a client has gone. kfake counts a
// member whose connection ends while it waits for its group to assemble as one that
// has come, fails to answer it, and then never starts the clock of its session: it
// stays in the group for ever, with partitions that nobody reads. With the
// connection still open the answer is lost as it is on a real network, and the
// session ends in its time. So linger is longer than clients let a group assemble.
const linger = 30 * time.Second

// lingering makes the ends of a listener's connections known late.
func lingering(listen func(network, address string) (net.Listener, error)) func(network, address string) (net.Listener, error) {
	return func(network, address string) (net.Listener, error) {
		l, err := listen(network, address)
		if err != nil {
			return nil, err
		}
		return lingeringListener{l}, nil
	}
}

type lingeringListener struct{ net.Listener }

func (l lingeringListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lingeringConn{Conn: c, closed: make(chan struct{})}, nil
}

// lingeringConn gives the end of what is read when linger is over, or the broker
// itself closes the connection.
type lingeringConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *lingeringConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		wait := time.NewTimer(linger)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-c.closed:
		}
	}
	return n, err
}

func (c *lingeringConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// retain drops what topics need not keep, at the start and then regularly.
func (k *Kafka) retain(done <-chan struct{}) {
	tick := time.NewTicker(retention)
	defer tick.Stop()
	for {
		k.cluster.ApplyRetention()
		select {
		case <-tick.C:
		case <-done:
			return
		}
	}
}

// readKafkaState reads the ports of an earlier start, or chooses free ones and
// writes them down.
func readKafkaState(path string, nodes int) (kafkaState, error) {
	var state kafkaState
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		state.ClusterID = uuid.NewString()
	case err != nil:
		return state, err
	default:
		if err := json.Unmarshal(b, &state); err != nil {
			return state, fmt.Errorf("%s: %w", path, err)
		}
		if len(state.Ports) != nodes {
			return state, fmt.Errorf("%s is of a cluster of %d nodes, not %d", path, len(state.Ports), nodes)
		}
		return state, nil
	}
	// All at once, lest a port is chosen twice.
	var held []net.Listener
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for range nodes {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return state, err
		}
		held = append(held, l)
		state.Ports = append(state.Ports, l.Addr().(*net.TCPAddr).Port)
	}
	b, err = json.Marshal(state)
	if err != nil {
		return state, err
	}
	if err := os.WriteFile(path+".new", b, 0o644); err != nil {
		return state, err
	}
	return state, os.Rename(path+".new", path)
}

// Brokers are the addresses to connect to, host:port.
func (k *Kafka) Brokers() []string { return k.brokers }

// Cluster gives a test the means to break things: faults, moving leaders,
// removing nodes.
func (k *Kafka) Cluster() *kfake.Cluster { return k.cluster }

// Stop ends the broker. It may be called more than once.
func (k *Kafka) Stop() error {
	if k.stop != nil {
		k.stop()
		k.stop = nil
	}
	if k.cluster != nil {
		k.cluster.Close()
	}
	if k.lock != nil {
		k.lock.Close()
		k.lock = nil
	}
	if k.temporary != "" {
		return os.RemoveAll(k.temporary)
	}
	return nil
}

// childVariable in the environment makes ServeKafkaChild a broker.
const childVariable = "MEZHVED_EMBEDDED_KAFKA"

// KafkaChild is an embedded broker in a process of its own, for tests that
// kill it.
type KafkaChild struct {
	cmd     *exec.Cmd
	leash   io.Closer
	brokers []string
}

// StartKafkaChild starts this very program again as a broker. Its main, or
// TestMain, must call ServeKafkaChild first thing. The child ends with us.
func StartKafkaChild(opts KafkaOptions) (*KafkaChild, error) {
	if opts.TLS != nil || len(opts.Users) > 0 {
		return nil, errors.New("embedded broker: TLS and users are not for the child process")
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	set, err := json.Marshal(opts)
	if err != nil {
		return nil, err
	}
	cmd.Env = append(os.Environ(), childVariable+"="+string(set))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	leash, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		leash.Close()
		return nil, fmt.Errorf("embedded broker child: it ended before it listened (does main call ServeKafkaChild?): %v", cmd.Wait())
	}
	return &KafkaChild{cmd, leash, strings.Split(strings.TrimSpace(line), ",")}, nil
}

// Brokers are the addresses to connect to, host:port.
func (c *KafkaChild) Brokers() []string { return c.brokers }

// Process is the child's process, for other signals than Kill sends.
func (c *KafkaChild) Process() *os.Process { return c.cmd.Process }

// Kill ends the child by SIGKILL. Start another on the same Dir afterwards.
func (c *KafkaChild) Kill() error {
	if err := c.cmd.Process.Kill(); err != nil {
		return err
	}
	c.cmd.Wait() // says that it was killed, which we know
	return nil
}

// Stop ends the child and waits for it.
func (c *KafkaChild) Stop() error {
	c.leash.Close()
	return c.cmd.Wait()
}

// ServeKafkaChild returns at once in an ordinary process. In one started by
// StartKafkaChild it serves until its standard input closes, and exits.
func ServeKafkaChild() {
	set := os.Getenv(childVariable)
	if set == "" {
		return
	}
	os.Unsetenv(childVariable)
	var opts KafkaOptions
	err := json.Unmarshal([]byte(set), &opts)
	if err == nil {
		var k *Kafka
		if k, err = StartKafka(opts); err == nil {
			fmt.Println(strings.Join(k.Brokers(), ","))
			io.Copy(io.Discard, os.Stdin)
			err = k.Stop()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, strconv.Quote(err.Error()))
		os.Exit(1)
	}
	os.Exit(0)
}
