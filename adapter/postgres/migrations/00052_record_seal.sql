-- +goose Up

-- Until when gateways of before may be at work, which know no other seal on a
-- record than theirs (adapter/seal.go): a week from this migration. Where nothing
-- has been accepted yet there are none.
CREATE TABLE record_seal (
    one       bool PRIMARY KEY DEFAULT true CHECK (one),
    old_until timestamptz
);
INSERT INTO record_seal (old_until) SELECT CASE WHEN EXISTS (SELECT FROM message) THEN now() + interval '7 days' END;

-- +goose Down
DROP TABLE record_seal;
