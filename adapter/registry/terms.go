package registry

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter/terms"
	"mezhved/adapter/yamlfile"
)

// partyTerms are terms in a party's file, for what goes to it.
type partyTerms struct {
	stageTerms
	Response stageTerms `yaml:"response"` // for the way back: queued, taken
}

// serviceTerms are terms in a service.yaml.
type serviceTerms struct {
	partyTerms
	Providers map[string]stageTerms `yaml:"providers"` // for requests to one of them
}

type stageTerms struct {
	From     string `yaml:"from"` // accepted (default), delivered, next-working-day
	Soon     string `yaml:"soon"` // how long before it is due to warn
	Queued   string `yaml:"queued"`
	Taken    string `yaml:"taken"`
	Status   string `yaml:"status"`
	Answered string `yaml:"answered"`
}

// directed are the rules for requests and for what answers them.
type directed struct{ request, response terms.Rules }

// Terms are the terms of requests of the service, or of what answers them.
func (s *Service) Terms(answer bool) terms.Rules { return s.terms.of(answer) }

// RoutingCode is the XPath that finds the routing code in a request; empty: requests
// go to the providers whatever they hold.
func (s *Service) RoutingCode() string {
	if s.code == nil {
		return ""
	}
	return s.code.String()
}

func (d directed) of(answer bool) terms.Rules {
	if answer {
		return d.response
	}
	return d.request
}

// readTerms reads the terms of a file.
func readTerms(f *yamlfile.File, in *partyTerms) directed {
	return directed{readStages(f, "terms", in.stageTerms), readStages(f, "terms.response", in.Response)}
}

func readStages(f *yamlfile.File, path string, in stageTerms) terms.Rules {
	from, err := terms.ParseStart(in.From)
	if err != nil {
		f.Errorf(yamlfile.Join(path, "from"), "%v", err)
	}
	soon := readTerm(f, yamlfile.Join(path, "soon"), in.Soon)
	rules := terms.Rules{}
	for stage, text := range map[terms.Stage]string{terms.StageQueued: in.Queued, terms.StageTaken: in.Taken, terms.StageStatus: in.Status, terms.StageAnswered: in.Answered} {
		rule := terms.Rule{Term: readTerm(f, yamlfile.Join(path, string(stage)), text), From: from, Soon: soon}
		switch {
		case stage == terms.StageQueued: // it is ours to keep, at any hour of any day
			rule.From = terms.FromAccepted
		case stage == terms.StageTaken && from == terms.FromDelivered:
			rule.From = terms.FromAccepted
		}
		if !rule.Term.IsZero() {
			rules[stage] = rule
		}
	}
	return rules
}

func readTerm(f *yamlfile.File, path, text string) terms.Term {
	if text == "" {
		return terms.Term{}
	}
	t, err := terms.Parse(text)
	if err != nil {
		f.Errorf(path, "%v", err)
	}
	return t
}

// readServiceTerms reads deadline and terms of a service.
func (r *catalogReader) readServiceTerms(f *yamlfile.File, s *Service, in *serviceFile) {
	own := in.Terms.partyTerms // a copy: what the file says stays as it is
	if in.Deadline != "" {
		if own.Answered != "" {
			f.Errorf("terms.answered", "is the deadline: give one of the two")
		}
		own.Answered = in.Deadline
		if s.Deadline = readTerm(f, "deadline", in.Deadline); s.Deadline.IsZero() {
			own.Answered = ""
		}
	}
	s.terms = readTerms(f, &own)
	s.Deadline = s.terms.request[terms.StageAnswered].Term
	s.termsOf = map[Mnemonic]terms.Rules{}
	for _, m := range slices.Sorted(maps.Keys(in.Terms.Providers)) {
		path := yamlfile.Join("terms.providers", m)
		if !slices.Contains(s.Providers, Mnemonic(m)) {
			f.Errorf(path, "%s is not among the providers", m)
		}
		s.termsOf[Mnemonic(m)] = readStages(f, path, in.Terms.Providers[m])
	}
	if s.Broadcast && (f.Has("deadline") || f.Has("terms")) {
		f.Warnf("terms", "a broadcast is not answered, and has no terms")
	}
	if s.EndOfLife > 0 && s.Deadline.Least() > s.EndOfLife {
		f.Warnf("deadline", "is later than endOfLife")
	}
	if f.Has("terms.response.answered") || f.Has("terms.response.status") {
		f.Errorf("terms.response", "an answer is queued and taken; it has no other stages")
	}
}

