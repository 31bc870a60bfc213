-- +goose Up

-- journal_block.keys of MessageIDs that have a time in them begin with it (timedKey in
-- journal_block.go). A week after this migration, as long as an upgrade may take; at once
-- in a database that is made by this release.
INSERT INTO release_gate (name, since)
SELECT 'timed keys', CASE WHEN EXISTS (SELECT FROM journal_head) OR EXISTS (SELECT FROM message) THEN now() + interval '7 days' ELSE '-infinity' END;

-- +goose Down

-- The release before looks for digests alone. Its own ids are found, and all that it writes
-- itself; what has begun is not taken back, or messages would not be found by their MessageIDs.
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM journal_block) AND (SELECT since <= now() FROM release_gate WHERE name = 'timed keys') THEN
        RAISE EXCEPTION 'there are blocks of entries that the release before would not find by their MessageIDs';
    END IF;
END
$$;
-- +goose StatementEnd
DELETE FROM release_gate WHERE name = 'timed keys';
