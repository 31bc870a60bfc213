package vault

import (
	"strings"
	"testing"
	"time"

	"mezhved/adapter/journal"
)

func FuzzShorten(f *testing.F) {
	f.Add(`{"answer":"a80c1f653c32a9687a893d76ecdadf9c9b9662ab08050ad3f20c4687832a859c","poll":"7bbdeccfd2014544f13ae87fc31ca5a0615a907b7abfdaa2e1d8dfb94acfa112"}`)
	f.Add(strings.Repeat("a", 33))
	f.Add("")
	f.Fuzz(func(t *testing.T, value string) {
		if got, err := lengthen(shorten(nil, value)); err != nil || got != value {
			t.Errorf("%q came back as %q, %v", value, got, err)
		}
	})
}

// A value that was sealed short is opened like one of before, and both by whoever has
// the keys.
func TestValuesAreSealedShort(t *testing.T) {
	v, err := Open(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	digest := strings.Repeat("0f", 32)
	for _, o := range []journal.Opening{{Field: "digest", Class: "envelope", Value: digest}, {Field: "snils", Class: "personal", Value: "112-233-445 95"}, {Field: "inn", Class: "personal"}} {
		o.Salt[3] = 7
		long, err := v.Seal(5, o)
		if err != nil {
			t.Fatal(err)
		}
		v.Shorten()
		short, err := v.Seal(5, o)
		if err != nil {
			t.Fatal(err)
		}
		v.short.Store(false)
		if o.Value == digest && len(short.Box) > len(long.Box)-30 {
			t.Errorf("a digest takes %d bytes sealed short, %d before", len(short.Box), len(long.Box))
		}
		for _, s := range []journal.Sealed{long, short} {
			if got, err := v.Unseal(s); err != nil || got != o {
				t.Errorf("opened %+v, %v, want %+v", got, err, o)
			}
			s.Index++
			if _, err := v.Unseal(s); err == nil {
				t.Error("a box opens in another entry's place")
			}
		}
	}
}
