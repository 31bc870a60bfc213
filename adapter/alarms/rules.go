package alarms

import (
	"fmt"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/registry"
	"mezhved/adapter/terms"
	"mezhved/adapter/yamlfile"
)

// Rules say who is told of what, when and how.
type Rules struct {
	Language string // ru or en
	Zone     *time.Location
	Digests  []time.Duration // times of day
	Quiet    Quiet
	Apart    time.Duration // the least time between two mails of one rule to one address
	Rules    []Rule
}

// apart is Apart where the file says nothing: of what goes on being late people read the
// first word at once, and not one every two seconds.
const apart = 5 * time.Minute

// Quiet are the hours in which nobody is told, but by rules that are for any time.
type Quiet struct {
	From, To time.Duration // times of day; equal: none. From may be later than To: over midnight
	DaysOff  bool          // and all of days that are not worked
}

// Rule tells of events that fit all its restrictions.
type Rule struct {
	Name     string
	Events   []journal.Kind
	Stages   []terms.Stage // empty: any
	Parties  []string      // whose turn it is; empty: anybody's
	Senders  []string
	Services []string
	Now      bool // at once; else with the next digest
	Anytime  bool // in quiet hours, too
	To       Recipients
	Escalate []Escalation
}

// Recipients are who is told.
type Recipients struct {
	Mail     []string
	Webhooks []Webhook
}

// Webhook is a program that is told.
type Webhook struct {
	URL    string
	Secret []byte // 32 bytes or more
}

// What probes tell (package lifecycle/probe): that a service version is not well, and that
// it is well again. They are events for this room alone and no entries of the journal;
// Operation is the kind of the probe, Outcome what it has found, Recipient the provider.
const (
	ProbeRed   journal.Kind = "probe-red"
	ProbeGreen journal.Kind = "probe-green"
)

func ofProbe(k journal.Kind) bool { return k == ProbeRed || k == ProbeGreen }

// Escalation tells others of what was overdue for so long and is still not reached.
type Escalation struct {
	After time.Duration
	To    Recipients
}

// rulesFile is the file of rules.
type rulesFile struct {
	Language string           `yaml:"language"`
	TimeZone string           `yaml:"timeZone"`
	Digests  []string         `yaml:"digests"`
	Quiet    quietFile        `yaml:"quiet"`
	Apart    *yamlfile.Period `yaml:"apart"`
	Rules    []ruleFile       `yaml:"rules"`
}

type quietFile struct {
	From    string `yaml:"from"`
	To      string `yaml:"to"`
	DaysOff bool   `yaml:"daysOff"`
}

type ruleFile struct {
	Name     string           `yaml:"name"`
	Events   []string         `yaml:"events"`
	Stages   []string         `yaml:"stages"`
	Parties  []string         `yaml:"parties"`
	Senders  []string         `yaml:"senders"`
	Services []string         `yaml:"services"`
	When     string           `yaml:"when"`
	Anytime  bool             `yaml:"anytime"`
	Mail     []string         `yaml:"mail"`
	Webhooks []webhookFile    `yaml:"webhooks"`
	Escalate []escalationFile `yaml:"escalate"`
}

type webhookFile struct {
	URL        string `yaml:"url"`
	SecretFile string `yaml:"secretFile"`
}

type escalationFile struct {
	After    yamlfile.Period `yaml:"after"`
	Mail     []string        `yaml:"mail"`
	Webhooks []webhookFile   `yaml:"webhooks"`
}

// Load reads a file of rules, against the services and parties in force, if they are
// given. With errors among the findings the rules are nil.
func Load(name string, c *registry.Catalog, mailServer bool) (*Rules, yamlfile.Findings) {
	var in rulesFile
	f := yamlfile.Read(name, &in)
	if f.Broken {
		return nil, f.Findings
	}
	r := rulesReader{f: f, dir: filepath.Dir(name), catalog: c, mailServer: mailServer}
	rules := r.read(&in)
	if found := f.Findings; len(found.Errors()) > 0 {
		return nil, found
	}
	return rules, f.Findings
}

