package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/backup"
	"mezhved/adapter/console"
	"mezhved/adapter/embedded"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/losses"
	"mezhved/adapter/postgres"
	"mezhved/adapter/vault"
)

type restoreCmd struct {
	Config string `required:"" short:"c" placeholder:"FILE" type:"existingfile" help:"The gateway's configuration on this machine: names where everything goes."`
	From   string `placeholder:"PLACE" help:"Folder, or s3://bucket/prefix; default: backup.to."`
	Backup string `default:"latest" placeholder:"ID" help:"Which backup; default: the latest."`

	Identity     []string `placeholder:"FILE" type:"existingfile" help:"Reads the data (age)."`
	KeysFrom     string   `placeholder:"PLACE" help:"Where the secrets are; default: backup.keysTo, or the place of the data."`
	KeysIdentity []string `placeholder:"FILE" type:"existingfile" help:"Reads the secrets; default: as the data."`
	LogKey       string   `placeholder:"FILE" type:"existingfile" help:"The log's public key, from somebody else than the backup: proves who has made it. Default: that of journal.key, where it is there."`

	Verify       bool   `help:"Put nothing back: verify what was, again, with other evidence for example."`
	NothingSince bool   `help:"You know that the log signed nothing after this backup: the gateways were stopped before it. Held against the evidence."`
	Extract      string `placeholder:"DIR" type:"path" help:"Instead: lay everything out in this folder, for another program or for a look. It holds secrets then."`
	evidenceFlags
	JSON bool `name:"json" help:"Print JSON."`
}

func (restoreCmd) Help() string {
	return `Puts a backup into an empty database and into the places that the configuration names. What is there already stays: a vault that has
survived is newer than any copy of it. Then it verifies: the journal against the backup's checkpoint, and against mirrors and
checkpoints that others have; does again what was erased since; and says what was accepted since and is lost, by MessageID, as receipts,
mirrors and the bus prove it. What the log signed after the backup cannot be unsigned: it stays stopped, and goes on under a new name
(mezhved journal reopen), unless nothing was signed since (--nothing-since). Stop all gateways before.
A restore that was killed is run again. Exit code 0: restored and verified, nothing is known to be lost; 1: something is, or does not verify, or the log has to be reopened.

Examples:
  mezhved restore --config /etc/mezhved/mezhved.yaml --identity backup.identity --mirror /mnt/auditor/mirror --receipts /mnt/muni01/receipts
  mezhved restore --config /etc/mezhved/mezhved.yaml --verify --receipts /mnt/muni02/receipts    # another party has sent its receipts
  mezhved restore --config /etc/mezhved/mezhved.yaml --from s3://backups/mezhved --backup 20261129T150405.123Z-k3v7qd --identity backup.identity --extract look`
}

func (c *restoreCmd) Run(ctx context.Context, out *stdio) error {
	if c.Verify {
		return c.verify(ctx, out, nil, nil)
	}
	config, err := adapter.ReadConfig(c.Config)
	if err != nil {
		return usage(err)
	}
	r, err := c.open(ctx, config)
	if err != nil {
		return err
	}
	if c.Extract != "" {
		return r.extract(ctx, c.Extract)
	}
	if err := r.putBack(ctx, out); err != nil {
		return err
	}
	return c.verify(ctx, out, r.manifest, r.place)
}

// restored is a backup that is put back.
type restored struct {
	config   adapter.Config
	place    backup.Place
	manifest *backup.Manifest
	index    *backup.Index
	secrets  *backup.Secrets // nil: there are none
	ids      backup.Identities
	said     []string
}

