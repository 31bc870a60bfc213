-- +goose Up

-- Which keys of the vault, and trees of keys, were sealed with: name is that of the file,
-- mark a digest by which the key is known again and from which nothing can be learned of
-- it. A row is committed before anything is sealed with its key, and is a key's own: the
-- first folder that has one of the name counts, for all nodes. A row goes when retention
-- has ended everything of its class and month.
CREATE TABLE vault_key (
    name  text PRIMARY KEY,
    mark  bytea NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);

-- From when on trees are not sealed with before they have a row: nodes of the release
-- before, which may be about for a week, know nothing of it. Of months that began earlier
-- the messages themselves are asked.
ALTER TABLE content_vault ADD COLUMN marked timestamptz NOT NULL DEFAULT now() + interval '7 days';
UPDATE content_vault SET marked = '-infinity' WHERE NOT EXISTS (SELECT FROM message) AND NOT EXISTS (SELECT FROM refusal) AND NOT EXISTS (SELECT FROM journal_pending);

-- +goose Down
ALTER TABLE content_vault DROP COLUMN marked;
DROP TABLE vault_key;
