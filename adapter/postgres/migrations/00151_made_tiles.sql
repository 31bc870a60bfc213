-- +goose Up

-- journal_tile has no tiles of level 0 any more whose entries are in blocks: they are made
-- of the leaves there, until these go to the archive and leave their hashes here. A week
-- after this migration, as long as an upgrade may take; at once in a database that is made
-- by this release.
INSERT INTO release_gate (name, since)
SELECT 'made tiles', CASE WHEN EXISTS (SELECT FROM journal_head) OR EXISTS (SELECT FROM message) THEN now() + interval '7 days' ELSE '-infinity' END;

-- +goose Down

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM journal_block WHERE NOT EXISTS (SELECT FROM journal_tile WHERE level = 0 AND n = first / 256)) THEN
        RAISE EXCEPTION 'there are entries whose hashes the release before would look for in journal_tile';
    END IF;
END
$$;
-- +goose StatementEnd
DELETE FROM release_gate WHERE name = 'made tiles';
