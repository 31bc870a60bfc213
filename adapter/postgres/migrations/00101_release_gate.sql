-- +goose Up

-- When something of this release begins that nodes of the release before cannot read: a
-- week after the migration, as long as an upgrade may take; at once in a database that
-- is made by this release. Rows are never removed.
CREATE TABLE release_gate (
    name  text NOT NULL PRIMARY KEY,
    since timestamptz NOT NULL
);

-- Events that wait, packed (journal.Event.Pack), in a third of the bytes. A row has one
-- of the two. Rows leave with the batch of the sequencer that takes them up.
ALTER TABLE journal_pending ADD COLUMN packed bytea, ALTER COLUMN event DROP NOT NULL;

-- message.parts says how many bytes behind the body have the parts of a message, packed
-- with it: the declarations in them stand in the body too.

-- journal_opening.sealed has fields as numbers and no classes, and its values are
-- shortened before they are sealed.

INSERT INTO release_gate (name, since)
SELECT unnest(ARRAY['packed events', 'parts behind bodies', 'short openings']),
    CASE WHEN EXISTS (SELECT FROM journal_head) OR EXISTS (SELECT FROM message) THEN now() + interval '7 days' ELSE '-infinity' END;

-- +goose Down

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM journal_pending WHERE packed IS NOT NULL) THEN
        RAISE EXCEPTION 'events wait that the release before cannot read: let the journal take them up first';
    END IF;
    IF EXISTS (SELECT FROM message WHERE parts ? 't') THEN
        RAISE EXCEPTION 'there are messages whose parts the release before cannot read';
    END IF;
    IF EXISTS (SELECT FROM journal_opening WHERE get_byte(sealed, 0) = 0 AND get_byte(sealed, 1) = 0) THEN
        RAISE EXCEPTION 'there are values that the release before cannot open';
    END IF;
END
$$;
-- +goose StatementEnd
ALTER TABLE journal_pending DROP COLUMN packed, ALTER COLUMN event SET NOT NULL;
DROP TABLE release_gate;