func (r *restored) say(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

// open finds the backup and proves whose it is.
func (c *restoreCmd) open(ctx context.Context, config adapter.Config) (*restored, error) {
	b := config.Backup
	b.To = cmp.Or(c.From, b.To)
	if b.To == "" {
		return nil, usage(errors.New("where the backup is is not said: --from, or backup.to in the configuration"))
	}
	if len(c.Identity) == 0 {
		return nil, usage(errors.New("what reads the backup is not said: --identity"))
	}
	if c.KeysFrom != "" {
		b.Keys, b.KeysTo = adapter.KeysApart, c.KeysFrom
	}
	r := &restored{config: config}
	data, keys, err := readPlaces(b)
	if err != nil {
		return nil, err
	}
	r.place = data
	vkey, err := logKey(config, c.LogKey)
	if err != nil {
		return nil, err
	}
	if r.manifest, err = backup.Find(ctx, data, c.Backup, vkey); errors.Is(err, fs.ErrNotExist) || errors.Is(err, backup.ErrUnsigned) {
		return nil, no(err)
	} else if err != nil {
		return nil, unavailable(err)
	}
	if r.ids, err = backup.ReadIdentities(c.Identity); err != nil {
		return nil, usage(err)
	}
	if r.index, err = backup.ReadIndex(ctx, data, r.manifest, r.ids); err != nil {
		return nil, no(err)
	}
	if r.manifest.Keys == adapter.KeysNone {
		r.say("the backup has no secrets: vault and keys have to be there from elsewhere")
		return r, nil
	}
	if r.manifest.Keys == adapter.KeysWith && c.KeysFrom == "" {
		keys = data
	}
	ids := r.ids
	if len(c.KeysIdentity) > 0 {
		if ids, err = backup.ReadIdentities(c.KeysIdentity); err != nil {
			return nil, usage(err)
		}
	}
	if keys == nil {
		return nil, usage(errors.New("where the secrets of the backup are is not said: --keys-from, or backup.keysTo in the configuration"))
	}
	r.secrets, err = backup.ReadSecrets(ctx, keys, r.manifest, ids)
	if errors.Is(err, fs.ErrNotExist) {
		r.secrets = nil
		r.say("the secrets of this backup are not kept any more: vault and keys have to be there from elsewhere, and files of the file store are not put back")
		return r, nil
	}
	if err != nil {
		return nil, no(err)
	}
	if vkey == "" {
		if err := r.provedByItself(ctx); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// readPlaces is places for who reads: where the secrets of a backup are follows from its
// manifest, too.
func readPlaces(b adapter.BackupConfig) (data, keys backup.Place, err error) {
	if b.Keys == adapter.KeysApart && b.KeysTo == "" {
		b.Keys = adapter.KeysNone
	}
	return places(b)
}

// provedByItself holds the manifest against the key among the secrets: that proves that
// the two belong together, and not who has made them.
func (r *restored) provedByItself(ctx context.Context) error {
	skey := r.secrets.Named[secretSetting+"journal.key"]
	_, vkey, err := journal.KeyOf(strings.TrimSpace(string(skey)))
	if err == nil {
		_, err = backup.Find(ctx, r.place, r.manifest.ID, vkey)
	}
	if err != nil {
		return no(err)
	}
	r.say("the manifest is signed with the key among its own secrets: hold %s against what others have of the log (--log-key)", vkey)
	return nil
}

// write puts a file where nothing is. What is there stays, and is told when it is
// another one.
func (r *restored) write(setting, path string, content []byte, mode os.FileMode) error {
	there, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(there, content):
		return nil
	case err == nil:
		r.say("%s: %s is there and stays, although the backup has another one", setting, path)
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return journal.ReplaceFile(path, content, mode)
}

func (r *restored) read(ctx context.Context, c backup.Content, ids backup.Identities) ([]byte, error) {
	var b bytes.Buffer
	err := backup.Copy(ctx, &b, r.place, c, ids)
	return b.Bytes(), err
}

// putBack puts everything in its place, the database last: it is what a gateway asks
// for first, and it says until then that it is not whole.
func (r *restored) putBack(ctx context.Context, out *stdio) error {
	if err := r.settings(ctx); err != nil {
		return err
	}
	if err := r.vault(); err != nil {
		return err
	}
	if r.secrets != nil && r.config.Journal.State != "" && missing(r.config.Journal.State) {
		if state := r.secrets.Named[secretState]; state != nil {
			if err := r.write("journal.state", r.config.Journal.State, state, 0o600); err != nil {
				return usage(err)
			}
		}
	}
	if err := r.files(ctx); err != nil {
		return err
	}
	err := r.database(ctx, out)
	for _, line := range r.said {
		fmt.Fprintln(out.err, line)
	}
	return err
}

// settings puts back what settings name: files, secrets and folders.
func (r *restored) settings(ctx context.Context) error {
	var lacks []string
	for _, n := range r.config.Named() {
		switch n.Of {
		case adapter.NamedFile:
			if list := r.index.Settings[n.Setting]; len(list) > 0 {
				content, err := r.read(ctx, list[0].Content, r.ids)
				if err != nil {
					return no(err)
				}
				if err := r.write(n.Setting, n.Path, content, 0o644); err != nil {
					return usage(err)
				}
			}
		case adapter.NamedSecret:
			if r.secrets != nil && r.secrets.Named[secretSetting+n.Setting] != nil {
				if err := r.write(n.Setting, n.Path, r.secrets.Named[secretSetting+n.Setting], 0o600); err != nil {
					return usage(err)
				}
			}
		case adapter.NamedFolder:
			if err := r.folder(ctx, n); err != nil {
				return err
			}
		}
		if missing(n.Path) && n.Of != adapter.NamedFolder {
			lacks = append(lacks, fmt.Sprintf("%s: %s", n.Setting, n.Path))
		}
	}
	if len(lacks) > 0 {
		return no(fmt.Errorf("the configuration names what neither this machine nor the backup has:\n  %s", strings.Join(lacks, "\n  ")))
	}
	return nil
}

// folder fills a folder that is empty or not there.
func (r *restored) folder(ctx context.Context, n adapter.Named) error {
	there, err := os.ReadDir(n.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return usage(err)
	}
	if len(there) > 0 {
		r.say("%s: %s has something in it and stays as it is", n.Setting, n.Path)
		return nil
	}
	for _, f := range r.index.Folders[n.Setting] {
		if !filepath.IsLocal(filepath.FromSlash(f.Path)) {
			return no(fmt.Errorf("%s: the backup has a file %q, which would lie elsewhere", n.Setting, f.Path))
		}
		content, err := r.read(ctx, f.Content, r.ids)
		if err != nil {
			return no(err)
		}
		if err := r.write(n.Setting, filepath.Join(n.Path, filepath.FromSlash(f.Path)), content, os.FileMode(f.Mode)&0o755|0o400); err != nil {
			return usage(err)
		}
	}
	return os.MkdirAll(n.Path, 0o755)
}

// vault puts the vault back where there is none. One that has survived knows what was
// erased since.
func (r *restored) vault() error {
	dir := r.config.Journal.Vault
	if dir == "" {
		return nil
	}
	own, err := vault.Known(dir)
	if err != nil {
		return usage(err)
	}
	copied := ""
	if r.secrets != nil {
		copied = strings.TrimSpace(string(r.secrets.Named[secretVault+"identity"]))
	}
	switch {
	case own == "" && copied == "":
		return no(fmt.Errorf("journal.vault: %s has no vault, and no copy of it is to be had: without it no content of the backup can be read. Put it back from where it is kept", dir))
	case own != "" && copied != "" && own != copied:
		return no(fmt.Errorf("journal.vault: %s has the vault %s, and the backup is of the vault %s", dir, own, copied))
	case own != "" && copied != "" && r.isCopy(dir):
		return nil // a restore that was killed has put it here
	case own != "":
		r.say("journal.vault: %s has survived and stays: it knows what was erased since", dir)
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return usage(err)
	}
	for name, content := range r.secrets.Named {
		file, ok := strings.CutPrefix(name, secretVault)
		if !ok || file == "identity" {
			continue
		}
		if file != filepath.Base(file) {
			return no(fmt.Errorf("the backup has a file %q of the vault, which would lie elsewhere", file))
		}
		if err := journal.ReplaceFile(filepath.Join(dir, file), content, 0o600); err != nil {
			return usage(err)
		}
	}
	// Last: a vault without it is none, and a restore that is run again fills it anew.
	return journal.ReplaceFile(filepath.Join(dir, "identity"), r.secrets.Named[secretVault+"identity"], 0o600)
}

// isCopy says whether a vault's files are those of the backup, byte for byte.
func (r *restored) isCopy(dir string) bool {
	for name, content := range r.secrets.Named {
		if file, ok := strings.CutPrefix(name, secretVault); ok {
			there, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil || !bytes.Equal(bytes.TrimSpace(there), bytes.TrimSpace(content)) {
				return false
			}
		}
	}
	return true
}

// files puts back the bytes of files that the database names.
func (r *restored) files(ctx context.Context) error {
	dir := r.config.Files.Dir
	if dir == "" || r.secrets == nil {
		return nil
	}
	for _, f := range r.index.Store {
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		if !filepath.IsLocal(filepath.FromSlash(f.Path)) {
			return no(fmt.Errorf("files.dir: the backup has a file %q, which would lie elsewhere", f.Path))
		}
		if info, err := os.Stat(path); err == nil && info.Size() == f.Size {
			continue // its bytes never change under its name
		}
		if err := r.file(ctx, path, f); err != nil {
			return err
		}
	}
	return nil
}

func (r *restored) file(ctx context.Context, path string, f backup.File) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return usage(err)
	}
	w, err := os.OpenFile(path+".restoring", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return usage(err)
	}
	err = backup.Copy(ctx, w, r.place, f.Content, r.secrets.Store[f.Path])
	if err = errors.Join(err, w.Sync(), w.Close()); err != nil {
		return no(fmt.Errorf("file %s: %w", f.Path, err))
	}
	if err := os.Rename(path+".restoring", path); err != nil {
		return usage(err)
	}
	return nil
}

// database fills an empty database.
func (r *restored) database(ctx context.Context, out *stdio) (err error) {
	url, stop, err := databaseURL(ctx, r.config.Database, out.openLog(false, false))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	program, err := embedded.Client(ctx, "pg_restore", major(r.manifest.Server))
	if err != nil {
		return usage(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := backup.Copy(ctx, w, r.place, r.index.Database, r.ids)
		w.CloseWithError(err)
		done <- err
	}()
	why := clerk.RestoredWhy(r.manifest.At.UTC().Format(time.RFC3339), r.manifest.ID)
	err = postgres.RestoreDump(ctx, url, program, r.manifest.ID, why, in)
	in.CloseWithError(err)
	copied := <-done
	switch {
	case errors.Is(err, postgres.ErrNotEmpty):
		return usage(err)
	case err != nil && copied != nil && !errors.Is(copied, io.ErrClosedPipe) && !errors.Is(copied, err):
		return no(copied)
	case err != nil:
		return unavailable(err)
	}
	return nil
}

// extract lays the backup out in a folder.
func (r *restored) extract(ctx context.Context, dir string) error {
	if there, err := os.ReadDir(dir); err == nil && len(there) > 0 {
		return usage(fmt.Errorf("%s is not empty", dir))
	}
	put := func(name string, c backup.Content, ids backup.Identities) error {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return no(fmt.Errorf("the backup has a file %q, which would lie elsewhere", name))
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return usage(err)
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return usage(err)
		}
		if err := errors.Join(backup.Copy(ctx, f, r.place, c, ids), f.Close()); err != nil {
			return no(fmt.Errorf("%s: %w", name, err))
		}
		return nil
	}
	if err := put("database.dump", r.index.Database, r.ids); err != nil {
		return err
	}
	for setting, list := range r.index.Settings {
		if err := put("settings/"+setting+"/"+filepath.Base(list[0].Path), list[0].Content, r.ids); err != nil {
			return err
		}
	}
	for setting, list := range r.index.Folders {
		for _, f := range list {
			if err := put("folders/"+setting+"/"+f.Path, f.Content, r.ids); err != nil {
				return err
			}
		}
	}
	if r.secrets == nil {
		return nil
	}
	for _, f := range r.index.Store {
		if err := put("files/"+f.Path, f.Content, r.secrets.Store[f.Path]); err != nil {
			return err
		}
	}
	for name, content := range r.secrets.Named {
		path := filepath.Join(dir, "secrets", filepath.FromSlash(name))
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return no(fmt.Errorf("the backup has a secret %q, which would lie elsewhere", name))
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
			return usage(err)
		}
	}
	return nil
}

