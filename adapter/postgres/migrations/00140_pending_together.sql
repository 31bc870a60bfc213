-- +goose Up

-- The events of one statement wait in one row, in their order, each packed or JSON as it
-- begins (journal.ParseRow); entries is how many. A row has events, or packed, or event:
-- the latter two hold one event and are of nodes before, and of this release's while such
-- nodes may be about (release_gate 'packed events').
ALTER TABLE journal_pending ADD COLUMN events bytea[], ADD COLUMN entries int NOT NULL DEFAULT 1;
ALTER TABLE journal_pending ALTER COLUMN events SET STATISTICS 0;

-- There are fewer rows, and larger ones.
ALTER TABLE journal_pending SET (autovacuum_vacuum_threshold = 500, toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 2000, toast.autovacuum_vacuum_cost_delay = 0);

-- What waits, an event to a row, in whatever form: n is its place in row id of
-- journal_pending, row the event itself, event the same of what is JSON, message whose it
-- is (null: nobody's).
CREATE VIEW journal_waiting AS
SELECT id, n, at, row, CASE WHEN get_byte(row, 0) <> 1 THEN convert_from(row, 'UTF8')::json END AS event,
    CASE WHEN get_byte(row, 0) = 1 THEN encode(substr(row, 2, 16), 'hex') ELSE nullif(convert_from(row, 'UTF8')::json->>'message', '') END::uuid AS message
FROM journal_pending, unnest(coalesce(events, ARRAY[coalesce(packed, convert_to(event::text, 'UTF8'))])) WITH ORDINALITY AS w (row, n);

-- +goose Down

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM journal_pending WHERE events IS NOT NULL) THEN
        RAISE EXCEPTION 'events wait that the release before cannot read: let the journal take them up first';
    END IF;
END
$$;
-- +goose StatementEnd
DROP VIEW journal_waiting;
ALTER TABLE journal_pending RESET (toast.autovacuum_vacuum_scale_factor, toast.autovacuum_vacuum_threshold, toast.autovacuum_vacuum_cost_delay);
ALTER TABLE journal_pending SET (autovacuum_vacuum_threshold = 5000);
ALTER TABLE journal_pending DROP COLUMN events, DROP COLUMN entries;
