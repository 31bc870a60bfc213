package proving

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mezhved/adapter/lifecycle/protocol"
	"mezhved/adapter/party"
	"mezhved/adapter/registry"
	"mezhved/envelopes/xmltape"
	"mezhved/xsd"
)

// passing is the case of a request that goes the whole way, and of its answer that
// goes back. answer may be nil; so may request, for any that passes.
func (t *Trial) passing(request, answer *protocol.Text) trialCase {
	c := trialCase{text: request, expected: passes}
	if answer != nil {
		c.expected = "запрос принят и доставлен без изменений, ответ " + answer.File + " принят и доставлен без изменений"
	}
	c.run = func(ctx context.Context) (string, []problem, error) {
		request := cmp.Or(request, t.request)
		if request == nil {
			return noRequest, []problem{unasked}, nil
		}
		asked, problems, err := t.ask(ctx, request)
		if err != nil || len(problems) > 0 {
			return "запрос не прошёл", problems, err
		}
		if answer == nil {
			return "запрос доставлен: " + asked.to(), nil, nil
		}
		if problems, err := t.reply(ctx, asked, answer); err != nil || len(problems) > 0 {
			return "ответ не прошёл", problems, err
		}
		return "запрос и ответ доставлены: " + asked.to(), nil, nil
	}
	return c
}

// asking are the cases of a request and of the answer that goes with it.
func (t *Trial) asking(request, answer *protocol.Text) []trialCase {
	var open *asked
	ask := trialCase{text: request, expected: passes, run: func(ctx context.Context) (string, []problem, error) {
		a, problems, err := t.ask(ctx, request)
		if err != nil || len(problems) > 0 {
			return "не прошло", problems, err
		}
		open = a
		return "доставлено: " + a.to(), nil, nil
	}}
	reply := trialCase{text: answer, expected: passes, run: func(ctx context.Context) (string, []problem, error) {
		if open == nil {
			return noRequest, []problem{unasked}, nil
		}
		if problems, err := t.reply(ctx, open, answer); err != nil || len(problems) > 0 {
			return "не прошло", problems, err
		}
		return "доставлено: " + string(open.caller), nil, nil
	}}
	return []trialCase{ask, reply}
}

const (
	passes    = "принято, доставлено без изменений, подтверждено"
	noRequest = "нет запроса, на который отвечать"
)

var unasked = problem{rule: "samples", english: "there is no request that went through, to answer it", russian: "нет прошедшего запроса, на который отвечать"}

// refused is the case of content that must be refused, by its rule.
func (t *Trial) refused(x *protocol.Text) trialCase {
	c := trialCase{text: x, response: t.isResponse(x), expected: "отклонено"}
	if x.Rule != "" {
		c.expected += " по правилу " + x.Rule
	}
	if x.About != "" {
		c.expected += ": " + x.About
	}
	c.run = func(ctx context.Context) (string, []problem, error) {
		var err error
		if !c.response {
			caller := t.Client(t.Callers[0])
			var receipt *party.Receipt
			receipt, err = caller.SendRequest(ctx, party.Request{Content: x.Content, Official: t.official(caller), Test: true})
			if err == nil { // it must not stand in the way of the next case
				if _, problems, late := t.take(ctx, receipt.MessageID, x, t.caught(x)); late != nil || len(problems) > 0 {
					return "принято", append(problems, t.accepted(x)), late
				}
			}
		} else {
			if t.request == nil {
				return noRequest, []problem{unasked}, nil
			}
			asked, problems, late := t.ask(ctx, t.request)
			if late != nil || len(problems) > 0 {
				return "запрос не прошёл", problems, late
			}
			provider := t.Client(asked.providers[0])
			_, err = provider.Reply(ctx, party.Reply{To: asked.replyTo, Content: x.Content, Official: t.official(provider)})
			if err == nil {
				return "принято", []problem{t.accepted(x)}, nil
			}
			// The request is still open: what comes next must not find it.
			if t.answer != nil {
				if problems, late := t.reply(ctx, asked, t.answer); late != nil || len(problems) > 0 {
					return "образец ответа после этого не прошёл", problems, late
				}
			}
		}
		if err == nil {
			return "принято", []problem{t.accepted(x)}, nil
		}
		said, err := t.refusal(x, err)
		if err != nil {
			return "", nil, err
		}
		rules := rulesOf(said)
		got := "отклонено: " + strings.Join(rules, ", ")
		if x.Rule == "" || slices.ContainsFunc(rules, x.RefusedBy) {
			return got, nil, nil
		}
		for i := range said {
			said[i].english = fmt.Sprintf("had to be refused by %s, and is refused by %s: %s", x.Rule, said[i].rule, said[i].english)
			said[i].russian = fmt.Sprintf("должно отклоняться по правилу %s, а отклонено по %s: %s", x.Rule, said[i].rule, said[i].russian)
		}
		return got, said, nil
	}
	return c
}

