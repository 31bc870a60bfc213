-- +goose Up

-- A node of before blocks that archives rows brings the daily totals up to the log's
-- size first, and counts no entry that is in a block: those would be missing for ever. So
-- whoever brings totals beyond the first block says in its transaction that it reads
-- blocks. A week after this migration, as long as an upgrade may take.
INSERT INTO release_gate (name, since)
SELECT 'totals of blocks', CASE WHEN EXISTS (SELECT FROM journal_head) OR EXISTS (SELECT FROM message) THEN now() + interval '7 days' ELSE '-infinity' END;

-- +goose StatementBegin
CREATE FUNCTION journal_totals_closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('mezhved.blocks', true) IS DISTINCT FROM 'read' AND EXISTS (SELECT FROM release_gate WHERE name = 'totals of blocks' AND since <= now()) THEN
        RAISE EXCEPTION 'the entries of this journal are kept in blocks now: the release of this node is too old to count them, upgrade it' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER journal_totals_closed BEFORE UPDATE OF tallied ON journal_head FOR EACH ROW
    WHEN (NEW.tallied > OLD.tallied AND NEW.tallied > OLD.blocks) EXECUTE FUNCTION journal_totals_closed();

-- +goose Down
DROP TRIGGER journal_totals_closed ON journal_head;
DROP FUNCTION journal_totals_closed;
DELETE FROM release_gate WHERE name = 'totals of blocks';
