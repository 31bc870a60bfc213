package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Standby makes a streaming standby of this server in opts.Dir, which must have
// no cluster yet, and starts it. It is not waited for at a commit unless this
// server is told to; pg_promote() makes it a server of its own.
func (p *Postgres) Standby(ctx context.Context, opts PostgresOptions) (*Postgres, error) {
	s := &Postgres{opts: opts, bin: p.bin, run: p.run}
	err := func() (err error) {
		if s.dir, err = filepath.Abs(opts.Dir); err != nil {
			return err
		}
		if err := os.MkdirAll(s.dir, 0o755); err != nil {
			return err
		}
		if s.lock, err = lockFile(filepath.Join(s.dir, "lock")); err != nil {
			return err
		}
		conn, err := pgx.Connect(ctx, p.URL("postgres"))
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx)) // and with it the slot
		if err := p.backup(ctx, conn, s.data()); err != nil {
			return err
		}
		return s.Start(ctx)
	}()
	if err != nil {
		s.Stop()
		return nil, fmt.Errorf("standby in %s: %w", opts.Dir, err)
	}
	return s, nil
}

// backup copies the running server's data into a directory that follows it as a
// standby. It is done in SQL (PostgreSQL, "Making a Base Backup Using the Low Level
// API"), because servers that are fetched come without pg_basebackup. A slot keeps
// the log that the standby has to read from the copy's beginning on, for as long
// as conn lives.
func (p *Postgres) backup(ctx context.Context, conn *pgx.Conn, to string) error {
	for _, statement := range []string{
		"SELECT pg_create_physical_replication_slot('standby_' || pg_backend_pid(), true, true)",
		"SELECT pg_backup_start('standby', true)",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	if err := p.copyData(to); err != nil {
		return err
	}
	var label string
	if err := conn.QueryRow(ctx, "SELECT labelfile FROM pg_backup_stop(false)").Scan(&label); err != nil {
		return err
	}
	primary := "host=" + p.socket + " user=postgres"
	if port := p.opts.Settings["port"]; port != "" {
		primary += " port=" + port
	}
	conf, err := os.OpenFile(filepath.Join(to, "postgresql.auto.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(conf, "primary_conninfo = '%s'\n", strings.ReplaceAll(primary, "'", "''"))
	if err := errors.Join(err, conf.Close()); err != nil {
		return err
	}
	for name, text := range map[string]string{"backup_label": label, "standby.signal": ""} {
		if err := os.WriteFile(filepath.Join(to, name), []byte(text), 0o600); err != nil {
			return err
		}
		if err := p.run.own(filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

// copyData copies the files of a running server, which may vanish meanwhile: what
// became of them stands in the log. What is the running server's own stays behind.
func (p *Postgres) copyData(to string) error {
	from := p.data()
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		switch folder := filepath.Dir(name); {
		case d.IsDir() && folder == "pg_replslot":
			return fs.SkipDir
		case d.IsDir():
			if err := os.Mkdir(target, 0o700); err != nil {
				return err
			}
			return p.run.own(target)
		case strings.HasPrefix(folder, "pg_wal"), name == "postmaster.pid", name == "postmaster.opts", !d.Type().IsRegular():
			return nil
		}
		err = copyFile(path, target)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return errors.Join(err, p.run.own(target))
	})
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
