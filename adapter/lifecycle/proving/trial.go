package proving

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"mezhved/adapter/lifecycle/protocol"
	"mezhved/adapter/party"
	"mezhved/adapter/registry"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
	"mezhved/xsd"
)

// Trial is one version of a service, and the gateway on which it is tried.
type Trial struct {
	Dir      string            // the version's folder
	Service  *registry.Service // as the gateway has it
	Rules    protocol.Rules    // of the version as its registry has it, for the protocol
	Catalog  *registry.Catalog // of the gateway
	Log      *slog.Logger      // of emulators
	Before   *registry.Service // the version before; nil: there is none
	Callers  []registry.Mnemonic
	Names    map[registry.Mnemonic]string // for people; the operator's too
	Client   func(registry.Mnemonic) *party.Client
	Patience time.Duration // how long a message may be on its way; default 30 s

	Operator registry.Mnemonic // empty: none is named
	Program  string            // for the protocol
	Now      time.Time

	doc     *protocol.Document
	request *protocol.Text // for answers that need one: the first that has passed, until then the first
	passed  bool           // request has
	answer  *protocol.Text
}

// Run tries everything and gives the protocol. The error is that of a gateway that
// does not answer, or of a folder that cannot be read; what is wrong with the
// service is a defect.
func (t *Trial) Run(ctx context.Context) (*protocol.Document, error) {
	files, err := protocol.Take(t.Dir)
	if err != nil {
		return nil, err
	}
	s := t.Service
	t.doc = &protocol.Document{
		Form: protocol.Form, Service: s.Name, Version: s.Version, Title: s.Title, Request: s.Request.String(), Schema: s.SchemaDigest,
		Files: files, Digest: files.Digest(), Settings: t.Rules.Settings, Dictionaries: t.Rules.Dictionaries, Participants: t.participants(), Cases: []protocol.Case{}, Defects: []protocol.Defect{},
		Made: t.Now.UTC().Truncate(time.Second), Program: t.Program,
	}
	if s.Response.Local != "" {
		t.doc.Response = s.Response.String()
	}
	texts, flaws := protocol.ReadTexts(t.Dir)
	for _, f := range flaws {
		t.lacking(f.File, f.English, f.Russian)
	}
	t.demandTexts(texts)
	for _, one := range append(t.cases(texts), t.scenarios(texts)...) {
		if err := t.try(ctx, one); err != nil {
			return nil, err
		}
	}
	if err := t.compare(); err != nil {
		return nil, err
	}
	t.doc.Passed = len(t.doc.Defects) == 0
	return t.doc, nil
}

func (t *Trial) participants() []protocol.Participant {
	list := []protocol.Participant{}
	add := func(role protocol.Role, m registry.Mnemonic) {
		list = append(list, protocol.Participant{Role: role, Mnemonic: string(m), Name: cmp.Or(t.Names[m], string(m))})
	}
	if t.Operator != "" {
		add(protocol.Operator, t.Operator)
	}
	for _, m := range t.Service.Providers {
		add(protocol.Provider, m)
	}
	for _, m := range t.Callers {
		add(protocol.Caller, m)
	}
	return list
}

// trialCase is a trial of one text.
type trialCase struct {
	text     *protocol.Text
	response bool
	expected string
	run      func(ctx context.Context) (got string, problems []problem, err error)
}

// problem is why a case did not pass.
type problem struct {
	file             string
	line, col        int
	rule             string
	english, russian string
}

// lacking is a defect of the folder itself, as a case of its own.
func (t *Trial) lacking(file, en, ru string) {
	kind := protocol.Sample
	if strings.HasPrefix(file, protocol.Scenarios+"/") {
		kind = protocol.Scenario
	}
	t.doc.Cases = append(t.doc.Cases, protocol.Case{Kind: kind, File: file, Expected: "есть и читается", Got: ru})
	t.doc.Defects = append(t.doc.Defects, protocol.Defect{Case: len(t.doc.Cases), File: file, Rule: "samples", Text: ru, English: en})
}

// demandTexts holds that there is something to try: who publishes a version shows
// what passes and what does not.
func (t *Trial) demandTexts(texts []protocol.Text) {
	has := func(kind protocol.Kind, response bool) *protocol.Text {
		for i := range texts {
			if texts[i].Kind == kind && t.isResponse(&texts[i]) == response {
				return &texts[i]
			}
		}
		return nil
	}
	if t.request = has(protocol.Sample, false); t.request == nil {
		t.lacking(protocol.Samples+"/request.xml", "there is no sample of a request", "нет образца запроса")
	}
	if t.Service.Response.Local != "" {
		if t.answer = has(protocol.Sample, true); t.answer == nil {
			t.lacking(protocol.Samples+"/response.xml", "there is no sample of a response", "нет образца ответа")
		}
	}
	if has(protocol.Negative, false) == nil {
		t.lacking(protocol.Invalid, "there is no negative sample of a request", "нет негативного образца запроса")
	}
}

