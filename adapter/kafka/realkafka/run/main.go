// Command run starts an Apache Kafka cluster, runs a command with
// KAFKA_BROKERS set to its addresses, and ends with the command's exit status:
//
//	go run ./adapter/kafka/realkafka/run -nodes 3 go test ./...
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mezhved/adapter/kafka/realkafka"
)

func main() {
	nodes := flag.Int("nodes", 1, "nodes of the cluster, 1 or 3")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: run [-nodes 1|3] COMMAND [ARG...]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *nodes, flag.Args())
	stop()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(max(exit.ExitCode(), 1))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "realkafka:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, nodes int, args []string) error {
	dir, err := os.MkdirTemp("", "realkafka-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	starting, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	c, err := realkafka.Start(starting, dir, nodes)
	if err != nil {
		return err
	}
	defer c.Stop()
	fmt.Fprintln(os.Stderr, "realkafka: Apache Kafka on", strings.Join(c.Brokers(), ","))
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "KAFKA_BROKERS="+strings.Join(c.Brokers(), ","), "KAFKA_REPLICATION="+strconv.Itoa(nodes))
	return cmd.Run()
}
