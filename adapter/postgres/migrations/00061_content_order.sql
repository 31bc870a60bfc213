-- +goose Up

-- Orders to erase content that wait for another operator's confirmation, a week at
-- most: the next proposal removes what is older.
CREATE TABLE content_order (
    id       uuid NOT NULL PRIMARY KEY,
    at       timestamptz NOT NULL,
    proposal jsonb NOT NULL -- postgres.Proposal: ids, ground, the proposer's name
);

-- +goose Down
DROP TABLE content_order;
