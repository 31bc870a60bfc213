-- +goose Up

-- How long a row waits is told by this database's clock and nobody else's. The
-- columns fill themselves, so that a node of the release before goes on writing.
ALTER TABLE outbox ADD COLUMN at timestamptz NOT NULL DEFAULT now();
ALTER TABLE journal_pending ADD COLUMN IF NOT EXISTS at timestamptz NOT NULL DEFAULT now();

-- Acknowledged by the bus and not in its queue yet. The row goes with the
-- transaction that fills the queue; when the bus has lost the record, it goes
-- back to the outbox.
CREATE TABLE relayed (
    message uuid NOT NULL,
    queue   int NOT NULL,
    shard   smallint NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (message, queue)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX relayed_at ON relayed (shard, at);

-- +goose Down
DROP TABLE relayed;
ALTER TABLE outbox DROP COLUMN at;
