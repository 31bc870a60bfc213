package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/console"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/journal/remote"
	"mezhved/adapter/postgres"
	"mezhved/adapter/vault"
	"mezhved/signing"
)

// openJournal opens the log. The node that has the key sequences and signs it,
// asks the witnesses and keeps to the retention; every other node watches, and
// accepts nothing while nobody does.
func (n *node) openJournal(ctx context.Context, rooms *adapter.Rooms) error {
	c := n.config.Journal
	if c.Key == "" {
		n.log.Warn("this node does not sign the journal (journal.key is not set): another one must")
		book, err := n.store.Journal(ctx, c.Origin, nil)
		if err != nil {
			return unavailable(err)
		}
		rooms.Journal = &clerk.Sequencer{Book: book, Now: n.clock.Now, Steady: n.clock.Trusted, Keys: n.keys, Log: n.log}
		return nil
	}
	skey, err := os.ReadFile(c.Key)
	if err != nil {
		return usage(err)
	}
	origin, public, err := journal.KeyOf(strings.TrimSpace(string(skey)))
	if err != nil {
		return usage(fmt.Errorf("%s: %w", c.Key, err))
	}
	begin := c.Origin
	if begin == n.config.DefaultOrigin() { // nobody has chosen it: the key's is the one that can be signed for
		begin = origin
	}
	if n.book, err = n.store.Journal(ctx, begin, n.vault); err != nil {
		return unavailable(err)
	}
	if err := n.book.Name(ctx, begin); err != nil {
		return unavailable(err)
	}
	if err := n.ownsLog(ctx, origin, public); err != nil {
		return err
	}
	signer, err := openJournalSigner(c.State, strings.TrimSpace(string(skey)), n.clock.Now)
	if err != nil {
		return err
	}
	n.onClose(signer.Close)
	if c.MLDSA != "" {
		if signer.MLDSA, err = openMLDSA(c.MLDSA); err != nil {
			return usage(err)
		}
	}
	if err := n.follows(ctx, signer); err != nil {
		return err
	}
	sequencer := &clerk.Sequencer{Book: n.book, Signer: signer, Vault: n.vault, Now: n.clock.Now, Steady: n.clock.Trusted, Keys: n.keys, Log: n.log}
	rooms.Journal = sequencer
	if c.Policy == "" {
		if n.policy, err = journal.LogPolicy(signer.Key()); err != nil {
			return usage(err)
		}
	} else if err := n.openWitnesses(rooms, sequencer); err != nil {
		return usage(err)
	}
	n.openRetention(rooms)
	n.openStandings(rooms)
	return n.openTimestamps(rooms, sequencer)
}

// keys says which key of the vault this node lacks.
func (n *node) keys() error {
	if n.vault == nil {
		return nil // content is not sealed yet, see goesBlind
	}
	_, err := n.vault.Lacking()
	return err
}

// openTimestamps starts asking the authority whose time is put to the checkpoints.
func (n *node) openTimestamps(rooms *adapter.Rooms, sequencer *clerk.Sequencer) error {
	c := n.config.Journal.Timestamp
	if c.URL == "" {
		return nil
	}
	stamper, err := openStamper(c)
	if err != nil {
		return usage(err)
	}
	stamper.Log, stamper.Leads, stamper.Save = n.book.Published(n.cosigned()), func() bool { return sequencer.Status().Leads }, n.book.SaveTimestamp
	stamper.Now, stamper.Slog = n.clock.Now, n.log
	stamper.Measure(rooms.Metrics)
	rooms.Loops = append(rooms.Loops, adapter.Loop{Name: "timestamps", Run: stamper.Run})
	return nil
}

