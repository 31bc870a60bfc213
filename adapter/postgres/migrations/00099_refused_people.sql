-- +goose Up

-- Whom a refused call was about, where its content was proved, waits for its place in
-- the journal sealed under the incident. Sequencers of before cannot open that: it
-- begins a week after this migration, as long as an upgrade may take; in a database
-- that was made a moment ago, at once.
ALTER TABLE content_vault ADD COLUMN refused timestamptz NOT NULL DEFAULT now() + interval '7 days';
UPDATE content_vault SET refused = now() WHERE NOT EXISTS (SELECT FROM message) AND now()::timestamp - (SELECT min(tstamp) FROM goose_db_version) <= interval '1 minute';

-- +goose Down
ALTER TABLE content_vault DROP COLUMN refused;