// verified is what a restore found.
type verified struct {
	Backup   string   `json:"backup,omitempty"`
	Verified int64    `json:"verified"` // entries, under the latest checkpoint here
	Findings []string `json:"findings,omitempty"`
	Forgot   int      `json:"forgot"` // erasures that the database or the vault had forgotten
	Erased   int      `json:"erased"` // what was erased again
	Reopen   bool     `json:"reopen"` // the log goes on under a new name only
	lostSaid
}

// verify holds what is here against the backup and against others.
func (c *restoreCmd) verify(ctx context.Context, out *stdio, m *backup.Manifest, place backup.Place) (err error) {
	config, err := adapter.LoadConfig(c.Config)
	if err != nil {
		return usage(err)
	}
	if config.Journal.Key == "" || config.Journal.Vault == "" {
		return usage(errors.New("a restore is verified on a node that signs the journal (journal.key, journal.state, journal.vault)"))
	}
	store, keys, stop, err := openStore(ctx, config, out.openLog(false, false), postgres.Migrate)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	book, err := store.Journal(ctx, config.Journal.Origin, keys)
	if err != nil {
		return unavailable(err)
	}
	head, err := book.Head(ctx)
	if err != nil {
		return unavailable(err)
	}
	v := verified{}
	if m != nil {
		v.Backup = m.ID
		if root, err := m.Hash(); err != nil || head.Tree.N != m.Size || head.Tree.Hash != root || head.Origin != m.Origin {
			return no(fmt.Errorf("the journal has %d entries of %s with root %s, and the manifest says %d of %s with root %s: this is not the database of backup %s", head.Tree.N, head.Origin, head.Tree.Hash, m.Size, m.Origin, m.Root, m.ID))
		}
	}
	from, err := divergence(ctx, book, head)
	if err != nil {
		return unavailable(err)
	}
	e, err := c.gather(ctx, config, store, book, from)
	if err != nil {
		return err
	}
	if err := v.log(ctx, config, book, head, e); err != nil {
		return err
	}
	kept, err := c.register(ctx, config, place)
	if err != nil {
		return err
	}
	kept = append(kept, erasedSince(ctx, book, e, head)...)
	again, err := store.Reerase(ctx, kept, true, "mezhved restore")
	if err != nil {
		return unavailable(err)
	}
	v.Forgot, v.Erased = again.Lines, again.Content
	if again.Waiting > 0 {
		v.Findings = append(v.Findings, notReerased(again))
	}
	report, err := e.Against(ctx, book)
	if err != nil {
		return unavailable(err)
	}
	v.lostSaid = lostSaid{Entries: head.Tree.N, Sources: e.Sources, Report: *report, Evidence: e.Size}
	if err := c.signer(ctx, config, book, head, e, &v); err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(out.out, v)
	} else {
		v.print(out.out)
	}
	if err == nil && (v.gone() || len(v.Findings) > 0) {
		err = no(errSaid)
	}
	return err
}

