package main

import (
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/alarms/sink"
)

// Between the event that something is late and the mail that tells of it the gateway is
// killed; and again between the mail and the entry that says that it was told. The mail
// comes, as a copy the second time, and the journal tells of each once.
func TestAlarmsAreToldWhateverIsKilled(t *testing.T) {
	w := openCrashWorld(t)
	w.kafkaChild()
	var came atomic.Int64
	mailbox := &sink.Sink{}
	mailbox.Before = func([]byte) bool {
		switch came.Add(1) {
		case 1: // the event is committed, the mail is lost
			w.gateway.kill()
			return false
		case 2: // the mail is kept, and nobody hears that it is
			w.gateway.kill()
			return true
		}
		return true
	}
	w.must(mailbox.Listen("127.0.0.1:0"))
	defer mailbox.Close()
	config := filepath.Join(w.dir, "mezhved.yaml")
	text, err := os.ReadFile(config)
	w.must(err)
	w.must(os.WriteFile(config, append(text, "alarms:\n  rules: alarms.yaml\n  mail: {server: '"+mailbox.Addr()+"', tls: none, from: mezhved@demo.example}\n"...), 0o644))
	w.must(os.WriteFile(filepath.Join(w.dir, "alarms.yaml"), []byte("rules:\n  - {name: late, when: now, mail: duty@demo.example}\n"), 0o644))

	w.startGateway()
	db, err := pgx.Connect(t.Context(), w.database.URL("mezhved"))
	w.must(err)
	defer db.Close(t.Context())
	const message = "019b0000-0000-7000-8000-000000000001"
	_, err = db.Exec(t.Context(), `INSERT INTO open_term (message, stage, due, next, told, later, message_id, direction, sender, recipient, service, version, accepted)
		VALUES ($1, 3, now() - interval '5 minutes', now() - interval '5 minutes', 0, '', 'late-one', 'request', 'MFC01', 'FNS01', 'egrul-extract', '2.0.0', now() - interval '2 days')`, message)
	w.must(err)
	for n := range int64(2) {
		w.await("the gateway is killed while it tells", func() bool {
			select {
			case <-w.gateway.done:
				return came.Load() > n
			default:
				return false
			}
		})
		w.startGateway()
	}
	count := func(sql string) (n int) {
		w.must(db.QueryRow(t.Context(), sql).Scan(&n))
		return n
	}
	w.await("the journal says that it was told", func() bool {
		return count("SELECT count(*) FROM journal_entry WHERE kind = 'alarm' AND outcome = 'told'") > 0
	})
	w.await("nothing waits", func() bool {
		return count("SELECT (SELECT count(*) FROM alarm) + (SELECT count(*) FROM alarm_event) + (SELECT count(*) FROM journal_pending)") == 0
	})
	if n := count("SELECT count(*) FROM journal_entry WHERE kind = 'overdue' AND message = '" + message + "'"); n != 1 {
		t.Errorf("the journal has %d times that it is late", n)
	}
	if n := count("SELECT count(*) FROM journal_entry WHERE kind = 'alarm'"); n != 1 {
		t.Errorf("the journal has %d times that it was told", n)
	}
	ids := map[string]bool{}
	for _, raw := range mailbox.Mails() {
		m, err := mail.ReadMessage(strings.NewReader(string(raw)))
		w.must(err)
		ids[m.Header.Get("Message-ID")] = true
		if to := m.Header.Get("To"); !strings.Contains(to, "duty@demo.example") {
			t.Errorf("a mail to %s", to)
		}
	}
	if len(mailbox.Mails()) != 2 || len(ids) != 1 {
		t.Errorf("%d mails of %d identifiers were kept; a copy is known by its own", len(mailbox.Mails()), len(ids))
	}
}
