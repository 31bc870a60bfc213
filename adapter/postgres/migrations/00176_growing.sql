-- +goose Up

-- What only grows is looked at by ANALYZE, and by VACUUM where it has no dead rows, when it
-- has grown by half, and not every few seconds while it is young. Its rows are read by their
-- keys, and for so few any plan will do. Days that are made later have this from the first
-- (adapter/postgres/days.go); to those that have ended nothing comes any more.
-- +goose StatementBegin
DO $$
DECLARE t regclass;
BEGIN
    FOR t IN SELECT c.oid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'used_id'::regclass OR i.inhparent IN ('message'::regclass, 'attachment'::regclass, 'answered'::regclass, 'placed'::regclass, 'receipt'::regclass)
        AND c.relname ~ '_[0-9]{8}$' AND right(c.relname, 8) >= to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')
    LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_analyze_scale_factor = 0.5, autovacuum_analyze_threshold = 50000, autovacuum_vacuum_insert_scale_factor = 0.5, autovacuum_vacuum_insert_threshold = 50000)', t);
    END LOOP;
END
$$;
-- +goose StatementEnd
ALTER TABLE open_term SET (autovacuum_analyze_scale_factor = 0.5, autovacuum_analyze_threshold = 50000, autovacuum_vacuum_insert_scale_factor = 0.5, autovacuum_vacuum_insert_threshold = 50000);

-- The queue is read by its keys too, whatever statistics say (adapter/postgres/queuerow.go).
ALTER TABLE queue SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000);

-- +goose Down
ALTER TABLE queue RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
ALTER TABLE open_term RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold, autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_insert_threshold);
-- +goose StatementBegin
DO $$
DECLARE t regclass;
BEGIN
    FOR t IN SELECT c.oid FROM pg_class c WHERE c.reloptions @> ARRAY['autovacuum_vacuum_insert_threshold=50000'] LOOP
        EXECUTE format('ALTER TABLE %s RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold, autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_insert_threshold)', t);
    END LOOP;
END
$$;
-- +goose StatementEnd
