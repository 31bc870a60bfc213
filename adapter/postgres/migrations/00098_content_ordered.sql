-- +goose Up

-- Erasures that were ordered and are not carried out yet, so that a crash in between
-- loses neither who ordered and confirmed one nor that values' keys went: the
-- transaction that carries it out, and tells the journal of it, removes the row. What
-- never came into the vault's register is removed after a day.
CREATE TABLE content_ordered (
    id        uuid NOT NULL PRIMARY KEY,      -- of the line in the vault's register
    at        timestamptz NOT NULL,
    ordered   text NOT NULL DEFAULT '',       -- by whom
    confirmed text NOT NULL DEFAULT '',
    keys      text[] NOT NULL DEFAULT '{}'    -- retention of values: the keys that go
);

-- What became of a proposal is kept as long as a proposal is, so that confirming twice
-- is the same as once.
ALTER TABLE content_order ADD COLUMN done jsonb;

-- +goose Down
ALTER TABLE content_order DROP COLUMN done;
DROP TABLE content_ordered;
