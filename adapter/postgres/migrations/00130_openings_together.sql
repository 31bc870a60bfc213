-- +goose Up

-- journal_opening.sealed has all its values in one box (journal_opening.go). A week after
-- this migration, as long as an upgrade may take; at once in a database that is made by
-- this release.
INSERT INTO release_gate (name, since)
SELECT 'openings together', CASE WHEN EXISTS (SELECT FROM journal_head) OR EXISTS (SELECT FROM message) THEN now() + interval '7 days' ELSE '-infinity' END;

-- +goose Down

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM journal_opening WHERE substring(sealed, 1, 4) = '\x0000ff7f') THEN
        RAISE EXCEPTION 'there are values that the release before cannot open';
    END IF;
END
$$;
-- +goose StatementEnd
DELETE FROM release_gate WHERE name = 'openings together';
