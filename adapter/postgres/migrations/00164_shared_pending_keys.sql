-- +goose Up

-- Values that wait in journal_pending are sealed with a key that all those of one second
-- have (journal.PendingShared). A week after this migration, as long as an upgrade may take;
-- at once in a database that is made by this release.
INSERT INTO release_gate (name, since)
SELECT 'shared pending keys', CASE WHEN EXISTS (SELECT FROM journal_head) OR EXISTS (SELECT FROM message) THEN now() + interval '7 days' ELSE '-infinity' END;

-- +goose Down

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM journal_waiting WHERE position(convert_to('sealed:+', 'UTF8') IN row) > 0) THEN
        RAISE EXCEPTION 'values wait that the release before cannot open: let the journal take them up first';
    END IF;
END
$$;
-- +goose StatementEnd
DELETE FROM release_gate WHERE name = 'shared pending keys';
