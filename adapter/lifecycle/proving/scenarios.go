package proving

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mezhved/adapter/lifecycle/emulator"
	"mezhved/adapter/lifecycle/protocol"
	"mezhved/adapter/lifecycle/scenario"
	"mezhved/adapter/party"
	"mezhved/adapter/registry"
	"mezhved/envelopes/xmltape"
)

// haste is how many times as soon a scenario's messages come on trial: a month is over at once.
const haste = 1e9

// scenarios are the cases of a version's scenarios: each is led to by a request, played
// by the emulator in the place of the provider, and what it plans has to reach the caller.
func (t *Trial) scenarios(texts []protocol.Text) (out []trialCase) {
	if t.Service.Response.Local == "" {
		return nil
	}
	set, found := scenario.Open(t.Dir, scenario.Of(t.Service, t.Catalog.Calendar))
	for _, f := range found.Errors() {
		t.lacking(t.within(f.File), f.Text, f.Russian().Text)
	}
	if len(found.Errors()) > 0 || len(set.Scenarios) == 1 && set.Scenarios[0].Name == scenario.Implied {
		return nil
	}
	for _, s := range set.Scenarios {
		file := path.Join(protocol.Scenarios, s.Name+".yaml")
		requests := t.requestsOf(set, s, texts)
		if len(requests) == 0 {
			t.lacking(file, "no request leads to this scenario: name one in examples", "к этому сценарию не ведёт ни один запрос: назовите его в examples")
		}
		for _, request := range requests {
			out = append(out, t.scenario(set, s, file, request))
		}
	}
	return out
}

// within is a file of the version by its name in the folder.
func (t *Trial) within(file string) string {
	if name, err := filepath.Rel(t.Dir, file); err == nil {
		file = name
	}
	return filepath.ToSlash(file)
}

// requestsOf are the requests that a scenario names, or the first sample that leads to it.
func (t *Trial) requestsOf(set *scenario.Set, s *scenario.Scenario, texts []protocol.Text) (out []*protocol.Text) {
	for _, file := range s.Examples {
		name := t.within(file)
		src, err := os.ReadFile(file)
		if err != nil {
			t.lacking(name, errors.Unwrap(err).Error(), errors.Unwrap(err).Error())
			continue
		}
		out = append(out, &protocol.Text{File: name, Content: src, Kind: protocol.Scenario})
	}
	for i := range texts {
		if x := &texts[i]; len(s.Examples) == 0 && len(out) == 0 && x.Kind == protocol.Sample && !t.isResponse(x) {
			if len(t.places(x)) > 0 {
				continue
			}
			if plan, err := set.Play(t.asProvider(x, "probe", t.Callers[0]), &scenario.State{}); err == nil && plan.Scenario == s.Name {
				out = append(out, x)
			}
		}
	}
	return out
}

// asProvider is a request as its provider is handed it.
func (t *Trial) asProvider(x *protocol.Text, id string, from registry.Mnemonic) scenario.Request {
	var tape xmltape.Tape
	_ = tape.Parse(x.Content, xmltape.Limits{}) // what is no XML is refused on its way
	now := time.Now()
	return scenario.Request{Content: tape.Root(), MessageID: id, Sender: string(from), Test: true, Received: now, Deadline: t.due(now)}
}

// due is when an answer to what was received then is due.
func (t *Trial) due(received time.Time) time.Time {
	due, _ := t.Catalog.Due(t.Service, false, t.Service.Providers[0], received)
	return due.Answered
}

func (t *Trial) scenario(set *scenario.Set, s *scenario.Scenario, file string, request *protocol.Text) trialCase {
	c := trialCase{text: &protocol.Text{File: file, Kind: protocol.Scenario}}
	c.expected = "на запрос " + request.File + ": " + kindsRussian(s.Steps())
	c.run = func(ctx context.Context) (string, []problem, error) {
		plan, err := set.Play(t.asProvider(request, party.NewMessageID(time.Now()), t.Callers[0]), &scenario.State{})
		var wrong *scenario.Error
		switch {
		case errors.As(err, &wrong):
			return "сообщение не составлено", []problem{{rule: "scenario", english: wrong.Error(), russian: wrong.Russian()}}, nil
		case err != nil:
			return "", nil, err
		case plan.Scenario != s.Name:
			return "подошёл другой сценарий: " + plan.Scenario, []problem{{rule: "scenario", english: fmt.Sprintf("%s leads to the scenario %q", request.File, plan.Scenario),
				russian: fmt.Sprintf("%s ведёт к сценарию «%s»", request.File, plan.Scenario)}}, nil
		}
		return t.play(ctx, set, request, expectedOf(plan.Steps))
	}
	return c
}

