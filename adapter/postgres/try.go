package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// try does, in transactions that are rolled back, what a gateway will do, and says
// what it cannot. Rights that are only read from a catalogue are not enough: a
// server may be read-only, a schema missing, a pooler in between.
func (x *Examination) try(ctx context.Context, pool *sessions) error {
	var user, schema string
	var standby, readOnly bool
	err := pool.QueryRow(ctx, "SELECT current_user, coalesce(current_schema(), ''), pg_is_in_recovery(), current_setting('transaction_read_only')::bool").Scan(&user, &schema, &standby, &readOnly)
	switch {
	case err != nil:
		return err
	case standby:
		x.bad("standby-server", "this server is a standby and takes no writes: name the primary, or all servers with target_session_attrs=read-write")
	case readOnly:
		x.bad("read-only", "sessions are read-only (default_transaction_read_only is on for this server, database or role "+user+"): nothing could be accepted; set it off")
	case schema == "":
		x.bad("no-schema", "there is no schema to make tables in: search_path of role "+user+" names none that is there")
	}
	x.ReadOnly = standby || readOnly
	if err := x.trySettings(ctx, pool); err != nil {
		return err
	}
	if x.ReadOnly || schema == "" {
		return nil
	}
	if err := x.tryWork(ctx, pool); err != nil {
		x.bad("rights", fmt.Sprintf("role %s cannot do in schema %s what a gateway does: %v; let it own the schema, or GRANT CREATE, USAGE ON SCHEMA %s TO %s", user, schema, err, schema, user))
	}
	return x.tryTables(ctx, pool, user)
}

// trySettings looks whether transactions have the bounds that a gateway relies on,
// several of them: a pooler may give each of them another session.
func (x *Examination) trySettings(ctx context.Context, pool *sessions) error {
	off := map[string]bool{}
	for range 3 {
		err := rolledBack(ctx, pool, func(tx pgx.Tx) error {
			for _, name := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} {
				var have string
				if err := tx.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&have); err != nil {
					return err
				}
				if have == "0" {
					off[name] = true
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("transactions one after another: %w", err)
		}
	}
	if len(off) > 0 {
		x.bad("timeouts-off", fmt.Sprintf("%s would be off in a gateway's transactions, and one that hangs would hold up all others: the connection string, or what stands between gateway and PostgreSQL, turns it off; leave it out there",
			strings.Join(slices.Sorted(maps.Keys(off)), ", ")))
	}
	return nil
}

// tryWork makes, writes, locks and changes tables like ours.
func (x *Examination) tryWork(ctx context.Context, pool *sessions) error {
	return rolledBack(ctx, pool, func(tx pgx.Tx) error {
		for _, step := range []struct{ what, sql string }{
			{"make a table", "CREATE TABLE mezhved_doctor (id uuid PRIMARY KEY, event json NOT NULL) PARTITION BY RANGE (id)"},
			{"make a partition", "CREATE TABLE mezhved_doctor_1 (LIKE mezhved_doctor INCLUDING ALL); ALTER TABLE mezhved_doctor ATTACH PARTITION mezhved_doctor_1 DEFAULT"},
			{"make a trigger", "CREATE FUNCTION mezhved_doctor() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER mezhved_doctor AFTER DELETE ON mezhved_doctor FOR EACH ROW EXECUTE FUNCTION mezhved_doctor()"},
			{"write a row", "INSERT INTO mezhved_doctor VALUES (gen_random_uuid(), '{}')"},
			{"lock a row", "SELECT FROM mezhved_doctor FOR UPDATE SKIP LOCKED"},
			{"take an advisory lock", fmt.Sprintf("SELECT pg_advisory_xact_lock(%d, 0)", lockDoctor)},
			{"change a row", "UPDATE mezhved_doctor SET event = '[]'"},
			{"drop a partition", "DROP TABLE mezhved_doctor_1"},
		} {
			if _, err := tx.Exec(ctx, step.sql, pgx.QueryExecModeSimpleProtocol); err != nil {
				return fmt.Errorf("%s: %w", step.what, err)
			}
		}
		return nil
	})
}

// lockDoctor is an advisory lock that nobody else takes.
const lockDoctor = 0x6d7a_646f

var createTable = regexp.MustCompile(`(?m)^CREATE TABLE (\w+)`)

// tables are those that the migrations make.
func tables() (names []string, err error) {
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		src, err := migrations.ReadFile("migrations/" + f.Name())
		if err != nil {
			return nil, err
		}
		for _, m := range createTable.FindAllStringSubmatch(string(src), -1) {
			names = append(names, m[1])
		}
	}
	return names, nil
}

// tryTables looks at the tables that are there already: a gateway writes to all of
// them and makes and drops partitions, for which it must own them.
func (x *Examination) tryTables(ctx context.Context, pool *sessions, user string) error {
	names, err := tables()
	if err != nil {
		return err
	}
	rows, _ := pool.Query(ctx, `SELECT c.relname::text, r.rolname::text, pg_has_role(c.relowner, 'USAGE'),
		has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')
		FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
		WHERE c.oid = ANY (SELECT to_regclass(t) FROM unnest($1::text[]) t) ORDER BY 1`, names)
	var name, owner string
	var owns, writes bool
	var cannotWrite, notOurs []string
	_, err = pgx.ForEachRow(rows, []any{&name, &owner, &owns, &writes}, func() error {
		switch {
		case !writes:
			cannotWrite = append(cannotWrite, name)
		case !owns:
			notOurs = append(notOurs, name+" ("+owner+")")
		}
		return nil
	})
	if len(cannotWrite) > 0 {
		x.bad("tables-not-ours", fmt.Sprintf("role %s may not read and write the tables %s: connect as their owner", user, strings.Join(cannotWrite, ", ")))
	}
	if len(notOurs) > 0 {
		x.bad("tables-not-owned", fmt.Sprintf("role %s does not own the tables %s, and so can neither upgrade them nor make their partitions: connect as the owner, or GRANT the owner's role TO %s", user, strings.Join(notOurs, ", "), user))
	}
	return err
}

// rolledBack runs a transaction of which nothing stays.
func rolledBack(ctx context.Context, pool *sessions, work func(pgx.Tx) error) error {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return err
	}
	err = work(tx)
	return errors.Join(err, tx.Rollback(context.WithoutCancel(ctx)))
}
