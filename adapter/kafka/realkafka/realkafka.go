// Package realkafka starts Apache Kafka clusters for tests: combined
// broker and controller nodes (KRaft) on free loopback ports. It needs Java 17
// and, the first time, Maven with a way to a repository; the jars are kept in
// the cache directory. Only tests and the test tooling enter here.
package realkafka

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

//go:embed testdata/pom.xml
var pom []byte

// Cluster is a running cluster.
type Cluster struct {
	dir     string
	jars    string
	brokers []string // told to clients
	listens []string // where the nodes listen for clients
	nodes   []*node
}

// node is one Java process under its watcher.
type node struct {
	dir   string
	cmd   *exec.Cmd
	leash io.Closer
	done  chan struct{}
}

// Start makes a cluster of 1 or 3 nodes in dir and waits until every node
// listens. It ends with this process, however that ends.
func Start(ctx context.Context, dir string, nodes int) (*Cluster, error) {
	return StartBehind(ctx, dir, nodes, func(address string) (string, error) { return address, nil })
}

// StartBehind is Start of a cluster whose clients come through proxies: proxy
// gives, for the address where a node listens, the one that clients are told.
// The nodes speak to one another without them.
func StartBehind(ctx context.Context, dir string, nodes int, proxy func(address string) (string, error)) (*Cluster, error) {
	if nodes != 1 && nodes != 3 {
		return nil, fmt.Errorf("a cluster of %d nodes; 1 or 3 are known to work", nodes)
	}
	jars, err := fetch(ctx)
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, jars: jars}
	ports, err := freePorts(3 * nodes)
	if err != nil {
		return nil, err
	}
	var voters []string
	for i := range nodes {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", i+1, ports[nodes+i]))
		c.listens = append(c.listens, fmt.Sprintf("127.0.0.1:%d", ports[i]))
		told, err := proxy(c.listens[i])
		if err != nil {
			return nil, err
		}
		c.brokers = append(c.brokers, told)
	}
	out, err := c.java(ctx, "kafka.tools.StorageTool", "random-uuid")
	if err != nil {
		return nil, err
	}
	lines := strings.Fields(string(out))
	id := lines[len(lines)-1]
	for i := range nodes {
		n := &node{dir: filepath.Join(dir, fmt.Sprint("node", i+1))}
		c.nodes = append(c.nodes, n)
		if err := os.MkdirAll(n.dir, 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(n.config(), properties(i+1, nodes, c.listens[i], c.brokers[i], ports[nodes+i], ports[2*nodes+i], strings.Join(voters, ","), filepath.Join(n.dir, "data")), 0o644); err != nil {
			return nil, err
		}
		// The voters are in the configuration, so nothing more is said here.
		if _, err := c.java(ctx, "kafka.tools.StorageTool", "format", "-t", id, "-c", n.config()); err != nil {
			return nil, err
		}
	}
	for i := range c.nodes {
		if err := c.StartNode(i); err != nil {
			c.Stop()
			return nil, err
		}
	}
	for i := range c.nodes {
		if err := c.await(ctx, i); err != nil {
			c.Stop()
			return nil, err
		}
	}
	return c, nil
}

// Brokers are the addresses to connect to.
func (c *Cluster) Brokers() []string { return c.brokers }

// fetch copies the jars with Maven, once.
func fetch(ctx context.Context) (string, error) {
	sum := sha256.Sum256(pom)
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	jars := filepath.Join(base, "mezhved", "kafka-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(jars); err == nil {
		return jars, nil
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", errors.New("Maven (mvn) is needed to get Apache Kafka; install it, or put the jars into " + jars)
	}
	scratch, err := os.MkdirTemp("", "realkafka-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	if err := os.WriteFile(filepath.Join(scratch, "pom.xml"), pom, 0o644); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(jars), 0o755); err != nil {
		return "", err
	}
	half := jars + ".new"
	if err := os.RemoveAll(half); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", filepath.Join(scratch, "pom.xml"), "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+half)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("getting Apache Kafka with Maven: %v: %s", err, tail(out))
	}
	return jars, os.Rename(half, jars)
}

