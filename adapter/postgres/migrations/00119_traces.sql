-- +goose Up

-- By which trace id a refused call is found. Its row goes with that of the refusal, which
-- the sweep removes.
CREATE TABLE refusal_trace (
    incident text PRIMARY KEY REFERENCES refusal ON DELETE CASCADE,
    trace    text NOT NULL
);
CREATE INDEX refusal_trace_trace ON refusal_trace (trace);

-- By which trace id a message is found that came with one; without one it is found by its
-- own id. Partitions that are made from now on have it, and of those that there are the
-- ones that are still empty: the others would have to be read whole for it.
CREATE INDEX message_trace ON ONLY message (substr(trace, 4, 32)) WHERE trace <> '';
-- +goose StatementBegin
DO $$
DECLARE
    part regclass;
    filled boolean;
BEGIN
    FOR part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'message'::regclass LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', part) INTO filled;
        IF NOT filled THEN
            EXECUTE format('CREATE INDEX %I ON %s (substr(trace, 4, 32)) WHERE trace <> ''''', part::text || '_trace', part);
            EXECUTE format('ALTER INDEX message_trace ATTACH PARTITION %I', part::text || '_trace');
        END IF;
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP INDEX message_trace;
DROP TABLE refusal_trace;
