package adaptertest

import (
	"bytes"
	"context"
	"encoding/hex"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"mezhved/adapter/embedded"
	"mezhved/adapter/postgres"
)

// PostgresTool finds a client program of PostgreSQL; without it the test is skipped.
func PostgresTool(t testing.TB, name string) string {
	t.Helper()
	path, err := embedded.Client(t.Context(), name, 0)
	if err != nil {
		t.Skip(err)
	}
	return path
}

// Dump is what pg_dump writes of the world's database.
func (w *World) Dump() []byte {
	w.T.Helper()
	var wrong bytes.Buffer
	cmd := exec.Command(PostgresTool(w.T, "pg_dump"), w.database)
	cmd.Stderr = &wrong
	out, err := cmd.Output()
	if err != nil {
		w.T.Fatalf("pg_dump: %v\n%s", err, wrong.String())
	}
	return out
}

// Restore puts a dump in the place of the world's database, as an operator would who
// has only that. The gateway must be stopped. What it gives is a store on it.
func (w *World) Restore(dump []byte) *postgres.Store {
	w.T.Helper()
	w.SQL("DROP SCHEMA public CASCADE")
	w.SQL("CREATE SCHEMA public")
	cmd := exec.Command(PostgresTool(w.T, "psql"), "-q", "-v", "ON_ERROR_STOP=1", "-d", w.database)
	cmd.Stdin = bytes.NewReader(withoutSchema(dump))
	if out, err := cmd.CombinedOutput(); err != nil {
		w.T.Fatalf("psql: %v\n%s", err, out)
	}
	s, err := postgres.Open(context.Background(), postgres.Options{URL: w.database, Node: "restored", Vault: w.Vault, Log: w.logger()})
	w.must(err)
	w.T.Cleanup(s.Close)
	return s
}

// withoutSchema leaves out the statement that makes what every database has.
func withoutSchema(dump []byte) []byte {
	return bytes.Replace(dump, []byte("CREATE SCHEMA public;"), nil, 1)
}

// Records are the bytes of every record that stands on the world's topics: keys,
// values and headers, as the broker gives them to anybody.
func (w *World) Records() []byte {
	w.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := kafkago.DialContext(ctx, "tcp", w.brokers[0])
	w.must(err)
	defer conn.Close()
	partitions, err := conn.ReadPartitions()
	w.must(err)
	var all []byte
	for _, p := range partitions {
		if !strings.HasPrefix(p.Topic, w.Config.Kafka.Prefix+".") {
			continue
		}
		leader, err := kafkago.DialLeader(ctx, "tcp", w.brokers[0], p.Topic, p.ID)
		w.must(err)
		first, end, err := leader.ReadOffsets()
		w.must(err)
		leader.Close()
		r := kafkago.NewReader(kafkago.ReaderConfig{Brokers: w.brokers, Topic: p.Topic, Partition: p.ID, MaxWait: 100 * time.Millisecond})
		w.must(r.SetOffset(first))
		for at := first; at < end; {
			m, err := r.ReadMessage(ctx)
			w.must(err)
			at = m.Offset + 1
			all = append(append(append(all, m.Key...), m.Value...), '\n')
			for _, h := range m.Headers {
				all = append(append(all, h.Key...), h.Value...)
			}
		}
		r.Close()
	}
	return all
}

// Files are the bytes of all files under a folder of the world.
func (w *World) Files(folder string) []byte {
	w.T.Helper()
	var all []byte
	err := filepath.WalkDir(w.path(folder), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil // removed meanwhile
		}
		all = append(append(all, b...), '\n')
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		w.T.Fatal(err)
	}
	return all
}

// Holds says whether bytes hold a text as it is, or in hex as pg_dump writes binary
// columns.
func Holds(all []byte, text string) bool {
	return bytes.Contains(all, []byte(text)) || bytes.Contains(all, []byte(hex.EncodeToString([]byte(text))))
}