type rulesReader struct {
	f          *yamlfile.File
	dir        string
	catalog    *registry.Catalog
	mailServer bool
}

var ruleName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)

func (r *rulesReader) read(in *rulesFile) *Rules {
	out := &Rules{Language: in.Language, Zone: terms.Moscow}
	switch in.Language {
	case "":
		out.Language = "ru"
	case "ru", "en":
	default:
		r.f.Errorf("language", "ru or en is expected, not %q", in.Language)
	}
	if in.TimeZone != "" {
		t, err := time.Parse("-07:00", in.TimeZone)
		if err != nil {
			r.f.Errorf("timeZone", "an offset from UTC such as +10:00 is expected, not %q", in.TimeZone)
		}
		_, offset := t.Zone()
		out.Zone = time.FixedZone(in.TimeZone, offset)
	}
	for i, text := range in.Digests {
		out.Digests = append(out.Digests, r.timeOfDay(fmt.Sprintf("digests.%d", i), text))
	}
	slices.Sort(out.Digests)
	if (in.Quiet.From == "") != (in.Quiet.To == "") {
		r.f.Errorf("quiet", "from and to go together")
	} else if in.Quiet.From != "" {
		out.Quiet.From, out.Quiet.To = r.timeOfDay("quiet.from", in.Quiet.From), r.timeOfDay("quiet.to", in.Quiet.To)
	}
	out.Quiet.DaysOff = in.Quiet.DaysOff
	out.Apart = apart
	if in.Apart != nil {
		if out.Apart = in.Apart.D(); out.Apart < 0 || out.Apart > 24*time.Hour {
			r.f.Errorf("apart", "0s to 24h are expected, not %s", out.Apart)
		}
	}
	if len(in.Rules) == 0 {
		r.f.Errorf("rules", "there is no rule: nobody would be told of anything (where that is meant, the configuration names no alarms.rules)")
	}
	names := map[string]bool{}
	for i := range in.Rules {
		rule := r.rule(fmt.Sprintf("rules.%d", i), &in.Rules[i], len(out.Digests) > 0)
		if names[rule.Name] {
			r.f.Errorf(fmt.Sprintf("rules.%d.name", i), "there are two rules named %q", rule.Name)
		}
		names[rule.Name] = true
		out.Rules = append(out.Rules, rule)
	}
	return out
}

