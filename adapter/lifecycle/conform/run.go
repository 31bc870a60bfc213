package conform

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"mezhved/adapter/lifecycle/conform/paper"
)

// stop unwinds a check that has seen enough.
type stop struct {
	verdict paper.Verdict
	why     string
}

// notebook keeps what a check sees.
type notebook struct {
	mu        sync.Mutex
	exchanges []paper.Exchange
}

func (n *notebook) note(e paper.Exchange) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.exchanges = append(n.exchanges, e)
}

// tear takes out what was noted.
func (n *notebook) tear() []paper.Exchange {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.exchanges
	n.exchanges = nil
	return out
}

// words are what a check says of what it sees. None of them comes back.
type words struct{}

func (words) fail(format string, args ...any) {
	panic(stop{paper.Failed, fmt.Sprintf(format, args...)})
}

func (words) skip(format string, args ...any) {
	panic(stop{paper.Inapplicable, fmt.Sprintf(format, args...)})
}

// must is for what the kit itself cannot do: there is no verdict, the run ends.
func (words) must(err error) {
	if err != nil {
		panic(unable{err})
	}
}

// unable ends a run.
type unable struct{ err error }

// judge runs a check to its verdict. err: the kit could not go on.
func judge(check func()) (verdict paper.Verdict, why string, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case stop:
			verdict, why = p.verdict, p.why
		case unable:
			err = p.err
		default:
			panic(p)
		}
	}()
	check()
	return paper.Passed, "", nil
}

// ErrUnknownCheck says that a check was asked for that the kit does not have.
var ErrUnknownCheck = errors.New("there is no such check")

// chosen are the checks of the ids; no ids: all. whole says that these are all.
func chosen[C any](all []C, id func(C) string, only []string) (out []C, whole bool, err error) {
	if len(only) == 0 {
		return all, true, nil
	}
	for _, want := range only {
		i := slices.IndexFunc(all, func(c C) bool { return id(c) == want })
		if i < 0 {
			err = errors.Join(err, fmt.Errorf("%w: %s", ErrUnknownCheck, want))
			continue
		}
		if !slices.ContainsFunc(out, func(c C) bool { return id(c) == want }) { // asked twice it is one
			out = append(out, all[i])
		}
	}
	return out, len(out) == len(all), err
}
