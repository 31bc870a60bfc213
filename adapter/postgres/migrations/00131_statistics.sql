-- +goose Up

-- Of what no statement compares, the planner's statistics are kilobytes of content in
-- pg_statistic, written again with every ANALYZE; of what only GIN finds, a few values
-- do. Partitions that are made later take these settings over (adapter/postgres/days.go).
ALTER TABLE message ALTER COLUMN body SET STATISTICS 0, ALTER COLUMN parts SET STATISTICS 0, ALTER COLUMN reply_to SET STATISTICS 0,
    ALTER COLUMN digest SET STATISTICS 0, ALTER COLUMN certificate SET STATISTICS 0, ALTER COLUMN trace SET STATISTICS 0;
ALTER TABLE attachment ALTER COLUMN content SET STATISTICS 0;
ALTER TABLE receipt ALTER COLUMN body SET STATISTICS 0;
ALTER TABLE refusal ALTER COLUMN body SET STATISTICS 0, ALTER COLUMN event SET STATISTICS 0;
ALTER TABLE queue ALTER COLUMN facts SET STATISTICS 0;
ALTER TABLE journal_pending ALTER COLUMN event SET STATISTICS 0, ALTER COLUMN packed SET STATISTICS 0;
ALTER TABLE journal_block ALTER COLUMN leaves SET STATISTICS 0, ALTER COLUMN columns SET STATISTICS 0, ALTER COLUMN logged SET STATISTICS 0, ALTER COLUMN keys SET STATISTICS 10;
ALTER TABLE journal_piece ALTER COLUMN leaves SET STATISTICS 0, ALTER COLUMN logged SET STATISTICS 0;
ALTER TABLE journal_opening ALTER COLUMN sealed SET STATISTICS 0, ALTER COLUMN tokens SET STATISTICS 10;
ALTER TABLE journal_tile ALTER COLUMN data SET STATISTICS 0;
ALTER TABLE journal_edge ALTER COLUMN data SET STATISTICS 0;

-- Tables that are emptied all the time are read by their keys, however many rows there
-- are: what ANALYZE finds there is old before it is used.
ALTER TABLE outbox SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000);
ALTER TABLE relayed SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000);
ALTER TABLE journal_pending SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000);
ALTER TABLE journal_piece SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 100000);
ALTER TABLE journal_edge SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 100000);
ALTER TABLE poll_use SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000);

-- +goose Down
ALTER TABLE poll_use RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
ALTER TABLE journal_edge RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
ALTER TABLE journal_piece RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
ALTER TABLE journal_pending RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
ALTER TABLE relayed RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
ALTER TABLE outbox RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
ALTER TABLE journal_edge ALTER COLUMN data SET STATISTICS -1;
ALTER TABLE journal_tile ALTER COLUMN data SET STATISTICS -1;
ALTER TABLE journal_opening ALTER COLUMN sealed SET STATISTICS -1, ALTER COLUMN tokens SET STATISTICS -1;
ALTER TABLE journal_piece ALTER COLUMN leaves SET STATISTICS -1, ALTER COLUMN logged SET STATISTICS -1;
ALTER TABLE journal_block ALTER COLUMN leaves SET STATISTICS -1, ALTER COLUMN columns SET STATISTICS -1, ALTER COLUMN logged SET STATISTICS -1, ALTER COLUMN keys SET STATISTICS -1;
ALTER TABLE journal_pending ALTER COLUMN event SET STATISTICS -1, ALTER COLUMN packed SET STATISTICS -1;
ALTER TABLE queue ALTER COLUMN facts SET STATISTICS -1;
ALTER TABLE refusal ALTER COLUMN body SET STATISTICS -1, ALTER COLUMN event SET STATISTICS -1;
ALTER TABLE receipt ALTER COLUMN body SET STATISTICS -1;
ALTER TABLE attachment ALTER COLUMN content SET STATISTICS -1;
ALTER TABLE message ALTER COLUMN body SET STATISTICS -1, ALTER COLUMN parts SET STATISTICS -1, ALTER COLUMN reply_to SET STATISTICS -1,
    ALTER COLUMN digest SET STATISTICS -1, ALTER COLUMN certificate SET STATISTICS -1, ALTER COLUMN trace SET STATISTICS -1;
