-- +goose Up

-- Erasures of values stand where those of content do, and the vault's register takes
-- them over from there. Nodes of before still write into journal_erasure; what they
-- have written is erased here, and only a backup from before could bring it back.
INSERT INTO content_erasure (id, at, ground, line)
SELECT id, at, ground, jsonb_build_object('id', id, 'at', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'ground', ground, 'target', target, 'fields', fields, 'leaf', leaf)
FROM (
    SELECT gen_random_uuid() AS id, e.at, e.ground, e.target, e.fields, encode(sha256(j.leaf), 'hex') AS leaf
    FROM journal_erasure e JOIN journal_entry j ON j.idx = e.target
) t;

-- +goose Down
SELECT 1;
