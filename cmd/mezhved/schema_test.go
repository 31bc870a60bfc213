package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/postgres"
)

// Where there is no way back, what to do instead is said with it.
func TestWhereThereIsNoWayBackWhatToDoIsSaid(t *testing.T) {
	w := openCrashWorld(t)
	url := w.database.URL("mezhved")
	w.must(postgres.Migrate(t.Context(), url))
	conn, err := pgx.Connect(t.Context(), url)
	w.must(err)
	_, err = conn.Exec(t.Context(), "INSERT INTO journal_pending (packed) VALUES ('x')") // as this release writes it
	w.must(err)
	w.must(conn.Close(t.Context()))
	file := filepath.Join(w.dir, "mezhved.yaml")
	replaceIn(t, file, "database:\n  private: postgres\n", "database:\n  urlFile: database.url\n")
	var out, errOut bytes.Buffer
	code := run([]string{"schema", "down", "--to", "99", "--config", file}, strings.NewReader(""), &out, &errOut)
	for _, want := range []string{"events wait that the release before cannot read", "mezhved schema up", "backup of before the upgrade"} {
		if code != exitNo || !strings.Contains(errOut.String(), want) {
			t.Errorf("exit %d, %q is not said: %s", code, want, errOut.String())
		}
	}
}
