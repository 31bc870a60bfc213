-- +goose Up

-- With which operation a signed poll came first, until its Timestamp is too old
-- for it to come again: the operation is not under the signature. Unlogged: after
-- a crash of the database polls of the last minutes are unknown, and nothing else
-- is lost. The sweep removes what is over.
CREATE UNLOGGED TABLE poll_use (
    mark      bytea NOT NULL PRIMARY KEY, -- signing.Signed.Mark
    operation text NOT NULL,
    until     timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX poll_use_until ON poll_use (until);

-- +goose Down
DROP TABLE poll_use;
