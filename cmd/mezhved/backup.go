package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/backup"
	"mezhved/adapter/embedded"
	"mezhved/adapter/files"
	"mezhved/adapter/postgres"
	"mezhved/adapter/vault"
	"mezhved/cmd/internal/shell"
)

type backupCmd struct {
	Make     backupMakeCmd     `cmd:"" default:"withargs" help:"Make a backup: what is not there yet is written."`
	List     backupListCmd     `cmd:"" help:"List the backups of a place."`
	Check    backupCheckCmd    `cmd:"" help:"Read all of a backup and hold it against its digests; no key is needed."`
	Prune    backupPruneCmd    `cmd:"" help:"Remove old backups, and, sooner, the secrets of old ones."`
	Register backupRegisterCmd `cmd:"" help:"Copy the register of erasures beside the backups: often, it is small."`
}

// placeFlags say where backups are; without them the configuration does.
type placeFlags struct {
	Config string `required:"" short:"c" placeholder:"FILE" type:"existingfile" help:"The gateway's configuration: section backup."`
	To     string `placeholder:"PLACE" help:"Folder, or s3://bucket/prefix, instead of backup.to."`
	KeysTo string `placeholder:"PLACE" help:"Where the secrets are, instead of backup.keysTo."`
}

// load reads the configuration with what the flags say instead.
func (f *placeFlags) load(load func(string) (adapter.Config, error)) (adapter.Config, error) {
	c, err := load(f.Config)
	if err != nil {
		return c, usage(err)
	}
	b := &c.Backup
	b.To = cmp.Or(f.To, b.To)
	if f.KeysTo != "" {
		b.Keys, b.KeysTo = adapter.KeysApart, f.KeysTo
	}
	if b.To == "" {
		return c, usage(errors.New("where backups are is not said: backup.to in the configuration, or --to"))
	}
	return c, nil
}

// places opens where data and secrets are kept; keys is nil where these are not.
func places(b adapter.BackupConfig) (data, keys backup.Place, err error) {
	s3 := backup.S3Options{Endpoint: b.S3.Endpoint, Region: b.S3.Region, Credentials: b.S3.Credentials, CAs: b.S3.CAs}
	if data, err = backup.Open(b.To, s3); err != nil {
		return nil, nil, usage(err)
	}
	switch b.Keys {
	case adapter.KeysWith:
		keys = data
	case adapter.KeysApart:
		if b.KeysTo == "" {
			return nil, nil, usage(errors.New("where the vault and the keys go is not said: backup.keysTo in the configuration, or --keys-to; or --keys with, when they may lie beside the data, --keys none, when you keep them yourself"))
		}
		if keys, err = backup.Open(b.KeysTo, s3); err != nil {
			return nil, nil, usage(err)
		}
	}
	return data, keys, nil
}

type backupMakeCmd struct {
	placeFlags
	Recipient     []string `placeholder:"FILE" type:"existingfile" help:"Who can read the data (age), instead of backup.recipients."`
	KeysRecipient []string `placeholder:"FILE" type:"existingfile" help:"Who can read the secrets, instead of backup.keysRecipients."`
	Keys          string   `enum:",apart,with,none" default:"" help:"What becomes of the secrets, instead of backup.keys: apart, with or none."`
	JSON          bool     `name:"json" help:"Print the manifest as JSON."`
}

func (backupMakeCmd) Help() string {
	return `One point of database, journal, vault, keys, registry and files, while gateways are at work, encrypted to recipients (age). What the place
has already is not written again. A backup that was killed is begun again, and finds what the killed one has written. The secrets
(vault, keys, passwords) go to a place of their own, where they are to be kept for days: docs/operations.md says why.

Examples:
  mezhved backup make --config /etc/mezhved/mezhved.yaml
  mezhved backup --config /etc/mezhved/mezhved.yaml --to s3://backups/mezhved --keys-to /safe/mezhved-keys
  mezhved keys backup --out backup.identity    # who reads them: keep it off this machine`
}

func (c *backupMakeCmd) Run(ctx context.Context, out *stdio) error {
	config, err := c.load(adapter.LoadConfig)
	if err != nil {
		return err
	}
	if c.Keys != "" {
		config.Backup.Keys = c.Keys
	}
	if len(c.Recipient) > 0 {
		if len(c.KeysRecipient) == 0 && slices.Equal(config.Backup.KeysRecipients, config.Backup.Recipients) {
			config.Backup.KeysRecipients = c.Recipient
		}
		config.Backup.Recipients = c.Recipient
	}
	if len(c.KeysRecipient) > 0 {
		config.Backup.KeysRecipients = c.KeysRecipient
	}
	m, err := makeBackup(ctx, config, c.Config, out)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out.out, m)
	}
	for _, gap := range m.Gaps {
		fmt.Fprintf(out.out, "not in it: %s\n", gap)
	}
	_, err = fmt.Fprintf(out.out, "backup %s: everything committed until %s; journal of %d entries; %d objects, %d KB of them new\n", m.ID, m.At.Format(time.RFC3339Nano), m.Size, m.Count, m.New>>10)
	return err
}