// ownsLog refuses a key that is not the log's: with it nothing would be signed, and
// so nothing accepted.
func (n *node) ownsLog(ctx context.Context, origin, public string) error {
	c := n.config.Journal
	head, err := n.book.Head(ctx)
	if err != nil {
		return unavailable(err)
	}
	last, err := n.book.Checkpoint(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unavailable(err)
	}
	if err := joins(c, head, origin, public); err != nil {
		return usage(err)
	}
	const wayOut = "name the log's own key and signer state (journal.key, journal.state); or, when that key is given up, stop the gateways and go on under the new origin with mezhved journal reopen"
	switch {
	case head.Origin == origin && last == nil:
		return nil
	case head.Origin != origin && head.Tree.N == 0 && last == nil:
		return usage(fmt.Errorf("journal.origin is %s, and journal.key (%s) is the key of %s, so the log could not be signed: set journal.origin to %s, or name the key of %s", c.Origin, c.Key, origin, origin, c.Origin))
	case head.Origin != origin:
		return usage(fmt.Errorf("the log in the database is %s, signed while it was empty, and journal.key (%s) is the key of %s (%s): %s", head.Origin, c.Key, origin, public, wayOut))
	}
	policy, err := journal.LogPolicy(public)
	if err != nil {
		return usage(err)
	}
	if _, err := policy.Open(last.Note); err != nil && last.Origin == origin {
		return usage(fmt.Errorf("the log in the database is %s, with %d entries, and was signed with another key of this name than journal.key (%s, %s): %s", head.Origin, head.Tree.N, c.Key, public, wayOut))
	}
	return nil
}

// follows refuses a log that is shorter than what the signer has signed: it would
// sign nothing, so nothing would be accepted, and the log would be stopped for good.
// One that is stopped already is opened, for what is left to do with it: to look.
func (n *node) follows(ctx context.Context, signer *clerk.FileSigner) error {
	last, err := signer.Last(ctx)
	if err != nil {
		return usage(err)
	}
	head, err := n.book.Head(ctx) // after the signer's memory: it only grows
	if err != nil {
		return unavailable(err)
	}
	if head.Stopped != "" {
		return nil
	}
	if err := goneBack(n.config.Journal, head, last.N); err != nil {
		return usage(err)
	}
	return nil
}

// goneBack says that the log has fewer entries than were signed; nil when it has them.
func goneBack(c adapter.JournalConfig, head clerk.Head, signed int64) error {
	if signed <= head.Tree.N {
		return nil
	}
	return fmt.Errorf("the log in the database, %s, has %d entries, and the signer's memory %s says that %d were signed: this is another database than that one's, or it has gone back. Name the database and the state that belong together; "+
		"if the database was restored from a backup, find out what is missing and go on under a new origin with mezhved journal reopen", cmp.Or(head.Origin, "not begun yet"), head.Tree.N, c.State, signed)
}

// openJournalSigner opens the signer's memory, or begins it: ownsLog has made sure
// that a missing one is that of an empty log.
func openJournalSigner(state, skey string, now func() time.Time) (*clerk.FileSigner, error) {
	if missing(state) {
		if err := clerk.CreateSignerState(state, skey); err != nil {
			return nil, usage(err)
		}
	}
	signer, err := clerk.NewFileSigner(state, skey, now)
	if err != nil {
		return nil, usage(err)
	}
	return signer, nil
}

// joins says what a node lacks that has a key and is to sign a journal which
// others have begun; nil when it lacks nothing, or when the journal is new.
// origin is the log that the node's key is for, public its verifier key.
func joins(c adapter.JournalConfig, head clerk.Head, origin, public string) error {
	if head.Tree.N == 0 {
		return nil
	}
	copied := fmt.Sprintf("copy from the node that signs: its journal.key to %s, its journal.state to %s, and let journal.vault (%s) be the same folder as there", c.Key, c.State, c.Vault)
	if c.Policy != "" {
		copied += ", and journal.policy (" + c.Policy + ")"
	}
	switch {
	case origin != head.Origin:
		return fmt.Errorf("the log in the database is %s, with %d entries, and journal.key (%s) is the key of %s (%s). To join it, %s; "+
			"or leave journal.key out: then this node signs nothing and needs none of them. Only to give the old log up: mezhved journal reopen", head.Origin, head.Tree.N, c.Key, origin, public, copied)
	case missing(c.State):
		return fmt.Errorf("the journal %s has %d entries and its signer's memory %s is not on this node. If the node joins others, %s. "+
			"If it was the only one that signs, put the file back from its own backup, or go on under a new origin with mezhved journal reopen", head.Origin, head.Tree.N, c.State, copied)
	}
	return nil
}

