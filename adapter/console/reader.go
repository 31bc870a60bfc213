package console

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter/postgres"
)

// reader is how somebody is spoken to: in which language, and times in which zone.
// Both are chosen by links of every page and remembered by cookies.
type reader struct {
	lang string // ru or en
	utc  bool   // else the desk's zone
}

// testless says whether somebody has left the messages that are marked TestMessage
// out of what the desk shows and counts. It is chosen as a language is.
func testless(r *http.Request) bool {
	c, err := r.Cookie(testsCookie)
	return err == nil && c.Value == "hidden"
}

// tests is what a page's questions are to do with tests when they do not say it.
func tests(r *http.Request) postgres.Tests {
	if testless(r) {
		return postgres.NoTests
	}
	return postgres.TestsToo
}

const (
	languageCookie = "mezhved_language"
	zoneCookie     = "mezhved_zone"
	testsCookie    = "mezhved_tests"
)

// choices are the parameters by which a page is asked for in another way.
var choices = []struct {
	param, cookie string
	values        [2]string
}{{"lang", languageCookie, [2]string{"ru", "en"}}, {"zone", zoneCookie, [2]string{"local", "utc"}}, {"tests", testsCookie, [2]string{"shown", "hidden"}}}

// readerOf tells what the browser has remembered; before anything was chosen, the
// language that it asks for, and the desk's zone.
func readerOf(r *http.Request) reader {
	to := reader{lang: askedLanguage(r.Header.Values("Accept-Language"))}
	if c, err := r.Cookie(languageCookie); err == nil && (c.Value == "ru" || c.Value == "en") {
		to.lang = c.Value
	}
	if c, err := r.Cookie(zoneCookie); err == nil {
		to.utc = c.Value == "utc"
	}
	return to
}

// askedLanguage is the one of the desk's languages that a browser likes best
// (RFC 9110, 12.5.4); Russian when it names none of them.
func askedLanguage(lines []string) string {
	best, weight := "ru", 0.0
	for tag := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		tag, params, _ := strings.Cut(tag, ";")
		primary, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q="); ok {
			var err error
			if q, err = strconv.ParseFloat(v, 64); err != nil {
				continue
			}
		}
		if (primary == "ru" || primary == "en") && q > weight {
			best, weight = primary, q
		}
	}
	return best
}

// zoneName says which zone a time is in, as people name it.
func zoneName(z *time.Location, at time.Time, in func(Text) string) string {
	switch name, offset := at.In(z).Zone(); {
	case z == time.UTC:
		return "UTC"
	case offset == 3*60*60 && (name == "MSK" || strings.HasSuffix(z.String(), "Moscow")):
		return in(Text{"московское", "Moscow"})
	default:
		return z.String()
	}
}

// period tells a length of time in the words of its largest whole units: 30 days,
// 1 hour 30 minutes.
func period(d time.Duration, lang string) string {
	var parts []string
	for _, u := range []struct {
		size    time.Duration
		one     string // in English
		russian [3]string
	}{
		{24 * time.Hour, "day", [3]string{"день", "дня", "дней"}}, {time.Hour, "hour", [3]string{"час", "часа", "часов"}},
		{time.Minute, "minute", [3]string{"минута", "минуты", "минут"}}, {time.Second, "second", [3]string{"секунда", "секунды", "секунд"}},
	} {
		n := int(d / u.size)
		if d -= time.Duration(n) * u.size; n == 0 {
			continue
		}
		word := u.one
		switch {
		case lang == "ru":
			word = u.russian[plural(n)]
		case n != 1:
			word += "s"
		}
		parts = append(parts, fmt.Sprintf("%d %s", n, word))
	}
	if len(parts) == 0 {
		return "0"
	}
	return strings.Join(parts, " ")
}

// plural is which of its three forms a Russian noun has beside a number.
func plural(n int) int {
	switch {
	case n%10 == 1 && n%100 != 11:
		return 0
	case n%10 >= 2 && n%10 <= 4 && (n%100 < 12 || n%100 > 14):
		return 1
	}
	return 2
}
