-- +goose Up

-- Names that repeat without end are stored once and referred to by number.
CREATE TABLE queue_name (
    id     int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    system text NOT NULL,
    kind   text NOT NULL,
    node   text NOT NULL,
    UNIQUE (system, kind, node)
);

CREATE TABLE root_name (
    id    int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    space text NOT NULL,
    local text NOT NULL,
    UNIQUE (space, local)
);

-- Compression dictionaries, kept for ever: old messages need them.
CREATE TABLE dictionary (
    id      int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest  bytea NOT NULL UNIQUE, -- SHA-256 of content
    content bytea NOT NULL,
    made    timestamptz NOT NULL DEFAULT now()
);

-- Messages as accepted. The key is a UUIDv7, whose first 48 bits are the time in
-- milliseconds: ranges of it are days, ids are unique over all partitions, and a
-- look-up by id goes to one of them. The default partition catches what has no
-- day of its own yet, so that no accept ever fails for want of a partition.
CREATE TABLE message (
    id               uuid NOT NULL PRIMARY KEY,
    sender           text NOT NULL,
    message_id       text NOT NULL,
    direction        text NOT NULL,
    original         text NOT NULL,
    request          uuid,
    reference        text NOT NULL,
    transaction_code text NOT NULL,
    recipients       jsonb NOT NULL,
    service          text NOT NULL,
    version          text NOT NULL,
    root             int NOT NULL, -- root_name.id, 0: none
    vip              bool NOT NULL,
    test             bool NOT NULL,
    eol              timestamptz,
    accepted         timestamptz NOT NULL,
    deadline         timestamptz,
    wire             text NOT NULL,
    parts            jsonb NOT NULL,
    reply_to         text NOT NULL,
    digest           bytea NOT NULL,
    certificate      bytea NOT NULL,
    trace            text NOT NULL,
    attachments      int NOT NULL,
    codec            smallint NOT NULL, -- 0: as received, 1: zstd
    dictionary       int NOT NULL,      -- dictionary.id, 0: none
    size             int NOT NULL,      -- bytes as received
    body             bytea NOT NULL
) PARTITION BY RANGE (id);
ALTER TABLE message ALTER COLUMN body SET STORAGE EXTERNAL; -- compressed already
CREATE INDEX message_message_id ON message (message_id);
CREATE TABLE message_default PARTITION OF message DEFAULT;

CREATE TABLE attachment (
    message    uuid NOT NULL,
    n          int NOT NULL,
    id         text NOT NULL,
    codec      smallint NOT NULL,
    dictionary int NOT NULL,
    size       int NOT NULL,
    content    bytea NOT NULL,
    PRIMARY KEY (message, n)
) PARTITION BY RANGE (message);
ALTER TABLE attachment ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE TABLE attachment_default PARTITION OF attachment DEFAULT;

-- The final reply of each request that has one.
CREATE TABLE answered (
    request uuid NOT NULL PRIMARY KEY,
    reply   uuid NOT NULL
) PARTITION BY RANGE (request);
CREATE TABLE answered_default PARTITION OF answered DEFAULT;

-- What has been put into a queue, ever: a second copy from the bus is known by it
-- even when the first has long been acknowledged.
CREATE TABLE placed (
    message uuid NOT NULL,
    queue   int NOT NULL,
    PRIMARY KEY (message, queue)
) PARTITION BY RANGE (message);
CREATE TABLE placed_default PARTITION OF placed DEFAULT;

-- A sender's MessageID is used once within its shelf life.
CREATE TABLE dedup (
    key bytea NOT NULL PRIMARY KEY, -- first half of SHA-256 of sender, NUL, MessageID
    id  uuid NOT NULL
) PARTITION BY HASH (key);
-- +goose StatementBegin
DO $$
BEGIN
    FOR n IN 0..15 LOOP
        EXECUTE format('CREATE TABLE dedup_%s PARTITION OF dedup FOR VALUES WITH (MODULUS 16, REMAINDER %s)', n, n);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- On its way to the bus: one row per message and recipient.
CREATE TABLE outbox (
    shard   smallint NOT NULL, -- adapter.ShardOf the queue
    seq     bigint GENERATED ALWAYS AS IDENTITY,
    message uuid NOT NULL,
    queue   int NOT NULL,
    PRIMARY KEY (shard, seq)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- How far the intake has come in each partition of the bus. The epoch tells a
-- topic from a later one of the same name.
CREATE TABLE kafka_offset (
    epoch     text NOT NULL,
    topic     text NOT NULL,
    partition int NOT NULL,
    "offset"  bigint NOT NULL,
    PRIMARY KEY (epoch, topic, partition)
);

-- The incoming queues of the systems. The columns of a lease are in no index, so
-- that leasing is a HOT update: visible_at, attempts and returned must stay so.
CREATE TABLE queue (
    queue      int NOT NULL,
    prio       smallint NOT NULL, -- 0: requests of VIP senders, 1: everything else
    seq        bigint GENERATED ALWAYS AS IDENTITY,
    message    uuid NOT NULL,
    message_id text NOT NULL,
    root       int NOT NULL,
    eol        timestamptz,
    visible_at timestamptz NOT NULL DEFAULT '-infinity', -- leased until
    attempts   int NOT NULL DEFAULT 0,                   -- times delivered
    returned   int NOT NULL DEFAULT 0,                   -- of these, ended in a "returned" event
    facts      jsonb NOT NULL,                           -- what every event of this message says
    PRIMARY KEY (queue, prio, seq)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX queue_root ON queue (queue, root, prio, seq);
CREATE INDEX queue_message_id ON queue (message_id);
CREATE INDEX queue_eol ON queue (eol) WHERE eol IS NOT NULL;

-- Events in the transaction of what they tell of, until the journal takes them up.
CREATE TABLE journal_pending (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event jsonb NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- The bytes of refused calls, found by the incident id that the caller was told.
CREATE TABLE refusal (
    incident     text NOT NULL PRIMARY KEY,
    at           timestamptz NOT NULL,
    event        jsonb NOT NULL,
    content_type text NOT NULL,
    codec        smallint NOT NULL,
    dictionary   int NOT NULL,
    size         int NOT NULL,
    body         bytea NOT NULL
);
ALTER TABLE refusal ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX refusal_at ON refusal (at);

-- Written to see that the database can be written to.
CREATE TABLE health (
    one bool PRIMARY KEY DEFAULT true CHECK (one),
    at  timestamptz NOT NULL
);
INSERT INTO health (at) VALUES (now());

-- +goose Down
DROP TABLE health, refusal, journal_pending, queue, kafka_offset, outbox, dedup, placed, answered, attachment, message, dictionary, root_name, queue_name;
