package terms

import (
	"bufio"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

// TestGoldenDates counts what testdata/golden.txt says, made by other hands.
func TestGoldenDates(t *testing.T) {
	f, err := os.Open("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		w := strings.Fields(lines.Text())
		if len(w) == 0 || w[0] == "#" {
			continue
		}
		n++
		zone, err := time.LoadLocation(w[1])
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := time.ParseInLocation("2006-01-02T15:04", w[0], zone)
		if err != nil {
			t.Fatal(err)
		}
		term, err := Parse(w[2])
		if err != nil {
			t.Fatal(err)
		}
		from, err := ParseStart(strings.TrimPrefix(w[3], "-"))
		if err != nil {
			t.Fatal(err)
		}
		if got := Shipped().End(term, accepted, zone, from).In(zone).Format("2006-01-02T15:04-07:00"); got != w[4] {
			t.Errorf("%s: due %s", lines.Text(), got)
		}
	}
	if n < 60 {
		t.Errorf("%d golden dates", n)
	}
}

// TestShippedCalendarsAreThoseOfTheOracle asks the Python package holidays, where it
// is installed, about every day.
func TestShippedCalendarsAreThoseOfTheOracle(t *testing.T) {
	python := os.Getenv("MEZHVED_PYTHON")
	if python == "" {
		python = "python3"
	}
	out, err := exec.Command(python, "-c", `
import holidays, datetime
h = holidays.RU(years=range(2023, 2029))
for n in range(datetime.date(2024,1,1).toordinal(), datetime.date(2028,1,1).toordinal()):
    d = datetime.date.fromordinal(n)
    if d in h.weekend_workdays or (d.weekday() < 5 and d not in h): print(d)`).Output()
	if err != nil {
		t.Skip("the Python package holidays is not installed (pip install holidays; MEZHVED_PYTHON names another python)")
	}
	var worked []string
	for d := dateOf(2024, 1, 1); d < dateOf(2028, 1, 1); d++ {
		if Shipped().works(d) {
			worked = append(worked, d.String())
		}
	}
	if oracle := strings.Fields(string(out)); !reflect.DeepEqual(worked, oracle) {
		t.Errorf("%d days are worked, by the oracle %d", len(worked), len(oracle))
	}
}

func TestTermsAreReadAsTheyAreWritten(t *testing.T) {
	for text, want := range map[string]Term{
		"5wd": {Days: 5, Working: true}, "30d": {Days: 30}, "48h": {Length: 48 * time.Hour}, "15m": {Length: 15 * time.Minute}, "1h30m": {Length: 90 * time.Minute},
		"1.5d": {Length: 36 * time.Hour}, "0d": {}, "0s": {}, "0wd": {},
	} {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if again, err := Parse(got.String()); !got.IsZero() && (err != nil || again != got) {
			t.Errorf("%s is written %s", text, got)
		}
	}
	for _, text := range []string{"", "wd", "-5wd", "5 wd", "5WD", "1.5wd", "-1h", "NaNd", "36501d", "1e9d", "5x"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q is a term: %+v", text, got)
		}
	}
	for text, want := range map[string]string{"1wd": "1 рабочий день", "5wd": "5 рабочих дней", "22wd": "22 рабочих дня", "30d": "30 дней", "48h": "48 ч", "1h30m": "1 ч 30 мин"} {
		if term, _ := Parse(text); term.Russian() != want {
			t.Errorf("%s: %q", text, term.Russian())
		}
	}
}

// TestDaysBeginWhereClocksAreSetAtMidnight: the day has no 0:00, or its 0:00 comes twice.
func TestDaysBeginWhereClocksAreSetAtMidnight(t *testing.T) {
	for _, c := range []struct {
		zone, day, begins string
	}{
		{"America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"}, // 0:00 is 1:00
		{"America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00:00Z"}, // 24:00 of the day before comes twice
		{"America/Havana", "2025-11-02", "2025-11-02T04:00:00Z"},    // 0:00 comes twice
		{"Europe/Moscow", "2026-11-29", "2026-11-28T21:00:00Z"},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		day, _ := time.Parse(time.DateOnly, c.day)
		if got := dayOf(day, time.UTC).begins(zone).UTC().Format(time.RFC3339); got != c.begins {
			t.Errorf("%s in %s begins at %s, want %s", c.day, c.zone, got, c.begins)
		}
	}
}

func TestTheEarliestOfAllRulesCounts(t *testing.T) {
	at := time.Date(2026, 11, 27, 18, 55, 0, 1234567, Moscow)
	wd := func(n int) Term { return Term{Days: n, Working: true} }
	service := Rules{StageAnswered: {Term: wd(5)}, StageTaken: {Term: Term{Length: 48 * time.Hour}}, StageStatus: {Term: wd(2), From: FromDelivered}}
	provider := Rules{StageAnswered: {Term: wd(3)}, StageTaken: {Term: wd(5)}, StageQueued: {Term: Term{Length: time.Minute}}}
	due, later := Count(Shipped(), at, Moscow, service, provider)
	day := func(d int) time.Time { return time.Date(2026, 12, d, 0, 0, 0, 0, Moscow) }
	for _, c := range []struct {
		stage Stage
		want  time.Time
	}{{StageQueued, at.Add(time.Minute).Truncate(time.Millisecond)}, {StageTaken, at.Add(48 * time.Hour).Truncate(time.Millisecond)}, {StageStatus, time.Time{}}, {StageAnswered, day(3)}} {
		if got := due.At(c.stage); !got.Equal(c.want) {
			t.Errorf("%s is due at %s, want %s", c.stage, got, c.want)
		}
	}
	if got := later.String(); got != "status 2wd, +03:00" {
		t.Fatalf("later: %q", got)
	}
	again, err := ParseLater(later.String())
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Due(Shipped(), day(1).Add(time.Hour)); !got.Status.Equal(day(4)) || !got.Answered.IsZero() {
		t.Errorf("counted from the delivery: %+v", got)
	}
	for _, wrong := range []string{"x", "status 2wd", "+03:00", "status 2wd, MSK", "sooner 2wd, +03:00", "status 0d, +03:00"} {
		if _, err := ParseLater(wrong); err == nil {
			t.Errorf("%q can be read", wrong)
		}
	}
}

