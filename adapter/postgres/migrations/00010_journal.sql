-- +goose Up

-- Where the log stands: one row, locked by whoever appends.
CREATE TABLE journal_head (
    one          bool PRIMARY KEY DEFAULT true CHECK (one),
    origin       text NOT NULL,
    epoch        bigint NOT NULL,
    size         bigint NOT NULL,
    root         bytea NOT NULL,
    logged       timestamptz,
    period_from  bigint NOT NULL,
    period_start timestamptz,
    totals       jsonb NOT NULL,
    stopped      text NOT NULL DEFAULT '',
    partition    bigint NOT NULL DEFAULT 4194304, -- entries to a partition, a multiple of 65536: one tile of level 1
    dropped      bigint NOT NULL DEFAULT 0        -- entries below this one were archived
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The entries: the leaf as it is hashed, and columns to find it by, which are
-- only a copy of what the leaf says. Partitions are made by the sequencer.
-- Entries are in the order of logged, so a range of time is a range of idx.
CREATE TABLE journal_entry (
    idx         bigint NOT NULL PRIMARY KEY,
    logged      timestamptz NOT NULL,
    kind        text NOT NULL,
    message     text NOT NULL,
    message_id  text NOT NULL,
    original    text NOT NULL,
    sender      text NOT NULL,
    recipient   text NOT NULL,
    service     text NOT NULL,
    version     text NOT NULL,
    outcome     text NOT NULL,
    incident    text NOT NULL,
    certificate text NOT NULL,
    leaf        bytea NOT NULL
) PARTITION BY RANGE (idx);
CREATE INDEX journal_entry_message ON journal_entry (message, idx) WHERE message <> '';
CREATE INDEX journal_entry_sender ON journal_entry (sender, idx) WHERE sender <> '';
CREATE INDEX journal_entry_recipient ON journal_entry (recipient, idx) WHERE recipient <> '';
CREATE INDEX journal_entry_service ON journal_entry (service, version, idx) WHERE service <> '';
-- Every message begins with one of these two; the rest of it is found by message.
CREATE INDEX journal_entry_message_id ON journal_entry (message_id, idx) WHERE kind IN ('accepted', 'refused') AND message_id <> '';
CREATE INDEX journal_entry_original ON journal_entry (original, idx) WHERE kind IN ('accepted', 'refused') AND original <> '';
CREATE INDEX journal_entry_certificate ON journal_entry (certificate, idx) WHERE certificate <> '';
CREATE INDEX journal_entry_incident ON journal_entry (incident, idx) WHERE incident <> '';
CREATE INDEX journal_entry_outcome ON journal_entry (outcome, idx) WHERE outcome NOT IN ('', 'ok');
CREATE INDEX journal_entry_kind ON journal_entry (kind, idx)
    WHERE kind NOT IN ('accepted', 'routed', 'queued', 'delivered', 'acknowledged', 'answered');

-- Counts by day, so that counting a billion entries does not read them.
CREATE TABLE journal_total (
    day       date NOT NULL, -- UTC, of logged
    kind      text NOT NULL,
    sender    text NOT NULL,
    recipient text NOT NULL,
    service   text NOT NULL,
    version   text NOT NULL,
    outcome   text NOT NULL,
    entries   bigint NOT NULL,
    PRIMARY KEY (day, kind, sender, recipient, service, version, outcome)
) WITH (fillfactor = 50);

-- Values and salts behind the commitments, sealed. One partition for each key of
-- the vault (class and month), made by the sequencer, dropped with the key.
CREATE TABLE journal_open (
    key   text NOT NULL,
    idx   bigint NOT NULL,
    field text NOT NULL,
    class text NOT NULL,
    box   bytea NOT NULL,
    blind bytea NOT NULL,
    PRIMARY KEY (idx, field, key)
) PARTITION BY LIST (key);
CREATE INDEX journal_open_blind ON journal_open (blind) WHERE blind <> '';

-- Finished tiles never change. The unfinished ones of the right edge, one for each
-- level, are written again with every batch: apart, so that only a handful of rows
-- ever needs vacuuming.
CREATE TABLE journal_tile (
    level smallint NOT NULL,
    n     bigint NOT NULL,
    data  bytea NOT NULL,
    PRIMARY KEY (level, n)
);
ALTER TABLE journal_tile ALTER COLUMN data SET STORAGE EXTERNAL; -- hashes do not compress

CREATE TABLE journal_edge (
    level smallint NOT NULL PRIMARY KEY,
    n     bigint NOT NULL,
    data  bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 4000);
ALTER TABLE journal_edge ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE journal_counter (
    party    text NOT NULL PRIMARY KEY,
    sent     bigint NOT NULL,
    received bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE journal_checkpoint (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin text NOT NULL,
    size   bigint NOT NULL,
    root   bytea NOT NULL,
    signed timestamptz NOT NULL,
    note   bytea NOT NULL,
    cosigned bool NOT NULL -- by a quorum of witnesses
);
CREATE INDEX journal_checkpoint_latest ON journal_checkpoint (cosigned, id);
CREATE INDEX journal_checkpoint_signed ON journal_checkpoint (signed);

-- What was erased and must be erased again after a restore.
CREATE TABLE journal_erasure (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target bigint NOT NULL,
    fields text[] NOT NULL,
    ground text NOT NULL,
    at     timestamptz NOT NULL
);

-- The log is append-only for everybody who does not disable these on purpose.
-- +goose StatementBegin
CREATE FUNCTION journal_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only: % of % refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER journal_entry_append_only BEFORE UPDATE OR DELETE ON journal_entry FOR EACH ROW EXECUTE FUNCTION journal_refuse();
CREATE TRIGGER journal_tile_append_only BEFORE UPDATE OR DELETE ON journal_tile FOR EACH ROW EXECUTE FUNCTION journal_refuse();

-- A role that exists already gets no more than the gateway needs; who made the
-- database decides whether the gateway runs under it.
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mezhved_auditor') THEN
        GRANT SELECT ON journal_head, journal_entry, journal_total, journal_tile, journal_edge, journal_counter, journal_checkpoint, journal_erasure TO mezhved_auditor;
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP TABLE journal_erasure, journal_checkpoint, journal_counter, journal_edge, journal_tile, journal_open, journal_total, journal_entry, journal_head;
DROP FUNCTION journal_refuse;