func (t *Trial) accepted(x *protocol.Text) problem {
	return problem{rule: cmp.Or(x.Rule, "accepted"), english: "had to be refused, and was accepted", russian: "должно отклоняться, а принято"}
}

// caught are those to whom content goes that was accepted, whether it should or not.
func (t *Trial) caught(x *protocol.Text) []registry.Mnemonic {
	var tape xmltape.Tape
	if tape.Parse(x.Content, xmltape.Limits{}) != nil {
		return t.Service.Providers
	}
	to, err := t.Service.Route(tape.Root())
	if err != nil {
		return nil
	}
	return to
}

// asked is a request that its providers have.
type asked struct {
	id        string
	replyTo   string
	caller    registry.Mnemonic
	providers []registry.Mnemonic
}

func (a *asked) to() string {
	var out []string
	for _, m := range a.providers {
		out = append(out, string(m))
	}
	return strings.Join(out, ", ")
}

// ask sends a request and takes it as its providers.
func (t *Trial) ask(ctx context.Context, x *protocol.Text) (*asked, []problem, error) {
	a := &asked{caller: t.Callers[0]}
	caller := t.Client(a.caller)
	receipt, err := caller.SendRequest(ctx, party.Request{Content: x.Content, Official: t.official(caller), Test: true})
	if err != nil {
		said, err := t.refusal(x, err)
		return nil, said, err
	}
	a.id = receipt.MessageID
	for _, m := range t.caught(x) {
		if !t.Service.Broadcast || m != a.caller { // who sends a broadcast is not told of it
			a.providers = append(a.providers, m)
		}
	}
	replyTo, problems, err := t.take(ctx, a.id, x, a.providers)
	a.replyTo = replyTo
	if err == nil && len(problems) == 0 && !t.passed {
		t.request, t.passed = x, true
	}
	return a, problems, err
}

// take polls as each provider until the request comes, and holds that it is the one
// that was sent.
func (t *Trial) take(ctx context.Context, id string, x *protocol.Text, providers []registry.Mnemonic) (replyTo string, problems []problem, err error) {
	for _, m := range providers {
		provider := t.Client(m)
		got, err := t.await(ctx, provider.PollRequest, func(m *party.Message) bool { return m.Metadata.MessageID == id })
		if errors.Is(err, errPatience) {
			problems = append(problems, problem{rule: "delivery", english: "was accepted and did not reach " + string(m), russian: "принято, но не дошло до участника " + string(m)})
			continue
		}
		if err != nil {
			return "", problems, err
		}
		if got.Request == nil || !t.same(x, got.Request.Content) {
			problems = append(problems, problem{rule: "content", english: string(m) + " received other content than was sent", russian: "участник " + string(m) + " получил не то, что отправлено"})
		}
		replyTo = got.ReplyTo
		if err := provider.Ack(ctx, id, true); err != nil {
			return "", problems, err
		}
	}
	return replyTo, problems, nil
}