func TestSomebodyIsWarnedBefore(t *testing.T) {
	at := func(text string) time.Time {
		x, err := time.ParseInLocation("2006-01-02 15:04", text, Moscow)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, c := range []struct{ soon, begun, due, want string }{
		{"", "2026-11-27 18:55", "2026-12-05 00:00", "2026-12-04 00:00"},    // 24:00 of Thursday, for 24:00 of Friday
		{"", "2026-12-01 10:00", "2026-12-08 00:00", "2026-12-05 00:00"},    // of Monday: 24:00 of Friday
		{"2wd", "2025-12-25 10:00", "2026-01-13 00:00", "2025-12-30 00:00"}, // over New Year
		{"", "2026-11-27 18:00", "2026-11-29 18:00", "2026-11-29 06:00"},    // 48 hours: the last quarter
		{"12h", "2026-11-27 18:00", "2026-11-29 18:00", "2026-11-29 06:00"},
		{"1wd", "2026-11-27 18:00", "2026-11-29 18:00", "2026-11-28 18:00"}, // before the beginning: halfway
		{"3d", "2026-11-01 18:00", "2026-12-01 12:00", "2026-11-28 12:00"},
	} {
		var soon Term
		if c.soon != "" {
			soon, _ = Parse(c.soon)
		}
		if got := Shipped().Soon(soon, at(c.begun), at(c.due), Moscow); !got.Equal(at(c.want)) {
			t.Errorf("%s to %s, %q before: warned at %s, want %s", c.begun, c.due, c.soon, got.In(Moscow).Format("2006-01-02 15:04"), c.want)
		}
	}
}

func TestCalendarsAreChecked(t *testing.T) {
	good := "year: 2028\nbasis: x\nholidays: 01-01 01-02 01-03 01-04 01-05 01-06 01-07 01-08 02-23 03-08 05-01 05-09 06-12 11-04\noff: 01-10 01-11 11-06\n"
	if y, problems := ParseYear([]byte(good)); len(problems) != 1 || !problems[0].Warning || problems[0].Line != 4 || y.Number != 2028 {
		t.Errorf("four holidays on weekends, three days off: %v", problems) // 1, 2 and 8 January, 4 November
	}
	for _, c := range []struct {
		what, src, want string
		line            int
	}{
		{"no year", "off: 01-09", "year is missing", 0},
		{"nonsense", good + "hello", "a line such as", 5},
		{"unknown", good + "short: 02-22", "no such setting", 5},
		{"twice", good + "year: 2028", "given twice", 5},
		{"no day", "year: 2027\nbasis: x\noff: 02-29", `"02-29" is no day of 2027`, 3},
		{"in two lists", "year: 2027\nbasis: x\nholidays: 01-01\noff: 01-01", "stands in holidays already", 4},
		{"a weekend", "year: 2027\nbasis: x\noff: 02-20", "off already", 3},
		{"a weekday", "year: 2027\nbasis: x\nworking: 02-19", "no weekend", 3},
		{"a holiday is missing", "year: 2027\nbasis: x\nholidays: 01-01", "02-23 is missing", 3},
		{"no basis", "year: 2027", "by which decree", 0},
	} {
		_, problems := ParseYear([]byte(c.src))
		found := false
		for _, p := range problems {
			found = found || strings.Contains(p.Error(), c.want) && p.Line == c.line && p.Russian() != p.Error()
		}
		if !found {
			t.Errorf("%s: %v", c.what, problems)
		}
	}
}

func TestAYearThatIsMissingIsToldAndReplaced(t *testing.T) {
	c := Shipped()
	moscow := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, Moscow) }
	for _, x := range []struct {
		now  time.Time
		want int
	}{{moscow(2026, 12, 31), 0}, {moscow(2027, 10, 31), 0}, {moscow(2027, 11, 1), 2028}, {moscow(2028, 1, 1), 2028}} {
		if got := c.Missing(x.now); got != x.want {
			t.Errorf("at %s %d is missing, want %d", x.now, got, x.want)
		}
	}
	five := Term{Days: 5, Working: true}
	due := c.End(five, moscow(2027, 12, 30), Moscow, FromAccepted) // 31 December is off by decree; of 2028 the holidays are known
	if want := moscow(2028, 1, 15); !due.Equal(want) {
		t.Errorf("due %s, want %s", due, want)
	}
	y, problems := ParseYear([]byte("year: 2028\nbasis: x\nholidays: 01-01 01-02 01-03 01-04 01-05 01-06 01-07 01-08 02-23 03-08 05-01 05-09 06-12 11-04\noff: 01-10 01-11 11-06 12-29\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if due, want := c.With(y).End(five, moscow(2027, 12, 30), Moscow, FromAccepted), moscow(2028, 1, 19); !due.Equal(want) {
		t.Errorf("with the year's calendar due %s, want %s", due, want)
	}
	if c.Knows(2028) {
		t.Error("the shipped calendar has changed")
	}
}
