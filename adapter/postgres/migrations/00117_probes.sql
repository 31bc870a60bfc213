-- +goose Up

-- What is known of the probes of service versions: a row for each and kind, written by
-- the node that leads the work "probe". It removes the rows of what is probed no more.
-- message_id is the request that awaits its answer: it stands here before it is sent.
CREATE TABLE probe (
    service    text NOT NULL,
    version    text NOT NULL,
    kind       text NOT NULL,        -- short, full
    next       timestamptz NOT NULL, -- when it is to be done
    message_id text NOT NULL,
    sent       timestamptz,
    due        timestamptz,
    at         timestamptz,          -- of the last outcome
    since      timestamptz,          -- it has been well, or not, since
    problem    text NOT NULL,
    provider   text NOT NULL,
    detail     text NOT NULL,        -- a fault, a code or a rule: no value of a message
    took_ms    bigint NOT NULL,
    PRIMARY KEY (service, version, kind)
);

-- What came of each. The sweep removes rows older than 31 days.
CREATE TABLE probe_result (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service  text NOT NULL,
    version  text NOT NULL,
    kind     text NOT NULL,
    at       timestamptz NOT NULL,
    problem  text NOT NULL,
    provider text NOT NULL,
    detail   text NOT NULL,
    took_ms  bigint NOT NULL
);
CREATE INDEX probe_result_at ON probe_result (at);
CREATE INDEX probe_result_of ON probe_result (service, version, at);

-- When a party has last asked for requests, of one service or, empty, of any, as nodes
-- have noted it every few seconds. The sweep removes what is older than 90 days.
CREATE TABLE party_poll (
    party   text NOT NULL,
    service text NOT NULL,
    at      timestamptz NOT NULL,
    PRIMARY KEY (party, service)
) WITH (fillfactor = 70);

INSERT INTO lead (work) VALUES ('probe');

-- +goose Down
DELETE FROM lead WHERE work = 'probe';
DROP TABLE party_poll, probe_result, probe;
