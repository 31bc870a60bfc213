package postgres_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/embedded"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

// durable starts a cluster of the test's own, which it may kill.
func durable(t *testing.T) (*embedded.Postgres, *world) {
	t.Helper()
	ctx := context.Background()
	p, err := embedded.StartPostgres(ctx, embedded.PostgresOptions{Durable: true, Dir: filepath.Join(t.TempDir(), "pg")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() })
	w := &world{T: t, url: p.URL("postgres"), now: time.Now().UTC().Truncate(time.Millisecond)}
	if err := postgres.Migrate(ctx, w.url); err != nil {
		t.Fatal(err)
	}
	w.Store = w.another(postgres.Options{Writers: 2, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	return p, w
}

// Senders post through three crashes of the database and send again what they
// were not told of. Whatever was answered "accepted" is there once, with its
// event and its outbox row, and so is everything that was sent again.
func TestKilledUnderLoad(t *testing.T) {
	p, w := durable(t)
	var mu sync.Mutex
	accepted := map[adapter.MessageID]bool{}
	var stop, unknown atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for stop.Load() == 0 {
				m := w.message()
				for again := false; ; again = true {
					if again { // as a new call of the sender: a new id of ours
						first := m
						m = w.message(func(m *adapter.Message) { m.MessageID = first.MessageID })
					}
					ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
					_, err := w.Accept(ctx, m, []journal.Event{event(journal.KindAccepted, m)})
					cancel()
					if err == nil {
						break
					}
					unknown.Add(1)
				}
				mu.Lock()
				accepted[m.MessageID] = true
				mu.Unlock()
			}
		})
	}
	for range 3 {
		time.Sleep(300 * time.Millisecond)
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(400 * time.Millisecond)
		if err := p.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(300 * time.Millisecond)
	stop.Store(1)
	wg.Wait()
	t.Logf("%d accepted, %d calls without an answer", len(accepted), unknown.Load())
	if len(accepted) < 100 || unknown.Load() == 0 {
		t.Errorf("%d accepted, %d without an answer: this was no load", len(accepted), unknown.Load())
	}

	until(t, "sessions that nothing else has used since are made anew", func() bool {
		_, err := w.Find(context.Background(), "none")
		return errors.Is(err, adapter.ErrNotFound)
	})
	for id := range accepted {
		found, err := w.Find(context.Background(), id)
		if err != nil || len(found) != 1 {
			t.Fatalf("message %s was accepted: %d found, %v", id, len(found), err)
		}
	}
	messages := w.count("SELECT count(*) FROM message")
	for what, sql := range map[string]string{
		"MessageIDs":     "SELECT count(DISTINCT message_id) FROM message",
		"dedup keys":     "SELECT count(*) FROM used_id JOIN message USING (id)",
		"outbox rows":    "SELECT count(*) FROM outbox JOIN message ON message.id = outbox.message",
		"journal events": "SELECT count(*) FROM journal_waiting JOIN message ON message.id = journal_waiting.message",
	} {
		if got := w.count(sql); got != messages {
			t.Errorf("%d %s of %d messages", got, what, messages)
		}
	}
}

