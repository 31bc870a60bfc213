-- +goose Up

-- journal_block.leaves that begin with the byte 1 are packed by columns (journal_leaves.go).
-- A week after this migration, as long as an upgrade may take; at once in a database that
-- is made by this release.
INSERT INTO release_gate (name, since)
SELECT 'packed leaves', CASE WHEN EXISTS (SELECT FROM journal_head) OR EXISTS (SELECT FROM message) THEN now() + interval '7 days' ELSE '-infinity' END;

-- +goose Down

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM journal_block WHERE get_byte(leaves, 0) = 1) THEN
        RAISE EXCEPTION 'there are blocks of entries that the release before cannot read';
    END IF;
END
$$;
-- +goose StatementEnd
DELETE FROM release_gate WHERE name = 'packed leaves';
