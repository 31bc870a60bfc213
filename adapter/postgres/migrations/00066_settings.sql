-- +goose Up

-- What each node has told the journal of its settings: what it tells next is the
-- difference. A row to a node; one of a node that is gone stays, it is small. No
-- secret is in it (package settings).
CREATE TABLE node_settings (
    node  text PRIMARY KEY,
    state json NOT NULL,
    at    timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE node_settings;
