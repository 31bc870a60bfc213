package yamlfile

import (
	"fmt"
	"maps"
)

// saying is a sentence about what an operator wrote: an English form with its
// arguments, and a Russian one by the tables of the rooms.
type saying struct {
	format string
	args   []any
}

// Sayf makes an error that can be told in both languages.
func Sayf(format string, args ...any) error { return &saying{format, args} }

func (s *saying) Error() string { return fmt.Sprintf(s.format, s.args...) }

// Russian is the sentence in Russian; in English where it has no form: what the
// system or a library says.
func (s *saying) Russian() string {
	format, ok := russian[s.format]
	if !ok {
		format = s.format
	}
	args := make([]any, len(s.args))
	for i, a := range s.args {
		if inner, ok := a.(interface{ Russian() string }); ok {
			a = inner.Russian()
		}
		args[i] = a
	}
	return fmt.Sprintf(format, args...)
}

// Both is an argument that is itself a sentence, in English and in Russian.
func Both(english, russian string) fmt.Stringer { return both{english, russian} }

type both struct{ english, russian string }

func (b both) String() string { return b.english }

// Russian is the Russian one.
func (b both) Russian() string { return b.russian }

// russian has the Russian forms of what all rooms say of files, by the English ones;
// both take the same arguments.
var russian = map[string]string{}

// Russian adds the sentences of a room, when the program begins, and gives them back.
func Russian(sayings map[string]string) map[string]string {
	maps.Copy(russian, sayings)
	return sayings
}

var sayings = Russian(map[string]string{
	"only one document is expected in this file: it is divided by ---": "в файле ожидается один документ, а он разделён строкой ---",
	"%s: anchors, aliases and tags are not used here":                  "%s: якоря, ссылки и теги YAML здесь не используются",
	"%s: true or false is expected, not %q":                            "%s: ожидается true или false, а не %q",
	"%s: a whole number is expected, not %q":                           "%s: ожидается целое число, а не %q",
	"%s: a number is expected, not %q":                                 "%s: ожидается число, а не %q",
	"%s: %v":                                                           "%s: %v",
	"%s: a single value is expected":                                   "%s: ожидается одно значение",
	"%s: no such setting; known here: %s":                              "%s: такой настройки нет; здесь известны: %s",
	"%s: no such setting; %s is perhaps meant; known here: %s":         "%s: такой настройки нет; возможно, имелась в виду %s; здесь известны: %s",
	"%s: a mapping (name: value) is expected":                          "%s: ожидаются пары «имя: значение»",
	"%s is given twice":                                                "%s: указано дважды",
	"a size such as 512, 64KB or 5MB is expected, not %q":              "ожидается размер вида 512, 64KB или 5MB, а не %q",
	"a period such as 90s, 15m, 24h or 30d is expected, not %q":        "ожидается промежуток вида 90s, 15m, 24h или 30d, а не %q",
})
