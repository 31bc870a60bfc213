-- +goose Up

-- Content is sealed with keys of the vault (package vault), which is not in here:
-- codec + 2 says so of a body, an attachment or the bytes of a refused call, and
-- codec 4 that the bytes are gone. Rows of before stay as they are.
--
-- Which vault that is, and since when: nodes of before cannot read what is sealed,
-- so it begins a week after this migration, as long as an upgrade may take; in a
-- database that was made a moment ago, at once. A node without a vault puts it off
-- while it has not begun.
CREATE TABLE content_vault (
    one   bool PRIMARY KEY DEFAULT true CHECK (one),
    vault text NOT NULL DEFAULT '', -- its identity; empty: no node with a vault has come yet
    since timestamptz NOT NULL
) WITH (fillfactor = 10);
INSERT INTO content_vault (since) SELECT CASE
    WHEN EXISTS (SELECT FROM message) OR now()::timestamp - (SELECT min(tstamp) FROM goose_db_version) > interval '1 minute'
    THEN now() + interval '7 days' ELSE now() END;

-- Erasures that were carried out in this database: the same lines as in the vault's
-- register. Whichever of the two was restored from an older backup is held against
-- the other. Nothing removes these rows: they are what the database says about
-- content that it has no more.
CREATE TABLE content_erasure (
    id     uuid NOT NULL PRIMARY KEY,
    at     timestamptz NOT NULL,
    ground text NOT NULL,
    class  text NOT NULL DEFAULT '',    -- all of a class that came ...
    before timestamptz,                 -- ... before this
    line   jsonb NOT NULL,              -- vault.Erasure
    wiped  int NOT NULL DEFAULT 0,      -- rows of it without their bytes, of which the journal has not been told
    told   bool NOT NULL DEFAULT false
);
CREATE INDEX content_erasure_class ON content_erasure (class, before) WHERE class <> '';

-- Single messages and refused calls that were erased, and by which erasure.
CREATE TABLE content_erased (
    item    uuid NOT NULL PRIMARY KEY,
    erasure uuid NOT NULL
);

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mezhved_auditor') THEN
        GRANT SELECT ON content_erasure, content_erased TO mezhved_auditor;
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP TABLE content_erased, content_erasure, content_vault;
