-- +goose Up

-- Most events are written and read whole. As json they go in and come out as they
-- are; jsonb takes them apart and puts them together again.
ALTER TABLE journal_pending ALTER COLUMN event TYPE json;

-- +goose Down
ALTER TABLE journal_pending ALTER COLUMN event TYPE jsonb;
