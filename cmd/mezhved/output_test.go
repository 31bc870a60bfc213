package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestNumbersHaveTheirNouns(t *testing.T) {
	for n, want := range map[int64]string{0: "0 entries", 1: "1 entry", 2: "2 entries", 21: "21 entries"} {
		if got := many(n, "entry", "entries"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What the desk refuses begins with what to do, not with HTTP's word for a number.
func TestTheDesksRefusalsAreSentences(t *testing.T) {
	for body, want := range map[string]string{
		`{"title":"Bad Request","status":400,"detail":"limit: a number from 1 to 500 is expected, not 0."}`: "limit: a number from 1 to 500 is expected, not 0.",
		`{"title":"Gone","status":410}`: "the desk answers HTTP 410",
		`<html>`:                        "This is not the answer of a gateway's desk; look at --url, and whether console.tokens is set there.",
	} {
		err := refusedBy(&http.Response{StatusCode: http.StatusBadRequest, Body: io.NopCloser(strings.NewReader(body))})
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
}
