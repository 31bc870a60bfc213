package main

import (
	"strings"

	"mezhved/cmd/mezhved-audit/verdict"
)

// say prints a line or several, as verdict.Say does.
func (s *streams) say(format string, values ...any) { verdict.Say(s.out, format, values...) }

// lines are the lines of an error, each visible: several may be wrong at once.
func lines(err error) (all []string) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		all = append(all, verdict.Visible(line))
	}
	return all
}
