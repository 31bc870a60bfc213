package verdict

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode"
)

// Say writes a line or several. Values come from evidence, whose maker is not believed:
// they cannot begin a line of their own, such as a verdict, nor move the cursor or turn
// the direction of what is read.
func Say(w io.Writer, format string, values ...any) {
	fmt.Fprintf(w, format, inLine(values)...)
}

func inLine(values []any) []any {
	shown := make([]any, len(values))
	for i, v := range values {
		switch x := v.(type) {
		case error:
			shown[i] = Visible(x.Error())
		case fmt.Stringer:
			shown[i] = Visible(x.String())
		default:
			if shown[i] = v; reflect.ValueOf(v).Kind() == reflect.String {
				shown[i] = Visible(reflect.ValueOf(v).String())
			}
		}
	}
	return shown
}

// Visible writes characters that do something out by their numbers.
func Visible(s string) string {
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
