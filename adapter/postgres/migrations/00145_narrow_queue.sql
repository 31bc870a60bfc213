-- +goose Up

-- queue.facts are sender, service and direction; the rest of what events say is read from
-- the message (adapter/postgres/facts.go). It begins a week after this migration, as long
-- as an upgrade may take; at once in a database that is made by this release.
INSERT INTO release_gate (name, since)
SELECT 'short facts', CASE WHEN EXISTS (SELECT FROM journal_head) OR EXISTS (SELECT FROM message) THEN now() + interval '7 days' ELSE '-infinity' END;

-- Each row is leased once at least: there is room for it on its page, so that no index
-- hears of it.
ALTER TABLE queue SET (fillfactor = 50);

-- The sweep reads pages of poll_use in turn.
DROP INDEX poll_use_until;

-- +goose Down
CREATE INDEX poll_use_until ON poll_use (until);
ALTER TABLE queue SET (fillfactor = 70);
UPDATE queue q SET facts = q.facts || jsonb_strip_nulls(jsonb_build_object('message', q.message, 'messageId', m.message_id,
    'original', nullif(m.original, ''), 'recipient', n.system, 'version', nullif(m.version, ''), 'digest', nullif(encode(m.digest, 'hex'), ''), 'size', m.size,
    'deadline', to_char(m.deadline AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'wire', CASE WHEN m.direction <> 'async' THEN nullif(m.wire, '') END))
FROM message m, queue_name n WHERE m.id = q.message AND n.id = q.queue AND NOT q.facts ? 'messageId';
DELETE FROM release_gate WHERE name = 'short facts';