// log verifies the journal whole, archived entries included.
func (v *verified) log(ctx context.Context, config adapter.Config, book *postgres.Journal, head clerk.Head, e *losses.Evidence) error {
	if _, err := journal.LoadEdge(ctx, head.Tree, book); err != nil {
		v.Findings = append(v.Findings, err.Error())
		return nil
	}
	c, err := book.Checkpoint(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was ever signed
	}
	if err != nil {
		return unavailable(err)
	}
	vkey, err := logKey(config, "")
	if err != nil {
		return err
	}
	policy, err := journal.LogPolicy(vkey)
	if err != nil {
		return usage(err)
	}
	if c.Origin != policy.Origin() {
		e.Saw("journal: it goes on under a new name and was not signed since; its tree holds, of the entries nothing was verified")
		return nil
	}
	var known []*journal.Checkpoint
	for _, k := range e.Checkpoints {
		if k.Origin == c.Origin && k.Tree.N <= c.Tree.N {
			known = append(known, k)
		}
	}
	rep, err := audit.VerifyLog(ctx, archived{book, config.Journal.Retention.Dir}, policy, c.Note, known)
	if err != nil {
		return no(err)
	}
	v.Verified = c.Tree.N
	for _, f := range rep.Recount.Findings {
		v.Findings = append(v.Findings, f.String())
	}
	if n := rep.Recount.Found; n > int64(len(v.Findings)) {
		v.Findings = append(v.Findings, fmt.Sprintf("and %d more", n-int64(len(v.Findings))))
	}
	return nil
}

