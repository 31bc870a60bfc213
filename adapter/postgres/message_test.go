package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/postgres"
)

// Who knows our id of a message knows its day: no other is looked into, however many days
// are kept.
func TestAnIDLeadsToItsDay(t *testing.T) {
	w, _ := sealedWorld(t)
	m := w.secret()
	w.accept(m)
	found, err := w.Load(context.Background(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	if d := difference(found, m); d != "" {
		t.Error(d)
	}
	if _, err := w.Load(context.Background(), uuid.Must(uuid.NewV7())); !errors.Is(err, adapter.ErrNotFound) {
		t.Errorf("a message that is not there: %v", err)
	}
	of, err := w.TracesOf(context.Background(), []uuid.UUID{m.ID, uuid.Must(uuid.NewV7())}, nil)
	if err != nil || of[m.ID.String()] == "" || len(of) != 1 {
		t.Errorf("traces %v, %v", of, err)
	}
	conn := w.conn()
	var lines []string
	for _, sql := range []string{"SET plan_cache_mode = force_generic_plan", "PREPARE traces (uuid[], uuid, uuid) AS " + postgres.TracesSQL} {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	rows, _ := conn.Query(context.Background(), fmt.Sprintf("EXPLAIN (ANALYZE) EXECUTE traces ('{%[1]s}', '%[1]s', '%[1]s')", m.ID), pgx.QueryExecModeSimpleProtocol)
	if lines, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		t.Fatal(err)
	}
	plan := strings.Join(lines, "\n")
	if n := strings.Count(plan, " on message_"); n != 1 || !strings.Contains(plan, "Subplans Removed") {
		t.Errorf("%d days are looked into, want the message's own:\n%s", n, plan)
	}
}
