-- +goose Up

-- What many messages say alike (kinds.go). Rows are never removed: messages name them.
CREATE TABLE message_kind (
    id          bigint NOT NULL PRIMARY KEY, -- the beginning of a digest of the rest
    sender      text NOT NULL,
    direction   text NOT NULL,
    recipients  text NOT NULL, -- JSON, as message.recipients
    service     text NOT NULL,
    version     text NOT NULL,
    root        int NOT NULL,
    vip         bool NOT NULL,
    test        bool NOT NULL,
    wire        text NOT NULL,
    certificate bytea NOT NULL
);

-- Where kind says which it is, these columns of message are empty; parts, reply_to,
-- original, reference and transaction_code are empty where there is nothing to say. A week
-- after this migration, as long as an upgrade may take; at once in a database that is made
-- by this release.
ALTER TABLE message ADD COLUMN kind bigint,
    ALTER COLUMN sender DROP NOT NULL, ALTER COLUMN direction DROP NOT NULL, ALTER COLUMN recipients DROP NOT NULL, ALTER COLUMN service DROP NOT NULL,
    ALTER COLUMN version DROP NOT NULL, ALTER COLUMN root DROP NOT NULL, ALTER COLUMN vip DROP NOT NULL, ALTER COLUMN test DROP NOT NULL,
    ALTER COLUMN wire DROP NOT NULL, ALTER COLUMN certificate DROP NOT NULL, ALTER COLUMN parts DROP NOT NULL, ALTER COLUMN reply_to DROP NOT NULL,
    ALTER COLUMN original DROP NOT NULL, ALTER COLUMN reference DROP NOT NULL, ALTER COLUMN transaction_code DROP NOT NULL;
INSERT INTO release_gate (name, since)
SELECT 'kinds of messages', CASE WHEN EXISTS (SELECT FROM journal_head) OR EXISTS (SELECT FROM message) THEN now() + interval '7 days' ELSE '-infinity' END;

-- +goose Down

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM message WHERE kind IS NOT NULL) THEN
        RAISE EXCEPTION 'there are messages whose sender, service and recipients the release before cannot read';
    END IF;
END
$$;
-- +goose StatementEnd
ALTER TABLE message DROP COLUMN kind,
    ALTER COLUMN sender SET NOT NULL, ALTER COLUMN direction SET NOT NULL, ALTER COLUMN recipients SET NOT NULL, ALTER COLUMN service SET NOT NULL,
    ALTER COLUMN version SET NOT NULL, ALTER COLUMN root SET NOT NULL, ALTER COLUMN vip SET NOT NULL, ALTER COLUMN test SET NOT NULL,
    ALTER COLUMN wire SET NOT NULL, ALTER COLUMN certificate SET NOT NULL, ALTER COLUMN parts SET NOT NULL, ALTER COLUMN reply_to SET NOT NULL,
    ALTER COLUMN original SET NOT NULL, ALTER COLUMN reference SET NOT NULL, ALTER COLUMN transaction_code SET NOT NULL;
DROP TABLE message_kind;
DELETE FROM release_gate WHERE name = 'kinds of messages';
