-- +goose NO TRANSACTION
-- +goose Up

-- The lanes of a queue: what waits there of one service, in its order. A poll takes the
-- next lane's first row, however much waits in the others (lanes.go). The service is
-- read from the facts, which every row has, so rows and nodes of before need nothing.
-- prio is cast so that the primary key, in which a service has no place, is never taken
-- for this index. It is built beside writes; one that broke off is begun anew.
DROP INDEX CONCURRENTLY IF EXISTS queue_lane;
CREATE INDEX CONCURRENTLY queue_lane ON queue (queue, (coalesce(facts->>'service', '') COLLATE "C"), (prio::int), seq);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS queue_lane;
