-- +goose Up

-- The nodes that share this database, each by its own word: which build it is and when it
-- was last here. A node that has not been here for 31 days is removed by any other.
CREATE TABLE node (
    name    text PRIMARY KEY,
    version text NOT NULL,
    commit  text NOT NULL, -- full hash; empty: not known
    started timestamptz NOT NULL,
    seen    timestamptz NOT NULL
);

-- +goose Down
DROP TABLE node;
