package router

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/yamlfile"
)

// Config is what an operator decides. The zero value of every field has a useful meaning, or
// is refused by name.
type Config struct {
	Listen string            `yaml:"listen"` // default 127.0.0.1:7600
	TLS    adapter.TLSConfig `yaml:"tls"`    // of the doors, as of a gateway's; a client certificate ends here

	TrustedProxies []string `yaml:"trustedProxies"` // as a gateway has it
	ProxyHeader    string   `yaml:"proxyHeader"`    // as a gateway has it

	Contour  string `yaml:"contour"`  // prefix of the codes of faults that are the router's own; default mezhved
	Services string `yaml:"services"` // folder, the same as all installations have; default services
	Parties  string `yaml:"parties"`  // folder, the same as all installations have; default parties

	Installations []InstallationConfig `yaml:"installations"`
	Broadcasts    string               `yaml:"broadcasts"` // name of the installation in which broadcasts live whose subscribers live in several
	CAs           string               `yaml:"cas"`        // PEM bundle, for installations whose url is https; default: the system's

	Limits LimitsConfig `yaml:"limits"`
	Times  TimesConfig  `yaml:"times"`

	file *yamlfile.File // for the places of mistakes that the folders bring out; nil: it was read from none
}

// InstallationConfig is one installation: nodes that share a database.
type InstallationConfig struct {
	Name      string   `yaml:"name"`      // for log and metrics
	URL       string   `yaml:"url"`       // of its node, or of what deals calls out to its nodes
	Providers []string `yaml:"providers"` // mnemonics of the parties that live there; each lives in one
}

// LimitsConfig bounds what calls may cost.
type LimitsConfig struct {
	Body   yamlfile.Size `yaml:"body"`   // HTTP body; no smaller than the installations'; default 16MB
	Memory yamlfile.Size `yaml:"memory"` // bytes that calls hold at once, as a gateway has it; default 512MB
}

// TimesConfig says for how long is waited.
type TimesConfig struct {
	Answer   yamlfile.Period `yaml:"answer"`   // for the answer of the one installation that a call goes to; longer than its times.request; default 40s
	Turn     yamlfile.Period `yaml:"turn"`     // for the beginning of the answer of one of several that are asked in turn; default 10s, or answer where that is shorter
	LongPoll yamlfile.Period `yaml:"longPoll"` // longest wait that a poll may ask for (Prefer: wait=N); default 20s
}

// LoadConfig reads a configuration file. The error holds every mistake in it as Findings.
// Relative paths are taken from the file's own folder.
func LoadConfig(file string) (Config, error) {
	var c Config
	c.file = yamlfile.Read(file, &c)
	if !c.file.Broken {
		c = c.withDefaults()
		c.resolve(filepath.Dir(file))
		c.check(c.file)
	}
	if bad := yamlfile.Findings(c.file.Findings).Errors(); len(bad) > 0 {
		return c, bad
	}
	return c, nil
}

func (c Config) withDefaults() Config {
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:7600")
	c.ProxyHeader = cmp.Or(c.ProxyHeader, "X-Forwarded-For")
	c.Contour = cmp.Or(c.Contour, "mezhved")
	c.Services = cmp.Or(c.Services, "services")
	c.Parties = cmp.Or(c.Parties, "parties")
	c.Limits.Body = cmp.Or(c.Limits.Body, 16<<20)
	c.Limits.Memory = cmp.Or(c.Limits.Memory, 512<<20)
	c.Times.Answer = cmp.Or(c.Times.Answer, yamlfile.Period(40*time.Second))
	c.Times.Turn = cmp.Or(c.Times.Turn, min(yamlfile.Period(10*time.Second), c.Times.Answer))
	c.Times.LongPoll = cmp.Or(c.Times.LongPoll, yamlfile.Period(20*time.Second))
	return c
}

// resolve makes relative paths relative to dir.
func (c *Config) resolve(dir string) {
	for _, path := range []*string{&c.Services, &c.Parties, &c.CAs, &c.TLS.Certificate, &c.TLS.Key, &c.TLS.ClientCAs} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
}

// doors are the settings by which the doors open.
func (c Config) doors() adapter.Config {
	return adapter.Config{Listen: c.Listen, TLS: c.TLS, TrustedProxies: c.TrustedProxies, ProxyHeader: c.ProxyHeader}
}

