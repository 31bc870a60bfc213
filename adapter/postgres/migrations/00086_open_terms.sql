-- +goose Up

-- What is still to be reached of what the entries "accepted" of the log promise: a
-- row for each stage of a message that has a term (package terms). The node that
-- leads the work "terms" reads the log and writes the rows; what is reached is
-- deleted, and so are the rows of messages that are kept no longer. All of it can be
-- made again from the log.
CREATE TABLE open_term (
    message    uuid NOT NULL,
    stage      smallint NOT NULL, -- 0 queued, 1 taken, 2 status, 3 answered
    due        timestamptz,       -- null: counted from the delivery, which has not happened
    next       timestamptz,       -- when something is to be told next; null: nothing is
    told       smallint NOT NULL, -- 0 nothing, 1 due-soon, 2 overdue: set with the event
    later      text NOT NULL,     -- what counts from the delivery
    message_id text NOT NULL,
    direction  text NOT NULL,
    sender     text NOT NULL,
    recipient  text NOT NULL,
    service    text NOT NULL,
    version    text NOT NULL,
    accepted   timestamptz NOT NULL,
    PRIMARY KEY (message, stage)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX open_term_next ON open_term (next) WHERE next IS NOT NULL;
CREATE INDEX open_term_due ON open_term (due, message, stage) WHERE due IS NOT NULL;
CREATE INDEX open_term_status ON open_term (message_id) WHERE stage = 2;

-- How far the log has been read. What was reached before the row was made is told
-- to nobody.
CREATE TABLE open_term_mark (
    one   bool PRIMARY KEY DEFAULT true CHECK (one),
    next  bigint NOT NULL DEFAULT 0,
    since timestamptz NOT NULL DEFAULT now()
);
INSERT INTO open_term_mark DEFAULT VALUES;

-- Events that alarms are to be made of, committed with the events themselves; the
-- node that leads the work "alarms" takes them out with what it makes of them.
CREATE TABLE alarm_event (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event json NOT NULL,
    at    timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

INSERT INTO lead (work) VALUES ('terms'), ('alarms');

-- +goose Down
DELETE FROM lead WHERE work IN ('terms', 'alarms');
DROP TABLE alarm_event, open_term_mark, open_term;
