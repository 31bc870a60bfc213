package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"mezhved/adapter/lifecycle/xpath"
	"mezhved/adapter/terms"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/xsd"
)

// Service is what scenarios have to know of the service whose they are.
type Service struct {
	Name, Version string
	Request       xsd.Name
	Response      xsd.Name // zero: a broadcast, which nobody answers
	Schema        *xsd.Schema
	Calendar      *terms.Calendar // nil: the shipped one
	HasDeadline   bool            // of the answer
	// Validate holds content against the schema as the gateway does; nil: the schema's
	// own Validate.
	Validate func(xmltape.Node) error
}

// Set is the scenarios of a service's version, in the order in which they are asked.
// Safe for concurrent use.
type Set struct {
	Service   Service
	Scenarios []*Scenario
	counted   map[string]*xpath.Expr // what requests are counted by, by its source
}

// Scenario is what happens to requests for which all its conditions hold.
type Scenario struct {
	Name     string // of its file, without .yaml
	Title    string
	When     []*xpath.Expr
	Examples []string // files of requests that it is for
	steps    []step
	always   bool // it has no conditions
	broken   bool // it could be read in part only
}

// Steps are the kinds of what a scenario sends, in order, for people.
func (s *Scenario) Steps() []Kind {
	out := make([]Kind, len(s.steps))
	for i := range s.steps {
		out[i] = s.steps[i].kind
	}
	return out
}

// Kind is what a step of a plan does.
type Kind string

// The kinds.
const (
	Status    Kind = "status"    // an intermediate status
	Answer    Kind = "answer"    // the final answer
	Reject    Kind = "reject"    // a rejection, which is final, too
	Fault     Kind = "fault"     // the bus refuses the request, where the emulator is the bus's own; elsewhere a rejection
	Silence   Kind = "silence"   // nothing more comes
	Duplicate Kind = "duplicate" // the message before, once more
)

// step is a step of a scenario.
type step struct {
	kind        Kind
	after       time.Duration // since the step before, or the request
	late        bool          // since the deadline instead
	content     *Template
	attachments []attachment
	status      *status
	reject      []rejection
	fault       envelopes.FaultKind
	same        bool // Duplicate: under the same MessageID
}

type status struct {
	code       *Template
	text       *Template
	parameters []parameter
}

type parameter struct {
	key   string
	value *Template
}

type rejection struct {
	code envelopes.RejectionCode
	text *Template
}

type attachment struct {
	name, mime string
	content    []byte
	text       *Template // instead of content
}

// Request is what a provider was handed.
type Request struct {
	Content     xmltape.Node
	MessageID   string
	Sender      string
	Test        bool // it is marked TestMessage
	Attachments int
	Received    time.Time
	Deadline    time.Time // of the answer; zero: none
	// Passed: scenarios in which the bus refuses the request are not for it, because it
	// has not (Refusal).
	Passed bool
}

// State is what a Set remembers between requests. The zero value is a beginning.
type State struct {
	Last    string           `json:"last,omitempty"`    // MessageID of the request that was counted last
	Seen    map[string]int64 `json:"seen,omitempty"`    // how many requests, by what they are counted by
	Numbers map[string]int64 `json:"numbers,omitempty"` // the last of each sequence
}

// mostSeen bounds what a State holds: beyond it counting begins anew.
const mostSeen = 100_000

// Plan is what is to be sent in answer to one request. It is complete: it can be kept,
// and played by a process that has no scenarios.
type Plan struct {
	Scenario string `json:"scenario"` // its Name; empty: none fits, and the plan says so
	Steps    []Step `json:"steps"`
}

// Step is one message to be sent, or none.
type Step struct {
	Kind        Kind                  `json:"kind"`
	At          time.Time             `json:"at"`
	Content     []byte                `json:"content,omitempty"`
	Attachments []Attachment          `json:"attachments,omitempty"`
	Status      *Said                 `json:"status,omitempty"`
	Rejections  []envelopes.Rejection `json:"rejections,omitempty"`
	Fault       envelopes.FaultKind   `json:"fault,omitempty"`
	SameID      bool                  `json:"sameId,omitempty"`
}

// Said is an intermediate status.
type Said struct {
	Code       int         `json:"code"`
	Text       string      `json:"text"`
	Parameters [][2]string `json:"parameters,omitempty"` // key, value
}

