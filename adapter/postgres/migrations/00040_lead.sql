-- +goose Up

-- Who does what only one node may do at a time, and until when: a lease. Times
-- are of the database's clock alone. Whoever leads proves holder and epoch in the
-- transaction of each of his writes, so that what a deposed leader commits late
-- fails. The rows are for ever these; a term that has run out stays until the next.
CREATE TABLE lead (
    work   text NOT NULL PRIMARY KEY,
    epoch  bigint NOT NULL DEFAULT 0,  -- counts the terms
    holder uuid,                       -- one run of one node
    node   text NOT NULL DEFAULT '',   -- its name, for people
    until  timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
INSERT INTO lead (work) VALUES ('journal'), ('feed'), ('relay-0'), ('relay-1'), ('relay-2'), ('relay-3');

-- How long an event has waited is asked of this one clock, too.
ALTER TABLE journal_pending ADD COLUMN at timestamptz NOT NULL DEFAULT now();

-- +goose Down
ALTER TABLE journal_pending DROP COLUMN at;
DROP TABLE lead;