// same compares content as it came with content as it stands in a file. An
// official's signature needs an Id, which is added on the way.
func (t *Trial) same(x *protocol.Text, got xmltape.Node) bool {
	var tape xmltape.Tape
	if tape.Parse(x.Content, xmltape.Limits{}) != nil {
		return false
	}
	return t.Service.Personal == registry.PersonalRequired || bytes.Equal(tape.Root().Bytes(), got.Bytes())
}

// reply answers as the provider and takes the answer as the caller.
func (t *Trial) reply(ctx context.Context, a *asked, x *protocol.Text) ([]problem, error) {
	provider := t.Client(a.providers[0])
	if _, err := provider.Reply(ctx, party.Reply{To: a.replyTo, Content: x.Content, Official: t.official(provider)}); err != nil {
		return t.refusal(x, err)
	}
	caller := t.Client(a.caller)
	got, err := t.await(ctx, caller.PollResponse, func(m *party.Message) bool { return m.OriginalMessageID == a.id })
	if errors.Is(err, errPatience) {
		return []problem{{file: x.File, rule: "delivery", english: "was accepted and did not reach " + string(a.caller), russian: "принято, но не дошло до участника " + string(a.caller)}}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := caller.Ack(ctx, got.Metadata.MessageID, true); err != nil {
		return nil, err
	}
	if got.Response == nil || !t.same(x, got.Response.Content) {
		return []problem{{file: x.File, rule: "content", english: string(a.caller) + " received another answer than was sent", russian: "участник " + string(a.caller) + " получил не тот ответ, что отправлен"}}, nil
	}
	return nil, nil
}

// await polls until the message comes. What a case before has left is passed over.
func (t *Trial) await(ctx context.Context, poll func(context.Context, party.Selector) (*party.Message, error), match func(*party.Message) bool) (*party.Message, error) {
	for end := time.Now().Add(cmp.Or(t.Patience, 30*time.Second)); time.Now().Before(end); {
		m, err := poll(ctx, party.Selector{Wait: time.Second})
		if err != nil {
			return nil, err
		}
		if m != nil && match(m) {
			return m, nil
		}
	}
	return nil, errPatience
}

// refusal is what a refusal says, with its places in the file. An error that is no
// refusal is given back.
func (t *Trial) refusal(x *protocol.Text, err error) ([]problem, error) {
	var fault *party.FaultError
	var gate *xmltape.Error
	switch {
	case errors.As(err, &gate): // nobody can sign it
		rule := "xml." + string(gate.Code)
		return []problem{{x.File, gate.Line, gate.Col, rule, gate.Detail, gate.Russian()}}, nil
	case !errors.As(err, &fault) || fault.Retry():
		return nil, err
	}
	f := fault.Fault
	if len(f.Validation) == 0 {
		return []problem{{file: x.File, rule: string(f.Kind), english: f.Text, russian: f.Text}}, nil
	}
	places := t.places(x)
	var out []problem
	for _, v := range f.Validation {
		rule, text, _ := strings.Cut(v.Text, ": ")
		one := problem{file: x.File, rule: rule, english: text, russian: text}
		if i := len(out); i < len(places) && places[i].rule == rule {
			one = places[i]
		}
		out = append(out, one)
	}
	return out, nil
}

// places are the violations of the schema by their places in the file: the fault has
// them by those in the envelope.
func (t *Trial) places(x *protocol.Text) (out []problem) {
	var tape xmltape.Tape
	if tape.Parse(x.Content, xmltape.Limits{}) != nil {
		return nil
	}
	var invalid *xsd.Invalid
	if _, err := t.Service.Validate(tape.Root()); errors.As(err, &invalid) {
		for _, v := range invalid.Violations {
			out = append(out, problem{x.File, v.Line, v.Col, v.Rule, v.XPath + ": " + v.English(), v.XPath + ": " + v.Russian()})
		}
	}
	return out
}

func rulesOf(said []problem) (out []string) {
	for _, p := range said {
		if !slices.Contains(out, p.rule) {
			out = append(out, p.rule)
		}
	}
	return out
}
