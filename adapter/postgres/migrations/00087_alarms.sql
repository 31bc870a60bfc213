-- +goose Up

-- What is to be told to somebody: a row for each event, rule, way and address. It goes
-- with the journal's entry that says what came of it. What could not be delivered in
-- about a day is dead: it stays until somebody has it tried again, 90 days at most.
CREATE TABLE alarm (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule      text NOT NULL,
    way       text NOT NULL,      -- mail, webhook
    target    text NOT NULL,      -- an address
    event     json NOT NULL,
    message   uuid NOT NULL,      -- that it is about, with its stage
    stage     smallint NOT NULL,
    escalated bool NOT NULL,      -- told only while the stage is not reached
    at        timestamptz NOT NULL, -- not before
    attempts  int NOT NULL DEFAULT 0,
    problem   text NOT NULL DEFAULT '',
    dead      bool NOT NULL DEFAULT false
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX alarm_at ON alarm (at) WHERE NOT dead;
CREATE INDEX alarm_dead ON alarm (at) WHERE dead;

-- Rules that tell nobody until a time, by order of somebody; the order is an entry. A
-- row to a rule; one whose time has passed means nothing.
CREATE TABLE alarm_mute (
    rule   text PRIMARY KEY,
    until  timestamptz NOT NULL,
    ground text NOT NULL
);

-- +goose Down
DROP TABLE alarm_mute, alarm;
