package adapter

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"mezhved/adapter/journal"
	"mezhved/adapter/registry"
	"mezhved/adapter/settings"
)

// What an operator changes is an event like any other: on its start, and before a
// new set of services and parties comes into force, a node compares all settings
// with those that it told the journal of last, and tells what is different. A change
// that cannot be told of does not come into force.

// configuration is the subject of the settings that are no service's and no party's.
const configuration = "configuration"

// mostChanges is how many changes are entries of their own; what is beyond is one
// more that names them.
const mostChanges = 200

// Opened tells the journal what has changed since this node ran last. It is called
// once, before the doors open.
func (g *Gateway) Opened(ctx context.Context) error {
	g.marks = g.secretMarks(g.Config())
	return g.tellChanges(ctx, "start", g.Catalog(), g.Config())
}

// tellChanges puts into the journal what a catalog, and the configuration, changes
// against what this node told last.
func (g *Gateway) tellChanges(ctx context.Context, act string, c *registry.Catalog, config Config) error {
	state := settings.State{configuration: g.configured(&config)}
	for subject, all := range c.Settings {
		state[subject] = all
	}
	before, first, err := g.toldBefore(ctx)
	if err != nil {
		return err
	}
	changes := settings.Diff(before, state)
	if len(changes) == 0 && !first {
		return nil
	}
	encoded, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("what has changed: %w", err)
	}
	base := journal.Event{Kind: journal.KindConfigChanged, Time: g.now().UTC(), Node: g.config.Node, Operation: act, Digest: c.Digest}
	var events []journal.Event
	if first { // nothing to compare with: what there is, in one entry
		changes = nil
		events = append(events, changeEvent(base, "first", "everything", len(state), "", subjectsOf(settings.Diff(nil, state))))
	}
	for i := range changes[:min(len(changes), mostChanges)] {
		ch := &changes[i]
		ev := changeEvent(base, ch.What, ch.Subject, 0, ch.Text(), "")
		for _, l := range ch.Lines {
			name := fieldOf(l.Setting)
			if len(ev.Fields) < 8 && name != "" && !slices.Contains(ev.Fields, name) {
				ev.Fields = append(ev.Fields, name)
			}
		}
		if words := strings.Fields(ch.Subject); len(words) == 3 && words[0] == "service" {
			ev.Service, ev.Version = words[1], words[2]
		}
		events = append(events, ev)
	}
	if len(changes) > mostChanges {
		rest := changes[mostChanges:]
		events = append(events, changeEvent(base, settings.Changed, "more", len(rest), "", subjectsOf(rest)))
	}
	events = append(events, protocolEvents(base, c, settings.Diff(before, state))...)
	if err := g.store.ChangeSettings(ctx, g.config.Node, encoded, events...); err != nil {
		g.told.Store(nil) // it may have been done: the store knows
		return err
	}
	g.told.Store(&state)
	return nil
}

// changeEvent tells of one change. What it says in clear is which setting; the
// values, and who it was, may name people.
func changeEvent(base journal.Event, what, subject string, count int, text, subjects string) journal.Event {
	ev := base
	ev.Outcome, ev.Rule, ev.Count = what, subject, count
	if text = cmp.Or(text, subjects); text != "" {
		ev.Personal = append(ev.Personal, journal.PersonalField{Field: "change", Value: text})
	}
	ev.Personal = append(ev.Personal, journal.PersonalField{Field: "actor", Value: processOwner(base.Operation)})
	return ev
}

// protocolEvents tell of each test protocol that comes into force, and of each
// publication without one that holds: the rule has the digest in clear, so that whoever
// has the paper finds it in the log.
func protocolEvents(base journal.Event, c *registry.Catalog, changes []settings.Change) (events []journal.Event) {
	for _, ch := range changes {
		i := slices.IndexFunc(ch.Lines, func(l settings.Line) bool { return l.Setting == registry.ProtocolSetting && l.After != "" })
		words := strings.Fields(ch.Subject)
		if i < 0 || len(words) != 3 {
			continue
		}
		s := c.Service(words[1], words[2])
		if s == nil || s.Protocol == nil {
			continue
		}
		tell := func(outcome, digest, text string) {
			ev := changeEvent(base, outcome, outcome+" sha256:"+digest, 0, text, "")
			ev.Service, ev.Version, ev.Schema = s.Name, s.Version, s.SchemaDigest
			events = append(events, ev)
		}
		if s.Protocol.Digest != "" {
			tell("protocol", s.Protocol.Digest, ch.Lines[i].After)
		}
		if f := s.Protocol.Forced; f != nil {
			tell("forced", f.Digest, f.Reason)
		}
	}
	return events
}

