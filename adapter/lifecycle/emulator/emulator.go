package emulator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"mezhved/adapter/lifecycle/scenario"
	"mezhved/adapter/party"
	"mezhved/envelopes"
	"mezhved/xsd"
)

// Options are what an Emulator is made of. Client, Sets and Dir are needed.
type Options struct {
	Client *party.Client // speaks for the provider, with its key
	// Sets are the scenarios in force, asked for each request.
	Sets func() []*scenario.Set
	Dir  string // what is under way is kept here
	// Due is when the answer to a request that was received then is due; nil, or the
	// zero time: never.
	Due func(s scenario.Service, received time.Time) time.Time
	// TestOnly rejects what is not marked TestMessage: nobody is to take what is made
	// up for an answer.
	TestOnly bool
	Passed   bool             // the bus goes by the scenarios, too, where they name faults (scenario.Request)
	Haste    float64          // how many times as soon everything comes; default 1
	Wait     time.Duration    // that a poll asks the bus to wait; default 20 s
	Pause    time.Duration    // after an empty poll of a bus that does not wait, and the first after an error; default 1 s
	Now      func() time.Time // default time.Now
	Log      *slog.Logger
}

// Emulator is a provider that plays. Open makes one, Run runs it.
type Emulator struct {
	o Options

	mu    sync.Mutex
	jobs  map[string]*job // by MessageID of the request
	state map[string]*scenario.State
	wake  chan struct{} // something is to be sent
}

// job is a request that was taken on.
type job struct {
	MessageID string         `json:"messageId"`
	ReplyTo   string         `json:"replyTo"`
	Service   string         `json:"service,omitempty"` // and version
	Received  time.Time      `json:"received"`
	Plan      *scenario.Plan `json:"plan"`
	Next      int            `json:"next"`              // index of the step that comes
	Sending   string         `json:"sending,omitempty"` // MessageID under which it goes out, once that has begun
	Sent      string         `json:"sent,omitempty"`    // that of the message before
	Done      time.Time      `json:"done,omitzero"`     // when nothing was left to do

	notBefore time.Time     // after a failure
	pause     time.Duration // after the next one
}

const (
	jobSuffix = ".json"
	stateFile = "counters"
	keptDone  = 24 * time.Hour // how long an ended one is known, should its request come again
)

