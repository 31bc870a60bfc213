-- +goose Up

-- What the entries of a stretch of the log come to, by day and combination, packed
-- (adapter/postgres/journal_sums.go). A time that begins or ends within a day is counted by
-- these, and only at its ends by the entries themselves.
CREATE TABLE journal_sum (
    first   bigint PRIMARY KEY,
    entries int NOT NULL CHECK (entries > 0),
    sums    bytea NOT NULL
);
ALTER TABLE journal_sum ALTER COLUMN sums SET STORAGE EXTERNAL;

-- +goose Down
DROP TABLE journal_sum;
