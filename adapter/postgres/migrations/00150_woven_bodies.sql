-- +goose Up

-- message.body of rows whose codec has 16 in it is woven, with the message's parts and its
-- reply address (woven.go). A week after this migration, as long as an upgrade may take; at
-- once in a database that is made by this release.
INSERT INTO release_gate (name, since)
SELECT 'woven bodies', CASE WHEN EXISTS (SELECT FROM journal_head) OR EXISTS (SELECT FROM message) THEN now() + interval '7 days' ELSE '-infinity' END;

-- +goose Down

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM message WHERE codec & 16 <> 0) THEN
        RAISE EXCEPTION 'there are messages whose bodies the release before cannot read';
    END IF;
END
$$;
-- +goose StatementEnd
DELETE FROM release_gate WHERE name = 'woven bodies';
