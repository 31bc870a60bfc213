package adapter

import (
	"strings"
	"testing"

	"mezhved/adapter/yamlfile"

	"github.com/google/uuid"
)

// Whatever an operator writes is read or told with places inside the file.
func FuzzYAMLFile(f *testing.F) {
	for _, s := range []string{"listen: x\n", "a:\n - b\n", "kafka: {brokers: [a, b]}", "a: &b c\nd: *b\n", "<<: {}\n", "? x\n: y\n", "!!str a: b", "- 1\n---\n- 2\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		var c Config
		y := yamlfile.New("f")
		y.Decode([]byte(src), &c)
		lines := strings.Count(src, "\n") + strings.Count(src, "\r") + 2
		for _, one := range y.Findings {
			if one.Line < 0 || one.Line > lines || one.Text == "" {
				t.Errorf("%q: %v", src, one)
			}
		}
	})
}

// Nothing but what seal has made is opened.
func FuzzReplyAddress(f *testing.F) {
	keys := replyKeys{[]byte(strings.Repeat("k", 32))}
	made := keys.seal(replyAddress{Request: uuid.Nil, MessageID: "m", Provider: "P"})
	f.Add(made)
	f.Add("")
	f.Add("AQ==")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := keys.open(token); err == nil && strings.NewReplacer("\r", "", "\n", "").Replace(strings.TrimSpace(token)) != made {
			t.Errorf("opened %q", token)
		}
	})
}
