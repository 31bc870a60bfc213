-- +goose Up

-- What reports need of the log in front of an entry (reports.Standing), so that one of a
-- month costs what a month costs: a row for every million entries, or less often where many
-- requests are open. All of it can be made again from the log. Rows go when the archive has
-- the entries in front of them and no report that begins behind the archive needs them; those
-- of other rules, that is of another release or calendar, 31 days after they were made.
CREATE TABLE journal_standing (
    rules    text NOT NULL,
    entries  bigint NOT NULL,
    next     bigint NOT NULL,
    latest   bigint NOT NULL, -- milliseconds
    last_due bigint NOT NULL, -- milliseconds
    open     bytea NOT NULL,
    kept     bytea NOT NULL,
    made     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (rules, entries)
);
ALTER TABLE journal_standing ALTER COLUMN open SET STORAGE EXTERNAL, ALTER COLUMN kept SET STORAGE EXTERNAL; -- compressed already

INSERT INTO lead (work) VALUES ('standing');

-- +goose Down
DELETE FROM lead WHERE work = 'standing';
DROP TABLE journal_standing;