// play lets the emulator answer a request, and takes what it sends.
func (t *Trial) play(ctx context.Context, set *scenario.Set, request *protocol.Text, expected []scenario.Kind) (string, []problem, error) {
	dir, err := os.MkdirTemp("", "mezhved-scenario-")
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(dir)
	if len(expected) == 0 { // silence: nothing has to come, but the request has to arrive
		asked, problems, err := t.ask(ctx, request)
		if err != nil || len(problems) > 0 {
			return "запрос не прошёл", problems, err
		}
		return "запрос доставлен: " + asked.to() + ", ответа нет", nil, nil
	}
	providers := t.caught(request)
	if len(providers) == 0 {
		return "получателя нет", []problem{{rule: "RecipientIsNotFound", english: "the example has no recipient", russian: "у примера нет получателя"}}, nil
	}
	e, err := emulator.Open(emulator.Options{Client: t.Client(providers[0]), Sets: func() []*scenario.Set { return []*scenario.Set{set} }, Dir: dir,
		Due: func(_ scenario.Service, received time.Time) time.Time { return t.due(received) }, Haste: haste, Wait: time.Second, Log: t.Log})
	if err != nil {
		return "", nil, err
	}
	playing, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- e.Run(playing) }()
	defer func() { stop(); <-done }()

	caller := t.Client(t.Callers[0])
	receipt, err := caller.SendRequest(ctx, party.Request{Content: request.Content, Official: t.official(caller), Test: true})
	if err != nil {
		said, err := t.refusal(request, err)
		return "запрос не прошёл", said, err
	}
	var came []scenario.Kind
	for range expected {
		m, err := t.await(ctx, caller.PollResponse, func(m *party.Message) bool { return m.OriginalMessageID == receipt.MessageID })
		if errors.Is(err, errPatience) {
			break
		}
		if err != nil {
			return "", nil, err
		}
		if err := caller.Ack(ctx, m.Metadata.MessageID, true); err != nil {
			return "", nil, err
		}
		came = append(came, kindOf(m))
	}
	if !slices.Equal(came, expected) {
		return kindsRussian(came), []problem{{rule: "scenario", english: fmt.Sprintf("%s had to reach the caller, and %s did", kinds(expected), kinds(came)),
			russian: fmt.Sprintf("потребитель должен был получить: %s; получил: %s", kindsRussian(expected), kindsRussian(came))}}, nil
	}
	return "получено: " + kindsRussian(came), nil, nil
}

// expectedOf is what of a plan reaches the caller. A message once more under its own id
// is the same message; another final answer is refused by the bus, which is right; and
// a provider that cannot speak for the bus rejects.
func expectedOf(steps []scenario.Step) (out []scenario.Kind) {
	final := false
	for _, s := range steps {
		kind := s.Kind
		switch {
		case kind == scenario.Silence || kind == scenario.Duplicate && (s.SameID || final || len(out) == 0):
			continue
		case kind == scenario.Duplicate:
			kind = out[len(out)-1]
		case kind == scenario.Fault:
			kind = scenario.Reject
		}
		final = final || kind == scenario.Answer || kind == scenario.Reject
		out = append(out, kind)
	}
	return out
}

func kindOf(m *party.Message) scenario.Kind {
	switch {
	case m.Response == nil:
		return scenario.Fault
	case m.Response.Status != nil:
		return scenario.Status
	case len(m.Response.Rejections) > 0:
		return scenario.Reject
	}
	return scenario.Answer
}

var stepRussian = map[scenario.Kind]string{
	scenario.Status: "статус", scenario.Answer: "ответ", scenario.Reject: "отказ поставщика", scenario.Fault: "отказ шины", scenario.Silence: "молчание", scenario.Duplicate: "повтор",
}

func kindsRussian(list []scenario.Kind) string {
	var out []string
	for _, k := range list {
		out = append(out, stepRussian[k])
	}
	if len(out) == 0 {
		return "ничего"
	}
	return strings.Join(out, ", ")
}

func kinds(list []scenario.Kind) string {
	var out []string
	for _, k := range list {
		out = append(out, string(k))
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, ", ")
}
