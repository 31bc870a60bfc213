-- +goose Up

-- How many messages of each sender and service stand in each queue, so that nobody counts
-- a million of them every few seconds: the sum of the rows of a queue, service and sender.
-- Each statement that puts rows into the queue or takes rows out adds what it has done, in
-- its own transaction, whichever release runs it, and waits for no other. The sweep adds
-- the rows up (adapter/postgres/depths.go). What stands there already is counted by 00147.
CREATE TABLE queue_count (
    queue   int NOT NULL,
    service text COLLATE "C" NOT NULL,
    sender  text COLLATE "C" NOT NULL,
    n       bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000);

-- +goose StatementBegin
CREATE FUNCTION queue_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO queue_count (queue, service, sender, n)
    SELECT queue, coalesce(facts->>'service', ''), coalesce(facts->>'sender', ''), CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END FROM changed GROUP BY 1, 2, 3;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER queue_came AFTER INSERT ON queue REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION queue_counts();
CREATE TRIGGER queue_went AFTER DELETE ON queue REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION queue_counts();

-- +goose Down
DROP TRIGGER queue_went ON queue;
DROP TRIGGER queue_came ON queue;
DROP FUNCTION queue_counts;
DROP TABLE queue_count;
