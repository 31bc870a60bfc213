-- +goose Up

-- Values and salts behind the commitments of entries that are in blocks
-- (journal_opening.go), as journal_open has them of those that are rows: of one batch,
-- one block and one key of the vault together. One partition for each key, made by the
-- sequencer, dropped with the key. What a row is found by are the beginnings of the
-- search tokens of its values.
CREATE TABLE journal_opening (
    key    text NOT NULL,
    block  bigint NOT NULL,   -- first entry of the block
    first  bigint NOT NULL,   -- first entry of the batch that is in the block
    tokens bigint[] NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (block, first, key)
) PARTITION BY LIST (key);
ALTER TABLE journal_opening ALTER COLUMN sealed SET STORAGE EXTERNAL, ALTER COLUMN tokens SET STORAGE EXTERNAL;
CREATE INDEX journal_opening_tokens ON journal_opening USING gin (tokens) WITH (fastupdate = off);

-- +goose Down

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM journal_opening) THEN
        RAISE EXCEPTION 'values of the journal are kept with blocks, which the release before cannot read';
    END IF;
END
$$;
-- +goose StatementEnd
DROP TABLE journal_opening;