// Attachment goes with an answer.
type Attachment struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Content []byte `json:"content"`
}

// Error says of which step of which scenario no message could be made. Russian has it
// for the requests' senders.
type Error struct {
	Scenario string
	Step     int // from 1; 0: a condition
	Err      error
	Content  []byte // the answer that the schema refuses; nil when it is something else
}

func (e *Error) Error() string {
	return e.in("scenario %s: %v", "scenario %s, step %d: %v", e.Err.Error())
}

// Russian is the error in Russian.
func (e *Error) Russian() string {
	text := e.Err.Error()
	var r interface{ Russian() string }
	if errors.As(e.Err, &r) {
		text = r.Russian()
	}
	return e.in("сценарий %s: %v", "сценарий %s, шаг %d: %v", text)
}

func (e *Error) in(condition, step, text string) string {
	if e.Step == 0 {
		return fmt.Sprintf(condition, e.Scenario, text)
	}
	return fmt.Sprintf(step, e.Scenario, e.Step, text)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Play gives the plan for a request, and counts the request in the state, once. The
// error is an *Error.
func (s *Set) Play(r Request, st *State) (*Plan, error) {
	if err := s.count(r, st); err != nil {
		return nil, err
	}
	chosen, err := s.choose(r, st)
	if err != nil {
		return nil, err
	}
	if chosen == nil {
		return &Plan{Steps: []Step{{Kind: Reject, At: r.Received, Rejections: []envelopes.Rejection{{
			Code: envelopes.RejectFailure, Description: "Эмулятор: ни один сценарий не подходит к этому запросу"}}}}}, nil
	}
	return s.plan(chosen, r, st)
}

// count tells the state of a request, if it has not heard of it.
func (s *Set) count(r Request, st *State) error {
	if r.MessageID != "" && st.Last == r.MessageID {
		return nil
	}
	if st.Seen == nil || len(st.Seen) > mostSeen {
		st.Seen = map[string]int64{}
	}
	st.Seen[""]++
	for source, e := range s.counted {
		v, err := e.Eval(s.context(r, st, "", r.Received))
		if err != nil {
			return &Error{Scenario: source, Err: err}
		}
		st.Seen[countedBy(source, []xpath.Value{v})]++
	}
	st.Last = r.MessageID
	return nil
}

func (s *Set) context(r Request, st *State, seed string, at time.Time) *xpath.Context {
	m := &moment{at: at, request: &r, state: st, calendar: s.Service.Calendar, seed: r.MessageID + "/" + seed}
	if m.calendar == nil {
		m.calendar = terms.Shipped()
	}
	return &xpath.Context{Root: r.Content, Host: m, Variables: map[string]xpath.Value{}}
}

// choose finds the first scenario that is for the request; nil: none is.
func (s *Set) choose(r Request, st *State) (*Scenario, error) {
	for _, one := range s.Scenarios {
		if r.Passed && len(one.steps) > 0 && one.steps[0].kind == Fault {
			continue
		}
		holds, err := s.holds(one, r, st)
		if err != nil {
			return nil, err
		}
		if holds {
			return one, nil
		}
	}
	return nil, nil
}

func (s *Set) holds(one *Scenario, r Request, st *State) (bool, error) {
	for _, e := range one.When {
		v, err := e.Eval(s.context(r, st, one.Name, r.Received))
		if err != nil {
			return false, &Error{Scenario: one.Name, Err: fmt.Errorf("%s: %w", e, err)}
		}
		if !xpath.Bool(v) {
			return false, nil
		}
	}
	return true, nil
}

// Refusal is the fault with which a bus that goes by the scenarios refuses a request,
// and the scenario that says so; empty: it lets the request pass. The request is counted
// as by Play, in a state of the bus's own.
func (s *Set) Refusal(r Request, st *State) (scenario string, kind envelopes.FaultKind, err error) {
	if err := s.count(r, st); err != nil {
		return "", "", err
	}
	one, err := s.choose(r, st)
	if err != nil || one == nil || len(one.steps) == 0 || one.steps[0].kind != Fault {
		return "", "", err
	}
	return one.Name, one.steps[0].fault, nil
}

func (s *Set) plan(one *Scenario, r Request, st *State) (*Plan, error) {
	p := &Plan{Scenario: one.Name}
	at := r.Received
	for i := range one.steps {
		in := &one.steps[i]
		if in.late {
			if r.Deadline.IsZero() {
				return nil, &Error{Scenario: one.Name, Step: i + 1, Err: say("late counts from the deadline, and this request has none", "late отсчитывается от срока ответа, а у этого запроса его нет")}
			}
			at = r.Deadline
		}
		at = at.Add(in.after)
		out, err := s.step(in, s.context(r, st, fmt.Sprintf("%s/%d", one.Name, i), at), at)
		if err != nil {
			e := &Error{Scenario: one.Name, Step: i + 1, Err: err}
			if out != nil {
				e.Content = out.Content
			}
			return nil, e
		}
		p.Steps = append(p.Steps, *out)
	}
	return p, nil
}

// step makes the message of a step. With an error of an answer's schema the step is
// given, too.
func (s *Set) step(in *step, c *xpath.Context, at time.Time) (*Step, error) {
	out := &Step{Kind: in.kind, At: at, Fault: in.fault, SameID: in.same}
	switch {
	case in.content != nil:
		content, err := in.content.render(c)
		if err != nil {
			return nil, err
		}
		out.Content = content
		if err := s.valid(content); err != nil {
			return out, err
		}
	case in.status != nil:
		said, err := in.status.say(c)
		if err != nil {
			return nil, err
		}
		out.Status = said
	}
	for _, one := range in.reject {
		text, err := one.text.render(c)
		if err != nil {
			return nil, err
		}
		out.Rejections = append(out.Rejections, envelopes.Rejection{Code: one.code, Description: string(text)})
	}
	for _, a := range in.attachments {
		content := a.content
		if a.text != nil {
			var err error
			if content, err = a.text.render(c); err != nil {
				return nil, fmt.Errorf("%s: %w", a.name, err)
			}
		}
		out.Attachments = append(out.Attachments, Attachment{Name: a.name, Type: cmp.Or(a.mime, "application/octet-stream"), Content: content})
	}
	return out, nil
}

func (s *status) say(c *xpath.Context) (*Said, error) {
	code, err := s.code.render(c)
	if err != nil {
		return nil, err
	}
	n, err := small(string(code), -1<<31, 1<<31-1)
	if err != nil {
		return nil, fmt.Errorf("code: %w", err)
	}
	text, err := s.text.render(c)
	if err != nil {
		return nil, err
	}
	said := &Said{Code: n, Text: string(text)}
	for _, p := range s.parameters {
		v, err := p.value.render(c)
		if err != nil {
			return nil, err
		}
		said.Parameters = append(said.Parameters, [2]string{p.key, string(v)})
	}
	return said, nil
}

// valid holds an answer against the schema, before anybody signs it.
func (s *Set) valid(content []byte) error {
	tape := new(xmltape.Tape)
	if err := tape.Parse(content, xmltape.Limits{}); err != nil {
		return fmt.Errorf("the answer is no document: %w", err)
	}
	root := tape.Root()
	if got := (xsd.Name{Space: root.Space(), Local: root.Local()}); got != s.Service.Response {
		return say("the root of the answer is %s, here %s is expected", "корневой элемент ответа — %s, а здесь ожидается %s", got, s.Service.Response)
	}
	validate := s.Service.Validate
	if validate == nil {
		validate = s.Service.Schema.Validate
	}
	var invalid *xsd.Invalid
	if err := validate(root); errors.As(err, &invalid) {
		v := invalid.Violations[0]
		return &Refused{Invalid: invalid, said: say("the schema refuses the answer: %s: line %d, column %d: %s: %s", "схема не принимает ответ: %s: строка %d, позиция %d: %s: %s", v.Rule, v.Line, v.Col, v.XPath, both{v.English(), v.Russian()})}
	} else if err != nil {
		return err
	}
	return nil
}

// Refused says that the schema refuses an answer.
type Refused struct {
	Invalid *xsd.Invalid
	*said
}

// both is a word in two languages.
type both struct{ english, russian string }

func (b both) String() string { return b.english }

// Russian is the word in Russian.
func (b both) Russian() string { return b.russian }
