package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"mezhved/adapter"
	"mezhved/adapter/lifecycle/passport"
	"mezhved/adapter/registry"
)

type servicesPassportCmd struct {
	foldersFlags
	Name    string `arg:"" optional:"" help:"Name of the service; without it all versions of all services."`
	Version string `arg:"" optional:"" help:"Version; without it all."`
	URL     string `placeholder:"http://HOST:PORT" help:"Address of the doors; default: url of the configuration, else what it says of listen, tls and this machine."`
	Out     string `default:"passports" placeholder:"DIR" help:"Folder for the pages: NAME-VERSION.html."`
}

func (servicesPassportCmd) Help() string {
	return `One page for each version: for the integrator (fields, examples, how to sign, where) and for the call centre (what went
wrong, what to answer). It is made of schema, samples, scenarios, terms and the table of refusals, in Russian, and prints well.

Examples:
  mezhved services passport --config mezhved.yaml
  mezhved services passport --services services --parties parties --url http://bus.example:7500 --out pages egrul-extract 2.0.0`
}

func (c *servicesPassportCmd) Run(out *stdio) error {
	catalog, err := c.catalog()
	if err != nil {
		return err
	}
	services, _, _, err := c.folders()
	if err != nil {
		return err
	}
	if c.URL == "" && c.Config != "" {
		config, err := adapter.LoadConfig(c.Config)
		if err != nil {
			return usage(err)
		}
		c.URL = doorsOf(config)
	}
	if c.URL == "" {
		return usage(errors.New("--url is needed: the address of the doors, such as http://bus.example:7500, or a configuration that says it (url)"))
	}
	var wanted []*registry.Service
	for _, s := range catalog.Services() {
		if (c.Name == "" || s.Name == c.Name) && (c.Version == "" || s.Version == c.Version) {
			wanted = append(wanted, s)
		}
	}
	if len(wanted) == 0 {
		return no(fmt.Errorf("there is no service %s %s: mezhved services list names them", c.Name, c.Version))
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return usage(err)
	}
	var files []string
	for _, s := range wanted {
		p, err := passport.Of(catalog, s, filepath.Join(services, s.Name, s.Version), c.URL)
		if err != nil {
			return no(err)
		}
		page, err := p.HTML()
		if err != nil {
			return err
		}
		file := filepath.Join(c.Out, s.Name+"-"+s.Version+".html")
		if err := os.WriteFile(file, page, 0o644); err != nil {
			return usage(err)
		}
		files = append(files, file)
		if !c.JSON {
			fmt.Fprintln(out.out, file)
		}
	}
	if c.JSON {
		return printJSON(out.out, files)
	}
	return nil
}

// doorsOf is the address of a configuration's doors, as others are told it: its url, else
// where it listens, on this machine where it listens on all addresses.
func doorsOf(c adapter.Config) string {
	host, port, err := net.SplitHostPort(c.Listen)
	if c.URL != "" || err != nil {
		return c.URL
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if host, err = os.Hostname(); err != nil {
			return ""
		}
	}
	scheme := "http://"
	if c.TLS.Certificate != "" {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port)
}