// makeBackup takes everything in an order in which nothing refers to what is not in it:
// docs/operations.md has the argument, step by step.
func makeBackup(ctx context.Context, config adapter.Config, file string, out *stdio) (m *backup.Manifest, err error) {
	maker, skey, err := openMaker(config)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	b, err := maker.Begin(ctx)
	if errors.Is(err, backup.ErrBusy) {
		return nil, no(err)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	defer func() { err = errors.Join(err, b.End()) }()
	log := out.openLog(false, false)
	url, stop, err := databaseURL(ctx, config.Database, log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if config.Backup.URLFile != "" {
		text, err := os.ReadFile(config.Backup.URLFile)
		if err != nil {
			return nil, usage(err)
		}
		url = strings.TrimSpace(string(text))
	}
	m = &backup.Manifest{Began: began.UTC(), Node: config.Node, Program: shell.ThisBuild("mezhved").Version, Keys: config.Backup.Keys}

	// Files before the database that names them, and again after it.
	snapshot, held, gaps, err := snapshotWithFiles(ctx, url, config.Files.Dir)
	if err != nil {
		return nil, unavailable(err)
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	if held != nil {
		defer func() { err = errors.Join(err, held.Release()) }()
	}
	m.Gaps = gaps
	m.At, m.Schema, m.Server, m.Position = snapshot.At.UTC(), snapshot.Schema, snapshot.Server, snapshot.Position
	m.Origin, m.Size, m.Root, m.Checkpoint = snapshot.Head.Origin, snapshot.Head.Tree.N, base64.StdEncoding.EncodeToString(snapshot.Head.Tree.Hash[:]), string(snapshot.Checkpoint)
	if err := dump(ctx, b, snapshot); err != nil {
		return nil, unavailable(err)
	}
	if held != nil && maker.Keys != nil {
		if err := keepFiles(ctx, b, snapshot, held); err != nil {
			return nil, unavailable(err)
		}
	} else if n := len(snapshot.Files); n > 0 && maker.Keys == nil {
		m.Gaps = append(m.Gaps, fmt.Sprintf("%d files of the file store: without secrets their keys would have no place", n))
	}

	// Folders and settings.
	for _, n := range config.Named() {
		switch n.Of {
		case adapter.NamedFolder:
			err = b.Folder(ctx, n.Setting, n.Path)
		case adapter.NamedFile:
			err = b.Setting(ctx, n.Setting, n.Path)
		}
		if err != nil {
			return nil, unavailable(err)
		}
	}
	if err := b.Setting(ctx, "configuration", file); err != nil {
		return nil, unavailable(err)
	}

	// Keys after everything that was sealed with them.
	if err := keepSecrets(b, config); err != nil {
		return nil, unavailable(err)
	}
	if err := keepRegister(ctx, maker, config); err != nil {
		return nil, unavailable(err)
	}
	if err := b.Commit(ctx, m, skey); err != nil {
		return nil, unavailable(err)
	}
	return m, nil
}

// openMaker reads what a backup needs of the configuration.
func openMaker(config adapter.Config) (*backup.Maker, string, error) {
	c := config.Backup
	if config.Journal.Key == "" {
		return nil, "", usage(errors.New("backups are made on a node that signs the journal (journal.key): the manifest is signed with the log's key"))
	}
	skey, err := os.ReadFile(config.Journal.Key)
	if err != nil {
		return nil, "", usage(err)
	}
	data, keys, err := places(c)
	if err != nil {
		return nil, "", err
	}
	m := &backup.Maker{Place: data, Keys: keys, State: c.State}
	if m.Recipients, err = backup.ReadRecipients(c.Recipients); err == nil {
		m.KeysFor, err = backup.ReadRecipients(c.KeysRecipients)
	}
	if err == nil && (m.Recipients.None() || m.KeysFor.None()) {
		err = errors.New("whom a backup is encrypted to is not said: backup.recipients in the configuration, or --recipient; mezhved keys backup makes an identity and its recipient")
	}
	if err != nil {
		return nil, "", usage(err)
	}
	return m, strings.TrimSpace(string(skey)), nil
}

// tries is how often a snapshot is taken anew because a file that it names has gone
// before it could be held: it was brought, sent, taken and removed in between.
const tries = 5

// snapshotWithFiles takes a snapshot whose files are all held.
func snapshotWithFiles(ctx context.Context, url, dir string) (s *postgres.Snapshot, held *files.Held, gaps []string, err error) {
	for try := 1; ; try++ {
		if dir != "" {
			if held, err = files.Hold(dir); err != nil {
				return nil, nil, nil, err
			}
		}
		if s, err = postgres.TakeSnapshot(ctx, url); err != nil {
			if held != nil {
				err = errors.Join(err, held.Release())
			}
			return nil, nil, nil, err
		}
		gaps = nil
		if held != nil {
			for _, f := range s.Files {
				switch err := held.Take(f.Folder, f.Blob); {
				case errors.Is(err, fs.ErrNotExist):
					gaps = append(gaps, fmt.Sprintf("file %s/%s: the index names it and the disk has lost it", f.Folder, f.Blob))
				case err != nil:
					return nil, nil, nil, errors.Join(err, s.Close(), held.Release())
				}
			}
		}
		if len(gaps) == 0 || try == tries {
			return s, held, gaps, nil
		}
		if err := errors.Join(s.Close(), held.Release()); err != nil {
			return nil, nil, nil, err
		}
	}
}

// dump lets pg_dump write what the backup reads.
func dump(ctx context.Context, b *backup.Backup, s *postgres.Snapshot) error {
	program, err := embedded.Client(ctx, "pg_dump", major(s.Server))
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		err := s.Dump(ctx, program, w)
		w.CloseWithError(err) // nil: the end
		done <- err
	}()
	err = b.Database(ctx, r)
	r.CloseWithError(err)
	return errors.Join(err, <-done)
}

// major is the release of a server, as it says it.
func major(server string) int {
	n, _, _ := strings.Cut(server, ".")
	v, _ := strconv.Atoi(n)
	return v
}

func keepFiles(ctx context.Context, b *backup.Backup, s *postgres.Snapshot, held *files.Held) error {
	for _, f := range s.Files {
		err := b.Stored(ctx, path.Join(f.Folder.String(), f.Blob), held.Path(f.Folder, f.Blob))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it is told of among the gaps
		}
		if err != nil {
			return fmt.Errorf("file %s/%s: %w", f.Folder, f.Blob, err)
		}
	}
	return nil
}

// Names of secrets.
const (
	secretVault   = "vault/"
	secretSetting = "settings/"
	secretState   = "journal.state"
)

func keepSecrets(b *backup.Backup, config adapter.Config) error {
	keys, err := vault.Open(config.Journal.Vault, time.Now)
	if err != nil {
		return err
	}
	if err := keys.Copy(func(name string, content []byte) error { b.Secret(secretVault+name, content); return nil }); err != nil {
		return err
	}
	for _, n := range config.Named() {
		if n.Of != adapter.NamedSecret {
			continue
		}
		content, err := os.ReadFile(n.Path)
		if err != nil {
			return fmt.Errorf("%s: %w", n.Setting, err)
		}
		b.Secret(secretSetting+n.Setting, content)
	}
	state, err := os.ReadFile(config.Journal.State)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a node that has not begun
		return err
	}
	if err == nil {
		b.Secret(secretState, state)
	}
	return nil
}

