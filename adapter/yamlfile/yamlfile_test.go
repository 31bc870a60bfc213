package yamlfile

import (
	"testing"
	"time"
)

func TestSizesAndPeriods(t *testing.T) {
	for in, want := range map[string]Size{"512": 512, "64KB": 64 << 10, "1.5MB": 3 << 19, "2 GB": 2 << 30, "10b": 10} {
		if got, err := ParseSize(in); got != want || err != nil {
			t.Errorf("%s: %d %v, want %d", in, got, err, want)
		}
	}
	for in, want := range map[string]time.Duration{"90s": 90 * time.Second, "30d": 720 * time.Hour, "1h30m": 90 * time.Minute, "0.5d": 12 * time.Hour} {
		if got, err := ParsePeriod(in); got.D() != want || err != nil {
			t.Errorf("%s: %v %v, want %v", in, got.D(), err, want)
		}
	}
	for _, bad := range []string{"", "five", "-1", "1e99GB", "NaN"} {
		if _, err := ParseSize(bad); err == nil {
			t.Errorf("size %q was taken", bad)
		}
	}
	for _, bad := range []string{"", "5", "-5s", "d", "NaNd", "99999999d"} {
		if _, err := ParsePeriod(bad); err == nil {
			t.Errorf("period %q was taken", bad)
		}
	}
}