// While the database is down, senders are told soon, and that nothing was done.
func TestDatabaseIsDown(t *testing.T) {
	p, w := durable(t)
	// What is in doubt is tried for ever, so that only the other can be told.
	w.Store = w.another(postgres.Options{Writers: 8, AcceptTimeout: time.Hour, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	w.accept(w.message())
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	var err error
	var unknown *postgres.UnknownError
	for range 5 { // the first ones may find the old connections broken
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		_, err = w.Accept(ctx, w.message(), nil)
		cancel()
		if !errors.As(err, &unknown) {
			break
		}
	}
	if err == nil || errors.As(err, &unknown) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("accept without a database: %v, want to be told that it was not accepted", err)
	}
	if err := p.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.accept(w.message())
}

// On a full disk the row that Health writes has its place already, and no message
// has one: what the last accept met is the store's health, too, until one is taken.
func TestHealthAsksTheLastAccept(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := context.Background()
	w.query(exec(`CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END $$`))
	w.query(exec("CREATE TRIGGER full_disk BEFORE INSERT ON used_id FOR EACH STATEMENT EXECUTE FUNCTION full_disk()"))
	m := w.message()
	if _, err := w.Accept(ctx, m, []journal.Event{event(journal.KindAccepted, m)}); err == nil {
		t.Fatal("a message was accepted")
	}
	if err := w.Health(ctx); err == nil || !strings.Contains(err.Error(), "No space left") {
		t.Errorf("after a refused accept: %v", err)
	}
	w.query(exec("DROP TRIGGER full_disk ON used_id"))
	w.accept(m)
	until(t, "healthy after an accept", func() bool { return w.Health(ctx) == nil }) // the caller is told first
	m = w.message(func(m *adapter.Message) { m.TransactionCode = "\x00" })           // what PostgreSQL takes in no text
	if _, err := w.Accept(ctx, m, []journal.Event{event(journal.KindAccepted, m)}); err == nil {
		t.Fatal("a message with a NUL was accepted")
	}
	if err := w.Health(ctx); err != nil {
		t.Errorf("after a message that can never be stored: %v", err)
	}
}

func TestHealth(t *testing.T) {
	p, w := durable(t)
	ctx := context.Background()
	if err := w.Health(ctx); err != nil {
		t.Errorf("health: %v", err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "unhealthy without a database", func() bool { return w.Health(ctx) != nil })
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	until(t, "healthy after the restart", func() bool { return w.Health(ctx) == nil })
	w.query(exec("ALTER TABLE journal_pending RENAME TO away"))
	until(t, "unhealthy without a journal", func() bool { return w.Health(ctx) != nil })
	w.query(exec("ALTER TABLE away RENAME TO journal_pending"))
}

// A commit whose answer was lost: the proxy cuts the connection after the
// database has done the work.
func TestAnswerIsLost(t *testing.T) {
	p, direct := durable(t)
	proxy := cut(t, strings.TrimPrefix(p.URL("postgres"), "postgres://postgres@/postgres?host=")+"/.s.PGSQL.5432")
	w := &world{T: t, url: "postgres://postgres@" + proxy.addr + "/postgres?sslmode=disable", now: direct.now}
	w.Store = w.another(postgres.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	for range 5 {
		for range postgres.CarefulFor + 1 {
			w.accept(w.message()) // names and plans are known
		}
		m := w.message()
		proxy.deaf.Store(true) // answers are not passed on any more
		done := make(chan struct{})
		go func() {
			defer close(done)
			if a := w.accept(m); a.First != nil {
				t.Errorf("first is %v, want the same acceptance", a.First.ID)
			}
		}()
		until(t, "the message has arrived", func() bool {
			return direct.count("SELECT count(*) FROM message WHERE message_id = $1", string(m.MessageID)) != 0
		})
		proxy.deaf.Store(false)
		proxy.hangUp()
		<-done
		if got := direct.count("SELECT count(*) FROM outbox JOIN message m ON m.id = message WHERE message_id = $1", string(m.MessageID)); got != 1 {
			t.Errorf("%d outbox rows, want 1", got)
		}
		if got := direct.count("SELECT count(*) FROM journal_waiting JOIN message ON message.id = journal_waiting.message WHERE message_id = $1", string(m.MessageID)); got != 1 {
			t.Errorf("%d events, want 1", got)
		}
	}
}

// wire is a proxy to a Unix socket whose answers can be withheld.
type wire struct {
	addr string
	deaf atomic.Bool
	mu   sync.Mutex
	open []net.Conn
}

func cut(t *testing.T, socket string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String()}
	t.Cleanup(func() { l.Close(); w.hangUp() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", socket)
			if err != nil {
				client.Close()
				continue
			}
			w.mu.Lock()
			w.open = append(w.open, client, server)
			w.mu.Unlock()
			go func() { io.Copy(server, client); server.Close() }()
			go func() {
				defer client.Close()
				b := make([]byte, 32<<10)
				for {
					n, err := server.Read(b)
					if err != nil {
						return
					}
					if w.deaf.Load() {
						continue
					}
					if _, err := client.Write(b[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return w
}

func (w *wire) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		c.Close()
	}
	w.open = nil
}

func TestDeadlineLeavesTheOutcomeUnknown(t *testing.T) {
	w := open(t)
	m := w.message()
	w.accept(w.message())
	release := w.block("LOCK TABLE outbox IN EXCLUSIVE MODE")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		until(t, "the statement waits for the table", func() bool {
			return w.count("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'outbox'::regclass") != 0
		})
		cancel()
	}()
	_, err := w.Accept(ctx, m, nil)
	var unknown *postgres.UnknownError
	if !errors.As(err, &unknown) || unknown.MessageID != m.MessageID || !strings.Contains(err.Error(), "send it again with the same MessageID") {
		t.Errorf("accept over its deadline: %v, want UnknownError", err)
	}
	release()
	a, err := w.Accept(context.Background(), w.message(func(x *adapter.Message) { x.MessageID = m.MessageID }), nil)
	if err != nil || a.First == nil || a.First.ID != m.ID {
		t.Errorf("sent again: %+v, %v, want the first one found", a, err)
	}
}

// A lock that is held longer than lock_timeout is waited out, not given up on.
func TestPassingTroubleIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	u, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("lock_timeout", "50")
	u.RawQuery = q.Encode()
	w.url = u.String()
	w.Store = w.another(postgres.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	w.accept(w.message())
	release := w.block("LOCK TABLE outbox IN EXCLUSIVE MODE")
	time.AfterFunc(400*time.Millisecond, release)
	if a := w.accept(w.message()); a.First != nil {
		t.Error("tried again, it is its own duplicate")
	}
}

func TestCloseEndsWaitingCalls(t *testing.T) {
	w := newWorld(t)
	s, err := postgres.Open(context.Background(), postgres.Options{URL: w.url})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Accept(context.Background(), w.message(), nil); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := s.Accept(context.Background(), w.message(func(m *adapter.Message) { m.Root, m.Recipients = adapter.QName{}, nil }), nil); err == nil {
		t.Error("accepted by a closed store")
	}
}

func TestConnectionWantsTLS(t *testing.T) {
	_, w := durable(t)
	proxy := cut(t, strings.SplitN(w.url, "host=", 2)[1]+"/.s.PGSQL.5432")
	_, err := postgres.Open(context.Background(), postgres.Options{URL: "postgres://postgres@" + proxy.addr + "/postgres?sslmode=require"})
	if err == nil || !strings.Contains(err.Error(), "TLS") {
		t.Errorf("a server without TLS: %v, want a refusal", err)
	}
}

// The far end of TLS is a proxy here: what matters is that the store asks for
// it and checks who answers.
func TestTLS(t *testing.T) {
	ctx := context.Background()
	_, plain := durable(t)
	config, ca := selfSigned(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket := strings.SplitN(plain.url, "host=", 2)[1] + "/.s.PGSQL.5432"
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close()
				sslRequest := make([]byte, 8)
				if _, err := io.ReadFull(client, sslRequest); err != nil {
					return
				}
				client.Write([]byte("S"))
				secure := tls.Server(client, config)
				if secure.Handshake() != nil {
					return
				}
				server, err := net.Dial("unix", socket)
				if err != nil {
					return
				}
				go func() { io.Copy(server, secure); server.Close() }()
				io.Copy(secure, server)
			}()
		}
	}()
	u, err := url.Parse(plain.url)
	if err != nil {
		t.Fatal(err)
	}
	u.Host, u.RawQuery = l.Addr().String(), "sslmode=verify-full&sslrootcert="+ca
	w := &world{T: t, url: u.String(), now: time.Now()}
	w.Store = w.another(postgres.Options{})
	w.accept(w.message())

	_, other := selfSigned(t)
	u.RawQuery = "sslmode=verify-full&sslrootcert=" + other
	if _, err := postgres.Open(ctx, postgres.Options{URL: u.String()}); err == nil {
		t.Error("a server with a certificate of an unknown issuer was trusted")
	}
}
