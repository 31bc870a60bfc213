package postgres

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/embedded"
)

// What of a server's settings loses messages is an error, what makes it slow or leaves
// it alone is advice; a good server has neither.
func TestServerSettingsAreJudged(t *testing.T) {
	good := map[string]string{
		"server_version": "17.2", "server_version_num": "170002", "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "synchronous_standby_names": "ANY 1 (b, c)",
		"autovacuum": "on", "track_counts": "on", "autovacuum_naptime": "5s", "default_toast_compression": "lz4", "idle_in_transaction_session_timeout": "30000", "data_checksums": "on",
	}
	for _, c := range []struct{ name, value, bad, advice string }{
		{"fsync", "on", "", ""},
		{"fsync", "off", "power cut loses", ""},
		{"full_page_writes", "off", "damages pages", ""},
		{"synchronous_commit", "off", "crash loses", ""},
		{"synchronous_commit", "local", "fail-over loses", ""},
		{"synchronous_commit", "remote_apply", "", ""},
		{"synchronous_standby_names", "", "", "name a standby"},
		{"autovacuum", "off", "autovacuum is off", ""},
		{"track_counts", "off", "track_counts is off", ""},
		{"autovacuum_naptime", "1min", "", "set 5s"},
		{"default_toast_compression", "pglz", "", "lz4"},
		{"idle_in_transaction_session_timeout", "0", "", "forgotten transaction"},
		{"data_checksums", "off", "", "goes unnoticed"},
		{"server_version_num", "140011", "15 or newer", ""},
	} {
		settings := maps.Clone(good)
		settings[c.name] = c.value
		var x Examination
		x.judge(settings, settings)
		for _, told := range []struct {
			said []Said
			want string
		}{{x.Errors, c.bad}, {x.Advice, c.advice}} {
			if got := texts(told.said); (got == "") != (told.want == "") || !strings.Contains(got, told.want) {
				t.Errorf("%s = %q: %q, want %q", c.name, c.value, got, told.want)
			}
		}
	}
	for _, name := range []string{"fsync", "autovacuum", "data_checksums"} {
		if !strings.Contains(strings.Join(looked, " "), name) {
			t.Errorf("%s is not asked for", name)
		}
	}
	var x Examination
	if x.room(100, 20, slotsHeld); len(x.Advice) != 0 && perNode() < 80 {
		t.Errorf("room enough: %v", x.Advice)
	}
	if x.room(100, 99, slotsHeld+1); len(x.Advice) != 2 {
		t.Errorf("two things are short: %v", x.Advice)
	}
}

func texts(said []Said) string {
	var list []string
	for _, s := range said {
		list = append(list, s.Text)
	}
	return strings.Join(list, "; ")
}

// How much WAL lies there, and whether it is archived, is told.
func TestDoctorLooksAtWAL(t *testing.T) {
	for _, c := range []struct {
		lies, most int64
		failing    bool
		want       string
	}{
		{1 << 30, 1 << 30, false, ""},
		{20 << 30, 16 << 30, false, ""}, // twice as much as it is to be is usual for moments
		{9 << 30, 1 << 30, false, "wal-huge"},
		{0, 1 << 30, true, "wal-not-archived"},
	} {
		var x Examination
		x.wal(c.lies, c.most, c.failing)
		got := ""
		for _, a := range x.Advice {
			got += a.Code
		}
		if got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// How many rows a table has is told of one, too, that autovacuum has not come to look at
// yet: a day of a few ten thousand messages never grows to where it would (00176).
func TestDoctorCountsRowsThatNobodyAnalyzed(t *testing.T) {
	ctx := t.Context()
	url := embedded.Test(t, Migrate)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	const rows = 20_000
	fill(t, conn, "used_id", rows)
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) { // what a session has written is told when it rests
		if _, err := conn.Exec(ctx, "SELECT pg_stat_force_next_flush()"); err != nil {
			t.Fatal(err)
		}
		x, err := Examine(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		got := x.Sizes["used_id"].Rows
		if got == rows {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d rows are told of a table that has %d", got, rows)
		}
	}
}