// Open reads what the folder has, and makes it when there is none.
func Open(o Options) (*Emulator, error) {
	if o.Haste <= 0 {
		o.Haste = 1
	}
	o.Wait, o.Pause = cmp.Or(o.Wait, 20*time.Second), cmp.Or(o.Pause, time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	e := &Emulator{o: o, jobs: map[string]*job{}, state: map[string]*scenario.State{}, wake: make(chan struct{}, 1)}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	list, err := os.ReadDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	for _, f := range list {
		name := filepath.Join(o.Dir, f.Name())
		switch {
		case f.Name() == stateFile:
			err = read(name, &e.state)
		case strings.HasSuffix(f.Name(), jobSuffix):
			var j job
			if err = read(name, &j); err == nil {
				e.jobs[j.MessageID] = &j
			}
		}
		if err != nil {
			return nil, fmt.Errorf("emulator: %w: remove the file, or put it right", err)
		}
	}
	return e, nil
}

func read(name string, v any) error {
	src, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(src, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// write puts a file there, whole or not at all, and durably.
func (e *Emulator) write(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(e.o.Dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(e.o.Dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func (e *Emulator) keep(j *job) error { return e.write(j.MessageID+jobSuffix, j) }

// Run takes requests and sends what is planned until ctx ends. It ends with no error:
// what fails is tried again.
func (e *Emulator) Run(ctx context.Context) error {
	var both sync.WaitGroup
	both.Go(func() { e.take(ctx) })
	both.Go(func() { e.send(ctx) })
	both.Wait()
	return nil
}

// take polls until ctx ends.
func (e *Emulator) take(ctx context.Context) {
	pause := e.o.Pause
	for ctx.Err() == nil {
		asked := time.Now()
		m, err := e.o.Client.PollRequest(ctx, party.Selector{Wait: e.o.Wait})
		if err == nil && m != nil {
			if err = e.takeOn(ctx, m); err == nil {
				pause = e.o.Pause
				continue
			}
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			e.o.Log.Warn("the emulator cannot take requests, it tries again", "pause", pause, "error", loggable(err))
			sleep(ctx, pause)
			pause = min(2*pause, 30*time.Second)
		case time.Since(asked) < e.o.Wait/2:
			sleep(ctx, e.o.Pause) // the bus does not wait
		default:
			pause = e.o.Pause
		}
	}
}

// takeOn plans what answers a request, keeps it, and acknowledges the request.
func (e *Emulator) takeOn(ctx context.Context, m *party.Message) error {
	id := m.Metadata.MessageID
	if !party.IsMessageID(id) {
		return fmt.Errorf("the bus hands out a message under %q, which is no MessageID", id)
	}
	e.mu.Lock()
	_, known := e.jobs[id]
	e.mu.Unlock()
	if !known && m.ReplyTo != "" && m.Request != nil { // a broadcast is not answered
		j, err := e.plan(m)
		if err != nil {
			return err
		}
		if err := e.keep(j); err != nil {
			return err
		}
		e.mu.Lock()
		e.jobs[id] = j
		e.mu.Unlock()
		e.ring()
	}
	err := e.o.Client.Ack(ctx, id, true)
	var refused *party.FaultError
	if errors.As(err, &refused) && refused.Fault.Kind == envelopes.TargetMessageIsNotFound {
		return nil // its lease ran out, and it comes again
	}
	return err
}

// plan makes the job of a request, and writes down what was counted.
func (e *Emulator) plan(m *party.Message) (*job, error) {
	now := e.o.Now()
	j := &job{MessageID: m.Metadata.MessageID, ReplyTo: m.ReplyTo, Received: now}
	root := scenario.Root(m.Request.Content)
	set := e.setOf(root)
	switch {
	case e.o.TestOnly && !m.Request.Test:
		j.Plan = rejection(now, envelopes.RejectFailure, "Вместо поставщика отвечает эмулятор, и только на сообщения с признаком TestMessage")
		return j, nil
	case set == nil:
		j.Plan = rejection(now, envelopes.RejectUnknownDescription, "Эмулятор не знает такого запроса: "+root.String())
		return j, nil
	}
	name := set.Service.Name + " " + set.Service.Version
	j.Service = name
	r := scenario.Request{Content: m.Request.Content, MessageID: j.MessageID, Sender: m.Metadata.Sender.Mnemonic, Test: m.Request.Test, Attachments: len(m.Attachments) + len(m.Files), Received: now, Passed: e.o.Passed}
	if e.o.Due != nil {
		r.Deadline = e.o.Due(set.Service, now)
	}
	st := e.state[name]
	if st == nil {
		st = &scenario.State{}
		e.state[name] = st
	}
	p, err := set.Play(r, st)
	var wrong *scenario.Error
	switch {
	case errors.As(err, &wrong):
		e.o.Log.Error("a scenario gives no answer: mend it, mezhved services lint says more", "service", name, "scenario", wrong.Scenario, "step", wrong.Step, "messageId", j.MessageID)
		p = rejection(now, envelopes.RejectFailure, "Эмулятор: "+wrong.Russian())
		p.Scenario = wrong.Scenario
	case err != nil:
		return nil, err
	}
	j.Plan = p
	return j, e.write(stateFile, e.state)
}

func (e *Emulator) setOf(root xsd.Name) *scenario.Set {
	for _, s := range e.o.Sets() {
		if s.Service.Request == root {
			return s
		}
	}
	return nil
}

func rejection(at time.Time, code envelopes.RejectionCode, text string) *scenario.Plan {
	return &scenario.Plan{Steps: []scenario.Step{{Kind: scenario.Reject, At: at, Rejections: []envelopes.Rejection{{Code: code, Description: short(text)}}}}}
}

// short keeps a description within what the protocol's schema takes.
func short(s string) string {
	if r := []rune(s); len(r) > 1024 {
		return string(r[:1023]) + "…"
	}
	return s
}

func (e *Emulator) ring() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// send sends what is due until ctx ends.
func (e *Emulator) send(ctx context.Context) {
	for ctx.Err() == nil {
		j, at := e.next()
		pause := time.Minute
		if j != nil {
			if pause = at.Sub(e.o.Now()); pause <= 0 {
				e.step(ctx, j)
				continue
			}
		}
		t := time.NewTimer(min(pause, time.Minute))
		select {
		case <-ctx.Done():
		case <-e.wake:
		case <-t.C:
		}
		t.Stop()
	}
}

// next is the job that comes next, and when. What was done long ago is forgotten.
func (e *Emulator) next() (first *job, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.o.Now()
	for id, j := range e.jobs {
		if !j.Done.IsZero() {
			if now.Sub(j.Done) > keptDone && os.Remove(filepath.Join(e.o.Dir, id+jobSuffix)) == nil {
				delete(e.jobs, id)
			}
			continue
		}
		if due := e.due(j); first == nil || due.Before(at) || due.Equal(at) && id < first.MessageID {
			first, at = j, due
		}
	}
	return first, at
}

// due is when the next step of a job comes.
func (e *Emulator) due(j *job) time.Time {
	at := j.Received
	if j.Next < len(j.Plan.Steps) {
		at = at.Add(time.Duration(float64(j.Plan.Steps[j.Next].At.Sub(j.Received)) / e.o.Haste))
	}
	if at.Before(j.notBefore) {
		return j.notBefore
	}
	return at
}

// step sends the next message of a job. Before it goes out its MessageID is kept, so
// that one whose fate is unknown goes out again as the same.
func (e *Emulator) step(ctx context.Context, j *job) {
	if j.Next < len(j.Plan.Steps) {
		unsure := j.Sending != ""
		r, last := e.message(j)
		if r == nil { // silence
			e.advance(j, last)
			return
		}
		if !unsure {
			if j.Sending = r.MessageID; j.Sending == "" {
				j.Sending = party.NewMessageID(e.o.Now())
			}
			if err := e.keep(j); err != nil {
				j.Sending = ""
				e.later(j, err)
				return
			}
		}
		r.MessageID, r.Unsure = j.Sending, unsure || r.Unsure
		_, err := e.o.Client.Reply(ctx, *r)
		var refused *party.FaultError
		switch {
		case ctx.Err() != nil && err != nil:
			return // the next start takes it up
		case errors.As(err, &refused) && !refused.Retry():
			e.refused(j, refused)
		case err != nil:
			e.later(j, err)
			return
		}
		e.advance(j, j.Sending)
		return
	}
	e.advance(j, j.Sent)
}

// message is what a step sends; nil: nothing. last is the MessageID that stays the last.
func (e *Emulator) message(j *job) (r *party.Reply, last string) {
	at := j.Next
	s := &j.Plan.Steps[at]
	again := s.Kind == scenario.Duplicate
	for ; at > 0 && j.Plan.Steps[at].Kind == scenario.Duplicate; at-- {
	}
	r = reply(&j.Plan.Steps[at], j.ReplyTo)
	if again && s.SameID && r != nil {
		r.MessageID, r.Unsure = j.Sent, true
	}
	return r, j.Sent
}

func reply(s *scenario.Step, to string) *party.Reply {
	r := &party.Reply{To: to}
	switch s.Kind {
	case scenario.Answer:
		r.Content = s.Content
		for _, a := range s.Attachments {
			r.Attachments = append(r.Attachments, party.Attachment{Name: a.Name, MimeType: a.Type, Content: a.Content})
		}
	case scenario.Reject:
		for _, one := range s.Rejections {
			one.Description = short(one.Description)
			r.Rejections = append(r.Rejections, one)
		}
	case scenario.Status:
		r.Status = &envelopes.RequestStatus{Code: int(s.Status.Code), Description: s.Status.Text}
		for _, p := range s.Status.Parameters {
			r.Status.Parameters = append(r.Status.Parameters, envelopes.StatusParameter{Key: p[0], Value: p[1]})
		}
	case scenario.Fault: // a provider cannot speak for the bus
		r.Rejections = []envelopes.Rejection{{Code: envelopes.RejectFailure, Description: "Эмулятор: по сценарию на этот запрос отвечает шина, ошибкой " + string(s.Fault)}}
	default:
		return nil
	}
	return r
}

// refused notes that the bus does not take a message. A second final answer is not
// taken, which is what a duplicate is there to show.
func (e *Emulator) refused(j *job, refused *party.FaultError) {
	level, what := slog.LevelWarn, "the bus refuses a message of the emulator, it is not sent again"
	if j.Plan.Steps[j.Next].Kind == scenario.Duplicate && refused.Fault.Kind == envelopes.MessageIsAlreadySent {
		level, what = slog.LevelInfo, "the bus refuses a duplicate, as it must"
	}
	e.o.Log.Log(context.Background(), level, what, "service", j.Service, "scenario", j.Plan.Scenario, "step", j.Next+1, "request", j.MessageID, "fault", string(refused.Fault.Kind), "incident", refused.Incident)
}

// advance goes on to the step after the one that was sent under an id.
func (e *Emulator) advance(j *job, sent string) {
	e.mu.Lock()
	j.Sent, j.Sending = sent, ""
	if j.Next < len(j.Plan.Steps) {
		j.Next++
	}
	if j.Next >= len(j.Plan.Steps) {
		j.Done = e.o.Now()
		j.Plan.Steps, j.ReplyTo = nil, "" // its content has an end
		j.Next = 0
	}
	j.notBefore, j.pause = time.Time{}, 0
	e.mu.Unlock()
	if err := e.keep(j); err != nil { // it would be sent once more after a restart, under the same id
		e.o.Log.Error("the emulator cannot keep what it has sent", "request", j.MessageID, "error", err)
	}
}

// later tries again after a pause.
func (e *Emulator) later(j *job, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	j.pause = min(max(2*j.pause, e.o.Pause), time.Minute)
	j.notBefore = e.o.Now().Add(j.pause)
	e.o.Log.Warn("a message of the emulator was not sent, it tries again", "service", j.Service, "step", j.Next+1, "request", j.MessageID, "pause", j.pause, "error", loggable(err))
}

// Waiting are the requests that were taken on and are not done, by MessageID.
func (e *Emulator) Waiting() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for id, j := range e.jobs {
		if j.Done.IsZero() {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// loggable is an error without what a message says.
func loggable(err error) error {
	var refused *party.FaultError
	if errors.As(err, &refused) {
		return fmt.Errorf("the bus refuses: %s, incident %s", refused.Fault.Kind, refused.Incident)
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
