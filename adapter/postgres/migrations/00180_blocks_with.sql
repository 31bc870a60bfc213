-- +goose Up

-- The first entries of the blocks that have one of the keys, once for each key that they have;
-- key by key, and by their index. What the planner thinks of blocks that it has not counted
-- yet, or of a few hundred of them, is to read them all for each key: a sequencer that had
-- just taken over a young log looked for its thousands of messages for longer than it may.
-- +goose StatementBegin
CREATE FUNCTION journal_blocks_with(wanted bigint[]) RETURNS SETOF bigint LANGUAGE sql STABLE ROWS 100 SET enable_seqscan = off AS $$
    SELECT b.first FROM unnest(wanted) AS k (key) CROSS JOIN LATERAL (SELECT first FROM journal_block WHERE keys @> ARRAY[k.key] OFFSET 0) b
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION journal_blocks_with;