// rulesFor are the rules that hold for a request of a service to a recipient, or for
// what answers it.
func (c *Catalog) rulesFor(s *Service, answer bool, to Mnemonic) (rules []terms.Rules, zone *time.Location) {
	p := c.Party(to)
	if p == nil {
		return nil, terms.Moscow
	}
	rules = []terms.Rules{p.terms.of(answer), s.terms.of(answer)}
	if !answer {
		rules = append(rules, s.termsOf[to])
	}
	return rules, p.Zone
}

// Due gives the moments at which a request, or what answers one, is due, and what of it
// counts from its delivery.
func (c *Catalog) Due(s *Service, answer bool, to Mnemonic, accepted time.Time) (terms.Due, terms.Later) {
	rules, zone := c.rulesFor(s, answer, to)
	return terms.Count(c.Calendar, accepted, zone, rules...)
}

// Soon is when to warn of a stage of a message that is due at a time.
func (c *Catalog) Soon(s *Service, answer bool, to Mnemonic, stage terms.Stage, accepted, due time.Time) time.Time {
	rules, zone := c.rulesFor(s, answer, to)
	return c.Calendar.Soon(terms.SoonRule(stage, rules...), accepted, due, zone)
}

// CalendarFolder is where the production calendars stand among the services: one file
// a year, in the place of the shipped one.
const CalendarFolder = "_calendar"

// readCalendar reads the calendars of the registry.
func (r *catalogReader) readCalendar(services string) {
	r.catalog.Calendar = terms.Shipped()
	files, _ := filepath.Glob(filepath.Join(globQuote(filepath.Join(services, CalendarFolder)), "*.yaml"))
	slices.Sort(files)
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			r.errorf(name, "%v", err)
			continue
		}
		r.digest(filepath.Join(CalendarFolder, filepath.Base(name)), src)
		year, problems := terms.ParseYear(src)
		bad := false
		for _, p := range problems {
			one := yamlfile.NewFinding(name, "", "%v", p.Form)
			one.Line, one.Warning = p.Line, p.Warning
			if p.Line > 0 {
				one.Col = 1
			}
			bad = bad || !p.Warning
			r.findings = append(r.findings, one)
		}
		if want := strconv.Itoa(year.Number) + ".yaml"; !bad && filepath.Base(name) != want {
			r.errorf(name, "is the calendar of %d: name it %s", year.Number, want)
			continue
		}
		if !bad {
			r.catalog.Calendar = r.catalog.Calendar.With(year)
			r.catalog.Settings[fmt.Sprintf("calendar %d", year.Number)] = map[string]string{
				"basis": year.Basis, "holidays": strings.Join(year.Holidays, " "), "off": strings.Join(year.Off, " "), "working": strings.Join(year.Working, " ")}
		}
	}
	all, _ := os.ReadDir(filepath.Join(services, CalendarFolder))
	for _, f := range all {
		if name := f.Name(); !strings.HasSuffix(name, ".yaml") && !strings.HasPrefix(name, ".") {
			r.warnf(filepath.Join(services, CalendarFolder, name), "is not read: a calendar is a file <year>.yaml")
		}
	}
	if year := r.catalog.Calendar.Missing(r.now); year != 0 {
		r.warnf(filepath.Join(services, CalendarFolder, strconv.Itoa(year)+".yaml"),
			"the production calendar of %d is missing: working days are counted by weekends and the holidays of the Labour Code, and days off that the government moves are not known", year)
	}
}
