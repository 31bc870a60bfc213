-- +goose Up

-- The incarnation of the topic that next is a place in; empty: not known yet.
ALTER TABLE journal_feed ADD COLUMN epoch text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE journal_feed DROP COLUMN epoch;