// nameForm is that of names of installations, which stand in log, metrics and paths of
// settings.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$`)

// check names what cannot work, all of it at once. It looks at the files that are named, not
// at the network.
func (c Config) check(f *yamlfile.File) {
	c.doors().CheckDoors(f)
	if _, err := c.TLS.Try(); err != nil {
		f.Errorf("tls", "%v", err)
	}
	if _, err := c.roots(); err != nil {
		f.Errorf("cas", "%v", err)
	}
	if len(c.Installations) == 0 {
		f.Errorf("installations", "at least one is needed, with name, url and providers")
	}
	c.checkInstallations(f)
	c.checkProviders(f)
	if c.Broadcasts != "" && c.named(c.Broadcasts) < 0 {
		f.Errorf("broadcasts", "there is no installation %s: name one of installations", c.Broadcasts)
	}
	if c.Limits.Memory < c.Limits.Body {
		f.Errorf("limits.memory", "%s are less than limits.body (%s), so calls of that size would be refused for ever: allow several of them at once", yamlfile.Text(reflect.ValueOf(c.Limits.Memory)), yamlfile.Text(reflect.ValueOf(c.Limits.Body)))
	}
	if c.Times.Turn > c.Times.Answer {
		f.Errorf("times.turn", "is longer than times.answer, so it would never be reached")
	}
	if c.Times.Turn.D() < 100*time.Millisecond {
		f.Errorf("times.turn", "is shorter than 100ms: an answer that is cut off may have taken a message out of its queue for the time of its lease")
	}
}

func (c Config) checkInstallations(f *yamlfile.File) {
	first := map[string]string{} // names, by address
	for i, in := range c.Installations {
		at := fmt.Sprintf("installations.%d.", i)
		if !nameForm.MatchString(in.Name) {
			f.Errorf(at+"name", "letters, digits, - and _ are expected, not %q", in.Name)
		} else if c.named(in.Name) != i {
			f.Errorf(at+"name", "%s is another installation's name already", in.Name)
		}
		switch u, err := url.Parse(in.URL); {
		case in.URL == "":
			f.Errorf(at+"url", "the address of the installation is missing, such as http://10.1.2.3:7500")
		case err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") || !isPort(u.Port()):
			f.Errorf(at+"url", "an http or https address such as http://10.1.2.3:7500 is expected, not %q", in.URL)
		case u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.HasSuffix(u.Path, "/ws"):
			f.Errorf(at+"url", "the address of the installation is expected, without /ws, ? and #, not %q", in.URL)
		case first[in.base()] != "":
			f.Errorf(at+"url", "%s is the address of %s already: an installation stands here once, with all its providers", in.URL, first[in.base()])
		default:
			first[in.base()] = in.Name
		}
		if len(in.Providers) == 0 && in.Name != c.Broadcasts {
			f.Errorf(at+"providers", "the mnemonics of the providers that live in %s are missing", in.Name)
		}
	}
}

// isPort says that a port, empty where an address names none, can be one.
func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return text == "" || err == nil && n > 0
}

// base is the address without its last slash.
func (in InstallationConfig) base() string { return strings.TrimRight(in.URL, "/") }

func (c Config) checkProviders(f *yamlfile.File) {
	home := map[string]string{}
	for i, in := range c.Installations {
		for n, p := range in.Providers {
			if first, twice := home[p]; twice {
				f.Errorf(providerAt(i, n), "%s lives in %s already, and can live in one installation only", p, first)
				continue
			}
			home[p] = in.Name
		}
	}
}

// providerAt is the setting that says where a provider lives.
func providerAt(installation, n int) string {
	return fmt.Sprintf("installations.%d.providers.%d", installation, n)
}

// named is the place of an installation in the configuration; -1: there is none of the name.
func (c Config) named(name string) int {
	for i, in := range c.Installations {
		if in.Name == name {
			return i
		}
	}
	return -1
}

// roots are the authorities of the installations' certificates; nil: the system's.
func (c Config) roots() (*x509.CertPool, error) {
	if c.CAs == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.CAs)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", c.CAs)
	}
	return pool, nil
}