// witnessed is a journal whose checkpoints need a quorum of witnesses.
type witnessed struct {
	*clerk.Sequencer
	witnesses *remote.Collector
}

// Writable joins what the log and its witnesses have against accepting.
func (w witnessed) Writable() error {
	return errors.Join(w.Sequencer.Writable(), w.witnesses.Writable())
}

// openWitnesses starts asking the witnesses that the policy names.
func (n *node) openWitnesses(rooms *adapter.Rooms, sequencer *clerk.Sequencer) error {
	text, err := os.ReadFile(n.config.Journal.Policy)
	if err != nil {
		return err
	}
	if n.policy, err = journal.ParsePolicy(text); err != nil {
		return fmt.Errorf("%s: %w", n.config.Journal.Policy, err)
	}
	if len(n.policy.Witnesses()) == 0 {
		return nil
	}
	collector := &remote.Collector{Policy: n.policy, Log: n.book.Published(false), Save: n.book.SaveCosigned, Now: n.clock.Now, Slog: n.log}
	collector.Measure(rooms.Metrics)
	rooms.Journal = witnessed{sequencer, collector}
	rooms.Loops = append(rooms.Loops, adapter.Loop{Name: "witnesses", Run: collector.Run})
	return nil
}

// openStamper is who asks the authority that the configuration names, under its anchors.
func openStamper(c adapter.TimestampConfig) (*remote.Stamper, error) {
	certs, err := readCertificates(c.Anchors)
	if err != nil {
		return nil, fmt.Errorf("journal.timestamp.anchors: %w", err)
	}
	trust, err := signing.NewTrust(signing.TrustOptions{Roots: certs})
	if err != nil {
		return nil, fmt.Errorf("journal.timestamp.anchors: %w", err)
	}
	verifier, err := signing.NewVerifier(signing.Options{Trust: trust})
	if err != nil {
		return nil, err
	}
	return &remote.Stamper{URL: c.URL, Verifier: verifier, Every: c.Every.D()}, nil
}

// openMLDSA reads the second key of the log.
func openMLDSA(file string) (*journal.MLDSAKey, error) {
	skey, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := journal.ParseMLDSAKey(strings.TrimSpace(string(skey)))
	if err != nil {
		return nil, fmt.Errorf("journal.mldsa: %s: %w", file, err)
	}
	return key, nil
}

// openRetention starts forgetting what the configuration says is to be forgotten.
func (n *node) openRetention(rooms *adapter.Rooms) {
	run := func(ctx context.Context, config adapter.Config) error {
		c := config.Journal.Retention
		keep := map[string]time.Duration{}
		if c.Personal > 0 {
			keep[journal.ClassPersonal] = c.Personal.D()
		}
		if c.Envelope > 0 {
			keep[journal.ClassEnvelope] = c.Envelope.D()
		}
		if len(keep) == 0 && c.Archive == 0 {
			return nil
		}
		r := &postgres.Retention{Journal: n.book, Keep: keep, Ground: c.Ground, Archive: c.Archive.D(), Dir: c.Dir, Now: n.clock.Now, Log: n.log}
		return r.Run(ctx)
	}
	rooms.Loops = append(rooms.Loops, adapter.Loop{Name: "retention", Run: n.values.loop(n.config, run)})
}

// openStandings starts making what reports begin with, where there is a desk to ask for them.
func (n *node) openStandings(rooms *adapter.Rooms) {
	rooms.Loops = append(rooms.Loops, adapter.Loop{Name: "standings", Run: func(ctx context.Context) error {
		if n.console == nil { // it is mounted before the loops begin
			<-ctx.Done()
			return nil
		}
		return n.console.Stand(ctx)
	}})
}

