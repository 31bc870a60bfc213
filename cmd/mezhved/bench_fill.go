package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/embedded"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/party"
	"mezhved/adapter/postgres"
	"mezhved/adapter/registry"
	"mezhved/adapter/vault"
)

type benchFillCmd struct {
	Dir      string `required:"" placeholder:"DIR" help:"Folder to be made, for --dir and --filled of the other benchmarks."`
	Messages int    `default:"1000000" help:"Messages, two to an exchange."`
	Days     int    `default:"25" help:"Over so many days, up to now."`
	Senders  int    `default:"40" help:"Consumers beside that of the benchmarks."`
}

func (benchFillCmd) Help() string {
	return `Makes the folder of a private gateway that has served for some weeks: real exchanges are made with a gateway of its
own, and what is kept of them is written many times over, each time with its own ids, times, parties, services and
persons: messages sealed and packed, MessageIDs, answers, receipts, open terms, and all entries of the journal with
their places in the tree and what opens them. One exchange in two hundred has no answer yet. It can be stopped
(Ctrl-C): what is there until then is whole.

Examples:
  mezhved bench fill --dir filled --messages 1000000
  mezhved bench compare --filled filled --duration 30s
  mezhved bench read --filled filled`
}

// pastStep is how many exchanges are written in one transaction.
const pastStep = 2000

func (c *benchFillCmd) Run(ctx context.Context, out *stdio) (err error) {
	if _, err := os.Stat(filepath.Join(c.Dir, "postgres")); err == nil {
		return usage(fmt.Errorf("%s has a database already: a log's time does not go back, fill a new folder", c.Dir))
	}
	exemplars, err := c.exemplars(ctx)
	if err != nil {
		return err
	}
	debug.SetGCPercent(100) // lightCollector is for generators, whose heap is small
	end := time.Now().UTC()
	start := end.AddDate(0, 0, -c.Days)
	var clock atomic.Int64 // of the journal, in the past
	clock.Store(start.UnixMilli())
	w, err := openPast(ctx, c.Dir, func() time.Time { return time.UnixMilli(clock.Load()).UTC() })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	m := &multiplier{exemplars: exemplars, senders: c.Senders, routes: w.routes(), random: rand.New(rand.NewPCG(1, 1))}

	exchanges := c.Messages / 2
	began, sequenced := time.Now(), 0
	written := make(chan error, 1) // a batch ahead of the sequencer
	batch := func(from int) ([]postgres.PastExchange, time.Time) {
		list := make([]postgres.PastExchange, min(pastStep, exchanges-from))
		var at time.Time
		for i := range list {
			at = start.Add(time.Duration(float64(end.Sub(start)) * float64(from+i) / float64(exchanges)))
			list[i] = m.again(at)
		}
		return list, at
	}
	whole := context.WithoutCancel(ctx) // a batch that was begun is brought to its end
	list, at := batch(0)
	written <- w.store.WritePast(whole, end, list)
	for from, more := 0, true; more; from += pastStep {
		if err := <-written; err != nil {
			return unavailable(err)
		}
		clock.Store(at.UnixMilli())
		if more = from+pastStep < exchanges && ctx.Err() == nil; more {
			list, at = batch(from + pastStep)
			go func() { written <- w.store.WritePast(whole, end, list) }()
		}
		failed := 0 // steps in a row; each takes fewer events than the one before
		for rows := 1; rows > 0; sequenced += rows {
			if rows, err = w.sequencer.Step(whole); err == nil {
				failed = 0
			} else if failed++; failed > 5 {
				return unavailable(err)
			} else {
				rows = 1 // still to be taken
				sequenced--
			}
		}
		if done := from + pastStep; done%20_000 == 0 {
			fmt.Fprintf(out.err, "%6.0f s: %d messages, %d entries\n", time.Since(began).Seconds(), 2*done, sequenced)
		}
	}
	return w.settle(whole)
}

// exemplars are exchanges that were made with a gateway of their own.
func (c *benchFillCmd) exemplars(ctx context.Context) (list []postgres.PastExchange, err error) {
	f := loadFlags{Key: "ecdsa-p256"}
	b, err := f.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.finish()) }()
	x := b.exchanges()
	if err := x.drive(ctx, 8, 2, 3*time.Second, nil); err != nil {
		return nil, err
	}
	if err := b.settle(ctx, 0); err != nil {
		return nil, err
	}
	b.stop()
	w, err := openPast(ctx, b.dir, time.Now)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	list, err = w.store.ReadPast(ctx, w.book, 50)
	if err == nil && len(list) == 0 {
		err = no(errors.New("no exchange became whole within three seconds"))
	}
	return list, err
}

