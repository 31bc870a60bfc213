package xsdregex

import (
	"strings"
	"testing"
)

func BenchmarkMatch(b *testing.B) {
	for _, c := range []struct{ name, pattern, value string }{
		{"guid", `[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}`, "3f2504e0-4f89-11d3-9a0c-0305e82c3301"},
		{"cyrillic name", `[А-ЯЁ][а-яё]*([ \-][А-ЯЁ][а-яё]*)*`, "Мамина-Сибирякова"},
		{"text 1000 deterministic", `.{1,1500}`, strings.Repeat("Пример ", 100)},
		{"text 1000 counted", `.{1,100000}`, strings.Repeat("Пример ", 100)},
		{"letters 1000 counted", `[\p{L}\s]{1,100000}`, strings.Repeat("Пример ", 100)},
		{"simulated worst", `(a|b)*a(aa|bb|ab|ba){1000}`, strings.Repeat("ab", 1500)},
	} {
		re, err := Compile(c.pattern, Limits{})
		if err != nil {
			b.Fatal(err)
		}
		raw := []byte(c.value)
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				re.Match(raw)
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, c := range []struct{ name, pattern string }{
		{"guid", `[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}`},
		{"inn", `\d{10}|\d{12}`},
		{"letters", `[\p{L}\s]{1,250}`},
		{"exponential", `(a|b)*a(aa|bb|ab|ba){1000}`},
		{"optional chain", `(ab?c?){0,400}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Compile(c.pattern, Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