// openContent starts ending content whose time is over: on every node that has the
// keys. What one of them has done the others find done.
func (n *node) openContent(rooms *adapter.Rooms) {
	if n.vault == nil {
		return
	}
	catalog := rooms.Registry.Catalog
	run := func(ctx context.Context, config adapter.Config) error {
		keep := config.Keep
		r := &postgres.ContentRetention{
			Store: n.store, Refused: keep.Refused.D(), Ground: cmp.Or(keep.Ground, "end of retention"), Now: n.clock.Now, Log: n.log,
			Services: func() []string {
				var names []string
				for _, s := range catalog().Services() {
					names = append(names, s.Name)
				}
				return names
			},
			For: func(service string, request bool) time.Duration { return keep.For(catalog(), service, request) },
		}
		return r.Run(ctx)
	}
	rooms.Loops = append(rooms.Loops, adapter.Loop{Name: "content", Run: n.content.loop(n.config, run)})
}

// cosigned says whether the log publishes only what a quorum of witnesses signed.
func (n *node) cosigned() bool { return n.policy != nil && len(n.policy.Witnesses()) > 0 }

type journalReopenCmd struct {
	Config string `required:"" short:"c" placeholder:"FILE" type:"existingfile" help:"The gateway's configuration, which names the new origin, key and state already."`
}

func (journalReopenCmd) Help() string {
	return `The way out when the signer refuses to go on, as it does when the database was restored from a backup, or when a
key is given up. Find out first what happened: entries that were signed and are missing were lost or taken away.
Stop the gateways, make a new key with a new origin (mezhved keys journal), name origin, key and a new state file in
the configuration, and run this once. The log goes on under the new origin; an entry in it says where the old one ended.

Example:
  mezhved journal reopen --config /etc/mezhved/mezhved.yaml`
}