// pastWorld is the store and the journal of a private gateway that is not running.
type pastWorld struct {
	url       string
	store     *postgres.Store
	book      *postgres.Journal
	sequencer *clerk.Sequencer
	catalog   *registry.Catalog
	closers   []func() error
}

// openPast opens the database, vault and journal of a demonstration's folder, which it
// makes where there is none. now is the journal's clock.
func openPast(ctx context.Context, dir string, now func() time.Time) (w *pastWorld, err error) {
	w = &pastWorld{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if dir, err = filepath.Abs(dir); err != nil {
		return w, usage(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return w, usage(err)
	}
	config, err := prepareDemo(dir, "127.0.0.1:0")
	if err != nil {
		return w, err
	}
	quiet := slog.New(slog.DiscardHandler)
	rooms, findings := openRegistry(config, false)
	if bad := findings.Errors(); len(bad) > 0 {
		return w, usage(bad)
	}
	w.catalog = rooms.Catalog()
	// What is written is worth no flush: who loses it fills again.
	url, stop, err := embedded.Database(ctx, embedded.PostgresOptions{Dir: config.Database.Private, Settings: map[string]string{
		"max_wal_size": "4GB", "shared_buffers": "512MB", "full_page_writes": "off", "autovacuum_naptime": "10min",
	}})
	if err != nil {
		return w, unavailable(err)
	}
	w.url, w.closers = url, append(w.closers, stop)
	if err := postgres.Migrate(ctx, url); err != nil {
		return w, unavailable(err)
	}
	keys, err := vault.Open(config.Journal.Vault, now)
	if err != nil {
		return w, usage(err)
	}
	w.store, err = postgres.Open(ctx, postgres.Options{URL: url, Node: config.Node, Samples: certificateSamples(config, w.catalog), Vault: keys, Log: quiet})
	if err != nil {
		return w, unavailable(err)
	}
	w.closers = append(w.closers, func() error { w.store.Close(); return nil })
	skey, err := os.ReadFile(config.Journal.Key)
	if err != nil {
		return w, usage(err)
	}
	if w.book, err = w.store.Journal(ctx, config.Journal.Origin, keys); err == nil {
		err = w.book.Name(ctx, config.Journal.Origin)
	}
	if err != nil {
		return w, unavailable(err)
	}
	signer, err := openJournalSigner(config.Journal.State, strings.TrimSpace(string(skey)), now)
	if err != nil {
		return w, err
	}
	w.closers = append(w.closers, signer.Close)
	w.sequencer = &clerk.Sequencer{Book: w.book, Signer: signer, Vault: keys, Now: now, Log: quiet}
	return w, nil
}

func (w *pastWorld) close() (err error) {
	for _, c := range slices.Backward(w.closers) {
		err = errors.Join(err, c())
	}
	w.closers = nil
	return err
}

func (w *pastWorld) settle(ctx context.Context) error {
	if err := postgres.SettlePast(ctx, w.url); err != nil {
		return unavailable(err)
	}
	return nil
}

// route is a service with one who answers it.
type route struct {
	service, version string
	provider         adapter.Mnemonic
}

// routes are those of the folder's services that have answers; that of the benchmarks
// is first.
func (w *pastWorld) routes() (list []route) {
	for _, s := range w.catalog.Services() {
		if s.Broadcast || len(s.Providers) == 0 {
			continue
		}
		r := route{s.Name, s.Version, s.Providers[0]}
		if r.provider == benchProvider && s.Name == "family-benefits" {
			list = slices.Insert(list, 0, r)
		} else {
			list = append(list, r)
		}
	}
	return list
}

// multiplier makes exchanges out of exemplars.
type multiplier struct {
	exemplars []postgres.PastExchange
	senders   int
	routes    []route
	random    *rand.Rand
	made      int
}

// unansweredIn is of how many exchanges one has no answer yet.
const unansweredIn = 200

// again makes an exchange whose request was accepted at a time. Half of them go over
// the first route, a quarter come from the sender of the benchmarks.
func (m *multiplier) again(at time.Time) postgres.PastExchange {
	m.made++
	like := m.exemplars[m.random.IntN(len(m.exemplars))]
	way := m.routes[max(0, m.random.IntN(2*len(m.routes))-len(m.routes))]
	c := variation{
		by: at.Sub(like.Request.Message.Accepted).Truncate(time.Millisecond), random: m.random, way: way,
		parties: map[string]string{benchSender: benchSender, benchProvider: string(way.provider)},
		ids:     map[string]string{}, values: map[string]string{}, person: m.random.IntN(200_000),
	}
	if m.random.IntN(4) > 0 {
		c.parties[benchSender] = fmt.Sprintf("MUNI%02d", m.random.IntN(m.senders))
	}
	for _, k := range []*postgres.PastMessage{like.Request, like.Reply} {
		accepted := k.Message.Accepted.Add(c.by)
		c.ids[string(k.Message.MessageID)] = party.NewMessageID(accepted)
		c.ids[k.Message.ID.String()] = c.newID(accepted).String()
	}
	x := postgres.PastExchange{Request: c.message(like.Request), Reply: c.message(like.Reply)}
	if m.made%unansweredIn == 0 {
		x.Reply = nil
		x.Request.Events = slices.DeleteFunc(x.Request.Events, func(e journal.Event) bool { return e.Kind == journal.KindAnswered })
	}
	return x
}

// variation is what is other in a copy of an exchange.
type variation struct {
	by      time.Duration
	random  *rand.Rand
	way     route
	parties map[string]string
	ids     map[string]string // MessageIDs and ours
	values  map[string]string // about people
	person  int
}

// newID is an id of ours of a time (UUIDv7).
func (c *variation) newID(at time.Time) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16|0x7000|uint64(c.random.IntN(0x1000)))
	binary.BigEndian.PutUint64(id[8:], c.random.Uint64()&^(3<<62)|2<<62)
	return id
}

