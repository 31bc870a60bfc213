package scenario

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mezhved/adapter/registry"
	"mezhved/adapter/terms"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes/xmltape"
	"mezhved/xsd"
)

// Lint reads the scenarios of a version and plays them: each with the requests that it
// names, or with those samples for which its conditions hold. What it would send must
// hold against the schema. A scenario to which no request leads is played with the first
// sample, and a warning. now is the time of the play.
func Lint(dir string, s Service, now time.Time) (*Set, yamlfile.Findings) {
	set, found := Open(dir, s)
	if s.Schema == nil || len(set.Scenarios) == 0 {
		return set, found
	}
	samples := requests(filepath.Join(dir, "samples"), s)
	for _, one := range set.Scenarios {
		if one.broken || one.Name == Implied { // the sample itself is looked at where samples are
			continue
		}
		found = append(found, set.try(filepath.Join(dir, Folder, one.Name+".yaml"), one, samples, now)...)
	}
	return set, found
}

// Of is what scenarios have to know of a registered service.
func Of(s *registry.Service, calendar *terms.Calendar) Service {
	return Service{
		Name: s.Name, Version: s.Version, Request: xsd.Name(s.Request), Response: xsd.Name(s.Response), Schema: s.Schema, Calendar: calendar,
		HasDeadline: !s.Deadline.IsZero(),
		Validate:    func(n xmltape.Node) error { _, err := s.Validate(n); return err },
	}
}

// LintAll is Lint for all services of a catalog that was read from a folder. The
// findings are marked as those of samples: a gateway does not go by them.
func LintAll(services string, c *registry.Catalog, now time.Time) (found yamlfile.Findings) {
	for _, s := range c.Services() {
		_, some := Lint(filepath.Join(services, s.Name, s.Version), Of(s, c.Calendar), now)
		for _, one := range some {
			one.Sample = true
			found = append(found, one)
		}
	}
	return found
}

// document is a request to play a scenario with.
type document struct {
	file    string
	content xmltape.Node
}

// requests are the valid samples of requests.
func requests(dir string, s Service) (out []document) {
	names, _ := filepath.Glob(filepath.Join(strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(dir), "*.xml"))
	for _, name := range names {
		if d, err := open(name, s); err == nil {
			out = append(out, d)
		}
	}
	return out
}

func open(name string, s Service) (document, error) {
	src, err := os.ReadFile(name)
	if err != nil {
		return document{}, err
	}
	tape := new(xmltape.Tape)
	if err := tape.Parse(src, xmltape.Limits{}); err != nil {
		var bad *xmltape.Error
		if errors.As(err, &bad) {
			return document{}, fromGate(bad)
		}
		return document{}, err
	}
	d := document{name, tape.Root()}
	if root := Root(d.content); root != s.Request {
		return d, say("the root is %s, here %s is expected", "корневой элемент — %s, а здесь ожидается %s", root, s.Request)
	}
	return d, s.Schema.Validate(d.content)
}

// try plays one scenario with the requests that it is for.
func (s *Set) try(file string, one *Scenario, samples []document, now time.Time) (found yamlfile.Findings) {
	tell := func(warning bool, err error) {
		f := yamlfile.NewFinding(file, "", "%v", err)
		f.Warning = warning
		found = append(found, f)
	}
	list := samples
	if len(one.Examples) > 0 {
		list = nil
		for _, name := range one.Examples {
			d, err := open(name, s.Service)
			if err != nil {
				tell(false, say("the example %s is no request of the service: %v", "пример %s — не запрос этого вида сведений: %v", filepath.Base(name), err))
				continue
			}
			list = append(list, d)
		}
	}
	var forced *document
	played := false
	for i := range list {
		r, st := example(list[i], now), &State{}
		if err := s.count(r, st); err != nil {
			tell(false, err)
			continue
		}
		holds, err := s.holds(one, r, st)
		switch {
		case err != nil:
			tell(false, say("with %s: %v", "с запросом %s: %v", filepath.Base(list[i].file), err))
			played = true
		case holds:
			found = append(found, s.tryWith(file, one, list[i], r, st)...)
			played = true
		case forced == nil:
			forced = &list[i]
		}
	}
	if played {
		return found
	}
	if _, counts := s.asks(one, "requests"); !counts && !s.asksTest(one) {
		tell(true, say("no sample request leads here: name one under examples, or nobody sees what it answers", "ни один образец запроса сюда не ведёт: укажите его в examples, иначе не видно, что здесь отвечают"))
	}
	if forced != nil {
		r, st := example(*forced, now), &State{}
		found = append(found, s.tryWith(file, one, *forced, r, st)...)
	}
	return found
}

// asks reports whether the conditions of a scenario call a function.
func (s *Set) asks(one *Scenario, function string) ([]string, bool) {
	for _, e := range one.When {
		if sources, called := e.Calls(function); called {
			return sources, true
		}
	}
	return nil, false
}

// asksTest reports that the conditions go by more than the content: then no document
// leads to the scenario by itself.
func (s *Set) asksTest(one *Scenario) bool {
	for _, name := range []string{"test", "sender", "attachments", "today", "now", "message-id"} {
		if _, called := s.asks(one, name); called {
			return true
		}
	}
	return false
}

func example(d document, now time.Time) Request {
	return Request{Content: d.content, MessageID: "00000000-0000-1000-8000-000000000000", Sender: "TEST", Received: now, Deadline: now.AddDate(0, 0, 5)}
}

func (s *Set) tryWith(file string, one *Scenario, d document, r Request, st *State) (found yamlfile.Findings) {
	_, err := s.plan(one, r, st)
	var e *Error
	if !errors.As(err, &e) {
		return nil
	}
	with := filepath.Base(d.file)
	var refused *Refused
	if !errors.As(err, &refused) {
		return yamlfile.Findings{yamlfile.NewFinding(file, "", "%v", say("step %d, with %s: %v", "шаг %d, с запросом %s: %v", e.Step, with, e.Err))}
	}
	for _, v := range refused.Invalid.Violations {
		found = append(found, yamlfile.NewFinding(file, "", "%v", say("step %d, with %s: the schema refuses the answer: line %d, column %d: %s: %s: %v", "шаг %d, с запросом %s: схема не принимает ответ: строка %d, позиция %d: %s: %s: %v", e.Step, with, v.Line, v.Col, v.XPath, v.Rule, both{v.English(), v.Russian()})))
	}
	return found
}
