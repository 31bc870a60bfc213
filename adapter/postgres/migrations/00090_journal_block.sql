-- +goose Up

LOCK TABLE journal_head; -- as the sequencer does, first: no batch comes in between

-- Entries in blocks (journal_block.go): a finished one has 256 and never changes,
-- as the bundle of them that a log of tiles serves, compressed. What a block is
-- found by are digests of the ids and certificates in it.
CREATE TABLE journal_block (
    first   bigint NOT NULL PRIMARY KEY, -- index of its first entry, a multiple of entries
    entries int NOT NULL,                -- 256
    logged  timestamptz[] NOT NULL,      -- when each of them was logged
    keys    bigint[] NOT NULL,           -- blockKey of what its entries are found by
    columns bytea NOT NULL,              -- zstd of what they are counted by (blockColumns)
    leaves  bytea NOT NULL               -- zstd of the bundle
) PARTITION BY RANGE (first);
ALTER TABLE journal_block ALTER COLUMN leaves SET STORAGE EXTERNAL, -- compressed already
    ALTER COLUMN columns SET STORAGE EXTERNAL, ALTER COLUMN keys SET STORAGE EXTERNAL; -- digests do not compress
CREATE INDEX journal_block_keys ON journal_block USING gin (keys) WITH (fastupdate = off); -- else the sequencer would wait for others' keys now and then

-- Entries behind the last finished block, each batch of the sequencer in a row: a
-- finished block takes them up. Few at any time, and read whole.
CREATE TABLE journal_piece (
    first   bigint NOT NULL PRIMARY KEY,
    entries int NOT NULL,
    logged  timestamptz[] NOT NULL,
    leaves  bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 4000);
ALTER TABLE journal_piece ALTER COLUMN leaves SET STORAGE EXTERNAL;

-- Entries from "blocks" on are in blocks, those before it in journal_entry; empty:
-- all are there. Nodes of before do not see what is in blocks: they begin a week after
-- this migration, as long as an upgrade may take; in a log that is begun later, at once.
ALTER TABLE journal_head ADD COLUMN blocks bigint, ADD COLUMN blocks_since timestamptz NOT NULL DEFAULT '-infinity';
UPDATE journal_head SET blocks_since = now() + interval '7 days';

-- When an entry was logged, wherever it is.
-- +goose StatementBegin
CREATE FUNCTION journal_logged(i bigint) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT e.logged FROM journal_entry e WHERE e.idx = i),
        (SELECT b.logged[i - b.first + 1] FROM journal_block b WHERE b.first = i / 256 * 256),
        (SELECT p.logged[i - p.first + 1] FROM journal_piece p WHERE p.first <= i AND i < p.first + p.entries))
$$;
-- +goose StatementEnd

CREATE TRIGGER journal_block_append_only BEFORE UPDATE OR DELETE ON journal_block FOR EACH ROW EXECUTE FUNCTION journal_refuse();

-- A node that has missed the upgrade must not put entries where nobody looks.
-- +goose StatementBegin
CREATE FUNCTION journal_entry_closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT max(idx) FROM journal_entry) >= (SELECT blocks FROM journal_head) THEN
        RAISE EXCEPTION 'the entries of this journal are kept in blocks now: the release of this node is too old for it, upgrade it' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER journal_entry_closed AFTER INSERT ON journal_entry FOR EACH STATEMENT EXECUTE FUNCTION journal_entry_closed();

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mezhved_auditor') THEN
        GRANT SELECT ON journal_block, journal_piece TO mezhved_auditor;
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down

-- What is in blocks cannot be unpacked here: going back is possible until they begin.
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM journal_block) OR EXISTS (SELECT FROM journal_piece) THEN
        RAISE EXCEPTION 'entries of the journal are kept in blocks, which the release before cannot read';
    END IF;
END
$$;
-- +goose StatementEnd
DROP TRIGGER journal_entry_closed ON journal_entry;
DROP FUNCTION journal_entry_closed, journal_logged;
ALTER TABLE journal_head DROP COLUMN blocks, DROP COLUMN blocks_since;
DROP TABLE journal_piece, journal_block;
