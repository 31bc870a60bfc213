package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/backup"
	"mezhved/adapter/console"
	"mezhved/adapter/embedded"
	"mezhved/adapter/files"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/journal/remote"
	"mezhved/adapter/kafka"
	"mezhved/adapter/postgres"
	"mezhved/adapter/registry"
	"mezhved/adapter/vault"
	"mezhved/cmd/internal/shell"
	"mezhved/signing"
)

type doctorCmd struct {
	Config string `required:"" short:"c" placeholder:"FILE" type:"existingfile" help:"Configuration (YAML)."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (doctorCmd) Help() string {
	return `Tries everything that the configuration names, as a gateway would use it, and says of each thing whether it is
good, and what to do where it is not. In the database nothing stays of it; on the bus a topic <prefix>.doctor does.
A private database that does not run is started for it, and stopped again.
Exit code 1 says that a gateway would not run or could lose messages.

Example:
  mezhved doctor --config /etc/mezhved/mezhved.yaml`
}

// check is one line of the doctor's report.
type check struct {
	Name   string `json:"name"`
	Code   string `json:"code"`  // what was found, in a word that stays when its sentence is improved: docs/doctor.md
	State  string `json:"state"` // good, advice, bad
	Detail string `json:"detail"`
}

type report struct{ checks []check }

// add adds what was found; code begins with what was looked at.
func (r *report) add(state, code, format string, args ...any) {
	about, _, _ := strings.Cut(code, ".")
	r.checks = append(r.checks, check{strings.ReplaceAll(about, "-", " "), code, state, fmt.Sprintf(format, args...)})
}

// flaw adds a file that a setting names and that is of no use.
func (r *report) flaw(setting string, err error) {
	r.checks = append(r.checks, check{setting, "file.useless", "bad", err.Error()})
}

func (r *report) bad() (n int) {
	for _, c := range r.checks {
		if c.State == "bad" {
			n++
		}
	}
	return n
}

func (c *doctorCmd) Run(ctx context.Context, out *stdio) error {
	r := &report{}
	config, err := adapter.LoadConfig(c.Config)
	if err != nil {
		r.add("bad", "configuration.refused", "%v", err)
	} else {
		r.add("good", "configuration.good", "%s", c.Config)
		catalog := r.folders(config)
		r.keys(ctx, config)
		r.named(config)
		r.desk(config)
		r.address(config)
		r.files(config)
		r.database(ctx, config)
		r.bus(ctx, config, catalog)
		if catalog != nil {
			r.erasable(config, catalog)
		}
		r.journal(config)
		r.backup(config)
		r.evidence(ctx, config.Journal)
		r.witnesses(ctx, config.Journal)
		r.disks(config)
	}
	if c.JSON {
		err = printJSON(out.out, r.checks)
	} else {
		for _, one := range r.checks {
			fmt.Fprintf(out.out, "%-7s %-14s %s\n", one.State, one.Name, strings.ReplaceAll(strings.TrimSpace(one.Detail), "\n", "\n"+strings.Repeat(" ", 23)))
		}
	}
	if n := r.bad(); n > 0 {
		if !c.JSON {
			fmt.Fprintf(out.out, "\nTo be mended first: %d.\n", n)
		}
		return no(errors.Join(errSaid, err))
	}
	return err
}

func (r *report) folders(c adapter.Config) *registry.Catalog {
	registry, found := openRegistry(c, false)
	for _, f := range found {
		state := "bad"
		if f.Warning {
			state = "advice"
		}
		r.add(state, "registry.finding", "%s", f.String())
	}
	if registry == nil {
		return nil
	}
	r.add("good", "registry.good", "%s", registered(registry.Catalog()))
	return registry.Catalog()
}

func (r *report) keys(ctx context.Context, c adapter.Config) {
	if c.Signature.Off {
		r.add("advice", "bus-key.off", "signature.off: answers are not signed; right for an emulator only")
		return
	}
	s, err := c.LoadSigner(ctx)
	if err != nil {
		r.add("bad", "bus-key.unreadable", "%v", err)
		return
	}
	for _, e := range signing.ExpiringWithin(30*24*time.Hour, time.Now(), s.Certificate()) {
		r.add("advice", "bus-key.ends", "%s", e.Warning())
	}
	r.add("good", "bus-key.good", "%s, valid until %s", s.Certificate().Subject(), s.Certificate().NotAfter().Format(time.DateOnly))
}

// named looks at the files that the configuration names, and at how long the doors'
// certificates are good.
func (r *report) named(c adapter.Config) {
	for _, f := range flaws(c) {
		r.flaw(f.name, f.err)
	}
	r.ends(c.TLS, "tls.certificate", "doors.good", "doors.ends", "doors.ended")
	r.ftpEnds(c)
}

// ftpEnds is ends of the file store's door, where its certificate is another one.
func (r *report) ftpEnds(c adapter.Config) {
	if c.Files.Dir != "" && (c.FTP.Certificate != c.TLS.Certificate || c.FTP.Key != c.TLS.Key) {
		r.ends(adapter.TLSConfig{Certificate: c.FTP.Certificate, Key: c.FTP.Key}, "ftp.certificate", "ftp-door.good", "ftp-door.ends", "ftp-door.ended")
	}
}

// ends says how long the certificate of doors is good, under the code that fits.
func (r *report) ends(c adapter.TLSConfig, setting, good, ends, ended string) {
	door, err := c.Try()
	if err != nil || door == nil {
		return // said, or nothing to say
	}
	switch left := time.Until(door.NotAfter); {
	case left < 0:
		r.add("bad", ended, "%s: %s was valid until %s: renew it, the running gateway takes the new file by itself", setting, c.Certificate, door.NotAfter.Format(time.DateOnly))
	case left < 30*24*time.Hour:
		r.add("advice", ends, "%s: %s is valid until %s: renew it, the running gateway takes the new file by itself", setting, c.Certificate, door.NotAfter.Format(time.DateOnly))
	default:
		r.add("good", good, "%s, valid until %s", door.Subject, door.NotAfter.Format(time.DateOnly))
	}
}

// desk looks at the tokens of operators and auditors.
func (r *report) desk(c adapter.Config) {
	switch tokens, err := console.LoadTokens(c.Console); {
	case err != nil:
		r.add("bad", "desk.tokens-unreadable", "%v", err)
	case len(tokens) == 0:
		r.add("advice", "desk.no-tokens", "nobody has a token (console.tokens), so the desk stays closed")
	default:
		r.add("good", "desk.good", "%s", many(len(tokens), "token", "tokens"))
	}
}

func (r *report) address(c adapter.Config) {
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		r.add("advice", "address.in-use", "%s is in use: by a running gateway, or choose another with listen", c.Listen)
		return
	}
	l.Close()
	r.add("good", "address.free", "%s is free", c.Listen)
}

// files looks at the file store's folder and door.
func (r *report) files(c adapter.Config) {
	if c.Files.Dir == "" {
		r.add("advice", "files.none", "there is no file store (files.dir): messages that refer to files in it are refused, and clients use it for more than 5 MB")
		return
	}
	if err := files.Writable(c.Files.Dir); err != nil {
		r.add("bad", "files.not-writable", "%v", err)
		return
	}
	free, err := files.Free(c.Files.Dir)
	switch {
	case err != nil:
		r.add("bad", "files.free-unknown", "%v", err)
	case free < int64(c.Files.Total):
		r.add("advice", "files.short", "%s has %d MB free, less than files.total (%d MB) allows: a full disk would refuse files that the limits promise to take", c.Files.Dir, free>>20, int64(c.Files.Total)>>20)
	default:
		r.add("good", "files.good", "%s, %d MB free", c.Files.Dir, free>>20)
	}
	l, err := net.Listen("tcp", c.FTP.Listen)
	if err != nil {
		r.add("advice", "files.ftp-in-use", "ftp.listen: %s is in use: by a running gateway, or choose another", c.FTP.Listen)
		return
	}
	l.Close()
	r.add("good", "files.ftp-free", "ftp.listen: %s is free", c.FTP.Listen)
}

func (r *report) database(ctx context.Context, c adapter.Config) {
	if c.Database.Private != "" {
		r.add("advice", "database.private", "private (%s): for demonstrations and tests, not for production", c.Database.Private)
		if url, ok := embedded.Running(c.Database.Private); ok { // under a gateway, whose it is
			c.Database = adapter.DatabaseConfig{URL: url}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	url, stop, err := databaseURL(ctx, c.Database, quietLog())
	if err != nil {
		r.add("bad", "database.unreachable", "%v", err)
		return
	}
	defer stop()
	x, err := postgres.Examine(ctx, url)
	if err != nil {
		r.add("bad", "database.unexamined", "%v", err)
		return
	}
	for _, e := range x.Errors {
		r.add("bad", "database."+e.Code, "%s", e.Text)
	}
	for _, a := range x.Advice {
		r.add("advice", "database."+a.Code, "%s", a.Text)
	}
	if len(x.Errors) == 0 {
		r.add("good", "database.good", "PostgreSQL %s: tables can be made, written and locked, session settings hold, a durable commit takes %.2f ms", x.Version, float64(x.Commit.Microseconds())/1000)
	}
	r.nodes(x.Nodes, shell.ThisBuild("mezhved"))
	r.clock(c.Clock, x.Skew, x.Within)
	r.joins(c.Journal, x.Head)
	if r.vault(c.Journal.Vault, x) {
		r.unlike(ctx, url, c.Journal.Vault)
	}
	names := make([]string, 0, len(x.Sizes))
	for name := range x.Sizes {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool { return x.Sizes[names[i]].Bytes > x.Sizes[names[j]].Bytes })
	for _, name := range names {
		if s := x.Sizes[name]; s.Bytes > 100<<20 {
			r.add("good", "database.table", "table %s: %d MB, about %d rows", name, s.Bytes>>20, s.Rows)
		}
	}
}

// lately is how long ago a node may have been here that counts.
const lately = 24 * time.Hour

// nodes names those that share the database, and says whether they are of one build.
func (r *report) nodes(nodes []adapter.Node, own shell.Build) {
	builds := map[string]bool{}
	for _, n := range nodes {
		if n.Ago < lately {
			builds[n.Build.String()] = true
			r.add("good", "nodes.seen", "%s: %s, at work since %s, seen %s ago", n.Name, n.Build, n.Started.UTC().Format(time.RFC3339), n.Ago.Round(time.Second))
		}
	}
	this := adapter.Build{Version: own.Version, Commit: own.Commit}.String()
	switch {
	case len(builds) == 0:
		r.add("advice", "nodes.none", "no node has told this database of itself for a day")
	case len(builds) > 1:
		r.add("advice", "nodes.mixed", "nodes of %d builds share this database (%s): that is well for an upgrade, for a week at most; end it", len(builds), strings.Join(slices.Sorted(maps.Keys(builds)), "; "))
	case !builds[this]:
		r.add("advice", "nodes.other-build", "the nodes are of another build than this program (%s): what it says of the database is of its own", this)
	}
}

// witnesses asks those that sign the log whether they are there. What it asks is no
// question that they answer with a signature.
func (r *report) witnesses(ctx context.Context, c adapter.JournalConfig) {
	if c.Policy == "" {
		return
	}
	text, err := os.ReadFile(c.Policy)
	if err != nil {
		return // the configuration is bad, and that was said
	}
	policy, err := journal.ParsePolicy(text)
	if err != nil {
		r.add("bad", "witnesses.policy", "journal.policy: %s: %v", c.Policy, err)
		return
	}
	silent := 0
	for _, w := range policy.Witnesses() {
		if err := remote.Reach(ctx, w); err != nil {
			silent++
			r.add("advice", "witnesses.silent", "%s: %v; without a quorum of witnesses nothing is accepted after a quarter of an hour", w.Name, err)
			continue
		}
		r.add("good", "witnesses.good", "%s answers at %s", w.Name, w.URL)
	}
	if n := len(policy.Witnesses()); n > 0 && silent == n {
		r.add("bad", "witnesses.all-silent", "no witness answers: nothing would be accepted after a quarter of an hour; look at the network from here to them")
	}
}

// vault says whether content is sealed, and whether this node has the keys: whole is that
// the folder is the vault of the database.
func (r *report) vault(dir string, x *postgres.Examination) (whole bool) {
	begun := x.Vault != "" && !x.Since.After(time.Now().Add(-x.Skew))
	if dir == "" {
		state, what := "advice", "as long as a node without it is at work, no node seals the content of messages"
		if begun {
			state, what = "bad", "the content of messages is sealed, and this node could hand none of them out"
		}
		r.add(state, "vault.not-set", "journal.vault is not set: %s; let it be the folder that the other nodes have, on storage that they share", what)
		return false
	}
	own, err := vault.Known(dir)
	switch {
	case err != nil:
		r.add("bad", "vault.unreadable", "%v", err)
	case x.Vault != "" && own != "" && own != x.Vault:
		r.add("bad", "vault.other", "%s is the vault %s, and the content of messages in this database is sealed with the vault %s: all nodes use one folder", dir, own, x.Vault)
	case x.Vault != "" && own == "":
		r.add("bad", "vault.missing", "%s %s, and the content of messages in this database is sealed with the vault %s: mount its storage there, name its folder, or put it back from its own backup", dir, vault.Away(dir), x.Vault)
	case own != "" && r.lacks(dir, x.Keys):
	case begun:
		r.add("good", "vault.good", "%s: the content of messages is sealed; its backups are to live for a short time", dir)
	case x.Vault != "":
		r.add("good", "vault.later", "%s: the content of messages is sealed from %s on, when all nodes can read it", dir, x.Since.UTC().Format(time.RFC3339))
	}
	return own != "" && own == x.Vault
}

// unlike says which keys stand in the place of those that rows are sealed with, where the
// database has not seen that they were put there.
func (r *report) unlike(ctx context.Context, url, dir string) {
	strange, elsewhere, err := postgres.ExamineKeys(ctx, url, dir)
	if err != nil {
		r.add("bad", "vault.unexamined", "%s could not be held against what is sealed with it: %v", dir, err)
	}
	if len(strange) > 0 {
		r.add("bad", "vault.key-strange", "%s has keys that do not open what is sealed under their names, and that the database has never seen: %s; a node of the release before, which asks nobody, or somebody by hand has made them in the place of those that were lost: "+
			"put these back from the vault's own backup, and end the upgrade", dir, strings.Join(strange, ", "))
	}
	if len(elsewhere) > 0 {
		r.add("bad", "vault.sealed-elsewhere", "the last rows are sealed with other keys than %s has under these names: %s; another node has a folder of its own, and is of the release before, or has been: "+
			"let journal.vault be the folder that all nodes share, keep the other one, and end the upgrade", dir, strings.Join(elsewhere, ", "))
	}
}

// lacks names the keys that rows are sealed with and the folder has not.
func (r *report) lacks(dir string, keys map[string][]byte) bool {
	lacking, err := vault.Lacking(dir, keys)
	if err != nil {
		r.add("bad", "vault.unreadable", "%v", err)
	} else if len(lacking) > 0 {
		r.add("bad", "vault.key-missing", "%s lacks keys that rows of this database are sealed with, or has others in their place, or cannot read them: %s; where one is of this month nothing is accepted: "+
			"put them back from the vault's own backup, or let journal.vault be the folder that all nodes share; where retention has destroyed them and the database is of an older backup, its next pass removes the values", dir, strings.Join(lacking, ", "))
	}
	return err != nil || len(lacking) > 0
}

// clock compares this machine's clock with the database's.
func (r *report) clock(c adapter.ClockConfig, skew, within time.Duration) {
	difference := fmt.Sprintf("this machine's clock minus the database's is %s (±%s)", skew.Round(time.Millisecond), within.Round(time.Millisecond))
	switch far := skew.Abs() - within; {
	case far > c.Refuse.D():
		r.add("bad", "clock.refused", "%s, more than clock.refuse (%s): nothing would be accepted; synchronise both (chronyc tracking, timedatectl)", difference, c.Refuse.D())
	case far > c.Tell.D():
		r.add("advice", "clock.differs", "%s: synchronise both (chronyc tracking, timedatectl)", difference)
	default:
		r.add("good", "clock.good", "%s", difference)
	}
}

// joins says what a node lacks that is to sign a journal which others have begun.
func (r *report) joins(c adapter.JournalConfig, head clerk.Head) {
	if c.Key == "" {
		return
	}
	skey, err := os.ReadFile(c.Key)
	if err != nil {
		return // the configuration is bad, and that was said
	}
	origin, public, err := journal.KeyOf(strings.TrimSpace(string(skey)))
	if err != nil {
		err = fmt.Errorf("%s: %w", c.Key, err)
	} else {
		err = joins(c, head, origin, public)
	}
	if err != nil {
		r.add("bad", "journal.not-joined", "%v", err)
		return
	}
	if head.Stopped != "" {
		r.add("bad", "journal.stopped", "it was stopped, and nothing is accepted: %s", thenReopen(head.Stopped))
		return
	}
	if last, err := clerk.ReadSignerState(c.State, strings.TrimSpace(string(skey))); err == nil { // else it is told of the file
		if err := goneBack(c, head, last.N); err != nil {
			r.add("bad", "journal.gone-back", "%v", err)
		}
	}
}

// thenReopen adds to why a log was stopped what to do, where it does not say so itself.
func thenReopen(why string) string {
	if strings.Contains(why, "mezhved journal reopen") {
		return why
	}
	return why + ". When you know what happened: mezhved journal reopen"
}

func (r *report) bus(ctx context.Context, c adapter.Config, catalog *registry.Catalog) {
	if c.Kafka.Private != "" {
		r.add("advice", "kafka.private", "in-process (%s): for demonstrations and tests, not for production", c.Kafka.Private)
		return
	}
	b, err := openKafka(c.Kafka, time.Now, quietLog())
	if err != nil {
		r.add("bad", "kafka.settings", "%v", err)
		return
	}
	defer b.Close()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := b.Health(ctx); err != nil {
		r.add("bad", "kafka.unreachable", "%v: messages would be accepted and wait in the outbox", err)
		return
	}
	switch err := b.Try(ctx, c.Kafka.Prefix+".doctor", c.Kafka.Group); {
	case errors.Is(err, kafka.ErrFewBrokers):
		r.add("bad", "kafka.replication", "%v: messages would be accepted and wait in the outbox; start the brokers that are missing, or, where one is enough (tests), set kafka.replication to their number", err)
		return
	case err != nil:
		r.add("bad", "kafka.rights", "%v: messages would be accepted and wait in the outbox; give the user %q the rights to create, describe, write and read topics %s.* and to read in group %s", err, c.Kafka.User, c.Kafka.Prefix, c.Kafka.Group)
		return
	}
	r.add("good", "kafka.good", "%s; topics can be made, written and read", many(len(c.Kafka.Brokers), "address", "addresses"))
	if catalog == nil {
		return
	}
	wanted, _ := c.Kafka.Topics(catalog)
	names := make([]string, 0, len(wanted))
	for _, t := range wanted {
		names = append(names, t.Name)
	}
	states, err := b.Describe(ctx, names)
	if err != nil {
		r.add("advice", "topics.unseen", "%v: how they are kept is not known; give the user %q the right to describe their configuration", err, c.Kafka.User)
		return
	}
	r.topics(states, int(c.Kafka.MaxRecord))
	skips, _ := c.Kafka.Skips() // it was checked with the rest
	r.skips(states, skips)
	r.unsealed(states, c.Kafka.Unsealed(catalog, c.Keep))
}

// leastOnBus is how long a topic has to keep records: what the bus had acknowledged and
// removed before a queue has it is put there once more, from the store, and a gateway
// that was away for less than this finds all of it.
const leastOnBus = 24 * time.Hour

// topics looks at how those that exist are kept, each fault once for all that have it.
func (r *report) topics(states map[string]kafka.TopicState, largest int) {
	type fault struct{ state, code, what string }
	faults := map[fault][]string{}
	for _, name := range slices.Sorted(maps.Keys(states)) {
		say := func(state, code, format string, args ...any) {
			f := fault{state, code, fmt.Sprintf(format, args...)}
			faults[f] = append(faults[f], name)
		}
		s := states[name]
		if s.Replication < 3 {
			say("advice", "replication", "replication is %d: the loss of %s loses what is on its way; set 3", s.Replication, map[bool]string{true: "one broker", false: "two brokers"}[s.Replication < 2])
		}
		if s.Replication > 1 && s.MinInSync < 2 {
			say("bad", "min-insync", "min.insync.replicas is %d: a record is acknowledged that one broker alone has, and lost with it; set 2", s.MinInSync)
		}
		if s.Replication > 1 && s.MinInSync >= s.Replication {
			say("advice", "min-insync-all", "min.insync.replicas is %d of %d copies: nothing gets on while one broker is away", s.MinInSync, s.Replication)
		}
		if s.InSync < s.Replication {
			say("advice", "out-of-sync", "%d of %d copies are up to date: a broker is down or behind", s.InSync, s.Replication)
		}
		if s.Unclean {
			say("bad", "unclean-election", "unclean.leader.election.enable is true: a broker that lacks acknowledged records may lead; set false")
		}
		if s.Kept < leastOnBus {
			say("bad", "retention", "retention.ms is %d: what waits on the bus for longer than %s is removed unread; set a day or more (a gateway sets 7)", s.Kept.Milliseconds(), s.Kept)
		}
		if s.MaxRecord > 0 && s.MaxRecord < largest {
			say("bad", "max-record", "max.message.bytes is %d, less than kafka.maxRecord (%d): such messages would be refused by the bus and end as dead letters", s.MaxRecord, largest)
		}
	}
	for _, f := range slices.SortedFunc(maps.Keys(faults), func(a, b fault) int { return cmp.Or(-cmp.Compare(a.state, b.state), cmp.Compare(a.what, b.what)) }) {
		r.add(f.state, "topics."+f.code, "%s: %s", some(faults[f]), f.what)
	}
	if len(faults) == 0 && len(states) > 0 {
		r.add("good", "topics.good", "%d: copies, acknowledgements and retention are as they should be", len(states))
	}
}

// some names the first of many topics.
func some(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// skips tells what the intake passes over: a place that there is not, or that nobody has
// taken out when it had done its work.
func (r *report) skips(states map[string]kafka.TopicState, skips []adapter.Skip) {
	for _, skip := range skips {
		if s, there := states[skip.Topic]; !there || skip.Partition >= s.Partitions {
			r.add("bad", "kafka.skip-nowhere", "kafka.skip names %s, and there is no such partition: it passes over nothing; name the place as the line bus.unreadable of the log does", skip)
			continue
		}
		r.add("advice", "kafka.skip", "what cannot be read at %s is passed over; take it out of kafka.skip when all nodes are beyond it", skip)
	}
}

// unsealed holds topics that bear content in the clear against how long that content
// may be kept.
func (r *report) unsealed(states map[string]kafka.TopicState, most map[string]time.Duration) {
	for _, topic := range slices.Sorted(maps.Keys(most)) {
		is, there := states[topic]
		keep := is.Kept
		switch bound := most[topic]; {
		case !there:
		case bound > 0 && keep == kafka.Forever:
			r.add("bad", "topics.clear-for-ever", "%s bears content in the clear and keeps it for ever, and retention ends it after %s: set its retention.ms to %d", topic, bound, bound.Milliseconds())
		case bound > 0 && keep > bound:
			r.add("bad", "topics.clear-too-long", "%s bears content in the clear and keeps it for %s, and retention ends it after %s: set its retention.ms to %d", topic, keep, bound, bound.Milliseconds())
		case keep == kafka.Forever:
			r.add("advice", "topics.clear-unbounded", "%s bears content in the clear and keeps it for ever, also what is erased by an order: set its retention.ms", topic)
		default:
			r.add("good", "topics.clear-good", "%s bears content in the clear for %s; what is erased by an order stays there for no longer", topic, keep)
		}
	}
}

// stale is how old the last backup may be before somebody is told.
const stale = 26 * time.Hour

// backup says how old the last backup is that was made from here.
func (r *report) backup(c adapter.Config) {
	if c.Backup.To == "" {
		r.add("advice", "backup.none-here", "none is made from this node (backup.to): one node is to make them, see docs/operations.md")
		return
	}
	m, err := backup.Last(c.Backup.State)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.add("advice", "backup.none-yet", "none was made yet: mezhved backup --config FILE, by a timer")
	case err != nil:
		r.add("bad", "backup.unreadable", "%s: %v", c.Backup.State, err)
	case time.Since(m.At) > stale:
		r.add("advice", "backup.old", "the last one is of %s (%s): look why the timer has made none since", m.At.UTC().Format(time.RFC3339), m.ID)
	default:
		r.add("good", "backup.good", "%s, of %s, in %s", m.ID, m.At.UTC().Format(time.RFC3339), c.Backup.To)
	}
}

// erasable says what is kept for longer than what it is found by: an order to erase
// looks for messages in the entries that the database has, and for people in the values.
func (r *report) erasable(c adapter.Config, catalog *registry.Catalog) {
	const ever = time.Duration(math.MaxInt64)
	or := func(d time.Duration) time.Duration {
		if d == 0 {
			return ever
		}
		return d
	}
	said := func(d time.Duration) string {
		if d == ever {
			return "for ever"
		}
		return fmt.Sprintf("for %d days", d/(24*time.Hour))
	}
	content := time.Duration(0)
	for _, request := range []bool{true, false} {
		content = max(content, or(c.Keep.For(catalog, "", request)))
		for _, s := range catalog.Services() {
			content = max(content, or(c.Keep.For(catalog, s.Name, request)))
		}
	}
	values, entries := or(c.Journal.Retention.Personal.D()), or(c.Journal.Retention.Archive.D())
	if longest := max(content, values); entries < longest {
		r.add("advice", "retention.entries", "journal.retention.archive: entries stay in the database %s, content or values about people %s: what has no entry there is neither found nor erased by an order", said(entries), said(longest))
	}
	if values < content {
		r.add("advice", "retention.values", "journal.retention.personal: values about people are kept %s, content %s: afterwards it is not found by a person, and an order has to name its messages", said(values), said(content))
	}
}

func (r *report) journal(c adapter.Config) {
	if c.Journal.Key == "" {
		r.add("advice", "journal.unsigned-here", "this node does not sign the journal (journal.key is not set): another one must")
		return
	}
	secret, err := os.ReadFile(c.Journal.Key)
	if err != nil {
		return // the configuration is bad, and that was said
	}
	origin, _, err := journal.KeyOf(strings.TrimSpace(string(secret)))
	if err != nil {
		return
	}
	if c.Journal.Origin != origin && c.Journal.Origin != c.DefaultOrigin() {
		r.add("advice", "journal.other-origin", "journal.origin is %s and journal.key (%s) is the key of %s: a log can only bear the name of its key, so a new one would not begin; set journal.origin to it, or name the other key", c.Journal.Origin, c.Journal.Key, origin)
	}
	if missing(c.Journal.State) {
		r.add("advice", "journal.no-state-yet", "%s is not there yet: it is begun at the first start of a new journal", c.Journal.State)
		return
	}
	if _, err := clerk.ReadSignerState(c.Journal.State, strings.TrimSpace(string(secret))); err != nil {
		r.add("bad", "journal.state", "journal.state: %v", err)
		return
	}
	r.add("good", "journal.good", "key of %s", origin)
}

// evidence tries what stands behind the checkpoints beside the log's key.
func (r *report) evidence(ctx context.Context, c adapter.JournalConfig) {
	if c.MLDSA != "" {
		if _, err := openMLDSA(c.MLDSA); err != nil {
			r.add("bad", "journal.ml-dsa", "%v; make one with mezhved keys journal --ml-dsa", err)
		}
	}
	if c.Timestamp.URL == "" {
		return
	}
	stamper, err := openStamper(c.Timestamp)
	if err != nil {
		r.add("bad", "time-stamps.settings", "%v", err)
		return
	}
	_, stamp, err := stamper.Ask(ctx, []byte("mezhved doctor"))
	if err != nil {
		r.add("bad", "time-stamps.silent", "%s: %v. Checkpoints are signed without it; look at journal.timestamp, url and anchors", c.Timestamp.URL, err)
		return
	}
	r.add("good", "time-stamps.good", "%s answers: %s, by %s", c.Timestamp.URL, stamp.Time().Format(time.RFC3339), stamp.Certificate().Subject())
}

// ownDisk is a folder in which a node keeps what is in no database.
type ownDisk struct{ setting, dir string }

func ownDisks(c adapter.Config) (list []ownDisk) {
	state := ""
	if c.Journal.Key != "" {
		state = filepath.Dir(c.Journal.State)
	}
	for _, one := range []ownDisk{{"journal.state", state}, {"journal.vault", c.Journal.Vault}, {"journal.retention.dir", c.Journal.Retention.Dir}, {"files.dir", c.Files.Dir}} {
		if one.dir != "" {
			list = append(list, one)
		}
	}
	return list
}

// leastFree is how much a disk should have free on which a gateway keeps little.
const leastFree = 1 << 30

// disks looks at the room where the gateway keeps what is in no database: a signer that
// cannot write its state stops the journal, and with it accepting.
func (r *report) disks(c adapter.Config) {
	for _, one := range ownDisks(c) {
		if one.setting == "files.dir" || missing(one.dir) {
			continue // of the file store more is said
		}
		free, err := files.Free(one.dir)
		switch {
		case err != nil:
			r.add("advice", "disk.unknown", "%s: how much is free is not known: %v", one.setting, err)
		case free < leastFree/10:
			r.add("bad", "disk.full", "%s: %s has %d MB free; when it is full, nothing is accepted any more", one.setting, one.dir, free>>20)
		case free < leastFree:
			r.add("advice", "disk.short", "%s: %s has %d MB free; when it is full, nothing is accepted any more", one.setting, one.dir, free>>20)
		default:
			r.add("good", "disk.good", "%s: %s, %d MB free", one.setting, one.dir, free>>20)
		}
	}
}

func quietLog() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
