package postgres

import (
	"bytes"
	"testing"
	"time"
)

// Identifiers are in the order of their times, those before 1970 too: what is kept for a
// century and what is asked for from 1900 on count from there.
func TestFloorKeepsTheOrderOfTimes(t *testing.T) {
	var before []byte
	for _, one := range []time.Time{{}, time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(30000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		id := floor(one)
		if bytes.Compare(before, id[:]) > 0 {
			t.Errorf("%v stands before what is earlier: %x", one, id)
		}
		before = id[:]
	}
}