// keepRegister copies the vault's register beside the backups.
func keepRegister(ctx context.Context, m *backup.Maker, config adapter.Config) error {
	register, err := vault.Register(config.Journal.Vault)
	if err != nil || register == nil {
		return err
	}
	return m.Register(ctx, register)
}

type backupRegisterCmd struct{ placeFlags }

func (backupRegisterCmd) Help() string {
	return `What was erased after a backup is erased again when that backup is restored, by this register. It holds no secret and is a few
kilobytes: copy it every few minutes, so that no erasure is forgotten with a machine.

Example:
  mezhved backup register --config /etc/mezhved/mezhved.yaml`
}

func (c *backupRegisterCmd) Run(ctx context.Context) error {
	config, err := c.load(adapter.LoadConfig)
	if err != nil {
		return err
	}
	data, _, err := places(config.Backup)
	if err != nil {
		return err
	}
	if err := keepRegister(ctx, &backup.Maker{Place: data}, config); err != nil {
		return unavailable(err)
	}
	return nil
}

type backupListCmd struct {
	placeFlags
	JSON bool `name:"json" help:"Print the manifests as JSON."`
}

func (backupListCmd) Help() string {
	return "Example:\n  mezhved backup list --config /etc/mezhved/mezhved.yaml"
}

func (c *backupListCmd) Run(ctx context.Context, out *stdio) error {
	config, err := c.load(adapter.ReadConfig)
	if err != nil {
		return err
	}
	data, _, err := places(config.Backup)
	if err != nil {
		return err
	}
	list, err := backup.List(ctx, data, "")
	if err != nil {
		return unavailable(err)
	}
	if c.JSON {
		return printJSON(out.out, list)
	}
	rows := [][]string{{"BACKUP", "POINT", "ENTRIES", "OBJECTS", "NEW, KB", "SECRETS", "SCHEMA", "NODE"}}
	for _, m := range list {
		rows = append(rows, []string{m.ID, m.At.Format(time.RFC3339), strconv.FormatInt(m.Size, 10), strconv.Itoa(m.Count), strconv.FormatInt(m.New>>10, 10), m.Keys, strconv.FormatInt(m.Schema, 10), m.Node})
	}
	return table(out.out, rows)
}

