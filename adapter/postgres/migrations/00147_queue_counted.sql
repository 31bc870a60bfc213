-- +goose Up

-- What stood in the queues when 00146 began to count is added. It is one statement, which
-- sees rows and counts of one moment, so others go on to write: whatever they do is in both
-- or in neither. It reads the queue, a second or two for a million of rows, and stops nobody.
INSERT INTO queue_count (queue, service, sender, n)
SELECT queue, service, sender, sum(n) FROM (
    SELECT queue, coalesce(facts->>'service', '') AS service, coalesce(facts->>'sender', '') AS sender, count(*) AS n FROM queue GROUP BY 1, 2, 3
    UNION ALL
    SELECT queue, service, sender, -n FROM queue_count
) c GROUP BY 1, 2, 3 HAVING sum(n) <> 0;

-- +goose Down

SELECT; -- 00146 takes the counts away
