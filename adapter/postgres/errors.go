package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"mezhved/adapter"
)

// UnknownError says that a message may or may not have been accepted: the
// database did not answer in time. Sent again with the same MessageID it is
// accepted if it was not, and answered as a duplicate if it was.
type UnknownError struct {
	MessageID adapter.MessageID
	Err       error
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("whether message %s was accepted is unknown: send it again with the same MessageID: %v", e.MessageID, e.Err)
}

// Unwrap gives the cause.
func (e *UnknownError) Unwrap() error { return e.Err }

// trouble says what is to be done about an error of the database.
type trouble int

const (
	broken  trouble = iota // ours or the administrator's to mend; repeating does not help
	passing                // the same statement may succeed soon, its last run may have committed
	data                   // a row that PostgreSQL will never take
)

// classify sorts an error by its SQLSTATE. Anything that is not an answer of
// the server is a lost connection.
func classify(err error) trouble {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return passing
	}
	switch {
	case strings.HasPrefix(pg.Code, "08"), // connection
		strings.HasPrefix(pg.Code, "53"), // disk full, out of memory, too many connections
		strings.HasPrefix(pg.Code, "57"), // statement timeout, shutdown, starting up
		strings.HasPrefix(pg.Code, "58"), // i/o error
		strings.HasPrefix(pg.Code, "40"), // serialization, deadlock
		pg.Code == "55P03",               // lock timeout
		pg.Code == readOnlyCode:          // a standby about to be promoted
		return passing
	case strings.HasPrefix(pg.Code, "22"), strings.HasPrefix(pg.Code, "23"):
		return data
	default:
		return broken
	}
}

// uncertain tells whether the statement that ended in err may have committed
// all the same. An answer of the server says that it has not, except when the
// server was told to end: that may come after the commit. Neither has one that
// was not sent.
func uncertain(err error) bool {
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &pg):
		return strings.HasPrefix(pg.Code, "57P") || strings.HasPrefix(pg.Code, "08")
	case errors.As(err, &connect), pgconn.SafeToRetry(err):
		return false
	}
	return true
}

// answered tells whether a server that is there, and stays there, has refused: not
// one that ends, starts or is a standby, nor a lost connection.
func answered(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && !strings.HasPrefix(pg.Code, "08") && !strings.HasPrefix(pg.Code, "57P") && pg.Code != readOnlyCode
}

// isCode tells whether err is an answer of the server with this SQLSTATE.
func isCode(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}

// violates tells whether err is the server's refusal under a constraint.
func violates(err error, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.ConstraintName == constraint
}

// readOnlyCode is the SQLSTATE of a write where none are taken.
const readOnlyCode = "25006"

// raisedCode is of what a function raises without a code of its own.
const raisedCode = "P0001"

// explained says of a refused write at the start what an operator can do about it.
func explained(err error) error {
	if isCode(err, readOnlyCode) {
		return fmt.Errorf("this server takes no writes, being a standby or read-only (default_transaction_read_only): name the primary, or all servers with target_session_attrs=read-write: %w", err)
	}
	return err
}
