-- +goose Up

LOCK TABLE journal_head; -- as the sequencer does, first: no batch comes in between

-- What version 2 of the leaf says besides: the door, the chain, and whether the
-- message is a test. Entries of before have none of it.
ALTER TABLE journal_entry ADD COLUMN IF NOT EXISTS channel text NOT NULL DEFAULT '', ADD COLUMN IF NOT EXISTS reference text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS test bool NOT NULL DEFAULT false;

-- Entries that begin a message which names the one that its chain began with. A
-- table of its own, because an index would have to read the entries of before,
-- while nothing can be accepted, to find that none has a chain. Archiving removes
-- the rows of what it takes away.
CREATE TABLE IF NOT EXISTS journal_reference (
    reference text NOT NULL,
    idx       bigint NOT NULL,
    PRIMARY KEY (reference, idx)
);

-- Counts by day, as journal_total has them, which cannot tell these apart: nodes of
-- the release before add to its rows by their key. It stays theirs, up to
-- journal_head.rolled, and is to be dropped by the release after this one;
-- journal_tally goes up to journal_head.tallied. Rows are few, and stay as long as
-- the log does.
-- +goose StatementBegin
DO $$
BEGIN
    IF to_regclass('journal_tally') IS NOT NULL THEN
        RETURN;
    END IF;
    CREATE TABLE journal_tally (
        day       date NOT NULL, -- UTC, of logged
        kind      text NOT NULL,
        sender    text NOT NULL,
        recipient text NOT NULL,
        service   text NOT NULL,
        version   text NOT NULL,
        outcome   text NOT NULL,
        channel   text NOT NULL,
        test      bool NOT NULL,
        entries   bigint NOT NULL,
        first     bigint NOT NULL, -- index of the first entry of them, and of the last
        last      bigint NOT NULL,
        PRIMARY KEY (day, kind, sender, recipient, service, version, outcome, channel, test)
    ) WITH (fillfactor = 50);
    INSERT INTO journal_tally SELECT day, kind, sender, recipient, service, version, outcome, '', false, entries, first, last FROM journal_total;
    ALTER TABLE journal_head ADD COLUMN tallied bigint NOT NULL DEFAULT 0;
    UPDATE journal_head SET tallied = rolled;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mezhved_auditor') THEN
        GRANT SELECT ON journal_tally, journal_reference TO mezhved_auditor;
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down

-- Nothing goes: the release before does not mind what stands here, and what the
-- entries say would have to be read out of all leaves again on the way back up.
SELECT 1;