func (c *variation) id(old string) string {
	if id, ok := c.ids[old]; ok {
		return id
	}
	return old
}

func (c *variation) party(old string) string {
	if p, ok := c.parties[old]; ok {
		return p
	}
	return old
}

func (c *variation) time(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(c.by)
}

func (c *variation) bytes(old []byte) []byte {
	if old == nil {
		return nil
	}
	b := old
	for was, is := range c.ids {
		b = bytes.ReplaceAll(b, []byte(was), []byte(is))
	}
	return b
}

// value is a value about people, of the same kind and length where that is known: a
// digest, a number, or a name.
func (c *variation) value(old string) string {
	if v, ok := c.values[old]; ok {
		return v
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", c.person, old))
	v := fmt.Sprintf("%s %d", old, c.person%5000)
	switch {
	case len(old) == 64 && strings.Trim(old, "0123456789abcdef") == "":
		sum = sha256.Sum256(fmt.Appendf(nil, "%d %s", c.random.Uint64(), old))
		v = fmt.Sprintf("%x", sum)
	case old != "" && strings.Trim(old, "0123456789") == "":
		digits := []byte(old)
		for i := range digits {
			digits[i] = '0' + sum[i%len(sum)]%10
		}
		v = string(digits)
	}
	c.values[old] = v
	return v
}

func (c *variation) message(old *postgres.PastMessage) *postgres.PastMessage {
	m := *old.Message
	m.ID = uuid.MustParse(c.id(m.ID.String()))
	m.MessageID, m.Original = adapter.MessageID(c.id(string(m.MessageID))), adapter.MessageID(c.id(string(m.Original)))
	if m.Request != uuid.Nil {
		m.Request = uuid.MustParse(c.id(m.Request.String()))
	}
	m.Sender = adapter.Mnemonic(c.party(string(m.Sender)))
	m.Recipients = slices.Clone(m.Recipients)
	for i := range m.Recipients {
		m.Recipients[i].System = adapter.Mnemonic(c.party(string(m.Recipients[i].System)))
	}
	m.Service, m.Version = c.way.service, c.way.version
	m.Accepted, m.Deadline, m.EOL = c.time(m.Accepted), c.time(m.Deadline), c.time(m.EOL)
	m.Body = c.bytes(m.Body)
	m.Digest, m.Certificate = sha256.Sum256(m.Body), sha256.Sum256([]byte(m.Sender))
	k := &postgres.PastMessage{Message: &m}
	for _, r := range old.Receipts {
		r.Queue = m.Recipients[0]
		r.Poll, r.Answer, r.Ack = c.bytes(r.Poll), c.bytes(r.Answer), c.bytes(r.Ack)
		k.Receipts = append(k.Receipts, r)
	}
	for _, e := range old.Events {
		e.Message, e.MessageID, e.Original = c.id(e.Message), c.id(e.MessageID), c.id(e.Original)
		e.Sender, e.Recipient, e.Service, e.Version = c.party(e.Sender), c.party(e.Recipient), c.way.service, c.way.version
		for _, t := range []*time.Time{&e.Time, &e.Deadline, &e.DueQueued, &e.DueTaken, &e.DueStatus, &e.EOL} {
			*t = c.time(*t)
		}
		if e.Digest != "" {
			e.Digest = fmt.Sprintf("%x", m.Digest)
		}
		if e.Certificate != "" {
			e.Certificate = fmt.Sprintf("%x", sha256.Sum256([]byte(e.Sender)))
		}
		e.Personal = slices.Clone(e.Personal)
		for i := range e.Personal {
			e.Personal[i].Value = c.value(e.Personal[i].Value)
		}
		k.Events = append(k.Events, e)
	}
	return k
}
