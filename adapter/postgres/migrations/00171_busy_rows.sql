-- +goose Up

-- A few rows that are written all the time, and read by their key. Looked at by ANALYZE
-- every few seconds, each time all sessions plan anew what names them.
ALTER TABLE lead SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000);
ALTER TABLE journal_head SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000);
ALTER TABLE journal_feed SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000);
ALTER TABLE kafka_offset SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000);
ALTER TABLE open_term_mark SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000);

-- +goose Down
ALTER TABLE open_term_mark RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
ALTER TABLE kafka_offset RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
ALTER TABLE journal_feed RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
ALTER TABLE journal_head RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
ALTER TABLE lead RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
