package main

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"
)

// say prints a line or several. Values come from evidence, whose maker is not believed:
// they cannot begin a line of their own, such as a verdict, nor move the cursor or turn
// the direction of what is read.
func (s *streams) say(format string, values ...any) {
	fmt.Fprintf(s.out, format, inLine(values)...)
}

func inLine(values []any) []any {
	shown := make([]any, len(values))
	for i, v := range values {
		switch x := v.(type) {
		case error:
			shown[i] = visible(x.Error())
		case fmt.Stringer:
			shown[i] = visible(x.String())
		default:
			if shown[i] = v; reflect.ValueOf(v).Kind() == reflect.String {
				shown[i] = visible(reflect.ValueOf(v).String())
			}
		}
	}
	return shown
}

// visible writes characters that do something out by their numbers.
func visible(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// lines are the lines of an error, each visible: several may be wrong at once.
func lines(err error) (all []string) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		all = append(all, visible(line))
	}
	return all
}
