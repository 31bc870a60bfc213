-- +goose Up

-- To call a trigger takes twice as long as to count what the statement itself returns. So those
-- of every message's way add to queue_count themselves (adapter/postgres/depths.go), and say
-- so until their transaction ends: the triggers are for all others, and for all of nodes of
-- the release before.
CREATE OR REPLACE TRIGGER queue_came AFTER INSERT ON queue REFERENCING NEW TABLE AS changed FOR EACH STATEMENT
    WHEN (current_setting('mezhved.counted', true) IS DISTINCT FROM 'yes') EXECUTE FUNCTION queue_counts();
CREATE OR REPLACE TRIGGER queue_went AFTER DELETE ON queue REFERENCING OLD TABLE AS changed FOR EACH STATEMENT
    WHEN (current_setting('mezhved.counted', true) IS DISTINCT FROM 'yes') EXECUTE FUNCTION queue_counts();

-- +goose Down
CREATE OR REPLACE TRIGGER queue_came AFTER INSERT ON queue REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION queue_counts();
CREATE OR REPLACE TRIGGER queue_went AFTER DELETE ON queue REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION queue_counts();
