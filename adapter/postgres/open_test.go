package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"mezhved/adapter"
	"mezhved/adapter/embedded"
	"mezhved/adapter/postgres"
)

func nothing(context.Context, string) error { return nil }

func TestMigrateTogether(t *testing.T) {
	url := embedded.Test(t, nothing)
	ctx := context.Background()
	if _, err := postgres.Open(ctx, postgres.Options{URL: url}); !errors.Is(err, postgres.ErrSchema) {
		t.Errorf("open an empty database: %v, want ErrSchema", err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := postgres.Migrate(ctx, url); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	w := &world{T: t, url: url}
	w.Store = w.another(postgres.Options{})
	w.accept(w.message())

	w.query(exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)"))
	if _, err := postgres.Open(ctx, postgres.Options{URL: url}); !errors.Is(err, postgres.ErrSchema) {
		t.Errorf("open a database of a newer program: %v, want ErrSchema", err)
	}
}

// Nodes with different samples use different dictionaries, and read each other's.
func TestDictionaries(t *testing.T) {
	w := open(t)
	certificate := random(2000)
	body := func(m *adapter.Message) { m.Body = append(envelope(m.MessageID), certificate...) }
	plain := w.message(body)
	w.accept(plain)
	knowing := w.another(postgres.Options{Samples: [][]byte{certificate}})
	known := w.message(body)
	if _, err := knowing.Accept(context.Background(), known, nil); err != nil {
		t.Fatal(err)
	}
	if got := w.count("SELECT count(*) FROM dictionary"); got != 4 { // each has one of bodies and one of receipts
		t.Errorf("%d dictionaries, want 4", got)
	}
	w.another(postgres.Options{Samples: [][]byte{certificate}})
	if got := w.count("SELECT count(*) FROM dictionary"); got != 4 {
		t.Errorf("%d dictionaries, want the same samples to make the same one", got)
	}
	size := func(m *adapter.Message) int {
		return w.count("SELECT length(body) FROM message WHERE message_id = $1", string(m.MessageID))
	}
	if size(known) > 300 || size(plain) < 2000 {
		t.Errorf("stored in %d bytes with the sample and %d without", size(known), size(plain))
	}
	for _, s := range []*postgres.Store{w.Store, knowing} {
		for _, m := range []*adapter.Message{plain, known} {
			found, err := s.Find(context.Background(), m.MessageID)
			if err != nil || !bytes.Equal(found[0].Body, m.Body) {
				t.Errorf("body is not what was accepted: %v", err)
			}
		}
	}
}

func TestDamagedBodyIsNotDelivered(t *testing.T) {
	w := open(t)
	m := w.message()
	w.put(m)
	w.query(exec("UPDATE message SET body = set_byte(body, length(body) / 2, get_byte(body, length(body) / 2) # 255)"))
	if found, err := w.Find(context.Background(), m.MessageID); err == nil {
		t.Errorf("a damaged body was found: %q", found[0].Body)
	}
}

// A database set to forget commits would break every promise; the store does
// not take that over from it.
func TestSynchronousCommitIsOn(t *testing.T) {
	p, w := durable(t)
	w.query(exec("ALTER DATABASE postgres SET synchronous_commit = off"))
	w.Close()
	w = &world{T: t, url: p.URL("postgres")}
	s, err := postgres.Open(context.Background(), postgres.Options{URL: w.url})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := postgres.Setting(t, s, "synchronous_commit"); got != "on" {
		t.Errorf("synchronous_commit is %s, want on", got)
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	url := embedded.Test(t, postgres.Migrate)
	ignore := goleak.IgnoreCurrent()
	s, err := postgres.Open(context.Background(), postgres.Options{URL: url, Writers: 3})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, Store: s, url: url}
	w.put(w.message())
	s.Close()
	goleak.VerifyNone(t, ignore)
}