func (c *journalReopenCmd) Run(ctx context.Context, out *stdio) (err error) {
	config, err := adapter.LoadConfig(c.Config)
	if err != nil {
		return usage(err)
	}
	if config.Journal.Key == "" {
		return usage(errors.New("the configuration names no journal.key"))
	}
	store, book, stop, err := openBook(ctx, out, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	skey, err := os.ReadFile(config.Journal.Key)
	if err != nil {
		return usage(err)
	}
	return reopen(ctx, out, store, book, config.Journal.State, strings.TrimSpace(string(skey)))
}

// openBook opens the journal of a configuration without a gateway.
func openBook(ctx context.Context, out *stdio, config adapter.Config) (*postgres.Store, *postgres.Journal, func() error, error) {
	store, keys, stop, err := openStore(ctx, config, out.openLog(false, false), nil)
	if err != nil {
		return nil, nil, nil, err
	}
	book, err := store.Journal(ctx, config.Journal.Origin, keys)
	if err != nil {
		return nil, nil, nil, errors.Join(unavailable(err), stop())
	}
	return store, book, stop, nil
}

type journalExamineCmd struct {
	Config  string `required:"" short:"c" placeholder:"FILE" type:"existingfile" help:"The gateway's configuration: names database and vault."`
	Recount bool   `help:"First make the daily totals again from the entries; not once entries were archived."`
}

func (journalExamineCmd) Help() string {
	return `Reads every entry in the database and says where keys, columns, terms, daily totals and counters, by which entries are
searched and counted, are not what the entries say, and where entries stand beside those of the log. Whether the entries
are those that were signed is another question: mezhved-audit verify log, over a mirror. Gateways may run meanwhile.
Exit code 1 says that something is wrong.

Wrong totals are what a node of an old release can leave that counts entries where they are not kept any more: once it
is gone, --recount makes them again. The journal takes up nothing meanwhile, a second or two for each million entries.

Examples:
  mezhved journal examine --config /etc/mezhved/mezhved.yaml
  mezhved journal examine --config /etc/mezhved/mezhved.yaml --recount`
}

func (c *journalExamineCmd) Run(ctx context.Context, out *stdio) (err error) {
	config, err := adapter.LoadConfig(c.Config)
	if err != nil {
		return usage(err)
	}
	if config.Journal.Vault == "" {
		return usage(errors.New("the configuration names no journal.vault"))
	}
	_, book, stop, err := openBook(ctx, out, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if c.Recount {
		if err := book.Recount(ctx); errors.Is(err, postgres.ErrArchived) {
			return no(err)
		} else if err != nil {
			return unavailable(err)
		}
	}
	head, err := book.Head(ctx)
	if err != nil {
		return unavailable(err)
	}
	findings, err := book.Examine(ctx)
	if err != nil {
		return unavailable(err)
	}
	for _, f := range findings {
		if _, err := fmt.Fprintln(out.out, console.Visible(f.String())); err != nil {
			return err
		}
	}
	if len(findings) > 0 {
		return no(fmt.Errorf("%d findings: searches and totals of this journal are not to be relied on; find out who can write to the database", len(findings)))
	}
	_, err = fmt.Fprintf(out.out, "%s: they are found and counted by what they say\n", many(head.Tree.N, "entry", "entries"))
	return err
}

// openStore opens the store and the vault of a configuration, for a command that works
// while no gateway runs. prepare, if given, is done to the database first. stop closes
// what was opened; after an error nothing is open.
func openStore(ctx context.Context, config adapter.Config, log *slog.Logger, prepare func(ctx context.Context, url string) error) (store *postgres.Store, keys *vault.Vault, stop func() error, err error) {
	url, stop, err := databaseURL(ctx, config.Database, log)
	if err != nil {
		return nil, nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, stop())
		}
	}()
	if keys, err = vault.Open(config.Journal.Vault, time.Now); err != nil {
		return nil, nil, stop, usage(err)
	}
	if prepare != nil {
		if err = prepare(ctx, url); err != nil {
			return nil, nil, stop, unavailable(err)
		}
	}
	if store, err = postgres.Open(ctx, postgres.Options{URL: url, Node: config.Node, Vault: keys, Log: log}); err != nil {
		return nil, nil, stop, notOpened(err)
	}
	ended := stop
	return store, keys, func() error { store.Close(); return ended() }, nil
}

// reopen refuses the name that the log has: whatever that name has signed elsewhere, or
// in a memory that is lost, it could sign again and otherwise.
func reopen(ctx context.Context, out *stdio, store *postgres.Store, book *postgres.Journal, state, skey string) error {
	origin, _, err := journal.KeyOf(skey)
	if err != nil {
		return usage(err)
	}
	head, err := book.Head(ctx)
	if err != nil {
		return unavailable(err)
	}
	if head.Origin == origin && (head.Stopped != "" || missing(state)) {
		return usage(fmt.Errorf("journal.key is still the key of %s, and that log goes on under a new name only: make a key (mezhved keys journal --origin NAME --out FILE), name it in journal.key, a new file in journal.state, and NAME in journal.origin where that is set; then run this again", origin))
	}
	last, err := book.Checkpoint(ctx)
	if err != nil {
		return no(fmt.Errorf("the old log has published nothing: %w", err))
	}
	if missing(state) {
		if err := clerk.CreateSignerState(state, skey); err != nil {
			return usage(err)
		}
	}
	signer, err := clerk.NewFileSigner(state, skey, time.Now)
	if err != nil {
		return usage(err)
	}
	defer signer.Close()
	now, err := store.Time(ctx) // the log's times are of one clock
	if err != nil {
		return unavailable(err)
	}
	if err := clerk.Reopen(ctx, book, signer, last.Tree, now); err != nil {
		return no(err)
	}
	_, err = fmt.Fprintf(out.out, "the log goes on as %s; give auditors its key: %s\n", signer.Origin(), signer.Key())
	return err
}
