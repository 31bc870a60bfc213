-- +goose Up

-- What drafts would do to live traffic (package lifecycle/impact): counts, rules and
-- places, no value of a message. Nodes add to the rows; those of a draft that is no
-- shadow any more are removed with the next addition, and the sweep removes what was not
-- seen for 31 days.
CREATE TABLE shadow_tally (
    service   text NOT NULL,
    version   text NOT NULL, -- of the draft
    sender    text NOT NULL,
    direction text NOT NULL,
    seen      bigint NOT NULL,
    differ    bigint NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (service, version, sender, direction)
);

CREATE TABLE shadow_seen (
    service    text NOT NULL,
    version    text NOT NULL,
    sender     text NOT NULL,
    direction  text NOT NULL,
    looser     bool NOT NULL, -- the version in force refuses, the draft would take
    rule       text NOT NULL,
    path       text NOT NULL,
    messages   bigint NOT NULL,
    first      timestamptz NOT NULL,
    last       timestamptz NOT NULL,
    message_id text NOT NULL, -- of the latest
    line       int NOT NULL,
    col        int NOT NULL,
    PRIMARY KEY (service, version, sender, direction, looser, rule, path)
);

-- +goose Down
DROP TABLE shadow_seen, shadow_tally;