// archived is a log whose older entries lie in a folder.
type archived struct {
	*postgres.Journal
	dir string
}

// Tile implements journal.TileSource.
func (a archived) Tile(ctx context.Context, level int, n int64, width int) ([]byte, error) {
	b, err := a.Journal.Tile(ctx, level, n, width)
	if err != nil && a.dir != "" && level == journal.EntriesLevel {
		if b, err := (audit.DirSource{FS: os.DirFS(a.dir)}).Tile(ctx, level, n, width); err == nil {
			return b, nil
		}
	}
	return b, err
}

// register is the register of erasures as it was kept beside the backups.
func (c *restoreCmd) register(ctx context.Context, config adapter.Config, place backup.Place) ([]vault.Erasure, error) {
	if place == nil {
		b := config.Backup
		if b.To = cmp.Or(c.From, b.To); b.To == "" {
			return nil, nil
		}
		var err error
		if place, _, err = readPlaces(b); err != nil {
			return nil, err
		}
	}
	text, err := backup.ReadRegister(ctx, place)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := vault.ReadErasures(text)
	if err != nil {
		return nil, no(fmt.Errorf("%s: %w", place, err))
	}
	return list, nil
}

// erasedSince are the erasures that only others' copies of the log tell of. Retention is
// not among them: it ends again by itself what is over.
func erasedSince(ctx context.Context, book *postgres.Journal, e *losses.Evidence, head clerk.Head) (list []vault.Erasure) {
	for _, l := range e.Erasures() {
		sum := sha256.Sum256(append([]byte("mezhved erased entry\n"), l.Append(nil)...))
		id := uuid.UUID(sum[:16])
		id[6], id[8] = id[6]&0x0F|0x80, id[8]&0x3F|0x80 // version 8
		again := vault.Erasure{ID: id.String(), At: l.Time, Ground: l.Ground}
		item := func(class, of string) {
			it := vault.Item{Class: class}
			if it.ID.UnmarshalText([]byte(of)) == nil {
				again.Items = append(again.Items, it)
			}
		}
		switch {
		case l.Incident != "":
			item(postgres.ClassRefused, l.Incident)
		case l.Message != "":
			item(adapter.ContentClass(l.Service, adapter.Direction(l.Direction)), l.Message)
		case l.Target != nil && *l.Target < head.Tree.N:
			row, err := book.Entry(ctx, *l.Target)
			if err != nil {
				continue // its values have gone with it
			}
			again.Target, again.Fields, again.Leaf = l.Target, l.Fields, fmt.Sprintf("%x", sha256.Sum256(row.Bytes))
		}
		if len(again.Items) > 0 || again.Target != nil {
			list = append(list, again)
		}
	}
	return list
}