// isResponse tells by the root, and by the name where the root says nothing.
func (t *Trial) isResponse(x *protocol.Text) bool {
	var tape xmltape.Tape
	if tape.Parse(x.Content, xmltape.Limits{}) == nil {
		root := registry.QName{Space: tape.Root().Space(), Local: tape.Root().Local()}
		switch root {
		case t.Service.Request:
			return false
		case t.Service.Response:
			return true
		}
	}
	return strings.HasPrefix(x.File[strings.LastIndexByte(x.File, '/')+1:], "response")
}

// cases are the texts in the order in which they are tried: what passes first, and
// each answer with a request of its own.
func (t *Trial) cases(texts []protocol.Text) (out []trialCase) {
	answers := map[string]*protocol.Text{} // by what follows "response" in the name
	for i := range texts {
		if x := &texts[i]; x.Kind == protocol.Sample && t.isResponse(x) {
			answers[strings.Replace(x.File, "response", "request", 1)] = x
		}
	}
	own := map[*protocol.Text]bool{} // answers of the request that has their name
	for i := range texts {
		x := &texts[i]
		switch {
		case x.Kind == protocol.Reference:
			out = append(out, t.passing(x, x.Answer))
		case x.Kind == protocol.Sample && !t.isResponse(x) && answers[x.File] != nil:
			own[answers[x.File]] = true
			out = append(out, t.asking(x, answers[x.File])...)
		case x.Kind == protocol.Sample && !t.isResponse(x):
			out = append(out, t.passing(x, t.answer))
		}
	}
	for i := range texts {
		if x := &texts[i]; x.Kind == protocol.Negative {
			out = append(out, t.refused(x))
		}
	}
	for i := range texts {
		if x := &texts[i]; x.Kind == protocol.Sample && t.isResponse(x) && !own[x] {
			one := t.passing(nil, x)
			one.text = x
			out = append(out, one)
		}
	}
	return out
}

// try runs a case and writes it down.
func (t *Trial) try(ctx context.Context, c trialCase) error {
	began := time.Now()
	got, problems, err := c.run(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", c.text.File, err)
	}
	t.record(protocol.Case{Kind: c.text.Kind, File: c.text.File, Expected: c.expected, Got: got, Millis: time.Since(began).Milliseconds()}, problems)
	return nil
}

func (t *Trial) record(c protocol.Case, problems []problem) {
	c.Passed = len(problems) == 0
	t.doc.Cases = append(t.doc.Cases, c)
	t.doc.Millis += c.Millis
	for _, p := range problems {
		t.doc.Defects = append(t.doc.Defects, protocol.Defect{
			Case: len(t.doc.Cases), File: cmp.Or(p.file, c.File), Line: p.line, Col: p.col, Rule: p.rule, Text: p.russian, English: p.english,
		})
	}
}

// compare sets the schema beside that of the version before. A change that may have
// what was valid refused, under the same first number, is a defect: callers take
// such a version for one that they can use as it is.
func (t *Trial) compare() error {
	if t.Before == nil {
		return nil
	}
	began := time.Now()
	old, now := t.Before, t.Service
	b := &protocol.Before{Version: old.Version, Schema: old.SchemaDigest, Breaking: []string{}}
	t.doc.Before = b
	var english []string
	for _, side := range []struct {
		ru, en   string
		old, new registry.QName
	}{{"запрос", "request", old.Request, now.Request}, {"ответ", "response", old.Response, now.Response}} {
		if side.old.Local == "" || side.new.Local == "" {
			continue
		}
		changes, err := xsd.Compare(old.Schema, now.Schema, xsd.Name(side.old), xsd.Name(side.new))
		if err != nil {
			return err
		}
		b.Changes += len(changes)
		for _, c := range changes {
			if c.Breaking {
				b.Breaking = append(b.Breaking, fmt.Sprintf("%s: %s: %s", side.ru, c.Path, c.Russian()))
				english = append(english, fmt.Sprintf("%s: %s: %s", side.en, c.Path, c.English()))
			}
		}
	}
	var problems []problem
	if major(old.Version) == major(now.Version) {
		for i, ru := range b.Breaking {
			problems = append(problems, problem{rule: "breaking-change", russian: ru + " (первое число версии то же)", english: english[i] + " (under the same first number of the version)"})
		}
	}
	t.record(protocol.Case{Kind: protocol.Compat, File: "service.yaml", Expected: "для перехода с версии " + old.Version + " отправителю не нужно исправлять сообщения, если первое число версии то же",
		Got: fmt.Sprintf("изменений: %d, из них несовместимых: %d", b.Changes, len(b.Breaking)), Millis: time.Since(began).Milliseconds()}, problems)
	return nil
}

func major(version string) string {
	first, _, _ := strings.Cut(version, ".")
	return first
}

// errPatience says that a message did not come.
var errPatience = errors.New("the message did not come in time")

// official signs content where a service wants an official's signature.
func (t *Trial) official(c *party.Client) signing.Signer {
	if t.Service.Personal == registry.PersonalRequired {
		return c.Signer
	}
	return nil
}