func (r *rulesReader) timeOfDay(path, text string) time.Duration {
	t, err := time.Parse("15:04", text)
	if err != nil {
		r.f.Errorf(path, "a time of day such as 09:00 is expected, not %q", text)
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
}

func (r *rulesReader) rule(path string, in *ruleFile, digests bool) Rule {
	out := Rule{Name: in.Name, Parties: in.Parties, Senders: in.Senders, Services: in.Services, Anytime: in.Anytime, To: r.recipients(path, in.Mail, in.Webhooks)}
	if !ruleName.MatchString(in.Name) {
		r.f.Errorf(path+".name", "a name of a-z, 0-9 and '-', beginning with a letter, is expected, not %q", in.Name)
	}
	for i, e := range in.Events {
		if kind := journal.Kind(e); kind == journal.KindDueSoon || kind == journal.KindOverdue || ofProbe(kind) {
			out.Events = append(out.Events, kind)
		} else {
			r.f.Errorf(fmt.Sprintf("%s.events.%d", path, i), "due-soon, overdue, probe-red or probe-green is expected, not %q", e)
		}
	}
	if len(in.Events) == 0 {
		out.Events = []journal.Kind{journal.KindOverdue}
	}
	for i, s := range in.Stages {
		if !slices.Contains(terms.Stages, terms.Stage(s)) {
			r.f.Errorf(fmt.Sprintf("%s.stages.%d", path, i), "queued, taken, status or answered is expected, not %q", s)
		}
		out.Stages = append(out.Stages, terms.Stage(s))
	}
	switch in.When {
	case "now":
		out.Now = true
	case "", "digest":
		if !digests {
			r.f.Errorf(path+".when", "there are no digests: give their times of day in digests, or when: now")
		}
	default:
		r.f.Errorf(path+".when", "now or digest is expected, not %q", in.When)
	}
	r.known(path, in)
	for i := range in.Escalate {
		e, at := &in.Escalate[i], fmt.Sprintf("%s.escalate.%d", path, i)
		if e.After <= 0 {
			r.f.Errorf(at+".after", "after how long? such as 4h is expected")
		}
		if !slices.Contains(out.Events, journal.KindOverdue) {
			r.f.Errorf(at, "only what is overdue escalates, and the rule is not about it")
		}
		out.Escalate = append(out.Escalate, Escalation{e.After.D(), r.recipients(at, e.Mail, e.Webhooks)})
	}
	return out
}

// known holds the names of a rule against the registry.
func (r *rulesReader) known(path string, in *ruleFile) {
	if r.catalog == nil {
		return
	}
	for list, names := range map[string][]string{"parties": in.Parties, "senders": in.Senders} {
		for i, m := range names {
			if r.catalog.Party(adapter.Mnemonic(m)) == nil {
				r.f.Warnf(fmt.Sprintf("%s.%s.%d", path, list, i), "no party %q is registered", m)
			}
		}
	}
	for i, s := range in.Services {
		if !slices.ContainsFunc(r.catalog.Services(), func(x *registry.Service) bool { return x.Name == s }) {
			r.f.Warnf(fmt.Sprintf("%s.services.%d", path, i), "there is no service %q", s)
		}
	}
}

func (r *rulesReader) recipients(path string, addresses []string, hooks []webhookFile) (out Recipients) {
	for i, a := range addresses {
		if parsed, err := mail.ParseAddress(a); err != nil || parsed.Address != a {
			r.f.Errorf(fmt.Sprintf("%s.mail.%d", path, i), "an address such as duty@body.example is expected, not %q", a)
		}
	}
	for i, a := range addresses {
		if slices.Contains(addresses[:i], a) {
			r.f.Errorf(fmt.Sprintf("%s.mail.%d", path, i), "%s stands here twice, and would be told twice", a)
		}
	}
	if len(addresses) > 0 && !r.mailServer {
		r.f.Errorf(path+".mail", "the configuration has no alarms.mail: by which server?")
	}
	out.Mail = addresses
	for i, h := range hooks {
		at := fmt.Sprintf("%s.webhooks.%d", path, i)
		u, err := url.Parse(h.URL)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
			r.f.Errorf(at+".url", "an address such as https://body.example/alarms is expected, without a password")
		} else if u.Scheme == "http" && u.Hostname() != "127.0.0.1" && u.Hostname() != "localhost" && u.Hostname() != "::1" {
			r.f.Warnf(at+".url", "is not https: whoever is on the way reads what is told")
		}
		file := h.SecretFile
		if file == "" {
			r.f.Errorf(at+".secretFile", "is missing: calls are signed (make one with: umask 077; openssl rand -hex 32 > hook.secret)")
			continue
		}
		if !filepath.IsAbs(file) {
			file = filepath.Join(r.dir, file)
		}
		secret, err := os.ReadFile(file)
		secret = []byte(strings.TrimSpace(string(secret)))
		if err != nil {
			r.f.Errorf(at+".secretFile", "%v", err)
		} else if len(secret) < 32 {
			r.f.Errorf(at+".secretFile", "holds %d characters, at least 32 are expected", len(secret))
		}
		if slices.ContainsFunc(out.Webhooks, func(w Webhook) bool { return w.URL == h.URL }) {
			r.f.Errorf(at+".url", "stands here twice, and would be told twice")
		}
		out.Webhooks = append(out.Webhooks, Webhook{h.URL, secret})
	}
	if len(out.Mail)+len(hooks) == 0 {
		r.f.Errorf(path, "tells nobody: give mail, or webhooks")
	}
	return out
}

// Ways to be told.
const (
	WayMail    = "mail"
	WayWebhook = "webhook"
)

