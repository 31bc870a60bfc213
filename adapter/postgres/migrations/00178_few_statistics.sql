-- +goose Up

-- ANALYZE reads three hundred rows for each value that it may keep of a column, and sorts
-- them by each column. What is found by its key alone has plans that do not hang on the
-- values: of ten of them it is told in a tenth of the time that there are many different ones.
-- Partitions that are made later take these settings over (adapter/postgres/days.go).
-- +goose StatementBegin
DO $$
DECLARE c record;
BEGIN
    FOR c IN SELECT attrelid::regclass AS of, attname FROM pg_attribute
        WHERE attrelid IN ('message'::regclass, 'attachment'::regclass, 'answered'::regclass, 'placed'::regclass, 'receipt'::regclass, 'used_id'::regclass,
            'open_term'::regclass, 'journal_block'::regclass, 'journal_opening'::regclass)
        AND attnum > 0 AND NOT attisdropped AND coalesce(attstattarget, -1) < 0
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 10', c.of, c.attname);
    END LOOP;
END
$$;
-- +goose StatementEnd
ALTER INDEX message_trace ALTER COLUMN 1 SET STATISTICS 0; -- as the column, since 00131

-- A row of these has hundreds of entries of the log, and each is read for its keys. They
-- grew by a tenth every few seconds while they were young.
-- +goose StatementBegin
DO $$
DECLARE t regclass;
BEGIN
    FOR t IN SELECT inhrelid FROM pg_inherits WHERE inhparent IN ('journal_block'::regclass, 'journal_opening'::regclass) LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_analyze_scale_factor = 0.5, autovacuum_analyze_threshold = 2000, autovacuum_vacuum_insert_scale_factor = 0.5, autovacuum_vacuum_insert_threshold = 2000)', t);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
DECLARE t regclass; c record;
BEGIN
    FOR t IN SELECT inhrelid FROM pg_inherits WHERE inhparent IN ('journal_block'::regclass, 'journal_opening'::regclass) LOOP
        EXECUTE format('ALTER TABLE %s RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold, autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_insert_threshold)', t);
    END LOOP;
    FOR c IN SELECT attrelid::regclass AS of, attname FROM pg_attribute
        WHERE attrelid IN ('message'::regclass, 'attachment'::regclass, 'answered'::regclass, 'placed'::regclass, 'receipt'::regclass, 'used_id'::regclass,
            'open_term'::regclass, 'journal_block'::regclass, 'journal_opening'::regclass)
        AND attnum > 0 AND NOT attisdropped AND attstattarget = 10 AND attname NOT IN ('keys', 'tokens')
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS -1', c.of, c.attname);
    END LOOP;
END
$$;
-- +goose StatementEnd
ALTER INDEX message_trace ALTER COLUMN 1 SET STATISTICS -1;