func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all are held until all are chosen
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// properties are the settings of a node. Fail-over is made quick: a broker
// that says nothing for 3 s has lost its partitions.
func properties(id, nodes int, listens, told string, controller, among int, voters, data string) []byte {
	inSync := 1
	if nodes > 1 {
		inSync = 2
	}
	return fmt.Appendf(nil, `process.roles=broker,controller
node.id=%[1]d
controller.quorum.voters=%[5]s
listeners=PLAINTEXT://%[3]s,AMONG://127.0.0.1:%[9]d,CONTROLLER://127.0.0.1:%[4]d
advertised.listeners=PLAINTEXT://%[8]s,AMONG://127.0.0.1:%[9]d
controller.listener.names=CONTROLLER
inter.broker.listener.name=AMONG
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,AMONG:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=%[6]s
auto.create.topics.enable=false
default.replication.factor=%[2]d
min.insync.replicas=%[7]d
unclean.leader.election.enable=false
offsets.topic.replication.factor=%[2]d
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=%[2]d
transaction.state.log.min.isr=%[7]d
share.coordinator.state.topic.replication.factor=%[2]d
share.coordinator.state.topic.min.isr=%[7]d
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
controlled.shutdown.enable=false
`, id, nodes, listens, controller, voters, data, inSync, told, among)
}

func (n *node) config() string { return filepath.Join(n.dir, "server.properties") }
func (n *node) log() string    { return filepath.Join(n.dir, "log") }

// javaArgs are common to nodes and tools.
func (c *Cluster) javaArgs(class string, args ...string) []string {
	return append([]string{"-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-Djava.awt.headless=true", "-Dlog4j2.level=WARN", "-cp", filepath.Join(c.jars, "*"), class}, args...)
}

func (c *Cluster) java(ctx context.Context, class string, args ...string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, "java", c.javaArgs(class, args...)...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %v: %s", class, args[0], err, tail(out))
	}
	return out, nil
}

// watcher kills the node when its standard input closes: at the latest when
// the process that started it is gone.
const watcher = `
exec 9<&0
"$@" </dev/null 9<&- &
node=$!
{ read -r line <&9; kill -KILL $node; } 2>/dev/null &
waiter=$!
wait $node
kill $waiter 2>/dev/null
`

// StartNode starts a node that does not run, counting from 0.
func (c *Cluster) StartNode(i int) error {
	n := c.nodes[i]
	log, err := os.OpenFile(n.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	java, err := exec.LookPath("java")
	if err != nil {
		return errors.New("Java 17 or newer is needed to run Apache Kafka")
	}
	args := append([]string{"-c", watcher, "realkafka-watcher", java}, c.javaArgs("kafka.Kafka", n.config())...)
	n.cmd = exec.Command("/bin/sh", args...)
	n.cmd.Stdout, n.cmd.Stderr = log, log
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if n.leash, err = n.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := n.cmd.Start(); err != nil {
		return err
	}
	n.done = make(chan struct{})
	go func() {
		n.cmd.Wait()
		close(n.done)
	}()
	return nil
}

// await waits until a node listens.
func (c *Cluster) await(ctx context.Context, i int) error {
	for {
		conn, err := net.DialTimeout("tcp", c.listens[i], time.Second)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-c.nodes[i].done:
			out, _ := os.ReadFile(c.nodes[i].log())
			return fmt.Errorf("kafka node %d ended: %s", i+1, tail(out))
		case <-ctx.Done():
			return fmt.Errorf("kafka node %d does not listen: %w", i+1, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// KillNode ends a node by SIGKILL.
func (c *Cluster) KillNode(i int) {
	c.nodes[i].leash.Close()
	<-c.nodes[i].done
}

// Signal sends a signal to a node and to what watches over it, such as SIGSTOP.
func (c *Cluster) Signal(i int, signal syscall.Signal) error {
	return syscall.Kill(-c.nodes[i].cmd.Process.Pid, signal) // a group of its own
}

// Wipe removes what a node that does not run has on its disk, but for its
// identity: it starts as one whose data were lost.
func (c *Cluster) Wipe(ctx context.Context, i int) error {
	n := c.nodes[i]
	data := filepath.Join(n.dir, "data")
	identity, err := os.ReadFile(filepath.Join(data, "meta.properties"))
	if err != nil {
		return err
	}
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	id := ""
	for line := range strings.Lines(string(identity)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "cluster.id="); ok {
			id = v
		}
	}
	_, err = c.java(ctx, "kafka.tools.StorageTool", "format", "-t", id, "-c", n.config())
	return err
}

// Stop ends all nodes. Nothing on disk is worth keeping, so they are killed.
func (c *Cluster) Stop() {
	for _, n := range c.nodes {
		if n.leash != nil {
			n.leash.Close()
		}
	}
	for _, n := range c.nodes {
		if n.done != nil {
			<-n.done
		}
	}
}

func tail(out []byte) string {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-5):], []byte("\n")))
}