// Alarm is one event that is to be told to one address.
type Alarm struct {
	ID        int64 // of the store
	Rule      string
	Way       string
	Target    string // address, or URL
	Event     journal.Event
	Message   uuid.UUID
	Stage     terms.Stage
	Escalated bool
	At        time.Time // not before
	Attempts  int
	Problem   string // of the last attempt
	Dead      bool
}

func (r *Rule) fits(e *journal.Event) bool {
	any := func(list []string, s string) bool { return len(list) == 0 || slices.Contains(list, s) }
	whose := e.Recipient
	return slices.Contains(r.Events, e.Kind) && (len(r.Stages) == 0 || ofProbe(e.Kind) || slices.Contains(r.Stages, terms.Stage(e.Stage))) &&
		any(r.Parties, whose) && any(r.Senders, e.Sender) && any(r.Services, e.Service)
}

// Alarms are what the rules make of an event at a time.
func (r *Rules) Alarms(c *terms.Calendar, e *journal.Event, now time.Time) (out []Alarm) {
	message, err := uuid.Parse(e.Message)
	stage := terms.Stage(e.Stage)
	if ofProbe(e.Kind) {
		message, stage = uuid.Nil, terms.StageQueued // of no message: what is kept needs one of the stages
	} else if err != nil {
		return nil
	}
	for i := range r.Rules {
		rule := &r.Rules[i]
		if !rule.fits(e) {
			continue
		}
		add := func(to Recipients, at time.Time, escalated bool) {
			one := Alarm{Rule: rule.Name, Event: *e, Message: message, Stage: stage, Escalated: escalated, At: at}
			for _, a := range to.Mail {
				one.Way, one.Target = WayMail, a
				out = append(out, one)
			}
			for _, h := range to.Webhooks {
				one.Way, one.Target = WayWebhook, h.URL
				out = append(out, one)
			}
		}
		at := now
		if !rule.Now {
			at = r.digest(c, now)
		}
		add(rule.To, r.loud(c, rule, at), false)
		if e.Kind != journal.KindOverdue || e.Outcome == "reached" {
			continue
		}
		for _, x := range rule.Escalate {
			add(x.To, r.loud(c, rule, later(now, e.Deadline.Add(x.After))), true)
		}
	}
	return out
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// digest is the next time of a digest.
func (r *Rules) digest(c *terms.Calendar, now time.Time) time.Time {
	y, m, d := now.In(r.Zone).Date()
	for n := 0; ; n++ {
		day := time.Date(y, m, d+n, 0, 0, 0, 0, r.Zone)
		if r.Quiet.DaysOff && !c.Works(day) {
			continue
		}
		for _, at := range r.Digests {
			if t := day.Add(at); t.After(now) {
				return t
			}
		}
		if len(r.Digests) == 0 {
			return now
		}
	}
}

// loud is the time, or the end of the quiet hours in which it is.
func (r *Rules) loud(c *terms.Calendar, rule *Rule, at time.Time) time.Time {
	if rule.Anytime {
		return at
	}
	for {
		local := at.In(r.Zone)
		y, m, d := local.Date()
		day := time.Date(y, m, d, 0, 0, 0, 0, r.Zone)
		into, q := local.Sub(day), r.Quiet
		switch {
		case q.DaysOff && !c.Works(day):
			at = day.AddDate(0, 0, 1)
		case q.From < q.To && into >= q.From && into < q.To, q.From > q.To && into < q.To:
			at = day.Add(q.To)
		case q.From > q.To && into >= q.From:
			at = day.AddDate(0, 0, 1)
		default:
			return at
		}
	}
}

// secret finds the secret of a webhook of a rule; nil when the rule names it no more.
func (r *Rules) secret(rule, target string) []byte {
	for i := range r.Rules {
		if r.Rules[i].Name != rule {
			continue
		}
		lists := []Recipients{r.Rules[i].To}
		for _, e := range r.Rules[i].Escalate {
			lists = append(lists, e.To)
		}
		for _, to := range lists {
			for _, h := range to.Webhooks {
				if h.URL == target {
					return h.Secret
				}
			}
		}
	}
	return nil
}
