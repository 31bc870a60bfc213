-- +goose Up

-- receipt.body of rows whose codec has 8 in it is woven in a form that releases before do
-- not read (weave.go). A message's reply address stands with its parts behind the body, in
-- half the bytes, and message.reply_to is empty. Each begins a week after this migration,
-- as long as an upgrade may take; at once in a database that is made by this release.
INSERT INTO release_gate (name, since)
SELECT unnest(ARRAY['tight receipts', 'reply addresses behind bodies']),
    CASE WHEN EXISTS (SELECT FROM journal_head) OR EXISTS (SELECT FROM message) THEN now() + interval '7 days' ELSE '-infinity' END;

-- +goose Down

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM receipt WHERE codec & 8 <> 0) THEN
        RAISE EXCEPTION 'there are receipts that the release before cannot read';
    END IF;
    IF EXISTS (SELECT FROM message WHERE parts ? 'r') THEN
        RAISE EXCEPTION 'there are messages whose reply addresses the release before cannot read';
    END IF;
END
$$;
-- +goose StatementEnd
DELETE FROM release_gate WHERE name IN ('tight receipts', 'reply addresses behind bodies');
