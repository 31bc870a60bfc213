-- +goose Up

-- Queues whose messages the bus does not take while it takes those of others. The relays write
-- it, for the doors of all nodes: no sender to another queue is to be held back for them.
CREATE TABLE outbox_left (
    queue int PRIMARY KEY,
    shard smallint NOT NULL,
    seq   bigint NOT NULL, -- in the outbox none of the queue stands before
    told  timestamptz NOT NULL DEFAULT now() -- when the bus left it last; what waits from before is its backlog, also when the bus takes it again
);

-- +goose Down
DROP TABLE outbox_left;
