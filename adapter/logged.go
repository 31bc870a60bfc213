package adapter

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"

	"mezhved/envelopes"
)

// What senders write stays between them, the answer and the journal: no value of
// a message, no header and no name that a caller makes up enters the log of the
// process, a trace or a metric. The type of an error decides what the log has of
// it, never its text.

// valueless is an error of a room that reads what callers sent. Its Error may
// quote them; WithoutValues has rule and place, and of names those of elements,
// which are markup.
type valueless interface {
	error
	WithoutValues() string
}

// loggable is an error as the log may have it. What is wrapped round an error
// that quotes a caller quotes it too, and is left out.
func loggable(err error) string {
	var quotes valueless
	if !errors.As(err, &quotes) {
		return err.Error()
	}
	if e, ok := err.(valueless); ok {
		return e.WithoutValues()
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return loggable(e.Unwrap())
	case interface{ Unwrap() []error }:
		s := ""
		for i, one := range e.Unwrap() {
			if i > 0 {
				s += "; "
			}
			s += loggable(one)
		}
		return s
	}
	return quotes.WithoutValues()
}

// WithoutValues is the refusal for the log: reason, rule and place; the cause
// only of what is our own failure, because the cause of a sender's slip is what
// the sender wrote.
func (r *refusal) WithoutValues() string {
	s := string(r.reason)
	if len(r.marks) > 0 {
		s += " " + r.marks[0].String()
	}
	if r.cause != nil && table[r.reason].fault == envelopes.SMEVFailure {
		s += ": " + loggable(r.cause)
	}
	return s
}

// Caught makes an error of a panic. What the runtime says is taken; any other
// value may hold what was being worked on, and only its type is named.
func Caught(p any) error {
	what := fmt.Sprintf("%T", p)
	if e, ok := p.(runtime.Error); ok {
		what = e.Error()
	}
	return fmt.Errorf("panic: %s\n%s", what, debug.Stack())
}

// surviving is Surviving for the gateway's handlers.
func (g *Gateway) surviving(next http.Handler) http.Handler {
	return Surviving(next, g.log, g.metrics.panics)
}

// Surviving serves what is behind it; a panic there ends one call, is a line of the log and
// is counted.
func Surviving(next http.Handler, log *slog.Logger, panics prometheus.Counter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p != http.ErrAbortHandler { //nolint:errorlint // it is panicked with as it is
				panics.Inc()
				log.Error("a call ended in a panic", "error", Caught(p))
			}
			panic(http.ErrAbortHandler) // what was written of the answer is not its whole
		}()
		next.ServeHTTP(w, r)
	})
}