type backupCheckCmd struct {
	placeFlags
	Backup string `arg:"" optional:"" default:"latest" help:"Which one, by its id; default: the latest."`
}

func (backupCheckCmd) Help() string {
	return `Reads every object of the backup. Exit code 1 says that something is damaged or missing: remove what is named, and the next backup writes
it again where it still can. Whether a backup can be restored, only a restore tells: rehearse it on another machine.

Examples:
  mezhved backup check --config /etc/mezhved/mezhved.yaml
  mezhved backup check --config /etc/mezhved/mezhved.yaml 20261129T150405.123Z-k3v7qd`
}

func (c *backupCheckCmd) Run(ctx context.Context, out *stdio) error {
	config, err := c.load(adapter.ReadConfig)
	if err != nil {
		return err
	}
	data, _, err := places(config.Backup)
	if err != nil {
		return err
	}
	vkey, err := logKey(config, "")
	if err != nil {
		return err
	}
	m, err := backup.Find(ctx, data, c.Backup, vkey)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, backup.ErrUnsigned) {
		return no(err)
	}
	if err != nil {
		return unavailable(err)
	}
	bad, bytes, err := backup.Check(ctx, data, m)
	if err != nil {
		return unavailable(err)
	}
	for _, one := range bad {
		fmt.Fprintln(out.out, one)
	}
	if len(bad) > 0 {
		return no(fmt.Errorf("backup %s: %d of %d objects are damaged or missing", m.ID, len(bad), m.Count))
	}
	_, err = fmt.Fprintf(out.out, "backup %s: %d objects, %d KB, all as they were written\n", m.ID, m.Count, bytes>>10)
	return err
}

type backupPruneCmd struct {
	placeFlags
	Keep     time.Duration `default:"2160h" help:"How long backups are kept. The latest stays."`
	KeepKeys time.Duration `default:"336h" help:"How long secrets are kept: an old vault opens what was erased since. Those of the latest backup stay."`
}

func (backupPruneCmd) Help() string {
	return "Example:\n  mezhved backup prune --config /etc/mezhved/mezhved.yaml --keep 2160h --keep-keys 336h"
}

func (c *backupPruneCmd) Run(ctx context.Context, out *stdio) error {
	config, err := c.load(adapter.LoadConfig)
	if err != nil {
		return err
	}
	m, _, err := openMaker(config)
	if err != nil {
		return err
	}
	now := time.Now()
	done, err := m.Prune(ctx, now.Add(-c.Keep), now.Add(-c.KeepKeys), now)
	if errors.Is(err, backup.ErrBusy) {
		return no(err)
	}
	if err != nil {
		return unavailable(err)
	}
	_, err = fmt.Fprintf(out.out, "removed: %d backups, %d objects that no other needs, secrets of %d\n", done.Backups, done.Objects, done.Secrets)
	return err
}

type keysBackupCmd struct {
	Out string `required:"" placeholder:"FILE" help:"File of the identity, which reads backups; the recipient, which the gateway needs, is written beside it with .recipient."`
}

func (keysBackupCmd) Help() string {
	return `The identity is all that reads a backup, and the gateway never needs it: make it on another machine, and keep two copies of it apart.
They are keys of age (age-encryption.org), and age itself works with them.

Example:
  mezhved keys backup --out backup.identity`
}

func (c *keysBackupCmd) Run(out *stdio) error {
	identity, recipient, err := backup.NewIdentity()
	if err != nil {
		return err
	}
	if err := writeNew(c.Out, []byte(identity+"\n"), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(c.Out+".recipient", []byte(recipient+"\n"), 0o644); err != nil {
		return usage(err)
	}
	_, err = fmt.Fprintln(out.out, recipient)
	return err
}
