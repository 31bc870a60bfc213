package main

import (
	"context"
	"errors"
	"fmt"

	"mezhved/adapter"
	"mezhved/adapter/postgres"
)

type schemaCmd struct {
	Show schemaShowCmd `cmd:"" help:"Say at which version the database is, and which this program needs."`
	Up   schemaUpCmd   `cmd:"" help:"Migrate the database: what serve does at its start."`
	Down schemaDownCmd `cmd:"" help:"Take migrations back, for the release before."`
}

type databaseFlags struct {
	Config string `required:"" short:"c" placeholder:"FILE" type:"existingfile" help:"The gateway's configuration: names the database."`
}

// on does something with the database of the configuration.
func (f *databaseFlags) on(ctx context.Context, out *stdio, do func(url string) error) (err error) {
	config, err := adapter.LoadConfig(f.Config)
	if err != nil {
		return usage(err)
	}
	url, stop, err := databaseURL(ctx, config.Database, out.openLog(false, false))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return do(url)
}

type schemaShowCmd struct{ databaseFlags }

func (schemaShowCmd) Help() string {
	return `Exit code 1 says that the two are not the same.

Example:
  mezhved schema show --config /etc/mezhved/mezhved.yaml`
}

func (c *schemaShowCmd) Run(ctx context.Context, out *stdio) error {
	return c.on(ctx, out, func(url string) error {
		have, want, err := postgres.SchemaVersions(ctx, url)
		if err != nil {
			return unavailable(err)
		}
		fmt.Fprintf(out.out, "the database is at version %d, this program needs %d\n", have, want)
		if have != want {
			return no(errSaid)
		}
		return nil
	})
}

type schemaUpCmd struct{ databaseFlags }

func (schemaUpCmd) Help() string {
	return `Gateways of the release before go on meanwhile. A table that somebody holds is waited for a second at a time, for ten minutes.

Example:
  mezhved schema up --config /etc/mezhved/mezhved.yaml`
}

func (c *schemaUpCmd) Run(ctx context.Context, out *stdio) error {
	return c.on(ctx, out, func(url string) error {
		if err := postgres.Migrate(ctx, url); err != nil {
			return unavailable(err)
		}
		_, want, err := postgres.SchemaVersions(ctx, url)
		if err != nil {
			return unavailable(err)
		}
		_, err = fmt.Fprintf(out.out, "the database is at version %d\n", want)
		return err
	})
}

type schemaDownCmd struct {
	databaseFlags
	To int64 `required:"" placeholder:"VERSION" help:"The version that the release before needs, which that release's own program says."`
}

func (schemaDownCmd) Help() string {
	return `With the newer program, while no gateway runs. What the release before could not read is refused by its name: then restore a backup, or
stay. Exit code 1 says that it was refused; what was taken back until then stays so, and schema up does it again.

Example:
  mezhved schema down --to 99 --config /etc/mezhved/mezhved.yaml`
}

func (c *schemaDownCmd) Run(ctx context.Context, out *stdio) error {
	return c.on(ctx, out, func(url string) error {
		now, err := postgres.Downgrade(ctx, url, c.To)
		switch {
		case errors.Is(err, postgres.ErrOneWay):
			return no(oneWay(err))
		case errors.Is(err, postgres.ErrSchema):
			return usage(err)
		case err != nil:
			return unavailable(err)
		}
		_, err = fmt.Fprintf(out.out, "the database is at version %d\n", now)
		return err
	})
}

// oneWay says what to do where there is no way back.
func oneWay(err error) error {
	return fmt.Errorf("%w. Where that cannot be mended, stay on this release (mezhved schema up does again what was taken back) or restore a backup of before the upgrade", err)
}
