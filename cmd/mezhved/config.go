package main

import (
	"errors"
	"os"

	"mezhved/adapter"
)

type configCmd struct {
	Show configShowCmd `cmd:"" help:"Show what is in force and where it stands, the defaults, or the schema for editors."`
}

type configShowCmd struct {
	Config    string `short:"c" placeholder:"FILE" type:"existingfile" help:"Configuration (YAML)."`
	Effective bool   `xor:"what" help:"What a node would run with: each value with the place where it stands. This is the default."`
	Defaults  bool   `xor:"what" help:"Every setting with its default and meaning; no file is read."`
	Schema    bool   `xor:"what" help:"JSON Schema of the configuration, for editors; no file is read."`
}

func (configShowCmd) Help() string {
	return `The values come from the file, over them from the environment, and where neither has one the default is in force.
No secret is shown: settings name the files of secrets, and an address loses its password.

Examples:
  mezhved config show --config /etc/mezhved/mezhved.yaml
  MEZHVED_LISTEN=0.0.0.0:7500 mezhved config show --config /etc/mezhved/mezhved.yaml
  mezhved config show --defaults
  mezhved config show --schema > mezhved.schema.json    # in the file: # yaml-language-server: $schema=mezhved.schema.json`
}

func (c *configShowCmd) Run(out *stdio) error {
	switch {
	case c.Defaults:
		return adapter.ShowDefaults(out.out)
	case c.Schema:
		schema, err := adapter.ConfigSchema()
		if err != nil {
			return err
		}
		_, err = out.out.Write(append(schema, '\n'))
		return err
	case c.Config == "":
		return usage(errors.New("which configuration? --config names it; --defaults and --schema need none"))
	}
	config, origin, err := adapter.LoadConfigUnder(c.Config, os.Environ())
	if err != nil {
		return usage(err)
	}
	return config.Show(out.out, origin)
}