// signer sees to it that nothing is signed that contradicts what was.
func (c *restoreCmd) signer(ctx context.Context, config adapter.Config, book *postgres.Journal, head clerk.Head, e *losses.Evidence, v *verified) error {
	secret, err := os.ReadFile(config.Journal.Key)
	if err != nil {
		return usage(err)
	}
	skey := strings.TrimSpace(string(secret))
	if missing(config.Journal.State) {
		if err := clerk.CreateSignerState(config.Journal.State, skey); err != nil {
			return usage(err)
		}
	}
	signer, err := clerk.NewFileSigner(config.Journal.State, skey, time.Now)
	if err != nil {
		return usage(fmt.Errorf("%w; stop the gateways", err))
	}
	defer signer.Close()
	last, err := signer.Last(ctx)
	if err != nil {
		return usage(err)
	}
	most := last
	checkpoints := e.Checkpoints
	if here, err := book.Checkpoint(ctx); err == nil {
		checkpoints = append(slices.Clone(checkpoints), here)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return unavailable(err)
	}
	for _, k := range checkpoints {
		if k.Origin == signer.Origin() && k.Tree.N > most.N {
			most = k.Tree
		}
	}
	if most != last { // a memory that is older than what was signed would sign another log of that size
		if err := journal.WriteLastSigned(config.Journal.State, journal.LastSigned{Origin: signer.Origin(), Key: signer.Key(), Size: most.N, Root: most.Hash[:]}); err != nil {
			return usage(err)
		}
	}
	v.Signed = most.N
	switch {
	case head.Stopped == "":
		return nil // it has gone on already
	case c.NothingSince && !v.gone() && len(v.Findings) == 0:
		if err := book.Stop(ctx, ""); err != nil {
			return unavailable(err)
		}
		return nil
	case c.NothingSince:
		v.Findings = append(v.Findings, "--nothing-since is not so: see above")
	}
	v.Reopen, v.Stopped = true, head.Stopped
	return nil
}

func (v *verified) print(w io.Writer) {
	if v.Backup != "" {
		fmt.Fprintf(w, "restored   backup %s\n", v.Backup)
	}
	fmt.Fprintf(w, "verified   %d entries under the latest checkpoint here\n", v.Verified)
	for _, f := range v.Findings {
		fmt.Fprintf(w, "FINDING    %s\n", console.Visible(f))
	}
	fmt.Fprintf(w, "erasures   %d had been forgotten, %d messages, refused calls and values were erased again\n", v.Forgot, v.Erased)
	v.lostSaid.print(w)
	if v.Reopen {
		fmt.Fprint(w, `
The log stays stopped: it may have signed more than is here. Go on under a new name:
  1. make a key with a new origin: mezhved keys journal --origin NAME --out FILE
  2. name it in the configuration (journal.key), with a new file for journal.state
  3. mezhved journal reopen --config FILE, and give auditors the key that it prints
  4. start the gateways
`)
	}
}
