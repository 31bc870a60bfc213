-- +goose Up

-- Checkpoints that a time-stamping authority (RFC 3161) has put its time to. They hold
-- no personal data. SaveTimestamp, which writes them, removes rows of its origin: those
-- older than 31 days but for the first of each hour, which covers all entries before it.
CREATE TABLE journal_timestamp (
    origin text NOT NULL,
    size   bigint NOT NULL,
    at     timestamptz NOT NULL, -- the authority's time
    note   bytea NOT NULL,       -- the signed checkpoint
    token  bytea NOT NULL,       -- DER
    PRIMARY KEY (origin, size)
);
CREATE INDEX journal_timestamp_at ON journal_timestamp (at);

-- +goose StatementBegin
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mezhved_auditor') THEN
        GRANT SELECT ON journal_timestamp TO mezhved_auditor;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP TABLE journal_timestamp;
