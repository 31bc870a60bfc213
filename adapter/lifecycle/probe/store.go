package probe

import (
	"context"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/registry"
)

// Store keeps what is known of probes. package postgres implements it.
type Store interface {
	// LeadProbes does something while this node leads the work; adapter.ErrShardTaken says
	// that another node does, and journal.ErrDeposed that one has begun meanwhile.
	LeadProbes(ctx context.Context, do func(context.Context, Term) error) error

	// Probes are all that are known, by service, version and kind.
	Probes(ctx context.Context) ([]State, error)

	// ProbeHistory gives what came of probes from a time on, the latest first, of one
	// service version or, with an empty name, of all; 0 is no limit.
	ProbeHistory(ctx context.Context, service, version string, from time.Time, limit int) ([]Result, error)

	// NotePolls remembers when parties have last asked for requests; an earlier time than
	// the one that is known changes nothing.
	NotePolls(ctx context.Context, polls map[adapter.PollOf]time.Time) error

	// LastPolls gives what NotePolls remembers.
	LastPolls(ctx context.Context) (map[adapter.PollOf]time.Time, error)

	// OldestRequest tells since when the oldest request with one of the roots waits for a
	// party and was not handed out, or was and came back; zero: none does.
	OldestRequest(ctx context.Context, to registry.Mnemonic, roots []registry.QName) (time.Time, error)

	// Find is adapter.Store.Find.
	Find(ctx context.Context, id adapter.MessageID) ([]adapter.Message, error)
}

// Term is the time for which a node leads. Its writes prove that it still does.
type Term interface {
	// Save commits states, and what came of probes with them. A state whose colour is
	// another than before is told to alarms, in the same transaction.
	Save(ctx context.Context, states []State, results []Result) error

	// Forget removes all states but those of the keys: of what is probed no more.
	Forget(ctx context.Context, but []Key) error
}

// Kind is how deep a probe goes.
type Kind string

// The kinds.
const (
	Short Kind = "short"
	Full  Kind = "full"
)

// Key names a probe.
type Key struct {
	Service, Version string
	Kind             Kind
}

// Problem says what a probe has found; empty: all is well.
type Problem string

// What may be wrong.
const (
	Undescribed Problem = "description" // the door does not give the description
	BadSchema   Problem = "schema"      // the schema in force does not take the sample
	Silent      Problem = "silent"      // the provider does not ask for its requests
	Waits       Problem = "waits"       // its oldest request waits too long
	Refused     Problem = "refused"     // the gateway has not taken the request; Detail is the fault
	Unanswered  Problem = "unanswered"  // no answer came in time
	Rejected    Problem = "rejected"    // the provider has rejected the request; Detail is the code
	Undelivered Problem = "undelivered" // the gateway could not bring it to the provider
	BadAnswer   Problem = "answer"      // what came is no good answer; Detail is the rule
)

// State is what is known of a probe, and of a full one that is under way.
type State struct {
	Key
	Next time.Time // when it is to be done

	MessageID adapter.MessageID // of the request that awaits its answer; empty: none does
	Sent      time.Time
	Due       time.Time // the answer is waited for until then

	At       time.Time // of the last outcome; zero: there is none yet
	Since    time.Time // it has had this colour since
	Problem  Problem
	Provider registry.Mnemonic // whom it is about
	Detail   string
	Took     time.Duration // of a full probe: until the answer
}

// Known says whether there is an outcome.
func (s *State) Known() bool { return !s.At.IsZero() }

// Red says whether something is wrong.
func (s *State) Red() bool { return s.Known() && s.Problem != "" }

// Result is the outcome of one probe, for the history.
type Result struct {
	Key
	At       time.Time
	Problem  Problem
	Provider registry.Mnemonic
	Detail   string
	Took     time.Duration
}

// end puts an outcome into a state and gives it for the history.
func (s *State) end(at time.Time, o outcome) Result {
	if !s.Known() || s.Red() != (o.problem != "") {
		s.Since = at
	}
	s.At, s.Problem, s.Provider, s.Detail, s.Took = at, o.problem, o.provider, o.detail, o.took
	s.MessageID, s.Sent, s.Due = "", time.Time{}, time.Time{}
	return Result{Key: s.Key, At: at, Problem: o.problem, Provider: o.provider, Detail: o.detail, Took: o.took}
}

// outcome is what a probe has found.
type outcome struct {
	problem  Problem
	provider registry.Mnemonic
	detail   string
	took     time.Duration
}
