-- +goose Up

-- Until when gateways of before may be at work, which know no other seal on a
-- record than theirs (adapter/seal.go): a week from this migration. A database that
-- was made a moment ago, with nothing in it, has none.
CREATE TABLE record_seal (
    one       bool PRIMARY KEY DEFAULT true CHECK (one),
    old_until timestamptz
);
INSERT INTO record_seal (old_until) SELECT CASE
    WHEN EXISTS (SELECT FROM message) OR now()::timestamp - (SELECT min(tstamp) FROM goose_db_version) > interval '1 minute'
    THEN now() + interval '7 days' END;

-- +goose Down
DROP TABLE record_seal;