func subjectsOf(changes []settings.Change) string {
	var b strings.Builder
	for i, c := range changes {
		if b.Len() > 32<<10 {
			fmt.Fprintf(&b, "and %d more\n", len(changes)-i)
			break
		}
		fmt.Fprintf(&b, "%s %s\n", c.What, c.Subject)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// toldBefore is what this node has told the journal of; first says that it has
// never told anything.
func (g *Gateway) toldBefore(ctx context.Context) (state settings.State, first bool, err error) {
	if told := g.told.Load(); told != nil {
		return *told, false, nil
	}
	encoded, err := g.store.Settings(ctx, g.config.Node)
	if err != nil || encoded == nil {
		return nil, err == nil, err
	}
	if err := json.Unmarshal(encoded, &state); err != nil {
		return nil, false, fmt.Errorf("what this node told the journal last: %w", err)
	}
	return state, false, nil
}

// fieldOf is the name under which an entry names a setting in clear: its first part.
func fieldOf(setting string) string {
	first, _, _ := strings.Cut(setting, ".")
	first, _, _ = strings.Cut(first, " ")
	var b strings.Builder
	for _, c := range first {
		if 'A' <= c && c <= 'Z' {
			b.WriteByte('-')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	if name := b.String(); journal.ValidName(name) {
		return name
	}
	return ""
}

// configured are the settings of the node: those of its configuration, and what of
// them stands in other files. Secrets are files there, so none is in it; of what is
// in those files it has marks.
func (g *Gateway) configured(c *Config) map[string]string {
	out := settings.Of(*c)
	for setting, files := range map[string][]string{
		"tls.certificate": {c.TLS.Certificate}, "tls.clientCAs": {c.TLS.ClientCAs}, "signature.certificate": {c.Signature.Certificate},
		"protocols.authorities": c.Protocols.Authorities, "trust.roots": c.Trust.Roots, "trust.intermediates": c.Trust.Intermediates, "ftp.certificate": {c.FTP.Certificate}, "journal.policy": {c.Journal.Policy},
	} {
		for _, name := range files {
			if content, err := os.ReadFile(name); name != "" && err == nil {
				sum := sha256.Sum256(content)
				out[setting+" "+name] = "sha256:" + hex.EncodeToString(sum[:])
			}
		}
	}
	for setting, mark := range g.marks {
		out[setting] = mark
	}
	return out
}

// secretMarks tell whether a secret is another one than before. In force are those of the
// start, and of tokens those of the last reload (marksInForce).
func (g *Gateway) secretMarks(c Config) map[string]string {
	out := map[string]string{}
	key := g.replies.derived(0, "settings mark")
	mark := func(setting, file string) {
		if content, err := os.ReadFile(file); file != "" && err == nil {
			out[setting+" (mark of the secret)"] = settings.Mark(key, content)
		}
	}
	for _, t := range c.Console.Tokens {
		mark("console.tokens."+t.Name, t.File)
	}
	for i, file := range c.ReplyTo.Keys {
		mark("replyTo.keys."+strconv.Itoa(i), file)
	}
	for i, file := range c.Kafka.SealKeys {
		mark("kafka.sealKeys."+strconv.Itoa(i), file)
	}
	mark("database.urlFile", c.Database.URLFile)
	mark("kafka.passwordFile", c.Kafka.PasswordFile)
	mark("ftp.passwordFile", c.FTP.PasswordFile)
	return out
}

// processOwner is who acted, as far as a process can know: the account that it runs
// under, and who has used sudo to start it. Who sends a signal, or asks by its socket
// (mezhved reload), it does not know: none but this account and root can.
func processOwner(act string) string {
	uid := os.Getuid()
	who := "uid " + strconv.Itoa(uid)
	if u, err := user.Current(); err == nil && u.Username != "" {
		who = u.Username + " (" + who + ")"
	}
	if act == "reload" {
		return "SIGHUP or mezhved reload to the process of " + who
	}
	if by := os.Getenv("SUDO_USER"); by != "" {
		who += ", by sudo of " + by
	}
	return who
}
