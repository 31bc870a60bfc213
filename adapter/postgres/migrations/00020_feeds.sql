-- +goose Up

-- How far the log has been put on the bus: the index of the next entry.
CREATE TABLE journal_feed (
    one  bool PRIMARY KEY DEFAULT true CHECK (one),
    next bigint NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
INSERT INTO journal_feed (next) VALUES (0);

-- Records that their recipients read on the bus themselves, until they have.
CREATE TABLE streamed (
    epoch     text NOT NULL,
    topic     text NOT NULL,
    partition int NOT NULL,
    "offset"  bigint NOT NULL,
    message   uuid NOT NULL,
    system    text NOT NULL,  -- the recipient
    facts     jsonb NOT NULL, -- what every event of this message says
    PRIMARY KEY (epoch, topic, partition, "offset")
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- +goose Down
DROP TABLE streamed, journal_feed;
