-- +goose Up

-- message.body and receipt.body of rows whose codec has 32 in it are woven in the round form
-- and pressed (press.go). A week after this migration, as long as an upgrade may take; at
-- once in a database that is made by this release.
INSERT INTO release_gate (name, since)
SELECT 'pressed', CASE WHEN EXISTS (SELECT FROM journal_head) OR EXISTS (SELECT FROM message) THEN now() + interval '7 days' ELSE '-infinity' END;

-- +goose Down

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM message WHERE codec & 32 <> 0) OR EXISTS (SELECT FROM receipt WHERE codec & 32 <> 0) THEN
        RAISE EXCEPTION 'there are messages or receipts that the release before cannot read';
    END IF;
END
$$;
-- +goose StatementEnd
DELETE FROM release_gate WHERE name = 'pressed';
