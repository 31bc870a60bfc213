package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
	"mezhved/adapter/subject"
	"mezhved/adapter/vault"
)

const snils = "112-233-445 95"

// sealedWorld is a store with a vault, whose folder is given too.
func sealedWorld(t *testing.T) (*world, string) {
	t.Helper()
	w, dir := newWorld(t), t.TempDir()
	w.Store = w.another(postgres.Options{Vault: openVault(t, dir)})
	return w, dir
}

func openVault(t testing.TB, dir string) *vault.Vault {
	t.Helper()
	v, err := vault.Open(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// secret is a message about a person, with an attachment.
func (w *world) secret(change ...func(*adapter.Message)) *adapter.Message {
	m := w.message(append(change, func(m *adapter.Message) {
		m.Body = []byte("<ns:snils>" + snils + "</ns:snils>" + strings.Repeat(string(m.MessageID), 20))
		m.Attachments = []adapter.Attachment{{ID: "a", Content: []byte("scan of " + snils)}}
	})...)
	return m
}

// through brings messages through the whole exchange: nothing of them waits.
func (w *world) through(messages ...*adapter.Message) {
	w.Helper()
	w.put(messages...)
	for range messages {
		d := w.lease(adapter.Poll{Envelope: []byte("<poll/>"), Answer: func(d *adapter.Delivery) ([]byte, error) {
			return []byte("<answer><own>" + snils + "</own>" + string(d.Message.Body) + "</answer>"), nil
		}})
		if d == nil {
			w.Fatal("nothing to lease")
		}
		if err := w.Ack(context.Background(), "RRTR01", d.Message.MessageID, w.now, event(journal.KindAcknowledged, d.Message), []byte("<ack>"+snils+"</ack>")); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) conn() *pgx.Conn {
	w.Helper()
	conn, err := pgx.Connect(context.Background(), w.url)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// raw is every byte of the tables with content, as the database has it.
func (w *world) raw() []byte {
	w.Helper()
	var all []byte
	for _, sql := range []string{"SELECT ''::text, body FROM message", "SELECT '', content FROM attachment", "SELECT '', body FROM receipt", "SELECT event::text, body FROM refusal", "SELECT '', row FROM journal_waiting"} {
		rows, _ := w.conn().Query(context.Background(), sql)
		var text string
		var b []byte
		if _, err := pgx.ForEachRow(rows, []any{&text, &b}, func() error {
			all = append(append(all, text...), b...)
			return nil
		}); err != nil {
			w.Fatal(err)
		}
	}
	return all
}

func (w *world) find(id adapter.MessageID) *adapter.Message {
	w.Helper()
	found, err := w.Find(context.Background(), id)
	if err != nil || len(found) != 1 {
		w.Fatalf("finding %s: %d, %v", id, len(found), err)
	}
	return &found[0]
}

func newIncident() string { return uuid.Must(uuid.NewV7()).String() }

func TestContentIsSealed(t *testing.T) {
	w, dir := sealedWorld(t)
	m := w.secret()
	w.accept(m)
	incident := newIncident()
	refused := journal.Event{Kind: journal.KindRefused, Time: w.now, Incident: incident}
	if err := w.Refuse(context.Background(), refused, "", "text/xml", []byte("refused "+snils)); err != nil {
		t.Fatal(err)
	}
	if all := w.raw(); bytes.Contains(all, []byte(snils)) || bytes.Contains(all, []byte("snils")) {
		t.Error("the database holds content in the clear")
	}
	second := w.another(postgres.Options{Vault: openVault(t, dir)})
	for _, s := range []*postgres.Store{w.Store, second} {
		found, err := s.Find(context.Background(), m.MessageID)
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		if d := difference(&found[0], m); d != "" {
			t.Error(d)
		}
		if _, _, body, err := s.Refused(context.Background(), incident); err != nil || string(body) != "refused "+snils {
			t.Errorf("refused bytes %q, %v", body, err)
		}
	}
	if _, err := w.another(postgres.Options{}).Find(context.Background(), m.MessageID); !errors.Is(err, postgres.ErrVault) {
		t.Errorf("a node without a vault reads: %v", err)
	}
	stranger := openVault(t, t.TempDir())
	if _, err := stranger.Identity(); err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.Open(context.Background(), postgres.Options{URL: w.url, Vault: stranger}); !errors.Is(err, postgres.ErrVault) {
		t.Errorf("a node with another vault is let in: %v", err)
	}
	// A folder whose storage is not mounted, or that is not there: nothing is written to
	// it, and the node that comes when it is mounted finds what it left.
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "missing")} {
		if _, err := postgres.Open(context.Background(), postgres.Options{URL: w.url, Vault: openVault(t, dir)}); !errors.Is(err, postgres.ErrVault) || !strings.Contains(err.Error(), "mounted") {
			t.Errorf("a node with an empty vault: %v", err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("an empty vault that was refused has %v in it", left)
		}
		if _, err := os.Stat(dir); filepath.Base(dir) == "missing" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a missing folder was made: %v", err)
		}
	}
	// Two rows change places: the boxes do not open there.
	other := w.secret()
	w.accept(other)
	if _, err := w.conn().Exec(context.Background(), `UPDATE message m SET body = o.body FROM message o WHERE m.id = $1 AND o.id = $2`, [16]byte(m.ID), [16]byte(other.ID)); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Find(context.Background(), m.MessageID); err == nil {
		t.Error("a body opens in the row of another message")
	}
}

// In a database from before, content is sealed when all nodes can read it: not
// before its time, and not while a node without a vault is at work.
func TestSealingWaitsForEveryNode(t *testing.T) {
	w := newWorld(t)
	sql := w.conn()
	if _, err := sql.Exec(context.Background(), "UPDATE content_vault SET since = now() + interval '7 days'"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w.Store = w.another(postgres.Options{Vault: openVault(t, dir)})
	old := w.secret()
	w.accept(old)
	if !bytes.Contains(w.raw(), []byte("scan of "+snils)) {
		t.Fatal("sealed before its time")
	}
	blind := w.another(postgres.Options{})
	if late, err := blind.Blind(context.Background()); err != nil || late {
		t.Fatal(late, err)
	}
	var begun bool
	if err := sql.QueryRow(context.Background(), "SELECT since <= now() FROM content_vault").Scan(&begun); err != nil || begun {
		t.Fatalf("begun %v, %v", begun, err)
	}
	if _, err := sql.Exec(context.Background(), "UPDATE content_vault SET since = now() + interval '5 s'"); err != nil {
		t.Fatal(err)
	}
	if late, err := blind.Blind(context.Background()); err != nil || late {
		t.Fatal(late, err)
	}
	if err := sql.QueryRow(context.Background(), "SELECT since > now() + interval '1 min' FROM content_vault").Scan(&begun); err != nil || !begun {
		t.Error("a node without a vault does not put it off")
	}
	if _, err := sql.Exec(context.Background(), "UPDATE content_vault SET since = now()"); err != nil {
		t.Fatal(err)
	}
	if late, err := blind.Blind(context.Background()); err != nil || !late {
		t.Errorf("a node without a vault is not told that it comes too late: %v, %v", late, err)
	}
	for _, s := range []*postgres.Store{w.Store, w.another(postgres.Options{Vault: openVault(t, dir)})} {
		if _, err := s.Sweep(context.Background(), w.now); err != nil {
			t.Fatal(err)
		}
		m := w.secret()
		if _, err := s.Accept(context.Background(), m, nil); err != nil {
			t.Fatal(err)
		}
		var codec int
		if err := sql.QueryRow(context.Background(), "SELECT codec FROM message WHERE id = $1", [16]byte(m.ID)).Scan(&codec); err != nil || codec&2 == 0 {
			t.Errorf("codec %d, %v: not sealed when all can read it", codec, err)
		}
	}
	if d := difference(w.find(old.MessageID), old); d != "" {
		t.Errorf("a row of before: %s", d)
	}
}

// Keys, bytes, attachments and values of one message and one refused call go, and the
// entries say so; the others stay. What waits is not touched. A vault that is put back
// from an older backup is held to it.
func TestErasedContentIsGone(t *testing.T) {
	w, dir := sealedWorld(t)
	d := journaltest.NewDesk(t)
	d.Vault = openVault(t, dir)
	ctx := context.Background()
	book, err := w.Store.Journal(ctx, journaltest.Origin, d.Vault)
	if err != nil {
		t.Fatal(err)
	}
	m, kept, waits := w.secret(), w.secret(), w.secret()
	ev := event(journal.KindAccepted, m)
	ev.Digest, ev.Personal = strings.Repeat("ab", 32), []journal.PersonalField{{Field: "snils", Value: snils}}
	if _, err := w.Accept(ctx, m, []journal.Event{ev}); err != nil {
		t.Fatal(err)
	}
	w.through(kept)
	w.put()
	for {
		d := w.lease(adapter.Poll{})
		if d == nil {
			break
		}
		if err := w.Ack(ctx, "RRTR01", d.Message.MessageID, w.now, event(journal.KindAcknowledged, d.Message), nil); err != nil {
			t.Fatal(err)
		}
	}
	incident := newIncident()
	if err := w.Refuse(ctx, journal.Event{Kind: journal.KindRefused, Time: w.now, Incident: incident, Digest: strings.Repeat("cd", 32)}, "", "text/xml", []byte(snils)); err != nil {
		t.Fatal(err)
	}
	order := postgres.EraseOrder{Messages: []uuid.UUID{m.ID}, Incidents: []string{incident}, Ground: "152-FZ, art. 21", By: "operator duty", Confirmed: "operator head", At: w.now}
	var waiting *postgres.WaitsError
	if _, err := w.EraseContent(ctx, order); !errors.As(err, &waiting) {
		t.Fatalf("erased before its entries are in the journal: %v", err)
	}
	settle := func() {
		t.Helper()
		d.Clock.Move(time.Until(d.Clock.Now()) * -1)
		if err := d.Settle(d.Sequencer(book)); err != nil {
			t.Fatal(err)
		}
	}
	settle()
	before := snapshot(t, dir)
	if n, err := w.EraseContent(ctx, order); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	if n, err := w.EraseContent(ctx, order); err != nil || n != 0 {
		t.Errorf("erased twice: %d, %v", n, err)
	}
	w.put(waits)
	settle()
	if _, err := w.EraseContent(ctx, postgres.EraseOrder{Messages: []uuid.UUID{waits.ID, kept.ID}, Ground: "g", At: w.now}); !errors.As(err, &waiting) || waiting.Messages[0] != waits.ID {
		t.Errorf("a message that waits: %v", err)
	}
	check := func(what string) {
		t.Helper()
		got := w.find(m.MessageID)
		if got.Erased == nil || got.Erased.Ground != order.Ground || !got.Erased.At.Equal(order.At) || len(got.Body)+len(got.Attachments) > 0 || got.Digest != [32]byte{} {
			t.Errorf("%s: the erased message: %+v", what, got)
		}
		var gone *adapter.ErasedError
		if _, _, body, err := w.Refused(ctx, incident); !errors.As(err, &gone) || gone.Ground != order.Ground || body != nil {
			t.Errorf("%s: the erased call: %q, %v", what, body, err)
		}
		if d := difference(w.find(kept.MessageID), kept); d != "" {
			t.Errorf("%s: the other message: %s", what, d)
		}
	}
	check("erased")
	// Its entries have lost their values, and two entries tell of it.
	entries := 0
	rows, err := book.Search(ctx, postgres.Query{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		leaf := row.Leaf
		open, err := book.Openings(ctx, row.Index)
		if err != nil {
			t.Fatal(err)
		}
		if leaf.Message == m.ID.String() && leaf.Kind != journal.KindErased && len(open) > 0 {
			t.Errorf("entry %d (%s) still opens %v", row.Index, leaf.Kind, open)
		}
		if leaf.Kind == journal.KindErased {
			entries++
			if leaf.Target == nil || leaf.Ground != order.Ground || !slices.Equal(leaf.Fields, []string{"content"}) || len(open) != 2 {
				t.Errorf("entry %d: %+v with %v", row.Index, leaf, open)
			}
		}
	}
	if entries != 2 {
		t.Errorf("%d entries tell of two erasures", entries)
	}

	// The vault is put back from an older backup, register and all.
	restore(t, dir, before)
	w.Store = w.another(postgres.Options{Vault: openVault(t, dir)})
	if out, err := w.Reerase(ctx, nil, false, "operator duty"); err != nil || out.Lines != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	check("after the vault was restored")
	if again, err := w.Reerase(ctx, nil, true, "operator duty"); err != nil || again != (postgres.Reerased{}) {
		t.Errorf("done again: %+v, %v", again, err)
	}
}

// A vault that lacks a key of values cannot see which they are: an order that may be about
// them is refused, and nothing of it done, until the key is there again.
func TestNothingIsErasedWithAVaultThatLacksAKey(t *testing.T) {
	w, d := newWorld(t), journaltest.NewDesk(t)
	dir := filepath.Join(d.Dir, "keys")
	ctx := context.Background()
	w.query(exec("UPDATE release_gate SET since = '-infinity'")) // values are sealed together
	open := func() *postgres.Journal {
		t.Helper()
		v := openVault(t, dir)
		w.Store = w.another(postgres.Options{Vault: v})
		book, err := w.Store.Journal(ctx, journaltest.Origin, v)
		if err != nil {
			t.Fatal(err)
		}
		return book
	}
	book := open()
	m := w.secret()
	ev := event(journal.KindAccepted, m)
	ev.Digest, ev.Personal = strings.Repeat("ab", 32), []journal.PersonalField{{Field: "snils", Value: snils}}
	if _, err := w.Accept(ctx, m, []journal.Event{ev}); err != nil {
		t.Fatal(err)
	}
	w.put()
	if l := w.lease(adapter.Poll{}); l == nil || w.ack(l.Message.MessageID) != nil {
		t.Fatal("it was not taken")
	}
	if err := book.Append(ctx, journal.Event{Kind: journal.KindEvidenceRead, Time: w.now, Personal: []journal.PersonalField{{Field: subject.Sought("snils"), Value: snils}}}); err != nil {
		t.Fatal(err)
	}
	d.Clock.Move(time.Until(d.Clock.Now()) * -1)
	if err := d.Settle(d.Sequencer(book)); err != nil {
		t.Fatal(err)
	}
	tokens, err := book.Sought(journal.PersonalField{Field: "snils", Value: snils})
	if err != nil {
		t.Fatal(err)
	}
	whole := snapshot(t, dir)
	missing := 0
	for name := range whole {
		if key := filepath.Base(name); strings.HasSuffix(key, ".key") && key != "blind.key" {
			missing++
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	register := whole[filepath.Join(dir, "erasures")]
	book = open()
	order := postgres.EraseOrder{Messages: []uuid.UUID{m.ID}, Ground: "152-FZ, art. 21", By: "operator duty", At: w.now}
	if n, err := w.EraseContent(ctx, order); !errors.Is(err, postgres.ErrVault) || n != 0 || missing == 0 || !strings.Contains(err.Error(), "nothing was erased") {
		t.Errorf("erased with %d keys missing: %d, %v", missing, n, err)
	}
	if n, err := w.EraseContent(ctx, postgres.EraseOrder{Sought: tokens, Ground: "g", At: w.now}); !errors.Is(err, postgres.ErrVault) {
		t.Errorf("erased by a person with %d keys missing: %d, %v", missing, n, err)
	}
	who := journal.PersonalField{Field: "snils", Value: snils}
	if found, err := book.Mentions(ctx, who, time.Time{}, time.Time{}); err != nil || len(found) > 0 {
		t.Errorf("found with %d keys missing: %v, %v", missing, found, err)
	}
	var lacks *postgres.KeysMissingError
	if err := book.Findable(ctx, who); !errors.Is(err, postgres.ErrVault) || !errors.As(err, &lacks) || len(lacks.Keys) == 0 || !strings.Contains(err.Error(), lacks.Keys[0]) {
		t.Errorf("looked for to be erased with %d keys missing: %v", missing, err)
	}
	if err := book.Findable(ctx, journal.PersonalField{Field: "snils", Value: "000-000-000 00"}); err != nil {
		t.Errorf("looked for somebody whom no entry names: %v", err)
	}
	if gone, err := book.Erase(ctx, 0, []string{"snils"}, "g", "duty", w.now); !errors.Is(err, postgres.ErrVault) {
		t.Errorf("a value was erased with %d keys missing: %v, %v", missing, gone, err)
	}
	// Nor is it proposed to a second pair of eyes.
	if id, err := w.Propose(ctx, order); !errors.As(err, &lacks) {
		t.Errorf("proposed with %d keys missing: %s, %v", missing, id, err)
	}
	if id, err := w.Propose(ctx, postgres.EraseOrder{Sought: tokens, Ground: "g", At: w.now}); !errors.As(err, &lacks) {
		t.Errorf("proposed by a person with %d keys missing: %s, %v", missing, id, err)
	}
	if id, err := w.ProposeValues(ctx, 0, []string{"snils"}, "g", "duty", w.now); !errors.As(err, &lacks) {
		t.Errorf("a value was proposed with %d keys missing: %s, %v", missing, id, err)
	}
	if n := w.count("SELECT count(*) FROM content_order"); n != 0 {
		t.Errorf("%d proposals wait", n)
	}
	// What a register elsewhere says was erased is not told as erased again.
	elsewhere := []vault.Erasure{{ID: uuid.NewString(), At: w.now.UTC(), Ground: "g", Items: []vault.Item{{Class: adapter.ContentClass(m.Service, m.Direction), ID: vault.ID(m.ID)}}}}
	for range 2 {
		if out, err := w.Reerase(ctx, elsewhere, false, "operator duty"); err != nil || out.Waiting != 1 || out.Content != 0 || !strings.Contains(out.Missing, "personal-") || !strings.Contains(out.Missing, ", ") {
			t.Errorf("erased again with %d keys missing: %+v, %v", missing, out, err)
		}
	}
	if now := snapshot(t, dir)[filepath.Join(dir, "erasures")]; !bytes.Equal(now, register) {
		t.Errorf("the register says %s", now)
	}
	if got := w.find(m.MessageID); got.Erased != nil {
		t.Errorf("it is told as erased: %+v", got.Erased)
	}
	restore(t, dir, whole)
	book = open()
	if err := book.Findable(ctx, who); err != nil {
		t.Errorf("looked for with the whole vault: %v", err)
	}
	if n, err := w.EraseContent(ctx, order); err != nil || n != 1 {
		t.Errorf("erased with the whole vault: %d, %v", n, err)
	}
	if open, err := book.Openings(ctx, 0); err != nil || len(open) > 0 {
		t.Errorf("the first entry still opens %v, %v", open, err)
	}
}

func snapshot(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	list, err := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range list {
		b, e := os.ReadFile(name)
		files[name], err = b, errors.Join(err, e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func restore(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	list, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range list {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	for name, b := range files {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// At each place where an erasure may be cut short, by a crash or by a backup that is
// put back, the next pass ends it: nothing can be read, and the entries tell of it
// once.
func TestAnErasureIsEndedWhereverItWasCutShort(t *testing.T) {
	ctx := context.Background()
	for what, cut := range map[string]func(w *world, dir string, before map[string][]byte){
		"noted, and no key taken": func(w *world, dir string, before map[string][]byte) {
			register, err := os.ReadFile(filepath.Join(dir, "erasures"))
			if err != nil {
				w.Fatal(err)
			}
			before[filepath.Join(dir, "erasures")] = register
			restore(w.T, dir, before)
			w.forget()
		},
		"keys taken, and the database not told": func(w *world, dir string, _ map[string][]byte) { w.forget() },
		"the vault is older":                    func(w *world, dir string, before map[string][]byte) { restore(w.T, dir, before) },
		"all done":                              func(*world, string, map[string][]byte) {},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w, dir := sealedWorld(t)
			plain := w.another(postgres.Options{})
			m, old := w.secret(), w.secret()
			if _, err := plain.Accept(ctx, old, []journal.Event{event(journal.KindAccepted, old)}); err != nil {
				t.Fatal(err)
			}
			w.through(m)
			w.pump()
			if d := w.lease(adapter.Poll{}); d != nil {
				w.Ack(ctx, "RRTR01", d.Message.MessageID, w.now, event(journal.KindAcknowledged, d.Message), nil)
			}
			w.exec("DELETE FROM journal_pending")
			w.exec("CREATE TABLE kept_message AS SELECT * FROM message; CREATE TABLE kept_attachment AS SELECT * FROM attachment")
			before := snapshot(t, dir)
			if n, err := w.EraseContent(ctx, postgres.EraseOrder{Messages: []uuid.UUID{m.ID, old.ID}, Ground: "court order", By: "operator duty", At: w.now}); err != nil || n != 2 {
				t.Fatal(n, err)
			}
			cut(w, dir, before)
			again := w.another(postgres.Options{Vault: openVault(t, dir)})
			for range 2 {
				if _, err := again.Reerase(ctx, nil, false, ""); err != nil {
					t.Fatal(err)
				}
			}
			for _, id := range []adapter.MessageID{m.MessageID, old.MessageID} {
				found, err := again.Find(ctx, id)
				if err != nil || len(found) != 1 || found[0].Erased == nil || found[0].Erased.Ground != "court order" || len(found[0].Body) > 0 {
					t.Errorf("message %s: %+v, %v", id, found, err)
				}
			}
			var entries int
			if err := w.conn().QueryRow(ctx, "SELECT count(*) FROM journal_pending WHERE event->>'kind' = 'erased'").Scan(&entries); err != nil || entries != 2 {
				t.Errorf("%d entries tell of two erasures, %v", entries, err)
			}
		})
	}
}

// forget makes the database one from before the erasure.
func (w *world) forget() {
	w.Helper()
	w.exec(`DELETE FROM message; INSERT INTO message SELECT * FROM kept_message; DELETE FROM attachment; INSERT INTO attachment SELECT * FROM kept_attachment;
		DELETE FROM content_erased; DELETE FROM content_erasure; DELETE FROM journal_pending`)
}

func (w *world) exec(sql string) {
	w.Helper()
	if _, err := w.conn().Exec(context.Background(), sql); err != nil {
		w.Fatal(err)
	}
}

// What is over ends, by service and direction; what waits is spared and ends later;
// the journal is told once; a crash between keys and bytes changes nothing of it.
func TestRetentionEndsContent(t *testing.T) {
	w, dir := sealedWorld(t)
	ctx := context.Background()
	day := func(n int) func(*adapter.Message) {
		return func(m *adapter.Message) {
			m.Accepted = w.now.AddDate(0, 0, -n)
			ms := uint64(m.Accepted.UnixMilli())
			for i := range 6 {
				m.ID[i] = byte(ms >> (40 - 8*i))
			}
		}
	}
	another := func(m *adapter.Message) { m.Service = "passport" }
	removed := func(m *adapter.Message) { m.Service = "Выписка" } // of which only the journal knows
	over, waits, fresh, other := w.secret(day(40)), w.secret(day(41)), w.secret(day(3)), w.secret(day(40), another)
	unsealed := w.secret(day(50))
	if _, err := w.another(postgres.Options{}).Accept(ctx, unsealed, nil); err != nil {
		t.Fatal(err)
	}
	odd := w.secret(day(40), removed)
	w.put(over, waits, fresh, other, odd)
	w.exec("INSERT INTO journal_term (dim, value, chunk) VALUES ('service', 'Выписка', 0), ('service', 'Выписка', 1), ('service', 'passport', 0)")
	for range 6 {
		d := w.lease(adapter.Poll{})
		if d == nil {
			t.Fatal("nothing to lease")
		}
		if d.Message.ID != waits.ID {
			if err := w.Ack(ctx, "RRTR01", d.Message.MessageID, w.now, event(journal.KindAcknowledged, d.Message), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.exec("DELETE FROM journal_pending")
	old, young := newIncident(), newIncident()
	for incident, at := range map[string]time.Time{old: w.now.AddDate(0, 0, -35), young: w.now} {
		if err := w.Refuse(ctx, journal.Event{Kind: journal.KindRefused, Time: at, Incident: incident}, "", "text/xml", []byte(snils)); err != nil {
			t.Fatal(err)
		}
	}
	w.exec("DELETE FROM journal_pending")
	r := postgres.ContentRetention{Store: w.Store, Services: func() []string { return []string{"egrn-extract"} },
		For: func(service string, request bool) time.Duration {
			if service != "passport" && request {
				return 30 * 24 * time.Hour
			}
			return 0
		},
		Refused: 30 * 24 * time.Hour, Ground: "order 7", Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler)}
	pass := func() {
		t.Helper()
		if err := r.Once(ctx); err != nil {
			t.Fatal(err)
		}
	}
	pass()
	check := func(m *adapter.Message, gone bool) {
		t.Helper()
		if got := w.find(m.MessageID); (got.Erased != nil) != gone || gone && got.Erased.Ground != "order 7" || !gone && len(got.Body) == 0 {
			t.Errorf("message of %s, %s: erased %+v", m.Accepted.Format(time.DateOnly), m.Service, got.Erased)
		}
	}
	told := func(want ...int) {
		t.Helper()
		rows, _ := w.conn().Query(ctx, "SELECT (event->>'count')::int FROM journal_pending WHERE event->>'kind' = 'erased' ORDER BY id")
		if counts, err := pgx.CollectRows(rows, pgx.RowTo[int]); err != nil || !slices.Equal(counts, want) {
			t.Errorf("the journal was told of %v, want %v (%v)", counts, want, err)
		}
	}
	check(over, true)
	check(unsealed, true)
	check(odd, true)
	check(waits, false)
	check(fresh, false)
	check(other, false)
	if _, _, _, err := w.Refused(ctx, old); !errors.Is(err, adapter.ErrNotFound) {
		t.Errorf("an old refusal: %v", err)
	}
	if _, _, _, err := w.Refused(ctx, young); err != nil {
		t.Error(err)
	}
	told(2, 1, 1) // the services by name, then the refused calls
	pass()
	told(2, 1, 1)

	// The next day it has been taken; a crash comes between its key and its bytes.
	if err := w.Ack(ctx, "RRTR01", waits.MessageID, w.now, event(journal.KindAcknowledged, waits), nil); err != nil {
		t.Fatal(err)
	}
	w.exec("DELETE FROM journal_pending")
	w.now = w.now.AddDate(0, 0, 1)
	w.exec("ALTER TABLE attachment RENAME TO attachment_away")
	if err := r.Once(ctx); err == nil {
		t.Fatal("a pass without the table of attachments went well")
	}
	w.exec("ALTER TABLE attachment_away RENAME TO attachment")
	pass()
	check(waits, true)
	told(1)
	w.Store = w.another(postgres.Options{Vault: openVault(t, dir)})
	check(fresh, false)
}

// What is kept for 75 years is kept: the day that ends today was before 1970.
func TestRetentionOfDecadesEndsNothing(t *testing.T) {
	w, _ := sealedWorld(t)
	ctx := context.Background()
	m := w.secret()
	w.put(m)
	if d := w.lease(adapter.Poll{}); d == nil {
		t.Fatal("nothing to lease")
	}
	if err := w.Ack(ctx, "RRTR01", m.MessageID, w.now, event(journal.KindAcknowledged, m), nil); err != nil {
		t.Fatal(err)
	}
	w.exec("DELETE FROM journal_pending")
	r := postgres.ContentRetention{Store: w.Store, Services: func() []string { return []string{m.Service} },
		For: func(string, bool) time.Duration { return 75 * 365 * 24 * time.Hour }, Ground: "order 7", Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler)}
	if err := r.Once(ctx); err != nil {
		t.Fatal(err)
	}
	if got := w.find(m.MessageID); got.Erased != nil || len(got.Body) == 0 {
		t.Errorf("a message of today: %d octets, erased %+v", len(got.Body), got.Erased)
	}
}

// The keys of values that waited for their place in the journal end after two days,
// unless an event from before still waits.
func TestKeysOfValuesThatWaitedEnd(t *testing.T) {
	w, dir := sealedWorld(t)
	ctx := context.Background()
	m := w.message(func(m *adapter.Message) {
		ms := uint64(w.now.AddDate(0, 0, -5).UnixMilli())
		for i := range 6 {
			m.ID[i] = byte(ms >> (40 - 8*i))
		}
	})
	sealed, err := openVault(t, dir).SealPending(m.ID.String(), "snils", snils)
	if err != nil || strings.Contains(sealed, "112") {
		t.Fatal(sealed, err)
	}
	shared, err := openVault(t, dir).SealWaiting(m.ID.String(), []byte(snils))
	if err != nil || strings.Contains(shared, "112") {
		t.Fatal(shared, err)
	}
	r := postgres.ContentRetention{Store: w.Store, Services: func() []string { return nil }, For: func(string, bool) time.Duration { return 0 },
		Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler)}
	opens := func() error {
		t.Helper()
		if err := r.Once(ctx); err != nil {
			t.Fatal(err)
		}
		v := openVault(t, dir)
		value, err := v.OpenPending(m.ID.String(), "snils", sealed)
		if err == nil && value != snils {
			t.Errorf("opened as %q", value)
		}
		values, errShared := v.OpenWaiting(m.ID.String(), shared)
		if errShared == nil && string(values) != snils || errors.Is(errShared, vault.ErrErased) != errors.Is(err, vault.ErrErased) {
			t.Errorf("under the key of its second: opened as %q, %v", values, errShared)
		}
		return err
	}
	w.exec("INSERT INTO journal_pending (event, at) VALUES ('{}', now() - interval '6 days')")
	if err := opens(); err != nil {
		t.Errorf("ended while an event from before waits: %v", err)
	}
	w.exec("DELETE FROM journal_pending")
	if err := opens(); !errors.Is(err, vault.ErrErased) {
		t.Errorf("after two days: %v", err)
	}
}
